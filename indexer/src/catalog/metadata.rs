//! What is known about documents besides their text, and which of it the stores have still to be told.

use super::permissions::ACL;
use super::rows;
use super::{Catalog, corrupt, now};
use crate::metadata::{Attributes, Metadata, MetadataChange, invalid};
use crate::{Acl, DocumentId, Error, Result};
use rusqlite::{OptionalExtension, Row, Transaction, params};

/// What is known of document `d`, as JSON: what was found in it, and over that what people said about it. Of a child also
/// the parent's date, unless it has one of its own, and what people said about the parent.
macro_rules! known {
    () => {
        "CASE WHEN d.parent_id IS NULL THEN json_patch(d.found, d.given)
              ELSE (SELECT json_patch(json_patch(json_patch(json_patch('{}', json_object('date', json_extract(p.found, '$.date'))),
                                                            d.found), json_remove(p.given, '$.supersedes')), d.given)
                    FROM documents p WHERE p.id = d.parent_id) END"
    };
}
/// The same, for use in other columns.
pub(super) const KNOWN: &str = known!();

/// Columns of what is known of document `d` in version `v`; [`attributes`] reads them.
///
/// A document supersedes another, with its children, as soon as it can be found itself, and until it is deleted.
pub(super) const ATTRIBUTES: &str = concat!(
    "v.media_type, ",
    known!(),
    ", (SELECT min(s.since) FROM successions s JOIN documents b ON b.id = s.document_id
     WHERE s.collection_id = d.collection_id AND s.source IN (d.source, (SELECT p.source FROM documents p WHERE p.id = d.parent_id))
       AND b.id <> d.id AND b.id IS NOT d.parent_id AND b.deleted_at IS NULL AND b.visible_version IS NOT NULL)"
);

/// Since ever, as [`jiff::civil::Date::ZERO`] is written.
const EVER: &str = "0000-01-01";

/// A document whose attributes the stores have to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unindexed {
    pub(crate) document: DocumentId,
    pub(crate) attributes: Attributes,
    /// Who may read it, if that changed.
    pub(crate) acl: Option<Acl>,
    change: i64,
    /// Whether no job was about to put a new version with what it read before.
    settled: bool,
}

impl Catalog {
    /// Changes what people said about a document.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`]; [`Error::InvalidMetadata`] when it would end before it begins, or supersede itself.
    pub fn set_metadata(&self, id: DocumentId, change: &MetadataChange) -> Result<()> {
        self.write(|tx| {
            let there: Option<i64> = tx
                .query_row(
                    "SELECT 1 FROM documents WHERE id = ?1 AND deleted_at IS NULL",
                    [id.to_string()],
                    |row| row.get(0),
                )
                .optional()?;
            match there {
                Some(_) => give(tx, id, change),
                None => Err(Error::UnknownDocument { id: id.to_string() }),
            }
        })
    }

    /// Returns searchable documents from after `after` whose attributes the stores have to be told, `limit` at most.
    pub(crate) fn unindexed_attributes(
        &self,
        after: Option<DocumentId>,
        limit: usize,
    ) -> Result<Vec<Unindexed>> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {ATTRIBUTES}, d.id, u.change,
                        NOT EXISTS (SELECT 1 FROM jobs j WHERE j.document_id = d.id AND j.state = 'running'),
                        CASE WHEN u.readers THEN {ACL} END
                 FROM unindexed_attributes u
                 JOIN documents d ON d.id = u.document_id
                 JOIN versions v ON v.document_id = d.id AND v.version = d.visible_version
                 WHERE d.deleted_at IS NULL AND u.document_id > coalesce(?1, '')
                 ORDER BY u.document_id LIMIT ?2"
            ))?
            .query_map(
                params![after.map(|id| id.to_string()), limit as u64],
                |row| {
                    let acl: Option<String> = row.get(6)?;
                    Ok((attributes(row, 0)?, row.get::<_, String>(3)?, row.get(4)?, row.get(5)?, acl))
                },
            )?
            .map(|row| {
                let (attributes, id, change, settled, acl) = row?;
                Ok(Unindexed {
                    acl: acl.as_deref().map(rows::acl).transpose()?,
                    document: DocumentId(rows::uuid(&id)?),
                    attributes: attributes?,
                    change,
                    settled,
                })
            })
            .collect()
        })
    }

    /// Notes that the stores have been told, save for what changed meanwhile, and for documents of which a job may yet put
    /// a new version: they are told again after it.
    pub(crate) fn attributes_indexed(&self, told: &[Unindexed]) -> Result<()> {
        self.write(|tx| {
            let mut delete = tx.prepare_cached(
                "DELETE FROM unindexed_attributes WHERE document_id = ?1 AND change = ?2",
            )?;
            for told in told.iter().filter(|told| told.settled) {
                delete.execute(params![told.document.to_string(), told.change])?;
            }
            Ok(())
        })
    }
}

/// Changes what people said about a document.
pub(super) fn give(tx: &Transaction<'_>, id: DocumentId, change: &MetadataChange) -> Result<()> {
    if change.is_empty() {
        return Ok(());
    }
    note(tx, id)?;
    give_new(tx, id, change)
}

