//! `/api/v1/api-keys`

use super::sessions::{is_own, whose};
use super::{Json, List, Path, Problems, Query, list_limit, uuid};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::{Permission, Principal};
use crate::config::LimitsConfig;
use crate::error::{ApiError, Code};
use crate::identity::{self, Error, Role, UserKind};
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroU64};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// How a program signs in. The key itself is not kept.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// UUID.
    pub id: String,
    /// Whose: the user's id.
    pub user: String,
    /// What it is for.
    pub name: String,
    /// How it begins.
    pub prefix: String,
    /// It allows no more than this role; absent: all that its user may.
    #[schema(required)]
    pub role: Option<Role>,
    /// It reaches these collections only; absent: all that its user may read.
    #[schema(required)]
    pub collections: Option<Vec<String>>,
    /// Requests a minute, in place of those that users have.
    #[schema(required, value_type = Option<u32>)]
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens of models a day, in place of those that users have.
    #[schema(required, value_type = Option<u64>)]
    pub tokens_per_day: Option<NonZeroU64>,
    /// Tokens of models spent today, in UTC; a second ago.
    pub tokens_today: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub expires_at: Option<jiff::Timestamp>,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub last_used_at: Option<jiff::Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub revoked_at: Option<jiff::Timestamp>,
}

/// A key to make.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// What it is for.
    pub name: String,
    /// Whose: a user's id or login; one's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// It allows no more than this role; all that its user may when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// It reaches these existing collections only; all that its user may read when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Requests a minute; those that users have when absent. More than that only `manage_identity` allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens of models a day; those that users have when absent. More than that only `manage_identity` allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    pub tokens_per_day: Option<NonZeroU64>,
    /// When it ends by itself; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<jiff::Timestamp>,
}

/// A key that was made. It cannot be shown again.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct MadeApiKey {
    /// The key: send it as `Authorization: Bearer …`.
    pub key: String,
    /// What is kept of it.
    pub api_key: ApiKey,
}

/// Which keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct KeysQuery {
    /// A user's id or login; one's own keys when absent. `*` means everyone's. Those of others need `manage_identity`.
    user: Option<String>,
    /// Most items to return, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl From<identity::ApiKey> for ApiKey {
    fn from(key: identity::ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            user: key.user.to_string(),
            name: key.name,
            prefix: key.prefix,
            role: key.role,
            collections: key.collections,
            requests_per_minute: key.requests_per_minute,
            tokens_per_day: key.tokens_per_day,
            tokens_today: key.tokens_today,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

impl MadeApiKey {
    pub(crate) fn new((api_key, key): (identity::ApiKey, SecretString)) -> Self {
        Self {
            key: key.expose_secret().to_owned(),
            api_key: api_key.into(),
        }
    }
}

/// Lists API keys, the latest first, revoked ones too.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "api-keys", params(KeysQuery),
    responses((status = 200, body = List<ApiKey>), Problems))]
pub async fn list_api_keys(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Query(query): Query<KeysQuery>,
) -> Result<axum::Json<List<ApiKey>>, ApiError> {
    let limit = list_limit(query.limit)?;
    let user = if query.user.as_deref() == Some("*") {
        principal.require(Permission::ManageIdentity)?;
        None
    } else {
        Some(whose(&app.identity, &principal, query.user.as_deref()).await?)
    };
    let foreign = || ApiError::invalid("`cursor` is not one that a list returned");
    let after = query
        .cursor
        .as_deref()
        .map(|cursor| uuid(cursor, foreign))
        .transpose()?;
    let keys = app.identity.keys(user, after, limit + 1).await?;
    let more = keys.len() > limit;
    let items: Vec<ApiKey> = keys.into_iter().take(limit).map(Into::into).collect();
    audited.items(items.len());
    let next_cursor = items.last().filter(|_| more).map(|last| last.id.clone());
    Ok(axum::Json(List { items, next_cursor }))
}

/// Makes an API key.
///
/// A person who has signed in makes keys of their own, an administrator also those of services. Nobody makes a key of
/// another person: it would act in their name.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "api-keys", request_body = NewApiKey,
    responses((status = 201, body = MadeApiKey), Problems))]
