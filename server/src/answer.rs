//! Questions to cited answers: one stream of typed events that every interface renders.
//!
//! A question with several parts is taken apart ([`decompose`]); what is found becomes [`passages`].
//!
//! Trust does not depend on the generator. Before it runs, [`evidence`] decides whether anything retrieved
//! supports the question; after it ran, [`attribute`] ties each sentence to the passage that supports it,
//! drops markers that do not hold and flags figures and names that no passage has. When no generator is
//! installed, it sees no answer, or nothing it wrote holds, [`extractive`] answers with the documents' own sentences.

pub mod attribute;
pub mod condense;
pub mod decompose;
pub mod evidence;
pub mod extractive;
pub mod passages;
pub mod prompt;

use crate::answer::decompose::Part;
use crate::answer::evidence::{Evidence, Scale};
use crate::answer::passages::{Count, Gathered, Passage};
use async_stream::stream;
use futures::StreamExt;
use futures::stream::BoxStream;
use kura_indexer::retrieve::{Hit, SearchRequest};
use kura_indexer::{AccessFilter, ChunkId, Collections, DocumentId, Pipeline, SearchFilter};
use kura_models::{FinishReason, Generator, Message, Prompt, Sampling, Token, Usage};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Everything an answer needs; built once.
pub struct Assistant {
    /// Where the evidence is.
    pub pipeline: Arc<Pipeline>,
    /// Who writes; without one, answers are extractive.
    pub generator: Option<Arc<dyn Generator>>,
    /// How answers are made.
    pub config: AnswerConfig,
    scale: Scale,
}

impl Assistant {
    /// Returns the probability, 0 to 1, that what is found supports a question: what the gate looks at.
    ///
    /// # Errors
    /// Those of the search and of the embedder.
    pub async fn support(
        &self,
        question: &str,
        collections: &Collections,
        filter: &SearchFilter,
        access: &AccessFilter,
    ) -> Result<f32, AnswerError> {
        let gathered = self.gather(question, collections, filter, access).await?;
        Ok(gathered.support())
    }

    /// Searches for a question and, where it has several parts, for each of them, and weighs what is found.
    ///
    /// # Errors
    /// Those of the search and of the embedder.
    pub async fn gather(
        &self,
        question: &str,
        collections: &Collections,
        filter: &SearchFilter,
        access: &AccessFilter,
    ) -> Result<Gathered, AnswerError> {
        let parts = self.parts(question, question);
        self.gather_parts(question, parts, collections, filter, access)
            .await
    }

    async fn gather_parts(
        &self,
        question: &str,
        parts: Vec<String>,
        collections: &Collections,
        filter: &SearchFilter,
        access: &AccessFilter,
    ) -> Result<Gathered, AnswerError> {
        let whole = self.evidence(question, collections, filter, access);
        let weigh = |part: String| async move {
            let evidence = self.evidence(&part, collections, filter, access).await?;
            Ok::<_, AnswerError>((part, evidence))
        };
        let parts = futures::future::try_join_all(parts.into_iter().map(weigh));
        let (whole, parts) = futures::try_join!(whole, parts)?;
        let gathered = Gathered::new(whole, parts);
        if !gathered.parts().is_empty() {
            tracing::debug!(parts = ?gathered.parts(), "took the question apart");
        }
        Ok(gathered)
    }

    /// Returns the parts of what is asked now; each takes along the earlier question that it may lean on.
    fn parts(&self, asked: &str, standalone: &str) -> Vec<String> {
        if !self.config.decompose {
            return Vec::new();
        }
        let earlier = standalone.strip_suffix(asked).unwrap_or_default();
        let parts = decompose::decompose(asked).into_iter();
        parts.map(|part| format!("{earlier}{part}")).collect()
    }

    /// Makes the passages of an answer of what was gathered. `count` counts the tokens of its reader.
    ///
    /// # Errors
    /// Those of the catalog and of the embedder.
    pub async fn passages(
        &self,
        gathered: Gathered,
        access: &AccessFilter,
        count: &Count<'_>,
    ) -> Result<Vec<Passage>, AnswerError> {
        passages::pack(&self.pipeline, gathered, &self.config, access, count).await
    }

