//! `kura ingest`

mod files;
mod plan;
mod report;
mod run;

use super::backend::{Backend, blocking};
use super::filter::MetadataArgs;
use super::{Hinted, Outcome, print_json, progress_bar};
use crate::audit::Audited;
use crate::config::Config;
use crate::routes::jobs::Priority;
use anyhow::Context as _;
use kura_indexer::AclChange;
use report::Report;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `kura ingest`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, and folders with all files below them; hidden ones are left out.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The collection, made if missing.
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// Which jobs these files go before.
    #[arg(long, value_name = "PRIORITY", default_value = "normal")]
    priority: Priority,
    /// Say what would become of the files, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write the report, as JSON, to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// A group that may read them; may be repeated. Without it that stays as it is, and everyone may read new documents.
    #[arg(long = "reader", value_name = "GROUP")]
    readers: Vec<String>,
    /// A group that may not read them, whatever the readers say; may be repeated. Without it that stays as it is.
    #[arg(long = "deny", value_name = "GROUP")]
    denied: Vec<String>,
    #[command(flatten)]
    metadata: MetadataArgs,
}

/// Adds files and indexes them; one bad file never stops the others.
///
/// # Errors
/// When no file is found, or kura itself fails. What bad files there were decides the exit code.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let found = files::find(&args.paths, config.server.upload_max_bytes as u64);
    if found.is_empty() {
        return Err(Hinted::new(
            "no files found",
            "hidden files and folders are left out; name a file itself to add it",
        )
        .into());
    }
    let metadata = args.metadata.change();
    // Before anything is added.
    let known = metadata.to_core()?.checked()?;
    let given = |groups: &Vec<String>| Some(groups.clone()).filter(|groups| !groups.is_empty());
    let (readers, denied) = (given(&args.readers), given(&args.denied));
    let acl = AclChange::named(readers.as_deref(), denied.as_deref())?;
    let started = Instant::now();
    let bar = progress_bar("{spinner} {msg} {wide_bar} {pos}/{len} files {prefix}");
    bar.set_length(found.len() as u64);
    let rows = if args.dry_run {
        plan::plan(&config, &args.collection, found, &bar).await
    } else {
        let batch = run::Batch {
            collection: args.collection.clone(),
            acl,
            priority: args.priority,
            bar: bar.clone(),
        };
        match Backend::open(&config).await? {
            Backend::Local(local) => {
                let add = async |audited: &Audited| {
                    audited.target("collection", &args.collection);
                    run::local(&local, audited, batch, &known, found).await
                };
                local.audited("document.ingest", add).await
            }
            Backend::Server(client) => run::by_server(client, batch, metadata, found).await,
        }
    };
    bar.finish_and_clear();
    let report = Report::new(args.collection, rows?, args.dry_run, started.elapsed());
    if let Some(path) = args.report {
        let json = serde_json::to_vec_pretty(&report)?;
        blocking(move || {
            fs_err::write(&path, json)
                .context("the files are ingested, but the report cannot be written")
        })
        .await?;
    }
    if args.json {
        print_json(&report)?;
    } else {
        report.print();
    }
    Ok(report.outcome())
}
