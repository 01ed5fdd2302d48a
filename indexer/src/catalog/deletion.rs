//! Documents go: hidden at once, forgotten when no store holds them any more, and their blobs with them.

use super::{Catalog, Reason, children, jobs, metadata, now, rows};
use crate::{DocumentId, Result};
use rusqlite::{Transaction, params};
use std::collections::HashSet;

/// A deleted document that stores may still hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deleted(pub DocumentId);

impl Catalog {
    /// Marks a document and its children deleted: from the commit on nothing of them is returned, and their open jobs end.
    pub fn delete_document(&self, id: DocumentId) -> Result<()> {
        self.write(|tx| mark_deleted(tx, id))
    }

    /// Returns deleted documents that the stores may still hold, children before their parents.
    pub fn deleted(&self) -> Result<Vec<Deleted>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT id FROM documents WHERE deleted_at IS NOT NULL ORDER BY parent_id IS NULL",
            )?
            .query_map([], |row| row.get::<_, String>(0))?
            .map(|id| Ok(Deleted(DocumentId(rows::uuid(&id?)?))))
            .collect()
        })
    }

    /// Forgets deleted documents, once no store holds them any more. Text, chunks and vectors go. Returns their blobs;
    /// others may still use them.
    pub fn purge(&self, deleted: &[Deleted]) -> Result<Vec<String>> {
        self.write(|tx| {
            let mut old_blobs = Vec::new();
            for Deleted(id) in deleted {
                let blobs = tx
                    .prepare_cached("SELECT v.sha256 FROM versions v JOIN documents d ON d.id = v.document_id WHERE d.id = ?1 AND d.deleted_at IS NOT NULL")?
                    .query_map([id.to_string()], |row| row.get(0))?
                    .collect::<rusqlite::Result<Vec<String>>>()?;
                old_blobs.extend(blobs);
                old_blobs.extend(blobs_of_parts(tx, &id.to_string(), u32::MAX)?);
                tx.execute("DELETE FROM documents WHERE id = ?1 AND deleted_at IS NOT NULL", [id.to_string()])?;
            }
            tx.execute(
                "DELETE FROM collections WHERE deleted_at IS NOT NULL AND id NOT IN (SELECT collection_id FROM documents)",
                [],
            )?;
            Ok(old_blobs)
        })
    }

    /// Returns those of these blobs that are still in use.
    pub(crate) fn still_in_use(&self, blobs: &[String]) -> Result<HashSet<String>> {
        self.read(|conn| {
            let mut used = conn.prepare_cached(
                "SELECT 1 FROM versions WHERE sha256 = ?1 UNION ALL SELECT 1 FROM inner_files WHERE sha256 = ?1 LIMIT 1",
            )?;
            let mut found = HashSet::new();
            for blob in blobs {
                if used.exists([blob])? {
                    found.insert(blob.clone());
                }
            }
            Ok(found)
        })
    }

    /// Returns the hashes of all blobs in use.
    pub fn blobs_in_use(&self) -> Result<HashSet<String>> {
        self.read(|conn| {
            Ok(conn
                .prepare_cached("SELECT sha256 FROM versions UNION SELECT sha256 FROM inner_files")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?)
        })
    }
}

pub(super) fn mark_deleted(tx: &Transaction<'_>, id: DocumentId) -> Result<()> {
    let at = now();
    for child in children::ids(tx, id)? {
        mark_deleted(tx, child)?;
    }
    metadata::note_superseded(tx, id)?;
    tx.execute(
        "UPDATE documents SET deleted_at = ?2 WHERE id = ?1 AND deleted_at IS NULL",
        params![id.to_string(), at],
    )?;
    jobs::drop_open(tx, id, Reason::Deleted, "the document was deleted")?;
    Ok(())
}

/// Returns the blobs of files that lie in versions before this one and that never became documents.
pub(super) fn blobs_of_parts(
    tx: &Transaction<'_>,
    document: &str,
    before: u32,
) -> Result<Vec<String>> {
    Ok(tx
        .prepare_cached("SELECT sha256 FROM inner_files WHERE document_id = ?1 AND version < ?2")?
        .query_map(params![document, before], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?)
}
