//! What stored evaluations hold of documents, people and words that are to be forgotten.
//!
//! Figures stay: they say nothing about anyone. Names of documents, questions and answers go.

use super::record::{Record, Row};
use super::records::Records;
use crate::forget::Words;
use kura_indexer::catalog::Doomed;
use std::collections::HashSet;

/// What stands where something was forgotten.
const FORGOTTEN: &str = "forgotten";

/// By what is to be forgotten is known in evaluations.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    /// Documents.
    pub documents: Vec<Doomed>,
    /// Questions of people.
    pub questions: HashSet<String>,
    /// Ids of answers that people got.
    pub answers: HashSet<String>,
    /// Words.
    pub words: Words,
}

/// What there is of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Evaluations that change.
    pub evaluations: u64,
    /// Queries in them whose texts go.
    pub queries: u64,
    /// Evaluations that cannot be read, and so not be changed.
    pub unreadable: Vec<String>,
}

impl Records {
    /// Returns what is kept of something; with `erase`, it is taken out. Doing it again changes nothing. Blocking.
    ///
    /// # Errors
    /// When the folder cannot be read, or a record not be written.
    pub fn forget(&self, traces: &Traces, erase: bool) -> anyhow::Result<Found> {
        let mut found = Found::default();
        for id in self.ids()? {
            let Ok(mut record) = self.read(id) else {
                found.unreadable.push(id.to_string());
                continue;
            };
            let before = record.clone();
            found.queries += traces.strike(&mut record);
            if record != before {
                found.evaluations += 1;
                if erase {
                    self.write(&record)?;
                }
            }
        }
        Ok(found)
    }
}

impl Traces {
    /// Takes what is to be forgotten out of a record; returns how many queries lost their texts.
    fn strike(&self, record: &mut Record) -> u64 {
        let collection = record.summary.dataset.collection.as_deref();
        // By source within the collection that was searched, or by id. A set with documents of its own names those.
        let names: HashSet<String> = self
            .documents
            .iter()
            .filter(|document| collection == Some(document.collection.as_str()))
            .flat_map(|document| [document.source.clone(), document.id.to_string()])
            .collect();
        let mut struck = 0;
        for (row, n) in record.queries.iter_mut().zip(1..) {
            if self.is_about(row, &names) {
                struck += u64::from(row.text != FORGOTTEN);
                strike_row(row, n);
            }
            strike_names(row, &names);
        }
        let stays = |source: &String| !names.contains(source) && !self.words.any_in(source);
        record.documents.retain(|source, _| stays(source));
        record
            .titles
            .retain(|source, title| stays(source) && !self.words.any_in(title));
        let summary = &mut record.summary;
        for text in [&mut summary.name, &mut summary.dataset.name] {
            strike_text(text, &self.words);
        }
        for text in summary.warnings.iter_mut().chain(&mut summary.error) {
            strike_text(text, &self.words);
        }
        struck
    }

    /// Returns whether a query, or what was answered, tells of what is to be forgotten.
    fn is_about(&self, row: &Row, names: &HashSet<String>) -> bool {
        let mut answers = row.stages.iter().filter_map(|stage| stage.answer.as_ref());
        let cites = answers.any(|answer| answer.cited.iter().any(|cited| names.contains(cited)));
        let of_answer = row.id.strip_prefix("feedback-");
        let says = || {
            let json = serde_json::to_value(row).unwrap_or_default();
            texts_of(&json).iter().any(|text| self.words.any_in(text))
        };
        cites
            || row.relevant.keys().any(|name| names.contains(name))
            || self.questions.contains(row.text.trim())
            || of_answer.is_some_and(|answer| self.answers.contains(answer))
            || (!self.words.is_empty() && says())
    }
}

/// Takes all texts out of a row. Its place gives it a name, so that runs of the same set still compare.
fn strike_row(row: &mut Row, n: usize) {
    row.id = format!("{FORGOTTEN}-{n}");
    FORGOTTEN.clone_into(&mut row.text);
    row.relevant.clear();
    row.answers.clear();
    row.evidence = None;
    for stage in &mut row.stages {
        stage.ranking.clear();
        stage.answer = None;
    }
}

