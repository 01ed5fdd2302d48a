//! Questions that a generator makes of a collection's documents, for evaluation where nobody has labelled any.
//!
//! In reading order: [`passage`] picks what is asked about, [`prompt`] has one question and its answer written,
//! [`check`] refuses what is no good question, and the round trip asks the collection whether it finds the document
//! again. Nothing is dropped in silence: what is refused is kept with its reason.
//!
//! Every passage is finished on the disk before the next one begins, and the order depends on the seed alone: a run
//! that ended early goes on where it stopped.

pub mod check;
pub mod passage;
pub mod prompt;

use super::dataset::sha256;
use super::folder::{Folder, QUERIES, REJECTED, label};
use super::library::{Library, Listed};
use super::record::ModelFacts;
use super::statistics::Random;
use anyhow::ensure;
use check::Reason;
use futures::StreamExt as _;
use jiff::Timestamp;
use kura_indexer::analyze::ANALYZER_VERSION;
use kura_models::{Generator, Token};
use passage::{Passage, Shingles, Skipped};
use prompt::Draft;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Chunks looked through per document that the round trip may rank.
const CHUNKS_PER_DOCUMENT: usize = 5;
/// Most chunks of one search, as the server allows them.
const MAX_CHUNKS: usize = 100;

/// What a person may choose, and what decides which questions are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The collection.
    pub collection: String,
    /// Of the order of documents and passages.
    pub seed: u64,
    /// The round trip must find the document among the first so many, 1 to 100.
    pub top: usize,
    /// Most of a question that may stand in the passage word by word, 0 to 1.
    pub max_overlap: f32,
    /// Whether questions that fail the round trip alone are kept, marked as hard.
    pub keep_hard: bool,
    /// Who writes.
    pub generator: ModelFacts,
}

/// What made a data set: `dataset.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct About {
    /// Always `synth`.
    pub kind: String,
    /// How far it is.
    pub state: State,
    /// How it was made.
    pub settings: Settings,
    /// Questions that were wanted.
    pub wanted: usize,
    /// The index that the round trip searched; a server does not tell.
    pub index_generation: Option<u64>,
    /// Version of the text analysis.
    pub analyzer_version: u32,
    /// Over sources and contents of the documents, lower-case hex.
    pub documents_sha256: String,
    /// Version of kura.
    pub kura_version: String,
    /// Commit that kura was built from.
    pub git_commit: Option<String>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was last added to.
    pub updated_at: Timestamp,
    /// What became of the passages.
    pub counts: Counts,
}

/// How far a data set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is being made, or that was interrupted.
    Unfinished,
    /// It has as many questions as were wanted.
    Complete,
    /// There are no more passages.
    Exhausted,
}

/// What became of the passages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Documents of the collection with a text.
    pub documents: usize,
    /// Questions in the data set.
    pub questions: usize,
    /// Of those, questions that failed the round trip.
    pub hard: usize,
    /// Passages that were not asked about, by reason.
    pub skipped: BTreeMap<Skipped, usize>,
    /// Passages whose question was refused, by reason.
    pub rejected: BTreeMap<Reason, usize>,
}

/// A line of `queries.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Derived from the passage.
    #[serde(rename = "_id")]
    pub id: String,
    /// The question.
    pub text: String,
    /// The one accepted answer.
    pub answers: Vec<String>,
    /// What the passage's document is called in the judgements.
    pub document: String,
    /// What it was made of.
    pub passage: Place,
    /// Rank of the document in the round trip, from 1; absent when it was not among the documents looked at.
    pub rank: Option<usize>,
    /// Whether it failed the round trip.
    pub hard: bool,
}

/// A line of `rejected.jsonl`: a passage whose question was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// Why.
    pub reason: Reason,
    /// What the passage's document is called in judgements.
    pub document: String,
    /// What it was made of.
    pub passage: Place,
    /// What the generator wrote.
    pub reply: String,
    /// Rank of the document in the round trip, where it came to that.
    pub rank: Option<usize>,
}

/// Where a passage stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// First byte in the document's text.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// Of the passage's text, lower-case hex.
    pub sha256: String,
}

/// A data set that is being made.
pub struct Synth {
    library: Library,
    generator: Arc<dyn Generator>,
    folder: Folder,
    about: About,
    /// Hashes of the passages that are through.
    done: HashSet<String>,
    /// Questions so far, in one form, so that none is there twice.
    questions: HashSet<String>,
}

/// Is told what there is after every passage.
pub type Progress<'a> = dyn Fn(&Counts) + Send + Sync + 'a;

