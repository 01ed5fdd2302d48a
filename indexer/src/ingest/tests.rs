use super::*;
use crate::catalog::{JobFilter, JobState, Reason};
use crate::extract::isolation::{Extractor, InProcess, SourceFile};
use crate::pipeline::IndexModels;
use crate::retrieve::SearchRequest;
use crate::{Acl, ChunkConfig, Collections, Extracted, IndexConfig, SearchFilter};
use async_trait::async_trait;
use kura_models::fake::FakeEmbedder;
use kura_models::{Embedder, Embedding, ModelSpec};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

mod children;
mod control;

/// Notes what is embedded, can be made to wait, and can be broken. Each call takes a permit.
struct Watched {
    inner: FakeEmbedder,
    texts: Mutex<Vec<String>>,
    gate: Semaphore,
    broken: AtomicBool,
}

impl Watched {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: FakeEmbedder::new(),
            texts: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            broken: AtomicBool::new(false),
        })
    }

    /// Returns what was embedded since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.texts.lock().unwrap())
    }

    fn close(&self) {
        self.gate.forget_permits(usize::MAX);
    }

    async fn wait_until_called(&self) {
        while self.texts.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[async_trait]
impl Embedder for Watched {
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
        self.texts.lock().unwrap().extend_from_slice(texts);
        self.gate.acquire().await.unwrap().forget();
        if self.broken.load(Ordering::SeqCst) {
            return Err(kura_models::Error::Stopped);
        }
        self.inner.embed_documents(texts).await
    }
}

/// Reads files, or never ends.
#[derive(Default)]
struct Sleepy {
    asleep: AtomicBool,
}

#[async_trait]
impl Extractor for Sleepy {
    async fn extract(&self, file: SourceFile) -> Result<Extracted> {
        if self.asleep.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        InProcess::default().extract(file).await
    }
}

async fn open(dir: &Path, embedder: &Arc<Watched>) -> Arc<Pipeline> {
    open_with(dir, embedder, Arc::new(InProcess::default())).await
}

async fn open_with(
    dir: &Path,
    embedder: &Arc<Watched>,
    extractor: Arc<dyn Extractor>,
) -> Arc<Pipeline> {
    let config = IndexConfig {
        chunking: ChunkConfig {
            max_tokens: 24,
            overlap_tokens: 0,
            min_tokens: 2,
        },
        max_text_bytes: 1 << 20,
        candidates: 50,
        bm25: crate::store::Bm25::default(),
        fusion: crate::fuse::Fusion::default(),
        late_budget: Duration::from_secs(10),
        collapse_duplicates: false,
        reranking: crate::Reranking::default(),
        min_free_bytes: 0,
    };
    let models = IndexModels {
        extractor,
        ..IndexModels::from(Arc::clone(embedder))
    };
    let pipeline = Pipeline::open(dir, models, config).await.unwrap();
    // The probes of the token codec.
    embedder.take();
    pipeline
}

async fn add(pipeline: &Pipeline, collection: &str, source: &str, text: &str) -> Added {
    add_with(pipeline, collection, source, text, Priority::Normal).await
}

async fn add_with(
    pipeline: &Pipeline,
    collection: &str,
    source: &str,
    text: &str,
    priority: Priority,
) -> Added {
    let collection = pipeline.create_collection(collection).await.unwrap().id;
    let new = NewDocument {
        collection,
        source: source.to_owned(),
        media_type: Some("text/markdown".to_owned()),
        bytes: text.as_bytes().to_vec(),
        acl: Acl::everyone().into(),
        metadata: MetadataChange::default(),
    };
    pipeline.add_document_with(new, priority).await.unwrap()
}

async fn run(pipeline: &Pipeline) {
    run_within(pipeline, &Limits::default()).await.unwrap();
}

