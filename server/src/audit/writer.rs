//! The thread that writes the log. It takes all that waits and commits it at once, so that many requests share two
//! fsyncs; whoever waits for a record is told when it is durable.
//!
//! What the disk does not take is kept and tried again every second. Until that works the log has a *trouble*: the server
//! refuses to change anything, and what is read meanwhile waits here with the rest.

use super::record::{Draft, Outcome, Who};
use super::refusals::Refusals;
use super::store::Store;
use crate::error::ApiError;
use jiff::{Timestamp, Unit};
use metrics::{counter, gauge, histogram};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Most records of one commit.
const BATCH: usize = 1024;
/// How soon it is tried again after the disk failed.
const RETRY: Duration = Duration::from_secs(1);
/// How often refusals are summed up, when there are any.
const TIDY: Duration = Duration::from_secs(10);
/// How often old segments are looked for.
const RETENTION: Duration = Duration::from_secs(3600);

/// The log takes no records.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit log cannot be written: {0}")]
pub struct Unavailable(pub String);

/// What the thread is asked for.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all messages are the large one"
)]
pub(super) enum Message {
    /// To record.
    Record(
        Draft,
        Timestamp,
        Option<oneshot::Sender<Result<(), Unavailable>>>,
    ),
    /// To add or release a hold.
    Hold {
        name: String,
        release: bool,
        reply: oneshot::Sender<Result<(), ApiError>>,
    },
    /// To say when all before this is done.
    Flush(oneshot::Sender<()>),
}

/// What others may see of the thread's state.
#[derive(Default)]
pub(super) struct Shared {
    seen: Mutex<Seen>,
    pub(super) refusals: Mutex<Refusals>,
}

/// Where the log stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) seq: u64,
    pub(super) hash: String,
    pub(super) holds: BTreeSet<String>,
    /// Why nothing can be written at present.
    pub(super) trouble: Option<String>,
    /// Records that wait for the disk.
    pub(super) waiting: usize,
}

impl Shared {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn show(&self, store: &Store) {
        let head = store.head();
        let mut seen = self.seen();
        (seen.seq, seen.hash, seen.holds) = (head.seq, head.hash.clone(), head.holds.clone());
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        gauge!("kura_audit_unavailable").set(f64::from(u8::from(trouble.is_some())));
        self.seen().trouble = trouble;
    }
}

/// A record that is not yet durable, and who waits for it.
type Waiting = (
    (Draft, Timestamp),
    Option<oneshot::Sender<Result<(), Unavailable>>>,
);

/// Writes until nobody can send any more.
pub(super) fn run(mut store: Store, messages: &Receiver<Message>, shared: &Shared) {
    let mut pending: Vec<Waiting> = Vec::new();
    let mut retry_due = Instant::now();
    // At once at the start.
    let mut retention_due = Instant::now();
    loop {
        if Instant::now() >= retention_due {
            drop_old(&mut store, shared);
            retention_due = Instant::now() + RETENTION;
        }
        let wait = if pending.is_empty() { TIDY } else { RETRY };
        let first = messages.recv_timeout(wait);
        let ended = matches!(first, Err(RecvTimeoutError::Disconnected));
        let mut next = first.ok();
        let mut orders = Vec::new();
        while let Some(message) = next.take() {
            match message {
                Message::Record(draft, at, reply) => pending.push(((draft, at), reply)),
                other @ (Message::Hold { .. } | Message::Flush(_)) => {
                    // In its place among the records.
                    orders.push(other);
                    break;
                }
            }
            if pending.len() < BATCH {
                next = messages.try_recv().ok();
            }
        }
        if let Some(draft) = shared.refusals().summary(Instant::now(), ended) {
            pending.push(((draft, now()), None));
        }
        if ended || Instant::now() >= retry_due {
            retry_due = Instant::now();
            commit(&mut store, &mut pending, shared);
            if !pending.is_empty() {
                retry_due += RETRY;
            }
        } else {
            put_off(&mut pending, shared);
        }
        for order in orders {
            obey(&mut store, order, shared);
        }
        if ended {
            if !pending.is_empty() {
                tracing::error!("{} records of the audit log are lost", pending.len());
            }
            return;
        }
    }
}

