//! Data directories of earlier versions go on working, and are brought up to date without being ingested again.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use kura_indexer::fuse::Fusion;
use kura_indexer::ingest::NewDocument;
use kura_indexer::retrieve::{Hit, SearchRequest};
use kura_indexer::store::Bm25;
use kura_indexer::{
    AccessFilter, Acl, ChunkConfig, Collections, GroupId, IndexConfig, Member, MetadataChange,
    Pipeline, SearchFilter,
};
use kura_models::fake::FakeEmbedder;
use kura_models::{Embedder, Embedding, ModelSpec};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn embedder() -> Arc<dyn Embedder> {
    Arc::new(FakeEmbedder::new())
}

/// Refuses to embed documents.
struct QueriesOnly(FakeEmbedder);

#[async_trait::async_trait]
impl Embedder for QueriesOnly {
    fn spec(&self) -> &ModelSpec {
        self.0.spec()
    }

    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.0.count_tokens(text)
    }

    async fn embed_query(&self, text: &str) -> kura_models::Result<Embedding> {
        self.0.embed_query(text).await
    }

    async fn embed_documents(&self, _: &[String]) -> kura_models::Result<Vec<Embedding>> {
        Err(kura_models::Error::Stopped)
    }
}

async fn open(dir: &Path) -> Arc<Pipeline> {
    open_with(dir, embedder()).await
}

async fn open_with(dir: &Path, embedder: Arc<dyn Embedder>) -> Arc<Pipeline> {
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
    Pipeline::open(dir, embedder, config).await.unwrap()
}

fn request() -> SearchRequest {
    SearchRequest {
        text: "annual leave".to_owned(),
        collections: Collections::All,
        limit: 10,
        filter: SearchFilter::default(),
    }
}

async fn search(pipeline: &Pipeline) -> Vec<Hit> {
    let access = AccessFilter::unrestricted("test");
    pipeline.search(&request(), &access).await.unwrap().hits
}

/// Indexes two texts for everyone.
async fn fill(pipeline: &Pipeline) {
    let collection = pipeline.create_collection("c").await.unwrap().id;
    for text in ["Annual leave is twenty days.", "The backup runs at night."] {
        let new = NewDocument {
            collection,
            source: text.to_owned(),
            media_type: Some("text/plain".to_owned()),
            bytes: text.as_bytes().to_vec(),
            acl: Acl::everyone().into(),
            metadata: MetadataChange::default(),
        };
        pipeline.add_document(new).await.unwrap();
    }
    pipeline.run_queued(&|_, _, _| {}).await.unwrap();
}

#[tokio::test]
async fn chunks_without_token_codes_are_found_and_get_them_when_the_index_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    fill(&pipeline).await;
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

fn groups(names: &[&str]) -> BTreeSet<GroupId> {
    let names = names.iter();
    names.map(|name| GroupId((*name).to_owned())).collect()
}

/// Makes a data directory as a kura without denied groups and members left it: the catalog's older schema, points without
/// the field and its index, words of another schema.
fn forget_permissions(dir: &Path) {
    use qdrant_edge::{
        DeletePayloadOp, EdgeShard, FieldIndexOperations, Filter, PayloadOps, UpdateOperation,
    };
    let catalog = rusqlite::Connection::open(dir.join("catalog.db")).unwrap();
    catalog
        .execute_batch(
            "DROP TABLE forgotten_items; DROP TABLE erasures; DROP TABLE collection_members; DROP TABLE denied; ALTER TABLE sources DROP COLUMN denied;
             PRAGMA user_version = 7;",
        )
        .unwrap();
    let index = dir.join("index/1");
    let shard = EdgeShard::load(&index.join("dense"), None).unwrap();
    let everything: Filter = serde_json::from_str("{}").unwrap();
    let delete = PayloadOps::DeletePayload(DeletePayloadOp {
        keys: vec!["denied".parse().unwrap()],
        points: None,
        filter: Some(everything),
    });
    shard
        .update(UpdateOperation::PayloadOperation(delete))
        .unwrap();
    let drop_index = FieldIndexOperations::DeleteIndex("denied".parse().unwrap());
    shard
        .update(UpdateOperation::FieldIndexOperation(drop_index))
        .unwrap();
    shard.flush().unwrap();
    let known = shard.info().unwrap().payload_schema;
    assert!(!known.contains_key(&"denied".parse().unwrap()));

    let lexical = index.join("lexical");
    fs_err::remove_dir_all(&lexical).unwrap();
    fs_err::create_dir(&lexical).unwrap();
    let mut schema = tantivy::schema::Schema::builder();
    schema.add_text_field("acl", tantivy::schema::STRING);
    tantivy::Index::create_in_dir(&lexical, schema.build()).unwrap();
    let manifest = index.join("manifest.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs_err::read(&manifest).unwrap()).unwrap();
    let format = json.as_object_mut().unwrap().remove("lexical_format");
    assert!(format.is_some());
    fs_err::write(&manifest, json.to_string()).unwrap();
}

#[tokio::test]
async fn documents_of_a_kura_without_permissions_stay_as_open_and_can_be_closed_without_embedding()
{
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    fill(&pipeline).await;
    drop(pipeline);
    forget_permissions(dir.path());

    let pipeline = open_with(dir.path(), Arc::new(QueriesOnly(FakeEmbedder::new()))).await;
    let operator = AccessFilter::unrestricted("test");
    let members = pipeline.members("c", &operator).await.unwrap();
    assert_eq!(members, [Member::everyone()]);
    let everyone = AccessFilter::groups(groups(&["everyone"]));
    let eve = AccessFilter::groups(groups(&["everyone", "user:eve"]));
    let found = async |access: &AccessFilter| {
        let options = pipeline.rank_options(10);
        let ranking = pipeline.rank(&request(), &options, access).await.unwrap();
        let legs = [ranking.legs.dense.len(), ranking.legs.lexical.len()];
        (legs, ranking.into_output(10, false).hits.len())
    };
    assert_eq!(found(&everyone).await, ([2, 1], 2));
    assert_eq!(found(&eve).await, ([2, 1], 2));
    let leave = search(&pipeline).await[0].chunk.document;
    let acl = Acl {
        denied: groups(&["user:eve"]),
        ..Acl::everyone()
    };
    pipeline.set_acl(leave, acl, &operator).await.unwrap();
    assert_eq!(found(&everyone).await, ([2, 1], 2));
    assert_eq!(found(&eve).await, ([1, 0], 1));
    drop(pipeline);

    // The next start finds nothing left to do, and the index still denies.
    let pipeline = open_with(dir.path(), Arc::new(QueriesOnly(FakeEmbedder::new()))).await;
    let options = pipeline.rank_options(10);
    let ranking = pipeline.rank(&request(), &options, &eve).await.unwrap();
    assert_eq!(
        (ranking.legs.dense.len(), ranking.legs.lexical.len()),
        (1, 0)
    );
}
