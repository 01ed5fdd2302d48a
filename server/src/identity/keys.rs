//! API keys: how programs sign in.

use super::{
    Error, Identity, Result, Role, User, hash, is_due, name, parsed, parsed_opt, spending, users,
};
use crate::auth::new_key;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use secrecy::{ExposeSecret as _, SecretString};
use std::num::{NonZeroU32, NonZeroU64};
use uuid::Uuid;

/// How much of a key is shown in lists: enough to tell keys apart, and 30 of its 256 random bits.
const PREFIX_CHARS: usize = "kura_".len() + 5;
/// Most collections that a key may be limited to.
const MAX_COLLECTIONS: usize = 100;
/// Largest budget: what every client's numbers hold.
const MAX_TOKENS: u64 = (1 << 53) - 1;

/// An API key as it can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub user: Uuid,
    /// What it is for.
    pub name: String,
    /// How it begins.
    pub prefix: String,
    /// It allows no more than this role; absent: all that its user may.
    pub role: Option<Role>,
    /// It reaches these collections only; absent: all that its user may read.
    pub collections: Option<Vec<String>>,
    /// Requests a minute, in place of those of the configuration.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens of models a day, in place of those of the configuration.
    pub tokens_per_day: Option<NonZeroU64>,
    /// Tokens spent today, in UTC.
    pub tokens_today: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A key to make.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Whose.
    pub user: Uuid,
    /// What it is for.
    pub name: String,
    /// No more than this role.
    pub role: Option<Role>,
    /// These collections only.
    pub collections: Option<Vec<String>>,
    /// Requests a minute, in place of those of the configuration.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens of models a day, in place of those of the configuration.
    pub tokens_per_day: Option<NonZeroU64>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

impl ApiKey {
    /// Returns whether it is accepted at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

impl Identity {
    /// Makes a key; it can be seen only now.
    ///
    /// # Errors
    /// When there is no such user, or what is given cannot be used.
    pub async fn add_key(&self, new: NewApiKey) -> Result<(ApiKey, SecretString)> {
        let label = name::text("name", &new.name)?;
        if label.is_empty() {
            return Err(Error::Invalid(
                "`name` is empty; say what the key is for".to_owned(),
            ));
        }
        if new.expires_at.is_some_and(|end| end <= Timestamp::now()) {
            return Err(Error::Invalid(
                "`expires_at` has passed; choose a later time".to_owned(),
            ));
        }
        let collections = match &new.collections {
            Some(names) if !(1..=MAX_COLLECTIONS).contains(&names.len()) => {
                return Err(Error::Invalid(format!(
                    "`collections` has {} names; use 1 to {MAX_COLLECTIONS}, or leave it out for all",
                    names.len()
                )));
            }
            Some(names) => {
                Some(serde_json::to_string(names).map_err(|error| Error::Store(error.into()))?)
            }
            None => None,
        };
        if new.tokens_per_day.is_some_and(|n| n.get() > MAX_TOKENS) {
            return Err(Error::Invalid(format!(
                "`tokens_per_day` is more than {MAX_TOKENS}; leave it out for the limit that users have"
            )));
        }
        let key = new_key();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            users::find(&transaction, new.user)?;
            let id = Uuid::now_v7();
            transaction.execute(
                "INSERT INTO api_keys (id, user, name, key, prefix, role, collections, created_at, expires_at,
                 requests_per_minute, tokens_per_day)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    id.to_string(),
                    new.user.to_string(),
                    label,
                    hash(key.expose_secret()),
                    prefix(&key),
                    new.role.map(Role::as_str),
                    collections,
                    Timestamp::now().to_string(),
                    new.expires_at.map(|end| end.to_string()),
                    new.requests_per_minute.map(NonZeroU32::get),
                    new.tokens_per_day.map(NonZeroU64::get),
                ],
            )?;
            let made = find(&transaction, id)?;
            transaction.commit()?;
            Ok((made, key))
        })
        .await
    }

    /// Returns the keys of a user, or all, the latest first, those after `after`.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn keys(
        &self,
        user: Option<Uuid>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<ApiKey>> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT * FROM api_keys WHERE (?1 IS NULL OR user = ?1) AND (?2 IS NULL OR id < ?2)
                 ORDER BY id DESC LIMIT ?3",
            )?;
            let text = |id: Option<Uuid>| id.map(|id| id.to_string());
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![text(user), text(after), limit], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Returns a key.
    ///
    /// # Errors
    /// [`Error::UnknownKey`].
    pub async fn key(&self, id: Uuid) -> Result<ApiKey> {
        self.run(move |connection| find(connection, id)).await
    }

    /// Puts a new key in place of the one of this id, which is void at once. Its end and its limits stay.
    ///
    /// # Errors
    /// When there is none, or it has ended.
    pub async fn rotate_key(&self, id: Uuid) -> Result<(ApiKey, SecretString)> {
        let key = new_key();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            if !find(&transaction, id)?.holds(Timestamp::now()) {
                return Err(Error::Invalid(format!(
                    "the API key `{id}` was revoked or has expired; make a new one"
                )));
            }
            transaction.execute(
                "UPDATE api_keys SET key = ?2, prefix = ?3, last_used_at = NULL WHERE id = ?1",
                params![id.to_string(), hash(key.expose_secret()), prefix(&key)],
            )?;
            let rotated = find(&transaction, id)?;
            transaction.commit()?;
            Ok((rotated, key))
        })
        .await
    }

    /// Revokes a key; from the next request on it is void. It stays in lists.
    ///
    /// # Errors
    /// [`Error::UnknownKey`].
    pub async fn revoke_key(&self, id: Uuid) -> Result<()> {
        self.run(move |connection| {
            find(connection, id)?;
            connection.execute(
                "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, ?2) WHERE id = ?1",
                params![id.to_string(), Timestamp::now().to_string()],
            )?;
            Ok(())
        })
        .await
    }

    /// Returns the key that this is, with its user, if both hold at `now`.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn key_in_use(&self, key: &str, now: Timestamp) -> Result<Option<(ApiKey, User)>> {
        let key = hash(key);
        self.run(move |connection| {
            let found = connection
                .prepare_cached("SELECT * FROM api_keys WHERE key = ?1")?
                .query_row(params![key], read)
                .optional()?;
            let Some((found, user)) = holding(connection, found, now)? else {
                return Ok(None);
            };
            if is_due(found.last_used_at, now) {
                let noted = connection.execute(
                    "UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1",
                    params![found.id.to_string(), now.to_string()],
                );
                if let Err(error) = noted {
                    // On a full disk programs can still read.
                    tracing::warn!("cannot note that an API key is in use: {error}");
                }
            }
            Ok(Some((found, user)))
        })
        .await
    }

    /// Returns a key with its user, if both hold at `now`. The key does not count as used by that.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn key_at(&self, id: Uuid, now: Timestamp) -> Result<Option<(ApiKey, User)>> {
        self.run(move |connection| {
            let found = connection
                .prepare_cached("SELECT * FROM api_keys WHERE id = ?1")?
                .query_row([id.to_string()], read)
                .optional()?;
            holding(connection, found, now)
        })
        .await
    }
}

