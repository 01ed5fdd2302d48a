//! What is kept of an evaluation: what was asked and found, what made it, and what it says.
//!
//! All kinds of evaluation share this form: queries go through stages, a stage gives each query some values by
//! metric name, and everything else (intervals, comparison, reports) works on those. A kind adds what its rows must
//! show beside the values.

use super::calibration::Calibration;
use super::metrics::{Latency, Values};
use super::statistics::{self, Estimate};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// The form that this version writes. A reader refuses a later one.
pub const FORMAT: u32 = 1;
/// Documents kept of each ranking.
pub const TOP: usize = 10;
/// The seed when none is chosen.
pub const SEED: u64 = 42;

/// A whole evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Evaluation)]
pub struct Record {
    /// Everything but the single queries.
    #[serde(flatten)]
    pub summary: Summary,
    /// One per query asked, in the data set's order; none until it is done.
    pub queries: Vec<Row>,
    /// Titles of the documents that the rows name.
    pub titles: BTreeMap<String, String>,
    /// Ids of the collection's documents that the rows name: by them it is found out who may see a row.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub documents: BTreeMap<String, String>,
}

/// An evaluation without its single queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationSummary)]
pub struct Summary {
    /// Form of the record, from 1.
    pub format: u32,
    /// UUID; later ones sort after earlier ones.
    #[schema(value_type = String)]
    pub id: Uuid,
    /// What was evaluated.
    pub kind: Kind,
    /// What a person called it, else the data set's name.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// From 0 to 1.
    pub progress: f32,
    /// Why it failed.
    #[schema(required)]
    pub error: Option<String>,
    /// What was asked.
    pub dataset: DatasetFacts,
    /// What made it.
    pub provenance: Provenance,
    /// Of everything random in it.
    pub seed: u64,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub finished_at: Option<Timestamp>,
    /// What it found, in the order in which queries pass through; the last is what a user gets to see.
    pub stages: Vec<StageSummary>,
    /// Where the time went, step by step.
    pub timings: Vec<TimingSummary>,
    /// How well the probabilities of support hold, where answers are evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// What a reader of the figures should know.
    pub warnings: Vec<String>,
}

/// What is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EvaluationKind)]
pub enum Kind {
    /// Whether the right documents are found.
    Retrieval,
    /// Whether the right answers are given.
    Answers,
    /// Whether support is told from the lack of it.
    Grounding,
}

/// Where an evaluation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EvaluationState)]
pub enum State {
    /// It goes on.
    Running,
    /// It ended well.
    Done,
    /// It ended with an error.
    Failed,
}

/// The data set that was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationDataset)]
pub struct DatasetFacts {
    /// Its name.
    pub name: String,
    /// Of its files or labels, lower-case hex. Runs compare only when it is the same.
    pub sha256: String,
    /// The collection that was searched as it is served; absent when the set brought its own documents.
    #[schema(required)]
    pub collection: Option<String>,
    /// The collection's id; absent in records of earlier versions, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_id: Option<String>,
    /// Of the documents that were searched.
    pub corpus_sha256: String,
    /// Documents that were searched.
    pub documents: usize,
    /// Queries in the set.
    pub queries: usize,
    /// Queries that were asked.
    pub asked: usize,
}

/// What made an evaluation: with the same, it gives the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationProvenance)]
pub struct Provenance {
    /// Version of kura.
    pub kura_version: String,
    /// Commit it was built from, if the build knew.
    #[schema(required)]
    pub git_commit: Option<String>,
    /// The models that took part.
    pub models: Vec<ModelFacts>,
    /// The configuration in effect, as far as it has a say.
    #[schema(value_type = Object)]
    pub config: serde_json::Value,
    /// Of `config`, lower-case hex.
    pub config_sha256: String,
    /// The index that was searched, if one was.
    #[schema(required)]
    pub index: Option<IndexFacts>,
    /// Where it ran.
    pub machine: MachineFacts,
}

