//! Retrieval: what each stage finds for labelled queries.
//!
//! Documents are what is ranked: a document ranks where its best chunk does.

use super::dataset::{LabelledQuery, sha256};
use super::metrics;
use super::provenance::Settings;
use super::record::{Ranked, Row, StageRow, TOP, Timing};
use kura_indexer::catalog::{self, DocumentStatus};
use kura_indexer::fuse::Fused;
use kura_indexer::retrieve::{RankOptions, SearchRequest};
use kura_indexer::{AccessFilter, Collections, DocumentId, Pipeline, Reranking, SearchFilter};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Most queries asked beforehand, evenly spaced, whose latency does not count.
const WARM_UP: usize = 10;

/// Chunks that each leg is asked for: enough for its recall@100 of documents that have a few chunks each.
const DEPTH: usize = 300;

/// Where and how queries are searched.
pub struct Search {
    /// What is searched.
    pub pipeline: Arc<Pipeline>,
    /// Where.
    pub collections: Collections,
    /// On whose behalf.
    pub access: AccessFilter,
    /// How candidates are found and ranked.
    pub options: RankOptions,
    /// What may be found.
    pub documents: Documents,
}

/// The documents that may be found.
pub struct Documents {
    /// What they are called.
    pub by_id: HashMap<DocumentId, Named>,
    /// Those among them that wait for their job or could not be indexed.
    pub n_not_indexed: usize,
    /// Over sources and contents, lower-case hex.
    pub sha256: String,
}

/// What a document is called in judgements and rankings.
#[derive(Debug, Clone)]
pub struct Named {
    /// Its source.
    pub source: String,
    /// Its title.
    pub title: String,
}

/// What a stage found, all of it.
pub struct Stage {
    /// The stage's name.
    pub name: &'static str,
    /// Documents with scores, best first, each once.
    pub ranking: Vec<(DocumentId, f32)>,
    /// Milliseconds from the query's text to this ranking.
    pub ms: f64,
}

/// A query's way through the stages.
pub struct Found {
    /// In order; the last is what a user gets to see.
    pub stages: Vec<Stage>,
    /// Steps with their milliseconds.
    pub timings: Vec<(&'static str, f64)>,
}

/// Sees every stage's whole ranking, of which a row keeps the first documents only.
pub type Observe<'a> = dyn FnMut(&LabelledQuery, &str, &[Ranked]) -> anyhow::Result<()> + Send + 'a;

impl Search {
    /// Reads which documents there are, and searches as the settings say.
    ///
    /// # Errors
    /// Those of the catalog.
    pub async fn new(
        pipeline: Arc<Pipeline>,
        collections: Collections,
        access: AccessFilter,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            documents: Documents::read(&pipeline, &collections, &access).await?,
            pipeline,
            collections,
            access,
            options: RankOptions {
                candidates: settings.retrieval.candidates,
                depth: DEPTH,
                bm25: settings.retrieval.bm25(),
                fusion: settings.retrieval.fusion(),
                // Figures that depend on how busy the machine is could not be compared.
                late_budget: None,
                reranking: Reranking {
                    candidates: settings.retrieval.rerank_candidates,
                    budget: None,
                },
            },
        })
    }

    /// Asks the queries one after the other; one row each. `progress` is told how many are done.
    ///
    /// # Errors
    /// Those of the search and of `observe`.
    pub async fn rows(
        &self,
        queries: &[LabelledQuery],
        observe: &mut Observe<'_>,
        progress: &(dyn Fn(usize, usize) + Send + Sync),
    ) -> anyhow::Result<Vec<Row>> {
        // The first queries find cold caches, and the first in a language loads its dictionary.
        for query in queries
            .iter()
            .step_by(queries.len().div_ceil(WARM_UP).max(1))
        {
            self.ask(&query.text).await?;
        }
        let mut rows = Vec::with_capacity(queries.len());
        for query in queries {
            let found = self.ask(&query.text).await?;
            let mut stages = Vec::with_capacity(found.stages.len());
            for stage in found.stages {
                let ranking = self.named(stage.ranking);
                observe(query, stage.name, &ranking)?;
                stages.push(judged(stage.name, stage.ms, ranking, &query.relevant));
            }
            let timing = |(name, ms): (&str, f64)| Timing {
                name: name.to_owned(),
                ms,
            };
            rows.push(Row {
                id: query.id.clone(),
                text: query.text.clone(),
                relevant: query.relevant.clone(),
                answerability: query.answerability,
                answers: Vec::new(),
                supported: None,
                evidence: None,
                stages,
                timings: found.timings.into_iter().map(timing).collect(),
                withheld: false,
            });
            progress(rows.len(), queries.len());
        }
        Ok(rows)
    }

    /// Asks one query.
    async fn ask(&self, query: &str) -> anyhow::Result<Found> {
        let request = SearchRequest {
            text: query.to_owned(),
            collections: self.collections.clone(),
            limit: self.options.candidates,
            filter: SearchFilter::default(),
        };
        let ranking = self
            .pipeline
            .rank(&request, &self.options, &self.access)
            .await?;
        let (legs, timings) = (&ranking.legs, ranking.timings);
        let with_late = self.options.fusion.late_weight > 0.0;
        let mut stages = vec![
            Stage {
                name: "dense",
                ranking: by_document(legs.dense.iter().map(|hit| (hit.chunk.document, hit.score))),
                ms: timings.embed_ms + legs.dense_ms,
            },
            Stage {
                name: "lexical",
                ranking: by_document(
                    legs.lexical
                        .iter()
                        .map(|hit| (hit.chunk.document, hit.score)),
                ),
                ms: legs.lexical_ms,
            },
            Stage {
                name: "hybrid",
                ranking: ranked(
                    &ranking.fused,
                    if with_late {
                        Fused::hybrid
                    } else {
                        |fused| fused.score
                    },
                ),
                ms: timings.total_ms - timings.late_ms - timings.cross_ms,
            },
        ];
        if with_late {
            stages.push(Stage {
                name: "reranked",
                ranking: ranked(&ranking.fused, |fused| fused.score),
                ms: timings.total_ms - timings.cross_ms,
            });
        }
        if self.pipeline.reranker().is_some() && self.options.reranking.candidates > 0 {
            stages.push(Stage {
                name: "cross_encoder",
                ranking: cross_encoded(&ranking.fused),
                ms: timings.total_ms,
            });
        }
        let timings = timings.steps().to_vec();
        Ok(Found { stages, timings })
    }

    /// Names the documents; one that is no longer known was deleted meanwhile.
    fn named(&self, ranking: Vec<(DocumentId, f32)>) -> Vec<Ranked> {
        let named = |(id, score)| {
            let document = self.documents.by_id.get(&id)?.source.clone();
            Some(Ranked { document, score })
        };
        ranking.into_iter().filter_map(named).collect()
    }

    /// Returns the documents that rows name.
    #[must_use]
    pub fn named_in(&self, rows: &[Row]) -> Vec<(DocumentId, &Named)> {
        let named: HashSet<&str> = rows.iter().flat_map(Row::documents).collect();
        let known = self.documents.by_id.iter();
        known
            .filter(|(_, document)| named.contains(document.source.as_str()))
            .map(|(id, document)| (*id, document))
            .collect()
    }
}

