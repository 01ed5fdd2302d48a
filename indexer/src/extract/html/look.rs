//! Which elements of a page cannot be seen, by their attributes and by the page's own style sheets.

use crate::extract::hidden::{Look, Rgb, WHITE, color, points};
use ego_tree::NodeId;
use scraper::node::Element;
use scraper::{Html, Selector};
use std::collections::HashMap;

/// Most rules of style sheets that are looked at.
const MAX_RULES: usize = 300;

/// Most times an element is held against a rule.
const MAX_MATCHES: usize = 20_000_000;

/// What the styles of a page say about what is seen.
pub(super) struct Looks {
    by_node: HashMap<NodeId, Declared>,
    /// The background where none is declared; unknown when a style sheet that is not here may declare one.
    ground: Option<Rgb>,
}

/// What declarations say, of what matters here.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Declared {
    is_hidden: Option<bool>,
    /// `Some(None)` for a color that is not known.
    color: Option<Option<Rgb>>,
    background: Option<Option<Rgb>>,
    size: Option<Option<f32>>,
}

impl Looks {
    pub(super) fn read(html: &Html) -> Self {
        let mut looks = Self {
            by_node: HashMap::new(),
            ground: Some(WHITE),
        };
        let mut sheets = Vec::new();
        for node in html.tree.nodes() {
            let Some(element) = node.value().as_element() else {
                continue;
            };
            match element.name() {
                "style" => sheets.push(
                    node.children()
                        .filter_map(|child| child.value().as_text())
                        .map(|text| &**text)
                        .collect::<String>(),
                ),
                "link"
                    if element
                        .attr("rel")
                        .is_some_and(|rel| rel.to_ascii_lowercase().contains("stylesheet")) =>
                {
                    looks.ground = None;
                }
                _ => {}
            }
        }
        let mut n_left = MAX_RULES.min(MAX_MATCHES / html.tree.values().len().max(1));
        for sheet in &sheets {
            let (rules, is_complete) = rules(sheet);
            if !is_complete {
                looks.ground = None;
            }
            for (selector, declared) in rules {
                if n_left == 0 {
                    looks.ground = None;
                    break;
                }
                n_left -= 1;
                let Ok(selector) = Selector::parse(selector) else {
                    continue;
                };
                for element in html.select(&selector) {
                    let known = looks.by_node.entry(element.id()).or_default();
                    *known = declared.over(*known);
                }
            }
        }
        looks
    }

    /// The look of the page itself.
    pub(super) fn ground(&self) -> Look {
        Look {
            background: self.ground,
            ..Look::default()
        }
    }

    /// The look of an element within what looks like `around`.
    pub(super) fn look(&self, id: NodeId, element: &Element, around: Look) -> Look {
        let mut declared = self.by_node.get(&id).copied().unwrap_or_default();
        for (name, value) in element.attrs() {
            let own = match name {
                "hidden" => Declared {
                    is_hidden: Some(true),
                    ..Declared::default()
                },
                "bgcolor" => Declared {
                    background: Some(color(value)),
                    ..Declared::default()
                },
                "background" => Declared {
                    background: Some(None),
                    ..Declared::default()
                },
                "color" if element.name() == "font" => Declared {
                    color: Some(color(value)),
                    ..Declared::default()
                },
                _ => continue,
            };
            declared = own.over(declared);
        }
        if let Some(style) = element.attr("style") {
            declared = declarations(style).over(declared);
        }
        Look {
            is_hidden: around.is_hidden || declared.is_hidden == Some(true),
            color: declared.color.unwrap_or(around.color),
            background: declared.background.unwrap_or(around.background),
            size: declared.size.unwrap_or(around.size),
        }
    }
}

impl Declared {
    /// These declarations where they say something, else the earlier ones.
    fn over(self, earlier: Self) -> Self {
        Self {
            is_hidden: self.is_hidden.or(earlier.is_hidden),
            color: self.color.or(earlier.color),
            background: self.background.or(earlier.background),
            size: self.size.or(earlier.size),
        }
    }
}

/// Reads `name: value; …`.
fn declarations(text: &str) -> Declared {
    let mut declared = Declared::default();
    for declaration in text.split(';') {
        let Some((name, value)) = declaration.split_once(':') else {
            continue;
        };
        let value = value
            .trim()
            .trim_end_matches("!important")
            .trim()
            .to_ascii_lowercase();
        match name.trim().to_ascii_lowercase().as_str() {
            "display" => declared.is_hidden = Some(value == "none"),
            "visibility" if matches!(value.as_str(), "hidden" | "collapse") => {
                declared.is_hidden = Some(true)
            }
            "visibility" => declared.is_hidden = declared.is_hidden.or(Some(false)),
            "opacity" if value.parse::<f32>().is_ok_and(|opacity| opacity == 0.0) => {
                declared.is_hidden = Some(true)
            }
            "color" => declared.color = Some(color(&value)),
            "background-color" => {
                declared.background =
                    Some(color(&value)).filter(|_| value != "transparent" && value != "inherit")
            }
            "background" | "background-image"
                if matches!(value.as_str(), "none" | "transparent" | "inherit") => {}
            "background" => declared.background = Some(color(&value)),
            "background-image" => declared.background = Some(None),
            "font-size" => declared.size = Some(points(&value)),
            _ => {}
        }
    }
    declared
}

/// The rules of a style sheet that say something of what is seen, by their selectors; the flag says whether all could be
/// read. Rules for printers, narrow screens and the like are passed over: they hold for some readers only.
fn rules(sheet: &str) -> (Vec<(&str, Declared)>, bool) {
    let mut found = Vec::new();
    let mut is_complete = true;
    let mut rest = sheet;
    while let Some((selector, after)) = rest.split_once('{') {
        // Comments and statements without a block may stand before the selector.
        let selector = selector.rsplit(['}', ';']).next().unwrap_or_default();
        let selector = selector.rsplit("*/").next().unwrap_or_default().trim();
        if selector.starts_with('@') {
            is_complete &= !after.contains("background");
            rest = skip_block(after);
            continue;
        }
        let (body, after) = after.split_once('}').unwrap_or((after, ""));
        let declared = declarations(body);
        if declared != Declared::default() && !selector.contains(':') {
            found.push((selector, declared));
        } else if declared.background.is_some() {
            is_complete = false;
        }
        rest = after;
    }
    (found, is_complete)
}

/// What follows a block whose opening brace was taken.
fn skip_block(text: &str) -> &str {
    let mut depth = 1_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[at + 1..];
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_some_readers_only_are_passed_over() {
        let sheet = "@import 'x'; /* a { } */ .a, #b { display : none } @media print { .c { display:none } p { color: red } } d { margin: 0 } e{color:#fff}";
        let (found, is_complete) = rules(sheet);
        let selectors: Vec<&str> = found.iter().map(|(selector, _)| *selector).collect();
        assert_eq!(selectors, [".a, #b", "e"]);
        assert!(is_complete);
        assert!(!rules("@media screen { body { background: #000 } }").1);
    }

    #[test]
    fn declarations_are_read_with_their_last_word() {
        let declared =
            declarations("DISPLAY:none; display: block; color: White !important; font-size: 1px");
        assert_eq!(declared.is_hidden, Some(false));
        assert_eq!(declared.color, Some(Some(WHITE)));
        assert_eq!(declared.size, Some(Some(0.75)));
        assert_eq!(
            declarations("background: url(x.png)").background,
            Some(None)
        );
    }
}
