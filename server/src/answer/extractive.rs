//! Answers without a generator: the documents' own sentences that fit the question best.

use super::attribute::{Attributed, assemble};
use super::passages::Passage;
use super::prompt::Language;
use super::{Answer, AnswerMode, Flag, FlagKind, Outcome, Timings};
use kura_models::{FinishReason, Usage};
use std::collections::{BTreeSet, HashSet};

/// Sentences in an answer at most.
const MAX_SENTENCES: usize = 3;
/// A sentence this much less relevant than the best one is left out.
const RELATIVE: f32 = 0.82;

/// Answers with the best sentences of the passages, each cited; where a question has several parts, with the best for
/// each. `support` is the gate's. Passages must not be empty of sentences.
#[must_use]
pub fn answer(passages: &[Passage], support: f32) -> Answer {
    let ranked = ranked(passages);
    let parts: BTreeSet<usize> = ranked.iter().map(|ranked| ranked.part).collect();
    let mut chosen: Vec<(usize, usize)> = Vec::new();
    // The whole question is answered by what answers its parts.
    let parts = parts.iter().filter(|part| **part > 0 || parts.len() == 1);
    for part in parts.clone() {
        let of_part = ranked.iter().filter(|ranked| ranked.part == *part);
        let most = MAX_SENTENCES.div_ceil(parts.clone().count());
        chosen.extend(best(of_part, most));
    }
    let sentences = chosen.into_iter().map(|(at, nth)| {
        let passage = &passages[at];
        let text = passage.text[passage.sentences[nth].range.clone()]
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

/// Answers as [`answer`] does below a flagged line that says that the generator saw no answer in the passages.
#[must_use]
pub fn closest(language: Language, passages: &[Passage], support: f32) -> Answer {
    let mut answer = answer(passages, support);
    let notice = language.only_closest();
    let shift = notice.len() + 1;
    for citation in &mut answer.citations {
        let span = &mut citation.answer_span;
        *span = span.start + shift..span.end + shift;
    }
    answer.text = format!("{notice}\n{}", answer.text);
    answer.flags.push(Flag {
        kind: FlagKind::ModelRefused,
        text: notice.to_owned(),
        answer_span: 0..notice.len(),
    });
    answer
}

/// A sentence and how well it answers its part of the question.
struct Ranked {
    passage: usize,
    nth: usize,
    part: usize,
    relevance: f32,
}

/// All sentences, each once, the best first.
fn ranked(passages: &[Passage]) -> Vec<Ranked> {
    let mut ranked = Vec::new();
    for (at, passage) in passages.iter().enumerate() {
        for (nth, sentence) in passage.sentences.iter().enumerate() {
            ranked.push(Ranked {
                passage: at,
                nth,
                part: sentence.part,
                relevance: sentence.relevance,
            });
        }
    }
    ranked.sort_by(|a, b| b.relevance.total_cmp(&a.relevance));
    // Chunks overlap: the same sentence may stand in two of them.
    let mut seen = HashSet::new();
    ranked.retain(|ranked| {
        let passage = &passages[ranked.passage];
        let start = passage.span.start + passage.sentences[ranked.nth].range.start;
        seen.insert((passage.hit.chunk.document, start))
    });
    ranked
}

/// Returns the places of the first sentences that are nearly as good as the very first: its passage leads; within a
/// passage sentences keep their order.
fn best<'a>(ranked: impl Iterator<Item = &'a Ranked>, most: usize) -> Vec<(usize, usize)> {
    let first: Vec<&Ranked> = ranked.take(most).collect();
    let best = first.first().map_or(0.0, |best| best.relevance);
    let mut chosen: Vec<(usize, usize)> = first
        .iter()
        .filter(|ranked| ranked.relevance >= RELATIVE * best)
        .map(|ranked| (ranked.passage, ranked.nth))
        .collect();
    let lead = chosen.first().map(|(at, _)| *at);
    chosen.sort_by_key(|(at, nth)| (Some(*at) != lead, *at, *nth));
    chosen
}
