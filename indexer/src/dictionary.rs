//! A collection's own words: terms with their readings, synonyms and abbreviations.
//!
//! A dictionary changes queries, never an index, so it takes effect with the next search. Where a query has one of an
//! entry's forms, the others are sought too, each as a whole, and the best of them counts.

mod file;
mod kept;

pub(crate) use kept::Dictionaries;

use crate::CollectionId;
use crate::analyze::{analyze, surface};
use crate::error::Result;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Most alternatives that one place in a query gets, to bound the work a single request can ask for.
const MAX_ALTERNATIVES: usize = 16;

/// Longer queries are expanded in their first signs only.
const MAX_QUERY_SIGNS: usize = 2_000;

/// The words of one collection.
#[derive(Debug, Default)]
pub struct Dictionary {
    entries: Vec<Entry>,
    /// Entries by [`surface`] of each form.
    by_surface: HashMap<String, Vec<usize>>,
    /// Lengths of the surfaces in characters, longest first.
    lengths: Vec<usize>,
    /// Entries by the terms of each form: finds other spellings and inflections.
    by_terms: HashMap<Vec<String>, Vec<usize>>,
    /// Most terms of a form.
    max_terms: usize,
}

/// A term and what else it is called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The term itself.
    pub term: String,
    /// How it is read, in kana.
    pub readings: Vec<String>,
    /// Other words for it.
    pub synonyms: Vec<String>,
    /// Short forms of it.
    pub abbreviations: Vec<String>,
}

/// What a dictionary knows of a place in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concept {
    /// The place: a byte range in the query.
    pub span: Range<usize>,
    /// The collection whose dictionary it is, and to whose documents it applies.
    pub collection: CollectionId,
    /// What else may stand there, the term itself first.
    pub alternatives: Vec<String>,
}

/// A query with what dictionaries add to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expansion {
    /// By place; places do not overlap. Several dictionaries may know the same place.
    pub concepts: Vec<Concept>,
    /// The query for an embedder: the term itself stands in parentheses after a form of it that a model may not know.
    pub text_for_embedding: String,
}

impl Entry {
    /// Returns the term and all its other forms.
    fn forms(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.term)
            .chain(&self.synonyms)
            .chain(&self.abbreviations)
            .chain(&self.readings)
    }
}

impl Dictionary {
    /// Reads a CSV file; see `docs/SEARCH.md` for its columns.
    ///
    /// # Errors
    /// [`crate::Error::InvalidDictionary`] with every problem and its line.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        file::parse(bytes).map(Self::new)
    }

    fn new(entries: Vec<Entry>) -> Self {
        let mut by_surface: HashMap<String, Vec<usize>> = HashMap::new();
        let mut by_terms: HashMap<Vec<String>, Vec<usize>> = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            let add = |known: &mut Vec<usize>| {
                if known.last() != Some(&at) {
                    known.push(at);
                }
            };
            for form in entry.forms() {
                add(by_surface.entry(plain(form)).or_default());
                add(by_terms
                    .entry(terms(form).into_iter().map(|(term, _)| term).collect())
                    .or_default());
            }
        }
        let lengths: HashSet<usize> = by_surface.keys().map(|form| form.chars().count()).collect();
        let mut lengths: Vec<usize> = lengths.into_iter().collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        let max_terms = by_terms.keys().map(Vec::len).max().unwrap_or(0);
        Self {
            entries,
            by_surface,
            lengths,
            by_terms,
            max_terms,
        }
    }

    /// Returns the entries in the file's order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Expands a query by this dictionary alone, as one of `collection`.
    #[must_use]
    pub fn expand(self: &Arc<Self>, collection: CollectionId, query: &str) -> Expansion {
        expand(&[(collection, Arc::clone(self))], query)
    }

    /// Returns the places where a form stands as it is written.
    fn surfaces(&self, signs: &[(char, Range<usize>)], found: &mut Vec<(Range<usize>, usize)>) {
        for start in 0..signs.len() {
            for &len in &self.lengths {
                let Some(place) = signs.get(start..start + len) else {
                    continue;
                };
                let form: String = place.iter().map(|(c, _)| c).collect();
                let Some(entries) = self.by_surface.get(&form) else {
                    continue;
                };
                let before = start.checked_sub(1).map(|at| signs[at].0);
                let after = signs.get(start + len).map(|(c, _)| *c);
                if cuts(before, place[0].0)
                    || after.is_some_and(|after| cuts(Some(place[len - 1].0), after))
                {
                    continue;
                }
                let span = place[0].1.start..place[len - 1].1.end;
                found.extend(entries.iter().map(|&entry| (span.clone(), entry)));
                break;
            }
        }
    }

    /// Returns the places where a form stands in another spelling or inflection.
    fn inflections(
        &self,
        words: &[(String, Range<usize>)],
        found: &mut Vec<(Range<usize>, usize)>,
    ) {
        for start in 0..words.len() {
            for len in (1..=self.max_terms.min(words.len() - start)).rev() {
                let place = &words[start..start + len];
                let form: Vec<String> = place.iter().map(|(term, _)| term.clone()).collect();
                let Some(entries) = self.by_terms.get(&form) else {
                    continue;
                };
                let span = place[0].1.start..place[len - 1].1.end;
                found.extend(entries.iter().map(|&entry| (span.clone(), entry)));
                break;
            }
        }
    }

    /// Returns an entry's forms other than the one written.
    fn alternatives(&self, entry: usize, written: &str) -> Vec<String> {
        let mut seen = HashSet::from([plain(written)]);
        self.entries[entry]
            .forms()
            .filter(|form| seen.insert(plain(form)))
            .take(MAX_ALTERNATIVES)
            .cloned()
            .collect()
    }
}

