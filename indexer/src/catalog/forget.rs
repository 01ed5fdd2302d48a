//! What is forgotten: documents with all that names them, the names of people, and the record of it.

use super::metadata::{note, note_superseded};
use super::permissions::note_acl;
use super::{Catalog, Reason, children, corrupt, deletion, lock, now, rows};
use crate::{DocumentId, Error, Result};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a reader may keep the write-ahead log from being emptied.
const LOG_PATIENCE: Duration = Duration::from_secs(60);
/// What stands where the name of a forgotten document stood.
const FORGOTTEN: &str = "forgotten";

/// A document that is to be forgotten, with what it is known by elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doomed {
    /// The document.
    pub id: DocumentId,
    /// Its collection's name.
    pub collection: String,
    /// Path or external id, unique in the collection.
    pub source: String,
    /// Its versions' bytes and those of what lies in them: sha256, lower-case hex, each once.
    pub sha256: BTreeSet<String>,
}

/// What the catalog holds of documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Their versions, served or not.
    pub versions: u64,
    /// Their chunks, each with text, vector and token codes.
    pub chunks: u64,
    /// Their jobs, open and past.
    pub jobs: u64,
    /// Items of sources that they come from.
    pub items: u64,
}

/// Where a group is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Naming {
    /// Access lists of documents.
    pub documents: u64,
    /// Collections' members.
    pub collections: u64,
    /// Access lists of sources.
    pub sources: u64,
}

/// A source that documents come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source's name.
    pub source: String,
    /// Which connector reads it.
    pub kind: String,
}

/// Something that is forgotten, or was.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    /// Its id.
    pub id: Uuid,
    /// What is to go, as its maker wrote it; empty when it is done.
    pub request: String,
    /// When it was noted.
    pub created_at: Timestamp,
    /// The signed certificate. It counts from `finished_at` on.
    pub certificate: Option<String>,
    /// When it was done.
    pub finished_at: Option<Timestamp>,
}

impl Catalog {
    /// Returns these documents and what lies in them, with what they are known by; whoever may read them.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`]; [`Error::PartOfDocument`] when one lies in another that is to stay.
    pub fn doomed(&self, ids: &[DocumentId]) -> Result<Vec<Doomed>> {
        self.read(|conn| {
            let (mut doomed, mut known) = (Vec::new(), HashSet::new());
            let named: HashSet<DocumentId> = ids.iter().copied().collect();
            for id in ids {
                let (found, parent) = doomed_one(conn, *id)?;
                if let Some(parent) = parent
                    && !named.contains(&parent)
                {
                    // By ids: whoever erases need not be one who may read.
                    return Err(Error::PartOfDocument {
                        source_name: id.to_string(),
                        parent: parent.to_string(),
                    });
                }
                let parts = children::ids(conn, *id)?;
                if known.insert(*id) {
                    doomed.push(found);
                }
                for part in parts {
                    if known.insert(part) {
                        doomed.push(doomed_one(conn, part)?.0);
                    }
                }
            }
            Ok(doomed)
        })
    }

    /// Returns what is kept of these documents.
    pub fn holdings(&self, ids: &[DocumentId]) -> Result<Holdings> {
        self.read(|conn| {
            let ids = listed(ids)?;
            let count = |sql: &str| -> Result<u64> {
                let sql = format!("{sql} IN (SELECT value FROM json_each(?1))");
                Ok(conn.query_row(&sql, [&ids], |row| row.get(0))?)
            };
            Ok(Holdings {
                versions: count("SELECT count(*) FROM versions WHERE document_id")?,
                chunks: count("SELECT count(*) FROM chunks WHERE document_id")?,
                jobs: count("SELECT count(*) FROM jobs WHERE document_id")?,
                items: count("SELECT count(*) FROM source_items WHERE document_id")?,
            })
        })
    }

    /// Returns the sources that these documents come from.
    pub fn origins(&self, ids: &[DocumentId]) -> Result<Vec<Origin>> {
        self.read(|conn| {
            conn.prepare(
                "SELECT DISTINCT s.name, s.kind FROM source_items i JOIN sources s ON s.id = i.source_id
                 WHERE i.document_id IN (SELECT value FROM json_each(?1)) ORDER BY s.name",
            )?
            .query_map([listed(ids)?], |row| {
                Ok(Origin { source: row.get(0)?, kind: row.get(1)? })
            })?
            .map(|row| Ok(row?))
            .collect()
        })
    }

