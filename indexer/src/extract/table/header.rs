//! Which rows of a table are titles, which its header, and what the header calls each column.
//!
//! What the format says decides. Where it says nothing, a row belongs to the header only if the one above it cannot be read
//! without it: names of groups of columns, which it tells apart. In doubt the header is one row.

use super::row::{Cover, Row, Slot};
use std::ops::Range;

/// Most rows of a header; more say so in error.
const MAX_HEADER_ROWS: usize = 6;

/// Most titles above a header; more lines of one cell are a list.
const MAX_TITLES: usize = 4;

/// Between the names of a column, from the top down.
const NAME_SEPARATOR: &str = " · ";

/// The parts of a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Rows above the header with one cell, and its text.
    pub(crate) titles: Vec<(usize, String)>,
    /// The row at which the header begins.
    pub(crate) header: usize,
    /// The row at which the body begins; that of the header if the columns have no names.
    pub(crate) body: usize,
    /// The names of the columns.
    pub(crate) names: Vec<String>,
}

impl Parts {
    /// Tells the parts of a table apart. `merges` says that a title would cover several columns.
    pub(crate) fn of(rows: &[Row], merges: bool) -> Self {
        let Some(frame) = Frame::of(rows, merges) else {
            return Self::default();
        };
        let mut titles = Vec::new();
        let mut at = next_with_text(rows, 0);
        while is_title(rows, at, &frame) {
            titles.push((at, text_of(&rows[at])));
            at = next_with_text(rows, at + 1);
        }
        if !merges {
            let header = declared_header(rows, at);
            let above = (at..header).filter(|&row| !rows[row].is_empty());
            titles.extend(above.map(|row| (row, text_of(&rows[row]))));
            at = header;
        }
        let rest = &rows[at..];
        if !titles.is_empty() && has_no_names(rest) {
            let names = vec![String::new(); rest.first().map_or(0, Row::width)];
            return Self {
                titles,
                header: at,
                body: at,
                names,
            };
        }
        let header = header_rows(rest);
        Self {
            titles,
            header: at,
            body: at + header.len(),
            names: names(&header),
        }
    }
}

fn next_with_text(rows: &[Row], from: usize) -> usize {
    let found = rows[from.min(rows.len())..]
        .iter()
        .position(|row| !row.is_empty());
    found.map_or(rows.len(), |offset| from + offset)
}

fn text_of(row: &Row) -> String {
    let texts: Vec<&str> = row.own().map(|at| row.slots[at].text.as_ref()).collect();
    texts.join(" ")
}

/// Where the header of a sheet's table begins: at the row that the sheet says it is, or where the names of groups above
/// that row begin. What is above it is no part of the table.
fn declared_header(rows: &[Row], at: usize) -> usize {
    let first = &rows[at..rows.len().min(at + MAX_TITLES + MAX_HEADER_ROWS)];
    let declared = first.iter().position(|row| row.is_header);
    match declared {
        Some(declared) if !first[..declared].iter().any(has_figures) => {
            let reaches =
                |start: &usize| header_rows(&rows[*start..]).len() > at + declared - start;
            (at..at + declared).find(reaches).unwrap_or(at + declared)
        }
        Some(_) | None => at,
    }
}

/// The columns of a table with text, and whether a title would cover several of them.
struct Frame {
    left: usize,
    right: usize,
    merges: bool,
}

impl Frame {
    fn of(rows: &[Row], merges: bool) -> Option<Self> {
        Some(Self {
            left: rows.iter().filter_map(|row| row.own().next()).min()?,
            right: rows.iter().filter_map(|row| row.own().last()).max()?,
            merges,
        })
    }
}

/// Whether a row is a title: its only cell, and above a row with more of them.
fn is_title(rows: &[Row], at: usize, frame: &Frame) -> bool {
    let row = &rows[at];
    let Some(column) = row.own().next().filter(|_| row.is_single()) else {
        return false;
    };
    let mut next = next_with_text(rows, at + 1);
    let mut n_titles = 1;
    while rows.get(next).is_some_and(Row::is_single) && n_titles < MAX_TITLES {
        next = next_with_text(rows, next + 1);
        n_titles += 1;
    }
    let Some(below) = rows.get(next).filter(|below| !below.is_single()) else {
        return false;
    };
    // The only row that is called a header is one, however few cells it has.
    if row.is_header && !below.is_header {
        return false;
    }
    // Figures are no header, so that what is merged above them is one.
    if frame.merges && below.own().all(|column| kind(below, column) != Kind::Text) {
        return false;
    }
    let is_header_alone = || header_rows(&rows[at..]).len() == 1;
    match wide(row).first() {
        // A title covers everything; further right it may be the name of a group of columns.
        Some(columns) if column == frame.left => columns.end > frame.right || is_header_alone(),
        Some(_) => false,
        None if frame.merges => false,
        None if column == frame.left => true,
        None => below.own().nth(2).is_some() && !has_figures(below) && is_header_alone(),
    }
}

