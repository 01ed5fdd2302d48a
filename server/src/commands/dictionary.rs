//! `kura dictionary`

use super::backend::{Backend, blocking};
use super::{Outcome, emit, print_json};
use crate::audit::Audited;
use crate::config::Config;
use crate::routes::dictionaries::Dictionary;
use kura_indexer::AccessFilter;
use std::path::PathBuf;

/// Arguments of `kura dictionary`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Use a CSV file as a collection's dictionary, in place of the one before; the next search uses it.
    ///
    /// Columns: term, reading, synonyms, abbreviations; several values in a cell have `;` between them.
    Set {
        /// The collection.
        #[arg(value_name = "COLLECTION")]
        collection: String,
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a collection's dictionary as it was set.
    Show {
        /// The collection.
        #[arg(value_name = "COLLECTION")]
        collection: String,
    },
    /// Remove a collection's dictionary, if it has one.
    Remove {
        /// The collection.
        #[arg(value_name = "COLLECTION")]
        collection: String,
    },
}

/// Sets, shows or removes a dictionary.
///
/// # Errors
/// When the collection does not exist, or the file cannot be used.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let access = AccessFilter::unrestricted("local command of the operator");
    match args.command {
        Command::Set {
            collection,
            file,
            json,
        } => {
            let csv = blocking(move || Ok(fs_err::read(&file)?)).await?;
            let dictionary = match Backend::open(&config).await? {
                Backend::Local(local) => {
                    let set = async |audited: &Audited| {
                        audited.target("collection", &collection);
                        Ok(local.set_dictionary(&collection, &csv, &access).await?)
                    };
                    Dictionary {
                        n_terms: local.audited("dictionary.set", set).await?,
                        collection,
                    }
                }
                Backend::Server(client) => {
                    blocking(move || client.put_dictionary(&collection, &csv)).await?
                }
            };
            if json {
                print_json(&dictionary)?;
            } else {
                let Dictionary {
                    collection,
                    n_terms,
                } = dictionary;
                say!("`{collection}` now has a dictionary of {n_terms} terms");
            }
        }
        Command::Show { collection } => {
            let csv = match Backend::open(&config).await? {
                Backend::Local(local) => {
                    let read = async |audited: &Audited| {
                        audited.target("collection", &collection);
                        Ok(local.dictionary(&collection, &access).await?)
                    };
                    local.audited("dictionary.read", read).await?
                }
                Backend::Server(client) => blocking(move || client.dictionary(&collection)).await?,
            };
            emit(format_args!("{csv}"));
        }
        Command::Remove { collection } => {
            match Backend::open(&config).await? {
                Backend::Local(local) => {
                    let remove = async |audited: &Audited| {
                        audited.target("collection", &collection);
                        Ok(local.remove_dictionary(&collection, &access).await?)
                    };
                    local.audited("dictionary.delete", remove).await?;
                }
                Backend::Server(client) => {
                    blocking(move || client.remove_dictionary(&collection)).await?;
                }
            }
            say!("done");
        }
    }
    Ok(Outcome::Success)
}
