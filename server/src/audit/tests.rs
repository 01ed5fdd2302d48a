//! The log as a whole: tampering, crashes, failing disks, retention.

use super::record::{self, GENESIS, hex};
use super::segments::{self, Segment};
use super::store::{Options, Store, dir, head_path};
use super::verify::{Verification, verify};
use super::writer::now;
use super::*;
use crate::error::Code;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const RECORDS: u64 = 600;
const TAMPERINGS: usize = 1000;

/// Small segments, so that a log of a few hundred records has several.
const SMALL: Options = Options {
    segment_bytes: 30_000,
    retention_days: 0,
};

fn draft(n: u64) -> Draft {
    let mut draft = Draft::new(
        Who::new(["admin", "eve", "規程"][n as usize % 3], "api_key"),
        ["search", "document.read", "document.delete"][n as usize % 3],
        Outcome::of_status(200, None),
    )
    .target("document", &format!("d-{n}"))
    .detail("version", n);
    draft.peer = Some("127.0.0.1".to_owned());
    draft
}

fn drafts(range: std::ops::Range<u64>) -> Vec<(Draft, Timestamp)> {
    range.map(|n| (draft(n), now())).collect()
}

/// A log of `RECORDS` records, in commits of different sizes.
fn sample(data_dir: &Path) -> Store {
    let mut store = Store::open(data_dir, SMALL).unwrap();
    let mut n = 0;
    for size in (1..=7).cycle() {
        let end = RECORDS.min(n + size);
        store.append(&drafts(n..end)).unwrap();
        n = end;
        if n == RECORDS {
            return store;
        }
    }
    unreachable!()
}

/// The files of a log, to be changed and written back.
#[derive(Clone)]
struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    fn read(data_dir: &Path) -> Self {
        let mut files = BTreeMap::new();
        for entry in fs_err::read_dir(dir(data_dir)).unwrap() {
            let path = entry.unwrap().path();
            files.insert(path.clone(), fs_err::read(&path).unwrap());
        }
        Self(files)
    }

    fn write(&self, data_dir: &Path) {
        for entry in fs_err::read_dir(dir(data_dir)).unwrap() {
            let path = entry.unwrap().path();
            if !self.0.contains_key(&path) {
                fs_err::remove_file(path).unwrap();
            }
        }
        for (path, bytes) in &self.0 {
            fs_err::write(path, bytes).unwrap();
        }
    }

    fn segments(&self) -> Vec<PathBuf> {
        let is_segment = |path: &&PathBuf| path.extension().is_some_and(|end| end == "jsonl");
        self.0.keys().filter(is_segment).cloned().collect()
    }

    /// All lines, each with its segment.
    fn lines(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut lines = Vec::new();
        for path in self.segments() {
            for line in segments::lines(&self.0[&path]) {
                lines.push((path.clone(), line.bytes.to_vec()));
            }
        }
        lines
    }

    fn with_lines(&self, lines: &[(PathBuf, Vec<u8>)]) -> Self {
        let mut files = self.clone();
        for path in self.segments() {
            files.0.remove(&path);
        }
        for (path, line) in lines {
            let file = files.0.entry(path.clone()).or_default();
            file.extend_from_slice(line);
            file.push(b'\n');
        }
        files
    }
}

/// Makes a line's hash fit its content, as whoever has no key can.
fn rehashed(line: &str, prev_hash: Option<&str>) -> (String, String) {
    let (body, seal) = line.split_once(",\"hash\":\"").unwrap();
    let body = match prev_hash {
        Some(prev_hash) => {
            let (rest, _) = body.split_once("\"prev_hash\":\"").unwrap();
            format!("{rest}\"prev_hash\":\"{prev_hash}\"")
        }
        None => body.to_owned(),
    };
    let hash = hex(&Sha256::digest(body.as_bytes()));
    (format!("{body},\"hash\":\"{hash}{}", &seal[64..]), hash)
}

