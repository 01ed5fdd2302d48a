//! What every response tells browsers, the request's id, and who else's pages may call.

use crate::config::Config;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::request_id::{MakeRequestId, RequestId};

/// Scripts, styles, fonts and connections only from kura itself, pictures also from the page's own memory, and nothing
/// else; the page may not be framed.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
    img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";
/// What a page may not ask a browser for.
const PERMISSIONS_POLICY: &str =
    "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()";
/// For a year browsers come by https only.
const TRANSPORT_SECURITY: &str = "max-age=31536000";
/// Longest id that a client may give its request.
const MAX_ID: usize = 128;
/// How long a browser remembers what another origin's page may send.
const REMEMBERED: Duration = Duration::from_secs(600);

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Layer: the headers of every response that does not set them itself.
pub(crate) async fn secure(is_https: bool, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_api = ["/api/", "/v1/", "/v2/", "/scim/"]
        .iter()
        .any(|api| path.starts_with(api));
    let mut response = next.run(request).await;
    let mut set = |name: HeaderName, value: &'static str| {
        let headers = response.headers_mut();
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    // An answer may name a host; looking it up would already tell its owner.
    set(header::X_DNS_PREFETCH_CONTROL, "off");
    let name = HeaderName::from_static;
    set(name("permissions-policy"), PERMISSIONS_POLICY);
    set(name("cross-origin-opener-policy"), "same-origin");
    set(name("cross-origin-resource-policy"), "same-origin");
    if is_https {
        set(header::STRICT_TRANSPORT_SECURITY, TRANSPORT_SECURITY);
    }
    if is_api {
        // Documents and answers stay in no cache between kura and who may read them.
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}

/// Layer: drops an id that is none, so that the request gets one. It goes into logs and records.
pub(crate) async fn check_id(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID);
    if given.is_some_and(|id| !is_id(id.as_bytes())) {
        request.headers_mut().remove(&REQUEST_ID);
    }
    next.run(request).await
}

fn is_id(id: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=MAX_ID).contains(&id.len()) && id.iter().all(is_allowed)
}

/// Makes ids that sort by time.
#[derive(Clone, Copy)]
pub(crate) struct NewRequestId;

impl MakeRequestId for NewRequestId {
    fn make_request_id<B>(&mut self, _: &axum::http::Request<B>) -> Option<RequestId> {
        let id = uuid::Uuid::now_v7().to_string();
        HeaderValue::from_str(&id).ok().map(RequestId::new)
    }
}

/// Returns what lets the pages of the configured origins call the API; `None` when there are none, and browsers keep all
/// out.
pub(crate) fn cors(config: &Config) -> Option<CorsLayer> {
    let origins = config.server.cors_origins.iter();
    let origins: Vec<HeaderValue> = origins.filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let exposed = [
        REQUEST_ID,
        header::RETRY_AFTER,
        HeaderName::from_static("ratelimit"),
        HeaderName::from_static("ratelimit-policy"),
    ];
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::ACCEPT,
                REQUEST_ID,
                HeaderName::from_static("idempotency-key"),
            ])
            .expose_headers(exposed)
            .max_age(REMEMBERED),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_plain() {
        for good in ["a", "019a-b_c.d:e/f+g=", &"x".repeat(MAX_ID)] {
            assert!(is_id(good.as_bytes()), "{good}");
        }
        for bad in ["", "a b", "a\"b", "日本", "a\tb", &"x".repeat(MAX_ID + 1)] {
            assert!(!is_id(bad.as_bytes()), "{bad}");
        }
    }
}
