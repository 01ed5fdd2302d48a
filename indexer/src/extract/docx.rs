//! Word documents: headings by style, lists with their numbers, tables, notes, comments, headers and text boxes.

mod look;
mod numbering;
mod styles;

use crate::document::Extracted;
use crate::error::Result;
use crate::extract::Tools;
use crate::extract::hidden::{Look, WHITE};
use crate::extract::note;
use crate::extract::ooxml::{Element, Node, Package, Relation};
use crate::extract::outline::Outline;
use crate::extract::pictures::Pictures;
use crate::extract::table::Row;
use look::{Declared, cell_background};
use numbering::Numbering;
use std::collections::HashMap;
use styles::Styles;

/// Extracts the document; tracked deletions and hidden text are left out.
pub(crate) fn extract(bytes: &[u8], tools: &Tools) -> Result<Extracted> {
    let mut package = Package::open(bytes, "DOCX")?;
    let main = package.main_part_name("word/document.xml");
    let document = package.main_part(&main)?;
    let relations = package.relations(&main);
    let related = |kind: &str| {
        relations
            .values()
            .find(|relation| relation.kind == kind)
            .map(|found| found.target.clone())
    };
    let mut part = |kind: &str| related(kind).and_then(|name| package.optional_part(&name));
    let styles = part("styles")
        .map(|root| Styles::read(&root))
        .unwrap_or_default();
    let numbering = part("numbering")
        .map(|root| Numbering::read(&root))
        .unwrap_or_default();
    let notes = [part("footnotes"), part("endnotes")];
    let comments = part("comments")
        .map(|root| comments(&root))
        .unwrap_or_default();
    // A page of a color of its own may show white text.
    let background = document.child("background").is_none().then_some(WHITE);

    let mut outline = Outline::default();
    let title = package.properties(&mut outline);
    let mut walk = Walk {
        outline,
        styles,
        numbering,
        relations: &relations,
        package,
        pictures: Pictures::new(tools),
        boxes: Vec::new(),
        shown: Vec::new(),
        margins: Vec::new(),
        comments,
        commented: Vec::new(),
        notes: Notes::default(),
        background,
        look: Look::default(),
    };
    walk.add_margins("header");
    for (notes, reference) in notes.iter().zip([FOOTNOTE, ENDNOTE]) {
        walk.read_notes(notes.as_ref(), reference);
    }
    if let Some(body) = document.child("body") {
        walk.blocks(body);
    }
    walk.add_notes();
    walk.add_margins("footer");
    // The property comes last: it is often left over from the file that served as a template.
    if let Some(title) = title {
        walk.outline.set_title(&title);
    }
    Ok(walk.outline.finish())
}

/// The elements that refer to notes.
const FOOTNOTE: &str = "footnoteReference";
const ENDNOTE: &str = "endnoteReference";

struct Walk<'r> {
    outline: Outline,
    package: Package<'r>,
    pictures: Pictures<'r>,
    styles: Styles,
    numbering: Numbering,
    relations: &'r HashMap<String, Relation>,
    /// Text boxes met within the paragraph under way.
    boxes: Vec<Element>,
    /// Relations of the pictures met within it.
    shown: Vec<String>,
    /// Headers and footers added so far.
    margins: Vec<String>,
    /// Comments by their ids, with their authors.
    comments: HashMap<String, String>,
    /// Ids of the comments on the paragraph under way.
    commented: Vec<String>,
    notes: Notes,
    /// What is behind the paragraph under way, if it is known.
    background: Option<[u8; 3]>,
    /// How that paragraph looks.
    look: Look,
}

/// Footnotes and endnotes.
#[derive(Default)]
struct Notes {
    /// Their ids and texts; one that was read within its sentence has none.
    all: Vec<(String, String)>,
    /// Where each is in `all`, by the name of the elements that refer to it and its id.
    places: HashMap<(&'static str, String), usize>,
    /// Whether the text under way is a heading, which takes no notes.
    is_heading: bool,
}

impl Notes {
    fn add(&mut self, reference: &'static str, id: &str, text: String) {
        self.places
            .insert((reference, id.to_owned()), self.all.len());
        self.all.push((id.to_owned(), text));
    }

