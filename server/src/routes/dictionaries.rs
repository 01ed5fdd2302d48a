//! `/api/v1/collections/{name}/dictionary`

use super::permissions::may_change;
use super::{Path, Problems};
use crate::app::AppState;
use crate::auth::Principal;
use crate::error::ApiError;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A dictionary that is now in use.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Dictionary {
    /// The collection's name.
    pub collection: String,
    /// Terms in it.
    pub n_terms: usize,
}

/// Sets a collection's dictionary, in place of the one before; the next search uses it.
///
/// CSV with the columns `term`, `reading`, `synonyms`, `abbreviations`; several values in a cell have `;` between them.
#[utoipa::path(put, path = "/api/v1/collections/{name}/dictionary", tag = "collections",
    params(("name" = String, Path, description = "The collection's name")),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 200, body = Dictionary), Problems))]
pub async fn put_dictionary(
    State(app): State<AppState>,
    principal: Principal,
    Path(name): Path<String>,
    csv: Bytes,
) -> Result<axum::Json<Dictionary>, ApiError> {
    let access = principal.access();
    let collection = app.pipeline.collection(&name, &access).await?;
    may_change(&app, &principal, collection.id).await?;
    let n_terms = app.pipeline.set_dictionary(&name, &csv, &access).await?;
    Ok(axum::Json(Dictionary {
        collection: name,
        n_terms,
    }))
}

/// Returns a collection's dictionary as it was set; without terms if it never was.
#[utoipa::path(get, path = "/api/v1/collections/{name}/dictionary", tag = "collections",
    params(("name" = String, Path, description = "The collection's name")),
    responses((status = 200, body = String, content_type = "text/csv"), Problems))]
pub async fn get_dictionary(
    State(app): State<AppState>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let csv = app.pipeline.dictionary(&name, &principal.access()).await?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], csv))
}

/// Removes a collection's dictionary, if it has one.
#[utoipa::path(delete, path = "/api/v1/collections/{name}/dictionary", tag = "collections",
    params(("name" = String, Path, description = "The collection's name")),
    responses((status = 204, description = "Removed"), Problems))]
pub async fn delete_dictionary(
    State(app): State<AppState>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let access = principal.access();
    let collection = app.pipeline.collection(&name, &access).await?;
    may_change(&app, &principal, collection.id).await?;
    app.pipeline.remove_dictionary(&name, &access).await?;
    Ok(StatusCode::NO_CONTENT)
}
