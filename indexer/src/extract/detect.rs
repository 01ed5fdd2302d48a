//! What kind of file some bytes are: by content first, then by name, then by what the sender says.

use crate::extract::source::Language;
use crate::extract::text;
use std::borrow::Cow;
use std::io::Read;

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
    /// JSON.
    Json,
    /// One JSON value a line.
    JsonLines,
    /// XML of any vocabulary.
    Xml,
    /// `AsciiDoc`.
    AsciiDoc,
    /// `reStructuredText`.
    Rst,
    /// Source code.
    Source(Language),
    /// PDF.
    Pdf,
    /// Word document.
    Docx,
    /// Word document of the binary format.
    Doc,
    /// PowerPoint presentation.
    Pptx,
    /// PowerPoint presentation of the binary format.
    Ppt,
    /// Excel workbook.
    Xlsx,
    /// Excel workbook of the binary format.
    Xls,
    /// `OpenDocument` text.
    Odt,
    /// `OpenDocument` presentation.
    Odp,
    /// `OpenDocument` spreadsheet.
    Ods,
    /// Rich Text Format.
    Rtf,
    /// Electronic book.
    Epub,
    /// E-mail message.
    Eml,
    /// E-mail message as Outlook saves it.
    Msg,
    /// Mailbox: messages one after the other.
    Mbox,
    /// Zip archive.
    Zip,
    /// Any office file under a password.
    EncryptedOffice,
    /// Anything else, by its media type.
    Other(Cow<'static, str>),
}

/// Every kind that has a name of its own, with its media type, short name and file extensions.
pub(crate) static KNOWN: [(MediaType, &str, &str, &[&str]); 26] = [
    (
        MediaType::Markdown,
        "text/markdown",
        "Markdown",
        &["md", "markdown", "mdown", "mkd"],
    ),
    (
        MediaType::Text,
        "text/plain",
        "text",
        &["txt", "text", "log"],
    ),
    (
        MediaType::Html,
        "text/html",
        "HTML",
        &["html", "htm", "xhtml"],
    ),
    (MediaType::Csv, "text/csv", "CSV", &["csv"]),
    (
        MediaType::Tsv,
        "text/tab-separated-values",
        "TSV",
        &["tsv", "tab"],
    ),
    (
        MediaType::Json,
        "application/json",
        "JSON",
        &["json", "geojson", "ipynb"],
    ),
    (
        MediaType::JsonLines,
        "application/jsonl",
        "JSONL",
        &["jsonl", "ndjson"],
    ),
    (
        MediaType::Xml,
        "application/xml",
        "XML",
        &["xml", "rss", "atom", "xsd", "xsl"],
    ),
    (
        MediaType::AsciiDoc,
        "text/asciidoc",
        "AsciiDoc",
        &["adoc", "asciidoc", "asc"],
    ),
    (MediaType::Rst, "text/x-rst", "reStructuredText", &["rst"]),
    (MediaType::Pdf, "application/pdf", "PDF", &["pdf"]),
    (
        MediaType::Docx,
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "DOCX",
        &["docx", "docm", "dotx", "dotm"],
    ),
    (MediaType::Doc, "application/msword", "DOC", &["doc", "dot"]),
    (
        MediaType::Pptx,
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "PPTX",
        &["pptx", "pptm", "ppsx", "potx"],
    ),
    (
        MediaType::Ppt,
        "application/vnd.ms-powerpoint",
        "PPT",
        &["ppt", "pps", "pot"],
    ),
    (
        MediaType::Xlsx,
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "XLSX",
        &["xlsx", "xlsm", "xltx", "xltm"],
    ),
    (
        MediaType::Xls,
        "application/vnd.ms-excel",
        "XLS",
        &["xls", "xlt"],
    ),
    (
        MediaType::Odt,
        "application/vnd.oasis.opendocument.text",
        "ODT",
        &["odt", "ott"],
    ),
    (
        MediaType::Odp,
        "application/vnd.oasis.opendocument.presentation",
        "ODP",
        &["odp", "otp"],
    ),
    (
        MediaType::Ods,
        "application/vnd.oasis.opendocument.spreadsheet",
        "ODS",
        &["ods", "ots"],
    ),
    (MediaType::Rtf, "application/rtf", "RTF", &["rtf"]),
    (MediaType::Epub, "application/epub+zip", "EPUB", &["epub"]),
    (MediaType::Eml, "message/rfc822", "EML", &["eml"]),
    (
        MediaType::Msg,
        "application/vnd.ms-outlook",
        "MSG",
        &["msg"],
    ),
    (
        MediaType::Mbox,
        "application/mbox",
        "MBOX",
        &["mbox", "mbx"],
    ),
    (MediaType::Zip, "application/zip", "ZIP", &["zip"]),
];

