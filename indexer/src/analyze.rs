//! Text to index terms. Documents and queries go through the same function, so what is written is what is sought.
//!
//! NFKC, then runs by script. Runs of Latin letters and digits (`0x80070005`, `AB-1234`, `foo_bar`) are kept whole
//! and also in parts, stemmed as English; runs of kanji and kana become words and, for what segmentation cuts
//! elsewhere in a query than in a document, character bigrams.

mod japanese;
mod normalize;
mod stop_words;

use normalize::Normalized;
use rust_stemmers::{Algorithm, Stemmer};
use std::ops::Range;
use std::sync::LazyLock;
use unicode_normalization::char::is_combining_mark;

/// Version of what [`analyze`] returns. An index keeps it; a change here means building indexes anew.
pub const ANALYZER_VERSION: u32 = 1;

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
        // In Japanese text `IT` and `AND` are names, not function words.
        english: !runs.iter().any(|run| run.script == Script::Japanese),
        normalized: &normalized,
        position: 0,
        out: Analysis::default(),
    };
    for run in runs {
        match run.script {
            Script::Spaced => analyzer.spaced(run.span),
            Script::Japanese => analyzer.japanese(run.span),
            Script::Unspaced => analyzer.unspaced(run.span),
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

/// Cuts NFKC text into runs of one script. What is no letter, digit or `_` separates runs, except that one
/// connector between two characters of a spaced run joins them (`3.2`, `AB-1234`, `TCP/IP`).
fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut chars = text.char_indices().peekable();
    let mut open = false;
    while let Some((at, c)) = chars.next() {
        let end = at + c.len_utf8();
        let Some(script) = script(c) else {
            let joins = open
                && is_connector(c)
                && runs.last().is_some_and(|run| run.script == Script::Spaced)
                && chars
                    .peek()
                    .is_some_and(|&(_, next)| self::script(next) == Some(Script::Spaced));
            open = joins;
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
        '.' | ',' | '-' | '/' | ':' | '@' | '+' | '&' | '\'' | '\u{2019}' | '\u{2010}' | '\u{2011}'
    )
}

struct Analyzer<'a> {
    normalized: &'a Normalized<'a>,
    english: bool,
    position: usize,
    out: Analysis,
}

impl Analyzer<'_> {
    fn spaced(&mut self, span: Range<usize>) {
        let normalized = self.normalized;
        let run = &normalized.text[span.clone()];
        if let Some(number) = ungrouped(run) {
            self.push(number, span, false);
            self.position += 1;
            return;
        }
        let parts: Vec<(usize, &str)> = split_parts(run).collect();
        let whole_is_only_part = matches!(parts.as_slice(), [(_, part)] if *part == run);
        if !whole_is_only_part {
            self.push(run.to_lowercase(), span.clone(), false);
        }
        for (offset, part) in parts {
            let start = span.start + offset;
            let (text, stop) = self.word(part);
            self.push(text, start..start + part.len(), stop);
            self.position += 1;
        }
    }

    /// Returns a part of a spaced run as it is indexed, and whether it is a stop word.
    fn word(&self, part: &str) -> (String, bool) {
        static STEMMER: LazyLock<Stemmer> = LazyLock::new(|| Stemmer::create(Algorithm::English));
        let lower = part.to_lowercase().replace('\u{2019}', "'");
        if !lower.chars().all(|c| c.is_alphabetic() || c == '\'') {
            return (lower, false);
        }
        let acronym = part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase());
        let stop = self.english && !acronym && stop_words::is_english(&lower);
        (STEMMER.stem(&lower).into_owned(), stop)
    }

    fn japanese(&mut self, span: Range<usize>) {
        let normalized = self.normalized;
        let run = &normalized.text[span.clone()];
        let mut start = span.start;
        for word in japanese::words(run) {
            let folded = japanese::fold_long_mark(word);
            self.push(
                folded.to_owned(),
                start..start + word.len(),
                stop_words::is_japanese(word),
            );
            self.position += 1;
            start += word.len();
        }
        self.bigrams(run);
        for kanji in run.chars().filter(|&c| is_kanji(c)) {
            let mut buffer = [0; 4];
            let kanji: &str = kanji.encode_utf8(&mut buffer);
            if !self.out.kanji.iter().any(|known| known == kanji) {
                self.out.kanji.push(kanji.to_owned());
            }
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

/// Splits at connectors and `_`, but not at apostrophes, which belong to the word (`don't`).
fn split_parts(run: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_border = |c: char| c == '_' || (is_connector(c) && !matches!(c, '\'' | '\u{2019}'));
    run.split(is_border)
        .filter(|part| !part.is_empty())
        .map(move |part| (part.as_ptr() as usize - run.as_ptr() as usize, part))
}

/// Returns `1,234,567` as `1234567`; anything else is `None`.
fn ungrouped(run: &str) -> Option<String> {
    let mut groups = run.split(',');
    let first = groups.next()?;
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mut number = first.to_owned();
    let mut grouped = false;
    for group in groups {
        if group.len() != 3 || !is_digits(group) {
            return None;
        }
        number.push_str(group);
        grouped = true;
    }
    (grouped && (1..=3).contains(&first.len()) && is_digits(first)).then_some(number)
}

#[cfg(test)]
mod tests;
