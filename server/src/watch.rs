//! Ends an answer that is under way when its reader may no longer read what it draws on, and has a search that waited look
//! again.
//!
//! A stream may take minutes. Who asked, and what may be read, is therefore asked again while it runs, as if every piece of
//! it were a request of its own.

use crate::answer::prompt::Language;
use crate::answer::{self, Answer, AnswerError, AnswerEvent, AnswerMode, Outcome, Question};
use crate::answer::{Retrieved, Timings};
use crate::app::{App, AppState};
use crate::auth::{Permission, Principal};
use crate::limits::Bill;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use kura_indexer::DocumentId;
use kura_indexer::retrieve::Hit;
use kura_models::{FinishReason, Usage};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// How old the last check may be when a piece of the answer is sent.
const EVERY: Duration = Duration::from_millis(200);

/// What an answer draws on: documents, with the version where only that one will do.
type Drawn = HashMap<DocumentId, Option<u32>>;

/// Answers a question for a principal. The answer is completed as withdrawn, and no more is written, once a document that
/// it draws on was replaced or deleted, or may not be read by the principal any more. `earlier` are the documents that the
/// conversation so far cites. Dropping the stream cancels the work.
pub(crate) fn answer(
    app: AppState,
    principal: Principal,
    question: Question,
    earlier: Vec<DocumentId>,
) -> BoxStream<'static, AnswerEvent> {
    let withdrawn = withdrawn(&app, &question);
    let mut events = answer::answer(app.assistant.clone(), question, principal.access());
    let stream = async_stream::stream! {
        let started = Instant::now();
        let mut drawn: Drawn = earlier.into_iter().map(|id| (id, None)).collect();
        let mut is_begun = false;
        let mut bill = Bill::new(&app, &principal);
        let mut checks = tokio::time::interval(EVERY);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                // First, so that a client that was away gets nothing before it.
                biased;
                _ = checks.tick() => None,
                event = events.next() => match event {
                    Some(event) => Some(event),
                    None => return,
                },
            };
            if let Some(AnswerEvent::Completed(answer)) = &event {
                bill.settle(answer.usage);
            } else if matches!(event, Some(AnswerEvent::Delta(_))) && withdrawn.mode == AnswerMode::Generate {
                bill.piece();
            }
            let event = match event {
                Some(event @ (AnswerEvent::Delta(_) | AnswerEvent::Failed(_))) => {
                    yield event;
                    continue;
                }
                event => event,
            };
            if let Some(AnswerEvent::Retrieved(retrieved)) = &event {
                drawn.extend(retrieved.hits.iter().flat_map(chunks));
            }
            match lost(&app, &principal, &drawn).await {
                Ok(lost) if lost.is_empty() => {
                    if let Some(event) = event {
                        is_begun = true;
                        yield event;
                    }
                }
                Ok(_) => {
                    if !is_begun {
                        // The first event of every answer; a client learns its conversation from it.
                        yield AnswerEvent::Retrieved(Retrieved { hits: Vec::new(), parts: Vec::new() });
                    }
                    let timings_ms = Timings {
                        total: started.elapsed().as_secs_f64() * 1e3,
                        ..Timings::default()
                    };
                    yield AnswerEvent::Completed(Box::new(Answer { timings_ms, ..withdrawn }));
                    return;
                }
                Err(error) => {
                    yield AnswerEvent::Failed(error);
                    return;
                }
            }
        }
    };
    stream.boxed()
}

/// Takes out of what a search found what the principal lost sight of while it waited, for the embedder or the reranker.
/// `since` is when the search began: what was found just now needs no second look.
pub(crate) async fn drop_lost(
    app: &App,
    principal: &Principal,
    hits: &mut Vec<Hit>,
    since: Instant,
) -> Result<(), AnswerError> {
    if since.elapsed() < EVERY {
        return Ok(());
    }
    let lost = lost(app, principal, &hits.iter().flat_map(chunks).collect()).await?;
    hits.retain(|hit| !lost.contains(&hit.chunk.document));
    for hit in hits {
        hit.duplicates
            .retain(|other| !lost.contains(&other.chunk.document));
    }
    Ok(())
}

/// Returns the documents of a hit and of what is shown to be the same, with their versions.
fn chunks(hit: &Hit) -> impl Iterator<Item = (DocumentId, Option<u32>)> {
    let duplicates = hit.duplicates.iter().map(|other| &other.chunk);
    duplicates
        .chain([&hit.chunk])
        .map(|chunk| (chunk.document, Some(chunk.version)))
}

/// Returns those of these documents that the principal may not read at this moment, or not in that version.
async fn lost(
    app: &App,
    principal: &Principal,
    drawn: &Drawn,
) -> Result<HashSet<DocumentId>, AnswerError> {
    let ids: Vec<DocumentId> = drawn.keys().copied().collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let principal = principal.as_of_now(app).await?;
    let Some(principal) = principal.filter(|principal| principal.may(Permission::Read)) else {
        return Ok(ids.into_iter().collect());
    };
    let access = principal.access();
    let readable = app.pipeline.readable_documents(ids.clone(), &access);
    let readable = readable.await?;
    let visible = app.pipeline.visible_versions(ids).await?;
    let is_lost = |(id, version): &(&DocumentId, &Option<u32>)| {
        let is_current = version.is_none_or(|version| visible.get(id) == Some(&version));
        !is_current || !readable.contains(id)
    };
    Ok(drawn.iter().filter(is_lost).map(|(id, _)| *id).collect())
}

/// Returns what stands in place of an answer that was withdrawn while it was written.
fn withdrawn(app: &App, question: &Question) -> Answer {
    let assistant = &app.assistant;
    let mode = match question.mode {
        AnswerMode::Auto => assistant.config.mode,
        mode @ (AnswerMode::Generate | AnswerMode::Extractive) => mode,
    };
    let is_written = mode != AnswerMode::Extractive && assistant.generator.is_some();
    Answer {
        outcome: Outcome::Withdrawn,
        mode: if is_written {
            AnswerMode::Generate
        } else {
            AnswerMode::Extractive
        },
        text: Language::of(&question.text).withdrawn().to_owned(),
        citations: Vec::new(),
        flags: Vec::new(),
        support: 0.0,
        finish_reason: FinishReason::Stop,
        usage: Usage::default(),
        generator: None,
        timings_ms: Timings::default(),
    }
}