impl Synth {
    /// Begins a data set in an empty folder.
    ///
    /// # Errors
    /// When the folder cannot be written, or those of the library.
    pub async fn begin(
        library: Library,
        generator: Arc<dyn Generator>,
        settings: Settings,
        folder: Folder,
    ) -> anyhow::Result<Self> {
        let about = About {
            kind: "synth".to_owned(),
            state: State::Unfinished,
            settings,
            wanted: 0,
            index_generation: library.generation().await?,
            analyzer_version: ANALYZER_VERSION,
            documents_sha256: String::new(),
            kura_version: env!("CARGO_PKG_VERSION").to_owned(),
            git_commit: option_env!("KURA_GIT_COMMIT")
                .filter(|commit| !commit.is_empty())
                .map(str::to_owned),
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
            counts: Counts::default(),
        };
        Ok(Self {
            library,
            generator,
            folder,
            about,
            done: HashSet::new(),
            questions: HashSet::new(),
        })
    }

    /// Goes on with the data set of a folder.
    ///
    /// # Errors
    /// When it was made with other settings, or its files cannot be read.
    pub async fn resume(
        library: Library,
        generator: Arc<dyn Generator>,
        settings: Settings,
        folder: Folder,
    ) -> anyhow::Result<Self> {
        let about: About = folder.about()?;
        ensure!(
            about.settings == settings,
            "the data set in `{}` was made with other settings ({}); use the same, or another folder",
            folder.dir().display(),
            serde_json::to_string(&about.settings)?
        );
        let created_at = about.created_at;
        let mut synth = Self::begin(library, generator, settings, folder).await?;
        synth.about.created_at = created_at;
        for query in synth.folder.rows::<Query>(QUERIES)? {
            synth.count(&query);
            synth.done.insert(query.passage.sha256);
        }
        for rejected in synth.folder.rows::<Rejected>(REJECTED)? {
            *synth.rejections(rejected.reason) += 1;
            synth.done.insert(rejected.passage.sha256);
        }
        Ok(synth)
    }

    /// Makes questions until there are `wanted`, or no passages are left.
    ///
    /// # Errors
    /// Those of the generator, of the search and of the disk; what was made so far is kept.
    pub async fn run(mut self, wanted: usize, progress: &Progress<'_>) -> anyhow::Result<About> {
        let mut documents = self.library.documents().await?;
        documents.retain(|document| document.searchable);
        self.about.wanted = wanted;
        self.about.counts.documents = documents.len();
        self.about.documents_sha256 = documents_sha256(&documents);
        let seed = self.about.settings.seed;
        passage::shuffle(&mut documents, &mut Random::new(seed));
        self.save(State::Unfinished)?;
        progress(&self.about.counts);

        let mut asked: Vec<Shingles> = Vec::new();
        let mut waiting: Vec<(Listed, Option<Vec<Passage>>)> = documents
            .into_iter()
            .map(|document| (document, None))
            .collect();
        // One passage of each document after the other, so that every document has its share.
        while !waiting.is_empty() {
            let mut left = Vec::with_capacity(waiting.len());
            for (document, passages) in waiting {
                if self.about.counts.questions >= wanted {
                    return self.finish(State::Complete);
                }
                let mut passages = match passages {
                    Some(passages) => passages,
                    None => self.read(&document, seed).await?,
                };
                let Some(passage) = passages.pop() else {
                    continue;
                };
                left.push((document, Some(passages)));
                let (document, _) = &left[left.len() - 1];
                match passage.usable(&mut asked) {
                    Err(reason) => *self.skips(reason) += 1,
                    Ok(()) if self.done.contains(&passage.sha256) => {}
                    Ok(()) => self.ask(document, &passage).await?,
                }
                progress(&self.about.counts);
            }
            waiting = left;
        }
        let complete = self.about.counts.questions >= wanted;
        self.finish(if complete {
            State::Complete
        } else {
            State::Exhausted
        })
    }

    /// Returns a document's passages in an order that depends on the seed.
    async fn read(&self, document: &Listed, seed: u64) -> anyhow::Result<Vec<Passage>> {
        let text = self.library.text(&document.id).await?;
        let count = |text: &str| self.generator.count_tokens(text);
        let mut passages = passage::passages(&text, &count);
        // Not of the position, so that another document does not change the order of this one's passages.
        let own = &sha256(&[&document.source])[..16];
        let own = u64::from_str_radix(own, 16)?;
        passage::shuffle(&mut passages, &mut Random::new(seed ^ own));
        Ok(passages)
    }

