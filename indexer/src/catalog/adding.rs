//! Files become documents and versions of them, each with a job.

use super::children::{self, Readers};
use super::documents::set_acl;
use super::job::Priority;
use super::jobs::{self, NewJob};
use super::permissions::ACL;
use super::{Catalog, JobId, Reason, metadata, now, requests, rows};
use crate::ingest::AddOutcome;
use crate::{AclChange, CollectionId, DocumentId, Error, MetadataChange, Result};
use rusqlite::{OptionalExtension, Transaction, params};
use uuid::Uuid;

/// A file that is about to become a document's newest version.
#[derive(Debug, Clone)]
pub struct NewVersion<'a> {
    /// Where it belongs.
    pub collection: CollectionId,
    /// Path or external id, unique in the collection.
    pub source: &'a str,
    /// Media type.
    pub media_type: &'a str,
    /// Size of the bytes.
    pub size_bytes: u64,
    /// Lower-case hex; the blob of that name is already durable.
    pub sha256: &'a str,
    /// Who may read it.
    pub acl: &'a AclChange,
    /// What the adder says about the document.
    pub metadata: &'a MetadataChange,
    /// Which jobs its job goes before.
    pub priority: Priority,
    /// The key of the request that asks for it, if it has one.
    pub request: Option<RequestKey<'a>>,
}

/// A key by which a request that comes again is known.
#[derive(Debug, Clone, Copy)]
pub struct RequestKey<'a> {
    /// The key.
    pub key: &'a str,
    /// Sha256 of what is asked for: another request must have another key.
    pub hash: [u8; 32],
}

impl Catalog {
    /// Adds a document or a new version of one, and queues its job, in one transaction.
    ///
    /// The same bytes under the same ACL change nothing. Bytes that failed before are tried again.
    pub fn add_document(
        &self,
        new: &NewVersion<'_>,
    ) -> Result<(DocumentId, Option<JobId>, AddOutcome)> {
        self.write(|tx| {
            if let Some(known) = requests::known(tx, new.request.as_ref())? {
                return Ok(known);
            }
            let added = add(tx, new)?;
            requests::note(tx, new.request.as_ref(), &added)?;
            Ok(added)
        })
    }
}

/// What adding a file gives: the document, its job if there is one, and what it meant.
pub(super) type NewlyAdded = (DocumentId, Option<JobId>, AddOutcome);

