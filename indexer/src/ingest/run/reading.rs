//! From the queue to text: which jobs are taken, and when.

use super::{Done, Event, Held, Run};
use crate::Result;
use crate::catalog::{Catalog, Claim, Job, JobId, Priority, Reason, Stage};
use crate::ingest::prepare::{Prepared, Trouble};
use crate::pipeline::Pipeline;
use std::collections::HashMap;

/// Files that may be read beyond the bounds because a person waits for them.
const URGENT: usize = 2;

impl Run<'_> {
    /// Takes jobs from the queue as far as there is room for their files.
    pub(super) fn claim(&mut self) {
        if self.claiming {
            return;
        }
        let large = self.limits.large_bytes;
        // The one large file, which may take long, leaves room to others.
        let sizes = self.reading.values().copied();
        let sizes = sizes.chain(self.held.values().map(Held::n_bytes));
        let n_bytes: u64 = sizes.map(|n| n.min(large)).sum();
        let full = self.missing.len() >= self.limits.ahead_chunks
            || self.held.len() >= self.limits.held_documents
            || n_bytes >= self.limits.held_bytes;
        let slots = self.limits.readers.saturating_sub(self.reading.len());
        let one_is_large = self.reading.values().any(|n| *n > large)
            || self.held.values().any(|held| held.n_bytes() > large);
        let claim = Claim {
            limit: slots,
            priority: Priority::Low,
            max_bytes: if one_is_large { large } else { u64::MAX },
        };
        let claim = if slots > 0 && !full {
            if self.dry {
                return;
            }
            claim
        } else if !self.no_urgent && self.reading.len() < self.limits.readers + URGENT {
            Claim {
                limit: 1,
                priority: Priority::High,
                ..claim
            }
        } else {
            return;
        };
        self.claiming = true;
        let pipeline = self.pipeline;
        self.start(async move {
            let outcome = pipeline.claim(claim, large).await;
            Ok(Done::Claimed { outcome, claim })
        });
    }

    /// Takes a job that runs alone, when nothing else is left. Returns whether there was one.
    pub(super) async fn claim_suspect(&mut self) -> Result<bool> {
        if self.pipeline.may_start().await? {
            let job = self.pipeline.catalog(Catalog::claim_suspect).await?;
            if let Some(job) = job {
                self.read(job);
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn read(&mut self, job: Job) {
        self.mine.insert(job.id);
        self.reading.insert(job.id, job.n_bytes);
        self.pipeline.activity.begin(job.id);
        (self.report)(Event::Progress(&job, Stage::Extract, 0.0));
        let (pipeline, lease) = (self.pipeline, self.limits.reading_lease);
        self.start(async move {
            let outcome = match tokio::time::timeout(lease, pipeline.prepare(&job)).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    tracing::error!(job.id = %job.id, "a file was not read in time; its job is taken away from the reader");
                    let error = format!("the file was not read within {} s", lease.as_secs());
                    Err(Trouble::Job(Reason::Timeout, error))
                }
            };
            Ok(Done::Read {
                job,
                outcome: Box::new(outcome),
            })
        });
    }

    pub(super) fn hold(&mut self, job: Job, prepared: Prepared) {
        (self.report)(Event::Took(Stage::Extract, prepared.extracting));
        (self.report)(Event::Took(Stage::Chunk, prepared.chunking));
        (self.report)(Event::Progress(&job, Stage::Embed, 0.1));
        let (id, n_chunks) = (job.id, prepared.hashes.len());
        let embedding = u32::try_from(n_chunks).unwrap_or(u32::MAX);
        self.pipeline.activity.embed(id, embedding);
        let held = Held {
            vectors: vec![None; n_chunks],
            next: 0,
            open: HashMap::new(),
            n_resolved: 0,
            n_reused: 0,
            piecewise: n_chunks > self.limits.pieces * self.limits.piece_chunks,
            job,
            prepared,
        };
        self.last_ticket += 1;
        self.held.insert(self.last_ticket, held);
        self.open_pieces(self.last_ticket);
    }
}

impl Pipeline {
    /// Takes queued jobs, at most one of them with a large file, unless the queue is paused.
    ///
    /// # Errors
    /// [`Error::StorageFull`] when a job waits and there is no room for its work.
    async fn claim(&self, claim: Claim, large_bytes: u64) -> Result<Vec<Job>> {
        if !self.may_start().await? {
            return Ok(Vec::new());
        }
        self.catalog(move |catalog| {
            let mut jobs = catalog.claim_jobs(claim)?;
            let mut is_first = true;
            let others = jobs.extract_if(.., |job| {
                job.n_bytes > large_bytes && !std::mem::take(&mut is_first)
            });
            let others: Vec<JobId> = others.map(|job| job.id).collect();
            catalog.requeue(&others, None)?;
            Ok(jobs)
        })
        .await
    }

    /// Returns whether jobs may start.
    ///
    /// # Errors
    /// [`Error::StorageFull`] when a job waits and there is no room for its work.
    async fn may_start(&self) -> Result<bool> {
        let (paused, waiting) = self
            .catalog(|catalog| {
                let paused = catalog.jobs_paused_since()?.is_some();
                Ok((paused, catalog.any_queued()?))
            })
            .await?;
        if paused || !waiting {
            return Ok(false);
        }
        self.check_room(0)?;
        Ok(true)
    }
}
