//! A reranker within a search: who comes first, what it gets to read, and what happens when it is slow or fails.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use kura_indexer::explain::Outcome;
use kura_indexer::extract::isolation::InProcess;
use kura_indexer::fuse::Fusion;
use kura_indexer::ingest::NewDocument;
use kura_indexer::retrieve::{SearchOutput, SearchRequest, Stage};
use kura_indexer::store::Bm25;
use kura_indexer::{
    AccessFilter, Acl, ChunkConfig, Collections, DocumentId, GroupId, IndexConfig, IndexModels,
    MetadataChange, Pipeline, Reranking, SearchFilter,
};
use kura_models::Reranker;
use kura_models::fake::{FakeEmbedder, FakeReranker};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// By how well they match the query's words, best first.
const TEXTS: [(&str, &str); 5] = [
    ("a", "Annual leave is twenty days of annual leave."),
    ("b", "Annual leave is requested in the portal."),
    ("c", "Leave the building in case of fire."),
    ("d", "The annual report is due in March."),
    ("e", "The backup runs at night, rank 9."),
];

struct Index {
    pipeline: Arc<Pipeline>,
    ids: HashMap<String, DocumentId>,
    _dir: tempfile::TempDir,
}

async fn open(dir: &Path, reranker: Option<FakeReranker>, reranking: Reranking) -> Arc<Pipeline> {
    let config = IndexConfig {
        chunking: ChunkConfig::default(),
        candidates: 50,
        bm25: Bm25::default(),
        collapse_duplicates: true,
        fusion: Fusion::default(),
        late_budget: Duration::from_secs(10),
        reranking,
        max_text_bytes: 32 << 20,
        min_free_bytes: 0,
    };
    let models = IndexModels {
        embedder: Arc::new(FakeEmbedder::new()),
        reranker: reranker.map(|reranker| Arc::new(reranker) as Arc<dyn Reranker>),
        extractor: Arc::new(InProcess::default()),
    };
    Pipeline::open(dir, models, config).await.unwrap()
}

/// The texts, `secret` ones among them readable by nobody but `board`.
async fn index(reranker: Option<FakeReranker>, reranking: Reranking) -> Index {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), reranker, reranking).await;
    let collection = pipeline.create_collection("c").await.unwrap().id;
    let secret = Acl::readers(BTreeSet::from([GroupId("board".to_owned())]));
    let mut ids = HashMap::new();
    let texts = TEXTS.map(|(name, text)| (name, text, Acl::everyone()));
    let texts = texts
        .into_iter()
        .chain([("secret", "Annual leave of the secret merger.", secret)]);
    for (name, text, acl) in texts {
        let new = NewDocument {
            collection,
            source: format!("{name}.txt"),
            media_type: None,
            bytes: text.as_bytes().to_vec(),
            acl: acl.into(),
            metadata: MetadataChange::default(),
        };
        let added = pipeline.add_document(new).await.unwrap();
        ids.insert(name.to_owned(), added.document.id);
    }
    while !pipeline.run_queued(&|_, _, _| {}).await.unwrap().is_empty() {}
    Index {
        pipeline,
        ids,
        _dir: dir,
    }
}

fn request(limit: usize) -> SearchRequest {
    SearchRequest {
        text: "annual leave".to_owned(),
        collections: Collections::All,
        filter: SearchFilter::default(),
        limit,
    }
}

fn member_of(group: &str) -> AccessFilter {
    let groups = ["everyone", group].map(|name| GroupId(name.to_owned()));
    AccessFilter::groups(BTreeSet::from(groups))
}

fn staff() -> AccessFilter {
    member_of("staff")
}

async fn search(index: &Index, limit: usize) -> SearchOutput {
    index
        .pipeline
        .search(&request(limit), &staff())
        .await
        .unwrap()
}

fn sources(output: &SearchOutput) -> Vec<&str> {
    output.hits.iter().map(|hit| hit.source.as_str()).collect()
}

/// Prefers what speaks of the backup, then the shortest text.
fn contrary() -> FakeReranker {
    FakeReranker::new(|_, text| {
        let backup = if text.contains("backup") {
            1_000.0
        } else {
            0.0
        };
        Some(backup - text.len() as f32)
    })
}

fn first(candidates: usize) -> Reranking {
    Reranking {
        candidates,
        budget: None,
    }
}

