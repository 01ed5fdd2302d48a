//! Hits out: embed the query → search both legs → read the candidates → late interaction → fuse →
//! rerank.

use crate::access::Collections;
use crate::catalog::Hydrated;
use crate::duplicates::{Profile, representatives};
use crate::fuse::{Candidate, Fused, Fusion, LegRank, Parts, candidates, fuse, lean_on_neighbors};
use crate::pipeline::{Pipeline, blocking};
use crate::rerank::{Reranking, rerank};
use crate::store::{Bm25, Legs, Query};
use crate::{AccessFilter, ChunkId, Locator, Result, SearchFilter};
use kura_models::Embedding;
use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

/// What to look for.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// The query.
    pub text: String,
    /// Where to look.
    pub collections: Collections,
    /// Which documents to look at there.
    pub filter: SearchFilter,
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
    /// The fused score; comparable within one list only.
    pub score: f32,
    /// What each signal added to the score.
    pub parts: Parts,
    /// Rank and cosine in the dense leg.
    pub dense: Option<LegRank>,
    /// Rank and BM25 score in the lexical leg.
    pub lexical: Option<LegRank>,
    /// Cosine to the query, whether or not the dense leg had it.
    pub cosine: Option<f32>,
    /// Late interaction's score.
    pub late: Option<f32>,
    /// The reranker's logit. Hits that have one come first, in its order.
    pub cross: Option<f32>,
    /// Others that say the same, best first; empty where duplicates are not collapsed.
    pub duplicates: Vec<Duplicate>,
}

/// A chunk that says the same as a hit ranked higher. The principal may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// Its id.
    pub chunk: ChunkId,
    /// Its document's title.
    pub title: String,
    /// Its document's source.
    pub source: String,
    /// The name of its collection.
    pub collection_name: String,
}

/// Hits, best first, and where the time went.
#[derive(Debug, Clone)]
pub struct SearchOutput {
    /// The hits.
    pub hits: Vec<Hit>,
    /// Stages that were left out to stay within their budget.
    pub dropped: Vec<Stage>,
    /// Where the time went.
    pub timings: SearchTimings,
}

/// A stage that a search can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Comparing token by token.
    LateInteraction,
    /// Having the reranker read the best candidates.
    CrossEncoder,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LateInteraction => "late_interaction",
            Self::CrossEncoder => "cross_encoder",
        })
    }
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
    /// Text, vectors and tokens from the catalog, with the last access check.
    pub hydrate_ms: f64,
    /// Late interaction.
    pub late_ms: f64,
    /// Fusion.
    pub fuse_ms: f64,
    /// The reranker.
    pub cross_ms: f64,
    /// All of it.
    pub total_ms: f64,
}

impl SearchTimings {
    /// Returns each step's name and milliseconds, the whole last.
    #[must_use]
    pub fn steps(&self) -> [(&'static str, f64); 8] {
        [
            ("embed", self.embed_ms),
            ("dense", self.dense_ms),
            ("lexical", self.lexical_ms),
            ("hydrate", self.hydrate_ms),
            ("late_interaction", self.late_ms),
            ("fuse", self.fuse_ms),
            ("cross_encoder", self.cross_ms),
            ("total", self.total_ms),
        ]
    }
}

/// How candidates are found and ranked.
#[derive(Debug, Clone, Copy)]
pub struct RankOptions {
    /// Chunks of each leg that go on to fusion.
    pub candidates: usize,
    /// Chunks that each leg is asked for, if that is more: an evaluation wants to see further down.
    pub depth: usize,
    /// How the lexical leg scores.
    pub bm25: Bm25,
    /// How signals are combined; the query has a say ([`Fusion::for_query`]).
    pub fusion: Fusion,
    /// When late interaction is dropped, counted from the start of the search; never when absent.
    pub late_budget: Option<Duration>,
    /// What the reranker may do, if there is one.
    pub reranking: Reranking,
}

/// A query on its way through the stages: for search, evaluation and explanation alike.
pub struct Ranking {
    /// What each leg found, `depth` chunks at most.
    pub legs: Legs,
    /// How their signals were combined.
    pub fusion: Fusion,
    /// All candidates, best first.
    pub fused: Vec<Fused>,
    /// Stages that were left out.
    pub dropped: Vec<Stage>,
    /// Where the time went.
    pub timings: SearchTimings,
    found: HashMap<ChunkId, Hydrated>,
}

impl Pipeline {
    /// Searches both legs and returns the fused hits, best first. Duplicates take one place, if so configured.
    ///
    /// # Errors
    /// Any failure of a leg, the embedder or the catalog is an error: it is never an empty list.
    pub async fn search(
        &self,
        request: &SearchRequest,
        access: &AccessFilter,
    ) -> Result<SearchOutput> {
        let options = self.rank_options(request.limit);
        let ranking = self.rank(request, &options, access).await?;
        Ok(ranking.into_output(request.limit, self.config.collapse_duplicates))
    }

