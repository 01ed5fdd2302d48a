//! People whom an identity provider vouches for.
//!
//! Who someone is, only the provider's `(issuer, sub)` tells: never a name or an address, which the provider may give to
//! somebody else tomorrow.

use super::provisioning::{self, PROVISIONED};
use super::users::{self, LOCAL};
use super::{Error, Identity, Lifetimes, Result, Role, Session, User, groups, name, sessions};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use secrecy::SecretString;
use uuid::Uuid;

/// Whom a provider sent, and what it says of them.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The provider.
    pub issuer: String,
    /// The person there.
    pub subject: String,
    /// The login, should a user have to be made; `None` if there is no claim of that name.
    pub login: Option<String>,
    /// For people to read.
    pub display_name: Option<String>,
    /// Where to write to.
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Groups of kura that the operator's mapping gives.
    pub mapped_groups: Vec<String>,
    /// Groups that are the provider's own here, by their names in kura.
    pub own_groups: Vec<String>,
    /// The provider's name of its session.
    pub sid: Option<String>,
    /// What is shown to the provider on signing out.
    pub id_token: Option<String>,
    /// Whether who is not known yet becomes a user.
    pub create: bool,
}

/// What an arrival led to.
#[derive(Debug)]
pub enum Arrived {
    /// A session.
    Session {
        /// What the cookie holds; it is not kept.
        token: SecretString,
        /// The session.
        session: Session,
        /// Whose.
        user: Box<User>,
        /// Whether the user was made just now.
        is_new: bool,
        /// Groups that the person was not put into, because groups of these names were made in kura.
        left_out: Vec<String>,
    },
    /// Not known, and nobody is made a user by signing in.
    Unknown,
    /// There is no claim to make a login from, or it cannot be one; why.
    NoLogin(String),
    /// Another user is, or was, called so.
    NameTaken(String),
    /// This user is disabled.
    Disabled(Uuid),
}

/// Which sessions a provider ends.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The provider.
    pub issuer: String,
    /// The order's own id.
    pub jti: String,
    /// When the order would be refused for its age.
    pub keep_until: Timestamp,
    /// All sessions of this person.
    pub subject: Option<String>,
    /// Or only this one of the provider's.
    pub sid: Option<String>,
}

impl Identity {
    /// Signs in whom a provider vouches for: finds or makes the user, brings role and groups up to date, begins a session.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn arrive(
        &self,
        arrival: Arrival,
        user_agent: &str,
        lifetimes: Lifetimes,
    ) -> Result<Arrived> {
        let user_agent = sessions::agent(user_agent);
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let now = Timestamp::now();
            let (id, is_new) = match known(&transaction, &arrival.issuer, &arrival.subject)? {
                Some(id) => (id, false),
                None => match found_or_made(&transaction, &arrival, now)? {
                    Ok(found) => found,
                    Err(refused) => return Ok(refused),
                },
            };
            if !users::find(&transaction, id)?.active {
                return Ok(Arrived::Disabled(id));
            }
            refresh(&transaction, id, &arrival, now)?;
            let left_out = regroup(&transaction, id, &arrival, now)?;
            let (token, session) = sessions::begin(&transaction, id, user_agent, now)?;
            transaction.execute(
                "UPDATE sessions SET issuer = ?2, sid = ?3, id_token = ?4 WHERE id = ?1",
                params![
                    session.id.to_string(),
                    arrival.issuer,
                    arrival.sid,
                    arrival.id_token
                ],
            )?;
            sessions::note_sign_in(&transaction, id, lifetimes, now)?;
            let user = Box::new(users::find(&transaction, id)?);
            transaction.commit()?;
            Ok(Arrived::Session {
                token,
                session,
                user,
                is_new,
                left_out,
            })
        })
        .await
    }

    /// Ends sessions because their provider says so; returns whose, and how many. `None`: this order was used before.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn end_by_provider(&self, ending: Ending) -> Result<Option<(Option<Uuid>, usize)>> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let now = Timestamp::now();
            transaction.execute(
                "DELETE FROM logout_tokens WHERE keep_until < ?1",
                [now.to_string()],
            )?;
            let n = transaction.execute(
                "INSERT OR IGNORE INTO logout_tokens (issuer, jti, keep_until) VALUES (?1, ?2, ?3)",
                params![ending.issuer, ending.jti, ending.keep_until.to_string()],
            )?;
            if n == 0 {
                return Ok(None);
            }
            let user = match &ending.subject {
                Some(subject) => known(&transaction, &ending.issuer, subject)?,
                None => None,
            };
            // With both it is the session of that name, if it is that person's.
            let is_nobody = ending.subject.is_some() && user.is_none();
            let n = if is_nobody {
                0
            } else {
                transaction.execute(
                    "UPDATE sessions SET revoked_at = ?1, id_token = NULL
                     WHERE issuer = ?2 AND revoked_at IS NULL
                       AND (?3 IS NULL OR user = ?3) AND (?4 IS NULL OR sid = ?4)",
                    params![
                        now.to_string(),
                        ending.issuer,
                        user.map(|id| id.to_string()),
                        ending.sid
                    ],
                )?
            };
            transaction.commit()?;
            Ok(Some((user, n)))
        })
        .await
    }

    /// Returns what a session's provider gave for signing out there: `None` for a session that began with a password, and
    /// within it `None` where the provider's token was too large to keep.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn provider_of_session(&self, id: Uuid) -> Result<Option<(String, Option<String>)>> {
        self.run(move |connection| {
            let found: Option<(Option<String>, Option<String>)> = connection
                .prepare_cached("SELECT issuer, id_token FROM sessions WHERE id = ?1")?
                .query_row([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            Ok(found.and_then(|(issuer, token)| Some((issuer?, token))))
        })
        .await
    }
}

