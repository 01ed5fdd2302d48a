//! The units that chunks are packed from: sentences, table rows, lines of code, and pieces of what is too long.

use crate::chunk::sentence::sentences;
use crate::document::BlockKind;
use std::ops::Range;

/// How good it is to end a chunk at a boundary, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    /// Between a heading and its text.
    Never,
    /// Within a sentence that is too long for one chunk.
    Piece,
    /// Between sentences, rows or lines.
    Sentence,
    /// Between list items, and between a paragraph and its list.
    Item,
    /// Between blocks.
    Block,
    /// Before a heading of level 3 or lower.
    Heading,
    /// Before a heading of level 1 or 2.
    Section,
}

/// A piece of text that is never divided between chunks.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    /// Byte range in the document's text; never blank.
    pub(crate) span: Range<usize>,
    /// Tokens, without those the tokenizer adds to every text.
    pub(crate) cost: usize,
    /// Index of its block.
    pub(crate) block: usize,
    pub(crate) kind: UnitKind,
    /// The boundary before it.
    pub(crate) before: Strength,
}

/// What a unit is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitKind {
    Heading,
    Prose,
    Other,
}

impl UnitKind {
    pub(crate) fn is_heading(self) -> bool {
        self == Self::Heading
    }

    pub(crate) fn is_prose(self) -> bool {
        self == Self::Prose
    }
}

/// Bytes of text per token of the budget at most.
const MAX_TOKEN_BYTES: usize = 16;

/// Counts and cuts under the token budget.
pub(crate) struct Budget<'t> {
    pub(crate) text: &'t str,
    count: &'t dyn Fn(&str) -> usize,
    max_tokens: usize,
    /// Tokens of the empty text: what the tokenizer adds at both ends.
    overhead: usize,
}

impl<'t> Budget<'t> {
    pub(crate) fn new(text: &'t str, count: &'t dyn Fn(&str) -> usize, max_tokens: usize) -> Self {
        let overhead = count("");
        Self {
            text,
            count,
            max_tokens: max_tokens.max(1),
            overhead,
        }
    }

    pub(crate) fn count(&self, span: &Range<usize>) -> usize {
        (self.count)(&self.text[span.clone()])
    }

    pub(crate) fn fits(&self, span: &Range<usize>) -> bool {
        // Far too long need not be counted: tokenizing a line of 100 MB takes gigabytes. And a word that a tokenizer
        // does not know is one token, however long it is.
        span.len() <= self.max_tokens.saturating_mul(MAX_TOKEN_BYTES)
            && self.count(span) <= self.max_tokens
    }

    /// Tokens left for text when the tokenizer has added its own.
    pub(crate) fn room(&self) -> usize {
        self.max_tokens.saturating_sub(self.overhead).max(1)
    }

    pub(crate) fn fits_context(&self, part: &str) -> bool {
        (self.count)(part).saturating_sub(self.overhead) <= self.room() / 4
    }

