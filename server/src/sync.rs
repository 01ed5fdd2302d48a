//! Keeps sources in step in the background: one task per source, which scans when it is due, asked for or told of a change.
//!
//! Everything that must not be lost is in the catalog; this module holds nothing that a crash could lose.

mod connect;
pub mod folder;
mod follow;
pub mod git;
pub mod globs;
pub mod imap;
mod listing;
pub mod place;
pub mod s3;
mod watch;
pub mod web;

pub use connect::{Connecting, connect};
pub use follow::work;

use crate::config::Config;
use jiff::Timestamp;
use kura_indexer::catalog::{Source, SourceId};
use kura_indexer::sync::{Failure, ScanOptions, ScanReport};
use kura_indexer::{Pipeline, sync};
use place::{Place, Settings};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What someone wants of the next scan.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScanRequest {
    /// Whether a listing is believed that lacks most of what was there.
    pub allow_deletions: bool,
    /// Whether what was refused or could not be indexed is tried again.
    pub retry: bool,
}

/// The connection between the sources' tasks and the rest of the server.
#[derive(Debug, Default)]
pub struct Sync {
    /// The list of sources, or one of them, has changed.
    changed: Notify,
    live: Mutex<HashMap<SourceId, Live>>,
}

/// What a source is doing.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// What the scan under way has done so far.
    pub scanning: Option<ScanReport>,
    /// Why changes are noticed by periodic scans only, although watching was asked for.
    pub watch_error: Option<String>,
    request: Option<ScanRequest>,
    wake: Arc<Notify>,
}

impl Live {
    /// Returns whether a scan is under way or asked for.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.scanning.is_some() || self.request.is_some()
    }
}

impl Sync {
    /// Tells that sources were added, removed, paused or resumed.
    pub fn notify(&self) {
        self.changed.notify_one();
    }

    /// Asks for a scan, which begins soon.
    pub fn request(&self, id: SourceId, request: ScanRequest) {
        let mut live = self.live();
        let one = live.entry(id).or_default();
        let before = one.request.unwrap_or_default();
        one.request = Some(ScanRequest {
            allow_deletions: request.allow_deletions || before.allow_deletions,
            retry: request.retry || before.retry,
        });
        one.wake.notify_one();
    }

    /// Returns what a source is doing.
    #[must_use]
    pub fn of(&self, id: SourceId) -> Live {
        self.live().get(&id).cloned().unwrap_or_default()
    }

    /// Returns what all of them are doing. To be asked before the catalog: whoever is at rest by then has its last scan
    /// there.
    #[must_use]
    pub fn all(&self) -> HashMap<SourceId, Live> {
        self.live().clone()
    }

    fn with(&self, id: SourceId, change: impl FnOnce(&mut Live)) {
        change(self.live().entry(id).or_default());
    }

