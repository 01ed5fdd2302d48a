//! The one place that records requests.
//!
//! [`record`] stands around the check of the key and [`identify`] within it, before that of permissions. A handler finds
//! an [`Audited`] among the request's extensions, and adds what only it knows. Whatever becomes of the request, it leaves
//! one record: when the handler is done; for a streamed answer when its citations are known; and when it is cut off,
//! because the last [`Audited`] of a request records what nobody else has.

use super::operations::{self, Class};
use super::record::{self, Draft, Ending, Outcome, Who};
use super::{AuditLog, Unavailable};
use crate::app::AppState;
use crate::auth::{Principal, peer, permission};
use crate::error::{self, ApiError, Code};
use crate::routes::chunk_id;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kura_indexer::ChunkId;
use serde_json::Value;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Most things of one list in a record.
const MAX_LIST: usize = 1000;
/// The parameter that is a name in another system.
const EXTERNAL_ID: &str = "external_id";
/// Most names of one list in a record.
const MAX_NAMES: usize = 100;

/// The record of an operation that is under way. Clones are the same.
#[derive(Clone)]
pub struct Audited(Option<Arc<Ticket>>);

struct Ticket {
    log: Arc<AuditLog>,
    class: Class,
    state: Mutex<Progress>,
}

struct Progress {
    /// Absent once it is recorded.
    draft: Option<Draft>,
    /// Whether a stream will record it.
    deferred: bool,
}

impl Audited {
    pub(crate) fn begin(log: Arc<AuditLog>, class: Class, draft: Draft) -> Self {
        let state = Mutex::new(Progress {
            draft: Some(draft),
            deferred: false,
        });
        Self(Some(Arc::new(Ticket { log, class, state })))
    }

    /// Notes who does it.
    pub fn by(&self, principal: &Principal) {
        self.change(|draft| draft.who = principal.into());
    }

    /// Notes who does it, where that is no principal.
    pub(crate) fn acting(&self, who: Who) {
        self.change(|draft| draft.who = who);
    }

    /// Notes what the operation is about: a kind of thing, and its id.
    pub fn target(&self, kind: &str, id: &str) {
        self.change(|draft| {
            let id = record::shortened(id);
            draft.target.insert(kind.to_owned(), id);
        });
    }

    /// Notes what is asked and where; the words only if `audit.content` says so.
    pub fn asked(&self, name: &str, text: &str, collections: Option<&[String]>) {
        self.content(name, text);
        match collections {
            Some([one]) => self.target("collection", one),
            Some(names) => {
                let names = names
                    .iter()
                    .take(MAX_NAMES)
                    .map(|name| record::shortened(name));
                self.detail("collections", names.collect::<Vec<_>>());
            }
            None => {}
        }
    }

    /// Notes how many items were listed.
    pub fn items(&self, n: usize) {
        self.detail("n_items", n);
    }

