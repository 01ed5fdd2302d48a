//! [`App`]: everything a request needs, built once from [`Config`].

use crate::answer::Assistant;
use crate::audit::AuditLog;
use crate::auth::oidc::Oidc;
use crate::auth::{ApiKeys, Created};
use crate::config::{Config, RetrievalConfig, SandboxName};
use crate::conversations::Conversations;
use crate::evaluations::Evaluations;
use crate::forget::Forgetter;
use crate::identity::{Identity, Throttle};
use crate::jobs::{self, Jobs};
use crate::limits::Limits;
use crate::sync::{self, Sync};
use crate::telemetry;
use anyhow::Context as _;
use kura_indexer::chunk::ChunkConfig;
use kura_indexer::extract::isolation::{self, Extractor, InProcess, Workers};
use kura_indexer::{
    AccessFilter, DocumentId, IndexConfig, IndexModels, Pipeline, Reranking, Tools,
};
use kura_models::registry::Installed;
use kura_models::{DeviceChoice, EmbedConfig, Embedder, Generator, Registry, Reranker};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What handlers get as state.
pub type AppState = Arc<App>;

/// Everything a request needs.
pub struct App {
    /// The configuration in effect.
    pub config: Config,
    /// Documents and search.
    pub pipeline: Arc<Pipeline>,
    /// Answers.
    pub assistant: Arc<Assistant>,
    /// The admin key and the local token.
    pub keys: ApiKeys,
    /// Users, groups, sessions and their keys.
    pub identity: Identity,
    /// Single sign-on, if it is set up.
    pub oidc: Option<Arc<Oidc>>,
    /// Slows down guessing of passwords.
    pub throttle: Throttle,
    /// How much may be done at the same time, and by whom.
    pub limits: Limits,
    /// Who did what.
    pub audit: Arc<AuditLog>,
    /// Past conversations.
    pub conversations: Conversations,
    /// Measurements of quality.
    pub evaluations: Evaluations,
    /// Erases for good.
    pub forgetter: Arc<Forgetter>,
    /// The way to the background worker.
    pub jobs: Jobs,
    /// The way to the sources' tasks.
    pub sync: Sync,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Cancelled when the server stops; streams that would go on for ever end then.
    pub stopping: CancellationToken,
}

/// The models in memory.
#[derive(Clone)]
pub struct Models {
    /// Turns text into vectors.
    pub embedder: Arc<dyn Embedder>,
    /// Orders what was found; without one, fusion does.
    pub reranker: Option<Arc<dyn Reranker>>,
    /// Writes answers; without one, answers are extracted.
    pub generator: Option<Arc<dyn Generator>>,
}

/// An [`App`] and the secrets of its start.
pub struct Started {
    /// The app.
    pub app: AppState,
    /// The admin key, if this start made it.
    pub admin_key: Option<SecretString>,
    /// The token of this run for commands on this machine.
    pub local_token: SecretString,
}

impl App {
    /// Opens the data directory and the stores in it. Must run within a tokio runtime.
    ///
    /// # Errors
    /// When the data directory is in use, a store cannot be opened or the key file is damaged.
    pub async fn start(config: Config, models: Models) -> anyhow::Result<Started> {
        let index_models = IndexModels {
            embedder: models.embedder,
            reranker: models.reranker,
            extractor: extractor(&config)?,
        };
        let pipeline = open_pipeline(&config, index_models).await?;
        let conversations = Conversations::open(&config.data_dir.join("conversations.db"))?;
        let identity = Identity::open(&config.data_dir)?;
        let oidc = Oidc::open(&config.auth)?.map(Arc::new);
        let assistant = assistant(&config, Arc::clone(&pipeline), models.generator).await?;
        let stopping = CancellationToken::new();
        let evaluations = Evaluations::open(&config.data_dir, stopping.clone());
        let metrics = telemetry::metrics()?;
        // Last, so that a start that fails has not made a key that nobody saw.
        let Created { keys, admin, local } =
            ApiKeys::open(&config.data_dir, &config.auth.admin_key_file)?;
        let audit = open_audit_log(&config).await?;
        let forgetter = Arc::new(Forgetter::new(
            Arc::clone(&pipeline),
            conversations.clone(),
            identity.clone(),
            Arc::clone(&audit),
        ));
        let limits = Limits::new(&config, identity.clone(), assistant.generator.is_some());
        let app = Arc::new(Self {
            limits,
            forgetter,
            pipeline,
            assistant,
            keys,
            identity,
            oidc,
            throttle: Throttle::default(),
            audit,
            conversations,
            evaluations,
            jobs: Jobs::default(),
            sync: Sync::default(),
            metrics,
            stopping,
            config,
        });
        app.withdraw_stale_answers().await?;
        Ok(Started {
            app,
            admin_key: admin,
            local_token: local,
        })
    }

