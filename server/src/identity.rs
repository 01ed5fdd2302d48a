//! Who there is: users, groups, sessions and API keys, in a SQLite file of their own.
//!
//! Nothing here knows of HTTP. Secrets are kept as what cannot be turned back: passwords as argon2id, session tokens
//! and keys, which have 256 random bits, as SHA-256. Every lookup of a session or key reads the user beside it, so that
//! a change counts from the next request on.

mod groups;
mod keys;
mod name;
mod password;
mod provider;
mod provisioning;
mod sessions;
mod spending;
mod throttle;
mod totp;
mod users;

pub use groups::Group;
pub use keys::{ApiKey, NewApiKey};
pub(crate) use name::is_group as is_group_name;
pub use password::Password;
pub use provider::{Arrival, Arrived, Ending};
pub use provisioning::{GroupProvision, ProvisionedGroup, ProvisionedUser, UserProvision};
pub use sessions::{Lifetimes, Session, SignedIn};
pub use spending::Spent;
pub use throttle::{Attempt, Throttle};
pub use totp::Enrollment;
pub(crate) use users::is_subject;
pub use users::{Held, NewUser, Subject, User, UserChange, UserKind};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use rand::RngCore as _;
use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use utoipa::ToSchema;
use uuid::Uuid;

const MIGRATIONS: &[M<'_>] = &[
    M::up(include_str!("identity/0001_identity.sql")),
    M::up(include_str!("identity/0002_single_sign_on.sql")),
    M::up(include_str!("identity/0003_provisioning.sql")),
    M::up(include_str!("identity/0004_limits.sql")),
];
/// How often it is written down that a session or a key is in use.
const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// What someone may do; `auth::permission` says what that is, operation by operation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = UserRole)]
pub enum Role {
    /// Searches, asks and reads.
    Reader,
    /// A reader who also adds, changes and deletes documents, dictionaries and collections.
    Editor,
    /// Manages users, sources, jobs and evaluations; reads only what a reader in the same groups would.
    Admin,
    /// Looks at settings and the audit log, and at no content.
    Auditor,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Editor, Self::Admin, Self::Auditor];

    /// Returns the name, as it is stored and goes over the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Editor => "editor",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> std::result::Result<Self, UnknownRole> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// There is no such role.
#[derive(Debug, thiserror::Error)]
#[error("unknown role `{0}`")]
pub struct UnknownRole(String);

/// Why something about identities cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such user.
    #[error("there is no user `{0}`")]
    UnknownUser(String),
    /// No such group.
    #[error("there is no group `{0}`")]
    UnknownGroup(String),
    /// No such API key, or none that the caller may see.
    #[error("there is no API key `{0}`")]
    UnknownKey(String),
    /// No such session, or none that the caller may see.
    #[error("there is no session `{0}`")]
    UnknownSession(String),
    /// The name is taken.
    #[error("there is a user `{0}` already")]
    UserExists(String),
    /// The name was another user's.
    #[error(
        "a deleted user was called `{0}`, and documents may still be readable by that name; choose another"
    )]
    NameRetired(String),
    /// The name is taken.
    #[error("there is a group `{0}` already")]
    GroupExists(String),
    /// What was given cannot be used; the message says why and what can.
    #[error("{0}")]
    Invalid(String),
    /// The file failed.
    #[error("the identity store failed")]
    Store(#[source] anyhow::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The store of identities. Clones share one connection.
#[derive(Clone)]
pub struct Identity {
    connection: Arc<Mutex<Connection>>,
    /// Hashing a password takes memory and a core, so few are hashed at a time.
    hashing: Arc<tokio::sync::Semaphore>,
}

impl Identity {
    /// Opens or creates the file in the data directory, bringing an older one to the current form.
    ///
    /// # Errors
    /// When the file cannot be opened or is no such database.
    pub fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let path = identity_file(data_dir);
        create_private(&path)?;
        let mut connection =
            Connection::open(&path).with_context(|| format!("cannot open `{}`", path.display()))?;
        // A command may have it open beside the server.
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What was acknowledged, above all a revocation, survives a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        // Deleted hashes are overwritten with zeros, not only unlinked.
        connection.pragma_update(None, "secure_delete", "ON")?;
        Migrations::from_slice(MIGRATIONS)
            .to_latest(&mut connection)
            .with_context(|| format!("cannot migrate `{}`", path.display()))?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            hashing: Arc::new(tokio::sync::Semaphore::new(password::CONCURRENCY)),
        })
    }

    /// Runs `work` on the blocking pool: SQLite waits for the disk.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = Arc::clone(&self.connection);
        blocking(move || {
            // A panic while the lock was held rolled its transaction back: the connection is sound.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        })
        .await?
    }
}

/// Returns where identities are kept.
#[must_use]
pub fn identity_file(data_dir: &Path) -> PathBuf {
    data_dir.join("auth").join("identity.db")
}

/// Creates an empty file that only its owner may read, in a folder that only its owner may enter. SQLite gives its log
/// the mode of the file.
fn create_private(path: &Path) -> anyhow::Result<()> {
    let dir = path.parent().context("the identity file needs a folder")?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot create `{}`", dir.display()))?;
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(options.options_mut(), 0o600);
    let file = options.open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Store(error.into()))
}

/// Returns a secret with 256 random bits, in URL-safe base64.
fn new_secret() -> SecretString {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes).into()
}

/// Returns what is stored of a secret with so many random bits that nobody guesses it.
fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn is_due(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| now.duration_since(last) >= SEEN_EVERY)
}

/// Returns a column as what it stands for.
fn parsed<T>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(column)?;
    convert(row, column, &text)
}

/// The same for a column that may be NULL.
fn parsed_opt<T>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<T>>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: Option<String> = row.get(column)?;
    text.map(|text| convert(row, column, &text)).transpose()
}

fn convert<T>(row: &rusqlite::Row<'_>, column: &str, text: &str) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let index = row.as_ref().column_index(column)?;
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(
            index,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

/// Returns whether SQLite refused a row because there is one like it.
fn is_duplicate(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| error.code == rusqlite::ErrorCode::ConstraintViolation)
}

fn user_id(text: &str) -> Result<Uuid> {
    text.parse()
        .map_err(|_| Error::UnknownUser(text.to_owned()))
}
#[cfg(test)]
mod tests;
