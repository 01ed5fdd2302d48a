//! Text to token ids for encoders: NFKC, the model's own tokenizer, truncation that keeps special tokens.

mod pieces;
mod recent;

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use compact_str::CompactString;
use quick_cache::sync::Cache;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{Encoding, PostProcessor, Tokenizer, TruncationDirection};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use crate::{Error, Result};
use pieces::{Pieces, plain_words};
use recent::Recent;

/// Token ids of one input, special tokens included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) ids: Vec<u32>,
    /// 0 for the first text of a pair, 1 for the second; as many as `ids`.
    pub(crate) types: Vec<u32>,
    /// Positions of the text's own tokens: no special ones, nothing of the prompt.
    pub(crate) own: Range<usize>,
}

impl Sequence {
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Words whose number of tokens is remembered, and how long one may be, in bytes.
const WORDS: usize = 1 << 16;
const WORD_BYTES: usize = 48;

/// Blanks that every tokenizer of words takes for one.
const BLANKS: [char; 5] = [' ', '\n', '\r', '\t', '\u{3000}'];

/// `tokenizer.json` of a model.
pub(crate) struct TextTokenizer {
    inner: Tokenizer,
    max_tokens: usize,
    /// Absent where a text's tokens are not those of its words.
    words: Option<Words>,
}

/// What is known of words' tokens.
struct Words {
    /// Short words, kept in place.
    remembered: Cache<CompactString, usize>,
    recent: Recent,
    /// Absent until [`TextTokenizer::learn_pieces`] is done, and for tokenizers of other kinds.
    pieces: OnceLock<Pieces>,
}

impl TextTokenizer {
    /// Reads `tokenizer.json` in `dir`. Its own truncation and padding are switched off.
    pub(crate) fn load(dir: &Path, max_tokens: usize) -> Result<Self> {
        let path = dir.join("tokenizer.json");
        let bytes = fs_err::read(&path)?;
        let mut inner = Tokenizer::from_bytes(bytes).map_err(|e| Error::Malformed {
            path,
            reason: e.to_string(),
        })?;
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| Error::Tokenizer(e.to_string()))?;
        // What a document says is text, though it looks like a special token.
        inner.set_encode_special_tokens(true);
        let mut tokenizer = Self {
            inner,
            max_tokens,
            words: None,
        };
        if tokenizer.goes_by_words()? {
            tokenizer.words = Some(Words {
                remembered: Cache::new(WORDS),
                recent: Recent::new(),
                pieces: OnceLock::new(),
            });
        }
        Ok(tokenizer)
    }

    /// Makes counting many times as fast, some tenths of a second from now. It is as right before.
    pub(crate) fn learn_pieces(self: &Arc<Self>) {
        let tokenizer = Arc::clone(self);
        let learn = move || {
            if let Some(words) = &tokenizer.words
                && let Some(pieces) = Pieces::of(&tokenizer.inner)
            {
                words.pieces.get_or_init(|| pieces);
            }
        };
        let started = std::thread::Builder::new()
            .name("pieces".to_owned())
            .spawn(learn);
        if let Err(error) = started {
            tracing::warn!(%error, "tokens will be counted slowly");
        }
    }

    /// Returns the number of tokens without special tokens.
    ///
    /// Documents are counted several times while they are cut into chunks, and have few words that are new; so the
    /// tokens of words are remembered where a text has no others.
    pub(crate) fn count(&self, text: &str) -> Result<usize> {
        let Some(words) = &self.words else {
            return Ok(self.plain(text)?.len());
        };
        if let Some(n_tokens) = words.count(text) {
            return Ok(n_tokens);
        }
        if !has_plain_blanks(text) {
            return Ok(self.plain(text)?.len());
        }
        let each = text.split(BLANKS).filter(|word| !word.is_empty());
        each.map(
            |word| match words.known(word).or_else(|| words.count(word)) {
                Some(n_tokens) => Ok(n_tokens),
                None => Ok(words.keep(word, self.plain(word)?.len())),
            },
        )
        .sum()
    }

    /// Whether a text's tokens are known to be those of its words, whatever words come before and after.
    pub(crate) fn adds_up(&self, text: &str) -> bool {
        let pieces = self.words.as_ref().and_then(|words| words.pieces.get());
        pieces.is_some() && plain_words(text).is_some()
    }

    /// Whether the tokens of every text are those of its words, one after the other.
    fn goes_by_words(&self) -> Result<bool> {
        let cuts_words = match self.inner.get_pre_tokenizer() {
            Some(PreTokenizerWrapper::BertPreTokenizer(_)) => true,
            Some(PreTokenizerWrapper::Metaspace(blanks)) => blanks.split,
            Some(PreTokenizerWrapper::Sequence(steps)) => steps
                .as_ref()
                .iter()
                .any(|step| matches!(step, PreTokenizerWrapper::WhitespaceSplit(_))),
            _ => false,
        };
        let added = self.inner.get_added_tokens_decoder();
        // Another added token might reach over a blank.
        if !cuts_words || added.values().any(|token| !token.special) {
            return Ok(false);
        }
        // What tokenizers that cut words still differ in: whether blanks are tokens of their own, and what the first word
        // is given.
        let text = "one two  two\n\none \t\u{3000} one";
        let words: Vec<&str> = text.split(BLANKS).filter(|word| !word.is_empty()).collect();
        let mut ids = Vec::new();
        for word in words {
            ids.extend_from_slice(self.plain(word)?.get_ids());
        }
        Ok(self.plain(text)?.get_ids() == ids)
    }

