//! So many requests a minute, for each user or key.

use super::pool::Owner;
use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who has been idle for so long has its full quota again and need not be remembered.
const MEMORY: Duration = Duration::from_secs(60);
/// Beyond so many, those who have been idle are forgotten.
const MANY: usize = 1_000;

type Limiter = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, StateInformationMiddleware>;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// All requests.
    Requests,
    /// Questions.
    Questions,
}

/// Counts requests.
#[derive(Default)]
pub struct Rates {
    known: Mutex<HashMap<(Owner, Counted), Entry>>,
}

struct Entry {
    per_minute: NonZeroU32,
    limiter: Limiter,
    used_at: Instant,
}

/// How an owner stands after a request that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests a minute.
    pub per_minute: u32,
    /// Requests that it can send at once.
    pub remaining: u32,
}

impl Rates {
    /// Counts a request. A minute's requests may come at once; then one more every so many seconds.
    ///
    /// # Errors
    /// How long to wait, when there were too many.
    pub fn count(
        &self,
        owner: &Owner,
        counted: Counted,
        per_minute: NonZeroU32,
    ) -> Result<Standing, Duration> {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MANY {
            known.retain(|_, entry| now.duration_since(entry.used_at) < MEMORY);
        }
        let entry = known
            .entry((owner.clone(), counted))
            .or_insert_with(|| Entry::new(per_minute, now));
        if entry.per_minute != per_minute {
            *entry = Entry::new(per_minute, now);
        }
        entry.used_at = now;
        match entry.limiter.check() {
            Ok(state) => Ok(Standing {
                per_minute: per_minute.get(),
                remaining: state.remaining_burst_capacity(),
            }),
            Err(not_until) => Err(not_until.wait_time_from(MonotonicClock.now())),
        }
    }
}

impl Entry {
    fn new(per_minute: NonZeroU32, now: Instant) -> Self {
        let limiter = RateLimiter::direct_with_clock(Quota::per_minute(per_minute), MonotonicClock);
        Self {
            per_minute,
            limiter: limiter.with_middleware(),
            used_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_requests_may_come_at_once_and_no_more() {
        let (rates, few) = (Rates::default(), NonZeroU32::new(3).unwrap());
        let (a, b): (Owner, Owner) = ("a".into(), "b".into());
        let count = |owner, counted, n| rates.count(owner, counted, n);
        for remaining in [2, 1, 0] {
            let standing = Standing {
                per_minute: 3,
                remaining,
            };
            assert_eq!(count(&a, Counted::Requests, few), Ok(standing));
        }
        let wait = count(&a, Counted::Requests, few).unwrap_err();
        assert!(wait > Duration::from_secs(15) && wait <= Duration::from_secs(20));
        // Others, and other things, are counted by themselves.
        assert!(count(&b, Counted::Requests, few).is_ok());
        assert!(count(&a, Counted::Questions, few).is_ok());
        // A new limit counts at once.
        assert!(count(&a, Counted::Requests, NonZeroU32::new(9).unwrap()).is_ok());
    }
}
