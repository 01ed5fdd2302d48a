//! Documents in, hits out.
//!
//! In reading order:
//! - [`document`]: documents, blocks, chunks and their ids.
//! - [`access`]: who may read what.
//! - [`analyze`]: text to index terms, the same for documents and queries.
//! - [`store`]: the searchable index, and [`fuse`]: its two result lists made one.

pub mod access;
pub mod analyze;
pub mod document;
pub mod error;
pub mod fuse;
pub mod store;

pub use access::{AccessFilter, Acl, Collections, GroupId};
pub use document::{
    Block, BlockKind, Chunk, ChunkId, CollectionId, DocumentId, Extracted, Locator, Warning,
};
pub use error::{Error, Result};
