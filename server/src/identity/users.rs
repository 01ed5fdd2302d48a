//! People and services that may sign in.

use super::{
    Error, Identity, Password, Result, Role, is_duplicate, name, parsed, parsed_opt, sessions,
    spending,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use utoipa::ToSchema;
use uuid::Uuid;

/// What is read of a user.
const COLUMNS: &str = "u.id, u.kind, u.name, u.display_name, u.email, u.role, u.active, u.source, u.created_at,
    u.updated_at, u.last_sign_in_at, u.tokens_day, u.tokens, EXISTS (SELECT 1 FROM totp t WHERE t.user = u.id AND t.confirmed_at IS NOT NULL) AS has_totp";

/// Longest `sub`, by `OpenID` Connect.
const MAX_SUBJECT_BYTES: usize = 255;

/// The source of what was made in kura.
pub(super) const LOCAL: &str = "local";

/// Who signs in how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// With a password or at an identity provider, or an API key of their own.
    Person,
    /// A program, with API keys only.
    Service,
}

/// Someone who may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id, which never changes.
    pub id: Uuid,
    /// Who signs in how.
    pub kind: UserKind,
    /// The login, which never changes: access lists name it.
    pub name: String,
    /// For people to read.
    pub display_name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Whether they may do anything now.
    pub active: bool,
    /// Who says who they are: `local` for kura by a password or key, else the issuer of an identity provider.
    pub source: String,
    /// Whether a second factor is asked for.
    pub has_totp: bool,
    /// Their groups by name, `everyone` left out.
    pub groups: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something about it last changed.
    pub updated_at: Timestamp,
    /// When they last signed in.
    pub last_sign_in_at: Option<Timestamp>,
    /// Tokens of models spent today, in UTC.
    pub tokens_today: u64,
}

/// A user to add.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Who signs in how.
    pub kind: UserKind,
    /// The login.
    pub name: String,
    /// For people to read; the login when absent.
    pub display_name: Option<String>,
    /// Where to write to.
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// A person's password.
    pub password: Option<Password>,
    /// Who a person is at an identity provider, instead of a password.
    pub subject: Option<Subject>,
    /// Names of their groups.
    pub groups: Vec<String>,
}

/// What changes about a user; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// For people to read.
    pub display_name: Option<String>,
    /// Where to write to.
    pub email: Option<Option<String>>,
    /// What they may do. A change ends their sessions.
    pub role: Option<Role>,
    /// Whether they may do anything. Ending it ends their sessions.
    pub active: Option<bool>,
    /// A new password. It ends their sessions.
    pub password: Option<Password>,
    /// Who they are at an identity provider, from now on instead of a password. It ends their sessions.
    pub subject: Option<Subject>,
}

/// Who someone is at an identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The provider.
    pub issuer: String,
    /// Its id of the person.
    pub id: String,
}

impl Subject {
    fn check(&self) -> Result<()> {
        if is_subject(&self.id) {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "`{}` is no `sub` of an identity provider; it has 1 to {MAX_SUBJECT_BYTES} bytes and no control characters",
            self.id
        )))
    }
}

/// Returns whether a provider may call someone so.
pub(crate) fn is_subject(text: &str) -> bool {
    (1..=MAX_SUBJECT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// What is kept of a user besides the account itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Sessions, ended or not.
    pub sessions: u64,
    /// API keys, revoked or not.
    pub keys: u64,
    /// Memberships in groups.
    pub groups: u64,
}

impl UserKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
        }
    }
}

impl FromStr for UserKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "person" => Ok(Self::Person),
            "service" => Ok(Self::Service),
            other => Err(Error::Invalid(format!("unknown kind of user `{other}`"))),
        }
    }
}

