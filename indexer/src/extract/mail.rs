//! E-mail messages: headers, body and what is attached.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::outline::Outline;
use crate::extract::{Tools, extract_nested, html, text};
use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};
use std::borrow::Cow;

/// Deepest nesting of attachments that is read: a mail in a mail in a mail.
pub(crate) const MAX_DEPTH: usize = 3;

/// Most attachments of one message that are read.
const MAX_ATTACHMENTS: usize = 200;

/// Extracts a message that lies `depth` messages deep.
pub(crate) fn extract(bytes: &[u8], depth: usize, tools: &Tools) -> Result<Extracted> {
    let bytes = as_ascii_compatible(bytes);
    let message = MessageParser::default()
        .parse(bytes.as_ref())
        .ok_or_else(|| Error::Malformed {
            format: "EML",
            reason: "it has no mail headers".to_owned(),
        })?;
    let mut outline = Outline::default();
    letter(&message).add_to(&mut outline);
    add_body(&mut outline, &message);
    for (index, part) in message.attachments().enumerate() {
        let name = part
            .attachment_name()
            .map_or_else(|| format!("attachment {}", index + 1), str::to_owned);
        if index >= MAX_ATTACHMENTS {
            outline.warn(format!(
                "only the first {MAX_ATTACHMENTS} attachments were read"
            ));
            break;
        }
        add_part(&mut outline, part, &name, depth, tools);
    }
    Ok(outline.finish())
}

/// Mail is bytes over ASCII; a file saved as UTF-16 is made so.
fn as_ascii_compatible(bytes: &[u8]) -> Cow<'_, [u8]> {
    let is_wide = bytes.starts_with(&[0xFF, 0xFE])
        || bytes.starts_with(&[0xFE, 0xFF])
        || bytes[..bytes.len().min(64)].contains(&0);
    if is_wide {
        return Cow::Owned(text::decode(bytes).0.into_bytes());
    }
    Cow::Borrowed(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes))
}

/// What stands above the body of a message.
#[derive(Debug, Default)]
pub(crate) struct Letter {
    pub(crate) subject: Option<String>,
    /// The sender's name, or else address.
    pub(crate) author: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) cc: Option<String>,
    /// RFC 3339.
    pub(crate) date: Option<String>,
}

impl Letter {
    pub(crate) fn add_to(&self, outline: &mut Outline) {
        if let Some(subject) = &self.subject {
            outline.set_title(subject);
            outline.heading(1, subject);
        }
        outline.set_author(self.author.as_deref().unwrap_or_default());
        let lines = [
            ("From", &self.from),
            ("To", &self.to),
            ("Cc", &self.cc),
            ("Date", &self.date),
        ];
        for (label, text) in lines {
            if let Some(text) = text {
                outline.paragraph(&format!("{label}: {text}"));
            }
        }
        // The day where it was sent.
        let day = self.date.as_deref().and_then(|date| date.split('T').next());
        outline.set_date(day.unwrap_or_default());
    }
}

fn letter(message: &Message<'_>) -> Letter {
    let author = message.from().and_then(Address::first);
    Letter {
        subject: message.subject().map(str::to_owned),
        author: author
            .and_then(|author| author.name().or(author.address()))
            .map(str::to_owned),
        from: message.from().map(addresses),
        to: message.to().map(addresses),
        cc: message.cc().map(addresses),
        date: message.date().map(|date| date.to_rfc3339()),
    }
}

