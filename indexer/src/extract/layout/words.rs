//! No word that a page shows is lost on its way into blocks.

use super::*;
use crate::document::{Block, BlockKind};
use proptest::prelude::*;

/// Returns the words of the pages' lines that the blocks do not have as often, without the signs around them. Headers
/// and footers that pages repeat aside, every word must be there; where a line ends with a hyphen or the script has no
/// spaces, it may be joined to the next.
pub(crate) fn lost(pages: &[Page], blocks: &[Block]) -> Vec<String> {
    let mut pages: Vec<Page> = pages
        .iter()
        .map(|page| Page {
            lines: page.lines.clone(),
            ..Page::default()
        })
        .collect();
    margins::drop_repeated(&mut pages);
    let mut n_kept: HashMap<String, usize> = HashMap::new();
    let mut joined = String::new();
    for block in blocks {
        let is_table = block.kind == BlockKind::Table;
        let words = block
            .text
            .split_whitespace()
            .filter(|word| !(is_table && *word == "|"));
        for word in words {
            *n_kept.entry(bare(word)).or_default() += 1;
            joined.extend(word.chars().filter(|c| *c != '-'));
        }
    }
    let mut shown: HashMap<String, (usize, usize)> = HashMap::new();
    for cell in pages
        .iter()
        .flat_map(|page| &page.lines)
        .flat_map(|line| &line.cells)
    {
        let text = clean::inline(&cell.text);
        for (at, word) in text.split_whitespace().enumerate() {
            let may_be_joined = word.ends_with(['-', '\u{2010}'])
                || word.contains(clean::is_cjk)
                || (at == 0 && word.starts_with(char::is_lowercase));
            let (n, n_joined) = shown.entry(bare(word)).or_default();
            *n += 1;
            *n_joined += usize::from(may_be_joined);
        }
    }
    let is_lost = |(word, (n, n_joined)): &(String, (usize, usize))| {
        let n_kept = n_kept.get(word).copied().unwrap_or_default();
        let parts: String = word.chars().filter(|c| *c != '-').collect();
        let n_joined = if joined.contains(&parts) {
            *n_joined
        } else {
            0
        };
        !word.is_empty() && *n > n_kept + n_joined
    };
    shown
        .into_iter()
        .filter(is_lost)
        .map(|(word, _)| word)
        .collect()
}

fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
}

fn blocks(pages: Vec<Page>) -> Vec<Block> {
    let mut outline = Outline::default();
    add_pages(&mut outline, pages, &[], |_, _| ());
    outline.finish().blocks
}

/// Cells at some of four places, words or figures, with their widths, and how far below the last row they are.
type RowOf = (Vec<(usize, bool, u8)>, u8);

fn row() -> impl Strategy<Value = RowOf> {
    let cell = (0..4_usize, any::<bool>(), 1..40_u8);
    (proptest::collection::vec(cell, 1..5), 6..40_u8)
}

fn page(number: u32, rows: &[RowOf], ruled: &[(u8, bool)]) -> Page {
    let mut n_words = 0;
    let mut y = 60.0;
    let mut lines = Vec::new();
    for (cells, step) in rows {
        y += f64::from(*step);
        let mut places: Vec<(usize, bool, u8)> = cells.clone();
        places.sort_unstable();
        places.dedup_by_key(|(place, ..)| *place);
        let cells = places.into_iter().map(|(place, is_figure, width)| {
            n_words += 1;
            let left = 40.0 + 120.0 * place as f64;
            Cell {
                text: match (is_figure, width % 4) {
                    (true, 0) => format!("{number}{n_words},5 {number}{n_words},7"),
                    (true, _) => format!("{number}{n_words},5"),
                    (false, _) => format!("w{number}x{n_words} of"),
                },
                left,
                right: left + 3.0 * f64::from(width),
                spaces: if is_figure && width % 4 == 0 {
                    let at = format!("{number}{n_words},5").len();
                    let middle = left + 1.5 * f64::from(width);
                    vec![Space {
                        at,
                        left: middle - 1.0,
                        right: middle + 1.0,
                    }]
                } else {
                    Vec::new()
                },
            }
        });
        lines.push(Line {
            cells: cells.collect(),
            y,
            size: 10.0,
            turn: 0,
        });
    }
    let rule = |&(at, is_level): &(u8, bool)| {
        let at = f64::from(at);
        if is_level {
            Rule {
                from: (36.0, 50.0 + at * 3.0),
                to: (520.0, 50.0 + at * 3.0),
            }
        } else {
            Rule {
                from: (36.0 + 120.0 * (at % 5.0), 50.0),
                to: (36.0 + 120.0 * (at % 5.0), y + 10.0),
            }
        }
    };
    Page {
        number,
        lines,
        rules: ruled.iter().map(rule).collect(),
        is_unordered: false,
    }
}

