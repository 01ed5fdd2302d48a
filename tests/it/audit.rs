//! The audit log: one record for everything that changes or shows something, before it counts.

mod people;

use kura::app::Models;
use kura::audit::operations::{self, Class, Operation};
use kura::audit::read::{self, Filter};
use kura::audit::{Ending, Record};
use kura_models::fake::FakeEmbedder;
use kura_tests::{Client, Kura, Reply, SlowGenerator, TestApp, fake_models, number_from_env};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::BufRead as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ureq::http::Method;

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

/// Every operation of the OpenAPI document that needs a key or a session, with its entry in the table.
fn operations() -> Vec<(String, String, &'static Operation)> {
    let document = serde_json::to_value(kura::router::openapi()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let is_sign_in = (method.as_str(), path.as_str()) == ("POST", "/api/v1/session");
            // `oidc.rs` looks at the records of those.
            let is_sign_in = is_sign_in || path.starts_with("/api/v1/session/oidc");
            if is_sign_in || ["/healthz", "/readyz"].contains(&path.as_str()) {
                continue;
            }
            let operation = operations::find(&Method::from_bytes(method.as_bytes()).unwrap(), path)
                .unwrap_or_else(|| panic!("{method} {path} is not in the table of the audit log"));
            found.push((method, path.clone(), operation));
        }
    }
    assert!(found.len() > 50, "{}", found.len());
    found
}

/// Returns the path of `METHOD /path`.
fn operation_path(what: &str) -> &str {
    what.split_once(' ').map_or(what, |(_, path)| path)
}

/// Fails unless a request left one record, or none if its kind leaves none.
fn check_one(app: &TestApp, what: &str, operation: &Operation, reply: &Reply, before: u64) -> u64 {
    let found = of_request(app, reply);
    let is_refused_key = reply.status == 401;
    if operation.class == Class::Unrecorded && !is_refused_key {
        assert!(found.is_empty(), "{what}: {found:?}");
        return last(app);
    }
    assert_eq!(found.len(), 1, "{what}: {reply:?}: {found:?}");
    let record = &found[0];
    assert_eq!(record.seq, before + 1, "{what}: {record:?}");
    assert_eq!(record.action, operation.action, "{what}");
    assert_eq!(
        record.outcome.status,
        Some(reply.status),
        "{what}: {record:?}"
    );
    let (expected, has_code) = match reply.status {
        ..400 => (Ending::Success, false),
        400..500 => (Ending::Refused, true),
        _ => (Ending::Failed, true),
    };
    assert_eq!(record.outcome.result, expected, "{what}: {record:?}");
    assert_eq!(
        record.outcome.code.is_some(),
        has_code,
        "{what}: {record:?}"
    );
    // SCIM's own form of failures has no code.
    if has_code && !operation_path(what).starts_with("/scim/") {
        let problem = reply.json();
        let code = problem["code"]
            .as_str()
            .or(problem["error"]["code"].as_str());
        assert_eq!(record.outcome.code.as_deref(), code, "{what}");
    }
    let who = (
        record.principal.as_deref(),
        record.name.as_deref(),
        record.authentication.as_str(),
    );
    let expected = if is_refused_key {
        (None, None, "none")
    } else {
        (Some("admin"), Some("admin-api-key"), "api_key")
    };
    assert_eq!(who, expected, "{what}");
    assert_eq!(record.peer.as_deref(), Some("127.0.0.1"), "{what}");
    record.seq
}

#[test]
fn every_refused_request_leaves_one_record() {
    let filled = |path: &str| {
        path.replace("{id}", "00000000-0000-4000-8000-000000000000")
            .replace("{name}", "nowhere")
            .replace("{external_id}", "nothing")
    };
    let mut refused = 0;
    // A server each: of many that are turned away in a short time only the first hundred have a record of their own.
    for some in operations().chunks(60) {
        let app = TestApp::start();
        for (method, path, operation) in some {
            let (what, at) = (format!("{method} {path}"), filled(path));
            let before = last(&app);
            let reply = app.anonymous().send(method, &at, None);
            assert_eq!(reply.status, 401, "{what}");
            let before = check_one(&app, &what, operation, &reply, before);
            // Without a body, and about things that are not there.
            let reply = app.client.send(method, &at, None);
            check_one(&app, &what, operation, &reply, before);
            refused += usize::from(reply.status >= 400);
        }
        verify(&app);
    }
    assert!(refused > 25, "{refused}");
}

