//! The threads that run forward passes, and the queue before them.
//!
//! Callers hand in token sequences and wait. Sequences of one call are sorted by length and cut into batches of a
//! bounded number of tokens, which any thread may take. Queries go before documents; on a CPU they have threads of
//! their own, which the threads for documents yield to, so that a search does not wait for an ingest. A batch nobody
//! waits for anymore is dropped.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::tokenizer::Sequence;
use crate::{Error, Result};

/// A forward pass: one output per sequence, in order.
pub(crate) type Forward<T> = dyn Fn(&[&Sequence]) -> Result<Vec<T>> + Send + Sync;

/// Queries that may wait; beyond that callers are told to come back later.
const MAX_URGENT: usize = 256;
/// Batches of documents that may wait, per thread; beyond that callers wait before the queue.
const QUEUED_PER_THREAD: usize = 4;

/// How batches are cut and run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchConfig {
    pub(crate) threads: usize,
    pub(crate) max_batch_tokens: usize,
    /// Sequences are padded to the longest of their batch, which counts.
    pub(crate) padded: bool,
    /// A call's sequences go to all threads, however few they are: for a caller that somebody waits for.
    pub(crate) spread: bool,
    /// Queries have as many threads of their own, before which those for documents stand back.
    pub(crate) lanes: bool,
}

/// What a thread takes from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Urgent,
    Patient,
    Both,
}

/// Owns the threads; they end when it is dropped.
pub(crate) struct Batcher<T> {
    shared: Arc<Shared<T>>,
    room: Arc<Semaphore>,
    config: BatchConfig,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
    urgent_changed: Condvar,
}

struct Queue<T> {
    urgent: VecDeque<Batch<T>>,
    patient: VecDeque<Batch<T>>,
    closed: bool,
}

struct Batch<T> {
    request: Arc<Mutex<Request<T>>>,
    /// Position in the request, and what to run.
    items: Vec<(usize, Sequence)>,
    _room: Option<OwnedSemaphorePermit>,
}

struct Request<T> {
    /// By position; absent until its batch has run.
    outputs: Vec<Option<T>>,
    /// Absent once answered.
    reply: Option<oneshot::Sender<Result<Vec<T>>>>,
}

impl<T: Send + 'static> Batcher<T> {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub(crate) fn start(name: &str, config: BatchConfig, forward: Arc<Forward<T>>) -> Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                urgent: VecDeque::new(),
                patient: VecDeque::new(),
                closed: false,
            }),
            changed: Condvar::new(),
            urgent_changed: Condvar::new(),
        });
        let batcher = Self {
            shared: Arc::clone(&shared),
            room: Arc::new(Semaphore::new(config.threads * QUEUED_PER_THREAD)),
            config,
        };
        let lanes: &[Lane] = if config.lanes {
            &[Lane::Urgent, Lane::Patient]
        } else {
            &[Lane::Both]
        };
        for lane in lanes.repeat(config.threads) {
            let (shared, forward) = (Arc::clone(&shared), Arc::clone(&forward));
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&shared, &*forward, lane))?;
        }
        Ok(batcher)
    }

    /// Runs sequences before everything that is not urgent, on all threads for that, and returns their outputs in the
    /// given order.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many are waiting; [`Error::Stopped`]; what the forward pass says.
    pub(crate) async fn run_urgent(&self, sequences: Vec<Sequence>) -> Result<Vec<T>> {
        if sequences.is_empty() {
            return Ok(Vec::new());
        }
        let (request, reply) = Request::new(sequences.len());
        let spread = BatchConfig {
            spread: true,
            ..self.config
        };
        let batches = cut(sequences, spread).into_iter().map(|items| Batch {
            request: Arc::clone(&request),
            items,
            _room: None,
        });
        {
            let mut queue = lock(&self.shared.queue);
            if queue.urgent.len() >= MAX_URGENT {
                return Err(Error::Overloaded);
            }
            queue.urgent.extend(batches);
        }
        drop(request);
        self.shared.urgent_changed(self.config).notify_all();
        reply.await.map_err(|_| Error::Stopped)?
    }

    /// Runs sequences in batches and returns their outputs in the given order. Waits for room in the queue.
    ///
    /// # Errors
    /// [`Error::Stopped`]; the first thing a forward pass says.
    pub(crate) async fn run(&self, sequences: Vec<Sequence>) -> Result<Vec<T>> {
        if sequences.is_empty() {
            return Ok(Vec::new());
        }
        let (request, reply) = Request::new(sequences.len());
        for items in cut(sequences, self.config) {
            let room = Arc::clone(&self.room)
                .acquire_owned()
                .await
                .map_err(|_| Error::Stopped)?;
            let batch = Batch {
                request: Arc::clone(&request),
                items,
                _room: Some(room),
            };
            lock(&self.shared.queue).patient.push_back(batch);
            self.shared.changed.notify_one();
        }
        drop(request); // when the threads end, nobody holds the sender and the wait ends too
        reply.await.map_err(|_| Error::Stopped)?
    }
}

