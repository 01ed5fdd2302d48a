//! `kura eval` with real models, on a small data set (`fixtures/eval`) whose questions need both legs.

use kura_tests::{Kura, Output, fixture};
use serde_json::Value;

fn kura() -> Kura {
    Kura::new()
        .with_models()
        .env("KURA__MODELS__EMBEDDER", "multilingual-e5-small")
}

fn data_set() -> String {
    fixture("eval").display().to_string()
}

/// Measures the fixture; returns the summary.
fn measure(kura: &Kura, more: &[&str]) -> Value {
    let set = data_set();
    let args = ["eval", "retrieval", "--dataset", &set, "--json"];
    let output = kura.run(args.iter().chain(more));
    output.assert_fails(0, &[]);
    output.json()
}

fn show(kura: &Kura, id: &str) -> Value {
    kura.run(["eval", "show", id, "--json"]).json()
}

fn id(summary: &Value) -> &str {
    summary["id"].as_str().unwrap()
}

fn stage<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let stages = summary["stages"].as_array().unwrap();
    stages.iter().find(|stage| stage["name"] == name).unwrap()
}

fn ndcg(summary: &Value, name: &str) -> f64 {
    stage(summary, name)["metrics"]["ndcg@10"]["mean"]
        .as_f64()
        .unwrap()
}

/// Takes out of a record what a clock or a dice made.
fn without_times(mut record: Value) -> Value {
    for key in ["id", "started_at", "finished_at", "timings"] {
        record[key].take();
    }
    for stage in record["stages"].as_array_mut().unwrap() {
        stage["latency_ms"].take();
    }
    for row in record["queries"].as_array_mut().unwrap() {
        row["timings"].take();
        for stage in row["stages"].as_array_mut().unwrap() {
            stage["latency_ms"].take();
        }
    }
    record
}

fn compare(kura: &Kura, base: &str, candidate: &str, more: &[&str]) -> Output {
    let args = ["eval", "compare", base, candidate];
    kura.run(args.iter().chain(more))
}

