//! The searchable index: a dense and a lexical one behind one contract.

mod embedded;

pub use embedded::EmbeddedStore;

use crate::access::{AccessFilter, Acl, Collections};
use crate::dictionary::Concept;
use crate::document::{ChunkId, CollectionId, DocumentId};
use crate::error::Result;
use crate::filter::SearchFilter;
use crate::metadata::Attributes;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A searchable index of chunks. It returns ids and scores; texts and the last access check are the catalog's.
///
/// Operations are ordered and idempotent: after an error or a crash the caller applies them again, from the first
/// one not followed by a [`checkpoint`](Store::checkpoint) that returned `Ok`. Nothing is written in the background,
/// so whoever applies must also checkpoint: before that an operation may be lost, be visible in one leg only, or be
/// visible after a restart although no checkpoint followed. The catalog, which decides what a reader sees, therefore
/// commits after the checkpoint.
#[async_trait]
pub trait Store: Send + Sync {
    /// Applies `ops` in order.
    ///
    /// # Errors
    /// A vector of another length than the index's, or an engine's failure. Earlier operations stay applied.
    async fn apply(&self, ops: Vec<IndexOp>) -> Result<()>;

    /// Returns once all that was applied before is durable and visible to every search.
    async fn checkpoint(&self) -> Result<()>;

    /// Returns the best `query.limit` chunks of each leg, best first.
    async fn search(&self, query: &Query, access: &AccessFilter) -> Result<Legs>;

    /// Returns the chunks nearest to `vector`, best first; scores are cosines. No filter by metadata applies.
    async fn search_dense(
        &self,
        vector: &[f32],
        collections: &Collections,
        limit: usize,
        access: &AccessFilter,
    ) -> Result<Vec<Scored>>;

    /// Returns the chunks that fit `text` best by BM25 with its usual parameters, best first. No filter by metadata
    /// applies.
    async fn search_lexical(
        &self,
        text: &str,
        collections: &Collections,
        limit: usize,
        access: &AccessFilter,
    ) -> Result<Vec<Scored>>;

    /// Returns what each leg holds of every document version, by document and version, for comparison with the
    /// catalog.
    async fn inventory(&self) -> Result<Vec<Inventory>>;

    /// Returns how many chunks each leg holds. Cheap enough for a readiness probe.
    async fn counts(&self) -> Result<Counts>;

    /// Builds the vector index over what was added since. Takes minutes for large additions; searches and writes go
    /// on meanwhile. Without it searches stay exact and become slower, from about 50,000 chunks noticeably.
    async fn maintain(&self) -> Result<()>;

    /// Writes files anew, so that they have nothing of what was deleted or replaced before. Searches go on; other changes
    /// wait. Vectors are searched without their graph until the next [`maintain`](Store::maintain).
    async fn erase(&self) -> Result<()>;
}

/// What an index is built with. Opening one with anything else is refused, save for the analyzer: then the lexical leg is
/// emptied, and has to be put again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreSpec {
    /// The embedder's id.
    pub embedder_id: String,
    /// Its revision or checksum.
    pub embedder_revision: String,
    /// Length of its vectors.
    pub dim: usize,
}

/// A change of the index.
#[derive(Debug, Clone, PartialEq)]
pub enum IndexOp {
    /// Writes chunks, replacing those with the same ids.
    Put {
        /// The collection their document is in.
        collection: CollectionId,
        /// Who may read their document.
        acl: Acl,
        /// What is known of their document, to filter by.
        attributes: Attributes,
        /// The chunks.
        chunks: Vec<StoredChunk>,
    },
    /// Writes chunks to the lexical leg only: the dense one has them.
    PutWords {
        /// The collection their document is in.
        collection: CollectionId,
        /// Who may read their document.
        acl: Acl,
        /// What is known of their document, to filter by.
        attributes: Attributes,
        /// The chunks.
        chunks: Vec<StoredChunk>,
    },
    /// Deletes the versions of a document before `keep`.
    Prune {
        /// The document.
        document: DocumentId,
        /// The oldest version to keep.
        keep: u32,
    },
    /// Deletes a document.
    Remove {
        /// The document.
        document: DocumentId,
    },
    /// Deletes all documents of a collection.
    RemoveCollection {
        /// The collection.
        collection: CollectionId,
    },
    /// Changes who may read a document, in all its versions.
    SetAcl {
        /// The document.
        document: DocumentId,
        /// Who may read it from now on.
        acl: Acl,
    },
    /// Changes what is known of a document, in all its versions.
    SetAttributes {
        /// The document.
        document: DocumentId,
        /// What is known of it from now on.
        attributes: Attributes,
    },
}

/// A chunk as it is indexed.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredChunk {
    /// Its id.
    pub id: ChunkId,
    /// Its document's title.
    pub title: String,
    /// The headings above it, as text.
    pub headings: String,
    /// Its text.
    pub text: String,
    /// Its vector, of the index's length.
    pub vector: Vec<f32>,
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// For the lexical leg.
    pub text: String,
    /// What the dictionaries of the collections know in the text, by place; for the lexical leg.
    pub concepts: Vec<Concept>,
    /// For the lexical leg.
    pub bm25: Bm25,
    /// For the dense leg; of the index's length.
    pub vector: Vec<f32>,
    /// Where to look.
    pub collections: Collections,
    /// Which documents to look at there; for both legs.
    pub filter: SearchFilter,
    /// Most chunks per leg.
    pub limit: usize,
}

/// BM25's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bm25 {
    /// How much further occurrences of a term in a chunk count: 0 not at all. Not negative.
    pub k1: f32,
    /// How much longer chunks need more occurrences, from 0 (not at all) to 1 (in proportion).
    pub b: f32,
}

impl Default for Bm25 {
    fn default() -> Self {
        Self { k1: 1.2, b: 0.75 }
    }
}

/// A chunk and its score. Scores compare only within one result list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The chunk.
    pub chunk: ChunkId,
    /// Cosine (dense) or BM25 (lexical).
    pub score: f32,
}

/// The two result lists, each best first with ties by chunk id, and how long they took.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Legs {
    /// By vector.
    pub dense: Vec<Scored>,
    /// By words.
    pub lexical: Vec<Scored>,
    /// Milliseconds the dense leg took.
    pub dense_ms: f64,
    /// Milliseconds the lexical leg took.
    pub lexical_ms: f64,
}

/// What the index holds of one document version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inventory {
    /// The document.
    pub document: DocumentId,
    /// The version.
    pub version: u32,
    /// Chunks in the dense leg.
    pub dense: usize,
    /// Chunks in the lexical leg.
    pub lexical: usize,
}

/// How many chunks each leg holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Chunks in the dense leg.
    pub dense: usize,
    /// Chunks in the lexical leg, as of the last checkpoint.
    pub lexical: usize,
}

/// Sorts best first, ties by chunk id.
fn sort(hits: &mut [Scored]) {
    hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
}