/// Whether the first row below a title is a row like those after it.
fn has_no_names(rows: &[Row]) -> bool {
    let Some((first, rest)) = rows.split_first() else {
        return false;
    };
    let Some(next) = rest.iter().find(|row| row.own().nth(1).is_some()) else {
        return false;
    };
    let figures: Vec<usize> = first
        .own()
        .filter(|&column| kind(first, column) == Kind::Figure)
        .collect();
    !first.is_header
        && !figures.is_empty()
        && figures.len() * 2 <= first.own().count()
        && figures
            .iter()
            .all(|&column| matches!(kind(next, column), Kind::Figure | Kind::Nil))
}

/// The rows of the header, which are the first ones, with the names of groups in all of their columns.
fn header_rows(rows: &[Row]) -> Vec<Row> {
    let Some(first) = rows.first() else {
        return Vec::new();
    };
    let n_declared = rows.iter().take_while(|row| row.is_header).count();
    if (1..rows.len()).contains(&n_declared) {
        return rows[..n_declared.min(MAX_HEADER_ROWS)].to_vec();
    }
    let mut header = vec![first.clone()];
    if has_figures(first) {
        return header;
    }
    while header.len() < MAX_HEADER_ROWS
        && let Some((lower, body)) = rows[header.len()..].split_first()
        && !has_figures(lower)
        && body.iter().any(|row| !row.is_empty())
        && let Some(upper) = header.last_mut()
    {
        let is_above_figures = is_above_figures(body);
        if tells_apart(upper, lower)
            || (is_above_figures && (splits(upper, lower) || is_reached_into(lower)))
        {
            header.push(lower.clone());
        } else if let Some(spread) = spread(rows, upper, lower).filter(|_| is_above_figures) {
            *upper = spread;
            header.push(lower.clone());
        } else {
            break;
        }
    }
    header
}

/// Columns that cells with text cover, where they cover several.
fn wide(row: &Row) -> Vec<Range<usize>> {
    let own = row.own().map(|first| {
        let covered = row.slots[first + 1..]
            .iter()
            .take_while(|slot| slot.cover == Cover::Left);
        first..first + 1 + covered.count()
    });
    own.filter(|columns| columns.len() > 1).collect()
}

fn n_own_within(row: &Row, columns: &Range<usize>) -> usize {
    let slots = row.slots.get(columns.start..columns.end.min(row.width()));
    slots.map_or(0, |slots| slots.iter().filter(|slot| slot.is_own()).count())
}

/// Whether the lower row has several names below each name of a group, and others only where the upper row has none.
fn tells_apart(upper: &Row, lower: &Row) -> bool {
    let wide = wide(upper);
    let is_grouped = |column: usize| {
        let after = wide.partition_point(|columns| columns.end <= column);
        wide.get(after)
            .is_some_and(|columns| columns.contains(&column))
    };
    !wide.is_empty()
        && wide.iter().all(|columns| n_own_within(lower, columns) > 1)
        && lower
            .own()
            .all(|column| is_grouped(column) || !upper.slots.get(column).is_some_and(Slot::is_own))
}

/// Whether the lower row has several names below one of a group.
fn splits(upper: &Row, lower: &Row) -> bool {
    wide(upper)
        .iter()
        .any(|columns| n_own_within(lower, columns) > 1)
}

/// Whether a cell above reaches down into the row, beside names.
fn is_reached_into(row: &Row) -> bool {
    let is_above = |slot: &Slot| slot.cover == Cover::Above && slot.has_text();
    row.slots.iter().any(is_above)
        && row.own().next().is_some()
        && row.own().all(|column| kind(row, column) == Kind::Text)
}

/// Whether the first rows that say anything have figures in half of their columns.
fn is_above_figures(body: &[Row]) -> bool {
    let rows = body.iter().filter(|row| row.own().nth(1).is_some());
    let mut n_rows = 0;
    let all = rows.take(2).all(|row| {
        n_rows += 1;
        let data: Vec<Kind> = row.own().skip(1).map(|column| kind(row, column)).collect();
        let figures = data
            .iter()
            .filter(|kind| matches!(kind, Kind::Figure | Kind::Nil));
        data.contains(&Kind::Figure) && figures.count() * 2 >= data.len()
    });
    all && n_rows > 0
}

