//! What is measured: ranking metrics, as `trec_eval` and BEIR define them, and latencies.

use super::statistics::Statistic;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Values by metric name.
pub type Values = BTreeMap<String, f64>;

/// A metric of a query, averaged over queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// As records and the command line have it.
    pub name: &'static str,
    /// Which direction is good.
    pub better: Better,
    /// What its values are.
    pub unit: Unit,
    /// What it says, for people.
    pub about: &'static str,
}

/// Which direction is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// What a metric's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// From 0 to 1.
    Share,
    /// A number of things.
    Count,
}

const fn metric(name: &'static str, better: Better, unit: Unit, about: &'static str) -> Metric {
    Metric {
        name,
        better,
        unit,
        about,
    }
}

/// A share of which more is better.
const fn gain(name: &'static str, about: &'static str) -> Metric {
    metric(name, Better::Higher, Unit::Share, about)
}

/// All metrics of queries, in the order in which they are shown; the first that a run has is its headline.
pub const METRICS: &[Metric] = &[
    gain(
        "ndcg@10",
        "normalized discounted cumulative gain of the first 10 documents, linear gains",
    ),
    gain(
        "recall@1",
        "share of the relevant documents that rank first",
    ),
    gain(
        "recall@5",
        "share of the relevant documents among the first 5",
    ),
    gain(
        "recall@10",
        "share of the relevant documents among the first 10",
    ),
    gain(
        "recall@100",
        "share of the relevant documents among the first 100",
    ),
    gain(
        "mrr@10",
        "reciprocal rank of the first relevant document among the first 10, else 0",
    ),
    gain(
        "correctness",
        "1 when an accepted answer stands in the answer, else 0; answerable questions",
    ),
    gain(
        "exact_match",
        "1 when the answer is an accepted answer and nothing else, else 0; answerable questions",
    ),
    gain(
        "token_f1",
        "overlap with the closest accepted answer, by words, in Japanese by characters; answerable questions",
    ),
    metric(
        "false_abstention",
        Better::Lower,
        Unit::Share,
        "answerable questions that were refused",
    ),
    gain(
        "true_abstention",
        "questions that the documents are near to, but do not answer, that were refused",
    ),
    gain(
        "out_of_corpus_refused",
        "questions about something else that were refused",
    ),
    gain(
        "context_recall",
        "share of the relevant documents among the passages put before the writer; answered questions",
    ),
    gain(
        "citation_precision",
        "share of the cited documents that are relevant; answered questions",
    ),
    gain(
        "citation_recall",
        "share of the relevant documents that are cited; answered questions",
    ),
    gain(
        "faithfulness",
        "share of the answer's sentences that a cited passage holds, figures and names included",
    ),
    gain(
        "auroc",
        "share of the unsupported texts that score below a supported one, ties half: area under the ROC curve",
    ),
    metric(
        "prompt_tokens",
        Better::Lower,
        Unit::Count,
        "tokens that the generator read; 0 when it was not asked",
    ),
    metric(
        "completion_tokens",
        Better::Lower,
        Unit::Count,
        "tokens that the generator wrote",
    ),
];

/// The latencies of a stage that two runs can be compared by, in milliseconds: name and statistic.
pub const LATENCIES: [(&str, Statistic); 3] = [
    ("p50_ms", Statistic::Percentile(0.50)),
    ("p95_ms", Statistic::Percentile(0.95)),
    ("p99_ms", Statistic::Percentile(0.99)),
];

/// How long something took, over all queries, in milliseconds. Percentiles are nearest ranks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// A ranking held against the judgements.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Values by metric name.
    pub metrics: Values,
    /// Rank of the best relevant document, from 1, however deep.
    pub first_relevant: Option<usize>,
}

/// Returns which direction of a metric is good; latencies are better when lower.
#[must_use]
pub fn better(name: &str) -> Better {
    let known = METRICS.iter().find(|metric| metric.name == name);
    match known {
        Some(metric) => metric.better,
        None if name.ends_with("_ms") => Better::Lower,
        None => Better::Higher,
    }
}

/// Returns what a metric's values are.
#[must_use]
pub fn unit(name: &str) -> Unit {
    let known = METRICS.iter().find(|metric| metric.name == name);
    known.map_or(Unit::Share, |metric| metric.unit)
}

/// Returns the names in the order in which metrics are shown; unknown ones last.
#[must_use]
pub fn in_order<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    let place = |name: &str| METRICS.iter().position(|metric| metric.name == name);
    let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    names.sort_by_key(|name| (place(name).unwrap_or(METRICS.len()), *name));
    names
}

impl Latency {
    /// Summarizes milliseconds. None give zeros.
    #[must_use]
    pub fn of(ms: &[f64]) -> Self {
        let mut ms = ms.to_vec();
        let mut percentile = |share| Statistic::Percentile(share).of(&mut ms);
        let (p50, p95, p99) = (percentile(0.50), percentile(0.95), percentile(0.99));
        Self {
            mean: Statistic::Mean.of(&mut ms),
            p50,
            p95,
            p99,
        }
    }
}

