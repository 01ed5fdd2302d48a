//! Embeddings and relevance scores against independent computations.
//!
//! The real models are compared with vectors of a plain numpy forward pass (`data/reference.py`); they are read from
//! the folder that `make test` names in `KURA_MODELS_DIR`. Architectures whose weights are not at hand run with small
//! random checkpoints, written here, against Candle's own padded models.

#![expect(clippy::unwrap_used, reason = "tests")]

mod checkpoint;

use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, modernbert, qwen3, xlm_roberta};
use kura_models::{
    DeviceChoice, EmbedConfig, Embedder, Pooling, Registry, load_embedder, load_reranker,
};
use serde::Deserialize;

use checkpoint::{Checkpoint, TEXTS};

const CONFIG: EmbedConfig = EmbedConfig {
    threads: None,
    max_batch_tokens: Some(512),
};

#[derive(Deserialize)]
struct Reference {
    model: String,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    text: String,
    tokens: usize,
    document: Vec<f32>,
    query: Option<Vec<f32>>,
}

/// Loads an installed model; fails, not skips, when it is not installed.
fn installed(id: &str) -> Arc<dyn Embedder> {
    let folder = std::env::var_os("KURA_MODELS_DIR").map(PathBuf::from);
    let folder = folder.expect("KURA_MODELS_DIR is not set; run the tests with `make test`");
    let installed = Registry::open(&folder).unwrap().locate(id);
    let installed = installed.unwrap_or_else(|e| panic!("{e}; for the tests: `make models`"));
    load_embedder(&installed, &DeviceChoice::Cpu, &CONFIG).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Embeds in one batch; one at a time must give the same vectors and token states.
async fn embedded_alone(embedder: &dyn Embedder, texts: &[String]) -> Vec<Vec<f32>> {
    let embeddings = embedder.embed_documents(texts).await.unwrap();
    for (text, batched) in texts.iter().zip(&embeddings) {
        let alone = embedder
            .embed_documents(std::slice::from_ref(text))
            .await
            .unwrap()
            .remove(0);
        assert!(cosine(&alone.vector, &batched.vector) > 0.999_99);
        assert_eq!(alone.tokens.ids, batched.tokens.ids);
        for (a, b) in alone.tokens.rows().zip(batched.tokens.rows()) {
            assert!(cosine(a, b) > 0.999_9, "token states of {text:?} differ");
        }
    }
    embeddings.into_iter().map(|e| e.vector).collect()
}

#[expect(clippy::print_stdout, reason = "shown with --nocapture")]
async fn compare_with_reference(reference: &str, least: f32) {
    let reference: Reference = serde_json::from_str(reference).unwrap();
    let embedder = installed(&reference.model);
    let texts: Vec<String> = reference.items.iter().map(|i| i.text.clone()).collect();
    let vectors = embedded_alone(embedder.as_ref(), &texts).await;
    assert_eq!(vectors.len(), texts.len());
    let mut worst = 1.0f32;
    for (item, vector) in reference.items.iter().zip(&vectors) {
        let same = cosine(&item.document, vector);
        assert!(same >= least, "{same} for {:?}", item.text);
        worst = worst.min(same);
        assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(
            embedder.count_tokens(&item.text),
            item.tokens,
            "{:?}",
            item.text
        );
        if let Some(query) = &item.query {
            let embedding = embedder.embed_query(&item.text).await.unwrap();
            assert!(cosine(query, &embedding.vector) >= least);
        }
    }
    // Another order gives the same vectors.
    let again: Vec<String> = texts.iter().rev().cloned().collect();
    let backwards = embedder.embed_documents(&again).await.unwrap();
    for (a, b) in backwards.iter().rev().zip(&vectors) {
        assert!(cosine(&a.vector, b) > 0.999_999);
    }
    assert!(embedder.embed_documents(&[]).await.unwrap().is_empty());
    assert!(embedder.embed_query("").await.is_ok());
    println!("{}: lowest cosine {worst}", reference.model);
}

#[tokio::test]
async fn minilm_equals_its_reference() {
    compare_with_reference(include_str!("data/minilm.json"), 0.9999).await;
}

#[tokio::test]
async fn e5_equals_its_reference() {
    compare_with_reference(include_str!("data/e5.json"), 0.9998).await;
}

/// Tokens are counted word by word; what is embedded is tokenized whole.
#[tokio::test]
async fn as_many_tokens_are_counted_as_are_embedded() {
    let texts = [
        "Two  blanks,\ta tab\r\nand \u{3000} an ideographic space.",
        "有給休暇は入社 6 か月後に １０日 付与されます。ｶﾀｶﾅ と ﾃﾞｰﾀ",
        "no\u{a0}break, zero\u{200b}width, \u{feff}mark, e\u{301} \u{301}accent, \u{b}\u{85}",
        "</s> <mask> <unk> [CLS] a<mask>b [MASK]",
        "Donaudampfschifffahrtsgesellschaftskapitän antidisestablishmentarianism 12,345.67 foo_bar-Baz",
        "▁ ▁x x▁ naïve ﬁnance ½ ™ 株式会社 ㈱ 🦀 👨‍👩‍👧",
    ];
    for id in ["all-minilm-l6-v2", "multilingual-e5-small"] {
        let embedder = installed(id);
        let embeddings = embedder
            .embed_documents(&texts.map(str::to_owned))
            .await
            .unwrap();
        for _ in ["from the text", "as remembered"] {
            for (text, embedding) in texts.iter().zip(&embeddings) {
                let counted = embedder.count_tokens(text);
                assert_eq!(counted, embedding.tokens.ids.len(), "{id}: {text:?}");
            }
        }
    }
}

#[test]
fn every_embedder_and_reranker_architecture_of_the_registry_is_tested_here() {
    let registry = Registry::open(std::path::Path::new("/nonexistent")).unwrap();
    for listed in registry.list() {
        let architecture = serde_json::to_value(listed.spec.architecture).unwrap();
        let tested: &[&str] = match listed.spec.kind {
            kura_models::ModelKind::Embedder { .. } => {
                &["bert", "xlm_roberta", "modern_bert", "qwen3"]
            }
            kura_models::ModelKind::Reranker => &["bert", "xlm_roberta", "modern_bert", "qwen3"],
            kura_models::ModelKind::Generator { .. } | kura_models::ModelKind::Recognizer => {
                continue;
            }
        };
        assert!(
            tested.contains(&architecture.as_str().unwrap()),
            "{}",
            listed.spec.id
        );
    }
}

/// Vectors of the checkpoint: in batches, and one at a time, which must not differ.
async fn embedded(checkpoint: &Checkpoint, pooling: &str) -> Vec<Vec<f32>> {
    let (_dir, installed) = checkpoint.install_embedder(pooling);
    let embedder = load_embedder(&installed, &DeviceChoice::Cpu, &CONFIG).unwrap();
    embedded_alone(embedder.as_ref(), &TEXTS.map(str::to_owned)).await
}

fn pooled(states: &Tensor, lengths: &[usize], pooling: Pooling) -> Vec<Vec<f32>> {
    let rows = lengths.iter().enumerate().map(|(n, &length)| {
        let states = states.get(n).unwrap().narrow(0, 0, length).unwrap();
        let row = match pooling {
            Pooling::Mean => states.mean(0).unwrap(),
            Pooling::Cls => states.get(0).unwrap(),
            Pooling::LastToken => states.get(length - 1).unwrap(),
        };
        row.to_vec1().unwrap()
    });
    rows.collect()
}

fn assert_same(ours: &[Vec<f32>], theirs: &[Vec<f32>]) {
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert!(cosine(a, b) > 0.999_99, "{}", cosine(a, b));
    }
    assert!(
        cosine(&ours[0], &ours[1]) < 0.999,
        "different texts must differ"
    );
}

