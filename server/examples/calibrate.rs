//! Fits the gate of `server/src/answer/evidence.rs`: does anything retrieved support the question?
//!
//! `cargo run --release --example calibrate -- MODELS_DIR DATA_DIR DATASET_DIR…` takes data sets in BEIR layout whose
//! indexes `kura eval retrieval` has left in the data directory. Each set is asked three kinds of questions: its own
//! (support), its own with the relevant documents left out of what is found (no support, though the documents are near),
//! and those of the other sets in the same language (no support). It fits a logistic regression on all sets but one and
//! tests it on that one, set by set, then prints the coefficients fitted on all. `docs/ANSWERS.md` holds the last figures.

use anyhow::Context;
use kura::answer::evidence::{Evidence, Features, Scale};
use kura::answer::prompt::Language;
use kura::evaluate::dataset::{Dataset, LabelledQuery};
use kura_indexer::chunk::ChunkConfig;
use kura_indexer::fuse::Fusion;
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::store::Bm25;
use kura_indexer::{AccessFilter, Collections, IndexConfig, Pipeline, SearchFilter};
use kura_models::{DeviceChoice, EmbedConfig, Embedder, Registry, load_embedder};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const QUESTIONS: usize = 200;
const HITS: usize = 30;
/// More hits are asked for, of which the relevant ones are left out.
const SPARE: usize = 15;
const THRESHOLDS: [f64; 5] = [0.2, 0.25, 0.3, 0.35, 0.4];
const EMBEDDER: &str = "multilingual-e5-small";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Supported,
    LeftOut,
    OutOfCorpus,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Supported, Self::LeftOut, Self::OutOfCorpus];

    /// How much the questions of a kind weigh together. Most questions that documents do not answer are about
    /// something else.
    fn weight(self) -> f64 {
        match self {
            Self::Supported => 0.5,
            Self::LeftOut => 0.2,
            Self::OutOfCorpus => 0.3,
        }
    }
}

struct Sample {
    features: Features,
    kind: Kind,
}

/// Turns features into what a regression sees.
type View = fn(&Features) -> Vec<f64>;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a command")]
async fn main() -> anyhow::Result<()> {
    let usage = "usage: calibrate MODELS_DIR DATA_DIR DATASET_DIR…";
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (models, data) = (
        arguments.next().context(usage)?,
        arguments.next().context(usage)?,
    );
    let installed = Registry::open(&models)?.locate(EMBEDDER)?;
    let embedder = load_embedder(&installed, &DeviceChoice::Auto, &EmbedConfig::default())?;
    let datasets = arguments
        .map(|dir| Dataset::read(&dir))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut sets: Vec<(&str, Vec<Sample>)> = Vec::new();
    for dataset in &datasets {
        let samples = measure(dataset, &datasets, &data, Arc::clone(&embedder)).await?;
        println!("{}: {} questions", dataset.name, samples.len());
        sets.push((&dataset.name, samples));
    }
    for (title, view) in [
        ("late, closeness, coverage", with_late as View),
        ("closeness, coverage", without_late as View),
    ] {
        println!("\n{title}");
        for (held, (name, test)) in sets.iter().enumerate() {
            let others = sets.iter().enumerate().filter(|(at, _)| *at != held);
            let train: Vec<&Sample> = others.flat_map(|(_, (_, samples))| samples).collect();
            let weights = fit(&train, view);
            println!(
                "held out {name}: min_support, refused of supported, left out, out of corpus (%)"
            );
            for threshold in THRESHOLDS {
                let refused = Kind::ALL.map(|kind| {
                    let of: Vec<&Sample> =
                        test.iter().filter(|sample| sample.kind == kind).collect();
                    let below = |sample: &&&Sample| {
                        probability(&weights, &view(&sample.features)) < threshold
                    };
                    100.0 * of.iter().filter(below).count() as f64 / of.len().max(1) as f64
                });
                println!(
                    "  {threshold:.2}  {:5.1} {:5.1} {:5.1}",
                    refused[0], refused[1], refused[2]
                );
            }
        }
        let all: Vec<&Sample> = sets.iter().flat_map(|(_, samples)| samples).collect();
        println!("fitted on all, bias first: {:.2?}", fit(&all, view));
    }
    Ok(())
}

