//! Writing data sets: a folder in BEIR layout, as [`super::dataset`] reads it.
//!
//! Queries and judgements are added line by line, so that what is there is whole however the process ends. The folder is
//! a person's own: its permissions are left alone.

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The documents.
pub const CORPUS: &str = "corpus.jsonl";
/// The questions.
pub const QUERIES: &str = "queries.jsonl";
/// Which documents answer them.
pub const QRELS: &str = "qrels.tsv";
/// What made the data set.
pub const ABOUT: &str = "dataset.json";
/// What was made and did not become a question.
pub const REJECTED: &str = "rejected.jsonl";

const FILES: [&str; 5] = [CORPUS, QUERIES, QRELS, ABOUT, REJECTED];
const QRELS_HEADER: &str = "query-id\tcorpus-id\tscore\n";

/// There is a data set where one is to be written.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` exists; choose another folder, or add --overwrite")]
pub struct Exists(PathBuf);

/// A data set's folder, open for writing.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// Makes the folder of a new data set. With `overwrite` the files of an earlier one are removed; other files stay.
    ///
    /// # Errors
    /// [`Exists`], or when it cannot be written.
    pub fn create(dir: &Path, overwrite: bool) -> anyhow::Result<Self> {
        for name in FILES {
            let path = dir.join(name);
            if path.exists() {
                if !overwrite {
                    return Err(Exists(path).into());
                }
                fs_err::remove_file(path)?;
            }
        }
        let folder = Self {
            dir: dir.to_owned(),
        };
        fs_err::create_dir_all(dir)?;
        folder.append(QUERIES, "")?;
        folder.append(QRELS, QRELS_HEADER)?;
        Ok(folder)
    }

    /// Opens the folder of a data set to add to it. A last line that was written in part is removed.
    ///
    /// # Errors
    /// When it is not there or cannot be written.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let folder = Self {
            dir: dir.to_owned(),
        };
        for name in [QUERIES, QRELS, REJECTED] {
            let path = dir.join(name);
            if !path.exists() {
                continue;
            }
            let text = fs_err::read(&path)?;
            let whole = text
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |at| at + 1);
            if whole < text.len() {
                let file = fs_err::OpenOptions::new().write(true).open(&path)?;
                file.set_len(whole as u64)?;
            }
        }
        Ok(folder)
    }

    /// Returns where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds a line to a file of JSON lines.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add<T: Serialize>(&self, name: &str, row: &T) -> anyhow::Result<()> {
        self.append(name, &format!("{}\n", serde_json::to_string(row)?))
    }

    /// Adds a judgement: this document answers this query.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn judge(&self, query: &str, document: &str) -> anyhow::Result<()> {
        ensure!(
            !document.contains(['\t', '\n', '\r']),
            "`{document}` cannot be named in a table"
        );
        self.append(QRELS, &format!("{query}\t{document}\t1\n"))
    }

    /// Returns the rows of a file of JSON lines; none when it is absent.
    ///
    /// # Errors
    /// When a line is not what it should be; the message names file and line.
    pub fn rows<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Vec<T>> {
        let path = self.dir.join(name);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs_err::read_to_string(&path)?;
        let lines = text.lines().zip(1..);
        lines
            .map(|(line, at)| {
                serde_json::from_str(line)
                    .with_context(|| format!("`{}` line {at}", path.display()))
            })
            .collect()
    }

    /// Writes what made the data set, whole. What was added before is on the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn describe<T: Serialize>(&self, about: &T) -> anyhow::Result<()> {
        for name in [CORPUS, QUERIES, QRELS, REJECTED] {
            let path = self.dir.join(name);
            if path.exists() {
                fs_err::File::open(path)?.sync_all()?;
            }
        }
        let (path, draft) = (self.dir.join(ABOUT), self.dir.join(".dataset.json.new"));
        let mut file = fs_err::File::create(&draft)?;
        writeln!(file, "{}", serde_json::to_string_pretty(about)?)?;
        file.sync_all()?;
        fs_err::rename(draft, path)?;
        fs_err::File::open(&self.dir)?.sync_all()?;
        Ok(())
    }

    /// Reads what made the data set.
    ///
    /// # Errors
    /// When it is not there or not what [`Folder::describe`] wrote.
    pub fn about<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        let path = self.dir.join(ABOUT);
        let json = fs_err::read(&path)?;
        serde_json::from_slice(&json).with_context(|| format!("cannot read `{}`", path.display()))
    }

    fn append(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        let mut file = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        Ok(())
    }
}

/// Returns what judgements call a document: its source, or its id where a table cannot hold the source.
#[must_use]
pub fn label(source: &str, id: &str) -> String {
    if source.contains(['\t', '\n', '\r']) || source.trim() != source || source.is_empty() {
        id.to_owned()
    } else {
        source.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_folder_is_not_overwritten_unasked_and_keeps_foreign_files() {
        let dir = tempfile::tempdir().unwrap();
        let notes = dir.path().join("notes.txt");
        fs_err::write(&notes, "mine").unwrap();
        let folder = Folder::create(dir.path(), false).unwrap();
        folder
            .add(QUERIES, &json!({ "_id": "q1", "text": "?" }))
            .unwrap();
        let error = Folder::create(dir.path(), false).unwrap_err();
        assert!(error.is::<Exists>(), "{error:#}");
        assert_eq!(folder.rows::<Value>(QUERIES).unwrap().len(), 1);
        let folder = Folder::create(dir.path(), true).unwrap();
        assert_eq!(folder.rows::<Value>(QUERIES).unwrap().len(), 0);
        assert!(notes.exists());
    }

    #[test]
    fn a_line_cut_off_by_a_crash_is_taken_out() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path(), false).unwrap();
        folder.add(QUERIES, &json!({ "_id": "q1" })).unwrap();
        folder.append(QUERIES, "{\"_id\": \"q").unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        folder.add(QUERIES, &json!({ "_id": "q2" })).unwrap();
        let rows: Vec<Value> = folder.rows(QUERIES).unwrap();
        assert_eq!(rows, [json!({ "_id": "q1" }), json!({ "_id": "q2" })]);
    }

    #[test]
    fn documents_that_no_table_can_name_are_named_by_id() {
        assert_eq!(label("a b/c.md", "id"), "a b/c.md");
        for source in ["", "a\tb", " a", "a\n"] {
            assert_eq!(label(source, "id"), "id");
        }
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path(), false).unwrap();
        assert!(folder.judge("q1", "a\tb").is_err());
    }
}