    /// Returns what stands where a note is referred to: the note, or its id if it is long.
    fn referred(&mut self, reference: &'static str, id: &str) -> String {
        let place = self.places.get(&(reference, id.to_owned()));
        let note = place.and_then(|&place| self.all.get_mut(place));
        let within = note.filter(|_| !self.is_heading).and_then(|(_, text)| {
            let within = note::within_sentence(id, text)?;
            text.clear();
            Some(within)
        });
        within.unwrap_or_else(|| format!("[^{id}]"))
    }
}

impl Walk<'_> {
    /// Walks block content: paragraphs, tables, and what wraps them.
    fn blocks(&mut self, parent: &Element) {
        for element in parent.elements() {
            match element.name.as_str() {
                "p" => self.paragraph(element),
                "tbl" => self.table(element),
                "del" | "moveFrom" | "sectPr" | "tcPr" => {}
                "AlternateContent" => {
                    if let Some(chosen) = alternative(element) {
                        self.blocks(chosen);
                    }
                }
                _ => self.blocks(element),
            }
        }
    }

    fn paragraph(&mut self, paragraph: &Element) {
        let properties = paragraph.child("pPr");
        let style = properties
            .and_then(|p| p.child("pStyle"))
            .and_then(|style| style.attr("val"));
        let direct_level = properties
            .and_then(|p| p.child("outlineLvl"))
            .and_then(|level| level.attr("val"));
        let level = direct_level
            .and_then(styles::outline_level)
            .or_else(|| self.styles.heading(style));
        let mut text = String::new();
        self.begin(paragraph);
        self.notes.is_heading = level.is_some() || self.styles.is_title(style);
        self.inline(paragraph, &mut text);
        self.notes.is_heading = false;
        let list = properties.and_then(|p| p.child("numPr")).map_or_else(
            || self.styles.list(style),
            |direct| {
                let value = |name| direct.child(name).and_then(|child| child.attr("val"));
                Some((
                    value("numId")?.to_owned(),
                    value("ilvl")
                        .and_then(|level| level.parse().ok())
                        .unwrap_or(0),
                ))
            },
        );
        if text.trim().is_empty() {
            // An empty paragraph takes no number.
        } else if self.styles.is_title(style) {
            self.outline.set_title(&text);
            self.outline.heading(1, &text);
        } else if let Some(level) = level {
            self.outline.heading(level, &text);
        } else if let Some(marker) = list.and_then(|(id, level)| self.numbering.marker(&id, level))
        {
            self.outline.list_item(&marker, &text);
        } else {
            self.outline.paragraph(&text);
        }
        self.add_asides();
    }

    /// Adds the comments on what was just added, and its text boxes.
    fn add_asides(&mut self) {
        for id in std::mem::take(&mut self.commented) {
            if let Some(comment) = self.comments.remove(&id) {
                self.outline.paragraph(&comment);
            }
        }
        // A text box may have any fill.
        let background = self.background.take();
        for text_box in std::mem::take(&mut self.boxes) {
            self.blocks(&text_box);
        }
        self.background = background;
        for id in std::mem::take(&mut self.shown) {
            if let Some(relation) = self.relations.get(&id).filter(|found| !found.is_external) {
                self.pictures
                    .add(&mut self.outline, &mut self.package, &relation.target);
            }
        }
    }

    /// Notes how a paragraph looks before its runs are read.
    fn begin(&mut self, paragraph: &Element) {
        let properties = paragraph.child("pPr");
        let style = properties
            .and_then(|p| p.child("pStyle"))
            .and_then(|style| style.attr("val"));
        let around = Look {
            background: self.background,
            ..Look::default()
        };
        let styled = self.styles.look(style, around);
        self.look = Declared::read(None, properties).within(styled);
    }

    /// Whether readers can see a run.
    fn is_unseen(&self, run: &Element) -> bool {
        let Some(properties) = run.child("rPr") else {
            return self.look.is_unseen();
        };
        let style = properties
            .child("rStyle")
            .and_then(|style| style.attr("val"));
        let styled = self.styles.look(style, self.look);
        Declared::read(Some(properties), None)
            .within(styled)
            .is_unseen()
    }

