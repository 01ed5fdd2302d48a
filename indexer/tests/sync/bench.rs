//! A data directory, and a place in memory that is scanned into it.

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use kura_indexer::catalog::{NewSource, Source};
use kura_indexer::fuse::Fusion;
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::store::Bm25;
use kura_indexer::sync::{
    Connector, Failure, Fetched, Item, ScanOptions, ScanReport, Standing, scan,
};
use kura_indexer::{
    AccessFilter, Acl, ChunkConfig, Collections, DocumentId, IndexConfig, Pipeline, SearchFilter,
};
use kura_models::fake::FakeEmbedder;
use kura_models::{Embedder, Embedding, ModelSpec};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// Counts the texts it embeds.
pub(super) struct CountingEmbedder {
    inner: FakeEmbedder,
    n_texts: AtomicUsize,
}

#[async_trait]
impl Embedder for CountingEmbedder {
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
        self.n_texts.fetch_add(texts.len(), Ordering::SeqCst);
        self.inner.embed_documents(texts).await
    }
}

#[derive(Clone)]
pub(super) struct File {
    text: String,
    marker: u64,
    inode: Option<u64>,
}

/// A place in memory.
#[derive(Default)]
pub(super) struct Place {
    pub(super) files: Mutex<BTreeMap<String, File>>,
    pub(super) root: Mutex<Option<String>>,
    /// The listing breaks off after this many items.
    pub(super) breaks: Mutex<Option<usize>>,
    pub(super) unreadable: Mutex<Vec<String>>,
    n_fetched: AtomicUsize,
    clock: Mutex<u64>,
}

impl Place {
    fn tick(&self) -> u64 {
        let mut clock = self.clock.lock().unwrap();
        *clock += 1;
        *clock
    }

    pub(super) fn write(&self, key: &str, text: &str) {
        let now = self.tick();
        let mut files = self.files.lock().unwrap();
        let inode = files.get(key).map_or(Some(now), |file| file.inode);
        let file = File {
            text: text.to_owned(),
            marker: now,
            inode,
        };
        files.insert(key.to_owned(), file);
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        let now = self.tick();
        let mut files = self.files.lock().unwrap();
        let file = files.remove(from).unwrap();
        files.insert(
            to.to_owned(),
            File {
                marker: now,
                ..file
            },
        );
    }

    pub(super) fn remove(&self, key: &str) {
        self.files.lock().unwrap().remove(key).unwrap();
    }

    pub(super) fn fetched(&self) -> usize {
        self.n_fetched.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl Connector for Place {
    fn list(&self) -> BoxStream<'_, Result<Item, Failure>> {
        let files = self.files.lock().unwrap().clone();
        let whole = files.into_iter().map(|(key, file)| {
            Ok(Item {
                marker: file.marker.to_string(),
                source: key.clone(),
                link: format!("test:{key}"),
                size_bytes: Some(file.text.len() as u64),
                hint: file.inode.map(|inode| inode.to_string()),
                note: None,
                standing: Standing::Ready,
                key,
            })
        });
        let mut items: Vec<_> = whole.collect();
        if let Some(n) = *self.breaks.lock().unwrap() {
            items.truncate(n);
            items.push(Err(Failure("the cable is out".to_owned())));
        }
        stream::iter(items).boxed()
    }

    async fn fetch(&self, item: &Item) -> Fetched {
        self.n_fetched.fetch_add(1, Ordering::SeqCst);
        if self.unreadable.lock().unwrap().contains(&item.key) {
            return Fetched::Failed("permission denied".to_owned());
        }
        match self.files.lock().unwrap().get(&item.key) {
            Some(file) => Fetched::Content {
                bytes: file.text.clone().into_bytes(),
                media_type: None,
            },
            None => Fetched::Gone,
        }
    }

    async fn root(&self) -> Result<Option<String>, Failure> {
        Ok(self.root.lock().unwrap().clone())
    }
}

pub(super) struct Bench {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) embedder: Arc<CountingEmbedder>,
    pub(super) place: Place,
    pub(super) dir: TempDir,
}

pub(super) const OPTIONS: ScanOptions = ScanOptions {
    allow_deletions: false,
    retry: false,
    max_bytes: 1 << 20,
};

