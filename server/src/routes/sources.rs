//! `/api/v1/sources`

use super::permissions::DocumentAcl;
use super::{Json, List, ListQuery, Path, Problems, Query};
use crate::app::App;
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::config::Config;
use crate::error::ApiError;
use crate::sync::place::{Place, Settings};
use crate::sync::{self, Live, ScanRequest};
use axum::extract::State;
use axum::http::StatusCode;
use kura_indexer::catalog::{self, KnownItem, NewSource};
use kura_indexer::sync::Failure;
use kura_indexer::{AclChange, Pipeline};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Seconds between two scans when nobody says how many.
const INTERVAL_SECS: u64 = 300;

/// A place that kura keeps in step with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Unique name.
    pub name: String,
    /// Where its items are.
    pub place: Option<Place>,
    /// The collection that its documents go to.
    pub collection: String,
    /// Stands before the names of its documents.
    pub prefix: String,
    /// Only what fits one of these patterns; all when there is none.
    pub include: Vec<String>,
    /// Nothing that fits one of these patterns.
    pub exclude: Vec<String>,
    /// Groups that may read its documents.
    pub readers: Vec<String>,
    /// Groups that may not, whatever the readers say.
    #[serde(default)]
    pub denied: Vec<String>,
    /// Seconds between two scans.
    pub interval_secs: u64,
    /// Whether changes are noticed between scans.
    pub watch: bool,
    /// How it stands.
    pub state: SourceState,
    /// Why the last scan did not succeed.
    #[schema(required)]
    pub error: Option<String>,
    /// Why changes are noticed by scans only, although watching was asked for.
    #[schema(required)]
    pub watch_error: Option<String>,
    /// Whether a scan is under way or asked for.
    pub scanning: bool,
    /// What the scan under way has done, else the last one.
    #[schema(required)]
    pub last_scan: Option<ScanReport>,
    /// Files, messages or pages known.
    pub n_items: u64,
    /// Those that are documents.
    pub n_documents: u64,
    /// Those that could not be taken in or indexed.
    pub n_errors: u64,
    /// When the last scan ended.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub last_scan_at: Option<jiff::Timestamp>,
    /// When the last scan that succeeded began: older changes are known.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub last_success_at: Option<jiff::Timestamp>,
    /// Since when the document that has waited longest is not indexed.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub oldest_unindexed_at: Option<jiff::Timestamp>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
}

/// How a source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Not scanned yet.
    New,
    /// In step as of the last scan.
    Ok,
    /// The last scan did not succeed; its documents are kept as they were.
    Stale,
    /// Left alone until it is resumed.
    Paused,
}

/// What a scan did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScanReport {
    /// Items listed.
    pub listed: u64,
    /// Of these: as they were, so not read.
    pub unchanged: u64,
    /// Read, with the same content as before.
    pub same_content: u64,
    /// New documents.
    pub added: u64,
    /// New versions of documents.
    pub replaced: u64,
    /// Documents renamed because their file was moved; nothing of them is embedded again.
    pub renamed: u64,
    /// Documents deleted.
    pub deleted: u64,
    /// Not to be documents: too large, empty, of an unknown format.
    pub refused: u64,
    /// Could not be read; tried again at the next scan.
    pub failed: u64,
    /// Being written; looked at again soon.
    pub changing: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Milliseconds it took.
    pub duration_ms: u64,
}

/// A source to add.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSource)]
pub struct SourceToAdd {
    /// Unique name; made of the place when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Where its items are.
    pub place: Place,
    /// The collection that its documents go to, made if missing.
    pub collection: String,
    /// Stands before the names of its documents.
    #[serde(default)]
    pub prefix: String,
    /// Only what fits one of these patterns; all when there is none.
    #[serde(default)]
    pub include: Vec<String>,
    /// Nothing that fits one of these patterns.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Groups that may read its documents; `everyone` when absent.
    #[serde(default)]
    pub readers: Option<Vec<String>>,
    /// Groups that may not, whatever the readers say; none when absent.
    #[serde(default)]
    pub denied: Option<Vec<String>>,
    /// Seconds between two scans, 10 to 604,800; 300 when absent.
    #[serde(default)]
    pub interval_secs: Option<u64>,
    /// Whether changes are noticed between scans, where the place tells them.
    #[serde(default)]
    pub watch: bool,
}

/// What to change of a source.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceChange {
    /// Whether it is left alone.
    pub paused: bool,
}

/// How a scan is to be done.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScanToRun {
    /// Whether deletions are meant even if most items are missing.
    pub allow_deletions: bool,
    /// Whether what was refused or could not be indexed is tried again.
    pub retry: bool,
}

/// What becomes of the documents.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RemoveQuery {
    /// Whether the documents are deleted with the source; else they stay as they are.
    #[serde(default)]
    with_documents: bool,
}

