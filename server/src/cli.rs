//! The command line.

use crate::commands::{
    admin, ask, audit, collections, config, dictionary, doctor, eval, explain, extract, forget,
    groups, ingest, jobs, keys, models, quality, search, serve, sync, users, verify,
};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// A private knowledge assistant: your documents in, cited answers out.
///
/// Results go to stdout, logs to stderr. Exit codes: 0 success, 1 failure, 2 wrong usage or configuration,
/// 3 partial failure.
#[derive(Debug, Parser)]
#[command(name = "kura", version, propagate_version = true)]
pub struct Cli {
    /// What all commands take.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What all commands take.
#[derive(Debug, clap::Args)]
pub struct Globals {
    /// Folder of everything kura keeps.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Configuration file; without it /etc/kura/kura.toml is read if there is one.
    #[arg(long, global = true, value_name = "FILE", env = "KURA_CONFIG")]
    pub config: Option<PathBuf>,
    /// Server to work with as the user whose API key is in `KURA_API_KEY`; without it the one that holds the data
    /// directory.
    #[arg(long, global = true, value_name = "URL", env = "KURA_SERVER")]
    pub server: Option<String>,
    /// What is logged: error, warn, info, debug, trace, or a filter.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve(serve::Args),
    /// Add files and folders to a collection and index them.
    Ingest(ingest::Args),
    /// Look at ingest jobs, cancel, retry, pause and resume them.
    Jobs(jobs::Args),
    /// Show what is wrong with a collection's documents.
    Quality(quality::Args),
    /// List and create collections, and say whom they are for.
    Collections(collections::Args),
    /// Keep in step with folders and other places where documents live.
    Sync(sync::Args),
    /// Search by meaning and by words.
    Search(search::Args),
    /// Show how a search ranks, and why it does not find a document.
    Explain(explain::Args),
    /// Ask a question and get a cited answer.
    Ask(ask::Args),
    /// Show what would be indexed of a file.
    Extract(extract::Args),
    /// List, fetch, check and import models.
    Models(models::Args),
    /// Show and check the configuration.
    Config(config::Args),
    /// Find out what is wrong with this installation.
    Doctor(doctor::Args),
    /// Teach a collection's words: synonyms, abbreviations, readings.
    Dictionary(dictionary::Args),
    /// Manage who may use kura.
    Users(users::Args),
    /// Manage groups of users, which access lists name.
    Groups(groups::Args),
    /// Manage API keys, with which programs sign in.
    Keys(keys::Args),
    /// Compare catalog, original files and indexes.
    Verify(verify::Args),
    /// Show, check and export the record of who did what.
    Audit(audit::Args),
    /// Erase documents and people for good, with a signed certificate.
    Forget(forget::Args),
    /// Rebuild what can be rebuilt.
    Admin(admin::Args),
    /// Measure quality on labelled data.
    Eval(eval::Args),
    /// Print the OpenAPI document of the server.
    Openapi,
    /// Read documents for a server that has started this process.
    #[command(hide = true)]
    ExtractWorker(extract::WorkerArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }
}
