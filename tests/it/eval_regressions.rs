//! Damage done to retrieval must be noticed by `kura eval compare`, and nothing else may be.
//!
//! `fixtures/regressions` needs every part: long documents name what short ones tell, which only the length gives away,
//! and most questions use other words than their document.

use kura_models::{ModelKind, Registry};
use kura_tests::{Kura, Output, fixture, models_dir};
use serde_json::Value;
use std::collections::BTreeMap;

const EMBEDDER: &str = "multilingual-e5-small";

/// Where each kind of damage shows, and how much may be lost there.
const RERANKER: [&str; 2] = ["--fail-on", "ndcg@10:-0.01"];
const DENSE: [&str; 4] = ["--stage", "dense", "--fail-on", "ndcg@10:-0.01"];
const LEXICAL: [&str; 4] = ["--stage", "lexical", "--fail-on", "ndcg@10:-0.01"];

fn kura() -> Kura {
    Kura::new()
        .with_models()
        .env("KURA__MODELS__EMBEDDER", EMBEDDER)
}

/// Measures with the variables `env` set; returns the run's id.
fn measure(kura: &Kura, env: &[(&str, &str)]) -> String {
    let set = fixture("regressions").display().to_string();
    let args = ["eval", "retrieval", "--dataset", &set, "--json"];
    let mut command = kura.command_at(&kura.path("data"), args);
    let output = command.envs(env.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    for stage in summary["stages"].as_array().unwrap() {
        let ndcg = &stage["metrics"]["ndcg@10"];
        println!("{env:?} {}: {}", stage["name"], ndcg["mean"]);
    }
    summary["id"].as_str().unwrap().to_owned()
}

fn compare(kura: &Kura, base: &str, candidate: &str, limits: &[&str]) -> Output {
    let args = ["eval", "compare", base, candidate];
    kura.run(args.iter().chain(limits))
}

fn assert_noticed(kura: &Kura, base: &str, damaged: &str, limits: &[&str], cause: &str) {
    let output = compare(kura, base, damaged, limits);
    output.assert_fails(1, &[]);
    assert!(output.stdout.contains("FAILED ndcg@10"), "{output:?}");
    assert!(output.stdout.contains(cause), "{output:?}");
}

#[test]
fn each_kind_of_damage_is_noticed_and_equal_runs_are_equal_ten_times() {
    let kura = kura();
    let base = measure(&kura, &[]);
    for _ in 0..10 {
        let same = measure(&kura, &[]);
        for limits in [&RERANKER[..], &DENSE, &LEXICAL] {
            compare(&kura, &base, &same, limits).assert_fails(0, &[]);
        }
    }

    let unranked = measure(&kura, &[("KURA__RETRIEVAL__LATE_WEIGHT", "0")]);
    let cause = "config.retrieval.late_weight";
    assert_noticed(&kura, &base, &unranked, &RERANKER, cause);
    compare(&kura, &base, &unranked, &DENSE).assert_fails(0, &[]);

    let by_length = measure(&kura, &[("KURA__RETRIEVAL__BM25_B", "0")]);
    let cause = "config.retrieval.bm25_b";
    assert_noticed(&kura, &base, &by_length, &LEXICAL, cause);
    compare(&kura, &base, &by_length, &DENSE).assert_fails(0, &[]);

    for (name, query_prompt, document_prompt) in [
        ("swapped", "passage: ", "query: "),
        (
            "anothers",
            "Represent this sentence for searching relevant passages: ",
            "",
        ),
    ] {
        let models = with_prompts(&kura, name, query_prompt, document_prompt);
        let damaged = measure(&kura, &[("KURA__MODELS__DIR", &models)]);
        assert_noticed(&kura, &base, &damaged, &DENSE, "query_prompt");
        compare(&kura, &base, &damaged, &LEXICAL).assert_fails(0, &[]);
    }
}

/// Makes a models folder with the embedder as it is installed, but under an entry that has other prompts.
fn with_prompts(kura: &Kura, name: &str, query: &str, document: &str) -> String {
    let dir = kura.path(name);
    fs_err::create_dir_all(&dir).unwrap();
    std::os::unix::fs::symlink(models_dir().join(EMBEDDER), dir.join(EMBEDDER)).unwrap();
    let mut spec = Registry::open(&models_dir())
        .unwrap()
        .spec(EMBEDDER)
        .unwrap()
        .clone();
    let ModelKind::Embedder {
        query_prompt,
        document_prompt,
        ..
    } = &mut spec.kind
    else {
        panic!("`{EMBEDDER}` is no embedder");
    };
    (*query_prompt, *document_prompt) = (query.to_owned(), document.to_owned());
    let entries = BTreeMap::from([("model", [spec])]);
    fs_err::write(
        dir.join("registry.toml"),
        toml::to_string(&entries).unwrap(),
    )
    .unwrap();
    dir.display().to_string()
}
