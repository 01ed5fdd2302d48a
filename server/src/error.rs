//! The only place that knows both kura's errors and HTTP.
//!
//! - `kura_models` and `kura_indexer` have one error enum each, without any notion of a status.
//! - Handlers return [`ApiError`]; the conversions below match without `_`, so that a new variant does not
//!   compile until someone chooses its [`Code`].
//! - `main`, the commands and the job worker use `anyhow`.
//!
//! An [`ApiError`] becomes a response in two steps: here it is only attached to an empty response; the layer
//! [`render`] writes the body, because only it knows the request's id and path (RFC 9457 for `/api`, OpenAI's
//! envelope for `/v1` and `/v2`) and only there a failure is logged, once.

mod code;

pub use code::Code;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Every problem type is this and the code's name; there is nothing to fetch there.
const TYPE_BASE: &str = "urn:kura:problem:";

/// A failure that is told to the caller.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct ApiError {
    /// What went wrong, for programs.
    pub code: Code,
    /// What went wrong and what to do, for people.
    pub detail: String,
    /// What the log gets to see and the caller does not.
    pub cause: Option<Arc<str>>,
    /// Seconds after which it makes sense to try again, where that is known.
    pub retry_after: Option<u64>,
}

impl ApiError {
    /// Creates an error whose `detail` the caller sees.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            cause: None,
            retry_after: None,
        }
    }

    /// Creates an `invalid_request`.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// Creates an `internal` error: the caller learns nothing but the request id, the log gets the chain.
    #[must_use]
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            code: Code::Internal,
            detail: "kura failed; the server's log says more under this request id".to_owned(),
            cause: Some(chain(error).into()),
            retry_after: None,
        }
    }

    /// Returns the problem as it goes over the wire. `instance` is the request id.
    #[must_use]
    pub fn problem(&self, instance: Option<&str>) -> Problem {
        let (name, status, title) = self.code.describe();
        Problem {
            kind: format!("{TYPE_BASE}{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            instance: instance.map(|id| format!("urn:kura:request:{id}")),
            code: self.code,
        }
    }
}

/// A problem as RFC 9457 describes it, with kura's `code`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Identifies the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short name of the kind.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// This occurrence: cause and remedy.
    pub detail: String,
    /// The request's id as a URN; the log has it too.
    pub instance: Option<String>,
    /// The kind, for programs.
    pub code: Code,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if self.code.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"kura\""),
            );
        }
        let is_passing = matches!(
            self.code,
            Code::Overloaded | Code::AuditUnavailable | Code::Unavailable
        );
        if let Some(seconds) = self.retry_after.or(is_passing.then_some(1)) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Layer: writes the body of every failed response, and logs failures of kura itself.
pub async fn render(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let id = request_id(&request);
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let error = match response.extensions().get::<ApiError>() {
        Some(error) => error.clone(),
        // A handler that chose its own body, such as `/readyz`.
        None if response.headers().contains_key(header::CONTENT_TYPE)
            && !is_plain_text(&response) =>
        {
            return response;
        }
        None => ApiError::new(Code::of_status(status), bare_detail(status)),
    };
    if let Some(cause) = &error.cause {
        tracing::error!(
            request.id = id.as_deref(),
            http.path = path,
            "request failed: {cause}"
        );
    }
    let (mut parts, _) = response.into_parts();
    let (content_type, body) =
        if path == "/v1" || path.starts_with("/v1/") || path.starts_with("/v2/") {
            let body = serde_json::to_vec(&crate::openai::error_body(&error));
            ("application/json", body)
        } else if path.starts_with("/scim/") {
            let status = error.code.status().as_u16();
            let body = crate::scim::error_body(status, None, &error.detail);
            ("application/scim+json", serde_json::to_vec(&body))
        } else {
            (
                "application/problem+json",
                serde_json::to_vec(&error.problem(id.as_deref())),
            )
        };
    parts.status = error.code.status();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Response::from_parts(parts, body.unwrap_or_default().into())
}

