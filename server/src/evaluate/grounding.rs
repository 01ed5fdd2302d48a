//! Grounding: does the score that ties a sentence to its source tell support from the lack of it?
//!
//! People have said of texts whether their sources support them. Every sentence is a row; its stages are `overlap`, the
//! share of its words that the source has, and `support`, what kura decides citations by. The metric of a supported
//! sentence is the share of unsupported ones that score below it: its mean is the area under the ROC curve.

use super::Progress;
use super::calibration::placement;
use super::dataset::{folder_name, rows_of, sha256};
use super::metrics::Values;
use super::provenance::{self, provenance};
use super::record::{DatasetFacts, Kind, Record, Row, StageRow, Timing};
use super::{Options, evenly};
use crate::answer::attribute::{Claim, Source};
use crate::answer::evidence::{Scale, share, terms};
use crate::answer::passages::Sentence;
use anyhow::ensure;
use kura_indexer::chunk::sentences;
use kura_indexer::late::TokenCodec;
use kura_models::Embedder;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const BASELINE: &str = "overlap";
const SUPPORT: &str = "support";

/// What is judged as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Each sentence.
    Sentence,
    /// Each text, by its weakest sentence.
    Text,
}

/// Texts with their sources, and what people said of them.
#[derive(Debug, Clone)]
pub struct GroundingSet {
    name: String,
    sha256: String,
    texts: Vec<Judged>,
    warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Judged {
    id: String,
    source: String,
    text: String,
    supported: bool,
    /// The parts that are not supported; when none is named, all of it is as `supported` says.
    unsupported: Vec<String>,
}

/// A line of a data set, in one of the forms that are in use.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    /// A text and its source. `FaithBench` calls them summary, unwanted and spans.
    Text {
        #[serde(rename = "_id", alias = "id")]
        id: Id,
        source: OneOrMore,
        #[serde(alias = "summary")]
        text: String,
        supported: Option<bool>,
        unwanted: Option<bool>,
        #[serde(default, alias = "spans")]
        unsupported_spans: Vec<String>,
    },
    /// A question with a right and a wrong answer, passages that give the one and the same passages altered so that
    /// they give the other: the counterfactual part of `RGB`. Each answer is supported by its own passages only.
    Counterfactual {
        #[serde(rename = "_id", alias = "id")]
        id: Id,
        query: String,
        answer: OneOrMore,
        fakeanswer: OneOrMore,
        positive: Vec<String>,
        positive_wrong: Vec<String>,
    },
    /// An answer without a source, as in the general part of `HaluEval`: nothing can be held against it.
    Sourceless {
        #[serde(rename = "user_query")]
        _query: String,
        #[serde(rename = "chatgpt_response")]
        _response: String,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<Self>),
}

impl OneOrMore {
    fn join(self) -> String {
        match self {
            Self::One(text) => text,
            Self::More(texts) => {
                let texts: Vec<String> = texts.into_iter().map(Self::join).collect();
                texts.join("\n\n")
            }
        }
    }

