//! A table's header: the line above its rows, and the lines of its cells.

use super::super::{Cell, Rule};
use super::run::MAX_ROW_GAP;
use super::{GridRow, MAX_HEADER_ROWS, MIN_ROWS, Row, columns, is_amount};

/// Returns the cells of a line of one piece above a table, if it is part of its header: a name with a rule below it over
/// several columns, or names that stand so close to each other that they seem to be one text.
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
    if is_over_several {
        return Some(row.cells.clone());
    }
    let parts = columns::parted(&columns, row);
    (columns.len() > 2 && parts.len() == columns.len()).then_some(parts)
}

/// Joins the rows of a header whose cells are wrapped: those above the first row with figures, if only the
/// last of them has all its cells.
pub(super) fn join(mut rows: Vec<GridRow>) -> Vec<Vec<String>> {
    let has_figures = |row: &GridRow| {
        let (mut n, mut n_figures) = (0, 0);
        for cell in row.texts.iter().skip(1).filter(|cell| !cell.is_empty()) {
            n += 1;
            n_figures += usize::from(is_mostly_figure(cell));
        }
        n_figures > 0 && n_figures * 2 >= n || row.texts.iter().any(|cell| is_amount(cell))
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
    let has_label = |row: &GridRow| row.texts.first().is_some_and(|label| !label.is_empty());
    let is_one = |above: &[GridRow], further: &[GridRow]| {
        !above.iter().any(is_full) || !further.iter().any(has_label)
    };
    if (2..=MAX_HEADER_ROWS.min(rows.len())).contains(&n) && is_one(&rows[..n - 1], &rows[1..n]) {
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

/// Whether a text is a figure with its unit or currency, not words with a figure among them.
fn is_mostly_figure(text: &str) -> bool {
    let n_digits = text.chars().filter(char::is_ascii_digit).count();
    let n_letters = text.chars().filter(|c| c.is_alphabetic()).count();
    n_digits > 0 && n_digits * 4 >= n_letters
}
