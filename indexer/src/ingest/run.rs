//! Jobs on their way through the stages, many at a time.
//!
//! One loop decides, and does nothing that takes long: files are read, texts embedded and batches stored beside it, and
//! it is told when they are done. Between the stages lie bounded queues: what has been read and not yet embedded, and
//! what has been embedded and not yet stored. Whoever is ahead waits.
//!
//! A document is embedded in pieces, and pieces of different documents take turns, so that a large document holds up no
//! other. The vectors of a large one are kept in the catalog piece by piece, where nobody sees them before it is
//! published: memory stays bounded, and after a crash they are there.
//!
//! `reading`, `embedding` and `storing` have the run's three parts.

mod embedding;
mod reading;
mod storing;

use super::embed::{Embedded, Outcome};
use super::prepare::{Attempt, Prepared, Trouble};
use crate::catalog::{
    Catalog, Claim, Job, JobId, JobState, Priority, Reason, Retry, Stage, TextHash,
};
use crate::pipeline::Pipeline;
use crate::{Error, Result};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bounds of the queues between the stages, and how long a stage may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Files read and cut at the same time: more than there are workers, so that each has its next file at once.
    pub readers: usize,
    /// Bytes of files being read and of texts read, until they are stored; of a large one only `large_bytes` count.
    pub held_bytes: u64,
    /// Documents read and not yet stored.
    pub held_documents: usize,
    /// Chunks without a vector at which no further file is read.
    pub ahead_chunks: usize,
    /// A file larger than this is read, and its text held, alone among its like.
    pub large_bytes: u64,
    /// Chunks given to the embedder in one call.
    pub call_chunks: usize,
    /// Calls of the embedder at the same time, so that it has the next when it is done with one.
    pub calls: usize,
    /// Chunks of a document that are looked up, embedded and, of a large document, kept together.
    pub piece_chunks: usize,
    /// Pieces of a document under way; a document with more is a large one.
    pub pieces: usize,
    /// Chunks waiting at which a batch is stored.
    pub batch_chunks: usize,
    /// Documents waiting at which a batch is stored; also most documents of one.
    pub batch_documents: usize,
    /// How long a document may wait for others to be stored with.
    pub batch_wait: Duration,
    /// How long reading a file may take before it is given up.
    pub reading_lease: Duration,
    /// How long a call of the embedder may take before it is given up.
    pub embedding_lease: Duration,
    /// Attempts at a job whose trouble may pass.
    pub attempts: u32,
    /// Wait before the second attempt; it doubles with each further one.
    pub backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            readers: (2 * cores).clamp(2, 16),
            held_bytes: 64 << 20,
            held_documents: 512,
            ahead_chunks: 1024,
            large_bytes: 16 << 20,
            call_chunks: 128,
            calls: 2,
            piece_chunks: 256,
            pieces: 4,
            batch_chunks: 256,
            batch_documents: 128,
            batch_wait: Duration::from_secs(5),
            reading_lease: Duration::from_secs(10 * 60),
            embedding_lease: Duration::from_secs(15 * 60),
            attempts: 3,
            backoff: Duration::from_secs(5),
        }
    }
}

