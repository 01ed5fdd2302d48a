//! `OpenDocument` texts, presentations and spreadsheets: headings by outline level, lists, tables, notes, comments.

mod styles;

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::hidden::Look;
use crate::extract::note;
use crate::extract::ooxml::{Element, Node, Package};
use crate::extract::outline::Outline;
use crate::extract::sheet::{self, Area, MAX_AREAS, Sheet};
use crate::extract::table::Row;
use styles::Styles;

/// A cell or row with content that is said to repeat more often is repeated no more than this.
const MAX_REPEATED: u32 = 200;

/// A cell of a text that is said to repeat or to span more often does so no more than this.
const MAX_COLUMNS: usize = 64;

/// Extracts the document, whichever of the three it is.
pub(crate) fn extract(bytes: &[u8], format: &'static str) -> Result<Extracted> {
    let mut package = Package::open(bytes, format)?;
    if let Some(manifest) = package.optional_part("META-INF/manifest.xml") {
        let mut encrypted = Vec::new();
        manifest.descendants_named("encryption-data", &mut encrypted);
        if !encrypted.is_empty() {
            return Err(Error::Encrypted);
        }
    }
    let content = package.main_part("content.xml")?;
    let common = package.optional_part("styles.xml");
    let mut walk = Walk {
        outline: Outline::default(),
        styles: Styles::read(&content, common.as_ref()),
        notes: Vec::new(),
        is_heading: false,
        boxes: Vec::new(),
        comments: Vec::new(),
        is_shaded: false,
    };
    let title = package.optional_part("meta.xml").and_then(|meta| {
        let meta = meta.child("meta")?.clone();
        add_metadata(&mut walk.outline, &meta)
    });
    let body = content.child("body").ok_or_else(|| Error::Malformed {
        format,
        reason: "it has no body".to_owned(),
    })?;
    for part in body.elements() {
        match part.name.as_str() {
            "presentation" | "drawing" => walk.slides(part),
            "spreadsheet" => walk.sheets(part),
            _ => walk.text(part, common.as_ref()),
        }
    }
    if let Some(title) = title {
        walk.outline.set_title(&title);
    }
    Ok(walk.outline.finish())
}

fn add_metadata(outline: &mut Outline, meta: &Element) -> Option<String> {
    let property = |name: &str| meta.child(name).map(Element::text);
    let author = property("creator").filter(|author| !author.trim().is_empty());
    outline.set_author(
        &author
            .or_else(|| property("initial-creator"))
            .unwrap_or_default(),
    );
    for keyword in meta.children_named("keyword") {
        outline.add_tags(&keyword.text());
    }
    for name in ["date", "creation-date"] {
        outline.set_date(&property(name).unwrap_or_default());
    }
    property("title").filter(|title| !title.trim().is_empty())
}

struct Walk {
    outline: Outline,
    styles: Styles,
    /// Marks and texts of the longer notes of the paragraph under way.
    notes: Vec<(String, String)>,
    /// Whether that paragraph is a heading, which takes no notes.
    is_heading: bool,
    /// Text boxes met within it.
    boxes: Vec<Element>,
    comments: Vec<String>,
    /// Whether the cell around has a background, so that white may be seen on it.
    is_shaded: bool,
}

impl Walk {
    fn text(&mut self, body: &Element, common: Option<&Element>) {
        let mut shown = Vec::new();
        self.margins(common, "header", &mut shown);
        self.blocks(body);
        self.margins(common, "footer", &mut shown);
    }

    /// Adds headers or footers, each text once.
    fn margins(&mut self, common: Option<&Element>, kind: &str, shown: &mut Vec<String>) {
        let mut found = Vec::new();
        if let Some(masters) = common.and_then(|common| common.child("master-styles")) {
            for kind in [kind, &format!("{kind}-first"), &format!("{kind}-left")] {
                masters.descendants_named(kind, &mut found);
            }
        }
        for margin in found {
            let text = self.cell(margin);
            let text = text.trim();
            // Page numbers alone say nothing.
            if text.chars().any(char::is_alphabetic) && !shown.iter().any(|other| other == text) {
                shown.push(text.to_owned());
                self.outline.paragraph(text);
            }
        }
    }

