//! The tables of a sheet: what empty rows part. Tables side by side are read as one, row by row.

use super::Rows;
use std::collections::BTreeMap;

type Cells = BTreeMap<u32, String>;

/// Rows that belong together, empty ones in between included, so that ranges count right.
#[derive(Debug, Default)]
pub(super) struct Region {
    pub(super) top: u32,
    pub(super) rows: Vec<Cells>,
}

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

/// The regions of a sheet from the top down: it is parted at its empty rows. Rows with a number after such a gap go on with the table above.
pub(super) fn of(rows: Rows) -> Vec<Region> {
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
        });
    }
    found
}

impl Region {
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
    row.values().any(|cell| cell.parse::<f64>().is_ok())
}