impl<T> Drop for Batcher<T> {
    fn drop(&mut self) {
        let mut queue = lock(&self.shared.queue);
        queue.closed = true;
        queue.urgent.clear();
        queue.patient.clear();
        drop(queue);
        self.shared.changed.notify_all();
        self.shared.urgent_changed.notify_all();
    }
}

impl<T> Shared<T> {
    /// What the threads that take queries wait for.
    fn urgent_changed(&self, config: BatchConfig) -> &Condvar {
        if config.lanes {
            &self.urgent_changed
        } else {
            &self.changed
        }
    }
}

/// Sorts by length, longest first, and cuts into batches within the token budget (one sequence at least).
fn cut(sequences: Vec<Sequence>, config: BatchConfig) -> Vec<Vec<(usize, Sequence)>> {
    let mut max_tokens = config.max_batch_tokens;
    if config.spread {
        let all: usize = sequences.iter().map(Sequence::len).sum();
        max_tokens = max_tokens.min(all.div_ceil(config.threads));
    }
    let mut items: Vec<(usize, Sequence)> = sequences.into_iter().enumerate().collect();
    items.sort_by_key(|(_, s)| std::cmp::Reverse(s.len()));
    let mut batches: Vec<Vec<(usize, Sequence)>> = Vec::new();
    let mut used = 0;
    for item in items {
        // The first of a batch is its longest.
        let longest = batches
            .last()
            .and_then(|b| b.first())
            .map_or(0, |(_, s)| s.len());
        let cost = if config.padded { longest } else { item.1.len() };
        match batches.last_mut() {
            Some(batch) if used + cost <= max_tokens => {
                used += cost;
                batch.push(item);
            }
            _ => {
                used = item.1.len();
                batches.push(vec![item]);
            }
        }
    }
    batches
}

impl<T> Request<T> {
    fn new(count: usize) -> (Arc<Mutex<Self>>, oneshot::Receiver<Result<Vec<T>>>) {
        let (reply, receiver) = oneshot::channel();
        let request = Self {
            outputs: std::iter::repeat_with(|| None).take(count).collect(),
            reply: Some(reply),
        };
        (Arc::new(Mutex::new(request)), receiver)
    }

    fn abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn complete(&mut self, items: &[(usize, Sequence)], outcome: Result<Vec<T>>) {
        let answer = match outcome {
            Ok(outputs) => {
                for ((position, _), output) in items.iter().zip(outputs) {
                    self.outputs[*position] = Some(output);
                }
                if self.outputs.iter().any(Option::is_none) {
                    return;
                }
                Ok(std::mem::take(&mut self.outputs)
                    .into_iter()
                    .flatten()
                    .collect())
            }
            Err(error) => Err(error),
        };
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(answer); // the caller may have gone away
        }
    }
}

/// A thread's life: take a batch, run it, answer.
fn work<T>(shared: &Shared<T>, forward: &Forward<T>, lane: Lane) {
    if lane == Lane::Patient {
        stand_back();
    }
    // Candle splits products over the pool it finds itself in. Threads work on different batches instead, which is
    // faster than splitting small products, so each has a pool of its own with nobody else in it.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build();
    if let Err(error) = &pool {
        tracing::warn!(%error, "forward passes share one pool; embedding may be slower");
    }
    while let Some(batch) = next(shared, lane) {
        if lock(&batch.request).abandoned() {
            continue;
        }
        let sequences: Vec<&Sequence> = batch.items.iter().map(|(_, s)| s).collect();
        let outcome = catch_unwind(AssertUnwindSafe(|| forward(&sequences))).unwrap_or_else(|_| {
            Err(Error::Candle(candle_core::Error::Msg(
                "the forward pass panicked; see the log".to_owned(),
            )))
        });
        let outcome = outcome.and_then(|outputs| {
            if outputs.len() == sequences.len() {
                Ok(outputs)
            } else {
                Err(Error::Candle(candle_core::Error::Msg(
                    "the forward pass lost outputs".to_owned(),
                )))
            }
        });
        lock(&batch.request).complete(&batch.items, outcome);
    }
}

