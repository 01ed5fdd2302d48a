//! E-mail messages as Outlook saves them: properties in a compound file, attachments in storages of their own.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::Tools;
use crate::extract::mail::{self, Letter};
use crate::extract::outline::Outline;
use crate::extract::rtf;
use crate::extract::rtf::encoding_of_page;
use encoding_rs::{Encoding, UTF_16LE};
use office_oxide::cfb::CfbReader;
use std::collections::BTreeSet;
use std::io::Cursor;

pub(super) mod compressed;

/// Most attachments of one message that are read.
const MAX_ATTACHMENTS: usize = 200;

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
const INTERNET_PAGE: u16 = 0x3FDE;
const PAGE: u16 = 0x3FFD;

/// Property types.
const TEXT: u16 = 0x001F;
const ANSI: u16 = 0x001E;
const BINARY: u16 = 0x0102;
const OBJECT: u16 = 0x000D;

/// Extracts a message that lies `depth` files deep.
pub(crate) fn extract(bytes: &[u8], depth: usize, tools: &Tools) -> Result<Extracted> {
    let reader = CfbReader::new(Cursor::new(bytes)).map_err(|error| Error::Malformed {
        format: "MSG",
        reason: error.to_string(),
    })?;
    let mut file = File { reader };
    let mut outline = Outline::default();
    add_message(&mut outline, &mut file, "", depth, tools)?;
    Ok(outline.finish())
}

/// Adds the message whose properties lie under `at`.
fn add_message(
    outline: &mut Outline,
    file: &mut File<'_>,
    at: &str,
    depth: usize,
    tools: &Tools,
) -> Result<()> {
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
    for (index, name) in file.attachments(at).into_iter().enumerate() {
        if index == MAX_ATTACHMENTS {
            outline.warn(format!(
                "only the first {MAX_ATTACHMENTS} attachments were read"
            ));
            break;
        }
        add_attachment(outline, file, &format!("{at}{name}/"), index, depth, tools)?;
    }
    Ok(())
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
        && depth <= mail::MAX_DEPTH
    {
        outline.nest(extracted, "body");
    }
}

fn add_attachment(
    outline: &mut Outline,
    file: &mut File<'_>,
    at: &str,
    index: usize,
    depth: usize,
    tools: &Tools,
) -> Result<()> {
    let encoding = file.encoding(at);
    let name = file
        .text(at, LONG_NAME, encoding)
        .or_else(|| file.text(at, SHORT_NAME, encoding));
    let name = name.unwrap_or_else(|| format!("attachment {}", index + 1));
    if let Some(content) = file.stream(at, ATTACHMENT, BINARY) {
        let media_type = file.text(at, MEDIA_TYPE, encoding);
        mail::add_attachment(
            outline,
            &content,
            &name,
            media_type.as_deref(),
            depth,
            tools,
        );
        return Ok(());
    }
    // A message within the message is a storage with properties of its own.
    let inner = format!("{at}__substg1.0_{ATTACHMENT:04X}{OBJECT:04X}/");
    if file.has(&format!("{inner}__properties_version1.0")) {
        if depth >= mail::MAX_DEPTH {
            outline.warn(format!("attachment `{name}`: nested too deeply to be read"));
            return Ok(());
        }
        let mut message = Outline::default();
        add_message(&mut message, file, &inner, depth + 1, tools)?;
        outline.heading(2, &name);
        outline.nest(message.finish(), &format!("attachment `{name}`"));
    }
    Ok(())
}

struct File<'b> {
    reader: CfbReader<Cursor<&'b [u8]>>,
}

impl File<'_> {
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

    /// The storages of attachments under `at`, in their order.
    fn attachments(&self, at: &str) -> Vec<String> {
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
        own.map(str::to_owned).collect()
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