/// Turns a panic into an `internal` error.
pub fn on_panic(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    ApiError {
        code: Code::Internal,
        detail: "kura failed; the server's log says more under this request id".to_owned(),
        cause: Some(format!("a handler panicked: {message}").into()),
        retry_after: None,
    }
    .into_response()
}

/// Returns the id that the request-id layer gave a request.
pub fn request_id(request: &Request) -> Option<String> {
    let id = request
        .extensions()
        .get::<tower_http::request_id::RequestId>()?;
    id.header_value().to_str().ok().map(str::to_owned)
}

/// Returns the messages of an error and its causes, outermost first.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Transparent variants repeat their source's message.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn is_plain_text(response: &Response) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/plain"))
}

fn bare_detail(status: StatusCode) -> &'static str {
    match Code::of_status(status) {
        Code::MethodNotAllowed => "this address does not answer that method",
        Code::PayloadTooLarge => "the body is larger than the server accepts",
        Code::Timeout => {
            "the answer did not begin within `server.request_timeout_secs`; retry later"
        }
        Code::Overloaded => "too many requests at the same time; retry later",
        Code::NotFound => "no such address; `/api/openapi.json` lists them",
        Code::Unauthorized
        | Code::InvalidCredentials
        | Code::CodeRequired
        | Code::TooManyAttempts
        | Code::Forbidden
        | Code::UnknownUser
        | Code::UserExists
        | Code::UnknownGroup
        | Code::GroupExists
        | Code::UnknownApiKey
        | Code::UnknownSession
        | Code::UnknownCollection
        | Code::UnknownDocument
        | Code::PartOfDocument
        | Code::UnknownJob
        | Code::JobState
        | Code::IdempotencyKeyUsed
        | Code::UnknownSource
        | Code::UnknownConversation
        | Code::UnknownAnswer
        | Code::UnknownFeedback
        | Code::UnknownEvaluation
        | Code::UnknownModel
        | Code::CollectionExists
        | Code::SourceExists
        | Code::EvaluationRunning
        | Code::LegalHold
        | Code::InvalidRequest
        | Code::UnsupportedMediaType
        | Code::UnreadableDocument
        | Code::InputTooLong
        | Code::StorageFull
        | Code::NoGenerator
        | Code::RateLimited
        | Code::BudgetSpent
        | Code::RequestTimeout
        | Code::AuditUnavailable
        | Code::Unavailable
        | Code::Internal => "the request could not be answered",
    }
}

