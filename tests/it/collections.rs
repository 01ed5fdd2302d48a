use kura_tests::TestApp;
use serde_json::json;

#[test]
fn collections_come_and_go() {
    let app = TestApp::start();
    let created = app
        .client
        .post("/api/v1/collections", &json!({ "name": "handbook" }));
    assert_eq!(created.status, 201);
    assert_eq!(created.json()["name"], "handbook");
    assert_eq!(created.json()["n_documents"], 0);
    app.client
        .post("/api/v1/collections", &json!({ "name": "handbook" }))
        .assert_problem(409, "collection_exists");

    app.add(
        "handbook",
        "one.md",
        b"# Leave\n\nEmployees get twenty days of paid leave.",
    );
    let collection = app.client.get("/api/v1/collections/handbook").json();
    assert_eq!(
        (&collection["n_documents"], &collection["n_chunks"]),
        (&json!(1), &json!(1))
    );

    assert_eq!(
        app.client.delete("/api/v1/collections/handbook").status,
        204
    );
    app.client
        .get("/api/v1/collections/handbook")
        .assert_problem(404, "unknown_collection");
    app.client
        .delete("/api/v1/collections/handbook")
        .assert_problem(404, "unknown_collection");
    assert_eq!(app.search("paid leave"), Vec::<serde_json::Value>::new());
}

#[test]
fn names_are_checked() {
    let app = TestApp::start();
    for name in ["", "a/b", "a b", &"x".repeat(65)] {
        app.client
            .post("/api/v1/collections", &json!({ "name": name }))
            .assert_problem(400, "invalid_request");
    }
}

#[test]
fn lists_go_on_where_they_stopped() {
    let app = TestApp::start();
    for name in ["c", "a", "b"] {
        app.client
            .post("/api/v1/collections", &json!({ "name": name }));
    }
    let mut names = Vec::new();
    let mut path = "/api/v1/collections?limit=2".to_owned();
    loop {
        let page = app.client.get(&path).json();
        for item in page["items"].as_array().unwrap() {
            names.push(item["name"].as_str().unwrap().to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/collections?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c"]);
    for limit in ["0", "201", "x"] {
        app.client
            .get(&format!("/api/v1/collections?limit={limit}"))
            .assert_problem(400, "invalid_request");
    }
}
