//! `kura eval`

mod dataset;
mod grounding;
mod measure;
mod print;
mod synth;

use super::backend::blocking;
use super::{Outcome, Usage, print_json};
use crate::config::Config;
use crate::evaluate::compare::{self, Comparison, Limit, UnknownName, Verdict};
use crate::evaluate::record::{Record, State};
use crate::evaluate::records::Records;
use crate::evaluate::report;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Arguments of `kura eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Measure how well labelled queries find their documents, and store the run.
    ///
    /// With a data set's own documents, their index is kept under `eval` in the data directory, so that a second run
    /// only asks the queries. With --collection that collection is searched as it is served.
    Retrieval(measure::RetrievalArgs),
    /// Measure whether labelled questions are answered, cited and refused as they should be, and store the run.
    ///
    /// Beside correctness, citations and refusals it tells whether the probabilities of support hold, and what other
    /// values of `answer.min_support` would do.
    Answers(measure::AnswersArgs),
    /// Measure whether the score that ties a sentence to its source tells support from the lack of it, beside the
    /// share of words that both have, and store the run.
    Grounding(grounding::Args),
    /// Make a data set of what people said about their answers.
    #[command(subcommand)]
    Dataset(dataset::Command),
    /// Make a data set of questions that the local generator writes about a collection's documents.
    ///
    /// Each question is checked: its answer stands in the passage, it does not copy the passage, and the collection's
    /// own search finds the document again. What is refused is kept with its reason. An interrupted run goes on with
    /// --resume.
    Synth(synth::Args),
    #[command(flatten)]
    Stored(Stored),
}

/// What works with runs that are stored.
#[derive(Debug, clap::Subcommand)]
enum Stored {
    /// List the stored runs, the latest first.
    List {
        /// Most runs to show.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a stored run.
    Show {
        /// The run: its id, the beginning of it, or the path of a record.
        id: String,
        /// Print the whole record as JSON, with all its queries.
        #[arg(long)]
        json: bool,
    },
    /// Write a stored run as one HTML page with charts, which needs no network.
    Report {
        /// The run: its id, the beginning of it, or the path of a record.
        id: String,
        /// File to write; `-` is stdout. Without it `evaluation-ID.html` in the working directory.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Compare two stored runs over the queries that both asked: differences with intervals and p-values.
    ///
    /// Exit code 1 when a limit of --fail-on is not kept.
    Compare(CompareArgs),
    /// Delete a stored run.
    Delete {
        /// The run: its id, or the beginning of it.
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct CompareArgs {
    /// The run to compare with: its id, the beginning of it, or the path of a record.
    base: String,
    /// The run to judge.
    candidate: String,
    /// The stage to compare; without it the last of each run, which is what a user gets to see.
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Fail when a metric changes by less than this, or for latencies by more; may be repeated. E.g.
    /// `ndcg@10:-0.02`, `p95_ms:+50`.
    #[arg(long, value_name = "METRIC:DIFFERENCE")]
    fail_on: Vec<Limit>,
    /// Write the comparison as an HTML page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A comparison and what became of the limits.
#[derive(Serialize)]
struct Compared<'a> {
    #[serde(flatten)]
    comparison: &'a Comparison,
    limits: &'a [Verdict],
    passed: bool,
}

/// Measures, or works with what was measured.
///
/// # Errors
/// When a data set or record cannot be read, or indexing or searching fails.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Retrieval(args) => measure::retrieval(config, args).await,
        Command::Answers(args) => measure::answers(config, args).await,
        Command::Grounding(args) => grounding::run(config, args).await,
        Command::Dataset(command) => dataset::run(config, command).await,
        Command::Synth(args) => synth::run(config, args).await,
        Command::Stored(command) => blocking(move || stored(&config, command)).await,
    }
}

fn stored(config: &Config, command: Stored) -> anyhow::Result<Outcome> {
    let records = Records::of(&config.data_dir);
    match command {
        Stored::List { limit, json } => {
            let summaries = records.list(None, limit as usize, |_| true)?;
            if json {
                print_json(&summaries)?;
            } else {
                print::list(&summaries);
            }
        }
        Stored::Show { id, json } => {
            let record = records.open(&id)?;
            if json {
                print_json(&record)?;
            } else {
                print::summary(&record.summary);
            }
        }
        Stored::Report { id, output } => {
            let record = records.open(&id)?;
            let page = report::run(&record)?;
            write_page(output.unwrap_or_else(|| file_name(&record)), &page)?;
        }
        Stored::Compare(args) => return compare(&records, args),
        Stored::Delete { id } => {
            let id = records.find(&id)?;
            anyhow::ensure!(
                records.summary(id)?.state != State::Running,
                "the evaluation {id} is running on the server, which deletes it: DELETE /api/v1/evaluations/{id}"
            );
            records.delete(id)?;
            say!("deleted {id}");
        }
    }
    Ok(Outcome::Success)
}

fn compare(records: &Records, args: CompareArgs) -> anyhow::Result<Outcome> {
    let (base, candidate) = (records.open(&args.base)?, records.open(&args.candidate)?);
    let found = compare::compare(&base, &candidate, args.stage.as_deref()).map_err(|error| {
        match error.downcast::<UnknownName>() {
            Ok(unknown) => usage(&unknown),
            Err(error) => error,
        }
    })?;
    let verdicts = found
        .judge(&args.fail_on)
        .map_err(|unknown| usage(&unknown))?;
    let passed = verdicts.iter().all(|verdict| verdict.passed);
    if let Some(path) = args.html {
        let page = report::comparison(&found, &verdicts, &base, &candidate)?;
        fs_err::write(path, page)?;
    }
    if args.json {
        print_json(&Compared {
            comparison: &found,
            limits: &verdicts,
            passed,
        })?;
    } else {
        print::comparison(&found, &verdicts);
    }
    Ok(if passed {
        Outcome::Success
    } else {
        Outcome::Failure
    })
}

fn usage(unknown: &UnknownName) -> anyhow::Error {
    Usage(unknown.to_string()).into()
}

fn file_name(record: &Record) -> PathBuf {
    format!("evaluation-{}.html", record.summary.id).into()
}

fn write_page(path: PathBuf, page: &str) -> anyhow::Result<()> {
    if path == Path::new("-") {
        say!("{page}");
        return Ok(());
    }
    fs_err::write(&path, page)?;
    say!("wrote {}", path.display());
    Ok(())
}
