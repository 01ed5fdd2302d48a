//! What `kura users`, `kura groups` and `kura keys` share: the server that runs, or the file where none does.

use super::backend::{Backend, audited, blocking};
use crate::app;
use crate::audit::Audited;
use crate::client::Client;
use crate::config::Config;
use crate::conversations::Conversations;
use crate::identity::{self, Identity, Password};
use crate::routes::api_keys::{self, ApiKey, MadeApiKey, NewApiKey};
use crate::routes::groups::{self, Group, Members, NewGroup};
use crate::routes::users::{self, NewUser, User, UserChange};
use anyhow::Context as _;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

/// Most bytes read where a password is expected.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// Where identities are.
pub(super) enum Accounts {
    /// In the file, which no server has.
    Local(Local),
    /// With that server.
    Server(Client),
}

/// The file, in this process.
pub(super) struct Local {
    identity: Identity,
    config: Box<Config>,
}

impl Local {
    /// Does what changes something, and records it under `action`; it is on record when this returns.
    async fn audited<T>(
        &self,
        action: &str,
        work: impl AsyncFnOnce(&Audited) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let log = app::open_audit_log(&self.config).await?;
        audited(&log, action, work).await
    }

    /// Returns a user, once it is noted that it is about them.
    async fn noted(&self, audited: &Audited, name: &str) -> anyhow::Result<identity::User> {
        let user = users::find(&self.identity, name).await?;
        users::note(audited, &user);
        Ok(user)
    }
}

