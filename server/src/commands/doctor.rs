//! `kura doctor`

mod egress;

use super::backend::blocking;
use super::{Outcome, print_json};
use crate::app;
use crate::client::Client;
use crate::config::{Config, Flags, load};
use crate::{auth, error, run_file, web};
use indicatif::HumanBytes;
use kura_indexer::AccessFilter;
use kura_models::registry::InstallState;
use kura_models::{Embedder, Registry};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// Arguments of `kura doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Show instead where connections may lead, which there were, and how the processes that read documents are confined.
    #[arg(long)]
    egress: bool,
}

/// How one thing stands.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: CheckStatus,
    detail: String,
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum CheckStatus {
    Ok,
    Warning,
    Failed,
}

/// Checks the installation part by part and says what to do about what is wrong.
///
/// # Errors
/// Only when the report cannot be printed.
pub async fn run(flags: &Flags, args: &Args) -> anyhow::Result<Outcome> {
    if args.egress {
        return egress::run(flags, args.json).await;
    }
    let checks = examine(flags).await;
    let broken = checks
        .iter()
        .any(|check| check.status == CheckStatus::Failed);
    if args.json {
        print_json(&serde_json::json!({ "ok": !broken, "checks": checks }))?;
    } else {
        print(&checks);
    }
    Ok(if broken {
        Outcome::Failure
    } else {
        Outcome::Success
    })
}

async fn examine(flags: &Flags) -> Vec<Check> {
    let config = match load(flags) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let detail = problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ");
            return vec![Check::failed(
                "configuration",
                detail,
                "correct it; `kura config show --defaults` documents every key",
            )];
        }
    };
    let from = config.file.map_or("defaults only".to_owned(), |file| {
        file.display().to_string()
    });
    let config = config.config;
    let mut checks = vec![Check::ok("configuration", from)];
    checks.push(data_dir(&config.data_dir));
    checks.push(free_space(&config));
    let server = server(&config);
    let has_server = server.is_some();
    checks.push(
        server.unwrap_or_else(|| Check::ok("server", "none is running on this data directory")),
    );
    checks.extend(models(&config));
    checks.push(match device(&config).await {
        Ok(detail) => Check::ok("device", detail),
        Err(error) => Check::failed(
            "device",
            format!("{error:#}"),
            "set `models.device` to `auto` or `cpu`",
        ),
    });
    checks.push(sandbox(&config).await);
    checks.push(key(&config.data_dir));
    if has_server {
        checks.push(Check::ok("store", "open in the server"));
    } else {
        checks.push(store(&config).await);
    }
    checks.push(if web::is_built() {
        Check::ok("page", "built in")
    } else {
        Check::warning(
            "page",
            "this binary was built without the page",
            "build with `make build`",
        )
    });
    checks
}

/// Starts a process that reads documents, and tells what it tried and was denied.
async fn sandbox(config: &Config) -> Check {
    const NAME: &str = "sandbox";
    const REMEDY: &str = "use Linux 5.13 or later with Landlock and seccomp, and let the container or service allow them";
    let workers = match app::workers(config) {
        Ok(Some(workers)) => workers,
        Ok(None) => {
            return Check::warning(
                NAME,
                "off: documents are read in the server itself",
                "set `ingest.sandbox` to `best_effort` or `required`",
            );
        }
        Err(error) => return Check::failed(NAME, format!("{error:#}"), REMEDY),
    };
    match workers.confinement().await {
        Ok(confinement) if confinement.missing.is_empty() => Check::ok(
            NAME,
            "documents are read by processes that can open no file and no socket and start no program",
        ),
        Ok(confinement) => Check::warning(
            NAME,
            format!("incomplete: {}", confinement.missing.join("; ")),
            REMEDY,
        ),
        Err(error) => Check::failed(NAME, error.to_string(), REMEDY),
    }
}

fn data_dir(dir: &Path) -> Check {
    const NAME: &str = "data directory";
    let shown = dir.display();
    if !dir.exists() {
        let parent = dir
            .ancestors()
            .find(|ancestor| ancestor.exists())
            .unwrap_or(Path::new("/"));
        return match tempfile::tempfile_in(parent) {
            Ok(_) => Check::ok(NAME, format!("{shown} will be made at first use")),
            Err(error) => Check::failed(
                NAME,
                format!("{shown} does not exist and cannot be made: {error}"),
                "make it for the account that kura runs under, or choose another with --data-dir",
            ),
        };
    }
    match tempfile::tempfile_in(dir) {
        Ok(_) => Check::ok(NAME, format!("{shown} is writable")),
        Err(error) => Check::failed(
            NAME,
            format!("{shown} is not writable: {error}"),
            "run kura as the folder's owner, or choose another with --data-dir",
        ),
    }
}

fn free_space(config: &Config) -> Check {
    const NAME: &str = "free space";
    let dir = config
        .data_dir
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(Path::new("/"));
    match fs4::available_space(dir) {
        Ok(free) if free > config.storage.min_free_bytes => {
            Check::ok(NAME, HumanBytes(free).to_string())
        }
        Ok(free) => Check::failed(
            NAME,
            format!(
                "{} left, less than `storage.min_free_bytes` ({}): nothing can be added",
                HumanBytes(free),
                HumanBytes(config.storage.min_free_bytes)
            ),
            "free some space",
        ),
        Err(error) => Check::failed(
            NAME,
            format!("cannot be told: {error}"),
            "check the file system",
        ),
    }
}

