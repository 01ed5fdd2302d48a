//! Measures a model: `speed MODELS_DIR ID [THREADS]`.
//!
//! An embedder embeds 64 texts of 16 to 256 words three times; a generator reads a prompt of some 700 tokens and writes
//! 64 tokens, three times. Prints the best as one line of JSON, rates in tokens per second.
//! `tests/bench/beside_llama_cpp.py` runs the second side by side with llama.cpp.

use futures::StreamExt as _;
use kura_models::{
    DeviceChoice, EmbedConfig, Embedder, Generator, Message, ModelKind, Prompt, Registry, Role,
    Sampling, Token, load_embedder, load_generator,
};
use std::path::Path;
use std::time::Instant;

const ROUNDS: usize = 3;
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
    let figures = if matches!(installed.spec.kind, ModelKind::Generator { .. }) {
        generation(load_generator(&installed, &DeviceChoice::Auto)?.as_ref()).await?
    } else {
        let config = EmbedConfig {
            threads,
            max_batch_tokens: None,
        };
        embedding(load_embedder(&installed, &DeviceChoice::Auto, &config)?.as_ref()).await?
    };
    println!("{figures}");
    Ok(())
}

/// Returns `n` words, beginning at the `skip`th.
fn words(skip: usize, n: usize) -> String {
    let words: Vec<&str> = WORDS.split(' ').cycle().skip(skip).take(n).collect();
    words.join(" ")
}

#[expect(clippy::cast_precision_loss, reason = "counts of tokens")]
async fn embedding(embedder: &dyn Embedder) -> kura_models::Result<serde_json::Value> {
    let texts: Vec<String> = (0..64).map(|n| words(n, 16 + n * 37 % 225)).collect();
    let n_tokens: usize = texts.iter().map(|text| embedder.count_tokens(text)).sum();
    let (mut documents, mut query) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        embedder.embed_documents(&texts).await?;
        documents = documents.min(started.elapsed().as_secs_f64());
        let started = Instant::now();
        embedder.embed_query(&words(0, 12)).await?;
        query = query.min(started.elapsed().as_secs_f64());
    }
    Ok(serde_json::json!({
        "tokens": n_tokens,
        "documents_per_s": n_tokens as f64 / documents,
        "query_ms": query * 1e3,
    }))
}

#[expect(clippy::cast_precision_loss, reason = "counts of tokens")]
async fn generation(generator: &dyn Generator) -> kura_models::Result<serde_json::Value> {
    let (mut prefill, mut decode, mut counted) = (f64::INFINITY, f64::INFINITY, None);
    for round in 0..ROUNDS {
        // Another beginning each time: what was read before is not read again.
        let prompt = Prompt {
            messages: vec![Message {
                role: Role::User,
                content: format!("{}. Tell a long story about this.", words(round, 680)),
            }],
            sampling: Sampling::Greedy,
            max_new_tokens: 64,
            stop: Vec::new(),
        };
        let started = Instant::now();
        let mut first = None;
        let mut tokens = generator.generate(prompt).await?;
        while let Some(token) = tokens.next().await {
            match token? {
                Token::Text(_) => {
                    first.get_or_insert_with(|| started.elapsed().as_secs_f64());
                }
                Token::End { usage, .. } => counted = Some(usage),
            }
        }
        let (first, all) = (first.unwrap_or(0.0), started.elapsed().as_secs_f64());
        prefill = prefill.min(first);
        decode = decode.min(all - first);
    }
    let usage = counted.unwrap_or_default();
    Ok(serde_json::json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "prefill_per_s": usage.prompt_tokens as f64 / prefill,
        "decode_per_s": usage.completion_tokens.saturating_sub(1) as f64 / decode,
    }))
}
