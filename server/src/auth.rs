//! Who is asking, and whether they may.
//!
//! Two layers guard whole routers, so that a new route can forget neither: [`require`] turns a key or a session into a
//! [`Principal`], and [`permission::authorize`] looks up in one table what the operation needs. The extractor of
//! [`Principal`] only takes what the first layer left, and refuses where there is none.

mod api_key;
pub mod cookie;
pub mod oidc;
pub mod peer;
pub mod permission;

use crate::app::{App, AppState};
use crate::error::{ApiError, Code};
use crate::identity::{self, ApiKey, Role, Session, User, UserKind};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use kura_indexer::{AccessFilter, Acl, GroupId};
use uuid::Uuid;

pub(crate) use api_key::write_private;
pub use api_key::{ApiKeys, Created, key_file, new_key};
pub use permission::Permission;

/// What the id of every principal without an account is: conversations are the operator's either way.
const OPERATOR: &str = "admin";

/// Someone who may do things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    id: String,
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Holds the admin API key: the way in when there is no other.
    BreakGlass,
    /// A command of the operator on this machine, which read the server's token from the data directory.
    Local,
    /// A user.
    Account(Box<Account>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    user: User,
    way: Way,
}

/// How a user came in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Session { session: Session, ends: Timestamp },
    Key(ApiKey),
}

impl Principal {
    pub(crate) fn admin() -> Self {
        Self {
            id: OPERATOR.to_owned(),
            name: "admin-api-key".to_owned(),
            kind: Kind::BreakGlass,
        }
    }

    pub(crate) fn local() -> Self {
        Self {
            id: OPERATOR.to_owned(),
            name: "local-operator".to_owned(),
            kind: Kind::Local,
        }
    }

    /// Returns the principal of a user who signed in.
    pub(crate) fn of_session(session: Session, ends: Timestamp, user: User) -> Self {
        Self::account(user.id.to_string(), user, Way::Session { session, ends })
    }

    /// Returns the principal of a program with a user's key.
    pub(crate) fn of_key(key: ApiKey, user: User) -> Self {
        // A key that reaches some collections only must not read conversations about others.
        let id = match &key.collections {
            Some(_) => key_owner(key.id),
            None => user.id.to_string(),
        };
        Self::account(id, user, Way::Key(key))
    }

    fn account(id: String, user: User, way: Way) -> Self {
        Self {
            id,
            name: user.name.clone(),
            kind: Kind::Account(Box::new(Account { user, way })),
        }
    }

    /// Returns this principal as it is now, for what goes on after its request was let through; `None` when its key or
    /// session does not hold any more.
    ///
    /// # Errors
    /// When the identities cannot be read.
    pub(crate) async fn as_of_now(&self, app: &App) -> identity::Result<Option<Self>> {
        let Kind::Account(account) = &self.kind else {
            return Ok(Some(self.clone()));
        };
        let now = Timestamp::now();
        match &account.way {
            Way::Key(key) => {
                let found = app.identity.key_at(key.id, now).await?;
                Ok(found.map(|(key, user)| Self::of_key(key, user)))
            }
            Way::Session { session, .. } => {
                let lifetimes = app.config.auth.lifetimes();
                let found = app.identity.session_at(session.id, lifetimes, now).await?;
                Ok(found.map(|(session, user)| {
                    let ends = lifetimes.end(&session);
                    Self::of_session(session, ends, user)
                }))
            }
        }
    }

