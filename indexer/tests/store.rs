//! The contract of [`Store`], run on the embedded one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kura_indexer::store::{
    Bm25, Counts, EmbeddedStore, IndexOp, Inventory, Query, Scored, Store, StoreSpec, StoredChunk,
};
use kura_indexer::{
    AccessFilter, Acl, Attributes, ChunkId, CollectionId, Collections, DocumentId, Error, GroupId,
    SearchFilter,
};
use proptest::prelude::*;
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

#[tokio::test]
async fn short_japanese_queries_and_codes_find_their_text() {
    let (_dir, store) = empty_store();
    let texts = [
        "有給休暇の申請期限はいつですか。社内規程に従ってください。",
        "東京特許許可局の社内ナレッジ検索でRAGを導入する。",
        "ｸﾗｽﾀ構成とスケールアウト手順を教えてください。",
        "情報セキュリティポリシー第3.2条による。サーバーの管理者。",
        "VPN接続エラーコード0x80070005、部品番号AB-1234。",
        "To be, or not to be.",
    ];
    let chunks = (0..)
        .zip(texts)
        .map(|(n, text)| chunk(n, 0, "", text, axis(0)))
        .collect();
    write(&store, vec![put(SHELF, &Acl::everyone(), chunks)]).await;
    for (query, expected) in [
        ("特許", 1),
        ("検索", 1),
        ("許可", 1),
        ("東京 特許", 1),
        ("rag", 1),
        ("有給休暇", 0),
        ("給休", 0),
        ("暇", 0),
        ("申請期限", 0),
        ("いつ", 0),
        ("クラスタ", 2),
        ("ｸﾗｽﾀ構成", 2),
        ("スケール アウト", 2),
        ("セキュリティ", 3),
        ("3.2条", 3),
        ("サーバ", 3),
        ("ｻｰﾊﾞｰ", 3),
        ("0x80070005", 4),
        ("０Ｘ８００７０００５", 4),
        ("ab-1234", 4),
        ("1234", 4),
        ("エラーコード", 4),
        ("ＶＰＮ", 4),
        ("to be or not to be", 5),
    ] {
        let hits = lexical(&store, query).await;
        assert_eq!(hits.first(), Some(&(expected, 0)), "{query}: {hits:?}");
    }
    assert!(
        lexical(&store, "存在しない単語 absent")
            .await
            .iter()
            .all(|&(n, _)| n != 5)
    );
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

#[tokio::test]
async fn a_checkpoint_outlasts_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    write(
        &store,
        vec![put(
            SHELF,
            &Acl::everyone(),
            vec![chunk(1, 0, "", "alpha", axis(0))],
        )],
    )
    .await;
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(lexical(&store, "alpha").await, [(1, 0)]);
    assert_eq!(dense(&store, axis(0)).await.len(), 1);
    store.maintain().await.unwrap();
    assert_eq!(dense(&store, axis(0)).await.len(), 1);
}

#[tokio::test]
async fn after_a_crash_the_lost_part_is_applied_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let first = put(
        SHELF,
        &Acl::everyone(),
        vec![chunk(1, 0, "", "alpha", axis(0))],
    );
    let second = vec![
        put(
            SHELF,
            &Acl::everyone(),
            vec![chunk(2, 0, "", "alpha", axis(1))],
        ),
        IndexOp::Remove {
            document: document(1),
        },
    ];
    write(&store, vec![first]).await;
    store.apply(second.clone()).await.unwrap();

    // What a killed process leaves behind: the files as they are now.
    let crashed = tempfile::tempdir().unwrap();
    copy(dir.path(), crashed.path());
    let dropped_dir = dir;
    drop(store);

    for (path, what) in [(crashed.path(), "killed"), (dropped_dir.path(), "dropped")] {
        let store = open(path).unwrap();
        let found = store.inventory().await.unwrap();
        assert!(
            found
                .iter()
                .any(|entry| entry.lexical == 1 && entry.document == document(1)),
            "{what}: {found:?}"
        );
        write(&store, second.clone()).await;
        let expected = Inventory {
            document: document(2),
            version: 1,
            dense: 1,
            lexical: 1,
        };
        assert_eq!(store.inventory().await.unwrap(), [expected], "{what}");
        assert_eq!(lexical(&store, "alpha").await, [(2, 0)]);
        assert_eq!(documents(&dense(&store, axis(0)).await), [2]);
    }
}

