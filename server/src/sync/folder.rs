//! A folder with all folders below it: on this machine's disks or mounted from another.

use super::globs::Globs;
use super::listing::{Found, listing};
use super::place::Settings;
use async_trait::async_trait;
use futures::stream::BoxStream;
use kura_indexer::sync::{Connector, Failure, Fetched, Item, Standing};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use walkdir::{DirEntry, WalkDir};

/// A file that was written to this short a while ago may not be finished.
const SETTLED: Duration = Duration::from_secs(1);

/// Reads a folder.
#[derive(Debug)]
pub struct Folder {
    walk: Arc<Walk>,
    max_bytes: u64,
}

#[derive(Debug)]
struct Walk {
    /// Without symbolic links.
    root: PathBuf,
    settings: Settings,
    globs: Globs,
    /// kura's own files, which may lie below the root.
    data_dir: PathBuf,
    /// Folders on file systems of their own when all was last read well.
    expected_mounts: BTreeSet<String>,
    found_mounts: Mutex<BTreeSet<String>>,
}

/// What tells a root from another one in its place.
///
/// No device number: those of network mounts differ from boot to boot.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Root {
    inode: u64,
    /// Whether it is on another file system than the folder it is in.
    is_mount: bool,
    /// Folders below it that are.
    mounts: BTreeSet<String>,
}

impl Folder {
    /// Opens a folder. `known_root` is what [`Connector::root`] returned when it was last read well.
    ///
    /// # Errors
    /// When it is no folder, cannot be read, or is kura's own; the message says what to do.
    pub fn open(
        path: &Path,
        settings: Settings,
        globs: Globs,
        data_dir: &Path,
        known_root: Option<&str>,
        max_bytes: u64,
    ) -> Result<Self, Failure> {
        let unreadable = |error: std::io::Error| {
            Failure(format!(
                "the folder `{}` cannot be read ({error}); is it there and mounted, and may the account that kura runs under read it?",
                path.display()
            ))
        };
        if !path.is_absolute() {
            return Err(Failure(format!(
                "`{}` is not an absolute path",
                path.display()
            )));
        }
        let root = fs_err::canonicalize(path).map_err(|error| unreadable(bare(error)))?;
        fs_err::read_dir(&root).map_err(|error| unreadable(bare(error)))?;
        let data_dir = fs_err::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        if root.starts_with(&data_dir) {
            return Err(Failure(format!(
                "`{}` is in kura's own data directory; choose another folder",
                path.display()
            )));
        }
        let known: Option<Root> = known_root.and_then(|json| serde_json::from_str(json).ok());
        let walk = Walk {
            root,
            settings,
            globs,
            data_dir,
            expected_mounts: known.map(|root| root.mounts).unwrap_or_default(),
            found_mounts: Mutex::default(),
        };
        Ok(Self {
            walk: Arc::new(walk),
            max_bytes,
        })
    }
}

#[async_trait]
impl Connector for Folder {
    fn list(&self) -> BoxStream<'_, Result<Item, Failure>> {
        let walk = Arc::clone(&self.walk);
        listing(move |found| {
            walk.run(found);
            Ok(())
        })
    }

    async fn fetch(&self, item: &Item) -> Fetched {
        let (walk, key, max_bytes) = (Arc::clone(&self.walk), item.key.clone(), self.max_bytes);
        tokio::task::spawn_blocking(move || read(&walk.root, &key, max_bytes))
            .await
            .unwrap_or_else(|error| Fetched::Failed(error.to_string()))
    }

    async fn root(&self) -> Result<Option<String>, Failure> {
        let walk = Arc::clone(&self.walk);
        let root = tokio::task::spawn_blocking(move || walk.identity())
            .await
            .map_err(|error| Failure(error.to_string()))??;
        serde_json::to_string(&root)
            .map(Some)
            .map_err(|error| Failure(error.to_string()))
    }
}

impl Walk {
    fn identity(&self) -> Result<Root, Failure> {
        let look = || -> std::io::Result<Root> {
            let root = fs_err::metadata(&self.root)?;
            let is_mount = match self.root.parent() {
                Some(parent) => fs_err::metadata(parent)?.dev() != root.dev(),
                None => true,
            };
            let mounts = self
                .found_mounts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            Ok(Root {
                inode: root.ino(),
                is_mount,
                mounts,
            })
        };
        look().map_err(|error| {
            Failure(format!(
                "the folder `{}` cannot be read: {}",
                self.root.display(),
                bare(error)
            ))
        })
    }

