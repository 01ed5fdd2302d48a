//! `/api/v1/documents`

use super::filter;
use super::jobs::{Job, Priority};
use super::metadata::{Metadata, MetadataChange};
use super::permissions::{collection_to_fill, may_change};
use super::{List, ListQuery, Path, Problems, Query, document_id, list_limit, resolve};
use crate::app::{App, AppState};
use crate::audit::Audited;
use crate::auth::Principal;
use crate::error::{ApiError, Code};
use axum::extract::{FromRequest as _, Multipart, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use kura_indexer::AclChange;
use kura_indexer::catalog::{self, DocumentStatus};
use kura_indexer::ingest::{AddOutcome, Added, NewDocument};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What was uploaded, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// UUID, stable over versions.
    pub id: String,
    /// Name of its collection.
    pub collection: String,
    /// File name or path under which it was added; unique in the collection. Of a document that lies in another one, the
    /// other's, `/` and where it lies.
    pub source: String,
    /// Id of the document it lies in, such as the mail that it is attached to. It has that one's readers, and changes and
    /// goes with it.
    #[schema(required)]
    pub parent: Option<String>,
    /// How many documents lie in it; `/api/v1/documents/{id}/children` lists them.
    pub n_children: u32,
    /// The title it gives itself, or its file name.
    pub title: String,
    /// Media type.
    pub media_type: String,
    /// Size of the original.
    pub size_bytes: u64,
    /// Of the original, lower-case hex.
    pub sha256: String,
    /// From 1.
    pub version: u32,
    /// Whether it can be found.
    pub status: Status,
    /// Chunks of the visible version.
    pub n_chunks: u32,
    /// Parts that could not be read.
    pub warnings: Vec<String>,
    /// Why it failed, with remedy.
    #[schema(required)]
    pub error: Option<String>,
    /// What is known about it.
    pub metadata: Metadata,
    /// When it was first added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: jiff::Timestamp,
}

/// Whether a document can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DocumentStatus)]
pub enum Status {
    /// A job will index it.
    Pending,
    /// It can be found.
    Indexed,
    /// It could not be indexed.
    Failed,
}

/// The text that quotes and spans refer to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DocumentText {
    /// The document's id.
    pub document: String,
    /// Its title.
    pub title: String,
    /// The extracted text.
    pub text: String,
    /// The version it belongs to.
    pub version: u32,
}

/// What became of an uploaded file.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// The document.
    pub document: Document,
    /// The job that indexes it; absent when nothing is to be done.
    #[schema(required)]
    pub job: Option<Job>,
    /// How it relates to what was there.
    pub outcome: Outcome,
}

/// How an uploaded file relates to what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = UploadOutcome)]
pub enum Outcome {
    /// There was no such source.
    New,
    /// It is a new version.
    Replaced,
    /// The same bytes were there.
    Unchanged,
}

/// The uploads of one request, in order.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Uploads {
    /// One per file.
    pub items: Vec<Upload>,
}

/// The parts of an upload.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only describes the request for the OpenAPI document"
)]
pub struct UploadForm {
    /// Name of the collection, made if missing. Comes first.
    collection: String,
    /// Source of the next file, instead of its file name.
    source: Option<String>,
    /// What is known about the files that follow, as JSON (`MetadataChange`), until the next such part.
    metadata: Option<MetadataChange>,
    /// Groups that may read the files that follow, as a JSON list, until the next such part. Without one it stays as it is;
    /// a new document can be read by everyone.
    #[schema(value_type = Option<String>)]
    readers: Option<Vec<String>>,
    /// Groups that may not read them, whatever their readers say, as a JSON list, until the next such part. Without one it
    /// stays as it is; a new document denies nobody.
    #[schema(value_type = Option<String>)]
    denied: Option<Vec<String>>,
    /// Which jobs the files that follow go before, until the next such part; `high` when absent.
    priority: Option<Priority>,
    /// One part per file.
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<Vec<u8>>,
}