/// Keeps what people said about a document that no job knows of yet.
pub(super) fn give_new(
    tx: &Transaction<'_>,
    id: DocumentId,
    change: &MetadataChange,
) -> Result<()> {
    if change.is_empty() {
        return Ok(());
    }
    let patch = serde_json::to_string(change).map_err(|_| corrupt("metadata"))?;
    note_superseded(tx, id)?;
    tx.execute(
        "UPDATE documents SET given = json_patch(given, ?2), updated_at = ?3 WHERE id = ?1",
        params![id.to_string(), patch, now()],
    )?;
    check(tx, id)?;
    set_successions(tx, id)?;
    note_superseded(tx, id)
}

/// Keeps what was found in the file that becomes visible. It is as the store has it already.
pub(super) fn find(tx: &Transaction<'_>, id: DocumentId, found: &Metadata) -> Result<()> {
    let json = serde_json::to_string(found).map_err(|_| corrupt("metadata"))?;
    let known: String = tx.query_row(
        "SELECT found FROM documents WHERE id = ?1",
        [id.to_string()],
        |row| row.get(0),
    )?;
    if rows::json::<Metadata>(&known, "metadata")?.date != found.date {
        note_children(tx, id)?;
    }
    note_superseded(tx, id)?;
    tx.execute(
        "UPDATE documents SET found = ?2 WHERE id = ?1",
        params![id.to_string(), json],
    )?;
    set_successions(tx, id)?;
    note_superseded(tx, id)
}

/// Reads the columns [`ATTRIBUTES`], the first of which is column `at`.
pub(super) fn attributes(row: &Row<'_>, at: usize) -> rusqlite::Result<Result<Attributes>> {
    let (media_type, metadata, superseded_from): (String, String, Option<String>) =
        (row.get(at)?, row.get(at + 1)?, row.get(at + 2)?);
    Ok((|| {
        Ok(Attributes {
            media_type,
            metadata: rows::json(&metadata, "metadata")?,
            superseded_from: superseded_from
                .map(|date| date.parse().map_err(|_| corrupt("date")))
                .transpose()?,
        })
    })())
}

/// Notes that the stores have to be told of the documents that this one supersedes, and of their children: it appears,
/// changes or goes.
pub(super) fn note_superseded(tx: &Transaction<'_>, id: DocumentId) -> Result<()> {
    let superseded: Vec<String> = tx
        .prepare_cached(
            "SELECT d.id FROM successions s
             JOIN documents d ON d.collection_id = s.collection_id AND d.source = s.source AND d.deleted_at IS NULL
             WHERE s.document_id = ?1",
        )?
        .query_map([id.to_string()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in superseded {
        note(tx, DocumentId(rows::uuid(&id)?))?;
    }
    Ok(())
}

/// Notes that the stores have to be told of the attributes of a document and its children.
pub(super) fn note(tx: &Transaction<'_>, id: DocumentId) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO unindexed_attributes (document_id, change) VALUES (?1, 1)
         ON CONFLICT (document_id) DO UPDATE SET change = change + 1",
    )?
    .execute([id.to_string()])?;
    note_children(tx, id)
}

fn note_children(tx: &Transaction<'_>, id: DocumentId) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO unindexed_attributes (document_id, change)
         SELECT id, 1 FROM documents WHERE parent_id = ?1 AND deleted_at IS NULL
         ON CONFLICT (document_id) DO UPDATE SET change = change + 1",
    )?
    .execute([id.to_string()])?;
    Ok(())
}

fn set_successions(tx: &Transaction<'_>, id: DocumentId) -> Result<()> {
    tx.execute(
        "DELETE FROM successions WHERE document_id = ?1",
        [id.to_string()],
    )?;
    tx.execute(
        "INSERT INTO successions (document_id, collection_id, source, since)
         SELECT d.id, d.collection_id, s.value,
                coalesce(json_extract(json_patch(d.found, d.given), '$.valid_from'), ?2)
         FROM documents d, json_each(json_patch(d.found, d.given), '$.supersedes') s WHERE d.id = ?1",
        params![id.to_string(), EVER],
    )?;
    Ok(())
}

/// Fails on what contradicts itself.
fn check(tx: &Transaction<'_>, id: DocumentId) -> Result<()> {
    let (metadata, source): (String, String) = tx.query_row(
        "SELECT json_patch(found, given), source FROM documents WHERE id = ?1",
        [id.to_string()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let metadata: Metadata = rows::json(&metadata, "metadata")?;
    if metadata.supersedes.contains(&source) {
        return Err(invalid(format!(
            "`{source}` cannot supersede itself; a new version of it replaces the old one anyhow"
        )));
    }
    match (metadata.valid_from, metadata.valid_until) {
        (Some(from), Some(until)) if until <= from => Err(invalid(format!(
            "`valid_until` ({until}) must be later than `valid_from` ({from}): it is the first day on which the \
             document is no longer in force"
        ))),
        _ => Ok(()),
    }
}
