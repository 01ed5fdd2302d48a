//! What the catalog knows of the quality of a collection's documents.

use super::reason::{self, Reason};
use super::{Catalog, rows};
use crate::{CollectionId, DocumentId, Result};
use std::collections::HashMap;

impl Catalog {
    /// Returns why documents of a collection could not be indexed; a document without a known reason is left out.
    pub(crate) fn failure_reasons(
        &self,
        collection: CollectionId,
    ) -> Result<HashMap<DocumentId, Reason>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT d.id, j.code FROM documents d
                 JOIN jobs j ON j.document_id = d.id AND j.version = d.latest_version
                 WHERE d.collection_id = ?1 AND d.deleted_at IS NULL AND d.status = 'failed' AND j.code IS NOT NULL",
            )?
            .query_map([collection.to_string()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })?
            .map(|row| {
                let (id, code) = row?;
                Ok((DocumentId(rows::uuid(&id)?), reason::from_column(Some(&code))?))
            })
            .filter_map(|row: Result<_>| match row {
                Ok((id, reason)) => reason.map(|reason| Ok((id, reason))),
                Err(error) => Some(Err(error)),
            })
            .collect()
        })
    }
}
