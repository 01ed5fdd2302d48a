//! `kura ingest`

mod files;
mod run;

use super::backend::Backend;
use super::filter::MetadataArgs;
use super::{Hinted, Outcome, print_json, progress_bar};
use crate::config::Config;
use files::Found;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `kura ingest`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, and folders with all files below them; hidden ones are left out.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The collection, made if missing.
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    metadata: MetadataArgs,
}

/// What became of the files.
#[derive(Debug, Serialize)]
struct Report {
    collection: String,
    items: Vec<Row>,
    summary: Summary,
}

/// What became of one file.
#[derive(Debug, Clone, Serialize)]
struct Row {
    path: PathBuf,
    source: String,
    outcome: FileOutcome,
    document: Option<String>,
    n_chunks: u32,
    warnings: Vec<String>,
    error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum FileOutcome {
    New,
    Replaced,
    Unchanged,
    Failed,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    new: usize,
    replaced: usize,
    unchanged: usize,
    failed: usize,
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
    let bar = progress_bar("{spinner} {msg} {wide_bar} {pos}/{len}");
    bar.set_length(found.len() as u64);
    let rows = match Backend::open(&config).await? {
        Backend::Local(pipeline) => {
            run::local(&pipeline, &args.collection, &known, found, &bar).await
        }
        Backend::Server(client) => {
            run::by_server(client, &args.collection, metadata, found, &bar).await
        }
    };
    bar.finish_and_clear();
    let report = Report::new(args.collection, rows?);
    if args.json {
        print_json(&report)?;
    } else {
        print(&report);
    }
    Ok(report.outcome())
}

impl Report {
    fn new(collection: String, items: Vec<Row>) -> Self {
        let mut summary = Summary::default();
        for row in &items {
            match row.outcome {
                FileOutcome::New => summary.new += 1,
                FileOutcome::Replaced => summary.replaced += 1,
                FileOutcome::Unchanged => summary.unchanged += 1,
                FileOutcome::Failed => summary.failed += 1,
            }
        }
        Self {
            collection,
            items,
            summary,
        }
    }

    fn outcome(&self) -> Outcome {
        match self.summary.failed {
            0 => Outcome::Success,
            n if n == self.items.len() => Outcome::Failure,
            _ => Outcome::Partial,
        }
    }
}

impl Row {
    fn failed(found: &Found, error: String) -> Self {
        Self {
            path: found.path.clone(),
            source: found.source.clone(),
            outcome: FileOutcome::Failed,
            document: None,
            n_chunks: 0,
            warnings: Vec::new(),
            error: Some(error),
        }
    }
}

fn print(report: &Report) {
    let width = report
        .items
        .iter()
        .map(|row| row.source.chars().count())
        .max()
        .unwrap_or(0)
        .min(60);
    for row in &report.items {
        let outcome = match row.outcome {
            FileOutcome::New => "new",
            FileOutcome::Replaced => "replaced",
            FileOutcome::Unchanged => "unchanged",
            FileOutcome::Failed => "failed",
        };
        match &row.error {
            Some(error) => say!("{outcome:9}  {:width$}  {error}", row.source),
            None => say!(
                "{outcome:9}  {:width$}  {} chunks",
                row.source,
                row.n_chunks
            ),
        }
        for warning in &row.warnings {
            say!("           {:width$}  warning: {warning}", "");
        }
    }
    let Summary {
        new,
        replaced,
        unchanged,
        failed,
    } = report.summary;
    say!(
        "\ncollection {}: {new} new, {replaced} replaced, {unchanged} unchanged, {failed} failed",
        report.collection
    );
}
