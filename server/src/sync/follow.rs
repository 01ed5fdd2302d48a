//! Keeps sources in step: a task for each, which waits until a scan is due or asked for, or something changes.

use super::watch::{self, Watch};
use super::{ScanRequest, globs, scan_once, settings};
use crate::app::AppState;
use crate::audit::{Draft, Outcome, Who};
use anyhow::Context as _;
use jiff::Timestamp;
use kura_indexer::catalog::{Source, SourceId};
use kura_indexer::sync::ScanReport;
use metrics::{counter, histogram};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Scans at the same time; the others wait.
const SCANS: usize = 2;
/// How often the list of sources is read without being told of a change.
const POLL: Duration = Duration::from_secs(60);
/// When a scan is done again that found files being written.
const SOON: Duration = Duration::from_secs(2);
/// Longest wait after a failure of kura itself before a scan is tried again.
const RETRY: Duration = Duration::from_secs(60);

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
