//! Forgetting: documents and names leave every store, and the files that held them are written anew.
//!
//! Deleting hides at once and takes the text out of what is read. This is more: no file of the data directory has it
//! afterwards, be it in a deleted row's page, a segment whose deleted documents wait for a merge, or a log.

use crate::catalog::{Catalog, Doomed, Erasure, Holdings, Naming, Origin};
use crate::pipeline::{Pipeline, blocking};
use crate::{DocumentId, Error, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long what is just being done about a document may take to end.
const WORK_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// What a forgetting of documents is about, before it begins.
#[derive(Debug, Clone)]
pub struct Prospect {
    /// The documents, and what lies in them.
    pub doomed: Vec<Doomed>,
    /// What is kept of them.
    pub holdings: Holdings,
    /// Where they come from.
    pub origins: Vec<Origin>,
    /// Other documents with the same bytes, which stay.
    pub copies: Vec<DocumentId>,
    /// Other documents whose files name one of them, which stay.
    pub named_by: Vec<DocumentId>,
}

impl Pipeline {
    /// Returns what forgetting these documents is about, whoever may read them; nothing is changed.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`]; [`Error::PartOfDocument`] when one lies in another that is to stay.
    pub async fn prospect(&self, ids: Vec<DocumentId>) -> Result<Prospect> {
        self.catalog(move |catalog| {
            let doomed = catalog.doomed(&ids)?;
            let ids: Vec<DocumentId> = doomed.iter().map(|one| one.id).collect();
            Ok(Prospect {
                holdings: catalog.holdings(&ids)?,
                origins: catalog.origins(&ids)?,
                copies: catalog.copies(&doomed)?,
                named_by: catalog.named_by(&doomed)?,
                doomed,
            })
        })
        .await
    }

    /// Returns the sources that these documents come from.
    pub async fn origins(&self, ids: Vec<DocumentId>) -> Result<Vec<Origin>> {
        self.catalog(move |catalog| catalog.origins(&ids)).await
    }

    /// Hides documents at once and for good. Their text is still there: see [`Pipeline::forget_documents`].
    pub async fn doom(&self, doomed: Vec<Doomed>) -> Result<()> {
        self.catalog(move |catalog| catalog.doom(&doomed)).await
    }

    /// Takes documents out of everything that can be read: rows, stores, blobs. Waits for what is just being done about
    /// them. Doing it again changes nothing.
    pub async fn forget_documents(&self, doomed: Vec<Doomed>) -> Result<()> {
        let given = doomed.clone();
        let jobs = self
            .catalog(move |catalog| {
                catalog.doom(&given)?;
                catalog.jobs_of(&given)
            })
            .await?;
        self.drop_deleted().await?;
        let deadline = Instant::now() + WORK_PATIENCE;
        while self.activity.any_live(&jobs) {
            if Instant::now() > deadline {
                return Err(Error::Task(
                    "a document that is to be forgotten is still being read; it is tried again"
                        .to_owned(),
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.drop_deleted().await?;
        // What they superseded counts again.
        self.index_attributes().await?;
        let (catalog, blobs) = (Arc::clone(&self.catalog), Arc::clone(&self.blobs));
        blocking(move || {
            catalog.drop_forgotten_items()?;
            // A file that lay in one may have been kept after its document had gone.
            blobs.sweep(|| catalog.blobs_in_use()).map(drop)
        })
        .await
    }

    /// Returns where a group is named.
    pub async fn naming(&self, group: &str) -> Result<Naming> {
        let group = group.to_owned();
        self.catalog(move |catalog| catalog.naming(&group)).await
    }

    /// Returns each collection's dictionary, as it was given, with the collection's name.
    pub async fn dictionaries(&self) -> Result<Vec<(String, String)>> {
        self.catalog(Catalog::named_dictionaries).await
    }

    /// Takes a group that nobody is in any more out of every access list, in the stores, too.
    pub async fn unname(&self, group: &str) -> Result<()> {
        let group = group.to_owned();
        self.catalog(move |catalog| catalog.unname(&group)).await?;
        self.index_attributes().await
    }

    /// Writes the files of the stores anew, so that they have nothing of what was taken out of them. Searches go on, changes
    /// wait meanwhile.
    pub async fn erase_from_stores(&self) -> Result<()> {
        let _changing = self.changing.lock().await;
        self.store.erase().await
    }

    /// Writes the catalog anew, so that it has nothing of what was deleted in it.
    pub async fn erase_from_catalog(&self) -> Result<()> {
        self.catalog(Catalog::compact).await
    }

    /// Fails if anything is left of documents that were forgotten.
    ///
    /// # Errors
    /// [`Error::Task`], with what is left.
    pub async fn check_forgotten(&self, doomed: &[Doomed]) -> Result<()> {
        let ids: Vec<DocumentId> = doomed.iter().map(|one| one.id).collect();
        let stored = self.store.inventory().await?;
        let n_stored = stored
            .iter()
            .filter(|entry| ids.contains(&entry.document))
            .count();
        let Holdings {
            versions,
            chunks,
            items,
            jobs: _,
        } = self.catalog(move |catalog| catalog.holdings(&ids)).await?;
        if n_stored == 0 && versions + chunks + items == 0 {
            return Ok(());
        }
        Err(Error::Task(format!(
            "something is left of what was forgotten: {versions} versions and {chunks} chunks in the catalog, {n_stored} \
             documents in the index"
        )))
    }

    /// Notes that something is to be forgotten, before it begins: durable when this returns.
    pub async fn begin_erasure(&self, request: String) -> Result<Uuid> {
        self.catalog(move |catalog| catalog.begin_erasure(&request))
            .await
    }

    /// Keeps the certificate, and nothing else of what was asked for.
    pub async fn certify_erasure(&self, id: Uuid, certificate: String) -> Result<()> {
        self.catalog(move |catalog| catalog.certify_erasure(id, &certificate))
            .await
    }

    /// Notes that it is done.
    pub async fn finish_erasure(&self, id: Uuid) -> Result<()> {
        self.catalog(move |catalog| catalog.finish_erasure(id))
            .await
    }

    /// Returns what is forgotten or was, the latest first, from before `before`.
    pub async fn erasures(&self, before: Option<Uuid>, limit: usize) -> Result<Vec<Erasure>> {
        self.catalog(move |catalog| catalog.erasures(before, limit))
            .await
    }

    /// Returns one of these.
    pub async fn erasure(&self, id: Uuid) -> Result<Option<Erasure>> {
        self.catalog(move |catalog| catalog.erasure(id)).await
    }

    /// Returns those that are not done, the first first.
    pub async fn unfinished_erasures(&self) -> Result<Vec<Uuid>> {
        self.catalog(Catalog::unfinished_erasures).await
    }
}
