//! How many tokens a text has in a unigram vocabulary (`SentencePiece`), without making them.
//!
//! `tokenizers` finds the same tokens, but walks a trie of hash maps for every character, looks each piece up in a map
//! of strings, and keeps strings and offsets, which nobody wants who only counts. It takes some thirty times as long.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use daachorse::CharwiseDoubleArrayAhoCorasick;
use tokenizers::models::unigram::Unigram;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{Model as _, ModelWrapper, NormalizedString, Normalizer as _, Tokenizer};
use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfkc_quick};

use super::BLANKS;

/// Leads every word.
const MARK: char = '▁';
/// What an unknown character scores below the worst piece.
const UNKNOWN_PENALTY: f64 = 10.0;
/// Bytes that the search looks back; every piece is shorter.
const WINDOW: usize = 128;

/// What [`PlainText`] makes of blanks, and of characters that are not plain.
const BLANK: char = ' ';
const ODD: char = '\0';

/// Characters that stand for themselves whatever is beside them: no combining marks, no joiners, nothing that a
/// tokenizer may take for a blank. What NFKC changes in these ranges is left out.
const PLAIN: [RangeInclusive<char>; 23] = [
    '!'..='~',
    '\u{a1}'..='\u{ac}',
    '\u{ae}'..='\u{2ff}',
    '\u{370}'..='\u{482}',
    '\u{48a}'..='\u{52f}',
    '\u{1e00}'..='\u{1fff}',
    '\u{2010}'..='\u{2027}',
    '\u{2030}'..='\u{205e}',
    '\u{20a0}'..='\u{20cf}',
    '\u{2100}'..='\u{2580}',
    '\u{2582}'..='\u{2bff}',
    '\u{3001}'..='\u{3029}',
    '\u{3030}'..='\u{303f}',
    '\u{3041}'..='\u{3096}',
    '\u{309d}'..='\u{30ff}',
    '\u{3400}'..='\u{4dbf}',
    '\u{4e00}'..='\u{9fff}',
    '\u{ac00}'..='\u{d7a3}',
    '\u{1f300}'..='\u{1f3fa}',
    '\u{1f400}'..='\u{1f64f}',
    '\u{1f680}'..='\u{1f6ff}',
    '\u{1f900}'..='\u{1f9ff}',
    '\u{20000}'..='\u{2a6df}',
];

static PLAIN_TEXT: LazyLock<PlainText> = LazyLock::new(PlainText::new);

/// What each character becomes by NFKC: a plain one, [`BLANK`], or [`ODD`] for everything else.
struct PlainText(Vec<char>);

impl PlainText {
    fn new() -> Self {
        let last = PLAIN.iter().map(|range| *range.end()).max();
        let mut table = vec![ODD; last.map_or(0, |last| last as usize + 1)];
        for c in PLAIN.into_iter().flatten().filter(|&c| is_stable(c)) {
            table[c as usize] = c;
        }
        for c in '\0'..='\u{ffff}' {
            let mut normal = std::iter::once(c).nfkc();
            if let (Some(becomes), None) = (normal.next(), normal.next())
                && (becomes == BLANK || table[becomes as usize] == becomes)
            {
                table[c as usize] = becomes;
            }
        }
        for blank in BLANKS {
            table[blank as usize] = BLANK;
        }
        Self(table)
    }

    fn of(&self, c: char) -> char {
        self.0.get(c as usize).copied().unwrap_or(ODD)
    }
}

/// Whether NFKC leaves a character alone whatever is beside it.
fn is_stable(c: char) -> bool {
    canonical_combining_class(c) == 0 && is_nfkc_quick(std::iter::once(c)) == IsNormalized::Yes
}

/// Returns the words of a text of plain characters that begins and ends with one; `None` for any other text.
pub(super) fn plain_words(text: &str) -> Option<impl Iterator<Item = &str>> {
    let plain = &*PLAIN_TEXT;
    let is_blank = |c| plain.of(c) == BLANK;
    let is_plain = !text.starts_with(is_blank)
        && !text.ends_with(is_blank)
        && text.chars().all(|c| plain.of(c) != ODD);
    is_plain.then(|| text.split(is_blank).filter(|word| !word.is_empty()))
}

#[derive(Clone, Copy)]
struct Piece {
    score: f64,
    is_unknown: bool,
}

/// The best way to cut a word up to some place.
#[derive(Clone, Copy, Default)]
struct Best {
    score: f64,
    n_tokens: u32,
    /// Whether it ends with something unknown; what is unknown and follows is the same token.
    is_unknown: bool,
}

impl Best {
    fn and(self, piece: Piece) -> Self {
        let goes_on = self.is_unknown && piece.is_unknown;
        Self {
            score: piece.score + self.score,
            n_tokens: self.n_tokens + u32::from(!goes_on),
            is_unknown: piece.is_unknown,
        }
    }
}

