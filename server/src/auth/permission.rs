//! What every operation needs, and who has it: one table, applied in one layer.
//!
//! An operation that is missing in the table is refused, and a test walks the OpenAPI document for such.

mod table;

use super::Principal;
use crate::app::{App, AppState};
use crate::error::{ApiError, Code};
use crate::identity::Role;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kura_indexer::catalog::JobId;
use kura_indexer::{DocumentId, Error};
use serde::{Deserialize, Serialize};
use table::{Reach, Rule, TABLE};
use utoipa::ToSchema;

/// What an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Nothing: everyone who reaches the server may.
    Anyone,
    /// To look at and end what is one's own: who one is, sessions, keys.
    Own,
    /// To change one's own password and second factor; not with a key.
    Account,
    /// To search, ask and read documents.
    Read,
    /// To add, change and delete documents, dictionaries and collections.
    Write,
    /// To see jobs and act on them: on those of documents that one may read.
    WatchJobs,
    /// To act on all jobs, and on the queue.
    ManageJobs,
    /// To see how kura is set up, and who may use it.
    ReadSettings,
    /// To add, change and remove sources.
    ManageSources,
    /// To measure quality.
    Evaluate,
    /// To manage users, groups, sessions and keys.
    ManageIdentity,
    /// To erase documents and people for good, without reading them.
    Forget,
    /// To find out what is wrong with the index and with searches.
    Diagnose,
    /// To read the audit log.
    ReadAudit,
    /// What only the operator may: to see what people asked, and to keep the audit log from being dropped.
    Operate,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 15] = [
        Self::Anyone,
        Self::Own,
        Self::Account,
        Self::Read,
        Self::Write,
        Self::WatchJobs,
        Self::ManageJobs,
        Self::ReadSettings,
        Self::ManageSources,
        Self::Evaluate,
        Self::ManageIdentity,
        Self::Forget,
        Self::Diagnose,
        Self::ReadAudit,
        Self::Operate,
    ];

    /// Returns whether users of a role have it.
    #[must_use]
    pub fn is_given_by(self, role: Role) -> bool {
        use Role::{Admin, Auditor, Editor, Reader};
        match self {
            Self::Anyone | Self::Own | Self::Account => true,
            Self::Read => matches!(role, Reader | Editor | Admin),
            Self::Write => matches!(role, Editor),
            Self::WatchJobs => matches!(role, Editor | Admin),
            Self::ReadSettings => matches!(role, Admin | Auditor),
            Self::ManageJobs
            | Self::ManageSources
            | Self::Evaluate
            | Self::ManageIdentity
            | Self::Forget
            | Self::Diagnose => matches!(role, Admin),
            Self::ReadAudit => matches!(role, Auditor),
            Self::Operate => false,
        }
    }

    /// Completes “may not …”.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Anyone => "reach the server",
            Self::Own => "see its own account",
            Self::Account => "change the own password, second factor and keys",
            Self::Read => "search, ask and read documents",
            Self::Write => "add, change and delete documents, dictionaries and collections",
            Self::WatchJobs => "see jobs and act on them",
            Self::ManageJobs => "act on the whole queue of jobs",
            Self::ReadSettings => "see how kura is set up",
            Self::ManageSources => "add, change and remove sources",
            Self::Evaluate => "run and read evaluations",
            Self::ManageIdentity => "manage users, groups, sessions and keys",
            Self::Forget => "erase documents and people for good",
            Self::Diagnose => "look into the index and explain searches",
            Self::ReadAudit => "read the audit log",
            Self::Operate => "do what only the operator may",
        }
    }

    /// Says who has it.
    pub(super) fn who(self) -> String {
        let roles = Role::ALL.into_iter().filter(|role| self.is_given_by(*role));
        let roles: Vec<String> = roles.map(|role| format!("`{}`", role.as_str())).collect();
        match roles.as_slice() {
            [] => "only the admin API key and commands on the server's machine may".to_owned(),
            [role] => format!("the role {role} may"),
            roles => format!("the roles {} may", roles.join(", ")),
        }
    }
}

/// Returns what an operation needs; `None` when the table does not know it.
#[must_use]
pub fn of(method: &Method, path: &str) -> Option<Permission> {
    find(method, path).map(|rule| rule.permission)
}

fn find(method: &Method, path: &str) -> Option<&'static Rule> {
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    TABLE
        .iter()
        .find(|rule| rule.path == path && rule.method == *method)
}

