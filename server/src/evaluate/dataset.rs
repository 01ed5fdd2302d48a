//! Labelled data sets: questions, and which documents answer them.
//!
//! A data set is a folder in BEIR layout: `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`,
//! optionally `answers` and `unanswerable`) and `qrels.tsv` (`query-id`, `corpus-id`, `score`). Further fields are
//! ignored. Where a collection is evaluated as it is served, no corpus is needed.

use super::evenly;
use super::record::Answerability;
use anyhow::{Context as _, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// A labelled data set.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The folder's name.
    pub name: String,
    /// Lower-case hex: over the three files, or over the labelled queries where there is no corpus.
    pub sha256: String,
    /// The documents; none where a collection is evaluated.
    pub corpus: Option<Corpus>,
    /// All queries, judged or not, each once.
    pub queries: Vec<LabelledQuery>,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

/// The documents of a data set.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// Each once.
    pub documents: Vec<CorpusRow>,
    /// Of the file, lower-case hex.
    pub sha256: String,
}

/// A document of a data set.
#[derive(Debug, Clone, Deserialize)]
pub struct CorpusRow {
    /// What the judgements call it.
    #[serde(rename = "_id", deserialize_with = "id")]
    pub id: String,
    /// Title; may be empty.
    #[serde(default, deserialize_with = "or_default")]
    pub title: String,
    /// Paragraphs, separated by blank lines.
    pub text: String,
}

/// A question with what is known about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelledQuery {
    /// Unique in the set.
    pub id: String,
    /// The question.
    pub text: String,
    /// Relevant documents with their gains, all above 0.
    pub relevant: BTreeMap<String, f64>,
    /// Accepted answers; may be empty.
    pub answers: Vec<String>,
    /// Whether the documents answer it.
    pub answerability: Answerability,
}

#[derive(Deserialize)]
struct QueryRow {
    #[serde(rename = "_id", deserialize_with = "id")]
    id: String,
    text: String,
    #[serde(default, deserialize_with = "or_default")]
    answers: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    unanswerable: bool,
}

type Qrels = HashMap<String, BTreeMap<String, f64>>;

