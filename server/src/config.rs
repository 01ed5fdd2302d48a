//! kura's configuration: load, merge, validate.
//!
//! [`load`] reads the layers (defaults, file, environment, flags) and validates the result; it has no
//! side effects. Nothing below this module reads the environment. The file `default.toml` beside this one is
//! both the documentation and the defaults: there is no other place that knows a default.

mod layers;
mod oidc;
mod validate;

use crate::answer::AnswerConfig;
use crate::commands::remote::Remote;
use crate::identity::Lifetimes;
use jiff::SignedDuration;
use kura_egress::Egress;
use kura_indexer::fuse::{Fusion, FusionMethod};
use kura_indexer::store::Bm25;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

pub use layers::{Flags, Loaded, Origin, Setting, load};
pub use oidc::OidcConfig;
pub(crate) use oidc::is_loopback;
pub use validate::Problem;

/// The documented defaults, as TOML.
pub const DEFAULT_TOML: &str = include_str!("config/default.toml");

/// The configuration in effect. `default.toml` documents every key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Everything kura keeps.
    pub data_dir: PathBuf,
    /// The HTTP server.
    pub server: ServerConfig,
    /// How people sign in.
    pub auth: AuthConfig,
    /// How much may be done at the same time, and by whom.
    pub limits: LimitsConfig,
    /// Which models, and where they run.
    pub models: ModelsConfig,
    /// Where connections may lead.
    pub network: NetworkConfig,
    /// How the data directory is used.
    pub storage: StorageConfig,
    /// How documents are read.
    pub ingest: IngestConfig,
    /// How documents are cut.
    pub chunking: ChunkingConfig,
    /// How chunks are found.
    pub retrieval: RetrievalConfig,
    /// How answers are written.
    pub answer: AnswerConfig,
    /// What is recorded of what people do.
    pub audit: AuditConfig,
    /// What is logged.
    pub log: LogConfig,
    /// As whom a command works, and where; without it as the operator, on the data directory or with the server that
    /// holds it. It is no setting: [`crate::commands`] reads it from the environment.
    #[serde(skip)]
    pub remote: Option<Remote>,
}

/// The HTTP server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port; without TLS loopback only.
    pub listen: SocketAddr,
    /// The certificate chain, in PEM; empty: no TLS.
    pub tls_certificate: PathBuf,
    /// Its private key, in PEM.
    pub tls_key: PathBuf,
    /// Connections open at the same time.
    pub max_connections: usize,
    /// Longest time until a connection has sent the head of a request, in seconds.
    pub header_timeout_secs: u64,
    /// Longest time until the body has come, in seconds; of an upload, until it must come at a certain rate.
    pub body_timeout_secs: u64,
    /// Longest time that a client takes nothing of its response, in seconds.
    pub write_timeout_secs: u64,
    /// Pages of other origins that may call the API.
    pub cors_origins: Vec<String>,
    /// Longest time until an answer begins, in seconds.
    pub request_timeout_secs: u64,
    /// Largest JSON body.
    pub body_max_bytes: usize,
    /// Largest upload request.
    pub upload_max_bytes: usize,
    /// Requests worked on at the same time.
    pub max_concurrent_requests: usize,
    /// Grace for open requests at shutdown, in seconds.
    pub shutdown_timeout_secs: u64,
}

/// How people sign in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// Seconds without use after which a session ends.
    pub session_idle_secs: u64,
    /// Seconds after which a session ends in any case.
    pub session_max_secs: u64,
    /// The address that people open; empty: that of the server itself.
    pub public_url: String,
    /// Reverse proxies in front.
    pub proxies: usize,
    /// Single sign-on.
    pub oidc: OidcConfig,
    /// A file that holds the admin API key; empty: kura makes one.
    pub admin_key_file: PathBuf,
}

