//! Whether what has just been committed is on the disk, also when the file system fails at that moment.
//!
//! When ext4 meets an error it becomes read-only and drops what its journal has not written. An fsync that is under way
//! then may return success all the same: it looks for errors before it writes the data, and afterwards finds nothing left
//! to wait for. (Seen on Linux 6.18 in 9 of 40 failures under load; `tests/it/disk_read_only.rs` fails without the probe.)
//! But every change begun later is refused. So one that is made after a commit, and succeeds, vouches for it.

use crate::Result;
use fs_err::File;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file that is changed after every commit.
pub(super) struct Probe {
    file: File,
    n_checks: AtomicU64,
}

impl Probe {
    /// Makes the file beside the catalog.
    pub(super) fn beside(catalog: &Path) -> Result<Self> {
        Ok(Self {
            file: File::create(catalog.with_extension("probe"))?,
            n_checks: AtomicU64::new(1),
        })
    }

    /// Checks that the file system still takes changes.
    ///
    /// # Errors
    /// [`crate::Error::Io`] of kind [`ErrorKind::ReadOnlyFilesystem`]: what was committed last may be lost.
    pub(super) fn check(&self) -> Result<()> {
        // Another length is a change of the journal, not only of memory; a hole needs no room and no fsync.
        let length = self.n_checks.fetch_add(1, Ordering::Relaxed) % 4096;
        self.file.set_len(length).map_err(|error| {
            let told =
                format!("a change may not have reached the disk, which refuses the next: {error}");
            Error::new(ErrorKind::ReadOnlyFilesystem, told).into()
        })
    }
}
