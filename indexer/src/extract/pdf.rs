//! PDF: the text layer, page by page, its lines put together from the characters' places; pages without a sound text
//! layer are recognized.
//!
//! hayro reads every page. Where what it reads is bad, pdf-extract reads the page too, and the better text is kept.
//! Where that is bad as well, the page is rendered and its text recognized.

mod fonts;
mod notes;
mod reader;
mod second;

use crate::document::{Extracted, PageProblem, PageQuality, PageSource};
use crate::error::{Error, Result};
use crate::extract::guard::caught;
use crate::extract::layout::{self, Page};
use crate::extract::outline::Outline;
use crate::extract::quality::MIN_SCORE;
use crate::extract::{Tools, scan};
use fonts::Fonts;
use hayro::hayro_interpret::{InterpreterCache, InterpreterSettings};
use hayro::hayro_syntax::{DecryptionError, LoadPdfError, Pdf};
use kura_models::{Picture, Recognizer};
use reader::PageContent;
use second::SecondReader;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// After this long the pages left are given up, so that those read are not lost to the guard's timeout. Recognition
/// does not count: it says that it goes on.
const MAX_TIME: Duration = Duration::from_secs(90);

/// Pixels to the point in the picture of a page that is recognized: 200 dots per inch.
const SCALE: f32 = 200.0 / 72.0;

/// Longest side of that picture, in pixels.
const MAX_SIDE: f32 = 2600.0;

/// Extracts every page; one that cannot be read is a warning.
pub(crate) fn extract(bytes: &[u8], tools: &Tools) -> Result<Extracted> {
    let mut document = match open(bytes) {
        Ok(pdf) => read_with_hayro(bytes, &pdf, tools),
        Err(Error::Encrypted) => return Err(Error::Encrypted),
        // What hayro cannot open at all, pdf-extract sometimes can.
        Err(error) => read_with_second(bytes).map_err(|second| {
            if matches!(second, Error::Encrypted) {
                second
            } else {
                error
            }
        })?,
    };
    let n_failed = document
        .qualities
        .iter()
        .filter(|quality| quality.problem == Some(PageProblem::Damaged))
        .count();
    let is_scanned = |quality: &PageQuality| quality.problem == Some(PageProblem::Scanned);
    let is_unrecognized = document.qualities.iter().any(is_scanned);
    for (page, label) in &document.labels {
        let quality = document.qualities.iter_mut().find(|one| one.page == *page);
        if let Some(quality) = quality {
            quality.label = Some(label.clone());
        }
    }
    let mut outline = document.outline;
    let notes = document.notes;
    layout::add_pages(
        &mut outline,
        document.pages,
        &document.bookmarks,
        |outline, page| {
            for note in notes.get(&page).into_iter().flatten() {
                outline.paragraph(note);
            }
        },
    );
    let n_pages = document.qualities.len();
    let mut extracted = outline.finish();
    extracted.pages = document.qualities;
    if extracted.blocks.is_empty() {
        if n_failed > 0 {
            return Err(Error::Malformed {
                format: "PDF",
                reason: format!("none of its {n_pages} pages could be read"),
            });
        }
        if is_unrecognized && tools.recognizer.is_none() {
            return Err(Error::NoRecognizer);
        }
    }
    Ok(extracted)
}

/// A PDF reader, to compare it with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Reads all pages unless its text is bad.
    Hayro,
    /// Reads the pages that hayro reads badly.
    PdfExtract,
}

/// Extracts a file with one engine alone, to measure it. Not guarded: see [`extract()`](crate::extract()).
///
/// # Errors
/// Those of [`extract()`](crate::extract()).
pub fn extract_with(bytes: &[u8], engine: Engine) -> Result<Extracted> {
    let mut document = match engine {
        Engine::PdfExtract => read_with_second(bytes)?,
        Engine::Hayro => {
            let pdf = open(bytes)?;
            let (cache, settings) = (InterpreterCache::new(), InterpreterSettings::default());
            let (mut document, mut fonts) = (Document::default(), Fonts::default());
            for (page, number) in pdf.pages().iter().zip(1..) {
                let content = reader::read(page, &cache, &settings, &mut fonts);
                let quality = content.tally.quality(number);
                document.add(number, content, quality);
            }
            document
        }
    };
    layout::add_pages(&mut document.outline, document.pages, &[], |_, _| ());
    let mut extracted = document.outline.finish();
    extracted.pages = document.qualities;
    Ok(extracted)
}

/// What was read of a document.
#[derive(Default)]
struct Document {
    outline: Outline,
    pages: Vec<Page>,
    qualities: Vec<PageQuality>,
    bookmarks: Vec<layout::Bookmark>,
    labels: HashMap<u32, String>,
    notes: HashMap<u32, Vec<String>>,
}

