//! Small model folders with random weights (seeded), in the layout of the published ones.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use kura_models::{Installed, Registry};
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// Texts of mixed lengths; the longest goes beyond ModernBERT's window and is cut by `max_tokens`.
pub(crate) const TEXTS: [&str; 5] = [
    "the backup of the server runs every night",
    "leave",
    "how do I request annual leave",
    "every night the server runs the backup and every day the leave is on the server of the night of the day",
    "annual the of every day and night and leave and server and backup on the day of the request how do I request the \
     annual backup of every server and the leave of every day and night on the server of the annual request",
];

const WORDS: &str = "<pad> <s> </s> <unk> the backup of server runs every night leave how do I request annual and day is on when";
const MAX_TOKENS: usize = 40;
const HIDDEN: usize = 32;
const FFN: usize = 48;
const HEADS: usize = 4;
const LAYERS: usize = 3;

/// A model folder in memory.
pub(crate) struct Checkpoint {
    pub(crate) config: Value,
    pub(crate) tensors: HashMap<String, Tensor>,
    architecture: &'static str,
}

impl Checkpoint {
    /// A BERT encoder; with `bert.` as prefix a classifier too.
    pub(crate) fn bert(prefix: &str) -> Self {
        let mut tensors = bert_like(prefix, 64);
        if !prefix.is_empty() {
            dense(
                &mut tensors,
                &format!("{prefix}pooler.dense"),
                HIDDEN,
                HIDDEN,
            );
            dense(&mut tensors, "classifier", HIDDEN, 1);
        }
        Self {
            config: bert_config("bert", 64),
            tensors,
            architecture: "bert",
        }
    }

    /// An XLM-RoBERTa encoder; with `roberta.` as prefix a classifier too.
    pub(crate) fn xlm_roberta(prefix: &str) -> Self {
        let mut tensors = bert_like(prefix, 66);
        if !prefix.is_empty() {
            dense(&mut tensors, "classifier.dense", HIDDEN, HIDDEN);
            dense(&mut tensors, "classifier.out_proj", HIDDEN, 1);
        }
        Self {
            config: bert_config("xlm-roberta", 66),
            tensors,
            architecture: "xlm_roberta",
        }
    }

    /// A ModernBERT encoder, or a classifier with two labels.
    pub(crate) fn modernbert(classifier: bool) -> Self {
        let mut tensors = HashMap::new();
        let p = if classifier { "model." } else { "" };
        random(
            &mut tensors,
            &format!("{p}embeddings.tok_embeddings.weight"),
            &[vocabulary(), HIDDEN],
        );
        norm(&mut tensors, &format!("{p}embeddings.norm"), false);
        norm(&mut tensors, &format!("{p}final_norm"), false);
        for l in 0..LAYERS {
            let p = format!("{p}layers.{l}");
            if l > 0 {
                norm(&mut tensors, &format!("{p}.attn_norm"), false);
            }
            norm(&mut tensors, &format!("{p}.mlp_norm"), false);
            random(
                &mut tensors,
                &format!("{p}.attn.Wqkv.weight"),
                &[3 * HIDDEN, HIDDEN],
            );
            random(
                &mut tensors,
                &format!("{p}.attn.Wo.weight"),
                &[HIDDEN, HIDDEN],
            );
            random(
                &mut tensors,
                &format!("{p}.mlp.Wi.weight"),
                &[2 * FFN, HIDDEN],
            );
            random(&mut tensors, &format!("{p}.mlp.Wo.weight"), &[HIDDEN, FFN]);
        }
        let mut config = json!({
            "vocab_size": vocabulary(), "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "intermediate_size": FFN, "max_position_embeddings": 64,
            "layer_norm_eps": 1e-5, "norm_eps": 1e-5, "pad_token_id": 0, "global_attn_every_n_layers": 2,
            "global_rope_theta": 160_000.0, "local_attention": 8, "local_rope_theta": 10_000.0,
        });
        if classifier {
            random(&mut tensors, "head.dense.weight", &[HIDDEN, HIDDEN]);
            norm(&mut tensors, "head.norm", false);
            dense(&mut tensors, "classifier", HIDDEN, 2);
            config["classifier_pooling"] = json!("mean");
            config["id2label"] = json!({"0": "no", "1": "yes"});
            config["label2id"] = json!({"no": "0", "yes": "1"});
        }
        Self {
            config,
            tensors,
            architecture: "modern_bert",
        }
    }