/// An item of a source.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SourceItem {
    /// Path, uid or address within the source.
    pub key: String,
    /// Its document, if it is one.
    #[schema(required)]
    pub document: Option<String>,
    /// Where a person finds it.
    pub link: String,
    /// Why it is no document, could not be read again, or could not be indexed.
    #[schema(required)]
    pub error: Option<String>,
}

/// Which items.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ItemsQuery {
    /// Only those with an error.
    #[serde(default)]
    failed: bool,
    /// Most items to return, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Source {
    /// Returns a source as it goes over the wire.
    #[must_use]
    pub fn new(source: catalog::Source, live: Live) -> Self {
        let (scanning, state) = (live.is_busy(), source.state());
        let settings = sync::settings(&source).ok();
        let acl = DocumentAcl::from(source.acl);
        Self {
            prefix: settings
                .as_ref()
                .map(|settings| settings.prefix.clone())
                .unwrap_or_default(),
            place: settings.map(|settings| settings.place),
            name: source.name,
            collection: source.collection_name,
            include: source.include,
            exclude: source.exclude,
            readers: acl.readers,
            denied: acl.denied,
            interval_secs: source.interval.as_secs(),
            watch: source.watch,
            state: match state {
                catalog::SourceState::New => SourceState::New,
                catalog::SourceState::Ok => SourceState::Ok,
                catalog::SourceState::Stale => SourceState::Stale,
                catalog::SourceState::Paused => SourceState::Paused,
            },
            error: source.last_error,
            watch_error: live.watch_error,
            scanning,
            last_scan: live.scanning.or(source.last_scan).map(Into::into),
            n_items: source.n_items,
            n_documents: source.n_documents,
            n_errors: source.n_errors,
            last_scan_at: source.last_scan_at,
            last_success_at: source.last_success_at,
            oldest_unindexed_at: source.oldest_unindexed,
            created_at: source.created_at,
        }
    }
}

impl From<kura_indexer::sync::ScanReport> for ScanReport {
    fn from(report: kura_indexer::sync::ScanReport) -> Self {
        Self {
            listed: report.listed,
            unchanged: report.unchanged,
            same_content: report.same_content,
            added: report.added,
            replaced: report.replaced,
            renamed: report.renamed,
            deleted: report.deleted,
            refused: report.refused,
            failed: report.failed,
            changing: report.changing,
            bytes_read: report.bytes_read,
            duration_ms: report.duration_ms,
        }
    }
}

impl From<KnownItem> for SourceItem {
    fn from(item: KnownItem) -> Self {
        Self {
            key: item.row.key,
            document: item.row.document.map(|id| id.to_string()),
            link: item.row.link,
            error: item.row.error.or(item.reason),
        }
    }
}

impl From<ScanToRun> for ScanRequest {
    fn from(scan: ScanToRun) -> Self {
        Self {
            allow_deletions: scan.allow_deletions,
            retry: scan.retry,
        }
    }
}

/// Adds a source after looking whether its place can be read.
///
/// # Errors
/// When it cannot, or the source cannot be as described.
pub async fn add(
    pipeline: &Pipeline,
    config: &Config,
    new: SourceToAdd,
) -> Result<catalog::Source, ApiError> {
    let invalid = |Failure(reason)| ApiError::invalid(reason);
    let settings = Settings {
        prefix: match new.prefix.trim_matches('/') {
            "" => String::new(),
            prefix => super::documents::source(prefix)?,
        },
        place: new.place,
    };
    let acl = AclChange::named(new.readers.as_deref(), new.denied.as_deref())?.of(None);
    let connecting = sync::Connecting {
        config,
        settings: settings.clone(),
        include: &new.include,
        exclude: &new.exclude,
        known_root: None,
        known: None,
    };
    let connector = sync::connect(connecting).await.map_err(invalid)?;
    connector.root().await.map_err(invalid)?;
    let source = NewSource {
        name: new.name.unwrap_or_else(|| settings.place.default_name()),
        kind: settings.place.kind().to_owned(),
        collection: pipeline.create_collection(&new.collection).await?.id,
        location: settings.place.location(),
        settings: serde_json::to_value(&settings).map_err(|error| ApiError::internal(&error))?,
        include: new.include,
        exclude: new.exclude,
        acl,
        interval: Duration::from_secs(new.interval_secs.unwrap_or(INTERVAL_SECS)),
        watch: new.watch,
    };
    Ok(pipeline.create_source(source).await?)
}

/// Removes a source with what was kept to read it. Returns how many documents were deleted.
///
/// # Errors
/// When there is no such source.
pub async fn remove(
    pipeline: &Pipeline,
    config: &Config,
    name: &str,
    with_documents: bool,
) -> Result<usize, ApiError> {
    let gone = pipeline.source(name).await?;
    let n = pipeline.remove_source(name, with_documents).await?;
    sync::forget(config, &pipeline.sources().await?, &gone);
    Ok(n)
}

/// Lists the sources by name.
#[utoipa::path(get, path = "/api/v1/sources", tag = "sources", params(ListQuery),
    responses((status = 200, body = List<Source>), Problems))]
