//! Excel workbooks: each sheet a heading and its tables.

mod marks;

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::ooxml::Package;
use crate::extract::outline::Outline;
use crate::extract::sheet::{self, MAX_CELLS, Rows, Sheet, date_time, number};
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
    let parts = marks::sheet_parts(&mut package);
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
                let part = parts.get(&name);
                let marks = part.and_then(|part| marks::read(&mut package, part));
                let (merged, headers) = marks.unwrap_or_default();
                sheet::add(
                    &mut outline,
                    &name,
                    Sheet {
                        rows,
                        merged,
                        headers,
                    },
                );
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
        workbook_with("", rows, "")
    }

    /// One with more of the sheet's part before and after its rows.
    fn workbook_with(before: &str, rows: &str, after: &str) -> Vec<u8> {
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
                &format!(
                    "<worksheet xmlns=\"{main}\">{before}<sheetData>{rows}</sheetData>{after}</worksheet>"
                ),
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

    /// Rows of XML from texts and numbers with `|` between them; the first is row 1, in column A.
    fn sheet_rows(lines: &[&str]) -> String {
        let mut rows = String::new();
        for (number, line) in (1..).zip(lines) {
            rows.push_str(&format!("<row r=\"{number}\">"));
            for (column, cell) in ('A'..).zip(line.split('|').map(str::trim)) {
                let at = format!("{column}{number}");
                rows.push_str(&match cell.parse::<f64>() {
                    _ if cell.is_empty() => String::new(),
                    Ok(number) => format!("<c r=\"{at}\"><v>{number}</v></c>"),
                    Err(_) => text_cell(&at, cell),
                });
            }
            rows.push_str("</row>");
        }
        rows
    }

    /// The texts of all blocks but the sheet's heading, with their ranges.
    fn read(bytes: &[u8]) -> Vec<(String, String)> {
        let blocks = extract(bytes).unwrap().blocks.into_iter().skip(1);
        let range =
            |block: &crate::document::Block| block.locator.range.clone().unwrap_or_default();
        blocks
            .map(|block| (range(&block).replace("売上!", ""), block.text))
            .collect()
    }

    fn table(names: &str, rows: &[&str]) -> String {
        let rule = vec!["---"; names.matches('|').count() - 1].join(" | ");
        format!("{names}\n| {rule} |\n{}", rows.join("\n"))
    }

    #[test]
    fn merged_cells_name_all_of_their_columns_and_rows() {
        let rows = sheet_rows(&[
            "Fleet",
            " | Seats | | Port",
            " | 2022 | 2023",
            "Asahi | 1 | 2 | Kobe",
            "Hikari | 3 | 4 | ",
        ]);
        let merged = "<mergeCells><mergeCell ref=\"A1:D1\"/><mergeCell ref=\"B2:C2\"/><mergeCell ref=\"D2:D3\"/><mergeCell ref=\"D4:D5\"/></mergeCells>";
        let want = table(
            "| | Seats · 2022 | Seats · 2023 | Port |",
            &["| Asahi | 1 | 2 | Kobe |", "| Hikari | 3 | 4 | Kobe |"],
        );
        let got = read(&workbook_with("", &rows, merged));
        assert_eq!(
            got,
            [
                ("A1:A1".to_owned(), "Fleet".to_owned()),
                ("A2:D5".to_owned(), want)
            ]
        );
        // Areas that lie upon each other, reach far or say nonsense do no harm.
        let areas = "<mergeCell ref=\"A1:XFD1048576\"/>".repeat(20_000);
        let odd = format!(
            "<mergeCells>{areas}<mergeCell ref=\"x\"/><mergeCell ref=\"B9:A1\"/><mergeCell/></mergeCells>"
        );
        assert!(!read(&workbook_with("", &rows, &odd)).is_empty());
    }

    #[test]
    fn panes_filters_and_groups_without_merged_cells_make_headers() {
        let lines = [
            "Owner | Mori",
            "As of | May",
            "Item | Price",
            "text | yen",
            "Pen | red",
            "Rod | blue",
        ];
        let pane =
            "<sheetViews><sheetView><pane ySplit=\"3\" state=\"frozen\"/></sheetView></sheetViews>";
        let filter = "<autoFilter ref=\"A3:B6\"/>";
        let want = [
            ("A1:A1".to_owned(), "Owner Mori".to_owned()),
            ("A2:A2".to_owned(), "As of May".to_owned()),
            (
                "A3:B6".to_owned(),
                table(
                    "| Item | Price |",
                    &["| text | yen |", "| Pen | red |", "| Rod | blue |"],
                ),
            ),
        ];
        let rows = sheet_rows(&lines);
        assert_eq!(read(&workbook_with(pane, &rows, "")), want);
        assert_eq!(read(&workbook_with("", &rows, filter)), want);
        assert_ne!(read(&workbook(&rows)), want);
        let groups = sheet_rows(&[
            "CHF | | 2023 | | 2022",
            " | Sales | Cost | Sales | Cost",
            "",
            "Kobe | 1 | 2 | 3 | 4",
        ]);
        let names = "| CHF | 2023 · Sales | 2023 · Cost | 2022 · Sales | 2022 · Cost |";
        assert_eq!(
            read(&workbook(&groups)),
            [(
                "A1:E4".to_owned(),
                table(names, &["| Kobe | 1 | 2 | 3 | 4 |"])
            )]
        );
    }

    #[test]
    fn a_lone_header_belongs_to_the_rows_after_a_gap() {
        let rows = sheet_rows(&["Squares", "", "Number | Square", "", "1 | 1", "2 | 4"]);
        let want = table("| Number | Square |", &["| 1 | 1 |", "| 2 | 4 |"]);
        let got = read(&workbook(&rows));
        assert_eq!(got[1], ("A3:B6".to_owned(), want));
        let others = sheet_rows(&["Number | Square", "", "1 | 1 | 1", "2 | 4 | 8"]);
        assert_eq!(read(&workbook(&others)).len(), 2);
    }

    #[test]
    fn names_amid_the_rows_of_another_table_are_those_of_their_columns() {
        let rows = sheet_rows(&[
            "Item | Price",
            "Pen | 5",
            "Ink | 6 | | Tax | Fee",
            "Cap | 7 | | 1 | 2",
        ]);
        let names = "| Item | Price | Tax | Fee |";
        let want = table(
            names,
            &[
                "| Pen | 5 | | |",
                "| Ink | 6 | Tax | Fee |",
                "| Cap | 7 | 1 | 2 |",
            ],
        );
        assert_eq!(read(&workbook(&rows)), [("A1:E4".to_owned(), want)]);
    }
}
