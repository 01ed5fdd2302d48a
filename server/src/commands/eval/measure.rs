//! `kura eval retrieval` and `kura eval answers`

use super::print;
use crate::answer::{AnswerConfig, AnswerError, AnswerMode};
use crate::app;
use crate::audit::Audited;
use crate::client::Client;
use crate::commands::ask::ModeArg;
use crate::commands::backend::{Backend, blocking};
use crate::commands::{Outcome, Usage, print_json, progress_bar};
use crate::config::Config;
use crate::evaluate::dataset::{Dataset, LabelledQuery};
use crate::evaluate::provenance::Settings;
use crate::evaluate::record::{Ranked, Record, SEED, State};
use crate::evaluate::records::Records;
use crate::evaluate::{Cache, Evaluation, Options, Task};
use crate::routes::ask::Mode;
use crate::routes::evaluations::{
    MAX_CANDIDATES, MAX_QUERIES, NewAnswers, NewEvaluation, NewQuery, Overrides,
};
use indicatif::ProgressBar;
use kura_indexer::{AccessFilter, IndexConfig};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often the server is asked how far it is.
const POLL: Duration = Duration::from_millis(300);

/// Arguments of `kura eval retrieval`.
#[derive(Debug, clap::Args)]
pub(super) struct RetrievalArgs {
    #[command(flatten)]
    common: Common,
    /// Chunks taken from each index before fusion; `retrieval.candidates` without it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_CANDIDATES as i64))]
    candidates: Option<u32>,
    /// Candidates that the reranker reads; `retrieval.rerank_candidates` without it, 0 to do without the reranker.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MAX_CANDIDATES as i64))]
    rerank_candidates: Option<u32>,
    /// Write each stage's rankings there, in TREC's run format, for other tools.
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
}

/// Arguments of `kura eval answers`.
#[derive(Debug, clap::Args)]
pub(super) struct AnswersArgs {
    #[command(flatten)]
    common: Common,
    /// Who writes: the generator if there is one, the generator or nobody, or the documents' own sentences;
    /// `answer.mode` without it.
    #[arg(long, value_enum)]
    mode: Option<ModeArg>,
    /// File in the form of queries.jsonl with questions that the documents do not answer because they are about
    /// something else; may be repeated. At most as many as --max-queries are asked of all of them.
    #[arg(long, value_name = "FILE")]
    out_of_corpus: Vec<PathBuf>,
}

