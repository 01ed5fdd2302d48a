//! Documents in: add → extract → chunk → embed → store → publish; resumable and idempotent.
//!
//! Durability, always in this order: blob fsync → vector store flush → lexical commit → catalog COMMIT.
//! A crash between any two steps leaves the old version served and the job queued; running it again
//! overwrites the same ids.

use crate::catalog::{
    Deleted, Document, EmbeddedChunk, Indexed, Job, JobId, JobState, NewVersion, Published, Stage,
};
use crate::chunk::{Chunks, chunk};
use crate::pipeline::{Pipeline, blocking};
use crate::store::{IndexOp, StoredChunk};
use crate::{
    AccessFilter, Acl, Attributes, ChunkId, CollectionId, DocumentId, Error, Extracted, Metadata,
    MetadataChange, Result, extract,
};
use std::collections::HashSet;
use std::sync::Arc;

/// The media type of content that was extracted elsewhere: an [`Extracted`] as JSON.
pub const EXTRACTED_MEDIA_TYPE: &str = "application/vnd.kura.extracted+json";

/// Documents indexed with one checkpoint: large enough to hide its fsyncs, small enough to show progress.
const BATCH_DOCUMENTS: usize = 32;
/// Bytes of files held in memory per batch.
const BATCH_BYTES: u64 = 64 << 20;
/// Tokens of the embedder left for its prompt, a document's title and the headings above a chunk.
const CONTEXT_TOKENS: usize = 64;
/// Chunks embedded per call, between two progress reports.
const EMBED_CHUNKS: usize = 64;
/// Documents whose attributes are changed between two checkpoints.
const ATTRIBUTES_PER_CHECKPOINT: usize = 512;

/// A file to index.
#[derive(Debug, Clone)]
pub struct NewDocument {
    /// Where it belongs.
    pub collection: CollectionId,
    /// Path or external id, unique in the collection: the same source again is a new version.
    pub source: String,
    /// Media type, if the caller knows it; else it is found from content and name.
    pub media_type: Option<String>,
    /// The file.
    pub bytes: Vec<u8>,
    /// Who may read it.
    pub acl: Acl,
    /// What you say about the document; it holds at once, also for an older version, and wins over what the file says.
    pub metadata: MetadataChange,
}

/// What adding a file meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddOutcome {
    /// A document not seen before.
    New,
    /// A new version of a known document; the old one is served until this one is indexed.
    Replaced,
    /// The same bytes as before.
    Unchanged,
}

/// An added file.
#[derive(Debug, Clone)]
pub struct Added {
    /// The document.
    pub document: Document,
    /// The job that will index it; none when nothing changed.
    pub job: Option<JobId>,
    /// What adding it meant.
    pub outcome: AddOutcome,
}

impl Pipeline {
    /// Keeps a file and queues its indexing. When it returns, neither can be lost.
    ///
    /// # Errors
    /// [`Error::StorageFull`] before anything was written; [`Error::InvalidMetadata`].
    pub async fn add_document(&self, new: NewDocument) -> Result<Added> {
        self.check_room(new.bytes.len() as u64)?;
        let metadata = new.metadata.checked()?;
        let (catalog, blobs) = (Arc::clone(&self.catalog), Arc::clone(&self.blobs));
        let says_something = !metadata.is_empty();
        let added = blocking(move || {
            let media_type = match new.media_type {
                Some(given) if given == EXTRACTED_MEDIA_TYPE => given,
                given => extract::detect(&new.bytes, &new.source, given.as_deref())
                    .as_str()
                    .to_owned(),
            };
            let _adding = blobs.adding();
            let sha256 = blobs.put(&new.bytes)?;
            let version = NewVersion {
                collection: new.collection,
                source: &new.source,
                media_type: &media_type,
                size_bytes: new.bytes.len() as u64,
                sha256: &sha256,
                acl: &new.acl,
                metadata: &metadata,
            };
            let (id, job, outcome) = catalog.add_document(&version)?;
            let document =
                catalog.document(id, &AccessFilter::unrestricted("reply to the adder"))?;
            Ok(Added {
                document,
                job,
                outcome,
            })
        })
        .await?;
        // Otherwise the job tells the index.
        if says_something && added.job.is_none() {
            self.index_attributes().await?;
        }
        Ok(added)
    }

