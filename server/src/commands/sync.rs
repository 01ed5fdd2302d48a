//! `kura sync`

mod add;
mod print;

use super::backend::{Backend, blocking};
use super::{Outcome, print_json, progress_bar};
use crate::audit::Audited;
use crate::config::Config;
use crate::routes::sources::{
    self, ScanToRun, Source, SourceChange, SourceItem, SourceState, SourceToAdd,
};
use crate::sync::Live;
use kura_indexer::Pipeline;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// How often the server is asked how a scan stands.
const POLL: Duration = Duration::from_millis(200);
/// How often a scan is run again for files that were being written.
const LOOKS: usize = 5;
/// How long such files are left alone.
const SETTLE: Duration = Duration::from_millis(1100);

/// Arguments of `kura sync`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a source. A running server reads it at once and keeps in step with it.
    Add(Box<add::Args>),
    /// List the sources.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a source, and what of it could not be taken in.
    Show {
        /// The source.
        #[arg(value_name = "NAME")]
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Scan a source now, and wait until it is in step and indexed.
    Run {
        /// The source.
        #[arg(value_name = "NAME")]
        name: String,
        /// Delete what is missing even if that is most of the source.
        #[arg(long)]
        allow_deletions: bool,
        /// Try again what was refused or could not be indexed.
        #[arg(long)]
        retry: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Leave a source alone until it is resumed.
    Pause {
        /// The source.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Take a paused source up again.
    Resume {
        /// The source.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Remove a source; its documents stay.
    Remove {
        /// The source.
        #[arg(value_name = "NAME")]
        name: String,
        /// Delete its documents, too.
        #[arg(long)]
        with_documents: bool,
    },
}

/// A source with what of it could not be taken in.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    source: Source,
    failed: Vec<SourceItem>,
}

/// Adds, shows, scans or removes sources.
///
/// # Errors
/// When there is no such source, a new one cannot be read, or kura fails.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let backend = Backend::open(&config).await?;
    match args.command {
        Command::Add(args) => {
            let (json, new) = (args.json(), args.source()?);
            let source = add(&config, &backend, new).await?;
            if json {
                print_json(&source)?;
            } else {
                print::added(&source, matches!(backend, Backend::Server(_)));
            }
        }
        Command::List { json } => {
            let sources: Vec<Source> = match backend {
                Backend::Local(pipeline) => {
                    pipeline.sources().await?.into_iter().map(local).collect()
                }
                Backend::Server(client) => blocking(move || client.sources()).await?,
            };
            if json {
                print_json(&sources)?;
            } else {
                print::list(&sources);
            }
        }
        Command::Show { name, json } => {
            let shown = show(&backend, name).await?;
            if json {
                print_json(&shown)?;
            } else {
                print::source(&shown.source, &shown.failed);
            }
        }
        Command::Run {
            name,
            allow_deletions,
            retry,
            json,
        } => {
            let scan = ScanToRun {
                allow_deletions,
                retry,
            };
            let source = scanned(&config, backend, name, scan).await?;
            if json {
                print_json(&source)?;
            } else {
                print::scanned(&source);
            }
            return Ok(outcome(&source));
        }
        Command::Pause { name } => pause(backend, name, true).await?,
        Command::Resume { name } => pause(backend, name, false).await?,
        Command::Remove {
            name,
            with_documents,
        } => {
            match backend {
                Backend::Local(local) => {
                    let remove = async |audited: &Audited| {
                        audited.target("source", &name);
                        let n = sources::remove(&local, &config, &name, with_documents).await?;
                        audited.detail("n_documents_deleted", n);
                        Ok(())
                    };
                    local.audited("source.delete", remove).await?;
                }
                Backend::Server(client) => {
                    blocking(move || client.remove_source(&name, with_documents)).await?;
                }
            }
            say!("done");
        }
    }
    Ok(Outcome::Success)
}

async fn add(config: &Config, backend: &Backend, new: SourceToAdd) -> anyhow::Result<Source> {
    match backend {
        Backend::Local(here) => {
            let add = async |audited: &Audited| {
                audited.target("collection", &new.collection);
                let source = sources::add(here, config, new).await?;
                audited.target("source", &source.name);
                Ok(local(source))
            };
            here.audited("source.create", add).await
        }
        Backend::Server(client) => {
            let client = client.clone();
            blocking(move || client.add_source(&new)).await
        }
    }
}

async fn show(backend: &Backend, name: String) -> anyhow::Result<Shown> {
    match backend {
        Backend::Local(pipeline) => {
            /// Items read at a time.
            const PAGE: usize = 500;
            let source = pipeline.source(&name).await?;
            let (mut failed, mut after) = (Vec::new(), String::new());
            loop {
                let page = pipeline.source_items(source.id, &after, PAGE, true).await?;
                let Some(last) = page.last() else { break };
                after.clone_from(&last.row.key);
                failed.extend(page.into_iter().map(SourceItem::from));
            }
            Ok(Shown {
                source: local(source),
                failed,
            })
        }
        Backend::Server(client) => {
            let client = client.clone();
            blocking(move || {
                Ok(Shown {
                    source: client.source(&name)?,
                    failed: client.failed_items(&name)?,
                })
            })
            .await
        }
    }
}

async fn pause(backend: Backend, name: String, paused: bool) -> anyhow::Result<()> {
    match backend {
        Backend::Local(local) => {
            let pause = async |audited: &Audited| {
                audited.target("source", &name);
                audited.detail("paused", paused);
                Ok(local.pause_source(&name, paused).await?)
            };
            drop(local.audited("source.change", pause).await?);
        }
        Backend::Server(client) => {
            drop(blocking(move || client.change_source(&name, SourceChange { paused })).await?);
        }
    }
    say!("done");
    Ok(())
}

/// Scans until nothing is left that was being written, and indexes what was found.
async fn scanned(
    config: &Config,
    backend: Backend,
    name: String,
    scan: ScanToRun,
) -> anyhow::Result<Source> {
    let bar = progress_bar("{spinner} {msg}");
    let source = match backend {
        Backend::Local(local) => {
            let scan = async |audited: &Audited| {
                audited.target("source", &name);
                let source = scanned_here(config, &local, &name, scan, &bar).await?;
                if let Some(report) = &source.last_scan {
                    audited.detail("added", report.added);
                    audited.detail("replaced", report.replaced);
                    audited.detail("renamed", report.renamed);
                    audited.detail("deleted", report.deleted);
                }
                Ok(source)
            };
            local.audited("source.scan", scan).await
        }
        Backend::Server(client) => {
            let shown = bar.clone();
            blocking(move || {
                drop(client.scan_source(&name, scan)?);
                loop {
                    std::thread::sleep(POLL);
                    let source = client.source(&name)?;
                    let waits = source.oldest_unindexed_at.is_some();
                    if !source.scanning && !waits && !is_unfinished(&source) {
                        return Ok(source);
                    }
                    shown.set_message(print::progress(&source));
                }
            })
            .await
        }
    };
    bar.finish_and_clear();
    source
}

async fn scanned_here(
    config: &Config,
    pipeline: &Arc<Pipeline>,
    name: &str,
    scan: ScanToRun,
    bar: &indicatif::ProgressBar,
) -> anyhow::Result<Source> {
    for look in 1.. {
        let source = pipeline.source(name).await?;
        let progress = |report: &kura_indexer::sync::ScanReport| {
            bar.set_message(format!("{} listed, {} added", report.listed, report.added));
        };
        let report =
            crate::sync::scan_once(pipeline, config, &source, scan.into(), &progress).await?;
        if report.changing == 0 || look == LOOKS {
            break;
        }
        tokio::time::sleep(SETTLE).await;
    }
    let report = |job: &kura_indexer::catalog::Job, _, _| {
        bar.set_message(format!("indexing {}", job.source))
    };
    while !pipeline.run_queued(&report).await?.is_empty() {}
    Ok(local(pipeline.source(name).await?))
}

/// Returns whether files were being written: the server looks again by itself.
fn is_unfinished(source: &Source) -> bool {
    let is_active = matches!(source.state, SourceState::Ok | SourceState::New);
    is_active
        && source
            .last_scan
            .as_ref()
            .is_some_and(|scan| scan.changing > 0)
}

fn outcome(source: &Source) -> Outcome {
    if source.error.is_some() {
        Outcome::Failure
    } else if source.n_errors > 0 {
        Outcome::Partial
    } else {
        Outcome::Success
    }
}

fn local(source: kura_indexer::catalog::Source) -> Source {
    Source::new(source, Live::default())
}
