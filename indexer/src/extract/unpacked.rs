//! How much one upload may unpack to, over all the archives within it.

use crate::error::{Error, Result};
use crate::extract::inner::MAX_DEPTH;
use std::cell::Cell;

/// Most bytes that one upload may unpack to.
const MAX_BYTES: u64 = 512 << 20;

/// So much is allowed whatever the size of the upload.
const FREE_BYTES: u64 = 16 << 20;

/// Beyond [`FREE_BYTES`], the most bytes for each of the upload's. Office XML is rarely packed tighter than 1:60; a bomb
/// reaches 1:1000, and 1:1000 again for each archive in an archive.
const MAX_RATIO: u64 = 250;

thread_local! {
    /// What is left. A file is read on one thread from beginning to end, the files within it too.
    static LEFT: Cell<u64> = const { Cell::new(MAX_BYTES) };
}

/// Begins an upload of `len` bytes.
pub(crate) fn begin(len: usize) {
    LEFT.set(allowed(len as u64));
}

/// Returns the most bytes of the files that are handed out of an upload of `len` bytes, over all levels. What is not
/// packed, as in mails, comes out once for each level that it lies deep.
pub(crate) fn max_inner_bytes(len: u64) -> u64 {
    allowed(len).saturating_add(len.saturating_mul(MAX_DEPTH as u64))
}

fn allowed(len: u64) -> u64 {
    len.saturating_mul(MAX_RATIO).clamp(FREE_BYTES, MAX_BYTES)
}

/// The most bytes that may be unpacked now.
pub(crate) fn left() -> u64 {
    LEFT.get()
}

/// Takes what was unpacked; counted are the bytes that came out, not those that a directory declares.
pub(crate) fn spend(n_bytes: u64) -> Result<()> {
    match LEFT.get().checked_sub(n_bytes) {
        Some(left) => {
            LEFT.set(left);
            Ok(())
        }
        None => Err(too_large()),
    }
}

pub(crate) fn too_large() -> Error {
    Error::TooLarge {
        reason: format!(
            "it unpacks to more than {} MiB, or to more than {MAX_RATIO} times its size",
            MAX_BYTES >> 20
        ),
    }
}
