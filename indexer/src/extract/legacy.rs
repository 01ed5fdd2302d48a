//! Word and PowerPoint files of the binary formats, which `office_oxide` reads.

pub(super) mod slide_tables;

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::hidden::{Look, WHITE};
use crate::extract::outline::Outline;
use crate::extract::table::Row;
use office_oxide::doc::DocError;
use office_oxide::ir::{Element, HeaderFooter, InlineContent, List, Section, Table};
use office_oxide::ppt::PptError;
use office_oxide::{Document, DocumentFormat, OfficeError};
use slide_tables::{SlideTable, lines};
use std::io::Cursor;

/// Lists and tables within each other deeper than this are read as text.
const MAX_DEPTH: u8 = 16;

/// Extracts a Word document.
pub(crate) fn extract_doc(bytes: &[u8]) -> Result<Extracted> {
    extract(bytes, DocumentFormat::Doc, "DOC")
}

/// Extracts a presentation; a block's page is its slide's number.
pub(crate) fn extract_ppt(bytes: &[u8]) -> Result<Extracted> {
    extract(bytes, DocumentFormat::Ppt, "PPT")
}

fn extract(bytes: &[u8], format: DocumentFormat, name: &'static str) -> Result<Extracted> {
    let document = Document::from_reader(Cursor::new(bytes.to_vec()), format)
        .map_err(|error| reason(&error, name))?;
    let document = document.to_ir();
    let is_slides = format == DocumentFormat::Ppt;
    let mut walk = Walk {
        outline: Outline::default(),
        is_slides,
        slide_tables: if is_slides {
            slide_tables::find(bytes)
        } else {
            Vec::new()
        },
        in_table: false,
        notes: Vec::new(),
        shown: Vec::new(),
    };
    for (number, section) in (1..).zip(&document.sections) {
        if is_slides {
            walk.outline.set_page(Some(number));
        }
        walk.section(section);
    }
    for note in std::mem::take(&mut walk.notes) {
        walk.outline.paragraph(&note);
    }
    let metadata = &document.metadata;
    let known = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut outline = walk.outline;
    outline.set_title(&known(&metadata.title));
    outline.set_author(&known(&metadata.author));
    outline.add_tags(&metadata.keywords.join(","));
    for date in [&metadata.modified, &metadata.created] {
        outline.set_date(&known(date));
    }
    if metadata.text_truncated {
        outline.warn("the text is too long and was cut off");
    }
    for warning in &metadata.warnings {
        outline.warn(warning.as_str());
    }
    Ok(outline.finish())
}

fn reason(error: &OfficeError, format: &'static str) -> Error {
    let is_encrypted = matches!(
        error,
        OfficeError::Doc(DocError::Encrypted) | OfficeError::Ppt(PptError::Encrypted)
    );
    if is_encrypted {
        return Error::Encrypted;
    }
    let reason = if matches!(error, OfficeError::Panic(_)) {
        // The message of a panic may quote the document.
        "its structure is damaged".to_owned()
    } else {
        error.to_string()
    };
    Error::Malformed { format, reason }
}

struct Walk {
    outline: Outline,
    is_slides: bool,
    /// Those whose texts are among the elements, cell by cell.
    slide_tables: Vec<SlideTable>,
    /// Within a table a cell may be shaded, so that white may be seen.
    in_table: bool,
    notes: Vec<String>,
    /// Headers and footers added so far.
    shown: Vec<String>,
}

impl Walk {
    fn section(&mut self, section: &Section) {
        self.margin(&[
            &section.header,
            &section.first_page_header,
            &section.even_page_header,
        ]);
        let mut rest = &section.elements[..];
        while let [first, others @ ..] = rest {
            rest = self.slide_table(rest).unwrap_or_else(|| {
                self.element(first, 0);
                others
            });
        }
        if let Some(notes) = &section.speaker_notes {
            self.elements(notes, 0);
        }
        self.margin(&[
            &section.footer,
            &section.first_page_footer,
            &section.even_page_footer,
        ]);
    }

