//! The tables of a sheet: what empty rows and columns part.

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

/// More columns of empty cells between others are no gaps between tables.
const MAX_GAPS: usize = 64;

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

    fn into_rows(self) -> impl Iterator<Item = (u32, Cells)> {
        (self.top..)
            .zip(self.rows)
            .filter(|(_, cells)| !cells.is_empty())
    }
}

/// The regions of a sheet from the top down, those side by side from the left.
pub(super) fn of(rows: Rows) -> Vec<Region> {
    let mut found = Vec::new();
    for region in parted_by_rows(rows) {
        let mut parts = parted_by_columns(region);
        if parts.len() == 1 {
            found.append(&mut parts);
        } else {
            let rows = |part: Region| part.into_rows().collect();
            found.extend(
                parts
                    .into_iter()
                    .flat_map(|part| parted_by_rows(rows(part))),
            );
        }
    }
    found
}

/// Parts a sheet at its empty rows. Rows with a number after such a gap go on with the table above.
fn parted_by_rows(rows: Rows) -> Vec<Region> {
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

/// What lies between two gaps of empty columns.
struct Strip {
    columns: std::ops::RangeInclusive<u32>,
    /// The first row with text, and that one's cells by their distance from the left.
    top: usize,
    head: Vec<(u32, String)>,
    has_numbers_on_top: bool,
    /// The first row with a number.
    first_number: Option<usize>,
}

/// Parts a region at its empty columns, but only where one side plainly has a header of its own. Most empty columns are
/// there to make room within a table.
fn parted_by_columns(region: Region) -> Vec<Region> {
    let columns = region.columns();
    let mut bounds: Vec<std::ops::RangeInclusive<u32>> = Vec::new();
    for column in columns {
        match bounds.last_mut() {
            Some(last) if *last.end() + 1 == column => *last = *last.start()..=column,
            Some(_) | None => bounds.push(column..=column),
        }
    }
    if bounds.len() < 2 || bounds.len() > MAX_GAPS {
        return vec![region];
    }
    let strips = strips(&region, bounds);
    let mut parts: Vec<Strip> = Vec::new();
    for strip in strips {
        match parts.last_mut() {
            Some(last) if !are_apart(last, &strip) => last.join(strip),
            Some(_) | None => parts.push(strip),
        }
    }
    if parts.len() < 2 {
        return vec![region];
    }
    let mut found: Vec<Region> = parts
        .iter()
        .map(|_| Region {
            top: region.top,
            rows: Vec::with_capacity(region.rows.len()),
        })
        .collect();
    for mut row in region.rows {
        for (part, strip) in found.iter_mut().zip(&parts).rev() {
            part.rows.push(row.split_off(strip.columns.start()));
        }
    }
    found
}

fn strips(region: &Region, bounds: Vec<std::ops::RangeInclusive<u32>>) -> Vec<Strip> {
    let mut strips: Vec<Strip> = Vec::with_capacity(bounds.len());
    strips.extend(bounds.into_iter().map(|columns| Strip {
        columns,
        top: usize::MAX,
        head: Vec::new(),
        has_numbers_on_top: false,
        first_number: None,
    }));
    for (at, row) in region.rows.iter().enumerate() {
        for (column, text) in row {
            let index = strips.partition_point(|strip| strip.columns.end() < column);
            let Some(strip) = strips.get_mut(index) else {
                continue;
            };
            let is_number = text.parse::<f64>().is_ok();
            strip.top = strip.top.min(at);
            if strip.top == at {
                let offset = column - strip.columns.start();
                strip.head.push((offset, text.clone()));
                strip.has_numbers_on_top |= is_number;
            }
            if is_number && strip.first_number.is_none() {
                strip.first_number = Some(at);
            }
        }
    }
    strips
}

impl Strip {
    fn join(&mut self, right: Self) {
        if right.top < self.top {
            (self.top, self.head) = (right.top, right.head);
            self.has_numbers_on_top = right.has_numbers_on_top;
        }
        self.first_number = [self.first_number, right.first_number]
            .into_iter()
            .flatten()
            .min();
        self.columns = *self.columns.start()..=*right.columns.end();
    }

    fn has_header(&self) -> bool {
        self.head.len() > 1 && !self.has_numbers_on_top
    }
}

/// Whether two neighbors are tables of their own: one begins with a header where the other already has figures, or both
/// begin with the same header.
fn are_apart(left: &Strip, right: &Strip) -> bool {
    let (first, second) = if left.top <= right.top {
        (left, right)
    } else {
        (right, left)
    };
    let begins_within = first.first_number.is_some_and(|row| row <= second.top);
    let is_same = left.top == right.top && left.head == right.head;
    second.has_header() && (begins_within || is_same)
}
