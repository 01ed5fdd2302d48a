//! One kind of work: so many at the same time, a few that wait, and who comes next.
//!
//! While nobody has had to be refused for a while, requests wait in the order in which they came: a team that searches at
//! the same moment is served. Once someone was refused, more comes in than can be done, and a queue would only make
//! everyone's answer late: then the newest request is served first, those that no place frees for within [`HURRY`] are
//! refused, and what is accepted takes about as long as on an idle server.
//!
//! Fairness: a place that frees goes to whoever has the fewest requests under way, so that someone with a hundred requests
//! cannot keep out someone with one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a request waits while there is too much to do.
const HURRY: Duration = Duration::from_millis(30);
/// How long after a refusal there still is too much to do.
const CALM_AFTER: Duration = Duration::from_secs(1);
/// Requests that wait while there is too much to do, for each place.
const HURRIED_PER_PLACE: usize = 4;
/// How much the latest request counts in the mean time that one takes.
const LATEST: f64 = 0.2;
/// Longest time after which someone is asked to try again, in seconds.
const MAX_RETRY_AFTER: f64 = 60.0;

/// Whose requests are counted together.
pub type Owner = Arc<str>;

/// How large a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Requests worked on at the same time.
    pub places: usize,
    /// Requests that wait while nobody was refused lately.
    pub waiting: usize,
    /// Requests that wait in any case, of owners that have nothing under way while another has several. For work that
    /// takes long: where places free every few milliseconds nobody needs it.
    pub reserved: usize,
}

/// One kind of work.
pub struct Pool {
    name: &'static str,
    size: Size,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    owners: HashMap<Owner, Presence>,
    /// In the order in which they came.
    waiting: Vec<Waiter>,
    next: u64,
    refused_at: Option<Instant>,
    /// Seconds that a place is held, on average.
    mean: Option<f64>,
}

/// What an owner has in a pool.
#[derive(Debug, Default, Clone, Copy)]
struct Presence {
    running: usize,
    waiting: usize,
    /// When it was last given a place, as a running number.
    served: u64,
}

struct Waiter {
    id: u64,
    owner: Owner,
    is_patient: bool,
    granted: oneshot::Sender<Permit>,
}

/// A place. Dropping it gives it to the next.
pub struct Permit {
    /// Absent once it was given on.
    pool: Option<Arc<Pool>>,
    owner: Owner,
    since: Instant,
}

/// There is too much to do. Try again after so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub u64);

