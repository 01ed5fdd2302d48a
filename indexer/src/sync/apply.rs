//! Taking in what is new or has changed.

use super::moves::{row, sha256};
use super::scan::{Scan, Todo};
use super::{Fetched, ScanReport, Standing};
use crate::catalog::{ItemRow, Priority};
use crate::extract::{MediaType, detect};
use crate::ingest::{AddOutcome, NewDocument};
use crate::{AclChange, Error, MetadataChange, Result};
use futures::StreamExt as _;
use futures::stream;

/// Items whose rows are written together. After a crash they are looked at again, which changes nothing.
const ROWS: usize = 32;

/// What became of an item.
enum Taken {
    /// It is a document, or the same one.
    Document(ItemRow, AddOutcome),
    /// It has another marker and the same content.
    SameContent(ItemRow),
    /// It is not to be a document.
    Refused(ItemRow),
    /// It could not be read.
    Failed(ItemRow),
    /// It is looked at again soon.
    Changing,
    /// It went away.
    Gone,
}

impl Taken {
    /// Counts it; returns the row to keep of it.
    fn count(self, report: &mut ScanReport) -> Option<ItemRow> {
        let (n, row) = match self {
            Self::Document(row, AddOutcome::New) => (&mut report.added, Some(row)),
            Self::Document(row, AddOutcome::Replaced) => (&mut report.replaced, Some(row)),
            Self::Document(row, AddOutcome::Unchanged) | Self::SameContent(row) => {
                (&mut report.same_content, Some(row))
            }
            Self::Refused(row) => (&mut report.refused, Some(row)),
            Self::Failed(row) => (&mut report.failed, Some(row)),
            Self::Changing => (&mut report.changing, None),
            Self::Gone => return None,
        };
        *n += 1;
        row
    }
}

