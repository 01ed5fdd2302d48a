//! Whether what was retrieved supports the question, decided before anything is written.
//!
//! Signals are closeness of meaning (cosine), of passages and of their sentences, and the share of the
//! question's words that a passage has. Cosines of different embedders live on different scales, so [`Scale`]
//! measures each embedder once with fixed probe sentences.

use super::condense::is_japanese;
use crate::answer::prompt::Language;
use kura_indexer::analyze::analyze;
use kura_indexer::chunk::sentences;
use kura_indexer::retrieve::Hit;
use kura_models::{Embedder, Vector};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// Hits that are looked at closely; the rest only shows how close unrelated passages are.
const CONSIDERED: usize = 8;
/// The closest hit must be among this many of the lexical leg for the legs to agree.
const AGREEING: usize = 3;
/// Passages the generator is given at most: more distract a small model than they help.
const MAX_PASSAGES: usize = 4;
/// How much a term counts in a passage of the other language, where its translation cannot be looked for.
const UNTRANSLATED: f32 = 0.5;
/// A passage this much less relevant than the best one is left out.
const MAX_GAP: f32 = 0.35;

/// What was retrieved, weighed against the question.
pub struct Evidence {
    passages: Vec<Passage>,
    features: Features,
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Features {
    /// Best closeness of a sentence of the chosen passages, 0 (unrelated) to 1 (same meaning).
    pub sentence: f32,
    /// How far the closest hit stands out from the rest, in the same unit.
    pub margin: f32,
    /// Best share of the question's terms found in one considered hit, 0 to 1. A term counts the more the
    /// fewer hits have it, so the name of the company, which is everywhere, counts for little. In a hit in the
    /// other language only terms can be found that survive translation (figures, codes, names); the rest count half.
    pub coverage: f32,
    /// Whether the closest hit of the dense leg is also among the first of the lexical leg: 0 or 1.
    pub agreement: f32,
}

/// A passage put before the generator, with its sentences.
#[derive(Debug, Clone)]
pub struct Passage {
    /// The hit.
    pub hit: Hit,
    /// Its sentences, in order.
    pub sentences: Vec<Sentence>,
}

/// A sentence of a passage.
#[derive(Debug, Clone)]
pub struct Sentence {
    /// Byte range in the hit's text.
    pub range: Range<usize>,
    /// Its vector.
    pub vector: Vector,
    /// Its terms.
    pub terms: HashSet<String>,
    /// How well it answers the question, 0 to 1.
    pub relevance: f32,
}

impl Evidence {
    /// Weighs hits, best first, against the question.
    ///
    /// # Errors
    /// Those of the embedder.
    pub async fn weigh(
        embedder: &dyn Embedder,
        scale: Scale,
        question: &str,
        hits: Vec<Hit>,
    ) -> kura_models::Result<Self> {
        let closeness: Vec<Option<f32>> = hits
            .iter()
            .map(|hit| hit.cosine.map(|cosine| scale.closeness(cosine)))
            .collect();
        let known: Vec<f32> = closeness.iter().copied().flatten().collect();
        // A hit of the keyword leg alone is at most as close as the furthest one of the dense leg.
        let floor = known.iter().copied().reduce(f32::min).unwrap_or(0.0);
        let background = mean(known.iter().copied().skip(CONSIDERED)).unwrap_or(floor);
        let wanted = Wanted::new(question, &hits);
        let mut features = Features::default();
        let mut closest = 0.0_f32;
        let mut weighed = Vec::with_capacity(CONSIDERED);
        for (hit, closeness) in hits.into_iter().zip(closeness).take(CONSIDERED) {
            let closeness = closeness.unwrap_or(floor);
            let coverage = wanted.share(&hit);
            let agrees = hit.dense.is_some_and(|leg| leg.rank == 1)
                && hit.lexical.is_some_and(|leg| leg.rank <= AGREEING);
            closest = closest.max(closeness);
            features.coverage = features.coverage.max(coverage);
            features.agreement = features.agreement.max(f32::from(u8::from(agrees)));
            weighed.push((hit, 0.5 * closeness + 0.5 * coverage));
        }
        features.margin = (closest - background).max(0.0);
        let vector = embedder.embed_query(question).await?.vector;
        let passages = split(embedder, scale, &vector, &wanted, choose(weighed)).await?;
        features.sentence = passages
            .iter()
            .flat_map(|passage| &passage.sentences)
            .map(|sentence| scale.closeness(cosine(&vector, &sentence.vector)))
            .fold(0.0, f32::max);
        tracing::debug!(?features, "weighed the evidence");
        Ok(Self { passages, features })
    }

