//! Two ranked lists made one. Pure, and outside the engines, so every store ranks alike and each part is explained.

use crate::document::ChunkId;
use crate::store::{Legs, Scored};
use std::collections::HashMap;

/// How the legs are combined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fusion {
    /// Reciprocal rank fusion: the sum over the legs of `weight / (k + rank)`, ranks from 1.
    Rrf {
        /// Larger values make the first ranks count less.
        k: f32,
        /// Weight of the dense leg.
        dense_weight: f32,
        /// Weight of the lexical leg.
        lexical_weight: f32,
    },
}

impl Default for Fusion {
    fn default() -> Self {
        Self::Rrf {
            k: 60.0,
            dense_weight: 1.0,
            lexical_weight: 1.0,
        }
    }
}

/// A chunk found by one leg or both.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// The chunk.
    pub chunk: ChunkId,
    /// Fused score; compares only within one result list.
    pub score: f32,
    /// Where the dense leg had it.
    pub dense: Option<LegRank>,
    /// Where the lexical leg had it.
    pub lexical: Option<LegRank>,
}

/// A chunk's place in one leg.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LegRank {
    /// From 1.
    pub rank: usize,
    /// The leg's own score: cosine (dense) or BM25 (lexical).
    pub score: f32,
}

/// Combines the legs, best first; ties go by chunk id, so equal input gives equal output.
#[must_use]
pub fn fuse(legs: &Legs, how: &Fusion) -> Vec<Fused> {
    let Fusion::Rrf {
        k,
        dense_weight,
        lexical_weight,
    } = *how;
    let mut fused: HashMap<ChunkId, Fused> = HashMap::new();
    for (chunk, place) in ranked(&legs.dense) {
        let entry = fused.entry(chunk).or_insert_with(|| Fused::new(chunk));
        if entry.dense.is_none() {
            entry.dense = Some(place);
            entry.score += dense_weight / (k + rank_as_f32(place.rank));
        }
    }
    for (chunk, place) in ranked(&legs.lexical) {
        let entry = fused.entry(chunk).or_insert_with(|| Fused::new(chunk));
        if entry.lexical.is_none() {
            entry.lexical = Some(place);
            entry.score += lexical_weight / (k + rank_as_f32(place.rank));
        }
    }
    let mut fused: Vec<Fused> = fused.into_values().collect();
    fused.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
    fused
}

impl Fused {
    fn new(chunk: ChunkId) -> Self {
        Self {
            chunk,
            score: 0.0,
            dense: None,
            lexical: None,
        }
    }
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

/// Ranks stay far below 2^24, where `f32` would round.
fn rank_as_f32(rank: usize) -> f32 {
    rank as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::DocumentId;
    use uuid::Uuid;

    fn chunk(ordinal: u32) -> ChunkId {
        ChunkId {
            document: DocumentId(Uuid::nil()),
            version: 1,
            ordinal,
        }
    }

    fn legs(dense: &[u32], lexical: &[u32]) -> Legs {
        let leg = |ordinals: &[u32]| {
            let scored = |(&ordinal, rank): (&u32, usize)| Scored {
                chunk: chunk(ordinal),
                score: 1.0 / (rank as f32 + 1.0),
            };
            ordinals.iter().zip(0..).map(scored).collect()
        };
        Legs {
            dense: leg(dense),
            lexical: leg(lexical),
            dense_ms: 0.0,
            lexical_ms: 0.0,
        }
    }

    fn order(fused: &[Fused]) -> Vec<u32> {
        fused.iter().map(|fused| fused.chunk.ordinal).collect()
    }

    #[test]
    fn agreement_beats_a_single_first_rank() {
        let fused = fuse(&legs(&[1, 2, 3], &[4, 2, 5]), &Fusion::default());
        assert_eq!(order(&fused), [2, 1, 4, 3, 5]);
        let best = &fused[0];
        assert_eq!(best.dense.unwrap().rank, 2);
        assert_eq!(best.lexical.unwrap().rank, 2);
        assert!((best.score - 2.0 / 62.0).abs() < 1e-7);
        assert_eq!(fused[1].lexical, None);
    }

    #[test]
    fn weights_decide_between_the_legs() {
        let how = Fusion::Rrf {
            k: 60.0,
            dense_weight: 0.5,
            lexical_weight: 1.0,
        };
        assert_eq!(order(&fuse(&legs(&[1], &[2]), &how)), [2, 1]);
        let how = Fusion::Rrf {
            k: 60.0,
            dense_weight: 1.0,
            lexical_weight: 0.5,
        };
        assert_eq!(order(&fuse(&legs(&[1], &[2]), &how)), [1, 2]);
    }

    #[test]
    fn ties_go_by_id_and_repeats_count_once() {
        assert_eq!(order(&fuse(&legs(&[9], &[3]), &Fusion::default())), [3, 9]);
        let fused = fuse(&legs(&[7, 7], &[]), &Fusion::default());
        assert_eq!(fused.len(), 1);
        assert!((fused[0].score - 1.0 / 61.0).abs() < 1e-7);
    }

    #[test]
    fn nothing_in_gives_nothing_out() {
        assert!(fuse(&legs(&[], &[]), &Fusion::default()).is_empty());
    }
}