impl Accounts {
    /// Finds the server that holds the data directory, or opens the file in it.
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        if let Some(client) = Backend::server(config).await? {
            return Ok(Self::Server(client));
        }
        let data_dir = config.data_dir.clone();
        let identity = blocking(move || Identity::open(&data_dir)).await?;
        let config = Box::new(config.clone());
        Ok(Self::Local(Local { identity, config }))
    }

    pub(super) async fn users(self) -> anyhow::Result<Vec<User>> {
        match self {
            Self::Local(Local { identity, .. }) => {
                let users = identity.users(None, usize::MAX).await?;
                Ok(users.into_iter().map(Into::into).collect())
            }
            Self::Server(client) => blocking(move || client.users()).await,
        }
    }

    pub(super) async fn add_user(self, new: NewUser) -> anyhow::Result<User> {
        match self {
            Self::Local(local) => {
                let add = async |audited: &Audited| {
                    let user = local
                        .identity
                        .add_user(new.at(&local.config.auth.oidc)?)
                        .await?;
                    users::note_new(audited, &user);
                    Ok(user.into())
                };
                local.audited("user.create", add).await
            }
            Self::Server(client) => blocking(move || client.add_user(&new)).await,
        }
    }

    pub(super) async fn change_user(
        self,
        name: String,
        change: UserChange,
    ) -> anyhow::Result<User> {
        match self {
            Self::Local(local) => {
                let make = async |audited: &Audited| {
                    let id = local.noted(audited, &name).await?.id;
                    change.note(audited);
                    let change = change.at(&local.config.auth.oidc)?;
                    let changed = local.identity.change_user(id, change, None);
                    Ok(changed.await?.into())
                };
                local.audited("user.change", make).await
            }
            Self::Server(client) => blocking(move || client.change_user(&name, &change)).await,
        }
    }

    pub(super) async fn delete_user(self, name: String) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => {
                let delete = async |audited: &Audited| {
                    let id = local.noted(audited, &name).await?.id;
                    let keys = local.identity.delete_user(id).await?;
                    let owners = keys
                        .into_iter()
                        .map(crate::auth::key_owner)
                        .chain([id.to_string()]);
                    let kept = local.config.data_dir.join("conversations.db");
                    if kept.exists() {
                        let conversations = blocking(move || Conversations::open(&kept)).await?;
                        conversations.forget(owners.collect()).await?;
                    }
                    Ok(())
                };
                local.audited("user.delete", delete).await
            }
            Self::Server(client) => blocking(move || client.delete_user(&name)).await,
        }
    }

    pub(super) async fn reset_totp(self, name: String) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => {
                let reset = async |audited: &Audited| {
                    let id = local.noted(audited, &name).await?.id;
                    Ok(local.identity.remove_totp(id).await?)
                };
                local.audited("totp.reset", reset).await
            }
            Self::Server(client) => blocking(move || client.reset_totp(&name)).await,
        }
    }

    pub(super) async fn groups(self) -> anyhow::Result<Vec<Group>> {
        match self {
            Self::Local(Local { identity, .. }) => Ok(identity
                .groups()
                .await?
                .into_iter()
                .map(Into::into)
                .collect()),
            Self::Server(client) => blocking(move || client.groups()).await,
        }
    }

    pub(super) async fn add_group(self, new: NewGroup) -> anyhow::Result<Group> {
        match self {
            Self::Local(local) => {
                let add = async |audited: &Audited| {
                    audited.target("group", &new.name);
                    let added = local.identity.add_group(&new.name, &new.description);
                    Ok(added.await?.into())
                };
                local.audited("group.create", add).await
            }
            Self::Server(client) => blocking(move || client.add_group(&new)).await,
        }
    }

    pub(super) async fn set_members(
        self,
        group: String,
        members: Members,
    ) -> anyhow::Result<Group> {
        match self {
            Self::Local(local) => {
                let set = async |audited: &Audited| {
                    audited.target("group", &group);
                    let group = local.identity.set_members(&group, members.users).await?;
                    groups::note_members(audited, &group);
                    Ok(group.into())
                };
                local.audited("group.members.set", set).await
            }
            Self::Server(client) => blocking(move || client.set_members(&group, &members)).await,
        }
    }

    pub(super) async fn delete_group(self, group: String) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => {
                let delete = async |audited: &Audited| {
                    audited.target("group", &group);
                    Ok(local.identity.delete_group(&group).await?)
                };
                local.audited("group.delete", delete).await
            }
            Self::Server(client) => blocking(move || client.delete_group(&group)).await,
        }
    }

    pub(super) async fn api_keys(self, user: Option<String>) -> anyhow::Result<Vec<ApiKey>> {
        match self {
            Self::Local(Local { identity, .. }) => {
                let user = match user {
                    Some(name) => Some(users::find(&identity, &name).await?.id),
                    None => None,
                };
                let keys = identity.keys(user, None, usize::MAX).await?;
                Ok(keys.into_iter().map(Into::into).collect())
            }
            Self::Server(client) => blocking(move || client.api_keys(user.as_deref())).await,
        }
    }

    pub(super) async fn make_api_key(
        self,
        user: String,
        new: NewApiKey,
    ) -> anyhow::Result<MadeApiKey> {
        match self {
            Self::Local(local) => {
                let make = async |audited: &Audited| {
                    let new = identity::NewApiKey {
                        user: users::find(&local.identity, &user).await?.id,
                        name: new.name,
                        role: new.role,
                        collections: new.collections,
                        requests_per_minute: new.requests_per_minute,
                        tokens_per_day: new.tokens_per_day,
                        expires_at: new.expires_at,
                    };
                    let made = local.identity.add_key(new).await?;
                    api_keys::note(audited, &made.0);
                    Ok(MadeApiKey::new(made))
                };
                local.audited("api_key.create", make).await
            }
            Self::Server(client) => {
                let new = NewApiKey {
                    user: Some(user),
                    ..new
                };
                blocking(move || client.make_api_key(&new)).await
            }
        }
    }

    pub(super) async fn revoke_api_key(self, id: String) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => {
                let revoke = async |audited: &Audited| {
                    let unknown = || identity::Error::UnknownKey(id.clone());
                    let key = local.identity.key(id.parse().map_err(|_| unknown())?);
                    let key = key.await?;
                    api_keys::note(audited, &key);
                    Ok(local.identity.revoke_key(key.id).await?)
                };
                local.audited("api_key.revoke", revoke).await
            }
            Self::Server(client) => blocking(move || client.revoke_api_key(&id)).await,
        }
    }
}

/// Reads a password: from a file, `-` being standard input, or asks for it twice on the terminal. Never from the
/// command line, which every account of the machine can read.
pub(super) fn read_password(file: Option<&Path>, name: &str) -> anyhow::Result<String> {
    let password = match file {
        Some(path) if path == Path::new("-") => first_line(std::io::stdin().lock())?,
        Some(path) => first_line(fs_err::File::open(path)?)?,
        None if std::io::stdin().is_terminal() => {
            let first = rpassword::prompt_password(format!("Password of {name}: "))?;
            let again = rpassword::prompt_password("Again: ")?;
            anyhow::ensure!(
                first == again,
                "the two passwords differ; nothing was changed"
            );
            first
        }
        None => {
            return Err(super::Usage(
                "there is no terminal to ask for the password; name a file with --password-file, or - for standard input"
                    .to_owned(),
            )
            .into());
        }
    };
    // Told before anything is sent or hashed; the name is checked with it where it is stored.
    Password::new(&password).check("")?;
    Ok(password)
}

fn first_line(source: impl std::io::Read) -> anyhow::Result<String> {
    let mut text = String::new();
    source
        .take(MAX_PASSWORD_BYTES)
        .read_to_string(&mut text)
        .context("cannot read the password")?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
