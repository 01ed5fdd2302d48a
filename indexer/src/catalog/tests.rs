use super::*;
use crate::access::Collections;
use crate::ingest::AddOutcome;
use crate::{
    AccessFilter, Acl, Chunk, ChunkId, DocumentId, GroupId, Locator, Metadata, MetadataChange,
    SearchFilter,
};
use std::collections::BTreeSet;

mod children;

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
            acl: &acl.clone().into(),
            metadata: &MetadataChange::default(),
            priority: Priority::Normal,
            request: None,
        };
        self.catalog.add_document(&new).unwrap()
    }

    fn publish(&self, job: JobId, text: &str) -> Vec<DocumentId> {
        self.claim(10);
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
            n_parts: 0,
            title: "Title".to_owned(),
            text: text.to_owned(),
            chunks: vec![EmbeddedChunk {
                chunk,
                vector: vec![1.0, -0.5],
                tokens: vec![0xA5],
            }],
            n_chunks: 1,
            n_reused: 0,
            warnings: Vec::new(),
            found: Metadata::default(),
        };
        self.catalog.publish(&[indexed]).unwrap().documents
    }

    /// Takes jobs as a run does.
    fn claim(&self, limit: usize) -> Vec<JobId> {
        let claim = Claim {
            limit,
            priority: Priority::Low,
            max_bytes: u64::MAX,
        };
        let taken = self.catalog.claim_jobs(claim).unwrap();
        taken.into_iter().map(|job| job.id).collect()
    }

    fn state(&self, job: JobId) -> JobState {
        self.catalog.job(job).unwrap().state
    }
}

