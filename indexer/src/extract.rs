//! Bytes of a file → blocks of text.

mod archive;
mod asciidoc;
mod clean;
mod data;
mod delimited;
mod detect;
mod docx;
mod epub;
mod front_matter;
mod guard;
mod hidden;
mod html;
mod image;
mod inner;
mod invisible;
pub mod isolation;
mod layout;
mod legacy;
mod mail;
mod markdown;
mod mbox;
mod msg;
mod note;
mod odf;
mod ooxml;
mod outline;
mod pdf;
mod pictures;
mod pptx;
mod quality;
mod rst;
mod rtf;
mod scan;
mod sheet;
mod source;
mod table;
mod text;
mod unpacked;
mod xls;
mod xlsx;

pub use detect::{MediaType, detect};
pub use inner::{InnerFile, Taker};
pub use pdf::{Engine, extract_with as extract_pdf_with};
pub use source::Language;
pub(crate) use text::decode;

pub(crate) use clean::is_cjk;

use crate::document::{Extracted, Warning};
use crate::error::{Error, Result};
use kura_models::Recognizer;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What extraction may use besides the file.
#[derive(Clone, Default)]
pub struct Tools {
    /// Recognizes the text of pictures and scanned pages; without it they have none.
    pub recognizer: Option<Arc<dyn Recognizer>>,
    /// Takes the files that lie in the file; without one they are left there.
    taker: Option<Taker>,
    /// Grows with each step that takes long for a good reason, so that a watcher need not give up.
    steps: Arc<AtomicUsize>,
    on_step: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Whether someone ends this process when a file takes too long, so that it need not be watched from within.
    is_watched: bool,
}

impl Tools {
    /// Returns tools with a recognizer, if there is one.
    #[must_use]
    pub fn new(recognizer: Option<Arc<dyn Recognizer>>) -> Self {
        Self {
            recognizer,
            ..Self::default()
        }
    }

    /// The same, and `on_step` is called before and after each picture that is read.
    #[must_use]
    pub fn with_progress(self, on_step: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self {
            on_step: Some(on_step),
            ..self
        }
    }

    /// The same, in a process that is ended when a file takes too long.
    #[must_use]
    pub(crate) fn watched(self) -> Self {
        Self {
            is_watched: true,
            ..self
        }
    }

    /// The same, and files that lie in the file go to `taker`.
    #[must_use]
    pub fn with_taker(self, taker: Taker) -> Self {
        Self {
            taker: Some(taker),
            ..self
        }
    }

    /// Returns how many long steps began or ended: a file for which this grows is being worked on.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }

