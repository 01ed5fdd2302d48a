//! Jobs under people's hands: cancel, retry, pause and resume, over the API and the command line, and over restarts.

use async_trait::async_trait;
use kura::app::Models;
use kura_models::fake::FakeEmbedder;
use kura_models::{Embedder, Embedding, ModelSpec};
use kura_tests::{Kura, TestApp, fake_models, fixture};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Embeds documents only while the gate is open.
struct Gated {
    inner: FakeEmbedder,
    gate: Arc<Semaphore>,
}

#[async_trait]
impl Embedder for Gated {
    fn spec(&self) -> &ModelSpec {
        self.inner.spec()
    }
    fn dim(&self) -> usize {
        self.inner.dim()
    }
    fn count_tokens(&self, text: &str) -> usize {
        self.inner.count_tokens(text)
    }
    async fn embed_query(&self, text: &str) -> kura_models::Result<Embedding> {
        self.inner.embed_query(text).await
    }
    async fn embed_documents(&self, texts: &[String]) -> kura_models::Result<Vec<Embedding>> {
        let _open = self.gate.acquire().await;
        self.inner.embed_documents(texts).await
    }
}

/// Returns a server whose embedder waits until the gate is open, which it is at first.
fn gated() -> (TestApp, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(1));
    let embedder = Arc::new(Gated {
        inner: FakeEmbedder::new(),
        gate: Arc::clone(&gate),
    });
    let models = Models {
        embedder,
        ..fake_models(&[])
    };
    (TestApp::with(models, |_| ()), gate)
}

fn job(app: &TestApp, id: &str) -> Value {
    app.client.get(&format!("/api/v1/jobs/{id}")).json()
}

