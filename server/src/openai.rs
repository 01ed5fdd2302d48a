//! Endpoints that OpenAI's clients can talk to. Their wire types live only here.
//!
//! They render the same stream of answer events as `/api/v1/ask`. Where OpenAI's protocol has no place for
//! something, this module says what it does instead: a streamed chat completion carries the verified text by default,
//! because OpenAI's protocol cannot take back what was streamed.

pub mod chat;
pub mod embeddings;
pub mod models;

use crate::error::{ApiError, Code};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

/// OpenAI's error envelope.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiError)]
pub struct ErrorBody {
    error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiErrorDetail)]
struct ErrorDetail {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[schema(required)]
    param: Option<String>,
    code: Code,
}

/// The errors that any of these endpoints may answer with.
#[derive(IntoResponses)]
pub enum Errors {
    /// Invalid request.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// No or no valid API key.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// A failure; `error.code` says which.
    #[response(status = "default")]
    Other(ErrorBody),
}

/// Returns an error in OpenAI's envelope.
pub(crate) fn error_body(error: &ApiError) -> ErrorBody {
    let status = error.code.status();
    let kind = if error.code == Code::Unauthorized {
        "authentication_error"
    } else if error.code == Code::Forbidden {
        "permission_error"
    } else if error.code == Code::Overloaded {
        "overloaded_error"
    } else if error.code == Code::RateLimited {
        "rate_limit_error"
    } else if error.code == Code::BudgetSpent {
        "insufficient_quota"
    } else if status.is_client_error() {
        "invalid_request_error"
    } else {
        "server_error"
    };
    ErrorBody {
        error: ErrorDetail {
            message: error.detail.clone(),
            kind,
            param: None,
            code: error.code,
        },
    }
}

/// Returns the time in seconds since 1970, as OpenAI's objects carry it.
fn unix_seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

pub(crate) fn unknown_model(model: &str, known: &[&str]) -> ApiError {
    ApiError::new(
        Code::UnknownModel,
        format!("unknown model `{model}`; here: {}", known.join(", ")),
    )
}
