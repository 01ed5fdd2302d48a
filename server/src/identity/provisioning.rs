//! Users and groups that a directory keeps up to date by SCIM.
//!
//! It sees and changes what it has made, and people of the identity provider, who are the same people. What was made in
//! kura is none of its business: the way in for when the directory is wrong stays open.
//!
//! A directory may rename people and groups. Access lists name them, so what they are called in kura stays.

use super::users::{self, LOCAL};
use super::{Error, Identity, Result, Role, User, groups, is_duplicate, name, parsed, sessions};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The source of what a directory has made.
pub(super) const PROVISIONED: &str = "scim";

/// A person as the directory sees them.
#[derive(Debug, Clone)]
pub struct ProvisionedUser {
    /// The account.
    pub user: User,
    /// The attributes that the directory has set, in JSON; `None` for who came from the identity provider by themselves.
    pub attributes: Option<String>,
    /// Groups that the directory sees: id and name.
    pub groups: Vec<(String, String)>,
}

/// What a directory says of a person.
#[derive(Debug, Clone)]
pub struct UserProvision {
    /// What it calls them. Who is new gets it as the login.
    pub user_name: String,
    /// For people to read; the login if empty.
    pub display_name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// Whether they may do anything.
    pub active: bool,
    /// All attributes, in JSON.
    pub attributes: String,
}

/// A group as the directory sees it.
#[derive(Debug, Clone)]
pub struct ProvisionedGroup {
    /// What the directory knows it by.
    pub id: String,
    /// As access lists write it.
    pub name: String,
    /// The attributes that the directory has set, in JSON.
    pub attributes: String,
    /// Its members that the directory sees.
    pub members: Vec<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What a directory says of a group.
#[derive(Debug, Clone)]
pub struct GroupProvision {
    /// What it calls the group. A new one's name in access lists is made from it.
    pub display_name: String,
    /// Ids of its members.
    pub members: Vec<String>,
    /// All attributes but the members, in JSON.
    pub attributes: String,
}

impl Identity {
    /// Returns all people whom the directory sees, in the order in which they were added.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn provisioned_users(&self) -> Result<Vec<ProvisionedUser>> {
        self.run(|connection| {
            let ids = ids(
                connection,
                "SELECT id FROM users WHERE kind = 'person' AND source <> ?1 ORDER BY id",
            )?;
            ids.iter().map(|id| find_user(connection, id)).collect()
        })
        .await
    }

    /// Returns a person.
    ///
    /// # Errors
    /// [`Error::UnknownUser`], also for who was made in kura.
    pub async fn provisioned_user(&self, id: String) -> Result<ProvisionedUser> {
        self.run(move |connection| find_user(connection, &id)).await
    }

