//! Commands in the audit log, and commands about it.

use super::Record;
use kura_tests::Kura;
use serde_json::json;
use std::path::Path;

/// Flips a bit in the middle of the newest segment.
fn damage(data: &Path) {
    let mut segments: Vec<_> = fs_err::read_dir(data.join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    segments.sort();
    let path = segments.pop().unwrap();
    let mut bytes = fs_err::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn commands_without_a_server_are_on_record_and_the_log_is_checked_and_exported() {
    let kura = Kura::new().with_models();
    kura.write("docs/one.md", "The lighthouse keeper is called Ansel.");
    kura.write("docs/two.md", "The harbor master is called Brida.");
    kura.run(["audit", "verify"])
        .assert_fails(1, &["no audit log"]);
    assert_eq!(kura.run(["ingest", "docs", "--collection", "c"]).code, 0);
    assert_eq!(kura.run(["search", "zebrafinch keeper"]).code, 0);
    assert_eq!(kura.run(["jobs", "pause"]).code, 0);
    assert_eq!(kura.run(["jobs", "resume"]).code, 0);
    assert_eq!(kura.run(["search", "x", "--collection", "nowhere"]).code, 1);

    let listed = kura.run(["audit", "list", "--json"]).json();
    let listed = listed.as_array().unwrap();
    let actions: Vec<_> = listed
        .iter()
        .map(|record| record["action"].as_str().unwrap())
        .collect();
    let expected = [
        "search",
        "job.resume",
        "job.pause",
        "search",
        "document.ingest",
        "document.create",
        "document.create",
    ];
    assert_eq!(actions, expected);
    assert!(
        listed
            .iter()
            .all(|record| record["principal"] == "local operator"
                && record["authentication"] == "process")
    );
    assert_eq!(listed[0]["outcome"]["result"], "failed");
    assert!(
        !listed[3]["details"]["chunks"]
            .as_array()
            .unwrap()
            .is_empty(),
        "{}",
        listed[3]
    );

    assert_eq!(kura.run(["audit", "hold", "add", "case-7"]).code, 0);
    assert_eq!(kura.run(["audit", "hold", "list"]).stdout, "case-7\n");
    kura.run(["audit", "hold", "release", "case-8"])
        .assert_fails(1, &["case-8"]);
    assert_eq!(kura.run(["audit", "hold", "release", "case-7"]).code, 0);
    assert_eq!(
        kura.run(["audit", "hold", "list", "--json"]).json(),
        json!([])
    );

    let head = kura.run(["audit", "head"]).stdout;
    let seen = kura.run(["audit", "verify", "--head", head.trim(), "--json"]);
    assert_eq!(
        (seen.code, &seen.json()["findings"]),
        (0, &json!([])),
        "{seen:?}"
    );
    let jsonl = kura.run(["audit", "export"]).stdout;
    assert_eq!(jsonl.lines().count(), 10, "{jsonl}");
    assert!(!jsonl.contains("zebrafinch"));
    assert!(
        jsonl
            .lines()
            .all(|line| serde_json::from_str::<Record>(line).is_ok())
    );
    let cef = kura
        .run(["audit", "export", "--format", "cef", "--action", "job"])
        .stdout;
    assert_eq!(
        cef.lines()
            .filter(|line| line.starts_with("CEF:0|kura|kura|"))
            .count(),
        2,
        "{cef}"
    );
    let syslog = kura
        .run([
            "audit",
            "export",
            "--format",
            "syslog",
            "--from",
            "2026-01-01",
        ])
        .stdout;
    assert!(
        syslog
            .lines()
            .all(|line| line.starts_with("<110>1 20") || line.starts_with("<107>1 20")),
        "{syslog}"
    );
    let to_file = ["audit", "export", "--output", "log.jsonl"];
    assert_eq!(kura.run(to_file).code, 0);
    assert_eq!(
        fs_err::read_to_string(kura.path("log.jsonl")).unwrap(),
        jsonl
    );
    assert_eq!(kura.run(to_file).code, 1, "a file is not overwritten");

    damage(&kura.path("data"));
    let seen = kura.run(["audit", "verify"]);
    assert_eq!(seen.code, 1, "{seen:?}");
    assert!(
        seen.stdout.contains("BAD") && seen.stdout.contains("record "),
        "{}",
        seen.stdout
    );
    // Nothing is done on a damaged log until it is put aside.
    kura.run(["search", "keeper"])
        .assert_fails(1, &["audit log", "kura audit verify"]);
    assert_eq!(kura.run(["audit", "restart", "--reason", "a test"]).code, 0);
    assert_eq!(kura.run(["search", "keeper"]).code, 0);
    assert_eq!(kura.run(["audit", "verify"]).code, 0);
}
