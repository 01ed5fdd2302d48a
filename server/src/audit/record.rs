//! A record, and the line that it is kept as.
//!
//! A line is `{BODY,"hash":"…","mac":"…"}`. `hash` is the SHA-256 of everything before `,"hash":`, which includes the
//! hash of the record before, so that anyone can check the chain with a SHA-256 program. `mac` is the HMAC-SHA-256 of
//! `hash` under the log's key, so that nobody without the key can make a record, wherever in the log it stands.

use super::key::Key;
use crate::auth::Principal;
use crate::identity::Role;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What the first record of a log follows.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Longest value that comes from outside and is kept as it is, in bytes.
const MAX_VALUE: usize = 512;
const HASH_KEY: &str = ",\"hash\":\"";
const MAC_KEY: &str = "\",\"mac\":\"";
const END: &str = "\"}";

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AuditResult)]
pub enum Ending {
    /// It was done.
    Success,
    /// It was not allowed, or not possible as asked for: status 4xx.
    Refused,
    /// kura failed: status 5xx, or a command that ended with an error.
    Failed,
    /// It had not ended when the client went away or the time was up; it may be done in part.
    CutOff,
}

/// How something ended, with HTTP's and kura's word for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AuditOutcome)]
pub struct Outcome {
    /// How.
    pub result: Ending,
    /// HTTP status, of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The problem's code, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Outcome {
    pub(crate) fn success() -> Self {
        Self {
            result: Ending::Success,
            status: None,
            code: None,
        }
    }

    pub(crate) fn failed(code: &str) -> Self {
        Self {
            result: Ending::Failed,
            status: None,
            code: Some(code.to_owned()),
        }
    }

    pub(crate) fn cut_off() -> Self {
        Self {
            result: Ending::CutOff,
            status: None,
            code: None,
        }
    }

    pub(crate) fn of_status(status: u16, code: Option<&str>) -> Self {
        Self {
            result: match status {
                ..400 => Ending::Success,
                400..500 => Ending::Refused,
                500.. => Ending::Failed,
            },
            status: Some(status),
            code: code.map(str::to_owned),
        }
    }
}

/// Who did something, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The principal's id; none when nobody was recognized.
    pub principal: Option<String>,
    /// The login, or what stands for it, of who came in with a key, a session or the local token.
    pub name: Option<String>,
    /// A user's role at that time.
    pub role: Option<&'static str>,
    /// How: `session`, `api_key`, `local_token`, `process` for commands on the data directory, `source` for work of a
    /// source, `identity_provider` for what one orders, `kura` for what kura does by itself, `none`.
    pub authentication: String,
    /// The id of the session or of the user's API key.
    pub credential: Option<String>,
}

impl Who {
    /// The operator, by a command that works on the data directory itself.
    #[must_use]
    pub fn local_operator() -> Self {
        Self::new("local operator", "process")
    }

    /// A source that kura keeps in step with.
    #[must_use]
    pub fn source(name: &str) -> Self {
        Self::new(&format!("source {name}"), "source")
    }

    /// An identity provider, by an order that it has signed.
    #[must_use]
    pub fn provider(issuer: &str) -> Self {
        Self {
            name: Some(shortened(issuer)),
            ..Self::new(&format!("provider {issuer}"), "identity_provider")
        }
    }

    pub(crate) fn kura() -> Self {
        Self::new("kura", "kura")
    }

    pub(super) fn nobody() -> Self {
        Self {
            principal: None,
            name: None,
            role: None,
            authentication: "none".to_owned(),
            credential: None,
        }
    }

    pub(super) fn new(principal: &str, authentication: &str) -> Self {
        Self {
            principal: Some(shortened(principal)),
            authentication: authentication.to_owned(),
            ..Self::nobody()
        }
    }
}

impl From<&Principal> for Who {
    fn from(principal: &Principal) -> Self {
        Self {
            name: Some(shortened(principal.name())),
            role: principal.role().map(Role::as_str),
            credential: principal.credential().map(|id| id.to_string()),
            ..Self::new(principal.id(), principal.authentication())
        }
    }
}

/// What is to be recorded, before it has its place in the chain.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The request's id.
    pub request: Option<String>,
    /// Who.
    pub who: Who,
    /// What.
    pub action: String,
    /// To what.
    pub target: BTreeMap<String, String>,
    /// How it ended.
    pub outcome: Outcome,
    /// From where.
    pub peer: Option<String>,
    /// More about it.
    pub details: Map<String, Value>,
}

impl Draft {
    /// Returns a draft without target and details.
    #[must_use]
    pub fn new(who: Who, action: &str, outcome: Outcome) -> Self {
        Self {
            request: None,
            who,
            action: action.to_owned(),
            target: BTreeMap::new(),
            outcome,
            peer: None,
            details: Map::new(),
        }
    }

    pub(crate) fn target(mut self, kind: &str, id: &str) -> Self {
        self.target.insert(kind.to_owned(), shortened(id));
        self
    }