    /// Ranks all that both legs find, whatever the request's limit.
    ///
    /// # Errors
    /// Like [`Self::search`].
    pub async fn rank(
        &self,
        request: &SearchRequest,
        options: &RankOptions,
        access: &AccessFilter,
    ) -> Result<Ranking> {
        let start = Instant::now();
        let mut timings = SearchTimings::default();
        let fusion = options.fusion.for_query(&request.text);
        let asking = access.clone();
        let access = &self
            .catalog(move |catalog| catalog.as_of_now(&asking))
            .await?;
        // The words of a collection that may not be read must not show in what is found elsewhere.
        let searched = request.collections.intersection(access.collections());
        let expansion = self.expand(&request.text, &searched);
        let embedding = self
            .embedder
            .embed_query(&expansion.text_for_embedding)
            .await?;
        timings.embed_ms = ms(start);
        let query = Query {
            text: request.text.clone(),
            concepts: expansion.concepts,
            bm25: options.bm25,
            vector: embedding.vector.clone(),
            collections: searched,
            filter: request.filter.clone(),
            limit: options.candidates.max(options.depth),
        };
        let legs = self.store.search(&query, access).await?;
        (timings.dense_ms, timings.lexical_ms) = (legs.dense_ms, legs.lexical_ms);

        let hydrating = Instant::now();
        let mut candidates = candidates(&legs, options.candidates);
        let mut found = self.hydrate(&candidates, &request.filter, access).await?;
        // What may not be seen has no part in the standardization either.
        candidates.retain(|candidate| found.contains_key(&candidate.chunk));
        timings.hydrate_ms = ms(hydrating);

        let comparing = Instant::now();
        for candidate in &mut candidates {
            candidate.cosine = Some(dot(&found[&candidate.chunk].vector, &embedding.vector));
        }
        if fusion.recency_weight > 0.0 {
            let day = request.filter.as_of;
            let day = day.unwrap_or_else(|| jiff::Zoned::now().date());
            for candidate in &mut candidates {
                let date = found[&candidate.chunk].date;
                let age = date.map(|date| day.duration_since(date).as_secs_f32());
                candidate.age_days = age.map(|secs| secs / (24.0 * 3600.0));
            }
        }
        let mut dropped = Vec::new();
        if fusion.late_weight > 0.0 {
            let deadline = options
                .late_budget
                .and_then(|budget| start.checked_add(budget));
            let done = self.interact(&embedding, &mut found, &mut candidates, deadline);
            if !done.await? {
                dropped.push(Stage::LateInteraction);
            }
        }
        timings.late_ms = ms(comparing);

        let fusing = Instant::now();
        let mut fused = fuse(&candidates, options.candidates, &fusion);
        let vectors: Vec<&[f32]> = fused
            .iter()
            .map(|fused| found[&fused.candidate.chunk].vector.as_slice())
            .collect();
        lean_on_neighbors(&mut fused, &vectors, fusion.neighbor_weight);
        timings.fuse_ms = ms(fusing);

        let reading = Instant::now();
        let n_read = options.reranking.candidates.min(fused.len());
        if let Some(reranker) = self.reranker.as_deref().filter(|_| n_read > 0) {
            let deadline = options.reranking.budget.map(|budget| start + budget);
            let (query, best) = (&expansion.text_for_embedding, &mut fused[..n_read]);
            if !rerank(reranker, query, best, &found, deadline).await? {
                dropped.push(Stage::CrossEncoder);
            }
            timings.cross_ms = ms(reading);
        }
        timings.total_ms = ms(start);
        Ok(Ranking {
            legs,
            fusion,
            fused,
            dropped,
            timings,
            found,
        })
    }

    /// Returns how a search for `limit` hits goes about it.
    #[must_use]
    pub fn rank_options(&self, limit: usize) -> RankOptions {
        RankOptions {
            candidates: self.config.candidates.max(limit),
            depth: 0,
            bm25: self.config.bm25,
            fusion: self.config.fusion,
            late_budget: Some(self.config.late_budget),
            reranking: self.config.reranking,
        }
    }

