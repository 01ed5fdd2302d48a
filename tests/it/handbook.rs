//! The main job on the sample handbook, with real models: the right document is found, questions without an
//! answer are refused.

use kura::answer::evidence::{Evidence, Scale};
use kura_indexer::catalog::JobState;
use kura_indexer::chunk::ChunkConfig;
use kura_indexer::fuse::Fusion;
use kura_indexer::ingest::NewDocument;
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::{AccessFilter, Acl, Collections, IndexConfig, Pipeline};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Deserialize)]
pub(crate) struct HandbookQuestion {
    pub id: String,
    pub question: String,
    pub expect_document: Option<String>,
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

pub(crate) fn questions(file: &str) -> Vec<HandbookQuestion> {
    let text = fs_err::read_to_string(fixtures().join(file)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Indexes the handbook into `dir`.
pub(crate) async fn handbook(dir: &Path) -> Arc<Pipeline> {
    let config = IndexConfig {
        chunking: ChunkConfig::default(),
        candidates: 50,
        fusion: Fusion::default(),
        min_free_bytes: 0,
    };
    let pipeline = Pipeline::open(
        dir,
        kura_tests::models::embedder("multilingual-e5-small"),
        config,
    )
    .await
    .unwrap();
    let collection = pipeline.create_collection("handbook").await.unwrap().id;
    for entry in fs_err::read_dir(fixtures().join("handbook")).unwrap() {
        let path = entry.unwrap().path();
        let new = NewDocument {
            collection,
            source: path.file_name().unwrap().to_string_lossy().into_owned(),
            media_type: None,
            bytes: fs_err::read(&path).unwrap(),
            acl: Acl::everyone(),
        };
        pipeline.add_document(new).await.unwrap();
    }
    loop {
        let jobs = pipeline.run_queued(&|_, _, _| {}).await.unwrap();
        if jobs.is_empty() {
            return pipeline;
        }
        for job in jobs {
            assert_eq!(job.state, JobState::Done, "{}: {:?}", job.source, job.error);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_document_is_among_the_first_three() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = handbook(dir.path()).await;
    let access = AccessFilter::unrestricted("test");
    let scale = Scale::measure(pipeline.embedder().as_ref()).await.unwrap();
    let mut found = 0;
    let all = questions("handbook.questions.jsonl")
        .into_iter()
        .chain(questions("handbook.unanswerable.jsonl"));
    for question in all {
        let request = SearchRequest {
            text: question.question.clone(),
            collections: Collections::All,
            limit: 30,
        };
        let output = pipeline.search(&request, &access).await.unwrap();
        let sources: Vec<&str> = output.hits.iter().map(|hit| hit.source.as_str()).collect();
        let rank = question
            .expect_document
            .as_deref()
            .map(|expected| sources.iter().position(|source| *source == expected));
        if matches!(rank, Some(Some(0..3))) {
            found += 1;
        }
        let top = sources.first().map(|s| s.to_string());
        let evidence = Evidence::weigh(
            pipeline.embedder().as_ref(),
            scale,
            &question.question,
            output.hits,
        )
        .await
        .unwrap();
        println!(
            "{} rank {rank:?} support {:.3} {:?} {top:?} {}",
            question.id,
            evidence.support(),
            evidence.features(),
            question.question
        );
    }
    assert!(found >= 28, "{found} of 30");
}
