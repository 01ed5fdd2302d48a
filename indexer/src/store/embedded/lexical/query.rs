//! A text and the dictionary's concepts in it → queries → ranked documents.

use super::super::Scope;
use super::Fields;
use super::bm25::term_query;
use crate::access::GroupId;
use crate::analyze::{Analysis, Term as Word, analyze, grams, is_unspaced};
use crate::dictionary::Concept;
use crate::error::Result;
use crate::filter::{Condition, Day};
use crate::store::Bm25;
use std::collections::HashSet;
use std::ops::{Bound, Range, RangeInclusive};
use tantivy::collector::TopDocs;
use tantivy::query::{
    BooleanQuery, BoostQuery, ConstScoreQuery, DisjunctionMaxQuery, Occur, PhraseQuery, Query,
    RangeQuery, RegexQuery, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocAddress, Searcher, Term};

/// From so many values on, a set query is faster than a disjunction of terms (measured with 3 to 150 groups).
const SET_QUERY_FROM: usize = 32;

/// Most distinct terms of a query in one field, to bound the work a single request can ask for.
const MAX_QUERY_TERMS: usize = 256;

/// Longer queries are not sought as they are written: no passage has them to the letter, and if one has, its words
/// are enough to find it.
const MAX_LITERAL_SIGNS: usize = 128;

// A chunk's score is the sum of BM25 over the fields, times these weights. They were chosen by the mean over eleven data
// sets: docs/BENCHMARKS.md, "Keyword leg", has what was tried. The sets have no headings; those follow the title.
const WORDS_WEIGHT: f32 = 1.0;
const TITLE_WEIGHT: f32 = 0.4;
const HEADINGS_WEIGHT: f32 = 0.4;
const BIGRAMS_WEIGHT: f32 = 0.3;

/// Marks a document that has the text as it is written; higher than any score, and low enough to keep a score's digits.
const AS_WRITTEN: f32 = 8192.0;

/// Shortest part of a word to look for, and most of them in a query: each costs a walk through all terms.
const MIN_FRAGMENT_CHARS: usize = 3;
const MAX_FRAGMENTS: usize = 4;

/// A dictionary term that stands in a document as a whole counts so much more than its words here and there.
const WHOLE_TERM_BOOST: f32 = 1.25;

type Clauses = Vec<(Occur, Box<dyn Query>)>;

/// Returns the best `limit` documents with their scores, in no certain order.
///
/// A score is a weighted sum of BM25 over the fields. Documents that have the whole text word by word come before all
/// others, and before those, documents that have it as it is written: to their scores the highest one is added once or
/// twice. They are found by a search of their own, because a phrase among the alternatives would keep tantivy from
/// skipping what cannot rank. If nothing is found, words that the text's words are parts of are the last resort
/// (`0x8007` for `0x80070005`).
pub(super) fn rank(
    searcher: &Searcher,
    fields: &Fields,
    text: &str,
    concepts: &[Concept],
    bm25: Bm25,
    scope: &Scope,
    limit: usize,
) -> Result<Vec<(f32, DocAddress)>> {
    let top = || TopDocs::with_limit(limit).order_by_score();
    let any = BooleanQuery::new(fields.any(text, concepts, bm25));
    let found = if any.clauses().is_empty() {
        Vec::new()
    } else {
        let mut all = fields.permitted(scope);
        all.push((Occur::Must, Box::new(any.clone())));
        searcher.search(&BooleanQuery::new(all), &top())?
    };
    let Some(literal) = fields.literal(text) else {
        return Ok(found);
    };
    let mut all = fields.permitted(scope);
    all.push((Occur::Must, unscored(literal)));
    all.push((Occur::Should, Box::new(any)));
    // Text without Japanese has no bigrams: there the words are what is written.
    if let Some(written) = fields.written(text).filter(|_| is_unspaced(text)) {
        let marked = ConstScoreQuery::new(written, AS_WRITTEN);
        all.push((Occur::Should, Box::new(marked)));
    }
    let literal: Vec<(bool, f32, DocAddress)> = searcher
        .search(&BooleanQuery::new(all), &top())?
        .into_iter()
        .map(|(score, at)| match score - AS_WRITTEN {
            rest if rest >= 0.0 => (true, rest, at),
            _ => (false, score, at),
        })
        .collect();
    if found.is_empty() && literal.is_empty() {
        let mut all = fields.permitted(scope);
        let Some(fragments) = fields.fragments(text)? else {
            return Ok(found);
        };
        all.push((Occur::Must, fragments));
        return Ok(searcher.search(&BooleanQuery::new(all), &top())?);
    }
    let scores = literal.iter().map(|&(_, score, _)| score);
    let best = scores
        .chain(found.iter().map(|&(score, _)| score))
        .fold(0.0, f32::max);
    let known: HashSet<DocAddress> = literal.iter().map(|&(_, _, at)| at).collect();
    let mut ranked: Vec<_> = literal
        .into_iter()
        .map(|(written, score, at)| (score + if written { 2.0 } else { 1.0 } * best, at))
        .collect();
    let others = found.into_iter().filter(|(_, at)| !known.contains(at));
    ranked.extend(others.take(limit.saturating_sub(known.len())));
    Ok(ranked)
}