    fn run(&self, sender: &Found) {
        let mut devices: HashMap<usize, u64> = HashMap::new();
        let mut mounts = BTreeSet::new();
        let wanted = |entry: &DirEntry| {
            entry.depth() == 0 || !entry.file_type().is_dir() || self.may_hold(entry)
        };
        for entry in WalkDir::new(&self.root).into_iter().filter_entry(wanted) {
            let listed = match entry {
                Ok(entry) if entry.file_type().is_dir() => {
                    self.note_mount(&entry, &mut devices, &mut mounts);
                    continue;
                }
                Ok(entry) => self.item(&entry).map(Ok),
                Err(error) => failure(&error).map(Err),
            };
            if let Some(listed) = listed
                && sender.blocking_send(listed).is_err()
            {
                return;
            }
        }
        if let Some(lost) = self.expected_mounts.difference(&mounts).next() {
            let cause = format!(
                "`{}` is no longer on a file system of its own: is it not mounted? If that is meant, run `kura sync run NAME --allow-deletions`",
                self.root.join(lost).display()
            );
            drop(sender.blocking_send(Err(Failure(cause))));
        }
        *self
            .found_mounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = mounts;
    }

    fn may_hold(&self, entry: &DirEntry) -> bool {
        entry.path() != self.data_dir
            && relative(&self.root, entry.path()).is_none_or(|path| self.globs.may_hold(&path))
    }

    fn note_mount(
        &self,
        entry: &DirEntry,
        devices: &mut HashMap<usize, u64>,
        mounts: &mut BTreeSet<String>,
    ) {
        let Ok(metadata) = entry.metadata() else {
            return;
        };
        devices.insert(entry.depth(), metadata.dev());
        let above = entry
            .depth()
            .checked_sub(1)
            .and_then(|depth| devices.get(&depth));
        if above.is_some_and(|above| *above != metadata.dev())
            && let Some(path) = relative(&self.root, entry.path())
        {
            mounts.insert(path);
        }
    }

    /// Returns what is listed of a file; `None` for what is not wanted.
    fn item(&self, entry: &DirEntry) -> Option<Item> {
        let Some(key) = relative(&self.root, entry.path()) else {
            let key = entry
                .path()
                .strip_prefix(&self.root)
                .unwrap_or(entry.path())
                .to_string_lossy()
                .into_owned();
            let reason = "its name is not UTF-8; rename it";
            return Some(self.describe(key, &entry.metadata().ok()?, Some(reason.to_owned())));
        };
        if !self.globs.wants(&key) {
            return None;
        }
        let metadata = if entry.path_is_symlink() {
            let target = inside(&self.root, entry.path())?;
            // Folders within the root are listed under their own names.
            fs_err::symlink_metadata(target).ok()?
        } else {
            entry.metadata().ok()?
        };
        metadata
            .is_file()
            .then(|| self.describe(key, &metadata, None))
    }

    fn describe(&self, key: String, metadata: &Metadata, refused: Option<String>) -> Item {
        let (source, refused) = match (self.settings.document_name(&key), refused) {
            (Ok(source), refused) => (source, refused),
            (Err(reason), _) => (String::new(), Some(reason)),
        };
        let standing = match refused {
            Some(reason) => Standing::Refused(reason),
            None if is_fresh(metadata) => Standing::Changing,
            None => Standing::Ready,
        };
        let link = url::Url::from_file_path(self.root.join(&key))
            .map(String::from)
            .unwrap_or_default();
        Item {
            marker: marker(metadata),
            source,
            link,
            size_bytes: Some(metadata.len()),
            hint: Some(metadata.ino().to_string()),
            note: None,
            standing,
            key,
        }
    }
}

/// Returns what changes when a file does. The time of the inode's change shows what programs hide that set the other back.
fn marker(metadata: &Metadata) -> String {
    let (size, inode) = (metadata.len(), metadata.ino());
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    format!(
        "{size}:{}.{}:{}.{}:{inode}",
        modified.0, modified.1, changed.0, changed.1
    )
}

