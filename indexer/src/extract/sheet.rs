//! Sheets of any workbook: cells with text by row and column, laid out as tables.

mod regions;

use crate::extract::outline::Outline;
use crate::extract::table::{Grid, Row, has_figures};
use calamine::ExcelDateTime;
use regions::{Amid, Region};
use std::collections::BTreeMap;
use std::ops::Range;

/// Most cells read from one sheet; more are reported as left out.
pub(crate) const MAX_CELLS: usize = 2_000_000;

/// Most areas of merged cells that are heeded in one sheet.
pub(crate) const MAX_AREAS: usize = 100_000;

/// The cells that have text. A far-off cell costs nothing.
pub(crate) type Rows = BTreeMap<u32, BTreeMap<u32, String>>;

/// A rectangle of cells, its last row and column included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) top: u32,
    pub(crate) left: u32,
    pub(crate) bottom: u32,
    pub(crate) right: u32,
}

impl From<calamine::Dimensions> for Area {
    fn from(area: calamine::Dimensions) -> Self {
        Self {
            top: area.start.0,
            left: area.start.1,
            bottom: area.end.0,
            right: area.end.1,
        }
    }
}

/// What a sheet holds.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) rows: Rows,
    /// Cells that are merged into their first one.
    pub(crate) merged: Vec<Area>,
    /// Areas of which the sheet says that their first row is the last one of a header.
    pub(crate) headers: Vec<Area>,
}

/// The warning for a sheet that readers do not see: what is in it was not written for them.
pub(crate) fn hidden_sheet(name: &str) -> String {
    format!("sheet `{name}` is hidden and was left out")
}

/// The warning for a sheet that was cut off.
pub(crate) fn too_many_cells(name: &str) -> String {
    format!("sheet `{name}`: only the first {MAX_CELLS} cells were read")
}

/// Adds a sheet as a heading and its tables.
pub(crate) fn add(outline: &mut Outline, name: &str, sheet: Sheet) {
    if sheet.rows.is_empty() {
        return;
    }
    outline.heading(2, name);
    let mut marks = Marks::new(sheet.merged, sheet.headers);
    for region in regions::of(sheet.rows) {
        add_region(outline, name, &region, &mut marks);
    }
}

/// Most cells that one table is laid out with, those without text counted.
const MAX_LAID_OUT: usize = 20_000_000;

fn add_region(outline: &mut Outline, name: &str, region: &Region, marks: &mut Marks) {
    // Columns far to the right of everything else are brought near: only those with text are laid out.
    let columns = region.columns();
    // Cells strewn over a sheet are no table.
    if columns.len().saturating_mul(region.rows.len()) > MAX_LAID_OUT {
        for row in &region.rows {
            let texts: Vec<&str> = row.values().map(String::as_str).collect();
            outline.paragraph(&texts.join(" "));
        }
        return;
    }
    let grid = Grid {
        sheet: Some(name.to_owned()),
        origin: (
            region.top as usize,
            columns.first().map_or(0, |&column| column as usize),
        ),
        last_column: columns.last().map_or(0, |&column| column as usize),
        rows: marks.lay_out(region, &columns),
        amid: region
            .amid
            .iter()
            .map(|amid| laid_out(amid, &columns))
            .collect(),
    };
    grid.add_to(outline);
}

/// Where the names of some columns stand in the layout.
fn laid_out(amid: &Amid, columns: &[u32]) -> (usize, Range<usize>) {
    let at = |place: u32| columns.partition_point(|&column| column < place);
    (amid.row, at(amid.columns.start)..at(amid.columns.end))
}

/// How the text of a place that is not empty came there.
#[derive(Debug, Clone, Copy)]
enum Covered {
    FromLeft,
    FromAbove,
}

/// What a sheet says about the arrangement of its cells.
struct Marks {
    /// By their first rows.
    merged: Vec<Area>,
    headers: Vec<Area>,
    /// How many places may still be covered: areas can lie upon each other.
    n_left: usize,
}

