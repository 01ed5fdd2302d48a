//! Ranking metrics, as `trec_eval` and BEIR define them.

use serde::Serialize;
use std::collections::HashMap;

/// One query's ranking against its judgements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    ndcg_10: f64,
    recall_10: f64,
    recall_100: f64,
    mrr_10: f64,
    ms: f64,
}

/// Means over queries, and latency percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Metrics {
    /// Normalized discounted cumulative gain of the first 10, linear gains.
    #[serde(rename = "ndcg@10")]
    pub ndcg_10: f64,
    /// Share of the relevant documents among the first 10.
    #[serde(rename = "recall@10")]
    pub recall_10: f64,
    /// Share of the relevant documents among the first 100.
    #[serde(rename = "recall@100")]
    pub recall_100: f64,
    /// Mean reciprocal rank of the first relevant document among the first 10.
    #[serde(rename = "mrr@10")]
    pub mrr_10: f64,
    /// Median latency.
    pub p50_ms: f64,
    /// 95th percentile of latency.
    pub p95_ms: f64,
}

impl Judged {
    /// Judges a ranking, best first, with the milliseconds it took. Documents without a gain are not relevant.
    #[must_use]
    pub fn new(ranking: &[String], gains: &HashMap<String, f64>, ms: f64) -> Self {
        let gain = |document: &String| gains.get(document).copied().filter(|gain| *gain > 0.0);
        let mut ideal: Vec<f64> = gains.values().copied().filter(|gain| *gain > 0.0).collect();
        ideal.sort_by(|a, b| b.total_cmp(a));
        let discounted = |gains: &mut dyn Iterator<Item = f64>| {
            gains
                .enumerate()
                .map(|(at, gain)| gain / (at as f64 + 2.0).log2())
                .sum::<f64>()
        };
        let dcg = discounted(
            &mut ranking
                .iter()
                .take(10)
                .map(|document| gain(document).unwrap_or(0.0)),
        );
        let idcg = discounted(&mut ideal.iter().copied().take(10));
        let found = |depth: usize| {
            ranking
                .iter()
                .take(depth)
                .filter(|document| gain(document).is_some())
                .count() as f64
        };
        let first = ranking
            .iter()
            .take(10)
            .position(|document| gain(document).is_some());
        let n_relevant = ideal.len().max(1) as f64;
        Self {
            ndcg_10: if idcg > 0.0 { dcg / idcg } else { 0.0 },
            recall_10: found(10) / n_relevant,
            recall_100: found(100) / n_relevant,
            mrr_10: first.map_or(0.0, |at| 1.0 / (at as f64 + 1.0)),
            ms,
        }
    }
}

impl Metrics {
    /// Averages over queries. No queries give zeros.
    #[must_use]
    pub fn of(judged: &[Judged]) -> Self {
        let mean = |value: fn(&Judged) -> f64| {
            judged.iter().map(value).sum::<f64>() / judged.len().max(1) as f64
        };
        let mut ms: Vec<f64> = judged.iter().map(|one| one.ms).collect();
        ms.sort_by(f64::total_cmp);
        // Nearest rank: the smallest latency that at least this share of the queries did not exceed.
        let percentile = |share: f64| {
            ms.get(((share * ms.len() as f64).ceil() as usize).saturating_sub(1))
                .copied()
                .unwrap_or(0.0)
        };
        Self {
            ndcg_10: mean(|one| one.ndcg_10),
            recall_10: mean(|one| one.recall_10),
            recall_100: mean(|one| one.recall_100),
            mrr_10: mean(|one| one.mrr_10),
            p50_ms: percentile(0.5),
            p95_ms: percentile(0.95),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(ranking: &[&str], gains: &[(&str, f64)]) -> Judged {
        let ranking: Vec<String> = ranking.iter().map(|id| (*id).to_owned()).collect();
        Judged::new(
            &ranking,
            &gains
                .iter()
                .map(|(id, gain)| ((*id).to_owned(), *gain))
                .collect(),
            1.0,
        )
    }

    #[test]
    fn matches_hand_computed_values() {
        // DCG = 1/log2(3) + 2/log2(4); ideal = 2/log2(2) + 1/log2(3).
        let judged = judge(&["x", "a", "b"], &[("a", 1.0), ("b", 2.0), ("never", 0.0)]);
        let (dcg, idcg) = (1.0 / 3_f64.log2() + 1.0, 2.0 + 1.0 / 3_f64.log2());
        assert!((judged.ndcg_10 - dcg / idcg).abs() < 1e-12);
        assert!((judged.mrr_10 - 0.5).abs() < 1e-12);
        assert!((judged.recall_10 - 1.0).abs() < 1e-12);
        let missed = judge(&["x", "y"], &[("a", 1.0)]);
        assert_eq!(
            (missed.ndcg_10, missed.recall_100, missed.mrr_10),
            (0.0, 0.0, 0.0)
        );
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let judged: Vec<Judged> = (1..=100)
            .map(|ms| Judged {
                ms: f64::from(ms),
                ..judge(&["a"], &[("a", 1.0)])
            })
            .collect();
        let metrics = Metrics::of(&judged);
        assert_eq!(
            (metrics.p50_ms, metrics.p95_ms, metrics.ndcg_10),
            (50.0, 95.0, 1.0)
        );
    }
}