    /// Changes what is known about a document. When it returns, searches go by it; nothing is embedded again.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`] when it is absent or not for this principal; [`Error::InvalidMetadata`]. After any other
    /// error the change is kept, and reaches the index with the next change or start.
    pub async fn set_metadata(
        &self,
        id: DocumentId,
        change: MetadataChange,
        access: &AccessFilter,
    ) -> Result<Document> {
        let change = change.checked()?;
        self.document(id, access).await?;
        self.catalog(move |catalog| catalog.set_metadata(id, &change))
            .await?;
        self.index_attributes().await?;
        self.document(id, access).await
    }

    /// Tells the store what changed about documents besides their text. The catalog remembers what is still to be told,
    /// so that a crash only delays it; until then what no longer passes a filter is kept out by the catalog.
    ///
    /// It does not wait for a batch that is being indexed: what that reads of a document is told again after it.
    pub(crate) async fn index_attributes(&self) -> Result<()> {
        let (catalog, store) = (Arc::clone(&self.catalog), Arc::clone(&self.store));
        let turn = Arc::clone(&self.telling);
        // On a task of its own: a caller that goes away must not leave the turn while its changes are on their way.
        let told = tokio::spawn(async move {
            let _turn = turn.lock().await;
            let mut after = None;
            loop {
                let source = Arc::clone(&catalog);
                let unindexed =
                    blocking(move || source.unindexed_attributes(after, ATTRIBUTES_PER_CHECKPOINT))
                        .await?;
                let Some(last) = unindexed.last() else {
                    return Ok(());
                };
                after = Some(last.document);
                let ops = unindexed.iter().map(|told| IndexOp::SetAttributes {
                    document: told.document,
                    attributes: told.attributes.clone(),
                });
                store.apply(ops.collect()).await?;
                store.checkpoint().await?;
                let sink = Arc::clone(&catalog);
                blocking(move || sink.attributes_indexed(&unindexed)).await?;
            }
        });
        told.await.map_err(|error| Error::Task(error.to_string()))?
    }

    /// Returns the oldest job waiting, if any.
    pub async fn next_job(&self) -> Result<Option<JobId>> {
        Ok(self
            .catalog(|catalog| catalog.queued_jobs(1))
            .await?
            .first()
            .map(|job| job.id))
    }

    /// Runs one job. A file that cannot be indexed gives `Ok` with the failed job and its reason.
    ///
    /// # Errors
    /// Only when kura itself fails; the job is then queued again.
    pub async fn run_job(
        &self,
        id: JobId,
        progress: &(dyn Fn(Stage, f32) + Send + Sync),
    ) -> Result<Job> {
        let job = self.job(id).await?;
        self.run_batch(vec![job], &|_, stage, fraction| progress(stage, fraction))
            .await?;
        self.job(id).await
    }

    /// Runs waiting jobs, oldest first, as one batch with one checkpoint. Returns their final states;
    /// none when nothing waits.
    ///
    /// `progress` is told a job, its stage and how far it is, 0 to 1.
    ///
    /// # Errors
    /// Only when kura itself fails; the jobs are then queued again.
    pub async fn run_queued(
        &self,
        progress: &(dyn Fn(&Job, Stage, f32) + Send + Sync),
    ) -> Result<Vec<Job>> {
        let jobs = self
            .catalog(|catalog| catalog.queued_jobs(BATCH_DOCUMENTS))
            .await?;
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        match self.run_batch(jobs.clone(), progress).await {
            Err(Error::Model(_)) if jobs.len() > 1 => self.run_singly(jobs, progress).await?,
            other => other?,
        }
        // What a delete that was cut off has left.
        self.drop_deleted().await?;
        self.index_attributes().await?;
        let mut done = Vec::with_capacity(ids.len());
        for id in ids {
            let job = self.job(id).await?;
            if matches!(job.state, JobState::Done | JobState::Failed) {
                done.push(job);
            }
        }
        Ok(done)
    }

    /// Deletes a document. When it returns, no search, answer or list has it, and no store holds its text.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`] when it is absent or not for this principal.
    pub async fn delete_document(&self, id: DocumentId, access: &AccessFilter) -> Result<()> {
        self.document(id, access).await?;
        // From this commit on it is invisible, whatever happens below.
        self.catalog(move |catalog| catalog.delete_document(id))
            .await?;
        self.drop_deleted().await?;
        // What it superseded counts again.
        self.index_attributes().await
    }

    /// Deletes a collection with its documents.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`].
    pub async fn delete_collection(&self, name: &str) -> Result<()> {
        let id = self.collection(name).await?.id;
        self.catalog(move |catalog| catalog.delete_collection(id))
            .await?;
        self.forget_dictionary(id);
        self.drop_deleted().await
    }

