//! Text to index terms. Documents and queries go through the same function, so what is written is what is sought.
//!
//! NFKC, one form of each kanji, then runs by script. Runs of Latin letters and digits (`0x80070005`, `AB-1234`,
//! `foo_bar`, `fooBar`) are kept whole and also in parts, stemmed as English; runs of kanji and kana become words,
//! one term for their spellings, and, for what segmentation cuts elsewhere in a query than in a document, character
//! bigrams. [`grams`] finds any piece of a text as it is written.

mod fold;
mod grams;
mod japanese;
mod normalize;
mod spaced;
mod stop_words;

pub use grams::{Gram, grams, is_unspaced};
pub(crate) use normalize::surface;

use fold::Spelled;
use normalize::Normalized;
use rust_stemmers::{Algorithm, Stemmer};
use std::ops::Range;
use std::sync::LazyLock;
use unicode_normalization::char::is_combining_mark;

/// Version of what [`analyze`] and [`grams`] return and of how the keyword index keeps it, its fields included.
///
/// An index knows the one it was built with; when another opens it, its keyword half is built anew from the catalog.
pub const ANALYZER_VERSION: u32 = 3;

/// So many words of a spaced script in a row are a sentence of their own amid Japanese, not a name or two.
const MIN_SENTENCE_WORDS: usize = 3;

/// Longer words are cut here, in documents and queries alike: they are encoded data, not language.
const MAX_WORD_CHARS: usize = 64;

/// The terms of a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Analysis {
    /// Words in reading order; a compound comes before its parts.
    pub words: Vec<Term>,
    /// Bigrams within each run of a script written without spaces; a run of one character is its own entry.
    pub bigrams: Vec<String>,
    /// Every kanji, each once, in order of first appearance, to find by one character alone.
    pub kanji: Vec<String>,
}

/// A word as it is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Normalized, lower-case, stemmed.
    pub text: String,
    /// Place among the text's words, from 0; a compound has that of its first part.
    pub position: usize,
    /// Byte range in the analyzed text.
    pub span: Range<usize>,
    /// Whether it is a function word. Documents keep them; queries drop them if any other term is left.
    pub stop: bool,
}

/// Returns the terms of a document or query.
#[must_use]
pub fn analyze(text: &str) -> Analysis {
    let normalized = Normalized::new(text);
    let runs = runs(&normalized.text);
    let mut analyzer = Analyzer {
        normalized: &normalized,
        english: false,
        position: 0,
        out: Analysis::default(),
    };
    let all_spaced = runs.iter().all(|run| run.script == Script::Spaced);
    for stretch in
        runs.chunk_by(|a, b| (a.script == Script::Spaced) == (b.script == Script::Spaced))
    {
        // In Japanese text `IT` and `AND` are names, not function words.
        analyzer.english = all_spaced || stretch.len() >= MIN_SENTENCE_WORDS;
        for run in stretch {
            match run.script {
                Script::Spaced => analyzer.spaced(run.span.clone()),
                Script::Japanese => analyzer.japanese(run.span.clone()),
                Script::Unspaced => analyzer.unspaced(run.span.clone()),
            }
        }
    }
    analyzer.out
}

impl Analysis {
    /// Returns the words a query is searched by: those that carry meaning, or all if none does.
    pub fn query_words(&self) -> impl Iterator<Item = &Term> {
        let only_stops = self.words.iter().all(|term| term.stop);
        self.words
            .iter()
            .filter(move |term| only_stops || !term.stop)
    }

    /// Adds what another piece of the same text has. Positions and spans stay those within their pieces.
    pub(crate) fn append(&mut self, piece: Self) {
        self.words.extend(piece.words);
        self.bigrams.extend(piece.bigrams);
        self.kanji.extend(piece.kanji);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Letters and digits of scripts that put spaces between words.
    Spaced,
    /// Kanji and kana.
    Japanese,
    /// Hangul, Thai and others: bigrams only, the run itself being the one word.
    Unspaced,
}

struct Run {
    script: Script,
    span: Range<usize>,
}

/// Cuts normalized text into runs of one script. What is no letter, digit or `_` separates runs, except that a
/// connector between two characters of a spaced run joins them (`3.2`, `AB-1234`, `TCP/IP`, `std::vec`).
fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut open = false;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        let Some(script) = script(c) else {
            open = open
                && runs.last().is_some_and(|run| run.script == Script::Spaced)
                && connects(&text[..at], c, &text[end..]);
            continue;
        };
        match runs.last_mut() {
            Some(run) if open && (run.script == script || is_combining_mark(c)) => {
                run.span.end = end;
            }
            _ => runs.push(Run {
                script,
                span: at..end,
            }),
        }
        open = true;
    }
    runs
}

