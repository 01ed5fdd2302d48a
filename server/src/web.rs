//! The web page, embedded into the binary: an asset is its file, anything else the page itself.

use crate::error::{ApiError, Code};
use axum::http::{Method, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../web/dist"]
#[allow_missing = true]
struct Dist;

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>kura</title>\
<p>This kura was built without its web page. Run <code>make web</code>, then build again. \
The API works: see <a href=\"/api/openapi.json\">/api/openapi.json</a>.</p></html>";

/// Answers everything that no route matched.
pub async fn fallback(method: Method, uri: Uri) -> Response {
    let path = uri.path();
    let is_api = ["/api", "/v1", "/v2", "/scim"].iter().any(|prefix| {
        path == *prefix
            || path
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('/'))
    });
    if is_api {
        return ApiError::new(
            Code::NotFound,
            format!("no such address `{path}`; `/api/openapi.json` lists them"),
        )
        .into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return ApiError::new(Code::MethodNotAllowed, "the page answers GET and HEAD only")
            .into_response();
    }
    let name = path.trim_start_matches('/');
    if let Some(asset) = asset(name) {
        return asset;
    }
    // A missing asset must not turn into a page that the browser then fails to run as a script.
    if name.starts_with("assets/") {
        return ApiError::new(Code::NotFound, format!("no such asset `{path}`")).into_response();
    }
    asset("index.html").unwrap_or_else(|| Html(NOT_BUILT).into_response())
}

/// Returns whether the page was built into this binary.
#[must_use]
pub fn is_built() -> bool {
    Dist::get("index.html").is_some()
}

fn asset(name: &str) -> Option<Response> {
    let file = Dist::get(name)?;
    // Vite puts a hash into the names under assets/, so that they never change; the page itself does.
    let caching = if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = [
        (header::CONTENT_TYPE, file.metadata.mimetype().to_owned()),
        (header::CACHE_CONTROL, caching.to_owned()),
    ];
    Some((headers, file.data.into_owned()).into_response())
}
