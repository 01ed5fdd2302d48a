//! The real binary without a server: exit codes, messages and JSON shapes.

use kura_tests::{Kura, fixture};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn wrong_usage_is_exit_code_2() {
    let kura = Kura::new();
    kura.run(["ingest"]).assert_fails(2, &["--collection"]);
    kura.run(["search", "x", "--limit", "0"])
        .assert_fails(2, &["limit"]);
    kura.run(["no-such-command"])
        .assert_fails(2, &["no-such-command"]);
    assert_eq!(kura.run(["--help"]).code, 0);
}

#[test]
fn a_wrong_configuration_is_told_in_full() {
    let kura = Kura::new();
    kura.write(
        "kura.toml",
        "[server]\nlisen = \"127.0.0.1:1\"\n[chunkin]\nmax_tokens = 3\n",
    );
    let output = kura.run(["config", "check"]);
    output.assert_fails(
        2,
        &[
            "`server.lisen`",
            "`server.listen`",
            "`chunkin.max_tokens`",
            "`chunking.max_tokens`",
            "kura.toml",
            "hint:",
        ],
    );
    assert_eq!(output.stdout, "");
    kura.run(["search", "x"])
        .assert_fails(2, &["`server.lisen`"]);

    kura.write("kura.toml", "[server]\nlisten = \"0.0.0.0:8080\"\n");
    kura.run(["serve"]).assert_fails(2, &["loopback", "TLS"]);
    kura.write("kura.toml", "[retrieval]\nlimit = \"many\"\n");
    kura.run(["config", "check"])
        .assert_fails(2, &["`retrieval.limit`"]);
    kura.write("kura.toml", "[retrieval]\nbm25_k1 = -1\nbm25_b = 1.5\n");
    kura.run(["config", "check"])
        .assert_fails(2, &["`retrieval.bm25_k1`", "`retrieval.bm25_b`"]);
    kura.write("kura.toml", "not toml");
    kura.run(["config", "check"])
        .assert_fails(2, &["kura.toml"]);

    kura.write("kura.toml", "");
    let env = Kura::new().env("KURA__SERVER__PORT", "1");
    env.run(["config", "check"])
        .assert_fails(2, &["`server.port`", "KURA__SERVER__PORT"]);
}

#[test]
fn the_configuration_is_shown_with_its_origins() {
    let kura = Kura::new().env("KURA__LOG__FORMAT", "json");
    kura.write("kura.toml", "[retrieval]\nlimit = 7\n");
    let shown = kura
        .run(["config", "show", "--json", "--log-level", "debug"])
        .json();
    let setting = |key: &str| {
        let all = shown["settings"].as_array().unwrap();
        all.iter()
            .find(|setting| setting["key"] == key)
            .unwrap()
            .clone()
    };
    assert_eq!(setting("retrieval.limit")["value"], 7);
    assert_eq!(setting("retrieval.limit")["origin"]["kind"], "file");
    assert_eq!(
        setting("log.format")["origin"],
        json!({ "kind": "environment", "name": "KURA__LOG__FORMAT" })
    );
    assert_eq!(
        setting("log.level")["origin"],
        json!({ "kind": "flag", "name": "--log-level" })
    );
    assert_eq!(
        setting("server.listen")["origin"],
        json!({ "kind": "default" })
    );
    assert!(
        kura.run(["config", "show"])
            .stdout
            .contains("# environment variable KURA__LOG__FORMAT")
    );

    // The defaults are a configuration file to start from.
    let defaults = kura.run(["config", "show", "--defaults"]).stdout;
    kura.write("kura.toml", &defaults);
    assert_eq!(kura.run(["config", "check"]).code, 0);
}