    /// Gathers the text of runs; text boxes are put aside.
    fn inline(&mut self, parent: &Element, out: &mut String) {
        for element in parent.elements() {
            match element.name.as_str() {
                "t" => out.push_str(&element.text()),
                "tab" | "ptab" => out.push(' '),
                "br" | "cr" => out.push('\n'),
                "noBreakHyphen" => out.push('-'),
                FOOTNOTE => self.refer(FOOTNOTE, element, out),
                ENDNOTE => self.refer(ENDNOTE, element, out),
                "r" if self.is_unseen(element) => {
                    let texts: String = element.children_named("t").map(Element::text).collect();
                    self.outline.hide(&texts);
                }
                "commentReference" => self.commented.extend(element.attr("id").map(str::to_owned)),
                "ruby" => self.ruby(element, out),
                "blip" => self.shown.extend(element.attr("embed").map(str::to_owned)),
                "imagedata" => self.shown.extend(element.attr("id").map(str::to_owned)),
                "hyperlink" => self.hyperlink(element, out),
                "txbxContent" => self.boxes.push(element.clone()),
                "AlternateContent" => {
                    if let Some(chosen) = alternative(element) {
                        self.inline(chosen, out);
                    }
                }
                "del" | "moveFrom" | "delText" | "instrText" | "delInstrText" | "pPr" | "rPr"
                | "fldData" => {}
                _ => self.inline(element, out),
            }
        }
    }

    fn refer(&mut self, reference: &'static str, element: &Element, out: &mut String) {
        if let Some(id) = element.attr("id") {
            out.push_str(&self.notes.referred(reference, id));
        }
    }

    /// Furigana follow their base in parentheses, so that the base can still be found as a word.
    fn ruby(&mut self, element: &Element, out: &mut String) {
        if let Some(base) = element.child("rubyBase") {
            self.inline(base, out);
        }
        let mut reading = String::new();
        if let Some(above) = element.child("rt") {
            self.inline(above, &mut reading);
        }
        if !reading.trim().is_empty() {
            out.push_str(&format!("({})", reading.trim()));
        }
    }

    fn hyperlink(&mut self, element: &Element, out: &mut String) {
        let mut text = String::new();
        self.inline(element, &mut text);
        out.push_str(&text);
        let target = element.attr("id").and_then(|id| self.relations.get(id));
        if let Some(relation) = target
            && relation.is_external
            && relation.target.starts_with("http")
            && !text.contains(relation.target.trim_end_matches('/'))
            && !text.trim().is_empty()
        {
            out.push_str(&format!(" ({})", relation.target));
        }
    }

    fn table(&mut self, table: &Element) {
        let mut found = Vec::new();
        table.descendants_named("tr", &mut found);
        found.retain(|row| row.at(&["trPr", "del"]).is_none());
        let cells: Vec<Vec<&Element>> = found.iter().map(|row| cells_of(row)).collect();
        // A table of one column frames its content; its paragraphs and lists are worth more than the frame.
        let background = self.background;
        let is_styled = table.at(&["tblPr", "tblStyle"]).is_some();
        let around = background.filter(|_| !is_styled);
        if cells.iter().all(|row| row.len() < 2) {
            for cell in cells.into_iter().flatten() {
                self.background = cell_background(cell, around);
                self.blocks(cell);
            }
            self.background = background;
            return;
        }
        let mut rows: Vec<Row> = Vec::with_capacity(found.len());
        for (element, cells) in found.into_iter().zip(cells) {
            let mut row = Row::new(is_header(element));
            push_missing(&mut row, element, "gridBefore");
            for cell in cells {
                let span = number_at(cell, &["tcPr", "gridSpan"]).unwrap_or(1);
                let merge = cell
                    .at(&["tcPr", "vMerge"])
                    .map(|merge| merge.attr("val") == Some("restart"));
                if merge == Some(false) {
                    row.push_above(rows.last(), span);
                } else {
                    self.background = cell_background(cell, around);
                    row.push(self.cell(cell), span);
                }
            }
            push_missing(&mut row, element, "gridAfter");
            rows.push(row);
        }
        self.background = background;
        self.outline.table_of(&rows);
        self.add_asides();
    }

