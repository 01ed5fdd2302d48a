//! Documents, their versions and chunks: put, publish, hydrate, list.

use super::metadata::{self, ATTRIBUTES, KNOWN};
use super::permissions::{ACL, Permit, READABLE, as_of_now, listed};
use super::rows::{self, DOCUMENT_COLUMNS, DOCUMENT_TABLES, Document, Page};
use super::{Catalog, JobId, children, corrupt, deletion, now, vectors};
use crate::access::Collections;
use crate::{
    AccessFilter, Acl, Attributes, Chunk, ChunkId, CollectionId, DocumentId, Error, Metadata,
    Result, SearchFilter,
};
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// A version whose chunks are durable in the store, about to become visible.
#[derive(Debug, Clone)]
pub struct Indexed {
    /// The job that made it.
    pub job: JobId,
    /// The document.
    pub document: DocumentId,
    /// The version.
    pub version: u32,
    /// How many of the files noted as its parts lie in it.
    pub n_parts: u32,
    /// Its title.
    pub title: String,
    /// Its text, which the chunks' spans point into.
    pub text: String,
    /// Its chunks with their vectors: all `n_chunks`, or none when they were kept piece by piece before.
    pub chunks: Vec<EmbeddedChunk>,
    /// How many chunks it has.
    pub n_chunks: u32,
    /// How many of them have a vector that was there before.
    pub n_reused: u32,
    /// Parts that could not be read.
    pub warnings: Vec<String>,
    /// What the file says about itself.
    pub found: Metadata,
}

/// The visible version of a document with everything an index needs.
#[derive(Debug, Clone)]
pub struct Published {
    /// The document.
    pub document: DocumentId,
    /// Its visible version.
    pub version: u32,
    /// Its collection.
    pub collection: CollectionId,
    /// Its title.
    pub title: String,
    /// Who may read it.
    pub acl: Acl,
    /// What is known about it.
    pub attributes: Attributes,
}

/// A chunk as the catalog keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedChunk {
    /// Text and place.
    pub chunk: Chunk,
    /// Its vector by the embedder of the data directory.
    pub vector: Vec<f32>,
    /// Codes of its tokens, for late interaction; empty when made by a kura that had none.
    pub tokens: Vec<u8>,
}

/// What became of versions that were to be published.
#[derive(Debug, Clone, Default)]
pub struct Flipped {
    /// The documents whose new version is visible.
    pub documents: Vec<DocumentId>,
    /// Blobs of the versions that went; others may still use them.
    pub old_blobs: Vec<String>,
    /// Children of which nothing is served until their new version is indexed.
    pub hidden: Vec<DocumentId>,
    /// Whether children were marked deleted.
    pub any_deleted: bool,
}

/// A version that waits for its job, with what is needed to read it.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) sha256: String,
    /// What people said about it, as JSON.
    pub(crate) given: String,
    /// The date it has if it says none itself.
    pub(crate) date: Option<Date>,
    /// Whether it lies in another document.
    pub(crate) is_child: bool,
    pub(crate) target: Published,
}

/// What a search shows of a chunk besides its score.
#[derive(Debug, Clone)]
pub(crate) struct Hydrated {
    pub(crate) chunk: Chunk,
    pub(crate) vector: Vec<f32>,
    pub(crate) tokens: Vec<u8>,
    pub(crate) title: String,
    pub(crate) source: String,
    pub(crate) collection_name: String,
    /// The document's own date.
    pub(crate) date: Option<Date>,
}

