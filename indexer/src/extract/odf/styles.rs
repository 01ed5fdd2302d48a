//! What the styles of an `OpenDocument` file say about structure and looks.

use crate::extract::hidden::{Look, color, points};
use crate::extract::ooxml::Element;
use std::collections::HashMap;

/// Longest chain of styles based on styles; a longer one is a circle.
const MAX_CHAIN: usize = 32;

/// Deepest level of lists.
const MAX_LEVEL: usize = 10;

/// Styles by name, and the counters of lists.
#[derive(Debug, Default)]
pub(crate) struct Styles {
    styles: HashMap<String, Style>,
    /// List style name → its levels from 1.
    lists: HashMap<String, HashMap<usize, Level>>,
    /// List style name → the last number of each level.
    counters: HashMap<String, [u32; MAX_LEVEL + 1]>,
}

#[derive(Debug, Default)]
struct Style {
    parent: Option<String>,
    level: Option<u8>,
    is_hidden: bool,
    color: Option<[u8; 3]>,
    /// `Some(None)` for one that is none or no color, such as a picture.
    background: Option<Option<[u8; 3]>>,
    size: Option<f32>,
    /// For a sheet: whether it is not shown.
    is_hidden_sheet: bool,
}

/// A level of a numbered list; bullets have none.
#[derive(Debug)]
struct Level {
    format: String,
    prefix: String,
    suffix: String,
    start: u32,
}

impl Styles {
    /// Reads the styles of the content and those common to the document.
    pub(crate) fn read(content: &Element, common: Option<&Element>) -> Self {
        let mut styles = Self::default();
        for root in common.into_iter().chain([content]) {
            for part in ["styles", "automatic-styles"] {
                for element in root.child(part).into_iter().flat_map(Element::elements) {
                    styles.take(element);
                }
            }
        }
        styles
    }

    fn take(&mut self, element: &Element) {
        let Some(name) = element.attr("name") else {
            return;
        };
        match element.name.as_str() {
            "style" => {
                self.styles.insert(name.to_owned(), Style::read(element));
            }
            "list-style" => {
                let levels = element
                    .children_named("list-level-style-number")
                    .filter_map(|level| {
                        let text = |name: &str| level.attr(name).unwrap_or_default().to_owned();
                        let read = Level {
                            format: text("num-format"),
                            prefix: text("num-prefix"),
                            suffix: level.attr("num-suffix").unwrap_or(".").to_owned(),
                            start: level
                                .attr("start-value")
                                .and_then(|start| start.parse().ok())
                                .unwrap_or(1),
                        };
                        Some((level.attr("level")?.parse().ok()?, read))
                    });
                self.lists.insert(name.to_owned(), levels.collect());
            }
            _ => {}
        }
    }

    /// The look of text of this style within text that looks like `around`.
    pub(crate) fn look(&self, style: Option<&str>, around: Look) -> Look {
        let mut look = around;
        // From the oldest ancestor down, so that the nearest has the last word.
        let chain: Vec<&Style> = self.chain(style).collect();
        for style in chain.into_iter().rev() {
            look.is_hidden |= style.is_hidden;
            look.color = style.color.or(look.color);
            look.size = style.size.or(look.size);
            if let Some(background) = style.background {
                look.background = background.or(look.background);
            }
        }
        look
    }

    /// Whether a cell of this style has a background of its own.
    pub(crate) fn is_shaded(&self, style: Option<&str>) -> bool {
        self.chain(style)
            .any(|style| matches!(style.background, Some(Some(_))))
    }

    pub(crate) fn is_hidden_sheet(&self, style: Option<&str>) -> bool {
        self.chain(style).any(|style| style.is_hidden_sheet)
    }

    pub(crate) fn is_title(&self, style: Option<&str>) -> bool {
        self.names(style).any(|name| name == "Title")
    }

    /// The heading level that a paragraph's style gives it.
    pub(crate) fn heading(&self, style: Option<&str>) -> Option<u8> {
        let by_level = self.chain(style).find_map(|style| style.level);
        by_level.or_else(|| {
            self.names(style).find_map(|name| {
                let level: u8 = name.strip_prefix("Heading_20_")?.parse().ok()?;
                Some(level.clamp(1, 6))
            })
        })
    }

    /// Sets the counters of a list that begins.
    pub(crate) fn begin_list(&mut self, style: Option<&str>, level: usize, continues: bool) {
        if continues || level > MAX_LEVEL {
            return;
        }
        let start = self.level(style, level).map_or(1, |level| level.start);
        let counters = self
            .counters
            .entry(style.unwrap_or_default().to_owned())
            .or_default();
        counters[level] = start.saturating_sub(1);
    }

    /// Counts one item and returns its marker.
    pub(crate) fn marker(
        &mut self,
        style: Option<&str>,
        level: usize,
        start: Option<u32>,
    ) -> String {
        let Some(own) = self.level(style, level.min(MAX_LEVEL)) else {
            return "-".to_owned();
        };
        let (format, prefix, suffix) = (own.format.clone(), own.prefix.clone(), own.suffix.clone());
        let counters = self
            .counters
            .entry(style.unwrap_or_default().to_owned())
            .or_default();
        let counter = &mut counters[level.min(MAX_LEVEL)];
        *counter = start.unwrap_or_else(|| counter.saturating_add(1));
        let number = match format.as_str() {
            "" => return "-".to_owned(),
            "a" | "A" => letter(*counter, &format),
            _ => counter.to_string(),
        };
        format!("{prefix}{number}{suffix}")
    }

    fn level(&self, style: Option<&str>, level: usize) -> Option<&Level> {
        self.lists.get(style?)?.get(&level)
    }

    fn chain<'s>(&'s self, style: Option<&'s str>) -> impl Iterator<Item = &'s Style> {
        self.names(style).filter_map(|name| self.styles.get(name))
    }

    fn names<'s>(&'s self, style: Option<&'s str>) -> impl Iterator<Item = &'s str> {
        let next = |name: &&'s str| self.styles.get(*name)?.parent.as_deref();
        std::iter::successors(style, next).take(MAX_CHAIN)
    }
}

impl Style {
    fn read(element: &Element) -> Self {
        let text = element.child("text-properties");
        let text_attr = |name: &str| text.and_then(|text| text.attr(name));
        let backgrounds = [
            "text-properties",
            "paragraph-properties",
            "table-cell-properties",
            "graphic-properties",
        ];
        let background = backgrounds
            .iter()
            .find_map(|name| element.child(name)?.attr("background-color"));
        let display = element
            .child("table-properties")
            .and_then(|table| table.attr("display"));
        Self {
            parent: element.attr("parent-style-name").map(str::to_owned),
            level: element
                .attr("default-outline-level")
                .and_then(|level| level.parse::<u8>().ok())
                .filter(|level| *level > 0)
                .map(|level| level.min(6)),
            is_hidden: text_attr("display") == Some("none"),
            color: text_attr("color").and_then(color),
            background: background.map(color),
            size: text_attr("font-size").and_then(points),
            is_hidden_sheet: display == Some("false"),
        }
    }
}

/// a, b, …, z, aa, bb, …
fn letter(number: u32, first: &str) -> String {
    let base = first.bytes().next().unwrap_or(b'a');
    let index = number.saturating_sub(1);
    let letter = char::from(base + u8::try_from(index % 26).unwrap_or(0));
    letter.to_string().repeat((index / 26 + 1).min(8) as usize)
}
