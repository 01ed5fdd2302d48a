//! The thread that owns a generator's weights: a queue of jobs, done one after the other.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, UnboundedSender};

use crate::arch::cache::KvCache;
use crate::arch::decoder::Decoder;
use crate::generate::text::{Detokenizer, Passed, StopStrings};
use crate::generate::tokenizer::ChatTokenizer;
use crate::sampling::Sampler;
use crate::{FinishReason, Result, Sampling, Token, Usage};

/// Conversations whose keys and values are kept: the system prompt with its examples, and one other kind
/// of prompt.
const SLOTS: usize = 2;
/// Sharing fewer tokens than this, e.g. the opening of the system turn, is no reason to overwrite the
/// rest of a slot.
const MIN_SHARED_TOKENS: usize = 16;
/// Prompt tokens read between two looks at whether the work is still wanted.
const CHUNK_CPU: usize = 64;
const CHUNK_GPU: usize = 512;

/// One generation.
pub(crate) struct Job {
    /// The rendered prompt, not empty.
    pub(crate) prompt: Vec<u32>,
    pub(crate) sampling: Sampling,
    pub(crate) max_new_tokens: usize,
    pub(crate) stop: Vec<String>,
    /// Where the answer goes. When it is closed the job is no longer wanted. It is unbounded so that a
    /// slow reader delays nobody else; `max_new_tokens` bounds what can pile up.
    pub(crate) answer: UnboundedSender<Result<Token>>,
}

/// The state of the thread.
pub(crate) struct Engine {
    decoder: Decoder,
    tokenizer: Arc<ChatTokenizer>,
    end_tokens: HashSet<u32>,
    slots: Vec<Slot>,
    clock: u64,
    chunk: usize,
}

struct Slot {
    cache: KvCache,
    last_used: u64,
}

/// The other side has gone; there is nobody to tell.
struct Canceled;

impl Engine {
    pub(crate) fn new(
        decoder: Decoder,
        tokenizer: Arc<ChatTokenizer>,
        end_tokens: HashSet<u32>,
        on_cpu: bool,
    ) -> Self {
        let chunk = if on_cpu { CHUNK_CPU } else { CHUNK_GPU };
        Self {
            decoder,
            tokenizer,
            end_tokens,
            slots: Vec::new(),
            clock: 0,
            chunk,
        }
    }

    /// Works until all senders of `jobs` are gone.
    pub(crate) fn run(mut self, mut jobs: Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            if job.answer.is_closed() {
                continue;
            }
            let answer = job.answer.clone();
            let outcome = catch_unwind(AssertUnwindSafe(|| self.work(job)));
            let last = match outcome {
                Ok(Ok(Ok(end))) => Ok(end),
                Ok(Ok(Err(Canceled))) => {
                    tracing::debug!("generation canceled");
                    continue;
                }
                Ok(Err(error)) => Err(error),
                Err(_) => {
                    // Half-written caches must not outlive a panic.
                    self.slots.clear();
                    Err(
                        candle_core::Error::msg("the model panicked; see the log before this line")
                            .into(),
                    )
                }
            };
            if let Err(error) = &last {
                tracing::error!(%error, "generation failed");
            }
            // The reader may have gone just now; then nobody waits for the end.
            drop(answer.send(last));
        }
    }

    /// Does one job and returns its last item, all others having been sent.
    fn work(&mut self, job: Job) -> Result<std::result::Result<Token, Canceled>> {
        let mut usage = Usage {
            prompt_tokens: job.prompt.len(),
            ..Usage::default()
        };
        let end = |reason, usage| Ok(Ok(Token::End { reason, usage }));
        if job.max_new_tokens == 0 {
            return end(FinishReason::Length, usage);
        }
        let slot = self.slot_for(&job.prompt);
        let cache = &mut self.slots[slot].cache;
        // At least one token is read: its logits are needed.
        usage.cached_tokens = cache.common_prefix(&job.prompt).min(job.prompt.len() - 1);
        cache.truncate(usage.cached_tokens);
        cache.reserve(job.prompt.len() + job.max_new_tokens)?;

        self.decoder.grow(job.prompt.len() + job.max_new_tokens)?;

        let mut logits = Vec::new();
        let rest = &job.prompt[usage.cached_tokens..];
        for (index, chunk) in rest.chunks(self.chunk).enumerate() {
            if job.answer.is_closed() {
                return Ok(Err(Canceled));
            }
            if (index + 1) * self.chunk < rest.len() {
                self.decoder.read(chunk, cache)?;
            } else {
                logits = self.decoder.logits(chunk, cache)?;
            }
        }

        let mut sampler = Sampler::new(job.sampling);
        let mut detokenizer = Detokenizer::default();
        let mut stops = StopStrings::new(job.stop);
        loop {
            let token = sampler.sample(&logits)?;
            if self.end_tokens.contains(&token) {
                return Ok(finish(&job.answer, stops).map(|()| Token::End {
                    reason: FinishReason::Stop,
                    usage,
                }));
            }
            usage.completion_tokens += 1;
            let text = detokenizer.push(token, &self.tokenizer)?;
            match stops.push(&text) {
                Passed::Text(text) => {
                    if send(&job.answer, text).is_err() {
                        return Ok(Err(Canceled));
                    }
                }
                Passed::Stopped(text) => {
                    let sent = send(&job.answer, text);
                    return Ok(sent.map(|()| Token::End {
                        reason: FinishReason::Stop,
                        usage,
                    }));
                }
            }
            if usage.completion_tokens == job.max_new_tokens {
                return Ok(finish(&job.answer, stops).map(|()| Token::End {
                    reason: FinishReason::Length,
                    usage,
                }));
            }
            if job.answer.is_closed() {
                return Ok(Err(Canceled));
            }
            logits = self.decoder.logits(&[token], cache)?;
        }
    }

    /// Returns the slot that shares most with `prompt`, or failing that a free one or the one unused for
    /// longest.
    fn slot_for(&mut self, prompt: &[u32]) -> usize {
        self.clock += 1;
        let shared = |slot: &Slot| slot.cache.common_prefix(prompt);
        let best = (0..self.slots.len()).max_by_key(|index| shared(&self.slots[*index]));
        let index = match best.filter(|index| shared(&self.slots[*index]) >= MIN_SHARED_TOKENS) {
            Some(index) => index,
            None if self.slots.len() < SLOTS => {
                self.slots.push(Slot {
                    cache: self.decoder.new_cache(),
                    last_used: 0,
                });
                self.slots.len() - 1
            }
            None => (0..self.slots.len())
                .min_by_key(|index| self.slots[*index].last_used)
                .unwrap_or(0),
        };
        self.slots[index].last_used = self.clock;
        index
    }
}

/// Sends text unless there is none.
fn send(
    answer: &UnboundedSender<Result<Token>>,
    text: String,
) -> std::result::Result<(), Canceled> {
    if text.is_empty() {
        return Ok(());
    }
    answer.send(Ok(Token::Text(text))).map_err(|_| Canceled)
}

/// Sends what was held back as a possible stop string.
fn finish(
    answer: &UnboundedSender<Result<Token>>,
    stops: StopStrings,
) -> std::result::Result<(), Canceled> {
    send(answer, stops.finish())
}
