//! Nobody finds what they may not read.

use super::{
    ALL, SHELF, acl, axis, chunk, dense, document, documents, empty_store, everyone, groups,
    lexical, put, write,
};
use kura_indexer::store::{Counts, IndexOp, Store as _};
use kura_indexer::{AccessFilter, Acl, CollectionId, Collections, GroupId};
use proptest::prelude::*;
use std::collections::BTreeSet;
use uuid::Uuid;

#[tokio::test]
async fn an_empty_filter_finds_nothing() {
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
    let nobody = AccessFilter::groups(BTreeSet::new());
    let nowhere = Collections::Only(Vec::new());
    for (collections, access, limit) in [
        (&ALL, &nobody, 10),
        (&nowhere, &everyone(), 10),
        (&ALL, &everyone(), 0),
    ] {
        assert!(
            store
                .search_dense(&axis(0), collections, limit, access)
                .await
                .unwrap()
                .is_empty()
        );
        assert!(
            store
                .search_lexical("alpha", collections, limit, access)
                .await
                .unwrap()
                .is_empty()
        );
    }
    assert!(
        lexical(&store, " 、").await.is_empty(),
        "a query without words"
    );
}

#[tokio::test]
async fn a_document_nobody_may_read_is_found_by_nobody() {
    let (_dir, store) = empty_store();
    let nobody = Acl::default();
    write(
        &store,
        vec![put(SHELF, &nobody, vec![chunk(1, 0, "", "alpha", axis(0))])],
    )
    .await;
    assert!(dense(&store, axis(0)).await.is_empty());
    assert!(lexical(&store, "alpha").await.is_empty());
    let operator = AccessFilter::unrestricted("test");
    assert_eq!(
        store
            .search_dense(&axis(0), &ALL, 5, &operator)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        store
            .search_lexical("alpha", &ALL, 5, &operator)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn an_acl_change_right_after_a_put_holds() {
    let (_dir, store) = empty_store();
    let put = put(
        SHELF,
        &acl(&["sales"]),
        vec![
            chunk(1, 0, "Title", "alpha", axis(0)),
            chunk(1, 1, "Title", "beta", axis(1)),
        ],
    );
    let change = IndexOp::SetAcl {
        document: document(1),
        acl: acl(&["legal"]),
    };
    write(&store, vec![put, change]).await;
    for (group, found) in [("sales", 0), ("legal", 2)] {
        let access = groups(&[group]);
        assert_eq!(
            store
                .search_dense(&axis(0), &ALL, 5, &access)
                .await
                .unwrap()
                .len(),
            found
        );
        assert_eq!(
            store
                .search_lexical("title", &ALL, 5, &access)
                .await
                .unwrap()
                .len(),
            found
        );
    }
    assert_eq!(
        store.counts().await.unwrap(),
        Counts {
            dense: 2,
            lexical: 2
        }
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The two engines' filters and [`AccessFilter::allows`] let the same documents through.
    #[test]
    fn all_filters_agree(
        acls in prop::collection::vec((some_acl(), 0_u128..3), 1..12),
        changed in prop::collection::vec((any::<prop::sample::Index>(), some_acl()), 0..3),
        asking in prop::collection::vec((some_groups(), shelves(), shelves()), 6),
        many in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (_dir, store) = empty_store();
        let mut documents: Vec<(Acl, CollectionId)> = acls
            .into_iter()
            .map(|(acl, shelf)| (acl, CollectionId(Uuid::from_u128(shelf))))
            .collect();
        let mut ops: Vec<IndexOp> = (0..)
            .zip(&documents)
            .map(|(n, (acl, shelf))| put(*shelf, acl, vec![chunk(n, 0, "", "alpha", axis(0))]))
            .collect();
        for (index, acl) in changed {
            let n = index.index(documents.len());
            documents[n].0 = acl;
            ops.push(IndexOp::SetAcl { document: document(n as u128), acl: documents[n].0.clone() });
        }
        runtime.block_on(write(&store, ops));
        for (mut wanted, searched, limited) in asking {
            if many && !wanted.is_empty() {
                // So many groups that the lexical leg filters by another kind of query.
                wanted.extend((0..50).map(|n| GroupId(format!("unused {n}"))));
            }
            let expected = |access: &AccessFilter| -> Vec<u128> {
                let documents = (0..).zip(&documents);
                let found = documents.filter(|(_, (acl, shelf))| {
                    searched.contains(*shelf) && access.allows(*shelf, acl)
                });
                found.map(|(n, _)| n).collect()
            };
            let collections = &searched;
            let operator = AccessFilter::unrestricted("test").within(&limited);
            let legs = [
                runtime.block_on(store.search_dense(&axis(0), collections, 50, &operator)).unwrap(),
                runtime.block_on(store.search_lexical("alpha", collections, 50, &operator)).unwrap(),
            ];
            for leg in legs {
                prop_assert_eq!(self::documents(&leg), expected(&operator));
            }
            let access = AccessFilter::groups(wanted).within(&limited);
            let expected = expected(&access);
            let dense = runtime.block_on(store.search_dense(&axis(0), collections, 50, &access)).unwrap();
            let lexical = runtime.block_on(store.search_lexical("alpha", collections, 50, &access)).unwrap();
            prop_assert_eq!(self::documents(&dense), expected.clone());
            prop_assert_eq!(self::documents(&lexical), expected);
        }
    }
}

fn some_groups() -> impl Strategy<Value = BTreeSet<GroupId>> {
    let names = [
        "everyone",
        "sales",
        "営業 部",
        "a\"b\\c",
        "Sales",
        "user:eve",
    ];
    let name = prop::sample::select(names.to_vec());
    prop::collection::btree_set(name.prop_map(|name| GroupId(name.to_owned())), 0..4)
}

fn some_acl() -> impl Strategy<Value = Acl> {
    // Half of the documents deny nobody.
    let denied = prop::option::of(some_groups()).prop_map(Option::unwrap_or_default);
    (some_groups(), denied).prop_map(|(readers, denied)| Acl { readers, denied })
}

fn shelves() -> impl Strategy<Value = Collections> {
    let only = prop::option::of(prop::collection::vec(0_u128..4, 0..4));
    only.prop_map(|only| match only {
        None => ALL,
        Some(only) => Collections::Only(
            only.into_iter()
                .map(|n| CollectionId(Uuid::from_u128(n)))
                .collect(),
        ),
    })
}
