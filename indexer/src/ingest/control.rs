//! What people see of jobs, and what they can do about them.

use super::{Activity, Obstacle, Rates, Totals};
use crate::Result;
use crate::catalog::{Catalog, Job, JobCounts, JobFilter, JobId, Page, Reason};
use crate::pipeline::Pipeline;
use jiff::Timestamp;
use std::time::Duration;

/// How the queue stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobsSummary {
    /// How many jobs there are.
    pub counts: JobCounts,
    /// Work done per second.
    pub rates: Rates,
    /// Work done since the data directory was opened.
    pub totals: Totals,
    /// When all open jobs will be done, at the rate at which bytes went through of late; `None` while that is not known.
    pub eta: Option<Duration>,
    /// Since when no job may start.
    pub paused_since: Option<Timestamp>,
    /// Why no job is run although some wait.
    pub obstacle: Option<Obstacle>,
}

impl Pipeline {
    /// Returns a job.
    ///
    /// # Errors
    /// [`Error::UnknownJob`](crate::Error::UnknownJob).
    pub async fn job(&self, id: JobId) -> Result<Job> {
        let mut job = self.catalog(move |catalog| catalog.job(id)).await?;
        self.activity.describe(&mut job);
        Ok(job)
    }

    /// Returns jobs, newest first, from below the cursor `after`.
    pub async fn jobs(
        &self,
        filter: &JobFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Job>> {
        let (filter, after) = (filter.clone(), after.map(str::to_owned));
        let mut page = self
            .catalog(move |catalog| catalog.jobs(&filter, after.as_deref(), limit))
            .await?;
        for job in &mut page.items {
            self.activity.describe(job);
        }
        Ok(page)
    }

    /// Returns the job that will be taken next, if any waits.
    pub async fn next_job(&self) -> Result<Option<JobId>> {
        let queued = self.catalog(|catalog| catalog.queued_jobs(1)).await?;
        Ok(queued.first().map(|job| job.id))
    }

    /// Returns when the next of the jobs is due that wait for another attempt.
    pub async fn next_attempt(&self) -> Result<Option<Timestamp>> {
        self.catalog(Catalog::next_attempt).await
    }

    /// Returns how the queue stands.
    pub async fn jobs_summary(&self) -> Result<JobsSummary> {
        let (counts, paused_since) = self
            .catalog(|catalog| Ok((catalog.job_counts()?, catalog.jobs_paused_since()?)))
            .await?;
        let rates = self.activity.rates();
        let seconds = counts.open_bytes as f64 / rates.bytes;
        Ok(JobsSummary {
            eta: if counts.open_bytes == 0 || paused_since.is_some() {
                None
            } else {
                Duration::try_from_secs_f64(seconds).ok()
            },
            counts,
            rates,
            totals: self.activity.totals(),
            paused_since,
            obstacle: self.activity.obstacle(),
        })
    }

    /// Returns the work done since the data directory was opened.
    #[must_use]
    pub fn ingest_totals(&self) -> Totals {
        Activity::totals(&self.activity)
    }

    /// Cancels a job. From now on it publishes nothing; a running one stops at the end of what it is just doing.
    ///
    /// # Errors
    /// [`Error::UnknownJob`](crate::Error::UnknownJob); [`Error::JobState`](crate::Error::JobState) when it is over.
    pub async fn cancel_job(&self, id: JobId) -> Result<Job> {
        self.catalog(move |catalog| catalog.cancel_job(id)).await
    }

    /// Queues a job again that has failed or was cancelled.
    ///
    /// # Errors
    /// [`Error::UnknownJob`](crate::Error::UnknownJob); [`Error::JobState`](crate::Error::JobState) when there is
    /// nothing to retry.
    pub async fn retry_job(&self, id: JobId) -> Result<Job> {
        self.catalog(move |catalog| catalog.retry_job(id)).await
    }

    /// Queues all failed jobs again, or those with this reason. Returns how many.
    pub async fn retry_failed(&self, reason: Option<Reason>) -> Result<usize> {
        self.catalog(move |catalog| catalog.retry_failed(reason))
            .await
    }

    /// Has no job start until [`Pipeline::resume_jobs`], also after a restart. Those running go on.
    pub async fn pause_jobs(&self) -> Result<()> {
        self.catalog(Catalog::pause_jobs).await
    }

    /// Lets jobs start again.
    pub async fn resume_jobs(&self) -> Result<()> {
        self.catalog(Catalog::resume_jobs).await
    }
}