    fn first(self) -> String {
        match self {
            Self::One(text) => text,
            Self::More(texts) => texts
                .into_iter()
                .next()
                .map_or_else(String::new, Self::first),
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl GroundingSet {
    /// Reads a file, or every `*.jsonl` of a folder, each as a set of its own.
    ///
    /// # Errors
    /// When a file cannot be read, a line has none of the known forms, or a set lacks supported or unsupported texts.
    pub fn read(path: &Path) -> anyhow::Result<Vec<Self>> {
        if !path.is_dir() {
            return Ok(vec![Self::read_file(path)?]);
        }
        let mut files = Vec::new();
        for entry in fs_err::read_dir(path)? {
            let file = entry?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "jsonl")
            {
                files.push(file);
            }
        }
        ensure!(
            !files.is_empty(),
            "`{}` has no `*.jsonl` file",
            path.display()
        );
        files.sort();
        files.iter().map(|file| Self::read_file(file)).collect()
    }

    fn read_file(file: &Path) -> anyhow::Result<Self> {
        let text = fs_err::read_to_string(file)?;
        let lines: Vec<Line> = rows_of(file, &text).map_err(|error| {
            error.context(
                "a line needs `_id`, `source`, `text` and `supported`, and may have `unsupported_spans`",
            )
        })?;
        let mut texts = Vec::new();
        let mut n_sourceless = 0;
        for line in lines {
            match line {
                Line::Text {
                    id,
                    source,
                    text,
                    supported,
                    unwanted,
                    unsupported_spans,
                } => {
                    let supported = supported.or(unwanted.map(|unwanted| !unwanted));
                    let supported = supported.ok_or_else(|| {
                        anyhow::anyhow!(
                            "`{}`: `{id}` does not say whether it is `supported`",
                            file.display()
                        )
                    })?;
                    texts.push(Judged {
                        id: id.to_string(),
                        source: source.join(),
                        text,
                        supported,
                        unsupported: if supported {
                            Vec::new()
                        } else {
                            unsupported_spans
                        },
                    });
                }
                Line::Counterfactual {
                    id,
                    query,
                    answer,
                    fakeanswer,
                    positive,
                    positive_wrong,
                } => {
                    let (right, wrong) = (answer.first(), fakeanswer.first());
                    for (passages, true_here) in [(positive, true), (positive_wrong, false)] {
                        let source = passages.join("\n\n");
                        for (answer, is_right) in [(&right, true), (&wrong, false)] {
                            texts.push(Judged {
                                id: format!("{id}-{true_here}-{is_right}"),
                                source: source.clone(),
                                text: format!("{query}: {answer}."),
                                supported: true_here == is_right,
                                unsupported: Vec::new(),
                            });
                        }
                    }
                }
                Line::Sourceless { .. } => n_sourceless += 1,
            }
        }
        let mut warnings = Vec::new();
        if n_sourceless > 0 {
            warnings.push(format!(
                "{n_sourceless} texts have no source to be held against and were left out"
            ));
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: format!("{}/{name}", folder_name(file.parent().unwrap_or(file))),
            sha256: sha256(&[&text]),
            texts,
            warnings,
        })
    }

    /// Returns the set's name: folder and file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns why the set cannot be judged, if it cannot.
    #[must_use]
    pub fn unusable(&self) -> Option<String> {
        let n_supported = self.texts.iter().filter(|text| text.supported).count();
        let lacks = if self.texts.is_empty() {
            "texts with a source"
        } else if n_supported == 0 {
            "supported texts"
        } else if n_supported == self.texts.len() {
            "unsupported texts"
        } else {
            return None;
        };
        Some(format!("`{}` has no {lacks}", self.name))
    }
}

/// The settings that have a say.
#[derive(Serialize)]
struct Settings {
    level: Level,
}

/// A sentence, its scores and what people said.
struct Scored {
    row: Row,
    scores: [f64; 2],
    supported: bool,
}

/// Scores every text of a set; returns the finished record.
///
/// # Errors
/// Those of the embedder; [`GroundingSet::unusable`].
pub async fn evaluate(
    set: &GroundingSet,
    embedder: &Arc<dyn Embedder>,
    level: Level,
    options: Options,
    progress: &Progress<'_>,
) -> anyhow::Result<Record> {
    if let Some(reason) = set.unusable() {
        anyhow::bail!(reason);
    }
    let texts = evenly(&set.texts, options.max_queries);
    let sources: HashSet<&str> = set.texts.iter().map(|text| text.source.as_str()).collect();
    let facts = DatasetFacts {
        name: set.name.clone(),
        sha256: set.sha256.clone(),
        collection: None,
        collection_id: None,
        corpus_sha256: set.sha256.clone(),
        documents: sources.len(),
        queries: set.texts.len(),
        asked: texts.len(),
    };
    let models = vec![provenance::embedder(embedder.as_ref())];
    let provenance = provenance(models, None, &Settings { level })?;
    let mut record = Record::begin(
        Kind::Grounding,
        options.name,
        facts,
        provenance,
        options.seed,
    );
    record.summary.warnings.extend_from_slice(&set.warnings);

    let codec = TokenCodec::measure(embedder.as_ref()).await?;
    let scale = Scale::measure(embedder.as_ref(), &codec).await?;
    let mut scored: Vec<Scored> = Vec::new();
    let mut source: (&str, Vec<Sentence>) = ("", Vec::new());
    for (at, judged) in texts.iter().enumerate() {
        if source.0 != judged.source {
            source = (
                &judged.source,
                split(embedder.as_ref(), &judged.source).await?,
            );
        }
        let of_text = score(embedder.as_ref(), scale, judged, &source.1).await?;
        match level {
            Level::Sentence => scored.extend(of_text),
            Level::Text => scored.extend(weakest(judged, of_text)),
        }
        progress("texts", at + 1, texts.len());
    }
    let mut record = record.complete(placed(scored));
    // Of the texts asked, every sentence is a row.
    let dataset = &mut record.summary.dataset;
    dataset.queries = dataset.queries.max(dataset.asked);
    Ok(record)
}

/// Embeds a text's sentences.
async fn split(embedder: &dyn Embedder, text: &str) -> anyhow::Result<Vec<Sentence>> {
    let ranges = sentences(text);
    let texts: Vec<String> = ranges
        .iter()
        .map(|range| text[range.clone()].to_owned())
        .collect();
    let embeddings = embedder.embed_documents(&texts).await?;
    Ok(ranges
        .into_iter()
        .zip(texts)
        .zip(embeddings)
        .map(|((range, text), embedding)| Sentence {
            range,
            vector: embedding.vector,
            terms: terms(&text),
            relevance: 0.0,
            part: 0,
        })
        .collect())
}

/// Scores the sentences of a text.
async fn score(
    embedder: &dyn Embedder,
    scale: Scale,
    judged: &Judged,
    of_source: &[Sentence],
) -> anyhow::Result<Vec<Scored>> {
    let start = Instant::now();
    let source = Source::new("", &judged.source, of_source);
    let all = terms(&judged.source);
    let written = split(embedder, &judged.text).await?;
    let written: Vec<&Sentence> = written
        .iter()
        .filter(|sentence| !sentence.terms.is_empty())
        .collect();
    let mut scored = Vec::with_capacity(written.len());
    for (nth, sentence) in written.iter().enumerate() {
        let text = &judged.text[sentence.range.clone()];
        let found = source.support(scale, &Claim::new(text, &sentence.vector));
        let (support, evidence) = found.map_or((0.0, None), |(support, nth)| {
            let range = of_source[nth].range.clone();
            (support, Some(judged.source[range].to_owned()))
        });
        let supported = judged.supported || !is_named(text, judged);
        let ms = start.elapsed().as_secs_f64() * 1e3 / (nth + 1) as f64;
        scored.push(Scored {
            row: Row {
                id: format!("{}#{}", judged.id, nth + 1),
                text: text.to_owned(),
                relevant: BTreeMap::new(),
                answerability: super::record::Answerability::default(),
                answers: Vec::new(),
                supported: Some(supported),
                evidence,
                stages: Vec::new(),
                timings: vec![Timing {
                    name: "total".to_owned(),
                    ms,
                }],
                withheld: false,
            },
            scores: [share(&sentence.terms, &all), support].map(f64::from),
            supported,
        });
    }
    Ok(scored)
}

/// Returns whether a sentence of an unsupported text is among what is not supported in it.
fn is_named(sentence: &str, judged: &Judged) -> bool {
    let sentence = sentence.to_lowercase();
    // Shorter ones would be found everywhere.
    let spans = judged
        .unsupported
        .iter()
        .map(|span| span.trim().to_lowercase());
    let mut spans = spans.filter(|span| span.chars().count() > 2).peekable();
    spans.peek().is_none() || spans.any(|span| sentence.contains(&span) || span.contains(&sentence))
}

/// Judges a text by its weakest sentence, separately for each score.
fn weakest(judged: &Judged, sentences: Vec<Scored>) -> Option<Scored> {
    let least = |at: usize| {
        let scores = sentences.iter().map(|sentence| sentence.scores[at]);
        scores.fold(f64::INFINITY, f64::min)
    };
    let scores = [least(0), least(1)];
    let mut weakest = sentences
        .into_iter()
        .min_by(|a, b| a.scores[1].total_cmp(&b.scores[1]))?;
    weakest.row.id.clone_from(&judged.id);
    weakest.row.text.clone_from(&judged.text);
    weakest.row.supported = Some(judged.supported);
    Some(Scored {
        scores,
        supported: judged.supported,
        ..weakest
    })
}

/// Gives every row its stages; supported ones get the share of unsupported ones that score below them.
fn placed(scored: Vec<Scored>) -> Vec<Row> {
    let below: [Vec<f64>; 2] = [0, 1].map(|at| {
        let unsupported = scored.iter().filter(|one| !one.supported);
        let mut scores: Vec<f64> = unsupported.map(|one| one.scores[at]).collect();
        scores.sort_by(f64::total_cmp);
        scores
    });
    let stage = |name: &str, at: usize, one: &Scored| StageRow {
        name: name.to_owned(),
        metrics: if one.supported {
            Values::from([("auroc".to_owned(), placement(one.scores[at], &below[at]))])
        } else {
            Values::new()
        },
        latency_ms: one.row.timings.iter().map(|step| step.ms).sum(),
        ranking: Vec::new(),
        first_relevant: None,
        score: Some(one.scores[at]),
        answer: None,
    };
    let with_stages = |one: Scored| {
        let stages = vec![stage(BASELINE, 0, &one), stage(SUPPORT, 1, &one)];
        Row { stages, ..one.row }
    };
    scored.into_iter().map(with_stages).collect()
}