fn known(connection: &Connection, issuer: &str, subject: &str) -> Result<Option<Uuid>> {
    let id = connection
        .prepare_cached("SELECT id FROM users WHERE source = ?1 AND external_id = ?2")?
        .query_row([issuer, subject], |row| super::parsed(row, "id"))
        .optional()?;
    Ok(id)
}

/// Returns the user whom the directory has announced and who has not come before, or else makes one; says whether it did.
fn found_or_made(
    transaction: &Transaction<'_>,
    arrival: &Arrival,
    now: Timestamp,
) -> Result<std::result::Result<(Uuid, bool), Arrived>> {
    let login = arrival.login.as_deref().unwrap_or_default();
    if let Some(id) = provisioning::awaited(transaction, login)? {
        transaction.execute(
            "UPDATE users SET source = ?2, external_id = ?3 WHERE id = ?1",
            params![id.to_string(), arrival.issuer, arrival.subject],
        )?;
        return Ok(Ok((id, false)));
    }
    if !arrival.create {
        return Ok(Err(Arrived::Unknown));
    }
    Ok(make(transaction, arrival, now)?.map(|id| (id, true)))
}

/// Makes a user, or says why it cannot be.
fn make(
    transaction: &Transaction<'_>,
    arrival: &Arrival,
    now: Timestamp,
) -> Result<std::result::Result<Uuid, Arrived>> {
    let Some(given) = &arrival.login else {
        let why = "the provider does not say what to call this person".to_owned();
        return Ok(Err(Arrived::NoLogin(why)));
    };
    let login = match name::user(given) {
        Ok(login) => login,
        Err(Error::Invalid(why)) => return Ok(Err(Arrived::NoLogin(why))),
        Err(error) => return Err(error),
    };
    let taken: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM users WHERE ?1 IN (name, user_name))
             OR EXISTS (SELECT 1 FROM retired_names WHERE name = ?1)",
        [&login],
        |row| row.get(0),
    )?;
    if taken {
        return Ok(Err(Arrived::NameTaken(login)));
    }
    let id = Uuid::now_v7();
    transaction.execute(
        "INSERT INTO users (id, kind, name, display_name, role, active, source, external_id, created_at, updated_at)
         VALUES (?1, 'person', ?2, ?2, ?3, 1, ?4, ?5, ?6, ?6)",
        params![
            id.to_string(),
            login,
            arrival.role.as_str(),
            arrival.issuer,
            arrival.subject,
            now.to_string()
        ],
    )?;
    Ok(Ok(id))
}

/// Takes over what the provider says now. Another role ends the other sessions.
fn refresh(
    transaction: &Transaction<'_>,
    id: Uuid,
    arrival: &Arrival,
    now: Timestamp,
) -> Result<()> {
    let before = users::find(transaction, id)?;
    // What cannot be stored is no reason to keep someone out.
    let display_name = arrival.display_name.as_deref();
    let display_name = display_name
        .and_then(|given| name::text("display_name", given).ok())
        .filter(|given| !given.is_empty())
        .unwrap_or(before.display_name);
    let email = arrival.email.as_deref();
    let email = email.and_then(|given| users::email(Some(given)).ok().flatten());
    let email = email.or(before.email);
    transaction.execute(
        "UPDATE users SET display_name = ?2, email = ?3, role = ?4, updated_at = ?5
         WHERE id = ?1 AND (display_name, email, role) IS NOT (?2, ?3, ?4)",
        params![
            id.to_string(),
            display_name,
            email,
            arrival.role.as_str(),
            now.to_string()
        ],
    )?;
    if before.role != arrival.role {
        sessions::revoke_all(transaction, id, None)?;
    }
    Ok(())
}

/// Makes someone a member of the groups that the provider says, and of no others that it said before. What an
/// administrator or a directory gave stays. Returns the provider's groups whose names are those of groups that were made in kura.
fn regroup(
    transaction: &Transaction<'_>,
    id: Uuid,
    arrival: &Arrival,
    now: Timestamp,
) -> Result<Vec<String>> {
    transaction.execute(
        "DELETE FROM memberships WHERE user = ?1 AND source NOT IN (?2, ?3)",
        params![id.to_string(), LOCAL, PROVISIONED],
    )?;
    let mut left_out = Vec::new();
    for group in &arrival.own_groups {
        let group = ensure(transaction, group, &arrival.issuer, now)?;
        if group.source == arrival.issuer {
            groups::join(transaction, id, &group.name, &arrival.issuer)?;
        } else {
            left_out.push(group.name);
        }
    }
    for group in &arrival.mapped_groups {
        let group = ensure(transaction, group, &arrival.issuer, now)?;
        groups::join(transaction, id, &group.name, &arrival.issuer)?;
    }
    Ok(left_out)
}

/// Returns a group, which is made if there is none.
fn ensure(
    transaction: &Transaction<'_>,
    group: &str,
    issuer: &str,
    now: Timestamp,
) -> Result<groups::Group> {
    match groups::find(transaction, group) {
        Err(Error::UnknownGroup(_)) => {
            let (name, folded) = name::group(group)?;
            transaction.execute(
                "INSERT INTO groups (name, folded, description, source, created_at) VALUES (?1, ?2, '', ?3, ?4)",
                params![name, folded, issuer, now.to_string()],
            )?;
            groups::find(transaction, &name)
        }
        other => other,
    }
}