impl Identity {
    /// Adds a user.
    ///
    /// # Errors
    /// When the name is taken or unfit, the password is too weak or missing, or a group is unknown.
    pub async fn add_user(&self, new: NewUser) -> Result<User> {
        let login = name::user(&new.name)?;
        let display_name = name::text("display_name", new.display_name.as_deref().unwrap_or(""))?;
        let display_name = Some(display_name).filter(|text| !text.is_empty());
        let email = email(new.email.as_deref())?;
        if let Some(subject) = &new.subject {
            subject.check()?;
        }
        let password = match (new.kind, new.password, &new.subject) {
            (UserKind::Person, Some(password), None) => {
                password.check(&login)?;
                Some(self.hash_password(password).await?)
            }
            (UserKind::Person, None, Some(_)) => None,
            (UserKind::Person, Some(_), Some(_)) => return Err(no_local_password()),
            (UserKind::Person, None, None) => {
                return Err(Error::Invalid(
                    "a person needs a password; a service has none, only API keys".to_owned(),
                ));
            }
            (UserKind::Service, None, None) => None,
            (UserKind::Service, Some(_), _) => return Err(no_password()),
            (UserKind::Service, None, Some(_)) => return Err(no_subject()),
        };
        let (source, external_id) = new.subject.map_or((LOCAL.to_owned(), None), |subject| {
            (subject.issuer, Some(subject.id))
        });
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let retired: Option<i64> = transaction
                .query_row("SELECT 1 FROM retired_names WHERE name = ?1", [&login], |row| row.get(0))
                .optional()?;
            if retired.is_some() {
                return Err(Error::NameRetired(login));
            }
            if let Some(subject) = &external_id {
                require_unlinked(&transaction, &source, subject)?;
            }
            let id = Uuid::now_v7();
            let inserted = transaction.execute(
                "INSERT INTO users (id, kind, name, display_name, email, role, active, password, created_at, updated_at,
                   source, external_id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8, ?8, ?9, ?10)",
                params![
                    id.to_string(),
                    new.kind.as_str(),
                    login,
                    display_name.as_deref().unwrap_or(&login),
                    email,
                    new.role.as_str(),
                    password,
                    Timestamp::now().to_string(),
                    source,
                    external_id,
                ],
            );
            match inserted {
                Err(error) if is_duplicate(&error) => return Err(Error::UserExists(login)),
                other => other?,
            };
            for group in &new.groups {
                super::groups::join(&transaction, id, group, LOCAL)?;
            }
            let user = find(&transaction, id)?;
            transaction.commit()?;
            Ok(user)
        })
        .await
    }

    /// Returns users in the order in which they were added, those after `after`.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn users(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<User>> {
        self.run(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM users u WHERE ?1 IS NULL OR u.id > ?1 ORDER BY u.id LIMIT ?2"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let after = after.map(|id| id.to_string());
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![after, limit], read)?;
            let mut users = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            for user in &mut users {
                user.groups = super::groups::of(connection, user.id)?;
            }
            Ok(users)
        })
        .await
    }

    /// Returns a user.
    ///
    /// # Errors
    /// [`Error::UnknownUser`].
    pub async fn user(&self, id: Uuid) -> Result<User> {
        self.run(move |connection| find(connection, id)).await
    }

    /// Returns the user of this login, however it is typed.
    ///
    /// # Errors
    /// [`Error::UnknownUser`].
    pub async fn user_named(&self, typed: &str) -> Result<User> {
        let typed = typed.to_owned();
        self.run(move |connection| {
            let id = id_of(connection, &typed)?;
            find(connection, id)
        })
        .await
    }

    /// Changes a user. A new password or role, or being deactivated, ends the sessions, save `keeping`.
    ///
    /// # Errors
    /// When there is no such user, or what is given cannot be used.
    pub async fn change_user(
        &self,
        id: Uuid,
        change: UserChange,
        keeping: Option<Uuid>,
    ) -> Result<User> {
        let before = self.user(id).await?;
        let display_name = change.display_name.as_deref();
        let display_name = display_name
            .map(|text| name::text("display_name", text))
            .transpose()?;
        if display_name.as_deref() == Some("") {
            return Err(Error::Invalid("`display_name` is empty".to_owned()));
        }
        let new_email = change
            .email
            .as_ref()
            .map(|given| email(given.as_deref()))
            .transpose()?;
        let subject = change.subject;
        if let Some(subject) = &subject {
            subject.check()?;
            if before.kind == UserKind::Service {
                return Err(no_subject());
            }
        }
        let is_local = before.source == LOCAL && subject.is_none();
        if !is_local && change.role.is_some_and(|role| role != before.role) {
            return Err(Error::Invalid(format!(
                "what `{}` may do comes from the identity provider at each sign-in; change the groups there, or which \
                 groups give a role in `auth.oidc`",
                before.name
            )));
        }
        let password = match change.password {
            Some(_) if before.kind == UserKind::Service => return Err(no_password()),
            Some(_) if !is_local => return Err(no_local_password()),
            Some(password) => {
                password.check(&before.name)?;
                Some(self.hash_password(password).await?)
            }
            None => None,
        };
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            // Anew, within the transaction: another change may have come between.
            let before = find(&transaction, id)?;
            transaction.execute(
                "UPDATE users SET display_name = ?2, email = ?3, role = ?4, active = ?5,
                   password = COALESCE(?6, password), updated_at = ?7 WHERE id = ?1",
                params![
                    id.to_string(),
                    display_name.unwrap_or(before.display_name),
                    new_email.unwrap_or(before.email),
                    change.role.unwrap_or(before.role).as_str(),
                    change.active.unwrap_or(before.active),
                    password,
                    Timestamp::now().to_string(),
                ],
            )?;
            if let Some(subject) = &subject {
                require_unlinked(&transaction, &subject.issuer, &subject.id)?;
                // A password beside it would be a way in that the provider cannot close.
                transaction.execute(
                    "UPDATE users SET source = ?2, external_id = ?3, password = NULL WHERE id = ?1",
                    params![id.to_string(), subject.issuer, subject.id],
                )?;
                super::totp::remove(&transaction, id)?;
            }
            let user = find(&transaction, id)?;
            let signs_in_anew = password.is_some() || subject.is_some();
            if signs_in_anew || user.role != before.role || !user.active {
                sessions::revoke_all(&transaction, id, keeping)?;
            }
            transaction.commit()?;
            Ok(user)
        })
        .await
    }

    /// Deletes a user with sessions, keys and memberships; the name is never given away again. Returns the ids of the
    /// keys it had.
    ///
    /// # Errors
    /// [`Error::UnknownUser`].
    pub async fn delete_user(&self, id: Uuid) -> Result<Vec<Uuid>> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let user = find(&transaction, id)?;
            let keys = super::keys::ids_of(&transaction, id)?;
            transaction.execute("INSERT INTO retired_names (name) VALUES (?1)", [&user.name])?;
            transaction.execute("DELETE FROM users WHERE id = ?1", [id.to_string()])?;
            transaction.commit()?;
            // The log still has what was deleted.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(keys)
        })
        .await
    }

    /// Returns the name of a deleted user, however it is typed, if there was one.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn retired(&self, typed: &str) -> Result<Option<String>> {
        let Ok(login) = name::user(typed) else {
            return Ok(None);
        };
        self.run(move |connection| {
            Ok(connection
                .query_row(
                    "SELECT name FROM retired_names WHERE name = ?1",
                    [login],
                    |row| row.get(0),
                )
                .optional()?)
        })
        .await
    }

    /// Returns the ids of a user's API keys.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn key_ids(&self, id: Uuid) -> Result<Vec<Uuid>> {
        self.run(move |connection| super::keys::ids_of(connection, id))
            .await
    }

    /// Returns what is kept of a user.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn held(&self, id: Uuid) -> Result<Held> {
        self.run(move |connection| {
            let count = |table: &str| {
                let sql = format!("SELECT count(*) FROM {table} WHERE user = ?1");
                connection.query_row(&sql, [id.to_string()], |row| row.get(0))
            };
            Ok(Held {
                sessions: count("sessions")?,
                keys: count("api_keys")?,
                groups: count("memberships")?,
            })
        })
        .await
    }

    /// Removes a user with all that is kept of them, the name included, which can then be given away again: no access list
    /// may name it any more. Doing it again changes nothing.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn forget_user(&self, id: Option<Uuid>, login: &str) -> Result<()> {
        let login = login.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            if let Some(id) = id {
                transaction.execute("DELETE FROM users WHERE id = ?1", [id.to_string()])?;
            }
            transaction.execute("DELETE FROM retired_names WHERE name = ?1", [login])?;
            Ok(transaction.commit()?)
        })
        .await
    }

    /// Writes the file anew, so that no page of it has anything that was deleted, and empties its log.
    ///
    /// # Errors
    /// When the file fails, or something reads from it for a minute.
    pub async fn compact(&self) -> Result<()> {
        self.run(|connection| {
            crate::conversations::forget::compact(connection).map_err(Error::Store)
        })
        .await
    }

    /// Returns whether this is a user's password.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn is_password(&self, id: Uuid, password: Password) -> Result<bool> {
        let stored = self
            .run(move |connection| stored_password(connection, id))
            .await?;
        self.verify_password(password, stored).await
    }
}

