//! Resampling statistics: how sure one run's means are, and whether two runs differ.
//!
//! Everything is seeded: the same values and seed give the same figures, on every machine and with every release.
//! That is why the generator is written out here instead of taken from a library, which may change its stream.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Samples drawn for an interval.
pub const RESAMPLES: usize = 2_000;
/// Sign flips drawn for a p-value.
pub const FLIPS: usize = 10_000;
/// Differences smaller than this come from rounding.
pub const EPSILON: f64 = 1e-9;
/// What an interval covers.
const COVERAGE: f64 = 0.95;

/// A mean and its bootstrap 95 % percentile interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Estimate {
    /// Mean over the queries that have a value.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Queries that have a value.
    pub n: usize,
}

/// How far a statistic moved from one run to the other, over the same queries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Of the base.
    pub base: f64,
    /// Of the candidate.
    pub candidate: f64,
    /// Candidate less base.
    pub difference: f64,
    /// Lower end of the 95 % interval of the difference.
    pub low: f64,
    /// Upper end of the 95 % interval of the difference.
    pub high: f64,
}

/// What is computed of many values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// Arithmetic mean.
    Mean,
    /// Nearest rank: the smallest value that at least this share (0 to 1) of the values do not exceed.
    Percentile(f64),
}

impl Statistic {
    /// Returns the statistic of `values`, which it may reorder; 0 of none.
    #[must_use]
    pub fn of(self, values: &mut [f64]) -> f64 {
        if values.is_empty() {
            return 0.0;
        }
        match self {
            Self::Mean => values.iter().sum::<f64>() / values.len() as f64,
            Self::Percentile(share) => {
                let rank = (share * values.len() as f64).ceil() as usize;
                let at = rank.clamp(1, values.len()) - 1;
                *values.select_nth_unstable_by(at, f64::total_cmp).1
            }
        }
    }
}

/// Estimates the mean of `values`. No values give zeros.
#[must_use]
pub fn estimate(values: &[f64], seed: u64) -> Estimate {
    let mut random = Random::new(seed);
    let n = values.len();
    let means = (0..RESAMPLES).map(|_| {
        let sum: f64 = (0..n).map(|_| values[random.below(n)]).sum();
        sum / n.max(1) as f64
    });
    let (low, high) = interval(means.collect());
    Estimate {
        mean: Statistic::Mean.of(&mut values.to_vec()),
        low,
        high,
        n,
    }
}

/// Compares a statistic over pairs `(base, candidate)`, one per query. Queries are drawn, so pairs stay together.
#[must_use]
pub fn difference(pairs: &[(f64, f64)], statistic: Statistic, seed: u64) -> Difference {
    let mut random = Random::new(seed);
    let (mut base, mut candidate): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (of_base, of_candidate) = (statistic.of(&mut base), statistic.of(&mut candidate));
    let resampled = (0..RESAMPLES).map(|_| {
        for (base, candidate) in base.iter_mut().zip(&mut candidate) {
            (*base, *candidate) = pairs[random.below(pairs.len())];
        }
        statistic.of(&mut candidate) - statistic.of(&mut base)
    });
    let (low, high) = interval(resampled.collect());
    Difference {
        base: of_base,
        candidate: of_candidate,
        difference: of_candidate - of_base,
        low,
        high,
    }
}

/// Returns the two-sided p-value of the paired randomization test on the mean difference.
///
/// It is how often at least as large a difference comes about when each query's two values change places by chance. No
/// difference at all gives 1.
#[must_use]
pub fn randomization_test(pairs: &[(f64, f64)], seed: u64) -> f64 {
    // A query without a difference weighs nothing on either side.
    let differences: Vec<f64> = pairs
        .iter()
        .map(|(base, candidate)| candidate - base)
        .filter(|difference| difference.abs() > EPSILON)
        .collect();
    if differences.is_empty() {
        return 1.0;
    }
    let observed = differences.iter().sum::<f64>().abs() - EPSILON;
    let mut random = Random::new(seed);
    let extreme = (0..FLIPS)
        .filter(|_| {
            let flipped: f64 = differences
                .chunks(64)
                .map(|chunk| {
                    let signs = random.next();
                    let signed = |(at, difference): (usize, &f64)| {
                        if signs >> at & 1 == 0 {
                            *difference
                        } else {
                            -difference
                        }
                    };
                    chunk.iter().enumerate().map(signed).sum::<f64>()
                })
                .sum();
            flipped.abs() >= observed
        })
        .count();
    // What was observed is itself one of the possible outcomes, so p is never 0.
    (extreme + 1) as f64 / (FLIPS + 1) as f64
}

