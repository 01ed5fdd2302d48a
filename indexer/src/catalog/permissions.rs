//! Who may read what, as the catalog keeps it: ACLs of documents, members of collections.

use super::children::{self, Readers};
use super::{Catalog, corrupt, documents, rows};
use crate::access::{AccessFilter, Acl, Collections, GroupId, MAX_GROUPS, Member, Role};
use crate::{CollectionId, DocumentId, Error, Result};
use rusqlite::{Connection, OptionalExtension, Transaction, named_params, params};
use std::collections::{BTreeSet, HashSet};

/// The column with the ACL of document `d`; [`rows::acl`] reads it.
macro_rules! acl {
    () => {
        "json_object('readers', json((SELECT json_group_array(r.group_id) FROM readers r WHERE r.document_id = d.id)),
                     'denied', json((SELECT json_group_array(n.group_id) FROM denied n WHERE n.document_id = d.id)))"
    };
}
pub(super) use acl;
/// The same, for use in other columns.
pub(super) const ACL: &str = acl!();

/// Whether document `d` may be read by whom the parameters `:groups` and `:within` stand for: a [`Permit`].
macro_rules! readable {
    ($document:literal) => {
        concat!(
            "(:groups IS NULL
              OR EXISTS (SELECT 1 FROM readers r WHERE r.document_id = ",
            $document,
            ".id AND r.group_id IN (SELECT value FROM json_each(:groups)))
                 AND NOT EXISTS (SELECT 1 FROM denied n WHERE n.document_id = ",
            $document,
            ".id AND n.group_id IN (SELECT value FROM json_each(:groups))))
             AND (:within IS NULL OR ",
            $document,
            ".collection_id IN (SELECT value FROM json_each(:within)))"
        )
    };
}
pub(super) use readable;
/// The same, for use in other conditions.
pub(super) const READABLE: &str = readable!("d");

/// An access filter as SQL takes it.
pub(super) struct Permit {
    /// For `:groups`: as JSON, or nothing for whoever may read everything.
    pub(super) groups: Option<String>,
    /// For `:within`: ids of collections as JSON, or nothing for all.
    pub(super) within: Option<String>,
}

impl Permit {
    /// Returns what a filter permits now.
    pub(super) fn new(conn: &Connection, access: &AccessFilter) -> Result<Self> {
        let access = as_of_now(conn, access)?;
        let groups = access.as_groups();
        Ok(Self {
            groups: groups.map(json_list).transpose()?,
            within: listed(access.collections())?,
        })
    }
}

/// Returns ids of collections as a JSON list; `None` for all.
pub(super) fn listed(collections: &Collections) -> Result<Option<String>> {
    match collections {
        Collections::All => Ok(None),
        Collections::Only(ids) => json_list(ids).map(Some),
    }
}

fn json_list<T: serde::Serialize + ?Sized>(items: &T) -> Result<String> {
    serde_json::to_string(items).map_err(|_| corrupt("list"))
}

/// Returns a filter limited to the collections that its groups are members of at this moment.
pub(super) fn as_of_now(conn: &Connection, access: &AccessFilter) -> Result<AccessFilter> {
    match access.as_groups() {
        None => Ok(access.clone()),
        Some(groups) => {
            let readable = Collections::Only(joined(conn, groups, Role::Reader)?);
            Ok(access.clone().within(&readable))
        }
    }
}

/// Returns the collections in which one of these groups has at least this role.
fn joined(conn: &Connection, groups: &BTreeSet<GroupId>, role: Role) -> Result<Vec<CollectionId>> {
    conn.prepare_cached(
        "SELECT DISTINCT m.collection_id FROM collection_members m
         JOIN collections c ON c.id = m.collection_id AND c.deleted_at IS NULL
         WHERE m.group_id IN (SELECT value FROM json_each(?1)) AND (?2 = 'reader' OR m.role = ?2)
         ORDER BY m.collection_id",
    )?
    .query_map(params![json_list(groups)?, role.as_str()], |row| {
        row.get::<_, String>(0)
    })?
    .map(|id| Ok(CollectionId(rows::uuid(&id?)?)))
    .collect()
}

impl Catalog {
    /// Returns the collections that one who is in these groups may read.
    pub fn readable_collections(&self, groups: &BTreeSet<GroupId>) -> Result<Vec<CollectionId>> {
        self.read(|conn| joined(conn, groups, Role::Reader))
    }

    /// Returns the collections that one who is in these groups may change.
    pub fn writable_collections(&self, groups: &BTreeSet<GroupId>) -> Result<Vec<CollectionId>> {
        self.read(|conn| joined(conn, groups, Role::Editor))
    }

    /// Returns those of these documents that may be read.
    pub fn readable_documents(
        &self,
        ids: &[DocumentId],
        access: &AccessFilter,
    ) -> Result<HashSet<DocumentId>> {
        self.read(|conn| {
            let Permit { groups, within } = Permit::new(conn, access)?;
            let mut select = conn.prepare_cached(&format!(
                "SELECT 1 FROM documents d WHERE d.id = :id AND d.deleted_at IS NULL AND {READABLE}"
            ))?;
            let mut readable = HashSet::new();
            for id in ids {
                let named =
                    named_params! { ":id": id.to_string(), ":groups": groups, ":within": within };
                if select.exists(named)? {
                    readable.insert(*id);
                }
            }
            Ok(readable)
        })
    }

    /// Returns a filter limited to the collections that its groups are members of at this moment.
    pub(crate) fn as_of_now(&self, access: &AccessFilter) -> Result<AccessFilter> {
        self.read(|conn| as_of_now(conn, access))
    }

    /// Returns whom a collection is for, by group.
    pub fn members(&self, collection: CollectionId) -> Result<Vec<Member>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT group_id, role FROM collection_members WHERE collection_id = ?1 ORDER BY group_id",
            )?
            .query_map([collection.to_string()], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?))
            })?
            .map(|row| {
                let (group, role) = row?;
                let role = match role.as_str() {
                    "reader" => Role::Reader,
                    "editor" => Role::Editor,
                    _ => return Err(corrupt("role of a member")),
                };
                Ok(Member { group: GroupId(group), role })
            })
            .collect()
        })
    }

    /// Replaces whom a collection is for. From the commit on it does not exist for others.
    ///
    /// # Errors
    /// [`Error::InvalidAccess`]; [`Error::UnknownCollection`] when it was deleted meanwhile.
    pub fn set_members(&self, collection: CollectionId, members: &[Member]) -> Result<()> {
        self.write(|tx| {
            let exists = tx
                .prepare_cached("SELECT 1 FROM collections WHERE id = ?1 AND deleted_at IS NULL")?
                .exists([collection.to_string()])?;
            if !exists {
                return Err(Error::UnknownCollection {
                    name: collection.to_string(),
                    existing: Vec::new(),
                });
            }
            put_members(tx, collection, members)
        })
    }

    /// Changes who may read a document, and notes that the stores have to be told; those of its children go with it.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`]; [`Error::PartOfDocument`] when it lies in another one.
    pub fn set_acl(&self, id: DocumentId, acl: &Acl) -> Result<()> {
        self.write(|tx| {
            let known: Option<(String, bool)> = tx
                .prepare_cached(
                    "SELECT source, visible_version IS latest_version FROM documents WHERE id = ?1 AND deleted_at IS NULL",
                )?
                .query_row([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((source, is_served)) = known else {
                return Err(Error::UnknownDocument { id: id.to_string() });
            };
            if let Some(parent) = children::parent_source(tx, &id.to_string())? {
                return Err(Error::PartOfDocument {
                    source_name: source,
                    parent,
                });
            }
            documents::set_acl(tx, id, acl)?;
            note_acl(tx, id)?;
            let readers = if is_served {
                Readers::Exactly(acl)
            } else {
                // The ACL may be meant for the version that waits, in which other files may lie.
                Readers::AtMost(acl)
            };
            children::set_readers(tx, id, readers)
        })
    }
}

/// Notes that the stores have to be told who may read a document.
pub(super) fn note_acl(tx: &Transaction<'_>, id: DocumentId) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO unindexed_attributes (document_id, change, readers) VALUES (?1, 1, 1)
         ON CONFLICT (document_id) DO UPDATE SET change = change + 1, readers = 1",
    )?
    .execute([id.to_string()])?;
    Ok(())
}

pub(super) fn put_members(
    tx: &Transaction<'_>,
    collection: CollectionId,
    members: &[Member],
) -> Result<()> {
    if members.len() > MAX_GROUPS {
        return Err(Error::InvalidAccess {
            reason: format!(
                "{} members are named, and {MAX_GROUPS} can be; put people who belong together into a group of their own",
                members.len()
            ),
        });
    }
    tx.execute(
        "DELETE FROM collection_members WHERE collection_id = ?1",
        [collection.to_string()],
    )?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO collection_members (collection_id, group_id, role) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for Member { group, role } in members {
        let n = insert.execute(params![collection.to_string(), group.0, role.as_str()])?;
        if n == 0 {
            return Err(Error::InvalidAccess {
                reason: format!(
                    "the group `{}` is named twice; name it once, with one role",
                    group.0
                ),
            });
        }
    }
    Ok(())
}
