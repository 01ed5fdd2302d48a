//! What would become of files, if they were ingested.

use super::files::Found;
use super::report::{FileOutcome, Row};
use crate::audit::Audited;
use crate::commands::backend::{Backend, blocking};
use crate::config::Config;
use crate::error::Code;
use crate::routes::documents::{Document, Status};
use indicatif::ProgressBar;
use kura_indexer::catalog::Reason;
use kura_indexer::{AccessFilter, Collections, Error, MediaType, Pipeline, detect};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// Documents read at a time.
const PAGE: usize = 500;

/// Compares files with what the collection holds.
pub(super) async fn plan(
    config: &Config,
    collection: &str,
    found: Vec<Found>,
    bar: &ProgressBar,
) -> anyhow::Result<Vec<Row>> {
    bar.set_message("comparing");
    let known = Arc::new(known(config, collection).await?);
    let mut rows = Vec::with_capacity(found.len());
    for file in found {
        let known = Arc::clone(&known);
        rows.push(blocking(move || Ok(compare(&file, &known))).await?);
        bar.inc(1);
    }
    Ok(rows)
}

fn compare(file: &Found, known: &HashMap<String, Document>) -> Row {
    let bytes = match file.read() {
        Ok(bytes) => bytes,
        Err(error) => return Row::failed(file, error),
    };
    let media_type = detect(&bytes, &file.source, None);
    let before = known.get(&file.source);
    let outcome = match before {
        Some(document) if document.sha256 == hex(&bytes) && document.status != Status::Failed => {
            FileOutcome::Unchanged
        }
        _ if matches!(media_type, MediaType::Other(_)) => FileOutcome::Unsupported,
        Some(_) => FileOutcome::Replaced,
        None => FileOutcome::New,
    };
    let unsupported = outcome == FileOutcome::Unsupported;
    let error = Error::UnsupportedFormat {
        media_type: media_type.as_str().to_owned(),
    };
    let reason = error.reason();
    Row {
        document: before.map(|document| document.id.clone()),
        media_type: Some(media_type.as_str().to_owned()),
        size_bytes: bytes.len() as u64,
        code: unsupported.then(|| reason.as_str().to_owned()),
        error: unsupported.then(|| error.to_string()),
        remedy: unsupported.then(|| Reason::remedy(reason).to_owned()),
        ..Row::new(file, outcome)
    }
}

/// Returns the documents of the collection by source; none when there is no such collection yet.
async fn known(config: &Config, collection: &str) -> anyhow::Result<HashMap<String, Document>> {
    // Opening would make it.
    if config.remote.is_none() && !config.data_dir.join("catalog.db").exists() {
        return Ok(HashMap::new());
    }
    let documents = match Backend::open(config).await? {
        Backend::Local(here) => {
            let list = async |audited: &Audited| {
                audited.target("collection", collection);
                let documents = local(&here, collection).await?;
                audited.items(documents.len());
                Ok(documents)
            };
            here.audited("document.list", list).await?
        }
        Backend::Server(client) => {
            let name = collection.to_owned();
            match blocking(move || client.documents(&name)).await {
                Err(error) if is_unknown(&error) => Vec::new(),
                documents => documents?,
            }
        }
    };
    let by_source = documents
        .into_iter()
        .map(|document| (document.source.clone(), document));
    Ok(by_source.collect())
}

async fn local(pipeline: &Pipeline, collection: &str) -> anyhow::Result<Vec<Document>> {
    let access = AccessFilter::unrestricted("local command of the operator");
    let id = match pipeline.collection(collection, &access).await {
        Err(Error::UnknownCollection { .. }) => return Ok(Vec::new()),
        collection => collection?.id,
    };
    let (only, mut after, mut documents) = (Collections::Only(vec![id]), None, Vec::new());
    loop {
        let page = pipeline
            .documents(&only, &access, after.as_deref(), PAGE)
            .await?;
        documents.extend(page.items.into_iter().map(Document::from));
        after = page.next;
        if after.is_none() {
            return Ok(documents);
        }
    }
}

fn is_unknown(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<crate::client::Refused>();
    refused.is_some_and(|refused| refused.0.code == Code::UnknownCollection)
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
