//! `kura quality`

use super::backend::{Backend, blocking};
use super::{Outcome, print_json, size};
use crate::audit::Audited;
use crate::config::Config;
use crate::routes::quality::Quality;
use kura_indexer::AccessFilter;

/// Arguments of `kura quality`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The collection.
    #[arg(value_name = "COLLECTION")]
    collection: String,
    /// Most documents to list.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows what is wrong with a collection's documents.
///
/// # Errors
/// When the collection does not exist.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let collection = args.collection;
    let mut quality = match Backend::open(&config).await? {
        Backend::Local(pipeline) => {
            let access = AccessFilter::unrestricted("local command of the operator");
            let today = jiff::Zoned::now().date();
            let look = async |audited: &Audited| {
                audited.target("collection", &collection);
                let found = pipeline.quality(&collection, &access, today).await?;
                let quality = Quality::of(collection, found);
                audited.items(quality.findings.len());
                Ok(quality)
            };
            pipeline.audited("collection.quality", look).await?
        }
        Backend::Server(client) => blocking(move || client.quality(&collection)).await?,
    };
    if args.json {
        quality.findings.truncate(args.limit);
        print_json(&quality)?;
    } else {
        print(&quality, args.limit);
    }
    Ok(Outcome::Success)
}

fn print(quality: &Quality, limit: usize) {
    say!(
        "collection {}: {} documents, {}, {} chunks",
        quality.collection,
        quality.n_documents,
        size(quality.n_bytes as f64),
        quality.n_chunks
    );
    let sizes = &quality.sizes;
    say!(
        "file sizes: median {}, 95 % below {}, largest {}",
        size(sizes.p50 as f64),
        size(sizes.p95 as f64),
        size(sizes.max as f64)
    );
    say!(
        "\n{:44} {:>9} {:>9} {:>10}",
        "format",
        "documents",
        "failed",
        "size"
    );
    for (media_type, format) in &quality.formats {
        say!(
            "{media_type:44} {:>9} {:>9} {:>10}",
            format.n_documents,
            format.n_failed,
            size(format.n_bytes as f64)
        );
    }
    for (title, counts) in [
        ("status", &quality.statuses),
        ("language", &quality.languages),
        ("failed", &quality.failures),
        ("issue", &quality.issues),
    ] {
        if !counts.is_empty() {
            let list: Vec<String> = counts
                .iter()
                .map(|(name, n)| format!("{n} {name}"))
                .collect();
            say!("{title}: {}", list.join(", "));
        }
    }
    if quality.findings.is_empty() {
        say!("\nnothing is wrong with these documents");
        return;
    }
    say!("\nworst first:");
    for finding in quality.findings.iter().take(limit) {
        say!("  {}", finding.source);
        for issue in &finding.issues {
            say!("      {}: {}", issue.kind, issue.detail);
        }
    }
    let left = quality.findings.len().saturating_sub(limit);
    if left > 0 {
        say!("  and {left} more; --limit shows them");
    }
    if !quality.complete {
        say!("there may be more near-duplicates: not all texts were compared");
    }
}
