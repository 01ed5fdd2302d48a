//! Why a search found what it found, and where a document fell out.

use crate::analyze::analyze;
use crate::catalog::{Document, DocumentStatus};
use crate::fuse::{Fusion, LegRank};
use crate::pipeline::Pipeline;
use crate::retrieve::{Hit, RankOptions, SearchRequest, SearchTimings, Stage};
use crate::store::{Bm25, Legs, Scored};
use crate::{AccessFilter, Acl, ChunkId, DocumentId, GroupId, Result};
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};

/// How far down the legs a document is looked for.
const DEPTH: usize = 1_000;

/// A search, taken apart.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The query's terms as the keyword leg seeks them, in reading order.
    pub terms: Vec<QueryTerm>,
    /// Who the search was made for: absent means whoever may read everything.
    pub groups: Option<Vec<String>>,
    /// How the lexical leg scored.
    pub bm25: Bm25,
    /// How signals were combined, for this query.
    pub fusion: Fusion,
    /// All candidates, best first.
    pub ranked: Vec<Ranked>,
    /// The reranker that ordered the first candidates, if it did.
    pub reranker: Option<String>,
    /// Stages that were left out.
    pub dropped: Vec<Stage>,
    /// Where the time went.
    pub timings: SearchTimings,
    /// What became of the document that was asked about.
    pub document: Option<Fate>,
}

/// A term of the query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueryTerm {
    /// As it is sought.
    pub text: String,
    /// A function word, which is not sought while others are left.
    pub stop: bool,
}

/// A candidate and where the stages put it.
#[derive(Debug, Clone)]
pub struct Ranked {
    /// The candidate, with its scores.
    pub hit: Hit,
    /// The better candidate that says the same, under which it is listed.
    pub duplicate_of: Option<ChunkId>,
    /// Place in the end, from 1; a duplicate has that of the candidate it is listed under.
    pub rank: usize,
    /// Place by the legs alone, from 1.
    pub rank_without_late: usize,
    /// Place by its own score, late interaction included, from 1.
    pub rank_without_neighbors: usize,
    /// Place by fusion, neighbors included, from 1.
    pub rank_without_reranker: usize,
}

/// What became of a document.
#[derive(Debug, Clone)]
pub struct Fate {
    /// The document.
    pub document: Document,
    /// Where it ended, or why it did not get there.
    pub outcome: Outcome,
    /// The best place of one of its chunks in the dense leg, as far as it was followed.
    pub dense: Option<LegRank>,
    /// The same in the lexical leg.
    pub lexical: Option<LegRank>,
    /// Terms of the query that it has.
    pub shared_terms: Vec<String>,
    /// Terms of the query that it lacks.
    pub missing_terms: Vec<String>,
}

/// Where a document ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Outcome {
    /// It is among the hits.
    Found {
        /// The place of its best chunk, from 1.
        rank: usize,
    },
    /// It is listed under a hit that says the same.
    Duplicate {
        /// The hit's place, from 1.
        rank: usize,
        /// The hit's chunk.
        of: ChunkId,
        /// The hit's source.
        source: String,
    },
    /// No version of it is searchable.
    NotIndexed {
        /// `pending` or `failed`.
        status: DocumentStatus,
        /// Why it failed.
        error: Option<String>,
    },
    /// The search was limited to other collections.
    Filtered {
        /// The document's collection.
        collection: String,
    },
    /// What is known about it does not pass the search's filter.
    NotInFilter {
        /// Which part of the filter, and what the document has instead.
        reason: String,
    },
    /// Those who searched are no members of its collection.
    NotAMember {
        /// The document's collection.
        collection: String,
    },
    /// Those who searched may not read it.
    NotReadable {
        /// Groups that may.
        readers: Vec<String>,
        /// Those groups of the ones who searched that are denied.
        denied: Vec<String>,
    },
    /// It shares no word with the query, and its meaning alone did not bring it among the hits.
    NoSharedTerms,
    /// Neither leg had it among its first hits.
    NotACandidate {
        /// How many hits each leg passes on.
        candidates: usize,
    },
    /// It would be among the hits, had late interaction not put others before it.
    Reranked {
        /// Its place by the legs alone.
        rank_without_late: usize,
        /// Its place by fusion.
        rank: usize,
    },
    /// It would be among the hits, had the candidates closest to it scored better.
    Neighbors {
        /// Its place by its own score.
        rank_without_neighbors: usize,
        /// Its place by fusion.
        rank: usize,
    },
    /// It would be among the hits, had the reranker not put others before it.
    CrossEncoder {
        /// Its place by fusion.
        rank_without_reranker: usize,
        /// Its place in the end.
        rank: usize,
    },
    /// Others ranked higher in every way.
    Outranked {
        /// Its place.
        rank: usize,
        /// How many hits were wanted.
        limit: usize,
    },
}

