use kura_tests::{Client, TestApp};

/// Every guarded operation, with its path's parameters filled in.
fn operations() -> Vec<(String, String)> {
    let document = serde_json::to_value(kura::router::openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let path = path
                .replace("{id}", "00000000-0000-4000-8000-000000000000")
                .replace("{name}", "x");
            operations.push((method.to_uppercase(), path));
        }
    }
    operations
}

#[test]
fn every_route_but_health_needs_a_key() {
    let app = TestApp::start();
    let clients = [
        app.anonymous(),
        Client::new(app.client.url(), Some("kura_wrong")),
        Client::new(app.client.url(), Some("")),
    ];
    let operations = operations();
    assert!(operations.len() > 20, "{operations:?}");
    for (method, path) in operations {
        for client in &clients {
            if (method.as_str(), path.as_str()) == ("POST", "/api/v1/session") {
                // How one gets in; `identity.rs` tries it.
                continue;
            }
            if path.starts_with("/api/v1/session/oidc") {
                // The other way in; `oidc.rs` tries it.
                continue;
            }
            let reply = client.send(&method, &path, None);
            if ["/healthz", "/readyz"].contains(&path.as_str()) {
                assert_eq!(reply.status, 200, "{method} {path}");
                continue;
            }
            assert_eq!(reply.status, 401, "{method} {path}");
            assert!(
                reply
                    .header("www-authenticate")
                    .unwrap()
                    .starts_with("Bearer")
            );
            if path.starts_with("/v1/") || path.starts_with("/v2/") {
                assert_eq!(
                    reply.json()["error"]["code"],
                    "unauthorized",
                    "{method} {path}"
                );
            } else if path.starts_with("/scim/") {
                assert_eq!(reply.json()["status"], "401", "{method} {path}");
            } else {
                reply.assert_problem(401, "unauthorized");
            }
        }
    }
}

#[test]
fn the_key_is_refused_before_the_body_is_read() {
    let app = TestApp::start();
    // A body over the limit: with the key it is 413, without it 401. The client sends all of it before it reads either, and
    // that is more than the operating system keeps for the two.
    let body = vec![b'x'; 32 << 20];
    assert!(body.len() > app.app.config.server.body_max_bytes);
    let send = |client: &Client| {
        client.send(
            "POST",
            "/api/v1/search",
            Some(("application/json", body.clone())),
        )
    };
    assert_eq!(send(&app.anonymous()).status, 401);
    send(&app.client).assert_problem(413, "payload_too_large");
}

#[test]
fn the_key_opens_what_it_should() {
    let app = TestApp::start();
    assert_eq!(app.client.get("/api/v1/collections").status, 200);
    assert_eq!(app.client.get("/metrics").status, 200);
    assert_eq!(app.anonymous().get("/api/openapi.json").status, 200);
}
