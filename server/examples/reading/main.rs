//! What is put before the reader, measured: is what a question needs among the passages? `docs/ANSWERS.md` holds the
//! last figures. Models are those of MODELS, a folder; DATA is a copy of a data directory that `kura eval` made.
//!
//! ```text
//! reading singles SET…                     which questions of sets are taken apart
//! reading parts MODELS DATA SET [PAIRS]    pairs of questions joined as people write them; questions compared
//! reading sections MODELS SET…             passages widened by so many tokens, over articles made of paragraphs
//! reading handbook MODELS FIXTURES [GENERATOR]  the sample handbook's questions, single and with several parts
//! ```

#![expect(clippy::print_stdout, reason = "a command")]

mod handbook;
mod parts;
mod sections;

use anyhow::Context;
use handbook::handbook;
use kura::answer::AnswerConfig;
use kura::answer::passages::Passage;
use kura::config::{Flags, load};
use kura::evaluate::statistics::{Statistic, difference, randomization_test};
use kura_indexer::chunk::ChunkConfig;
use kura_indexer::fuse::Fusion;
use kura_indexer::store::Bm25;
use kura_indexer::{AccessFilter, IndexConfig};
use kura_models::{DeviceChoice, EmbedConfig, Embedder, Registry, load_embedder};
use parts::{parts, singles};
use sections::sections;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SEED: u64 = 7;
/// Questions of a set asked by themselves.
const QUESTIONS: usize = 120;
const PAIRS: usize = 120;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["singles", ref sets @ ..] => sets.iter().try_for_each(|set| singles(Path::new(set))),
        ["parts", models, data, set] => parts(models, data, set, PAIRS).await,
        ["parts", models, data, set, n] => parts(models, data, set, n.parse()?).await,
        ["sections", models, ref sets @ ..] => {
            for set in sets {
                sections(models, set).await?;
            }
            Ok(())
        }
        ["handbook", models, fixtures] => handbook(models, fixtures, None).await,
        ["handbook", models, fixtures, generator] => {
            handbook(models, fixtures, Some(generator)).await
        }
        _ => anyhow::bail!("usage: see the head of server/examples/reading/main.rs"),
    }
}

fn everyone() -> AccessFilter {
    AccessFilter::unrestricted("measurement")
}

fn embedder(models: &str) -> anyhow::Result<Arc<dyn Embedder>> {
    let installed = Registry::open(Path::new(models))?.locate("multilingual-e5-small")?;
    Ok(load_embedder(
        &installed,
        &DeviceChoice::Cpu,
        &EmbedConfig::default(),
    )?)
}

fn index_config() -> IndexConfig {
    IndexConfig {
        chunking: ChunkConfig::default(),
        candidates: 50,
        bm25: Bm25::default(),
        fusion: Fusion::default(),
        // Figures must not depend on how busy the machine is.
        late_budget: Duration::from_secs(60),
        collapse_duplicates: true,
        reranking: kura_indexer::Reranking::default(),
        max_text_bytes: 32 << 20,
        min_free_bytes: 0,
    }
}

fn answer_config() -> anyhow::Result<AnswerConfig> {
    Ok(load(&Flags::default())
        .ok()
        .context("the defaults are valid")?
        .config
        .answer)
}

/// A question and the documents that it needs.
struct Needs {
    text: String,
    documents: BTreeSet<String>,
    /// For each part, strings of which an answer has one.
    answers: Vec<Vec<String>>,
}

fn report(name: &str, pairs: &[(f64, f64)]) {
    let d = difference(pairs, Statistic::Mean, SEED);
    let wins = pairs.iter().filter(|(a, b)| b > a).count();
    let losses = pairs.iter().filter(|(a, b)| b < a).count();
    println!(
        "  {name}: {:.3} → {:.3} ({:+.3}, {:+.3} to {:+.3}), {wins} better, {losses} worse, p = {:.4}, n = {}",
        d.base,
        d.candidate,
        d.difference,
        d.low,
        d.high,
        randomization_test(pairs, SEED),
        pairs.len()
    );
}

/// Returns whether all needed documents are there, and the share of them that is.
fn support(question: &Needs, sources: &[&str]) -> (f64, f64) {
    let there = question
        .documents
        .iter()
        .filter(|document| sources.contains(&document.as_str()))
        .count();
    let share = there as f64 / question.documents.len() as f64;
    (f64::from(u8::from(share >= 1.0)), share)
}

fn texts(passages: &[Passage]) -> String {
    let texts: Vec<&str> = passages
        .iter()
        .map(|passage| passage.text.as_str())
        .collect();
    texts.join("\n")
}

fn squeezed(text: &str) -> String {
    let letters = text.chars().filter(|c| !c.is_whitespace());
    letters.flat_map(char::to_lowercase).collect()
}

fn all_answers(question: &Needs, text: &str) -> f64 {
    let text = squeezed(text);
    let has = |answers: &Vec<String>| answers.iter().any(|a| text.contains(&squeezed(a)));
    f64::from(u8::from(question.answers.iter().all(has)))
}
