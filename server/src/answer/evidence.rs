//! Whether what was retrieved supports the question, decided before anything is written.
//!
//! Signals are how well the question's tokens are met (late interaction), closeness of meaning (cosine), and the share
//! of the question's words that a passage has. The scores of different embedders live on different scales, so [`Scale`]
//! measures each embedder once with fixed probe sentences.

use super::condense::is_japanese;
use super::passages::{Passage, Sentence};
use crate::answer::prompt::Language;
use kura_indexer::analyze::analyze;
use kura_indexer::chunk::sentences;
use kura_indexer::late::TokenCodec;
use kura_indexer::retrieve::Hit;
use kura_models::{Embedder, Embedding, Vector};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// Hits that are looked at closely.
const CONSIDERED: usize = 8;
/// Passages the generator is given at most: more distract a small model than they help.
pub(super) const MAX_PASSAGES: usize = 4;
/// How much a term counts in a passage of the other language, where its translation cannot be looked for.
const UNTRANSLATED: f32 = 0.5;
/// A passage this much less relevant than the best one is left out.
const MAX_GAP: f32 = 0.35;

/// What was retrieved, weighed against the question.
#[derive(Clone)]
pub struct Evidence {
    question: String,
    /// The most relevant ones, best first.
    hits: Vec<Hit>,
    wanted: Wanted,
    scale: Scale,
    features: Features,
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Features {
    /// How well the question's tokens are met by those of one hit, at best: 0 (as by unrelated sentences) to 1 (the
    /// same text). Absent when late interaction was left out.
    pub late: Option<f32>,
    /// Best closeness of meaning of a hit, 0 (unrelated) to 1 (the same).
    pub closeness: f32,
    /// Best share of the question's terms found in one considered hit, 0 to 1. A term counts the more the
    /// fewer hits have it, so the name of the company, which is everywhere, counts for little. In a hit in the
    /// other language only terms can be found that survive translation (figures, codes, names); the rest count half.
    pub coverage: f32,
}

/// The question as sentences are judged by it.
#[derive(Clone)]
pub(super) struct Asked {
    vector: Vector,
    wanted: Wanted,
    scale: Scale,
}

impl Evidence {
    /// Weighs hits, best first, against the question.
    #[must_use]
    pub fn weigh(scale: Scale, question: &str, hits: Vec<Hit>) -> Self {
        let closeness: Vec<Option<f32>> = hits
            .iter()
            .map(|hit| hit.cosine.map(|cosine| scale.closeness(cosine)))
            .collect();
        let known: Vec<f32> = closeness.iter().copied().flatten().collect();
        // A hit of the keyword leg alone is at most as close as the furthest one of the dense leg.
        let floor = known.iter().copied().reduce(f32::min).unwrap_or(0.0);
        let wanted = Wanted::new(question, &hits);
        let mut features = Features::default();
        let mut weighed = Vec::with_capacity(CONSIDERED);
        for (hit, closeness) in hits.into_iter().zip(closeness).take(CONSIDERED) {
            let closeness = closeness.unwrap_or(floor);
            let coverage = wanted.share(&hit);
            features.closeness = features.closeness.max(closeness);
            features.coverage = features.coverage.max(coverage);
            if let Some(late) = hit.late.map(|late| scale.late(late)) {
                features.late = Some(features.late.map_or(late, |best| best.max(late)));
            }
            weighed.push((hit, 0.5 * closeness + 0.5 * coverage));
        }
        tracing::debug!(?features, "weighed the evidence");
        Self {
            question: question.to_owned(),
            hits: choose(weighed),
            wanted,
            scale,
            features,
        }
    }

    /// Splits the most relevant hits into sentences and says how well each answers the question; returns with them
    /// what further sentences can be judged by.
    ///
    /// # Errors
    /// Those of the embedder.
    pub(super) async fn read(
        self,
        embedder: &dyn Embedder,
    ) -> kura_models::Result<(Vec<Passage>, Asked)> {
        let asked = Asked {
            vector: embedder.embed_query(&self.question).await?.vector,
            wanted: self.wanted,
            scale: self.scale,
        };
        let mut passages: Vec<Passage> = self.hits.into_iter().map(Passage::new).collect();
        let ranges = passages.iter().map(|passage| sentences(&passage.text));
        let ranges: Vec<Vec<Range<usize>>> = ranges.collect();
        asked.judge(embedder, &mut passages, ranges).await?;
        Ok((passages, asked))
    }

    /// Returns whether nothing was retrieved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// Returns the probability, 0 to 1, that the best passage supports the question.
    #[must_use]
    pub fn support(&self) -> f32 {
        if self.hits.is_empty() {
            0.0
        } else {
            support(&self.features)
        }
    }

    /// Returns what the gate looked at.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features
    }
}

/// Takes the most relevant hits, most relevant first.
fn choose(mut weighed: Vec<(Hit, f32)>) -> Vec<Hit> {
    weighed.sort_by(|a, b| b.1.total_cmp(&a.1));
    let best = weighed.first().map_or(0.0, |(_, relevance)| *relevance);
    weighed
        .into_iter()
        .take(MAX_PASSAGES)
        .take_while(|(_, relevance)| best - relevance <= MAX_GAP)
        .map(|(hit, _)| hit)
        .collect()
}

