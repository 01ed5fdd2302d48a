//! Causal attention over cached keys and values, without repeating them per query head.

use candle_core::{Device, Tensor};

use crate::Result;

/// Which cached positions each new token attends to.
pub(crate) struct Mask {
    /// Positions before this one are attended to by no new token.
    start: usize,
    /// `(tokens, positions from start)`, 0 or -inf, to be added; absent where nothing is masked.
    additive: Option<Tensor>,
}

impl Mask {
    /// A mask for `tokens` new positions behind `past` others; with a `window`, each attends to that many
    /// positions, itself included.
    pub(crate) fn new(
        past: usize,
        tokens: usize,
        window: Option<usize>,
        device: &Device,
    ) -> Result<Self> {
        let window = window.unwrap_or(usize::MAX);
        let first = |position: usize| (position + 1).saturating_sub(window);
        let start = first(past);
        if tokens == 1 {
            return Ok(Self {
                start,
                additive: None,
            });
        }
        let columns = past + tokens - start;
        let mut mask = Vec::with_capacity(tokens * columns);
        for position in past..past + tokens {
            mask.extend((start..past + tokens).map(|other| {
                if other > position || other < first(position) {
                    f32::NEG_INFINITY
                } else {
                    0.0
                }
            }));
        }
        Ok(Self {
            start,
            additive: Some(Tensor::from_vec(mask, (tokens, columns), device)?),
        })
    }
}

/// Returns `(heads, tokens, head_dim)` for queries of that shape and keys and values
/// `(kv_heads, positions, head_dim)`, which may be views; `heads` is a multiple of `kv_heads`.
pub(crate) fn attend(
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    mask: &Mask,
    scale: f64,
) -> Result<Tensor> {
    let (heads, tokens, head_dim) = query.dims3()?;
    let (kv_heads, positions, _) = keys.dims3()?;
    let length = positions - mask.start;
    let keys = keys.narrow(1, mask.start, length)?;
    let values = values.narrow(1, mask.start, length)?;
    // The query heads that share a key head become rows of one matrix.
    let rows = heads / kv_heads * tokens;
    let query = (query * scale)?.reshape((kv_heads, rows, head_dim))?;
    let scores = query.matmul(&keys.t()?)?;
    let scores = match &mask.additive {
        Some(additive) => scores
            .reshape((heads, tokens, length))?
            .broadcast_add(additive)?,
        None => scores,
    };
    let weights = candle_nn::ops::softmax_last_dim(&scores)?;
    let weights = weights.reshape((kv_heads, rows, length))?;
    Ok(weights
        .matmul(&values)?
        .reshape((heads, tokens, head_dim))?)
}
