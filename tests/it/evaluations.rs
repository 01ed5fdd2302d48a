//! `/api/v1/evaluations`

use kura_models::fake::FakeEmbedder;
use kura_models::{Embedder, Embedding, ModelSpec};
use kura_tests::{TestApp, fake_models};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATH: &str = "/api/v1/evaluations";

/// Two documents that have no word in common.
fn app() -> TestApp {
    let app = TestApp::start();
    fill(&app);
    app
}

fn fill(app: &TestApp) {
    app.add(
        "hr",
        "leave.txt",
        b"Employees take twenty days of paid leave",
    );
    app.add("hr", "toner.txt", b"Printer toner is kept in room 204");
}

fn request() -> Value {
    json!({
        "name": "two questions",
        "collection": "hr",
        "queries": [
            { "id": "q1", "text": "paid leave", "relevant": { "leave.txt": 1 } },
            { "text": "printer toner", "relevant": { "toner.txt": 2 } },
        ],
    })
}

/// Starts an evaluation and waits until it is over; returns the record.
fn evaluate(app: &TestApp, request: &Value) -> Value {
    let reply = app.client.post(PATH, request);
    assert_eq!(reply.status, 202, "{reply:?}");
    let started = reply.json();
    assert_eq!(started["state"], "running");
    wait(app, started["id"].as_str().unwrap())
}

