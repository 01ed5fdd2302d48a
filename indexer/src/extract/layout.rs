//! Lines with places → tables, headings and paragraphs in reading order, without the headers and footers that pages
//! repeat. PDF pages and recognized pictures come through here.

mod bidi;
mod collect;
mod continued;
mod grid;
mod margins;
mod order;
mod spread;

use crate::extract::outline::Outline;
use crate::extract::{clean, text};
pub(crate) use collect::{Collector, Glyph, quarter_turn};
use std::collections::HashMap;

/// Longest line that can be a heading.
const MAX_HEADING_CHARS: usize = 120;

/// A heading is larger than the body text by this factor.
const HEADING_SCALE: f64 = 1.15;

/// How far the line below a text may reach beyond it.
const UNDERLINE_ENDS: f64 = 2.5;

/// A run of text on one base line. Places are in points or pixels as one sees them once the page is turned so that the
/// line runs to the right; vertical writing counts as a page turned by three quarters.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Line {
    /// The text between wide gaps, from left to right; at least one.
    pub(crate) cells: Vec<Cell>,
    /// The base line; grows downwards.
    pub(crate) y: f64,
    /// Height of the letters.
    pub(crate) size: f64,
    /// The direction of writing in quarter turns: 0 to the right, 1 up, 2 to the left, 3 down.
    pub(crate) turn: u8,
}

/// A part of a line with a wide gap or a ruling line before and after it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) left: f64,
    pub(crate) right: f64,
    /// The spaces between its words, where their places are known.
    pub(crate) spaces: Vec<Space>,
}

/// A space between two words of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Space {
    /// Where it is in the cell's text, in bytes.
    pub(crate) at: usize,
    pub(crate) left: f64,
    pub(crate) right: f64,
}

/// A straight line that is drawn, such as a table's border: its ends, the lower coordinates first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rule {
    pub(crate) from: (f64, f64),
    pub(crate) to: (f64, f64),
}

impl Rule {
    fn is_horizontal(&self) -> bool {
        self.to.0 - self.from.0 > self.to.1 - self.from.1
    }

    fn is_vertical(&self) -> bool {
        !self.is_horizontal()
    }

    /// Whether it only underlines a text.
    fn is_underline(&self, lines: &[Line]) -> bool {
        let is_below = |line: &&Line| {
            let below = self.from.1 - line.y;
            line.turn == 0 && (-0.1..0.3).contains(&(below / line.size))
        };
        let is_as_wide = |cell: &Cell| {
            self.from.0 >= cell.left - UNDERLINE_ENDS && self.to.0 <= cell.right + UNDERLINE_ENDS
        };
        self.is_horizontal()
            && lines
                .iter()
                .filter(is_below)
                .any(|line| line.cells.iter().any(is_as_wide))
    }
}

impl Space {
    fn width(&self) -> f64 {
        self.right - self.left
    }
}

impl Line {
    pub(crate) fn left(&self) -> f64 {
        self.cells.first().map_or(0.0, |cell| cell.left)
    }

    pub(crate) fn right(&self) -> f64 {
        self.cells.last().map_or(0.0, |cell| cell.right)
    }

    pub(crate) fn text(&self) -> String {
        let mut texts: Vec<&str> = self.cells.iter().map(|cell| cell.text.as_str()).collect();
        if texts.len() > 1 && bidi::is_right_to_left(&texts.concat()) {
            texts.reverse();
        }
        texts.join(" ")
    }
}

/// The lines of one page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) number: u32,
    pub(crate) lines: Vec<Line>,
    pub(crate) rules: Vec<Rule>,
    /// Whether the lines' order says nothing, as that of recognized lines.
    pub(crate) is_unordered: bool,
}

/// What a page is made of, in reading order.
enum Item {
    Line(Line),
    Table(grid::Table),
}

/// A heading that the document itself lists: its page, level from 1, and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bookmark {
    pub(crate) page: u32,
    pub(crate) level: u8,
    pub(crate) title: String,
}