    /// A Qwen3 decoder without head.
    pub(crate) fn qwen3() -> Self {
        let mut tensors = HashMap::new();
        let (head, kv) = (HIDDEN / HEADS, 2);
        random(&mut tensors, "embed_tokens.weight", &[vocabulary(), HIDDEN]);
        norm(&mut tensors, "norm", false);
        for l in 0..LAYERS {
            let p = format!("layers.{l}");
            norm(&mut tensors, &format!("{p}.input_layernorm"), false);
            norm(
                &mut tensors,
                &format!("{p}.post_attention_layernorm"),
                false,
            );
            random(
                &mut tensors,
                &format!("{p}.self_attn.q_norm.weight"),
                &[head],
            );
            random(
                &mut tensors,
                &format!("{p}.self_attn.k_norm.weight"),
                &[head],
            );
            random(
                &mut tensors,
                &format!("{p}.self_attn.q_proj.weight"),
                &[HEADS * head, HIDDEN],
            );
            random(
                &mut tensors,
                &format!("{p}.self_attn.k_proj.weight"),
                &[kv * head, HIDDEN],
            );
            random(
                &mut tensors,
                &format!("{p}.self_attn.v_proj.weight"),
                &[kv * head, HIDDEN],
            );
            random(
                &mut tensors,
                &format!("{p}.self_attn.o_proj.weight"),
                &[HIDDEN, HEADS * head],
            );
            random(
                &mut tensors,
                &format!("{p}.mlp.gate_proj.weight"),
                &[FFN, HIDDEN],
            );
            random(
                &mut tensors,
                &format!("{p}.mlp.up_proj.weight"),
                &[FFN, HIDDEN],
            );
            random(
                &mut tensors,
                &format!("{p}.mlp.down_proj.weight"),
                &[HIDDEN, FFN],
            );
        }
        let config = json!({
            "vocab_size": vocabulary(), "hidden_size": HIDDEN, "intermediate_size": FFN,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "head_dim": head, "attention_bias": false,
            "num_key_value_heads": kv, "max_position_embeddings": 64, "sliding_window": null,
            "max_window_layers": LAYERS, "tie_word_embeddings": true, "rope_theta": 1e6, "rms_norm_eps": 1e-6,
            "use_sliding_window": false, "hidden_act": "silu",
        });
        Self {
            config,
            tensors,
            architecture: "qwen3",
        }
    }

    /// Imports it as an embedder. The folder lives as long as the first value.
    pub(crate) fn install_embedder(&self, pooling: &str) -> (tempfile::TempDir, Installed) {
        let kind = format!(
            "{{ embedder = {{ dim = {HIDDEN}, pooling = \"{pooling}\", query_prompt = \"\", document_prompt = \"\" }} }}"
        );
        self.install(&kind)
    }

    /// Imports it as a reranker.
    pub(crate) fn install_reranker(&self) -> (tempfile::TempDir, Installed) {
        self.install("\"reranker\"")
    }

    fn install(&self, kind: &str) -> (tempfile::TempDir, Installed) {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("tiny");
        fs_err::create_dir(&from).unwrap();
        fs_err::write(from.join("config.json"), self.config.to_string()).unwrap();
        fs_err::write(from.join("tokenizer.json"), tokenizer().to_string()).unwrap();
        candle_core::safetensors::save(&self.tensors, from.join("model.safetensors")).unwrap();
        let models = dir.path().join("models");
        fs_err::create_dir(&models).unwrap();
        let entry = format!(
            r#"
            [[model]]
            id = "tiny"
            description = "random weights"
            license = "MIT"
            upstream = "none"
            languages = []
            architecture = "{}"
            max_tokens = {MAX_TOKENS}
            kind = {kind}
            files = [{{ name = "config.json" }}, {{ name = "model.safetensors" }}, {{ name = "tokenizer.json" }}]
            sources = []
            "#,
            self.architecture
        );
        fs_err::write(models.join("registry.toml"), entry).unwrap();
        let installed = Registry::open(&models)
            .unwrap()
            .import(&from)
            .unwrap()
            .remove(0);
        (dir, installed)
    }

    /// Ids, mask and lengths of padded texts, as the published models are called.
    pub(crate) fn batch(&self, texts: &[&str]) -> (Tensor, Tensor, Vec<usize>) {
        let rows = texts.iter().map(|t| {
            let mut ids = words(t);
            ids.truncate(MAX_TOKENS - 2);
            ids.insert(0, 1);
            ids.push(2);
            ids
        });
        let rows: Vec<Vec<u32>> = rows.collect();
        let lengths = rows.iter().map(Vec::len).collect();
        let (ids, mask) = pad(&rows);
        (ids, mask, lengths)
    }

    /// Ids, mask, type ids and lengths of padded pairs `<s> query </s> text </s>`.
    pub(crate) fn pairs(
        &self,
        query: &str,
        texts: &[&str],
    ) -> (Tensor, Tensor, Tensor, Vec<usize>) {
        let query = words(query);
        let (mut rows, mut types) = (Vec::new(), Vec::new());
        for text in texts {
            let mut text = words(text);
            text.truncate(MAX_TOKENS - 3 - query.len());
            let first = query.len() + 2;
            let second = text.len() + 1;
            rows.push([&[1], query.as_slice(), &[2], &text, &[2]].concat());
            types.push([vec![0; first], vec![1; second]].concat());
        }
        let lengths = rows.iter().map(Vec::len).collect();
        let (ids, mask) = pad(&rows);
        (ids, mask, pad(&types).0, lengths)
    }
}

