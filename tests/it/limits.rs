//! Rates and budgets of users and keys, fair shares, and what every response says to browsers.

use kura_models::fake::FakeEmbedder;
use kura_tests::{Client, Kura, Reply, SlowGenerator, TestApp, fake_models};
use serde_json::{Value, json};
use std::io::BufRead as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PASSWORD: &str = "correct horse battery";
const QUESTION: &str = "How many days of paid leave do employees get?";
const FACT: &[u8] = b"Employees get twenty days of paid leave.";

/// Makes a service with a key; returns the key and its id.
fn service(client: &Client, name: &str, limits: Value) -> (String, String) {
    let user = json!({ "kind": "service", "name": name });
    assert_eq!(client.post("/api/v1/users", &user).status, 201);
    key(client, name, limits)
}

fn key(client: &Client, user: &str, mut body: Value) -> (String, String) {
    body["name"] = "test".into();
    body["user"] = user.into();
    let made = client.post("/api/v1/api-keys", &body);
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["key"]), text(&made["api_key"]["id"]))
}

fn with_key(app: &TestApp, key: &str) -> Client {
    Client::new(app.client.url(), Some(key))
}

fn retry_after(reply: &Reply) -> u64 {
    reply.header("retry-after").unwrap().parse().unwrap()
}

fn metrics(app: &TestApp) -> String {
    String::from_utf8(app.client.get("/metrics").body).unwrap()
}

#[test]
fn a_key_that_asks_too_often_is_refused_and_nobody_else() {
    let app = TestApp::start();
    let (slow, _) = service(&app.client, "slow", json!({ "requests_per_minute": 3 }));
    let (other, _) = service(&app.client, "other", json!({}));
    let (slow, other) = (with_key(&app, &slow), with_key(&app, &other));
    let search = json!({ "query": "leave" });
    for remaining in [2, 1, 0] {
        let reply = slow.post("/api/v1/search", &search);
        assert_eq!(reply.status, 200, "{reply:?}");
        let policy = reply.header("ratelimit-policy");
        assert_eq!(policy, Some("\"requests\";q=3;w=60"));
        let left = format!("\"requests\";r={remaining}");
        assert_eq!(reply.header("ratelimit"), Some(left.as_str()));
    }
    let refused = slow.post("/api/v1/search", &search);
    refused.assert_problem(429, "rate_limited");
    assert!((1..=20).contains(&retry_after(&refused)), "{refused:?}");
    let refused = slow.get("/v1/models");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    for _ in 0..20 {
        assert_eq!(other.post("/api/v1/search", &search).status, 200);
        assert_eq!(slow.post("/api/v1/search", &search).status, 429);
    }
    let reason = "kura_requests_refused_total{reason=\"requests_per_minute\"}";
    assert!(metrics(&app).contains(reason));
    // A flood of refusals is one line in the log.
    let records = app.client.get("/api/v1/audit?limit=200").json();
    let records = records["items"].as_array().unwrap();
    let refused: Vec<&Value> = records
        .iter()
        .filter(|record| record["outcome"]["status"] == 429)
        .collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["name"], "slow");
}

#[test]
fn all_that_a_user_does_counts_together_and_the_operator_is_free() {
    let app = TestApp::with(fake_models(&[]), |config| {
        config.limits.requests_per_minute = 4;
        config.limits.answers_per_minute = 1;
    });
    let (first, _) = service(&app.client, "crm", json!({}));
    let (second, _) = key(&app.client, "crm", json!({}));
    let (granted, _) = key(&app.client, "crm", json!({ "requests_per_minute": 100 }));
    let ask = |client: &Client| {
        let body = json!({ "question": QUESTION, "stream": false });
        client.post("/api/v1/ask", &body).status
    };
    let (first, second) = (with_key(&app, &first), with_key(&app, &second));
    assert_eq!([ask(&first), ask(&second)], [200, 429]);
    let list = |client: &Client| client.get("/api/v1/collections").status;
    assert_eq!([list(&first), list(&second), list(&first)], [200, 200, 429]);
    // What an administrator gave a key beyond that is its own.
    let granted = with_key(&app, &granted);
    for _ in 0..10 {
        assert_eq!(list(&granted), 200);
        assert_eq!(list(&app.client), 200);
        assert_eq!(ask(&app.client), 200);
    }
}

