//! From vectors to the stores: when a batch is due.

use super::{Done, Event, Run, Ticket};
use crate::catalog::{Priority, Stage};
use crate::ingest::store::Finished;
use std::time::{Duration, Instant};

/// After which storing a batch is remarkable.
const SLOW_STORING: Duration = Duration::from_secs(60);

impl Run<'_> {
    /// Has a batch stored, when there is one and its time has come.
    pub(super) fn store(&mut self) {
        if self.storing || self.ready.is_empty() {
            return;
        }
        let n_chunks: usize = self.ready_chunks().sum();
        let urgent = |ticket: &Ticket| {
            let held = self.held.get(ticket);
            held.is_some_and(|held| held.job.priority == Priority::High)
        };
        let due = n_chunks >= self.limits.batch_chunks
            || self.ready.len() >= self.limits.batch_documents
            || self.ready_since.elapsed() >= self.limits.batch_wait
            || self.ready.iter().any(urgent)
            || (self.held.len() == self.ready.len() && self.reading.is_empty() && !self.claiming);
        if !due {
            return;
        }
        let n_documents = self.ready.len().min(self.limits.batch_documents);
        let tickets: Vec<Ticket> = self.ready.drain(..n_documents).collect();
        self.ready_since = Instant::now();
        let mut batch = Vec::with_capacity(tickets.len());
        for ticket in tickets {
            let Some(held) = self.held.remove(&ticket) else {
                continue;
            };
            self.pipeline.activity.enter(held.job.id, Stage::Store);
            (self.report)(Event::Progress(&held.job, Stage::Store, 0.9));
            batch.push(Finished {
                embedded: held.vectors.into_iter().flatten().collect(),
                job: held.job,
                prepared: held.prepared,
                n_reused: held.n_reused,
            });
        }
        (self.storing, self.storing_since) = (true, Instant::now());
        let pipeline = self.pipeline;
        self.start(async move {
            let started = Instant::now();
            let outcome = pipeline.store_batch(batch).await;
            Ok(Done::Stored {
                outcome,
                took: started.elapsed(),
            })
        });
    }

    fn ready_chunks(&self) -> impl Iterator<Item = usize> {
        let held = self.ready.iter().filter_map(|ticket| self.held.get(ticket));
        held.map(|held| held.vectors.len())
    }

    /// A batch that is being stored cannot be taken away from the stores: that would leave them in two minds.
    pub(super) fn complain_of_slow_storing(&mut self) {
        if self.storing && self.storing_since.elapsed() >= SLOW_STORING {
            tracing::error!("a batch has not been stored for a minute; the disk may be stuck");
            self.storing_since = Instant::now();
        }
    }
}
