//! Rerankers on Candle: models that read query and text together and say how relevant the text is.
//!
//! Two kinds: `classifier`, an encoder with a small head, and `judge`, a decoder that is asked for a yes or a no.
//! Both give logits.

mod classifier;
mod judge;

use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::{BatchConfig, Batcher, Forward};
use crate::device::DeviceChoice;
use crate::embed::{EmbedConfig, on_blocking_thread};
use crate::registry::Installed;
use crate::spec::Architecture;
use crate::tokenizer::Sequence;
use crate::{Error, ModelKind, ModelSpec, Reranker, Result};

/// Loads a reranker: BERT, XLM-RoBERTa and `ModernBERT` classifiers, and Qwen3-Reranker from safetensors or GGUF.
///
/// # Errors
/// [`Error::WrongKind`] for other models; [`Error::Unsupported`] for another architecture, a head with more than two
/// labels or a vocabulary without `yes` and `no`; [`Error::Malformed`] or [`Error::Candle`] when the files cannot be
/// loaded; [`Error::Device`].
pub fn load_reranker(
    installed: &Installed,
    device: &DeviceChoice,
    config: &EmbedConfig,
) -> Result<Arc<dyn Reranker>> {
    let spec = installed.spec.clone();
    match spec.kind {
        ModelKind::Reranker => (),
        ModelKind::Embedder { .. } | ModelKind::Generator { .. } | ModelKind::Recognizer => {
            return Err(Error::WrongKind {
                id: spec.id.0,
                actual: spec.kind.noun(),
                wanted: "a reranker",
            });
        }
    }
    let device = device.open()?;
    let model = match spec.architecture {
        Architecture::Bert | Architecture::XlmRoberta | Architecture::ModernBert => {
            classifier::load(&spec, &installed.dir, &device)?
        }
        Architecture::Qwen3 | Architecture::Gguf => judge::load(&spec, &installed.dir, &device)?,
        Architecture::Qwen2 | Architecture::Llama | Architecture::PpOcr => {
            return Err(Error::Unsupported {
                id: spec.id.0,
                reason: "only bert, xlm_roberta, modern_bert, qwen3 and gguf can rerank".to_owned(),
            });
        }
    };
    let batching = BatchConfig {
        spread: true,
        // All it reads is waited for.
        lanes: false,
        ..config.batching(&device, model.pads)
    };
    Ok(Arc::new(CandleReranker {
        batcher: Batcher::start("rerank", batching, model.forward)?,
        pairs: model.pairs,
        spec,
    }))
}

/// Returns the probability, 0 to 1, that a logit stands for.
#[must_use]
pub fn relevance(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Query and texts to model inputs, one per text.
trait Pairs: Send + Sync {
    fn encode(&self, query: &str, texts: &[String]) -> Result<Vec<Sequence>>;
}

/// A loaded model.
struct Model {
    pairs: Arc<dyn Pairs>,
    /// One logit per sequence.
    forward: Arc<Forward<f32>>,
    /// As [`crate::arch::Encoder::pads`].
    pads: bool,
}

struct CandleReranker {
    spec: ModelSpec,
    pairs: Arc<dyn Pairs>,
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
        let (pairs, query, texts) = (Arc::clone(&self.pairs), query.to_owned(), texts.to_vec());
        let sequences = on_blocking_thread(move || pairs.encode(&query, &texts)).await?;
        let logits = self.batcher.run(sequences).await?;
        // An order by such a number would be an accident.
        match logits.iter().find(|logit| !logit.is_finite()) {
            None => Ok(logits),
            Some(logit) => Err(Error::Candle(candle_core::Error::Msg(format!(
                "the reranker `{}` gave {logit}; its files may be damaged",
                self.spec.id
            )))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_become_probabilities_without_overflow() {
        for (logit, probability) in [(0.0, 0.5), (2.0, 0.880_797), (-1e4, 0.0), (1e4, 1.0)] {
            assert!((relevance(logit) - probability).abs() < 1e-6, "{logit}");
        }
    }
}