#[test]
fn nobody_gives_himself_more_than_users_have() {
    let app = TestApp::with(fake_models(&[]), |config| {
        config.limits.requests_per_minute = 100;
    });
    let body = json!({ "name": "taro", "password": PASSWORD });
    assert_eq!(app.client.post("/api/v1/users", &body).status, 201);
    let session = app.anonymous().post("/api/v1/session", &body);
    let cookie = session.header("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let headers = [("cookie", cookie), ("sec-fetch-site", "same-origin")];
    let taro = app.anonymous().with_headers(&headers);
    let make = |limits: Value| {
        let mut body = limits;
        body["name"] = "script".into();
        taro.post("/api/v1/api-keys", &body)
    };
    make(json!({ "requests_per_minute": 101 })).assert_problem(403, "forbidden");
    assert_eq!(make(json!({ "requests_per_minute": 100 })).status, 201);
    // Users have no budget here, so that any is less.
    assert_eq!(make(json!({ "tokens_per_day": 1 })).status, 201);
    for wrong in [
        json!({ "requests_per_minute": 0 }),
        json!({ "tokens_per_day": -1 }),
        json!({ "tokens_per_day": u64::MAX }),
    ] {
        make(wrong).assert_problem(400, "invalid_request");
    }
}

#[test]
fn a_budget_of_tokens_is_spent_by_questions() {
    let app = TestApp::with(fake_models(&["Twenty days [1]."]), |config| {
        config.answer.min_support = 0.0;
    });
    app.add("handbook", "a.txt", FACT);
    let (one, id) = service(&app.client, "one", json!({ "tokens_per_day": 20 }));
    let (two, _) = service(&app.client, "two", json!({}));
    let (one, two) = (with_key(&app, &one), with_key(&app, &two));
    let ask = |client: &Client| {
        let body = json!({ "question": QUESTION, "stream": false });
        client.post("/api/v1/ask", &body)
    };
    let answer = ask(&one);
    assert_eq!(answer.status, 200, "{answer:?}");
    let usage = &answer.json()["usage"];
    let spent = usage["prompt_tokens"].as_u64().unwrap();
    let spent = spent + usage["completion_tokens"].as_u64().unwrap();
    assert!(spent >= 20, "{usage}");
    let refused = ask(&one);
    refused.assert_problem(429, "budget_spent");
    assert!((1..=86_401).contains(&retry_after(&refused)));
    assert_eq!(ask(&two).status, 200);
    // What costs no tokens goes on.
    assert_eq!(one.get("/api/v1/collections").status, 200);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let keys = app.client.get("/api/v1/api-keys?user=one").json();
        let known = &keys["items"][0];
        assert_eq!(known["id"], id.as_str());
        assert_eq!(known["tokens_per_day"], 20);
        if known["tokens_today"] == spent {
            break;
        }
        assert!(Instant::now() < deadline, "{known}, not {spent}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_answer_that_is_broken_off_is_paid_for() {
    let generator = Arc::new(SlowGenerator::default());
    let models = kura::app::Models {
        embedder: Arc::new(FakeEmbedder::new()),
        reranker: None,
        generator: Some(generator),
    };
    let app = TestApp::with(models, |config| {
        config.answer.min_support = 0.0;
        config.answer.context_tokens = 500;
    });
    app.add("handbook", "a.txt", FACT);
    let (one, _) = service(&app.client, "one", json!({ "tokens_per_day": 100 }));
    let one = with_key(&app, &one);
    let body = json!({ "question": QUESTION });
    let mut stream = one.open("/api/v1/ask", &body);
    let mut line = String::new();
    while !line.starts_with("event: delta") {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0);
    }
    drop(stream);
    let deadline = Instant::now() + Duration::from_secs(10);
    while one
        .post("/v1/embeddings", &json!({ "model": "kura", "input": "a" }))
        .status
        != 429
    {
        assert!(Instant::now() < deadline, "it cost nothing");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_was_spent_is_known_after_a_restart() {
    let kura = Kura::new().with_models();
    let server = kura.serve();
    let (one, _) = service(&server.client, "one", json!({ "tokens_per_day": 5 }));
    let embed = |url: &str| {
        let body = json!({ "model": "kura", "input": "Twenty days of paid leave a year." });
        Client::new(url, Some(&one)).post("/v1/embeddings", &body)
    };
    assert_eq!(embed(server.client.url()).status, 200);
    let refused = embed(server.client.url());
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "budget_spent");
    assert_eq!(refused.json()["error"]["type"], "insufficient_quota");
    assert!(server.stop());
    let listed = kura.run(["keys", "list", "one"]);
    assert!(listed.stdout.contains(" of 5 tokens today"), "{listed:?}");
    let server = kura.serve();
    assert_eq!(embed(server.client.url()).status, 429);
}

#[test]
fn one_users_questions_leave_room_for_another() {
    let models = || kura::app::Models {
        embedder: Arc::new(FakeEmbedder::new()),
        reranker: None,
        generator: Some(Arc::new(SlowGenerator::default())),
    };
    let app = TestApp::with(models(), |config| {
        config.answer.min_support = 0.0;
        config.limits.answers = 1;
        config.limits.answers_waiting = 1;
        config.limits.concurrent_per_user = 5;
    });
    app.add("handbook", "a.txt", FACT);
    let (many, _) = service(&app.client, "many", json!({}));
    let (few, _) = service(&app.client, "few", json!({}));
    let (many, few) = (with_key(&app, &many), with_key(&app, &few));
    let body = json!({ "question": QUESTION });
    let first = many.open("/api/v1/ask", &body);
    std::thread::scope(|scope| {
        // Waits, for there is room.
        let second = scope.spawn(|| drop(many.open("/api/v1/ask", &body)));
        std::thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        let refused = many.post("/api/v1/ask", &body);
        refused.assert_problem(503, "overloaded");
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert!(retry_after(&refused) >= 1);
        // There is no room, and yet the other one's question waits for the next place, which it gets.
        let other = scope.spawn(|| {
            let begun = Instant::now();
            drop(few.open("/api/v1/ask", &body));
            begun.elapsed()
        });
        std::thread::sleep(Duration::from_millis(500));
        assert!(!other.is_finished());
        drop(first);
        assert!(second.join().is_ok());
        assert!(other.join().unwrap() < Duration::from_secs(10));
    });
    // All places are free again.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !metrics(&app).contains("kura_pool_running{pool=\"answers\"} 0") {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_user_has_only_so_many_requests_at_the_same_time() {
    let models = kura::app::Models {
        embedder: Arc::new(FakeEmbedder::new()),
        reranker: None,
        generator: Some(Arc::new(SlowGenerator::default())),
    };
    let app = TestApp::with(models, |config| {
        config.answer.min_support = 0.0;
        config.limits.concurrent_per_user = 2;
    });
    app.add("handbook", "a.txt", FACT);
    let (one, _) = service(&app.client, "one", json!({}));
    let (two, _) = service(&app.client, "two", json!({}));
    let (one, two) = (with_key(&app, &one), with_key(&app, &two));
    let body = json!({ "question": QUESTION });
    let streams = [
        one.open("/api/v1/ask", &body),
        one.open("/api/v1/ask", &body),
    ];
    one.get("/api/v1/collections")
        .assert_problem(429, "rate_limited");
    assert_eq!(two.get("/api/v1/collections").status, 200);
    drop(streams);
    let deadline = Instant::now() + Duration::from_secs(10);
    while one.get("/api/v1/collections").status != 200 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn health_and_metrics_are_never_refused() {
    let app = TestApp::with(fake_models(&[]), |config| {
        config.server.max_concurrent_requests = 0;
        config.limits.requests_per_minute = 1;
    });
    app.client
        .get("/api/v1/collections")
        .assert_problem(503, "overloaded");
    for _ in 0..5 {
        assert_eq!(app.anonymous().get("/healthz").status, 200);
        assert_eq!(app.anonymous().get("/readyz").status, 200);
        assert_eq!(app.client.get("/metrics").status, 200);
    }
}

#[test]
fn requests_have_ids_that_can_be_logged() {
    let app = TestApp::start();
    let id_for = |given: &str| {
        let client = app.anonymous().with_headers(&[("x-request-id", given)]);
        let reply = client.get("/healthz");
        reply.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id_for("trace-7/a.b"), "trace-7/a.b");
    for bad in ["two words", "a\"b\"", &"x".repeat(129)] {
        let made = id_for(bad);
        assert!(uuid::Uuid::try_parse(&made).is_ok(), "{made}");
    }
    let first = app.anonymous().get("/healthz");
    let second = app.anonymous().get("/healthz");
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
}

#[test]
fn responses_are_closed_to_other_origins_and_to_caches() {
    let app = TestApp::start();
    for path in [
        "/",
        "/healthz",
        "/api/v1/collections",
        "/api/nothing",
        "/v1/models",
    ] {
        for client in [&app.client, &app.anonymous()] {
            let reply = client.get(path);
            let policy = reply.header("content-security-policy").unwrap();
            for part in [
                "default-src 'none'",
                "script-src 'self'",
                "frame-ancestors 'none'",
            ] {
                assert!(policy.contains(part), "{path}: {policy}");
            }
            assert!(
                !policy.contains("unsafe") && !policy.contains('*'),
                "{policy}"
            );
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(reply.header(name), Some(value), "{path}");
            }
            assert!(reply.header("permissions-policy").is_some());
            // Over plain HTTP browsers ignore it, and a proxy's policy is the proxy's.
            assert_eq!(reply.header("strict-transport-security"), None);
            if path.starts_with("/api/v1") || path.starts_with("/v1") {
                assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
            }
        }
    }
}

#[test]
fn other_origins_are_kept_out_unless_they_are_named() {
    let preflight = |app: &TestApp, origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,content-type",
            ),
        ];
        let client = app.anonymous().with_headers(&headers);
        let reply = client.send("OPTIONS", "/api/v1/search", None);
        let allowed = reply.header("access-control-allow-origin");
        (allowed.map(str::to_owned), reply)
    };
    let friend = "https://intranet.example";
    let closed = TestApp::start();
    let (allowed, reply) = preflight(&closed, friend);
    assert_eq!(allowed, None);
    let named = |(name, _): &(String, String)| name.starts_with("access-control-");
    assert!(!reply.headers.iter().any(named), "{reply:?}");

    let open = TestApp::with(fake_models(&[]), |config| {
        config.server.cors_origins = vec![friend.to_owned()];
    });
    let (allowed, reply) = preflight(&open, friend);
    assert_eq!(allowed.as_deref(), Some(friend));
    // Cookies are not for other origins.
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    assert_eq!(preflight(&open, "https://evil.example").0, None);
    assert_eq!(preflight(&open, "null").0, None);
    let key = format!("Bearer {}", open.key);
    let headers = [("origin", friend), ("authorization", key.as_str())];
    let reply = open
        .anonymous()
        .with_headers(&headers)
        .get("/api/v1/collections");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), Some(friend));
}

