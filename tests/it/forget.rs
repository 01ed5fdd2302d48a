//! The right to be forgotten: what is erased is in no byte of the data directory, and the certificate says so.

use crate::leftovers::{files, find};
use kura::forget::certificate::{self, Flaw};
use kura_tests::{Client, Kura, Reply, TestApp, fake_models};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

const PASSWORD: &str = "correct horse battery";
const PATH: &str = "/api/v1/forget";

/// A word that is nowhere else: it is the same in lower case, and no stemmer changes it.
fn canary(n: usize) -> String {
    format!(
        "zq{n:02}k{:08x}qx",
        0x9e37_79b9_u32.wrapping_mul(n as u32 + 1)
    )
}

fn put(client: &Client, path: &str, media_type: &'static str, body: &[u8]) -> Reply {
    client.send("PUT", path, Some((media_type, body.to_vec())))
}

fn settle(app: &TestApp) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let summary = app.client.get("/api/v1/jobs/summary").json();
        if summary["queued"] == 0 && summary["running"] == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{summary}");
        std::thread::sleep(Duration::from_millis(20));
    }
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

fn docx(text: &str) -> Vec<u8> {
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\">\
         <w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>"
    );
    zip(&[
        ("[Content_Types].xml", b"<?xml version=\"1.0\"?><Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" ContentType=\"application/xml\"/><Override PartName=\"/word/document.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/></Types>"),
        ("_rels/.rels", b"<?xml version=\"1.0\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"r1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"word/document.xml\"/></Relationships>"),
        ("word/document.xml", document.as_bytes()),
    ])
}

fn pdf(text: &str) -> Vec<u8> {
    let content = format!("BT /F 12 Tf 1 0 0 1 50 700 Tm ({text}) Tj ET\n");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [4 0 R] /Count 1 /MediaBox [0 0 600 800] /Resources << /Font << /F 3 0 R >> >> >>".to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /Contents 5 0 R >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{content}endstream", content.len()),
    ];
    let (mut out, mut places) = ("%PDF-1.4\n".to_owned(), Vec::new());
    for (object, n) in objects.iter().zip(1..) {
        places.push(out.len());
        out.push_str(&format!("{n} 0 obj\n{object}\nendobj\n"));
    }
    let start = out.len();
    out.push_str("xref\n0 6\n0000000000 65535 f \n");
    for place in places {
        out.push_str(&format!("{place:010} 00000 n \n"));
    }
    out.push_str(&format!(
        "trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    ));
    out.into_bytes()
}

fn mailbox(words: &[String]) -> Vec<u8> {
    let messages = words.iter().map(|word| {
        format!(
            "From ann@example.com Mon Nov 02 10:00:00 2026\nFrom: ann@example.com\nTo: bob@example.com\nSubject: Travel {word}\n\
             Date: Mon, 02 Nov 2026 10:00:00 +0000\nContent-Type: text/plain\n\nThe travel desk is {word}.\n\n"
        )
    });
    messages.collect::<String>().into_bytes()
}

fn id(document: &Value) -> String {
    document["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{document}"))
        .to_owned()
}

fn data_dir(app: &TestApp) -> &Path {
    &app.app.config.data_dir
}