/// The upper row with its names in all the columns that they are meant for, where cells are not merged: a sheet's author
/// writes the name of a group at its first column, or at its last one.
///
/// `None` if the lower row does not name more columns than the upper, or who belongs to whom cannot be told.
fn spread(rows: &[Row], upper: &Row, lower: &Row) -> Option<Row> {
    let first = rows.iter().filter_map(|row| row.own().next()).min()?;
    let named: Vec<usize> = lower.own().collect();
    let names_rows = named.first() == Some(&first);
    let mut groups: Vec<usize> = upper.own().collect();
    match groups.first() {
        // Names in both rows of the column that names the rows: the lower may be one of these.
        Some(&column) if column == first && names_rows => return None,
        Some(&column) if column == first => {
            groups.remove(0);
        }
        Some(_) | None => {}
    }
    if groups.len() >= named.len() {
        return None;
    }
    let (first_group, last_group) = (*groups.first()?, *groups.last()?);
    let (first_named, last_named) = (*named.first()?, *named.last()?);
    let is_first = names_rows || first_group <= first_named;
    let columns_of = |index: usize| -> Range<usize> {
        if is_first {
            let after = groups.get(index + 1).copied();
            groups[index]..after.unwrap_or(last_named.max(groups[index]) + 1)
        } else if last_group >= last_named {
            let before = index.checked_sub(1).and_then(|before| groups.get(before));
            before.map_or(first_named, |before| before + 1)..groups[index] + 1
        } else {
            first_named..last_named + 1
        }
    };
    if !is_first && last_group < last_named && groups.len() > 1 {
        return None;
    }
    let mut spread = upper.clone();
    let mut n_wide = 0;
    for (index, &group) in groups.iter().enumerate() {
        let text = upper.slots.get(group)?.text.clone();
        let columns = columns_of(index);
        n_wide += usize::from(n_own_within(lower, &columns) > 1);
        while spread.width() < columns.end {
            spread.push("", 1);
        }
        for slot in &mut spread.slots[columns] {
            slot.text = text.clone();
        }
    }
    (n_wide > 0).then_some(spread)
}

/// The name of each column: what the rows of the header say of it, from the top down.
fn names(header: &[Row]) -> Vec<String> {
    let width = header.iter().map(Row::width).max().unwrap_or(0);
    let name = |column: usize| {
        let mut parts: Vec<&str> = Vec::new();
        for slot in header.iter().filter_map(|row| row.slots.get(column)) {
            let text = slot.text.trim();
            if slot.cover != Cover::Above && !text.is_empty() && parts.last() != Some(&text) {
                parts.push(text);
            }
        }
        parts.join(NAME_SEPARATOR)
    };
    (0..width).map(name).collect()
}

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Words, or nothing.
    Text,
    /// A year or a day, which may be a value as well as a column's name.
    Time,
    Figure,
    /// A dash that stands for nothing.
    Nil,
}

fn kind(row: &Row, column: usize) -> Kind {
    row.slots
        .get(column)
        .map_or(Kind::Text, |slot| kind_of(&slot.text))
}

fn kind_of(text: &str) -> Kind {
    let text = text.trim();
    if matches!(text, "-" | "–" | "—" | "−") {
        return Kind::Nil;
    }
    let is_part = |c: char| {
        c.is_numeric()
            || c.is_whitespace()
            || matches!(
                c,
                '.' | ',' | '\'' | '’' | ':' | '/' | '%' | '(' | ')' | '+' | '-' | '−'
            )
            || matches!(c, '–' | '±' | '$' | '€' | '£' | '¥' | '￥' | '△' | '▲')
    };
    // `1.` and `2)` count rows.
    let is_ordinal = text.ends_with('.') || (text.ends_with(')') && !text.contains('('));
    let is_figure = text.chars().any(char::is_numeric) && text.chars().all(is_part);
    // Nothing that long is a figure.
    if text.len() > 60 || is_ordinal || !is_figure {
        return Kind::Text;
    }
    let numbers: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).collect();
    let is_year = |number: &&str| number.len() == 4 && matches!(&number[..2], "19" | "20");
    let is_day = numbers.len() == 3 && numbers.iter().all(|number| (1..5).contains(&number.len()));
    let are_years = numbers.len() <= 2
        && numbers
            .iter()
            .all(|number| is_year(number) || number.len() == 2);
    if numbers.iter().any(is_year) && (is_day || are_years) {
        Kind::Time
    } else {
        Kind::Figure
    }
}

/// Whether a cell of the row is a figure, years and days apart.
pub(crate) fn has_figures(row: &Row) -> bool {
    row.own().any(|column| kind(row, column) == Kind::Figure)
}

#[cfg(test)]
mod tests;
