//! Encoders: token ids in, one row of numbers per token out.

pub(crate) mod attention;
mod bert;
pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod decoder;
pub(crate) mod decoder_weights;
mod kernels;
mod modernbert;
mod qwen3;
pub(crate) mod rope;
mod weights;

use std::path::Path;

use candle_core::{Device, Tensor};
use serde::de::DeserializeOwned;

use crate::spec::Architecture;
use crate::tokenizer::Sequence;
use crate::{Error, Result};
pub(crate) use weights::Weights;

/// A loaded encoder. One is shared by all threads.
pub(crate) trait Encoder: Send + Sync {
    /// Returns the hidden states of each sequence: `[tokens, hidden]`, in order. No sequence is empty.
    fn encode(&self, sequences: &[&Sequence]) -> candle_core::Result<Vec<Tensor>>;

    /// Returns whether sequences of one call are padded to the longest (a call should then hold similar lengths).
    fn pads(&self) -> bool;
}

/// Loads the encoder of a model folder.
///
/// # Errors
/// [`Error::Unsupported`] for architectures that are no encoders; [`Error::Malformed`] when a file is not as expected.
pub(crate) fn load(
    id: &str,
    architecture: Architecture,
    dir: &Path,
    weights: &Weights,
    device: &Device,
) -> Result<Box<dyn Encoder>> {
    match architecture {
        Architecture::Bert => Ok(Box::new(bert::Bert::load(
            &read_config(dir)?,
            weights,
            false,
            device,
        )?)),
        Architecture::XlmRoberta => Ok(Box::new(bert::Bert::load(
            &read_config(dir)?,
            weights,
            true,
            device,
        )?)),
        Architecture::ModernBert => Ok(Box::new(modernbert::Modern::load(
            &modernbert::read_config(dir)?,
            weights,
            device,
        )?)),
        Architecture::Qwen3 => Ok(Box::new(qwen3::Qwen3::load(
            &read_config(dir)?,
            weights,
            device,
        )?)),
        Architecture::Qwen2 | Architecture::Llama | Architecture::Gguf | Architecture::PpOcr => {
            Err(Error::Unsupported {
                id: id.to_owned(),
                reason: "only bert, xlm_roberta, modern_bert and qwen3 are encoders".to_owned(),
            })
        }
    }
}

/// Reads `config.json` of a model folder.
pub(crate) fn read_config<T: DeserializeOwned>(dir: &Path) -> Result<T> {
    let path = dir.join("config.json");
    let text = fs_err::read_to_string(&path)?;
    serde_json::from_str(&text).map_err(|e| Error::Malformed {
        path,
        reason: e.to_string(),
    })
}

/// Ids of the sequences, each padded at the end with `pad` to the longest: `[sequences, longest]`.
fn padded(sequences: &[&Sequence], pad: u32, device: &Device) -> candle_core::Result<Tensor> {
    let longest = sequences.iter().map(|s| s.len()).max().unwrap_or(0);
    let ids: Vec<u32> = sequences
        .iter()
        .flat_map(|s| {
            s.ids
                .iter()
                .copied()
                .chain(std::iter::repeat_n(pad, longest - s.len()))
        })
        .collect();
    Tensor::from_vec(ids, (sequences.len(), longest), device)
}

/// Cuts the rows of each sequence out of padded states `[sequences, longest, hidden]`.
fn unpadded(states: &Tensor, sequences: &[&Sequence]) -> candle_core::Result<Vec<Tensor>> {
    sequences
        .iter()
        .enumerate()
        .map(|(n, s)| states.get(n)?.narrow(0, 0, s.len()))
        .collect()
}
