//! Single sign-on: `OpenID` Connect, by authorization code with PKCE.
//!
//! - [`flow`]: a sign-in between leaving for the provider and coming back, bound to the browser;
//! - [`provider`]: the provider's description and keys; [`http`]: the only connection to it;
//! - [`token`]: what it signs; [`claims`]: what that means here;
//! - [`refusal`]: every reason to say no.
//!
//! Nothing here knows of sessions or of axum: [`crate::identity`] has the former, [`crate::routes::oidc`] joins them.

mod claims;
mod flow;
mod http;
mod provider;
mod refusal;
mod token;

pub use flow::{LIFETIME, is_own_path};
pub use refusal::{Reason, Refusal};

use crate::config::{AuthConfig, OidcConfig};
use crate::identity::{Arrival, Ending};
use anyhow::Context as _;
use flow::{Flow, Flows};
use http::Http;
use jiff::Timestamp;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken, CoreTokenResponse,
};
use openidconnect::http::{Request, header};
use openidconnect::{
    AccessToken, AsyncHttpClient as _, AuthType, AuthorizationCode, ClientId, ClientSecret,
    CsrfToken, EndpointMaybeSet, EndpointNotSet, EndpointSet, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, TokenResponse as _,
};
use provider::{Cause, Known, Provider};
use serde::Deserialize;
use std::sync::Arc;
use token::{Claims, Expected};
use url::Url;

/// Largest ID token that is kept for signing out: it has to fit into an address.
const MAX_HINT_BYTES: usize = 4096;

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// kura as a client of one provider.
pub struct Oidc {
    config: OidcConfig,
    client_id: ClientId,
    secret: Option<ClientSecret>,
    callback: RedirectUrl,
    /// Where people land after signing out.
    home: Url,
    provider: Provider,
    flows: Flows,
}

/// What a browser brings back from the provider.
#[derive(Debug, Default, Deserialize)]
pub struct Answer {
    /// What kura gets the tokens for.
    pub code: Option<String>,
    /// What kura sent along.
    pub state: Option<String>,
    /// Who answers (RFC 9207).
    pub iss: Option<String>,
    /// Why not.
    pub error: Option<String>,
}

impl Oidc {
    /// Prepares single sign-on, if it is configured. The provider is asked when the first person comes.
    ///
    /// # Errors
    /// When the client's secret cannot be read.
    pub fn open(auth: &AuthConfig) -> anyhow::Result<Option<Self>> {
        let config = auth.oidc.clone();
        if !config.is_on() {
            return Ok(None);
        }
        let issuer = IssuerUrl::new(config.issuer.clone()).context("`auth.oidc.issuer`")?;
        let base = auth.public_url.trim_end_matches('/');
        let callback = format!("{base}/api/v1/session/oidc/callback");
        let http = Http::new(&config, issuer.url());
        Ok(Some(Self {
            client_id: ClientId::new(config.client_id.clone()),
            secret: secret(&config)?,
            callback: RedirectUrl::new(callback).context("`auth.public_url`")?,
            home: Url::parse(base).context("`auth.public_url`")?,
            provider: Provider::new(issuer, http),
            flows: Flows::new(),
            config,
        }))
    }

    /// Returns the configuration.
    #[must_use]
    pub fn config(&self) -> &OidcConfig {
        &self.config
    }

