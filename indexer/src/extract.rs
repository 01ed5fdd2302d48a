//! Bytes of a file → blocks of text.

mod clean;
mod delimited;
mod detect;
mod guard;
mod html;
mod markdown;
mod outline;
mod table;
mod text;

pub use detect::{MediaType, detect};

pub(crate) use clean::is_cjk;

use crate::document::Extracted;
use crate::error::{Error, Result};

/// Extracts the text of a file.
///
/// `name` and `media_type` are hints; what the bytes are decides first (see [`detect()`]). CPU-bound: call it from the
/// blocking pool. It returns within about two minutes whatever the bytes are.
///
/// # Errors
///
/// [`Error::EmptyFile`], [`Error::NoText`], [`Error::Encrypted`], [`Error::UnsupportedFormat`], [`Error::Malformed`] or
/// [`Error::TooLarge`]. A part that cannot be read (a page, an attachment) is a warning instead.
pub fn extract(bytes: &[u8], name: &str, media_type: Option<&str>) -> Result<Extracted> {
    extract_nested(bytes, name, media_type, 0)
}

/// Extracts a file that lies `depth` files deep: 0 for an upload, 1 for its attachment.
fn extract_nested(
    bytes: &[u8],
    name: &str,
    media_type: Option<&str>,
    depth: usize,
) -> Result<Extracted> {
    if bytes.is_empty() {
        return Err(Error::EmptyFile);
    }
    let media_type = detect(bytes, name, media_type);
    let extracted = guard::run(bytes, &media_type, depth, extract_as)?;
    if extracted.blocks.is_empty() {
        return Err(Error::NoText);
    }
    Ok(extracted)
}

fn extract_as(bytes: &[u8], media_type: &MediaType, _depth: usize) -> Result<Extracted> {
    match media_type {
        MediaType::Markdown => Ok(markdown::extract(bytes)),
        MediaType::Text => Ok(text::extract(bytes)),
        MediaType::Html => Ok(html::extract(bytes)),
        MediaType::Csv => Ok(delimited::extract(bytes, b',')),
        MediaType::Tsv => Ok(delimited::extract(bytes, b'\t')),
        MediaType::EncryptedOffice => Err(Error::Encrypted),
        MediaType::Pdf
        | MediaType::Docx
        | MediaType::Pptx
        | MediaType::Xlsx
        | MediaType::Eml
        | MediaType::Other(_) => Err(Error::UnsupportedFormat {
            media_type: media_type.as_str().to_owned(),
        }),
    }
}
