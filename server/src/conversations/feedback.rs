//! What people think of their answers: kept with the answer, and the raw material of data sets.

use super::{Conversations, Turn, answered, now, parsed, turns};
use crate::answer::condense;
use crate::routes::ask::{AnswerBody, Outcome};
use anyhow::Context as _;
use jiff::Timestamp;
use kura_indexer::DocumentId;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

/// Whether an answer was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rating {
    /// It was.
    Up,
    /// It was not.
    Down,
}

/// What a person says about an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFeedback {
    /// Whether it was good.
    pub rating: Rating,
    /// Why.
    pub comment: Option<String>,
    /// What it should have said.
    pub corrected_answer: Option<String>,
    /// The document that it should have cited.
    pub document: Option<DocumentId>,
}

/// What a person said about an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// What was said.
    pub content: NewFeedback,
    /// When it was first given.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// An answer with what the person who asked said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct RatedAnswer {
    /// The answer's id.
    pub answer: Uuid,
    /// The question as it was asked.
    pub question: String,
    /// The question as retrieval saw it: with what a follow-up leans on.
    pub standalone_question: String,
    /// Names of the collections searched; all when absent.
    pub collections: Option<Vec<String>>,
    /// How the answer ended; `withdrawn` when a document that it cited is gone.
    pub outcome: Outcome,
    /// The answer's text; that of a withdrawn answer is gone.
    pub text: String,
    /// Documents that it cited when it was rated, each once.
    pub cited: Vec<DocumentId>,
    /// What was said about it.
    pub feedback: Feedback,
}

const COLUMNS: &str =
    "f.rating, f.comment, f.corrected_answer, f.document, f.created_at, f.updated_at";

impl Conversations {
    /// Keeps what `owner` says about an answer, in place of what was said before; `None` when the answer is not in a
    /// conversation of theirs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rate(
        &self,
        owner: &str,
        answer: Uuid,
        feedback: NewFeedback,
    ) -> anyhow::Result<Option<Feedback>> {
        let owner = owner.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let Some(rated) = find(&transaction, &owner, answer)? else {
                return Ok(None);
            };
            transaction.execute(
                "INSERT INTO feedback (conversation, ordinal, rating, comment, corrected_answer, document,
                                       question, cited, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)
                 ON CONFLICT (conversation, ordinal) DO UPDATE SET
                    rating = excluded.rating, comment = excluded.comment,
                    corrected_answer = excluded.corrected_answer, document = excluded.document,
                    updated_at = excluded.updated_at",
                params![
                    rated.conversation.to_string(),
                    rated.ordinal,
                    feedback.rating,
                    feedback.comment,
                    feedback.corrected_answer,
                    feedback.document.map(|id| id.to_string()),
                    standalone(&transaction, &rated)?,
                    serde_json::to_string(&cited(&rated.answer))?,
                    now(),
                ],
            )?;
            let kept = of(&transaction, rated.conversation, rated.ordinal)?;
            transaction.commit()?;
            Ok(kept)
        })
        .await
    }

    /// Returns what `owner` said about an answer: outside `None` when the answer is not theirs, inside when they said
    /// nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feedback(
        &self,
        owner: &str,
        answer: Uuid,
    ) -> anyhow::Result<Option<Option<Feedback>>> {
        let owner = owner.to_owned();
        self.run(move |connection| {
            let rated = find(connection, &owner, answer)?;
            rated
                .map(|rated| of(connection, rated.conversation, rated.ordinal))
                .transpose()
        })
        .await
    }

    /// Removes what `owner` said about an answer; returns whether there was anything, `None` when the answer is not
    /// theirs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unrate(&self, owner: &str, answer: Uuid) -> anyhow::Result<Option<bool>> {
        let owner = owner.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let Some(rated) = find(&transaction, &owner, answer)? else {
                return Ok(None);
            };
            let n = transaction.execute(
                "DELETE FROM feedback WHERE conversation = ?1 AND ordinal = ?2",
                params![rated.conversation.to_string(), rated.ordinal],
            )?;
            transaction.commit()?;
            Ok(Some(n > 0))
        })
        .await
    }

    /// Returns every rated answer of everyone, the earliest first. For those who may read everything: it leaves out
    /// only who asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rated_answers(&self) -> anyhow::Result<Vec<RatedAnswer>> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS}, f.question, f.cited, m.answer, q.content, q.collections
                 FROM feedback f
                 JOIN messages m ON m.conversation = f.conversation AND m.ordinal = f.ordinal
                 JOIN messages q ON q.conversation = f.conversation AND q.ordinal = m.question
                 ORDER BY f.created_at, f.conversation, f.ordinal"
            ))?;
            let rows = statement.query_map([], |row| {
                let texts: [String; 4] = [row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?];
                Ok((feedback(row)?, texts, row.get::<_, Option<String>>(10)?))
            })?;
            let mut rated = Vec::new();
            for row in rows {
                let (feedback, [standalone_question, cited, answer, question], collections) = row?;
                let answer: AnswerBody = serde_json::from_str(&answer)?;
                rated.push(RatedAnswer {
                    answer: answer.id.parse().context("an answer's id is no UUID")?,
                    question,
                    standalone_question,
                    collections: collections
                        .as_deref()
                        .map(serde_json::from_str)
                        .transpose()?,
                    outcome: answer.outcome,
                    text: answer.text,
                    cited: serde_json::from_str(&cited)?,
                    feedback,
                });
            }
            Ok(rated)
        })
        .await
    }
}