    /// Begins a sign-in: returns where to send the browser, and the cookie that it takes along.
    ///
    /// # Errors
    /// When the provider does not answer.
    pub async fn begin(&self, return_to: &str) -> Result<(Url, String), Refusal> {
        let known = self.provider.known().await?;
        let flow = self.flows.begin(return_to, now());
        let verifier = PkceCodeVerifier::new(flow.verifier);
        let (state, nonce) = (CsrfToken::new(flow.state), Nonce::new(flow.nonce));
        let client = self.client(&known);
        let scopes = self.config.scopes.iter().cloned().map(Scope::new);
        let request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || state,
                move || nonce,
            )
            .add_scopes(scopes)
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        let (url, ..) = request.url();
        Ok((url, flow.cookie))
    }

    /// Ends a sign-in: returns whom the provider sent, and where the person wanted to go.
    ///
    /// # Errors
    /// Whatever is not as it should be.
    pub async fn finish(
        &self,
        cookie: Option<&str>,
        answer: &Answer,
    ) -> Result<(Arrival, String), Refusal> {
        let flow = self.flows.finish(cookie, answer.state.as_deref(), now())?;
        let known = self.provider.known().await?;
        check_issuer(&known, answer)?;
        if let Some(error) = &answer.error {
            let cause = format!("the provider answers `{}`", short(error));
            return Err(Refusal::new(Reason::Denied, cause));
        }
        let code = answer.code.clone().filter(|code| !code.is_empty());
        let code = code.ok_or_else(|| Refusal::new(Reason::NoCode, "there is no code"))?;
        let Flow {
            nonce,
            verifier,
            return_to,
            ..
        } = flow;
        let tokens = self.exchange(&known, code, verifier).await?;
        let id_token = tokens
            .id_token()
            .ok_or_else(|| Refusal::new(Reason::NoIdToken, "there is no ID token"))?;
        let access_token = tokens.access_token();
        let mut claims = self
            .verified(&known, id_token, &Nonce::new(nonce), access_token)
            .await?;
        if claims::is_lacking(&self.config, &claims) {
            self.complete(&known, &mut claims, access_token).await?;
        }
        let mut arrival = claims::arrival(&self.config, &claims)?;
        arrival.id_token = Some(id_token.to_string()).filter(|token| token.len() <= MAX_HINT_BYTES);
        Ok((arrival, return_to))
    }

    /// Returns which sessions a logout token of the provider ends.
    ///
    /// # Errors
    /// When it is none, or not for kura, or not good any more.
    pub async fn ending(&self, logout_token: &str) -> Result<Ending, Refusal> {
        let known = self.provider.known().await?;
        let expected = self.expected();
        match expected.logout_token(&known, logout_token) {
            Err(refusal) if token::may_be_newer(&refusal, logout_token) => {
                let known = self.provider.renewed(&known, Cause::SignOut).await?;
                expected.logout_token(&known, logout_token)
            }
            other => other,
        }
    }

    /// Returns where someone signs out at the provider, too; `None` if there is no such place, or it cannot be asked now.
    pub async fn sign_out_url(&self, id_token: Option<&str>) -> Option<Url> {
        let known = self.provider.known().await;
        let known = known
            .inspect_err(|refusal| tracing::warn!("signing out here only: {refusal}"))
            .ok()?;
        let extra = known.metadata.additional_metadata();
        let mut url = extra.end_session_endpoint.clone()?;
        let mut query = url.query_pairs_mut();
        query.append_pair("client_id", self.client_id.as_str());
        query.append_pair("post_logout_redirect_uri", self.home.as_str());
        if let Some(token) = id_token {
            query.append_pair("id_token_hint", token);
        }
        drop(query);
        Some(url)
    }

    async fn exchange(
        &self,
        known: &Known,
        code: String,
        verifier: String,
    ) -> Result<CoreTokenResponse, Refusal> {
        let client = self.client(known);
        let request = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| Refusal::of(Reason::Discovery, &error))?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier));
        let answered = request.request_async(&self.provider.http).await;
        answered.map_err(|error| match &error {
            RequestTokenError::ServerResponse(said) => Refusal::new(
                Reason::Code,
                format!("the provider does not take the code: {said}"),
            ),
            RequestTokenError::Request(cause) => Refusal::of(Reason::Unreachable, cause),
            RequestTokenError::Parse(cause, _) => Refusal::of(Reason::TokenAnswer, cause),
            RequestTokenError::Other(cause) => Refusal::new(Reason::TokenAnswer, cause.as_str()),
        })
    }

    /// Returns the claims of an ID token, after asking for new keys if the provider may have changed them.
    async fn verified(
        &self,
        known: &Arc<Known>,
        token: &CoreIdToken,
        nonce: &Nonce,
        access_token: &AccessToken,
    ) -> Result<Claims, Refusal> {
        let expected = self.expected();
        match expected.id_token(known, token, nonce, access_token) {
            Err(refusal) if token::may_be_newer(&refusal, &token.to_string()) => {
                let known = self.provider.renewed(known, Cause::SignIn).await?;
                expected.id_token(&known, token, nonce, access_token)
            }
            other => other,
        }
    }

    /// Adds what the provider tells beside the ID token.
    async fn complete(
        &self,
        known: &Known,
        claims: &mut Claims,
        access_token: &AccessToken,
    ) -> Result<(), Refusal> {
        let Some(url) = known.metadata.userinfo_endpoint() else {
            return Ok(());
        };
        let refused = |cause: String| Refusal::new(Reason::UserInfo, cause);
        let request = Request::get(url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", access_token.secret()),
            )
            .body(Vec::new())
            .map_err(|error| refused(error.to_string()))?;
        let answer = self.provider.http.call(request).await;
        let answer = answer.map_err(|error| Refusal::of(Reason::Unreachable, &error))?;
        if answer.status() != 200 {
            return Err(refused(format!(
                "{} answers {}",
                url.as_str(),
                answer.status()
            )));
        }
        let more: Claims = serde_json::from_slice(answer.body())
            .map_err(|error| refused(format!("{}: {error}", url.as_str())))?;
        if more.get("sub") != claims.get("sub") {
            return Err(refused("the claims are of another person".to_owned()));
        }
        for (name, value) in more {
            // What is signed counts.
            claims.entry(name).or_insert(value);
        }
        Ok(())
    }

    fn client(&self, known: &Known) -> Client {
        let client = CoreClient::from_provider_metadata(
            known.metadata.clone(),
            self.client_id.clone(),
            self.secret.clone(),
        )
        .set_redirect_uri(self.callback.clone());
        let methods = known.metadata.token_endpoint_auth_methods_supported();
        // The first is what every provider takes that says nothing else.
        let takes_header = methods
            .is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        client.set_auth_type(if takes_header {
            AuthType::BasicAuth
        } else {
            AuthType::RequestBody
        })
    }

    fn expected(&self) -> Expected<'_> {
        Expected {
            client: &self.client_id,
            skew: i64::try_from(self.config.clock_skew_secs).unwrap_or(0),
        }
    }
}