/// Changes a log in one way; returns what it is then, the bad record, and what was done.
fn tamper(files: &Files, random: &mut StdRng, kind: usize) -> (Files, u64, String) {
    let lines = files.lines();
    let at = random.random_range(0..lines.len());
    let seq = at as u64 + 1;
    let mut changed = lines.clone();
    let text = |at: usize| String::from_utf8(lines[at].1.clone()).unwrap();
    match kind {
        0 => {
            let bytes = &mut changed[at].1;
            let (byte, bit) = (
                random.random_range(0..bytes.len()),
                random.random_range(0..8),
            );
            bytes[byte] ^= 1 << bit;
            let what = format!("bit {bit} of byte {byte} of record {seq}");
            (files.with_lines(&changed), seq, what)
        }
        1 => {
            let forged = text(at).replacen("\"result\":\"success\"", "\"result\":\"refused\"", 1);
            assert_ne!(forged, text(at));
            changed[at].1 = rehashed(&forged, None).0.into_bytes();
            (
                files.with_lines(&changed),
                seq,
                format!("record {seq} changed, its hash made anew"),
            )
        }
        2 => {
            let mut forged = text(at).replacen("d-", "x-", 1);
            let mut prev_hash: Option<String> = None;
            for (next, line) in changed.iter_mut().enumerate().skip(at) {
                let (line_now, hash) = rehashed(&forged, prev_hash.as_deref());
                line.1 = line_now.into_bytes();
                prev_hash = Some(hash);
                if next + 1 < lines.len() {
                    forged = text(next + 1);
                }
            }
            (
                files.with_lines(&changed),
                seq,
                format!("record {seq} changed, the chain made anew"),
            )
        }
        3 => {
            let n = random.random_range(1..=3).min(lines.len() - at);
            changed.drain(at..at + n);
            (
                files.with_lines(&changed),
                seq,
                format!("{n} records from {seq} deleted"),
            )
        }
        4 => {
            let from = random.random_range(0..lines.len());
            let place = changed[at].0.clone();
            // Before a record that has this number anyway it would be the record itself.
            let expected = if from == at { seq + 1 } else { seq };
            changed.insert(at, (place, lines[from].1.clone()));
            (
                files.with_lines(&changed),
                expected,
                format!("record {} inserted before {seq}", from + 1),
            )
        }
        5 => {
            let place = changed[at].0.clone();
            changed.insert(at + 1, (place, lines[at].1.clone()));
            (
                files.with_lines(&changed),
                seq + 1,
                format!("record {seq} twice"),
            )
        }
        6 => {
            let other = (at + random.random_range(1..lines.len())) % lines.len();
            let (a, b) = (changed[at].1.clone(), changed[other].1.clone());
            (changed[at].1, changed[other].1) = (b, a);
            let first = at.min(other) as u64 + 1;
            (
                files.with_lines(&changed),
                first,
                format!("records {seq} and {} exchanged", other + 1),
            )
        }
        7 => {
            changed.truncate(at);
            (
                files.with_lines(&changed),
                seq,
                format!("cut off before record {seq}"),
            )
        }
        8 => {
            // In the middle of a line.
            let bytes = random.random_range(1..lines[at].1.len());
            changed.truncate(at + 1);
            changed[at].1.truncate(bytes);
            let mut files = files.with_lines(&changed);
            files.0.get_mut(&lines[at].0).unwrap().pop();
            (files, seq, format!("cut off within record {seq}"))
        }
        9 => {
            let mut paths = files.segments();
            paths.shuffle(random);
            let mut swapped = files.clone();
            swapped
                .0
                .insert(paths[0].clone(), files.0[&paths[1]].clone());
            swapped
                .0
                .insert(paths[1].clone(), files.0[&paths[0]].clone());
            let first = paths[0].clone().min(paths[1].clone());
            let seq = lines.iter().position(|(path, _)| *path == first).unwrap() as u64 + 1;
            (
                swapped,
                seq,
                format!(
                    "{} and {} exchanged",
                    paths[0].display(),
                    paths[1].display()
                ),
            )
        }
        10 => {
            let mut paths = files.segments();
            paths.shuffle(random);
            let mut without = files.clone();
            without.0.remove(&paths[0]);
            let seq = lines
                .iter()
                .position(|(path, _)| *path == paths[0])
                .unwrap() as u64
                + 1;
            (without, seq, format!("{} deleted", paths[0].display()))
        }
        _ => {
            // A record that whoever has no key makes up, with the chain as it should be.
            let (prev, place) = (
                record::open(&text(at), None).unwrap(),
                changed[at].0.clone(),
            );
            let (line, _) = record::seal(
                &draft(at as u64),
                prev.seq + 1,
                now(),
                &prev.hash,
                &super::key::Key::random(),
            )
            .unwrap();
            changed.truncate(at + 1);
            changed.push((place, line.trim_end().as_bytes().to_vec()));
            (
                files.with_lines(&changed),
                seq + 1,
                format!("a forged record after {seq}"),
            )
        }
    }
}

