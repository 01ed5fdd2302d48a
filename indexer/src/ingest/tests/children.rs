use super::*;
use crate::GroupId;
use crate::catalog::DocumentStatus;
use std::collections::BTreeSet;
use std::io::{Cursor, Write as _};

/// A mail with texts attached.
fn mail(subject: &str, attachments: &[(&str, &str)]) -> Vec<u8> {
    let mut mail = format!(
        "From: Sato <sato@kura.example>\r\nSubject: {subject}\r\nDate: Mon, 2 Nov 2026 09:00:00 +0900\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nThe body of {subject}.\r\n"
    );
    for (name, text) in attachments {
        mail.push_str(&format!(
            "--b\r\nContent-Type: text/plain; name=\"{name}\"\r\n\
             Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n{text}\r\n"
        ));
    }
    mail.push_str("--b--\r\n");
    mail.into_bytes()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

async fn put(pipeline: &Pipeline, source: &str, bytes: Vec<u8>, groups: &[&str]) -> Added {
    let collection = pipeline.create_collection("c").await.unwrap().id;
    let new = NewDocument {
        collection,
        source: source.to_owned(),
        media_type: None,
        bytes,
        acl: Acl::readers(
            groups
                .iter()
                .map(|group| GroupId((*group).to_owned()))
                .collect(),
        )
        .into(),
        metadata: MetadataChange::default(),
    };
    pipeline.add_document(new).await.unwrap()
}

async fn children(pipeline: &Pipeline, parent: DocumentId) -> Vec<Document> {
    let access = AccessFilter::unrestricted("test");
    let page = pipeline.children(parent, &access, None, 100).await;
    page.unwrap().items
}

fn sources(documents: &[Document]) -> Vec<&str> {
    documents
        .iter()
        .map(|child| child.source.as_str())
        .collect()
}

async fn found_by(pipeline: &Pipeline, group: &str, text: &str) -> Vec<String> {
    let request = SearchRequest {
        text: text.to_owned(),
        collections: Collections::All,
        limit: 10,
        filter: SearchFilter::default(),
    };
    let access = AccessFilter::groups(BTreeSet::from(
        ["everyone", group].map(|name| GroupId(name.to_owned())),
    ));
    let hits = pipeline.search(&request, &access).await.unwrap().hits;
    hits.into_iter().map(|hit| hit.source).collect()
}

/// Runs jobs until the first ends; what is then queued waits.
async fn run_first(pipeline: &Pipeline) {
    let (ended, first) = tokio::sync::oneshot::channel();
    let ended = Mutex::new(Some(ended));
    let report = |event: Event<'_>| {
        if let Event::Ended(_) = event
            && let Some(ended) = ended.lock().unwrap().take()
        {
            ended.send(()).unwrap();
        }
    };
    let stop = async { first.await.unwrap() };
    pipeline
        .run_jobs(&Limits::default(), stop, &report)
        .await
        .unwrap();
}

async fn all_is_well(pipeline: &Pipeline) {
    let seen = pipeline.verify(true).await.unwrap();
    assert!(seen.findings.is_empty(), "{seen:#?}");
}

#[tokio::test]
async fn what_lies_in_a_file_is_documents_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    let inner = mail("Inner", &[("deep.txt", "Zirkon lies deep.")]);
    let packed = zip(&[
        ("a/quarz.txt", b"Quarz lies in a folder."),
        ("inner.eml", &inner),
        ("x.pdf", b"%PDF-1.4 and nothing more"),
    ]);
    let added = put(&pipeline, "all.zip", packed, &["hr"]).await;
    run(&pipeline).await;
    let parent = added.document.id;
    let children = children(&pipeline, parent).await;
    assert_eq!(
        sources(&children),
        [
            "all.zip/a/quarz.txt",
            "all.zip/inner.eml",
            "all.zip/inner.eml/deep.txt",
            "all.zip/x.pdf",
        ]
    );
    for child in &children {
        assert_eq!(child.parent, Some(parent));
        assert_eq!(child.acl, added.document.acl);
        assert_eq!(child.n_children, 0);
    }
    // One that cannot be read fails by itself.
    assert_eq!(children[3].status, DocumentStatus::Failed);
    let access = AccessFilter::unrestricted("test");
    let document = pipeline.document(parent, &access).await.unwrap();
    assert_eq!(document.status, DocumentStatus::Indexed);
    assert_eq!(document.n_children, 4);
    for (word, source) in [
        ("Quarz", "all.zip/a/quarz.txt"),
        ("Zirkon", "all.zip/inner.eml/deep.txt"),
    ] {
        assert_eq!(found_by(&pipeline, "hr", word).await[0], source);
        assert!(found_by(&pipeline, "law", word).await.is_empty());
    }
    let bytes = pipeline.document_bytes(children[1].id, &access).await;
    assert_eq!(bytes.unwrap(), inner);
    // The mail within has its own date, and nothing was read twice.
    assert_eq!(
        children[1].metadata.date,
        Some(jiff::civil::date(2026, 11, 2))
    );
    assert!(
        !pipeline
            .visible_text(children[1].id, &access)
            .await
            .unwrap()
            .1
            .contains("Zirkon")
    );
    let refused = pipeline.delete_document(children[0].id, &access).await;
    assert!(matches!(refused, Err(Error::PartOfDocument { .. })));
    all_is_well(&pipeline).await;

    pipeline.delete_document(parent, &access).await.unwrap();
    assert!(found_by(&pipeline, "hr", "Zirkon").await.is_empty());
    let seen = pipeline.verify(true).await.unwrap();
    assert_eq!((seen.n_documents, seen.n_vectors, seen.n_blobs), (0, 0, 0));
    all_is_well(&pipeline).await;
}

