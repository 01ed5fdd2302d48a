//! When catalog and index disagree the catalog wins: recovery at start, and rebuilding a generation.

use crate::catalog::{Catalog, Published};
use crate::ingest::{embedded_text, put_op, stored_chunks};
use crate::late::TokenCodec;
use crate::pipeline::{
    Pipeline, blocking, embedder_name, generation, index_dir, kept_codec, store_spec, take_lock,
};
use crate::store::{EmbeddedStore, IndexOp, Inventory, Store};
use crate::{AccessFilter, DocumentId, Error, Result};
use kura_models::Embedder;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Documents read from the catalog, or written between two checkpoints, at a time.
const PAGE: usize = 128;

impl Pipeline {
    /// Puts right what a crash may have left: interrupted jobs are queued again, deleted documents leave
    /// the stores, what is known about documents reaches them, and every document whose chunks in the store differ from the catalog's is put again.
    pub(crate) async fn recover(&self) -> Result<()> {
        self.catalog(Catalog::requeue_interrupted).await?;
        self.drop_deleted().await?;
        self.index_attributes().await?;
        let repaired = self.reconcile().await?;
        if repaired > 0 {
            tracing::warn!(
                documents = repaired,
                "repaired documents whose index differed from the catalog"
            );
        }
        let (catalog, blobs) = (Arc::clone(&self.catalog), Arc::clone(&self.blobs));
        blocking(move || blobs.sweep(|| catalog.blobs_in_use()))
            .await
            .map(drop)
    }

    /// Compares the store with the catalog and repairs each difference. Returns the documents touched.
    async fn reconcile(&self) -> Result<usize> {
        let mut stored: HashMap<DocumentId, Vec<Inventory>> = HashMap::new();
        for entry in self.store.inventory().await? {
            stored.entry(entry.document).or_default().push(entry);
        }
        let (mut touched, mut after) = (0, None);
        loop {
            let mut ops = Vec::new();
            let page = self
                .catalog(move |catalog| catalog.visible_counts(after, PAGE))
                .await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.document);
            for (target, n_chunks) in page {
                let entries = stored.remove(&target.document).unwrap_or_default();
                if holds_exactly(&entries, target.version, n_chunks) {
                    continue;
                }
                touched += 1;
                let words_only = lacks_words_only(&entries, target.version, n_chunks);
                let document = target.document;
                if words_only {
                    let put = self.catalog(move |catalog| put_words(catalog, &target));
                    ops.push(put.await?);
                } else {
                    let put = self.catalog(move |catalog| put_from(catalog, &target));
                    ops.extend([IndexOp::Remove { document }, put.await?]);
                }
            }
            // Page by page: a lost index is rebuilt from here, whatever its size.
            self.repair(ops).await?;
        }
        // What is left in the store is unknown to the catalog, or was put but never published.
        let unknown: Vec<IndexOp> = stored
            .into_keys()
            .map(|document| IndexOp::Remove { document })
            .collect();
        touched += unknown.len();
        self.repair(unknown).await?;
        Ok(touched)
    }

    /// Applies repairs durably.
    async fn repair(&self, ops: Vec<IndexOp>) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        self.store.apply(ops).await?;
        self.store.checkpoint().await
    }
}

