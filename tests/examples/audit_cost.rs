//! What the audit log costs: searches over HTTP with the binary that `KURA_BIN` names, and records by themselves.
//!
//! Run it with a binary from before the audit log and with one from after, on a quiet machine, and compare.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

use kura::audit::{AuditLog, Draft, Outcome, Who};
use kura::config::AuditConfig;
use kura_tests::{Client, Kura};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NOTES: usize = 300;
const SEARCHES: usize = 400;
const CLIENTS: usize = 8;
const RECORDS: usize = 2000;

fn main() {
    searches();
    records();
}

fn searches() {
    let kura = Kura::new().with_models();
    for n in 0..NOTES {
        let text = format!(
            "Note {n}: the keeper of lighthouse {} is relieved in week {}.",
            n * 7,
            n % 52
        );
        kura.write(&format!("notes/{n}.md"), text);
    }
    assert_eq!(kura.run(["ingest", "notes", "--collection", "c"]).code, 0);
    let server = kura.serve();
    // Those do not count.
    timed(&server.client, 50, 0);
    show("one at a time", timed(&server.client, SEARCHES, 1));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|seed| {
            let client = server.client.clone();
            std::thread::spawn(move || timed(&client, SEARCHES / CLIENTS, seed + 2))
        })
        .collect();
    let all = clients
        .into_iter()
        .flat_map(|client| client.join().unwrap());
    show(&format!("{CLIENTS} at a time"), all.collect());
}

/// Searches for something else each time.
fn timed(client: &Client, n: usize, seed: usize) -> Vec<Duration> {
    let search = |at: usize| {
        let query = format!(
            "who is relieved in week {} of round {seed}, note {at}",
            at % 52
        );
        let begun = Instant::now();
        let reply = client.post("/api/v1/search", &json!({ "query": query }));
        assert_eq!(reply.status, 200);
        begun.elapsed()
    };
    (0..n).map(search).collect()
}

fn records() {
    let dir = tempfile::tempdir().unwrap();
    let config = AuditConfig {
        content: false,
        reads_need_record: true,
        retention_days: 0,
    };
    let log = Arc::new(AuditLog::open(dir.path(), &config));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let draft = || {
        let who = Who::local_operator();
        let mut draft = Draft::new(
            who,
            "search",
            Outcome {
                result: kura::audit::Ending::Success,
                status: Some(200),
                code: None,
            },
        );
        let chunk = |n: usize| format!("0193c6f4-7b1a-7c3d-9a55-0123456789ab:1:{n}");
        draft.details.insert(
            "chunks".to_owned(),
            (0..10).map(chunk).collect::<Vec<_>>().into(),
        );
        draft
    };
    let alone = (0..RECORDS / 4).map(|_| {
        let begun = Instant::now();
        runtime.block_on(log.record(draft())).unwrap();
        begun.elapsed()
    });
    show("a record, one at a time", alone.collect());
    for at_a_time in [8, 64] {
        let begun = Instant::now();
        let took = runtime.block_on(async {
            let tasks: Vec<_> = (0..at_a_time)
                .map(|_| {
                    let log = Arc::clone(&log);
                    tokio::spawn(async move {
                        let mut took = Vec::new();
                        for _ in 0..RECORDS / at_a_time {
                            let begun = Instant::now();
                            log.record(draft()).await.unwrap();
                            took.push(begun.elapsed());
                        }
                        took
                    })
                })
                .collect();
            let mut all = Vec::new();
            for task in tasks {
                all.extend(task.await.unwrap());
            }
            all
        });
        let rate = took.len() as f64 / begun.elapsed().as_secs_f64();
        show(
            &format!("a record, {at_a_time} at a time, {rate:.0} a second"),
            took,
        );
    }
    let size = fs_err::read_dir(dir.path().join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum::<u64>();
    println!("{} bytes a record", size / log.head().seq);
}

fn show(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let ms = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!(
        "{what}: p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms ({})",
        ms(0.5),
        ms(0.95),
        ms(0.99),
        took.len()
    );
}