    /// The beginning of `part` that fits a quarter of the budget.
    pub(crate) fn cut_context<'p>(&self, part: &'p str) -> &'p str {
        if self.fits_context(part) {
            return part;
        }
        &part[..longest_prefix(part, self.room(), &|prefix| self.fits_context(prefix))]
    }

    /// Divides a block into units.
    pub(crate) fn units(&self, block: usize, kind: BlockKind, span: Range<usize>) -> Vec<Unit> {
        let text = &self.text[span.clone()];
        let (parts, unit_kind) = match kind {
            BlockKind::Heading(_) => (sentences(text), UnitKind::Heading),
            BlockKind::Paragraph | BlockKind::ListItem => (sentences(text), UnitKind::Prose),
            BlockKind::Table => (table_rows(text), UnitKind::Other),
            BlockKind::Code => (lines(text), UnitKind::Other),
        };
        let first = match kind {
            BlockKind::Heading(..=2) => Strength::Section,
            BlockKind::Heading(_) => Strength::Heading,
            BlockKind::ListItem => Strength::Item,
            BlockKind::Paragraph | BlockKind::Table | BlockKind::Code => Strength::Block,
        };
        let mut units = Vec::with_capacity(parts.len());
        for part in parts {
            let mut pieces = Vec::new();
            self.divide(span.start + part.start..span.start + part.end, &mut pieces);
            for (index, piece) in pieces.into_iter().enumerate() {
                let before = if units.is_empty() {
                    first
                } else if kind_is_heading(kind) {
                    Strength::Never
                } else if index > 0 {
                    Strength::Piece
                } else {
                    Strength::Sentence
                };
                let cost = self.count(&piece).saturating_sub(self.overhead);
                units.push(Unit {
                    span: piece,
                    cost,
                    block,
                    kind: unit_kind,
                    before,
                });
            }
        }
        units
    }

    /// Cuts what is over the budget at clauses, else at blanks, else anywhere.
    fn divide(&self, span: Range<usize>, out: &mut Vec<Range<usize>>) {
        if self.fits(&span) {
            out.push(span);
            return;
        }
        let mut pending: Option<Range<usize>> = None;
        for clause in clauses(self.text, &span) {
            let joined = pending.as_ref().map_or(clause.start, |range| range.start)..clause.end;
            if self.fits(&joined) {
                pending = Some(joined);
                continue;
            }
            out.extend(pending.take());
            if self.fits(&clause) {
                pending = Some(clause);
            } else {
                self.divide_anywhere(clause, out);
            }
        }
        out.extend(pending);
    }

    fn divide_anywhere(&self, span: Range<usize>, out: &mut Vec<Range<usize>>) {
        let mut rest = span;
        loop {
            rest = trim(self.text, rest);
            if rest.is_empty() {
                return;
            }
            let text = &self.text[rest.clone()];
            let len = longest_prefix(text, self.max_tokens, &|prefix| {
                prefix.len() <= self.max_tokens.saturating_mul(MAX_TOKEN_BYTES)
                    && (self.count)(prefix) <= self.max_tokens
            });
            out.push(trim(self.text, rest.start..rest.start + len));
            rest.start += len;
        }
    }
}

/// Rows of a Markdown table; the header row and its separator are one.
pub(crate) fn table_rows(text: &str) -> Vec<Range<usize>> {
    let mut rows: Vec<Range<usize>> = Vec::new();
    for (index, line) in lines(text).into_iter().enumerate() {
        match rows.last_mut() {
            Some(header) if index == 1 && is_separator(&text[line.clone()]) => {
                header.end = line.end
            }
            Some(_) | None => rows.push(line),
        }
    }
    rows
}

/// Whether a line is the row of dashes under a Markdown table's header.
pub(crate) fn is_separator(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('|')
        && line.contains("---")
        && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
}

/// Lines that are not blank, without the blanks around them.
pub(crate) fn lines(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let range = trim(text, start..start + line.len());
        if !range.is_empty() {
            found.push(range);
        }
        start += line.len();
    }
    found
}

/// The range without leading and trailing whitespace.
pub(crate) fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start().len());
    start..(range.start + part.trim_end().len()).max(start)
}

fn kind_is_heading(kind: BlockKind) -> bool {
    matches!(kind, BlockKind::Heading(_))
}

/// Parts that end after a comma, semicolon, colon or dash.
fn clauses(text: &str, span: &Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = span.start;
    let mut chars = text[span.clone()].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next_is_blank = chars.peek().is_some_and(|(_, next)| next.is_whitespace());
        let ends = matches!(c, '、' | '，' | '；' | '：' | '。')
            || (matches!(c, ',' | ';' | ':' | '.' | '|' | '—' | '–') && next_is_blank);
        if ends {
            let end = span.start + at + c.len_utf8();
            found.push(trim(text, start..end));
            start = end;
        }
    }
    found.push(trim(text, start..span.end));
    found.retain(|range| !range.is_empty());
    found
}

/// Bytes of the longest beginning that `fits`, ending at a blank where one is near; at least one character.
fn longest_prefix(text: &str, max_tokens: usize, fits: &dyn Fn(&str) -> bool) -> usize {
    // Hardly a token is longer than this on average, so the counting stays cheap on very long texts.
    let window = max_tokens.saturating_mul(16).max(64);
    let ends: Vec<usize> = text
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|&end| end <= window.max(4))
        .collect();
    let mut n_fitting = ends.partition_point(|&end| fits(&text[..end])).max(1);
    // Counts are not quite monotonic, so the search's outcome is checked.
    while n_fitting > 1 && !fits(&text[..ends[n_fitting - 1]]) {
        n_fitting -= 1;
    }
    let len = ends[n_fitting - 1];
    if len == text.len() {
        return len;
    }
    let blank = text[..len]
        .rfind(char::is_whitespace)
        .filter(|&at| at * 2 >= len);
    match blank {
        Some(at) if fits(&text[..at]) => at,
        Some(_) | None => len,
    }
}