fn only(group: &str) -> (Acl, AccessFilter) {
    let acl = Acl::readers(BTreeSet::from([GroupId(group.to_owned())]));
    let mut groups = Acl::everyone().readers;
    groups.extend(acl.readers.iter().cloned());
    (acl, AccessFilter::groups(groups))
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
    let replaced = fixture.catalog.job(first.unwrap()).unwrap();
    assert_eq!(
        (replaced.state, replaced.reason),
        (JobState::Cancelled, Some(Reason::Replaced))
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
    let all = JobFilter::default();
    let newest = fixture.catalog.jobs(&all, None, 2).unwrap();
    assert_eq!(
        newest.items.iter().map(|job| job.id).collect::<Vec<_>>(),
        [jobs[4], jobs[3]]
    );
    assert_eq!(
        fixture
            .catalog
            .jobs(&all, newest.next.as_deref(), 2)
            .unwrap()
            .items[0]
            .id,
        jobs[2]
    );

    assert_eq!(fixture.claim(2), jobs[..2]);
    assert_eq!(fixture.catalog.queued_jobs(10).unwrap().len(), 3);
    assert_eq!(fixture.catalog.requeue_interrupted().unwrap(), 2);
    assert_eq!(fixture.claim(10), jobs);
}

#[test]
fn a_job_that_ends_the_process_again_and_again_runs_alone_and_then_fails() {
    let fixture = fixture();
    let (_, job, _) = fixture.add("a.txt", "aa", &Acl::everyone());
    let job = job.unwrap();
    let mut n_starts = 0;
    while fixture.state(job) == JobState::Queued {
        if n_starts < 3 {
            assert_eq!(fixture.claim(10), [job]);
        } else {
            assert!(fixture.claim(10).is_empty());
            assert_eq!(fixture.catalog.claim_suspect().unwrap().unwrap().id, job);
        }
        fixture.catalog.requeue_interrupted().unwrap();
        n_starts += 1;
        assert!(n_starts <= 10);
    }
    let failed = fixture.catalog.job(job).unwrap();
    assert_eq!(
        (failed.state, failed.reason),
        (JobState::Failed, Some(Reason::Crashed))
    );
    assert!(failed.error.unwrap().contains("10 times"));
    // A person may have it tried again from the beginning.
    assert_eq!(fixture.catalog.retry_job(job).unwrap().attempts, 0);
    assert_eq!(fixture.claim(10), [job]);
}

#[test]
fn urgent_jobs_go_first_and_large_files_can_be_left_for_later() {
    let fixture = fixture();
    let add = |source: &str, priority, size_bytes| {
        let new = NewVersion {
            collection: fixture.collection.id,
            source,
            media_type: "text/plain",
            size_bytes,
            sha256: source,
            acl: &Acl::everyone().into(),
            metadata: &MetadataChange::default(),
            priority,
            request: None,
        };
        fixture.catalog.add_document(&new).unwrap().1.unwrap()
    };
    let low = add("low", Priority::Low, 1);
    let large = add("large", Priority::Normal, 1000);
    let normal = add("normal", Priority::Normal, 1);
    let high = add("high", Priority::High, 1);
    let claim = |priority, max_bytes| {
        let claim = Claim {
            limit: 1,
            priority,
            max_bytes,
        };
        let taken = fixture.catalog.claim_jobs(claim).unwrap();
        taken.first().map(|job| job.id)
    };
    assert_eq!(claim(Priority::High, 10), Some(high));
    assert_eq!(claim(Priority::High, 10), None);
    assert_eq!(claim(Priority::Low, 10), Some(normal));
    // Who adds it again is in a hurry.
    assert_eq!(add("low", Priority::High, 1), low);
    assert_eq!(claim(Priority::High, 10), Some(low));
    assert_eq!(claim(Priority::Low, 10), None);
    assert_eq!(claim(Priority::Low, u64::MAX), Some(large));
}

#[test]
fn a_cancelled_job_publishes_nothing_until_it_is_retried() {
    let fixture = fixture();
    let (acl, access) = only("hr");
    let (document, job, _) = fixture.add("a.txt", "aa", &acl);
    let job = job.unwrap();
    fixture.claim(1);
    assert_eq!(
        fixture.catalog.cancel_job(job).unwrap().state,
        JobState::Cancelled
    );
    assert!(fixture.publish(job, "text").is_empty());
    let status = fixture.catalog.document(document, &access).unwrap().status;
    assert_eq!(status, DocumentStatus::Failed);
    assert!(matches!(
        fixture.catalog.cancel_job(job),
        Err(Error::JobState {
            state: "cancelled",
            ..
        })
    ));

    assert_eq!(
        fixture.catalog.retry_job(job).unwrap().state,
        JobState::Queued
    );
    let status = fixture.catalog.document(document, &access).unwrap().status;
    assert_eq!(status, DocumentStatus::Pending);
    assert_eq!(fixture.publish(job, "text"), [document]);
    assert!(matches!(
        fixture.catalog.retry_job(job),
        Err(Error::JobState { state: "done", .. })
    ));
    let nowhere = JobId(Uuid::now_v7());
    assert!(matches!(
        fixture.catalog.cancel_job(nowhere),
        Err(Error::UnknownJob { .. })
    ));
}

#[test]
fn attempts_wait_for_their_time_and_are_counted() {
    let fixture = fixture();
    let (_, job, _) = fixture.add("a.txt", "aa", &Acl::everyone());
    let job = job.unwrap();
    fixture.claim(1);
    let wait = Duration::from_secs(3600);
    fixture
        .catalog
        .retry_later(job, Reason::Timeout, "too slow", wait)
        .unwrap();
    let waiting = fixture.catalog.job(job).unwrap();
    assert_eq!((waiting.state, waiting.attempts), (JobState::Queued, 1));
    assert_eq!(waiting.reason, Some(Reason::Timeout));
    assert_eq!(
        fixture.catalog.next_attempt().unwrap(),
        waiting.next_attempt_at
    );
    assert!(fixture.claim(1).is_empty(), "it is not due");
    let counts = fixture.catalog.job_counts().unwrap();
    assert_eq!(
        (counts.of(JobState::Queued), counts.waiting_to_retry),
        (1, 1)
    );

    fixture
        .catalog
        .fail_job(job, Reason::Timeout, "too slow")
        .unwrap();
    let of = |reason, state| JobFilter {
        reason,
        state,
        collection_name: None,
    };
    let found = |filter: &JobFilter| fixture.catalog.jobs(filter, None, 10).unwrap().items.len();
    assert_eq!(found(&of(Some(Reason::Timeout), Some(JobState::Failed))), 1);
    assert_eq!(found(&of(Some(Reason::Crashed), None)), 0);
    assert_eq!(found(&of(None, Some(JobState::Queued))), 0);
    assert_eq!(
        fixture.catalog.retry_failed(Some(Reason::Crashed)).unwrap(),
        0
    );
    assert_eq!(fixture.catalog.retry_failed(None).unwrap(), 1);
    assert_eq!(fixture.claim(1), [job]);
}

#[test]
fn failed_jobs_of_older_versions_are_not_retried() {
    let fixture = fixture();
    let (_, first, _) = fixture.add("a.txt", "aa", &Acl::everyone());
    let first = first.unwrap();
    fixture
        .catalog
        .fail_job(first, Reason::NoText, "no text")
        .unwrap();
    fixture.add("a.txt", "bb", &Acl::everyone());
    assert_eq!(fixture.catalog.retry_failed(None).unwrap(), 0);
    assert!(matches!(
        fixture.catalog.retry_job(first),
        Err(Error::JobState { .. })
    ));
}

#[test]
fn a_pause_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    Catalog::open(&path).unwrap().pause_jobs().unwrap();
    let catalog = Catalog::open(&path).unwrap();
    assert!(catalog.jobs_paused_since().unwrap().is_some());
    catalog.resume_jobs().unwrap();
    assert_eq!(catalog.jobs_paused_since().unwrap(), None);
}

