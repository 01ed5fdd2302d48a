//! Notices changes in a folder as they happen, where the file system tells them (inotify); network mounts do not.
//!
//! Every change leads to a scan, so that it need not be known what has changed where. New folders are watched before the
//! scan that finds them: what is put into them later is told, what was before is listed.

use super::globs::Globs;
use super::place::Place;
use kura_indexer::catalog::Source;
use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use walkdir::WalkDir;

/// Changes come in bursts: a scan begins when none came for this long…
const QUIET: Duration = Duration::from_millis(500);
/// …or this long after the first.
const LONGEST: Duration = Duration::from_secs(5);
/// Between two scans that changes set off there is this many times the last one's duration, so that a busy folder keeps
/// no core to itself…
const REST: u32 = 10;
/// …and at most this long.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Watches a folder with all folders below it, until dropped.
pub(super) struct Watch {
    tree: Arc<Tree>,
    not_before: Instant,
}

struct Tree {
    path: PathBuf,
    /// Without symbolic links.
    root: PathBuf,
    inode: (u64, u64),
    /// kura's own files change all the time.
    data_dir: PathBuf,
    globs: Globs,
    inotify: AsyncFd<OwnedFd>,
    /// Whether something has changed that no scan has looked at yet.
    dirty: AtomicBool,
}

/// Returns the folder to watch, if this source's changes can be noticed.
pub(super) fn path(source: &Source) -> Option<PathBuf> {
    match super::settings(source).ok()?.place {
        Place::Folder { path } => Some(PathBuf::from(path)),
        Place::Git { .. } | Place::Web(_) | Place::S3(_) | Place::Imap(_) => None,
    }
}

impl Watch {
    /// Begins. Takes a while in large trees: call it where blocking is right, within a runtime.
    pub(super) fn begin(path: &Path, data_dir: &Path, globs: Globs) -> Result<Self, String> {
        let root = fs_err::canonicalize(path).map_err(|error| error.to_string())?;
        let inode = inode(&root).ok_or_else(|| format!("`{}` cannot be read", path.display()))?;
        let told = |error: Errno| match error {
            Errno::MFILE => {
                "the system allows no more watchers; raise `fs.inotify.max_user_instances`"
                    .to_owned()
            }
            error => error.to_string(),
        };
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(told)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; with a descriptor that is owned, as here, both are sound"
        )]
        let inotify = AsyncFd::new(inotify).map_err(|error| error.to_string())?;
        let tree = Tree {
            path: path.to_owned(),
            root,
            inode,
            data_dir: fs_err::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned()),
            globs,
            inotify,
            dirty: AtomicBool::new(false),
        };
        tree.arm()?;
        Ok(Self {
            tree: Arc::new(tree),
            not_before: Instant::now(),
        })
    }

    /// Watches folders that are new. Returns whether the folder is still the one that is watched.
    ///
    /// # Errors
    /// When the system allows no more.
    pub(super) async fn renew(&self) -> Result<bool, String> {
        let tree = Arc::clone(&self.tree);
        let renewed = tokio::task::spawn_blocking(move || {
            if inode(&tree.path) != Some(tree.inode) {
                return Ok(false);
            }
            tree.arm().map(|()| true)
        });
        renewed.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// A scan begins: it will see what has changed until now.
    pub(super) fn scanning(&self) {
        self.tree.dirty.store(false, Ordering::SeqCst);
    }

    /// Notes how long a scan took that has just ended.
    pub(super) fn rest(&mut self, scan: Duration) {
        self.not_before = Instant::now() + scan.saturating_mul(REST).min(LONGEST_REST);
    }

    /// Returns some time after something has changed, when the burst is over. May be dropped and called again.
    pub(super) async fn changed(&self) {
        if !self.tree.dirty.load(Ordering::SeqCst) {
            self.tree.change().await;
        }
        let longest = Instant::now() + LONGEST;
        while Instant::now() < longest {
            if tokio::time::timeout(QUIET, self.tree.change())
                .await
                .is_err()
            {
                break;
            }
        }
        tokio::time::sleep_until(self.not_before.into()).await;
    }
}

impl Tree {
    /// Watches all folders; those that are watched already stay so.
    fn arm(&self) -> Result<(), String> {
        let flags = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK;
        let folders = WalkDir::new(&self.root).into_iter().filter_entry(|entry| {
            let name = entry.file_name().to_str();
            let is_wanted = entry.depth() == 0 || name.is_none_or(|name| self.globs.may_hold(name));
            entry.file_type().is_dir() && entry.path() != self.data_dir && is_wanted
        });
        // What cannot be listed the scan tells.
        for folder in folders.filter_map(Result::ok) {
            match inotify::add_watch(self.inotify.get_ref(), folder.path(), flags) {
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
                Err(Errno::NOSPC) => {
                    return Err("the system allows no more watched folders; raise `fs.inotify.max_user_watches`".to_owned());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Returns when something has changed.
    async fn change(&self) {
        loop {
            let Ok(mut ready) = self.inotify.readable().await else {
                // The runtime ends.
                return std::future::pending().await;
            };
            let changed = self.read();
            ready.clear_ready();
            if changed {
                self.dirty.store(true, Ordering::SeqCst);
                return;
            }
        }
    }

    /// Reads all events; returns whether one of them matters.
    fn read(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut reader = Reader::new(self.inotify.get_ref(), &mut buffer);
        let mut changed = false;
        loop {
            match reader.next() {
                Ok(event) => changed |= self.matters(&event),
                Err(Errno::INTR) => {}
                Err(_) => return changed,
            }
        }
    }

    /// Returns whether an event may be about something wanted.
    fn matters(&self, event: &Event<'_>) -> bool {
        if event.events().contains(ReadFlags::IGNORED) {
            return false;
        }
        let name = event.file_name().and_then(|name| name.to_str().ok());
        name.is_none_or(|name| self.globs.may_hold(name))
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs_err::metadata(path)
        .ok()
        .map(|metadata| (metadata.dev(), metadata.ino()))
}