fn wait(app: &TestApp, id: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let record = get(app, id);
        if record["state"] != "running" {
            return record;
        }
        assert!(Instant::now() < deadline, "it does not end: {record}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn get(app: &TestApp, id: &str) -> Value {
    let reply = app.client.get(&format!("{PATH}/{id}"));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

#[test]
fn a_collection_is_evaluated_in_the_background() {
    let app = app();
    let record = evaluate(&app, &request());
    assert_eq!(record["state"], "done", "{record}");
    assert_eq!(record["progress"], 1.0);
    assert_eq!(record["name"], "two questions");
    assert_eq!(record["dataset"]["collection"], "hr");
    assert_eq!(record["dataset"]["documents"], 2);
    let hybrid = record["stages"].as_array().unwrap().last().unwrap();
    assert_eq!(hybrid["metrics"]["ndcg@10"]["mean"], 1.0, "{record}");
    let rows = record["queries"].as_array().unwrap();
    assert_eq!(
        (&rows[0]["id"], &rows[1]["id"]),
        (&json!("q1"), &json!("2"))
    );
    assert_eq!(rows[0]["stages"][1]["ranking"][0]["document"], "leave.txt");

    // It is stored: the file is there, for its owner only, and the list has it.
    let id = record["id"].as_str().unwrap();
    let path = app
        .app
        .config
        .data_dir
        .join(format!("evaluations/{id}.json"));
    let stored: Value = serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap();
    assert_eq!(stored, record);
    let list = app.client.get(PATH).json();
    assert_eq!(list["items"][0]["id"], record["id"]);
    assert_eq!(list["items"][0].get("queries"), None, "a list has no rows");
}

#[test]
fn documents_are_named_by_source_or_id() {
    let app = app();
    let documents = app.client.get("/api/v1/documents?collection=hr").json();
    let id = documents["items"][0]["id"].as_str().unwrap().to_owned();
    let source = documents["items"][0]["source"].as_str().unwrap().to_owned();
    let mut body = request();
    body["queries"] = json!([
        { "text": "paid leave", "relevant": { &id: 1, "gone.txt": 1 } },
    ]);
    let record = evaluate(&app, &body);
    let relevant = record["queries"][0]["relevant"].as_object().unwrap();
    assert!(relevant.contains_key(&source), "{record}");
    assert_eq!(record["warnings"].as_array().unwrap().len(), 1, "{record}");
    let dense = &record["stages"][0]["metrics"];
    assert_eq!(
        dense["recall@10"]["mean"], 0.5,
        "what is not there counts as not found"
    );
}

#[test]
fn settings_can_be_overridden_and_compared() {
    let app = app();
    let base = evaluate(&app, &request());
    let mut body = request();
    body["retrieval"] =
        json!({ "candidates": 1, "rrf_k": 10, "lexical_weight": 0.5, "bm25_b": 0.5 });
    let candidate = evaluate(&app, &body);
    let retrieval = &candidate["provenance"]["config"]["retrieval"];
    assert_eq!(retrieval["candidates"], 1);
    assert_eq!(retrieval["lexical_weight"], 0.5);
    assert_eq!(retrieval["bm25_b"], 0.5);
    let hybrid = &candidate["queries"][0]["stages"][2]["ranking"];
    assert!(
        hybrid.as_array().unwrap().len() <= 2,
        "one candidate of each leg: {hybrid}"
    );

    let ids = |a: &Value, b: &Value| {
        let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
        format!("{PATH}/compare?base={}&candidate={}", id(a), id(b))
    };
    let found = app.client.get(&ids(&base, &candidate)).json();
    assert_eq!(found["queries"], 2);
    assert_eq!(found["metrics"][0]["p_value"], 1.0);
    assert_eq!(found["provenance"].as_array().unwrap().len(), 4, "{found}");
    let of_dense = format!("{}&stage=dense", ids(&base, &candidate));
    assert_eq!(app.client.get(&of_dense).json()["base"]["stage"], "dense");
    let unknown = format!("{}&stage=psychic", ids(&base, &candidate));
    app.client
        .get(&unknown)
        .assert_problem(400, "invalid_request");

    body["queries"].as_array_mut().unwrap().pop();
    let other_set = evaluate(&app, &body);
    app.client
        .get(&ids(&base, &other_set))
        .assert_problem(400, "invalid_request");
}

#[test]
fn a_report_is_a_page_that_may_not_run_anything() {
    let app = app();
    let mut body = request();
    body["name"] = json!("<script>alert(1)</script>");
    body["queries"][0]["text"] = json!("paid <script>alert(2)</script>");
    body["queries"][0]["relevant"] = json!({ "toner.txt": 1 });
    let record = evaluate(&app, &body);
    let id = record["id"].as_str().unwrap();
    let reply = app.client.get(&format!("{PATH}/{id}/report"));
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"));
    let page = String::from_utf8(reply.body).unwrap();
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("paid &lt;script&gt;"), "{page}");
}

#[test]
fn pages_follow_one_another_and_deleted_is_gone() {
    let app = app();
    let ids: Vec<String> = (0..3)
        .map(|_| {
            evaluate(&app, &request())["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let first = app.client.get(&format!("{PATH}?limit=2")).json();
    assert_eq!(first["items"][0]["id"], ids[2].as_str());
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = app
        .client
        .get(&format!("{PATH}?limit=2&cursor={cursor}"))
        .json();
    assert_eq!(second["items"][0]["id"], ids[0].as_str());
    assert_eq!(second["next_cursor"], Value::Null);
    app.client
        .get(&format!("{PATH}?cursor=x"))
        .assert_problem(400, "invalid_request");

    let path = format!("{PATH}/{}", ids[0]);
    assert_eq!(app.client.delete(&path).status, 204);
    for reply in [
        app.client.delete(&path),
        app.client.get(&path),
        app.client.get(&format!("{path}/report")),
        app.client.get(&format!("{PATH}/no-uuid")),
    ] {
        reply.assert_problem(404, "unknown_evaluation");
    }
}

#[test]
fn everything_needs_a_key() {
    let app = app();
    let id = evaluate(&app, &request())["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let stranger = app.anonymous();
    for reply in [
        stranger.get(PATH),
        stranger.post(PATH, &request()),
        stranger.get(&format!("{PATH}/{id}")),
        stranger.get(&format!("{PATH}/{id}/report")),
        stranger.get(&format!("{PATH}/compare?base={id}&candidate={id}")),
        stranger.delete(&format!("{PATH}/{id}")),
    ] {
        reply.assert_problem(401, "unauthorized");
    }
    assert_eq!(get(&app, &id)["id"], id.as_str());
}

#[test]
fn a_request_that_cannot_be_run_is_refused_with_the_reason() {
    let app = app();
    let refuse = |change: &dyn Fn(&mut Value), status: u16, code: &str, word: &str| {
        let mut body = request();
        change(&mut body);
        let reply = app.client.post(PATH, &body);
        reply.assert_problem(status, code);
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(word), "{detail}");
    };
    let invalid = |change: &dyn Fn(&mut Value), word: &str| {
        refuse(change, 400, "invalid_request", word);
    };
    invalid(&|body| body["queries"] = json!([]), "1 to 10000");
    invalid(&|body| body["queries"][1]["id"] = json!("q1"), "twice");
    invalid(&|body| body["queries"][0]["text"] = json!(" "), "`text`");
    invalid(&|body| body["queries"][0]["relevant"] = json!({}), "`q1`");
    invalid(
        &|body| body["queries"][0]["relevant"] = json!({ "leave.txt": 0 }),
        "above 0",
    );
    invalid(
        &|body| {
            for query in body["queries"].as_array_mut().unwrap() {
                query["relevant"] = json!({ "absent.txt": 1 });
            }
        },
        "none of the 2 documents",
    );
    invalid(&|body| body["name"] = json!(""), "`name`");
    invalid(
        &|body| body["retrieval"] = json!({ "candidates": 0 }),
        "1 to 1000",
    );
    invalid(&|body| body["retrieval"] = json!({ "rrf_k": -1 }), "rrf_k");
    invalid(
        &|body| body["retrieval"] = json!({ "dense_weight": 0, "lexical_weight": 0 }),
        "both 0",
    );
    invalid(
        &|body| body["retrieval"] = json!({ "bm25_b": 1.5 }),
        "bm25_b",
    );
    invalid(&|body| body["retrieval"] = json!({ "magic": 1 }), "magic");
    refuse(
        &|body| body["collection"] = json!("absent"),
        404,
        "unknown_collection",
        "absent",
    );
    let list = app.client.get(PATH).json();
    assert_eq!(list["items"], json!([]), "a refused request stores nothing");
}

/// An embedder that takes its time over queries.
struct Slow(FakeEmbedder);

#[async_trait::async_trait]
impl Embedder for Slow {
    fn spec(&self) -> &ModelSpec {
        self.0.spec()
    }

    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.0.count_tokens(text)
    }

    async fn embed_query(&self, text: &str) -> kura_models::Result<Embedding> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.0.embed_query(text).await
    }

    async fn embed_documents(&self, texts: &[String]) -> kura_models::Result<Vec<Embedding>> {
        self.0.embed_documents(texts).await
    }
}

#[test]
fn one_runs_at_a_time_and_a_running_one_can_be_deleted() {
    let mut models = fake_models(&[]);
    models.embedder = Arc::new(Slow(FakeEmbedder::new()));
    let app = TestApp::with(models, |_| ());
    fill(&app);
    let mut body = request();
    let query = |at: usize| json!({ "id": at.to_string(), "text": "toner", "relevant": { "toner.txt": 1 } });
    body["queries"] = (0..600).map(query).collect();
    let started = app.client.post(PATH, &body).json();
    let id = started["id"].as_str().unwrap();
    let second = app.client.post(PATH, &request());
    second.assert_problem(409, "evaluation_running");
    assert!(second.json()["detail"].as_str().unwrap().contains(id));

    // It says how far it is, and is not done.
    let deadline = Instant::now() + Duration::from_secs(30);
    let progress = loop {
        let record = get(&app, id);
        assert_eq!(record["state"], "running");
        let progress = record["progress"].as_f64().unwrap();
        if progress > 0.0 {
            break progress;
        }
        assert!(Instant::now() < deadline, "{record}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(progress < 1.0);
    app.client
        .get(&format!("{PATH}/compare?base={id}&candidate={id}"))
        .assert_problem(400, "invalid_request");

    assert_eq!(app.client.delete(&format!("{PATH}/{id}")).status, 204);
    app.client
        .get(&format!("{PATH}/{id}"))
        .assert_problem(404, "unknown_evaluation");
    // There is room for the next.
    assert_eq!(evaluate(&app, &request())["state"], "done");
}

#[test]
fn a_restart_fails_what_was_running() {
    use kura_tests::Kura;
    let kura = Kura::new().with_models();
    let server = kura.serve();
    let upload = server
        .client
        .upload("hr", "toner.txt", b"Printer toner is kept in room 204");
    let job = upload.json()["items"][0]["job"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.client.get(&format!("/api/v1/jobs/{job}")).json()["state"] != "done" {
        assert!(Instant::now() < deadline, "not indexed");
        std::thread::sleep(Duration::from_millis(50));
    }
    let query = |at: usize| json!({ "id": at.to_string(), "text": "toner", "relevant": { "toner.txt": 1 } });
    let body = json!({ "name": "long", "collection": "hr", "queries": (0..10_000).map(query).collect::<Vec<_>>() });
    let started = server.client.post(PATH, &body);
    assert_eq!(started.status, 202, "{started:?}");
    let id = started.json()["id"].as_str().unwrap().to_owned();
    server.kill();

    let server = kura.serve();
    let record = server.client.get(&format!("{PATH}/{id}")).json();
    assert_eq!(record["state"], "failed", "{record}");
    let reason = record["error"].as_str().unwrap();
    assert!(reason.starts_with("interrupted"), "{reason}");
    assert!(record["finished_at"].is_string());
    // A failed one does not stand in the way of the next.
    let mut body = body;
    body["max_queries"] = json!(2);
    let next = server.client.post(PATH, &body);
    assert_eq!(next.status, 202, "{next:?}");
    assert_eq!(next.json()["dataset"]["asked"], 2);
}