#[tokio::test]
async fn another_embedder_or_dimension_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    for other in [
        StoreSpec { dim: 8, ..spec() },
        StoreSpec {
            embedder_id: "other".to_owned(),
            ..spec()
        },
        StoreSpec {
            embedder_revision: "2".to_owned(),
            ..spec()
        },
    ] {
        let error = EmbeddedStore::open(dir.path(), &other).err().unwrap();
        assert!(matches!(error, Error::Incompatible { .. }), "{error}");
        assert!(error.to_string().contains("kura admin reindex"), "{error}");
    }
}

#[tokio::test]
async fn another_analyzer_empties_the_words_and_keeps_the_vectors() {
    let (dir, store) = empty_store();
    let chunks = vec![chunk(1, 0, "", "alpha", axis(0))];
    let everyone = Acl::everyone();
    write(&store, vec![put(SHELF, &everyone, chunks.clone())]).await;
    drop(store);
    let manifest = dir.path().join("manifest.json");
    let other = fs_err::read_to_string(&manifest)
        .unwrap()
        .replace("\"analyzer_version\": ", "\"analyzer_version\": 9");
    fs_err::write(&manifest, other).unwrap();
    // Twice: what was emptied is not emptied again.
    for round in 0..2 {
        let store = open(dir.path()).unwrap();
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.dense, counts.lexical), (1, round));
        assert_eq!(dense(&store, axis(0)).await.len(), 1);
        let words = IndexOp::PutWords {
            collection: SHELF,
            acl: everyone.clone(),
            attributes: Attributes::default(),
            chunks: chunks.clone(),
        };
        write(&store, vec![words]).await;
        assert_eq!(lexical(&store, "alpha").await, [(1, 0)]);
        assert_eq!(store.counts().await.unwrap().dense, 1);
    }
}

#[tokio::test]
async fn a_part_of_a_word_is_the_last_resort() {
    let (_dir, store) = empty_store();
    let chunks = vec![
        chunk(1, 0, "", "error E80070005", axis(0)),
        chunk(2, 0, "", "error E8007 and 8007", axis(1)),
        chunk(3, 0, "", "another", axis(2)),
    ];
    write(&store, vec![put(SHELF, &Acl::everyone(), chunks)]).await;
    assert_eq!(
        lexical(&store, "0x8007").await,
        [(2, 0)],
        "whole words first"
    );
    assert_eq!(lexical(&store, "800700").await, [(1, 0)]);
    assert_eq!(lexical(&store, "nothe").await, [(3, 0)]);
    assert!(lexical(&store, "no.*er").await.is_empty(), "no patterns");
    assert!(lexical(&store, "zzz").await.is_empty());
    let nobody = AccessFilter::groups(BTreeSet::new());
    let hits = store
        .search_lexical("nothe", &ALL, 5, &nobody)
        .await
        .unwrap();
    assert!(hits.is_empty());
}

#[tokio::test]
async fn a_second_opener_is_refused() {
    let (dir, _store) = empty_store();
    assert!(matches!(open(dir.path()), Err(Error::Locked { .. })));
}

#[tokio::test]
async fn damage_is_told_with_its_remedy() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("manifest lost", |dir| {
            fs_err::remove_file(dir.join("manifest.json")).unwrap()
        }),
        ("manifest cut", |dir| {
            fs_err::write(dir.join("manifest.json"), "{").unwrap()
        }),
        ("words lost", |dir| {
            fs_err::remove_dir_all(dir.join("lexical")).unwrap()
        }),
        ("words overwritten", |dir| {
            fs_err::write(dir.join("lexical/meta.json"), "garbage").unwrap()
        }),
        ("vectors lost", |dir| {
            fs_err::remove_dir_all(dir.join("dense")).unwrap()
        }),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        write(
            &store,
            vec![put(
                SHELF,
                &Acl::everyone(),
                vec![chunk(1, 0, "", "alpha", axis(0))],
            )],
        )
        .await;
        drop(store);
        damage(dir.path());
        let error = open(dir.path())
            .err()
            .unwrap_or_else(|| panic!("{what}: opened"));
        assert!(matches!(error, Error::Damaged { .. }), "{what}: {error}");
        assert!(
            error.to_string().contains("kura admin reindex"),
            "{what}: {error}"
        );
    }
}

