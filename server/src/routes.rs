//! Handlers, one module per resource, and what they share. A handler extracts, authorizes, acts and replies.
//!
//! Wire types live beside their handlers; they are separate from the core types and made from them by `From`.

pub mod api_keys;
pub mod ask;
pub mod audit;
pub mod collections;
pub mod conversations;
pub mod dictionaries;
pub mod documents;
pub mod evaluations;
pub mod explain;
pub mod feedback;
pub mod filter;
pub mod forget;
pub mod groups;
pub mod health;
pub mod jobs;
pub mod metadata;
pub mod oidc;
pub mod permissions;
pub mod push;
pub mod quality;
pub mod scim;
pub mod search;
pub mod session;
pub mod sessions;
pub mod sources;
pub mod totp;
pub mod users;
pub mod verify;

use crate::app::App;
use crate::auth::Principal;
use crate::error::{ApiError, Problem};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use kura_indexer::{AccessFilter, ChunkId, Collections, DocumentId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use utoipa::{IntoParams, IntoResponses, ToSchema};
use uuid::Uuid;

/// Items in a list when the caller does not say how many.
const DEFAULT_LIMIT: usize = 50;
/// Most items in a list.
const MAX_LIMIT: usize = 200;

/// One page of a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// Send it as `cursor` for the next page; absent at the end.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Most items to return, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl ListQuery {
    /// Returns the number of items to return.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn limit(&self) -> Result<usize, ApiError> {
        list_limit(self.limit)
    }
}

/// Returns the number of items to return.
pub(crate) fn list_limit(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(limit) => Err(ApiError::invalid(format!(
            "`limit` is {limit}; use 1 to {MAX_LIMIT}"
        ))),
    }
}

/// A byte range in UTF-8 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

/// The problems that any guarded route may answer with.
#[derive(IntoResponses)]
pub enum Problems {
    /// Invalid request.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// No or no valid API key or session.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// Who asks may not do that.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// A failure; `code` says which.
    #[response(status = "default", content_type = "application/problem+json")]
    Other(Problem),
}

/// JSON body; what cannot be read is a problem, not axum's plain text.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let axum::Json(value) = axum::Json::from_request(request, state).await?;
        Ok(Self(value))
    }
}

/// Query string; what cannot be read is a problem.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Query(value) =
            axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}

/// Path parameters; what cannot be read is a problem.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Path(value) =
            axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}

/// Returns the collections of these names; no names mean all that the caller may read, and that its key reaches.
pub(crate) async fn resolve(
    app: &App,
    principal: &Principal,
    names: Option<&[String]>,
) -> Result<Collections, ApiError> {
    let access = principal.access();
    match (names, principal.collections()) {
        (None, Some(reached)) => {
            let known = app.pipeline.collections(&access).await?;
            let ids = known
                .into_iter()
                .filter(|collection| reached.contains(&collection.name))
                .map(|collection| collection.id);
            Ok(Collections::Only(ids.collect()))
        }
        (names, _) => {
            for name in names.unwrap_or_default() {
                principal.require_collection(name)?;
            }
            Ok(select(&app.pipeline, names, &access).await?)
        }
    }
}

/// Returns the collections of these names; no list means all, an empty list none.
///
/// # Errors
/// When a collection does not exist, or is not for whom `access` stands for: the two cannot be told apart.
pub async fn select(
    pipeline: &kura_indexer::Pipeline,
    names: Option<&[String]>,
    access: &AccessFilter,
) -> kura_indexer::Result<Collections> {
    let Some(names) = names else {
        return Ok(Collections::All);
    };
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        ids.push(pipeline.collection(name, access).await?.id);
    }
    Ok(Collections::Only(ids))
}

/// Returns a document's id; what is no id is an unknown document.
pub(crate) fn document_id(text: &str) -> Result<DocumentId, ApiError> {
    text.parse().map(DocumentId).map_err(|_| {
        kura_indexer::Error::UnknownDocument {
            id: text.to_owned(),
        }
        .into()
    })
}

/// Returns a chunk's id as it goes over the wire: `<document>:<version>:<ordinal>`.
pub(crate) fn chunk_id(id: &ChunkId) -> String {
    format!("{}:{}:{}", id.document, id.version, id.ordinal)
}

/// Fails when a text is empty or longer than a question may be.
pub(crate) fn require_text(name: &str, text: &str) -> Result<(), ApiError> {
    /// Longer input is no question; the models would cut it anyhow.
    const MAX_BYTES: usize = 32 * 1024;
    if text.trim().is_empty() {
        return Err(ApiError::invalid(format!("`{name}` is empty")));
    }
    if text.len() > MAX_BYTES {
        return Err(ApiError::invalid(format!(
            "`{name}` has {} bytes; at most {MAX_BYTES} are accepted",
            text.len()
        )));
    }
    Ok(())
}

/// Returns an id given in a body, or the problem that there is no such thing.
pub(crate) fn uuid(text: &str, unknown: impl FnOnce() -> ApiError) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| unknown())
}
