//! The audit log: one record for everything that changes or shows something, before it counts.

mod calls;
mod commands;
mod failures;
mod people;
mod routes;

use kura::app::Models;
use kura::audit::read::{self, Filter};
use kura::audit::{Ending, Record};
use kura_models::fake::FakeEmbedder;
use kura_tests::{Client, Reply, SlowGenerator, TestApp, fake_models};
use serde_json::{Value, json};
use std::io::BufRead as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

const QUESTION: &str = "How many days of paid leave do employees get?";
/// With a word that nothing else has.
const ODD: &str = "How many days of paid leave do zebrafinch employees get?";
const FACT: &str = "Employees get twenty days of paid leave.";
const JSON: &str = "application/json";
const PASSWORD: &str = "correct horse battery";

fn records(app: &TestApp) -> Vec<Record> {
    let data_dir = &app.app.config.data_dir;
    read::latest(data_dir, &Filter::default(), None, 10_000).unwrap()
}

/// The number of the last record.
fn last(app: &TestApp) -> u64 {
    records(app).first().map_or(0, |record| record.seq)
}

/// The records of a request, by its id.
fn of_request(app: &TestApp, reply: &Reply) -> Vec<Record> {
    let id = reply.header("x-request-id").unwrap();
    let mut found = records(app);
    found.retain(|record| record.request.as_deref() == Some(id));
    found
}

/// Waits for a record that something in the background leaves.
fn wait_for(app: &TestApp, is_it: impl Fn(&Record) -> bool) -> Record {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = records(app).into_iter().find(|record| is_it(record)) {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "no such record: {:?}",
            records(app)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn verify(app: &TestApp) {
    let seen = app.client.get("/api/v1/audit/verify").json();
    assert_eq!(seen["findings"], json!([]), "{seen}");
}

fn add_user(app: &TestApp, name: &str, role: &str) -> String {
    let body = json!({ "name": name, "role": role, "password": PASSWORD });
    let reply = app.client.post("/api/v1/users", &body);
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()["id"].as_str().unwrap().to_owned()
}

/// Signs in as kura's own page does.
fn sign_in(app: &TestApp, name: &str) -> Client {
    let body = json!({ "name": name, "password": PASSWORD });
    let reply = app.anonymous().post("/api/v1/session", &body);
    assert_eq!(reply.status, 200, "{reply:?}");
    let set = reply.header("set-cookie").unwrap();
    let cookie = set.split(';').next().unwrap();
    let headers = [("cookie", cookie), ("sec-fetch-site", "same-origin")];
    app.anonymous().with_headers(&headers)
}

#[test]
fn a_stream_is_recorded_before_its_end_and_when_nobody_waits_for_it() {
    let app = TestApp::with(
        fake_models(&["Employees get twenty days of paid leave [1]."]),
        |_| (),
    );
    app.add("hr", "leave.md", FACT.as_bytes());
    let mut stream = app
        .client
        .open("/api/v1/ask", &json!({ "question": QUESTION }));
    let mut line = String::new();
    while !line.contains("completed") {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0);
    }
    // Whoever sees the answer finds its record.
    let record = records(&app).remove(0);
    assert_eq!(
        (record.action.as_str(), record.outcome.result),
        ("question.ask", Ending::Success)
    );
    assert!(
        record.details.contains_key("cited") && record.target.contains_key("answer"),
        "{record:?}"
    );
    drop(stream);

    let slow = TestApp::with(
        Models {
            embedder: Arc::new(FakeEmbedder::new()),
            reranker: None,
            generator: Some(Arc::new(SlowGenerator::default())),
        },
        |_| (),
    );
    slow.add("hr", "leave.md", FACT.as_bytes());
    for (path, body) in [
        ("/api/v1/ask", json!({ "question": QUESTION })),
        (
            "/v1/chat/completions",
            json!({ "model": "kura", "stream": true, "stream_unverified": true, "messages": [{ "role": "user", "content": QUESTION }] }),
        ),
    ] {
        let before = last(&slow);
        let mut stream = slow.client.open(path, &body);
        let mut line = String::new();
        while !line.contains("word") {
            line.clear();
            assert!(stream.read_line(&mut line).unwrap() > 0);
        }
        drop(stream);
        let record = wait_for(&slow, |record| record.seq > before);
        assert_eq!(record.outcome.result, Ending::CutOff, "{record:?}");
        assert_eq!(record.principal.as_deref(), Some("admin"));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(last(&slow), before + 1, "one record each");
    }
    verify(&slow);
}

/// All bytes of the log.
fn bytes_of(app: &TestApp) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs_err::read_dir(app.app.config.data_dir.join("audit")).unwrap() {
        bytes.extend(fs_err::read(entry.unwrap().path()).unwrap());
    }
    bytes
}

