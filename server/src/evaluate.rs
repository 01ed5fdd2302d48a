//! Retrieval quality on a labelled data set: nDCG, recall and MRR of each leg and of their fusion.
//!
//! A data set is a folder in BEIR layout: `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`)
//! and `qrels.tsv` (`query-id`, `corpus-id`, `score`). Documents are what is ranked: a document ranks where its
//! best chunk does.

pub mod metrics;

use anyhow::{Context, bail, ensure};
use kura_indexer::ingest::{EXTRACTED_MEDIA_TYPE, NewDocument};
use kura_indexer::pipeline::{IndexConfig, Pipeline};
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::{
    AccessFilter, Acl, Block, BlockKind, Collections, DocumentId, Extracted, Locator,
};
use kura_models::Embedder;
use metrics::{Judged, Metrics};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

/// Chunks taken from each leg: enough for recall@100 of documents that have a few chunks each.
const CANDIDATES: usize = 300;
const COLLECTION: &str = "corpus";

/// A labelled data set.
pub struct Dataset {
    /// The folder's name.
    pub name: String,
    documents: Vec<CorpusRow>,
    queries: Vec<QueryRow>,
    /// Query to document to gain.
    qrels: HashMap<String, HashMap<String, f64>>,
    /// sha256 over the three files, lower-case hex.
    pub sha256: String,
}

#[derive(Deserialize)]
struct CorpusRow {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

#[derive(Deserialize)]
struct QueryRow {
    #[serde(rename = "_id")]
    id: String,
    text: String,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The data set's name.
    pub dataset: String,
    /// Its hash.
    pub dataset_sha256: String,
    /// Documents in it.
    pub documents: usize,
    /// Queries that have a relevant document and were asked.
    pub queries: usize,
    /// The embedder.
    pub embedder: String,
    /// `dense`, `lexical`, `hybrid`.
    pub legs: BTreeMap<&'static str, Metrics>,
}

impl Dataset {
    /// Reads a data set.
    ///
    /// # Errors
    /// When a file is missing or a line is not what it should be; the message names file and line.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let name = dir.file_name().map_or_else(
            || dir.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        let mut hash = Sha256::new();
        let documents = read_jsonl(&dir.join("corpus.jsonl"), &mut hash)?;
        let queries = read_jsonl(&dir.join("queries.jsonl"), &mut hash)?;
        let qrels = read_qrels(&dir.join("qrels.tsv"), &mut hash)?;
        let sha256 = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let dataset = Self {
            name,
            documents,
            queries,
            qrels,
            sha256,
        };
        ensure!(
            !dataset.documents.is_empty(),
            "`{}` has no documents",
            dir.join("corpus.jsonl").display()
        );
        Ok(dataset)
    }

    /// Returns the queries that have a relevant document, evenly spaced when there are more than `limit`.
    fn judged_queries(&self, limit: Option<usize>) -> Vec<&QueryRow> {
        let judged: Vec<&QueryRow> = self
            .queries
            .iter()
            .filter(|query| {
                self.qrels
                    .get(&query.id)
                    .is_some_and(|docs| docs.values().any(|gain| *gain > 0.0))
            })
            .collect();
        match limit {
            Some(limit) if limit < judged.len() => (0..limit)
                .map(|at| judged[at * judged.len() / limit])
                .collect(),
            Some(_) | None => judged,
        }
    }
}

