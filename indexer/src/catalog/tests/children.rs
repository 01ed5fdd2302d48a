use super::*;
use crate::catalog::{Flipped, NewPart};

impl Fixture {
    /// Publishes a version in which these files lie, by part and hash.
    fn publish_with(&self, job: JobId, parts: &[(&str, &str)]) -> Flipped {
        self.claim(100);
        let job = self.catalog.job(job).unwrap();
        for (ordinal, (part, sha256)) in parts.iter().enumerate() {
            let file = NewPart {
                part,
                sha256,
                size_bytes: 1,
                media_type: "text/plain",
            };
            self.catalog
                .note_part(job.document, job.version, ordinal, &file)
                .unwrap();
        }
        let indexed = Indexed {
            job: job.id,
            document: job.document,
            version: job.version,
            n_parts: u32::try_from(parts.len()).unwrap(),
            title: "Title".to_owned(),
            text: String::new(),
            chunks: Vec::new(),
            n_chunks: 0,
            n_reused: 0,
            warnings: Vec::new(),
            found: Metadata::default(),
        };
        self.catalog.publish(&[indexed]).unwrap()
    }

    fn children(&self, parent: DocumentId) -> Vec<Document> {
        let access = AccessFilter::unrestricted("test");
        self.catalog
            .children(parent, &access, None, 100)
            .unwrap()
            .items
    }

    /// Publishes every version that waits.
    fn publish_all(&self) {
        for job in self.catalog.queued_jobs(100).unwrap() {
            self.publish(job.id, "text");
        }
    }

    fn readers(&self, parent: DocumentId) -> Vec<Vec<String>> {
        let children = self.children(parent).into_iter();
        children
            .map(|child| child.acl.readers.into_iter().map(|group| group.0).collect())
            .collect()
    }
}

#[test]
fn children_are_in_step_with_the_version_that_is_published() {
    let fixture = fixture();
    let everyone = Acl::everyone();
    let (mail, job, _) = fixture.add("m.eml", "m1", &everyone);
    let flipped = fixture.publish_with(
        job.unwrap(),
        &[("a.txt", "a1"), ("b.txt", "b1"), ("c.txt", "c1")],
    );
    assert!(flipped.hidden.is_empty() && !flipped.any_deleted);
    fixture.publish_all();
    let first = fixture.children(mail);
    let sources: Vec<&str> = first.iter().map(|child| child.source.as_str()).collect();
    assert_eq!(sources, ["m.eml/a.txt", "m.eml/b.txt", "m.eml/c.txt"]);
    assert!(first.iter().all(|child| child.parent == Some(mail)));

    // `a` stays, `b` changes, `c` vanishes, `d` is new: all at the moment when the mail's new version is there.
    let (_, job, _) = fixture.add("m.eml", "m2", &everyone);
    assert_eq!(fixture.children(mail), first, "until then nothing changes");
    let flipped = fixture.publish_with(
        job.unwrap(),
        &[("a.txt", "a1"), ("b.txt", "b2"), ("d.txt", "d1")],
    );
    assert_eq!(flipped.hidden, [first[1].id]);
    assert!(flipped.any_deleted);
    let second = fixture.children(mail);
    assert_eq!(second[0], first[0]);
    assert_eq!(
        (second[1].id, second[1].version, second[1].n_chunks),
        (first[1].id, 2, 0)
    );
    assert_eq!(second[2].source, "m.eml/d.txt");
    let served = fixture
        .catalog
        .visible_versions(&first.iter().map(|child| child.id).collect::<Vec<_>>())
        .unwrap();
    assert_eq!(served.keys().collect::<Vec<_>>(), [&first[0].id]);
    let deleted = fixture.catalog.deleted().unwrap();
    assert_eq!(deleted, [Deleted(first[2].id)]);
    // The old version of `b` keeps its vectors until the new one is there.
    assert_eq!(fixture.catalog.chunks(first[1].id, 1).unwrap().len(), 1);
    fixture.publish_all();
    assert!(fixture.catalog.chunks(first[1].id, 1).unwrap().is_empty());

    // The mail takes them along, and the catalog can forget all of them.
    fixture.catalog.delete_document(mail).unwrap();
    let deleted = fixture.catalog.deleted().unwrap();
    assert_eq!(deleted.len(), 5);
    assert_eq!(deleted[4], Deleted(mail), "children go first");
    let mut blobs = fixture.catalog.purge(&deleted).unwrap();
    blobs.sort();
    assert_eq!(blobs, ["a1", "b2", "c1", "d1", "m2"]);
    assert!(fixture.catalog.blobs_in_use().unwrap().is_empty());
}

