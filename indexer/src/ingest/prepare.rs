//! Stages before embedding: a file's bytes become blocks, then chunks.

use super::EXTRACTED_MEDIA_TYPE;
use crate::catalog::{Job, Pending, Published, Reason, TextHash, text_hash};
use crate::chunk::{Chunks, Counter, chunk_unless};
use crate::extract::isolation::SourceFile;
use crate::pipeline::{Pipeline, blocking};
use crate::{Attributes, Error, Extracted, Metadata, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tokens of the embedder left for its prompt, a document's title and the headings above a chunk.
const CONTEXT_TOKENS: usize = 64;

/// A file that was read and cut.
pub(super) struct Prepared {
    pub(super) target: Published,
    pub(super) chunks: Chunks,
    /// What is embedded for each chunk, as a hash.
    pub(super) hashes: Vec<TextHash>,
    pub(super) warnings: Vec<String>,
    pub(super) found: Metadata,
    /// How many files lie in it.
    pub(super) n_parts: u32,
    pub(super) extracting: Duration,
    pub(super) chunking: Duration,
}

/// What a stage of one job gives.
pub(super) type Attempt<T> = std::result::Result<T, Trouble>;

/// Why a job cannot go on.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Something about this job; the others are not concerned.
    Job(Reason, String),
    /// Something that concerns every job.
    All(Box<Error>),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        use crate::catalog::Retry;
        let reason = error.reason();
        match reason.retry() {
            Retry::Never | Retry::Few => Self::Job(reason, error.to_string()),
            Retry::Always => Self::All(Box::new(error)),
        }
    }
}

impl Pipeline {
    /// Reads and cuts a job's file. `None` when the version is not wanted any more.
    pub(super) async fn prepare(&self, job: &Job) -> Attempt<Option<Prepared>> {
        let started = Instant::now();
        let (catalog, blobs) = (Arc::clone(&self.catalog), Arc::clone(&self.blobs));
        let (document, version) = (job.document, job.version);
        let loaded = blocking(move || {
            let Some(pending) = catalog.pending(document, version)? else {
                return Ok(None);
            };
            let bytes = blobs.get(&pending.sha256);
            Ok(Some((pending, bytes)))
        })
        .await?;
        let Some((pending, bytes)) = loaded else {
            return Ok(None);
        };
        let Pending {
            sha256,
            given,
            date,
            is_child,
            target,
        } = pending;
        let bytes = match bytes {
            Err(error @ (Error::Corrupt { .. } | Error::Io(_))) if !error.is_storage_full() => {
                tracing::error!(document.id = %document, error = %error, "the stored file cannot be read");
                let error =
                    format!("the stored file cannot be read ({error}); add the document again");
                return Err(Trouble::Job(Reason::LostFile, error));
            }
            bytes => bytes?,
        };
        let media_type = target.attributes.media_type.clone();
        // What lies in a child was taken out when its parent was read.
        let parts = (!is_child).then(|| self.parts_of(document, version));
        let (parts, taker) = parts.unzip();
        let file = SourceFile {
            bytes: bytes.into(),
            name: job.source.clone(),
            media_type: Some(media_type),
            taker,
        };
        let extracted = self.extract(file).await?;
        check_size(&extracted, self.config.max_text_bytes)?;
        let n_parts = parts.map_or(0, |parts| parts.count());
        let extracting = started.elapsed();

        let (catalog, embedder) = (Arc::clone(&self.catalog), Arc::clone(&self.embedder));
        let (source, mut config) = (job.source.clone(), self.config.chunking);
        // What the embedder would cut off could not be found: room is left for its prompt, the title and the headings.
        let limit = embedder.spec().max_tokens.saturating_sub(CONTEXT_TOKENS);
        config.max_tokens = config.max_tokens.min(limit.max(CONTEXT_TOKENS));
        // A thread cannot be ended from outside; it asks whether anybody still waits.
        let waiting = Arc::new(());
        let awaited = Arc::downgrade(&waiting);
        let prepared = blocking(move || {
            let started = Instant::now();
            let title = title(&extracted, &source);
            let found = extracted.metadata.tidied();
            let inherited = Metadata {
                date: found.date.or(date),
                ..found.clone()
            };
            let attributes = Attributes {
                metadata: inherited.under(&given)?,
                ..target.attributes
            };
            let chunks = chunk_unless(
                &|| awaited.strong_count() == 0,
                &extracted.blocks,
                Counter {
                    count: &|text| embedder.count_tokens(text),
                    adds_up: &|text| embedder.tokens_add_up(text),
                },
                &config,
            );
            let Some(chunks) = chunks else {
                return Ok(None);
            };
            let hash = |chunk: &crate::Chunk| text_hash(&title, &chunk.context, &chunk.text);
            let hashes = chunks.chunks.iter().map(hash).collect();
            catalog.fill_hashes(document, &sha256)?;
            let warnings = extracted.warnings.into_iter();
            Ok(Some(Prepared {
                target: Published {
                    title,
                    attributes,
                    ..target
                },
                chunks,
                hashes,
                warnings: warnings.map(|warning| warning.message).collect(),
                found,
                n_parts,
                extracting,
                chunking: started.elapsed(),
            }))
        })
        .await;
        drop(waiting);
        Ok(prepared?)
    }

    /// Bytes to blocks: the one place where ingestion reads what others made.
    async fn extract(&self, file: SourceFile) -> Result<Extracted> {
        if file.media_type.as_deref() != Some(EXTRACTED_MEDIA_TYPE) {
            return self.extractor.extract(file).await;
        }
        let parse = move || {
            serde_json::from_slice(&file.bytes).map_err(|error| Error::Malformed {
                format: "extracted JSON",
                reason: error.to_string(),
            })
        };
        blocking(parse).await
    }
}

fn check_size(extracted: &Extracted, max_bytes: usize) -> Result<()> {
    let n_bytes: usize = extracted.blocks.iter().map(|block| block.text.len()).sum();
    if n_bytes <= max_bytes {
        return Ok(());
    }
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    Err(Error::TooLarge {
        reason: format!(
            "it holds {} MiB of text, more than the {} MiB of `ingest.max_text_bytes`",
            mib(n_bytes),
            mib(max_bytes)
        ),
    })
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
