//! Slows down guessing, by account and by address. In memory: a restart forgives.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures of one account that cost nothing: people mistype.
const FREE_FOR_ACCOUNT: u32 = 5;
/// Longest wait for an account. Not more: whoever knows a name could lock its owner out.
const MAX_FOR_ACCOUNT: Duration = Duration::from_secs(60);
/// Failures of one address that cost nothing: a whole office may share one.
const FREE_FOR_PEER: u32 = 30;
/// Longest wait for an address.
const MAX_FOR_PEER: Duration = Duration::from_secs(15 * 60);
/// A failure counts for so long after the last.
const MEMORY: Duration = Duration::from_secs(30 * 60);
/// Most accounts, and most addresses, that are remembered.
const CAPACITY: usize = 10_000;

/// Counts failed attempts to sign in.
#[derive(Debug, Default)]
pub struct Throttle {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accounts: HashMap<String, Failures>,
    peers: HashMap<IpAddr, Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    n: u32,
    last: Instant,
}

/// An attempt that was let through. It counts as failed from the start, so that many at once gain nothing.
#[derive(Debug)]
#[must_use = "an attempt that succeeds must say so"]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    account: String,
    peer: IpAddr,
}

impl Throttle {
    /// Lets an attempt through, or returns how long to wait. `account` need not exist.
    ///
    /// # Errors
    /// The time to wait.
    pub fn begin(
        &self,
        account: &str,
        peer: IpAddr,
        now: Instant,
    ) -> Result<Attempt<'_>, Duration> {
        // Whoever sends novels as names shall not fill the memory with them.
        let account: String = account.trim().to_lowercase().chars().take(64).collect();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = [
            wait(
                state.accounts.get(&account),
                FREE_FOR_ACCOUNT,
                MAX_FOR_ACCOUNT,
                now,
            ),
            wait(state.peers.get(&peer), FREE_FOR_PEER, MAX_FOR_PEER, now),
        ];
        if let Some(longest) = waits.into_iter().flatten().max() {
            return Err(longest);
        }
        count(&mut state.accounts, account.clone(), now);
        count(&mut state.peers, peer, now);
        Ok(Attempt {
            throttle: self,
            account,
            peer,
        })
    }
}

impl Attempt<'_> {
    /// The attempt was right: the account starts anew, and its address has one failure less.
    pub fn succeeded(self) {
        let mut state = self
            .throttle
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.accounts.remove(&self.account);
        give_back(&mut state.peers, &self.peer);
    }

    /// The attempt was wrong. The next one's wait is counted from now: finding out took a while.
    pub fn failed(self, now: Instant) {
        let mut state = self
            .throttle
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let State { accounts, peers } = &mut *state;
        let known = [accounts.get_mut(&self.account), peers.get_mut(&self.peer)];
        for failures in known.into_iter().flatten() {
            failures.last = failures.last.max(now);
        }
    }

    /// The attempt was neither right nor wrong: it counts for nothing.
    pub fn undecided(self) {
        let mut state = self
            .throttle
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        give_back(&mut state.accounts, &self.account);
        give_back(&mut state.peers, &self.peer);
    }
}

/// Returns how long to wait, if at all: a second after the free failures, twice as long after each further one.
fn wait(known: Option<&Failures>, free: u32, longest: Duration, now: Instant) -> Option<Duration> {
    let failures = known.filter(|known| now.duration_since(known.last) < MEMORY)?;
    let beyond = failures.n.checked_sub(free)?;
    let pause = Duration::from_secs(1 << beyond.min(20)).min(longest);
    let left = pause.checked_sub(now.duration_since(failures.last))?;
    (!left.is_zero()).then_some(left)
}

fn count<K: Hash + Eq + Clone>(known: &mut HashMap<K, Failures>, key: K, now: Instant) {
    if known.len() >= CAPACITY && !known.contains_key(&key) {
        known.retain(|_, failures| now.duration_since(failures.last) < MEMORY);
        if known.len() >= CAPACITY {
            let oldest = known.iter().min_by_key(|(_, failures)| failures.last);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                known.remove(&key);
            }
        }
    }
    let failures = known.entry(key).or_insert(Failures { n: 0, last: now });
    if now.duration_since(failures.last) >= MEMORY {
        failures.n = 0;
    }
    failures.n = failures.n.saturating_add(1);
    failures.last = now;
}

fn give_back<K: Hash + Eq>(known: &mut HashMap<K, Failures>, key: &K) {
    if let Some(failures) = known.get_mut(key) {
        failures.n = failures.n.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn fail(throttle: &Throttle, account: &str, now: Instant) -> Option<Duration> {
        throttle.begin(account, PEER, now).map(drop).err()
    }

    #[test]
    fn an_account_is_slowed_down_more_and_more_and_not_for_ever() {
        let (throttle, mut now) = (Throttle::default(), Instant::now());
        for _ in 0..FREE_FOR_ACCOUNT {
            assert_eq!(fail(&throttle, "taro", now), None);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(fail(&throttle, " TARO ", now), Some(pause));
            // Attempts that are refused do not make it longer.
            assert_eq!(fail(&throttle, "taro", now), Some(pause));
            now += pause;
            assert_eq!(fail(&throttle, "taro", now), None);
        }
        // Others are not held up, and success forgives.
        assert_eq!(fail(&throttle, "hanako", now), None);
        now += MAX_FOR_ACCOUNT;
        throttle.begin("taro", PEER, now).unwrap().succeeded();
        assert_eq!(fail(&throttle, "taro", now), None);
    }

    #[test]
    fn an_address_that_tries_many_names_is_slowed_down() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..FREE_FOR_PEER {
            assert_eq!(fail(&throttle, &format!("user{n}"), now), None);
        }
        assert_eq!(
            fail(&throttle, "another", now),
            Some(Duration::from_secs(1))
        );
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        assert!(throttle.begin("another", elsewhere, now).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_fades() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let mut known = HashMap::new();
        for n in 0..CAPACITY + 10 {
            count(&mut known, n, now + Duration::from_millis(n as u64));
        }
        assert_eq!(known.len(), CAPACITY);
        assert!(known.contains_key(&(CAPACITY + 9)) && !known.contains_key(&0));
        for _ in 0..=FREE_FOR_ACCOUNT + 3 {
            let _pause = fail(&throttle, "taro", now);
        }
        assert_eq!(fail(&throttle, "taro", now + MEMORY), None);
        let late = now + Duration::from_secs(9);
        for _ in 0..FREE_FOR_ACCOUNT {
            throttle.begin("saburo", PEER, now).unwrap().failed(late);
        }
        let pause = Duration::from_secs(1);
        assert_eq!(fail(&throttle, "saburo", late), Some(pause));
        throttle.begin("jiro", PEER, now).unwrap().undecided();
        assert_eq!(throttle.state.lock().unwrap().accounts["jiro"].n, 0);
    }
}