    /// Walks block content: paragraphs, headings, lists, tables, and what wraps them.
    fn blocks(&mut self, parent: &Element) {
        for element in parent.elements() {
            match element.name.as_str() {
                "h" | "p" => self.paragraph(element, None),
                "list" => self.list(element, 1, None),
                "table" => self.table(element),
                "tracked-changes" | "sequence-decls" | "variable-decls" | "user-field-decls"
                | "forms" | "scripts" | "table-of-content" | "alphabetical-index"
                | "illustration-index" | "table-index" | "object-index" | "user-index"
                | "event-listeners" => {}
                "section" if element.attr("display") == Some("none") => {
                    self.outline.hide(&element.text())
                }
                "frame" | "custom-shape" | "rect" | "g" | "a" => self.frame(element),
                _ => self.blocks(element),
            }
        }
    }

    fn paragraph(&mut self, paragraph: &Element, marker: Option<&str>) {
        let style = paragraph.attr("style-name");
        let level = (paragraph.name == "h").then(|| {
            let level = paragraph
                .attr("outline-level")
                .and_then(|level| level.parse().ok());
            level.unwrap_or(1_u8)
        });
        let level = level.or_else(|| self.styles.heading(style));
        let is_title = self.styles.is_title(style);
        let look = self.styles.look(style, self.ground());
        let mut text = String::new();
        self.is_heading = is_title || level.is_some();
        self.inline(paragraph, look, &mut text);
        self.is_heading = false;
        if text.trim().is_empty() {
            // An empty paragraph has no place among the blocks.
        } else if is_title {
            self.outline.set_title(&text);
            self.outline.heading(1, &text);
        } else if let Some(level) = level {
            self.outline.heading(level, &text);
        } else if let Some(marker) = marker {
            self.outline.list_item(marker, &text);
        } else {
            self.outline.paragraph(&text);
        }
        self.add_asides();
    }

    /// Adds the notes, comments and text boxes met in the paragraph just added.
    fn add_asides(&mut self) {
        for (mark, text) in std::mem::take(&mut self.notes) {
            self.outline.paragraph(&format!("[^{mark}]: {text}"));
        }
        for comment in std::mem::take(&mut self.comments) {
            self.outline.paragraph(&comment);
        }
        for text_box in std::mem::take(&mut self.boxes) {
            self.frame(&text_box);
        }
    }

    fn ground(&self) -> Look {
        Look {
            background: (!self.is_shaded).then_some(crate::extract::hidden::WHITE),
            ..Look::default()
        }
    }

    /// Gathers running text; longer notes, comments and frames are put aside.
    fn inline(&mut self, parent: &Element, look: Look, out: &mut String) {
        for node in &parent.children {
            let element = match node {
                Node::Text(text) if look.is_unseen() => {
                    self.outline.hide(text);
                    continue;
                }
                Node::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Node::Element(element) => element,
            };
            match element.name.as_str() {
                "s" | "tab" => out.push(' '),
                "line-break" => out.push('\n'),
                "span" => {
                    let look = self.styles.look(element.attr("style-name"), look);
                    self.inline(element, look, out);
                }
                "note" => {
                    let mark = element
                        .child("note-citation")
                        .map(Element::text)
                        .unwrap_or_default();
                    let text = element
                        .child("note-body")
                        .map(|body| self.cell(body))
                        .unwrap_or_default();
                    let within = note::within_sentence(mark.trim(), &text);
                    if let Some(within) = within.filter(|_| !self.is_heading) {
                        out.push_str(&within);
                    } else {
                        out.push_str(&format!("[^{}]", mark.trim()));
                        self.notes.push((mark.trim().to_owned(), text));
                    }
                }
                "annotation" => self.comment(element),
                "ruby" => {
                    let part =
                        |name: &str| element.child(name).map(Element::text).unwrap_or_default();
                    out.push_str(&part("ruby-base"));
                    let reading = part("ruby-text");
                    if !reading.trim().is_empty() {
                        out.push_str(&format!("({})", reading.trim()));
                    }
                }
                "frame" | "custom-shape" | "rect" | "g" => self.boxes.push(element.clone()),
                "hidden-text" | "hidden-paragraph" => self.outline.hide(&element.text()),
                "a" => self.link(element, look, out),
                "bookmark" | "bookmark-start" | "bookmark-end" | "soft-page-break"
                | "annotation-end" | "change" | "change-start" | "change-end" | "script" => {}
                _ => self.inline(element, look, out),
            }
        }
    }