fn check(data_dir: &Path) -> Verification {
    verify(data_dir, None).unwrap()
}

#[test]
fn every_tampering_is_found_and_located() {
    let temp = tempfile::tempdir().unwrap();
    let data_dir = temp.path();
    drop(sample(data_dir));
    let files = Files::read(data_dir);
    let clean = check(data_dir);
    assert_eq!((clean.n_records, clean.last_seq), (RECORDS, RECORDS));
    assert_eq!((&clean.findings, &clean.notes), (&vec![], &vec![]));
    assert!(files.segments().len() > 5, "{}", files.segments().len());

    let mut random = StdRng::seed_from_u64(20_261_130);
    let mut by_kind = [0; 12];
    for n in 0..TAMPERINGS {
        let kind = n % by_kind.len();
        let (changed, seq, what) = tamper(&files, &mut random, kind);
        changed.write(data_dir);
        let seen = check(data_dir);
        let first = seen
            .findings
            .first()
            .unwrap_or_else(|| panic!("tampering {n} was not found: {what}"));
        assert_eq!(first.seq, Some(seq), "tampering {n}: {what}: {first:?}");
        assert_eq!(seen.last_seq, seq - 1, "tampering {n}: {what}");
        by_kind[kind] += 1;
        // No server goes on writing a log that was cut short.
        if [7, 8].contains(&kind) {
            assert!(
                Store::open(data_dir, SMALL).is_err(),
                "tampering {n}: {what}"
            );
        }
    }
    assert!(by_kind.iter().all(|n| *n > 80), "{by_kind:?}");
    files.write(data_dir);
    assert_eq!(check(data_dir), clean);
}

#[test]
fn an_older_copy_shows_only_beside_a_head_kept_elsewhere() {
    let temp = tempfile::tempdir().unwrap();
    let data_dir = temp.path();
    let mut store = sample(data_dir);
    let copy = Files::read(data_dir);
    store.append(&drafts(0..10)).unwrap();
    let anchor = Anchor {
        seq: store.head().seq,
        hash: store.head().hash.clone(),
    };
    drop(store);
    assert_eq!(verify(data_dir, Some(&anchor)).unwrap().findings, []);

    copy.write(data_dir);
    assert_eq!(check(data_dir).findings, []);
    let seen = verify(data_dir, Some(&anchor)).unwrap();
    assert_eq!(seen.findings[0].seq, Some(RECORDS + 1), "{seen:?}");

    // One that was written on with the key shows by the hash.
    let mut store = Store::open(data_dir, SMALL).unwrap();
    store.append(&drafts(50..70)).unwrap();
    drop(store);
    assert_eq!(check(data_dir).findings, []);
    let seen = verify(data_dir, Some(&anchor)).unwrap();
    assert_eq!(seen.findings[0].seq, Some(anchor.seq), "{seen:?}");
    assert_eq!(anchor.to_string().parse::<Anchor>().unwrap(), anchor);
    assert!("7".parse::<Anchor>().is_err() && "7:xyz".parse::<Anchor>().is_err());
}

