//! Fused row operations of the encoders.
//!
//! On the CPU in f32 each is one pass over memory in place, compiled for AVX-512, AVX2 and the baseline and chosen at
//! run time; Candle's separate operations cost more than the matrix products at these sizes. Elsewhere (GPU, f16)
//! they are composed of Candle's own operations.
//!
//! `exp` is the polynomial of Cephes' `expf`, `erf` is Abramowitz and Stegun 7.1.26 (error below 1.5e-7).

use candle_core::{
    CpuStorage, DType, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Result, Tensor, bail,
};

/// Adds `bias [n]` to every row of `x [rows, n]`.
pub(super) fn add_bias(x: Tensor, bias: &Tensor) -> Result<Tensor> {
    if !fused(&x) {
        return x.broadcast_add(bias);
    }
    x.inplace_op2(bias, &AddBias { gelu: false })?;
    Ok(x)
}

/// Adds `bias [n]` to every row of `x [rows, n]` and applies the exact GELU.
pub(super) fn add_bias_gelu(x: Tensor, bias: &Tensor) -> Result<Tensor> {
    if !fused(&x) {
        return x.broadcast_add(bias)?.gelu_erf();
    }
    x.inplace_op2(bias, &AddBias { gelu: true })?;
    Ok(x)
}

/// Multiplies by `scale` and applies softmax to the rows of `x [.., n]`.
pub(super) fn scaled_softmax(x: Tensor, scale: f32) -> Result<Tensor> {
    if !fused(&x) {
        return candle_nn::ops::softmax_last_dim(&(x * f64::from(scale))?);
    }
    x.inplace_op1(&ScaledSoftmax { scale })?;
    Ok(x)
}

/// Layer normalization of the rows of `x + bias + residual`; `parameters [3, n]` are bias, weight and shift.
pub(super) fn residual_norm(
    x: Tensor,
    residual: &Tensor,
    parameters: &Tensor,
    epsilon: f32,
) -> Result<Tensor> {
    if !fused(&x) {
        let sum = (x.broadcast_add(&parameters.get(0)?)? + residual)?;
        return candle_nn::ops::layer_norm(&sum, &parameters.get(1)?, &parameters.get(2)?, epsilon);
    }
    x.inplace_op3(residual, parameters, &ResidualNorm { epsilon })?;
    Ok(x)
}

/// The fused operations write into `x`, so it must be a fresh result and nobody's view.
fn fused(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32 && x.is_contiguous()
}

struct AddBias {
    gelu: bool,
}

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<()> {
        let (x, bias) = (slice_mut(dst, layout)?, slice(bias, bias_layout)?);
        if self.gelu {
            bias_gelu_rows(x, bias)
        } else {
            bias_rows(x, bias)
        }
        Ok(())
    }
}

struct ScaledSoftmax {
    scale: f32,
}

impl InplaceOp1 for ScaledSoftmax {
    fn name(&self) -> &'static str {
        "scaled-softmax"
    }

    fn cpu_fwd(&self, dst: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let width = layout.dims().last().copied().unwrap_or(1);
        softmax_rows(slice_mut(dst, layout)?, width, self.scale);
        Ok(())
    }
}

struct ResidualNorm {
    epsilon: f32,
}

impl InplaceOp3 for ResidualNorm {
    fn name(&self) -> &'static str {
        "residual-norm"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<()> {
        let (residual, parameters) = (
            slice(residual, residual_layout)?,
            slice(parameters, parameters_layout)?,
        );
        residual_norm_rows(slice_mut(dst, layout)?, residual, parameters, self.epsilon);
        Ok(())
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage.as_slice::<f32>()?, layout.contiguous_offsets()) {
        (all, Some((start, end))) => Ok(&all[start..end]),
        (_, None) => bail!("a contiguous tensor is needed"),
    }
}

fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((start, end))) => Ok(&mut all[start..end]),
        _ => bail!("a contiguous f32 tensor is needed"),
    }
}

/// Compiles a function for three instruction sets and calls the best one the machine has.
macro_rules! dispatched {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $body:block) => {
        $(#[$doc])*
        fn $name($($arg: $type),*) {
            #[inline(always)]
            fn body($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,fma")]
                fn avx512($($arg: $type),*) {
                    body($($arg),*);
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) {
                    body($($arg),*);
                }
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    #[expect(unsafe_code, reason = "calling a function compiled for more than the baseline")]
                    // SAFETY: the machine has the features, as just checked.
                    unsafe { avx512($($arg),*) };
                    return;
                }
                if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                    #[expect(unsafe_code, reason = "calling a function compiled for more than the baseline")]
                    // SAFETY: the machine has the features, as just checked.
                    unsafe { avx2($($arg),*) };
                    return;
                }
            }
            body($($arg),*);
        }
    };
}

dispatched! {
    fn bias_rows(x: &mut [f32], bias: &[f32]) {
        for row in x.chunks_exact_mut(bias.len()) {
            for (x, b) in row.iter_mut().zip(bias) {
                *x += b;
            }
        }
    }
}

dispatched! {
    fn bias_gelu_rows(x: &mut [f32], bias: &[f32]) {
        for row in x.chunks_exact_mut(bias.len()) {
            for (x, b) in row.iter_mut().zip(bias) {
                *x = gelu(*x + b);
            }
        }
    }
}

