//! Jobs, and their queue.

use super::{Client, escape, read};
use crate::routes::List;
use crate::routes::jobs::{Job, JobsSummary, Retried};

impl Client {
    /// Returns a job.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn job(&self, id: &str) -> anyhow::Result<Job> {
        read(self.get(&format!("/api/v1/jobs/{id}"))?)
    }

    /// Returns the latest jobs that pass a filter, `limit` at most. `query` is the filter as a query string.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn jobs(&self, query: &[(&str, String)], limit: usize) -> anyhow::Result<Vec<Job>> {
        let filter: String = query
            .iter()
            .map(|(name, value)| format!("&{name}={}", escape(value)))
            .collect();
        let (mut jobs, mut cursor) = (Vec::new(), String::new());
        while jobs.len() < limit {
            let path = format!("/api/v1/jobs?limit=200{filter}{cursor}");
            let page: List<Job> = read(self.get(&path)?)?;
            jobs.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={}", escape(&next)),
                None => break,
            }
        }
        jobs.truncate(limit);
        Ok(jobs)
    }

    /// Returns how the queue stands.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn jobs_summary(&self) -> anyhow::Result<JobsSummary> {
        read(self.get("/api/v1/jobs/summary")?)
    }

    /// Pauses or resumes the queue.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn set_jobs_paused(&self, paused: bool) -> anyhow::Result<JobsSummary> {
        let verb = if paused { "pause" } else { "resume" };
        read(self.post(&format!("/api/v1/jobs/{verb}"), &())?)
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn cancel_job(&self, id: &str) -> anyhow::Result<Job> {
        read(self.post(&format!("/api/v1/jobs/{}/cancel", escape(id)), &())?)
    }

    /// Retries a job.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn retry_job(&self, id: &str) -> anyhow::Result<Job> {
        read(self.post(&format!("/api/v1/jobs/{}/retry", escape(id)), &())?)
    }

    /// Retries failed jobs: all, or those with one code.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn retry_jobs(&self, code: Option<&str>) -> anyhow::Result<Retried> {
        let query = code.map(|code| format!("?code={}", escape(code)));
        let path = format!("/api/v1/jobs/retry{}", query.unwrap_or_default());
        read(self.post(&path, &())?)
    }
}
