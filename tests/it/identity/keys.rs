//! API keys.

use super::{PASSWORD, add_service, add_user, patch, put, put_document, sign_in, sources};
use kura_tests::{Client, TestApp};
use serde_json::{Value, json};
use std::time::Duration;

fn with_key(app: &TestApp, key: &str) -> Client {
    Client::new(app.client.url(), Some(key))
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
