//! What is put before the reader: hits made into passages.
//!
//! Small chunks are found, because they are about one thing; they are read with what stands around them in their
//! section, because a sentence may need the one before it. Hits that touch become one passage. Spans of the document's
//! text decide what belongs together, so no text stands twice, and every quote is still a byte range of the document
//! with the page of the chunk that it stands in.

use super::decompose::Part;
use super::evidence::{Asked, Evidence, MAX_PASSAGES, header};
use super::{AnswerConfig, AnswerError};
use kura_indexer::catalog::{Place, Surroundings};
use kura_indexer::chunk::sentences;
use kura_indexer::retrieve::Hit;
use kura_indexer::{AccessFilter, ChunkId, DocumentId, Pipeline};
use kura_models::{Embedder, Vector};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Chunks on either side of a hit that it may be widened into.
const REACH: u32 = 2;

/// A part of a question needs only this share of the support that a question needs: that some of what is asked is
/// in the documents makes it likelier for the rest.
const PART_SUPPORT: f32 = 0.5;

/// Counts the tokens of a text.
pub type Count<'a> = dyn Fn(&str) -> usize + Sync + 'a;

/// A stretch of a document's text put before the reader.
#[derive(Debug, Clone)]
pub struct Passage {
    /// The best hit in it.
    pub hit: Hit,
    /// What is read: the hit's text with what was joined to it, byte for byte `document text[span]`.
    pub text: String,
    /// Byte range in the document's text.
    pub span: Range<usize>,
    /// The chunks that it reaches into, in order.
    pub places: Vec<Place>,
    /// Its sentences, in order.
    pub sentences: Vec<Sentence>,
    /// The part of the question that it was found for, from 1; 0 is the whole question.
    pub part: usize,
}

/// A sentence of a passage.
#[derive(Debug, Clone)]
pub struct Sentence {
    /// Byte range in the passage's text.
    pub range: Range<usize>,
    /// Its vector.
    pub vector: Vector,
    /// Its terms.
    pub terms: HashSet<String>,
    /// How well it answers the part of the question, 0 to 1.
    pub relevance: f32,
    /// The part of the question, as in [`Passage::part`].
    pub part: usize,
}

/// What was found for a question as a whole, and for each of its parts.
#[derive(Clone)]
pub struct Gathered {
    whole: Evidence,
    parts: Vec<(String, Evidence)>,
}

impl Passage {
    pub(super) fn new(hit: Hit) -> Self {
        let place = Place {
            ordinal: hit.chunk.ordinal,
            span: hit.span.clone(),
            locator: hit.locator.clone(),
        };
        Self {
            text: hit.text.clone(),
            span: hit.span.clone(),
            places: vec![place],
            sentences: Vec::new(),
            part: 0,
            hit,
        }
    }

    /// Returns the passage as the generator reads it: title and headings, then the text.
    #[must_use]
    pub fn for_prompt(&self) -> String {
        format!("{}\n{}", header(&self.hit), self.text)
    }

    /// Returns the hit with the text that is read, which may reach beyond the chunk.
    #[must_use]
    pub fn as_read(&self) -> Hit {
        Hit {
            text: self.text.clone(),
            span: self.span.clone(),
            ..self.hit.clone()
        }
    }

    /// Returns the chunk that holds a byte range of the document's text, and where that stands: the hit's own if it
    /// does, else the one that has most of it.
    #[must_use]
    pub fn place(&self, span: &Range<usize>) -> (ChunkId, &Place) {
        let held = |place: &&Place| {
            let end = place.span.end.min(span.end);
            let length = end.saturating_sub(place.span.start.max(span.start));
            (length, place.ordinal == self.hit.chunk.ordinal)
        };
        let place = self.places.iter().rev().max_by_key(held);
        let place = place.unwrap_or(&self.places[0]);
        let chunk = ChunkId {
            ordinal: place.ordinal,
            ..self.hit.chunk
        };
        (chunk, place)
    }

    fn is_of(&self, other: &Self) -> bool {
        let (a, b) = (self.hit.chunk, other.hit.chunk);
        (a.document, a.version) == (b.document, b.version)
    }

    /// Whether the other passage says the same, because it is it or because it was collapsed into it.
    fn says(&self, other: &Self) -> bool {
        let listed = |hit: &Hit, chunk: ChunkId| hit.duplicates.iter().any(|d| d.chunk == chunk);
        self.hit.chunk == other.hit.chunk
            || listed(&self.hit, other.hit.chunk)
            || listed(&other.hit, self.hit.chunk)
    }
}

impl Gathered {
    /// Brings together what was found for the whole question and for its parts; none if it has but one.
    #[must_use]
    pub fn new(whole: Evidence, parts: Vec<(String, Evidence)>) -> Self {
        Self { whole, parts }
    }

