//! PDF readers compared: how many of the snippets that must be found each one finds.
//!
//! `cargo run --release -p kura-indexer --example pdf_engines -- FOLDER [--ocr MODEL_DIR] [NAME=TEXTS]...`
//!
//! FOLDER holds the files and `MANIFEST.jsonl`. TEXTS is a folder of another reader's output, for comparison: for each
//! file `FILE.txt` and, where its time is known, `FILE.ms` with milliseconds.

#![expect(clippy::print_stdout, reason = "its result is a table")]

use kura_indexer::extract::{Engine, extract_pdf_with};
use kura_indexer::{Tools, extract};
use kura_models::{PpOcr, Recognizer};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unicode_normalization::UnicodeNormalization;

#[derive(Deserialize)]
struct Entry {
    file: String,
    ext: String,
    tags: Vec<String>,
    expect: Vec<String>,
}

/// Found and expected snippets, and time.
#[derive(Default)]
struct Sum {
    n_found: usize,
    n_expected: usize,
    time: Duration,
}

enum Reader {
    /// What kura does: routing by page.
    Kura(Tools),
    /// One engine for all pages.
    One(Engine),
    Texts(PathBuf),
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("the folder of files"));
    let mut readers = vec![
        ("pdf-extract".to_owned(), Reader::One(Engine::PdfExtract)),
        ("hayro".to_owned(), Reader::One(Engine::Hayro)),
        ("kura".to_owned(), Reader::Kura(Tools::default())),
    ];
    while let Some(argument) = arguments.next() {
        if argument == "--ocr" {
            let dir = arguments.next().expect("the model's folder");
            let model: Arc<dyn Recognizer> =
                Arc::new(PpOcr::load(Path::new(&dir), None).expect("the model's files"));
            readers.push((
                "kura + OCR".to_owned(),
                Reader::Kura(Tools::new(Some(model))),
            ));
        } else if let Some((name, texts)) = argument.split_once('=') {
            readers.push((name.to_owned(), Reader::Texts(PathBuf::from(texts))));
        }
    }
    let manifest = fs_err::read_to_string(folder.join("MANIFEST.jsonl")).expect("MANIFEST.jsonl");
    let entries: Vec<Entry> = manifest
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).expect("an entry"))
        .filter(|entry: &Entry| entry.ext == "pdf")
        .collect();
    for (name, reader) in &readers {
        let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
        for entry in &entries {
            let bytes = fs_err::read(folder.join(&entry.file)).expect("a file of the list");
            let begun = Instant::now();
            let (text, note) = read(reader, &bytes, &entry.file);
            let mut took = begun.elapsed();
            if let Reader::Texts(texts) = reader {
                let known = fs_err::read_to_string(texts.join(format!("{}.ms", entry.file)));
                took = Duration::from_millis(
                    known
                        .ok()
                        .and_then(|ms| ms.trim().parse().ok())
                        .unwrap_or(0),
                );
            }
            let text = folded(&text);
            let missing: Vec<&String> = entry
                .expect
                .iter()
                .filter(|snippet| !text.contains(&folded(snippet)))
                .collect();
            let group = group(&entry.tags);
            let sum = sums.entry(group).or_default();
            sum.n_expected += entry.expect.len();
            sum.n_found += entry.expect.len() - missing.len();
            sum.time += took;
            println!(
                "{name}\t{}\t{group}\t{} of {}\t{:.3} s\t{} chars{note}{}",
                entry.file,
                entry.expect.len() - missing.len(),
                entry.expect.len(),
                took.as_secs_f64(),
                text.chars().count(),
                if missing.is_empty() {
                    String::new()
                } else {
                    format!("\tmissing {missing:?}")
                },
            );
        }
        for (group, sum) in sums {
            println!(
                "TOTAL\t{name}\t{group}\t{} of {}\t{:.2} s",
                sum.n_found,
                sum.n_expected,
                sum.time.as_secs_f64()
            );
        }
    }
}

fn group(tags: &[String]) -> &'static str {
    let has = |start: &str| tags.iter().any(|tag| tag.starts_with(start));
    if has("encrypted") {
        "encrypted"
    } else if has("malformed") {
        "malformed"
    } else if has("scanned") {
        "scanned"
    } else {
        "sound"
    }
}

/// Returns the text and, where there is none, why.
fn read(reader: &Reader, bytes: &[u8], file: &str) -> (String, String) {
    let outcome = match reader {
        Reader::Texts(texts) => {
            let text = fs_err::read_to_string(texts.join(format!("{file}.txt")));
            return (text.unwrap_or_default(), String::new());
        }
        Reader::Kura(tools) => extract(bytes, file, None, tools),
        Reader::One(engine) => extract_pdf_with(bytes, *engine),
    };
    match outcome {
        Ok(extracted) => {
            let title = extracted.title.into_iter();
            let texts: Vec<String> = title
                .chain(extracted.blocks.into_iter().map(|block| block.text))
                .collect();
            let scores: Vec<String> = extracted
                .pages
                .iter()
                .filter(|page| page.problem.is_some() || page.score < 100)
                .map(|page| format!("{}:{}{:?}", page.page, page.score, page.problem))
                .collect();
            (texts.join("\n"), format!("\t{}", scores.join(" ")))
        }
        Err(error) => (String::new(), format!("\t{error}")),
    }
}

/// NFKC without blanks, invisible characters, and the marks of tables.
fn folded(text: &str) -> String {
    text.nfkc()
        .filter(|c| {
            !c.is_whitespace()
                && !c.is_control()
                && !matches!(c, '|' | ',' | '`' | '*' | '\\' | '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}')
        })
        .collect()
}