fn config() -> IndexConfig {
    IndexConfig {
        chunking: ChunkConfig::default(),
        candidates: 50,
        bm25: Bm25::default(),
        fusion: Fusion::default(),
        late_budget: Duration::from_secs(10),
        collapse_duplicates: true,
        reranking: kura_indexer::Reranking::default(),
        max_text_bytes: 32 << 20,
        min_free_bytes: 0,
    }
}

pub(super) async fn open(dir: &Path, embedder: &Arc<CountingEmbedder>) -> Arc<Pipeline> {
    let embedder: Arc<dyn Embedder> = Arc::clone(embedder) as _;
    Pipeline::open(dir, embedder, config()).await.unwrap()
}

impl Bench {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let embedder = Arc::new(CountingEmbedder {
            inner: FakeEmbedder::new(),
            n_texts: AtomicUsize::new(0),
        });
        let pipeline = open(dir.path(), &embedder).await;
        let bench = Self {
            pipeline,
            embedder,
            place: Place::default(),
            dir,
        };
        bench.add_source("s").await;
        // The probes of the token codec.
        bench.embedded();
        bench
    }

    pub(super) async fn add_source(&self, name: &str) -> Source {
        let collection = self.pipeline.create_collection("c").await.unwrap().id;
        let new = NewSource {
            name: name.to_owned(),
            kind: "test".to_owned(),
            collection,
            location: "test:".to_owned(),
            settings: json!({}),
            include: Vec::new(),
            exclude: Vec::new(),
            acl: Acl::everyone(),
            interval: Duration::from_secs(300),
            watch: false,
        };
        self.pipeline.create_source(new).await.unwrap()
    }

    pub(super) async fn source(&self) -> Source {
        self.pipeline.source("s").await.unwrap()
    }

    pub(super) async fn scan_with(&self, options: ScanOptions) -> ScanReport {
        let report = scan(
            &self.pipeline,
            &self.source().await,
            &self.place,
            options,
            &|_| (),
        )
        .await
        .unwrap();
        while !self
            .pipeline
            .run_queued(&|_, _, _| {})
            .await
            .unwrap()
            .is_empty()
        {}
        report
    }

    /// Scans and indexes.
    pub(super) async fn scan(&self) -> ScanReport {
        self.scan_with(OPTIONS).await
    }

    /// Returns the texts embedded since the last call.
    pub(super) fn embedded(&self) -> usize {
        self.embedder.n_texts.swap(0, Ordering::SeqCst)
    }

    pub(super) async fn documents(&self) -> BTreeMap<String, (DocumentId, String, String)> {
        let access = AccessFilter::unrestricted("test");
        let page = self
            .pipeline
            .documents(&Collections::All, &access, None, 1000)
            .await
            .unwrap();
        let mut documents = BTreeMap::new();
        for document in page.items {
            let text = self
                .pipeline
                .document_text(document.id, &access)
                .await
                .unwrap();
            documents.insert(document.source, (document.id, document.title, text));
        }
        documents
    }

    /// Fails unless kura has what the place has, and nothing is left over anywhere.
    pub(super) async fn assert_in_step(&self) {
        let texts: BTreeMap<_, _> = self
            .documents()
            .await
            .into_iter()
            .map(|(source, (_, _, text))| (source, text.trim().to_owned()))
            .collect();
        let files = self.place.files.lock().unwrap().clone();
        let files: BTreeMap<_, _> = files
            .into_iter()
            .map(|(key, file)| (key, file.text))
            .collect();
        assert_eq!(texts, files);
        let verified = self.pipeline.verify(true).await.unwrap();
        assert_eq!(verified.findings, [], "{verified:?}");
        assert_eq!(verified.n_documents, files.len());
    }

    pub(super) async fn found(&self, text: &str) -> Vec<String> {
        let request = SearchRequest {
            text: text.to_owned(),
            collections: Collections::All,
            limit: 5,
            filter: SearchFilter::default(),
        };
        let access = AccessFilter::unrestricted("test");
        let hits = self.pipeline.search(&request, &access).await.unwrap().hits;
        hits.into_iter().map(|hit| hit.source).collect()
    }
}

/// Looks at a data directory without repairing it.
pub(super) async fn looked_at(
    embedder: &Arc<CountingEmbedder>,
    dir: &Path,
) -> kura_indexer::verify::Verification {
    let embedder: Arc<dyn Embedder> = Arc::clone(embedder) as _;
    let pipeline = Pipeline::open_as_is(dir, embedder, config()).await.unwrap();
    pipeline.verify(true).await.unwrap()
}