    /// Takes what the catalog has marked deleted out of the stores, then out of the catalog and the blobs.
    pub(crate) async fn drop_deleted(&self) -> Result<()> {
        let _changing = self.changing.lock().await;
        let deleted = self.catalog(crate::catalog::Catalog::deleted).await?;
        if deleted.is_empty() {
            return Ok(());
        }
        let ops: Vec<IndexOp> = deleted
            .iter()
            .map(|Deleted(document)| IndexOp::Remove {
                document: *document,
            })
            .collect();
        self.store.apply(ops).await?;
        self.store.checkpoint().await?;
        let (catalog, blobs) = (Arc::clone(&self.catalog), Arc::clone(&self.blobs));
        blocking(move || {
            catalog.purge(&deleted)?;
            catalog.forget_log()?;
            blobs.sweep(|| catalog.blobs_in_use()).map(drop)
        })
        .await
    }

    /// Runs jobs one by one, because one of them keeps the model from embedding the batch. That one fails, unless all
    /// do: then the model is to blame.
    async fn run_singly(
        &self,
        jobs: Vec<Job>,
        progress: &(dyn Fn(&Job, Stage, f32) + Send + Sync),
    ) -> Result<()> {
        let (mut refused, n_jobs) = (Vec::new(), jobs.len());
        for job in jobs {
            match self.run_batch(vec![job.clone()], progress).await {
                Err(Error::Model(error)) => refused.push((job.id, error)),
                other => other?,
            }
        }
        if refused.len() == n_jobs
            && let Some((_, error)) = refused.pop()
        {
            return Err(Error::Model(error));
        }
        for (id, error) in refused {
            self.catalog(move |catalog| {
                catalog.fail_job(id, &format!("its text cannot be embedded: {error}"))
            })
            .await?;
        }
        Ok(())
    }