    /// Returns whether nothing was retrieved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.passages.is_empty()
    }

    /// Returns the probability, 0 to 1, that the best passage supports the question.
    #[must_use]
    pub fn support(&self) -> f32 {
        if self.passages.is_empty() {
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

    /// Returns the passages for an answer, most relevant first, within a token budget. The first always fits:
    /// it is cut at a sentence if need be.
    #[must_use]
    pub fn pack(self, max_tokens: usize, count: &dyn Fn(&str) -> usize) -> Vec<Passage> {
        let mut left = max_tokens;
        let mut chosen = Vec::new();
        for passage in self.passages {
            let n_tokens = count(&passage.for_prompt());
            if n_tokens <= left {
                left -= n_tokens;
                chosen.push(passage);
            } else if chosen.is_empty() {
                chosen.push(cut(passage, left, count));
                break;
            }
        }
        chosen
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

/// Splits hits into sentences and says how well each answers the question.
async fn split(
    embedder: &dyn Embedder,
    scale: Scale,
    question: &Vector,
    wanted: &Wanted,
    hits: Vec<Hit>,
) -> kura_models::Result<Vec<Passage>> {
    let ranges: Vec<Vec<Range<usize>>> = hits.iter().map(|hit| sentences(&hit.text)).collect();
    let texts: Vec<String> = hits
        .iter()
        .zip(&ranges)
        .flat_map(|(hit, ranges)| {
            ranges
                .iter()
                .map(|range| hit.text[range.clone()].to_owned())
        })
        .collect();
    let embeddings = embedder.embed_documents(&texts).await?;
    let mut vectors = embeddings.into_iter().map(|embedding| embedding.vector);
    let mut passages = Vec::with_capacity(hits.len());
    for (hit, ranges) in hits.into_iter().zip(ranges) {
        // A sentence inherits its headings' words: "20 days" answers under "Annual leave" only.
        let inherited = terms(&header(&hit));
        let sentences = ranges
            .into_iter()
            .zip(vectors.by_ref())
            .map(|(range, vector)| {
                let own = terms(&hit.text[range.clone()]);
                let covered = share(&wanted.terms, &own)
                    + 0.3
                        * share(
                            &wanted.terms,
                            &inherited.difference(&own).cloned().collect(),
                        );
                let relevance =
                    0.5 * scale.closeness(cosine(question, &vector)) + 0.5 * covered.min(1.0);
                Sentence {
                    range,
                    vector,
                    terms: own,
                    relevance,
                }
            })
            .collect();
        passages.push(Passage { hit, sentences });
    }
    Ok(passages)
}

impl Passage {
    /// Returns the passage as the generator reads it: title and headings, then the text.
    #[must_use]
    pub fn for_prompt(&self) -> String {
        format!("{}\n{}", header(&self.hit), self.hit.text)
    }
}

/// Logistic regression on [`Features`]. Coefficients and how they were fitted: `docs/ANSWERS.md`.
fn support(features: &Features) -> f32 {
    let z = -5.68
        + 6.80 * features.sentence
        + 1.13 * features.margin
        + 4.45 * features.coverage
        + 0.48 * features.agreement;
    1.0 / (1.0 + (-z).exp())
}

/// How an embedder's cosines relate to closeness of meaning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    unrelated: f32,
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
    pub async fn measure(embedder: &dyn Embedder) -> kura_models::Result<Self> {
        let probes = embedder
            .embed_documents(&Self::PROBES.map(str::to_owned))
            .await?;
        let pairs = probes.iter().enumerate().flat_map(|(at, a)| {
            let others = probes[at + 1..].iter();
            others.map(move |b| cosine(&a.vector, &b.vector))
        });
        Ok(Self {
            unrelated: mean(pairs).unwrap_or(0.0).clamp(0.0, 0.95),
        })
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

fn header(hit: &Hit) -> String {
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

/// Cuts a passage that is longer than the whole budget after the last sentence that fits.
fn cut(mut passage: Passage, max_tokens: usize, count: &dyn Fn(&str) -> usize) -> Passage {
    let text = &passage.hit.text;
    let fitting = passage
        .sentences
        .iter()
        .map(|sentence| sentence.range.end)
        .take_while(|end| count(&text[..*end]) <= max_tokens)
        .last();
    if let Some(end) = fitting {
        passage.hit.text.truncate(end);
        passage.hit.span.end = passage.hit.span.start + end;
        passage
            .sentences
            .retain(|sentence| sentence.range.end <= end);
    }
    passage
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / n as f32)
}
