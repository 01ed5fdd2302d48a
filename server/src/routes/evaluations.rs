//! `/api/v1/evaluations`
//!
//! Records hold queries, answers and the names of documents: [`Sight`] says what of them a reader gets to see.

use super::ask::Mode;
use super::{Json, List, ListQuery, Path, Problems, Query, require_text, uuid};
use crate::answer::{AnswerConfig, AnswerError};
use crate::app::{App, AppState};
use crate::audit::Audited;
use crate::auth::Principal;
use crate::config::{FusionName, RetrievalConfig};
use crate::error::ApiError;
use crate::evaluate::compare::{self, Comparison};
use crate::evaluate::dataset::{Dataset, LabelledQuery};
use crate::evaluate::provenance::Settings;
use crate::evaluate::record::{Answerability, Record, SEED, Summary};
use crate::evaluate::sight::{self, Sight};
use crate::evaluate::{Evaluation, NothingJudged, Options, Task, report};
use crate::evaluations::unknown;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Most queries of one evaluation.
pub(crate) const MAX_QUERIES: usize = 10_000;
/// Most chunks taken from each index.
pub(crate) const MAX_CANDIDATES: usize = 1_000;
/// Longest name of an evaluation, and longest id of a query or document.
const MAX_NAME_BYTES: usize = 1_024;
/// A report has its style in it, and nothing else.
const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; sandbox";

/// What to evaluate.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvaluation {
    /// What to call it.
    pub name: String,
    /// The collection to search, as it is served.
    pub collection: String,
    /// At most 10,000.
    pub queries: Vec<NewQuery>,
    /// Ask at most this many of them, evenly spaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_queries: Option<usize>,
    /// Evaluate what is answered, instead of what is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<NewAnswers>,
    /// Settings that differ from the server's configuration; where answers are evaluated there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<Overrides>,
    /// Of everything random; 42 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// How the questions are answered.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EvaluationAnswers)]
pub struct NewAnswers {
    /// Who writes.
    pub mode: Mode,
}

/// A query with what is known about it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EvaluationQuery)]
pub struct NewQuery {
    /// Unique; its place, from 1, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The query.
    pub text: String,
    /// Sources or ids of relevant documents, with gains above 0.
    #[serde(default)]
    pub relevant: BTreeMap<String, f64>,
    /// Accepted answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
    /// Whether the documents answer it.
    #[serde(default)]
    pub answerability: Answerability,
}

/// Settings of the retrieval that an evaluation may change for itself.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EvaluationOverrides)]
pub struct Overrides {
    /// Chunks taken from each index before fusion, 1 to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub candidates: Option<usize>,
    /// The `k` of reciprocal rank fusion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub rrf_k: Option<f32>,
    /// Weight of the dense leg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub dense_weight: Option<f32>,
    /// Weight of the lexical leg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub lexical_weight: Option<f32>,
    /// Weight of late interaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub late_weight: Option<f32>,
    /// How far a score leans on those of similar candidates in long queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub neighbor_weight: Option<f32>,
    /// How much further occurrences of a word count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub bm25_k1: Option<f32>,
    /// How much a chunk's length counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub bm25_b: Option<f32>,
    /// Candidates that the reranker reads, 0 to 1,000; 0 does without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1000)]
    pub rerank_candidates: Option<usize>,
    /// How the signals become one score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fusion: Option<FusionName>,
}

/// Which evaluations to compare.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CompareQuery {
    /// Id of the evaluation that is compared with.
    base: String,
    /// Id of the evaluation that is judged.
    candidate: String,
    /// The stage to compare; the last of each when absent.
    stage: Option<String>,
}

impl Overrides {
    /// Returns the settings with these in their place.
    ///
    /// # Errors
    /// `invalid_request` when one is out of range.
    pub fn apply(&self, retrieval: &RetrievalConfig) -> Result<RetrievalConfig, ApiError> {
        let mut retrieval = retrieval.clone();
        retrieval.fusion = self.fusion.unwrap_or(retrieval.fusion);
        if let Some(candidates) = self.candidates {
            if !(1..=MAX_CANDIDATES).contains(&candidates) {
                return Err(ApiError::invalid(format!(
                    "`retrieval.candidates` is {candidates}; use 1 to {MAX_CANDIDATES}"
                )));
            }
            retrieval.candidates = candidates;
        }
        if let Some(candidates) = self.rerank_candidates {
            if candidates > MAX_CANDIDATES {
                return Err(ApiError::invalid(format!(
                    "`retrieval.rerank_candidates` is {candidates}; use 0 to {MAX_CANDIDATES}"
                )));
            }
            retrieval.rerank_candidates = candidates;
        }
        for (name, value, setting) in [
            ("rrf_k", self.rrf_k, &mut retrieval.rrf_k),
            (
                "dense_weight",
                self.dense_weight,
                &mut retrieval.dense_weight,
            ),
            (
                "lexical_weight",
                self.lexical_weight,
                &mut retrieval.lexical_weight,
            ),
            ("late_weight", self.late_weight, &mut retrieval.late_weight),
            (
                "neighbor_weight",
                self.neighbor_weight,
                &mut retrieval.neighbor_weight,
            ),
            ("bm25_k1", self.bm25_k1, &mut retrieval.bm25_k1),
            ("bm25_b", self.bm25_b, &mut retrieval.bm25_b),
        ] {
            let Some(value) = value else { continue };
            if !value.is_finite() || value < 0.0 {
                return Err(ApiError::invalid(format!(
                    "`retrieval.{name}` is {value}; use 0 or more"
                )));
            }
            *setting = value;
        }
        for (name, value) in [
            ("bm25_b", retrieval.bm25_b),
            ("neighbor_weight", retrieval.neighbor_weight),
        ] {
            if value > 1.0 {
                return Err(ApiError::invalid(format!(
                    "`retrieval.{name}` is {value}; use 0 to 1"
                )));
            }
        }
        if retrieval.dense_weight + retrieval.lexical_weight <= 0.0 {
            return Err(ApiError::invalid(
                "`retrieval.dense_weight` and `retrieval.lexical_weight` are both 0; nothing would rank",
            ));
        }
        Ok(retrieval)
    }
}