/// Returns a user, or that there is none.
pub(super) fn find(connection: &Connection, id: Uuid) -> Result<User> {
    let sql = format!("SELECT {COLUMNS} FROM users u WHERE u.id = ?1");
    let found = connection
        .prepare_cached(&sql)?
        .query_row([id.to_string()], read)
        .optional()?;
    let mut user = found.ok_or_else(|| Error::UnknownUser(id.to_string()))?;
    user.groups = super::groups::of(connection, id)?;
    Ok(user)
}

/// Returns the id of a login, however it is typed.
pub(super) fn id_of(connection: &Connection, typed: &str) -> Result<Uuid> {
    let unknown = || Error::UnknownUser(typed.to_owned());
    let login = name::user(typed).map_err(|_| unknown())?;
    let id = connection
        .prepare_cached("SELECT id FROM users WHERE name = ?1")?
        .query_row([login], |row| parsed(row, "id"))
        .optional()?;
    id.ok_or_else(unknown)
}

/// Returns the stored password of a user who may sign in with one now.
pub(super) fn stored_password(connection: &Connection, id: Uuid) -> Result<Option<String>> {
    let stored: Option<Option<String>> = connection
        .prepare_cached("SELECT password FROM users WHERE id = ?1 AND active = 1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    Ok(stored.flatten())
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: parsed(row, "id")?,
        kind: parsed(row, "kind")?,
        name: row.get("name")?,
        display_name: row.get("display_name")?,
        email: row.get("email")?,
        role: parsed(row, "role")?,
        active: row.get("active")?,
        source: row.get("source")?,
        has_totp: row.get("has_totp")?,
        groups: Vec::new(),
        created_at: parsed(row, "created_at")?,
        updated_at: parsed(row, "updated_at")?,
        last_sign_in_at: parsed_opt(row, "last_sign_in_at")?,
        tokens_today: spending::today(row)?,
    })
}

