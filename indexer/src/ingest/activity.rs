//! What ingestion is doing right now, and how fast. Nothing here could be lost by a crash: the catalog has the truth.

use crate::catalog::{Job, JobId, JobState, Reason, Stage};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Over which rates are taken.
const WINDOW: Duration = Duration::from_secs(60);

/// Work done since the data directory was opened; only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Documents that became searchable.
    pub documents: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Chunks that were embedded.
    pub chunks_embedded: u64,
    /// Tokens of their texts.
    pub tokens_embedded: u64,
    /// Chunks that kept a vector which was there already.
    pub chunks_reused: u64,
}

/// Work done per second, over the last minute or since work began, whichever is shorter.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Documents that became searchable.
    pub documents: f64,
    /// Bytes of their files.
    pub bytes: f64,
    /// Chunks that got their vector, be it embedded or reused.
    pub chunks: f64,
    /// Tokens that were embedded.
    pub tokens: f64,
}

/// Why no job is run although some wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Obstacle {
    /// What is wrong.
    pub reason: Reason,
    /// The same as a sentence.
    pub error: String,
    /// Since when.
    pub since: Timestamp,
}

#[derive(Default)]
pub(crate) struct Activity {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    live: HashMap<JobId, Live>,
    totals: Totals,
    /// What was done in which second, oldest first; none older than the window.
    seconds: Vec<(Instant, Totals)>,
    obstacle: Option<Obstacle>,
}

/// A running job.
struct Live {
    stage: Stage,
    n_chunks: u32,
    n_embedded: u32,
    n_reused: u32,
    embedding_since: Instant,
}

impl Activity {
    pub(super) fn begin(&self, id: JobId) {
        let live = Live {
            stage: Stage::Extract,
            n_chunks: 0,
            n_embedded: 0,
            n_reused: 0,
            embedding_since: Instant::now(),
        };
        self.lock().live.insert(id, live);
    }

    pub(super) fn enter(&self, id: JobId, stage: Stage) {
        if let Some(live) = self.lock().live.get_mut(&id) {
            live.stage = stage;
        }
    }

    /// Notes that a job goes on to be embedded, with so many chunks.
    pub(super) fn embed(&self, id: JobId, n_chunks: u32) {
        if let Some(live) = self.lock().live.get_mut(&id) {
            live.stage = Stage::Embed;
            live.n_chunks = n_chunks;
            live.embedding_since = Instant::now();
        }
    }

    /// Notes that a chunk of a job has its vector.
    pub(super) fn embedded(&self, id: JobId, reused: bool) {
        let mut inner = self.lock();
        if let Some(live) = inner.live.get_mut(&id) {
            live.n_embedded += 1;
            live.n_reused += u32::from(reused);
        }
        if reused {
            inner.count(|totals| totals.chunks_reused += 1);
        }
    }

    pub(super) fn count_embedded(&self, n_chunks: usize, n_tokens: usize) {
        self.lock().count(|totals| {
            totals.chunks_embedded += n_chunks as u64;
            totals.tokens_embedded += n_tokens as u64;
        });
    }

    pub(super) fn count_published(&self, n_bytes: u64) {
        self.lock().count(|totals| {
            totals.documents += 1;
            totals.bytes += n_bytes;
        });
    }

    pub(super) fn end(&self, id: JobId) {
        self.lock().live.remove(&id);
    }

    /// Returns whether one of these jobs is in the hands of a stage.
    pub(crate) fn any_live(&self, ids: &[JobId]) -> bool {
        let inner = self.lock();
        ids.iter().any(|id| inner.live.contains_key(id))
    }

    pub(super) fn set_obstacle(&self, found: Option<(Reason, String)>) {
        let mut inner = self.lock();
        let since = match (&found, &inner.obstacle) {
            (Some((reason, _)), Some(known)) if known.reason == *reason => known.since,
            _ => Timestamp::now(),
        };
        inner.obstacle = found.map(|(reason, error)| Obstacle {
            reason,
            error,
            since,
        });
    }

