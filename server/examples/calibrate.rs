//! Fits the gate of `server/src/answer/evidence.rs`: does anything retrieved support the question?
//!
//! `cargo run --release --example calibrate -- MODELS_DIR DATASET_DIR…` takes data sets in BEIR layout, indexes every
//! other document of each, and asks questions whose document is indexed (support) and questions whose document is
//! not (no support). It fits a logistic regression on all sets but one and tests it on that one, set by set, then
//! prints the coefficients fitted on all. `docs/ANSWERS.md` holds the last figures.

use anyhow::Context;
use kura::answer::evidence::{Evidence, Features, Scale};
use kura_indexer::chunk::ChunkConfig;
use kura_indexer::fuse::Fusion;
use kura_indexer::ingest::{EXTRACTED_MEDIA_TYPE, NewDocument};
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::{
    AccessFilter, Acl, Block, BlockKind, Collections, Extracted, IndexConfig, Locator, Pipeline,
};
use kura_models::{DeviceChoice, EmbedConfig, Embedder, Registry, load_embedder};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

const DOCUMENTS: usize = 600;
const QUESTIONS: usize = 150;
const HITS: usize = 30;
const TERMS: usize = 5;
const THRESHOLDS: [f64; 5] = [0.1, 0.2, 0.3, 0.4, 0.5];

type Sample = ([f64; TERMS], bool);

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a command")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let models = arguments
        .next()
        .context("usage: calibrate MODELS_DIR DATASET_DIR…")?;
    let installed = Registry::open(Path::new(&models))?.locate("multilingual-e5-small")?;
    let embedder = load_embedder(&installed, &DeviceChoice::Auto, &EmbedConfig::default())?;
    let mut sets: Vec<(String, Vec<Sample>)> = Vec::new();
    for dir in arguments {
        let samples = measure(Path::new(&dir), Arc::clone(&embedder)).await?;
        println!("{dir}: {} questions", samples.len());
        sets.push((dir, samples));
    }
    for (held, (name, test)) in sets.iter().enumerate() {
        let train: Vec<Sample> = sets
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != held)
            .flat_map(|(_, (_, samples))| samples.clone())
            .collect();
        let weights = fit(if train.is_empty() { test } else { &train });
        let share = |wanted: bool, threshold: f64| {
            let of: Vec<f64> = test
                .iter()
                .filter(|(_, supported)| *supported == wanted)
                .map(|(x, _)| probability(&weights, x))
                .collect();
            100.0 * of.iter().filter(|p| (**p >= threshold) == wanted).count() as f64
                / of.len().max(1) as f64
        };
        println!("held out {name}:");
        for threshold in THRESHOLDS {
            println!(
                "  min_support {threshold}: {:.1} % of supported pass, {:.1} % of unsupported are refused",
                share(true, threshold),
                share(false, threshold)
            );
        }
    }
    let all: Vec<Sample> = sets.into_iter().flat_map(|(_, samples)| samples).collect();
    println!(
        "bias, sentence, margin, coverage, agreement: {:.2?}",
        fit(&all)
    );
    Ok(())
}

