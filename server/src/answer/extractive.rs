//! Answers without a generator: the documents' own sentences that fit the question best.

use super::attribute::{Attributed, assemble};
use super::evidence::Passage;
use super::{Answer, AnswerMode, Outcome, Timings};
use kura_models::{FinishReason, Usage};
use std::collections::HashSet;

/// Sentences in an answer at most.
const MAX_SENTENCES: usize = 3;
/// A sentence this much less relevant than the best one is left out.
const RELATIVE: f32 = 0.82;

/// Answers with the best sentences of the passages, each cited. `support` is the gate's. Passages must not be empty of sentences.
#[must_use]
pub fn answer(passages: &[Passage], support: f32) -> Answer {
    let mut ranked: Vec<(usize, usize, f32)> = passages
        .iter()
        .enumerate()
        .flat_map(|(at, passage)| {
            passage
                .sentences
                .iter()
                .enumerate()
                .map(move |(nth, sentence)| (at, nth, sentence.relevance))
        })
        .collect();
    ranked.sort_by(|a, b| b.2.total_cmp(&a.2));
    let best = ranked.first().map_or(0.0, |(_, _, relevance)| *relevance);
    // Chunks overlap: the same sentence may stand in two of them.
    let mut seen = HashSet::new();
    ranked.retain(|(at, nth, _)| {
        let hit = &passages[*at].hit;
        let start = hit.span.start + passages[*at].sentences[*nth].range.start;
        seen.insert((hit.chunk.document, start))
    });
    let mut chosen: Vec<(usize, usize)> = ranked
        .iter()
        .take(MAX_SENTENCES)
        .filter(|(_, _, relevance)| *relevance >= RELATIVE * best)
        .map(|(at, nth, _)| (*at, *nth))
        .collect();
    // The passage of the best sentence leads; within a passage sentences keep their order.
    let lead = chosen.first().map(|(at, _)| *at);
    chosen.sort_by_key(|(at, nth)| (Some(*at) != lead, *at, *nth));
    let sentences = chosen.into_iter().map(|(at, nth)| {
        let passage = &passages[at];
        let text = passage.hit.text[passage.sentences[nth].range.clone()]
            .trim()
            .to_owned();
        Attributed {
            text,
            separator: "\n".to_owned(),
            supports: vec![(at, nth)],
        }
    });
    let verified = assemble(sentences.collect(), passages);
    Answer {
        outcome: Outcome::Grounded,
        mode: AnswerMode::Extractive,
        text: verified.text,
        citations: verified.citations,
        flags: Vec::new(),
        support,
        finish_reason: FinishReason::Stop,
        usage: Usage::default(),
        generator: None,
        timings_ms: Timings::default(),
    }
}