    /// Returns whether nothing was retrieved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.parts.iter().all(|(_, evidence)| evidence.is_empty())
    }

    /// Returns the probability, 0 to 1, that the best passage supports the question or a part of it.
    #[must_use]
    pub fn support(&self) -> f32 {
        let parts = self.parts.iter().map(|(_, evidence)| evidence.support());
        parts.fold(self.whole.support(), f32::max)
    }

    /// Returns the parts of the question, each with its own support; none if it has but one.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let part = |(query, evidence): &(String, Evidence)| Part {
            query: query.clone(),
            support: evidence.support(),
        };
        self.parts.iter().map(part).collect()
    }

    /// Returns the passages, and what to judge further sentences by, the whole question first. Each part has its best
    /// passage before any has its second; a part with less support than `min_support` has none of its own.
    async fn into_passages(
        self,
        embedder: &dyn Embedder,
        min_support: f32,
    ) -> kura_models::Result<(Vec<Passage>, Vec<Asked>)> {
        let mut lists = Vec::new();
        let (of_whole, whole) = self.whole.read(embedder).await?;
        let mut asked = vec![whole];
        for (at, (_, evidence)) in (1..).zip(self.parts) {
            let support = evidence.support();
            let (passages, part) = evidence.read(embedder).await?;
            if support >= min_support {
                lists.push(of_part(at, passages));
            }
            asked.push(part);
        }
        let most = MAX_PASSAGES + lists.len();
        lists.push(of_whole);
        Ok((interleave(lists, most), asked))
    }
}

fn of_part(part: usize, mut passages: Vec<Passage>) -> Vec<Passage> {
    for passage in &mut passages {
        passage.part = part;
        for sentence in &mut passage.sentences {
            sentence.part = part;
        }
    }
    passages
}

/// Takes the first of each list, then the second of each, up to `most`; what says the same is taken once.
fn interleave(lists: Vec<Vec<Passage>>, most: usize) -> Vec<Passage> {
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    let mut taken: Vec<Passage> = Vec::new();
    loop {
        let round: Vec<Passage> = lists.iter_mut().filter_map(Iterator::next).collect();
        if round.is_empty() {
            return taken;
        }
        for passage in round {
            match taken.iter().position(|other| other.says(&passage)) {
                Some(at) if taken[at].hit.chunk == passage.hit.chunk => {
                    take_over(&mut taken[at].sentences, passage.sentences);
                }
                None if taken.len() < most => taken.push(passage),
                Some(_) | None => {}
            }
        }
    }
}

/// Keeps for each sentence the part that it answers best; the whole question is none.
fn take_over(known: &mut Vec<Sentence>, others: Vec<Sentence>) {
    for other in others {
        match known
            .iter_mut()
            .find(|sentence| sentence.range == other.range)
        {
            Some(sentence) => {
                let is_better = match (sentence.part, other.part) {
                    (0, 1..) => true,
                    (1.., 0) => false,
                    _ => other.relevance > sentence.relevance,
                };
                if is_better {
                    *sentence = other;
                }
            }
            None => known.push(other),
        }
    }
}

/// Makes passages of what was gathered, the most relevant first, within `context_tokens`.
///
/// Hits that touch are joined, and each passage is widened within its section. The first always fits: it is cut at a
/// sentence if need be. A document that was deleted, replaced or closed to the principal since is left out.
///
/// # Errors
/// Those of the catalog and of the embedder.
pub async fn pack(
    pipeline: &Pipeline,
    gathered: Gathered,
    config: &AnswerConfig,
    access: &AccessFilter,
    count: &Count<'_>,
) -> Result<Vec<Passage>, AnswerError> {
    let embedder = pipeline.embedder().as_ref();
    let min_support = PART_SUPPORT * config.min_support;
    let (mut passages, asked) = gathered.into_passages(embedder, min_support).await?;
    let around = surroundings(pipeline, &mut passages, config.section_tokens > 0, access).await?;
    let joined = join_touching(passages, &around, config.context_tokens, count);
    let (mut passages, left) = fit(joined, config.context_tokens, count);
    let added: Vec<Vec<Range<usize>>> = (0..passages.len())
        .scan(left, |left, at| {
            let room = config.section_tokens.min(*left);
            let (added, spent) = widen(&mut passages, at, &around, room, count);
            *left -= spent;
            Some(added)
        })
        .collect();
    for (part, asked) in asked.iter().enumerate() {
        let own = passages.iter().zip(&added).map(|(passage, added)| {
            if passage.part == part {
                added.clone()
            } else {
                Vec::new()
            }
        });
        let own: Vec<Vec<Range<usize>>> = own.collect();
        if own.iter().any(|ranges| !ranges.is_empty()) {
            asked.judge(embedder, &mut passages, own).await?;
        }
    }
    Ok(passages)
}