fn config<T: serde::de::DeserializeOwned>(checkpoint: &Checkpoint) -> T {
    serde_json::from_value(checkpoint.config.clone()).unwrap()
}

fn builder(checkpoint: &Checkpoint) -> VarBuilder<'static> {
    VarBuilder::from_tensors(checkpoint.tensors.clone(), DType::F32, &Device::Cpu)
}

#[tokio::test]
async fn bert_equals_candles_padded_model() {
    let checkpoint = Checkpoint::bert("");
    let (ids, mask, lengths) = checkpoint.batch(&TEXTS);
    let model = bert::BertModel::load(builder(&checkpoint), &config(&checkpoint)).unwrap();
    let states = model
        .forward(&ids, &ids.zeros_like().unwrap(), Some(&mask))
        .unwrap();
    for (name, pooling) in [("mean", Pooling::Mean), ("cls", Pooling::Cls)] {
        assert_same(
            &embedded(&checkpoint, name).await,
            &pooled(&states, &lengths, pooling),
        );
    }
}

#[tokio::test]
async fn xlm_roberta_equals_candles_padded_model() {
    let checkpoint = Checkpoint::xlm_roberta("");
    let (ids, mask, lengths) = checkpoint.batch(&TEXTS);
    let model =
        xlm_roberta::XLMRobertaModel::new(&config(&checkpoint), builder(&checkpoint)).unwrap();
    let states = model
        .forward(&ids, &mask, &ids.zeros_like().unwrap(), None, None, None)
        .unwrap();
    assert_same(
        &embedded(&checkpoint, "cls").await,
        &pooled(&states, &lengths, Pooling::Cls),
    );
}

#[tokio::test]
async fn modernbert_equals_candles_model_one_text_at_a_time() {
    let checkpoint = Checkpoint::modernbert(false);
    let root = builder(&checkpoint)
        .rename_f(|name| name.strip_prefix("model.").unwrap_or(name).to_owned());
    let model = modernbert::ModernBert::load(root, &config(&checkpoint)).unwrap();
    let theirs: Vec<Vec<f32>> = TEXTS
        .iter()
        .flat_map(|text| {
            let (ids, mask, lengths) = checkpoint.batch(&[text]);
            pooled(
                &model.forward(&ids, &mask).unwrap(),
                &lengths,
                Pooling::Mean,
            )
        })
        .collect();
    assert_same(&embedded(&checkpoint, "mean").await, &theirs);
}

