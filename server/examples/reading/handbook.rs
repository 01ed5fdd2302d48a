//! The sample handbook's questions, single and with several parts; answers to them, written.

use super::parts::compare;
use super::sections::widened;
use super::{Needs, all_answers, answer_config, embedder, everyone, index_config, support};
use anyhow::Context;
use futures::StreamExt;
use kura::answer::{Answer, AnswerConfig, AnswerEvent, AnswerMode, Assistant, Question, answer};
use kura_indexer::ingest::NewDocument;
use kura_indexer::{Acl, Collections, MetadataChange, Pipeline, SearchFilter};
use kura_models::{DeviceChoice, Generator, Registry, load_generator};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Tokens by which passages are widened when answers are written.
const WIDENED: usize = 120;

/// A line of the handbook's questions.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Several {
        id: String,
        question: String,
        expect_documents: BTreeSet<String>,
        answers: Vec<Vec<String>>,
    },
    One {
        id: String,
        question: String,
        expect_document: String,
        answers: Vec<String>,
    },
}

pub(super) async fn handbook(
    models: &str,
    fixtures: &str,
    generator: Option<&str>,
) -> anyhow::Result<()> {
    let fixtures = Path::new(fixtures);
    let dir = tempfile::tempdir()?;
    let pipeline = Pipeline::open(dir.path(), embedder(models)?, index_config()).await?;
    let collection = pipeline.create_collection("handbook").await?.id;
    for entry in fs_err::read_dir(fixtures.join("handbook"))? {
        let path = entry?.path();
        let new = NewDocument {
            collection,
            source: path
                .file_name()
                .context("no name")?
                .to_string_lossy()
                .into_owned(),
            media_type: None,
            bytes: fs_err::read(&path)?,
            acl: Acl::everyone().into(),
            metadata: MetadataChange::default(),
        };
        pipeline.add_document(new).await?;
    }
    while !pipeline.run_queued(&|_, _, _| {}).await?.is_empty() {}
    let generator = match generator {
        Some(id) => {
            let installed = Registry::open(Path::new(models))?.locate(id)?;
            Some(load_generator(&installed, &DeviceChoice::Cpu)?)
        }
        None => None,
    };
    for file in ["handbook.questions.jsonl", "handbook.multipart.jsonl"] {
        let mut questions = Vec::new();
        for line in fs_err::read_to_string(fixtures.join(file))?.lines() {
            questions.push(match serde_json::from_str(line)? {
                Line::Several {
                    id,
                    question,
                    expect_documents,
                    answers,
                } => (id, question, expect_documents, answers),
                Line::One {
                    id,
                    question,
                    expect_document,
                    answers,
                } => (
                    id,
                    question,
                    BTreeSet::from([expect_document]),
                    vec![answers],
                ),
            });
        }
        let questions: Vec<(String, Needs)> = questions
            .into_iter()
            .map(|(id, text, documents, answers)| {
                let needs = Needs {
                    text,
                    documents,
                    answers,
                };
                (id, needs)
            })
            .collect();
        println!("{file}");
        if generator.is_none() {
            let needs: Vec<Needs> = questions.into_iter().map(|(_, needs)| needs).collect();
            widened(&pipeline, &needs, &[900]).await?;
            compare(&pipeline, &needs).await?;
        } else {
            let every_other: Vec<(String, Needs)> = questions.into_iter().step_by(2).collect();
            written(&pipeline, &every_other, generator.as_ref()).await?;
        }
    }
    Ok(())
}

/// Has answers written: without widening and parts, with either, with both.
async fn written(
    pipeline: &Arc<Pipeline>,
    questions: &[(String, Needs)],
    generator: Option<&Arc<dyn Generator>>,
) -> anyhow::Result<()> {
    let base = answer_config()?;
    let several = questions.iter().any(|(_, needs)| needs.answers.len() > 1);
    let settings: &[(usize, bool)] = if several {
        &[(0, false), (0, true), (WIDENED, true)]
    } else {
        &[(0, true), (WIDENED, true)]
    };
    for (section_tokens, decompose) in settings {
        let config = AnswerConfig {
            section_tokens: *section_tokens,
            decompose: *decompose,
            ..base.clone()
        };
        let assistant = Assistant::new(Arc::clone(pipeline), generator.cloned(), config).await?;
        let assistant = Arc::new(assistant);
        let mut sums = [0.0; 5];
        for (id, needs) in questions {
            let answer = ask(&assistant, &needs.text).await?;
            let cited: Vec<&str> = answer.citations.iter().map(|c| c.source.as_str()).collect();
            let figures = [
                all_answers(needs, &answer.text),
                support(needs, &cited).0,
                support(needs, &cited).1,
                answer.usage.prompt_tokens as f64,
                answer.timings_ms.total / 1e3,
            ];
            println!("  {id} {figures:.1?}: {}", answer.text.replace('\n', " "));
            sums.iter_mut().zip(figures).for_each(|(sum, x)| *sum += x);
        }
        let n = questions.len() as f64;
        println!(
            " section {section_tokens} decompose {decompose}: all answers {:.3}, all documents cited {:.3}, mean {:.3}; {:.0} prompt tokens, {:.1} s",
            sums[0] / n,
            sums[1] / n,
            sums[2] / n,
            sums[3] / n,
            sums[4] / n
        );
    }
    Ok(())
}

async fn ask(assistant: &Arc<Assistant>, question: &str) -> anyhow::Result<Answer> {
    let question = Question {
        text: question.to_owned(),
        collections: Collections::All,
        filter: SearchFilter::default(),
        history: Vec::new(),
        mode: AnswerMode::Auto,
    };
    let mut events = answer(Arc::clone(assistant), question, everyone());
    while let Some(event) = events.next().await {
        match event {
            AnswerEvent::Completed(answer) => return Ok(*answer),
            AnswerEvent::Failed(error) => return Err(error.into()),
            AnswerEvent::Retrieved(_) | AnswerEvent::Delta(_) => {}
        }
    }
    anyhow::bail!("the stream ended without an answer")
}