    /// Starts the background worker; it ends with [`App::stopping`].
    pub fn spawn_worker(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        tokio::spawn(jobs::work(Arc::clone(self)))
    }

    /// Starts taking up what is to be forgotten and was left undone; it ends with [`App::stopping`].
    pub fn spawn_forgetter(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.forgetter).work(self.stopping.clone()))
    }

    /// Starts keeping sources in step; it ends with [`App::stopping`].
    pub fn spawn_sync(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        tokio::spawn(sync::work(Arc::clone(self)))
    }

    /// Returns the documents that a conversation's answers cite and that its owner may not read, or not any more.
    ///
    /// # Errors
    /// When the catalog or the conversations fail.
    pub async fn hidden_from(
        &self,
        owner: &str,
        conversation: Uuid,
        access: &AccessFilter,
    ) -> anyhow::Result<HashSet<DocumentId>> {
        let cited = self.conversations.cited_in(owner, conversation).await?;
        let readable = self.pipeline.readable_documents(cited.clone(), access);
        let readable = readable.await?;
        let cited = cited.into_iter();
        Ok(cited.filter(|id| !readable.contains(id)).collect())
    }

    /// Takes the text out of kept answers that rest on a document replaced or deleted since.
    ///
    /// # Errors
    /// When the catalog or the conversations fail.
    pub async fn withdraw_stale_answers(&self) -> anyhow::Result<()> {
        let cited = self.conversations.cited().await?;
        let documents = cited.iter().map(|(document, _)| *document).collect();
        let visible = self.pipeline.visible_versions(documents).await?;
        let stale: Vec<(DocumentId, u32)> = cited
            .into_iter()
            .filter(|(document, version)| visible.get(document) != Some(version))
            .collect();
        self.conversations.withdraw(stale).await
    }
}

/// Opens the audit log of the configured data directory.
///
/// # Errors
/// Only when the runtime is stopping; a log that cannot be used says so itself.
pub async fn open_audit_log(config: &Config) -> anyhow::Result<Arc<AuditLog>> {
    let (data_dir, audit) = (config.data_dir.clone(), config.audit.clone());
    let opening = tokio::task::spawn_blocking(move || AuditLog::open(&data_dir, &audit));
    Ok(Arc::new(opening.await?))
}

/// Loads the configured embedder.
///
/// # Errors
/// When it is not installed or cannot be loaded.
pub fn load_embedder(config: &Config) -> anyhow::Result<Arc<dyn Embedder>> {
    let registry = registry(config)?;
    let installed = registry.locate(&config.models.embedder)?;
    let embedder = kura_models::load_embedder(&installed, &device(config)?, &embed_config(config))
        .with_context(|| format!("cannot load the embedder `{}`", config.models.embedder))?;
    Ok(embedder)
}

/// Loads the configured reranker: `None` if none is configured.
///
/// # Errors
/// When it is not installed or cannot be loaded: whoever names one wants its order.
pub fn load_reranker(config: &Config) -> anyhow::Result<Option<Arc<dyn Reranker>>> {
    let Some(id) = config.reranker() else {
        return Ok(None);
    };
    let installed = registry(config)?.locate(id)?.with_recorded_hashes()?;
    let reranker = kura_models::load_reranker(&installed, &device(config)?, &embed_config(config))
        .with_context(|| format!("cannot load the reranker `{id}`"))?;
    Ok(Some(reranker))
}

