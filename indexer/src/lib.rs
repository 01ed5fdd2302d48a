//! Documents in, hits out.
//!
//! In reading order:
//! - [`document`]: documents, blocks, chunks and their ids.
//! - [`access`]: who may read what.

pub mod access;
pub mod document;
pub mod error;

pub use access::{AccessFilter, Acl, GroupId};
pub use document::{
    Block, BlockKind, Chunk, ChunkId, CollectionId, DocumentId, Extracted, Locator, Warning,
};
pub use error::{Error, Result};