/// Adds the pages' tables, paragraphs and headings; `after` adds what follows a page's text.
pub(crate) fn add_pages(
    outline: &mut Outline,
    mut pages: Vec<Page>,
    bookmarks: &[Bookmark],
    mut after: impl FnMut(&mut Outline, u32),
) {
    margins::drop_repeated(&mut pages);
    let sizes = heading_sizes(&pages);
    let numbers: Vec<u32> = pages.iter().map(|page| page.number).collect();
    let mut pages: Vec<Vec<Item>> = pages
        .into_iter()
        .map(|page| spread::halves(page).into_iter().flat_map(items).collect())
        .collect();
    continued::join(&mut pages);
    for (number, items) in numbers.into_iter().zip(pages) {
        outline.set_page(Some(number));
        let mut headings = Headings {
            sizes: &sizes,
            bookmarks: bookmarks
                .iter()
                .filter(|one| [0, number].contains(&one.page))
                .collect(),
        };
        let mut start = 0;
        while start < items.len() {
            match &items[start] {
                Item::Table(table) => {
                    for title in &table.titles {
                        outline.paragraph(title);
                    }
                    outline.table(table.rows.clone());
                    start += 1;
                }
                Item::Line(first) => {
                    let mut lines = vec![first];
                    for item in &items[start + 1..] {
                        match item {
                            Item::Line(next) if is_same_paragraph(&lines, next) => lines.push(next),
                            Item::Line(_) | Item::Table(_) => break,
                        }
                    }
                    start += lines.len();
                    add_paragraph(outline, &lines, &mut headings);
                }
            }
        }
        after(outline, number);
    }
    outline.set_page(None);
}

/// Brings a page's lines into reading order and finds its tables.
fn items(page: Page) -> Vec<Item> {
    let (ruled, page_rest) = grid::ruled::tables(page.lines, &page.rules);
    let mut items = Vec::new();
    let mut ruled = Some(ruled);
    let mut turns: Vec<u8> = page_rest.lines.iter().map(|line| line.turn).collect();
    turns.dedup();
    // Text of one direction is laid out for itself; the directions follow each other as they are drawn.
    let mut seen = Vec::new();
    for turn in turns {
        if seen.contains(&turn) {
            continue;
        }
        seen.push(turn);
        let lines: Vec<Line> = page_rest
            .lines
            .iter()
            .filter(|l| l.turn == turn)
            .cloned()
            .collect();
        let rules: &[Rule] = if turn == 0 { &page_rest.rules } else { &[] };
        let (mut tables, rest) = grid::tables(lines, rules);
        if turn == 0 {
            tables.extend(ruled.take().into_iter().flatten());
            tables.sort_by(|a, b| a.top.total_cmp(&b.top));
        }
        let lines = order::sorted(rest, page.is_unordered);
        items.extend(with_tables(lines, tables));
    }
    items.extend(ruled.take().into_iter().flatten().map(Item::Table));
    items
}

/// Puts each table between the lines above and below it. Where the order of the lines leaves no such place, such as when a
/// page's footer is drawn first, the lines near the table count for more than those far from it.
fn with_tables(lines: Vec<Line>, tables: Vec<grid::Table>) -> Vec<Item> {
    let mut items: Vec<Item> = lines.into_iter().map(Item::Line).collect();
    for table in tables {
        let at = place(&items, &table);
        items.insert(at, Item::Table(table));
    }
    items
}

/// Returns the last of the places where the fewest lines stand on the wrong side of a table. Tables come from top to bottom;
/// one that goes to the same place follows the one before.
fn place(items: &[Item], table: &grid::Table) -> usize {
    // What a line says about the places before it, as opposed to those after it: above the table it speaks against them.
    let weight = |item: &Item| match item {
        Item::Line(line) if line.right() > table.left && line.left() < table.right => {
            let is_above = line.y <= table.top;
            let way = if is_above {
                table.top - line.y
            } else {
                (line.y - table.bottom).max(0.0)
            };
            let near = 1.0 / (1.0 + way / line.size.max(1.0));
            if is_above { -near } else { near }
        }
        Item::Line(_) | Item::Table(_) => 0.0,
    };
    let (mut best, mut least, mut cost) = (0, 0.0, 0.0);
    for (before, item) in items.iter().enumerate() {
        cost += weight(item);
        if cost <= least {
            (best, least) = (before + 1, cost);
        }
    }
    best
}

