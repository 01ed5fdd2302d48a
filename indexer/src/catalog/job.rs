//! What is known of an ingest job, and how it is read from its row.

use super::corrupt;
use super::reason::{self, Reason};
use super::rows::{timestamp, uuid};
use crate::{DocumentId, Result};
use jiff::Timestamp;
use rusqlite::Row;
use std::fmt;
use std::time::Duration;
use uuid::Uuid;

/// A job's id; ids grow with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub Uuid);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The indexing of one document version.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The document.
    pub document: DocumentId,
    /// The document's version.
    pub version: u32,
    /// The document's source.
    pub source: String,
    /// The name of its collection.
    pub collection_name: String,
    /// Where it is.
    pub state: JobState,
    /// Which jobs it goes before.
    pub priority: Priority,
    /// What it is doing while running.
    pub stage: Option<Stage>,
    /// 0 to 1 over all stages.
    pub progress: f32,
    /// Why it failed or was cancelled, or why it waits for another attempt.
    pub reason: Option<Reason>,
    /// The same as a sentence.
    pub error: Option<String>,
    /// How often it was tried and ended without result.
    pub attempts: u32,
    /// Before which it is not tried again.
    pub next_attempt_at: Option<Timestamp>,
    /// Size of the file.
    pub n_bytes: u64,
    /// Chunks of the version: known from the stage [`Stage::Embed`] on.
    pub n_chunks: u32,
    /// Those of them that have their vector; while running.
    pub n_embedded: u32,
    /// Those of them that kept a vector which was there already.
    pub n_reused: u32,
    /// Chunks that get their vector per second; while running.
    pub chunks_per_second: Option<f32>,
    /// How long it will still run, at that rate.
    pub eta: Option<Duration>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it last started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobState {
    /// Waiting.
    Queued,
    /// Being worked on; after a crash it is queued again.
    Running,
    /// The version is searchable.
    Done,
    /// The file could not be indexed; a person may retry it.
    Failed,
    /// It is not wanted any more.
    Cancelled,
}

/// Which jobs go before which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Priority {
    /// When nothing else waits.
    Low,
    /// Batches.
    #[default]
    Normal,
    /// A person waits for it.
    High,
}

/// The steps of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Bytes to blocks.
    Extract,
    /// Blocks to chunks.
    Chunk,
    /// Chunks to vectors.
    Embed,
    /// Into the stores, durably.
    Store,
}

/// Which jobs; what is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only those in this state.
    pub state: Option<JobState>,
    /// Only those of the collection of this name.
    pub collection_name: Option<String>,
    /// Only those with this reason.
    pub reason: Option<Reason>,
}

/// How many jobs there are, and how much waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Jobs by state; a state without any is left out.
    pub by_state: Vec<(JobState, u64)>,
    /// Failed jobs by reason, most first; those without a reason are left out.
    pub failed_by_reason: Vec<(Reason, u64)>,
    /// Queued jobs that were tried before, and have a reason.
    pub waiting_to_retry: u64,
    /// Bytes of the files queued and running.
    pub open_bytes: u64,
    /// When the longest waiting of the queued was queued.
    pub oldest_queued: Option<Timestamp>,
}

impl Stage {
    /// Returns the name used on every interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Extract => "extract",
            Self::Chunk => "chunk",
            Self::Embed => "embed",
            Self::Store => "store",
        }
    }
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Returns the name used on every interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns whether nothing more will happen by itself.
    #[must_use]
    pub fn is_over(self) -> bool {
        match self {
            Self::Done | Self::Failed | Self::Cancelled => true,
            Self::Queued | Self::Running => false,
        }
    }

    pub(super) fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or_else(|| corrupt("job state"))
    }
}

impl Priority {
    /// Returns the number it is kept as; higher goes first.
    pub(super) fn rank(self) -> i64 {
        match self {
            Self::Low => -10,
            Self::Normal => 0,
            Self::High => 10,
        }
    }

    /// Returns the priority that is kept as this number.
    pub(super) fn of_rank(rank: i64) -> Self {
        match rank {
            ..0 => Self::Low,
            0 => Self::Normal,
            _ => Self::High,
        }
    }
}

impl JobCounts {
    /// Returns how many jobs are in this state.
    #[must_use]
    pub fn of(&self, state: JobState) -> u64 {
        let found = self.by_state.iter().find(|(known, _)| *known == state);
        found.map_or(0, |(_, n)| *n)
    }
}

pub(super) const COLUMNS: &str = "id, document_id, version, source, collection, state, priority, code, error, attempts, next_attempt_at,
    n_bytes, n_chunks, n_reused, created_at, started_at, finished_at";

pub(super) fn from_ms(at: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(at).map_err(|_| corrupt("time"))
}

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<Job>> {
    let [id, document, source, collection_name, state]: [String; 5] = [
        row.get(0)?,
        row.get(1)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
    ];
    let (version, rank, code, error): (u32, i64, Option<String>, Option<String>) =
        (row.get(2)?, row.get(6)?, row.get(7)?, row.get(8)?);
    let (attempts, next_attempt_at, n_bytes): (u32, Option<i64>, u64) =
        (row.get(9)?, row.get(10)?, row.get(11)?);
    let (n_chunks, n_reused): (u32, u32) = (row.get(12)?, row.get(13)?);
    let (created, started, finished): (String, Option<String>, Option<String>) =
        (row.get(14)?, row.get(15)?, row.get(16)?);
    Ok((|| {
        let state = JobState::parse(&state)?;
        Ok(Job {
            id: JobId(uuid(&id)?),
            document: DocumentId(uuid(&document)?),
            version,
            source,
            collection_name,
            progress: if state == JobState::Done { 1.0 } else { 0.0 },
            state,
            priority: Priority::of_rank(rank),
            stage: None,
            reason: reason::from_column(code.as_deref())?,
            error,
            attempts,
            next_attempt_at: next_attempt_at.map(from_ms).transpose()?,
            n_bytes,
            n_chunks,
            n_embedded: 0,
            n_reused,
            chunks_per_second: None,
            eta: None,
            created_at: timestamp(&created)?,
            started_at: started.as_deref().map(timestamp).transpose()?,
            finished_at: finished.as_deref().map(timestamp).transpose()?,
        })
    })())
}
