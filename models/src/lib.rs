//! Models: embedders, rerankers and generators on Candle, text recognition on rten, and the registry that knows them.
//!
//! In reading order:
//! - [`spec`]: what a model is: sources, files, licence, architecture, prompts.
//! - [`registry`]: the models kura knows and those installed: list, pull, verify, import, locate.
//! - [`device`]: CPU or GPU, decided once.
//! - [`embed`], [`rerank`], `generate`: the implementations of the three traits on Candle.
//! - [`ocr`]: text recognition in pictures.
//!
//! Invariants: nothing here knows of documents, users or HTTP servers; nothing reads the environment;
//! nothing opens a network connection except the registry's explicit `pull`.

mod arch;
mod batch;
pub mod device;
pub mod embed;
pub mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod fetch;
pub mod generate;
mod gguf;
pub mod ocr;
pub mod registry;
pub mod rerank;
mod sampling;
pub mod spec;
mod template;
mod tokenizer;

use async_trait::async_trait;
use futures::stream::BoxStream;

pub use device::DeviceChoice;
pub use embed::{EmbedConfig, load_embedder};
pub use error::{Error, Result};
pub use fetch::{PackageClient, Progress};
pub use generate::{CandleGenerator, load_generator};
pub use ocr::{Picture, PpOcr, Recognized, RecognizedLine, Recognizer, load_recognizer};
pub use registry::{InstallState, Installed, Listed, Manifest, ManifestFile, Registry};
pub use rerank::load_reranker;
pub use spec::{ModelId, ModelKind, ModelSpec, Pooling};

/// `dim` components, unit L2 norm.
pub type Vector = Vec<f32>;

/// What an embedder makes of a text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Embedding {
    /// Stands for the whole text.
    pub vector: Vector,
    /// One state per token, for late interaction.
    pub tokens: TokenStates,
}

/// The last hidden states of a text's tokens, without those of the prompt and of special tokens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TokenStates {
    /// Ids in the model's vocabulary, in order.
    pub ids: Vec<u32>,
    /// `[ids.len(), width]`, row by row, not normalized.
    pub states: Vec<f32>,
}

impl TokenStates {
    /// Returns the rows, one per token.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        let width = self.states.len() / self.ids.len().max(1);
        self.states.chunks_exact(width.max(1))
    }
}

/// Turns text into vectors that can be compared with one another.
///
/// Vectors of two embedders must never be compared. Implementations run their forward passes on a
/// thread of their own; the methods only wait.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// Returns what this model is.
    fn spec(&self) -> &ModelSpec;

    /// Returns the length of every vector.
    fn dim(&self) -> usize;

    /// Returns the number of tokens of `text` without prompt and special tokens.
    fn count_tokens(&self, text: &str) -> usize;

    /// Returns whether this is known to be a text whose tokens can be added to those of others of its kind, before and
    /// after it: joined by spaces or line ends they have as many as one by one.
    fn tokens_add_up(&self, text: &str) -> bool {
        let _ = text;
        false
    }

    /// Embeds a search query. The query prompt is added here; text beyond the model's
    /// `max_tokens` is cut at the end.
    async fn embed_query(&self, text: &str) -> Result<Embedding>;

    /// Embeds texts for indexing: one embedding per text, in order. The document prompt is added here;
    /// text beyond the model's `max_tokens` is cut at the end. No texts give no embeddings.
    async fn embed_documents(&self, texts: &[String]) -> Result<Vec<Embedding>>;

    /// Does the same ahead of everything that is being indexed: for texts that somebody waits for.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many are waiting already.
    async fn embed_at_once(&self, texts: &[String]) -> Result<Vec<Embedding>> {
        self.embed_documents(texts).await
    }
}

/// Scores how well texts answer a query.
#[async_trait]
pub trait Reranker: Send + Sync {
    /// Returns what this model is.
    fn spec(&self) -> &ModelSpec;

    /// Returns one relevance logit per text, in order; higher is better, and [`rerank::relevance`] makes it a
    /// probability. A pair beyond the model's `max_tokens` loses the end of its text; the query is cut only where it
    /// takes more than half. Dropping the future abandons what has not begun.
    ///
    /// # Errors
    /// [`Error::Candle`] when the forward pass fails or gives something that is no number; [`Error::Stopped`].
    async fn rerank(&self, query: &str, texts: &[String]) -> Result<Vec<f32>>;
}

/// Writes text.
///
/// This is the whole surface of the engine (submit, stream, cancel, count), so that it can be replaced.
#[async_trait]
pub trait Generator: Send + Sync {
    /// Returns what this model is.
    fn spec(&self) -> &ModelSpec;

    /// Returns the most tokens prompt and answer may have together.
    fn context_length(&self) -> usize;

    /// Returns the number of tokens of `text` as plain text: never special tokens.
    fn count_tokens(&self, text: &str) -> usize;

    /// Starts generating. Dropping the stream cancels the work within one token.
    ///
    /// The stream ends with exactly one [`Token::End`], or with an error.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when the queue is full; [`Error::PromptTooLong`] when prompt and
    /// `max_new_tokens` do not fit the context.
    async fn generate(&self, prompt: Prompt) -> Result<BoxStream<'static, Result<Token>>>;
}

/// What a generator is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The conversation, oldest first; rendered with the model's own chat template.
    pub messages: Vec<Message>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// The most tokens to write.
    pub max_new_tokens: usize,
    /// Strings that end the answer; they are not part of it.
    pub stop: Vec<String>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said. Chat-template tokens in it are plain text, never special tokens.
    pub content: String,
}

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The operator's instructions.
    System,
    /// The person asking.
    User,
    /// The model.
    Assistant,
}

/// How the next token is chosen. One enum, so that invalid combinations cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// The most probable token.
    Greedy,
    /// Random by probability; repeatable for a `seed`.
    Random {
        /// Above 0; 1 leaves the distribution as it is.
        temperature: f64,
        /// Nucleus mass in (0, 1]; 1 keeps every token.
        top_p: f64,
        /// The most candidates; 0 keeps every token.
        top_k: usize,
        /// Seed of the random number generator.
        seed: u64,
    },
}

/// One step of a generation.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// The next piece of text: whole characters, possibly several tokens.
    Text(String),
    /// The end, always last.
    End {
        /// Why it ended.
        reason: FinishReason,
        /// Tokens counted by the model's own tokenizer.
        usage: Usage,
    },
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn, or a stop string was met.
    Stop,
    /// `max_new_tokens` were written.
    Length,
}

/// Tokens read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Tokens of the rendered prompt.
    pub prompt_tokens: usize,
    /// Of those, tokens whose keys and values were reused from an earlier prompt.
    pub cached_tokens: usize,
    /// Tokens written, the end-of-turn token not counted.
    pub completion_tokens: usize,
}