/// A model that took part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationModel)]
pub struct ModelFacts {
    /// What it does: `embedder`, `reranker` or `generator`.
    pub role: String,
    /// Its name in the registry.
    pub id: String,
    /// Of its weights, lower-case hex; absent when the registry does not know.
    #[schema(required)]
    pub sha256: Option<String>,
    /// What else matters: prompts, longest input.
    pub settings: BTreeMap<String, String>,
}

/// The index that was searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationIndex)]
pub struct IndexFacts {
    /// Its number, from 1.
    pub generation: u64,
    /// Version of the text analyzer.
    pub analyzer_version: u32,
}

/// The machine. Latencies compare only on the same one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationMachine)]
pub struct MachineFacts {
    /// Operating system and architecture.
    pub os: String,
    /// Cores that kura may use.
    pub cores: usize,
    /// The processor's name, if the system tells.
    #[schema(required)]
    pub cpu: Option<String>,
}

/// What a stage found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationStage)]
pub struct StageSummary {
    /// Its name: `dense`, `lexical`, `hybrid`, ….
    pub name: String,
    /// By metric name.
    pub metrics: BTreeMap<String, Estimate>,
    /// From the query's text to this stage's result.
    pub latency_ms: Latency,
}

/// How long a step took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationTiming)]
pub struct TimingSummary {
    /// Its name: `embed`, `dense`, `lexical`, `fuse`, …, `total`.
    pub name: String,
    /// Over all queries.
    pub latency_ms: Latency,
}

/// A query and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationRow)]
pub struct Row {
    /// Its id in the data set.
    pub id: String,
    /// The query.
    pub text: String,
    /// Relevant documents with their gains.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub relevant: BTreeMap<String, f64>,
    /// Whether the documents answer it.
    #[serde(default, skip_serializing_if = "Answerability::is_answerable")]
    pub answerability: Answerability,
    /// Accepted answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
    /// What people said of the text, where grounding is evaluated: whether its source supports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supported: Option<bool>,
    /// The sentence of the source that is closest to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// What each stage made of it.
    pub stages: Vec<StageRow>,
    /// Milliseconds of each step.
    pub timings: Vec<Timing>,
    /// Whether texts and names are left out: it names documents that are gone or not for the reader, or what was answered
    /// rests on a version that was replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

/// What a stage made of a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationStageRow)]
pub struct StageRow {
    /// The stage's name.
    pub name: String,
    /// By metric name. A metric that does not apply to the query is absent, and does not count.
    pub metrics: Values,
    /// From the query's text to this result.
    pub latency_ms: f64,
    /// The first documents, best first; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranking: Vec<Ranked>,
    /// Rank of the best relevant document, from 1; absent when none was among the candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_relevant: Option<usize>,
    /// How well the source supports the text, where grounding is evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// What was answered, where answers are evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answered>,
}

/// Whether the documents answer a question.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Answerability {
    /// They do.
    #[default]
    Answerable,
    /// They are about its subject, but do not answer it.
    Unanswerable,
    /// They are about something else.
    OutOfCorpus,
}

impl Answerability {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Answerable, Self::Unanswerable, Self::OutOfCorpus];

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
    fn is_answerable(&self) -> bool {
        *self == Self::Answerable
    }
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationAnswer)]
pub struct Answered {
    /// Whether it was said that the documents do not answer the question.
    pub refused: bool,
    /// The answer with its markers.
    pub text: String,
    /// Probability, 0 to 1, that what was retrieved supports the question.
    pub support: f32,
    /// The documents cited, by id in the data set or source, once each, in order of appearance.
    pub cited: Vec<String>,
    /// The document versions whose passages the writer was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<ReadVersion>,
    /// What a reader was told to check: figures, names, sentences without support.
    pub flagged: Vec<String>,
}

/// A document version that was read for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationReadVersion)]
pub struct ReadVersion {
    /// The document's id in the data set, or its source in the collection.
    pub document: String,
    /// The version, from 1.
    pub version: u32,
}

/// A document in a ranking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationRanked)]
pub struct Ranked {
    /// Its id in the data set, or its source in the collection.
    pub document: String,
    /// Comparable only within one ranking.
    pub score: f32,
}

