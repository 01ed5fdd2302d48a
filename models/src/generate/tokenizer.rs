//! Text to tokens and back, such that no document text can become a special token.

use std::collections::HashSet;
use std::path::Path;

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{NFC, NormalizerWrapper, Replace, Sequence as NormalizerSequence};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer};

use crate::gguf::Gguf;
use crate::spec::ModelId;
use crate::{Error, Result};

/// A non-character of Unicode, which no text should contain. [`ChatTokenizer::defuse`] puts it behind
/// every character that could begin a special token, and the tokenizer removes it after it has looked
/// for special tokens: the text is tokenized unchanged, but nothing in it is ever special.
const FUSE: char = '\u{FDD0}';

const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Token types of GGUF, from `llama_token_type` of llama.cpp's `include/llama.h`.
const TYPE_UNKNOWN: usize = 2;
const TYPE_CONTROL: usize = 3;
const TYPE_USER_DEFINED: usize = 4;
const TYPE_UNUSED: usize = 5;

/// A tokenizer that tells the template's special tokens from look-alikes in its content.
pub(crate) struct ChatTokenizer {
    tokenizer: Tokenizer,
    /// Characters that begin a special token.
    fuses: HashSet<char>,
    /// Tokens that are never shown: control tokens, not markup such as `<tool_call>`.
    hidden: HashSet<u32>,
}

impl ChatTokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is not one.
    pub(crate) fn from_file(path: &Path) -> Result<Self> {
        let malformed = |reason: String| Error::Malformed {
            path: path.to_owned(),
            reason,
        };
        let bytes = fs_err::read(path)?;
        let mut json: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        let mut hidden = HashSet::new();
        for token in json
            .get_mut("added_tokens")
            .and_then(|v| v.as_array_mut())
            .into_iter()
            .flatten()
        {
            let special = token["special"].as_bool().unwrap_or(false);
            if special && let Some(id) = token["id"].as_u64().and_then(|id| u32::try_from(id).ok())
            {
                hidden.insert(id);
            }
            if special || token["content"].as_str().is_some_and(is_markup) {
                token["special"] = true.into();
                token["normalized"] = false.into();
            }
        }
        // Templates write their own begin and end tokens.
        json["post_processor"] = serde_json::Value::Null;
        json["truncation"] = serde_json::Value::Null;
        json["padding"] = serde_json::Value::Null;
        let tokenizer: Tokenizer =
            serde_json::from_value(json).map_err(|error| malformed(error.to_string()))?;
        Self::new(tokenizer, hidden)
    }

    /// Builds the tokenizer described in a GGUF file's metadata.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a kind of tokenizer or pre-tokenizer that is not known exactly: a
    /// wrong guess would tokenize most texts wrongly and never say so.
    pub(crate) fn from_gguf(gguf: &Gguf, id: &ModelId) -> Result<Self> {
        let unsupported = |what: String| Error::Unsupported {
            id: id.0.clone(),
            reason: format!("{what}; put the model's own tokenizer.json beside the GGUF file"),
        };
        let kind = gguf.str("tokenizer.ggml.model")?;
        if kind != "gpt2" {
            return Err(unsupported(format!(
                "tokenizer kind `{kind}` cannot be built from GGUF metadata"
            )));
        }
        let name = gguf.str("tokenizer.ggml.pre")?;
        let Some(pre) = PreTokenizer::named(name) else {
            return Err(unsupported(format!("pre-tokenizer `{name}` is unknown")));
        };
        let tokens = gguf.strings("tokenizer.ggml.tokens")?;
        let malformed = |reason: String| Error::Malformed {
            path: gguf.path().to_owned(),
            reason,
        };
        let merges = gguf
            .strings("tokenizer.ggml.merges")?
            .into_iter()
            .map(|merge| match merge.split_once(' ') {
                Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
                None => Err(malformed(format!("merge `{merge}` is not a pair"))),
            })
            .collect::<Result<Vec<_>>>()?;
        let (added, hidden) = added_tokens(gguf, &tokens)?;
        let vocab = tokens
            .into_iter()
            .zip(0u32..)
            .collect::<std::collections::HashMap<_, _>>();
        let bpe = BPE::builder()
            .vocab_and_merges(
                vocab
                    .into_iter()
                    .collect::<tokenizers::models::bpe::Vocab>(),
                merges,
            )
            .ignore_merges(pre.ignore_merges())
            .build()
            .map_err(|error| malformed(error.to_string()))?;
        let mut tokenizer = Tokenizer::new(bpe);
        tokenizer
            .with_normalizer(pre.normalizer())
            .map_err(tokenizing)?;
        tokenizer.with_pre_tokenizer(Some(pre.build()?));
        tokenizer.with_decoder(Some(ByteLevel::new(false, false, false)));
        tokenizer.add_tokens(added).map_err(tokenizing)?;
        Self::new(tokenizer, hidden)
    }

    fn new(mut tokenizer: Tokenizer, hidden: HashSet<u32>) -> Result<Self> {
        let fuses = tokenizer
            .get_added_tokens_decoder()
            .values()
            .filter(|token| token.special)
            .filter_map(|token| token.content.chars().next())
            .collect();
        let defuse =
            NormalizerWrapper::from(Replace::new(FUSE.to_string(), "").map_err(tokenizing)?);
        let normalizer = match tokenizer.get_normalizer() {
            Some(own) => NormalizerSequence::new(vec![defuse, own.clone()]).into(),
            None => defuse,
        };
        tokenizer
            .with_normalizer(Some(normalizer))
            .map_err(tokenizing)?;
        Ok(Self {
            tokenizer,
            fuses,
            hidden,
        })
    }

    /// Marks `text` such that [`Self::encode`] finds no special token in it.
    pub(crate) fn defuse(&self, text: &str) -> String {
        let mut defused = String::with_capacity(text.len() + 16);
        for character in text.chars().filter(|c| *c != FUSE) {
            defused.push(character);
            if self.fuses.contains(&character) {
                defused.push(FUSE);
            }
        }
        defused
    }

    /// Returns the tokens of `text`, special tokens being recognized except in defused parts.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] from the library.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(tokenizing)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Returns the text of `tokens`, without the hidden ones. Bytes that are no character yet become
    /// U+FFFD.
    pub(crate) fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.tokenizer.decode(tokens, false).map_err(tokenizing)
    }

    /// Returns whether the token has no text to show.
    pub(crate) fn is_hidden(&self, token: u32) -> bool {
        self.hidden.contains(&token)
    }

    pub(crate) fn token_to_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    pub(crate) fn id_to_token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }
}

