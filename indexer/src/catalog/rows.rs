//! What the catalog returns, and how rows become it.

use super::permissions::{acl, readable};
use super::{corrupt, metadata};
use crate::metadata::{Attributes, Metadata};
use crate::{Acl, CollectionId, DocumentId, Result};
use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::Row;
use uuid::Uuid;

/// A user-visible set of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Its id.
    pub id: CollectionId,
    /// Its name, unique.
    pub name: String,
    /// Documents in it, indexed or not.
    pub n_documents: u64,
    /// Searchable chunks in it.
    pub n_chunks: u64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A document as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its id, stable over versions.
    pub id: DocumentId,
    /// Where it belongs.
    pub collection: CollectionId,
    /// That collection's name.
    pub collection_name: String,
    /// The document it lies in, such as the mail that it is attached to.
    pub parent: Option<DocumentId>,
    /// Documents that lie in it.
    pub n_children: u32,
    /// Path or external id, unique in the collection.
    pub source: String,
    /// The title it gives itself, or its file name.
    pub title: String,
    /// Media type of the latest version.
    pub media_type: String,
    /// Size of the latest version.
    pub size_bytes: u64,
    /// Lower-case hex of the latest version's bytes.
    pub sha256: String,
    /// The latest version, from 1.
    pub version: u32,
    /// How far the latest version is. An older one may still be served.
    pub status: DocumentStatus,
    /// Chunks of the visible version.
    pub n_chunks: u32,
    /// Parts of the visible version that could not be read.
    pub warnings: Vec<String>,
    /// Why the latest version could not be indexed.
    pub error: Option<String>,
    /// Who may read it.
    pub acl: Acl,
    /// What is known about it.
    pub metadata: Metadata,
    /// From when on another document stands in its place; [`jiff::civil::Date::ZERO`] when since ever.
    pub superseded_from: Option<Date>,
    /// When it was first added.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Document {
    /// Returns where a list goes on after it.
    pub(crate) fn cursor(&self) -> String {
        format!("{}{}", self.id, self.source)
    }

    /// Returns what is filtered by.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        Attributes {
            media_type: self.media_type.clone(),
            metadata: self.metadata.clone(),
            superseded_from: self.superseded_from,
        }
    }
}

/// How far a document's latest version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentStatus {
    /// Waiting for its job.
    Pending,
    /// Searchable.
    Indexed,
    /// Could not be indexed; the reason is in `error`.
    Failed,
}

impl std::fmt::Display for DocumentStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Indexed => "indexed",
            Self::Failed => "failed",
        })
    }
}

/// Part of a long list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Pass it as `after` to go on; absent at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page out of up to `limit + 1` rows: one more than asked for shows that there is a next page.
    pub(crate) fn from_rows(
        mut items: Vec<T>,
        limit: usize,
        cursor: impl Fn(&T) -> String,
    ) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

/// What is known of a document comes last: [`metadata::ATTRIBUTES`]. Takes the parameters of a
/// [`Permit`](super::permissions::Permit): of its children those count that may be read.
pub(super) const DOCUMENT_COLUMNS: &str = concat!(
    "d.id, d.collection_id, c.name, d.source, d.title, d.status, d.error, d.warnings,
     d.latest_version, d.created_at, d.updated_at, v.media_type, v.size_bytes, v.sha256,
     coalesce((SELECT w.n_chunks FROM versions w WHERE w.document_id = d.id AND w.version = d.visible_version), 0), ",
    acl!(),
    ", d.parent_id, (SELECT count(*) FROM documents k WHERE k.parent_id = d.id AND k.deleted_at IS NULL AND ",
    readable!("k"),
    ")"
);

pub(super) const DOCUMENT_TABLES: &str = "documents d
    JOIN collections c ON c.id = d.collection_id
    JOIN versions v ON v.document_id = d.id AND v.version = d.latest_version";

pub(super) fn collection(row: &Row<'_>) -> rusqlite::Result<Result<Collection>> {
    let (id, name, created_at, n_documents, n_chunks): (String, String, String, u64, u64) = (
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
    );
    Ok((|| {
        Ok(Collection {
            id: CollectionId(uuid(&id)?),
            name,
            n_documents,
            n_chunks,
            created_at: timestamp(&created_at)?,
        })
    })())
}

pub(super) fn document(row: &Row<'_>) -> rusqlite::Result<Result<Document>> {
    let [id, collection, collection_name, source, title, status]: [String; 6] = [
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
    ];
    let (error, warnings, version): (Option<String>, String, u32) =
        (row.get(6)?, row.get(7)?, row.get(8)?);
    let [created_at, updated_at, media_type]: [String; 3] =
        [row.get(9)?, row.get(10)?, row.get(11)?];
    let (size_bytes, sha256, n_chunks, acl): (u64, String, u32, String) =
        (row.get(12)?, row.get(13)?, row.get(14)?, row.get(15)?);
    let (parent, n_children): (Option<String>, u32) = (row.get(16)?, row.get(17)?);
    let attributes = metadata::attributes(row, 18)?;
    Ok((|| {
        let Attributes {
            metadata,
            superseded_from,
            ..
        } = attributes?;
        Ok(Document {
            id: DocumentId(uuid(&id)?),
            collection: CollectionId(uuid(&collection)?),
            collection_name,
            parent: parent.as_deref().map(uuid).transpose()?.map(DocumentId),
            n_children,
            source,
            title,
            media_type,
            size_bytes,
            sha256,
            version,
            status: match status.as_str() {
                "pending" => DocumentStatus::Pending,
                "indexed" => DocumentStatus::Indexed,
                "failed" => DocumentStatus::Failed,
                _ => return Err(corrupt("document status")),
            },
            n_chunks,
            warnings: json(&warnings, "document warnings")?,
            error,
            acl: self::acl(&acl)?,
            metadata,
            superseded_from,
            created_at: timestamp(&created_at)?,
            updated_at: timestamp(&updated_at)?,
        })
    })())
}

/// Reads the column [`ACL`](super::permissions::ACL).
pub(super) fn acl(column: &str) -> Result<Acl> {
    json(column, "ACL")
}

pub(super) fn uuid(text: &str) -> Result<Uuid> {
    text.parse().map_err(|_| corrupt("id"))
}

pub(super) fn timestamp(text: &str) -> Result<Timestamp> {
    text.parse().map_err(|_| corrupt("time"))
}

pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| corrupt(what))
}