#[tokio::test]
async fn an_index_half_made_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let manifest = dir.path().join("manifest.json");
    let half = fs_err::read_to_string(&manifest)
        .unwrap()
        .replace("\"complete\": true", "\"complete\": false");
    fs_err::write(&manifest, half).unwrap();
    fs_err::remove_dir_all(dir.path().join("lexical")).unwrap();
    let store = open(dir.path()).unwrap();
    write(
        &store,
        vec![put(
            SHELF,
            &Acl::everyone(),
            vec![chunk(1, 0, "", "alpha", axis(0))],
        )],
    )
    .await;
    assert_eq!(lexical(&store, "alpha").await, [(1, 0)]);
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

#[tokio::test]
async fn erasing_leaves_nothing_of_what_was_deleted_and_all_of_the_rest() {
    let (dir, store) = empty_store();
    // In one segment, which stays when the first is removed.
    let texts = [
        (1, "zirkonvogelqx nests"),
        (2, "apples ripen"),
        (3, "pears fall"),
    ];
    let puts = texts.map(|(n, text)| {
        let chunk = chunk(n, 0, "", text, axis(n as usize));
        put(SHELF, &acl(&["zirkongroup", "everyone"]), vec![chunk])
    });
    write(&store, puts.into()).await;
    let gone = vec![
        IndexOp::Remove {
            document: document(1),
        },
        IndexOp::SetAcl {
            document: document(2),
            acl: Acl::everyone(),
        },
        IndexOp::SetAcl {
            document: document(3),
            acl: Acl::everyone(),
        },
    ];
    write(&store, gone).await;
    assert!(
        holds(dir.path(), "zirkon"),
        "or there would be nothing to see"
    );
    // Twice: what is whole is written anew, too.
    for _ in 0..2 {
        store.erase().await.unwrap();
        assert!(!holds(dir.path(), "zirkon"));
        assert_eq!(lexical(&store, "apples").await, [(2, 0)]);
        let hits = dense(&store, axis(3)).await;
        assert_eq!(ids(&hits)[0], (3, 0));
        assert!(hits[0].score > 0.99 && hits.len() == 2, "{hits:?}");
    }
    write(
        &store,
        vec![put(
            SHELF,
            &Acl::everyone(),
            vec![chunk(4, 0, "", "plums", axis(0))],
        )],
    )
    .await;
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(
        store.counts().await.unwrap(),
        Counts {
            dense: 3,
            lexical: 3
        }
    );
}

#[tokio::test]
async fn a_crash_while_the_index_is_exchanged_leaves_one_that_is_whole() {
    let (dir, store) = empty_store();
    write(
        &store,
        vec![put(
            SHELF,
            &Acl::everyone(),
            vec![chunk(1, 0, "", "apples", axis(0))],
        )],
    )
    .await;
    drop(store);
    let [place, fresh, old] = ["dense", "dense.new", "dense.old"].map(|name| dir.path().join(name));
    let is_well = async |what: &str| {
        let store = open(dir.path()).unwrap();
        assert_eq!(ids(&dense(&store, axis(0)).await), [(1, 0)], "{what}");
        assert!(place.exists() && !fresh.exists() && !old.exists(), "{what}");
    };
    // While it is copied: the copy is not whole.
    fs_err::create_dir_all(fresh.join("segments")).unwrap();
    is_well("copying").await;
    // Between the two renames.
    fs_err::rename(&place, &fresh).unwrap();
    fs_err::create_dir_all(&old).unwrap();
    is_well("renaming").await;
    // Before the old one is removed.
    fs_err::create_dir_all(&old).unwrap();
    is_well("removing").await;
}

/// Returns whether a file below a folder has this text in it, as it is.
fn holds(dir: &Path, text: &str) -> bool {
    fs_err::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = fs_err::read(path).unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
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

fn copy(from: &Path, to: &Path) {
    for entry in fs_err::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs_err::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs_err::copy(entry.path(), target).unwrap();
        }
    }
}
