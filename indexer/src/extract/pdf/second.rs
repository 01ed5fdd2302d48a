//! A page as pdf-extract reads it: the second opinion on pages that hayro reads badly or not at all.

use crate::error::{Error, Result};
use crate::extract::guard::caught;
use crate::extract::layout::{Collector, Glyph, quarter_turn};
use crate::extract::pdf::reader::PageContent;
use crate::extract::quality::Tally;
use pdf_extract::{Document, MediaBox, Object, OutputDev, OutputError, Transform};

/// The file opened by pdf-extract, with the empty password where it is encrypted only against changes.
pub(crate) struct SecondReader {
    document: Document,
}

impl SecondReader {
    pub(crate) fn open(bytes: &[u8]) -> Result<Self> {
        let is_encrypted = bytes.windows(8).any(|window| window == b"/Encrypt");
        let malformed = |reason: String| {
            if is_encrypted {
                Error::Encrypted
            } else {
                Error::Malformed {
                    format: "PDF",
                    reason,
                }
            }
        };
        let loaded = caught("PDF", || {
            Document::load_mem(bytes).map_err(|error| malformed(error.to_string()))
        });
        let mut document = loaded?;
        if document.is_encrypted() {
            caught("PDF", || document.decrypt("").map_err(|_| Error::Encrypted))?;
        }
        if document.get_pages().is_empty() {
            return Err(malformed("it has no pages".to_owned()));
        }
        resolve_filters(&mut document);
        Ok(Self { document })
    }

    pub(crate) fn page_numbers(&self) -> Vec<u32> {
        self.document.get_pages().into_keys().collect()
    }

    /// Returns what was read of a page, and whether all of it was.
    pub(crate) fn read(&self, number: u32) -> (PageContent, bool) {
        let mut output = Output::default();
        let outcome = caught("PDF", || {
            pdf_extract::output_doc_page(&self.document, &mut output, number).map_err(|error| {
                Error::Malformed {
                    format: "PDF",
                    reason: error.to_string(),
                }
            })
        });
        let content = PageContent {
            lines: output.glyphs.lines(&[]),
            rules: Vec::new(),
            tally: output.tally,
        };
        (content, outcome.is_ok())
    }
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

#[derive(Default)]
struct Output {
    glyphs: Collector,
    tally: Tally,
}

impl OutputDev for Output {
    fn begin_page(
        &mut self,
        _page_num: u32,
        _media_box: &MediaBox,
        _art_box: Option<(f64, f64, f64, f64)>,
    ) -> std::result::Result<(), OutputError> {
        Ok(())
    }

    fn end_page(&mut self) -> std::result::Result<(), OutputError> {
        Ok(())
    }

    fn output_character(
        &mut self,
        place: &Transform,
        width: f64,
        _spacing: f64,
        font_size: f64,
        char: &str,
    ) -> std::result::Result<(), OutputError> {
        let along = place.m11.hypot(place.m12);
        let across = place.m21.hypot(place.m22);
        let turn = quarter_turn(
            place.m11 * font_size.signum(),
            place.m12 * font_size.signum(),
        );
        let (x, y) = match turn {
            0 => (place.m31, -place.m32),
            1 => (place.m32, place.m31),
            2 => (-place.m31, place.m32),
            _ => (-place.m32, -place.m31),
        };
        self.tally.add(char);
        self.glyphs.put(Glyph {
            text: char,
            x,
            y,
            advance: width.max(0.0) * font_size.abs() * along,
            size: font_size.abs() * across,
            turn,
        });
        Ok(())
    }

    fn begin_word(&mut self) -> std::result::Result<(), OutputError> {
        Ok(())
    }

    fn end_word(&mut self) -> std::result::Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> std::result::Result<(), OutputError> {
        Ok(())
    }
}
