//! What lies in mails and archives: documents of their own that live, change and go with what they lie in.

use kura_tests::{Kura, TestApp, fixture};
use serde_json::{Value, json};
use std::io::{Cursor, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A file, and what it is sent as.
type File<'f> = (&'f str, &'f str, &'f [u8]);

const PDF: &str = "application/pdf";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const ZIP: &str = "application/zip";
const TEXT: &str = "text/plain";

fn mail(subject: &str, attachments: &[File<'_>]) -> Vec<u8> {
    let mut mail = format!(
        "From: Sato <sato@kura.example>\r\nTo: all@kura.example\r\nSubject: {subject}\r\n\
         Date: Mon, 2 Nov 2026 09:00:00 +0900\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nWhat is attached is for the {subject}.\r\n"
    );
    for (name, media_type, content) in attachments {
        mail.push_str(&format!(
            "--b\r\nContent-Type: {media_type}; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n{}\r\n",
            base64(content)
        ));
    }
    mail.push_str("--b--\r\n");
    mail.into_bytes()
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (at, three) in bytes.chunks(3).enumerate() {
        let bits = three
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            let sign = SIGNS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() {
                char::from(sign)
            } else {
                '='
            });
        }
        if at % 19 == 18 {
            text.push_str("\r\n");
        }
    }
    text
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

/// Adds a file and waits until all that lies in it is settled; returns the document.
fn add(app: &TestApp, name: &str, bytes: &[u8]) -> Value {
    let document = app.add("mails", name, bytes);
    settle(app);
    let id = document["id"].as_str().unwrap();
    app.client.get(&format!("/api/v1/documents/{id}")).json()
}

fn settle(app: &TestApp) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let summary = app.client.get("/api/v1/jobs/summary").json();
        if summary["queued"] == 0 && summary["running"] == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "jobs do not end: {summary}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn children(app: &TestApp, parent: &Value) -> Vec<Value> {
    let id = parent["id"].as_str().unwrap();
    let list = app.client.get(&format!("/api/v1/documents/{id}/children"));
    list.json()["items"].as_array().unwrap().clone()
}

fn sources(documents: &[Value]) -> Vec<&str> {
    documents
        .iter()
        .map(|document| document["source"].as_str().unwrap())
        .collect()
}

fn found(app: &TestApp, words: &str) -> Vec<String> {
    let hits = app.search(words);
    hits.iter()
        .map(|hit| hit["source"].as_str().unwrap().to_owned())
        .collect()
}

fn is_well(app: &TestApp) {
    let seen = app
        .client
        .post("/api/v1/verify", &json!({ "read_blobs": true }))
        .json();
    assert_eq!(seen["findings"], json!([]), "{seen}");
}