#[tokio::test]
async fn a_new_version_brings_its_files_along_whenever_the_process_ends() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    let long = |word: &str| format!("{word} stands here and nowhere else in this mail.");
    let first = mail(
        "Report",
        &[
            ("stays.txt", &long("Amethyst")),
            ("changes.txt", &long("Beryll")),
            ("goes.txt", &long("Citrin")),
        ],
    );
    let parent = put(&pipeline, "m.eml", first, &["hr"]).await.document.id;
    run(&pipeline).await;
    embedder.take();
    let second = mail(
        "Report",
        &[
            ("stays.txt", &long("Amethyst")),
            ("changes.txt", &long("Diamant")),
        ],
    );
    put(&pipeline, "m.eml", second, &["hr"]).await;
    // The mail's new version is there, and the process ends before the files' turn comes.
    run_first(&pipeline).await;
    for old in ["Beryll", "Citrin"] {
        let found = found_by(&pipeline, "hr", old).await;
        assert!(
            !found
                .iter()
                .any(|source| source.contains("changes") || source.contains("goes")),
            "{old}: {found:?}"
        );
    }
    all_is_well(&pipeline).await;
    drop(pipeline);
    let pipeline = open(dir.path(), &embedder).await;
    all_is_well(&pipeline).await;
    run(&pipeline).await;
    assert_eq!(
        sources(&children(&pipeline, parent).await),
        ["m.eml/changes.txt", "m.eml/stays.txt"]
    );
    assert_eq!(
        found_by(&pipeline, "hr", "Amethyst").await[0],
        "m.eml/stays.txt"
    );
    assert_eq!(
        found_by(&pipeline, "hr", "Diamant").await[0],
        "m.eml/changes.txt"
    );
    // The file that stayed kept its vectors: only the mail, whose list of names is another, and the other file have new ones.
    let embedded = embedder.take();
    assert!(
        !embedded.iter().any(|text| text.contains("Amethyst")),
        "{embedded:?}"
    );
    all_is_well(&pipeline).await;
}

#[tokio::test]
async fn who_may_read_a_file_may_read_what_lies_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    let same = || mail("Report", &[("a.txt", "Amethyst stands here.")]);
    put(&pipeline, "m.eml", same(), &["hr"]).await;
    run(&pipeline).await;
    assert_eq!(
        found_by(&pipeline, "hr", "Amethyst").await[0],
        "m.eml/a.txt"
    );
    // At once, before the mail's job runs: taken from some, given to others, in the index, too.
    put(&pipeline, "m.eml", same(), &["law"]).await;
    assert!(
        !found_by(&pipeline, "hr", "Amethyst")
            .await
            .contains(&"m.eml/a.txt".to_owned())
    );
    assert_eq!(
        found_by(&pipeline, "law", "Amethyst").await[0],
        "m.eml/a.txt"
    );
    run(&pipeline).await;
    assert_eq!(
        found_by(&pipeline, "law", "Amethyst").await[0],
        "m.eml/a.txt"
    );
    assert!(embedder.take().len() <= 2, "nothing is embedded again");
    all_is_well(&pipeline).await;
}