/// How long a step took for one query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationStep)]
pub struct Timing {
    /// The step's name.
    pub name: String,
    /// Milliseconds.
    pub ms: f64,
}

impl Record {
    /// Begins an evaluation now.
    #[must_use]
    pub fn begin(
        kind: Kind,
        name: Option<String>,
        dataset: DatasetFacts,
        provenance: Provenance,
        seed: u64,
    ) -> Self {
        let summary = Summary {
            format: FORMAT,
            id: Uuid::now_v7(),
            kind,
            name: name.unwrap_or_else(|| dataset.name.clone()),
            state: State::Running,
            progress: 0.0,
            error: None,
            dataset,
            provenance,
            seed,
            started_at: Timestamp::now(),
            finished_at: None,
            stages: Vec::new(),
            timings: Vec::new(),
            calibration: None,
            warnings: Vec::new(),
        };
        Self {
            summary,
            queries: Vec::new(),
            titles: BTreeMap::new(),
            documents: BTreeMap::new(),
        }
    }

    /// Ends the evaluation now, with these rows.
    #[must_use]
    pub fn complete(mut self, rows: Vec<Row>) -> Self {
        let summary = &mut self.summary;
        summary.stages = stages(&rows, summary.seed);
        summary.timings = timings(&rows);
        summary.calibration = Calibration::of(&rows);
        summary.dataset.asked = rows.len();
        self.queries = rows;
        self.end(State::Done, None)
    }

    /// Ends the evaluation now, for this reason.
    #[must_use]
    pub fn fail(self, reason: impl Into<String>) -> Self {
        self.end(State::Failed, Some(reason.into()))
    }

    fn end(mut self, state: State, error: Option<String>) -> Self {
        let summary = &mut self.summary;
        summary.state = state;
        summary.error = error;
        summary.finished_at = Some(Timestamp::now());
        if state == State::Done {
            summary.progress = 1.0;
        }
        self
    }
}

impl Row {
    /// Returns the documents that it names: relevant, found, cited or read.
    pub fn documents(&self) -> impl Iterator<Item = &str> {
        let found = self.stages.iter().flat_map(|stage| &stage.ranking);
        let answers = self.stages.iter().filter_map(|stage| stage.answer.as_ref());
        let answered = answers.flat_map(|answer| {
            let read = answer.read.iter().map(|read| read.document.as_str());
            answer.cited.iter().map(String::as_str).chain(read)
        });
        let relevant = self.relevant.keys().map(String::as_str);
        relevant
            .chain(found.map(|ranked| ranked.document.as_str()))
            .chain(answered)
    }

    /// Returns what a stage made of the query.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&StageRow> {
        self.stages.iter().find(|stage| stage.name == name)
    }
}

/// Summarizes the stages, in the order in which the rows have them.
fn stages(rows: &[Row], seed: u64) -> Vec<StageSummary> {
    let names = first_seen(
        rows.iter()
            .flat_map(|row| row.stages.iter().map(|s| &s.name)),
    );
    let summarize = |name: String| {
        let of_stage: Vec<&StageRow> = rows.iter().filter_map(|row| row.stage(&name)).collect();
        let mut values: BTreeMap<&String, Vec<f64>> = BTreeMap::new();
        for (metric, value) in of_stage.iter().flat_map(|row| &row.metrics) {
            values.entry(metric).or_default().push(*value);
        }
        let ms: Vec<f64> = of_stage.iter().map(|row| row.latency_ms).collect();
        StageSummary {
            metrics: values
                .into_iter()
                .map(|(metric, values)| (metric.clone(), statistics::estimate(&values, seed)))
                .collect(),
            latency_ms: Latency::of(&ms),
            name,
        }
    };
    names.into_iter().map(summarize).collect()
}

fn timings(rows: &[Row]) -> Vec<TimingSummary> {
    let steps = || rows.iter().flat_map(|row| &row.timings);
    let summarize = |name: String| {
        let ms: Vec<f64> = steps()
            .filter(|step| step.name == name)
            .map(|step| step.ms)
            .collect();
        TimingSummary {
            latency_ms: Latency::of(&ms),
            name,
        }
    };
    let names = first_seen(steps().map(|step| &step.name));
    names.into_iter().map(summarize).collect()
}