pub async fn list_sources(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<List<Source>>, ApiError> {
    let limit = query.limit()?;
    let after = query.cursor.as_deref();
    let mut live = app.sync.all();
    let mut rest = app
        .pipeline
        .sources()
        .await?
        .into_iter()
        .filter(|source| after.is_none_or(|after| source.name.as_str() > after));
    let items: Vec<Source> = rest
        .by_ref()
        .take(limit)
        .map(|source| {
            let live = live.remove(&source.id).unwrap_or_default();
            Source::new(source, live)
        })
        .collect();
    audited.items(items.len());
    let next_cursor = match (rest.next(), items.last()) {
        (Some(_), Some(last)) => Some(last.name.clone()),
        _ => None,
    };
    Ok(axum::Json(List { items, next_cursor }))
}

/// Adds a source; the server reads it at once and keeps in step with it.
#[utoipa::path(post, path = "/api/v1/sources", tag = "sources", request_body = SourceToAdd,
    responses((status = 201, body = Source),
        (status = 409, body = crate::error::Problem, content_type = "application/problem+json"), Problems))]
pub async fn create_source(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Json(new): Json<SourceToAdd>,
) -> Result<(StatusCode, axum::Json<Source>), ApiError> {
    audited.target("collection", &new.collection);
    let source = add(&app.pipeline, &app.config, new).await?;
    audited.target("source", &source.name);
    // Until its task has taken it up, it counts as being scanned.
    app.sync.request(source.id, ScanRequest::default());
    app.sync.notify();
    Ok((StatusCode::CREATED, axum::Json(shown(&app, source))))
}

/// Returns a source.
#[utoipa::path(get, path = "/api/v1/sources/{name}", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = Source), Problems))]
pub async fn get_source(
    State(app): State<AppState>,
    _principal: Principal,
    Path(name): Path<String>,
) -> Result<axum::Json<Source>, ApiError> {
    let mut live = app.sync.all();
    let source = app.pipeline.source(&name).await?;
    let live = live.remove(&source.id).unwrap_or_default();
    Ok(axum::Json(Source::new(source, live)))
}

/// Pauses or resumes a source.
#[utoipa::path(patch, path = "/api/v1/sources/{name}", tag = "sources", request_body = SourceChange,
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = Source), Problems))]
pub async fn change_source(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Path(name): Path<String>,
    Json(change): Json<SourceChange>,
) -> Result<axum::Json<Source>, ApiError> {
    audited.detail("paused", change.paused);
    let source = app.pipeline.pause_source(&name, change.paused).await?;
    if !change.paused {
        app.sync.request(source.id, ScanRequest::default());
    }
    app.sync.notify();
    Ok(axum::Json(shown(&app, source)))
}

/// Removes a source. Its documents stay, unless they are to be deleted with it.
#[utoipa::path(delete, path = "/api/v1/sources/{name}", tag = "sources",
    params(("name" = String, Path, description = "The source's name"), RemoveQuery),
    responses((status = 204, description = "Removed"), Problems))]
pub async fn delete_source(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode, ApiError> {
    let n = remove(&app.pipeline, &app.config, &name, query.with_documents).await?;
    audited.detail("n_documents_deleted", n);
    app.sync.notify();
    if n > 0 {
        app.withdraw_stale_answers().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Asks for a scan now, also of a paused source. Follow it by `scanning` of the source.
#[utoipa::path(post, path = "/api/v1/sources/{name}/scan", tag = "sources", request_body = ScanToRun,
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 202, body = Source), Problems))]
pub async fn scan_source(
    State(app): State<AppState>,
    _principal: Principal,
    Path(name): Path<String>,
    Json(scan): Json<ScanToRun>,
) -> Result<(StatusCode, axum::Json<Source>), ApiError> {
    let source = app.pipeline.source(&name).await?;
    app.sync.request(source.id, scan.into());
    Ok((StatusCode::ACCEPTED, axum::Json(shown(&app, source))))
}

/// Lists the items of a source by key.
#[utoipa::path(get, path = "/api/v1/sources/{name}/items", tag = "sources",
    params(("name" = String, Path, description = "The source's name"), ItemsQuery),
    responses((status = 200, body = List<SourceItem>), Problems))]
pub async fn list_source_items(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Path(name): Path<String>,
    Query(query): Query<ItemsQuery>,
) -> Result<axum::Json<List<SourceItem>>, ApiError> {
    let limit = super::list_limit(query.limit)?;
    let source = app.pipeline.source(&name).await?;
    let after = query.cursor.unwrap_or_default();
    let mut found = app
        .pipeline
        .source_items(source.id, &after, limit + 1, query.failed)
        .await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let items: Vec<SourceItem> = found.into_iter().map(Into::into).collect();
    audited.items(items.len());
    let next_cursor = items.last().filter(|_| more).map(|item| item.key.clone());
    Ok(axum::Json(List { items, next_cursor }))
}

fn shown(app: &App, source: catalog::Source) -> Source {
    let live = app.sync.of(source.id);
    Source::new(source, live)
}
