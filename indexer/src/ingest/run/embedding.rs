//! From text to vectors: pieces of documents, and the line of texts before the embedder.

use super::{Done, Event, Run, Ticket};
use crate::catalog::{EmbeddedChunk, Reason, Stage, TextHash};
use crate::ingest::embed::{self, Embedded, Outcome};
use crate::ingest::embedded_text;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

impl Run<'_> {
    /// Has the next pieces of a document looked up; if there are none left, it is ready.
    pub(super) fn open_pieces(&mut self, ticket: Ticket) {
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        let mut lookups = Vec::new();
        // A large document leaves half of the line to others.
        let most = if held.piecewise {
            self.limits.pieces.div_ceil(2)
        } else {
            self.limits.pieces
        };
        while held.open.len() < most && held.next < held.vectors.len() {
            let first = held.next;
            held.next = (first + self.limits.piece_chunks).min(held.vectors.len());
            held.open.insert(first, held.next - first);
            lookups.push((first, held.prepared.hashes[first..held.next].to_vec()));
        }
        if held.open.is_empty() {
            if self.ready.is_empty() {
                self.ready_since = Instant::now();
            }
            self.ready.push(ticket);
        }
        for (first, hashes) in lookups {
            self.n_lookups += 1;
            let pipeline = self.pipeline;
            self.start(async move {
                let known = pipeline
                    .catalog(move |catalog| catalog.known_vectors(&hashes))
                    .await?;
                Ok(Done::LookedUp {
                    ticket,
                    first,
                    known,
                })
            });
        }
    }

    /// Gives the chunks of a piece the vectors that are there, and has the others wait for theirs.
    pub(super) fn resolve_or_line_up(
        &mut self,
        ticket: Ticket,
        first: usize,
        known: HashMap<TextHash, Embedded>,
    ) {
        let Some(held) = self.held.get(&ticket) else {
            return;
        };
        let end = (first + self.limits.piece_chunks).min(held.vectors.len());
        let priority = held.job.priority;
        let hashes = held.prepared.hashes[first..end].to_vec();
        let known: HashMap<TextHash, Arc<Embedded>> = known
            .into_iter()
            .map(|(hash, embedded)| (hash, Arc::new(embedded)))
            .collect();
        for (ordinal, hash) in (first..end).zip(hashes) {
            let fresh = self.fresh.iter().find_map(|fresh| fresh.get(&hash));
            if let Some(embedded) = known.get(&hash).or(fresh) {
                let embedded = Arc::clone(embedded);
                self.resolve(ticket, ordinal, embedded, true);
                continue;
            }
            let places = self.missing.entry(hash).or_default();
            if places.is_empty() {
                self.line.insert((Reverse(priority), self.n_lined_up), hash);
                self.n_lined_up += 1;
            }
            places.push((ticket, ordinal));
        }
    }

    /// Gives the embedder its next texts.
    pub(super) fn call(&mut self) {
        while self.n_calls < self.limits.calls && !self.line.is_empty() {
            // A call that is not full waits for more while the embedder has something to do.
            let more_to_come = self.n_lookups > 0 || !self.reading.is_empty() || self.claiming;
            if self.line.len() < self.limits.call_chunks && self.n_calls > 0 && more_to_come {
                return;
            }
            let (mut hashes, mut texts, mut n_tokens) = (Vec::new(), Vec::new(), 0);
            while hashes.len() < self.limits.call_chunks
                && let Some((_, hash)) = self.line.pop_first()
            {
                let places = self.missing.get(&hash).map(Vec::as_slice);
                let place = places
                    .unwrap_or_default()
                    .iter()
                    .find_map(|(ticket, ordinal)| Some((self.held.get(ticket)?, *ordinal)));
                let Some((held, ordinal)) = place else {
                    // Nobody wants it any more.
                    self.missing.remove(&hash);
                    continue;
                };
                let chunk = &held.prepared.chunks.chunks[ordinal];
                let title = &held.prepared.target.title;
                texts.push(embedded_text(title, &chunk.context, &chunk.text));
                n_tokens += chunk.n_tokens;
                hashes.push(hash);
            }
            if hashes.is_empty() {
                return;
            }
            self.n_calls += 1;
            let (pipeline, lease) = (self.pipeline, self.limits.embedding_lease);
            self.start(async move {
                let started = Instant::now();
                let call = embed::embed(&pipeline.embedder, &pipeline.codec, texts);
                let outcomes = tokio::time::timeout(lease, call).await.map_err(|_| {
                    tracing::error!("the embedder does not answer; its work is taken away from it");
                    embed::silent(lease.as_secs() / 60)
                })??;
                Ok(Done::Called {
                    hashes,
                    outcomes,
                    n_tokens,
                    took: started.elapsed(),
                })
            });
        }
    }

    pub(super) fn take_vectors(
        &mut self,
        hashes: Vec<TextHash>,
        outcomes: Vec<Outcome>,
        n_tokens: usize,
    ) {
        self.pipeline
            .activity
            .count_embedded(hashes.len(), n_tokens);
        let mut advanced: Vec<Ticket> = Vec::new();
        for (hash, outcome) in hashes.into_iter().zip(outcomes) {
            let places = self.missing.remove(&hash).unwrap_or_default();
            match outcome {
                Ok(embedded) => {
                    let embedded = Arc::new(embedded);
                    self.fresh[0].insert(hash, Arc::clone(&embedded));
                    let mut reused = false;
                    for (ticket, ordinal) in places {
                        self.resolve(ticket, ordinal, Arc::clone(&embedded), reused);
                        reused = true;
                        if !advanced.contains(&ticket) {
                            advanced.push(ticket);
                        }
                    }
                }
                Err(error) => {
                    for (ticket, _) in places {
                        if let Some(held) = self.drop_held(ticket) {
                            let error = format!("its text cannot be embedded: {error}");
                            self.refuse(&held.job, Reason::Model, &error);
                        }
                    }
                }
            }
        }
        for ticket in advanced {
            if let Some(held) = self.held.get(&ticket) {
                let done = held.n_resolved as f32 / held.vectors.len().max(1) as f32;
                (self.report)(Event::Progress(&held.job, Stage::Embed, 0.1 + 0.8 * done));
            }
        }
    }

    /// Gives a chunk its vector.
    fn resolve(&mut self, ticket: Ticket, ordinal: usize, embedded: Arc<Embedded>, reused: bool) {
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        held.vectors[ordinal] = Some(embedded);
        held.n_resolved += 1;
        held.n_reused += u32::from(reused);
        self.pipeline.activity.embedded(held.job.id, reused);
        let first = ordinal - ordinal % self.limits.piece_chunks;
        let Some(left) = held.open.get_mut(&first) else {
            return;
        };
        *left -= 1;
        if *left > 0 {
            return;
        }
        if held.piecewise {
            self.keep_piece(ticket, first);
        } else {
            held.open.remove(&first);
            self.open_pieces(ticket);
        }
    }

    /// Has the catalog keep the vectors of a piece.
    fn keep_piece(&mut self, ticket: Ticket, first: usize) {
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        let end = (first + self.limits.piece_chunks).min(held.vectors.len());
        let chunks = held.prepared.chunks.chunks[first..end].iter();
        let vectors = held.vectors[first..end].iter_mut().filter_map(Option::take);
        let kept: Vec<EmbeddedChunk> = chunks
            .zip(vectors)
            .map(|(chunk, embedded)| {
                let (vector, tokens) = Arc::unwrap_or_clone(embedded);
                EmbeddedChunk {
                    chunk: chunk.clone(),
                    vector,
                    tokens,
                }
            })
            .collect();
        let target = &held.prepared.target;
        let (document, version, title) = (target.document, target.version, target.title.clone());
        let pipeline = self.pipeline;
        self.start(async move {
            pipeline
                .catalog(move |catalog| catalog.keep_chunks(document, version, &title, &kept))
                .await?;
            Ok(Done::Kept { ticket, first })
        });
    }

    /// Forgets what was embedded some batches ago, and so is found in the catalog, unless it is still needed.
    pub(super) fn age_fresh(&mut self) {
        self.fresh.rotate_right(1);
        let mut oldest = std::mem::take(&mut self.fresh[0]);
        oldest.retain(|_, embedded| Arc::strong_count(embedded) > 1);
        let last = self.fresh.len() - 1;
        self.fresh[last].extend(oldest);
    }
}
