//! `/api/v1/search/explain`

use super::ask::QuestionPart;
use super::filter::{self, Filter};
use super::search::{Hit, SearchTimings, hit_limit};
use super::{Json, Problems, chunk_id, document_id, require_text, resolve};
use crate::answer::passages::Gathered;
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::error::{ApiError, Code};
use axum::extract::State;
use kura_indexer::explain::{Explanation, Fate, Outcome, Ranked};
use kura_indexer::{AccessFilter, GroupId, retrieve};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Which search to explain.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Words or a question, in any language.
    pub query: String,
    /// Names of the collections to search; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Hits that are wanted, 1 to 100; `retrieval.limit` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub limit: Option<usize>,
    /// Id of a document: where did it end, and why?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Which documents to look at; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Search as one who is in exactly these groups; as yourself when absent. All who sign in are in `everyone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Ask the answer's gate, too: would there be an answer?
    #[serde(default)]
    pub answer: bool,
}

/// A search, taken apart.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ExplainResponse {
    /// The query's terms as the keyword search seeks them, in reading order.
    pub terms: Vec<QueryTerm>,
    /// What the keyword search scored with.
    pub bm25: Bm25Parameters,
    /// All candidates, best first.
    pub candidates: Vec<ExplainedHit>,
    /// The reranker that ordered the first candidates, if it did.
    #[schema(required)]
    pub reranker: Option<String>,
    /// Stages that were left out to stay within their budget.
    pub dropped: Vec<String>,
    /// How long it took.
    pub timings_ms: SearchTimings,
    /// What became of the document that was asked about.
    #[schema(required)]
    pub document: Option<ExplainedDocument>,
    /// What the answer's gate says.
    #[schema(required)]
    pub gate: Option<Gate>,
}

/// BM25's parameters.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Bm25Parameters {
    /// How much further occurrences of a word count.
    pub k1: f32,
    /// How much a chunk's length counts, 0 to 1.
    pub b: f32,
}

/// A term of the query.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct QueryTerm {
    /// As it is sought.
    pub text: String,
    /// A function word, which is not sought while others are left.
    pub stop: bool,
}

/// A candidate with its scores at every stage.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ExplainedHit {
    /// The chunk.
    #[serde(flatten)]
    pub hit: Hit,
    /// The better chunk that says the same, under which it is listed.
    #[schema(required)]
    pub duplicate_of: Option<String>,
    /// Place in the end, from 1; a duplicate has that of the chunk it is listed under.
    pub rank: usize,
    /// Place before late interaction, from 1.
    pub rank_without_late_interaction: usize,
    /// Place before the reranker, from 1.
    pub rank_without_reranker: usize,
    /// Cosine to the query.
    #[schema(required)]
    pub cosine: Option<f32>,
    /// BM25 score.
    #[schema(required)]
    pub bm25: Option<f32>,
    /// Late interaction's score.
    #[schema(required)]
    pub late_interaction: Option<f32>,
    /// What each signal added to the score, its weight included.
    pub parts: Parts,
}

/// What each signal added to a score.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ScoreParts)]
pub struct Parts {
    /// Closeness of meaning.
    pub dense: f32,
    /// Shared words.
    pub lexical: f32,
    /// Late interaction.
    pub late_interaction: f32,
    /// The document's date.
    pub recency: f32,
    /// The candidates closest to it, in long queries.
    #[serde(default)]
    pub neighbors: f32,
}

/// What became of a document.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ExplainedDocument {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its source.
    pub source: String,
    /// Where it ended.
    pub cause: Cause,
    /// The same as a sentence.
    pub reason: String,
    /// The best place of its chunks in the dense leg, from 1, as far as that was followed.
    #[schema(required)]
    pub dense_rank: Option<usize>,
    /// The best place of its chunks in the lexical leg, from 1, as far as that was followed.
    #[schema(required)]
    pub lexical_rank: Option<usize>,
    /// Terms of the query that it has.
    pub shared_terms: Vec<String>,
    /// Terms of the query that it lacks.
    pub missing_terms: Vec<String>,
}

/// Where a document ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It is among the hits.
    Found,
    /// It is listed under a hit that says the same.
    Duplicate,
    /// No version of it is searchable.
    NotIndexed,
    /// The search was limited to other collections, or by a filter that it does not pass.
    Filtered,
    /// Those who searched may not read it.
    NotReadable,
    /// It shares no word with the query.
    NoSharedTerms,
    /// Neither leg had it among its first hits.
    NotACandidate,
    /// Late interaction put others before it.
    Reranked,
    /// The candidates closest to it put it down.
    Neighbors,
    /// The reranker put others before it.
    CrossEncoder,
    /// Others ranked higher.
    Outranked,
    /// It is among the hits, but what was found does not support an answer.
    BelowThreshold,
}