    async fn run_batch(
        &self,
        jobs: Vec<Job>,
        progress: &(dyn Fn(&Job, Stage, f32) + Send + Sync),
    ) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let _changing = self.changing.lock().await;
        self.check_room(0)?;
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let started = ids.clone();
        self.catalog(move |catalog| catalog.start_jobs(&started))
            .await?;
        let result = self.index(jobs, progress).await;
        if result.is_err() {
            self.catalog(move |catalog| catalog.requeue(&ids)).await?;
        }
        result
    }

    async fn index(
        &self,
        jobs: Vec<Job>,
        progress: &(dyn Fn(&Job, Stage, f32) + Send + Sync),
    ) -> Result<()> {
        let mut batch = Vec::with_capacity(jobs.len());
        let (mut n_bytes, mut put_back) = (0, Vec::new());
        for job in jobs {
            if n_bytes > BATCH_BYTES {
                put_back.push(job.id);
                continue;
            }
            progress(&job, Stage::Extract, 0.0);
            let Some((prepared, size)) = self.prepare(&job).await? else {
                continue;
            };
            n_bytes += size;
            progress(&job, Stage::Embed, 0.1);
            batch.push((job, prepared));
        }
        if !put_back.is_empty() {
            self.catalog(move |catalog| catalog.requeue(&put_back))
                .await?;
        }
        self.embed(&mut batch, progress).await?;
        for (job, _) in &batch {
            progress(job, Stage::Store, 0.9);
        }
        self.store_and_publish(batch).await
    }

    /// Extracts and chunks a file. `None` when the job is done with: deleted, replaced or unreadable.
    async fn prepare(&self, job: &Job) -> Result<Option<(Prepared, u64)>> {
        let (catalog, blobs, embedder) = (
            Arc::clone(&self.catalog),
            Arc::clone(&self.blobs),
            Arc::clone(&self.embedder),
        );
        let (job, mut config) = (job.clone(), self.config.chunking);
        // What the embedder would cut off could not be found: room is left for its prompt, the title and the headings.
        let limit = self
            .embedder
            .spec()
            .max_tokens
            .saturating_sub(CONTEXT_TOKENS);
        config.max_tokens = config.max_tokens.min(limit.max(CONTEXT_TOKENS));
        blocking(move || {
            let Some((sha256, given, target)) = catalog.pending(job.document, job.version)? else {
                catalog.fail_job(job.id, "the document was deleted or replaced meanwhile")?;
                return Ok(None);
            };
            let bytes = match blobs.get(&sha256) {
                Ok(bytes) => bytes,
                Err(error @ (Error::Corrupt { .. } | Error::Io(_))) if !error.is_storage_full() => {
                    tracing::error!(document.id = %job.document, error = %error, "the stored file cannot be read");
                    catalog.fail_job(job.id, &format!("the stored file cannot be read ({error}); add the document again"))?;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            match read(&bytes, &job.source, &target.attributes.media_type) {
                Ok(extracted) => {
                    let title = title(&extracted, &job.source);
                    let found = extracted.metadata.tidied();
                    let attributes = Attributes { metadata: found.under(&given)?, ..target.attributes };
                    let chunks = chunk(&extracted.blocks, &|text| embedder.count_tokens(text), &config);
                    let warnings = extracted.warnings.into_iter().map(|warning| warning.message).collect();
                    let prepared = Prepared { target: Published { title, attributes, ..target }, chunks, embedded: Vec::new(), warnings, found };
                    Ok(Some((prepared, bytes.len() as u64)))
                }
                Err(error) if is_about_file(&error) => {
                    tracing::info!(document.id = %job.document, error = %error, "document cannot be indexed");
                    catalog.fail_job(job.id, &error.to_string())?;
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Embeds the chunks of a batch together, so that short documents fill the model's batches too.
    async fn embed(
        &self,
        batch: &mut [(Job, Prepared)],
        progress: &(dyn Fn(&Job, Stage, f32) + Send + Sync),
    ) -> Result<()> {
        let mut places = Vec::new();
        let mut texts = Vec::new();
        for (at, (_, prepared)) in batch.iter_mut().enumerate() {
            prepared.embedded = vec![(Vec::new(), Vec::new()); prepared.chunks.chunks.len()];
            for (ordinal, chunk) in prepared.chunks.chunks.iter().enumerate() {
                places.push((at, ordinal));
                texts.push(embedded_text(
                    &prepared.target.title,
                    &chunk.context,
                    &chunk.text,
                ));
            }
        }
        for (places, texts) in places.chunks(EMBED_CHUNKS).zip(texts.chunks(EMBED_CHUNKS)) {
            let embeddings = self.embedder.embed_documents(texts).await?;
            for ((at, ordinal), embedding) in places.iter().zip(embeddings) {
                let (_, prepared) = &mut batch[*at];
                prepared.embedded[*ordinal] =
                    (embedding.vector, self.codec.encode(&embedding.tokens));
            }
            if let Some((at, ordinal)) = places.last() {
                let (job, prepared) = &batch[*at];
                progress(
                    job,
                    Stage::Embed,
                    0.1 + 0.8 * (*ordinal + 1) as f32 / prepared.embedded.len().max(1) as f32,
                );
            }
        }
        Ok(())
    }

    async fn store_and_publish(&self, batch: Vec<(Job, Prepared)>) -> Result<()> {
        let ops: Vec<IndexOp> = batch
            .iter()
            .map(|(_, prepared)| {
                let vectors = prepared.embedded.iter().map(|(vector, _)| vector);
                put_op(&prepared.target, prepared.chunks.chunks.iter().zip(vectors))
            })
            .collect();
        self.store.apply(ops).await?;
        self.store.checkpoint().await?;

        let indexed: Vec<Indexed> = batch
            .into_iter()
            .map(|(job, prepared)| prepared.into_indexed(job.id))
            .collect();
        let (catalog, blobs) = (Arc::clone(&self.catalog), Arc::clone(&self.blobs));
        let prunes = blocking(move || {
            let published: HashSet<DocumentId> = catalog.publish(&indexed)?.into_iter().collect();
            let replaced = indexed
                .iter()
                .any(|new| new.version > 1 && published.contains(&new.document));
            if replaced {
                catalog.forget_log()?;
                blobs.sweep(|| catalog.blobs_in_use())?;
            }
            // Only where an older version exists is there anything to take out.
            let prune = |new: &Indexed| IndexOp::Prune {
                document: new.document,
                keep: new.version,
            };
            Ok(indexed
                .iter()
                .filter(|new| new.version > 1 && published.contains(&new.document))
                .map(prune)
                .collect::<Vec<_>>())
        })
        .await?;
        if prunes.is_empty() {
            return Ok(());
        }
        // The new versions are served already; older ones no longer hydrate, so a crash only delays this.
        self.store.apply(prunes).await?;
        self.store.checkpoint().await
    }
}

/// A file between extraction and storing.
struct Prepared {
    target: Published,
    chunks: Chunks,
    /// Each chunk's vector and the codes of its tokens.
    embedded: Vec<(Vec<f32>, Vec<u8>)>,
    warnings: Vec<String>,
    found: Metadata,
}

impl Prepared {
    fn into_indexed(self, job: JobId) -> Indexed {
        let chunks = self
            .chunks
            .chunks
            .into_iter()
            .zip(self.embedded)
            .map(|(chunk, (vector, tokens))| EmbeddedChunk {
                chunk,
                vector,
                tokens,
            })
            .collect();
        Indexed {
            job,
            document: self.target.document,
            version: self.target.version,
            title: self.target.title,
            text: self.chunks.text,
            chunks,
            warnings: self.warnings,
            found: self.found,
        }
    }
}

/// Returns what is embedded for a chunk: its title and context lead, the quoted text follows.
pub(crate) fn embedded_text(title: &str, context: &str, text: &str) -> String {
    let mut whole = String::with_capacity(title.len() + context.len() + text.len() + 2);
    for part in [title, context] {
        if !part.is_empty() {
            whole.push_str(part);
            whole.push('\n');
        }
    }
    whole.push_str(text);
    whole
}

pub(crate) fn put_op<'a>(
    target: &Published,
    chunks: impl Iterator<Item = (&'a crate::Chunk, &'a Vec<f32>)>,
) -> IndexOp {
    IndexOp::Put {
        collection: target.collection,
        acl: target.acl.clone(),
        attributes: target.attributes.clone(),
        chunks: stored_chunks(target, chunks),
    }
}

/// Returns chunks as the store takes them.
pub(crate) fn stored_chunks<'a>(
    target: &Published,
    chunks: impl Iterator<Item = (&'a crate::Chunk, &'a Vec<f32>)>,
) -> Vec<StoredChunk> {
    chunks
        .map(|(chunk, vector)| StoredChunk {
            id: ChunkId {
                document: target.document,
                version: target.version,
                ordinal: chunk.ordinal,
            },
            title: target.title.clone(),
            headings: chunk.context.clone(),
            text: chunk.text.clone(),
            vector: vector.clone(),
        })
        .collect()
}

fn read(bytes: &[u8], source: &str, media_type: &str) -> Result<Extracted> {
    if media_type == EXTRACTED_MEDIA_TYPE {
        let reason = |error: serde_json::Error| Error::Malformed {
            format: "extracted JSON",
            reason: error.to_string(),
        };
        return serde_json::from_slice(bytes).map_err(reason);
    }
    extract::extract(bytes, source, Some(media_type))
}

/// Returns the title a file gives itself, else its first heading, else its name.
fn title(extracted: &Extracted, source: &str) -> String {
    let given = extracted
        .title
        .as_deref()
        .map(str::trim)
        .filter(|title| !title.is_empty());
    let heading = extracted
        .blocks
        .iter()
        .find(|block| matches!(block.kind, crate::BlockKind::Heading(1 | 2)))
        .map(|block| block.text.trim());
    let name = source.rsplit('/').next().unwrap_or(source);
    given
        .or(heading)
        .unwrap_or(name)
        .chars()
        .take(300)
        .collect()
}

/// Returns whether an error says something about the file, not about kura or the machine.
fn is_about_file(error: &Error) -> bool {
    match error {
        Error::UnsupportedFormat { .. }
        | Error::EmptyFile
        | Error::NoText
        | Error::Encrypted
        | Error::Malformed { .. }
        | Error::TooLarge { .. } => true,
        Error::UnknownCollection { .. }
        | Error::InvalidCollectionName { .. }
        | Error::InvalidDictionary { .. }
        | Error::InvalidDate { .. }
        | Error::InvalidMetadata { .. }
        | Error::UnknownDocument { .. }
        | Error::UnknownJob { .. }
        | Error::UnknownSource { .. }
        | Error::SourceExists { .. }
        | Error::InvalidSource { .. }
        | Error::Locked { .. }
        | Error::Incompatible { .. }
        | Error::Damaged { .. }
        | Error::StorageFull { .. }
        | Error::Catalog(_)
        | Error::Migration(_)
        | Error::Corrupt { .. }
        | Error::Lexical(_)
        | Error::Dense(_)
        | Error::Io(_)
        | Error::Model(_)
        | Error::Reranker { .. }
        | Error::Task(_) => false,
    }
}
