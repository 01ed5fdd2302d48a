//! Weights of a decoder by GGUF name, from a GGUF file or from safetensors.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{D, DType, Device, Module as _, Tensor};

use crate::gguf::Gguf;
use crate::spec::ModelId;
use crate::{Error, Result};

/// The fast CPU kernels take rows in tiles of this many columns.
const TILE_COLUMNS: usize = 256;

/// Where weights come from. Tensors are asked for by their GGUF names without `.weight`.
pub(crate) struct Weights {
    source: Source,
    device: Device,
    used: HashSet<String>,
    requantized: HashSet<GgmlDType>,
}

enum Source {
    Gguf(Gguf),
    Dense(HashMap<String, Tensor>),
}

impl Weights {
    pub(crate) fn gguf(gguf: Gguf, device: &Device) -> Self {
        Self::new(Source::Gguf(gguf), device)
    }

    /// Reads all tensors of safetensors files: f32 on the CPU, where other types are slower, as stored
    /// elsewhere.
    ///
    /// # Errors
    /// [`Error::Malformed`] naming the file.
    pub(crate) fn safetensors(paths: &[impl AsRef<Path>], device: &Device) -> Result<Self> {
        let mut all = HashMap::new();
        for path in paths {
            let path = path.as_ref();
            let malformed = |error: candle_core::Error| Error::Malformed {
                path: path.to_owned(),
                reason: error.to_string(),
            };
            for (name, tensor) in
                candle_core::safetensors::load(path, &Device::Cpu).map_err(malformed)?
            {
                let tensor = if device.is_cpu() {
                    tensor.to_dtype(DType::F32)
                } else {
                    tensor.to_device(device)
                };
                all.insert(name, tensor.map_err(malformed)?);
            }
        }
        Ok(Self::new(Source::Dense(all), device))
    }

    fn new(source: Source, device: &Device) -> Self {
        Self {
            source,
            device: device.clone(),
            used: HashSet::new(),
            requantized: HashSet::new(),
        }
    }

    /// Returns whether there is a weight of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Gguf(gguf) => gguf.has_tensor(&format!("{name}.weight")),
            Source::Dense(tensors) => tensors.contains_key(&hub_name(&format!("{name}.weight"))),
        }
    }

    /// Returns a weight vector in f32.
    pub(crate) fn vector(&mut self, name: &str) -> Result<Tensor> {
        self.small(&format!("{name}.weight"))
    }

    /// Returns a linear layer with its bias, if it has one.
    pub(crate) fn linear(&mut self, name: &str) -> Result<Linear> {
        let bias = format!("{name}.bias");
        let has_bias = match &self.source {
            Source::Gguf(gguf) => gguf.has_tensor(&bias),
            Source::Dense(tensors) => tensors.contains_key(&hub_name(&bias)),
        };
        let bias = if has_bias {
            Some(self.small(&bias)?)
        } else {
            None
        };
        let weight = format!("{name}.weight");
        self.used.insert(weight.clone());
        let (weight, padding) = match &mut self.source {
            Source::Gguf(gguf) => {
                let tensor = gguf.tensor(&weight, &self.device)?;
                let (tensor, padding) = self.fast(Arc::new(tensor))?;
                (Matrix::quantized(tensor)?, padding)
            }
            Source::Dense(_) => (Matrix::Dense(self.dense(&weight)?), 0),
        };
        Ok(Linear {
            weight,
            bias,
            padding,
        })
    }

    /// Returns the token embedding and the output layer, which may share one table.
    pub(crate) fn embedding_and_output(&mut self) -> Result<(Embedding, Linear)> {
        let name = "token_embd.weight";
        self.used.insert(name.to_owned());
        let tied = !self.has("output");
        match &mut self.source {
            Source::Gguf(gguf) => {
                let table = Arc::new(gguf.tensor(name, &self.device)?);
                let output = if tied {
                    let (weight, padding) = self.fast(Arc::clone(&table))?;
                    Linear {
                        weight: Matrix::quantized(weight)?,
                        bias: None,
                        padding,
                    }
                } else {
                    self.linear("output")?
                };
                Ok((Embedding::Quantized(table), output))
            }
            Source::Dense(_) => {
                let table = self.dense(name)?;
                let output = if tied {
                    Linear {
                        weight: Matrix::Dense(table.clone()),
                        bias: None,
                        padding: 0,
                    }
                } else {
                    self.linear("output")?
                };
                Ok((Embedding::Dense(table), output))
            }
        }
    }

    /// Notes that the tensor, if there is one, is used elsewhere or not needed.
    pub(crate) fn skip(&mut self, name: &str) {
        self.used.insert(format!("{name}.weight"));
    }

    /// Checks that the model used every tensor there is: one left over means that the architecture has
    /// a part that was not computed.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming a tensor.
    pub(crate) fn finish(self, id: &ModelId) -> Result<()> {
        if !self.requantized.is_empty() {
            tracing::warn!(
                model = %id,
                types = ?self.requantized,
                "weights of types or row lengths without fast CPU kernels were converted to Q8_0 at load; \
                 a Q4_K_M file of this model would be faster and smaller"
            );
        }
        let left = match &self.source {
            Source::Gguf(gguf) => gguf
                .tensor_names()
                .filter(|name| !self.used.contains(*name))
                .min()
                .map(str::to_owned),
            Source::Dense(tensors) => {
                let used: HashSet<String> = self.used.iter().map(|name| hub_name(name)).collect();
                // Some old checkpoints store the rotary frequencies, which are recomputed here.
                tensors
                    .keys()
                    .filter(|name| !used.contains(*name) && !name.ends_with("rotary_emb.inv_freq"))
                    // A tied output layer is sometimes stored all the same.
                    .filter(|name| name.as_str() != "lm_head.weight")
                    .min()
                    .cloned()
            }
        };
        match left {
            None => Ok(()),
            Some(name) => Err(Error::Unsupported {
                id: id.0.clone(),
                reason: format!("tensor `{name}` belongs to no known part of this architecture"),
            }),
        }
    }

    fn small(&mut self, name: &str) -> Result<Tensor> {
        self.used.insert(name.to_owned());
        match &mut self.source {
            Source::Gguf(gguf) => Ok(gguf.tensor(name, &self.device)?.dequantize(&self.device)?),
            Source::Dense(_) => Ok(self.dense(name)?.to_dtype(DType::F32)?),
        }
    }

    fn dense(&self, name: &str) -> Result<Tensor> {
        let name = hub_name(name);
        match &self.source {
            Source::Dense(tensors) => tensors.get(&name).cloned().ok_or_else(|| {
                candle_core::Error::msg(format!("tensor `{name}` is missing")).into()
            }),
            Source::Gguf(_) => {
                Err(candle_core::Error::msg("a GGUF file has no dense tensors").into())
            }
        }
    }

    /// Converts a weight without a fast CPU kernel to `Q8_0`, its rows zero-padded to whole tiles.
    ///
    /// Candle's tiled kernels take `Q4_K`, `Q6_K` and `Q8_0` with rows of a multiple of 256 columns; its
    /// kernels for `Q4_1`, `Q5_0` and `Q5_1` are scalar and up to fifty times slower. Returns the padding.
    fn fast(&mut self, tensor: Arc<QTensor>) -> Result<(Arc<QTensor>, usize)> {
        let (_, columns) = tensor.shape().dims2()?;
        let padding = columns.next_multiple_of(TILE_COLUMNS) - columns;
        let dtype = tensor.dtype();
        let slow = match dtype {
            GgmlDType::Q4_0 | GgmlDType::Q4_1 | GgmlDType::Q5_0 | GgmlDType::Q5_1 => true,
            GgmlDType::Q8_0 => padding > 0,
            GgmlDType::F32
            | GgmlDType::F16
            | GgmlDType::BF16
            | GgmlDType::Q8_1
            | GgmlDType::Q2K
            | GgmlDType::Q3K
            | GgmlDType::Q4K
            | GgmlDType::Q5K
            | GgmlDType::Q6K
            | GgmlDType::Q8K => false,
        };
        if !slow || !self.device.is_cpu() {
            return Ok((tensor, 0));
        }
        self.requantized.insert(dtype);
        let dense = tensor
            .dequantize(&self.device)?
            .pad_with_zeros(D::Minus1, 0, padding)?;
        Ok((
            Arc::new(QTensor::quantize(&dense, GgmlDType::Q8_0)?),
            padding,
        ))
    }
}

