//! What an erasure looks up before it begins, and what it does.

use super::certificate::{Erased, Remains};
use super::{Forgetter, Order, Person, Plan, Words};
use crate::audit::read;
use crate::error::ApiError;
use crate::evaluate::forget::Traces;
use crate::sync;
use kura_indexer::DocumentId;
use kura_indexer::catalog::Doomed;
use kura_indexer::forget::Prospect;
use std::collections::BTreeSet;
use std::path::Path;

/// The connector whose copy of a place lies in the data directory.
const GIT: &str = "git";

impl Forgetter {
    /// Returns what is kept of something, and what will be left.
    pub(super) async fn survey(
        &self,
        prospect: &Prospect,
        person: Option<&Person>,
        words: &Words,
    ) -> Result<Plan, ApiError> {
        let mut plan = Plan::default();
        let traces = self.traces(&prospect.doomed, person, words).await?;
        self.survey_documents(prospect, &mut plan);
        self.survey_use(prospect, person, &traces, &mut plan)
            .await?;
        if let Some(person) = person {
            self.survey_person(person, &mut plan).await?;
        }
        self.survey_audit(prospect, person, &mut plan).await?;
        Ok(plan)
    }

    fn survey_documents(&self, prospect: &Prospect, plan: &mut Plan) {
        if prospect.doomed.is_empty() {
            return;
        }
        let blobs: BTreeSet<&String> = prospect.doomed.iter().flat_map(|one| &one.sha256).collect();
        let holdings = prospect.holdings;
        plan.add("catalog", "documents", prospect.doomed.len() as u64);
        plan.add("catalog", "versions with their texts", holdings.versions);
        plan.add(
            "catalog",
            "chunks with vectors and token codes",
            holdings.chunks,
        );
        plan.add("catalog", "names in jobs", holdings.jobs);
        plan.add("catalog", "items of sources", holdings.items);
        plan.add(
            "vector index",
            "chunks, served or replaced",
            holdings.chunks,
        );
        plan.add(
            "keyword index",
            "chunks, served or replaced",
            holdings.chunks,
        );
        plan.add("blobs", "original files", blobs.len() as u64);
        let caches = data_set_indexes(self.pipeline.dir()).len() as u64;
        plan.add(
            "eval",
            "indexes of data sets, which are made again when needed",
            caches,
        );
        if !prospect.copies.is_empty() {
            plan.remains.push(Remains {
                store: "catalog".to_owned(),
                what: "other documents with the same bytes".to_owned(),
                n: Some(prospect.copies.len() as u64),
                why: "they were not named; forget them, too, if they are meant".to_owned(),
                ids: ids(&prospect.copies),
            });
        }
        if !prospect.named_by.is_empty() {
            plan.remains.push(Remains {
                store: "blobs".to_owned(),
                what: "other documents whose own files name one of these as superseded".to_owned(),
                n: Some(prospect.named_by.len() as u64),
                why: "a file is kept as it was given".to_owned(),
                ids: ids(&prospect.named_by),
            });
        }
        for origin in &prospect.origins {
            let is_copied = origin.kind == GIT;
            let why = if is_copied {
                "kura's copy of the repository is removed and the source is paused, because the next scan would copy it \
                 again; remove the files there, then resume the source"
            } else {
                "kura reads there and changes nothing; it does not take these files in again under their names, but remove \
                 them there, too"
            };
            plan.remains.push(Remains {
                store: format!("the place of the source `{}`", origin.source),
                what: "the files themselves, unless they are gone there".to_owned(),
                n: None,
                why: why.to_owned(),
                ids: Vec::new(),
            });
        }
    }

