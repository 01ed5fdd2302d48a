//! The store alone: its two engines find what the plain definition lets through.

use super::set;
use jiff::ToSpan;
use jiff::civil::{Date, date};
use kura_indexer::store::{
    Bm25, EmbeddedStore, IndexOp, Query, Scored, Store, StoreSpec, StoredChunk,
};
use kura_indexer::{
    AccessFilter, Acl, Attributes, ChunkId, CollectionId, Collections, DocumentId, GroupId,
    Metadata, SearchFilter,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use uuid::Uuid;

fn open_store(dir: &Path) -> EmbeddedStore {
    let spec = StoreSpec {
        embedder_id: "fake".to_owned(),
        embedder_revision: "1".to_owned(),
        dim: 2,
    };
    EmbeddedStore::open(dir, &spec).unwrap()
}

fn put(n: u128, acl: Acl, attributes: Attributes) -> IndexOp {
    let id = |ordinal| ChunkId {
        document: DocumentId(Uuid::from_u128(n)),
        version: 1,
        ordinal,
    };
    let chunks = (0..2).map(|ordinal| StoredChunk {
        id: id(ordinal),
        title: String::new(),
        headings: String::new(),
        text: "alpha".to_owned(),
        vector: vec![1.0, 0.0],
    });
    IndexOp::Put {
        collection: CollectionId(Uuid::nil()),
        acl,
        attributes,
        chunks: chunks.collect(),
    }
}

/// Returns the documents that each leg finds.
async fn legs(store: &dyn Store, filter: &SearchFilter, access: &AccessFilter) -> [Vec<u128>; 2] {
    let query = Query {
        text: "alpha".to_owned(),
        concepts: Vec::new(),
        bm25: Bm25::default(),
        vector: vec![1.0, 0.0],
        collections: Collections::All,
        filter: filter.clone(),
        limit: 100,
    };
    let legs = store.search(&query, access).await.unwrap();
    let documents = |hits: &[Scored]| {
        let found: BTreeSet<u128> = hits
            .iter()
            .map(|hit| hit.chunk.document.0.as_u128())
            .collect();
        found.into_iter().collect()
    };
    [documents(&legs.dense), documents(&legs.lexical)]
}

fn days() -> impl Strategy<Value = Option<Date>> {
    // Around the turn of a month, so that neighbors meet.
    prop::option::of((0_i64..6).prop_map(|n| date(2024, 2, 27).checked_add(n.days()).unwrap()))
}

fn names() -> impl Strategy<Value = BTreeSet<String>> {
    let name = prop::sample::select(vec![
        "hr",
        "HR",
        "人事",
        "a\"b\\c",
        "two words",
        "ｈｒ",
        "a*b",
    ]);
    prop::collection::btree_set(name.prop_map(str::to_owned), 0..3)
}

fn author() -> impl Strategy<Value = Option<String>> {
    let author = prop::sample::select(vec!["Sato", "佐藤; Tanaka", "tanaka", "；"]);
    prop::option::of(author.prop_map(str::to_owned))
}

fn media_type() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["text/plain; charset=utf-8", "application/pdf", ""])
        .prop_map(str::to_owned)
}

prop_compose! {
    fn attributes()(
        media_type in media_type(),
        tags in names(),
        author in author(),
        days in [days(), days(), days(), days()],
        ever in prop::bool::weighted(0.1),
    ) -> Attributes {
        let [date, valid_from, valid_until, superseded_from] = days;
        let metadata = Metadata { tags, author, date, valid_from, valid_until, supersedes: BTreeSet::new() };
        let superseded_from = if ever { Some(Date::ZERO) } else { superseded_from };
        Attributes { media_type, metadata, superseded_from }
    }
}

