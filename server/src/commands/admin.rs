//! `kura admin`

use super::backend::{audited, blocking};
use super::{Outcome, print_json, progress_bar};
use crate::app;
use crate::audit::Audited;
use crate::config::Config;
use kura_indexer::Pipeline;

/// Arguments of `kura admin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Build the index anew from the catalog, e.g. for another embedder or after damage.
    ///
    /// No server may have the data directory meanwhile. The documents themselves are not touched.
    Reindex {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Does an operator's work.
///
/// # Errors
/// When a server has the data directory, or kura fails.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let Command::Reindex { json } = args.command;
    let loading = config.clone();
    let embedder = blocking(move || app::load_embedder(&loading)).await?;
    let bar = progress_bar("{spinner} reindexing {wide_bar} {pos}/{len} {eta}");
    let log = app::open_audit_log(&config).await?;
    let reindex = async |audited: &Audited| {
        let progress = |done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        };
        let n = Pipeline::reindex(&config.data_dir, embedder, &progress).await?;
        audited.items(n);
        Ok(n)
    };
    let reindexed = audited(&log, "index.rebuild", reindex).await;
    bar.finish_and_clear();
    let n_documents = reindexed?;
    if json {
        print_json(&serde_json::json!({ "n_documents": n_documents }))?;
    } else {
        say!("reindexed {n_documents} documents");
    }
    Ok(Outcome::Success)
}