/// How much may be done at the same time, and by whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Requests a minute of each user; 0: any number.
    pub requests_per_minute: u64,
    /// Questions a minute of each user; 0: any number.
    pub answers_per_minute: u64,
    /// Tokens of models a day of each user; 0: any number.
    pub tokens_per_day: u64,
    /// Requests of one user at the same time; 0: any number.
    pub concurrent_per_user: u64,
    /// Searches at the same time; 0: one per core.
    pub searches: usize,
    /// Searches that wait.
    pub searches_waiting: usize,
    /// Questions at the same time; 0: one with a generator, else one per core.
    pub answers: usize,
    /// Questions that wait.
    pub answers_waiting: usize,
    /// Requests for embeddings and reranking at the same time.
    pub embeddings: usize,
    /// Those that wait.
    pub embeddings_waiting: usize,
    /// Uploads at the same time.
    pub uploads: usize,
    /// Uploads that wait.
    pub uploads_waiting: usize,
}

impl ServerConfig {
    /// Returns whether kura speaks TLS itself.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        !self.tls_certificate.as_os_str().is_empty()
    }
}

impl AuthConfig {
    /// Returns how long sessions last.
    #[must_use]
    pub fn lifetimes(&self) -> Lifetimes {
        let span = |secs| SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX));
        Lifetimes {
            idle: span(self.session_idle_secs),
            max: span(self.session_max_secs),
        }
    }

    /// Returns whether people reach kura over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}

/// Which models, and where they run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelsConfig {
    /// Folder of the installed models; empty: `models` in the data directory.
    pub dir: PathBuf,
    /// Registry name of the embedder.
    pub embedder: String,
    /// Registry name of the reranker; empty: none.
    pub reranker: String,
    /// Registry name of the generator; empty: none.
    pub generator: String,
    /// Registry name of the recognizer; empty: none.
    pub recognizer: String,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// Base URL of the model hub.
    pub hub_endpoint: String,
    /// CPU threads that run the embedder; 0: one per core.
    pub threads: usize,
    /// Most tokens in one embedding batch; 0: chosen by device.
    pub max_batch_tokens: usize,
}

/// Where connections may lead.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Hosts of the network; without any kura is offline.
    pub allow: Vec<String>,
}

/// How the data directory is used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// Room that must be left before anything is added.
    pub min_free_bytes: u64,
}

/// How documents are read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// Whether the text of pictures and scanned pages is recognized.
    pub ocr: OcrMode,
    /// How the processes that read documents are confined.
    pub sandbox: SandboxName,
    /// Processes that read documents; 0: one per two cores.
    pub workers: usize,
    /// Memory of each, for files up to 32 MiB.
    pub worker_memory_bytes: u64,
    /// Seconds of processor time for a small file.
    pub worker_cpu_secs: u64,
    /// Text that a document may hold.
    pub max_text_bytes: usize,
}

/// How the processes that read documents are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxName {
    /// No document is read unless they are confined completely.
    Required,
    /// As far as the kernel can.
    BestEffort,
    /// Documents are read in the server itself.
    Off,
}

impl IngestConfig {
    /// Returns the number of processes that read documents.
    #[must_use]
    pub fn workers(&self) -> usize {
        if self.workers > 0 {
            return self.workers;
        }
        std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
    }
}

/// Whether the text of pictures and scanned pages is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OcrMode {
    /// Where there is no sound text, if the model is installed.
    Auto,
    /// Never.
    Off,
}

/// How documents are cut.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkingConfig {
    /// Longest chunk, in tokens of the embedder.
    pub max_tokens: usize,
    /// Tokens shared by neighbors.
    pub overlap_tokens: usize,
    /// Sections with fewer tokens are joined with a neighbor.
    pub min_tokens: usize,
}