/// Returns the percentile interval of resampled values.
fn interval(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let tail = (1.0 - COVERAGE) / 2.0;
    (quantile(&values, tail), quantile(&values, 1.0 - tail))
}

/// Returns a quantile of sorted values, linear between neighbors.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let at = place.floor() as usize;
    let (Some(low), rest) = (sorted.get(at), place.fract()) else {
        return 0.0;
    };
    let high = sorted.get(at + 1).unwrap_or(low);
    low + (high - low) * rest
}

/// `SplitMix64`.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `n`. The bias for counts of queries is below 2^-40.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_that_of_splitmix64() {
        // The first values for seed 0, as published with the algorithm's reference implementation.
        let mut random = Random::new(0);
        assert_eq!(random.next(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.next(), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn intervals_are_deterministic_and_hold_the_mean() {
        let values: Vec<f64> = (0..200).map(|at| f64::from(at % 5) / 4.0).collect();
        let first = estimate(&values, 7);
        assert_eq!(first, estimate(&values, 7));
        assert_ne!(first, estimate(&values, 8));
        assert!((first.mean - 0.5).abs() < 1e-12);
        // The standard error is sqrt(0.125 / 200) = 0.025, so the interval is about 0.5 ± 0.049.
        assert!((first.low - 0.451).abs() < 0.006, "{first:?}");
        assert!((first.high - 0.549).abs() < 0.006, "{first:?}");
        assert_eq!(first.n, 200);
    }

    #[test]
    fn nothing_and_one_value_have_no_width() {
        let none = estimate(&[], 1);
        assert_eq!((none.mean, none.low, none.high, none.n), (0.0, 0.0, 0.0, 0));
        let one = estimate(&[0.25], 1);
        assert_eq!((one.mean, one.low, one.high), (0.25, 0.25, 0.25));
    }

    #[test]
    fn intervals_cover_the_true_mean_about_as_often_as_they_say() {
        let mut random = Random::new(99);
        let covered = (0..200)
            .filter(|&trial| {
                let values: Vec<f64> = (0..60)
                    .map(|_| f64::from(u8::from(random.below(10) < 7)))
                    .collect();
                let found = estimate(&values, trial);
                found.low <= 0.7 && 0.7 <= found.high
            })
            .count();
        assert!((178..=199).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut ms: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (share, expected) in [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0)] {
            assert_eq!(Statistic::Percentile(share).of(&mut ms), expected);
        }
        assert_eq!(Statistic::Percentile(0.95).of(&mut [3.0]), 3.0);
        assert_eq!(Statistic::Mean.of(&mut []), 0.0);
    }

    #[test]
    fn equal_runs_have_p_1_and_no_difference() {
        let pairs: Vec<(f64, f64)> = (0..50).map(|at| (f64::from(at), f64::from(at))).collect();
        assert_eq!(randomization_test(&pairs, 3), 1.0);
        let found = difference(&pairs, Statistic::Mean, 3);
        assert_eq!((found.difference, found.low, found.high), (0.0, 0.0, 0.0));
    }

    #[test]
    fn p_values_agree_with_counting_all_flips() {
        // Five losses of different size: of the 32 sign patterns only all-minus and all-plus are as extreme.
        let pairs = [(1.0, 0.9), (1.0, 0.8), (1.0, 0.7), (1.0, 0.6), (1.0, 0.5)];
        let p = randomization_test(&pairs, 11);
        assert!((p - 2.0 / 32.0).abs() < 0.01, "{p}");
        // Differences 3, -1, -1: the sum is 1, and every one of the eight sign patterns is at least as far from 0.
        let p = randomization_test(&[(0.0, 3.0), (1.0, 0.0), (1.0, 0.0)], 11);
        assert!((p - 1.0).abs() < 1e-9, "{p}");
        assert_eq!(
            p,
            randomization_test(&[(0.0, 3.0), (1.0, 0.0), (1.0, 0.0)], 11)
        );
    }

    #[test]
    fn a_shift_of_all_queries_is_certain() {
        let pairs: Vec<(f64, f64)> = (0..100)
            .map(|at| (f64::from(at % 7) / 7.0, f64::from(at % 7) / 7.0 - 0.05))
            .collect();
        let found = difference(&pairs, Statistic::Mean, 1);
        assert!((found.difference + 0.05).abs() < 1e-12);
        assert!(found.high < -0.049 && found.low > -0.051, "{found:?}");
        assert!(randomization_test(&pairs, 1) < 0.001);
    }
}
