//! The last stage: a batch of documents becomes durable and visible, with one commit protocol.

use super::embed::Embedded;
use super::prepare::Prepared;
use super::put_op;
use crate::catalog::{Catalog, EmbeddedChunk, Indexed, Job, JobState, Published};
use crate::pipeline::{Pipeline, blocking};
use crate::repair::put_visible;
use crate::store::IndexOp;
use crate::{DocumentId, Result};
use std::collections::HashSet;
use std::sync::Arc;

/// Chunks of a large document that are read from the catalog, and put into the store, at a time.
const PAGE: usize = 512;

/// A document all of whose chunks have their vector.
pub(super) struct Finished {
    pub(super) job: Job,
    pub(super) prepared: Prepared,
    /// Its chunks' vectors; empty when the catalog keeps them already.
    pub(super) embedded: Vec<Arc<Embedded>>,
    pub(super) n_reused: u32,
}

impl Finished {
    fn into_indexed(self) -> Indexed {
        let Prepared {
            target,
            chunks,
            warnings,
            found,
            n_parts,
            ..
        } = self.prepared;
        let n_chunks = u32::try_from(chunks.chunks.len()).unwrap_or(u32::MAX);
        let embedded = chunks.chunks.into_iter().zip(self.embedded);
        Indexed {
            job: self.job.id,
            document: target.document,
            version: target.version,
            n_parts,
            title: target.title,
            text: chunks.text,
            chunks: embedded
                .map(|(chunk, embedded)| {
                    let (vector, tokens) = Arc::unwrap_or_clone(embedded);
                    EmbeddedChunk {
                        chunk,
                        vector,
                        tokens,
                    }
                })
                .collect(),
            n_chunks,
            n_reused: self.n_reused,
            warnings,
            found,
        }
    }
}

impl Pipeline {
    /// Stores and publishes documents: vector flush, lexical commit, catalog COMMIT, once for all. Returns the jobs as they
    /// are then; one that was cancelled, or whose document was deleted or replaced meanwhile, leaves nothing behind.
    pub(super) async fn store_batch(&self, mut batch: Vec<Finished>) -> Result<Vec<Job>> {
        let ids: Vec<_> = batch.iter().map(|finished| finished.job.id).collect();
        let any_deleted = {
            let _changing = self.changing.lock().await;
            self.check_room(0)?;
            let running = self.catalog(Catalog::running_jobs).await?;
            batch.retain(|finished| running.contains(&finished.job.id));
            self.put(&batch).await?;
            self.store.checkpoint().await?;
            self.publish(batch).await?
        };
        if any_deleted {
            self.drop_deleted().await?;
        }
        // What changed about documents while their job ran is told again after it.
        self.index_attributes().await?;
        let jobs = self
            .catalog(move |catalog| {
                ids.into_iter()
                    .map(|id| catalog.job(id))
                    .collect::<Result<Vec<_>>>()
            })
            .await?;
        for job in jobs.iter().filter(|job| job.state == JobState::Done) {
            self.activity.count_published(job.n_bytes);
        }
        Ok(jobs)
    }

    async fn put(&self, batch: &[Finished]) -> Result<()> {
        let mut ops = Vec::with_capacity(batch.len());
        for Finished {
            prepared, embedded, ..
        } in batch
        {
            let chunks = &prepared.chunks.chunks;
            if embedded.len() == chunks.len() {
                let vectors = embedded.iter().map(|embedded| &embedded.0);
                ops.push(put_op(&prepared.target, chunks.iter().zip(vectors)));
                continue;
            }
            let mut from = 0;
            while from < chunks.len() {
                let op = self.put_page(&prepared.target, from).await?;
                self.store.apply(vec![op]).await?;
                from += PAGE;
            }
        }
        self.store.apply(ops).await
    }

    /// Returns a put of chunks that the catalog keeps.
    async fn put_page(&self, target: &Published, from: usize) -> Result<IndexOp> {
        let target = target.clone();
        let from = u32::try_from(from).unwrap_or(u32::MAX);
        self.catalog(move |catalog| {
            let chunks = catalog.chunks_from(target.document, target.version, from, PAGE)?;
            let chunks = chunks.iter().map(|kept| (&kept.chunk, &kept.vector));
            Ok(put_op(&target, chunks))
        })
        .await
    }

    /// Returns whether documents were marked deleted, because they lay in others and do not any more.
    async fn publish(&self, batch: Vec<Finished>) -> Result<bool> {
        let (catalog, blobs) = (Arc::clone(&self.catalog), Arc::clone(&self.blobs));
        let (ops, any_deleted) = blocking(move || {
            let indexed: Vec<Indexed> = batch.into_iter().map(Finished::into_indexed).collect();
            let flipped = catalog.publish(&indexed)?;
            let published: HashSet<DocumentId> = flipped.documents.iter().copied().collect();
            if !flipped.old_blobs.is_empty() {
                catalog.forget_log()?;
                blobs.drop_unused(&flipped.old_blobs, || {
                    catalog.still_in_use(&flipped.old_blobs)
                })?;
            }
            let hidden = flipped.hidden.iter();
            let mut ops: Vec<IndexOp> = hidden
                .map(|document| IndexOp::Remove {
                    document: *document,
                })
                .collect();
            for new in indexed {
                let document = new.document;
                if !published.contains(&document) {
                    // It was put, and nobody wants it any more. What is served of the document is put again.
                    ops.push(IndexOp::Remove { document });
                    ops.extend(put_visible(&catalog, document)?);
                } else if new.version > 1 {
                    // Only where an older version exists is there anything to take out.
                    let keep = new.version;
                    ops.push(IndexOp::Prune { document, keep });
                }
            }
            Ok((ops, flipped.any_deleted))
        })
        .await?;
        if !ops.is_empty() {
            // The new versions are served already; older ones no longer hydrate, so a crash only delays this.
            self.store.apply(ops).await?;
            self.store.checkpoint().await?;
        }
        Ok(any_deleted)
    }
}
