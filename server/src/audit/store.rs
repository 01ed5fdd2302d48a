//! The log on the disk, open for writing. Blocking; the [`super::writer`] alone uses it.
//!
//! A commit appends lines to the last segment and fsyncs it, then writes and fsyncs the head. What fails in between
//! was not acknowledged, and is written again in the same place.

use super::head::{self, Head, HeadFile};
use super::key::{self, Key};
use super::record::{self, Draft, GENESIS, Outcome, Who};
use super::segments::{self, Segment};
use anyhow::{Context as _, bail, ensure};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Most holds at a time; their names must fit into the head.
const MAX_HOLDS: usize = 32;
/// Bytes that the last segment owns ahead of its end: thousands of records.
const ROOM: u64 = 4 << 20;
/// Longest name of a hold.
const MAX_HOLD_NAME: usize = 64;

/// How the log is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// Size from which on a new segment is begun. One is begun every day, too.
    pub(super) segment_bytes: u64,
    /// Days after which whole segments are dropped; 0: never.
    pub(super) retention_days: u32,
}

impl Options {
    pub(super) const SEGMENT_BYTES: u64 = 16 << 20;
}

/// What opening found to put right.
#[derive(Debug, Default, PartialEq, Eq)]
struct Recovered {
    /// Records that were written and signed, but not yet in the head.
    adopted: u64,
    /// Bytes of a record whose writing was cut off.
    unfinished_bytes: u64,
    /// Whether one copy of the head was damaged.
    head_copy: bool,
}

/// The log, open for writing.
pub(super) struct Store {
    dir: PathBuf,
    key: Key,
    options: Options,
    head: Head,
    head_file: HeadFile,
    segments: Vec<Segment>,
    last: Option<Last>,
    _lock: File,
}

/// The segment that is written to.
struct Last {
    file: File,
    /// Where the next line goes.
    end: u64,
    /// The day of its first record.
    day: Date,
    /// Up to where the file owns its blocks.
    room: u64,
    /// Whether an attempt that failed may have left something behind the end.
    dirty: bool,
}

impl Last {
    fn new(file: File, end: u64, day: Date) -> Self {
        Self {
            file,
            end,
            day,
            room: end,
            dirty: true,
        }
    }

    /// Writes and fsyncs lines at the end, which stays where it is until the head says otherwise.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.end)?;
            self.room = self.end;
        }
        self.dirty = true;
        self.reserve();
        self.file.write_all_at(bytes, self.end)?;
        self.file.sync_data()
    }

    /// Takes blocks ahead, so that there is something left to write to when the disk is full.
    fn reserve(&mut self) {
        if self.room > self.end + ROOM / 2 {
            return;
        }
        // Where the disk is full, or cannot do this, writing shows how far it goes.
        if fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.end, ROOM).is_ok() {
            self.room = self.end + ROOM;
        }
    }
}

/// Returns where the log of a data directory lies.
pub(super) fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("audit")
}

/// Returns where its head lies.
pub(super) fn head_path(dir: &Path) -> PathBuf {
    dir.join("head")
}

impl Store {
    /// Opens the log of a data directory, or begins it; puts right what a crash left.
    ///
    /// # Errors
    /// When it is in use, is not as it was left, or cannot be read or written.
    pub(super) fn open(data_dir: &Path, options: Options) -> anyhow::Result<Self> {
        let dir = dir(data_dir);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot create `{}`", dir.display()))?;
        let lock = lock(&dir)?;
        let mut segments = segments::list(&dir)?;
        let key = match Key::read(data_dir)? {
            Some(key) => key,
            None if segments.is_empty() => begin(data_dir, &dir)?,
            None => bail!(
                "its key `{}` is gone; restore it from a backup",
                key::file(data_dir).display()
            ),
        };
        let found = head::read(&head_path(&dir), &key)?
            .context("its head is missing or damaged, so that nothing says where it ends")?;
        // A retention that was cut off after its commit.
        while segments.len() > 1 && segments[1].first <= found.head.first {
            fs_err::remove_file(&segments.remove(0).path)?;
        }
        let mut store = Self {
            head_file: HeadFile::open(&head_path(&dir))?,
            dir,
            key,
            options,
            head: found.head,
            segments,
            last: None,
            _lock: lock,
        };
        let mut recovered = store.take_up()?;
        recovered.head_copy = found.damaged_copy;
        if recovered != Recovered::default() {
            store.note(&recovered)?;
        }
        Ok(store)
    }

    /// Returns where the log stands.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Appends records. They are durable when this returns, or else none of them is part of the log.
    ///
    /// # Errors
    /// When the disk does not take them; the same can be tried again.
    pub(super) fn append(&mut self, drafts: &[(Draft, Timestamp)]) -> io::Result<()> {
        self.commit(drafts, |_| ())
    }