    /// Returns `prompt` and `text` as one input of at most `max_tokens`; the end of the text is cut.
    pub(crate) fn encode(&self, prompt: &str, text: &str) -> Result<Sequence> {
        let mut encoding = self.plain(&format!("{prompt}{text}"))?;
        encoding.truncate(self.room(false), 0, TruncationDirection::Right);
        // A space at the prompt's end belongs to the first token of the text.
        let n_prompt = self.count(prompt.trim_end())?;
        let mut sequence = self.finish(encoding, None)?;
        sequence.own.start = (sequence.own.start + n_prompt).min(sequence.own.end);
        Ok(sequence)
    }

    /// Returns query and text as a pair of at most `max_tokens`. The text is cut; the query only where it alone
    /// takes more than half.
    pub(crate) fn encode_pair(&self, query: &str, text: &str) -> Result<Sequence> {
        let room = self.room(true);
        let (mut first, mut second) = (self.plain(query)?, self.plain(text)?);
        if first.len() + second.len() > room {
            first.truncate(
                (room / 2).max(room.saturating_sub(second.len())),
                0,
                TruncationDirection::Right,
            );
            second.truncate(
                room.saturating_sub(first.len()),
                0,
                TruncationDirection::Right,
            );
        }
        self.finish(first, Some(second))
    }

    fn plain(&self, text: &str) -> Result<Encoding> {
        let encoded = match is_nfkc_quick(text.chars()) {
            IsNormalized::Yes => self.inner.encode_fast(text, false),
            IsNormalized::No | IsNormalized::Maybe => self
                .inner
                .encode_fast(text.nfkc().collect::<String>(), false),
        };
        encoded.map_err(|e| Error::Tokenizer(e.to_string()))
    }

    fn room(&self, pair: bool) -> usize {
        let added = self
            .inner
            .get_post_processor()
            .map_or(0, |p| p.added_tokens(pair));
        self.max_tokens.saturating_sub(added)
    }

    fn finish(&self, first: Encoding, second: Option<Encoding>) -> Result<Sequence> {
        let encoding = self
            .inner
            .post_process(first, second, true)
            .map_err(|e| Error::Tokenizer(e.to_string()))?;
        let special = encoding.get_special_tokens_mask();
        let start = special.iter().take_while(|mark| **mark == 1).count();
        let n_after = special[start..].iter().rev().take_while(|mark| **mark == 1);
        Ok(Sequence {
            own: start..special.len() - n_after.count(),
            ids: encoding.get_ids().to_vec(),
            types: encoding.get_type_ids().to_vec(),
        })
    }
}

impl Words {
    /// Returns the tokens of a text that is plain, or becomes so by NFKC.
    fn count(&self, text: &str) -> Option<usize> {
        self.count_plain(text)
            .or_else(|| match is_nfkc_quick(text.chars()) {
                IsNormalized::Yes => None,
                IsNormalized::No | IsNormalized::Maybe => {
                    self.count_plain(&text.nfkc().collect::<String>())
                }
            })
    }

    fn count_plain(&self, text: &str) -> Option<usize> {
        let pieces = self.pieces.get()?;
        // Hardly ever needed, and as large as some texts.
        let mut counter = None;
        let tokens_of = |word| {
            self.known(word).unwrap_or_else(|| {
                let counter = counter.get_or_insert_with(|| pieces.counter());
                self.keep(word, counter.count(word))
            })
        };
        Some(plain_words(text)?.map(tokens_of).sum())
    }

    fn known(&self, word: &str) -> Option<usize> {
        let is_short = word.len() <= WORD_BYTES;
        let shared = || self.remembered.get(word);
        is_short.then(|| self.recent.get_or(word, shared)).flatten()
    }

    fn keep(&self, word: &str, n_tokens: usize) -> usize {
        if word.len() <= WORD_BYTES {
            self.remembered.insert(word.into(), n_tokens);
        }
        n_tokens
    }
}

/// Whether all that tokenizers may take for a blank in `text` is one of [`BLANKS`], and stands between words.
fn has_plain_blanks(text: &str) -> bool {
    let may_be_blank = |c: char| {
        c.is_whitespace() && !BLANKS.contains(&c)
            || matches!(
                c,
                '\u{2581}' | '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{fffd}'
            )
    };
    !text.starts_with(BLANKS) && !text.ends_with(BLANKS) && !text.contains(may_be_blank)
}

#[cfg(test)]
mod tests;
