//! How fast documents are indexed, and what searches feel of it: `ingest_load DOCUMENTS SOURCE…`
//!
//! A source is a data set in BEIR layout, whose passages become Markdown files, or a folder of files. Set
//! `KURA_MODELS_DIR`, and `KURA_BIN` if the binary does not lie beside this program. Measured, each on its own:
//! - reading: as many worker processes as there are cores extract all files, and their text is cut into chunks, as
//!   many at the same time as the server takes; five times, of which the median is told;
//! - the embedder alone, on the chunks of the first half, in calls of 64;
//! - a server that ingests the first half, undisturbed;
//! - searches and health checks of that server while nothing happens, and while it ingests the second half.
//!
//! Prints one line of JSON. Needs a machine with nothing else to do; times are seconds unless they say `ms`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for measuring: a failure ends it, and its figures are its output"
)]

use futures::FutureExt as _;
use futures::stream::{self, StreamExt as _};
use kura_indexer::extract::isolation::{Extractor as _, Limits, SourceFile, Workers};
use kura_indexer::ingest;
use kura_indexer::{ChunkConfig, Chunks, Counter, chunk_unless};
use kura_models::Embedder;
use kura_tests::{Client, Kura, models};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// That of the server, which does the same work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EMBEDDER: &str = "multilingual-e5-small";
/// Chunks per call of the embedder alone.
const CALL: usize = 64;
/// Searches before anything is ingested.
const IDLE_SEARCHES: usize = 200;
/// Between two searches, so that they are no load of their own.
const PAUSE: Duration = Duration::from_millis(250);
/// Documents that are there to be found.
const BASE: usize = 100;

fn main() {
    let mut args = std::env::args().skip(1);
    let limit: usize = args.next().and_then(|n| n.parse().ok()).unwrap();
    let sources: Vec<PathBuf> = args.map(PathBuf::from).collect();
    let folder = tempfile::tempdir().unwrap();
    let queries = gather(&sources, limit, folder.path());
    let halves = ["first", "second"].map(|half| folder.path().join(half));

    let embedder = models::embedder(EMBEDDER);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (reading, read) = runtime.block_on(read(&halves, &embedder));
    eprintln!("{reading}");
    let texts = &read[0];
    let n_tokens: usize = texts.iter().map(|(_, n_tokens)| n_tokens).sum();
    let alone = runtime.block_on(embed(embedder.as_ref(), texts));
    eprintln!("the embedder alone: {n_tokens} tokens, {alone:?}");
    drop((runtime, embedder));

    let kura = Kura::new()
        .with_models()
        .env("KURA__MODELS__EMBEDDER", EMBEDDER);
    let server = kura.serve();
    let ingest = |half: &Path, collection: &str| {
        let started = Instant::now();
        let args = [
            "ingest",
            &half.display().to_string(),
            "--collection",
            collection,
        ];
        let mut command = kura.command_at(&kura.path("data"), args);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        (started, child.unwrap())
    };
    let (_, mut base) = ingest(&folder.path().join("base"), "base");
    base.wait().unwrap();

    let (started, mut child) = ingest(&halves[0], "load");
    child.wait().unwrap();
    let whole = started.elapsed();
    eprintln!("ingesting the first half: {whole:?}");
    std::thread::sleep(Duration::from_secs(10));

    let mut n_idle = 0;
    let idle = ask(&server.client, &queries, || {
        n_idle += 1;
        n_idle <= IDLE_SEARCHES
    });
    let (_, mut child) = ingest(&halves[1], "load");
    let busy = ask(&server.client, &queries, || {
        child.try_wait().unwrap().is_none()
    });
    let peak = status_kib(server.pid(), "VmHWM:") >> 10;
    let documents = server.client.get("/api/v1/collections").json();
    println!(
        "{}",
        json!({
            "reading": reading,
            "embedder_tokens_per_s": rate(n_tokens, alone),
            "ingest": {
                "tokens": n_tokens,
                "s": whole.as_secs_f64(),
                "tokens_per_s": rate(n_tokens, whole),
                "of_the_embedder": alone.as_secs_f64() / whole.as_secs_f64(),
            },
            "idle": idle,
            "busy": busy,
            "p95_busy_to_idle": busy["search_ms"]["p95"].as_f64().unwrap() / idle["search_ms"]["p95"].as_f64().unwrap(),
            "server_peak_mib": peak,
            "collections": documents,
        })
    );
}

