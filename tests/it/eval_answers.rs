//! `kura eval answers` and `kura eval grounding` with real models, on small sets of the project's own.

use kura_tests::{Kura, TestApp, fixture};
use serde_json::{Value, json};
use std::path::PathBuf;

fn kura() -> Kura {
    Kura::new()
        .with_models()
        .env("KURA__MODELS__EMBEDDER", "multilingual-e5-small")
}

/// Puts the documents of `fixtures/eval` and the questions of `fixtures/answers` into one folder.
fn data_set(kura: &Kura) -> PathBuf {
    let dir = kura.path("answers");
    fs_err::create_dir_all(&dir).unwrap();
    for (from, name) in [
        ("eval", "corpus.jsonl"),
        ("answers", "queries.jsonl"),
        ("answers", "qrels.tsv"),
    ] {
        fs_err::copy(fixture(from).join(name), dir.join(name)).unwrap();
    }
    dir
}

fn measure(kura: &Kura, more: &[&str]) -> Value {
    let set = data_set(kura).display().to_string();
    let elsewhere = fixture("answers")
        .join("elsewhere.jsonl")
        .display()
        .to_string();
    let args = ["eval", "answers", "--dataset", &set, "--json"];
    let args = args
        .into_iter()
        .chain(["--out-of-corpus", &elsewhere])
        .chain(more.iter().copied());
    let output = kura.run(args);
    output.assert_fails(0, &[]);
    output.json()
}

fn metric(summary: &Value, name: &str) -> f64 {
    let found = &summary["stages"][0]["metrics"][name]["mean"];
    found
        .as_f64()
        .unwrap_or_else(|| panic!("no {name} in {summary}"))
}

fn rows(kura: &Kura, summary: &Value) -> Vec<Value> {
    let id = summary["id"].as_str().unwrap();
    let record = kura.run(["eval", "show", id, "--json"]).json();
    record["queries"].as_array().unwrap().clone()
}

#[test]
fn answers_refusals_and_citations_are_judged_and_support_is_calibrated() {
    let kura = kura();
    let summary = measure(&kura, &["--mode", "extractive"]);
    assert_eq!(summary["kind"], "answers");
    assert_eq!(summary["dataset"]["asked"], 20);
    assert_eq!(
        summary["provenance"]["config"]["answer"]["mode"],
        "extractive"
    );
    let models = summary["provenance"]["models"].as_array().unwrap();
    assert_eq!(models.len(), 1, "nobody wrote: {models:?}");
    for (name, least) in [
        ("correctness", 0.8),
        ("citation_precision", 0.8),
        ("citation_recall", 0.8),
        ("context_recall", 0.9),
        ("out_of_corpus_refused", 0.95),
    ] {
        assert!(metric(&summary, name) >= least, "{name}: {summary}");
    }
    assert!(metric(&summary, "false_abstention") <= 0.1, "{summary}");
    assert_eq!(metric(&summary, "faithfulness"), 1.0);
    assert_eq!(metric(&summary, "prompt_tokens"), 0.0);
    // Each metric is over the questions that it applies to.
    let n = |name: &str| summary["stages"][0]["metrics"][name]["n"].clone();
    assert_eq!(
        [
            n("correctness"),
            n("true_abstention"),
            n("out_of_corpus_refused")
        ],
        [json!(10), json!(2), json!(8)]
    );

    let calibration = &summary["calibration"];
    let bins = calibration["bins"].as_array().unwrap();
    let counted: u64 = bins.iter().map(|bin| bin["n"].as_u64().unwrap()).sum();
    assert_eq!(counted, 20);
    assert!(
        calibration["auroc"].as_f64().unwrap() > 0.9,
        "{calibration}"
    );
    let thresholds = calibration["thresholds"].as_array().unwrap();
    assert_eq!(thresholds[0]["answerable"], 0.0);
    assert_eq!(thresholds.last().unwrap()["out_of_corpus"], 1.0);

    let rows = rows(&kura, &summary);
    let row = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap();
    let answer = |id: &str| &row(id)["stages"][0]["answer"];
    assert_eq!(answer("a02")["cited"], json!(["toner"]));
    assert!(answer("a02")["text"].as_str().unwrap().contains("204"));
    let foreign = row("answers:x01");
    assert_eq!(foreign["answerability"], "out_of_corpus");
    assert_eq!(foreign["stages"][0]["answer"]["refused"], true);

    let id = summary["id"].as_str().unwrap();
    let page = kura.run(["eval", "report", id, "--output", "-"]).stdout;
    for part in [
        "probabilities of support",
        "Reliability",
        "out of corpus",
        "correctness",
    ] {
        assert!(page.contains(part), "the page lacks {part}");
    }
}

#[test]
fn a_stricter_gate_is_a_regression_that_compare_notices() {
    let kura = kura();
    let base = measure(&kura, &["--mode", "extractive"]);
    let strict = Kura::env(kura, "KURA__ANSWER__MIN_SUPPORT", "0.995");
    let candidate = measure(&strict, &["--mode", "extractive"]);
    let ids = [&base, &candidate].map(|summary| summary["id"].as_str().unwrap().to_owned());
    let compare =
        |limit: &str| strict.run(["eval", "compare", &ids[0], &ids[1], "--fail-on", limit]);
    let noticed = compare("false_abstention:+0.05");
    noticed.assert_fails(1, &[]);
    for part in ["FAILED false_abstention", "config.answer.min_support"] {
        assert!(noticed.stdout.contains(part), "{}", noticed.stdout);
    }
    compare("out_of_corpus_refused:-0.01").assert_fails(0, &[]);
}