impl Asked {
    /// Adds to each passage the sentences at these byte ranges of its text, and says how well they answer.
    ///
    /// # Errors
    /// Those of the embedder.
    pub(super) async fn judge(
        &self,
        embedder: &dyn Embedder,
        passages: &mut [Passage],
        ranges: Vec<Vec<Range<usize>>>,
    ) -> kura_models::Result<()> {
        let texts: Vec<String> = passages
            .iter()
            .zip(&ranges)
            .flat_map(|(passage, ranges)| {
                ranges
                    .iter()
                    .map(|range| passage.text[range.clone()].to_owned())
            })
            .collect();
        let embeddings = embedder.embed_at_once(&texts).await?;
        let mut vectors = embeddings.into_iter().map(|embedding| embedding.vector);
        for (passage, ranges) in passages.iter_mut().zip(ranges) {
            // A sentence inherits its headings' words: "20 days" answers under "Annual leave" only.
            let inherited = terms(&header(&passage.hit));
            for (range, vector) in ranges.into_iter().zip(vectors.by_ref()) {
                let own = terms(&passage.text[range.clone()]);
                let relevance = self.relevance(&own, &inherited, &vector);
                passage.sentences.push(Sentence {
                    range,
                    vector,
                    terms: own,
                    relevance,
                    part: passage.part,
                });
            }
            passage
                .sentences
                .sort_by_key(|sentence| sentence.range.start);
        }
        Ok(())
    }

    fn relevance(&self, own: &HashSet<String>, inherited: &HashSet<String>, vector: &[f32]) -> f32 {
        let wanted = &self.wanted.terms;
        let covered =
            share(wanted, own) + 0.3 * share(wanted, &inherited.difference(own).cloned().collect());
        0.5 * self.scale.closeness(cosine(&self.vector, vector)) + 0.5 * covered.min(1.0)
    }
}

/// Logistic regression on [`Features`]. Coefficients and how they were fitted: `docs/ANSWERS.md`.
fn support(features: &Features) -> f32 {
    let Features {
        late,
        closeness,
        coverage,
    } = *features;
    let z = match late {
        Some(late) => -7.11 + 11.69 * late + 2.08 * closeness + 3.19 * coverage,
        None => -4.90 + 7.61 * closeness + 4.35 * coverage,
    };
    1.0 / (1.0 + (-z).exp())
}

/// How an embedder's scores relate to closeness of meaning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Mean cosine of sentences that have nothing to do with one another.
    unrelated: f32,
    /// Mean late-interaction score of such sentences; 0 for an embedder without token states.
    unrelated_late: f32,
}

impl Scale {
    /// Sentences that have nothing to do with one another, in both languages.
    const PROBES: [&'static str; 8] = [
        "The ferry to the island leaves every morning at seven.",
        "Whisk the egg whites until they form stiff peaks.",
        "The court dismissed the appeal on procedural grounds.",
        "Volcanic ash makes the soil unusually fertile.",
        "昨日の試合は延長戦の末に引き分けとなった。",
        "この曲は短調から長調へと転じて終わる。",
        "冬になると渡り鳥が湖に集まってくる。",
        "古い橋の補修工事は来年の春に始まる。",
    ];

    /// Measures an embedder with the probe sentences.
    ///
    /// # Errors
    /// Those of the embedder.
    pub async fn measure(embedder: &dyn Embedder, codec: &TokenCodec) -> kura_models::Result<Self> {
        let probes = embedder
            .embed_documents(&Self::PROBES.map(str::to_owned))
            .await?;
        let pairs = probes.iter().enumerate().flat_map(|(at, a)| {
            let others = probes[at + 1..].iter();
            others.map(move |b| cosine(&a.vector, &b.vector))
        });
        let unrelated = mean(pairs).unwrap_or(0.0).clamp(0.0, 0.95);
        let mut late = Vec::new();
        for (at, probe) in Self::PROBES.iter().enumerate() {
            let query = codec.query(&embedder.embed_query(probe).await?.tokens);
            let others = probes.iter().enumerate().filter(|(other, _)| *other != at);
            let score = |other: &Embedding| query.as_ref()?.score(&codec.encode(&other.tokens));
            late.extend(others.filter_map(|(_, other)| score(other)));
        }
        Ok(Self {
            unrelated,
            unrelated_late: mean(late.into_iter()).unwrap_or(0.0).clamp(0.0, 0.95),
        })
    }

    /// Maps a late-interaction score to 0 (as the probes have with one another) … 1 (every token is met).
    #[must_use]
    pub fn late(self, score: f32) -> f32 {
        ((score - self.unrelated_late) / (1.0 - self.unrelated_late)).clamp(0.0, 1.0)
    }