    pub(crate) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

/// A record of the audit log. The order of the fields is part of the format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AuditRecord)]
pub struct Record {
    /// From 1, without gaps.
    pub seq: u64,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The request's id, which responses and the server's log have, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Who; absent when nobody was recognized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The login, or what stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A user's role at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// How that is known: `session`, `api_key`, `local_token`, `process`, `source`, `kura` or `none`.
    pub authentication: String,
    /// The id of the session or of the user's API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// What was done or tried, like `document.read`. Names never change.
    pub action: String,
    /// To what: kinds of things (`collection`, `document`, `conversation`, …) with their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub target: BTreeMap<String, String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// More about it, such as the chunks that were shown.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub details: Map<String, Value>,
    /// `hash` of the record before.
    pub prev_hash: String,
    /// SHA-256 of the record and `prev_hash`, in lower-case hex.
    pub hash: String,
    /// HMAC-SHA-256 of `hash` under the key of the log, in lower-case hex.
    pub mac: String,
}

/// What is hashed: a record without `hash` and `mac`.
#[derive(Serialize)]
struct Body<'a> {
    seq: u64,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    authentication: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    action: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    target: &'a BTreeMap<String, String>,
    outcome: &'a Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    details: &'a Map<String, Value>,
    prev_hash: &'a str,
}

/// Why a line is no record of this log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("it is no record: {0}")]
    Unreadable(String),
    #[error("its content does not have its hash: it was changed")]
    Hash,
    #[error("it was not written by this log: its MAC does not fit the key")]
    Mac,
}

/// Returns a draft's line, with a line break, and its hash.
pub(super) fn seal(
    draft: &Draft,
    seq: u64,
    at: Timestamp,
    prev_hash: &str,
    key: &Key,
) -> serde_json::Result<(String, String)> {
    let body = Body {
        seq,
        at,
        request: draft.request.as_deref(),
        principal: draft.who.principal.as_deref(),
        name: draft.who.name.as_deref(),
        role: draft.who.role,
        authentication: &draft.who.authentication,
        credential: draft.who.credential.as_deref(),
        action: &draft.action,
        target: &draft.target,
        outcome: &draft.outcome,
        peer: draft.peer.as_deref(),
        details: &draft.details,
        prev_hash,
    };
    let mut line = serde_json::to_string(&body)?;
    // Its closing brace follows the hash and the MAC.
    line.pop();
    let hash = hash(&line);
    let mac = key.sign("record", hash.as_bytes());
    for part in [HASH_KEY, &hash, MAC_KEY, &mac, END, "\n"] {
        line.push_str(part);
    }
    Ok((line, hash))
}

/// Reads a line without its line break; `key` is absent where only the chain can be checked.
pub(super) fn open(line: &str, key: Option<&Key>) -> Result<Record, Flaw> {
    let record: Record =
        serde_json::from_str(line).map_err(|error| Flaw::Unreadable(error.to_string()))?;
    // Exactly these bytes, so that nothing in a line is outside of what is checked.
    let sealed = [HASH_KEY, &record.hash, MAC_KEY, &record.mac, END].concat();
    let body = line.strip_suffix(&sealed).ok_or(Flaw::Hash)?;
    if hash(body) != record.hash {
        return Err(Flaw::Hash);
    }
    if key.is_some_and(|key| !key.signed("record", record.hash.as_bytes(), &record.mac)) {
        return Err(Flaw::Mac);
    }
    Ok(record)
}

/// Returns a value from outside, cut to what a record may hold of it.
pub(super) fn shortened(text: &str) -> String {
    let mut end = text.len().min(MAX_VALUE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn hash(body: &str) -> String {
    hex(&Sha256::digest(body.as_bytes()))
}

/// Returns bytes in lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft::new(
            Who::new("admin", "api_key"),
            "document.read",
            Outcome::of_status(200, None),
        )
        .target("document", "規程 \"1\"")
        .detail("version", 3)
    }

    #[test]
    fn a_sealed_line_opens_and_no_byte_of_it_can_change() {
        let key = Key::random();
        let (line, hash) = seal(&draft(), 1, Timestamp::UNIX_EPOCH, GENESIS, &key).unwrap();
        let line = line.trim_end();
        let record = open(line, Some(&key)).unwrap();
        assert_eq!((record.seq, &record.hash), (1, &hash));
        assert_eq!(record.target["document"], "規程 \"1\"");
        assert_eq!(record.details["version"], 3);
        for at in 0..line.len() {
            let mut bytes = line.as_bytes().to_vec();
            bytes[at] ^= 1;
            if let Ok(text) = String::from_utf8(bytes) {
                assert!(open(&text, Some(&key)).is_err(), "byte {at}: {text}");
            }
        }
        assert_eq!(open(line, Some(&Key::random())), Err(Flaw::Mac));
        assert_eq!(open(line, None).unwrap(), record);
    }

    #[test]
    fn the_hash_is_that_of_all_before_it() {
        let key = Key::random();
        let (line, hash) = seal(&draft(), 9, Timestamp::UNIX_EPOCH, GENESIS, &key).unwrap();
        let (body, _) = line.split_once(",\"hash\":").unwrap();
        assert_eq!(hex(&Sha256::digest(body)), hash);
        assert!(body.contains(GENESIS));
    }

    #[test]
    fn outcomes_follow_the_status() {
        assert_eq!(Outcome::of_status(204, None).result, Ending::Success);
        assert_eq!(Outcome::of_status(404, Some("x")).result, Ending::Refused);
        assert_eq!(Outcome::of_status(507, None).result, Ending::Failed);
        assert_eq!(shortened(&"é".repeat(400)).len(), 512);
    }
}
