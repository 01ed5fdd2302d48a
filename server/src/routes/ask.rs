//! `/api/v1/ask`

use super::filter::{self, Filter};
use super::jobs::sse;
use super::search::Hit;
use super::{Json, Problems, Span, chunk_id, require_text, resolve, uuid};
use crate::answer::decompose::Part;
use crate::answer::{self, AnswerEvent, AnswerMode, Question};
use crate::app::{App, AppState};
use crate::audit::{Audited, Outcome as Ended};
use crate::auth::Principal;
use crate::conversations::Asked;
use crate::error::{ApiError, Code};
use crate::openapi::events::AskEvents;
use crate::{telemetry, watch};
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use kura_indexer::DocumentId;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a person asks.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Question)]
pub struct AskRequest {
    /// The question, in any language; the answer has the same.
    pub question: String,
    /// Names of the collections to search; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Which documents to look at; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// The conversation that the question follows up; a new one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// How to answer; `answer.mode` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether the answer comes as server-sent events while it is written.
    #[serde(default = "yes")]
    pub stream: bool,
}

fn yes() -> bool {
    true
}

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = QuestionMode)]
pub enum Mode {
    /// Generate if there is a generator, extract otherwise.
    Auto,
    /// Write the answer with the generator.
    Generate,
    /// Answer with the best sentences of the documents.
    Extractive,
}

/// How an answer was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AnswerMode)]
pub enum Made {
    /// Written by the generator.
    Generate,
    /// Taken from the documents.
    Extractive,
}

/// A verified answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Answer)]
pub struct AnswerBody {
    /// UUID.
    pub id: String,
    /// The conversation it belongs to; over HTTP there always is one.
    #[schema(value_type = String)]
    pub conversation: Option<String>,
    /// Whether the documents support an answer.
    pub outcome: Outcome,
    /// How it was made.
    pub mode: Made,
    /// The text, with markers such as `[1]`.
    pub text: String,
    /// What the markers stand for.
    pub citations: Vec<Citation>,
    /// What could not be verified.
    pub flags: Vec<Flag>,
    /// Probability, 0 to 1, that what was retrieved supports the question.
    #[serde(default)]
    pub support: f32,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens read and written.
    pub usage: Usage,
    /// The generator's name; absent for an extracted answer.
    #[schema(required)]
    pub generator: Option<String>,
    /// How long it took.
    pub timings_ms: Timings,
}

/// Whether the documents support an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AnswerOutcome)]
pub enum Outcome {
    /// They do.
    Grounded,
    /// They do not.
    NoEvidence,
    /// They did: a document that it drew on was replaced, deleted or closed to the reader since, perhaps while it was
    /// written. Its text and citations are gone.
    Withdrawn,
}

/// A place in an answer tied to a chunk.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Citation {
    /// The number in the text, from 1.
    pub marker: u32,
    /// The document's id.
    pub document: String,
    /// The chunk's id.
    pub chunk: String,
    /// The document's title.
    pub title: String,
    /// The document's source.
    pub source: String,
    /// Page or slide, from 1.
    #[schema(required)]
    pub page: Option<u32>,
    /// Spreadsheet range.
    #[schema(required)]
    pub range: Option<String>,
    /// Headings above it, outermost first.
    pub headings: Vec<String>,
    /// The words of the document that support the sentence.
    pub quote: String,
    /// Where the quote stands in the document's text, in bytes.
    pub quote_span: Span,
    /// The supported sentence in the answer's text, in bytes.
    pub answer_span: Span,
}

/// Something in an answer that could not be verified.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Flag {
    /// What kind of thing.
    pub kind: FlagKind,
    /// The words in question.
    pub text: String,
    /// The sentence they stand in, in the answer's text, in bytes.
    pub answer_span: Span,
}

