//! Conversations, kept in a SQLite file of their own: they are people's, not part of the catalog.

mod feedback;
pub(crate) mod forget;

pub use feedback::{Feedback, NewFeedback, RatedAnswer, Rating};

use crate::routes::ask::{AnswerBody, Outcome};
use anyhow::Context as _;
use jiff::Timestamp;
use kura_indexer::DocumentId;
use kura_models::{Message, Role};
use rusqlite::{Connection, OptionalExtension as _, params};
use rusqlite_migration::{M, Migrations};
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

const MIGRATIONS: &[M<'_>] = &[
    M::up(include_str!("conversations/0001_conversations.sql")),
    M::up(include_str!("conversations/0002_feedback.sql")),
    M::up(include_str!("conversations/0003_forget.sql")),
];
/// Title length in characters: one line in the page's list.
const TITLE_CHARS: usize = 80;

/// The store of conversations. Clones share one connection.
#[derive(Clone)]
pub struct Conversations {
    connection: Arc<Mutex<Connection>>,
}

/// A conversation without its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its id.
    pub id: Uuid,
    /// The first question, shortened.
    pub title: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When the last message was added.
    pub updated_at: Timestamp,
}

/// A question that was added.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Where.
    pub conversation: Uuid,
    /// Its place there, for its answer.
    pub ordinal: u32,
    /// The turns before it that were answered, oldest first.
    pub history: Vec<Message>,
}

/// One turn.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// For an answer: all of it, citations included.
    pub answer: Option<AnswerBody>,
    /// For an answer: what its asker said about it.
    pub feedback: Option<Feedback>,
    /// When.
    pub created_at: Timestamp,
}

