//! The units that chunks are packed from: sentences, table rows, lines of code, and pieces of what is too long.

use crate::chunk::Counter;
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
    /// Whether its tokens can be added to others'.
    adds_up: bool,
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

/// Bytes of a token in English and Japanese text, roughly.
const USUAL_TOKEN_BYTES: usize = 4;

/// Counts and cuts under the token budget.
pub(crate) struct Budget<'t> {
    pub(crate) text: &'t str,
    counter: Counter<'t>,
    cancelled: &'t dyn Fn() -> bool,
    max_tokens: usize,
    /// Tokens of the empty text: what the tokenizer adds at both ends.
    overhead: usize,
}

/// A piece of a sentence, row or line, and its tokens with those the tokenizer adds.
type Piece = (Range<usize>, usize);

impl<'t> Budget<'t> {
    pub(crate) fn new(
        text: &'t str,
        counter: Counter<'t>,
        cancelled: &'t dyn Fn() -> bool,
        max_tokens: usize,
    ) -> Self {
        Self {
            text,
            counter,
            cancelled,
            max_tokens: max_tokens.max(1),
            overhead: (counter.count)(""),
        }
    }

    pub(crate) fn count(&self, span: &Range<usize>) -> usize {
        (self.counter.count)(&self.text[span.clone()])
    }

    /// Returns the tokens of a text that consists of these units and what lies between them.
    pub(crate) fn count_together(&self, units: &[Unit]) -> usize {
        let (Some(first), Some(last)) = (units.first(), units.last()) else {
            return self.overhead;
        };
        let between = |pair: &[Unit]| &self.text[pair[0].span.end..pair[1].span.start];
        let is_blank = |text: &str| !text.is_empty() && text.bytes().all(|b| b" \n".contains(&b));
        let add_up = units.iter().all(|unit| unit.adds_up)
            && units.windows(2).all(|pair| is_blank(between(pair)));
        if add_up {
            self.overhead + units.iter().map(|unit| unit.cost).sum::<usize>()
        } else {
            self.count(&(first.span.start..last.span.end))
        }
    }

    pub(crate) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Returns the span's tokens if they are within the budget.
    fn fitting(&self, span: &Range<usize>) -> Option<usize> {
        if self.is_too_long(span) {
            return None;
        }
        let n_tokens = self.count(span);
        (n_tokens <= self.max_tokens).then_some(n_tokens)
    }

    /// Far too long need not be counted: tokenizing a line of 100 MB takes gigabytes. And a word that a tokenizer does
    /// not know is one token, however long it is.
    pub(crate) fn is_too_long(&self, span: &Range<usize>) -> bool {
        span.len() > self.max_tokens.saturating_mul(MAX_TOKEN_BYTES)
    }

    /// Tokens left for text when the tokenizer has added its own.
    pub(crate) fn room(&self) -> usize {
        self.max_tokens.saturating_sub(self.overhead).max(1)
    }

    /// Tokens that a part of a context may have, with those the tokenizer adds.
    fn context_tokens(&self) -> usize {
        self.room() / 4 + self.overhead
    }

    pub(crate) fn fits_context(&self, part: &str) -> bool {
        self.fits(part, self.context_tokens())
    }

    fn fits(&self, part: &str, max_tokens: usize) -> bool {
        part.len() <= max_tokens.saturating_mul(MAX_TOKEN_BYTES)
            && (self.counter.count)(part) <= max_tokens
    }