    /// Notes that the file is being worked on.
    fn worked(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn progressed(&self) {
        self.worked();
        if let Some(on_step) = &self.on_step {
            on_step();
        }
    }

    /// Returns the same tools with a count of their own.
    fn for_one_file(&self) -> Self {
        Self {
            steps: Arc::default(),
            ..self.clone()
        }
    }
}

/// Extracts the text of a file.
///
/// `name` and `media_type` are hints; what the bytes are decides first (see [`detect()`]). CPU-bound: call it from the
/// blocking pool. It returns within about two minutes whatever the bytes are, recognition of many pages aside.
///
/// Files that lie in it, such as attachments, are not read: they go to the tools' [`Taker`].
///
/// # Errors
///
/// [`Error::EmptyFile`], [`Error::NoText`], [`Error::NoRecognizer`], [`Error::Encrypted`],
/// [`Error::UnsupportedFormat`], [`Error::Malformed`] or [`Error::TooLarge`]. A part that cannot be read (a page, a picture) is a warning instead.
pub fn extract(
    bytes: &[u8],
    name: &str,
    media_type: Option<&str>,
    tools: &Tools,
) -> Result<Extracted> {
    extract_at(bytes, name, media_type, false, tools)
}

/// Extracts what is part of the file that is being read, such as a picture shown in its text.
fn extract_part(
    bytes: &[u8],
    name: &str,
    media_type: Option<&str>,
    tools: &Tools,
) -> Result<Extracted> {
    extract_at(bytes, name, media_type, true, tools)
}

fn extract_at(
    bytes: &[u8],
    name: &str,
    media_type: Option<&str>,
    is_part: bool,
    tools: &Tools,
) -> Result<Extracted> {
    if bytes.is_empty() {
        return Err(Error::EmptyFile);
    }
    let media_type = detect(bytes, name, media_type);
    let extracted = guard::run(bytes, &media_type, is_part, tools, extract_as)?;
    if extracted.blocks.is_empty() {
        return Err(Error::NoText);
    }
    Ok(extracted)
}

fn extract_as(bytes: &[u8], media_type: &MediaType, tools: &Tools) -> Result<Extracted> {
    let outer = invisible::replace_count(0);
    let extracted = read(bytes, media_type, tools);
    let n_invisible = invisible::replace_count(outer);
    let mut extracted = extracted?;
    if n_invisible > 0 {
        extracted.warnings.push(Warning {
            message: format!("invisible characters were left out: {n_invisible}"),
        });
    }
    Ok(extracted)
}

fn read(bytes: &[u8], media_type: &MediaType, tools: &Tools) -> Result<Extracted> {
    match media_type {
        MediaType::Markdown => Ok(markdown::extract(bytes)),
        MediaType::AsciiDoc => Ok(asciidoc::extract(bytes)),
        MediaType::Rst => Ok(rst::extract(bytes)),
        MediaType::Text => Ok(text::extract(bytes)),
        MediaType::Source(language) => Ok(source::extract(bytes, *language)),
        MediaType::Html => Ok(html::extract(bytes)),
        MediaType::Csv => Ok(delimited::extract(bytes, b',')),
        MediaType::Tsv => Ok(delimited::extract(bytes, b'\t')),
        MediaType::Json => data::extract_json(bytes),
        MediaType::JsonLines => Ok(data::extract_json_lines(bytes)),
        MediaType::Xml => data::extract_xml(bytes),
        MediaType::EncryptedOffice => Err(Error::Encrypted),
        MediaType::Pdf => pdf::extract(bytes, tools),
        MediaType::Docx => docx::extract(bytes, tools),
        MediaType::Doc => legacy::extract_doc(bytes),
        MediaType::Pptx => pptx::extract(bytes, tools),
        MediaType::Ppt => legacy::extract_ppt(bytes),
        MediaType::Xlsx => xlsx::extract(bytes),
        MediaType::Xls => xls::extract(bytes),
        MediaType::Odt => odf::extract(bytes, "ODT"),
        MediaType::Odp => odf::extract(bytes, "ODP"),
        MediaType::Ods => odf::extract(bytes, "ODS"),
        MediaType::Rtf => rtf::extract(bytes),
        MediaType::Epub => epub::extract(bytes),
        MediaType::Eml => mail::extract(bytes, tools),
        MediaType::Msg => msg::extract(bytes, tools),
        MediaType::Mbox => mbox::extract(bytes, tools),
        MediaType::Zip => archive::extract(bytes, tools),
        MediaType::Other(kind) if image::reads(kind) => image::extract(bytes, tools),
        MediaType::Other(_) => Err(Error::UnsupportedFormat {
            media_type: media_type.as_str().to_owned(),
        }),
    }
}

/// The parsers without the guard, which would catch what fuzzing is to find.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    use super::{Extracted, Taker, Tools, detect, extract_as, legacy, msg, unpacked};

    /// Extracts a file's text, if it has any that can be read.
    pub fn extract(bytes: &[u8], name: &str) -> Option<Extracted> {
        unpacked::begin(bytes.len());
        let tools = Tools::default().with_taker(Taker::discard());
        extract_as(bytes, &detect(bytes, name, None), &tools).ok()
    }

    /// Reads parts of binary files that lie within containers.
    pub fn binary(bytes: &[u8]) {
        let _ = msg::compressed::unpack(bytes);
        let _ = legacy::slide_tables::in_stream(bytes);
    }
}

#[cfg(test)]
mod robust_tests;

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
