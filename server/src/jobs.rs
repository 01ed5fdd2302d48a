//! The background worker: runs queued ingest jobs one after another and tells what happens.
//!
//! Jobs live in the catalog; this module holds nothing that a crash could lose. Every job can be run twice, so one
//! that was cut off is simply taken up again at the next start.

use kura_indexer::{Job, JobId, JobState, Pipeline, Stage};
use metrics::{counter, histogram};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

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
    /// Its row in the catalog changed: started, done, failed or interrupted.
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

/// Runs queued jobs until `stop`. A job running then is cut off; the next start takes it up again.
pub async fn work(pipeline: Arc<Pipeline>, jobs: Jobs, stop: CancellationToken) {
    let mut backoff = Duration::from_secs(1);
    loop {
        let wait = tokio::select! {
            () = stop.cancelled() => return,
            outcome = work_once(&pipeline, &jobs) => match outcome {
                Ok(true) => {
                    backoff = Duration::from_secs(1);
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
            () = jobs.queued.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Runs the oldest queued job; returns whether there was one.
async fn work_once(pipeline: &Arc<Pipeline>, jobs: &Jobs) -> anyhow::Result<bool> {
    let Some(id) = pipeline.next_job().await? else {
        return Ok(false);
    };
    jobs.send(JobEvent::Changed(id));
    let task = Abort(tokio::spawn({
        let (pipeline, jobs) = (Arc::clone(pipeline), jobs.clone());
        async move { run(&pipeline, &jobs, id).await }
    }));
    // On a task of its own a panic ends the job, not the worker.
    let outcome = task.join().await;
    jobs.send(JobEvent::Changed(id));
    let job = outcome??;
    record(&job);
    Ok(true)
}

async fn run(pipeline: &Pipeline, jobs: &Jobs, id: JobId) -> kura_indexer::Result<Job> {
    let started = Instant::now();
    let report = {
        let jobs = jobs.clone();
        move |stage, progress| jobs.send(JobEvent::Progress { id, stage, progress })
    };
    let job = pipeline.run_job(id, &report).await?;
    histogram!("kura_ingest_duration_seconds").record(started.elapsed().as_secs_f64());
    Ok(job)
}

fn record(job: &Job) {
    match job.state {
        JobState::Done => {
            counter!("kura_jobs_total", "state" => "done").increment(1);
            tracing::info!(job.id = %job.id.0, document.id = %job.document, "indexed a document");
        }
        JobState::Failed => {
            counter!("kura_jobs_total", "state" => "failed").increment(1);
            tracing::warn!(
                job.id = %job.id.0,
                document.id = %job.document,
                "a document could not be indexed: {}",
                job.error.as_deref().unwrap_or("no reason given")
            );
        }
        JobState::Queued | JobState::Running => {
            tracing::debug!(job.id = %job.id.0, "the job stays queued");
        }
    }
}

/// Aborts the task when dropped, so that cutting off the worker cuts off its job.
struct Abort<T>(tokio::task::JoinHandle<T>);

impl<T> Abort<T> {
    async fn join(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for Abort<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
