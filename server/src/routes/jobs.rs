//! `/api/v1/jobs`

mod wire;

pub use wire::{Job, JobRates, JobState, JobsSummary, Kind, Obstacle, Priority, Stage};

use super::{List, Path, Problems, Query, list_limit, uuid};
use crate::app::{App, AppState};
use crate::audit::Audited;
use crate::auth::permission::sees_job;
use crate::auth::{Permission, Principal};
use crate::error::{ApiError, Code};
use crate::jobs::JobEvent;
use crate::openapi::events::JobEvents;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::Stream;
use kura_indexer::catalog::{self, JobFilter, JobId};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use utoipa::{IntoParams, ToSchema};

/// How often a job is read anew while it is followed, in case an event was missed.
const REFRESH: Duration = Duration::from_secs(2);

/// Which jobs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// Only those in this state.
    pub state: Option<JobState>,
    /// Only those of this collection.
    pub collection: Option<String>,
    /// Only those with this `code`.
    pub code: Option<String>,
    /// Most items to return, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Which failed jobs to retry.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RetryQuery {
    /// Only those with this `code`; all when absent.
    pub code: Option<String>,
}

/// How many failed jobs are queued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Retried {
    /// Jobs; those whose document has a newer version or was deleted are left as they are.
    pub n_jobs: usize,
}

impl JobsQuery {
    /// Returns the filter.
    ///
    /// # Errors
    /// When there is no such `code`.
    pub fn filter(&self) -> Result<JobFilter, ApiError> {
        Ok(JobFilter {
            state: self.state.map(Into::into),
            collection_name: self.collection.clone(),
            reason: self.code.as_deref().map(reason).transpose()?,
        })
    }
}

/// Lists jobs, the latest first. A page may have fewer items than asked for and still not be the last.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(JobsQuery),
    responses((status = 200, body = List<Job>), Problems))]
pub async fn list_jobs(
    State(app): State<AppState>,
    principal: Principal,
    Query(query): Query<JobsQuery>,
) -> Result<axum::Json<List<Job>>, ApiError> {
    let (filter, limit) = (query.filter()?, list_limit(query.limit)?);
    let page = app
        .pipeline
        .jobs(&filter, query.cursor.as_deref(), limit)
        .await?;
    let mut items = Vec::with_capacity(page.items.len());
    for job in page.items {
        items.extend(shown(&app, &principal, job).await?);
    }
    Ok(axum::Json(List {
        items,
        next_cursor: page.next,
    }))
}

/// Returns a job as this principal may see it: whoever manages all jobs sees also those of documents that it may not
/// read, without the document's source and the text of an error, which may name it.
async fn shown(
    app: &App,
    principal: &Principal,
    job: catalog::Job,
) -> Result<Option<Job>, ApiError> {
    if sees_job(app, principal, &job).await? {
        return Ok(Some(job.into()));
    }
    if !principal.may(Permission::ManageJobs) || !principal.reaches(&job.collection_name) {
        return Ok(None);
    }
    Ok(Some(Job {
        source: String::new(),
        error: None,
        ..job.into()
    }))
}

/// Returns a job that the principal was let to.
async fn shown_one(app: &App, principal: &Principal, job: catalog::Job) -> Result<Job, ApiError> {
    let id = job.id.0.to_string();
    let unknown = || kura_indexer::Error::UnknownJob { id }.into();
    shown(app, principal, job).await?.ok_or_else(unknown)
}

/// Returns how the queue stands: counts, rates and when it will be done.
#[utoipa::path(get, path = "/api/v1/jobs/summary", tag = "jobs",
    responses((status = 200, body = JobsSummary), Problems))]
pub async fn summarize_jobs(
    State(app): State<AppState>,
    _principal: Principal,
) -> Result<axum::Json<JobsSummary>, ApiError> {
    Ok(axum::Json(app.pipeline.jobs_summary().await?.into()))
}

/// Has no job start until they are resumed, also after a restart. Those running go on.
#[utoipa::path(post, path = "/api/v1/jobs/pause", tag = "jobs",
    responses((status = 200, body = JobsSummary), Problems))]
pub async fn pause_jobs(
    State(app): State<AppState>,
    _principal: Principal,
) -> Result<axum::Json<JobsSummary>, ApiError> {
    app.pipeline.pause_jobs().await?;
    Ok(axum::Json(app.pipeline.jobs_summary().await?.into()))
}