proptest! {
    #[test]
    fn every_word_is_in_a_block(
        pages in proptest::collection::vec(
            (
                proptest::collection::vec(row(), 1..14),
                proptest::collection::vec((any::<u8>(), any::<bool>()), 0..14),
            ),
            1..4,
        )
    ) {
        let pages = || -> Vec<Page> {
            (1..).zip(&pages).map(|(number, (rows, ruled))| page(number, rows, ruled)).collect()
        };
        let blocks = blocks(pages());
        prop_assert_eq!(lost(&pages(), &blocks), Vec::<String>::new());
    }
}

#[test]
fn a_word_that_is_missing_is_found_out() {
    let rows = [(vec![(0, false, 10), (1, true, 10)], 12_u8)];
    let page = || page(1, &rows, &[]);
    let mut blocks = blocks(vec![page()]);
    assert_eq!(lost(&[page()], &blocks), Vec::<String>::new());
    for block in &mut blocks {
        block.text = block.text.replace("12,5", "");
    }
    assert_eq!(lost(&[page()], &blocks), ["12,5"]);
}

#[test]
fn a_table_follows_its_title_wherever_the_footer_is_drawn() {
    let line = |y: f64, cells: &[(&str, f64, f64)]| Line {
        cells: cells
            .iter()
            .map(|&(text, left, right)| Cell {
                text: text.to_owned(),
                left,
                right,
                ..Cell::default()
            })
            .collect(),
        y,
        size: 10.0,
        turn: 0,
    };
    let row = |y: f64, a: &str, b: &str| line(y, &[(a, 50.0, 80.0), (b, 150.0, 180.0)]);
    let footer = line(700.0, &[("52 Reference Tables", 50.0, 150.0)]);
    let title = line(80.0, &[("Table 14. Graduates by state", 50.0, 190.0)]);
    let rows = [
        row(100.0, "state", "number"),
        row(112.0, "Maine", "13"),
        row(124.0, "Ohio", "17"),
    ];
    let note = line(
        150.0,
        &[("NOTE: Some data have been revised.", 50.0, 220.0)],
    );
    let texts = |first: &[Line], last: &[Line]| -> Vec<String> {
        let lines = [first, &rows[..], last].concat();
        let page = Page {
            number: 1,
            lines,
            ..Page::default()
        };
        let blocks = blocks(vec![page]);
        blocks
            .iter()
            .map(|block| block.text.chars().take(8).collect())
            .collect()
    };
    let both = [title.clone(), note];
    let in_order = ["Table 14", "| state ", "NOTE: So"];
    assert_eq!(
        texts(&[footer.clone(), title.clone()], &both[1..])[1..],
        in_order
    );
    assert_eq!(
        texts(&both[..1], &[both[1].clone(), footer.clone()])[..3],
        in_order
    );
    // What is drawn last may be the header of the page.
    let above = line(40.0, &[("Statistics", 50.0, 90.0)]);
    assert_eq!(
        texts(&[title], &[both[1].clone(), footer, above])[..3],
        in_order
    );
}
