//! The files that the records lie in: `NUMBER.jsonl`, named by the sequence number of their first record.

use super::key::Key;
use super::record::{self, Flaw, Record};
use std::io;
use std::path::{Path, PathBuf};

/// Digits of a name, so that names sort as numbers do.
const DIGITS: usize = 20;

/// A file of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Sequence number of its first record.
    pub(super) first: u64,
    /// Where it lies.
    pub(super) path: PathBuf,
}

/// A line of a segment.
pub(super) struct Line<'a> {
    /// The bytes without the line break.
    pub(super) bytes: &'a [u8],
    /// Where it begins.
    pub(super) start: usize,
    /// Whether a line break ends it.
    pub(super) complete: bool,
}

impl Line<'_> {
    /// Returns the record.
    pub(super) fn open(&self, key: Option<&Key>) -> Result<Record, Flaw> {
        if !self.complete {
            return Err(Flaw::Unreadable("it breaks off".to_owned()));
        }
        let text =
            std::str::from_utf8(self.bytes).map_err(|error| Flaw::Unreadable(error.to_string()))?;
        record::open(text, key)
    }
}

impl Segment {
    /// Returns the segment that begins with this record.
    pub(super) fn new(dir: &Path, first: u64) -> Self {
        Self {
            first,
            path: dir.join(format!("{first:0DIGITS$}.jsonl")),
        }
    }

    /// Returns its file's name.
    pub(super) fn name(&self) -> String {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// Reads all of it.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        fs_err::read(&self.path)
    }
}

/// Returns the segments of a folder in order; none when there is no folder.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let entries = match fs_err::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let first = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".jsonl"))
            .filter(|digits| digits.len() == DIGITS)
            .and_then(|digits| digits.parse().ok());
        if let Some(first) = first {
            found.push(Segment { first, path });
        }
    }
    found.sort_by_key(|segment: &Segment| segment.first);
    Ok(found)
}

/// Returns the lines of a segment; the last one may be incomplete.
pub(super) fn lines(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Line<'_>> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n');
    let (whole, rest) = bytes.split_at(whole.map_or(0, |at| at + 1));
    let mut start = 0;
    let mut found = Vec::new();
    for line in whole.split_inclusive(|byte| *byte == b'\n') {
        found.push(Line {
            bytes: &line[..line.len() - 1],
            start,
            complete: true,
        });
        start += line.len();
    }
    if !rest.is_empty() {
        found.push(Line {
            bytes: rest,
            start,
            complete: false,
        });
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_know_where_they_begin_and_whether_they_end() {
        let seen: Vec<_> = lines(b"ab\n\ncd")
            .map(|line| (line.bytes, line.start, line.complete))
            .collect();
        assert_eq!(
            seen,
            [
                (&b"ab"[..], 0, true),
                (&b""[..], 3, true),
                (&b"cd"[..], 4, false)
            ]
        );
        assert_eq!(lines(b"").count(), 0);
    }

    #[test]
    fn other_files_are_no_segments() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["head", "1.jsonl", "x0000000000000000001.jsonl"] {
            fs_err::write(dir.path().join(name), "").unwrap();
        }
        let (one, eleven) = (Segment::new(dir.path(), 1), Segment::new(dir.path(), 11));
        for segment in [&eleven, &one] {
            fs_err::write(&segment.path, "").unwrap();
        }
        assert_eq!(list(dir.path()).unwrap(), [one, eleven]);
        assert_eq!(list(&dir.path().join("none")).unwrap(), []);
    }
}