impl Pipeline {
    /// Searches, and tells what each stage did; with a `document` also where that ended, and why.
    ///
    /// This tells of documents that those whom `access` stands for may not read: ask who is calling first.
    ///
    /// # Errors
    /// Like [`Pipeline::search`]; [`crate::Error::UnknownDocument`] when there is no such document for anybody.
    pub async fn explain(
        &self,
        request: &SearchRequest,
        document: Option<DocumentId>,
        access: &AccessFilter,
    ) -> Result<Explanation> {
        let options = RankOptions {
            depth: if document.is_some() { DEPTH } else { 0 },
            ..self.rank_options(request.limit)
        };
        let mut ranking = self.rank(request, &options, access).await?;
        let analysis = analyze(&request.text);
        let terms = analysis.words.iter().map(|term| QueryTerm {
            text: term.text.clone(),
            stop: term.stop,
        });
        let legs = std::mem::take(&mut ranking.legs);
        let fusion = ranking.fusion;
        let duplicates = if self.config.collapse_duplicates {
            ranking.duplicates()
        } else {
            Vec::new()
        };
        let output = ranking.into_output(usize::MAX, false);
        let is_reranked = output.hits.iter().any(|hit| hit.cross.is_some());
        let reranker = self.reranker.as_ref().filter(|_| is_reranked);
        let ranked = ranked(output.hits, &duplicates);
        let mut explanation = Explanation {
            terms: terms.collect(),
            groups: access
                .as_groups()
                .map(|groups| groups.iter().map(|group| group.0.clone()).collect()),
            bm25: options.bm25,
            fusion,
            ranked,
            reranker: reranker.map(|reranker| reranker.spec().id.to_string()),
            dropped: output.dropped,
            timings: output.timings,
            document: None,
        };
        if let Some(id) = document {
            let fate = self.fate(id, request, &options, access, &legs, &explanation.ranked);
            explanation.document = Some(fate.await?);
        }
        Ok(explanation)
    }

    async fn fate(
        &self,
        id: DocumentId,
        request: &SearchRequest,
        options: &RankOptions,
        access: &AccessFilter,
        legs: &Legs,
        ranked: &[Ranked],
    ) -> Result<Fate> {
        let everyone = AccessFilter::unrestricted("explanation; the caller was checked");
        let document = self.document(id, &everyone).await?;
        let asking = access.clone();
        let access = &self
            .catalog(move |catalog| catalog.as_of_now(&asking))
            .await?;
        let wanted: BTreeSet<String> = analyze(&request.text)
            .query_words()
            .map(|term| term.text.clone())
            .collect();
        let known = self.terms_of(&document, &everyone).await?;
        let (shared_terms, missing_terms): (Vec<String>, Vec<String>) =
            wanted.into_iter().partition(|term| known.contains(term));
        let own = || {
            ranked
                .iter()
                .filter(|ranked| ranked.hit.chunk.document == id)
        };
        // Its best chunk by the legs may be another than its best in the end.
        let kept = own().filter(|ranked| ranked.duplicate_of.is_none());
        let best = |place: fn(&Ranked) -> usize| own().map(place).min();
        let places = kept.map(|ranked| ranked.rank).min().map(|rank| Places {
            rank,
            by_fusion: best(|ranked| ranked.rank_without_reranker).unwrap_or(rank),
            by_own_score: best(|ranked| ranked.rank_without_neighbors).unwrap_or(rank),
            by_legs: best(|ranked| ranked.rank_without_late).unwrap_or(rank),
        });
        let in_leg = |leg: &[Scored]| {
            let places = leg.iter().zip(1..);
            places
                .filter(|(hit, _)| hit.chunk.document == id)
                .map(|(hit, rank)| LegRank {
                    rank,
                    score: hit.score,
                })
                .next()
        };
        let (dense, lexical) = (in_leg(&legs.dense), in_leg(&legs.lexical));
        let shares_no_term = shared_terms.is_empty() && lexical.is_none();
        let outcome = if document.status != DocumentStatus::Indexed && known.is_empty() {
            Outcome::NotIndexed {
                status: document.status,
                error: document.error.clone(),
            }
        } else if !access.collections().contains(document.collection) {
            Outcome::NotAMember {
                collection: document.collection_name.clone(),
            }
        } else if !access.allows(document.collection, &document.acl) {
            let Acl { readers, denied } = &document.acl;
            let searching =
                |group: &&GroupId| access.as_groups().is_some_and(|all| all.contains(*group));
            Outcome::NotReadable {
                readers: readers.iter().map(|group| group.0.clone()).collect(),
                denied: denied
                    .iter()
                    .filter(searching)
                    .map(|group| group.0.clone())
                    .collect(),
            }
        } else if !request.collections.contains(document.collection) {
            Outcome::Filtered {
                collection: document.collection_name.clone(),
            }
        } else if let Some(reason) = request.filter.refusal(&document.attributes()) {
            Outcome::NotInFilter { reason }
        } else {
            let best = own().min_by_key(|ranked| ranked.rank);
            let is_shown = places
                .as_ref()
                .is_some_and(|places| places.rank <= request.limit);
            let listed = listed_under(best, ranked, request.limit);
            listed.filter(|_| !is_shown).unwrap_or_else(|| {
                placed(places, request.limit, options.candidates, shares_no_term)
            })
        };
        Ok(Fate {
            dense,
            lexical,
            document,
            outcome,
            shared_terms,
            missing_terms,
        })
    }

