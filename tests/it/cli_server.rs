//! The real binary with a server: commands go through it.

use kura_tests::{Kura, TestApp};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn commands_use_the_server_that_holds_the_data() {
    let kura = Kura::new().with_models();
    let file = kura.write(
        "leave.md",
        "# Leave\n\nEmployees get twenty days of paid leave.",
    );
    let bad = kura.write("bad.pdf", "%PDF-1.4 this is no sound file");
    let server = kura.serve();
    let run_file = kura.path("data/run/server.json");
    assert_eq!(
        fs_err::metadata(&run_file).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let ingested = kura.run([
        "ingest",
        file.to_str().unwrap(),
        bad.to_str().unwrap(),
        "--collection",
        "c",
        "--json",
    ]);
    assert_eq!(ingested.code, 3, "{ingested:?}");
    assert_eq!(
        ingested.json()["summary"],
        json!({ "new": 1, "replaced": 0, "unchanged": 0, "failed": 1 })
    );
    // The server has it, so the command went through the server.
    let documents = server.client.get("/api/v1/documents").json();
    assert_eq!(
        documents["items"].as_array().unwrap().len(),
        2,
        "{documents}"
    );

    let search = ["search", "paid leave", "--json"];
    let ask = [
        "ask",
        "How many days of paid leave do employees get?",
        "--mode",
        "extractive",
        "--json",
    ];
    let (by_server, answer_by_server) = (kura.run(search).json(), kura.run(ask).json());
    assert_eq!(
        answer_by_server["outcome"], "grounded",
        "{answer_by_server}"
    );
    assert_eq!(
        server.client.get("/api/v1/conversations").json()["items"],
        json!([]),
        "commands leave no conversation"
    );
    kura.run(["search", "x", "--collection", "no"])
        .assert_fails(1, &["unknown collection `no`"]);
    let doctor = kura.run(["doctor", "--json"]).json();
    assert!(
        doctor.to_string().contains("runs at http://127.0.0.1:"),
        "{doctor}"
    );

    assert!(server.stop(), "SIGTERM ends the server well");
    assert!(!run_file.exists(), "the run file is removed");
    // The same commands without the server give the same results.
    let (by_itself, answer_by_itself) = (kura.run(search).json(), kura.run(ask).json());
    assert_eq!(by_server["items"], by_itself["items"]);
    assert_eq!(answer_by_server["text"], answer_by_itself["text"]);
    assert_eq!(answer_by_server["citations"], answer_by_itself["citations"]);
}

#[test]
fn a_second_server_is_refused_and_a_killed_one_is_no_obstacle() {
    let kura = Kura::new().with_models();
    let file = kura.write("a.txt", "Something to be found.");
    let server = kura.serve();
    let key = server.key.clone();
    kura.run(["serve", "--listen", "127.0.0.1:0"]).assert_fails(
        1,
        &[
            "in use by another kura process",
            &server.pid().to_string(),
            "hint:",
        ],
    );
    server.kill();
    assert!(
        kura.path("data/run/server.json").exists(),
        "a killed server leaves its run file"
    );
    assert_eq!(
        kura.run(["ingest", file.to_str().unwrap(), "--collection", "c"])
            .code,
        0
    );

    // The key stays, and is not printed again.
    let server = kura.serve();
    assert_eq!(server.key, key);
    assert_eq!(
        server.client.get("/api/v1/documents").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_taken_port_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    Kura::new()
        .run(["serve", "--listen", &address])
        .assert_fails(1, &[&address, "hint: choose another address"]);
}

#[test]
fn a_command_with_an_api_key_does_what_its_user_may() {
    let app = TestApp::start();
    let body = json!({ "kind": "service", "name": "ann" });
    assert_eq!(app.client.post("/api/v1/users", &body).status, 201);
    let body = json!({ "name": "test", "user": "ann" });
    let made = app.client.post("/api/v1/api-keys", &body).json();
    app.add("notes", "a.md", b"The keeper is called Ansel.");
    let hidden = app.add("notes", "b.md", b"Another keeper has the name of Brida.");
    let path = format!("/api/v1/documents/{}/acl", hidden["id"].as_str().unwrap());
    let acl = json!({ "readers": ["everyone"], "denied": ["user:ann"] });
    assert_eq!(app.client.put(&path, &acl).status, 200);

    let url = app.client.url();
    let with = |server: &str, key: &str| {
        let kura = Kura::new().env("KURA_SERVER", server);
        kura.env("KURA_API_KEY", key)
    };
    let ann = with(url, made["key"].as_str().unwrap());
    let found = ann.run(["search", "keeper", "--json"]).json();
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["items"][0]["source"], "a.md");
    ann.run(["users", "list"])
        .assert_fails(1, &["the role `reader` may not"]);
    for on_the_data in [["eval", "list"], ["audit", "list"], ["admin", "reindex"]] {
        ann.run(on_the_data)
            .assert_fails(2, &["works on the data directory", "unset KURA_API_KEY"]);
    }
    assert!(
        !ann.path("data").exists(),
        "it leaves the data directory alone"
    );

    with(url, "kura_wrong")
        .run(["search", "keeper"])
        .assert_fails(1, &["sign in"]);
    with(url, "")
        .run(["search", "keeper"])
        .assert_fails(2, &["put one into KURA_API_KEY"]);
    with("http://kura.example.com", "kura_x")
        .run(["search", "x"])
        .assert_fails(2, &["use https://"]);
    with("", "kura_x")
        .run(["search", "x"])
        .assert_fails(1, &["no server runs", "KURA_SERVER"]);
}
