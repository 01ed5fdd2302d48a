//! The right to be forgotten: documents and people leave every place that kura keeps them in, and a signed certificate
//! says what was erased where, and what remains (docs/FORGET.md).
//!
//! An erasure is a row in the catalog before it begins, and is taken up again at every start until it is whole. Each step
//! can be done twice. In this order, so that what is needed to find things goes last:
//! hidden → evaluations → conversations → rows, stores, blobs → names and account → copies → files written anew →
//! certificate → done.

pub mod certificate;
mod steps;

use crate::audit::{AuditLog, Draft, Outcome, Who};
use crate::auth::key_owner;
use crate::conversations::Conversations;
use crate::error::{ApiError, Code};
use crate::evaluate::records::Records;
use crate::identity::{self, Identity};
use crate::routes::users;
use certificate::{Erased, Key, Remains, Signed};
use jiff::Timestamp;
use kura_indexer::catalog::{Doomed, Erasure};
use kura_indexer::{DocumentId, GroupId, Pipeline};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;

/// How long an erasure that failed waits for another attempt.
const RETRY: Duration = Duration::from_secs(30);
/// Shortest word that is looked for, in characters: shorter ones are in everything.
const MIN_WORD: usize = 4;
/// Most documents of one erasure, and most words.
const MAX_DOCUMENTS: usize = 10_000;
const MAX_WORDS: usize = 100;

/// Words that texts are looked through for, however they are written: in upper or lower case, wide or narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Words(BTreeSet<String>);

impl Words {
    /// Returns these words.
    #[must_use]
    pub fn new(words: Vec<String>) -> Self {
        Self(words.iter().map(|word| folded(word.trim())).collect())
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether a text has one of them.
    #[must_use]
    pub fn any_in(&self, text: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        let text = folded(text);
        self.0.iter().any(|word| text.contains(word.as_str()))
    }
}

fn folded(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase()
}

/// What someone wants to be forgotten.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Documents by id, with what lies in them.
    pub documents: Vec<DocumentId>,
    /// A user, by id or login.
    pub person: Option<String>,
    /// What questions, answers, ratings and evaluations are looked through for.
    pub words: Vec<String>,
}

/// A person, with what they are known by.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Person {
    /// Absent when the account was deleted before.
    id: Option<Uuid>,
    name: String,
    /// Under which ids things are theirs.
    owners: Vec<String>,
}

/// What is to be forgotten, as the catalog keeps it until it is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    by: String,
    documents: Vec<Doomed>,
    person: Option<Person>,
    words: Words,
    plan: Plan,
}

/// What is kept of something, and what will be left of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where something is erased.
    pub erased: Vec<Erased>,
    /// What is left.
    pub remains: Vec<Remains>,
}

/// Where an erasure stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its id.
    pub id: Uuid,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it was done, and what says so; absent until then.
    pub done: Option<(Timestamp, Signed)>,
}

/// Forgets, in a data directory.
pub struct Forgetter {
    pipeline: Arc<Pipeline>,
    conversations: Conversations,
    identity: Identity,
    records: Records,
    audit: Arc<AuditLog>,
    data_dir: PathBuf,
    /// Held while something is forgotten: one at a time.
    working: tokio::sync::Mutex<()>,
}

impl Forgetter {
    /// Returns what forgets in the data directory of this pipeline.
    #[must_use]
    pub fn new(
        pipeline: Arc<Pipeline>,
        conversations: Conversations,
        identity: Identity,
        audit: Arc<AuditLog>,
    ) -> Self {
        let data_dir = pipeline.dir().to_owned();
        Self {
            pipeline,
            conversations,
            identity,
            records: Records::of(&data_dir),
            audit,
            data_dir,
            working: tokio::sync::Mutex::default(),
        }
    }

    /// Returns what forgetting this would erase, and what it would leave; nothing is changed.
    ///
    /// # Errors
    /// When a document or person is unknown, or a hold keeps all that there is.
    pub async fn plan(&self, wish: Wish) -> Result<Plan, ApiError> {
        Ok(self.order(wish, "nobody").await?.plan)
    }

