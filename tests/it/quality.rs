//! The data-quality report, over the API and the command line.

use kura_tests::{Kura, TestApp, fixture};
use serde_json::{Value, json};

const POLICY: &str = "The quality policy is reviewed in the management review. Whoever sees that a product does not \
    conform to its description stops the line, puts a red card on the product and calls the quality manager, who \
    decides whether it is repaired, sold as second choice or scrapped. The decision is written into the log, and the \
    log is read by the board every quarter, which decides what is to be changed in the process or in the training.";

fn issues(report: &Value, source: &str) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["source"] == source);
    let issues = found.map_or(&[][..], |found| {
        found["issues"].as_array().unwrap().as_slice()
    });
    issues
        .iter()
        .map(|issue| issue["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_report_names_what_is_wrong() {
    let app = TestApp::start();
    let encrypted = fs_err::read(fixture("bad/encrypted.pdf")).unwrap();
    app.add("c", "encrypted.pdf", &encrypted);
    app.add("c", "policy.txt", POLICY.as_bytes());
    app.add("c", "copy.txt", POLICY.as_bytes());
    app.add("c", "wrapped.txt", POLICY.replace(". ", ".\n").as_bytes());
    app.add("c", "tiny.txt", b"See above.");
    let japanese = "有給休暇の申請は、取得する日の前日までに勤怠システムから行い、上長の承認を受けてください。".repeat(4);
    app.add("c", "leave.txt", japanese.as_bytes());
    let expired = json!({ "valid_until": "2020-01-01", "date": "2011-03-04" });
    let long = format!(
        "{POLICY} It was written for the plant in the north and the plant in the south alone."
    );
    let reply = app
        .client
        .upload_with("c", "expired.txt", long.as_bytes(), &expired);
    app.wait(reply.json()["items"][0]["job"]["id"].as_str().unwrap());
    let newer = json!({ "supersedes": ["leave.txt"] });
    let text = "The rules of leave were written anew for the whole company and hold for everyone. "
        .repeat(3);
    let reply = app
        .client
        .upload_with("c", "leave-2.txt", text.as_bytes(), &newer);
    app.wait(reply.json()["items"][0]["job"]["id"].as_str().unwrap());

    let report = app.client.get("/api/v1/collections/c/quality").json();
    assert_eq!(report["n_documents"], 8, "{report}");
    assert_eq!(report["statuses"], json!({ "failed": 1, "indexed": 7 }));
    assert_eq!(report["failures"], json!({ "encrypted": 1 }));
    assert_eq!(
        report["languages"],
        json!({ "ja": 1, "latin": 6, "none": 1 })
    );
    assert_eq!(report["formats"]["application/pdf"]["n_failed"], 1);
    assert_eq!(
        report["findings"][0]["source"], "encrypted.pdf",
        "worst first"
    );
    assert_eq!(report["findings"][0]["issues"][0]["code"], "encrypted");
    assert_eq!(report["complete"], true);
    assert!(report["sizes"]["max"].as_u64() >= report["sizes"]["p50"].as_u64());
    // By source: the first of two equal files counts as the original.
    assert_eq!(issues(&report, "copy.txt"), [""; 0]);
    assert_eq!(issues(&report, "policy.txt"), ["duplicate"]);
    assert_eq!(issues(&report, "wrapped.txt"), ["near_duplicate"]);
    assert_eq!(issues(&report, "tiny.txt"), ["tiny"]);
    assert_eq!(issues(&report, "expired.txt"), ["expired", "old"]);
    assert_eq!(issues(&report, "leave.txt"), ["superseded"]);
    assert_eq!(issues(&report, "leave-2.txt"), [""; 0]);
    app.client
        .get("/api/v1/collections/nowhere/quality")
        .assert_problem(404, "unknown_collection");
}

#[test]
fn the_command_prints_it() {
    let kura = Kura::new().with_models();
    let file = kura.write("tiny.txt", "See above.");
    assert_eq!(
        kura.run(["ingest", file.to_str().unwrap(), "--collection", "c"])
            .code,
        0
    );
    let printed = kura.run(["quality", "c"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    for word in ["1 documents", "text/plain", "tiny.txt", "tiny: "] {
        assert!(
            printed.stdout.contains(word),
            "`{word}`: {}",
            printed.stdout
        );
    }
    assert_eq!(
        kura.run(["quality", "c", "--json"]).json()["issues"],
        json!({ "tiny": 1 })
    );
    kura.run(["quality", "nowhere"])
        .assert_fails(1, &["unknown collection"]);
}
