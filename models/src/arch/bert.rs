//! BERT and XLM-RoBERTa without padding.
//!
//! All tokens of a call are packed into one matrix `[tokens, hidden]`; query, key and value come from one product, and
//! only attention looks at sequences one by one. Compared with a padded batch this saves the work on padding and the
//! mask, and a sequence's result does not depend on its neighbors.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

use super::kernels::{add_bias, add_bias_gelu, residual_norm, scaled_softmax};
use super::{Encoder, Weights};
use crate::tokenizer::Sequence;

/// Query rows per attention product: bounds the memory of long inputs (heads × 512 × length scores).
const QUERY_BLOCK: usize = 512;

/// `config.json`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    #[serde(default)]
    pad_token_id: u32,
    #[serde(default = "gelu")]
    hidden_act: String,
}

fn gelu() -> String {
    "gelu".to_owned()
}

pub(crate) struct Bert {
    words: Tensor,
    positions: Tensor,
    types: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    /// Position of the first token: XLM-R counts from behind the padding id.
    first_position: u32,
    /// Type ids above this one are lowered to it; XLM-R does not tell the texts of a pair apart.
    last_type: u32,
    dtype: DType,
    device: Device,
}

struct Layer {
    qkv: Dense,
    attention_output: DenseNorm,
    up: Dense,
    output: DenseNorm,
}

struct Dense {
    /// `[in, out]`, a view of the stored `[out, in]`.
    weight: Tensor,
    bias: Tensor,
}

/// A product, its residual connection and the normalization of the sum.
struct DenseNorm {
    /// `[in, out]`, a view of the stored `[out, in]`.
    weight: Tensor,
    /// `[3, out]`: the product's bias, the normalization's weight and shift.
    parameters: Tensor,
    epsilon: f32,
}

struct Norm {
    weight: Tensor,
    shift: Tensor,
    epsilon: f32,
}

impl Bert {
    /// Loads the encoder; f32 on the CPU, f16 on a GPU.
    pub(crate) fn load(
        config: &Config,
        weights: &Weights,
        roberta: bool,
        device: &Device,
    ) -> crate::Result<Self> {
        if config.hidden_act != "gelu" {
            let reason = format!(
                "activation `{}` is not known; only `gelu` is",
                config.hidden_act
            );
            return Err(candle_core::Error::Msg(reason).into());
        }
        let dtype = if device.is_cpu() {
            DType::F32
        } else {
            DType::F16
        };
        let root = weights.open(dtype, device)?;
        let table = "embeddings.word_embeddings.weight";
        let prefix = ["", "bert.", "roberta."]
            .into_iter()
            .find(|p| root.contains_tensor(&format!("{p}{table}")));
        let prefix = prefix.unwrap_or_default();
        // A large vocabulary stays in the file's type; only the rows that are used are widened.
        let table_dtype = match weights.stored_dtype(&format!("{prefix}{table}"))? {
            Some(stored @ (DType::F16 | DType::BF16)) => stored,
            _ => dtype,
        };
        let vb = if prefix.is_empty() {
            root
        } else {
            root.pp(prefix.trim_end_matches('.'))
        };
        Ok(Self::build(config, &vb, table_dtype, roberta)?)
    }

    fn build(
        config: &Config,
        vb: &VarBuilder<'_>,
        table_dtype: DType,
        roberta: bool,
    ) -> Result<Self> {
        let (h, ffn) = (config.hidden_size, config.intermediate_size);
        let e = vb.pp("embeddings");
        let words = e.pp("word_embeddings").get_with_hints_dtype(
            (config.vocab_size, h),
            "weight",
            candle_nn::Init::default(),
            table_dtype,
        )?;
        let layers = (0..config.num_hidden_layers).map(|n| {
            let l = vb.pp(format!("encoder.layer.{n}"));
            let attention = l.pp("attention");
            Ok(Layer {
                qkv: Dense::load_fused(h, &attention.pp("self"), &["query", "key", "value"])?,
                attention_output: DenseNorm::load(
                    h,
                    h,
                    config.layer_norm_eps,
                    &attention.pp("output"),
                )?,
                up: Dense::load(h, ffn, &l.pp("intermediate.dense"))?,
                output: DenseNorm::load(ffn, h, config.layer_norm_eps, &l.pp("output"))?,
            })
        });
        Ok(Self {
            words,
            positions: e.get(
                (config.max_position_embeddings, h),
                "position_embeddings.weight",
            )?,
            types: e.get((config.type_vocab_size, h), "token_type_embeddings.weight")?,
            norm: Norm::load(h, config.layer_norm_eps, &e.pp("LayerNorm"))?,
            layers: layers.collect::<Result<_>>()?,
            heads: config.num_attention_heads,
            first_position: if roberta { config.pad_token_id + 1 } else { 0 },
            last_type: if roberta {
                0
            } else {
                u32::try_from(config.type_vocab_size)?.saturating_sub(1)
            },
            dtype: vb.dtype(),
            device: vb.device().clone(),
        })
    }