/// Writes the documents into `base`, `first` and `second`; returns queries about some of them.
fn gather(sources: &[PathBuf], limit: usize, to: &Path) -> Vec<String> {
    for folder in ["base", "first", "second"] {
        fs_err::create_dir_all(to.join(folder)).unwrap();
    }
    let (mut files, mut queries) = (Vec::new(), Vec::new());
    for source in sources {
        if let Ok(corpus) = fs_err::read_to_string(source.join("corpus.jsonl")) {
            for line in corpus.lines() {
                let passage: Value = serde_json::from_str(line).unwrap();
                let [id, title, text] =
                    ["_id", "title", "text"].map(|key| passage[key].as_str().unwrap_or_default());
                files.push((
                    format!("{id}.md"),
                    format!("# {title}\n\n{text}\n").into_bytes(),
                ));
            }
            let lines = fs_err::read_to_string(source.join("queries.jsonl")).unwrap();
            queries.extend(lines.lines().take(100).map(|line| {
                let query: Value = serde_json::from_str(line).unwrap();
                query["text"].as_str().unwrap().to_owned()
            }));
        } else {
            for entry in fs_err::read_dir(source).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    files.push((name, fs_err::read(&path).unwrap()));
                }
            }
        }
    }
    // Each half gets some of every source.
    for (at, (name, bytes)) in files.into_iter().take(limit + BASE).enumerate() {
        let folder = if at % (limit / BASE + 1) == 0 {
            "base"
        } else {
            ["first", "second"][at % 2]
        };
        fs_err::write(to.join(folder).join(name.replace('/', "_")), bytes).unwrap();
    }
    assert!(!queries.is_empty(), "one source must have queries");
    queries
}

/// What is embedded of a chunk, and its length in tokens.
type Text = (String, usize);

/// A file's text and chunks with its title, and how long the two steps took.
struct Read {
    title: String,
    chunks: Chunks,
    extracting: Duration,
    cutting: Duration,
}

/// How often all files are read.
const ROUNDS: usize = 5;

/// Reads and cuts all files; returns how long that took, and each half's texts.
async fn read(halves: &[PathBuf; 2], embedder: &Arc<dyn Embedder>) -> (Value, Vec<Vec<Text>>) {
    let cores = std::thread::available_parallelism().unwrap().get();
    let arguments = ["extract-worker", "--protection", "required"].map(Into::into);
    let workers = Workers::new(Kura::binary(), arguments.to_vec(), cores, Limits::default());
    // The first worker's start, and the embedder's learning to count, belong to no file.
    workers.confinement().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let halves = halves.each_ref().map(|half| files(half));
    let n_files = halves.iter().map(Vec::len).sum::<usize>();
    let all = halves.iter().flatten();
    let file_bytes = all.map(|file| file.bytes.len()).sum::<usize>();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let outcomes: Vec<(usize, Option<Read>)> = stream::iter(halves.iter().enumerate())
            .flat_map(|(half, files)| stream::iter(files).map(move |file| (half, file.clone())))
            .map(|(half, file)| read_one(file, &workers, embedder).map(move |read| (half, read)))
            // Like the server: a file that takes long holds up no other.
            .buffer_unordered(ingest::Limits::default().readers)
            .collect()
            .await;
        rounds.push((started.elapsed(), outcomes));
    }
    rounds.sort_by_key(|(took, _)| *took);
    let all_s: Vec<f64> = rounds.iter().map(|(took, _)| took.as_secs_f64()).collect();
    let (took, outcomes) = rounds.swap_remove(ROUNDS / 2);
    let (mut n_read, mut text_bytes) = (0, 0);
    let (mut extracting, mut cutting) = <(Duration, Duration)>::default();
    let mut texts = vec![Vec::new(), Vec::new()];
    for (half, read) in outcomes {
        let Some(read) = read else { continue };
        n_read += 1;
        extracting += read.extracting;
        cutting += read.cutting;
        text_bytes += read.chunks.text.len();
        texts[half].extend(read.chunks.chunks.into_iter().map(|chunk| {
            let whole = format!("{}\n{}\n{}", read.title, chunk.context, chunk.text);
            let n_tokens = embedder.count_tokens(&whole);
            (whole, n_tokens)
        }));
    }
    let mb_per_s = |bytes: usize| bytes as f64 / 1e6 / took.as_secs_f64();
    let reading = json!({
        "files": n_files,
        "refused": n_files - n_read,
        "file_mb": file_bytes as f64 / 1e6,
        "text_mb": text_bytes as f64 / 1e6,
        "s": took.as_secs_f64(),
        "rounds_s": all_s,
        "extracting_all_s": extracting.as_secs_f64(),
        "cutting_all_s": cutting.as_secs_f64(),
        "file_mb_per_s": mb_per_s(file_bytes),
        "text_mb_per_s": mb_per_s(text_bytes),
    });
    (reading, texts)
}

