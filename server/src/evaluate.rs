//! `kura eval`: measures quality on labelled data, keeps what it measured, and tells whether a change helped.
//!
//! In reading order:
//! - [`dataset`]: labelled questions; [`retrieval`]: what each stage finds for them; [`answers`]: what is answered;
//!   [`metrics`] and [`wording`]: how good that is; [`calibration`]: whether probabilities of support hold.
//! - [`grounding`]: whether the score that ties a sentence to its source tells support from the lack of it.
//! - [`mod@feedback`] and [`synth`]: data sets from one's own use, written by [`folder`] from a [`library`].
//! - [`record`]: what is kept of a run, with its [`mod@provenance`]; [`records`]: where; [`statistics`]: how sure it is.
//! - [`compare`]: two runs; [`report`] and `chart`: either as a page; [`sight`]: what of a run a reader gets to see.
//!
//! A run is made in two steps: [`Evaluation`] is prepared, which finds all that is wrong with what was asked for, and
//! then run, which takes long.

pub mod answers;
pub mod calibration;
mod chart;
pub mod compare;
pub mod dataset;
pub mod feedback;
pub mod folder;
pub mod forget;
pub mod grounding;
pub mod library;
pub mod metrics;
pub mod provenance;
pub mod record;
pub mod records;
pub mod report;
pub mod retrieval;
pub mod sight;
pub mod statistics;
pub mod synth;
pub mod wording;

use crate::answer::{AnswerMode, Assistant};
use anyhow::Context as _;
use dataset::{Corpus, CorpusRow, Dataset, LabelledQuery, sha256};
use kura_indexer::ingest::{EXTRACTED_MEDIA_TYPE, Event, Limits, NewDocument};
use kura_indexer::pipeline::{IndexConfig, IndexModels, Pipeline};
use kura_indexer::{
    AccessFilter, Acl, Block, BlockKind, Collections, DocumentId, Extracted, Locator, Metadata,
    MetadataChange,
};
use kura_models::{Embedder, Generator};
use provenance::{Settings, provenance};
use record::{DatasetFacts, Kind, Record, Row};
use retrieval::{Documents, Named, Observe, Search, all_documents};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The collection that a data set's documents are put into.
const COLLECTION: &str = "corpus";

/// What a person may choose about a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to call it; the data set's name when absent.
    pub name: Option<String>,
    /// Ask at most this many queries, evenly spaced.
    pub max_queries: Option<usize>,
    /// Of everything random.
    pub seed: u64,
}

/// Is told what is being done, how much of it is done, and how much there is.
pub type Progress<'a> = dyn Fn(&str, usize, usize) + Send + Sync + 'a;

/// What is asked of the documents.
pub enum Task {
    /// Which of them are found.
    Retrieval,
    /// What they answer, written by the generator if there is one; `Settings::answer` says how.
    Answers(Option<Arc<dyn Generator>>),
}

/// Where a data set is indexed, and how.
pub struct Cache<'a> {
    /// The folder that has one folder per data set, embedder and way of chunking.
    pub dir: &'a Path,
    /// Index anew, even if an index is kept.
    pub fresh: bool,
    /// What documents are indexed and found with.
    pub models: IndexModels,
    /// How documents are cut and found.
    pub index_config: IndexConfig,
}

/// The judgements name no document of the collection.
#[derive(Debug, thiserror::Error)]
#[error(
    "none of the {n_unknown} documents that the judgements name is in the collection `{collection}`; name them by \
     source or by id, as `GET /api/v1/documents` lists them"
)]
pub struct NothingJudged {
    collection: String,
    n_unknown: usize,
}

/// An evaluation of retrieval or answers, ready to run.
pub struct Evaluation {
    /// The record as it is before the run.
    pub record: Record,
    queries: Vec<LabelledQuery>,
    search: Search,
    /// Who answers, where answers are evaluated.
    assistant: Option<Arc<Assistant>>,
}

impl Evaluation {
    /// Prepares to evaluate a data set: indexes its documents, unless that was done before.
    ///
    /// # Errors
    /// Those of the data set, the models and the index.
    pub async fn of_dataset(
        dataset: &Dataset,
        cache: Cache<'_>,
        task: Task,
        settings: &Settings,
        options: Options,
        progress: &Progress<'_>,
    ) -> anyhow::Result<Self> {
        let queries = task.queries(dataset, options.max_queries)?;
        let corpus = dataset
            .corpus
            .as_ref()
            .context("the data set has no corpus; name the collection to search instead")?;
        let name = cache_name(dataset, corpus, cache.models.embedder.as_ref(), settings)?;
        let dir = cache.dir.join(name);
        let pipeline = open(&dir, cache).await?;
        index(&pipeline, corpus, progress).await?;
        let access = AccessFilter::unrestricted("evaluation data set");
        let search = Search::new(pipeline, Collections::All, access, settings).await?;
        let facts = DatasetFacts {
            name: dataset.name.clone(),
            sha256: task.dataset_sha256(dataset)?,
            collection: None,
            collection_id: None,
            corpus_sha256: corpus.sha256.clone(),
            documents: corpus.documents.len(),
            queries: dataset.queries.len(),
            asked: queries.len(),
        };
        Self::new(
            facts,
            &dataset.warnings,
            queries,
            search,
            task,
            settings,
            options,
        )
        .await
    }