/// Asks for something to be forgotten, and waits until it is; returns it.
fn forget(client: &Client, request: &Value) -> Value {
    let reply = client.post(PATH, request);
    assert!([200, 202].contains(&reply.status), "{reply:?}");
    let erasure = reply.json();
    let deadline = Instant::now() + Duration::from_secs(120);
    let at = format!("{PATH}/{}", erasure["id"].as_str().unwrap());
    loop {
        let erasure = client.get(&at).json();
        if erasure["state"] == "done" {
            return erasure;
        }
        assert!(Instant::now() < deadline, "{erasure}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Fails unless no word is left, in files that are not of the audit log or that are.
fn assert_gone(data: &Path, words: &[String]) {
    let found = find(data, words);
    assert!(found.is_empty(), "{found:#?}");
}

fn number(certificate: &Value, store: &str, what: &str) -> u64 {
    let erased = certificate["erased"].as_array().unwrap();
    let found = erased
        .iter()
        .find(|erased| erased["store"] == store && erased["what"].as_str().unwrap().contains(what));
    found.map_or(0, |erased| erased["n"].as_u64().unwrap())
}

/// Adds twenty documents with a word each; returns those that are to be named, by the number of their word.
fn fill(app: &TestApp) -> BTreeMap<usize, String> {
    let mut added = BTreeMap::new();
    let mut add = |n: usize, name: &str, bytes: &[u8]| {
        added.insert(n, id(&app.add("hr", name, bytes)));
    };
    let fact = |n: usize| format!("Employees of {} get twenty days of paid leave.", canary(n));
    add(0, "leave.md", format!("# Leave\n\n{}", fact(0)).as_bytes());
    add(
        1,
        "title.md",
        format!("# The {} rules\n\nBadges are worn.", canary(1)).as_bytes(),
    );
    add(
        2,
        &format!("{}.md", canary(2)),
        b"# Keys\n\nKeys are kept in room 7.",
    );
    add(3, "tagged.md", b"# Tagged\n\nThe canteen opens at noon.");
    add(4, "report.docx", &docx(&fact(4)));
    add(5, "report.pdf", &pdf(&fact(5)));
    add(6, "all.mbox", &mailbox(&[canary(6), canary(7)]));
    let members = [
        (
            &*format!("{}.txt", canary(8)),
            "A name tells, too.".to_owned(),
        ),
        ("notes.txt", fact(9)),
    ];
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, text)| (*name, text.as_bytes()))
        .collect();
    add(8, "files.zip", &zip(&members));
    // The old version's word is in no document any more.
    add(
        10,
        "replaced.md",
        format!("# Old\n\n{}", fact(10)).as_bytes(),
    );
    let asked = app.ask(&format!(
        "How many days of paid leave do employees of {} get?",
        canary(10)
    ));
    assert_eq!(asked.json()["outcome"], "grounded", "{asked:?}");
    app.add(
        "hr",
        "replaced.md",
        b"# New\n\nThis replaces what was there.",
    );
    let wide: Vec<u8> = [0xfeff]
        .into_iter()
        .chain(format!("{}\r\n", fact(11)).encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    add(11, "wide.txt", &wide);
    add(
        12,
        "table.csv",
        format!("name,desk\n{},7\n", canary(12)).as_bytes(),
    );
    add(
        13,
        "page.html",
        format!("<h1>Page</h1><p>{}</p>", fact(13)).as_bytes(),
    );
    add(14, &format!("{}.pdf", canary(14)), b"no pdf");
    let long: String = (0..400)
        .map(|n| format!("Paragraph {n} of {} says little. ", canary(15)))
        .collect();
    add(15, "long.md", format!("# Long\n\n{long}").as_bytes());
    add(
        16,
        "data.json",
        format!("{{\"owner\": \"{}\"}}", canary(16)).as_bytes(),
    );
    let path = format!("/api/v1/collections/hr/documents/{}", canary(17));
    let pushed = put(
        &app.client,
        &path,
        "text/markdown",
        b"# Pushed\n\nA system pushed this.",
    );
    assert_eq!(pushed.status, 202, "{pushed:?}");
    added.insert(17, id(&pushed.json()["document"]));
    let change = |n: usize, change: Value| {
        let path = format!("/api/v1/documents/{}", added[&n]);
        let body = json!({ "metadata": change }).to_string().into_bytes();
        let body = Some(("application/json", body));
        let reply = app.client.send("PATCH", &path, body);
        assert_eq!(reply.status, 200, "{reply:?}");
    };
    change(
        3,
        json!({ "tags": [canary(3), canary(19)], "author": canary(18) }),
    );
    settle(app);
    added
}

#[test]
fn twenty_documents_and_a_person_leave_no_byte_behind() {
    let app = TestApp::with(
        fake_models(&["Employees get twenty days of paid leave [1]."]),
        |_| (),
    );
    let data = data_dir(&app).to_owned();
    let kept = id(&app.add(
        "hr",
        "kept.md",
        b"# Parking\n\nVisitors park behind the house.",
    ));
    let added = fill(&app);
    // One that stays says that it stands in the place of one that goes.
    let successor = id(&app.add(
        "hr",
        "successor.md",
        b"# Doors\n\nDoors are closed at night.",
    ));
    let body = json!({ "metadata": { "supersedes": [format!("{}.md", canary(2))] } });
    let body = Some(("application/json", body.to_string().into_bytes()));
    let path = format!("/api/v1/documents/{successor}");
    assert_eq!(app.client.send("PATCH", &path, body).status, 200);

    // They are asked about, rated, and measured with.
    let [comment, correction, query, name, mail, question, key] =
        [30, 31, 32, 33, 34, 35, 36].map(canary);
    let answer = app.ask(&format!(
        "How many days of paid leave do employees of {} get?",
        canary(0)
    ));
    let answer = answer.json();
    assert_eq!(answer["outcome"], "grounded", "{answer}");
    let rating = json!({ "rating": "down", "comment": comment, "corrected_answer": correction, "document": added[&0] });
    let at = format!(
        "/api/v1/answers/{}/feedback",
        answer["id"].as_str().unwrap()
    );
    assert_eq!(
        put(
            &app.client,
            &at,
            "application/json",
            rating.to_string().as_bytes()
        )
        .status,
        200
    );
    let evaluation = json!({
        "name": "leave", "collection": "hr", "queries": [
            { "text": format!("paid leave of {query}"), "relevant": { "leave.md": 1 } },
            { "text": "where do visitors park", "relevant": { "kept.md": 1 } },
        ],
    });
    let started = app.client.post("/api/v1/evaluations", &evaluation).json();
    let evaluation = format!("/api/v1/evaluations/{}", started["id"].as_str().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    while app.client.get(&evaluation).json()["state"] == "running" {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }

    // A person asks, too, has a key, and is named by an access list.
    let login = "takezou-yamada";
    let person = json!({
        "name": login, "display_name": name, "email": format!("{mail}@example.com"), "password": PASSWORD, "role": "reader",
    });
    let person = app.client.post("/api/v1/users", &person);
    assert_eq!(person.status, 201, "{person:?}");
    let person = id(&person.json());
    let made = app
        .client
        .post("/api/v1/api-keys", &json!({ "name": key, "user": login }))
        .json();
    let theirs = Client::new(app.client.url(), made["key"].as_str());
    let asked =
        json!({ "question": format!("Where do visitors park, {question}?"), "stream": false });
    assert_eq!(theirs.post("/api/v1/ask", &asked).status, 200);
    let acl = json!({ "readers": ["everyone", format!("user:{login}")] }).to_string();
    let at = format!("/api/v1/documents/{kept}/acl");
    assert_eq!(
        put(&app.client, &at, "application/json", acl.as_bytes()).status,
        200
    );

    // All of it can be found before, or the test would see nothing.
    let canaries: Vec<String> = (0..20).map(canary).collect();
    let others = [&comment, &correction, &query, &name, &mail, &question, &key].map(Clone::clone);
    let mut words = [canaries.clone(), others.to_vec()].concat();
    let before = find(&data, &words);
    for word in &words {
        assert!(
            before.contains_key(word),
            "{word} is nowhere: {:?}",
            before.keys()
        );
    }
    for (word, place) in [
        (3, "dense"),
        (3, "terms of"),
        (0, "stored"),
        (0, "conversations.db"),
        (5, "blobs"),
        (0, "catalog.db: chunks"),
        (11, "UTF-16"),
        (9, "!1"),
        (4, "!2"),
    ] {
        let places = &before[&canary(word)];
        assert!(
            places.iter().any(|found| found.contains(place)),
            "{word} {place}: {places:?}"
        );
    }
    let named = find(&data, &[login.to_owned()]);
    assert!(
        named[login].iter().any(|place| !place.starts_with("audit")),
        "{named:?}"
    );

    // Who may not read it sees what would be done, and nothing is done.
    let documents: Vec<&String> = added.values().collect();
    let request = json!({ "documents": documents, "person": login, "dry_run": true });
    let planned = app.client.post(PATH, &request);
    assert_eq!(planned.status, 200, "{planned:?}");
    let text = String::from_utf8(planned.body.clone()).unwrap();
    assert!(
        !words.iter().any(|word| text.contains(word.as_str())),
        "{text}"
    );
    let planned = planned.json();
    assert_eq!(
        (&planned["state"], &planned["certificate"]),
        (&json!("planned"), &Value::Null)
    );
    assert_eq!(find(&data, &words).len(), words.len());

    let erasure = forget(
        &app.client,
        &json!({ "documents": documents, "person": login }),
    );
    let signed = &erasure["certificate"];
    let certificate = &signed["certificate"];
    words.push(format!("user:{login}"));
    // The audit log names who did what, which the certificate says.
    let after = find(&data, &words);
    let left: BTreeMap<_, Vec<_>> = after
        .iter()
        .map(|(word, places)| {
            (
                word,
                places
                    .iter()
                    .filter(|place| !place.starts_with("audit/"))
                    .collect::<Vec<_>>(),
            )
        })
        .filter(|(_, places)| !places.is_empty())
        .collect();
    assert!(left.is_empty(), "{left:#?}");
    // The last two: the name of the key, and the person in an access list.
    assert_gone(&data, &words[..words.len() - 2]);
    let named = find(&data, &[login.to_owned()]);
    let places = named.get(login).into_iter().flatten();
    assert!(
        places.clone().all(|place| place.starts_with("audit/")),
        "{named:?}"
    );
    let remains = certificate["remains"].as_array().unwrap();
    let audit = remains
        .iter()
        .find(|remains| remains["store"] == "audit log");
    assert!(audit.unwrap()["n"].as_u64().unwrap() > 0, "{remains:?}");

    // The certificate names what went, by ids and hashes only, and holds.
    assert_eq!(
        certificate["documents"].as_array().unwrap().len(),
        20,
        "{certificate}"
    );
    assert_eq!(certificate["person"], person.as_str());
    assert_eq!(number(certificate, "catalog", "documents"), 20);
    assert_eq!(number(certificate, "accounts", "API keys"), 1);
    assert_eq!(number(certificate, "conversations", "ratings"), 1);
    assert_eq!(number(certificate, "evaluations", "queries"), 1);
    let public = fs_err::read_to_string(certificate::public_file(&data)).unwrap();
    let compact = String::from_utf8(
        serde_json::to_vec(&serde_json::from_value::<certificate::Signed>(signed.clone()).unwrap())
            .unwrap(),
    )
    .unwrap();
    certificate::verify(&compact, &public).unwrap();
    let changed = compact.replacen("\"n\":20", "\"n\":19", 1);
    assert_ne!(changed, compact);
    assert_eq!(certificate::verify(&changed, &public), Err(Flaw::Signature));

    // All else is as it was.
    let hits = app.search("Where do visitors park?");
    assert_eq!(
        hits[0]["document"]["id"]
            .as_str()
            .or(hits[0]["document"].as_str()),
        Some(kept.as_str()),
        "{hits:?}"
    );
    let verified = app.client.post("/api/v1/verify", &json!({})).json();
    assert_eq!(verified["findings"], json!([]), "{verified}");
    let log = app.client.get("/api/v1/audit/verify").json();
    assert_eq!(log["findings"], json!([]), "{log}");
    let record = app.client.get(&evaluation).json();
    assert_eq!(record["queries"][1]["text"], "where do visitors park");
    theirs
        .get("/api/v1/session")
        .assert_problem(401, "unauthorized");
    let again = json!({ "name": login, "password": PASSWORD, "role": "reader" });
    assert_eq!(app.client.post("/api/v1/users", &again).status, 201);
    app.client
        .post(PATH, &json!({ "documents": [documents[0]] }))
        .assert_problem(404, "unknown_document");
    let listed = app.client.get(PATH).json();
    assert_eq!(listed["items"], json!([erasure]));
}

#[test]
fn words_are_forgotten_wherever_people_wrote_them() {
    let app = TestApp::with(
        fake_models(&["Visitors park behind the house [1]."]),
        |_| (),
    );
    let data = data_dir(&app).to_owned();
    app.add(
        "hr",
        "kept.md",
        b"# Parking\n\nVisitors park behind the house.",
    );
    let words = [canary(40)];
    app.ask(&format!("Who is {}?", canary(40).to_uppercase()));
    let other = app.ask("Where do visitors park?").json();
    assert!(find(&data, &words).contains_key(&words[0]));
    app.client
        .post(PATH, &json!({ "words": ["abc"] }))
        .assert_problem(400, "invalid_request");
    let erasure = forget(&app.client, &json!({ "words": words }));
    assert_eq!(erasure["certificate"]["certificate"]["n_words"], 1);
    assert_gone(&data, &words);
    let conversation = other["conversation"].as_str().unwrap();
    let kept = app
        .client
        .get(&format!("/api/v1/conversations/{conversation}"));
    assert_eq!(kept.status, 200, "{kept:?}");
}

#[test]
fn a_source_does_not_bring_back_what_is_forgotten() {
    let app = TestApp::start();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let past = std::time::SystemTime::now() - Duration::from_secs(5);
        file.set_modified(past).unwrap();
    };
    let name = format!("{}.md", canary(50));
    write(&name, "# Gone\n\nThis is to be forgotten.");
    write("kept.md", "# Kept\n\nThis stays where it is.");
    let new = json!({ "name": "notes", "place": { "kind": "folder", "path": folder.path() }, "collection": "c" });
    assert_eq!(app.client.post("/api/v1/sources", &new).status, 201);
    let documents = || {
        app.client.get("/api/v1/documents").json()["items"]
            .as_array()
            .unwrap()
            .clone()
    };
    let wait = |n: usize| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while documents().len() != n {
            assert!(Instant::now() < deadline, "{:?}", documents());
            std::thread::sleep(Duration::from_millis(20));
        }
        settle(&app);
    };
    wait(2);
    let gone = documents()
        .into_iter()
        .find(|document| document["source"] == name)
        .unwrap();
    let erasure = forget(&app.client, &json!({ "documents": [gone["id"]] }));
    let remains = erasure["certificate"]["certificate"]["remains"].to_string();
    assert!(remains.contains("the source `notes`"), "{remains}");
    assert_gone(data_dir(&app), &[canary(50)]);

    // Neither as it was nor changed; what is new comes in.
    write(
        &name,
        "# Gone\n\nThis was changed and is still to be forgotten.",
    );
    write("new.md", "# New\n\nThis is new.");
    assert_eq!(
        app.client
            .post("/api/v1/sources/notes/scan", &json!({}))
            .status,
        202
    );
    wait(2);
    assert!(
        documents()
            .iter()
            .all(|document| document["source"] != name)
    );
    assert_gone(data_dir(&app), &[canary(50)]);
}

#[test]
fn what_cannot_be_forgotten_is_refused_with_the_reason() {
    let app = TestApp::start();
    let box_ = app.add("hr", "all.mbox", &mailbox(&[canary(60), canary(61)]));
    settle(&app);
    let at = format!("/api/v1/documents/{}/children", id(&box_));
    let child = id(&app.client.get(&at).json()["items"][0]);
    let post = |body: Value| app.client.post(PATH, &body);
    post(json!({})).assert_problem(400, "invalid_request");
    post(json!({ "documents": ["leave.md"] })).assert_problem(404, "unknown_document");
    post(json!({ "person": "nobody" })).assert_problem(404, "unknown_user");
    let part = post(json!({ "documents": [child] }));
    part.assert_problem(409, "part_of_document");
    // One who may not read the mailbox learns which document to name, not what it is called.
    assert!(part.json()["detail"].as_str().unwrap().contains(&id(&box_)));

    let hold = |method: &str| app.client.send(method, "/api/v1/audit/holds/case-7", None);
    assert!(hold("PUT").status < 300);
    let held = post(json!({ "documents": [id(&box_)] }));
    held.assert_problem(409, "legal_hold");
    assert!(held.json()["detail"].as_str().unwrap().contains("`case-7`"));
    assert_eq!(app.client.get(PATH).json()["items"], json!([]));
    assert!(hold("DELETE").status < 300);
    let erasure = forget(&app.client, &json!({ "documents": [id(&box_)] }));
    assert_eq!(
        erasure["certificate"]["certificate"]["documents"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_gone(data_dir(&app), &[canary(60), canary(61)]);
}

#[test]
fn an_administrator_erases_what_he_may_not_read_and_no_one_else_does() {
    let app = TestApp::start();
    let secret = id(&app.add(
        "hr",
        "secret.md",
        format!("# Secret\n\n{}", canary(62)).as_bytes(),
    ));
    let at = format!("/api/v1/documents/{secret}/acl");
    assert_eq!(
        put(
            &app.client,
            &at,
            "application/json",
            br#"{"readers": ["board"]}"#
        )
        .status,
        200
    );
    for role in ["reader", "editor", "auditor", "admin"] {
        let body = json!({ "name": role, "password": PASSWORD, "role": role });
        assert_eq!(app.client.post("/api/v1/users", &body).status, 201);
        let made = app
            .client
            .post("/api/v1/api-keys", &json!({ "name": "k", "user": role }))
            .json();
        let client = Client::new(app.client.url(), made["key"].as_str());
        if role == "admin" {
            client
                .get(&format!("/api/v1/documents/{secret}"))
                .assert_problem(404, "unknown_document");
            client
                .post(PATH, &json!({ "person": role }))
                .assert_problem(403, "forbidden");
            let erasure = forget(&client, &json!({ "documents": [secret] }));
            assert!(!erasure.to_string().contains("secret.md"), "{erasure}");
        } else {
            client
                .post(PATH, &json!({ "documents": [secret] }))
                .assert_problem(403, "forbidden");
        }
        let may_list = matches!(role, "admin" | "auditor");
        assert_eq!(client.get(PATH).status == 200, may_list, "{role}");
    }
    assert_gone(data_dir(&app), &[canary(62)]);
}

/// `kill -9` as soon as something is being forgotten: the next start brings it to its end.
#[test]
fn a_forgetting_that_is_killed_goes_on_at_the_next_start() {
    let kura = Kura::new().with_models();
    let data = kura.path("data");
    let mut killed_within = 0;
    for round in 0..6 {
        let words: Vec<String> = (0..5).map(|n| canary(70 + round * 5 + n)).collect();
        let server = kura.serve();
        let documents: Vec<String> = words
            .iter()
            .map(|word| {
                let text = format!("# {word}\n\nThe keeper of the gate is {word}.");
                let reply = server
                    .client
                    .upload("hr", &format!("{word}.md"), text.as_bytes());
                assert_eq!(reply.status, 202, "{reply:?}");
                id(&reply.json()["items"][0]["document"])
            })
            .collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        while server.client.get("/api/v1/jobs/summary").json()["queued"] != 0
            || server.client.get("/api/v1/jobs/summary").json()["running"] != 0
        {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(find(&data, &words).len(), words.len());
        let (url, key) = (server.client.url().to_owned(), server.key.clone());
        let asking = std::thread::spawn(move || {
            let body = json!({ "documents": documents }).to_string().into_bytes();
            let client = Client::new(&url, Some(&key));
            drop(client.try_send("POST", PATH, Some(("application/json", body))));
        });
        let is_begun = || {
            let listed = server.client.get(PATH).json();
            listed["items"].as_array().unwrap().len() > round
        };
        while !is_begun() {
            assert!(Instant::now() < deadline);
        }
        std::thread::sleep(Duration::from_millis(round as u64 * 30));
        killed_within +=
            usize::from(server.client.get(PATH).json()["items"][0]["state"] == "running");
        server.kill();
        asking.join().unwrap();

        let server = kura.serve();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let listed = server.client.get(PATH).json();
            let items = listed["items"].as_array().unwrap();
            assert_eq!(items.len(), round + 1);
            if items.iter().all(|item| item["state"] == "done") {
                break;
            }
            assert!(Instant::now() < deadline, "{listed}");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_gone(&data, &words);
        let verified = server.client.post("/api/v1/verify", &json!({})).json();
        assert_eq!(verified["findings"], json!([]), "{verified}");
        assert!(server.stop());
    }
    assert!(
        killed_within > 0,
        "no kill came while something was being forgotten"
    );
    println!("{killed_within} of 6 kills came while something was being forgotten");
}

#[test]
fn the_command_forgets_with_and_without_a_server_and_checks_certificates() {
    let kura = Kura::new().with_models();
    let data = kura.path("data");
    let words = [canary(110), canary(111)];
    for word in &words {
        kura.write(
            &format!("in/{word}.md"),
            format!("# {word}\n\nThe word is {word}."),
        );
    }
    let ingested = kura.run(["ingest", "in", "--collection", "hr"]);
    assert_eq!(ingested.code, 0, "{ingested:?}");
    let of = |word: &str| {
        let found = kura.run(["search", word, "--json"]).json();
        let text = found.to_string();
        let hits = found["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{text}"));
        let hit = hits
            .iter()
            .find(|hit| hit.to_string().contains(word))
            .unwrap();
        let chunk = hit["chunk"].as_str().or(hit["id"].as_str());
        chunk
            .unwrap_or_else(|| panic!("{hit}"))
            .split(':')
            .next()
            .unwrap()
            .to_owned()
    };
    let [first, second] = [of(&words[0]), of(&words[1])];
    let planned = kura.run(["forget", "document", &first, "--dry-run"]);
    assert_eq!(planned.code, 0, "{planned:?}");
    assert!(
        planned.stdout.contains("would be erased") && planned.stdout.contains("would remain"),
        "{planned:?}"
    );
    assert_eq!(find(&data, &words).len(), 2);

    let file = kura.path("certificate.json");
    let path = file.to_str().unwrap();
    let done = kura.run(["forget", "document", &first, "--certificate", path]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_gone(&data, &words[..1]);
    let holds = kura.run(["forget", "verify", path]);
    assert_eq!(holds.code, 0, "{holds:?}");
    let public = data.join("erasure.pub");
    let elsewhere = kura.path("elsewhere");
    let check = |args: &[&str]| {
        let mut command = kura.command_at(&elsewhere, ["forget", "verify"]);
        command.args(args).output().unwrap().status.code()
    };
    assert_eq!(check(&[path, "--key", public.to_str().unwrap()]), Some(0));
    assert_eq!(check(&[path]), Some(2), "there is no key to check with");
    let text = fs_err::read_to_string(&file).unwrap();
    let changed = kura.write("changed.json", text.replacen(&first, &second, 1));
    let output = kura.run(["forget", "verify", changed.to_str().unwrap()]);
    assert_eq!(output.code, 1, "{output:?}");
    kura.run(["forget", "document", &second, "--certificate", path])
        .assert_fails(2, &["exists"]);

    let server = kura.serve();
    let done = kura.run(["forget", "document", &second, "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.json()["state"], "done");
    assert_gone(&data, &words);
    let listed = kura.run(["forget", "list", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let printed = kura.run(["forget", "certificate", listed[1]["id"].as_str().unwrap()]);
    assert_eq!(printed.stdout, text);
    kura.run(["forget", "person", "nobody"])
        .assert_fails(1, &["nobody"]);
    assert!(server.stop());
    assert!(
        files(&data)
            .iter()
            .all(|path| !path.to_string_lossy().contains("dense."))
    );
}
