//! `kura models`

use super::{Outcome, print_json, progress_bar};
use crate::app;
use crate::config::Config;
use indicatif::{HumanBytes, ProgressBar};
use kura_egress::Egress;
use kura_models::Progress;
use kura_models::registry::{InstallState, Listed, Manifest};
use kura_models::{ModelKind, Registry};
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `kura models`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the installed models, instead of the configured one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the known models and whether they are installed.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch and install models. The only command that may go to any host, whatever `network.allow` says.
    Pull {
        /// Names of the models.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Hash every file of installed models.
    Verify {
        /// Names of the models; all installed ones when absent.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Install models from a folder or a .zip, e.g. brought to a machine without network.
    Import {
        /// Folder or .zip.
        path: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What became of one model.
#[derive(Serialize)]
struct Row {
    id: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    error: Option<String>,
}

#[derive(Serialize)]
struct ListedRow {
    id: String,
    kind: &'static str,
    state: InstallState,
    size_bytes: Option<u64>,
    license: String,
    languages: Vec<String>,
    description: String,
    /// Whether the configuration names it.
    configured: bool,
}

/// Lists, fetches, checks or imports models.
///
/// # Errors
/// When the registry is invalid or an import fails. Failures of single models are reported, and decide the exit code.
pub fn run(config: &Config, args: Args) -> anyhow::Result<Outcome> {
    let mut config = config.clone();
    if let Some(dir) = args.dir {
        config.models.dir = dir;
    }
    let registry = app::registry(&config)?;
    match args.command {
        Command::List { json } => list(&config, &registry, json),
        Command::Pull { names, json } => {
            // Whoever runs this asks for it; the server never does.
            pull(&registry.with_egress(Egress::everywhere()), &names, json)
        }
        Command::Verify { names, json } => verify(&registry, names, json),
        Command::Import { path, json } => {
            let installed = registry.import(&path)?;
            let rows = installed
                .into_iter()
                .map(|installed| Row::done(installed.spec.id.0, Some(installed.dir), None))
                .collect();
            report(rows, "imported", json)
        }
    }
}

fn list(config: &Config, registry: &Registry, json: bool) -> anyhow::Result<Outcome> {
    let configured = [
        Some(config.models.embedder.as_str()),
        config.reranker(),
        config.generator(),
        config.recognizer(),
    ];
    let rows: Vec<ListedRow> = registry
        .list()
        .into_iter()
        .map(|listed| row(listed, &configured))
        .collect();
    if json {
        print_json(&serde_json::json!({ "dir": registry.models_dir(), "items": rows }))?;
        return Ok(Outcome::Success);
    }
    let width = rows.iter().map(|row| row.id.len()).max().unwrap_or(0);
    for row in rows {
        let state = match row.state {
            InstallState::Installed => "installed",
            InstallState::Partial => "partial",
            InstallState::Missing => "-",
        };
        let size = row
            .size_bytes
            .map(|bytes| HumanBytes(bytes).to_string())
            .unwrap_or_default();
        let star = if row.configured { "*" } else { " " };
        say!(
            "{star} {:width$}  {:9}  {state:9}  {size:>10}  {:12}  {}",
            row.id,
            row.kind,
            row.license,
            row.description
        );
    }
    say!(
        "\n* named by the configuration; models folder: {}",
        registry.models_dir().display()
    );
    Ok(Outcome::Success)
}

fn row(listed: Listed, configured: &[Option<&str>]) -> ListedRow {
    let spec = listed.spec;
    ListedRow {
        kind: match spec.kind {
            ModelKind::Embedder { .. } => "embedder",
            ModelKind::Reranker => "reranker",
            ModelKind::Generator { .. } => "generator",
            ModelKind::Recognizer => "recognizer",
        },
        configured: configured.contains(&Some(spec.id.0.as_str())),
        id: spec.id.0,
        state: listed.state,
        size_bytes: listed.size_bytes,
        license: spec.license,
        languages: spec.languages,
        description: spec.description,
    }
}

fn pull(registry: &Registry, names: &[String], json: bool) -> anyhow::Result<Outcome> {
    // A wrong name is found before anything is fetched.
    for name in names {
        registry.spec(name)?;
    }
    let mut rows = Vec::new();
    for name in names {
        let bar = progress_bar("{spinner} {prefix} {msg} {bytes}/{total_bytes} {bytes_per_sec}");
        bar.set_prefix(name.clone());
        let pulled = registry.pull(name, &mut |progress| show(&bar, name, progress));
        bar.finish_and_clear();
        rows.push(match pulled {
            Ok(installed) => Row::done(name.clone(), Some(installed.dir), None),
            Err(error) => Row::failed(name.clone(), &error),
        });
    }
    report(rows, "installed", json)
}

fn show(bar: &ProgressBar, name: &str, progress: Progress) {
    match progress {
        Progress::Source { source } => {
            tracing::info!("fetching `{name}` from {source}");
            bar.set_message(source);
        }
        Progress::File {
            name,
            received,
            total,
        } => {
            bar.set_message(name);
            bar.set_length(total.unwrap_or(received));
            bar.set_position(received);
        }
        Progress::Checking => bar.set_message("checking"),
        Progress::Failed { source, reason } => {
            bar.suspend(|| tracing::warn!("`{name}` cannot be had from {source}: {reason}"));
        }
    }
}

fn verify(registry: &Registry, mut names: Vec<String>, json: bool) -> anyhow::Result<Outcome> {
    if names.is_empty() {
        names = registry
            .list()
            .into_iter()
            .filter(|listed| listed.state == InstallState::Installed)
            .map(|listed| listed.spec.id.0)
            .collect();
    }
    let rows = names
        .into_iter()
        .map(|name| match registry.verify(&name) {
            Ok(manifest) => {
                let size = size(&manifest);
                Row::done(name, None, Some(size))
            }
            Err(error) => Row::failed(name, &error),
        })
        .collect();
    report(rows, "verified", json)
}

fn size(manifest: &Manifest) -> u64 {
    manifest.files.iter().map(|file| file.size_bytes).sum()
}

fn report(rows: Vec<Row>, done: &str, json: bool) -> anyhow::Result<Outcome> {
    let failed = rows.iter().filter(|row| !row.ok).count();
    let outcome = match failed {
        0 => Outcome::Success,
        n if n == rows.len() => Outcome::Failure,
        _ => Outcome::Partial,
    };
    if json {
        print_json(&serde_json::json!({ "items": rows }))?;
        return Ok(outcome);
    }
    if rows.is_empty() {
        say!("no models");
    }
    for row in rows {
        match row.error {
            None => say!("{done} {}", row.id),
            Some(error) => eprintln!("error: {error}"),
        }
    }
    Ok(outcome)
}

impl Row {
    fn done(id: String, dir: Option<PathBuf>, size_bytes: Option<u64>) -> Self {
        Self {
            id,
            ok: true,
            dir,
            size_bytes,
            error: None,
        }
    }

    fn failed(id: String, error: &kura_models::Error) -> Self {
        Self {
            id,
            ok: false,
            dir: None,
            size_bytes: None,
            error: Some(crate::error::chain(error)),
        }
    }
}
