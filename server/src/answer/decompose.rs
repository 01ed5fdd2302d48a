//! Questions with several parts, taken apart for retrieval: "What is X and who does Y?", "Xは何ですか。また、Yはいつですか。",
//! "compare A and B", "AとBの違い".
//!
//! Rules on how such questions are built, in place of a model: the same question always gives the same parts, at no
//! cost. A question is left whole unless it is plain that it has several parts; each part must be able to stand alone.

mod english;
mod japanese;

use super::condense::is_japanese;
use kura_indexer::analyze::analyze;
use kura_indexer::chunk::sentences;
use serde::{Deserialize, Serialize};

/// Parts of a question at most; each is a search of its own.
pub const MAX_PARTS: usize = 3;
/// Characters of a question that is taken apart; a longer one is rather a text with a question in it.
const MAX_CHARS: usize = 500;

/// A part of a question that was searched by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What was searched for.
    pub query: String,
    /// Probability, 0 to 1, that what was found supports it.
    pub support: f32,
}

/// Returns the parts of a question, two to [`MAX_PARTS`], in order; none when it has but one.
#[must_use]
pub fn decompose(question: &str) -> Vec<String> {
    if question.chars().count() > MAX_CHARS {
        return Vec::new();
    }
    let mut context = String::new();
    let mut parts: Vec<String> = Vec::new();
    for range in sentences(question) {
        let sentence = question[range].trim();
        let is_japanese = sentence.chars().any(is_japanese);
        let asks = if is_japanese {
            japanese::asks(sentence)
        } else {
            english::asks(sentence)
        };
        if !asks {
            // What is told before a question is needed to understand it; what follows one is not asked.
            if parts.is_empty() {
                context.push_str(sentence);
                context.push(' ');
            }
            continue;
        }
        let compared = if is_japanese {
            japanese::compared(sentence)
        } else {
            english::compared(sentence)
        };
        if let Some(sides) = compared {
            parts.extend(sides);
            continue;
        }
        let found = if is_japanese {
            japanese::clauses(sentence)
        } else {
            english::clauses(sentence)
        };
        for part in found {
            if stands_alone(&part) || parts.is_empty() {
                parts.push(part);
            } else if let Some(last) = parts.last_mut() {
                last.push(' ');
                last.push_str(&part);
            }
        }
    }
    parts.dedup();
    let leans = |part: &String| english::leans(part) || japanese::leans(part);
    if parts.len() < 2 || parts.iter().any(leans) {
        return Vec::new();
    }
    parts.truncate(MAX_PARTS);
    parts
        .into_iter()
        .map(|part| format!("{context}{part}"))
        .collect()
}

/// Whether a part says by itself what it is about: it has words that carry meaning, and none of them stands for
/// something said before.
fn stands_alone(part: &str) -> bool {
    let leans = english::leans(part) || japanese::leans(part);
    let words = analyze(part).words;
    let mut words = words.iter();
    if part.chars().any(is_japanese) {
        return !leans && japanese::is_about_something(part);
    }
    !leans && words.any(|term| !term.stop && !english::ASKING.contains(&term.text.as_str()))
}

#[cfg(test)]
mod tests;
