//! `/api/v1/session`: signing in and out, and one's own password.

use super::{Json, Problems};
use crate::app::{App, AppState};
use crate::audit::Audited;
use crate::auth::peer::Peer;
use crate::auth::{Permission, Principal, PrincipalKind, cookie};
use crate::error::{ApiError, Code, Problem};
use crate::identity::{Password, Role, SignedIn, UserChange};
use crate::telemetry::record_sign_in;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use utoipa::ToSchema;

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The login.
    pub name: String,
    /// The password.
    pub password: String,
    /// The code that the authenticator app shows, or a recovery code; where a second factor is enrolled.
    pub totp: Option<String>,
}

/// Who is asking, and what they may do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CurrentSession {
    /// Under which one's own things are kept.
    pub id: String,
    /// What kind of principal this is.
    pub kind: PrincipalKind,
    /// The login, or what stands for it.
    pub name: String,
    /// For people to read.
    pub display_name: String,
    /// The role; absent for the admin API key and commands on the server's machine, which may do everything.
    #[schema(required)]
    pub role: Option<Role>,
    /// What the role, and the key if one was used, allow.
    pub permissions: Vec<Permission>,
    /// The groups by name, `everyone` left out.
    pub groups: Vec<String>,
    /// Whether a second factor is enrolled.
    pub has_totp: bool,
    /// When the session ends if it is not used, or the key by itself.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub expires_at: Option<jiff::Timestamp>,
}

/// What signing out led to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SignedOut {
    /// Where one signs out at the identity provider, too: the browser has to go there.
    pub provider_url: String,
}

/// A password to use from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The present one.
    pub current: String,
    /// The next one.
    pub new: String,
}

impl From<&Principal> for CurrentSession {
    fn from(principal: &Principal) -> Self {
        let user = principal.user();
        let session_end = principal.session().map(|(_, ends)| ends);
        let allowed = Permission::ALL.into_iter();
        Self {
            id: principal.id().to_owned(),
            kind: principal.kind(),
            name: principal.name().to_owned(),
            display_name: user
                .map_or(principal.name(), |user| &user.display_name)
                .to_owned(),
            role: principal.role(),
            permissions: allowed
                .filter(|permission| principal.may(*permission))
                .collect(),
            groups: principal.groups().to_vec(),
            has_totp: user.is_some_and(|user| user.has_totp),
            expires_at: session_end.or_else(|| principal.key()?.expires_at),
        }
    }
}

/// Signs in with name and password; the session is in the cookie that comes with the answer.
///
/// With a second factor and no code the answer is `code_required`. Wrong attempts are slowed down by account and by
/// address: `too_many_attempts`, with `Retry-After`. Nothing tells whether an account exists.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = SignIn, security(()),
    responses((status = 200, body = CurrentSession,
            headers(("Set-Cookie" = String, description = "The session"))),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn create_session(
    State(app): State<AppState>,
    Peer(peer): Peer,
    audited: Audited,
    headers: HeaderMap,
    Json(request): Json<SignIn>,
) -> Result<Response, ApiError> {
    // Signing someone in from another site would have them work under a foreign name.
    cookie::refuse_other_origin(&headers, &app.config.auth)?;
    let attempt = app.throttle.begin(&request.name, peer, Instant::now());
    let attempt = attempt.map_err(|pause| {
        record_sign_in("throttled");
        throttled(pause)
    })?;
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let signed_in = app
        .identity
        .sign_in(
            &request.name,
            Password::new(&request.password),
            request.totp,
            agent.unwrap_or_default(),
            app.config.auth.lifetimes(),
        )
        .await?;
    // What is no login may be a password in the wrong field: only the names of users are on record.
    if let SignedIn::Refused(Some(user)) | SignedIn::CodeRequired(user) = &signed_in {
        audited.target("user", &user.to_string());
        audited.detail("name", request.name);
    }
    match signed_in {
        SignedIn::Refused(_) => {
            attempt.failed(Instant::now());
            record_sign_in("refused");
            tracing::info!(client.address = %peer, "a sign-in was refused");
            Err(ApiError::new(
                Code::InvalidCredentials,
                "name, password or code are not those of a user who may sign in; check them, or ask an administrator",
            ))
        }
        SignedIn::CodeRequired(_) => {
            attempt.undecided();
            record_sign_in("code_required");
            Err(ApiError::new(
                Code::CodeRequired,
                "send the code that the authenticator app shows, or a recovery code, as `totp`",
            ))
        }
        SignedIn::Session {
            token,
            session,
            user,
        } => {
            attempt.succeeded();
            record_sign_in("signed_in");
            tracing::info!(user.id = %user.id, client.address = %peer, "a user signed in");
            let ends = app.config.auth.lifetimes().end(&session);
            let principal = Principal::of_session(session, ends, *user);
            audited.by(&principal);
            let body = CurrentSession::from(&principal);
            let cookie = cookie::set(&token, &app.config.auth)?;
            Ok(([(header::SET_COOKIE, cookie)], axum::Json(body)).into_response())
        }
    }
}

/// Returns who is asking.
#[utoipa::path(get, path = "/api/v1/session", tag = "session",
    responses((status = 200, body = CurrentSession), Problems))]