    /// Returns other documents that hold the same bytes as one of these.
    pub fn copies(&self, doomed: &[Doomed]) -> Result<Vec<DocumentId>> {
        let own: HashSet<String> = doomed.iter().map(|one| one.id.to_string()).collect();
        let hashes: BTreeSet<&str> = doomed
            .iter()
            .flat_map(|one| one.sha256.iter().map(String::as_str))
            .collect();
        let hashes = serde_json::to_string(&hashes).map_err(|_| corrupt("list"))?;
        self.read(|conn| {
            let mut select = conn.prepare(
                "SELECT DISTINCT d.id FROM versions v JOIN documents d ON d.id = v.document_id
                 WHERE v.sha256 IN (SELECT value FROM json_each(?1)) AND d.deleted_at IS NULL ORDER BY d.id",
            )?;
            let ids = select
                .query_map([hashes], |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            ids.iter()
                .filter(|id| !own.contains(*id))
                .map(|id| Ok(DocumentId(rows::uuid(id)?)))
                .collect()
        })
    }

    /// Returns other documents whose own file says that they stand in the place of one of these.
    pub fn named_by(&self, doomed: &[Doomed]) -> Result<Vec<DocumentId>> {
        self.read(|conn| {
            let mut select = conn.prepare(
                "SELECT d.id FROM documents d JOIN collections c ON c.id = d.collection_id
                 WHERE c.name = ?1 AND d.deleted_at IS NULL
                   AND EXISTS (SELECT 1 FROM json_each(d.found, '$.supersedes') WHERE value = ?2)",
            )?;
            let own: HashSet<DocumentId> = doomed.iter().map(|one| one.id).collect();
            let mut found = BTreeSet::new();
            for one in doomed {
                let ids = select.query_map([&one.collection, &one.source], |row| {
                    row.get::<_, String>(0)
                })?;
                for id in ids {
                    found.insert(DocumentId(rows::uuid(&id?)?));
                }
            }
            Ok(found.into_iter().filter(|id| !own.contains(id)).collect())
        })
    }

    /// Marks documents deleted, and takes their names out of jobs and sources, which do not take them in again. Doing it
    /// again changes nothing.
    pub fn doom(&self, doomed: &[Doomed]) -> Result<()> {
        self.write(|tx| {
            for one in doomed {
                deletion::mark_deleted(tx, one.id)?;
                let id = one.id.to_string();
                // The row stays: whoever runs it looks for it.
                tx.execute(
                    "UPDATE jobs SET source = ?2, code = ?3, error = ?2 WHERE document_id = ?1",
                    params![id, FORGOTTEN, Reason::Deleted.as_str()],
                )?;
                let items: Vec<(String, String)> = tx
                    .prepare_cached(
                        "SELECT source_id, key FROM source_items WHERE document_id = ?1",
                    )?
                    .query_map([&id], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<rusqlite::Result<_>>()?;
                for (source, key) in items {
                    tx.execute(
                        "INSERT OR IGNORE INTO forgotten_items (source_id, key) VALUES (?1, ?2)",
                        params![source, key_hash(&key)],
                    )?;
                    // Why a scan failed may name the item.
                    tx.execute(
                        "UPDATE sources SET last_error = NULL, last_scan = NULL WHERE id = ?1",
                        [&source],
                    )?;
                    tx.execute(
                        "DELETE FROM source_items WHERE source_id = ?1 AND key = ?2",
                        params![source, key],
                    )?;
                }
                unname_superseded(tx, one)?;
            }
            Ok(())
        })
    }

    /// Removes items that a scan under way put back although they are forgotten.
    pub(crate) fn drop_forgotten_items(&self) -> Result<()> {
        self.write(|tx| {
            let forgotten: Vec<(String, Vec<u8>)> = tx
                .prepare("SELECT source_id, key FROM forgotten_items")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let sources: BTreeSet<&String> = forgotten.iter().map(|(source, _)| source).collect();
            let known: HashSet<(&String, &[u8])> = forgotten
                .iter()
                .map(|(source, key)| (source, key.as_slice()))
                .collect();
            for source in sources {
                let keys: Vec<String> = tx
                    .prepare_cached("SELECT key FROM source_items WHERE source_id = ?1")?
                    .query_map([source], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?;
                for key in keys {
                    if known.contains(&(source, key_hash(&key).as_slice())) {
                        tx.execute(
                            "DELETE FROM source_items WHERE source_id = ?1 AND key = ?2",
                            params![source, key],
                        )?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Returns those of these items of a source that are forgotten.
    pub(crate) fn forgotten_items(
        &self,
        source: super::SourceId,
        keys: &[String],
    ) -> Result<HashSet<String>> {
        self.read(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT 1 FROM forgotten_items WHERE source_id = ?1 AND key = ?2",
            )?;
            let mut found = HashSet::new();
            for key in keys {
                if select.exists(params![source.to_string(), key_hash(key)])? {
                    found.insert(key.clone());
                }
            }
            Ok(found)
        })
    }

    /// Returns the ids of all jobs of these documents.
    pub(crate) fn jobs_of(&self, doomed: &[Doomed]) -> Result<Vec<super::JobId>> {
        let ids: Vec<DocumentId> = doomed.iter().map(|one| one.id).collect();
        self.read(|conn| {
            conn.prepare(
                "SELECT id FROM jobs WHERE document_id IN (SELECT value FROM json_each(?1))",
            )?
            .query_map([listed(&ids)?], |row| row.get::<_, String>(0))?
            .map(|id| Ok(super::JobId(rows::uuid(&id?)?)))
            .collect()
        })
    }

    /// Returns where a group is named.
    pub fn naming(&self, group: &str) -> Result<Naming> {
        self.read(|conn| {
            let count = |sql: &str| -> Result<u64> {
                Ok(conn.query_row(sql, [group], |row| row.get(0))?)
            };
            Ok(Naming {
                documents: count(
                    "SELECT count(*) FROM (SELECT document_id FROM readers WHERE group_id = ?1
                     UNION SELECT document_id FROM denied WHERE group_id = ?1)",
                )?,
                collections: count("SELECT count(*) FROM collection_members WHERE group_id = ?1")?,
                sources: count(
                    "SELECT count(*) FROM sources WHERE EXISTS (SELECT 1 FROM json_each(readers) WHERE value = ?1)
                     OR EXISTS (SELECT 1 FROM json_each(denied) WHERE value = ?1)",
                )?,
            })
        })
    }

    /// Returns each collection's dictionary, as it was given, with the collection's name.
    pub(crate) fn named_dictionaries(&self) -> Result<Vec<(String, String)>> {
        self.read(|conn| {
            conn.prepare(
                "SELECT c.name, d.csv FROM dictionaries d JOIN collections c ON c.id = d.collection_id ORDER BY c.name",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .map(|row| Ok(row?))
            .collect()
        })
    }

    /// Takes a group out of every access list; the stores have still to be told. Nobody may be in it any more.
    pub fn unname(&self, group: &str) -> Result<()> {
        self.write(|tx| {
            let documents: Vec<String> = tx
                .prepare(
                    "SELECT document_id FROM readers WHERE group_id = ?1
                     UNION SELECT document_id FROM denied WHERE group_id = ?1",
                )?
                .query_map([group], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for id in &documents {
                note_acl(tx, DocumentId(rows::uuid(id)?))?;
            }
            for table in ["readers", "denied", "collection_members"] {
                tx.execute(&format!("DELETE FROM {table} WHERE group_id = ?1"), [group])?;
            }
            for list in ["readers", "denied"] {
                tx.execute(
                    &format!(
                        "UPDATE sources SET {list} = (SELECT json_group_array(value) FROM json_each({list}) WHERE value <> ?1)
                         WHERE EXISTS (SELECT 1 FROM json_each({list}) WHERE value = ?1)"
                    ),
                    [group],
                )?;
            }
            Ok(())
        })
    }

    /// Writes the file anew, so that no page of it has anything that was deleted, and empties its log. Takes time and room
    /// as the file is large.
    ///
    /// # Errors
    /// Also when a read that takes minutes keeps the log from being emptied.
    pub fn compact(&self) -> Result<()> {
        compact(&lock(&self.writer))?;
        self.probe.check()
    }

    /// Notes that something is to be forgotten, before it begins.
    pub fn begin_erasure(&self, request: &str) -> Result<Uuid> {
        let id = Uuid::now_v7();
        self.write(|tx| {
            tx.execute(
                "INSERT INTO erasures (id, request, created_at) VALUES (?1, ?2, ?3)",
                params![id.to_string(), request, now()],
            )?;
            Ok(())
        })?;
        Ok(id)
    }

    /// Keeps the certificate, and nothing else of what was asked for.
    pub fn certify_erasure(&self, id: Uuid, certificate: &str) -> Result<()> {
        self.write(|tx| {
            tx.execute(
                "UPDATE erasures SET certificate = ?2, request = '' WHERE id = ?1 AND certificate IS NULL",
                params![id.to_string(), certificate],
            )?;
            Ok(())
        })
    }

    /// Notes that it is done.
    pub fn finish_erasure(&self, id: Uuid) -> Result<()> {
        self.write(|tx| {
            tx.execute(
                "UPDATE erasures SET finished_at = ?2 WHERE id = ?1 AND finished_at IS NULL",
                params![id.to_string(), now()],
            )?;
            Ok(())
        })
    }

    /// Returns what is forgotten or was, the latest first, from before `before`.
    pub fn erasures(&self, before: Option<Uuid>, limit: usize) -> Result<Vec<Erasure>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT id, request, created_at, certificate, finished_at FROM erasures
                 WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",
            )?
            .query_map(
                params![
                    before.map(|id| id.to_string()),
                    i64::try_from(limit).unwrap_or(i64::MAX)
                ],
                erasure,
            )?
            .map(|row| row?)
            .collect()
        })
    }

    /// Returns one of these.
    pub fn erasure(&self, id: Uuid) -> Result<Option<Erasure>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT id, request, created_at, certificate, finished_at FROM erasures WHERE id = ?1",
            )?
            .query_row([id.to_string()], erasure)
            .optional()?
            .transpose()
        })
    }

