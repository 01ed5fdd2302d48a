//! Extraction judged by snippets: for each format the files, refusals and snippets found, and every snippet that is not.
//!
//! Run it with the folder of sample files, and optionally the names of some of them:
//! `cargo run -p kura-indexer --example formats -- FOLDER [PART-OF-NAME]`. With a part of a name it shows the blocks too.

use kura_indexer::{Tools, extract};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Deserialize)]
struct Entry {
    file: String,
    ext: String,
    tags: Vec<String>,
    expect: Vec<String>,
}

#[derive(Default)]
struct Row {
    n_files: usize,
    n_snippets: usize,
    n_found: usize,
    refused: BTreeMap<String, usize>,
    slowest: Duration,
}

#[expect(clippy::print_stdout, reason = "the report is what it is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("name the folder of sample files")?);
    let wanted = arguments.next();
    let manifest = fs_err::read_to_string(folder.join("MANIFEST.jsonl"))?;
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for line in manifest.lines().filter(|line| !line.trim().is_empty()) {
        let entry: Entry = serde_json::from_str(line)?;
        if wanted
            .as_ref()
            .is_some_and(|wanted| !entry.file.contains(wanted.as_str()))
        {
            continue;
        }
        let bytes = fs_err::read(folder.join(&entry.file))?;
        let row = rows.entry(entry.ext.clone()).or_default();
        row.n_files += 1;
        let start = Instant::now();
        let outcome = extract(&bytes, &entry.file, None, &Tools::default());
        row.slowest = row.slowest.max(start.elapsed());
        let is_counted = !["scanned", "encrypted", "malformed"]
            .iter()
            .any(|tag| entry.tags.iter().any(|own| own.starts_with(tag)));
        row.n_snippets += if is_counted { entry.expect.len() } else { 0 };
        let extracted = match outcome {
            Ok(extracted) => extracted,
            Err(error) => {
                println!("{} {:?}: refused: {error}", entry.file, entry.tags);
                let reason = error.to_string();
                let reason = reason
                    .split([';', ':', '`'])
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                *row.refused.entry(reason).or_default() += 1;
                continue;
            }
        };
        let title = extracted.title.iter().map(String::as_str);
        let texts: Vec<&str> = title
            .chain(extracted.blocks.iter().map(|block| block.text.as_str()))
            .collect();
        let text = folded(&texts.join("\n"));
        let missing: Vec<&String> = entry
            .expect
            .iter()
            .filter(|snippet| !text.contains(&folded(snippet)))
            .collect();
        row.n_found += if is_counted {
            entry.expect.len() - missing.len()
        } else {
            0
        };
        for snippet in missing {
            println!("{} {:?}: not found: {snippet:?}", entry.file, entry.tags);
        }
        if wanted.is_some() {
            println!(
                "title: {:?}\nmetadata: {:?}",
                extracted.title, extracted.metadata
            );
            for block in &extracted.blocks {
                println!(
                    "{:?} p{:?} {:?}\n{}\n",
                    block.kind, block.locator.page, block.locator.headings, block.text
                );
            }
            for warning in &extracted.warnings {
                println!("warning: {}", warning.message);
            }
        }
    }
    println!(
        "| format | files | refused | snippets found | slowest |\n| --- | --- | --- | --- | --- |"
    );
    for (format, row) in rows {
        let refused: Vec<String> = row
            .refused
            .iter()
            .map(|(reason, n)| format!("{n} {reason}"))
            .collect();
        println!(
            "| {format} | {} | {} | {} of {} | {:.2} s |",
            row.n_files,
            refused.join(", "),
            row.n_found,
            row.n_snippets,
            row.slowest.as_secs_f64()
        );
    }
    Ok(())
}

/// NFKC without white space and the marks of tables and Markdown, as `tests/it/formats.rs` compares.
fn folded(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    let lines = text.lines().filter(|line| !is_table_rule(line));
    let joined: Vec<&str> = lines.collect();
    joined
        .join("\n")
        .nfkc()
        .filter(|c| !c.is_whitespace() && !matches!(c, '|' | ',' | '`' | '*' | '\\' | '\u{FEFF}'))
        .collect()
}

/// The line below a table's header.
fn is_table_rule(line: &str) -> bool {
    line.contains("---") && line.chars().all(|c| matches!(c, '|' | '-' | ' '))
}