impl Catalog {
    /// Keeps the text and chunks of versions, makes them visible and their jobs done, in one transaction.
    /// The text of older versions goes.
    ///
    /// A document that was deleted or replaced meanwhile, or whose job was cancelled, stays as it is and is not among
    /// those returned.
    pub fn publish(&self, indexed: &[Indexed]) -> Result<Flipped> {
        self.write(|tx| {
            let mut flipped = Flipped::default();
            for new in indexed {
                let (id, at) = (new.document.to_string(), now());
                let warnings = serde_json::to_string(&new.warnings).map_err(|_| corrupt("warnings"))?;
                let changed = tx.execute(
                    "UPDATE documents SET visible_version = ?2, status = 'indexed', error = NULL, warnings = ?3, title = ?4, updated_at = ?5
                     WHERE id = ?1 AND latest_version = ?2 AND deleted_at IS NULL
                       AND EXISTS (SELECT 1 FROM jobs j WHERE j.id = ?6 AND j.state = 'running')",
                    params![id, new.version, warnings, new.title, at, new.job.to_string()],
                )?;
                if changed == 0 {
                    continue;
                }
                put_version(tx, new)?;
                metadata::find(tx, new.document, &new.found)?;
                children::replace(tx, new, &mut flipped)?;
                if new.version > 1 {
                    flipped.old_blobs.extend(deletion::blobs_of_parts(tx, &id, new.version)?);
                    let old = tx
                        .prepare_cached("DELETE FROM versions WHERE document_id = ?1 AND version < ?2 RETURNING sha256")?
                        .query_map(params![id, new.version], |row| row.get(0))?
                        .collect::<rusqlite::Result<Vec<String>>>()?;
                    flipped.old_blobs.extend(old);
                }
                tx.execute(
                    "UPDATE jobs SET state = 'done', code = NULL, error = NULL, n_chunks = ?3, n_reused = ?4, finished_at = ?2 WHERE id = ?1",
                    params![new.job.to_string(), at, new.n_chunks, new.n_reused],
                )?;
                flipped.documents.push(new.document);
            }
            Ok(flipped)
        })
    }

