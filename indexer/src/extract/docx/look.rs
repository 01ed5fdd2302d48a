//! How runs of a Word document look, as far as it decides whether readers can see them.

use crate::extract::hidden::{Look, Rgb, WHITE, color};
use crate::extract::ooxml::Element;

/// What run and paragraph properties say, where they say something.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Declared {
    is_hidden: Option<bool>,
    color: Option<Option<Rgb>>,
    /// `Some(None)` for a color that is not known.
    background: Option<Option<Rgb>>,
    size: Option<f32>,
}

impl Declared {
    /// Reads `rPr`, and `pPr` for a paragraph.
    pub(super) fn read(run: Option<&Element>, paragraph: Option<&Element>) -> Self {
        let child = |name: &str| run.and_then(|run| run.child(name));
        let highlight = child("highlight").and_then(|highlight| highlight.attr("val"));
        let highlight = highlight.filter(|name| *name != "none").map(color);
        let shade = |properties: Option<&Element>| {
            properties.and_then(|properties| shading(properties.child("shd")?))
        };
        Self {
            is_hidden: child("vanish")
                .map(|vanish| !matches!(vanish.attr("val"), Some("0" | "false"))),
            color: child("color").map(text_color),
            background: highlight
                .or_else(|| shade(run))
                .or_else(|| shade(paragraph)),
            size: child("sz")
                .and_then(|size| size.attr("val")?.parse::<f32>().ok())
                .map(|half| half / 2.0),
        }
    }

    pub(super) fn within(&self, around: Look) -> Look {
        Look {
            is_hidden: self.is_hidden.unwrap_or(around.is_hidden),
            color: self.color.unwrap_or(around.color),
            background: self.background.unwrap_or(around.background),
            size: self.size.or(around.size),
        }
    }
}

/// The background of a table's cell; `around` is that of the table, unknown where its style may give it one.
pub(super) fn cell_background(cell: &Element, around: Option<Rgb>) -> Option<Rgb> {
    cell.at(&["tcPr", "shd"])
        .and_then(shading)
        .unwrap_or(around)
}

/// The fill of `shd`; `None` for one that leaves what is below.
fn shading(shd: &Element) -> Option<Option<Rgb>> {
    if shd
        .attr("themeFill")
        .is_some_and(|theme| !theme.starts_with("background1"))
    {
        return Some(None);
    }
    // A pattern over the fill gives neither of its colors.
    if shd
        .attr("val")
        .is_some_and(|pattern| !matches!(pattern, "clear" | "nil"))
    {
        return Some(None);
    }
    match shd.attr("fill")? {
        "auto" => None,
        fill => Some(color(fill)),
    }
}

fn text_color(element: &Element) -> Option<Rgb> {
    match element.attr("themeColor") {
        Some("background1" | "light1") if element.attr("themeShade").is_none() => Some(WHITE),
        Some(_) => None,
        None => element.attr("val").and_then(color),
    }
}
