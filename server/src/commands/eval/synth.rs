//! `kura eval synth`

use crate::app;
use crate::audit::Audited;
use crate::commands::backend::{Backend, blocking};
use crate::commands::{Hinted, Outcome, print_json, progress_bar};
use crate::config::Config;
use crate::evaluate::folder::Folder;
use crate::evaluate::library::Library;
use crate::evaluate::record::SEED;
use crate::evaluate::synth::{self, About, Counts, Settings, State, Synth};
use anyhow::Context as _;
use kura_indexer::AccessFilter;
use kura_models::Generator;
use std::path::PathBuf;
use std::sync::Arc;

/// Arguments of `kura eval synth`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The collection whose documents are asked about.
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// Folder to write: queries.jsonl, qrels.tsv, rejected.jsonl and dataset.json.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Questions to make.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    questions: u32,
    /// Seed of the order of documents and passages.
    #[arg(long, value_name = "N", default_value_t = SEED)]
    seed: u64,
    /// The search must find a question's document among the first so many.
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=100))]
    top: u8,
    /// Most of a question that may stand in the passage word by word.
    #[arg(long, value_name = "SHARE", default_value_t = 0.6, value_parser = share)]
    max_overlap: f32,
    /// Keep questions that only fail to find their document, marked as hard.
    #[arg(long)]
    keep_hard: bool,
    /// Go on with the data set that is there.
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Replace the data set that is there.
    #[arg(long)]
    overwrite: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let library = library(&config, &args.collection).await?;
    // Before the folder: a data set is not overwritten by a command that cannot make another.
    let generator = generator(&config).await?;
    let folder = if args.resume {
        Folder::open(&args.output)
    } else {
        Folder::create(&args.output, args.overwrite)
    }?;
    let settings = Settings {
        collection: args.collection.clone(),
        seed: args.seed,
        top: usize::from(args.top),
        max_overlap: args.max_overlap,
        keep_hard: args.keep_hard,
        generator: synth::generator_facts(generator.as_ref()),
    };
    let synth = if args.resume {
        Synth::resume(library, generator, settings, folder).await?
    } else {
        Synth::begin(library, generator, settings, folder).await?
    };
    let bar = progress_bar("{spinner} questions {wide_bar} {pos}/{len} {msg} {elapsed}");
    bar.set_length(u64::from(args.questions));
    let progress = |counts: &Counts| {
        bar.set_position(counts.questions as u64);
        bar.set_message(format!(
            "({} refused)",
            counts.rejected.values().sum::<usize>()
        ));
    };
    let made = tokio::select! {
        made = synth.run(args.questions as usize, &progress) => Some(made),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot wait for Ctrl-C")?;
            None
        }
    };
    bar.finish_and_clear();
    let Some(made) = made else {
        say!(
            "interrupted; what was made is in {}, and --resume goes on",
            args.output.display()
        );
        return Ok(Outcome::Partial);
    };
    let about = made.with_context(|| {
        format!(
            "what was made is in `{}`, and --resume goes on",
            args.output.display()
        )
    })?;
    if args.json {
        print_json(&about)?;
    } else {
        print(&args, &about);
    }
    Ok(if about.counts.questions > 0 {
        Outcome::Success
    } else {
        Outcome::Failure
    })
}

async fn library(config: &Config, collection: &str) -> anyhow::Result<Library> {
    match Backend::open(config).await? {
        Backend::Local(pipeline) => {
            let access = AccessFilter::unrestricted("local command of the operator");
            let read = async |audited: &Audited| {
                audited.target("collection", collection);
                Library::local(Arc::clone(&pipeline), collection, access).await
            };
            pipeline.audited("evaluation.synthesize", read).await
        }
        Backend::Server(client) => Library::server(client, collection).await,
    }
}

async fn generator(config: &Config) -> anyhow::Result<Arc<dyn Generator>> {
    let loading = config.clone();
    let loaded = blocking(move || app::load_generator(&loading)).await?;
    loaded.ok_or_else(|| {
        let hint = match config.generator() {
            Some(id) => format!("run `kura models pull {id}`"),
            None => "set `models.generator`, and pull it with `kura models pull`".to_owned(),
        };
        Hinted::new(
            "no generator is installed, and someone has to write the questions",
            hint,
        )
        .into()
    })
}

fn print(args: &Args, about: &About) {
    let counts = &about.counts;
    say!(
        "{} of {} questions from {} documents, {} of them hard",
        counts.questions,
        about.wanted,
        counts.documents,
        counts.hard
    );
    for (reason, n) in &counts.skipped {
        say!("skipped {n:>5} passages: {}", reason.describe());
    }
    for (reason, n) in &counts.rejected {
        say!("refused {n:>5} questions: {}", reason.describe());
    }
    if about.state == State::Exhausted {
        say!("there are no more passages; `rejected.jsonl` has what was refused");
    }
    let folder = args.output.display();
    say!("\nwrote {folder}");
    if counts.questions > 0 {
        say!(
            "`kura eval retrieval --dataset {folder} --collection {}` measures with it",
            args.collection
        );
    }
}

fn share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("use a number from 0 to 1".to_owned()),
    }
}