/// `y = x Wᵀ + b`.
pub(crate) struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
    /// Zero columns that the weight has at its end.
    padding: usize,
}

enum Matrix {
    Quantized(QMatMul),
    /// `(out, in)`, in the type it is stored in.
    Dense(Tensor),
}

impl Matrix {
    fn quantized(tensor: Arc<QTensor>) -> Result<Self> {
        Ok(Self::Quantized(QMatMul::from_arc(tensor)?))
    }
}

impl Linear {
    /// Maps `(tokens, in)` to `(tokens, out)`, f32.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.weight {
            Matrix::Quantized(weight) if self.padding > 0 => {
                weight.forward(&x.pad_with_zeros(D::Minus1, 0, self.padding)?)?
            }
            Matrix::Quantized(weight) => weight.forward(x)?,
            Matrix::Dense(weight) => x
                .to_dtype(weight.dtype())?
                .matmul(&weight.t()?)?
                .to_dtype(DType::F32)?,
        };
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }
}

/// A table of token vectors, looked up in the type it is stored in.
pub(crate) enum Embedding {
    Quantized(Arc<QTensor>),
    Dense(Tensor),
}

impl Embedding {
    /// Maps `(tokens)` of u32 to `(tokens, hidden)` of f32.
    pub(crate) fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Quantized(table) => table.embedding(tokens)?,
            Self::Dense(table) => table.index_select(tokens, 0)?.to_dtype(DType::F32)?,
        })
    }
}

/// Returns the name that a tensor has in safetensors files of the transformers library.
fn hub_name(name: &str) -> String {
    let Some((block, rest)) = name
        .strip_prefix("blk.")
        .and_then(|name| name.split_once('.'))
    else {
        return match name {
            "token_embd.weight" => "model.embed_tokens.weight".to_owned(),
            "output_norm.weight" => "model.norm.weight".to_owned(),
            "output.weight" => "lm_head.weight".to_owned(),
            other => other.to_owned(),
        };
    };
    let (part, kind) = rest.split_once('.').unwrap_or((rest, ""));
    let part = match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        other => other,
    };
    format!("model.layers.{block}.{part}.{kind}")
}
