//! The server's side: a pool of workers, watched while they read.

use super::sandbox::Confinement;
use super::wire::{self, Request, Tag};
use super::{Extractor, SourceFile};
use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::inner::MAX_FILES;
use crate::extract::{Taker, unpacked};
use async_trait::async_trait;
use std::ffi::OsString;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How often a worker's memory and time are looked at.
const WATCH: Duration = Duration::from_millis(20);
/// Longest start of a worker.
const START: Duration = Duration::from_secs(20);
/// Files after which a worker is replaced, so that whatever one of them did to it does not last.
const FILES_PER_WORKER: u32 = 100;
/// A worker is not replaced sooner: with small files its start, some 10 ms, would cost more than reading them.
const WORKER_LIFE: Duration = Duration::from_secs(1);
/// Files up to this size need no more memory than [`Limits::memory_bytes`]; of larger ones parsers hold copies.
const SMALL_FILE: u64 = 32 << 20;
/// Copies of a large file that parsers may hold.
const COPIES: u64 = 3;
/// A worker that sleeps uses no processor time, but must end some time.
const WALL_PER_CPU: u32 = 10;
/// Processor time for recognizing the text of one picture.
const CPU_PER_PICTURE: Duration = Duration::from_secs(60);
/// Processor time for a file with very many of them.
const MAX_CPU_WITH_PICTURES: Duration = Duration::from_secs(3600);
/// Longest time between the end of a worker's pipes and its own.
const LAST_MOMENT: Duration = Duration::from_millis(200);
/// Longest greeting of a worker.
const MAX_GREETING: u64 = 1 << 16;
/// A worker is replaced when a file leaves it with more than half of its memory: the rest might be too little for the
/// next one.
const KEPT_SHARE: u64 = 2;
/// What is kept of a worker's last words.
const LAST_WORDS: u64 = 4096;

/// What a worker may use for one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Resident memory, for files up to 32 MiB; larger ones may use three times the rest more.
    pub memory_bytes: u64,
    /// Processor time for the smallest file.
    pub cpu: Duration,
    /// Processor time more per MiB of the file.
    pub cpu_per_mib: Duration,
    /// Processor time at the most.
    pub max_cpu: Duration,
    /// What the extracted text and its places may come to.
    pub output_bytes: u64,
}

impl Default for Limits {
    /// 512 MiB, 4 s and half a second per MiB up to 2 min, 256 MiB of output.
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            cpu: Duration::from_secs(4),
            cpu_per_mib: Duration::from_millis(500),
            max_cpu: Duration::from_secs(120),
            output_bytes: 256 << 20,
        }
    }
}

impl Limits {
    fn memory_for(&self, n_bytes: u64) -> u64 {
        self.memory_bytes + COPIES * n_bytes.saturating_sub(SMALL_FILE)
    }

    fn cpu_for(&self, n_bytes: u64) -> Duration {
        let mib = n_bytes as f64 / f64::from(1 << 20);
        (self.cpu + self.cpu_per_mib.mul_f64(mib)).min(self.max_cpu.max(self.cpu))
    }
}

/// A pool of child processes that read files.
///
/// Each runs `program arguments…`, which must call [`serve()`](super::serve()). A worker that crashes, hangs or takes
/// too much is ended; the next file gets a new one.
#[derive(Debug)]
pub struct Workers {
    program: PathBuf,
    arguments: Vec<OsString>,
    limits: Limits,
    slots: Semaphore,
    idle: Mutex<Vec<Worker>>,
}

impl Workers {
    /// Makes a pool of at most `size` processes, which are started when they are needed.
    #[must_use]
    pub fn new(program: PathBuf, arguments: Vec<OsString>, size: usize, limits: Limits) -> Self {
        Self {
            program,
            arguments,
            limits,
            slots: Semaphore::new(size.max(1)),
            idle: Mutex::default(),
        }
    }

    /// Starts a worker, if none is idle, and returns how it is confined.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::ReaderEnded`] when it does not start.
    pub async fn confinement(&self) -> Result<Confinement> {
        let worker = self.worker().await?;
        let confinement = worker.confinement.clone();
        self.put_back(worker);
        Ok(confinement)
    }

