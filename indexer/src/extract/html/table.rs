//! Tables of data, told from those that only lay out a page.

use super::look::Looks;
use super::{NodeRef, Visit, heading_level, is_block, visit};
use scraper::node::Element;

/// The rows of each table met outside a data table, in order; `None` for one that only lays out the page.
pub(super) fn data_tables(root: NodeRef<'_>, looks: &Looks) -> Vec<Option<DataTable>> {
    let mut found = Vec::new();
    // Tables by nesting: a table that holds another is layout.
    let mut open: Vec<OpenTable> = Vec::new();
    visit(root, looks, &mut |edge| match edge {
        Visit::Open(element) if element.name() == "table" => {
            if let Some(outer) = open.last_mut() {
                outer.holds_table = true;
            }
            open.push(OpenTable {
                slot: found.len(),
                ..OpenTable::default()
            });
            found.push(None);
        }
        Visit::Close(element) if element.name() == "table" => {
            if let Some(table) = open.pop()
                && !table.holds_table
            {
                let slot = table.slot;
                found[slot] = table.into_data();
            }
        }
        Visit::Hidden(_) => {}
        edge @ (Visit::Open(_) | Visit::Close(_) | Visit::Text(_)) => {
            if let Some(table) = open.last_mut() {
                table.take(&edge);
            }
        }
    });
    found
}

pub(super) struct DataTable {
    pub(super) caption: String,
    pub(super) rows: Vec<Vec<String>>,
}

#[derive(Default)]
struct OpenTable {
    slot: usize,
    holds_table: bool,
    holds_heading: bool,
    caption: String,
    in_caption: bool,
    cells: Vec<Vec<String>>,
    /// Cells still covered by a rowspan: column, rows left, text.
    spans: Vec<(usize, usize, String)>,
    /// Columns and rows spanned by the open cell.
    cell: Option<(usize, usize)>,
}

impl OpenTable {
    fn take(&mut self, edge: &Visit<'_>) {
        match edge {
            Visit::Hidden(_) => {}
            Visit::Text(text) => {
                if self.in_caption {
                    self.caption.push_str(text);
                } else if let Some(cell) = self.open_cell() {
                    cell.push_str(text);
                }
            }
            Visit::Open(element) => match element.name() {
                "tr" => self.begin_row(),
                "td" | "th" => self.begin_cell(element),
                "caption" => self.in_caption = true,
                name => self.inside_cell(name, element),
            },
            Visit::Close(element) => match element.name() {
                "td" | "th" => self.end_cell(element.name() == "th"),
                "caption" => self.in_caption = false,
                name => self.inside_cell(name, element),
            },
        }
    }

    fn begin_row(&mut self) {
        self.cells.push(Vec::new());
        self.fill_spans();
    }

    fn begin_cell(&mut self, element: &Element) {
        if self.cells.is_empty() {
            self.begin_row();
        }
        let span = |name| {
            let value: Option<usize> = element
                .attr(name)
                .and_then(|value| value.trim().parse().ok());
            value.unwrap_or(1).clamp(1, 100)
        };
        self.cell = Some((span("colspan"), span("rowspan")));
        if let Some(row) = self.cells.last_mut() {
            row.push(String::new());
        }
    }

    /// Repeats the cell's text over the rows it spans, so that every row can be read alone, and a header's over columns.
    fn end_cell(&mut self, is_header: bool) {
        let is_header = is_header || self.cells.len() == 1;
        let Some((columns, rows)) = self.cell.take() else {
            return;
        };
        let Some(row) = self.cells.last_mut() else {
            return;
        };
        let text = row.last().cloned().unwrap_or_default();
        let first = row.len() - 1;
        // Only a header must name every column; elsewhere a repetition would read as a second value.
        let repeated = if is_header {
            text.clone()
        } else {
            String::new()
        };
        row.resize(first + columns, repeated.clone());
        if rows > 1 {
            let texts = std::iter::once(text).chain(std::iter::repeat(repeated));
            let covered = (first..first + columns).zip(texts);
            self.spans
                .extend(covered.map(|(column, text)| (column, rows - 1, text)));
        }
        self.fill_spans();
    }

    fn fill_spans(&mut self) {
        let Some(row) = self.cells.last_mut() else {
            return;
        };
        self.spans.sort_by_key(|span| span.0);
        for (column, left, text) in &mut self.spans {
            if *column == row.len() && *left > 0 {
                row.push(text.clone());
                *left -= 1;
            }
        }
        self.spans.retain(|span| span.1 > 0);
    }

    fn inside_cell(&mut self, name: &str, element: &Element) {
        self.holds_heading |= heading_level(name).is_some();
        if let Some(cell) = self.open_cell() {
            if is_block(name) || name == "br" {
                cell.push(' ');
            }
            if name == "img" {
                cell.push_str(element.attr("alt").unwrap_or_default());
            }
        }
    }

    fn open_cell(&mut self) -> Option<&mut String> {
        self.cell.and_then(|_| self.cells.last_mut()?.last_mut())
    }

    /// The rows, unless the table has a single column or row and so lays out the page.
    fn into_data(self) -> Option<DataTable> {
        let width = self.cells.iter().map(Vec::len).max().unwrap_or(0);
        let is_layout = width < 2 || self.cells.len() < 2 || self.holds_heading;
        (!is_layout).then_some(DataTable {
            caption: self.caption,
            rows: self.cells,
        })
    }
}
