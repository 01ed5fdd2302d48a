//! The cookies of sessions and of sign-ins under way, and the proof that a request with it comes from kura's own page.

use crate::config::AuthConfig;
use crate::error::{ApiError, Code};
use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};

/// The cookie's name where the connection may be plain HTTP.
const NAME: &str = "kura_session";
/// Its name with TLS: browsers take a cookie of this name only from a secure origin, for that host alone.
const SECURE_NAME: &str = "__Host-kura_session";

/// The same for a sign-in that is under way at the identity provider.
const FLOW_NAME: &str = "kura_sign_in";
const SECURE_FLOW_NAME: &str = "__Host-kura_sign_in";

/// Returns the token in the cookie, if there is one.
#[must_use]
pub fn read(headers: &HeaderMap, config: &AuthConfig) -> Option<String> {
    find(headers, name(config))
}

/// Returns the sign-in that is under way, if there is one.
#[must_use]
pub fn read_flow(headers: &HeaderMap, config: &AuthConfig) -> Option<String> {
    find(headers, flow_name(config))
}

/// Returns the header value that has a browser remember a sign-in until it comes back.
///
/// # Errors
/// Never in practice: sign-ins are plain ASCII.
pub fn set_flow(flow: &str, config: &AuthConfig) -> Result<HeaderValue, ApiError> {
    let seconds = super::oidc::LIFETIME.as_secs();
    flow_cookie(flow, seconds, config)
}

/// Returns the header value that has a browser forget it.
///
/// # Errors
/// Never in practice.
pub fn clear_flow(config: &AuthConfig) -> Result<HeaderValue, ApiError> {
    flow_cookie("", 0, config)
}

fn flow_cookie(flow: &str, seconds: u64, config: &AuthConfig) -> Result<HeaderValue, ApiError> {
    // Lax: it has to come along when the provider sends the person back.
    let secure = if config.is_secure() { "; Secure" } else { "" };
    let name = flow_name(config);
    let value = format!("{name}={flow}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::try_from(value).map_err(|error| ApiError::internal(&error))?;
    value.set_sensitive(true);
    Ok(value)
}

fn flow_name(config: &AuthConfig) -> &'static str {
    if config.is_secure() {
        SECURE_FLOW_NAME
    } else {
        FLOW_NAME
    }
}

fn find(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let mut tokens = pairs.filter(|(known, _)| *known == name);
    let (_, token) = tokens.next()?;
    Some(token.to_owned())
}

