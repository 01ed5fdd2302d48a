//! The tables of a sheet: what empty rows part, and within that what stands beside or below the rest under names of its own.
//! Else tables side by side are read as one, row by row: most empty columns only make room.

mod beside;

use super::Rows;
use crate::extract::table::is_figure;
use std::collections::BTreeMap;
use std::ops::Range;

type Cells = BTreeMap<u32, String>;

/// Rows that belong together, empty ones in between included, so that ranges count right.
#[derive(Debug, Default)]
pub(super) struct Region {
    pub(super) top: u32,
    pub(super) rows: Vec<Cells>,
    /// Where names of some of its columns stand amid its rows.
    pub(super) amid: Vec<Amid>,
}

/// Names of columns amid the rows of a region: those of a table beside another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Amid {
    /// Counted from the region's top.
    pub(super) row: usize,
    pub(super) columns: Range<u32>,
}

/// How far below a table a row that goes on with it may be.
const MAX_ROW_GAP: u32 = 3;

/// Most empty rows in a row within a region.
const MAX_GAP: usize = 100;

impl Region {
    pub(super) fn bottom(&self) -> u32 {
        let height = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.top.saturating_add(height.saturating_sub(1))
    }

    /// The columns that have cells with text.
    pub(super) fn columns(&self) -> Vec<u32> {
        let mut columns: Vec<u32> = self
            .rows
            .iter()
            .flat_map(|row| row.keys().copied())
            .collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

/// The regions of a sheet from the top down, those side by side from left to right.
pub(super) fn of(rows: Rows) -> Vec<Region> {
    let parted = at_gaps(rows.into_iter());
    let mut found: Vec<Region> = Vec::new();
    for region in parted
        .into_iter()
        .flat_map(beside::parted)
        .flat_map(at_titles)
    {
        match found.last_mut() {
            Some(above) if region.is_rest_of(above) => {
                above
                    .rows
                    .resize((region.top - above.top) as usize, Cells::new());
                above.rows.extend(region.rows);
            }
            Some(_) | None => found.push(region),
        }
    }
    found
}

/// Parts rows where some are empty. Those with a number after such a gap go on with the table above.
fn at_gaps(rows: impl Iterator<Item = (u32, Cells)>) -> Vec<Region> {
    let mut found: Vec<Region> = Vec::new();
    for (at, row) in rows {
        if let Some(region) = found.last_mut() {
            let next = region.bottom().saturating_add(1);
            let goes_on = next == at || (has_numbers(&row) && region.awaits(&row));
            let height = (at - region.top) as usize;
            if goes_on && height <= region.rows.len() + MAX_GAP {
                region.rows.resize(height, Cells::new());
                region.rows.push(row);
                continue;
            }
        }
        found.push(Region {
            top: at,
            rows: vec![row],
            amid: Vec::new(),
        });
    }
    found
}

/// Parts a region where figures are followed by a title alone, and this by names with figures below them: another table.
fn at_titles(mut region: Region) -> Vec<Region> {
    let first = |row: &Cells| row.keys().next().copied();
    let is_start = |at: usize| {
        let [above, title, names, below] = &region.rows[at - 1..at + 3] else {
            return false;
        };
        let is_named = |(column, cell): (&u32, &String)| {
            is_figure(cell)
                && above.get(column).is_some_and(|above| is_figure(above))
                && names.contains_key(column)
        };
        title.len() == 1
            && names.len() > 1
            && first(title) == first(above)
            && first(names) == first(title)
            && names.values().all(|name| is_name(name))
            && below.iter().skip(1).any(is_named)
    };
    let last = region.rows.len().saturating_sub(2);
    let starts: Vec<usize> = (2..last).filter(|&at| is_start(at)).collect();
    let mut parts = Vec::with_capacity(starts.len() + 1);
    if !starts.is_empty() {
        region.amid.clear();
    }
    for start in starts.into_iter().rev() {
        parts.push(Region {
            top: region
                .top
                .saturating_add(u32::try_from(start).unwrap_or(u32::MAX)),
            rows: region.rows.split_off(start),
            amid: Vec::new(),
        });
    }
    parts.push(region);
    parts.reverse();
    parts
}

impl Region {
    /// Whether it is one more row of the table above, of which only a gap parts it: a header alone would name nothing.
    fn is_rest_of(&self, above: &Self) -> bool {
        let [row] = &self.rows[..] else {
            return false;
        };
        let is_below = self.top > above.bottom() && self.top - above.bottom() <= MAX_ROW_GAP;
        let is_alike = |other: &Cells| other.len() > 1 && other.keys().eq(row.keys());
        is_below && above.rows.len() > 1 && above.rows.iter().rev().take(2).all(is_alike)
    }

    /// Whether a row of data after a gap belongs to it: it has a body, or it is a lone header of the same columns.
    fn awaits(&self, row: &Cells) -> bool {
        let [header] = &self.rows[..] else {
            return true;
        };
        // What names the rows may have no name.
        let mut unnamed = row.keys().filter(|column| !header.contains_key(column));
        let is_first = |column: &u32| {
            row.first_key_value()
                .is_some_and(|(first, _)| first == column)
        };
        header.len() > 1
            && row.len() > 1
            && !has_numbers(header)
            && unnamed.next().is_none_or(is_first)
            && unnamed.next().is_none()
    }
}

fn has_numbers(row: &Cells) -> bool {
    let is_number = |cell: &String| cell.parse().is_ok_and(f64::is_finite) || is_figure(cell);
    row.values().any(is_number)
}

/// Whether a cell may be a name of a column.
fn is_name(cell: &str) -> bool {
    !is_figure(cell) && cell.chars().any(char::is_alphanumeric) && !cell.eq_ignore_ascii_case("n/a")
}

#[cfg(test)]
mod tests;
