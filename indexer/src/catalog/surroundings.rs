//! What stands around a chunk in its document.

use super::permissions::{Permit, READABLE};
use super::{Catalog, rows};
use crate::document::Locator;
use crate::{AccessFilter, DocumentId, Result};
use rusqlite::{OptionalExtension, named_params, params};
use std::ops::{Range, RangeInclusive};

/// A version's text, and where some of its chunks stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The text that spans point into.
    pub text: String,
    /// The chunks that were asked for, as far as there are such, in order.
    pub chunks: Vec<Place>,
}

/// Where a chunk stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Position within the document, from 0.
    pub ordinal: u32,
    /// Byte range in the document's text.
    pub span: Range<usize>,
    /// Page, range and headings.
    pub locator: Locator,
}

impl Catalog {
    /// Returns the text of a version and the places of its chunks with these ordinals. `None` when the version is
    /// not the visible one, the document was deleted or is not for this principal: as in `hydrate`.
    pub(crate) fn surroundings(
        &self,
        document: DocumentId,
        version: u32,
        ordinals: &RangeInclusive<u32>,
        access: &AccessFilter,
    ) -> Result<Option<Surroundings>> {
        self.read(|conn| {
            let id = document.to_string();
            let Permit { groups, within } = Permit::new(conn, access)?;
            let text: Option<String> = conn
                .prepare_cached(&format!(
                    "SELECT v.text FROM documents d JOIN versions v ON v.document_id = d.id AND v.version = d.visible_version
                     WHERE d.id = :id AND d.visible_version = :version AND d.deleted_at IS NULL AND {READABLE}"
                ))?
                .query_row(
                    named_params! { ":id": id, ":version": version, ":groups": groups, ":within": within },
                    |row| row.get(0),
                )
                .optional()?;
            let Some(text) = text else {
                return Ok(None);
            };
            let chunks = conn
                .prepare_cached(
                    "SELECT ordinal, span_start, span_end, locator FROM chunks
                     WHERE document_id = ?1 AND version = ?2 AND ordinal BETWEEN ?3 AND ?4 ORDER BY ordinal",
                )?
                .query_map(params![id, version, ordinals.start(), ordinals.end()], |row| {
                    let [start, end]: [usize; 2] = [row.get(1)?, row.get(2)?];
                    Ok((row.get(0)?, start..end, row.get::<_, String>(3)?))
                })?
                .map(|row| {
                    let (ordinal, span, locator) = row?;
                    let locator = rows::json(&locator, "locator")?;
                    Ok(Place { ordinal, span, locator })
                })
                .collect::<Result<_>>()?;
            Ok(Some(Surroundings { text, chunks }))
        })
    }
}