fn pad(rows: &[Vec<u32>]) -> (Tensor, Tensor) {
    let longest = rows.iter().map(Vec::len).max().unwrap();
    let tensor = |cell: &dyn Fn(&Vec<u32>, usize) -> u32| {
        let cells: Vec<u32> = rows
            .iter()
            .flat_map(|r| (0..longest).map(|n| cell(r, n)).collect::<Vec<_>>())
            .collect();
        Tensor::from_vec(cells, (rows.len(), longest), &Device::Cpu).unwrap()
    };
    (
        tensor(&|r, n| r.get(n).copied().unwrap_or(0)),
        tensor(&|r, n| u32::from(n < r.len())),
    )
}

fn vocabulary() -> usize {
    WORDS.split(' ').count()
}

fn words(text: &str) -> Vec<u32> {
    let id = |word: &str| WORDS.split(' ').position(|w| w == word).unwrap_or(3);
    text.split_whitespace()
        .map(|w| u32::try_from(id(w)).unwrap())
        .collect()
}

fn tokenizer() -> Value {
    let vocab: serde_json::Map<String, Value> = WORDS
        .split(' ')
        .enumerate()
        .map(|(id, word)| (word.to_owned(), json!(id)))
        .collect();
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "special": true, "normalized": false,
        "single_word": false, "lstrip": false, "rstrip": false})
    };
    let token = |t: &str, n: u32| json!({"SpecialToken": {"id": t, "type_id": n}});
    json!({
        "version": "1.0",
        // Published tokenizers bring settings like these; kura must not use them.
        "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"},
        "added_tokens": [special(0, "<pad>"), special(1, "<s>"), special(2, "</s>"), special(3, "<unk>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "decoder": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [token("<s>", 0), {"Sequence": {"id": "A", "type_id": 0}}, token("</s>", 0)],
            "pair": [token("<s>", 0), {"Sequence": {"id": "A", "type_id": 0}}, token("</s>", 0), {"Sequence": {"id": "B", "type_id": 1}}, token("</s>", 1)],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    })
}

fn bert_config(model_type: &str, positions: usize) -> Value {
    json!({
        "model_type": model_type, "vocab_size": vocabulary(), "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "intermediate_size": FFN, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1, "max_position_embeddings": positions, "type_vocab_size": 2,
        "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0, "position_embedding_type": "absolute",
        "use_cache": true, "classifier_dropout": null, "id2label": {"0": "LABEL_0"},
    })
}

fn bert_like(prefix: &str, positions: usize) -> HashMap<String, Tensor> {
    let mut t = HashMap::new();
    random(
        &mut t,
        &format!("{prefix}embeddings.word_embeddings.weight"),
        &[vocabulary(), HIDDEN],
    );
    random(
        &mut t,
        &format!("{prefix}embeddings.position_embeddings.weight"),
        &[positions, HIDDEN],
    );
    random(
        &mut t,
        &format!("{prefix}embeddings.token_type_embeddings.weight"),
        &[2, HIDDEN],
    );
    norm(&mut t, &format!("{prefix}embeddings.LayerNorm"), true);
    for l in 0..LAYERS {
        let p = format!("{prefix}encoder.layer.{l}");
        for name in ["query", "key", "value"] {
            dense(
                &mut t,
                &format!("{p}.attention.self.{name}"),
                HIDDEN,
                HIDDEN,
            );
        }
        dense(
            &mut t,
            &format!("{p}.attention.output.dense"),
            HIDDEN,
            HIDDEN,
        );
        norm(&mut t, &format!("{p}.attention.output.LayerNorm"), true);
        dense(&mut t, &format!("{p}.intermediate.dense"), HIDDEN, FFN);
        dense(&mut t, &format!("{p}.output.dense"), FFN, HIDDEN);
        norm(&mut t, &format!("{p}.output.LayerNorm"), true);
    }
    t
}

fn dense(tensors: &mut HashMap<String, Tensor>, name: &str, input: usize, output: usize) {
    random(tensors, &format!("{name}.weight"), &[output, input]);
    random(tensors, &format!("{name}.bias"), &[output]);
}

/// Scales near 1 and small shifts: large shifts would make all outputs alike.
fn norm(tensors: &mut HashMap<String, Tensor>, name: &str, bias: bool) {
    let near = |name: String, middle: f64, spread: f64, tensors: &mut HashMap<String, Tensor>| {
        random(tensors, &name, &[HIDDEN]);
        let tensor = tensors[&name].affine(spread, middle).unwrap();
        tensors.insert(name, tensor);
    };
    near(format!("{name}.weight"), 1.0, 0.5, tensors);
    if bias {
        near(format!("{name}.bias"), 0.0, 0.1, tensors);
    }
}

/// Values depend on name and shape only.
fn random(tensors: &mut HashMap<String, Tensor>, name: &str, shape: &[usize]) {
    let seed = name.bytes().fold(7u64, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| rng.random_range(-0.5..0.5)).collect();
    tensors.insert(
        name.to_owned(),
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap(),
    );
}