/// The pieces of a vocabulary that are plain text.
pub(super) struct Pieces {
    automaton: CharwiseDoubleArrayAhoCorasick<Piece>,
    /// A character that is no piece.
    unknown: Piece,
}

impl Pieces {
    /// Takes the pieces from a tokenizer; `None` if it does not do with plain words what [`Self::count`] does.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let ModelWrapper::Unigram(model) = tokenizer.get_model() else {
            return None;
        };
        if model.byte_fallback() || model.alpha.is_some() {
            return None;
        }
        if !marks_words(tokenizer) || !leaves_plain_text(tokenizer) {
            return None;
        }
        let unknown_id = unknown_id(model)?;
        let pieces: BTreeMap<&str, Piece> = model
            .iter()
            .enumerate()
            .map(|(id, (piece, score))| {
                let is_unknown = id == unknown_id;
                (
                    piece.as_str(),
                    Piece {
                        score: *score,
                        is_unknown,
                    },
                )
            })
            .filter(|(piece, _)| !piece.is_empty() && piece.chars().all(may_be_in_a_word))
            .collect();
        if pieces.keys().any(|piece| piece.len() >= WINDOW) {
            return None;
        }
        Some(Self {
            automaton: CharwiseDoubleArrayAhoCorasick::with_values(pieces).ok()?,
            unknown: Piece {
                score: model.min_score - UNKNOWN_PENALTY,
                is_unknown: true,
            },
        })
    }

    pub(super) fn counter(&self) -> Counter<'_> {
        Counter {
            pieces: self,
            best: [Best::default(); WINDOW],
        }
    }
}

/// Counts one word after the other.
pub(super) struct Counter<'p> {
    pieces: &'p Pieces,
    /// By places in the word, the last [`WINDOW`] of them.
    best: [Best; WINDOW],
}

impl Counter<'_> {
    /// Returns the tokens of a word of [`plain_words`].
    ///
    /// Of all ways to cut the word into pieces the one with the highest score counts; of equals, at each place, the one
    /// whose last piece is longest. Scores are added in the order in which `tokenizers` adds them.
    pub(super) fn count(&mut self, word: &str) -> usize {
        let plain = &*PLAIN_TEXT;
        let mut search = self.pieces.automaton.find_overlapping_stepper();
        let mut end = 0;
        self.best[end] = Best::default();
        for c in std::iter::once(MARK).chain(word.chars().map(|c| plain.of(c))) {
            search.consume(c);
            let start = end;
            end += c.len_utf8();
            let mut found: Option<Best> = None;
            let mut is_piece = false;
            // The longest comes first.
            for piece in search.matches() {
                is_piece |= piece.start() == start;
                let with = self.best[piece.start() % WINDOW].and(piece.value());
                if found.is_none_or(|found| with.score > found.score) {
                    found = Some(with);
                }
            }
            if !is_piece {
                let with = self.best[start % WINDOW].and(self.pieces.unknown);
                if found.is_none_or(|found| with.score > found.score) {
                    found = Some(with);
                }
            }
            self.best[end % WINDOW] = found.unwrap_or_default();
        }
        self.best[end % WINDOW].n_tokens as usize
    }
}

fn may_be_in_a_word(c: char) -> bool {
    c == MARK || PLAIN_TEXT.of(c) == c
}

/// Whether each word is cut into pieces by itself, with [`MARK`] before it.
fn marks_words(tokenizer: &Tokenizer) -> bool {
    let marks = |step: &PreTokenizerWrapper| {
        matches!(step, PreTokenizerWrapper::Metaspace(marks)
            if marks.get_replacement() == MARK && marks.prepend_scheme == PrependScheme::Always)
    };
    match tokenizer.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::Sequence(steps)) => match steps.as_ref() {
            [PreTokenizerWrapper::WhitespaceSplit(_), step] => marks(step),
            _ => false,
        },
        Some(step) => marks(step),
        None => false,
    }
}

/// Whether a tokenizer's own normalization changes no plain character.
fn leaves_plain_text(tokenizer: &Tokenizer) -> bool {
    let Some(normalizer) = tokenizer.get_normalizer() else {
        return true;
    };
    let plain: String = PLAIN
        .into_iter()
        .flatten()
        .filter(|&c| may_be_in_a_word(c))
        .collect();
    let mut normal = NormalizedString::from(plain.as_str());
    normalizer.normalize(&mut normal).is_ok() && normal.get() == plain
}

/// The id of what is no piece.
fn unknown_id(model: &Unigram) -> Option<usize> {
    let never_a_piece = "\u{ffff}";
    if model.token_to_id(never_a_piece).is_some() {
        return None;
    }
    let tokens = model.tokenize(never_a_piece).ok()?;
    tokens.first().map(|token| token.id as usize)
}