#[test]
fn attachments_are_found_cited_and_opened_by_themselves() {
    let app = TestApp::start();
    let pdf = fs_err::read(fixture("handbook/release-process.pdf")).unwrap();
    let xlsx = fs_err::read(fixture("handbook/it-equipment.xlsx")).unwrap();
    let encrypted = fs_err::read(fixture("bad/encrypted.pdf")).unwrap();
    let packed = zip(&[
        (
            "notes/one.txt",
            b"The zirkonvogel stands in a zip in a mail.",
        ),
        ("two.ps", b"%!PS"),
    ]);
    let mail = mail(
        "handover",
        &[
            ("release.pdf", PDF, &pdf),
            ("equipment.xlsx", XLSX, &xlsx),
            ("files.zip", ZIP, &packed),
            ("locked.pdf", PDF, &encrypted),
            ("same.txt", TEXT, b"The first of two files of one name."),
            ("same.txt", TEXT, b"The second of two files of one name."),
        ],
    );
    let document = add(&app, "box/hand.eml", &mail);
    assert_eq!(document["status"], "indexed", "{document}");
    assert_eq!(
        (&document["parent"], &document["n_children"]),
        (&Value::Null, &json!(6))
    );
    let warnings = document["warnings"].to_string();
    assert!(warnings.contains("files.zip/two.ps"), "{warnings}");

    let children = children(&app, &document);
    assert_eq!(
        sources(&children),
        [
            "box/hand.eml/equipment.xlsx",
            "box/hand.eml/files.zip/notes/one.txt",
            "box/hand.eml/locked.pdf",
            "box/hand.eml/release.pdf",
            "box/hand.eml/same (2).txt",
            "box/hand.eml/same.txt",
        ]
    );
    for child in &children {
        assert_eq!(child["parent"], document["id"], "{child}");
        let failed = child["source"] == "box/hand.eml/locked.pdf";
        let status = if failed { "failed" } else { "indexed" };
        assert_eq!(child["status"], status, "{child}");
    }
    assert_eq!(children[0]["media_type"], XLSX);
    assert_eq!(children[1]["metadata"]["date"], "2026-11-02", "the mail's");
    let jobs = app.client.get("/api/v1/jobs?state=failed").json();
    assert_eq!(jobs["items"][0]["code"], "encrypted", "{jobs}");
    assert_eq!(jobs["items"][0]["source"], "box/hand.eml/locked.pdf");

    // The bytes are the attachments' own.
    for (child, bytes) in [(&children[0], &xlsx), (&children[3], &pdf)] {
        let id = child["id"].as_str().unwrap();
        let content = app.client.get(&format!("/api/v1/documents/{id}/content"));
        assert_eq!(&content.body, bytes);
    }
    let content = format!(
        "/api/v1/documents/{}/content",
        children[3]["id"].as_str().unwrap()
    );
    let name = app.client.get(&content);
    let name = name.header("content-disposition").unwrap();
    assert!(name.contains("release.pdf"), "{name}");
    let by_name = app
        .client
        .get("/api/v1/collections/mails/documents/box%2Fhand.eml%2Frelease.pdf")
        .json();
    assert_eq!(by_name["id"], children[3]["id"]);

    let hits = app.search("zirkonvogel");
    assert_eq!(hits[0]["source"], "box/hand.eml/files.zip/notes/one.txt");
    assert_eq!(hits[0]["title"], "one.txt");
    // Not in the mail as well.
    let id = document["id"].as_str().unwrap();
    let text = app
        .client
        .get(&format!("/api/v1/documents/{id}/text"))
        .json();
    let text = text["text"].as_str().unwrap();
    assert!(
        text.contains("release.pdf") && !text.contains("zirkonvogel"),
        "{text}"
    );

    let explained = app.client.post(
        "/api/v1/search/explain",
        &json!({ "query": "zirkonvogel", "document": children[1]["id"] }),
    );
    assert_eq!(
        explained.json()["document"]["source"],
        children[1]["source"]
    );
    let quality = app.client.get("/api/v1/collections/mails/quality").json();
    assert_eq!(quality["statuses"], json!({ "failed": 1, "indexed": 6 }));
    is_well(&app);
}

#[test]
fn a_mailbox_is_its_messages() {
    let app = TestApp::start();
    let message = |subject: &str, day: u32| {
        format!(
            "From sato@kura.example Mon Nov  2 09:00:00 2026\nFrom: sato@kura.example\nMessage-ID: <{day}@x>\n\
             Date: Mon, {day} Nov 2026 09:00:00 +0900\nSubject: {subject}\n\nThe body of the {subject}.\n\n"
        )
    };
    let mailbox = [message("quarzlinde", 2), message("zirkonvogel", 9)].concat();
    let document = add(&app, "all.mbox", mailbox.as_bytes());
    let of = |app: &TestApp| children(app, &document);
    assert_eq!(
        sources(&of(&app)),
        [
            "all.mbox/2026-11-02 quarzlinde.eml",
            "all.mbox/2026-11-09 zirkonvogel.eml"
        ]
    );
    let hits = app.search("zirkonvogel");
    let hit = hits
        .iter()
        .find(|hit| hit["title"] == "zirkonvogel")
        .unwrap();
    assert_eq!(hit["source"], "all.mbox/2026-11-09 zirkonvogel.eml");
    assert_eq!(of(&app)[1]["metadata"]["date"], "2026-11-09");
    // A message is added, one is taken away: what stays is the same document.
    let kept = of(&app)[1]["id"].clone();
    let mailbox = [message("zirkonvogel", 9), message("onyx", 16)].concat();
    add(&app, "all.mbox", mailbox.as_bytes());
    let now = of(&app);
    assert_eq!(now.len(), 2);
    assert_eq!((&now[0]["id"], &now[0]["version"]), (&kept, &json!(1)));
    is_well(&app);
}

