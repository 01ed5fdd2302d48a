//! A table's header: the line above its rows, and the lines of its cells.

use super::super::{Cell, Rule};
use super::run::MAX_ROW_GAP;
use super::{GridRow, MAX_HEADER_ROWS, MIN_ROWS, Row, columns, is_amount, is_figure, is_year};

/// Lines of one name are not further apart than so many letter heights.
const MAX_LEADING: f64 = 1.6;

/// A label this much further to the right than the one above is indented.
const MIN_INDENT: f64 = 4.0;

/// Returns the cells of a line of one piece above a table, if it is part of its header: a name with a rule below it over
/// several columns, the first line of a name, or names that stand so close to each other that they seem to be one text.
pub(super) fn above(row: &Row, table: &[Row], rules: &[Rule]) -> Option<Vec<Cell>> {
    let ([cell], Some(first)) = (&row.cells[..], table.first()) else {
        return None;
    };
    if first.y - row.y > row.size.max(first.size) * MAX_ROW_GAP {
        return None;
    }
    let (_, columns) = columns::below_header(table, MIN_ROWS)?;
    let is_over_several = row
        .room_above_rule(cell, rules)
        .and_then(|(left, right)| columns::within(&columns, left, right))
        .is_some_and(|over| over.len() > 1);
    if is_over_several || begins_name(row, cell, first, &columns) {
        return Some(row.cells.clone());
    }
    let parts = columns::parted(&columns, row);
    (columns.len() > 2 && parts.len() == columns.len()).then_some(parts)
}

/// Whether a cell is the first line of the name of a column, not that of the labels: it stands close above the next line of
/// it and lines up with that.
fn begins_name(row: &Row, cell: &Cell, first: &Row, columns: &[(f64, f64)]) -> bool {
    let size = row.size.min(first.size);
    let column = columns::place(columns, cell);
    let next = first
        .cells
        .iter()
        .find(|next| columns::place(columns, next) == column);
    let (before, after) = (column.checked_sub(1), columns.get(column + 1));
    let stays = before.is_some_and(|before| columns[before].1 < cell.left)
        && after.is_none_or(|after| after.0 > cell.right);
    let lines_up = next.is_some_and(|next| {
        columns::are_aligned((cell.left, cell.right), (next.left, next.right), size * 0.3)
    });
    stays
        && lines_up
        && first.y - row.y <= size * MAX_LEADING
        && (row.size - first.size).abs() <= size * 0.15
        && !is_figure(&cell.text)
        && !first.cells.iter().any(|next| is_amount(&next.text))
        && !cell.text.starts_with(['(', '[', '（'])
}

/// Joins the rows of a header whose cells are wrapped: those above the first row with figures, if only the
/// last of them has all its cells.
pub(super) fn join(mut rows: Vec<GridRow>) -> Vec<Vec<String>> {
    let has_figures = |row: &GridRow| {
        let (mut n, mut n_figures) = (0, 0);
        // A dash stands for a figure or a word.
        let says = |cell: &&String| cell.chars().any(char::is_alphanumeric);
        for cell in row.texts.iter().skip(1).filter(says) {
            n += 1;
            n_figures += usize::from(is_mostly_figure(cell) && !is_period(cell));
        }
        // "12 weeks" over "2.5 %" names a column: rows have labels.
        let is_labeled = has_label(row);
        is_labeled && n_figures > 0 && n_figures * 2 >= n
            || row.texts.iter().any(|cell| is_amount(cell))
    };
    let n_plain = rows.iter().position(has_figures).unwrap_or(0);
    // A row that only tells apart what stands under one name, be it by figures such as years, is part of the header.
    let n_told_apart = rows
        .windows(2)
        .take_while(|pair| pair[1].tells_apart(&pair[0]))
        .count();
    let n = n_plain.max(if n_told_apart > 0 {
        n_told_apart + 1
    } else {
        0
    });
    let is_full =
        |row: &GridRow| row.wide.is_empty() && row.texts.iter().all(|cell| !cell.is_empty());
    // A row without a label, such as that of the units, belongs to a header however full the row above is.
    let n = n - n_subtitles(&rows[..n], rows.get(n));
    let is_one = |above: &[GridRow], further: &[GridRow]| {
        !above.iter().any(is_full) || !further.iter().any(has_label)
    };
    let is_header =
        |n: usize| is_one(&rows[..n - 1], &rows[1..n]) || is_stacked(&rows[..n], rows.get(n));
    if (2..=MAX_HEADER_ROWS.min(rows.len())).contains(&n) && is_header(n) {
        let further: Vec<GridRow> = rows.drain(1..n).collect();
        for row in further {
            for (cell, more) in rows[0].texts.iter_mut().zip(row.texts) {
                if !cell.is_empty() && !more.is_empty() {
                    cell.push(' ');
                }
                cell.push_str(&more);
            }
        }
    }
    rows.into_iter().map(|row| row.texts).collect()
}