#[test]
fn refusals_without_a_key_cannot_fill_the_disk() {
    let app = TestApp::start();
    for _ in 0..400 {
        assert_eq!(app.anonymous().get("/api/v1/documents").status, 401);
    }
    let n = records(&app).len();
    assert!((100..=110).contains(&n), "{n}");
    verify(&app);
}

/// What a request is made of; the path is that of the table, filled in.
struct Call(
    &'static str,
    &'static str,
    String,
    Option<(&'static str, Vec<u8>)>,
);

#[test]
fn every_successful_request_leaves_one_record() {
    let app = TestApp::with(
        fake_models(&["Employees get twenty days of paid leave [1]."]),
        |_| (),
    );
    let text = format!("# Leave\n\n{FACT}");
    let folder = tempfile::tempdir().unwrap();
    let document = app.add("hr", "leave.md", text.as_bytes());
    let document = document["id"].as_str().unwrap();
    let answer = app.ask(QUESTION).json();
    let (answer, conversation) = (
        answer["id"].as_str().unwrap(),
        answer["conversation"].as_str().unwrap(),
    );
    let failed = app.add("hr", "broken.pdf", b"no pdf");
    let failed = failed["id"].as_str().unwrap();
    let evaluation = json!({
        "name": "one", "collection": "hr", "queries": [{ "text": "paid leave", "relevant": { "leave.md": 1 } }],
    });
    let started = app.client.post("/api/v1/evaluations", &evaluation).json();
    let measured = started["id"].as_str().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while app
        .client
        .get(&format!("/api/v1/evaluations/{measured}"))
        .json()["state"]
        == "running"
    {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    let words = json!({ "words": ["zirkonvogel"] });
    let forgotten = app.client.post("/api/v1/forget", &words).json();
    let forgotten = forgotten["id"].as_str().unwrap();
    let service = json!({ "name": "robot", "kind": "service" });
    assert_eq!(app.client.post("/api/v1/users", &service).status, 201);
    let keys = ["one", "two"].map(|name| {
        let made = app.client.post(
            "/api/v1/api-keys",
            &json!({ "name": name, "user": "robot" }),
        );
        made.json()["api_key"]["id"].as_str().unwrap().to_owned()
    });
    add_user(&app, "taro", "reader");
    sign_in(&app, "taro");
    let sessions = app.client.get("/api/v1/sessions?user=taro").json();
    let session = sessions["items"][0]["id"].as_str().unwrap();
    let jobs = app.client.get("/api/v1/jobs").json();
    let job = |of: &str| {
        let jobs = jobs["items"].as_array().unwrap();
        let found = jobs.iter().find(|job| job["document"] == of).unwrap();
        found["id"].as_str().unwrap().to_owned()
    };
    let (done, broken) = (job(document), job(failed));

    let body = |value: Value| Some((JSON, value.to_string().into_bytes()));
    let csv = || {
        Some((
            "text/csv",
            b"term,reading,synonyms,abbreviations\nleave,,holiday,\n".to_vec(),
        ))
    };
    let get = |path, filled: String| Call("GET", path, filled, None);
    let document_path = format!("/api/v1/documents/{document}");
    let pushed = "/api/v1/collections/{name}/documents/{external_id}";
    let pushed_at = || "/api/v1/collections/wiki/documents/page%2F1".to_owned();
    let form = b"--x\r\nContent-Disposition: form-data; name=\"collection\"\r\n\r\nhr\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"two.md\"\r\n\r\nToner is in room 204.\r\n--x--\r\n";
    let source = json!({ "name": "notes", "place": { "kind": "folder", "path": folder.path() }, "collection": "hr" });
    let chat = |stream: bool| json!({ "model": "kura", "stream": stream, "messages": [{ "role": "user", "content": QUESTION }] });
    let texts = json!({ "query": "leave", "documents": ["paid leave", "toner"] });
    let feedback = format!("/api/v1/answers/{answer}/feedback");
    let evaluation_path = format!("/api/v1/evaluations/{measured}");
    let calls = vec![
        Call(
            "POST",
            "/api/v1/search",
            "/api/v1/search".into(),
            body(json!({ "query": QUESTION })),
        ),
        Call(
            "POST",
            "/api/v1/search/explain",
            "/api/v1/search/explain".into(),
            body(json!({ "query": QUESTION })),
        ),
        Call(
            "POST",
            "/api/v1/ask",
            "/api/v1/ask".into(),
            body(json!({ "question": QUESTION, "stream": false })),
        ),
        Call(
            "POST",
            "/api/v1/ask",
            "/api/v1/ask".into(),
            body(json!({ "question": QUESTION })),
        ),
        Call(
            "POST",
            "/v1/chat/completions",
            "/v1/chat/completions".into(),
            body(chat(false)),
        ),
        Call(
            "POST",
            "/v1/chat/completions",
            "/v1/chat/completions".into(),
            body(chat(true)),
        ),
        get(
            "/api/v1/documents",
            "/api/v1/documents?collection=hr".into(),
        ),
        Call(
            "POST",
            "/api/v1/documents",
            "/api/v1/documents".into(),
            Some(("multipart/form-data; boundary=x", form.to_vec())),
        ),
        get("/api/v1/documents/{id}", document_path.clone()),
        Call(
            "PATCH",
            "/api/v1/documents/{id}",
            document_path.clone(),
            body(json!({ "metadata": { "tags": ["a"] } })),
        ),
        get(
            "/api/v1/documents/{id}/children",
            format!("{document_path}/children"),
        ),
        get(
            "/api/v1/documents/{id}/text",
            format!("{document_path}/text"),
        ),
        get(
            "/api/v1/documents/{id}/content",
            format!("{document_path}/content"),
        ),
        Call(
            "PUT",
            pushed,
            pushed_at(),
            Some((
                "text/markdown",
                b"# Page\n\nThe keeper is called Ansel.".to_vec(),
            )),
        ),
        get(pushed, pushed_at()),
        Call("DELETE", pushed, pushed_at(), None),
        get("/api/v1/collections", "/api/v1/collections".into()),
        Call(
            "POST",
            "/api/v1/collections",
            "/api/v1/collections".into(),
            body(json!({ "name": "fresh" })),
        ),
        get(
            "/api/v1/collections/{name}",
            "/api/v1/collections/fresh".into(),
        ),
        get(
            "/api/v1/collections/{name}/quality",
            "/api/v1/collections/hr/quality".into(),
        ),
        Call(
            "PUT",
            "/api/v1/collections/{name}/dictionary",
            "/api/v1/collections/hr/dictionary".into(),
            csv(),
        ),
        get(
            "/api/v1/collections/{name}/dictionary",
            "/api/v1/collections/hr/dictionary".into(),
        ),
        Call(
            "DELETE",
            "/api/v1/collections/{name}/dictionary",
            "/api/v1/collections/hr/dictionary".into(),
            None,
        ),
        Call(
            "DELETE",
            "/api/v1/collections/{name}",
            "/api/v1/collections/fresh".into(),
            None,
        ),
        Call(
            "PUT",
            "/api/v1/answers/{id}/feedback",
            feedback.clone(),
            body(json!({ "rating": "up" })),
        ),
        get("/api/v1/answers/{id}/feedback", feedback.clone()),
        get("/api/v1/feedback", "/api/v1/feedback".into()),
        Call("DELETE", "/api/v1/answers/{id}/feedback", feedback, None),
        get("/api/v1/conversations", "/api/v1/conversations".into()),
        get(
            "/api/v1/conversations/{id}",
            format!("/api/v1/conversations/{conversation}"),
        ),
        Call(
            "DELETE",
            "/api/v1/conversations/{id}",
            format!("/api/v1/conversations/{conversation}"),
            None,
        ),
        get("/api/v1/evaluations", "/api/v1/evaluations".into()),
        Call(
            "POST",
            "/api/v1/evaluations",
            "/api/v1/evaluations".into(),
            body(evaluation),
        ),
        get("/api/v1/evaluations/{id}", evaluation_path.clone()),
        get(
            "/api/v1/evaluations/{id}/report",
            format!("{evaluation_path}/report"),
        ),
        get(
            "/api/v1/evaluations/compare",
            format!("/api/v1/evaluations/compare?base={measured}&candidate={measured}"),
        ),
        Call("DELETE", "/api/v1/evaluations/{id}", evaluation_path, None),
        get("/api/v1/jobs", "/api/v1/jobs".into()),
        get("/api/v1/jobs/summary", "/api/v1/jobs/summary".into()),
        get("/api/v1/jobs/{id}", format!("/api/v1/jobs/{done}")),
        get(
            "/api/v1/jobs/{id}/events",
            format!("/api/v1/jobs/{done}/events"),
        ),
        Call(
            "POST",
            "/api/v1/jobs/pause",
            "/api/v1/jobs/pause".into(),
            None,
        ),
        Call(
            "POST",
            "/api/v1/jobs/{id}/retry",
            format!("/api/v1/jobs/{broken}/retry"),
            None,
        ),
        Call(
            "POST",
            "/api/v1/jobs/{id}/cancel",
            format!("/api/v1/jobs/{broken}/cancel"),
            None,
        ),
        Call(
            "POST",
            "/api/v1/jobs/retry",
            "/api/v1/jobs/retry".into(),
            None,
        ),
        Call(
            "POST",
            "/api/v1/jobs/resume",
            "/api/v1/jobs/resume".into(),
            None,
        ),
        Call(
            "POST",
            "/api/v1/sources",
            "/api/v1/sources".into(),
            body(source),
        ),
        get("/api/v1/sources", "/api/v1/sources".into()),
        get("/api/v1/sources/{name}", "/api/v1/sources/notes".into()),
        get(
            "/api/v1/sources/{name}/items",
            "/api/v1/sources/notes/items".into(),
        ),
        Call(
            "POST",
            "/api/v1/sources/{name}/scan",
            "/api/v1/sources/notes/scan".into(),
            body(json!({})),
        ),
        Call(
            "PATCH",
            "/api/v1/sources/{name}",
            "/api/v1/sources/notes".into(),
            body(json!({ "paused": true })),
        ),
        Call(
            "DELETE",
            "/api/v1/sources/{name}",
            "/api/v1/sources/notes".into(),
            None,
        ),
        Call(
            "PUT",
            "/api/v1/audit/holds/{name}",
            "/api/v1/audit/holds/case-7".into(),
            None,
        ),
        get("/api/v1/audit/holds", "/api/v1/audit/holds".into()),
        Call(
            "DELETE",
            "/api/v1/audit/holds/{name}",
            "/api/v1/audit/holds/case-7".into(),
            None,
        ),
        get(
            "/api/v1/audit",
            "/api/v1/audit?action=document&limit=2".into(),
        ),
        Call(
            "POST",
            "/api/v1/users",
            "/api/v1/users".into(),
            body(json!({ "name": "hanako", "password": PASSWORD })),
        ),
        get("/api/v1/users", "/api/v1/users".into()),
        get("/api/v1/users/{id}", "/api/v1/users/hanako".into()),
        Call(
            "PATCH",
            "/api/v1/users/{id}",
            "/api/v1/users/hanako".into(),
            body(json!({ "role": "editor", "password": "another horse battery" })),
        ),
        Call(
            "DELETE",
            "/api/v1/users/{id}/totp",
            "/api/v1/users/hanako/totp".into(),
            None,
        ),
        Call(
            "POST",
            "/api/v1/groups",
            "/api/v1/groups".into(),
            body(json!({ "name": "crew" })),
        ),
        get("/api/v1/groups", "/api/v1/groups".into()),
        Call(
            "PUT",
            "/api/v1/groups/{name}/members",
            "/api/v1/groups/crew/members".into(),
            body(json!({ "users": ["taro", "hanako"] })),
        ),
        get("/api/v1/groups/{name}", "/api/v1/groups/crew".into()),
        Call(
            "PUT",
            "/api/v1/collections/{name}/members",
            "/api/v1/collections/hr/members".into(),
            body(json!([{ "group": "crew", "role": "editor" }])),
        ),
        get(
            "/api/v1/collections/{name}/members",
            "/api/v1/collections/hr/members".into(),
        ),
        Call(
            "PUT",
            "/api/v1/documents/{id}/acl",
            format!("{document_path}/acl"),
            body(json!({ "readers": ["crew"], "denied": ["user:taro"] })),
        ),
        get("/api/v1/documents/{id}/acl", format!("{document_path}/acl")),
        Call(
            "DELETE",
            "/api/v1/groups/{name}",
            "/api/v1/groups/crew".into(),
            None,
        ),
        Call(
            "POST",
            "/api/v1/api-keys",
            "/api/v1/api-keys".into(),
            body(
                json!({ "name": "three", "user": "robot", "role": "reader", "collections": ["hr"] }),
            ),
        ),
        get("/api/v1/api-keys", "/api/v1/api-keys?user=robot".into()),
        Call(
            "POST",
            "/api/v1/api-keys/{id}/rotate",
            format!("/api/v1/api-keys/{}/rotate", keys[0]),
            None,
        ),
        Call(
            "DELETE",
            "/api/v1/api-keys/{id}",
            format!("/api/v1/api-keys/{}", keys[1]),
            None,
        ),
        get("/api/v1/sessions", "/api/v1/sessions?user=taro".into()),
        Call(
            "DELETE",
            "/api/v1/sessions/{id}",
            format!("/api/v1/sessions/{session}"),
            None,
        ),
        Call(
            "DELETE",
            "/api/v1/sessions",
            "/api/v1/sessions?user=taro".into(),
            None,
        ),
        Call(
            "DELETE",
            "/api/v1/users/{id}",
            "/api/v1/users/hanako".into(),
            None,
        ),
        get("/api/v1/audit/head", "/api/v1/audit/head".into()),
        get("/api/v1/audit/verify", "/api/v1/audit/verify".into()),
        Call(
            "POST",
            "/api/v1/verify",
            "/api/v1/verify".into(),
            body(json!({})),
        ),
        Call(
            "POST",
            "/api/v1/forget",
            "/api/v1/forget".into(),
            body(json!({ "documents": [document], "dry_run": true })),
        ),
        get("/api/v1/forget", "/api/v1/forget".into()),
        get("/api/v1/forget/{id}", format!("/api/v1/forget/{forgotten}")),
        get("/metrics", "/metrics".into()),
        get("/v1/models", "/v1/models".into()),
        Call(
            "POST",
            "/v1/embeddings",
            "/v1/embeddings".into(),
            body(json!({ "model": "kura", "input": "x" })),
        ),
        Call(
            "POST",
            "/v1/rerank",
            "/v1/rerank".into(),
            body(texts.clone()),
        ),
        Call("POST", "/v2/rerank", "/v2/rerank".into(), body(texts)),
        Call("DELETE", "/api/v1/documents/{id}", document_path, None),
    ];
    let mut left: BTreeSet<_> = operations()
        .into_iter()
        .map(|(method, path, _)| (method, path))
        // What only people with a session do, and what a directory does, other tests do.
        .filter(|(_, path)| *path != "/api/v1/session" && !path.starts_with("/api/v1/session/"))
        .filter(|(_, path)| !path.starts_with("/scim/"))
        .collect();
    for Call(method, path, filled, body) in calls {
        let what = format!("{method} {filled}");
        let operation =
            operations::find(&method.parse().unwrap(), path).unwrap_or_else(|| panic!("{what}"));
        left.remove(&(method.to_owned(), path.to_owned()));
        let before = last(&app);
        let reply = app.client.send(method, &filled, body);
        assert!(reply.status < 300, "{what}: {reply:?}");
        check_one(&app, &what, operation, &reply, before);
        note_details(&app, operation, &reply, document);
    }
    assert!(left.is_empty(), "not tried: {left:?}");
    verify(&app);
    // Jobs that were queued on the way are to end.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let summary = app.client.get("/api/v1/jobs/summary").json();
        if summary["queued"] == 0 && summary["running"] == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{summary}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fails unless a record says what only the handler knew.
fn note_details(app: &TestApp, operation: &Operation, reply: &Reply, document: &str) {
    let Some(record) = of_request(app, reply).pop() else {
        return;
    };
    let details = Value::Object(record.details.clone());
    let first = |name: &str| details[name][0].as_str().unwrap_or_default().to_owned();
    match operation.action {
        "search" | "search.explain" => {
            assert_eq!(first("chunks"), format!("{document}:1:0"), "{record:?}");
        }
        "question.ask" | "chat.complete" => {
            assert_eq!(details["answer_outcome"], "grounded", "{record:?}");
            assert_eq!(first("cited"), format!("{document}:1:0"), "{record:?}");
        }
        "document.read" | "document.download" => {
            assert_eq!(details["version"], 1, "{record:?}");
            assert_eq!(record.target["document"], document, "{record:?}");
        }
        "document.create" | "document.put" => {
            assert_eq!(details["documents"][0]["version"], 1, "{record:?}");
            assert!(record.target.contains_key("collection"), "{record:?}");
        }
        "document.list" | "conversation.list" | "evaluation.list" | "feedback.export" => {
            assert!(details["n_items"].as_u64().unwrap() > 0, "{record:?}");
        }
        "data.forget" => {
            assert_eq!(details["documents"], json!([document]), "{record:?}");
            assert_eq!(details["dry_run"], true, "{record:?}");
        }
        "collection.create" => assert_eq!(record.target["collection"], "fresh"),
        "audit.hold.add" => assert_eq!(record.target["hold"], "case-7"),
        "user.create" | "user.show" | "user.delete" | "totp.reset" => {
            assert_eq!(details["name"], "hanako", "{record:?}");
            assert_eq!(record.target["user"].len(), 36, "{record:?}");
        }
        "user.change" => {
            assert_eq!(details["role"], "editor", "{record:?}");
            assert_eq!(details["changed"], json!(["password"]), "{record:?}");
        }
        "group.members.set" => {
            assert_eq!(record.target["group"], "crew", "{record:?}");
            assert_eq!(details["members"], json!(["hanako", "taro"]), "{record:?}");
        }
        "collection.members.set" => {
            assert_eq!(details["members"], json!(["crew=editor"]), "{record:?}");
        }
        "document.acl.set" => {
            assert_eq!(record.target["document"], document, "{record:?}");
            assert_eq!(details["readers"], json!(["crew"]), "{record:?}");
            assert_eq!(details["denied"], json!(["user:taro"]), "{record:?}");
        }
        "api_key.create" => {
            assert_eq!(details["collections"], json!(["hr"]), "{record:?}");
            assert!(record.target.contains_key("api_key"), "{record:?}");
        }
        "api_key.rotate" | "api_key.revoke" => {
            assert_eq!(record.target["user"].len(), 36, "{record:?}");
        }
        _ => {}
    }
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
fn what_cannot_be_recorded_is_not_done() {
    let app = TestApp::with(kura_tests::fake_models(&[]), |config| {
        config.audit.reads_need_record = true;
    });
    // A folder where the first segment should be is a disk that takes nothing.
    let segment = app
        .app
        .config
        .data_dir
        .join("audit/00000000000000000001.jsonl");
    fs_err::create_dir(&segment).unwrap();
    let create = |name: &str| {
        app.client
            .post("/api/v1/collections", &json!({ "name": name }))
    };
    create("one").assert_problem(503, "audit_unavailable");
    // From now on before anything is done.
    create("two").assert_problem(503, "audit_unavailable");
    let search = || app.client.post("/api/v1/search", &json!({ "query": "x" }));
    search().assert_problem(503, "audit_unavailable");
    app.client
        .get("/api/v1/documents")
        .assert_problem(503, "audit_unavailable");
    app.anonymous()
        .post("/api/v1/session", &json!({ "name": "x", "password": "y" }))
        .assert_problem(503, "audit_unavailable");
    app.anonymous()
        .get("/api/v1/documents")
        .assert_problem(401, "unauthorized");
    assert_eq!(app.anonymous().get("/healthz").status, 200);
    let metrics = String::from_utf8(app.client.get("/metrics").body).unwrap();
    assert!(metrics.contains("kura_audit_unavailable"), "{metrics}");
    let ready = app.anonymous().get("/readyz");
    assert_eq!(
        (ready.status, &ready.json()["checks"]["audit"]),
        (503, &json!("failed"))
    );

    fs_err::remove_dir(&segment).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while search().status == 503 {
        assert!(Instant::now() < deadline, "it does not recover");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(app.anonymous().get("/readyz").status, 200);
    let names = app.client.get("/api/v1/collections").json();
    let names: Vec<_> = names["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    assert_eq!(
        names,
        [json!("one")],
        "`two` was refused before it was made"
    );
    // What was done and not acknowledged is on record after all.
    let made = wait_for(&app, |record| record.action == "collection.create");
    assert_eq!(made.target["collection"], "one");
    verify(&app);
}

#[test]
fn reading_goes_on_while_the_disk_takes_nothing_and_is_recorded_later() {
    let app = TestApp::start();
    let data_dir = &app.app.config.data_dir;
    let segment = data_dir.join("audit/00000000000000000001.jsonl");
    fs_err::create_dir(&segment).unwrap();
    let search = |_| app.client.post("/api/v1/search", &json!({ "query": "x" }));
    let seen: Vec<Reply> = (0..5).map(search).collect();
    for reply in &seen {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let create = || {
        let body = json!({ "name": "one" });
        app.client.post("/api/v1/collections", &body)
    };
    create().assert_problem(503, "audit_unavailable");

    fs_err::remove_dir(&segment).unwrap();
    for reply in &seen {
        let id = reply.header("x-request-id").unwrap();
        let record = wait_for(&app, |record| record.request.as_deref() == Some(id));
        assert_eq!(record.action, "search");
        assert_eq!(of_request(&app, reply).len(), 1);
    }
    // The log takes changes again once it has told itself that all is written.
    let deadline = Instant::now() + Duration::from_secs(10);
    while create().status != 201 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    verify(&app);
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

/// Flips a bit in the middle of the newest segment.
fn damage(data: &Path) {
    let mut segments: Vec<_> = fs_err::read_dir(data.join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    segments.sort();
    let path = segments.pop().unwrap();
    let mut bytes = fs_err::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn commands_without_a_server_are_on_record_and_the_log_is_checked_and_exported() {
    let kura = Kura::new().with_models();
    kura.write("docs/one.md", "The lighthouse keeper is called Ansel.");
    kura.write("docs/two.md", "The harbor master is called Brida.");
    kura.run(["audit", "verify"])
        .assert_fails(1, &["no audit log"]);
    assert_eq!(kura.run(["ingest", "docs", "--collection", "c"]).code, 0);
    assert_eq!(kura.run(["search", "zebrafinch keeper"]).code, 0);
    assert_eq!(kura.run(["jobs", "pause"]).code, 0);
    assert_eq!(kura.run(["jobs", "resume"]).code, 0);
    assert_eq!(kura.run(["search", "x", "--collection", "nowhere"]).code, 1);

    let listed = kura.run(["audit", "list", "--json"]).json();
    let listed = listed.as_array().unwrap();
    let actions: Vec<_> = listed
        .iter()
        .map(|record| record["action"].as_str().unwrap())
        .collect();
    let expected = [
        "search",
        "job.resume",
        "job.pause",
        "search",
        "document.ingest",
        "document.create",
        "document.create",
    ];
    assert_eq!(actions, expected);
    assert!(
        listed
            .iter()
            .all(|record| record["principal"] == "local operator"
                && record["authentication"] == "process")
    );
    assert_eq!(listed[0]["outcome"]["result"], "failed");
    assert!(
        !listed[3]["details"]["chunks"]
            .as_array()
            .unwrap()
            .is_empty(),
        "{}",
        listed[3]
    );

    assert_eq!(kura.run(["audit", "hold", "add", "case-7"]).code, 0);
    assert_eq!(kura.run(["audit", "hold", "list"]).stdout, "case-7\n");
    kura.run(["audit", "hold", "release", "case-8"])
        .assert_fails(1, &["case-8"]);
    assert_eq!(kura.run(["audit", "hold", "release", "case-7"]).code, 0);
    assert_eq!(
        kura.run(["audit", "hold", "list", "--json"]).json(),
        json!([])
    );

    let head = kura.run(["audit", "head"]).stdout;
    let seen = kura.run(["audit", "verify", "--head", head.trim(), "--json"]);
    assert_eq!(
        (seen.code, &seen.json()["findings"]),
        (0, &json!([])),
        "{seen:?}"
    );
    let jsonl = kura.run(["audit", "export"]).stdout;
    assert_eq!(jsonl.lines().count(), 10, "{jsonl}");
    assert!(!jsonl.contains("zebrafinch"));
    assert!(
        jsonl
            .lines()
            .all(|line| serde_json::from_str::<Record>(line).is_ok())
    );
    let cef = kura
        .run(["audit", "export", "--format", "cef", "--action", "job"])
        .stdout;
    assert_eq!(
        cef.lines()
            .filter(|line| line.starts_with("CEF:0|kura|kura|"))
            .count(),
        2,
        "{cef}"
    );
    let syslog = kura
        .run([
            "audit",
            "export",
            "--format",
            "syslog",
            "--from",
            "2026-01-01",
        ])
        .stdout;
    assert!(
        syslog
            .lines()
            .all(|line| line.starts_with("<110>1 20") || line.starts_with("<107>1 20")),
        "{syslog}"
    );
    let to_file = ["audit", "export", "--output", "log.jsonl"];
    assert_eq!(kura.run(to_file).code, 0);
    assert_eq!(
        fs_err::read_to_string(kura.path("log.jsonl")).unwrap(),
        jsonl
    );
    assert_eq!(kura.run(to_file).code, 1, "a file is not overwritten");

    damage(&kura.path("data"));
    let seen = kura.run(["audit", "verify"]);
    assert_eq!(seen.code, 1, "{seen:?}");
    assert!(
        seen.stdout.contains("BAD") && seen.stdout.contains("record "),
        "{}",
        seen.stdout
    );
    // Nothing is done on a damaged log until it is put aside.
    kura.run(["search", "keeper"])
        .assert_fails(1, &["audit log", "kura audit verify"]);
    assert_eq!(kura.run(["audit", "restart", "--reason", "a test"]).code, 0);
    assert_eq!(kura.run(["search", "keeper"]).code, 0);
    assert_eq!(kura.run(["audit", "verify"]).code, 0);
}

#[test]
fn no_acknowledged_change_is_without_its_record_after_a_kill() {
    const CLIENTS: usize = 4;
    let kura = Kura::new().with_models();
    let acknowledged: Mutex<Vec<(u16, String)>> = Mutex::default();
    let mut n_done = 0;
    for round in 0..number_from_env("KURA_TEST_KILLS", 4) {
        let server = kura.serve();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (calls, stop, acknowledged) = (server.client.clone(), &stop, &acknowledged);
                scope.spawn(move || {
                    for n in 0.. {
                        if stop.load(Ordering::SeqCst) {
                            return;
                        }
                        let path = format!("/api/v1/collections/c/documents/{round}-{client}-{n}");
                        let body = format!("Note {n} of client {client} in round {round}.");
                        let sent = match n % 3 {
                            0 | 1 => calls.try_send(
                                "PUT",
                                &path,
                                Some(("text/plain", body.into_bytes())),
                            ),
                            _ => calls.try_send(
                                "POST",
                                "/api/v1/search",
                                Some((JSON, br#"{"query":"note"}"#.to_vec())),
                            ),
                        };
                        // The server was killed.
                        let Ok(reply) = sent else { return };
                        let id = reply.header("x-request-id").unwrap().to_owned();
                        acknowledged.lock().unwrap().push((reply.status, id));
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(400 + 370 * round));
            server.kill();
            stop.store(true, Ordering::SeqCst);
        });
        let seen = kura.run(["audit", "verify", "--json"]);
        assert_eq!(seen.code, 0, "round {round}: {seen:?}");
        let exported = kura.run(["audit", "export"]).stdout;
        let recorded: Vec<String> = exported
            .lines()
            .filter_map(|line| serde_json::from_str::<Record>(line).unwrap().request)
            .collect();
        let unique: BTreeSet<&String> = recorded.iter().collect();
        assert_eq!(unique.len(), recorded.len(), "one record each");
        let acknowledged = acknowledged.lock().unwrap();
        for (status, id) in acknowledged.iter() {
            assert!(
                unique.contains(id),
                "round {round}: {status} {id} has no record"
            );
        }
        let done = acknowledged
            .iter()
            .filter(|(status, _)| *status < 300)
            .count();
        println!(
            "round {round}: {done} of {} acknowledged, {} records",
            acknowledged.len(),
            recorded.len()
        );
        n_done += done;
    }
    // A busy machine may be killed before it did much; not every time.
    assert!(n_done > 10, "{n_done}");
    // What the kill left is put right, and is on record.
    let server = kura.serve();
    assert_eq!(
        server.client.get("/api/v1/audit/verify").json()["findings"],
        json!([])
    );
    assert!(server.stop());
    assert_eq!(kura.run(["audit", "verify"]).code, 0);
}