    /// A cell's paragraphs on one line, those of tables within it too.
    fn cell(&mut self, cell: &Element) -> String {
        let mut paragraphs = Vec::new();
        cell.descendants_named("p", &mut paragraphs);
        let mut out = String::new();
        for paragraph in paragraphs {
            if !out.is_empty() {
                out.push('\n');
            }
            self.begin(paragraph);
            self.inline(paragraph, &mut out);
        }
        out
    }

    /// Reads footnotes or endnotes, except the separators that Word stores among them.
    fn read_notes(&mut self, notes: Option<&Element>, reference: &'static str) {
        let notes = notes.into_iter().flat_map(Element::elements);
        for note in notes.filter(|note| note.attr("type").is_none()) {
            let text = self.cell(note);
            if let Some(id) = note.attr("id") {
                self.notes.add(reference, id, text);
            }
        }
        self.boxes.clear();
        self.shown.clear();
        self.commented.clear();
    }

    /// Adds the notes that were not read within a sentence.
    fn add_notes(&mut self) {
        for (id, text) in std::mem::take(&mut self.notes.all) {
            if !text.trim().is_empty() {
                self.outline.paragraph(&format!("[^{id}]: {text}"));
            }
        }
    }

    /// Adds headers or footers, each text once. Their pictures are logos.
    fn add_margins(&mut self, kind: &str) {
        let mut parts: Vec<&String> = self
            .relations
            .values()
            .filter(|r| r.kind == kind)
            .map(|r| &r.target)
            .collect();
        parts.sort();
        for part in parts {
            let Some(root) = self.package.optional_part(part) else {
                continue;
            };
            let text = self.cell(&root);
            let text = text.trim();
            // Page numbers alone say nothing.
            if text.chars().any(char::is_alphabetic)
                && !self.margins.iter().any(|other| other == text)
            {
                self.margins.push(text.to_owned());
                self.outline.paragraph(text);
            }
        }
        self.boxes.clear();
        self.shown.clear();
    }
}

/// Adds the columns of the grid that a row leaves out at one of its ends.
fn push_missing(row: &mut Row, element: &Element, end: &str) {
    for _ in 0..number_at(element, &["trPr", end]).unwrap_or(0) {
        row.push("", 1);
    }
}

/// A number of columns; more than a table has are an error.
fn number_at(element: &Element, path: &[&str]) -> Option<usize> {
    let number: usize = element.at(path)?.attr("val")?.parse().ok()?;
    Some(number.min(64))
}

/// Whether a row is repeated on every page.
fn is_header(row: &Element) -> bool {
    row.at(&["trPr", "tblHeader"])
        .is_some_and(|header| !matches!(header.attr("val"), Some("0" | "false" | "off")))
}

/// Cells of a row, those wrapped in content controls too.
fn cells_of(row: &Element) -> Vec<&Element> {
    let mut cells = Vec::new();
    row.descendants_named("tc", &mut cells);
    cells
}

/// Comments by their ids, as they are shown.
fn comments(root: &Element) -> HashMap<String, String> {
    let comments = root.children_named("comment").filter_map(|comment| {
        let mut paragraphs = Vec::new();
        comment.descendants_named("p", &mut paragraphs);
        let text: Vec<String> = paragraphs.into_iter().map(Element::text).collect();
        let text = text.join(" ");
        let author = comment.attr("author").unwrap_or_default().trim();
        let by = if author.is_empty() {
            String::new()
        } else {
            format!(" ({author})")
        };
        (!text.trim().is_empty()).then_some((
            comment.attr("id")?.to_owned(),
            format!("Comment{by}: {text}"),
        ))
    });
    comments.collect()
}

/// The version of some content meant for current readers.
fn alternative(element: &Element) -> Option<&Element> {
    element
        .child("Choice")
        .or_else(|| element.child("Fallback"))
        .filter(|chosen| {
            chosen
                .children
                .iter()
                .any(|node| matches!(node, Node::Element(_)))
        })
}

#[cfg(test)]
mod tests;