/// What could not be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlagKind {
    /// A number that its passage does not have.
    UnsupportedNumber,
    /// A name that its passage does not have.
    UnsupportedName,
    /// A sentence that no passage supports.
    UncitedSentence,
    /// The line that says that the language model saw no answer in the passages whose sentences follow it.
    ModelRefused,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It was complete.
    Stop,
    /// It reached `answer.max_new_tokens`.
    Length,
}

/// Tokens read and written, counted by the generator's tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of those, tokens reused from an earlier prompt.
    pub cached_tokens: usize,
    /// Tokens written.
    pub completion_tokens: usize,
}

/// How long the stages of an answer took, in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = AnswerTimings)]
pub struct Timings {
    /// Searching.
    pub retrieve: f64,
    /// From the start until the first piece of text.
    pub first_token: f64,
    /// Generating.
    pub generate: f64,
    /// Attributing and verifying.
    pub verify: f64,
    /// Everything.
    pub total: f64,
}

/// Event `retrieved`: what the answer will be based on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Retrieved {
    /// The conversation, for follow-up questions.
    pub conversation: String,
    /// What is put before the generator; none when nothing supports an answer. A text may reach beyond its chunk, as
    /// far as it is read.
    pub items: Vec<Hit>,
    /// The parts of a question with several, which were also searched by themselves.
    #[serde(default)]
    pub parts: Vec<QuestionPart>,
}

/// A part of a question that was searched by itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QuestionPart {
    /// What was searched for.
    pub query: String,
    /// Probability, 0 to 1, that what was found supports it.
    pub support: f32,
}

impl From<Part> for QuestionPart {
    fn from(Part { query, support }: Part) -> Self {
        Self { query, support }
    }
}

/// Event `delta`: a piece of text as it is written, not verified yet.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Delta {
    /// The piece.
    pub text: String,
}

/// What happens while a question is answered, ready for the wire.
pub(crate) enum AskEvent {
    Retrieved(Retrieved),
    Delta(Delta),
    Completed(Box<AnswerBody>),
    Failed(ApiError),
}

/// Answers a question from the documents, with citations.
///
/// With `stream` (the default) the response is a stream of server-sent events: `retrieved` (`Retrieved`), any number
/// of `delta` (`Delta`), then `completed` (`Answer`, whose text replaces the deltas) or `failed` (`Problem`). An answer
/// ends at once with the outcome `withdrawn` when a document that it draws on is replaced, deleted or closed to the
/// caller meanwhile.
#[utoipa::path(post, path = "/api/v1/ask", tag = "ask", request_body = AskRequest,
    responses((status = 200, content(
        (AnswerBody = "application/json"), (AskEvents = "text/event-stream"))), Problems))]
pub async fn ask(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Json(request): Json<AskRequest>,
) -> Result<Response, ApiError> {
    let stream = request.stream;
    let events = start(&app, &principal, &audited, request).await?;
    if stream {
        // By the stream, once it is known what it shows.
        audited.defer();
        let events = events.map(|event| Ok::<_, Infallible>(event.into()));
        return Ok(Sse::new(events)
            .keep_alive(KeepAlive::default())
            .into_response());
    }
    Ok(axum::Json(last(events).await?).into_response())
}

/// Checks a question, opens or continues its conversation, and starts answering.
async fn start(
    app: &AppState,
    principal: &Principal,
    audited: &Audited,
    request: AskRequest,
) -> Result<BoxStream<'static, AskEvent>, ApiError> {
    audited.asked(
        "question",
        &request.question,
        request.collections.as_deref(),
    );
    require_text("question", &request.question)?;
    let mode = request.mode.map_or(AnswerMode::Auto, Into::into);
    require_generator(app, mode)?;
    let collections = resolve(app, principal, request.collections.as_deref()).await?;
    let filter = filter::to_core(request.filter.as_ref())?;
    let (asked, earlier) = converse(app, principal, &request).await?;
    let Asked {
        conversation,
        ordinal,
        history,
    } = asked;
    audited.target("conversation", &conversation.to_string());
    let question = Question {
        text: request.question,
        collections,
        filter,
        history,
        mode,
    };
    let events = watch::answer(app.clone(), principal.clone(), question, earlier);
    let events = recorded(app.clone(), audited.clone(), conversation, ordinal, events);
    Ok(events.boxed())
}

