//! One scan: list, compare, then move, delete and take in.

use super::{Connector, Failure, Item, ScanOptions, ScanReport, Standing};
use crate::Result;
use crate::catalog::{KnownItem, Source};
use crate::pipeline::Pipeline;
use futures::StreamExt as _;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Items compared with the catalog, or deleted, at a time.
const PAGE: usize = 512;
/// Longest time without a listed item: a network mount may block for ever.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// A scan under way.
pub(super) struct Scan<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) source: &'a Source,
    pub(super) connector: &'a dyn Connector,
    pub(super) options: ScanOptions,
    pub(super) report: ScanReport,
    pub(super) progress: &'a (dyn Fn(&ScanReport) + Send + Sync),
}

/// An item that is new, or may have changed.
#[derive(Debug)]
pub(super) struct Todo {
    pub(super) item: Item,
    /// What was known of it.
    pub(super) known: Option<KnownItem>,
    /// Its content, if it was read already and kept.
    pub(super) content: Option<(Vec<u8>, Option<String>)>,
}

/// What a listing gave.
#[derive(Default)]
struct Listing {
    todo: Vec<Todo>,
    /// Short hashes of the keys listed: 16 bytes each, and no write for what has not changed.
    seen: HashSet<[u8; 16]>,
    /// Why it is not whole.
    failure: Option<Failure>,
}

/// Brings the documents of a source in step with it, once. What it does is noted on the source, also when it fails.
///
/// `progress` is told the counts so far, also after each document that was queued.
///
/// # Errors
/// Only when kura itself fails. A source that cannot be read gives `Ok` with the reason in the report.
pub async fn scan(
    pipeline: &Pipeline,
    source: &Source,
    connector: &dyn Connector,
    options: ScanOptions,
    progress: &(dyn Fn(&ScanReport) + Send + Sync),
) -> Result<ScanReport> {
    let (begun, clock) = (Timestamp::now(), Instant::now());
    let mut scan = Scan {
        pipeline,
        source,
        connector,
        options,
        report: ScanReport::default(),
        progress,
    };
    let outcome = scan.run().await;
    let mut report = scan.report;
    report.duration_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (root, error) = match outcome {
        Ok(Ok(root)) => (root, None),
        Ok(Err(Failure(cause))) => {
            report.error = Some(cause);
            (None, None)
        }
        Err(error) => {
            report.error = Some(error.to_string());
            (None, Some(error))
        }
    };
    let (id, noted) = (source.id, report.clone());
    let written = pipeline
        .catalog(move |catalog| catalog.scanned(id, begun, root.as_deref(), &noted))
        .await;
    match error {
        Some(error) => Err(error),
        None => written.map(|()| report),
    }
}