fn upload(app: &TestApp, name: &str, text: &str) -> String {
    let reply = app.client.upload("c", name, text.as_bytes());
    assert_eq!(reply.status, 202, "{reply:?}");
    reply.json()["items"][0]["job"]["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "it never comes true: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_running_job_is_cancelled_and_retried() {
    let (app, gate) = gated();
    gate.forget_permits(1);
    let id = upload(
        &app,
        "a.md",
        "# Rules\n\nThe lighthouse keeper is called Ansel.",
    );
    eventually("it is embedded", || job(&app, &id)["stage"] == "embed");
    let running = job(&app, &id);
    assert_eq!(
        (
            &running["state"],
            &running["priority"],
            &running["n_chunks"]
        ),
        (&json!("running"), &json!("high"), &json!(1))
    );
    let summary = app.client.get("/api/v1/jobs/summary").json();
    assert_eq!(
        (&summary["running"], &summary["queued"]),
        (&json!(1), &json!(0))
    );

    let cancelled = app
        .client
        .post(&format!("/api/v1/jobs/{id}/cancel"), &json!({}));
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    let cancelled = cancelled.json();
    assert_eq!(
        (&cancelled["state"], &cancelled["code"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    assert!(cancelled["remedy"].as_str().unwrap().contains("retry"));
    gate.add_permits(1);
    app.client
        .post(&format!("/api/v1/jobs/{id}/cancel"), &json!({}))
        .assert_problem(409, "job_state");
    assert_eq!(app.search("lighthouse keeper"), Vec::<Value>::new());
    assert_eq!(job(&app, &id)["state"], "cancelled");

    let retried = app
        .client
        .post(&format!("/api/v1/jobs/{id}/retry"), &json!({}));
    assert_eq!(retried.status, 200, "{retried:?}");
    assert_eq!(app.wait(&id)["state"], "done");
    assert_eq!(app.search("lighthouse keeper")[0]["source"], "a.md");
    app.client
        .post(&format!("/api/v1/jobs/{id}/retry"), &json!({}))
        .assert_problem(409, "job_state");
    app.client
        .post("/api/v1/jobs/no-uuid/cancel", &json!({}))
        .assert_problem(404, "unknown_job");
}

#[test]
fn failed_jobs_are_listed_with_their_reason_and_retried_by_it() {
    let app = TestApp::start();
    let encrypted = fs_err::read(fixture("bad/encrypted.pdf")).unwrap();
    app.add("c", "encrypted.pdf", &encrypted);
    app.add("c", "blank.txt", b"  \n ");
    app.add("other", "sound.txt", b"This one is sound.");
    let list = |query: &str| {
        let reply = app.client.get(&format!("/api/v1/jobs?{query}"));
        assert_eq!(reply.status, 200, "{reply:?}");
        let items = reply.json()["items"].as_array().unwrap().clone();
        let mut sources: Vec<_> = items
            .iter()
            .map(|job| job["source"].as_str().unwrap().to_owned())
            .collect();
        sources.sort();
        sources
    };
    assert_eq!(list("state=failed"), ["blank.txt", "encrypted.pdf"]);
    assert_eq!(list("code=encrypted"), ["encrypted.pdf"]);
    assert_eq!(list("collection=other"), ["sound.txt"]);
    assert_eq!(list("collection=other&state=failed"), [""; 0]);
    app.client
        .get("/api/v1/jobs?code=unheard_of")
        .assert_problem(400, "invalid_request");
    app.client
        .get("/api/v1/jobs?state=unheard_of")
        .assert_problem(400, "invalid_request");

    let summary = app.client.get("/api/v1/jobs/summary").json();
    assert_eq!(
        summary["failed_by_code"],
        json!({ "encrypted": 1, "no_text": 1 })
    );
    assert_eq!(
        (&summary["done"], &summary["failed"]),
        (&json!(1), &json!(2))
    );
    let retry = |query: &str| {
        let reply = app
            .client
            .post(&format!("/api/v1/jobs/retry{query}"), &json!({}));
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["n_jobs"].clone()
    };
    assert_eq!(retry("?code=timeout"), 0);
    assert_eq!(retry(""), 2);
    // The files have not changed, and fail again for their own reasons.
    eventually("both have failed again", || {
        let summary = app.client.get("/api/v1/jobs/summary").json();
        summary["failed"] == 2
    });
    assert_eq!(list("code=encrypted"), ["encrypted.pdf"]);
}

#[test]
fn the_same_content_is_embedded_once() {
    let app = TestApp::start();
    let text = b"# Rules\n\nThe lighthouse keeper is called Ansel.";
    app.add("one", "rules.md", text);
    app.add("two", "rules.md", text);
    let copy = app.client.upload("one", "copy.md", text).json();
    let job = app.wait(copy["items"][0]["job"]["id"].as_str().unwrap());
    assert_eq!((&job["n_chunks"], &job["n_reused"]), (&json!(1), &json!(1)));
    let totals = app.app.pipeline.ingest_totals();
    assert_eq!((totals.chunks_embedded, totals.chunks_reused), (1, 2));
    let hits = app.search("lighthouse keeper");
    assert_eq!(
        hits[0]["duplicates"].as_array().map_or(0, Vec::len),
        2,
        "{hits:?}"
    );
}

#[test]
fn a_paused_queue_stays_paused_over_a_restart_and_commands_see_it() {
    let kura = Kura::new().with_models();
    let file = kura.write(
        "leave.md",
        "# Leave\n\nEmployees get twenty days of paid leave.",
    );
    let server = kura.serve();
    let paused = kura.run(["jobs", "pause"]);
    assert!(
        paused.code == 0 && paused.stdout.contains("paused"),
        "{paused:?}"
    );
    let ingest = [
        "ingest",
        file.to_str().unwrap(),
        "--collection",
        "c",
        "--priority",
        "low",
    ];
    let waiting = kura.run(ingest);
    assert_eq!(waiting.code, 3, "{waiting:?}");
    assert!(waiting.stdout.contains("wait"), "{waiting:?}");
    server.kill();

    let server = kura.serve();
    // The worker looks at the queue at once; it must not take anything.
    std::thread::sleep(Duration::from_secs(1));
    let summary = kura.run(["jobs", "summary", "--json"]).json();
    assert_eq!(
        (&summary["queued"], &summary["done"]),
        (&json!(1), &json!(0))
    );
    assert!(summary["paused_since"].is_string(), "{summary}");
    let listed = kura
        .run(["jobs", "list", "--state", "queued", "--json"])
        .json();
    assert_eq!(listed[0]["source"], "leave.md");
    assert_eq!(listed[0]["priority"], "low");
    let id = listed[0]["id"].as_str().unwrap();
    assert!(kura.run(["jobs", "show", id]).stdout.contains("queued"));
    let cancelled = kura.run(["jobs", "cancel", id]);
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    kura.run(["jobs", "cancel", id])
        .assert_fails(1, &["cancelled"]);
    assert_eq!(kura.run(["jobs", "retry", id]).code, 0);
    assert_eq!(kura.run(["jobs", "resume"]).code, 0);
    eventually("it is done", || {
        kura.run(["jobs", "summary", "--json"]).json()["done"] == 1
    });
    let hits = kura.run(["search", "paid leave", "--json"]).json();
    assert_eq!(hits["items"][0]["source"], "leave.md");
    assert!(server.stop());

    // Without a server the commands look into the data directory themselves.
    let summary = kura.run(["jobs", "summary", "--json"]).json();
    assert_eq!(summary["done"], 1);
    kura.run(["jobs", "retry", "--all", "--code", "unheard_of"])
        .assert_fails(2, &["unknown code"]);
    kura.run(["jobs", "show", "no-uuid"])
        .assert_fails(1, &["unknown job"]);
}

#[test]
fn an_ingest_says_what_it_would_do_and_reports_what_it_did() {
    let kura = Kura::new().with_models();
    kura.write(
        "docs/a.md",
        "# Leave\n\nEmployees get twenty days of paid leave.",
    );
    kura.write("docs/b.txt", "The office in Osaka opens at nine.");
    fs_err::copy(
        fixture("bad/encrypted.pdf"),
        kura.path("docs/encrypted.pdf"),
    )
    .unwrap();
    kura.write("docs/picture.xyz", [0_u8, 159, 146, 150].repeat(20));
    let docs = kura.path("docs").display().to_string();
    let outcomes = |report: &Value| -> Vec<(String, String)> {
        let rows = report["items"].as_array().unwrap().iter();
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        rows.map(|row| (text(row, "source"), text(row, "outcome")))
            .collect()
    };
    let expected = |all: [(&str, &str); 4]| -> Vec<(String, String)> {
        all.map(|(source, outcome)| (source.to_owned(), outcome.to_owned()))
            .into()
    };
    let dry = [
        "ingest",
        docs.as_str(),
        "--collection",
        "c",
        "--dry-run",
        "--json",
    ];
    let plan = kura.run(dry);
    assert_eq!(plan.code, 3, "{plan:?}");
    assert_eq!(
        outcomes(&plan.json()),
        expected([
            ("a.md", "new"),
            ("b.txt", "new"),
            ("encrypted.pdf", "new"),
            ("picture.xyz", "unsupported")
        ])
    );
    assert!(!kura.path("data/catalog.db").exists(), "nothing is made");

    let report = kura.path("report.json");
    let path = report.display().to_string();
    let ran = kura.run([
        "ingest",
        docs.as_str(),
        "--collection",
        "c",
        "--report",
        path.as_str(),
    ]);
    assert_eq!(ran.code, 3, "{ran:?}");
    for word in ["application/pdf", "[encrypted]", "2 new", "2 failed"] {
        assert!(
            ran.stdout.contains(word),
            "`{word}` is missing: {}",
            ran.stdout
        );
    }
    let report: Value = serde_json::from_slice(&fs_err::read(report).unwrap()).unwrap();
    assert_eq!(
        report["summary"],
        json!({ "new": 2, "replaced": 0, "unchanged": 0, "failed": 2 })
    );
    let row = |source: &str| {
        let rows = report["items"].as_array().unwrap();
        rows.iter().find(|row| row["source"] == source).unwrap()
    };
    assert_eq!(row("encrypted.pdf")["code"], "encrypted");
    assert_eq!(row("picture.xyz")["code"], "unsupported_format");
    assert!(row("encrypted.pdf")["remedy"].is_string());
    assert_eq!(report["formats"]["text/markdown"]["new"], 1);

    kura.write("docs/b.txt", "The office in Osaka opens at ten.");
    let plan = kura.run(dry).json();
    assert_eq!(
        outcomes(&plan),
        expected([
            ("a.md", "unchanged"),
            ("b.txt", "replaced"),
            ("encrypted.pdf", "replaced"),
            ("picture.xyz", "unsupported")
        ])
    );
    let hits = kura.run(["search", "office in Osaka", "--json"]).json();
    assert!(hits["items"][0]["text"].as_str().unwrap().contains("nine"));
}
