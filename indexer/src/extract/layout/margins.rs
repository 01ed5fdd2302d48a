//! Headers and footers that pages repeat.

use super::{Line, Page};
use std::collections::{HashMap, HashSet};

/// Lines at a page's top and bottom that are compared with those of other pages.
const MARGIN_LINES: usize = 3;

/// Lines of a page that is more than its margins.
const MIN_BODY_LINES: usize = 3;

/// Letters of a header or footer that is more than a page number.
const MIN_MARGIN_LETTERS: usize = 10;

/// Pages that have a header or footer at the same height.
const MIN_LEVEL_PAGES: usize = 3;

/// A line of a margin.
struct Margin {
    page: usize,
    y: f64,
    numbers: Vec<u64>,
}

/// Drops lines at the top and bottom that most pages share, page numbers aside; the first of each stays.
pub(super) fn drop_repeated(pages: &mut [Page]) {
    if pages.len() < 3 {
        return;
    }
    let mut alike: HashMap<String, Vec<Margin>> = HashMap::new();
    for (page, one) in pages.iter().enumerate() {
        for at in margins(&one.lines) {
            let text = one.lines[at].text();
            alike.entry(masked(&text)).or_default().push(Margin {
                page,
                y: one.lines[at].y,
                numbers: numbers(&text),
            });
        }
    }
    let enough = (pages.len() * 3).div_ceil(5).max(3);
    alike.retain(|_, lines| n_pages(lines.iter()) >= enough);
    let mut kept: HashSet<String> = HashSet::new();
    for (number, page) in pages.iter_mut().enumerate() {
        let margins = margins(&page.lines);
        let is_repeated = |(at, line): (usize, &Line)| {
            if !margins.contains(&at) {
                return None;
            }
            let text = line.text();
            let masked = masked(&text);
            let others = alike.get(&masked)?;
            let level = others
                .iter()
                .filter(|other| (other.y - line.y).abs() <= line.size);
            let is_level = n_pages(level) >= MIN_LEVEL_PAGES;
            (is_level && counts_on(&numbers(&text), number, others)).then_some(masked)
        };
        let repeated: Vec<Option<String>> =
            page.lines.iter().enumerate().map(is_repeated).collect();
        // A page that is wholly like others is one that is there several times, unless it is empty but for its margins.
        if repeated.len() >= MIN_BODY_LINES && repeated.iter().all(Option::is_some) {
            continue;
        }
        let mut repeated = repeated.into_iter();
        page.lines.retain(|_| {
            let Some(masked) = repeated.next().flatten() else {
                return true;
            };
            // What it says besides the page's number is said once.
            let n_letters = masked.chars().filter(|c| c.is_alphabetic()).count();
            n_letters >= MIN_MARGIN_LETTERS && kept.insert(masked)
        });
    }
}

/// Returns on how many pages some lines stand; they come page by page.
fn n_pages<'a>(lines: impl Iterator<Item = &'a Margin>) -> usize {
    let mut pages: Vec<usize> = lines.map(|line| line.page).collect();
    pages.dedup();
    pages.len()
}

/// Whether the numbers in a line are those of the page before or after, or go on from there as page numbers do. Others,
/// such as a year in the last row of a table, are no part of a header or footer.
fn counts_on(numbers: &[u64], page: usize, others: &[Margin]) -> bool {
    let goes_on = |other: &Margin| {
        let step = page as i128 - other.page as i128;
        numbers.iter().zip(&other.numbers).all(|(&one, &other)| {
            let difference = i128::from(one) - i128::from(other);
            difference == 0 || difference == step
        })
    };
    let first = others.partition_point(|other| other.page < page);
    let next = others.partition_point(|other| other.page <= page);
    let before = first.checked_sub(1).map(|at| others[at].page);
    let after = others.get(next).map(|other| other.page);
    others
        .iter()
        .filter(|other| [before, after].contains(&Some(other.page)))
        .any(goes_on)
}

/// Indexes of the highest and lowest lines.
fn margins(lines: &[Line]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|&a, &b| lines[a].y.total_cmp(&lines[b].y));
    if order.len() > 2 * MARGIN_LINES {
        order.drain(MARGIN_LINES..order.len() - MARGIN_LINES);
    }
    order
}

/// Returns a text with every number as 0.
fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut is_in_number = false;
    for c in text.chars() {
        if !c.is_ascii_digit() {
            masked.push(c);
        } else if !is_in_number {
            masked.push('0');
        }
        is_in_number = c.is_ascii_digit();
    }
    masked
}

fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(u64::MAX))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Cell;
    use super::*;

    fn line(text: &str, y: f64) -> Line {
        Line {
            cells: vec![Cell {
                text: text.to_owned(),
                left: 50.0,
                right: 90.0,
                ..Cell::default()
            }],
            y,
            size: 10.0,
            turn: 0,
        }
    }

    fn kept(pages: Vec<Vec<Line>>) -> Vec<Vec<String>> {
        let mut pages: Vec<Page> = pages
            .into_iter()
            .map(|lines| Page {
                lines,
                ..Page::default()
            })
            .collect();
        drop_repeated(&mut pages);
        let texts = |page: &Page| page.lines.iter().map(Line::text).collect();
        pages.iter().map(texts).collect()
    }

    #[test]
    fn page_numbers_go_and_a_year_at_the_end_of_a_page_stays() {
        let page = |number: u32| {
            let words = "x".repeat(number as usize);
            vec![line(&words, 300.0), line(&number.to_string(), 780.0)]
        };
        let mut pages: Vec<Vec<Line>> = (7..15).map(page).collect();
        pages[3].insert(1, line("2054", 760.0));
        pages[4][1] = line("2071", 780.0);
        let texts = kept(pages);
        assert_eq!(texts[2], ["xxxxxxxxx"]);
        assert_eq!(texts[3], ["xxxxxxxxxx", "2054"]);
        assert_eq!(texts[4], ["xxxxxxxxxxx", "2071"]);
    }

    #[test]
    fn what_stands_at_other_heights_is_no_footer() {
        let pages: Vec<Vec<Line>> = (1..7)
            .map(|number| {
                let words = "x".repeat(number);
                vec![
                    line(&words, 300.0),
                    line("n/a", 400.0 + 30.0 * number as f64),
                ]
            })
            .collect();
        assert!(kept(pages).iter().all(|texts| texts.len() == 2));
    }
}
