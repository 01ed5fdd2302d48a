//! The company a candidate keeps: passages about the same thing should have about the same score.
//!
//! A long query describes a subject rather than asking for one fact, and the passages about a subject lie close together.
//! One that lies among good candidates is likelier to be good than its own score says. After Diaz, "Regularizing ad hoc
//! retrieval scores" (2005); figures are in docs/BENCHMARKS.md.

use super::{Fused, sort};

/// Candidates that a candidate is compared with, the closest by their vectors.
const NEIGHBORS: usize = 8;
/// A neighbor whose cosine is lower by this counts for 1/e of the closest.
const DECAY: f32 = 0.1;
/// Up to so many words a query is taken to ask for one fact: there neighbors do not count.
const SHORT_QUERY: usize = 8;
/// From so many words on they count in full.
const LONG_QUERY: usize = 16;

/// Returns how much of the weight of neighbors a query calls for, 0 to 1. Scripts without spaces have no words to count:
/// there neighbors gained nothing.
pub(super) fn share(query: &str) -> f32 {
    let n_words = query
        .split_whitespace()
        .count()
        .clamp(SHORT_QUERY, LONG_QUERY);
    (n_words - SHORT_QUERY) as f32 / (LONG_QUERY - SHORT_QUERY) as f32
}

/// Moves each score by `weight` of the way to the mean of its neighbors' scores, and sorts anew.
///
/// `vectors` has the candidates' unit vectors, in the same order.
pub fn lean_on_neighbors(fused: &mut [Fused], vectors: &[&[f32]], weight: f32) {
    if weight <= 0.0 || fused.len() < 2 {
        return;
    }
    let scores: Vec<f32> = fused.iter().map(|fused| fused.score).collect();
    for (at, fused) in fused.iter_mut().enumerate() {
        fused.parts.neighbors = weight * (around(at, vectors, &scores) - scores[at]);
        fused.score += fused.parts.neighbors;
    }
    sort(fused);
}

/// Returns the mean score of the neighbors of the candidate in a place, the closer ones counting more.
fn around(at: usize, vectors: &[&[f32]], scores: &[f32]) -> f32 {
    let mut others: Vec<(f32, f32)> = (0..scores.len())
        .filter(|other| *other != at)
        .map(|other| (dot(vectors[at], vectors[other]), scores[other]))
        .collect();
    others.sort_by(|a, b| b.0.total_cmp(&a.0));
    others.truncate(NEIGHBORS);
    let closest = others.first().map_or(0.0, |(cosine, _)| *cosine);
    let (mut sum, mut total) = (0.0, 0.0);
    for (cosine, score) in others {
        let share = ((cosine - closest) / DECAY).exp();
        sum += share * score;
        total += share;
    }
    sum / total
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
