//! `kura eval retrieval`

use super::print;
use crate::app;
use crate::client::Client;
use crate::commands::backend::{Backend, blocking};
use crate::commands::{Outcome, Usage, print_json, progress_bar};
use crate::config::Config;
use crate::evaluate::dataset::{Dataset, LabelledQuery};
use crate::evaluate::provenance::Settings;
use crate::evaluate::record::{Ranked, Record, SEED, State};
use crate::evaluate::records::Records;
use crate::evaluate::{Cache, Evaluation, Options};
use crate::routes::evaluations::{MAX_CANDIDATES, MAX_QUERIES, NewEvaluation, NewQuery, Overrides};
use indicatif::ProgressBar;
use kura_indexer::AccessFilter;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the server is asked how far it is.
const POLL: Duration = Duration::from_millis(300);

/// Arguments of `kura eval retrieval`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
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
    /// Ask at most this many queries, evenly spaced.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_queries: Option<u32>,
    /// Chunks taken from each index before fusion; `retrieval.candidates` without it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_CANDIDATES as i64))]
    candidates: Option<u32>,
    /// Candidates that the reranker reads; `retrieval.rerank_candidates` without it, 0 to do without the reranker.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MAX_CANDIDATES as i64))]
    rerank_candidates: Option<u32>,
    /// Seed of everything random.
    #[arg(long, value_name = "N", default_value_t = SEED)]
    seed: u64,
    /// Index the data set's documents anew, even if an index is kept.
    #[arg(long)]
    fresh: bool,
    /// Write each stage's rankings there, in TREC's run format, for other tools.
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Rankings in TREC's form by stage: query, `Q0`, document, rank, score, name of the run.
type Runs = BTreeMap<String, String>;

pub(super) async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let (dir, with_corpus) = (args.dataset.clone(), args.collection.is_none());
    let dataset = blocking(move || {
        if with_corpus {
            Dataset::read(&dir)
        } else {
            Dataset::read_labels(&dir)
        }
    })
    .await?;
    let bar = progress_bar("{spinner} {msg} {wide_bar} {pos}/{len} {eta}");
    let measured = measure(&config, &args, dataset, &bar).await;
    bar.finish_and_clear();
    let record = measured?;
    let path = Records::of(&config.data_dir).path(record.summary.id);
    if args.json {
        print_json(&record.summary)?;
    } else {
        print::summary(&record.summary);
        say!("\nstored as {}", path.display());
        say!(
            "`kura eval report {}` writes it as a page",
            record.summary.id
        );
    }
    Ok(Outcome::Success)
}

/// Runs the evaluation here or on the server; its record is stored when this returns.
async fn measure(
    config: &Config,
    args: &Args,
    dataset: Dataset,
    bar: &ProgressBar,
) -> anyhow::Result<Record> {
    let mut settings = Settings {
        chunking: config.chunking.clone(),
        retrieval: config.retrieval.clone(),
    };
    let options = Options {
        name: args.name.clone(),
        max_queries: args.max_queries.map(|n| n as usize),
        seed: args.seed,
    };
    let progress = |what: &str, done: usize, all: usize| {
        bar.set_message(what.to_owned());
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    if let Some(candidates) = args.candidates {
        settings.retrieval.candidates = candidates as usize;
    }
    if let Some(candidates) = args.rerank_candidates {
        settings.retrieval.rerank_candidates = candidates as usize;
    }
    let evaluation = match &args.collection {
        None => {
            let loading = config.clone();
            let cache = Cache {
                dir: &config.data_dir.join("eval"),
                fresh: args.fresh,
                models: blocking(move || app::load_index_models(&loading)).await?,
                index_config: app::index_config(config),
            };
            Evaluation::of_dataset(&dataset, cache, &settings, options, &progress).await?
        }
        Some(collection) => match Backend::open_to_search(config).await? {
            Backend::Server(client) => {
                return by_server(client, args, collection, dataset, bar).await;
            }
            Backend::Local(pipeline) => {
                let access = AccessFilter::unrestricted("local command of the operator");
                Evaluation::of_collection(
                    &dataset, pipeline, collection, access, &settings, options,
                )
                .await?
            }
        },
    };
    let mut runs = Runs::new();
    let mut observe = |query: &LabelledQuery, stage: &str, ranking: &[Ranked]| {
        let run = runs.entry(stage.to_owned()).or_default();
        for (Ranked { document, score }, rank) in ranking.iter().zip(1..) {
            let id = &query.id;
            writeln!(run, "{id} Q0 {document} {rank} {score} kura-{stage}")?;
        }
        Ok(())
    };
    let record = evaluation.run(&mut observe, &progress).await?;
    if let Some(dir) = &args.runs {
        write_runs(dir, &runs)?;
    }
    let records = Records::of(&config.data_dir);
    blocking(move || records.write(&record).map(|()| record)).await
}

/// Has the server that holds the data directory run it, and waits.
async fn by_server(
    client: Client,
    args: &Args,
    collection: &str,
    dataset: Dataset,
    bar: &ProgressBar,
) -> anyhow::Result<Record> {
    if args.runs.is_some() {
        return Err(Usage(
            "--runs needs the whole rankings, which a server does not hand out: stop the server and run again"
                .to_owned(),
        )
        .into());
    }
    let queries: Vec<NewQuery> = dataset
        .judged_queries(None)?
        .into_iter()
        .map(|query| NewQuery {
            id: Some(query.id),
            text: query.text,
            relevant: query.relevant,
        })
        .collect();
    anyhow::ensure!(
        queries.len() <= MAX_QUERIES,
        "the server takes at most {MAX_QUERIES} queries, and the data set has {}; stop the server and run again",
        queries.len()
    );
    let request = NewEvaluation {
        name: args.name.clone().unwrap_or(dataset.name),
        collection: collection.to_owned(),
        queries,
        max_queries: args.max_queries.map(|n| n as usize),
        retrieval: Some(Overrides {
            candidates: args.candidates.map(|n| n as usize),
            rerank_candidates: args.rerank_candidates.map(|n| n as usize),
            ..Overrides::default()
        }),
        seed: Some(args.seed),
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
