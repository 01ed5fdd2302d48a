//! Plain text in the encodings found in offices: UTF-8, UTF-16, `Shift_JIS`, EUC-JP, ISO-2022-JP, Windows code pages.

use crate::document::Extracted;
use crate::extract::clean;
use crate::extract::outline::Outline;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Extracts paragraphs, separated by empty lines; list items and Markdown-free headings stay paragraphs of their own.
pub(crate) fn extract(bytes: &[u8]) -> Extracted {
    let mut outline = Outline::default();
    let (text, damaged) = decode(bytes);
    if damaged {
        outline.warn("some bytes are not text in the detected encoding and were replaced");
    }
    add_paragraphs(&mut outline, &text);
    outline.finish()
}

/// Adds running text: paragraphs end at empty lines and before lines that begin a list item or are indented anew.
pub(crate) fn add_paragraphs(outline: &mut Outline, text: &str) {
    let text = text
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .replace('\u{C}', "\n\n");
    let mut paragraph: Vec<&str> = Vec::new();
    for line in text.split('\n') {
        let marker = list_marker(line);
        if line.trim().is_empty() || marker.is_some() || starts_anew(&paragraph, line) {
            flush(outline, &mut paragraph);
        }
        if !line.trim().is_empty() {
            paragraph.push(line);
        }
    }
    flush(outline, &mut paragraph);
}

/// Decodes text of an unknown encoding; the flag says that some bytes did not fit it.
pub(crate) fn decode(bytes: &[u8]) -> (String, bool) {
    let encoding = guess(bytes);
    let (text, _, damaged) = encoding.decode(bytes);
    (text.into_owned(), damaged)
}

/// Whether the bytes read as text: decodable, and nearly free of control characters.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let (text, _) = decode(bytes);
    let mut n_chars = 0_usize;
    let mut n_bad = 0_usize;
    for c in text.chars() {
        n_chars += 1;
        let control = c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{C}' | '\u{1B}');
        n_bad += usize::from(control || c == '\u{FFFD}');
    }
    n_bad * 50 <= n_chars
}

/// Returns the marker of a line that begins a list item: `-`, `*`, `•`, `・`, `1.`, `(1)`, `①`.
pub(crate) fn list_marker(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let first = line.chars().next()?;
    if matches!(first, '・' | '●' | '○' | '■' | '□' | '◆' | '◇' | '①'..='⑳') {
        return Some(&line[..first.len_utf8()]);
    }
    let end = line.find(char::is_whitespace)?;
    let marker = &line[..end];
    let is_bullet = matches!(marker, "-" | "*" | "+" | "•" | "–" | "▪" | "‣" | "◦");
    let inner = marker.trim_start_matches('(').trim_end_matches(['.', ')']);
    let is_number = inner.len() < marker.len()
        && (1..=3).contains(&inner.len())
        && inner.chars().all(|c| c.is_ascii_digit());
    (is_bullet || is_number).then_some(marker)
}

fn flush(outline: &mut Outline, paragraph: &mut Vec<&str>) {
    let joined = clean::join_lines(paragraph.drain(..));
    match list_marker(&joined) {
        Some(marker) => {
            let rest = joined[marker.len()..].to_owned();
            outline.list_item(marker, &rest);
        }
        None => outline.paragraph(&joined),
    }
}

/// A full stop followed by a much shorter tail and an indented line: how many Japanese texts begin a paragraph.
fn starts_anew(paragraph: &[&str], line: &str) -> bool {
    let Some(last) = paragraph.last() else {
        return false;
    };
    line.starts_with('\u{3000}') || (is_short_line(last) && !continues(line))
}

/// Lines this short are not wrapped text: a record of a log, a heading, an address.
fn is_short_line(line: &str) -> bool {
    let width: usize = line
        .chars()
        .map(|c| 1 + usize::from(clean::is_cjk(c)))
        .sum();
    width < 40
        && line
            .trim_end()
            .ends_with(['.', '。', ':', '：', '!', '?', '！', '？'])
}

fn continues(line: &str) -> bool {
    line.trim_start()
        .chars()
        .next()
        .is_some_and(char::is_lowercase)
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding;
    }
    if let Some(encoding) = utf16_without_bom(bytes) {
        return encoding;
    }
    if is_utf8(bytes) {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Allow)
}

/// Whether the detector would say so after it had tried all encodings, which takes longer than reading the file.
fn is_utf8(bytes: &[u8]) -> bool {
    // ASCII with escapes may be ISO-2022-JP.
    std::str::from_utf8(bytes).is_ok() && !(bytes.is_ascii() && bytes.contains(&b'\x1B'))
}

/// UTF-16 without a mark: well formed in one byte order, with enough ASCII or kana that this is no accident.
fn utf16_without_bom(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(4096) & !1];
    if sample.len() < 4 || (std::str::from_utf8(bytes).is_ok() && !sample.contains(&0)) {
        return None;
    }
    let common = |order: fn([u8; 2]) -> u16| {
        let units = sample.chunks_exact(2).map(|pair| order([pair[0], pair[1]]));
        let n_common = units
            .filter(|unit| matches!(unit, 0x09 | 0x0A | 0x0D | 0x20..=0x7E | 0x3000..=0x30FF))
            .count();
        n_common * 2
    };
    let (little, big) = (common(u16::from_le_bytes), common(u16::from_be_bytes));
    let (encoding, score) = if little >= big {
        (UTF_16LE, little)
    } else {
        (UTF_16BE, big)
    };
    let well_formed = !encoding.decode_without_bom_handling(sample).1;
    (well_formed && score * 10 >= sample.len() * 3).then_some(encoding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{EUC_JP, ISO_2022_JP, SHIFT_JIS};

    const JA: &str = "経費の精算は毎月末日までに申請してください。\n領収書を添付すること。";

    #[test]
    fn japanese_encodings_are_recognized() {
        for encoding in [SHIFT_JIS, EUC_JP, ISO_2022_JP, encoding_rs::UTF_8] {
            let (bytes, _, _) = encoding.encode(JA);
            assert_eq!(
                decode(&bytes),
                (JA.to_owned(), false),
                "{}",
                encoding.name()
            );
        }
        let utf16: Vec<u16> = JA.encode_utf16().collect();
        let little: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        assert_eq!(decode(&little).0, JA);
        assert_eq!(decode(&big).0, JA);
        let marked: Vec<u8> = [0xFF, 0xFE].into_iter().chain(little).collect();
        assert_eq!(decode(&marked).0, JA);
        assert_eq!(
            decode(b"caf\xe9 au lait, tr\xe8s bon").0,
            "café au lait, très bon"
        );
    }

    #[test]
    fn paragraphs_and_list_items_are_told_apart() {
        let text = "A wrapped para-\ngraph of\ntext.\n\n- one\n- two\n  more\n1. first\n　字下げの段落は\n続きます。\n　次の段落。";
        let blocks = extract(text.as_bytes()).blocks;
        let texts: Vec<_> = blocks.iter().map(|b| b.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "A wrapped paragraph of text.",
                "- one",
                "- two more",
                "1. first",
                "字下げの段落は続きます。",
                "次の段落。"
            ]
        );
    }

    #[test]
    fn binary_is_not_text() {
        assert!(!is_text(&[
            0x7F, b'E', b'L', b'F', 1, 2, 3, 0, 0, 0xFF, 0xFE, 0x80
        ]));
        assert!(is_text(JA.as_bytes()));
    }
}