/// Has the reranker read a few texts, so that the first search finds it warm, and tells how it stands to its budget.
///
/// # Errors
/// When it fails.
pub async fn warm_up(reranker: &dyn Reranker, retrieval: &RetrievalConfig) -> anyhow::Result<()> {
    /// About as long as a chunk.
    const TEXT: &str = "Section 4.2: the supplier delivers within thirty days of the order. ";
    /// A model slower than this is too slow for any search.
    const PATIENCE: Duration = Duration::from_secs(5);
    let id = &reranker.spec().id;
    let texts = [TEXT.repeat(12), TEXT.repeat(12)];
    let mut per_text = PATIENCE;
    for _ in 0..2 {
        let begun = Instant::now();
        let reading = reranker.rerank("How long may a delivery take?", &texts);
        let Ok(read) = tokio::time::timeout(PATIENCE, reading).await else {
            break;
        };
        read.with_context(|| format!("the reranker `{id}` does not work"))?;
        per_text = begun.elapsed() / 2;
    }
    let candidates = u32::try_from(retrieval.rerank_candidates).unwrap_or(u32::MAX);
    let needed = per_text.saturating_mul(candidates).as_millis();
    let budget = retrieval.rerank_budget_ms;
    if needed > u128::from(budget) {
        tracing::warn!(
            "the reranker `{id}` needs about {needed} ms for {candidates} candidates, and `retrieval.rerank_budget_ms` \
             is {budget}: searches will go without it; raise that, lower `retrieval.rerank_candidates`, or use a \
             smaller model"
        );
    } else {
        tracing::info!("the reranker `{id}` needs about {needed} ms for {candidates} candidates");
    }
    Ok(())
}

/// Loads what a search needs.
///
/// # Errors
/// Those of [`load_embedder`] and [`load_reranker`].
pub fn load_index_models(config: &Config) -> anyhow::Result<IndexModels> {
    Ok(IndexModels {
        embedder: load_embedder(config)?,
        reranker: load_reranker(config)?,
        extractor: extractor(config)?,
    })
}

/// Loads what indexing needs.
///
/// # Errors
/// Those of [`load_embedder`] and [`extractor`].
pub fn load_ingest_models(config: &Config) -> anyhow::Result<IndexModels> {
    Ok(IndexModels {
        embedder: load_embedder(config)?,
        reranker: None,
        extractor: extractor(config)?,
    })
}