/// Returns the header value that sets the cookie. It ends with the browser, and earlier with the session.
///
/// # Errors
/// Never in practice: tokens are plain ASCII.
pub fn set(token: &SecretString, config: &AuthConfig) -> Result<HeaderValue, ApiError> {
    let value = format!(
        "{}={}; {}",
        name(config),
        token.expose_secret(),
        attributes(config)
    );
    let mut value = HeaderValue::try_from(value).map_err(|error| ApiError::internal(&error))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns the header value that removes the cookie.
///
/// # Errors
/// Never in practice.
pub fn clear(config: &AuthConfig) -> Result<HeaderValue, ApiError> {
    let value = format!("{}=; Max-Age=0; {}", name(config), attributes(config));
    HeaderValue::try_from(value).map_err(|error| ApiError::internal(&error))
}

/// Fails unless a request comes from kura's own page: what the browser says decides, `Sec-Fetch-Site` before `Origin`.
/// Pages of other sites cannot set either.
///
/// # Errors
/// `forbidden`.
pub fn require_same_origin(headers: &HeaderMap, config: &AuthConfig) -> Result<(), ApiError> {
    match is_same_origin(headers, config) {
        Some(true) => Ok(()),
        Some(false) => Err(ApiError::new(
            Code::Forbidden,
            "the request comes from another site; a session may change things only from kura's own page. If kura is \
             behind a proxy, set `auth.public_url` to its address",
        )),
        None => Err(ApiError::new(
            Code::Forbidden,
            "the request does not say where it comes from; send `Sec-Fetch-Site` or `Origin`, or use an API key",
        )),
    }
}

/// Fails if the browser says that a request comes from another site. Requests without a word of it pass.
///
/// # Errors
/// `forbidden`.
pub fn refuse_other_origin(headers: &HeaderMap, config: &AuthConfig) -> Result<(), ApiError> {
    match is_same_origin(headers, config) {
        None => Ok(()),
        Some(_) => require_same_origin(headers, config),
    }
}

/// Returns whether a request comes from kura's own page; `None` when it does not say.
fn is_same_origin(headers: &HeaderMap, config: &AuthConfig) -> Option<bool> {
    if let Some(site) = headers.get("sec-fetch-site") {
        return Some(matches!(site.as_bytes(), b"same-origin" | b"none"));
    }
    let origin = headers.get(header::ORIGIN)?;
    let origin = origin
        .to_str()
        .ok()
        .and_then(|text| url::Url::parse(text).ok());
    let Some(origin) = origin else {
        // `null`, of a page that hides where it is from.
        return Some(false);
    };
    let own = url::Url::parse(&config.public_url).ok();
    if own.is_some_and(|own| own.origin() == origin.origin()) {
        return Some(true);
    }
    let authority = match (origin.host_str(), origin.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Some(false),
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    Some(host.is_some_and(|host| host.eq_ignore_ascii_case(&authority)))
}

fn name(config: &AuthConfig) -> &'static str {
    if config.is_secure() {
        SECURE_NAME
    } else {
        NAME
    }
}

fn attributes(config: &AuthConfig) -> &'static str {
    if config.is_secure() {
        "Path=/; HttpOnly; SameSite=Strict; Secure"
    } else {
        "Path=/; HttpOnly; SameSite=Strict"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OidcConfig;

    fn config(public_url: &str) -> AuthConfig {
        AuthConfig {
            session_idle_secs: 60,
            session_max_secs: 60,
            public_url: public_url.to_owned(),
            proxies: 0,
            oidc: OidcConfig::default(),
            admin_key_file: std::path::PathBuf::new(),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn the_cookie_is_for_the_browser_alone() {
        let token = SecretString::from("abc".to_owned());
        let plain = set(&token, &config("")).unwrap();
        assert_eq!(plain, "kura_session=abc; Path=/; HttpOnly; SameSite=Strict");
        assert!(plain.is_sensitive());
        let secure = set(&token, &config("https://kura.example")).unwrap();
        assert_eq!(
            secure,
            "__Host-kura_session=abc; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
        let sent = headers(&[("cookie", "a=b; kura_session=abc; __Host-kura_session=def")]);
        assert_eq!(read(&sent, &config("")).as_deref(), Some("abc"));
        let read = |url| read(&sent, &config(url));
        assert_eq!(read("https://kura.example").as_deref(), Some("def"));
        // With TLS the cookie that another service on the host may have set is not believed.
        let planted = headers(&[("cookie", "kura_session=abc")]);
        assert_eq!(super::read(&planted, &config("https://kura.example")), None);
    }

    #[test]
    fn only_the_own_page_is_the_same_origin() {
        let check = |pairs: &[_], url: &str| is_same_origin(&headers(pairs), &config(url));
        let host = ("host", "kura.example:8080");
        assert_eq!(check(&[("sec-fetch-site", "same-origin")], ""), Some(true));
        assert_eq!(check(&[("sec-fetch-site", "none")], ""), Some(true));
        // Another port or another name of the same site is another page.
        assert_eq!(check(&[("sec-fetch-site", "same-site")], ""), Some(false));
        assert_eq!(check(&[("sec-fetch-site", "cross-site")], ""), Some(false));
        let both = [
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://kura.example:8080"),
            host,
        ];
        assert_eq!(check(&both, ""), Some(false));
        assert_eq!(
            check(&[("origin", "http://kura.example:8080"), host], ""),
            Some(true)
        );
        assert_eq!(
            check(&[("origin", "http://kura.example"), host], ""),
            Some(false)
        );
        assert_eq!(
            check(&[("origin", "http://evil.example:8080"), host], ""),
            Some(false)
        );
        assert_eq!(check(&[("origin", "null"), host], ""), Some(false));
        let public = "https://kura.example";
        assert_eq!(
            check(&[("origin", public), ("host", "127.0.0.1:8080")], public),
            Some(true)
        );
        assert_eq!(check(&[host], ""), None);
    }
}