#[test]
fn a_changed_or_missing_head_or_key_is_found() {
    let temp = tempfile::tempdir().unwrap();
    let data_dir = temp.path();
    drop(sample(data_dir));
    let (files, head) = (Files::read(data_dir), head_path(&dir(data_dir)));
    for byte in [10, 200, 4095, 4096, 4200, 8191] {
        let mut changed = files.clone();
        changed.0.get_mut(&head).unwrap()[byte] ^= 1;
        changed.write(data_dir);
        let seen = check(data_dir);
        assert_eq!(seen.findings.len(), 1, "byte {byte}: {seen:?}");
        assert!(seen.findings[0].place.ends_with("head"));
        assert_eq!(seen.last_seq, RECORDS);
    }
    // One damaged copy is repaired at the next start, and that is on record.
    drop(Store::open(data_dir, SMALL).unwrap());
    assert_eq!(check(data_dir).findings, []);
    let found = read::latest(data_dir, &read::Filter::default(), None, 1).unwrap();
    assert_eq!(found[0].action, "audit.recover");
    assert_eq!(found[0].details["head_copy_damaged"], true);

    fs_err::remove_file(&head).unwrap();
    assert_eq!(check(data_dir).findings.len(), 1);
    assert!(Store::open(data_dir, SMALL).is_err());
    files.write(data_dir);
    let key = key::file(data_dir);
    fs_err::rename(&key, data_dir.join("elsewhere")).unwrap();
    assert_eq!(check(data_dir).findings.len(), 1);
    assert!(Store::open(data_dir, SMALL).is_err());
    fs_err::rename(data_dir.join("elsewhere"), &key).unwrap();
    // A log that is gone is not begun anew in silence.
    fs_err::remove_dir_all(dir(data_dir)).unwrap();
    assert!(Store::open(data_dir, SMALL).is_err());
}

#[test]
fn what_a_crash_leaves_is_taken_up() {
    let temp = tempfile::tempdir().unwrap();
    let data_dir = temp.path();
    let mut store = sample(data_dir);
    let head = fs_err::read(head_path(&dir(data_dir))).unwrap();
    store.append(&drafts(0..2)).unwrap();
    drop(store);
    // The records came to the disk, the head did not, and the next record only in part.
    fs_err::write(head_path(&dir(data_dir)), head).unwrap();
    let last = segments::list(&dir(data_dir)).unwrap().pop().unwrap();
    let mut bytes = last.read().unwrap();
    bytes.extend_from_slice(b"{\"seq\":603,\"at");
    fs_err::write(&last.path, bytes).unwrap();
    let seen = check(data_dir);
    assert_eq!((seen.findings.len(), seen.notes.len()), (0, 2), "{seen:?}");
    assert_eq!(seen.last_seq, RECORDS + 2);

    let mut store = Store::open(data_dir, SMALL).unwrap();
    assert_eq!(store.head().seq, RECORDS + 3);
    store.append(&drafts(0..1)).unwrap();
    drop(store);
    let seen = check(data_dir);
    assert_eq!((seen.findings, seen.notes), (vec![], vec![]));
    assert_eq!(seen.last_seq, RECORDS + 4);
    let found = read::latest(data_dir, &read::Filter::default(), None, 2).unwrap();
    assert_eq!(found[1].action, "audit.recover");
    assert_eq!(found[1].details["unacknowledged_records_kept"], 2);
    assert_eq!(found[1].details["unfinished_bytes_dropped"], 14);
}

#[test]
fn retention_drops_whole_segments_and_leaves_a_bridge_unless_held() {
    let temp = tempfile::tempdir().unwrap();
    let data_dir = temp.path();
    let options = Options {
        retention_days: 30,
        ..SMALL
    };
    let mut store = Store::open(data_dir, options).unwrap();
    let day = |n: i64| {
        now()
            .checked_sub(SignedDuration::from_hours(24 * n))
            .unwrap()
    };
    for age in (0..60).rev() {
        let written: Vec<_> = (0..5).map(|n| (draft(n), day(age))).collect();
        store.append(&written).unwrap();
    }
    assert_eq!(segments::list(&dir(data_dir)).unwrap().len(), 60);
    store.hold("case-7").unwrap();
    assert_eq!(store.drop_old(now()).unwrap(), 0);
    assert!(store.hold("no spaces").is_err());
    assert!(store.release("case-8").is_err());
    drop(store);
    assert_eq!(verify::holds(data_dir).unwrap().len(), 1);

    let mut store = Store::open(data_dir, options).unwrap();
    store.release("case-7").unwrap();
    let dropped = store.drop_old(now()).unwrap();
    assert!((28 * 5..=30 * 5).contains(&dropped), "{dropped}");
    assert_eq!(store.drop_old(now()).unwrap(), 0);
    store.append(&drafts(0..3)).unwrap();
    drop(store);
    let seen = check(data_dir);
    assert_eq!(seen.findings, [], "{seen:?}");
    assert_eq!((seen.first_seq, seen.last_seq), (dropped + 1, 304));
    let filter = read::Filter {
        action: Some("audit".to_owned()),
        ..read::Filter::default()
    };
    let bridge = read::latest(data_dir, &filter, None, 9).unwrap();
    assert_eq!(bridge.len(), 1);
    assert_eq!(bridge[0].details["last_dropped"], dropped);

    // Dropping one more by hand is found, at its first record.
    let first = segments::list(&dir(data_dir)).unwrap().remove(0);
    fs_err::remove_file(&first.path).unwrap();
    assert_eq!(check(data_dir).findings[0].seq, Some(dropped + 1));
}