    /// Notes which chunks were shown, under a name such as `chunks` or `cited`.
    pub fn chunks<'a>(&self, name: &str, chunks: impl IntoIterator<Item = &'a ChunkId>) {
        let ids: Vec<String> = chunks.into_iter().map(chunk_id).collect();
        self.detail(name, ids);
    }

    /// Adds to a list, such as that of documents stored; of a very long one only the first are kept.
    pub fn add(&self, name: &str, value: impl Into<Value>) {
        self.change(|draft| {
            let list = draft
                .details
                .entry(name)
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list
                && list.len() < MAX_LIST
            {
                list.push(value.into());
            }
            let n = draft.details.get(&n_of(name)).and_then(Value::as_u64);
            draft
                .details
                .insert(n_of(name), (n.unwrap_or(0) + 1).into());
        });
    }

    /// Notes anything else. No content: that is [`Audited::content`].
    pub fn detail(&self, name: &str, value: impl Into<Value>) {
        self.change(|draft| {
            draft.details.insert(name.to_owned(), value.into());
        });
    }

    /// Notes what someone asked, if `audit.content` says so.
    pub fn content(&self, name: &str, text: &str) {
        if self.0.as_ref().is_some_and(|ticket| ticket.log.content) {
            self.detail(name, text);
        }
    }

    /// Records, without waiting, a thing that was done on the way by the same principal.
    pub fn also(&self, action: &str, target: &[(&str, &str)], details: &[(&str, Value)]) {
        let Some(ticket) = &self.0 else { return };
        let who = match &ticket.progress().draft {
            Some(draft) => draft.who.clone(),
            None => return,
        };
        let mut draft = Draft::new(who, action, Outcome::success());
        for (kind, id) in target {
            draft = draft.target(kind, id);
        }
        for (name, value) in details {
            draft = draft.detail(name, value.clone());
        }
        ticket.log.enqueue(draft);
    }

    /// Leaves it to a stream to [finish](Self::finish) what its handler began.
    pub fn defer(&self) {
        if let Some(ticket) = &self.0 {
            ticket.progress().deferred = true;
        }
    }

    /// Returns whether a stream has taken it on.
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|ticket| ticket.progress().deferred)
    }

    /// Records how it ended, unless that was done before; durable when this returns.
    ///
    /// # Errors
    /// When the log cannot be written and the operation may not go unrecorded.
    pub async fn finish(&self, outcome: Outcome) -> Result<(), Unavailable> {
        let Some(ticket) = &self.0 else {
            return Ok(());
        };
        let Some(draft) = ticket.take(outcome) else {
            return Ok(());
        };
        // Nothing was done or shown for those.
        let is_turned_away = is_turned_away(&draft.who, &draft.outcome);
        let recorded = ticket.log.record(draft).await;
        match ticket.class {
            Class::Mutating if !is_turned_away => recorded,
            // It is kept, and recorded later.
            Class::Reading if !is_turned_away => recorded.or_else(|_| ticket.log.require_to_read()),
            Class::Mutating | Class::Reading | Class::Administrative | Class::Unrecorded => Ok(()),
        }
    }

    /// Fails if it may not go unrecorded and nothing can be recorded.
    fn require(&self) -> Result<(), ApiError> {
        match &self.0 {
            Some(ticket) => match ticket.class {
                Class::Mutating => Ok(ticket.log.require()?),
                Class::Reading => Ok(ticket.log.require_to_read()?),
                Class::Administrative | Class::Unrecorded => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Leaves no record: nothing was done.
    pub(crate) fn discard(&self) {
        if let Some(ticket) = &self.0 {
            ticket.progress().draft = None;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Draft)) {
        if let Some(ticket) = &self.0
            && let Some(draft) = &mut ticket.progress().draft
        {
            change(draft);
        }
    }
}

impl Ticket {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the draft, if it is to be recorded and was not.
    fn take(&self, outcome: Outcome) -> Option<Draft> {
        let mut draft = self.progress().draft.take()?;
        if is_turned_away(&draft.who, &outcome) {
            let peer = draft.peer.as_deref();
            let admitted = self.log.shared.refusals().admit(Instant::now(), peer);
            if !admitted {
                return None;
            }
        } else if self.class == Class::Unrecorded && !is_forbidden(&outcome) {
            return None;
        }
        draft.outcome = outcome;
        Some(draft)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let outcome = if std::thread::panicking() {
            let code = Code::Internal;
            Outcome::of_status(code.status().as_u16(), Some(code.name()))
        } else {
            Outcome::cut_off()
        };
        if let Some(draft) = self.take(outcome) {
            self.log.enqueue(draft);
        }
    }
}

/// Layer around the check of the key: gives each request its [`Audited`], and records what became of it before the
/// response goes out.
pub async fn record(
    State(app): State<AppState>,
    parameters: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("", MatchedPath::as_str);
    let Some(operation) = operations::find(request.method(), path) else {
        // No handler is asked: should there be one, it does not run unrecorded.
        if let Some(refusal) = permission::wrong_method(path) {
            return refusal;
        }
        let cause = format!(
            "{} {path} is not in the table of the audit log",
            request.method()
        );
        return ApiError {
            cause: Some(cause.into()),
            ..ApiError::new(
                Code::Internal,
                "kura does not know how to record this request, and so refuses it",
            )
        }
        .into_response();
    };
    let mut draft = Draft::new(Who::nobody(), operation.action, Outcome::cut_off());
    draft.request = error::request_id(&request).map(|id| record::shortened(&id));
    let proxies = app.config.auth.proxies;
    let peer = peer::address(request.extensions(), request.headers(), proxies);
    draft.peer = peer.map(|address| address.to_string());
    for (name, value) in parameters.iter().flatten() {
        let kind = operations::kind_of(path, name);
        let id = match kind.as_str() {
            // Chosen elsewhere, often of what the document is about.
            EXTERNAL_ID => app.audit.pseudonym(value),
            _ => record::shortened(value),
        };
        draft.target.insert(kind, id);
    }
    let audited = Audited::begin(Arc::clone(&app.audit), operation.class, draft);
    request.extensions_mut().insert(audited.clone());

    let response = next.run(request).await;
    if audited.is_deferred() {
        return response;
    }
    match audited.finish(outcome_of(&response)).await {
        Ok(()) => response,
        Err(unavailable) => ApiError::from(unavailable).into_response(),
    }
}

/// Layer within the check of the key, if there is one: notes who asks, and refuses what could not be recorded.
pub async fn identify(request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    if let Some(audited) = extensions.get::<Audited>() {
        if let Some(principal) = extensions.get::<Principal>() {
            audited.by(principal);
        }
        if let Err(refused) = audited.require() {
            // Kept until the disk takes them again, those would fill the memory.
            audited.discard();
            metrics::counter!("kura_audit_refused_total").increment(1);
            return refused.into_response();
        }
    }
    next.run(request).await
}

/// Whether nobody was recognized, and nothing done: there is no valid key, or someone did not get to sign in.
fn is_turned_away(who: &Who, outcome: &Outcome) -> bool {
    who.principal.is_none() && outcome.result != Ending::Success
}

/// Whether someone tried what they may not. That is recorded whatever it is.
fn is_forbidden(outcome: &Outcome) -> bool {
    outcome.status == Some(StatusCode::FORBIDDEN.as_u16())
}

fn n_of(name: &str) -> String {
    format!("n_{name}")
}

fn outcome_of(response: &Response) -> Outcome {
    let status = response.status();
    let code = response
        .extensions()
        .get::<ApiError>()
        .map(|error| error.code);
    let is_failure = status.is_client_error() || status.is_server_error();
    let code = code.or_else(|| is_failure.then(|| Code::of_status(status)));
    Outcome::of_status(status.as_u16(), code.map(Code::name))
}

impl<S: Send + Sync> FromRequestParts<S> for Audited {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let audited = parts.extensions.get::<Self>().cloned();
        Ok(audited.unwrap_or(Self(None)))
    }
}
