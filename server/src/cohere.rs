//! `/v1/rerank` and `/v2/rerank`, for Cohere's clients and those that copied its protocol.
//!
//! Versions 1 and 2 differ in what they require; both are answered alike. Failures come in OpenAI's envelope, as
//! everywhere under `/v1`.

use crate::app::AppState;
use crate::auth::Principal;
use crate::error::ApiError;
use crate::openai::{self, Errors};
use crate::routes::{Json, require_text};
use axum::extract::State;
use kura_indexer::rerank::ScoredBy;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most texts of one request.
const MAX_DOCUMENTS: usize = 1_000;

/// What to put in order.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RerankRequest {
    /// The reranker's name, the embedder's where there is none, or `kura`.
    #[serde(default)]
    model: Option<String>,
    /// What the texts should be relevant to.
    query: String,
    /// 1 to 1,000 texts. What goes beyond the model's longest input is cut.
    documents: Vec<RerankDocument>,
    /// Most results; all when absent.
    #[serde(default)]
    #[schema(minimum = 1)]
    top_n: Option<usize>,
    /// Give each text back with its result.
    #[serde(default)]
    return_documents: Option<bool>,
    /// Only `text` is understood.
    #[serde(default)]
    rank_fields: Option<Vec<String>>,
}

/// A text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected a string or an object with a string `text`"
)]
enum RerankDocument {
    /// As it is.
    Plain(String),
    /// In an object.
    Object {
        /// The text.
        text: String,
    },
}

/// Texts in order.
#[derive(Debug, Serialize, ToSchema)]
pub struct RerankResponse {
    /// Of this response.
    id: String,
    /// The most relevant first.
    results: Vec<RerankResult>,
    /// The model that scored.
    model: String,
    /// More about it.
    meta: RerankMeta,
}

/// A text's place.
#[derive(Debug, Serialize, ToSchema)]
struct RerankResult {
    /// Its place in the request, from 0.
    index: usize,
    /// 0 to 1. A reranker's is a probability; that of late interaction compares within one response only.
    relevance_score: f32,
    /// The text, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<RerankedText>,
}

/// A text given back.
#[derive(Debug, Serialize, ToSchema)]
struct RerankedText {
    text: String,
}

/// How the texts were scored.
#[derive(Debug, Serialize, ToSchema)]
struct RerankMeta {
    api_version: ApiVersion,
    /// `cross_encoder`, or `late_interaction` of the embedder where no reranker is configured.
    method: &'static str,
}

/// The protocol's version.
#[derive(Debug, Serialize, ToSchema)]
struct ApiVersion {
    version: &'static str,
}

/// Orders texts by relevance to a query.
#[utoipa::path(post, path = "/v1/rerank", tag = "cohere", request_body = RerankRequest,
    responses((status = 200, body = RerankResponse), Errors))]
pub async fn rerank_v1(
    State(app): State<AppState>,
    _principal: Principal,
    Json(request): Json<RerankRequest>,
) -> Result<axum::Json<RerankResponse>, ApiError> {
    rerank(&app, request, "1").await
}

/// Orders texts by relevance to a query.
#[utoipa::path(post, path = "/v2/rerank", tag = "cohere", request_body = RerankRequest,
    responses((status = 200, body = RerankResponse), Errors))]
pub async fn rerank_v2(
    State(app): State<AppState>,
    _principal: Principal,
    Json(request): Json<RerankRequest>,
) -> Result<axum::Json<RerankResponse>, ApiError> {
    rerank(&app, request, "2").await
}

async fn rerank(
    app: &AppState,
    request: RerankRequest,
    version: &'static str,
) -> Result<axum::Json<RerankResponse>, ApiError> {
    let (model, method) = match app.pipeline.scored_by() {
        ScoredBy::CrossEncoder(id) => (id, "cross_encoder"),
        ScoredBy::LateInteraction(id) => (id, "late_interaction"),
    };
    let known = [openai::models::ASSISTANT, model.as_str()];
    if let Some(asked) = request
        .model
        .filter(|asked| !known.contains(&asked.as_str()))
    {
        return Err(openai::unknown_model(&asked, &known));
    }
    require_text("query", &request.query)?;
    if !(1..=MAX_DOCUMENTS).contains(&request.documents.len()) {
        return Err(ApiError::invalid(format!(
            "`documents` has {} texts; send 1 to {MAX_DOCUMENTS}",
            request.documents.len()
        )));
    }
    if request.top_n == Some(0) {
        return Err(ApiError::invalid("`top_n` is 0; use 1 or more"));
    }
    if request.rank_fields.is_some_and(|fields| fields != ["text"]) {
        return Err(ApiError::invalid(
            "`rank_fields` may name only `text`; put into it what counts",
        ));
    }
    let texts: Vec<String> = request
        .documents
        .into_iter()
        .map(|document| match document {
            RerankDocument::Plain(text) | RerankDocument::Object { text } => text,
        })
        .collect();
    let scores = app.pipeline.score_texts(&request.query, &texts).await?;
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by(|a, b| scores[*b].order.total_cmp(&scores[*a].order));
    order.truncate(request.top_n.unwrap_or(usize::MAX));
    let with_text = request.return_documents.unwrap_or(false);
    let result = |index: usize| RerankResult {
        index,
        relevance_score: scores[index].relevance,
        document: with_text.then(|| RerankedText {
            text: texts[index].clone(),
        }),
    };
    Ok(axum::Json(RerankResponse {
        id: uuid::Uuid::now_v7().to_string(),
        results: order.into_iter().map(result).collect(),
        model,
        meta: RerankMeta {
            api_version: ApiVersion { version },
            method,
        },
    }))
}
