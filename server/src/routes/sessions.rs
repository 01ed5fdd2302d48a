//! `/api/v1/sessions`

use super::{List, Path, Problems, Query, uuid};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::{Permission, Principal};
use crate::error::ApiError;
use crate::identity::{self, Error, Lifetimes};
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// A browser in which someone is signed in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = UserSession)]
pub struct Session {
    /// UUID.
    pub id: String,
    /// Whose.
    pub user: String,
    /// What the browser calls itself.
    pub user_agent: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: jiff::Timestamp,
    /// When it ends if it is not used.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: jiff::Timestamp,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Whose.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhoseQuery {
    /// A user's id or login; one's own when absent. Those of others need `manage_identity`.
    pub user: Option<String>,
}

impl Session {
    fn new(session: identity::Session, lifetimes: Lifetimes, principal: &Principal) -> Self {
        Self {
            current: principal
                .session()
                .is_some_and(|(own, _)| own.id == session.id),
            expires_at: lifetimes.end(&session),
            id: session.id.to_string(),
            user: session.user.to_string(),
            user_agent: session.user_agent,
            created_at: session.created_at,
            seen_at: session.seen_at,
        }
    }
}

/// Lists the sessions of a user that have not ended, the latest first.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "session", params(WhoseQuery),
    responses((status = 200, body = List<Session>), Problems))]
pub async fn list_sessions(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Query(query): Query<WhoseQuery>,
) -> Result<axum::Json<List<Session>>, ApiError> {
    let user = whose(&app.identity, &principal, query.user.as_deref()).await?;
    audited.target("user", &user.to_string());
    let lifetimes = app.config.auth.lifetimes();
    let sessions = app.identity.sessions(user, lifetimes).await?;
    audited.items(sessions.len());
    let items = sessions
        .into_iter()
        .map(|session| Session::new(session, lifetimes, &principal));
    Ok(axum::Json(List {
        items: items.collect(),
        next_cursor: None,
    }))
}

/// Ends all sessions of a user, save the one that asks.
#[utoipa::path(delete, path = "/api/v1/sessions", tag = "session", params(WhoseQuery),
    responses((status = 204, description = "Ended"), Problems))]
pub async fn revoke_sessions(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Query(query): Query<WhoseQuery>,
) -> Result<StatusCode, ApiError> {
    let user = whose(&app.identity, &principal, query.user.as_deref()).await?;
    audited.target("user", &user.to_string());
    let keeping = principal.session().map(|(session, _)| session.id);
    app.identity.revoke_sessions(user, keeping).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a session, from its next request on.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "session",
    params(("id" = String, Path, description = "The session's id")),
    responses((status = 204, description = "Ended"), Problems))]
pub async fn revoke_session(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let unknown = || Error::UnknownSession(id.clone()).into();
    let session = uuid(&id, unknown)?;
    let owner = app.identity.session_owner(session).await?;
    if !is_own(&principal, owner) && !principal.may(Permission::ManageIdentity) {
        return Err(unknown());
    }
    audited.target("user", &owner.to_string());
    app.identity.revoke_session(session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns whose things are asked for: one's own, or those of a user who is given by id or login, to those who may.
pub(super) async fn whose(
    identity: &identity::Identity,
    principal: &Principal,
    user: Option<&str>,
) -> Result<Uuid, ApiError> {
    let own = principal.user().map(|user| user.id);
    let Some(given) = user else {
        return own.ok_or_else(|| {
            ApiError::invalid("there is no account behind this key; name a user with `user`")
        });
    };
    // Before looking: who may not see others does not learn whether they exist.
    let names_self = principal
        .user()
        .is_some_and(|user| user.name == given || user.id.to_string() == given);
    if !names_self {
        principal.require(Permission::ManageIdentity)?;
    }
    Ok(super::users::find(identity, given).await?.id)
}

/// Returns whether something of `owner` is the principal's own.
pub(super) fn is_own(principal: &Principal, owner: Uuid) -> bool {
    principal.user().is_some_and(|user| user.id == owner)
}