impl Dataset {
    /// Reads documents, queries and judgements.
    ///
    /// # Errors
    /// When a file is missing or a line is not what it should be; the message names file and line.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let mut warnings = Vec::new();
        let corpus_file = read_text(dir, "corpus.jsonl")?;
        let documents: Vec<CorpusRow> = rows(dir, "corpus.jsonl", &corpus_file)?;
        ensure!(
            !documents.is_empty(),
            "`{}` has no documents",
            dir.join("corpus.jsonl").display()
        );
        let documents = unique(documents, |row| &row.id, "documents", &mut warnings);
        let (queries_file, qrels_file) = label_files(dir)?;
        let queries = labelled(dir, &queries_file, &qrels_file, &mut warnings)?;
        let known: HashSet<&str> = documents.iter().map(|row| row.id.as_str()).collect();
        let n_absent = queries
            .iter()
            .flat_map(|query| query.relevant.keys())
            .filter(|id| !known.contains(id.as_str()))
            .count();
        if n_absent > 0 {
            warnings.push(format!(
                "{n_absent} judgements name documents that corpus.jsonl does not have; they count as not found"
            ));
        }
        Ok(Self {
            name: folder_name(dir),
            sha256: sha256(&[&corpus_file, &queries_file, &qrels_file]),
            corpus: Some(Corpus {
                documents,
                sha256: sha256(&[&corpus_file]),
            }),
            queries,
            warnings,
        })
    }

    /// Reads queries and judgements only, for a collection that is evaluated as it is served.
    ///
    /// # Errors
    /// As [`Dataset::read`].
    pub fn read_labels(dir: &Path) -> anyhow::Result<Self> {
        let mut warnings = Vec::new();
        let (queries_file, qrels_file) = label_files(dir)?;
        let queries = labelled(dir, &queries_file, &qrels_file, &mut warnings)?;
        let mut dataset = Self::of_labels(&folder_name(dir), queries)?;
        dataset.warnings = warnings;
        Ok(dataset)
    }

    /// Makes a data set of labelled queries. Those without a relevant document leave no trace in its hash, so that
    /// it is the same however they were handed over.
    ///
    /// # Errors
    /// When a query's id occurs twice.
    pub fn of_labels(name: &str, queries: Vec<LabelledQuery>) -> anyhow::Result<Self> {
        let mut ids = HashSet::new();
        for query in &queries {
            ensure!(
                ids.insert(query.id.as_str()),
                "the query id `{}` occurs twice",
                query.id
            );
        }
        let judged = queries.iter().filter(|query| !query.relevant.is_empty());
        let mut labels: Vec<_> = judged
            .map(|query| (&query.id, &query.text, &query.relevant))
            .collect();
        labels.sort_by_key(|(id, ..)| *id);
        let sha256 = sha256(&[&serde_json::to_string(&labels)?]);
        Ok(Self {
            name: name.to_owned(),
            sha256,
            corpus: None,
            queries,
            warnings: Vec::new(),
        })
    }

    /// Adds the questions of a file in the form of `queries.jsonl` as some that the documents do not answer, because
    /// they are about something else. Answers that the file has for them do not count.
    ///
    /// # Errors
    /// When the file cannot be read, or has no questions.
    pub fn add_out_of_corpus(&mut self, file: &Path) -> anyhow::Result<()> {
        let text = fs_err::read_to_string(file)?;
        let rows: Vec<QueryRow> = rows_of(file, &text)?;
        ensure!(!rows.is_empty(), "`{}` has no questions", file.display());
        let folder = folder_name(file.parent().unwrap_or(file));
        for row in rows {
            // Another set's ids may be those of this one.
            self.queries.push(LabelledQuery {
                id: format!("{folder}:{}", row.id),
                text: row.text,
                relevant: BTreeMap::new(),
                answers: Vec::new(),
                answerability: Answerability::OutOfCorpus,
            });
        }
        Ok(())
    }

    /// Returns the questions by which answers are judged: those that are answerable, as far as an answer or a relevant
    /// document is known, and those that are not. At most `limit` of each [`Answerability`], evenly spaced.
    ///
    /// # Errors
    /// When there are none.
    pub fn questions(&self, limit: Option<usize>) -> anyhow::Result<Vec<LabelledQuery>> {
        let mut chosen = Vec::new();
        for wanted in Answerability::ALL {
            let known = |query: &&LabelledQuery| {
                query.answerability == wanted
                    && (wanted != Answerability::Answerable
                        || !query.answers.is_empty()
                        || !query.relevant.is_empty())
            };
            let of_kind: Vec<&LabelledQuery> = self.queries.iter().filter(known).collect();
            chosen.extend(evenly(&of_kind, limit).into_iter().cloned());
        }
        ensure!(
            !chosen.is_empty(),
            "no query of `{}` has an answer or a relevant document, and none is marked as unanswerable",
            self.name
        );
        Ok(chosen)
    }

    /// Returns the hash of the set with the answers, which `sha256` leaves out where there is no corpus.
    ///
    /// # Errors
    /// None that a data set can cause.
    pub fn answers_sha256(&self) -> anyhow::Result<String> {
        let mut labels: Vec<_> = self
            .queries
            .iter()
            .map(|query| (&query.id, &query.text, &query.answers, query.answerability))
            .collect();
        labels.sort_by_key(|(id, ..)| *id);
        Ok(sha256(&[&self.sha256, &serde_json::to_string(&labels)?]))
    }

    /// Returns the queries that have a relevant document, evenly spaced when there are more than `limit`.
    ///
    /// # Errors
    /// When there are none.
    pub fn judged_queries(&self, limit: Option<usize>) -> anyhow::Result<Vec<LabelledQuery>> {
        let judged: Vec<&LabelledQuery> = self
            .queries
            .iter()
            .filter(|query| !query.relevant.is_empty())
            .collect();
        ensure!(
            !judged.is_empty(),
            "no query of `{}` has a relevant document; check that qrels.tsv uses the ids of queries.jsonl",
            self.name
        );
        Ok(evenly(&judged, limit).into_iter().cloned().collect())
    }
}