    /// Returns a version that waits for its job; `None` when it was deleted or replaced meanwhile.
    pub(crate) fn pending(&self, document: DocumentId, version: u32) -> Result<Option<Pending>> {
        self.read(|conn| {
            conn.query_row(
                &format!("SELECT v.sha256, d.collection_id, d.title,
                        {ACL}, json_patch(json_remove(coalesce(p.given, '{{}}'), '$.supersedes'), d.given), json_extract(p.found, '$.date'),
                        d.parent_id IS NOT NULL, {ATTRIBUTES}
                 FROM documents d JOIN versions v ON v.document_id = d.id AND v.version = d.latest_version
                 LEFT JOIN documents p ON p.id = d.parent_id
                 WHERE d.id = ?1 AND d.latest_version = ?2 AND d.deleted_at IS NULL"),
                params![document.to_string(), version],
                |row| {
                    let [collection, title, acl]: [String; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
                    let (date, attributes): (Option<String>, _) = (row.get(5)?, metadata::attributes(row, 7)?);
                    Ok((row.get(0)?, row.get(4)?, row.get(6)?, collection, title, acl, date, attributes))
                },
            )
            .optional()?
            .map(|(sha256, given, is_child, collection, title, acl, date, attributes)| {
                Ok(Pending {
                    sha256,
                    given,
                    date: date.and_then(|date| date.parse().ok()),
                    is_child,
                    target: Published {
                        document,
                        version,
                        collection: CollectionId(rows::uuid(&collection)?),
                        title,
                        acl: rows::acl(&acl)?,
                        attributes: attributes?,
                    },
                })
            })
            .transpose()
        })
    }

    /// Returns the visible version of every document from after `after`, `limit` at a time: to rebuild an index.
    pub fn visible(&self, after: Option<DocumentId>, limit: usize) -> Result<Vec<Published>> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "{} AND d.id > coalesce(?1, '') ORDER BY d.id LIMIT ?2",
                *SELECT_VISIBLE
            ))?
            .query_map(
                params![after.map(|id| id.to_string()), limit as u64],
                published,
            )?
            .map(|row| row?)
            .collect()
        })
    }

    /// Returns the visible version of a document, if it has one.
    pub(crate) fn visible_document(&self, id: DocumentId) -> Result<Option<Published>> {
        self.read(|conn| {
            conn.prepare_cached(&format!("{} AND d.id = ?1", *SELECT_VISIBLE))?
                .query_row([id.to_string()], published)
                .optional()?
                .transpose()
        })
    }

    /// Like [`Catalog::visible`], with the number of chunks of each version.
    pub(crate) fn visible_counts(
        &self,
        after: Option<DocumentId>,
        limit: usize,
    ) -> Result<Vec<(Published, u32)>> {
        let visible = self.visible(after, limit)?;
        self.read(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT n_chunks FROM versions WHERE document_id = ?1 AND version = ?2",
            )?;
            let count = |published: Published| {
                let n = select.query_row(
                    params![published.document.to_string(), published.version],
                    |row| row.get(0),
                )?;
                Ok((published, n))
            };
            visible.into_iter().map(count).collect()
        })
    }

    /// Replaces the vectors of a version's chunks.
    pub(crate) fn set_vectors(
        &self,
        document: DocumentId,
        version: u32,
        chunks: &[EmbeddedChunk],
    ) -> Result<()> {
        self.write(|tx| {
            let mut update = tx.prepare_cached("UPDATE chunks SET vector = ?4, tokens = ?5 WHERE document_id = ?1 AND version = ?2 AND ordinal = ?3")?;
            for EmbeddedChunk { chunk, vector, tokens } in chunks {
                update.execute(params![document.to_string(), version, chunk.ordinal, to_bytes(vector), tokens])?;
            }
            Ok(())
        })
    }

    /// Returns the documents that have chunks without token codes: made by a kura that had none.
    pub(crate) fn without_tokens(&self) -> Result<HashSet<DocumentId>> {
        self.read(|conn| {
            conn.prepare_cached("SELECT DISTINCT document_id FROM chunks WHERE tokens IS NULL")?
                .query_map([], |row| row.get::<_, String>(0))?
                .map(|id| Ok(DocumentId(rows::uuid(&id?)?)))
                .collect()
        })
    }

    /// Returns a version's chunks in order.
    pub fn chunks(&self, document: DocumentId, version: u32) -> Result<Vec<EmbeddedChunk>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT ordinal, text, context, n_tokens, span_start, span_end, locator, vector, coalesce(tokens, x'')
                 FROM chunks WHERE document_id = ?1 AND version = ?2 ORDER BY ordinal",
            )?
            .query_map(params![document.to_string(), version], |row| {
                Ok((chunk(row)?, row.get::<_, Vec<u8>>(7)?, row.get(8)?))
            })?
            .map(|row| {
                let (chunk, vector, tokens) = row?;
                Ok(EmbeddedChunk {
                    chunk: chunk?,
                    vector: from_bytes(&vector)?,
                    tokens,
                })
            })
            .collect()
        })
    }

    /// Returns the chunks of visible versions that may be read and pass the filter, by id. What is missing was deleted,
    /// replaced or changed, or is not for this principal.
    pub(crate) fn hydrate(
        &self,
        ids: &[ChunkId],
        filter: &SearchFilter,
        access: &AccessFilter,
    ) -> Result<HashMap<ChunkId, Hydrated>> {
        self.read(|conn| {
            let access = as_of_now(conn, access)?;
            let mut select = conn.prepare_cached(&format!(
                "SELECT k.ordinal, k.text, k.context, k.n_tokens, k.span_start, k.span_end, k.locator, d.title, d.source, c.name,
                        {ACL}, k.vector, coalesce(k.tokens, x''), json_extract({KNOWN}, '$.date'), d.collection_id
                 FROM chunks k
                 JOIN documents d ON d.id = k.document_id AND d.visible_version = k.version
                 JOIN collections c ON c.id = d.collection_id
                 WHERE k.document_id = ?1 AND k.version = ?2 AND k.ordinal = ?3 AND d.deleted_at IS NULL"
            ))?;
            let passing = passing(conn, ids, filter)?;
            let mut found = HashMap::with_capacity(ids.len());
            for id in ids.iter().filter(|id| passing.as_ref().is_none_or(|passing| passing.contains(&id.document))) {
                let row = select
                    .query_row(params![id.document.to_string(), id.version, id.ordinal], |row| {
                        let [acl, collection]: [String; 2] = [row.get(10)?, row.get(14)?];
                        Ok((chunk(row)?, row.get(7)?, row.get(8)?, row.get(9)?, (collection, acl), row.get::<_, Vec<u8>>(11)?, row.get(12)?, row.get::<_, Option<String>>(13)?))
                    })
                    .optional()?;
                let Some((chunk, title, source, collection_name, (collection, acl), vector, tokens, date)) = row else { continue };
                if access.allows(CollectionId(rows::uuid(&collection)?), &rows::acl(&acl)?) {
                    let vector = from_bytes(&vector)?;
                    let date = date.and_then(|date| date.parse().ok());
                    found.insert(*id, Hydrated { chunk: chunk?, vector, tokens, title, source, collection_name, date });
                }
            }
            Ok(found)
        })
    }

    /// Returns documents by source, from after the cursor.
    pub fn documents(
        &self,
        collections: &Collections,
        access: &AccessFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Document>> {
        let only = listed(collections)?;
        let after = Cursor::parse(after);
        let items: Vec<Document> = self.read(|conn| {
            let Permit { groups, within } = Permit::new(conn, access)?;
            conn.prepare_cached(&format!(
                "SELECT {DOCUMENT_COLUMNS}, {ATTRIBUTES} FROM {DOCUMENT_TABLES}
                 WHERE d.deleted_at IS NULL AND {READABLE}
                   AND (:only IS NULL OR d.collection_id IN (SELECT value FROM json_each(:only)))
                   AND (:source IS NULL OR (d.source, d.id) > (:source, :id))
                 ORDER BY d.source, d.id LIMIT :limit"
            ))?
            .query_map(
                named_params! {
                    ":groups": groups, ":within": within, ":only": only,
                    ":source": after.source, ":id": after.id, ":limit": limit as u64 + 1,
                },
                rows::document,
            )?
            .map(|row| row?)
            .collect()
        })?;
        Ok(Page::from_rows(items, limit, Document::cursor))
    }

    /// Returns a document.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`] when it is absent, deleted, or not for this principal: the three cannot be told apart.
    pub fn document(&self, id: DocumentId, access: &AccessFilter) -> Result<Document> {
        self.read(|conn| document(conn, id, access))
    }

    /// Returns which versions of documents are visible; a document without one is left out.
    pub fn visible_versions(&self, ids: &[DocumentId]) -> Result<HashMap<DocumentId, u32>> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT d.visible_version FROM documents d JOIN collections c ON c.id = d.collection_id
                 WHERE d.id = ?1 AND d.deleted_at IS NULL AND c.deleted_at IS NULL",
            )?;
            let mut visible = HashMap::new();
            for id in ids {
                let version: Option<Option<u32>> = statement
                    .query_row([id.to_string()], |row| row.get(0))
                    .optional()?;
                if let Some(version) = version.flatten() {
                    visible.insert(*id, version);
                }
            }
            Ok(visible)
        })
    }

    /// Returns the visible version and its text: what spans of chunks point into.
    pub fn visible_text(&self, id: DocumentId, access: &AccessFilter) -> Result<(u32, String)> {
        self.read(|conn| {
            document(conn, id, access)?;
            let text: Option<(u32, String)> = conn
                .query_row(
                    "SELECT v.version, v.text FROM documents d JOIN versions v ON v.document_id = d.id AND v.version = d.visible_version WHERE d.id = ?1",
                    [id.to_string()],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            text.ok_or_else(|| Error::UnknownDocument { id: id.to_string() })
        })
    }

    /// Returns the document of a source; `None` when the collection has none.
    pub(crate) fn document_of_source(
        &self,
        collection: CollectionId,
        source: &str,
    ) -> Result<Option<DocumentId>> {
        let id: Option<String> = self.read(|conn| {
            Ok(conn
                .query_row(
                    "SELECT id FROM documents WHERE collection_id = ?1 AND source = ?2 AND deleted_at IS NULL",
                    params![collection.to_string(), source],
                    |row| row.get(0),
                )
                .optional()?)
        })?;
        id.map(|id| Ok(DocumentId(rows::uuid(&id)?))).transpose()
    }
}