    async fn evidence(
        &self,
        question: &str,
        collections: &Collections,
        filter: &SearchFilter,
        access: &AccessFilter,
    ) -> Result<Evidence, AnswerError> {
        let request = SearchRequest {
            text: question.to_owned(),
            collections: collections.clone(),
            filter: filter.clone(),
            limit: self.config.hits,
        };
        let found = self.pipeline.search(&request, access).await?;
        Ok(Evidence::weigh(self.scale, question, found.hits))
    }

    /// Brings the parts together and measures the embedder's scale.
    ///
    /// # Errors
    /// Those of the embedder.
    pub async fn new(
        pipeline: Arc<Pipeline>,
        generator: Option<Arc<dyn Generator>>,
        config: AnswerConfig,
    ) -> kura_models::Result<Self> {
        let embedder = pipeline.embedder().as_ref();
        let scale = Scale::measure(embedder, pipeline.token_codec()).await?;
        Ok(Self {
            pipeline,
            generator,
            config,
            scale,
        })
    }
}

/// The `[answer]` section of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerConfig {
    /// How to answer when the request does not say.
    pub mode: AnswerMode,
    /// Hits retrieved per question.
    pub hits: usize,
    /// Tokens of passages put before the generator.
    pub context_tokens: usize,
    /// Tokens by which a passage is widened within its section; 0: not at all.
    pub section_tokens: usize,
    /// Whether a question with several parts is also searched part by part.
    pub decompose: bool,
    /// Whether there is no answer when the generator sees none in passages that passed the gate. Otherwise the
    /// documents' closest sentences are shown, with a line that says so.
    pub trust_refusals: bool,
    /// The most tokens the generator writes.
    pub max_new_tokens: usize,
    /// Probability, 0 to 1, that the best passage supports the question, below which the outcome is
    /// `no_evidence`. Calibrated by `kura eval`; see `docs/ANSWERS.md`.
    pub min_support: f32,
}

/// Who writes the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerMode {
    /// The generator if there is one.
    Auto,
    /// The generator; an error if there is none.
    Generate,
    /// The documents' own sentences.
    Extractive,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The question.
    pub text: String,
    /// Where to look.
    pub collections: Collections,
    /// Which documents to look at there.
    pub filter: SearchFilter,
    /// The conversation so far, oldest first.
    pub history: Vec<Message>,
    /// Who writes.
    pub mode: AnswerMode,
}

/// A step towards the answer. The stream ends with `Completed` or `Failed`.
#[derive(Debug)]
pub enum AnswerEvent {
    /// What the answer will be made from.
    Retrieved(Retrieved),
    /// The next piece of unverified text.
    Delta(String),
    /// The verified answer, which replaces all text sent before.
    Completed(Box<Answer>),
    /// What went wrong. Never stands for "nothing found".
    Failed(AnswerError),
}

