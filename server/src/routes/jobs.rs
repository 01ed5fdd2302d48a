//! `/api/v1/jobs`

use super::{List, ListQuery, Path, Problems, Query, uuid};
use crate::app::{App, AppState};
use crate::auth::Principal;
use crate::error::ApiError;
use crate::jobs::JobEvent;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::Stream;
use kura_indexer::catalog::{self, JobId};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;

/// How often a job is read anew while it is followed, in case an event was missed.
const REFRESH: Duration = Duration::from_secs(2);

/// Work in the background.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// UUID.
    pub id: String,
    /// What kind of work.
    pub kind: Kind,
    /// The document it is about.
    pub document: String,
    /// The document's source.
    pub source: String,
    /// The document's collection.
    pub collection: String,
    /// Where it stands.
    pub state: JobState,
    /// What it is doing.
    #[schema(required)]
    pub stage: Option<Stage>,
    /// From 0 to 1.
    pub progress: f32,
    /// Why it failed, with remedy.
    #[schema(required)]
    pub error: Option<String>,
    /// When it was queued.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When it was first taken up.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub started_at: Option<jiff::Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub finished_at: Option<jiff::Timestamp>,
}

/// What kind of work a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobKind)]
pub enum Kind {
    /// Indexing a document.
    Ingest,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting.
    Queued,
    /// Being worked on.
    Running,
    /// Ended well.
    Done,
    /// Ended with an error.
    Failed,
}

/// What a running job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobStage)]
pub enum Stage {
    /// Reading the file.
    Extract,
    /// Cutting it into chunks.
    Chunk,
    /// Embedding them.
    Embed,
    /// Writing them to the indexes.
    Store,
}

impl Job {
    /// Returns whether nothing more will happen.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.state {
            JobState::Done | JobState::Failed => true,
            JobState::Queued | JobState::Running => false,
        }
    }
}

impl From<catalog::Job> for Job {
    fn from(job: catalog::Job) -> Self {
        use catalog::JobState as Core;
        Self {
            id: job.id.0.to_string(),
            kind: Kind::Ingest,
            document: job.document.to_string(),
            source: job.source,
            collection: job.collection_name,
            state: match job.state {
                Core::Queued => JobState::Queued,
                Core::Running => JobState::Running,
                Core::Done => JobState::Done,
                Core::Failed => JobState::Failed,
            },
            stage: job.stage.map(Into::into),
            progress: job.progress,
            error: job.error,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
        }
    }
}

impl From<catalog::Stage> for Stage {
    fn from(stage: catalog::Stage) -> Self {
        match stage {
            catalog::Stage::Extract => Self::Extract,
            catalog::Stage::Chunk => Self::Chunk,
            catalog::Stage::Embed => Self::Embed,
            catalog::Stage::Store => Self::Store,
        }
    }
}

/// Lists jobs, the latest first.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(ListQuery),
    responses((status = 200, body = List<Job>), Problems))]
pub async fn list_jobs(
    State(app): State<AppState>,
    _principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<List<Job>>, ApiError> {
    let page = app
        .pipeline
        .jobs(query.cursor.as_deref(), query.limit()?)
        .await?;
    Ok(axum::Json(List {
        items: page.items.into_iter().map(Into::into).collect(),
        next_cursor: page.next,
    }))
}

/// Returns a job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = Job), Problems))]
pub async fn get_job(
    State(app): State<AppState>,
    _principal: Principal,
    Path(id): Path<String>,
) -> Result<axum::Json<Job>, ApiError> {
    Ok(axum::Json(read(&app, job_id(&id)?).await?))
}

/// Follows a job: an event `job` with the job at every change, until it is over.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/events", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = Job, content_type = "text/event-stream"), Problems))]
pub async fn follow_job(
    State(app): State<AppState>,
    _principal: Principal,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let id = job_id(&id)?;
    // Subscribing before reading, so that no change falls between the two.
    let events = app.jobs.subscribe();
    let job = read(&app, id).await?;
    let stream = follow(app, id, job, events);
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

fn follow(
    app: AppState,
    id: JobId,
    first: Job,
    mut events: tokio::sync::broadcast::Receiver<JobEvent>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let mut job = first;
        yield Ok(event(&job));
        while !job.is_over() {
            let received = tokio::select! {
                () = app.stopping.cancelled() => break,
                received = tokio::time::timeout(REFRESH, events.recv()) => received,
            };
            let next = match received {
                Ok(Ok(JobEvent::Progress { id: of, stage, progress })) if of == id => Job {
                    state: JobState::Running,
                    stage: Some(stage.into()),
                    progress,
                    ..job.clone()
                },
                // Another job's event.
                Ok(Ok(JobEvent::Progress { .. })) => continue,
                Ok(Ok(JobEvent::Changed(of))) if of != id => continue,
                Ok(Ok(JobEvent::Changed(_)) | Err(RecvError::Lagged(_))) | Err(_) => match read(&app, id).await {
                    Ok(job) => job,
                    Err(error) => {
                        yield Ok(failed(&error));
                        break;
                    }
                },
                Ok(Err(RecvError::Closed)) => break,
            };
            if next != job {
                job = next;
                yield Ok(event(&job));
            }
        }
    }
}

fn event(job: &Job) -> Event {
    sse("job", job)
}

fn failed(error: &ApiError) -> Event {
    sse("failed", &error.problem(None))
}

/// Returns a server-sent event.
pub(crate) fn sse<T: Serialize>(name: &str, data: &T) -> Event {
    Event::default()
        .event(name)
        .json_data(data)
        .expect("kura's wire types have string keys only, so they always serialize")
}

async fn read(app: &App, id: JobId) -> Result<Job, ApiError> {
    Ok(app.pipeline.job(id).await?.into())
}

fn job_id(text: &str) -> Result<JobId, ApiError> {
    uuid(text, || {
        kura_indexer::Error::UnknownJob {
            id: text.to_owned(),
        }
        .into()
    })
    .map(JobId)
}
