//! A server that is fed hostile files: it keeps its process, answers every search, and says of each file what became of
//! it.

use super::files::{Random, broken, made};
use super::sound;
use crate::ledger::SetWhenDropped;
use kura_tests::{Client, Kura};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest time until the last job is over: some files are tried three times.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Of the broken files, which are many and alike, each so-manieth.
const EVERY: usize = 4;
/// Between two searches, so that they are no load of their own.
const PAUSE: Duration = Duration::from_millis(50);
/// More chunks than these are not worth the wait.
const MANY_CHUNKS: u64 = 20;

#[test]
fn a_server_fed_bombs_keeps_its_process_and_answers_every_search() {
    let kura = Kura::new().with_models();
    let server = kura.serve();
    let pid = server.pid();
    let client = &server.client;
    client.post("/api/v1/collections", &json!({ "name": "c" }));
    let census = client.upload(
        "c",
        "census.md",
        b"# Narwhals\n\nThe census counted 412 narwhals.",
    );
    assert_eq!(census.status, 202, "{census:?}");
    assert_eq!(ended(client, &census.json())["state"], "done");

    let idle = p95(searches(client, &AtomicBool::new(true), 100));
    let over = AtomicBool::new(false);
    let (jobs, busy) = std::thread::scope(|scope| {
        let _end = SetWhenDropped(&over);
        let asked = scope.spawn(|| searches(client, &over, 0));
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let broken = broken(&sound(), &mut random).into_iter().step_by(EVERY);
        let uploads: Vec<(String, Value)> = made()
            .into_iter()
            .chain(broken)
            .filter_map(|(name, bytes)| {
                let reply = client.upload("c", &name, &bytes);
                match reply.status {
                    202 => Some((name, reply.json())),
                    // Too large, empty, or of no kind that is read.
                    400 | 413 | 415 | 422 => None,
                    _ => panic!("{name}: {reply:?}"),
                }
            })
            .collect();
        let jobs = all_ended(client, uploads);
        over.store(true, Ordering::Relaxed);
        (jobs, asked.join().unwrap())
    });
    for (name, job) in &jobs {
        let told = job["code"].is_string() && job["error"].is_string();
        let as_it_should = matches!(job["state"].as_str(), Some("done" | "cancelled"))
            || (job["state"] == "failed" && told);
        assert!(as_it_should, "{name}: {job}");
    }
    let n_read = jobs
        .iter()
        .filter(|(_, job)| job["state"] != "failed")
        .count();
    let n_searches = busy.len();
    println!(
        "{} jobs, {n_read} of them read; search p95 {:.1} ms idle, {:.1} ms in {n_searches} searches meanwhile",
        jobs.len(),
        1000.0 * idle,
        1000.0 * p95(busy)
    );
    assert!(jobs.len() >= 40 && n_searches >= 20);

    let after = client.upload(
        "c",
        "office.md",
        b"# Office\n\nThe office in Osaka opens at nine.",
    );
    assert_eq!(ended(client, &after.json())["state"], "done");
    assert_eq!(server.pid(), pid);
    assert!(server.stop(), "the server had ended before");
}

/// Waits until the job of an upload is over; returns it.
fn ended(client: &Client, upload: &Value) -> Value {
    all_ended(client, vec![(String::new(), upload.clone())])
        .remove(0)
        .1
}

/// Waits until the jobs of these uploads are over; returns them. The job of a file that has been read and holds much
/// text is cancelled: some would be embedded for an hour.
fn all_ended(client: &Client, uploads: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let deadline = Instant::now() + TIMEOUT;
    let (mut open, mut over) = (uploads, Vec::new());
    while !open.is_empty() {
        assert!(Instant::now() < deadline, "jobs do not end: {open:?}");
        std::thread::sleep(PAUSE);
        open.retain(|(name, upload)| {
            let path = format!(
                "/api/v1/jobs/{}",
                upload["items"][0]["job"]["id"].as_str().unwrap()
            );
            let job = client.get(&path).json();
            if job["n_chunks"].as_u64() > Some(MANY_CHUNKS) && job["stage"] == "embed" {
                let cancelled = client.post(&format!("{path}/cancel"), &json!({}));
                // It may have ended meanwhile.
                assert!(matches!(cancelled.status, 200 | 409), "{cancelled:?}");
            }
            let is_open = matches!(job["state"].as_str(), Some("queued" | "running"));
            if !is_open {
                over.push((name.clone(), job));
            }
            is_open
        });
    }
    over
}

/// Searches until it is over, and at least so often; returns the seconds each took. Every one must succeed.
fn searches(client: &Client, over: &AtomicBool, at_least: usize) -> Vec<f64> {
    let mut took = Vec::new();
    while took.len() < at_least || !over.load(Ordering::Relaxed) {
        let started = Instant::now();
        let reply = client.post("/api/v1/search", &json!({ "query": "census of narwhals" }));
        took.push(started.elapsed().as_secs_f64());
        assert_eq!(reply.status, 200, "{reply:?}");
        let found = reply.json();
        let items = found["items"].as_array().unwrap();
        assert!(
            items.iter().any(|hit| hit["source"] == "census.md"),
            "{found}"
        );
        assert_eq!(client.get("/healthz").status, 200);
        std::thread::sleep(PAUSE);
    }
    took
}

fn p95(mut took: Vec<f64>) -> f64 {
    took.sort_by(f64::total_cmp);
    took[(took.len() * 95 / 100).min(took.len() - 1)]
}