    /// What came of using documents, and what a person asked.
    async fn survey_use(
        &self,
        prospect: &Prospect,
        person: Option<&Person>,
        traces: &Traces,
        plan: &mut Plan,
    ) -> anyhow::Result<()> {
        let documents = prospect.doomed.iter().map(|one| one.id).collect();
        let owners = person.map_or_else(Vec::new, |person| person.owners.clone());
        let held = self
            .conversations
            .held(documents, owners, traces.words.clone())
            .await?;
        plan.add(
            "conversations",
            "conversations that go or end earlier",
            held.conversations,
        );
        plan.add("conversations", "questions and answers", held.messages);
        plan.add(
            "conversations",
            "ratings with comments and corrections",
            held.ratings,
        );
        let (records, words) = (self.records.clone(), traces.words.clone());
        let traces = traces.clone();
        let found = tokio::task::spawn_blocking(move || records.forget(&traces, false)).await??;
        plan.add(
            "evaluations",
            "stored evaluations with names or texts",
            found.evaluations,
        );
        plan.add("evaluations", "queries with answers", found.queries);
        if !found.unreadable.is_empty() {
            plan.remains.push(Remains {
                store: "evaluations".to_owned(),
                what: "evaluations that cannot be read".to_owned(),
                n: Some(found.unreadable.len() as u64),
                why: "they are damaged or were written by a later kura; delete them".to_owned(),
                ids: found.unreadable,
            });
        }
        let dictionaries = self.pipeline.dictionaries().await?;
        let named: Vec<String> = dictionaries
            .into_iter()
            .filter(|(_, csv)| words.any_in(csv))
            .map(|(collection, _)| collection)
            .collect();
        if !named.is_empty() {
            plan.remains.push(Remains {
                store: "dictionaries".to_owned(),
                what: "collections whose dictionary has one of the words".to_owned(),
                n: Some(named.len() as u64),
                why: "a dictionary is its editors' work; change it with `kura dictionary`"
                    .to_owned(),
                ids: named,
            });
        }
        if held.ratings > 0 {
            plan.remains.push(Remains {
                store: "outside of kura".to_owned(),
                what: "data sets that were made of ratings, and exports of them".to_owned(),
                n: None,
                why: "kura does not know where they were written to".to_owned(),
                ids: Vec::new(),
            });
        }
        Ok(())
    }

    async fn survey_person(&self, person: &Person, plan: &mut Plan) -> Result<(), ApiError> {
        let naming = self.pipeline.naming(&person.group()).await?;
        if let Some(id) = person.id {
            let held = self.identity.held(id).await?;
            plan.add(
                "accounts",
                "account with name, mail address, password and second factor",
                1,
            );
            plan.add("accounts", "sessions", held.sessions);
            plan.add("accounts", "API keys", held.keys);
            plan.add("accounts", "memberships in groups", held.groups);
        } else {
            plan.add("accounts", "name of a deleted account", 1);
        }
        plan.add(
            "catalog",
            "access lists of documents that name the person",
            naming.documents,
        );
        plan.add("catalog", "memberships in collections", naming.collections);
        plan.add(
            "catalog",
            "access lists of sources that name the person",
            naming.sources,
        );
        plan.remains.push(Remains {
            store: "catalog".to_owned(),
            what: "documents that the person added, or that are about the person".to_owned(),
            n: None,
            why: "they are the organization's; name the documents that are to be forgotten, too"
                .to_owned(),
            ids: Vec::new(),
        });
        Ok(())
    }

    /// The log of who did what cannot lose a byte without being a forgery.
    async fn survey_audit(
        &self,
        prospect: &Prospect,
        person: Option<&Person>,
        plan: &mut Plan,
    ) -> anyhow::Result<()> {
        let mut names: Vec<String> = prospect
            .doomed
            .iter()
            .map(|one| one.source.clone())
            .collect();
        names.extend(person.map(|person| person.name.clone()));
        let retained = match self.audit.retention_days() {
            0 => "it is kept for good, because `audit.retention_days` is 0".to_owned(),
            days => format!("it goes when it is {days} days old"),
        };
        let data_dir = self.data_dir.clone();
        let mentions =
            tokio::task::spawn_blocking(move || read::mentions(&data_dir, &names)).await??;
        if mentions > 0 {
            plan.remains.push(Remains {
                store: "audit log".to_owned(),
                what: "records with the person's login or the name of a document".to_owned(),
                n: Some(mentions),
                why: format!(
                    "a record that is changed breaks the proof of all that follow; who did what is kept to answer for it: {retained}"
                ),
                ids: Vec::new(),
            });
        }
        if self.audit.keeps_content() {
            plan.remains.push(Remains {
                store: "audit log".to_owned(),
                what: "texts of questions and searches".to_owned(),
                n: None,
                why: format!("`audit.content` is on, so the log has them: {retained}"),
                ids: Vec::new(),
            });
        }
        plan.remains.push(Remains {
            store: "outside of kura".to_owned(),
            what: "backups of the data directory, logs of the server's output, and free blocks of the disk".to_owned(),
            n: None,
            why: "kura cannot reach them; let backups and logs expire, and encrypt the disk".to_owned(),
            ids: Vec::new(),
        });
        Ok(())
    }

