//! Whether what was retrieved supports the question, decided before anything is written.
//!
//! Two signals: closeness of meaning (cosine) and the share of the question's words that a passage has.
//! Cosines of different embedders live on different scales, so [`Scale`] measures each embedder once with
//! fixed probe sentences.

use kura_indexer::analyze::analyze;
use kura_indexer::chunk::sentences;
use kura_indexer::retrieve::Hit;
use kura_models::{Embedder, Vector};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Hits that are looked at closely; the rest only shows how close unrelated passages are.
const CONSIDERED: usize = 8;
/// The closest hit must be among this many of the lexical leg for the legs to agree.
const AGREEING: usize = 3;
/// Passages the generator is given at most: more distract a small model than they help.
const MAX_PASSAGES: usize = 4;
/// A passage this much less relevant than the best one is left out.
const MAX_GAP: f32 = 0.35;

/// What was retrieved, weighed against the question.
pub struct Evidence {
    scale: Scale,
    question: Vector,
    terms: HashSet<String>,
    hits: Vec<(Hit, f32)>,
    features: Features,
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Features {
    /// Best closeness of a considered hit, 0 (unrelated) to 1 (same meaning).
    pub closeness: f32,
    /// How far the best hit stands out from the rest, in the same unit.
    pub margin: f32,
    /// Best share of the question's terms found in one considered hit, 0 to 1. A term counts the more the
    /// fewer hits have it, so the name of the company, which is everywhere, counts for little.
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
        let vector = embedder.embed_query(question).await?;
        let terms = question_terms(question);
        let cosines: Vec<Option<f32>> = hits
            .iter()
            .map(|hit| hit.dense.map(|leg| scale.closeness(leg.score)))
            .collect();
        let known: Vec<f32> = cosines.iter().copied().flatten().collect();
        // A hit of the keyword leg alone is at most as close as the furthest one of the dense leg.
        let floor = known.iter().copied().fold(f32::INFINITY, f32::min).min(1.0);
        let floor = if floor.is_finite() && !known.is_empty() {
            floor
        } else {
            0.0
        };
        let background = mean(known.iter().copied().skip(CONSIDERED));
        let found: Vec<HashSet<String>> = hits.iter().map(hit_terms).collect();
        let weights = rarity(&terms, &found);
        let mut features = Features::default();
        let mut weighed = Vec::with_capacity(hits.len());
        for ((hit, closeness), found) in hits.into_iter().zip(cosines).zip(&found) {
            let closeness = closeness.unwrap_or(floor);
            let coverage = weighted_share(&weights, found);
            if weighed.len() < CONSIDERED {
                features.closeness = features.closeness.max(closeness);
                features.coverage = features.coverage.max(coverage);
                let agrees = hit.dense.is_some_and(|leg| leg.rank == 1)
                    && hit.lexical.is_some_and(|leg| leg.rank <= AGREEING);
                features.agreement = features.agreement.max(f32::from(u8::from(agrees)));
            }
            weighed.push((hit, 0.5 * closeness + 0.5 * coverage));
        }
        features.margin = features.closeness - background.unwrap_or(floor).min(features.closeness);
        weighed.truncate(CONSIDERED);
        tracing::debug!(?features, "weighed the evidence");
        Ok(Self {
            scale,
            question: vector,
            terms,
            hits: weighed,
            features,
        })
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

    /// Returns the passages for an answer, most relevant first, within a token budget. The first always fits:
    /// it is cut at a sentence if need be.
    ///
    /// # Errors
    /// Those of the embedder.
    pub async fn pack(
        &self,
        embedder: &dyn Embedder,
        max_tokens: usize,
        count: &(dyn Fn(&str) -> usize + Sync),
    ) -> kura_models::Result<Vec<Passage>> {
        let mut ranked: Vec<&(Hit, f32)> = self.hits.iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let best = ranked.first().map_or(0.0, |(_, relevance)| *relevance);
        let mut left = max_tokens;
        let mut chosen = Vec::new();
        for (hit, relevance) in ranked {
            if chosen.len() == MAX_PASSAGES || best - relevance > MAX_GAP {
                break;
            }
            let n_tokens = count(&header(hit)) + count(&hit.text);
            if n_tokens <= left {
                left -= n_tokens;
                chosen.push(hit.clone());
            } else if chosen.is_empty() {
                chosen.push(cut(hit.clone(), left, count));
                break;
            }
        }
        self.split(embedder, chosen).await
    }

    /// Splits passages into sentences and says how well each answers the question.
    async fn split(
        &self,
        embedder: &dyn Embedder,
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
        let mut vectors = embedder.embed_documents(&texts).await?.into_iter();
        let mut passages = Vec::with_capacity(hits.len());
        for (hit, ranges) in hits.into_iter().zip(ranges) {
            // A sentence inherits its headings' words: "20 days" answers under "Annual leave" only.
            let inherited = terms(&format!("{} {}", hit.title, hit.locator.headings.join(" ")));
            let sentences = ranges
                .into_iter()
                .zip(vectors.by_ref())
                .map(|(range, vector)| {
                    let own = terms(&hit.text[range.clone()]);
                    let covered = share(&self.terms, &own)
                        + 0.3 * share(&self.terms, &inherited.difference(&own).cloned().collect());
                    let relevance = 0.5 * self.scale.closeness(cosine(&self.question, &vector))
                        + 0.5 * covered.min(1.0);
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
    let z = -5.06
        + 3.19 * features.closeness
        + 2.34 * features.margin
        + 5.23 * features.coverage
        + 0.74 * features.agreement;
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
        let vectors = embedder
            .embed_documents(&Self::PROBES.map(str::to_owned))
            .await?;
        let pairs = vectors
            .iter()
            .enumerate()
            .flat_map(|(at, a)| vectors[at + 1..].iter().map(move |b| cosine(a, b)));
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

fn question_terms(question: &str) -> HashSet<String> {
    let all = terms(question);
    let content: HashSet<String> = all
        .iter()
        .filter(|term| !ASKING.contains(&term.as_str()))
        .cloned()
        .collect();
    if content.is_empty() { all } else { content }
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

/// Returns how much each wanted term counts: the logarithm of the inverse share of hits that have it.
fn rarity(wanted: &HashSet<String>, found: &[HashSet<String>]) -> HashMap<String, f32> {
    let n = found.len() as f32;
    let weight = |term: &String| {
        let df = found.iter().filter(|terms| terms.contains(term)).count() as f32;
        ((n + 1.0) / (df + 0.5)).ln().max(0.05)
    };
    wanted
        .iter()
        .map(|term| (term.clone(), weight(term)))
        .collect()
}

fn weighted_share(weights: &HashMap<String, f32>, present: &HashSet<String>) -> f32 {
    let all: f32 = weights.values().sum();
    let shared: f32 = weights
        .iter()
        .filter(|(term, _)| present.contains(*term))
        .map(|(_, weight)| weight)
        .sum();
    if all > 0.0 { shared / all } else { 0.0 }
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

/// Cuts a hit that is longer than the whole budget after the last sentence that fits.
fn cut(mut hit: Hit, max_tokens: usize, count: &(dyn Fn(&str) -> usize + Sync)) -> Hit {
    let fitting = sentences(&hit.text)
        .into_iter()
        .map(|range| range.end)
        .take_while(|end| count(&hit.text[..*end]) <= max_tokens)
        .last();
    if let Some(end) = fitting {
        hit.text.truncate(end);
        hit.span.end = hit.span.start + end;
    }
    hit
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / n as f32)
}
