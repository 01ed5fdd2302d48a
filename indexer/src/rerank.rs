//! The last stage, for whoever has a reranker: a model that reads the query and a candidate together.
//!
//! It alone orders the candidates that it read. Its score is not added to the fused one: it has seen what the other
//! signals go by, words and meaning, and more, and no weights are known by which a sum would be better on documents
//! that nobody has judged. What it did not read follows in the fused order.
//!
//! Either all of the first candidates have its score or none: an order mixed of read and unread ones would be worse
//! than either. A stage out of time is dropped, and the search says so; a reranker that fails fails the search.

use crate::catalog::Hydrated;
use crate::document::ChunkId;
use crate::fuse::Fused;
use crate::ingest::embedded_text;
use crate::pipeline::Pipeline;
use crate::{Error, Result};
use kura_models::Reranker;
use kura_models::rerank::relevance;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Texts of the first batch; each batch doubles, so that a model far too slow is found out early.
const FIRST_BATCH: usize = 2;
const LARGEST_BATCH: usize = 16;

/// How much a reranker may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reranking {
    /// Candidates that it reads, the best by fusion; 0 leaves it out.
    pub candidates: usize,
    /// When the stage is dropped, counted from the start of the search; never when absent.
    pub budget: Option<Duration>,
}

impl Default for Reranking {
    fn default() -> Self {
        Self {
            candidates: 30,
            budget: None,
        }
    }
}

/// What scores texts that are in no collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScoredBy {
    /// The reranker of this name.
    CrossEncoder(String),
    /// Late interaction with the embedder of this name, where there is no reranker.
    LateInteraction(String),
}

/// How relevant a text is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextScore {
    /// Higher is better; finer than `relevance`.
    pub order: f32,
    /// 0 to 1.
    pub relevance: f32,
}

impl Pipeline {
    /// Returns what [`Self::score_texts`] scores with.
    #[must_use]
    pub fn scored_by(&self) -> ScoredBy {
        match &self.reranker {
            Some(reranker) => ScoredBy::CrossEncoder(reranker.spec().id.to_string()),
            None => ScoredBy::LateInteraction(self.embedder.spec().id.to_string()),
        }
    }

    /// Scores texts that are in no collection, in order.
    ///
    /// # Errors
    /// [`Error::Reranker`], or those of the embedder.
    pub async fn score_texts(&self, query: &str, texts: &[String]) -> Result<Vec<TextScore>> {
        if let Some(reranker) = self.reranker.as_deref() {
            let logits = read(reranker, query, texts).await?;
            let score = |order| TextScore {
                order,
                relevance: relevance(order),
            };
            return Ok(logits.into_iter().map(score).collect());
        }
        let wanted = self.embedder.embed_query(query).await?;
        let wanted = self.codec.query(&wanted.tokens);
        let embeddings = self.embedder.embed_documents(texts).await?;
        let score = |tokens| {
            let order = wanted.as_ref()?.score(&self.codec.encode(tokens))?;
            let relevance = order.clamp(0.0, 1.0);
            Some(TextScore { order, relevance })
        };
        // A text without a token has nothing to do with any query.
        let nothing = TextScore {
            order: f32::MIN,
            relevance: 0.0,
        };
        Ok(embeddings
            .iter()
            .map(|embedding| score(&embedding.tokens).unwrap_or(nothing))
            .collect())
    }
}

/// Puts the first candidates in the reranker's order. Returns false when the time would have been up before it had
/// read all: then nothing has changed.
///
/// # Errors
/// [`Error::Reranker`].
pub(crate) async fn rerank(
    reranker: &dyn Reranker,
    query: &str,
    fused: &mut [Fused],
    found: &HashMap<ChunkId, Hydrated>,
    deadline: Option<Instant>,
) -> Result<bool> {
    let texts: Vec<String> = fused
        .iter()
        .filter_map(|fused| found.get(&fused.candidate.chunk))
        .map(|found| embedded_text(&found.title, &found.chunk.context, &found.chunk.text))
        .collect();
    let Some(scores) = score_until(reranker, query, &texts, deadline).await? else {
        tracing::warn!(
            model = %reranker.spec().id,
            candidates = texts.len(),
            "the reranker was dropped: it would have taken longer than `retrieval.rerank_budget_ms`"
        );
        return Ok(false);
    };
    for (fused, score) in fused.iter_mut().zip(scores) {
        fused.cross = Some(score);
    }
    // Stable: equals stay as fusion has them.
    fused.sort_by(|a, b| b.cross.unwrap_or(0.0).total_cmp(&a.cross.unwrap_or(0.0)));
    Ok(true)
}

/// Scores texts in order, unless the `deadline` comes first or, by what was read so far, would.
pub(crate) async fn score_until(
    reranker: &dyn Reranker,
    query: &str,
    texts: &[String],
    deadline: Option<Instant>,
) -> Result<Option<Vec<f32>>> {
    let cost = |at: &usize| (query.len() + texts[*at].len()) as f64;
    // Longest first: a batch then holds similar lengths, and what is left costs less than what was measured.
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(texts[*at].len()));
    let mut left: f64 = order.iter().map(cost).sum();
    let mut scores = vec![0.0; texts.len()];
    let mut size = FIRST_BATCH;
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let batch = rest.split_off(..size.min(rest.len())).unwrap_or_default();
        let batch_texts: Vec<String> = batch.iter().map(|at| texts[*at].clone()).collect();
        let begun = Instant::now();
        let reading = read(reranker, query, &batch_texts);
        let scored = match deadline {
            None => reading.await?,
            Some(deadline) if deadline <= begun => return Ok(None),
            Some(deadline) => match tokio::time::timeout_at(deadline.into(), reading).await {
                Ok(scored) => scored?,
                Err(_) => return Ok(None),
            },
        };
        for (at, score) in batch.iter().zip(scored) {
            scores[*at] = score;
        }
        let read: f64 = batch.iter().map(cost).sum();
        left -= read;
        let needed = begun.elapsed().mul_f64((left / read).max(0.0));
        if !rest.is_empty() && deadline.is_some_and(|deadline| Instant::now() + needed > deadline) {
            return Ok(None);
        }
        size = (size * 2).min(LARGEST_BATCH);
    }
    Ok(Some(scores))
}

async fn read(reranker: &dyn Reranker, query: &str, texts: &[String]) -> Result<Vec<f32>> {
    let logits = reranker.rerank(query, texts).await;
    logits.map_err(|source| failed(reranker, source))
}

fn failed(reranker: &dyn Reranker, source: kura_models::Error) -> Error {
    Error::Reranker {
        id: reranker.spec().id.to_string(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;
