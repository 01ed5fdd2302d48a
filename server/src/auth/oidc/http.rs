//! The only connection that signing in opens: to the provider's own hosts, bounded in time and size, and never on to where
//! an answer points.

use crate::config::{OidcConfig, is_loopback};
use kura_egress::{HttpError, HttpOptions, Purpose};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;
use url::Url;

const USER_AGENT: &str = concat!("kura/", env!("CARGO_PKG_VERSION"));
/// Longest time one answer may take: someone is waiting at the browser.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer; descriptions and keys of real providers have a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// An address that may not be asked.
    #[error("{0}")]
    NotAllowed(String),
    /// The provider does not answer.
    #[error("{url} does not answer: {cause}")]
    Silent {
        /// Which address.
        url: String,
        /// Why.
        cause: String,
    },
    /// The answer is too large.
    #[error("{0} sends more than {MAX_BYTES} bytes")]
    TooLarge(String),
}

/// Asks a provider.
#[derive(Debug, Clone)]
pub(super) struct Http {
    agent: kura_egress::Http,
    hosts: BTreeSet<String>,
    /// Whether the provider is on this machine, where http does as well.
    is_local: bool,
}

impl Http {
    /// Prepares to ask the hosts of this configuration.
    pub(super) fn new(config: &OidcConfig, issuer: &Url) -> Self {
        let options = HttpOptions {
            user_agent: Some(USER_AGENT),
            total: Some(TIMEOUT),
            ..HttpOptions::default()
        };
        let own = issuer.host_str().map(str::to_owned);
        Self {
            agent: config.egress().http(Purpose::SignIn, &options),
            hosts: config.hosts.iter().cloned().chain(own).collect(),
            is_local: issuer.scheme() == "http",
        }
    }

    /// Fails unless this is an address of the provider: people are sent to no other, either.
    ///
    /// # Errors
    /// [`Error::NotAllowed`].
    pub(super) fn require(&self, url: &Url) -> Result<(), Error> {
        let is_safe = url.scheme() == "https"
            || (url.scheme() == "http" && self.is_local && is_loopback(url));
        if !is_safe {
            return Err(Error::NotAllowed(format!("{url} is not https")));
        }
        let host = url.host_str().unwrap_or_default();
        if !self.hosts.contains(host) {
            return Err(Error::NotAllowed(format!(
                "{url} is on `{host}`, which is neither the issuer's host nor in `auth.oidc.hosts`"
            )));
        }
        Ok(())
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let url = request.uri().to_string();
        let parsed = Url::parse(&url).map_err(|error| Error::NotAllowed(error.to_string()))?;
        self.require(&parsed)?;
        let asking = tokio::task::spawn_blocking(move || self.ask(request, &parsed));
        asking.await.map_err(|error| Error::Silent {
            url,
            cause: error.to_string(),
        })?
    }

    fn ask(&self, request: HttpRequest, url: &Url) -> Result<HttpResponse, Error> {
        let silent = |error: &HttpError| Error::Silent {
            url: shown(url),
            cause: error.to_string(),
        };
        let (parts, body) = request.into_parts();
        let answer = if body.is_empty() {
            self.agent
                .run(openidconnect::http::Request::from_parts(parts, ()))
        } else {
            self.agent
                .run(openidconnect::http::Request::from_parts(parts, body))
        };
        let (parts, mut body) = answer.map_err(|error| silent(&error))?.into_parts();
        match body.with_config().limit(MAX_BYTES).read_to_vec() {
            Ok(bytes) => Ok(HttpResponse::from_parts(parts, bytes)),
            Err(HttpError::BodyExceedsLimit(_)) => Err(Error::TooLarge(shown(url))),
            Err(error) => Err(silent(&error)),
        }
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// An address without its query.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(issuer: &str, hosts: &[&str]) -> Http {
        let config = OidcConfig {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..OidcConfig::default()
        };
        Http::new(&config, &Url::parse(issuer).unwrap())
    }

    #[test]
    fn only_the_providers_own_hosts_are_asked_and_only_safely() {
        let may = |http: &Http, url: &str| http.require(&Url::parse(url).unwrap()).is_ok();
        let remote = http("https://login.example.com/realm", &["keys.example.com"]);
        assert!(may(&remote, "https://login.example.com:8443/other"));
        assert!(may(&remote, "https://keys.example.com/jwks"));
        for other in [
            "http://login.example.com/realm",
            "https://example.com/",
            "https://login.example.com.evil.example/",
            "https://169.254.169.254/latest/meta-data",
            "http://127.0.0.1:6333/",
            "file:///etc/passwd",
        ] {
            assert!(!may(&remote, other), "{other}");
        }
        let local = http("http://127.0.0.1:4400", &["login.example.com"]);
        assert!(may(&local, "http://127.0.0.1:4401/keys"));
        assert!(!may(&local, "http://127.0.0.2:4401/keys"));
        assert!(!may(&local, "http://login.example.com/"));
    }
}
