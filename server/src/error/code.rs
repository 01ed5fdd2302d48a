//! The kinds of failures, as programs know them.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, for programs. Names never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// No or no valid API key or session.
    Unauthorized,
    /// Name, password or code are not those of a user who may sign in.
    InvalidCredentials,
    /// The password is right; the code of the second factor is missing.
    CodeRequired,
    /// Too many failed attempts to sign in; `Retry-After` says when to try again.
    TooManyAttempts,
    /// Who asks may not do that.
    Forbidden,
    /// No such user.
    UnknownUser,
    /// A user of that name exists, or existed.
    UserExists,
    /// No such group.
    UnknownGroup,
    /// A group of that name exists.
    GroupExists,
    /// No such API key, or none that may be seen.
    UnknownApiKey,
    /// No such session, or none that may be seen.
    UnknownSession,
    /// No collection of that name.
    UnknownCollection,
    /// No such document, or none that may be read.
    UnknownDocument,
    /// The document lies in another one, and changes only with it.
    PartOfDocument,
    /// No such job.
    UnknownJob,
    /// The job is not in a state for that.
    JobState,
    /// Another request had this idempotency key.
    IdempotencyKeyUsed,
    /// No source of that name.
    UnknownSource,
    /// No such conversation.
    UnknownConversation,
    /// No such answer among the caller's own.
    UnknownAnswer,
    /// No feedback on that answer.
    UnknownFeedback,
    /// No such evaluation.
    UnknownEvaluation,
    /// No such model.
    UnknownModel,
    /// A collection of that name exists.
    CollectionExists,
    /// A source of that name exists.
    SourceExists,
    /// Another evaluation is running.
    EvaluationRunning,
    /// A hold keeps what is to be erased.
    LegalHold,
    /// The request does not say what it must.
    InvalidRequest,
    /// The body is larger than allowed.
    PayloadTooLarge,
    /// The body is of a kind that is not understood.
    UnsupportedMediaType,
    /// The document is damaged, encrypted, empty or without text.
    UnreadableDocument,
    /// Question and passages do not fit the model.
    InputTooLong,
    /// No such address.
    NotFound,
    /// The address exists, but not for this method.
    MethodNotAllowed,
    /// This user or key asks for more than it may; `Retry-After` says when to try again.
    RateLimited,
    /// This user or key has spent its tokens of today.
    BudgetSpent,
    /// The body came too slowly.
    RequestTimeout,
    /// Too much is going on; retry later.
    Overloaded,
    /// The answer did not begin in time.
    Timeout,
    /// The disk is full.
    StorageFull,
    /// Generation was asked for, but no generator is loaded.
    NoGenerator,
    /// The audit log cannot be written, so nothing may be changed or shown.
    AuditUnavailable,
    /// A part of kura is not ready.
    Unavailable,
    /// A failure of kura itself; the log knows more.
    Internal,
}