/// Fails at once where generation is asked for and there is no generator.
pub(crate) fn require_generator(app: &App, mode: AnswerMode) -> Result<(), ApiError> {
    let mode = if mode == AnswerMode::Auto {
        app.config.answer.mode
    } else {
        mode
    };
    match (mode, &app.assistant.generator) {
        (AnswerMode::Generate, None) => Err(ApiError::new(
            Code::NoGenerator,
            "no generator is loaded; pull one with `kura models pull` and restart, or ask with mode `extractive`",
        )),
        (AnswerMode::Generate | AnswerMode::Auto | AnswerMode::Extractive, _) => Ok(()),
    }
}

/// Opens or continues the conversation; returns the question in it, and the documents that the answers before it cite.
async fn converse(
    app: &App,
    principal: &Principal,
    request: &AskRequest,
) -> Result<(Asked, Vec<DocumentId>), ApiError> {
    let collections = request.collections.as_deref();
    let Some(id) = &request.conversation else {
        let asked = app
            .conversations
            .start(principal.id(), &request.question, collections);
        return Ok((asked.await?, Vec::new()));
    };
    let unknown = || {
        ApiError::new(
            Code::UnknownConversation,
            format!("unknown conversation `{id}`"),
        )
    };
    let (owner, id) = (principal.id(), uuid(id, unknown)?);
    let mut earlier = app.conversations.cited_in(owner, id).await?;
    let hidden = app.hidden_from(owner, id, &principal.access()).await?;
    earlier.retain(|document| !hidden.contains(document));
    let asked = app
        .conversations
        .ask(owner, id, &request.question, collections, hidden);
    Ok((asked.await?.ok_or_else(unknown)?, earlier))
}

/// Turns core events into wire events, keeping the answer and recording on the way.
fn recorded(
    app: AppState,
    audited: Audited,
    conversation: Uuid,
    asked: u32,
    mut events: BoxStream<'static, AnswerEvent>,
) -> impl Stream<Item = AskEvent> {
    async_stream::stream! {
        while let Some(event) = events.next().await {
            match event {
                AnswerEvent::Retrieved(retrieved) => {
                    audited.chunks("passages", retrieved.hits.iter().map(|hit| &hit.chunk));
                    yield AskEvent::Retrieved(Retrieved {
                        conversation: conversation.to_string(),
                        items: retrieved.hits.into_iter().map(Into::into).collect(),
                        parts: retrieved.parts.into_iter().map(Into::into).collect(),
                    });
                }
                AnswerEvent::Delta(text) => yield AskEvent::Delta(Delta { text }),
                AnswerEvent::Completed(answer) => {
                    record(&answer);
                    note(&audited, &answer);
                    let body = AnswerBody::new(Some(conversation), *answer);
                    audited.target("answer", &body.id);
                    // The person gets the answer even if it could not be kept.
                    let kept = async {
                        app.conversations.answer(conversation, asked, body.clone()).await?;
                        // A document may have gone while the answer was written.
                        app.withdraw_stale_answers().await
                    };
                    if let Err(error) = kept.await {
                        tracing::error!(conversation.id = %conversation, "cannot keep an answer: {error:#}");
                    }
                    match finish_stream(&audited, None).await {
                        Ok(()) => yield AskEvent::Completed(Box::new(body)),
                        Err(error) => yield AskEvent::Failed(error),
                    }
                    return;
                }
                AnswerEvent::Failed(error) => {
                    telemetry::record_answer("failed", "unknown");
                    let error = ApiError::from(error);
                    if let Some(cause) = &error.cause {
                        tracing::error!(conversation.id = %conversation, "answering failed: {cause}");
                    }
                    let recorded = finish_stream(&audited, Some(&error)).await;
                    yield AskEvent::Failed(recorded.err().unwrap_or(error));
                    return;
                }
            }
        }
    }
}

