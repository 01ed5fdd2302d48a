//! Text to token ids for encoders: NFKC, the model's own tokenizer, truncation that keeps special tokens.

use std::ops::Range;
use std::path::Path;

use tokenizers::{Encoding, PostProcessor, Tokenizer, TruncationDirection};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use crate::{Error, Result};

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

/// `tokenizer.json` of a model.
pub(crate) struct TextTokenizer {
    inner: Tokenizer,
    max_tokens: usize,
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
        Ok(Self { inner, max_tokens })
    }

    /// Returns the number of tokens without special tokens.
    pub(crate) fn count(&self, text: &str) -> Result<usize> {
        Ok(self.plain(text)?.len())
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

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = r#"{"version":"1.0","added_tokens":[
        {"id":0,"content":"[SEP]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
        "normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
        "model":{"type":"WordLevel","vocab":{"[SEP]":0,"[UNK]":1,"pay":2,"SEP":3,"[":4,"]":5},"unk_token":"[UNK]"}}"#;

    #[test]
    fn a_text_never_becomes_a_special_token() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("tokenizer.json"), WORDS).unwrap();
        let tokenizer = TextTokenizer::load(dir.path(), 16).unwrap();
        assert_eq!(
            tokenizer.encode("", "pay [SEP] pay").unwrap().ids,
            [2, 4, 3, 5, 2]
        );
        assert_eq!(
            tokenizer.encode_pair("pay", "[SEP]").unwrap().ids,
            [2, 4, 3, 5]
        );
    }
}
