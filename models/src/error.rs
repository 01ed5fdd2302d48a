//! The one error type of this crate: a variant per thing a caller might treat differently.

use std::path::PathBuf;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with models.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No model of that name is registered.
    #[error("unknown model `{id}`; `kura models list` shows the known ones")]
    UnknownModel {
        /// The name asked for.
        id: String,
    },
    /// The model is registered but its files are not installed.
    #[error("model `{id}` is not installed; run `kura models pull {id}`")]
    NotInstalled {
        /// The model.
        id: String,
    },
    /// The model cannot do what was asked of it.
    #[error("model `{id}` is {actual}, not {wanted}")]
    WrongKind {
        /// The model.
        id: String,
        /// What it is, with article.
        actual: &'static str,
        /// What was needed, with article.
        wanted: &'static str,
    },
    /// A file does not have the registered hash. It was moved to `quarantine`.
    #[error(
        "file `{file}` of model `{id}` has sha256 {actual}, expected {expected}; it was moved to `{}`: \
         pull the model again, and if the hash still differs do not trust that source",
        quarantine.display()
    )]
    HashMismatch {
        /// The model.
        id: String,
        /// The file's name within the model.
        file: String,
        /// The registered sha256.
        expected: String,
        /// The sha256 of what was read.
        actual: String,
        /// Where the refused file now lies.
        quarantine: PathBuf,
    },
    /// A source could not deliver a file.
    #[error("cannot fetch `{what}` for model `{id}`: {reason}")]
    Fetch {
        /// The model.
        id: String,
        /// URL, package or path.
        what: String,
        /// Cause and remedy.
        reason: String,
    },
    /// A model file is not what its format says.
    #[error("cannot read model file `{}`: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is sound, but kura has no code for it (architecture, pre-tokenizer, weight type).
    #[error("model `{id}` is not supported: {reason}")]
    Unsupported {
        /// The model.
        id: String,
        /// What is missing.
        reason: String,
    },
    /// The registry file is invalid.
    #[error("invalid model registry: {reason}")]
    Registry {
        /// What is wrong.
        reason: String,
    },
    /// The requested device cannot be used.
    #[error("device `{device}` cannot be used: {reason}")]
    Device {
        /// The device asked for.
        device: String,
        /// Cause and remedy.
        reason: String,
    },
    /// The queue is full; nothing was computed.
    #[error("the model queue is full; retry later")]
    Overloaded,
    /// Prompt and answer do not fit the model's context.
    #[error(
        "prompt of {prompt_tokens} tokens and {max_new_tokens} new ones exceed the context of {context_length}"
    )]
    PromptTooLong {
        /// Tokens of the rendered prompt.
        prompt_tokens: usize,
        /// Tokens asked for.
        max_new_tokens: usize,
        /// What the model can hold.
        context_length: usize,
    },
    /// The model's thread has ended.
    #[error("the model's thread has stopped; restart kura and report the log before this line")]
    Stopped,
    /// An I/O error; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// An error of the tensor library.
    #[error("inference failed: {0}")]
    Candle(#[from] candle_core::Error),
    /// An error of the tokenizer library.
    #[error("tokenizing failed: {0}")]
    Tokenizer(String),
    /// Text recognition failed.
    #[error("text recognition failed: {0}")]
    Recognition(String),
    /// The chat template could not be rendered.
    #[error("rendering the chat template failed: {0}")]
    Template(#[from] minijinja::Error),
}