impl Fields {
    /// Returns what may be found.
    fn permitted(&self, scope: &Scope) -> Clauses {
        let mut all: Clauses = Vec::new();
        if let Some(groups) = &scope.groups {
            for (occur, field) in [(Occur::Must, self.acl), (Occur::MustNot, self.denied)] {
                let terms = groups
                    .iter()
                    .map(|GroupId(group)| Term::from_field_text(field, group));
                all.push((occur, any_of(terms.collect())));
            }
        }
        if let Some(collections) = &scope.collections {
            let terms = collections.iter().map(|&id| self.collection_term(id));
            all.push((Occur::Must, any_of(terms.collect())));
        }
        for condition in &scope.conditions {
            all.push(match condition {
                Condition::AnyOf(name, values) => {
                    let field = self.name_field(*name);
                    let terms = values
                        .iter()
                        .map(|value| Term::from_field_text(field, value));
                    (Occur::Must, any_of(terms.collect()))
                }
                Condition::Within(day, range) => (Occur::Must, unscored(self.days(*day, range))),
                Condition::Without(day, range) => (Occur::MustNot, self.days(*day, range)),
            });
        }
        all
    }

    fn days(&self, day: Day, range: &RangeInclusive<u64>) -> Box<dyn Query> {
        let term = |number: &u64| Term::from_field_u64(self.day_field(day), *number);
        Box::new(RangeQuery::new(
            Bound::Included(term(range.start())),
            Bound::Included(term(range.end())),
        ))
    }

    /// Returns what a document may have of a text: words and bigrams, and for each place that the dictionary knows the
    /// best of what may stand there.
    fn any(&self, text: &str, concepts: &[Concept], bm25: Bm25) -> Clauses {
        if concepts.is_empty() {
            return self.bag(&analyze(text), false, bm25);
        }
        let mut clauses: Clauses = Vec::new();
        let mut rest = Analysis::default();
        let mut at = 0;
        for same in concepts.chunk_by(|a, b| a.span == b.span) {
            let Range { start, end } = same[0].span.clone();
            rest.append(analyze(&text[at..start]));
            at = end;
            let concept = self.concept(&text[start..end], same, bm25);
            clauses.push((Occur::Should, concept));
        }
        rest.append(analyze(&text[at..]));
        clauses.extend(self.bag(&rest, true, bm25));
        clauses
    }

    /// Returns the words and bigrams of a text, each a clause of its own.
    fn bag(&self, analysis: &Analysis, without_stops: bool, bm25: Bm25) -> Clauses {
        let words = analysis
            .query_words()
            .filter(|word| !(without_stops && word.stop));
        let words: Vec<&str> = distinct(words.map(|word| &word.text));
        let mut any: Clauses = Vec::new();
        for (field, boost) in [
            (self.words, WORDS_WEIGHT),
            (self.title, TITLE_WEIGHT),
            (self.headings, HEADINGS_WEIGHT),
        ] {
            let clauses = words.iter().map(|word| should(field, word, boost, bm25));
            any.extend(clauses);
        }
        for gram in distinct(analysis.bigrams.iter()) {
            let single = gram.chars().nth(1).is_none();
            let field = if single { self.kanji } else { self.bigrams };
            any.push(should(field, gram, BIGRAMS_WEIGHT, bm25));
        }
        any
    }

    /// Returns the best of what a term and its alternatives score. An alternative must stand there as a whole, in its
    /// own collection: of `virtual private network` the word `network` alone is not what was asked for.
    fn concept(&self, written: &str, concepts: &[Concept], bm25: Bm25) -> Box<dyn Query> {
        let bag = |form: &str| Box::new(BooleanQuery::new(self.bag(&analyze(form), false, bm25)));
        let whole = |form: &str| -> Option<Clauses> {
            let literal = self.literal(form)?;
            Some(vec![
                (Occur::Must, unscored(literal)),
                (Occur::Should, bag(form)),
            ])
        };
        let boosted = |clauses: Clauses| -> Box<dyn Query> {
            Box::new(BoostQuery::new(
                Box::new(BooleanQuery::new(clauses)),
                WHOLE_TERM_BOOST,
            ))
        };
        let mut best: Vec<Box<dyn Query>> = vec![bag(written)];
        best.extend(whole(written).map(boosted));
        for concept in concepts {
            for alternative in &concept.alternatives {
                let Some(mut clauses) = whole(alternative) else {
                    continue;
                };
                let own = any_of(vec![self.collection_term(concept.collection)]);
                clauses.push((Occur::Must, own));
                best.push(boosted(clauses));
            }
        }
        Box::new(DisjunctionMaxQuery::new(best))
    }

