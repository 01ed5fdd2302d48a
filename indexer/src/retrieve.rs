//! Hits out: embed the query → search both legs → fuse → hydrate.

use crate::access::Collections;
use crate::fuse::{Fused, Fusion, LegRank, fuse};
use crate::pipeline::Pipeline;
use crate::store::{Legs, Query};
use crate::{AccessFilter, ChunkId, Locator, Result};
use std::ops::Range;
use std::time::Instant;

/// What to look for.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// The query.
    pub text: String,
    /// Where to look.
    pub collections: Collections,
    /// The most hits to return.
    pub limit: usize,
}

/// A chunk that was found.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Its id.
    pub chunk: ChunkId,
    /// The quoted text.
    pub text: String,
    /// Tokens of the text by the embedder's tokenizer.
    pub n_tokens: usize,
    /// Byte range in the document's text.
    pub span: Range<usize>,
    /// Page, range and headings.
    pub locator: Locator,
    /// The document's title.
    pub title: String,
    /// The document's source.
    pub source: String,
    /// The name of its collection.
    pub collection_name: String,
    /// Fusion score; comparable within one list only.
    pub score: f32,
    /// Rank and cosine in the dense leg.
    pub dense: Option<LegRank>,
    /// Rank and BM25 score in the lexical leg.
    pub lexical: Option<LegRank>,
}

/// Hits, best first, and where the time went.
#[derive(Debug, Clone)]
pub struct SearchOutput {
    /// The hits.
    pub hits: Vec<Hit>,
    /// Where the time went.
    pub timings: SearchTimings,
}

/// Milliseconds per stage; the two legs run side by side.
#[derive(Debug, Clone, Copy, Default)]
pub struct SearchTimings {
    /// Query to vector.
    pub embed_ms: f64,
    /// Vector search.
    pub dense_ms: f64,
    /// Keyword search.
    pub lexical_ms: f64,
    /// Fusion.
    pub fuse_ms: f64,
    /// Text from the catalog, with the last access check.
    pub hydrate_ms: f64,
    /// All of it.
    pub total_ms: f64,
}

impl Pipeline {
    /// Searches both legs and returns the fused hits, best first.
    ///
    /// # Errors
    /// Any failure of a leg, the embedder or the catalog is an error: it is never an empty list.
    pub async fn search(
        &self,
        request: &SearchRequest,
        access: &AccessFilter,
    ) -> Result<SearchOutput> {
        let start = Instant::now();
        let candidates = self.config.candidates.max(request.limit);
        let (legs, embed_ms) = self
            .legs(&request.text, &request.collections, candidates, access)
            .await?;
        let fusing = Instant::now();
        let fused = fuse(&legs, &self.config.fusion);
        let fuse_ms = ms(fusing);
        let hydrating = Instant::now();
        let hits = self.hydrate(fused, request.limit, access).await?;
        let timings = SearchTimings {
            embed_ms,
            dense_ms: legs.dense_ms,
            lexical_ms: legs.lexical_ms,
            fuse_ms,
            hydrate_ms: ms(hydrating),
            total_ms: ms(start),
        };
        Ok(SearchOutput { hits, timings })
    }

    /// Returns the raw legs of a query, `candidates` chunks each, and the milliseconds spent embedding: for evaluation.
    pub async fn legs(
        &self,
        text: &str,
        collections: &Collections,
        candidates: usize,
        access: &AccessFilter,
    ) -> Result<(Legs, f64)> {
        let embedding = Instant::now();
        let expansion = self.expand(text, collections);
        let vector = self
            .embedder
            .embed_query(&expansion.text_for_embedding)
            .await?;
        let embed_ms = ms(embedding);
        let query = Query {
            text: text.to_owned(),
            concepts: expansion.concepts,
            vector,
            collections: collections.clone(),
            limit: candidates,
        };
        Ok((self.store.search(&query, access).await?, embed_ms))
    }

    /// Returns how the legs are fused.
    #[must_use]
    pub fn fusion(&self) -> &Fusion {
        &self.config.fusion
    }

    async fn hydrate(
        &self,
        fused: Vec<Fused>,
        limit: usize,
        access: &AccessFilter,
    ) -> Result<Vec<Hit>> {
        let (ids, access) = (
            fused.iter().map(|hit| hit.chunk).collect::<Vec<_>>(),
            access.clone(),
        );
        let mut found = self
            .catalog(move |catalog| catalog.hydrate(&ids, &access))
            .await?;
        let hits = fused.into_iter().filter_map(
            |Fused {
                 chunk: id,
                 score,
                 dense,
                 lexical,
             }| {
                let hydrated = found.remove(&id)?;
                Some(Hit {
                    chunk: id,
                    text: hydrated.chunk.text,
                    n_tokens: hydrated.chunk.n_tokens,
                    span: hydrated.chunk.span,
                    locator: hydrated.chunk.locator,
                    title: hydrated.title,
                    source: hydrated.source,
                    collection_name: hydrated.collection_name,
                    score,
                    dense,
                    lexical,
                })
            },
        );
        Ok(hits.take(limit).collect())
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
