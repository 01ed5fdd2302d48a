//! What the styles of a Word document say about structure.

use super::look::Declared;
use crate::extract::hidden::Look;
use crate::extract::ooxml::Element;
use std::collections::HashMap;

/// Longest chain of styles based on styles; a longer one is a circle.
const MAX_CHAIN: usize = 32;

/// Paragraph styles by id.
#[derive(Debug, Default)]
pub(crate) struct Styles {
    styles: HashMap<String, Style>,
}

#[derive(Debug, Default)]
struct Style {
    /// Lower case.
    name: String,
    based_on: Option<String>,
    level: Option<u8>,
    list: Option<(String, usize)>,
    look: Declared,
}

impl Styles {
    pub(crate) fn read(root: &Element) -> Self {
        let styles = root.children_named("style").filter_map(|style| {
            let value = |path: &[&str]| style.at(path).and_then(|element| element.attr("val"));
            let level = value(&["pPr", "numPr", "ilvl"])
                .and_then(|level| level.parse().ok())
                .unwrap_or(0);
            let read = Style {
                name: value(&["name"]).unwrap_or_default().to_lowercase(),
                based_on: value(&["basedOn"]).map(str::to_owned),
                level: value(&["pPr", "outlineLvl"]).and_then(outline_level),
                list: value(&["pPr", "numPr", "numId"]).map(|id| (id.to_owned(), level)),
                look: Declared::read(style.child("rPr"), style.child("pPr")),
            };
            Some((style.attr("styleId")?.to_owned(), read))
        });
        Self {
            styles: styles.collect(),
        }
    }

    /// The heading level 1 to 6 of a style or of what it is based on.
    pub(crate) fn heading(&self, id: Option<&str>) -> Option<u8> {
        let by_style = self
            .chain(id)
            .find_map(|style| style.level.or_else(|| heading_name(&style.name)));
        // Without a styles part the id, which begins as the English name, is all there is.
        by_style.or_else(|| {
            id.filter(|id| !self.styles.contains_key(*id))
                .and_then(|id| heading_name(&id.to_lowercase()))
        })
    }

    pub(crate) fn is_title(&self, id: Option<&str>) -> bool {
        self.chain(id).any(|style| style.name == "title")
            || (id == Some("Title") && self.styles.is_empty())
    }

    /// The numbering id and level that a style brings.
    pub(crate) fn list(&self, id: Option<&str>) -> Option<(String, usize)> {
        self.chain(id).find_map(|style| style.list.clone())
    }

    /// The look of text of this style within text that looks like `around`.
    pub(crate) fn look(&self, id: Option<&str>, around: Look) -> Look {
        // From the oldest ancestor down, so that the nearest has the last word.
        let chain: Vec<&Style> = self.chain(id).collect();
        let styles = chain.iter().rev();
        styles.fold(around, |look, style| style.look.within(look))
    }

    fn chain(&self, id: Option<&str>) -> impl Iterator<Item = &Style> {
        let first = id.and_then(|id| self.styles.get(id));
        std::iter::successors(first, |style| self.styles.get(style.based_on.as_deref()?))
            .take(MAX_CHAIN)
    }
}

/// The heading level of an outline level as stored, from 0; 9 means body text.
pub(crate) fn outline_level(stored: &str) -> Option<u8> {
    let level: u8 = stored.parse().ok()?;
    (level < 9).then(|| (level + 1).min(6))
}

/// `heading 2`, `Heading2`, `見出し 2`.
fn heading_name(name: &str) -> Option<u8> {
    let rest = name
        .strip_prefix("heading")
        .or_else(|| name.strip_prefix("見出し"))?;
    let level: u8 = rest.trim().parse().ok()?;
    (1..=9).contains(&level).then(|| level.min(6))
}
