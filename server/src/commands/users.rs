//! `kura users`

use super::accounts::{Accounts, read_password};
use super::backend::blocking;
use super::{Outcome, print_json};
use crate::config::Config;
use crate::identity::{Role, UserKind};
use crate::routes::users::{NewUser, User, UserChange};
use std::path::PathBuf;

/// Arguments of `kura users`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a person, whose password is asked for, or a service.
    Add {
        /// The login.
        #[arg(value_name = "NAME")]
        name: String,
        /// What they may do.
        #[arg(long, value_enum, default_value = "reader")]
        role: Role,
        /// For people to read.
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
        /// Where to write to.
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// A group; can be repeated.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// A program, which has API keys and no password.
        #[arg(long, conflicts_with_all = ["password_file", "subject"])]
        service: bool,
        /// Who a person is at the identity provider, its `sub`, instead of a password.
        #[arg(long, value_name = "SUB", conflicts_with = "password_file")]
        subject: Option<String>,
        #[command(flatten)]
        password: PasswordArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the users.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set a new password; it ends the user's sessions.
    Passwd {
        /// The login.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Have a user sign in at the identity provider from now on, and not with a password; it ends the user's sessions.
    Link {
        /// The login.
        #[arg(value_name = "NAME")]
        name: String,
        /// Who the person is there: its `sub`.
        #[arg(long, value_name = "SUB")]
        subject: String,
    },
    /// Change what a user may do; it ends the user's sessions.
    Role {
        /// The login.
        #[arg(value_name = "NAME")]
        name: String,
        /// What they may do.
        #[arg(value_enum, value_name = "ROLE")]
        role: Role,
    },
    /// Let a user do nothing any more, from the next request on.
    Disable {
        /// The login.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Let a disabled user in again.
    Enable {
        /// The login.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Remove a user's second factor, e.g. when the phone is lost.
    ResetTotp {
        /// The login.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Delete a user with sessions, API keys and conversations; the name is not given away again.
    Delete {
        /// The login.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, clap::Args)]
struct PasswordArgs {
    /// A file whose first line is the password, or - for standard input; it is asked for otherwise.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Manages users.
///
/// # Errors
/// When there is no such user, or what is given cannot be used.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Add {
            name,
            role,
            display_name,
            email,
            groups,
            service,
            subject,
            password,
            json,
        } => {
            let (kind, password) = if service {
                (UserKind::Service, None)
            } else if subject.is_some() {
                (UserKind::Person, None)
            } else {
                (UserKind::Person, Some(password.read(&name).await?))
            };
            let new = NewUser {
                kind,
                name,
                display_name,
                email,
                role,
                password,
                subject,
                groups,
            };
            let user = Accounts::open(&config).await?.add_user(new).await?;
            if json {
                print_json(&user)?;
            } else {
                say!(
                    "added `{}` with the role `{}`",
                    user.name,
                    user.role.as_str()
                );
            }
        }
        Command::List { json } => {
            let users = Accounts::open(&config).await?.users().await?;
            if json {
                print_json(&users)?;
            } else {
                show(&users);
            }
        }
        Command::Passwd { name, password } => {
            let change = UserChange {
                password: Some(password.read(&name).await?),
                ..UserChange::default()
            };
            let user = Accounts::open(&config)
                .await?
                .change_user(name, change)
                .await?;
            say!("`{}` has a new password", user.name);
        }
        Command::Link { name, subject } => {
            let change = UserChange {
                subject: Some(subject),
                ..UserChange::default()
            };
            let user = Accounts::open(&config)
                .await?
                .change_user(name, change)
                .await?;
            say!("`{}` signs in at {}", user.name, user.source);
        }
        Command::Role { name, role } => {
            let change = UserChange {
                role: Some(role),
                ..UserChange::default()
            };
            let user = Accounts::open(&config)
                .await?
                .change_user(name, change)
                .await?;
            say!("`{}` has the role `{}`", user.name, user.role.as_str());
        }
        Command::Disable { name } => set_active(&config, name, false).await?,
        Command::Enable { name } => set_active(&config, name, true).await?,
        Command::ResetTotp { name } => {
            Accounts::open(&config).await?.reset_totp(name).await?;
            say!("done");
        }
        Command::Delete { name } => {
            Accounts::open(&config).await?.delete_user(name).await?;
            say!("done");
        }
    }
    Ok(Outcome::Success)
}

async fn set_active(config: &Config, name: String, active: bool) -> anyhow::Result<()> {
    let change = UserChange {
        active: Some(active),
        ..UserChange::default()
    };
    let user = Accounts::open(config)
        .await?
        .change_user(name, change)
        .await?;
    let state = if user.active { "enabled" } else { "disabled" };
    say!("`{}` is {state}", user.name);
    Ok(())
}

fn show(users: &[User]) {
    if users.is_empty() {
        say!("there are no users; `kura users add NAME` adds one");
    }
    for user in users {
        let kind = match user.kind {
            UserKind::Person => "",
            UserKind::Service => "  service",
        };
        let state = if user.active { "" } else { "  disabled" };
        let source = if user.source == "local" {
            String::new()
        } else {
            format!("  at {}", user.source)
        };
        let groups = if user.groups.is_empty() {
            String::new()
        } else {
            format!("  groups: {}", user.groups.join(", "))
        };
        say!(
            "{}  {}{kind}{state}{source}{groups}",
            user.name,
            user.role.as_str()
        );
    }
}

impl PasswordArgs {
    async fn read(self, name: &str) -> anyhow::Result<String> {
        let name = name.to_owned();
        blocking(move || read_password(self.password_file.as_deref(), &name)).await
    }
}
