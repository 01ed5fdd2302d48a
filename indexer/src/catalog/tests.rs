use super::*;
use crate::access::Collections;
use crate::ingest::AddOutcome;
use crate::{
    AccessFilter, Acl, Chunk, ChunkId, DocumentId, GroupId, Locator, Metadata, MetadataChange,
    SearchFilter,
};
use std::collections::BTreeSet;

struct Fixture {
    catalog: Catalog,
    collection: Collection,
    _dir: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&dir.path().join("catalog.db")).unwrap();
    let collection = catalog.create_collection("handbook").unwrap();
    Fixture {
        catalog,
        collection,
        _dir: dir,
    }
}

impl Fixture {
    fn add(
        &self,
        source: &str,
        sha256: &str,
        acl: &Acl,
    ) -> (DocumentId, Option<JobId>, AddOutcome) {
        let new = NewVersion {
            collection: self.collection.id,
            source,
            media_type: "text/plain",
            size_bytes: 3,
            sha256,
            acl,
            metadata: &MetadataChange::default(),
        };
        self.catalog.add_document(&new).unwrap()
    }

    fn publish(&self, job: JobId, text: &str) -> Vec<DocumentId> {
        self.catalog.start_jobs(&[job]).unwrap();
        let job = self.catalog.job(job).unwrap();
        let chunk = Chunk {
            ordinal: 0,
            text: text.to_owned(),
            context: String::new(),
            n_tokens: 1,
            span: 0..text.len(),
            locator: Locator {
                page: Some(2),
                ..Locator::default()
            },
        };
        let indexed = Indexed {
            job: job.id,
            document: job.document,
            version: job.version,
            title: "Title".to_owned(),
            text: text.to_owned(),
            chunks: vec![EmbeddedChunk {
                chunk,
                vector: vec![1.0, -0.5],
                tokens: vec![0xA5],
            }],
            warnings: Vec::new(),
            found: Metadata::default(),
        };
        self.catalog.publish(&[indexed]).unwrap()
    }
}

fn only(group: &str) -> (Acl, AccessFilter) {
    let groups = BTreeSet::from([GroupId(group.to_owned())]);
    (
        Acl {
            readers: groups.clone(),
        },
        AccessFilter::groups(groups),
    )
}

#[test]
fn a_version_is_visible_only_once_published() {
    let fixture = fixture();
    let (acl, access) = only("hr");
    let (document, job, outcome) = fixture.add("a.txt", "aa", &acl);
    assert_eq!(outcome, AddOutcome::New);
    assert!(matches!(
        fixture.catalog.visible_text(document, &access),
        Err(Error::UnknownDocument { .. })
    ));
    assert_eq!(fixture.publish(job.unwrap(), "old text"), [document]);
    assert_eq!(
        fixture.catalog.visible_text(document, &access).unwrap().1,
        "old text"
    );

    // The same bytes again change nothing; others are a new version, and the old one is served meanwhile.
    assert_eq!(
        fixture.add("a.txt", "aa", &acl),
        (document, None, AddOutcome::Unchanged)
    );
    let (again, job, outcome) = fixture.add("a.txt", "bb", &acl);
    assert_eq!((again, outcome), (document, AddOutcome::Replaced));
    assert_eq!(
        fixture.catalog.visible_text(document, &access).unwrap().1,
        "old text"
    );
    fixture.publish(job.unwrap(), "new text");
    assert_eq!(
        fixture.catalog.visible_text(document, &access).unwrap().1,
        "new text"
    );
    let old = ChunkId {
        document,
        version: 1,
        ordinal: 0,
    };
    let new = ChunkId {
        document,
        version: 2,
        ordinal: 0,
    };
    let hydrated = fixture
        .catalog
        .hydrate(&[old, new], &SearchFilter::default(), &access)
        .unwrap();
    assert_eq!(hydrated.keys().collect::<Vec<_>>(), [&new]);
    assert_eq!(hydrated[&new].chunk.locator.page, Some(2));
    assert_eq!(
        fixture.catalog.chunks(document, 2).unwrap()[0].vector,
        [1.0, -0.5]
    );
    assert!(fixture.catalog.chunks(document, 1).unwrap().is_empty());
}

#[test]
fn nothing_is_shown_to_those_who_may_not_read() {
    let fixture = fixture();
    let (acl, hr) = only("hr");
    let (_, sales) = only("sales");
    let nobody = AccessFilter::groups(BTreeSet::new());
    let (document, job, _) = fixture.add("a.txt", "aa", &acl);
    fixture.publish(job.unwrap(), "secret");
    let chunk = ChunkId {
        document,
        version: 1,
        ordinal: 0,
    };
    for access in [&sales, &nobody] {
        assert!(
            fixture
                .catalog
                .hydrate(&[chunk], &SearchFilter::default(), access)
                .unwrap()
                .is_empty()
        );
        assert!(
            fixture
                .catalog
                .documents(&Collections::All, access, None, 10)
                .unwrap()
                .items
                .is_empty()
        );
        assert!(matches!(
            fixture.catalog.document(document, access),
            Err(Error::UnknownDocument { .. })
        ));
        assert!(matches!(
            fixture.catalog.visible_text(document, access),
            Err(Error::UnknownDocument { .. })
        ));
    }
    assert_eq!(
        fixture
            .catalog
            .documents(&Collections::All, &hr, None, 10)
            .unwrap()
            .items
            .len(),
        1
    );
    assert!(
        fixture
            .catalog
            .documents(&Collections::Only(Vec::new()), &hr, None, 10)
            .unwrap()
            .items
            .is_empty()
    );
}

