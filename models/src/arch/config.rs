//! Shapes and constants of a decoder, from GGUF metadata or a hub's `config.json`.

use std::path::Path;

use serde::Deserialize;

use crate::arch::rope::{Layout, Scaling};
use crate::gguf::Gguf;
use crate::spec::ModelId;
use crate::{Error, Result};

/// In Gemma 3, one layer of this many attends to the whole context.
const GEMMA3_GLOBAL_EVERY: usize = 6;
const GEMMA3_27B_LAYERS: usize = 62;

/// What a [`super::decoder::Decoder`] needs besides its weights.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DecoderConfig {
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) eps: f32,
    /// The most tokens it can hold with these positions.
    pub(crate) context_length: usize,
    pub(crate) rope: RopeConfig,
    /// The rotation of layers that attend to a window only, where it differs.
    pub(crate) window_rope: Option<RopeConfig>,
    /// Tokens a windowed layer attends to, itself included.
    pub(crate) window: Option<usize>,
    /// With a window: every so-manyth layer has none.
    pub(crate) global_every: Option<usize>,
    /// Multiplies token vectors.
    pub(crate) embedding_scale: Option<f64>,
    /// Multiplies attention scores.
    pub(crate) attention_scale: f64,
    pub(crate) activation: Activation,
}

/// Parameters of rotary embeddings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RopeConfig {
    pub(crate) layout: Layout,
    pub(crate) dim: usize,
    pub(crate) base: f64,
    pub(crate) scaling: Scaling,
    pub(crate) magnitude: f64,
}

/// The non-linearity between the feed-forward matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    Silu,
    /// GELU in its tanh approximation.
    Gelu,
}

/// The families of decoders that differ in more than the presence of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
    Phi3,
}

impl DecoderConfig {
    /// Reads the metadata of a GGUF file. `factors` are the divisors of rotary frequencies stored as a
    /// tensor, if there are any.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an architecture without code here, [`Error::Malformed`] for metadata
    /// that is absent or impossible.
    pub(crate) fn from_gguf(gguf: &Gguf, id: &ModelId, factors: Option<Vec<f64>>) -> Result<Self> {
        let unsupported = |reason: String| Error::Unsupported {
            id: id.0.clone(),
            reason,
        };
        let arch = gguf.str("general.architecture")?;
        let family = match arch {
            "llama" => Family::Llama,
            "qwen2" => Family::Qwen2,
            "qwen3" => Family::Qwen3,
            "gemma3" => Family::Gemma3,
            "phi3" => Family::Phi3,
            other => {
                let known = "llama, qwen2, qwen3, gemma3 and phi3";
                return Err(unsupported(format!(
                    "GGUF architecture `{other}`; known are {known}"
                )));
            }
        };
        let key = |name: &str| format!("{arch}.{name}");
        if gguf.get_usize(&key("expert_count")).unwrap_or(0) > 0 {
            return Err(unsupported("mixture-of-experts layers".to_owned()));
        }
        let hidden = gguf.usize(&key("embedding_length"))?;
        let layers = gguf.usize(&key("block_count"))?;
        let heads = gguf.usize(&key("attention.head_count"))?;
        let kv_heads = gguf
            .get_usize(&key("attention.head_count_kv"))
            .unwrap_or(heads);
        let head_dim = match gguf.get_usize(&key("attention.key_length")) {
            Some(length) => length,
            None => hidden.checked_div(heads).unwrap_or(0),
        };
        let mut context_length = gguf.usize(&key("context_length"))?;
        let original = gguf.get_usize(&key("rope.scaling.original_context_length"));
        if family == Family::Phi3
            && let Some(original) = original
        {
            // The divisors depend on the length; the short ones, used here, hold up to this length.
            context_length = context_length.min(original);
        }
        let factor = gguf
            .get_f64(&key("rope.scaling.factor"))
            .filter(|factor| *factor > 0.0);
        let scaling = match (factors, gguf.get_str(&key("rope.scaling.type")), factor) {
            (Some(factors), _, _) => Scaling::Factors(factors),
            (None, None | Some("none"), _) | (None, Some("linear"), None) => Scaling::None,
            (None, Some("linear"), Some(factor)) => Scaling::Linear { factor },
            (None, Some("yarn"), Some(factor)) => Scaling::Yarn {
                factor,
                original_context: as_f64(original.unwrap_or(context_length)),
            },
            (None, Some(other), _) => return Err(unsupported(format!("rotary scaling `{other}`"))),
        };
        let rope = RopeConfig {
            layout: if family == Family::Llama {
                Layout::Interleaved
            } else {
                Layout::Halves
            },
            dim: gguf
                .get_usize(&key("rope.dimension_count"))
                .unwrap_or(head_dim),
            base: gguf.get_f64(&key("rope.freq_base")).unwrap_or(10_000.0),
            scaling,
            magnitude: gguf
                .get_f64(&key("rope.scaling.attn_factor"))
                .unwrap_or(1.0),
        };
        let gemma = family == Family::Gemma3;
        let window = match family {
            Family::Gemma3 | Family::Phi3 => gguf.get_usize(&key("attention.sliding_window")),
            Family::Llama | Family::Qwen2 | Family::Qwen3 => None,
        };
        let config = Self {
            hidden,
            layers,
            heads,
            kv_heads,
            head_dim,
            eps: narrow(gguf.f64(&key("attention.layer_norm_rms_epsilon"))?),
            context_length,
            window_rope: gemma.then(|| RopeConfig {
                base: gguf.get_f64(&key("rope.freq_base_swa")).unwrap_or(10_000.0),
                scaling: Scaling::None,
                ..rope.clone()
            }),
            rope,
            window: window.filter(|window| *window > 0 && *window < context_length),
            global_every: gemma.then_some(GEMMA3_GLOBAL_EVERY),
            embedding_scale: gemma.then(|| as_f64(hidden).sqrt()),
            // The largest Gemma 3 scales by the width per head, not by the head: `src/models/gemma3.cpp`
            // of llama.cpp.
            attention_scale: if gemma && layers == GEMMA3_27B_LAYERS {
                as_f64(hidden / heads.max(1)).powf(-0.5)
            } else {
                as_f64(head_dim).powf(-0.5)
            },
            activation: if gemma {
                Activation::Gelu
            } else {
                Activation::Silu
            },
        };
        config.check(gguf.path())?;
        Ok(config)
    }