/// Reads [`Published`].
static SELECT_VISIBLE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT d.id, d.visible_version, d.collection_id, d.title, {ACL}, {ATTRIBUTES}
         FROM documents d JOIN versions v ON v.document_id = d.id AND v.version = d.visible_version
         WHERE d.deleted_at IS NULL"
    )
});

fn published(row: &Row<'_>) -> rusqlite::Result<Result<Published>> {
    let (id, version, collection): (String, u32, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (title, acl): (String, String) = (row.get(3)?, row.get(4)?);
    let attributes = metadata::attributes(row, 5)?;
    Ok((|| {
        Ok(Published {
            document: DocumentId(rows::uuid(&id)?),
            version,
            collection: CollectionId(rows::uuid(&collection)?),
            title,
            acl: rows::acl(&acl)?,
            attributes: attributes?,
        })
    })())
}

/// Returns those documents of chunks that pass a filter; `None` when all do.
fn passing(
    conn: &Connection,
    ids: &[ChunkId],
    filter: &SearchFilter,
) -> Result<Option<HashSet<DocumentId>>> {
    if filter.is_empty() {
        return Ok(None);
    }
    let mut select = conn.prepare_cached(&format!(
        "SELECT {ATTRIBUTES} FROM documents d
         JOIN versions v ON v.document_id = d.id AND v.version = d.visible_version WHERE d.id = ?1"
    ))?;
    let documents: HashSet<DocumentId> = ids.iter().map(|id| id.document).collect();
    let mut passing = HashSet::new();
    for id in documents {
        let attributes = select
            .query_row([id.to_string()], |row| metadata::attributes(row, 0))
            .optional()?
            .transpose()?;
        if attributes.is_some_and(|attributes| filter.allows(&attributes)) {
            passing.insert(id);
        }
    }
    Ok(Some(passing))
}

/// Completes the row of a version, with its chunks unless they are kept already.
fn put_version(tx: &Transaction<'_>, new: &Indexed) -> Result<()> {
    let id = new.document.to_string();
    let first_unwanted = if new.chunks.is_empty() {
        new.n_chunks
    } else {
        0
    };
    // What an attempt before this one kept, when it cut the text otherwise.
    tx.execute(
        "DELETE FROM chunks WHERE document_id = ?1 AND version = ?2 AND ordinal >= ?3",
        params![id, new.version, first_unwanted],
    )?;
    tx.execute(
        "UPDATE versions SET title = ?3, text = ?4, n_chunks = ?5 WHERE document_id = ?1 AND version = ?2",
        params![id, new.version, new.title, new.text, new.n_chunks],
    )?;
    vectors::put_chunks(tx, new.document, new.version, &new.title, &new.chunks)?;
    let n_kept: u32 = tx.query_row(
        "SELECT count(*) FROM chunks WHERE document_id = ?1 AND version = ?2",
        params![id, new.version],
        |row| row.get(0),
    )?;
    if n_kept == new.n_chunks {
        Ok(())
    } else {
        Err(corrupt("chunks of a version"))
    }
}

pub(super) fn set_acl(tx: &Transaction<'_>, document: DocumentId, acl: &Acl) -> Result<()> {
    let id = document.to_string();
    for (table, groups) in [("readers", &acl.readers), ("denied", &acl.denied)] {
        tx.prepare_cached(&format!("DELETE FROM {table} WHERE document_id = ?1"))?
            .execute([&id])?;
        let mut insert = tx.prepare_cached(&format!(
            "INSERT INTO {table} (document_id, group_id) VALUES (?1, ?2)"
        ))?;
        for group in groups {
            insert.execute([&id, &group.0])?;
        }
    }
    Ok(())
}

/// Where a list of documents goes on.
pub(super) struct Cursor {
    pub(super) source: Option<String>,
    pub(super) id: String,
}

impl Cursor {
    /// Reads what [`Document::cursor`] returned.
    pub(super) fn parse(cursor: Option<&str>) -> Self {
        let Some(cursor) = cursor else {
            return Self {
                source: None,
                id: String::new(),
            };
        };
        let (id, source) = cursor.split_at_checked(36).unwrap_or((cursor, ""));
        Self {
            source: Some(source.to_owned()),
            id: id.to_owned(),
        }
    }
}

pub(super) fn document(
    conn: &Connection,
    id: DocumentId,
    access: &AccessFilter,
) -> Result<Document> {
    let Permit { groups, within } = Permit::new(conn, access)?;
    let found = conn
        .prepare_cached(&format!(
            "SELECT {DOCUMENT_COLUMNS}, {ATTRIBUTES} FROM {DOCUMENT_TABLES} WHERE d.id = :id AND d.deleted_at IS NULL AND {READABLE}"
        ))?
        .query_row(
            named_params! { ":id": id.to_string(), ":groups": groups, ":within": within },
            rows::document,
        )
        .optional()?
        .transpose()?;
    found.ok_or_else(|| Error::UnknownDocument { id: id.to_string() })
}

pub(super) fn chunk(row: &Row<'_>) -> rusqlite::Result<Result<Chunk>> {
    let (ordinal, text, context): (u32, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let [n_tokens, start, end]: [usize; 3] = [row.get(3)?, row.get(4)?, row.get(5)?];
    let locator: String = row.get(6)?;
    Ok(rows::json(&locator, "locator").map(|locator| Chunk {
        ordinal,
        text,
        context,
        n_tokens,
        span: start..end,
        locator,
    }))
}

pub(super) fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

pub(super) fn from_bytes(bytes: &[u8]) -> Result<Vec<f32>> {
    let (words, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    } else {
        Err(corrupt("vector"))
    }
}
