//! Measures the keyword leg alone on labelled data sets: no model is needed, so a run takes seconds.
//!
//! `cargo run --release --example keyword_leg -- FOLDER [SET...]`, where `FOLDER/SET` is in BEIR layout. With
//! `BM25=1.2,0.75;0.9,0.6` each pair of k1 and b has a line of its own.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program for developers: it prints, and stops at the first thing that is wrong"
)]

use kura_indexer::store::{Bm25, EmbeddedStore, IndexOp, Query, Store, StoreSpec, StoredChunk};
use kura_indexer::{
    AccessFilter, Acl, Attributes, Block, BlockKind, ChunkConfig, ChunkId, CollectionId,
    Collections, DocumentId, Locator, SearchFilter, chunk,
};
use kura_models::Embedder as _;
use kura_models::fake::FakeEmbedder;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Instant;
use uuid::Uuid;

/// Chunks asked for: enough for recall@100 of documents that have a few chunks each.
const CANDIDATES: usize = 300;

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().expect("usage: keyword_leg FOLDER [SET...]");
    let mut sets: Vec<String> = args.collect();
    if sets.is_empty() {
        let entries = fs_err::read_dir(&folder).unwrap();
        sets = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("qrels.tsv").is_file())
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        sets.sort();
    }
    let bm25 = std::env::var("BM25").unwrap_or_else(|_| "1.2,0.75".to_owned());
    let bm25: Vec<Bm25> = bm25.split(';').map(parameters).collect();
    println!(
        "| set | k1 | b | chunks | index KiB | build s | queries | nDCG@10 | recall@10 | recall@100 | p50 ms | p95 ms |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for set in sets {
        measure(&Path::new(&folder).join(&set), &set, &bm25).await;
    }
}

/// Reads `k1,b`.
fn parameters(pair: &str) -> Bm25 {
    let (k1, b) = pair.split_once(',').expect("BM25=K1,B[;K1,B...]");
    Bm25 {
        k1: k1.parse().unwrap(),
        b: b.parse().unwrap(),
    }
}

async fn measure(folder: &Path, set: &str, all: &[Bm25]) {
    let corpus: Vec<Row> = rows(&folder.join("corpus.jsonl"));
    let queries: Vec<Row> = rows(&folder.join("queries.jsonl"));
    let qrels = qrels(&folder.join("qrels.tsv"));
    let dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let (store, n_chunks) = build(dir.path(), &corpus).await;
    let build_s = started.elapsed().as_secs_f64();
    let access = AccessFilter::unrestricted("measuring");
    for bm25 in all {
        let (mut n, mut ndcg, mut recall_10, mut recall_100) = (0, 0.0, 0.0, 0.0);
        let mut latencies = Vec::new();
        for query in &queries {
            let Some(gains) = qrels.get(&query.id) else {
                continue;
            };
            let asked = Query {
                text: query.text.clone(),
                concepts: Vec::new(),
                bm25: *bm25,
                vector: vec![1.0, 0.0],
                collections: Collections::All,
                filter: SearchFilter::default(),
                limit: CANDIDATES,
            };
            let legs = store.search(&asked, &access).await.unwrap();
            latencies.push(legs.lexical_ms);
            let mut seen = HashSet::new();
            let ranking: Vec<f64> = legs
                .lexical
                .iter()
                .map(|hit| hit.chunk.document)
                .filter(|document| seen.insert(*document))
                .map(|document| {
                    let at = usize::try_from(document.0.as_u128()).unwrap();
                    gains.get(&corpus[at].id).copied().unwrap_or(0.0)
                })
                .collect();
            let mut ideal: Vec<f64> = gains.values().copied().collect();
            ideal.sort_by(|a, b| b.total_cmp(a));
            n += 1;
            ndcg += dcg(&ranking) / dcg(&ideal);
            let found = |depth| {
                ranking
                    .iter()
                    .take(depth)
                    .filter(|gain| **gain > 0.0)
                    .count() as f64
            };
            recall_10 += found(10) / ideal.len() as f64;
            recall_100 += found(100) / ideal.len() as f64;
        }
        latencies.sort_by(f64::total_cmp);
        let percentile = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
        let total = f64::from(n);
        println!(
            "| {set} | {} | {} | {n_chunks} | {} | {build_s:.1} | {n} | {:.4} | {:.4} | {:.4} | {:.2} | {:.2} |",
            bm25.k1,
            bm25.b,
            size(&dir.path().join("lexical")) >> 10,
            ndcg / total,
            recall_10 / total,
            recall_100 / total,
            percentile(0.5),
            percentile(0.95)
        );
    }
}

/// Indexes the rows' chunks with a vector that says nothing; a document's id is its row.
async fn build(dir: &Path, corpus: &[Row]) -> (EmbeddedStore, usize) {
    let spec = StoreSpec {
        embedder_id: "none".to_owned(),
        embedder_revision: "none".to_owned(),
        dim: 2,
    };
    let store = EmbeddedStore::open(dir, &spec).unwrap();
    let tokens = FakeEmbedder::new();
    let mut n_chunks = 0;
    for (at, row) in (0..).zip(corpus) {
        let blocks: Vec<Block> = row
            .text
            .split("\n\n")
            .filter(|text| !text.trim().is_empty())
            .map(|text| Block {
                kind: BlockKind::Paragraph,
                text: text.trim().to_owned(),
                locator: Locator::default(),
            })
            .collect();
        let count = |text: &str| tokens.count_tokens(text);
        let chunks: Vec<StoredChunk> = chunk(&blocks, &count, &ChunkConfig::default())
            .chunks
            .into_iter()
            .map(|chunk| StoredChunk {
                id: ChunkId {
                    document: DocumentId(Uuid::from_u128(at)),
                    version: 1,
                    ordinal: chunk.ordinal,
                },
                title: row.title.clone(),
                headings: chunk.context,
                text: chunk.text,
                vector: vec![1.0, 0.0],
            })
            .collect();
        n_chunks += chunks.len();
        let put = IndexOp::Put {
            collection: CollectionId(Uuid::nil()),
            acl: Acl::everyone(),
            attributes: Attributes::default(),
            chunks,
        };
        store.apply(vec![put]).await.unwrap();
    }
    store.checkpoint().await.unwrap();
    (store, n_chunks)
}

fn dcg(gains: &[f64]) -> f64 {
    gains
        .iter()
        .take(10)
        .enumerate()
        .map(|(at, gain)| gain / (at as f64 + 2.0).log2())
        .sum()
}

fn rows(path: &Path) -> Vec<Row> {
    fs_err::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns the relevant documents' gains by query.
fn qrels(path: &Path) -> HashMap<String, HashMap<String, f64>> {
    let mut qrels: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for line in fs_err::read_to_string(path).unwrap().lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        match columns[2].parse::<f64>() {
            Ok(gain) if gain > 0.0 => {
                let query = qrels.entry(columns[0].to_owned()).or_default();
                query.insert(columns[1].to_owned(), gain);
            }
            Ok(_) | Err(_) => {}
        }
    }
    qrels
}

fn size(path: &Path) -> u64 {
    let entries = fs_err::read_dir(path).unwrap();
    entries
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}
