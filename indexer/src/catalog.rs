//! The source of truth: collections, documents, their versions, chunks and jobs, in SQLite.
//!
//! `journal_mode=WAL` with `synchronous=FULL`: a transaction that has returned survives a power cut, and a [`probe`] tells
//! whether it survives a file system that fails meanwhile.
//! One connection writes, a few others read. Every method blocks: callers use the blocking pool.

mod adding;
mod children;
mod deletion;
mod dictionaries;
mod documents;
mod forget;
mod job;
mod jobs;
mod metadata;
mod moves;
mod permissions;
mod probe;
mod quality;
mod reason;
mod requests;
mod rows;
mod sources;
mod surroundings;
mod vectors;

pub use adding::{NewVersion, RequestKey};
pub(crate) use children::{NewPart, numbered};
pub use deletion::Deleted;
pub use documents::{EmbeddedChunk, Flipped, Indexed, Published};
pub(crate) use documents::{Hydrated, Pending};
pub use forget::{Doomed, Erasure, Holdings, Naming, Origin};
pub use job::{Job, JobCounts, JobFilter, JobId, JobState, Priority, Stage};
pub(crate) use jobs::Claim;
pub use moves::Move;
pub use reason::{Reason, Retry};
pub use rows::{Collection, Document, DocumentStatus, Page};
pub use sources::{ItemRow, KnownItem, NewSource, Source, SourceId, SourceState};
pub use surroundings::{Place, Surroundings};
pub(crate) use vectors::{TextHash, text_hash};

use crate::access::{AccessFilter, Member};
use crate::{CollectionId, Error, Result};
use jiff::Timestamp;
use permissions::{Permit, READABLE};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, named_params, params};
use rusqlite_migration::{M, Migrations};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Key in `meta`: the mean token state that the chunks' token codes were made with, as JSON.
pub(crate) const TOKEN_CENTER: &str = "token_center";

/// Reads run beside the writer; more than the blocking pool uses at once would only cost memory.
const MAX_IDLE_READERS: usize = 8;

/// The catalog of one data directory.
pub struct Catalog {
    path: PathBuf,
    writer: Mutex<Connection>,
    probe: probe::Probe,
    readers: Mutex<Vec<Connection>>,
}

