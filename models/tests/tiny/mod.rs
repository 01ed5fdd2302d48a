//! Decoders of a few hundred kilobytes with repeatable random weights, written to disk as real
//! checkpoints are.

use std::collections::HashMap;
use std::io::BufWriter;
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use kura_models::spec::Architecture;
use kura_models::{ModelId, ModelKind, ModelSpec};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

pub(crate) const HIDDEN: usize = 64;
pub(crate) const HEADS: usize = 4;
pub(crate) const KV_HEADS: usize = 2;
pub(crate) const HEAD_DIM: usize = 16;
pub(crate) const FFN: usize = 96;
pub(crate) const LAYERS: usize = 7; // Gemma 3 then has one global layer among windowed ones
pub(crate) const CONTEXT: usize = 2048;
pub(crate) const WINDOW: usize = 24;
const VOCABULARY: usize = 259;
const PRINTABLE: usize = 94;
const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A checkpoint in the making; tests spoil it before they write it.
pub(crate) struct Tiny {
    pub(crate) arch: &'static str,
    pub(crate) metadata: Vec<(String, Value)>,
    pub(crate) tensors: Vec<(String, Tensor)>,
    pub(crate) dtype: GgmlDType,
}

impl Tiny {
    pub(crate) fn new(arch: &'static str) -> Self {
        Self {
            arch,
            metadata: metadata(arch),
            tensors: tensors(arch),
            dtype: GgmlDType::F32,
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.to_owned(), value));
    }

    /// Writes `model.gguf`. Matrices have the type `dtype`, vectors stay f32.
    pub(crate) fn write_gguf(&self, dir: &Path) {
        let quantized: Vec<(String, QTensor)> = self
            .tensors
            .iter()
            .map(|(name, tensor)| {
                let dtype = if tensor.rank() == 2 {
                    self.dtype
                } else {
                    GgmlDType::F32
                };
                let tensor = if self.arch == "llama" {
                    permuted(name, tensor)
                } else {
                    tensor.clone()
                };
                (name.clone(), QTensor::quantize(&tensor, dtype).unwrap())
            })
            .collect();
        let metadata: Vec<(&str, &Value)> =
            self.metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            quantized.iter().map(|(k, v)| (k.as_str(), v)).collect();
        let mut file = BufWriter::new(fs_err::File::create(dir.join("model.gguf")).unwrap());
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    }

    /// Writes `model.safetensors`, `config.json`, `tokenizer.json` and `tokenizer_config.json`.
    pub(crate) fn write_safetensors(&self, dir: &Path) {
        let tensors: HashMap<String, Tensor> = self
            .tensors
            .iter()
            .map(|(name, tensor)| (hub_name(name), tensor.clone()))
            .collect();
        candle_core::safetensors::save(&tensors, dir.join("model.safetensors")).unwrap();
        let config = serde_json::json!({
            "model_type": self.arch, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM,
            "rms_norm_eps": 1e-6, "max_position_embeddings": CONTEXT, "rope_theta": 10000.0,
            "hidden_act": "silu", "tie_word_embeddings": true,
        });
        fs_err::write(dir.join("config.json"), config.to_string()).unwrap();
        let vocab: serde_json::Map<String, serde_json::Value> = vocabulary()
            .into_iter()
            .enumerate()
            .map(|(id, token)| (token, id.into()))
            .collect();
        let tokenizer = serde_json::json!({
            "version": "1.0",
            "added_tokens": [special(256, "<|im_start|>"), special(257, "<|im_end|>")],
            "normalizer": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
            "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
            "model": {"type": "BPE", "vocab": vocab, "merges": [["Ġ", "Ġ"]]},
        });
        fs_err::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        let config = serde_json::json!({"chat_template": CHATML, "eos_token": "<|im_end|>"});
        fs_err::write(dir.join("tokenizer_config.json"), config.to_string()).unwrap();
    }
}

/// The registry entry of a tiny model.
pub(crate) fn spec(architecture: Architecture) -> ModelSpec {
    ModelSpec {
        id: ModelId("tiny".to_owned()),
        description: "random weights".to_owned(),
        license: "Apache-2.0".to_owned(),
        upstream: "none".to_owned(),
        languages: vec!["en".to_owned()],
        architecture,
        max_tokens: CONTEXT,
        kind: ModelKind::Generator {
            chat_template: None,
            stop_tokens: Vec::new(),
        },
        files: Vec::new(),
        sources: Vec::new(),
    }
}

/// The 256 bytes, two special tokens, and one merge.
fn vocabulary() -> Vec<String> {
    let mut bytes: Vec<String> = ByteLevel::alphabet()
        .into_iter()
        .map(String::from)
        .collect();
    bytes.sort();
    bytes.extend([
        "<|im_start|>".to_owned(),
        "<|im_end|>".to_owned(),
        "ĠĠ".to_owned(),
    ]);
    bytes
}

fn special(id: u32, content: &str) -> serde_json::Value {
    serde_json::json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
    })
}

