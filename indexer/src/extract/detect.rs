//! What kind of file some bytes are: by content first, then by name, then by what the sender says.

use crate::extract::text;
use std::borrow::Cow;

/// The kind of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaType {
    /// Markdown.
    Markdown,
    /// Plain text.
    Text,
    /// HTML.
    Html,
    /// Comma-separated values.
    Csv,
    /// Tab-separated values.
    Tsv,
    /// PDF.
    Pdf,
    /// Word document.
    Docx,
    /// PowerPoint presentation.
    Pptx,
    /// Excel workbook.
    Xlsx,
    /// E-mail message.
    Eml,
    /// Any office file under a password.
    EncryptedOffice,
    /// Anything else, by its media type.
    Other(Cow<'static, str>),
}

impl MediaType {
    /// Those that are read.
    const READ: &[Self] = &[
        Self::Markdown,
        Self::Text,
        Self::Html,
        Self::Csv,
        Self::Tsv,
        Self::Pdf,
        Self::Docx,
        Self::Pptx,
        Self::Xlsx,
        Self::Eml,
    ];

    /// Returns the format of this [`format()`](Self::format) name.
    pub(crate) fn format_named(name: &str) -> &'static str {
        let mut known = Self::READ.iter().map(Self::format);
        known.find(|known| *known == name).unwrap_or("unknown")
    }

    /// Returns the media type as registered, such as `text/html`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Markdown => "text/markdown",
            Self::Text => "text/plain",
            Self::Html => "text/html",
            Self::Csv => "text/csv",
            Self::Tsv => "text/tab-separated-values",
            Self::Pdf => "application/pdf",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Pptx => {
                "application/vnd.openxmlformats-officedocument.presentationml.presentation"
            }
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Eml => "message/rfc822",
            Self::EncryptedOffice => "application/x-ole-storage",
            Self::Other(media_type) => media_type,
        }
    }

    /// Returns the format's short name for messages.
    #[must_use]
    pub fn format(&self) -> &'static str {
        match self {
            Self::Markdown => "Markdown",
            Self::Text => "text",
            Self::Html => "HTML",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Pdf => "PDF",
            Self::Docx => "DOCX",
            Self::Pptx => "PPTX",
            Self::Xlsx => "XLSX",
            Self::Eml => "EML",
            Self::EncryptedOffice => "encrypted office",
            Self::Other(_) => "unknown",
        }
    }
}

/// Returns what kind of file `bytes` are.
///
/// Signatures decide first (`%PDF`, zip members, OLE2 directory, images and archives), then markup at the start of
/// text (HTML, mail headers), then the extension of `name`, then `media_type`. Unknown text is [`MediaType::Text`].
#[must_use]
pub fn detect(bytes: &[u8], name: &str, media_type: Option<&str>) -> MediaType {
    if let Some(found) = by_signature(bytes) {
        return found;
    }
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    let by_name = extension.as_deref().and_then(by_extension);
    let by_sender = media_type.and_then(by_media_type);
    let hinted = by_name.or(by_sender);
    match hinted {
        // These have no signature of their own but would have matched one above if they were sound.
        Some(binary @ (MediaType::Pdf | MediaType::Docx | MediaType::Pptx | MediaType::Xlsx)) => {
            binary
        }
        Some(MediaType::Other(other)) => MediaType::Other(other),
        Some(text @ (MediaType::Csv | MediaType::Tsv | MediaType::Eml)) => text,
        Some(
            MediaType::Markdown | MediaType::Text | MediaType::Html | MediaType::EncryptedOffice,
        )
        | None => by_text(bytes, hinted),
    }
}

fn by_signature(bytes: &[u8]) -> Option<MediaType> {
    let head = &bytes[..bytes.len().min(1024)];
    if contains(head, b"%PDF-") {
        return Some(MediaType::Pdf);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return by_zip_members(bytes);
    }
    if head.starts_with(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1") {
        return Some(by_ole_entries(bytes));
    }
    let other = SIGNATURES
        .iter()
        .find(|(signature, _)| head.starts_with(signature));
    other.map(|(_, media_type)| MediaType::Other(Cow::Borrowed(*media_type)))
}

