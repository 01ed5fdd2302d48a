//! Decoder-only transformers of the Llama kind: Llama, Qwen2, Qwen3, Gemma 3, Phi-3.
//!
//! One forward pass serves all: they differ in constants ([`DecoderConfig`]) and in which optional
//! tensors their files have (biases, norms of queries and keys, norms behind the blocks, fused
//! matrices). Activations are f32; weights stay as stored.

use candle_core::{D, Device, Tensor};

use crate::Result;
use crate::arch::attention::{self, Mask};
use crate::arch::cache::KvCache;
use crate::arch::config::{Activation, DecoderConfig};
use crate::arch::decoder_weights::{Embedding, Linear, Weights};
use crate::arch::rope::Rope;
use crate::spec::ModelId;

/// A decoder with its weights, without any conversation's state.
pub(crate) struct Decoder {
    config: DecoderConfig,
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: Norm,
    output: Linear,
    rope: Rope,
    /// The rotation of windowed layers, where it differs.
    window_rope: Option<Rope>,
    device: Device,
}

impl Decoder {
    /// Loads all weights.
    ///
    /// # Errors
    /// [`crate::Error::Malformed`] or [`crate::Error::Candle`] when a tensor is missing or has the
    /// wrong shape, [`crate::Error::Unsupported`] when there are tensors this code does not use.
    pub(crate) fn load(
        config: DecoderConfig,
        mut weights: Weights,
        id: &ModelId,
        device: &Device,
    ) -> Result<Self> {
        let (embedding, output) = weights.embedding_and_output()?;
        let layers = (0..config.layers)
            .map(|index| Layer::load(&config, &mut weights, index))
            .collect::<Result<Vec<_>>>()?;
        let norm = Norm::load(&mut weights, "output_norm", config.eps)?;
        for name in ["rope_freqs", "rope_factors_long", "rope_factors_short"] {
            weights.skip(name);
        }
        weights.finish(id)?;
        let rope = |rope: &crate::arch::config::RopeConfig| {
            Rope::new(
                rope.layout,
                rope.dim,
                rope.base,
                &rope.scaling,
                rope.magnitude,
                device,
            )
        };
        Ok(Self {
            rope: rope(&config.rope),
            window_rope: config.window_rope.as_ref().map(rope),
            config,
            embedding,
            layers,
            norm,
            output,
            device: device.clone(),
        })
    }

    /// Returns a cache for one conversation.
    pub(crate) fn new_cache(&self) -> KvCache {
        let config = &self.config;
        KvCache::new(
            config.layers,
            config.kv_heads,
            config.head_dim,
            &self.device,
        )
    }

    /// Prepares to read up to `positions` tokens of one conversation; reading more is an error.
    ///
    /// # Errors
    /// [`crate::Error::Candle`].
    pub(crate) fn grow(&mut self, positions: usize) -> Result<()> {
        self.rope.grow(positions)?;
        match &mut self.window_rope {
            Some(rope) => rope.grow(positions),
            None => Ok(()),
        }
    }