/// What a run tells about.
#[derive(Debug)]
pub enum Event<'e> {
    /// A job advanced; how far it is over all stages, 0 to 1.
    Progress(&'e Job, Stage, f32),
    /// A stage of a job, or of a batch of them, has taken so long.
    Took(Stage, Duration),
    /// A job is over, or is queued for another attempt.
    Ended(&'e Job),
}

/// How often the queue is looked at for what came meanwhile, and jobs for whether they are still wanted.
const TICK: Duration = Duration::from_millis(500);

impl Pipeline {
    /// Runs jobs until none is due, or until `stop`; what is being stored then is stored first. One run at a time: a second
    /// one waits for the first.
    ///
    /// # Errors
    /// Only when kura itself fails; the jobs are then queued again, with the reason.
    pub async fn run_jobs(
        &self,
        limits: &Limits,
        stop: impl Future<Output = ()> + Send,
        report: &(dyn Fn(Event<'_>) + Send + Sync),
    ) -> Result<()> {
        let _alone = self.running.lock().await;
        self.take_over().await?;
        let mut run = Run::new(self, limits, report);
        let outcome = run.work(stop).await;
        run.wind_down(outcome.as_ref().err()).await?;
        let obstacle = outcome
            .as_ref()
            .err()
            .map(|error| (error.reason(), error.to_string()));
        self.activity.set_obstacle(obstacle);
        outcome?;
        // What a delete that was cut off has left.
        self.drop_deleted().await?;
        self.index_attributes().await
    }

    /// Queues again what an earlier run left running that did not come to its end.
    async fn take_over(&self) -> Result<()> {
        let n = self
            .catalog(|catalog| {
                let left: Vec<JobId> = catalog.running_jobs()?.into_iter().collect();
                let why = "the run that worked on it did not come to its end";
                catalog.requeue(&left, Some((Reason::Internal, why)))
            })
            .await?;
        if n > 0 {
            tracing::warn!(jobs = n, "took over jobs that were left unfinished");
        }
        Ok(())
    }
}

/// Names a document that is held. Not its job: one that was cancelled and retried may be held twice for a moment.
type Ticket = u64;

/// A document between reading and storing.
struct Held {
    job: Job,
    prepared: Prepared,
    /// By ordinal, until they are kept; those of chunks before the open pieces and after are absent.
    vectors: Vec<Option<Arc<Embedded>>>,
    /// First chunk that is in no piece yet.
    next: usize,
    /// By first ordinal: chunks of the piece that have no vector yet.
    open: HashMap<usize, usize>,
    /// Chunks that have a vector.
    n_resolved: usize,
    n_reused: u32,
    /// Whether its vectors are kept piece by piece.
    piecewise: bool,
}

enum Done {
    Claimed {
        outcome: Result<Vec<Job>>,
        claim: Claim,
    },
    Read {
        job: Job,
        outcome: Box<Attempt<Option<Prepared>>>,
    },
    LookedUp {
        ticket: Ticket,
        first: usize,
        known: HashMap<TextHash, Embedded>,
    },
    Called {
        hashes: Vec<TextHash>,
        outcomes: Vec<Outcome>,
        n_tokens: usize,
        took: Duration,
    },
    Kept {
        ticket: Ticket,
        first: usize,
    },
    Stored {
        outcome: Result<Vec<Job>>,
        took: Duration,
    },
    /// Which jobs are still running, and of which that was asked.
    Wanted {
        asked: Vec<(Ticket, JobId)>,
        running: HashSet<JobId>,
    },
    Settled(Job),
}

struct Run<'a> {
    pipeline: &'a Pipeline,
    limits: &'a Limits,
    report: &'a (dyn Fn(Event<'_>) + Send + Sync),
    under_way: FuturesUnordered<BoxFuture<'a, Result<Done>>>,
    /// Every job taken and not yet settled.
    mine: HashSet<JobId>,
    /// Sizes of the files being read.
    reading: HashMap<JobId, u64>,
    held: HashMap<Ticket, Held>,
    last_ticket: Ticket,
    /// Texts without a vector, and whose chunks wait for it.
    missing: HashMap<TextHash, Vec<(Ticket, usize)>>,
    /// Those of them that no call has taken yet, in the order in which they will be.
    line: BTreeMap<(Reverse<Priority>, u64), TextHash>,
    n_lined_up: u64,
    /// What was embedded and may not yet be found in the catalog, latest first.
    fresh: [HashMap<TextHash, Arc<Embedded>>; 3],
    /// Documents all of whose chunks have their vector.
    ready: Vec<Ticket>,
    ready_since: Instant,
    n_lookups: usize,
    n_calls: usize,
    claiming: bool,
    storing: bool,
    /// When it began, or was last complained about.
    storing_since: Instant,
    /// Nothing was due when the queue was last looked at.
    dry: bool,
    /// Nothing urgent was.
    no_urgent: bool,
    /// It was not looked at for large files.
    larger_wait: bool,
}

