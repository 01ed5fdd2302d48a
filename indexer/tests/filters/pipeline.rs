//! The pipeline: what is known of a document is changed, kept, and found by.

use super::set;
use jiff::civil::{Date, date};
use kura_indexer::fuse::Fusion;
use kura_indexer::ingest::{AddOutcome, NewDocument};
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::store::Bm25;
use kura_indexer::{
    AccessFilter, Acl, ChunkConfig, Collections, DocumentId, Error, GroupId, IndexConfig,
    MetadataChange, Pipeline, SearchFilter,
};
use kura_models::fake::FakeEmbedder;
use kura_models::{Embedder, Embedding, ModelSpec};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

fn operator() -> AccessFilter {
    AccessFilter::unrestricted("test")
}

fn embedder() -> Arc<dyn Embedder> {
    Arc::new(FakeEmbedder::new())
}

fn config() -> IndexConfig {
    IndexConfig {
        chunking: ChunkConfig::default(),
        candidates: 50,
        bm25: Bm25::default(),
        collapse_duplicates: true,
        reranking: kura_indexer::Reranking::default(),
        fusion: Fusion::default(),
        late_budget: Duration::from_secs(10),
        max_text_bytes: 32 << 20,
        min_free_bytes: 0,
    }
}

async fn open(dir: &Path) -> Arc<Pipeline> {
    Pipeline::open(dir, embedder(), config()).await.unwrap()
}

async fn add(
    pipeline: &Pipeline,
    source: &str,
    text: &str,
    metadata: MetadataChange,
) -> (DocumentId, AddOutcome) {
    let collection = pipeline.create_collection("c").await.unwrap().id;
    let new = NewDocument {
        collection,
        source: source.to_owned(),
        media_type: None,
        bytes: text.as_bytes().to_vec(),
        acl: Acl::everyone().into(),
        metadata,
    };
    let added = pipeline.add_document(new).await.unwrap();
    while !pipeline.run_queued(&|_, _, _| {}).await.unwrap().is_empty() {}
    (added.document.id, added.outcome)
}

/// Returns the sources found, sorted.
async fn found(pipeline: &Pipeline, filter: SearchFilter) -> Vec<String> {
    let request = SearchRequest {
        text: "travel".to_owned(),
        collections: Collections::All,
        filter: filter.clone(),
        limit: 10,
    };
    let output = pipeline.search(&request, &operator()).await.unwrap();
    let sources: BTreeSet<String> = output.hits.into_iter().map(|hit| hit.source).collect();
    let listed = pipeline
        .filtered_documents(&Collections::All, &filter, &operator(), None, 10)
        .await
        .unwrap();
    let listed: BTreeSet<String> = listed.items.into_iter().map(|item| item.source).collect();
    assert_eq!(sources, listed, "search and list differ: {filter:?}");
    sources.into_iter().collect()
}

fn as_of(day: Date) -> SearchFilter {
    SearchFilter {
        as_of: Some(day),
        not_superseded_on: Some(day),
        ..SearchFilter::default()
    }
}

fn tagged(tag: &str) -> SearchFilter {
    SearchFilter {
        tags: set(&[tag]),
        ..SearchFilter::default()
    }
}

fn supersedes(source: &str, from: Option<Date>) -> MetadataChange {
    MetadataChange {
        supersedes: Some(Some(set(&[source]))),
        valid_from: from.map(Some),
        ..MetadataChange::default()
    }
}

