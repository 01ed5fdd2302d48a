//! Generators on Candle: loading, rendering prompts, and handing jobs to the engine's thread.
//!
//! In reading order: [`CandleGenerator`], then `engine` (the loop), `tokenizer` (what may become a
//! special token), `text` (tokens to characters, stop strings).

mod engine;
pub(crate) mod files;
mod text;
pub(crate) mod tokenizer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use candle_core::Device;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::arch::decoder::Decoder;
use crate::generate::engine::{Engine, Job};
use crate::generate::files::ModelFiles;
use crate::generate::tokenizer::ChatTokenizer;
use crate::template::ChatTemplate;
use crate::{
    DeviceChoice, Error, Generator, Installed, Message, ModelKind, ModelSpec, Prompt, Result, Token,
};

/// Generations that may wait for the one being worked on.
const QUEUE: usize = 8;

/// Loads an installed generator, see [`CandleGenerator::load`].
///
/// # Errors
/// As [`CandleGenerator::load`], and [`Error::Device`](crate::Error::Device).
pub fn load_generator(installed: &Installed, device: &DeviceChoice) -> Result<Arc<dyn Generator>> {
    let device = device.open()?;
    Ok(Arc::new(CandleGenerator::load(
        &installed.dir,
        &installed.spec,
        &device,
    )?))
}

/// A decoder on its own thread. Dropping it ends the thread after the current token.
pub struct CandleGenerator {
    spec: ModelSpec,
    context_length: usize,
    tokenizer: Arc<ChatTokenizer>,
    template: ChatTemplate,
    begin_token: Option<u32>,
    jobs: mpsc::Sender<Job>,
}

impl CandleGenerator {
    /// Loads the weights in `dir` onto `device`: the GGUF file (architectures `llama`, `qwen2`, `qwen3`,
    /// `gemma3`, `phi3`), or safetensors with `config.json` (`llama`, `qwen2`, `qwen3`). Blocks for
    /// seconds.
    ///
    /// The tokenizer is `tokenizer.json` if `dir` has one, else the one in the GGUF file; the chat
    /// template is that of `spec`, of `chat_template.jinja`, of `tokenizer_config.json` or of the GGUF
    /// file, in this order.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the architecture, tokenizer or template is unknown or absent,
    /// [`Error::Malformed`], [`Error::Io`] or [`Error::Candle`] when the files cannot be read,
    /// [`Error::WrongKind`] when `spec` is no generator.
    pub fn load(dir: &Path, spec: &ModelSpec, device: &Device) -> Result<Self> {
        let ModelKind::Generator {
            chat_template,
            stop_tokens,
        } = &spec.kind
        else {
            return Err(Error::WrongKind {
                id: spec.id.0.clone(),
                actual: spec.kind.noun(),
                wanted: "a generator",
            });
        };
        let files = ModelFiles::open(dir, spec)?;
        let tokenizer = Arc::new(files.tokenizer(&spec.id)?);
        let special = files.special_tokens(&tokenizer, stop_tokens, &spec.id)?;
        let source = files.chat_template(chat_template.as_deref(), &spec.id)?;
        let template =
            ChatTemplate::new(source, special.begin_text.clone(), special.end_text.clone())?;
        let (config, weights) = files.into_weights(&spec.id, device)?;
        let context_length = config.context_length.min(spec.max_tokens);
        let decoder = Decoder::load(config, weights, &spec.id, device)?;
        tracing::info!(model = %spec.id, context_length, "generator loaded");

        let (jobs, queue) = mpsc::channel(QUEUE);
        let engine = Engine::new(
            decoder,
            Arc::clone(&tokenizer),
            special.end,
            device.is_cpu(),
        );
        std::thread::Builder::new()
            .name(format!("generate {}", spec.id))
            .spawn(move || engine.run(queue))?;
        let begin_token = special.begin;
        Ok(Self {
            spec: spec.clone(),
            context_length,
            tokenizer,
            template,
            begin_token,
            jobs,
        })
    }

    /// Returns the tokens of a conversation, up to where the assistant speaks next.
    ///
    /// Special tokens come from the template only: text in `messages` that looks like one is read as
    /// text.
    ///
    /// # Errors
    /// [`Error::Template`] when the template refuses the conversation, [`Error::Tokenizer`].
    pub fn tokenize(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let defused: Vec<Message> = messages
            .iter()
            .map(|message| Message {
                role: message.role,
                content: self.tokenizer.defuse(&message.content),
            })
            .collect();
        let mut tokens = self.tokenizer.encode(&self.template.render(&defused)?)?;
        if let Some(begin) = self.begin_token
            && tokens.first() != Some(&begin)
        {
            tokens.insert(0, begin);
        }
        Ok(tokens)
    }

    /// Returns the tokens of `text` as plain text: never special tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn tokenize_text(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(&self.tokenizer.defuse(text))
    }
}

#[async_trait]
impl Generator for CandleGenerator {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn context_length(&self) -> usize {
        self.context_length
    }

    fn count_tokens(&self, text: &str) -> usize {
        // The library fails on no text with these tokenizers; bytes are an upper bound of the tokens.
        self.tokenize_text(text)
            .map_or(text.len(), |tokens| tokens.len())
    }

    async fn generate(&self, prompt: Prompt) -> Result<BoxStream<'static, Result<Token>>> {
        let tokens = self.tokenize(&prompt.messages)?;
        if tokens.is_empty() {
            return Err(Error::Tokenizer(
                "the prompt has no tokens; send at least one message".to_owned(),
            ));
        }
        if tokens.len().saturating_add(prompt.max_new_tokens) > self.context_length {
            return Err(Error::PromptTooLong {
                prompt_tokens: tokens.len(),
                max_new_tokens: prompt.max_new_tokens,
                context_length: self.context_length,
            });
        }
        let (answer, answers) = mpsc::unbounded_channel();
        let job = Job {
            prompt: tokens,
            sampling: prompt.sampling,
            max_new_tokens: prompt.max_new_tokens,
            stop: prompt.stop,
            answer,
        };
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::Overloaded,
            TrySendError::Closed(_) => Error::Stopped,
        })?;
        Ok(answer_stream(answers).boxed())
    }
}

/// Ends after [`Token::End`] or an error. A channel that closes before either means that the thread died.
fn answer_stream(
    answers: mpsc::UnboundedReceiver<Result<Token>>,
) -> impl futures::Stream<Item = Result<Token>> + Send + 'static {
    futures::stream::unfold(Some(answers), |answers| async move {
        let mut answers = answers?;
        let item = answers.recv().await.unwrap_or(Err(Error::Stopped));
        let goes_on = matches!(item, Ok(Token::Text(_)));
        Some((item, goes_on.then_some(answers)))
    })
}