    /// Scores candidates token by token. Returns false when the time was up before all were: then none has a score.
    async fn interact(
        &self,
        query: &Embedding,
        found: &mut HashMap<ChunkId, Hydrated>,
        candidates: &mut [Candidate],
        deadline: Option<Instant>,
    ) -> Result<bool> {
        let Some(query) = self.codec.query(&query.tokens) else {
            return Ok(true);
        };
        let codes: Vec<Vec<u8>> = candidates
            .iter()
            .filter_map(|candidate| {
                Some(std::mem::take(&mut found.get_mut(&candidate.chunk)?.tokens))
            })
            .collect();
        let scores =
            blocking(move || Ok(query.score_until(codes.iter().map(Vec::as_slice), deadline)));
        let Some(scores) = scores.await? else {
            tracing::warn!(
                "late interaction was dropped: it would have taken longer than its budget"
            );
            return Ok(false);
        };
        for (candidate, score) in candidates.iter_mut().zip(scores) {
            candidate.late = score;
        }
        Ok(true)
    }

    async fn hydrate(
        &self,
        candidates: &[Candidate],
        filter: &SearchFilter,
        access: &AccessFilter,
    ) -> Result<HashMap<ChunkId, Hydrated>> {
        let (ids, filter, access) = (
            candidates.iter().map(|c| c.chunk).collect::<Vec<_>>(),
            filter.clone(),
            access.clone(),
        );
        self.catalog(move |catalog| catalog.hydrate(&ids, &filter, &access))
            .await
    }
}

impl Ranking {
    /// Says for each of the candidates, best first, of which better one it is a duplicate: that one's place, from 0.
    ///
    /// Within a document, chunks under other headings are no duplicates: the same words are about another matter.
    #[must_use]
    pub fn duplicates(&self) -> Vec<Option<usize>> {
        let candidates = self.fused.iter().map(|fused| fused.candidate.chunk);
        let profiles: Vec<Option<(ChunkId, &Locator, Profile)>> = candidates
            .map(|id| {
                let chunk = &self.found.get(&id)?.chunk;
                Some((id, &chunk.locator, Profile::new(&chunk.text)))
            })
            .collect();
        representatives(&profiles, |a, b| match (a, b) {
            (Some((a, place_a, text_a)), Some((b, place_b, text_b))) => {
                (a.document != b.document || place_a.headings == place_b.headings)
                    && text_a.same(text_b)
            }
            (None, _) | (_, None) => false,
        })
    }

    /// Returns the best hits with their texts; `collapse` lists duplicates under the best of their kind.
    #[must_use]
    pub fn into_output(mut self, limit: usize, collapse: bool) -> SearchOutput {
        let mut listed: HashMap<usize, Vec<Duplicate>> = HashMap::new();
        let mut kept: Vec<usize> = (0..self.fused.len()).collect();
        if collapse {
            let duplicates = self.duplicates();
            kept.retain(|at| duplicates[*at].is_none());
            for (at, of) in duplicates.into_iter().enumerate() {
                let id = self.fused[at].candidate.chunk;
                if let Some((of, found)) = of.zip(self.found.get(&id)) {
                    listed.entry(of).or_default().push(Duplicate {
                        chunk: id,
                        title: found.title.clone(),
                        source: found.source.clone(),
                        collection_name: found.collection_name.clone(),
                    });
                }
            }
        }
        let hits = kept.into_iter().take(limit).filter_map(|at| {
            let fused = self.fused[at];
            let candidate = fused.candidate;
            let found = self.found.remove(&candidate.chunk)?;
            Some(Hit {
                chunk: candidate.chunk,
                text: found.chunk.text,
                n_tokens: found.chunk.n_tokens,
                span: found.chunk.span,
                locator: found.chunk.locator,
                title: found.title,
                source: found.source,
                collection_name: found.collection_name,
                score: fused.score,
                parts: fused.parts,
                dense: candidate.dense,
                lexical: candidate.lexical,
                cosine: candidate.cosine,
                late: candidate.late,
                duplicates: listed.remove(&at).unwrap_or_default(),
                cross: fused.cross,
            })
        });
        SearchOutput {
            hits: hits.collect(),
            dropped: self.dropped,
            timings: self.timings,
        }
    }
}

/// Vectors have length 1, so this is their cosine.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