/// Takes the names of documents out of what was found for other queries, and answers whose writer read them.
fn strike_names(row: &mut Row, names: &HashSet<String>) {
    for stage in &mut row.stages {
        stage.answer.take_if(|answer| {
            let mut read = answer.read.iter();
            read.any(|read| names.contains(&read.document))
        });
    }
    let ranked = row.stages.iter_mut().flat_map(|stage| &mut stage.ranking);
    for ranked in ranked.filter(|ranked| names.contains(&ranked.document)) {
        FORGOTTEN.clone_into(&mut ranked.document);
    }
}

fn strike_text(text: &mut String, words: &Words) {
    if words.any_in(text) {
        FORGOTTEN.clone_into(text);
    }
}

/// Returns every text in a value, names of fields included.
fn texts_of(value: &serde_json::Value) -> Vec<&str> {
    use serde_json::Value;
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts_of).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| std::iter::once(name.as_str()).chain(texts_of(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;
    use kura_indexer::DocumentId;
    use uuid::Uuid;

    fn doomed(collection: &str, source: &str) -> Doomed {
        Doomed {
            id: DocumentId(Uuid::now_v7()),
            collection: collection.to_owned(),
            source: source.to_owned(),
            sha256: Default::default(),
        }
    }

    #[test]
    fn texts_and_names_go_and_figures_stay() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::of(dir.path());
        let mut of_hr = record(&[1.0, 0.5]);
        of_hr.summary.dataset.collection = Some("hr".to_owned());
        of_hr.queries[1].relevant = [("d2".to_owned(), 1.0)].into();
        of_hr
            .titles
            .insert("d1".to_owned(), "Zirkonvogel".to_owned());
        of_hr.documents.insert("d1".to_owned(), "7".to_owned());
        of_hr.documents.insert("d2".to_owned(), "8".to_owned());
        let elsewhere = record(&[1.0]);
        records.write(&of_hr).unwrap();
        records.write(&elsewhere).unwrap();

        let traces = Traces {
            documents: vec![doomed("hr", "d1"), doomed("sales", "d2")],
            ..Traces::default()
        };
        let expected = Found {
            evaluations: 1,
            queries: 1,
            unreadable: Vec::new(),
        };
        assert_eq!(records.forget(&traces, false).unwrap(), expected);
        assert_eq!(
            records.read(of_hr.summary.id).unwrap(),
            of_hr,
            "nothing is changed"
        );
        assert_eq!(records.forget(&traces, true).unwrap(), expected);
        let left = records.read(of_hr.summary.id).unwrap();
        assert_eq!(left.queries[0].text, FORGOTTEN);
        assert_eq!(
            left.queries[1].text, "query 1",
            "it is about another document"
        );
        assert_eq!(left.queries[1].stages[0].ranking[0].document, FORGOTTEN);
        assert_eq!(left.summary.stages, of_hr.summary.stages);
        assert!(left.titles.is_empty());
        assert_eq!(left.documents.keys().collect::<Vec<_>>(), ["d2"]);
        assert_eq!(records.read(elsewhere.summary.id).unwrap(), elsewhere);
        assert_eq!(records.forget(&traces, true).unwrap(), Found::default());
    }

    #[test]
    fn questions_and_words_of_people_go() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::of(dir.path());
        let mut made = record(&[1.0, 0.5, 0.2]);
        made.queries[1].answers = vec!["Ask Zirkonvogel.".to_owned()];
        made.queries[2].id = "feedback-17".to_owned();
        records.write(&made).unwrap();
        let traces = Traces {
            questions: HashSet::from(["query 0".to_owned()]),
            answers: HashSet::from(["17".to_owned()]),
            words: Words::new(vec!["zirkonvogel".to_owned()]),
            ..Traces::default()
        };
        assert_eq!(records.forget(&traces, true).unwrap().queries, 3);
        let left = fs_err::read_to_string(records.path(made.summary.id)).unwrap();
        assert!(
            !left.contains("query") && !left.contains("Zirkon"),
            "{left}"
        );
    }
}
