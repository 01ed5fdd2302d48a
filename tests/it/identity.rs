//! People and programs: signing in, roles, keys, and what ends when.

use kura::auth::permission;
use kura::identity::Role;
use kura_models::fake::FakeEmbedder;
use kura_tests::{Client, Kura, Reply, SlowGenerator, TestApp, fake_models};
use serde_json::{Value, json};
use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Duration;

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

fn with_key(app: &TestApp, key: &str) -> Client {
    Client::new(app.client.url(), Some(key))
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
fn a_person_signs_in_and_out() {
    let app = TestApp::start();
    let id = add_user(&app, "Taro", "editor", &[]);
    let reply = sign_in_with(&app, &json!({ "name": "ＴＡＲＯ", "password": PASSWORD }));
    assert_eq!(reply.status, 200, "{reply:?}");
    let set = reply.header("set-cookie").unwrap();
    assert!(set.starts_with("kura_session="), "{set}");
    for attribute in ["Path=/", "HttpOnly", "SameSite=Strict"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains("Secure"), "{set}");
    let me = reply.json();
    assert_eq!(me["id"], id);
    assert_eq!(me["name"], "taro");
    assert_eq!(me["role"], "editor");
    assert_eq!(me["kind"], "person");
    assert!(
        me["permissions"]
            .as_array()
            .unwrap()
            .contains(&json!("write"))
    );
    assert!(me["expires_at"].is_string());

    let page = browser(&app, &cookie(&reply));
    assert_eq!(page.get("/api/v1/session").json()["name"], "taro");
    assert_eq!(page.get("/api/v1/collections").status, 200);
    let sessions = page.get("/api/v1/sessions").json();
    assert_eq!(sessions["items"].as_array().unwrap().len(), 1);
    assert_eq!(sessions["items"][0]["current"], true);
    assert!(app.client.get("/api/v1/users/taro").json()["last_sign_in_at"].is_string());

    let left = page.delete("/api/v1/session");
    assert_eq!(left.status, 204, "{left:?}");
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"));
    page.get("/api/v1/session")
        .assert_problem(401, "unauthorized");
}

#[test]
fn behind_tls_the_cookie_is_for_tls_only() {
    let app = TestApp::with(fake_models(&[]), |config| {
        config.auth.public_url = "https://kura.example".to_owned();
    });
    add_user(&app, "taro", "reader", &[]);
    let reply = sign_in_with(&app, &json!({ "name": "taro", "password": PASSWORD }));
    let set = reply.header("set-cookie").unwrap();
    assert!(
        set.starts_with("__Host-kura_session=") && set.ends_with("Secure"),
        "{set}"
    );
    let cookie = cookie(&reply);
    let page = app.anonymous();
    // The browser names the outside address.
    let with = |origin| page.with_headers(&[("cookie", &cookie), ("origin", origin)]);
    with("https://evil.example")
        .delete("/api/v1/session")
        .assert_problem(403, "forbidden");
    assert_eq!(
        with("https://kura.example")
            .delete("/api/v1/session")
            .status,
        204
    );
}

#[test]
fn what_is_wrong_with_a_sign_in_is_not_told() {
    let app = TestApp::start();
    add_user(&app, "taro", "reader", &[]);
    add_user(&app, "gone", "reader", &[]);
    patch(
        &app.client,
        "/api/v1/users/gone",
        &json!({ "active": false }),
    );
    add_service(&app, "robot", "reader", json!({}));
    let mut details = Vec::new();
    for (name, password) in [
        ("taro", "another horse battery"),
        ("taro", ""),
        ("nobody", PASSWORD),
        ("no:name at all", PASSWORD),
        ("gone", PASSWORD),
        ("robot", PASSWORD),
        ("admin-api-key", PASSWORD),
    ] {
        let reply = sign_in_with(&app, &json!({ "name": name, "password": password }));
        reply.assert_problem(401, "invalid_credentials");
        assert!(reply.header("set-cookie").is_none());
        details.push(reply.json()["detail"].as_str().unwrap().to_owned());
    }
    details.dedup();
    assert_eq!(details.len(), 1, "{details:?}");
    let unknown = json!({ "name": "taro", "password": PASSWORD, "remember": true });
    assert!([400, 422].contains(&sign_in_with(&app, &unknown).status));
}

#[test]
fn guessing_is_slowed_down_and_the_right_password_waits_too() {
    let app = TestApp::start();
    add_user(&app, "taro", "reader", &[]);
    add_user(&app, "hanako", "reader", &[]);
    let guess =
        |password: &str| sign_in_with(&app, &json!({ "name": "taro", "password": password }));
    for _ in 0..5 {
        guess("wrong guess number n").assert_problem(401, "invalid_credentials");
    }
    let held = guess(PASSWORD);
    held.assert_problem(429, "too_many_attempts");
    let seconds: u64 = held.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{seconds}");
    // A name that nobody has is held up the same way.
    for _ in 0..5 {
        let body = json!({ "name": "nobody", "password": "wrong guess" });
        sign_in_with(&app, &body).assert_problem(401, "invalid_credentials");
    }
    let body = json!({ "name": "nobody", "password": "wrong guess" });
    sign_in_with(&app, &body).assert_problem(429, "too_many_attempts");
    // Others are not.
    sign_in(&app, "hanako");
    std::thread::sleep(Duration::from_secs(seconds));
    assert_eq!(guess(PASSWORD).status, 200);
    // The present password is guessed no faster from within a session.
    let page = sign_in(&app, "hanako");
    let body = json!({ "current": "wrong guess", "new": "another horse battery" });
    for _ in 0..5 {
        put(&page, "/api/v1/session/password", &body).assert_problem(401, "invalid_credentials");
    }
    put(&page, "/api/v1/session/password", &body).assert_problem(429, "too_many_attempts");
}

#[test]
fn sessions_end_by_themselves() {
    let app = TestApp::with(fake_models(&[]), |config| {
        config.auth.session_idle_secs = 2;
        config.auth.session_max_secs = 4;
    });
    add_user(&app, "taro", "reader", &[]);
    let (idle, busy) = (sign_in(&app, "taro"), sign_in(&app, "taro"));
    let begun = std::time::Instant::now();
    let mut last = 200;
    while last == 200 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(300));
        last = busy.get("/api/v1/session").status;
    }
    // Used all the time, it lasts beyond the idle end and not beyond the other.
    assert_eq!(last, 401);
    assert!(
        begun.elapsed() > Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    idle.get("/api/v1/session")
        .assert_problem(401, "unauthorized");
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
fn other_sites_change_nothing_with_the_cookie() {
    let app = TestApp::start();
    add_user(&app, "taro", "editor", &[]);
    let reply = sign_in_with(&app, &json!({ "name": "taro", "password": PASSWORD }));
    let cookie = cookie(&reply);
    let host = app.client.url().strip_prefix("http://").unwrap();
    let own = format!("http://{host}");
    let client = |headers: &[(&str, &str)]| {
        let mut all = vec![("cookie", cookie.as_str())];
        all.extend(headers);
        app.anonymous().with_headers(&all)
    };
    let create =
        |client: &Client, name: &str| client.post("/api/v1/collections", &json!({ "name": name }));
    for headers in [
        &[][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
    ] {
        create(&client(headers), "c").assert_problem(403, "forbidden");
        // Reading is the browser's business: it does not show the answer to other sites.
        assert_eq!(
            client(headers).get("/api/v1/session").status,
            200,
            "{headers:?}"
        );
    }
    assert_eq!(
        create(&client(&[("sec-fetch-site", "same-origin")]), "c1").status,
        201
    );
    assert_eq!(
        create(&client(&[("origin", own.as_str())]), "c2").status,
        201
    );
    // A key is no cookie: no other site has it.
    let key = format!("Bearer {}", app.key);
    let program = app
        .anonymous()
        .with_headers(&[("authorization", &key), ("sec-fetch-site", "cross-site")]);
    assert_eq!(create(&program, "c3").status, 201);
    // Nor does another site sign anyone in.
    let elsewhere = app
        .anonymous()
        .with_headers(&[("sec-fetch-site", "cross-site")]);
    let body = json!({ "name": "taro", "password": PASSWORD });
    elsewhere
        .post("/api/v1/session", &body)
        .assert_problem(403, "forbidden");
}

/// Every guarded operation: method, path pattern, and path with parameters filled in.
fn operations() -> Vec<(String, String, String)> {
    let document = serde_json::to_value(kura::router::openapi()).unwrap();
    let mut operations = Vec::new();
    for (pattern, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let path = pattern
                .replace("{id}", "00000000-0000-4000-8000-000000000000")
                .replace("{external_id}", "x")
                .replace("{name}", "x");
            operations.push((method.to_uppercase(), pattern.clone(), path));
        }
    }
    operations
}

#[test]
fn every_role_may_what_the_table_says_and_nothing_else() {
    let app = TestApp::start();
    for role in Role::ALL {
        add_user(&app, role.as_str(), role.as_str(), &[]);
        let page = sign_in(&app, role.as_str());
        let (mut allowed, mut refused) = (0, 0);
        for (method, pattern, path) in operations() {
            // It would end the session; `a_person_signs_in_and_out` tries it.
            if pattern == "/api/v1/session" && method != "GET" {
                continue;
            }
            let needed = permission::of(&method.parse().unwrap(), &pattern);
            let needed = needed.unwrap_or_else(|| panic!("{method} {pattern} is not in the table"));
            let reply = page.send(&method, &path, None);
            let place = format!("{} {method} {path}: {reply:?}", role.as_str());
            if needed.is_given_by(role) {
                assert!(![401, 403].contains(&reply.status), "{place}");
                allowed += 1;
            } else {
                assert_eq!(reply.status, 403, "{place}");
                let body = reply.json();
                let code = body.get("code").or_else(|| body["error"].get("code"));
                let is_said = match code {
                    Some(code) => code == "forbidden",
                    None => path.starts_with("/scim/") && body["status"] == "403",
                };
                assert!(is_said, "{place}");
                refused += 1;
            }
        }
        assert!(allowed > 10 && refused > 5, "{role:?}: {allowed} {refused}");
    }
}

#[test]
fn what_roles_may_is_what_people_expect() {
    // Apart from the table, so that a slip in it is noticed.
    let app = TestApp::start();
    let search = json!({ "query": "words" });
    let expected = [
        ("reader", 200, 403, 403, 403, 403, 403),
        ("editor", 200, 201, 403, 403, 403, 200),
        ("admin", 200, 403, 200, 200, 403, 200),
        ("auditor", 403, 403, 200, 403, 403, 403),
    ];
    for (role, searches, creates, lists, pauses, exports, jobs) in expected {
        add_user(&app, role, role, &[]);
        let page = sign_in(&app, role);
        assert_eq!(
            page.post("/api/v1/search", &search).status,
            searches,
            "{role}"
        );
        let new = json!({ "name": format!("of-{role}") });
        assert_eq!(
            page.post("/api/v1/collections", &new).status,
            creates,
            "{role}"
        );
        assert_eq!(page.get("/api/v1/users").status, lists, "{role}");
        assert_eq!(
            page.post("/api/v1/jobs/pause", &json!({})).status,
            pauses,
            "{role}"
        );
        assert_eq!(page.get("/api/v1/feedback").status, exports, "{role}");
        assert_eq!(page.get("/api/v1/jobs").status, jobs, "{role}");
    }
    let detail = sign_in(&app, "reader").get("/api/v1/users").json()["detail"].clone();
    let detail = detail.as_str().unwrap();
    assert!(
        detail.contains("`reader`") && detail.contains("`admin`"),
        "{detail}"
    );
    // The admin key does all.
    assert_eq!(app.client.get("/api/v1/feedback").status, 200);
    assert_eq!(
        app.client.post("/api/v1/jobs/resume", &json!({})).status,
        200
    );
    let wrong = app.client.send("PATCH", "/api/v1/search", None);
    wrong.assert_problem(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("POST"));
}

#[test]
fn people_read_what_their_groups_may() {
    let app = TestApp::start();
    assert_eq!(
        app.client
            .post("/api/v1/groups", &json!({ "name": "hr" }))
            .status,
        201
    );
    let hanako = add_user(&app, "hanako", "reader", &["hr"]);
    add_user(&app, "taro", "reader", &[]);
    add_user(&app, "boss", "admin", &[]);
    put_document(
        &app,
        "c",
        "open",
        "the zeppelin of everyone",
        r#"["everyone"]"#,
    );
    put_document(&app, "c", "hr", "the zeppelin of hr", r#"["hr"]"#);
    put_document(&app, "c", "own", "the zeppelin of taro", r#"["user:taro"]"#);
    let reads = |client: &Client| {
        let listed = sources(&client.get("/api/v1/documents"));
        let found = client.post("/api/v1/search", &json!({ "query": "zeppelin" }));
        assert_eq!(sources(&found), listed);
        listed
    };
    let (taro, hr, boss) = (
        sign_in(&app, "taro"),
        sign_in(&app, "hanako"),
        sign_in(&app, "boss"),
    );
    assert_eq!(reads(&taro), ["open", "own"]);
    assert_eq!(reads(&hr), ["hr", "open"]);
    // An administrator is not let into documents by that.
    assert_eq!(reads(&boss), ["open"]);
    assert_eq!(reads(&app.client), ["hr", "open", "own"]);
    // Nor by explaining a search for those who are.
    let explain = json!({ "query": "zeppelin", "groups": ["hr"] });
    boss.post("/api/v1/search/explain", &explain)
        .assert_problem(403, "forbidden");
    let explain = json!({ "query": "zeppelin", "groups": ["everyone"] });
    assert_eq!(boss.post("/api/v1/search/explain", &explain).status, 200);
    // Leaving a group counts at once.
    let body = json!({ "users": ["taro"] });
    assert_eq!(put(&boss, "/api/v1/groups/hr/members", &body).status, 200);
    assert_eq!(reads(&hr), ["open"]);
    assert_eq!(reads(&taro), ["hr", "open", "own"]);
    assert_eq!(boss.delete("/api/v1/groups/hr").status, 204);
    assert_eq!(reads(&taro), ["open", "own"]);

    // Conversations are their owner's, and go with the user.
    let asked = hr.post(
        "/api/v1/ask",
        &json!({ "question": "zeppelin?", "stream": false }),
    );
    assert_eq!(asked.status, 200, "{asked:?}");
    let conversation = asked.json()["conversation"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/conversations/{conversation}");
    assert_eq!(hr.get(&path).status, 200);
    taro.get(&path).assert_problem(404, "unknown_conversation");
    assert_eq!(boss.delete("/api/v1/users/hanako").status, 204);
    assert_eq!(hr.get(&path).status, 401);
    let left = app.app.conversations.clone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(left.list(&hanako, None, 10)).unwrap(), []);
    let again = json!({ "name": "hanako", "password": PASSWORD });
    app.client
        .post("/api/v1/users", &again)
        .assert_problem(409, "user_exists");
}

#[test]
fn editors_see_jobs_of_what_they_read_and_administrators_all() {
    let app = TestApp::start();
    add_user(&app, "editor", "editor", &[]);
    add_user(&app, "boss", "admin", &[]);
    let open = put_document(&app, "c", "open.txt", "open words", r#"["everyone"]"#);
    let secret = put_document(&app, "c", "secret.txt", "secret words", r#"["hr"]"#);
    let job = |upload: &Value| format!("/api/v1/jobs/{}", upload["job"]["id"].as_str().unwrap());
    let (open, secret) = (job(&open), job(&secret));

    let editor = sign_in(&app, "editor");
    assert_eq!(sources(&editor.get("/api/v1/jobs")), ["open.txt"]);
    assert_eq!(editor.get(&open).json()["source"], "open.txt");
    for (method, path) in [
        ("GET", secret.clone()),
        ("GET", format!("{secret}/events")),
        ("POST", format!("{secret}/cancel")),
        ("POST", format!("{secret}/retry")),
    ] {
        editor
            .send(method, &path, None)
            .assert_problem(404, "unknown_job");
    }
    // It may act on this one, which is done.
    editor
        .send("POST", &format!("{open}/cancel"), None)
        .assert_problem(409, "job_state");

    let boss = sign_in(&app, "boss");
    assert_eq!(sources(&boss.get("/api/v1/jobs")), ["", "open.txt"]);
    assert_eq!(boss.get(&secret).json()["source"], "");
    boss.send("POST", &format!("{secret}/cancel"), None)
        .assert_problem(409, "job_state");
    assert_eq!(
        sources(&app.client.get("/api/v1/jobs")),
        ["open.txt", "secret.txt"]
    );
}

#[test]
fn keys_are_limited_rotated_revoked_and_expire() {
    let app = TestApp::start();
    let (user, id, key) = add_service(&app, "robot", "editor", json!({ "role": "reader" }));
    let robot = with_key(&app, &key);
    let me = robot.get("/api/v1/session").json();
    assert_eq!(
        (&me["name"], &me["kind"], &me["id"]),
        (&json!("robot"), &json!("service"), &json!(user))
    );
    assert_eq!(robot.get("/api/v1/collections").status, 200);
    // The service is an editor, this key is not.
    let refused = robot.post("/api/v1/collections", &json!({ "name": "c" }));
    refused.assert_problem(403, "forbidden");
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("API key")
    );
    let listed = app.client.get("/api/v1/api-keys?user=robot").json();
    assert!(listed["items"][0]["last_used_at"].is_string(), "{listed}");
    assert!(key.starts_with(listed["items"][0]["prefix"].as_str().unwrap()));
    assert!(!listed.to_string().contains(&key));

    // A key may replace itself, and make or see no other.
    let rotated = robot.post(&format!("/api/v1/api-keys/{id}/rotate"), &json!({}));
    assert_eq!(rotated.status, 200, "{rotated:?}");
    assert_eq!(robot.get("/api/v1/session").status, 401);
    let robot = with_key(&app, rotated.json()["key"].as_str().unwrap());
    assert_eq!(robot.get("/api/v1/session").status, 200);
    robot
        .post("/api/v1/api-keys", &json!({ "name": "more" }))
        .assert_problem(403, "forbidden");
    let (_, other, _) = add_service(&app, "other", "reader", json!({}));
    let path = format!("/api/v1/api-keys/{other}");
    robot.delete(&path).assert_problem(404, "unknown_api_key");

    assert_eq!(
        app.client.delete(&format!("/api/v1/api-keys/{id}")).status,
        204
    );
    assert_eq!(robot.get("/api/v1/session").status, 401);
    assert!(
        app.client.get("/api/v1/api-keys?user=robot").json()["items"][0]["revoked_at"].is_string()
    );

    let soon = jiff::Timestamp::now() + Duration::from_secs(2);
    let (_, _, short) = add_service(&app, "short", "reader", json!({ "expires_at": soon }));
    let short = with_key(&app, &short);
    assert_eq!(short.get("/api/v1/session").status, 200);
    while jiff::Timestamp::now() < soon {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(short.get("/api/v1/session").status, 401);
}

#[test]
fn nobody_makes_a_key_of_another_person() {
    let app = TestApp::start();
    let boss_id = add_user(&app, "boss", "admin", &[]);
    add_user(&app, "taro", "reader", &[]);
    add_service(&app, "robot", "reader", json!({}));
    let (boss, taro) = (sign_in(&app, "boss"), sign_in(&app, "taro"));
    let of = |user: &str| json!({ "name": "k", "user": user });
    boss.post("/api/v1/api-keys", &of("taro"))
        .assert_problem(403, "forbidden");
    taro.post("/api/v1/api-keys", &of("boss"))
        .assert_problem(403, "forbidden");
    // Whether there is such a user is not told either.
    taro.post("/api/v1/api-keys", &of("nobody"))
        .assert_problem(403, "forbidden");
    assert_eq!(boss.post("/api/v1/api-keys", &of("robot")).status, 201);
    let made = taro.post("/api/v1/api-keys", &json!({ "name": "mine" }));
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["api_key"]["id"].as_str().unwrap().to_owned();
    boss.post(&format!("/api/v1/api-keys/{id}/rotate"), &json!({}))
        .assert_problem(403, "forbidden");
    assert_eq!(boss.delete(&format!("/api/v1/api-keys/{id}")).status, 204);
    // Nor does anybody lift themselves.
    let own = format!("/api/v1/users/{boss_id}");
    patch(&boss, &own, &json!({ "role": "editor" })).assert_problem(403, "forbidden");
    boss.delete(&own).assert_problem(403, "forbidden");
    // A key cannot change how its person signs in.
    let key = taro
        .post("/api/v1/api-keys", &json!({ "name": "again" }))
        .json();
    let program = with_key(&app, key["key"].as_str().unwrap());
    let change = json!({ "current": PASSWORD, "new": "another horse battery" });
    put(&program, "/api/v1/session/password", &change).assert_problem(403, "forbidden");
}

#[test]
fn a_key_of_some_collections_reaches_no_other() {
    let app = TestApp::start();
    let inside = put_document(
        &app,
        "inside",
        "in.txt",
        "the zeppelin inside",
        r#"["everyone"]"#,
    );
    let outside = put_document(
        &app,
        "outside",
        "out.txt",
        "the zeppelin outside",
        r#"["everyone"]"#,
    );
    let (_, _, key) = add_service(
        &app,
        "robot",
        "editor",
        json!({ "collections": ["inside"] }),
    );
    let robot = with_key(&app, &key);
    assert_eq!(sources(&robot.get("/api/v1/documents")), ["in.txt"]);
    let search = |body: &Value| robot.post("/api/v1/search", body);
    assert_eq!(
        sources(&search(&json!({ "query": "zeppelin" }))),
        ["in.txt"]
    );
    let elsewhere = json!({ "query": "zeppelin", "collections": ["inside", "outside"] });
    search(&elsewhere).assert_problem(404, "unknown_collection");
    let names = robot.get("/api/v1/collections").json();
    assert_eq!(names["items"].as_array().unwrap().len(), 1, "{names}");
    let ask = json!({ "question": "zeppelin?", "stream": false, "collections": ["outside"] });
    robot
        .post("/api/v1/ask", &ask)
        .assert_problem(404, "unknown_collection");

    let document = |upload: &Value| upload["document"]["id"].as_str().unwrap().to_owned();
    let job = |upload: &Value| upload["job"]["id"].as_str().unwrap().to_owned();
    let (reached, hidden) = (document(&inside), document(&outside));
    assert_eq!(
        robot
            .get(&format!("/api/v1/documents/{reached}/text"))
            .status,
        200
    );
    for path in ["", "/text", "/content", "/children"] {
        let path = format!("/api/v1/documents/{hidden}{path}");
        robot.get(&path).assert_problem(404, "unknown_document");
    }
    robot
        .delete(&format!("/api/v1/documents/{hidden}"))
        .assert_problem(404, "unknown_document");
    robot
        .get(&format!("/api/v1/jobs/{}", job(&outside)))
        .assert_problem(404, "unknown_job");
    assert_eq!(sources(&robot.get("/api/v1/jobs")), ["in.txt"]);
    for (method, path) in [
        ("GET", "/api/v1/collections/outside"),
        ("DELETE", "/api/v1/collections/outside"),
        ("GET", "/api/v1/collections/outside/quality"),
        ("GET", "/api/v1/collections/outside/documents/out.txt"),
        ("DELETE", "/api/v1/collections/outside/documents/out.txt"),
    ] {
        robot
            .send(method, path, None)
            .assert_problem(404, "unknown_collection");
    }
    let upload = robot.upload("outside", "new.txt", b"words");
    upload.assert_problem(404, "unknown_collection");
    robot
        .post("/api/v1/collections", &json!({ "name": "c" }))
        .assert_problem(403, "forbidden");
    assert_eq!(app.search("zeppelin").len(), 2);
}

#[test]
fn a_second_factor_is_asked_for_once_enrolled() {
    let app = TestApp::start();
    add_user(&app, "taro", "reader", &[]);
    let page = sign_in(&app, "taro");
    let wrong = page.post(
        "/api/v1/session/totp",
        &json!({ "password": "wrong guess" }),
    );
    wrong.assert_problem(401, "invalid_credentials");
    let enrolled = page.post("/api/v1/session/totp", &json!({ "password": PASSWORD }));
    assert_eq!(enrolled.status, 201, "{enrolled:?}");
    let secret = enrolled.json()["secret"].as_str().unwrap().to_owned();
    let totp = totp_rs::Builder::new()
        .with_secret(totp_rs::Secret::try_from_base32(&secret).unwrap())
        .build()
        .unwrap();
    let confirm = |code: &str| page.post("/api/v1/session/totp/confirm", &json!({ "code": code }));
    confirm("000").assert_problem(400, "invalid_request");
    sign_in(&app, "taro");
    let confirmed = confirm(&totp.generate_current().to_string());
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    let recovery = confirmed.json()["recovery_codes"][0]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(page.get("/api/v1/session").json()["has_totp"], true);

    let attempt = |code: Option<&str>| {
        sign_in_with(
            &app,
            &json!({ "name": "taro", "password": PASSWORD, "totp": code }),
        )
    };
    attempt(None).assert_problem(401, "code_required");
    attempt(Some("no-code")).assert_problem(401, "invalid_credentials");
    assert_eq!(attempt(Some(&recovery)).status, 200);
    attempt(Some(&recovery)).assert_problem(401, "invalid_credentials");
    // Who has lost all of it asks an administrator.
    assert_eq!(app.client.delete("/api/v1/users/taro/totp").status, 204);
    assert_eq!(attempt(None).status, 200);
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
