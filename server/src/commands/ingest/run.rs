//! Adds the files found and waits until they are indexed, here or by the server.

use super::files::Found;
use super::report::{Child, FileOutcome, Row};
use crate::audit::Audited;
use crate::client::{Client, Refused, Said};
use crate::commands::backend::blocking;
use crate::commands::{size, span};
use crate::error::Code;
use crate::routes::documents::Document;
use crate::routes::jobs::{Job, JobsSummary, Priority};
use crate::routes::metadata;
use indicatif::ProgressBar;
use kura_indexer::catalog::{self, JobId};
use kura_indexer::ingest::{Event, Limits, NewDocument};
use kura_indexer::{AccessFilter, AclChange, Error, MetadataChange, Pipeline};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often the queue is asked how it stands.
const POLL: Duration = Duration::from_millis(500);
/// Jobs asked for one by one, rather than as a list, when that many or fewer are left.
const FEW: usize = 4;

/// Documents within a file that are read at a time.
const PAGE: usize = 500;

/// What all files have in common, and how they stand.
pub(super) struct Batch {
    pub(super) collection: String,
    pub(super) acl: AclChange,
    pub(super) priority: Priority,
    pub(super) bar: ProgressBar,
}

/// Adds all files, then runs their jobs in this process.
pub(super) async fn local(
    pipeline: &Pipeline,
    audited: &Audited,
    batch: Batch,
    metadata: &MetadataChange,
    found: Vec<Found>,
) -> anyhow::Result<Vec<Row>> {
    let (access, bar) = (
        AccessFilter::unrestricted("local command of the operator"),
        &batch.bar,
    );
    let collection = pipeline.create_collection(&batch.collection).await?.id;
    let (mut rows, mut n_documents) = (Vec::with_capacity(found.len()), 0);
    let mut jobs: HashMap<JobId, usize> = HashMap::new();
    bar.set_message("adding");
    for file in found {
        let (file, read) = blocking(move || {
            let read = file.read();
            Ok((file, read))
        })
        .await?;
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                rows.push(Row::failed(&file, error));
                bar.inc(1);
                continue;
            }
        };
        let new = NewDocument {
            collection,
            source: file.source.clone(),
            media_type: None,
            bytes,
            acl: batch.acl.clone(),
            metadata: metadata.clone(),
        };
        let priority: catalog::Priority = batch.priority.into();
        let added = match pipeline.add_document_with(new, priority).await {
            Err(error @ Error::PartOfDocument { .. }) => {
                rows.push(Row::failed(&file, error.to_string()));
                bar.inc(1);
                continue;
            }
            added => added?,
        };
        match added.job {
            Some(job) => {
                jobs.insert(job, rows.len());
            }
            None => bar.inc(1),
        }
        let outcome: crate::routes::documents::Outcome = added.outcome.into();
        let (id, version) = (added.document.id.to_string(), added.document.version);
        let target = [("collection", batch.collection.as_str()), ("document", &id)];
        // One by one, so that a run that is cut off leaves a record of what it added.
        let access = serde_json::json!(batch.acl);
        let details = [("version", version.into()), ("access", access)];
        audited.also("document.create", &target, &details);
        n_documents += 1;
        audited.items(n_documents);
        let mut row = Row::new(&file, FileOutcome::from(outcome));
        row.settle(added.document.into(), None);
        rows.push(row);
    }
    bar.set_message("indexing");
    run_jobs(pipeline, &jobs, bar).await?;
    // Jobs that an earlier, interrupted run left behind are run too, but are not part of this report.
    for (id, at) in jobs {
        let job = pipeline.job(id).await?;
        let document = pipeline.document(job.document, &access).await?;
        let mut after = None;
        loop {
            let page = pipeline
                .children(document.id, &access, after.as_deref(), PAGE)
                .await?;
            let children = page.items.into_iter();
            rows[at]
                .children
                .extend(children.map(|child| Child::from(Document::from(child))));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        rows[at].settle(document.into(), Some(&job.into()));
    }
    Ok(rows)
}

/// Runs jobs until those of these files are over, or the queue is paused.
async fn run_jobs(
    pipeline: &Pipeline,
    jobs: &HashMap<JobId, usize>,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let open: Mutex<Vec<JobId>> = Mutex::new(jobs.keys().copied().collect());
    let report = |event: Event<'_>| match event {
        Event::Progress(job, ..) => bar.set_message(job.source.clone()),
        Event::Ended(job) if job.state.is_over() => {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            let before = open.len();
            open.retain(|id| *id != job.id);
            bar.inc((before - open.len()) as u64);
        }
        Event::Ended(_) | Event::Took(..) => {}
    };
    loop {
        let limits = Limits::default();
        let run = pipeline.run_jobs(&limits, std::future::pending(), &report);
        tokio::pin!(run);
        loop {
            tokio::select! {
                outcome = &mut run => break outcome?,
                () = tokio::time::sleep(POLL) => {
                    show(bar, &pipeline.jobs_summary().await?.into());
                }
            }
        }
        let done = open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty();
        let paused = pipeline.jobs_summary().await?.paused_since.is_some();
        let Some(next) = pipeline.next_attempt().await? else {
            return Ok(());
        };
        if done || paused {
            return Ok(());
        }
        bar.set_message("waiting for another attempt");
        let wait = next.duration_since(jiff::Timestamp::now());
        tokio::time::sleep(wait.try_into().unwrap_or(Duration::ZERO)).await;
    }
}

