//! Tables side by side in a sheet, with an empty column between them. They are parted only where reading them as one would
//! put cells under names that are not theirs.

use super::{Amid, Cells, Region, at_gaps, is_name};
use crate::extract::table::is_figure;
use std::ops::RangeBounds;

/// Most empty columns at which a region may be parted.
const MAX_GAPS: usize = 16;

/// Most rows of names of a table beside another one.
const MAX_NAMES: usize = 3;

/// Rows below a title that tell whether the first column has labels.
const N_LABELED: usize = 4;

/// The cells of one side in a row.
type Part<'a> = Vec<(u32, &'a str)>;

/// What is beside an empty column.
enum Beside {
    /// A table of its own, to be read for itself.
    Table,
    /// Rows that have names of their own where they begin, in this row.
    Names(usize),
}

/// Parts a region at those empty columns that have a table of its own beside them. One without a title beside the figures of
/// another stays beside these, for it may go with them, but its names are those of its columns.
pub(super) fn parted(mut region: Region) -> Vec<Region> {
    let columns = region.columns();
    let gaps = columns.windows(2).filter(|pair| pair[1] - pair[0] > 1);
    // Where columns begin behind an empty one.
    let starts: Vec<u32> = gaps.map(|pair| pair[1]).take(MAX_GAPS).collect();
    let mut parts = Vec::new();
    for start in starts {
        let left = side(&region.rows, ..start);
        let right = side(&region.rows, start..);
        let first = begins_amid(&right, &left).map(|found| (found, start..u32::MAX));
        let found = first.or_else(|| Some((begins_amid(&left, &right)?, 0..start)));
        match found {
            Some((Beside::Names(row), columns)) => {
                region.amid.push(Amid { row, columns });
                continue;
            }
            Some((Beside::Table, _)) => {}
            None if are_titled(&left, &right) => {}
            None => continue,
        }
        let right: Vec<Cells> = region
            .rows
            .iter_mut()
            .map(|row| row.split_off(&start))
            .collect();
        parts.extend(pieces(region.top, region.rows));
        region.rows = right;
        region.amid.clear();
    }
    if parts.is_empty() {
        return vec![region];
    }
    parts.extend(pieces(region.top, region.rows));
    parts
}

fn side(rows: &[Cells], columns: impl RangeBounds<u32> + Clone) -> Vec<Part<'_>> {
    rows.iter()
        .map(|row| {
            let cells = row.range(columns.clone());
            cells
                .map(|(&column, cell)| (column, cell.as_str()))
                .collect()
        })
        .collect()
}

/// The regions of a side.
fn pieces(top: u32, rows: Vec<Cells>) -> Vec<Region> {
    at_gaps((top..).zip(rows).filter(|(_, row)| !row.is_empty()))
}

/// Tells whether a table with names of its own begins on one side, beside figures of the other, or where the other has ended.
fn begins_amid(side: &[Part<'_>], other: &[Part<'_>]) -> Option<Beside> {
    let mut n_before = usize::from(side.first().is_some_and(|row| !row.is_empty()));
    let mut at = side.iter().take_while(|row| !row.is_empty()).count();
    while at < side.len() {
        let height = side[at..].iter().take_while(|row| !row.is_empty()).count();
        let rows = at..at + height.max(1);
        at = rows.end;
        let (here, there) = (&side[rows.clone()], &other[rows.clone()]);
        if let Some(names) = names(here) {
            let is_only = n_before == 0 && side[at..].iter().all(Vec::is_empty);
            if there.iter().all(Vec::is_empty) {
                return Some(Beside::Table);
            }
            if has_figures(&there[names]) {
                let is_titled = names > 0;
                return Some(if is_only && !is_titled {
                    Beside::Names(rows.start)
                } else {
                    Beside::Table
                });
            }
        }
        n_before += usize::from(height > 0);
    }
    None
}

/// Returns the first row of names among the rows of a table, below its title if it has one; `None` if there are no names above
/// figures.
fn names(rows: &[Part<'_>]) -> Option<usize> {
    let first = usize::from(rows.first()?.len() == 1);
    let names: Vec<&Part<'_>> = rows[first..]
        .iter()
        .take(MAX_NAMES)
        .take_while(|row| row.len() > 1 && !has_figures(row))
        .collect();
    let data = rows.get(first + names.len())?;
    let is_named = |(column, _): &(u32, &str)| {
        let mut cells = names.iter().copied().flatten();
        cells.any(|(named, cell)| named == column && is_name(cell))
    };
    let are_named = data.len() > 1 && data.iter().skip(1).all(is_named);
    (!names.is_empty() && has_figures(data) && are_named).then_some(first)
}

fn has_figures(row: &[(u32, &str)]) -> bool {
    row.iter().any(|(_, cell)| is_figure(cell))
}

/// Whether both sides begin with a title alone, and have labels with figures beside them below it.
fn are_titled(left: &[Part<'_>], right: &[Part<'_>]) -> bool {
    let is_titled = |side: &[Part<'_>]| {
        let Some(([(first, title)], rows)) = side.split_first().map(|(row, rows)| (&row[..], rows))
        else {
            return false;
        };
        let rows = &rows[..rows.len().min(N_LABELED)];
        let label = |row: &Part<'_>| {
            row.first()
                .is_some_and(|(column, cell)| column == first && is_name(cell))
        };
        let is_first = rows.first().is_some_and(|row| row.len() > 1);
        let filled = || rows.iter().filter(|row| !row.is_empty());
        is_name(title) && is_first && filled().all(label) && filled().any(|row| has_figures(row))
    };
    is_titled(left) && is_titled(right)
}