/// How chunks are found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrievalConfig {
    /// Chunks taken from each index before fusion.
    pub candidates: usize,
    /// Chunks returned by default.
    pub limit: usize,
    /// How much further occurrences of a word count.
    pub bm25_k1: f32,
    /// How much a chunk's length counts.
    pub bm25_b: f32,
    /// How the signals become one score.
    pub fusion: FusionName,
    /// The `k` of reciprocal rank fusion.
    pub rrf_k: f32,
    /// Weight of the dense leg.
    pub dense_weight: f32,
    /// Weight of the lexical leg.
    pub lexical_weight: f32,
    /// Weight of late interaction.
    pub late_weight: f32,
    /// How far a score leans on those of similar candidates in long queries.
    #[serde(default)]
    pub neighbor_weight: f32,
    /// Milliseconds into a search after which late interaction is dropped.
    pub late_budget_ms: u64,
    /// Whether hits that say the same take one place.
    pub collapse_duplicates: bool,
    /// Weight of recency.
    #[serde(default)]
    pub recency_weight: f32,
    /// Days in which recency falls to half.
    #[serde(default)]
    pub recency_half_life_days: f32,
    /// Fused candidates that the reranker reads; 0: none.
    pub rerank_candidates: usize,
    /// Milliseconds into a search after which the reranker is dropped.
    pub rerank_budget_ms: u64,
}

/// How the signals of a candidate become one score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Fusion)]
pub enum FusionName {
    /// Standard scores over the candidates.
    Standardized,
    /// Reciprocal ranks.
    Rrf,
}

impl RetrievalConfig {
    /// Returns how the keyword leg scores.
    #[must_use]
    pub fn bm25(&self) -> Bm25 {
        Bm25 {
            k1: self.bm25_k1,
            b: self.bm25_b,
        }
    }

    /// Returns how the signals are combined.
    #[must_use]
    pub fn fusion(&self) -> Fusion {
        Fusion {
            method: match self.fusion {
                FusionName::Standardized => FusionMethod::Standardized,
                FusionName::Rrf => FusionMethod::ReciprocalRank { k: self.rrf_k },
            },
            dense_weight: self.dense_weight,
            lexical_weight: self.lexical_weight,
            late_weight: self.late_weight,
            neighbor_weight: self.neighbor_weight,
            recency_weight: self.recency_weight,
            recency_half_life_days: self.recency_half_life_days,
        }
    }
}

/// What is recorded of what people do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditConfig {
    /// Whether questions are kept as they were asked.
    pub content: bool,
    /// Whether nothing is shown that is not on record, rather than that searches go on while the disk takes nothing.
    pub reads_need_record: bool,
    /// Days after which records are dropped; 0: never.
    pub retention_days: u32,
}

/// What is logged.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Level or filter directives.
    pub level: String,
    /// Form of a line.
    pub format: LogFormat,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Returns the folder of the installed models.
    #[must_use]
    pub fn models_dir(&self) -> PathBuf {
        if self.models.dir.as_os_str().is_empty() {
            self.data_dir.join("models")
        } else {
            self.models.dir.clone()
        }
    }

    /// Returns where sources may be read from. For signing in it is [`OidcConfig::egress`].
    #[must_use]
    pub fn egress(&self) -> Egress {
        // What is no rule was refused when the configuration was loaded.
        Egress::to(
            self.network
                .allow
                .iter()
                .flat_map(|rule| rule.parse())
                .collect(),
        )
    }

    /// Returns the reranker's name, if one is configured.
    #[must_use]
    pub fn reranker(&self) -> Option<&str> {
        Some(self.models.reranker.as_str()).filter(|id| !id.is_empty())
    }

    /// Returns the recognizer's name, if recognition is on and one is configured.
    #[must_use]
    pub fn recognizer(&self) -> Option<&str> {
        let is_on = self.ingest.ocr == OcrMode::Auto;
        Some(self.models.recognizer.as_str()).filter(|id| is_on && !id.is_empty())
    }

    /// Returns the generator's name, if one is configured.
    #[must_use]
    pub fn generator(&self) -> Option<&str> {
        Some(self.models.generator.as_str()).filter(|id| !id.is_empty())
    }
}