/// Which documents.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DocumentsQuery {
    /// Name of the collection; all when absent.
    collection: Option<String>,
    /// Only documents that pass this filter: a `SearchFilter` as JSON.
    filter: Option<String>,
    /// Most items to return, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl From<catalog::Document> for Document {
    fn from(document: catalog::Document) -> Self {
        Self {
            metadata: Metadata::of(&document),
            id: document.id.to_string(),
            collection: document.collection_name,
            parent: document.parent.map(|parent| parent.to_string()),
            n_children: document.n_children,
            source: document.source,
            title: document.title,
            media_type: document.media_type,
            size_bytes: document.size_bytes,
            sha256: document.sha256,
            version: document.version,
            status: match document.status {
                DocumentStatus::Pending => Status::Pending,
                DocumentStatus::Indexed => Status::Indexed,
                DocumentStatus::Failed => Status::Failed,
            },
            n_chunks: document.n_chunks,
            warnings: document.warnings,
            error: document.error,
            created_at: document.created_at,
            updated_at: document.updated_at,
        }
    }
}

impl From<AddOutcome> for Outcome {
    fn from(outcome: AddOutcome) -> Self {
        match outcome {
            AddOutcome::New => Self::New,
            AddOutcome::Replaced => Self::Replaced,
            AddOutcome::Unchanged => Self::Unchanged,
        }
    }
}

/// Lists documents.
#[utoipa::path(get, path = "/api/v1/documents", tag = "documents", params(DocumentsQuery),
    responses((status = 200, body = List<Document>), Problems))]
pub async fn list_documents(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Query(query): Query<DocumentsQuery>,
) -> Result<axum::Json<List<Document>>, ApiError> {
    let limit = list_limit(query.limit)?;
    if let Some(name) = &query.collection {
        audited.target("collection", name);
    }
    let names = query.collection.map(|name| vec![name]);
    let collections = resolve(&app, &principal, names.as_deref()).await?;
    let page = app
        .pipeline
        .filtered_documents(
            &collections,
            &filter::from_query(query.filter.as_deref())?,
            &principal.access(),
            query.cursor.as_deref(),
            limit,
        )
        .await?;
    audited.items(page.items.len());
    Ok(axum::Json(List {
        items: page.items.into_iter().map(Into::into).collect(),
        next_cursor: page.next,
    }))
}

/// Uploads files.
///
/// Each is stored when this returns, and indexed by a background job. The same source in the same collection is a
/// new version of that document.
#[utoipa::path(post, path = "/api/v1/documents", tag = "documents",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 202, body = Uploads), Problems))]
pub async fn upload_documents(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    request: Request,
) -> Result<(StatusCode, axum::Json<Uploads>), ApiError> {
    let form = Multipart::from_request(request, &app).await?;
    let (collection, files) = read_form(form).await?;
    audited.target("collection", &collection);
    principal.require_collection(&collection)?;
    let collection = collection_to_fill(&app, &principal, &collection).await?;
    let mut items = Vec::with_capacity(files.len());
    for file in files {
        let access = file.acl.clone();
        let new = NewDocument {
            collection,
            source: file.source,
            media_type: file.media_type,
            bytes: file.bytes,
            acl: file.acl,
            metadata: file.metadata,
        };
        let priority = catalog::Priority::from(file.priority);
        let added = app.pipeline.add_document_with(new, priority).await?;
        app.jobs.notify();
        let item = upload(&app, added).await?;
        audited.add("documents", item.audited(&access));
        items.push(item);
    }
    Ok((StatusCode::ACCEPTED, axum::Json(Uploads { items })))
}

impl Upload {
    /// Returns what the audit log says of it.
    pub(crate) fn audited(&self, access: &AclChange) -> serde_json::Value {
        let mut said = serde_json::json!({
            "document": self.document.id,
            "version": self.document.version,
            "outcome": self.outcome,
        });
        if access.readers.is_some() || access.denied.is_some() {
            said["access"] = serde_json::json!(access);
        }
        said
    }
}

/// Says what became of an added file.
pub(crate) async fn upload(app: &App, added: Added) -> Result<Upload, ApiError> {
    let job = match added.job {
        Some(id) => Some(app.pipeline.job(id).await?.into()),
        None => None,
    };
    Ok(Upload {
        document: added.document.into(),
        job,
        outcome: added.outcome.into(),
    })
}

/// Returns a document.
#[utoipa::path(get, path = "/api/v1/documents/{id}", tag = "documents",
    params(("id" = String, Path, description = "The document's id")),
    responses((status = 200, body = Document), Problems))]