#[test]
fn a_run_is_stored_reproducible_and_says_what_made_it() {
    let kura = kura();
    let runs = kura.path("runs").display().to_string();
    let summary = measure(&kura, &["--runs", &runs, "--name", "first"]);
    assert_eq!(summary["kind"], "retrieval");
    assert_eq!(summary["state"], "done");
    assert_eq!(summary["name"], "first");
    let dataset = &summary["dataset"];
    assert_eq!(dataset["name"], "eval");
    assert_eq!(dataset["documents"], 24);
    assert_eq!(dataset["queries"], 21);
    assert_eq!(
        dataset["asked"], 20,
        "a query without a relevant document does not count"
    );
    let names: Vec<&str> = summary["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["name"].as_str().unwrap())
        .collect();
    assert_eq!(names[..3], ["dense", "lexical", "hybrid"]);
    for name in names {
        let stage = stage(&summary, name);
        for metric in [
            "ndcg@10",
            "recall@1",
            "recall@5",
            "recall@10",
            "recall@100",
            "mrr@10",
        ] {
            let found = &stage["metrics"][metric];
            let value = |key: &str| found[key].as_f64().unwrap();
            assert!(
                0.0 <= value("low") && value("low") <= value("mean"),
                "{found}"
            );
            assert!(
                value("mean") <= value("high") && value("high") <= 1.0,
                "{found}"
            );
            assert_eq!(found["n"], 20);
        }
        let latency = |key: &str| stage["latency_ms"][key].as_f64().unwrap();
        assert!(0.0 < latency("p50") && latency("p50") <= latency("p95"));
        assert!(latency("p95") <= latency("p99"));
    }
    // A small set, but no toy result: both legs are good, and the whole is very good.
    assert!(ndcg(&summary, "hybrid") > 0.75, "{summary}");
    assert!(ndcg(&summary, "dense") > 0.6, "{summary}");

    let made_by = &summary["provenance"];
    let embedder = &made_by["models"][0];
    assert_eq!(embedder["id"], "multilingual-e5-small");
    assert_eq!(embedder["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(embedder["settings"]["query_prompt"], "query: ");
    assert_eq!(made_by["config"]["retrieval"]["rrf_k"], 60.0);
    assert_eq!(made_by["config_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(made_by["index"]["generation"], 1);
    assert!(made_by["machine"]["cores"].as_u64().unwrap() >= 1);

    // The record has the queries with what was found.
    let record = show(&kura, id(&summary));
    let row = &record["queries"][2];
    assert_eq!(
        (row["id"].as_str(), row["text"].as_str()),
        (Some("q03"), Some("What does AB-4471 mean?"))
    );
    let lexical = &row["stages"][1];
    assert_eq!(lexical["ranking"][0]["document"], "err-4471");
    assert_eq!(lexical["first_relevant"], 1);
    assert_eq!(record["titles"]["err-4471"], "Error AB-4471");
    let run = fs_err::read_to_string(kura.path("runs/lexical.run")).unwrap();
    let first: Vec<&str> = run.lines().next().unwrap().split(' ').collect();
    assert_eq!((first[0], first[1], first[3]), ("q01", "Q0", "1"));
    assert_eq!(first[5], "kura-lexical");

    // The same again, on the kept index and on a new one, finds the same.
    for more in [&["--name", "first"][..], &["--name", "first", "--fresh"]] {
        let again = measure(&kura, more);
        assert_ne!(id(&again), id(&summary));
        assert_eq!(
            without_times(show(&kura, id(&again))),
            without_times(record.clone())
        );
    }
    let listed = kura.run(["eval", "list", "--json"]).json();
    let listed: Vec<&str> = listed.as_array().unwrap().iter().map(id).collect();
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[2], id(&summary), "the latest is first");
    assert!(
        kura.run(["eval", "list"])
            .stdout
            .contains("reranked ndcg@10")
    );
}

#[test]
fn equal_runs_compare_equal_ten_times_and_a_regression_fails() {
    let kura = kura();
    let limits = ["--fail-on", "ndcg@10:-0.02", "--fail-on", "recall@10:0"];
    let base = measure(&kura, &[]);
    for _ in 0..10 {
        let same = measure(&kura, &[]);
        let output = compare(&kura, id(&base), id(&same), &limits);
        output.assert_fails(0, &[]);
        assert!(output.stdout.contains("kept"), "{output:?}");
    }

    // Without the dense leg paraphrases and the other language are not found.
    let regressed = without_dense(&kura, &base);
    let output = compare(&kura, id(&base), &regressed, &limits);
    output.assert_fails(1, &[]);
    assert!(output.stdout.contains("FAILED ndcg@10"), "{output:?}");

    let html = kura.path("compare.html");
    let html_arg = html.display().to_string();
    let more = ["--json", "--html", &html_arg, "--fail-on", "ndcg@10:-0.02"];
    let output = compare(&kura, id(&base), &regressed, &more);
    output.assert_fails(1, &[]);
    let found = output.json();
    assert_eq!(found["passed"], false);
    assert_eq!(found["limits"][0]["passed"], false);
    assert_eq!(found["queries"], 20);
    let ndcg = &found["metrics"][0];
    assert_eq!(ndcg["metric"], "ndcg@10");
    assert!(ndcg["difference"].as_f64().unwrap() < -0.02, "{ndcg}");
    assert!(ndcg["p_value"].as_f64().unwrap() <= 1.0);
    assert!(ndcg["losses"].as_u64() > ndcg["wins"].as_u64(), "{found:#}");
    let changed: Vec<&str> = found["provenance"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["name"].as_str().unwrap())
        .collect();
    assert_eq!(changed, ["config.retrieval.dense_weight"]);
    assert!(
        fs_err::read_to_string(html)
            .unwrap()
            .contains("config.retrieval.dense_weight")
    );

    // The other way round it is an improvement; and the stage that did not change is the same.
    compare(&kura, &regressed, id(&base), &limits).assert_fails(0, &[]);
    let more = ["--stage", "dense", "--fail-on", "ndcg@10:0"];
    compare(&kura, id(&base), &regressed, &more).assert_fails(0, &[]);
    // A latency may grow by this much.
    let more = ["--fail-on", "p95_ms:+60000"];
    compare(&kura, id(&base), &regressed, &more).assert_fails(0, &[]);
}

/// Measures as `base` was, but by words only; returns the path of a copy of the record.
fn without_dense(kura: &Kura, base: &Value) -> String {
    let set = data_set();
    let mut command = kura.command_at(
        &kura.path("data"),
        ["eval", "retrieval", "--dataset", &set, "--json"],
    );
    command.env("KURA__RETRIEVAL__DENSE_WEIGHT", "0");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(ndcg(&summary, "hybrid") < ndcg(base, "hybrid"), "{summary}");
    let stored = kura.path(&format!("data/evaluations/{}.json", id(&summary)));
    let elsewhere = kura.path("regressed.json");
    fs_err::rename(stored, &elsewhere).unwrap();
    elsewhere.display().to_string()
}

#[test]
fn wrong_use_is_told_with_what_is_right() {
    let kura = kura();
    let base = measure(&kura, &["--max-queries", "5"]);
    let base = id(&base);
    assert_eq!(show(&kura, base)["queries"].as_array().unwrap().len(), 5);
    compare(&kura, base, base, &["--fail-on", "map@10:0"])
        .assert_fails(2, &["map@10", "ndcg@10", "p95_ms"]);
    compare(&kura, base, base, &["--fail-on", "ndcg@10"]).assert_fails(2, &["METRIC:DIFFERENCE"]);
    compare(&kura, base, base, &["--stage", "psychic"])
        .assert_fails(2, &["psychic", "dense, lexical, hybrid"]);
    compare(&kura, base, "ffff", &[]).assert_fails(1, &["unknown evaluation", "kura eval list"]);

    // The same folder with one more judgement is another data set.
    for name in ["corpus.jsonl", "queries.jsonl", "qrels.tsv"] {
        let mut content = fs_err::read_to_string(fixture("eval").join(name)).unwrap();
        if name == "qrels.tsv" {
            content.push_str("q01\tsick\t1\n");
        }
        kura.write(&format!("other/{name}"), content);
    }
    let other = kura.path("other").display().to_string();
    let args = ["eval", "retrieval", "--dataset", &other, "--json"];
    let other = kura.run(args).json();
    compare(&kura, base, id(&other), &[]).assert_fails(1, &["different data sets"]);

    let output = kura.run(["eval", "delete", id(&other)]);
    output.assert_fails(0, &[]);
    kura.run(["eval", "show", id(&other)])
        .assert_fails(1, &["unknown evaluation"]);
    kura.write("damaged.json", "{");
    kura.run(["eval", "report", "damaged.json"])
        .assert_fails(1, &["damaged.json"]);
}

#[test]
fn a_kept_index_of_an_earlier_analysis_is_built_anew() {
    let kura = kura();
    let first = measure(&kura, &[]);
    let kept = fs_err::read_dir(kura.path("data/eval")).unwrap().next();
    let manifest = kept.unwrap().unwrap().path().join("index/1/manifest.json");
    let mut built: Value = serde_json::from_slice(&fs_err::read(&manifest).unwrap()).unwrap();
    built["analyzer_version"] = 0.into();
    fs_err::write(&manifest, built.to_string()).unwrap();
    let second = measure(&kura, &[]);
    // Words are put again in place; vectors are kept, so the generation stays.
    assert_eq!(second["provenance"]["index"]["generation"], 1);
    let limits = ["--fail-on", "ndcg@10:0", "--fail-on", "recall@100:0"];
    compare(&kura, id(&first), id(&second), &limits).assert_fails(0, &[]);
}

#[test]
fn a_report_is_one_page_that_needs_nothing_else() {
    let kura = kura();
    let summary = measure(&kura, &[]);
    let id = id(&summary);
    let output = kura.run(["eval", "report", id]);
    output.assert_fails(0, &[]);
    let page = kura.path(&format!("evaluation-{id}.html"));
    let page = fs_err::read_to_string(page).unwrap();
    for expected in [
        "<svg",
        "ndcg@10",
        "出張の日当はいくらですか",
        "multilingual-e5-small",
    ] {
        assert!(page.contains(expected), "`{expected}` is missing");
    }
    for loading in ["<script", "src=", "http:", "https:", "url("] {
        assert!(!page.contains(loading), "`{loading}`");
    }
    let stdout = kura.run(["eval", "report", id, "--output", "-"]).stdout;
    assert_eq!(stdout.trim_end(), page.trim_end());
}

#[test]
fn a_collection_is_evaluated_as_it_is_served() {
    let kura = Kura::new().with_models();
    let handbook = fixture("handbook").display().to_string();
    kura.run(["ingest", &handbook, "--collection", "handbook"])
        .assert_fails(0, &[]);
    // The labels of the handbook, in BEIR form, without a corpus.
    let questions = fs_err::read_to_string(fixture("handbook.questions.jsonl")).unwrap();
    let (mut queries, mut qrels) = (String::new(), "query-id\tcorpus-id\tscore\n".to_owned());
    for line in questions.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        if row["language"] == "en" {
            let query = serde_json::json!({ "_id": row["id"], "text": row["question"] });
            queries.push_str(&format!("{query}\n"));
            let (id, document) = (
                row["id"].as_str().unwrap(),
                row["expect_document"].as_str().unwrap(),
            );
            qrels.push_str(&format!("{id}\t{document}\t1\n"));
        }
    }
    kura.write("labels/queries.jsonl", queries);
    kura.write("labels/qrels.tsv", qrels);
    let labels = kura.path("labels").display().to_string();
    let args = [
        "eval",
        "retrieval",
        "--dataset",
        &labels,
        "--collection",
        "handbook",
        "--json",
    ];
    let local = kura.run(args);
    local.assert_fails(0, &[]);
    let local = local.json();
    assert_eq!(local["dataset"]["collection"], "handbook");
    assert_eq!(local["dataset"]["documents"], 15);
    assert_eq!(local["dataset"]["asked"], 15);
    assert_eq!(local["provenance"]["config"]["retrieval"]["candidates"], 50);
    assert!(
        stage(&local, "hybrid")["metrics"]["recall@5"]["mean"]
            .as_f64()
            .unwrap()
            >= 0.8,
        "{local}"
    );

    // A server that holds the data directory does it too, with the same result.
    let server = kura.serve();
    let by_server = kura.run(args);
    by_server.assert_fails(0, &[]);
    let by_server = by_server.json();
    compare(
        &kura,
        id(&local),
        id(&by_server),
        &["--fail-on", "ndcg@10:0"],
    )
    .assert_fails(0, &[]);
    assert_eq!(
        without_times(show(&kura, id(&local)))["queries"],
        without_times(show(&kura, id(&by_server)))["queries"]
    );
    let runs = kura.run(args.iter().copied().chain(["--runs", "runs"]));
    runs.assert_fails(2, &["--runs", "stop the server"]);
    assert!(server.stop());

    kura.write("labels/qrels.tsv", "en-01\tno-such-file.md\t1\n");
    kura.run(args)
        .assert_fails(1, &["none of the 1 documents", "source"]);
    let mut absent = args;
    absent[5] = "absent";
    kura.run(absent).assert_fails(1, &["absent"]);
}

#[test]
fn a_broken_data_set_is_told_with_file_and_line() {
    let kura = kura();
    for name in ["corpus.jsonl", "qrels.tsv"] {
        let content = fs_err::read(fixture("eval").join(name)).unwrap();
        kura.write(&format!("set/{name}"), content);
    }
    kura.write(
        "set/queries.jsonl",
        "{\"_id\": \"q1\", \"text\": \"x\"}\n{broken\n",
    );
    let set = kura.path("set").display().to_string();
    kura.run(["eval", "retrieval", "--dataset", &set])
        .assert_fails(1, &["queries.jsonl", "line 2"]);
    kura.run(["eval", "retrieval", "--dataset", "absent"])
        .assert_fails(1, &["corpus.jsonl"]);
}