/// Returns whether the sign `c` is followed by more of the spaced run. Of signs in a row only `::` connects.
fn connects(before: &str, c: char, after: &str) -> bool {
    let after = match after.strip_prefix(':') {
        Some(rest) if c == ':' && !before.ends_with(':') => rest,
        _ => after,
    };
    is_connector(c)
        && after
            .chars()
            .next()
            .is_some_and(|c| script(c) == Some(Script::Spaced))
}

fn script(c: char) -> Option<Script> {
    match c {
        '0'..='9' | 'A'..='Z' | 'a'..='z' | '_' => Some(Script::Spaced),
        c if c.is_ascii() => None,
        '々' | '〆' | '〇' | 'ー' | '\u{3041}'..='\u{3096}' | '\u{309D}'..='\u{309F}' => {
            Some(Script::Japanese)
        }
        '\u{30A1}'..='\u{30FA}' | '\u{30FD}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' => {
            Some(Script::Japanese)
        }
        c if is_kanji(c) => Some(Script::Japanese),
        // Thai, Lao, Myanmar, Khmer, Hangul
        '\u{0E01}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
            if c.is_alphanumeric() || is_combining_mark(c) =>
        {
            Some(Script::Unspaced)
        }
        '\u{1100}'..='\u{11FF}' | '\u{3130}'..='\u{318F}' | '\u{AC00}'..='\u{D7A3}' => {
            Some(Script::Unspaced)
        }
        c if c.is_alphanumeric() || is_combining_mark(c) => Some(Script::Spaced),
        _ => None,
    }
}

fn is_kanji(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

fn is_connector(c: char) -> bool {
    matches!(
        c,
        '.' | ','
            | '-'
            | '/'
            | '\\'
            | ':'
            | '@'
            | '+'
            | '&'
            | '\''
            | '\u{2019}'
            | '\u{2010}'
            | '\u{2011}'
    )
}

struct Analyzer<'a> {
    normalized: &'a Normalized<'a>,
    /// Whether function words are such: the run belongs to an English sentence.
    english: bool,
    position: usize,
    out: Analysis,
}

