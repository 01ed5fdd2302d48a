//! The audit log: who did what to which documents, when, from where, and how it ended.
//!
//! In reading order:
//! - [`operations`]: the one table of what is recorded; [`layer`]: the one place that records requests.
//! - [`record`]: a record and its line; [`head`]: the signed end of the log; [`key`]: what signs both.
//! - [`segments`]: the files; [`store`]: writing them; [`writer`]: the thread that does, for many at once.
//! - [`verify`]: whether the log is as it was written; [`read`]: finding records; [`export`]: other forms of them.
//!
//! Invariants: a record is durable before what it records is acknowledged; a log that cannot be written lets nothing
//! be changed or read; a log that was changed is not written on. docs/AUDIT.md says what this protects from, and what
//! it does not.

pub mod export;
mod head;
mod key;
pub mod layer;
pub mod operations;
pub mod read;
pub mod record;
mod refusals;
mod segments;
mod store;
#[cfg(test)]
mod tests;
pub mod verify;
mod writer;

use crate::config::AuditConfig;
use crate::error::{ApiError, Code};
use key::Key;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use store::{Options, Store};
use tokio::sync::oneshot;
use writer::{Message, Shared};

pub use layer::Audited;
pub use record::{Draft, Ending, Outcome, Record, Who};
pub use writer::Unavailable;

/// Most records that wait for the disk while reading goes on; some 20 MB.
const MAX_WAITING: usize = 20_000;

/// The log of a data directory. Clones of it are made with [`Arc`]; the last one to go waits for what is unwritten.
pub struct AuditLog {
    data_dir: PathBuf,
    /// What stands for names is made with it.
    key: Option<Key>,
    content: bool,
    retention_days: u32,
    reads_need_record: bool,
    shared: Arc<Shared>,
    /// Absent when the log could not be opened.
    sender: Option<mpsc::Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

/// The end of the log, to be kept where whoever can write to this machine cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The last record's number; 0 when there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

impl std::fmt::Display for Anchor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl std::str::FromStr for Anchor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            "write the number and the hash of a record, SEQ:HASH, as `kura audit head` prints them";
        let (seq, hash) = text.trim().split_once(':').ok_or(wrong)?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        Ok(Self {
            seq: seq.parse().map_err(|_| wrong)?,
            hash: is_hash.then(|| hash.to_ascii_lowercase()).ok_or(wrong)?,
        })
    }
}

impl AuditLog {
    /// Opens the log of a data directory, or begins it. Never fails: a log that cannot be used has a [trouble], so that
    /// a server can start and say so. Blocking.
    ///
    /// [trouble]: Self::trouble
    #[must_use]
    pub fn open(data_dir: &Path, config: &AuditConfig) -> Self {
        let options = Options {
            segment_bytes: Options::SEGMENT_BYTES,
            retention_days: config.retention_days,
        };
        let mut log = Self::open_with(data_dir, config.content, options);
        log.reads_need_record = config.reads_need_record;
        log
    }

    fn open_with(data_dir: &Path, content: bool, options: Options) -> Self {
        let shared = Arc::new(Shared::default());
        let mut key = None;
        let started = Store::open(data_dir, options).and_then(|store| {
            key = Key::read(data_dir)?;
            shared.show(&store);
            let (sender, receiver) = mpsc::channel();
            let shown = Arc::clone(&shared);
            let thread = std::thread::Builder::new()
                .name("audit".to_owned())
                .spawn(move || writer::run(store, &receiver, &shown))?;
            Ok((sender, thread))
        });
        let (sender, thread) = match started {
            Ok((sender, thread)) => {
                shared.set_trouble(None);
                (Some(sender), Some(thread))
            }
            Err(error) => {
                tracing::error!("the audit log cannot be used, so requests are refused: {error:#}");
                shared.set_trouble(Some(format!("{error:#}")));
                (None, None)
            }
        };
        Self {
            data_dir: data_dir.to_owned(),
            key,
            content,
            retention_days: options.retention_days,
            reads_need_record: true,
            shared,
            sender,
            thread,
        }
    }

