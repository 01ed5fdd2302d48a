//! Sessions: what signing in gives, until it ends.

use super::{
    Error, Identity, Password, Result, SEEN_EVERY, User, hash, new_secret, parsed, totp, users,
};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

/// Longest browser name that is kept, in characters.
const MAX_AGENT_CHARS: usize = 200;

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Without a request.
    pub idle: SignedDuration,
    /// In all.
    pub max: SignedDuration,
}

/// A session of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id; the token is not kept.
    pub id: Uuid,
    /// Whose.
    pub user: Uuid,
    /// What the browser calls itself.
    pub user_agent: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub seen_at: Timestamp,
}

/// What signing in led to.
#[derive(Debug)]
pub enum SignedIn {
    /// A session.
    Session {
        /// What the cookie holds; it is not kept.
        token: SecretString,
        /// The session.
        session: Session,
        /// Whose.
        user: Box<User>,
    },
    /// Name, password or code are wrong, or the user may not sign in. Which, is not told. The audit log learns whose
    /// the name is, if it is anyone's.
    Refused(Option<Uuid>),
    /// The password of this user is right, and a code is missing.
    CodeRequired(Uuid),
}

impl Lifetimes {
    /// Returns when a session ends if it is not used again.
    #[must_use]
    pub fn end(&self, session: &Session) -> Timestamp {
        let idle = session.seen_at.saturating_add(self.idle);
        let max = session.created_at.saturating_add(self.max);
        match (idle, max) {
            (Ok(idle), Ok(max)) => idle.min(max),
            // Only for lifetimes of thousands of years; an end that cannot be told is now.
            _ => session.seen_at,
        }
    }

    /// How often it is written down that a session is in use.
    fn resolution(&self) -> SignedDuration {
        SEEN_EVERY.min(self.idle / 10)
    }
}

impl Identity {
    /// Signs in with name, password and, where one is enrolled, a second factor.
    ///
    /// It takes about as long for a name that nobody has.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn sign_in(
        &self,
        name: &str,
        password: Password,
        code: Option<String>,
        user_agent: &str,
        lifetimes: Lifetimes,
    ) -> Result<SignedIn> {
        let typed = name.to_owned();
        let found = self
            .run(move |connection| match users::id_of(connection, &typed) {
                Ok(id) => Ok(Some((id, users::stored_password(connection, id)?))),
                Err(Error::UnknownUser(_)) => Ok(None),
                Err(error) => Err(error),
            })
            .await?;
        let (id, stored) = found.unzip();
        let stored = stored.flatten();
        let is_right = self.verify_password(password, stored.clone()).await?;
        let (Some(id), true) = (id, is_right) else {
            return Ok(SignedIn::Refused(id));
        };
        let user_agent = agent(user_agent);
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            // While the password was hashed, it may have been changed or the user deactivated.
            if users::stored_password(&transaction, id)? != stored {
                return Ok(SignedIn::Refused(Some(id)));
            }
            let now = Timestamp::now();
            match totp::check(&transaction, id, code.as_deref(), now)? {
                totp::Checked::Fine => {}
                totp::Checked::Missing => return Ok(SignedIn::CodeRequired(id)),
                totp::Checked::Wrong => return Ok(SignedIn::Refused(Some(id))),
            }
            let (token, session) = begin(&transaction, id, user_agent, now)?;
            note_sign_in(&transaction, id, lifetimes, now)?;
            let user = Box::new(users::find(&transaction, id)?);
            transaction.commit()?;
            Ok(SignedIn::Session {
                token,
                session,
                user,
            })
        })
        .await
    }

    /// Returns the session of a token with its user, if both hold at `now`.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn session(
        &self,
        token: &str,
        lifetimes: Lifetimes,
        now: Timestamp,
    ) -> Result<Option<(Session, User)>> {
        let token = hash(token);
        self.run(move |connection| {
            let found = connection
                .prepare_cached("SELECT * FROM sessions WHERE token = ?1 AND revoked_at IS NULL")?
                .query_row(params![token], read)
                .optional()?;
            let Some((session, user)) = holding(connection, found, lifetimes, now)? else {
                return Ok(None);
            };
            if now.duration_since(session.seen_at) >= lifetimes.resolution() {
                let seen = connection.execute(
                    "UPDATE sessions SET seen_at = ?2 WHERE id = ?1",
                    params![session.id.to_string(), now.to_string()],
                );
                if let Err(error) = seen {
                    // On a full disk people can still read.
                    tracing::warn!("cannot note that a session is in use: {error}");
                }
            }
            Ok(Some((session, user)))
        })
        .await
    }

    /// Returns a session with its user, if both hold at `now`. The session does not count as used by that.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn session_at(
        &self,
        id: Uuid,
        lifetimes: Lifetimes,
        now: Timestamp,
    ) -> Result<Option<(Session, User)>> {
        self.run(move |connection| {
            let found = connection
                .prepare_cached("SELECT * FROM sessions WHERE id = ?1 AND revoked_at IS NULL")?
                .query_row([id.to_string()], read)
                .optional()?;
            holding(connection, found, lifetimes, now)
        })
        .await
    }

    /// Returns the sessions of a user that have not ended, the latest first.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn sessions(&self, user: Uuid, lifetimes: Lifetimes) -> Result<Vec<Session>> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT * FROM sessions WHERE user = ?1 AND revoked_at IS NULL ORDER BY id DESC",
            )?;
            let rows = statement.query_map([user.to_string()], read)?;
            let now = Timestamp::now();
            let mut sessions = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            sessions.retain(|session| now < lifetimes.end(session));
            Ok(sessions)
        })
        .await
    }

    /// Returns whose session this is.
    ///
    /// # Errors
    /// [`Error::UnknownSession`], also when it was revoked.
    pub async fn session_owner(&self, id: Uuid) -> Result<Uuid> {
        self.run(move |connection| {
            let owner = connection
                .prepare_cached("SELECT user FROM sessions WHERE id = ?1 AND revoked_at IS NULL")?
                .query_row([id.to_string()], |row| parsed(row, "user"))
                .optional()?;
            owner.ok_or_else(|| Error::UnknownSession(id.to_string()))
        })
        .await
    }

    /// Ends a session; from the next request on it is void.
    ///
    /// # Errors
    /// [`Error::UnknownSession`].
    pub async fn revoke_session(&self, id: Uuid) -> Result<()> {
        self.run(move |connection| {
            let n = connection.execute(
                "UPDATE sessions SET revoked_at = ?2, id_token = NULL WHERE id = ?1 AND revoked_at IS NULL",
                params![id.to_string(), Timestamp::now().to_string()],
            )?;
            if n == 0 {
                return Err(Error::UnknownSession(id.to_string()));
            }
            Ok(())
        })
        .await
    }

    /// Ends all sessions of a user, save `keeping`; returns how many.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn revoke_sessions(&self, user: Uuid, keeping: Option<Uuid>) -> Result<usize> {
        self.run(move |connection| revoke_all(connection, user, keeping))
            .await
    }
}

