use super::*;
use crate::access::Collections;
use crate::ingest::AddOutcome;
use crate::{
    AccessFilter, Acl, Chunk, ChunkId, DocumentId, GroupId, Locator, Metadata, MetadataChange,
    SearchFilter,
};
use std::collections::BTreeSet;

mod children;
mod jobs;

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
