//! `kura collections`

use super::backend::{Backend, blocking};
use super::{Outcome, print_json};
use crate::audit::Audited;
use crate::config::Config;
use crate::routes::collections::{Collection, NewCollection};
use crate::routes::permissions::{CollectionMember, MemberRole, members, note_members};
use clap::ValueEnum as _;
use kura_indexer::{AccessFilter, Member};

/// Arguments of `kura collections`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the collections.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Create a collection.
    Create {
        /// Its name.
        name: String,
        #[command(flatten)]
        members: Members,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show whom a collection is for, or replace that.
    Members {
        /// The collection.
        collection: String,
        #[command(flatten)]
        members: Members,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Whom a collection is for.
#[derive(Debug, Default, clap::Args)]
struct Members {
    /// A group it is for, such as `hr`, `everyone` or `user:alice`, with `=editor` if it may change it, too; may be
    /// repeated.
    #[arg(long = "member", value_name = "GROUP[=ROLE]", value_parser = member)]
    members: Vec<CollectionMember>,
    /// It is only for those who may read everything.
    #[arg(long, conflicts_with = "members")]
    nobody: bool,
}

impl Members {
    /// Returns the members; `None` when nothing was said.
    fn given(self) -> Option<Vec<CollectionMember>> {
        (self.nobody || !self.members.is_empty()).then_some(self.members)
    }
}

/// Lists or creates collections, shows or replaces their members.
///
/// # Errors
/// When a collection does not exist or exists already, or a group cannot be.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let access = AccessFilter::unrestricted("local command of the operator");
    let backend = Backend::open(&config).await?;
    match args.command {
        Command::List { json } => {
            let collections = match backend {
                Backend::Local(pipeline) => {
                    let all = pipeline.collections(&access).await?;
                    all.into_iter().map(Collection::from).collect()
                }
                Backend::Server(client) => blocking(move || client.collections()).await?,
            };
            print_collections(&collections, json)?;
        }
        Command::Create {
            name,
            members: given,
            json,
        } => {
            let given = given.given();
            let collection = match backend {
                Backend::Local(local) => {
                    let create = async |audited: &Audited| {
                        audited.target("collection", &name);
                        let members = match &given {
                            Some(given) => members(given)?,
                            None => vec![Member::everyone()],
                        };
                        note_members(audited, given.as_deref().unwrap_or_default());
                        Ok(local.new_collection(&name, members).await?)
                    };
                    local.audited("collection.create", create).await?.into()
                }
                Backend::Server(client) => {
                    let new = NewCollection {
                        name,
                        members: given,
                    };
                    blocking(move || client.create_collection(&new)).await?
                }
            };
            if json {
                print_json(&collection)?;
            } else {
                say!("created `{}`", collection.name);
            }
        }
        Command::Members {
            collection,
            members: given,
            json,
        } => {
            let known = match backend {
                Backend::Local(local) => {
                    if let Some(given) = given.given() {
                        let set = async |audited: &Audited| {
                            audited.target("collection", &collection);
                            let members = members(&given)?;
                            note_members(audited, &given);
                            Ok(local.set_members(&collection, members, &access).await?)
                        };
                        local.audited("collection.members.set", set).await?;
                    }
                    let known = local.members(&collection, &access).await?;
                    known.into_iter().map(CollectionMember::from).collect()
                }
                Backend::Server(client) => {
                    blocking(move || match given.given() {
                        Some(given) => client.put_members(&collection, &given),
                        None => client.members(&collection),
                    })
                    .await?
                }
            };
            print_members(&known, json)?;
        }
    }
    Ok(Outcome::Success)
}

fn print_collections(collections: &[Collection], json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(&collections);
    }
    for collection in collections {
        say!(
            "{:<24} {:>8} documents {:>9} chunks",
            collection.name,
            collection.n_documents,
            collection.n_chunks
        );
    }
    Ok(())
}

fn print_members(members: &[CollectionMember], json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(&members);
    }
    if members.is_empty() {
        say!("no members: only those who may read everything see it");
    }
    for member in members {
        say!("{:<8} {}", name(member.role), member.group);
    }
    Ok(())
}

fn name(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Reader => "reader",
        MemberRole::Editor => "editor",
    }
}

/// Reads `GROUP` or `GROUP=ROLE`.
fn member(text: &str) -> Result<CollectionMember, String> {
    let (group, role) = match text.rsplit_once('=') {
        None => (text, MemberRole::Reader),
        Some((group, role)) => {
            let role = MemberRole::from_str(role, false)
                .map_err(|_| format!("unknown role `{role}`; use `reader` or `editor`"))?;
            (group, role)
        }
    };
    let member = CollectionMember {
        group: group.to_owned(),
        role,
    };
    members(std::slice::from_ref(&member)).map_err(|error| error.to_string())?;
    Ok(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_group_with_or_without_a_role() {
        for (text, group, role) in [
            ("hr", "hr", MemberRole::Reader),
            ("hr=reader", "hr", MemberRole::Reader),
            ("user:alice=editor", "user:alice", MemberRole::Editor),
        ] {
            let expected = CollectionMember {
                group: group.to_owned(),
                role,
            };
            assert_eq!(member(text), Ok(expected));
        }
        for bad in ["", "=editor", "hr=owner", "team:hr"] {
            assert!(member(bad).is_err(), "{bad:?}");
        }
    }
}
