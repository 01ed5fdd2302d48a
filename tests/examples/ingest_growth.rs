//! What a chunk costs to index as an index grows: `ingest_growth CHUNKS SOURCE…`
//!
//! A source is a data set in BEIR layout. Its passages, in an order that mixes the sources, become Markdown files of
//! twenty passages each, and a server takes them in tenths until there are about `CHUNKS` chunks, cut at 32 tokens so
//! that there are enough of them. No text comes twice, so that every chunk is embedded. Set `KURA_MODELS_DIR`, and
//! `KURA_BIN` if the binary does not lie beside this program.
//!
//! Prints a line of JSON for each tenth: processor time of the server and of its workers per chunk, and seconds per
//! chunk on the clock. The first bears other work of the machine, the second needs it quiet.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for measuring: a failure ends it, and its figures are its output"
)]

use kura_tests::{Client, Kura};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

const STEPS: usize = 10;
const PASSAGES_PER_FILE: usize = 20;
/// Clock ticks per second of `/proc`, the same on every Linux that kura runs on.
const TICKS: f64 = 100.0;

fn main() {
    let mut args = std::env::args().skip(1);
    let wanted: usize = args.next().and_then(|n| n.parse().ok()).unwrap();
    let sources: Vec<PathBuf> = args.map(PathBuf::from).collect();
    let folder = tempfile::tempdir().unwrap();
    let kura = Kura::new()
        .with_models()
        .env("KURA__CHUNKING__MAX_TOKENS", "32")
        .env("KURA__CHUNKING__OVERLAP_TOKENS", "4")
        .env("KURA__CHUNKING__MIN_TOKENS", "8");
    let server = kura.serve();
    let mut passages = passages(&sources).into_iter();
    let mut n_files = 0;
    for step in 1..=STEPS {
        let goal = wanted * step / STEPS;
        let before = (
            n_chunks(&server.client),
            cpu(server.pid()),
            n_tokens(&server.client),
        );
        let mut wall = 0.0;
        // How many chunks a passage makes is known only afterwards, so a tenth is added in parts.
        while n_chunks(&server.client) < goal {
            let part = folder.path().join(n_files.to_string());
            fs_err::create_dir(&part).unwrap();
            for _ in 0..20 {
                let texts: Vec<String> = passages.by_ref().take(PASSAGES_PER_FILE).collect();
                assert!(
                    !texts.is_empty(),
                    "the sources have too few passages for {wanted} chunks"
                );
                n_files += 1;
                fs_err::write(part.join(format!("{n_files}.md")), texts.join("\n\n")).unwrap();
            }
            let started = Instant::now();
            ingest(&kura, &part);
            wall += started.elapsed().as_secs_f64();
        }
        let chunks = n_chunks(&server.client) - before.0;
        let spent = cpu(server.pid()) - before.1;
        let tokens = n_tokens(&server.client) - before.2;
        let per_chunk = |seconds: f64| seconds * 1000.0 / chunks as f64;
        println!(
            "{}",
            json!({
                "chunks": n_chunks(&server.client),
                "files": n_files,
                "tokens_per_chunk": tokens / chunks as f64,
                "cpu_ms_per_chunk": per_chunk(spent),
                "cpu_us_per_token": spent * 1e6 / tokens,
                "wall_ms_per_chunk": per_chunk(wall),
                "rss_mib": rss_mib(server.pid()),
            })
        );
    }
}

/// Returns every passage once, those of all sources spread evenly.
fn passages(sources: &[PathBuf]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut placed = Vec::new();
    for source in sources {
        let corpus = fs_err::read_to_string(source.join("corpus.jsonl")).unwrap();
        let lines: Vec<&str> = corpus.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let passage: Value = serde_json::from_str(line).unwrap();
            let text = passage["text"]
                .as_str()
                .unwrap_or_default()
                .trim()
                .to_owned();
            if !text.is_empty() && seen.insert(text.clone()) {
                placed.push((at as f64 / lines.len() as f64, text));
            }
        }
    }
    placed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    placed.into_iter().map(|(_, text)| text).collect()
}

fn ingest(kura: &Kura, folder: &Path) {
    let folder = folder.display().to_string();
    let args = ["ingest", &folder, "--collection", "growth"];
    let mut command = kura.command_at(&kura.path("data"), args);
    let status = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

fn n_chunks(client: &Client) -> usize {
    let collections = client.get("/api/v1/collections").json();
    let found = collections["items"].as_array().unwrap().iter();
    found
        .map(|collection| collection["n_chunks"].as_u64().unwrap_or_default() as usize)
        .sum()
}

/// Returns the tokens embedded so far.
fn n_tokens(client: &Client) -> f64 {
    let metrics = String::from_utf8(client.get("/metrics").body).unwrap();
    let mut lines = metrics.lines();
    // Not there before anything was embedded.
    lines
        .find_map(|line| line.strip_prefix("kura_ingest_tokens_total "))
        .map_or(0.0, |value| value.parse().unwrap())
}

/// Returns the processor seconds of a process and of its children that have ended.
fn cpu(pid: u32) -> f64 {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields = rest.split_whitespace().skip(11).take(4);
    fields
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / TICKS
}

fn rss_mib(pid: u32) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        >> 10
}