/// Lists the evaluations of collections that the caller may read, the latest first.
#[utoipa::path(get, path = "/api/v1/evaluations", tag = "evaluations", params(ListQuery),
    responses((status = 200, body = List<Summary>), Problems))]
pub async fn list_evaluations(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<List<Summary>>, ApiError> {
    let limit = query.limit()?;
    let foreign = || ApiError::invalid("`cursor` is not one that a list returned");
    let after = query.cursor.as_deref();
    let after = after.map(|cursor| uuid(cursor, foreign)).transpose()?;
    let readable = sight::readable_collections(&app.pipeline, &principal.access()).await?;
    let passes = move |summary: &Summary| sight::is_for(summary, readable.as_deref());
    let mut items = app.evaluations.list(after, limit + 1, passes).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    audited.items(items.len());
    let next_cursor = items
        .last()
        .filter(|_| more)
        .map(|last| last.id.to_string());
    Ok(axum::Json(List { items, next_cursor }))
}

/// Evaluates the retrieval of a collection with labelled queries.
///
/// It runs in the background, one at a time; follow its `state` and `progress`.
#[utoipa::path(post, path = "/api/v1/evaluations", tag = "evaluations", request_body = NewEvaluation,
    responses((status = 202, body = Summary), Problems))]
pub async fn create_evaluation(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Json(request): Json<NewEvaluation>,
) -> Result<(StatusCode, axum::Json<Summary>), ApiError> {
    audited.target("collection", &request.collection);
    let evaluation = prepare(&app, &principal, request).await?;
    let summary = app.evaluations.start(evaluation).await?;
    audited.target("evaluation", &summary.id.to_string());
    Ok((StatusCode::ACCEPTED, axum::Json(summary)))
}

/// Returns an evaluation with all its queries. Those that name documents that are gone or that the caller may not read come
/// without texts and names.
#[utoipa::path(get, path = "/api/v1/evaluations/{id}", tag = "evaluations",
    params(("id" = String, Path, description = "The evaluation's id")),
    responses((status = 200, body = Record), Problems))]
pub async fn get_evaluation(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<axum::Json<Record>, ApiError> {
    Ok(axum::Json(shown(&app, &principal, &id).await?))
}

/// Deletes an evaluation; one that is running ends.
#[utoipa::path(delete, path = "/api/v1/evaluations/{id}", tag = "evaluations",
    params(("id" = String, Path, description = "The evaluation's id")),
    responses((status = 204, description = "Deleted"), Problems))]
pub async fn delete_evaluation(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = evaluation_id(&id)?;
    require_sight(&app, &principal, id).await?;
    app.evaluations.delete(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns an evaluation as a page for people, with charts, that needs nothing else.
#[utoipa::path(get, path = "/api/v1/evaluations/{id}/report", tag = "evaluations",
    params(("id" = String, Path, description = "The evaluation's id")),
    responses((status = 200, body = String, content_type = "text/html"), Problems))]
pub async fn get_evaluation_report(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<(HeaderMap, String), ApiError> {
    let record = shown(&app, &principal, &id).await?;
    let page = blocking(move || report::run(&record))
        .await?
        .map_err(|error| ApiError::internal(error.as_ref()))?;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            HeaderName::from_static("content-security-policy"),
            REPORT_POLICY,
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok((headers, page))
}

/// Compares two evaluations over the queries that both asked.
#[utoipa::path(get, path = "/api/v1/evaluations/compare", tag = "evaluations", params(CompareQuery),
    responses((status = 200, body = Comparison), Problems))]
pub async fn compare_evaluations(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Query(query): Query<CompareQuery>,
) -> Result<axum::Json<Comparison>, ApiError> {
    audited.target("base", &query.base);
    audited.target("candidate", &query.candidate);
    let base = shown(&app, &principal, &query.base).await?;
    let candidate = shown(&app, &principal, &query.candidate).await?;
    let compare = move || compare::compare(&base, &candidate, query.stage.as_deref());
    // What cannot be compared is the caller's choice, not a failure of kura.
    let found = blocking(compare)
        .await?
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(axum::Json(found))
}

