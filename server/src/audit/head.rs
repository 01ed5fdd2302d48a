//! The head: the signed end of the log, written with every commit, so that a log that was cut short shows.
//!
//! The file has two places, used in turn, so that a power cut in the middle of a write leaves the other.

use super::key::Key;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes of one place: a page, which a disk writes as a whole as a rule.
const PLACE: usize = 4096;

/// Where the log stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// How often the head was written.
    pub(super) commit: u64,
    /// The last record; 0 when there is none.
    pub(super) seq: u64,
    /// Its hash.
    pub(super) hash: String,
    /// The first record that is still kept.
    pub(super) first: u64,
    /// What it follows: the hash of the last one that was dropped.
    pub(super) first_prev_hash: String,
    /// Names of the holds that keep everything from being dropped.
    pub(super) holds: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    head: Head,
    mac: String,
}

/// What the head's file says.
pub(super) struct Found {
    /// The newest valid copy.
    pub(super) head: Head,
    /// Whether the other copy is damaged.
    pub(super) damaged_copy: bool,
}

/// The head's file, open for writing.
pub(super) struct HeadFile(std::fs::File);

impl HeadFile {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = fs_err::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Self(file.into_parts().0))
    }

    /// Writes a head in the place whose turn it is; durable when this returns.
    pub(super) fn write(&self, head: &Head, key: &Key) -> io::Result<()> {
        self.write_at(head.commit % 2, head, key)
    }

    /// Writes a head in both places, as at the start.
    pub(super) fn write_both(&self, head: &Head, key: &Key) -> io::Result<()> {
        self.write_at(head.commit % 2, head, key)?;
        self.write_at((head.commit + 1) % 2, head, key)
    }

    fn write_at(&self, place: u64, head: &Head, key: &Key) -> io::Result<()> {
        let mac = key.sign("head", serde_json::to_string(head)?.as_bytes());
        let signed = Signed {
            head: head.clone(),
            mac,
        };
        let mut bytes = serde_json::to_vec(&signed)?;
        if bytes.len() >= PLACE {
            return Err(io::Error::other("the head of the audit log is too large"));
        }
        bytes.resize(PLACE - 1, b' ');
        bytes.push(b'\n');
        self.0.write_all_at(&bytes, place * PLACE as u64)?;
        self.0.sync_data()
    }
}

/// Reads the head; `None` when the file has no valid copy or is not there.
pub(super) fn read(path: &Path, key: &Key) -> io::Result<Option<Found>> {
    let bytes = match fs_err::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let copies: Vec<Option<Head>> = (0..2)
        .map(|place| {
            let copy = bytes.get(place * PLACE..(place + 1) * PLACE)?;
            parse(copy, key)
        })
        .collect();
    let damaged_copy = copies.contains(&None) || bytes.len() != 2 * PLACE;
    let newest = copies.into_iter().flatten().max_by_key(|head| head.commit);
    Ok(newest.map(|head| Found { head, damaged_copy }))
}

fn parse(copy: &[u8], key: &Key) -> Option<Head> {
    let text = std::str::from_utf8(copy).ok()?;
    let json = text.strip_suffix('\n')?.trim_end_matches(' ');
    let Signed { head, mac } = serde_json::from_str(json).ok()?;
    let body = serde_json::to_string(&head).ok()?;
    let exact = format!("{{\"head\":{body},\"mac\":\"{mac}\"}}");
    (json == exact && key.signed("head", body.as_bytes(), &mac)).then_some(head)
}