impl Catalog {
    /// Opens the catalog at `path`, creating it or bringing its schema up to date.
    ///
    /// # Errors
    /// [`Error::Catalog`] when the file is not a catalog or cannot be written,
    /// [`Error::Migration`] when it was written by a newer kura.
    pub fn open(path: &Path) -> Result<Self> {
        let mut writer = Connection::open(path)?;
        writer.busy_timeout(Duration::from_secs(10))?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        writer.pragma_update(None, "foreign_keys", "ON")?;
        // Deleted text is overwritten with zeros, not only unlinked.
        writer.pragma_update(None, "secure_delete", "ON")?;
        Migrations::new(vec![
            M::up(include_str!("../migrations/01.sql")),
            M::up(include_str!("../migrations/02_dictionaries.sql")),
            M::up(include_str!("../migrations/03_token_codes.sql")),
            M::up(include_str!("../migrations/04_metadata.sql")),
            M::up(include_str!("../migrations/05_jobs.sql")),
            M::up(include_str!("../migrations/06_sources.sql")),
            M::up(include_str!("../migrations/07_children.sql")),
            M::up(include_str!("../migrations/08_permissions.sql")),
            M::up(include_str!("../migrations/09_forget.sql")),
        ])
        .to_latest(&mut writer)?;
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            probe: probe::Probe::beside(path)?,
            readers: Mutex::default(),
        })
    }

    /// Returns a value kept for the whole data directory.
    pub fn meta(&self, key: &str) -> Result<Option<String>> {
        self.read(|conn| {
            Ok(conn
                .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
                    row.get(0)
                })
                .optional()?)
        })
    }

    /// Keeps a value for the whole data directory.
    pub fn set_meta(&self, key: &str, value: &str) -> Result<()> {
        self.write(|tx| {
            tx.execute("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2", [key, value])?;
            Ok(())
        })
    }

    /// Makes an index generation the active one, with its embedder and that one's token center, in one transaction.
    pub(crate) fn switch(&self, embedder: &str, token_center: &str, generation: u64) -> Result<()> {
        let generation = generation.to_string();
        self.write(|tx| {
            for (key, value) in [("embedder", embedder), (TOKEN_CENTER, token_center), ("generation", &generation)] {
                tx.execute("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2", [key, value])?;
            }
            Ok(())
        })
    }

    /// Creates a collection that everyone may read, or returns the one that has this name, whoever may read that.
    ///
    /// # Errors
    /// [`Error::InvalidCollectionName`].
    pub fn create_collection(&self, name: &str) -> Result<Collection> {
        match self.new_collection(name, &[Member::everyone()]) {
            Err(Error::CollectionExists { .. }) => {
                self.collection(name, &AccessFilter::unrestricted("reply to its maker"))
            }
            made => made,
        }
    }

    /// Creates a collection for these members.
    ///
    /// # Errors
    /// [`Error::InvalidCollectionName`]; [`Error::CollectionExists`]; [`Error::InvalidAccess`].
    pub fn new_collection(&self, name: &str, members: &[Member]) -> Result<Collection> {
        check_name(name)?;
        self.write(|tx| {
            let id = CollectionId(Uuid::now_v7());
            let n = tx.execute(
                "INSERT INTO collections (id, name, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING",
                params![id.to_string(), name, now()],
            )?;
            if n == 0 {
                return Err(Error::CollectionExists { name: name.to_owned() });
            }
            permissions::put_members(tx, id, members)
        })?;
        self.collection(name, &AccessFilter::unrestricted("reply to its maker"))
    }

    /// Returns the collection of this name.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`], which names those that exist, when it is absent or not for this principal: the two
    /// cannot be told apart.
    pub fn collection(&self, name: &str, access: &AccessFilter) -> Result<Collection> {
        let all = self.collections(access)?;
        match all.iter().position(|collection| collection.name == name) {
            Some(at) => all
                .into_iter()
                .nth(at)
                .ok_or_else(|| corrupt("collection list")),
            None => Err(Error::UnknownCollection {
                name: name.to_owned(),
                existing: all.into_iter().map(|collection| collection.name).collect(),
            }),
        }
    }

    /// Returns the collections that this principal may read, by name, with what they hold for it.
    pub fn collections(&self, access: &AccessFilter) -> Result<Vec<Collection>> {
        self.read(|conn| {
            let Permit { groups, within } = Permit::new(conn, access)?;
            conn.prepare_cached(&format!(
                "SELECT c.id, c.name, c.created_at, count(d.id), coalesce(sum(v.n_chunks), 0)
                 FROM collections c
                 LEFT JOIN documents d ON d.collection_id = c.id AND d.deleted_at IS NULL AND {READABLE}
                 LEFT JOIN versions v ON v.document_id = d.id AND v.version = d.visible_version
                 WHERE c.deleted_at IS NULL AND (:within IS NULL OR c.id IN (SELECT value FROM json_each(:within)))
                 GROUP BY c.id ORDER BY c.name"
            ))?
            .query_map(
                named_params! { ":groups": groups, ":within": within },
                rows::collection,
            )?
            .map(|row| row?)
            .collect()
        })
    }

    /// Marks a collection and its documents deleted: from the commit on nothing of them is returned.
    /// What the stores still hold is listed by [`Catalog::deleted`].
    pub fn delete_collection(&self, id: CollectionId) -> Result<()> {
        self.write(|tx| {
            let at = now();
            // The name is freed at once for a new collection.
            tx.execute(
                "UPDATE collections SET deleted_at = ?2, name = 'deleted:' || id WHERE id = ?1 AND deleted_at IS NULL",
                params![id.to_string(), at],
            )?;
            tx.execute(
                "UPDATE jobs SET state = 'cancelled', code = 'deleted', error = 'the collection was deleted', next_attempt_at = NULL, finished_at = ?2
                 WHERE state IN ('queued', 'running') AND document_id IN (SELECT id FROM documents WHERE collection_id = ?1)",
                params![id.to_string(), at],
            )?;
            tx.execute(
                "UPDATE documents SET deleted_at = ?2 WHERE collection_id = ?1 AND deleted_at IS NULL",
                params![id.to_string(), at],
            )?;
            for table in ["dictionaries", "collection_members"] {
                tx.execute(&format!("DELETE FROM {table} WHERE collection_id = ?1"), [id.to_string()])?;
            }
            Ok(())
        })
    }

    fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = lock(&self.readers).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => {
                let conn = Connection::open_with_flags(
                    &self.path,
                    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
                )?;
                conn.busy_timeout(Duration::from_secs(10))?;
                conn.pragma_update(None, "query_only", "ON")?;
                conn
            }
        };
        let result = f(&conn);
        let mut idle = lock(&self.readers);
        if idle.len() < MAX_IDLE_READERS {
            idle.push(conn);
        }
        result
    }

    /// Returns the first column of a query, as text.
    pub(crate) fn texts(&self, sql: &str) -> Result<Vec<String>> {
        self.read(|conn| {
            let mut select = conn.prepare(sql)?;
            let rows = select.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Empties the write-ahead log, which still has deleted pages as they were.
    pub(crate) fn forget_log(&self) -> Result<()> {
        let conn = lock(&self.writer);
        Ok(conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }

    fn write<T>(&self, f: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut conn = lock(&self.writer);
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let value = f(&tx)?;
        tx.commit()?;
        self.probe.check()?;
        Ok(value)
    }
}

/// A panic while holding the lock rolled its transaction back, so the connection is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> String {
    Timestamp::now().to_string()
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt {
        reason: what.to_owned(),
    }
}

fn check_name(name: &str) -> Result<()> {
    let ok = (1..=64).contains(&name.chars().count())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !name.starts_with('.');
    if ok {
        Ok(())
    } else {
        Err(Error::InvalidCollectionName {
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