fn files(folder: &Path) -> Vec<SourceFile> {
    fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            SourceFile {
                bytes: fs_err::read(&path).unwrap().into(),
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                media_type: None,
                taker: Some(kura_indexer::extract::Taker::discard()),
            }
        })
        .collect()
}

/// Extracts a file and cuts its text; `None` if it cannot be read.
async fn read_one(
    file: SourceFile,
    workers: &Workers,
    embedder: &Arc<dyn Embedder>,
) -> Option<Read> {
    let config = ChunkConfig {
        max_tokens: 256,
        overlap_tokens: 32,
        min_tokens: 48,
    };
    let started = Instant::now();
    let extracted = workers.extract(file).await.ok()?;
    let extracting = started.elapsed();
    let embedder = Arc::clone(embedder);
    let cut = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        let counter = Counter {
            count: &|text| embedder.count_tokens(text),
            adds_up: &|text| embedder.tokens_add_up(text),
        };
        let chunks = chunk_unless(&|| false, &extracted.blocks, counter, &config)?;
        Some(Read {
            title: extracted.title.unwrap_or_default(),
            chunks,
            extracting,
            cutting: started.elapsed(),
        })
    });
    cut.await.unwrap()
}

async fn embed(embedder: &dyn Embedder, texts: &[Text]) -> Duration {
    let started = Instant::now();
    for call in texts.chunks(CALL) {
        let call: Vec<String> = call.iter().map(|(text, _)| text.clone()).collect();
        embedder.embed_documents(&call).await.unwrap();
    }
    started.elapsed()
}

/// Searches and checks the health while `more` says so; returns percentiles in milliseconds.
fn ask(client: &Client, queries: &[String], mut more: impl FnMut() -> bool) -> Value {
    let (mut searches, mut checks) = (Vec::new(), Vec::new());
    for query in queries.iter().cycle() {
        if !more() {
            break;
        }
        let started = Instant::now();
        assert_eq!(client.get("/healthz").status, 200);
        checks.push(started.elapsed());
        let started = Instant::now();
        let reply = client.post("/api/v1/search", &json!({ "query": query }));
        assert_eq!(reply.status, 200, "{reply:?}");
        searches.push(started.elapsed());
        std::thread::sleep(PAUSE);
    }
    json!({ "searches": searches.len(), "search_ms": percentiles(searches), "healthz_ms": percentiles(checks) })
}

fn percentiles(mut times: Vec<Duration>) -> Value {
    times.sort();
    let at = |share: f64| {
        let index = (times.len() as f64 * share).ceil() as usize;
        times
            .get(index.saturating_sub(1))
            .map(|time| time.as_secs_f64() * 1000.0)
    };
    json!({ "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1.0) })
}

fn rate(n: usize, took: Duration) -> f64 {
    n as f64 / took.as_secs_f64()
}

fn status_kib(pid: u32, key: &str) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
