//! Documents in, hits out.
//!
//! In reading order:
//! - [`document`]: documents, blocks, chunks and their ids; [`access`]: who may read what.
//! - [`extract`]: bytes to blocks; [`chunk`]: blocks to chunks; [`analyze`]: text to terms.
//! - [`metadata`]: what is known of a document besides its text; [`filter`]: searches limited by it; [`date`]: dates
//!   as people write them.
//! - [`catalog`] and [`blobs`]: the truth; [`store`]: the index derived from it; [`fuse`]: two legs to one list.
//! - [`duplicates`]: which chunks say the same; [`quality`]: what is wrong with a collection's documents.
//! - [`dictionary`]: a collection's own words, by which queries find more.
//! - [`late`] and [`rerank`]: candidates read more closely.
//! - [`pipeline`]: one data directory, opened; [`ingest`], [`retrieve`], [`sync`], [`verify`], [`forget`], `permissions`
//!   and `repair` work on it.
//!
//! Invariants: the catalog is the truth and the index can be rebuilt from it; no search without an
//! [`AccessFilter`]; nothing here knows of HTTP or of users; nothing reads configuration or environment.

pub mod access;
pub mod analyze;
pub mod blobs;
pub mod catalog;
pub mod chunk;
pub mod date;
pub mod dictionary;
pub mod document;
pub mod duplicates;
pub mod error;
pub mod explain;
pub mod extract;
pub mod filter;
pub mod forget;
pub mod fuse;
pub mod ingest;
pub mod late;
pub mod metadata;
mod permissions;
pub mod pipeline;
pub mod quality;
mod repair;
pub mod rerank;
pub mod retrieve;
mod room;
pub mod store;
pub mod sync;
pub mod verify;

pub use access::{AccessFilter, Acl, AclChange, Collections, GroupId, Member, Role};
pub use chunk::{ChunkConfig, Chunks, Counter, chunk, chunk_unless, sentences};
pub use dictionary::Dictionary;
pub use document::{
    Block, BlockKind, Chunk, ChunkId, CollectionId, DocumentId, Extracted, Locator, PageProblem,
    PageQuality, PageSource, Warning,
};
pub use error::{Error, Result};
pub use extract::{MediaType, Tools, detect, extract};
pub use filter::SearchFilter;
pub use metadata::{Attributes, Metadata, MetadataChange};
pub use pipeline::{IndexConfig, IndexModels, Pipeline};
pub use rerank::Reranking;
