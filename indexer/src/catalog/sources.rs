//! Places that kura keeps in step with, and what it has taken in from each.

use super::rows::{self, timestamp, uuid};
use super::{Catalog, check_name, corrupt, deletion, now};
use crate::sync::ScanReport;
use crate::{Acl, CollectionId, DocumentId, Error, GroupId, Result};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;
use uuid::Uuid;

/// Shortest and longest time between two scans.
const INTERVALS: std::ops::RangeInclusive<u64> = 10..=7 * 24 * 3600;
/// Most patterns of a source, each way.
const MAX_PATTERNS: usize = 100;

/// A source's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub Uuid);

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A source that is about to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSource {
    /// Unique; a name as for collections.
    pub name: String,
    /// Which connector reads it, such as `folder`.
    pub kind: String,
    /// Where its documents go.
    pub collection: CollectionId,
    /// Path or address.
    pub location: String,
    /// What the kind needs besides; never a secret.
    pub settings: Value,
    /// Only what fits one of these patterns; all when there is none.
    pub include: Vec<String>,
    /// Nothing that fits one of these patterns.
    pub exclude: Vec<String>,
    /// Who may read its documents.
    pub acl: Acl,
    /// Time between two scans.
    pub interval: Duration,
    /// Whether changes are noticed between scans, where the kind can.
    pub watch: bool,
}

/// A place that kura keeps in step with.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// Its unique name.
    pub name: String,
    /// Which connector reads it.
    pub kind: String,
    /// Where its documents go.
    pub collection: CollectionId,
    /// That collection's name.
    pub collection_name: String,
    /// Path or address.
    pub location: String,
    /// What the kind needs besides.
    pub settings: Value,
    /// Only what fits one of these patterns; all when there is none.
    pub include: Vec<String>,
    /// Nothing that fits one of these patterns.
    pub exclude: Vec<String>,
    /// Who may read its documents.
    pub acl: Acl,
    /// Time between two scans.
    pub interval: Duration,
    /// Whether changes are noticed between scans.
    pub watch: bool,
    /// Whether it is left alone until it is resumed.
    pub paused: bool,
    /// What told its root from another one when it was last read whole.
    pub root: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When the last scan ended.
    pub last_scan_at: Option<Timestamp>,
    /// When the last scan that succeeded began: changes before it are known.
    pub last_success_at: Option<Timestamp>,
    /// Why the last scan did not succeed.
    pub last_error: Option<String>,
    /// What the last scan did.
    pub last_scan: Option<ScanReport>,
    /// Files, messages or pages known.
    pub n_items: u64,
    /// Those that are documents.
    pub n_documents: u64,
    /// Those that could not be taken in or indexed.
    pub n_errors: u64,
    /// Since when the document that has waited longest is not indexed; it may lie in an item's.
    pub oldest_unindexed: Option<Timestamp>,
}

/// How a source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// Not scanned yet.
    New,
    /// The last scan succeeded.
    Ok,
    /// The last scan did not succeed; the documents are kept as they were.
    Stale,
    /// Left alone until it is resumed.
    Paused,
}

impl Source {
    /// Returns how it stands.
    #[must_use]
    pub fn state(&self) -> SourceState {
        match (self.paused, &self.last_error, self.last_scan_at) {
            (true, ..) => SourceState::Paused,
            (_, Some(_), _) => SourceState::Stale,
            (_, None, None) => SourceState::New,
            (_, None, Some(_)) => SourceState::Ok,
        }
    }
}

/// What is kept of an item once its document is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// Unique in the source.
    pub key: String,
    /// Its document; none when it was not taken in.
    pub document: Option<DocumentId>,
    /// Changes when the content may have changed.
    pub marker: String,
    /// Its size, where the listing tells it.
    pub size_bytes: Option<u64>,
    /// Of its content, lower-case hex.
    pub sha256: Option<String>,
    /// What may follow it when it is moved.
    pub hint: Option<String>,
    /// What the connector wants to know again.
    pub note: Option<String>,
    /// Where a person finds it.
    pub link: String,
    /// Why it was not taken in, or could not be read again.
    pub error: Option<String>,
}

/// An item as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownItem {
    /// What is kept of it; a document that was deleted since is not there.
    pub row: ItemRow,
    /// Media type of its document's latest version.
    pub media_type: Option<String>,
    /// Whether its document could not be indexed.
    pub failed: bool,
    /// Why not.
    pub reason: Option<String>,
}