/// Returns the time as records have it: finer is of no use to anyone.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Microsecond).unwrap_or(now)
}

fn commit(store: &mut Store, pending: &mut Vec<Waiting>, shared: &Shared) {
    if pending.is_empty() {
        return;
    }
    let (drafts, replies): (Vec<_>, Vec<_>) = pending.drain(..).unzip();
    let begun = Instant::now();
    let written = store.append(&drafts);
    histogram!("kura_audit_commit_duration_seconds").record(begun.elapsed().as_secs_f64());
    let outcome = match written {
        Ok(()) => {
            counter!("kura_audit_records_total").increment(drafts.len() as u64);
            shared.show(store);
            if shared.seen().trouble.is_some() {
                tracing::info!("the audit log can be written again");
            }
            shared.set_trouble(None);
            Ok(())
        }
        Err(error) => {
            let cause = error.to_string();
            if shared.seen().trouble.as_ref() != Some(&cause) {
                tracing::error!("the audit log cannot be written, so changes are refused: {cause}");
            }
            shared.set_trouble(Some(cause.clone()));
            // What was done is recorded as soon as the disk takes it.
            pending.extend(drafts.into_iter().map(|draft| (draft, None)));
            Err(Unavailable(cause))
        }
    };
    shared.seen().waiting = pending.len();
    for reply in replies.into_iter().flatten() {
        // Whoever waited may have gone.
        let _ = reply.send(outcome.clone());
    }
}

/// Tells those who wait that the disk has just failed: to try for each of them what all others wait for, too, would take
/// longer with every one.
fn put_off(pending: &mut [Waiting], shared: &Shared) {
    let mut seen = shared.seen();
    seen.waiting = pending.len();
    let cause = seen.trouble.clone().unwrap_or_default();
    drop(seen);
    for (_, reply) in pending {
        if let Some(reply) = reply.take() {
            let _ = reply.send(Err(Unavailable(cause.clone())));
        }
    }
}

fn obey(store: &mut Store, order: Message, shared: &Shared) {
    match order {
        Message::Hold {
            name,
            release,
            reply,
        } => {
            let done = if release {
                store.release(&name)
            } else {
                store.hold(&name)
            };
            shared.show(store);
            let _ = reply.send(done.map_err(|error| {
                if error.is::<std::io::Error>() {
                    Unavailable(format!("{error:#}")).into()
                } else {
                    ApiError::invalid(format!("{error:#}"))
                }
            }));
        }
        Message::Flush(reply) => {
            let _ = reply.send(());
        }
        Message::Record(..) => {}
    }
}

fn drop_old(store: &mut Store, shared: &Shared) {
    match store.drop_old(now()) {
        Ok(0) => {}
        Ok(n) => {
            shared.show(store);
            tracing::info!("dropped {n} old records of the audit log");
        }
        Err(error) => tracing::error!("old records of the audit log cannot be dropped: {error:#}"),
    }
}

impl Refusals {
    fn draft(n: u64, since: Timestamp, peers: &BTreeSet<String>) -> Draft {
        Draft::new(
            Who::nobody(),
            "auth.refused",
            Outcome::of_status(401, Some("unauthorized")),
        )
        .detail("n", n)
        .detail("since", since.to_string())
        .detail("peers", peers.iter().cloned().collect::<Vec<_>>())
    }

    /// Returns what is to be recorded of the refusals that got no record of their own.
    fn summary(&mut self, now: Instant, at_once: bool) -> Option<Draft> {
        self.take(now, at_once)
            .map(|(n, since, peers)| Self::draft(n, since, &peers))
    }
}
