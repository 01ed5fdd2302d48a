//! E-mail messages as Outlook saves them: properties in a compound file, attachments in storages of their own.
//!
//! What is attached is a file of its own, save for a message within the message: it is no file, only further properties
//! of this one. Its text is read with this one's.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::Tools;
use crate::extract::inner::{MAX_DEPTH, Unpacking, join};
use crate::extract::mail::{self, Letter, MAX_ATTACHMENTS};
use crate::extract::outline::Outline;
use crate::extract::rtf;
use crate::extract::rtf::encoding_of_page;
use encoding_rs::{Encoding, UTF_16LE};
use office_oxide::cfb::CfbReader;
use std::collections::BTreeSet;
use std::io::Cursor;

pub(super) mod compressed;

const SUBJECT: u16 = 0x0037;
const SENT: u16 = 0x0039;
const SENDER_NAME: u16 = 0x0C1A;
const SENDER_ADDRESS: u16 = 0x0C1F;
const SENDER_SMTP: u16 = 0x5D01;
const DISPLAY_TO: u16 = 0x0E04;
const DISPLAY_CC: u16 = 0x0E03;
const DELIVERED: u16 = 0x0E06;
const BODY: u16 = 0x1000;
const RTF_BODY: u16 = 0x1009;
const HTML_BODY: u16 = 0x1013;
const ATTACHMENT: u16 = 0x3701;
const SHORT_NAME: u16 = 0x3704;
const LONG_NAME: u16 = 0x3707;
const MEDIA_TYPE: u16 = 0x370E;
const CONTENT_ID: u16 = 0x3712;
const INTERNET_PAGE: u16 = 0x3FDE;
const PAGE: u16 = 0x3FFD;

/// Property types.
const TEXT: u16 = 0x001F;
const ANSI: u16 = 0x001E;
const BINARY: u16 = 0x0102;
const OBJECT: u16 = 0x000D;

/// Extracts a message, and hands out what is attached to it.
pub(crate) fn extract(bytes: &[u8], tools: &Tools) -> Result<Extracted> {
    let mut file = File::open(bytes)?;
    let mut outline = Outline::default();
    add_message(&mut outline, &mut file, "", 0, tools);
    if let Some(mut files) = Unpacking::begin(tools, bytes.len()) {
        hand_out(&mut files, &mut file, "", "", 0)?;
        files.finish(&mut outline);
    }
    Ok(outline.finish())
}

/// Hands out what is attached to the message at `path`, which lies `depth` files deep.
pub(crate) fn unpack(
    files: &mut Unpacking<'_>,
    bytes: &[u8],
    path: &str,
    depth: usize,
) -> Result<()> {
    hand_out(files, &mut File::open(bytes)?, "", path, depth)
}

/// Hands out what is attached to the message whose properties lie under `at`.
fn hand_out(
    files: &mut Unpacking<'_>,
    file: &mut File<'_>,
    at: &str,
    path: &str,
    depth: usize,
) -> Result<()> {
    for (index, attachment) in file.attachments(at).into_iter().enumerate() {
        if depth >= MAX_DEPTH {
            files.warn(format!(
                "`{path}`: what is attached is nested too deeply to be read"
            ));
            break;
        }
        if index == MAX_ATTACHMENTS {
            files.warn(format!(
                "only the first {MAX_ATTACHMENTS} attachments were read"
            ));
            break;
        }
        let path = join(path, &attachment.name);
        match &attachment.kind {
            Kind::Content => {
                let content = file.stream(&attachment.at, ATTACHMENT, BINARY);
                let content = content.unwrap_or_default();
                let media_type = attachment.media_type.as_deref();
                mail::hand_out_one(files, &content, &path, media_type, depth + 1)?;
            }
            Kind::Message(inner) => hand_out(files, file, inner, &path, depth + 1)?,
            Kind::Picture | Kind::Unknown => {}
        }
    }
    Ok(())
}