    /// Adds a person, who signs in at the identity provider.
    ///
    /// # Errors
    /// When the name is or was another's, or what is said cannot be used.
    pub async fn provision_user(&self, new: UserProvision, role: Role) -> Result<ProvisionedUser> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let login = name::user(&new.user_name)?;
            require_free(&transaction, &login, None)?;
            let display_name = display_name(&new.display_name, &login)?;
            let email = users::email(new.email.as_deref())?;
            let id = Uuid::now_v7().to_string();
            transaction.execute(
                "INSERT INTO users (id, kind, name, display_name, email, role, active, created_at, updated_at, source,
                   user_name, provisioned)
                 VALUES (?1, 'person', ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?2, ?9)",
                params![
                    id,
                    login,
                    display_name,
                    email,
                    role.as_str(),
                    new.active,
                    Timestamp::now().to_string(),
                    PROVISIONED,
                    new.attributes
                ],
            )?;
            let user = find_user(&transaction, &id)?;
            transaction.commit()?;
            Ok(user)
        })
        .await
    }

    /// Changes a person to what `change` makes of them; nothing comes between. Being deactivated ends their sessions.
    ///
    /// # Errors
    /// When there is no such person, `change` fails, or what it says cannot be used; then nothing changes.
    pub async fn change_provisioned_user<E: From<Error> + Send + 'static>(
        &self,
        id: String,
        change: impl FnOnce(&ProvisionedUser) -> std::result::Result<UserProvision, E> + Send + 'static,
    ) -> std::result::Result<ProvisionedUser, E> {
        let work = move |connection: &mut Connection| -> std::result::Result<_, E> {
            let transaction = connection.transaction().map_err(Error::from)?;
            let before = find_user(&transaction, &id)?;
            let said = change(&before)?;
            store_user(&transaction, &before.user, &said)?;
            let user = find_user(&transaction, &id)?;
            transaction.commit().map_err(Error::from)?;
            Ok(user)
        };
        self.run(move |connection| Ok(work(connection))).await?
    }

    /// Returns all groups that the directory has made, in the order in which it did.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn provisioned_groups(&self) -> Result<Vec<ProvisionedGroup>> {
        self.run(|connection| {
            let ids = ids(
                connection,
                "SELECT id FROM groups WHERE id IS NOT NULL AND source <> ?1 ORDER BY id",
            )?;
            ids.iter().map(|id| find_group(connection, id)).collect()
        })
        .await
    }

    /// Returns a group.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], also for one that was made in kura.
    pub async fn provisioned_group(&self, id: String) -> Result<ProvisionedGroup> {
        self.run(move |connection| find_group(connection, &id))
            .await
    }

    /// Adds a group.
    ///
    /// # Errors
    /// When there is one of the name, however it was made, or what is said cannot be used.
    pub async fn provision_group(&self, new: GroupProvision) -> Result<ProvisionedGroup> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let (name, folded) = name::group_of(&new.display_name)?;
            let id = Uuid::now_v7().to_string();
            let inserted = transaction.execute(
                "INSERT INTO groups (name, folded, description, source, created_at, id, provisioned, updated_at)
                 VALUES (?1, ?2, '', ?3, ?4, ?5, ?6, ?4)",
                params![
                    name,
                    folded,
                    PROVISIONED,
                    Timestamp::now().to_string(),
                    id,
                    new.attributes
                ],
            );
            match inserted {
                Err(error) if is_duplicate(&error) => return Err(Error::GroupExists(name)),
                other => other?,
            };
            set_members(&transaction, &name, &BTreeSet::new(), &new.members)?;
            let group = find_group(&transaction, &id)?;
            transaction.commit()?;
            Ok(group)
        })
        .await
    }

    /// Changes a group to what `change` makes of it; nothing comes between.
    ///
    /// # Errors
    /// When there is no such group, `change` fails, or what it says cannot be used; then nothing changes.
    pub async fn change_provisioned_group<E: From<Error> + Send + 'static>(
        &self,
        id: String,
        change: impl FnOnce(&ProvisionedGroup) -> std::result::Result<GroupProvision, E>
        + Send
        + 'static,
    ) -> std::result::Result<ProvisionedGroup, E> {
        let work = move |connection: &mut Connection| -> std::result::Result<_, E> {
            let transaction = connection.transaction().map_err(Error::from)?;
            let before = find_group(&transaction, &id)?;
            let said = change(&before)?;
            // As strictly as a new one, although its name stays.
            name::group_of(&said.display_name)?;
            transaction
                .execute(
                    "UPDATE groups SET provisioned = ?2, updated_at = ?3 WHERE id = ?1",
                    params![id, said.attributes, Timestamp::now().to_string()],
                )
                .map_err(Error::from)?;
            let present = before.members.iter().copied().collect();
            set_members(&transaction, &before.name, &present, &said.members)?;
            let group = find_group(&transaction, &id)?;
            transaction.commit().map_err(Error::from)?;
            Ok(group)
        };
        self.run(move |connection| Ok(work(connection))).await?
    }
}

/// Returns the person whom the directory has announced under this name and who has never signed in.
pub(super) fn awaited(connection: &Connection, login: &str) -> Result<Option<Uuid>> {
    let Ok(login) = name::user(login) else {
        return Ok(None);
    };
    Ok(connection
        .prepare_cached("SELECT id FROM users WHERE source = ?1 AND user_name = ?2")?
        .query_row([PROVISIONED, &login], |row| parsed(row, "id"))
        .optional()?)
}