    async fn worker(&self) -> Result<Worker> {
        let idle = self.idle().pop();
        match idle {
            Some(worker) => Ok(worker),
            None => Worker::start(&self.program, &self.arguments).await,
        }
    }

    fn put_back(&self, worker: Worker) {
        let is_used_up = worker.is_bloated
            || worker.n_files >= FILES_PER_WORKER && worker.since.elapsed() >= WORKER_LIFE;
        if worker.pipes.is_some() && !is_used_up {
            self.idle().push(worker);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Extractor for Workers {
    async fn extract(&self, file: SourceFile) -> Result<Extracted> {
        let _slot = self
            .slots
            .acquire()
            .await
            .map_err(|error| Error::Task(error.to_string()))?;
        loop {
            let mut worker = self.worker().await?;
            let is_used = worker.n_files > 0;
            let outcome = worker.read(&file, &self.limits).await;
            // It may have suffered from an earlier file; a new one is the judge of this.
            if is_used && matches!(outcome, Err(Error::ReaderEnded { .. })) {
                continue;
            }
            self.put_back(worker);
            return outcome;
        }
    }
}

#[derive(Debug)]
struct Worker {
    process: Process,
    /// Absent while a thread speaks through them, and when that did not come back.
    pipes: Option<Pipes>,
    errors: ChildStderr,
    confinement: Confinement,
    n_files: u32,
    since: Instant,
    /// Whether a file has left it with much memory.
    is_bloated: bool,
}

#[derive(Debug)]
struct Pipes {
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    async fn start(program: &Path, arguments: &[OsString]) -> Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "kura itself, which then can open no socket"
        )]
        let mut child = Command::new(program)
            .args(arguments)
            // Nothing of the server's environment, which may hold secrets.
            .env_clear()
            // Reserved memory must not count as used.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let no_pipe = || std::io::Error::other("a pipe to the worker is missing");
        let mut worker = Self {
            pipes: Some(Pipes {
                input: BufWriter::new(child.stdin.take().ok_or_else(no_pipe)?),
                output: BufReader::new(child.stdout.take().ok_or_else(no_pipe)?),
            }),
            errors: child.stderr.take().ok_or_else(no_pipe)?,
            process: Process(child),
            confinement: Confinement::default(),
            n_files: 0,
            since: Instant::now(),
            is_bloated: false,
        };
        let listen = |pipes: &mut Pipes| pipes.frame(MAX_GREETING);
        match tokio::time::timeout(START, worker.speak(listen)).await {
            Ok(Ok((Tag::Ready, content))) => {
                worker.confinement =
                    serde_json::from_slice(&content).map_err(std::io::Error::from)?;
                Ok(worker)
            }
            Ok(Ok((Tag::Extracted | Tag::Refused | Tag::Step | Tag::Inner, _))) => {
                Err(Error::ReaderEnded {
                    reason: "it answered before it was asked".to_owned(),
                })
            }
            Ok(Err(_)) => Err(worker.epitaph()),
            Err(_) => Err(Error::ReaderEnded {
                reason: format!("it did not start within {} s", START.as_secs()),
            }),
        }
    }

    /// Has it read a file, and watches it meanwhile.
    async fn read(&mut self, file: &SourceFile, limits: &Limits) -> Result<Extracted> {
        self.n_files += 1;
        let n_bytes = file.bytes.len() as u64;
        let (memory, cpu) = (limits.memory_for(n_bytes), limits.cpu_for(n_bytes));
        let head = wire::request_head(&Request {
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            n_bytes,
            memory_bytes: memory,
            hands_out: file.taker.is_some(),
        })?;
        let mut watch = Watch::new(self.process.id(), memory, cpu);
        let (steps, waited) = (Arc::clone(&watch.steps), Arc::clone(&watch.waited));
        let mut files = file.taker.clone().map(|taker| Handed::new(taker, n_bytes));
        let (bytes, max_output) = (Arc::clone(&file.bytes), limits.output_bytes);
        let exchange = self.speak(move |pipes| {
            pipes.input.write_all(&head)?;
            pipes.input.write_all(&bytes)?;
            pipes.input.flush()?;
            loop {
                match (pipes.frame(max_output)?, &mut files) {
                    ((Tag::Step, _), _) => {
                        steps.fetch_add(1, Ordering::Relaxed);
                    }
                    ((Tag::Inner, content), Some(files)) => {
                        let started = Instant::now();
                        files.take(&content).map_err(Broken::NotTaken)?;
                        let took = u64::try_from(started.elapsed().as_millis());
                        waited.fetch_add(took.unwrap_or(u64::MAX), Ordering::Relaxed);
                    }
                    (last, _) => return Ok(last),
                }
            }
        });
        let outcome = tokio::select! {
            outcome = exchange => outcome,
            crossed = watch.until_crossed() => return Err(crossed),
        };
        self.is_bloated = watch.may_have_bloated();
        match outcome {
            Ok((tag, content)) => wire::outcome(tag, &content),
            Err(Broken::TooMuch(n_bytes)) => Err(Error::TooLarge {
                reason: format!("its text comes to {} MiB", n_bytes >> 20),
            }),
            Err(Broken::NotTaken(error)) => Err(error),
            Err(Broken::Pipe) => Err(self.epitaph()),
        }
    }