dispatched! {
    fn softmax_rows(x: &mut [f32], width: usize, scale: f32) {
        for row in x.chunks_exact_mut(width) {
            let max = lanes_fold(row, f32::NEG_INFINITY, |m, x| if x > m { x } else { m });
            for x in row.iter_mut() {
                *x = exp((*x - max) * scale);
            }
            let inverse = 1.0 / lanes_fold(row, 0.0, |s, x| s + x);
            for x in row.iter_mut() {
                *x *= inverse;
            }
        }
    }
}

dispatched! {
    fn residual_norm_rows(x: &mut [f32], residual: &[f32], parameters: &[f32], epsilon: f32) {
        let width = parameters.len() / 3;
        let (bias, rest) = parameters.split_at(width);
        let (weight, shift) = rest.split_at(width);
        #[expect(clippy::cast_precision_loss, reason = "widths are small")]
        let count = width as f32;
        for (row, residual) in x.chunks_exact_mut(width).zip(residual.chunks_exact(width)) {
            for ((x, b), r) in row.iter_mut().zip(bias).zip(residual) {
                *x += b + r;
            }
            let mean = lanes_fold(row, 0.0, |s, x| s + x) / count;
            for x in row.iter_mut() {
                *x -= mean;
            }
            let variance = lanes_sum_of_squares(row) / count;
            let factor = 1.0 / (variance + epsilon).sqrt();
            for ((x, w), s) in row.iter_mut().zip(weight).zip(shift) {
                *x = *x * factor * w + s;
            }
        }
    }
}

const LANES: usize = 16;

/// Folds in 16 independent lanes, which the compiler turns into vector instructions.
#[inline(always)]
fn lanes_fold(row: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = f(*lane, *x);
        }
    }
    lanes.iter().chain(rest).fold(start, |a, &b| f(a, b))
}

#[inline(always)]
fn lanes_sum_of_squares(row: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x * x;
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}

/// `x Φ(x)`.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let poly = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t
        + 0.254_829_6)
        * t;
    // 1 - erf(z), the part that vanishes for large z
    let tail = poly * exp(-z * z);
    let phi = if x < 0.0 {
        0.5 * tail
    } else {
        1.0 - 0.5 * tail
    };
    x * phi
}

/// `e^x` for x ≤ 0; 0 below about -87.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 × 2^23: adding it rounds to an integer
    let clamped = if x < -87.0 { -87.0 } else { x };
    let n = clamped * std::f32::consts::LOG2_E + ROUND;
    let exponent = n - ROUND;
    // ln 2 in two parts
    let r = clamped - exponent * 0.693_359_4 + exponent * 2.121_944_4e-4;
    let p = (((((1.987_569_1e-4 * r + 1.398_2e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r
        + 0.166_666_65)
        * r
        + 0.5)
        * r
        * r
        + r
        + 1.0;
    // The low bits of `n` hold the integer: shift it into the exponent field.
    let power = f32::from_bits((n.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23);
    if x < -87.0 { 0.0 } else { p * power }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn random(shape: &[usize]) -> Tensor {
        let mut rng = rand::rngs::StdRng::seed_from_u64(shape.iter().product::<usize>() as u64);
        let n = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|_| rng.random_range(-6.0..6.0)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn assert_close(a: &Tensor, b: &Tensor, tolerance: f32) {
        let (a, b) = (
            a.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            b.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        );
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() <= tolerance, "{a} {b}");
        }
    }

    #[test]
    fn fused_operations_equal_the_library() {
        for (rows, n) in [(1, 1), (3, 37), (5, 384), (2, 1536)] {
            let (x, bias, residual) = (random(&[rows, n]), random(&[n]), random(&[rows, n]));
            let (weight, shift) = (random(&[n]), random(&[n]));
            let plain = x.broadcast_add(&bias).unwrap();
            assert_close(&add_bias(x.copy().unwrap(), &bias).unwrap(), &plain, 0.0);
            assert_close(
                &add_bias_gelu(x.copy().unwrap(), &bias).unwrap(),
                &plain.gelu_erf().unwrap(),
                3e-6,
            );
            let soft = candle_nn::ops::softmax_last_dim(&(&x * 0.25).unwrap()).unwrap();
            assert_close(
                &scaled_softmax(x.copy().unwrap(), 0.25).unwrap(),
                &soft,
                1e-6,
            );
            let norm =
                candle_nn::ops::layer_norm(&(plain + &residual).unwrap(), &weight, &shift, 1e-5)
                    .unwrap();
            let ours = {
                let parameters = Tensor::stack(&[&bias, &weight, &shift], 0).unwrap();
                residual_norm(x.copy().unwrap(), &residual, &parameters, 1e-5).unwrap()
            };
            assert_close(&ours, &norm, 2e-5);
        }
    }

    #[test]
    fn extremes_stay_finite() {
        for x in [0.0, -1e-30, -86.9, -87.1, -200.0, f32::NEG_INFINITY] {
            let (ours, library) = (exp(x), x.exp());
            assert!(
                (ours - library).abs() <= library * 3e-7 + 1e-37,
                "{x}: {ours} {library}"
            );
        }
        assert_eq!(gelu(100.0), 100.0);
        assert_eq!(gelu(-100.0), 0.0);
    }
}