fn metadata(arch: &str) -> Vec<(String, Value)> {
    let number = |n: usize| Value::U32(u32::try_from(n).unwrap());
    let texts = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
    let vocabulary = vocabulary();
    let kinds = (0..vocabulary.len())
        .map(|id| Value::I32(if id == 256 || id == 257 { 3 } else { 1 }))
        .collect();
    let mut all = vec![
        (
            "general.architecture".to_owned(),
            Value::String(arch.to_owned()),
        ),
        (
            "tokenizer.ggml.model".to_owned(),
            Value::String("gpt2".to_owned()),
        ),
        (
            "tokenizer.ggml.pre".to_owned(),
            Value::String("gpt-2".to_owned()),
        ),
        (
            "tokenizer.ggml.merges".to_owned(),
            texts(vec!["Ġ Ġ".to_owned()]),
        ),
        ("tokenizer.ggml.token_type".to_owned(), Value::Array(kinds)),
        ("tokenizer.ggml.eos_token_id".to_owned(), number(257)),
        ("tokenizer.ggml.tokens".to_owned(), texts(vocabulary)),
        (
            "tokenizer.chat_template".to_owned(),
            Value::String(CHATML.to_owned()),
        ),
    ];
    let mut own = |name: &str, value: Value| all.push((format!("{arch}.{name}"), value));
    own("block_count", number(LAYERS));
    own("context_length", number(CONTEXT));
    own("embedding_length", number(HIDDEN));
    own("feed_forward_length", number(FFN));
    own("attention.head_count", number(HEADS));
    own("attention.head_count_kv", number(KV_HEADS));
    own("attention.key_length", number(HEAD_DIM));
    own("attention.value_length", number(HEAD_DIM));
    own("attention.layer_norm_rms_epsilon", Value::F32(1e-6));
    own("rope.freq_base", Value::F32(10_000.0));
    own("rope.dimension_count", number(HEAD_DIM));
    if arch == "gemma3" {
        own("attention.sliding_window", number(WINDOW));
    }
    all
}

/// All tensors under their GGUF names.
fn tensors(arch: &str) -> Vec<(String, Tensor)> {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut all = Vec::new();
    let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    all.push(("token_embd.weight".to_owned(), random.vocabulary()));
    all.push(("output_norm.weight".to_owned(), random.norm(HIDDEN)));
    if arch == "phi3" {
        all.push(("output.weight".to_owned(), random.vocabulary()));
    }
    for layer in 0..LAYERS {
        let mut push =
            |name: &str, tensor: Tensor| all.push((format!("blk.{layer}.{name}"), tensor));
        push("attn_norm.weight", random.norm(HIDDEN));
        push("ffn_norm.weight", random.norm(HIDDEN));
        push("attn_output.weight", random.matrix(HIDDEN, q));
        push("ffn_down.weight", random.matrix(HIDDEN, FFN));
        if arch == "phi3" {
            push("attn_qkv.weight", random.matrix(q + 2 * kv, HIDDEN));
            push("ffn_up.weight", random.matrix(2 * FFN, HIDDEN));
            continue;
        }
        push("attn_q.weight", random.matrix(q, HIDDEN));
        push("attn_k.weight", random.matrix(kv, HIDDEN));
        push("attn_v.weight", random.matrix(kv, HIDDEN));
        push("ffn_up.weight", random.matrix(FFN, HIDDEN));
        push("ffn_gate.weight", random.matrix(FFN, HIDDEN));
        if arch == "qwen2" {
            push("attn_q.bias", random.norm(q));
            push("attn_k.bias", random.norm(kv));
            push("attn_v.bias", random.norm(kv));
        }
        if matches!(arch, "qwen3" | "gemma3") {
            push("attn_q_norm.weight", random.norm(HEAD_DIM));
            push("attn_k_norm.weight", random.norm(HEAD_DIM));
        }
        if arch == "gemma3" {
            push("post_attention_norm.weight", random.norm(HIDDEN));
            push("post_ffw_norm.weight", random.norm(HIDDEN));
        }
    }
    all
}

/// xorshift64*: the numbers must never change, or the expected answers would.
struct Random(u64);

impl Random {
    /// Vectors of the vocabulary. Those of printable ASCII, which comes first, are the longest: greedy
    /// answers consist of it, whatever the other weights are.
    fn vocabulary(&mut self) -> Tensor {
        let tensor = self.matrix(VOCABULARY, HIDDEN);
        let printable = tensor.narrow(0, 0, PRINTABLE).unwrap();
        let rest = tensor.narrow(0, PRINTABLE, VOCABULARY - PRINTABLE).unwrap();
        Tensor::cat(&[&printable, &(rest * 0.1).unwrap()], 0).unwrap()
    }

    fn matrix(&mut self, rows: usize, columns: usize) -> Tensor {
        let numbers = (0..rows * columns)
            .map(|_| self.next() * 0.6)
            .collect::<Vec<f32>>();
        Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).unwrap()
    }

    fn norm(&mut self, length: usize) -> Tensor {
        let numbers = (0..length).map(|_| 1.0 + self.next()).collect::<Vec<f32>>();
        Tensor::from_vec(numbers, length, &Device::Cpu).unwrap()
    }

    /// Uniform in [-0.5, 0.5).
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
        bits as f32 / (1u32 << 24) as f32 - 0.5
    }
}

/// Reorders the rows of a Llama's queries and keys as GGUF files have them: halves interleaved.
fn permuted(name: &str, tensor: &Tensor) -> Tensor {
    let heads = if name.ends_with("attn_q.weight") {
        HEADS
    } else if name.ends_with("attn_k.weight") {
        KV_HEADS
    } else {
        return tensor.clone();
    };
    let halves = tensor.reshape((heads, 2, HEAD_DIM / 2, HIDDEN)).unwrap();
    halves
        .transpose(1, 2)
        .unwrap()
        .reshape(tensor.shape())
        .unwrap()
}

fn hub_name(name: &str) -> String {
    let parts = [
        ("token_embd", "model.embed_tokens"),
        ("output_norm", "model.norm"),
        ("blk.", "model.layers."),
        ("attn_q_norm", "self_attn.q_norm"),
        ("attn_k_norm", "self_attn.k_norm"),
        ("attn_norm", "input_layernorm"),
        ("ffn_norm", "post_attention_layernorm"),
        ("attn_output", "self_attn.o_proj"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ];
    parts
        .iter()
        .fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}
