//! ModernBERT: Candle's, behind [`Encoder`].

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use candle_transformers::models::modernbert::{Config, ModernBert};
use serde_json::Value;

use super::{Encoder, Weights, padded, unpadded};
use crate::Error;
use crate::tokenizer::Sequence;

/// Reads `config.json`. transformers calls the epsilon `norm_eps`; Candle asks for `layer_norm_eps`, which only older
/// files have too.
pub(crate) fn read_config(dir: &Path) -> crate::Result<Config> {
    let mut json: serde_json::Map<String, Value> = super::read_config(dir)?;
    if let Some(epsilon) = json.get("norm_eps").cloned() {
        json.insert("layer_norm_eps".to_owned(), epsilon);
    }
    serde_json::from_value(Value::Object(json)).map_err(|e| Error::Malformed {
        path: dir.join("config.json"),
        reason: e.to_string(),
    })
}

pub(crate) struct Modern {
    model: ModernBert,
    pad: u32,
    device: Device,
}

impl Modern {
    /// Loads the encoder. It computes in f32 on a GPU too, because Candle's masks are f32.
    pub(crate) fn load(config: &Config, weights: &Weights, device: &Device) -> crate::Result<Self> {
        let root = weights.open(DType::F32, device)?;
        // Encoders are saved without the prefix `model.` that Candle asks for, classifiers with it.
        let vb = if root.contains_tensor("model.embeddings.tok_embeddings.weight") {
            root
        } else {
            root.rename_f(|name| name.strip_prefix("model.").unwrap_or(name).to_owned())
        };
        Ok(Self {
            model: ModernBert::load(vb, config)?,
            pad: config.pad_token_id,
            device: device.clone(),
        })
    }
}

impl Encoder for Modern {
    fn encode(&self, sequences: &[&Sequence]) -> Result<Vec<Tensor>> {
        let ids = padded(sequences, self.pad, &self.device)?;
        let longest = ids.dim(1)?;
        let mask: Vec<u32> = sequences
            .iter()
            .flat_map(|s| (0..longest).map(|n| u32::from(n < s.len())))
            .collect();
        let mask = Tensor::from_vec(mask, ids.shape(), &self.device)?;
        unpadded(&self.model.forward(&ids, &mask)?, sequences)
    }

    fn pads(&self) -> bool {
        true
    }
}