impl Code {
    /// All codes, for the documentation.
    pub const ALL: [Self; 44] = [
        Self::Unauthorized,
        Self::InvalidCredentials,
        Self::CodeRequired,
        Self::TooManyAttempts,
        Self::Forbidden,
        Self::UnknownUser,
        Self::UserExists,
        Self::UnknownGroup,
        Self::GroupExists,
        Self::UnknownApiKey,
        Self::UnknownSession,
        Self::UnknownCollection,
        Self::UnknownDocument,
        Self::PartOfDocument,
        Self::UnknownJob,
        Self::JobState,
        Self::IdempotencyKeyUsed,
        Self::UnknownSource,
        Self::UnknownConversation,
        Self::UnknownAnswer,
        Self::UnknownFeedback,
        Self::UnknownEvaluation,
        Self::UnknownModel,
        Self::CollectionExists,
        Self::SourceExists,
        Self::EvaluationRunning,
        Self::LegalHold,
        Self::InvalidRequest,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::UnreadableDocument,
        Self::InputTooLong,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RateLimited,
        Self::BudgetSpent,
        Self::RequestTimeout,
        Self::Overloaded,
        Self::Timeout,
        Self::StorageFull,
        Self::NoGenerator,
        Self::AuditUnavailable,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Returns name, status and title.
    #[must_use]
    pub fn describe(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "Sign in first"),
            Self::InvalidCredentials => (
                "invalid_credentials",
                StatusCode::UNAUTHORIZED,
                "Not signed in",
            ),
            Self::CodeRequired => ("code_required", StatusCode::UNAUTHORIZED, "Code required"),
            Self::TooManyAttempts => (
                "too_many_attempts",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many attempts",
            ),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "Not allowed"),
            Self::UnknownUser => ("unknown_user", StatusCode::NOT_FOUND, "Unknown user"),
            Self::UserExists => ("user_exists", StatusCode::CONFLICT, "User exists"),
            Self::UnknownGroup => ("unknown_group", StatusCode::NOT_FOUND, "Unknown group"),
            Self::GroupExists => ("group_exists", StatusCode::CONFLICT, "Group exists"),
            Self::UnknownApiKey => ("unknown_api_key", StatusCode::NOT_FOUND, "Unknown API key"),
            Self::UnknownSession => ("unknown_session", StatusCode::NOT_FOUND, "Unknown session"),
            Self::UnknownCollection => (
                "unknown_collection",
                StatusCode::NOT_FOUND,
                "Unknown collection",
            ),
            Self::UnknownDocument => (
                "unknown_document",
                StatusCode::NOT_FOUND,
                "Unknown document",
            ),
            Self::PartOfDocument => (
                "part_of_document",
                StatusCode::CONFLICT,
                "Part of another document",
            ),
            Self::UnknownJob => ("unknown_job", StatusCode::NOT_FOUND, "Unknown job"),
            Self::IdempotencyKeyUsed => (
                "idempotency_key_used",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Idempotency key used before",
            ),
            Self::JobState => ("job_state", StatusCode::CONFLICT, "Not in that state"),
            Self::UnknownSource => ("unknown_source", StatusCode::NOT_FOUND, "Unknown source"),
            Self::UnknownConversation => (
                "unknown_conversation",
                StatusCode::NOT_FOUND,
                "Unknown conversation",
            ),
            Self::UnknownAnswer => ("unknown_answer", StatusCode::NOT_FOUND, "Unknown answer"),
            Self::UnknownFeedback => (
                "unknown_feedback",
                StatusCode::NOT_FOUND,
                "Unknown feedback",
            ),
            Self::UnknownEvaluation => (
                "unknown_evaluation",
                StatusCode::NOT_FOUND,
                "Unknown evaluation",
            ),
            Self::UnknownModel => ("unknown_model", StatusCode::NOT_FOUND, "Unknown model"),
            Self::CollectionExists => (
                "collection_exists",
                StatusCode::CONFLICT,
                "Collection exists",
            ),
            Self::SourceExists => ("source_exists", StatusCode::CONFLICT, "Source exists"),
            Self::EvaluationRunning => (
                "evaluation_running",
                StatusCode::CONFLICT,
                "Evaluation running",
            ),
            Self::LegalHold => ("legal_hold", StatusCode::CONFLICT, "Held"),
            Self::InvalidRequest => (
                "invalid_request",
                StatusCode::BAD_REQUEST,
                "Invalid request",
            ),
            Self::PayloadTooLarge => (
                "payload_too_large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "Request too large",
            ),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported media type",
            ),
            Self::UnreadableDocument => (
                "unreadable_document",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Unreadable document",
            ),
            Self::InputTooLong => (
                "input_too_long",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Input too long",
            ),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "Not found"),
            Self::MethodNotAllowed => (
                "method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "Method not allowed",
            ),
            Self::RateLimited => (
                "rate_limited",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
            ),
            Self::BudgetSpent => (
                "budget_spent",
                StatusCode::TOO_MANY_REQUESTS,
                "Budget spent",
            ),
            Self::RequestTimeout => (
                "request_timeout",
                StatusCode::REQUEST_TIMEOUT,
                "Request too slow",
            ),
            Self::Overloaded => ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Overloaded"),
            Self::Timeout => ("timeout", StatusCode::GATEWAY_TIMEOUT, "Timeout"),
            Self::StorageFull => (
                "storage_full",
                StatusCode::INSUFFICIENT_STORAGE,
                "Storage full",
            ),
            Self::NoGenerator => ("no_generator", StatusCode::CONFLICT, "No generator"),
            Self::AuditUnavailable => (
                "audit_unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "Audit log unavailable",
            ),
            Self::Unavailable => (
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "Unavailable",
            ),
            Self::Internal => (
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error",
            ),
        }
    }

    /// Returns the stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.describe().0
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.describe().1
    }

    /// Returns the code for a bare status that some layer produced.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::TOO_MANY_REQUESTS => Self::TooManyAttempts,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Self::Timeout,
            StatusCode::SERVICE_UNAVAILABLE => Self::Overloaded,
            status if status.is_client_error() => Self::InvalidRequest,
            _ => Self::Internal,
        }
    }
}