/// Returns whether a file was written to a moment ago. A time in the future says nothing: clocks differ.
fn is_fresh(metadata: &Metadata) -> bool {
    metadata
        .modified()
        .ok()
        .and_then(|modified| SystemTime::now().duration_since(modified).ok())
        .is_some_and(|age| age < SETTLED)
}

/// Reads a file below the root, and nothing else: a link that leads out of it, or that is put in the place of a folder
/// meanwhile, is not followed.
fn read(root: &Path, key: &str, max_bytes: u64) -> Fetched {
    let path = root.join(key);
    let attempt = || -> std::io::Result<Fetched> {
        let Some(target) = inside(root, &path) else {
            return Ok(Fetched::Gone);
        };
        let mut file = open_below(root, &target)?;
        let before = file.metadata()?;
        if !before.is_file() {
            return Ok(Fetched::Gone);
        }
        if before.len() > max_bytes {
            return Ok(Fetched::Refused(format!(
                "it has {} bytes, more than `server.upload_max_bytes` ({max_bytes})",
                before.len()
            )));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0));
        (&mut file).take(max_bytes + 1).read_to_end(&mut bytes)?;
        let after = file.metadata()?;
        let same = (before.len(), before.mtime(), before.mtime_nsec())
            == (after.len(), after.mtime(), after.mtime_nsec());
        if !same || bytes.len() as u64 != after.len() {
            return Ok(Fetched::Changing);
        }
        Ok(Fetched::Content {
            bytes,
            media_type: None,
        })
    };
    match attempt() {
        Ok(fetched) => fetched,
        Err(error) if error.kind() == ErrorKind::NotFound => Fetched::Gone,
        Err(error) => Fetched::Failed(format!("it cannot be read: {}", bare(error))),
    }
}

/// Opens a file without following any link on the way.
fn open_below(root: &Path, target: &Path) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    let folder = File::open(root)?;
    let relative = target.strip_prefix(root).map_err(std::io::Error::other)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(&folder, relative, flags, Mode::empty(), resolve) {
        Ok(file) => Ok(file.into()),
        // Kernels before 5.6, and containers that forbid it: without protection against a folder that is swapped for a
        // link in this very moment.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => std::fs::OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed())
            .open(target),
        Err(error) => Err(error.into()),
    }
}

/// Returns where a path leads, if that is below the root.
fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    let target = std::fs::canonicalize(path).ok()?;
    (target.starts_with(root) && target != root).then_some(target)
}

/// Returns a path below the root with `/`; `None` if it is not UTF-8.
fn relative(root: &Path, path: &Path) -> Option<String> {
    let parts = path
        .strip_prefix(root)
        .ok()?
        .components()
        .map(|component| match component {
            Component::Normal(part) => part.to_str(),
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::ParentDir => None,
        });
    Some(parts.collect::<Option<Vec<_>>>()?.join("/"))
}

/// Returns why a listing is not whole; `None` for what went away while it was looked at.
fn failure(error: &walkdir::Error) -> Option<Failure> {
    let path = error
        .path()
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    match error.io_error() {
        Some(io) if io.kind() == ErrorKind::NotFound && error.depth() > 0 => None,
        Some(io) => Some(Failure(format!(
            "`{path}` cannot be read ({io}); is it mounted, and may the account that kura runs under read it?"
        ))),
        None => Some(Failure(format!("`{path}` cannot be read: {error}"))),
    }
}

