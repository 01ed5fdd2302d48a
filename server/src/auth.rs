//! Who is asking. Until people can sign in there is one principal: the holder of the admin API key.
//!
//! The layer [`require`] guards whole routers, so that a new route cannot forget it; the [`Principal`] extractor
//! only takes what the layer left, and refuses where there is none.

mod api_key;

use crate::app::AppState;
use crate::error::{ApiError, Code};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kura_indexer::AccessFilter;

pub(crate) use api_key::write_private;
pub use api_key::{ApiKeys, Created, key_file, new_key};

/// Someone who may do things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    id: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Holds the admin API key.
    Admin,
    /// A command of the operator on this machine, which read the server's token from the data directory.
    Local,
}

impl Principal {
    pub(crate) fn admin() -> Self {
        Self {
            id: "admin".to_owned(),
            kind: Kind::Admin,
        }
    }

    pub(crate) fn local() -> Self {
        // The same person by another way in: conversations are theirs either way.
        Self {
            id: "admin".to_owned(),
            kind: Kind::Local,
        }
    }

    /// Returns the id under which this principal's own things are kept.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns how this principal was recognized, as the audit log says it.
    #[must_use]
    pub fn authentication(&self) -> &'static str {
        match self.kind {
            Kind::Admin => "api_key",
            Kind::Local => "local_token",
        }
    }

    /// Fails unless this principal may change how kura is set up, and read what only its operators may.
    ///
    /// # Errors
    /// When it may not.
    pub fn administers(&self) -> Result<(), ApiError> {
        match self.kind {
            Kind::Admin | Kind::Local => Ok(()),
        }
    }

    /// Returns what this principal may read.
    #[must_use]
    pub fn access(&self) -> AccessFilter {
        match self.kind {
            Kind::Admin => AccessFilter::unrestricted("admin api key"),
            Kind::Local => AccessFilter::unrestricted("local command of the operator"),
        }
    }
}

/// Layer: lets a request through only with a valid bearer token, before any of its body is read.
pub async fn require(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let principal = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(bearer)
        .and_then(|token| app.keys.principal(token));
    let Some(principal) = principal else {
        return unauthorized().into_response();
    };
    request.extensions_mut().insert(principal);
    next.run(request).await
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
        "send `Authorization: Bearer <api key>`; the admin key was printed when `kura serve` first started",
    )
}
