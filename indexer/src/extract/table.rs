//! Tables as Markdown, and grids of cells (sheets, CSV) as tables of bounded height.

mod header;
mod row;

use crate::extract::clean;
use crate::extract::outline::Outline;
pub(crate) use header::{Parts, has_figures, is_figure};
pub(crate) use row::Row;
use std::ops::Range;

/// Data rows in one table block of a grid, so that its range still points at a place one can see.
const ROWS_PER_BLOCK: usize = 40;

/// What a table's cells became.
pub(crate) enum Rendered {
    /// A Markdown table with header row and separator.
    Table(String),
    /// The cells of the only column that has text.
    Column(Vec<String>),
}

/// Renders a header and the rows below it. Rows and columns without text are dropped, but not a header: one without text
/// says that the columns have no names. Without `header` the first row with text is one.
pub(crate) fn render(header: Option<Vec<String>>, rows: Vec<Vec<String>>) -> Rendered {
    let clean =
        |row: Vec<String>| -> Vec<String> { row.iter().map(|cell| clean::inline(cell)).collect() };
    let has_text = |row: &Vec<String>| row.iter().any(|cell| !cell.is_empty());
    let header = header.map(clean);
    let body = rows.into_iter().map(clean).filter(has_text);
    let rows: Vec<Vec<String>> = header.into_iter().chain(body).collect();
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let kept: Vec<usize> = (0..width)
        .filter(|&col| {
            rows.iter()
                .any(|row| row.get(col).is_some_and(|cell| !cell.is_empty()))
        })
        .collect();
    if kept.len() < 2 {
        let cells = rows.into_iter().flatten().filter(|cell| !cell.is_empty());
        return Rendered::Column(cells.collect());
    }
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        push_row(
            &mut out,
            kept.iter()
                .map(|&col| row.get(col).map_or("", String::as_str)),
        );
        if index == 0 {
            out.push('\n');
            push_row(&mut out, kept.iter().map(|_| "---"));
        }
    }
    Rendered::Table(out)
}

/// Adds rows, the first of them the header, as tables of bounded height that all have the header.
pub(crate) fn add_rows(outline: &mut Outline, rows: Vec<Vec<String>>) {
    let mut rows = rows.into_iter();
    let Some(header) = rows.next() else { return };
    let body: Vec<Vec<String>> = rows.collect();
    if body.is_empty() {
        outline.table(vec![header]);
        return;
    }
    for group in body.chunks(ROWS_PER_BLOCK) {
        let table = std::iter::once(&header).chain(group);
        outline.table(table.cloned().collect());
    }
}

/// A rectangle of cells whose top left corner is `origin` (row, column), from 0.
pub(crate) struct Grid {
    pub(crate) sheet: Option<String>,
    pub(crate) origin: (usize, usize),
    /// Its last column; columns without text may have been left out of `rows`.
    pub(crate) last_column: usize,
    pub(crate) rows: Vec<Row>,
    /// Rows further down that begin with the names of some columns, as of a table beside another.
    pub(crate) amid: Vec<(usize, Range<usize>)>,
}

impl Grid {
    /// Adds the grid's titles as paragraphs, the rest as one or more tables, each with the header and its range
    /// (`Sheet1!A1:F20`).
    pub(crate) fn add_to(self, outline: &mut Outline) {
        let (top, left) = self.origin;
        let mut parts = Parts::of(&self.rows, false);
        for (row, columns) in &self.amid {
            parts.name_amid(&self.rows, *row, columns.clone());
        }
        let set_range = |outline: &mut Outline, first: usize, last: usize, column: usize| {
            let range = format!("{}:{}", cell_name(first, left), cell_name(last, column));
            outline.set_range(Some(match &self.sheet {
                Some(sheet) => format!("{sheet}!{range}"),
                None => range,
            }));
        };
        for (row, title) in &parts.titles {
            set_range(outline, top + row, top + row, left);
            outline.paragraph(title);
        }
        let body = self.rows.get(parts.body..).unwrap_or_default();
        let groups: Vec<&[Row]> = if body.is_empty() {
            vec![&[]]
        } else {
            body.chunks(ROWS_PER_BLOCK).collect()
        };
        let (mut first, mut next) = (top + parts.header, top + parts.body);
        for group in groups {
            next += group.len();
            set_range(outline, first, next.saturating_sub(1), self.last_column);
            let rows = group.iter().map(Row::texts).collect();
            outline.table_under(parts.names.clone(), rows);
            first = next;
        }
        outline.set_range(None);
    }
}

fn push_row<'a>(out: &mut String, cells: impl Iterator<Item = &'a str>) {
    out.push('|');
    for cell in cells {
        out.push(' ');
        out.push_str(&cell.replace('|', "\\|"));
        if !cell.is_empty() {
            out.push(' ');
        }
        out.push('|');
    }
}

/// Spreadsheet name of a cell from its zero-based row and column: (0, 27) is `AB1`.
fn cell_name(row: usize, col: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = col + 1;
    while rest > 0 {
        letters.push(b'A' + u8::try_from((rest - 1) % 26).unwrap_or(0));
        rest = (rest - 1) / 26;
    }
    let letters: String = letters
        .iter()
        .rev()
        .map(|&letter| char::from(letter))
        .collect();
    format!("{letters}{}", row + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::BlockKind;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn empty_rows_and_columns_are_dropped_and_pipes_escaped() {
        let rows = vec![
            row(&["a", "", "b|c"]),
            row(&["", " "]),
            row(&["1", "", "2\n3"]),
        ];
        let Rendered::Table(text) = render(None, rows) else {
            panic!("not a table")
        };
        assert_eq!(text, "| a | b\\|c |\n| --- | --- |\n| 1 | 2 3 |");
    }

    #[test]
    fn high_grids_repeat_their_header() {
        let rows = (0..100).map(|i| Row::of([format!("k{i}"), "v".to_owned()]));
        let rows = rows.collect();
        let mut outline = Outline::default();
        Grid {
            sheet: Some("S".to_owned()),
            origin: (2, 26),
            last_column: 27,
            rows,
            amid: Vec::new(),
        }
        .add_to(&mut outline);
        let blocks = outline.finish().blocks;
        assert_eq!(blocks.len(), 3);
        assert!(
            blocks
                .iter()
                .all(|b| b.kind == BlockKind::Table && b.text.starts_with("| k0 | v |"))
        );
        let ranges: Vec<_> = blocks
            .iter()
            .map(|b| b.locator.range.as_deref().unwrap())
            .collect();
        assert_eq!(ranges, ["S!AA3:AB43", "S!AA44:AB83", "S!AA84:AB102"]);
    }

    #[test]
    fn cells_are_named_as_in_spreadsheets() {
        assert_eq!(cell_name(0, 0), "A1");
        assert_eq!(cell_name(9, 25), "Z10");
        assert_eq!(cell_name(0, 26), "AA1");
        assert_eq!(cell_name(0, 701), "ZZ1");
        assert_eq!(cell_name(0, 702), "AAA1");
    }
}