#[tokio::test]
async fn the_reranker_alone_orders_what_it_read_and_the_rest_follows() {
    let plain = search(&index(None, first(30)).await, 10).await;
    assert_eq!(sources(&plain)[..2], ["a.txt", "b.txt"]);
    assert!(plain.hits.iter().all(|hit| hit.cross.is_none()));

    let all = search(&index(Some(contrary()), first(30)).await, 10).await;
    assert_eq!(sources(&all)[0], "e.txt");
    let scores: Vec<f32> = all.hits.iter().map(|hit| hit.cross.unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert!(all.dropped.is_empty() && all.timings.cross_ms > 0.0);
    // The fused score stays what it was.
    for hit in &all.hits {
        let before = plain.hits.iter().find(|other| other.chunk == hit.chunk);
        let before = before.map(|hit| hit.score);
        assert!(before.is_none_or(|score| (score - hit.score).abs() < 1e-5));
    }

    let two = search(&index(Some(contrary()), first(2)).await, 10).await;
    assert_eq!(sources(&two)[..2], ["b.txt", "a.txt"]);
    assert_eq!(sources(&two)[2..], sources(&plain)[2..]);
    assert!(two.hits[2..].iter().all(|hit| hit.cross.is_none()));

    let none = search(&index(Some(contrary()), first(0)).await, 10).await;
    assert_eq!(sources(&none), sources(&plain));
}

#[tokio::test]
async fn it_reads_the_query_and_titled_texts_and_nothing_that_the_caller_may_not() {
    let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let sink = Arc::clone(&seen);
    let spy = FakeReranker::new(move |query, text| {
        sink.lock()
            .unwrap()
            .push((query.to_owned(), text.to_owned()));
        Some(1.0)
    });
    let index = index(Some(spy), first(30)).await;
    let output = search(&index, 10).await;
    assert!(!sources(&output).contains(&"secret.txt"));
    let read = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(read.len(), output.hits.len());
    assert!(
        read.iter()
            .all(|(query, text)| query == "annual leave" && !text.contains("merger"))
    );
    assert!(
        read.iter()
            .any(|(_, text)| text.starts_with("a.txt\n") || text.starts_with("a\n")),
        "{read:?}"
    );

    let nobody = AccessFilter::groups(BTreeSet::new());
    let nothing = index.pipeline.search(&request(10), &nobody).await.unwrap();
    assert!(nothing.hits.is_empty() && seen.lock().unwrap().is_empty());

    let board = member_of("board");
    index.pipeline.search(&request(10), &board).await.unwrap();
    assert!(
        seen.lock()
            .unwrap()
            .iter()
            .any(|(_, text)| text.contains("merger"))
    );
}

#[tokio::test]
async fn out_of_time_it_is_dropped_whole_and_the_search_says_so() {
    let plain = search(&index(None, first(30)).await, 10).await;
    let hurried = Reranking {
        candidates: 30,
        budget: Some(Duration::from_millis(60)),
    };
    let slow = contrary().with_delay(Duration::from_millis(40));
    let output = search(&index(Some(slow), hurried).await, 10).await;
    assert_eq!(output.dropped, [Stage::CrossEncoder]);
    assert_eq!(sources(&output), sources(&plain));
    assert!(output.hits.iter().all(|hit| hit.cross.is_none()));
}

#[tokio::test]
async fn a_reranker_that_fails_fails_the_search() {
    let broken = FakeReranker::new(|_, _| None);
    let index = index(Some(broken), first(30)).await;
    assert!(index.pipeline.search(&request(10), &staff()).await.is_err());
}

#[tokio::test]
async fn explain_says_that_the_reranker_put_a_document_out() {
    let index = index(Some(contrary()), first(30)).await;
    let fate = async |name: &str, limit: usize| {
        let (request, access) = (request(limit), staff());
        let id = Some(index.ids[name]);
        let explained = index.pipeline.explain(&request, id, &access).await;
        explained.unwrap().document.unwrap().outcome
    };
    let put_out = fate("a", 1).await;
    let Outcome::CrossEncoder {
        rank_without_reranker: 1,
        rank,
    } = put_out
    else {
        panic!("{put_out:?}");
    };
    assert!(rank > 1);
    assert_eq!(fate("e", 1).await, Outcome::Found { rank: 1 });
}