    /// Adds a hold. One that is there stays.
    ///
    /// # Errors
    /// When the name cannot be used, there are too many, or the disk does not take it.
    pub(super) fn hold(&mut self, name: &str) -> anyhow::Result<()> {
        let is_name = (1..=MAX_HOLD_NAME).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        ensure!(
            is_name,
            "a hold's name has 1 to {MAX_HOLD_NAME} of the letters A to Z and a to z, digits, `-`, `_` and `.`"
        );
        ensure!(
            self.head.holds.len() < MAX_HOLDS || self.head.holds.contains(name),
            "there are {MAX_HOLDS} holds; release one"
        );
        self.commit(&[], |head| {
            head.holds.insert(name.to_owned());
        })?;
        Ok(())
    }

    /// Releases a hold.
    ///
    /// # Errors
    /// When there is no such hold, or the disk does not take it.
    pub(super) fn release(&mut self, name: &str) -> anyhow::Result<()> {
        ensure!(self.head.holds.contains(name), "unknown hold `{name}`");
        self.commit(&[], |head| {
            head.holds.remove(name);
        })?;
        Ok(())
    }

    /// Drops the segments whose records are all older than the retention, unless there is a hold. A record and the
    /// head say, signed, what the rest follows. Returns how many records are gone.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn drop_old(&mut self, now: Timestamp) -> anyhow::Result<u64> {
        if self.options.retention_days == 0 || !self.head.holds.is_empty() {
            return Ok(0);
        }
        let days = i64::from(self.options.retention_days);
        let cutoff = now.saturating_sub(SignedDuration::from_hours(24 * days))?;
        let mut keep = None;
        // A segment is as old as the first record of the next.
        for (at, next) in self.segments.iter().enumerate().skip(1) {
            let bytes = next.read()?;
            let Some(line) = segments::lines(&bytes).next() else {
                break;
            };
            let first = line.open(Some(&self.key))?;
            if first.at > cutoff {
                break;
            }
            keep = Some((at, first));
        }
        let Some((n_segments, first)) = keep else {
            return Ok(0);
        };
        let n = first.seq - self.head.first;
        let bridge = Draft::new(Who::kura(), "audit.retention", Outcome::success())
            .detail("first_dropped", self.head.first)
            .detail("last_dropped", first.seq - 1)
            .detail("last_dropped_hash", first.prev_hash.as_str())
            .detail("retention_days", self.options.retention_days);
        self.commit(&[(bridge, now)], |head| {
            head.first = first.seq;
            head.first_prev_hash.clone_from(&first.prev_hash);
        })?;
        for dropped in self.segments.drain(..n_segments) {
            fs_err::remove_file(&dropped.path)?;
        }
        sync_dir(&self.dir)?;
        Ok(n)
    }

    /// Notes that this log begins anew after another one was put aside.
    pub(super) fn restarted(&mut self, who: Who, reason: &str, aside: &str) -> io::Result<()> {
        let draft = Draft::new(who, "audit.restart", Outcome::success())
            .detail("reason", reason)
            .detail("put_aside", aside);
        self.append(&[(draft, Timestamp::now())])
    }

    fn commit(
        &mut self,
        drafts: &[(Draft, Timestamp)],
        change: impl FnOnce(&mut Head),
    ) -> io::Result<()> {
        let mut head = self.head.clone();
        let mut bytes = String::new();
        for (draft, at) in drafts {
            head.seq += 1;
            let (line, hash) = record::seal(draft, head.seq, *at, &head.hash, &self.key)?;
            bytes.push_str(&line);
            head.hash = hash;
        }
        head.commit += 1;
        change(&mut head);
        if let Some((_, at)) = drafts.first() {
            let day = at.to_zoned(TimeZone::UTC).date();
            self.last_for(day)?.write(bytes.as_bytes())?;
        }
        self.head_file.write(&head, &self.key)?;
        self.head = head;
        if let Some(last) = &mut self.last {
            last.end += bytes.len() as u64;
            last.dirty = false;
        }
        Ok(())
    }

    /// Returns the segment that the next record goes to.
    fn last_for(&mut self, day: Date) -> io::Result<&mut Last> {
        let limit = self.options.segment_bytes;
        let is_due = |last: &Last| last.end > 0 && (last.end >= limit || last.day != day);
        if self.last.as_ref().is_none_or(is_due) {
            match self.begin_segment(day) {
                Ok(last) => self.last = Some(last),
                // On a full disk the old one still has room of its own.
                Err(error) if error.kind() == io::ErrorKind::StorageFull && self.last.is_some() => {
                }
                Err(error) => return Err(error),
            }
        }
        let last = self
            .last
            .as_mut()
            .ok_or_else(|| io::Error::other("the audit log has no segment"))?;
        if last.end == 0 {
            last.day = day;
        }
        Ok(last)
    }

    /// Begins a segment, with room for its records.
    fn begin_segment(&mut self, day: Date) -> io::Result<Last> {
        let segment = Segment::new(&self.dir, self.head.seq + 1);
        let mut last = Last::new(open_segment(&segment.path)?, 0, day);
        last.file.set_len(0)?;
        last.dirty = false;
        match fallocate(&last.file, FallocateFlags::KEEP_SIZE, 0, ROOM) {
            Ok(()) => last.room = ROOM,
            Err(rustix::io::Errno::NOSPC) => {
                fs_err::remove_file(&segment.path)?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            Err(_) => {}
        }
        sync_dir(&self.dir)?;
        if self.segments.last() != Some(&segment) {
            self.segments.push(segment);
        }
        Ok(last)
    }

    /// Finds the end of the log: reads the segment that the head is in, and what came after it.
    fn take_up(&mut self) -> anyhow::Result<Recovered> {
        let (known, mut recovered) = (self.head.seq, Recovered::default());
        let from = self
            .segments
            .iter()
            .rposition(|segment| segment.first <= known)
            .unwrap_or(0);
        // Where the chain stands; before the first line it is not known, unless no record is kept.
        let mut end = (known < self.head.first).then(|| (known, self.head.hash.clone()));
        for (at, segment) in self.segments.iter().enumerate().skip(from) {
            let is_last = at + 1 == self.segments.len();
            let bytes = segment.read()?;
            let (mut size, mut day) = (0, None);
            for line in segments::lines(&bytes) {
                let is_beyond = end.as_ref().is_some_and(|(seq, _)| *seq >= known);
                if !line.complete && is_last && is_beyond {
                    recovered.unfinished_bytes = line.bytes.len() as u64;
                    break;
                }
                let record = line.open(Some(&self.key)).map_err(|flaw| {
                    let number = 1 + count_lines(&bytes[..line.start]);
                    anyhow::anyhow!("line {number} of `{}`: {flaw}", segment.name())
                })?;
                let follows = match &end {
                    Some((seq, hash)) => record.seq == seq + 1 && record.prev_hash == *hash,
                    None => record.seq == segment.first,
                };
                ensure!(follows, "record {} is not in its place", record.seq);
                ensure!(
                    record.seq != known || record.hash == self.head.hash,
                    "record {known} is not the one that the head names"
                );
                recovered.adopted += u64::from(record.seq > known);
                day.get_or_insert_with(|| record.at.to_zoned(TimeZone::UTC).date());
                size = line.start + line.bytes.len() + 1;
                end = Some((record.seq, record.hash));
            }
            if is_last {
                let file = open_segment(&segment.path)?;
                self.last = Some(Last::new(file, size as u64, day.unwrap_or_default()));
            }
        }
        let reached = end.filter(|(seq, _)| *seq >= known);
        (self.head.seq, self.head.hash) = reached.with_context(|| {
            format!("it ends before record {known}, which the head names: it was cut short")
        })?;
        Ok(recovered)
    }

    /// Records what was put right, and writes both copies of the head.
    fn note(&mut self, recovered: &Recovered) -> io::Result<()> {
        let draft = Draft::new(Who::kura(), "audit.recover", Outcome::success())
            .detail("unacknowledged_records_kept", recovered.adopted)
            .detail("unfinished_bytes_dropped", recovered.unfinished_bytes)
            .detail("head_copy_damaged", recovered.head_copy);
        self.append(&[(draft, Timestamp::now())])?;
        self.head_file.write_both(&self.head, &self.key)
    }
}

