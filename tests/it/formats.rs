//! Extraction measured over real files of many formats, with the snippets that must be found in them.

use kura_indexer::extract::Taker;
use kura_indexer::{Error, Tools, extract};
use kura_tests::Kura;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Formats that kura reads.
const SUPPORTED: [&str; 20] = [
    "md", "txt", "html", "csv", "pdf", "docx", "doc", "pptx", "ppt", "xlsx", "xls", "odt", "odp",
    "ods", "rtf", "epub", "eml", "msg", "json", "png",
];

/// Least share of the snippets of sound files that must be found, PDF (which has an engine of its own) apart. Four of the
/// eight that are not are no fault: docs/FORMATS.md lists them.
const MIN_FOUND: f64 = 0.93;

/// Longest time one file may take.
const MAX_TIME: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
struct Entry {
    file: String,
    ext: String,
    tags: Vec<String>,
    expect: Vec<String>,
}

#[derive(Debug, Default)]
struct Row {
    n_files: usize,
    n_extracted: usize,
    n_clean: usize,
    n_snippets: usize,
    n_found: usize,
    errors: BTreeMap<&'static str, usize>,
    slowest: Duration,
}

/// Returns the folder of sample files and its list, or says that the test is skipped.
fn samples() -> Option<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/formats");
    let folder = std::env::var_os("KURA_TEST_FORMATS").map_or(folder, PathBuf::from);
    let manifest = fs_err::read_to_string(folder.join("MANIFEST.jsonl")).ok();
    if manifest.is_none() {
        println!("skipped: the folder of sample files is not here");
    }
    Some((folder, manifest?))
}

#[test]
fn a_folder_of_all_formats_is_ingested_and_every_file_reported() {
    let Some((folder, manifest)) = samples() else {
        return;
    };
    let kura = Kura::new()
        .with_models()
        .env("KURA__MODELS__EMBEDDER", "all-minilm-l6-v2");
    let folder = folder.display().to_string();
    let ingested = kura.run(["ingest", &folder, "--collection", "formats", "--json"]);
    // Some cannot be read: a partial failure.
    ingested.assert_fails(3, &[]);
    let items = ingested.json()["items"].as_array().unwrap().clone();
    assert!(items.len() >= manifest.lines().count());
    for item in &items {
        let failed = item["outcome"] == "failed";
        assert_eq!(failed, item["error"].is_string(), "{item}");
    }
    let n_failed = items
        .iter()
        .filter(|item| item["outcome"] == "failed")
        .count();
    println!("{} files, {n_failed} failed with a reason", items.len());
    assert!(n_failed < items.len() / 2);
}