/// Returns an address as it is stored. Whether mail arrives there only mail can tell.
pub(super) fn email(given: Option<&str>) -> Result<Option<String>> {
    let Some(given) = given else {
        return Ok(None);
    };
    let text = name::text("email", given)?;
    if text.is_empty() {
        return Ok(None);
    }
    let parts = text.split_once('@');
    let is_address = parts.is_some_and(|(local, host)| !local.is_empty() && !host.is_empty());
    if !is_address || text.contains(char::is_whitespace) {
        return Err(Error::Invalid(format!(
            "`{text}` is no e-mail address; it looks like name@example.com"
        )));
    }
    Ok(Some(text))
}

fn no_password() -> Error {
    Error::Invalid("a service has no password; make an API key for it".to_owned())
}

fn no_local_password() -> Error {
    Error::Invalid(
        "who signs in at the identity provider has no password here; give either `password` or `subject`"
            .to_owned(),
    )
}

fn no_subject() -> Error {
    Error::Invalid("a service does not sign in at the identity provider".to_owned())
}

/// Fails if someone else is known by this `sub`.
fn require_unlinked(connection: &Connection, issuer: &str, subject: &str) -> Result<()> {
    let other: Option<String> = connection
        .prepare_cached("SELECT name FROM users WHERE source = ?1 AND external_id = ?2")?
        .query_row([issuer, subject], |row| row.get(0))
        .optional()?;
    match other {
        None => Ok(()),
        Some(name) => Err(Error::Invalid(format!(
            "the identity provider's `{subject}` is the user `{name}` here; a person is one user"
        ))),
    }
}
