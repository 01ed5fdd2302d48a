//! Keeps sources in step in the background: one task per source, which scans when it is due, asked for or told of a change.
//!
//! Everything that must not be lost is in the catalog; this module holds nothing that a crash could lose.

pub mod folder;
pub mod git;
pub mod globs;
pub mod imap;
mod listing;
pub mod place;
pub mod s3;
mod watch;
pub mod web;

use crate::app::AppState;
use crate::audit::{Draft, Outcome, Who};
use crate::config::Config;
use anyhow::Context as _;
use jiff::Timestamp;
use kura_egress::{Egress, Purpose};
use kura_indexer::catalog::{Source, SourceId};
use kura_indexer::sync::{Connector, Failure, ScanOptions, ScanReport};
use kura_indexer::{Pipeline, sync};
use metrics::{counter, histogram};
use place::{Place, Settings};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watch::Watch;

/// Scans at the same time; the others wait.
const SCANS: usize = 2;
/// How often the list of sources is read without being told of a change.
const POLL: Duration = Duration::from_secs(60);
/// When a scan is done again that found files being written.
const SOON: Duration = Duration::from_secs(2);
/// Longest wait after a failure of kura itself before a scan is tried again.
const RETRY: Duration = Duration::from_secs(60);

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

/// What is needed to read a place.
pub struct Connecting<'a> {
    /// The configuration in effect.
    pub config: &'a Config,
    /// The place.
    pub settings: Settings,
    /// Only what fits one of these patterns; all when there is none.
    pub include: &'a [String],
    /// Nothing that fits one of these patterns.
    pub exclude: &'a [String],
    /// What told the root when it was last read well.
    pub known_root: Option<&'a str>,
    /// Where to look up what is known of an item; none for a source that is not there yet.
    pub known: Option<(Arc<Pipeline>, SourceId)>,
}

/// Returns what reads a source.
///
/// # Errors
/// When its place cannot be reached, or is described wrongly.
pub async fn connect(connecting: Connecting<'_>) -> Result<Box<dyn Connector>, Failure> {
    let egress = connecting.config.egress();
    let place = connecting.settings.place.clone();
    // Nothing is asked for yet: what is wrong with an address is told first.
    let connector = open(connecting, &egress).await?;
    allow(&egress, &place)?;
    Ok(connector)
}

async fn open(connecting: Connecting<'_>, egress: &Egress) -> Result<Box<dyn Connector>, Failure> {
    let Connecting {
        config,
        settings,
        include,
        exclude,
        known_root,
        known,
    } = connecting;
    let (data_dir, max_bytes) = (config.data_dir.clone(), max_bytes(config));
    let globs = |tidy| globs::Globs::new(include, exclude, tidy).map_err(Failure);
    match settings.place.clone() {
        Place::Folder { path } => {
            let (globs, known_root) = (globs(true)?, known_root.map(str::to_owned));
            // A mount that does not answer blocks.
            let opened = tokio::task::spawn_blocking(move || {
                folder::Folder::open(
                    Path::new(&path),
                    settings,
                    globs,
                    &data_dir,
                    known_root.as_deref(),
                    max_bytes,
                )
            });
            let opened = opened.await.map_err(|error| Failure(error.to_string()))?;
            Ok(Box::new(opened?))
        }
        Place::Git {
            url,
            branch,
            token_file,
        } => {
            let remote = git::Remote {
                url: &url,
                branch: branch.as_deref(),
                token_file: token_file.as_deref(),
            };
            // Hidden files of a repository are as meant as all others.
            Ok(Box::new(git::Git::open(
                &remote,
                settings,
                globs(false)?,
                &data_dir,
                max_bytes,
            )?))
        }
        Place::S3(bucket) => Ok(Box::new(s3::S3::open(
            bucket,
            settings,
            globs(true)?,
            egress,
            max_bytes,
        )?)),
        Place::Web(site) => Ok(Box::new(web::Web::open(
            site,
            settings,
            globs(false)?,
            known,
            egress,
            max_bytes,
        )?)),
        Place::Imap(mailbox) => Ok(Box::new(imap::Imap::open(
            mailbox,
            settings,
            globs(false)?,
            known_root,
            known,
            egress,
            max_bytes,
        )?)),
    }
}

