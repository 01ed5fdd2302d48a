//! `kura groups`

use super::accounts::Accounts;
use super::{Outcome, print_json};
use crate::config::Config;
use crate::routes::groups::{Group, Members, NewGroup};

/// Arguments of `kura groups`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a group.
    Add {
        /// Its name, as access lists will write it.
        #[arg(value_name = "GROUP")]
        name: String,
        /// What it is for.
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
    },
    /// Show the groups and their members.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make these users the members of a group, in place of those before.
    Members {
        /// The group.
        #[arg(value_name = "GROUP")]
        name: String,
        /// Logins; none leaves the group empty.
        #[arg(value_name = "USER")]
        users: Vec<String>,
    },
    /// Delete a group.
    Delete {
        /// The group.
        #[arg(value_name = "GROUP")]
        name: String,
    },
}

/// Manages groups.
///
/// # Errors
/// When there is no such group or user, or a name cannot be used.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let accounts = Accounts::open(&config).await?;
    match args.command {
        Command::Add { name, description } => {
            let group = accounts.add_group(NewGroup { name, description }).await?;
            say!("added `{}`", group.name);
        }
        Command::List { json } => {
            let groups = accounts.groups().await?;
            if json {
                print_json(&groups)?;
            } else if groups.is_empty() {
                say!("there are no groups; `kura groups add GROUP` adds one");
            } else {
                groups.iter().for_each(show);
            }
        }
        Command::Members { name, users } => {
            show(&accounts.set_members(name, Members { users }).await?);
        }
        Command::Delete { name } => {
            accounts.delete_group(name).await?;
            say!("done");
        }
    }
    Ok(Outcome::Success)
}

fn show(group: &Group) {
    let names: Vec<&str> = group
        .members
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    say!("{}: {}", group.name, names.join(", "));
}