/// Adds the message whose properties lie under `at`.
fn add_message(outline: &mut Outline, file: &mut File<'_>, at: &str, depth: usize, tools: &Tools) {
    let encoding = file.encoding(at);
    let mut text = |property: u16| file.text(at, property, encoding);
    let name = text(SENDER_NAME);
    let address =
        text(SENDER_SMTP).or_else(|| text(SENDER_ADDRESS).filter(|address| address.contains('@')));
    let from = match (name, address) {
        (Some(name), Some(address)) if name != address => Some(format!("{name} <{address}>")),
        (name, address) => name.or(address),
    };
    let letter = Letter {
        subject: text(SUBJECT),
        author: text(SENDER_NAME).or(from.clone()),
        from,
        to: text(DISPLAY_TO),
        cc: text(DISPLAY_CC),
        date: file.time(at, SENT).or_else(|| file.time(at, DELIVERED)),
    };
    letter.add_to(outline);
    add_body(outline, file, at, encoding, depth);
    let attachments = file.attachments(at);
    for attachment in attachments.iter().take(MAX_ATTACHMENTS) {
        match &attachment.kind {
            Kind::Picture => {
                let content = file.stream(&attachment.at, ATTACHMENT, BINARY);
                let content = content.unwrap_or_default();
                mail::add_picture(outline, &content, &attachment.name, tools);
            }
            Kind::Message(_) if depth >= MAX_DEPTH => outline.warn(format!(
                "attachment `{}`: nested too deeply to be read",
                attachment.name
            )),
            Kind::Message(inner) => {
                let mut message = Outline::default();
                add_message(&mut message, file, inner, depth + 1, tools);
                outline.heading(2, &attachment.name);
                let name = format!("attachment `{}`", attachment.name);
                outline.nest(message.finish(), &name);
            }
            Kind::Content | Kind::Unknown => {}
        }
    }
    let files = attachments
        .into_iter()
        .filter(|attachment| matches!(attachment.kind, Kind::Content));
    let names: Vec<String> = files.map(|attachment| attachment.name).collect();
    mail::add_names(outline, &names);
}

fn add_body(
    outline: &mut Outline,
    file: &mut File<'_>,
    at: &str,
    encoding: &'static Encoding,
    depth: usize,
) {
    if let Some(body) = file
        .text(at, BODY, encoding)
        .filter(|body| !body.trim().is_empty())
    {
        crate::extract::text::add_paragraphs(outline, &body);
    } else if let Some(body) = file
        .stream(at, HTML_BODY, BINARY)
        .filter(|body| !body.is_empty())
    {
        crate::extract::html::add_document(outline, &body);
    } else if let Some(body) = file.text(at, HTML_BODY, encoding) {
        crate::extract::html::add_fragment(outline, &body);
    } else if let Some(body) = file.stream(at, RTF_BODY, BINARY)
        && let Some(body) = compressed::unpack(&body)
        && let Ok(extracted) = rtf::extract(&body)
        && depth <= MAX_DEPTH
    {
        outline.nest(extracted, "body");
    }
}

/// Something attached to a message.
struct Attachment {
    /// Where its properties lie.
    at: String,
    name: String,
    media_type: Option<String>,
    kind: Kind,
}

enum Kind {
    /// A file.
    Content,
    /// A picture that is shown within the text: it belongs to the text.
    Picture,
    /// A message, whose properties lie here.
    Message(String),
    /// A link, or an object of another program.
    Unknown,
}

struct File<'b> {
    reader: CfbReader<Cursor<&'b [u8]>>,
}

impl<'b> File<'b> {
    fn open(bytes: &'b [u8]) -> Result<Self> {
        let reader = CfbReader::new(Cursor::new(bytes)).map_err(|error| Error::Malformed {
            format: "MSG",
            reason: error.to_string(),
        })?;
        Ok(Self { reader })
    }

    fn has(&self, path: &str) -> bool {
        self.reader.find_entry_by_path(path).is_some()
    }

    fn stream(&mut self, at: &str, property: u16, kind: u16) -> Option<Vec<u8>> {
        let path = format!("{at}__substg1.0_{property:04X}{kind:04X}");
        self.reader.open_stream_by_path(&path).ok()
    }

    /// A property of text, in Unicode or in the message's code page.
    fn text(&mut self, at: &str, property: u16, encoding: &'static Encoding) -> Option<String> {
        let text = match self.stream(at, property, TEXT) {
            Some(bytes) => UTF_16LE.decode_without_bom_handling(&bytes).0.into_owned(),
            None => decoded(&self.stream(at, property, ANSI)?, encoding),
        };
        let text = text.trim_end_matches('\0').to_owned();
        (!text.trim().is_empty()).then_some(text)
    }