pub async fn get_session(principal: Principal) -> axum::Json<CurrentSession> {
    axum::Json((&principal).into())
}

/// Signs out: ends the session and removes its cookie.
///
/// Who signed in at an identity provider that has a place for signing out is told where that is.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session",
    responses((status = 204, description = "Signed out"),
        (status = 200, description = "Signed out here, and not yet at the provider", body = SignedOut), Problems))]
pub async fn delete_session(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
) -> Result<Response, ApiError> {
    let Some((session, _)) = principal.session() else {
        return Err(ApiError::invalid(
            "a key has no session to end; to end the key itself, revoke it",
        ));
    };
    audited.target("session", &session.id.to_string());
    // Before, because the provider's token goes with the session.
    let provider = app.identity.provider_of_session(session.id).await?;
    app.identity.revoke_session(session.id).await?;
    let cookie = cookie::clear(&app.config.auth)?;
    if let (Some((issuer, id_token)), Some(oidc)) = (provider, &app.oidc)
        && issuer == oidc.config().issuer
        && let Some(url) = oidc.sign_out_url(id_token.as_deref()).await
    {
        let provider_url = url.into();
        let body = axum::Json(SignedOut { provider_url });
        return Ok(([(header::SET_COOKIE, cookie)], body).into_response());
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Changes one's own password. One's other sessions end; API keys stay.
#[utoipa::path(put, path = "/api/v1/session/password", tag = "session", request_body = PasswordChange,
    responses((status = 204, description = "Changed"), Problems))]
pub async fn change_password(
    State(app): State<AppState>,
    Peer(peer): Peer,
    principal: Principal,
    audited: Audited,
    Json(request): Json<PasswordChange>,
) -> Result<StatusCode, ApiError> {
    let user = prove(&app, peer, &principal, &audited, &request.current).await?;
    let change = UserChange {
        password: Some(Password::new(&request.new)),
        ..UserChange::default()
    };
    let keeping = principal.session().map(|(session, _)| session.id);
    app.identity.change_user(user, change, keeping).await?;
    tracing::info!(user.id = %user, "a user changed the password");
    Ok(StatusCode::NO_CONTENT)
}

/// Has the person at the keyboard show that the session is theirs, before it changes how they sign in.
pub(super) async fn prove(
    app: &App,
    peer: std::net::IpAddr,
    principal: &Principal,
    audited: &Audited,
    password: &str,
) -> Result<uuid::Uuid, ApiError> {
    let user = principal.user().ok_or_else(no_account)?;
    audited.target("user", &user.id.to_string());
    let attempt = app.throttle.begin(&user.name, peer, Instant::now());
    let attempt = attempt.map_err(throttled)?;
    if !app
        .identity
        .is_password(user.id, Password::new(password))
        .await?
    {
        attempt.failed(Instant::now());
        return Err(ApiError::new(
            Code::InvalidCredentials,
            "the present password is another one",
        ));
    }
    attempt.succeeded();
    Ok(user.id)
}

/// Returns the problem that the admin API key and the local operator are no users.
pub(super) fn no_account() -> ApiError {
    ApiError::invalid("there is no account behind this key; sign in as a user")
}

fn throttled(pause: std::time::Duration) -> ApiError {
    let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
    ApiError {
        retry_after: Some(seconds),
        ..ApiError::new(
            Code::TooManyAttempts,
            format!("too many failed attempts; try again in {seconds} s"),
        )
    }
}