#[test]
fn deleting_hides_at_once_and_frees_the_name() {
    let fixture = fixture();
    let (acl, access) = only("hr");
    let (document, job, _) = fixture.add("a.txt", "aa", &acl);
    fixture.publish(job.unwrap(), "text");
    fixture.catalog.delete_document(document).unwrap();
    assert!(
        fixture
            .catalog
            .hydrate(
                &[ChunkId {
                    document,
                    version: 1,
                    ordinal: 0
                }],
                &SearchFilter::default(),
                &access
            )
            .unwrap()
            .is_empty()
    );
    let (other, job, outcome) = fixture.add("a.txt", "aa", &acl);
    assert_eq!(outcome, AddOutcome::New);
    assert_ne!(other, document);
    // A job that outlives its document publishes nothing.
    fixture.catalog.delete_document(other).unwrap();
    assert!(fixture.publish(job.unwrap(), "text").is_empty());
    let deleted = fixture.catalog.deleted().unwrap();
    assert_eq!(deleted.len(), 2);
    fixture.catalog.purge(&deleted).unwrap();
    assert!(fixture.catalog.blobs_in_use().unwrap().is_empty());
}

#[test]
fn a_replaced_job_cannot_publish_old_text() {
    let fixture = fixture();
    let (acl, access) = only("hr");
    let (document, first, _) = fixture.add("a.txt", "aa", &acl);
    let (_, second, _) = fixture.add("a.txt", "bb", &acl);
    assert_eq!(
        fixture.catalog.job(first.unwrap()).unwrap().state,
        JobState::Failed
    );
    assert!(fixture.publish(first.unwrap(), "old").is_empty());
    fixture.publish(second.unwrap(), "new");
    assert_eq!(
        fixture.catalog.visible_text(document, &access).unwrap().1,
        "new"
    );
}

#[test]
fn lists_are_paged_and_interrupted_jobs_are_queued_again() {
    let fixture = fixture();
    let (acl, access) = only("hr");
    let jobs: Vec<JobId> = (0..5)
        .map(|at| {
            fixture
                .add(&format!("{at}.txt"), &format!("{at}"), &acl)
                .1
                .unwrap()
        })
        .collect();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = fixture
            .catalog
            .documents(&Collections::All, &access, after.as_deref(), 2)
            .unwrap();
        seen.extend(page.items.into_iter().map(|document| document.source));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["0.txt", "1.txt", "2.txt", "3.txt", "4.txt"]);
    let newest = fixture.catalog.jobs(None, 2).unwrap();
    assert_eq!(
        newest.items.iter().map(|job| job.id).collect::<Vec<_>>(),
        [jobs[4], jobs[3]]
    );
    assert_eq!(
        fixture
            .catalog
            .jobs(newest.next.as_deref(), 2)
            .unwrap()
            .items[0]
            .id,
        jobs[2]
    );

    fixture.catalog.start_jobs(&jobs[..2]).unwrap();
    assert_eq!(fixture.catalog.queued_jobs(10).unwrap().len(), 3);
    assert_eq!(fixture.catalog.requeue_interrupted().unwrap(), 2);
    // Those that were interrupted come last, and each alone.
    assert_eq!(fixture.catalog.queued_jobs(10).unwrap().len(), 3);
    for job in &jobs[2..] {
        fixture.catalog.fail_job(*job, "unreadable").unwrap();
    }
    assert_eq!(fixture.catalog.queued_jobs(10).unwrap().len(), 1);
}

#[test]
fn a_job_that_ends_the_process_again_and_again_fails() {
    let fixture = fixture();
    let (_, job, _) = fixture.add("a.txt", "aa", &Acl::everyone());
    let job = job.unwrap();
    let mut n_starts = 0;
    while fixture.catalog.job(job).unwrap().state == JobState::Queued {
        fixture.catalog.start_jobs(&[job]).unwrap();
        fixture.catalog.requeue_interrupted().unwrap();
        n_starts += 1;
        assert!(n_starts <= 10);
    }
    let failed = fixture.catalog.job(job).unwrap();
    assert_eq!(failed.state, JobState::Failed);
    assert!(failed.error.unwrap().contains("10 times"));
}

#[test]
fn collection_names_are_checked_and_unknown_ones_name_the_known() {
    let fixture = fixture();
    for name in ["", "a b", "../x", ".hidden", &"x".repeat(65)] {
        assert!(
            matches!(
                fixture.catalog.create_collection(name),
                Err(Error::InvalidCollectionName { .. })
            ),
            "{name}"
        );
    }
    fixture.catalog.create_collection("人事").unwrap();
    let error = fixture.catalog.collection("absent").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown collection `absent`; existing: handbook, 人事"
    );
    assert_eq!(
        fixture.catalog.create_collection("handbook").unwrap().id,
        fixture.collection.id
    );
    fixture
        .catalog
        .delete_collection(fixture.collection.id)
        .unwrap();
    assert_ne!(
        fixture.catalog.create_collection("handbook").unwrap().id,
        fixture.collection.id
    );
}
