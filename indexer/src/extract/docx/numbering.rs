//! The markers of list items, counted as Word counts them.

use crate::extract::ooxml::Element;
use std::collections::HashMap;

const MAX_LEVEL: usize = 8;

/// Lists by their id.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    /// List id → abstract list id.
    lists: HashMap<String, String>,
    abstracts: HashMap<String, Vec<Level>>,
    /// Abstract list id → the last number of each level.
    counters: HashMap<String, [u32; MAX_LEVEL + 1]>,
}

#[derive(Debug, Clone)]
struct Level {
    format: String,
    /// Such as `%1.%2)`.
    text: String,
    start: u32,
}

impl Numbering {
    pub(crate) fn read(root: &Element) -> Self {
        let value = |element: &Element, name: &str| {
            element
                .child(name)
                .and_then(|child| child.attr("val"))
                .map(str::to_owned)
        };
        let abstracts = root.children_named("abstractNum").filter_map(|list| {
            let mut levels = Vec::new();
            for level in list.children_named("lvl").take(MAX_LEVEL + 1) {
                levels.push(Level {
                    format: value(level, "numFmt").unwrap_or_else(|| "decimal".to_owned()),
                    text: value(level, "lvlText").unwrap_or_default(),
                    start: value(level, "start")
                        .and_then(|start| start.parse().ok())
                        .unwrap_or(1),
                });
            }
            Some((list.attr("abstractNumId")?.to_owned(), levels))
        });
        let lists = root.children_named("num").filter_map(|list| {
            Some((
                list.attr("numId")?.to_owned(),
                value(list, "abstractNumId")?,
            ))
        });
        Self {
            lists: lists.collect(),
            abstracts: abstracts.collect(),
            counters: HashMap::new(),
        }
    }

    /// Counts one item and returns its marker; `None` when the id takes the paragraph out of any list.
    pub(crate) fn marker(&mut self, id: &str, level: usize) -> Option<String> {
        if id == "0" {
            return None;
        }
        let level = level.min(MAX_LEVEL);
        let Some(list) = self.lists.get(id) else {
            return Some("-".to_owned());
        };
        let levels = self.abstracts.get(list).map_or(&[][..], Vec::as_slice);
        let Some(own) = levels.get(level).filter(|own| own.format != "bullet") else {
            return Some("-".to_owned());
        };
        if own.format == "none" {
            return Some("-".to_owned());
        }
        let counters = self.counters.entry(list.clone()).or_insert_with(|| {
            std::array::from_fn(|at| {
                levels
                    .get(at)
                    .map_or(0, |level| level.start.saturating_sub(1))
            })
        });
        counters[level] = counters[level].saturating_add(1);
        for (deeper, counter) in counters.iter_mut().enumerate().skip(level + 1) {
            *counter = levels
                .get(deeper)
                .map_or(0, |level| level.start.saturating_sub(1));
        }
        let mut marker = own.text.clone();
        for (at, used) in levels.iter().enumerate().take(level + 1) {
            let number = counters[at].max(used.start);
            marker = marker.replace(&format!("%{}", at + 1), &shown(number, &used.format));
        }
        if marker.trim().is_empty() {
            Some("-".to_owned())
        } else {
            Some(marker)
        }
    }
}

fn shown(number: u32, format: &str) -> String {
    match format {
        "lowerLetter" => letters(number, 'a'),
        "upperLetter" => letters(number, 'A'),
        "lowerRoman" => roman(number).to_lowercase(),
        "upperRoman" => roman(number),
        "decimalZero" => format!("{number:02}"),
        _ => number.to_string(),
    }
}

/// a, b, …, z, aa, bb, …
fn letters(number: u32, first: char) -> String {
    let index = number.saturating_sub(1);
    let letter = char::from_u32(first as u32 + index % 26).unwrap_or(first);
    letter.to_string().repeat((index / 26 + 1).min(8) as usize)
}

fn roman(number: u32) -> String {
    if number > 3999 {
        return number.to_string();
    }
    let digits = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut rest = number;
    let mut out = String::new();
    for (value, digit) in digits {
        while rest >= value {
            out.push_str(digit);
            rest -= value;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_in_their_format() {
        let got: Vec<_> = ["lowerLetter", "upperRoman", "decimal"]
            .map(|format| shown(14, format))
            .into();
        assert_eq!(got, ["n", "XIV", "14"]);
        assert_eq!(shown(28, "upperLetter"), "BB");
    }
}