    /// Adds headers or footers, each text once.
    fn margin(&mut self, margins: &[&Option<HeaderFooter>]) {
        for margin in margins.iter().filter_map(|margin| margin.as_ref()) {
            let text = self.text_of(&margin.content, 0);
            // Page numbers alone say nothing.
            if text.chars().any(char::is_alphabetic) && !self.shown.contains(&text) {
                self.outline.paragraph(&text);
                self.shown.push(text);
            }
        }
    }

    /// Adds the table whose texts the first elements are, if there is one, and returns the elements after them.
    fn slide_table<'a>(&mut self, elements: &'a [Element]) -> Option<&'a [Element]> {
        let (at, rest) = self
            .slide_tables
            .iter()
            .enumerate()
            .find_map(|(at, table)| {
                let mut wanted = &table.lines[..];
                let mut rest = elements;
                while !wanted.is_empty() {
                    let (first, others) = rest.split_first()?;
                    wanted = wanted.strip_prefix(&visible_lines(first)?[..])?;
                    rest = others;
                }
                (rest.len() < elements.len()).then_some((at, rest))
            })?;
        let table = self.slide_tables.remove(at);
        self.outline.table_of(&table.rows);
        Some(rest)
    }

    fn elements(&mut self, elements: &[Element], depth: u8) {
        for element in elements {
            self.element(element, depth);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is non-exhaustive")]
    fn element(&mut self, element: &Element, depth: u8) {
        match element {
            Element::Heading(heading) => {
                let text = self.inline(&heading.content, true);
                let level = heading.clamped_level();
                if level == 1 && self.is_slides {
                    self.outline.set_title(&text);
                }
                self.outline
                    .heading(level + u8::from(self.is_slides), &text);
            }
            Element::Paragraph(paragraph) => {
                let text = self.inline(&paragraph.content, paragraph.background_color.is_some());
                match paragraph.outline_level {
                    Some(level @ 1..=6) => self.outline.heading(level, &text),
                    Some(_) | None => self.outline.paragraph(&text),
                }
            }
            Element::Table(table) => self.table(table, depth),
            Element::List(list) => self.list(list, depth),
            Element::TextBox(text_box) if depth < MAX_DEPTH => {
                self.elements(&text_box.content, depth + 1)
            }
            Element::Footnote(note) | Element::Endnote(note) => {
                let text = self.text_of(&note.content, depth);
                let mark = note.marker.clone().unwrap_or_else(|| note.id.to_string());
                self.notes.push(format!("[^{mark}]: {text}"));
            }
            Element::CodeBlock(code) => self.outline.code(&code.content),
            Element::Image(image) => {
                self.outline
                    .paragraph(image.alt_text.as_deref().unwrap_or_default());
            }
            _ => {}
        }
    }

    fn list(&mut self, list: &List, depth: u8) {
        let mut number = list.start_number.unwrap_or(1);
        for item in &list.items {
            let marker = if list.ordered {
                format!("{number}{}", list.ordered_delimiter())
            } else {
                "-".to_owned()
            };
            number = number.saturating_add(1);
            let text = self.text_of(&item.content, depth);
            self.outline.list_item(&marker, &text);
            if let Some(nested) = item.nested.as_ref().filter(|_| depth < MAX_DEPTH) {
                self.list(nested, depth + 1);
            }
        }
    }

    fn table(&mut self, table: &Table, depth: u8) {
        if let Some(caption) = &table.caption {
            self.outline.paragraph(caption);
        }
        let was_in_table = std::mem::replace(&mut self.in_table, true);
        let mut rows: Vec<Row> = Vec::with_capacity(table.rows.len());
        // For each column how many more rows the cell above covers.
        let mut below: Vec<u32> = Vec::new();
        for source in &table.rows {
            let mut row = Row::new(source.is_header);
            for cell in &source.cells {
                push_covered(&mut row, rows.last(), &mut below);
                let n_columns = cell.col_span.clamp(1, 64) as usize;
                let first = row.width();
                if cell.row_span > 1 {
                    below.resize(below.len().max(first + n_columns), 0);
                    below[first..first + n_columns].fill(cell.row_span - 1);
                }
                row.push(self.text_of(&cell.content, depth), n_columns);
            }
            push_covered(&mut row, rows.last(), &mut below);
            rows.push(row);
        }
        self.in_table = was_in_table;
        self.outline.table_of(&rows);
    }

    /// The text of elements on one line each.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is non-exhaustive")]
    fn text_of(&mut self, elements: &[Element], depth: u8) -> String {
        if depth >= MAX_DEPTH {
            return String::new();
        }
        let mut parts: Vec<String> = Vec::new();
        for element in elements {
            match element {
                Element::Heading(heading) => parts.push(self.inline(&heading.content, true)),
                Element::Paragraph(paragraph) => {
                    parts.push(
                        self.inline(&paragraph.content, paragraph.background_color.is_some()),
                    );
                }
                Element::List(list) => {
                    for item in &list.items {
                        parts.push(self.text_of(&item.content, depth + 1));
                    }
                }
                Element::Table(table) => {
                    for cell in table.rows.iter().flat_map(|row| &row.cells) {
                        parts.push(self.text_of(&cell.content, depth + 1));
                    }
                }
                Element::TextBox(text_box) => {
                    parts.push(self.text_of(&text_box.content, depth + 1))
                }
                Element::CodeBlock(code) => parts.push(code.content.clone()),
                _ => {}
            }
        }
        parts.retain(|part| !part.trim().is_empty());
        parts.join("\n")
    }

    /// Running text without what readers cannot see.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is non-exhaustive")]
    fn inline(&mut self, content: &[InlineContent], is_shaded: bool) -> String {
        let mut out = String::new();
        for part in content {
            match part {
                InlineContent::Text(span) => {
                    let is_plain =
                        !is_shaded && !self.is_slides && !self.in_table && span.highlight.is_none();
                    let look = Look {
                        color: span.color,
                        background: is_plain.then_some(WHITE),
                        size: span.font_size_half_pt.map(|size| size as f32 / 2.0),
                        ..Look::default()
                    };
                    if look.is_unseen() {
                        self.outline.hide(&span.text);
                    } else {
                        out.push_str(&span.text);
                    }
                }
                InlineContent::LineBreak => out.push('\n'),
                InlineContent::FootnoteRef(note) | InlineContent::EndnoteRef(note) => {
                    let mark = note
                        .marker
                        .clone()
                        .unwrap_or_else(|| note.note_id.to_string());
                    out.push_str(&format!("[^{mark}]"));
                }
                _ => {}
            }
        }
        out
    }
}

/// Returns the lines of a paragraph or heading; `None` for other elements and where something cannot be seen.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is non-exhaustive")]
fn visible_lines(element: &Element) -> Option<Vec<String>> {
    let content = match element {
        Element::Heading(heading) => &heading.content,
        Element::Paragraph(paragraph) => &paragraph.content,
        _ => return None,
    };
    let mut text = String::new();
    for part in content {
        match part {
            InlineContent::Text(span) => {
                let size = span.font_size_half_pt.map(|size| size as f32 / 2.0);
                if (Look {
                    size,
                    ..Look::default()
                })
                .is_unseen()
                {
                    return None;
                }
                text.push_str(&span.text);
            }
            InlineContent::LineBreak => text.push('\n'),
            _ => return None,
        }
    }
    Some(lines(&text).collect())
}

/// Goes on with the cells above that cover the columns which come next.
fn push_covered(row: &mut Row, above: Option<&Row>, below: &mut [u32]) {
    while let Some(left) = below.get_mut(row.width()).filter(|left| **left > 0) {
        *left -= 1;
        row.push_above(above, 1);
    }
}
