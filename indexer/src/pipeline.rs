//! One data directory, opened: catalog, blobs, store and embedder together.
//!
//! Layout: `LOCK`, `RESERVE`, `catalog.db`, `blobs/`, `index/<generation>/`. The catalog and the blobs are the truth.

use crate::access::Collections;
use crate::blobs::Blobs;
use crate::catalog::{Catalog, Collection, Document, Page, Surroundings, TOKEN_CENTER};
use crate::chunk::ChunkConfig;
use crate::dictionary::Dictionaries;
use crate::extract::isolation::{Extractor, InProcess};
use crate::fuse::Fusion;
use crate::ingest::Activity;
use crate::late::TokenCodec;
use crate::rerank::Reranking;
use crate::store::{Bm25, EmbeddedStore, Store, StoreSpec};
use crate::{AccessFilter, CollectionId, DocumentId, Error, Result, SearchFilter, room};
use kura_models::{Embedder, Reranker};
use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Documents read at a time to look for those that pass a filter.
const DOCUMENTS_PER_PAGE: usize = 500;

/// How documents are cut and found.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexConfig {
    /// How documents are cut.
    pub chunking: ChunkConfig,
    /// Text that a document may hold, in bytes; one with more is refused.
    pub max_text_bytes: usize,
    /// Chunks each leg contributes before fusion.
    pub candidates: usize,
    /// How the lexical leg scores.
    pub bm25: Bm25,
    /// How the two legs become one list.
    pub fusion: Fusion,
    /// Whether hits that say the same as a better one are listed under it.
    pub collapse_duplicates: bool,
    /// Late interaction is dropped when a search has taken this long without being through with it.
    pub late_budget: Duration,
    /// What a reranker may do, if there is one.
    pub reranking: Reranking,
    /// Room that must be left on the data directory's file system before anything is added.
    pub min_free_bytes: u64,
}

/// What documents are read, indexed and found with.
#[derive(Clone)]
pub struct IndexModels {
    /// Makes the vectors.
    pub embedder: Arc<dyn Embedder>,
    /// Orders the best candidates of a search; without one, fusion has the last word.
    pub reranker: Option<Arc<dyn Reranker>>,
    /// Reads files.
    pub extractor: Arc<dyn Extractor>,
}

impl From<Arc<dyn Embedder>> for IndexModels {
    fn from(embedder: Arc<dyn Embedder>) -> Self {
        Self {
            embedder,
            reranker: None,
            extractor: Arc::new(InProcess::default()),
        }
    }
}

impl<E: Embedder + 'static> From<Arc<E>> for IndexModels {
    fn from(embedder: Arc<E>) -> Self {
        Self::from(embedder as Arc<dyn Embedder>)
    }
}

/// One data directory, opened. Only one process has it at a time.
pub struct Pipeline {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) embedder: Arc<dyn Embedder>,
    pub(crate) reranker: Option<Arc<dyn Reranker>>,
    pub(crate) extractor: Arc<dyn Extractor>,
    pub(crate) codec: TokenCodec,
    pub(crate) config: IndexConfig,
    pub(crate) dictionaries: Dictionaries,
    /// Ingest, delete and repair change catalog and store together: one at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// Held while the store is told what changed about documents besides their text, so that the last word stays the last.
    pub(crate) telling: Arc<tokio::sync::Mutex<()>>,
    /// Held while jobs are run: one run at a time.
    pub(crate) running: tokio::sync::Mutex<()>,
    pub(crate) activity: Activity,
    dir: PathBuf,
    _lock: File,
}

impl Pipeline {
    /// Opens a data directory, creating it, and repairs what a crash may have left between catalog and store.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it, [`Error::Incompatible`] when its index was built
    /// with another embedder.
    pub async fn open(
        data_dir: &Path,
        models: impl Into<IndexModels>,
        config: IndexConfig,
    ) -> Result<Arc<Self>> {
        let pipeline = Self::open_as_is(data_dir, models, config).await?;
        pipeline.recover().await?;
        Ok(pipeline)
    }