impl Conversations {
    /// Opens or creates `path`, bringing an older file to the current form.
    ///
    /// # Errors
    /// When the file cannot be opened or is no such database.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let mut connection =
            Connection::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A row that was acknowledged survives a power cut; WAL with NORMAL does not promise that.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        // Deleted text is overwritten with zeros, not only unlinked.
        connection.pragma_update(None, "secure_delete", "ON")?;
        Migrations::from_slice(MIGRATIONS)
            .to_latest(&mut connection)
            .with_context(|| format!("cannot migrate `{}`", path.display()))?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// Starts a conversation that `owner` opens with `question`, asked of these collections or of all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(
        &self,
        owner: &str,
        question: &str,
        collections: Option<&[String]>,
    ) -> anyhow::Result<Asked> {
        let (owner, question) = (owner.to_owned(), question.to_owned());
        let collections = collections.map(serde_json::to_string).transpose()?;
        self.run(move |connection| {
            let (id, now) = (Uuid::now_v7(), now());
            let transaction = connection.transaction()?;
            transaction.execute(
                "INSERT INTO conversations (id, owner, title, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)",
                params![id.to_string(), owner, title(&question), now],
            )?;
            let ordinal = insert_question(&transaction, id, &question, collections.as_deref())?;
            transaction.commit()?;
            Ok(Asked {
                conversation: id,
                ordinal,
                history: Vec::new(),
            })
        })
        .await
    }

    /// Adds a question, asked of these collections or of all, to a conversation of `owner`; `None` when there is no
    /// such conversation. Answers that cite a `hidden` document are not history.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ask(
        &self,
        owner: &str,
        id: Uuid,
        question: &str,
        collections: Option<&[String]>,
        hidden: HashSet<DocumentId>,
    ) -> anyhow::Result<Option<Asked>> {
        let (owner, question) = (owner.to_owned(), question.to_owned());
        let collections = collections.map(serde_json::to_string).transpose()?;
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            if find(&transaction, &owner, id)?.is_none() {
                return Ok(None);
            }
            let history = answered(without(turns(&transaction, id, u32::MAX)?, &hidden));
            let ordinal = insert_question(&transaction, id, &question, collections.as_deref())?;
            transaction.commit()?;
            Ok(Some(Asked {
                conversation: id,
                ordinal,
                history,
            }))
        })
        .await
    }

    /// Adds the answer to the question of this ordinal. A conversation or question deleted meanwhile stays deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn answer(&self, id: Uuid, question: u32, answer: AnswerBody) -> anyhow::Result<()> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let exists: Option<i64> = transaction
                .query_row(
                    "SELECT 1 FROM messages WHERE conversation = ?1 AND ordinal = ?2 AND role = 'user'",
                    params![id.to_string(), question],
                    |row| row.get(0),
                )
                .optional()?;
            if exists.is_some() {
                insert_answer(&transaction, id, question, &answer)?;
                transaction.commit()?;
            }
            Ok(())
        })
        .await
    }

    /// Returns the document versions that kept answers rest on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cited(&self) -> anyhow::Result<Vec<(DocumentId, u32)>> {
        self.run(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT DISTINCT document, version FROM citations")?;
            let rows = statement.query_map([], |row| Ok((parsed(row, 0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Takes text and citations out of the answers that rest on one of these document versions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn withdraw(&self, versions: Vec<(DocumentId, u32)>) -> anyhow::Result<()> {
        if versions.is_empty() {
            return Ok(());
        }
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            for (document, version) in versions {
                withdraw(&transaction, document, version)?;
            }
            transaction.commit()?;
            // The log still has the pages as they were.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        })
        .await
    }

    /// Returns conversations of `owner`, the latest first, that come after `after` in that order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        &self,
        owner: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> anyhow::Result<Vec<Conversation>> {
        let owner = owner.to_owned();
        self.run(move |connection| {
            // Ids are UUIDv7, so their order is that of creation, and stable while one reads on.
            let mut statement = connection.prepare_cached(
                "SELECT id, title, created_at, updated_at FROM conversations
                 WHERE owner = ?1 AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3",
            )?;
            let rows = statement.query_map(
                params![
                    owner,
                    after.map(|id| id.to_string()),
                    i64::try_from(limit).unwrap_or(i64::MAX)
                ],
                conversation,
            )?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the documents that answers in a conversation of `owner` cite.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cited_in(&self, owner: &str, id: Uuid) -> anyhow::Result<Vec<DocumentId>> {
        let owner = owner.to_owned();
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT DISTINCT c.document FROM citations c JOIN conversations v ON v.id = c.conversation
                 WHERE v.id = ?1 AND v.owner = ?2",
            )?;
            let rows = statement.query_map(params![id.to_string(), owner], |row| parsed(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns a conversation of `owner` with its turns, oldest first. Answers that cite a `hidden` document are as if they
    /// were withdrawn; they are kept, in case it is shown again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn get(
        &self,
        owner: &str,
        id: Uuid,
        hidden: HashSet<DocumentId>,
    ) -> anyhow::Result<Option<(Conversation, Vec<Turn>)>> {
        let owner = owner.to_owned();
        self.run(move |connection| {
            let Some(conversation) = find(connection, &owner, id)? else {
                return Ok(None);
            };
            let turns = without(turns(connection, id, u32::MAX)?, &hidden);
            Ok(Some((conversation, turns)))
        })
        .await
    }

    /// Deletes a conversation of `owner`; returns whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete(&self, owner: &str, id: Uuid) -> anyhow::Result<bool> {
        let owner = owner.to_owned();
        self.run(move |connection| {
            let n = connection.execute(
                "DELETE FROM conversations WHERE id = ?1 AND owner = ?2",
                params![id.to_string(), owner],
            )?;
            Ok(n > 0)
        })
        .await
    }

    /// Deletes all conversations of these owners.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget(&self, owners: Vec<String>) -> anyhow::Result<()> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            for owner in owners {
                transaction.execute("DELETE FROM conversations WHERE owner = ?1", [owner])?;
            }
            transaction.commit()?;
            // The log still has what was said.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        })
        .await
    }

    /// Runs `work` on the blocking pool: SQLite waits for the disk.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let connection = Arc::clone(&self.connection);
        tokio::task::spawn_blocking(move || {
            // A panic while the lock was held rolled its transaction back: the connection is sound.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        })
        .await
        .context("the conversation store's task ended")?
        .context("the conversation store failed")
    }
}

fn find(connection: &Connection, owner: &str, id: Uuid) -> anyhow::Result<Option<Conversation>> {
    Ok(connection
        .prepare_cached(
            "SELECT id, title, created_at, updated_at FROM conversations WHERE id = ?1 AND owner = ?2",
        )?
        .query_row(params![id.to_string(), owner], conversation)
        .optional()?)
}

fn conversation(row: &rusqlite::Row<'_>) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        id: parsed(row, 0)?,
        title: row.get(1)?,
        created_at: parsed(row, 2)?,
        updated_at: parsed(row, 3)?,
    })
}

/// Returns the turns of a conversation whose ordinals are below `end`.
fn turns(connection: &Connection, id: Uuid, end: u32) -> anyhow::Result<Vec<Turn>> {
    let mut statement = connection.prepare_cached(
        "SELECT role, content, answer, created_at, ordinal FROM messages
         WHERE conversation = ?1 AND ordinal < ?2 ORDER BY COALESCE(question, ordinal), ordinal",
    )?;
    let rows = statement.query_map(params![id.to_string(), end], |row| {
        let (role, content): (String, String) = (row.get(0)?, row.get(1)?);
        let (answer, created_at): (Option<String>, Timestamp) = (row.get(2)?, parsed(row, 3)?);
        Ok((role, content, answer, created_at, row.get(4)?))
    })?;
    let mut turns = Vec::new();
    for row in rows {
        let (role, content, answer, created_at, ordinal) = row?;
        turns.push(Turn {
            role: if role == "assistant" {
                Role::Assistant
            } else {
                Role::User
            },
            content,
            answer: answer.as_deref().map(serde_json::from_str).transpose()?,
            feedback: feedback::of(connection, id, ordinal)?,
            created_at,
        });
    }
    Ok(turns)
}

/// Adds a question; returns its ordinal.
fn insert_question(
    connection: &Connection,
    id: Uuid,
    question: &str,
    collections: Option<&str>,
) -> anyhow::Result<u32> {
    let ordinal = next_ordinal(connection, id)?;
    connection.execute(
        "INSERT INTO messages (conversation, ordinal, role, content, created_at, collections)
         VALUES (?1, ?2, 'user', ?3, ?4, ?5)",
        params![id.to_string(), ordinal, question, now(), collections],
    )?;
    touch(connection, id)?;
    Ok(ordinal)
}

fn insert_answer(
    connection: &Connection,
    id: Uuid,
    question: u32,
    answer: &AnswerBody,
) -> anyhow::Result<()> {
    let ordinal = next_ordinal(connection, id)?;
    connection.execute(
        "INSERT INTO messages (conversation, ordinal, role, content, answer, question, created_at)
         VALUES (?1, ?2, 'assistant', ?3, ?4, ?5, ?6)",
        params![
            id.to_string(),
            ordinal,
            answer.text,
            serde_json::to_string(answer)?,
            question,
            now()
        ],
    )?;
    for citation in &answer.citations {
        // `document:version:ordinal`
        let version = citation.chunk.split(':').nth(1);
        connection.execute(
            "INSERT OR IGNORE INTO citations (document, version, conversation, ordinal)
             VALUES (?1, CAST(?2 AS INTEGER), ?3, ?4)",
            params![
                citation.document,
                version.unwrap_or("0"),
                id.to_string(),
                ordinal
            ],
        )?;
        connection.execute(
            "INSERT OR IGNORE INTO rested (document, conversation, ordinal) VALUES (?1, ?2, ?3)",
            params![citation.document, id.to_string(), ordinal],
        )?;
    }
    touch(connection, id)
}

fn next_ordinal(connection: &Connection, id: Uuid) -> anyhow::Result<u32> {
    Ok(connection.query_row(
        "SELECT COUNT(*) FROM messages WHERE conversation = ?1",
        [id.to_string()],
        |row| row.get(0),
    )?)
}

fn touch(connection: &Connection, id: Uuid) -> anyhow::Result<()> {
    connection.execute(
        "UPDATE conversations SET updated_at = ?2 WHERE id = ?1",
        params![id.to_string(), now()],
    )?;
    Ok(())
}

fn withdraw(connection: &Connection, document: DocumentId, version: u32) -> anyhow::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT m.conversation, m.ordinal, m.answer FROM citations c
         JOIN messages m ON m.conversation = c.conversation AND m.ordinal = c.ordinal
         WHERE c.document = ?1 AND c.version = ?2",
    )?;
    let rows = statement.query_map(params![document.to_string(), version], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    for row in rows.collect::<Result<Vec<(String, u32, String)>, _>>()? {
        let (conversation, ordinal, answer) = row;
        let withdrawn = serde_json::from_str::<AnswerBody>(&answer)?.withdrawn();
        connection.execute(
            "UPDATE messages SET content = ?3, answer = ?4 WHERE conversation = ?1 AND ordinal = ?2",
            params![conversation, ordinal, withdrawn.text, serde_json::to_string(&withdrawn)?],
        )?;
        connection.execute(
            "DELETE FROM citations WHERE conversation = ?1 AND ordinal = ?2",
            params![conversation, ordinal],
        )?;
    }
    Ok(())
}

/// Takes text and citations out of the answers that cite a hidden document.
fn without(turns: Vec<Turn>, hidden: &HashSet<DocumentId>) -> Vec<Turn> {
    let hides = |answer: &AnswerBody| {
        let mut cited = answer.citations.iter();
        cited.any(|citation| hidden.iter().any(|id| id.to_string() == citation.document))
    };
    let turns = turns.into_iter().map(|turn| match turn.answer {
        Some(answer) if hides(&answer) => {
            let withdrawn = answer.withdrawn();
            Turn {
                content: withdrawn.text.clone(),
                answer: Some(withdrawn),
                ..turn
            }
        }
        answer => Turn { answer, ..turn },
    });
    turns.collect()
}

/// Keeps questions that were answered, with their answers: a question that failed is not history, nor is one whose
/// answer was withdrawn.
fn answered(turns: Vec<Turn>) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for turn in turns {
        if turn
            .answer
            .is_some_and(|answer| answer.outcome == Outcome::Withdrawn)
        {
            continue;
        }
        if turn.role == Role::User && messages.last().is_some_and(|last| last.role == Role::User) {
            messages.pop();
        }
        messages.push(Message {
            role: turn.role,
            content: turn.content,
        });
    }
    if messages.last().is_some_and(|last| last.role == Role::User) {
        messages.pop();
    }
    messages
}

fn title(question: &str) -> String {
    let line = question.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= TITLE_CHARS {
        return line;
    }
    line.chars().take(TITLE_CHARS - 1).chain(['…']).collect()
}

fn now() -> String {
    Timestamp::now().to_string()
}

fn parsed<T>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

#[cfg(test)]
mod tests;
