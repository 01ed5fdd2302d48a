//! Whether the text of a slide can be seen against what is behind it.
//!
//! White text is common on slides, so a text counts as unseen only where its background is known: the fill of its own
//! shape, or the slide's where nothing else is drawn on the slide or its masters that could lie behind the text.

use crate::extract::hidden::{Look, Rgb, WHITE, color};
use crate::extract::ooxml::{Element, Package};
use std::collections::HashMap;

/// The colors of a presentation's theme by their names, such as `lt1`.
#[derive(Debug, Default)]
pub(super) struct Theme {
    colors: HashMap<String, Rgb>,
}

impl Theme {
    pub(super) fn read(root: &Element) -> Self {
        let scheme = root.at(&["themeElements", "clrScheme"]);
        let colors = scheme
            .into_iter()
            .flat_map(Element::elements)
            .filter_map(|named| {
                let value = named.elements().next()?;
                let value = value.attr("lastClr").or_else(|| value.attr("val"))?;
                Some((named.name.clone(), color(value)?))
            });
        Self {
            colors: colors.collect(),
        }
    }

    /// The color in a `solidFill` or the like. One that is changed (shaded, made transparent) is not known.
    fn color(&self, fill: &Element) -> Option<Rgb> {
        let value = fill.elements().next()?;
        if value.elements().next().is_some() {
            return None;
        }
        match value.name.as_str() {
            "srgbClr" => color(value.attr("val")?),
            "sysClr" => color(value.attr("lastClr")?),
            "schemeClr" => {
                // The usual map of the master's names to the theme's.
                let name = match value.attr("val")? {
                    "bg1" => "lt1",
                    "tx1" => "dk1",
                    "bg2" => "lt2",
                    "tx2" => "dk2",
                    name => name,
                };
                self.colors.get(name).copied()
            }
            _ => None,
        }
    }
}

/// What is behind the text of a slide, if nothing but its background can be.
pub(super) fn ground(
    package: &mut Package<'_>,
    part: &str,
    slide: &Element,
    theme: &Theme,
) -> Option<Rgb> {
    let layout = related(package, part, "slideLayout");
    let master = layout
        .as_ref()
        .and_then(|(part, _)| related(package, part, "slideMaster"));
    let parts = [
        Some(slide),
        layout.as_ref().map(|(_, root)| root),
        master.as_ref().map(|(_, root)| root),
    ];
    let parts: Vec<&Element> = parts.into_iter().flatten().collect();
    if parts.iter().any(|part| draws(part)) {
        return None;
    }
    let background = parts.iter().find_map(|part| part.at(&["cSld", "bg"]));
    match background {
        None => Some(WHITE),
        Some(background) => {
            let fill = background
                .at(&["bgPr", "solidFill"])
                .or_else(|| background.child("bgRef"))?;
            theme.color(fill)
        }
    }
}

fn related(package: &mut Package<'_>, part: &str, kind: &str) -> Option<(String, Element)> {
    let relations = package.relations(part);
    let target = relations
        .into_values()
        .find(|relation| relation.kind == kind)?
        .target;
    let root = package.optional_part(&target)?;
    Some((target, root))
}

/// Whether a slide or master has pictures or filled shapes.
fn draws(part: &Element) -> bool {
    let Some(tree) = part.at(&["cSld", "spTree"]) else {
        return false;
    };
    let mut fills = Vec::new();
    for name in [
        "pic",
        "solidFill",
        "gradFill",
        "blipFill",
        "pattFill",
        "fillRef",
    ] {
        let mut shapes = Vec::new();
        tree.descendants_named("spPr", &mut shapes);
        for shape in shapes {
            shape.descendants_named(name, &mut fills);
        }
    }
    let mut others = Vec::new();
    for name in ["pic", "style", "graphicFrame"] {
        tree.descendants_named(name, &mut others);
    }
    // The color of an outline is no fill.
    fills.len() > outlines(tree) || !others.is_empty()
}

fn outlines(tree: &Element) -> usize {
    let (mut lines, mut fills) = (Vec::new(), Vec::new());
    tree.descendants_named("ln", &mut lines);
    for line in lines {
        line.descendants_named("solidFill", &mut fills);
    }
    fills.len()
}

/// The look of a shape's text where its runs say nothing.
pub(super) fn of_shape(shape: &Element, ground: Option<Rgb>, theme: &Theme) -> Look {
    let properties = shape.child("spPr");
    let own = properties.and_then(|properties| properties.child("solidFill"));
    let is_plain = properties.is_none_or(|properties| {
        properties.child("noFill").is_some()
            || !properties
                .elements()
                .any(|element| element.name.ends_with("Fill"))
    });
    Look {
        background: match own {
            Some(fill) => theme.color(fill),
            None => ground.filter(|_| is_plain && shape.child("style").is_none()),
        },
        ..Look::default()
    }
}

/// The look of a run or field within its shape.
pub(super) fn of_run(run: &Element, around: Look, theme: &Theme) -> Look {
    let Some(properties) = run.child("rPr") else {
        return around;
    };
    // In hundredths of a point.
    let size = properties
        .attr("sz")
        .and_then(|size| size.parse::<f32>().ok())
        .map(|size| size / 100.0);
    let highlight = properties
        .child("highlight")
        .map(|highlight| theme.color(highlight));
    let own = properties.child("solidFill").map(|fill| theme.color(fill));
    Look {
        color: own.unwrap_or(around.color),
        background: highlight.unwrap_or(around.background),
        size: size.or(around.size),
        ..around
    }
}
