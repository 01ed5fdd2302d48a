//! SCIM 2.0 (RFC 7643 and 7644): how a directory tells kura who there is.
//!
//! - [`schema`]: which attributes kura keeps, and reading them as liberally as directories write them;
//! - [`filter`]: which resources a directory asks for; [`patch`]: changing one;
//! - [`resource`]: users and groups as the directory sees them.
//!
//! Nothing here knows of axum or of the store: [`crate::routes::scim`] joins them.

pub mod filter;
pub mod patch;
pub mod resource;
pub mod schema;

use crate::identity;
use serde_json::{Map, Value, json};

/// Attributes by their names as the schema writes them.
pub type Attributes = Map<String, Value>;

const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// Why a directory's request is refused.
#[derive(Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The keyword of RFC 7644, section 3.12, if there is one.
    pub kind: Option<&'static str>,
    /// Cause and remedy.
    pub detail: String,
}

/// What may go wrong with a directory's request.
#[derive(Debug)]
pub enum Error {
    /// It cannot be done so.
    Refused(Refusal),
    /// The store failed.
    Failed(identity::Error),
}

impl Error {
    pub(crate) fn refused(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        Self::Refused(Refusal {
            status,
            kind: Some(kind).filter(|kind| !kind.is_empty()),
            detail: detail.into(),
        })
    }

    /// A value does not fit its attribute.
    pub(crate) fn value(detail: impl Into<String>) -> Self {
        Self::refused(400, "invalidValue", detail)
    }

    /// The body is no such message.
    pub(crate) fn syntax(detail: impl Into<String>) -> Self {
        Self::refused(400, "invalidSyntax", detail)
    }
}

impl From<identity::Error> for Error {
    fn from(error: identity::Error) -> Self {
        use identity::Error as E;
        let text = error.to_string();
        match error {
            E::UnknownUser(_) | E::UnknownGroup(_) => Self::refused(404, "", text),
            E::UserExists(_) | E::NameRetired(_) | E::GroupExists(_) => {
                Self::refused(409, "uniqueness", text)
            }
            E::Invalid(_) => Self::value(text),
            E::UnknownKey(_) | E::UnknownSession(_) | E::Store(_) => Self::Failed(error),
        }
    }
}

/// Returns the body that tells of a failure.
#[must_use]
pub fn error_body(status: u16, kind: Option<&str>, detail: &str) -> Value {
    let mut body = json!({ "schemas": [ERROR], "status": status.to_string(), "detail": detail });
    if let (Some(kind), Value::Object(body)) = (kind, &mut body) {
        body.insert("scimType".to_owned(), kind.into());
    }
    body
}
