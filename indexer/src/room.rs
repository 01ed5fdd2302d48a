//! Room on the data directory's file system.

use crate::{Error, Result};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Kept back so that a data directory on a full disk can still be opened, searched and tidied up.
const RESERVE_BYTES: u64 = 16 << 20;

/// Gives the reserve back when the disk is full, and puts it aside when there is plenty of room.
pub(crate) fn keep_reserve(dir: &Path) -> Result<()> {
    let path = dir.join("RESERVE");
    let free = fs4::available_space(dir)?;
    if free < RESERVE_BYTES {
        match fs_err::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => return Ok(()),
        }
    }
    if free > 4 * RESERVE_BYTES && !path.exists() {
        // Written, not only sized: a sparse file keeps nothing back.
        let mut file = fs_err::File::create(&path)?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..RESERVE_BYTES >> 20 {
            file.write_all(&zeros)?;
        }
    }
    Ok(())
}

/// Checks that `needed` bytes are free.
///
/// # Errors
/// [`Error::StorageFull`].
pub(crate) fn check(dir: &Path, needed: u64) -> Result<()> {
    let free = fs4::available_space(dir)?;
    if free >= needed {
        return Ok(());
    }
    Err(Error::StorageFull {
        path: dir.to_owned(),
        free_mib: free >> 20,
        needed_mib: (needed >> 20).max(1),
    })
}

/// Gives every file below `dir` the blocks for its whole length.
///
/// The vector engine writes through memory maps into sparse files. Without a block to write to, the kernel does not
/// return an error: it ends the process (SIGBUS).
///
/// # Errors
/// [`Error::Io`] of kind [`ErrorKind::StorageFull`] when there is no room.
pub(crate) fn back(dir: &Path) -> Result<()> {
    Ok(back_below(dir)?)
}

fn back_below(dir: &Path) -> std::io::Result<()> {
    for entry in fs_err::read_dir(dir)? {
        match back_one(&entry?.path()) {
            // The engine may remove what it has replaced meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

fn back_one(path: &Path) -> std::io::Result<()> {
    let metadata = fs_err::metadata(path)?;
    if metadata.is_dir() {
        return back_below(path);
    }
    if metadata.blocks() * 512 >= metadata.len() {
        return Ok(());
    }
    let file = fs_err::OpenOptions::new().write(true).open(path)?;
    match fs4::FileExt::allocate(file.file(), metadata.len()) {
        // Some file systems cannot.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_files_get_their_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("below/sparse");
        fs_err::create_dir(dir.path().join("below")).unwrap();
        let file = fs_err::File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        back(dir.path()).unwrap();
        let metadata = fs_err::metadata(&path).unwrap();
        assert_eq!(metadata.len(), 1 << 20);
        assert!(metadata.blocks() * 512 >= 1 << 20);
    }

    #[test]
    fn the_reserve_takes_its_room() {
        let dir = tempfile::tempdir().unwrap();
        keep_reserve(dir.path()).unwrap();
        let size = fs_err::metadata(dir.path().join("RESERVE")).unwrap().len();
        assert_eq!(size, RESERVE_BYTES);
        keep_reserve(dir.path()).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path(), 1).unwrap();
        assert!(matches!(
            check(dir.path(), u64::MAX),
            Err(Error::StorageFull { .. })
        ));
    }
}