    /// Opens a data directory without repairing anything, to look at it.
    ///
    /// # Errors
    /// Those of [`Pipeline::open`].
    pub async fn open_as_is(
        data_dir: &Path,
        models: impl Into<IndexModels>,
        config: IndexConfig,
    ) -> Result<Arc<Self>> {
        let IndexModels {
            embedder,
            reranker,
            extractor,
        } = models.into();
        let (dir, spec) = (data_dir.to_owned(), store_spec(embedder.as_ref()));
        let name = embedder_name(embedder.as_ref());
        let (lock, catalog, blobs, store, dictionaries) = blocking(move || {
            fs_err::create_dir_all(&dir)?;
            room::keep_reserve(&dir)?;
            let lock = take_lock(&dir)?;
            let catalog = Catalog::open(&dir.join("catalog.db"))?;
            let blobs = Blobs::open(&dir.join("blobs"))?;
            check_embedder(&dir, &catalog, &name)?;
            let generation = generation(&catalog)?;
            let store = EmbeddedStore::open(&index_dir(&dir, generation), &spec)?;
            remove_other_generations(&dir, generation)?;
            let dictionaries = Dictionaries::load(&catalog)?;
            Ok((lock, catalog, blobs, store, dictionaries))
        })
        .await?;
        let codec = match kept_codec(&catalog)? {
            Some(codec) => codec,
            None => {
                let codec = TokenCodec::measure(embedder.as_ref()).await?;
                catalog.set_meta(TOKEN_CENTER, &codec.to_json()?)?;
                codec
            }
        };
        let n_without = catalog.without_tokens()?.len();
        if n_without > 0 {
            tracing::warn!(
                documents = n_without,
                "documents indexed by an earlier version rank without late interaction until `kura admin reindex`"
            );
        }
        Ok(Arc::new(Self {
            codec,
            catalog: Arc::new(catalog),
            blobs: Arc::new(blobs),
            store: Arc::new(store),
            embedder,
            reranker,
            extractor,
            config,
            dictionaries,
            changing: tokio::sync::Mutex::default(),
            telling: Arc::default(),
            running: tokio::sync::Mutex::default(),
            activity: Activity::default(),
            dir: data_dir.to_owned(),
            _lock: lock,
        }))
    }

    /// Builds a new index generation from the catalog with `embedder`, switches to it and drops the old one.
    ///
    /// Chunks keep their vectors when the embedder is still the same; else they are embedded again.
    /// A crash leaves the old generation in place. Returns the number of documents.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has the data directory.
    pub async fn reindex(
        data_dir: &Path,
        embedder: Arc<dyn Embedder>,
        progress: &(dyn Fn(usize, usize) + Send + Sync),
    ) -> Result<usize> {
        crate::repair::reindex(data_dir, embedder, progress).await
    }

