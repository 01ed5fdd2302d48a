//! What conversations hold of documents, people and words that are to be forgotten.
//!
//! A conversation ends before the first question whose answer rests on a forgotten document, or that has a forgotten
//! word: what comes after may lean on it, and a transcript with holes would be misread.

use super::Conversations;
use crate::forget::Words;
use kura_indexer::DocumentId;
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// How long a reader may keep the log from being emptied.
const LOG_PATIENCE: Duration = Duration::from_secs(60);

/// What is forgotten of conversations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Conversations that go, or end earlier.
    pub conversations: u64,
    /// Questions and answers in them.
    pub messages: u64,
    /// What was said about answers.
    pub ratings: u64,
}

/// What people asked, and which answers they got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The questions, as they were asked and as retrieval saw them.
    pub questions: HashSet<String>,
    /// Ids of the answers.
    pub answers: HashSet<String>,
}

/// Where a conversation ends from now on: before the message with this ordinal.
type Cuts = BTreeMap<String, u32>;

impl Conversations {
    /// Returns what is kept of these documents and words, and of these owners.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held(
        &self,
        documents: Vec<DocumentId>,
        owners: Vec<String>,
        words: Words,
    ) -> anyhow::Result<Forgotten> {
        self.run(move |connection| {
            count(connection, &cuts(connection, &documents, &owners, &words)?)
        })
        .await
    }

    /// Removes what rests on these documents or has these words, and all that these owners asked. Doing it again changes
    /// nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase(
        &self,
        documents: Vec<DocumentId>,
        owners: Vec<String>,
        words: Words,
    ) -> anyhow::Result<()> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            for (conversation, from) in cuts(&transaction, &documents, &owners, &words)? {
                if from == 0 {
                    transaction
                        .execute("DELETE FROM conversations WHERE id = ?1", [conversation])?;
                } else {
                    transaction.execute(
                        "DELETE FROM messages WHERE conversation = ?1 AND ordinal >= ?2",
                        params![conversation, from],
                    )?;
                }
            }
            Ok(transaction.commit()?)
        })
        .await
    }

    /// Returns what these owners asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn asked_by(&self, owners: Vec<String>) -> anyhow::Result<Asked> {
        self.run(move |connection| {
            let mut asked = Asked::default();
            let mut questions = connection.prepare(
                "SELECT m.content FROM messages m JOIN conversations c ON c.id = m.conversation
                 WHERE c.owner = ?1 AND m.role = 'user'
                 UNION SELECT f.question FROM feedback f JOIN conversations c ON c.id = f.conversation WHERE c.owner = ?1",
            )?;
            let mut answers = connection.prepare(
                "SELECT json_extract(m.answer, '$.id') FROM messages m JOIN conversations c ON c.id = m.conversation
                 WHERE c.owner = ?1 AND m.answer IS NOT NULL",
            )?;
            for owner in &owners {
                for question in questions.query_map([owner], |row| row.get::<_, String>(0))? {
                    asked.questions.insert(question?.trim().to_owned());
                }
                for answer in answers.query_map([owner], |row| row.get(0))? {
                    asked.answers.insert(answer?);
                }
            }
            Ok(asked)
        })
        .await
    }

    /// Writes the file anew, so that no page of it has anything that was deleted, and empties its log.
    ///
    /// # Errors
    /// When the database fails, or something reads from it for a minute.
    pub async fn compact(&self) -> anyhow::Result<()> {
        self.run(|connection| compact(connection)).await
    }
}