#[test]
fn vectors_are_found_by_what_was_embedded_also_those_of_an_earlier_kura() {
    let fixture = fixture();
    let (acl, _) = only("hr");
    let (document, job, _) = fixture.add("a.txt", "aa", &acl);
    fixture.publish(job.unwrap(), "text");
    let hash = text_hash("Title", "", "text");
    let known = fixture.catalog.known_vectors(&[hash, [0; 32]]).unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[&hash], (vec![1.0, -0.5], vec![0xA5]));

    // As an earlier version left it: found once the document or its bytes come again.
    let forget = || {
        let forgotten = fixture
            .catalog
            .write(|tx| Ok(tx.execute("UPDATE chunks SET hash = NULL", [])?));
        assert_eq!(forgotten.unwrap(), 1);
        assert!(fixture.catalog.known_vectors(&[hash]).unwrap().is_empty());
    };
    let elsewhere = DocumentId(Uuid::now_v7());
    for (document, sha256) in [(document, "other bytes"), (elsewhere, "aa")] {
        forget();
        fixture.catalog.fill_hashes(document, sha256).unwrap();
        assert_eq!(fixture.catalog.known_vectors(&[hash]).unwrap(), known);
    }
    forget();
    fixture
        .catalog
        .fill_hashes(elsewhere, "other bytes")
        .unwrap();
    assert_eq!(fixture.catalog.n_hashes().unwrap(), 0);
}

#[test]
fn kept_chunks_are_seen_only_once_published() {
    let fixture = fixture();
    let (acl, access) = only("hr");
    let (document, job, _) = fixture.add("a.txt", "aa", &acl);
    let job = job.unwrap();
    fixture.claim(1);
    let chunk = |ordinal: u32, text: &str| EmbeddedChunk {
        chunk: Chunk {
            ordinal,
            text: text.to_owned(),
            context: String::new(),
            n_tokens: 1,
            span: 0..text.len(),
            locator: Locator::default(),
        },
        vector: vec![1.0, 0.0],
        tokens: vec![1],
    };
    let keep = |chunks: &[EmbeddedChunk]| {
        fixture
            .catalog
            .keep_chunks(document, 1, "Title", chunks)
            .unwrap();
    };
    keep(&[chunk(0, "an"), chunk(1, "earlier"), chunk(2, "attempt")]);
    keep(&[chunk(0, "this"), chunk(1, "one")]);
    let id = |ordinal| ChunkId {
        document,
        version: 1,
        ordinal,
    };
    let seen = || {
        let all = [id(0), id(1), id(2)];
        let filter = SearchFilter::default();
        fixture
            .catalog
            .hydrate(&all, &filter, &access)
            .unwrap()
            .len()
    };
    assert_eq!(seen(), 0);
    let indexed = |n_chunks| Indexed {
        job,
        document,
        version: 1,
        n_parts: 0,
        title: "Title".to_owned(),
        text: "this one".to_owned(),
        chunks: Vec::new(),
        n_chunks,
        n_reused: 0,
        warnings: Vec::new(),
        found: Metadata::default(),
    };
    // Fewer than it should have: nothing is published.
    assert!(fixture.catalog.publish(&[indexed(4)]).is_err());
    assert_eq!(seen(), 0);
    fixture.catalog.publish(&[indexed(2)]).unwrap();
    assert_eq!(seen(), 2);
    let page = fixture.catalog.chunks_from(document, 1, 1, 10).unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].chunk.text, "one");
    fixture.catalog.forget_unpublished_chunks().unwrap();
    assert_eq!(seen(), 2, "what is published stays");
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
    let error = fixture
        .catalog
        .collection("absent", &AccessFilter::unrestricted("test"))
        .unwrap_err();
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

#[test]
fn a_request_that_comes_again_does_nothing() {
    let fixture = fixture();
    let add = |sha256, key, hash| {
        let new = NewVersion {
            collection: fixture.collection.id,
            source: "a.txt",
            media_type: "text/plain",
            size_bytes: 3,
            sha256,
            acl: &Acl::everyone().into(),
            metadata: &MetadataChange::default(),
            priority: Priority::Normal,
            request: Some(RequestKey { key, hash }),
        };
        fixture.catalog.add_document(&new)
    };
    let first = add("aa", "first", [1; 32]).unwrap();
    let second = add("bb", "second", [2; 32]).unwrap();
    assert_eq!(second.2, AddOutcome::Replaced);
    // The first one, which its sender believes lost, must not bring the old bytes back.
    assert_eq!(add("aa", "first", [1; 32]).unwrap(), first);
    let access = AccessFilter::unrestricted("test");
    let document = fixture.catalog.document(first.0, &access).unwrap();
    assert_eq!((document.version, document.sha256.as_str()), (2, "bb"));
    assert!(matches!(
        add("cc", "first", [3; 32]),
        Err(Error::RequestKeyUsed { .. })
    ));
}
