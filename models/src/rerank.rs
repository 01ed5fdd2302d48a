//! Rerankers on Candle: an encoder that reads query and text together, and a small head with one relevance logit.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use candle_core::{DType, Device, Module, Result as CandleResult, Tensor};
use candle_nn::{Linear, VarBuilder};
use serde::Deserialize;

use crate::arch::{self, Weights};
use crate::batch::Batcher;
use crate::device::DeviceChoice;
use crate::embed::{EmbedConfig, on_blocking_thread, pool};
use crate::registry::Installed;
use crate::spec::Architecture;
use crate::tokenizer::{Sequence, TextTokenizer};
use crate::{Error, ModelKind, ModelSpec, Pooling, Reranker, Result};

/// Loads a reranker.
///
/// # Errors
/// [`Error::WrongKind`] for other models; [`Error::Unsupported`] for a head with more than two labels;
/// [`Error::Malformed`] or [`Error::Candle`] when the files cannot be loaded; [`Error::Device`].
pub fn load_reranker(
    installed: &Installed,
    device: &DeviceChoice,
    config: &EmbedConfig,
) -> Result<Arc<dyn Reranker>> {
    let spec = installed.spec.clone();
    match spec.kind {
        ModelKind::Reranker => (),
        ModelKind::Embedder { .. } | ModelKind::Generator { .. } => {
            return Err(Error::WrongKind {
                id: spec.id.0,
                actual: spec.kind.noun(),
                wanted: "a reranker",
            });
        }
    }
    let device = device.open()?;
    let tokenizer = Arc::new(TextTokenizer::load(&installed.dir, spec.max_tokens)?);
    let weights = Weights::find(&installed.dir)?;
    let encoder = arch::load(
        &spec.id.0,
        spec.architecture,
        &installed.dir,
        &weights,
        &device,
    )?;
    let head = Head::load(&spec, &installed.dir, &weights, &device)?;
    let batching = config.batching(&device, encoder.pads());
    let forward = move |sequences: &[&Sequence]| -> Result<Vec<f32>> {
        let states = encoder.encode(sequences)?;
        let pooled = states
            .iter()
            .map(|s| pool(s, head.pooling))
            .collect::<CandleResult<Vec<_>>>()?;
        Ok(head.forward(&Tensor::stack(&pooled, 0)?.to_dtype(DType::F32)?)?)
    };
    let batcher = Batcher::start("rerank", batching, Arc::new(forward))?;
    Ok(Arc::new(CandleReranker {
        spec,
        tokenizer,
        batcher,
    }))
}

struct CandleReranker {
    spec: ModelSpec,
    tokenizer: Arc<TextTokenizer>,
    batcher: Batcher<f32>,
}

#[async_trait]
impl Reranker for CandleReranker {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    async fn rerank(&self, query: &str, texts: &[String]) -> Result<Vec<f32>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let (tokenizer, query, texts) = (
            Arc::clone(&self.tokenizer),
            query.to_owned(),
            texts.to_vec(),
        );
        let pairs = on_blocking_thread(move || {
            texts
                .iter()
                .map(|t| tokenizer.encode_pair(&query, t))
                .collect()
        })
        .await?;
        self.batcher.run(pairs).await
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
    #[serde(default = "default_epsilon")]
    layer_norm_eps: f64,
}

fn default_epsilon() -> f64 {
    1e-5
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
            Architecture::ModernBert => Self {
                pooling: match config.classifier_pooling.as_deref() {
                    Some("mean") => Pooling::Mean,
                    Some(_) | None => Pooling::Cls,
                },
                dense: linear(h, h, &vb.pp("head.dense"))?,
                activation: Activation::Gelu,
                norm: Some(candle_nn::layer_norm_no_bias(
                    h,
                    config.layer_norm_eps,
                    vb.pp("head.norm"),
                )?),
                labels: linear(h, labels, &vb.pp("classifier"))?,
            },
            Architecture::Qwen3
            | Architecture::Qwen2
            | Architecture::Llama
            | Architecture::Gguf => {
                return Err(Error::Unsupported {
                    id: spec.id.0.clone(),
                    reason: "only bert, xlm_roberta and modern_bert can rerank".to_owned(),
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