    /// The encoding of texts that are not Unicode.
    fn encoding(&mut self, at: &str) -> &'static Encoding {
        let page = self
            .number(at, PAGE)
            .or_else(|| self.number(at, INTERNET_PAGE));
        page.and_then(|page| encoding_of_page(i32::try_from(page).ok()?))
            .unwrap_or(encoding_rs::WINDOWS_1252)
    }

    /// The day and time of a property, UTC, as `2026-04-01T09:30:00Z`.
    fn time(&mut self, at: &str, property: u16) -> Option<String> {
        // Tenths of microseconds since 1601.
        let ticks = self.fixed(at, property)?;
        let seconds = i64::try_from(ticks / 10_000_000).ok()? - 11_644_473_600;
        let time = jiff::Timestamp::from_second(seconds).ok()?;
        (seconds > 0).then(|| time.to_string())
    }

    fn number(&mut self, at: &str, property: u16) -> Option<u32> {
        self.fixed(at, property)
            .map(|value| (value & 0xFFFF_FFFF) as u32)
    }

    /// The value of a property of fixed length.
    fn fixed(&mut self, at: &str, property: u16) -> Option<u64> {
        let bytes = self
            .reader
            .open_stream_by_path(&format!("{at}__properties_version1.0"))
            .ok()?;
        // The header is longest at the root and shortest in attachments; entries are as long as their alignment.
        let header = if at.is_empty() {
            32
        } else if at.ends_with(&format!("{OBJECT:04X}/")) {
            24
        } else {
            8
        };
        let entry = bytes
            .get(header..)?
            .chunks_exact(16)
            .find(|entry| entry[2..4] == property.to_le_bytes())?;
        Some(u64::from_le_bytes(entry[8..16].try_into().ok()?))
    }

    /// What is attached to the message under `at`, in its order.
    fn attachments(&mut self, at: &str) -> Vec<Attachment> {
        let names = self
            .reader
            .entries()
            .iter()
            .map(|entry| entry.name.as_str());
        let names: BTreeSet<&str> = names
            .filter(|name| name.starts_with("__attach_version1.0_#"))
            .collect();
        let own = names
            .into_iter()
            .filter(|name| self.has(&format!("{at}{name}")));
        let own: Vec<String> = own.map(|name| format!("{at}{name}/")).collect();
        let numbered = own.into_iter().enumerate();
        numbered
            .map(|(index, at)| self.attachment(at, index))
            .collect()
    }

    fn attachment(&mut self, at: String, index: usize) -> Attachment {
        let encoding = self.encoding(&at);
        let name = self
            .text(&at, LONG_NAME, encoding)
            .or_else(|| self.text(&at, SHORT_NAME, encoding));
        let media_type = self.text(&at, MEDIA_TYPE, encoding);
        let content = format!("{at}__substg1.0_{ATTACHMENT:04X}{BINARY:04X}");
        // A message within the message is a storage with properties of its own.
        let message = format!("{at}__substg1.0_{ATTACHMENT:04X}{OBJECT:04X}/");
        let is_picture = media_type
            .as_deref()
            .is_some_and(|kind| kind.starts_with("image/"));
        let kind = if self.has(&content) {
            if is_picture && self.text(&at, CONTENT_ID, encoding).is_some() {
                Kind::Picture
            } else {
                Kind::Content
            }
        } else if self.has(&format!("{message}__properties_version1.0")) {
            Kind::Message(message)
        } else {
            Kind::Unknown
        };
        Attachment {
            name: name.unwrap_or_else(|| format!("attachment {}", index + 1)),
            media_type,
            kind,
            at,
        }
    }
}

/// Text of a code page; messages often name another than they use.
fn decoded(bytes: &[u8], encoding: &'static Encoding) -> String {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_ascii() || encoding == encoding_rs::WINDOWS_1252 {
        return crate::extract::text::decode(bytes).0;
    }
    let (text, damaged) = encoding.decode_without_bom_handling(bytes);
    if damaged {
        crate::extract::text::decode(bytes).0
    } else {
        text.into_owned()
    }
}