/// Returns the session that was found with its user, unless it has ended or the user may not sign in any more.
fn holding(
    connection: &Connection,
    found: Option<Session>,
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<Option<(Session, User)>> {
    let Some(session) = found.filter(|session| now < lifetimes.end(session)) else {
        return Ok(None);
    };
    let user = users::find(connection, session.user)?;
    Ok(user.active.then_some((session, user)))
}

/// Ends all sessions of a user, save `keeping`; returns how many.
pub(super) fn revoke_all(
    connection: &Connection,
    user: Uuid,
    keeping: Option<Uuid>,
) -> Result<usize> {
    Ok(connection.execute(
        "UPDATE sessions SET revoked_at = ?2, id_token = NULL
         WHERE user = ?1 AND revoked_at IS NULL AND id IS NOT ?3",
        params![
            user.to_string(),
            Timestamp::now().to_string(),
            keeping.map(|id| id.to_string())
        ],
    )?)
}

/// Returns a browser's name as it is kept.
pub(super) fn agent(given: &str) -> String {
    given
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_AGENT_CHARS)
        .collect()
}

/// Begins a session.
pub(super) fn begin(
    connection: &Connection,
    user: Uuid,
    user_agent: String,
    now: Timestamp,
) -> Result<(SecretString, Session)> {
    let token = new_secret();
    let session = Session {
        id: Uuid::now_v7(),
        user,
        user_agent,
        created_at: now,
        seen_at: now,
    };
    connection.execute(
        "INSERT INTO sessions (id, user, token, user_agent, created_at, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        params![
            session.id.to_string(),
            user.to_string(),
            hash(token.expose_secret()),
            session.user_agent,
            now.to_string()
        ],
    )?;
    Ok((token, session))
}

/// Notes that someone signed in.
pub(super) fn note_sign_in(
    connection: &Connection,
    user: Uuid,
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<()> {
    connection.execute(
        "UPDATE users SET last_sign_in_at = ?2 WHERE id = ?1",
        params![user.to_string(), now.to_string()],
    )?;
    forget_old(connection, lifetimes, now)
}

/// Deletes sessions that ended long ago.
fn forget_old(connection: &Connection, lifetimes: Lifetimes, now: Timestamp) -> Result<()> {
    let age = lifetimes.max.saturating_add(SignedDuration::from_hours(24));
    if let Ok(cutoff) = now.checked_sub(age) {
        connection.execute(
            "DELETE FROM sessions WHERE created_at < ?1",
            [cutoff.to_string()],
        )?;
    }
    Ok(())
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: parsed(row, "id")?,
        user: parsed(row, "user")?,
        user_agent: row.get("user_agent")?,
        created_at: parsed(row, "created_at")?,
        seen_at: parsed(row, "seen_at")?,
    })
}