/// What both have in common.
#[derive(Debug, clap::Args)]
struct Common {
    /// Folder in BEIR layout: corpus.jsonl, queries.jsonl, qrels.tsv.
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
    /// Search this collection as it is served, instead of the data set's documents. The judgements then name
    /// documents by source or by id, and corpus.jsonl is not read.
    #[arg(long, value_name = "NAME", conflicts_with = "fresh")]
    collection: Option<String>,
    /// What to call the run; the data set's name when absent.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Ask at most this many queries, evenly spaced; for answers, at most so many answerable ones, as many
    /// unanswerable ones and as many out of the corpus.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_queries: Option<u32>,
    /// Seed of everything random.
    #[arg(long, value_name = "N", default_value_t = SEED)]
    seed: u64,
    /// Index the data set's documents anew, even if an index is kept.
    #[arg(long)]
    fresh: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What to measure.
enum Asked {
    Retrieval {
        candidates: Option<u32>,
        rerank_candidates: Option<u32>,
        runs: Option<PathBuf>,
    },
    Answers(AnswerMode),
}

/// Rankings in TREC's form by stage: query, `Q0`, document, rank, score, name of the run.
type Runs = BTreeMap<String, String>;

pub(super) async fn retrieval(config: Config, args: RetrievalArgs) -> anyhow::Result<Outcome> {
    let RetrievalArgs {
        common,
        candidates,
        rerank_candidates,
        runs,
    } = args;
    let dataset = dataset(&common, Vec::new()).await?;
    run(
        config,
        common,
        dataset,
        Asked::Retrieval {
            candidates,
            rerank_candidates,
            runs,
        },
    )
    .await
}

pub(super) async fn answers(config: Config, args: AnswersArgs) -> anyhow::Result<Outcome> {
    let mode = args
        .mode
        .map_or(config.answer.mode, |mode| Mode::from(mode).into());
    let dataset = dataset(&args.common, args.out_of_corpus).await?;
    run(config, args.common, dataset, Asked::Answers(mode)).await
}

/// Reads the data set, with further questions that it does not answer.
async fn dataset(common: &Common, out_of_corpus: Vec<PathBuf>) -> anyhow::Result<Dataset> {
    let (dir, with_corpus) = (common.dataset.clone(), common.collection.is_none());
    blocking(move || {
        let mut dataset = if with_corpus {
            Dataset::read(&dir)?
        } else {
            Dataset::read_labels(&dir)?
        };
        for file in out_of_corpus {
            dataset.add_out_of_corpus(&file)?;
        }
        Ok(dataset)
    })
    .await
}

async fn run(
    config: Config,
    common: Common,
    dataset: Dataset,
    asked: Asked,
) -> anyhow::Result<Outcome> {
    let bar = progress_bar("{spinner} {msg} {wide_bar} {pos}/{len} {eta}");
    let measured = measure(&config, &common, dataset, &asked, &bar).await;
    bar.finish_and_clear();
    let record = measured?;
    let path = Records::of(&config.data_dir).path(record.summary.id);
    if common.json {
        print_json(&record.summary)?;
    } else {
        print::measured(&record.summary, &path);
    }
    Ok(Outcome::Success)
}

/// Runs the evaluation here or on the server; its record is stored when this returns.
async fn measure(
    config: &Config,
    common: &Common,
    dataset: Dataset,
    asked: &Asked,
    bar: &ProgressBar,
) -> anyhow::Result<Record> {
    let mut settings = Settings {
        chunking: config.chunking.clone(),
        retrieval: config.retrieval.clone(),
        answer: None,
    };
    match asked {
        Asked::Retrieval {
            candidates,
            rerank_candidates,
            ..
        } => {
            if let Some(candidates) = candidates {
                settings.retrieval.candidates = *candidates as usize;
            }
            if let Some(candidates) = rerank_candidates {
                settings.retrieval.rerank_candidates = *candidates as usize;
            }
        }
        Asked::Answers(mode) => {
            let answer = config.answer.clone();
            settings.answer = Some(AnswerConfig {
                mode: *mode,
                ..answer
            });
        }
    }
    let options = Options {
        name: common.name.clone(),
        max_queries: common.max_queries.map(|n| n as usize),
        seed: common.seed,
    };
    let progress = |what: &str, done: usize, all: usize| {
        bar.set_message(what.to_owned());
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let evaluation = match &common.collection {
        None => {
            let loading = config.clone();
            let cache = Cache {
                dir: &config.data_dir.join("eval"),
                fresh: common.fresh,
                models: blocking(move || app::load_index_models(&loading)).await?,
                // Figures that depend on how busy the machine is could not be compared.
                index_config: IndexConfig {
                    late_budget: Duration::MAX,
                    ..app::index_config(config)
                },
            };
            let task = task(config, asked).await?;
            Evaluation::of_dataset(&dataset, cache, task, &settings, options, &progress).await?
        }
        Some(collection) => match Backend::open_to_search(config).await? {
            Backend::Server(client) => {
                return by_server(client, common, collection, dataset, asked, bar).await;
            }
            Backend::Local(pipeline) => {
                let access = AccessFilter::unrestricted("local command of the operator");
                let evaluate = async |audited: &Audited| {
                    audited.target("collection", collection);
                    let (task, pipeline) = (task(config, asked).await?, Arc::clone(&pipeline));
                    Evaluation::of_collection(
                        &dataset, pipeline, collection, access, task, &settings, options,
                    )
                    .await
                };
                pipeline.audited("evaluation.create", evaluate).await?
            }
        },
    };
    let mut rankings = Runs::new();
    let mut observe = |query: &LabelledQuery, stage: &str, ranking: &[Ranked]| {
        let run = rankings.entry(stage.to_owned()).or_default();
        for (Ranked { document, score }, rank) in ranking.iter().zip(1..) {
            let id = &query.id;
            writeln!(run, "{id} Q0 {document} {rank} {score} kura-{stage}")?;
        }
        Ok(())
    };
    let record = evaluation.run(&mut observe, &progress).await?;
    if let Asked::Retrieval {
        runs: Some(dir), ..
    } = asked
    {
        write_runs(dir, &rankings)?;
    }
    let records = Records::of(&config.data_dir);
    blocking(move || records.write(&record).map(|()| record)).await
}

/// Loads who writes, if answers are asked for.
async fn task(config: &Config, asked: &Asked) -> anyhow::Result<Task> {
    let Asked::Answers(mode) = *asked else {
        return Ok(Task::Retrieval);
    };
    if mode == AnswerMode::Extractive {
        return Ok(Task::Answers(None));
    }
    let loading = config.clone();
    let generator = blocking(move || app::load_generator(&loading)).await?;
    if mode == AnswerMode::Generate && generator.is_none() {
        return Err(AnswerError::NoGenerator.into());
    }
    Ok(Task::Answers(generator))
}

/// Has the server that holds the data directory run it, and waits.
async fn by_server(
    client: Client,
    common: &Common,
    collection: &str,
    dataset: Dataset,
    asked: &Asked,
    bar: &ProgressBar,
) -> anyhow::Result<Record> {
    if let Asked::Retrieval { runs: Some(_), .. } = asked {
        return Err(Usage(
            "--runs needs the whole rankings, which a server does not hand out: stop the server and run again"
                .to_owned(),
        )
        .into());
    }
    let labelled = match asked {
        Asked::Retrieval { .. } => dataset.judged_queries(None)?,
        Asked::Answers(_) => dataset.questions(None)?,
    };
    let queries: Vec<NewQuery> = labelled
        .into_iter()
        .map(|query| NewQuery {
            id: Some(query.id),
            text: query.text,
            relevant: query.relevant,
            answers: query.answers,
            answerability: query.answerability,
        })
        .collect();
    anyhow::ensure!(
        queries.len() <= MAX_QUERIES,
        "the server takes at most {MAX_QUERIES} queries, and the data set has {}; stop the server and run again",
        queries.len()
    );
    let request = NewEvaluation {
        name: common.name.clone().unwrap_or(dataset.name),
        collection: collection.to_owned(),
        queries,
        max_queries: common.max_queries.map(|n| n as usize),
        retrieval: match asked {
            Asked::Retrieval {
                candidates,
                rerank_candidates,
                ..
            } => Some(Overrides {
                candidates: candidates.map(|n| n as usize),
                rerank_candidates: rerank_candidates.map(|n| n as usize),
                ..Overrides::default()
            }),
            Asked::Answers(_) => None,
        },
        answers: match asked {
            Asked::Retrieval { .. } => None,
            Asked::Answers(mode) => Some(NewAnswers {
                mode: (*mode).into(),
            }),
        },
        seed: Some(common.seed),
    };
    let asking = client.clone();
    let started = blocking(move || asking.start_evaluation(&request)).await?;
    bar.set_message("queries");
    bar.set_length(started.dataset.asked as u64);
    loop {
        let (asking, id) = (client.clone(), started.id);
        let record = blocking(move || asking.evaluation(id)).await?;
        match record.summary.state {
            State::Done => return Ok(record),
            State::Failed => {
                let reason = record.summary.error.unwrap_or_default();
                anyhow::bail!("the evaluation {id} failed: {reason}");
            }
            State::Running => {
                let done = f64::from(record.summary.progress) * started.dataset.asked as f64;
                bar.set_position(done.round() as u64);
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn write_runs(dir: &Path, runs: &Runs) -> anyhow::Result<()> {
    fs_err::create_dir_all(dir)?;
    for (stage, run) in runs {
        fs_err::write(dir.join(format!("{stage}.run")), run)?;
    }
    Ok(())
}
