//! The original bytes of every document version, by content: `blobs/ab/abcdef…`.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Files named by the sha256 of what they hold.
pub struct Blobs {
    dir: PathBuf,
    /// Read while a blob is written and not yet in the catalog, written while unused ones are removed.
    adding: RwLock<()>,
}

/// How the folder differs from what is in use.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) n_blobs: usize,
    /// In use and there.
    pub(crate) there: HashSet<String>,
    /// There and not in use.
    pub(crate) orphans: Vec<String>,
    /// In use and not there.
    pub(crate) missing: Vec<String>,
    /// There with other content than their names say.
    pub(crate) damaged: Vec<String>,
}

impl Blobs {
    /// Opens the folder, creating it.
    pub fn open(dir: &Path) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            adding: RwLock::default(),
        })
    }

    /// Keeps bytes and returns their sha256 as lower-case hex. When it returns, a power cut cannot take them.
    pub fn put(&self, bytes: &[u8]) -> Result<String> {
        let sha256 = hex(&Sha256::digest(bytes));
        let path = self.path(&sha256);
        // What another call wrote a moment ago may not be durable yet, and a disk can change what it holds: a blob
        // that is there is trusted only when its bytes are, and synced again.
        if fs_err::read(&path).is_ok_and(|found| found == bytes) {
            fs_err::File::open(&path)?.sync_all()?;
            fs_err::File::open(path.parent().unwrap_or(&self.dir))?.sync_all()?;
            return Ok(sha256);
        }
        let parent = path.parent().unwrap_or(&self.dir);
        fs_err::create_dir_all(parent)?;
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path)
            .map_err(|error| Error::Io(error.error))?;
        fs_err::File::open(parent)?.sync_all()?;
        fs_err::File::open(&self.dir)?.sync_all()?;
        Ok(sha256)
    }

    /// Reads a blob and checks that its content is still what its name says.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Corrupt`] when the disk changed it.
    pub fn get(&self, sha256: &str) -> Result<Vec<u8>> {
        let bytes = fs_err::read(self.path(sha256))?;
        if hex(&Sha256::digest(&bytes)) == sha256 {
            Ok(bytes)
        } else {
            Err(Error::Corrupt {
                reason: format!(
                    "the content of blob {sha256} has changed on disk; ingest that document again"
                ),
            })
        }
    }

    /// Keeps [`Blobs::sweep`] from running until the guard is dropped: take it before `put`, hold it
    /// until the catalog knows the blob.
    pub fn adding(&self) -> RwLockReadGuard<'_, ()> {
        self.adding.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes every blob that is not in use, and returns how many.
    pub fn sweep(&self, in_use: impl FnOnce() -> Result<HashSet<String>>) -> Result<usize> {
        let _alone = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let used = in_use()?;
        let mut removed = 0;
        for shard in fs_err::read_dir(&self.dir)? {
            let shard = shard?.path();
            if !shard.is_dir() {
                continue;
            }
            for file in fs_err::read_dir(&shard)? {
                let path = file?.path();
                let name = path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default();
                if !used.contains(&name) {
                    fs_err::remove_file(&path)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Removes those of these blobs that are not in use.
    pub fn drop_unused(
        &self,
        candidates: &[String],
        in_use: impl FnOnce() -> Result<HashSet<String>>,
    ) -> Result<()> {
        if candidates.is_empty() {
            return Ok(());
        }
        let _alone = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let used = in_use()?;
        for sha256 in candidates.iter().filter(|sha256| !used.contains(*sha256)) {
            match fs_err::remove_file(self.path(sha256)) {
                // The same bytes may have gone with another version.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Compares the folder with what is in use. With `read`, also what each blob holds with its name.
    pub(crate) fn compare(
        &self,
        in_use: impl FnOnce() -> Result<HashSet<String>>,
        read: bool,
    ) -> Result<Comparison> {
        let mut compared = Comparison::default();
        let mut used = {
            let _alone = self.adding.write().unwrap_or_else(PoisonError::into_inner);
            let used = in_use()?;
            for shard in fs_err::read_dir(&self.dir)? {
                let shard = shard?.path();
                if !shard.is_dir() {
                    continue;
                }
                for file in fs_err::read_dir(&shard)? {
                    let name = file?.file_name().to_string_lossy().into_owned();
                    compared.n_blobs += 1;
                    if used.contains(&name) {
                        compared.there.insert(name);
                    } else {
                        compared.orphans.push(name);
                    }
                }
            }
            used
        };
        used.retain(|sha256| !compared.there.contains(sha256));
        compared.missing = used.into_iter().collect();
        if read {
            for sha256 in &compared.there {
                match self.get(sha256) {
                    Ok(_) => {}
                    // Removed since, because its document was.
                    Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(_) => compared.damaged.push(sha256.clone()),
                }
            }
        }
        Ok(compared)
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(sha256.get(..2).unwrap_or("00")).join(sha256)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_checks_and_drops() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let sha256 = blobs.put(b"abc").unwrap();
        assert_eq!(
            sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(blobs.put(b"abc").unwrap(), sha256);
        assert_eq!(blobs.get(&sha256).unwrap(), b"abc");
        fs_err::write(blobs.path(&sha256), b"abd").unwrap();
        assert!(matches!(blobs.get(&sha256), Err(Error::Corrupt { .. })));
        assert_eq!(
            blobs.sweep(|| Ok(HashSet::from([sha256.clone()]))).unwrap(),
            0
        );
        assert_eq!(blobs.sweep(|| Ok(HashSet::new())).unwrap(), 1);
        assert!(blobs.get(&sha256).is_err());
    }
}