impl From<kura_models::Error> for ApiError {
    fn from(error: kura_models::Error) -> Self {
        use kura_models::Error as E;
        let code = match &error {
            E::UnknownModel { .. } => Code::UnknownModel,
            E::NotInstalled { .. } => Code::Unavailable,
            E::Overloaded => Code::Overloaded,
            E::PromptTooLong { .. } => Code::InputTooLong,
            E::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => Code::StorageFull,
            E::WrongKind { .. }
            | E::HashMismatch { .. }
            | E::Fetch { .. }
            | E::Malformed { .. }
            | E::Unsupported { .. }
            | E::Registry { .. }
            | E::Device { .. }
            | E::Stopped
            | E::Io(_)
            | E::Candle(_)
            | E::Tokenizer(_)
            | E::Recognition(_)
            | E::Template(_) => return Self::internal(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<kura_indexer::Error> for ApiError {
    fn from(error: kura_indexer::Error) -> Self {
        use kura_indexer::Error as E;
        let code = match error {
            E::Model(model) => return (*model).into(),
            E::UnsupportedFormat { .. } => Code::UnsupportedMediaType,
            E::EmptyFile
            | E::NoText
            | E::NoRecognizer
            | E::Encrypted
            | E::Malformed { .. }
            | E::ReaderEnded { .. }
            | E::ReaderTimedOut { .. } => Code::UnreadableDocument,
            E::TooLarge { .. } => Code::PayloadTooLarge,
            E::UnknownCollection { .. } => Code::UnknownCollection,
            E::InvalidCollectionName { .. }
            | E::InvalidDictionary { .. }
            | E::InvalidDate { .. }
            | E::InvalidMetadata { .. }
            | E::InvalidAccess { .. }
            | E::InvalidSource { .. } => Code::InvalidRequest,
            E::CollectionExists { .. } => Code::CollectionExists,
            E::UnknownDocument { .. } => Code::UnknownDocument,
            E::PartOfDocument { .. } => Code::PartOfDocument,
            E::UnknownJob { .. } => Code::UnknownJob,
            E::JobState { .. } => Code::JobState,
            E::RequestKeyUsed { .. } => Code::IdempotencyKeyUsed,
            E::UnknownSource { .. } => Code::UnknownSource,
            E::SourceExists { .. } => Code::SourceExists,
            E::StorageFull { .. } => Code::StorageFull,
            ref full if full.is_storage_full() => {
                return Self {
                    code: Code::StorageFull,
                    detail: "the disk that holds the data directory is full; free some space and retry. \
                             Nothing already stored is harmed"
                        .to_owned(),
                    cause: Some(chain(&error).into()),
                    retry_after: None,
                };
            }
            ref stuck if stuck.is_storage_stuck() => {
                return Self {
                    code: Code::Unavailable,
                    detail: "the disk that holds the data directory takes no changes: it fails or has become read-only. \
                             See the system's log, repair and mount it again, and start kura anew. Nothing already \
                             stored is harmed"
                        .to_owned(),
                    cause: Some(chain(&error).into()),
                    retry_after: None,
                };
            }
            E::Locked { .. }
            | E::Incompatible { .. }
            | E::Damaged { .. }
            | E::Catalog(_)
            | E::Lexical(_)
            | E::Dense(_)
            | E::Io(_)
            | E::Reranker { .. }
            | E::Migration(_)
            | E::Corrupt { .. }
            | E::Task(_) => return Self::internal(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<crate::identity::Error> for ApiError {
    fn from(error: crate::identity::Error) -> Self {
        use crate::identity::Error as E;
        let code = match &error {
            E::UnknownUser(_) => Code::UnknownUser,
            E::UnknownGroup(_) => Code::UnknownGroup,
            E::UnknownKey(_) => Code::UnknownApiKey,
            E::UnknownSession(_) => Code::UnknownSession,
            E::UserExists(_) | E::NameRetired(_) => Code::UserExists,
            E::GroupExists(_) => Code::GroupExists,
            E::Invalid(_) => Code::InvalidRequest,
            E::Store(_) => return Self::internal(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<axum::extract::rejection::JsonRejection> for ApiError {
    fn from(rejection: axum::extract::rejection::JsonRejection) -> Self {
        Self::new(Code::of_status(rejection.status()), rejection.body_text())
    }
}

impl From<axum::extract::rejection::QueryRejection> for ApiError {
    fn from(rejection: axum::extract::rejection::QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

impl From<axum::extract::rejection::PathRejection> for ApiError {
    fn from(rejection: axum::extract::rejection::PathRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

impl From<axum::extract::multipart::MultipartRejection> for ApiError {
    fn from(rejection: axum::extract::multipart::MultipartRejection) -> Self {
        Self::new(Code::of_status(rejection.status()), rejection.body_text())
    }
}

impl From<axum::extract::multipart::MultipartError> for ApiError {
    fn from(error: axum::extract::multipart::MultipartError) -> Self {
        Self::new(Code::of_status(error.status()), error.body_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_names_are_those_of_the_enum() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn internal_errors_keep_their_cause_from_the_caller() {
        let error = ApiError::internal(&std::io::Error::other("secret path"));
        assert!(
            !serde_json::to_string(&error.problem(Some("1")))
                .unwrap()
                .contains("secret")
        );
        assert!(error.cause.unwrap().contains("secret path"));
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = ApiError::from(kura_indexer::Error::Io(full));
        assert_eq!(error.code, Code::StorageFull);
    }
}