/// Returns the key that was found with its user, unless it is void or the user may not sign in any more.
fn holding(
    connection: &Connection,
    found: Option<ApiKey>,
    now: Timestamp,
) -> Result<Option<(ApiKey, User)>> {
    let Some(key) = found.filter(|key| key.holds(now)) else {
        return Ok(None);
    };
    let user = users::find(connection, key.user)?;
    Ok(user.active.then_some((key, user)))
}

/// Returns the ids of a user's keys.
pub(super) fn ids_of(connection: &Connection, user: Uuid) -> Result<Vec<Uuid>> {
    let mut statement = connection.prepare_cached("SELECT id FROM api_keys WHERE user = ?1")?;
    let rows = statement.query_map([user.to_string()], |row| parsed(row, "id"))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn find(connection: &Connection, id: Uuid) -> Result<ApiKey> {
    let found = connection
        .prepare_cached("SELECT * FROM api_keys WHERE id = ?1")?
        .query_row([id.to_string()], read)
        .optional()?;
    found.ok_or_else(|| Error::UnknownKey(id.to_string()))
}

fn prefix(key: &SecretString) -> String {
    key.expose_secret().chars().take(PREFIX_CHARS).collect()
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<ApiKey> {
    let collections: Option<String> = row.get("collections")?;
    let index = row.as_ref().column_index("collections")?;
    let collections = collections
        .map(|json| serde_json::from_str(&json))
        .transpose();
    let collections = collections.map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            index,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })?;
    Ok(ApiKey {
        id: parsed(row, "id")?,
        user: parsed(row, "user")?,
        name: row.get("name")?,
        prefix: row.get("prefix")?,
        role: parsed_opt(row, "role")?,
        collections,
        requests_per_minute: row
            .get::<_, Option<u32>>("requests_per_minute")?
            .and_then(NonZeroU32::new),
        tokens_per_day: row
            .get::<_, Option<u64>>("tokens_per_day")?
            .and_then(NonZeroU64::new),
        tokens_today: spending::today(row)?,
        created_at: parsed(row, "created_at")?,
        expires_at: parsed_opt(row, "expires_at")?,
        last_used_at: parsed_opt(row, "last_used_at")?,
        revoked_at: parsed_opt(row, "revoked_at")?,
    })
}