async fn measure(
    dataset: &Dataset,
    all: &[Dataset],
    data: &Path,
    embedder: Arc<dyn Embedder>,
) -> anyhow::Result<Vec<Sample>> {
    let config = IndexConfig {
        chunking: ChunkConfig::default(),
        candidates: 50,
        collapse_duplicates: true,
        bm25: Bm25::default(),
        fusion: Fusion::default(),
        late_budget: std::time::Duration::MAX,
        reranking: kura_indexer::Reranking::default(),
        max_text_bytes: 32 << 20,
        min_free_bytes: 0,
    };
    let pipeline = Pipeline::open(&index_of(dataset, data)?, embedder, config).await?;
    let scale = Scale::measure(pipeline.embedder().as_ref(), pipeline.token_codec()).await?;
    let own = dataset.judged_queries(Some(QUESTIONS))?;
    let foreign = out_of_corpus(dataset, all)?;
    let mut samples = Vec::new();
    for (kind, queries) in [
        (Kind::Supported, &own),
        (Kind::LeftOut, &own),
        (Kind::OutOfCorpus, &foreign),
    ] {
        for query in queries {
            let request = SearchRequest {
                text: query.text.clone(),
                collections: Collections::All,
                limit: HITS + SPARE,
                filter: SearchFilter::default(),
            };
            let access = AccessFilter::unrestricted("calibration");
            let mut hits = pipeline.search(&request, &access).await?.hits;
            if kind == Kind::LeftOut {
                hits.retain(|hit| !query.relevant.contains_key(&hit.source));
            }
            hits.truncate(HITS);
            samples.push(Sample {
                features: Evidence::weigh(scale, &query.text, hits).features(),
                kind,
            });
        }
    }
    Ok(samples)
}

/// Finds the index that `kura eval retrieval` has left of a data set.
fn index_of(dataset: &Dataset, data: &Path) -> anyhow::Result<PathBuf> {
    let prefix = format!("{}-{EMBEDDER}-", dataset.name);
    for entry in fs_err::read_dir(data.join("eval"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            return Ok(entry.path());
        }
    }
    anyhow::bail!(
        "`{}` has no index of {}; run `kura eval retrieval` on it first",
        data.display(),
        dataset.name
    )
}

/// Takes the questions of the other sets in the language of this one, as many as of its own.
fn out_of_corpus(dataset: &Dataset, all: &[Dataset]) -> anyhow::Result<Vec<LabelledQuery>> {
    let language = |set: &Dataset| set.queries.first().map(|query| Language::of(&query.text));
    let others: Vec<&Dataset> = all
        .iter()
        .filter(|other| other.name != dataset.name && language(other) == language(dataset))
        .collect();
    let mut queries = Vec::new();
    for other in &others {
        queries.extend(other.judged_queries(Some(QUESTIONS.div_ceil(others.len())))?);
    }
    Ok(queries)
}

fn with_late(features: &Features) -> Vec<f64> {
    [
        1.0,
        features.late.unwrap_or(0.0),
        features.closeness,
        features.coverage,
    ]
    .map(f64::from)
    .to_vec()
}

fn without_late(features: &Features) -> Vec<f64> {
    [1.0, features.closeness, features.coverage]
        .map(f64::from)
        .to_vec()
}

fn probability(weights: &[f64], x: &[f64]) -> f64 {
    1.0 / (1.0 + (-weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).exp())
}

/// Logistic regression by gradient descent, each kind of question with its weight.
fn fit(samples: &[&Sample], view: View) -> Vec<f64> {
    let weigh = |kind: Kind| {
        let n = samples.iter().filter(|sample| sample.kind == kind).count();
        kind.weight() / n.max(1) as f64
    };
    let by_kind = Kind::ALL.map(weigh);
    let rows: Vec<(Vec<f64>, f64, f64)> = samples
        .iter()
        .map(|sample| {
            let truth = f64::from(u8::from(sample.kind == Kind::Supported));
            (view(&sample.features), truth, by_kind[sample.kind as usize])
        })
        .collect();
    let mut weights = vec![0.0; rows.first().map_or(0, |(x, ..)| x.len())];
    for _ in 0..60_000 {
        let mut gradient = vec![0.0; weights.len()];
        for (x, truth, weight) in &rows {
            let error = weight * (truth - probability(&weights, x));
            for (slope, x) in gradient.iter_mut().zip(x) {
                *slope += error * x;
            }
        }
        for (weight, slope) in weights.iter_mut().zip(gradient) {
            *weight += 4.0 * slope;
        }
    }
    weights
}
