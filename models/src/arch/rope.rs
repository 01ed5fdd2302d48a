//! Rotary position embeddings in f32, grown as positions are needed.

use std::f64::consts::PI;

use candle_core::{Device, Tensor};

use crate::Result;

/// Which components of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Neighbors: GGUF files of the Llama family.
    Interleaved,
    /// First half with second half: everything else.
    Halves,
}

/// How positions beyond the length seen in pre-training are mapped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scaling {
    None,
    /// Positions are divided.
    Linear {
        factor: f64,
    },
    /// A divisor per frequency, from the file or computed (Llama 3.1, Phi-3).
    Factors(Vec<f64>),
    /// `YaRN`, <https://arxiv.org/abs/2309.00071>, with its default ramp from 32 to 1 rotations.
    Yarn {
        factor: f64,
        original_context: f64,
    },
}

impl Scaling {
    /// Returns Llama 3.1's divisors: long waves are stretched by `factor`, short ones kept.
    ///
    /// From `_compute_llama3_parameters` in `modeling_rope_utils.py` of transformers.
    pub(crate) fn llama3(
        dim: usize,
        base: f64,
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    ) -> Self {
        let divisor = |frequency: f64| {
            let rotations = original * frequency / (2.0 * PI);
            let smooth = ((rotations - low) / (high - low)).clamp(0.0, 1.0);
            1.0 / ((1.0 - smooth) / factor + smooth)
        };
        Self::Factors(frequencies(dim, base).into_iter().map(divisor).collect())
    }
}

/// Tables of cosines and sines.
pub(crate) struct Rope {
    layout: Layout,
    /// Components of a head that are rotated; those behind are left alone.
    dim: usize,
    frequencies: Vec<f64>,
    /// Scales cosines and sines.
    magnitude: f64,
    device: Device,
    /// `(positions, dim / 2)` each, f32.
    tables: Option<(Tensor, Tensor)>,
}

impl Rope {
    /// Prepares frequencies; no table is computed yet. `magnitude` multiplies `YaRN`'s own.
    pub(crate) fn new(
        layout: Layout,
        dim: usize,
        base: f64,
        scaling: &Scaling,
        magnitude: f64,
        device: &Device,
    ) -> Self {
        let own = match scaling {
            Scaling::Yarn { factor, .. } => 0.1 * factor.ln() + 1.0,
            Scaling::None | Scaling::Linear { .. } | Scaling::Factors(_) => 1.0,
        };
        Self {
            layout,
            dim,
            frequencies: scaled(dim, base, scaling),
            magnitude: magnitude * own,
            device: device.clone(),
            tables: None,
        }
    }

    /// Grows the tables to hold at least `positions`.
    pub(crate) fn grow(&mut self, positions: usize) -> Result<()> {
        let have = self.tables.as_ref().map_or(0, |(cos, _)| cos.dims()[0]);
        if have >= positions {
            return Ok(());
        }
        let positions = positions.next_power_of_two().max(1024);
        let half = self.frequencies.len();
        let mut cos = Vec::with_capacity(positions * half);
        let mut sin = Vec::with_capacity(positions * half);
        for position in 0..positions {
            for frequency in &self.frequencies {
                // In f64: an f32 product is off by a visible angle at long contexts.
                #[expect(clippy::cast_precision_loss, reason = "positions are far below 2^52")]
                let (s, c) = (position as f64 * frequency).sin_cos();
                #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
                cos.push((c * self.magnitude) as f32);
                #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
                sin.push((s * self.magnitude) as f32);
            }
        }
        let cos = Tensor::from_vec(cos, (positions, half), &self.device)?;
        let sin = Tensor::from_vec(sin, (positions, half), &self.device)?;
        self.tables = Some((cos, sin));
        Ok(())
    }

    /// Rotates `(heads, tokens, head_dim)`, the first token being at `position`.
    ///
    /// # Errors
    /// When [`Self::grow`] was not called for the last position.
    pub(crate) fn apply(&self, x: &Tensor, position: usize) -> Result<Tensor> {
        let Some((cos, sin)) = &self.tables else {
            return Err(candle_core::Error::msg("rotary tables are empty").into());
        };
        let (_, tokens, head_dim) = x.dims3()?;
        let cos = cos.narrow(0, position, tokens)?;
        let sin = sin.narrow(0, position, tokens)?;
        let rotate = |x: &Tensor| {
            let x = x.contiguous()?.unsqueeze(0)?;
            match self.layout {
                Layout::Interleaved => candle_nn::rotary_emb::rope_i(&x, &cos, &sin)?.squeeze(0),
                Layout::Halves => candle_nn::rotary_emb::rope(&x, &cos, &sin)?.squeeze(0),
            }
        };
        if self.dim == head_dim {
            return Ok(rotate(x)?);
        }
        let rotated = rotate(&x.narrow(2, 0, self.dim)?)?;
        let rest = x.narrow(2, self.dim, head_dim - self.dim)?;
        Ok(Tensor::cat(&[&rotated, &rest.contiguous()?], 2)?)
    }
}

