//! The queue of ingest jobs: one per document version. What runs them is [`crate::ingest`].

use super::job::{self, COLUMNS, Job, JobCounts, JobFilter, JobId, JobState, Priority, from_ms};
use super::reason::Reason;
use super::rows::{Page, timestamp, uuid};
use super::{Catalog, corrupt, now};
use crate::{DocumentId, Error, Result};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::HashSet;
use std::time::Duration;
use uuid::Uuid;

/// Key in `meta`: present while no job may start.
const PAUSED: &str = "jobs_paused";
/// Ends of the process while a job ran after which it runs alone, so that it takes no other with it.
const SUSPECT: u32 = 3;
/// Ends of the process while a job ran after which it fails.
const MAX_INTERRUPTIONS: u32 = 10;

/// Which queued jobs to take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) limit: usize,
    /// Only those at least this urgent.
    pub(crate) priority: Priority,
    /// Only files up to this size.
    pub(crate) max_bytes: u64,
}

impl Catalog {
    /// Returns a job.
    ///
    /// # Errors
    /// [`Error::UnknownJob`].
    pub fn job(&self, id: JobId) -> Result<Job> {
        self.read(|conn| find(conn, id))
    }

    /// Returns jobs, newest first, from below the cursor `after`.
    pub fn jobs(&self, filter: &JobFilter, after: Option<&str>, limit: usize) -> Result<Page<Job>> {
        let (state, reason) = (
            filter.state.map(JobState::as_str),
            filter.reason.map(Reason::as_str),
        );
        let rows: Vec<Job> = self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM jobs
                 WHERE id < coalesce(?1, 'g') AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR collection = ?4)
                   AND (?5 IS NULL OR code = ?5)
                 ORDER BY id DESC LIMIT ?2"
            ))?
            .query_map(
                params![after, limit as u64 + 1, state, filter.collection_name, reason],
                job::from_row,
            )?
            .map(|row| row?)
            .collect()
        })?;
        Ok(Page::from_rows(rows, limit, |job| job.id.to_string()))
    }

    /// Returns how many jobs there are and what waits.
    pub fn job_counts(&self) -> Result<JobCounts> {
        self.read(|conn| {
            let by_state = conn
                .prepare_cached("SELECT state, count(*) FROM jobs GROUP BY state")?
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?
                .map(|row| {
                    let (state, n) = row?;
                    Ok((JobState::parse(&state)?, n))
                })
                .collect::<Result<_>>()?;
            let failed_by_reason = conn
                .prepare_cached(
                    "SELECT code, count(*) FROM jobs WHERE state = 'failed' AND code IS NOT NULL
                     GROUP BY code ORDER BY count(*) DESC, code",
                )?
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?
                .map(|row| {
                    let (code, n) = row?;
                    let reason = Reason::parse(&code).ok_or_else(|| corrupt("job code"))?;
                    Ok((reason, n))
                })
                .collect::<Result<_>>()?;
            let (open_bytes, waiting_to_retry, oldest): (u64, u64, Option<String>) = conn
                .prepare_cached(
                    "SELECT coalesce(sum(n_bytes), 0), coalesce(sum(state = 'queued' AND code IS NOT NULL), 0),
                            min(CASE state WHEN 'queued' THEN created_at END)
                     FROM jobs WHERE state IN ('queued', 'running')",
                )?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(JobCounts {
                by_state,
                failed_by_reason,
                waiting_to_retry,
                open_bytes,
                oldest_queued: oldest.as_deref().map(timestamp).transpose()?,
            })
        })
    }

    /// Returns up to `limit` queued jobs in the order in which they will be taken, whether or not they are due.
    pub fn queued_jobs(&self, limit: usize) -> Result<Vec<Job>> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM jobs WHERE state = 'queued'
                 ORDER BY interrupted >= {SUSPECT}, priority DESC, id LIMIT ?1"
            ))?
            .query_map([limit as u64], job::from_row)?
            .map(|row| row?)
            .collect()
        })
    }

    /// Returns whether a job waits, due or not.
    pub(crate) fn any_queued(&self) -> Result<bool> {
        self.read(|conn| {
            Ok(conn
                .prepare_cached("SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1")?
                .exists([])?)
        })
    }

    /// Takes queued jobs that are due: marks them running and returns them, most urgent first, then oldest.
    pub(crate) fn claim_jobs(&self, claim: Claim) -> Result<Vec<Job>> {
        self.take(
            &format!("interrupted < {SUSPECT} AND priority >= ?2 AND n_bytes <= ?3"),
            "priority DESC, id",
            claim,
        )
    }

    /// Takes one job of those that run alone, because the process ended again and again while they ran.
    pub(crate) fn claim_suspect(&self) -> Result<Option<Job>> {
        let claim = Claim {
            limit: 1,
            priority: Priority::Low,
            max_bytes: i64::MAX as u64,
        };
        let taken = self.take(
            &format!("interrupted >= {SUSPECT} AND priority >= ?2 AND n_bytes <= ?3"),
            "interrupted, priority DESC, id",
            claim,
        )?;
        Ok(taken.into_iter().next())
    }

    fn take(&self, which: &str, order: &str, claim: Claim) -> Result<Vec<Job>> {
        let (due, rank, limit) = (now_ms(), claim.priority.rank(), claim.limit as u64);
        let max_bytes = i64::try_from(claim.max_bytes).unwrap_or(i64::MAX);
        let select = format!(
            "SELECT {COLUMNS} FROM jobs INDEXED BY jobs_queue
             WHERE state = 'queued' AND coalesce(next_attempt_at, 0) <= ?1 AND {which} ORDER BY {order} LIMIT ?4"
        );
        let bound = params![due, rank, max_bytes, limit];
        // An empty queue, which is looked at often, takes no turn at the writer.
        let nothing = self.read(|conn| Ok(!conn.prepare_cached(&select)?.exists(bound)?))?;
        if nothing {
            return Ok(Vec::new());
        }
        self.write(|tx| {
            let taken: Vec<Job> = tx
                .prepare_cached(&select)?
                .query_map(bound, job::from_row)?
                .map(|row| row?)
                .collect::<Result<_>>()?;
            let at = now();
            let mut start = tx.prepare_cached(
                "UPDATE jobs SET state = 'running', started_at = ?2, next_attempt_at = NULL, error = NULL, code = NULL WHERE id = ?1",
            )?;
            for job in &taken {
                start.execute(params![job.id.to_string(), at])?;
            }
            let started = timestamp(&at)?;
            Ok(taken
                .into_iter()
                .map(|job| Job {
                    state: JobState::Running,
                    started_at: Some(started),
                    next_attempt_at: None,
                    error: None,
                    reason: None,
                    ..job
                })
                .collect())
        })
    }

    /// Returns when the next of the queued jobs is due; `None` when none waits for its time.
    pub fn next_attempt(&self) -> Result<Option<Timestamp>> {
        let at: Option<i64> = self.read(|conn| {
            Ok(conn.query_row(
                "SELECT min(next_attempt_at) FROM jobs WHERE state = 'queued' AND next_attempt_at IS NOT NULL",
                [],
                |row| row.get(0),
            )?)
        })?;
        at.map(from_ms).transpose()
    }

    /// Returns the jobs that are running.
    pub(crate) fn running_jobs(&self) -> Result<HashSet<JobId>> {
        self.read(|conn| {
            conn.prepare_cached("SELECT id FROM jobs WHERE state = 'running'")?
                .query_map([], |row| row.get::<_, String>(0))?
                .map(|id| Ok(JobId(uuid(&id?)?)))
                .collect()
        })
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
                Reason::Crashed,
                &format!("kura ended {MAX_INTERRUPTIONS} times while it read this file"),
            )?;
        }
        self.write(|tx| {
            Ok(tx.execute("UPDATE jobs SET state = 'queued', started_at = NULL, interrupted = interrupted + 1 WHERE state = 'running'", [])?)
        })
    }

    /// Puts running jobs back into the queue, through no fault of their own. Returns how many there were.
    pub(crate) fn requeue(&self, ids: &[JobId], why: Option<(Reason, &str)>) -> Result<usize> {
        if ids.is_empty() {
            return Ok(0);
        }
        let (code, error) = (
            why.map(|(code, _)| code.as_str()),
            why.map(|(_, error)| error),
        );
        self.write(|tx| {
            let mut put_back = tx.prepare_cached(
                "UPDATE jobs SET state = 'queued', started_at = NULL, code = ?2, error = ?3
                 WHERE id = ?1 AND state = 'running'",
            )?;
            let mut n = 0;
            for id in ids {
                n += put_back.execute(params![id.to_string(), code, error])?;
            }
            Ok(n)
        })
    }

    /// Puts a running job back into the queue for another attempt, not before `wait` has passed.
    pub(crate) fn retry_later(
        &self,
        id: JobId,
        reason: Reason,
        error: &str,
        wait: Duration,
    ) -> Result<()> {
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.write(|tx| {
            tx.execute(
                "UPDATE jobs SET state = 'queued', started_at = NULL, code = ?2, error = ?3, attempts = attempts + 1, next_attempt_at = ?4
                 WHERE id = ?1 AND state = 'running'",
                params![id.to_string(), reason.as_str(), error, now_ms().saturating_add(wait)],
            )?;
            Ok(())
        })
    }

    /// Records that a file cannot be indexed. An older version, if any, stays visible. A job that is over stays as it is.
    pub fn fail_job(&self, id: JobId, reason: Reason, error: &str) -> Result<()> {
        self.write(|tx| {
            end(tx, id, JobState::Failed, reason, error)?;
            Ok(())
        })
    }

    /// Cancels a job: from now on it publishes nothing. An older version of the document, if any, stays visible.
    ///
    /// # Errors
    /// [`Error::UnknownJob`]; [`Error::JobState`] when it is over.
    pub fn cancel_job(&self, id: JobId) -> Result<Job> {
        self.write(|tx| {
            let job = find(tx, id)?;
            if !end(tx, id, JobState::Cancelled, Reason::Cancelled, CANCELLED)? {
                return Err(Error::JobState {
                    id: id.to_string(),
                    state: job.state.as_str(),
                    wanted: "cancelled: only a queued or running job can be",
                });
            }
            find(tx, id)
        })
    }

    /// Queues a job again that has failed or was cancelled, as if it had not been tried before.
    ///
    /// # Errors
    /// [`Error::UnknownJob`]; [`Error::JobState`] when it is not over, is done, or its version is not the latest.
    pub fn retry_job(&self, id: JobId) -> Result<Job> {
        self.write(|tx| {
            let job = find(tx, id)?;
            match job.state {
                JobState::Failed | JobState::Cancelled if requeue_ended(tx, id)? => find(tx, id),
                JobState::Failed | JobState::Cancelled => Err(Error::JobState {
                    id: id.to_string(),
                    state: "outdated",
                    wanted: "retried: its document was deleted, or has a newer version",
                }),
                JobState::Queued | JobState::Running | JobState::Done => Err(Error::JobState {
                    id: id.to_string(),
                    state: job.state.as_str(),
                    wanted: "retried: only a failed or cancelled job can be",
                }),
            }
        })
    }

    /// Queues all failed jobs again, or those with this reason. Those whose version is not the latest stay as they are.
    /// Returns how many are queued.
    pub fn retry_failed(&self, reason: Option<Reason>) -> Result<usize> {
        self.write(|tx| {
            let failed: Vec<JobId> = tx
                .prepare_cached(
                    "SELECT id FROM jobs WHERE state = 'failed' AND (?1 IS NULL OR code = ?1)",
                )?
                .query_map([reason.map(Reason::as_str)], |row| row.get::<_, String>(0))?
                .map(|id| Ok(JobId(uuid(&id?)?)))
                .collect::<Result<_>>()?;
            let mut n = 0;
            for id in failed {
                n += usize::from(requeue_ended(tx, id)?);
            }
            Ok(n)
        })
    }

    /// Has no job start until [`Catalog::resume_jobs`], also after a restart. Those running go on.
    pub fn pause_jobs(&self) -> Result<()> {
        self.set_meta(PAUSED, &now())
    }

    /// Lets jobs start again.
    pub fn resume_jobs(&self) -> Result<()> {
        self.write(|tx| {
            tx.execute("DELETE FROM meta WHERE key = ?1", [PAUSED])?;
            Ok(())
        })
    }

    /// Returns since when the queue is paused; `None` when it is not.
    pub fn jobs_paused_since(&self) -> Result<Option<Timestamp>> {
        self.meta(PAUSED)?.as_deref().map(timestamp).transpose()
    }
}