#[test]
fn the_generator_is_judged_like_the_documents_own_sentences() {
    let kura = kura().env("KURA__MODELS__GENERATOR", "qwen2.5-coder-1.5b-instruct");
    let summary = measure(&kura, &["--mode", "generate", "--max-queries", "2"]);
    assert_eq!(summary["dataset"]["asked"], 6);
    let models = summary["provenance"]["models"].as_array().unwrap();
    assert_eq!(models[1]["role"], "generator");
    assert_eq!(metric(&summary, "correctness"), 1.0, "{summary}");
    assert_eq!(metric(&summary, "out_of_corpus_refused"), 1.0, "{summary}");
    assert!(metric(&summary, "prompt_tokens") > 0.0);
    assert!(metric(&summary, "completion_tokens") > 0.0);
}

#[test]
fn what_cannot_be_evaluated_is_told() {
    let kura = kura().env("KURA__MODELS__GENERATOR", "");
    let set = data_set(&kura).display().to_string();
    let answers = ["eval", "answers", "--dataset", &set];
    let no_generator = kura.run(answers.into_iter().chain(["--mode", "generate"]));
    no_generator.assert_fails(1, &["no generator is installed"]);
    let missing = kura.run(
        answers
            .into_iter()
            .chain(["--out-of-corpus", "nowhere.jsonl"]),
    );
    missing.assert_fails(1, &["nowhere.jsonl"]);
    let claims = kura.path("claims.jsonl");
    fs_err::write(&claims, "{\"_id\": \"1\", \"text\": \"No source.\"}\n").unwrap();
    let claims = claims.display().to_string();
    kura.run(["eval", "grounding", "--dataset", &claims])
        .assert_fails(1, &["claims.jsonl` line 1", "`source`"]);
    fs_err::write(
        &claims,
        "{\"_id\": \"1\", \"source\": \"A.\", \"text\": \"A.\", \"supported\": true}\n",
    )
    .unwrap();
    kura.run(["eval", "grounding", "--dataset", &claims])
        .assert_fails(1, &["has no unsupported texts"]);
}

#[test]
fn support_tells_what_a_source_says_better_than_shared_words_do() {
    let kura = kura();
    let set = fixture("grounding").display().to_string();
    let output = kura.run(["eval", "grounding", "--dataset", &set, "--json"]);
    output.assert_fails(0, &[]);
    let summary = &output.json()[0];
    assert_eq!(summary["kind"], "grounding");
    assert_eq!(summary["dataset"]["name"], "grounding/claims");
    let auroc = |stage: usize| {
        let stage = &summary["stages"][stage];
        (
            stage["name"].clone(),
            stage["metrics"]["auroc"]["mean"].as_f64().unwrap(),
        )
    };
    let ((overlap, of_overlap), (support, of_support)) = (auroc(0), auroc(1));
    assert_eq!((overlap, support), (json!("overlap"), json!("support")));
    assert!(
        of_support > of_overlap && of_support > 0.9,
        "{of_support} against {of_overlap}"
    );
    let rows = rows(&kura, summary);
    let row = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap();
    // Only the sentence with the span is unsupported.
    assert_eq!(row("g07#1")["supported"], true);
    assert_eq!(row("g07#2")["supported"], false);
    let score = |id: &str| row(id)["stages"][1]["score"].as_f64().unwrap();
    assert!(score("g06#2") > score("g07#2"), "a name that is nowhere");
    assert!(score("g04#1") > score("g05#1"), "another day");

    let texts = kura.run([
        "eval",
        "grounding",
        "--dataset",
        &set,
        "--level",
        "text",
        "--json",
    ]);
    assert_eq!(texts.json()[0]["dataset"]["asked"], 14);
}

#[test]
fn a_server_evaluates_answers_of_its_collection() {
    let app = TestApp::start();
    app.add(
        "hr",
        "leave.txt",
        b"Employees take twenty days of paid leave",
    );
    let reply = app.client.post(
        "/api/v1/evaluations",
        &json!({
            "name": "answers",
            "collection": "hr",
            "answers": { "mode": "extractive" },
            "queries": [
                { "id": "q1", "text": "days of paid leave", "relevant": { "leave.txt": 1 }, "answers": ["twenty days"] },
                { "id": "q2", "text": "zzz", "answerability": "out_of_corpus" },
            ],
        }),
    );
    assert_eq!(reply.status, 202, "{reply:?}");
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let record = loop {
        let record = app.client.get(&format!("/api/v1/evaluations/{id}")).json();
        if record["state"] != "running" {
            break record;
        }
        assert!(std::time::Instant::now() < deadline, "{record}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!(record["state"], "done", "{record}");
    assert_eq!(record["kind"], "answers");
    let refused = |at: usize| &record["queries"][at]["stages"][0]["answer"]["refused"];
    assert!(
        refused(0).is_boolean() && refused(1).is_boolean(),
        "{record}"
    );

    let bad = |body: Value, part: &str| {
        let reply = app.client.post("/api/v1/evaluations", &body);
        assert_eq!(reply.status, 400, "{reply:?}");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(part), "{detail}");
    };
    let of = |query: Value| json!({ "name": "n", "collection": "hr", "answers": { "mode": "extractive" }, "queries": [query] });
    bad(of(json!({ "text": "what?" })), "neither `answers` nor");
    let mut both = of(json!({ "text": "what?", "answers": ["that"] }));
    both["retrieval"] = json!({ "candidates": 5 });
    bad(both, "leave it out");
}
