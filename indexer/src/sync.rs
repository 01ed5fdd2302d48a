//! Keeping in step with a place where documents live: one engine for every kind of connector.
//!
//! A scan compares a listing with what the catalog knows of the source (`source_items`): what is new is added, what
//! changed is replaced, what has moved is renamed with its chunks and vectors, what is gone is deleted. What has the same
//! marker as before is not read, and what was read with the same content is not indexed again.
//!
//! A row of `source_items` is written only after its document is durable, so a scan may be cut off anywhere and be run
//! again. Nothing is deleted on the word of a listing that failed, or that lacks most of what was there while nothing
//! says that it is still the same root.

mod apply;
mod moves;
mod scan;

pub use scan::scan;

use crate::catalog::{Catalog, ItemRow, KnownItem, NewSource, Source, SourceId};
use crate::pipeline::{Pipeline, blocking};
use crate::{CollectionId, Result};
use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A place whose items can be listed and read.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Lists all items, each once, in any order. An error means that the listing is not whole; more may follow.
    fn list(&self) -> BoxStream<'_, std::result::Result<Item, Failure>>;

    /// Reads an item that [`list`](Connector::list) has returned.
    async fn fetch(&self, item: &Item) -> Fetched;

    /// Returns what tells the root from another one in its place, such as the folder under a file system that is not
    /// mounted. Asked after a listing. `None`: nothing does, so that a listing which lacks most is not believed.
    ///
    /// Only the first line is compared. What follows is kept for the connector: it is what it wants to know of the place
    /// at the next scan, and replaces what was kept only if this scan succeeds.
    ///
    /// # Errors
    /// When the root cannot be read at all.
    async fn root(&self) -> std::result::Result<Option<String>, Failure>;

    /// How many items may be fetched at the same time.
    fn parallel(&self) -> usize {
        4
    }
}

/// Why a source cannot be read, for people, with the remedy where one is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// A file, message or page in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Unique in the source: path, uid, address.
    pub key: String,
    /// Changes when the content may have changed.
    pub marker: String,
    /// The source that its document gets in the collection.
    pub source: String,
    /// Where a person finds it.
    pub link: String,
    /// Size in bytes, where the listing tells it.
    pub size_bytes: Option<u64>,
    /// What may follow it when it is moved, such as its inode. Only a help: content decides.
    pub hint: Option<String>,
    /// What the connector wants to know again at the next scan.
    pub note: Option<String>,
    /// Whether it can be read now.
    pub standing: Standing,
}

/// Whether an item can be read now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It can.
    Ready,
    /// It is being written: the next scan looks again.
    Changing,
    /// It is not to be a document, for this reason; it is looked at again when it changes.
    Refused(String),
}

/// What reading an item gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// Its content, and the media type that the place states.
    Content {
        /// The bytes.
        bytes: Vec<u8>,
        /// Media type, if the place states one.
        media_type: Option<String>,
    },
    /// It is being written: the next scan looks again.
    Changing,
    /// It went away after it was listed: the next scan will not list it.
    Gone,
    /// It is not to be a document, for this reason.
    Refused(String),
    /// It could not be read; the next scan tries again.
    Failed(String),
}

/// How a scan is done.
#[derive(Debug, Clone, Copy)]
pub struct ScanOptions {
    /// Whether the listing is believed even if it lacks most of what was there.
    pub allow_deletions: bool,
    /// Whether what was refused or could not be indexed is tried again, though it has not changed.
    pub retry: bool,
    /// Larger items are not taken in.
    pub max_bytes: u64,
}

/// What a scan did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScanReport {
    /// Items listed.
    pub listed: u64,
    /// Of these: with the same marker as before, so not read.
    pub unchanged: u64,
    /// With another marker and the same content.
    pub same_content: u64,
    /// New documents.
    pub added: u64,
    /// New versions of documents.
    pub replaced: u64,
    /// Documents renamed, because their file was moved.
    pub renamed: u64,
    /// Documents deleted.
    pub deleted: u64,
    /// Not to be documents: too large, empty, of an unknown format.
    pub refused: u64,
    /// Could not be read; tried again at the next scan.
    pub failed: u64,
    /// Being written; looked at again soon.
    pub changing: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Milliseconds it took.
    pub duration_ms: u64,
    /// Why it did not succeed. What was taken in is kept; nothing was deleted.
    pub error: Option<String>,
}

impl ScanReport {
    /// Returns whether documents were changed in any way.
    #[must_use]
    pub fn changed_anything(&self) -> bool {
        self.added + self.replaced + self.renamed + self.deleted > 0
    }
}