const CANCELLED: &str = "cancelled before it was done";

/// A job that is queued.
pub(super) struct NewJob<'a> {
    pub(super) document: DocumentId,
    pub(super) version: u32,
    pub(super) source: &'a str,
    pub(super) collection_name: &'a str,
    pub(super) n_bytes: u64,
    pub(super) priority: Priority,
}

pub(super) fn insert(tx: &Transaction<'_>, new: &NewJob<'_>) -> Result<JobId> {
    let id = JobId(Uuid::now_v7());
    tx.execute(
        "INSERT INTO jobs (id, document_id, version, source, collection, state, n_bytes, priority, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 'queued', ?6, ?7, ?8)",
        params![
            id.to_string(),
            new.document.to_string(),
            new.version,
            new.source,
            new.collection_name,
            new.n_bytes,
            new.priority.rank(),
            now()
        ],
    )?;
    Ok(id)
}

/// Raises the priority of a queued job.
pub(super) fn hurry(tx: &Transaction<'_>, id: JobId, priority: Priority) -> Result<()> {
    tx.execute(
        "UPDATE jobs SET priority = max(priority, ?2) WHERE id = ?1 AND state = 'queued'",
        params![id.to_string(), priority.rank()],
    )?;
    Ok(())
}

/// Gives the open jobs of a document its new name.
pub(super) fn rename(tx: &Transaction<'_>, document: &str, source: &str) -> Result<()> {
    tx.prepare_cached(
        "UPDATE jobs SET source = ?2 WHERE document_id = ?1 AND state IN ('queued', 'running')",
    )?
    .execute(params![document, source])?;
    Ok(())
}