    fn embed(&self, sequences: &[&Sequence]) -> Result<Tensor> {
        let ids: Vec<u32> = sequences
            .iter()
            .flat_map(|s| s.ids.iter().copied())
            .collect();
        let types: Vec<u32> = sequences
            .iter()
            .flat_map(|s| s.types.iter().map(|&t| t.min(self.last_type)))
            .collect();
        let positions: Vec<u32> = sequences
            .iter()
            .flat_map(|s| (self.first_position..).take(s.len()))
            .collect();
        let n = ids.len();
        let rows = |table: &Tensor, index: Vec<u32>| {
            table
                .index_select(&Tensor::from_vec(index, n, &self.device)?, 0)?
                .to_dtype(self.dtype)
        };
        let sum = (rows(&self.words, ids)? + rows(&self.positions, positions)?)?;
        let sum = (sum + rows(&self.types, types)?)?;
        candle_nn::ops::layer_norm(&sum, &self.norm.weight, &self.norm.shift, self.norm.epsilon)
    }

    /// Attention of one sequence: `qkv [tokens, 3 × hidden]` to `[tokens, hidden]`.
    fn attend(&self, qkv: &Tensor) -> Result<Tensor> {
        let (tokens, width) = qkv.dims2()?;
        let (hidden, head) = (width / 3, width / 3 / self.heads);
        let split = qkv
            .reshape((tokens, 3, self.heads, head))?
            .permute((1, 2, 0, 3))?;
        // CPU products read through strides; the GPU's want rows without gaps.
        let part = |n| {
            let part = split.get(n)?;
            if self.device.is_cpu() {
                Ok(part)
            } else {
                part.contiguous()
            }
        };
        let (q, k, v) = (part(0)?, part(1)?.transpose(1, 2)?, part(2)?);
        #[expect(clippy::cast_precision_loss, reason = "head sizes are small")]
        let scale = 1.0 / (head as f32).sqrt();
        let blocks = (0..tokens).step_by(QUERY_BLOCK).map(|start| {
            let rows = q.narrow(1, start, QUERY_BLOCK.min(tokens - start))?;
            scaled_softmax(rows.matmul(&k)?, scale)?.matmul(&v)
        });
        let blocks = blocks.collect::<Result<Vec<_>>>()?;
        let context = if let [one] = blocks.as_slice() {
            one.clone()
        } else {
            Tensor::cat(&blocks, 1)?
        };
        context.transpose(0, 1)?.reshape((tokens, hidden))
    }
}

impl Encoder for Bert {
    fn encode(&self, sequences: &[&Sequence]) -> Result<Vec<Tensor>> {
        let starts: Vec<usize> = sequences
            .iter()
            .scan(0, |next, s| {
                let start = *next;
                *next += s.len();
                Some(start)
            })
            .collect();
        let mut x = self.embed(sequences)?;
        for layer in &self.layers {
            let qkv = add_bias(x.matmul(&layer.qkv.weight)?, &layer.qkv.bias)?;
            let contexts = sequences
                .iter()
                .zip(&starts)
                .map(|(s, &start)| self.attend(&qkv.narrow(0, start, s.len())?));
            let context = Tensor::cat(&contexts.collect::<Result<Vec<_>>>()?, 0)?;
            x = layer.attention_output.forward(&context, &x)?;
            let up = add_bias_gelu(x.matmul(&layer.up.weight)?, &layer.up.bias)?;
            x = layer.output.forward(&up, &x)?;
        }
        sequences
            .iter()
            .zip(&starts)
            .map(|(s, &start)| x.narrow(0, start, s.len()))
            .collect()
    }

    fn pads(&self) -> bool {
        false
    }
}

impl Dense {
    fn load(input: usize, output: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            weight: vb.get((output, input), "weight")?.t()?.contiguous()?,
            bias: vb.get(output, "bias")?,
        })
    }

    /// Puts several square products with the same input into one.
    fn load_fused(size: usize, vb: &VarBuilder<'_>, names: &[&str]) -> Result<Self> {
        let get = |what: &str, shape: &[usize]| {
            let parts = names.iter().map(|name| vb.pp(name).get(shape, what));
            Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)
        };
        Ok(Self {
            weight: get("weight", &[size, size])?.t()?.contiguous()?,
            bias: get("bias", &[size])?,
        })
    }
}

impl DenseNorm {
    fn load(input: usize, output: usize, epsilon: f64, vb: &VarBuilder<'_>) -> Result<Self> {
        let Dense { weight, bias } = Dense::load(input, output, &vb.pp("dense"))?;
        let norm = Norm::load(output, epsilon, &vb.pp("LayerNorm"))?;
        let parameters = Tensor::stack(&[&bias, &norm.weight, &norm.shift], 0)?;
        Ok(Self {
            weight,
            parameters,
            epsilon: norm.epsilon,
        })
    }

    fn forward(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        residual_norm(
            x.matmul(&self.weight)?,
            residual,
            &self.parameters,
            self.epsilon,
        )
    }
}

impl Norm {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an f32 is what the sum is computed in"
    )]
    fn load(size: usize, epsilon: f64, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            weight: vb.get(size, "weight")?,
            shift: vb.get(size, "bias")?,
            epsilon: epsilon as f32,
        })
    }
}
