//! `/api/v1/collections/{name}/documents/{external_id}`: documents that another system keeps, under its own ids.

use super::documents::{self, Document, Upload, acl, declared, read_metadata, upload};
use super::jobs::Priority;
use super::permissions::{collection_to_fill, may_change};
use super::{Path, Problems, Query};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::error::ApiError;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use kura_indexer::ingest::{AddOptions, NewDocument};
use serde::Deserialize;
use utoipa::IntoParams;

/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 255;

/// What is said about a document that is put.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PutQuery {
    /// What is known about it: a `MetadataChange` as JSON.
    metadata: Option<String>,
    /// Groups that may read it, as a JSON list. When absent it stays as it is; a new document can be read by everyone.
    readers: Option<String>,
    /// Groups that may not read it, whatever its readers say, as a JSON list. When absent it stays as it is; a new document
    /// denies nobody.
    denied: Option<String>,
    /// Which jobs its job goes before; `normal` when absent.
    #[serde(default)]
    priority: Priority,
}

/// Puts a document: the body is the file, `Content-Type` what it is.
///
/// What was under this id is replaced by a new version, which is served once its job is done; the same file under the
/// same access changes nothing. The collection is made if missing. With the header `Idempotency-Key` a request that is
/// sent again within a day does nothing and has the same outcome, whatever was put meanwhile.
#[utoipa::path(put, path = "/api/v1/collections/{name}/documents/{external_id}", tag = "documents",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    params(
        ("name" = String, Path, description = "The collection's name"),
        ("external_id" = String, Path, description = "The document's id in the other system; `/` is written %2F"),
        ("Idempotency-Key" = Option<String>, Header, description = "Chosen by the client, another for every request"),
        PutQuery
    ),
    responses((status = 200, description = "Nothing is to be done", body = Upload),
        (status = 202, description = "Stored; a job indexes it", body = Upload), Problems))]
pub async fn put_document(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path((name, external_id)): Path<(String, String)>,
    Query(query): Query<PutQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, axum::Json<Upload>), ApiError> {
    let source = documents::source(&external_id)?;
    let metadata = match &query.metadata {
        Some(json) => read_metadata(json)?,
        None => kura_indexer::MetadataChange::default(),
    };
    let acl = acl(query.readers.as_deref(), query.denied.as_deref())?;
    let key = idempotency_key(&headers, &principal)?;
    let collection = collection_to_fill(&app, &principal, &name).await?;
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let access = acl.clone();
    let new = NewDocument {
        collection,
        source,
        media_type: media_type.and_then(declared),
        bytes: body.to_vec(),
        acl,
        metadata,
    };
    let options = AddOptions {
        priority: query.priority.into(),
        key,
    };
    let added = app.pipeline.add_document_with(new, options).await?;
    app.jobs.notify();
    let status = if added.job.is_some() {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let item = upload(&app, added).await?;
    audited.target("document", &item.document.id);
    audited.add("documents", item.audited(&access));
    Ok((status, axum::Json(item)))
}

/// Returns the document of an external id.
#[utoipa::path(get, path = "/api/v1/collections/{name}/documents/{external_id}", tag = "documents",
    params(
        ("name" = String, Path, description = "The collection's name"),
        ("external_id" = String, Path, description = "The document's id in the other system; `/` is written %2F")
    ),
    responses((status = 200, body = Document), Problems))]
pub async fn get_pushed_document(
    State(app): State<AppState>,
    principal: Principal,
    Path((name, external_id)): Path<(String, String)>,
) -> Result<axum::Json<Document>, ApiError> {
    let access = principal.access();
    let collection = app.pipeline.collection(&name, &access).await?.id;
    let source = documents::source(&external_id)?;
    let document = app
        .pipeline
        .document_of_source(collection, &source, &access)
        .await?;
    Ok(axum::Json(document.into()))
}

/// Deletes the document of an external id; it is gone from search at once.
#[utoipa::path(delete, path = "/api/v1/collections/{name}/documents/{external_id}", tag = "documents",
    params(
        ("name" = String, Path, description = "The collection's name"),
        ("external_id" = String, Path, description = "The document's id in the other system; `/` is written %2F")
    ),
    responses((status = 204, description = "Deleted"), Problems))]
pub async fn delete_pushed_document(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path((name, external_id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let access = principal.access();
    let collection = app.pipeline.collection(&name, &access).await?.id;
    may_change(&app, &principal, collection).await?;
    let source = documents::source(&external_id)?;
    let document = app
        .pipeline
        .document_of_source(collection, &source, &access)
        .await?;
    audited.target("document", &document.id.to_string());
    app.pipeline.delete_document(document.id, &access).await?;
    app.withdraw_stale_answers().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the request's key, apart from those of other principals.
fn idempotency_key(headers: &HeaderMap, principal: &Principal) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY).contains(&key.len()) => {
            Ok(Some(format!("{}:{key}", principal.id())))
        }
        _ => Err(ApiError::invalid(format!(
            "`Idempotency-Key` must have 1 to {MAX_KEY} visible ASCII characters"
        ))),
    }
}
