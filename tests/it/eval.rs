//! `kura eval` on a data set small enough to know what must come out.

use kura_tests::Kura;

const CORPUS: &str = r#"{"_id": "leave", "title": "Leave", "text": "Employees take twenty days of paid leave a year."}
{"_id": "toner", "title": "Printers", "text": "Toner for the printers is in room 204."}
{"_id": "出張", "title": "出張", "text": "出張の日当は1日あたり2,500円です。"}
"#;
const QUERIES: &str = r#"{"_id": "q1", "text": "Where is the toner for the printers?"}
{"_id": "q2", "text": "出張の日当はいくらですか"}
{"_id": "q3", "text": "a question that nobody has judged"}
"#;
const QRELS: &str = "query-id\tcorpus-id\tscore\nq1\ttoner\t1\nq2\t出張\t1\n";

fn data_set(kura: &Kura) -> String {
    fs_err::create_dir_all(kura.path("set")).unwrap();
    kura.write("set/corpus.jsonl", CORPUS);
    kura.write("set/queries.jsonl", QUERIES);
    kura.write("set/qrels.tsv", QRELS);
    kura.path("set").display().to_string()
}

#[test]
fn retrieval_is_measured_per_leg_and_the_rankings_are_written() {
    let kura = Kura::new()
        .with_models()
        .env("KURA__MODELS__EMBEDDER", "multilingual-e5-small");
    let (set, runs) = (data_set(&kura), kura.path("runs"));
    let runs = runs.display().to_string();
    let measure = || {
        let args = [
            "eval",
            "retrieval",
            "--dataset",
            &set,
            "--runs",
            &runs,
            "--json",
        ];
        let output = kura.run(args);
        output.assert_fails(0, &[]);
        output.json()
    };
    let report = measure();
    assert_eq!(report["dataset"], "set");
    assert_eq!(report["documents"], 3);
    assert_eq!(
        report["queries"], 2,
        "a query without a judgment does not count"
    );
    for leg in ["dense", "lexical", "hybrid"] {
        let leg = &report["legs"][leg];
        for measure in ["ndcg@10", "recall@10", "recall@100", "mrr@10"] {
            assert_eq!(leg[measure], 1.0, "{measure}: {report}");
        }
        assert!(leg["p50_ms"].as_f64().unwrap() > 0.0);
        assert!(leg["p95_ms"].as_f64() >= leg["p50_ms"].as_f64());
    }
    let run = fs_err::read_to_string(kura.path("runs/lexical.run")).unwrap();
    let first: Vec<&str> = run.lines().next().unwrap().split(' ').collect();
    assert_eq!(first[..4], ["q1", "Q0", "toner", "1"]);
    assert_eq!(first[5], "kura-lexical");
    // The index is kept: a second run finds the same.
    assert_eq!(measure()["legs"]["hybrid"]["ndcg@10"], 1.0);
}

#[test]
fn a_broken_data_set_is_told_with_file_and_line() {
    let kura = Kura::new().with_models();
    let set = data_set(&kura);
    kura.write(
        "set/queries.jsonl",
        "{\"_id\": \"q1\", \"text\": \"x\"}\n{broken\n",
    );
    kura.run(["eval", "retrieval", "--dataset", &set])
        .assert_fails(1, &["queries.jsonl", "line 2"]);
    kura.run(["eval", "retrieval", "--dataset", "absent"])
        .assert_fails(1, &["corpus.jsonl"]);
}
