//! Groups of users, which access lists name.

use super::users::LOCAL;
use super::{Error, Identity, Result, is_duplicate, name, parsed, user_id};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::BTreeSet;
use uuid::Uuid;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// As access lists write it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who made it: `local`, or the issuer of an identity provider.
    pub source: String,
    /// Its members: id and login, in the order of logins.
    pub members: Vec<(Uuid, String)>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Identity {
    /// Adds a group without members.
    ///
    /// # Errors
    /// When the name is taken or unfit.
    pub async fn add_group(&self, name: &str, description: &str) -> Result<Group> {
        let (name, folded) = name::group(name)?;
        let description = name::text("description", description)?;
        self.run(move |connection| {
            let inserted = connection.execute(
                "INSERT INTO groups (name, folded, description, created_at) VALUES (?1, ?2, ?3, ?4)",
                params![name, folded, description, Timestamp::now().to_string()],
            );
            match inserted {
                Err(error) if is_duplicate(&error) => Err(Error::GroupExists(name)),
                Err(error) => Err(error.into()),
                Ok(_) => find(connection, &name),
            }
        })
        .await
    }

    /// Returns all groups by name.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn groups(&self) -> Result<Vec<Group>> {
        self.run(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT name FROM groups ORDER BY name")?;
            let names = statement.query_map([], |row| row.get(0))?;
            let names = names.collect::<rusqlite::Result<Vec<String>>>()?;
            names.iter().map(|name| find(connection, name)).collect()
        })
        .await
    }

    /// Returns a group.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`].
    pub async fn group(&self, name: &str) -> Result<Group> {
        let name = name.to_owned();
        self.run(move |connection| find(connection, &name)).await
    }

    /// Makes these users, by id or login, the members of a group. Whom an identity provider made a member stays that by its
    /// word alone.
    ///
    /// # Errors
    /// When the group or a user is unknown; then nothing changes.
    pub async fn set_members(&self, name: &str, users: Vec<String>) -> Result<Group> {
        let name = name.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let group = find(&transaction, &name)?.name;
            let members = users
                .iter()
                .map(|user| member(&transaction, user))
                .collect::<Result<BTreeSet<Uuid>>>()?;
            let present: Vec<Uuid> = find(&transaction, &group)?
                .members
                .into_iter()
                .map(|(id, _)| id)
                .collect();
            for id in present.iter().filter(|id| !members.contains(id)) {
                transaction.execute(
                    "DELETE FROM memberships WHERE group_name = ?1 AND user = ?2",
                    params![group, id.to_string()],
                )?;
            }
            for id in members {
                join(&transaction, id, &group, LOCAL)?;
            }
            let group = find(&transaction, &group)?;
            transaction.commit()?;
            Ok(group)
        })
        .await
    }

    /// Deletes a group. Documents that name it as a reader keep the name.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`].
    pub async fn delete_group(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.run(move |connection| {
            let group = find(connection, &name)?.name;
            connection.execute("DELETE FROM groups WHERE name = ?1", [group])?;
            Ok(())
        })
        .await
    }
}

/// Returns the groups of a user by name.
pub(super) fn of(connection: &Connection, user: Uuid) -> Result<Vec<String>> {
    let mut statement = connection
        .prepare_cached("SELECT group_name FROM memberships WHERE user = ?1 ORDER BY group_name")?;
    let rows = statement.query_map([user.to_string()], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Makes a user a member by the word of `source`, if they are none.
pub(super) fn join(connection: &Connection, user: Uuid, group: &str, source: &str) -> Result<()> {
    let group = find(connection, group)?.name;
    connection.execute(
        "INSERT OR IGNORE INTO memberships (user, group_name, source) VALUES (?1, ?2, ?3)",
        params![user.to_string(), group, source],
    )?;
    Ok(())
}

pub(super) fn find(connection: &Connection, name: &str) -> Result<Group> {
    let unknown = || Error::UnknownGroup(name.to_owned());
    let (_, folded) = name::group(name).map_err(|_| unknown())?;
    let group = connection
        .prepare_cached(
            "SELECT name, description, source, created_at FROM groups WHERE folded = ?1",
        )?
        .query_row([folded], |row| {
            Ok(Group {
                name: row.get("name")?,
                description: row.get("description")?,
                source: row.get("source")?,
                members: Vec::new(),
                created_at: parsed(row, "created_at")?,
            })
        })
        .optional()?;
    let mut group = group.ok_or_else(unknown)?;
    let mut statement = connection.prepare_cached(
        "SELECT u.id, u.name FROM memberships m JOIN users u ON u.id = m.user
         WHERE m.group_name = ?1 ORDER BY u.name",
    )?;
    let rows = statement.query_map([&group.name], |row| {
        Ok((parsed(row, "id")?, row.get("name")?))
    })?;
    group.members = rows.collect::<rusqlite::Result<_>>()?;
    Ok(group)
}

/// Returns the id of an existing user, given by id or by login.
fn member(connection: &Connection, user: &str) -> Result<Uuid> {
    match user_id(user) {
        Ok(id) => Ok(super::users::find(connection, id)?.id),
        Err(_) => super::users::id_of(connection, user),
    }
}
