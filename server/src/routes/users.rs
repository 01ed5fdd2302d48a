//! `/api/v1/users`

use super::{Json, List, ListQuery, Path, Problems, Query, uuid};
use crate::app::{App, AppState};
use crate::audit::Audited;
use crate::auth::{Principal, key_owner};
use crate::config::OidcConfig;
use crate::error::{ApiError, Code, Problem};
use crate::identity::{self, Identity, Password, Role, Subject, UserKind};
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Someone who may use kura.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// UUID.
    pub id: String,
    /// Who signs in how.
    pub kind: UserKind,
    /// The login; access lists name it as `user:<name>`.
    pub name: String,
    /// For people to read.
    pub display_name: String,
    /// Where to write to.
    #[schema(required)]
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Whether they may do anything now.
    pub active: bool,
    /// Who says who they are: `local` for kura, else the issuer of an identity provider.
    pub source: String,
    /// Whether a second factor is enrolled.
    pub has_totp: bool,
    /// Their groups by name, `everyone` left out.
    pub groups: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When something about it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: jiff::Timestamp,
    /// When they last signed in.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub last_sign_in_at: Option<jiff::Timestamp>,
    /// Tokens of models spent today, in UTC; a second ago.
    pub tokens_today: u64,
}

/// Who to add.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Who signs in how; `person` when absent.
    #[serde(default = "person")]
    pub kind: UserKind,
    /// The login: 1 to 64 letters, digits, `-`, `_`, `.`, `@` or `+`; upper case and width do not count.
    pub name: String,
    /// For people to read; the login when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Where to write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What they may do; `reader` when absent.
    #[serde(default = "reader")]
    pub role: Role,
    /// A person's password, 12 characters or more; a service has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The person's `sub` at the identity provider of `auth.oidc`, instead of a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Names of existing groups.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// What changes about a user; what is left out stays.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// For people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Where to write to; `null` removes it.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    pub email: Option<Option<String>>,
    /// What they may do. A change ends their sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether they may do anything. `false` ends their sessions and holds up their keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// A new password. It ends their sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The person's `sub` at the identity provider of `auth.oidc`: from now on they sign in there, and have no password.
    /// It ends their sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

impl From<identity::User> for User {
    fn from(user: identity::User) -> Self {
        Self {
            id: user.id.to_string(),
            kind: user.kind,
            name: user.name,
            display_name: user.display_name,
            email: user.email,
            role: user.role,
            active: user.active,
            source: user.source,
            has_totp: user.has_totp,
            groups: user.groups,
            created_at: user.created_at,
            updated_at: user.updated_at,
            last_sign_in_at: user.last_sign_in_at,
            tokens_today: user.tokens_today,
        }
    }
}

impl NewUser {
    /// Returns the user to add, of this identity provider if it is to be one's.
    ///
    /// # Errors
    /// When there is no identity provider.
    pub(crate) fn at(self, oidc: &OidcConfig) -> identity::Result<identity::NewUser> {
        Ok(identity::NewUser {
            kind: self.kind,
            name: self.name,
            display_name: self.display_name,
            email: self.email,
            role: self.role,
            password: self.password.as_deref().map(Password::new),
            subject: subject(self.subject, oidc)?,
            groups: self.groups,
        })
    }
}

impl UserChange {
    /// Returns the change, of this identity provider if it is to be one's.
    ///
    /// # Errors
    /// When there is no identity provider.
    pub(crate) fn at(self, oidc: &OidcConfig) -> identity::Result<identity::UserChange> {
        Ok(identity::UserChange {
            display_name: self.display_name,
            email: self.email,
            role: self.role,
            active: self.active,
            password: self.password.as_deref().map(Password::new),
            subject: subject(self.subject, oidc)?,
        })
    }
}

fn subject(given: Option<String>, oidc: &OidcConfig) -> identity::Result<Option<Subject>> {
    match given {
        None => Ok(None),
        Some(id) if oidc.is_on() => Ok(Some(Subject {
            issuer: oidc.issuer.clone(),
            id,
        })),
        Some(_) => Err(identity::Error::Invalid(
            "there is no identity provider; set `auth.oidc` in the configuration first".to_owned(),
        )),
    }
}

/// Lists the users in the order in which they were added.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", params(ListQuery),
    responses((status = 200, body = List<User>), Problems))]
