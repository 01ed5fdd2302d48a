//! The background worker: runs queued ingest jobs and tells what happens.
//!
//! Jobs live in the catalog; this module holds nothing that a crash could lose. Every job can be run twice, so one
//! that was cut off is simply taken up again at the next start.

use crate::app::AppState;
use kura_indexer::catalog::{Job, JobId, JobState, Stage};
use metrics::{counter, histogram};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast};

/// How often the queue is looked at without being notified, in case a notification was lost.
const POLL: Duration = Duration::from_secs(2);
/// Longest wait after a failure of kura itself (a full disk, say) before the job is tried again.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Events kept for a slow reader; one that falls behind reads the job anew.
const EVENTS: usize = 256;

/// What the worker says about a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum JobEvent {
    /// It advanced.
    Progress {
        /// The job.
        id: JobId,
        /// What it is doing.
        stage: Stage,
        /// From 0 to 1.
        progress: f32,
    },
    /// Its row in the catalog changed: it ended.
    Changed(JobId),
}

/// The connection between the worker and the rest of the server.
#[derive(Debug, Clone)]
pub struct Jobs {
    queued: Arc<Notify>,
    events: broadcast::Sender<JobEvent>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            queued: Arc::new(Notify::new()),
            events: broadcast::Sender::new(EVENTS),
        }
    }
}

impl Jobs {
    /// Tells the worker that a job was queued.
    pub fn notify(&self) {
        self.queued.notify_one();
    }

    /// Returns the events from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<JobEvent> {
        self.events.subscribe()
    }

    fn send(&self, event: JobEvent) {
        // Nobody listening is fine: the catalog has the truth.
        drop(self.events.send(event));
    }
}

/// Runs queued jobs until the server stops. A job running then is cut off; the next start takes it up again.
pub async fn work(app: AppState) {
    let (jobs, stop) = (&app.jobs, &app.stopping);
    let mut backoff = Duration::from_secs(1);
    let mut changed = false;
    loop {
        let wait = tokio::select! {
            () = stop.cancelled() => return,
            outcome = work_once(&app) => match outcome {
                Ok(true) => {
                    backoff = Duration::from_secs(1);
                    changed = true;
                    continue;
                }
                Ok(false) => POLL,
                Err(error) => {
                    counter!("kura_jobs_interrupted_total").increment(1);
                    tracing::error!(
                        retry_secs = backoff.as_secs(),
                        "a job could not be run and will be retried: {error:#}"
                    );
                    let wait = backoff;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    wait
                }
            },
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = jobs.queued.notified() => continue,
            () = tokio::time::sleep(wait) => {}
        }
        // Nothing to do for a while: a good time to tidy up.
        if std::mem::take(&mut changed) {
            tokio::select! {
                () = stop.cancelled() => return,
                tidied = app.pipeline.maintain() => if let Err(error) = tidied {
                    tracing::warn!(error = %error, "the index could not be optimized");
                },
            }
        }
    }
}

/// Runs the oldest queued jobs as one batch; returns whether there were any.
async fn work_once(app: &AppState) -> anyhow::Result<bool> {
    // Samples are kept until they are counted, which else happens only when someone looks.
    app.metrics.run_upkeep();
    let jobs = &app.jobs;
    let task = Abort(tokio::spawn({
        let (pipeline, jobs) = (Arc::clone(&app.pipeline), jobs.clone());
        async move {
            let report = |job: &Job, stage, progress| {
                jobs.send(JobEvent::Progress {
                    id: job.id,
                    stage,
                    progress,
                });
            };
            pipeline.run_queued(&report).await
        }
    }));
    // On a task of its own a panic ends the batch, not the worker.
    let done = task.join().await??;
    for job in &done {
        jobs.send(JobEvent::Changed(job.id));
        record(job);
    }
    if !done.is_empty() {
        app.withdraw_stale_answers().await?;
    }
    Ok(!done.is_empty())
}

fn record(job: &Job) {
    if let (Some(started), Some(finished)) = (job.started_at, job.finished_at) {
        histogram!("kura_ingest_duration_seconds")
            .record(finished.duration_since(started).as_secs_f64());
    }
    match job.state {
        JobState::Done => {
            counter!("kura_jobs_total", "state" => "done").increment(1);
            tracing::info!(job.id = %job.id, document.id = %job.document, "indexed a document");
        }
        JobState::Failed => {
            counter!("kura_jobs_total", "state" => "failed").increment(1);
            tracing::warn!(
                job.id = %job.id,
                document.id = %job.document,
                "a document could not be indexed: {}",
                job.error.as_deref().unwrap_or("no reason given")
            );
        }
        JobState::Queued | JobState::Running => {
            tracing::debug!(job.id = %job.id, "the job stays queued");
        }
    }
}

/// Aborts the task when dropped, so that cutting off the worker cuts off its job.
pub(crate) struct Abort<T>(pub(crate) tokio::task::JoinHandle<T>);

impl<T> Abort<T> {
    pub(crate) async fn join(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for Abort<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
