//! Rerankers against transformers: tiny checkpoints with random weights, and the scores that `data/rerankers/make.py`
//! got for them there.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kura_models::spec::Architecture;
use kura_models::{
    DeviceChoice, EmbedConfig, Installed, ModelId, ModelKind, ModelSpec, Reranker, load_reranker,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Scores {
    max_tokens: usize,
    texts: Vec<String>,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    query: String,
    logits: Vec<f32>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/rerankers")
        .join(name)
}

fn scores(name: &str) -> Scores {
    serde_json::from_str(&fs_err::read_to_string(folder(name).join("scores.json")).unwrap())
        .unwrap()
}

fn load(
    dir: &Path,
    architecture: Architecture,
    max_tokens: usize,
) -> Result<Arc<dyn Reranker>, String> {
    let spec = ModelSpec {
        id: ModelId("tiny".to_owned()),
        description: "random weights".to_owned(),
        license: "MIT".to_owned(),
        upstream: "none".to_owned(),
        languages: Vec::new(),
        architecture,
        max_tokens,
        kind: ModelKind::Reranker,
        files: Vec::new(),
        sources: Vec::new(),
    };
    let dir = dir.to_owned();
    let config = EmbedConfig {
        threads: Some(2),
        max_batch_tokens: Some(300),
    };
    load_reranker(&Installed { spec, dir }, &DeviceChoice::Cpu, &config).map_err(|e| e.to_string())
}

fn assert_close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() < 1e-3, "{ours:?}\nis not\n{theirs:?}");
    }
}

/// All at once, one by one, and in another order: always what transformers gives for a padded batch.
async fn compare(name: &str, dir: &Path, architecture: Architecture) {
    let scores = scores(name);
    let reranker = load(dir, architecture, scores.max_tokens).unwrap();
    for item in &scores.items {
        let logits = reranker.rerank(&item.query, &scores.texts).await.unwrap();
        assert_close(&logits, &item.logits);
        let backwards: Vec<String> = scores.texts.iter().rev().cloned().collect();
        let mut backwards = reranker.rerank(&item.query, &backwards).await.unwrap();
        backwards.reverse();
        assert_close(&backwards, &item.logits);
        for (text, expected) in scores.texts.iter().zip(&item.logits) {
            let alone = reranker
                .rerank(&item.query, std::slice::from_ref(text))
                .await;
            assert_close(&alone.unwrap(), &[*expected]);
        }
    }
    assert!(reranker.rerank("leave", &[]).await.unwrap().is_empty());
    // Longer than the model holds, and empty: there is a score all the same.
    let odd = ["".to_owned(), "leave ".repeat(1000)];
    let long = "annual leave ".repeat(1000);
    for query in ["", long.as_str()] {
        assert_eq!(reranker.rerank(query, &odd).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn bert_equals_transformers() {
    compare("bert", &folder("bert"), Architecture::Bert).await;
}

#[tokio::test]
async fn xlm_roberta_equals_transformers() {
    compare(
        "xlm_roberta",
        &folder("xlm_roberta"),
        Architecture::XlmRoberta,
    )
    .await;
}

#[tokio::test]
async fn modern_bert_equals_transformers() {
    compare(
        "modern_bert",
        &folder("modern_bert"),
        Architecture::ModernBert,
    )
    .await;
}

#[tokio::test]
async fn qwen3_equals_transformers() {
    compare("qwen3", &folder("qwen3"), Architecture::Qwen3).await;
}

#[tokio::test]
async fn qwen3_equals_transformers_from_gguf_with_its_own_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::copy(
        folder("qwen3").join("model.gguf"),
        dir.path().join("model.gguf"),
    )
    .unwrap();
    compare("qwen3", dir.path(), Architecture::Gguf).await;
}

#[test]
fn a_model_that_cannot_answer_is_refused_by_name() {
    let refused = |architecture, max_tokens: usize| {
        let loaded = load(&folder("qwen3"), architecture, max_tokens);
        loaded.err().unwrap()
    };
    assert!(refused(Architecture::Llama, 64).contains("can rerank"));
    assert!(refused(Architecture::Qwen3, 110).contains("no query and document"));
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs_err::copy(folder("qwen3").join(name), dir.path().join(name)).unwrap();
    }
    let text = fs_err::read_to_string(folder("qwen3").join("tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_str(&text).unwrap();
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    let id = vocabulary.remove("yes").unwrap();
    vocabulary.insert("oui".to_owned(), id);
    let merges = tokenizer["model"]["merges"].as_array_mut().unwrap();
    merges.retain(|merge| {
        !format!(
            "{}{}",
            merge[0].as_str().unwrap(),
            merge[1].as_str().unwrap()
        )
        .ends_with("yes")
    });
    fs_err::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let error = load(dir.path(), Architecture::Qwen3, 240).err().unwrap();
    assert!(error.contains("no token `yes`"), "{error}");
}
