//! Where a command's work is done: in this process, or by the server that holds the data directory.

use super::Hinted;
use crate::app;
use crate::audit::operations::Class;
use crate::audit::{AuditLog, Audited, Draft, Outcome as Ended, Who};
use crate::client::Client;
use crate::config::Config;
use crate::run_file;
use anyhow::Context as _;
use kura_indexer::{IndexModels, Pipeline};
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::OnceCell;

pub(super) enum Backend {
    /// This process has the data directory.
    Local(Local),
    /// That server has it.
    Server(Client),
}

impl Backend {
    /// Finds the server that holds the data directory, or opens the directory.
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        Self::open_with(config, app::load_ingest_models).await
    }

    /// The same for a command that searches. In this process late interaction is not dropped: its budget, counted from
    /// the start of the search, is for a server, and the first embedding of a process takes longer than all of it.
    pub(super) async fn open_to_search(config: &Config) -> anyhow::Result<Self> {
        let mut config = config.clone();
        config.retrieval.late_budget_ms = u64::from(u32::MAX);
        Self::open_with(&config, app::load_index_models).await
    }

    /// The same for a command that only looks, and must find what there is to repair.
    pub(super) async fn open_as_is(config: &Config) -> anyhow::Result<Self> {
        match Self::server(config).await? {
            Some(client) => Ok(Self::Server(client)),
            None => {
                let dir = config.data_dir.display();
                anyhow::ensure!(
                    config.data_dir.is_dir(),
                    "there is no data directory `{dir}`; name it with --data-dir"
                );
                let loading = config.clone();
                let embedder = blocking(move || app::load_embedder(&loading)).await?;
                let index = app::index_config(config);
                let pipeline = Pipeline::open_as_is(&config.data_dir, embedder, index).await?;
                Ok(Self::Local(Local::new(config, pipeline)))
            }
        }
    }

    async fn open_with(
        config: &Config,
        load: fn(&Config) -> anyhow::Result<IndexModels>,
    ) -> anyhow::Result<Self> {
        if let Some(client) = Self::server(config).await? {
            return Ok(Self::Server(client));
        }
        let loading = config.clone();
        let models = blocking(move || load(&loading)).await?;
        let pipeline = app::open_pipeline(config, models).await?;
        Ok(Self::Local(Local::new(config, pipeline)))
    }

    /// Returns the server that holds the data directory, if one does, or the one that a user's command is for.
    pub(super) async fn server(config: &Config) -> anyhow::Result<Option<Client>> {
        if let Some(remote) = &config.remote {
            return remote.client(&config.data_dir).map(Some);
        }
        let data_dir = config.data_dir.clone();
        let server = blocking(move || find_server(&data_dir)).await?;
        if let Some(client) = &server {
            tracing::debug!("using the server at {}", client.url());
        }
        Ok(server)
    }
}

/// The data directory, in this process.
pub(super) struct Local {
    pipeline: Arc<Pipeline>,
    config: Box<Config>,
    audit: OnceCell<Arc<AuditLog>>,
}

impl Deref for Local {
    type Target = Arc<Pipeline>;

    fn deref(&self) -> &Self::Target {
        &self.pipeline
    }
}

impl Local {
    fn new(config: &Config, pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            config: Box::new(config.clone()),
            audit: OnceCell::new(),
        }
    }

    /// Does what changes or shows something, and records it under `action`; it is on record when this returns. Nothing
    /// is done while nothing can be recorded.
    pub(super) async fn audited<T>(
        &self,
        action: &str,
        work: impl AsyncFnOnce(&Audited) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let open = || app::open_audit_log(&self.config);
        let log = self.audit.get_or_try_init(open).await?;
        audited(log, action, work).await
    }
}

/// Does what changes or shows something on behalf of the operator, and records it.
pub(super) async fn audited<T>(
    log: &Arc<AuditLog>,
    action: &str,
    work: impl AsyncFnOnce(&Audited) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    log.require().map_err(|unavailable| {
        Hinted::new(
            unavailable.to_string(),
            "free some space, or see what `kura audit verify` says",
        )
    })?;
    let draft = Draft::new(Who::local_operator(), action, Ended::cut_off());
    let audited = Audited::begin(Arc::clone(log), Class::Mutating, draft);
    let done = work(&audited).await;
    let ended = match &done {
        Ok(_) => Ended::success(),
        Err(_) => Ended::failed("error"),
    };
    audited.finish(ended).await?;
    done
}

/// Runs blocking work on the pool for it.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("a background task failed")?
}

/// Returns the server that holds the data directory, if one answers. A file left over from a server that was killed
/// is no reason to fail: then the directory's lock is free.
fn find_server(data_dir: &std::path::Path) -> anyhow::Result<Option<Client>> {
    let run = run_file::read(data_dir).map_err(|error| {
        Hinted::new(
            format!("cannot find out whether a server runs: {error:#}"),
            "run this command as the account that the server runs under",
        )
    })?;
    Ok(run.map(|run| Client::new(&run)).filter(Client::answers))
}