/// Lets other threads run first when there is not enough for all.
fn stand_back() {
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    /// Of 100; on Linux a niceness of 19. With 10 a query waits for up to a tenth of the processor, and p95 of searches
    /// during ingestion is a tenth longer.
    const PRIORITY: u8 = 0;
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    let lowered = ThreadPriorityValue::try_from(PRIORITY)
        .map_err(|error| error.to_owned())
        .and_then(|value| {
            let priority = ThreadPriority::Crossplatform(value);
            set_thread_priority_and_policy(thread_native_id(), priority, policy)
                .map_err(|error| format!("{error:?}"))
        });
    if let Err(error) = lowered {
        tracing::warn!(
            error,
            "the embedding of documents cannot be given a lower priority"
        );
    }
}

fn next<T>(shared: &Shared<T>, lane: Lane) -> Option<Batch<T>> {
    let mut queue = lock(&shared.queue);
    loop {
        if queue.closed {
            return None;
        }
        if lane != Lane::Patient
            && let Some(batch) = queue.urgent.pop_front()
        {
            return Some(batch);
        }
        if lane != Lane::Urgent
            && let Some(batch) = queue.patient.pop_front()
        {
            return Some(batch);
        }
        let changed = match lane {
            Lane::Urgent => &shared.urgent_changed,
            Lane::Patient | Lane::Both => &shared.changed,
        };
        queue = changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Panics are caught before they can poison, so a poisoned lock is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sequence(length: usize) -> Sequence {
        Sequence {
            ids: vec![7; length],
            types: vec![0; length],
            own: 0..length,
        }
    }

    const CONFIG: BatchConfig = BatchConfig {
        threads: 2,
        max_batch_tokens: 10,
        padded: false,
        spread: false,
        lanes: false,
    };

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn lengths(sequences: &[&Sequence]) -> Result<Vec<Vec<f32>>> {
        Ok(sequences.iter().map(|s| vec![s.len() as f32]).collect())
    }

    #[test]
    fn batches_stay_within_the_budget() {
        let lengths = [3, 9, 1, 4, 25, 6];
        let sizes = |padded| -> Vec<Vec<usize>> {
            let batches = cut(
                lengths.map(sequence).into(),
                BatchConfig { padded, ..CONFIG },
            );
            batches
                .iter()
                .map(|b| b.iter().map(|(_, s)| s.len()).collect())
                .collect()
        };
        assert_eq!(sizes(false), [vec![25], vec![9], vec![6, 4], vec![3, 1]]);
        assert_eq!(
            sizes(true),
            [vec![25], vec![9], vec![6], vec![4, 3], vec![1]]
        );
    }

    #[test]
    fn a_call_that_somebody_waits_for_keeps_all_threads_busy() {
        let batches = |spread: bool, lengths: &[usize]| -> Vec<Vec<usize>> {
            let config = BatchConfig { spread, ..CONFIG };
            let sequences = lengths.iter().map(|n| sequence(*n)).collect();
            let batches = cut(sequences, config);
            batches
                .iter()
                .map(|batch| batch.iter().map(|(_, s)| s.len()).collect())
                .collect()
        };
        assert_eq!(batches(false, &[4, 4]), [[4, 4]]);
        assert_eq!(batches(true, &[4, 4]), [[4], [4]]);
        assert_eq!(batches(true, &[3, 2, 1]), [vec![3], vec![2, 1]]);
        assert_eq!(batches(true, &[9, 9, 9]), [[9], [9], [9]]);
    }

    #[tokio::test]
    async fn outputs_come_back_in_order() {
        let batcher = Batcher::start("test", CONFIG, Arc::new(lengths)).unwrap();
        let rows = batcher
            .run([3, 9, 1, 4, 25, 6].map(sequence).into())
            .await
            .unwrap();
        assert_eq!(rows, [[3.0], [9.0], [1.0], [4.0], [25.0], [6.0]]);
        assert_eq!(
            batcher
                .run_urgent(vec![sequence(5), sequence(2)])
                .await
                .unwrap(),
            [[5.0], [2.0]]
        );
        assert!(batcher.run(Vec::new()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn queries_go_first_and_abandoned_work_is_dropped() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let seen = Arc::clone(&order);
        let forward = move |s: &[&Sequence]| {
            lock(&gate).recv().map_err(|_| Error::Stopped)?;
            lock(&seen).extend(s.iter().map(|s| s.len()));
            lengths(s)
        };
        let config = BatchConfig {
            threads: 1,
            ..CONFIG
        };
        let batcher = Arc::new(Batcher::start("test", config, Arc::new(forward)).unwrap());
        let spawn = |lengths: Vec<usize>| {
            let batcher = Arc::clone(&batcher);
            tokio::spawn(async move {
                batcher
                    .run(lengths.into_iter().map(sequence).collect())
                    .await
            })
        };
        let first = spawn(vec![10]);
        tokio::time::sleep(Duration::from_millis(50)).await; // the thread now holds it
        let dropped = spawn(vec![9]);
        let second = spawn(vec![8]);
        let urgent = {
            let b = Arc::clone(&batcher);
            tokio::spawn(async move { b.run_urgent(vec![sequence(2)]).await })
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
        dropped.abort();
        assert!(dropped.await.unwrap_err().is_cancelled());
        for _ in 0..4 {
            release.send(()).unwrap();
        }
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        urgent.await.unwrap().unwrap();
        assert_eq!(*lock(&order), [10, 2, 8]);
    }

    #[tokio::test]
    async fn with_lanes_a_query_does_not_wait_for_a_batch_of_documents() {
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let forward = move |s: &[&Sequence]| {
            if s[0].len() > 5 {
                lock(&gate).recv().map_err(|_| Error::Stopped)?;
            }
            lengths(s)
        };
        let config = BatchConfig {
            threads: 1,
            lanes: true,
            ..CONFIG
        };
        let batcher = Arc::new(Batcher::start("test", config, Arc::new(forward)).unwrap());
        let documents = tokio::spawn({
            let batcher = Arc::clone(&batcher);
            async move { batcher.run(vec![sequence(9), sequence(8)]).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Nothing has been released: this would wait for ever.
        let query = batcher.run_urgent(vec![sequence(2)]);
        let query = tokio::time::timeout(Duration::from_secs(20), query).await;
        assert_eq!(query.unwrap().unwrap(), [[2.0]]);
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert_eq!(documents.await.unwrap().unwrap(), [[9.0], [8.0]]);
    }

    #[tokio::test]
    async fn errors_and_panics_are_answers() {
        let forward = |s: &[&Sequence]| match s[0].len() {
            1 => Err(Error::Overloaded),
            2 => panic!("test"),
            _ => lengths(s),
        };
        let batcher = Batcher::start("test", CONFIG, Arc::new(forward)).unwrap();
        assert!(matches!(
            batcher.run(vec![sequence(1)]).await,
            Err(Error::Overloaded)
        ));
        assert!(matches!(
            batcher.run(vec![sequence(2)]).await,
            Err(Error::Candle(_))
        ));
        assert_eq!(batcher.run(vec![sequence(3)]).await.unwrap(), [[3.0]]);
    }

    #[tokio::test]
    async fn a_full_queue_of_queries_is_refused() {
        let (begun, first_begun) = std::sync::mpsc::channel();
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let forward = move |s: &[&Sequence]| {
            begun.send(()).map_err(|_| Error::Stopped)?;
            lock(&gate).recv().map_err(|_| Error::Stopped)?;
            lengths(s)
        };
        let config = BatchConfig {
            threads: 1,
            ..CONFIG
        };
        let batcher = Arc::new(Batcher::start("test", config, Arc::new(forward)).unwrap());
        let query = || {
            let batcher = Arc::clone(&batcher);
            tokio::spawn(async move { batcher.run_urgent(vec![sequence(3)]).await })
        };
        let mut waiting = vec![query()];
        while first_begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        } // the thread is busy and takes no more
        waiting.extend((0..MAX_URGENT).map(|_| query()));
        while lock(&batcher.shared.queue).urgent.len() < MAX_URGENT {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            batcher.run_urgent(vec![sequence(3)]).await,
            Err(Error::Overloaded)
        ));
        for _ in &waiting {
            release.send(()).unwrap();
        }
        for query in waiting {
            assert_eq!(query.await.unwrap().unwrap(), [[3.0]]);
        }
    }
}