    fn link(&mut self, element: &Element, look: Look, out: &mut String) {
        let mut text = String::new();
        self.inline(element, look, &mut text);
        out.push_str(&text);
        let target = element.attr("href").unwrap_or_default();
        if target.starts_with("http")
            && !text.trim().is_empty()
            && !text.contains(target.trim_end_matches('/'))
        {
            out.push_str(&format!(" ({target})"));
        }
    }

    fn comment(&mut self, element: &Element) {
        let texts: Vec<String> = element.children_named("p").map(Element::text).collect();
        let text = texts.join(" ");
        let author = element
            .child("creator")
            .map(Element::text)
            .unwrap_or_default();
        if !text.trim().is_empty() {
            let by = if author.trim().is_empty() {
                String::new()
            } else {
                format!(" ({})", author.trim())
            };
            self.comments.push(format!("Comment{by}: {text}"));
        }
    }

    fn list(&mut self, list: &Element, level: usize, above: Option<&str>) {
        let style = list.attr("style-name").or(above);
        let continues =
            list.attr("continue-numbering") == Some("true") || list.attr("continue-list").is_some();
        self.styles.begin_list(style, level, continues);
        for item in list
            .elements()
            .filter(|item| matches!(item.name.as_str(), "list-item" | "list-header"))
        {
            let start = item
                .attr("start-value")
                .and_then(|start| start.parse().ok());
            let mut marker =
                (item.name == "list-item").then(|| self.styles.marker(style, level, start));
            for element in item.elements() {
                match element.name.as_str() {
                    "p" | "h" => {
                        // Only the first paragraph of an item has its marker.
                        let marker = marker.take();
                        self.paragraph(element, marker.as_deref());
                    }
                    "list" => self.list(element, level + 1, style),
                    "table" => self.table(element),
                    _ => self.blocks(element),
                }
            }
        }
    }

    fn table(&mut self, table: &Element) {
        let mut found = Vec::new();
        table.descendants_named("table-row", &mut found);
        let is_frame = found.iter().all(|row| cells_of(row).count() < 2);
        if is_frame {
            for row in found {
                for cell in cells_of(row) {
                    self.blocks(cell);
                }
            }
            return;
        }
        let n_header_rows = header_rows(table).len();
        let mut rows: Vec<Row> = Vec::with_capacity(found.len());
        // For each column how many more rows the cell above covers.
        let mut below: Vec<usize> = Vec::new();
        // The columns that cells of the row under way cover in rows below it, and in how many.
        let mut next: Vec<(std::ops::Range<usize>, usize)> = Vec::new();
        for (index, element) in found.into_iter().enumerate() {
            let mut row = Row::new(index < n_header_rows);
            for cell in cells_of(element) {
                if cell.name == "covered-table-cell" {
                    push_covered(cell, rows.last(), &mut below, &mut row);
                } else {
                    next.extend(self.push_cell(cell, &mut row));
                }
            }
            for (columns, n_rows) in next.drain(..) {
                below.resize(below.len().max(columns.end), 0);
                below[columns].fill(n_rows);
            }
            rows.push(row);
        }
        self.outline.table_of(&rows);
        self.add_asides();
    }

    /// Adds a cell; returns the columns that it covers in rows below, and in how many.
    fn push_cell(
        &mut self,
        cell: &Element,
        row: &mut Row,
    ) -> Option<(std::ops::Range<usize>, usize)> {
        self.is_shaded = self.styles.is_shaded(cell.attr("style-name"));
        let text = self.cell(cell);
        self.is_shaded = false;
        let first = row.width();
        for _ in 0..times_of(cell) {
            row.push(text.as_str(), 1);
        }
        let columns =
            first..first + number_of(cell, "number-columns-spanned").clamp(1, MAX_COLUMNS);
        let n_rows = number_of(cell, "number-rows-spanned");
        (n_rows > 1).then(|| (columns, n_rows - 1))
    }

