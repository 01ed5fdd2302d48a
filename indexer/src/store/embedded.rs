//! The store inside this process: qdrant-edge for vectors, tantivy for words, a folder each.

mod dense;
mod lexical;

use super::{Bm25, Counts, IndexOp, Inventory, Legs, Query, Scored, Store, StoreSpec};
use crate::access::{AccessFilter, Collections, GroupId};
use crate::analyze::ANALYZER_VERSION;
use crate::document::{CollectionId, DocumentId};
use crate::error::{Error, Result};
use crate::filter::{Condition, SearchFilter};
use async_trait::async_trait;
use dense::DenseIndex;
use lexical::LexicalIndex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

const MANIFEST: &str = "manifest.json";
/// Version of the folder's layout and of what the vector index needs to have.
const FORMAT: u32 = 1;
/// Version of the keyword index's fields: 1 since it knows denied groups.
const LEXICAL_FORMAT: u32 = 1;

/// A [`Store`] of one process, in one folder. A second process that opens it is refused.
///
/// Searches run on tokio's blocking pool and go on while writing and maintaining; writers take turns.
#[derive(Clone)]
pub struct EmbeddedStore {
    inner: Arc<Inner>,
}

struct Inner {
    dense: DenseIndex,
    lexical: LexicalIndex,
    /// Held while applying and checkpointing, so that both engines see operations in one order.
    writing: Mutex<()>,
}

