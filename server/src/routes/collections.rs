//! `/api/v1/collections`

use super::permissions::{self, CollectionMember, may_change};
use super::{Json, List, ListQuery, Path, Problems, Query};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::error::ApiError;
use axum::extract::State;
use axum::http::StatusCode;
use kura_indexer::{Member, Role};
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
    /// Whom it is for; everyone may read it when absent. Without any member it is only for those who may read everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<CollectionMember>>,
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

/// Lists the collections that the caller may read, by name.
#[utoipa::path(get, path = "/api/v1/collections", tag = "collections", params(ListQuery),
    responses((status = 200, body = List<Collection>), Problems))]
pub async fn list_collections(
    State(app): State<AppState>,
    principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<List<Collection>>, ApiError> {
    let limit = query.limit()?;
    let mut all = app.pipeline.collections(&principal.access()).await?;
    all.retain(|one| principal.reaches(&one.name));
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

/// Creates a collection. A user who creates one is an editor of it.
#[utoipa::path(post, path = "/api/v1/collections", tag = "collections", request_body = NewCollection,
    responses((status = 201, body = Collection),
        (status = 409, body = crate::error::Problem, content_type = "application/problem+json"), Problems))]
pub async fn create_collection(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Json(new): Json<NewCollection>,
) -> Result<(StatusCode, axum::Json<Collection>), ApiError> {
    audited.target("collection", &new.name);
    let mut members = match &new.members {
        Some(given) => permissions::members(given)?,
        None => vec![Member::everyone()],
    };
    permissions::note_members(&audited, new.members.as_deref().unwrap_or_default());
    if let Some(group) = principal.own_group() {
        members.retain(|member| member.group != group);
        members.push(Member {
            group,
            role: Role::Editor,
        });
    }
    let collection = app.pipeline.new_collection(&new.name, members).await?;
    Ok((StatusCode::CREATED, axum::Json(collection.into())))
}

/// Returns a collection.
#[utoipa::path(get, path = "/api/v1/collections/{name}", tag = "collections",
    params(("name" = String, Path, description = "The collection's name")),
    responses((status = 200, body = Collection), Problems))]
pub async fn get_collection(
    State(app): State<AppState>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<axum::Json<Collection>, ApiError> {
    let collection = app.pipeline.collection(&name, &principal.access()).await?;
    Ok(axum::Json(collection.into()))
}

/// Deletes a collection with all its documents.
#[utoipa::path(delete, path = "/api/v1/collections/{name}", tag = "collections",
    params(("name" = String, Path, description = "The collection's name")),
    responses((status = 204, description = "Deleted"), Problems))]
pub async fn delete_collection(
    State(app): State<AppState>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let access = principal.access();
    let collection = app.pipeline.collection(&name, &access).await?;
    may_change(&app, &principal, collection.id).await?;
    app.pipeline.delete_collection(&name, &access).await?;
    app.withdraw_stale_answers().await?;
    Ok(StatusCode::NO_CONTENT)
}
