//! What roles and groups may.

use super::{PASSWORD, add_user, put, put_document, sign_in, sources};
use kura::auth::permission;
use kura::identity::Role;
use kura_tests::{Client, TestApp};
use serde_json::{Value, json};

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