    /// Returns the model that made the vectors.
    #[must_use]
    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        &self.embedder
    }

    /// Returns what turns the embedder's token states into codes, which late interaction compares.
    #[must_use]
    pub fn token_codec(&self) -> &TokenCodec {
        &self.codec
    }

    /// Returns the model that orders the best candidates, if there is one.
    #[must_use]
    pub fn reranker(&self) -> Option<&Arc<dyn Reranker>> {
        self.reranker.as_ref()
    }

    /// Returns the data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the number of the index generation that is searched, from 1.
    pub async fn generation(&self) -> Result<u64> {
        self.catalog(generation).await
    }

    /// Creates a collection that everyone may read, or returns the one that has this name, whoever may read that.
    pub async fn create_collection(&self, name: &str) -> Result<Collection> {
        let name = name.to_owned();
        self.catalog(move |catalog| catalog.create_collection(&name))
            .await
    }

    /// Returns the collection of this name.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`] when it is absent or not for this principal: the two cannot be told apart.
    pub async fn collection(&self, name: &str, access: &AccessFilter) -> Result<Collection> {
        let (name, access) = (name.to_owned(), access.clone());
        self.catalog(move |catalog| catalog.collection(&name, &access))
            .await
    }

    /// Returns the collections that this principal may read, by name.
    pub async fn collections(&self, access: &AccessFilter) -> Result<Vec<Collection>> {
        let access = access.clone();
        self.catalog(move |catalog| catalog.collections(&access))
            .await
    }

    /// Returns documents by source, from after the cursor `after`.
    pub async fn documents(
        &self,
        collections: &Collections,
        access: &AccessFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Document>> {
        let (collections, access, after) = (
            collections.clone(),
            access.clone(),
            after.map(str::to_owned),
        );
        self.catalog(move |catalog| {
            catalog.documents(&collections, &access, after.as_deref(), limit)
        })
        .await
    }

    /// Returns documents that pass a filter, by source, from after the cursor `after`.
    pub async fn filtered_documents(
        &self,
        collections: &Collections,
        filter: &SearchFilter,
        access: &AccessFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Document>> {
        let (mut after, mut items) = (after.map(str::to_owned), Vec::new());
        while items.len() <= limit {
            let page = self
                .documents(collections, access, after.as_deref(), DOCUMENTS_PER_PAGE)
                .await?;
            let passing = page.items.into_iter();
            items.extend(passing.filter(|document| filter.allows(&document.attributes())));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        Ok(Page::from_rows(items, limit, Document::cursor))
    }

    /// Returns a document.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`] when it is absent, deleted, or not for this principal.
    pub async fn document(&self, id: DocumentId, access: &AccessFilter) -> Result<Document> {
        let access = access.clone();
        self.catalog(move |catalog| catalog.document(id, &access))
            .await
    }

    /// Returns the documents that lie in one, such as what is attached to a mail, by source, from after the cursor `after`.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`] when it is absent or not for this principal.
    pub async fn children(
        &self,
        parent: DocumentId,
        access: &AccessFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Document>> {
        let (access, after) = (access.clone(), after.map(str::to_owned));
        self.catalog(move |catalog| catalog.children(parent, &access, after.as_deref(), limit))
            .await
    }

    /// Returns the document of a source in a collection.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`] when it is absent, deleted, or not for this principal.
    pub async fn document_of_source(
        &self,
        collection: CollectionId,
        source: &str,
        access: &AccessFilter,
    ) -> Result<Document> {
        let (source, access) = (source.to_owned(), access.clone());
        self.catalog(move |catalog| {
            let unknown = |id| Error::UnknownDocument { id };
            let Some(id) = catalog.document_of_source(collection, &source)? else {
                return Err(unknown(source));
            };
            // By the name that was asked for: an id would tell that there is such a document.
            match catalog.document(id, &access) {
                Err(Error::UnknownDocument { .. }) => Err(unknown(source)),
                found => found,
            }
        })
        .await
    }

    /// Returns the extracted text of the visible version: what spans point into.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], also while no version is indexed yet.
    pub async fn document_text(&self, id: DocumentId, access: &AccessFilter) -> Result<String> {
        Ok(self.visible_text(id, access).await?.1)
    }

    /// Returns the version that is served, and its text.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub async fn visible_text(
        &self,
        id: DocumentId,
        access: &AccessFilter,
    ) -> Result<(u32, String)> {
        let access = access.clone();
        self.catalog(move |catalog| catalog.visible_text(id, &access))
            .await
    }

    /// Returns the text of a document's version, and where the chunks with these ordinals stand in it. `None` when
    /// that version is not served any more, or is not for this principal.
    pub async fn surroundings(
        &self,
        document: DocumentId,
        version: u32,
        ordinals: RangeInclusive<u32>,
        access: &AccessFilter,
    ) -> Result<Option<Surroundings>> {
        let access = access.clone();
        self.catalog(move |catalog| catalog.surroundings(document, version, &ordinals, &access))
            .await
    }

    /// Returns which versions of documents are served, whoever may read them.
    pub async fn visible_versions(&self, ids: Vec<DocumentId>) -> Result<HashMap<DocumentId, u32>> {
        self.catalog(move |catalog| catalog.visible_versions(&ids))
            .await
    }

    /// Returns the original bytes of the latest version.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub async fn document_bytes(&self, id: DocumentId, access: &AccessFilter) -> Result<Vec<u8>> {
        let sha256 = self.document(id, access).await?.sha256;
        let blobs = Arc::clone(&self.blobs);
        blocking(move || blobs.get(&sha256)).await
    }

    /// Builds the vector graph of what was added and drops what was deleted, where there is enough of it. Searches and
    /// changes go on meanwhile; it can take minutes.
    pub async fn maintain(&self) -> Result<()> {
        self.store.maintain().await
    }

    /// Returns without error when catalog and store answer.
    pub async fn check(&self) -> Result<()> {
        self.catalog(|catalog| catalog.meta("generation").map(drop))
            .await?;
        self.store.counts().await.map(drop)
    }

    pub(crate) async fn catalog<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Catalog) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let catalog = Arc::clone(&self.catalog);
        blocking(move || f(&catalog)).await
    }

    pub(crate) fn check_room(&self, bytes: u64) -> Result<()> {
        let needed = self.config.min_free_bytes.saturating_add(bytes);
        room::check(&self.dir, needed)
    }
}

