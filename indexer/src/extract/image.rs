//! Pictures: their text is recognized.

use crate::document::{Extracted, PageQuality, PageSource, Warning};
use crate::error::{Error, Result};
use crate::extract::outline::Outline;
use crate::extract::{Tools, layout, scan};
use image::{DynamicImage, ImageDecoder as _, ImageReader, Limits};
use kura_models::{Picture, Recognizer};
use std::io::Cursor;

/// Largest side and number of pixels: a page of A3 at 600 dots per inch.
const MAX_SIDE: u32 = 20_000;
const MAX_PIXELS: u64 = 80_000_000;

/// Most memory that decoding may take.
const MAX_DECODED_BYTES: u64 = 400 << 20;

/// A larger picture is shrunk: letters that can be read are larger than that.
const MAX_READ_SIDE: u32 = 3_000;

/// A smaller picture holds no text: a bullet or a spacer.
const MIN_SIDE: u32 = 12;

/// Pictures within a document must leave room for the document, and small ones are symbols and logos.
const MAX_PIXELS_WITHIN: u64 = 24_000_000;
const MIN_SIDE_WITHIN: u32 = 32;

/// Whether this is a kind of picture that can be decoded.
pub(crate) fn reads(media_type: &str) -> bool {
    matches!(
        media_type,
        "image/png" | "image/jpeg" | "image/gif" | "image/tiff" | "image/webp" | "image/bmp"
    )
}

/// Recognizes the text of a picture.
pub(crate) fn extract(bytes: &[u8], tools: &Tools) -> Result<Extracted> {
    let Some(recognizer) = &tools.recognizer else {
        return Err(Error::NoRecognizer);
    };
    let read = match decode(bytes, MAX_PIXELS, MIN_SIDE)? {
        Some(picture) => recognize(&picture, recognizer.as_ref(), tools)?,
        None => None,
    };
    let Some((mut extracted, quality)) = read else {
        return Err(Error::NoText);
    };
    if quality.problem.is_some() {
        let message = format!(
            "its text is hard to recognize ({} % sure); check it",
            quality.score
        );
        extracted.warnings.push(Warning { message });
    }
    extracted.pages.push(quality);
    Ok(extracted)
}

/// Returns what a picture within a document says. What is hard to recognize is mostly no text at all, and left out.
pub(crate) fn text_within(bytes: &[u8], tools: &Tools) -> Option<Extracted> {
    let recognizer = tools.recognizer.as_ref()?;
    // A picture that cannot be read takes nothing from its document.
    let picture = decode(bytes, MAX_PIXELS_WITHIN, MIN_SIDE_WITHIN).ok()??;
    let (extracted, quality) = recognize(&picture, recognizer.as_ref(), tools).ok()??;
    quality.problem.is_none().then_some(extracted)
}

/// Returns the text of a picture, if it has any, and how well it was recognized.
fn recognize(
    picture: &Picture,
    recognizer: &dyn Recognizer,
    tools: &Tools,
) -> Result<Option<(Extracted, PageQuality)>> {
    tools.progressed();
    let recognized = recognizer.recognize(picture)?;
    tools.progressed();
    let quality = scan::quality(1, &recognized);
    if quality.source == PageSource::None {
        return Ok(None);
    }
    let mut outline = Outline::default();
    layout::add_pages(
        &mut outline,
        vec![scan::page(1, &recognized)],
        &[],
        |_, _| (),
    );
    let mut extracted = outline.finish();
    // A picture has no pages to point at.
    for block in &mut extracted.blocks {
        block.locator.page = None;
    }
    Ok(Some((extracted, quality)))
}

/// Decodes a picture upright; `None` for one too small to hold text.
fn decode(bytes: &[u8], max_pixels: u64, min_side: u32) -> Result<Option<Picture>> {
    let malformed = |error: image::ImageError| match error {
        image::ImageError::Limits(_) => Error::TooLarge {
            reason: "decoding the picture takes too much memory".to_owned(),
        },
        image::ImageError::Decoding(_)
        | image::ImageError::Encoding(_)
        | image::ImageError::Parameter(_)
        | image::ImageError::Unsupported(_)
        | image::ImageError::IoError(_) => Error::Malformed {
            format: "picture",
            reason: error.to_string(),
        },
    };
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(malformed)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(Error::TooLarge {
            reason: format!("the picture has {width} × {height} pixels, more than {max_pixels}"),
        });
    }
    if width.min(height) < min_side {
        return Ok(None);
    }
    let orientation = decoder.orientation().map_err(malformed)?;
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(malformed)?;
    if width.max(height) > MAX_READ_SIDE {
        decoded = decoded.thumbnail(MAX_READ_SIDE, MAX_READ_SIDE);
    }
    decoded.apply_orientation(orientation);
    let rgb = on_white(decoded);
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    Ok(Picture::from_rgb(width, height, rgb.into_raw()))
}

/// Transparent parts of a picture show the paper.
fn on_white(decoded: DynamicImage) -> image::RgbImage {
    if !decoded.color().has_alpha() {
        return decoded.into_rgb8();
    }
    let rgba = decoded.into_rgba8();
    image::RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [red, green, blue, alpha] = rgba.get_pixel(x, y).0.map(u16::from);
        let over = |color: u16| {
            let mixed = (color * alpha + 255 * (255 - alpha)) / 255;
            u8::try_from(mixed).unwrap_or(u8::MAX)
        };
        image::Rgb([over(red), over(green), over(blue)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder as _};

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let pixels = vec![200; width as usize * height as usize];
        image::codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&pixels, width, height, ExtendedColorType::L8)
            .unwrap();
        bytes
    }

    fn decode_any(bytes: &[u8]) -> Result<Option<Picture>> {
        decode(bytes, MAX_PIXELS, MIN_SIDE)
    }

    #[test]
    fn pictures_are_decoded_and_small_ones_passed_over() {
        let picture = decode_any(&png(30, 20)).unwrap().unwrap();
        assert_eq!((picture.width(), picture.height()), (30, 20));
        assert!(decode_any(&png(30, 5)).unwrap().is_none());
        let large = decode_any(&png(6000, 30)).unwrap().unwrap();
        assert_eq!(large.width(), 3000);
    }

    #[test]
    fn a_picture_of_too_many_pixels_is_refused_before_it_is_decoded() {
        // The header alone: 50,000 × 50,000 pixels.
        let mut bytes = png(30, 20);
        bytes[16..20].copy_from_slice(&50_000_u32.to_be_bytes());
        bytes[20..24].copy_from_slice(&50_000_u32.to_be_bytes());
        // Its checksum.
        let mut crc = 0xFFFF_FFFF_u32;
        for &byte in &bytes[12..29] {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xEDB8_8320 & (0_u32.wrapping_sub(crc & 1)));
            }
        }
        bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
        assert!(matches!(decode_any(&bytes), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn damaged_pictures_say_so() {
        let sound = png(60, 40);
        for len in (8..sound.len() * 3 / 4).step_by(7) {
            assert!(decode_any(&sound[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn without_a_recognizer_a_picture_has_a_reason_of_its_own() {
        assert!(matches!(
            extract(&png(30, 20), &Tools::default()),
            Err(Error::NoRecognizer)
        ));
    }
}