#[test]
fn real_files_are_read() {
    let Some((folder, manifest)) = samples() else {
        return;
    };
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut faults = Vec::new();
    for line in manifest.lines().filter(|line| !line.trim().is_empty()) {
        let entry: Entry = serde_json::from_str(line).unwrap();
        let bytes = fs_err::read(folder.join(&entry.file)).unwrap();
        measure(
            &entry,
            &bytes,
            rows.entry(entry.ext.clone()).or_default(),
            &mut faults,
        );
    }
    print_table(&rows);
    let others = rows.iter().filter(|(format, _)| *format != "pdf");
    let (n_found, n_snippets) = others.fold((0, 0), |(found, all), (_, row)| {
        (found + row.n_found, all + row.n_snippets)
    });
    println!("other than PDF: {n_found} of {n_snippets} snippets");
    if (n_found as f64) < MIN_FOUND * n_snippets as f64 {
        faults.push(format!(
            "only {n_found} of {n_snippets} snippets were found"
        ));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn real_files_cut_off_or_damaged_anywhere_end() {
    let Some((folder, manifest)) = samples() else {
        return;
    };
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 16).unwrap_or(0) % below.max(1)
    };
    let mut faults = Vec::new();
    for line in manifest.lines().filter(|line| !line.trim().is_empty()) {
        let entry: Entry = serde_json::from_str(line).unwrap();
        let bytes = fs_err::read(folder.join(&entry.file)).unwrap();
        let mut variants: Vec<Vec<u8>> = (0..3)
            .map(|_| bytes[..random(bytes.len())].to_vec())
            .collect();
        let mut damaged = bytes.clone();
        for _ in 0..20 {
            let at = random(damaged.len());
            damaged[at] = u8::try_from(random(256)).unwrap();
        }
        variants.push(damaged);
        for variant in variants {
            let start = Instant::now();
            // Whatever comes of it, it must come.
            let _ = extract(&variant, &entry.file, None, &Tools::default());
            if start.elapsed() > MAX_TIME {
                faults.push(format!(
                    "{} of {} bytes: took {:?}",
                    entry.file,
                    variant.len(),
                    start.elapsed()
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn measure(entry: &Entry, bytes: &[u8], row: &mut Row, faults: &mut Vec<String>) {
    let start = Instant::now();
    // What is attached to a mail counts as its text: the reference extractor had it so.
    let attached: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Arc::clone(&attached);
    let taker = Taker::new(move |_, file| {
        let read = extract(
            file.bytes,
            file.path,
            Some(file.media_type),
            &Tools::default(),
        );
        let blocks = read.into_iter().flat_map(|extracted| extracted.blocks);
        sink.lock().unwrap().extend(blocks.map(|block| block.text));
        Ok(())
    });
    let outcome = extract(
        bytes,
        &entry.file,
        None,
        &Tools::default().with_taker(taker),
    );
    let attached = std::mem::take(&mut *attached.lock().unwrap());
    let took = start.elapsed();
    let tagged = |tag: &str| entry.tags.iter().any(|own| own.starts_with(tag));
    let is_supported = SUPPORTED.contains(&entry.ext.as_str());
    let is_clean =
        is_supported && !tagged("scanned") && !tagged("encrypted") && !tagged("malformed");
    row.n_files += 1;
    row.n_clean += usize::from(is_clean);
    row.slowest = row.slowest.max(took);
    if took > MAX_TIME {
        faults.push(format!("{}: took {took:?}", entry.file));
    }
    if tagged("encrypted") && !matches!(outcome, Err(Error::Encrypted)) {
        faults.push(format!(
            "{}: encrypted, but not reported so: {:?}",
            entry.file,
            outcome.is_ok()
        ));
    }
    if !is_supported && !matches!(outcome, Err(Error::UnsupportedFormat { .. })) {
        faults.push(format!(
            "{}: of an unsupported format, but not reported so",
            entry.file
        ));
    }
    match outcome {
        Ok(extracted) => {
            row.n_extracted += 1;
            // The title is indexed beside the text.
            let title = extracted.title.iter().map(String::as_str);
            let text: Vec<&str> = title
                .chain(extracted.blocks.iter().map(|block| block.text.as_str()))
                .chain(attached.iter().map(String::as_str))
                .collect();
            let text = folded(&text.join("\n"));
            if is_clean {
                let missing: Vec<&String> = entry
                    .expect
                    .iter()
                    .filter(|snippet| !text.contains(&folded(snippet)))
                    .collect();
                row.n_snippets += entry.expect.len();
                row.n_found += entry.expect.len() - missing.len();
                for snippet in missing {
                    println!("{}: not found: {snippet:?}", entry.file);
                }
            }
        }
        Err(error) => {
            *row.errors.entry(kind(&error)).or_default() += 1;
            if is_clean {
                row.n_snippets += entry.expect.len();
                println!("{}: not read: {error}", entry.file);
                faults.push(format!("{}: {error}", entry.file));
            }
        }
    }
}

/// NFKC by way of the extractor, without whitespace and the borders that tables have in each format.
///
/// The reference extractors write cells apart by blanks, commas or pipes, and keep or drop Markdown's marks.
fn folded(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !is_table_rule(line)).collect();
    let normal = extract(
        lines.join("\n").as_bytes(),
        "snippet.log",
        None,
        &Tools::default(),
    )
    .map(|extracted| {
        extracted
            .blocks
            .into_iter()
            .map(|block| block.text)
            .collect::<Vec<_>>()
            .join("\n")
    })
    .unwrap_or_default();
    normal
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '|' | ',' | '`' | '*' | '\\'))
        .collect()
}

/// The line below a table's header, which no reference extractor writes.
fn is_table_rule(line: &str) -> bool {
    line.contains("---") && line.chars().all(|c| matches!(c, '|' | '-' | ' '))
}

fn kind(error: &Error) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is non-exhaustive")]
    match error {
        Error::UnsupportedFormat { .. } => "unsupported",
        Error::EmptyFile => "empty",
        Error::NoText => "no text",
        Error::NoRecognizer => "no recognizer",
        Error::Encrypted => "encrypted",
        Error::Malformed { .. } => "malformed",
        Error::TooLarge { .. } => "too large",
        _ => "other",
    }
}

fn print_table(rows: &BTreeMap<String, Row>) {
    println!("| format | files | extracted | errors | snippets found | slowest |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (format, row) in rows {
        let errors: Vec<String> = row
            .errors
            .iter()
            .map(|(kind, n)| format!("{n} {kind}"))
            .collect();
        println!(
            "| {format} | {} | {} | {} | {} of {} | {:.1} s |",
            row.n_files,
            row.n_extracted,
            errors.join(", "),
            row.n_found,
            row.n_snippets,
            row.slowest.as_secs_f64(),
        );
    }
}