#[test]
fn files_of_a_version_that_is_never_published_go_with_it() {
    let fixture = fixture();
    let everyone = Acl::everyone();
    let (mail, job, _) = fixture.add("m.eml", "m1", &everyone);
    fixture.publish_with(job.unwrap(), &[("a.txt", "a1")]);
    let note = |version, sha256| {
        let file = NewPart {
            part: "a.txt",
            sha256,
            size_bytes: 1,
            media_type: "text/plain",
        };
        fixture.catalog.note_part(mail, version, 0, &file).unwrap();
    };
    fixture.add("m.eml", "m2", &everyone);
    note(2, "a2");
    assert!(fixture.catalog.blobs_in_use().unwrap().contains("a2"));
    let (_, job, _) = fixture.add("m.eml", "m3", &everyone);
    // Read twice, with another outcome: the last counts.
    note(3, "a4");
    let flipped = fixture.publish_with(job.unwrap(), &[("a.txt", "a3")]);
    assert!(flipped.old_blobs.contains(&"a2".to_owned()));
    let used = fixture.catalog.blobs_in_use().unwrap();
    assert!(!used.contains("a2") && !used.contains("a4") && used.contains("a3"));
    // A version that is gone takes no more.
    note(2, "a5");
    assert!(!fixture.catalog.blobs_in_use().unwrap().contains("a5"));
    fixture.publish_all();
}

#[test]
fn children_have_the_readers_of_their_parent_and_are_never_more_open() {
    let fixture = fixture();
    let (hr, _) = only("hr");
    let (law, law_access) = only("law");
    let everyone = Acl::everyone();
    let (mail, job, _) = fixture.add("m.eml", "m1", &hr);
    fixture.publish_with(job.unwrap(), &[("a.txt", "a1")]);
    fixture.publish_all();
    assert_eq!(fixture.readers(mail), [["hr"]]);
    assert!(!fixture.catalog.children_wait(mail).unwrap());

    // The same file for others: at once, and the index is to be told.
    fixture.add("m.eml", "m1", &law);
    assert_eq!(fixture.readers(mail), [["law"]]);
    assert!(fixture.catalog.children_wait(mail).unwrap());
    let told = fixture.catalog.unindexed_attributes(None, 10).unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].acl, Some(law.clone()));
    fixture.catalog.attributes_indexed(&told).unwrap();
    assert!(!fixture.catalog.children_wait(mail).unwrap());

    // Another file for everyone: what lies in the old one is not opened with it, however often it comes.
    fixture.add("m.eml", "m2", &everyone);
    assert_eq!(fixture.readers(mail), [["law"]]);
    fixture.add("m.eml", "m2", &hr);
    assert_eq!(fixture.readers(mail), [[""; 0]]);
    let (_, job, _) = fixture.add("m.eml", "m2", &everyone);
    assert_eq!(fixture.readers(mail), [[""; 0]]);
    fixture.publish_with(job.unwrap(), &[("a.txt", "a2")]);
    assert_eq!(fixture.readers(mail), [["everyone"]]);
    fixture.publish_all();

    // Another file for fewer: what lies in the old one is closed at once.
    fixture.add("m.eml", "m3", &hr);
    assert_eq!(fixture.readers(mail), [["hr"]]);
    let refused = fixture.catalog.children(mail, &law_access, None, 10);
    assert!(matches!(refused, Err(Error::UnknownDocument { .. })));
}