#[tokio::test]
async fn what_is_given_wins_over_what_the_file_says_and_is_changed_without_embedding() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let text = "---\nauthor: Sato\ndate: 令和6年4月1日\ntags: [travel, draft]\n---\n# Travel\n\nBook the train.\n";
    let given = MetadataChange {
        tags: Some(Some(set(&["rules"]))),
        ..MetadataChange::default()
    };
    let (id, _) = add(&pipeline, "travel.md", text, given).await;
    let document = pipeline.document(id, &operator()).await.unwrap();
    assert_eq!(document.metadata.tags, set(&["rules"]));
    assert_eq!(document.metadata.author.as_deref(), Some("Sato"));
    assert_eq!(document.metadata.date, Some(date(2024, 4, 1)));
    assert_eq!(found(&pipeline, tagged("rules")).await, ["travel.md"]);
    assert!(found(&pipeline, tagged("draft")).await.is_empty());

    let change = MetadataChange {
        tags: Some(None),
        author: Some(Some("Tanaka".to_owned())),
        ..MetadataChange::default()
    };
    let changed = pipeline
        .set_metadata(id, change, &operator())
        .await
        .unwrap();
    assert_eq!(
        changed.metadata.tags,
        set(&["draft", "travel"]),
        "the file's own again"
    );
    assert_eq!(changed.metadata.author.as_deref(), Some("Tanaka"));
    assert_eq!(changed.version, 1, "nothing was indexed again");
    assert_eq!(found(&pipeline, tagged("draft")).await, ["travel.md"]);
    assert!(found(&pipeline, tagged("rules")).await.is_empty());

    // The same file with other words about it: they take effect, and the file is not embedded again.
    let again = MetadataChange {
        tags: Some(Some(set(&["final"]))),
        ..MetadataChange::default()
    };
    let (_, outcome) = add(&pipeline, "travel.md", text, again).await;
    assert_eq!(outcome, AddOutcome::Unchanged);
    assert_eq!(found(&pipeline, tagged("final")).await, ["travel.md"]);

    // A new version says something else about itself; what was given stays.
    let (_, outcome) = add(
        &pipeline,
        "travel.md",
        "---\nauthor: Ito\ndate: 2025-04-01\n---\n# Travel\n\nFly.\n",
        MetadataChange::default(),
    )
    .await;
    assert_eq!(outcome, AddOutcome::Replaced);
    let document = pipeline.document(id, &operator()).await.unwrap();
    assert_eq!(document.metadata.tags, set(&["final"]));
    assert_eq!(document.metadata.author.as_deref(), Some("Tanaka"));
    let since = SearchFilter {
        since: Some(date(2025, 4, 1)),
        ..tagged("final")
    };
    assert_eq!(found(&pipeline, since.clone()).await, ["travel.md"]);

    // A rebuilt index knows the same.
    drop(pipeline);
    Pipeline::reindex(dir.path(), embedder(), &|_, _| {})
        .await
        .unwrap();
    let pipeline = open(dir.path()).await;
    assert_eq!(found(&pipeline, since).await, ["travel.md"]);
}

#[tokio::test]
async fn a_superseded_document_leaves_as_of_searches_from_its_successors_first_day_until_that_goes()
{
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let (old_day, new_day) = (date(2024, 3, 31), date(2024, 4, 1));
    let none = MetadataChange::default;
    // The successor comes first: what it supersedes need not be there yet.
    let (new, _) = add(
        &pipeline,
        "new.txt",
        "travel by train",
        supersedes("old.txt", Some(new_day)),
    )
    .await;
    let (old, _) = add(&pipeline, "old.txt", "travel by coach", none()).await;
    add(&pipeline, "other.txt", "travel at night", none()).await;

    let everything = ["new.txt", "old.txt", "other.txt"];
    assert_eq!(
        found(&pipeline, SearchFilter::default()).await,
        everything,
        "without a filter nothing changes"
    );
    assert_eq!(
        found(&pipeline, as_of(old_day)).await,
        ["old.txt", "other.txt"]
    );
    assert_eq!(
        found(&pipeline, as_of(new_day)).await,
        ["new.txt", "other.txt"]
    );
    let with = SearchFilter {
        not_superseded_on: None,
        ..as_of(new_day)
    };
    assert_eq!(found(&pipeline, with).await, everything);

    // A new version of the old one is superseded as well.
    add(&pipeline, "old.txt", "travel by mail coach", none()).await;
    assert_eq!(
        found(&pipeline, as_of(new_day)).await,
        ["new.txt", "other.txt"]
    );
    // The old one goes and comes back as another document.
    pipeline.delete_document(old, &operator()).await.unwrap();
    add(&pipeline, "old.txt", "travel by coach", none()).await;
    assert_eq!(
        found(&pipeline, as_of(new_day)).await,
        ["new.txt", "other.txt"]
    );

    // The successor points elsewhere, then back, then goes.
    pipeline
        .set_metadata(new, supersedes("other.txt", None), &operator())
        .await
        .unwrap();
    assert_eq!(
        found(&pipeline, as_of(new_day)).await,
        ["new.txt", "old.txt"]
    );
    pipeline
        .set_metadata(new, supersedes("old.txt", None), &operator())
        .await
        .unwrap();
    assert_eq!(
        found(&pipeline, as_of(new_day)).await,
        ["new.txt", "other.txt"]
    );
    pipeline.delete_document(new, &operator()).await.unwrap();
    assert_eq!(
        found(&pipeline, as_of(new_day)).await,
        ["old.txt", "other.txt"]
    );
}