    /// The beginning of `part` that fits a quarter of the budget.
    pub(crate) fn cut_context<'p>(&self, part: &'p str) -> &'p str {
        self.cut(part, self.context_tokens())
    }

    /// The beginning of `part` that fits half of the budget together with what comes before it in the context.
    pub(crate) fn cut_context_after<'p>(&self, before: &str, part: &'p str) -> &'p str {
        let taken = (self.counter.count)(before).saturating_sub(self.overhead);
        let room = (self.room() / 4 * 2).saturating_sub(taken);
        self.cut(part, room.max(1) + self.overhead)
    }

    fn cut<'p>(&self, part: &'p str, max_tokens: usize) -> &'p str {
        if self.fits(part, max_tokens) {
            return part;
        }
        &part[..long_prefix(part, max_tokens, self.counter.count)]
    }

    /// Whether the cutting is to end where it is.
    pub(crate) fn is_cancelled(&self) -> bool {
        (self.cancelled)()
    }

    /// Divides a block into units.
    pub(crate) fn units(&self, block: usize, kind: BlockKind, span: Range<usize>) -> Vec<Unit> {
        let text = &self.text[span.clone()];
        let (parts, unit_kind) = match kind {
            BlockKind::Heading(_) => (sentences(text), UnitKind::Heading),
            BlockKind::Paragraph | BlockKind::ListItem => (sentences(text), UnitKind::Prose),
            BlockKind::Table => (table_rows(text), UnitKind::Other),
            BlockKind::Code => (lines(text).collect(), UnitKind::Other),
        };
        let first = match kind {
            BlockKind::Heading(..=2) => Strength::Section,
            BlockKind::Heading(_) => Strength::Heading,
            BlockKind::ListItem => Strength::Item,
            BlockKind::Paragraph | BlockKind::Table | BlockKind::Code => Strength::Block,
        };
        let mut units = Vec::with_capacity(parts.len());
        for part in parts {
            if self.is_cancelled() {
                break;
            }
            let mut pieces = Vec::new();
            self.divide(span.start + part.start..span.start + part.end, &mut pieces);
            for (index, (piece, n_tokens)) in pieces.into_iter().enumerate() {
                let before = if units.is_empty() {
                    first
                } else if kind_is_heading(kind) {
                    Strength::Never
                } else if index > 0 {
                    Strength::Piece
                } else {
                    Strength::Sentence
                };
                units.push(Unit {
                    adds_up: (self.counter.adds_up)(&self.text[piece.clone()]),
                    span: piece,
                    cost: n_tokens.saturating_sub(self.overhead).max(1),
                    block,
                    kind: unit_kind,
                    before,
                });
            }
        }
        units
    }

    /// Cuts what is over the budget at clauses, else at blanks, else anywhere.
    fn divide(&self, span: Range<usize>, out: &mut Vec<Piece>) {
        if let Some(n_tokens) = self.fitting(&span) {
            out.push((span, n_tokens));
            return;
        }
        let mut pending: Option<Piece> = None;
        for clause in clauses(self.text, &span) {
            if self.is_cancelled() {
                return;
            }
            let alone = self.fitting(&clause);
            if let (Some(before), Some(n_tokens)) = (&pending, alone)
                && let Some(joined) = self.join(before, &clause, n_tokens)
            {
                pending = Some(joined);
                continue;
            }
            self.finish(pending.take(), out);
            match alone {
                Some(n_tokens) => pending = Some((clause, n_tokens)),
                None => self.divide_anywhere(clause, out),
            }
        }
        self.finish(pending, out);
    }

    /// Returns a piece with the clause after it, if they are within the budget.
    ///
    /// Clauses together hardly have more tokens than one by one, so they are counted together only where the sum is over
    /// the budget. Otherwise every clause would be counted as often as others follow it.
    fn join(
        &self,
        (before, n_before): &Piece,
        clause: &Range<usize>,
        n_tokens: usize,
    ) -> Option<Piece> {
        let joined = before.start..clause.end;
        let sum = n_before + n_tokens.saturating_sub(self.overhead);
        if self.is_too_long(&joined) {
            return None;
        }
        let n_tokens = if sum <= self.max_tokens {
            sum
        } else {
            self.fitting(&joined)?
        };
        Some((joined, n_tokens))
    }

    /// Adds a piece whose tokens may be a sum.
    fn finish(&self, piece: Option<Piece>, out: &mut Vec<Piece>) {
        let Some((span, _)) = piece else { return };
        match self.fitting(&span) {
            Some(n_tokens) => out.push((span, n_tokens)),
            None => self.divide_anywhere(span, out),
        }
    }

    fn divide_anywhere(&self, span: Range<usize>, out: &mut Vec<Piece>) {
        let mut rest = span;
        loop {
            rest = trim(self.text, rest);
            if rest.is_empty() || self.is_cancelled() {
                return;
            }
            let text = &self.text[rest.clone()];
            let len = long_prefix(text, self.max_tokens, self.counter.count);
            let piece = trim(self.text, rest.start..rest.start + len);
            let n_tokens = self.count(&piece);
            out.push((piece, n_tokens));
            rest.start += len;
        }
    }
}

/// Rows of a Markdown table; the header row and its separator are one.
pub(crate) fn table_rows(text: &str) -> Vec<Range<usize>> {
    let mut rows: Vec<Range<usize>> = Vec::new();
    for (index, line) in lines(text).enumerate() {
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
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let range = trim(text, start..start + line.len());
        start += line.len();
        (!range.is_empty()).then_some(range)
    })
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

/// Bytes of a beginning of at most `max_tokens` and hardly less, ending at a blank where one is near; at least one
/// character.
fn long_prefix(text: &str, max_tokens: usize, count: &dyn Fn(&str) -> usize) -> usize {
    let window = max_tokens.saturating_mul(MAX_TOKEN_BYTES).max(4);
    let window = text.floor_char_boundary(window.min(text.len()));
    let first = text.chars().next().map_or(0, char::len_utf8);
    // The longest known to fit, and the shortest known not to, with their tokens.
    let (mut fits, mut over) = ((first, 1), None);
    let mut guess = window.min(max_tokens.saturating_mul(USUAL_TOKEN_BYTES));
    for step in 0.. {
        guess = text.floor_char_boundary(guess);
        if guess <= fits.0 {
            guess = text.ceil_char_boundary(fits.0 + 1);
        }
        if over.is_some_and(|(over, _)| guess >= over) {
            break;
        }
        let n_tokens = count(&text[..guess]);
        if n_tokens > max_tokens {
            over = Some((guess, n_tokens));
        } else {
            fits = (guess, n_tokens);
            if guess >= window || n_tokens * 20 >= max_tokens * 19 {
                break;
            }
        }
        guess = match over {
            // Interpolation is quick where tokens lie evenly; halves are never slow.
            Some((over, _)) if step > 4 => fits.0.midpoint(over),
            Some((over, n_over)) => {
                let missing = max_tokens.saturating_sub(fits.1);
                fits.0 + (over - fits.0) * missing / (n_over - fits.1).max(1)
            }
            None => (fits.0 * max_tokens / fits.1.max(1)).clamp(fits.0 + 1, window),
        };
    }
    let len = fits.0;
    if len == text.len() {
        return len;
    }
    let blank = text[..len].rfind(char::is_whitespace);
    match blank.filter(|&at| at * 2 >= len) {
        // Counts are not quite monotonic.
        Some(at) if count(&text[..at]) <= max_tokens => at,
        Some(_) | None => len,
    }
}