impl Analyzer<'_> {
    fn spaced(&mut self, span: Range<usize>) {
        let normalized = self.normalized;
        let run = &normalized.text[span.clone()];
        if let Some(number) = spaced::ungrouped(run) {
            self.number(&number, span);
            return;
        }
        if let Some(sign) = spaced::suffix(run, &normalized.text[span.end..]) {
            let end = span.end + sign.len();
            self.push(format!("{}{sign}", plain(run)), span.start..end, false);
        }
        let segments = spaced::segments(run);
        if segments.len() > 1 {
            self.push(plain(run), span.clone(), false);
        }
        for (offset, segment) in segments {
            self.segment(segment, span.start + offset);
        }
    }

    /// Indexes a number that was written with grouping commas.
    fn number(&mut self, number: &str, span: Range<usize>) {
        self.push(number.to_owned(), span.clone(), false);
        if number.contains('.') {
            for part in number.split('.') {
                self.push(part.to_owned(), span.clone(), false);
                self.position += 1;
            }
        } else {
            self.position += 1;
        }
    }

    /// Indexes a code or word: whole, in its usual other spelling, and in parts.
    fn segment(&mut self, segment: &str, start: usize) {
        let span = start..start + segment.len();
        let parts = spaced::parts(segment);
        if !matches!(parts.as_slice(), [(_, part)] if *part == segment) {
            match spaced::joined(segment, &parts) {
                // Of words the joined spelling stands for both; a code is kept to the letter.
                Some(joined)
                    if joined.chars().all(char::is_alphabetic) && !segment.contains('_') =>
                {
                    let (text, _) = self.word(&joined);
                    self.push(text, span.clone(), false);
                }
                joined => {
                    self.push(plain(segment), span.clone(), false);
                    let other = joined.map(|joined| joined.to_lowercase());
                    let other = other.or_else(|| spaced::version(segment).map(str::to_owned));
                    if let Some(other) = other {
                        self.push(other, span, false);
                    }
                }
            }
        }
        for (offset, part) in parts {
            let start = start + offset;
            let humps = spaced::humps(part);
            if humps.len() > 1 {
                self.push(part.to_lowercase(), start..start + part.len(), false);
            }
            for (offset, hump) in humps {
                let start = start + offset;
                let (text, stop) = self.word(hump);
                self.push(text, start..start + hump.len(), stop);
                self.position += 1;
            }
        }
    }

    /// Returns a part of a spaced run as it is indexed, and whether it is a stop word.
    fn word(&self, part: &str) -> (String, bool) {
        static STEMMER: LazyLock<Stemmer> = LazyLock::new(|| Stemmer::create(Algorithm::English));
        let lower = part.to_lowercase().replace('\u{2019}', "'");
        if !lower.chars().all(|c| c.is_ascii_alphabetic() || c == '\'') {
            return (lower, false);
        }
        let is_acronym =
            |part: &str| part.len() > 1 && part.bytes().all(|c| c.is_ascii_uppercase());
        if let Some(singular) = part.strip_suffix('s').filter(|part| is_acronym(part)) {
            return (STEMMER.stem(&singular.to_lowercase()).into_owned(), false);
        }
        let stop = self.english && !is_acronym(part) && stop_words::is_english(&lower);
        (STEMMER.stem(&lower).into_owned(), stop)
    }

    fn japanese(&mut self, span: Range<usize>) {
        let normalized = self.normalized;
        let run = &normalized.text[span.clone()];
        let mut start = 0;
        for numeral in fold::numerals(run) {
            self.japanese_words(&run[start..numeral.span.start], span.start + start);
            start = numeral.span.end;
            let numeral_span = span.start + numeral.span.start..span.start + start;
            self.push(numeral.digits, numeral_span, false);
            self.position += 1;
        }
        self.japanese_words(&run[start..], span.start + start);
        self.bigrams(run);
        for kanji in run.chars().filter(|&c| is_kanji(c)) {
            let mut buffer = [0; 4];
            let kanji: &str = kanji.encode_utf8(&mut buffer);
            if !self.out.kanji.iter().any(|known| known == kanji) {
                self.out.kanji.push(kanji.to_owned());
            }
        }
    }

    fn japanese_words(&mut self, text: &str, start: usize) {
        if text.is_empty() {
            return;
        }
        let spelled = Spelled::new(text);
        let mut at = 0;
        for word in japanese::words(&spelled.text) {
            let span = start + spelled.origin(at)..start + spelled.origin(at + word.len());
            let stop = stop_words::is_japanese(word);
            self.push(fold::word(word).into_owned(), span, stop);
            self.position += 1;
            at += word.len();
        }
    }

    fn unspaced(&mut self, span: Range<usize>) {
        let normalized = self.normalized;
        let run = &normalized.text[span.clone()];
        self.push(run.to_owned(), span, false);
        self.position += 1;
        self.bigrams(run);
    }

    fn bigrams(&mut self, run: &str) {
        let starts: Vec<usize> = run
            .char_indices()
            .map(|(at, _)| at)
            .chain([run.len()])
            .collect();
        if starts.len() == 2 {
            self.out.bigrams.push(run.to_owned());
        }
        let grams = starts
            .windows(3)
            .map(|window| run[window[0]..window[2]].to_owned());
        self.out.bigrams.extend(grams);
    }

    fn push(&mut self, mut text: String, span: Range<usize>, stop: bool) {
        if let Some((cut, _)) = text.char_indices().nth(MAX_WORD_CHARS) {
            text.truncate(cut);
        }
        if !text.is_empty() {
            self.out.words.push(Term {
                text,
                position: self.position,
                span: self.normalized.origin(span),
                stop,
            });
        }
    }
}

/// Returns a code in lower case with one kind of hyphen.
fn plain(run: &str) -> String {
    run.to_lowercase().replace(['\u{2010}', '\u{2011}'], "-")
}

#[cfg(test)]
mod tests;
