//! Documents in: add → extract → chunk → embed → store → publish; resumable and idempotent.
//!
//! Durability, always in this order: blob fsync → vector store flush → lexical commit → catalog COMMIT.
//! A crash between any two steps leaves the old version served and the job queued; running it again
//! overwrites the same ids.
//!
//! `run` is the loop that takes jobs through the stages `prepare`, `embed` and `store`; `control` is what people can do
//! about jobs, `activity` what they see of them.

mod activity;
mod control;
mod embed;
mod parts;
mod prepare;
mod run;
mod store;

pub(crate) use activity::Activity;
pub use activity::{Obstacle, Rates, Totals};
pub use control::JobsSummary;
pub use run::{Event, Limits};

use crate::catalog::{Deleted, Document, JobId, NewVersion, Priority, Published, RequestKey};
use crate::pipeline::{Pipeline, blocking};
use crate::store::{IndexOp, StoredChunk};
use crate::{
    AccessFilter, AclChange, ChunkId, CollectionId, DocumentId, Error, MetadataChange, Result,
    extract,
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The media type of content that was extracted elsewhere: an [`Extracted`](crate::Extracted) as JSON.
pub const EXTRACTED_MEDIA_TYPE: &str = "application/vnd.kura.extracted+json";

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
    pub acl: AclChange,
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

/// How a file is added.
#[derive(Debug, Clone, Default)]
pub struct AddOptions {
    /// Which jobs its job goes before.
    pub priority: Priority,
    /// Chosen by the caller, another for every request.
    pub key: Option<String>,
}

impl From<Priority> for AddOptions {
    fn from(priority: Priority) -> Self {
        Self {
            priority,
            key: None,
        }
    }
}

impl Pipeline {
    /// Keeps a file and queues its indexing. When it returns, neither can be lost.
    ///
    /// # Errors
    /// [`Error::StorageFull`] before anything was written; [`Error::InvalidMetadata`]; [`Error::PartOfDocument`] when the
    /// document of that source lies in another one.
    pub async fn add_document(&self, new: NewDocument) -> Result<Added> {
        self.add_document_with(new, Priority::default()).await
    }

    /// The same, with a say in which jobs its job goes before, and with a key by which the request is known when it comes
    /// again: then nothing is done, and what was replied is replied again.
    ///
    /// # Errors
    /// Those of [`Pipeline::add_document`]; [`Error::RequestKeyUsed`].
    pub async fn add_document_with(
        &self,
        new: NewDocument,
        options: impl Into<AddOptions>,
    ) -> Result<Added> {
        let AddOptions { priority, key } = options.into();
        self.check_room(new.bytes.len() as u64)?;
        let metadata = new.metadata.checked()?;
        let (catalog, blobs) = (Arc::clone(&self.catalog), Arc::clone(&self.blobs));
        let says_something = !metadata.is_empty();
        let (added, children_wait) = blocking(move || {
            let media_type = match new.media_type {
                Some(given) if given == EXTRACTED_MEDIA_TYPE => given,
                given => extract::detect(&new.bytes, &new.source, given.as_deref())
                    .as_str()
                    .to_owned(),
            };
            let adding = blobs.adding();
            let sha256 = blobs.put(&new.bytes)?;
            let mut version = NewVersion {
                collection: new.collection,
                source: &new.source,
                media_type: &media_type,
                size_bytes: new.bytes.len() as u64,
                sha256: &sha256,
                acl: &new.acl,
                metadata: &metadata,
                priority,
                request: None,
            };
            version.request = key.as_deref().map(|key| RequestKey {
                key,
                hash: request_hash(&version),
            });
            let (id, job, outcome) = match catalog.add_document(&version) {
                Err(
                    refused @ (Error::PartOfDocument { .. }
                    | Error::RequestKeyUsed { .. }
                    | Error::UnknownCollection { .. }),
                ) => {
                    // Nothing was committed, so the bytes are nobody's. After other errors that is not certain.
                    drop(adding);
                    let blob = [sha256];
                    blobs.drop_unused(&blob, || catalog.still_in_use(&blob))?;
                    return Err(refused);
                }
                other => other?,
            };
            let document =
                catalog.document(id, &AccessFilter::unrestricted("reply to the adder"))?;
            let children_wait = catalog.children_wait(id)?;
            drop(adding);
            if document.sha256 != sha256 {
                // A request that came again: these bytes are not the document's any more.
                let blob = [sha256];
                blobs.drop_unused(&blob, || catalog.still_in_use(&blob))?;
            }
            let added = Added {
                document,
                job,
                outcome,
            };
            Ok((added, children_wait))
        })
        .await?;
        // Otherwise the job tells the index. Who may read the children does not wait for it.
        if says_something && added.job.is_none() || children_wait {
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
                let readers = unindexed.iter().filter_map(|told| {
                    Some(IndexOp::SetAcl {
                        document: told.document,
                        acl: told.acl.clone()?,
                    })
                });
                let attributes = unindexed.iter().map(|told| IndexOp::SetAttributes {
                    document: told.document,
                    attributes: told.attributes.clone(),
                });
                store.apply(readers.chain(attributes).collect()).await?;
                store.checkpoint().await?;
                let sink = Arc::clone(&catalog);
                blocking(move || sink.attributes_indexed(&unindexed)).await?;
            }
        });
        told.await.map_err(|error| Error::Task(error.to_string()))?
    }

    /// Deletes a document and what lies in it. When it returns, no search, answer or list has them, and no store holds
    /// their text.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`] when it is absent or not for this principal; [`Error::PartOfDocument`] when it lies in
    /// another one.
    pub async fn delete_document(&self, id: DocumentId, access: &AccessFilter) -> Result<()> {
        let document = self.document(id, access).await?;
        if let Some(parent) = document.parent {
            return Err(Error::PartOfDocument {
                source_name: document.source,
                parent: self.document(parent, access).await?.source,
            });
        }
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
    pub async fn delete_collection(&self, name: &str, access: &AccessFilter) -> Result<()> {
        let id = self.collection(name, access).await?.id;
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
            let old_blobs = catalog.purge(&deleted)?;
            catalog.forget_log()?;
            blobs.drop_unused(&old_blobs, || catalog.still_in_use(&old_blobs))
        })
        .await
    }
}

/// Returns a hash of all that a request to add a file says.
fn request_hash(new: &NewVersion<'_>) -> [u8; 32] {
    let said = serde_json::json!([
        new.collection,
        new.source,
        new.sha256,
        new.media_type,
        new.acl,
        new.metadata
    ]);
    Sha256::digest(said.to_string()).into()
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

#[cfg(test)]
mod tests;
