//! Embedders on Candle.

use std::sync::Arc;

use async_trait::async_trait;
use candle_core::{DType, Device, Tensor};

use crate::arch::{self, Weights};
use crate::batch::{BatchConfig, Batcher};
use crate::device::DeviceChoice;
use crate::registry::Installed;
use crate::tokenizer::{Sequence, TextTokenizer};
use crate::{
    Embedder, Embedding, Error, ModelKind, ModelSpec, Pooling, Result, TokenStates, Vector,
};

/// How an embedder or reranker uses the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EmbedConfig {
    /// Threads that run forward passes; absent: one per core on the CPU, one on a GPU.
    pub threads: Option<usize>,
    /// Tokens per forward pass; absent: 2,048 on the CPU, 32,768 on a GPU.
    pub max_batch_tokens: Option<usize>,
}

/// Loads an embedder.
///
/// # Errors
/// [`Error::WrongKind`] for other models; [`Error::Unsupported`], [`Error::Malformed`] or [`Error::Candle`] when the
/// files cannot be loaded; [`Error::Device`].
pub fn load_embedder(
    installed: &Installed,
    device: &DeviceChoice,
    config: &EmbedConfig,
) -> Result<Arc<dyn Embedder>> {
    let spec = installed.spec.clone();
    let ModelKind::Embedder {
        dim,
        pooling,
        ref query_prompt,
        ref document_prompt,
    } = spec.kind
    else {
        return Err(Error::WrongKind {
            id: spec.id.0,
            actual: spec.kind.noun(),
            wanted: "an embedder",
        });
    };
    let device = device.open()?;
    let tokenizer = Arc::new(TextTokenizer::load(&installed.dir, spec.max_tokens)?);
    tokenizer.learn_pieces();
    let weights = Weights::find(&installed.dir)?;
    let encoder = arch::load(
        &spec.id.0,
        spec.architecture,
        &installed.dir,
        &weights,
        &device,
    )?;
    let batching = config.batching(&device, encoder.pads());
    let forward = move |sequences: &[&Sequence]| -> Result<Vec<Embedding>> {
        let states = encoder.encode(sequences)?;
        let pooled = states
            .iter()
            .map(|s| pool(s, pooling))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let rows = Tensor::stack(&pooled, 0)?
            .to_dtype(DType::F32)?
            .to_vec2::<f32>()?;
        rows.into_iter()
            .zip(states.iter().zip(sequences))
            .map(|(row, (states, sequence))| {
                Ok(Embedding {
                    vector: unit(row, dim)?,
                    tokens: own_tokens(states, sequence)?,
                })
            })
            .collect()
    };
    let batcher = Batcher::start("embed", batching, Arc::new(forward))?;
    let prompts = (query_prompt.clone(), document_prompt.clone());
    Ok(Arc::new(CandleEmbedder {
        dim,
        prompts,
        tokenizer,
        batcher,
        spec,
    }))
}

impl EmbedConfig {
    pub(crate) fn batching(&self, device: &Device, padded: bool) -> BatchConfig {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (threads, tokens) = if device.is_cpu() {
            (cores, 2_048)
        } else {
            (1, 32_768)
        };
        BatchConfig {
            threads: self.threads.unwrap_or(threads).max(1),
            max_batch_tokens: self.max_batch_tokens.unwrap_or(tokens).max(1),
            padded,
            spread: false,
            lanes: device.is_cpu(),
        }
    }
}

/// One vector of `states [tokens, hidden]`.
pub(crate) fn pool(states: &Tensor, pooling: Pooling) -> candle_core::Result<Tensor> {
    match pooling {
        // In f32: a sum of hundreds of f16 rows would lose digits.
        Pooling::Mean => states.to_dtype(DType::F32)?.mean(0),
        Pooling::Cls => states.get(0),
        Pooling::LastToken => states.get(states.dim(0)?.saturating_sub(1)),
    }
}

/// Takes the rows of the text's own tokens from `states [tokens, hidden]`.
fn own_tokens(states: &Tensor, sequence: &Sequence) -> candle_core::Result<TokenStates> {
    let own = sequence.own.clone();
    let rows = states.narrow(0, own.start, own.len())?;
    Ok(TokenStates {
        ids: sequence.ids[own].to_vec(),
        states: rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?,
    })
}

/// Scales to length 1.
fn unit(mut row: Vec<f32>, dim: usize) -> Result<Vector> {
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    if row.len() != dim || !length.is_finite() || length == 0.0 {
        return Err(Error::Candle(candle_core::Error::Msg(format!(
            "the model gave {} numbers of length {length}, expected {dim}; its files do not fit its registry entry",
            row.len()
        ))));
    }
    for x in &mut row {
        *x /= length;
    }
    Ok(row)
}

struct CandleEmbedder {
    spec: ModelSpec,
    dim: usize,
    /// For queries, for documents.
    prompts: (String, String),
    tokenizer: Arc<TextTokenizer>,
    batcher: Batcher<Embedding>,
}

#[async_trait]
impl Embedder for CandleEmbedder {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.tokenizer.count(text).unwrap_or_else(|error| {
            tracing::warn!(%error, "counting characters instead of tokens");
            text.chars().count()
        })
    }

    fn tokens_add_up(&self, text: &str) -> bool {
        self.tokenizer.adds_up(text)
    }

    async fn embed_query(&self, text: &str) -> Result<Embedding> {
        let (tokenizer, prompt, text) = (
            Arc::clone(&self.tokenizer),
            self.prompts.0.clone(),
            text.to_owned(),
        );
        let sequence = on_blocking_thread(move || tokenizer.encode(&prompt, &text)).await?;
        let mut embeddings = self.batcher.run_urgent(vec![sequence]).await?;
        embeddings.pop().ok_or(Error::Stopped)
    }

    async fn embed_documents(&self, texts: &[String]) -> Result<Vec<Embedding>> {
        let sequences = self.sequences(texts).await?;
        self.batcher.run(sequences).await
    }

    async fn embed_at_once(&self, texts: &[String]) -> Result<Vec<Embedding>> {
        let sequences = self.sequences(texts).await?;
        self.batcher.run_urgent(sequences).await
    }
}

impl CandleEmbedder {
    async fn sequences(&self, texts: &[String]) -> Result<Vec<Sequence>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let (tokenizer, prompt, texts) = (
            Arc::clone(&self.tokenizer),
            self.prompts.1.clone(),
            texts.to_vec(),
        );
        on_blocking_thread(move || texts.iter().map(|t| tokenizer.encode(&prompt, t)).collect())
            .await
    }
}

/// Tokenizing takes milliseconds, too long for an async thread.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    f: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(f)
        .await
        .map_err(|_| Error::Stopped)?
}
