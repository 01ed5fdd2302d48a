//! No word of real files is lost.

use crate::extract::layout::{self, Page};
use crate::extract::outline::Outline;
use crate::extract::pdf::fonts::Fonts;
use crate::extract::pdf::reader;
use hayro::hayro_interpret::{InterpreterCache, InterpreterSettings};
use hayro::hayro_syntax::Pdf;
use std::path::{Path, PathBuf};

#[test]
fn every_word_that_real_pages_show_is_in_a_block() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/formats");
    let folder = std::env::var_os("KURA_TEST_FORMATS").map_or(folder, PathBuf::from);
    let Ok(entries) = fs_err::read_dir(folder) else {
        return;
    };
    let mut faults = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|extension| extension != "pdf") {
            continue;
        }
        let Ok(pdf) = Pdf::new(fs_err::read(&path).unwrap()) else {
            continue;
        };
        let mut outline = Outline::default();
        layout::add_pages(&mut outline, read(&pdf), &[], |_, _| ());
        let lost = layout::words::lost(&read(&pdf), &outline.finish().blocks);
        if !lost.is_empty() {
            faults.push(format!("{}: {lost:?}", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn read(pdf: &Pdf) -> Vec<Page> {
    let (cache, settings) = (InterpreterCache::new(), InterpreterSettings::default());
    let mut fonts = Fonts::default();
    let mut pages = Vec::new();
    for (page, number) in pdf.pages().iter().zip(1..) {
        let content = reader::read(page, &cache, &settings, &mut fonts);
        pages.push(Page {
            number,
            lines: content.lines,
            rules: content.rules,
            is_unordered: false,
        });
    }
    pages
}