/// Which lines of a page are headings.
struct Headings<'a> {
    sizes: &'a [i64],
    /// Of this page, those not met yet.
    bookmarks: Vec<&'a Bookmark>,
}

impl Headings<'_> {
    /// Returns the level if a paragraph is a heading: by its size, else because the document lists it.
    fn level(&mut self, lines: &[&Line], joined: &str) -> Option<u8> {
        let is_short =
            joined.chars().count() <= MAX_HEADING_CHARS && joined.chars().any(char::is_alphabetic);
        if !is_short {
            return None;
        }
        let folded = fold(joined);
        let listed = self
            .bookmarks
            .iter()
            .position(|one| fold(&one.title) == folded);
        let listed = listed.map(|at| self.bookmarks.remove(at).level);
        let class = size_class(lines.first()?.size);
        let by_size = self.sizes.iter().position(|&size| size == class);
        let is_open = joined.ends_with(['.', '。', ',', '、']);
        let by_size = by_size.filter(|_| !is_open);
        by_size
            .map(|level| u8::try_from(level + 1).unwrap_or(6))
            .or(listed)
    }
}

fn fold(text: &str) -> String {
    let text = clean::inline(text);
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn add_paragraph(outline: &mut Outline, lines: &[&Line], headings: &mut Headings<'_>) {
    let texts: Vec<String> = lines.iter().map(|line| line.text()).collect();
    let joined = clean::join_lines(texts.iter().map(String::as_str));
    match (headings.level(lines, &joined), text::list_marker(&joined)) {
        (Some(level), _) => outline.heading(level, &joined),
        (None, Some(marker)) => {
            let rest = joined[marker.len()..].to_owned();
            outline.list_item(marker, &rest);
        }
        (None, None) => outline.paragraph(&joined),
    }
}

/// Whether a line continues the paragraph of the lines before it: next below, of the same size, the last one full.
fn is_same_paragraph(lines: &[&Line], next: &Line) -> bool {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
        return false;
    };
    let step = next.y - last.y;
    let usual = lines
        .get(1)
        .map_or(last.size * 1.7, |second| (second.y - first.y) * 1.25);
    let right = lines
        .iter()
        .map(|line| line.right())
        .fold(f64::MIN, f64::max);
    let left = lines
        .iter()
        .map(|line| line.left())
        .fold(f64::MAX, f64::min);
    let (right, left) = (right.max(next.right()), left.min(next.left()));
    let width = right - left;
    let slack = (width * 0.2).max(last.size * 2.0);
    let last_is_full = if bidi::is_right_to_left(&last.text()) {
        last.left() - left <= slack
    } else {
        right - last.right() <= slack
    };
    next.turn == last.turn
        && step > 0.0
        && step <= usual.max(last.size * 1.2)
        && (next.size - last.size).abs() <= last.size * 0.15
        && next.left() < last.right()
        && next.right() > last.left()
        && last_is_full
        && width > last.size * 8.0
        && text::list_marker(&next.text()).is_none()
}

/// Sizes in half points: fonts that look the same differ in the last digits.
fn size_class(size: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "font sizes are small")]
    let class = (size * 2.0).round() as i64;
    class
}

/// The sizes used for headings, largest first, at most three: those above the size most text is set in.
fn heading_sizes(pages: &[Page]) -> Vec<i64> {
    let mut n_chars: HashMap<i64, usize> = HashMap::new();
    // The heights of recognized lines are too rough to tell headings by.
    let lines = pages.iter().filter(|page| !page.is_unordered);
    for line in lines.flat_map(|page| &page.lines) {
        *n_chars.entry(size_class(line.size)).or_default() += line.text().chars().count();
    }
    let total: usize = n_chars.values().sum();
    let Some((&body, _)) = n_chars.iter().max_by_key(|(size, n)| (**n, -**size)) else {
        return Vec::new();
    };
    let mut sizes: Vec<i64> = n_chars
        .iter()
        .filter(|&(&size, &n)| size as f64 >= body as f64 * HEADING_SCALE && n * 5 < total)
        .map(|(&size, _)| size)
        .collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.truncate(3);
    sizes
}

#[cfg(test)]
pub(crate) mod words;
