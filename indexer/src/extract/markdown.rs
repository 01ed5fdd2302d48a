//! Markdown: `CommonMark` with tables, footnotes and front matter.

use crate::document::Extracted;
use crate::extract::outline::Outline;
use crate::extract::{clean, front_matter, html, text};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Extracts blocks; the title is the front matter's, else the first heading of level 1.
pub(crate) fn extract(bytes: &[u8]) -> Extracted {
    let (text, damaged) = text::decode(bytes);
    let mut walk = Walk::default();
    if damaged {
        walk.outline
            .warn("some bytes are not text in the detected encoding and were replaced");
    }
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS
        | Options::ENABLE_GFM;
    for event in Parser::new_ext(text.trim_start_matches('\u{FEFF}'), options) {
        walk.take(event);
    }
    walk.flush();
    walk.outline.finish()
}

#[derive(Debug, Default)]
struct Walk {
    outline: Outline,
    /// Inline text of the block under way; lines are kept apart until it ends.
    inline: String,
    block: Inline,
    /// The next number of each open list, `None` for bullets.
    lists: Vec<Option<u64>>,
    /// The marker of the list item whose first paragraph is still to come.
    marker: Option<String>,
    rows: Vec<Vec<String>>,
    /// Targets of the open links and images, with where their text begins.
    links: Vec<(String, usize)>,
    html: String,
}

/// What the inline text under way becomes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Inline {
    #[default]
    Text,
    Heading(u8),
    Code,
    Cell,
    Metadata,
}

