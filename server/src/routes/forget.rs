//! `/api/v1/forget`

use super::{Json, List, ListQuery, Path, Problems, Query, document_id, uuid};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::error::{ApiError, Code, Problem};
use crate::forget::certificate::{Erased, Remains, Signed};
use crate::forget::{Plan, Standing, Wish};
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How long a request waits for what it asks for; later it goes on by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is to be forgotten.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// Ids of documents; what lies in them goes with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<String>,
    /// Id or login of a user, who may have been deleted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Words, of 4 characters or more: questions, answers, ratings and evaluations of whomever that have one go, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// Only say what would be erased and what would remain.
    #[serde(default)]
    pub dry_run: bool,
}

/// Where an erasure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasureState {
    /// Nothing was done: it was only asked what would be.
    Planned,
    /// It goes on, over restarts, too.
    Running,
    /// All is erased.
    Done,
}

/// Something that is forgotten, was, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Erasure {
    /// UUID; absent when nothing was to be done.
    #[schema(required)]
    pub id: Option<String>,
    /// Where it stands.
    pub state: ErasureState,
    /// When it was asked for.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub requested_at: Option<Timestamp>,
    /// When it was done.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub finished_at: Option<Timestamp>,
    /// Of what would be done: where something would be erased.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<Erased>,
    /// Of what would be done: what would be left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remains: Vec<Remains>,
    /// What was erased where, and what remains; once it is done.
    #[schema(required)]
    pub certificate: Option<Signed>,
}

/// Erases documents with all that came of them, people, and what has certain words, for good, and issues a signed
/// certificate. What takes longer than some seconds goes on by itself (202).
///
/// Nothing that is erased is shown, so that one who may not read it can erase it.
#[utoipa::path(post, path = "/api/v1/forget", tag = "forget", request_body = ForgetRequest,
    responses((status = 200, body = Erasure), (status = 202, body = Erasure),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn start_erasure(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Json(request): Json<ForgetRequest>,
) -> Result<(StatusCode, axum::Json<Erasure>), ApiError> {
    request.note(&audited);
    let wish = request.wish()?;
    if let Some(person) = &wish.person {
        refuse_oneself(&principal, person)?;
    }
    if request.dry_run {
        let plan = app.forgetter.plan(wish).await?;
        return Ok((StatusCode::OK, axum::Json(plan.into())));
    }
    if let Some(running) = app.evaluations.running() {
        return Err(ApiError::new(
            Code::EvaluationRunning,
            format!(
                "the evaluation {running} is running, and may have read what is to be forgotten; wait until it is done, or \
                 delete it"
            ),
        ));
    }
    let id = app.forgetter.begin(wish, principal.id()).await?;
    audited.target("forget", &id.to_string());
    let forgetter = Arc::clone(&app.forgetter);
    // On a task of its own, so that it goes on when the client goes away.
    drop(tokio::spawn(async move {
        match forgetter.finish(id).await {
            Ok(()) => forgetter.tidy().await,
            Err(error) => tracing::error!(
                erasure.id = %id,
                "something cannot be forgotten yet, and is tried again: {error:#}"
            ),
        }
    }));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let erasure = find(&app, id).await?;
        if erasure.state == ErasureState::Done {
            return Ok((StatusCode::OK, axum::Json(erasure)));
        }
        if tokio::time::Instant::now() > deadline {
            return Ok((StatusCode::ACCEPTED, axum::Json(erasure)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Lists what is forgotten and was, the latest first, with the certificates.
#[utoipa::path(get, path = "/api/v1/forget", tag = "forget", params(ListQuery),
    responses((status = 200, body = List<Erasure>), Problems))]
pub async fn list_erasures(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<List<Erasure>>, ApiError> {
    let limit = query.limit()?;
    let foreign = || ApiError::invalid("`cursor` is not one that a list returned");
    let before = query
        .cursor
        .as_deref()
        .map(|cursor| uuid(cursor, foreign))
        .transpose()?;
    let found = app.forgetter.standings(before, limit + 1).await?;
    let more = found.len() > limit;
    let items: Vec<Erasure> = found.into_iter().take(limit).map(Into::into).collect();
    audited.items(items.len());
    let last = items.last().filter(|_| more);
    let next_cursor = last.and_then(|last| last.id.clone());
    Ok(axum::Json(List { items, next_cursor }))
}

/// Returns where an erasure stands, with its certificate once it is done.
#[utoipa::path(get, path = "/api/v1/forget/{id}", tag = "forget",
    params(("id" = String, Path, description = "The erasure's id")),
    responses((status = 200, body = Erasure), Problems))]
pub async fn get_erasure(
    State(app): State<AppState>,
    _principal: Principal,
    Path(id): Path<String>,
) -> Result<axum::Json<Erasure>, ApiError> {
    let id = uuid(&id, || unknown(&id))?;
    Ok(axum::Json(find(&app, id).await?))
}

impl ForgetRequest {
    /// Returns what is wished for.
    pub(crate) fn wish(&self) -> Result<Wish, ApiError> {
        let documents = self.documents.iter().map(|id| document_id(id));
        Ok(Wish {
            documents: documents.collect::<Result<_, _>>()?,
            person: self.person.clone(),
            words: self.words.clone(),
        })
    }

    /// Notes what is to be forgotten: ids and numbers, and never a word or a name.
    pub(crate) fn note(&self, audited: &Audited) {
        audited.detail("dry_run", self.dry_run);
        for id in &self.documents {
            audited.add("documents", id.as_str());
        }
        audited.detail("is_person", self.person.is_some());
        audited.detail("n_words", self.words.len());
    }
}

impl From<Plan> for Erasure {
    fn from(plan: Plan) -> Self {
        Self {
            id: None,
            state: ErasureState::Planned,
            requested_at: None,
            finished_at: None,
            erased: plan.erased,
            remains: plan.remains,
            certificate: None,
        }
    }
}

impl From<Standing> for Erasure {
    fn from(standing: Standing) -> Self {
        let (finished_at, certificate) = standing.done.unzip();
        Self {
            id: Some(standing.id.to_string()),
            state: match certificate {
                Some(_) => ErasureState::Done,
                None => ErasureState::Running,
            },
            requested_at: Some(standing.requested_at),
            finished_at,
            erased: Vec::new(),
            remains: Vec::new(),
            certificate,
        }
    }
}

async fn find(app: &AppState, id: uuid::Uuid) -> Result<Erasure, ApiError> {
    let standing = app.forgetter.standing(id).await?;
    Ok(standing.ok_or_else(|| unknown(&id.to_string()))?.into())
}

fn refuse_oneself(principal: &Principal, person: &str) -> Result<(), ApiError> {
    let Some(user) = principal.user() else {
        return Ok(());
    };
    if user.name == person || user.id.to_string() == person {
        return Err(ApiError::new(
            Code::Forbidden,
            "nobody may erase themselves; another administrator or the admin API key can",
        ));
    }
    Ok(())
}

fn unknown(id: &str) -> ApiError {
    ApiError::new(
        Code::NotFound,
        format!("there is no erasure `{id}`; `GET /api/v1/forget` lists them"),
    )
}
