//! `/api/v1/audit`

use super::{List, Path, Problems, Query, list_limit};
use crate::app::{App, AppState};
use crate::audit::verify::{self, Verification};
use crate::audit::{Anchor, Audited, Ending, Record, read};
use crate::auth::Principal;
use crate::error::ApiError;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RecordsQuery {
    /// Recorded at this time (RFC 3339) or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Recorded before this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// By this principal: its id or its login.
    principal: Option<String>,
    /// This action, or all that begin with it and a dot: `document` is all about documents.
    action: Option<String>,
    /// To the thing with this id, of whatever kind; ids of other systems, too.
    target: Option<String>,
    /// Ended like this.
    result: Option<Ending>,
    /// Most items to return, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The end of the audit log. Kept elsewhere, it shows later whether the log was cut short or replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditHead)]
pub struct Head {
    /// Number of the last record; 0 when there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// Both as `kura audit verify --head` takes them.
    pub anchor: String,
}

/// A head that was kept elsewhere.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct VerifyQuery {
    /// `anchor` of an earlier head, `SEQ:HASH`.
    head: Option<String>,
}

/// A hold: while there is one, no record is dropped, however old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditHold)]
pub struct Hold {
    /// Its name.
    pub name: String,
}

/// Lists the records of the audit log, the latest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(RecordsQuery),
    responses((status = 200, body = List<Record>), Problems))]
pub async fn list_audit_records(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Query(query): Query<RecordsQuery>,
) -> Result<axum::Json<List<Record>>, ApiError> {
    let limit = list_limit(query.limit)?;
    let foreign = |_| ApiError::invalid("`cursor` is not one that a list returned");
    let cursor = query.cursor.as_deref();
    let before: Option<u64> = cursor
        .map(|text| text.parse().map_err(foreign))
        .transpose()?;
    let filter = read::Filter {
        from: query.from,
        to: query.to,
        principal: query.principal,
        action: query.action,
        target: query.target,
        result: query.result,
    };
    let data_dir = app.audit.data_dir().to_owned();
    let mut items = blocking(move || read::latest(&data_dir, &filter, before, limit + 1)).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    audited.items(items.len());
    let next_cursor = items
        .last()
        .filter(|_| more)
        .map(|last| last.seq.to_string());
    Ok(axum::Json(List { items, next_cursor }))
}

/// Returns the end of the audit log, to be kept elsewhere.
#[utoipa::path(get, path = "/api/v1/audit/head", tag = "audit",
    responses((status = 200, body = Head), Problems))]
pub async fn get_audit_head(
    State(app): State<AppState>,
    _principal: Principal,
) -> Result<axum::Json<Head>, ApiError> {
    app.audit.require()?;
    Ok(axum::Json(app.audit.head().into()))
}

/// Checks every record of the audit log and its end. What is wrong is in `findings`.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "audit", params(VerifyQuery),
    responses((status = 200, body = Verification), Problems))]
pub async fn verify_audit_log(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Query(query): Query<VerifyQuery>,
) -> Result<axum::Json<Verification>, ApiError> {
    let anchor = query.head.as_deref().map(str::parse::<Anchor>).transpose();
    let anchor = anchor.map_err(|reason| ApiError::invalid(format!("`head`: {reason}")))?;
    let data_dir = app.audit.data_dir().to_owned();
    let seen = blocking(move || verify::verify(&data_dir, anchor.as_ref())).await?;
    audited.detail("n_findings", seen.findings.len());
    Ok(axum::Json(seen))
}

/// Lists the holds.
#[utoipa::path(get, path = "/api/v1/audit/holds", tag = "audit",
    responses((status = 200, body = List<Hold>), Problems))]
pub async fn list_audit_holds(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
) -> Result<axum::Json<List<Hold>>, ApiError> {
    let items = holds(&app);
    audited.items(items.len());
    Ok(axum::Json(List {
        items,
        next_cursor: None,
    }))
}

/// Adds a hold: from now on no record is dropped. Adding one that is there changes nothing.
#[utoipa::path(put, path = "/api/v1/audit/holds/{name}", tag = "audit",
    params(("name" = String, Path, description = "The hold's name: letters, digits, `-`, `_` and `.`")),
    responses((status = 200, body = Hold), Problems))]
pub async fn add_audit_hold(
    State(app): State<AppState>,
    _principal: Principal,
    Path(name): Path<String>,
) -> Result<axum::Json<Hold>, ApiError> {
    app.audit.hold(&name).await?;
    Ok(axum::Json(Hold { name }))
}

/// Releases a hold.
#[utoipa::path(delete, path = "/api/v1/audit/holds/{name}", tag = "audit",
    params(("name" = String, Path, description = "The hold's name")),
    responses((status = 204, description = "Released"), Problems))]
pub async fn release_audit_hold(
    State(app): State<AppState>,
    _principal: Principal,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    app.audit.release(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<Anchor> for Head {
    fn from(anchor: Anchor) -> Self {
        Self {
            seq: anchor.seq,
            anchor: anchor.to_string(),
            hash: anchor.hash,
        }
    }
}

fn holds(app: &App) -> Vec<Hold> {
    let names = app.audit.holds().into_iter();
    names.map(|name| Hold { name }).collect()
}

/// Reads files on the pool for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| ApiError::internal(&error))??)
}
