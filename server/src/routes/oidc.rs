//! `/api/v1/session/oidc`: single sign-on at an `OpenID` Connect provider.
//!
//! People come here by links and redirects, so what goes wrong is told by the page: refusals lead back to it with a word
//! that it explains. The reason is in the audit log.

use super::{Problems, Query};
use crate::app::{App, AppState};
use crate::audit::{Audited, Outcome, Who};
use crate::auth::oidc::{Answer, Oidc, Reason, Refusal, is_own_path};
use crate::auth::peer::Peer;
use crate::auth::{Principal, cookie};
use crate::error::{ApiError, Code, Problem};
use crate::identity::{Arrived, Role};
use crate::telemetry::record_sign_in;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::{IntoParams, ToSchema};

/// Whether people can sign in at an identity provider.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SingleSignOn {
    /// Whether they can.
    pub offered: bool,
    /// What to call it; absent: in one's own words.
    #[schema(required)]
    pub label: Option<String>,
}

/// How to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StartQuery {
    /// The path on kura's page to go to afterwards; `/` when absent.
    pub return_to: Option<String>,
}

/// What the provider sends people back with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CallbackQuery {
    /// What kura gets the tokens for.
    pub code: Option<String>,
    /// What kura sent along.
    pub state: Option<String>,
    /// Who answers (RFC 9207).
    pub iss: Option<String>,
    /// Why not.
    pub error: Option<String>,
}

/// Returns whether people can sign in at an identity provider.
#[utoipa::path(get, path = "/api/v1/session/oidc", tag = "session", security(()),
    responses((status = 200, body = SingleSignOn)))]
pub async fn get_single_sign_on(State(app): State<AppState>) -> axum::Json<SingleSignOn> {
    let label = app.oidc.as_ref().map(|oidc| &oidc.config().label);
    axum::Json(SingleSignOn {
        offered: label.is_some(),
        label: label.filter(|label| !label.is_empty()).cloned(),
    })
}

/// Sends a browser to the identity provider.
#[utoipa::path(get, path = "/api/v1/session/oidc/start", tag = "session", security(()), params(StartQuery),
    responses((status = 303, description = "To the provider; or back to the page, with `sign_in=unavailable`",
            headers(("Location" = String), ("Set-Cookie" = String, description = "Ties the sign-in to the browser"))),
        Problems))]
pub async fn start_single_sign_on(
    State(app): State<AppState>,
    Query(query): Query<StartQuery>,
) -> Result<Response, ApiError> {
    let oidc = oidc(&app)?;
    let return_to = query.return_to.as_deref().unwrap_or("/");
    if !is_own_path(return_to) {
        return Err(ApiError::invalid(
            "`return_to` is no path on kura's own page, such as `/documents`",
        ));
    }
    match oidc.begin(return_to).await {
        Ok((url, flow)) => redirect(
            url.as_str(),
            vec![cookie::set_flow(&flow, &app.config.auth)?],
        ),
        Err(refusal) => {
            tracing::warn!("nobody can sign in at the identity provider: {refusal}");
            redirect(&explained(refusal.reason), Vec::new())
        }
    }
}

/// Takes a browser back from the identity provider; the session is in the cookie that comes with the answer.
///
/// Who is not signed in is sent to the page with `sign_in` in its address, which says why.
#[utoipa::path(get, path = "/api/v1/session/oidc/callback", tag = "session", security(()), params(CallbackQuery),
    responses((status = 303, description = "To where the person wanted to go, or back to the page with `sign_in=…`",
            headers(("Location" = String), ("Set-Cookie" = String, description = "The session"))),
        Problems))]
pub async fn finish_single_sign_on(
    State(app): State<AppState>,
    Peer(peer): Peer,
    audited: Audited,
    headers: HeaderMap,
    Query(query): Query<CallbackQuery>,
) -> Result<Response, ApiError> {
    let oidc = oidc(&app)?;
    audited.detail("issuer", oidc.config().issuer.as_str());
    let answer = Answer {
        code: query.code,
        state: query.state,
        iss: query.iss,
        error: query.error,
    };
    let flow = cookie::read_flow(&headers, &app.config.auth);
    let (arrival, return_to) = match oidc.finish(flow.as_deref(), &answer).await {
        Ok(found) => found,
        Err(refusal) => return refuse(&app, &audited, peer, &refusal).await,
    };
    audited.detail("subject", arrival.subject.as_str());
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let lifetimes = app.config.auth.lifetimes();
    let arrived = app
        .identity
        .arrive(arrival, agent.unwrap_or_default(), lifetimes)
        .await?;
    let (reason, cause) = match arrived {
        Arrived::Session {
            token,
            session,
            user,
            is_new,
            left_out,
        } => {
            record_sign_in("sso_signed_in");
            tracing::info!(user.id = %user.id, client.address = %peer, "a user signed in at the identity provider");
            audited.target("user", &user.id.to_string());
            audited.detail("groups", user.groups.as_slice());
            if !left_out.is_empty() {
                // By name alone nobody gets what a group of kura's own may read.
                tracing::warn!(groups = ?left_out, "groups of the provider are called like groups that were made in kura, and left out");
                audited.detail("groups_left_out", left_out);
            }
            let ends = lifetimes.end(&session);
            let principal = Principal::of_session(session, ends, *user);
            audited.by(&principal);
            if is_new {
                note_new(&audited, &principal);
            }
            let config = &app.config.auth;
            let cookies = vec![cookie::set(&token, config)?, cookie::clear_flow(config)?];
            return redirect(&return_to, cookies);
        }
        Arrived::Unknown => (
            Reason::Unknown,
            "nobody becomes a user by signing in".to_owned(),
        ),
        Arrived::NoLogin(why) => (Reason::NoLogin, why),
        Arrived::NameTaken(name) => {
            audited.detail("name", name.as_str());
            (
                Reason::NameTaken,
                format!(
                    "another user is or was called `{name}`; if it is the same person, `kura users link {name} --subject …` \
                     makes them one"
                ),
            )
        }
        Arrived::Disabled(user) => {
            audited.target("user", &user.to_string());
            (Reason::Disabled, "the user is disabled".to_owned())
        }
    };
    refuse(&app, &audited, peer, &Refusal { reason, cause }).await
}

