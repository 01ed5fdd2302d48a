//! Logs and metrics: names and setup in one place.

use crate::config::{LogConfig, LogFormat};
use anyhow::Context as _;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Seconds; from a cached search to a long generation on a CPU.
const BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0,
];

/// Connections opened, and refused.
pub const EGRESS_OPENED: &str = "kura_egress_connections_total";
pub const EGRESS_REFUSED: &str = "kura_egress_refused_total";

/// Engines whose own chatter says nothing to an operator; naming them in `log.level` brings it back.
const QUIET: &str = "qdrant_edge=error,tantivy=warn,lopdf=error,pdf_extract=error";

/// Starts logging to stderr.
///
/// # Errors
/// When the filter is invalid or logging was started before.
pub fn init_logs(config: &LogConfig) -> anyhow::Result<()> {
    // The vector engine warns about flags that only its own server sets.
    let filter = tracing_subscriber::EnvFilter::try_new(format!("{QUIET},{}", config.level))
        .with_context(|| format!("`log.level`: `{}` is no level and no filter", config.level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Text => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

/// Returns the process's metrics, recording from the first call on.
///
/// # Errors
/// When another recorder was installed.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    let installed = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?
        .install_recorder()
        .context("cannot start metrics")?;
    describe();
    Ok(handle.insert(installed).clone())
}

/// Returns what this process has connected to, as Prometheus reads it.
#[must_use]
pub fn egress() -> String {
    let counts = kura_egress::counts();
    let mut text = String::new();
    let mut counter = |name: &str, help: &str, value: fn(&kura_egress::Count) -> u64| {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n");
        for count in &counts {
            let peer = count.peer.replace(['"', '\\', '\n'], "_");
            let _ = writeln!(
                text,
                "{name}{{purpose=\"{}\",peer=\"{peer}\"}} {}",
                count.purpose.name(),
                value(count)
            );
        }
    };
    counter(
        EGRESS_OPENED,
        "connections that kura opened, by peer",
        |count| count.opened,
    );
    counter(
        EGRESS_REFUSED,
        "connections that network.allow refused, by peer",
        |count| count.refused,
    );
    text
}

/// Layer: counts requests and measures the time until their answer begins.
pub async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => {
            known.to_owned()
        }
        // Anyone can make up methods; each would be a series.
        _ => "other".to_owned(),
    };
    // The route's pattern, never the path: ids would make a series each.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("other", MatchedPath::as_str)
        .to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    counter!("kura_http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!("kura_http_request_duration_seconds", "route" => route)
        .record(started.elapsed().as_secs_f64());
    response
}

/// Records how long the stages of a search took.
pub fn record_search(timings: &kura_indexer::retrieve::SearchTimings) {
    for (stage, ms) in timings.steps() {
        histogram!("kura_search_duration_seconds", "stage" => stage).record(ms / 1000.0);
    }
}

/// Records how an answer ended and what it took. `outcome` is `grounded`, `no_evidence` or `failed`.
pub fn record_answer(outcome: &'static str, mode: &'static str) {
    counter!("kura_answers_total", "outcome" => outcome, "mode" => mode).increment(1);
}

/// Records that a person rated an answer `up` or `down`.
pub fn record_feedback(rating: &'static str) {
    counter!("kura_feedback_total", "rating" => rating).increment(1);
}

/// Records how an attempt to sign in ended: `signed_in`, `refused`, `code_required` or `throttled`.
pub fn record_sign_in(outcome: &'static str) {
    counter!("kura_sign_ins_total", "outcome" => outcome).increment(1);
}

/// Records the tokens a generation read and wrote.
pub fn record_tokens(usage: kura_models::Usage) {
    for (kind, n) in [
        ("prompt", usage.prompt_tokens),
        ("cached", usage.cached_tokens),
        ("completion", usage.completion_tokens),
    ] {
        counter!("kura_tokens_total", "kind" => kind).increment(n as u64);
    }
}

fn describe() {
    describe_counter!(
        "kura_http_requests_total",
        "HTTP requests by method, route and status"
    );
    describe_histogram!(
        "kura_http_request_duration_seconds",
        Unit::Seconds,
        "time until the answer began, by route"
    );
    describe_histogram!(
        "kura_ingest_duration_seconds",
        Unit::Seconds,
        "time to index one document"
    );
    describe_counter!("kura_jobs_total", "ingest jobs by final state");
    describe_counter!(
        "kura_jobs_interrupted_total",
        "ingest jobs that kura failed to run and retries"
    );
    describe_counter!("kura_jobs_failed_total", "failed ingest jobs by code");
    describe_gauge!("kura_jobs", "ingest jobs by state");
    describe_gauge!(
        "kura_jobs_oldest_queued_seconds",
        Unit::Seconds,
        "how long the oldest queued job has waited"
    );
    describe_gauge!("kura_jobs_paused", "1 while the queue is paused");
    describe_histogram!(
        "kura_ingest_stage_duration_seconds",
        Unit::Seconds,
        "time of a stage: of one file for extract and chunk, of one call for embed, of one batch for store"
    );
    describe_counter!("kura_ingest_documents_total", "documents made searchable");
    describe_counter!(
        "kura_ingest_bytes_total",
        Unit::Bytes,
        "bytes of their files"
    );
    describe_counter!("kura_ingest_tokens_total", "tokens embedded");
    describe_counter!(
        "kura_ingest_chunks_total",
        "chunks that got their vector, by whether it was embedded or reused"
    );
    describe_counter!(
        "kura_sync_scans_total",
        "scans of sources by kind and outcome"
    );
    describe_counter!(
        "kura_sync_items_total",
        "what scans found, by kind of source and change"
    );
    describe_histogram!(
        "kura_sync_scan_duration_seconds",
        Unit::Seconds,
        "time of a scan of a source"
    );
    describe_histogram!(
        "kura_search_duration_seconds",
        Unit::Seconds,
        "time of a search by stage"
    );
    describe_counter!(
        "kura_audit_records_total",
        "records of the audit log made durable"
    );
    describe_counter!(
        "kura_audit_refused_total",
        "requests refused because the audit log cannot be written"
    );
    describe_gauge!(
        "kura_audit_unavailable",
        "1 while the audit log cannot be written"
    );
    describe_histogram!(
        "kura_audit_commit_duration_seconds",
        Unit::Seconds,
        "time to make waiting records durable"
    );
    describe_counter!(
        "kura_requests_refused_total",
        "requests refused because there was too much to do or somebody asked for too much, by reason"
    );
    describe_gauge!("kura_pool_running", "requests worked on by kind of work");
    describe_gauge!("kura_pool_waiting", "requests that wait by kind of work");
    describe_gauge!("kura_connections", "open connections");
    describe_counter!(
        "kura_connections_evicted_total",
        "idle connections closed to make room for others"
    );
    describe_counter!(
        "kura_connections_refused_total",
        "connections refused because all others were at work"
    );
    describe_counter!("kura_answers_total", "answers by outcome and mode");
    describe_counter!(
        "kura_feedback_total",
        "ratings of answers, changed ones too"
    );
    describe_counter!("kura_sign_ins_total", "attempts to sign in by outcome");
    describe_counter!("kura_tokens_total", "tokens of generations by kind");
}