fn label_files(dir: &Path) -> anyhow::Result<(String, String)> {
    Ok((
        read_text(dir, "queries.jsonl")?,
        read_text(dir, "qrels.tsv")?,
    ))
}

/// Joins queries with their judgements.
fn labelled(
    dir: &Path,
    queries: &str,
    qrels: &str,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Vec<LabelledQuery>> {
    let rows: Vec<QueryRow> = rows(dir, "queries.jsonl", queries)?;
    let rows = unique(rows, |row| &row.id, "queries", warnings);
    let mut qrels = read_qrels(dir, qrels)?;
    let labelled = rows
        .into_iter()
        .map(|row| LabelledQuery {
            relevant: qrels.remove(&row.id).unwrap_or_default(),
            id: row.id,
            text: row.text,
            answers: row.answers,
            answerability: if row.unanswerable {
                Answerability::Unanswerable
            } else {
                Answerability::Answerable
            },
        })
        .collect();
    if !qrels.is_empty() {
        warnings.push(format!(
            "qrels.tsv judges {} queries that queries.jsonl does not have",
            qrels.len()
        ));
    }
    Ok(labelled)
}

/// Reads judgements; those without a gain above 0 say that a document is not relevant, and are left out.
fn read_qrels(dir: &Path, text: &str) -> anyhow::Result<Qrels> {
    let mut qrels = Qrels::new();
    let lines = text.lines().enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let place = || format!("`{}` line {}", dir.join("qrels.tsv").display(), at + 1);
        let columns: Vec<&str> = line.split('\t').map(str::trim).collect();
        let [query, document, gain, ..] = columns[..] else {
            bail!(
                "{}: three columns separated by tabs are needed: query, document, gain",
                place()
            );
        };
        match gain.parse::<f64>() {
            Ok(gain) if !gain.is_finite() => bail!("{}: a gain must be finite", place()),
            Ok(gain) if gain > 0.0 => {
                let judged = qrels.entry(query.to_owned()).or_default();
                judged.insert(document.to_owned(), gain);
            }
            Ok(_) => {}
            Err(_) if at == 0 => {} // the header
            Err(_) => bail!("{}: `{gain}` is not a number", place()),
        }
    }
    Ok(qrels)
}

fn read_text(dir: &Path, name: &str) -> anyhow::Result<String> {
    Ok(fs_err::read_to_string(dir.join(name))?)
}

fn rows<T: DeserializeOwned>(dir: &Path, name: &str, text: &str) -> anyhow::Result<Vec<T>> {
    rows_of(&dir.join(name), text)
}

/// Reads the lines of a JSONL file.
pub(super) fn rows_of<T: DeserializeOwned>(file: &Path, text: &str) -> anyhow::Result<Vec<T>> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("`{}` line {}", file.display(), at + 1))
        })
        .collect()
}

/// Keeps the first of rows that share an id.
fn unique<T>(
    rows: Vec<T>,
    id: impl Fn(&T) -> &String,
    what: &str,
    warnings: &mut Vec<String>,
) -> Vec<T> {
    let n = rows.len();
    let mut seen = HashSet::new();
    let rows: Vec<T> = rows
        .into_iter()
        .filter(|row| seen.insert(id(row).clone()))
        .collect();
    if rows.len() < n {
        warnings.push(format!(
            "{} {what} share an id with an earlier one and were left out",
            n - rows.len()
        ));
    }
    rows
}

pub(super) fn folder_name(dir: &Path) -> String {
    // `.` and `..` have no name of their own.
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    dir.file_name().map_or_else(
        || dir.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Returns the sha256 of the texts one after the other, lower-case hex.
pub(crate) fn sha256(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.as_bytes());
    }
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads an id that is written as text or as a number.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(i64),
    }
    Ok(match Id::deserialize(deserializer)? {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    })
}