impl<'a> Run<'a> {
    fn new(
        pipeline: &'a Pipeline,
        limits: &'a Limits,
        report: &'a (dyn Fn(Event<'_>) + Send + Sync),
    ) -> Self {
        Self {
            pipeline,
            limits,
            report,
            under_way: FuturesUnordered::new(),
            mine: HashSet::new(),
            reading: HashMap::new(),
            held: HashMap::new(),
            last_ticket: 0,
            missing: HashMap::new(),
            line: BTreeMap::new(),
            n_lined_up: 0,
            fresh: Default::default(),
            ready: Vec::new(),
            ready_since: Instant::now(),
            n_lookups: 0,
            n_calls: 0,
            claiming: false,
            storing: false,
            storing_since: Instant::now(),
            dry: false,
            no_urgent: false,
            larger_wait: false,
        }
    }

    async fn work(&mut self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        tokio::pin!(stop);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.claim();
            self.call();
            self.store();
            if self.under_way.is_empty() {
                if std::mem::take(&mut self.larger_wait) {
                    self.dry = false;
                    continue;
                }
                if !self.claim_suspect().await? {
                    return Ok(());
                }
            }
            tokio::select! {
                () = &mut stop => return Ok(()),
                Some(done) = self.under_way.next() => self.advance(done?)?,
                _ = tick.tick() => {
                    (self.dry, self.no_urgent) = (false, false);
                    self.look_who_is_wanted();
                    self.complain_of_slow_storing();
                }
            }
        }
    }

    /// Lets what is being stored and taken come to its end, and queues again all that is not done.
    async fn wind_down(&mut self, error: Option<&Error>) -> Result<()> {
        let mut storing = Ok(());
        while self.storing || self.claiming {
            match self.under_way.next().await {
                Some(Ok(done @ Done::Stored { .. })) => storing = self.advance(done),
                Some(Ok(Done::Claimed { outcome, .. })) => {
                    self.claiming = false;
                    self.mine.extend(outcome.iter().flatten().map(|job| job.id));
                }
                Some(_) => {}
                None => break,
            }
        }
        self.under_way.clear();
        for id in &self.mine {
            self.pipeline.activity.end(*id);
        }
        let left: Vec<JobId> = self.mine.drain().collect();
        let why = error.map(|error| (error.reason(), error.to_string()));
        self.pipeline
            .catalog(move |catalog| {
                let why = why
                    .as_ref()
                    .map(|(reason, error)| (*reason, error.as_str()));
                catalog.requeue(&left, why)
            })
            .await?;
        // Another error is on its way already.
        if error.is_some() { Ok(()) } else { storing }
    }

    fn start(&mut self, work: impl Future<Output = Result<Done>> + Send + 'a) {
        self.under_way.push(Box::pin(work));
    }

    fn advance(&mut self, done: Done) -> Result<()> {
        match done {
            Done::Claimed { outcome, claim } => {
                self.claiming = false;
                let jobs = outcome?;
                let large = self.limits.large_bytes;
                let one_is_large = jobs.iter().any(|job| job.n_bytes > large);
                match claim.priority {
                    Priority::High => self.no_urgent = jobs.is_empty(),
                    Priority::Low | Priority::Normal => {
                        self.dry = jobs.len() < claim.limit;
                        self.larger_wait = self.dry && (one_is_large || claim.max_bytes < u64::MAX);
                    }
                }
                for job in jobs {
                    self.read(job);
                }
            }
            Done::Read { job, outcome } => {
                self.reading.remove(&job.id);
                match *outcome {
                    Ok(Some(prepared)) => self.hold(job, prepared),
                    Ok(None) => self.refuse(
                        &job,
                        Reason::Replaced,
                        "the document was deleted or replaced meanwhile",
                    ),
                    Err(Trouble::Job(reason, error)) => self.refuse(&job, reason, &error),
                    Err(Trouble::All(error)) => return Err(*error),
                }
            }
            Done::LookedUp {
                ticket,
                first,
                known,
            } => {
                self.n_lookups -= 1;
                self.resolve_or_line_up(ticket, first, known);
            }
            Done::Called {
                hashes,
                outcomes,
                n_tokens,
                took,
            } => {
                self.n_calls -= 1;
                (self.report)(Event::Took(Stage::Embed, took));
                self.take_vectors(hashes, outcomes, n_tokens);
            }
            Done::Kept { ticket, first } => {
                if let Some(held) = self.held.get_mut(&ticket) {
                    held.open.remove(&first);
                    self.open_pieces(ticket);
                }
            }
            Done::Stored { outcome, took } => {
                self.storing = false;
                (self.report)(Event::Took(Stage::Store, took));
                // Files that lie in what was stored wait now.
                (self.dry, self.no_urgent) = (false, false);
                for job in &outcome? {
                    self.settle(job);
                }
                self.age_fresh();
            }
            Done::Wanted { asked, running } => {
                for (ticket, id) in asked.iter().filter(|(_, id)| !running.contains(id)) {
                    if self.drop_held(*ticket).is_some() {
                        self.mine.remove(id);
                        self.pipeline.activity.end(*id);
                    }
                }
            }
            Done::Settled(job) => self.settle(&job),
        }
        Ok(())
    }

    /// Ends a job that cannot go on, or has it tried again later, as its reason and its attempts so far are.
    fn refuse(&mut self, job: &Job, reason: Reason, error: &str) {
        let (id, error, attempts) = (job.id, error.to_owned(), job.attempts + 1);
        let again = match reason.retry() {
            Retry::Never => false,
            Retry::Few | Retry::Always => attempts < self.limits.attempts,
        };
        let wait = self.limits.backoff * 2_u32.saturating_pow(attempts - 1).min(1000);
        let pipeline = self.pipeline;
        self.start(async move {
            let job = pipeline
                .catalog(move |catalog| {
                    if again {
                        catalog.retry_later(id, reason, &error, wait)?;
                    } else {
                        catalog.fail_job(id, reason, &error)?;
                    }
                    catalog.job(id)
                })
                .await?;
            Ok(Done::Settled(job))
        });
    }

    fn settle(&mut self, job: &Job) {
        self.mine.remove(&job.id);
        self.pipeline.activity.end(job.id);
        (self.report)(Event::Ended(job));
    }

    fn drop_held(&mut self, ticket: Ticket) -> Option<Held> {
        self.ready.retain(|ready| *ready != ticket);
        self.held.remove(&ticket)
    }

    fn look_who_is_wanted(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let asked = self
            .held
            .iter()
            .map(|(ticket, held)| (*ticket, held.job.id));
        let asked = asked.collect();
        let pipeline = self.pipeline;
        self.start(async move {
            let running = pipeline.catalog(Catalog::running_jobs).await?;
            Ok(Done::Wanted { asked, running })
        });
    }
}

impl Held {
    fn n_bytes(&self) -> u64 {
        self.prepared.chunks.text.len() as u64
    }
}

impl Pipeline {
    /// Runs all jobs that are due. Returns those that ended, as they are then.
    ///
    /// `progress` is told a job, its stage and how far it is, 0 to 1.
    ///
    /// # Errors
    /// Those of [`Pipeline::run_jobs`].
    pub async fn run_queued(
        &self,
        progress: &(dyn Fn(&Job, Stage, f32) + Send + Sync),
    ) -> Result<Vec<Job>> {
        let ended = std::sync::Mutex::new(Vec::new());
        let report = |event: Event<'_>| match event {
            Event::Progress(job, stage, fraction) => progress(job, stage, fraction),
            Event::Ended(job) if matches!(job.state, JobState::Done | JobState::Failed) => ended
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(job.clone()),
            Event::Ended(_) | Event::Took(..) => {}
        };
        self.run_jobs(&Limits::default(), std::future::pending(), &report)
            .await?;
        Ok(ended
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
