//! The background worker: runs queued ingest jobs and tells what happens.
//!
//! Jobs live in the catalog; this module holds nothing that a crash could lose. Every job can be run twice, so one
//! that was cut off is simply taken up again at the next start.

use crate::app::AppState;
use kura_indexer::Pipeline;
use kura_indexer::catalog::{self, Job, JobId, JobState, Stage};
use kura_indexer::ingest::{Event, Limits};
use metrics::{counter, gauge, histogram};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, mpsc};

/// How often the queue is looked at without being notified, in case a notification was lost.
const POLL: Duration = Duration::from_secs(2);
/// Longest wait after a failure of kura itself (a full disk, say) before the job is tried again.
const MAX_BACKOFF: Duration = Duration::from_secs(15);
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
    /// Its row in the catalog changed: it ended, or was queued again.
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

    /// Tells followers that a job's row in the catalog changed.
    pub fn changed(&self, id: JobId) {
        self.send(JobEvent::Changed(id));
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

/// Runs queued jobs until the server stops. What is being stored then is stored first; the rest waits for the next start.
pub async fn work(app: AppState) {
    let (jobs, stop) = (&app.jobs, &app.stopping);
    let mut backoff = Duration::from_secs(1);
    let mut changed = false;
    while !stop.is_cancelled() {
        let wait = match work_once(&app).await {
            Ok(n_ended) => {
                backoff = Duration::from_secs(1);
                changed |= n_ended > 0;
                POLL
            }
            Err(error) => {
                counter!("kura_jobs_interrupted_total").increment(1);
                tracing::error!(
                    retry_secs = backoff.as_secs(),
                    "jobs could not be run and will be retried: {error:#}"
                );
                let wait = backoff;
                backoff = (backoff * 2).min(MAX_BACKOFF);
                wait
            }
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

/// Runs all jobs that are due; returns how many ended.
async fn work_once(app: &AppState) -> anyhow::Result<usize> {
    // Samples are kept until they are counted, which else happens only when someone looks.
    app.metrics.run_upkeep();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let mut run = Abort(tokio::spawn({
        let (pipeline, jobs) = (Arc::clone(&app.pipeline), app.jobs.clone());
        let stop = app.stopping.clone().cancelled_owned();
        async move {
            let report = |event: Event<'_>| match event {
                Event::Progress(job, stage, progress) => jobs.send(JobEvent::Progress {
                    id: job.id,
                    stage,
                    progress,
                }),
                Event::Took(stage, took) => {
                    histogram!("kura_ingest_stage_duration_seconds", "stage" => stage.as_str())
                        .record(took.as_secs_f64());
                }
                Event::Ended(job) => {
                    jobs.changed(job.id);
                    record(job);
                    let _ = ended.send(()); // nobody listens any more when the server stops
                }
            };
            pipeline.run_jobs(&Limits::default(), stop, &report).await
        }
    }));
    let mut n_ended = 0;
    // On a task of its own a panic ends the run, not the worker.
    let outcome = loop {
        tokio::select! {
            outcome = &mut run.0 => break outcome,
            Some(()) = ends.recv() => {
                n_ended += 1;
                while ends.try_recv().is_ok() {
                    n_ended += 1;
                }
                if let Err(error) = app.withdraw_stale_answers().await {
                    tracing::error!("kept answers could not be withdrawn yet: {error:#}");
                }
            }
        }
    };
    while ends.try_recv().is_ok() {
        n_ended += 1;
    }
    app.withdraw_stale_answers().await?;
    outcome??;
    Ok(n_ended)
}

fn record(job: &Job) {
    if let (Some(started), Some(finished)) = (job.started_at, job.finished_at) {
        histogram!("kura_ingest_duration_seconds")
            .record(finished.duration_since(started).as_secs_f64());
    }
    let reason = job.error.as_deref().unwrap_or("no reason given");
    let code = job.reason.map_or("none", catalog::Reason::as_str);
    match job.state {
        JobState::Done => {
            counter!("kura_jobs_total", "state" => "done").increment(1);
            tracing::info!(job.id = %job.id, document.id = %job.document, "indexed a document");
        }
        JobState::Failed => {
            counter!("kura_jobs_total", "state" => "failed").increment(1);
            counter!("kura_jobs_failed_total", "code" => code).increment(1);
            tracing::warn!(
                job.id = %job.id,
                document.id = %job.document,
                job.code = code,
                "a document could not be indexed: {reason}"
            );
        }
        JobState::Cancelled => counter!("kura_jobs_total", "state" => "cancelled").increment(1),
        JobState::Queued | JobState::Running => {
            tracing::warn!(
                job.id = %job.id,
                job.code = code,
                job.attempts = job.attempts,
                "a job will be tried again: {reason}"
            );
        }
    }
}

/// Brings the metrics up to date that are read from the catalog and the pipeline.
///
/// # Errors
/// Those of the catalog.
pub async fn measure(pipeline: &Pipeline) -> kura_indexer::Result<()> {
    let summary = pipeline.jobs_summary().await?;
    for state in JobState::ALL {
        gauge!("kura_jobs", "state" => state.as_str()).set(summary.counts.of(state) as f64);
    }
    let age = summary.counts.oldest_queued.map_or(0.0, |since| {
        jiff::Timestamp::now().duration_since(since).as_secs_f64()
    });
    gauge!("kura_jobs_oldest_queued_seconds").set(age);
    gauge!("kura_jobs_paused").set(f64::from(u8::from(summary.paused_since.is_some())));
    let totals = summary.totals;
    counter!("kura_ingest_documents_total").absolute(totals.documents);
    counter!("kura_ingest_bytes_total").absolute(totals.bytes);
    counter!("kura_ingest_tokens_total").absolute(totals.tokens_embedded);
    counter!("kura_ingest_chunks_total", "vector" => "embedded").absolute(totals.chunks_embedded);
    counter!("kura_ingest_chunks_total", "vector" => "reused").absolute(totals.chunks_reused);
    Ok(())
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
