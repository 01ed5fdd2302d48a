//! The folder of stored evaluations: `<data_dir>/evaluations/<id>.json`, one record each.
//!
//! A record is written complete and durable or not at all, readable by its owner only: it holds what people asked.
//! All methods block.

use super::record::{FORMAT, Record, State, Summary};
use crate::auth::write_private;
use anyhow::Context as _;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Larger files are finished: a running evaluation has no rows yet, and its other fields are bounded.
const LARGEST_RUNNING: u64 = 256 * 1024;

/// The stored evaluations of a data directory.
#[derive(Debug, Clone)]
pub struct Records {
    dir: PathBuf,
}

/// There is no such evaluation.
#[derive(Debug, thiserror::Error)]
#[error("unknown evaluation `{0}`; `kura eval list` shows those that are stored")]
pub struct Unknown(pub String);

impl Records {
    /// Returns those of a data directory.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("evaluations"),
        }
    }

    /// Returns where a record is kept.
    #[must_use]
    pub fn path(&self, id: Uuid) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    /// Writes a record; it is durable when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, record: &Record) -> anyhow::Result<()> {
        write_private(&self.path(record.summary.id), &serde_json::to_vec(record)?)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Unknown`], or when the file cannot be read.
    pub fn read(&self, id: Uuid) -> anyhow::Result<Record> {
        self.known(id, parse(&self.path(id)))
    }

    /// Reads a record's summary, which is quicker.
    ///
    /// # Errors
    /// As [`Records::read`].
    pub fn summary(&self, id: Uuid) -> anyhow::Result<Summary> {
        self.known(id, parse(&self.path(id)))
    }

    /// Returns the ids of all records, the latest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn ids(&self) -> anyhow::Result<Vec<Uuid>> {
        let entries = match fs_err::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                ids.extend(stem.and_then(|stem| stem.parse::<Uuid>().ok()));
            }
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    /// Returns summaries that pass, the latest first, from below `after`; at most `limit`. One that cannot be read is logged and
    /// left out, so that it does not hide the others.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(
        &self,
        after: Option<Uuid>,
        limit: usize,
        passes: impl Fn(&Summary) -> bool,
    ) -> anyhow::Result<Vec<Summary>> {
        let ids = self.ids()?;
        let below = ids
            .into_iter()
            .filter(|id| after.is_none_or(|after| *id < after));
        let read = |id| match self.summary(id) {
            Ok(summary) => Some(summary),
            Err(error) => {
                tracing::warn!(evaluation.id = %id, "an evaluation cannot be read: {error:#}");
                None
            }
        };
        let passing = below.filter_map(read).filter(|summary| passes(summary));
        Ok(passing.take(limit).collect())
    }

    /// Deletes a record.
    ///
    /// # Errors
    /// [`Unknown`], or when the file cannot be deleted.
    pub fn delete(&self, id: Uuid) -> anyhow::Result<()> {
        self.known(id, fs_err::remove_file(self.path(id)).map_err(Into::into))?;
        fs_err::File::open(&self.dir)?.sync_all()?;
        Ok(())
    }

    /// Returns the id that `text` is, or begins.
    ///
    /// # Errors
    /// [`Unknown`], or when it begins several.
    pub fn find(&self, text: &str) -> anyhow::Result<Uuid> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let begins = |id: &Uuid| !text.is_empty() && id.to_string().starts_with(text);
        let found: Vec<Uuid> = self.ids()?.into_iter().filter(begins).collect();
        match found[..] {
            [id] => Ok(id),
            [] => Err(Unknown(text.to_owned()).into()),
            [..] => anyhow::bail!(
                "{} evaluations begin with `{text}`; write more of the id",
                found.len()
            ),
        }
    }

    /// Reads the record that `text` names: the path of a record's file, an id, or the beginning of one.
    ///
    /// # Errors
    /// As [`Records::find`] and [`Records::read`].
    pub fn open(&self, text: &str) -> anyhow::Result<Record> {
        let path = Path::new(text);
        if path.is_file() {
            return parse(path);
        }
        self.read(self.find(text)?)
    }

    /// Fails the evaluations that a server left running when it ended. Only for a server that starts.
    ///
    /// # Errors
    /// When a record cannot be read or written.
    pub fn fail_interrupted(&self) -> anyhow::Result<()> {
        for id in self.ids()? {
            let path = self.path(id);
            if fs_err::metadata(&path)?.len() > LARGEST_RUNNING {
                continue;
            }
            match parse::<Record>(&path) {
                Ok(record) if record.summary.state == State::Running => {
                    self.write(&record.fail("interrupted: the server stopped; run it again"))?;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(evaluation.id = %id, "an evaluation cannot be read: {error:#}");
                }
            }
        }
        Ok(())
    }

    fn known<T>(&self, id: Uuid, result: anyhow::Result<T>) -> anyhow::Result<T> {
        result.map_err(|error| {
            let io = error.downcast_ref::<std::io::Error>();
            match io.map(std::io::Error::kind) {
                Some(ErrorKind::NotFound) => Unknown(id.to_string()).into(),
                _ => error,
            }
        })
    }
}

/// Reads a record or its summary.
fn parse<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    #[derive(serde::Deserialize)]
    struct Form {
        format: u32,
    }
    let bytes = fs_err::read(path)?;
    let unreadable = || {
        format!(
            "`{}` is no evaluation that this kura can read",
            path.display()
        )
    };
    let form: Form = serde_json::from_slice(&bytes).with_context(unreadable)?;
    anyhow::ensure!(
        form.format <= FORMAT,
        "`{}` was written by a later kura (form {}, this one reads up to {FORMAT}); use that one",
        path.display(),
        form.format
    );
    serde_json::from_slice(&bytes).with_context(unreadable)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    #[test]
    fn records_are_kept_listed_and_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::of(dir.path());
        assert!(records.list(None, 10, |_| true).unwrap().is_empty());
        let (first, second) = (record(&[1.0]), record(&[0.5]));
        let (old, new) = (first.summary.id, second.summary.id);
        records.write(&first).unwrap();
        records.write(&second).unwrap();
        assert_eq!(records.read(old).unwrap().queries, first.queries);

        let page = records.list(None, 1, |_| true).unwrap();
        assert_eq!(page[0].id, new, "the latest is first");
        assert_eq!(records.list(Some(new), 10, |_| true).unwrap()[0].id, old);
        assert_eq!(records.find(&old.to_string()).unwrap(), old);
        let path = records.path(new);
        assert_eq!(
            records.open(path.to_str().unwrap()).unwrap().summary.id,
            new
        );

        records.delete(old).unwrap();
        for error in [
            records.delete(old).unwrap_err(),
            records.read(old).unwrap_err(),
            records.find("ffff").unwrap_err(),
        ] {
            assert!(error.is::<Unknown>(), "{error:#}");
        }
    }

    #[test]
    fn only_its_owner_reads_a_record() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let records = Records::of(dir.path());
        let record = record(&[1.0]);
        records.write(&record).unwrap();
        let path = records.path(record.summary.id);
        let mode = fs_err::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_a_server_left_running_fails() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::of(dir.path());
        let mut running = record(&[1.0]);
        running.summary.state = State::Running;
        running.queries.clear();
        let done = record(&[1.0]);
        records.write(&running).unwrap();
        records.write(&done).unwrap();
        records.fail_interrupted().unwrap();
        let failed = records.summary(running.summary.id).unwrap();
        assert_eq!(failed.state, State::Failed);
        assert!(failed.error.unwrap().starts_with("interrupted"));
        let kept = records.summary(done.summary.id).unwrap();
        assert_eq!(kept.state, State::Done);
    }

    #[test]
    fn what_cannot_be_read_says_so_and_hides_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::of(dir.path());
        let good = record(&[1.0]);
        records.write(&good).unwrap();
        let broken = Uuid::now_v7();
        fs_err::write(records.path(broken), "{\"format\": 1}").unwrap();
        assert_eq!(records.list(None, 10, |_| true).unwrap().len(), 1);
        assert!(records.read(broken).is_err());
        let mut later = record(&[1.0]);
        later.summary.format = FORMAT + 1;
        records.write(&later).unwrap();
        let error = records.read(later.summary.id).unwrap_err();
        assert!(error.to_string().contains("later kura"), "{error:#}");
    }
}