#[test]
fn a_source_names_one_document() {
    let fixture = fixture();
    let everyone = Acl::everyone();
    fixture.add("m.eml/a.txt", "other", &everyone);
    let (mail, job, _) = fixture.add("m.eml", "m1", &everyone);
    fixture.publish_with(job.unwrap(), &[("a.txt", "a1"), ("b.txt", "b1")]);
    let sources = |parent| -> Vec<String> {
        let children = fixture.children(parent).into_iter();
        children.map(|child| child.source).collect()
    };
    assert_eq!(sources(mail), ["m.eml/a (2).txt", "m.eml/b.txt"]);
    // The name of a child is not free, and a child changes only with its parent.
    let new = NewVersion {
        collection: fixture.collection.id,
        source: "m.eml/b.txt",
        media_type: "text/plain",
        size_bytes: 1,
        sha256: "b2",
        acl: &everyone.clone().into(),
        metadata: &MetadataChange::default(),
        priority: Priority::Normal,
        request: None,
    };
    let refused = fixture.catalog.add_document(&new);
    assert!(
        matches!(&refused, Err(Error::PartOfDocument { parent, .. }) if parent == "m.eml"),
        "{refused:?}"
    );
    // A child that was renamed keeps its place.
    let (_, job, _) = fixture.add("m.eml", "m2", &everyone);
    let flipped = fixture.publish_with(job.unwrap(), &[("a.txt", "a1"), ("b.txt", "b1")]);
    assert!(flipped.hidden.is_empty() && !flipped.any_deleted);
    fixture.publish_all();
}

#[test]
fn children_have_the_date_and_what_was_said_of_their_parent() {
    let fixture = fixture();
    let everyone = Acl::everyone();
    let (mail, job, _) = fixture.add("m.eml", "m1", &everyone);
    fixture.publish_with(job.unwrap(), &[("a.txt", "a1")]);
    fixture.publish_all();
    let child = fixture.children(mail)[0].id;
    let known = || fixture.children(mail)[0].metadata.clone();
    let change = |tags: &[&str], supersedes: &[&str]| MetadataChange {
        tags: Some(Some(tags.iter().map(|tag| (*tag).to_owned()).collect())),
        supersedes: Some(Some(
            supersedes
                .iter()
                .map(|source| (*source).to_owned())
                .collect(),
        )),
        ..MetadataChange::default()
    };
    fixture
        .catalog
        .set_metadata(mail, &change(&["rules"], &["old.eml"]))
        .unwrap();
    assert_eq!(known().tags, BTreeSet::from(["rules".to_owned()]));
    assert!(known().supersedes.is_empty(), "that is said of the mail");
    let told = fixture.catalog.unindexed_attributes(None, 10).unwrap();
    let told = told.iter().find(|told| told.document == child).unwrap();
    assert_eq!(told.attributes.metadata.tags, known().tags);
    assert_eq!(told.acl, None);
    // What is said of the child itself counts first.
    fixture
        .catalog
        .set_metadata(child, &change(&["own"], &[]))
        .unwrap();
    assert_eq!(known().tags, BTreeSet::from(["own".to_owned()]));

    // The mail's date, until the file has one of its own.
    let date = jiff::civil::date(2026, 11, 2);
    fixture
        .catalog
        .write(|tx| {
            let found = Metadata {
                date: Some(date),
                ..Metadata::default()
            };
            crate::catalog::metadata::find(tx, mail, &found)
        })
        .unwrap();
    assert_eq!(known().date, Some(date));

    // Who supersedes the mail supersedes what lies in it.
    let (newer, job, _) = fixture.add("n.eml", "n1", &everyone);
    fixture
        .catalog
        .set_metadata(newer, &change(&[], &["m.eml"]))
        .unwrap();
    assert_eq!(fixture.children(mail)[0].superseded_from, None);
    fixture.publish(job.unwrap(), "text");
    let since = fixture.children(mail)[0].superseded_from;
    assert_eq!(since, Some(jiff::civil::Date::ZERO));
}

#[test]
fn what_an_earlier_kura_read_with_its_parts_is_read_anew_when_it_comes_again() {
    let fixture = fixture();
    let everyone = Acl::everyone();
    let (mail, job, _) = fixture.add("m.eml", "m1", &everyone);
    fixture.publish_with(job.unwrap(), &[]);
    let again = fixture.add("m.eml", "m1", &everyone);
    assert_eq!(again, (mail, None, AddOutcome::Unchanged));
    fixture
        .catalog
        .write(|tx| {
            tx.execute("UPDATE versions SET holds_parts = 1", [])?;
            Ok(())
        })
        .unwrap();
    let (_, job, outcome) = fixture.add("m.eml", "m1", &everyone);
    assert_eq!(outcome, AddOutcome::Replaced);
    fixture.publish_with(job.unwrap(), &[("a.txt", "a1")]);
    assert_eq!(fixture.children(mail).len(), 1);
    let again = fixture.add("m.eml", "m1", &everyone);
    assert_eq!(again, (mail, None, AddOutcome::Unchanged));
}