/// What the answer's gate says.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Gate {
    /// Probability, 0 to 1, that what was found supports the question.
    pub support: f32,
    /// `answer.min_support`: below it there is no answer.
    pub min_support: f32,
    /// Whether there would be an answer.
    pub passes: bool,
    /// The parts of a question with several, which are also searched by themselves.
    #[serde(default)]
    pub parts: Vec<QuestionPart>,
}

/// Explains what a search finds, and why it does not find a document.
///
/// It may tell of a `document` that the `groups` may not read, so the caller must be able to read it, and may only give
/// `groups` of its own.
#[utoipa::path(post, path = "/api/v1/search/explain", tag = "search", request_body = ExplainRequest,
    responses((status = 200, body = ExplainResponse), Problems))]
pub async fn explain_search(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Json(request): Json<ExplainRequest>,
) -> Result<axum::Json<ExplainResponse>, ApiError> {
    audited.asked("query", &request.query, request.collections.as_deref());
    if let Some(groups) = &request.groups {
        audited.detail("as_groups", groups.clone());
    }
    require_text("query", &request.query)?;
    let limit = hit_limit(&app, request.limit)?;
    let access = access(&principal, request.groups)?;
    let document = request.document.as_deref().map(document_id).transpose()?;
    if let Some(document) = document {
        // What is told about it would tell its text.
        app.pipeline.document(document, &principal.access()).await?;
    }
    let search = retrieve::SearchRequest {
        collections: resolve(&app, &principal, request.collections.as_deref()).await?,
        filter: filter::to_core(request.filter.as_ref())?,
        text: request.query,
        limit,
    };
    let explanation = app.pipeline.explain(&search, document, &access).await?;
    let shown = explanation.ranked.iter().map(|ranked| &ranked.hit.chunk);
    audited.chunks("chunks", shown);
    if let Some(fate) = &explanation.document {
        audited.target("document", &fate.document.id.to_string());
    }
    let gate = if request.answer {
        let (text, collections) = (&search.text, &search.collections);
        let gathered = app
            .assistant
            .gather(text, collections, &search.filter, &access);
        Some(Gate::new(&gathered.await?, app.config.answer.min_support))
    } else {
        None
    };
    Ok(axum::Json(ExplainResponse::new(explanation, gate)))
}

impl Gate {
    /// Returns what the gate says to what was gathered.
    #[must_use]
    pub fn new(gathered: &Gathered, min_support: f32) -> Self {
        let support = gathered.support();
        Self {
            support,
            min_support,
            passes: support >= min_support,
            parts: gathered.parts().into_iter().map(Into::into).collect(),
        }
    }
}

impl ExplainResponse {
    /// Renders an explanation.
    #[must_use]
    pub fn new(explanation: Explanation, gate: Option<Gate>) -> Self {
        let document = explanation
            .document
            .map(|fate| ExplainedDocument::new(fate, gate.as_ref()));
        Self {
            terms: explanation
                .terms
                .into_iter()
                .map(|term| QueryTerm {
                    text: term.text,
                    stop: term.stop,
                })
                .collect(),
            bm25: Bm25Parameters {
                k1: explanation.bm25.k1,
                b: explanation.bm25.b,
            },
            candidates: explanation.ranked.into_iter().map(Into::into).collect(),
            reranker: explanation.reranker,
            dropped: explanation
                .dropped
                .iter()
                .map(ToString::to_string)
                .collect(),
            timings_ms: explanation.timings.into(),
            document,
            gate,
        }
    }
}

impl From<Ranked> for ExplainedHit {
    fn from(ranked: Ranked) -> Self {
        let hit = ranked.hit;
        Self {
            duplicate_of: ranked.duplicate_of.map(|of| chunk_id(&of)),
            rank: ranked.rank,
            rank_without_late_interaction: ranked.rank_without_late,
            rank_without_reranker: ranked.rank_without_reranker,
            cosine: hit.cosine,
            bm25: hit.lexical.map(|leg| leg.score),
            late_interaction: hit.late,
            parts: Parts {
                dense: hit.parts.dense,
                lexical: hit.parts.lexical,
                late_interaction: hit.parts.late,
                recency: hit.parts.recency,
                neighbors: hit.parts.neighbors,
            },
            hit: hit.into(),
        }
    }
}