const COLUMNS: &str = "s.id, s.name, s.kind, s.collection_id, c.name, s.location, s.settings, s.include, s.exclude, s.readers, s.denied,
    s.interval_secs, s.watch, s.paused, s.root, s.created_at, s.last_scan_at, s.last_success_at, s.last_error, s.last_scan,
    (SELECT count(*) FROM source_items i WHERE i.source_id = s.id),
    (SELECT count(*) FROM source_items i JOIN documents d ON d.id = i.document_id AND d.deleted_at IS NULL WHERE i.source_id = s.id),
    (SELECT count(*) FROM source_items i LEFT JOIN documents d ON d.id = i.document_id
     WHERE i.source_id = s.id AND (i.error IS NOT NULL OR d.status = 'failed')),
    (SELECT min(d.updated_at) FROM source_items i JOIN documents d ON d.id = i.document_id OR d.parent_id = i.document_id
     WHERE i.source_id = s.id AND d.status = 'pending' AND d.deleted_at IS NULL)";

const ITEM_COLUMNS: &str = "i.key, d.id, i.marker, i.size_bytes, i.sha256, i.hint, i.note, i.link, i.error, v.media_type, coalesce(d.status = 'failed', 0), d.error";
const ITEM_TABLES: &str = "source_items i
    LEFT JOIN documents d ON d.id = i.document_id AND d.deleted_at IS NULL
    LEFT JOIN versions v ON v.document_id = d.id AND v.version = d.latest_version";

impl Catalog {
    /// Adds a source.
    ///
    /// # Errors
    /// [`Error::SourceExists`]; [`Error::InvalidSource`] for a name, interval or number of patterns that cannot be.
    pub fn create_source(&self, new: &NewSource) -> Result<Source> {
        check(new)?;
        let json =
            |patterns: &[String]| serde_json::to_string(patterns).map_err(|_| corrupt("patterns"));
        let (include, exclude) = (json(&new.include)?, json(&new.exclude)?);
        let groups = |groups| {
            serde_json::to_string::<BTreeSet<GroupId>>(groups).map_err(|_| corrupt("groups"))
        };
        let (readers, denied) = (groups(&new.acl.readers)?, groups(&new.acl.denied)?);
        self.write(|tx| {
            let taken: Option<i64> = tx
                .query_row("SELECT 1 FROM sources WHERE name = ?1", [&new.name], |row| row.get(0))
                .optional()?;
            if taken.is_some() {
                return Err(Error::SourceExists { name: new.name.clone() });
            }
            tx.execute(
                "INSERT INTO sources (id, name, kind, collection_id, location, settings, include, exclude, readers, denied, interval_secs, watch, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                params![
                    Uuid::now_v7().to_string(), new.name, new.kind, new.collection.to_string(), new.location,
                    new.settings.to_string(), include, exclude, readers, denied, new.interval.as_secs(), new.watch, now(),
                ],
            )?;
            Ok(())
        })?;
        self.source(&new.name)
    }

    /// Returns all sources by name, with what they hold.
    pub fn sources(&self) -> Result<Vec<Source>> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM sources s JOIN collections c ON c.id = s.collection_id AND c.deleted_at IS NULL ORDER BY s.name"
            ))?
            .query_map([], source)?
            .map(|row| row?)
            .collect()
        })
    }

    /// Returns the source of this name.
    ///
    /// # Errors
    /// [`Error::UnknownSource`], which names those that exist.
    pub fn source(&self, name: &str) -> Result<Source> {
        let found = self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM sources s JOIN collections c ON c.id = s.collection_id AND c.deleted_at IS NULL WHERE s.name = ?1"
            ))?
            .query_row([name], source)
            .optional()?
            .transpose()
        })?;
        match found {
            Some(source) => Ok(source),
            None => Err(Error::UnknownSource {
                name: name.to_owned(),
                existing: self
                    .sources()?
                    .into_iter()
                    .map(|source| source.name)
                    .collect(),
            }),
        }
    }

    /// Leaves a source alone, or takes it up again.
    pub fn set_paused(&self, id: SourceId, paused: bool) -> Result<()> {
        self.write(|tx| {
            tx.execute(
                "UPDATE sources SET paused = ?2 WHERE id = ?1",
                params![id.to_string(), paused],
            )?;
            Ok(())
        })
    }

    /// Forgets a source. Its documents stay as they are, or are marked deleted; returns how many were.
    pub fn delete_source(&self, id: SourceId, with_documents: bool) -> Result<usize> {
        self.write(|tx| {
            let mut n = 0;
            if with_documents {
                for document in item_documents(tx, id)? {
                    deletion::mark_deleted(tx, document)?;
                    n += 1;
                }
            }
            tx.execute("DELETE FROM sources WHERE id = ?1", [id.to_string()])?;
            Ok(n)
        })
    }

    /// Notes how a scan ended. `root` replaces what is known of the root if the scan succeeded.
    pub fn scanned(
        &self,
        id: SourceId,
        begun: Timestamp,
        root: Option<&str>,
        report: &ScanReport,
    ) -> Result<()> {
        let json = serde_json::to_string(report).map_err(|_| corrupt("scan report"))?;
        self.write(|tx| {
            tx.execute(
                "UPDATE sources SET last_scan_at = ?2, last_error = ?3, last_scan = ?4,
                        last_success_at = CASE WHEN ?3 IS NULL THEN ?5 ELSE last_success_at END,
                        root = CASE WHEN ?3 IS NULL THEN ?6 ELSE root END
                 WHERE id = ?1",
                params![
                    id.to_string(),
                    now(),
                    report.error,
                    json,
                    begun.to_string(),
                    root
                ],
            )?;
            Ok(())
        })
    }

    /// Returns those of these items that are known.
    pub fn items(&self, source: SourceId, keys: &[String]) -> Result<HashMap<String, KnownItem>> {
        self.read(|conn| {
            let mut select = conn.prepare_cached(&format!(
                "SELECT {ITEM_COLUMNS} FROM {ITEM_TABLES} WHERE i.source_id = ?1 AND i.key = ?2"
            ))?;
            let mut found = HashMap::with_capacity(keys.len());
            for key in keys {
                if let Some(known) = select
                    .query_row(params![source.to_string(), key], item)
                    .optional()?
                {
                    found.insert(key.clone(), known?);
                }
            }
            Ok(found)
        })
    }

    /// Returns items by key, from after `after`, `limit` at most; only those with an error if so asked.
    pub fn items_after(
        &self,
        source: SourceId,
        after: &str,
        limit: usize,
        failed_only: bool,
    ) -> Result<Vec<KnownItem>> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {ITEM_COLUMNS} FROM {ITEM_TABLES}
                 WHERE i.source_id = ?1 AND i.key > ?2 AND (?4 = 0 OR i.error IS NOT NULL OR d.status = 'failed')
                 ORDER BY i.key LIMIT ?3"
            ))?
            .query_map(params![source.to_string(), after, limit as u64, failed_only], item)?
            .map(|row| row?)
            .collect()
        })
    }

    /// Keeps items, in one transaction. One whose source was removed meanwhile is left out.
    pub fn put_items(&self, source: SourceId, rows: &[ItemRow]) -> Result<()> {
        self.write(|tx| {
            let there: Option<i64> = tx
                .query_row(
                    "SELECT 1 FROM sources WHERE id = ?1",
                    [source.to_string()],
                    |row| row.get(0),
                )
                .optional()?;
            if there.is_some() {
                for row in rows {
                    put_item(tx, source, row)?;
                }
            }
            Ok(())
        })
    }

    /// Forgets items and marks their documents deleted, in one transaction. Returns how many documents were.
    pub fn delete_items(&self, source: SourceId, keys: &[String]) -> Result<usize> {
        self.write(|tx| {
            let mut n = 0;
            for key in keys {
                n += usize::from(delete_item(tx, source, key)?);
            }
            Ok(n)
        })
    }

    /// Returns who keeps the document of this name in a collection: its source's name and key. `None` if there is no such
    /// document, or nobody keeps it.
    pub fn keeper(
        &self,
        collection: CollectionId,
        document_source: &str,
    ) -> Result<Option<(SourceId, String, String)>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT s.id, s.name, i.key FROM documents d
                 JOIN source_items i ON i.document_id = d.id JOIN sources s ON s.id = i.source_id
                 WHERE d.collection_id = ?1 AND d.source = ?2 AND d.deleted_at IS NULL",
            )?
            .query_row(params![collection.to_string(), document_source], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?
            .map(|(id, name, key)| Ok((SourceId(uuid(&id)?), name, key)))
            .transpose()
        })
    }
}