    /// Does all that is asked for, up to the certificate.
    pub(super) async fn erase(&self, order: &Order) -> anyhow::Result<()> {
        let Order {
            documents,
            person,
            words,
            ..
        } = order;
        // Git's copies are found by the items, which go with the documents.
        self.remove_copies(documents).await?;
        self.pipeline.doom(documents.clone()).await?;

        // While the questions of a person are known.
        let traces = self.traces(documents, person.as_ref(), words).await?;
        let records = self.records.clone();
        tokio::task::spawn_blocking(move || records.forget(&traces, true)).await??;
        self.erase_conversations(order).await?;
        if !documents.is_empty() {
            self.pipeline.forget_documents(documents.clone()).await?;
        }
        if let Some(person) = person {
            // First, so that nobody is in the group any more.
            self.identity.forget_user(person.id, &person.name).await?;
            self.pipeline.unname(&person.group()).await?;
        }
        // An answer that was being written may have been kept since.
        self.erase_conversations(order).await?;

        if !documents.is_empty() || person.is_some() {
            self.pipeline.erase_from_stores().await?;
        }
        self.conversations.compact().await?;
        if person.is_some() {
            self.identity.compact().await?;
        }
        self.pipeline.check_forgotten(documents).await?;
        Ok(())
    }

    async fn erase_conversations(&self, order: &Order) -> anyhow::Result<()> {
        let documents: Vec<DocumentId> = order.documents.iter().map(|one| one.id).collect();
        let owners = order.person.iter().flat_map(|person| person.owners.clone());
        self.conversations
            .erase(documents, owners.collect(), order.words.clone())
            .await
    }

    /// Returns by what something is known in evaluations.
    async fn traces(
        &self,
        documents: &[Doomed],
        person: Option<&Person>,
        words: &Words,
    ) -> anyhow::Result<Traces> {
        let owners = person.map_or_else(Vec::new, |person| person.owners.clone());
        let asked = self.conversations.asked_by(owners).await?;
        Ok(Traces {
            documents: documents.to_vec(),
            questions: asked.questions,
            answers: asked.answers,
            words: words.clone(),
        })
    }

    /// Removes copies of files that lie beside the catalog: those of repositories that documents come from, whose sources
    /// are paused so that they do not come back, and indexes of data sets.
    async fn remove_copies(&self, documents: &[Doomed]) -> anyhow::Result<()> {
        if documents.is_empty() {
            return Ok(());
        }
        let ids: Vec<DocumentId> = documents.iter().map(|one| one.id).collect();
        let mut copies = data_set_indexes(self.pipeline.dir());
        for origin in self.pipeline.origins(ids).await? {
            if origin.kind != GIT {
                continue;
            }
            let source = self.pipeline.pause_source(&origin.source, true).await?;
            copies.extend(sync::copy_of(self.pipeline.dir(), &source));
        }
        tokio::task::spawn_blocking(move || {
            for copy in copies {
                match fs_err::remove_dir_all(&copy) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    removed => removed?,
                }
            }
            Ok(())
        })
        .await?
    }
}

impl Plan {
    fn add(&mut self, store: &str, what: &str, n: u64) {
        if n > 0 {
            self.erased.push(Erased {
                store: store.to_owned(),
                what: what.to_owned(),
                n,
            });
        }
    }
}

/// Returns the folders of the indexes that `kura eval` makes of data sets. They may have been made of documents, and are
/// made again when they are needed.
fn data_set_indexes(data_dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs_err::read_dir(data_dir.join("eval")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect()
}

fn ids(documents: &[DocumentId]) -> Vec<String> {
    documents.iter().map(ToString::to_string).collect()
}