    /// Runs a conversation on a thread for waiting. If it fails or is left, the pipes are gone: the worker is of no use.
    async fn speak(
        &mut self,
        conversation: impl FnOnce(&mut Pipes) -> std::result::Result<(Tag, Vec<u8>), Broken>
        + Send
        + 'static,
    ) -> std::result::Result<(Tag, Vec<u8>), Broken> {
        let mut pipes = self.pipes.take().ok_or(Broken::Pipe)?;
        let spoken = tokio::task::spawn_blocking(move || {
            let outcome = conversation(&mut pipes)?;
            Ok::<_, Broken>((pipes, outcome))
        });
        let (pipes, outcome) = spoken.await.map_err(|_| Broken::Pipe)??;
        self.pipes = Some(pipes);
        Ok(outcome)
    }

    /// Says why a worker that has closed its pipes did so.
    fn epitaph(&mut self) -> Error {
        let status = self.process.end();
        let mut words = Vec::new();
        // Nothing else can be learned if this fails.
        drop((&mut self.errors).take(LAST_WORDS).read_to_end(&mut words));
        let words = String::from_utf8_lossy(&words);
        if words.contains("memory allocation of") {
            return out_of_memory(None);
        }
        let said = words.lines().find_map(|line| line.strip_prefix("error: "));
        let reason = match (said, status) {
            (Some(said), _) => said.to_owned(),
            (None, Some(status)) => format!("it ended with {status}"),
            (None, None) => "it went away".to_owned(),
        };
        Error::ReaderEnded { reason }
    }
}

impl Pipes {
    fn frame(&mut self, max_bytes: u64) -> std::result::Result<(Tag, Vec<u8>), Broken> {
        let (mut tag, mut length) = ([0; 1], [0; 8]);
        self.output.read_exact(&mut tag)?;
        self.output.read_exact(&mut length)?;
        let tag = Tag::from_byte(tag[0]).ok_or(Broken::Pipe)?;
        let n_bytes = u64::from_le_bytes(length);
        let max_bytes = match tag {
            Tag::Inner => wire::MAX_INNER,
            Tag::Ready | Tag::Step | Tag::Extracted | Tag::Refused => max_bytes,
        };
        if n_bytes > max_bytes {
            return Err(Broken::TooMuch(n_bytes));
        }
        // What comes decides, not what is announced.
        let mut content = Vec::new();
        (&mut self.output).take(n_bytes).read_to_end(&mut content)?;
        if content.len() as u64 == n_bytes {
            Ok((tag, content))
        } else {
            Err(Broken::Pipe)
        }
    }
}

/// The files that lie in the one being read, as they come. The worker keeps the bounds, too; it is not trusted to.
struct Handed {
    taker: Taker,
    n_files: usize,
    bytes_left: u64,
}

impl Handed {
    fn new(taker: Taker, n_bytes: u64) -> Self {
        Self {
            taker,
            n_files: 0,
            bytes_left: unpacked::max_inner_bytes(n_bytes),
        }
    }