/// Expands a query by the dictionaries of the collections it searches. Where forms overlap, the longest counts.
#[must_use]
pub fn expand(dictionaries: &[(CollectionId, Arc<Dictionary>)], query: &str) -> Expansion {
    let mut expansion = Expansion {
        concepts: Vec::new(),
        text_for_embedding: query.to_owned(),
    };
    if dictionaries
        .iter()
        .all(|(_, dictionary)| dictionary.entries.is_empty())
    {
        return expansion;
    }
    let mut signs = surface(query);
    signs.truncate(MAX_QUERY_SIGNS);
    let mut words = terms(query);
    words.truncate(MAX_QUERY_SIGNS);
    // By place: every dictionary's entries for it.
    let mut places: BTreeMap<(usize, usize), Vec<(usize, usize)>> = BTreeMap::new();
    for (at, (_, dictionary)) in dictionaries.iter().enumerate() {
        let mut found = Vec::new();
        dictionary.surfaces(&signs, &mut found);
        dictionary.inflections(&words, &mut found);
        for (span, entry) in found {
            let known = places.entry((span.start, span.end)).or_default();
            if !known.contains(&(at, entry)) {
                known.push((at, entry));
            }
        }
    }
    let mut chosen: Vec<_> = places.into_iter().collect();
    chosen.sort_by_key(|&((start, end), _)| (std::cmp::Reverse(end - start), start));
    let mut taken: Vec<Range<usize>> = Vec::new();
    chosen.retain(|&((start, end), _)| {
        let free = taken
            .iter()
            .all(|other| end <= other.start || other.end <= start);
        if free {
            taken.push(start..end);
        }
        free
    });
    chosen.sort_by_key(|&(place, _)| place);
    let mut text = String::new();
    let mut copied = 0;
    for ((start, end), entries) in chosen {
        let written = &query[start..end];
        text.push_str(&query[copied..end]);
        copied = end;
        if let Some(&(dictionary, entry)) = entries.first() {
            let term = &dictionaries[dictionary].1.entries[entry].term;
            if plain(term) != plain(written) {
                text.push_str(&in_parentheses(term));
            }
        }
        for (dictionary, entry) in entries {
            let (collection, dictionary) = &dictionaries[dictionary];
            expansion.concepts.push(Concept {
                span: start..end,
                collection: *collection,
                alternatives: dictionary.alternatives(entry, written),
            });
        }
    }
    text.push_str(&query[copied..]);
    expansion.text_for_embedding = text;
    expansion
}

/// Returns the form that spellings of width, case and kanji share.
fn plain(form: &str) -> String {
    surface(form).into_iter().map(|(c, _)| c).collect()
}

/// Returns the index terms of a text with their places; of a compound only its parts.
fn terms(text: &str) -> Vec<(String, Range<usize>)> {
    let mut terms: Vec<(String, Range<usize>)> = Vec::new();
    let mut last = None;
    for term in analyze(text).words {
        if last == Some(term.position) {
            terms.pop();
        }
        last = Some(term.position);
        terms.push((term.text, term.span));
    }
    terms
}

/// Returns whether a word goes on from one character to the next, so that no form may begin or end between them:
/// letters, digits and katakana have borders, kanji and hiragana do not.
fn cuts(before: Option<char>, after: char) -> bool {
    let is_katakana = |c: char| ('\u{30A1}'..='\u{30FA}').contains(&c) || c == 'ー';
    let is_spaced = |c: char| c.is_alphanumeric() && (c as u32) < 0x2E80;
    before.is_some_and(|before| {
        (is_katakana(before) && is_katakana(after)) || (is_spaced(before) && is_spaced(after))
    })
}

fn in_parentheses(term: &str) -> String {
    if term.is_ascii() {
        format!(" ({term})")
    } else {
        format!("（{term}）")
    }
}

#[cfg(test)]
mod tests;