const SIGNATURES: &[(&[u8], &str)] = &[
    (b"{\\rtf", "application/rtf"),
    (b"\x89PNG", "image/png"),
    (b"\xFF\xD8\xFF", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"RIFF", "application/octet-stream"),
    (b"\x1F\x8B", "application/gzip"),
    (b"7z\xBC\xAF\x27\x1C", "application/x-7z-compressed"),
    (b"Rar!", "application/vnd.rar"),
    (b"%!PS", "application/postscript"),
    (b"\x7FELF", "application/x-executable"),
    (b"MZ\x90", "application/x-executable"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "application/ogg"),
    (b"SQLite format 3", "application/vnd.sqlite3"),
];

/// Office formats by the names in the zip directory. A zip of nothing known is left to the other hints when damaged.
fn by_zip_members(bytes: &[u8]) -> Option<MediaType> {
    let Ok(archive) = zip::ZipArchive::new(std::io::Cursor::new(bytes)) else {
        return None;
    };
    let has = |prefix: &str| {
        archive
            .file_names()
            .any(|name| name.is_ok_and(|name| name.trim_start_matches('/').starts_with(prefix)))
    };
    let found = if has("word/") {
        MediaType::Docx
    } else if has("ppt/") {
        MediaType::Pptx
    } else if has("xl/") {
        MediaType::Xlsx
    } else {
        MediaType::Other(declared_in_zip(bytes))
    };
    Some(found)
}

/// EPUB and `OpenDocument` store their media type as an uncompressed first member named `mimetype`.
fn declared_in_zip(bytes: &[u8]) -> Cow<'static, str> {
    let head = &bytes[..bytes.len().min(256)];
    let declared = head
        .get(30..38)
        .filter(|name| *name == b"mimetype")
        .map(|_| {
            let value = head[38..]
                .iter()
                .take_while(|byte| byte.is_ascii_graphic() && **byte != b'P');
            String::from_utf8_lossy(&value.copied().collect::<Vec<u8>>()).into_owned()
        });
    match declared {
        Some(declared) if declared.starts_with("application/") => Cow::Owned(declared),
        Some(_) | None => Cow::Borrowed("application/zip"),
    }
}

/// OLE2 files by the names in their directory, which are UTF-16.
fn by_ole_entries(bytes: &[u8]) -> MediaType {
    let has = |entry: &str| {
        let name: Vec<u8> = entry.encode_utf16().flat_map(u16::to_le_bytes).collect();
        contains(bytes, &name)
    };
    if has("EncryptedPackage") {
        return MediaType::EncryptedOffice;
    }
    let known = [
        ("WordDocument", "application/msword"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
        ("__substg1.0_", "application/vnd.ms-outlook"),
        ("Workbook", "application/vnd.ms-excel"),
        ("Book", "application/vnd.ms-excel"),
    ];
    let found = known.iter().find(|(entry, _)| has(entry));
    MediaType::Other(Cow::Borrowed(
        found.map_or("application/x-ole-storage", |(_, media_type)| media_type),
    ))
}

fn by_extension(extension: &str) -> Option<MediaType> {
    let found = match extension {
        "md" | "markdown" | "mdown" | "mkd" => MediaType::Markdown,
        "txt" | "text" | "log" => MediaType::Text,
        "html" | "htm" | "xhtml" => MediaType::Html,
        "csv" => MediaType::Csv,
        "tsv" | "tab" => MediaType::Tsv,
        "pdf" => MediaType::Pdf,
        "docx" | "docm" | "dotx" => MediaType::Docx,
        "pptx" | "pptm" | "ppsx" => MediaType::Pptx,
        "xlsx" | "xlsm" | "xltx" => MediaType::Xlsx,
        "eml" => MediaType::Eml,
        "zip" => MediaType::Other(Cow::Borrowed("application/zip")),
        "doc" => MediaType::Other(Cow::Borrowed("application/msword")),
        "xls" => MediaType::Other(Cow::Borrowed("application/vnd.ms-excel")),
        "ppt" => MediaType::Other(Cow::Borrowed("application/vnd.ms-powerpoint")),
        "msg" => MediaType::Other(Cow::Borrowed("application/vnd.ms-outlook")),
        _ => return None,
    };
    Some(found)
}

fn by_media_type(media_type: &str) -> Option<MediaType> {
    let essence = media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let mut known = MediaType::READ.iter();
    known.find(|known| known.as_str() == essence).cloned()
}

/// Tells HTML and mail from other text by how it begins, and text from binary.
fn by_text(bytes: &[u8], hinted: Option<MediaType>) -> MediaType {
    let head = whole_characters(&bytes[..bytes.len().min(8192)]);
    // Only an even cut keeps UTF-16 whole.
    if !text::is_text(&head[..head.len() & !1]) && !text::is_text(head) {
        return MediaType::Other(Cow::Borrowed("application/octet-stream"));
    }
    let start = text::decode(head).0;
    let start = start.trim_start_matches('\u{FEFF}').trim_start();
    match hinted {
        Some(MediaType::Markdown) => MediaType::Markdown,
        _ if begins_html(start) => MediaType::Html,
        _ if begins_mail(start) => MediaType::Eml,
        Some(hinted) => hinted,
        None => MediaType::Text,
    }
}

/// Leaves out a UTF-8 character that is cut at the end: because of it the text would be taken for another encoding.
fn whole_characters(head: &[u8]) -> &[u8] {
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => &head[..error.valid_up_to()],
        Ok(_) | Err(_) => head,
    }
}

