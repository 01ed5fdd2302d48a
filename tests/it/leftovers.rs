//! Looks for words in every file of a data directory, however they are packed: raw, in UTF-16, in members of ZIP files, in
//! rows and free pages of SQLite, in the document store and the term dictionaries of tantivy, in blocks of LZ4.

use rusqlite::types::ValueRef;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Largest block of LZ4 that is unpacked: payloads are far smaller.
const MAX_BLOCK: u32 = 1 << 16;

/// Returns which of these words are found, each with where. Words are of lower-case ASCII letters and digits.
pub(crate) fn find(data: &Path, words: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let copy = copied(data);
    let data = copy.path();
    let mut finder = Finder {
        words,
        found: BTreeMap::new(),
    };
    let place = |path: &Path| path.strip_prefix(data).unwrap().display().to_string();
    let files = files(data);
    for path in &files {
        let (place, bytes) = (place(path), fs_err::read(path).unwrap());
        finder.look(&place, &bytes);
        if place.contains("/dense") {
            finder.look_into_blocks(&place, &bytes);
        }
    }
    // These may write.
    for path in &files {
        if path.extension().is_some_and(|extension| extension == "db") {
            finder.look_into_rows(&place(path), path);
        } else if path.file_name().is_some_and(|name| name == "meta.json") {
            finder.look_into_words(&place(path), path.parent().unwrap());
        }
    }
    finder.found
}

/// Returns a copy of a data directory, made by another process: SQLite in this one would lose its locks when its files are
/// closed here.
fn copied(data: &Path) -> TempDir {
    let mut from = data.as_os_str().to_owned();
    from.push("/.");
    for _ in 0..20 {
        let copy = tempfile::tempdir().unwrap();
        let made = Command::new("cp")
            .arg("-a")
            .arg(&from)
            .arg(copy.path())
            .output();
        if made.unwrap().status.success() {
            return copy;
        }
        // A file went while it was copied.
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("`{}` cannot be copied", data.display());
}

/// Returns every file below a folder.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

struct Finder<'a> {
    words: &'a [String],
    found: BTreeMap<String, BTreeSet<String>>,
}

impl Finder<'_> {
    /// Looks at bytes as they are, and into them if they are a ZIP file.
    fn look(&mut self, place: &str, bytes: &[u8]) {
        // As 8 bit; and as 16 bit, where every second byte is null.
        let lower = bytes.to_ascii_lowercase();
        let wide = [0, 1].map(|at| {
            lower
                .iter()
                .skip(at)
                .step_by(2)
                .copied()
                .collect::<Vec<u8>>()
        });
        for (how, bytes) in [("", &lower), (", UTF-16", &wide[0]), (", UTF-16", &wide[1])] {
            for word in contained(bytes, self.words) {
                self.note(word, &format!("{place}{how}"));
            }
        }
        if bytes.starts_with(b"PK\x03\x04")
            && let Ok(mut archive) = zip::ZipArchive::new(Cursor::new(bytes))
        {
            for at in 0..archive.len() {
                let mut member = archive.by_index(at).unwrap();
                let mut content = Vec::new();
                member.read_to_end(&mut content).unwrap();
                let inner = format!("{place}!{at}");
                drop(member);
                self.look(&inner, &content);
            }
        }
    }

    /// Looks at every value of every table: a long one lies on pages that are not beside one another.
    fn look_into_rows(&mut self, place: &str, path: &Path) {
        let connection = rusqlite::Connection::open(path).unwrap();
        let tables: Vec<String> = connection
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for table in tables {
            let mut select = connection
                .prepare(&format!("SELECT * FROM \"{table}\""))
                .unwrap();
            let n = select.column_count();
            let mut rows = select.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for column in 0..n {
                    if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) =
                        row.get_ref(column).unwrap()
                    {
                        self.look(&format!("{place}: {table}"), bytes);
                    }
                }
            }
        }
    }

    /// Unpacks whatever may be a block of LZ4 with its size before it.
    fn look_into_blocks(&mut self, place: &str, bytes: &[u8]) {
        for from in 0..bytes.len().saturating_sub(8) {
            let size = u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap());
            if (8..MAX_BLOCK).contains(&size) {
                let unpacked = unpack(&bytes[from + 4..], size as usize);
                for word in contained(&unpacked, self.words) {
                    self.note(word, &format!("{place}, LZ4"));
                }
            }
        }
    }

    /// Looks at every stored document, deleted or not, and every term.
    fn look_into_words(&mut self, place: &str, dir: &Path) {
        let index = tantivy::Index::open_in_dir(dir).unwrap();
        let reader = index.reader().unwrap();
        let searcher = reader.searcher();
        let schema = index.schema();
        for segment in searcher.segment_readers() {
            let store = segment.get_store_reader(1).unwrap();
            for doc in 0..segment.max_doc() {
                let bytes = store.get_document_bytes(doc).unwrap();
                self.look(&format!("{place}: stored"), &bytes);
            }
            for (field, entry) in schema.fields() {
                if !entry.is_indexed() {
                    continue;
                }
                let Ok(inverted) = segment.inverted_index(field) else {
                    continue;
                };
                let mut terms = inverted.terms().stream().unwrap();
                while terms.advance() {
                    let term = terms.key().to_vec();
                    self.look(&format!("{place}: terms of {}", entry.name()), &term);
                }
            }
        }
        // What is no part of a segment that is in use cannot be opened, and has to be gone.
        let living: BTreeSet<String> = searcher
            .segment_readers()
            .iter()
            .map(|segment| segment.segment_id().uuid_string())
            .collect();
        for path in files(dir) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let stem = name.split('.').next().unwrap();
            let of_segment = stem.len() == 32 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
            if of_segment && !living.contains(stem) {
                self.found
                    .entry("files of old segments".to_owned())
                    .or_default()
                    .insert(name);
            }
        }
    }

    fn note(&mut self, word: &str, place: &str) {
        let places = self.found.entry(word.to_owned()).or_default();
        places.insert(place.to_owned());
    }
}

