//! `kura eval`

use super::backend::blocking;
use super::{Outcome, print_json, progress_bar};
use crate::app;
use crate::config::Config;
use crate::evaluate::{self, Dataset};
use std::path::PathBuf;

/// Arguments of `kura eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Index a labelled data set and measure how well its queries find their documents.
    ///
    /// The index is kept under `eval` in the data directory, so a second run only asks the queries.
    Retrieval {
        /// Folder in BEIR layout: corpus.jsonl, queries.jsonl, qrels.tsv.
        #[arg(long, value_name = "DIR")]
        dataset: PathBuf,
        /// Ask at most this many queries, evenly spaced.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        max_queries: Option<u32>,
        /// Write each leg's rankings there, in TREC's run format, for other tools.
        #[arg(long, value_name = "DIR")]
        runs: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Measures.
///
/// # Errors
/// When the data set cannot be read, or indexing or searching fails.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let Command::Retrieval {
        dataset,
        max_queries,
        runs,
        json,
    } = args.command;
    let dataset = blocking(move || Dataset::read(&dataset)).await?;
    let loading = config.clone();
    let embedder = blocking(move || app::load_embedder(&loading)).await?;
    let bar = progress_bar("{spinner} {msg} {wide_bar} {pos}/{len} {eta}");
    let report = evaluate::retrieval(
        &dataset,
        &config.data_dir.join("eval"),
        embedder,
        app::index_config(&config),
        max_queries.map(|n| n as usize),
        runs.as_deref(),
        &|what, done, all| {
            bar.set_message(what.to_owned());
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        },
    )
    .await;
    bar.finish_and_clear();
    let report = report?;
    if json {
        print_json(&report)?;
    } else {
        say!(
            "{}: {} documents, {} queries, {}",
            report.dataset,
            report.documents,
            report.queries,
            report.embedder
        );
        // The report's own form is the only place that knows its measures.
        for (leg, metrics) in &report.legs {
            say!("{leg:8} {}", serde_json::to_string(metrics)?);
        }
    }
    Ok(Outcome::Success)
}
