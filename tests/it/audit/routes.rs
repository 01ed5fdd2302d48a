//! What each route leaves in the audit log.

use super::calls::{Call, Made, calls};
use super::{last, of_request, records, verify};
use kura::audit::Ending;
use kura::audit::operations::{self, Class, Operation};
use kura_tests::{Reply, TestApp, fake_models};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use ureq::http::Method;

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

#[test]
fn every_successful_request_leaves_one_record() {
    let app = TestApp::with(
        fake_models(&["Employees get twenty days of paid leave [1]."]),
        |_| (),
    );
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(&app);
    let mut left: BTreeSet<_> = operations()
        .into_iter()
        .map(|(method, path, _)| (method, path))
        // What only people with a session do, and what a directory does, other tests do.
        .filter(|(_, path)| *path != "/api/v1/session" && !path.starts_with("/api/v1/session/"))
        .filter(|(_, path)| !path.starts_with("/scim/"))
        .collect();
    for Call(method, path, filled, body) in calls(&made, folder.path()) {
        let what = format!("{method} {filled}");
        let operation =
            operations::find(&method.parse().unwrap(), path).unwrap_or_else(|| panic!("{what}"));
        left.remove(&(method.to_owned(), path.to_owned()));
        let before = last(&app);
        let reply = app.client.send(method, &filled, body);
        assert!(reply.status < 300, "{what}: {reply:?}");
        check_one(&app, &what, operation, &reply, before);
        note_details(&app, operation, &reply, &made.document);
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
