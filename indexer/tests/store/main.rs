//! The contract of [`Store`], run on the embedded one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod disk;
mod words;

use kura_indexer::store::{
    Bm25, Counts, EmbeddedStore, IndexOp, Inventory, Query, Scored, Store, StoreSpec, StoredChunk,
};
use kura_indexer::{
    AccessFilter, Acl, Attributes, ChunkId, CollectionId, Collections, DocumentId, GroupId,
    SearchFilter,
};
use std::collections::BTreeSet;
use std::path::Path;
use tempfile::TempDir;
use uuid::Uuid;

const DIM: usize = 4;
const ALL: Collections = Collections::All;
const SHELF: CollectionId = CollectionId(Uuid::from_u128(1));

#[tokio::test]
async fn both_legs_find_what_was_put() {
    let (_dir, store) = empty_store();
    let chunks = vec![
        chunk(
            1,
            0,
            "Vacation",
            "Ask your manager ten days ahead.",
            axis(0),
        ),
        chunk(1, 1, "Vacation", "Unused days lapse in March.", axis(1)),
        chunk(
            2,
            0,
            "Printers",
            "The printer is on the third floor.",
            axis(2),
        ),
    ];
    write(&store, vec![put(SHELF, &Acl::everyone(), chunks)]).await;

    let query = Query {
        text: "third floor printers".to_owned(),
        concepts: Vec::new(),
        bm25: Bm25::default(),
        vector: vec![0.9, 0.1, 0.0, 0.0],
        collections: ALL,
        limit: 2,
        filter: SearchFilter::default(),
    };
    let legs = store.search(&query, &everyone()).await.unwrap();
    assert_eq!(
        ids(&legs.dense),
        [(1, 0), (1, 1)],
        "best first, no more than the limit"
    );
    assert!(
        legs.dense[0].score > 0.98 && legs.dense[0].score <= 1.0,
        "a cosine"
    );
    assert_eq!(ids(&legs.lexical), [(2, 0)]);
    assert!(legs.lexical[0].score > 0.0);
    assert!(legs.dense_ms > 0.0 && legs.lexical_ms > 0.0);
    assert_eq!(
        lexical(&store, "vacation").await,
        [(1, 1), (1, 0)],
        "the title is searched too; the shorter text fits better"
    );
    let counts = store.counts().await.unwrap();
    assert_eq!(
        counts,
        Counts {
            dense: 3,
            lexical: 3
        }
    );
}

#[tokio::test]
async fn a_chunk_put_again_replaces_the_first() {
    let (_dir, store) = empty_store();
    let first = chunk(1, 0, "", "apples", axis(0));
    let second = chunk(1, 0, "", "pears", axis(1));
    write(&store, vec![put(SHELF, &Acl::everyone(), vec![first])]).await;
    write(
        &store,
        vec![put(SHELF, &Acl::everyone(), vec![second.clone()])],
    )
    .await;
    write(&store, vec![put(SHELF, &Acl::everyone(), vec![second])]).await;
    assert!(lexical(&store, "apples").await.is_empty());
    assert_eq!(lexical(&store, "pears").await, [(1, 0)]);
    let hits = dense(&store, axis(1)).await;
    assert_eq!(hits.len(), 1);
    assert!(hits[0].score > 0.99);
}

#[tokio::test]
async fn pruning_deletes_older_versions_only() {
    let (_dir, store) = empty_store();
    let version = |version, text| StoredChunk {
        id: ChunkId {
            version,
            ..id(1, 0)
        },
        ..chunk(1, 0, "", text, axis(0))
    };
    let chunks = vec![
        version(1, "alpha"),
        version(2, "alpha"),
        version(3, "alpha"),
    ];
    let other = chunk(2, 0, "", "alpha", axis(0));
    write(
        &store,
        vec![
            put(SHELF, &Acl::everyone(), chunks),
            put(SHELF, &Acl::everyone(), vec![other]),
        ],
    )
    .await;
    assert_eq!(lexical(&store, "alpha").await.len(), 4);
    write(
        &store,
        vec![IndexOp::Prune {
            document: document(1),
            keep: 2,
        }],
    )
    .await;
    let left = |document_no, version| Inventory {
        document: document(document_no),
        version,
        dense: 1,
        lexical: 1,
    };
    assert_eq!(
        store.inventory().await.unwrap(),
        [left(1, 2), left(1, 3), left(2, 1)]
    );
    assert_eq!(dense(&store, axis(0)).await.len(), 3);
}

#[tokio::test]
async fn what_is_removed_is_not_found() {
    let (_dir, store) = empty_store();
    let other_shelf = CollectionId(Uuid::from_u128(2));
    let on = |shelf, n| {
        put(
            shelf,
            &Acl::everyone(),
            vec![
                chunk(n, 0, "", "alpha", axis(0)),
                chunk(n, 1, "", "alpha", axis(1)),
            ],
        )
    };
    write(&store, vec![on(SHELF, 1), on(SHELF, 2), on(other_shelf, 3)]).await;

    write(
        &store,
        vec![IndexOp::Remove {
            document: document(1),
        }],
    )
    .await;
    assert_eq!(
        lexical(&store, "alpha").await,
        [(2, 0), (2, 1), (3, 0), (3, 1)]
    );
    assert_eq!(documents(&dense(&store, axis(0)).await), [2, 3]);

    write(
        &store,
        vec![IndexOp::RemoveCollection { collection: SHELF }],
    )
    .await;
    assert_eq!(documents(&dense(&store, axis(0)).await), [3]);
    assert_eq!(lexical(&store, "alpha").await, [(3, 0), (3, 1)]);

    // Removing what is not there is no error, and what is put after a removal stays.
    write(
        &store,
        vec![
            IndexOp::Remove {
                document: document(3),
            },
            on(SHELF, 3),
            IndexOp::Remove {
                document: document(9),
            },
        ],
    )
    .await;
    assert_eq!(lexical(&store, "alpha").await, [(3, 0), (3, 1)]);
    assert_eq!(dense(&store, axis(0)).await.len(), 2);
}