/// Returns the cause without the path that the message names anyhow.
fn bare(error: std::io::Error) -> std::io::Error {
    match error.raw_os_error() {
        Some(code) => std::io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::place::Place;
    use futures::StreamExt as _;
    use std::os::unix::fs::symlink;

    fn open(dir: &Path, known_root: Option<&str>) -> Folder {
        let settings = Settings {
            place: Place::Folder {
                path: dir.display().to_string(),
            },
            prefix: String::new(),
        };
        let globs = Globs::new(&[], &[], true).unwrap();
        Folder::open(dir, settings, globs, &dir.join("data"), known_root, 1000).unwrap()
    }

    fn write(path: &Path, text: &str, age: u64) {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
        let then = SystemTime::now() - Duration::from_secs(age);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(then)
            .unwrap();
    }

    async fn listed(folder: &Folder) -> Vec<(String, Standing)> {
        let mut items: Vec<_> = folder
            .list()
            .map(|item| item.unwrap())
            .map(|item| (item.key, item.standing))
            .collect()
            .await;
        items.sort_by(|a, b| a.0.cmp(&b.0));
        items
    }

    #[tokio::test]
    async fn lists_what_is_there_to_stay_and_no_link_that_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        write(&root.join("a.md"), "x", 9);
        write(&root.join("b/c.md"), "x", 9);
        write(&root.join("b/new.md"), "x", 0);
        write(&root.join("b/.hidden/d.md"), "x", 9);
        write(&root.join("b/~$c.docx"), "x", 9);
        write(&root.join("data/catalog.md"), "x", 9);
        write(&dir.path().join("secret.md"), "x", 9);
        symlink(dir.path().join("secret.md"), root.join("secret.md")).unwrap();
        symlink(dir.path(), root.join("up")).unwrap();
        symlink("a.md", root.join("alias.md")).unwrap();
        symlink("b", root.join("same")).unwrap();
        symlink("nowhere", root.join("broken.md")).unwrap();
        let folder = open(&root, None);
        let expected = [
            ("a.md", Standing::Ready),
            ("alias.md", Standing::Ready),
            ("b/c.md", Standing::Ready),
            ("b/new.md", Standing::Changing),
        ];
        assert_eq!(
            listed(&folder).await,
            expected.map(|(key, standing)| (key.to_owned(), standing))
        );
    }

    #[tokio::test]
    async fn reads_below_the_root_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        write(&root.join("a.md"), "inside", 9);
        write(&root.join("large.md"), &"x".repeat(1001), 9);
        write(&dir.path().join("secret.md"), "outside", 9);
        symlink(dir.path().join("secret.md"), root.join("secret.md")).unwrap();
        symlink("a.md", root.join("alias.md")).unwrap();
        let inside = Fetched::Content {
            bytes: b"inside".to_vec(),
            media_type: None,
        };
        assert_eq!(read(&root, "a.md", 1000), inside);
        assert_eq!(read(&root, "alias.md", 1000), inside);
        for key in ["secret.md", "../secret.md", "gone.md", "."] {
            assert_eq!(read(&root, key, 1000), Fetched::Gone, "{key}");
        }
        assert!(matches!(read(&root, "large.md", 1000), Fetched::Refused(_)));
        // Where the kernel resolves the path itself, even a link on the way is refused.
        assert!(open_below(&root, &root.join("secret.md")).is_err());
    }

    #[tokio::test]
    async fn a_mount_that_is_gone_makes_the_listing_incomplete() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        write(&root.join("a.md"), "x", 9);
        let known = serde_json::to_string(&Root {
            inode: 1,
            is_mount: false,
            mounts: BTreeSet::from(["projects".to_owned()]),
        })
        .unwrap();
        let folder = open(&root, Some(&known));
        let failures: Vec<_> = folder
            .list()
            .filter_map(|item| async { item.err() })
            .collect()
            .await;
        assert!(
            failures.len() == 1 && failures[0].0.contains("projects"),
            "{failures:?}"
        );
        let folder = open(&root, None);
        let first = folder.root().await.unwrap();
        assert_eq!(first, open(&root, None).root().await.unwrap());
    }

    #[tokio::test]
    async fn an_unreadable_folder_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            place: Place::Folder {
                path: String::new(),
            },
            prefix: String::new(),
        };
        let open = |path: &Path| {
            let globs = Globs::new(&[], &[], true).unwrap();
            Folder::open(
                path,
                settings.clone(),
                globs,
                &dir.path().join("data"),
                None,
                1000,
            )
        };
        fs_err::create_dir_all(dir.path().join("data/blobs")).unwrap();
        assert!(
            open(&dir.path().join("missing"))
                .unwrap_err()
                .0
                .contains("is it there and mounted")
        );
        assert!(
            open(Path::new("relative"))
                .unwrap_err()
                .0
                .contains("not an absolute path")
        );
        assert!(
            open(&dir.path().join("data/blobs"))
                .unwrap_err()
                .0
                .contains("data directory")
        );
    }
}
