//! One collection with both languages: each must be found as well as it is alone.

use kura_tests::{Kura, fixture};
use serde_json::Value;

/// Most that a language may lose by the other's presence.
const TOLERANCE: f64 = 0.01;

struct Part {
    corpus: String,
    queries: String,
    qrels: String,
}

/// Returns the lines of `fixtures/regressions` that are written in Japanese, or those that are not.
fn part(japanese: bool) -> Part {
    let dir = fixture("regressions");
    let lines = |name: &str, keep: &dyn Fn(&str) -> bool| {
        let text = fs_err::read_to_string(dir.join(name)).unwrap();
        let kept = text.lines().filter(|line| keep(line));
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    let by_text = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        row["text"].as_str().unwrap().is_ascii() != japanese
    };
    let queries = lines("queries.jsonl", &by_text);
    let is_asked = |line: &str| {
        let (query, _) = line.split_once('\t').unwrap();
        queries.contains(&format!("\"{query}\""))
    };
    Part {
        corpus: lines("corpus.jsonl", &by_text),
        qrels: lines("qrels.tsv", &is_asked),
        queries,
    }
}

/// Asks a language's queries over a corpus; returns nDCG@10 by stage.
fn measure(kura: &Kura, name: &str, part: &Part, corpus: &str) -> Vec<(String, f64)> {
    let files = [
        ("corpus", "jsonl", corpus),
        ("queries", "jsonl", &part.queries),
        ("qrels", "tsv", &part.qrels),
    ];
    for (file, extension, content) in files {
        kura.write(&format!("{name}/{file}.{extension}"), content);
    }
    let set = kura.path(name).display().to_string();
    let output = kura.run(["eval", "retrieval", "--dataset", &set, "--json"]);
    output.assert_fails(0, &[]);
    let summary = output.json();
    let stages = summary["stages"].as_array().unwrap().iter();
    stages
        .map(|stage| {
            let ndcg = stage["metrics"]["ndcg@10"]["mean"].as_f64().unwrap();
            (stage["name"].as_str().unwrap().to_owned(), ndcg)
        })
        .collect()
}

#[test]
fn each_language_is_found_in_a_mixed_collection_as_it_is_alone() {
    let kura = Kura::new()
        .with_models()
        .env("KURA__MODELS__EMBEDDER", "multilingual-e5-small");
    let (english, japanese) = (part(false), part(true));
    let both = english.corpus.clone() + &japanese.corpus;
    for (name, part) in [("english", &english), ("japanese", &japanese)] {
        assert!(part.queries.lines().count() > 30, "{name}");
        let alone = measure(&kura, name, part, &part.corpus);
        // The same folder name, so that the index of both languages is built once.
        let mixed = measure(&kura, &format!("{name}-mixed/both"), part, &both);
        println!("{name}: alone {alone:?}, mixed {mixed:?}");
        let (last, alone) = alone.last().unwrap();
        let (same, mixed) = mixed.last().unwrap();
        assert_eq!((last.as_str(), same.as_str()), ("reranked", "reranked"));
        assert!(*alone > 0.75, "{name}: {alone}");
        assert!(
            *mixed > alone - TOLERANCE,
            "{name}: {alone} alone, {mixed} mixed"
        );
    }
}