    /// Notes what is to be forgotten: from now on it is, whatever happens. Returns its id; [`Forgetter::finish`] does it.
    ///
    /// # Errors
    /// As [`Forgetter::plan`].
    pub async fn begin(&self, wish: Wish, by: &str) -> Result<Uuid, ApiError> {
        let order = self.order(wish, by).await?;
        let request = serde_json::to_string(&order).map_err(|error| ApiError::internal(&error))?;
        let id = self.pipeline.begin_erasure(request).await?;
        tracing::info!(erasure.id = %id, principal.id = by, "forgetting begins");
        Ok(id)
    }

    /// Returns where an erasure stands; `None` when there is no such.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn standing(&self, id: Uuid) -> anyhow::Result<Option<Standing>> {
        let erasure = self.pipeline.erasure(id).await?;
        erasure.map(standing).transpose()
    }

    /// Returns where erasures stand, the latest first, from before `before`.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn standings(
        &self,
        before: Option<Uuid>,
        limit: usize,
    ) -> anyhow::Result<Vec<Standing>> {
        let erasures = self.pipeline.erasures(before, limit).await?;
        erasures.into_iter().map(standing).collect()
    }

    /// Brings an erasure to its end. When it returns, nothing of it is in any file of the data directory, save what its
    /// certificate says. After an error it goes on with the next call.
    ///
    /// # Errors
    /// When a store fails, or a hold was added meanwhile.
    pub async fn finish(&self, id: Uuid) -> anyhow::Result<()> {
        let _turn = self.working.lock().await;
        let Some(erasure) = self.pipeline.erasure(id).await? else {
            anyhow::bail!("there is no erasure `{id}`");
        };
        if erasure.finished_at.is_some() {
            return Ok(());
        }
        if let Some(held) = self.held() {
            return Err(held.into());
        }
        if erasure.certificate.is_none() {
            let order: Order = serde_json::from_str(&erasure.request)?;
            self.erase(&order).await?;
            let signed = self.certify(&erasure, order).await?;
            self.pipeline
                .certify_erasure(id, serde_json::to_string(&signed)?)
                .await?;
        }
        // Only now, because the order itself named what is gone.
        self.pipeline.erase_from_catalog().await?;
        let draft = Draft::new(Who::kura(), "data.forget.complete", Outcome::success())
            .target("forget", &id.to_string());
        self.audit.record(draft).await?;
        self.pipeline.finish_erasure(id).await?;
        tracing::info!(erasure.id = %id, "forgetting is done");
        Ok(())
    }

    /// Brings every erasure to its end that a crash, a full disk or a hold left undone. Returns how many it could.
    pub async fn finish_all(&self) -> usize {
        let unfinished = match self.pipeline.unfinished_erasures().await {
            Ok(unfinished) => unfinished,
            Err(error) => {
                tracing::error!("erasures cannot be looked up: {error:#}");
                return 0;
            }
        };
        let mut finished = 0;
        for id in unfinished {
            match self.finish(id).await {
                Ok(()) => finished += 1,
                Err(error) => tracing::error!(
                    erasure.id = %id,
                    retry_secs = RETRY.as_secs(),
                    "something cannot be forgotten yet, and is tried again: {error:#}"
                ),
            }
        }
        finished
    }

    /// Takes up what is undone, until the server stops.
    pub async fn work(self: Arc<Self>, stopping: CancellationToken) {
        loop {
            if self.finish_all().await > 0 {
                self.tidy().await;
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Builds the graph of the vectors again, without which they are searched one by one.
    pub async fn tidy(&self) {
        if let Err(error) = self.pipeline.maintain().await {
            tracing::warn!("the index could not be optimized: {error:#}");
        }
    }

    /// Returns the refusal because of a hold, if there is one.
    fn held(&self) -> Option<ApiError> {
        let holds = self.audit.holds();
        let name = holds.first()?;
        Some(ApiError::new(
            Code::LegalHold,
            format!(
                "the hold `{name}` keeps everything as it is, so nothing can be forgotten; when it is no longer needed, \
                 release it with `kura audit hold release {name}`"
            ),
        ))
    }

    /// Looks up all that is meant by a wish.
    async fn order(&self, wish: Wish, by: &str) -> Result<Order, ApiError> {
        if let Some(held) = self.held() {
            return Err(held);
        }
        let words = checked(&wish)?;
        let person = match &wish.person {
            Some(given) => Some(self.person(given).await?),
            None => None,
        };
        let prospect = self.pipeline.prospect(wish.documents).await?;
        let plan = self.survey(&prospect, person.as_ref(), &words).await?;
        Ok(Order {
            by: by.to_owned(),
            documents: prospect.doomed,
            person,
            words,
            plan,
        })
    }

    /// Returns a user, or what is left of one who was deleted.
    async fn person(&self, given: &str) -> Result<Person, ApiError> {
        let user = match users::find(&self.identity, given).await {
            Err(identity::Error::UnknownUser(unknown)) => {
                return match self.identity.retired(given).await? {
                    Some(name) => Ok(Person {
                        id: None,
                        name,
                        owners: Vec::new(),
                    }),
                    None => Err(identity::Error::UnknownUser(unknown).into()),
                };
            }
            found => found?,
        };
        let keys = self.identity.key_ids(user.id).await?;
        let owners = keys.into_iter().map(key_owner).chain([user.id.to_string()]);
        Ok(Person {
            id: Some(user.id),
            name: user.name,
            owners: owners.collect(),
        })
    }

    /// Signs what was done.
    async fn certify(&self, erasure: &Erasure, order: Order) -> anyhow::Result<Signed> {
        let data_dir = self.data_dir.clone();
        let key = tokio::task::spawn_blocking(move || Key::open(&data_dir)).await??;
        key.sign(certificate::Certificate {
            format: certificate::FORMAT,
            id: erasure.id.to_string(),
            requested_at: erasure.created_at,
            requested_by: order.by,
            completed_at: Timestamp::now(),
            documents: order
                .documents
                .into_iter()
                .map(|document| certificate::ErasedDocument {
                    id: document.id.to_string(),
                    collection: document.collection,
                    sha256: document.sha256.into_iter().collect(),
                })
                .collect(),
            person: order
                .person
                .and_then(|person| person.id)
                .map(|id| id.to_string()),
            n_words: order.words.len(),
            erased: order.plan.erased,
            remains: order.plan.remains,
            kura_version: env!("CARGO_PKG_VERSION").to_owned(),
            public_key: key.public(),
        })
    }
}

impl Person {
    /// Returns the group that access lists name them by.
    fn group(&self) -> String {
        format!("{}{}", GroupId::USER, self.name)
    }
}

fn standing(erasure: Erasure) -> anyhow::Result<Standing> {
    let done = match (erasure.finished_at, erasure.certificate) {
        (Some(at), Some(text)) => Some((at, serde_json::from_str(&text)?)),
        _ => None,
    };
    Ok(Standing {
        id: erasure.id,
        requested_at: erasure.created_at,
        done,
    })
}

/// Returns the words of a wish that can be fulfilled.
fn checked(wish: &Wish) -> Result<Words, ApiError> {
    if wish.documents.is_empty() && wish.person.is_none() && wish.words.is_empty() {
        return Err(ApiError::invalid(
            "nothing is named that is to be forgotten; give `documents`, `person` or `words`",
        ));
    }
    if wish.documents.len() > MAX_DOCUMENTS || wish.words.len() > MAX_WORDS {
        return Err(ApiError::invalid(format!(
            "at most {MAX_DOCUMENTS} documents and {MAX_WORDS} words can be forgotten at a time"
        )));
    }
    let short = wish
        .words
        .iter()
        .find(|word| word.trim().chars().count() < MIN_WORD);
    if let Some(short) = short {
        return Err(ApiError::invalid(format!(
            "the word `{short}` is too short to be looked for; use {MIN_WORD} characters or more, or all that would go \
             with it would go, too"
        )));
    }
    Ok(Words::new(wish.words.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_however_they_are_written() {
        let words = Words::new(vec![" Zirkon ".to_owned(), "ﾔﾏﾀﾞ太郎".to_owned()]);
        assert!(words.any_in("the ZIRKON-bird") && words.any_in("ヤマダ太郎さん"));
        assert!(!words.any_in("quartz") && !Words::default().any_in(""));
    }

    #[test]
    fn a_wish_says_something() {
        assert!(checked(&Wish::default()).is_err());
        let words = |words: &[&str]| Wish {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            ..Wish::default()
        };
        assert!(checked(&words(&["ab"])).is_err());
        assert_eq!(checked(&words(&["Yamada"])).unwrap().len(), 1);
    }
}