pub(crate) async fn reindex(
    data_dir: &Path,
    embedder: Arc<dyn Embedder>,
    progress: &(dyn Fn(usize, usize) + Send + Sync),
) -> Result<usize> {
    let (dir, spec) = (data_dir.to_owned(), store_spec(embedder.as_ref()));
    let (_lock, catalog, store, old) = blocking(move || {
        let lock = take_lock(&dir)?;
        let catalog = Arc::new(Catalog::open(&dir.join("catalog.db"))?);
        let old = generation(&catalog)?;
        let new_dir = index_dir(&dir, old + 1);
        if new_dir.exists() {
            // An earlier attempt that did not come to its end.
            fs_err::remove_dir_all(&new_dir)?;
        }
        Ok((lock, catalog, EmbeddedStore::open(&new_dir, &spec)?, old))
    })
    .await?;
    let name = embedder_name(embedder.as_ref());
    let same_embedder = catalog.meta("embedder")?.as_deref() == Some(name.as_str());
    let known = if same_embedder {
        kept_codec(&catalog)?
    } else {
        None
    };
    let codec = match known {
        Some(codec) => codec,
        None => TokenCodec::measure(embedder.as_ref()).await?,
    };
    if !same_embedder {
        catalog.forget_unpublished_chunks()?;
    }
    let without_tokens = catalog.without_tokens()?;
    let total = usize::try_from(
        catalog
            .collections(&AccessFilter::unrestricted("rebuilding the index"))?
            .iter()
            .map(|collection| collection.n_documents)
            .sum::<u64>(),
    )
    .unwrap_or(usize::MAX);
    let (mut done, mut after) = (0, None);
    loop {
        let source = Arc::clone(&catalog);
        let page = blocking(move || source.visible(after, PAGE)).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.document);
        for target in page {
            if !same_embedder || without_tokens.contains(&target.document) {
                embed_again(&catalog, embedder.as_ref(), &codec, &target).await?;
            }
            let source = Arc::clone(&catalog);
            let op = blocking(move || put_from(&source, &target)).await?;
            store.apply(vec![op]).await?;
            done += 1;
            progress(done, total);
        }
        store.checkpoint().await?;
    }
    store.checkpoint().await?;
    drop(store);
    let dir = data_dir.to_owned();
    blocking(move || {
        catalog.switch(&name, &codec.to_json()?, old + 1)?;
        let old_dir = index_dir(&dir, old);
        if old_dir.exists() {
            fs_err::remove_dir_all(&old_dir).map_err(Error::Io)
        } else {
            Ok(())
        }
    })
    .await?;
    Ok(done)
}

/// Returns whether the store has one version of a document, with all its chunks in both legs.
fn holds_exactly(entries: &[Inventory], version: u32, n_chunks: u32) -> bool {
    match entries {
        [] => n_chunks == 0,
        [entry] => {
            entry.version == version
                && entry.dense == n_chunks as usize
                && entry.lexical == n_chunks as usize
        }
        _ => false,
    }
}

/// Returns whether the store has all vectors of a document's one version and no words: another analyzer had made them.
fn lacks_words_only(entries: &[Inventory], version: u32, n_chunks: u32) -> bool {
    matches!(entries, [entry] if entry.version == version
        && entry.dense == n_chunks as usize
        && entry.lexical == 0)
}

/// Replaces the stored vectors of a document. Until all are replaced the catalog names no embedder,
/// so an interrupted run embeds everything again.
async fn embed_again(
    catalog: &Arc<Catalog>,
    embedder: &dyn Embedder,
    codec: &TokenCodec,
    target: &Published,
) -> Result<()> {
    let (source, document, version) = (Arc::clone(catalog), target.document, target.version);
    let mut chunks = blocking(move || {
        source.set_meta("embedder", "")?;
        source.chunks(document, version)
    })
    .await?;
    let texts: Vec<String> = chunks
        .iter()
        .map(|stored| embedded_text(&target.title, &stored.chunk.context, &stored.chunk.text))
        .collect();
    let embeddings = embedder.embed_documents(&texts).await?;
    for (stored, embedding) in chunks.iter_mut().zip(embeddings) {
        stored.tokens = codec.encode(&embedding.tokens);
        stored.vector = embedding.vector;
    }
    let sink = Arc::clone(catalog);
    blocking(move || sink.set_vectors(document, version, &chunks)).await
}

fn put_from(catalog: &Catalog, target: &Published) -> Result<IndexOp> {
    let chunks = catalog.chunks(target.document, target.version)?;
    Ok(put_op(
        target,
        chunks.iter().map(|stored| (&stored.chunk, &stored.vector)),
    ))
}

/// Returns a put of what is served of a document, if anything is.
pub(crate) fn put_visible(catalog: &Catalog, document: DocumentId) -> Result<Option<IndexOp>> {
    let visible = catalog.visible_document(document)?;
    visible.map(|target| put_from(catalog, &target)).transpose()
}

/// Returns a put for the lexical leg alone.
pub(crate) fn put_words(catalog: &Catalog, target: &Published) -> Result<IndexOp> {
    let chunks = catalog.chunks(target.document, target.version)?;
    Ok(IndexOp::PutWords {
        collection: target.collection,
        acl: target.acl.clone(),
        attributes: target.attributes.clone(),
        chunks: stored_chunks(
            target,
            chunks.iter().map(|stored| (&stored.chunk, &stored.vector)),
        ),
    })
}
