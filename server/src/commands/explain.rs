//! `kura explain`

use super::backend::{Backend, blocking};
use super::filter::FilterArgs;
use super::{Outcome, print_json};
use crate::app;
use crate::audit::Audited;
use crate::config::Config;
use crate::routes::explain::{ExplainRequest, ExplainResponse, ExplainedDocument, Gate};
use crate::routes::filter::to_core;
use crate::routes::{document_id, select};
use anyhow::Context as _;
use kura_indexer::{AccessFilter, GroupId, retrieve};
use std::sync::Arc;

/// Arguments of `kura explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Words or a question.
    query: String,
    /// Id of a document: where did it end, and why?
    #[arg(long, value_name = "ID")]
    document: Option<String>,
    /// Search only this collection; may be repeated.
    #[arg(long, value_name = "NAME")]
    collection: Vec<String>,
    /// Search as one who is in this group; may be repeated, and all who sign in are in `everyone`. Without it, as one who
    /// may read everything.
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Hits that are wanted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: Option<u16>,
    /// Ask the answer's gate, too: would there be an answer?
    #[arg(long)]
    answer: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Explains a search and prints it.
///
/// # Errors
/// When a collection or the document does not exist, or searching fails.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    anyhow::ensure!(!args.query.trim().is_empty(), "the query is empty");
    let limit = args.limit.map_or(config.retrieval.limit, usize::from);
    let given = |names: Vec<String>| Some(names).filter(|names| !names.is_empty());
    let request = ExplainRequest {
        query: args.query,
        collections: given(args.collection),
        limit: Some(limit),
        document: args.document,
        filter: args.filter.filter(),
        groups: given(args.group),
        answer: args.answer,
    };
    let response = match Backend::open_to_search(&config).await? {
        Backend::Local(pipeline) => {
            let explain = async |audited: &Audited| {
                audited.asked("query", &request.query, request.collections.as_deref());
                let operator = AccessFilter::unrestricted("local command of the operator");
                let names = request.collections.as_deref();
                let collections = select(&pipeline, names, &operator).await?;
                let access = match request.groups {
                    Some(groups) => AccessFilter::groups(groups.into_iter().map(GroupId).collect()),
                    None => operator,
                };
                let id = request.document.as_deref().map(document_id).transpose();
                let id = id
                    .ok()
                    .context("the document id is no id; `kura search --json` shows ids")?;
                let search = retrieve::SearchRequest {
                    filter: to_core(request.filter.as_ref())?,
                    text: request.query,
                    collections,
                    limit,
                };
                let explanation = pipeline.explain(&search, id, &access).await?;
                let shown = explanation.ranked.iter().map(|ranked| &ranked.hit.chunk);
                audited.chunks("chunks", shown);
                let gate = if request.answer {
                    let assistant = app::assistant(&config, Arc::clone(&pipeline), None).await?;
                    let (text, collections) = (&search.text, &search.collections);
                    let gathered = assistant.gather(text, collections, &search.filter, &access);
                    Some(Gate::new(&gathered.await?, config.answer.min_support))
                } else {
                    None
                };
                Ok(ExplainResponse::new(explanation, gate))
            };
            pipeline.audited("search.explain", explain).await?
        }
        Backend::Server(client) => blocking(move || client.explain(&request)).await?,
    };
    if args.json {
        print_json(&response)?;
    } else {
        print(&response, limit);
    }
    Ok(Outcome::Success)
}

fn print(response: &ExplainResponse, limit: usize) {
    let terms = response.terms.iter().map(|term| {
        if term.stop {
            format!("({})", term.text)
        } else {
            term.text.clone()
        }
    });
    say!("terms      {}", terms.collect::<Vec<_>>().join(" "));
    say!("bm25       k1 {}, b {}", response.bm25.k1, response.bm25.b);
    if !response.dropped.is_empty() {
        say!("dropped    {}", response.dropped.join(", "));
    }
    if let Some(reranker) = &response.reranker {
        say!("reranker   {reranker} has the last word: order by `relevance`, then by score");
    }
    if let Some(gate) = &response.gate {
        let verdict = if gate.passes { "answers" } else { "no answer" };
        say!(
            "gate       support {:.2}, needed {:.2}: {verdict}",
            gate.support,
            gate.min_support
        );
        for part in &gate.parts {
            say!("  part     support {:.2}: {}", part.support, part.query);
        }
    }
    if let Some(document) = &response.document {
        print_document(document);
    }
    say!(
        "\nrank  relevance  score = dense + lexical + late   + recent + near   dense  lexical  before late  source"
    );
    for hit in response.candidates.iter().take(limit) {
        let place = |rank: Option<usize>| rank.map_or("-".to_owned(), |rank| rank.to_string());
        say!(
            "{:>4}  {:>9}  {:>5.2} = {:>5.2} + {:>5.2}   + {:>5.2}  + {:>5.2}  + {:>5.2} {:>6}  {:>7}  {:>11}  {}",
            hit.rank,
            hit.hit
                .rerank_score
                .map_or("-".to_owned(), |score| format!("{score:.4}")),
            hit.hit.score,
            hit.parts.dense,
            hit.parts.lexical,
            hit.parts.late_interaction,
            hit.parts.recency,
            hit.parts.neighbors,
            place(hit.hit.dense_rank),
            place(hit.hit.lexical_rank),
            hit.rank_without_late_interaction,
            match hit.duplicate_of {
                Some(_) => format!("{} (the same as {})", hit.hit.source, hit.rank),
                None => hit.hit.source.clone(),
            }
        );
    }
}

fn print_document(document: &ExplainedDocument) {
    say!("document   {} ({})", document.title, document.source);
    say!("           {}", document.reason);
    if !document.shared_terms.is_empty() {
        say!("  has      {}", document.shared_terms.join(" "));
    }
    if !document.missing_terms.is_empty() {
        say!("  lacks    {}", document.missing_terms.join(" "));
    }
}
