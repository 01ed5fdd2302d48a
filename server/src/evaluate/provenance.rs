//! What made an evaluation: models, configuration, index, code, machine.

use super::dataset::sha256;
use super::record::{IndexFacts, MachineFacts, ModelFacts, Provenance};
use crate::answer::AnswerConfig;
use crate::config::{ChunkingConfig, RetrievalConfig};
use kura_indexer::Pipeline;
use kura_indexer::analyze::ANALYZER_VERSION;
use kura_models::{Embedder, Generator, ModelKind, ModelSpec};
use serde::Serialize;
use std::collections::BTreeMap;

/// The settings that have a say in what is found.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// How documents are cut.
    pub chunking: ChunkingConfig,
    /// How chunks are found, with what this evaluation overrides.
    pub retrieval: RetrievalConfig,
    /// How questions are answered, where answers are evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerConfig>,
}

/// Gathers what makes an evaluation with these models and settings, of the index if one is searched.
///
/// # Errors
/// When the settings cannot be written down.
pub fn provenance(
    models: Vec<ModelFacts>,
    index: Option<IndexFacts>,
    settings: &impl Serialize,
) -> anyhow::Result<Provenance> {
    // By way of text, because that writes an f32 as a person did.
    let text = serde_json::to_string(settings)?;
    Ok(Provenance {
        kura_version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: option_env!("KURA_GIT_COMMIT")
            .filter(|commit| !commit.is_empty())
            .map(str::to_owned),
        models,
        config: serde_json::from_str(&text)?,
        config_sha256: sha256(&[&text]),
        index,
        machine: machine(),
    })
}

/// Describes the index of a pipeline.
///
/// # Errors
/// When the catalog cannot be read.
pub(super) async fn index(pipeline: &Pipeline) -> anyhow::Result<IndexFacts> {
    Ok(IndexFacts {
        generation: pipeline.generation().await?,
        analyzer_version: ANALYZER_VERSION,
    })
}

/// Describes a generator.
pub(super) fn generator(generator: &dyn Generator) -> ModelFacts {
    model("generator", generator.spec(), BTreeMap::new())
}

/// Describes an embedder, with the prompts that its vectors depend on.
pub(super) fn embedder(embedder: &dyn Embedder) -> ModelFacts {
    let spec = embedder.spec();
    let mut settings = BTreeMap::from([
        ("dimensions".to_owned(), embedder.dim().to_string()),
        ("max_tokens".to_owned(), spec.max_tokens.to_string()),
    ]);
    if let ModelKind::Embedder {
        query_prompt,
        document_prompt,
        ..
    } = &spec.kind
    {
        settings.insert("query_prompt".to_owned(), query_prompt.clone());
        settings.insert("document_prompt".to_owned(), document_prompt.clone());
    }
    model("embedder", spec, settings)
}

/// Describes the reranker, if it has a part in what is found.
pub(super) fn reranker(pipeline: &Pipeline, settings: &Settings) -> Option<ModelFacts> {
    let reranker = pipeline.reranker()?;
    let takes_part = settings.retrieval.rerank_candidates > 0;
    let spec = reranker.spec();
    let settings = BTreeMap::from([("max_tokens".to_owned(), spec.max_tokens.to_string())]);
    takes_part.then(|| model("reranker", spec, settings))
}

fn model(role: &str, spec: &ModelSpec, settings: BTreeMap<String, String>) -> ModelFacts {
    let weights = |name: &str| {
        [".safetensors", ".gguf", ".bin"]
            .iter()
            .any(|kind| name.ends_with(kind))
    };
    let weights = spec.files.iter().find(|file| weights(&file.name));
    ModelFacts {
        role: role.to_owned(),
        id: spec.id.to_string(),
        sha256: weights.and_then(|file| file.sha256.clone()),
        settings,
    }
}

fn machine() -> MachineFacts {
    MachineFacts {
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        cpu: cpu(),
    }
}

/// Returns the processor's name where Linux tells it.
fn cpu() -> Option<String> {
    let text = fs_err::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let (_, name) = line.split_once(':')?;
    Some(name.trim().to_owned())
}
