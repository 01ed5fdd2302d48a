//! `kura verify`

use super::backend::{Backend, blocking};
use super::{Outcome, print_json};
use crate::config::Config;
use crate::routes::verify::{Part, Trouble, Verification, VerifyRequest};

/// Arguments of `kura verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Read every original file, too, and compare it with its checksum.
    #[arg(long)]
    read: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Compares catalog, original files and indexes. Repairs nothing.
///
/// # Errors
/// When a part cannot be read at all. What differs decides the exit code.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let seen = match Backend::open_as_is(&config).await? {
        Backend::Local(pipeline) => pipeline.verify(args.read).await?.into(),
        Backend::Server(client) => {
            let request = VerifyRequest {
                read_blobs: args.read,
            };
            blocking(move || client.verify(request)).await?
        }
    };
    if args.json {
        print_json(&seen)?;
    } else {
        print(&seen);
    }
    Ok(if seen.findings.is_empty() {
        Outcome::Success
    } else {
        Outcome::Failure
    })
}

fn print(seen: &Verification) {
    let Verification {
        n_documents,
        n_chunks,
        n_vectors,
        n_keywords,
        n_blobs,
        findings,
    } = seen;
    say!("catalog   {n_documents} documents with {n_chunks} chunks");
    say!("blobs     {n_blobs} original files");
    say!("vectors   {n_vectors} chunks");
    say!("keywords  {n_keywords} chunks");
    if findings.is_empty() {
        say!("\n0 orphans, nothing missing");
        return;
    }
    say!("");
    for finding in findings {
        let part = match finding.part {
            Part::Catalog => "catalog",
            Part::Blobs => "blobs",
            Part::Vectors => "vectors",
            Part::Keywords => "keywords",
        };
        let trouble = match finding.trouble {
            Trouble::Orphan => "orphans",
            Trouble::Missing => "missing",
            Trouble::Damaged => "damaged",
        };
        say!("{part}: {} {trouble}", finding.n);
        for example in &finding.examples {
            say!("  {example}");
        }
        if finding.examples.len() < finding.n {
            say!("  …");
        }
    }
    say!(
        "\nThe indexes are put right from the catalog when a server or command next opens the data directory; \
         `kura admin reindex` builds them anew. A document whose original is missing or damaged can be added again."
    );
}