impl Documents {
    /// Reads which documents there are.
    ///
    /// # Errors
    /// Those of the catalog.
    pub async fn read(
        pipeline: &Pipeline,
        collections: &Collections,
        access: &AccessFilter,
    ) -> anyhow::Result<Self> {
        let mut contents: Vec<String> = Vec::new();
        let mut n_not_indexed = 0;
        let mut by_id = HashMap::new();
        for document in all_documents(pipeline, collections, access).await? {
            contents.push(format!("{}\0{}\n", document.source, document.sha256));
            n_not_indexed += usize::from(document.status != DocumentStatus::Indexed);
            let named = Named {
                source: document.source,
                title: document.title,
            };
            by_id.insert(document.id, named);
        }
        contents.sort_unstable();
        let contents: Vec<&str> = contents.iter().map(String::as_str).collect();
        Ok(Self {
            by_id,
            n_not_indexed,
            sha256: sha256(&contents),
        })
    }
}

pub(super) async fn all_documents(
    pipeline: &Pipeline,
    collections: &Collections,
    access: &AccessFilter,
) -> anyhow::Result<Vec<catalog::Document>> {
    let (mut documents, mut after) = (Vec::new(), None);
    loop {
        let page = pipeline
            .documents(collections, access, after.as_deref(), 1000)
            .await?;
        documents.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(documents);
        }
    }
}

fn judged(
    name: &str,
    ms: f64,
    mut ranking: Vec<Ranked>,
    relevant: &BTreeMap<String, f64>,
) -> StageRow {
    let documents: Vec<&str> = ranking.iter().map(|hit| hit.document.as_str()).collect();
    let judged = metrics::judge(&documents, relevant);
    ranking.truncate(TOP);
    StageRow {
        name: name.to_owned(),
        metrics: judged.metrics,
        latency_ms: ms,
        ranking,
        first_relevant: judged.first_relevant,
        score: None,
        answer: None,
    }
}

/// Ranks documents by a score of their candidates.
fn ranked(fused: &[Fused], score: fn(&Fused) -> f32) -> Vec<(DocumentId, f32)> {
    let mut scored: Vec<(DocumentId, f32)> = fused
        .iter()
        .map(|fused| (fused.candidate.chunk.document, score(fused)))
        .collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    by_document(scored.into_iter())
}

/// Ranks documents as the reranker does. The fused scores of what it did not read are of another scale: they are moved
/// below its own.
fn cross_encoded(fused: &[Fused]) -> Vec<(DocumentId, f32)> {
    let lowest = fused.iter().rev().find_map(|fused| fused.cross);
    let unread = fused.iter().find(|fused| fused.cross.is_none());
    let above = match (lowest, unread) {
        (Some(lowest), Some(unread)) => (unread.score - lowest + 1.0).max(0.0),
        _ => 0.0,
    };
    let score = |fused: &Fused| fused.cross.unwrap_or(fused.score - above);
    by_document(fused.iter().map(|f| (f.candidate.chunk.document, score(f))))
}

/// Keeps each document's best chunk.
fn by_document(chunks: impl Iterator<Item = (DocumentId, f32)>) -> Vec<(DocumentId, f32)> {
    let mut seen = HashSet::new();
    chunks.filter(|(id, _)| seen.insert(*id)).collect()
}