#[test]
fn a_child_changes_and_goes_with_its_parent_only() {
    let app = TestApp::start();
    let first = mail(
        "plan",
        &[
            ("stays.txt", TEXT, b"The amethyst stays where it is."),
            ("changes.txt", TEXT, b"The beryll is going to change."),
            ("goes.txt", TEXT, b"The citrin is going to vanish."),
        ],
    );
    let document = add(&app, "plan.eml", &first);
    let before = children(&app, &document);
    let id = |child: &Value| child["id"].as_str().unwrap().to_owned();
    let stays = &before[2];

    // By itself nothing can be done about it.
    app.client
        .delete(&format!("/api/v1/documents/{}", id(stays)))
        .assert_problem(409, "part_of_document");
    let address = "/api/v1/collections/mails/documents/plan.eml%2Fstays.txt";
    app.client
        .send_with(
            "PUT",
            address,
            &[("content-type", TEXT)],
            b"another".to_vec(),
        )
        .assert_problem(409, "part_of_document");
    app.client
        .delete(address)
        .assert_problem(409, "part_of_document");

    let second = mail(
        "plan",
        &[
            ("stays.txt", TEXT, b"The amethyst stays where it is."),
            ("changes.txt", TEXT, b"The diamant has come instead."),
        ],
    );
    let replaced = add(&app, "plan.eml", &second);
    assert_eq!(
        (&replaced["id"], &replaced["n_children"]),
        (&document["id"], &json!(2))
    );
    let after = children(&app, &document);
    assert_eq!(
        sources(&after),
        ["plan.eml/changes.txt", "plan.eml/stays.txt"]
    );
    assert_eq!(&after[1], stays, "nothing of it has changed");
    assert_eq!(
        (&after[0]["id"], &after[0]["version"]),
        (&before[0]["id"], &json!(2))
    );
    for gone in ["beryll", "citrin"] {
        let hits = app.search(gone);
        assert!(
            !hits
                .iter()
                .any(|hit| hit["text"].to_string().contains(gone)),
            "{hits:?}"
        );
    }
    assert_eq!(found(&app, "diamant")[0], "plan.eml/changes.txt");
    app.client
        .get(&format!("/api/v1/documents/{}", id(&before[1])))
        .assert_problem(404, "unknown_document");
    is_well(&app);

    let deleted = app
        .client
        .delete(&format!("/api/v1/documents/{}", id(&document)));
    assert_eq!(deleted.status, 204);
    for child in &after {
        app.client
            .get(&format!("/api/v1/documents/{}", id(child)))
            .assert_problem(404, "unknown_document");
    }
    assert!(found(&app, "amethyst").is_empty());
    is_well(&app);
}

#[test]
fn readers_and_tags_are_those_of_the_parent() {
    let app = TestApp::start();
    let mail = mail(
        "secret",
        &[("plan.txt", TEXT, b"The zirkonvogel flies at night.")],
    );
    let put = |readers: &str| {
        let reply = app.client.send_with(
            "PUT",
            &format!("/api/v1/collections/mails/documents/s.eml?readers={readers}&metadata=%7B%22tags%22%3A%5B%22night%22%5D%7D"),
            &[("content-type", "message/rfc822")],
            mail.clone(),
        );
        assert_eq!(reply.status, 202, "{reply:?}");
        reply.json()["document"].clone()
    };
    let seen_by = |group: &str| {
        let explained = app.client.post(
            "/api/v1/search/explain",
            &json!({ "query": "zirkonvogel", "groups": ["everyone", group] }),
        );
        let candidates = explained.json()["candidates"].clone();
        let hits = candidates.as_array().unwrap().clone();
        hits.iter().any(|hit| hit["source"] == "s.eml/plan.txt")
    };
    let document = put("%5B%22hr%22%5D");
    settle(&app);
    assert!(seen_by("hr") && !seen_by("law"));
    put("%5B%22law%22%5D");
    // When the request is answered, whether or not the mail's job has run.
    assert!(!seen_by("hr") && seen_by("law"));
    settle(&app);
    assert!(!seen_by("hr") && seen_by("law"));
    let child = &children(&app, &document)[0];
    assert_eq!(
        (&child["version"], &child["metadata"]["tags"]),
        (&json!(1), &json!(["night"]))
    );
    let tagged = app.client.post(
        "/api/v1/search",
        &json!({ "query": "zirkonvogel", "filter": { "tags": ["night"] } }),
    );
    assert_eq!(tagged.json()["items"][0]["source"], "s.eml/plan.txt");
    is_well(&app);
}