/// Reads what stands around the passages, and drops those whose document is not to be read any more. Without
/// widening, only documents with several passages need it.
async fn surroundings(
    pipeline: &Pipeline,
    passages: &mut Vec<Passage>,
    widening: bool,
    access: &AccessFilter,
) -> Result<HashMap<DocumentId, Surroundings>, AnswerError> {
    let mut found = HashMap::new();
    let mut wanted: Vec<(DocumentId, u32, u32, u32, usize)> = Vec::new();
    for ChunkId {
        document,
        version,
        ordinal,
    } in passages.iter().map(|passage| passage.hit.chunk)
    {
        match wanted.iter_mut().find(|known| known.0 == document) {
            Some((_, _, first, last, n)) => {
                (*first, *last) = ((*first).min(ordinal), (*last).max(ordinal));
                *n += 1;
            }
            None => wanted.push((document, version, ordinal, ordinal, 1)),
        }
    }
    for (document, version, first, last, n) in wanted {
        if !widening && n == 1 {
            continue;
        }
        let ordinals = first.saturating_sub(REACH)..=last.saturating_add(REACH);
        match pipeline
            .surroundings(document, version, ordinals, access)
            .await?
        {
            Some(around) => {
                found.insert(document, around);
            }
            None => passages.retain(|passage| passage.hit.chunk.document != document),
        }
    }
    Ok(found)
}

/// Joins passages of a document that overlap, or stand side by side in one section, as long as that fits the budget.
/// A joined passage has the place of its best part.
fn join_touching(
    passages: Vec<Passage>,
    around: &HashMap<DocumentId, Surroundings>,
    max_tokens: usize,
    count: &Count<'_>,
) -> Vec<Passage> {
    let mut kept: Vec<Passage> = Vec::new();
    for mut passage in passages {
        let mut slot = kept.len();
        let Some(around) = around.get(&passage.hit.chunk.document) else {
            kept.push(passage);
            continue;
        };
        while let Some(at) = kept.iter().position(|other| {
            touches(other, &passage, &around.text)
                && (overlaps(other, &passage)
                    || count(&joined(other, &passage, &around.text).for_prompt()) <= max_tokens)
        }) {
            passage = joined(&kept.remove(at), &passage, &around.text);
            slot = slot.min(at);
        }
        kept.insert(slot.min(kept.len()), passage);
    }
    kept
}

fn overlaps(a: &Passage, b: &Passage) -> bool {
    a.is_of(b) && a.span.start < b.span.end && b.span.start < a.span.end
}

fn touches(a: &Passage, b: &Passage, text: &str) -> bool {
    let between = a.span.end.min(b.span.end)..a.span.start.max(b.span.start);
    let is_adjacent = || {
        a.hit.locator.headings == b.hit.locator.headings && text[between.clone()].trim().is_empty()
    };
    overlaps(a, b) || (a.is_of(b) && is_adjacent())
}

/// Joins two passages of a document; `better` is the more relevant one.
fn joined(better: &Passage, other: &Passage, text: &str) -> Passage {
    let span = better.span.start.min(other.span.start)..better.span.end.max(other.span.end);
    let mut hit = better.hit.clone();
    let shared = std::iter::zip(&hit.locator.headings, &other.hit.locator.headings)
        .take_while(|(a, b)| a == b)
        .count();
    hit.locator.headings.truncate(shared);
    let mut places: Vec<Place> = better.places.iter().chain(&other.places).cloned().collect();
    places.sort_by_key(|place| place.ordinal);
    places.dedup_by_key(|place| place.ordinal);
    let moved = |passage: &Passage| {
        let by = passage.span.start - span.start;
        let sentences = passage.sentences.iter().cloned();
        let moved = sentences.map(|mut sentence| {
            sentence.range = sentence.range.start + by..sentence.range.end + by;
            sentence
        });
        moved.collect::<Vec<Sentence>>()
    };
    let mut sentences = moved(better);
    take_over(&mut sentences, moved(other));
    sentences.sort_by_key(|sentence| (sentence.range.start, std::cmp::Reverse(sentence.range.end)));
    // Where chunks overlap, a sentence that one of them cuts stands whole in the other.
    let mut end = 0;
    sentences.retain(|sentence| {
        let is_new = sentence.range.end > end;
        end = end.max(sentence.range.end);
        is_new
    });
    Passage {
        hit,
        text: text[span.clone()].to_owned(),
        span,
        places,
        sentences,
        part: better.part,
    }
}

/// Takes passages as long as they fit; returns what is left of the budget.
fn fit(passages: Vec<Passage>, max_tokens: usize, count: &Count<'_>) -> (Vec<Passage>, usize) {
    let mut left = max_tokens;
    let mut chosen = Vec::new();
    for passage in passages {
        let n_tokens = count(&passage.for_prompt());
        if n_tokens <= left {
            left -= n_tokens;
            chosen.push(passage);
        } else if chosen.is_empty() {
            return (vec![cut(passage, left, count)], 0);
        }
    }
    (chosen, left)
}

