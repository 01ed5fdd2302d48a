//! Blocks gathered in reading order, each under the headings above it.

use crate::date;
use crate::document::{Block, BlockKind, Extracted, Locator, Warning};
use crate::extract::table::{Parts, Row};
use crate::extract::{clean, table};
use crate::metadata::Metadata;

/// Longest heading kept in a heading path; a "heading" above this is a mislabeled paragraph.
const MAX_PATH_CHARS: usize = 160;

/// Collects blocks; cleans their text and drops those without any.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    extracted: Extracted,
    headings: Vec<(u8, String)>,
    page: Option<u32>,
    range: Option<String>,
    n_hidden: usize,
    /// Whether what was met last was hidden.
    is_hiding: bool,
}

impl Outline {
    pub(crate) fn set_title(&mut self, title: &str) {
        let title = clean::inline(title);
        if self.extracted.title.is_none() && !title.is_empty() {
            self.extracted.title = Some(title);
        }
    }

    /// What the file says about itself.
    pub(crate) fn metadata(&mut self) -> &mut Metadata {
        &mut self.extracted.metadata
    }

    pub(crate) fn set_author(&mut self, author: &str) {
        let author = clean::inline(author);
        let known = &mut self.extracted.metadata.author;
        if known.is_none() && !author.is_empty() {
            *known = Some(author);
        }
    }

    /// Sets the document's date; what is no date is passed over.
    pub(crate) fn set_date(&mut self, date: &str) {
        let known = &mut self.extracted.metadata.date;
        if known.is_none() {
            *known = date::parse_day(date).ok();
        }
    }

    /// Adds key words with commas or semicolons between them.
    pub(crate) fn add_tags(&mut self, tags: &str) {
        let tags = tags.split([',', ';', '、', '，', '；']).map(clean::inline);
        let tags = tags.filter(|tag| !tag.is_empty());
        self.extracted.metadata.tags.extend(tags);
    }

    pub(crate) fn set_page(&mut self, page: Option<u32>) {
        self.page = page;
    }

    pub(crate) fn set_range(&mut self, range: Option<String>) {
        self.range = range;
    }

    pub(crate) fn warn(&mut self, message: impl Into<String>) {
        self.extracted.warnings.push(Warning {
            message: message.into(),
        });
    }

    /// Whether no block was added yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.extracted.blocks.is_empty()
    }

    /// Counts a passage that readers cannot see and that is therefore left out. What follows it without anything
    /// visible in between is the same passage.
    pub(crate) fn hide(&mut self, text: &str) {
        if !text.trim().is_empty() && !self.is_hiding {
            self.n_hidden += 1;
            self.is_hiding = true;
        }
    }

    /// Adds a heading of `level` 1 to 6; what follows stands under it.
    pub(crate) fn heading(&mut self, level: u8, text: &str) {
        let level = level.clamp(1, 6);
        let text = clean::inline(text);
        if text.is_empty() {
            return;
        }
        self.headings.retain(|(above, _)| *above < level);
        let short = text.chars().take(MAX_PATH_CHARS).collect();
        self.headings.push((level, short));
        self.push(BlockKind::Heading(level), text);
    }

    pub(crate) fn paragraph(&mut self, text: &str) {
        self.push(BlockKind::Paragraph, clean::inline(text));
    }

    /// Adds one list item; `marker` is `-` or a number such as `1.`.
    pub(crate) fn list_item(&mut self, marker: &str, text: &str) {
        let text = clean::inline(text);
        if !text.is_empty() {
            self.push(
                BlockKind::ListItem,
                clean::inline(&format!("{marker} {text}")),
            );
        }
    }

    pub(crate) fn code(&mut self, text: &str) {
        self.push(BlockKind::Code, clean::preformatted(text));
    }

    /// Adds a table whose first row is its header; one of a single column becomes paragraphs.
    pub(crate) fn table(&mut self, rows: Vec<Vec<String>>) {
        self.push_table(table::render(None, rows));
    }

    /// Adds a table under the names of its columns, which are all empty where they have none.
    pub(crate) fn table_under(&mut self, names: Vec<String>, rows: Vec<Vec<String>>) {
        self.push_table(table::render(Some(names), rows));
    }

    /// Adds a table whose titles and header are among its first rows.
    pub(crate) fn table_of(&mut self, rows: &[Row]) {
        let parts = Parts::of(rows, true);
        for (_, title) in &parts.titles {
            self.paragraph(title);
        }
        let body = rows.get(parts.body..).unwrap_or_default();
        self.table_under(parts.names, body.iter().map(Row::texts).collect());
    }

    fn push_table(&mut self, rendered: table::Rendered) {
        match rendered {
            table::Rendered::Table(text) => self.push(BlockKind::Table, text),
            table::Rendered::Column(cells) => {
                for cell in cells {
                    self.push(BlockKind::Paragraph, cell);
                }
            }
        }
    }

    /// Adds what was extracted from a part, such as "attachment `a.csv`", under the current headings, one level down.
    pub(crate) fn nest(&mut self, part: Extracted, name: &str) {
        let above: Vec<String> = self.headings.iter().map(|(_, text)| text.clone()).collect();
        let depth = self.headings.last().map_or(0, |(level, _)| *level);
        for mut block in part.blocks {
            if let BlockKind::Heading(level) = block.kind {
                block.kind = BlockKind::Heading((level + depth).min(6));
            }
            block.locator.headings.splice(0..0, above.iter().cloned());
            block.locator.page = block.locator.page.or(self.page);
            self.extracted.blocks.push(block);
        }
        for warning in part.warnings {
            self.warn(format!("{name}: {}", warning.message));
        }
    }

    pub(crate) fn finish(mut self) -> Extracted {
        if self.n_hidden > 0 {
            self.warn(format!(
                "hidden text was left out: {}",
                passages(self.n_hidden)
            ));
        }
        self.extracted
    }

    fn push(&mut self, kind: BlockKind, text: String) {
        if text.is_empty() {
            return;
        }
        self.is_hiding = false;
        self.extracted.blocks.push(Block {
            kind,
            text,
            locator: Locator {
                page: self.page,
                range: self.range.clone(),
                headings: self.headings.iter().map(|(_, text)| text.clone()).collect(),
            },
        });
    }
}

fn passages(n: usize) -> String {
    format!("{n} passage{}", if n == 1 { "" } else { "s" })
}
