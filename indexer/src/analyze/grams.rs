//! Pairs of neighboring characters with their places, to find any piece of a text as it is written.

use super::normalize::Normalized;
use super::script;

/// A pair of neighboring letters or digits, or one that stands alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gram {
    /// Lower-case.
    pub text: String,
    /// Place of its first character among the text's characters that are not white space.
    pub position: usize,
    /// Whether it is the first or last of the text and stands alone: as a piece of a longer text it may be half of a pair.
    pub open: bool,
}

/// Returns the grams of a document or query, in order. White space counts for nothing: lines of Japanese are broken
/// anywhere. Other signs separate, and take up a place each.
#[must_use]
pub fn grams(text: &str) -> Vec<Gram> {
    let normalized = Normalized::new(text);
    let signs: Vec<char> = normalized
        .text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(lower)
        .collect();
    let is_letter = |at: Option<usize>| {
        at.and_then(|at| signs.get(at))
            .is_some_and(|&c| script(c).is_some())
    };
    let mut grams = Vec::with_capacity(signs.len());
    for (position, &c) in signs.iter().enumerate() {
        if !is_letter(Some(position)) {
            continue;
        }
        if is_letter(Some(position + 1)) {
            grams.push(Gram {
                text: [c, signs[position + 1]].iter().collect(),
                position,
                open: false,
            });
        } else if !is_letter(position.checked_sub(1)) {
            grams.push(Gram {
                text: c.to_string(),
                position,
                open: position == 0 || position + 1 == signs.len(),
            });
        }
    }
    grams
}

/// Returns whether a text has a script written without spaces, so that its pieces need not begin or end with a word.
#[must_use]
pub fn is_unspaced(text: &str) -> bool {
    text.chars().any(|c| {
        !c.is_ascii()
            && matches!(
                script(c),
                Some(super::Script::Japanese | super::Script::Unspaced)
            )
    })
}

/// Returns `c` in lower case if that is one character.
fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}