    /// Prepares to evaluate a collection as it is served. The judgements name documents by source or by id.
    ///
    /// # Errors
    /// When the collection does not exist, or has none of the documents that the judgements name.
    pub async fn of_collection(
        dataset: &Dataset,
        pipeline: Arc<Pipeline>,
        collection: &str,
        access: AccessFilter,
        task: Task,
        settings: &Settings,
        options: Options,
    ) -> anyhow::Result<Self> {
        let mut queries = task.queries(dataset, options.max_queries)?;
        let id = pipeline.collection(collection, &access).await?.id;
        let collections = Collections::Only(vec![id]);
        let search = Search::new(pipeline, collections, access, settings).await?;
        let (n_known, n_unknown) = by_source(&mut queries, &search.documents.by_id);
        if n_known == 0 && n_unknown > 0 {
            return Err(NothingJudged {
                collection: collection.to_owned(),
                n_unknown,
            }
            .into());
        }
        let facts = DatasetFacts {
            name: dataset.name.clone(),
            sha256: task.dataset_sha256(dataset)?,
            collection: Some(collection.to_owned()),
            collection_id: Some(id.to_string()),
            corpus_sha256: search.documents.sha256.clone(),
            documents: search.documents.by_id.len(),
            queries: dataset.queries.len(),
            asked: queries.len(),
        };
        let mut evaluation = Self::new(
            facts,
            &dataset.warnings,
            queries,
            search,
            task,
            settings,
            options,
        )
        .await?;
        if n_unknown > 0 {
            evaluation.record.summary.warnings.push(format!(
                "{n_unknown} judgements name documents that the collection does not have; they count as not found"
            ));
        }
        Ok(evaluation)
    }

    async fn new(
        facts: DatasetFacts,
        warnings: &[String],
        queries: Vec<LabelledQuery>,
        search: Search,
        task: Task,
        settings: &Settings,
        options: Options,
    ) -> anyhow::Result<Self> {
        let kind = task.kind();
        let assistant = task.assistant(&search.pipeline, settings).await?;
        let mut models = vec![provenance::embedder(search.pipeline.embedder().as_ref())];
        let writes = |assistant: &Arc<Assistant>| {
            let generator = assistant.generator.clone()?;
            (assistant.config.mode != AnswerMode::Extractive).then_some(generator)
        };
        models.extend(provenance::reranker(&search.pipeline, settings));
        let generator = assistant.as_ref().and_then(writes);
        models.extend(generator.map(|generator| provenance::generator(generator.as_ref())));
        let index = provenance::index(&search.pipeline).await?;
        let provenance = provenance(models, Some(index), settings)?;
        let Options { name, seed, .. } = options;
        let mut record = Record::begin(kind, name, facts, provenance, seed);
        record.summary.warnings.extend_from_slice(warnings);
        if search.documents.n_not_indexed > 0 {
            record.summary.warnings.push(format!(
                "{} documents are not indexed and cannot be found",
                search.documents.n_not_indexed
            ));
        }
        Ok(Self {
            record,
            queries,
            search,
            assistant,
        })
    }

    /// Asks the queries; returns the finished record.
    ///
    /// # Errors
    /// Those of the search and of `observe`.
    pub async fn run(
        self,
        observe: &mut Observe<'_>,
        progress: &Progress<'_>,
    ) -> anyhow::Result<Record> {
        let Self {
            record,
            queries,
            search,
            assistant,
        } = self;
        let report = |done, all| progress("queries", done, all);
        let rows = match assistant {
            None => search.rows(&queries, observe, &report).await?,
            Some(assistant) => answers::rows(&search, &assistant, &queries, &report).await?,
        };
        let mut record = record;
        let of_collection = record.summary.dataset.collection.is_some();
        for (id, document) in search.named_in(&rows) {
            let (source, title) = (document.source.clone(), document.title.clone());
            if of_collection {
                record.documents.insert(source.clone(), id.to_string());
            }
            record.titles.insert(source, title);
        }
        if of_collection {
            // A document that came while it ran is named by its id.
            let named = rows.iter().flat_map(Row::documents);
            let ids = named.filter_map(|name| name.parse::<DocumentId>().ok());
            record
                .documents
                .extend(ids.map(|id| (id.to_string(), id.to_string())));
        }
        let mut record = record.complete(rows);
        if of_collection {
            let now =
                Documents::read(&search.pipeline, &search.collections, &search.access).await?;
            if now.sha256 != record.summary.dataset.corpus_sha256 {
                record
                    .summary
                    .warnings
                    .push("the collection changed while it was evaluated".to_owned());
            }
        }
        Ok(record)
    }
}

impl Task {
    fn kind(&self) -> Kind {
        match self {
            Self::Retrieval => Kind::Retrieval,
            Self::Answers(_) => Kind::Answers,
        }
    }