/// Puts the log of a data directory, with its key, aside. Returns the folder's new name.
///
/// # Errors
/// When it is in use, or cannot be moved.
pub(super) fn put_aside(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let from = dir(data_dir);
    ensure!(
        from.is_dir(),
        "there is no audit log in `{}`",
        data_dir.display()
    );
    let _lock = lock(&from)?;
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let to = data_dir.join(format!("audit.aside-{stamp}"));
    let key = key::file(data_dir);
    // First the key: without it the log is not taken for a sound one, should this be cut off.
    if key.exists() {
        fs_err::copy(&key, from.join("audit.key"))?;
        fs_err::remove_file(&key)?;
    }
    fs_err::rename(&from, &to)?;
    sync_dir(data_dir)?;
    Ok(to)
}

/// Begins a log. The key comes last: where there is one, there must be a log.
fn begin(data_dir: &Path, dir: &Path) -> anyhow::Result<Key> {
    let key = Key::random();
    let head = Head {
        commit: 0,
        seq: 0,
        hash: GENESIS.to_owned(),
        first: 1,
        first_prev_hash: GENESIS.to_owned(),
        holds: Default::default(),
    };
    HeadFile::open(&head_path(dir))?.write_both(&head, &key)?;
    sync_dir(dir)?;
    sync_dir(data_dir)?;
    key.write(data_dir)?;
    Ok(key)
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join("LOCK");
    let file = fs_err::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)?
        .into_parts()
        .0;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("it is in use by another kura process; wait for it to end")
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock `{}`", path.display()))
        }
    }
}

fn open_segment(path: &Path) -> io::Result<File> {
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.options_mut().mode(0o600);
    Ok(options.open(path)?.into_parts().0)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    fs_err::File::open(dir)?.sync_all()
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}