/// An answer and its place.
struct Found {
    conversation: Uuid,
    ordinal: u32,
    question: u32,
    answer: AnswerBody,
}

fn find(connection: &Connection, owner: &str, answer: Uuid) -> anyhow::Result<Option<Found>> {
    let row = connection
        .prepare_cached(
            "SELECT m.conversation, m.ordinal, m.question, m.answer FROM messages m
             JOIN conversations c ON c.id = m.conversation
             WHERE m.answer IS NOT NULL AND json_extract(m.answer, '$.id') = ?1 AND c.owner = ?2",
        )?
        .query_row(params![answer.to_string(), owner], |row| {
            let json: String = row.get(3)?;
            Ok((parsed(row, 0)?, row.get(1)?, row.get(2)?, json))
        })
        .optional()?;
    let found = |(conversation, ordinal, question, json): (_, _, _, String)| {
        Ok(Found {
            conversation,
            ordinal,
            question,
            answer: serde_json::from_str(&json)?,
        })
    };
    row.map(found).transpose()
}

/// Returns what was said about the answer at this place.
pub(super) fn of(
    connection: &Connection,
    conversation: Uuid,
    ordinal: u32,
) -> anyhow::Result<Option<Feedback>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM feedback f WHERE f.conversation = ?1 AND f.ordinal = ?2"
        ))?
        .query_row(params![conversation.to_string(), ordinal], feedback)
        .optional()?)
}

fn feedback(row: &Row<'_>) -> rusqlite::Result<Feedback> {
    let has_document = row.get_ref(3)? != ValueRef::Null;
    Ok(Feedback {
        content: NewFeedback {
            rating: row.get(0)?,
            comment: row.get(1)?,
            corrected_answer: row.get(2)?,
            document: has_document.then(|| parsed(row, 3)).transpose()?,
        },
        created_at: parsed(row, 4)?,
        updated_at: parsed(row, 5)?,
    })
}

/// Returns the question of an answer as retrieval saw it.
fn standalone(connection: &Connection, rated: &Found) -> anyhow::Result<String> {
    let mut until: Vec<Turn> = turns(connection, rated.conversation, rated.question + 1)?;
    let asked = until.pop().context("an answer has no question")?.content;
    Ok(condense::standalone(asked.trim(), &answered(until)))
}

fn cited(answer: &AnswerBody) -> Vec<&str> {
    let mut ids: Vec<&str> = Vec::new();
    for citation in &answer.citations {
        if !ids.contains(&citation.document.as_str()) {
            ids.push(&citation.document);
        }
    }
    ids
}

impl ToSql for Rating {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Up => "up".into(),
            Self::Down => "down".into(),
        })
    }
}

impl FromSql for Rating {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "up" => Ok(Self::Up),
            "down" => Ok(Self::Down),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversations::Asked;
    use std::collections::HashSet;

    fn open() -> (tempfile::TempDir, Conversations) {
        let dir = tempfile::tempdir().unwrap();
        let conversations = Conversations::open(&dir.path().join("conversations.db")).unwrap();
        (dir, conversations)
    }