impl Walk {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.open(tag),
            Event::End(tag) => self.close(tag),
            Event::Text(text) => self.inline.push_str(&text),
            Event::Code(code) => {
                self.inline.push('`');
                self.inline.push_str(&code);
                self.inline.push('`');
            }
            Event::InlineMath(math) | Event::DisplayMath(math) => self.inline.push_str(&math),
            Event::Html(html) => self.html.push_str(&html),
            Event::InlineHtml(tag) => {
                if tag.to_ascii_lowercase().starts_with("<br") {
                    self.inline.push('\n');
                }
            }
            Event::FootnoteReference(label) => self.inline.push_str(&format!("[^{label}]")),
            Event::SoftBreak | Event::HardBreak => self.inline.push('\n'),
            Event::Rule => self.flush(),
            Event::TaskListMarker(done) => self.inline.push_str(if done { "[x] " } else { "[ ] " }),
        }
    }

    fn open(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => self.begin(Inline::Heading(level as u8)),
            Tag::CodeBlock(_) => self.begin(Inline::Code),
            Tag::MetadataBlock(_) => self.begin(Inline::Metadata),
            Tag::Table(_) => {
                self.flush();
                self.rows.clear();
            }
            Tag::TableHead | Tag::TableRow => self.rows.push(Vec::new()),
            Tag::TableCell => self.begin(Inline::Cell),
            Tag::List(first) => {
                self.flush();
                self.lists.push(first);
            }
            Tag::Item => {
                self.flush();
                self.marker = Some(self.next_marker());
            }
            Tag::FootnoteDefinition(label) => {
                self.flush();
                self.inline.push_str(&format!("[^{label}]: "));
            }
            Tag::Link { dest_url, .. } => {
                self.links.push((dest_url.into_string(), self.inline.len()))
            }
            Tag::Image { .. } => self.links.push((String::new(), self.inline.len())),
            Tag::Paragraph if self.inline.starts_with("[^") && self.inline.ends_with("]: ") => {}
            Tag::Paragraph
            | Tag::BlockQuote(_)
            | Tag::HtmlBlock
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition => self.flush(),
            Tag::Emphasis
            | Tag::Strong
            | Tag::Strikethrough
            | Tag::Superscript
            | Tag::Subscript => {}
        }
    }

    fn close(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::TableCell => {
                let cell = clean::inline(&std::mem::take(&mut self.inline));
                self.block = Inline::Text;
                if let Some(row) = self.rows.last_mut() {
                    row.push(cell);
                }
            }
            TagEnd::Table => self.outline.table(std::mem::take(&mut self.rows)),
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
            }
            TagEnd::Item => {
                self.flush();
                self.marker = None;
            }
            TagEnd::HtmlBlock => {
                html::add_fragment(&mut self.outline, &std::mem::take(&mut self.html))
            }
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::Paragraph
            | TagEnd::Heading(_)
            | TagEnd::BlockQuote(_)
            | TagEnd::CodeBlock
            | TagEnd::FootnoteDefinition
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::MetadataBlock(_) => self.flush(),
            TagEnd::TableHead
            | TagEnd::TableRow
            | TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Superscript
            | TagEnd::Subscript => {}
        }
    }

    fn begin(&mut self, block: Inline) {
        self.flush();
        self.block = block;
    }

    /// Ends the block under way.
    fn flush(&mut self) {
        let inline = std::mem::take(&mut self.inline);
        match std::mem::take(&mut self.block) {
            Inline::Heading(level) => {
                if level == 1 {
                    self.outline.set_title(&inline);
                }
                self.outline
                    .heading(level, &clean::join_lines(inline.lines()));
            }
            Inline::Code => self.outline.code(&inline),
            Inline::Metadata => front_matter::read(&mut self.outline, &inline),
            Inline::Text | Inline::Cell => {
                let text = clean::join_lines(inline.lines());
                if text.is_empty() {
                    return;
                }
                match self.marker.take() {
                    Some(marker) => self.outline.list_item(&marker, &text),
                    None => self.outline.paragraph(&text),
                }
            }
        }
    }

    /// Keeps an absolute link's target beside its text: a question may be about where something is found.
    fn end_link(&mut self) {
        let Some((target, start)) = self.links.pop() else {
            return;
        };
        let text = self.inline.get(start..).unwrap_or_default();
        if (target.starts_with("http://") || target.starts_with("https://"))
            && !text.contains(&target)
        {
            self.inline.push_str(&format!(" ({target})"));
        }
    }

    fn next_marker(&mut self) -> String {
        match self.lists.last_mut() {
            Some(Some(number)) => {
                let marker = format!("{number}.");
                *number += 1;
                marker
            }
            Some(None) | None => "-".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Block, BlockKind};

    fn blocks(text: &str) -> Vec<(BlockKind, String)> {
        let extracted = extract(text.as_bytes());
        extracted
            .blocks
            .into_iter()
            .map(|Block { kind, text, .. }| (kind, text))
            .collect()
    }

    #[test]
    fn every_kind_of_block_is_kept() {
        let text = "# Title\n\nSome *wrapped*\ntext with `code` and [a link](https://x.example/a).\n\n\
            - one\n- two\n  - nested\n\n3. three\n4. four\n\n```rust\nfn main() {\n    x();\n}\n```\n\n\
            | a | b |\n|---|:-:|\n| 1 | **2** |\n\n> quoted\n\n<div><p>in HTML</p></div>\n";
        assert_eq!(
            blocks(text),
            [
                (BlockKind::Heading(1), "Title".to_owned()),
                (
                    BlockKind::Paragraph,
                    "Some wrapped text with `code` and a link (https://x.example/a).".to_owned()
                ),
                (BlockKind::ListItem, "- one".to_owned()),
                (BlockKind::ListItem, "- two".to_owned()),
                (BlockKind::ListItem, "- nested".to_owned()),
                (BlockKind::ListItem, "3. three".to_owned()),
                (BlockKind::ListItem, "4. four".to_owned()),
                (BlockKind::Code, "fn main() {\n    x();\n}".to_owned()),
                (
                    BlockKind::Table,
                    "| a | b |\n| --- | --- |\n| 1 | 2 |".to_owned()
                ),
                (BlockKind::Paragraph, "quoted".to_owned()),
                (BlockKind::Paragraph, "in HTML".to_owned()),
            ]
        );
    }

    #[test]
    fn heading_paths_follow_the_levels() {
        let extracted = extract("# A\n\n## B\n\nx\n\n### C\n\ny\n\n## D\n\nz\n".as_bytes());
        let path_of = |text: &str| {
            let block = extracted.blocks.iter().find(|b| b.text == text).unwrap();
            block.locator.headings.join("/")
        };
        assert_eq!(path_of("x"), "A/B");
        assert_eq!(path_of("y"), "A/B/C");
        assert_eq!(path_of("z"), "A/D");
        assert_eq!(path_of("D"), "A/D");
    }

    #[test]
    fn the_title_is_the_front_matters_else_the_first_headings() {
        let extracted = extract(
            "---\ntitle: \"就業規則\"\nauthor: x\n---\n# Other\n\n日本語の\n文。\n".as_bytes(),
        );
        assert_eq!(extracted.title.as_deref(), Some("就業規則"));
        assert_eq!(extracted.metadata.author.as_deref(), Some("x"));
        assert_eq!(extracted.blocks[1].text, "日本語の文。");
        assert_eq!(extract(b"text\n\n# H\n").title.as_deref(), Some("H"));
        assert_eq!(extract(b"text\n").title, None);
    }

    #[test]
    fn footnotes_and_task_lists_are_kept() {
        let got = blocks("Text[^1].\n\n[^1]: The note.\n\n- [x] done\n");
        assert!(
            got.contains(&(BlockKind::Paragraph, "[^1]: The note.".to_owned())),
            "{got:?}"
        );
        assert!(
            got.contains(&(BlockKind::ListItem, "- [x] done".to_owned())),
            "{got:?}"
        );
    }
}
