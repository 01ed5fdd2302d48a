//! Tokens that users and keys have spent today, in UTC.
//!
//! They are kept with the user and the key ([`Identity::spend`]), so that a restart forgives nothing; what was spent within
//! the last second is only here, and lost by a crash.

use crate::auth::Principal;
use crate::identity::{Identity, Spent};
use jiff::{Timestamp, tz::TimeZone};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// How often what was spent is written down: not with every request, because that waits for the disk.
const EVERY: Duration = Duration::from_secs(1);

/// Tokens spent today. Clones are the same.
#[derive(Clone)]
pub struct Budgets {
    identity: Identity,
    unwritten: Arc<Mutex<Unwritten>>,
}

#[derive(Default)]
struct Unwritten {
    spent: HashMap<Spender, u64>,
    /// Whether a task will write it.
    is_scheduled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Spender {
    user: Uuid,
    key: Option<Uuid>,
}

impl Budgets {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            unwritten: Arc::default(),
        }
    }

    /// Notes that a principal has spent tokens; that of the operator is not counted.
    pub fn spend(&self, principal: &Principal, tokens: u64) {
        let Some(user) = principal.user().filter(|_| tokens > 0) else {
            return;
        };
        let spender = Spender {
            user: user.id,
            key: principal.key().map(|key| key.id),
        };
        let mut unwritten = self.unwritten();
        *unwritten.spent.entry(spender).or_default() += tokens;
        // Without one the server is stopping, and writes it itself.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !std::mem::replace(&mut unwritten.is_scheduled, true) {
            let budgets = self.clone();
            drop(runtime.spawn(async move {
                tokio::time::sleep(EVERY).await;
                budgets.write().await;
            }));
        }
    }

    /// Returns what a user has spent today, with what `written` says.
    #[must_use]
    pub fn of_user(&self, user: Uuid, written: u64) -> u64 {
        self.sum(|spender| spender.user == user) + written
    }

    /// Returns what a key has spent today, with what `written` says.
    #[must_use]
    pub fn of_key(&self, key: Uuid, written: u64) -> u64 {
        self.sum(|spender| spender.key == Some(key)) + written
    }

    /// Writes down what was spent.
    pub async fn write(&self) {
        let spent: Vec<Spent> = {
            let mut unwritten = self.unwritten();
            unwritten.is_scheduled = false;
            let all = unwritten.spent.drain();
            all.map(|(Spender { user, key }, tokens)| Spent { user, key, tokens })
                .collect()
        };
        if spent.is_empty() {
            return;
        }
        if let Err(error) = self.identity.spend(spent, Timestamp::now()).await {
            // On a full disk people can still ask; they are asked to pay when it can be written again, or not at all.
            tracing::warn!(
                "cannot write down the tokens that were spent: {}",
                crate::error::chain(&error)
            );
        }
    }

    fn sum(&self, is_meant: impl Fn(&Spender) -> bool) -> u64 {
        let unwritten = self.unwritten();
        let meant = unwritten.spent.iter().filter(|(one, _)| is_meant(one));
        meant.map(|(_, tokens)| tokens).sum()
    }

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the seconds until budgets are full again.
#[must_use]
pub fn seconds_left(now: Timestamp) -> u64 {
    let day = now.to_zoned(TimeZone::UTC);
    let tomorrow = day.tomorrow().and_then(|next| next.start_of_day());
    let left = tomorrow.map(|next| now.duration_until(next.timestamp()).as_secs());
    left.ok()
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(1, |seconds| seconds + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_ends_at_midnight() {
        let at = |text: &str| seconds_left(text.parse().unwrap());
        assert_eq!(at("2026-11-30T23:59:50Z"), 11);
        assert_eq!(at("2026-12-01T00:00:00Z"), 86_401);
    }
}