/// Judges a ranking of documents, best first and each once. Documents without a positive gain are not relevant.
#[must_use]
pub fn judge(ranking: &[&str], gains: &BTreeMap<String, f64>) -> Judged {
    let gain = |document: &&str| gains.get(*document).copied().filter(|gain| *gain > 0.0);
    let mut ideal: Vec<f64> = gains.values().copied().filter(|gain| *gain > 0.0).collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let found: Vec<f64> = ranking
        .iter()
        .map(|document| gain(document).unwrap_or(0.0))
        .collect();
    let first_relevant = found.iter().position(|gain| *gain > 0.0).map(|at| at + 1);
    let ideal_gain = discounted(&ideal, 10);
    let recall = |depth: usize| {
        let n_found = found.iter().take(depth).filter(|gain| **gain > 0.0).count();
        n_found as f64 / ideal.len().max(1) as f64
    };
    let ndcg = if ideal_gain > 0.0 {
        discounted(&found, 10) / ideal_gain
    } else {
        0.0
    };
    let reciprocal = first_relevant
        .filter(|rank| *rank <= 10)
        .map_or(0.0, |rank| 1.0 / rank as f64);
    let metrics = [
        ("ndcg@10", ndcg),
        ("recall@1", recall(1)),
        ("recall@5", recall(5)),
        ("recall@10", recall(10)),
        ("recall@100", recall(100)),
        ("mrr@10", reciprocal),
    ];
    Judged {
        metrics: metrics.map(|(name, value)| (name.to_owned(), value)).into(),
        first_relevant,
    }
}

/// Returns the sum of the first gains, each divided by log2(rank + 1).
fn discounted(gains: &[f64], depth: usize) -> f64 {
    let gains = gains.iter().take(depth).enumerate();
    gains
        .map(|(at, gain)| gain / (at as f64 + 2.0).log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judge_pairs(ranking: &[&str], gains: &[(&str, f64)]) -> Judged {
        let gains = gains.iter().map(|(id, gain)| ((*id).to_owned(), *gain));
        judge(ranking, &gains.collect())
    }

    #[test]
    fn matches_hand_computed_values() {
        // DCG = 1/log2(3) + 2/log2(4) = 1.6309; ideal = 2/log2(2) + 1/log2(3) = 2.6309.
        let judged = judge_pairs(&["x", "a", "b"], &[("a", 1.0), ("b", 2.0), ("never", 0.0)]);
        let value = |name: &str| judged.metrics[name];
        assert!((value("ndcg@10") - 0.619_906).abs() < 1e-6);
        assert_eq!(value("mrr@10"), 0.5);
        assert_eq!(value("recall@1"), 0.0);
        assert_eq!(value("recall@5"), 1.0);
        assert_eq!(judged.first_relevant, Some(2));
    }

    #[test]
    fn depth_cuts_each_metric_where_its_name_says() {
        let ranking: Vec<String> = (1..=120).map(|at| format!("d{at}")).collect();
        let ranking: Vec<&str> = ranking.iter().map(String::as_str).collect();
        let gains = ["d1", "d5", "d6", "d10", "d11", "d100", "d101", "absent"].map(|id| (id, 1.0));
        let judged = judge_pairs(&ranking, &gains);
        for (name, n_found) in [
            ("recall@1", 1.0),
            ("recall@5", 2.0),
            ("recall@10", 4.0),
            ("recall@100", 6.0),
        ] {
            assert_eq!(judged.metrics[name], n_found / 8.0, "{name}");
        }
        let deep = judge_pairs(&ranking, &[("d11", 1.0)]);
        assert_eq!(deep.metrics["mrr@10"], 0.0);
        assert_eq!(deep.metrics["ndcg@10"], 0.0);
        assert_eq!(deep.first_relevant, Some(11));
    }

    #[test]
    fn every_metric_that_is_judged_is_described() {
        let judged = judge_pairs(&["a"], &[("a", 1.0)]);
        let described: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(in_order(judged.metrics.keys()), described[..6]);
        assert!(judged.metrics.values().all(|value| *value == 1.0));
        assert_eq!(better("p95_ms"), Better::Lower);
    }

    #[test]
    fn latencies_are_nearest_ranks() {
        let ms: Vec<f64> = (1..=100).map(f64::from).collect();
        let latency = Latency::of(&ms);
        assert_eq!((latency.p50, latency.p95, latency.p99), (50.0, 95.0, 99.0));
        assert_eq!(latency.mean, 50.5);
    }

    /// nDCG written another way: gains are read per document, not per rank, in natural logarithms, and the ideal
    /// order is found by trying every insertion.
    fn independent_ndcg(ranking: &[usize], gains: &[u8]) -> f64 {
        let weight = |rank: usize| std::f64::consts::LN_2 / ((rank + 1) as f64).ln();
        let mut dcg = 0.0;
        for (document, gain) in gains.iter().enumerate() {
            if let Some(at) = ranking.iter().position(|ranked| *ranked == document)
                && at < 10
            {
                dcg += f64::from(*gain) * weight(at + 1);
            }
        }
        let mut best: Vec<u8> = Vec::new();
        for gain in gains {
            let at = best.iter().take_while(|other| *other > gain).count();
            best.insert(at, *gain);
        }
        let mut ideal = 0.0;
        for (at, gain) in best.iter().enumerate().take(10) {
            ideal += f64::from(*gain) * weight(at + 1);
        }
        if ideal == 0.0 { 0.0 } else { dcg / ideal }
    }

    proptest! {
        #[test]
        fn ndcg_agrees_with_an_independent_formula(
            gains in proptest::collection::vec(0_u8..4, 1..30),
            order in Just((0..30_usize).collect::<Vec<_>>()).prop_shuffle(),
            length in 0_usize..30,
        ) {
            let ranking = &order[..length];
            let names: Vec<String> = ranking.iter().map(|document| format!("d{document}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let by_name = gains.iter().enumerate().map(|(at, gain)| (format!("d{at}"), f64::from(*gain)));
            let judged = judge(&names, &by_name.collect());
            prop_assert!((judged.metrics["ndcg@10"] - independent_ndcg(ranking, &gains)).abs() < 1e-9);
            for value in judged.metrics.values() {
                prop_assert!((0.0..=1.0 + 1e-12).contains(value));
            }
        }
    }
}
