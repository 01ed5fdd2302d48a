//! Ingest jobs: one per document version, with visible state.

use super::rows::{Page, timestamp, uuid};
use super::{Catalog, corrupt, now};
use crate::{DocumentId, Error, Result};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use std::fmt;
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
    /// What it is doing while running.
    pub stage: Option<Stage>,
    /// 0 to 1 over all stages.
    pub progress: f32,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it last started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Waiting.
    Queued,
    /// Being worked on; after a crash it is queued again.
    Running,
    /// The version is searchable.
    Done,
    /// The file could not be indexed.
    Failed,
}

/// The steps of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Returns the name used on every interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// Ends of the process while a job ran after which it fails.
const MAX_INTERRUPTIONS: u32 = 10;
const COLUMNS: &str = "id, document_id, version, source, collection, state, stage, progress, error, created_at, started_at, finished_at";

impl Catalog {
    /// Returns a job.
    ///
    /// # Errors
    /// [`Error::UnknownJob`].
    pub fn job(&self, id: JobId) -> Result<Job> {
        self.read(|conn| {
            conn.prepare_cached(&format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1"))?
                .query_row([id.to_string()], job)
                .optional()?
                .ok_or_else(|| Error::UnknownJob { id: id.to_string() })?
        })
    }

    /// Returns jobs, newest first, from below the cursor `after`.
    pub fn jobs(&self, after: Option<&str>, limit: usize) -> Result<Page<Job>> {
        let rows: Vec<Job> = self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM jobs WHERE id < coalesce(?1, 'g') ORDER BY id DESC LIMIT ?2"
            ))?
            .query_map(params![after, limit as u64 + 1], job)?
            .map(|row| row?)
            .collect()
        })?;
        Ok(Page::from_rows(rows, limit, |job| job.id.to_string()))
    }

    /// Returns up to `limit` queued jobs, oldest first. One that was interrupted comes alone and last, so that it
    /// takes no other with it.
    pub fn queued_jobs(&self, limit: usize) -> Result<Vec<Job>> {
        let queued = |interrupted: &str, limit: usize| {
            self.read(|conn| {
                conn.prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM jobs WHERE state = 'queued' AND {interrupted} ORDER BY id LIMIT ?1"
                ))?
                .query_map([limit as u64], job)?
                .map(|row| row?)
                .collect::<Result<Vec<Job>>>()
            })
        };
        let fresh = queued("interrupted = 0", limit)?;
        if fresh.is_empty() {
            queued("interrupted > 0", 1)
        } else {
            Ok(fresh)
        }
    }

    /// Queues again what a crash left running. Called once, when the data directory is opened.
    ///
    /// A file that has the process ended again and again must not do so for ever: its job fails.
    pub fn requeue_interrupted(&self) -> Result<usize> {
        let hopeless: Vec<JobId> = self.read(|conn| {
            conn.prepare_cached(
                "SELECT id FROM jobs WHERE state = 'running' AND interrupted >= ?1",
            )?
            .query_map([MAX_INTERRUPTIONS - 1], |row| row.get::<_, String>(0))?
            .map(|id| Ok(JobId(uuid(&id?)?)))
            .collect()
        })?;
        for id in hopeless {
            self.fail_job(
                id,
                &format!("kura ended {MAX_INTERRUPTIONS} times while it read this file; ingest it again to retry"),
            )?;
        }
        self.write(|tx| {
            Ok(tx.execute("UPDATE jobs SET state = 'queued', stage = NULL, progress = 0, started_at = NULL, interrupted = interrupted + 1 WHERE state = 'running'", [])?)
        })
    }

    /// Marks jobs running.
    pub fn start_jobs(&self, ids: &[JobId]) -> Result<()> {
        self.each(ids, "UPDATE jobs SET state = 'running', started_at = ?2, error = NULL WHERE id = ?1 AND state = 'queued'")
    }

    /// Puts running jobs back into the queue, because kura and not the file had a problem.
    pub fn requeue(&self, ids: &[JobId]) -> Result<()> {
        self.each(ids, "UPDATE jobs SET state = 'queued', stage = NULL, progress = 0, started_at = NULL WHERE id = ?1 AND state = 'running' AND ?2 = ?2")
    }

    fn each(&self, ids: &[JobId], sql: &str) -> Result<()> {
        self.write(|tx| {
            let at = now();
            for id in ids {
                tx.execute(sql, params![id.to_string(), at])?;
            }
            Ok(())
        })
    }

    /// Records that a file cannot be indexed. An older version, if any, stays visible.
    pub fn fail_job(&self, id: JobId, error: &str) -> Result<()> {
        self.write(|tx| {
            let at = now();
            tx.execute(
                "UPDATE jobs SET state = 'failed', error = ?2, finished_at = ?3 WHERE id = ?1",
                params![id.to_string(), error, at],
            )?;
            tx.execute(
                "UPDATE documents SET status = 'failed', error = ?2, updated_at = ?3
                 WHERE id = (SELECT document_id FROM jobs WHERE id = ?1)
                   AND latest_version = (SELECT version FROM jobs WHERE id = ?1)",
                params![id.to_string(), error, at],
            )?;
            Ok(())
        })
    }
}

pub(super) fn insert(
    tx: &Transaction<'_>,
    document: DocumentId,
    version: u32,
    source: &str,
    collection: &str,
) -> Result<JobId> {
    let id = JobId(Uuid::now_v7());
    tx.execute(
        "INSERT INTO jobs (id, document_id, version, source, collection, state, created_at) VALUES (?1, ?2, ?3, ?4, ?5, 'queued', ?6)",
        params![id.to_string(), document.to_string(), version, source, collection, now()],
    )?;
    Ok(id)
}

fn job(row: &Row<'_>) -> rusqlite::Result<Result<Job>> {
    let [id, document, source, collection_name, state]: [String; 5] = [
        row.get(0)?,
        row.get(1)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
    ];
    let (version, stage, progress, error): (u32, Option<String>, f32, Option<String>) =
        (row.get(2)?, row.get(6)?, row.get(7)?, row.get(8)?);
    let (created, started, finished): (String, Option<String>, Option<String>) =
        (row.get(9)?, row.get(10)?, row.get(11)?);
    Ok((|| {
        Ok(Job {
            id: JobId(uuid(&id)?),
            document: DocumentId(uuid(&document)?),
            version,
            source,
            collection_name,
            state: match state.as_str() {
                "queued" => JobState::Queued,
                "running" => JobState::Running,
                "done" => JobState::Done,
                "failed" => JobState::Failed,
                _ => return Err(corrupt("job state")),
            },
            stage: match stage.as_deref() {
                None => None,
                Some("extract") => Some(Stage::Extract),
                Some("chunk") => Some(Stage::Chunk),
                Some("embed") => Some(Stage::Embed),
                Some("store") => Some(Stage::Store),
                Some(_) => return Err(corrupt("job stage")),
            },
            progress,
            error,
            created_at: timestamp(&created)?,
            started_at: started.as_deref().map(timestamp).transpose()?,
            finished_at: finished.as_deref().map(timestamp).transpose()?,
        })
    })())
}
