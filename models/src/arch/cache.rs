//! Keys and values of one conversation, which can be cut back to any prefix.

use candle_core::{DType, Device, Tensor};

use crate::Result;

/// Room is allotted in steps of this many tokens.
const STEP: usize = 256;

/// Keys and values of the tokens read so far, per layer.
pub(crate) struct KvCache {
    layers: Vec<Option<(Tensor, Tensor)>>,
    kv_heads: usize,
    head_dim: usize,
    device: Device,
    capacity: usize,
    tokens: Vec<u32>,
}

impl KvCache {
    pub(crate) fn new(layers: usize, kv_heads: usize, head_dim: usize, device: &Device) -> Self {
        let (device, tokens) = (device.clone(), Vec::new());
        Self {
            layers: vec![None; layers],
            kv_heads,
            head_dim,
            device,
            capacity: 0,
            tokens,
        }
    }

    /// Returns the number of tokens held.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns how many of `tokens` from the start are those held.
    pub(crate) fn common_prefix(&self, tokens: &[u32]) -> usize {
        self.tokens
            .iter()
            .zip(tokens)
            .take_while(|(held, wanted)| held == wanted)
            .count()
    }

    /// Forgets all but the first `length` tokens.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.tokens.truncate(length);
    }

    /// Makes room for `length` tokens in all, so that reading them copies nothing that is held. Room far
    /// beyond that, left by a much longer conversation, is given back.
    pub(crate) fn reserve(&mut self, length: usize) -> Result<()> {
        let wanted = length.max(self.len()).next_multiple_of(STEP);
        let excessive = self.capacity > 4 * wanted.max(4 * STEP);
        if self.capacity >= wanted && !excessive {
            return Ok(());
        }
        let held = self.len();
        for layer in &mut self.layers {
            let shape = (self.kv_heads, wanted, self.head_dim);
            let keys = Tensor::zeros(shape, DType::F32, &self.device)?;
            let values = Tensor::zeros(shape, DType::F32, &self.device)?;
            if let Some((old_keys, old_values)) = layer.as_ref().filter(|_| held > 0) {
                keys.slice_set(&old_keys.narrow(1, 0, held)?.contiguous()?, 1, 0)?;
                values.slice_set(&old_values.narrow(1, 0, held)?.contiguous()?, 1, 0)?;
            }
            *layer = Some((keys, values));
        }
        self.capacity = wanted;
        Ok(())
    }

    /// Writes keys and values, `(kv_heads, tokens, head_dim)`, behind those of layer `index`, and returns
    /// views of all of them. They count as held once [`Self::advance`] is called.
    pub(crate) fn put(
        &mut self,
        index: usize,
        key: &Tensor,
        value: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let Some((keys, values)) = &self.layers[index] else {
            return Err(candle_core::Error::msg("no room was reserved in the cache").into());
        };
        let held = self.len();
        keys.slice_set(key, 1, held)?;
        values.slice_set(value, 1, held)?;
        let end = held + key.dim(1)?;
        Ok((keys.narrow(1, 0, end)?, values.narrow(1, 0, end)?))
    }

    /// Notes that all layers hold `tokens` now.
    pub(crate) fn advance(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
    }
}