fn add(tx: &Transaction<'_>, new: &NewVersion<'_>) -> Result<NewlyAdded> {
    let collection_name: String = tx
        .query_row(
            "SELECT name FROM collections WHERE id = ?1 AND deleted_at IS NULL",
            [new.collection.to_string()],
            |row| row.get(0),
        )
        .optional()?
        .ok_or_else(|| Error::UnknownCollection {
            name: new.collection.to_string(),
            existing: Vec::new(),
        })?;
    let known: Option<Known> = tx
        .query_row(
            &format!(
                "SELECT d.id, d.latest_version, d.status, v.sha256, v.holds_parts,
                        (SELECT w.sha256 FROM versions w WHERE w.document_id = d.id AND w.version = d.visible_version), {ACL}
                 FROM documents d JOIN versions v ON v.document_id = d.id AND v.version = d.latest_version
                 WHERE d.collection_id = ?1 AND d.source = ?2 AND d.deleted_at IS NULL"
            ),
            params![new.collection.to_string(), new.source],
            |row| {
                Ok(Known {
                    id: row.get(0)?,
                    latest: row.get(1)?,
                    status: row.get(2)?,
                    sha256: row.get(3)?,
                    holds_parts: row.get(4)?,
                    served: row.get(5)?,
                    acl: row.get(6)?,
                })
            },
        )
        .optional()?;
    let known_acl = known.as_ref().map(|known| rows::acl(&known.acl));
    let known_acl = known_acl.transpose()?;
    let acl = new.acl.of(known_acl.clone());
    let (document, version, outcome) = match known {
        None => (insert_document(tx, new)?, 1, AddOutcome::New),
        Some(known) => {
            if let Some(parent) = children::parent_source(tx, &known.id)? {
                return Err(Error::PartOfDocument {
                    source_name: new.source.to_owned(),
                    parent,
                });
            }
            let (document, latest) = (DocumentId(rows::uuid(&known.id)?), known.latest);
            let same_acl = known_acl.as_ref() == Some(&acl);
            let same = known.sha256 == new.sha256 && same_acl && !known.holds_parts;
            metadata::give(tx, document, new.metadata)?;
            match known.status.as_str() {
                "indexed" if same => return Ok((document, None, AddOutcome::Unchanged)),
                "pending" if same => {
                    let job = open_job(tx, document)?;
                    if let Some(job) = job {
                        jobs::hurry(tx, job, new.priority)?;
                    }
                    return Ok((document, job, AddOutcome::Unchanged));
                }
                _ => {}
            }
            tx.execute(
                "UPDATE documents SET latest_version = ?2, status = 'pending', error = NULL, updated_at = ?3 WHERE id = ?1",
                params![known.id, latest + 1, now()],
            )?;
            let readers = if known.served.as_deref() == Some(new.sha256) {
                Readers::Exactly(&acl)
            } else {
                // Another file may be for people who must not see what lies in the one that is served until then.
                Readers::AtMost(&acl)
            };
            children::set_readers(tx, document, readers)?;
            // A job for a version that is no longer the latest would publish old text over new.
            jobs::drop_open(
                tx,
                document,
                Reason::Replaced,
                "replaced by a newer version",
            )?;
            (document, latest + 1, AddOutcome::Replaced)
        }
    };
    set_acl(tx, document, &acl)?;
    if outcome == AddOutcome::New {
        metadata::give_new(tx, document, new.metadata)?;
    }
    let next = NextVersion {
        document,
        version,
        sha256: new.sha256,
        size_bytes: new.size_bytes,
        media_type: new.media_type,
        source: new.source,
        collection_name: &collection_name,
        priority: new.priority,
    };
    let job = queue(tx, &next)?;
    Ok((document, Some(job), outcome))
}

/// A document as it is when a file comes under its name.
struct Known {
    id: String,
    latest: u32,
    status: String,
    sha256: String,
    holds_parts: bool,
    /// Hash of the version that is served.
    served: Option<String>,
    acl: String,
}

/// A version that is about to be queued.
pub(super) struct NextVersion<'a> {
    pub(super) document: DocumentId,
    pub(super) version: u32,
    pub(super) sha256: &'a str,
    pub(super) size_bytes: u64,
    pub(super) media_type: &'a str,
    pub(super) source: &'a str,
    pub(super) collection_name: &'a str,
    pub(super) priority: Priority,
}

/// Adds a version, and queues its job.
pub(super) fn queue(tx: &Transaction<'_>, next: &NextVersion<'_>) -> Result<JobId> {
    tx.prepare_cached(
        "INSERT INTO versions (document_id, version, sha256, size_bytes, media_type) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        next.document.to_string(),
        next.version,
        next.sha256,
        next.size_bytes,
        next.media_type
    ])?;
    let job = NewJob {
        document: next.document,
        version: next.version,
        source: next.source,
        collection_name: next.collection_name,
        n_bytes: next.size_bytes,
        priority: next.priority,
    };
    jobs::insert(tx, &job)
}

fn insert_document(tx: &Transaction<'_>, new: &NewVersion<'_>) -> Result<DocumentId> {
    let id = DocumentId(Uuid::now_v7());
    let title = new.source.rsplit('/').next().unwrap_or(new.source);
    tx.execute(
        "INSERT INTO documents (id, collection_id, source, title, status, latest_version, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, 'pending', 1, ?5, ?5)",
        params![id.to_string(), new.collection.to_string(), new.source, title, now()],
    )?;
    Ok(id)
}

fn open_job(tx: &Transaction<'_>, document: DocumentId) -> Result<Option<JobId>> {
    let id: Option<String> = tx
        .query_row(
            "SELECT id FROM jobs WHERE document_id = ?1 AND state IN ('queued', 'running') ORDER BY id DESC LIMIT 1",
            [document.to_string()],
            |row| row.get(0),
        )
        .optional()?;
    id.map(|id| Ok(JobId(rows::uuid(&id)?))).transpose()
}