/// Layer: lets a principal do only what the table allows.
pub async fn authorize(
    State(app): State<AppState>,
    principal: Principal,
    path: MatchedPath,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let Some(rule) = find(request.method(), path.as_str()) else {
        return unknown(request.method(), path.as_str());
    };
    let param = |name: &str| {
        params
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    };
    let allowed = async {
        principal.require(rule.permission)?;
        match rule.reach {
            Reach::Nothing | Reach::Handled => Ok(()),
            Reach::Everything if principal.collections().is_some() => Err(ApiError::new(
                Code::Forbidden,
                "this API key is limited to some collections, and this operation is not; use a key without that limit",
            )),
            Reach::Everything => Ok(()),
            Reach::Collection => {
                param("name").map_or(Ok(()), |name| principal.require_collection(name))
            }
            Reach::Document => require_document(&app, &principal, param("id")).await,
            Reach::Job => require_job(&app, &principal, param("id")).await,
        }
    };
    if let Err(error) = allowed.await {
        tracing::info!(
            principal.id = principal.id(),
            http.method = %request.method(),
            http.path = path.as_str(),
            "refused: {error}"
        );
        return error.into_response();
    }
    next.run(request).await
}

/// Refuses what the table does not know: a wrong method of a known path, or a route that someone forgot.
fn unknown(method: &Method, path: &str) -> Response {
    wrong_method(path).unwrap_or_else(|| {
        tracing::error!("no permission is set for {method} {path}, so nobody may use it");
        ApiError::new(Code::Forbidden, "nobody may use this address").into_response()
    })
}

/// Returns the refusal of a method that a known path does not have; `None` for an unknown path.
pub(crate) fn wrong_method(path: &str) -> Option<Response> {
    let methods: Vec<&str> = TABLE
        .iter()
        .filter(|rule| rule.path == path)
        .map(|rule| rule.method.as_str())
        .collect();
    if methods.is_empty() {
        return None;
    }
    let error = ApiError::new(
        Code::MethodNotAllowed,
        "this address does not answer that method",
    );
    let mut response = error.into_response();
    if let Ok(allow) = HeaderValue::try_from(methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    Some(response)
}

/// Fails unless a document lies where the principal's key reaches. Its access list is the handler's business.
async fn require_document(
    app: &App,
    principal: &Principal,
    id: Option<&str>,
) -> Result<(), ApiError> {
    let id = id.and_then(|id| id.parse().ok()).map(DocumentId);
    // What is no id the handler refuses.
    let (Some(id), Some(_)) = (id, principal.collections()) else {
        return Ok(());
    };
    let document = app.pipeline.document(id, &principal.access()).await?;
    if principal.reaches(&document.collection_name) {
        return Ok(());
    }
    Err(Error::UnknownDocument { id: id.to_string() }.into())
}

/// Fails unless the principal manages all jobs, or may read this job's document.
async fn require_job(app: &App, principal: &Principal, id: Option<&str>) -> Result<(), ApiError> {
    let Some(id) = id.and_then(|id| id.parse().ok()).map(JobId) else {
        return Ok(());
    };
    if principal.may(Permission::ManageJobs) && principal.collections().is_none() {
        return Ok(());
    }
    let job = app.pipeline.job(id).await?;
    if !sees_job(app, principal, &job).await? {
        return Err(Error::UnknownJob {
            id: id.0.to_string(),
        }
        .into());
    }
    Ok(())
}

/// Returns whether a job's document lies where the principal's key reaches, and may be read by it.
pub(crate) async fn sees_job(
    app: &App,
    principal: &Principal,
    job: &kura_indexer::catalog::Job,
) -> Result<bool, ApiError> {
    if !principal.reaches(&job.collection_name) {
        return Ok(false);
    }
    if principal.reads_everything() {
        return Ok(true);
    }
    match app
        .pipeline
        .document(job.document, &principal.access())
        .await
    {
        Ok(_) => Ok(true),
        Err(Error::UnknownDocument { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_in_the_table_once_and_nothing_else_is() {
        let document = serde_json::to_value(crate::router::openapi()).unwrap();
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                operations.push((method.to_uppercase(), path.clone()));
            }
        }
        let mut table: Vec<(String, String)> = TABLE
            .iter()
            .map(|rule| (rule.method.to_string(), rule.path.to_owned()))
            .collect();
        operations.sort();
        table.sort();
        assert_eq!(operations, table);
    }

    #[test]
    fn duties_are_separate() {
        let has = |role, permission: Permission| permission.is_given_by(role);
        assert!(!has(Role::Admin, Permission::Write) && !has(Role::Admin, Permission::ReadAudit));
        assert!(!has(Role::Auditor, Permission::Read) && has(Role::Auditor, Permission::ReadAudit));
        for role in Role::ALL {
            assert!(!has(role, Permission::Operate));
            // What a reader may, everyone who works with content may.
            if role != Role::Auditor {
                assert!(has(role, Permission::Read));
            }
        }
    }

    #[test]
    fn wire_names_are_listed() {
        for permission in Permission::ALL {
            assert!(serde_json::to_value(permission).unwrap().is_string());
            assert!(!permission.describe().is_empty() && !permission.who().is_empty());
        }
    }
}