    async fn answer(conversations: &Conversations, asked: &Asked, body: AnswerBody) -> Uuid {
        let id = Uuid::now_v7();
        let body = AnswerBody {
            id: id.to_string(),
            ..body
        };
        let answering = conversations.answer(asked.conversation, asked.ordinal, body);
        answering.await.unwrap();
        id
    }

    fn down(correction: &str) -> NewFeedback {
        NewFeedback {
            rating: Rating::Down,
            comment: None,
            corrected_answer: Some(correction.to_owned()),
            document: None,
        }
    }

    #[tokio::test]
    async fn feedback_survives_the_withdrawal_of_its_answer_and_goes_with_the_conversation() {
        let (_dir, conversations) = open();
        let document = DocumentId(Uuid::now_v7());
        let asked = conversations.start("admin", "days?", None).await.unwrap();
        let body = AnswerBody::citing("twenty days", document, 1);
        let id = answer(&conversations, &asked, body).await;
        let up = NewFeedback {
            rating: Rating::Up,
            comment: Some("yes".to_owned()),
            corrected_answer: None,
            document: None,
        };
        let first = conversations.rate("admin", id, up.clone()).await.unwrap();
        assert_eq!(first.unwrap().content, up);
        conversations.withdraw(vec![(document, 1)]).await.unwrap();
        // A change keeps what was cited then: the label still holds for the document's next version.
        let changed = conversations.rate("admin", id, down("ten")).await.unwrap();
        assert_eq!(changed.unwrap().content, down("ten"));
        let rated = conversations.rated_answers().await.unwrap();
        assert_eq!(rated.len(), 1);
        assert_eq!((rated[0].answer, &rated[0].cited), (id, &vec![document]));
        assert_eq!(rated[0].outcome, Outcome::Withdrawn);
        assert!(!rated[0].text.contains("twenty"));
        let deleted = conversations.delete("admin", asked.conversation).await;
        assert!(deleted.unwrap());
        assert_eq!(conversations.rated_answers().await.unwrap(), []);
        assert!(conversations.feedback("admin", id).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn only_the_asker_rates() {
        let (_dir, conversations) = open();
        let asked = conversations.start("admin", "days?", None).await.unwrap();
        let id = answer(&conversations, &asked, AnswerBody::sample("ten")).await;
        assert!(
            conversations
                .rate("other", id, down("x"))
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(
            conversations.feedback("admin", id).await.unwrap(),
            Some(None)
        );
        conversations.rate("admin", id, down("x")).await.unwrap();
        assert!(conversations.feedback("other", id).await.unwrap().is_none());
        assert_eq!(conversations.unrate("other", id).await.unwrap(), None);
        assert_eq!(conversations.unrate("admin", id).await.unwrap(), Some(true));
        assert_eq!(
            conversations.unrate("admin", id).await.unwrap(),
            Some(false)
        );
    }

    #[tokio::test]
    async fn a_follow_up_is_kept_as_it_was_searched_with_where() {
        let (_dir, conversations) = open();
        let first = "How many days of leave do trainees get?";
        let collections = vec!["handbook".to_owned()];
        let asked = conversations.start("admin", first, None).await.unwrap();
        answer(&conversations, &asked, AnswerBody::sample("ten")).await;
        let follow_up = conversations.ask(
            "admin",
            asked.conversation,
            "And in the first year?",
            Some(&collections),
            HashSet::new(),
        );
        let follow_up = follow_up.await.unwrap().unwrap();
        // Asked meanwhile, so no part of the follow-up's history.
        let later = conversations.ask(
            "admin",
            asked.conversation,
            "Who approves it?",
            None,
            HashSet::new(),
        );
        later.await.unwrap();
        let id = answer(&conversations, &follow_up, AnswerBody::sample("five")).await;
        conversations.rate("admin", id, down("six")).await.unwrap();
        let rated = conversations.rated_answers().await.unwrap().remove(0);
        assert_eq!(rated.question, "And in the first year?");
        assert_eq!(
            rated.standalone_question,
            format!("{first}\nAnd in the first year?")
        );
        assert_eq!(rated.collections, Some(collections));
    }
}
