//! Documents that lie in others, such as attachments: children of the document they lie in.
//!
//! What lies in a version is noted while the version is read, file by file, each when its blob is durable. When the
//! version is published, the children are brought in step with it in the same transaction: so whoever sees a version of
//! a document sees none but its children.

use super::adding::{self, NextVersion};
use super::documents::{self, Flipped, Indexed};
use super::job::Priority;
use super::jobs;
use super::permissions::{ACL, Permit, READABLE, note_acl};
use super::rows::{self, DOCUMENT_COLUMNS, DOCUMENT_TABLES, Document, Page};
use super::{Catalog, Reason, corrupt, deletion, metadata, now};
use crate::{AccessFilter, Acl, DocumentId, Result};
use rusqlite::{Connection, OptionalExtension, Transaction, named_params, params};
use std::collections::HashMap;
use uuid::Uuid;

/// Most children that are as urgent as their parent. More must not hold up what people wait for elsewhere.
const MAX_URGENT: u32 = 20;

/// A file that lies in a version that is not published yet.
#[derive(Debug, Clone)]
pub(crate) struct NewPart<'a> {
    /// Where it lies, as its document's name goes on; unique in the version.
    pub(crate) part: &'a str,
    pub(crate) sha256: &'a str,
    pub(crate) size_bytes: u64,
    pub(crate) media_type: &'a str,
}

impl Catalog {
    /// Notes a file that lies in a version, in the place of what an attempt before this one noted there. Of a version that
    /// is not wanted any more nothing is noted.
    pub(crate) fn note_part(
        &self,
        document: DocumentId,
        version: u32,
        ordinal: usize,
        file: &NewPart<'_>,
    ) -> Result<()> {
        self.write(|tx| {
            tx.prepare_cached(
                "INSERT OR REPLACE INTO inner_files (document_id, version, ordinal, part, sha256, size_bytes, media_type)
                 SELECT v.document_id, v.version, ?3, ?4, ?5, ?6, ?7 FROM versions v WHERE v.document_id = ?1 AND v.version = ?2",
            )?
            .execute(params![
                document.to_string(),
                version,
                ordinal as u64,
                file.part,
                file.sha256,
                file.size_bytes,
                file.media_type
            ])?;
            Ok(())
        })
    }

