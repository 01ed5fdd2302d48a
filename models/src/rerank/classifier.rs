//! Classifiers: an encoder that reads query and text as a pair, and a small head with one relevance logit.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Module, Result as CandleResult, Tensor};
use candle_nn::{Linear, VarBuilder};
use serde::Deserialize;

use super::{Model, Pairs};
use crate::arch::{self, Weights};
use crate::embed::pool;
use crate::spec::Architecture;
use crate::tokenizer::{Sequence, TextTokenizer};
use crate::{Error, ModelSpec, Pooling, Result};

/// Loads encoder and head.
pub(super) fn load(spec: &ModelSpec, dir: &Path, device: &Device) -> Result<Model> {
    let tokenizer = TextTokenizer::load(dir, spec.max_tokens)?;
    let weights = Weights::find(dir)?;
    let encoder = arch::load(&spec.id.0, spec.architecture, dir, &weights, device)?;
    let head = Head::load(spec, dir, &weights, device)?;
    let pads = encoder.pads();
    let forward = move |sequences: &[&Sequence]| -> Result<Vec<f32>> {
        let states = encoder.encode(sequences)?;
        let pooled = states
            .iter()
            .map(|s| pool(s, head.pooling))
            .collect::<CandleResult<Vec<_>>>()?;
        Ok(head.forward(&Tensor::stack(&pooled, 0)?.to_dtype(DType::F32)?)?)
    };
    Ok(Model {
        pairs: Arc::new(tokenizer),
        forward: Arc::new(forward),
        pads,
    })
}

impl Pairs for TextTokenizer {
    fn encode(&self, query: &str, texts: &[String]) -> Result<Vec<Sequence>> {
        texts.iter().map(|t| self.encode_pair(query, t)).collect()
    }
}

/// What `config.json` says of the head.
#[derive(Deserialize)]
struct HeadConfig {
    hidden_size: usize,
    #[serde(default)]
    id2label: std::collections::BTreeMap<String, serde_json::Value>,
    /// ModernBERT: `cls` or `mean`.
    classifier_pooling: Option<String>,
    /// ModernBERT: what is between the two layers; `gelu` when absent.
    classifier_activation: Option<String>,
    /// ModernBERT's name for the epsilon.
    norm_eps: Option<f64>,
    layer_norm_eps: Option<f64>,
}

/// The layers behind the encoder: pooled state to labels. Computed in f32 on every device.
struct Head {
    pooling: Pooling,
    dense: Linear,
    activation: Activation,
    norm: Option<candle_nn::LayerNorm>,
    labels: Linear,
}

#[derive(Clone, Copy)]
enum Activation {
    Tanh,
    Gelu,
}

impl Head {
    fn load(spec: &ModelSpec, dir: &Path, weights: &Weights, device: &Device) -> Result<Self> {
        let config: HeadConfig = arch::read_config(dir)?;
        let labels = config.id2label.len().max(1);
        if labels > 2 {
            return Err(Error::Unsupported {
                id: spec.id.0.clone(),
                reason: format!("its head has {labels} labels; a reranker has one or two"),
            });
        }
        let vb = weights.open(DType::F32, device)?;
        let h = config.hidden_size;
        Ok(match spec.architecture {
            Architecture::XlmRoberta => Self {
                pooling: Pooling::Cls,
                dense: linear(h, h, &vb.pp("classifier.dense"))?,
                activation: Activation::Tanh,
                norm: None,
                labels: linear(h, labels, &vb.pp("classifier.out_proj"))?,
            },
            Architecture::Bert => Self {
                pooling: Pooling::Cls,
                dense: linear(h, h, &vb.pp("bert.pooler.dense"))?,
                activation: Activation::Tanh,
                norm: None,
                labels: linear(h, labels, &vb.pp("classifier"))?,
            },
            Architecture::ModernBert => {
                if let Some(other) = config.classifier_activation.filter(|name| name != "gelu") {
                    return Err(Error::Unsupported {
                        id: spec.id.0.clone(),
                        reason: format!("activation `{other}` of its head; only `gelu` is known"),
                    });
                }
                let epsilon = config.norm_eps.or(config.layer_norm_eps).unwrap_or(1e-5);
                Self {
                    pooling: match config.classifier_pooling.as_deref() {
                        Some("mean") => Pooling::Mean,
                        Some(_) | None => Pooling::Cls,
                    },
                    dense: linear(h, h, &vb.pp("head.dense"))?,
                    activation: Activation::Gelu,
                    norm: Some(candle_nn::layer_norm_no_bias(
                        h,
                        epsilon,
                        vb.pp("head.norm"),
                    )?),
                    labels: linear(h, labels, &vb.pp("classifier"))?,
                }
            }
            Architecture::Qwen3
            | Architecture::Qwen2
            | Architecture::Llama
            | Architecture::Gguf
            | Architecture::PpOcr => {
                return Err(Error::Unsupported {
                    id: spec.id.0.clone(),
                    reason: "only bert, xlm_roberta and modern_bert have a classifier here"
                        .to_owned(),
                });
            }
        })
    }

    /// `pooled [sequences, hidden]` to one logit each.
    fn forward(&self, pooled: &Tensor) -> CandleResult<Vec<f32>> {
        let x = self.dense.forward(pooled)?;
        let x = match self.activation {
            Activation::Tanh => x.tanh()?,
            Activation::Gelu => x.gelu_erf()?,
        };
        let x = match &self.norm {
            Some(norm) => norm.forward(&x)?,
            None => x,
        };
        let rows = self.labels.forward(&x)?.to_vec2::<f32>()?;
        // Of two labels the second means "relevant".
        Ok(rows
            .iter()
            .map(|row| {
                row.iter()
                    .rev()
                    .copied()
                    .reduce(|yes, no| yes - no)
                    .unwrap_or_default()
            })
            .collect())
    }
}

/// A linear layer with a bias where the file has one.
fn linear(input: usize, output: usize, vb: &VarBuilder<'_>) -> CandleResult<Linear> {
    let bias = if vb.contains_tensor("bias") {
        Some(vb.get(output, "bias")?)
    } else {
        None
    };
    Ok(Linear::new(vb.get((output, input), "weight")?, bias))
}
