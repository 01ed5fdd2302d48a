//! A data set from what people said about their answers.
//!
//! A thumb up makes the cited documents relevant, a named document is relevant, a corrected answer is an accepted
//! answer, and a thumb up for a refusal makes a question unanswerable. A thumb down alone says that something is
//! wrong, but not what is right: it is no label, and is counted.

use super::dataset::LabelledQuery;
use super::folder::label;
use super::record::Answerability;
use crate::routes::ask::Outcome;
use crate::routes::feedback::{DocumentRef, RatedAnswer, Rating};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// What became of the feedback.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rated answers.
    pub rated: usize,
    /// Of those, thumbs up.
    pub up: usize,
    /// Of those, thumbs down.
    pub down: usize,
    /// Questions in the data set; the same question asked twice is one.
    pub queries: usize,
    /// Of those, with a relevant document.
    pub with_documents: usize,
    /// Of those, with an accepted answer.
    pub with_answers: usize,
    /// Of those, known not to be answered by the documents.
    pub unanswerable: usize,
    /// Rated answers that are no label, by reason.
    pub left_out: BTreeMap<LeftOut, usize>,
}

/// Why a rated answer is no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// A thumb down that says neither what is right nor where it stands.
    DownWithoutCorrection,
    /// It is about documents of another collection.
    OtherCollection,
    /// Its documents were deleted since.
    DocumentGone,
    /// One person liked the refusal, another knew a document.
    Contradicted,
}

/// A labelled question with the answers it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct FromFeedback {
    /// The question, as retrieval saw it.
    pub query: LabelledQuery,
    /// Ids of the rated answers.
    pub sources: Vec<String>,
}

impl LeftOut {
    /// Returns the reason for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::DownWithoutCorrection => "thumbs down without a correction: no label",
            Self::OtherCollection => "about another collection",
            Self::DocumentGone => "their documents are gone",
            Self::Contradicted => "called unanswerable, while another names a document",
        }
    }
}

/// Returns the labelled questions of a collection, in the order in which they were first rated.
#[must_use]
pub fn queries(rated: &[RatedAnswer], collection: &str) -> (Vec<FromFeedback>, Counts) {
    let mut counts = Counts {
        rated: rated.len(),
        ..Counts::default()
    };
    let mut found: Vec<FromFeedback> = Vec::new();
    let mut by_text: HashMap<String, usize> = HashMap::new();
    for answer in rated {
        match answer.rating {
            Rating::Up => counts.up += 1,
            Rating::Down => counts.down += 1,
        }
        match labelled(answer, collection) {
            Err(reason) => *counts.left_out.entry(reason).or_default() += 1,
            Ok(query) => {
                let at = *by_text.entry(query.text.clone()).or_insert_with(|| {
                    found.push(FromFeedback {
                        query: LabelledQuery {
                            relevant: BTreeMap::new(),
                            answers: Vec::new(),
                            ..query.clone()
                        },
                        sources: Vec::new(),
                    });
                    found.len() - 1
                });
                merge(&mut found[at], query, &mut counts);
            }
        }
    }
    counts.queries = found.len();
    for FromFeedback { query, .. } in &found {
        counts.with_documents += usize::from(!query.relevant.is_empty());
        counts.with_answers += usize::from(!query.answers.is_empty());
        counts.unanswerable += usize::from(query.answerability == Answerability::Unanswerable);
    }
    (found, counts)
}

/// Returns what a rated answer says about its question, or why it says nothing.
fn labelled(rated: &RatedAnswer, collection: &str) -> Result<LabelledQuery, LeftOut> {
    let cited = rated.cited.iter().filter(|_| rated.rating == Rating::Up);
    let named: Vec<&DocumentRef> = cited.chain(&rated.document).collect();
    let here = |document: &&DocumentRef| document.collection.as_deref() == Some(collection);
    let relevant: BTreeMap<String, f64> = named
        .iter()
        .copied()
        .filter(here)
        .filter_map(|document| Some((label(document.source.as_deref()?, &document.id), 1.0)))
        .collect();
    if relevant.is_empty() && !named.is_empty() {
        let gone = named.iter().all(|document| document.collection.is_none());
        return Err(if gone {
            LeftOut::DocumentGone
        } else {
            LeftOut::OtherCollection
        });
    }
    let searched_here = rated
        .collections
        .as_ref()
        .is_none_or(|names| names.iter().any(|name| name == collection));
    if named.is_empty() && !searched_here {
        return Err(LeftOut::OtherCollection);
    }
    let is_refusal = rated.outcome == Outcome::NoEvidence && rated.rating == Rating::Up;
    let unanswerable = is_refusal && named.is_empty() && rated.corrected_answer.is_none();
    if named.is_empty() && rated.corrected_answer.is_none() && !unanswerable {
        return Err(LeftOut::DownWithoutCorrection);
    }
    Ok(LabelledQuery {
        id: format!("feedback-{}", rated.id),
        text: rated.standalone_question.trim().to_owned(),
        relevant,
        answers: rated
            .corrected_answer
            .iter()
            .map(|answer| answer.trim().to_owned())
            .collect(),
        answerability: if unanswerable {
            Answerability::Unanswerable
        } else {
            Answerability::Answerable
        },
    })
}