    /// Reads `tokens` behind those in `cache`, and returns the logits after the last one.
    ///
    /// # Errors
    /// [`crate::Error::Candle`]; the cache then is as before.
    pub(crate) fn logits(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>> {
        let hidden = self.forward(tokens, cache)?;
        let last = hidden.narrow(0, tokens.len() - 1, 1)?.contiguous()?;
        let logits = self.output.forward(&self.norm.forward(&last)?)?;
        Ok(logits.flatten_all()?.to_vec1()?)
    }

    /// Reads `tokens` behind those in `cache`.
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub(crate) fn read(&self, tokens: &[u32], cache: &mut KvCache) -> Result<()> {
        self.forward(tokens, cache).map(drop)
    }

    /// Returns the last layer's states, `(tokens, hidden)`.
    fn forward(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Tensor> {
        let past = cache.len();
        cache.reserve(past + tokens.len())?;
        let global = Mask::new(past, tokens.len(), None, &self.device)?;
        let windowed = Mask::new(past, tokens.len(), self.config.window, &self.device)?;
        let mut x = self
            .embedding
            .forward(&Tensor::new(tokens, &self.device)?)?;
        if let Some(scale) = self.config.embedding_scale {
            x = (x * scale)?;
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let (mask, rope) = if self.config.is_windowed(index) {
                (&windowed, self.window_rope.as_ref().unwrap_or(&self.rope))
            } else {
                (&global, &self.rope)
            };
            x = layer.forward(&x, &self.config, index, mask, rope, cache)?;
        }
        cache.advance(tokens);
        Ok(x)
    }
}

/// One transformer block.
struct Layer {
    attention_norm: Norm,
    projections: Projections,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    attention_output: Linear,
    attention_post_norm: Option<Norm>,
    ffn_norm: Norm,
    ffn: FeedForward,
    ffn_post_norm: Option<Norm>,
}

impl Layer {
    fn load(config: &DecoderConfig, weights: &mut Weights, index: usize) -> Result<Self> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let mut optional = |part: &str| -> Result<Option<Norm>> {
            let part = name(part);
            if weights.has(&part) {
                Norm::load(weights, &part, config.eps).map(Some)
            } else {
                Ok(None)
            }
        };
        let query_norm = optional("attn_q_norm")?;
        let key_norm = optional("attn_k_norm")?;
        let attention_post_norm = optional("post_attention_norm")?;
        let ffn_post_norm = optional("post_ffw_norm")?;
        let projections = if weights.has(&name("attn_qkv")) {
            Projections::Fused(weights.linear(&name("attn_qkv"))?)
        } else {
            Projections::Separate {
                query: weights.linear(&name("attn_q"))?,
                key: weights.linear(&name("attn_k"))?,
                value: weights.linear(&name("attn_v"))?,
            }
        };
        let gate = if weights.has(&name("ffn_gate")) {
            Some(weights.linear(&name("ffn_gate"))?)
        } else {
            None
        };
        Ok(Self {
            attention_norm: Norm::load(weights, &name("attn_norm"), config.eps)?,
            projections,
            query_norm,
            key_norm,
            attention_output: weights.linear(&name("attn_output"))?,
            attention_post_norm,
            ffn_norm: Norm::load(weights, &name("ffn_norm"), config.eps)?,
            ffn: FeedForward {
                gate,
                up: weights.linear(&name("ffn_up"))?,
                down: weights.linear(&name("ffn_down"))?,
                activation: config.activation,
            },
            ffn_post_norm,
        })
    }

    /// Maps `(tokens, hidden)` to the same shape, and stores keys and values in layer `index` of `cache`.
    fn forward(
        &self,
        x: &Tensor,
        config: &DecoderConfig,
        index: usize,
        mask: &Mask,
        rope: &Rope,
        cache: &mut KvCache,
    ) -> Result<Tensor> {
        let normed = self.attention_norm.forward(x)?;
        let attended = self.attend(&normed, config, index, mask, rope, cache)?;
        let attended = norm_optional(self.attention_post_norm.as_ref(), attended)?;
        let x = (x + attended)?;
        let fed = self.ffn.forward(&self.ffn_norm.forward(&x)?)?;
        let fed = norm_optional(self.ffn_post_norm.as_ref(), fed)?;
        Ok((x + fed)?)
    }

    fn attend(
        &self,
        x: &Tensor,
        config: &DecoderConfig,
        index: usize,
        mask: &Mask,
        rope: &Rope,
        cache: &mut KvCache,
    ) -> Result<Tensor> {
        let tokens = x.dims2()?.0;
        let past = cache.len();
        let (query, key, value) = self.projections.forward(x, config)?;
        // (tokens, heads * head_dim) to (heads, tokens, head_dim); for one token this copies nothing.
        let split = |x: Tensor, heads: usize| -> Result<Tensor> {
            Ok(x.reshape((tokens, heads, config.head_dim))?
                .transpose(0, 1)?
                .contiguous()?)
        };
        let query = norm_optional(self.query_norm.as_ref(), split(query, config.heads)?)?;
        let key = norm_optional(self.key_norm.as_ref(), split(key, config.kv_heads)?)?;
        let value = split(value, config.kv_heads)?;
        let query = rope.apply(&query, past)?;
        let key = rope.apply(&key, past)?;
        let (keys, values) = cache.put(index, &key, &value)?;
        let out = attention::attend(&query, &keys, &values, mask, config.attention_scale)?;
        let out = out
            .transpose(0, 1)?
            .reshape((tokens, config.heads * config.head_dim))?;
        self.attention_output.forward(&out)
    }
}

/// Queries, keys and values from one matrix or three.
enum Projections {
    Separate {
        query: Linear,
        key: Linear,
        value: Linear,
    },
    Fused(Linear),
}

impl Projections {
    fn forward(&self, x: &Tensor, config: &DecoderConfig) -> Result<(Tensor, Tensor, Tensor)> {
        match self {
            Self::Separate { query, key, value } => {
                Ok((query.forward(x)?, key.forward(x)?, value.forward(x)?))
            }
            Self::Fused(fused) => {
                let all = fused.forward(x)?;
                let (queries, keys) = (
                    config.heads * config.head_dim,
                    config.kv_heads * config.head_dim,
                );
                let part =
                    |from: usize, length: usize| all.narrow(D::Minus1, from, length)?.contiguous();
                Ok((
                    part(0, queries)?,
                    part(queries, keys)?,
                    part(queries + keys, keys)?,
                ))
            }
        }
    }
}

/// The gated feed-forward block.
struct FeedForward {
    /// Absent: `up` yields the gate's half and its own, in this order.
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    activation: Activation,
}

impl FeedForward {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let up = self.up.forward(x)?;
        let (gate, up) = match &self.gate {
            Some(gate) => (gate.forward(x)?, up),
            None => {
                let half = up.dim(D::Minus1)? / 2;
                (
                    up.narrow(D::Minus1, 0, half)?.contiguous()?,
                    up.narrow(D::Minus1, half, half)?.contiguous()?,
                )
            }
        };
        let gate = match self.activation {
            Activation::Silu => gate.silu()?,
            Activation::Gelu => gate.gelu()?,
        };
        self.down.forward(&(gate * up)?)
    }
}

/// Root-mean-square normalization over the last dimension.
struct Norm {
    weight: Tensor,
    eps: f32,
}

impl Norm {
    fn load(weights: &mut Weights, name: &str, eps: f32) -> Result<Self> {
        Ok(Self {
            weight: weights.vector(name)?,
            eps,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(candle_nn::ops::rms_norm(x, &self.weight, self.eps)?)
    }
}

fn norm_optional(norm: Option<&Norm>, x: Tensor) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x),
        None => Ok(x),
    }
}
