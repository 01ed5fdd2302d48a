//! People and programs: signing in, roles, keys, and what ends when.

mod keys;
mod roles;
mod sessions;

use kura_models::fake::FakeEmbedder;
use kura_tests::{Client, Kura, Reply, SlowGenerator, TestApp};
use serde_json::{Value, json};
use std::io::BufRead as _;
use std::sync::Arc;

const PASSWORD: &str = "correct horse battery";

/// Adds a person; returns the id.
fn add_user(app: &TestApp, name: &str, role: &str, groups: &[&str]) -> String {
    let body = json!({ "name": name, "role": role, "password": PASSWORD, "groups": groups });
    let reply = app.client.post("/api/v1/users", &body);
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()["id"].as_str().unwrap().to_owned()
}

/// Adds a service with one API key; returns the user's id, the key's id and the key.
fn add_service(app: &TestApp, name: &str, role: &str, limits: Value) -> (String, String, String) {
    let body = json!({ "name": name, "role": role, "kind": "service" });
    let user = app.client.post("/api/v1/users", &body);
    assert_eq!(user.status, 201, "{user:?}");
    let mut body = json!({ "name": "test", "user": name });
    body.as_object_mut()
        .unwrap()
        .extend(limits.as_object().unwrap().clone());
    let made = app.client.post("/api/v1/api-keys", &body);
    assert_eq!(made.status, 201, "{made:?}");
    let (user, made) = (user.json(), made.json());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (
        text(&user["id"]),
        text(&made["api_key"]["id"]),
        text(&made["key"]),
    )
}

fn sign_in_with(app: &TestApp, body: &Value) -> Reply {
    app.anonymous().post("/api/v1/session", body)
}

fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie").unwrap();
    set.split(';').next().unwrap().to_owned()
}

/// Returns a client that calls as kura's own page does.
fn browser(app: &TestApp, cookie: &str) -> Client {
    let headers = [("cookie", cookie), ("sec-fetch-site", "same-origin")];
    app.anonymous().with_headers(&headers)
}

fn sign_in(app: &TestApp, name: &str) -> Client {
    let reply = sign_in_with(app, &json!({ "name": name, "password": PASSWORD }));
    assert_eq!(reply.status, 200, "{reply:?}");
    browser(app, &cookie(&reply))
}

fn patch(client: &Client, path: &str, body: &Value) -> Reply {
    let body = ("application/json", body.to_string().into_bytes());
    client.send("PATCH", path, Some(body))
}

fn put(client: &Client, path: &str, body: &Value) -> Reply {
    let body = ("application/json", body.to_string().into_bytes());
    client.send("PUT", path, Some(body))
}

/// Makes a document that these groups may read.
fn put_document(app: &TestApp, collection: &str, id: &str, text: &str, readers: &str) -> Value {
    let readers = readers.replace('"', "%22");
    let path = format!("/api/v1/collections/{collection}/documents/{id}?readers={readers}");
    let reply = app
        .client
        .send("PUT", &path, Some(("text/plain", text.into())));
    assert_eq!(reply.status, 202, "{reply:?}");
    let upload = reply.json();
    app.wait(upload["job"]["id"].as_str().unwrap());
    upload
}

fn sources(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let items = reply.json()["items"].as_array().unwrap().clone();
    let mut sources: Vec<String> = items
        .iter()
        .map(|item| item["source"].as_str().unwrap().to_owned())
        .collect();
    sources.sort();
    sources.dedup();
    sources
}