    /// Returns the query for documents that have a text as it is written, or word by word in another spelling;
    /// `None` if it has nothing to look for, or too much.
    fn literal(&self, text: &str) -> Option<Box<dyn Query>> {
        let written = self.written(text)?;
        let mut words: Vec<(usize, &str)> = Vec::new();
        let analysis = analyze(text);
        for Word { text, position, .. } in &analysis.words {
            // Of a compound and its parts the parts come last.
            match words.last_mut() {
                Some((last, word)) if last == position => *word = text,
                _ => words.push((*position, text)),
            }
        }
        let spelled = phrase(self.words, &words);
        let either = spelled.into_iter().chain([written]);
        let either = either.map(|query| (Occur::Should, query)).collect();
        Some(Box::new(BooleanQuery::new(either)))
    }

    /// Returns the query for documents that have a text as it is written; `None` as for [`Self::literal`].
    fn written(&self, text: &str) -> Option<Box<dyn Query>> {
        let grams: Vec<_> = grams(text).into_iter().filter(|gram| !gram.open).collect();
        let signs = grams.last()?.position - grams.first()?.position;
        if signs > MAX_LITERAL_SIGNS {
            return None;
        }
        // Every second bigram covers every character; where signs separate, the one before them is needed too.
        let mut kept: Vec<(usize, &str)> = Vec::new();
        for (at, gram) in grams.iter().enumerate() {
            let follows = kept
                .last()
                .is_some_and(|&(last, _)| last + 1 == gram.position);
            let goes_on = grams
                .get(at + 1)
                .is_some_and(|next| next.position == gram.position + 1);
            if !follows || !goes_on {
                kept.push((gram.position, &gram.text));
            }
        }
        phrase(self.bigrams, &kept)
    }

    /// Returns the query for documents with words that a text's words are parts of; `None` if none is long enough.
    fn fragments(&self, text: &str) -> Result<Option<Box<dyn Query>>> {
        let analysis = analyze(text);
        let words = distinct(analysis.query_words().map(|word| &word.text)).into_iter();
        // Letters and digits have no meaning in a pattern.
        let fragments = words.filter(|word| {
            word.len() >= MIN_FRAGMENT_CHARS && word.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        let mut any: Clauses = Vec::new();
        for word in fragments.take(MAX_FRAGMENTS) {
            let query = RegexQuery::from_pattern(&format!(".*{word}.*"), self.words)?;
            any.push((Occur::Should, Box::new(query)));
        }
        Ok((!any.is_empty()).then(|| Box::new(BooleanQuery::new(any)) as Box<dyn Query>))
    }
}

fn phrase(field: Field, terms: &[(usize, &str)]) -> Option<Box<dyn Query>> {
    let term = |text: &str| Term::from_field_text(field, text);
    match terms {
        [] => None,
        [(_, only)] => Some(Box::new(TermQuery::new(
            term(only),
            IndexRecordOption::Basic,
        ))),
        [(first, _), ..] => {
            let terms = terms.iter().map(|(at, text)| (at - first, term(text)));
            Some(Box::new(PhraseQuery::new_with_offset(terms.collect())))
        }
    }
}

fn should(field: Field, text: &str, boost: f32, bm25: Bm25) -> (Occur, Box<dyn Query>) {
    let term = term_query(Term::from_field_text(field, text), bm25);
    (Occur::Should, Box::new(BoostQuery::new(term, boost)))
}

/// Matches documents with any of `terms`, without changing scores.
fn any_of(terms: Vec<Term>) -> Box<dyn Query> {
    unscored(if terms.len() < SET_QUERY_FROM {
        Box::new(BooleanQuery::new_multiterms_query(terms))
    } else {
        Box::new(TermSetQuery::new(terms))
    })
}

fn unscored(query: Box<dyn Query>) -> Box<dyn Query> {
    Box::new(ConstScoreQuery::new(query, 0.0))
}

/// Returns the first [`MAX_QUERY_TERMS`] different terms.
fn distinct<'a>(terms: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    terms
        .map(String::as_str)
        .filter(|term| seen.insert(*term))
        .take(MAX_QUERY_TERMS)
        .collect()
}