pub async fn create_api_key(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Json(new): Json<NewApiKey>,
) -> Result<(StatusCode, axum::Json<MadeApiKey>), ApiError> {
    let user = whose(&app.identity, &principal, new.user.as_deref()).await?;
    audited.target("user", &user.to_string());
    require_to_hold(&app.identity, &principal, user).await?;
    require_to_allow(&app.config.limits, &principal, &new)?;
    for name in new.collections.iter().flatten() {
        app.pipeline.collection(name, &principal.access()).await?;
    }
    let new = identity::NewApiKey {
        user,
        name: new.name,
        role: new.role,
        collections: new.collections,
        requests_per_minute: new.requests_per_minute,
        tokens_per_day: new.tokens_per_day,
        expires_at: new.expires_at,
    };
    let made = app.identity.add_key(new).await?;
    note(&audited, &made.0);
    tracing::info!(principal.id = principal.id(), user.id = %user, key.id = %made.0.id, "an API key was made");
    Ok((StatusCode::CREATED, axum::Json(MadeApiKey::new(made))))
}

/// Revokes an API key, from its next use on. It stays in lists.
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", tag = "api-keys",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 204, description = "Revoked"), Problems))]
pub async fn revoke_api_key(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let key = seen(&app.identity, &principal, &id).await?;
    note(&audited, &key);
    app.identity.revoke_key(key.id).await?;
    tracing::info!(principal.id = principal.id(), key.id = %key.id, "an API key was revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a new key in place of one, which is void at once; its limits and its end stay. A key may do that to itself.
#[utoipa::path(post, path = "/api/v1/api-keys/{id}/rotate", tag = "api-keys",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, body = MadeApiKey), Problems))]
pub async fn rotate_api_key(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
) -> Result<axum::Json<MadeApiKey>, ApiError> {
    let key = seen(&app.identity, &principal, &id).await?;
    note(&audited, &key);
    if principal.key().is_none_or(|own| own.id != key.id) {
        require_to_hold(&app.identity, &principal, key.user).await?;
    }
    let made = app.identity.rotate_key(key.id).await?;
    audited.detail("made", made.0.id.to_string());
    tracing::info!(principal.id = principal.id(), key.id = %key.id, "an API key was rotated");
    Ok(axum::Json(MadeApiKey::new(made)))
}

/// Notes which key it is about, whose it is and what it reaches.
pub(crate) fn note(audited: &Audited, key: &identity::ApiKey) {
    audited.target("api_key", &key.id.to_string());
    audited.target("user", &key.user.to_string());
    audited.detail("name", key.name.as_str());
    if let Some(role) = key.role {
        audited.detail("role", role.as_str());
    }
    if let Some(n) = key.requests_per_minute {
        audited.detail("requests_per_minute", n.get());
    }
    if let Some(n) = key.tokens_per_day {
        audited.detail("tokens_per_day", n.get());
    }
    for collection in key.collections.iter().flatten() {
        audited.add("collections", collection.as_str());
    }
}

/// Fails when a key would have more than its user has and the principal may not give that.
fn require_to_allow(
    limits: &LimitsConfig,
    principal: &Principal,
    new: &NewApiKey,
) -> Result<(), ApiError> {
    let requests = (
        new.requests_per_minute.map(|n| u64::from(n.get())),
        limits.requests_per_minute,
    );
    let tokens = (
        new.tokens_per_day.map(NonZeroU64::get),
        limits.tokens_per_day,
    );
    let exceeds = |(asked, most): (Option<u64>, u64)| most > 0 && asked.is_some_and(|n| n > most);
    if principal.may(Permission::ManageIdentity) || !(exceeds(requests) || exceeds(tokens)) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Forbidden,
        format!(
            "the key would have more than a user has ({} requests a minute, {} tokens a day; 0: any number); only who \
             manages identities gives that",
            limits.requests_per_minute, limits.tokens_per_day
        ),
    ))
}

/// Returns a key that the principal may see.
async fn seen(
    identity: &identity::Identity,
    principal: &Principal,
    id: &str,
) -> Result<identity::ApiKey, ApiError> {
    let unknown = || Error::UnknownKey(id.to_owned()).into();
    let key = identity.key(uuid(id, unknown)?).await?;
    // A key sees itself; through it one does not get at the others.
    let is_own = match principal.key() {
        Some(used) => used.id == key.id,
        None => is_own(principal, key.user),
    };
    if is_own || principal.may(Permission::ManageIdentity) {
        return Ok(key);
    }
    Err(unknown())
}

/// Fails unless the principal may hold a key of this user in its hands.
async fn require_to_hold(
    identity: &identity::Identity,
    principal: &Principal,
    user: Uuid,
) -> Result<(), ApiError> {
    if principal.reads_everything() {
        return Ok(());
    }
    if is_own(principal, user) {
        // Otherwise a stolen key would outlive its end.
        return principal.require(Permission::Account);
    }
    principal.require(Permission::ManageIdentity)?;
    match identity.user(user).await?.kind {
        UserKind::Service => Ok(()),
        UserKind::Person => Err(ApiError::new(
            Code::Forbidden,
            "a key of another person would act in their name; they make it themselves, or make one for a service",
        )),
    }
}
