//! Rerankers as a whole: the real binary with tiny checkpoints installed as local models, and the endpoint for Cohere's
//! clients.

use kura_models::fake::FakeReranker;
use kura_tests::{Kura, TestApp, fake_models, fixture, models_dir};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What transformers says of the tiny checkpoints; see `models/tests/data/rerankers/make.py`.
#[derive(Deserialize)]
struct Scores {
    max_tokens: usize,
    texts: Vec<String>,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    query: String,
    logits: Vec<f64>,
}

fn checkpoints() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data/rerankers")
}

fn scores(name: &str) -> Scores {
    let text = fs_err::read_to_string(checkpoints().join(name).join("scores.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The binary with a models folder of its own: an embedder and the tiny checkpoint, imported as anyone would.
fn with_reranker(name: &str, architecture: &str) -> Kura {
    let kura = Kura::new();
    let models = kura.path("models");
    fs_err::create_dir(&models).unwrap();
    let embedder = "all-minilm-l6-v2";
    fs_err::os::unix::fs::symlink(models_dir().join(embedder), models.join(embedder)).unwrap();
    let entry = format!(
        r#"
        [[model]]
        id = "{name}"
        description = "random weights"
        license = "MIT"
        upstream = "none"
        languages = []
        architecture = "{architecture}"
        max_tokens = {}
        kind = "reranker"
        files = [{{ name = "config.json" }}, {{ name = "model.safetensors" }}, {{ name = "tokenizer.json" }}]
        sources = []
        "#,
        scores(name).max_tokens
    );
    kura.write("models/registry.toml", entry);
    let kura = kura
        .env("KURA__MODELS__DIR", &models.display().to_string())
        .env("KURA__MODELS__RERANKER", name)
        .env("KURA__RETRIEVAL__LATE_BUDGET_MS", "60000")
        .env("KURA__RETRIEVAL__RERANK_BUDGET_MS", "60000");
    let missing = kura.run(["search", "anything"]);
    missing.assert_fails(1, &[name, "kura models pull"]);
    let folder = checkpoints().join(name).display().to_string();
    kura.run(["models", "import", &folder]).assert_fails(0, &[]);
    kura
}

fn sources(items: &Value, key: &str) -> Vec<String> {
    let items = items.as_array().unwrap();
    items
        .iter()
        .map(|item| item[key].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_local_reranker_orders_searches_and_every_command_knows_it() {
    let kura = with_reranker("bert", "bert");
    let mut scores = scores("bert");
    for (n, text) in scores.texts.drain(..).enumerate() {
        kura.write(&format!("notes/{n}.txt"), text);
    }
    let notes = kura.path("notes").display().to_string();
    kura.run(["ingest", &notes, "--collection", "c"])
        .assert_fails(0, &[]);
    let query = scores.items[0].query.as_str();

    let found = kura.run(["search", query, "--json"]);
    found.assert_fails(0, &[]);
    let found = found.json();
    assert_eq!(found["dropped"], json!([]));
    assert!(found["timings_ms"]["cross_encoder"].as_f64().unwrap() > 0.0);
    let items = found["items"].as_array().unwrap();
    let relevance: Vec<f64> = items
        .iter()
        .map(|hit| hit["rerank_score"].as_f64().unwrap())
        .collect();
    assert!(
        items.len() >= 5 && relevance.is_sorted_by(|a, b| a >= b),
        "{found}"
    );

    // Out of time, it is left out, and the search and the log say so.
    let hurried = kura
        .command_at(&kura.path("data"), ["search", query, "--json"])
        .env("KURA__RETRIEVAL__RERANK_BUDGET_MS", "0")
        .output()
        .unwrap();
    let plain: Value = serde_json::from_slice(&hurried.stdout).unwrap();
    assert_eq!(plain["dropped"], json!(["cross_encoder"]));
    assert_eq!(plain["items"][0]["rerank_score"], Value::Null);
    assert!(String::from_utf8_lossy(&hurried.stderr).contains("retrieval.rerank_budget_ms"));
    assert_ne!(
        sources(&plain["items"], "source"),
        sources(&found["items"], "source")
    );

    // A document that it puts out of the hits is told why.
    let explained = kura.run(["explain", query, "--json"]).json();
    assert_eq!(explained["reranker"], "bert");
    let candidates = explained["candidates"].as_array().unwrap();
    let place = |hit: &Value, key: &str| hit[key].as_u64().unwrap();
    let put_down = candidates
        .iter()
        .find(|hit| place(hit, "rank_without_reranker") < place(hit, "rank"))
        .unwrap();
    let limit = place(put_down, "rank_without_reranker").to_string();
    let id = put_down["document"].as_str().unwrap();
    let args = [
        "explain",
        query,
        "--document",
        id,
        "--limit",
        &limit,
        "--json",
    ];
    let told = kura.run(args).json()["document"].clone();
    assert_eq!(told["cause"], "cross_encoder", "{told}");
    assert!(
        told["reason"]
            .as_str()
            .unwrap()
            .contains("the reranker put it")
    );

    let listed = kura.run(["models", "list", "--json"]).json();
    let listed = listed["items"].as_array().unwrap();
    let listed = listed.iter().find(|model| model["id"] == "bert").unwrap();
    assert_eq!(
        (&listed["kind"], &listed["configured"]),
        (&json!("reranker"), &json!(true))
    );
    let check = |kura: &Kura| {
        let report = kura.run(["doctor", "--json"]).json();
        let checks = report["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["name"] == "reranker")
            .unwrap()
            .clone()
    };
    assert_eq!(check(&kura)["status"], "ok");
    let kura = kura.env("KURA__MODELS__RERANKER", "all-minilm-l6-v2");
    assert_eq!(check(&kura)["status"], "failed");
    assert!(
        check(&kura)["detail"]
            .as_str()
            .unwrap()
            .contains("an embedder, not a reranker")
    );
    kura.run(["search", query])
        .assert_fails(1, &["an embedder, not a reranker"]);
    let kura = kura.env("KURA__MODELS__RERANKER", "");
    assert_eq!(check(&kura)["detail"], "none configured");
    let without = kura.run(["search", query, "--json"]).json();
    assert_eq!(
        sources(&without["items"], "source"),
        sources(&plain["items"], "source")
    );
}

#[test]
fn an_evaluation_has_the_reranker_as_its_last_stage_unless_told_otherwise() {
    let kura = with_reranker("modern_bert", "modern_bert");
    let set = fixture("eval").display().to_string();
    let runs = kura.path("runs");
    let measure = |more: &[&str]| {
        let args = ["eval", "retrieval", "--dataset", &set, "--json"];
        let output = kura.run(args.iter().chain(more));
        output.assert_fails(0, &[]);
        output.json()
    };
    let stages = |summary: &Value| sources(&summary["stages"], "name");
    let with = measure(&["--runs", runs.to_str().unwrap(), "--rerank-candidates", "5"]);
    assert_eq!(
        stages(&with),
        ["dense", "lexical", "hybrid", "reranked", "cross_encoder"]
    );
    let model = &with["provenance"]["models"][1];
    assert_eq!(
        (&model["role"], &model["id"]),
        (&json!("reranker"), &json!("modern_bert"))
    );
    assert_eq!(model["sha256"].as_str().unwrap().len(), 64);
    // What it did not read is still there, below.
    let run = fs_err::read_to_string(runs.join("cross_encoder.run")).unwrap();
    let all = fs_err::read_to_string(runs.join("reranked.run")).unwrap();
    assert_eq!(run.lines().count(), all.lines().count());
    let mut last: Option<(String, f64)> = None;
    for line in run.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let score: f64 = fields[4].parse().unwrap();
        if let Some((query, above)) = &last {
            assert!(query != fields[0] || *above >= score, "{line}");
        }
        last = Some((fields[0].to_owned(), score));
    }
    // Random weights order at random, which the comparison must notice.
    let ndcg = |summary: &Value, at: usize| {
        summary["stages"][at]["metrics"]["ndcg@10"]["mean"]
            .as_f64()
            .unwrap()
    };
    assert!(ndcg(&with, 4) < ndcg(&with, 3), "{with}");

    let without = measure(&["--rerank-candidates", "0"]);
    assert_eq!(stages(&without), ["dense", "lexical", "hybrid", "reranked"]);
    assert_eq!(without["provenance"]["models"].as_array().unwrap().len(), 1);
    let id = |summary: &Value| summary["id"].as_str().unwrap().to_owned();
    let compared = kura.run([
        "eval",
        "compare",
        &id(&without),
        &id(&with),
        "--fail-on",
        "ndcg@10:-0.02",
    ]);
    assert_eq!(compared.code, 1, "{compared:?}");
}

#[test]
fn the_server_scores_like_transformers_through_the_rerank_endpoint() {
    let kura = with_reranker("qwen3", "qwen3");
    let scores = scores("qwen3");
    let server = kura.serve();
    for item in &scores.items {
        let body = json!({ "model": "qwen3", "query": item.query, "documents": scores.texts });
        let reply = server.client.post("/v2/rerank", &body);
        assert_eq!(reply.status, 200, "{reply:?}");
        let reply = reply.json();
        assert_eq!(
            (&reply["model"], &reply["meta"]["method"]),
            (&json!("qwen3"), &json!("cross_encoder"))
        );
        let results = reply["results"].as_array().unwrap();
        assert_eq!(results.len(), scores.texts.len());
        for result in results {
            let index = usize::try_from(result["index"].as_u64().unwrap()).unwrap();
            let expected = 1.0 / (1.0 + (-item.logits[index]).exp());
            let score = result["relevance_score"].as_f64().unwrap();
            assert!(
                (score - expected).abs() < 1e-3,
                "{index}: {score}, not {expected}"
            );
        }
    }
    let models = server.client.get("/v1/models").json();
    assert!(sources(&models["data"], "id").contains(&"qwen3".to_owned()));
    assert!(server.stop());
}

const DOCUMENTS: [&str; 3] = [
    "The backup runs at night.",
    "Annual leave is twenty days.",
    "Leave the building.",
];

#[test]
fn the_rerank_endpoint_speaks_coheres_protocol() {
    let mut models = fake_models(&[]);
    models.reranker = Some(Arc::new(FakeReranker::new(|query, text| {
        Some(if text.contains(query) {
            3.0
        } else {
            -(text.len() as f32)
        })
    })));
    let app = TestApp::with(models, |_| ());
    let rerank = |path: &str, body: Value| {
        let reply = app.client.post(path, &body);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    };
    let all = rerank(
        "/v1/rerank",
        json!({ "query": "leave is", "documents": DOCUMENTS }),
    );
    let order: Vec<u64> = all["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["index"].as_u64().unwrap())
        .collect();
    assert_eq!(order, [1, 2, 0]);
    assert!((all["results"][0]["relevance_score"].as_f64().unwrap() - 0.952_574).abs() < 1e-5);
    assert_eq!(all["results"][0].get("document"), None);
    assert_eq!(
        all["meta"],
        json!({ "api_version": { "version": "1" }, "method": "cross_encoder" })
    );
    assert_eq!(all["model"], "fake-reranker");

    let objects: Vec<Value> = DOCUMENTS
        .iter()
        .map(|text| json!({ "text": text, "id": 7 }))
        .collect();
    let body = json!({ "model": "fake-reranker", "query": "leave is", "documents": objects, "top_n": 2, "return_documents": true });
    let two = rerank("/v2/rerank", body);
    assert_eq!(two["results"].as_array().unwrap().len(), 2);
    assert_eq!(two["results"][0]["document"]["text"], DOCUMENTS[1]);
    assert_eq!(two["meta"]["api_version"]["version"], "2");

    for (body, status, code) in [
        (
            json!({ "query": " ", "documents": DOCUMENTS }),
            400,
            "invalid_request",
        ),
        (
            json!({ "query": "a", "documents": [] }),
            400,
            "invalid_request",
        ),
        (
            json!({ "query": "a", "documents": DOCUMENTS, "top_n": 0 }),
            400,
            "invalid_request",
        ),
        (
            json!({ "query": "a", "documents": [{ "body": "x" }] }),
            400,
            "invalid_request",
        ),
        (
            json!({ "query": "a", "documents": DOCUMENTS, "rank_fields": ["title"] }),
            400,
            "invalid_request",
        ),
        (
            json!({ "query": "a", "documents": DOCUMENTS, "model": "rerank-v3.5" }),
            404,
            "unknown_model",
        ),
    ] {
        for path in ["/v1/rerank", "/v2/rerank"] {
            let reply = app.client.post(path, &body);
            let error = &reply.json()["error"];
            assert_eq!(
                (reply.status, error["code"].as_str()),
                (status, Some(code)),
                "{body}: {reply:?}"
            );
        }
    }
    let anonymous = app.anonymous().post(
        "/v2/rerank",
        &json!({ "query": "a", "documents": DOCUMENTS }),
    );
    assert_eq!(anonymous.status, 401);
}

#[test]
fn without_a_reranker_the_endpoint_compares_tokens_and_says_so() {
    let app = TestApp::start();
    let body = json!({ "query": "days of annual leave", "documents": DOCUMENTS });
    let reply = app.client.post("/v2/rerank", &body).json();
    assert_eq!(reply["meta"]["method"], "late_interaction");
    assert_eq!(reply["model"], "fake-embedder");
    assert_eq!(reply["results"][0]["index"], 1);
    for result in reply["results"].as_array().unwrap() {
        assert!((0.0..=1.0).contains(&result["relevance_score"].as_f64().unwrap()));
    }
}

#[test]
fn a_reranker_that_fails_is_no_empty_and_no_other_result() {
    let mut models = fake_models(&[]);
    models.reranker = Some(Arc::new(FakeReranker::new(|_, _| None)));
    let app = TestApp::with(models, |_| ());
    app.client
        .post("/api/v1/collections", &json!({ "name": "notes" }));
    app.add("notes", "leave.md", b"Annual leave is twenty days.");
    let reply = app
        .client
        .post("/api/v1/search", &json!({ "query": "annual leave" }));
    assert_eq!(
        (reply.status, reply.json()["code"].as_str()),
        (500, Some("internal"))
    );
}