/// Notes what an answer shows.
pub(crate) fn note(audited: &Audited, answer: &answer::Answer) {
    audited.chunks("cited", answer.citations.iter().map(|cited| &cited.chunk));
    audited.detail("answer_outcome", answer.outcome.as_str());
}

/// Records a streamed answer before its last event is sent. One that is not streamed is recorded with its response.
///
/// # Errors
/// When it cannot be recorded; then the answer must not be shown.
pub(crate) async fn finish_stream(
    audited: &Audited,
    failure: Option<&ApiError>,
) -> Result<(), ApiError> {
    /// What was sent before the stream.
    const SENT: u16 = 200;
    if !audited.is_deferred() {
        return Ok(());
    }
    let ended = match failure {
        None => Ended::of_status(SENT, None),
        Some(error) => Ended {
            status: Some(SENT),
            ..Ended::of_status(error.code.status().as_u16(), Some(error.code.name()))
        },
    };
    Ok(audited.finish(ended).await?)
}

/// Records how an answer ended.
pub(crate) fn record(answer: &answer::Answer) {
    let mode = match answer.mode {
        AnswerMode::Generate => "generate",
        AnswerMode::Extractive => "extractive",
        AnswerMode::Auto => "auto",
    };
    telemetry::record_answer(answer.outcome.as_str(), mode);
    telemetry::record_tokens(answer.usage);
}

async fn last(mut events: BoxStream<'static, AskEvent>) -> Result<AnswerBody, ApiError> {
    while let Some(event) = events.next().await {
        match event {
            AskEvent::Retrieved(_) | AskEvent::Delta(_) => {}
            AskEvent::Completed(answer) => return Ok(*answer),
            // Logged where the stream met it.
            AskEvent::Failed(error) => {
                return Err(ApiError {
                    cause: None,
                    retry_after: None,
                    ..error
                });
            }
        }
    }
    Err(ApiError::new(
        Code::Internal,
        "the answer ended without a result",
    ))
}

impl From<AskEvent> for Event {
    fn from(event: AskEvent) -> Self {
        match event {
            AskEvent::Retrieved(retrieved) => sse("retrieved", &retrieved),
            AskEvent::Delta(delta) => sse("delta", &delta),
            AskEvent::Completed(answer) => sse("completed", &answer),
            AskEvent::Failed(error) => sse("failed", &error.problem(None)),
        }
    }
}

impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        Self::internal(&*error)
    }
}

impl From<answer::AnswerError> for ApiError {
    fn from(error: answer::AnswerError) -> Self {
        match error {
            answer::AnswerError::Retrieve(error) => error.into(),
            answer::AnswerError::Model(error) => error.into(),
            answer::AnswerError::Identity(error) => error.into(),
            answer::AnswerError::EmptyQuestion => Self::invalid(error.to_string()),
            answer::AnswerError::NoGenerator => Self::new(Code::NoGenerator, error.to_string()),
        }
    }
}