    /// Returns why nothing can be recorded at present.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.seen().trouble.clone()
    }

    /// Fails while nothing can be recorded.
    ///
    /// # Errors
    /// Then, with the reason.
    pub fn require(&self) -> Result<(), Unavailable> {
        match self.trouble() {
            None => Ok(()),
            Some(trouble) => Err(Unavailable(trouble)),
        }
    }

    /// Fails while what is read may not be shown, because it cannot be recorded.
    ///
    /// # Errors
    /// Then, with the reason. If reading needs no record at once, only when there is no writer that would record it later,
    /// or too much waits for it.
    pub fn require_to_read(&self) -> Result<(), Unavailable> {
        let may_wait = !self.reads_need_record
            && self.sender.is_some()
            && self.shared.seen().waiting < MAX_WAITING;
        if may_wait { Ok(()) } else { self.require() }
    }

    /// Records; durable when this returns. What is given is recorded even if the caller does not wait for it.
    ///
    /// # Errors
    /// When the log cannot be written. The record is kept in memory then, and written when that works again.
    pub async fn record(&self, draft: Draft) -> Result<(), Unavailable> {
        let (reply, done) = oneshot::channel();
        self.send(Message::Record(draft, writer::now(), Some(reply)));
        self.outcome(done).await?
    }

    /// Records without waiting.
    pub fn enqueue(&self, draft: Draft) {
        self.send(Message::Record(draft, writer::now(), None));
    }

    /// Waits until all that was enqueued is written, or has failed.
    pub async fn flush(&self) {
        let (reply, done) = oneshot::channel();
        self.send(Message::Flush(reply));
        // An error: there is no writer, and so nothing to wait for.
        let _ = done.await;
    }

    /// Returns the end of the log.
    #[must_use]
    pub fn head(&self) -> Anchor {
        let seen = self.shared.seen();
        Anchor {
            seq: seen.seq,
            hash: seen.hash.clone(),
        }
    }

    /// Returns the names of the holds.
    #[must_use]
    pub fn holds(&self) -> Vec<String> {
        self.shared.seen().holds.iter().cloned().collect()
    }

    /// Keeps every record from being dropped until the hold is released.
    ///
    /// # Errors
    /// When the name cannot be used, or the log cannot be written.
    pub async fn hold(&self, name: &str) -> Result<(), ApiError> {
        self.order(name, false).await
    }

    /// Releases a hold.
    ///
    /// # Errors
    /// When there is no such hold, or the log cannot be written.
    pub async fn release(&self, name: &str) -> Result<(), ApiError> {
        if !self.shared.seen().holds.contains(name) {
            return Err(ApiError::new(
                Code::NotFound,
                format!("there is no hold `{name}`"),
            ));
        }
        self.order(name, true).await
    }

    /// Returns what stands for a name that others chose, such as that of a file: the same for the same name, and nothing
    /// that the name could be told from without the log's key. So a record need not be changed when a name is forgotten.
    #[must_use]
    pub fn pseudonym(&self, name: &str) -> String {
        match &self.key {
            Some(key) => key.pseudonym(name),
            // Nothing is recorded without the key.
            None => "unknown".to_owned(),
        }
    }

    /// Returns whether the texts of questions and searches are recorded.
    #[must_use]
    pub fn keeps_content(&self) -> bool {
        self.content
    }

    /// Returns after how many days records are dropped; 0: never.
    #[must_use]
    pub fn retention_days(&self) -> u32 {
        self.retention_days
    }

    /// Returns the data directory whose log this is.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    async fn order(&self, name: &str, release: bool) -> Result<(), ApiError> {
        self.require()?;
        let (reply, done) = oneshot::channel();
        self.send(Message::Hold {
            name: name.to_owned(),
            release,
            reply,
        });
        self.outcome(done).await?
    }

    fn send(&self, message: Message) {
        if let Some(sender) = &self.sender {
            // An error: the writer has panicked. Whoever waits is told by the reply that never comes.
            let _ = sender.send(message);
        }
    }

    async fn outcome<T>(&self, done: oneshot::Receiver<T>) -> Result<T, Unavailable> {
        done.await.map_err(|_| {
            let trouble = self.trouble();
            let cause = trouble.unwrap_or_else(|| "its writer has ended; restart kura".to_owned());
            self.shared.set_trouble(Some(cause.clone()));
            Unavailable(cause)
        })
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // It may be the writer's own panic, which was logged.
            drop(thread.join());
        }
    }
}

impl From<Unavailable> for ApiError {
    /// The reason names files of the server, so that only its log has it; there it is once, not for every request.
    fn from(_: Unavailable) -> Self {
        Self::new(
            Code::AuditUnavailable,
            "the audit log cannot be written, and nothing is done that cannot be recorded; the server's log \
             says why. Free some space, or see what `kura audit verify` says",
        )
    }
}

/// Puts the log of a data directory aside, with its key, and begins a new one, which says so. Blocking. Returns where
/// the old one is.
///
/// # Errors
/// When it is in use or cannot be moved.
pub fn restart(data_dir: &Path, reason: &str) -> anyhow::Result<PathBuf> {
    let aside = store::put_aside(data_dir)?;
    let options = Options {
        segment_bytes: Options::SEGMENT_BYTES,
        retention_days: 0,
    };
    let name = aside.file_name().unwrap_or_default().to_string_lossy();
    Store::open(data_dir, options)?.restarted(Who::local_operator(), reason, &name)?;
    Ok(aside)
}