    /// A cell's paragraphs on one line each, those of lists and tables within it too.
    fn cell(&mut self, cell: &Element) -> String {
        let mut paragraphs = Vec::new();
        gather_paragraphs(cell, &mut paragraphs);
        let mut out = String::new();
        for paragraph in paragraphs {
            if !out.is_empty() {
                out.push('\n');
            }
            let look = self
                .styles
                .look(paragraph.attr("style-name"), self.ground());
            self.inline(paragraph, look, &mut out);
        }
        out
    }

    /// Adds what a frame or shape holds: text, a table, or the description of a picture.
    fn frame(&mut self, frame: &Element) {
        // On a picture or in a filled shape any color may be seen.
        let was_shaded = std::mem::replace(&mut self.is_shaded, true);
        for element in frame.elements() {
            match element.name.as_str() {
                "text-box" | "g" | "frame" | "custom-shape" | "rect" => {
                    self.blocks_of_shape(element)
                }
                "p" | "h" => self.paragraph(element, None),
                "list" => self.list(element, 1, None),
                "table" => self.table(element),
                "desc" => self.outline.paragraph(&element.text()),
                _ => {}
            }
        }
        self.is_shaded = was_shaded;
    }

    fn blocks_of_shape(&mut self, shape: &Element) {
        if shape.name == "text-box" {
            self.blocks(shape);
        } else {
            self.frame(shape);
        }
    }

    fn slides(&mut self, presentation: &Element) {
        for (number, page) in (1..).zip(presentation.children_named("page")) {
            self.outline.set_page(Some(number));
            let class = |shape: &Element| shape.attr("class").unwrap_or_default().to_owned();
            let shapes: Vec<&Element> = page.elements().collect();
            // The title is read first, wherever it was drawn.
            let (titles, others): (Vec<&Element>, Vec<&Element>) = shapes
                .into_iter()
                .partition(|shape| class(shape) == "title");
            for title in titles {
                self.is_shaded = true;
                let text = self.cell(title).replace('\n', " ");
                self.is_shaded = false;
                self.outline.set_title(&text);
                self.outline.heading(2, &text);
            }
            for shape in others {
                match (shape.name.as_str(), class(shape).as_str()) {
                    // Numbers, dates and footers repeat on every slide.
                    (_, "page-number" | "date-time" | "footer" | "header") => {}
                    ("notes", _) => self.notes_of(shape),
                    _ => self.frame(shape),
                }
            }
            self.add_asides();
        }
        self.outline.set_page(None);
    }

    fn notes_of(&mut self, notes: &Element) {
        let frames = notes
            .children_named("frame")
            .filter(|frame| frame.attr("class") == Some("notes"));
        for frame in frames {
            self.frame(frame);
        }
    }

    fn sheets(&mut self, workbook: &Element) {
        let mut n_cells = 0;
        for table in workbook.children_named("table") {
            let name = table.attr("name").unwrap_or_default();
            if self.styles.is_hidden_sheet(table.attr("style-name")) {
                self.outline.warn(sheet::hidden_sheet(name));
                continue;
            }
            let (sheet, complete) = self.sheet(table, &mut n_cells);
            if !complete {
                self.outline.warn(sheet::too_many_cells(name));
            }
            sheet::add(&mut self.outline, name, sheet);
            self.add_asides();
        }
    }