/// Returns `base^(-2i/dim)` for each pair `i`.
fn frequencies(dim: usize, base: f64) -> Vec<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a head has a few hundred components"
    )]
    (0..dim / 2)
        .map(|i| base.powf(-2.0 * i as f64 / dim as f64))
        .collect()
}

fn scaled(dim: usize, base: f64, scaling: &Scaling) -> Vec<f64> {
    let plain = frequencies(dim, base);
    match scaling {
        Scaling::None => plain,
        Scaling::Linear { factor } => plain.into_iter().map(|f| f / factor).collect(),
        Scaling::Factors(factors) => plain
            .into_iter()
            .zip(factors)
            .map(|(f, by)| f / by)
            .collect(),
        Scaling::Yarn {
            factor,
            original_context,
        } => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a head has a few hundred components"
            )]
            let dim = dim as f64;
            // The pair that turns `rotations` times within the original context.
            let pair = |rotations: f64| {
                dim * (original_context / (rotations * 2.0 * PI)).ln() / (2.0 * base.ln())
            };
            let low = pair(32.0).floor().max(0.0);
            let high = pair(1.0).ceil().min(dim - 1.0);
            let width = (high - low).max(0.001);
            (0u32..)
                .zip(plain)
                .map(|(i, f)| {
                    let stretched = ((f64::from(i) - low) / width).clamp(0.0, 1.0);
                    f / factor * stretched + f * (1.0 - stretched)
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(layout: Layout) -> Rope {
        let mut rope = Rope::new(layout, 4, 10_000.0, &Scaling::None, 1.0, &Device::Cpu);
        rope.grow(8).unwrap();
        rope
    }

    #[test]
    fn pairs_turn_by_position_times_frequency() {
        let x = Tensor::new(&[[[1f32, 0.0, 0.0, 1.0]]], &Device::Cpu).unwrap();
        let (fast, slow) = (3f32, 0.03f32);
        let halves: Vec<f32> = rope(Layout::Halves)
            .apply(&x, 3)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        for (got, want) in halves
            .iter()
            .zip([fast.cos(), -slow.sin(), fast.sin(), slow.cos()])
        {
            assert!((got - want).abs() < 1e-6, "{halves:?}");
        }
        let neighbors: Vec<f32> = rope(Layout::Interleaved)
            .apply(&x, 3)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        for (got, want) in neighbors
            .iter()
            .zip([fast.cos(), fast.sin(), -slow.sin(), slow.cos()])
        {
            assert!((got - want).abs() < 1e-6, "{neighbors:?}");
        }
    }

    #[test]
    fn components_beyond_the_rotated_ones_stay() {
        let x = Tensor::new(&[[[1f32, 0.0, 0.0, 1.0, 7.0, 8.0]]], &Device::Cpu).unwrap();
        let out: Vec<f32> = rope(Layout::Halves)
            .apply(&x, 3)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        assert_eq!(&out[4..], [7.0, 8.0]);
    }

    #[test]
    fn llama3_keeps_short_waves_and_stretches_long_ones() {
        let Scaling::Factors(factors) = Scaling::llama3(64, 500_000.0, 32.0, 1.0, 4.0, 8192.0)
        else {
            panic!("factors expected");
        };
        assert!((factors[0] - 1.0).abs() < 1e-9);
        assert!((factors[31] - 32.0).abs() < 1e-9);
        assert!(factors.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9));
    }

    #[test]
    fn yarn_keeps_the_fastest_and_stretches_the_slowest() {
        let yarn = scaled(
            128,
            1e6,
            &Scaling::Yarn {
                factor: 4.0,
                original_context: 32768.0,
            },
        );
        let plain = frequencies(128, 1e6);
        assert!((yarn[0] - plain[0]).abs() < 1e-12);
        assert!((yarn[63] - plain[63] / 4.0).abs() < 1e-12);
    }
}