/// Runs blocking work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(f)
        .await
        .map_err(|error| Error::Task(error.to_string()))?
}

pub(crate) fn store_spec(embedder: &dyn Embedder) -> StoreSpec {
    StoreSpec {
        embedder_id: embedder.spec().id.to_string(),
        embedder_revision: revision(embedder),
        dim: embedder.dim(),
    }
}

/// Names an embedder with its weights, so that vectors of different weights are never compared.
pub(crate) fn embedder_name(embedder: &dyn Embedder) -> String {
    format!("{}@{}", embedder.spec().id, revision(embedder))
}

/// Returns the checksum of an embedder's weights.
fn revision(embedder: &dyn Embedder) -> String {
    let weights = embedder
        .spec()
        .files
        .iter()
        .find(|file| file.name.ends_with(".safetensors"));
    weights
        .and_then(|file| file.sha256.clone())
        .unwrap_or_else(|| "unpinned".to_owned())
}

pub(crate) fn index_dir(data_dir: &Path, generation: u64) -> PathBuf {
    data_dir.join("index").join(generation.to_string())
}

/// Returns the number of the active index generation, from 1.
pub(crate) fn generation(catalog: &Catalog) -> Result<u64> {
    match catalog.meta("generation")? {
        None => Ok(1),
        Some(text) => text.parse().map_err(|_| Error::Corrupt {
            reason: "generation number".to_owned(),
        }),
    }
}

/// Returns the codec that the chunks' token codes were made with, if any were.
pub(crate) fn kept_codec(catalog: &Catalog) -> Result<Option<TokenCodec>> {
    let json = catalog.meta(TOKEN_CENTER)?;
    json.as_deref().map(TokenCodec::from_json).transpose()
}

/// Notes the embedder whose vectors the catalog keeps; refuses another.
fn check_embedder(dir: &Path, catalog: &Catalog, name: &str) -> Result<()> {
    match catalog.meta("embedder")?.as_deref() {
        None => catalog.set_meta("embedder", name),
        Some(known) if known == name => Ok(()),
        Some(known) => Err(Error::Incompatible {
            path: dir.to_owned(),
            built_with: match known {
                "" => "an embedder that a reindex has not finished replacing".to_owned(),
                known => format!("the embedder {known}"),
            },
            wanted: name.to_owned(),
        }),
    }
}

/// Removes what an interrupted or just finished reindex left.
fn remove_other_generations(dir: &Path, current: u64) -> Result<()> {
    for entry in fs_err::read_dir(dir.join("index"))? {
        let entry = entry?;
        if entry.file_name().to_str() != Some(current.to_string().as_str()) {
            fs_err::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Takes the data directory for this process. The lock goes with the process, however it ends.
pub(crate) fn take_lock(dir: &Path) -> Result<File> {
    let path = dir.join("LOCK");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "process {}", std::process::id())?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder)?;
            Err(Error::Locked {
                path: dir.to_owned(),
                holder,
            })
        }
        Err(TryLockError::Error(error)) => Err(Error::Io(error)),
    }
}
