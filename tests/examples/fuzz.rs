//! Feeds kura's own parsers what libFuzzer makes up: `tests/fuzz.sh [SECONDS] [PARSER...]` builds and runs it.
//!
//! A parser must not panic, must come to an end soon, must not take much memory, and must give normalized text. The guard
//! and the sandbox that catch all this in the server are left out here.

#![no_main]
// `cfg(fuzzing)` opens the parsers; without it (clippy, a plain build) there is nothing to do.
#![cfg_attr(not(fuzzing), expect(unused, reason = "only fuzzing uses it"))]

use std::io::{Cursor, Write};
use std::sync::LazyLock;
use unicode_normalization::is_nfkc;
use zip::write::SimpleFileOptions;

/// The name of the parser, from `KURA_FUZZ_PARSER`.
static PARSER: LazyLock<String> =
    LazyLock::new(|| std::env::var("KURA_FUZZ_PARSER").unwrap_or_default());

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    #[cfg(fuzzing)]
    run(&PARSER, data);
});

#[cfg(fuzzing)]
fn run(parser: &str, data: &[u8]) {
    match parser {
        "rtf" => extract("a.rtf", data),
        "rst" => extract("a.rst", data),
        "asciidoc" => extract("a.adoc", data),
        "markdown" => extract("a.md", data),
        "html" => extract("a.html", data),
        "csv" => extract("a.csv", data),
        "mail" => extract("a.eml", data),
        "mbox" => extract(
            "a.mbox",
            &[b"From a@b Thu Jan  1 00:00:00 1970\n", data].concat(),
        ),
        "pdf" => extract("a.pdf", &[b"%PDF-1.7\n", data].concat()),
        "source" => by_first(
            data,
            &["a.rs", "a.py", "a.c", "a.go", "a.ts", "a.sh", "a.toml"],
        ),
        "data" => by_first(data, &["a.json", "a.jsonl", "a.xml"]),
        "docx" => extract("a.docx", &zipped(&[("word/document.xml", data)])),
        "pptx" => extract(
            "a.pptx",
            &zipped(&[
                ("ppt/presentation.xml", PRESENTATION),
                ("ppt/_rels/presentation.xml.rels", RELATIONS),
                ("ppt/slides/slide1.xml", data),
            ]),
        ),
        "odf" => extract(
            "a.odt",
            &zipped(&[
                ("mimetype", b"application/vnd.oasis.opendocument.text"),
                ("content.xml", data),
            ]),
        ),
        "binary" => kura_indexer::extract::fuzzing::binary(data),
        unknown => panic!("KURA_FUZZ_PARSER names no parser: `{unknown}`"),
    }
}

const PRESENTATION: &[u8] = br#"<p:presentation xmlns:p="p" xmlns:r="r"><p:sldIdLst><p:sldId id="256" r:id="r1"/></p:sldIdLst></p:presentation>"#;
const RELATIONS: &[u8] = br#"<Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/slide" Target="slides/slide1.xml"/></Relationships>"#;

#[cfg(fuzzing)]
fn extract(name: &str, data: &[u8]) {
    let Some(extracted) = kura_indexer::extract::fuzzing::extract(data, name) else {
        return;
    };
    for block in &extracted.blocks {
        assert!(is_nfkc(&block.text), "not normalized: {:?}", block.text);
        assert!(!block.text.trim().is_empty(), "an empty block");
    }
}

/// The first byte says which of the names the rest has.
#[cfg(fuzzing)]
fn by_first(data: &[u8], names: &[&str]) {
    if let Some((first, rest)) = data.split_first() {
        extract(names[usize::from(*first) % names.len()], rest);
    }
}

fn zipped(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        let begun = archive.start_file(*name, stored);
        begun.expect("memory takes a file");
        archive.write_all(content).expect("memory takes bytes");
    }
    archive
        .finish()
        .expect("memory takes an archive")
        .into_inner()
}