    /// Returns the terms of a document's searchable version, title included; none when there is no such version.
    async fn terms_of(
        &self,
        document: &Document,
        everyone: &AccessFilter,
    ) -> Result<HashSet<String>> {
        let text = match self.document_text(document.id, everyone).await {
            Ok(text) => text,
            Err(crate::Error::UnknownDocument { .. }) => return Ok(HashSet::new()),
            Err(error) => return Err(error),
        };
        let words = [analyze(&document.title), analyze(&text)];
        let words = words.into_iter().flat_map(|analysis| analysis.words);
        Ok(words.map(|term| term.text).collect())
    }
}

/// Returns the hit that a document's best candidate is listed under, if it is a duplicate.
fn listed_under(best: Option<&Ranked>, ranked: &[Ranked], limit: usize) -> Option<Outcome> {
    let best = best.filter(|best| best.rank <= limit)?;
    let of = best.duplicate_of?;
    let kept = ranked.iter().find(|ranked| ranked.hit.chunk == of)?;
    Some(Outcome::Duplicate {
        rank: best.rank,
        of,
        source: kept.hit.source.clone(),
    })
}

/// A document's best places, from 1.
struct Places {
    rank: usize,
    /// Before the reranker.
    by_fusion: usize,
    /// Before neighbors counted.
    by_own_score: usize,
    /// Before late interaction, too.
    by_legs: usize,
}

/// Returns where a document ended that the search could find.
fn placed(
    places: Option<Places>,
    limit: usize,
    candidates: usize,
    shares_no_term: bool,
) -> Outcome {
    match places {
        Some(places) if places.rank <= limit => Outcome::Found { rank: places.rank },
        Some(places) if places.by_fusion <= limit => Outcome::CrossEncoder {
            rank_without_reranker: places.by_fusion,
            rank: places.rank,
        },
        Some(places) if places.by_own_score <= limit => Outcome::Neighbors {
            rank_without_neighbors: places.by_own_score,
            rank: places.by_fusion,
        },
        Some(places) if places.by_legs <= limit => Outcome::Reranked {
            rank_without_late: places.by_legs,
            rank: places.by_own_score,
        },
        _ if shares_no_term => Outcome::NoSharedTerms,
        Some(Places { rank, .. }) => Outcome::Outranked { rank, limit },
        None => Outcome::NotACandidate { candidates },
    }
}

/// Places candidates; `duplicates` says of which earlier one each is a duplicate, and is empty where none is. A duplicate
/// has the places of the one that it is listed under.
fn ranked(hits: Vec<Hit>, duplicates: &[Option<usize>]) -> Vec<Ranked> {
    let of = |at: usize| duplicates.get(at).copied().flatten();
    let kept: Vec<usize> = (0..hits.len()).filter(|at| of(*at).is_none()).collect();
    let mut ranks = vec![0; hits.len()];
    for (rank, at) in (1..).zip(&kept) {
        ranks[*at] = rank;
    }
    let without_late = places(&hits, &kept, |hit| hit.parts.hybrid());
    let without_neighbors = places(&hits, &kept, |hit| hit.score - hit.parts.neighbors);
    let without_reranker = places(&hits, &kept, |hit| hit.score);
    let ids: Vec<ChunkId> = hits.iter().map(|hit| hit.chunk).collect();
    hits.into_iter()
        .enumerate()
        .map(|(at, hit)| {
            let place = of(at).unwrap_or(at);
            Ranked {
                hit,
                duplicate_of: of(at).map(|of| ids[of]),
                rank: ranks[place],
                rank_without_late: without_late[place],
                rank_without_neighbors: without_neighbors[place],
                rank_without_reranker: without_reranker[place],
            }
        })
        .collect()
}

/// Returns the place, from 1, of each hit that is `kept` in the order of a score; ties go by chunk id, as in fusion.
fn places(hits: &[Hit], kept: &[usize], score: fn(&Hit) -> f32) -> Vec<usize> {
    let mut order = kept.to_vec();
    order.sort_by(|a, b| {
        let (a, b) = (&hits[*a], &hits[*b]);
        score(b).total_cmp(&score(a)).then(a.chunk.cmp(&b.chunk))
    });
    let mut places = vec![0; hits.len()];
    for (rank, at) in (1..).zip(order) {
        places[at] = rank;
    }
    places
}
