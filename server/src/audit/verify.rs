//! Whether the log is as it was written: every record, in its place, from the first that is kept to the signed end.

use super::Anchor;
use super::head::{self, Found};
use super::key::{self, Key};
use super::record::Record;
use super::segments::{self, Segment};
use super::store::{dir, head_path};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;
use utoipa::ToSchema;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditVerification)]
pub struct Verification {
    /// Records that are sound, from the first on.
    pub n_records: u64,
    /// The first record that is kept; earlier ones were dropped by retention.
    pub first_seq: u64,
    /// The last sound record; 0 when there is none.
    pub last_seq: u64,
    /// Its hash.
    pub last_hash: String,
    /// What is wrong, the first bad record first; empty when all is well.
    pub findings: Vec<Finding>,
    /// What is no harm and good to know.
    pub notes: Vec<String>,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditFinding)]
pub struct Finding {
    /// The number of the record that is bad or missing; absent where it is no record.
    #[schema(required)]
    pub seq: Option<u64>,
    /// The file, and the line from 1 where it is one.
    pub place: String,
    /// What is wrong.
    pub trouble: String,
}

/// Times that a log is read anew which changed while it was read.
const ATTEMPTS: usize = 3;

/// Checks the log of a data directory, also while a server writes it. Blocking.
///
/// `anchor` is a head that was kept elsewhere: only with one it shows when the whole log was replaced by an older copy
/// of itself.
///
/// # Errors
/// When there is no log, or it cannot be read.
pub fn verify(data_dir: &Path, anchor: Option<&Anchor>) -> anyhow::Result<Verification> {
    let dir = dir(data_dir);
    let mut seen = walk(data_dir, &dir, anchor);
    for _ in 1..ATTEMPTS {
        match seen {
            // Retention dropped a segment meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                seen = walk(data_dir, &dir, anchor);
            }
            seen => return Ok(seen?),
        }
    }
    Ok(seen?)
}

fn walk(data_dir: &Path, dir: &Path, anchor: Option<&Anchor>) -> io::Result<Verification> {
    let mut findings = Vec::new();
    let mut lacks = |what: &Path, trouble: &str| {
        findings.push(Finding {
            seq: None,
            place: what.display().to_string(),
            trouble: trouble.to_owned(),
        });
    };
    let key = Key::read(data_dir).map_err(io::Error::other)?;
    // The head first: what is written meanwhile comes after it.
    let found = match &key {
        Some(key) => read_head(dir, key)?,
        None => {
            lacks(
                &key::file(data_dir),
                "the key is missing, so that only the chain was checked, which whoever changes records can make anew",
            );
            None
        }
    };
    if key.is_some() {
        match &found {
            None => lacks(
                &head_path(dir),
                "it is missing or damaged: nothing says where the log ends",
            ),
            Some(found) if found.damaged_copy => lacks(
                &head_path(dir),
                "one of its two copies is damaged: the last commit may be missing",
            ),
            Some(_) => {}
        }
    }
    let segments = segments::list(dir)?;
    let mut walk = Walk::new(
        key.as_ref(),
        found.map(|found| found.head),
        &segments,
        anchor,
    );
    let kept = segments.iter().enumerate().filter(|(at, _)| {
        segments
            .get(at + 1)
            .is_none_or(|next| next.first > walk.first)
    });
    let kept: Vec<&Segment> = kept.map(|(_, segment)| segment).collect();
    for (at, segment) in kept.iter().enumerate() {
        if !walk.segment(segment, at + 1 == kept.len())? {
            break;
        }
    }
    walk.end(dir);
    // What is wrong with a record comes first.
    walk.findings.append(&mut findings);
    Ok(Verification {
        n_records: walk.next - walk.first,
        first_seq: walk.first,
        last_seq: walk.next - 1,
        last_hash: walk.prev_hash,
        findings: walk.findings,
        notes: walk.notes,
    })
}

/// Reads the head; one that is just being written is read again.
fn read_head(dir: &Path, key: &Key) -> io::Result<Option<Found>> {
    let mut found = None;
    for _ in 0..ATTEMPTS {
        found = head::read(&head_path(dir), key)?;
        if found.as_ref().is_some_and(|found| !found.damaged_copy) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(found)
}

/// A walk along the chain, which stops at the first bad record.
struct Walk<'a> {
    key: Option<&'a Key>,
    head: Option<head::Head>,
    anchor: Option<&'a Anchor>,
    first: u64,
    /// The number that the next record must have, and the hash that it must follow.
    next: u64,
    prev_hash: String,
    bridged: bool,
    findings: Vec<Finding>,
    notes: Vec<String>,
}

