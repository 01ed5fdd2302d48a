//! One engine for all sources: what is added, moved, deleted and left alone, and what happens when a source fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;

use bench::{Bench, OPTIONS, looked_at, open};
use kura_indexer::catalog::SourceState;
use kura_indexer::ingest::NewDocument;
use kura_indexer::sync::{ScanOptions, ScanReport, scan};
use kura_indexer::{AccessFilter, Acl, MetadataChange};
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test]
async fn additions_changes_and_deletions_propagate_and_the_rest_is_not_read() {
    let bench = Bench::new().await;
    for n in 0..20 {
        bench.place.write(
            &format!("dir/{n}.txt"),
            &format!("The number of this text is {n}."),
        );
    }
    let first = bench.scan().await;
    assert_eq!((first.added, first.listed, first.error), (20, 20, None));
    bench.assert_in_step().await;
    assert_eq!((bench.place.fetched(), bench.embedded()), (20, 20));

    let nothing = bench.scan().await;
    assert_eq!((nothing.unchanged, nothing.changed_anything()), (20, false));
    assert_eq!((bench.place.fetched(), bench.embedded()), (0, 0));

    bench.place.write("dir/0.txt", "Quite another text.");
    bench
        .place
        .write("dir/1.txt", "The number of this text is 1.");
    bench.place.write("new.txt", "A text that was not there.");
    bench.place.remove("dir/2.txt");
    let second = bench.scan().await;
    assert_eq!(
        (
            second.added,
            second.replaced,
            second.deleted,
            second.same_content,
            second.unchanged
        ),
        (1, 1, 1, 1, 17)
    );
    assert_eq!(
        (bench.place.fetched(), bench.embedded()),
        (3, 2),
        "what was only touched is read and not embedded"
    );
    bench.assert_in_step().await;
    assert_eq!(bench.scan().await.unchanged, 20);
    let source = bench.source().await;
    assert_eq!(
        (
            source.n_items,
            source.n_documents,
            source.n_errors,
            source.state()
        ),
        (20, 20, 0, SourceState::Ok)
    );
    assert!(source.oldest_unindexed.is_none() && source.last_success_at.is_some());
}

#[tokio::test]
async fn moved_files_keep_document_chunks_and_vectors() {
    let bench = Bench::new().await;
    bench
        .place
        .write("a/one.txt", "The first text is about harbors.");
    bench
        .place
        .write("a/two.txt", "The second text is about lighthouses.");
    bench
        .place
        .write("a/three.txt", "The third text is about ferries.");
    bench
        .place
        .write("four.txt", "The fourth text is about tides.");
    bench.scan().await;
    let before = bench.documents().await;
    bench.embedded();

    // A folder moved, a file renamed, two files that swapped names.
    bench.place.rename("a/one.txt", "b/one.txt");
    bench.place.rename("a/two.txt", "b/second.txt");
    bench.place.rename("a/three.txt", "aside");
    bench.place.rename("four.txt", "a/three.txt");
    bench.place.rename("aside", "four.txt");
    let report = bench.scan().await;
    assert_eq!(
        (
            report.renamed,
            report.added,
            report.replaced,
            report.deleted
        ),
        (4, 0, 0, 0),
        "{report:?}"
    );
    assert_eq!(bench.embedded(), 0);
    bench.assert_in_step().await;
    let after = bench.documents().await;
    for (old, new) in [
        ("a/one.txt", "b/one.txt"),
        ("a/two.txt", "b/second.txt"),
        ("a/three.txt", "four.txt"),
        ("four.txt", "a/three.txt"),
    ] {
        assert_eq!(before[old].0, after[new].0, "{old}");
    }
    assert_eq!(
        after["b/second.txt"].1, "second.txt",
        "the title was the name, and follows it"
    );
    // The keyword index knows the new name.
    assert_eq!(bench.found("second.txt").await[0], "b/second.txt");
    assert_eq!(bench.scan().await.unchanged, 4);
}