async fn measure(dir: &Path, embedder: Arc<dyn Embedder>) -> anyhow::Result<Vec<Sample>> {
    let documents: Vec<Row> = read(&dir.join("corpus.jsonl"))?;
    let queries: Vec<Row> = read(&dir.join("queries.jsonl"))?;
    let qrels = fs_err::read_to_string(dir.join("qrels.tsv"))?;
    let mut relevant: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in qrels.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        if let [query, document, gain] = columns[..]
            && gain.trim() != "0"
        {
            relevant.entry(query).or_default().push(document);
        }
    }
    // Spread over the whole set; then every other one is indexed.
    let step = documents.len().div_ceil(DOCUMENTS);
    let chosen: Vec<&Row> = documents.iter().step_by(step).collect();
    let indexed: HashSet<&str> = chosen
        .iter()
        .step_by(2)
        .map(|row| row.id.as_str())
        .collect();
    let left_out: HashSet<&str> = chosen
        .iter()
        .skip(1)
        .step_by(2)
        .map(|row| row.id.as_str())
        .collect();

    let data = tempfile::tempdir()?;
    let config = IndexConfig {
        chunking: ChunkConfig::default(),
        candidates: 50,
        fusion: Fusion::default(),
        late_budget: std::time::Duration::from_secs(10),
        reranking: kura_indexer::Reranking::default(),
        min_free_bytes: 0,
    };
    let pipeline = Pipeline::open(data.path(), embedder, config).await?;
    let collection = pipeline.create_collection("set").await?.id;
    for row in chosen
        .iter()
        .filter(|row| indexed.contains(row.id.as_str()))
    {
        let block = Block {
            kind: BlockKind::Paragraph,
            text: row.text.clone(),
            locator: Locator::default(),
        };
        let extracted = Extracted {
            title: Some(row.title.clone()),
            blocks: vec![block],
            warnings: Vec::new(),
        };
        let bytes = serde_json::to_vec(&extracted)?;
        pipeline
            .add_document(NewDocument {
                collection,
                source: row.id.clone(),
                media_type: Some(EXTRACTED_MEDIA_TYPE.to_owned()),
                bytes,
                acl: Acl::everyone(),
            })
            .await?;
    }
    while !pipeline.run_queued(&|_, _, _| {}).await?.is_empty() {}

    let scale = Scale::measure(pipeline.embedder().as_ref()).await?;
    let mut samples = Vec::new();
    for supported in [true, false] {
        let wanted = if supported { &indexed } else { &left_out };
        let fitting = queries.iter().filter(|query| {
            relevant
                .get(query.id.as_str())
                .is_some_and(|documents| documents.iter().all(|id| wanted.contains(id)))
        });
        let fitting: Vec<&Row> = fitting.collect();
        for query in fitting
            .iter()
            .step_by(fitting.len().div_ceil(QUESTIONS).max(1))
        {
            let request = SearchRequest {
                text: query.text.clone(),
                collections: Collections::All,
                limit: HITS,
            };
            let hits = pipeline
                .search(&request, &AccessFilter::unrestricted("calibration"))
                .await?
                .hits;
            let features = Evidence::weigh(pipeline.embedder().as_ref(), scale, &query.text, hits)
                .await?
                .features();
            samples.push((vector(&features), supported));
        }
    }
    Ok(samples)
}

fn vector(features: &Features) -> [f64; TERMS] {
    [
        1.0,
        features.sentence,
        features.margin,
        features.coverage,
        features.agreement,
    ]
    .map(f64::from)
}

fn probability(weights: &[f64; TERMS], x: &[f64; TERMS]) -> f64 {
    1.0 / (1.0 + (-weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).exp())
}

/// Logistic regression by gradient descent, both classes weighing the same.
fn fit(samples: &[Sample]) -> [f64; TERMS] {
    let n_supported = samples
        .iter()
        .filter(|(_, supported)| *supported)
        .count()
        .max(1) as f64;
    let n_not = (samples.len() as f64 - n_supported).max(1.0);
    let mut weights = [0.0; TERMS];
    for _ in 0..20_000 {
        let mut gradient = [0.0; TERMS];
        for (x, supported) in samples {
            let (target, weight) = if *supported {
                (1.0, 0.5 / n_supported)
            } else {
                (0.0, 0.5 / n_not)
            };
            let error = weight * (target - probability(&weights, x));
            gradient
                .iter_mut()
                .zip(x)
                .for_each(|(slope, x)| *slope += error * x);
        }
        weights
            .iter_mut()
            .zip(gradient)
            .for_each(|(weight, slope)| *weight += 2.0 * slope);
    }
    weights
}

fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    fs_err::read_to_string(path)?
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| path.display().to_string()))
        .collect()
}
