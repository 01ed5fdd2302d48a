//! Data directories of earlier versions go on working, and are brought up to date without being ingested again.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use kura_indexer::fuse::Fusion;
use kura_indexer::ingest::NewDocument;
use kura_indexer::retrieve::{Hit, SearchRequest};
use kura_indexer::store::Bm25;
use kura_indexer::{
    AccessFilter, Acl, ChunkConfig, Collections, IndexConfig, MetadataChange, Pipeline,
    SearchFilter,
};
use kura_models::Embedder;
use kura_models::fake::FakeEmbedder;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn embedder() -> Arc<dyn Embedder> {
    Arc::new(FakeEmbedder::new())
}

async fn open(dir: &Path) -> Arc<Pipeline> {
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
    Pipeline::open(dir, embedder(), config).await.unwrap()
}

async fn search(pipeline: &Pipeline) -> Vec<Hit> {
    let request = SearchRequest {
        text: "annual leave".to_owned(),
        collections: Collections::All,
        limit: 10,
        filter: SearchFilter::default(),
    };
    let access = AccessFilter::unrestricted("test");
    pipeline.search(&request, &access).await.unwrap().hits
}

#[tokio::test]
async fn chunks_without_token_codes_are_found_and_get_them_when_the_index_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let collection = pipeline.create_collection("c").await.unwrap().id;
    for text in ["Annual leave is twenty days.", "The backup runs at night."] {
        let new = NewDocument {
            collection,
            source: text.to_owned(),
            media_type: Some("text/plain".to_owned()),
            bytes: text.as_bytes().to_vec(),
            acl: Acl::everyone(),
            metadata: MetadataChange::default(),
        };
        pipeline.add_document(new).await.unwrap();
    }
    pipeline.run_queued(&|_, _, _| {}).await.unwrap();
    let with_codes = search(&pipeline).await;
    assert!(with_codes.iter().all(|hit| hit.late.is_some()));
    drop(pipeline);

    // As an earlier version left it.
    let catalog = rusqlite::Connection::open(dir.path().join("catalog.db")).unwrap();
    let changed = catalog
        .execute("UPDATE chunks SET tokens = NULL", [])
        .unwrap();
    assert_eq!(changed, 2);
    catalog
        .execute("DELETE FROM meta WHERE key = 'token_center'", [])
        .unwrap();
    drop(catalog);

    let pipeline = open(dir.path()).await;
    let without = search(&pipeline).await;
    assert_eq!(without.len(), 2);
    assert!(without.iter().all(|hit| hit.late.is_none()));
    assert!(without[0].text.starts_with("Annual"));
    drop(pipeline);

    Pipeline::reindex(dir.path(), embedder(), &|_, _| {})
        .await
        .unwrap();
    let pipeline = open(dir.path()).await;
    let again = search(&pipeline).await;
    let scores = |hits: &[Hit]| hits.iter().map(|hit| hit.late).collect::<Vec<_>>();
    assert_eq!(scores(&again), scores(&with_codes));
}