impl EmbeddedStore {
    /// Opens the index in `dir`, or makes one there. Replays what was applied but not flushed before a crash.
    ///
    /// If the lexical leg was built by another analyzer, or has other fields, it is made anew, empty: the vectors stay as
    /// they are, and the caller, who compares the [`inventory`](Store::inventory) with the catalog, puts the words again.
    ///
    /// Blocks for up to seconds.
    ///
    /// # Errors
    /// [`Error::Incompatible`] if the index was built with another embedder or dimension;
    /// [`Error::Locked`] if it is open elsewhere; [`Error::Damaged`] if it cannot be read.
    pub fn open(dir: &Path, spec: &StoreSpec) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        let wanted = Manifest::new(spec);
        let (dense, lexical) = match Manifest::read(dir)? {
            Some(found) if !found.same_build(&wanted) => {
                return Err(Error::Incompatible {
                    path: dir.to_owned(),
                    built_with: found.describe(),
                    wanted: wanted.describe(),
                });
            }
            Some(found) if found.complete => {
                let dense = DenseIndex::load(&dense_dir(dir), spec.dim)?;
                let lexical = if found.same_words(&wanted) {
                    LexicalIndex::load(&lexical_dir(dir))?
                } else {
                    renew_lexical(dir, &found, &wanted)?
                };
                (dense, lexical)
            }
            unfinished => create(dir, &wanted, spec, unfinished.is_some())?,
        };
        let inner = Inner {
            dense,
            lexical,
            writing: Mutex::new(()),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    async fn search_vectors(&self, query: Query, access: &AccessFilter) -> Result<Vec<Scored>> {
        let Some(scope) = Scope::new(&query, access) else {
            return Ok(Vec::new());
        };
        self.blocking(move |inner| inner.dense.search(query.vector, &scope, query.limit))
            .await
    }

    async fn search_words(&self, query: Query, access: &AccessFilter) -> Result<Vec<Scored>> {
        let Some(scope) = Scope::new(&query, access) else {
            return Ok(Vec::new());
        };
        self.blocking(move |inner| {
            let Query {
                text,
                concepts,
                bm25,
                limit,
                ..
            } = &query;
            inner.lexical.search(text, concepts, *bm25, &scope, *limit)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|error| Error::Task(error.to_string()))?
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn apply(&self, ops: Vec<IndexOp>) -> Result<()> {
        self.blocking(move |inner| {
            let _turn = inner.writing.lock().unwrap_or_else(PoisonError::into_inner);
            for op in &ops {
                inner.dense.apply(op)?;
                inner.lexical.apply(op)?;
            }
            Ok(())
        })
        .await
    }

    async fn checkpoint(&self) -> Result<()> {
        self.blocking(|inner| {
            let _turn = inner.writing.lock().unwrap_or_else(PoisonError::into_inner);
            // In this order: a commit of the words says that the vectors are on disk.
            inner.dense.flush()?;
            inner.lexical.commit()
        })
        .await
    }

    async fn search(&self, query: &Query, access: &AccessFilter) -> Result<Legs> {
        let dense = timed(self.search_vectors(query.clone(), access));
        let lexical = timed(self.search_words(query.clone(), access));
        let ((dense, dense_ms), (lexical, lexical_ms)) = futures::try_join!(dense, lexical)?;
        Ok(Legs {
            dense,
            lexical,
            dense_ms,
            lexical_ms,
        })
    }

    async fn search_dense(
        &self,
        vector: &[f32],
        collections: &Collections,
        limit: usize,
        access: &AccessFilter,
    ) -> Result<Vec<Scored>> {
        let query = Query {
            text: String::new(),
            concepts: Vec::new(),
            bm25: Bm25::default(),
            vector: vector.to_vec(),
            collections: collections.clone(),
            filter: SearchFilter::default(),
            limit,
        };
        self.search_vectors(query, access).await
    }

    async fn search_lexical(
        &self,
        text: &str,
        collections: &Collections,
        limit: usize,
        access: &AccessFilter,
    ) -> Result<Vec<Scored>> {
        let query = Query {
            text: text.to_owned(),
            concepts: Vec::new(),
            bm25: Bm25::default(),
            vector: Vec::new(),
            collections: collections.clone(),
            filter: SearchFilter::default(),
            limit,
        };
        self.search_words(query, access).await
    }

    async fn inventory(&self) -> Result<Vec<Inventory>> {
        self.blocking(|inner| {
            let (dense, lexical) = (inner.dense.inventory()?, inner.lexical.inventory()?);
            let mut merged: BTreeMap<(DocumentId, u32), (usize, usize)> = BTreeMap::new();
            for (key, n) in dense {
                merged.entry(key).or_default().0 += n;
            }
            for (key, n) in lexical {
                merged.entry(key).or_default().1 += n;
            }
            let inventory = |((document, version), (dense, lexical))| Inventory {
                document,
                version,
                dense,
                lexical,
            };
            Ok(merged.into_iter().map(inventory).collect())
        })
        .await
    }

    async fn counts(&self) -> Result<Counts> {
        self.blocking(|inner| {
            Ok(Counts {
                dense: inner.dense.count()?,
                lexical: inner.lexical.count(),
            })
        })
        .await
    }

    async fn maintain(&self) -> Result<()> {
        self.blocking(|inner| inner.dense.optimize()).await
    }

    async fn erase(&self) -> Result<()> {
        self.blocking(|inner| {
            let _turn = inner.writing.lock().unwrap_or_else(PoisonError::into_inner);
            inner.dense.erase()?;
            inner.lexical.erase()
        })
        .await
    }
}

async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(T, f64)> {
    let started = Instant::now();
    let done = work.await?;
    Ok((done, started.elapsed().as_secs_f64() * 1000.0))
}

/// Which chunks may be found. `None` in a field means no restriction; a list is never empty.
struct Scope {
    /// One of them must be among a document's readers, and none among those it denies.
    groups: Option<Vec<GroupId>>,
    collections: Option<Vec<CollectionId>>,
    /// All of these must hold.
    conditions: Vec<Condition>,
}

impl Scope {
    /// Returns `None` if nothing can be found, so that no engine need be asked.
    fn new(query: &Query, access: &AccessFilter) -> Option<Self> {
        let groups = access
            .as_groups()
            .map(|groups| groups.iter().cloned().collect::<Vec<_>>());
        let collections = match query.collections.intersection(access.collections()) {
            Collections::All => None,
            Collections::Only(only) => Some(only),
        };
        let nothing = query.limit == 0
            || groups.as_ref().is_some_and(Vec::is_empty)
            || collections.as_ref().is_some_and(Vec::is_empty);
        (!nothing).then_some(Self {
            groups,
            collections,
            conditions: query.filter.conditions(),
        })
    }
}

fn dense_dir(dir: &Path) -> PathBuf {
    dir.join("dense")
}

fn lexical_dir(dir: &Path) -> PathBuf {
    dir.join("lexical")
}

/// Makes both engines' folders between two writes of the manifest, so that a half-made index is known as such.
fn create(
    dir: &Path,
    manifest: &Manifest,
    spec: &StoreSpec,
    unfinished: bool,
) -> Result<(DenseIndex, LexicalIndex)> {
    for part in [dense_dir(dir), lexical_dir(dir)] {
        if part.exists() {
            if !unfinished {
                return Err(Error::Damaged {
                    path: dir.to_owned(),
                    reason: format!("`{MANIFEST}` is missing"),
                });
            }
            fs_err::remove_dir_all(&part)?;
        }
    }
    manifest.write(dir)?;
    let dense = DenseIndex::create(&dense_dir(dir), spec.dim)?;
    let lexical = LexicalIndex::create(&lexical_dir(dir))?;
    let complete = Manifest {
        complete: true,
        ..manifest.clone()
    };
    complete.write(dir)?;
    Ok((dense, lexical))
}

/// Makes an empty lexical index of this analyzer and these fields in place of one of others. Until the manifest says so, which is
/// written last, the next opening does it again.
fn renew_lexical(dir: &Path, found: &Manifest, wanted: &Manifest) -> Result<LexicalIndex> {
    tracing::warn!(
        path = %dir.display(),
        "the keyword index was built by analyzer {} in format {}; it is built anew by analyzer {} in format {}",
        found.analyzer_version,
        found.lexical_format,
        wanted.analyzer_version,
        wanted.lexical_format
    );
    let part = lexical_dir(dir);
    if part.exists() {
        fs_err::remove_dir_all(&part)?;
    }
    let lexical = LexicalIndex::create(&part)?;
    let complete = Manifest {
        complete: true,
        ..wanted.clone()
    };
    complete.write(dir)?;
    Ok(lexical)
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    analyzer_version: u32,
    /// Was not said at first.
    #[serde(default)]
    lexical_format: u32,
    #[serde(flatten)]
    spec: StoreSpec,
    complete: bool,
}

impl Manifest {
    fn new(spec: &StoreSpec) -> Self {
        Self {
            format: FORMAT,
            analyzer_version: ANALYZER_VERSION,
            lexical_format: LEXICAL_FORMAT,
            spec: spec.clone(),
            complete: false,
        }
    }

    fn read(dir: &Path) -> Result<Option<Self>> {
        let text = match fs_err::read_to_string(dir.join(MANIFEST)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Error::Damaged {
                path: dir.to_owned(),
                reason: format!("`{MANIFEST}`: {error}"),
            })
    }

    fn write(&self, dir: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).map_err(std::io::Error::from)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&json)?;
        file.as_file().sync_all()?;
        file.persist(dir.join(MANIFEST))
            .map_err(|error| error.error)?;
        fs_err::File::open(dir)?.sync_all()?;
        Ok(())
    }

    /// Returns whether the vectors are of one kind; words are made again where they are not.
    fn same_build(&self, other: &Self) -> bool {
        self.format == other.format && self.spec == other.spec
    }

    /// Returns whether the words are indexed in one way.
    fn same_words(&self, other: &Self) -> bool {
        (self.analyzer_version, self.lexical_format)
            == (other.analyzer_version, other.lexical_format)
    }

    fn describe(&self) -> String {
        let Self {
            format,
            analyzer_version,
            lexical_format: _,
            spec:
                StoreSpec {
                    embedder_id,
                    embedder_revision,
                    dim,
                },
            complete: _,
        } = self;
        format!(
            "embedder `{embedder_id}` ({embedder_revision}, {dim} dimensions), analyzer {analyzer_version}, format {format}"
        )
    }
}
