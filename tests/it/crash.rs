//! `kill -9` at random moments of an ingest: nothing is lost, nothing is there twice, searches are as if undisturbed.

use crate::handbook::{fixtures, index_config, questions};
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::{AccessFilter, Collections, Pipeline, SearchFilter};
use kura_tests::{Kura, models};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Data directories, and kills in each before the run that is left to end.
const DIRECTORIES: usize = 4;
const KILLS: usize = 5;

#[test]
fn killed_ingests_end_like_undisturbed_ones() {
    let kura = Kura::new()
        .with_models()
        .env("KURA__MODELS__EMBEDDER", "multilingual-e5-small");
    let handbook = fixtures().join("handbook");
    let ingest = |data: &Path| {
        kura.command_at(
            data,
            [
                "ingest",
                &handbook.display().to_string(),
                "--collection",
                "handbook",
            ],
        )
    };

    let undisturbed = kura.path("undisturbed");
    let started = Instant::now();
    assert!(
        ingest(&undisturbed)
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    let whole = started.elapsed();
    let expected = snapshot(&undisturbed);
    assert_eq!(expected.0.len(), 15, "{:?}", expected.0);

    // A fixed sequence, so that a failure can be repeated on the same machine.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..DIRECTORIES {
        let data = kura.path(&format!("killed-{round}"));
        for kill in 0..KILLS {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut child = ingest(&data)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let moment = Duration::from_millis(random % (whole.as_millis() as u64 + 1));
            std::thread::sleep(moment);
            child.kill().unwrap();
            child.wait().unwrap();
            println!("directory {round}, kill {kill} after {moment:?} of {whole:?}");
        }
        assert!(
            ingest(&data)
                .stdout(Stdio::null())
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(snapshot(&data), expected, "directory {round}");
    }
}

/// What a reader sees: every document with its chunks, and the hits of ten questions with rounded scores.
type Snapshot = (Vec<(String, u32)>, Vec<Vec<(String, u32, String)>>);

fn snapshot(data: &Path) -> Snapshot {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let pipeline = Pipeline::open(
            data,
            models::embedder("multilingual-e5-small"),
            index_config(),
        )
        .await
        .unwrap();
        let access = AccessFilter::unrestricted("test");
        assert!(pipeline.next_job().await.unwrap().is_none());
        let documents = pipeline
            .documents(&Collections::All, &access, None, 100)
            .await
            .unwrap();
        let documents = documents
            .items
            .into_iter()
            .map(|document| (document.source, document.n_chunks))
            .collect();
        let mut searches = Vec::new();
        for question in questions("handbook.questions.jsonl").into_iter().step_by(3) {
            let request = SearchRequest {
                text: question.question,
                collections: Collections::All,
                limit: 10,
                filter: SearchFilter::default(),
            };
            let hits = pipeline.search(&request, &access).await.unwrap().hits;
            let mut seen: Vec<_> = hits
                .into_iter()
                .map(|hit| (hit.source, hit.chunk.ordinal, format!("{:.4}", hit.score)))
                .collect();
            // Equal scores are ordered by id, and ids are made anew in each directory.
            seen.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| (&a.0, a.1).cmp(&(&b.0, b.1))));
            seen.truncate(8);
            searches.push(seen);
        }
        (documents, searches)
    })
}
