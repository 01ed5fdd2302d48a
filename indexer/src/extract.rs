//! Bytes of a file → blocks of text.

mod clean;
mod delimited;
mod detect;
mod docx;
mod front_matter;
mod guard;
mod html;
mod image;
mod layout;
mod mail;
mod markdown;
mod ooxml;
mod outline;
mod pdf;
mod pptx;
mod quality;
mod scan;
mod table;
mod text;
mod xlsx;

pub use detect::{MediaType, detect};
pub use pdf::{Engine, extract_with as extract_pdf_with};
pub(crate) use text::decode;

pub(crate) use clean::is_cjk;

use crate::document::Extracted;
use crate::error::{Error, Result};
use kura_models::Recognizer;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What extraction may use besides the file.
#[derive(Clone, Default)]
pub struct Tools {
    /// Recognizes the text of pictures and scanned pages; without it they have none.
    pub recognizer: Option<Arc<dyn Recognizer>>,
    /// Grows with each page that took long for a good reason, so that a watcher need not give up.
    steps: Arc<AtomicUsize>,
}

impl Tools {
    /// Returns tools with a recognizer, if there is one.
    #[must_use]
    pub fn new(recognizer: Option<Arc<dyn Recognizer>>) -> Self {
        Self {
            recognizer,
            steps: Arc::default(),
        }
    }

    /// Returns how many long steps are done: a file for which this grows is being worked on.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }

    fn progressed(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the same tools with a count of their own.
    fn for_one_file(&self) -> Self {
        Self::new(self.recognizer.clone())
    }
}

/// Extracts the text of a file.
///
/// `name` and `media_type` are hints; what the bytes are decides first (see [`detect()`]). CPU-bound: call it from the
/// blocking pool. It returns within about two minutes whatever the bytes are, recognition of many pages aside.
///
/// # Errors
///
/// [`Error::EmptyFile`], [`Error::NoText`], [`Error::NoRecognizer`], [`Error::Encrypted`],
/// [`Error::UnsupportedFormat`], [`Error::Malformed`] or [`Error::TooLarge`]. A part that cannot be read (a page, an attachment) is a warning instead.
pub fn extract(
    bytes: &[u8],
    name: &str,
    media_type: Option<&str>,
    tools: &Tools,
) -> Result<Extracted> {
    extract_nested(bytes, name, media_type, 0, tools)
}

/// Extracts a file that lies `depth` files deep: 0 for an upload, 1 for its attachment.
fn extract_nested(
    bytes: &[u8],
    name: &str,
    media_type: Option<&str>,
    depth: usize,
    tools: &Tools,
) -> Result<Extracted> {
    if bytes.is_empty() {
        return Err(Error::EmptyFile);
    }
    let media_type = detect(bytes, name, media_type);
    let extracted = guard::run(bytes, &media_type, depth, tools, extract_as)?;
    if extracted.blocks.is_empty() {
        return Err(Error::NoText);
    }
    Ok(extracted)
}

fn extract_as(
    bytes: &[u8],
    media_type: &MediaType,
    depth: usize,
    tools: &Tools,
) -> Result<Extracted> {
    match media_type {
        MediaType::Markdown => Ok(markdown::extract(bytes)),
        MediaType::Text => Ok(text::extract(bytes)),
        MediaType::Html => Ok(html::extract(bytes)),
        MediaType::Csv => Ok(delimited::extract(bytes, b',')),
        MediaType::Tsv => Ok(delimited::extract(bytes, b'\t')),
        MediaType::EncryptedOffice => Err(Error::Encrypted),
        MediaType::Pdf => pdf::extract(bytes, tools),
        MediaType::Docx => docx::extract(bytes),
        MediaType::Pptx => pptx::extract(bytes),
        MediaType::Xlsx => xlsx::extract(bytes),
        MediaType::Eml => mail::extract(bytes, depth, tools),
        MediaType::Other(kind) if image::reads(kind) => image::extract(bytes, tools),
        MediaType::Other(_) => Err(Error::UnsupportedFormat {
            media_type: media_type.as_str().to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_has_a_reason() {
        assert!(matches!(
            extract(b"", "a.txt", None, &Tools::default()),
            Err(Error::EmptyFile)
        ));
        assert!(matches!(
            extract(b" \n\t", "a.txt", None, &Tools::default()),
            Err(Error::NoText)
        ));
        assert!(matches!(
            extract(b"not a zip", "a.docx", None, &Tools::default()),
            Err(Error::Malformed { format: "DOCX", .. })
        ));
        assert!(
            matches!(extract(b"%!PS", "a.ps", None, &Tools::default()), Err(Error::UnsupportedFormat { media_type }) if media_type == "application/postscript")
        );
    }

    #[test]
    fn cut_off_office_files_never_panic() {
        let sound = ooxml::tests::package(&[(
            "word/document.xml",
            "<document><body><p><r><t>Some text that is long enough.</t></r></p></body></document>",
        )]);
        assert_eq!(
            extract(&sound, "a.docx", None, &Tools::default())
                .unwrap()
                .blocks
                .len(),
            1
        );
        for name in [
            "a.docx", "a.pptx", "a.xlsx", "a.eml", "a.html", "a.csv", "a.md", "a.pdf",
        ] {
            for len in (1..sound.len()).step_by(5) {
                // Whatever comes of it, it must come.
                let _ = extract(&sound[..len], name, None, &Tools::default());
            }
        }
    }
}