pub async fn list_users(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<List<User>>, ApiError> {
    let limit = query.limit()?;
    let foreign = || ApiError::invalid("`cursor` is not one that a list returned");
    let after = query
        .cursor
        .as_deref()
        .map(|cursor| uuid(cursor, foreign))
        .transpose()?;
    let users = app.identity.users(after, limit + 1).await?;
    let more = users.len() > limit;
    let items: Vec<User> = users.into_iter().take(limit).map(Into::into).collect();
    audited.items(items.len());
    let next_cursor = items.last().filter(|_| more).map(|last| last.id.clone());
    Ok(axum::Json(List { items, next_cursor }))
}

/// Adds a user.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", request_body = NewUser,
    responses((status = 201, body = User),
        (status = 409, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn create_user(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Json(new): Json<NewUser>,
) -> Result<(StatusCode, axum::Json<User>), ApiError> {
    let new = new.at(&app.config.auth.oidc)?;
    let user = app.identity.add_user(new).await?;
    note_new(&audited, &user);
    tracing::info!(principal.id = principal.id(), user.id = %user.id, "a user was added");
    Ok((StatusCode::CREATED, axum::Json(user.into())))
}

/// Returns a user.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The user's id or login")),
    responses((status = 200, body = User), Problems))]
pub async fn get_user(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
) -> Result<axum::Json<User>, ApiError> {
    let user = find(&app.identity, &id).await?;
    note(&audited, &user);
    Ok(axum::Json(user.into()))
}

/// Changes a user. It counts from the user's next request on.
///
/// Nobody changes the own role or deactivates themselves: it takes another administrator.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "users", request_body = UserChange,
    params(("id" = String, Path, description = "The user's id or login")),
    responses((status = 200, body = User), Problems))]
pub async fn change_user(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
    Json(change): Json<UserChange>,
) -> Result<axum::Json<User>, ApiError> {
    let user = find(&app.identity, &id).await?;
    note(&audited, &user);
    change.note(&audited);
    let is_self = super::sessions::is_own(&principal, user.id);
    if is_self && (change.role.is_some() || change.active.is_some()) {
        return Err(itself("change the own role or deactivate themselves"));
    }
    if is_self && change.password.is_some() {
        return Err(ApiError::invalid(
            "change the own password with `PUT /api/v1/session/password`, which asks for the present one",
        ));
    }
    if is_self && change.subject.is_some() {
        return Err(itself("change how they sign in"));
    }
    let change = change.at(&app.config.auth.oidc)?;
    let user = app.identity.change_user(user.id, change, None).await?;
    tracing::info!(principal.id = principal.id(), user.id = %user.id, "a user was changed");
    Ok(axum::Json(user.into()))
}

/// Deletes a user with sessions, keys and conversations. The name is not given away again.
#[utoipa::path(delete, path = "/api/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The user's id or login")),
    responses((status = 204, description = "Deleted"), Problems))]
pub async fn delete_user(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let user = find(&app.identity, &id).await?;
    note(&audited, &user);
    if super::sessions::is_own(&principal, user.id) {
        return Err(itself("delete themselves"));
    }
    remove(&app, user.id).await?;
    tracing::info!(principal.id = principal.id(), user.id = %user.id, "a user was deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a user with sessions, keys and conversations.
pub(super) async fn remove(app: &App, id: uuid::Uuid) -> Result<(), ApiError> {
    let keys = app.identity.delete_user(id).await?;
    let owners = keys.into_iter().map(key_owner).chain([id.to_string()]);
    app.conversations.forget(owners.collect()).await?;
    Ok(())
}

impl UserChange {
    /// Notes what is to change; of a password only that it does.
    pub(crate) fn note(&self, audited: &Audited) {
        if let Some(role) = self.role {
            audited.detail("role", role.as_str());
        }
        if let Some(active) = self.active {
            audited.detail("active", active);
        }
        for (field, changes) in [
            ("password", self.password.is_some()),
            ("subject", self.subject.is_some()),
            ("display_name", self.display_name.is_some()),
            ("email", self.email.is_some()),
        ] {
            if changes {
                audited.add("changed", field);
            }
        }
    }
}

/// Notes whom it makes.
pub(crate) fn note_new(audited: &Audited, user: &identity::User) {
    note(audited, user);
    audited.detail("role", user.role.as_str());
    audited.detail("groups", user.groups.as_slice());
}

/// Notes which user it is about.
pub(crate) fn note(audited: &Audited, user: &identity::User) {
    audited.target("user", &user.id.to_string());
    audited.detail("name", user.name.as_str());
}

/// Returns the user of an id or a login.
pub(crate) async fn find(identity: &Identity, given: &str) -> identity::Result<identity::User> {
    match given.parse() {
        Ok(id) => identity.user(id).await,
        Err(_) => identity.user_named(given).await,
    }
}

fn itself(what: &str) -> ApiError {
    ApiError::new(
        Code::Forbidden,
        format!("nobody may {what}; another administrator or the admin API key can"),
    )
}

fn person() -> UserKind {
    UserKind::Person
}

fn reader() -> Role {
    Role::Reader
}

/// Tells `null` from what is left out.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