impl MediaType {
    /// Returns the format of this [`format()`](Self::format) name.
    pub(crate) fn format_named(name: &str) -> &'static str {
        let found = KNOWN.iter().find(|(_, _, format, _)| *format == name);
        found.map_or("unknown", |(_, _, format, _)| format)
    }

    fn known(&self) -> Option<(&'static str, &'static str)> {
        let found = KNOWN.iter().find(|(kind, ..)| kind == self);
        found.map(|(_, media_type, format, _)| (*media_type, *format))
    }

    /// Returns the media type, as registered where it is, such as `text/html`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        if let Self::Other(media_type) = self {
            return media_type;
        }
        if let Self::Source(language) = self {
            return language.media_type();
        }
        // Only encrypted files are left, which are compound files.
        self.known()
            .map_or("application/x-ole-storage", |(media_type, _)| media_type)
    }

    /// Returns the format's short name for messages.
    #[must_use]
    pub fn format(&self) -> &'static str {
        if matches!(self, Self::Other(_)) {
            return "unknown";
        }
        if matches!(self, Self::Source(_)) {
            return "source code";
        }
        self.known()
            .map_or("encrypted office", |(_, format)| format)
    }

    /// Returns the kind that files with this extension, without the dot and in lower case, usually are.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        let known = KNOWN
            .iter()
            .find(|(.., extensions)| extensions.contains(&extension));
        match known {
            Some((kind, ..)) => Some(kind.clone()),
            None => Language::of_extension(extension).map(Self::Source),
        }
    }

    /// Returns the kind of a media type, its parameters passed over.
    fn of_media_type(media_type: &str) -> Option<Self> {
        let essence = media_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let essence = match essence.as_str() {
            "text/rtf" => "application/rtf",
            "text/xml" => "application/xml",
            "application/x-ndjson" | "application/x-jsonlines" => "application/jsonl",
            "application/x-zip-compressed" => "application/zip",
            other => other,
        };
        KNOWN
            .iter()
            .find(|(_, known, ..)| *known == essence)
            .map(|(kind, ..)| kind.clone())
    }

    /// Whether such a file is bytes that begin with a signature, not text.
    fn is_binary(&self) -> bool {
        matches!(
            self,
            Self::Pdf
                | Self::Docx
                | Self::Doc
                | Self::Pptx
                | Self::Ppt
                | Self::Xlsx
                | Self::Xls
                | Self::Odt
                | Self::Odp
                | Self::Ods
                | Self::Rtf
                | Self::Epub
                | Self::Msg
                | Self::Zip
                | Self::EncryptedOffice
        )
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
    let file_name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let by_name = match file_name.rsplit_once('.') {
        Some((_, extension)) => MediaType::of_extension(&extension.to_ascii_lowercase()),
        None => Language::of_file_name(file_name).map(MediaType::Source),
    };
    let by_sender = media_type.and_then(MediaType::of_media_type);
    match by_name.or(by_sender) {
        // These would have matched a signature above if they were sound.
        Some(binary) if binary.is_binary() => binary,
        Some(MediaType::Other(other)) => MediaType::Other(other),
        // What one writes in a program or in a table may well begin like a page or a mail.
        Some(text @ (MediaType::Csv | MediaType::Tsv | MediaType::Eml)) => text,
        hinted => by_text(bytes, hinted),
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
    if head.trim_ascii_start().starts_with(b"{\\rtf") {
        return Some(MediaType::Rtf);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return Some(MediaType::Other(Cow::Borrowed("image/webp")));
    }
    // "BM" alone begins many a text: the header's reserved bytes and size must fit.
    if head.starts_with(b"BM")
        && head.get(6..10) == Some(&[0; 4])
        && head.get(15..18) == Some(&[0; 3])
    {
        return Some(MediaType::Other(Cow::Borrowed("image/bmp")));
    }
    let other = SIGNATURES
        .iter()
        .find(|(signature, _)| head.starts_with(signature));
    other.map(|(_, media_type)| MediaType::Other(Cow::Borrowed(*media_type)))
}

const SIGNATURES: &[(&[u8], &str)] = &[
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
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).ok()?;
    let has = |prefix: &str| {
        archive
            .file_names()
            .any(|name| name.is_ok_and(|name| name.trim_start_matches('/').starts_with(prefix)))
    };
    // Anyone may have a folder of such a name in an archive.
    let is_package = has("[Content_Types].xml") || has("_rels/");
    let office = [
        ("word/", "word/document", MediaType::Docx),
        ("ppt/", "ppt/presentation", MediaType::Pptx),
        ("xl/", "xl/workbook", MediaType::Xlsx),
    ];
    for (folder, main, kind) in office {
        if has(main) || (is_package && has(folder)) {
            return Some(kind);
        }
    }
    if has("META-INF/container.xml") {
        return Some(MediaType::Epub);
    }
    // `OpenDocument` files and electronic books name their media type in a member of their own.
    let mut declared = String::new();
    if let Ok(member) = archive.by_name("mimetype") {
        let _ = member.take(256).read_to_string(&mut declared);
    }
    match declared.trim() {
        "" => Some(MediaType::Zip),
        declared => Some(
            MediaType::of_media_type(declared.trim_end_matches("-template"))
                .unwrap_or_else(|| MediaType::Other(Cow::Owned(declared.to_owned()))),
        ),
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
        ("__substg1.0_", MediaType::Msg),
        ("WordDocument", MediaType::Doc),
        ("PowerPoint Document", MediaType::Ppt),
        ("Workbook", MediaType::Xls),
        ("Book", MediaType::Xls),
    ];
    let found = known.into_iter().find(|(entry, _)| has(entry));
    let other = MediaType::Other(Cow::Borrowed("application/x-ole-storage"));
    found.map_or(other, |(_, kind)| kind)
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
        Some(MediaType::Text | MediaType::Html | MediaType::Xml) | None if begins_html(start) => {
            MediaType::Html
        }
        Some(MediaType::Text) | None if begins_mailbox(start) => MediaType::Mbox,
        Some(MediaType::Text) | None if begins_mail(start) => MediaType::Eml,
        Some(hinted) => hinted,
        None if start.starts_with("<?xml") => MediaType::Xml,
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

/// Whether the text begins with the line that parts the messages of a mailbox, and headers after it.
fn begins_mailbox(start: &str) -> bool {
    let Some((first, rest)) = start.split_once('\n') else {
        return false;
    };
    first.starts_with("From ") && begins_mail(rest)
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
        assert_eq!(detect(b"{\\rtf1 x}", "a.docx", None), MediaType::Rtf);
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
        assert_eq!(detect(b"{\"a\":1}", "a.json", None), MediaType::Json);
        assert_eq!(
            detect(b"<html>", "page.py", None),
            MediaType::Source(Language::Python)
        );
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
        assert_eq!(detect(&ole("WordDocument"), "a.doc", None), MediaType::Doc);
        assert_eq!(detect(&ole("Workbook"), "a.doc", None), MediaType::Xls);
    }
}