    /// Returns the id under which this principal's own things are kept.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the login, or what stands for it, for people to read.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the role; the admin key and the operator of this machine have none and may do everything.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.user().map(|user| user.role)
    }

    /// Returns the groups by name, `everyone` left out.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        self.user().map_or(&[], |user| &user.groups)
    }

    /// Returns the user, if this is one.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        match &self.kind {
            Kind::BreakGlass | Kind::Local => None,
            Kind::Account(account) => Some(&account.user),
        }
    }

    /// Returns the session and when it ends if it is not used, if a person signed in.
    #[must_use]
    pub fn session(&self) -> Option<(&Session, Timestamp)> {
        match &self.kind {
            Kind::Account(account) => match &account.way {
                Way::Session { session, ends } => Some((session, *ends)),
                Way::Key(_) => None,
            },
            Kind::BreakGlass | Kind::Local => None,
        }
    }

    /// Returns the user's API key, if one was used.
    #[must_use]
    pub fn key(&self) -> Option<&ApiKey> {
        match &self.kind {
            Kind::Account(account) => match &account.way {
                Way::Session { .. } => None,
                Way::Key(key) => Some(key),
            },
            Kind::BreakGlass | Kind::Local => None,
        }
    }

    /// Returns what kind of principal this is, for people to read.
    #[must_use]
    pub fn kind(&self) -> PrincipalKind {
        match &self.kind {
            Kind::BreakGlass => PrincipalKind::AdminApiKey,
            Kind::Local => PrincipalKind::LocalOperator,
            Kind::Account(account) => match account.user.kind {
                UserKind::Person => PrincipalKind::Person,
                UserKind::Service => PrincipalKind::Service,
            },
        }
    }

    /// Returns how this principal was recognized, as the audit log says it.
    #[must_use]
    pub fn authentication(&self) -> &'static str {
        match &self.kind {
            Kind::BreakGlass => "api_key",
            Kind::Local => "local_token",
            Kind::Account(account) => match account.way {
                Way::Session { .. } => "session",
                Way::Key(_) => "api_key",
            },
        }
    }

    /// Returns the id of the session or of the user's API key.
    #[must_use]
    pub fn credential(&self) -> Option<Uuid> {
        let session = self.session().map(|(session, _)| session.id);
        session.or_else(|| self.key().map(|key| key.id))
    }

    /// Returns whether this principal may do what needs `permission`.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        let Kind::Account(account) = &self.kind else {
            return true;
        };
        if permission == Permission::Account {
            return self.session().is_some();
        }
        let cap = self.key().and_then(|key| key.role);
        permission.is_given_by(account.user.role)
            && cap.is_none_or(|role| permission.is_given_by(role))
    }

    /// Fails unless this principal may do what needs `permission`.
    ///
    /// # Errors
    /// `forbidden`, when it may not.
    pub fn require(&self, permission: Permission) -> Result<(), ApiError> {
        if self.may(permission) {
            return Ok(());
        }
        let what = permission.describe();
        let detail = match (self.role(), self.key().and_then(|key| key.role)) {
            _ if permission == Permission::Account => {
                format!("only a person who has signed in may {what}; an API key does not suffice")
            }
            (Some(role), Some(cap)) if permission.is_given_by(role) => {
                format!(
                    "this API key allows no more than the role `{}`, which may not {what}",
                    cap.as_str()
                )
            }
            (role, _) => {
                let name = role.map_or("", Role::as_str);
                format!("the role `{name}` may not {what}; {}", permission.who())
            }
        };
        Err(ApiError::new(Code::Forbidden, detail))
    }

    /// Returns what this principal may read.
    #[must_use]
    pub fn access(&self) -> AccessFilter {
        match &self.kind {
            Kind::BreakGlass => AccessFilter::unrestricted("admin api key"),
            Kind::Local => AccessFilter::unrestricted("local command of the operator"),
            Kind::Account(account) => {
                let everyone = GroupId(Acl::EVERYONE.to_owned());
                let named = account.user.groups.iter().cloned().map(GroupId);
                let own = self.own_group();
                AccessFilter::groups(named.chain(own).chain([everyone]).collect())
            }
        }
    }

    /// Returns the group that this user alone is in.
    #[must_use]
    pub fn own_group(&self) -> Option<GroupId> {
        let user = self.user()?;
        Some(GroupId(format!("{}{}", GroupId::USER, user.name)))
    }

    /// Returns whether this principal reads every document.
    #[must_use]
    pub fn reads_everything(&self) -> bool {
        match &self.kind {
            Kind::BreakGlass | Kind::Local => true,
            Kind::Account(_) => false,
        }
    }

    /// Returns the collections that its key is limited to, if it is.
    #[must_use]
    pub fn collections(&self) -> Option<&[String]> {
        self.key()?.collections.as_deref()
    }

    /// Returns whether its key, if there is one, reaches a collection.
    #[must_use]
    pub fn reaches(&self, collection: &str) -> bool {
        self.collections()
            .is_none_or(|names| names.iter().any(|name| name == collection))
    }

    /// Fails unless its key, if there is one, reaches a collection.
    ///
    /// # Errors
    /// `unknown_collection`: the key must not tell what else there is.
    pub fn require_collection(&self, name: &str) -> Result<(), ApiError> {
        if self.reaches(name) {
            return Ok(());
        }
        Err(kura_indexer::Error::UnknownCollection {
            name: name.to_owned(),
            existing: self.collections().unwrap_or_default().to_vec(),
        }
        .into())
    }
}

/// What kind of principal someone is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// The holder of the admin API key.
    AdminApiKey,
    /// A command on the server's machine.
    LocalOperator,
    /// A person with an account.
    Person,
    /// A program with an account.
    Service,
}

/// Returns the id under which the things of a key that is limited to collections are kept.
pub(crate) fn key_owner(key: Uuid) -> String {
    format!("key:{key}")
}

/// Layer: lets a request through only with a valid key or session, before any of its body is read.
pub async fn require(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    match authenticate(&app, request.method(), request.headers()).await {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// Returns who asks: the holder of the key in `Authorization` or, without that header, of the session in the cookie.
async fn authenticate(
    app: &AppState,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Principal, ApiError> {
    let now = Timestamp::now();
    if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        let key = authorization
            .to_str()
            .ok()
            .and_then(bearer)
            .ok_or_else(unauthorized)?;
        if let Some(principal) = app.keys.principal(key) {
            return Ok(principal);
        }
        let found = app.identity.key_in_use(key, now).await?;
        let (key, user) = found.ok_or_else(unauthorized)?;
        return Ok(Principal::of_key(key, user));
    }
    let token = cookie::read(headers, &app.config.auth).ok_or_else(unauthorized)?;
    let lifetimes = app.config.auth.lifetimes();
    let found = app.identity.session(&token, lifetimes, now).await?;
    let (session, user) = found
        .ok_or_else(|| ApiError::new(Code::Unauthorized, "the session has ended; sign in again"))?;
    if !method.is_safe() {
        cookie::require_same_origin(headers, &app.config.auth)?;
    }
    let ends = lifetimes.end(&session);
    Ok(Principal::of_session(session, ends, user))
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(unauthorized)
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized() -> ApiError {
    ApiError::new(
        Code::Unauthorized,
        "sign in, or send `Authorization: Bearer <api key>`; the admin key was printed when `kura serve` first started",
    )
}