    /// Has a question written about a passage, checks it, and keeps it or the reason why not.
    async fn ask(&mut self, document: &Listed, passage: &Passage) -> anyhow::Result<()> {
        let reply = self.write(&document.title, &passage.text).await?;
        let called = label(&document.source, &document.id);
        let mut rank = None;
        let drafted = match self.check(&reply, &document.title, &passage.text) {
            Ok(draft) => {
                rank = self.round_trip(&draft.question, &document.id).await?;
                let found = rank.is_some_and(|rank| rank <= self.about.settings.top);
                if found || self.about.settings.keep_hard {
                    Ok((draft, !found))
                } else {
                    Err(Reason::NotFoundAgain)
                }
            }
            Err(reason) => Err(reason),
        };
        match drafted {
            Ok((draft, hard)) => {
                let query = Query {
                    id: format!("synth-{}", &passage.sha256[..12]),
                    text: draft.question,
                    answers: vec![draft.answer],
                    document: called,
                    passage: passage.place(),
                    rank,
                    hard,
                };
                // In this order: a judgement without its query does no harm.
                self.folder.judge(&query.id, &query.document)?;
                self.folder.add(QUERIES, &query)?;
                self.count(&query);
            }
            Err(reason) => {
                let rejected = Rejected {
                    reason,
                    document: called,
                    passage: passage.place(),
                    reply,
                    rank,
                };
                self.folder.add(REJECTED, &rejected)?;
                *self.rejections(reason) += 1;
            }
        }
        self.done.insert(passage.sha256.clone());
        self.save(State::Unfinished)
    }

    fn check(&self, reply: &str, title: &str, passage: &str) -> Result<Draft, Reason> {
        let draft = prompt::parse(reply).ok_or(Reason::Malformed)?;
        check::check(&draft, title, passage, self.about.settings.max_overlap)?;
        if self.questions.contains(&check::squeeze(&draft.question)) {
            return Err(Reason::Repeated);
        }
        Ok(draft)
    }

    async fn write(&self, title: &str, passage: &str) -> anyhow::Result<String> {
        let mut tokens = self
            .generator
            .generate(prompt::prompt(title, passage))
            .await?;
        let mut reply = String::new();
        while let Some(token) = tokens.next().await {
            if let Token::Text(text) = token? {
                reply.push_str(&text);
            }
        }
        Ok(reply.trim().to_owned())
    }

    /// Returns the place among the documents found, from 1, at which a question finds its document.
    async fn round_trip(&self, question: &str, document: &str) -> anyhow::Result<Option<usize>> {
        let n_chunks = (self.about.settings.top * CHUNKS_PER_DOCUMENT).min(MAX_CHUNKS);
        let found = self.library.search(question, n_chunks).await?;
        Ok(found
            .iter()
            .position(|found| found == document)
            .map(|at| at + 1))
    }

    fn count(&mut self, query: &Query) {
        self.about.counts.questions += 1;
        self.about.counts.hard += usize::from(query.hard);
        self.questions.insert(check::squeeze(&query.text));
    }

    fn rejections(&mut self, reason: Reason) -> &mut usize {
        self.about.counts.rejected.entry(reason).or_default()
    }

    fn skips(&mut self, reason: Skipped) -> &mut usize {
        self.about.counts.skipped.entry(reason).or_default()
    }

    fn save(&mut self, state: State) -> anyhow::Result<()> {
        self.about.state = state;
        self.about.updated_at = Timestamp::now();
        self.folder.describe(&self.about)
    }

    fn finish(mut self, state: State) -> anyhow::Result<About> {
        self.save(state)?;
        Ok(self.about)
    }
}

/// Describes the generator that writes.
#[must_use]
pub fn generator_facts(generator: &dyn Generator) -> ModelFacts {
    let spec = generator.spec();
    let weights = |name: &str| name.ends_with(".safetensors") || name.ends_with(".gguf");
    let weights = spec.files.iter().find(|file| weights(&file.name));
    ModelFacts {
        role: "generator".to_owned(),
        id: spec.id.to_string(),
        sha256: weights.and_then(|file| file.sha256.clone()),
        settings: BTreeMap::from([("sampling".to_owned(), "greedy".to_owned())]),
    }
}

fn documents_sha256(documents: &[Listed]) -> String {
    let contents: Vec<String> = documents
        .iter()
        .map(|document| format!("{}\0{}\n", document.source, document.sha256))
        .collect();
    let contents: Vec<&str> = contents.iter().map(String::as_str).collect();
    sha256(&contents)
}