/// Unpacks a block of LZ4 as far as it is one, `size` bytes at most.
fn unpack(block: &[u8], size: usize) -> Vec<u8> {
    fn length(first: u8, input: &mut impl Iterator<Item = u8>) -> Option<usize> {
        let mut length = usize::from(first);
        if first == 15 {
            loop {
                let more = input.next()?;
                length += usize::from(more);
                if more != 255 {
                    break;
                }
            }
        }
        Some(length)
    }
    fn sequence(
        input: &mut impl Iterator<Item = u8>,
        out: &mut Vec<u8>,
        size: usize,
    ) -> Option<()> {
        let token = input.next()?;
        for _ in 0..length(token >> 4, input)? {
            out.push(input.next()?);
        }
        let offset = u16::from_le_bytes([input.next()?, input.next()?]);
        let from = out
            .len()
            .checked_sub(usize::from(offset))
            .filter(|_| offset > 0)?;
        for at in 0..length(token & 15, input)? + 4 {
            if out.len() >= size {
                return None;
            }
            out.push(out[from + at]);
        }
        (out.len() < size).then_some(())
    }
    let (mut input, mut out) = (block.iter().copied().take(size + 1024), Vec::new());
    while sequence(&mut input, &mut out, size).is_some() {}
    out
}

/// Returns those of these words that are in some bytes, in one pass for all of them.
fn contained<'a>(bytes: &[u8], words: &'a [String]) -> BTreeSet<&'a String> {
    let firsts: BTreeSet<u8> = words.iter().map(|word| word.as_bytes()[0]).collect();
    let is_first: Vec<bool> = (0..=u8::MAX).map(|byte| firsts.contains(&byte)).collect();
    let mut found = BTreeSet::new();
    for (at, byte) in bytes.iter().enumerate() {
        if is_first[usize::from(*byte)] {
            let rest = &bytes[at..];
            found.extend(
                words
                    .iter()
                    .filter(|word| rest.starts_with(word.as_bytes())),
            );
        }
    }
    found
}

/// A word that is packed in each of these ways is found.
#[test]
fn words_are_found_however_they_are_packed() {
    let dir = tempfile::tempdir().unwrap();
    let word = "zirkonvogelqx".to_owned();
    let words = [word.clone()];
    let expect = |place: &str| {
        let found = find(dir.path(), &words);
        let places = found.get(&word).cloned().unwrap_or_default();
        assert!(
            places.iter().any(|found| found.contains(place)),
            "{place}: {places:?}"
        );
        for path in files(dir.path()) {
            fs_err::remove_file(path).unwrap();
        }
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    };
    write("a", b"..ZirkonvogelQX..");
    expect("a");
    for wide in [u16::to_le_bytes, u16::to_be_bytes] {
        let bytes: Vec<u8> = format!(".{word}").encode_utf16().flat_map(wide).collect();
        write("b", &bytes);
        expect("UTF-16");
    }
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive
        .start_file("x", zip::write::SimpleFileOptions::default())
        .unwrap();
    std::io::Write::write_all(&mut archive, word.repeat(99).as_bytes()).unwrap();
    let packed = archive.finish().unwrap().into_inner();
    assert!(contained(&packed, &words).is_empty());
    write("c", &packed);
    expect("c!0");
    // Its end is a copy of what stands before it, so that it does not stand there in the clear.
    let mut block = vec![0; 40];
    block.extend(23_u32.to_le_bytes());
    block.extend(b"\xe0elqx.zirkonvog\x0e\x00\x50.....");
    block.extend([0; 40]);
    assert!(contained(&block, &words).is_empty());
    write("index/1/dense/page", &block);
    expect("LZ4");
    let path = dir.path().join("d.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE t (v BLOB)").unwrap();
    let long = format!("{}{word}{}", ".".repeat(5000), ".".repeat(5000));
    connection
        .execute("INSERT INTO t VALUES (?1)", [long])
        .unwrap();
    drop(connection);
    expect("d.db: t");
}
