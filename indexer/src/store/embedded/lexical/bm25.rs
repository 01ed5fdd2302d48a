//! BM25 with any k1 and b; tantivy's are constants.

use crate::store::Bm25;
use std::sync::Arc;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::query::{EmptyScorer, EnableScoring, Explanation, Query, Scorer, TermQuery, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, Score, SegmentReader, TantivyError, Term};

/// What tantivy's own queries score with.
const TANTIVYS: Bm25 = Bm25 { k1: 1.2, b: 0.75 };

/// Returns the query for documents with a term, scored by BM25.
pub(super) fn term_query(term: Term, bm25: Bm25) -> Box<dyn Query> {
    if bm25 == TANTIVYS {
        Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))
    } else {
        Box::new(Bm25Query { term, bm25 })
    }
}

#[derive(Debug, Clone)]
struct Bm25Query {
    term: Term,
    bm25: Bm25,
}

struct Bm25Weight {
    term: Term,
    /// The most that one document can get, that is, for endlessly many occurrences.
    most: Score,
    /// Occurrences that give half of it, by the code of the field's length.
    half: Arc<[Score; 256]>,
}

struct Bm25Scorer {
    postings: SegmentPostings,
    lengths: FieldNormReader,
    most: Score,
    half: Arc<[Score; 256]>,
}

impl Query for Bm25Query {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let EnableScoring::Enabled {
            statistics_provider: statistics,
            ..
        } = scoring
        else {
            return TermQuery::new(self.term.clone(), IndexRecordOption::Basic).weight(scoring);
        };
        let Bm25 { k1, b } = self.bm25;
        let n_documents = statistics.total_num_docs()? as Score;
        let n_with_term = statistics.doc_freq(&self.term)? as Score;
        let rarity = (1.0 + (n_documents - n_with_term + 0.5) / (n_with_term + 0.5)).ln();
        let n_tokens = statistics.total_num_tokens(self.term.field())? as Score;
        let mean_length = n_tokens / n_documents;
        let half = std::array::from_fn(|code| {
            let length = FieldNormReader::id_to_fieldnorm(code as u8) as Score;
            k1 * (1.0 - b + b * length / mean_length)
        });
        Ok(Box::new(Bm25Weight {
            term: self.term.clone(),
            most: rarity * (k1 + 1.0),
            half: Arc::new(half),
        }))
    }

    fn query_terms<'a>(&'a self, visitor: &mut dyn FnMut(&'a Term, bool)) {
        visitor(&self.term, false);
    }
}

impl Weight for Bm25Weight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let field = self.term.field();
        let postings = reader
            .inverted_index(field)?
            .read_postings(&self.term, IndexRecordOption::WithFreqs)?;
        let Some(postings) = postings else {
            return Ok(Box::new(EmptyScorer));
        };
        Ok(Box::new(Bm25Scorer {
            postings,
            lengths: reader.get_fieldnorms_reader(field)?,
            most: self.most * boost,
            half: Arc::clone(&self.half),
        }))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        let mut scorer = self.scorer(reader, 1.0)?;
        if scorer.doc() > doc || scorer.seek(doc) != doc {
            return Err(TantivyError::InvalidArgument(format!(
                "document {doc} does not have the term"
            )));
        }
        Ok(Explanation::new("BM25", scorer.score()))
    }
}

impl DocSet for Bm25Scorer {
    fn advance(&mut self) -> DocId {
        self.postings.advance()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.postings.seek(target)
    }

    fn doc(&self) -> DocId {
        self.postings.doc()
    }

    fn size_hint(&self) -> u32 {
        self.postings.size_hint()
    }
}

impl Scorer for Bm25Scorer {
    fn score(&mut self) -> Score {
        let occurrences = self.postings.term_freq() as Score;
        let half = self.half[usize::from(self.lengths.fieldnorm_id(self.doc()))];
        self.most * occurrences / (occurrences + half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tantivy::collector::TopDocs;
    use tantivy::query::{BooleanQuery, BoostQuery, Occur};
    use tantivy::schema::{Field, STRING, Schema, TEXT};
    use tantivy::{Index, Searcher, TantivyDocument};

    /// 60 documents in two segments: document `n` has `one` `n % 7` times, `two` once in every third, and `n` words
    /// beside.
    fn index() -> (Searcher, [Field; 2]) {
        let mut schema = Schema::builder();
        let text = schema.add_text_field("text", TEXT);
        let tag = schema.add_text_field("tag", STRING);
        let index = Index::create_in_ram(schema.build());
        let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        for n in 0..60 {
            let mut words = vec!["one"; n % 7];
            words.extend((n % 3 == 0).then_some("two"));
            words.extend(std::iter::repeat_n("filler", n));
            let mut document = TantivyDocument::default();
            document.add_text(text, words.join(" "));
            document.add_text(tag, if n % 2 == 0 { "even" } else { "odd" });
            writer.add_document(document).unwrap();
            if n == 30 {
                writer.commit().unwrap();
            }
        }
        writer.commit().unwrap();
        (index.reader().unwrap().searcher(), [text, tag])
    }

    /// Searches for three terms in two fields; `make` is how a term is scored. Best first.
    fn search(make: fn(Term, Bm25) -> Box<dyn Query>, bm25: Bm25) -> Vec<(u32, u32, f32)> {
        let (searcher, [text, tag]) = index();
        let boosted = |field, word, boost| -> (Occur, Box<dyn Query>) {
            let query = make(Term::from_field_text(field, word), bm25);
            (Occur::Should, Box::new(BoostQuery::new(query, boost)))
        };
        let query = BooleanQuery::new(vec![
            boosted(text, "one", 1.0),
            boosted(text, "two", 0.4),
            boosted(tag, "odd", 0.3),
            boosted(text, "absent", 1.0),
        ]);
        let found = searcher.search(&query, &TopDocs::with_limit(100).order_by_score());
        let found = found.unwrap().into_iter();
        let mut found: Vec<_> = found
            .map(|(score, at)| (at.segment_ord, at.doc_id, score))
            .collect();
        found.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
        found
    }

    fn own(term: Term, bm25: Bm25) -> Box<dyn Query> {
        Box::new(Bm25Query { term, bm25 })
    }

    #[test]
    fn with_tantivys_parameters_the_scores_are_tantivys() {
        let (own, tantivys) = (search(own, TANTIVYS), search(term_query, TANTIVYS));
        assert!(own.len() > 50, "{}", own.len());
        assert_eq!(own.len(), tantivys.len());
        for (own, tantivys) in own.iter().zip(&tantivys) {
            assert_eq!((own.0, own.1), (tantivys.0, tantivys.1));
            assert!((own.2 - tantivys.2).abs() < 1e-4, "{own:?} {tantivys:?}");
        }
    }

    #[test]
    fn without_b_the_length_does_not_count_and_without_k1_neither_do_occurrences() {
        let (searcher, [text, _]) = index();
        let scores = |bm25: Bm25| {
            let query = term_query(Term::from_field_text(text, "one"), bm25);
            let found = searcher.search(&*query, &TopDocs::with_limit(100).order_by_score());
            let mut scores: Vec<f32> = found.unwrap().iter().map(|(score, _)| *score).collect();
            assert_eq!(scores.len(), 51);
            scores.dedup();
            scores
        };
        assert!(scores(TANTIVYS).len() > 40);
        let by_occurrences = scores(Bm25 { k1: 1.2, b: 0.0 });
        assert_eq!(by_occurrences.len(), 6, "one to six occurrences");
        assert_eq!(scores(Bm25 { k1: 0.0, b: 0.75 }).len(), 1);
    }
}