#[tokio::test]
async fn qwen3_equals_candles_model_one_text_at_a_time() {
    let checkpoint = Checkpoint::qwen3();
    let root = builder(&checkpoint)
        .rename_f(|name| name.strip_prefix("model.").unwrap_or(name).to_owned());
    let model = qwen3::Model::new(&config(&checkpoint), root).unwrap();
    let theirs: Vec<Vec<f32>> = TEXTS
        .iter()
        .flat_map(|text| {
            let (ids, _, lengths) = checkpoint.batch(&[text]);
            pooled(
                &model.clone().forward(&ids, 0).unwrap(),
                &lengths,
                Pooling::LastToken,
            )
        })
        .collect();
    assert_same(&embedded(&checkpoint, "last_token").await, &theirs);
}

const QUERY: &str = "when is the backup";

async fn reranked(checkpoint: &Checkpoint) -> Vec<f32> {
    let (_dir, installed) = checkpoint.install_reranker();
    let reranker = load_reranker(&installed, &DeviceChoice::Cpu, &CONFIG).unwrap();
    let texts = TEXTS.map(str::to_owned);
    let scores = reranker.rerank(QUERY, &texts).await.unwrap();
    for (text, score) in texts.iter().zip(&scores) {
        let alone = reranker
            .rerank(QUERY, std::slice::from_ref(text))
            .await
            .unwrap();
        assert!((alone[0] - score).abs() < 1e-4, "batched and single differ");
    }
    assert!(reranker.rerank(QUERY, &[]).await.unwrap().is_empty());
    scores
}

fn assert_scores(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() < 1e-4, "{ours:?} {theirs:?}");
    }
    assert!(
        (ours[0] - ours[1]).abs() > 1e-4,
        "different texts must differ"
    );
}

#[tokio::test]
async fn an_xlm_roberta_reranker_equals_candles() {
    let checkpoint = Checkpoint::xlm_roberta("roberta.");
    let model = xlm_roberta::XLMRobertaForSequenceClassification::new(
        1,
        &config(&checkpoint),
        builder(&checkpoint),
    )
    .unwrap();
    let (ids, mask, types, _) = checkpoint.pairs(QUERY, &TEXTS);
    let logits = model
        .forward(&ids, &mask, &types.zeros_like().unwrap())
        .unwrap();
    assert_scores(
        &reranked(&checkpoint).await,
        &logits.flatten_all().unwrap().to_vec1().unwrap(),
    );
}

#[tokio::test]
async fn a_bert_reranker_equals_encoder_pooler_and_classifier() {
    let checkpoint = Checkpoint::bert("bert.");
    let root = builder(&checkpoint);
    let model = bert::BertModel::load(root.pp("bert"), &config(&checkpoint)).unwrap();
    let (ids, mask, types, _) = checkpoint.pairs(QUERY, &TEXTS);
    let states = model.forward(&ids, &types, Some(&mask)).unwrap();
    let first = states.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
    let apply = |x: &Tensor, name: &str| {
        let weight = &checkpoint.tensors[&format!("{name}.weight")];
        x.matmul(&weight.t().unwrap())
            .unwrap()
            .broadcast_add(&checkpoint.tensors[&format!("{name}.bias")])
            .unwrap()
    };
    let logits = apply(
        &apply(&first, "bert.pooler.dense").tanh().unwrap(),
        "classifier",
    );
    assert_scores(
        &reranked(&checkpoint).await,
        &logits.squeeze(D::Minus1).unwrap().to_vec1().unwrap(),
    );
}

#[tokio::test]
async fn a_modernbert_reranker_equals_candles_probabilities() {
    // Candle's classifier ends in a softmax, so two labels are compared: log(p1 / p0) is the difference of logits.
    let checkpoint = Checkpoint::modernbert(true);
    let model = modernbert::ModernBertForSequenceClassification::load(
        builder(&checkpoint),
        &config(&checkpoint),
    )
    .unwrap();
    let theirs: Vec<f32> = TEXTS
        .iter()
        .map(|text| {
            let (ids, mask, ..) = checkpoint.pairs(QUERY, &[text]);
            let p = model
                .forward(&ids, &mask)
                .unwrap()
                .get(0)
                .unwrap()
                .to_vec1::<f32>()
                .unwrap();
            (p[1] / p[0]).ln()
        })
        .collect();
    assert_scores(&reranked(&checkpoint).await, &theirs);
}

#[tokio::test]
async fn models_of_another_kind_are_refused() {
    let (_dir, installed) = Checkpoint::bert("").install_embedder("mean");
    let error = load_reranker(&installed, &DeviceChoice::Cpu, &CONFIG)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("an embedder, not a reranker"), "{error}");
}
