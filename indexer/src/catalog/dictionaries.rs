//! The collections' dictionaries, as they were given.

use super::{Catalog, now};
use crate::{CollectionId, Result};
use rusqlite::{OptionalExtension, params};

impl Catalog {
    /// Keeps a collection's dictionary in place of the one before.
    pub(crate) fn set_dictionary(&self, collection: CollectionId, csv: &str) -> Result<()> {
        self.write(|tx| {
            tx.execute(
                "INSERT INTO dictionaries (collection_id, csv, updated_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (collection_id) DO UPDATE SET csv = ?2, updated_at = ?3",
                params![collection.to_string(), csv, now()],
            )?;
            Ok(())
        })
    }

    /// Removes a collection's dictionary, if it has one.
    pub(crate) fn remove_dictionary(&self, collection: CollectionId) -> Result<()> {
        self.write(|tx| {
            tx.execute(
                "DELETE FROM dictionaries WHERE collection_id = ?1",
                [collection.to_string()],
            )?;
            Ok(())
        })
    }

    /// Returns a collection's dictionary, if it has one.
    pub(crate) fn dictionary(&self, collection: CollectionId) -> Result<Option<String>> {
        self.read(|conn| {
            Ok(conn
                .query_row(
                    "SELECT csv FROM dictionaries WHERE collection_id = ?1",
                    [collection.to_string()],
                    |row| row.get(0),
                )
                .optional()?)
        })
    }
}