/// Fails unless all that reading a place connects to is allowed. A git repository is read by a program that opens its own
/// connections: one is counted for each scan.
fn allow(egress: &Egress, place: &Place) -> Result<(), Failure> {
    let peers = place.peers().map_err(|error| Failure(error.to_string()))?;
    for peer in peers {
        let asked = match place {
            Place::Git { .. } => egress.hand_over(Purpose::Source, &peer),
            Place::Folder { .. } | Place::Web(_) | Place::S3(_) | Place::Imap(_) => {
                egress.require(Purpose::Source, &peer)
            }
        };
        asked.map_err(|refused| Failure(refused.to_string()))?;
    }
    Ok(())
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

/// Keeps all sources in step until the server stops. A scan running then is cut off; the next one does the rest.
pub async fn work(app: AppState) {
    let mut tasks: HashMap<SourceId, (CancellationToken, JoinHandle<()>)> = HashMap::new();
    let scans = Arc::new(Semaphore::new(SCANS));
    while !app.stopping.is_cancelled() {
        // One that has failed is started anew below.
        tasks.retain(|_, (_, task)| !task.is_finished());
        match app.pipeline.sources().await {
            Ok(sources) => {
                let gone: Vec<SourceId> = tasks
                    .keys()
                    .filter(|id| !sources.iter().any(|source| source.id == **id))
                    .copied()
                    .collect();
                for id in gone {
                    if let Some((stop, _)) = tasks.remove(&id) {
                        stop.cancel();
                    }
                    app.sync.live().remove(&id);
                }
                for source in sources {
                    if tasks.contains_key(&source.id) {
                        // It may have been paused or resumed.
                        app.sync.with(source.id, |live| live.wake.notify_one());
                        continue;
                    }
                    let stop = app.stopping.child_token();
                    let task = follow(
                        Arc::clone(&app),
                        source.name,
                        source.id,
                        stop.clone(),
                        Arc::clone(&scans),
                    );
                    tasks.insert(source.id, (stop, tokio::spawn(task)));
                }
            }
            Err(error) => tracing::error!(
                "the sources cannot be read: {}",
                crate::error::chain(&error)
            ),
        }
        tokio::select! {
            () = app.stopping.cancelled() => break,
            () = app.sync.changed.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
    for (_, (_, task)) in tasks {
        drop(task.await);
    }
}

/// Keeps one source in step.
async fn follow(
    app: AppState,
    name: String,
    id: SourceId,
    stop: CancellationToken,
    scans: Arc<Semaphore>,
) {
    let wake = {
        let mut live = app.sync.live();
        Arc::clone(&live.entry(id).or_default().wake)
    };
    let mut watch: Option<Watch> = None;
    // What changed while kura was down is found at once, where looking is cheap.
    let mut at_start = true;
    let mut soon = None;
    loop {
        let Ok(source) = app.pipeline.source(&name).await else {
            return;
        };
        if source.id != id {
            return;
        }
        watched(&app, &source, &mut watch).await;
        let due = if source.paused {
            None
        } else if let Some(wait) = soon {
            Some(wait)
        } else if at_start && settings(&source).is_ok_and(|settings| settings.place.is_local()) {
            Some(Duration::ZERO)
        } else {
            Some(until_due(&source))
        };
        let request = tokio::select! {
            () = stop.cancelled() => return,
            () = wake.notified() => match app.sync.of(id).request {
                Some(request) => request,
                // Something else about it has changed.
                None => continue,
            },
            () = wait(due) => ScanRequest::default(),
            () = changed(watch.as_ref().filter(|_| !source.paused)) => ScanRequest::default(),
        };
        at_start = false;
        let _turn = tokio::select! {
            () = stop.cancelled() => return,
            turn = scans.acquire() => turn,
        };
        app.sync.with(id, |live| {
            live.request = None;
            live.scanning = Some(ScanReport::default());
        });
        // Before the scan, so that what is put into a new folder is seen or told.
        watched(&app, &source, &mut watch).await;
        if let Some(watch) = &watch {
            watch.scanning();
        }
        let scanned = tokio::select! {
            () = stop.cancelled() => return,
            scanned = run(&app, &source, request) => scanned,
        };
        app.sync.with(id, |live| live.scanning = None);
        match scanned {
            Ok(report) => {
                if let Some(watch) = &mut watch {
                    watch.rest(Duration::from_millis(report.duration_ms));
                }
                soon = (report.changing > 0).then_some(SOON);
            }
            Err(error) => {
                tracing::error!(
                    source.name = name,
                    retry_secs = RETRY.as_secs(),
                    "a source could not be scanned: {error:#}"
                );
                soon = Some(RETRY);
            }
        }
    }
}

/// Scans on a task of its own, so that a panic ends the scan and nothing else.
async fn run(app: &AppState, source: &Source, request: ScanRequest) -> anyhow::Result<ScanReport> {
    // What could not be recorded is not done.
    app.audit.require()?;
    let started = Instant::now();
    let task = crate::jobs::Abort(tokio::spawn({
        let (app, source) = (Arc::clone(app), source.clone());
        async move {
            let progress = |report: &ScanReport| {
                app.sync
                    .with(source.id, |live| live.scanning = Some(report.clone()));
                app.jobs.notify();
            };
            scan_once(&app.pipeline, &app.config, &source, request, &progress).await
        }
    }));
    let scanned = task
        .join()
        .await
        .context("a scan ended unexpectedly")
        .flatten();
    histogram!("kura_sync_scan_duration_seconds").record(started.elapsed().as_secs_f64());
    if let Ok(report) = &scanned {
        record(source, report);
        if report.changed_anything() {
            app.audit.record(audited(source, report)).await?;
        }
        if report.deleted > 0 {
            app.withdraw_stale_answers().await?;
        }
    }
    scanned
}

/// Returns what the audit log says of a scan.
fn audited(source: &Source, report: &ScanReport) -> Draft {
    let outcome = match report.error {
        None => Outcome::success(),
        Some(_) => Outcome::failed("stale"),
    };
    Draft::new(Who::source(&source.name), "source.scan", outcome)
        .target("source", &source.name)
        .target("collection", &source.collection_name)
        .detail("added", report.added)
        .detail("replaced", report.replaced)
        .detail("renamed", report.renamed)
        .detail("deleted", report.deleted)
}

fn record(source: &Source, report: &ScanReport) {
    let outcome = if report.error.is_none() {
        "ok"
    } else {
        "stale"
    };
    counter!("kura_sync_scans_total", "kind" => source.kind.clone(), "outcome" => outcome)
        .increment(1);
    for (change, n) in [
        ("added", report.added),
        ("replaced", report.replaced),
        ("renamed", report.renamed),
        ("deleted", report.deleted),
        ("refused", report.refused),
        ("failed", report.failed),
    ] {
        counter!("kura_sync_items_total", "kind" => source.kind.clone(), "change" => change)
            .increment(n);
    }
    match &report.error {
        Some(cause) => tracing::warn!(source.name = source.name, "the source is stale: {cause}"),
        None if report.changed_anything() => tracing::info!(
            source.name = source.name,
            "in step: {} added, {} replaced, {} renamed, {} deleted",
            report.added,
            report.replaced,
            report.renamed,
            report.deleted
        ),
        None => tracing::debug!(source.name = source.name, "nothing has changed"),
    }
}

/// Starts watching, also new folders, or watches anew if another folder has come in the place of the one watched.
async fn watched(app: &AppState, source: &Source, watch: &mut Option<Watch>) {
    let Some(path) = watch::path(source).filter(|_| source.watch) else {
        return;
    };
    let renewed = match watch.as_ref() {
        Some(watch) => watch.renew().await,
        None => Ok(false),
    };
    let error = match renewed {
        Ok(true) => None,
        Err(error) => Some(error),
        Ok(false) => {
            let globs = globs::Globs::new(&source.include, &source.exclude, true);
            let data_dir = app.config.data_dir.clone();
            let begun = tokio::task::spawn_blocking(move || Watch::begin(&path, &data_dir, globs?));
            match begun.await.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(begun) => {
                    *watch = Some(begun);
                    None
                }
                Err(error) => {
                    *watch = None;
                    Some(error)
                }
            }
        }
    };
    app.sync.with(source.id, |live| {
        if let Some(error) = &error
            && live.watch_error.as_ref() != Some(error)
        {
            tracing::warn!(
                source.name = source.name,
                "changes are noticed by periodic scans only: {error}"
            );
        }
        live.watch_error = error;
    });
}

/// Returns when the next periodic scan is due, counted from the end of the last.
fn until_due(source: &Source) -> Duration {
    let Some(last) = source.last_scan_at else {
        return Duration::ZERO;
    };
    let since = Timestamp::now().duration_since(last);
    // A clock that was set back must not put it off.
    Duration::try_from(since).map_or(Duration::ZERO, |since| {
        source.interval.saturating_sub(since)
    })
}

async fn wait(due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep(due).await,
        None => std::future::pending().await,
    }
}

async fn changed(watch: Option<&Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
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