/// Lets jobs start again.
#[utoipa::path(post, path = "/api/v1/jobs/resume", tag = "jobs",
    responses((status = 200, body = JobsSummary), Problems))]
pub async fn resume_jobs(
    State(app): State<AppState>,
    _principal: Principal,
) -> Result<axum::Json<JobsSummary>, ApiError> {
    app.pipeline.resume_jobs().await?;
    app.jobs.notify();
    Ok(axum::Json(app.pipeline.jobs_summary().await?.into()))
}

/// Queues failed jobs again: all, or those with one `code`.
#[utoipa::path(post, path = "/api/v1/jobs/retry", tag = "jobs", params(RetryQuery),
    responses((status = 200, body = Retried), Problems))]
pub async fn retry_jobs(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Query(query): Query<RetryQuery>,
) -> Result<axum::Json<Retried>, ApiError> {
    let reason = query.code.as_deref().map(reason).transpose()?;
    let n_jobs = app.pipeline.retry_failed(reason).await?;
    audited.items(n_jobs);
    app.jobs.notify();
    Ok(axum::Json(Retried { n_jobs }))
}

/// Cancels a job. From now on it makes nothing searchable; an older version of its document stays.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = Job), Problems))]
pub async fn cancel_job(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<axum::Json<Job>, ApiError> {
    let id = job_id(&id)?;
    let job = app.pipeline.cancel_job(id).await?;
    app.jobs.changed(id);
    Ok(axum::Json(shown_one(&app, &principal, job).await?))
}

/// Queues a job again that has failed or was cancelled.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = Job), Problems))]
pub async fn retry_job(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<axum::Json<Job>, ApiError> {
    let id = job_id(&id)?;
    let job = app.pipeline.retry_job(id).await?;
    app.jobs.changed(id);
    app.jobs.notify();
    Ok(axum::Json(shown_one(&app, &principal, job).await?))
}

/// Returns a job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = Job), Problems))]
pub async fn get_job(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<axum::Json<Job>, ApiError> {
    Ok(axum::Json(read(&app, &principal, job_id(&id)?).await?))
}

/// Follows a job: an event `job` with the job at every change, until it is over.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/events", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = JobEvents, content_type = "text/event-stream"), Problems))]
pub async fn follow_job(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let id = job_id(&id)?;
    // Subscribing before reading, so that no change falls between the two.
    let events = app.jobs.subscribe();
    let job = read(&app, &principal, id).await?;
    let stream = follow(app, principal, id, job, events);
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

fn follow(
    app: AppState,
    principal: Principal,
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
            let progress = match received {
                Ok(Ok(JobEvent::Progress { id: of, stage, progress })) if of == id => Some((stage, progress)),
                // Another job's event.
                Ok(Ok(JobEvent::Progress { .. })) => continue,
                Ok(Ok(JobEvent::Changed(of))) if of != id => continue,
                Ok(Ok(JobEvent::Changed(_)) | Err(RecvError::Lagged(_))) | Err(_) => None,
                Ok(Err(RecvError::Closed)) => break,
            };
            // Nothing is sent that the caller may not see any more.
            let known = match read_now(&app, &principal, id).await {
                Ok(job) => job,
                Err(error) => {
                    yield Ok(failed(&error));
                    break;
                }
            };
            let next = match progress {
                Some((stage, progress)) => Job {
                    state: JobState::Running,
                    stage: Some(stage.into()),
                    progress,
                    ..known
                },
                None => known,
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

async fn read(app: &App, principal: &Principal, id: JobId) -> Result<Job, ApiError> {
    shown_one(app, principal, app.pipeline.job(id).await?).await
}

/// Reads a job as the principal may see it now, who was let to it when following began.
async fn read_now(app: &App, principal: &Principal, id: JobId) -> Result<Job, ApiError> {
    let ended = || ApiError::new(Code::Unauthorized, "the session or key has ended");
    let principal = principal.as_of_now(app).await?.ok_or_else(ended)?;
    principal.require(Permission::WatchJobs)?;
    read(app, &principal, id).await
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

/// Returns the reason of this name.
pub(crate) fn reason(name: &str) -> Result<catalog::Reason, ApiError> {
    catalog::Reason::parse(name).ok_or_else(|| {
        let known = catalog::Reason::ALL.map(catalog::Reason::as_str);
        ApiError::invalid(format!(
            "unknown code `{name}`; known are {}",
            known.join(", ")
        ))
    })
}