#[tokio::test]
async fn a_moved_file_may_take_the_place_of_another() {
    let bench = Bench::new().await;
    bench
        .place
        .write("draft.txt", "The final wording of the contract.");
    bench
        .place
        .write("contract.txt", "The old wording of the contract.");
    bench
        .place
        .write("chain-1.txt", "The first link of a chain.");
    bench
        .place
        .write("chain-2.txt", "The second link of a chain.");
    bench.scan().await;
    bench.embedded();
    bench.place.rename("draft.txt", "contract.txt");
    bench.place.rename("chain-2.txt", "chain-3.txt");
    bench.place.rename("chain-1.txt", "chain-2.txt");
    let report = bench.scan().await;
    assert_eq!(
        (report.renamed, report.deleted, report.added),
        (3, 1, 0),
        "{report:?}"
    );
    assert_eq!(bench.embedded(), 0);
    bench.assert_in_step().await;
}

#[tokio::test]
async fn a_copy_does_not_take_the_original_along() {
    let bench = Bench::new().await;
    bench
        .place
        .write("original.txt", "A text that is copied and then changed.");
    bench.scan().await;
    let before = bench.documents().await["original.txt"].0;
    bench
        .place
        .write("copy.txt", "A text that is copied and then changed.");
    bench
        .place
        .write("original.txt", "The original as it is after its change.");
    let report = bench.scan().await;
    assert_eq!(
        (report.renamed, report.added, report.replaced),
        (0, 1, 1),
        "{report:?}"
    );
    assert_eq!(bench.documents().await["original.txt"].0, before);
    bench.assert_in_step().await;
    // Read as another kind of file it is another document.
    bench.place.rename("copy.txt", "copy.csv");
    let report = bench.scan().await;
    assert_eq!(
        (report.renamed, report.added, report.deleted),
        (0, 1, 1),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_source_that_fails_keeps_its_documents() {
    let bench = Bench::new().await;
    *bench.place.root.lock().unwrap() = Some("disk 1".to_owned());
    for n in 0..10 {
        bench.place.write(
            &format!("{n}.txt"),
            &format!("The number of this text is {n}."),
        );
    }
    bench.scan().await;

    // The listing breaks off: what is new comes in, nothing goes.
    bench
        .place
        .write("0-new.txt", "Something new at the start.");
    *bench.place.breaks.lock().unwrap() = Some(3);
    let broken = bench.scan().await;
    assert_eq!((broken.added, broken.deleted), (1, 0));
    assert!(broken.error.as_deref() == Some("the cable is out"));
    let source = bench.source().await;
    assert_eq!(
        (source.state(), source.n_documents),
        (SourceState::Stale, 11)
    );
    assert_eq!(bench.documents().await.len(), 11);
    *bench.place.breaks.lock().unwrap() = None;

    // The disk is not mounted: what is under it is empty, or has something else.
    let files = std::mem::take(&mut *bench.place.files.lock().unwrap());
    *bench.place.root.lock().unwrap() = Some("the folder under the disk".to_owned());
    for _ in 0..2 {
        let unmounted = bench.scan().await;
        assert_eq!(unmounted.deleted, 0);
        assert!(
            unmounted.error.unwrap().contains("is it mounted"),
            "told every time"
        );
        assert_eq!(bench.documents().await.len(), 11);
        bench
            .place
            .write("lost+found.txt", "Nothing to do with it.");
    }
    assert!(
        !bench.documents().await.contains_key("lost+found.txt"),
        "nothing is taken from a wrong disk"
    );
    *bench.place.files.lock().unwrap() = files;
    *bench.place.root.lock().unwrap() = Some("disk 1".to_owned());
    assert_eq!(bench.scan().await.error, None);
    bench.assert_in_step().await;

    // Emptied, with the disk in its place: that is meant.
    bench.place.files.lock().unwrap().clear();
    assert_eq!(bench.scan().await.deleted, 11);
    bench.assert_in_step().await;
}

#[tokio::test]
async fn deletions_on_doubtful_word_are_made_when_someone_says_so() {
    let bench = Bench::new().await;
    for n in 0..4 {
        bench.place.write(
            &format!("{n}.txt"),
            &format!("The number of this text is {n}."),
        );
    }
    bench.scan().await;
    bench.place.files.lock().unwrap().clear();
    let doubtful = bench.scan().await;
    assert!(doubtful.error.unwrap().contains("--allow-deletions"));
    let sure = bench
        .scan_with(ScanOptions {
            allow_deletions: true,
            ..OPTIONS
        })
        .await;
    assert_eq!((sure.deleted, sure.error), (4, None));
    bench.assert_in_step().await;
}

#[tokio::test]
async fn items_that_cannot_be_taken_in_are_told_and_stop_nothing() {
    let bench = Bench::new().await;
    bench.place.write("good.txt", "A good text.");
    bench.place.write("empty.txt", "");
    bench.place.write("program.txt", "\u{7f}ELF and so on");
    bench.place.write("large.txt", &"x".repeat(2 << 20));
    bench.place.write("locked.txt", "A text behind a door.");
    bench
        .place
        .unreadable
        .lock()
        .unwrap()
        .push("locked.txt".to_owned());
    let report = bench.scan().await;
    assert_eq!(
        (report.added, report.refused, report.failed, report.error),
        (1, 3, 1, None)
    );
    assert_eq!(bench.source().await.n_errors, 4);
    let failed = bench
        .pipeline
        .source_items(bench.source().await.id, "", 10, true)
        .await
        .unwrap();
    let reasons: Vec<_> = failed
        .iter()
        .map(|item| (item.row.key.as_str(), item.row.error.as_deref().unwrap()))
        .collect();
    for (key, word) in [
        ("empty.txt", "empty"),
        ("large.txt", "more than"),
        ("locked.txt", "denied"),
        ("program.txt", "unsupported"),
    ] {
        assert!(
            reasons
                .iter()
                .any(|(known, reason)| *known == key && reason.contains(word)),
            "{key}: {reasons:?}"
        );
    }
    // Only what may have become readable is tried again.
    bench.place.fetched();
    bench.place.unreadable.lock().unwrap().clear();
    let again = bench.scan().await;
    assert_eq!(
        (again.added, again.unchanged, bench.place.fetched()),
        (1, 4, 1)
    );
    let retried = bench
        .scan_with(ScanOptions {
            retry: true,
            ..OPTIONS
        })
        .await;
    assert_eq!((retried.refused, retried.unchanged), (3, 2));
}

#[tokio::test]
async fn a_scan_cut_off_anywhere_is_run_again_and_nothing_is_there_twice() {
    let bench = Bench::new().await;
    for n in 0..40 {
        bench.place.write(
            &format!("{n}.txt"),
            &format!("The number of this text is {n}."),
        );
    }
    for cut in 1..12 {
        let source = bench.source().await;
        let n = AtomicUsize::new(0);
        let progress = |_: &ScanReport| {
            assert!(n.fetch_add(1, Ordering::SeqCst) < cut, "cut off");
        };
        let (pipeline, place) = (&bench.pipeline, &bench.place);
        let scanned =
            std::panic::AssertUnwindSafe(scan(pipeline, &source, place, OPTIONS, &progress));
        drop(futures::FutureExt::catch_unwind(scanned).await);
    }
    drop(bench.scan().await);
    bench.assert_in_step().await;
    assert_eq!(bench.scan().await.unchanged, 40);
}

#[tokio::test]
async fn what_someone_else_deleted_or_added_is_put_right() {
    let bench = Bench::new().await;
    let collection = bench.pipeline.create_collection("c").await.unwrap().id;
    let upload = |source: &str, text: &str| NewDocument {
        collection,
        source: source.to_owned(),
        media_type: None,
        bytes: text.as_bytes().to_vec(),
        acl: Acl::everyone().into(),
        metadata: MetadataChange::default(),
    };
    let uploaded = bench
        .pipeline
        .add_document(upload("a.txt", "As it was uploaded."))
        .await
        .unwrap();
    bench.place.write("a.txt", "As it is in the folder.");
    bench.place.write("b.txt", "Another one.");
    bench.scan().await;
    assert_eq!(
        bench.documents().await["a.txt"].0,
        uploaded.document.id,
        "the same name is the same document"
    );
    let access = AccessFilter::unrestricted("test");
    let b = bench.documents().await["b.txt"].0;
    bench.pipeline.delete_document(b, &access).await.unwrap();
    assert_eq!(bench.scan().await.added, 1);
    bench.assert_in_step().await;

    // A file cannot be moved onto a document that someone has uploaded: it is taken in there, and goes here.
    bench
        .pipeline
        .add_document(upload("c.txt", "Uploaded in the meantime."))
        .await
        .unwrap();
    bench.place.rename("b.txt", "c.txt");
    let report = bench.scan().await;
    assert_eq!(
        (report.renamed, report.replaced, report.deleted),
        (0, 1, 1),
        "{report:?}"
    );
    bench.assert_in_step().await;

    // Two sources cannot keep one document.
    let other = bench.add_source("t").await;
    let report = scan(&bench.pipeline, &other, &bench.place, OPTIONS, &|_| ())
        .await
        .unwrap();
    assert_eq!((report.refused, report.added), (2, 0));
    let items = bench
        .pipeline
        .source_items(other.id, "", 10, true)
        .await
        .unwrap();
    assert!(
        items[0]
            .row
            .error
            .as_deref()
            .unwrap()
            .contains("the source `s` keeps"),
        "{items:?}"
    );
    assert_eq!(bench.pipeline.remove_source("t", true).await.unwrap(), 0);
    bench.assert_in_step().await;
}

#[tokio::test]
async fn a_removed_source_leaves_or_takes_its_documents() {
    let bench = Bench::new().await;
    bench.place.write("a.txt", "A text that stays.");
    bench.scan().await;
    assert_eq!(bench.pipeline.remove_source("s", false).await.unwrap(), 0);
    assert_eq!(bench.documents().await.len(), 1);
    bench.add_source("s").await;
    assert_eq!(
        bench.scan().await.same_content,
        1,
        "it is taken up again as it is"
    );
    assert_eq!(bench.pipeline.remove_source("s", true).await.unwrap(), 1);
    assert!(bench.documents().await.is_empty());
    let verified = bench.pipeline.verify(true).await.unwrap();
    assert_eq!(verified.findings, []);
    let error = bench.pipeline.source("s").await.unwrap_err().to_string();
    assert!(error.contains("unknown source `s`"), "{error}");
    // A collection takes its sources along.
    bench.add_source("s").await;
    bench
        .pipeline
        .delete_collection("c", &AccessFilter::unrestricted("test"))
        .await
        .unwrap();
    assert!(bench.pipeline.sources().await.unwrap().is_empty());
}

#[tokio::test]
async fn verify_finds_what_is_too_much_and_what_is_missing() {
    let bench = Bench::new().await;
    bench.place.write("a.txt", "A text that will be lost.");
    bench.place.write("b.txt", "A text that stays.");
    bench.scan().await;
    let Bench {
        pipeline,
        embedder,
        dir,
        ..
    } = bench;
    drop(pipeline);
    // A blob that nobody knows, one that is gone, one with other content.
    let blobs = dir.path().join("blobs");
    let mut files = Vec::new();
    for shard in fs_err::read_dir(&blobs).unwrap() {
        for file in fs_err::read_dir(shard.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    assert_eq!(files.len(), 2);
    fs_err::write(files[0].with_file_name("unknown"), "x").unwrap();
    fs_err::remove_file(&files[0]).unwrap();
    fs_err::write(&files[1], "x").unwrap();
    // A document that only the indexes have.
    let catalog = rusqlite::Connection::open(dir.path().join("catalog.db")).unwrap();
    catalog.execute("DELETE FROM source_items", []).unwrap();
    catalog.pragma_update(None, "foreign_keys", "ON").unwrap();
    catalog
        .execute("DELETE FROM documents WHERE source = 'b.txt'", [])
        .unwrap();
    drop(catalog);
    let verified = looked_at(&embedder, dir.path()).await;
    let seen: Vec<_> = verified
        .findings
        .iter()
        .map(|finding| (finding.part, finding.trouble, finding.n))
        .collect();
    use kura_indexer::verify::{Part, Trouble};
    assert!(
        seen.contains(&(Part::Vectors, Trouble::Orphan, 1)),
        "{verified:?}"
    );
    assert!(
        seen.contains(&(Part::Keywords, Trouble::Orphan, 1)),
        "{verified:?}"
    );
    assert!(
        seen.iter()
            .any(|(part, trouble, _)| (*part, *trouble) == (Part::Blobs, Trouble::Orphan)),
        "{verified:?}"
    );
    assert!(
        seen.iter().any(|(part, trouble, _)| *part == Part::Blobs
            && matches!(trouble, Trouble::Missing | Trouble::Damaged)),
        "{verified:?}"
    );
    // Opening repairs what can be made again from the catalog.
    let pipeline = open(dir.path(), &embedder).await;
    let repaired = pipeline.verify(false).await.unwrap();
    assert!(
        repaired
            .findings
            .iter()
            .all(|finding| finding.part == Part::Blobs && finding.trouble != Trouble::Orphan),
        "{repaired:?}"
    );
}