    fn take(&mut self, frame: &[u8]) -> Result<()> {
        wire::read_inner(frame, |file| {
            let left = self.bytes_left.checked_sub(file.bytes.len() as u64);
            self.bytes_left = left.ok_or_else(unpacked::too_large)?;
            if self.n_files == MAX_FILES {
                return Err(unpacked::too_large());
            }
            self.taker.take(self.n_files, file)?;
            self.n_files += 1;
            Ok(())
        })
    }
}

/// A child process that ends with this value.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits a moment for it to end by itself, then ends it.
    fn end(&mut self) -> Option<ExitStatus> {
        let patience = Instant::now() + LAST_MOMENT;
        while Instant::now() < patience {
            match self.0.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(status) => return status,
                Err(_) => break,
            }
        }
        // An error means that it has ended already.
        drop(self.0.kill());
        self.0.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn out_of_memory(limit: Option<u64>) -> Error {
    let limit = limit.map_or("the memory that is allowed".to_owned(), |limit| {
        format!("{} MiB of memory", limit >> 20)
    });
    Error::TooLarge {
        reason: format!("reading it takes more than {limit}"),
    }
}

/// What can happen to a conversation.
enum Broken {
    Pipe,
    TooMuch(u64),
    /// A file that was handed out could not be kept.
    NotTaken(Error),
}

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Self::Pipe
    }
}

/// Looks at what a process uses.
struct Watch {
    process: u32,
    memory: u64,
    cpu: Duration,
    since: Instant,
    /// Pictures whose recognition was announced or done.
    steps: Arc<AtomicUsize>,
    /// Milliseconds that the process waited for us.
    waited: Arc<AtomicU64>,
}

impl Watch {
    fn new(process: u32, memory: u64, cpu: Duration) -> Self {
        Self {
            process,
            memory,
            cpu,
            since: Instant::now(),
            steps: Arc::default(),
            waited: Arc::default(),
        }
    }

    /// Returns whether the process has kept much of its memory. What takes no time takes no memory worth a look.
    fn may_have_bloated(&self) -> bool {
        self.since.elapsed() >= WATCH
            && usage(self.process).is_some_and(|usage| usage.memory > self.memory / KEPT_SHARE)
    }

    /// Waits until the process uses more than it may, and says of what.
    async fn until_crossed(&mut self) -> Error {
        let mut n_steps = 0;
        // What earlier files took. Most are read before the first look, so that nothing need be looked at.
        let mut cpu_before = None;
        loop {
            tokio::time::sleep(WATCH).await;
            let now = usage(self.process);
            let memory = now.as_ref().map_or(0, |usage| usage.memory);
            // Some room for what it takes between two looks.
            if memory > self.memory - self.memory / 8 {
                return out_of_memory(Some(self.memory));
            }
            let waited = Duration::from_millis(self.waited.load(Ordering::Relaxed));
            let elapsed = self.since.elapsed().saturating_sub(waited);
            let used = now.map_or(
                // Where nothing can be known, the clock has to do.
                elapsed,
                |usage| {
                    let before = cpu_before.get_or_insert(usage.cpu);
                    usage.cpu.saturating_sub(*before)
                },
            );
            let seen = self.steps.load(Ordering::Relaxed);
            if seen > n_steps {
                n_steps = seen;
                // Recognizing a picture takes its time, but not for ever.
                self.cpu = (used + CPU_PER_PICTURE).min(MAX_CPU_WITH_PICTURES.max(self.cpu));
            }
            if used > self.cpu || elapsed > self.cpu * WALL_PER_CPU {
                return Error::ReaderTimedOut {
                    limit_s: self.cpu.as_secs(),
                };
            }
        }
    }
}

struct Usage {
    memory: u64,
    cpu: Duration,
}

/// Returns what a process uses: resident bytes, and processor time of all its threads.
#[cfg(target_os = "linux")]
fn usage(process: u32) -> Option<Usage> {
    let stat = procfs::process::Process::new(i32::try_from(process).ok()?)
        .ok()?
        .stat()
        .ok()?;
    let ticks = (stat.utime + stat.stime) as f64;
    Some(Usage {
        memory: stat.rss * procfs::page_size(),
        cpu: Duration::from_secs_f64(ticks / procfs::ticks_per_second() as f64),
    })
}

#[cfg(not(target_os = "linux"))]
fn usage(_: u32) -> Option<Usage> {
    None
}
