//! Excel workbooks: each sheet a heading and its tables.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::ooxml::Package;
use crate::extract::outline::Outline;
use crate::extract::sheet::{self, MAX_CELLS, Rows, date_time, number};
use calamine::{DataRef, Reader, SheetVisible, Xlsx};
use std::io::Cursor;

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
    for calamine::Sheet { name, visible, .. } in workbook.sheets_metadata().to_vec() {
        if visible != SheetVisible::Visible {
            outline.warn(sheet::hidden_sheet(&name));
            continue;
        }
        match read_sheet(&mut workbook, &name) {
            Ok((rows, complete)) => {
                if !complete {
                    outline.warn(sheet::too_many_cells(&name));
                }
                sheet::add(&mut outline, &name, rows);
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