async fn run_within(pipeline: &Pipeline, limits: &Limits) -> Result<()> {
    pipeline
        .run_jobs(limits, std::future::pending(), &|_| {})
        .await
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

/// Sections of a document with a title of its own; each becomes a chunk.
fn document(sections: &[&str]) -> String {
    let sections = sections
        .iter()
        .map(|name| format!("\n\n## {name}\n\nThe section {name} speaks of {name} alone."));
    format!("# Rules{}", sections.collect::<String>())
}

/// Takes documents apart into many small pieces.
fn small() -> Limits {
    Limits {
        call_chunks: 2,
        piece_chunks: 2,
        pieces: 2,
        ahead_chunks: 4,
        batch_chunks: 4,
        backoff: Duration::ZERO,
        ..Limits::default()
    }
}

#[tokio::test]
async fn nothing_is_embedded_twice() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    add(
        &pipeline,
        "c",
        "rules.md",
        &document(&["alpha", "beta", "gamma"]),
    )
    .await;
    run(&pipeline).await;
    let first = embedder.take();
    assert_eq!(first.len(), 3, "{first:?}");

    // One section of it changes: only that is embedded.
    let changed = document(&["alpha", "delta", "gamma"]);
    let added = add(&pipeline, "c", "rules.md", &changed).await;
    run(&pipeline).await;
    let second = embedder.take();
    assert_eq!(second.len(), 1, "{second:?}");
    assert!(second[0].contains("delta"));
    let job = pipeline.job(added.job.unwrap()).await.unwrap();
    assert_eq!((job.n_chunks, job.n_reused), (3, 2));
    assert!(
        found(&pipeline, "delta")
            .await
            .contains(&"rules.md".to_owned())
    );

    // The same bytes in another collection and under another name: nothing is.
    add(&pipeline, "d", "rules.md", &changed).await;
    add(&pipeline, "c", "copy.md", &changed).await;
    run(&pipeline).await;
    assert_eq!(embedder.take(), [""; 0]);
    let totals = pipeline.ingest_totals();
    assert_eq!((totals.chunks_embedded, totals.chunks_reused), (4, 8));
    assert_eq!(totals.documents, 4);

    // Copies that come at the same time share what is embedded for one of them.
    let other = document(&["epsilon", "zeta"]);
    for source in ["1.md", "2.md", "3.md"] {
        add(&pipeline, "c", source, &other).await;
    }
    run(&pipeline).await;
    assert_eq!(embedder.take().len(), 2);
    let hits = found(&pipeline, "epsilon").await;
    for source in ["1.md", "2.md", "3.md"] {
        assert!(hits.iter().any(|hit| hit == source), "{hits:?}");
    }
}

#[tokio::test]
async fn what_is_reused_is_what_embedding_would_give() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let embedder = Watched::new();
    let text = document(&["alpha", "beta"]);
    let reusing = open(one.path(), &embedder).await;
    add(&reusing, "c", "a.md", &text).await;
    run(&reusing).await;
    add(&reusing, "c", "b.md", &text).await;
    run(&reusing).await;
    let fresh = open(two.path(), &embedder).await;
    add(&fresh, "c", "b.md", &text).await;
    run(&fresh).await;
    let chunks = |pipeline: &Arc<Pipeline>| {
        let pipeline = Arc::clone(pipeline);
        async move {
            let access = AccessFilter::unrestricted("test");
            let all = pipeline
                .documents(&Collections::All, &access, None, 10)
                .await
                .unwrap();
            let id = all
                .items
                .iter()
                .find(|document| document.source == "b.md")
                .unwrap()
                .id;
            pipeline
                .catalog(move |catalog| catalog.chunks(id, 1))
                .await
                .unwrap()
        }
    };
    assert_eq!(chunks(&reusing).await, chunks(&fresh).await);
}

