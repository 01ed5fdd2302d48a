//! What a configuration must satisfy beyond its types, and how a problem with it reads.

use super::{Config, Origin};
use crate::routes::search::MAX_LIMIT;
use std::path::Path;

/// What a process that reads documents needs at the least.
const MIN_WORKER_MEMORY: u64 = 128 << 20;

/// Longest life of a session.
const MAX_SESSION_SECS: u64 = 366 * 24 * 60 * 60;
/// Most proxies in a row that make sense.
const MAX_PROXIES: usize = 10;
/// Longest time after which records of the audit log are dropped.
const MAX_RETENTION_DAYS: u32 = 36_500;

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    message: String,
    unknown_key: bool,
}

impl Problem {
    pub(super) fn missing_file(path: &Path) -> Self {
        Self::new(format!(
            "the configuration file `{}` does not exist or is no file; correct --config or KURA_CONFIG",
            path.display()
        ))
    }

    pub(super) fn unknown_key(key: &str, origin: &Origin, nearest: Option<&str>) -> Self {
        let remedy = match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "`kura config show --defaults` lists all keys".to_owned(),
        };
        Self {
            message: format!("unknown key `{key}` in {origin}; {remedy}"),
            unknown_key: true,
        }
    }

    pub(super) fn from_figment(error: &figment::Error, key: &str, origin: &Origin) -> Self {
        // Without a key the file as a whole could not be read: no TOML, say.
        let message = if key.is_empty() {
            format!("cannot read {origin}: {}", error.kind)
        } else {
            format!("`{key}` in {origin}: {}", error.kind)
        };
        Self {
            message,
            unknown_key: matches!(error.kind, figment::error::Kind::UnknownField(..)),
        }
    }

    pub(super) fn is_unknown_key(&self) -> bool {
        self.unknown_key
    }

    fn new(message: String) -> Self {
        Self {
            message,
            unknown_key: false,
        }
    }
}