impl Pipeline {
    /// Notes that a source could not be read at all.
    pub async fn source_failed(&self, id: SourceId, cause: &str) -> Result<()> {
        let report = ScanReport {
            error: Some(cause.to_owned()),
            ..ScanReport::default()
        };
        self.catalog(move |catalog| catalog.scanned(id, jiff::Timestamp::now(), None, &report))
            .await
    }

    /// Adds a source. Nothing is read from it yet.
    ///
    /// # Errors
    /// [`crate::Error::SourceExists`], [`crate::Error::InvalidSource`].
    pub async fn create_source(&self, new: NewSource) -> Result<Source> {
        self.catalog(move |catalog| catalog.create_source(&new))
            .await
    }

    /// Returns all sources by name.
    pub async fn sources(&self) -> Result<Vec<Source>> {
        self.catalog(Catalog::sources).await
    }

    /// Returns the source of this name.
    ///
    /// # Errors
    /// [`crate::Error::UnknownSource`].
    pub async fn source(&self, name: &str) -> Result<Source> {
        let name = name.to_owned();
        self.catalog(move |catalog| catalog.source(&name)).await
    }

    /// Leaves a source alone until it is resumed, or resumes it.
    ///
    /// # Errors
    /// [`crate::Error::UnknownSource`].
    pub async fn pause_source(&self, name: &str, paused: bool) -> Result<Source> {
        let id = self.source(name).await?.id;
        self.catalog(move |catalog| catalog.set_paused(id, paused))
            .await?;
        self.source(name).await
    }

    /// Forgets a source; its documents stay, or are deleted. Returns how many were deleted.
    ///
    /// # Errors
    /// [`crate::Error::UnknownSource`].
    pub async fn remove_source(&self, name: &str, with_documents: bool) -> Result<usize> {
        let id = self.source(name).await?.id;
        let n = self
            .catalog(move |catalog| catalog.delete_source(id, with_documents))
            .await?;
        if n > 0 {
            self.drop_deleted().await?;
            self.index_attributes().await?;
        }
        Ok(n)
    }

    /// Returns an item of a source as it was last seen.
    pub async fn source_item(&self, source: SourceId, key: &str) -> Result<Option<KnownItem>> {
        let keys = vec![key.to_owned()];
        Ok(self
            .catalog(move |catalog| catalog.items(source, &keys))
            .await?
            .into_values()
            .next())
    }

    /// Returns items of a source by key, from after `after`; only those with an error if so asked.
    pub async fn source_items(
        &self,
        source: SourceId,
        after: &str,
        limit: usize,
        failed_only: bool,
    ) -> Result<Vec<KnownItem>> {
        let after = after.to_owned();
        self.catalog(move |catalog| catalog.items_after(source, &after, limit, failed_only))
            .await
    }

    /// Forgets items and deletes their documents. When it returns, no search has them. Returns how many there were.
    pub(crate) async fn delete_source_items(
        &self,
        source: SourceId,
        keys: Vec<String>,
    ) -> Result<usize> {
        let n = self
            .catalog(move |catalog| catalog.delete_items(source, &keys))
            .await?;
        self.drop_deleted().await?;
        // What they superseded counts again.
        self.index_attributes().await?;
        Ok(n)
    }

    /// Keeps what was seen of items.
    pub(crate) async fn put_source_items(
        &self,
        source: SourceId,
        rows: Vec<ItemRow>,
    ) -> Result<()> {
        self.catalog(move |catalog| catalog.put_items(source, &rows))
            .await
    }

    /// Renames documents whose files were moved, without embedding anything. Returns the moves that could not be made.
    ///
    /// The keyword index is told of changed titles before the catalog commits: a crash between leaves a title that the
    /// next scan, which then makes the same moves again, writes once more.
    pub(crate) async fn move_documents(
        &self,
        source: SourceId,
        collection: CollectionId,
        moves: Vec<crate::catalog::Move>,
    ) -> Result<Vec<crate::catalog::Move>> {
        /// Documents whose words are put between two commits of the keyword index.
        const PER_COMMIT: usize = 64;
        {
            let _changing = self.changing.lock().await;
            for some in moves.chunks(PER_COMMIT) {
                let (catalog, some) = (Arc::clone(&self.catalog), some.to_vec());
                let ops = blocking(move || {
                    let retitled = catalog.retitled(&some)?;
                    retitled
                        .iter()
                        .map(|target| crate::repair::put_words(&catalog, target))
                        .collect::<Result<Vec<_>>>()
                })
                .await?;
                if !ops.is_empty() {
                    self.store.apply(ops).await?;
                    self.store.checkpoint().await?;
                }
            }
        }
        let displaced = moves.iter().any(|one| one.displaced.is_some());
        let refused = self
            .catalog(move |catalog| catalog.move_items(source, collection, moves))
            .await?;
        if displaced {
            self.drop_deleted().await?;
        }
        self.index_attributes().await?;
        Ok(refused)
    }
}