#[test]
fn files_are_added_replaced_and_found() {
    let kura = Kura::new()
        .with_models()
        .env("KURA__RETRIEVAL__LATE_BUDGET_MS", "0");
    kura.write(
        "docs/leave.md",
        "# Leave\n\nEmployees get twenty days of paid leave.",
    );
    kura.write("docs/deep/office.txt", "The office in Osaka opens at nine.");
    kura.write("docs/.hidden.txt", "Nobody reads this.");
    let ingest = |json: bool| {
        let docs = kura.path("docs").display().to_string();
        let mut args = vec![
            "ingest".to_owned(),
            docs,
            "--collection".to_owned(),
            "handbook".to_owned(),
        ];
        args.extend(json.then(|| "--json".to_owned()));
        kura.run(args)
    };
    let first = ingest(true);
    assert_eq!(first.code, 0, "{first:?}");
    let report = first.json();
    assert_eq!(
        report["summary"],
        json!({ "new": 2, "replaced": 0, "unchanged": 0, "failed": 0 })
    );
    let sources: Vec<_> = report["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["deep/office.txt", "leave.md"]);

    kura.write(
        "docs/leave.md",
        "# Leave\n\nEmployees get thirty days of paid leave.",
    );
    assert_eq!(
        ingest(true).json()["summary"],
        json!({ "new": 0, "replaced": 1, "unchanged": 1, "failed": 0 })
    );
    assert!(
        ingest(false)
            .stdout
            .contains("0 new, 0 replaced, 2 unchanged, 0 failed")
    );

    let found = kura
        .run([
            "search",
            "how much paid leave",
            "--collection",
            "handbook",
            "--limit",
            "1",
            "--json",
        ])
        .json();
    let hit = &found["items"][0];
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    // The first search of a process is slow: a command takes the time, whatever a server's budget is.
    assert_eq!(found["dropped"], json!([]));
    assert!(
        hit["text"].as_str().unwrap().contains("thirty days"),
        "{hit}"
    );
    for key in [
        "document", "title", "chunk", "score", "text", "page", "headings",
    ] {
        assert!(hit.get(key).is_some(), "`{key}` is missing: {hit}");
    }
    assert_eq!(hit["headings"], json!(["Leave"]));

    let answer = kura
        .run([
            "ask",
            "How many days of paid leave do employees get?",
            "--mode",
            "extractive",
            "--json",
        ])
        .json();
    assert_eq!(answer["outcome"], "grounded", "{answer}");
    for key in ["outcome", "text", "citations", "usage", "timings_ms"] {
        assert!(answer.get(key).is_some(), "`{key}` is missing: {answer}");
    }
    for key in [
        "marker",
        "document",
        "title",
        "page",
        "quote",
        "answer_span",
    ] {
        assert!(
            answer["citations"][0].get(key).is_some(),
            "`{key}` is missing: {answer}"
        );
    }
    assert!(
        answer["citations"][0]["quote"]
            .as_str()
            .unwrap()
            .contains("thirty days")
    );
}

#[test]
fn bad_files_are_told_and_harm_nothing() {
    let kura = Kura::new().with_models();
    kura.write("docs/good.txt", "Something sound that can be found.");
    fs_err::copy(
        fixture("bad/encrypted.pdf"),
        kura.path("docs/encrypted.pdf"),
    )
    .unwrap();
    fs_err::copy(fixture("bad/empty.txt"), kura.path("docs/empty.txt")).unwrap();
    fs_err::copy(
        fixture("bad/truncated.docx"),
        kura.path("docs/truncated.docx"),
    )
    .unwrap();
    fs_err::copy(
        fixture("bad/not-a-pdf.pdf"),
        kura.path("docs/not-a-pdf.pdf"),
    )
    .unwrap();
    let docs = kura.path("docs");
    let output = kura.run([
        "ingest",
        docs.to_str().unwrap(),
        "--collection",
        "c",
        "--json",
    ]);
    assert_eq!(output.code, 3, "{output:?}");
    let report = output.json();
    let row = |source: &str| {
        let rows = report["items"].as_array().unwrap();
        rows.iter()
            .find(|row| row["source"] == source)
            .unwrap()
            .clone()
    };
    assert_eq!(row("good.txt")["outcome"], "new");
    for (source, word) in [
        ("encrypted.pdf", "encrypted"),
        ("empty.txt", "empty"),
        ("truncated.docx", "cannot be read"),
    ] {
        assert_eq!(row(source)["outcome"], "failed", "{report}");
        assert!(
            row(source)["error"].as_str().unwrap().contains(word),
            "{report}"
        );
    }
    assert_eq!(
        kura.run(["search", "something sound", "--json"]).json()["items"][0]["source"],
        "good.txt"
    );

    // All bad is a failure, not a partial one.
    let encrypted = docs.join("encrypted.pdf");
    assert_eq!(
        kura.run(["ingest", encrypted.to_str().unwrap(), "--collection", "c"])
            .code,
        1
    );
    let missing = kura.run(["ingest", "missing.txt", "--collection", "c"]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.stdout.contains("no such file"), "{missing:?}");
    fs_err::create_dir_all(kura.path("nothing")).unwrap();
    kura.run(["ingest", "nothing", "--collection", "c"])
        .assert_fails(1, &["no files found", "hint:"]);
    kura.run(["ingest", docs.to_str().unwrap(), "--collection", "a/b"])
        .assert_fails(1, &["invalid collection name"]);
}

#[test]
fn an_unreadable_file_is_told() {
    let kura = Kura::new().with_models();
    let path = kura.write("secret.txt", "Nobody may read this.");
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if fs_err::read(&path).is_ok() {
        // The superuser reads everything, so a folder in place of the file's content stands in: reading it fails too.
        fs_err::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("secret.txt", &path).unwrap();
    }
    let output = kura.run([
        "ingest",
        path.to_str().unwrap(),
        "--collection",
        "c",
        "--json",
    ]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(output.json()["items"][0]["outcome"], "failed");
    assert!(
        !output.json()["items"][0]["error"]
            .as_str()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn an_unknown_collection_is_told_with_those_that_exist() {
    let kura = Kura::new().with_models();
    let file = kura.write("a.txt", "Something.");
    assert_eq!(
        kura.run(["ingest", file.to_str().unwrap(), "--collection", "handbook"])
            .code,
        0
    );
    for args in [["search", "x"], ["ask", "x?"]] {
        kura.run(args.into_iter().chain(["--collection", "hanbook"]))
            .assert_fails(
                1,
                &[
                    "error: unknown collection `hanbook`; existing: handbook",
                    "hint:",
                ],
            );
    }
}

#[test]
fn a_model_that_is_missing_is_told_with_the_remedy() {
    let kura = Kura::new();
    kura.run(["search", "x"]).assert_fails(
        1,
        &[
            "`all-minilm-l6-v2` is not installed",
            "kura models pull all-minilm-l6-v2",
        ],
    );
    let unknown = Kura::new().env("KURA__MODELS__EMBEDDER", "nothing");
    unknown
        .run(["search", "x"])
        .assert_fails(1, &["unknown model `nothing`", "kura models list"]);
    let kura = Kura::new().with_models();
    kura.run(["ask", "x?", "--mode", "generate"])
        .assert_fails(1, &["no generator", "hint:"]);
}

#[test]
fn a_wrong_model_hash_is_refused() {
    let source = kura_tests::models_dir().join("all-minilm-l6-v2");
    let kura = Kura::new();
    for entry in fs_err::read_dir(source).unwrap() {
        let from = entry.unwrap().path();
        let to = kura.write(
            &format!(
                "data/models/all-minilm-l6-v2/{}",
                from.file_name().unwrap().to_str().unwrap()
            ),
            "",
        );
        fs_err::copy(from, to).unwrap();
    }
    assert_eq!(kura.run(["models", "verify", "all-minilm-l6-v2"]).code, 0);
    let config = kura.path("data/models/all-minilm-l6-v2/config.json");
    let mut bytes = fs_err::read(&config).unwrap();
    // Same size, other content.
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs_err::write(&config, bytes).unwrap();
    let output = kura.run(["models", "verify", "all-minilm-l6-v2", "--json"]);
    assert_eq!(output.code, 1, "{output:?}");
    let error = output.json()["items"][0]["error"]
        .as_str()
        .unwrap()
        .to_owned();
    for word in ["config.json", "sha256", "expected", "quarantine"] {
        assert!(error.contains(word), "`{word}` is missing: {error}");
    }
    kura.run(["search", "x"])
        .assert_fails(1, &["not installed"]);
}

#[test]
fn models_are_listed() {
    let kura = Kura::new().with_models();
    let list = kura.run(["models", "list", "--json"]).json();
    let find = |id: &str| {
        let all = list["items"].as_array().unwrap();
        all.iter().find(|model| model["id"] == id).unwrap().clone()
    };
    assert_eq!(find("all-minilm-l6-v2")["state"], "installed");
    assert_eq!(find("all-minilm-l6-v2")["configured"], true);
    assert_eq!(find("bge-m3")["kind"], "embedder");
    kura.run(["models", "pull", "nothing"])
        .assert_fails(1, &["unknown model `nothing`"]);
}

#[test]
fn extraction_can_be_looked_at() {
    let kura = Kura::new();
    let file = fixture("handbook/paid-leave.ja.md");
    let output = kura.run(["extract", file.to_str().unwrap(), "--json"]);
    assert_eq!(output.code, 0, "{output:?}");
    let extracted = output.json();
    assert!(extracted["warnings"].is_array());
    let blocks = extracted["blocks"].as_array().unwrap();
    assert_eq!(blocks[0]["kind"], "heading");
    for key in ["kind", "text", "page", "range", "headings"] {
        assert!(
            blocks[0].get(key).is_some(),
            "`{key}` is missing: {}",
            blocks[0]
        );
    }
    let encrypted = fixture("bad/encrypted.pdf");
    kura.run(["extract", encrypted.to_str().unwrap()])
        .assert_fails(1, &["encrypted", "password"]);
    let empty = fixture("bad/empty.txt");
    kura.run(["extract", empty.to_str().unwrap()])
        .assert_fails(1, &["empty"]);
    kura.run(["extract", "missing.txt"])
        .assert_fails(1, &["missing.txt"]);
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    let sick = Kura::new().run(["doctor", "--json"]);
    assert_eq!(sick.code, 1, "{sick:?}");
    let report = sick.json();
    let check = |report: &Value, name: &str| {
        let all = report["checks"].as_array().unwrap();
        all.iter()
            .find(|check| check["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(check(&report, "embedder")["status"], "failed");
    assert_eq!(
        check(&report, "embedder")["remedy"],
        "run `kura models pull all-minilm-l6-v2`"
    );

    let kura = Kura::new().with_models();
    let file = kura.write("a.txt", "Something.");
    assert_eq!(
        kura.run(["ingest", file.to_str().unwrap(), "--collection", "c"])
            .code,
        0
    );
    let healthy = kura.run(["doctor", "--json"]);
    assert_eq!(healthy.code, 0, "{healthy:?}");
    assert_eq!(healthy.json()["ok"], true);
    assert!(
        check(&healthy.json(), "store")["detail"]
            .as_str()
            .unwrap()
            .contains("1 documents"),
        "{healthy:?}"
    );

    kura.write("kura.toml", "x = 1");
    let broken = kura.run(["doctor", "--json"]);
    assert_eq!(broken.code, 1);
    assert_eq!(check(&broken.json(), "configuration")["status"], "failed");
}

#[test]
fn the_openapi_document_is_printed() {
    let printed = Kura::new().run(["openapi"]);
    assert_eq!(printed.code, 0);
    assert_eq!(printed.stdout, kura::openapi::json());
}
