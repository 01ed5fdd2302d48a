//! Adds the files found and waits until they are indexed, here or by the server.

use super::files::Found;
use super::{FileOutcome, Row};
use crate::client::{Client, Refused};
use crate::commands::backend::blocking;
use crate::error::Code;
use crate::routes::documents::{Document, Outcome, Status};
use crate::routes::metadata;
use indicatif::ProgressBar;
use kura_indexer::catalog::{Job, JobId};
use kura_indexer::ingest::NewDocument;
use kura_indexer::{AccessFilter, Acl, MetadataChange, Pipeline};
use std::collections::HashMap;
use std::time::Duration;

/// How often the server is asked how its jobs stand.
const POLL: Duration = Duration::from_millis(200);

/// Adds all files, then runs their jobs in this process.
pub(super) async fn local(
    pipeline: &Pipeline,
    collection: &str,
    metadata: &MetadataChange,
    found: Vec<Found>,
    bar: &ProgressBar,
) -> anyhow::Result<Vec<Row>> {
    let access = AccessFilter::unrestricted("local command of the operator");
    let collection = pipeline.create_collection(collection).await?.id;
    let mut rows = Vec::with_capacity(found.len());
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
        let added = pipeline
            .add_document(NewDocument {
                collection,
                source: file.source.clone(),
                media_type: None,
                bytes,
                acl: Acl::everyone(),
                metadata: metadata.clone(),
            })
            .await?;
        match added.job {
            Some(job) => {
                jobs.insert(job, rows.len());
            }
            None => bar.inc(1),
        }
        rows.push(row(&file, added.document.into(), added.outcome.into()));
    }
    bar.set_message("indexing");
    let report = |job: &Job, _, _| bar.set_message(job.source.clone());
    loop {
        let done = pipeline.run_queued(&report).await?;
        if done.is_empty() {
            break;
        }
        // Jobs that an earlier, interrupted run left behind are run too, but are not part of this report.
        for job in done {
            if let Some(at) = jobs.remove(&job.id) {
                let document = pipeline.document(job.document, &access).await?;
                rows[at].settle(document.into());
                bar.inc(1);
            }
        }
    }
    anyhow::ensure!(jobs.is_empty(), "{} jobs were not run", jobs.len());
    Ok(rows)
}

/// Uploads all files and waits until the server has indexed them.
pub(super) async fn by_server(
    client: Client,
    collection: &str,
    metadata: metadata::MetadataChange,
    found: Vec<Found>,
    bar: &ProgressBar,
) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::with_capacity(found.len());
    let mut jobs = Vec::new();
    bar.set_message("uploading");
    for file in found {
        let (client, collection) = (client.clone(), collection.to_owned());
        let metadata = metadata.clone();
        let (file, uploaded) = blocking(move || {
            let uploaded = match file.read() {
                Ok(bytes) => Ok(client.upload(&collection, &file.source, &metadata, &bytes)),
                Err(reason) => Err(reason),
            };
            Ok((file, uploaded))
        })
        .await?;
        let row = match uploaded {
            Ok(Ok(upload)) => {
                match &upload.job {
                    Some(job) => {
                        jobs.push((rows.len(), job.id.clone(), upload.document.id.clone()))
                    }
                    None => bar.inc(1),
                }
                row(&file, upload.document, upload.outcome)
            }
            Ok(Err(error)) => {
                bar.inc(1);
                Row::failed(&file, blame_file(error)?)
            }
            Err(reason) => {
                bar.inc(1);
                Row::failed(&file, reason)
            }
        };
        rows.push(row);
    }
    bar.set_message("indexing");
    for (at, job, document) in jobs {
        loop {
            let (client, id) = (client.clone(), job.clone());
            if blocking(move || client.job(&id)).await?.is_over() {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        let client = client.clone();
        rows[at].settle(blocking(move || client.document(&document)).await?);
        bar.inc(1);
    }
    Ok(rows)
}

/// Returns the reason if only this file is refused; anything else ends the run.
fn blame_file(error: anyhow::Error) -> anyhow::Result<String> {
    match error.downcast_ref::<Refused>() {
        Some(Refused(problem))
            if matches!(
                problem.code,
                Code::PayloadTooLarge | Code::UnsupportedMediaType | Code::UnreadableDocument
            ) =>
        {
            Ok(problem.detail.clone())
        }
        _ => Err(error),
    }
}

fn row(file: &Found, document: Document, outcome: Outcome) -> Row {
    let mut row = Row {
        path: file.path.clone(),
        source: file.source.clone(),
        outcome: match outcome {
            Outcome::New => FileOutcome::New,
            Outcome::Replaced => FileOutcome::Replaced,
            Outcome::Unchanged => FileOutcome::Unchanged,
        },
        document: None,
        n_chunks: 0,
        warnings: Vec::new(),
        error: None,
    };
    row.settle(document);
    row
}

impl Row {
    fn settle(&mut self, document: Document) {
        match document.status {
            Status::Failed => {
                self.outcome = FileOutcome::Failed;
                self.error = Some(
                    document
                        .error
                        .unwrap_or_else(|| "no reason given".to_owned()),
                );
            }
            Status::Pending | Status::Indexed => {}
        }
        self.document = Some(document.id);
        self.n_chunks = document.n_chunks;
        self.warnings = document.warnings;
    }
}
