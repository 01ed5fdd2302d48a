//! Whether probabilities hold: of the questions that get 0.8, are four in five answerable?

use super::record::{Answerability, Row};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Equally wide bins that probabilities are sorted into.
const BINS: usize = 10;
/// Thresholds whose outcome is told.
const THRESHOLDS: usize = 20;

/// How well the probabilities of support hold, over all questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationCalibration)]
pub struct Calibration {
    /// By probability, the lowest first; bins without a question are left out.
    pub bins: Vec<Bin>,
    /// Mean distance of a bin's mean probability from its share of answerable questions, weighed by questions: the
    /// expected calibration error, 0 at best.
    pub ece: f64,
    /// Mean squared distance of probabilities from the truth (1 answerable, 0 not), 0 at best: the Brier score.
    pub brier: f64,
    /// Chance that an answerable question gets a higher probability than one that is not; absent without both kinds.
    #[schema(required)]
    pub auroc: Option<f64>,
    /// What would be refused at other thresholds, the lowest first.
    pub thresholds: Vec<Threshold>,
}

/// Questions whose probabilities are close.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationCalibrationBin)]
pub struct Bin {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Questions in it.
    pub n: usize,
    /// Their mean probability.
    pub predicted: f64,
    /// Share of them that are answerable.
    pub observed: f64,
}

/// What a threshold would refuse, as shares of each kind of question; absent where there are none of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationThreshold)]
pub struct Threshold {
    /// Questions with a lower probability are refused.
    pub min_support: f64,
    /// Of the answerable ones.
    #[schema(required)]
    pub answerable: Option<f64>,
    /// Of those that the documents are near to, but do not answer.
    #[schema(required)]
    pub unanswerable: Option<f64>,
    /// Of those about something else.
    #[schema(required)]
    pub out_of_corpus: Option<f64>,
}

impl Calibration {
    /// Holds the probabilities of the rows' answers against what is known of the questions; `None` when no row has an
    /// answer.
    #[must_use]
    pub fn of(rows: &[Row]) -> Option<Self> {
        let found: Vec<(f64, Answerability)> = rows
            .iter()
            .filter_map(|row| {
                let answer = row.stages.last()?.answer.as_ref()?;
                Some((f64::from(answer.support), row.answerability))
            })
            .collect();
        if found.is_empty() {
            return None;
        }
        let (yes, no): (Vec<_>, Vec<_>) = found
            .iter()
            .partition(|(_, kind)| *kind == Answerability::Answerable);
        let supports =
            |side: &[(f64, Answerability)]| -> Vec<f64> { side.iter().map(|(p, _)| *p).collect() };
        let bins = bins(&found);
        let n = found.len() as f64;
        Some(Self {
            ece: bins
                .iter()
                .map(|bin| bin.n as f64 / n * (bin.predicted - bin.observed).abs())
                .sum(),
            brier: found
                .iter()
                .map(|(p, kind)| (p - truth(*kind)).powi(2))
                .sum::<f64>()
                / n,
            auroc: auroc(&supports(&yes), supports(&no)),
            thresholds: (0..=THRESHOLDS)
                .map(|at| threshold(&found, at as f64 / THRESHOLDS as f64))
                .collect(),
            bins,
        })
    }
}

fn truth(kind: Answerability) -> f64 {
    f64::from(u8::from(kind == Answerability::Answerable))
}

fn bins(found: &[(f64, Answerability)]) -> Vec<Bin> {
    let width = 1.0 / BINS as f64;
    let bin = |at: usize| {
        let inside: Vec<&(f64, Answerability)> = found
            .iter()
            .filter(|(p, _)| ((p / width) as usize).min(BINS - 1) == at)
            .collect();
        let n = inside.len();
        (n > 0).then(|| Bin {
            low: at as f64 * width,
            high: (at + 1) as f64 * width,
            n,
            predicted: inside.iter().map(|(p, _)| p).sum::<f64>() / n as f64,
            observed: inside.iter().map(|(_, kind)| truth(*kind)).sum::<f64>() / n as f64,
        })
    };
    (0..BINS).filter_map(bin).collect()
}