impl Marks {
    fn new(mut merged: Vec<Area>, mut headers: Vec<Area>) -> Self {
        for areas in [&mut merged, &mut headers] {
            areas.truncate(MAX_AREAS);
            areas.sort_by_key(|area| area.top);
        }
        Self {
            merged,
            headers,
            n_left: MAX_CELLS,
        }
    }

    /// The rows of a region, in these columns only.
    fn lay_out(&mut self, region: &Region, columns: &[u32]) -> Vec<Row> {
        let covered = self.covered(region, columns);
        let mut rows: Vec<Row> = Vec::with_capacity(region.rows.len());
        for (index, cells) in region.rows.iter().enumerate() {
            let mut row = Row::default();
            for (at, column) in columns.iter().enumerate() {
                match (cells.get(column), covered.get(&(index, at))) {
                    (Some(text), _) => row.push(text.as_str(), 1),
                    (None, Some(Covered::FromLeft)) => row.push_left(),
                    (None, Some(Covered::FromAbove)) => row.push_above(rows.last(), 1),
                    (None, None) => row.push("", 1),
                }
            }
            rows.push(row);
        }
        self.set_headers(region, columns, &mut rows);
        rows
    }

    /// The places that merged cells cover, by row and column of the layout.
    fn covered(&mut self, region: &Region, columns: &[u32]) -> BTreeMap<(usize, usize), Covered> {
        let mut covered = BTreeMap::new();
        for area in within(&self.merged, region) {
            let first = columns.partition_point(|&column| column < area.left);
            let end = columns.partition_point(|&column| column <= area.right);
            if first >= end || columns[first] != area.left {
                continue;
            }
            let top = (area.top - region.top) as usize;
            let bottom = area.bottom.saturating_sub(region.top) as usize;
            for (index, cells) in region.rows.iter().enumerate().take(bottom + 1).skip(top) {
                // A row without a cell of its own says nothing.
                if cells.is_empty() {
                    continue;
                }
                for column in first..end {
                    if self.n_left == 0 {
                        return covered;
                    }
                    self.n_left -= 1;
                    if column > first {
                        covered.insert((index, column), Covered::FromLeft);
                    } else if index > top {
                        covered.insert((index, column), Covered::FromAbove);
                    }
                }
            }
        }
        covered
    }

    /// Says of the rows that the sheet says it of that they are the last one of a header.
    fn set_headers(&self, region: &Region, columns: &[u32], rows: &mut [Row]) {
        let (Some(&left), Some(&right)) = (columns.first(), columns.last()) else {
            return;
        };
        for area in within(&self.headers, region) {
            let Some(row) = rows.get_mut((area.top - region.top) as usize) else {
                continue;
            };
            let is_here = area.left <= right && left <= area.right;
            // What stands alone may be a title, and panes may be frozen anywhere.
            row.is_header |= is_here && !row.is_single() && !has_figures(row);
        }
    }
}

/// The areas that begin in a region's rows.
fn within<'a>(areas: &'a [Area], region: &Region) -> impl Iterator<Item = &'a Area> + use<'a> {
    let first = areas.partition_point(|area| area.top < region.top);
    let end = areas.partition_point(|area| area.top <= region.bottom());
    areas[first..end.max(first)].iter()
}

/// The shortest text of the 15 digits that Excel keeps.
pub(crate) fn number(value: f64) -> String {
    let rounded = format!("{value:.14e}").parse::<f64>().unwrap_or(value);
    rounded.to_string()
}

pub(crate) fn date_time(value: &ExcelDateTime) -> String {
    let (year, month, day, hour, minute, second, _) = value.to_ymd_hms_milli();
    let time = if second > 0 {
        format!("{hour:02}:{minute:02}:{second:02}")
    } else {
        format!("{hour:02}:{minute:02}")
    };
    if value.is_duration() || value.as_f64() < 1.0 {
        let total = (value.as_f64() * 86_400.0).round();
        let (hours, rest) = ((total / 3600.0).floor(), total % 3600.0);
        return format!("{hours}:{:02}:{:02}", (rest / 60.0).floor(), rest % 60.0);
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    if (hour, minute, second) == (0, 0, 0) {
        date
    } else {
        format!("{date} {time}")
    }
}