impl Document {
    fn add(&mut self, number: u32, content: PageContent, quality: PageQuality) {
        self.pages.push(Page {
            number,
            lines: content.lines,
            rules: content.rules,
            is_unordered: false,
        });
        self.qualities.push(quality);
    }
}

/// Opens the file, with the empty password where it is encrypted only against changes.
fn open(bytes: &[u8]) -> Result<Pdf> {
    let opened = caught("PDF", || {
        Pdf::new(bytes.to_vec()).map_err(|error| match error {
            LoadPdfError::Decryption(DecryptionError::PasswordProtected) => Error::Encrypted,
            LoadPdfError::Decryption(
                DecryptionError::UnsupportedAlgorithm
                | DecryptionError::InvalidEncryption
                | DecryptionError::MissingIDEntry,
            )
            | LoadPdfError::Invalid => Error::Malformed {
                format: "PDF",
                reason: "its structure is damaged".to_owned(),
            },
        })
    })?;
    if opened.pages().is_empty() {
        return Err(Error::Malformed {
            format: "PDF",
            reason: "it has no pages".to_owned(),
        });
    }
    Ok(opened)
}

fn read_with_hayro(bytes: &[u8], pdf: &Pdf, tools: &Tools) -> Document {
    let start = Instant::now();
    let mut recognizing = Duration::ZERO;
    let mut document = Document {
        bookmarks: notes::bookmarks(pdf),
        labels: notes::page_labels(pdf),
        ..Document::default()
    };
    add_information(&mut document.outline, pdf);
    let (cache, settings) = (InterpreterCache::new(), InterpreterSettings::default());
    let mut fonts = Fonts::default();
    let mut second: Option<Option<SecondReader>> = None;
    let n_pages = pdf.pages().len();
    for (page, number) in pdf.pages().iter().zip(1..) {
        if start.elapsed().saturating_sub(recognizing) > MAX_TIME {
            document.outline.warn(format!(
                "pages {number} to {n_pages} were left out: reading took too long"
            ));
            break;
        }
        let read = caught("PDF", || {
            Ok(reader::read(page, &cache, &settings, &mut fonts))
        });
        let is_damaged = read.is_err();
        let mut content = read.unwrap_or_default();
        let mut quality = content.tally.quality(number);
        let is_garbled = quality.problem == Some(PageProblem::Garbled);
        if is_damaged || is_garbled {
            let opened = second.get_or_insert_with(|| SecondReader::open(bytes).ok());
            let again = opened.as_ref().map(|reader| reader.read(number));
            if let Some((other, is_whole)) = again
                && other.tally.n_chars > 0
                && (is_damaged || other.tally.score() > quality.score)
            {
                // Pictures and paths are counted only by hayro.
                quality = crate::extract::quality::Tally {
                    n_pictures: content.tally.n_pictures,
                    picture_area: content.tally.picture_area,
                    n_paths: content.tally.n_paths,
                    area: content.tally.area,
                    ..other.tally.clone()
                }
                .quality(number);
                if !is_whole {
                    quality.problem = Some(PageProblem::Damaged);
                }
                content = other;
            } else if is_damaged {
                quality.problem = Some(PageProblem::Damaged);
                quality.score = 0;
            }
        }
        let text: String = content.lines.iter().map(|line| line.text()).collect();
        let notes = caught("PDF", || Ok(notes::notes(page, &text))).unwrap_or_default();
        if !notes.is_empty() {
            document.notes.insert(number, notes);
        }
        if quality.problem.is_some()
            && let Some(recognizer) = &tools.recognizer
        {
            let begun = Instant::now();
            tools.progressed();
            let recognized = recognize(pdf, number, recognizer.as_ref());
            recognizing += begun.elapsed();
            tools.progressed();
            match recognized {
                Ok((page, better)) if is_better(&better, &quality) => {
                    document.warn_of(&better, true);
                    document.pages.push(page);
                    document.qualities.push(better);
                    continue;
                }
                // A picture without text needs none.
                Ok((_, none)) if none.n_chars == 0 && quality.n_chars == 0 => {
                    quality.problem = None;
                    quality.score = 100;
                }
                Ok(_) => {}
                Err(error) => document.outline.warn(format!(
                    "page {number}: its text was not recognized: {error}"
                )),
            }
        }
        document.warn_of(&quality, tools.recognizer.is_some());
        document.add(number, content, quality);
    }
    document
}

/// Whether recognized text is worth more than the page's own.
fn is_better(recognized: &PageQuality, own: &PageQuality) -> bool {
    match own.problem {
        Some(PageProblem::Scanned) | None => recognized.n_chars > own.n_chars,
        Some(PageProblem::Garbled | PageProblem::Damaged) => {
            recognized.n_chars > 0 && recognized.score > own.score
        }
    }
}