    /// The cells with text of a sheet; the flag says whether they are all.
    fn sheet(&mut self, table: &Element, n_cells: &mut usize) -> (Sheet, bool) {
        let mut sheet = Sheet::default();
        let mut found = Vec::new();
        table.descendants_named("table-row", &mut found);
        let last_header_row = header_rows(table).pop();
        let mut at = 0_u32;
        let mut is_cut = false;
        for row in found {
            let repeated = |element: &Element, name: &str| {
                let times = element
                    .attr(name)
                    .and_then(|times| times.parse::<u32>().ok());
                times.unwrap_or(1).max(1)
            };
            let mut cells = std::collections::BTreeMap::new();
            let mut column = 0_u32;
            for cell in cells_of(row) {
                let times = repeated(cell, "number-columns-repeated");
                let text = self.sheet_cell(cell);
                if !text.trim().is_empty() {
                    is_cut |= times > MAX_REPEATED;
                    for offset in 0..times.min(MAX_REPEATED) {
                        cells.insert(column.saturating_add(offset), text.clone());
                    }
                    let n_columns = repeated(cell, "number-columns-spanned");
                    let n_rows = repeated(cell, "number-rows-spanned");
                    if n_columns.max(n_rows) > 1 && sheet.merged.len() < MAX_AREAS {
                        sheet.merged.push(Area {
                            top: at,
                            left: column,
                            bottom: at.saturating_add(n_rows - 1),
                            right: column.saturating_add(n_columns - 1),
                        });
                    }
                }
                column = column.saturating_add(times);
            }
            let times = repeated(row, "number-rows-repeated");
            if !cells.is_empty() {
                is_cut |= times > MAX_REPEATED;
                for offset in 0..times.min(MAX_REPEATED) {
                    *n_cells += cells.len();
                    if *n_cells > sheet::MAX_CELLS {
                        return (sheet, false);
                    }
                    sheet.rows.insert(at.saturating_add(offset), cells.clone());
                }
            }
            at = at.saturating_add(times);
            if last_header_row.is_some_and(|last| std::ptr::eq(last, row)) {
                sheet.headers.push(Area {
                    top: at - 1,
                    left: 0,
                    bottom: at - 1,
                    right: u32::MAX,
                });
            }
        }
        if is_cut {
            let name = table.attr("name").unwrap_or_default();
            self.outline.warn(format!("sheet `{name}`: what is repeated more than {MAX_REPEATED} times was read so often only"));
        }
        (sheet, true)
    }

    /// A cell as it is shown, but a date as ISO 8601.
    fn sheet_cell(&mut self, cell: &Element) -> String {
        if cell.attr("value-type") == Some("date")
            && let Some(date) = cell.attr("date-value")
        {
            return date.trim_end_matches("T00:00:00").replace('T', " ");
        }
        for comment in cell.children_named("annotation") {
            self.comment(comment);
        }
        let mut out = String::new();
        for paragraph in cell.children_named("p") {
            if !out.is_empty() {
                out.push('\n');
            }
            self.inline(paragraph, Look::default(), &mut out);
        }
        if out.is_empty() {
            let stored = ["value", "string-value", "boolean-value", "time-value"]
                .iter()
                .find_map(|name| cell.attr(name));
            out.push_str(stored.unwrap_or_default());
        }
        out
    }
}

/// Adds places that a cell above or to the left covers.
fn push_covered(cell: &Element, above: Option<&Row>, below: &mut [usize], row: &mut Row) {
    for _ in 0..times_of(cell) {
        match below.get_mut(row.width()) {
            Some(left) if *left > 0 => {
                *left -= 1;
                row.push_above(above, 1);
            }
            Some(_) | None => row.push_left(),
        }
    }
}

/// How often a cell of a text stands beside itself.
fn times_of(cell: &Element) -> usize {
    number_of(cell, "number-columns-repeated").clamp(1, MAX_COLUMNS)
}

fn number_of(cell: &Element, name: &str) -> usize {
    let value = cell.attr(name).and_then(|value| value.parse().ok());
    value.unwrap_or(1)
}

/// The rows that a table repeats on every page.
fn header_rows(table: &Element) -> Vec<&Element> {
    const HEADER: &str = "table-header-rows";
    let header = table
        .child(HEADER)
        .or_else(|| table.at(&["table-row-group", HEADER]));
    let rows = header
        .into_iter()
        .flat_map(|header| header.children_named("table-row"));
    rows.collect()
}

fn cells_of(row: &Element) -> impl Iterator<Item = &Element> {
    row.elements()
        .filter(|cell| matches!(cell.name.as_str(), "table-cell" | "covered-table-cell"))
}

/// Paragraphs below an element, but not those of comments.
fn gather_paragraphs<'e>(parent: &'e Element, found: &mut Vec<&'e Element>) {
    for element in parent.elements() {
        match element.name.as_str() {
            "p" | "h" => found.push(element),
            "annotation" => {}
            _ => gather_paragraphs(element, found),
        }
    }
}

#[cfg(test)]
mod tests;