/// Fails unless the answer comes from the provider that was asked, as far as that can be told (RFC 9207).
fn check_issuer(known: &Known, answer: &Answer) -> Result<(), Refusal> {
    let own = known.metadata.issuer().as_str();
    let extra = known.metadata.additional_metadata();
    let cause = match &answer.iss {
        Some(iss) if iss == own => return Ok(()),
        Some(iss) => format!("the answer is that of `{}`", short(iss)),
        None if extra.authorization_response_iss_parameter_supported => {
            "the provider names itself in its answers, and this one does not".to_owned()
        }
        None => return Ok(()),
    };
    Err(Refusal::new(Reason::ResponseIssuer, cause))
}

fn secret(config: &OidcConfig) -> anyhow::Result<Option<ClientSecret>> {
    let path = &config.client_secret_file;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let text = fs_err::read_to_string(path).context(
        "cannot read the client's secret; `auth.oidc.client_secret_file` names the file",
    )?;
    let text = text.trim();
    anyhow::ensure!(
        !text.is_empty(),
        "`{}` (`auth.oidc.client_secret_file`) is empty; write the client's secret into it",
        path.display()
    );
    Ok(Some(ClientSecret::new(text.to_owned())))
}

fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

/// Returns the beginning of what comes from outside, on one line.
fn short(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_CHARS)
        .collect()
}
