//! What must not be lost, mixed up or stuck when something underneath has gone wrong.

use crate::handbook::index_config;
use kura_indexer::catalog::{Job, JobState};
use kura_indexer::ingest::NewDocument;
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::{
    AccessFilter, Acl, CollectionId, Collections, Error, MetadataChange, Pipeline, SearchFilter,
};
use kura_models::Embedder;
use kura_models::fake::FakeEmbedder;
use std::path::{Path, PathBuf};
use std::sync::Arc;

async fn open(dir: &Path) -> Arc<Pipeline> {
    let embedder: Arc<dyn Embedder> = Arc::new(FakeEmbedder::new());
    Pipeline::open(dir, embedder, index_config()).await.unwrap()
}

async fn add(pipeline: &Pipeline, collection: CollectionId, source: &str, text: &str) -> Job {
    let new = NewDocument {
        collection,
        source: source.to_owned(),
        media_type: None,
        bytes: text.as_bytes().to_vec(),
        acl: Acl::everyone().into(),
        metadata: MetadataChange::default(),
    };
    let added = pipeline.add_document(new).await.unwrap();
    pipeline.job(added.job.unwrap()).await.unwrap()
}

async fn found(pipeline: &Pipeline, text: &str) -> Vec<String> {
    let request = SearchRequest {
        text: text.to_owned(),
        collections: Collections::All,
        limit: 10,
        filter: SearchFilter::default(),
    };
    let access = AccessFilter::unrestricted("test");
    let hits = pipeline.search(&request, &access).await.unwrap().hits;
    hits.into_iter().map(|hit| hit.source).collect()
}

fn blobs(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in fs_err::read_dir(dir.join("blobs")).unwrap() {
        for file in fs_err::read_dir(folder.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files
}

#[tokio::test]
async fn a_file_that_the_disk_has_changed_fails_alone_and_can_be_added_again() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let collection = pipeline.create_collection("c").await.unwrap().id;
    let broken = add(
        &pipeline,
        collection,
        "one.md",
        "The keeper is called Ansel.",
    )
    .await;
    for blob in blobs(dir.path()) {
        fs_err::write(blob, "changed").unwrap();
    }
    let sound = add(
        &pipeline,
        collection,
        "two.md",
        "The master is called Brida.",
    )
    .await;
    pipeline.run_queued(&|_, _, _| {}).await.unwrap();
    let broken = pipeline.job(broken.id).await.unwrap();
    assert_eq!(broken.state, JobState::Failed);
    assert!(broken.error.unwrap().contains("add the document again"));
    assert_eq!(pipeline.job(sound.id).await.unwrap().state, JobState::Done);

    let again = add(
        &pipeline,
        collection,
        "one.md",
        "The keeper is called Ansel.",
    )
    .await;
    pipeline.run_queued(&|_, _, _| {}).await.unwrap();
    assert_eq!(pipeline.job(again.id).await.unwrap().state, JobState::Done);
    assert_eq!(found(&pipeline, "Ansel").await[0], "one.md");
}

#[tokio::test]
async fn jobs_of_a_deleted_collection_end() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let collection = pipeline.create_collection("c").await.unwrap().id;
    add(&pipeline, collection, "one.md", "Ansel").await;
    pipeline
        .delete_collection("c", &AccessFilter::unrestricted("test"))
        .await
        .unwrap();
    assert!(pipeline.run_queued(&|_, _, _| {}).await.unwrap().is_empty());
    drop(pipeline);
    // Nothing is taken up again at the next start.
    let pipeline = open(dir.path()).await;
    assert!(pipeline.run_queued(&|_, _, _| {}).await.unwrap().is_empty());
    assert_eq!(found(&pipeline, "Ansel").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_index_is_rebuilt_and_old_generations_go() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let collection = pipeline.create_collection("c").await.unwrap().id;
    add(
        &pipeline,
        collection,
        "one.md",
        "The keeper is called Ansel.",
    )
    .await;
    pipeline.run_queued(&|_, _, _| {}).await.unwrap();
    drop(pipeline);
    fs_err::rename(dir.path().join("index/1"), dir.path().join("index/7")).unwrap();
    let pipeline = open(dir.path()).await;
    assert_eq!(found(&pipeline, "Ansel").await, ["one.md"]);
    assert!(!dir.path().join("index/7").exists());
}

#[tokio::test]
async fn an_index_of_another_analyzer_is_built_anew_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let collection = pipeline.create_collection("c").await.unwrap().id;
    let text = "The keeper is called Ansel.";
    add(&pipeline, collection, "one.md", text).await;
    pipeline.run_queued(&|_, _, _| {}).await.unwrap();
    drop(pipeline);
    let manifest = dir.path().join("index/1/manifest.json");
    let sound = fs_err::read_to_string(&manifest).unwrap();
    let other = sound.replace("\"analyzer_version\": ", "\"analyzer_version\": 9");
    assert_ne!(sound, other);
    fs_err::write(&manifest, other).unwrap();
    // The words of an older analyzer are not looked at: its folder may be of any form.
    fs_err::remove_dir_all(dir.path().join("index/1/lexical")).unwrap();
    let pipeline = open(dir.path()).await;
    let access = AccessFilter::unrestricted("test");
    let request = SearchRequest {
        text: "Ansel".to_owned(),
        collections: Collections::All,
        limit: 10,
        filter: SearchFilter::default(),
    };
    let legs = pipeline
        .rank(&request, &pipeline.rank_options(10), &access)
        .await
        .unwrap()
        .legs;
    assert_eq!((legs.dense.len(), legs.lexical.len()), (1, 1));
    assert_eq!(fs_err::read_to_string(&manifest).unwrap(), sound);
}

#[tokio::test]
async fn another_embedder_is_refused_even_without_an_index() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await);
    fs_err::remove_dir_all(dir.path().join("index")).unwrap();
    let other = kura_tests::models::embedder("all-minilm-l6-v2");
    let refused = Pipeline::open(dir.path(), other, index_config()).await;
    let Err(error @ Error::Incompatible { .. }) = refused else {
        panic!("vectors of two embedders would be mixed")
    };
    assert!(error.to_string().contains("kura admin reindex"), "{error}");
}