/// Whether names of several lines stand on a rule that parts them from the rows: each line goes on with all names of the one
/// above it, and further ones begin.
fn is_stacked(names: &[GridRow], below: Option<&GridRow>) -> bool {
    let is_filled = |text: &String| !text.is_empty();
    let goes_on = |pair: &[GridRow]| {
        let mut both = pair[0].texts.iter().zip(&pair[1].texts);
        both.all(|(above, text)| !is_filled(above) || is_filled(text))
    };
    let begins = names
        .first()
        .is_some_and(|first| !has_label(first) && !first.texts.iter().skip(1).all(is_filled));
    let is_full = names
        .last()
        .is_some_and(|last| last.texts.iter().all(is_filled));
    begins
        && is_full
        && names.windows(2).all(goes_on)
        && below.is_some_and(|below| below.is_ruled_off)
}

fn has_label(row: &GridRow) -> bool {
    row.texts.first().is_some_and(|label| !label.is_empty())
}

/// Returns how many rows at the end of a header that names no labels are labels alone: they head the rows below. The
/// header's own label is underlined, or stands over the labels without a rule between it and the names beside it.
fn n_subtitles(rows: &[GridRow], below: Option<&GridRow>) -> usize {
    let is_label_alone =
        |row: &&GridRow| has_label(row) && row.texts.iter().skip(1).all(|text| text.is_empty());
    let n = rows.iter().rev().take_while(is_label_alone).count();
    let (names, labels) = rows.split_at(rows.len() - n);
    let (Some(first), Some(last)) = (labels.first(), labels.last()) else {
        return 0;
    };
    let has_own = names.iter().any(has_label) && !first.is_ruled_off;
    let is_header = names.is_empty() || has_own || first.is_underlined;
    let heads = below.is_some_and(|below| below.left > last.left + MIN_INDENT);
    if is_header || !(n > 1 || heads || first.is_ruled_off) {
        return 0;
    }
    n
}

/// Takes the rows off a table's top that are titles or the fields of a form, above the first one that names every column.
pub(super) fn titles(rows: &mut Vec<Vec<String>>) -> Vec<String> {
    let is_full = |row: &Vec<String>| {
        row.iter().skip(1).all(|text| !text.is_empty()) && !row.iter().any(|text| is_figure(text))
    };
    let is_form = |row: &Vec<String>| row.iter().any(|text| text.contains([':', '：']));
    let is_title = |row: &Vec<String>| {
        let n_filled = row.iter().filter(|text| !text.is_empty()).count();
        n_filled == 1 || (row.len() > 2 && is_form(row))
    };
    let n = rows.iter().take_while(|row| is_title(row)).count();
    if n > MAX_HEADER_ROWS || !rows.get(n).is_some_and(is_full) || n + 1 == rows.len() {
        return Vec::new();
    }
    let text = |row: Vec<String>| {
        let mut texts = row;
        texts.retain(|text| !text.is_empty());
        texts.join(" ")
    };
    rows.drain(..n).map(text).collect()
}

/// Whether a text names a time: years with words or with the next year behind them (`May 2022`, `2003–04`), and no other
/// figures.
pub(super) fn is_period(text: &str) -> bool {
    let numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|number| !number.is_empty());
    let (mut n_years, mut n_next, mut before) = (0, 0, None);
    for number in numbers {
        let value: Option<u32> = number.parse().ok();
        let is_next = before
            .zip(value)
            .is_some_and(|(before, value)| number.len() == 2 && value == (before + 1) % 100);
        if !is_next && !is_year(number) {
            return false;
        }
        n_next += usize::from(is_next);
        n_years += usize::from(!is_next);
        before = value.filter(|_| !is_next);
    }
    let has_words = text.chars().any(char::is_alphabetic);
    n_years > 0 && (n_next > 0 || has_words) && !text.contains(['%', '.', ','])
}

/// Whether a text is a figure with its unit or currency, not words with a figure among them.
fn is_mostly_figure(text: &str) -> bool {
    let n_digits = text.chars().filter(char::is_ascii_digit).count();
    let n_letters = text.chars().filter(|c| c.is_alphabetic()).count();
    n_digits > 0 && n_digits * 4 >= n_letters
}