impl ExplainedDocument {
    fn new(fate: Fate, gate: Option<&Gate>) -> Self {
        let refused = gate.filter(|gate| !gate.passes);
        let (cause, reason) = match (&fate.outcome, refused) {
            (Outcome::Found { rank } | Outcome::Duplicate { rank, .. }, Some(gate)) => (
                Cause::BelowThreshold,
                format!(
                    "it is hit {rank}, but the support of what was found is {:.2}, below `answer.min_support` {:.2}",
                    gate.support, gate.min_support
                ),
            ),
            (outcome, _) => told(outcome),
        };
        Self {
            id: fate.document.id.to_string(),
            title: fate.document.title,
            source: fate.document.source,
            cause,
            reason,
            dense_rank: fate.dense.map(|leg| leg.rank),
            lexical_rank: fate.lexical.map(|leg| leg.rank),
            shared_terms: fate.shared_terms,
            missing_terms: fate.missing_terms,
        }
    }
}

fn told(outcome: &Outcome) -> (Cause, String) {
    match outcome {
        Outcome::Found { rank } => (Cause::Found, format!("it is hit {rank}")),
        Outcome::Duplicate { rank, source, .. } => (
            Cause::Duplicate,
            format!("it says the same as hit {rank}, `{source}`, and is listed under it"),
        ),
        Outcome::NotIndexed { status, error } => (
            Cause::NotIndexed,
            match error {
                Some(error) => format!("it could not be indexed: {error}"),
                None => format!("no version of it is searchable yet; it is {status}"),
            },
        ),
        Outcome::Filtered { collection } => (
            Cause::Filtered,
            format!("it is in the collection `{collection}`, which was not searched"),
        ),
        Outcome::NotInFilter { reason } => (
            Cause::Filtered,
            format!("the filter keeps it out: {reason}"),
        ),
        Outcome::NotAMember { collection } => (
            Cause::NotReadable,
            format!(
                "it is in the collection `{collection}`, of which none of the groups is a member"
            ),
        ),
        Outcome::NotReadable { readers, denied } => (
            Cause::NotReadable,
            if !denied.is_empty() {
                format!("these groups may not read it: {}", denied.join(", "))
            } else if readers.is_empty() {
                "nobody may read it".to_owned()
            } else {
                format!("only these groups may read it: {}", readers.join(", "))
            },
        ),
        Outcome::NoSharedTerms => (
            Cause::NoSharedTerms,
            "it has none of the query's words, and its meaning alone is not close enough"
                .to_owned(),
        ),
        Outcome::NotACandidate { candidates } => (
            Cause::NotACandidate,
            format!("none of its chunks is among the first {candidates} by meaning or by words"),
        ),
        Outcome::Reranked {
            rank_without_late,
            rank,
        } => (
            Cause::Reranked,
            format!("late interaction put it from place {rank_without_late} to {rank}"),
        ),
        Outcome::Neighbors {
            rank_without_neighbors,
            rank,
        } => (
            Cause::Neighbors,
            format!(
                "the candidates closest to it, which count in a long query, put it from place {rank_without_neighbors} to {rank}"
            ),
        ),
        Outcome::CrossEncoder {
            rank_without_reranker,
            rank,
        } => (
            Cause::CrossEncoder,
            format!("the reranker put it from place {rank_without_reranker} to {rank}"),
        ),
        Outcome::Outranked { rank, limit } => (
            Cause::Outranked,
            format!("its best chunk is at place {rank}, and {limit} hits were wanted"),
        ),
    }
}

/// Returns the access of those whose search is explained: it must not open what the caller may not read.
fn access(principal: &Principal, groups: Option<Vec<String>>) -> Result<AccessFilter, ApiError> {
    let Some(groups) = groups else {
        return Ok(principal.access());
    };
    let groups = groups.into_iter().map(GroupId).collect();
    let own = principal.access();
    if let Some(foreign) = own
        .as_groups()
        .and_then(|own| Iterator::next(&mut BTreeSet::difference(&groups, own)))
    {
        return Err(ApiError::new(
            Code::Forbidden,
            format!(
                "you are not in the group `{}`, so you cannot search as it does",
                foreign.0
            ),
        ));
    }
    Ok(AccessFilter::groups(groups))
}