    /// Returns the documents that lie in one, by source, from after the cursor `after`.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`](crate::Error::UnknownDocument) when it is absent or not for this principal.
    pub fn children(
        &self,
        parent: DocumentId,
        access: &AccessFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Document>> {
        let after = documents::Cursor::parse(after);
        let items: Vec<Document> = self.read(|conn| {
            documents::document(conn, parent, access)?;
            let Permit { groups, within } = Permit::new(conn, access)?;
            conn.prepare_cached(&format!(
                "SELECT {DOCUMENT_COLUMNS}, {} FROM {DOCUMENT_TABLES}
                 WHERE d.deleted_at IS NULL AND d.parent_id = :parent AND {READABLE}
                   AND (:source IS NULL OR (d.source, d.id) > (:source, :id))
                 ORDER BY d.source, d.id LIMIT :limit",
                metadata::ATTRIBUTES
            ))?
            .query_map(
                named_params! {
                    ":parent": parent.to_string(), ":groups": groups, ":within": within,
                    ":source": after.source, ":id": after.id, ":limit": limit as u64 + 1,
                },
                rows::document,
            )?
            .map(|row| row?)
            .collect()
        })?;
        Ok(Page::from_rows(items, limit, Document::cursor))
    }

    /// Returns whether the stores have to be told who may read a document's children.
    pub(crate) fn children_wait(&self, parent: DocumentId) -> Result<bool> {
        self.read(|conn| {
            Ok(conn
                .prepare_cached(
                    "SELECT 1 FROM documents d JOIN unindexed_attributes u ON u.document_id = d.id AND u.readers
                     WHERE d.parent_id = ?1 LIMIT 1",
                )?
                .exists([parent.to_string()])?)
        })
    }
}

/// A child as it is.
struct Child {
    id: DocumentId,
    latest: u32,
    sha256: String,
    /// Its latest version is served, or will be once its job is done.
    is_sound: bool,
}

/// What the children of a document have from it.
struct Parent {
    id: String,
    collection: String,
    collection_name: String,
    source: String,
    acl: Acl,
    priority: Priority,
}

/// Brings the children of a document in step with the version that is being published. What vanished is deleted; of what
/// changed nothing is served until it is indexed; what is as it was stays as it is.
pub(super) fn replace(tx: &Transaction<'_>, new: &Indexed, flipped: &mut Flipped) -> Result<()> {
    let mut known = children(tx, new.document)?;
    if known.is_empty() && new.n_parts == 0 {
        return Ok(());
    }
    let parent = parent(tx, new)?;
    let files: Vec<(String, String, u64, String)> = tx
        .prepare_cached(
            "SELECT part, sha256, size_bytes, media_type FROM inner_files
             WHERE document_id = ?1 AND version = ?2 AND ordinal < ?3 ORDER BY ordinal",
        )?
        .query_map(params![parent.id, new.version, new.n_parts], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (part, sha256, size_bytes, media_type) in &files {
        let child = known.remove(part);
        if child
            .as_ref()
            .is_some_and(|child| child.is_sound && child.sha256 == *sha256)
        {
            continue;
        }
        let (document, version) = match child {
            Some(child) => {
                hide(tx, &child)?;
                flipped.hidden.push(child.id);
                (child.id, child.latest + 1)
            }
            None => (insert(tx, &parent, part)?, 1),
        };
        let source: String = tx.query_row(
            "SELECT source FROM documents WHERE id = ?1",
            [document.to_string()],
            |row| row.get(0),
        )?;
        let next = NextVersion {
            document,
            version,
            sha256,
            size_bytes: *size_bytes,
            media_type,
            source: &source,
            collection_name: &parent.collection_name,
            priority: parent.priority,
        };
        adding::queue(tx, &next)?;
    }
    for gone in known.into_values() {
        deletion::mark_deleted(tx, gone.id)?;
        flipped.any_deleted = true;
    }
    set_readers(tx, new.document, Readers::Exactly(&parent.acl))?;
    tx.execute(
        "DELETE FROM inner_files WHERE document_id = ?1 AND version = ?2",
        params![parent.id, new.version],
    )?;
    Ok(())
}

/// Who may read the children of a document.
#[derive(Clone, Copy)]
pub(super) enum Readers<'a> {
    /// These.
    Exactly(&'a Acl),
    /// Those of these who may read them already.
    AtMost(&'a Acl),
}

/// Sets who may read a document's children, and notes that the stores have to be told.
pub(super) fn set_readers(
    tx: &Transaction<'_>,
    parent: DocumentId,
    readers: Readers<'_>,
) -> Result<()> {
    let children: Vec<(String, String)> = tx
        .prepare_cached(&format!(
            "SELECT d.id, {ACL} FROM documents d WHERE d.parent_id = ?1 AND d.deleted_at IS NULL"
        ))?
        .query_map([parent.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, known) in children {
        let known = rows::acl(&known)?;
        let acl = match readers {
            Readers::Exactly(acl) => acl.clone(),
            Readers::AtMost(acl) => known.narrowed(acl),
        };
        if known == acl {
            continue;
        }
        let id = DocumentId(rows::uuid(&id)?);
        documents::set_acl(tx, id, &acl)?;
        note_acl(tx, id)?;
    }
    Ok(())
}

/// Returns the ids of a document's children.
pub(super) fn ids(conn: &Connection, parent: DocumentId) -> Result<Vec<DocumentId>> {
    conn.prepare_cached("SELECT id FROM documents WHERE parent_id = ?1 AND deleted_at IS NULL")?
        .query_map([parent.to_string()], |row| row.get::<_, String>(0))?
        .map(|id| Ok(DocumentId(rows::uuid(&id?)?)))
        .collect()
}

/// Takes the names of a document's children out of the way while documents are renamed.
pub(super) fn park(tx: &Transaction<'_>, parent: DocumentId) -> Result<()> {
    tx.prepare_cached(
        "UPDATE documents SET source = 'moving:' || id WHERE parent_id = ?1 AND deleted_at IS NULL",
    )?
    .execute([parent.to_string()])?;
    Ok(())
}

/// Gives a document's children the names that go with its own.
pub(super) fn rename(tx: &Transaction<'_>, parent: DocumentId) -> Result<()> {
    let (collection, source): (String, String) = tx.query_row(
        "SELECT collection_id, source FROM documents WHERE id = ?1",
        [parent.to_string()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let parts: Vec<(String, String)> = tx
        .prepare_cached(
            "SELECT id, part FROM documents WHERE parent_id = ?1 AND deleted_at IS NULL ORDER BY part",
        )?
        .query_map([parent.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, part) in parts {
        let source = free_source(tx, &collection, &format!("{source}/{part}"))?;
        tx.prepare_cached("UPDATE documents SET source = ?2, updated_at = ?3 WHERE id = ?1")?
            .execute(params![id, source, now()])?;
        jobs::rename(tx, &id, &source)?;
    }
    Ok(())
}

/// Returns `name` with a number that tells it from others, before its extension: `a/report (2).pdf`.
pub(crate) fn numbered(name: &str, number: usize) -> String {
    let file = name.rfind('/').map_or(0, |at| at + 1);
    match name[file..].rfind('.').filter(|at| *at > 0) {
        Some(dot) => {
            let (stem, extension) = name.split_at(file + dot);
            format!("{stem} ({number}){extension}")
        }
        None => format!("{name} ({number})"),
    }
}

fn children(tx: &Transaction<'_>, parent: DocumentId) -> Result<HashMap<String, Child>> {
    tx.prepare_cached(
        "SELECT d.part, d.id, d.latest_version, v.sha256, d.status = 'pending' OR d.visible_version IS d.latest_version
         FROM documents d JOIN versions v ON v.document_id = d.id AND v.version = d.latest_version
         WHERE d.parent_id = ?1 AND d.deleted_at IS NULL",
    )?
    .query_map([parent.to_string()], |row| {
        let id: String = row.get(1)?;
        Ok((row.get(0)?, id, row.get(2)?, row.get(3)?, row.get(4)?))
    })?
    .map(|row| {
        let (part, id, latest, sha256, is_sound) = row?;
        let child = Child {
            id: DocumentId(rows::uuid(&id)?),
            latest,
            sha256,
            is_sound,
        };
        Ok((part, child))
    })
    .collect()
}

fn parent(tx: &Transaction<'_>, new: &Indexed) -> Result<Parent> {
    let id = new.document.to_string();
    let (collection, collection_name, source, acl, rank) = tx.query_row(
        &format!(
            "SELECT d.collection_id, c.name, d.source, {ACL}, (SELECT priority FROM jobs WHERE id = ?2)
             FROM documents d JOIN collections c ON c.id = d.collection_id WHERE d.id = ?1"
        ),
        params![id, new.job.to_string()],
        |row| {
            let acl: String = row.get(3)?;
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, acl, row.get(4)?))
        },
    )?;
    let mut priority = Priority::of_rank(rank);
    if new.n_parts > MAX_URGENT {
        priority = priority.min(Priority::Normal);
    }
    Ok(Parent {
        id,
        collection,
        collection_name,
        source,
        acl: rows::acl(&acl)?,
        priority,
    })
}

/// Adds a child without a version.
fn insert(tx: &Transaction<'_>, parent: &Parent, part: &str) -> Result<DocumentId> {
    let id = DocumentId(Uuid::now_v7());
    let source = free_source(tx, &parent.collection, &format!("{}/{part}", parent.source))?;
    let title = source.rsplit('/').next().unwrap_or(&source);
    tx.prepare_cached(
        "INSERT INTO documents (id, collection_id, source, title, status, latest_version, created_at, updated_at, parent_id, part)
         VALUES (?1, ?2, ?3, ?4, 'pending', 1, ?5, ?5, ?6, ?7)",
    )?
    .execute(params![
        id.to_string(),
        parent.collection,
        source,
        title,
        now(),
        parent.id,
        part
    ])?;
    documents::set_acl(tx, id, &parent.acl)?;
    Ok(id)
}

/// Has nothing of a child served any more: what it holds now is another file. Its vectors stay until that is indexed.
fn hide(tx: &Transaction<'_>, child: &Child) -> Result<()> {
    metadata::note_superseded(tx, child.id)?;
    tx.prepare_cached(
        "UPDATE documents SET latest_version = ?2, visible_version = NULL, status = 'pending', error = NULL, warnings = '[]', updated_at = ?3
         WHERE id = ?1",
    )?
    .execute(params![child.id.to_string(), child.latest + 1, now()])?;
    jobs::drop_open(
        tx,
        child.id,
        Reason::Replaced,
        "replaced by a newer version",
    )
}

/// Returns a source like this one that no document of the collection has.
fn free_source(tx: &Transaction<'_>, collection: &str, wanted: &str) -> Result<String> {
    let mut taken = tx.prepare_cached(
        "SELECT 1 FROM documents WHERE collection_id = ?1 AND source = ?2 AND deleted_at IS NULL",
    )?;
    let names = (1..).map(|number| match number {
        1 => wanted.to_owned(),
        number => numbered(wanted, number),
    });
    for name in names {
        if !taken.exists(params![collection, name])? {
            return Ok(name);
        }
    }
    Err(corrupt("names of documents"))
}

/// Returns the source of the document that one lies in; `None` when it lies in none.
pub(super) fn parent_source(conn: &Connection, id: &str) -> Result<Option<String>> {
    Ok(conn
        .prepare_cached(
            "SELECT p.source FROM documents d JOIN documents p ON p.id = d.parent_id WHERE d.id = ?1",
        )?
        .query_row([id], |row| row.get(0))
        .optional()?)
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn a_number_stands_before_the_extension() {
        assert_eq!(numbered("m.eml/report.pdf", 2), "m.eml/report (2).pdf");
        assert_eq!(numbered("m.eml/LICENSE", 3), "m.eml/LICENSE (3)");
        assert_eq!(numbered("m.eml/.profile", 2), "m.eml/.profile (2)");
    }
}