/// Writes a database anew and empties its log.
pub(crate) fn compact(connection: &Connection) -> anyhow::Result<()> {
    connection.execute_batch("VACUUM")?;
    let deadline = Instant::now() + LOG_PATIENCE;
    loop {
        let busy: bool =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if !busy {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the log of a database cannot be emptied, because something has been reading from it for a minute"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn cuts(
    connection: &Connection,
    documents: &[DocumentId],
    owners: &[String],
    words: &Words,
) -> anyhow::Result<Cuts> {
    let mut cuts = Cuts::new();
    let mut cut = |conversation: String, from: u32| {
        cuts.entry(conversation)
            .and_modify(|known| *known = from.min(*known))
            .or_insert(from);
    };
    let place = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let mut resting = connection.prepare(
        "SELECT r.conversation, COALESCE(m.question, m.ordinal) FROM rested r
         JOIN messages m ON m.conversation = r.conversation AND m.ordinal = r.ordinal WHERE r.document = ?1
         UNION SELECT f.conversation, COALESCE(m.question, m.ordinal) FROM feedback f
         JOIN messages m ON m.conversation = f.conversation AND m.ordinal = f.ordinal WHERE f.document = ?1",
    )?;
    for document in documents {
        for found in resting.query_map([document.to_string()], place)? {
            let (conversation, from) = found?;
            cut(conversation, from);
        }
    }
    let mut owned = connection.prepare("SELECT id, 0 FROM conversations WHERE owner = ?1")?;
    for owner in owners {
        for found in owned.query_map([owner], place)? {
            let (conversation, from) = found?;
            cut(conversation, from);
        }
    }
    if !words.is_empty() {
        let mut said = connection.prepare(
            "SELECT m.conversation, COALESCE(m.question, m.ordinal), m.content, m.answer, f.comment, f.corrected_answer, f.question
             FROM messages m LEFT JOIN feedback f ON f.conversation = m.conversation AND f.ordinal = m.ordinal",
        )?;
        let mut rows = said.query([])?;
        while let Some(row) = rows.next()? {
            let mut texts = Vec::new();
            for column in 2..7 {
                texts.extend(row.get::<_, Option<String>>(column)?);
            }
            if texts.iter().any(|text| words.any_in(text)) {
                let (conversation, from) = place(row)?;
                cut(conversation, from);
            }
        }
    }
    Ok(cuts)
}

fn count(connection: &Connection, cuts: &Cuts) -> anyhow::Result<Forgotten> {
    let mut forgotten = Forgotten {
        conversations: cuts.len() as u64,
        ..Forgotten::default()
    };
    for (conversation, from) in cuts {
        let count = |table: &str| -> rusqlite::Result<u64> {
            let sql =
                format!("SELECT count(*) FROM {table} WHERE conversation = ?1 AND ordinal >= ?2");
            connection.query_row(&sql, params![conversation, from], |row| row.get(0))
        };
        forgotten.messages += count("messages")?;
        forgotten.ratings += count("feedback")?;
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::ask::AnswerBody;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_conversation_ends_before_what_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let conversations = Conversations::open(&dir.path().join("c.db")).unwrap();
        let [kept, gone] = [DocumentId(Uuid::now_v7()), DocumentId(Uuid::now_v7())];
        let first = conversations.start("ann", "first?", None).await.unwrap();
        let id = first.conversation;
        let answer = async |question, text, document| {
            let body = AnswerBody::citing(text, document, 1);
            conversations.answer(id, question, body).await.unwrap();
        };
        let ask = async |question| {
            let asked = conversations.ask("ann", id, question, None, HashSet::new());
            asked.await.unwrap().unwrap().ordinal
        };
        answer(first.ordinal, "kept", kept).await;
        answer(ask("about zirkonvogel?").await, "zirkonvogel", gone).await;
        // It was withdrawn when its document got a new version; it still is about it.
        conversations.withdraw(vec![(gone, 1)]).await.unwrap();
        answer(ask("and then?").await, "kept, too", kept).await;
        let other = conversations.start("bob", "zirkon?", None).await.unwrap();

        let (words, nobody) = (Words::default(), Vec::new);
        let held = conversations
            .held(vec![gone], nobody(), words.clone())
            .await;
        let expected = Forgotten {
            conversations: 1,
            messages: 4,
            ratings: 0,
        };
        assert_eq!(held.unwrap(), expected);
        conversations
            .erase(vec![gone], nobody(), words.clone())
            .await
            .unwrap();
        let (_, turns) = conversations
            .get("ann", id, HashSet::new())
            .await
            .unwrap()
            .unwrap();
        let said: Vec<&str> = turns.iter().map(|turn| turn.content.as_str()).collect();
        assert_eq!(said, ["first?", "kept"]);
        let left = conversations
            .held(vec![gone], nobody(), words)
            .await
            .unwrap();
        assert_eq!(left, Forgotten::default());

        let words = Words::new(vec!["ZIRKON".to_owned()]);
        conversations
            .erase(Vec::new(), nobody(), words)
            .await
            .unwrap();
        assert!(
            conversations
                .list("bob", None, 10)
                .await
                .unwrap()
                .is_empty()
        );
        // An answer that comes too late does not bring it back.
        let body = AnswerBody::citing("zirkon", gone, 1);
        conversations
            .answer(other.conversation, other.ordinal, body)
            .await
            .unwrap();
        conversations.compact().await.unwrap();
        for entry in fs_err::read_dir(dir.path()).unwrap() {
            let bytes = fs_err::read(entry.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("zirkon"));
        }
    }

    #[tokio::test]
    async fn what_people_asked_is_known_until_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let conversations = Conversations::open(&dir.path().join("c.db")).unwrap();
        conversations.start("ann", " one? ", None).await.unwrap();
        conversations.start("bob", "two?", None).await.unwrap();
        let asked = conversations
            .asked_by(vec!["ann".to_owned()])
            .await
            .unwrap();
        assert_eq!(asked.questions, HashSet::from(["one?".to_owned()]));
        let owners = || vec!["ann".to_owned()];
        conversations
            .erase(Vec::new(), owners(), Words::default())
            .await
            .unwrap();
        assert_eq!(
            conversations.asked_by(owners()).await.unwrap(),
            Asked::default()
        );
        assert_eq!(conversations.list("bob", None, 10).await.unwrap().len(), 1);
    }
}