impl Scan<'_> {
    pub(super) async fn take_in(&mut self, todo: Vec<Todo>) -> Result<()> {
        let mut report = self.report.clone();
        let taken = self.take_all(todo, &mut report).await;
        self.report = report;
        taken
    }

    async fn take_all(&self, todo: Vec<Todo>, report: &mut ScanReport) -> Result<()> {
        let taking = stream::iter(todo).map(|one| self.take(one));
        let mut taken = std::pin::pin!(taking.buffer_unordered(self.connector.parallel().max(1)));
        let (mut rows, mut failed) = (Vec::new(), None);
        while let Some(outcome) = taken.next().await {
            let (n_bytes, outcome) = match outcome {
                Ok(taken) => taken,
                Err(error) => {
                    // What was taken in before is kept below.
                    failed = Some(error);
                    break;
                }
            };
            report.bytes_read += n_bytes;
            rows.extend(outcome.count(report));
            if rows.len() >= ROWS {
                let rows = std::mem::take(&mut rows);
                self.pipeline.put_source_items(self.source.id, rows).await?;
            }
            (self.progress)(report);
        }
        if !rows.is_empty() {
            self.pipeline.put_source_items(self.source.id, rows).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Returns the bytes read and what became of the item.
    async fn take(&self, todo: Todo) -> Result<(u64, Taken)> {
        let Todo {
            item,
            known,
            content,
        } = todo;
        let retry = self.options.retry && known.as_ref().is_some_and(|known| known.failed);
        let known = known.map(|known| known.row);
        let document = known.as_ref().and_then(|known| known.document);
        let old_sha256 = known.as_ref().and_then(|known| known.sha256.clone());
        // An older version of the document stays, as with any file that cannot be indexed.
        let refused = |reason: String| {
            let row = ItemRow {
                sha256: old_sha256.clone(),
                ..row(&item, document, Some(reason))
            };
            Ok((0, Taken::Refused(row)))
        };
        if let Standing::Refused(reason) = &item.standing {
            return refused(reason.clone());
        }
        if let Some(size) = item
            .size_bytes
            .filter(|size| *size > self.options.max_bytes)
        {
            return refused(too_large(size, self.options.max_bytes));
        }
        let (bytes, media_type) = match content {
            Some(content) => content,
            None => match self.connector.fetch(&item).await {
                Fetched::Content { bytes, media_type } => (bytes, media_type),
                Fetched::Changing => return Ok((0, Taken::Changing)),
                Fetched::Gone => return Ok((0, Taken::Gone)),
                Fetched::Refused(reason) => return refused(reason),
                Fetched::Failed(reason) => {
                    // The old marker stays, so that it is tried again.
                    let marker = known.map_or_else(String::new, |known| known.marker);
                    let row = ItemRow {
                        marker,
                        sha256: old_sha256,
                        ..row(&item, document, Some(reason))
                    };
                    return Ok((0, Taken::Failed(row)));
                }
            },
        };
        let n_bytes = bytes.len() as u64;
        if n_bytes > self.options.max_bytes {
            return refused(too_large(n_bytes, self.options.max_bytes));
        }
        if bytes.is_empty() {
            return refused(Error::EmptyFile.to_string());
        }
        let (name, given) = (item.source.clone(), media_type.clone());
        let (bytes, hash, found) = crate::pipeline::blocking(move || {
            let found = detect(&bytes, &name, given.as_deref());
            let hash = sha256(&bytes);
            Ok((bytes, hash, found))
        })
        .await?;
        if document.is_some() && old_sha256.as_deref() == Some(hash.as_str()) && !retry {
            let row = ItemRow {
                sha256: Some(hash),
                ..row(&item, document, None)
            };
            return Ok((n_bytes, Taken::SameContent(row)));
        }
        if let MediaType::Other(_) = found {
            let media_type = found.as_str().to_owned();
            return refused(Error::UnsupportedFormat { media_type }.to_string());
        }
        if self.is_forgotten(&item.key).await? {
            return Ok((n_bytes, Taken::Gone));
        }
        if let Some(keeper) = self.other_keeper(&item.source, &item.key).await? {
            return refused(format!(
                "the source `{keeper}` keeps a document of the same name in `{}`; use another collection or prefix for one of them",
                self.source.collection_name
            ));
        }
        let new = NewDocument {
            collection: self.source.collection,
            source: item.source.clone(),
            media_type,
            bytes,
            // Who may read a document of this source may have been changed since it was taken in.
            acl: match document {
                Some(_) => AclChange::default(),
                None => self.source.acl.clone().into(),
            },
            metadata: MetadataChange::default(),
        };
        let added = match self.pipeline.add_document_with(new, Priority::Low).await {
            Err(error @ Error::PartOfDocument { .. }) => return refused(error.to_string()),
            added => added?,
        };
        let row = ItemRow {
            sha256: Some(hash),
            ..row(&item, Some(added.document.id), None)
        };
        Ok((n_bytes, Taken::Document(row, added.outcome)))
    }

    /// Returns whether an item was forgotten since it was listed.
    async fn is_forgotten(&self, key: &str) -> Result<bool> {
        let (id, keys) = (self.source.id, vec![key.to_owned()]);
        let forgotten = self
            .pipeline
            .catalog(move |catalog| catalog.forgotten_items(id, &keys))
            .await?;
        Ok(!forgotten.is_empty())
    }

    /// Returns the name of the source that keeps the document of this name for another item, if one does.
    async fn other_keeper(&self, document_source: &str, key: &str) -> Result<Option<String>> {
        let (id, collection, name) = (
            self.source.id,
            self.source.collection,
            document_source.to_owned(),
        );
        let keeper = self
            .pipeline
            .catalog(move |catalog| catalog.keeper(collection, &name))
            .await?;
        Ok(keeper
            .filter(|(keeper, _, kept)| *keeper != id || kept != key)
            .map(|(_, name, _)| name))
    }
}

fn too_large(size: u64, max: u64) -> String {
    format!("it has {size} bytes, more than `server.upload_max_bytes` ({max})")
}
