//! How long searches take in a large index: `latency MODELS_DIR CHUNKS DATASET_DIR…`
//!
//! Data sets in BEIR layout are grown to `CHUNKS` chunks: every document is made of sentences drawn from all of them, so
//! words are as frequent as in the originals. Documents are not embedded, which would take hours: each chunk gets a real
//! chunk's vector and tokens, the vector with noise. Queries are the data sets' own, really embedded, one at a time.
//! Prints percentiles per stage, in milliseconds, and the process's memory, as one line of JSON.

use anyhow::Context as _;
use async_trait::async_trait;
use kura_indexer::fuse::Fusion;
use kura_indexer::ingest::{EXTRACTED_MEDIA_TYPE, NewDocument};
use kura_indexer::retrieve::{SearchRequest, SearchTimings};
use kura_indexer::store::Bm25;
use kura_indexer::{
    AccessFilter, Acl, Block, BlockKind, ChunkConfig, Collections, Extracted, IndexConfig, Locator,
    Metadata, MetadataChange, Pipeline, SearchFilter, sentences,
};
use kura_models::{
    DeviceChoice, EmbedConfig, Embedder, Embedding, ModelSpec, Registry, load_embedder,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Sentences of a document: about a chunk of 256 tokens.
const SENTENCES: usize = 8;
/// Real chunks whose vectors and tokens the others get.
const REAL: usize = 400;
const QUERIES: usize = 300;
const WARM_UP: usize = 30;
/// Documents added between two rounds of indexing.
const BATCH: usize = 2_000;

/// Really embeds queries and the first documents only.
struct Borrowing {
    inner: Arc<dyn Embedder>,
    real: Mutex<Vec<Embedding>>,
    random: Mutex<StdRng>,
}

#[async_trait]
impl Embedder for Borrowing {
    fn spec(&self) -> &ModelSpec {
        self.inner.spec()
    }

    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.inner.count_tokens(text)
    }

    async fn embed_query(&self, text: &str) -> kura_models::Result<Embedding> {
        self.inner.embed_query(text).await
    }

    async fn embed_documents(&self, texts: &[String]) -> kura_models::Result<Vec<Embedding>> {
        let n_real = self.real.lock().map_or(0, |real| real.len());
        if n_real < REAL {
            let embedded = self.inner.embed_documents(texts).await?;
            if let Ok(mut real) = self.real.lock() {
                real.extend(embedded.iter().cloned());
            }
            return Ok(embedded);
        }
        let (Ok(real), Ok(mut random)) = (self.real.lock(), self.random.lock()) else {
            return Err(kura_models::Error::Stopped);
        };
        let borrowed = texts.iter().filter_map(|_| {
            let mut embedding = real.choose(&mut *random)?.clone();
            for x in &mut embedding.vector {
                *x += random.random_range(-0.02..0.02);
            }
            let length = embedding.vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            embedding.vector.iter_mut().for_each(|x| *x /= length);
            Some(embedding)
        });
        Ok(borrowed.collect())
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: latency MODELS_DIR CHUNKS DATASET_DIR…";
    let models = arguments.next().context(usage)?;
    let n_chunks: usize = arguments.next().context(usage)?.parse()?;
    let (mut pool, mut queries) = (Vec::new(), Vec::new());
    for dir in arguments {
        for row in rows(&Path::new(&dir).join("corpus.jsonl"))? {
            let text = row["text"].as_str().unwrap_or_default();
            pool.extend(
                sentences(text)
                    .into_iter()
                    .map(|range| text[range].to_owned()),
            );
        }
        let asked = rows(&Path::new(&dir).join("queries.jsonl"))?;
        queries.extend(
            asked
                .iter()
                .filter_map(|row| row["text"].as_str().map(str::to_owned)),
        );
    }
    let installed = Registry::open(Path::new(&models))?.locate("multilingual-e5-small")?;
    let inner = load_embedder(&installed, &DeviceChoice::Cpu, &EmbedConfig::default())?;
    let embedder = Arc::new(Borrowing {
        inner,
        real: Mutex::default(),
        random: Mutex::new(StdRng::seed_from_u64(1)),
    });
    let dir = tempfile::tempdir()?;
    let config = IndexConfig {
        chunking: ChunkConfig::default(),
        candidates: 50,
        bm25: Bm25::default(),
        fusion: Fusion::default(),
        late_budget: Duration::from_secs(10),
        collapse_duplicates: true,
        reranking: kura_indexer::Reranking::default(),
        max_text_bytes: 32 << 20,
        min_free_bytes: 0,
    };
    let pipeline = Pipeline::open(dir.path(), embedder, config).await?;
    let started = Instant::now();
    grow(&pipeline, &pool, n_chunks).await?;
    eprintln!("indexed in {:.0} s", started.elapsed().as_secs_f64());
    let started = Instant::now();
    pipeline.maintain().await?;
    eprintln!("graph built in {:.0} s", started.elapsed().as_secs_f64());

    let mut random = StdRng::seed_from_u64(2);
    let mut timings = Vec::with_capacity(QUERIES);
    for at in 0..WARM_UP + QUERIES {
        let request = SearchRequest {
            text: queries.choose(&mut random).context("no queries")?.clone(),
            collections: Collections::All,
            limit: 10,
            filter: SearchFilter::default(),
        };
        let found = pipeline
            .search(&request, &AccessFilter::unrestricted("benchmark"))
            .await?;
        if at >= WARM_UP {
            timings.push(found.timings);
        }
    }
    let stage = |ms: fn(&SearchTimings) -> f64| {
        let mut ms: Vec<f64> = timings.iter().map(ms).collect();
        ms.sort_by(f64::total_cmp);
        let percentile = |share: f64| ms[(share * (ms.len() - 1) as f64).round() as usize];
        json!({ "p50": percentile(0.5), "p95": percentile(0.95), "p99": percentile(0.99) })
    };
    let collection = pipeline
        .collection("grown", &AccessFilter::unrestricted("benchmark"))
        .await?;
    println!(
        "{}",
        json!({
            "chunks": collection.n_chunks,
            "embed": stage(|t| t.embed_ms),
            "dense": stage(|t| t.dense_ms),
            "lexical": stage(|t| t.lexical_ms),
            "hydrate": stage(|t| t.hydrate_ms),
            "late_interaction": stage(|t| t.late_ms),
            "without_late_interaction": stage(|t| t.total_ms - t.late_ms),
            "total": stage(|t| t.total_ms),
            "rss_mib": rss_mib(),
        })
    );
    Ok(())
}

/// Adds documents until there are about `n_chunks` chunks.
async fn grow(pipeline: &Pipeline, pool: &[String], n_chunks: usize) -> anyhow::Result<()> {
    let collection = pipeline.create_collection("grown").await?.id;
    let mut random = StdRng::seed_from_u64(3);
    let mut added = 0;
    while pipeline
        .collection("grown", &AccessFilter::unrestricted("benchmark"))
        .await?
        .n_chunks
        < n_chunks as u64
    {
        for _ in 0..BATCH {
            let text: Vec<&str> = (0..SENTENCES)
                .filter_map(|_| pool.choose(&mut random).map(String::as_str))
                .collect();
            let extracted = Extracted {
                title: Some(format!("Document {added}")),
                blocks: vec![Block {
                    kind: BlockKind::Paragraph,
                    text: text.join(" "),
                    locator: Locator::default(),
                }],
                warnings: Vec::new(),
                metadata: Metadata::default(),
                pages: Vec::new(),
            };
            pipeline
                .add_document(NewDocument {
                    collection,
                    source: format!("document-{added}"),
                    media_type: Some(EXTRACTED_MEDIA_TYPE.to_owned()),
                    bytes: serde_json::to_vec(&extracted)?,
                    acl: Acl::everyone().into(),
                    metadata: MetadataChange::default(),
                })
                .await?;
            added += 1;
        }
        while !pipeline.run_queued(&|_, _, _| {}).await?.is_empty() {}
    }
    Ok(())
}

fn rows(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = fs_err::read_to_string(path)?;
    text.lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

/// Resident memory of this process, where Linux tells it.
fn rss_mib() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}