pub(super) fn put_item(tx: &Transaction<'_>, source: SourceId, row: &ItemRow) -> Result<()> {
    // A document that was deleted meanwhile, or that another source has, is not this one's.
    tx.prepare_cached(
        "INSERT INTO source_items (source_id, key, document_id, marker, size_bytes, sha256, hint, note, link, error)
         VALUES (?1, ?2, (SELECT id FROM documents WHERE id = ?3 AND deleted_at IS NULL), ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (source_id, key) DO UPDATE SET document_id = excluded.document_id, marker = excluded.marker,
            size_bytes = excluded.size_bytes, sha256 = excluded.sha256, hint = excluded.hint, note = excluded.note,
            link = excluded.link, error = excluded.error",
    )?
    .execute(params![
        source.to_string(),
        row.key,
        row.document.map(|id| id.to_string()),
        row.marker,
        row.size_bytes,
        row.sha256,
        row.hint,
        row.note,
        row.link,
        row.error,
    ])?;
    Ok(())
}

/// Returns whether there was a document to delete.
pub(super) fn delete_item(tx: &Transaction<'_>, source: SourceId, key: &str) -> Result<bool> {
    let document: Option<Option<String>> = tx
        .prepare_cached(
            "DELETE FROM source_items WHERE source_id = ?1 AND key = ?2 RETURNING document_id",
        )?
        .query_row(params![source.to_string(), key], |row| row.get(0))
        .optional()?;
    match document.flatten() {
        Some(id) => deletion::mark_deleted(tx, DocumentId(uuid(&id)?)).map(|()| true),
        None => Ok(false),
    }
}

fn item_documents(conn: &Connection, source: SourceId) -> Result<Vec<DocumentId>> {
    conn.prepare_cached(
        "SELECT document_id FROM source_items WHERE source_id = ?1 AND document_id IS NOT NULL",
    )?
    .query_map([source.to_string()], |row| row.get::<_, String>(0))?
    .map(|id| Ok(DocumentId(uuid(&id?)?)))
    .collect()
}

fn check(new: &NewSource) -> Result<()> {
    let invalid = |reason: String| Err(Error::InvalidSource { reason });
    if check_name(&new.name).is_err() {
        return invalid(format!(
            "invalid source name `{}`: use 1 to 64 letters, digits, `-`, `_` or `.`",
            new.name
        ));
    }
    if !INTERVALS.contains(&new.interval.as_secs()) {
        return invalid(format!(
            "an interval of {} s cannot be; use {} s to 7 days",
            new.interval.as_secs(),
            INTERVALS.start()
        ));
    }
    if new.acl.readers.is_empty() {
        return invalid("nobody may read the documents; name at least one group".to_owned());
    }
    if new.include.len().max(new.exclude.len()) > MAX_PATTERNS {
        return invalid(format!(
            "more than {MAX_PATTERNS} patterns; put files that belong together into folders of their own"
        ));
    }
    Ok(())
}

fn source(row: &Row<'_>) -> rusqlite::Result<Result<Source>> {
    let [id, name, kind, collection, collection_name, location]: [String; 6] = [
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
    ];
    let [settings, include, exclude, readers, denied]: [String; 5] = [
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
        row.get(9)?,
        row.get(10)?,
    ];
    let (interval_secs, watch, paused, root): (u64, bool, bool, Option<String>) =
        (row.get(11)?, row.get(12)?, row.get(13)?, row.get(14)?);
    let created_at: String = row.get(15)?;
    let [last_scan_at, last_success_at, last_error, last_scan]: [Option<String>; 4] =
        [row.get(16)?, row.get(17)?, row.get(18)?, row.get(19)?];
    let [n_items, n_documents, n_errors]: [u64; 3] = [row.get(20)?, row.get(21)?, row.get(22)?];
    let oldest_unindexed: Option<String> = row.get(23)?;
    Ok((|| {
        Ok(Source {
            id: SourceId(uuid(&id)?),
            name,
            kind,
            collection: CollectionId(uuid(&collection)?),
            collection_name,
            location,
            settings: rows::json(&settings, "source settings")?,
            include: rows::json(&include, "patterns")?,
            exclude: rows::json(&exclude, "patterns")?,
            acl: Acl {
                readers: rows::json(&readers, "readers")?,
                denied: rows::json(&denied, "denied groups")?,
            },
            interval: Duration::from_secs(interval_secs),
            watch,
            paused,
            root,
            created_at: timestamp(&created_at)?,
            last_scan_at: last_scan_at.as_deref().map(timestamp).transpose()?,
            last_success_at: last_success_at.as_deref().map(timestamp).transpose()?,
            last_error,
            // Of another version of kura, perhaps; the next scan writes a new one.
            last_scan: last_scan.and_then(|json| serde_json::from_str(&json).ok()),
            n_items,
            n_documents,
            n_errors,
            oldest_unindexed: oldest_unindexed.as_deref().map(timestamp).transpose()?,
        })
    })())
}

fn item(row: &Row<'_>) -> rusqlite::Result<Result<KnownItem>> {
    let (key, document, marker): (String, Option<String>, String) =
        (row.get(0)?, row.get(1)?, row.get(2)?);
    let size_bytes: Option<u64> = row.get(3)?;
    let [sha256, hint, note]: [Option<String>; 3] = [row.get(4)?, row.get(5)?, row.get(6)?];
    let link: String = row.get(7)?;
    let (error, media_type, failed, reason): (
        Option<String>,
        Option<String>,
        bool,
        Option<String>,
    ) = (row.get(8)?, row.get(9)?, row.get(10)?, row.get(11)?);
    Ok((|| {
        Ok(KnownItem {
            row: ItemRow {
                key,
                document: document.as_deref().map(uuid).transpose()?.map(DocumentId),
                marker,
                size_bytes,
                sha256,
                hint,
                note,
                link,
                error,
            },
            media_type,
            failed,
            reason,
        })
    })())
}
