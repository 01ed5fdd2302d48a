//! Answers: what is answered to labelled questions, and whether.
//!
//! The only stage is called `answer`, whoever writes, so that a run with a generator compares with one without.

use super::dataset::LabelledQuery;
use super::metrics::Values;
use super::record::{Answerability, Answered, ReadVersion, Row, StageRow, Timing};
use super::retrieval::Search;
use super::wording::Agreement;
use crate::answer::{
    self, Answer, AnswerEvent, AnswerMode, Assistant, Flag, FlagKind, Outcome, Question, attribute,
};
use anyhow::Context as _;
use futures::StreamExt as _;
use kura_indexer::{ChunkId, DocumentId, SearchFilter};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

const STAGE: &str = "answer";

/// Most questions looked up beforehand, whose latency does not count.
const WARM_UP: usize = 10;

/// Asks the questions one after the other; one row each. `progress` is told how many are done.
///
/// # Errors
/// Those of the search and of the models, naming the question.
pub(super) async fn rows(
    search: &Search,
    assistant: &Arc<Assistant>,
    questions: &[LabelledQuery],
    progress: &(dyn Fn(usize, usize) + Send + Sync),
) -> anyhow::Result<Vec<Row>> {
    let step = questions.len().div_ceil(WARM_UP).max(1);
    for question in questions.iter().step_by(step) {
        assistant
            .support(
                &question.text,
                &search.collections,
                &SearchFilter::default(),
                &search.access,
            )
            .await?;
    }
    let mut rows = Vec::with_capacity(questions.len());
    for question in questions {
        let (passages, answer) = ask(search, assistant, question)
            .await
            .with_context(|| format!("the question `{}` could not be answered", question.id))?;
        rows.push(row(search, question, &passages, &answer));
        progress(rows.len(), questions.len());
    }
    Ok(rows)
}

/// Returns the passages that were put before the writer, and the answer.
async fn ask(
    search: &Search,
    assistant: &Arc<Assistant>,
    question: &LabelledQuery,
) -> anyhow::Result<(Vec<ChunkId>, Answer)> {
    let asked = Question {
        text: question.text.clone(),
        collections: search.collections.clone(),
        filter: SearchFilter::default(),
        history: Vec::new(),
        mode: AnswerMode::Auto,
    };
    let mut events = answer::answer(Arc::clone(assistant), asked, search.access.clone());
    let mut passages = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            AnswerEvent::Retrieved(found) => {
                passages = found.hits.into_iter().map(|hit| hit.chunk).collect();
            }
            AnswerEvent::Delta(_) => {}
            AnswerEvent::Completed(answer) => return Ok((passages, *answer)),
            AnswerEvent::Failed(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("it ended without an answer")
}

fn row(search: &Search, question: &LabelledQuery, passages: &[ChunkId], answer: &Answer) -> Row {
    let name = |id: &DocumentId| {
        let known = search.documents.by_id.get(id);
        known.map_or_else(|| id.to_string(), |document| document.source.clone())
    };
    let read: BTreeSet<(String, u32)> = passages
        .iter()
        .map(|chunk| (name(&chunk.document), chunk.version))
        .collect();
    let passages = once(passages.iter().map(|chunk| name(&chunk.document)));
    let cited = once(
        answer
            .citations
            .iter()
            .map(|citation| name(&citation.document)),
    );
    let timings = answer.timings_ms;
    let steps = [
        ("retrieve", timings.retrieve),
        ("first_token", timings.first_token),
        ("generate", timings.generate),
        ("verify", timings.verify),
        ("total", timings.total),
    ];
    Row {
        withheld: false,
        id: question.id.clone(),
        text: question.text.clone(),
        relevant: question.relevant.clone(),
        answerability: question.answerability,
        answers: question.answers.clone(),
        supported: None,
        evidence: None,
        stages: vec![StageRow {
            name: STAGE.to_owned(),
            metrics: judge(question, &passages, &cited, answer),
            latency_ms: timings.total,
            ranking: Vec::new(),
            first_relevant: None,
            score: None,
            answer: Some(Answered {
                refused: answer.outcome == Outcome::NoEvidence,
                text: answer.text.clone(),
                support: answer.support,
                cited,
                read: read
                    .into_iter()
                    .map(|(document, version)| ReadVersion { document, version })
                    .collect(),
                flagged: answer.flags.iter().map(|flag| flag.text.clone()).collect(),
            }),
        }],
        timings: steps
            .into_iter()
            .map(|(name, ms)| Timing {
                name: name.to_owned(),
                ms,
            })
            .collect(),
    }
}

/// Judges an answer. Metrics that say nothing of it are left out.
fn judge(
    question: &LabelledQuery,
    passages: &[String],
    cited: &[String],
    answer: &Answer,
) -> Values {
    let refused = answer.outcome == Outcome::NoEvidence;
    let refusal = f64::from(u8::from(refused));
    let mut values = Values::from([
        (
            "prompt_tokens".to_owned(),
            answer.usage.prompt_tokens as f64,
        ),
        (
            "completion_tokens".to_owned(),
            answer.usage.completion_tokens as f64,
        ),
    ]);
    let mut note = |name: &str, value: f64| {
        values.insert(name.to_owned(), value);
    };
    if !refused {
        note("faithfulness", faithfulness(answer));
    }
    match question.answerability {
        Answerability::Unanswerable => note("true_abstention", refusal),
        Answerability::OutOfCorpus => note("out_of_corpus_refused", refusal),
        Answerability::Answerable => {
            note("false_abstention", refusal);
            if !question.answers.is_empty() {
                let found = if refused {
                    Agreement::default()
                } else {
                    Agreement::of(&attribute::plain(said(answer)), &question.answers)
                };
                note("correctness", found.contained);
                note("exact_match", found.exact);
                note("token_f1", found.f1);
            }
            if !refused && !question.relevant.is_empty() {
                let (of_passages, _) = overlap(passages, &question.relevant);
                let (recall, precision) = overlap(cited, &question.relevant);
                note("context_recall", of_passages);
                note("citation_recall", recall);
                note("citation_precision", precision);
            }
        }
    }
    values
}

/// Returns what an answer says of the matter: its text without a line that says that the generator saw no answer.
fn said(answer: &Answer) -> &str {
    let is_notice = |flag: &&Flag| flag.kind == FlagKind::ModelRefused;
    let notice = answer.flags.iter().find(is_notice);
    &answer.text[notice.map_or(0, |flag| flag.answer_span.end)..]
}

/// Returns which share of the relevant documents is among `named`, and which share of `named` is relevant.
fn overlap(named: &[String], relevant: &BTreeMap<String, f64>) -> (f64, f64) {
    let n = named
        .iter()
        .filter(|name| relevant.contains_key(*name))
        .count() as f64;
    (
        n / relevant.len().max(1) as f64,
        n / named.len().max(1) as f64,
    )
}

/// Returns the share of sentences that are cited, and whose figures and names are in what is cited.
fn faithfulness(answer: &Answer) -> f64 {
    let key = |span: &Range<usize>| (span.start, span.end);
    let flagged: HashSet<_> = answer
        .flags
        .iter()
        .filter(|flag| flag.kind != FlagKind::ModelRefused)
        .map(|flag| key(&flag.answer_span))
        .collect();
    let cited: HashSet<_> = answer
        .citations
        .iter()
        .map(|citation| key(&citation.answer_span))
        .collect();
    let all = cited.union(&flagged).count();
    cited.difference(&flagged).count() as f64 / all.max(1) as f64
}

/// Keeps the first of each name.
fn once(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(name.clone())).collect()
}
