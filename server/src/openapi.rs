//! The OpenAPI 3.1 document, generated from the handlers.

pub mod events;

use crate::error::Problem;
use crate::openai::chat::ChatChunk;
use crate::routes::ask::{AnswerBody, Delta, Retrieved};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// What the document says beside the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "kura",
        description = "A private knowledge assistant: documents in, cited answers out. Times are RFC 3339 in UTC, \
            ids are opaque strings, spans are UTF-8 byte ranges. Failures are RFC 9457 problems with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "ask", description = "Questions and answers"),
        (name = "search", description = "Searching without answering"),
        (name = "documents", description = "What can be found"),
        (name = "collections", description = "Sets of documents"),
        (name = "jobs", description = "Work in the background"),
        (name = "sources", description = "Places that kura keeps in step with"),
        (name = "evaluations", description = "Measuring quality on labelled queries"),
        (name = "conversations", description = "Past questions and answers"),
        (name = "feedback", description = "What people think of their answers"),
        (name = "forget", description = "Erasing for good, with a certificate"),
        (name = "audit", description = "Who did what, on record"),
        (name = "openai", description = "For clients of OpenAI's API"),
        (name = "cohere", description = "For clients of Cohere's rerank API"),
        (name = "session", description = "Signing in, and one's own account"),
        (name = "users", description = "Who may use kura"),
        (name = "scim", description = "SCIM 2.0: users and groups that a directory keeps up to date"),
        (name = "api-keys", description = "How programs sign in"),
        (name = "health", description = "For operators")
    ),
    components(schemas(Problem, crate::openai::ErrorBody, Retrieved, Delta, AnswerBody, ChatChunk)),
    security(("api_key" = []), ("session" = [])),
    modifiers(&Security)
)]
pub struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("kura_<43 characters>")
            .description(Some(
                "An API key of a user, or the one printed when `kura serve` first started.",
            ))
            .build();
        let session = ApiKeyValue::with_description(
            "kura_session",
            "Set by `POST /api/v1/session`; `__Host-kura_session` where kura is reached over TLS. Requests that change \
             something must come from kura's own page, by `Sec-Fetch-Site` or `Origin`.",
        );
        let components = openapi.components.get_or_insert_with(Default::default);
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    }
}

/// Returns the document as JSON, formatted, with a newline at the end.
#[must_use]
pub fn json() -> String {
    let mut json = crate::router::openapi()
        .to_pretty_json()
        .expect("the document has string keys only, so it always serializes");
    json.push('\n');
    json
}