fn threshold(found: &[(f64, Answerability)], min_support: f64) -> Threshold {
    let refused = |wanted: Answerability| {
        let of_kind = || found.iter().filter(|(_, kind)| *kind == wanted);
        let n = of_kind().count();
        (n > 0).then(|| of_kind().filter(|(p, _)| *p < min_support).count() as f64 / n as f64)
    };
    Threshold {
        min_support,
        answerable: refused(Answerability::Answerable),
        unanswerable: refused(Answerability::Unanswerable),
        out_of_corpus: refused(Answerability::OutOfCorpus),
    }
}

/// Returns the chance that one of `yes` is higher than one of `no`, ties half.
fn auroc(yes: &[f64], mut no: Vec<f64>) -> Option<f64> {
    if yes.is_empty() || no.is_empty() {
        return None;
    }
    no.sort_by(f64::total_cmp);
    let placed: f64 = yes.iter().map(|value| placement(*value, &no)).sum();
    Some(placed / yes.len() as f64)
}

/// Returns the share of `sorted` values below `value`, ties half. Its mean over one class, with the other sorted, is
/// the area under the ROC curve.
#[must_use]
pub fn placement(value: f64, sorted: &[f64]) -> f64 {
    let below = sorted.partition_point(|other| *other < value);
    let not_above = sorted.partition_point(|other| *other <= value);
    (below + not_above) as f64 / 2.0 / sorted.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::record::{Answered, StageRow};
    use std::collections::BTreeMap;

    fn row(support: f32, answerability: Answerability) -> Row {
        Row {
            id: String::new(),
            text: String::new(),
            relevant: BTreeMap::new(),
            answerability,
            answers: Vec::new(),
            supported: None,
            evidence: None,
            stages: vec![StageRow {
                name: "answer".to_owned(),
                metrics: BTreeMap::new(),
                latency_ms: 0.0,
                ranking: Vec::new(),
                first_relevant: None,
                score: None,
                answer: Some(Answered {
                    refused: false,
                    text: String::new(),
                    support,
                    cited: Vec::new(),
                    read: Vec::new(),
                    flagged: Vec::new(),
                }),
            }],
            timings: Vec::new(),
            withheld: false,
        }
    }

    #[test]
    fn matches_hand_computed_values() {
        use Answerability::{Answerable, OutOfCorpus, Unanswerable};
        let rows = [
            row(0.9, Answerable),
            row(0.9, Answerable),
            row(0.9, Unanswerable),
            row(0.1, OutOfCorpus),
        ];
        let found = Calibration::of(&rows).unwrap();
        assert_eq!(found.bins.len(), 2);
        let high = found.bins[1];
        assert_eq!(high.n, 3);
        assert!((high.observed - 2.0 / 3.0).abs() < 1e-6 && (high.predicted - 0.9).abs() < 1e-6);
        let ece = 0.75 * (0.9 - 2.0 / 3.0) + 0.25 * 0.1;
        assert!((found.ece - ece).abs() < 1e-6, "{}", found.ece);
        let brier = (0.01 + 0.01 + 0.81 + 0.01) / 4.0;
        assert!((found.brier - brier).abs() < 1e-6);
        // One of the two others is below, the other ties.
        assert_eq!(found.auroc, Some(0.75));
        let at_half = found.thresholds[10];
        assert_eq!(
            (
                at_half.answerable,
                at_half.unanswerable,
                at_half.out_of_corpus
            ),
            (Some(0.0), Some(0.0), Some(1.0))
        );
    }

    #[test]
    fn the_ends_are_in_a_bin_and_one_kind_alone_has_no_curve() {
        let rows = [
            row(0.0, Answerability::Answerable),
            row(1.0, Answerability::Answerable),
        ];
        let found = Calibration::of(&rows).unwrap();
        assert_eq!(found.bins.iter().map(|bin| bin.n).sum::<usize>(), 2);
        assert_eq!(found.auroc, None);
        assert_eq!(found.thresholds[0].unanswerable, None);
        assert!(Calibration::of(&[]).is_none());
    }

    #[test]
    fn placement_counts_ties_half() {
        assert_eq!(placement(2.0, &[1.0, 2.0, 2.0, 3.0]), 0.5);
        assert_eq!(placement(0.0, &[1.0]), 0.0);
    }
}