#[tokio::test]
async fn a_document_that_cannot_be_found_yet_supersedes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    add(
        &pipeline,
        "old.txt",
        "travel by coach",
        MetadataChange::default(),
    )
    .await;
    let (broken, _) = add(
        &pipeline,
        "new.pdf",
        "%PDF-1.7 cut off",
        supersedes("old.txt", None),
    )
    .await;
    let today = as_of(date(2024, 4, 1));
    let request = SearchRequest {
        text: "travel".to_owned(),
        collections: Collections::All,
        filter: today,
        limit: 10,
    };
    let hits = pipeline.search(&request, &operator()).await.unwrap().hits;
    assert_eq!(hits.len(), 1, "the successor failed, so the old one counts");
    pipeline.delete_document(broken, &operator()).await.unwrap();
}

#[tokio::test]
async fn metadata_that_contradicts_itself_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let (id, _) = add(&pipeline, "a.txt", "travel", MetadataChange::default()).await;
    let day = date(2024, 4, 1);
    let until = |day| MetadataChange {
        valid_until: Some(Some(day)),
        ..MetadataChange::default()
    };
    let from = MetadataChange {
        valid_from: Some(Some(day)),
        ..MetadataChange::default()
    };
    pipeline.set_metadata(id, from, &operator()).await.unwrap();
    for change in [until(day), supersedes("a.txt", None)] {
        let refused = pipeline.set_metadata(id, change, &operator()).await;
        assert!(matches!(refused, Err(Error::InvalidMetadata { .. })));
    }
    let document = pipeline.document(id, &operator()).await.unwrap();
    assert_eq!(document.metadata.valid_until, None);
    assert!(document.metadata.supersedes.is_empty());
    let nobody = AccessFilter::groups(BTreeSet::new());
    let hidden = pipeline
        .set_metadata(id, until(date(2025, 1, 1)), &nobody)
        .await;
    assert!(matches!(hidden, Err(Error::UnknownDocument { .. })));
}

#[tokio::test]
async fn a_change_that_a_crash_kept_from_the_index_reaches_it_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let (id, _) = add(&pipeline, "a.txt", "travel", MetadataChange::default()).await;
    drop(pipeline);
    // Committed in the catalog, not yet told to the index.
    let catalog = kura_indexer::catalog::Catalog::open(&dir.path().join("catalog.db")).unwrap();
    let change = MetadataChange {
        tags: Some(Some(set(&["late"]))),
        ..MetadataChange::default()
    };
    catalog.set_metadata(id, &change).unwrap();
    drop(catalog);
    let pipeline = open(dir.path()).await;
    assert_eq!(found(&pipeline, tagged("late")).await, ["a.txt"]);
}

/// Waits for a permit before it embeds documents, and says that it waits.
struct Gated {
    inner: FakeEmbedder,
    reached: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

#[async_trait::async_trait]
impl Embedder for Gated {
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
        self.reached.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        self.inner.embed_documents(texts).await
    }
}

#[tokio::test]
async fn a_change_does_not_wait_for_indexing_and_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    let (reached, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(100)));
    let gated = Gated {
        inner: FakeEmbedder::new(),
        reached: Arc::clone(&reached),
        gate: Arc::clone(&gate),
    };
    let pipeline = Pipeline::open(dir.path(), Arc::new(gated), config())
        .await
        .unwrap();
    let (id, _) = add(
        &pipeline,
        "a.txt",
        "travel by train",
        MetadataChange::default(),
    )
    .await;
    gate.forget_permits(100);
    reached.forget_permits(100);

    let collection = pipeline.collection("c", &operator()).await.unwrap().id;
    let new = NewDocument {
        collection,
        source: "a.txt".to_owned(),
        media_type: None,
        bytes: b"travel by plane".to_vec(),
        acl: Acl::everyone().into(),
        metadata: MetadataChange::default(),
    };
    pipeline.add_document(new).await.unwrap();
    let indexing = tokio::spawn({
        let pipeline = Arc::clone(&pipeline);
        async move { pipeline.run_queued(&|_, _, _| {}).await }
    });
    reached.acquire().await.unwrap().forget();
    // The job has read what was known of the document, and will put its new version with that.
    let change = MetadataChange {
        tags: Some(Some(set(&["late"]))),
        ..MetadataChange::default()
    };
    let access = operator();
    let changing = pipeline.set_metadata(id, change, &access);
    let changed = tokio::time::timeout(Duration::from_secs(30), changing);
    changed.await.expect("it waits for the job").unwrap();
    assert_eq!(found(&pipeline, tagged("late")).await, ["a.txt"]);
    // Nor has it read who is denied from now on.
    let eve = GroupId("user:eve".to_owned());
    let acl = Acl {
        denied: [eve.clone()].into(),
        ..Acl::everyone()
    };
    pipeline.set_acl(id, acl, &operator()).await.unwrap();
    gate.add_permits(100);
    indexing.await.unwrap().unwrap();
    assert_eq!(pipeline.document(id, &operator()).await.unwrap().version, 2);
    assert_eq!(found(&pipeline, tagged("late")).await, ["a.txt"]);
    let mut groups = Acl::everyone().readers;
    for finds in [1, 0] {
        let request = SearchRequest {
            text: "travel".to_owned(),
            collections: Collections::All,
            filter: SearchFilter::default(),
            limit: 10,
        };
        let (options, access) = (
            pipeline.rank_options(10),
            AccessFilter::groups(groups.clone()),
        );
        let legs = pipeline
            .rank(&request, &options, &access)
            .await
            .unwrap()
            .legs;
        assert_eq!((legs.dense.len(), legs.lexical.len()), (finds, finds));
        groups.insert(eve.clone());
    }
}

