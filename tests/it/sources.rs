//! `/api/v1/sources`

use kura_tests::{Client, TestApp};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Writes a file that was left alone for a while.
fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(&path, text).unwrap();
    let then = SystemTime::now() - Duration::from_secs(5);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_modified(then).unwrap();
}

fn wait(client: &Client, name: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let source = client.get(&format!("/api/v1/sources/{name}")).json();
        if source["scanning"] == false && source["oldest_unindexed_at"].is_null() {
            return source;
        }
        assert!(Instant::now() < deadline, "the scan does not end: {source}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn patch(client: &Client, path: &str, body: &Value) -> Value {
    client
        .send(
            "PATCH",
            path,
            Some(("application/json", body.to_string().into_bytes())),
        )
        .json()
}

#[test]
fn a_source_is_added_scanned_paused_and_removed() {
    let app = TestApp::start();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.md", "# Anchors\n\nAn anchor holds the ship.");
    write(dir.path(), "old/b.md", "# Buoys\n\nA buoy marks the way.");
    write(dir.path(), "c.bin", "\u{7f}ELF");
    let new = json!({
        "name": "notes", "place": { "kind": "folder", "path": dir.path() }, "collection": "c", "prefix": "n", "exclude": ["old"],
    });
    let added = app.client.post("/api/v1/sources", &new);
    assert_eq!(added.status, 201, "{added:?}");
    app.client
        .post("/api/v1/sources", &new)
        .assert_problem(409, "source_exists");
    let source = wait(&app.client, "notes");
    assert_eq!(
        (
            &source["state"],
            &source["n_documents"],
            &source["n_errors"]
        ),
        (&json!("ok"), &json!(1), &json!(1)),
        "{source}"
    );
    assert_eq!(app.search("anchor")[0]["source"], "n/a.md");
    let failed = app
        .client
        .get("/api/v1/sources/notes/items?failed=true")
        .json();
    assert_eq!(failed["items"].as_array().unwrap().len(), 1, "{failed}");
    assert!(
        failed["items"][0]["error"]
            .as_str()
            .unwrap()
            .contains("unsupported format"),
        "{failed}"
    );
    let items = app.client.get("/api/v1/sources/notes/items?limit=1").json();
    assert_eq!(
        (&items["items"][0]["key"], &items["next_cursor"]),
        (&json!("a.md"), &json!("a.md"))
    );
    assert!(
        items["items"][0]["link"]
            .as_str()
            .unwrap()
            .starts_with("file:///")
    );

    let metrics = String::from_utf8(app.client.get("/metrics").body).unwrap();
    for line in [
        "kura_source_lag_seconds{source=\"notes\",kind=\"folder\"} ",
        "kura_source_oldest_unindexed_seconds{source=\"notes\",kind=\"folder\"} 0",
        "kura_source_items{source=\"notes\",kind=\"folder\"} 2",
        "kura_source_errors{source=\"notes\",kind=\"folder\"} 1",
        "kura_source_stale{source=\"notes\",kind=\"folder\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }

    let paused = patch(
        &app.client,
        "/api/v1/sources/notes",
        &json!({ "paused": true }),
    );
    assert_eq!(paused["state"], "paused");
    write(
        dir.path(),
        "d.md",
        "# Dredgers\n\nA dredger deepens the harbor.",
    );
    // Also a paused source is scanned when someone asks.
    assert_eq!(
        app.client
            .post("/api/v1/sources/notes/scan", &json!({}))
            .status,
        202
    );
    let source = wait(&app.client, "notes");
    assert_eq!(
        (&source["state"], &source["last_scan"]["added"]),
        (&json!("paused"), &json!(1)),
        "{source}"
    );
    assert_eq!(
        patch(
            &app.client,
            "/api/v1/sources/notes",
            &json!({ "paused": false })
        )["state"],
        "ok"
    );

    // That asks for a scan; what follows shall be another one's.
    wait(&app.client, "notes");

    // A citation of what is gone is withdrawn with it, and search does not have it any more.
    fs_err::remove_file(dir.path().join("a.md")).unwrap();
    app.client.post("/api/v1/sources/notes/scan", &json!({}));
    assert_eq!(wait(&app.client, "notes")["last_scan"]["deleted"], 1);
    assert!(
        app.search("anchor")
            .iter()
            .all(|hit| hit["source"] != "n/a.md")
    );

    assert_eq!(
        app.client
            .delete("/api/v1/sources/notes?with_documents=true")
            .status,
        204
    );
    app.client
        .get("/api/v1/sources/notes")
        .assert_problem(404, "unknown_source");
    let metrics = String::from_utf8(app.client.get("/metrics").body).unwrap();
    assert!(
        !metrics.contains("kura_source_lag_seconds"),
        "what was removed is not reported"
    );
    let verified = app
        .client
        .post("/api/v1/verify", &json!({ "read_blobs": true }))
        .json();
    assert_eq!(
        (
            &verified["findings"],
            &verified["n_documents"],
            &verified["n_blobs"]
        ),
        (&json!([]), &json!(0), &json!(0))
    );
}

#[test]
fn a_source_that_cannot_be_is_refused_with_a_reason() {
    let app = TestApp::start();
    let dir = tempfile::tempdir().unwrap();
    let place = json!({ "kind": "folder", "path": dir.path() });
    for (change, word) in [
        (
            json!({ "place": { "kind": "folder", "path": "/no/such/folder" } }),
            "cannot be read",
        ),
        (
            json!({ "place": { "kind": "folder", "path": "relative" } }),
            "not an absolute path",
        ),
        (
            json!({ "place": { "kind": "carrier-pigeon" } }),
            "carrier-pigeon",
        ),
        (json!({ "include": ["["] }), "pattern `[`"),
        (json!({ "interval_secs": 1 }), "interval of 1 s"),
        (json!({ "name": "a b" }), "invalid source name"),
        (json!({ "readers": [] }), "at least one group"),
        (json!({ "unknown": 1 }), "unknown"),
    ] {
        let mut new = json!({ "place": place, "collection": "c" });
        for (key, value) in change.as_object().unwrap() {
            new[key] = value.clone();
        }
        let refused = app.client.post("/api/v1/sources", &new);
        assert!(
            refused.status == 400 || refused.status == 422,
            "{refused:?}"
        );
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(word), "{detail}");
    }
    assert_eq!(app.client.get("/api/v1/sources").json()["items"], json!([]));
    app.anonymous()
        .get("/api/v1/sources")
        .assert_problem(401, "unauthorized");
    app.anonymous()
        .post("/api/v1/verify", &json!({}))
        .assert_problem(401, "unauthorized");
}