/// Indexes the data set under `cache_dir`, unless that was done before, and asks its queries.
///
/// With `runs_dir` each leg's rankings are written there as `LEG.run`, in TREC's form: query, `Q0`, document, rank, score, name of the run.
///
/// # Errors
/// Those of the data set, the models and the index.
pub async fn retrieval(
    dataset: &Dataset,
    cache_dir: &Path,
    embedder: Arc<dyn Embedder>,
    config: IndexConfig,
    max_queries: Option<usize>,
    runs_dir: Option<&Path>,
    progress: &(dyn Fn(&str, usize, usize) + Send + Sync),
) -> anyhow::Result<Report> {
    let model = embedder.spec().id.to_string();
    let key = format!(
        "{}-{}-{}-{}",
        dataset.name,
        model,
        config.chunking.max_tokens,
        &dataset.sha256[..12]
    );
    let pipeline = Pipeline::open(&cache_dir.join(key), embedder, config).await?;
    let sources = index(&pipeline, dataset, progress).await?;
    let queries = dataset.judged_queries(max_queries);
    if queries.is_empty() {
        bail!(
            "no query of `{}` has a relevant document; check qrels.tsv",
            dataset.name
        );
    }
    let mut judged: BTreeMap<&'static str, Vec<Judged>> = BTreeMap::new();
    let mut runs: BTreeMap<&'static str, String> = BTreeMap::new();
    for (at, query) in queries.iter().enumerate() {
        let gains = &dataset.qrels[&query.id];
        for (leg, ranked, ms) in ask(&pipeline, &query.text, &sources).await? {
            let run = runs.entry(leg).or_default();
            for (at, (document, score)) in ranked.iter().enumerate() {
                writeln!(
                    run,
                    "{} Q0 {document} {} {score} kura-{leg}",
                    query.id,
                    at + 1
                )?;
            }
            let ranking: Vec<String> = ranked.into_iter().map(|(document, _)| document).collect();
            judged
                .entry(leg)
                .or_default()
                .push(Judged::new(&ranking, gains, ms));
        }
        progress("queries", at + 1, queries.len());
    }
    if let Some(dir) = runs_dir {
        fs_err::create_dir_all(dir)?;
        for (leg, run) in runs {
            fs_err::write(dir.join(format!("{leg}.run")), run)?;
        }
    }
    Ok(Report {
        dataset: dataset.name.clone(),
        dataset_sha256: dataset.sha256.clone(),
        documents: dataset.documents.len(),
        queries: queries.len(),
        embedder: model,
        legs: judged
            .into_iter()
            .map(|(leg, judged)| (leg, Metrics::of(&judged)))
            .collect(),
    })
}

/// Returns the documents' sources by id, having indexed those that were not.
async fn index(
    pipeline: &Pipeline,
    dataset: &Dataset,
    progress: &(dyn Fn(&str, usize, usize) + Send + Sync),
) -> anyhow::Result<HashMap<DocumentId, String>> {
    let collection = pipeline.create_collection(COLLECTION).await?.id;
    let mut known: HashSet<String> = sources(pipeline).await?.into_values().collect();
    for row in &dataset.documents {
        if known.insert(row.id.clone()) {
            pipeline
                .add_document(NewDocument {
                    collection,
                    source: row.id.clone(),
                    media_type: Some(EXTRACTED_MEDIA_TYPE.to_owned()),
                    bytes: serde_json::to_vec(&extracted(row))?,
                    acl: Acl::everyone(),
                })
                .await?;
        }
    }
    let mut done = 0;
    loop {
        let jobs = pipeline.run_queued(&|_, _, _| {}).await?;
        if jobs.is_empty() {
            break;
        }
        done += jobs.len();
        progress("documents", done, dataset.documents.len());
        if let Some(failed) = jobs.iter().find(|job| job.error.is_some()) {
            tracing::warn!(document = %failed.source, error = failed.error.as_deref(), "document of the data set was not indexed");
        }
    }
    sources(pipeline).await
}

async fn sources(pipeline: &Pipeline) -> anyhow::Result<HashMap<DocumentId, String>> {
    let access = AccessFilter::unrestricted("evaluation data set");
    let (mut sources, mut after) = (HashMap::new(), None);
    loop {
        let page = pipeline
            .documents(&Collections::All, &access, after.as_deref(), 1000)
            .await?;
        sources.extend(
            page.items
                .into_iter()
                .map(|document| (document.id, document.source)),
        );
        after = page.next;
        if after.is_none() {
            return Ok(sources);
        }
    }
}