#[tokio::test]
async fn a_large_document_goes_through_in_pieces_and_is_taken_up_where_it_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    let names: Vec<String> = (0..25).map(|at| format!("name{at:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let large = add(&pipeline, "c", "large.md", &document(&names)).await;
    add(&pipeline, "c", "small.md", &document(&["alpha"])).await;

    // Cut off while the ninth call waits, when the pieces before it have been kept.
    embedder.close();
    embedder.gate.add_permits(8);
    let limits = Limits {
        calls: 1,
        ..small()
    };
    let stop = async {
        while embedder.texts.lock().unwrap().len() <= 8 * limits.call_chunks {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    pipeline.run_jobs(&limits, stop, &|_| {}).await.unwrap();
    let job = pipeline.job(large.job.unwrap()).await.unwrap();
    assert_eq!((job.state, job.reason), (JobState::Queued, None));
    embedder.gate.add_permits(1000);
    run_within(&pipeline, &limits).await.unwrap();

    let job = pipeline.job(large.job.unwrap()).await.unwrap();
    assert_eq!((job.state, job.n_chunks), (JobState::Done, 25));
    let mut embedded = embedder.take();
    let n_embedded = embedded.len();
    embedded.sort();
    embedded.dedup();
    assert_eq!(embedded.len(), 26);
    // Only the call that was cut off, and pieces that were not complete, are embedded again.
    assert!(n_embedded <= 26 + 3 * limits.call_chunks, "{n_embedded}");
    for name in ["name00", "name13", "name24"] {
        assert!(
            found(&pipeline, name)
                .await
                .contains(&"large.md".to_owned())
        );
    }
    drop(pipeline);
    // The store has what the catalog has.
    let pipeline = open(dir.path(), &embedder).await;
    assert_eq!(found(&pipeline, "alpha").await[0], "small.md");
    assert!(embedder.take().is_empty());
}

#[tokio::test]
async fn a_large_document_holds_up_no_small_one() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    let names: Vec<String> = (0..60).map(|at| format!("name{at:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    add(&pipeline, "c", "large.md", &document(&names)).await;
    add(&pipeline, "c", "small.md", &document(&["alpha"])).await;
    let limits = Limits {
        calls: 1,
        ..small()
    };
    let ended = Mutex::new(Vec::new());
    let report = |event: Event<'_>| {
        if let Event::Ended(job) = event {
            ended.lock().unwrap().push(job.source.clone());
        }
    };
    pipeline
        .run_jobs(&limits, std::future::pending(), &report)
        .await
        .unwrap();
    assert_eq!(ended.into_inner().unwrap(), ["small.md", "large.md"]);
}

#[tokio::test]
async fn who_waits_goes_first_and_a_failing_file_fails_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    let low = add_with(&pipeline, "c", "low.md", "low text", Priority::Low).await;
    let empty = add(&pipeline, "c", "blank.md", "   ").await;
    let high = add_with(&pipeline, "c", "high.md", "high text", Priority::High).await;
    let limits = Limits {
        readers: 1,
        held_documents: 1,
        ..Limits::default()
    };
    let ended = Mutex::new(Vec::new());
    let report = |event: Event<'_>| {
        if let Event::Ended(job) = event {
            ended.lock().unwrap().push(job.id);
        }
    };
    pipeline
        .run_jobs(&limits, std::future::pending(), &report)
        .await
        .unwrap();
    let ended = ended.into_inner().unwrap();
    assert_eq!(ended.len(), 3);
    let place = |job: Option<JobId>| ended.iter().position(|id| Some(*id) == job);
    assert!(place(high.job) < place(low.job));
    let failed = pipeline.job(empty.job.unwrap()).await.unwrap();
    assert_eq!(
        (failed.state, failed.reason),
        (JobState::Failed, Some(Reason::NoText))
    );
    let filter = JobFilter {
        state: Some(JobState::Failed),
        ..JobFilter::default()
    };
    let dead = pipeline.jobs(&filter, None, 10).await.unwrap().items;
    assert_eq!(dead, [failed]);
}

#[tokio::test]
async fn a_document_with_too_much_text_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    let fits = "word ".repeat(2000);
    let too_much = "word ".repeat(300_000);
    let small = add(&pipeline, "c", "small.txt", &fits).await.job.unwrap();
    let large = add(&pipeline, "c", "large.txt", &too_much)
        .await
        .job
        .unwrap();
    run(&pipeline).await;
    assert_eq!(pipeline.job(small).await.unwrap().state, JobState::Done);
    let refused = pipeline.job(large).await.unwrap();
    assert_eq!(
        (refused.state, refused.reason, refused.attempts),
        (JobState::Failed, Some(Reason::TooLarge), 1)
    );
    let error = refused.error.unwrap();
    assert!(
        error.contains("2 MiB of text, more than the 1 MiB"),
        "{error}"
    );
}