#[test]
fn a_folder_in_step_knows_nothing_of_what_lies_in_its_files() {
    let kura = Kura::new().with_models();
    let text = |word: &str| format!("The {word} stands in a file that is attached to a mail.");
    let letter = |words: &[&str]| {
        let texts: Vec<(String, String)> = words
            .iter()
            .map(|word| (format!("{word}.txt"), text(word)))
            .collect();
        let files: Vec<File<'_>> = texts
            .iter()
            .map(|(name, text)| (name.as_str(), TEXT, text.as_bytes()))
            .collect();
        mail("letter", &files)
    };
    kura.write("place/a.eml", letter(&["amethyst", "beryll"]));
    kura.write("place/b.txt", "A file beside it.");
    let place = kura.path("place").display().to_string();
    let added = kura.run([
        "sync",
        "add",
        "folder",
        &place,
        "--collection",
        "mails",
        "--name",
        "place",
    ]);
    assert_eq!(added.code, 0, "{added:?}");
    let scan = || {
        let scanned = kura.run(["sync", "run", "place", "--json"]);
        assert_eq!(scanned.code, 0, "{scanned:?}");
        scanned.json()
    };
    let hits = |word: &str| -> Vec<String> {
        let found = kura.run(["search", &text(word), "--json"]).json();
        let items = found["items"].as_array().unwrap().clone();
        items
            .iter()
            .filter(|hit| {
                hit["text"]
                    .as_str()
                    .unwrap()
                    .contains(&format!("The {word} "))
            })
            .map(|hit| hit["source"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = scan();
    assert_eq!(
        (&first["n_items"], &first["n_documents"]),
        (&json!(2), &json!(2)),
        "{first}"
    );
    assert_eq!(hits("amethyst"), ["a.eml/amethyst.txt"]);
    // Nothing has changed: nothing is gone.
    let second = scan();
    assert_eq!(second["last_scan"]["deleted"], 0, "{second}");
    assert_eq!(hits("beryll"), ["a.eml/beryll.txt"]);
    // What is moved takes along what lies in it.
    fs_err::rename(kura.path("place/a.eml"), kura.path("place/c.eml")).unwrap();
    let third = scan();
    assert_eq!(
        (&third["last_scan"]["renamed"], &third["last_scan"]["added"]),
        (&json!(1), &json!(0)),
        "{third}"
    );
    assert_eq!(hits("amethyst"), ["c.eml/amethyst.txt"]);
    kura.write("place/c.eml", letter(&["amethyst"]));
    scan();
    assert!(hits("beryll").is_empty());
    fs_err::remove_file(kura.path("place/c.eml")).unwrap();
    scan();
    assert!(hits("amethyst").is_empty());
    let verified = kura.run(["verify", "--read"]);
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[test]
fn ingest_reports_what_lies_in_files() {
    let kura = Kura::new().with_models();
    let encrypted = fs_err::read(fixture("bad/encrypted.pdf")).unwrap();
    let letter = mail(
        "letter",
        &[
            ("one.txt", TEXT, b"The amethyst stands here."),
            ("two.pdf", PDF, &encrypted),
        ],
    );
    let path = kura.write("letter.eml", letter).display().to_string();
    let ingested = kura.run(["ingest", &path, "--collection", "mails", "--json"]);
    // Some failed.
    ingested.assert_fails(3, &[]);
    let report = ingested.json();
    let row = &report["items"][0];
    assert_eq!(row["outcome"], "new", "{report}");
    assert_eq!(
        (&report["n_children"], &report["n_children_failed"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(row["children"][0]["source"], "letter.eml/one.txt");
    assert_eq!(row["children"][1]["status"], "failed", "{report}");
    let server = kura.serve();
    let by_server = kura.run(["ingest", &path, "--collection", "other", "--json"]);
    by_server.assert_fails(3, &[]);
    assert_eq!(
        by_server.json()["items"][0]["children"][0]["status"],
        "indexed"
    );
    assert!(server.stop());
}

/// Kills before the run that is left to end.
const KILLS: u64 = 8;

#[test]
fn killed_at_any_moment_no_file_is_served_beside_another_version_of_its_mail() {
    let kura = Kura::new().with_models();
    let data = kura.path("data");
    let letter = |version: u64| {
        let texts: Vec<(String, String)> = (0..20 - version)
            .map(|at| {
                // Some stay the same, some change with every version.
                let said = if at.is_multiple_of(2) { 0 } else { version };
                (
                    format!("{at}.txt"),
                    format!("File {at} says number {said} and nothing else."),
                )
            })
            .collect();
        let files: Vec<File<'_>> = texts
            .iter()
            .map(|(name, text)| (name.as_str(), TEXT, text.as_bytes()))
            .collect();
        mail(&format!("letter {version}"), &files)
    };
    let path = kura.path("letter.eml").display().to_string();
    let ingest = || kura.command_at(&data, ["ingest", &path, "--collection", "mails"]);
    kura.write("letter.eml", letter(0));
    assert!(ingest().stdout(Stdio::null()).status().unwrap().success());
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for version in 1..=KILLS {
        kura.write("letter.eml", letter(version));
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut child = ingest()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(random % 1500));
        child.kill().unwrap();
        child.wait().unwrap();
        // As it was left, before any job runs on: what is served belongs together.
        assert!(kura.run(["jobs", "pause"]).code == 0);
        let server = kura.serve_at(&data);
        let list = server.client.get("/api/v1/documents?limit=200").json();
        let documents = list["items"].as_array().unwrap().clone();
        let text_of = |document: &Value| {
            let id = document["id"].as_str().unwrap();
            let text = server.client.get(&format!("/api/v1/documents/{id}/text"));
            (text.status == 200).then(|| text.json()["text"].as_str().unwrap().to_owned())
        };
        let mail = documents
            .iter()
            .find(|document| document["parent"] == Value::Null)
            .unwrap();
        let served = text_of(mail).unwrap();
        let number = (0..=version)
            .find(|number| served.contains(&format!("letter {number}\n")))
            .unwrap();
        let others: Vec<&Value> = documents
            .iter()
            .filter(|document| document["parent"] != Value::Null)
            .collect();
        assert_eq!(others.len() as u64, 20 - number, "kill {version}");
        for child in others {
            let source = child["source"].as_str().unwrap();
            let at: u64 = source
                .trim_start_matches("letter.eml/")
                .trim_end_matches(".txt")
                .parse()
                .unwrap();
            let said = if at.is_multiple_of(2) { 0 } else { number };
            if let Some(text) = text_of(child) {
                assert!(
                    text.contains(&format!("number {said} ")),
                    "{source} beside {number}: {text}"
                );
            }
        }
        let verified = server
            .client
            .post("/api/v1/verify", &json!({ "read_blobs": true }))
            .json();
        assert_eq!(verified["findings"], json!([]), "{verified}");
        assert!(server.stop());
        assert!(kura.run(["jobs", "resume"]).code == 0);
        println!("kill {version}: letter {number} is served");
    }
    assert!(ingest().stdout(Stdio::null()).status().unwrap().success());
    let server = kura.serve_at(&data);
    let list = server.client.get("/api/v1/documents?limit=200").json();
    let documents = list["items"].as_array().unwrap().clone();
    assert_eq!(documents.len() as u64, 21 - KILLS);
    assert!(
        documents
            .iter()
            .all(|document| document["status"] == "indexed"),
        "{list}"
    );
}