/// Makes a data directory as a kura without metadata left it: the catalog's older schema, points without the fields, an
/// index over fewer of them, words of another schema.
#[tokio::test]
async fn a_data_directory_of_an_earlier_version_gets_filters_without_embedding() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let (id, _) = add(
        &pipeline,
        "a.txt",
        "travel by train",
        MetadataChange::default(),
    )
    .await;
    drop(pipeline);
    let catalog = rusqlite::Connection::open(dir.path().join("catalog.db")).unwrap();
    catalog
        .execute_batch(
            "DROP TABLE forgotten_items; DROP TABLE erasures; DROP TABLE collection_members; DROP TABLE denied; DROP TABLE inner_files; DROP INDEX documents_by_parent; ALTER TABLE documents DROP COLUMN parent_id;
             ALTER TABLE documents DROP COLUMN part; ALTER TABLE versions DROP COLUMN holds_parts; DROP TABLE source_items; DROP TABLE sources; DROP TABLE unindexed_attributes; DROP TABLE successions;
             ALTER TABLE documents DROP COLUMN given; ALTER TABLE documents DROP COLUMN found;
             DROP TABLE idempotency_keys; DROP INDEX chunks_by_hash; ALTER TABLE chunks DROP COLUMN hash;
             PRAGMA user_version = 3;",
        )
        .unwrap();
    drop(catalog);
    let index = dir.path().join("index/1");
    strip_dense(&index.join("dense"));
    let manifest = index.join("manifest.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs_err::read(&manifest).unwrap()).unwrap();
    json["analyzer_version"] = 2.into();
    fs_err::write(&manifest, json.to_string()).unwrap();

    let pipeline = open(dir.path()).await;
    let none = SearchFilter::default;
    assert_eq!(found(&pipeline, none()).await, ["a.txt"]);
    let text = SearchFilter {
        media_types: set(&["text/plain"]),
        ..none()
    };
    assert_eq!(
        found(&pipeline, text).await,
        ["a.txt"],
        "the type is known from the catalog"
    );
    assert_eq!(found(&pipeline, as_of(date(2024, 4, 1))).await, ["a.txt"]);
    assert!(found(&pipeline, tagged("rules")).await.is_empty());
    let change = MetadataChange {
        tags: Some(Some(set(&["rules"]))),
        ..MetadataChange::default()
    };
    pipeline
        .set_metadata(id, change, &operator())
        .await
        .unwrap();
    assert_eq!(found(&pipeline, tagged("rules")).await, ["a.txt"]);
    assert_eq!(pipeline.document(id, &operator()).await.unwrap().version, 1);
}

/// Takes the fields and their indexes out of a vector index.
fn strip_dense(dir: &Path) {
    use qdrant_edge::{
        DeletePayloadOp, EdgeShard, FieldIndexOperations, Filter, PayloadOps, UpdateOperation,
    };
    let keys = [
        "denied",
        "tags",
        "author",
        "media_type",
        "date",
        "valid_from",
        "valid_until",
        "superseded_from",
    ];
    let shard = EdgeShard::load(dir, None).unwrap();
    let everything: Filter = serde_json::from_str("{}").unwrap();
    let delete = DeletePayloadOp {
        keys: keys.iter().map(|key| key.parse().unwrap()).collect(),
        points: None,
        filter: Some(everything),
    };
    let delete = PayloadOps::DeletePayload(delete);
    shard
        .update(UpdateOperation::PayloadOperation(delete))
        .unwrap();
    for key in keys {
        let drop = FieldIndexOperations::DeleteIndex(key.parse().unwrap());
        shard
            .update(UpdateOperation::FieldIndexOperation(drop))
            .unwrap();
    }
    shard.flush().unwrap();
    assert_eq!(shard.info().unwrap().payload_schema.len(), 3);
}
