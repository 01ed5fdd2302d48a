//! `/api/v1/search`

use super::filter::{self, Filter};
use super::{Json, Problems, Span, chunk_id, require_text, resolve};
use crate::app::{App, AppState};
use crate::audit::Audited;
use crate::auth::Principal;
use crate::error::ApiError;
use crate::{telemetry, watch};
use axum::extract::State;
use kura_indexer::retrieve::{self, SearchOutput};
use kura_models::rerank::relevance;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use utoipa::ToSchema;

/// Most hits of one search.
pub(crate) const MAX_LIMIT: usize = 100;

/// What to search for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// Words or a question, in any language.
    pub query: String,
    /// Names of the collections to search; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Most hits to return, 1 to 100; `retrieval.limit` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub limit: Option<usize>,
    /// Which documents to look at; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
}

/// What was found, the best first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SearchResponse {
    /// The hits.
    pub items: Vec<Hit>,
    /// Stages that were left out because they would have taken longer than their budget: `late_interaction`,
    /// `cross_encoder`.
    pub dropped: Vec<String>,
    /// How long it took.
    pub timings_ms: SearchTimings,
}

/// A chunk with a score.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Hit {
    /// The document's id.
    pub document: String,
    /// The chunk's id: `<document>:<version>:<ordinal>`.
    pub chunk: String,
    /// The document's title.
    pub title: String,
    /// The document's source.
    pub source: String,
    /// The document's collection.
    pub collection: String,
    /// The chunk's text.
    pub text: String,
    /// Page or slide, from 1.
    #[schema(required)]
    pub page: Option<u32>,
    /// Spreadsheet range.
    #[schema(required)]
    pub range: Option<String>,
    /// Headings above it, outermost first.
    pub headings: Vec<String>,
    /// By fusion; higher is better, and comparable only within one response.
    pub score: f32,
    /// The reranker's, 0 to 1. The items that it read come first, in its order, whatever their `score`; null for others.
    #[schema(required)]
    pub rerank_score: Option<f32>,
    /// Rank among the hits by meaning, from 1.
    #[schema(required)]
    pub dense_rank: Option<usize>,
    /// Rank among the hits by words, from 1.
    #[schema(required)]
    pub lexical_rank: Option<usize>,
    /// Where the chunk stands in the document's text, in bytes.
    pub span: Span,
    /// Others that say the same, the best first.
    #[serde(default)]
    pub duplicates: Vec<Duplicate>,
}

/// A chunk that says the same as a hit.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Duplicate {
    /// The document's id.
    pub document: String,
    /// The chunk's id.
    pub chunk: String,
    /// The document's title.
    pub title: String,
    /// The document's source.
    pub source: String,
    /// The document's collection.
    pub collection: String,
}

/// How long the stages of a search took, in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SearchTimings {
    /// Embedding the query.
    pub embed: f64,
    /// Searching by meaning.
    pub dense: f64,
    /// Searching by words.
    pub lexical: f64,
    /// Reading the candidates.
    pub hydrate: f64,
    /// Late interaction: comparing token by token.
    pub late_interaction: f64,
    /// Fusing the signals.
    pub fuse: f64,
    /// Having the reranker read the best candidates.
    pub cross_encoder: f64,
    /// Everything.
    pub total: f64,
}

impl From<retrieve::Hit> for Hit {
    fn from(hit: retrieve::Hit) -> Self {
        Self {
            document: hit.chunk.document.to_string(),
            chunk: chunk_id(&hit.chunk),
            title: hit.title,
            source: hit.source,
            collection: hit.collection_name,
            text: hit.text,
            page: hit.locator.page,
            range: hit.locator.range,
            headings: hit.locator.headings,
            score: hit.score,
            rerank_score: hit.cross.map(relevance),
            dense_rank: hit.dense.map(|leg| leg.rank),
            lexical_rank: hit.lexical.map(|leg| leg.rank),
            span: hit.span.into(),
            duplicates: hit.duplicates.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<retrieve::Duplicate> for Duplicate {
    fn from(duplicate: retrieve::Duplicate) -> Self {
        Self {
            document: duplicate.chunk.document.to_string(),
            chunk: chunk_id(&duplicate.chunk),
            title: duplicate.title,
            source: duplicate.source,
            collection: duplicate.collection_name,
        }
    }
}

impl From<retrieve::SearchTimings> for SearchTimings {
    fn from(timings: retrieve::SearchTimings) -> Self {
        Self {
            embed: timings.embed_ms,
            dense: timings.dense_ms,
            lexical: timings.lexical_ms,
            hydrate: timings.hydrate_ms,
            late_interaction: timings.late_ms,
            fuse: timings.fuse_ms,
            cross_encoder: timings.cross_ms,
            total: timings.total_ms,
        }
    }
}

impl From<SearchOutput> for SearchResponse {
    fn from(output: SearchOutput) -> Self {
        Self {
            dropped: output.dropped.iter().map(ToString::to_string).collect(),
            items: output.hits.into_iter().map(Into::into).collect(),
            timings_ms: output.timings.into(),
        }
    }
}

/// Returns the number of hits to return.
///
/// # Errors
/// When it is out of range.
pub(super) fn hit_limit(app: &App, limit: Option<usize>) -> Result<usize, ApiError> {
    let limit = limit.unwrap_or(app.config.retrieval.limit);
    if (1..=MAX_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::invalid(format!(
            "`limit` is {limit}; use 1 to {MAX_LIMIT}"
        )))
    }
}

/// Searches by meaning and by words.
#[utoipa::path(post, path = "/api/v1/search", tag = "search", request_body = SearchRequest,
    responses((status = 200, body = SearchResponse), Problems))]
pub async fn search(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Json(request): Json<SearchRequest>,
) -> Result<axum::Json<SearchResponse>, ApiError> {
    audited.asked("query", &request.query, request.collections.as_deref());
    require_text("query", &request.query)?;
    let limit = hit_limit(&app, request.limit)?;
    let request = retrieve::SearchRequest {
        collections: resolve(&app, &principal, request.collections.as_deref()).await?,
        filter: filter::to_core(request.filter.as_ref())?,
        text: request.query,
        limit,
    };
    let began = Instant::now();
    let mut output = app.pipeline.search(&request, &principal.access()).await?;
    watch::drop_lost(&app, &principal, &mut output.hits, began).await?;
    audited.chunks("chunks", output.hits.iter().map(|hit| &hit.chunk));
    telemetry::record_search(&output.timings);
    Ok(axum::Json(output.into()))
}
