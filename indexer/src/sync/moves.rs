//! Which files were moved: what a vanished one held is now under another name.

use super::scan::{Scan, Todo};
use super::{Fetched, Standing};
use crate::Result;
use crate::catalog::{ItemRow, KnownItem, Move};
use crate::extract::detect;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};

/// Bytes of files kept between being compared and being added, so that they need not be read again.
const KEPT_BYTES: usize = 64 << 20;

/// A document whose item no longer has its content.
struct Released {
    known: KnownItem,
    /// Whether the item itself is gone; else something else has its name now.
    gone: bool,
}

/// A move, and the places in `todo` and `gone` that it settles if it is made.
pub(super) struct Planned {
    one: Move,
    todo: Todo,
    from: KnownItem,
    from_gone: bool,
}

impl Scan<'_> {
    /// Takes those items out of `todo` and `gone` that are one document under another name.
    ///
    /// Content decides. Where the old name is in use for something else, as when two files swap names, the hint must fit
    /// too: else a copied file would take the original's document with it.
    pub(super) async fn find_moves(
        &mut self,
        todo: &mut Vec<Todo>,
        gone: &mut Vec<KnownItem>,
    ) -> Result<Vec<Planned>> {
        let sizes: HashSet<Option<u64>> = released(todo, gone)
            .map(|known| known.row.size_bytes)
            .collect();
        if sizes.is_empty() {
            return Ok(Vec::new());
        }
        let hashes = self.read_candidates(todo, &sizes).await;

        let mut by_content: HashMap<String, Vec<Released>> = HashMap::new();
        let changed = todo.iter().filter_map(|todo| {
            let known = todo.known.as_ref()?;
            let same =
                hashes.get(&todo.item.key).map(|(sha256, _)| sha256) == known.row.sha256.as_ref();
            (!same && known.row.hint.is_some()).then(|| (known.clone(), false))
        });
        for (known, gone) in gone
            .iter()
            .cloned()
            .map(|known| (known, true))
            .chain(changed)
        {
            if let (Some(_), Some(sha256)) = (known.row.document, known.row.sha256.clone()) {
                by_content
                    .entry(sha256)
                    .or_default()
                    .push(Released { known, gone });
            }
        }

        let (mut planned, mut rest) = (Vec::new(), Vec::new());
        for todo in std::mem::take(todo) {
            let found = hashes.get(&todo.item.key).and_then(|(sha256, media_type)| {
                let has_it = todo.known.as_ref().is_some_and(|known| {
                    known.row.document.is_some() && known.row.sha256.as_ref() == Some(sha256)
                });
                let released = by_content.get_mut(sha256).filter(|_| !has_it)?;
                let best = best(released, &todo, media_type)?;
                Some((released.swap_remove(best), sha256.clone()))
            });
            match found {
                Some((Released { known, gone }, sha256)) => {
                    planned.push(plan(todo, known, gone, sha256))
                }
                None => rest.push(todo),
            }
        }
        *todo = rest;

        let taken: HashSet<&str> = planned
            .iter()
            .map(|planned| planned.from.row.key.as_str())
            .collect();
        gone.retain(|known| !taken.contains(known.row.key.as_str()));
        for one in todo.iter_mut() {
            if taken.contains(one.item.key.as_str()) {
                // Its document went with its old content.
                one.known = None;
            }
        }
        let leaving: HashSet<_> = planned.iter().map(|planned| planned.one.document).collect();
        for one in &mut planned {
            let had = one.todo.known.as_ref().and_then(|known| known.row.document);
            one.one.displaced = had.filter(|document| !leaving.contains(document));
        }
        Ok(planned)
    }

    /// Makes the moves. What could not be moved is taken in and deleted like everything else.
    pub(super) async fn make_moves(
        &mut self,
        planned: Vec<Planned>,
        todo: &mut Vec<Todo>,
        gone: &mut Vec<KnownItem>,
    ) -> Result<()> {
        if planned.is_empty() {
            return Ok(());
        }
        let moves = planned.iter().map(|planned| planned.one.clone()).collect();
        let refused = self
            .pipeline
            .move_documents(self.source.id, self.source.collection, moves)
            .await?;
        let refused: HashSet<_> = refused.into_iter().map(|one| one.document).collect();
        for planned in planned {
            if !refused.contains(&planned.one.document) {
                self.report.renamed += 1;
                self.report.deleted += u64::from(planned.one.displaced.is_some());
                continue;
            }
            todo.push(planned.todo);
            if planned.from_gone {
                gone.push(planned.from);
            }
        }
        (self.progress)(&self.report);
        Ok(())
    }

    /// Reads items that may be what was moved. Returns the hash and the media type of each, by key.
    async fn read_candidates(
        &mut self,
        todo: &mut [Todo],
        sizes: &HashSet<Option<u64>>,
    ) -> HashMap<String, (String, String)> {
        let (mut hashes, mut kept) = (HashMap::new(), 0);
        for one in todo {
            let may_be = one.item.size_bytes.is_none()
                || sizes.contains(&None)
                || sizes.contains(&one.item.size_bytes);
            if !may_be || one.item.standing != Standing::Ready {
                continue;
            }
            if one
                .item
                .size_bytes
                .is_some_and(|size| size > self.options.max_bytes)
            {
                continue;
            }
            // What cannot be read now is dealt with when it is taken in.
            let Fetched::Content { bytes, media_type } = self.connector.fetch(&one.item).await
            else {
                continue;
            };
            self.report.bytes_read += bytes.len() as u64;
            let name = one.item.source.clone();
            let given = media_type.clone();
            let hashed = tokio::task::spawn_blocking(move || {
                let found = (
                    sha256(&bytes),
                    detect(&bytes, &name, given.as_deref()).as_str().to_owned(),
                );
                (bytes, found)
            });
            let Ok((bytes, found)) = hashed.await else {
                continue;
            };
            hashes.insert(one.item.key.clone(), found);
            if kept + bytes.len() <= KEPT_BYTES {
                kept += bytes.len();
                one.content = Some((bytes, media_type));
            }
        }
        hashes
    }
}

