//! Tables that go on at the top of the next page, where they have no header of their own.

use super::grid::{self, Table};
use super::{Item, Line};

/// Longest line that may stand between a table and the end of a page, such as the page's number.
const MAX_LABEL_CHARS: usize = 20;

/// Most such lines.
const MAX_LABELS: usize = 2;

/// Most lines above the rows of a table that head its first rows.
const MAX_SUBTITLES: usize = 4;

/// How far a column may be from where it was on the page before.
const TOLERANCE: f64 = 4.0;

/// Lines further apart than so many letter heights are not of one table.
const MAX_GAP: f64 = 2.5;

/// Gives tables that go on from the page before the header they began with.
pub(super) fn join(pages: &mut [Vec<Item>]) {
    for at in 1..pages.len() {
        let (before, after) = pages.split_at_mut(at);
        if let (Some(before), Some(items)) = (before.last(), after.first_mut())
            && let Some(table) = last_table(before)
            && let Some(place) = place_of_rest(items, table)
        {
            go_on(items, place, &table.rows[0]);
        }
    }
}

/// Returns the table with which a page ends.
fn last_table(items: &[Item]) -> Option<&Table> {
    let is_label = |item: &&Item| match item {
        Item::Line(line) => line.text().chars().count() <= MAX_LABEL_CHARS,
        Item::Table(_) => false,
    };
    let n_labels = items.iter().rev().take_while(is_label).count();
    match items.iter().rev().nth(n_labels)? {
        Item::Table(table) if n_labels <= MAX_LABELS => Some(table),
        Item::Table(_) | Item::Line(_) => None,
    }
}

/// Returns where on a page a table goes on that was begun on the page before: it is the first thing there but for titles
/// of its first rows, has the same columns, and no names of its own for them.
fn place_of_rest(items: &[Item], begun: &Table) -> Option<usize> {
    let place = items
        .iter()
        .take(MAX_SUBTITLES + MAX_LABELS + 1)
        .position(|item| matches!(item, Item::Table(_)))?;
    let Item::Table(table) = &items[place] else {
        return None;
    };
    let has_same_columns = table.columns.len() == begun.columns.len()
        && table
            .columns
            .iter()
            .zip(&begun.columns)
            .all(|(one, other)| grid::are_aligned(*one, *other, TOLERANCE));
    let n_labels = place - n_subtitles(&items[..place], table);
    let are_labels = items[..n_labels].iter().all(|item| match item {
        Item::Line(line) => line.text().chars().count() <= MAX_LABEL_CHARS,
        Item::Table(_) => false,
    });
    (has_same_columns && n_labels <= MAX_LABELS && are_labels && !names_columns(table, begun))
        .then_some(place)
}

/// Returns how many lines close above a table stand over it, one below the other.
fn n_subtitles(above: &[Item], table: &Table) -> usize {
    let mut below = table.top;
    let mut n = 0;
    for item in above.iter().rev() {
        let Item::Line(line) = item else { break };
        let is_inside = line.left() >= table.left - TOLERANCE && line.right() <= table.right;
        if line.cells.len() > 1 || !is_inside || !(0.0..line.size * MAX_GAP).contains(&(below - line.y)) {
            break;
        }
        below = line.y - line.size * 0.7;
        n += 1;
    }
    n
}

/// Whether the first row of a table is a header: the one with which the other table began, or names above figures.
fn names_columns(table: &Table, begun: &Table) -> bool {
    let [first, rows @ ..] = &table.rows[..] else {
        return true;
    };
    if Some(first) == begun.rows.first() {
        return true;
    }
    let has_figures = (1..first.len()).any(|column| {
        let texts = rows.iter().filter_map(|row| row.get(column));
        let (mut n, mut n_figures) = (0, 0);
        for text in texts.filter(|text| !text.is_empty()) {
            n += 1;
            n_figures += usize::from(grid::is_figure(text));
        }
        n_figures * 2 > n
    });
    let is_named = first
        .iter()
        .skip(1)
        .all(|text| !text.is_empty() && !text.chars().any(|c| c.is_ascii_digit()));
    has_figures && is_named
}

/// Puts a header above a table's rows, and what heads these among them.
fn go_on(items: &mut Vec<Item>, place: usize, header: &[String]) {
    let Item::Table(table) = &items[place] else {
        return;
    };
    let n_subtitles = n_subtitles(&items[..place], table);
    let subtitles: Vec<Item> = items.drain(place - n_subtitles..place).collect();
    let Some(Item::Table(table)) = items.get_mut(place - n_subtitles) else {
        return;
    };
    let mut heads: Vec<String> = subtitles
        .iter()
        .filter_map(|item| match item {
            Item::Line(line) => Some(Line::text(line)),
            Item::Table(_) => None,
        })
        .collect();
    heads.append(&mut table.titles);
    let as_row = |head: String| {
        let mut row = vec![String::new(); header.len()];
        row[0] = head;
        row
    };
    let above = std::iter::once(header.to_vec()).chain(heads.into_iter().map(as_row));
    table.rows.splice(0..0, above);
}
