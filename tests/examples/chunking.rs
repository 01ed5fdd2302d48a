//! How fast text is cut into chunks: `chunking FILE…`
//!
//! A file is cut as its reader gives it. Set `KURA_MODELS_DIR`. Prints for each file, and for texts made to be hard to
//! cut (of 1 and of 4 MB, to show that twice the text takes twice the time): MB of text per second, how many times the
//! tokenizer saw the text, and, as a measure, how long the tokenizer alone takes for the chunks. One thread.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for measuring: a failure ends it, and its figures are its output"
)]

use kura_indexer::extract::extract;
use kura_indexer::{Block, BlockKind, ChunkConfig, Counter, Locator, Tools, chunk_unless};
use kura_models::Embedder;
use kura_tests::models;
use std::cell::Cell;
use std::time::{Duration, Instant};

const EMBEDDER: &str = "multilingual-e5-small";

fn main() {
    let embedder = models::embedder(EMBEDDER);
    // It learns to count quickly while it is already in use.
    std::thread::sleep(Duration::from_secs(2));
    println!("| text | MB | chunks | MB/s | counted, times | tokenizer alone, MB/s |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for path in std::env::args().skip(1) {
        let bytes = fs_err::read(&path).unwrap();
        let name = path.rsplit('/').next().unwrap();
        let extracted = extract(&bytes, name, None, &Tools::default()).unwrap();
        measure(name, &extracted.blocks, embedder.as_ref());
    }
    for (name, kind, unit) in [
        ("one word", BlockKind::Paragraph, "QUJD"),
        (
            "one word of Japanese",
            BlockKind::Paragraph,
            "情報処理技術者",
        ),
        ("clauses of a letter", BlockKind::Paragraph, "a、"),
        ("numbers", BlockKind::Paragraph, "1, "),
        ("sentences of a letter", BlockKind::Paragraph, "あ。"),
        ("full stops", BlockKind::Paragraph, ". "),
        ("lines of a letter", BlockKind::Code, "x\n"),
        ("rows of a table", BlockKind::Table, "| 17 | x |\n"),
        ("signs", BlockKind::Paragraph, "(["),
    ] {
        for megabytes in [1, 4] {
            let block = Block {
                kind,
                text: unit.repeat(megabytes * 1_000_000 / unit.len()),
                locator: Locator::default(),
            };
            measure(name, &[block], embedder.as_ref());
        }
    }
}

fn measure(name: &str, blocks: &[Block], embedder: &dyn Embedder) {
    let n_counted = Cell::new(0);
    let count = |text: &str| {
        n_counted.set(n_counted.get() + text.len());
        embedder.count_tokens(text)
    };
    let started = Instant::now();
    let counter = Counter {
        count: &count,
        adds_up: &|text| embedder.tokens_add_up(text),
    };
    let cut = chunk_unless(&|| false, blocks, counter, &ChunkConfig::default()).unwrap();
    let took = started.elapsed().as_secs_f64();
    let started = Instant::now();
    for chunk in &cut.chunks {
        std::hint::black_box(embedder.count_tokens(&chunk.text));
    }
    let alone = started.elapsed().as_secs_f64();
    let mb = cut.text.len() as f64 / 1e6;
    println!(
        "| {name} | {mb:.1} | {} | {:.2} | {:.1} | {:.2} |",
        cut.chunks.len(),
        mb / took,
        n_counted.get() as f64 / 1e6 / mb,
        mb / alone,
    );
}