impl Document {
    /// Names a page that was not read well, and why.
    fn warn_of(&mut self, quality: &PageQuality, can_recognize: bool) {
        if quality.n_hidden > 0 {
            self.outline.warn(format!(
                "page {}: {} characters that cannot be seen (white, tiny or invisible) were left out",
                quality.page, quality.n_hidden
            ));
        }
        let Some(problem) = quality.problem else {
            return;
        };
        let page = quality.page;
        let reason = match (problem, quality.source) {
            (PageProblem::Damaged, _) => {
                format!(
                    "page {page} could not be read completely; its structure is damaged or unknown"
                )
            }
            (PageProblem::Scanned, _) if can_recognize => {
                format!("page {page} looks scanned, and no text was recognized on it")
            }
            (PageProblem::Scanned, _) => {
                format!("page {page} looks scanned; text recognition is off")
            }
            (PageProblem::Garbled, PageSource::Recognized) => format!(
                "page {page} is hard to recognize ({} % sure); check it",
                quality.score
            ),
            (PageProblem::Garbled, PageSource::Text | PageSource::None) => format!(
                "page {page} has characters that mean nothing (score {} of 100, sound from {MIN_SCORE}){}",
                quality.score,
                if can_recognize {
                    ""
                } else {
                    "; text recognition is off"
                }
            ),
        };
        self.outline.warn(reason);
    }
}

/// Reads a file that only pdf-extract opens.
fn read_with_second(bytes: &[u8]) -> Result<Document> {
    let start = Instant::now();
    let second = SecondReader::open(bytes)?;
    let mut document = Document::default();
    for number in second.page_numbers() {
        if start.elapsed() > MAX_TIME {
            document.outline.warn(format!(
                "pages from {number} on were left out: reading took too long"
            ));
            break;
        }
        let (content, is_whole) = second.read(number);
        let mut quality = content.tally.quality(number);
        if !is_whole {
            quality.problem = Some(PageProblem::Damaged);
        }
        document.warn_of(&quality, false);
        document.add(number, content, quality);
    }
    Ok(document)
}

/// Renders a page and recognizes its text.
fn recognize(pdf: &Pdf, number: u32, recognizer: &dyn Recognizer) -> Result<(Page, PageQuality)> {
    let picture = caught("PDF", || {
        let index = usize::try_from(number).unwrap_or(usize::MAX) - 1;
        let page = &pdf.pages()[index];
        render(page).ok_or_else(|| Error::Malformed {
            format: "PDF",
            reason: "the page cannot be rendered".to_owned(),
        })
    })?;
    let recognized = recognizer.recognize(&picture)?;
    Ok((
        scan::page(number, &recognized),
        scan::quality(number, &recognized),
    ))
}

fn render(page: &hayro::hayro_syntax::page::Page<'_>) -> Option<Picture> {
    let (width, height) = page.render_dimensions();
    let scale = SCALE.min(MAX_SIDE / width.max(height));
    // A cache of its own: decoded pictures of a page are not needed again.
    let pixmap = hayro::render(
        page,
        &hayro::RenderCache::new(),
        &InterpreterSettings::default(),
        &hayro::RenderSettings::default(),
        &hayro::PixmapSettings {
            x_scale: scale,
            y_scale: scale,
            bg_color: hayro::vello_cpu::color::palette::css::WHITE,
        },
    );
    let (width, height) = (usize::from(pixmap.width()), usize::from(pixmap.height()));
    let mut pixels = Vec::with_capacity(width * height * 3);
    for pixel in pixmap.data_as_u8_slice().chunks_exact(4) {
        pixels.extend_from_slice(&pixel[..3]);
    }
    Picture::from_rgb(width, height, pixels)
}

/// Adds what the document says of itself.
fn add_information(outline: &mut Outline, pdf: &Pdf) {
    let information = pdf.metadata();
    let text = |entry: &Option<Box<[u8]>>| {
        entry
            .as_ref()
            .map(|bytes| notes::text_string(bytes))
            .unwrap_or_default()
    };
    if let Some(title) = title(text(&information.title)) {
        outline.set_title(&title);
    }
    outline.set_author(&text(&information.author));
    outline.add_tags(&text(&information.keywords));
    let dates = [&information.modification_date, &information.creation_date];
    for date in dates.into_iter().flatten() {
        // The day is enough.
        outline.set_date(&format!(
            "{:04}-{:02}-{:02}",
            date.year, date.month, date.day
        ));
    }
}

/// The title in the document's information; names of files and programs are none.
fn title(title: String) -> Option<String> {
    let lower = title.to_lowercase();
    let is_name = lower.starts_with("microsoft ")
        || lower == "untitled"
        || lower.ends_with(".doc")
        || lower.ends_with(".docx");
    (!is_name && !title.trim().is_empty()).then_some(title)
}

#[cfg(test)]
mod tests;