fn begins_html(start: &str) -> bool {
    let start: String = start
        .chars()
        .take(1024)
        .collect::<String>()
        .to_ascii_lowercase();
    let is_xhtml =
        start.starts_with("<?xml") && (start.contains("<html") || start.contains("<!doctype html"));
    is_xhtml
        || ["<!doctype html", "<html", "<head", "<body"]
            .iter()
            .any(|tag| start.starts_with(tag))
}

/// Whether the text begins with at least two mail headers, one of them of the kind every message has.
fn begins_mail(start: &str) -> bool {
    let mut n_headers = 0;
    let mut n_telling = 0;
    for line in start.lines().take(40) {
        if line.starts_with([' ', '\t']) && n_headers > 0 {
            continue;
        }
        let Some((name, _)) = line.split_once(':') else {
            break;
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            break;
        }
        n_headers += 1;
        let telling = [
            "received",
            "return-path",
            "mime-version",
            "message-id",
            "content-type",
            "delivered-to",
        ];
        n_telling += usize::from(telling.contains(&name.to_ascii_lowercase().as_str()));
    }
    n_headers >= 3 && n_telling >= 1
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_text_wherever_its_head_is_cut() {
        for shift in 0..4 {
            let text = format!("{}{}", "x".repeat(shift), "就業規則\n".repeat(2000));
            let found = detect(text.as_bytes(), "rules.md", None);
            assert_eq!(found, MediaType::Markdown, "{shift}");
        }
    }

    #[test]
    fn content_decides_before_the_name() {
        assert_eq!(detect(b"%PDF-1.7\n", "a.txt", None), MediaType::Pdf);
        assert_eq!(
            detect(b"<!DOCTYPE html><p>x", "a.txt", None),
            MediaType::Html
        );
        assert_eq!(detect(b"\x89PNG\r\n", "a.md", None).as_str(), "image/png");
        assert_eq!(
            detect(b"{\\rtf1 x}", "a.docx", None).as_str(),
            "application/rtf"
        );
        let mail = b"Received: x\r\nFrom: a@b.example\r\nSubject: s\r\n\r\nbody";
        assert_eq!(detect(mail, "mail.txt", None), MediaType::Eml);
    }

    #[test]
    fn the_name_decides_before_the_sender() {
        assert_eq!(
            detect(b"a,b\n", "a.CSV", Some("text/plain")),
            MediaType::Csv
        );
        assert_eq!(
            detect(b"a,b\n", "a", Some("text/csv; charset=utf-8")),
            MediaType::Csv
        );
        assert_eq!(detect(b"{\"a\":1}", "a.json", None), MediaType::Text);
        assert_eq!(detect(b"not a zip", "a.docx", None), MediaType::Docx);
    }

    #[test]
    fn binary_without_signature_is_unknown() {
        let bytes: Vec<u8> = (0_u32..4000)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        assert_eq!(
            detect(&bytes, "x.bin", None).as_str(),
            "application/octet-stream"
        );
    }

    #[test]
    fn encrypted_and_legacy_office_files_are_told_apart() {
        let ole = |entry: &str| {
            let mut bytes = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec();
            bytes.resize(1024, 0);
            bytes.extend(entry.encode_utf16().flat_map(u16::to_le_bytes));
            bytes
        };
        assert_eq!(
            detect(&ole("EncryptedPackage"), "a.docx", None),
            MediaType::EncryptedOffice
        );
        assert_eq!(
            detect(&ole("WordDocument"), "a.doc", None).as_str(),
            "application/msword"
        );
        assert_eq!(
            detect(&ole("Workbook"), "a.doc", None).as_str(),
            "application/vnd.ms-excel"
        );
    }
}