/// Uploads all files and waits until the server has indexed them.
pub(super) async fn by_server(
    client: Client,
    batch: Batch,
    metadata: metadata::MetadataChange,
    found: Vec<Found>,
) -> anyhow::Result<Vec<Row>> {
    let bar = &batch.bar;
    let mut rows = Vec::with_capacity(found.len());
    let mut jobs = Vec::new();
    bar.set_message("uploading");
    for file in found {
        let (client, collection) = (client.clone(), batch.collection.clone());
        let (metadata, acl, priority) = (metadata.clone(), batch.acl.clone(), batch.priority);
        let (file, uploaded) = blocking(move || {
            let uploaded = file.read().map(|bytes| {
                let said = Said {
                    metadata: &metadata,
                    acl: &acl,
                    priority,
                };
                client.upload(&collection, &file.source, said, &bytes)
            });
            Ok((file, uploaded))
        })
        .await?;
        let row = match uploaded {
            Ok(Ok(upload)) => {
                match upload.job {
                    Some(job) => jobs.push((rows.len(), job.id)),
                    None => bar.inc(1),
                }
                let mut row = Row::new(&file, upload.outcome.into());
                row.settle(upload.document, None);
                row
            }
            Ok(Err(error)) => {
                bar.inc(1);
                let refused = blame_file(error)?;
                Row {
                    code: Some(refused.code.name().to_owned()),
                    ..Row::failed(&file, refused.detail)
                }
            }
            Err(reason) => {
                bar.inc(1);
                Row::failed(&file, reason)
            }
        };
        rows.push(row);
    }
    bar.set_message("indexing");
    let (mut settled, mut paused) = (Vec::new(), false);
    while !jobs.is_empty() && !paused {
        let asking = client.clone();
        let summary = blocking(move || asking.jobs_summary()).await?;
        show(bar, &summary);
        let mut open = Vec::new();
        // The oldest end first, as a rule: those behind the first few that are open need not be asked for.
        for (at, id) in std::mem::take(&mut jobs) {
            if open.len() >= FEW {
                open.push((at, id));
                continue;
            }
            let (asking, asked) = (client.clone(), id.clone());
            let job = blocking(move || asking.job(&asked)).await?;
            if job.is_over() {
                settle(&client, &mut rows[at], &job).await?;
                settled.push(at);
                bar.inc(1);
            } else {
                open.push((at, id));
            }
        }
        jobs = open;
        // While the queue is paused nothing would end; what runs already does.
        paused = summary.paused_since.is_some() && summary.running == 0;
        if !jobs.is_empty() && !paused {
            tokio::time::sleep(POLL).await;
        }
    }
    for at in settled {
        settle_children(&client, &mut rows[at], bar).await?;
    }
    Ok(rows)
}

/// Waits until the documents are indexed that lie in a file.
async fn settle_children(client: &Client, row: &mut Row, bar: &ProgressBar) -> anyhow::Result<()> {
    let Some(id) = row.document.clone() else {
        return Ok(());
    };
    loop {
        let (asking, asked) = (client.clone(), id.clone());
        let children = blocking(move || asking.children(&asked)).await?;
        row.children = children.into_iter().map(Child::from).collect();
        if !row.children.iter().any(Child::waits) {
            return Ok(());
        }
        let asking = client.clone();
        let summary = blocking(move || asking.jobs_summary()).await?;
        show(bar, &summary);
        if summary.paused_since.is_some() && summary.running == 0 {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn settle(client: &Client, row: &mut Row, job: &Job) -> anyhow::Result<()> {
    let (client, id) = (client.clone(), job.document.clone());
    let document = blocking(move || client.document(&id)).await?;
    row.settle(document, Some(job));
    Ok(())
}

/// Shows how fast the queue is, and how long it will take.
fn show(bar: &ProgressBar, summary: &JobsSummary) {
    let rates = &summary.rates;
    let eta = summary.eta_secs.map(|eta| format!(", {} left", span(eta)));
    let problem = summary
        .obstacle
        .as_ref()
        .map(|found| format!(", {}", found.error));
    bar.set_prefix(format!(
        "{}/s, {:.1} chunks/s{}{}",
        size(rates.bytes),
        rates.chunks,
        eta.unwrap_or_default(),
        problem.unwrap_or_default()
    ));
}

/// Returns the problem if only this file is refused; anything else ends the run.
fn blame_file(error: anyhow::Error) -> anyhow::Result<crate::error::Problem> {
    match error.downcast_ref::<Refused>() {
        Some(Refused(problem))
            if matches!(
                problem.code,
                Code::PayloadTooLarge
                    | Code::UnsupportedMediaType
                    | Code::UnreadableDocument
                    | Code::PartOfDocument
            ) =>
        {
            Ok(problem.clone())
        }
        _ => Err(error),
    }
}
