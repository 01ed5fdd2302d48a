//! `/api/v1/session/totp`: one's own second factor.

use super::session::{no_account, prove};
use super::{Json, Path, Problems};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::auth::peer::Peer;
use crate::error::ApiError;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The present password, which whoever sits at an open session may not know.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordProof {
    /// The present password.
    pub password: String,
}

/// What an authenticator app needs. It cannot be shown again.
#[derive(Serialize, ToSchema)]
pub struct TotpEnrollment {
    /// To type in, in base32.
    pub secret: String,
    /// The same as an `otpauth:` URL, for a QR code.
    pub url: String,
}

/// A code of the app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpCode {
    /// Six digits.
    pub code: String,
}

/// What signs in when the app is lost, each once. They cannot be shown again.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    /// The codes.
    pub recovery_codes: Vec<String>,
}

/// Begins to enroll an authenticator app. Codes are asked for once one is confirmed.
#[utoipa::path(post, path = "/api/v1/session/totp", tag = "session", request_body = PasswordProof,
    responses((status = 201, body = TotpEnrollment), Problems))]
pub async fn enroll_totp(
    State(app): State<AppState>,
    Peer(peer): Peer,
    principal: Principal,
    audited: Audited,
    Json(request): Json<PasswordProof>,
) -> Result<(StatusCode, axum::Json<TotpEnrollment>), ApiError> {
    let user = prove(&app, peer, &principal, &audited, &request.password).await?;
    let enrollment = app.identity.enroll_totp(user).await?;
    let body = TotpEnrollment {
        secret: enrollment.secret.expose_secret().to_owned(),
        url: enrollment.url.expose_secret().to_owned(),
    };
    Ok((StatusCode::CREATED, axum::Json(body)))
}

/// Confirms that the app shows the right codes: from now on signing in needs one. Returns recovery codes.
#[utoipa::path(post, path = "/api/v1/session/totp/confirm", tag = "session", request_body = TotpCode,
    responses((status = 200, body = RecoveryCodes), Problems))]
pub async fn confirm_totp(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Json(request): Json<TotpCode>,
) -> Result<axum::Json<RecoveryCodes>, ApiError> {
    let user = principal.user().ok_or_else(no_account)?.id;
    audited.target("user", &user.to_string());
    let codes = app.identity.confirm_totp(user, &request.code).await?;
    let codes = codes.iter().map(|code| code.expose_secret().to_owned());
    Ok(axum::Json(RecoveryCodes {
        recovery_codes: codes.collect(),
    }))
}

/// Removes one's own second factor.
#[utoipa::path(post, path = "/api/v1/session/totp/remove", tag = "session", request_body = PasswordProof,
    responses((status = 204, description = "Removed"), Problems))]
pub async fn remove_totp(
    State(app): State<AppState>,
    Peer(peer): Peer,
    principal: Principal,
    audited: Audited,
    Json(request): Json<PasswordProof>,
) -> Result<StatusCode, ApiError> {
    let user = prove(&app, peer, &principal, &audited, &request.password).await?;
    app.identity.remove_totp(user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes the second factor of a user who has lost the app and the recovery codes.
#[utoipa::path(delete, path = "/api/v1/users/{id}/totp", tag = "users",
    params(("id" = String, Path, description = "The user's id or login")),
    responses((status = 204, description = "Removed"), Problems))]
pub async fn reset_totp(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let user = super::users::find(&app.identity, &id).await?;
    super::users::note(&audited, &user);
    app.identity.remove_totp(user.id).await?;
    tracing::info!(user.id = %user.id, "the second factor of a user was removed");
    Ok(StatusCode::NO_CONTENT)
}
