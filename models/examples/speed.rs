//! Measures embedding: `cargo run --release --workspace --example speed -- MODELS_DIR ID [THREADS]`
//!
//! Embeds 64 texts of 16 to 256 words' length, three times, and prints tokens per second of the best.

use std::path::Path;
use std::time::Instant;

use kura_models::{DeviceChoice, EmbedConfig, Registry, load_embedder};

const WORDS: &str =
    "the committee approved annual leave for engineers who maintain backup servers every night";

#[expect(clippy::print_stdout, reason = "a command")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: speed MODELS_DIR ID [THREADS]";
    let (folder, id) = (
        arguments.next().ok_or(usage)?,
        arguments.next().ok_or(usage)?,
    );
    let threads = arguments.next().map(|n| n.parse()).transpose()?;
    let installed = Registry::open(Path::new(&folder))?.locate(&id)?;
    let started = Instant::now();
    let config = EmbedConfig {
        threads,
        max_batch_tokens: None,
    };
    let embedder = load_embedder(&installed, &DeviceChoice::Auto, &config)?;
    println!("load: {:.2} s", started.elapsed().as_secs_f64());

    let texts: Vec<String> = (0..64)
        .map(|n: usize| {
            WORDS
                .split(' ')
                .cycle()
                .skip(n)
                .take(16 + n * 37 % 225)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let tokens: usize = texts.iter().map(|t| embedder.count_tokens(t)).sum();
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let started = Instant::now();
        embedder.embed_documents(&texts).await?;
        best = best.min(started.elapsed().as_secs_f64());
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
    let rate = tokens as f64 / best;
    println!("documents: {tokens} tokens in {best:.2} s = {rate:.0} tokens/s");

    let mut best = f64::INFINITY;
    for _ in 0..10 {
        let started = Instant::now();
        embedder
            .embed_query("how do I request annual leave for the backup engineers?")
            .await?;
        best = best.min(started.elapsed().as_secs_f64());
    }
    println!("query: {:.1} ms", best * 1e3);
    Ok(())
}
