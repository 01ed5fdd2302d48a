//! `kura search`

use super::backend::{Backend, blocking};
use super::filter::FilterArgs;
use super::{Outcome, print_json};
use crate::audit::Audited;
use crate::config::Config;
use crate::routes::filter::to_core;
use crate::routes::search::{Hit, SearchRequest, SearchResponse};
use crate::routes::select;
use kura_indexer::{AccessFilter, retrieve};

/// Arguments of `kura search`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Words or a question.
    query: String,
    /// Search only this collection; may be repeated.
    #[arg(long, value_name = "NAME")]
    collection: Vec<String>,
    /// Most hits to show.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: Option<u16>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Searches and prints the hits.
///
/// # Errors
/// When a collection does not exist, or searching fails.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    anyhow::ensure!(!args.query.trim().is_empty(), "the query is empty");
    let limit = args.limit.map_or(config.retrieval.limit, usize::from);
    let collections = Some(args.collection).filter(|names| !names.is_empty());
    let filter = args.filter.filter();
    let response: SearchResponse = match Backend::open_to_search(&config).await? {
        Backend::Local(local) => {
            let search = async |audited: &Audited| {
                audited.asked("query", &args.query, collections.as_deref());
                let access = AccessFilter::unrestricted("local command of the operator");
                let request = retrieve::SearchRequest {
                    collections: select(&local, collections.as_deref(), &access).await?,
                    filter: to_core(filter.as_ref())?,
                    text: args.query,
                    limit,
                };
                let found = local.search(&request, &access).await?;
                audited.chunks("chunks", found.hits.iter().map(|hit| &hit.chunk));
                Ok(found.into())
            };
            local.audited("search", search).await?
        }
        Backend::Server(client) => {
            let request = SearchRequest {
                query: args.query,
                collections,
                limit: Some(limit),
                filter,
            };
            blocking(move || client.search(&request)).await?
        }
    };
    if args.json {
        print_json(&response)?;
    } else {
        print(&response.items);
    }
    Ok(Outcome::Success)
}

fn print(hits: &[Hit]) {
    if hits.is_empty() {
        say!("Nothing found.");
    }
    for (at, hit) in hits.iter().enumerate() {
        say!(
            "{}. {} ({}{})",
            at + 1,
            hit.title,
            hit.source,
            place(hit.page, hit.range.as_deref())
        );
        if !hit.headings.is_empty() {
            say!("   {}", hit.headings.join(" > "));
        }
        say!("   {}", excerpt(&hit.text));
        if !hit.duplicates.is_empty() {
            let sources = hit.duplicates.iter().map(|other| other.source.as_str());
            say!("   the same in: {}", sources.collect::<Vec<_>>().join(", "));
        }
        say!("");
    }
}

/// Returns where in a document something stands, as a suffix.
pub(super) fn place(page: Option<u32>, range: Option<&str>) -> String {
    match (page, range) {
        (_, Some(range)) => format!(", {range}"),
        (Some(page), None) => format!(", page {page}"),
        (None, None) => String::new(),
    }
}

fn excerpt(text: &str) -> String {
    /// Three lines of a terminal.
    const CHARS: usize = 240;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= CHARS {
        return line;
    }
    line.chars().take(CHARS).chain(['…']).collect()
}
