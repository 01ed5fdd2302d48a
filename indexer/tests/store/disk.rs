//! What is on the disk: it outlasts crashes, damage is told, and what is erased is in no file.

use super::{
    SHELF, acl, axis, chunk, dense, document, documents, empty_store, ids, lexical, open, put,
    spec, write,
};
use kura_indexer::store::{Counts, EmbeddedStore, IndexOp, Inventory, Store as _, StoreSpec};
use kura_indexer::{Acl, Attributes, Error};
use std::path::Path;

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
