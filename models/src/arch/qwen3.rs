//! Qwen3 as an encoder: Candle's, behind [`Encoder`].

use candle_core::{DType, Device, Result, Tensor};
use candle_transformers::models::qwen3::{Config, Model};

use super::{Encoder, Weights, padded, unpadded};
use crate::tokenizer::Sequence;

pub(crate) struct Qwen3 {
    /// Never run itself: its cache must stay empty. Clones share the weights.
    model: Model,
    device: Device,
}

impl Qwen3 {
    /// Loads the encoder; f32 on the CPU, bf16 on a GPU.
    pub(crate) fn load(config: &Config, weights: &Weights, device: &Device) -> crate::Result<Self> {
        let dtype = if device.is_cpu() {
            DType::F32
        } else {
            DType::BF16
        };
        let root = weights.open(dtype, device)?;
        // Encoders are saved without the prefix `model.` that Candle asks for, generators with it.
        let vb = if root.contains_tensor("model.embed_tokens.weight") {
            root
        } else {
            root.rename_f(|name| name.strip_prefix("model.").unwrap_or(name).to_owned())
        };
        Ok(Self {
            model: Model::new(config, vb)?,
            device: device.clone(),
        })
    }
}

impl Encoder for Qwen3 {
    fn encode(&self, sequences: &[&Sequence]) -> Result<Vec<Tensor>> {
        // Tokens see only what is before them, so padding at the end changes nothing.
        let ids = padded(sequences, 0, &self.device)?;
        unpadded(&self.model.clone().forward(&ids, 0)?, sequences)
    }

    fn pads(&self) -> bool {
        true
    }
}