/// What an answer will be made from.
#[derive(Debug, Clone)]
pub struct Retrieved {
    /// The passages, as they are read; none when there is no evidence. Text and span may reach beyond the chunk.
    pub hits: Vec<Hit>,
    /// The parts of the question that were searched by themselves; none if it has but one.
    pub parts: Vec<Part>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The question has no text.
    #[error("the question is empty")]
    EmptyQuestion,
    /// `generate` was asked for, but no generator is installed.
    #[error(
        "no generator is installed; run `kura models pull` with the configured generator, or ask in mode `extractive`"
    )]
    NoGenerator,
    /// Retrieval failed.
    #[error(transparent)]
    Retrieve(#[from] kura_indexer::Error),
    /// A model failed.
    #[error(transparent)]
    Model(#[from] kura_models::Error),
    /// Whether its reader may still read what it draws on could not be found out.
    #[error(transparent)]
    Identity(#[from] crate::identity::Error),
}

/// Whether the documents support an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer rests on the cited passages.
    Grounded,
    /// Nothing retrieved supports the question; there is nothing to cite.
    NoEvidence,
    /// A document that it drew on was replaced, deleted or closed to its reader meanwhile; there is nothing to show.
    Withdrawn,
}

impl Outcome {
    /// Returns its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grounded => "grounded",
            Self::NoEvidence => "no_evidence",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A verified answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether the documents support it.
    pub outcome: Outcome,
    /// Who wrote it: `generate` or `extractive`.
    pub mode: AnswerMode,
    /// The text, with markers such as `[1]` after the sentences they support.
    pub text: String,
    /// One per marker and supported sentence.
    pub citations: Vec<Citation>,
    /// What a reader should check.
    pub flags: Vec<Flag>,
    /// Probability, 0 to 1, that what was retrieved supports the question.
    pub support: f32,
    /// Why the text ends.
    pub finish_reason: FinishReason,
    /// Tokens read and written by the generator.
    pub usage: Usage,
    /// The generator, if one wrote.
    pub generator: Option<String>,
    /// Where the time went.
    pub timings_ms: Timings,
}

/// A place in an answer tied to a chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// The number in the text, from 1 in order of appearance; one per chunk.
    pub marker: u32,
    /// The document.
    pub document: DocumentId,
    /// The chunk.
    pub chunk: ChunkId,
    /// The document's title.
    pub title: String,
    /// The document's source.
    pub source: String,
    /// Page or slide, from 1.
    pub page: Option<u32>,
    /// Spreadsheet range.
    pub range: Option<String>,
    /// Headings above it.
    pub headings: Vec<String>,
    /// The supporting words, byte for byte from the document.
    pub quote: String,
    /// Byte range of the quote in the document's text.
    pub quote_span: Range<usize>,
    /// Byte range in the answer's text: the sentence supported, without its marker.
    pub answer_span: Range<usize>,
}

/// Something in an answer that a reader should check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// What is wrong.
    pub kind: FlagKind,
    /// The figure, the name or the sentence.
    pub text: String,
    /// Byte range of the sentence in the answer's text.
    pub answer_span: Range<usize>,
}

/// What is wrong with a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlagKind {
    /// A figure that is not in the sentence's passage.
    UnsupportedNumber,
    /// A name that is not in the sentence's passage.
    UnsupportedName,
    /// No passage supports the sentence.
    UncitedSentence,
    /// The sentence says that the generator saw no answer in the passages whose sentences follow.
    ModelRefused,
}

/// Milliseconds per step.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Timings {
    /// Search and gate.
    pub retrieve: f64,
    /// From the start to the first generated text.
    pub first_token: f64,
    /// Generation.
    pub generate: f64,
    /// Attribution.
    pub verify: f64,
    /// All of it.
    pub total: f64,
}

/// Answers a question. Dropping the stream cancels the work.
pub fn answer(
    assistant: Arc<Assistant>,
    question: Question,
    access: AccessFilter,
) -> BoxStream<'static, AnswerEvent> {
    stream! {
        let mut steps = std::pin::pin!(run(assistant, question, access));
        while let Some(step) = steps.next().await {
            match step {
                Ok(event) => yield event,
                Err(error) => {
                    yield AnswerEvent::Failed(error);
                    return;
                }
            }
        }
    }
    .boxed()
}