    /// Returns those that are not done, the first first.
    pub fn unfinished_erasures(&self) -> Result<Vec<Uuid>> {
        let ids = self.texts("SELECT id FROM erasures WHERE finished_at IS NULL ORDER BY id")?;
        ids.iter().map(|id| rows::uuid(id)).collect()
    }
}

/// Writes a database anew and empties its log.
fn compact(conn: &Connection) -> Result<()> {
    conn.execute_batch("VACUUM")?;
    let deadline = Instant::now() + LOG_PATIENCE;
    loop {
        let busy: bool = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if !busy {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::Task(
                "the catalog's log cannot be emptied, because something has been reading from it for a minute".to_owned(),
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Returns a document as it is doomed, and the one it lies in.
fn doomed_one(conn: &Connection, id: DocumentId) -> Result<(Doomed, Option<DocumentId>)> {
    let text = id.to_string();
    let found: Option<(String, String, Option<String>)> = conn
        .prepare_cached(
            "SELECT c.name, d.source, d.parent_id FROM documents d JOIN collections c ON c.id = d.collection_id
             WHERE d.id = ?1 AND d.deleted_at IS NULL",
        )?
        .query_row([&text], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((collection, source, parent)) = found else {
        return Err(Error::UnknownDocument { id: text });
    };
    let sha256 = conn
        .prepare_cached(
            "SELECT sha256 FROM versions WHERE document_id = ?1 UNION SELECT sha256 FROM inner_files WHERE document_id = ?1",
        )?
        .query_map([&text], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let parent = match parent {
        Some(parent) => Some(DocumentId(rows::uuid(&parent)?)),
        None => None,
    };
    let doomed = Doomed {
        id,
        collection,
        source,
        sha256,
    };
    Ok((doomed, parent))
}

/// Takes the name of a document out of what people said about others: that they stand in its place.
fn unname_superseded(tx: &Transaction<'_>, one: &Doomed) -> Result<()> {
    let successors: Vec<String> = tx
        .prepare_cached(
            "SELECT s.document_id FROM successions s JOIN collections c ON c.id = s.collection_id
             WHERE c.name = ?1 AND s.source = ?2",
        )?
        .query_map([&one.collection, &one.source], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in successors {
        let successor = DocumentId(rows::uuid(&id)?);
        note(tx, successor)?;
        note_superseded(tx, successor)?;
        for said in ["given", "found"] {
            tx.execute(
                &format!(
                    "UPDATE documents SET {said} = json_set({said}, '$.supersedes',
                       (SELECT json_group_array(value) FROM json_each({said}, '$.supersedes') WHERE value <> ?2))
                     WHERE id = ?1 AND json_type({said}, '$.supersedes') = 'array'"
                ),
                params![id, one.source],
            )?;
        }
        tx.execute(
            "DELETE FROM successions WHERE document_id = ?1 AND source = ?2",
            params![id, one.source],
        )?;
    }
    Ok(())
}

fn erasure(row: &Row<'_>) -> rusqlite::Result<Result<Erasure>> {
    let (id, request): (String, String) = (row.get(0)?, row.get(1)?);
    let (created_at, certificate): (String, Option<String>) = (row.get(2)?, row.get(3)?);
    let finished_at: Option<String> = row.get(4)?;
    Ok((|| {
        Ok(Erasure {
            id: rows::uuid(&id)?,
            request,
            created_at: rows::timestamp(&created_at)?,
            certificate,
            finished_at: finished_at.as_deref().map(rows::timestamp).transpose()?,
        })
    })())
}

fn key_hash(key: &str) -> Vec<u8> {
    Sha256::digest(key).to_vec()
}

fn listed(ids: &[DocumentId]) -> Result<String> {
    serde_json::to_string(ids).map_err(|_| corrupt("list"))
}
