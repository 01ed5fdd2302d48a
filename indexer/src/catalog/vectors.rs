//! Vectors by what was embedded, so that nothing is embedded twice; and chunks of large versions, kept piece by piece
//! before the version is published.

use super::documents::{EmbeddedChunk, chunk, from_bytes, to_bytes};
use super::{Catalog, corrupt};
use crate::ingest::embedded_text;
use crate::{DocumentId, Result};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Sha256 of what is embedded for a chunk: title, context and text.
pub(crate) type TextHash = [u8; 32];

/// Returns the hash of what is embedded for a chunk.
pub(crate) fn text_hash(title: &str, context: &str, text: &str) -> TextHash {
    Sha256::digest(embedded_text(title, context, text)).into()
}

/// A vector and the codes of the tokens.
pub(crate) type Embedded = (Vec<f32>, Vec<u8>);

impl Catalog {
    /// Returns the vectors and token codes that are there for these texts, whatever documents they belong to. All are of
    /// the embedder that the data directory was opened with.
    pub(crate) fn known_vectors(&self, hashes: &[TextHash]) -> Result<HashMap<TextHash, Embedded>> {
        self.read(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT vector, tokens FROM chunks WHERE hash = ?1 AND tokens IS NOT NULL LIMIT 1",
            )?;
            let mut known = HashMap::new();
            for hash in hashes {
                let row: Option<(Vec<u8>, Vec<u8>)> = select
                    .query_row([hash.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                if let Some((vector, tokens)) = row {
                    known.insert(*hash, (from_bytes(&vector)?, tokens));
                }
            }
            Ok(known)
        })
    }

    /// Gives a hash to chunks that were made before there were any: those of this document, and those of the same bytes.
    /// Others have none until their turn comes, which costs nothing.
    pub(crate) fn fill_hashes(&self, document: DocumentId, sha256: &str) -> Result<()> {
        let lacking: Vec<(String, u32)> = self.read(|conn| {
            conn.prepare_cached(
                "SELECT v.document_id, v.version FROM versions v
                 WHERE v.n_chunks > 0 AND (v.sha256 = ?1 OR v.document_id = ?2)
                   AND (SELECT k.hash IS NULL FROM chunks k WHERE k.document_id = v.document_id AND k.version = v.version LIMIT 1)",
            )?
            .query_map(params![sha256, document.to_string()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .map(|row| Ok(row?))
            .collect::<Result<_>>()
        })?;
        for (document, version) in lacking {
            let hashes = self.read(|conn| hashes_of(conn, &document, version))?;
            self.write(|tx| {
                let mut update = tx.prepare_cached(
                    "UPDATE chunks SET hash = ?4 WHERE document_id = ?1 AND version = ?2 AND ordinal = ?3",
                )?;
                for (ordinal, hash) in hashes {
                    update.execute(params![document, version, ordinal, hash.as_slice()])?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Keeps chunks of a version that is not published yet. Nobody sees them until it is. A version that is not wanted any
    /// more is left alone.
    pub(crate) fn keep_chunks(
        &self,
        document: DocumentId,
        version: u32,
        title: &str,
        chunks: &[EmbeddedChunk],
    ) -> Result<()> {
        self.write(|tx| {
            let wanted = tx
                .prepare_cached("SELECT 1 FROM versions WHERE document_id = ?1 AND version = ?2")?
                .exists(params![document.to_string(), version])?;
            if wanted {
                put_chunks(tx, document, version, title, chunks)?;
            }
            Ok(())
        })
    }

    /// Returns the chunks of a version from this ordinal on, `limit` at most.
    pub(crate) fn chunks_from(
        &self,
        document: DocumentId,
        version: u32,
        from: u32,
        limit: usize,
    ) -> Result<Vec<EmbeddedChunk>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT ordinal, text, context, n_tokens, span_start, span_end, locator, vector, coalesce(tokens, x'')
                 FROM chunks WHERE document_id = ?1 AND version = ?2 AND ordinal >= ?3 ORDER BY ordinal LIMIT ?4",
            )?
            .query_map(
                params![document.to_string(), version, from, limit as u64],
                |row| Ok((chunk(row)?, row.get::<_, Vec<u8>>(7)?, row.get(8)?)),
            )?
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

    /// Forgets the chunks kept of versions that were never published. Their vectors would be of another embedder.
    pub(crate) fn forget_unpublished_chunks(&self) -> Result<()> {
        self.write(|tx| {
            tx.execute(
                "DELETE FROM chunks WHERE (document_id, version) IN
                 (SELECT v.document_id, v.version FROM versions v JOIN documents d ON d.id = v.document_id
                  WHERE d.visible_version IS NOT v.version)",
                [],
            )?;
            Ok(())
        })
    }

    /// Returns how many different texts have a vector, of those that have a hash.
    #[cfg(test)]
    pub(crate) fn n_hashes(&self) -> Result<usize> {
        self.read(|conn| {
            let hashes: std::collections::HashSet<Vec<u8>> = conn
                .prepare_cached("SELECT hash FROM chunks WHERE hash IS NOT NULL")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(hashes.len())
        })
    }
}

/// Writes chunks, replacing those with the same ordinals.
pub(super) fn put_chunks(
    tx: &Transaction<'_>,
    document: DocumentId,
    version: u32,
    title: &str,
    chunks: &[EmbeddedChunk],
) -> Result<()> {
    let id = document.to_string();
    let mut insert = tx.prepare_cached(
        "INSERT OR REPLACE INTO chunks
             (document_id, version, ordinal, text, context, n_tokens, span_start, span_end, locator, vector, tokens, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for EmbeddedChunk {
        chunk,
        vector,
        tokens,
    } in chunks
    {
        let locator = serde_json::to_string(&chunk.locator).map_err(|_| corrupt("locator"))?;
        insert.execute(params![
            id,
            version,
            chunk.ordinal,
            chunk.text,
            chunk.context,
            chunk.n_tokens as u64,
            chunk.span.start as u64,
            chunk.span.end as u64,
            locator,
            to_bytes(vector),
            tokens,
            text_hash(title, &chunk.context, &chunk.text).as_slice(),
        ])?;
    }
    Ok(())
}

fn hashes_of(conn: &Connection, document: &str, version: u32) -> Result<Vec<(u32, TextHash)>> {
    let title: Option<String> = conn.query_row(
        "SELECT title FROM versions WHERE document_id = ?1 AND version = ?2",
        params![document, version],
        |row| row.get(0),
    )?;
    let title = title.unwrap_or_default();
    Ok(conn
        .prepare_cached(
            "SELECT ordinal, context, text FROM chunks WHERE document_id = ?1 AND version = ?2",
        )?
        .query_map(params![document, version], |row| {
            let (context, text): (String, String) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, text_hash(&title, &context, &text)))
        })?
        .collect::<rusqlite::Result<_>>()?)
}
