//! What questions are made of: pieces of documents that say something of their own.

use super::Place;
use crate::evaluate::dataset::sha256;
use crate::evaluate::statistics::Random;
use kura_indexer::analyze::analyze;
use kura_indexer::sentences;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Most tokens of a passage: about what a person reads before asking.
const MAX_TOKENS: usize = 256;
/// A passage of this many tokens ends with its paragraph.
const ENOUGH_TOKENS: usize = 96;
/// With fewer words there is hardly anything to ask.
const MIN_WORDS: usize = 24;
/// Words of a shingle.
const SHINGLE: usize = 4;
/// Passages that share this much of their shingles say the same.
const NEAR_DUPLICATE: f64 = 0.7;

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Its text, byte for byte from the document's.
    pub text: String,
    /// First byte in the document's text.
    pub start: usize,
    /// Of its text, lower-case hex.
    pub sha256: String,
    n_tokens: usize,
}

/// Why a passage is not asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// It has too few words.
    TooShort,
    /// It is one sentence or row that is longer than a passage may be.
    TooLong,
    /// It says what an earlier one says.
    NearDuplicate,
}

impl Skipped {
    /// Returns the reason for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::TooShort => "too short",
            Self::TooLong => "one sentence that is too long",
            Self::NearDuplicate => "nearly the same as another",
        }
    }
}

/// The runs of words of a passage, as hashes.
pub type Shingles = HashSet<u64>;

impl Passage {
    /// Returns whether it may be asked about, and if so adds its words to those that were.
    ///
    /// # Errors
    /// The reason why not.
    pub fn usable(&self, asked: &mut Vec<Shingles>) -> Result<(), Skipped> {
        if self.n_tokens > MAX_TOKENS {
            return Err(Skipped::TooLong);
        }
        let words: Vec<String> = analyze(&self.text)
            .words
            .into_iter()
            .map(|term| term.text)
            .collect();
        if words.len() < MIN_WORDS {
            return Err(Skipped::TooShort);
        }
        let shingles: Shingles = words.windows(SHINGLE).map(hash).collect();
        if asked
            .iter()
            .any(|other| similarity(&shingles, other) >= NEAR_DUPLICATE)
        {
            return Err(Skipped::NearDuplicate);
        }
        asked.push(shingles);
        Ok(())
    }

    /// Returns where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            start: self.start,
            end: self.start + self.text.len(),
            sha256: self.sha256.clone(),
        }
    }
}

/// Cuts a document's text into passages of whole sentences, in order. `count` gives the tokens of a text.
#[must_use]
pub fn passages(text: &str, count: &dyn Fn(&str) -> usize) -> Vec<Passage> {
    let mut cut: Vec<(std::ops::Range<usize>, usize)> = Vec::new();
    for sentence in sentences(text) {
        let n_tokens = count(&text[sentence.clone()]);
        let joins = |(span, n): &(std::ops::Range<usize>, usize)| {
            let paragraph_ends = text[span.end..sentence.start].contains("\n\n");
            n + n_tokens <= MAX_TOKENS && !(paragraph_ends && *n >= ENOUGH_TOKENS)
        };
        match cut.last_mut() {
            Some(last) if joins(last) => {
                last.0.end = sentence.end;
                last.1 += n_tokens;
            }
            _ => cut.push((sentence, n_tokens)),
        }
    }
    cut.into_iter()
        .map(|(span, n_tokens)| Passage {
            text: text[span.clone()].to_owned(),
            start: span.start,
            sha256: sha256(&[&text[span]]),
            n_tokens,
        })
        .collect()
}

/// Puts items into a random order.
pub(super) fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for at in (1..items.len()).rev() {
        items.swap(at, random.below(at + 1));
    }
}

fn hash(words: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    words.hash(&mut hasher);
    hasher.finish()
}

/// Returns the share of shingles that two passages have in common, 0 to 1.
fn similarity(a: &Shingles, b: &Shingles) -> f64 {
    let shared = a.intersection(b).count();
    shared as f64 / (a.len() + b.len() - shared).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> usize {
        text.split_whitespace().count()
    }

    #[test]
    fn passages_cover_a_text_in_whole_sentences_and_end_with_paragraphs() {
        let paragraph = "The garage opens at half past six in the morning. ".repeat(10);
        let text = format!("{paragraph}\n\n{paragraph}\n\n{paragraph}");
        let found = passages(&text, &words);
        assert_eq!(found.len(), 3);
        for passage in &found {
            assert_eq!(passage.text, paragraph.trim());
            assert_eq!(
                &text[passage.start..passage.start + passage.text.len()],
                passage.text
            );
        }
        let long = "word ".repeat(MAX_TOKENS + 1);
        let found = passages(&long, &words);
        assert_eq!(found[0].usable(&mut Vec::new()), Err(Skipped::TooLong));
    }

    #[test]
    fn short_and_repeated_passages_are_skipped() {
        let text = "Every employee gets twenty days of paid leave in a year, and one more day after every five years \
            with the company. Leave that is not taken by the end of March is lost, unless the team lead agreed.";
        let changed = text.replace("twenty", "twenty-two");
        let other = "Trains are booked in second class. Flights inside the country need the consent of the head of the \
            department, and hotels may cost at most one hundred and twenty euros for each night of the stay.";
        let usable = |text: &str, asked: &mut Vec<Shingles>| {
            let found = passages(text, &words);
            assert_eq!(found.len(), 1);
            found[0].usable(asked)
        };
        let asked = &mut Vec::new();
        assert_eq!(usable("Leave.", asked), Err(Skipped::TooShort));
        assert_eq!(usable(text, asked), Ok(()));
        assert_eq!(usable(text, asked), Err(Skipped::NearDuplicate));
        assert_eq!(usable(&changed, asked), Err(Skipped::NearDuplicate));
        assert_eq!(usable(other, asked), Ok(()));
        let japanese = "年次有給休暇は入社から六か月が経過し、所定労働日の八割以上を出勤した従業員に十日付与される。";
        assert_eq!(usable(japanese, asked), Ok(()));
    }

    #[test]
    fn an_order_depends_on_its_seed_alone() {
        let ordered = |seed| {
            let mut items: Vec<u32> = (0..50).collect();
            shuffle(&mut items, &mut Random::new(seed));
            items
        };
        assert_eq!(ordered(1), ordered(1));
        assert_ne!(ordered(1), ordered(2));
        let mut sorted = ordered(3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
}
