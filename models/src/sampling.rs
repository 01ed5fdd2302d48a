//! Choosing the next token from logits.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::{Error, Result, Sampling};

/// Chooses tokens for one generation.
pub(crate) struct Sampler {
    sampling: Sampling,
    rng: StdRng,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Self {
        let seed = match sampling {
            Sampling::Greedy => 0,
            Sampling::Random { seed, .. } => seed,
        };
        Self {
            sampling,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Returns the index of the chosen logit.
    ///
    /// # Errors
    /// [`Error::Candle`] when a logit is not a number: the weights or the device are broken, and any
    /// choice would be noise.
    pub(crate) fn sample(&mut self, logits: &[f32]) -> Result<u32> {
        let best = argmax(logits)?;
        let index = match self.sampling {
            Sampling::Greedy => best,
            Sampling::Random {
                temperature,
                top_p,
                top_k,
                ..
            } => {
                let candidates = candidates(logits, logits[best], temperature, top_p, top_k);
                self.draw(&candidates)
            }
        };
        u32::try_from(index).map_err(|_| candle_core::Error::msg("vocabulary exceeds 2^32").into())
    }

    /// Draws an index by weight; the weights need not sum to one.
    fn draw(&mut self, candidates: &[(usize, f64)]) -> usize {
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut rest = self.rng.random::<f64>() * total;
        for (index, weight) in candidates {
            rest -= weight;
            if rest < 0.0 {
                return *index;
            }
        }
        // Rounding left a crumb: the least probable candidate it is.
        candidates[candidates.len() - 1].0
    }
}

/// Returns the index of the largest logit, the first of equals.
fn argmax(logits: &[f32]) -> Result<usize> {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if logit.is_nan() {
            return Err(
                candle_core::Error::msg("the model returned logits that are not numbers").into(),
            );
        }
        if *logit > logits[best] {
            best = index;
        }
    }
    if logits.is_empty() {
        return Err(Error::Candle(candle_core::Error::msg(
            "the model returned no logits",
        )));
    }
    Ok(best)
}

/// Returns the tokens that may be drawn with their weights, the most probable first.
fn candidates(
    logits: &[f32],
    best: f32,
    temperature: f64,
    top_p: f64,
    top_k: usize,
) -> Vec<(usize, f64)> {
    let temperature = temperature.max(1e-4); // below, everything but the best underflows anyway
    let mut weighted: Vec<(usize, f64)> = logits
        .iter()
        .map(|logit| (f64::from(logit - best) / temperature).exp())
        .enumerate()
        .filter(|(_, weight)| *weight > 0.0)
        .collect();
    // Ties in weight are broken by index, so that the order never depends on the sorting algorithm.
    let order = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if top_k > 0 && top_k < weighted.len() {
        weighted.select_nth_unstable_by(top_k - 1, order);
        weighted.truncate(top_k);
    }
    if top_p < 1.0 {
        let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
        // All tokens below this weight together hold less than 1 - top_p: none is in the nucleus, and
        // the sort need not see them. The most probable one always stays.
        #[expect(clippy::cast_precision_loss, reason = "a vocabulary is far below 2^52")]
        let floor = (total * (1.0 - top_p) / weighted.len() as f64).min(1.0);
        weighted.retain(|(_, weight)| *weight >= floor);
        weighted.sort_unstable_by(order);
        let mut mass = 0.0;
        let mut kept = 0;
        for (_, weight) in &weighted {
            mass += weight;
            kept += 1;
            if mass >= top_p * total {
                break;
            }
        }
        weighted.truncate(kept);
    } else {
        weighted.sort_unstable_by(order);
    }
    weighted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(temperature: f64, top_p: f64, top_k: usize, seed: u64) -> Sampler {
        Sampler::new(Sampling::Random {
            temperature,
            top_p,
            top_k,
            seed,
        })
    }

    #[test]
    fn greedy_takes_the_first_largest() {
        let mut sampler = Sampler::new(Sampling::Greedy);
        assert_eq!(sampler.sample(&[0.0, 3.0, 3.0, -1.0]).unwrap(), 1);
    }

    #[test]
    fn a_logit_that_is_no_number_is_an_error() {
        assert!(
            Sampler::new(Sampling::Greedy)
                .sample(&[0.0, f32::NAN])
                .is_err()
        );
        assert!(Sampler::new(Sampling::Greedy).sample(&[]).is_err());
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let logits: Vec<f32> = [0.5f32, 0.3, 0.2].iter().map(|p| p.ln()).collect();
        let mut sampler = random(1.0, 1.0, 0, 7);
        let mut counts = [0usize; 3];
        for _ in 0..20_000 {
            counts[sampler.sample(&logits).unwrap() as usize] += 1;
        }
        for (count, expected) in counts.iter().zip([10_000i64, 6_000, 4_000]) {
            assert!((*count as i64 - expected).abs() < 400, "{counts:?}");
        }
    }

    #[test]
    fn the_nucleus_is_the_smallest_set_reaching_top_p() {
        let logits: Vec<f32> = [0.2f32, 0.5, 0.3].iter().map(|p| p.ln()).collect();
        let kept = |top_p, top_k| -> Vec<usize> {
            candidates(&logits, 0.5f32.ln(), 1.0, top_p, top_k)
                .iter()
                .map(|c| c.0)
                .collect()
        };
        assert_eq!(kept(0.45, 0), [1]);
        assert_eq!(kept(0.75, 0), [1, 2]);
        assert_eq!(kept(0.85, 0), [1, 2, 0]);
        assert_eq!(kept(1.0, 2), [1, 2]);
        // Relative to what top_k left over: 0.5 / 0.8.
        assert_eq!(kept(0.6, 2), [1]);
    }

    #[test]
    fn a_seed_repeats_and_seeds_differ() {
        let logits = vec![0.0f32; 1000];
        let draw = |seed| -> Vec<u32> {
            let mut sampler = random(0.8, 0.95, 0, seed);
            (0..16).map(|_| sampler.sample(&logits).unwrap()).collect()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