prop_compose! {
    fn filter()(
        tags in names(),
        any_tags in names(),
        authors in prop::collection::btree_set(prop::sample::select(vec!["sato", "TANAKA", "佐藤"]), 0..3),
        media_types in prop::collection::btree_set(media_type(), 0..2),
        days in [days(), days(), days(), days()],
        // Most conditions are left out, so that something is found.
        kept in prop::collection::vec(prop::bool::weighted(0.35), 8),
    ) -> SearchFilter {
        let keep = |at: usize, names: BTreeSet<String>| if kept[at] { names } else { BTreeSet::new() };
        let [since, until, as_of, not_superseded_on] = days;
        SearchFilter {
            tags: keep(0, tags),
            any_tags: keep(1, any_tags),
            authors: keep(2, authors.into_iter().map(str::to_owned).collect()),
            media_types: keep(3, media_types),
            since: since.filter(|_| kept[4]),
            until: until.filter(|_| kept[5]),
            as_of: as_of.filter(|_| kept[6]),
            not_superseded_on: not_superseded_on.filter(|_| kept[7]),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The two engines and [`SearchFilter::allows`] let the same documents through, also after changes, and never one
    /// that may not be read.
    #[test]
    fn all_filters_agree(
        known in prop::collection::vec((attributes(), any::<bool>()), 1..12),
        changed in prop::collection::vec((any::<prop::sample::Index>(), attributes(), any::<bool>()), 0..5),
        filters in prop::collection::vec(filter(), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = open_store(dir.path());
        let acl = |open: bool| if open { Acl::everyone() } else { Acl::default() };
        let mut known = known;
        let mut ops: Vec<IndexOp> = (0..)
            .zip(&known)
            .map(|(n, (attributes, open))| put(n, acl(*open), attributes.clone()))
            .collect();
        for (index, attributes, open) in changed {
            let n = index.index(known.len());
            let document = DocumentId(Uuid::from_u128(n as u128));
            ops.push(IndexOp::SetAttributes { document, attributes: attributes.clone() });
            ops.push(IndexOp::SetAcl { document, acl: acl(open) });
            known[n] = (attributes, open);
        }
        let everyone = AccessFilter::groups([GroupId(Acl::EVERYONE.to_owned())].into());
        // Half of the changes meet what is committed, half what is not.
        let rest = ops.split_off(ops.len() / 2);
        for ops in [ops, rest] {
            runtime.block_on(store.apply(ops)).unwrap();
            runtime.block_on(store.checkpoint()).unwrap();
        }
        for filter in filters {
            let passing = |(attributes, open): &(Attributes, bool)| *open && filter.allows(attributes);
            let expected: Vec<u128> = (0..).zip(&known).filter(|(_, known)| passing(known)).map(|(n, _)| n).collect();
            let [dense, lexical] = runtime.block_on(legs(&store, &filter, &everyone));
            prop_assert_eq!(&dense, &expected, "dense: {:?}", &filter);
            prop_assert_eq!(&lexical, &expected, "lexical: {:?}", &filter);
        }
    }
}

#[tokio::test]
async fn a_change_of_attributes_replaces_all_of_them_and_keeps_text_vectors_and_readers() {
    let dir = tempfile::tempdir().unwrap();
    let hr = AccessFilter::groups([GroupId("hr".to_owned())].into());
    let acl = Acl::readers([GroupId("hr".to_owned())].into());
    let day = Some(date(2024, 4, 1));
    let before = Attributes {
        media_type: "application/pdf".to_owned(),
        metadata: Metadata {
            tags: set(&["old"]),
            author: Some("Sato".to_owned()),
            date: day,
            valid_until: day,
            ..Metadata::default()
        },
        superseded_from: day,
    };
    let after = Attributes {
        media_type: "application/pdf".to_owned(),
        metadata: Metadata {
            tags: set(&["new"]),
            ..Metadata::default()
        },
        superseded_from: None,
    };
    let store = open_store(dir.path());
    let document = DocumentId(Uuid::from_u128(1));
    store.apply(vec![put(1, acl, before)]).await.unwrap();
    let set_after = IndexOp::SetAttributes {
        document,
        attributes: after,
    };
    // Twice, as after a crash; and of a document that is not there.
    let elsewhere = IndexOp::SetAttributes {
        document: DocumentId(Uuid::from_u128(9)),
        attributes: Attributes::default(),
    };
    store
        .apply(vec![set_after.clone(), set_after, elsewhere])
        .await
        .unwrap();
    store.checkpoint().await.unwrap();
    drop(store);

    let store = open_store(dir.path());
    let none = SearchFilter::default;
    for (filter, found) in [
        (none(), true),
        (
            SearchFilter {
                tags: set(&["new"]),
                as_of: day,
                not_superseded_on: day,
                ..none()
            },
            true,
        ),
        (
            SearchFilter {
                media_types: set(&["application/pdf"]),
                ..none()
            },
            true,
        ),
        (
            SearchFilter {
                tags: set(&["old"]),
                ..none()
            },
            false,
        ),
        (
            SearchFilter {
                authors: set(&["sato"]),
                ..none()
            },
            false,
        ),
        (
            SearchFilter {
                since: day,
                ..none()
            },
            false,
        ),
    ] {
        let expected: Vec<u128> = if found { vec![1] } else { Vec::new() };
        let [dense, lexical] = legs(&store, &filter, &hr).await;
        assert_eq!((&dense, &lexical), (&expected, &expected), "{filter:?}");
        let [dense, lexical] = legs(&store, &filter, &AccessFilter::groups(BTreeSet::new())).await;
        assert!(dense.is_empty() && lexical.is_empty());
    }
    let inventory = store.inventory().await.unwrap();
    assert_eq!((inventory[0].dense, inventory[0].lexical), (2, 2));
}
