//! Documents that get another name: a file was moved. Chunks and vectors stay.

use super::permissions::ACL;
use super::rows::{self, uuid};
use super::sources::{ItemRow, SourceId, put_item};
use super::{Catalog, children, deletion, jobs, metadata, now};
use crate::catalog::Published;
use crate::{CollectionId, DocumentId, Result};
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::HashSet;

/// Longest title, as when a document is indexed.
const MAX_TITLE_CHARS: usize = 300;

/// A document that follows its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The document.
    pub document: DocumentId,
    /// The item it was.
    pub from: String,
    /// The item it becomes, with the document in it.
    pub to: ItemRow,
    /// The document's new source.
    pub source: String,
    /// The document that the target item had until now and that nothing else takes: it goes.
    pub displaced: Option<DocumentId>,
}

impl Catalog {
    /// Returns searchable documents whose title is their file's name, as they will be with it changed.
    pub(crate) fn retitled(&self, moves: &[Move]) -> Result<Vec<Published>> {
        self.read(|conn| {
            let mut retitled = Vec::new();
            for one in moves {
                let row = conn
                    .prepare_cached("SELECT source, title, visible_version, collection_id FROM documents WHERE id = ?1 AND deleted_at IS NULL")?
                    .query_row([one.document.to_string()], |row| {
                        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<u32>>(2)?, row.get::<_, String>(3)?))
                    })
                    .optional()?;
                let Some((old, title, Some(version), collection)) = row else { continue };
                let Some(title) = new_title(&old, &one.source, &title) else { continue };
                let collection = CollectionId(uuid(&collection)?);
                let (acl, attributes) = conn
                    .prepare_cached(&format!(
                        "SELECT {ACL}, {} FROM documents d JOIN versions v ON v.document_id = d.id AND v.version = ?2 WHERE d.id = ?1",
                        metadata::ATTRIBUTES
                    ))?
                    .query_row(params![one.document.to_string(), version], |row| {
                        Ok((row.get::<_, String>(0)?, metadata::attributes(row, 1)?))
                    })?;
                retitled.push(Published {
                    document: one.document,
                    version,
                    collection,
                    title,
                    acl: rows::acl(&acl)?,
                    attributes: attributes?,
                });
            }
            Ok(retitled)
        })
    }

    /// Renames documents and their items, in one transaction: all of them at once, so that files may have swapped names.
    ///
    /// Returns those moves that were not made, because a document that no source keeps has the new name.
    pub fn move_items(
        &self,
        source: SourceId,
        collection: CollectionId,
        moves: Vec<Move>,
    ) -> Result<Vec<Move>> {
        self.write(|tx| {
            let (moves, refused) = possible(tx, collection, moves)?;
            for one in &moves {
                if let Some(document) = one.displaced {
                    deletion::mark_deleted(tx, document)?;
                }
                // Out of the way first: names are unique at every moment.
                tx.prepare_cached(
                    "UPDATE documents SET source = 'moving:' || id || ':' || source WHERE id = ?1",
                )?
                .execute([one.document.to_string()])?;
                children::park(tx, one.document)?;
            }
            for one in &moves {
                tx.prepare_cached(
                    "DELETE FROM source_items WHERE source_id = ?1 AND key IN (?2, ?3)",
                )?
                .execute(params![source.to_string(), one.from, one.to.key])?;
            }
            for one in &moves {
                rename(tx, collection, one)?;
                put_item(tx, source, &one.to)?;
            }
            for one in &moves {
                children::rename(tx, one.document)?;
            }
            Ok(refused)
        })
    }
}

/// Splits moves into those whose new name is free, or becomes so by another of them, and the rest.
fn possible(
    tx: &Transaction<'_>,
    collection: CollectionId,
    moves: Vec<Move>,
) -> Result<(Vec<Move>, Vec<Move>)> {
    let (mut possible, mut refused) = (moves, Vec::new());
    loop {
        let leaving: HashSet<DocumentId> = possible
            .iter()
            .flat_map(|one| [Some(one.document), one.displaced])
            .flatten()
            .collect();
        let mut stays = Vec::new();
        let mut blocked = Vec::new();
        for one in possible {
            let holder: Option<String> = tx
                .prepare_cached("SELECT id FROM documents WHERE collection_id = ?1 AND source = ?2 AND deleted_at IS NULL")?
                .query_row(params![collection.to_string(), one.source], |row| row.get(0))
                .optional()?;
            let free = match holder {
                None => true,
                Some(id) => leaving.contains(&DocumentId(uuid(&id)?)),
            };
            if free {
                stays.push(one)
            } else {
                blocked.push(one)
            }
        }
        possible = stays;
        if blocked.is_empty() {
            return Ok((possible, refused));
        }
        refused.extend(blocked);
    }
}

fn rename(tx: &Transaction<'_>, collection: CollectionId, one: &Move) -> Result<()> {
    let id = one.document.to_string();
    let row = tx
        .prepare_cached("SELECT source, title, visible_version FROM documents WHERE id = ?1 AND deleted_at IS NULL")?
        .query_row([&id], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<u32>>(2)?))
        })
        .optional()?;
    let Some((parked, title, version)) = row else {
        return Ok(());
    };
    let old = parked.splitn(3, ':').nth(2).unwrap_or(&parked);
    if let Some(title) = new_title(old, &one.source, &title) {
        tx.execute(
            "UPDATE documents SET title = ?2 WHERE id = ?1",
            params![id, title],
        )?;
        tx.execute(
            "UPDATE versions SET title = ?3 WHERE document_id = ?1 AND version = ?2",
            params![id, version, title],
        )?;
    }
    tx.prepare_cached("UPDATE documents SET source = ?2, updated_at = ?3 WHERE id = ?1")?
        .execute(params![id, one.source, now()])?;
    jobs::rename(tx, &id, &one.source)?;
    // Documents say by name what they supersede.
    let named: Option<i64> = tx
        .prepare_cached(
            "SELECT 1 FROM successions WHERE collection_id = ?1 AND source IN (?2, ?3) LIMIT 1",
        )?
        .query_row(params![collection.to_string(), old, one.source], |row| {
            row.get(0)
        })
        .optional()?;
    if named.is_some() {
        metadata::note(tx, one.document)?;
    }
    Ok(())
}

/// Returns the title that a document has under another name, if it was the name.
fn new_title(old_source: &str, new_source: &str, title: &str) -> Option<String> {
    let name = |source: &str| source.rsplit('/').next().unwrap_or(source).to_owned();
    let short = |name: String| name.chars().take(MAX_TITLE_CHARS).collect::<String>();
    let (old, new) = (name(old_source), name(new_source));
    (old != new && (title == old || title == short(old.clone()))).then(|| short(new))
}

#[cfg(test)]
mod tests {
    use super::new_title;

    #[test]
    fn a_title_follows_the_name_only_if_it_was_the_name() {
        assert_eq!(
            new_title("a/old.txt", "b/new.txt", "old.txt").as_deref(),
            Some("new.txt")
        );
        assert_eq!(new_title("a/old.txt", "b/old.txt", "old.txt"), None);
        assert_eq!(new_title("a/old.txt", "a/new.txt", "Leave rules"), None);
        let long = "x".repeat(400);
        let cut: String = long.chars().take(300).collect();
        assert_eq!(new_title(&long, "n", &cut).as_deref(), Some("n"));
    }
}
