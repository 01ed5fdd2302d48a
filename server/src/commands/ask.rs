//! `kura ask`

use super::backend::{Backend, blocking};
use super::filter::FilterArgs;
use super::search::place;
use super::{Hinted, Outcome, print_json, progress_bar};
use crate::answer::{self, AnswerError, AnswerEvent, AnswerMode, Question};
use crate::app;
use crate::audit::Audited;
use crate::config::Config;
use crate::routes::ask::{AnswerBody, AskRequest, FlagKind, Mode};
use crate::routes::filter::to_core;
use crate::routes::select;
use clap::ValueEnum;
use futures::StreamExt as _;
use kura_indexer::{AccessFilter, Pipeline, SearchFilter};
use std::sync::Arc;

/// Arguments of `kura ask`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The question, in any language.
    question: String,
    /// Search only this collection; may be repeated.
    #[arg(long, value_name = "NAME")]
    collection: Vec<String>,
    /// How to answer; `answer.mode` of the configuration when absent.
    #[arg(long, value_enum)]
    mode: Option<ModeArg>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Generate if there is a generator, extract otherwise.
    Auto,
    /// Write the answer with the generator.
    Generate,
    /// Answer with the best sentences of the documents.
    Extractive,
}

/// Asks and prints the answer with its citations.
///
/// # Errors
/// When a collection does not exist, or answering fails. That the documents hold no answer is no error.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    anyhow::ensure!(!args.question.trim().is_empty(), "the question is empty");
    let collections = Some(args.collection).filter(|names| !names.is_empty());
    let mode = args.mode.map(Mode::from);
    let filter = args.filter.filter();
    let spinner = progress_bar("{spinner} answering ({elapsed})");
    let answered = match Backend::open_to_search(&config).await? {
        Backend::Local(pipeline) => {
            let mode = mode.map_or(config.answer.mode, AnswerMode::from);
            let filter = to_core(filter.as_ref())?;
            let ask = async |audited: &Audited| {
                audited.asked("question", &args.question, collections.as_deref());
                let pipeline = Arc::clone(&pipeline);
                let answer = local(&config, pipeline, args.question, collections, filter, mode);
                let answer = answer.await?;
                let cited = answer.citations.iter().map(|cited| cited.chunk.clone());
                audited.detail("cited", cited.collect::<Vec<_>>());
                Ok(answer)
            };
            pipeline.audited("question.ask", ask).await
        }
        Backend::Server(client) => {
            let request = AskRequest {
                question: args.question,
                collections,
                filter,
                conversation: None,
                mode,
                stream: true,
            };
            blocking(move || client.ask(&request)).await
        }
    };
    spinner.finish_and_clear();
    let answer = answered?;
    if args.json {
        print_json(&answer)?;
    } else {
        print(&answer);
    }
    Ok(Outcome::Success)
}

async fn local(
    config: &Config,
    pipeline: Arc<Pipeline>,
    question: String,
    collections: Option<Vec<String>>,
    filter: SearchFilter,
    mode: AnswerMode,
) -> anyhow::Result<AnswerBody> {
    let access = AccessFilter::unrestricted("local command of the operator");
    // Before the models, because it fails fast.
    let collections = select(&pipeline, collections.as_deref(), &access).await?;
    let generator = match mode {
        AnswerMode::Extractive => None,
        AnswerMode::Auto | AnswerMode::Generate => {
            let loading = config.clone();
            blocking(move || app::load_generator(&loading)).await?
        }
    };
    let assistant = app::assistant(config, pipeline, generator).await?;
    let question = Question {
        text: question,
        collections,
        filter,
        history: Vec::new(),
        mode,
    };
    let mut events = answer::answer(assistant, question, access);
    while let Some(event) = events.next().await {
        match event {
            AnswerEvent::Retrieved(_) | AnswerEvent::Delta(_) => {}
            AnswerEvent::Completed(answer) => return Ok(AnswerBody::new(None, *answer)),
            AnswerEvent::Failed(AnswerError::NoGenerator) => {
                let hint = match config.generator() {
                    Some(id) => {
                        format!("run `kura models pull {id}`, or ask with `--mode extractive`")
                    }
                    None => "set `models.generator`, or ask with `--mode extractive`".to_owned(),
                };
                return Err(Hinted::new("no generator is installed", hint).into());
            }
            AnswerEvent::Failed(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("the answer ended without a result")
}

fn print(answer: &AnswerBody) {
    say!("{}", answer.text);
    if !answer.citations.is_empty() {
        say!("");
    }
    for citation in &answer.citations {
        say!(
            "[{}] {} ({}{})\n    “{}”",
            citation.marker,
            citation.title,
            citation.source,
            place(citation.page, citation.range.as_deref()),
            citation
                .quote
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    for flag in &answer.flags {
        let what = match flag.kind {
            // The answer's first line says it.
            FlagKind::ModelRefused => continue,
            FlagKind::UnsupportedNumber => "number not in the cited passage",
            FlagKind::UnsupportedName => "name not in the cited passage",
            FlagKind::UncitedSentence => "not supported by any passage",
        };
        say!("! {what}: {}", flag.text);
    }
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Auto => Self::Auto,
            ModeArg::Generate => Self::Generate,
            ModeArg::Extractive => Self::Extractive,
        }
    }
}