/// Returns everything wrong with the values of `config`.
pub(super) fn validate(config: &Config, origin: impl Fn(&str) -> Origin) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut require = |holds: bool, key: &str, rule: String| {
        if !holds {
            problems.push(Problem::new(format!("`{key}` in {}: {rule}", origin(key))));
        }
    };
    require(
        !config.data_dir.as_os_str().is_empty(),
        "data_dir",
        "must name a folder".to_owned(),
    );
    let server = &config.server;
    require(
        server.listen.ip().is_loopback() || server.is_tls(),
        "server.listen",
        format!(
            "{} is not a loopback address, and without TLS kura listens on loopback only: use 127.0.0.1 or [::1], and for \
             other machines set `server.tls_certificate`, or put a proxy with TLS on this one (see `auth.public_url`)",
            server.listen
        ),
    );
    require(
        server.is_tls() != server.tls_key.as_os_str().is_empty(),
        "server.tls_key",
        "`server.tls_certificate` and `server.tls_key` belong together; set both or neither"
            .to_owned(),
    );
    require(
        !server.is_tls() || config.auth.is_secure(),
        "auth.public_url",
        "must be the https address that people open, since `server.tls_certificate` is set: cookies depend on it"
            .to_owned(),
    );
    for origin in &server.cors_origins {
        require(
            is_origin(origin) && !origin.ends_with('/'),
            "server.cors_origins",
            format!(
                "`{origin}` is no origin like https://intranet.example.com, without a path or a slash"
            ),
        );
    }
    for (key, value) in [
        ("server.request_timeout_secs", server.request_timeout_secs),
        ("server.body_max_bytes", server.body_max_bytes as u64),
        ("server.upload_max_bytes", server.upload_max_bytes as u64),
        (
            "server.max_concurrent_requests",
            server.max_concurrent_requests as u64,
        ),
        ("server.max_connections", server.max_connections as u64),
        ("server.header_timeout_secs", server.header_timeout_secs),
        ("server.body_timeout_secs", server.body_timeout_secs),
        ("server.write_timeout_secs", server.write_timeout_secs),
        ("limits.embeddings", config.limits.embeddings as u64),
        ("limits.uploads", config.limits.uploads as u64),
        ("ingest.worker_cpu_secs", config.ingest.worker_cpu_secs),
        ("retrieval.limit", config.retrieval.limit as u64),
        ("answer.hits", config.answer.hits as u64),
        ("answer.max_new_tokens", config.answer.max_new_tokens as u64),
        ("answer.context_tokens", config.answer.context_tokens as u64),
    ] {
        require(value > 0, key, "must be at least 1".to_owned());
    }
    let auth = &config.auth;
    require(
        (1..=MAX_SESSION_SECS).contains(&auth.session_max_secs),
        "auth.session_max_secs",
        format!(
            "{} is not between 1 and {MAX_SESSION_SECS}, a year",
            auth.session_max_secs
        ),
    );
    require(
        (1..=auth.session_max_secs).contains(&auth.session_idle_secs),
        "auth.session_idle_secs",
        format!(
            "{} is not between 1 and `auth.session_max_secs` ({})",
            auth.session_idle_secs, auth.session_max_secs
        ),
    );
    require(
        auth.public_url.is_empty() || is_origin(&auth.public_url),
        "auth.public_url",
        format!(
            "`{}` is no address like https://kura.example.com, without a path",
            auth.public_url
        ),
    );
    require(
        auth.proxies <= MAX_PROXIES,
        "auth.proxies",
        format!("{} is more than {MAX_PROXIES}", auth.proxies),
    );
    for (key, problem) in auth.oidc.problems(&auth.public_url) {
        require(false, &format!("auth.oidc.{key}"), problem);
    }
    for rule in &config.network.allow {
        let parsed = rule.parse::<kura_egress::Rule>();
        let problem = parsed.err().map(|error| error.to_string());
        require(
            problem.is_none(),
            "network.allow",
            problem.unwrap_or_default(),
        );
    }
    let models = &config.models;
    require(
        !models.embedder.is_empty(),
        "models.embedder",
        "must name an embedder; `kura models list` shows them".to_owned(),
    );
    require(
        models.hub_endpoint.starts_with("https://") || models.hub_endpoint.starts_with("http://"),
        "models.hub_endpoint",
        format!("`{}` is no http or https URL", models.hub_endpoint),
    );
    require(
        models.device.parse::<kura_models::DeviceChoice>().is_ok(),
        "models.device",
        format!("`{}` is none of `auto`, `cpu` and `cuda:N`", models.device),
    );
    require(
        models.max_batch_tokens == 0 || models.max_batch_tokens >= 512,
        "models.max_batch_tokens",
        format!(
            "{} is less than 512, which one long text needs; 0 chooses",
            models.max_batch_tokens
        ),
    );
    require(
        config.ingest.max_text_bytes > 0,
        "ingest.max_text_bytes",
        "0 leaves no document any text".to_owned(),
    );
    require(
        config.ingest.worker_memory_bytes >= MIN_WORKER_MEMORY,
        "ingest.worker_memory_bytes",
        format!(
            "{} is less than {MIN_WORKER_MEMORY}, without which hardly any document can be read",
            config.ingest.worker_memory_bytes
        ),
    );
    let chunking = &config.chunking;
    require(
        chunking.max_tokens >= 32,
        "chunking.max_tokens",
        format!(
            "{} is less than 32; so short a chunk says nothing",
            chunking.max_tokens
        ),
    );
    require(
        chunking.max_tokens == 0 || chunking.overlap_tokens * 2 < chunking.max_tokens,
        "chunking.overlap_tokens",
        format!(
            "{} is not less than half of `chunking.max_tokens` ({})",
            chunking.overlap_tokens, chunking.max_tokens
        ),
    );
    require(
        config.retrieval.candidates >= config.retrieval.limit,
        "retrieval.candidates",
        format!(
            "{} is less than `retrieval.limit` ({})",
            config.retrieval.candidates, config.retrieval.limit
        ),
    );
    require(
        (1..=MAX_LIMIT).contains(&config.retrieval.limit),
        "retrieval.limit",
        format!(
            "{} is not between 1 and {MAX_LIMIT}",
            config.retrieval.limit
        ),
    );
    for (key, value) in [
        ("retrieval.rrf_k", config.retrieval.rrf_k),
        ("retrieval.dense_weight", config.retrieval.dense_weight),
        ("retrieval.lexical_weight", config.retrieval.lexical_weight),
        ("retrieval.late_weight", config.retrieval.late_weight),
        ("retrieval.bm25_k1", config.retrieval.bm25_k1),
        ("retrieval.recency_weight", config.retrieval.recency_weight),
    ] {
        require(
            value.is_finite() && value >= 0.0,
            key,
            format!("{value} is not 0 or more"),
        );
    }
    for (key, value) in [
        ("retrieval.bm25_b", config.retrieval.bm25_b),
        (
            "retrieval.neighbor_weight",
            config.retrieval.neighbor_weight,
        ),
    ] {
        require(
            (0.0..=1.0).contains(&value),
            key,
            format!("{value} is not between 0 and 1"),
        );
    }
    require(
        config.retrieval.dense_weight + config.retrieval.lexical_weight > 0.0,
        "retrieval.dense_weight",
        "is 0 and so is `retrieval.lexical_weight`; nothing would rank".to_owned(),
    );
    let half_life = config.retrieval.recency_half_life_days;
    require(
        half_life.is_finite() && half_life > 0.0,
        "retrieval.recency_half_life_days",
        format!("{half_life} is not more than 0"),
    );
    require(
        (0.0..=1.0).contains(&config.answer.min_support),
        "answer.min_support",
        format!("{} is not between 0 and 1", config.answer.min_support),
    );
    require(
        config.audit.retention_days <= MAX_RETENTION_DAYS,
        "audit.retention_days",
        format!(
            "{} is more than {MAX_RETENTION_DAYS}, a hundred years; 0 keeps records for ever",
            config.audit.retention_days
        ),
    );
    require(
        tracing_subscriber::EnvFilter::try_new(&config.log.level).is_ok(),
        "log.level",
        format!("`{}` is no level and no filter", config.log.level),
    );
    problems
}

/// Returns whether this is scheme, host and port of a web address, and nothing more.
fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.origin().ascii_serialization() == text.trim_end_matches('/')
    })
}