fn first_seen<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        if !seen.contains(name) {
            seen.push(name.clone());
        }
    }
    seen
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a finished record whose hybrid stage has these values of nDCG@10.
    pub(crate) fn record(ndcg: &[f64]) -> Record {
        let dataset = DatasetFacts {
            name: "set".to_owned(),
            sha256: "d".repeat(64),
            collection: None,
            collection_id: None,
            corpus_sha256: "c".repeat(64),
            documents: 3,
            queries: ndcg.len(),
            asked: 0,
        };
        let provenance = Provenance {
            kura_version: "0".to_owned(),
            git_commit: None,
            models: Vec::new(),
            config: serde_json::json!({ "retrieval": { "rrf_k": 60.0 } }),
            config_sha256: "e".repeat(64),
            index: Some(IndexFacts {
                generation: 1,
                analyzer_version: 1,
            }),
            machine: MachineFacts {
                os: "linux x86_64".to_owned(),
                cores: 2,
                cpu: None,
            },
        };
        let rows = ndcg.iter().enumerate().map(|(at, value)| Row {
            id: format!("q{at}"),
            text: format!("query {at}"),
            relevant: BTreeMap::from([("d1".to_owned(), 1.0)]),
            answerability: Answerability::Answerable,
            answers: Vec::new(),
            supported: None,
            evidence: None,
            stages: ["dense", "hybrid"]
                .into_iter()
                .map(|name| StageRow {
                    name: name.to_owned(),
                    metrics: Values::from([
                        ("ndcg@10".to_owned(), *value),
                        ("recall@1".to_owned(), value.floor()),
                    ]),
                    latency_ms: 10.0 + at as f64,
                    ranking: vec![Ranked {
                        document: "d1".to_owned(),
                        score: 0.5,
                    }],
                    first_relevant: Some(1),
                    score: None,
                    answer: None,
                })
                .collect(),
            timings: vec![Timing {
                name: "embed".to_owned(),
                ms: 1.0 + at as f64,
            }],
            withheld: false,
        });
        let rows = rows.collect();
        Record::begin(Kind::Retrieval, None, dataset, provenance, SEED).complete(rows)
    }

    #[test]
    fn rows_are_summarized_per_stage_in_their_order() {
        let record = record(&[1.0, 0.5, 0.0, 0.5]);
        let summary = &record.summary;
        let names: Vec<&str> = summary.stages.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["dense", "hybrid"]);
        let ndcg = summary.stages[1].metrics["ndcg@10"];
        assert_eq!((ndcg.mean, ndcg.n), (0.5, 4));
        assert!(ndcg.low < 0.5 && 0.5 < ndcg.high);
        assert_eq!(summary.stages[1].latency_ms.p50, 11.0);
        assert_eq!(summary.timings[0].latency_ms.p99, 4.0);
        assert_eq!((summary.state, summary.dataset.asked), (State::Done, 4));
    }

    #[test]
    fn a_metric_that_does_not_apply_does_not_count() {
        let mut rows = record(&[1.0, 0.0]).queries;
        rows[1].stages[1].metrics.remove("recall@1");
        let stages = stages(&rows, SEED);
        assert_eq!(stages[1].metrics["recall@1"].n, 1);
        assert_eq!(stages[1].metrics["recall@1"].mean, 1.0);
        assert_eq!(stages[0].metrics["recall@1"].n, 2);
    }

    #[test]
    fn a_record_survives_its_file_and_its_summary_can_be_read_alone() {
        let record = record(&[1.0, 1.0 / 3.0]);
        let text = serde_json::to_string(&record).unwrap();
        let summary: Summary = serde_json::from_str(&text).unwrap();
        let back: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(back.summary.id, summary.id);
        assert_eq!(back.queries.len(), 2);
        assert_eq!(back.titles, record.titles);
    }
}