#[tokio::test]
async fn a_vector_of_another_length_is_refused() {
    let (_dir, store) = empty_store();
    let short = put(
        SHELF,
        &Acl::everyone(),
        vec![chunk(1, 0, "", "alpha", vec![1.0; DIM - 1])],
    );
    let error = store.apply(vec![short]).await.unwrap_err();
    assert!(
        error.to_string().contains("3 dimensions, the index has 4"),
        "{error}"
    );
    let broken = put(
        SHELF,
        &Acl::everyone(),
        vec![chunk(1, 0, "", "alpha", vec![f32::NAN; DIM])],
    );
    store.apply(vec![broken]).await.unwrap_err();
    store
        .search_dense(&[1.0], &ALL, 5, &everyone())
        .await
        .unwrap_err();
    store.checkpoint().await.unwrap();
    assert_eq!(
        store.counts().await.unwrap(),
        Counts {
            dense: 0,
            lexical: 0
        }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_go_on_while_writing() {
    let (_dir, store) = empty_store();
    write(
        &store,
        vec![put(
            SHELF,
            &Acl::everyone(),
            vec![chunk(1, 0, "", "alpha", axis(0))],
        )],
    )
    .await;
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for n in 2..12 {
            write(
                &writer,
                vec![put(
                    SHELF,
                    &Acl::everyone(),
                    vec![chunk(n, 0, "", "beta", axis(1))],
                )],
            )
            .await;
        }
    });
    while !writing.is_finished() {
        assert_eq!(lexical(&store, "alpha").await, [(1, 0)]);
        assert_eq!(documents(&dense(&store, axis(0)).await)[0], 1);
    }
    writing.await.unwrap();
    assert_eq!(lexical(&store, "beta").await.len(), 10);
}

fn empty_store() -> (TempDir, EmbeddedStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    (dir, store)
}

fn open(dir: &Path) -> kura_indexer::Result<EmbeddedStore> {
    EmbeddedStore::open(dir, &spec())
}

fn spec() -> StoreSpec {
    StoreSpec {
        embedder_id: "fake".to_owned(),
        embedder_revision: "1".to_owned(),
        dim: DIM,
    }
}

async fn write(store: &dyn Store, ops: Vec<IndexOp>) {
    store.apply(ops).await.unwrap();
    store.checkpoint().await.unwrap();
}

async fn lexical(store: &dyn Store, text: &str) -> Vec<(u128, u32)> {
    ids(&store
        .search_lexical(text, &ALL, 20, &everyone())
        .await
        .unwrap())
}

async fn dense(store: &dyn Store, vector: Vec<f32>) -> Vec<Scored> {
    store
        .search_dense(&vector, &ALL, 20, &everyone())
        .await
        .unwrap()
}

fn put(collection: CollectionId, acl: &Acl, chunks: Vec<StoredChunk>) -> IndexOp {
    IndexOp::Put {
        collection,
        acl: acl.clone(),
        attributes: Attributes::default(),
        chunks,
    }
}

fn chunk(n: u128, ordinal: u32, title: &str, text: &str, vector: Vec<f32>) -> StoredChunk {
    StoredChunk {
        id: id(n, ordinal),
        title: title.to_owned(),
        headings: String::new(),
        text: text.to_owned(),
        vector,
    }
}

fn id(n: u128, ordinal: u32) -> ChunkId {
    ChunkId {
        document: document(n),
        version: 1,
        ordinal,
    }
}

fn document(n: u128) -> DocumentId {
    DocumentId(Uuid::from_u128(n))
}

/// A unit vector along one axis.
fn axis(n: usize) -> Vec<f32> {
    let mut vector = vec![0.0; DIM];
    vector[n] = 1.0;
    vector
}

fn acl(names: &[&str]) -> Acl {
    Acl::readers(
        names
            .iter()
            .map(|name| GroupId((*name).to_owned()))
            .collect(),
    )
}

fn groups(names: &[&str]) -> AccessFilter {
    AccessFilter::groups(acl(names).readers)
}

fn everyone() -> AccessFilter {
    groups(&[Acl::EVERYONE])
}

fn ids(hits: &[Scored]) -> Vec<(u128, u32)> {
    hits.iter()
        .map(|hit| (hit.chunk.document.0.as_u128(), hit.chunk.ordinal))
        .collect()
}

/// The documents found, each once, sorted.
fn documents(hits: &[Scored]) -> Vec<u128> {
    let found: BTreeSet<u128> = hits
        .iter()
        .map(|hit| hit.chunk.document.0.as_u128())
        .collect();
    found.into_iter().collect()
}