    fn live(&self) -> MutexGuard<'_, HashMap<SourceId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Scans a source once. The cause is noted on the source when it cannot be read.
///
/// # Errors
/// Only when kura itself fails.
pub async fn scan_once(
    pipeline: &Arc<Pipeline>,
    config: &Config,
    source: &Source,
    request: ScanRequest,
    progress: &(dyn Fn(&ScanReport) + Send + std::marker::Sync),
) -> anyhow::Result<ScanReport> {
    // Whoever says that deletions are meant says, too, that this is the root.
    let known_root = source.root.as_deref().filter(|_| !request.allow_deletions);
    let connecting = async {
        let connecting = Connecting {
            config,
            settings: settings(source)?,
            include: &source.include,
            exclude: &source.exclude,
            known_root,
            known: Some((Arc::clone(pipeline), source.id)),
        };
        connect(connecting).await
    };
    let connector = match connecting.await {
        Ok(connector) => connector,
        Err(Failure(cause)) => {
            pipeline.source_failed(source.id, &cause).await?;
            return Ok(ScanReport {
                error: Some(cause),
                ..ScanReport::default()
            });
        }
    };
    let options = ScanOptions {
        allow_deletions: request.allow_deletions,
        retry: request.retry,
        max_bytes: max_bytes(config),
    };
    Ok(sync::scan(pipeline, source, connector.as_ref(), options, progress).await?)
}

/// Returns the folder of the data directory with a copy of what a source reads, if it is of a kind that has one.
pub(crate) fn copy_of(data_dir: &Path, source: &Source) -> Option<PathBuf> {
    match settings(source).ok()?.place {
        Place::Git { url, branch, .. } => Some(git::dir(data_dir, &url, branch.as_deref())),
        Place::Folder { .. } | Place::Web(_) | Place::S3(_) | Place::Imap(_) => None,
    }
}

/// Removes what was kept to read a source that is gone.
pub(crate) fn forget(config: &Config, sources: &[Source], gone: &Source) {
    let Some(gone) = copy_of(&config.data_dir, gone) else {
        return;
    };
    let is_needed = sources
        .iter()
        .any(|source| copy_of(&config.data_dir, source).as_ref() == Some(&gone));
    if is_needed || !gone.exists() {
        return;
    }
    if let Err(error) = fs_err::remove_dir_all(&gone) {
        tracing::warn!("what a removed source has left cannot be removed: {error}");
    }
}

/// Reads a secret from its file.
pub(crate) fn secret(file: &Path) -> Result<String, Failure> {
    let text = fs_err::read_to_string(file)
        .map_err(|error| Failure(format!("the secret cannot be read: {error}")))?;
    let secret = text.trim();
    if secret.is_empty() || secret.chars().any(char::is_control) {
        return Err(Failure(format!(
            "`{}` must have the secret in one line",
            file.display()
        )));
    }
    Ok(secret.to_owned())
}

/// Returns what is kept of a source beside the columns of its row.
pub(crate) fn settings(source: &Source) -> Result<Settings, Failure> {
    serde_json::from_value(source.settings.clone()).map_err(|error| {
        Failure(format!(
            "the settings of the source are not understood ({error}); remove it and add it again"
        ))
    })
}

/// An item may be as large as an upload.
pub(crate) fn max_bytes(config: &Config) -> u64 {
    config.server.upload_max_bytes as u64
}

/// Returns gauges of all sources as Prometheus reads them. Made on demand: what was removed is not reported any more.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn metrics(pipeline: &Pipeline) -> kura_indexer::Result<String> {
    let sources = pipeline.sources().await?;
    let now = Timestamp::now();
    let age = |since: Option<Timestamp>| {
        since.map(|since| now.duration_since(since).as_secs_f64().max(0.0))
    };
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&Source) -> Option<f64>| {
        let samples: Vec<_> = sources
            .iter()
            .filter_map(|source| Some((source, value(source)?)))
            .collect();
        if samples.is_empty() {
            return;
        }
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (source, value) in samples {
            // Names have letters, digits and `-_.` only.
            let _ = writeln!(
                text,
                "{name}{{source=\"{}\",kind=\"{}\"}} {value}",
                source.name, source.kind
            );
        }
    };
    gauge(
        "kura_source_lag_seconds",
        "seconds since a source was last in step, or was added",
        &|source| age(Some(source.last_success_at.unwrap_or(source.created_at))),
    );
    gauge(
        "kura_source_oldest_unindexed_seconds",
        "seconds that the oldest change taken in has waited to be indexed",
        &|source| Some(age(source.oldest_unindexed).unwrap_or(0.0)),
    );
    gauge(
        "kura_source_items",
        "files, messages or pages known",
        &|source| Some(source.n_items as f64),
    );
    gauge(
        "kura_source_errors",
        "items that could not be taken in or indexed",
        &|source| Some(source.n_errors as f64),
    );
    gauge(
        "kura_source_stale",
        "1 if the last scan did not succeed",
        &|source| Some(f64::from(u8::from(source.last_error.is_some()))),
    );
    Ok(text)
}