#[tokio::test]
async fn trouble_that_may_pass_is_tried_a_few_times() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let extractor = Arc::new(Sleepy::default());
    let pipeline = open_with(dir.path(), &embedder, Arc::clone(&extractor) as _).await;
    let job = add(&pipeline, "c", "a.md", "some text").await.job.unwrap();
    extractor.asleep.store(true, Ordering::SeqCst);
    let limits = Limits {
        reading_lease: Duration::from_millis(50),
        ..small()
    };
    run_within(&pipeline, &limits).await.unwrap();
    // It may have stopped between two attempts.
    run_within(&pipeline, &limits).await.unwrap();
    run_within(&pipeline, &limits).await.unwrap();
    let failed = pipeline.job(job).await.unwrap();
    assert_eq!(
        (failed.state, failed.reason),
        (JobState::Failed, Some(Reason::Timeout))
    );
    assert_eq!(failed.attempts, 3);
    assert_eq!(
        pipeline.retry_failed(Some(Reason::Timeout)).await.unwrap(),
        1
    );
    extractor.asleep.store(false, Ordering::SeqCst);
    run(&pipeline).await;
    assert_eq!(pipeline.job(job).await.unwrap().state, JobState::Done);
}

#[tokio::test]
async fn a_broken_model_is_told_and_never_the_files_fault() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    let job = add(&pipeline, "c", "a.md", "some text").await.job.unwrap();
    embedder.broken.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        let error = run_within(&pipeline, &Limits::default()).await.unwrap_err();
        assert!(matches!(error, Error::Model(_)), "{error}");
        let waiting = pipeline.job(job).await.unwrap();
        assert_eq!(
            (waiting.state, waiting.reason),
            (JobState::Queued, Some(Reason::Model))
        );
        let obstacle = pipeline.jobs_summary().await.unwrap().obstacle.unwrap();
        assert_eq!(obstacle.reason, Reason::Model);
    }
    embedder.broken.store(false, Ordering::SeqCst);
    run(&pipeline).await;
    assert_eq!(pipeline.job(job).await.unwrap().state, JobState::Done);
    assert_eq!(pipeline.jobs_summary().await.unwrap().obstacle, None);
}

#[tokio::test]
async fn large_files_are_read_one_at_a_time_and_all_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    for at in 0..5 {
        add(
            &pipeline,
            "c",
            &format!("{at}.md"),
            &document(&[&format!("name{at}")]),
        )
        .await;
    }
    let limits = Limits {
        large_bytes: 1,
        ..Limits::default()
    };
    let most = Mutex::new((0, 0));
    let report = |event: Event<'_>| {
        let mut most = most.lock().unwrap();
        match event {
            Event::Progress(_, crate::catalog::Stage::Extract, _) => most.0 += 1,
            Event::Progress(_, crate::catalog::Stage::Store, _) => most.0 -= 1,
            Event::Progress(..) | Event::Took(..) | Event::Ended(_) => {}
        }
        most.1 = most.1.max(most.0);
    };
    pipeline
        .run_jobs(&limits, std::future::pending(), &report)
        .await
        .unwrap();
    let summary = pipeline.jobs_summary().await.unwrap();
    assert_eq!(summary.counts.of(JobState::Done), 5);
    assert_eq!(*most.lock().unwrap(), (0, 1));
}