impl Pool {
    /// Returns an empty pool.
    #[must_use]
    pub fn new(name: &'static str, size: Size) -> Arc<Self> {
        Arc::new(Self {
            name,
            size,
            state: Mutex::default(),
        })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Takes a place, waiting for one if that is worthwhile.
    ///
    /// # Errors
    /// [`Refused`], when there is too much to do.
    pub async fn enter(self: &Arc<Self>, owner: &Owner) -> Result<Permit, Refused> {
        let (id, is_patient, mut granted) = match self.place(owner, Instant::now()) {
            Placed::Now(permit) => return Ok(permit),
            Placed::Waiting {
                id,
                is_patient,
                granted,
            } => (id, is_patient, granted),
        };
        let _leaving = Leaving {
            pool: Arc::downgrade(self),
            id,
        };
        let refuse = || self.state().refuse(self.size, Instant::now());
        if is_patient {
            return granted.await.map_err(|_| refuse());
        }
        match tokio::time::timeout(HURRY, &mut granted).await {
            Ok(permit) => permit.map_err(|_| refuse()),
            // It may have come at the last moment.
            Err(_) => granted.try_recv().map_err(|_| refuse()),
        }
    }

    fn place(self: &Arc<Self>, owner: &Owner, now: Instant) -> Placed {
        let mut state = self.state();
        let placed = if state.running < self.size.places && state.waiting.is_empty() {
            Placed::Now(self.grant(&mut state, owner, now))
        } else {
            let is_patient = state.may_be_patient(owner, self.size, now);
            let hurried = state.waiting.iter().filter(|one| !one.is_patient).count();
            if !is_patient && hurried >= self.size.places * HURRIED_PER_PLACE {
                state.push_out();
            }
            let (granted, receiver) = oneshot::channel();
            let id = state.queue(owner, is_patient, granted);
            Placed::Waiting {
                id,
                is_patient,
                granted: receiver,
            }
        };
        self.measure(&state);
        placed
    }

    fn grant(self: &Arc<Self>, state: &mut State, owner: &Owner, now: Instant) -> Permit {
        state.running += 1;
        state.next += 1;
        let served = state.next;
        let presence = state.owners.entry(Arc::clone(owner)).or_default();
        presence.running += 1;
        presence.served = served;
        Permit {
            pool: Some(Arc::clone(self)),
            owner: Arc::clone(owner),
            since: now,
        }
    }

    /// Takes a place back and gives it to who comes next.
    fn release(self: &Arc<Self>, owner: &Owner, held: Duration) {
        let mut state = self.state();
        state.leave(owner);
        let held = held.as_secs_f64();
        state.mean = Some(
            state
                .mean
                .map_or(held, |mean| mean + LATEST * (held - mean)),
        );
        while state.running < self.size.places {
            let Some(waiter) = state.pop() else { break };
            let permit = self.grant(&mut state, &waiter.owner, Instant::now());
            if let Err(mut unused) = waiter.granted.send(permit) {
                // Who waited has gone.
                unused.pool = None;
                state.leave(&waiter.owner);
            }
        }
        self.measure(&state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn measure(&self, state: &State) {
        metrics::gauge!("kura_pool_running", "pool" => self.name).set(state.running as f64);
        metrics::gauge!("kura_pool_waiting", "pool" => self.name).set(state.waiting.len() as f64);
    }
}

enum Placed {
    Now(Permit),
    Waiting {
        id: u64,
        is_patient: bool,
        granted: oneshot::Receiver<Permit>,
    },
}

impl State {
    fn is_calm(&self, now: Instant) -> bool {
        self.refused_at
            .is_none_or(|at| now.saturating_duration_since(at) >= CALM_AFTER)
    }

    /// Returns whether a request may wait for as long as it takes.
    fn may_be_patient(&self, owner: &Owner, size: Size, now: Instant) -> bool {
        let patient = self.waiting.iter().filter(|one| one.is_patient);
        if self.is_calm(now) && patient.clone().count() < size.waiting {
            return true;
        }
        let has_none = !self.owners.contains_key(owner);
        let is_crowded = self
            .owners
            .values()
            .any(|one| one.running + one.waiting > 1);
        let of_others_like_it = patient.filter(|one| self.presence(&one.owner).running == 0);
        has_none && is_crowded && of_others_like_it.count() < size.reserved
    }

    fn queue(&mut self, owner: &Owner, is_patient: bool, granted: oneshot::Sender<Permit>) -> u64 {
        self.next += 1;
        self.owners.entry(Arc::clone(owner)).or_default().waiting += 1;
        self.waiting.push(Waiter {
            id: self.next,
            owner: Arc::clone(owner),
            is_patient,
            granted,
        });
        self.next
    }

    /// Takes out who comes next: of the owners with the fewest requests under way, the patient before the hurried, those
    /// served longest ago first; then the patient in their order, of the hurried the latest.
    fn pop(&mut self) -> Option<Waiter> {
        let rank = |waiter: &Waiter| {
            let Presence {
                running, served, ..
            } = self.presence(&waiter.owner);
            let order = if waiter.is_patient {
                waiter.id
            } else {
                u64::MAX - waiter.id
            };
            (running, !waiter.is_patient, served, order)
        };
        let next = self.waiting.iter().min_by_key(|waiter| rank(waiter))?.id;
        self.take(next)
    }

    /// Refuses the hurried request that has waited longest, of whoever has most that wait.
    fn push_out(&mut self) {
        let hurried = self.waiting.iter().filter(|one| !one.is_patient);
        let last = hurried.max_by_key(|one| (self.presence(&one.owner).waiting, u64::MAX - one.id));
        if let Some(id) = last.map(|one| one.id) {
            // Its sender is dropped, which tells it.
            drop(self.take(id));
        }
    }

    fn take(&mut self, id: u64) -> Option<Waiter> {
        let at = self.waiting.iter().position(|one| one.id == id)?;
        let waiter = self.waiting.remove(at);
        self.change(&waiter.owner, |presence| presence.waiting -= 1);
        Some(waiter)
    }

    fn leave(&mut self, owner: &Owner) {
        self.running -= 1;
        self.change(owner, |presence| presence.running -= 1);
    }

    fn presence(&self, owner: &Owner) -> Presence {
        self.owners.get(owner).copied().unwrap_or_default()
    }

    fn change(&mut self, owner: &Owner, change: impl FnOnce(&mut Presence)) {
        if let Some(presence) = self.owners.get_mut(owner) {
            change(presence);
            if presence.running == 0 && presence.waiting == 0 {
                self.owners.remove(owner);
            }
        }
    }

    fn refuse(&mut self, size: Size, now: Instant) -> Refused {
        self.refused_at = Some(now);
        let before = (self.waiting.len() + 1) as f64 / size.places.max(1) as f64;
        let seconds = (self.mean.unwrap_or(0.0) * before).ceil();
        // In range: it is clamped.
        Refused(seconds.clamp(1.0, MAX_RETRY_AFTER) as u64)
    }
}

/// Takes a request out of the queue when nobody waits for it any more.
struct Leaving {
    pool: Weak<Pool>,
    id: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            let mut state = pool.state();
            drop(state.take(self.id));
            pool.measure(&state);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.release(&self.owner, self.since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn pool(places: usize, waiting: usize, reserved: usize) -> Arc<Pool> {
        let size = Size {
            places,
            waiting,
            reserved,
        };
        Pool::new("test", size)
    }

    fn owner(name: &str) -> Owner {
        name.into()
    }

    fn is_empty(pool: &Pool) -> bool {
        let state = pool.state();
        state.running == 0 && state.waiting.is_empty() && state.owners.is_empty()
    }

    #[tokio::test]
    async fn who_waits_comes_in_its_turn_and_leaves_nothing_behind() {
        let pool = pool(1, 3, 0);
        let a = owner("a");
        let first = pool.enter(&a).await.ok().unwrap();
        let mut second = Box::pin(pool.enter(&a));
        let mut third = Box::pin(pool.enter(&a));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        // A calm pool has time.
        tokio::time::sleep(HURRY * 3).await;
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        let second = second.await.ok().unwrap();
        // Who goes away while waiting holds up nobody.
        let fourth = Box::pin(pool.enter(&a));
        drop(third);
        drop(second);
        drop(fourth.await.ok().unwrap());
        assert!(is_empty(&pool));
    }

    #[tokio::test]
    async fn too_much_is_refused_soon_and_the_newest_served() {
        let pool = pool(1, 1, 0);
        let held = pool.enter(&owner("a")).await.ok().unwrap();
        let mut patient = Box::pin(async { pool.enter(&owner("b")).await });
        assert!((&mut patient).now_or_never().is_none());
        let begun = Instant::now();
        let refused = pool.enter(&owner("c")).await.err().unwrap();
        assert!(begun.elapsed() >= HURRY && refused == Refused(1));
        // From now on nobody waits for long.
        let mut older = Box::pin(async { pool.enter(&owner("d")).await });
        let mut newer = Box::pin(async { pool.enter(&owner("e")).await });
        assert!((&mut older).now_or_never().is_none());
        assert!((&mut newer).now_or_never().is_none());
        drop(held);
        drop(patient.await.ok().unwrap());
        let newer = (&mut newer).now_or_never().unwrap().ok().unwrap();
        assert!(older.await.is_err());
        drop(newer);
        assert!(is_empty(&pool));
    }

    #[tokio::test]
    async fn one_owner_with_many_requests_does_not_keep_out_another() {
        let pool = pool(1, 4, 1);
        let (many, few) = (owner("many"), owner("few"));
        let held = pool.enter(&many).await.ok().unwrap();
        let mut flood: Vec<_> = (0..4).map(|_| Box::pin(pool.enter(&many))).collect();
        for one in &mut flood {
            assert!(one.now_or_never().is_none());
        }
        assert!(pool.enter(&many).await.is_err());
        // The queue is full, people are refused, and yet:
        let mut other = Box::pin(pool.enter(&few));
        assert!((&mut other).now_or_never().is_none());
        tokio::time::sleep(HURRY * 3).await;
        drop(held);
        let served = (&mut other).now_or_never().unwrap().ok().unwrap();
        drop(served);
        drop(flood);
        drop(other);
        assert!(is_empty(&pool));
    }

    #[tokio::test]
    async fn a_flood_takes_no_more_memory_than_a_few_requests() {
        let pool = pool(1, 2, 0);
        let held = pool.enter(&owner("a")).await.ok().unwrap();
        let mut flood = Vec::new();
        for n in 0..1000 {
            let mut one = Box::pin({
                let pool = Arc::clone(&pool);
                async move { pool.enter(&owner(&format!("owner {n}"))).await }
            });
            let refused = (&mut one).now_or_never();
            assert!(refused.is_none());
            flood.push(one);
            assert!(pool.state().waiting.len() <= 2 + HURRIED_PER_PLACE);
        }
        let outcomes = futures::future::join_all(flood.into_iter().skip(2)).await;
        assert!(outcomes.iter().all(Result::is_err));
        drop(held);
        assert!(is_empty(&pool));
    }

    #[test]
    fn the_time_to_try_again_is_that_of_the_work_before() {
        let pool = pool(2, 0, 0);
        let mut state = State {
            mean: Some(9.0),
            ..State::default()
        };
        assert_eq!(state.refuse(pool.size, Instant::now()), Refused(5));
        state.mean = Some(1e9);
        assert_eq!(state.refuse(pool.size, Instant::now()), Refused(60));
    }
}