#[test]
fn the_address_that_a_proxy_names_counts_only_if_there_is_one() {
    let peer = |proxies| {
        let app = TestApp::with(fake_models(&[]), |config| config.auth.proxies = proxies);
        let forwarded = [
            ("x-forwarded-for", "198.51.100.66, 203.0.113.9"),
            ("x-real-ip", "198.51.100.67"),
            ("forwarded", "for=198.51.100.68"),
        ];
        let client = app.anonymous().with_headers(&forwarded);
        let body = json!({ "name": "nobody", "password": PASSWORD });
        assert_eq!(client.post("/api/v1/session", &body).status, 401);
        let records = app.client.get("/api/v1/audit?action=session.create").json();
        records["items"][0]["peer"].as_str().unwrap().to_owned()
    };
    assert_eq!(peer(0), "127.0.0.1");
    assert_eq!(peer(1), "203.0.113.9");
}

#[test]
fn the_admin_key_may_come_from_a_file_and_no_secret_is_logged() {
    let kura = Kura::new().with_models();
    let key = "an-admin-key-from-a-store-of-secrets-42";
    let file = kura.write("admin.key", format!("{key}\n"));
    kura.write("key", key);
    let kura = kura
        .env("KURA__AUTH__ADMIN_KEY_FILE", &file.display().to_string())
        .env("KURA__LOG__LEVEL", "trace");
    let server = kura.serve();
    assert_eq!(server.client.get("/api/v1/collections").status, 200);
    let body = json!({ "name": "taro", "password": PASSWORD });
    assert_eq!(server.client.post("/api/v1/users", &body).status, 201);
    let anonymous = Client::new(server.client.url(), None);
    let session = anonymous.post("/api/v1/session", &body);
    let cookie = session.header("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let taro = anonymous.with_headers(&[("cookie", cookie)]);
    assert_eq!(taro.get("/api/v1/session").status, 200);
    let (made, _) = service(&server.client, "crm", json!({}));
    let wrong = "kura_this-one-is-nobodys-key";
    let stranger = Client::new(server.client.url(), Some(wrong));
    assert_eq!(stranger.get("/api/v1/collections").status, 401);
    let run_file = fs_err::read_to_string(kura.path("data/run/server.json")).unwrap();
    let run_file: Value = serde_json::from_str(&run_file).unwrap();
    let token = run_file["token"].as_str().unwrap();
    assert_eq!(kura.run(["collections", "list"]).code, 0);
    let log = server.log();
    assert!(log.contains("TRACE"), "{log}");
    let (_, session) = cookie.split_once('=').unwrap();
    for secret in [key, PASSWORD, session, &made, wrong, token] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