fn extracted(row: &CorpusRow) -> Extracted {
    let paragraphs = row
        .text
        .split("\n\n")
        .filter(|text| !text.trim().is_empty());
    let block = |text: &str| Block {
        kind: BlockKind::Paragraph,
        text: text.trim().to_owned(),
        locator: Locator::default(),
    };
    Extracted {
        title: Some(row.title.clone()),
        blocks: paragraphs.map(block).collect(),
        warnings: Vec::new(),
    }
}

/// A leg's name, its documents with their scores, best first, and its milliseconds.
type Leg = (&'static str, Vec<(String, f32)>, f64);

/// Asks a query and returns what each leg found.
async fn ask(
    pipeline: &Pipeline,
    query: &str,
    sources: &HashMap<DocumentId, String>,
) -> anyhow::Result<[Leg; 4]> {
    let access = AccessFilter::unrestricted("evaluation data set");
    let request = SearchRequest {
        text: query.to_owned(),
        collections: Collections::All,
        limit: 10,
    };
    let ranking = pipeline
        .rank(&request, CANDIDATES, pipeline.fusion(), &access)
        .await?;
    let (legs, timings) = (&ranking.legs, ranking.timings);
    let mut hybrid = ranking.fused.clone();
    hybrid.sort_by(|a, b| b.hybrid().total_cmp(&a.hybrid()));
    // A document ranks where its best chunk does.
    let documents = |hits: &mut dyn Iterator<Item = (DocumentId, f32)>| {
        let mut seen = HashSet::new();
        hits.filter(|(id, _)| seen.insert(*id))
            .filter_map(|(id, score)| Some((sources.get(&id)?.clone(), score)))
            .collect::<Vec<_>>()
    };
    Ok([
        (
            "dense",
            documents(&mut legs.dense.iter().map(|hit| (hit.chunk.document, hit.score))),
            timings.embed_ms + legs.dense_ms,
        ),
        (
            "lexical",
            documents(
                &mut legs
                    .lexical
                    .iter()
                    .map(|hit| (hit.chunk.document, hit.score)),
            ),
            legs.lexical_ms,
        ),
        (
            "hybrid",
            documents(
                &mut hybrid
                    .iter()
                    .map(|hit| (hit.candidate.chunk.document, hit.hybrid())),
            ),
            timings.total_ms - timings.late_ms,
        ),
        (
            "reranked",
            documents(
                &mut ranking
                    .fused
                    .iter()
                    .map(|hit| (hit.candidate.chunk.document, hit.score)),
            ),
            timings.total_ms,
        ),
    ])
}

fn read_jsonl<T: serde::de::DeserializeOwned>(
    path: &Path,
    hash: &mut Sha256,
) -> anyhow::Result<Vec<T>> {
    let text = fs_err::read_to_string(path)?;
    hash.update(text.as_bytes());
    let rows = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    rows.map(|(at, line)| {
        serde_json::from_str(line).with_context(|| format!("`{}` line {}", path.display(), at + 1))
    })
    .collect()
}

fn read_qrels(
    path: &Path,
    hash: &mut Sha256,
) -> anyhow::Result<HashMap<String, HashMap<String, f64>>> {
    let text = fs_err::read_to_string(path)?;
    hash.update(text.as_bytes());
    let mut qrels: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for (at, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let mut columns = line.split('\t');
        let (Some(query), Some(document), Some(gain)) =
            (columns.next(), columns.next(), columns.next())
        else {
            bail!(
                "`{}` line {}: three columns separated by tabs are needed",
                path.display(),
                at + 1
            );
        };
        match gain.trim().parse() {
            Ok(gain) => drop(
                qrels
                    .entry(query.to_owned())
                    .or_default()
                    .insert(document.to_owned(), gain),
            ),
            Err(_) if at == 0 => {} // the header
            Err(_) => bail!(
                "`{}` line {}: `{gain}` is not a number",
                path.display(),
                at + 1
            ),
        }
    }
    Ok(qrels)
}