/// The ways to split text before merging that are known exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PreTokenizer {
    Gpt2,
    /// Digits stand alone, the rest as GPT-2.
    SingleDigits,
    Qwen2,
    Llama3,
}

impl PreTokenizer {
    /// Returns the one that llama.cpp's converter calls `name`.
    fn named(name: &str) -> Option<Self> {
        match name {
            "gpt-2" | "gpt2" => Some(Self::Gpt2),
            "smollm" | "starcoder" => Some(Self::SingleDigits),
            "qwen2" | "deepseek-r1-qwen" => Some(Self::Qwen2),
            "llama-bpe" | "llama3" | "llama-v3" => Some(Self::Llama3),
            _ => None,
        }
    }

    fn build(self) -> Result<PreTokenizerWrapper> {
        let split = |regex: &str| -> Result<PreTokenizerWrapper> {
            let pattern = SplitPattern::Regex(regex.to_owned());
            let split =
                Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(tokenizing)?;
            Ok(Sequence::new(vec![
                split.into(),
                ByteLevel::new(false, false, false).into(),
            ])
            .into())
        };
        let gpt2 = ByteLevel::new(false, false, true);
        Ok(match self {
            Self::Gpt2 => gpt2.into(),
            Self::SingleDigits => Sequence::new(vec![Digits::new(true).into(), gpt2.into()]).into(),
            Self::Qwen2 => split(QWEN2)?,
            Self::Llama3 => split(LLAMA3)?,
        })
    }

    fn normalizer(self) -> Option<NormalizerWrapper> {
        match self {
            Self::Qwen2 => Some(NFC.into()),
            Self::Gpt2 | Self::SingleDigits | Self::Llama3 => None,
        }
    }

    /// Returns whether a word that is in the vocabulary is taken whole, merges notwithstanding.
    fn ignore_merges(self) -> bool {
        self == Self::Llama3
    }
}

/// Returns the tokens that are found before merging, and which of them are never shown.
fn added_tokens(gguf: &Gguf, tokens: &[String]) -> Result<(Vec<AddedToken>, HashSet<u32>)> {
    let types = gguf
        .get_array("tokenizer.ggml.token_type")
        .unwrap_or_default();
    let mut added = Vec::new();
    let mut hidden = HashSet::new();
    for ((token, kind), id) in tokens.iter().zip(types).zip(0u32..) {
        let kind = kind
            .to_i32()
            .ok()
            .and_then(|kind| usize::try_from(kind).ok())
            .unwrap_or(0);
        let special = match kind {
            TYPE_UNKNOWN | TYPE_CONTROL | TYPE_UNUSED => {
                hidden.insert(id);
                // Padding of the vocabulary must not be found in any text.
                if kind == TYPE_UNUSED {
                    continue;
                }
                true
            }
            TYPE_USER_DEFINED => is_markup(token),
            _ => continue,
        };
        added.push(AddedToken::from(token.clone(), special).normalized(!special));
    }
    Ok((added, hidden))
}

/// Returns whether a token marks structure, e.g. `<think>` or `[INST]`, so that text must not contain it.
fn is_markup(token: &str) -> bool {
    token.len() > 2
        && ((token.starts_with('<') && token.ends_with('>'))
            || (token.starts_with('[') && token.ends_with(']')))
}

#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn tokenizing(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}