    /// Reads a `config.json` of the transformers library: llama, qwen2 or qwen3.
    ///
    /// # Errors
    /// As [`Self::from_gguf`].
    pub(crate) fn from_json(path: &Path, id: &ModelId) -> Result<Self> {
        let unsupported = |reason: String| Error::Unsupported {
            id: id.0.clone(),
            reason,
        };
        let malformed = |error: serde_json::Error| Error::Malformed {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let json: HubConfig = serde_json::from_slice(&fs_err::read(path)?).map_err(malformed)?;
        if !matches!(json.model_type.as_str(), "llama" | "qwen2" | "qwen3") {
            let known = "llama, qwen2 and qwen3";
            return Err(unsupported(format!(
                "model type `{}` of config.json; known are {known}",
                json.model_type
            )));
        }
        if json.use_sliding_window {
            return Err(unsupported(
                "sliding-window attention in some layers only".to_owned(),
            ));
        }
        if !matches!(json.hidden_act.as_deref(), None | Some("silu")) {
            return Err(unsupported(format!(
                "activation `{}`",
                json.hidden_act.unwrap_or_default()
            )));
        }
        let head_dim = json.head_dim.unwrap_or(
            json.hidden_size
                .checked_div(json.num_attention_heads)
                .unwrap_or(0),
        );
        // Newer files keep base and scaling together.
        let parameters = json
            .rope_scaling
            .or(json.rope_parameters)
            .unwrap_or_default();
        let base = parameters
            .rope_theta
            .or(json.rope_theta)
            .unwrap_or(10_000.0);
        let original = as_f64(
            parameters
                .original_max_position_embeddings
                .unwrap_or(json.max_position_embeddings),
        );
        let scaling = match (
            parameters.rope_type.as_deref().unwrap_or("default"),
            parameters.factor,
        ) {
            ("default", _) => Scaling::None,
            ("linear", Some(factor)) => Scaling::Linear { factor },
            ("yarn", Some(factor)) => Scaling::Yarn {
                factor,
                original_context: original,
            },
            ("llama3", Some(factor)) => {
                let low = parameters.low_freq_factor.unwrap_or(1.0);
                let high = parameters.high_freq_factor.unwrap_or(4.0);
                Scaling::llama3(head_dim, base, factor, low, high, original)
            }
            (other, _) => {
                return Err(unsupported(format!(
                    "rotary scaling `{other}` of config.json"
                )));
            }
        };
        let config = Self {
            hidden: json.hidden_size,
            layers: json.num_hidden_layers,
            heads: json.num_attention_heads,
            kv_heads: json.num_key_value_heads.unwrap_or(json.num_attention_heads),
            head_dim,
            eps: narrow(json.rms_norm_eps),
            context_length: json.max_position_embeddings,
            rope: RopeConfig {
                layout: Layout::Halves,
                dim: head_dim,
                base,
                scaling,
                magnitude: 1.0,
            },
            window_rope: None,
            window: None,
            global_every: None,
            embedding_scale: None,
            attention_scale: as_f64(head_dim).powf(-0.5),
            activation: Activation::Silu,
        };
        config.check(path)?;
        Ok(config)
    }

    /// Returns whether layer `index` attends to a window only.
    pub(crate) fn is_windowed(&self, index: usize) -> bool {
        self.window.is_some()
            && self
                .global_every
                .is_none_or(|every| !(index + 1).is_multiple_of(every))
    }

    /// Refuses numbers that would fail much later with a message about tensor shapes.
    fn check(&self, path: &Path) -> Result<()> {
        let positive = [
            self.hidden,
            self.layers,
            self.heads,
            self.kv_heads,
            self.head_dim,
            self.context_length,
        ];
        let sound = positive.iter().all(|number| *number > 0)
            && self.heads.is_multiple_of(self.kv_heads)
            && self.rope.dim.is_multiple_of(2)
            && self.rope.dim > 0
            && self.rope.dim <= self.head_dim
            && self.rope.base > 1.0;
        if sound {
            return Ok(());
        }
        Err(Error::Malformed {
            path: path.to_owned(),
            reason: format!("impossible shapes: {self:?}"),
        })
    }
}

/// `config.json` of the transformers library; fields are named as there.
#[derive(Deserialize)]
struct HubConfig {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: f64,
    max_position_embeddings: usize,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeParameters>,
    rope_parameters: Option<RopeParameters>,
    hidden_act: Option<String>,
    #[serde(default)]
    use_sliding_window: bool,
}

#[derive(Default, Deserialize)]
struct RopeParameters {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
}

#[expect(clippy::cast_precision_loss, reason = "shapes are far below 2^52")]
fn as_f64(number: usize) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an epsilon in f32 is what the kernels take"
)]
fn narrow(number: f64) -> f32 {
    number as f32
}
