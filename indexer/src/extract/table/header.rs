//! Which rows of a table are titles, which its header, and what the header calls each column.
//!
//! What the format says decides. Where it says nothing, a row belongs to the header only if the one above it cannot be read
//! without it: names of groups of columns, which it tells apart. In doubt the header is one row.

use super::row::{Cover, Row, Slot};
use std::ops::Range;

/// Most rows of a header; more say so in error.
const MAX_HEADER_ROWS: usize = 6;

/// Rows that tell what a header further down is.
const N_AMID: usize = 16;

/// Most titles above a header; more lines of one cell are a list.
const MAX_TITLES: usize = 4;

/// Longest unit of a column, in characters.
const MAX_UNIT_CHARS: usize = 16;

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
        while is_title(rows, at, &frame) || (!merges && is_above_names(rows, at)) {
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

    /// Names those of some columns that have no name by the header with which they begin in a row further down.
    pub(crate) fn name_amid(&mut self, rows: &[Row], row: usize, columns: Range<usize>) {
        let rows = rows.iter().skip(row).take(N_AMID);
        let rows: Vec<Row> = rows.map(|row| row.part(&columns)).collect();
        let names = names(&header_rows(&rows));
        let width = self.names.len().max(columns.start + names.len());
        self.names.resize(width, String::new());
        for (own, name) in self.names[columns.start..].iter_mut().zip(names) {
            if own.is_empty() {
                *own = name;
            }
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
    let Some(row) = rows.get(at) else {
        return false;
    };
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

/// Whether a row of a sheet stands above the row that names the columns without being part of the header: the fields of a
/// form (`Date: | 1 May`), or a title with something at its right, such as a unit, that names no columns.
fn is_above_names(rows: &[Row], at: usize) -> bool {
    let Some((row, below)) = rows.get(at..).and_then(<[Row]>::split_first) else {
        return false;
    };
    let n_cells = row.own().count();
    let is_form = row
        .own()
        .next()
        .is_some_and(|column| row.slots[column].text.trim_end().ends_with([':', '：']));
    let n_least = if is_form { n_cells + 1 } else { n_cells * 2 };
    let names = below
        .iter()
        .take(MAX_TITLES)
        .position(|row| row.own().count() >= n_least);
    let Some((names, body)) = names.and_then(|names| below[names..].split_first()) else {
        return false;
    };
    let is_declared = rows[at..rows.len() - body.len()]
        .iter()
        .any(|row| row.is_header);
    n_cells > 1
        && !is_declared
        && !has_figures(names)
        && is_above_figures(body)
        && names_all(names, body)
        && (is_form || header_rows(&rows[at..]).len() == 1)
}

/// Whether a row has a cell for each column of the next rows, that of the rows' names apart.
fn names_all(names: &Row, body: &[Row]) -> bool {
    let rows = body.iter().filter(|row| !row.is_empty()).take(3);
    rows.flat_map(|row| row.own().skip(1))
        .all(|column| names.slots.get(column).is_some_and(Slot::has_text))
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
        && body.iter().any(|row| !row.is_empty())
        && let Some(upper) = header.last_mut()
    {
        let reaches_down = reaches_down(upper, lower);
        if has_figures(lower) && !reaches_down {
            break;
        }
        let is_above_figures = is_above_figures(body);
        if reaches_down
            || tells_apart(upper, lower)
            || (is_above_figures
                && (splits(upper, lower)
                    || is_reached_into(lower)
                    || are_units(upper, lower, body)))
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

/// Whether the name of the rows, which stands in the upper row, reaches down into the lower one, and this says nothing but
/// what stands under one name, be it numbers.
fn reaches_down(upper: &Row, lower: &Row) -> bool {
    let Some(first) = upper.own().next() else {
        return false;
    };
    let reaches = |slot: &Slot| slot.cover == Cover::Above && slot.has_text();
    let wide = wide(upper);
    lower.slots.get(first).is_some_and(reaches)
        && !lower.is_empty()
        && lower
            .own()
            .all(|column| wide.iter().any(|columns| columns.contains(&column)))
}

/// Whether the lower row has the units of the upper one's columns: short, all in brackets, or above figures only and
/// without a name of a row.
fn are_units(upper: &Row, lower: &Row, body: &[Row]) -> bool {
    let Some(data) = body.iter().find(|row| row.own().nth(1).is_some()) else {
        return false;
    };
    let text = |column: usize| lower.slots[column].text.trim();
    let is_bracketed = |column: usize| {
        text(column).starts_with(['(', '[', '（', '［'])
            && text(column).ends_with([')', ']', '）', '］'])
    };
    let is_above_figure = |column: usize| {
        matches!(kind(data, column), Kind::Figure | Kind::Nil) && data.own().next() != Some(column)
    };
    !lower.is_empty()
        && lower.own().all(|column| {
            upper.slots.get(column).is_some_and(Slot::has_text)
                && text(column).chars().count() <= MAX_UNIT_CHARS
                && kind(lower, column) == Kind::Text
        })
        && (lower.own().all(is_bracketed) || lower.own().all(is_above_figure))
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
        // Names in both rows of the column that names the rows: the lower may be one of these, unless several groups are
        // above far more names.
        Some(&column)
            if column == first
                && names_rows
                && (groups.len() < 3 || (groups.len() - 1) * 2 >= named.len()) =>
        {
            return None;
        }
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
    let is_not_available = ["n/a", "n.a."]
        .iter()
        .any(|none| text.eq_ignore_ascii_case(none));
    if is_not_available || matches!(text, "-" | "–" | "—" | "−") {
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

/// Whether a text is a figure, years and days apart.
pub(crate) fn is_figure(text: &str) -> bool {
    kind_of(text) == Kind::Figure
}

/// Whether a cell of the row is a figure, years and days apart.
pub(crate) fn has_figures(row: &Row) -> bool {
    row.own().any(|column| kind(row, column) == Kind::Figure)
}

#[cfg(test)]
mod tests;