#[test]
fn questions_are_kept_only_where_the_operator_wants_it() {
    for content in [false, true] {
        let app = TestApp::with(fake_models(&[]), |config| config.audit.content = content);
        app.add("hr", "leave.md", FACT.as_bytes());
        app.search(ODD);
        app.ask(ODD);
        app.ask_events(&json!({ "question": ODD }));
        let chat = json!({ "model": "kura", "messages": [{ "role": "user", "content": ODD }] });
        assert_eq!(app.client.post("/v1/chat/completions", &chat).status, 200);
        assert_eq!(
            app.client
                .post("/api/v1/search/explain", &json!({ "query": ODD }))
                .status,
            200
        );
        let bytes = bytes_of(&app);
        let count = |word: &str| {
            let found = bytes
                .windows(word.len())
                .filter(|part| *part == word.as_bytes());
            found.count()
        };
        assert_eq!(count("zebrafinch"), if content { 5 } else { 0 });
        assert_eq!(count("twenty days"), 0, "never what documents say");
    }
}

#[test]
fn the_log_is_listed_by_pages_and_filters() {
    let app = TestApp::start();
    for name in ["a", "b", "c"] {
        assert_eq!(
            app.client
                .post("/api/v1/collections", &json!({ "name": name }))
                .status,
            201
        );
    }
    assert_eq!(app.client.delete("/api/v1/collections/b").status, 204);
    let list = |query: &str| app.client.get(&format!("/api/v1/audit?{query}")).json();
    let page = list("action=collection&limit=2");
    let targets = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| item["target"]["collection"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(targets(&page), ["b", "c"], "{page}");
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = list(&format!("action=collection&limit=2&cursor={cursor}"));
    assert_eq!(targets(&rest), ["b", "a"], "{rest}");
    assert!(rest["next_cursor"].is_null(), "{rest}");
    assert_eq!(targets(&list("target=b&action=collection.delete")), ["b"]);
    assert_eq!(list("principal=nobody")["items"], json!([]));
    assert_eq!(list("to=2020-01-01T00:00:00Z")["items"], json!([]));
    assert_eq!(list("result=refused")["items"], json!([]));
    app.client
        .get("/api/v1/audit?cursor=x")
        .assert_problem(400, "invalid_request");
    app.client
        .get("/api/v1/audit?limit=0")
        .assert_problem(400, "invalid_request");

    let head = app.client.get("/api/v1/audit/head").json();
    let anchor = head["anchor"].as_str().unwrap();
    assert_eq!(
        anchor,
        format!("{}:{}", head["seq"], head["hash"].as_str().unwrap())
    );
    let seen = app
        .client
        .get(&format!("/api/v1/audit/verify?head={anchor}"))
        .json();
    assert_eq!(seen["findings"], json!([]), "{seen}");
    let other = anchor.replace(|digit: char| digit.is_ascii_lowercase(), "0");
    let seen = app
        .client
        .get(&format!("/api/v1/audit/verify?head={other}"))
        .json();
    assert_eq!(seen["findings"][0]["seq"], head["seq"], "{seen}");
    app.client
        .get("/api/v1/audit/verify?head=1")
        .assert_problem(400, "invalid_request");
    app.client
        .delete("/api/v1/audit/holds/none")
        .assert_problem(404, "not_found");
    app.client
        .send("PUT", "/api/v1/audit/holds/no%20name", None)
        .assert_problem(400, "invalid_request");
}

#[test]
fn a_source_is_on_record_under_its_own_name() {
    let app = TestApp::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.md");
    fs_err::write(&path, "# Anchors\n\nAn anchor holds the ship.").unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(5))
        .unwrap();
    let new = json!({ "name": "notes", "place": { "kind": "folder", "path": folder.path() }, "collection": "c" });
    assert_eq!(app.client.post("/api/v1/sources", &new).status, 201);
    let record = wait_for(&app, |record| record.action == "source.scan");
    assert_eq!(record.principal.as_deref(), Some("source notes"));
    assert_eq!(
        (&record.target["source"], record.details["added"].as_u64()),
        (&"notes".to_owned(), Some(1))
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    while app.client.get("/api/v1/sources/notes").json()["oldest_unindexed_at"] != Value::Null {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
}