pub async fn get_document(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<axum::Json<Document>, ApiError> {
    let document = app
        .pipeline
        .document(document_id(&id)?, &principal.access())
        .await?;
    Ok(axum::Json(document.into()))
}

/// Lists the documents that lie in a document, such as what is attached to a mail.
#[utoipa::path(get, path = "/api/v1/documents/{id}/children", tag = "documents",
    params(("id" = String, Path, description = "The document's id"), ListQuery),
    responses((status = 200, body = List<Document>), Problems))]
pub async fn list_children(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<List<Document>>, ApiError> {
    let (id, limit) = (document_id(&id)?, query.limit()?);
    let page = app
        .pipeline
        .children(id, &principal.access(), query.cursor.as_deref(), limit)
        .await?;
    audited.items(page.items.len());
    Ok(axum::Json(List {
        items: page.items.into_iter().map(Into::into).collect(),
        next_cursor: page.next,
    }))
}

/// Deletes a document and what lies in it; they are gone from search at once.
///
/// What lies in another document cannot be deleted by itself.
#[utoipa::path(delete, path = "/api/v1/documents/{id}", tag = "documents",
    params(("id" = String, Path, description = "The document's id")),
    responses((status = 204, description = "Deleted"), Problems))]
pub async fn delete_document(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let (id, access) = (document_id(&id)?, principal.access());
    let document = app.pipeline.document(id, &access).await?;
    may_change(&app, &principal, document.collection).await?;
    app.pipeline.delete_document(id, &access).await?;
    app.withdraw_stale_answers().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns a document's extracted text, which quotes and spans refer to.
#[utoipa::path(get, path = "/api/v1/documents/{id}/text", tag = "documents",
    params(("id" = String, Path, description = "The document's id")),
    responses((status = 200, body = DocumentText), Problems))]
pub async fn get_document_text(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
) -> Result<axum::Json<DocumentText>, ApiError> {
    let (id, access) = (document_id(&id)?, principal.access());
    let document = app.pipeline.document(id, &access).await?;
    let (version, text) = app.pipeline.visible_text(id, &access).await?;
    audited.detail("version", version);
    Ok(axum::Json(DocumentText {
        document: document.id.to_string(),
        title: document.title,
        text,
        version,
    }))
}

/// Returns a document's original bytes.
#[utoipa::path(get, path = "/api/v1/documents/{id}/content", tag = "documents",
    params(("id" = String, Path, description = "The document's id")),
    responses((status = 200, body = serde_json::Value, content_type = "*/*", description = "As it was uploaded"), Problems))]
pub async fn get_document_content(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
) -> Result<(HeaderMap, Vec<u8>), ApiError> {
    let (id, access) = (document_id(&id)?, principal.access());
    let document = app.pipeline.document(id, &access).await?;
    let bytes = app.pipeline.document_bytes(id, &access).await?;
    audited.detail("version", document.version);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, document.media_type.clone()),
        (header::CONTENT_DISPOSITION, attachment(&document.source)),
        // An uploaded page must not run as one of kura's own, even if a browser is made to show it.
        (
            HeaderName::from_static("content-security-policy"),
            "sandbox; default-src 'none'".to_owned(),
        ),
    ] {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    Ok((headers, bytes))
}

struct File {
    source: String,
    media_type: Option<String>,
    bytes: Vec<u8>,
    acl: AclChange,
    metadata: kura_indexer::MetadataChange,
    priority: Priority,
}

/// Reads all parts before anything is stored, so that a request cut off leaves nothing behind.
async fn read_form(mut form: Multipart) -> Result<(String, Vec<File>), ApiError> {
    let mut collection = None;
    let mut next_source = None;
    let (mut readers, mut denied) = (None, None);
    let mut metadata = kura_indexer::MetadataChange::default();
    // Whoever uploads by hand waits for it.
    let mut priority = Priority::High;
    let mut files = Vec::new();
    while let Some(field) = form.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "collection" => collection = Some(field.text().await?),
            "source" => next_source = Some(field.text().await?),
            "metadata" => metadata = read_metadata(&field.text().await?)?,
            "readers" => readers = Some(field.text().await?),
            "denied" => denied = Some(field.text().await?),
            "priority" => priority = read_priority(&field.text().await?)?,
            "file" => {
                if collection.is_none() {
                    return Err(ApiError::invalid(
                        "the part `collection` must come before the first `file`",
                    ));
                }
                let file_name = field.file_name().map(str::to_owned);
                let media_type = field.content_type().and_then(declared);
                let bytes = field.bytes().await?.to_vec();
                let name = next_source.take().or(file_name).ok_or_else(|| {
                    ApiError::invalid(
                        "a `file` part needs a file name, or a `source` part before it",
                    )
                })?;
                files.push(File {
                    source: source(&name)?,
                    media_type,
                    bytes,
                    acl: acl(readers.as_deref(), denied.as_deref())?,
                    metadata: metadata.clone(),
                    priority,
                });
            }
            _ => {
                return Err(ApiError::invalid(format!(
                    "unknown part `{name}`; known are `collection`, `source`, `metadata`, `readers`, `denied`, `priority` and `file`"
                )));
            }
        }
    }
    let collection =
        collection.ok_or_else(|| ApiError::invalid("the part `collection` is missing"))?;
    if files.is_empty() {
        return Err(ApiError::invalid("there is no `file` part"));
    }
    Ok((collection, files))
}