    fn queries(
        &self,
        dataset: &Dataset,
        limit: Option<usize>,
    ) -> anyhow::Result<Vec<LabelledQuery>> {
        match self {
            Self::Retrieval => dataset.judged_queries(limit),
            Self::Answers(_) => dataset.questions(limit),
        }
    }

    fn dataset_sha256(&self, dataset: &Dataset) -> anyhow::Result<String> {
        match self {
            Self::Retrieval => Ok(dataset.sha256.clone()),
            Self::Answers(_) => dataset.answers_sha256(),
        }
    }

    async fn assistant(
        self,
        pipeline: &Arc<Pipeline>,
        settings: &Settings,
    ) -> anyhow::Result<Option<Arc<Assistant>>> {
        let Self::Answers(generator) = self else {
            return Ok(None);
        };
        let config = settings
            .answer
            .clone()
            .context("how questions are answered is not set")?;
        let assistant = Assistant::new(Arc::clone(pipeline), generator, config).await?;
        Ok(Some(Arc::new(assistant)))
    }
}

/// Names relevant documents by source where they are named by id; returns how many judgements name a document that is
/// there, and how many do not.
fn by_source(
    queries: &mut [LabelledQuery],
    documents: &HashMap<DocumentId, Named>,
) -> (usize, usize) {
    let sources: HashSet<&str> = documents
        .values()
        .map(|document| document.source.as_str())
        .collect();
    let (mut n_known, mut n_unknown) = (0, 0);
    for query in queries {
        let mut relevant: BTreeMap<String, f64> = BTreeMap::new();
        for (name, gain) in std::mem::take(&mut query.relevant) {
            let by_id = || documents.get(&name.parse().ok()?);
            let source = if sources.contains(name.as_str()) {
                n_known += 1;
                name
            } else if let Some(document) = by_id() {
                n_known += 1;
                document.source.clone()
            } else {
                n_unknown += 1;
                name
            };
            let known = relevant.entry(source).or_insert(gain);
            *known = known.max(gain);
        }
        query.relevant = relevant;
    }
    (n_known, n_unknown)
}

/// Returns all, or at most `limit` evenly spaced ones.
fn evenly<T: Clone>(all: &[T], limit: Option<usize>) -> Vec<T> {
    let n = limit.unwrap_or(all.len()).min(all.len());
    (0..n).map(|at| all[at * all.len() / n].clone()).collect()
}

/// Names the folder of a data set's index by everything that its vectors and chunks depend on.
fn cache_name(
    dataset: &Dataset,
    corpus: &Corpus,
    embedder: &dyn Embedder,
    settings: &Settings,
) -> anyhow::Result<String> {
    let model = serde_json::to_string(&provenance::embedder(embedder))?;
    let chunking = serde_json::to_string(&settings.chunking)?;
    let key = sha256(&[&corpus.sha256, &model, &chunking]);
    Ok(format!(
        "{}-{}-{}",
        dataset.name,
        embedder.spec().id,
        &key[..12]
    ))
}

/// Opens the index of a data set.
async fn open(dir: &Path, cache: Cache<'_>) -> anyhow::Result<Arc<Pipeline>> {
    if cache.fresh && dir.exists() {
        fs_err::remove_dir_all(dir)?;
    }
    Ok(Pipeline::open(dir, cache.models, cache.index_config).await?)
}

/// Indexes the documents that are not there yet.
async fn index(
    pipeline: &Pipeline,
    corpus: &Corpus,
    progress: &Progress<'_>,
) -> anyhow::Result<()> {
    let collection = pipeline.create_collection(COLLECTION).await?.id;
    let access = AccessFilter::unrestricted("evaluation data set");
    let known: HashSet<String> = all_documents(pipeline, &Collections::All, &access)
        .await?
        .into_iter()
        .map(|document| document.source)
        .collect();
    for row in &corpus.documents {
        if !known.contains(&row.id) {
            pipeline
                .add_document(NewDocument {
                    collection,
                    source: row.id.clone(),
                    media_type: Some(EXTRACTED_MEDIA_TYPE.to_owned()),
                    bytes: serde_json::to_vec(&extracted(row))?,
                    acl: Acl::everyone().into(),
                    metadata: MetadataChange::default(),
                })
                .await?;
        }
    }
    let done = AtomicUsize::new(0);
    let report = |event: Event<'_>| {
        let Event::Ended(job) = event else { return };
        let n = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress("documents", n, corpus.documents.len());
        if let Some(error) = &job.error {
            tracing::warn!(document = %job.source, error, "document of the data set was not indexed");
        }
    };
    let limits = Limits::default();
    pipeline
        .run_jobs(&limits, std::future::pending(), &report)
        .await?;
    Ok(())
}

fn extracted(row: &CorpusRow) -> Extracted {
    let paragraphs = row
        .text
        .split("\n\n")
        .filter(|text| !text.trim().is_empty());
    let block = |text: &str| Block {
        kind: BlockKind::Paragraph,
        text: text.trim().to_owned(),
        locator: Locator::default(),
    };
    Extracted {
        title: Some(row.title.clone()),
        blocks: paragraphs.map(block).collect(),
        warnings: Vec::new(),
        metadata: Metadata::default(),
        pages: Vec::new(),
    }
}