fn addresses(address: &Address<'_>) -> String {
    let shown = address
        .iter()
        .map(|addr| match (addr.name(), addr.address()) {
            (Some(name), Some(address)) => format!("{name} <{address}>"),
            (Some(only), None) | (None, Some(only)) => only.to_owned(),
            (None, None) => String::new(),
        });
    shown
        .filter(|shown| !shown.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

fn add_body(outline: &mut Outline, message: &Message<'_>) {
    let mut n_added = 0;
    for part in message.text_bodies() {
        n_added += usize::from(add_text(outline, part));
    }
    if n_added == 0 {
        for part in message.html_bodies() {
            add_text(outline, part);
        }
    }
}

/// Adds a text or HTML part; says whether it had any text.
fn add_text(outline: &mut Outline, part: &MessagePart<'_>) -> bool {
    match &part.body {
        PartType::Text(body) if !body.trim().is_empty() => text::add_paragraphs(outline, body),
        PartType::Html(body) if !body.trim().is_empty() => html::add_fragment(outline, body),
        PartType::Text(_)
        | PartType::Html(_)
        | PartType::Binary(_)
        | PartType::InlineBinary(_)
        | PartType::Message(_)
        | PartType::Multipart(_) => return false,
    }
    true
}

fn add_part(
    outline: &mut Outline,
    part: &MessagePart<'_>,
    name: &str,
    depth: usize,
    tools: &Tools,
) {
    let media_type = part.content_type().map(|kind| match kind.subtype() {
        Some(subtype) => format!("{}/{subtype}", kind.ctype()),
        None => kind.ctype().to_owned(),
    });
    match &part.body {
        PartType::Message(message) => {
            // A message has no name but its subject.
            let name = if name.starts_with("attachment ") {
                message.subject().unwrap_or(name)
            } else {
                name
            };
            add_attachment(
                outline,
                message.raw_message(),
                name,
                Some("message/rfc822"),
                depth,
                tools,
            );
        }
        PartType::Text(_) | PartType::Html(_) | PartType::Binary(_) | PartType::InlineBinary(_) => {
            add_attachment(
                outline,
                part.contents(),
                name,
                media_type.as_deref(),
                depth,
                tools,
            );
        }
        PartType::Multipart(_) => {}
    }
}

/// Adds an attachment of a message that lies `depth` files deep, under a heading with its name.
pub(crate) fn add_attachment(
    outline: &mut Outline,
    content: &[u8],
    name: &str,
    media_type: Option<&str>,
    depth: usize,
    tools: &Tools,
) {
    if depth >= MAX_DEPTH {
        outline.warn(format!("attachment `{name}`: nested too deeply to be read"));
        return;
    }
    // The name of a message is its subject, whose full stops begin no extension.
    let hint = if media_type == Some("message/rfc822") {
        "message.eml"
    } else {
        name
    };
    match extract_nested(content, hint, media_type, depth + 1, tools) {
        Ok(extracted) => {
            outline.heading(2, name);
            outline.nest(extracted, &format!("attachment `{name}`"));
        }
        Err(Error::EmptyFile) => {}
        Err(error) => outline.warn(format!("attachment `{name}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::BlockKind;

    const MAIL: &str = "From: Sato <sato@kura.example>\r\nTo: all@kura.example\r\n\
        Subject: =?UTF-8?B?57WM6LK744Gu44GK55+l44KJ44Gb?=\r\nDate: Mon, 2 Nov 2026 09:00:00 +0900\r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello all.\r\n\
        --b\r\nContent-Type: text/csv; name=prices.csv\r\nContent-Disposition: attachment; filename=prices.csv\r\n\r\n\
        item,price\r\npen,100\r\n\
        --b\r\nContent-Type: image/png; name=x.png\r\nContent-Disposition: attachment; filename=x.png\r\n\
        Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--b--\r\n";

    #[test]
    fn headers_body_and_attachments_are_read() {
        let extracted = extract(MAIL.as_bytes(), 0, &Tools::default()).unwrap();
        assert_eq!(extracted.title.as_deref(), Some("経費のお知らせ"));
        assert_eq!(extracted.metadata.author.as_deref(), Some("Sato"));
        assert_eq!(
            extracted.metadata.date,
            Some(jiff::civil::date(2026, 11, 2))
        );
        let got: Vec<_> = extracted
            .blocks
            .iter()
            .map(|b| (b.kind, b.text.as_str()))
            .collect();
        assert_eq!(
            got,
            [
                (BlockKind::Heading(1), "経費のお知らせ"),
                (BlockKind::Paragraph, "From: Sato <sato@kura.example>"),
                (BlockKind::Paragraph, "To: all@kura.example"),
                (BlockKind::Paragraph, "Date: 2026-11-02T09:00:00+09:00"),
                (BlockKind::Paragraph, "Hello all."),
                (BlockKind::Heading(2), "prices.csv"),
                (
                    BlockKind::Table,
                    "| item | price |\n| --- | --- |\n| pen | 100 |"
                ),
            ]
        );
        assert_eq!(
            extracted.blocks[6].locator.headings,
            ["経費のお知らせ", "prices.csv"]
        );
        assert_eq!(extracted.warnings.len(), 1);
        assert!(
            extracted.warnings[0].message.contains("x.png")
                && extracted.warnings[0]
                    .message
                    .contains("text recognition is off")
        );
    }

    #[test]
    fn japanese_bodies_are_decoded() {
        let mut mail = b"From: a@b.example\r\nSubject: s\r\nContent-Type: text/plain; charset=ISO-2022-JP\r\n\r\n".to_vec();
        mail.extend_from_slice(&encoding_rs::ISO_2022_JP.encode("会議は火曜日です。").0);
        let extracted = extract(&mail, 0, &Tools::default()).unwrap();
        assert_eq!(extracted.blocks.last().unwrap().text, "会議は火曜日です。");
    }

    #[test]
    fn mails_in_mails_end_somewhere() {
        let mut mail = "From: a@b.example\r\nSubject: inner\r\n\r\ninnermost\r\n".to_owned();
        for level in 0..6 {
            mail = format!(
                "From: a@b.example\r\nSubject: level {level}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; \
                 boundary=b{level}\r\n\r\n--b{level}\r\nContent-Type: message/rfc822\r\n\r\n{mail}\r\n--b{level}--\r\n"
            );
        }
        let extracted = extract(mail.as_bytes(), 0, &Tools::default()).unwrap();
        assert!(
            extracted
                .warnings
                .iter()
                .any(|w| w.message.contains("too deeply")),
            "{extracted:?}"
        );
    }
}