#[test]
fn a_log_has_one_writer() {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::open(temp.path(), SMALL).unwrap();
    let second = Store::open(temp.path(), SMALL).err().unwrap();
    assert!(second.to_string().contains("in use"), "{second:#}");
    drop(store);
    assert!(Store::open(temp.path(), SMALL).is_ok());
}

#[test]
fn a_log_put_aside_is_followed_by_one_that_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let data_dir = temp.path();
    drop(sample(data_dir));
    let last = segments::list(&dir(data_dir)).unwrap().pop().unwrap();
    fs_err::write(&last.path, "x\n").unwrap();
    assert!(Store::open(data_dir, SMALL).is_err());
    let aside = restart(data_dir, "disk replaced").unwrap();
    assert!(aside.join("audit.key").is_file());
    let seen = check(data_dir);
    assert_eq!((seen.findings, seen.last_seq), (vec![], 1));
    let found = read::latest(data_dir, &read::Filter::default(), None, 9).unwrap();
    assert_eq!(found[0].action, "audit.restart");
    assert_eq!(found[0].details["reason"], "disk replaced");
    assert_eq!(found[0].prev_hash, GENESIS);
}

fn config() -> AuditConfig {
    AuditConfig {
        content: false,
        reads_need_record: true,
        retention_days: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_share_commits_and_none_is_lost() {
    let temp = tempfile::tempdir().unwrap();
    let log = Arc::new(AuditLog::open(temp.path(), &config()));
    let recording = (0..500).map(|n| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.record(draft(n)).await })
    });
    for recorded in recording.collect::<Vec<_>>() {
        recorded.await.unwrap().unwrap();
    }
    assert_eq!(log.head().seq, 500);
    let head = head::read(
        &head_path(&dir(temp.path())),
        &key::Key::read(temp.path()).unwrap().unwrap(),
    );
    let commits = head.unwrap().unwrap().head.commit;
    assert!(commits < 400, "{commits} commits");
    log.enqueue(draft(1));
    drop(log);
    let seen = check(temp.path());
    assert_eq!((seen.findings, seen.last_seq), (vec![], 501));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_refuses_and_recovers() {
    let temp = tempfile::tempdir().unwrap();
    // Every day a new segment is begun, so that a folder in its place is a disk that fails.
    let log = AuditLog::open(temp.path(), &config());
    let blocked = Segment::new(&dir(temp.path()), 1).path;
    fs_err::create_dir(&blocked).unwrap();
    assert!(log.record(draft(1)).await.is_err());
    assert!(log.trouble().is_some());
    let refused = ApiError::from(log.require().unwrap_err());
    assert_eq!(refused.code, Code::AuditUnavailable);
    assert!(!refused.detail.contains("jsonl"), "{refused}");
    assert!(log.require().unwrap_err().to_string().contains("jsonl"));
    assert_eq!(refused.code.status(), 503);

    fs_err::remove_dir(&blocked).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while log.trouble().is_some() {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    log.record(draft(2)).await.unwrap();
    drop(log);
    // The record that was refused is there, too: what it tells of was done.
    let found = read::latest(temp.path(), &read::Filter::default(), None, 9).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].target["document"], "d-1");
    assert_eq!(check(temp.path()).findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_lets_nothing_through() {
    let temp = tempfile::tempdir().unwrap();
    drop(sample(temp.path()));
    fs_err::remove_file(head_path(&dir(temp.path()))).unwrap();
    let log = AuditLog::open(temp.path(), &config());
    assert!(log.require().is_err());
    assert!(log.record(draft(1)).await.is_err());
    assert!(log.hold("x").await.is_err());
    log.flush().await;
}