/// Returns what may have been moved away from its name.
fn released<'a>(todo: &'a [Todo], gone: &'a [KnownItem]) -> impl Iterator<Item = &'a KnownItem> {
    let changed = todo
        .iter()
        .filter_map(|todo| todo.known.as_ref())
        .filter(|known| known.row.hint.is_some());
    gone.iter()
        .chain(changed)
        .filter(|known| known.row.document.is_some() && known.row.sha256.is_some())
}

/// Returns the place of the document that the item most likely is. Read as another format it would be another document.
fn best(released: &[Released], todo: &Todo, media_type: &str) -> Option<usize> {
    let rank = |candidate: &Released| {
        let known = &candidate.known;
        let hint = known.row.hint.is_some() && known.row.hint == todo.item.hint;
        let may = known.media_type.as_deref() == Some(media_type) && (candidate.gone || hint);
        may.then(|| (hint, file_name(&known.row.key) == file_name(&todo.item.key)))
    };
    let ranked = released
        .iter()
        .enumerate()
        .filter_map(|(at, candidate)| Some((rank(candidate)?, at)));
    ranked
        .max_by_key(|(rank, at)| (*rank, std::cmp::Reverse(*at)))
        .map(|(_, at)| at)
}

fn plan(todo: Todo, from: KnownItem, from_gone: bool, sha256: String) -> Planned {
    let item = &todo.item;
    let document = from.row.document;
    let to = ItemRow {
        sha256: Some(sha256),
        ..row(item, document, None)
    };
    Planned {
        one: Move {
            document: document.expect("only items with a document are released"),
            from: from.row.key.clone(),
            source: item.source.clone(),
            to,
            displaced: None,
        },
        todo,
        from,
        from_gone,
    }
}

/// Returns what is kept of an item. Without a hash yet.
pub(super) fn row(
    item: &super::Item,
    document: Option<crate::DocumentId>,
    error: Option<String>,
) -> ItemRow {
    ItemRow {
        key: item.key.clone(),
        document,
        marker: item.marker.clone(),
        size_bytes: item.size_bytes,
        sha256: None,
        hint: item.hint.clone(),
        note: item.note.clone(),
        link: item.link.clone(),
        error,
    }
}

fn file_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    crate::blobs::hex(&Sha256::digest(bytes))
}