/// Ends the open jobs of a document that nobody wants done any more.
pub(super) fn drop_open(
    tx: &Transaction<'_>,
    document: DocumentId,
    reason: Reason,
    error: &str,
) -> Result<()> {
    tx.execute(
        "UPDATE jobs SET state = 'cancelled', code = ?2, error = ?3, next_attempt_at = NULL, finished_at = ?4
         WHERE document_id = ?1 AND state IN ('queued', 'running')",
        params![document.to_string(), reason.as_str(), error, now()],
    )?;
    Ok(())
}

/// Ends an open job without result. Returns whether it was open.
fn end(
    tx: &Transaction<'_>,
    id: JobId,
    state: JobState,
    reason: Reason,
    error: &str,
) -> Result<bool> {
    let at = now();
    let changed = tx.execute(
        "UPDATE jobs SET state = ?2, code = ?3, error = ?4, attempts = attempts + (?2 = 'failed'), next_attempt_at = NULL, finished_at = ?5
         WHERE id = ?1 AND state IN ('queued', 'running')",
        params![id.to_string(), state.as_str(), reason.as_str(), error, at],
    )?;
    if changed == 0 {
        return Ok(false);
    }
    tx.execute(
        "UPDATE documents SET status = 'failed', error = ?2, updated_at = ?3
         WHERE id = (SELECT document_id FROM jobs WHERE id = ?1)
           AND latest_version = (SELECT version FROM jobs WHERE id = ?1)",
        params![id.to_string(), error, at],
    )?;
    Ok(true)
}

/// Queues a job again that has ended, unless its version is not wanted any more.
fn requeue_ended(tx: &Transaction<'_>, id: JobId) -> Result<bool> {
    let changed = tx.execute(
        "UPDATE jobs SET state = 'queued', code = NULL, error = NULL, attempts = 0, interrupted = 0, next_attempt_at = NULL,
                         started_at = NULL, finished_at = NULL
         WHERE id = ?1 AND state IN ('failed', 'cancelled')
           AND EXISTS (SELECT 1 FROM documents d WHERE d.id = jobs.document_id AND d.latest_version = jobs.version AND d.deleted_at IS NULL)",
        [id.to_string()],
    )?;
    if changed == 0 {
        return Ok(false);
    }
    tx.execute(
        "UPDATE documents SET status = 'pending', error = NULL, updated_at = ?2 WHERE id = (SELECT document_id FROM jobs WHERE id = ?1)",
        params![id.to_string(), now()],
    )?;
    Ok(true)
}

fn find(conn: &Connection, id: JobId) -> Result<Job> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1"))?
        .query_row([id.to_string()], job::from_row)
        .optional()?
        .ok_or_else(|| Error::UnknownJob { id: id.to_string() })?
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
