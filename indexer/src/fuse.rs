//! What the legs found, made one list. Pure, and outside the engines, so every store ranks alike and each part is
//! explained.

mod neighbors;

pub use neighbors::lean_on_neighbors;

use crate::analyze::is_unspaced;
use crate::document::ChunkId;
use crate::store::{Legs, Scored};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the signals of a candidate are combined. A weight of 0 leaves a signal out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fusion {
    /// How signals on different scales are made comparable.
    pub method: FusionMethod,
    /// Weight of closeness of meaning.
    pub dense_weight: f32,
    /// Weight of shared words.
    pub lexical_weight: f32,
    /// Weight of late interaction.
    pub late_weight: f32,
    /// How far a candidate's score is moved towards those of the candidates closest to it, 0 to 1; see
    /// [`lean_on_neighbors`].
    #[serde(default)]
    pub neighbor_weight: f32,
    /// Weight of recency: what a document of today gets, while one without a date gets nothing.
    #[serde(default)]
    pub recency_weight: f32,
    /// Days in which recency falls to half.
    #[serde(default)]
    pub recency_half_life_days: f32,
}

/// How signals on different scales are made comparable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FusionMethod {
    /// Each signal becomes its distance from the mean over the candidates, in standard deviations. A leg whose first
    /// hits stand out thereby counts more for this query than one that finds everything alike.
    Standardized,
    /// Reciprocal rank fusion: `1 / (k + rank)`, ranks from 1. A candidate that a leg did not find gets nothing from it.
    ReciprocalRank {
        /// Larger values make the first ranks count less.
        k: f32,
    },
}

impl Default for Fusion {
    fn default() -> Self {
        Self {
            method: FusionMethod::Standardized,
            dense_weight: 1.0,
            lexical_weight: 1.0,
            late_weight: 1.5,
            neighbor_weight: 0.5,
            recency_weight: 0.0,
            recency_half_life_days: 365.0,
        }
    }
}

/// How much more shared words count in a query of one word: more than closeness of meaning and late interaction together.
/// The only one of n candidates that has the word lies √(n - 1) standard deviations above the others; where all else about
/// the passages is alike it may lie as far below them by each of the other two signals.
const ONE_WORD_FACTOR: f32 = 3.0;

/// A chunk that one leg found or both, and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The chunk.
    pub chunk: ChunkId,
    /// Its place in the dense leg.
    pub dense: Option<LegRank>,
    /// Its place in the lexical leg.
    pub lexical: Option<LegRank>,
    /// Cosine of its vector to the query's, whether or not the dense leg had it.
    pub cosine: Option<f32>,
    /// Late interaction's score; absent when that did not run.
    pub late: Option<f32>,
    /// Days since its document's date; absent when that is not known, or recency does not count.
    pub age_days: Option<f32>,
}

/// A chunk's place in one leg.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LegRank {
    /// From 1.
    pub rank: usize,
    /// The leg's own score: cosine (dense) or BM25 (lexical).
    pub score: f32,
}

/// A candidate in the fused list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fused {
    /// What was known of it.
    pub candidate: Candidate,
    /// The sum of the parts; compares only within one list.
    pub score: f32,
    /// What each signal added, its weight included.
    pub parts: Parts,
    /// The reranker's logit; absent where it did not read the candidate. Those it read come first, in its order.
    pub cross: Option<f32>,
}

/// What each signal added to a score.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Parts {
    /// By closeness of meaning.
    pub dense: f32,
    /// By shared words.
    pub lexical: f32,
    /// By late interaction.
    pub late: f32,
    /// By its document's date, from 0 to the weight.
    pub recency: f32,
    /// By the candidates that are closest to it, once the others are summed up.
    pub neighbors: f32,
}

/// Returns the first `limit` chunks of each leg, each chunk once.
#[must_use]
pub fn candidates(legs: &Legs, limit: usize) -> Vec<Candidate> {
    let mut found: BTreeMap<ChunkId, Candidate> = BTreeMap::new();
    let mut candidate = |chunk: ChunkId, place: LegRank, is_dense: bool| {
        let entry = found.entry(chunk).or_insert(Candidate {
            chunk,
            dense: None,
            lexical: None,
            cosine: None,
            late: None,
            age_days: None,
        });
        let leg = if is_dense {
            entry.cosine = Some(place.score);
            &mut entry.dense
        } else {
            &mut entry.lexical
        };
        leg.get_or_insert(place);
    };
    for (chunk, place) in ranked(&legs.dense).take(limit) {
        candidate(chunk, place, true);
    }
    for (chunk, place) in ranked(&legs.lexical).take(limit) {
        candidate(chunk, place, false);
    }
    found.into_values().collect()
}