fn run(
    assistant: Arc<Assistant>,
    question: Question,
    access: AccessFilter,
) -> impl futures::Stream<Item = Result<AnswerEvent, AnswerError>> {
    async_stream::try_stream! {
        let start = Instant::now();
        let mut timings = Timings::default();
        let asked = question.text.trim().to_owned();
        if asked.is_empty() {
            Err(AnswerError::EmptyQuestion)?;
        }
        let mode = if question.mode == AnswerMode::Auto { assistant.config.mode } else { question.mode };
        let generator = assistant.generator.clone().filter(|_| mode != AnswerMode::Extractive);
        if mode == AnswerMode::Generate && generator.is_none() {
            Err(AnswerError::NoGenerator)?;
        }
        let language = prompt::Language::of(&asked);
        let standalone = condense::standalone(&asked, &question.history);
        let embedder = assistant.pipeline.embedder();
        let parts = assistant.parts(&asked, &standalone);
        let evidence = assistant.gather_parts(&standalone, parts, &question.collections, &question.filter, &access).await?;
        let (support, parts) = (evidence.support(), evidence.parts());
        let passages = if evidence.is_empty() || support < assistant.config.min_support {
            Vec::new()
        } else if let Some(generator) = &generator {
            assistant.passages(evidence, &access, &|text| generator.count_tokens(text)).await?
        } else {
            assistant.passages(evidence, &access, &|text| embedder.count_tokens(text)).await?
        };
        timings.retrieve = ms(start);

        let hits = passages.iter().map(Passage::as_read).collect();
        yield AnswerEvent::Retrieved(Retrieved { hits, parts });
        if passages.is_empty() {
            timings.total = ms(start);
            yield AnswerEvent::Completed(Box::new(no_evidence(language, support, Usage::default(), None, timings)));
            return;
        }

        let Some(generator) = generator else {
            let mut answer = extractive::answer(&passages, support);
            timings.verify = ms(start) - timings.retrieve;
            timings.total = ms(start);
            answer.timings_ms = timings;
            yield AnswerEvent::Delta(answer.text.clone());
            yield AnswerEvent::Completed(Box::new(answer));
            return;
        };

        let generating = Instant::now();
        let prompt = Prompt {
            messages: prompt::messages(language, &asked, &question.history, &passages),
            sampling: Sampling::Greedy,
            max_new_tokens: assistant.config.max_new_tokens,
            stop: prompt::stop_strings(),
        };
        let mut tokens = generator.generate(prompt).await?;
        let (mut raw, mut finish_reason, mut usage) = (String::new(), FinishReason::Stop, Usage::default());
        let mut shown = 0;
        while let Some(token) = tokens.next().await {
            match token? {
                Token::Text(text) => {
                    if raw.is_empty() {
                        timings.first_token = ms(start);
                    }
                    raw.push_str(&text);
                    // A refusal is not shown as if it were an answer.
                    if !prompt::may_become_refusal(&raw) {
                        yield AnswerEvent::Delta(raw[shown..].to_owned());
                        shown = raw.len();
                    }
                }
                Token::End { reason, usage: counted } => (finish_reason, usage) = (reason, counted),
            }
        }
        timings.generate = ms(generating);
        let name = generator.spec().id.to_string();
        let refused = prompt::is_refusal(&raw);
        if refused && assistant.config.trust_refusals {
            timings.total = ms(start);
            yield AnswerEvent::Completed(Box::new(no_evidence(language, support, usage, Some(name), timings)));
            return;
        }

        let verifying = Instant::now();
        let mut answer = if refused {
            extractive::closest(language, &passages, support)
        } else {
            let verified = attribute::attribute(embedder.as_ref(), assistant.scale, &raw, &passages).await?;
            if verified.citations.is_empty() {
                // Nothing the generator wrote holds, but the gate found support: the documents speak for themselves.
                extractive::answer(&passages, support)
            } else {
                Answer {
                    outcome: Outcome::Grounded,
                    mode: AnswerMode::Generate,
                    text: verified.text,
                    citations: verified.citations,
                    flags: verified.flags,
                    support,
                    finish_reason,
                    usage,
                    generator: Some(name),
                    timings_ms: timings,
                }
            }
        };
        timings.verify = ms(verifying);
        timings.total = ms(start);
        answer.usage = usage;
        answer.timings_ms = timings;
        yield AnswerEvent::Completed(Box::new(answer));
    }
}

fn no_evidence(
    language: prompt::Language,
    support: f32,
    usage: Usage,
    generator: Option<String>,
    timings_ms: Timings,
) -> Answer {
    Answer {
        outcome: Outcome::NoEvidence,
        mode: if generator.is_some() {
            AnswerMode::Generate
        } else {
            AnswerMode::Extractive
        },
        text: language.no_evidence().to_owned(),
        citations: Vec::new(),
        flags: Vec::new(),
        support,
        finish_reason: FinishReason::Stop,
        usage,
        generator,
        timings_ms,
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