impl AnswerBody {
    /// Returns an answer as it goes over the wire, with an id of its own.
    #[must_use]
    pub fn new(conversation: Option<Uuid>, answer: answer::Answer) -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            conversation: conversation.map(|id| id.to_string()),
            outcome: match answer.outcome {
                answer::Outcome::Grounded => Outcome::Grounded,
                answer::Outcome::NoEvidence => Outcome::NoEvidence,
                answer::Outcome::Withdrawn => Outcome::Withdrawn,
            },
            mode: answer.mode.into(),
            text: answer.text,
            citations: answer.citations.into_iter().map(Into::into).collect(),
            flags: answer.flags.into_iter().map(Into::into).collect(),
            support: answer.support,
            finish_reason: match answer.finish_reason {
                kura_models::FinishReason::Stop => FinishReason::Stop,
                kura_models::FinishReason::Length => FinishReason::Length,
            },
            usage: Usage {
                prompt_tokens: answer.usage.prompt_tokens,
                cached_tokens: answer.usage.cached_tokens,
                completion_tokens: answer.usage.completion_tokens,
            },
            generator: answer.generator,
            timings_ms: Timings {
                retrieve: answer.timings_ms.retrieve,
                first_token: answer.timings_ms.first_token,
                generate: answer.timings_ms.generate,
                verify: answer.timings_ms.verify,
                total: answer.timings_ms.total,
            },
        }
    }

    /// Returns the answer without what it said.
    #[must_use]
    pub fn withdrawn(self) -> Self {
        Self {
            outcome: Outcome::Withdrawn,
            text: answer::prompt::Language::of(&self.text)
                .withdrawn()
                .to_owned(),
            citations: Vec::new(),
            flags: Vec::new(),
            ..self
        }
    }

    #[cfg(test)]
    pub(crate) fn citing(text: &str, document: DocumentId, version: u32) -> Self {
        let citation = Citation {
            marker: 1,
            document: document.to_string(),
            chunk: format!("{document}:{version}:0"),
            title: text.to_owned(),
            source: text.to_owned(),
            page: None,
            range: None,
            headings: Vec::new(),
            quote: text.to_owned(),
            quote_span: (0..text.len()).into(),
            answer_span: (0..text.len()).into(),
        };
        Self {
            citations: vec![citation],
            ..Self::sample(text)
        }
    }

    #[cfg(test)]
    pub(crate) fn sample(text: &str) -> Self {
        Self {
            id: Uuid::nil().to_string(),
            conversation: None,
            outcome: Outcome::Grounded,
            mode: Made::Extractive,
            text: text.to_owned(),
            citations: Vec::new(),
            flags: Vec::new(),
            support: 1.0,
            finish_reason: FinishReason::Stop,
            usage: Usage {
                prompt_tokens: 0,
                cached_tokens: 0,
                completion_tokens: 0,
            },
            generator: None,
            timings_ms: Timings {
                retrieve: 0.0,
                first_token: 0.0,
                generate: 0.0,
                verify: 0.0,
                total: 0.0,
            },
        }
    }
}

impl From<answer::Citation> for Citation {
    fn from(citation: answer::Citation) -> Self {
        Self {
            marker: citation.marker,
            document: citation.document.to_string(),
            chunk: chunk_id(&citation.chunk),
            title: citation.title,
            source: citation.source,
            page: citation.page,
            range: citation.range,
            headings: citation.headings,
            quote: citation.quote,
            quote_span: citation.quote_span.into(),
            answer_span: citation.answer_span.into(),
        }
    }
}

impl From<answer::Flag> for Flag {
    fn from(flag: answer::Flag) -> Self {
        Self {
            kind: match flag.kind {
                answer::FlagKind::UnsupportedNumber => FlagKind::UnsupportedNumber,
                answer::FlagKind::UnsupportedName => FlagKind::UnsupportedName,
                answer::FlagKind::UncitedSentence => FlagKind::UncitedSentence,
                answer::FlagKind::ModelRefused => FlagKind::ModelRefused,
            },
            text: flag.text,
            answer_span: flag.answer_span.into(),
        }
    }
}

impl From<Mode> for AnswerMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Auto => Self::Auto,
            Mode::Generate => Self::Generate,
            Mode::Extractive => Self::Extractive,
        }
    }
}

impl From<AnswerMode> for Mode {
    fn from(mode: AnswerMode) -> Self {
        match mode {
            AnswerMode::Auto => Self::Auto,
            AnswerMode::Generate => Self::Generate,
            AnswerMode::Extractive => Self::Extractive,
        }
    }
}

impl From<AnswerMode> for Made {
    fn from(mode: AnswerMode) -> Self {
        match mode {
            // An answer never says `auto`: by then it is decided.
            AnswerMode::Auto | AnswerMode::Generate => Self::Generate,
            AnswerMode::Extractive => Self::Extractive,
        }
    }
}