/// Ranks candidates, best first; ties go by chunk id, so equal input gives equal output.
///
/// `limit` is how many chunks each leg was asked for: a leg that gave fewer found all there are.
#[must_use]
pub fn fuse(candidates: &[Candidate], limit: usize, how: &Fusion) -> Vec<Fused> {
    let cosines: Vec<Option<f32>> = candidates.iter().map(|c| c.cosine).collect();
    let lexical: Vec<Option<f32>> = candidates
        .iter()
        .map(|c| c.lexical.map(|leg| leg.score))
        .collect();
    let late: Vec<Option<f32>> = candidates.iter().map(|c| c.late).collect();
    let [dense, lexical, late] = match how.method {
        FusionMethod::Standardized => {
            // Without a shared word BM25 is 0; beyond the leg's last hit it is at most that hit's.
            let n_lexical = lexical.iter().flatten().count();
            let floor = if n_lexical < limit { Some(0.0) } else { None };
            [
                standardized(&cosines, None),
                standardized(&lexical, floor),
                standardized(&late, None),
            ]
        }
        FusionMethod::ReciprocalRank { k } => {
            let by_leg = |leg: fn(&Candidate) -> Option<LegRank>| {
                candidates
                    .iter()
                    .map(|c| leg(c).map_or(0.0, |place| 1.0 / (k + place.rank as f32)))
                    .collect::<Vec<_>>()
            };
            [
                by_leg(|c| c.dense),
                by_leg(|c| c.lexical),
                reciprocal_ranks(&late, k),
            ]
        }
    };
    let mut fused: Vec<Fused> = candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| {
            let parts = Parts {
                dense: how.dense_weight * dense[at],
                lexical: how.lexical_weight * lexical[at],
                late: how.late_weight * late[at],
                recency: how.recency(candidate.age_days),
                neighbors: 0.0,
            };
            Fused {
                candidate: *candidate,
                score: parts.dense + parts.lexical + parts.late + parts.recency,
                parts,
                cross: None,
            }
        })
        .collect();
    sort(&mut fused);
    fused
}

impl Fusion {
    /// Returns the weights for a query. One word, in a script that separates words, is often a code or a name that the
    /// embedder has never met and can only spell: there its opinion is noise, and the passages that have the word must
    /// come first. Long queries describe a subject: there the neighbors of a candidate count.
    #[must_use]
    pub fn for_query(self, query: &str) -> Self {
        let is_one_word = query.split_whitespace().nth(1).is_none() && !is_unspaced(query);
        let factor = if is_one_word { ONE_WORD_FACTOR } else { 1.0 };
        Self {
            lexical_weight: factor * self.lexical_weight,
            neighbor_weight: neighbors::share(query) * self.neighbor_weight,
            ..self
        }
    }

    /// Returns what a document of this age gets. It is bounded and the same for all queries: unlike the other signals it
    /// has nothing to do with the question, so a date must never stand out more than the weight says.
    fn recency(&self, age_days: Option<f32>) -> f32 {
        match age_days {
            Some(age) if self.recency_weight > 0.0 => {
                let half_lives = age.max(0.0) / self.recency_half_life_days;
                self.recency_weight * (-half_lives).exp2()
            }
            _ => 0.0,
        }
    }
}

impl Fused {
    /// Returns the score without late interaction and neighbors.
    #[must_use]
    pub fn hybrid(&self) -> f32 {
        self.parts.hybrid()
    }
}

impl Parts {
    /// Returns the sum without late interaction and neighbors.
    #[must_use]
    pub fn hybrid(&self) -> f32 {
        self.dense + self.lexical + self.recency
    }
}

/// Sorts best first, ties by chunk id.
pub(crate) fn sort(fused: &mut [Fused]) {
    fused.sort_unstable_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then(a.candidate.chunk.cmp(&b.candidate.chunk))
    });
}

/// Returns each value's distance from the mean in standard deviations; missing values count as `floor`, or else as the
/// smallest known. Zeros when all are alike or none is known.
fn standardized(values: &[Option<f32>], floor: Option<f32>) -> Vec<f32> {
    let Some(smallest) = values.iter().copied().flatten().reduce(f32::min) else {
        return vec![0.0; values.len()];
    };
    let floor = floor.unwrap_or(smallest);
    let known: Vec<f32> = values.iter().map(|value| value.unwrap_or(floor)).collect();
    let n = known.len() as f32;
    let mean = known.iter().sum::<f32>() / n;
    let variance = known.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n;
    let deviation = variance.sqrt();
    let is_flat = deviation <= f32::EPSILON * mean.abs().max(1.0);
    known
        .into_iter()
        .map(|x| if is_flat { 0.0 } else { (x - mean) / deviation })
        .collect()
}

fn reciprocal_ranks(values: &[Option<f32>], k: f32) -> Vec<f32> {
    let mut order: Vec<usize> = (0..values.len())
        .filter(|at| values[*at].is_some())
        .collect();
    order.sort_by(|a, b| f32::total_cmp(&values[*b].unwrap_or(0.0), &values[*a].unwrap_or(0.0)));
    let mut scores = vec![0.0; values.len()];
    for (rank, at) in (1_u16..).zip(order) {
        scores[at] = 1.0 / (k + f32::from(rank));
    }
    scores
}

fn ranked(leg: &[Scored]) -> impl Iterator<Item = (ChunkId, LegRank)> {
    leg.iter().zip(1..).map(|(scored, rank)| {
        let place = LegRank {
            rank,
            score: scored.score,
        };
        (scored.chunk, place)
    })
}

#[cfg(test)]
mod tests;
