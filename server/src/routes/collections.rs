//! `/api/v1/collections`

use super::{Json, List, ListQuery, Path, Problems, Query};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::error::{ApiError, Code};
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A set of documents that people see.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Collection {
    /// UUID.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// Documents in it.
    pub n_documents: u64,
    /// Chunks of their visible versions.
    pub n_chunks: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
}

/// What to create.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCollection {
    /// 1 to 64 letters, digits, `-`, `_` or `.`.
    pub name: String,
}

impl From<kura_indexer::catalog::Collection> for Collection {
    fn from(collection: kura_indexer::catalog::Collection) -> Self {
        Self {
            id: collection.id.to_string(),
            name: collection.name,
            n_documents: collection.n_documents,
            n_chunks: collection.n_chunks,
            created_at: collection.created_at,
        }
    }
}

/// Lists the collections by name.
#[utoipa::path(get, path = "/api/v1/collections", tag = "collections", params(ListQuery),
    responses((status = 200, body = List<Collection>), Problems))]
pub async fn list_collections(
    State(app): State<AppState>,
    _principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<List<Collection>>, ApiError> {
    let limit = query.limit()?;
    let mut all = app.pipeline.collections().await?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let after = query.cursor.as_deref();
    let mut rest = all
        .into_iter()
        .filter(|one| after.is_none_or(|after| one.name.as_str() > after));
    let items: Vec<Collection> = rest.by_ref().take(limit).map(Into::into).collect();
    let next_cursor = match (rest.next(), items.last()) {
        (Some(_), Some(last)) => Some(last.name.clone()),
        _ => None,
    };
    Ok(axum::Json(List { items, next_cursor }))
}

/// Creates a collection.
#[utoipa::path(post, path = "/api/v1/collections", tag = "collections", request_body = NewCollection,
    responses((status = 201, body = Collection),
        (status = 409, body = crate::error::Problem, content_type = "application/problem+json"), Problems))]
pub async fn create_collection(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Json(new): Json<NewCollection>,
) -> Result<(StatusCode, axum::Json<Collection>), ApiError> {
    audited.target("collection", &new.name);
    match app.pipeline.collection(&new.name).await {
        Ok(_) => {
            return Err(ApiError::new(
                Code::CollectionExists,
                format!("the collection `{}` exists already", new.name),
            ));
        }
        Err(kura_indexer::Error::UnknownCollection { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let collection = app.pipeline.create_collection(&new.name).await?;
    Ok((StatusCode::CREATED, axum::Json(collection.into())))
}

/// Returns a collection.
#[utoipa::path(get, path = "/api/v1/collections/{name}", tag = "collections",
    params(("name" = String, Path, description = "The collection's name")),
    responses((status = 200, body = Collection), Problems))]
pub async fn get_collection(
    State(app): State<AppState>,
    _principal: Principal,
    Path(name): Path<String>,
) -> Result<axum::Json<Collection>, ApiError> {
    Ok(axum::Json(app.pipeline.collection(&name).await?.into()))
}

/// Deletes a collection with all its documents.
#[utoipa::path(delete, path = "/api/v1/collections/{name}", tag = "collections",
    params(("name" = String, Path, description = "The collection's name")),
    responses((status = 204, description = "Deleted"), Problems))]
pub async fn delete_collection(
    State(app): State<AppState>,
    _principal: Principal,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    app.pipeline.delete_collection(&name).await?;
    app.withdraw_stale_answers().await?;
    Ok(StatusCode::NO_CONTENT)
}
