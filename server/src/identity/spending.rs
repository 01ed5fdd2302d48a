//! Tokens that users and keys spend.

use super::{Identity, Result};
use jiff::{Timestamp, tz::TimeZone};
use rusqlite::{Row, params};
use uuid::Uuid;

/// Tokens spent by a user, with a key or in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Who.
    pub user: Uuid,
    /// With which key.
    pub key: Option<Uuid>,
    /// How many.
    pub tokens: u64,
}

impl Identity {
    /// Adds what was spent to what users and keys have spent on the day of `now`.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn spend(&self, spent: Vec<Spent>, now: Timestamp) -> Result<()> {
        self.run(move |connection| {
            let day = day(now);
            let transaction = connection.transaction()?;
            for Spent { user, key, tokens } in spent {
                transaction.execute(
                    "UPDATE users SET tokens = ?3 + CASE WHEN tokens_day = ?2 THEN tokens ELSE 0 END, tokens_day = ?2
                     WHERE id = ?1",
                    params![user.to_string(), day, tokens],
                )?;
                if let Some(key) = key {
                    transaction.execute(
                        "UPDATE api_keys SET tokens = ?3 + CASE WHEN tokens_day = ?2 THEN tokens ELSE 0 END,
                         tokens_day = ?2 WHERE id = ?1",
                        params![key.to_string(), day, tokens],
                    )?;
                }
            }
            Ok(transaction.commit()?)
        })
        .await
    }
}

/// Returns what a row says was spent today.
pub(super) fn today(row: &Row<'_>) -> rusqlite::Result<u64> {
    let on: Option<String> = row.get("tokens_day")?;
    if on.is_some_and(|on| on == day(Timestamp::now())) {
        row.get("tokens")
    } else {
        Ok(0)
    }
}

fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).date().to_string()
}
