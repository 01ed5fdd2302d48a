//! PDF: the text layer, page by page, its lines put together from the characters' places.

mod layout;

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::guard::caught;
use crate::extract::outline::Outline;
use layout::{Collector, Page};
use pdf_extract::{Document, Object};
use std::time::{Duration, Instant};

/// After this long the pages left are given up, so that those read are not lost to the guard's timeout.
const MAX_TIME: Duration = Duration::from_secs(90);

/// Extracts every page; one that cannot be read is a warning.
pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted> {
    let start = Instant::now();
    let document = open(bytes)?;
    let mut outline = Outline::default();
    let mut pages = Vec::new();
    let numbers: Vec<u32> = document.get_pages().keys().copied().collect();
    let n_pages = numbers.len();
    let mut n_failed = 0;
    for number in numbers {
        if start.elapsed() > MAX_TIME {
            outline.warn(format!(
                "pages {number} to {n_pages} were left out: reading took too long"
            ));
            break;
        }
        let mut collector = Collector::default();
        let outcome = caught("PDF", || {
            pdf_extract::output_doc_page(&document, &mut collector, number).map_err(|error| {
                Error::Malformed {
                    format: "PDF",
                    reason: error.to_string(),
                }
            })
        });
        // What was read of a page before it broke is kept.
        if outcome.is_err() {
            n_failed += 1;
            outline.warn(format!(
                "page {number} could not be read completely; its structure is damaged or unknown"
            ));
        }
        pages.push(Page::new(number, collector));
    }
    if let Some(title) = title(&document) {
        outline.set_title(&title);
    }
    outline.set_author(&info(&document, b"Author").unwrap_or_default());
    outline.add_tags(&info(&document, b"Keywords").unwrap_or_default());
    for key in [b"ModDate".as_slice(), b"CreationDate"] {
        // `D:20240401093000+09'00'`; the day is enough.
        let date = info(&document, key).unwrap_or_default();
        let day = date.trim_start_matches("D:").get(..8);
        outline.set_date(day.unwrap_or_default());
    }
    layout::add_pages(&mut outline, pages);
    let extracted = outline.finish();
    if extracted.blocks.is_empty() && n_failed > 0 {
        return Err(Error::Malformed {
            format: "PDF",
            reason: format!("none of its {n_pages} pages could be read"),
        });
    }
    Ok(extracted)
}

/// Opens the file, with the empty password where it is encrypted only against changes.
fn open(bytes: &[u8]) -> Result<Document> {
    let is_encrypted = bytes.windows(8).any(|window| window == b"/Encrypt");
    let malformed = |error: &dyn std::fmt::Display| Error::Malformed {
        format: "PDF",
        reason: error.to_string(),
    };
    let loaded = caught("PDF", || {
        Document::load_mem(bytes).map_err(|error| {
            if is_encrypted {
                Error::Encrypted
            } else {
                malformed(&error)
            }
        })
    });
    let mut document = loaded?;
    if document.is_encrypted() {
        caught("PDF", || document.decrypt("").map_err(|_| Error::Encrypted))?;
    }
    if document.get_pages().is_empty() {
        return Err(if is_encrypted {
            Error::Encrypted
        } else {
            malformed(&"it has no pages")
        });
    }
    resolve_filters(&mut document);
    Ok(document)
}

/// Puts the names of filters in place of references to them, which the parser does not follow.
fn resolve_filters(document: &mut Document) {
    let mut resolved = Vec::new();
    for (id, object) in &document.objects {
        let Ok(stream) = object.as_stream() else {
            continue;
        };
        for key in [&b"Filter"[..], b"DecodeParms"] {
            if let Ok(Object::Reference(target)) = stream.dict.get(key)
                && let Ok(value) = document.get_object(*target)
            {
                resolved.push((*id, key, value.clone()));
            }
        }
    }
    for (id, key, value) in resolved {
        if let Some(Ok(stream)) = document.objects.get_mut(&id).map(Object::as_stream_mut) {
            stream.dict.set(key, value);
        }
    }
}

/// The title in the document's information; names of files and programs are none.
fn title(document: &Document) -> Option<String> {
    let title = info(document, b"Title")?;
    let lower = title.to_lowercase();
    let is_name = lower.starts_with("microsoft ")
        || lower == "untitled"
        || lower.ends_with(".doc")
        || lower.ends_with(".docx");
    (!is_name && !title.trim().is_empty()).then_some(title)
}

/// An entry of the document's information.
fn info(document: &Document, key: &[u8]) -> Option<String> {
    let info = document.trailer.get(b"Info").ok()?;
    let info = match info.as_reference() {
        Ok(id) => document.get_dictionary(id).ok()?,
        Err(_) => info.as_dict().ok()?,
    };
    let bytes = info.get(key).ok()?.as_str().ok()?;
    Some(
        if bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(b"\xEF\xBB\xBF") {
            crate::extract::text::decode(bytes).0
        } else {
            // PDFDocEncoding is Latin-1 for what titles are made of.
            bytes.iter().map(|&byte| char::from(byte)).collect()
        },
    )
}

#[cfg(test)]
mod tests;