#[test]
fn changes_count_from_the_next_request_on() {
    let app = TestApp::start();
    let id = add_user(&app, "taro", "editor", &[]);
    let user = format!("/api/v1/users/{id}");
    let page = sign_in(&app, "taro");
    // A name is no reason to sign in again, a role is.
    assert_eq!(
        patch(&app.client, &user, &json!({ "display_name": "Taro Y." })).status,
        200
    );
    assert_eq!(
        page.get("/api/v1/session").json()["display_name"],
        "Taro Y."
    );
    assert_eq!(
        patch(&app.client, &user, &json!({ "role": "reader" })).status,
        200
    );
    page.get("/api/v1/collections")
        .assert_problem(401, "unauthorized");

    let page = sign_in(&app, "taro");
    let reset = json!({ "password": "another horse battery" });
    assert_eq!(patch(&app.client, &user, &reset).status, 200);
    assert_eq!(page.get("/api/v1/collections").status, 401);
    assert_eq!(
        patch(&app.client, &user, &json!({ "password": PASSWORD })).status,
        200
    );

    let page = sign_in(&app, "taro");
    assert_eq!(
        patch(&app.client, &user, &json!({ "active": false })).status,
        200
    );
    assert_eq!(page.get("/api/v1/collections").status, 401);
    assert_eq!(
        patch(&app.client, &user, &json!({ "active": true })).status,
        200
    );
    // The session that ended stays ended.
    assert_eq!(page.get("/api/v1/collections").status, 401);

    let (page, other) = (sign_in(&app, "taro"), sign_in(&app, "taro"));
    let change = json!({ "current": PASSWORD, "new": "yet another battery" });
    assert_eq!(put(&page, "/api/v1/session/password", &change).status, 204);
    assert_eq!(page.get("/api/v1/session").status, 200);
    assert_eq!(other.get("/api/v1/session").status, 401);

    // An administrator ends the sessions of a user.
    let path = "/api/v1/sessions?user=taro";
    assert_eq!(
        app.client.get(path).json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(app.client.delete(path).status, 204);
    assert_eq!(page.get("/api/v1/session").status, 401);
}

#[test]
fn a_stream_that_was_let_in_ends_as_it_would_and_the_next_is_not_let_in() {
    let generator = SlowGenerator::default();
    let written = Arc::clone(&generator.written);
    let models = kura::app::Models {
        embedder: Arc::new(FakeEmbedder::new()),
        reranker: None,
        generator: Some(Arc::new(generator)),
    };
    let app = TestApp::with(models, |config| config.answer.min_support = 0.0);
    app.add("c", "a.txt", b"the zeppelin lands at noon");
    add_user(&app, "taro", "reader", &[]);
    let page = sign_in(&app, "taro");
    let body = json!({ "question": "When does the zeppelin land?", "mode": "generate" });
    let mut stream = page.open("/api/v1/ask", &body);
    let mut line = String::new();
    while !line.contains("delta") {
        line.clear();
        assert!(
            stream.read_line(&mut line).unwrap() > 0,
            "the stream has ended"
        );
    }
    assert_eq!(
        patch(
            &app.client,
            "/api/v1/users/taro",
            &json!({ "active": false })
        )
        .status,
        200
    );
    let before = written.load(std::sync::atomic::Ordering::SeqCst);
    page.post("/api/v1/ask", &body)
        .assert_problem(401, "unauthorized");
    // What was begun goes on: it reads nothing more, its passages were chosen before.
    let mut n_deltas = 0;
    while n_deltas < 5 {
        line.clear();
        assert!(
            stream.read_line(&mut line).unwrap() > 0,
            "the stream has ended"
        );
        n_deltas += usize::from(line.contains("delta"));
    }
    assert!(written.load(std::sync::atomic::Ordering::SeqCst) > before);
    drop(stream);
}

#[test]
fn no_answer_tells_a_password_or_its_hash() {
    let app = TestApp::start();
    let id = add_user(&app, "taro", "reader", &[]);
    let page = sign_in(&app, "taro");
    let replies = [
        app.client.get("/api/v1/users"),
        app.client.get(&format!("/api/v1/users/{id}")),
        patch(
            &app.client,
            &format!("/api/v1/users/{id}"),
            &json!({ "email": "taro@example.com" }),
        ),
        page.get("/api/v1/session"),
        page.get("/api/v1/sessions"),
        app.client.get("/api/v1/sessions?user=taro"),
        sign_in_with(&app, &json!({ "name": "taro", "password": "wrong guess" })),
        app.client.get("/api/v1/groups"),
    ];
    for reply in replies {
        let text = String::from_utf8(reply.body).unwrap();
        assert!(!text.is_empty());
        // `tokens_today` counts those of models.
        for secret in ["argon2", PASSWORD, "wrong guess", "\"token\""] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn the_command_line_manages_accounts_with_and_without_a_server() {
    let kura = Kura::new().with_models();
    kura.write("password", PASSWORD);
    let path = kura.path("password").display().to_string();
    let ok = |args: &[&str]| {
        let output = kura.run(args);
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
        output
    };
    // No server runs: the file itself.
    ok(&["groups", "add", "hr"]);
    let add = [
        "users",
        "add",
        "Taro",
        "--role",
        "editor",
        "--group",
        "hr",
        "--password-file",
        &path,
    ];
    ok(&add);
    kura.run(add).assert_fails(1, &["taro", "already"]);
    ok(&["users", "add", "robot", "--service"]);
    // Nothing to ask on, and nothing given.
    kura.run(["users", "add", "x"])
        .assert_fails(2, &["--password-file"]);
    kura.write("weak", "short");
    let weak = kura.path("weak").display().to_string();
    kura.run(["users", "passwd", "taro", "--password-file", &weak])
        .assert_fails(1, &["12 characters"]);
    let listed = ok(&["users", "list", "--json"]).json();
    assert_eq!(listed[0]["name"], "taro");
    assert_eq!(listed[0]["groups"], json!(["hr"]));
    assert_eq!(listed[1]["kind"], "service");
    let first = ok(&["keys", "create", "robot", "--name", "first"])
        .stdout
        .trim()
        .to_owned();

    let server = kura.serve();
    let page = |name: &str, password: &str| {
        let body = json!({ "name": name, "password": password });
        Client::new(server.client.url(), None).post("/api/v1/session", &body)
    };
    assert_eq!(page("taro", PASSWORD).status, 200);
    let robot = |key: &str| {
        Client::new(server.client.url(), Some(key))
            .get("/api/v1/session")
            .status
    };
    assert_eq!(robot(&first), 200);
    // A server runs: through it.
    kura.write("password", "another horse battery");
    ok(&["users", "passwd", "taro", "--password-file", &path]);
    assert_eq!(page("taro", PASSWORD).status, 401);
    assert_eq!(page("taro", "another horse battery").status, 200);
    ok(&["users", "disable", "taro"]);
    assert_eq!(page("taro", "another horse battery").status, 401);
    let made = ok(&["keys", "create", "robot", "--name", "second", "--json"]).json();
    let second = made["key"].as_str().unwrap();
    assert_eq!(robot(second), 200);
    ok(&["keys", "revoke", made["api_key"]["id"].as_str().unwrap()]);
    assert_eq!(robot(second), 401);
    let keys = ok(&["keys", "list", "robot"]).stdout;
    assert!(
        keys.contains("first") && keys.contains("revoked") && !keys.contains(second),
        "{keys}"
    );
    ok(&["groups", "members", "hr", "robot"]);
    assert!(ok(&["groups", "list"]).stdout.contains("hr: robot"));
    kura.run(["users", "role", "nobody", "admin"])
        .assert_fails(1, &["nobody"]);
    ok(&["users", "delete", "robot"]);
    assert_eq!(robot(&first), 401);
    server.stop();
    for entry in fs_err::read_dir(kura.path("data").join("auth")).unwrap() {
        let bytes = fs_err::read(entry.unwrap().path()).unwrap();
        for secret in [first.as_str(), second, PASSWORD, "another horse battery"] {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret}");
        }
    }
}