/// Finds the configured recognizer: `None` if recognition is off or the model is not installed, which is logged.
///
/// # Errors
/// When the registry or the model's folder cannot be read.
pub fn installed_recognizer(config: &Config) -> anyhow::Result<Option<Installed>> {
    let Some(id) = config.recognizer() else {
        return Ok(None);
    };
    match registry(config)?.locate(id) {
        Ok(installed) => Ok(Some(installed)),
        Err(kura_models::Error::NotInstalled { .. }) => {
            tracing::info!(
                "the recognizer `{id}` is not installed, so pictures and scans have no text; run `kura models pull {id}`"
            );
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Loads the configured generator: `None` if none is configured or it is not installed, which is logged.
///
/// # Errors
/// When it is installed but cannot be loaded.
pub fn load_generator(config: &Config) -> anyhow::Result<Option<Arc<dyn Generator>>> {
    let Some(id) = config.generator() else {
        return Ok(None);
    };
    let registry = registry(config)?;
    let installed = match registry.locate(id) {
        Ok(installed) => installed,
        Err(kura_models::Error::NotInstalled { .. }) => {
            tracing::warn!(
                "the generator `{id}` is not installed, so answers are extracted; run `kura models pull {id}`"
            );
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let generator = kura_models::load_generator(&installed, &device(config)?)
        .with_context(|| format!("cannot load the generator `{id}`"))?;
    Ok(Some(generator))
}

/// Returns what reads documents: worker processes, unless the sandbox is off.
///
/// # Errors
/// When the path of this program is unknown.
pub fn extractor(config: &Config) -> anyhow::Result<Arc<dyn Extractor>> {
    if let Some(workers) = workers(config)? {
        return Ok(Arc::new(workers));
    }
    let recognizer = match installed_recognizer(config)? {
        Some(installed) => Some(kura_models::load_recognizer(&installed, None)?),
        None => None,
    };
    Ok(Arc::new(InProcess::new(Tools::new(recognizer))))
}

/// Returns the pool of processes that read documents; `None` when the sandbox is off.
///
/// # Errors
/// When the path of this program is unknown.
pub fn workers(config: &Config) -> anyhow::Result<Option<Workers>> {
    let ingest = &config.ingest;
    let protection = match ingest.sandbox {
        SandboxName::Off => return Ok(None),
        SandboxName::BestEffort => "best-effort",
        SandboxName::Required => "required",
    };
    let program = std::env::current_exe().context("cannot find out where this program lies")?;
    let mut arguments = ["extract-worker", "--protection", protection]
        .map(OsString::from)
        .to_vec();
    if let Some(installed) = installed_recognizer(config)? {
        arguments.extend(["--recognizer".into(), installed.dir.into()]);
    }
    let limits = isolation::Limits {
        memory_bytes: ingest.worker_memory_bytes,
        cpu: Duration::from_secs(ingest.worker_cpu_secs),
        ..isolation::Limits::default()
    };
    Ok(Some(Workers::new(
        program,
        arguments,
        ingest.workers(),
        limits,
    )))
}

/// Opens the pipeline of the configured data directory.
///
/// # Errors
/// When the directory is in use or a store cannot be opened.
pub async fn open_pipeline(
    config: &Config,
    models: impl Into<IndexModels>,
) -> anyhow::Result<Arc<Pipeline>> {
    // What is in it is for the operator's account only. A directory that is there keeps its mode.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir)
        .with_context(|| {
            format!(
                "cannot create the data directory `{}`; choose another with --data-dir or `data_dir`",
                config.data_dir.display()
            )
        })?;
    Ok(Pipeline::open(&config.data_dir, models, index_config(config)).await?)
}

/// Puts together what answers questions.
///
/// # Errors
/// Those of the embedder.
pub async fn assistant(
    config: &Config,
    pipeline: Arc<Pipeline>,
    generator: Option<Arc<dyn Generator>>,
) -> anyhow::Result<Arc<Assistant>> {
    Ok(Arc::new(
        Assistant::new(pipeline, generator, config.answer.clone()).await?,
    ))
}

/// Returns how documents are cut and found.
#[must_use]
pub fn index_config(config: &Config) -> IndexConfig {
    let retrieval = &config.retrieval;
    IndexConfig {
        chunking: ChunkConfig {
            max_tokens: config.chunking.max_tokens,
            overlap_tokens: config.chunking.overlap_tokens,
            min_tokens: config.chunking.min_tokens,
        },
        max_text_bytes: config.ingest.max_text_bytes,
        candidates: retrieval.candidates,
        bm25: retrieval.bm25(),
        fusion: retrieval.fusion(),
        collapse_duplicates: retrieval.collapse_duplicates,
        late_budget: Duration::from_millis(retrieval.late_budget_ms),
        reranking: Reranking {
            candidates: retrieval.rerank_candidates,
            budget: Some(Duration::from_millis(retrieval.rerank_budget_ms)),
        },
        min_free_bytes: config.storage.min_free_bytes,
    }
}

/// Returns the device that the configuration asks for.
///
/// # Errors
/// When it is none of the known forms; a validated configuration never is.
pub fn device(config: &Config) -> anyhow::Result<DeviceChoice> {
    Ok(config.models.device.parse()?)
}

fn embed_config(config: &Config) -> EmbedConfig {
    EmbedConfig {
        threads: Some(config.models.threads).filter(|n| *n > 0),
        max_batch_tokens: Some(config.models.max_batch_tokens).filter(|n| *n > 0),
    }
}

/// Returns the registry of the configured models folder.
///
/// # Errors
/// When its `registry.toml` is invalid.
pub fn registry(config: &Config) -> anyhow::Result<Registry> {
    Ok(Registry::open(&config.models_dir())?.with_hub(&config.models.hub_endpoint))
}
