//! Documents in, hits out.
//!
//! In reading order:
//! - [`document`]: documents, blocks, chunks and their ids.
//! - [`extract()`]: bytes of a file → blocks of text.
//! - [`chunk()`]: blocks → chunks under a token budget.
//! - [`access`]: who may read what.

pub mod access;
pub mod chunk;
pub mod document;
pub mod error;
pub mod extract;

pub use access::{AccessFilter, Acl, GroupId};
pub use chunk::{ChunkConfig, Chunks, chunk, sentences};
pub use document::{
    Block, BlockKind, Chunk, ChunkId, CollectionId, DocumentId, Extracted, Locator, Warning,
};
pub use error::{Error, Result};
pub use extract::{MediaType, detect, extract};