/// Reads `null` as the default.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(queries: &str, qrels: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let corpus = "{\"_id\": 7, \"title\": null, \"text\": \"seven\"}\n{\"_id\": \"b\", \"text\": \"B\"}\n";
        for (name, content) in [
            ("corpus.jsonl", corpus),
            ("queries.jsonl", queries),
            ("qrels.tsv", qrels),
        ] {
            fs_err::write(dir.path().join(name), content).unwrap();
        }
        dir
    }

    #[test]
    fn real_rows_are_read() {
        let queries = concat!(
            "{\"_id\": \"q1\", \"text\": \"one\", \"answers\": [\"x\"], \"doc\": \"unknown fields are ignored\"}\n",
            "{\"_id\": \"q2\", \"text\": \"two\", \"answers\": [], \"unanswerable\": true, \"near_passage\": \"7\"}\n",
            "\n",
            "{\"_id\": 3, \"text\": \"three\", \"answers\": null}\n",
        );
        let qrels =
            "query-id\tcorpus-id\tscore\nq1\t7\t2\nq1\tb\t0\n3\tb\t1\nq9\tb\t1\nq1\tgone\t1\n";
        let dir = folder(queries, qrels);
        let dataset = Dataset::read(dir.path()).unwrap();
        let corpus = dataset.corpus.as_ref().unwrap();
        assert_eq!(corpus.documents[0].id, "7");
        assert_eq!(corpus.documents[0].title, "");
        assert_eq!(dataset.queries.len(), 3);
        assert_eq!(
            dataset.queries[1].answerability,
            Answerability::Unanswerable
        );
        let judged = dataset.judged_queries(None).unwrap();
        let ids: Vec<&str> = judged.iter().map(|query| query.id.as_str()).collect();
        assert_eq!(
            ids,
            ["q1", "3"],
            "an unanswerable query is not asked for retrieval"
        );
        assert_eq!(
            judged[0].relevant,
            BTreeMap::from([("7".to_owned(), 2.0), ("gone".to_owned(), 1.0)])
        );
        assert_eq!(dataset.warnings.len(), 2, "{:?}", dataset.warnings);
    }

    #[test]
    fn a_hash_changes_with_labels_and_not_with_unjudged_queries() {
        let one = "{\"_id\": \"q1\", \"text\": \"one\"}\n";
        let with_unjudged = format!("{one}{{\"_id\": \"q2\", \"text\": \"two\"}}\n");
        let hash = |queries: &str, qrels: &str| {
            let dir = folder(queries, qrels);
            Dataset::read_labels(dir.path()).unwrap().sha256
        };
        let plain = hash(one, "q1\tb\t1\n");
        assert_eq!(
            plain,
            hash(&with_unjudged, "query\tdocument\tgain\nq1\tb\t1\n")
        );
        assert_ne!(plain, hash(one, "q1\tb\t2\n"));
        assert_ne!(
            plain,
            hash("{\"_id\": \"q1\", \"text\": \"One\"}\n", "q1\tb\t1\n")
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_line() {
        let one = "{\"_id\": \"q1\", \"text\": \"one\"}\n";
        for (queries, qrels, words) in [
            ("{\"_id\": \"q1\"}\n", "", ["queries.jsonl", "line 1"]),
            (one, "q1\tb\t1\nq1 b 1\n", ["qrels.tsv", "line 2"]),
            (one, "q1\tb\t1\nq1\tb\tmuch\n", ["line 2", "`much`"]),
            (one, "q1\tb\tinf\n", ["line 1", "finite"]),
        ] {
            let error = Dataset::read(folder(queries, qrels).path()).unwrap_err();
            let text = format!("{error:#}");
            for word in words {
                assert!(text.contains(word), "{text}");
            }
        }
        let unjudged = Dataset::read(folder(one, "").path()).unwrap();
        assert!(unjudged.judged_queries(None).is_err());
    }

    #[test]
    fn fewer_queries_are_evenly_spaced() {
        let queries = (0..10).map(|at| LabelledQuery {
            id: format!("q{at}"),
            text: String::new(),
            relevant: BTreeMap::from([("d".to_owned(), 1.0)]),
            answers: Vec::new(),
            answerability: Answerability::Answerable,
        });
        let dataset = Dataset::of_labels("set", queries.collect()).unwrap();
        let some = dataset.judged_queries(Some(3)).unwrap();
        let ids: Vec<&str> = some.iter().map(|query| query.id.as_str()).collect();
        assert_eq!(ids, ["q0", "q3", "q6"]);
        assert_eq!(dataset.judged_queries(Some(99)).unwrap().len(), 10);
    }
}
