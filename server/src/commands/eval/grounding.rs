//! `kura eval grounding`

use super::print;
use crate::app;
use crate::commands::backend::blocking;
use crate::commands::{Outcome, print_json, progress_bar};
use crate::config::Config;
use crate::evaluate::Options;
use crate::evaluate::grounding::{GroundingSet, Level, evaluate};
use crate::evaluate::record::{SEED, Summary};
use crate::evaluate::records::Records;
use std::path::PathBuf;

/// Arguments of `kura eval grounding`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file, or a folder whose `*.jsonl` files are sets of their own. A line has `_id`, `source` (one or more
    /// texts), `text`, `supported`, and may have `unsupported_spans`; the forms of `FaithBench` and of RGB's
    /// counterfactual part are known as well.
    #[arg(long, value_name = "PATH")]
    dataset: PathBuf,
    /// Judge each sentence, or each text by its weakest sentence.
    #[arg(long, value_enum, default_value = "sentence")]
    level: Level,
    /// What to call the run; the data set's name when absent.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Judge at most this many texts of each set, evenly spaced.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_queries: Option<u32>,
    /// Seed of everything random.
    #[arg(long, value_name = "N", default_value_t = SEED)]
    seed: u64,
    /// Print JSON: a list with one summary per set.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let path = args.dataset.clone();
    let sets = blocking(move || GroundingSet::read(&path)).await?;
    let usable: Vec<&GroundingSet> = sets.iter().filter(|set| set.unusable().is_none()).collect();
    let reasons: Vec<String> = sets.iter().filter_map(GroundingSet::unusable).collect();
    anyhow::ensure!(!usable.is_empty(), "{}", reasons.join("; "));
    let loading = config.clone();
    let embedder = blocking(move || app::load_embedder(&loading)).await?;
    let mut summaries: Vec<Summary> = Vec::new();
    for set in usable {
        let bar = progress_bar("{spinner} {msg} {wide_bar} {pos}/{len} {eta}");
        let progress = |_: &str, done: usize, all: usize| {
            bar.set_message(set.name().to_owned());
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        };
        let options = Options {
            name: args.name.clone(),
            max_queries: args.max_queries.map(|n| n as usize),
            seed: args.seed,
        };
        let record = evaluate(set, &embedder, args.level, options, &progress).await;
        bar.finish_and_clear();
        let record = record?;
        let records = Records::of(&config.data_dir);
        let path = records.path(record.summary.id);
        let record = blocking(move || records.write(&record).map(|()| record)).await?;
        if !args.json {
            if !summaries.is_empty() {
                say!("");
            }
            print::measured(&record.summary, &path);
        }
        summaries.push(record.summary);
    }
    if args.json {
        print_json(&summaries)?;
    } else {
        for reason in reasons {
            say!("\nleft out: {reason}");
        }
    }
    Ok(Outcome::Success)
}