/// Returns how the server that holds the data directory stands; `None` when there is none.
fn server(config: &Config) -> Option<Check> {
    const NAME: &str = "server";
    let run = match run_file::read(&config.data_dir) {
        Ok(run) => run?,
        Err(error) => {
            let remedy = "run this as the account that the server runs under";
            return Some(Check::warning(
                NAME,
                format!("cannot be told: {error:#}"),
                remedy,
            ));
        }
    };
    let client = Client::new(&run);
    client.answers().then(|| {
        Check::ok(
            NAME,
            format!("runs at {} (process {})", client.url(), run.pid),
        )
    })
}

fn models(config: &Config) -> Vec<Check> {
    let registry = match app::registry(config) {
        Ok(registry) => registry,
        Err(error) => {
            return vec![Check::failed(
                "models",
                format!("{error:#}"),
                "correct `registry.toml` in the models folder",
            )];
        }
    };
    let mut checks = vec![model(
        &registry,
        "embedder",
        Some(&config.models.embedder),
        true,
    )];
    checks.push(model(&registry, "reranker", config.reranker(), true));
    checks.push(model(&registry, "generator", config.generator(), false));
    checks.push(model(&registry, "recognizer", config.recognizer(), false));
    checks
}

fn model(registry: &Registry, name: &'static str, id: Option<&str>, required: bool) -> Check {
    let Some(id) = id else {
        return Check::ok(name, "none configured");
    };
    let listed = registry
        .list()
        .into_iter()
        .find(|listed| listed.spec.id.0 == id);
    match listed {
        Some(listed) if !listed.spec.kind.noun().ends_with(name) => Check::failed(
            name,
            format!("{id} is {}, not a {name}", listed.spec.kind.noun()),
            format!("name another one as `models.{name}`; `kura models list` shows the known ones"),
        ),
        Some(listed) if listed.state == InstallState::Installed => {
            let size = listed
                .size_bytes
                .map(|bytes| format!(", {}", HumanBytes(bytes)))
                .unwrap_or_default();
            Check::ok(name, format!("{id} is installed{size}"))
        }
        Some(_) if required => Check::failed(
            name,
            format!("{id} is not installed"),
            format!("run `kura models pull {id}`"),
        ),
        Some(_) => Check::warning(
            name,
            format!("{id} is not installed: {}", without(name)),
            format!("run `kura models pull {id}`"),
        ),
        None => Check::failed(
            name,
            format!("{id} is unknown"),
            "`kura models list` shows the known ones",
        ),
    }
}

/// Returns what kura does without a model that it can do without.
fn without(name: &str) -> &'static str {
    match name {
        "recognizer" => "pictures and scanned pages have no text",
        _ => "answers are extracted",
    }
}

async fn device(config: &Config) -> anyhow::Result<String> {
    let device = app::device(config)?;
    blocking(move || {
        let opened = device.open()?;
        Ok(if opened.is_cuda() {
            "GPU".to_owned()
        } else {
            "CPU".to_owned()
        })
    })
    .await
}

fn key(data_dir: &Path) -> Check {
    let path = auth::key_file(data_dir);
    if path.exists() {
        Check::ok(
            "admin key",
            format!("made; its hash is in {}", path.display()),
        )
    } else {
        Check::ok(
            "admin key",
            "will be made and shown when `kura serve` first starts",
        )
    }
}

async fn store(config: &Config) -> Check {
    const NAME: &str = "store";
    if !config.data_dir.join("catalog.db").exists() {
        return Check::ok(NAME, "empty");
    }
    let loading = config.clone();
    let embedder: Arc<dyn Embedder> = match blocking(move || app::load_embedder(&loading)).await {
        Ok(embedder) => embedder,
        Err(error) => {
            return Check::failed(
                NAME,
                format!("not opened, because: {error:#}"),
                "install the embedder first",
            );
        }
    };
    let opened = match app::open_pipeline(config, embedder).await {
        Ok(pipeline) => match pipeline.check().await {
            Ok(()) => {
                let access = AccessFilter::unrestricted("local command of the operator");
                pipeline.collections(&access).await.map_err(Into::into)
            }
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error),
    };
    match opened {
        Ok(collections) => {
            let (documents, chunks) =
                collections.iter().fold((0, 0), |(documents, chunks), one| {
                    (documents + one.n_documents, chunks + one.n_chunks)
                });
            let n = collections.len();
            Check::ok(
                NAME,
                format!("opens: {n} collections, {documents} documents, {chunks} chunks"),
            )
        }
        Err(failure) => {
            let detail = error::chain(failure.as_ref());
            let remedy = super::hint(&failure).unwrap_or_else(|| {
                "see the message; the documents themselves are kept apart from the index".to_owned()
            });
            Check::failed(NAME, detail, remedy)
        }
    }
}

fn print(checks: &[Check]) {
    for check in checks {
        let mark = match check.status {
            CheckStatus::Ok => "ok     ",
            CheckStatus::Warning => "warning",
            CheckStatus::Failed => "FAILED ",
        };
        say!("{mark}  {:15} {}", check.name, check.detail);
        if let Some(remedy) = &check.remedy {
            say!("         {:15} -> {remedy}", "");
        }
    }
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            status: CheckStatus::Ok,
            detail: detail.into(),
            remedy: None,
        }
    }

    fn warning(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            status: CheckStatus::Warning,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn failed(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            status: CheckStatus::Failed,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }
}