fn store_user(connection: &Connection, before: &User, said: &UserProvision) -> Result<()> {
    let user_name = name::user(&said.user_name)?;
    require_free(connection, &user_name, Some(before.id))?;
    let display_name = display_name(&said.display_name, &before.name)?;
    let email = users::email(said.email.as_deref())?;
    connection.execute(
        "UPDATE users SET user_name = ?2, display_name = ?3, email = ?4, active = ?5, provisioned = ?6, updated_at = ?7
         WHERE id = ?1",
        params![
            before.id.to_string(),
            user_name,
            display_name,
            email,
            said.active,
            said.attributes,
            Timestamp::now().to_string()
        ],
    )?;
    if before.active && !said.active {
        sessions::revoke_all(connection, before.id, None)?;
    }
    Ok(())
}

/// Makes exactly these the members that the directory sees.
fn set_members(
    connection: &Connection,
    group: &str,
    present: &BTreeSet<Uuid>,
    wanted: &[String],
) -> Result<()> {
    let mut members = BTreeSet::new();
    for id in wanted {
        members.insert(find_user(connection, id)?.user.id);
    }
    for id in present.difference(&members) {
        connection.execute(
            "DELETE FROM memberships WHERE group_name = ?1 AND user = ?2",
            params![group, id.to_string()],
        )?;
    }
    for id in members.difference(present) {
        groups::join(connection, *id, group, PROVISIONED)?;
    }
    Ok(())
}

fn display_name(given: &str, login: &str) -> Result<String> {
    let text = name::text("displayName", given)?;
    Ok(Some(text)
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| login.to_owned()))
}

/// Fails if someone else is, or was, called so.
fn require_free(connection: &Connection, login: &str, own: Option<Uuid>) -> Result<()> {
    let own = own.map(|id| id.to_string());
    let is_taken = connection
        .prepare_cached("SELECT 1 FROM users WHERE ?1 IN (name, user_name) AND id IS NOT ?2")?
        .exists(params![login, own])?;
    if is_taken {
        return Err(Error::UserExists(login.to_owned()));
    }
    let is_retired = connection
        .prepare_cached("SELECT 1 FROM retired_names WHERE name = ?1")?
        .exists([login])?;
    if is_retired {
        return Err(Error::NameRetired(login.to_owned()));
    }
    Ok(())
}

fn ids(connection: &Connection, sql: &str) -> Result<Vec<String>> {
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map([LOCAL], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

fn find_user(connection: &Connection, id: &str) -> Result<ProvisionedUser> {
    let unknown = || Error::UnknownUser(id.to_owned());
    let uuid: Uuid = id.parse().map_err(|_| unknown())?;
    let attributes: Option<Option<String>> = connection
        .prepare_cached(
            "SELECT provisioned FROM users WHERE id = ?1 AND kind = 'person' AND source <> ?2",
        )?
        .query_row([&uuid.to_string(), LOCAL], |row| row.get(0))
        .optional()?;
    let attributes = attributes.ok_or_else(unknown)?;
    let mut statement = connection.prepare_cached(
        "SELECT g.id, g.name FROM memberships m JOIN groups g ON g.name = m.group_name
         WHERE m.user = ?1 AND g.id IS NOT NULL ORDER BY g.name",
    )?;
    let groups = statement.query_map([uuid.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(ProvisionedUser {
        groups: groups.collect::<rusqlite::Result<_>>()?,
        user: users::find(connection, uuid)?,
        attributes,
    })
}

fn find_group(connection: &Connection, id: &str) -> Result<ProvisionedGroup> {
    let found = connection
        .prepare_cached(
            "SELECT id, name, provisioned, created_at, updated_at FROM groups WHERE id = ?1 AND source <> ?2",
        )?
        .query_row([id, LOCAL], |row| {
            Ok(ProvisionedGroup {
                id: row.get("id")?,
                name: row.get("name")?,
                attributes: row.get("provisioned")?,
                members: Vec::new(),
                created_at: parsed(row, "created_at")?,
                updated_at: parsed(row, "updated_at")?,
            })
        })
        .optional()?;
    let mut group = found.ok_or_else(|| Error::UnknownGroup(id.to_owned()))?;
    let mut statement = connection.prepare_cached(
        "SELECT u.id FROM memberships m JOIN users u ON u.id = m.user
         WHERE m.group_name = ?1 AND u.kind = 'person' AND u.source <> ?2 ORDER BY u.id",
    )?;
    let members = statement.query_map([&group.name, LOCAL], |row| parsed(row, "id"))?;
    group.members = members.collect::<rusqlite::Result<_>>()?;
    Ok(group)
}