    pub(crate) fn obstacle(&self) -> Option<Obstacle> {
        self.lock().obstacle.clone()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.lock().totals
    }

    pub(crate) fn rates(&self) -> Rates {
        let mut inner = self.lock();
        let now = Instant::now();
        inner.forget(now);
        let Some((first, _)) = inner.seconds.first() else {
            return Rates::default();
        };
        let seconds = now.duration_since(*first).as_secs_f64().max(1.0);
        let sum = |of: fn(&Totals) -> u64| {
            inner.seconds.iter().map(|(_, n)| of(n)).sum::<u64>() as f64 / seconds
        };
        Rates {
            documents: sum(|n| n.documents),
            bytes: sum(|n| n.bytes),
            chunks: sum(|n| n.chunks_embedded + n.chunks_reused),
            tokens: sum(|n| n.tokens_embedded),
        }
    }

    /// Adds to a row of the catalog what is known of the job while it runs.
    pub(crate) fn describe(&self, job: &mut Job) {
        if job.state != JobState::Running {
            return;
        }
        let inner = self.lock();
        let Some(live) = inner.live.get(&job.id) else {
            return;
        };
        job.stage = Some(live.stage);
        job.progress = live.progress();
        job.n_chunks = live.n_chunks;
        job.n_embedded = live.n_embedded;
        job.n_reused = live.n_reused;
        let seconds = live.embedding_since.elapsed().as_secs_f32();
        if live.stage == Stage::Embed && live.n_embedded > 0 && seconds > 0.0 {
            let rate = live.n_embedded as f32 / seconds;
            job.chunks_per_second = Some(rate);
            let left = live.n_chunks.saturating_sub(live.n_embedded) as f32;
            job.eta = Duration::try_from_secs_f32(left / rate).ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn count(&mut self, add: impl Fn(&mut Totals)) {
        add(&mut self.totals);
        let now = Instant::now();
        self.forget(now);
        match self.seconds.last_mut() {
            Some((begun, totals)) if now.duration_since(*begun) < Duration::from_secs(1) => {
                add(totals);
            }
            _ => {
                let mut totals = Totals::default();
                add(&mut totals);
                self.seconds.push((now, totals));
            }
        }
    }

    fn forget(&mut self, now: Instant) {
        self.seconds
            .retain(|(begun, _)| now.duration_since(*begun) <= WINDOW);
    }
}

impl Live {
    fn progress(&self) -> f32 {
        match self.stage {
            Stage::Extract => 0.0,
            Stage::Chunk => 0.05,
            Stage::Embed => 0.1 + 0.8 * self.n_embedded as f32 / self.n_chunks.max(1) as f32,
            Stage::Store => 0.9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn rates_are_those_of_the_work_done() {
        let activity = Activity::default();
        assert_eq!(activity.rates(), Rates::default());
        let id = JobId(Uuid::now_v7());
        activity.begin(id);
        activity.embed(id, 3);
        activity.embedded(id, false);
        activity.count_embedded(1, 40);
        activity.embedded(id, true);
        activity.count_published(1000);
        let totals = Totals {
            documents: 1,
            bytes: 1000,
            chunks_embedded: 1,
            tokens_embedded: 40,
            chunks_reused: 1,
        };
        assert_eq!(activity.totals(), totals);
        // Less than a second has passed, and counts as one.
        let rates = activity.rates();
        assert_eq!(
            (rates.documents, rates.chunks, rates.tokens),
            (1.0, 2.0, 40.0)
        );
    }

    #[test]
    fn an_obstacle_keeps_its_beginning() {
        let activity = Activity::default();
        let full = || Some((Reason::StorageFull, "full".to_owned()));
        activity.set_obstacle(full());
        let since = activity.obstacle().unwrap().since;
        activity.set_obstacle(full());
        assert_eq!(activity.obstacle().unwrap().since, since);
        activity.set_obstacle(None);
        assert_eq!(activity.obstacle(), None);
    }
}
