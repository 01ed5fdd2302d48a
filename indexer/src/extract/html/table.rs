//! Tables of data, told from those that only lay out a page.

use super::look::Looks;
use super::{NodeRef, Visit, heading_level, is_block, visit};
use crate::extract::clean;
use crate::extract::table::Row;
use scraper::node::Element;

/// Longest text of a table in a cell of another, and of a table of one row; what lays out a page has more.
const MAX_NESTED_BYTES: usize = 1000;

/// Most places of a table that are covered by cells which begin elsewhere.
const MAX_COVERED: usize = 2_000_000;

/// The rows of each table met outside a data table, in order; `None` for one that only lays out the page.
pub(super) fn data_tables(root: NodeRef<'_>, looks: &Looks) -> Vec<Option<DataTable>> {
    let mut found = Vec::new();
    // Tables by nesting: most tables that hold another are layout.
    let mut open: Vec<OpenTable> = Vec::new();
    visit(root, looks, &mut |edge| match edge {
        Visit::Open(element) if element.name() == "table" => {
            open.push(OpenTable {
                slot: found.len(),
                ..OpenTable::default()
            });
            found.push(None);
        }
        Visit::Close(element) if element.name() == "table" => {
            if let Some(table) = open.pop() {
                let slot = table.slot;
                if let Some(outer) = open.last_mut() {
                    outer.take_nested(&table);
                }
                if let Some(data) = table.into_data() {
                    // Those in its cells are not met by themselves.
                    found.truncate(slot + 1);
                    found[slot] = Some(data);
                }
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
    pub(super) rows: Vec<TableRow>,
}

/// The cells of a row, and which of them are headers.
#[derive(Default)]
pub(super) struct TableRow {
    pub(super) row: Row,
    /// Whether each is a header, and its text.
    pub(super) cells: Vec<(bool, String)>,
}

#[derive(Default)]
struct OpenTable {
    slot: usize,
    holds_table: bool,
    holds_heading: bool,
    /// Whether a table within it is too much for a cell.
    lays_out: bool,
    in_head: bool,
    has_head: bool,
    caption: String,
    in_caption: bool,
    rows: Vec<TableRow>,
    /// For each column how many more rows the cell above covers.
    below: Vec<usize>,
    /// Places covered so far by cells that begin elsewhere.
    n_covered: usize,
    cell: Option<OpenCell>,
}

struct OpenCell {
    text: String,
    n_columns: usize,
    n_rows: usize,
}

impl OpenTable {
    fn take(&mut self, edge: &Visit<'_>) {
        match edge {
            Visit::Hidden(_) => {}
            Visit::Text(text) => {
                if self.in_caption {
                    self.caption.push_str(text);
                } else if let Some(cell) = &mut self.cell {
                    cell.text.push_str(text);
                }
            }
            Visit::Open(element) => match element.name() {
                "thead" => (self.in_head, self.has_head) = (true, true),
                "tr" => self.begin_row(),
                "td" | "th" => self.begin_cell(element),
                "caption" => self.in_caption = true,
                "img" => self.push_text(element.attr("alt").unwrap_or_default()),
                name => self.pass(name),
            },
            Visit::Close(element) => match element.name() {
                "thead" => self.in_head = false,
                "tr" => self.end_row(),
                "td" | "th" => self.end_cell(element.name() == "th"),
                "caption" => self.in_caption = false,
                name => self.pass(name),
            },
        }
    }

    fn begin_row(&mut self) {
        self.rows.push(TableRow::default());
        self.push_covered();
    }

    fn begin_cell(&mut self, element: &Element) {
        if self.rows.is_empty() {
            self.begin_row();
        }
        let span = |name| {
            let value: Option<usize> = element
                .attr(name)
                .and_then(|value| value.trim().parse().ok());
            value.unwrap_or(1).clamp(1, 100)
        };
        self.cell = Some(OpenCell {
            text: String::new(),
            n_columns: span("colspan"),
            n_rows: span("rowspan"),
        });
    }

    fn end_cell(&mut self, is_header: bool) {
        let (Some(cell), Some(open)) = (self.cell.take(), self.rows.last_mut()) else {
            return;
        };
        let first = open.row.width();
        let n_columns = cell.n_columns.min(MAX_COVERED - self.n_covered + 1);
        let end = first + n_columns;
        self.n_covered += n_columns - 1;
        if cell.n_rows > 1 {
            self.below.resize(self.below.len().max(end), 0);
            self.below[first..end].fill(cell.n_rows - 1);
        }
        open.row.push(cell.text.as_str(), n_columns);
        open.cells.push((is_header, cell.text));
        self.push_covered();
    }

    /// Goes on with the cells above that cover the columns which come next.
    fn push_covered(&mut self) {
        let Some((open, above)) = self.rows.split_last_mut() else {
            return;
        };
        let above = above.last().map(|above| &above.row);
        while let Some(left) = self.below.get_mut(open.row.width())
            && *left > 0
            && self.n_covered < MAX_COVERED
        {
            *left -= 1;
            self.n_covered += 1;
            open.row.push_above(above, 1);
        }
    }

    fn end_row(&mut self) {
        let n_rows = self.rows.len();
        let Some(open) = self.rows.last_mut() else {
            return;
        };
        let is_named = |cell: &(bool, String)| cell.0 || cell.1.trim().is_empty();
        let is_all_names = open.cells.iter().any(|cell| cell.0) && open.cells.iter().all(is_named);
        // Below the first row a single name is that of a section.
        let may_be_header = !self.has_head && (n_rows == 1 || !open.row.is_single());
        open.row.is_header = self.in_head || (may_be_header && is_all_names);
    }

    fn pass(&mut self, name: &str) {
        self.holds_heading |= heading_level(name).is_some();
        if is_block(name) || name == "br" {
            self.push_text(" ");
        }
    }

    fn push_text(&mut self, text: &str) {
        if let Some(cell) = &mut self.cell {
            cell.text.push_str(text);
        }
    }

    /// Puts the text of a table within a cell into that cell.
    fn take_nested(&mut self, table: &Self) {
        self.holds_table = true;
        self.lays_out |= table.lays_out || table.holds_heading || self.cell.is_none();
        let mut text = String::new();
        for row in &table.rows {
            text.push_str(if text.is_empty() { "" } else { "; " });
            for (index, (_, cell)) in row.cells.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                text.push_str(&clean::inline(cell));
                if text.len() > MAX_NESTED_BYTES {
                    self.lays_out = true;
                    return;
                }
            }
        }
        self.push_text(&format!(" {text} "));
    }

    /// The rows, unless the table has a single column or row, or holds more than data, and so lays out the page.
    fn into_data(self) -> Option<DataTable> {
        let width = self.rows.iter().map(|row| row.row.width()).max();
        let names = |row: &TableRow| row.cells.iter().filter(|cell| cell.0).count();
        let is_named = self.has_head
            || !self.caption.trim().is_empty()
            || self.rows.first().is_some_and(|row| names(row) > 1);
        let is_pair = |row: &TableRow| {
            let n_bytes: usize = row.cells.iter().map(|cell| cell.1.trim().len()).sum();
            (1..row.cells.len()).contains(&names(row)) && n_bytes <= MAX_NESTED_BYTES
        };
        let is_layout = width < Some(2)
            || self.holds_heading
            || self.lays_out
            || (self.holds_table && !is_named)
            || (self.rows.len() < 2 && !self.rows.iter().all(is_pair));
        (!is_layout).then_some(DataTable {
            caption: self.caption,
            rows: self.rows,
        })
    }
}
