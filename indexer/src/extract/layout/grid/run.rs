//! Which rows of a page may be one table.

use super::super::Cell;
use super::{MIN_ROWS, OVERHANG, Row, columns, is_figure};

/// Lines of one cell are not further apart than so many letter heights.
const MAX_LINE_GAP: f64 = 1.5;

/// Rows that tell where a table's columns are for the next one.
pub(super) const WINDOW: usize = 64;

/// Figures at half the height of a label of two lines are not further from either than so many letter heights.
const MAX_HALF_STEP: f64 = 0.9;

/// Rows further apart than so many letter heights are not of one table.
pub(super) const MAX_ROW_GAP: f64 = 3.2;

/// Returns the end of the rows from `start` that have cells beside each other. A single row of one cell between such
/// rows, such as a subtitle or a wrapped cell, belongs to them if it leaves their columns apart.
pub(super) fn end(rows: &[Row], start: usize) -> usize {
    if rows[start].cells.len() < 2 {
        return start + 1;
    }
    let mut end = start + 1;
    let mut n_columns = columns::columns(&rows[start..end]).len();
    while end < rows.len() {
        let (row, before) = (&rows[end], &rows[end - 1]);
        let step = row.y - before.y;
        // All rows of a long table would take a time that grows with its square.
        let from = start.max(end.saturating_sub(WINDOW));
        let table = &rows[from..end];
        let next = n_columns_with(&rows[from..=end], n_columns);
        let is_narrow = row.cells.len() >= 2 || {
            let follows = rows
                .get(end + 1)
                .is_some_and(|after| after.cells.len() >= 2);
            follows || step <= row.size * 1.6
        };
        if step > row.size.max(before.size) * MAX_ROW_GAP
            || next < 2
            || next < n_columns.min(3)
            || !is_narrow
            || (next < n_columns && row.cells.len() >= 2 && stands_apart(table, row))
            || is_ruled_elsewhere(table, row)
            || is_title(table, row, rows.get(end + 1))
        {
            break;
        }
        n_columns = next;
        end += 1;
    }
    // What follows the last row of several cells is text below the table, but for the rest of what stands beside its label.
    let last = (start..end).rev().find(|&at| rows[at].cells.len() >= 2);
    let last = last.unwrap_or(start);
    let n_more = rows[last + 1..end]
        .iter()
        .enumerate()
        .take_while(|(at, row)| goes_on(&rows[last], &rows[last + at], row))
        .count();
    last + 1 + n_more
}

/// Returns the rows with figures that stand at half the height of a label of two lines as one row with it.
pub(super) fn with_labels(rows: &[Row], columns: &[(f64, f64)]) -> Vec<Row> {
    let is_label =
        |row: &Row| matches!(&row.cells[..], [cell] if columns::place(columns, cell) == 0);
    let is_close =
        |above: &Row, below: &Row| below.y - above.y <= above.size.min(below.size) * MAX_HALF_STEP;
    let has_figures = |row: &Row| {
        row.cells
            .iter()
            .all(|cell| columns::place(columns, cell) > 0)
            && row.cells.iter().any(|cell| is_figure(&cell.text))
    };
    let mut joined = Vec::with_capacity(rows.len());
    let mut rest = rows;
    while let [first, others @ ..] = rest {
        rest = others;
        let mut row = first.clone();
        if let [figures, below, others @ ..] = others
            && is_label(first)
            && is_label(below)
            && has_figures(figures)
            && is_close(first, figures)
            && is_close(figures, below)
        {
            row = figures.clone();
            let mut label = first.cells[0].clone();
            label.text.push(' ');
            label.text.push_str(&below.cells[0].text);
            label.right = label.right.max(below.cells[0].right);
            label.spaces.clear();
            row.cells.insert(0, label);
            rest = others;
        }
        joined.push(row);
    }
    joined
}

/// Whether a line goes on below a cell of a table's last row that is not its label.
fn goes_on(last: &Row, above: &Row, row: &Row) -> bool {
    let beside = || last.cells.iter().skip(1);
    row.y - above.y <= row.size * MAX_LINE_GAP
        && row.cells.iter().all(|cell| {
            beside().any(|beside| {
                (beside.left - cell.left).abs() <= OVERHANG && !is_figure(&beside.text)
            })
        })
}

/// Returns how many columns rows have; a header over several columns is left out if it hides some of so many before.
fn n_columns_with(rows: &[Row], n_before: usize) -> usize {
    let n = columns::columns(rows).len();
    if n >= n_before {
        return n;
    }
    columns::below_header(rows, 2).map_or(n, |(_, columns)| columns.len())
}

/// Whether a row is further below a table than its rows are from each other.
fn stands_apart(table: &[Row], row: &Row) -> bool {
    let [first, .., last] = table else {
        return false;
    };
    let mean = (last.y - first.y) / (table.len() - 1) as f64;
    row.y - last.y > mean * 1.5
}

/// Whether the vertical rules through a row are others than those through the rows above: another table's.
fn is_ruled_elsewhere(table: &[Row], row: &Row) -> bool {
    let Some(above) = table.iter().rev().find(|above| !above.rules.is_empty()) else {
        return false;
    };
    let lacks_most = |some: &[f64], others: &[f64]| {
        let is_shared = |x: &&f64| {
            let next = others.partition_point(|other| *other < *x - OVERHANG);
            others
                .get(next)
                .is_some_and(|other| *other <= *x + OVERHANG)
        };
        some.iter().filter(is_shared).count() * 2 < some.len()
    };
    lacks_most(&above.rules, &row.rules) && lacks_most(&row.rules, &above.rules)
}

/// Whether a row is the title of another table: one cell that lines up with no column of a table of figures, with a row
/// of names below it.
fn is_title(table: &[Row], row: &Row, after: Option<&Row>) -> bool {
    let ([cell], Some(after)) = (&row.cells[..], after) else {
        return false;
    };
    let has_figure = |row: &Row| row.cells.iter().any(|cell| is_figure(&cell.text));
    let is_above_names = after.cells.len() >= 2 && !has_figure(after);
    table.len() >= MIN_ROWS
        && is_above_names
        && table.iter().any(has_figure)
        && !is_aligned(&columns::columns(table), cell, row.size * 0.3)
}

/// Whether a cell begins in the first half of a column, or lines up with its right or middle.
fn is_aligned(columns: &[(f64, f64)], cell: &Cell, tolerance: f64) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= tolerance;
    columns.iter().any(|&(left, right)| {
        let begin = left - OVERHANG..f64::midpoint(left, right);
        begin.contains(&cell.left)
            || near(cell.right, right)
            || near(cell.left + cell.right, left + right)
    })
}
