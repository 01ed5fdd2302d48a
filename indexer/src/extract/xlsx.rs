//! Excel workbooks: each sheet a heading and its tables.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::ooxml::Package;
use crate::extract::outline::Outline;
use crate::extract::table::Grid;
use calamine::{DataRef, ExcelDateTime, Reader, Xlsx};
use std::collections::BTreeMap;
use std::io::Cursor;

/// Most cells read from one sheet; more are reported as left out.
const MAX_CELLS: usize = 2_000_000;

type Rows = BTreeMap<u32, BTreeMap<u32, String>>;

/// Extracts every worksheet. Cells without text are never laid out, so a far-off cell costs nothing.
pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted> {
    let mut package = Package::open(bytes, "XLSX")?;
    package.check_members()?;
    let mut outline = Outline::default();
    if let Some(title) = package.properties(&mut outline) {
        outline.set_title(&title);
    }
    let malformed = |error: calamine::XlsxError| Error::Malformed {
        format: "XLSX",
        reason: error.to_string(),
    };
    let mut workbook = Xlsx::new(Cursor::new(bytes)).map_err(malformed)?;
    for name in workbook.sheet_names() {
        match read_sheet(&mut workbook, &name) {
            Ok((rows, complete)) => {
                if !complete {
                    outline.warn(format!(
                        "sheet `{name}`: only the first {MAX_CELLS} cells were read"
                    ));
                }
                add_sheet(&mut outline, &name, rows);
            }
            Err(calamine::XlsxError::NotAWorksheet(_)) => {}
            Err(error) => outline.warn(format!("sheet `{name}` could not be read: {error}")),
        }
    }
    Ok(outline.finish())
}

fn read_sheet(
    workbook: &mut Xlsx<Cursor<&[u8]>>,
    name: &str,
) -> std::result::Result<(Rows, bool), calamine::XlsxError> {
    let mut reader = workbook.worksheet_cells_reader(name)?;
    let mut rows = Rows::new();
    let mut n_cells = 0;
    while let Some(cell) = reader.next_cell()? {
        let text = display(cell.get_value());
        if text.trim().is_empty() {
            continue;
        }
        if n_cells == MAX_CELLS {
            return Ok((rows, false));
        }
        n_cells += 1;
        let (row, col) = cell.get_position();
        rows.entry(row).or_default().insert(col, text);
    }
    Ok((rows, true))
}

fn add_sheet(outline: &mut Outline, name: &str, rows: Rows) {
    if rows.is_empty() {
        return;
    }
    outline.heading(2, name);
    for (first, block) in tables(rows) {
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
        let rows = block.iter().map(|row| {
            let cell = |column: &u32| row.get(column).cloned().unwrap_or_default();
            columns.iter().map(cell).collect()
        });
        let grid = Grid {
            sheet: Some(name.to_owned()),
            origin: (first as usize, left as usize),
            last_column: columns.last().map_or(0, |&column| column as usize),
            rows: rows.collect(),
        };
        grid.add_to(outline);
    }
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

fn display(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Int(value) => value.to_string(),
        DataRef::Float(value) => number(*value),
        DataRef::String(value) => value.clone(),
        DataRef::SharedString(value) => (*value).to_owned(),
        DataRef::Bool(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
        DataRef::DateTime(value) => date_time(value),
        DataRef::DateTimeIso(value) | DataRef::DurationIso(value) => value.clone(),
        DataRef::Error(value) => value.to_string(),
        DataRef::Empty => String::new(),
    }
}

/// The shortest text of the 15 digits that Excel keeps.
fn number(value: f64) -> String {
    let rounded = format!("{value:.14e}").parse::<f64>().unwrap_or(value);
    rounded.to_string()
}

fn date_time(value: &ExcelDateTime) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::BlockKind;
    use crate::extract::ooxml::tests::package;

    /// A workbook of one sheet with these rows of XML.
    pub(crate) fn workbook(rows: &str) -> Vec<u8> {
        let relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
        let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
        package(&[
            ("[Content_Types].xml", "<Types/>"),
            (
                "_rels/.rels",
                &format!(
                    "<Relationships><Relationship Id=\"r1\" Type=\"{relations}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
                ),
            ),
            (
                "xl/workbook.xml",
                &format!(
                    "<workbook xmlns=\"{main}\" xmlns:r=\"{relations}\"><sheets><sheet name=\"売上\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"
                ),
            ),
            (
                "xl/_rels/workbook.xml.rels",
                &format!(
                    "<Relationships><Relationship Id=\"rId1\" Type=\"{relations}/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
                ),
            ),
            (
                "xl/worksheets/sheet1.xml",
                &format!("<worksheet xmlns=\"{main}\"><sheetData>{rows}</sheetData></worksheet>"),
            ),
        ])
    }

    fn text_cell(at: &str, text: &str) -> String {
        format!("<c r=\"{at}\" t=\"inlineStr\"><is><t>{text}</t></is></c>")
    }

    #[test]
    fn sheets_become_headings_and_tables_with_ranges() {
        let rows = format!(
            "<row r=\"2\">{}{}</row><row r=\"3\">{}<c r=\"C3\"><v>0.30000000000000004</v></c></row><row r=\"9\">{}</row>",
            text_cell("B2", "item"),
            text_cell("C2", "price"),
            text_cell("B3", "pen"),
            text_cell("A9", "a note"),
        );
        let blocks = extract(&workbook(&rows)).unwrap().blocks;
        let got: Vec<_> = blocks
            .iter()
            .map(|b| (b.kind, b.text.as_str(), b.locator.range.as_deref()))
            .collect();
        assert_eq!(
            got,
            [
                (BlockKind::Heading(2), "売上", None),
                (
                    BlockKind::Table,
                    "| item | price |\n| --- | --- |\n| pen | 0.3 |",
                    Some("売上!B2:C3")
                ),
                (BlockKind::Paragraph, "a note", Some("売上!A9:A9")),
            ]
        );
    }

    #[test]
    fn a_far_off_cell_costs_nothing() {
        let rows = format!(
            "<row r=\"1\">{}</row><row r=\"1048576\">{}</row>",
            text_cell("A1", "a"),
            text_cell("XFD1048576", "z")
        );
        let blocks = extract(&workbook(&rows)).unwrap().blocks;
        assert_eq!(blocks.last().unwrap().text, "z");
    }

    #[test]
    fn numbers_are_shown_as_excel_keeps_them() {
        assert_eq!(number(3.0), "3");
        assert_eq!(number(0.1 + 0.2), "0.3");
        assert_eq!(number(1e15), "1000000000000000");
        assert_eq!(number(-12.5), "-12.5");
    }
}
