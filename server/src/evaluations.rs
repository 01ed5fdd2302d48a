//! Evaluations that the server runs: one at a time, in the background, kept like those of the command line.

use crate::error::{ApiError, Code, chain};
use crate::evaluate::Evaluation;
use crate::evaluate::record::{Record, Summary};
use crate::evaluate::records::{Records, Unknown};
use futures::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The stored evaluations, and the one that is running.
#[derive(Debug, Clone)]
pub struct Evaluations {
    records: Records,
    running: Arc<Mutex<Option<Running>>>,
    stopping: CancellationToken,
}

#[derive(Debug, Clone)]
struct Running {
    id: Uuid,
    done: Arc<AtomicUsize>,
    all: usize,
    /// Ends the run.
    cancel: CancellationToken,
    /// Is cancelled when the run has ended and nothing writes its record any more.
    ended: CancellationToken,
}

/// How a run ended.
enum End {
    Done(Box<Record>),
    Failed(String),
    Deleted,
}

impl Evaluations {
    /// Opens those of a data directory; what an earlier server left running has failed. Runs end with `stopping`.
    #[must_use]
    pub fn open(data_dir: &Path, stopping: CancellationToken) -> Self {
        let records = Records::of(data_dir);
        if let Err(error) = records.fail_interrupted() {
            // A full disk, say. Documents can be searched all the same.
            tracing::warn!(
                "evaluations that were interrupted could not be marked as failed: {error:#}"
            );
        }
        Self {
            records,
            running: Arc::default(),
            stopping,
        }
    }

    /// Starts an evaluation; its record is stored when this returns.
    ///
    /// # Errors
    /// `evaluation_running` when another one is; when the record cannot be stored.
    pub async fn start(&self, evaluation: Evaluation) -> Result<Summary, ApiError> {
        let record = evaluation.record.clone();
        let running = Running {
            id: record.summary.id,
            done: Arc::default(),
            all: record.summary.dataset.asked,
            cancel: self.stopping.child_token(),
            ended: CancellationToken::new(),
        };
        {
            let mut slot = self.slot();
            if let Some(other) = &*slot {
                return Err(ApiError::new(
                    Code::EvaluationRunning,
                    format!(
                        "the evaluation {} is running, and only one runs at a time; wait until it is done, or delete it",
                        other.id
                    ),
                ));
            }
            *slot = Some(running.clone());
        }
        let summary = record.summary.clone();
        let written = self.write(record.clone()).await;
        if let Err(error) = written {
            self.slot().take();
            return Err(error);
        }
        tokio::spawn(self.clone().work(evaluation, record, running));
        Ok(summary)
    }

    /// Runs it to its end and stores what came out.
    async fn work(self, evaluation: Evaluation, record: Record, running: Running) {
        let _ended = running.ended.clone().drop_guard();
        let id = running.id;
        let report = |_: &str, done, _| running.done.store(done, Ordering::Relaxed);
        let mut ignore = |_: &_, _: &str, _: &[_]| Ok(());
        let run = AssertUnwindSafe(evaluation.run(&mut ignore, &report)).catch_unwind();
        let end = tokio::select! {
            () = running.cancel.cancelled() => {
                if self.stopping.is_cancelled() {
                    End::Failed("interrupted: the server stopped; run it again".to_owned())
                } else {
                    End::Deleted
                }
            }
            outcome = run => match outcome {
                Ok(Ok(record)) => End::Done(Box::new(record)),
                Ok(Err(error)) => End::Failed(chain(error.as_ref())),
                Err(_) => End::Failed("kura failed; the server's log says more".to_owned()),
            },
        };
        let written = match end {
            End::Done(record) => self.write(*record).await,
            End::Failed(reason) => {
                tracing::warn!(evaluation.id = %id, "an evaluation failed: {reason}");
                self.write(record.fail(reason)).await
            }
            End::Deleted => Ok(()),
        };
        if let Err(error) = written {
            tracing::error!(
                evaluation.id = %id,
                "the evaluation could not be stored: {}",
                error.cause.as_deref().unwrap_or(&error.detail)
            );
        }
        self.slot().take();
    }

    /// Returns a whole evaluation.
    ///
    /// # Errors
    /// `unknown_evaluation`, or when it cannot be read.
    pub async fn get(&self, id: Uuid) -> Result<Record, ApiError> {
        let mut record = self.blocking(move |records| records.read(id)).await?;
        self.note_progress(&mut record.summary);
        Ok(record)
    }

    /// Returns an evaluation without its queries.
    ///
    /// # Errors
    /// As [`Evaluations::get`].
    pub async fn summary(&self, id: Uuid) -> Result<Summary, ApiError> {
        let mut summary = self.blocking(move |records| records.summary(id)).await?;
        self.note_progress(&mut summary);
        Ok(summary)
    }

    /// Returns summaries that pass, the latest first, from below `after`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list(
        &self,
        after: Option<Uuid>,
        limit: usize,
        passes: impl Fn(&Summary) -> bool + Send + 'static,
    ) -> Result<Vec<Summary>, ApiError> {
        let mut summaries = self
            .blocking(move |records| records.list(after, limit, passes))
            .await?;
        for summary in &mut summaries {
            self.note_progress(summary);
        }
        Ok(summaries)
    }

    /// Deletes an evaluation; one that is running ends first.
    ///
    /// # Errors
    /// `unknown_evaluation`, or when it cannot be deleted.
    pub async fn delete(&self, id: Uuid) -> Result<(), ApiError> {
        let running = self.slot().clone().filter(|running| running.id == id);
        if let Some(running) = running {
            running.cancel.cancel();
            running.ended.cancelled().await;
        }
        self.blocking(move |records| records.delete(id)).await
    }

    /// Returns the id of the evaluation that is running, if one is.
    #[must_use]
    pub fn running(&self) -> Option<Uuid> {
        self.slot().as_ref().map(|running| running.id)
    }

    /// Fills in how far the running evaluation is: that is not written to the disk at every step.
    fn note_progress(&self, summary: &mut Summary) {
        if let Some(running) = &*self.slot()
            && running.id == summary.id
        {
            let done = running.done.load(Ordering::Relaxed);
            summary.progress = done as f32 / running.all.max(1) as f32;
        }
    }

    async fn write(&self, record: Record) -> Result<(), ApiError> {
        self.blocking(move |records| records.write(&record)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Records) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let records = self.records.clone();
        let done = tokio::task::spawn_blocking(move || work(&records)).await;
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(api_error(&error)),
            Err(error) => Err(ApiError::internal(&error)),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns an evaluation's failure as it is told to a caller.
fn api_error(error: &anyhow::Error) -> ApiError {
    if let Some(Unknown(id)) = error.downcast_ref::<Unknown>() {
        return unknown(id);
    }
    let io = error.downcast_ref::<std::io::Error>();
    if io.is_some_and(|io| io.kind() == std::io::ErrorKind::StorageFull) {
        return ApiError {
            cause: Some(chain(error.as_ref()).into()),
            retry_after: None,
            ..ApiError::new(
                Code::StorageFull,
                "the disk that holds the data directory is full; free some space and retry",
            )
        };
    }
    ApiError::internal(error.as_ref())
}

/// Returns the problem that there is no such evaluation.
pub(crate) fn unknown(id: &str) -> ApiError {
    ApiError::new(
        Code::UnknownEvaluation,
        format!("unknown evaluation `{id}`; `GET /api/v1/evaluations` lists them"),
    )
}
