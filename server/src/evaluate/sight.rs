//! What of an evaluation a reader gets to see.
//!
//! An evaluation of a collection is for those who may read the collection; for others it does not exist. Of its queries
//! those come without texts and names that name a document which is gone or which the reader may not read at this moment.
//! Figures stay: they are over all queries. Data sets with documents of their own are the operator's.

use super::record::{Record, Row, Summary};
use kura_indexer::{AccessFilter, CollectionId, DocumentId, Pipeline};
use std::collections::{BTreeMap, HashMap};

/// The documents of an evaluation that its reader may read, with the version that is served, by what rows call them.
#[derive(Debug)]
pub struct Sight {
    readable: HashMap<String, Option<u32>>,
    /// Whether the record says which documents its rows name; those of earlier versions do not.
    is_known: bool,
}

/// Returns the collections that one may read; `None` for whoever reads everything.
///
/// # Errors
/// Those of the catalog.
pub async fn readable_collections(
    pipeline: &Pipeline,
    access: &AccessFilter,
) -> kura_indexer::Result<Option<Vec<CollectionId>>> {
    match access.as_groups() {
        None => Ok(None),
        Some(groups) => Ok(Some(pipeline.readable_collections(groups).await?)),
    }
}

/// Returns whether an evaluation is for one who may read these collections, or everything.
#[must_use]
pub fn is_for(summary: &Summary, readable: Option<&[CollectionId]>) -> bool {
    let Some(readable) = readable else {
        return true;
    };
    let id = summary.dataset.collection_id.as_deref();
    id.is_some_and(|id| readable.iter().any(|known| known.to_string() == id))
}

impl Sight {
    /// Finds out which of the documents that an evaluation names may be read at this moment.
    ///
    /// # Errors
    /// Those of the catalog.
    pub async fn of(
        record: &Record,
        pipeline: &Pipeline,
        access: &AccessFilter,
    ) -> kura_indexer::Result<Self> {
        let id = |id: &String| id.parse::<DocumentId>().ok();
        let ids: Vec<DocumentId> = record.documents.values().filter_map(id).collect();
        let readable = pipeline.readable_documents(ids.clone(), access).await?;
        let visible = pipeline.visible_versions(ids).await?;
        let named = record.documents.iter();
        let readable = named.filter_map(|(name, of)| {
            let id = id(of).filter(|id| readable.contains(id))?;
            Some((name.clone(), visible.get(&id).copied()))
        });
        Ok(Self {
            readable: readable.collect(),
            is_known: record.summary.dataset.collection_id.is_some(),
        })
    }

    /// Leaves out of a record what its reader may not see.
    #[must_use]
    pub fn applied(&self, mut record: Record) -> Record {
        if !self.is_known {
            return record;
        }
        let documents = std::mem::take(&mut record.documents);
        for row in &mut record.queries {
            self.apply(row, &documents);
        }
        record
            .titles
            .retain(|name, _| self.readable.contains_key(name));
        record.documents = documents;
        record
            .documents
            .retain(|name, _| self.readable.contains_key(name));
        let n_withheld = record.queries.iter().filter(|row| row.withheld).count();
        if n_withheld > 0 {
            record.summary.warnings.push(format!(
                "{n_withheld} queries are shown without texts and names, as documents that they name are gone, were \
                 replaced or are not for you; the figures are over all queries"
            ));
        }
        record
    }

    fn apply(&self, row: &mut Row, documents: &BTreeMap<String, String>) {
        // What is no document of the collection is a name that the asker made up.
        let is_hidden =
            |name: &str| documents.contains_key(name) && !self.readable.contains_key(name);
        if row.documents().any(is_hidden) {
            row.withheld = true;
            row.text.clear();
            row.relevant.clear();
            row.answers.clear();
            row.evidence = None;
            for stage in &mut row.stages {
                stage.ranking.clear();
                stage.answer = None;
            }
            return;
        }
        for stage in &mut row.stages {
            let is_current = stage
                .answer
                .iter()
                .flat_map(|answer| &answer.read)
                .all(|read| self.readable.get(&read.document) == Some(&Some(read.version)));
            if !is_current {
                row.withheld = true;
                stage.answer = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::super::record::{Answered, ReadVersion};
    use super::*;
    use uuid::Uuid;

    fn sight(readable: &[(&str, u32)]) -> Sight {
        let readable = readable.iter();
        Sight {
            readable: readable
                .map(|(name, version)| ((*name).to_owned(), Some(*version)))
                .collect(),
            is_known: true,
        }
    }

    /// One query that finds `d1`, the next of which is answered from version 2 of `d2`.
    fn evaluated() -> Record {
        let mut record = record(&[1.0, 0.5]);
        let other = &mut record.queries[1];
        other.relevant.clear();
        for stage in &mut other.stages {
            stage.ranking.clear();
        }
        other.stages[0].answer = Some(Answered {
            refused: false,
            text: "zirkonvogel".to_owned(),
            support: 1.0,
            cited: vec!["d2".to_owned()],
            read: vec![ReadVersion {
                document: "d2".to_owned(),
                version: 2,
            }],
            flagged: Vec::new(),
        });
        for name in ["d1", "d2"] {
            record
                .documents
                .insert(name.to_owned(), Uuid::now_v7().to_string());
            record
                .titles
                .insert(name.to_owned(), format!("title of {name}"));
        }
        record
    }

    #[test]
    fn rows_that_name_what_is_hidden_have_figures_only() {
        let all = evaluated();
        let seen = sight(&[("d1", 1), ("d2", 2)]).applied(all.clone());
        assert_eq!(seen, all);

        let seen = sight(&[("d2", 2)]).applied(all.clone());
        let row = &seen.queries[0];
        assert!(row.withheld && row.text.is_empty() && row.documents().next().is_none());
        assert_eq!(row.stages[0].metrics, all.queries[0].stages[0].metrics);
        assert_eq!(seen.queries[1], all.queries[1]);
        // Whole names: the random ids beside them are hexadecimal and may well hold "d1".
        let page = serde_json::to_string(&seen).unwrap();
        assert!(!page.contains("\"d1\"") && !page.contains("title of d1"));
        assert_eq!(seen.summary.warnings.len(), 1);
    }

    #[test]
    fn an_answer_from_a_version_that_was_replaced_is_left_out_and_its_query_stays() {
        let all = evaluated();
        let seen = sight(&[("d1", 1), ("d2", 3)]).applied(all.clone());
        let row = &seen.queries[1];
        assert!(row.withheld && row.stages[0].answer.is_none());
        assert_eq!(row.text, all.queries[1].text);
        assert!(
            !serde_json::to_string(&seen)
                .unwrap()
                .contains("zirkonvogel")
        );
    }

    #[test]
    fn an_evaluation_is_for_those_who_may_read_its_collection() {
        let mut summary = evaluated().summary;
        let [own, other] = [CollectionId(Uuid::now_v7()), CollectionId(Uuid::now_v7())];
        assert!(is_for(&summary, None));
        assert!(!is_for(&summary, Some(&[own])), "whose it is is not known");
        summary.dataset.collection_id = Some(own.to_string());
        assert!(is_for(&summary, Some(&[own])) && is_for(&summary, None));
        assert!(!is_for(&summary, Some(&[other])));
    }
}
