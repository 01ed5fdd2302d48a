//! `kura eval dataset`

use crate::audit::Audited;
use crate::commands::backend::{Backend, blocking};
use crate::commands::{Outcome, print_json};
use crate::config::Config;
use crate::conversations::Conversations;
use crate::evaluate::feedback::{self, Counts};
use crate::evaluate::folder::{CORPUS, Folder, QUERIES, label};
use crate::evaluate::library::Library;
use crate::evaluate::record::Answerability;
use crate::routes::feedback::{RatedAnswer, rated_answers};
use kura_indexer::AccessFilter;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// Subcommands of `kura eval dataset`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make one of thumbs and corrections.
    ///
    /// A thumb up makes the cited documents relevant, a named document is relevant, a corrected answer is an accepted
    /// answer, and a thumb up for a refusal makes a question unanswerable. A thumb down alone is no label.
    Feedback(Args),
}

/// Arguments of `kura eval dataset feedback`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The collection whose documents the feedback is about.
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// Folder to write: queries.jsonl, qrels.tsv and dataset.json.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Write the documents, too, so that the folder can be evaluated without the collection.
    #[arg(long)]
    corpus: bool,
    /// Replace the data set that is there.
    #[arg(long)]
    overwrite: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What made a data set: `dataset.json`.
#[derive(Serialize)]
struct About<'a> {
    kind: &'static str,
    collection: &'a str,
    kura_version: &'static str,
    git_commit: Option<&'static str>,
    created_at: jiff::Timestamp,
    counts: &'a Counts,
}

/// A line of `queries.jsonl`.
#[derive(Serialize)]
struct Query<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    text: &'a str,
    answers: &'a [String],
    unanswerable: bool,
    /// Ids of the answers that people said this about.
    rated_answers: &'a [String],
}

/// A line of `corpus.jsonl`.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(rename = "_id")]
    id: String,
    title: &'a str,
    text: &'a str,
}

pub(super) async fn run(config: Config, command: Command) -> anyhow::Result<Outcome> {
    let Command::Feedback(args) = command;
    let (library, rated) = read(&config, &args.collection).await?;
    let (queries, counts) = feedback::queries(&rated, &args.collection);
    let folder = Folder::create(&args.output, args.overwrite)?;
    for found in &queries {
        let query = &found.query;
        for document in query.relevant.keys() {
            folder.judge(&query.id, document)?;
        }
        let row = Query {
            id: &query.id,
            text: &query.text,
            answers: &query.answers,
            unanswerable: query.answerability == Answerability::Unanswerable,
            rated_answers: &found.sources,
        };
        folder.add(QUERIES, &row)?;
    }
    if args.corpus {
        write_corpus(&library, &folder).await?;
    }
    let about = About {
        kind: "feedback",
        collection: &args.collection,
        kura_version: env!("CARGO_PKG_VERSION"),
        git_commit: option_env!("KURA_GIT_COMMIT").filter(|commit| !commit.is_empty()),
        created_at: jiff::Timestamp::now(),
        counts: &counts,
    };
    folder.describe(&about)?;
    if args.json {
        print_json(&about)?;
    } else {
        print(&args, &counts);
    }
    Ok(Outcome::Success)
}

/// Returns the collection and all feedback, here or from the server that holds the data directory.
async fn read(config: &Config, collection: &str) -> anyhow::Result<(Library, Vec<RatedAnswer>)> {
    match Backend::open(config).await? {
        Backend::Local(pipeline) => {
            let access = AccessFilter::unrestricted("local command of the operator");
            let path = config.data_dir.join("conversations.db");
            let conversations = blocking(move || Conversations::open(&path)).await?;
            let export = async |audited: &Audited| {
                let rated = rated_answers(&conversations, &pipeline, &access).await?;
                audited.target("collection", collection);
                audited.items(rated.len());
                Ok(rated)
            };
            let rated = pipeline.audited("feedback.export", export).await?;
            let library = Library::local(Arc::clone(&pipeline), collection, access).await?;
            Ok((library, rated))
        }
        Backend::Server(client) => {
            let asking = client.clone();
            let rated = blocking(move || asking.rated_answers()).await?;
            Ok((Library::server(client, collection).await?, rated))
        }
    }
}

async fn write_corpus(library: &Library, folder: &Folder) -> anyhow::Result<()> {
    for document in library.documents().await? {
        if document.searchable {
            let row = Row {
                id: label(&document.source, &document.id),
                title: &document.title,
                text: &library.text(&document.id).await?,
            };
            folder.add(CORPUS, &row)?;
        }
    }
    Ok(())
}

fn print(args: &Args, counts: &Counts) {
    say!(
        "{} rated answers: {} up, {} down",
        counts.rated,
        counts.up,
        counts.down
    );
    say!(
        "{} questions: {} with documents, {} with answers, {} unanswerable",
        counts.queries,
        counts.with_documents,
        counts.with_answers,
        counts.unanswerable
    );
    for (reason, n) in &counts.left_out {
        say!("left out {n}: {}", reason.describe());
    }
    let folder = args.output.display();
    say!("\nwrote {folder}");
    if counts.with_documents > 0 {
        say!(
            "`kura eval retrieval --dataset {folder} --collection {}` measures with it",
            args.collection
        );
    }
}
