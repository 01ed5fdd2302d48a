//! How refusals for lack of a key are recorded: one by one while there are few, summed up when there are many, so that
//! someone without a key cannot fill the disk.

use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Refusals that are recorded one by one at a time of rest.
const BURST: f64 = 100.0;
/// How soon there is room for one more.
const PER_RECORD: Duration = Duration::from_secs(10);
/// What a sum covers.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that a sum names.
const PEERS: usize = 10;

/// A budget, and the refusals beyond it.
pub(super) struct Refusals {
    budget: f64,
    refilled: Option<Instant>,
    beyond: Option<Beyond>,
}

struct Beyond {
    n: u64,
    begun: Instant,
    since: Timestamp,
    peers: BTreeSet<String>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            budget: BURST,
            refilled: None,
            beyond: None,
        }
    }
}

impl Refusals {
    /// Returns whether a refusal gets a record of its own; else it is counted.
    pub(super) fn admit(&mut self, now: Instant, peer: Option<&str>) -> bool {
        let since = self.refilled.map(|at| now.saturating_duration_since(at));
        let gained = since.map_or(0.0, |since| since.as_secs_f64() / PER_RECORD.as_secs_f64());
        self.budget = (self.budget + gained).min(BURST);
        self.refilled = Some(now);
        if self.budget >= 1.0 {
            self.budget -= 1.0;
            return true;
        }
        let beyond = self.beyond.get_or_insert_with(|| Beyond {
            n: 0,
            begun: now,
            since: Timestamp::now(),
            peers: BTreeSet::new(),
        });
        beyond.n += 1;
        if let Some(peer) = peer.filter(|_| beyond.peers.len() < PEERS) {
            beyond.peers.insert(peer.to_owned());
        }
        false
    }

    /// Returns number, begin and addresses of the refusals counted, once they cover a window, or `at_once`.
    pub(super) fn take(
        &mut self,
        now: Instant,
        at_once: bool,
    ) -> Option<(u64, Timestamp, BTreeSet<String>)> {
        let due =
            |beyond: &mut Beyond| at_once || now.saturating_duration_since(beyond.begun) >= WINDOW;
        let Beyond {
            n, since, peers, ..
        } = self.beyond.take_if(due)?;
        Some((n, since, peers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_one_record_a_minute_and_a_few_of_their_own() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let (mut own, mut sums, mut counted) = (0, 0, 0);
        // A thousand a second for ten minutes.
        for ms in 0..600_000_u64 {
            let now = start + Duration::from_millis(ms);
            own += u64::from(refusals.admit(now, Some(&format!("10.0.0.{}", ms % 50))));
            if let Some((n, _, peers)) = refusals.take(now, false) {
                assert_eq!(peers.len(), PEERS);
                sums += 1;
                counted += n;
            }
        }
        counted += refusals.take(start, true).unwrap().0;
        assert_eq!(own + counted, 600_000);
        assert!((100..=165).contains(&own), "{own}");
        assert!((9..=10).contains(&sums), "{sums}");
        assert!(refusals.take(start, true).is_none());
    }
}