/// Cuts a passage that is longer than the whole budget after the last sentence that fits.
fn cut(mut passage: Passage, max_tokens: usize, count: &Count<'_>) -> Passage {
    let text = &passage.text;
    let fitting = passage
        .sentences
        .iter()
        .map(|sentence| sentence.range.end)
        .take_while(|end| count(&text[..*end]) <= max_tokens)
        .last();
    if let Some(end) = fitting {
        passage.text.truncate(end);
        passage.span.end = passage.span.start + end;
        passage
            .sentences
            .retain(|sentence| sentence.range.end <= end);
        let end = passage.span.end;
        if passage.places.iter().any(|place| place.span.start < end) {
            passage.places.retain(|place| place.span.start < end);
        }
    }
    passage
}

/// Widens a passage sentence by sentence, forward and back in turn, by up to `room` tokens. It stays within its
/// section and out of the other passages. Returns the ranges of the new sentences in its text, and the tokens spent.
fn widen(
    passages: &mut [Passage],
    at: usize,
    around: &HashMap<DocumentId, Surroundings>,
    room: usize,
    count: &Count<'_>,
) -> (Vec<Range<usize>>, usize) {
    let Some(Surroundings { text, chunks }) = around
        .get(&passages[at].hit.chunk.document)
        .filter(|_| room > 0)
    else {
        return (Vec::new(), 0);
    };
    let section = section(passages, at, chunks);
    let passage = &mut passages[at];
    let own = count(&passage.text);
    let sentences_in = |range: Range<usize>| {
        let found = sentences(&text[range.clone()]).into_iter();
        found.map(move |sentence| range.start + sentence.start..range.start + sentence.end)
    };
    let mut ahead: Vec<Range<usize>> = sentences_in(passage.span.end..section.end).collect();
    ahead.reverse();
    let mut behind: Vec<Range<usize>> = sentences_in(section.start..passage.span.start).collect();
    let (mut span, mut spent) = (passage.span.clone(), 0);
    let mut added = Vec::new();
    while !(ahead.is_empty() && behind.is_empty()) {
        for side in [&mut ahead, &mut behind] {
            let Some(sentence) = side.pop() else { continue };
            let wider = span.start.min(sentence.start)..span.end.max(sentence.end);
            let tokens = count(&text[wider.clone()]).saturating_sub(own);
            if tokens > room {
                side.clear();
                continue;
            }
            (span, spent) = (wider, tokens);
            added.push(sentence);
        }
    }
    let shift = passage.span.start - span.start;
    for sentence in &mut passage.sentences {
        sentence.range = sentence.range.start + shift..sentence.range.end + shift;
    }
    passage.text = text[span.clone()].to_owned();
    let reached = chunks.iter().filter(|place| {
        let known = passage.places.iter().any(|p| p.ordinal == place.ordinal);
        !known && place.span.start < span.end && span.start < place.span.end
    });
    let reached: Vec<Place> = reached.cloned().collect();
    passage.places.extend(reached);
    passage.places.sort_by_key(|place| place.ordinal);
    let relative = |sentence: Range<usize>| sentence.start - span.start..sentence.end - span.start;
    let added = added.into_iter().map(relative).collect();
    passage.span = span;
    (added, spent)
}

/// Returns the byte range of the document that a passage may be widened into: adjacent chunks under the same
/// headings, up to the next passage.
fn section(passages: &[Passage], at: usize, chunks: &[Place]) -> Range<usize> {
    let passage = &passages[at];
    let mut section = passage.span.clone();
    let (Some(first), Some(last)) = (passage.places.first(), passage.places.last()) else {
        return section;
    };
    let mut next = first.ordinal;
    for place in chunks.iter().rev().filter(|p| p.ordinal < first.ordinal) {
        if place.ordinal + 1 != next || place.locator.headings != first.locator.headings {
            break;
        }
        (section.start, next) = (section.start.min(place.span.start), place.ordinal);
    }
    let mut before = last.ordinal;
    for place in chunks.iter().filter(|p| p.ordinal > last.ordinal) {
        if place.ordinal != before + 1 || place.locator.headings != last.locator.headings {
            break;
        }
        (section.end, before) = (section.end.max(place.span.end), place.ordinal);
    }
    let others = passages.iter().enumerate();
    for (_, other) in others.filter(|(nth, other)| *nth != at && other.is_of(passage)) {
        if other.span.end <= passage.span.start {
            section.start = section.start.max(other.span.end);
        } else if other.span.start >= passage.span.end {
            section.end = section.end.min(other.span.start);
        }
    }
    section
}

#[cfg(test)]
mod tests;