/// Checks a request and finds the documents that it names.
async fn prepare(
    app: &App,
    principal: &Principal,
    request: NewEvaluation,
) -> Result<Evaluation, ApiError> {
    require_name("name", &request.name)?;
    let n_queries = request.queries.len();
    if !(1..=MAX_QUERIES).contains(&n_queries) {
        return Err(ApiError::invalid(format!(
            "there are {n_queries} `queries`; send 1 to {MAX_QUERIES}"
        )));
    }
    if request.max_queries == Some(0) {
        return Err(ApiError::invalid("`max_queries` is 0; use 1 or more"));
    }
    let for_answers = request.answers.is_some();
    let queries = request.queries.into_iter().zip(1..);
    let queries = queries
        .map(|query| labelled(query, for_answers))
        .collect::<Result<_, _>>()?;
    let dataset = Dataset::of_labels(&request.name, queries)
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    let answers = request.answers;
    if answers.is_some() && request.retrieval.is_some() {
        return Err(ApiError::invalid(
            "`retrieval` changes what is found, but answers are made as the server is configured; leave it out",
        ));
    }
    let overrides = request.retrieval.unwrap_or_default();
    let settings = Settings {
        chunking: app.config.chunking.clone(),
        retrieval: overrides.apply(&app.config.retrieval)?,
        answer: answers.as_ref().map(|answers| AnswerConfig {
            mode: answers.mode.into(),
            ..app.config.answer.clone()
        }),
    };
    let task = match answers {
        None => Task::Retrieval,
        Some(answers) => {
            let generator = app.assistant.generator.clone();
            if matches!(answers.mode, Mode::Generate) && generator.is_none() {
                return Err(AnswerError::NoGenerator.into());
            }
            Task::Answers(generator)
        }
    };
    let options = Options {
        name: Some(request.name),
        max_queries: request.max_queries,
        seed: request.seed.unwrap_or(SEED),
    };
    let evaluation = Evaluation::of_collection(
        &dataset,
        Arc::clone(&app.pipeline),
        &request.collection,
        principal.access(),
        task,
        &settings,
        options,
    );
    evaluation
        .await
        .map_err(|error| match error.downcast::<kura_indexer::Error>() {
            Ok(error) => error.into(),
            Err(error) if error.is::<NothingJudged>() => ApiError::invalid(error.to_string()),
            Err(error) => ApiError::internal(error.as_ref()),
        })
}

fn labelled(
    (query, place): (NewQuery, usize),
    for_answers: bool,
) -> Result<LabelledQuery, ApiError> {
    let id = query.id.unwrap_or_else(|| place.to_string());
    require_name("id", &id)?;
    require_text("text", &query.text)?;
    if query.relevant.is_empty() && !for_answers {
        return Err(ApiError::invalid(format!(
            "the query `{id}` has no `relevant` document"
        )));
    }
    if query.relevant.is_empty()
        && query.answers.is_empty()
        && query.answerability == Answerability::Answerable
    {
        return Err(ApiError::invalid(format!(
            "the query `{id}` has neither `answers` nor a `relevant` document, and is not marked as unanswerable"
        )));
    }
    for (document, gain) in &query.relevant {
        require_name("relevant", document)?;
        if !gain.is_finite() || *gain <= 0.0 {
            return Err(ApiError::invalid(format!(
                "the query `{id}` gives `{document}` a gain of {gain}; gains are above 0"
            )));
        }
    }
    Ok(LabelledQuery {
        id,
        text: query.text,
        relevant: query.relevant,
        answers: query.answers,
        answerability: query.answerability,
    })
}

fn require_name(field: &str, name: &str) -> Result<(), ApiError> {
    if name.trim().is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(ApiError::invalid(format!(
            "`{field}` must have 1 to {MAX_NAME_BYTES} bytes"
        )));
    }
    Ok(())
}

/// Returns an evaluation as the principal may see it.
async fn shown(app: &App, principal: &Principal, id: &str) -> Result<Record, ApiError> {
    let id = evaluation_id(id)?;
    require_sight(app, principal, id).await?;
    let record = app.evaluations.get(id).await?;
    let sight = Sight::of(&record, &app.pipeline, &principal.access()).await?;
    Ok(sight.applied(record))
}

/// Fails unless an evaluation is of a collection that the principal may read, as if there was none.
async fn require_sight(app: &App, principal: &Principal, id: Uuid) -> Result<(), ApiError> {
    let summary = app.evaluations.summary(id).await?;
    let readable = sight::readable_collections(&app.pipeline, &principal.access()).await?;
    if sight::is_for(&summary, readable.as_deref()) {
        return Ok(());
    }
    Err(unknown(&id.to_string()))
}

fn evaluation_id(text: &str) -> Result<Uuid, ApiError> {
    uuid(text, || unknown(text))
}

/// Runs work that keeps a core busy.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<anyhow::Result<T>, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ApiError::internal(&error))
}
