use kura_tests::TestApp;
use serde_json::json;

#[test]
fn unknown_addresses_are_problems_not_pages() {
    let app = TestApp::start();
    for path in ["/api", "/api/v1/nothing", "/api/v2/search"] {
        app.client.get(path).assert_problem(404, "not_found");
        app.anonymous().get(path).assert_problem(404, "not_found");
    }
    let reply = app.client.get("/v1/nothing");
    assert_eq!(
        (reply.status, &reply.json()["error"]["code"]),
        (404, &json!("not_found"))
    );
    app.client
        .get("/assets/missing.js")
        .assert_problem(404, "not_found");
    // Anything else is the page, which finds its own way.
    let page = app.anonymous().get("/documents");
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
}

#[test]
fn wrong_methods_and_bodies_are_problems() {
    let app = TestApp::start();
    app.client
        .get("/api/v1/search")
        .assert_problem(405, "method_not_allowed");
    let post = |content_type, body: &str| {
        app.client
            .send("POST", "/api/v1/search", Some((content_type, body.into())))
    };
    post("application/json", "{").assert_problem(400, "invalid_request");
    post("text/plain", "{}").assert_problem(415, "unsupported_media_type");
    post("application/json", "{}").assert_problem(400, "invalid_request");
    for body in [
        json!({ "query": "x", "limit": 0 }),
        json!({ "query": "x", "limit": 101 }),
        json!({ "query": " " }),
        json!({ "query": "x".repeat(40_000) }),
        json!({ "query": "x", "unknown": 1 }),
        json!({ "query": 1 }),
    ] {
        app.client
            .post("/api/v1/search", &body)
            .assert_problem(400, "invalid_request");
    }
    app.client
        .post(
            "/api/v1/search",
            &json!({ "query": "x", "collections": ["nowhere"] }),
        )
        .assert_problem(404, "unknown_collection");
}

#[test]
fn no_collections_find_nothing() {
    let app = TestApp::start();
    app.add("handbook", "a.txt", b"Something to be found.");
    let found = |body| {
        app.client.post("/api/v1/search", &body).json()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(found(json!({ "query": "something" })), 1);
    assert_eq!(
        found(json!({ "query": "something", "collections": ["handbook"] })),
        1
    );
    assert_eq!(found(json!({ "query": "something", "collections": [] })), 0);
}

#[test]
fn every_answer_carries_the_security_headers() {
    let app = TestApp::start();
    for path in ["/", "/healthz", "/api/v1/collections", "/api/nothing"] {
        let reply = app.anonymous().get(path);
        let policy = reply.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(
            reply.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(
            reply.header("referrer-policy"),
            Some("no-referrer"),
            "{path}"
        );
        assert_eq!(
            reply.header("x-dns-prefetch-control"),
            Some("off"),
            "{path}"
        );
        assert!(reply.header("x-request-id").is_some(), "{path}");
    }
}

#[test]
fn too_many_requests_are_refused() {
    let app = TestApp::with(kura_tests::fake_models(&[]), |config| {
        config.server.max_concurrent_requests = 0
    });
    let reply = app.client.get("/api/v1/collections");
    reply.assert_problem(503, "overloaded");
    assert_eq!(reply.header("retry-after"), Some("1"));
}

#[test]
fn health_and_metrics_tell_what_happened() {
    let app = TestApp::start();
    assert_eq!(
        app.anonymous().get("/healthz").json(),
        json!({ "status": "ok" })
    );
    let ready = app.anonymous().get("/readyz");
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["checks"]["generator"], "ok");
    app.add("handbook", "a.txt", b"Something to be measured.");
    app.search("measured");
    let metrics = String::from_utf8(app.client.get("/metrics").body).unwrap();
    for name in [
        "kura_http_requests_total{method=\"POST\",route=\"/api/v1/search\",status=\"200\"}",
        "kura_search_duration_seconds_bucket{stage=\"dense\"",
        "kura_ingest_duration_seconds_count",
        "kura_jobs_total{state=\"done\"}",
        "kura_jobs{state=\"queued\"} 0",
        "kura_jobs_oldest_queued_seconds",
        "kura_ingest_stage_duration_seconds_bucket{stage=\"embed\"",
        "kura_ingest_chunks_total{vector=\"embedded\"}",
    ] {
        assert!(metrics.contains(name), "`{name}` is missing:\n{metrics}");
    }
}
