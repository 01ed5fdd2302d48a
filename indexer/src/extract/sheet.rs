//! Sheets of any workbook: cells with text by row and column, laid out as tables.

use crate::extract::outline::Outline;
use crate::extract::table::Grid;
use calamine::ExcelDateTime;
use std::collections::BTreeMap;

/// Most cells read from one sheet; more are reported as left out.
pub(crate) const MAX_CELLS: usize = 2_000_000;

/// The cells that have text. A far-off cell costs nothing.
pub(crate) type Rows = BTreeMap<u32, BTreeMap<u32, String>>;

/// The warning for a sheet that readers do not see: what is in it was not written for them.
pub(crate) fn hidden_sheet(name: &str) -> String {
    format!("sheet `{name}` is hidden and was left out")
}

/// The warning for a sheet that was cut off.
pub(crate) fn too_many_cells(name: &str) -> String {
    format!("sheet `{name}`: only the first {MAX_CELLS} cells were read")
}

/// Adds a sheet as a heading and its tables.
pub(crate) fn add(outline: &mut Outline, name: &str, rows: Rows) {
    if rows.is_empty() {
        return;
    }
    outline.heading(2, name);
    for (first, mut block) in tables(rows) {
        let mut top = first as usize;
        // A title above a table is not its header.
        while block.len() > 1 && block[0].len() == 1 && block[1].len() != 1 {
            let title = block.remove(0);
            if !title.is_empty() {
                add_block(outline, name, top, &[title]);
            }
            top += 1;
            while block.len() > 1 && block[0].is_empty() {
                block.remove(0);
                top += 1;
            }
        }
        add_block(outline, name, top, &block);
    }
}

/// Most cells that one table is laid out with, those without text counted.
const MAX_LAID_OUT: usize = 20_000_000;

fn add_block(outline: &mut Outline, name: &str, top: usize, block: &[BTreeMap<u32, String>]) {
    let left = block
        .iter()
        .filter_map(|row| row.keys().next())
        .min()
        .copied()
        .unwrap_or(0);
    // Columns far to the right of everything else are brought near: only those with text are laid out.
    let mut columns: Vec<u32> = block.iter().flat_map(|row| row.keys().copied()).collect();
    columns.sort_unstable();
    columns.dedup();
    // Cells strewn over a sheet are no table.
    if columns.len().saturating_mul(block.len()) > MAX_LAID_OUT {
        for row in block {
            let texts: Vec<&str> = row.values().map(String::as_str).collect();
            outline.paragraph(&texts.join(" "));
        }
        return;
    }
    let rows = block.iter().map(|row| {
        let cell = |column: &u32| row.get(column).cloned().unwrap_or_default();
        columns.iter().map(cell).collect()
    });
    let grid = Grid {
        sheet: Some(name.to_owned()),
        origin: (top, left as usize),
        last_column: columns.last().map_or(0, |&column| column as usize),
        rows: rows.collect(),
    };
    grid.add_to(outline);
}

/// Parts a sheet at its empty rows. Rows that begin with a number after such a gap go on with the table above.
fn tables(rows: Rows) -> Vec<(u32, Vec<BTreeMap<u32, String>>)> {
    let mut found: Vec<(u32, Vec<BTreeMap<u32, String>>)> = Vec::new();
    let mut next = None;
    for (at, row) in rows {
        let is_data = row.values().any(|cell| cell.parse::<f64>().is_ok());
        match found.last_mut() {
            Some((first, table)) if next == Some(at) || (is_data && table.len() > 1) => {
                // Empty rows are kept within a table, so that ranges count right.
                let height = (at - *first) as usize;
                if height <= table.len() + 100 {
                    table.resize(height, BTreeMap::new());
                    table.push(row);
                } else {
                    found.push((at, vec![row]));
                }
            }
            Some(_) | None => found.push((at, vec![row])),
        }
        next = Some(at + 1);
    }
    found
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