/// Adds what one more answer says about the same question.
fn merge(known: &mut FromFeedback, more: LabelledQuery, counts: &mut Counts) {
    let source = more.id.trim_start_matches("feedback-").to_owned();
    if !known.sources.is_empty() && known.query.answerability != more.answerability {
        // A document or an answer that is there outweighs that somebody missed none.
        *counts.left_out.entry(LeftOut::Contradicted).or_default() += 1;
        if more.answerability == Answerability::Unanswerable {
            return;
        }
        known.sources.clear();
    }
    let query = &mut known.query;
    query.answerability = more.answerability;
    query.relevant.extend(more.relevant);
    for answer in more.answers {
        if !query.answers.contains(&answer) {
            query.answers.push(answer);
        }
    }
    known.sources.push(source);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rated(question: &str, rating: Rating) -> RatedAnswer {
        RatedAnswer {
            id: format!("id of {question}"),
            question: question.to_owned(),
            standalone_question: question.to_owned(),
            collections: None,
            outcome: Outcome::Grounded,
            answer: "an answer".to_owned(),
            cited: vec![document("cited.md", "handbook")],
            rating,
            comment: None,
            corrected_answer: None,
            document: None,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn document(source: &str, collection: &str) -> DocumentRef {
        DocumentRef {
            id: format!("id of {source}"),
            collection: Some(collection.to_owned()),
            source: Some(source.to_owned()),
        }
    }

    fn gone() -> DocumentRef {
        DocumentRef {
            id: "id".to_owned(),
            collection: None,
            source: None,
        }
    }

    fn sources(query: &LabelledQuery) -> Vec<&str> {
        query.relevant.keys().map(String::as_str).collect()
    }

    #[test]
    fn each_kind_of_feedback_is_the_label_that_it_is() {
        let liked = rated("liked", Rating::Up);
        let corrected = RatedAnswer {
            corrected_answer: Some(" ten ".to_owned()),
            document: Some(document("right.md", "handbook")),
            ..rated("corrected", Rating::Down)
        };
        let answer_only = RatedAnswer {
            corrected_answer: Some("ten".to_owned()),
            ..rated("answer only", Rating::Down)
        };
        let refused = RatedAnswer {
            outcome: Outcome::NoEvidence,
            cited: Vec::new(),
            ..rated("refused", Rating::Up)
        };
        let withdrawn = RatedAnswer {
            outcome: Outcome::Withdrawn,
            ..rated("withdrawn", Rating::Up)
        };
        let all = [liked, corrected, answer_only, refused, withdrawn];
        let (found, counts) = queries(&all, "handbook");
        let found: Vec<_> = found
            .iter()
            .map(|found| {
                let query = &found.query;
                (
                    query.text.as_str(),
                    sources(query),
                    query.answers.join("|"),
                    query.answerability == Answerability::Unanswerable,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("liked", vec!["cited.md"], String::new(), false),
                ("corrected", vec!["right.md"], "ten".to_owned(), false),
                ("answer only", vec![], "ten".to_owned(), false),
                ("refused", vec![], String::new(), true),
                ("withdrawn", vec!["cited.md"], String::new(), false),
            ]
        );
        assert_eq!((counts.up, counts.down), (3, 2));
        assert_eq!((counts.queries, counts.with_documents), (5, 3));
        assert_eq!((counts.with_answers, counts.unanswerable), (2, 1));
        assert_eq!(counts.left_out, BTreeMap::new());
    }

    #[test]
    fn what_is_no_label_is_counted() {
        let elsewhere = RatedAnswer {
            cited: vec![document("x.md", "other")],
            ..rated("elsewhere", Rating::Up)
        };
        let gone = RatedAnswer {
            cited: vec![gone()],
            ..rated("gone", Rating::Up)
        };
        let refused_elsewhere = RatedAnswer {
            outcome: Outcome::NoEvidence,
            cited: Vec::new(),
            collections: Some(vec!["other".to_owned()]),
            ..rated("refused", Rating::Up)
        };
        let bare = rated("bare", Rating::Down);
        let (found, counts) = queries(&[elsewhere, gone, refused_elsewhere, bare], "handbook");
        assert_eq!(found, []);
        assert_eq!(
            counts.left_out,
            BTreeMap::from([
                (LeftOut::DownWithoutCorrection, 1),
                (LeftOut::OtherCollection, 2),
                (LeftOut::DocumentGone, 1),
            ])
        );
    }

    #[test]
    fn the_same_question_is_one_query() {
        let again = RatedAnswer {
            id: "second".to_owned(),
            cited: vec![document("more.md", "handbook")],
            ..rated("same", Rating::Up)
        };
        let refused = RatedAnswer {
            outcome: Outcome::NoEvidence,
            cited: Vec::new(),
            ..rated("same", Rating::Up)
        };
        let all = [refused.clone(), rated("same", Rating::Up), again, refused];
        let (found, counts) = queries(&all, "handbook");
        assert_eq!(found.len(), 1);
        assert_eq!(sources(&found[0].query), ["cited.md", "more.md"]);
        assert_eq!(found[0].query.answerability, Answerability::Answerable);
        assert_eq!(found[0].sources, ["id of same", "second"]);
        assert_eq!(
            counts.left_out,
            BTreeMap::from([(LeftOut::Contradicted, 2)])
        );
    }
}