/// Ends sessions by order of the identity provider (`OpenID` Connect Back-Channel Logout).
#[utoipa::path(post, path = "/api/v1/session/oidc/logout", tag = "session", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded",
        description = "`logout_token`: what the provider has signed"),
    responses((status = 200, description = "Done; also where there was no session any more"),
        (status = 400, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn end_by_provider(
    State(app): State<AppState>,
    Peer(peer): Peer,
    audited: Audited,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let oidc = oidc(&app)?;
    let issuer = &oidc.config().issuer;
    audited.detail("issuer", issuer.as_str());
    let refused = |refusal: &Refusal| {
        tracing::info!(client.address = %peer, "a logout token was refused: {refusal}");
        audited.detail("reason", refusal.reason.name());
        if refusal.reason.is_failure() {
            return ApiError::new(
                Code::Unavailable,
                "the identity provider's keys cannot be read; send the logout token again",
            );
        }
        ApiError::invalid(format!(
            "the logout token is refused: `{}`; kura's log says more",
            refusal.reason.name()
        ))
    };
    let ending = oidc.ending(&logout_token(&headers, &body)?).await;
    let ending = ending.map_err(|refusal| refused(&refusal))?;
    let Some((user, n)) = app.identity.end_by_provider(ending).await? else {
        let cause = "it was used before".to_owned();
        let reason = Reason::Replayed;
        return Err(refused(&Refusal { reason, cause }));
    };
    tracing::info!(sessions = n, "the identity provider ended sessions");
    audited.acting(Who::provider(issuer));
    if let Some(user) = user {
        audited.target("user", &user.to_string());
    }
    audited.detail("n_sessions", n);
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response())
}

fn oidc(app: &App) -> Result<&Oidc, ApiError> {
    app.oidc.as_deref().ok_or_else(|| {
        ApiError::new(
            Code::NotFound,
            "single sign-on is not set up here; `auth.oidc` in the configuration does that",
        )
    })
}

/// Returns the token in the form that a provider posts.
fn logout_token(headers: &HeaderMap, body: &[u8]) -> Result<String, ApiError> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next());
    if kind.map(str::trim) != Some("application/x-www-form-urlencoded") {
        return Err(ApiError::new(
            Code::UnsupportedMediaType,
            "send `logout_token` as `application/x-www-form-urlencoded`",
        ));
    }
    let mut fields = url::form_urlencoded::parse(body).filter(|(name, _)| name == "logout_token");
    match (fields.next(), fields.next()) {
        (Some((_, token)), None) => Ok(token.into_owned()),
        _ => Err(ApiError::invalid("send one `logout_token`")),
    }
}

/// Records why nobody was signed in, and sends the browser to where the page says so.
async fn refuse(
    app: &App,
    audited: &Audited,
    peer: IpAddr,
    refusal: &Refusal,
) -> Result<Response, ApiError> {
    record_sign_in("sso_refused");
    tracing::info!(client.address = %peer, "a sign-in at the identity provider was refused: {refusal}");
    let code = if refusal.reason.is_failure() {
        Code::Unavailable
    } else if refusal.reason.is_forbidden() {
        Code::Forbidden
    } else {
        Code::InvalidCredentials
    };
    audited.detail("reason", refusal.reason.name());
    // Here, because the redirect itself is none of a refusal.
    let (name, status, _) = code.describe();
    let outcome = Outcome::of_status(status.as_u16(), Some(name));
    audited.finish(outcome).await?;
    redirect(
        &explained(refusal.reason),
        vec![cookie::clear_flow(&app.config.auth)?],
    )
}

/// Records that signing in has made a user.
fn note_new(audited: &Audited, principal: &Principal) {
    let Some(user) = principal.user() else { return };
    let role = principal.role().map_or("", Role::as_str);
    audited.also(
        "user.create",
        &[("user", &user.id.to_string())],
        &[("name", user.name.as_str().into()), ("role", role.into())],
    );
}

/// Returns the page's address at which it says why someone is not signed in.
fn explained(reason: Reason) -> String {
    format!("/?sign_in={}", reason.shown())
}

fn redirect(to: &str, cookies: Vec<HeaderValue>) -> Result<Response, ApiError> {
    let location = HeaderValue::try_from(to).map_err(|error| ApiError::internal(&error))?;
    let cookies = cookies
        .into_iter()
        .map(|cookie| (header::SET_COOKIE, cookie));
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((
        StatusCode::SEE_OTHER,
        headers,
        AppendHeaders(cookies.collect::<Vec<_>>()),
    )
        .into_response())
}