impl Scan<'_> {
    /// Returns what tells the root, or why the source is stale.
    async fn run(&mut self) -> Result<std::result::Result<Option<String>, Failure>> {
        let Listing {
            mut todo,
            seen,
            failure,
        } = self.list().await?;
        let root = match self.connector.root().await {
            Ok(root) => root,
            // Not even the root can be read: whatever was listed is not the whole of it.
            Err(cause) => return Ok(Err(failure.unwrap_or(cause))),
        };
        let mut gone = match failure {
            None => self.gone(&seen).await?,
            Some(_) => Vec::new(),
        };
        drop(seen);
        // By key, so that the same changes always give the same result.
        todo.sort_by(|a, b| a.item.key.cmp(&b.item.key));
        let moves = self.find_moves(&mut todo, &mut gone).await?;
        if let Some(cause) = self.unbelievable(&gone, root.as_deref()) {
            return Ok(Err(cause));
        }
        self.make_moves(moves, &mut todo, &mut gone).await?;
        self.delete(gone).await?;
        self.take_in(todo).await?;
        Ok(match failure {
            None => Ok(root),
            Some(cause) => Err(cause),
        })
    }

    async fn list(&mut self) -> Result<Listing> {
        let mut listing = Listing::default();
        let mut pages = self.connector.list().ready_chunks(PAGE);
        loop {
            let Ok(page) = tokio::time::timeout(PATIENCE, pages.next()).await else {
                let cause = format!(
                    "`{}` did not answer for {} minutes",
                    self.source.location,
                    PATIENCE.as_secs() / 60
                );
                listing.failure = listing.failure.or(Some(Failure(cause)));
                break;
            };
            let Some(page) = page else { break };
            let mut items = Vec::with_capacity(page.len());
            for listed in page {
                match listed {
                    Ok(item) if listing.seen.insert(short(&item.key)) => items.push(item),
                    // Listed twice.
                    Ok(_) => {}
                    Err(cause) => listing.failure = listing.failure.or(Some(cause)),
                }
            }
            self.compare(items, &mut listing.todo).await?;
            (self.progress)(&self.report);
        }
        Ok(listing)
    }

    /// Puts those items to `todo` that are not as they were.
    async fn compare(&mut self, items: Vec<Item>, todo: &mut Vec<Todo>) -> Result<()> {
        let (id, keys) = (
            self.source.id,
            items
                .iter()
                .map(|item| item.key.clone())
                .collect::<Vec<_>>(),
        );
        let (mut known, forgotten) = self
            .pipeline
            .catalog(move |catalog| {
                Ok((
                    catalog.items(id, &keys)?,
                    catalog.forgotten_items(id, &keys)?,
                ))
            })
            .await?;
        for item in items {
            self.report.listed += 1;
            let known = known.remove(&item.key);
            if forgotten.contains(&item.key) {
                // It stays out, whatever the source says.
                self.report.unchanged += 1;
            } else if item.standing == Standing::Changing {
                self.report.changing += 1;
            } else if known
                .as_ref()
                .is_some_and(|known| as_it_was(known, &item, self.options.retry))
            {
                self.report.unchanged += 1;
            } else {
                todo.push(Todo {
                    item,
                    known,
                    content: None,
                });
            }
        }
        Ok(())
    }

    /// Returns what is known and was not listed.
    async fn gone(&self, seen: &HashSet<[u8; 16]>) -> Result<Vec<KnownItem>> {
        let (mut gone, mut after) = (Vec::new(), String::new());
        loop {
            let page = self
                .pipeline
                .source_items(self.source.id, &after, PAGE, false)
                .await?;
            let Some(last) = page.last() else {
                return Ok(gone);
            };
            after.clone_from(&last.row.key);
            gone.extend(
                page.into_iter()
                    .filter(|known| !seen.contains(&short(&known.row.key))),
            );
        }
    }

    /// Returns why a listing that lacks most of what was there is not believed.
    fn unbelievable(&self, gone: &[KnownItem], root: Option<&str>) -> Option<Failure> {
        let n_gone = gone
            .iter()
            .filter(|known| known.row.document.is_some())
            .count() as u64;
        let n_known = self.source.n_documents;
        let known = self.source.root.as_deref();
        let same_root = root.is_some_and(|root| known.is_none_or(|known| is_same(root, known)));
        if self.options.allow_deletions || same_root || n_gone == 0 || n_gone * 2 <= n_known {
            return None;
        }
        let name = &self.source.name;
        Some(Failure(format!(
            "{n_gone} of {n_known} documents are missing, and `{}` does not look like what was read before: is it mounted and \
             complete? Nothing was deleted; if they are really gone, run `kura sync run {name} --allow-deletions`",
            self.source.location
        )))
    }

    async fn delete(&mut self, gone: Vec<KnownItem>) -> Result<()> {
        for some in gone.chunks(PAGE) {
            let keys = some.iter().map(|known| known.row.key.clone()).collect();
            self.report.deleted += self
                .pipeline
                .delete_source_items(self.source.id, keys)
                .await? as u64;
            (self.progress)(&self.report);
        }
        Ok(())
    }
}

/// Returns whether nothing needs to be done about an item.
fn as_it_was(known: &KnownItem, item: &Item, retry: bool) -> bool {
    let row = &known.row;
    let retry = retry && (row.error.is_some() || known.failed);
    // Without document and error, someone has deleted the document: the source is what counts.
    row.marker == item.marker && (row.document.is_some() || row.error.is_some()) && !retry
}

/// Returns whether two answers of [`Connector::root`] are about the same root.
fn is_same(root: &str, other: &str) -> bool {
    root.lines().next() == other.lines().next()
}

fn short(key: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(key)[..16]);
    short
}
