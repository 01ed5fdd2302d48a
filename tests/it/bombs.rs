//! Hostile and broken files: each is refused or read within its limits, and nobody else notices.

mod files;
mod server;

pub(crate) use files::Random;
use files::{broken, made};
use kura_indexer::extract::Taker;
use kura_indexer::extract::isolation::{Extractor as _, Limits, SourceFile, Workers};
use kura_tests::Kura;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the worker may hold at any moment.
const MAX_MEMORY_KIB: u64 = 512 << 10;
/// Longest time for one file. The limit is on processor time and lower; this is for a machine with other things to do.
const MAX_TIME: Duration = Duration::from_secs(30);

fn workers(protection: &str) -> Workers {
    Workers::new(
        Kura::binary(),
        vec![
            "extract-worker".into(),
            "--protection".into(),
            protection.into(),
        ],
        1,
        Limits::default(),
    )
}

fn file(name: &str, bytes: Vec<u8>) -> SourceFile {
    SourceFile {
        bytes: bytes.into(),
        name: name.to_owned(),
        media_type: None,
        taker: Some(Taker::discard()),
    }
}

#[tokio::test]
async fn bombs_and_garbage_stay_within_their_limits() {
    let workers = workers("required");
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut files = made();
    let n_made = files.len();
    assert!(n_made >= 40, "{n_made}");
    files.extend(broken(&sound(), &mut random));
    let peak = PeakMemory::watch();
    let (mut failures, mut reasons) = (Vec::new(), BTreeMap::<String, usize>::new());
    println!("| file | KiB | ms | outcome |\n| --- | ---: | ---: | --- |");
    for (at, (name, bytes)) in files.into_iter().enumerate() {
        let size = bytes.len() >> 10;
        let started = Instant::now();
        let outcome = workers.extract(file(&name, bytes)).await;
        let took = started.elapsed();
        let said = match outcome {
            Ok(extracted) => format!("{} blocks", extracted.blocks.len()),
            Err(error) => error.to_string(),
        };
        if at < n_made {
            println!("| {name} | {size} | {} | {said} |", took.as_millis());
        }
        let reason = said.split([':', '(', ';']).next().unwrap_or_default();
        *reasons
            .entry(
                reason
                    .trim_start_matches(|c: char| c.is_ascii_digit())
                    .to_owned(),
            )
            .or_default() += 1;
        if took > MAX_TIME {
            failures.push(format!("{name} took {took:?}: {said}"));
        }
    }
    let peak = peak.stop();
    println!(
        "{reasons:#?}\npeak memory of the workers: {} MiB",
        peak >> 10
    );
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(peak > 0 && peak <= MAX_MEMORY_KIB, "{peak} KiB");
}

#[tokio::test]
async fn a_worker_can_open_nothing_and_outlives_every_refusal() {
    let workers = workers("required");
    let confinement = workers.confinement().await.unwrap();
    assert!(confinement.no_files && confinement.no_network && confinement.no_processes);
    assert!(confinement.missing.is_empty(), "{confinement:?}");
    let refused = workers.extract(file("a.docx", b"no zip".to_vec())).await;
    assert!(refused.unwrap_err().to_string().contains("DOCX"));
    let read = workers
        .extract(file("a.md", b"# Rules\n\nTen days.".to_vec()))
        .await;
    assert_eq!(read.unwrap().blocks.len(), 2);
}

#[tokio::test]
async fn a_worker_that_is_killed_fails_one_file_and_the_next_gets_another() {
    let workers = Arc::new(workers("best-effort"));
    workers.confinement().await.unwrap();
    let slow = made()
        .into_iter()
        .find(|(name, _)| name == "columns.csv")
        .unwrap();
    let reading = tokio::spawn({
        let workers = Arc::clone(&workers);
        async move { workers.extract(file(&slow.0, slow.1)).await }
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    for worker in workers_with("best-effort") {
        let killed = Command::new("kill")
            .args(["-9", &worker.to_string()])
            .status();
        assert!(killed.unwrap().success());
    }
    // Lost in the middle, or read before the blow fell.
    if let Err(error) = reading.await.unwrap() {
        assert!(error.to_string().contains("lost"), "{error}");
    }
    let read = workers
        .extract(file("a.md", b"# Rules\n\nTen days.".to_vec()))
        .await;
    assert_eq!(read.unwrap().blocks.len(), 2);
}

/// Sound files of several formats.
fn sound() -> Vec<(String, Vec<u8>)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut sound = Vec::new();
    for folder in ["handbook", "mixed"] {
        for entry in fs_err::read_dir(fixtures.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                sound.push((name, fs_err::read(&path).unwrap()));
            }
        }
    }
    sound.sort();
    sound.retain(|(_, bytes)| bytes.len() > 100);
    assert!(sound.len() >= 10, "{}", sound.len());
    sound
}

/// The workers with this protection that this process has started. Other tests have servers and workers of their own.
fn workers_with(protection: &str) -> Vec<u32> {
    let own = std::process::id();
    let processes = fs_err::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
        // Until it has become a worker, a child is a copy of this process, with its command line.
        let line = fs_err::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<&str> = line.split('\0').collect();
        let is_worker = words.get(1) == Some(&"extract-worker") && words.contains(&protection);
        (parent.parse() == Ok(own) && is_worker).then_some(pid)
    });
    processes.collect()
}

/// The most memory that a worker has held, in KiB, seen from outside.
struct PeakMemory {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl PeakMemory {
    fn watch() -> Self {
        let (stop, peak) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let thread = std::thread::spawn({
            let (stop, peak) = (Arc::clone(&stop), Arc::clone(&peak));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    for pid in workers_with("required") {
                        peak.fetch_max(high_water(pid).unwrap_or(0), Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        Self { stop, peak, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.peak.load(Ordering::Relaxed)
    }
}

fn high_water(pid: u32) -> Option<u64> {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