fn read_priority(name: &str) -> Result<Priority, ApiError> {
    serde_json::from_value(name.into()).map_err(|_| {
        ApiError::invalid(format!(
            "unknown priority `{name}`; use `low`, `normal` or `high`"
        ))
    })
}

/// Reads who may read a document, and who may not: each a JSON list of groups.
pub(crate) fn acl(readers: Option<&str>, denied: Option<&str>) -> Result<AclChange, ApiError> {
    let list = |name: &str, json: Option<&str>| -> Result<Option<Vec<String>>, ApiError> {
        let read = json.map(serde_json::from_str).transpose();
        read.map_err(|error| {
            ApiError::invalid(format!(
                "`{name}` cannot be read: {error}; write it as a JSON list of groups, like [\"hr\"]"
            ))
        })
    };
    let (readers, denied) = (list("readers", readers)?, list("denied", denied)?);
    Ok(AclChange::named(readers.as_deref(), denied.as_deref())?)
}

pub(crate) fn read_metadata(json: &str) -> Result<kura_indexer::MetadataChange, ApiError> {
    let change: MetadataChange = serde_json::from_str(json).map_err(|error| {
        ApiError::invalid(format!(
            "`metadata` cannot be read: {error}; write it as JSON, like {{\"tags\":[\"hr\"]}}"
        ))
    })?;
    // Before any file is stored.
    Ok(change.to_core()?.checked()?)
}

/// Returns the media type that a client declares, unless that says nothing.
pub(crate) fn declared(media_type: &str) -> Option<String> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    (!essence.is_empty() && essence != "application/octet-stream").then(|| media_type.to_owned())
}

/// Returns the source for a name given by a client: parts joined by `/`, none of which leads upwards.
pub(crate) fn source(name: &str) -> Result<String, ApiError> {
    /// Catalog rows stay small, and no file system has longer paths.
    const MAX_BYTES: usize = 1024;
    let name = name.replace('\\', "/");
    let parts: Vec<&str> = name
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .collect();
    let source = parts.join("/");
    if source.is_empty() || source.len() > MAX_BYTES || source.chars().any(char::is_control) {
        return Err(ApiError::new(
            Code::InvalidRequest,
            format!("a file name must have 1 to {MAX_BYTES} bytes and no control characters"),
        ));
    }
    Ok(source)
}

/// Returns a `Content-Disposition` that downloads under the document's own name (RFC 6266).
fn attachment(source: &str) -> String {
    let name = source.rsplit('/').next().unwrap_or(source);
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && !matches!(c, '"' | '\\') || c == ' ' {
                c
            } else {
                '_'
            }
        })
        .collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_never_lead_upwards() {
        assert_eq!(source("a/b.pdf").unwrap(), "a/b.pdf");
        assert_eq!(source("/../etc\\passwd").unwrap(), "etc/passwd");
        assert_eq!(source("規程.md").unwrap(), "規程.md");
        for bad in ["", "/", "..", "a\nb"] {
            assert_eq!(
                source(bad).unwrap_err().code,
                Code::InvalidRequest,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn downloads_keep_their_names() {
        assert_eq!(
            attachment("dir/規 \"1\".pdf"),
            "attachment; filename=\"_ _1_.pdf\"; filename*=UTF-8''%E8%A6%8F%20%221%22.pdf"
        );
    }
}