impl<'a> Walk<'a> {
    fn new(
        key: Option<&'a Key>,
        head: Option<head::Head>,
        segments: &[Segment],
        anchor: Option<&'a Anchor>,
    ) -> Self {
        let (first, prev_hash) = match &head {
            Some(head) => (head.first, head.first_prev_hash.clone()),
            // The first record says itself what it follows.
            None => (
                segments.first().map_or(1, |segment| segment.first),
                String::new(),
            ),
        };
        Self {
            key,
            head,
            anchor,
            first,
            next: first,
            prev_hash,
            bridged: first == 1,
            findings: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Walks through a segment; returns whether all of it is sound.
    fn segment(&mut self, segment: &Segment, is_last: bool) -> io::Result<bool> {
        let bytes = segment.read()?;
        let known = self.head.as_ref().map_or(0, |head| head.seq);
        for (line, number) in segments::lines(&bytes).zip(1_u64..) {
            if !line.complete && is_last && self.next > known {
                self.notes.push(format!(
                    "the last line of `{}` breaks off: a record that is being written, or whose writing was cut off; \
                     it was not acknowledged",
                    segment.name()
                ));
                break;
            }
            let place = || format!("{}, line {number}", segment.name());
            let wrong = match line.open(self.key) {
                Err(flaw) => Some(flaw.to_string()),
                Ok(record) => self.follow(record),
            };
            if let Some(trouble) = wrong {
                self.bad(self.next, place(), trouble);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a step; returns what is wrong with it.
    fn follow(&mut self, record: Record) -> Option<String> {
        let next = self.next;
        let is_start = next == self.first && self.prev_hash.is_empty();
        if record.seq > next {
            let missing = match record.seq - 1 {
                last if last == next => format!("record {next} is missing"),
                last => format!("records {next} to {last} are missing"),
            };
            return Some(format!(
                "{missing} here: record {} is in that place",
                record.seq
            ));
        }
        if record.seq < next {
            return Some(format!(
                "record {next} should be here, and record {} is: it was inserted or moved",
                record.seq
            ));
        }
        if !is_start && record.prev_hash != self.prev_hash {
            return Some(format!(
                "it does not follow record {}: one of them is from another log",
                next - 1
            ));
        }
        if let Some(head) = &self.head
            && head.seq == next
            && head.hash != record.hash
        {
            return Some("the signed head names another record in this place".to_owned());
        }
        if let Some(anchor) = self.anchor
            && anchor.seq == next
            && anchor.hash != record.hash
        {
            return Some(
                "it has another hash than the head given: the log was replaced".to_owned(),
            );
        }
        self.bridged |= record.action == "audit.retention"
            && record
                .details
                .get("last_dropped")
                .and_then(serde_json::Value::as_u64)
                == Some(self.first - 1);
        (self.next, self.prev_hash) = (next + 1, record.hash);
        None
    }

    /// Looks at where the chain ended.
    fn end(&mut self, dir: &Path) {
        let (last, place) = (self.next - 1, dir.display().to_string());
        if self.findings.is_empty()
            && let Some(head) = &self.head
        {
            if last < head.seq {
                let trouble = format!(
                    "the log ends at record {last}, and the signed head names record {}: records {} to {0} were cut off",
                    head.seq, self.next
                );
                self.bad(self.next, place.clone(), trouble);
            } else if last > head.seq {
                self.notes.push(format!(
                    "records {} to {last} are signed and not yet in the head: they are being committed, or a crash came \
                     between; the next start takes them up",
                    head.seq + 1
                ));
            }
        }
        if self.findings.is_empty() && !self.bridged {
            self.bad(
                self.first,
                place.clone(),
                format!(
                    "no record says that the records before {} were dropped",
                    self.first
                ),
            );
        }
        let Some(anchor) = self.anchor else { return };
        let start = self.head.as_ref().map(|head| &head.first_prev_hash);
        if anchor.seq + 1 == self.first && start.is_some_and(|start| *start != anchor.hash) {
            let trouble = format!(
                "it does not follow record {} of the head given: the log was replaced",
                anchor.seq
            );
            self.bad(self.first, place, trouble);
        } else if anchor.seq + 1 < self.first {
            self.notes.push(format!(
                "record {}, which the head given names, was dropped by retention, so that it could not be compared",
                anchor.seq
            ));
        } else if anchor.seq > last && self.findings.is_empty() {
            let trouble = format!(
                "the log ends at record {last}, and the head given names record {}: the log was replaced by an older \
                 copy, or the head is of another log",
                anchor.seq
            );
            self.bad(self.next, place, trouble);
        }
    }

    fn bad(&mut self, seq: u64, place: String, trouble: String) {
        self.findings.push(Finding {
            seq: Some(seq),
            place,
            trouble,
        });
    }
}

/// Returns the names of all holds in a log that no process has open.
///
/// # Errors
/// When it cannot be read.
pub fn holds(data_dir: &Path) -> anyhow::Result<BTreeSet<String>> {
    let Some(key) = Key::read(data_dir)? else {
        return Ok(BTreeSet::new());
    };
    let found = read_head(&dir(data_dir), &key)?;
    Ok(found.map(|found| found.head.holds).unwrap_or_default())
}