    /// Maps a cosine to 0 (as unrelated as the probes are) … 1 (the same).
    #[must_use]
    pub fn closeness(self, cosine: f32) -> f32 {
        ((cosine - self.unrelated) / (1.0 - self.unrelated)).clamp(0.0, 1.0)
    }
}

/// Words of a question that only ask: they are in no answer.
const ASKING: &[&str] = &[
    "what",
    "when",
    "where",
    "who",
    "whom",
    "whose",
    "which",
    "why",
    "how",
    "mani",
    "many",
    "much",
    "tell",
    "pleas",
    "please",
    "can",
    "could",
    "should",
    "would",
    "do",
    "does",
    "did",
    "いつ",
    "どこ",
    "だれ",
    "誰",
    "何",
    "なに",
    "なん",
    "どの",
    "どう",
    "いくら",
    "いくつ",
    "どれ",
    "教え",
    "ください",
    "下さい",
    "知り",
    "ですか",
    "ます",
    "です",
];

/// The terms of a question that an answer should have.
#[derive(Clone)]
struct Wanted {
    language: Language,
    terms: HashSet<String>,
    /// Those that read the same in the other language.
    constant: HashSet<String>,
    /// How much each term counts: the logarithm of the inverse share of hits that have it.
    weights: BTreeMap<String, f32>,
}

impl Wanted {
    fn new(question: &str, hits: &[Hit]) -> Self {
        let all = terms(question);
        let content: HashSet<String> = all
            .iter()
            .filter(|term| !ASKING.contains(&term.as_str()))
            .cloned()
            .collect();
        let wanted = if content.is_empty() { all } else { content };
        let language = Language::of(question);
        let found: Vec<HashSet<String>> = hits.iter().map(hit_terms).collect();
        let n = found.len() as f32;
        let weight = |term: &String| {
            let df = found.iter().filter(|terms| terms.contains(term)).count() as f32;
            ((n + 1.0) / (df + 0.5)).ln().max(0.05)
        };
        Self {
            constant: constant_terms(question, language)
                .intersection(&wanted)
                .cloned()
                .collect(),
            weights: wanted
                .iter()
                .map(|term| (term.clone(), weight(term)))
                .collect(),
            terms: wanted,
            language,
        }
    }

    /// Returns the share of the terms that a hit has, 0 to 1.
    fn share(&self, hit: &Hit) -> f32 {
        let present = hit_terms(hit);
        let same_language = main_language(&hit.text) == self.language;
        let (mut all, mut shared) = (0.0, 0.0);
        for (term, weight) in &self.weights {
            if same_language || self.constant.contains(term) {
                all += weight;
                shared += if present.contains(term) { *weight } else { 0.0 };
            } else {
                all += UNTRANSLATED * weight;
            }
        }
        if all > 0.0 { shared / all } else { 0.0 }
    }
}

/// Returns the language most of a passage is written in. A Japanese character says as much as some three letters.
pub(crate) fn main_language(text: &str) -> Language {
    let n_japanese = text.chars().filter(|c| is_japanese(*c)).count();
    let n_latin = text.chars().filter(char::is_ascii_alphabetic).count();
    if 3 * n_japanese > n_latin {
        Language::Japanese
    } else {
        Language::English
    }
}

/// Returns the terms of a question that survive translation: what is written in Latin letters or figures in a
/// Japanese one, what has a figure or a capital inside the sentence in an English one.
fn constant_terms(question: &str, language: Language) -> HashSet<String> {
    let constant = question
        .split(|c: char| !c.is_ascii_alphanumeric())
        .enumerate()
        .filter(|(at, word)| match language {
            Language::Japanese => !word.is_empty(),
            Language::English => word
                .chars()
                .skip(usize::from(*at == 0))
                .any(|c| c.is_ascii_digit() || c.is_ascii_uppercase()),
        })
        .map(|(_, word)| word);
    terms(&constant.collect::<Vec<_>>().join(" "))
}

/// Returns the distinct terms of a text as the keyword index has them.
#[must_use]
pub fn terms(text: &str) -> HashSet<String> {
    analyze(text)
        .words
        .into_iter()
        .map(|term| term.text)
        .collect()
}

/// Returns the share of `wanted` that `present` has, 0 to 1; nothing wanted gives 0.
#[must_use]
pub fn share(wanted: &HashSet<String>, present: &HashSet<String>) -> f32 {
    if wanted.is_empty() {
        return 0.0;
    }
    wanted.iter().filter(|term| present.contains(*term)).count() as f32 / wanted.len() as f32
}

/// Returns the dot product, which is the cosine of unit vectors.
#[must_use]
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn hit_terms(hit: &Hit) -> HashSet<String> {
    let mut all = terms(&hit.text);
    all.extend(terms(&header(hit)));
    all
}

/// Returns the title and the headings above a hit.
pub(super) fn header(hit: &Hit) -> String {
    let mut header = hit.title.clone();
    for heading in hit
        .locator
        .headings
        .iter()
        .filter(|heading| **heading != hit.title)
    {
        header.push_str(" / ");
        header.push_str(heading);
    }
    header
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / n as f32)
}
