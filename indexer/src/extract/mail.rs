//! E-mail messages: headers and body. What is attached is a file of its own.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::inner::{MAX_DEPTH, Unpacking, join};
use crate::extract::outline::Outline;
use crate::extract::{Tools, extract_part, html, text};
use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};
use std::borrow::Cow;

/// Most attachments of one message that are read.
pub(crate) const MAX_ATTACHMENTS: usize = 200;

/// Longest part of a subject that is a file's name, in characters.
const MAX_NAME_CHARS: usize = 80;

/// Extracts a message, and hands out what is attached to it.
pub(crate) fn extract(bytes: &[u8], tools: &Tools) -> Result<Extracted> {
    let bytes = as_ascii_compatible(bytes);
    let message = parse(&bytes)?;
    let mut outline = Outline::default();
    letter(&message).add_to(&mut outline);
    add_body(&mut outline, &message);
    for part in message
        .attachments()
        .filter(|part| is_picture_of_text(part))
    {
        let name = part.attachment_name().unwrap_or("picture");
        add_picture(&mut outline, part.contents(), name, tools);
    }
    let names: Vec<String> = attached(&message).map(|(_, name)| name).collect();
    add_names(&mut outline, &names);
    if let Some(mut files) = Unpacking::begin(tools, bytes.len()) {
        hand_out(&mut files, &message, "", 0)?;
        files.finish(&mut outline);
    }
    Ok(outline.finish())
}

/// Hands out what is attached to the message at `at`, which lies `depth` files deep.
pub(crate) fn unpack(
    files: &mut Unpacking<'_>,
    bytes: &[u8],
    at: &str,
    depth: usize,
) -> Result<()> {
    let bytes = as_ascii_compatible(bytes);
    hand_out(files, &parse(&bytes)?, at, depth)
}

fn hand_out(
    files: &mut Unpacking<'_>,
    message: &Message<'_>,
    at: &str,
    depth: usize,
) -> Result<()> {
    for (index, (part, name)) in attached(message).enumerate() {
        if depth >= MAX_DEPTH {
            files.warn(format!(
                "`{at}`: what is attached is nested too deeply to be read"
            ));
            break;
        }
        if index >= MAX_ATTACHMENTS {
            files.warn(format!(
                "only the first {MAX_ATTACHMENTS} attachments were read"
            ));
            break;
        }
        let media_type = media_type(part);
        let path = join(at, &name);
        hand_out_one(
            files,
            part.contents(),
            &path,
            media_type.as_deref(),
            depth + 1,
        )?;
    }
    Ok(())
}

/// Hands out something attached. A message and the rest of what is attached can be read although one of them is too large.
pub(crate) fn hand_out_one(
    files: &mut Unpacking<'_>,
    content: &[u8],
    path: &str,
    media_type: Option<&str>,
    depth: usize,
) -> Result<()> {
    match files.hand_out(content, path, media_type, depth) {
        Err(error @ Error::TooLarge { .. }) => {
            files.warn(format!("attachment `{path}`: {error}"));
            Ok(())
        }
        outcome => outcome,
    }
}

/// Returns the name of a message as a file: its day and its subject.
pub(crate) fn file_name(bytes: &[u8]) -> Option<String> {
    let message = MessageParser::default().parse_headers(bytes)?;
    let day = message.date().map(|date| {
        let date = date.to_rfc3339();
        date.split('T').next().unwrap_or_default().to_owned()
    });
    let subject = message.subject().map(|subject| {
        let subject = subject.replace(['/', '\\'], "_");
        subject.chars().take(MAX_NAME_CHARS).collect::<String>()
    });
    let subject = subject.as_deref().map(str::trim);
    match (day, subject.filter(|subject| !subject.is_empty())) {
        (Some(day), Some(subject)) => Some(format!("{day} {subject}.eml")),
        (Some(only), None) => Some(format!("{only}.eml")),
        (None, Some(only)) => Some(format!("{only}.eml")),
        (None, None) => None,
    }
}

fn parse(bytes: &[u8]) -> Result<Message<'_>> {
    let message = MessageParser::default().parse(bytes);
    message.ok_or_else(|| Error::Malformed {
        format: "EML",
        reason: "it has no mail headers".to_owned(),
    })
}

/// Returns the parts that are attached, with their names.
fn attached<'m>(message: &'m Message<'m>) -> impl Iterator<Item = (&'m MessagePart<'m>, String)> {
    let parts = message
        .attachments()
        .filter(|part| !is_picture_of_text(part) && !matches!(part.body, PartType::Multipart(_)));
    parts.enumerate().map(|(index, part)| {
        let given = part.attachment_name().map(str::to_owned);
        let name = if let PartType::Message(message) = &part.body {
            // A message has no name but its subject, whose full stops begin no extension.
            match given {
                Some(name) if name.to_lowercase().ends_with(".eml") => Some(name),
                Some(name) => Some(format!("{name}.eml")),
                None => file_name(message.raw_message()),
            }
        } else {
            given
        };
        (
            part,
            name.unwrap_or_else(|| format!("attachment {}", index + 1)),
        )
    })
}

/// Whether a part is a picture that is shown within the text, such as a screenshot or a logo: it belongs to the text.
fn is_picture_of_text(part: &MessagePart<'_>) -> bool {
    let is_attached = part
        .content_disposition()
        .is_some_and(mail_parser::ContentType::is_attachment);
    let is_picture = part
        .content_type()
        .is_some_and(|kind| kind.ctype().eq_ignore_ascii_case("image"));
    is_picture && part.content_id().is_some() && !is_attached
}

fn media_type(part: &MessagePart<'_>) -> Option<String> {
    if matches!(part.body, PartType::Message(_)) {
        return Some("message/rfc822".to_owned());
    }
    part.content_type().map(|kind| match kind.subtype() {
        Some(subtype) => format!("{}/{subtype}", kind.ctype()),
        None => kind.ctype().to_owned(),
    })
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

/// Adds the text of a picture that is shown within the text.
pub(crate) fn add_picture(outline: &mut Outline, content: &[u8], name: &str, tools: &Tools) {
    match extract_part(content, name, None, tools) {
        Ok(extracted) => {
            outline.heading(2, name);
            outline.nest(extracted, &format!("picture `{name}`"));
        }
        // A logo has none.
        Err(Error::EmptyFile | Error::NoText) => {}
        Err(error) => outline.warn(format!("picture `{name}`: {error}")),
    }
}

/// Adds the names of what is attached.
pub(crate) fn add_names(outline: &mut Outline, names: &[String]) {
    let names = &names[..names.len().min(MAX_ATTACHMENTS)];
    if !names.is_empty() {
        outline.paragraph(&format!("Attachments: {}", names.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::BlockKind;
    use crate::extract::inner::tests::{extract_with_files, paths};

    const MAIL: &str = "From: Sato <sato@kura.example>\r\nTo: all@kura.example\r\n\
        Subject: =?UTF-8?B?57WM6LK744Gu44GK55+l44KJ44Gb?=\r\nDate: Mon, 2 Nov 2026 09:00:00 +0900\r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello all.\r\n\
        --b\r\nContent-Type: text/csv; name=prices.csv\r\nContent-Disposition: attachment; filename=prices.csv\r\n\r\n\
        item,price\r\npen,100\r\n\
        --b\r\nContent-Type: image/png; name=x.png\r\nContent-Disposition: attachment; filename=x.png\r\n\
        Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--b--\r\n";

    #[test]
    fn headers_and_body_are_read_and_attachments_handed_out() {
        let (extracted, files) = extract_with_files(MAIL.as_bytes(), "a.eml");
        let extracted = extracted.unwrap();
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
                (BlockKind::Paragraph, "Attachments: prices.csv, x.png"),
            ]
        );
        // The picture was attached, so it is a file, whether or not it can be read.
        assert_eq!(paths(&files), ["prices.csv", "x.png"]);
        assert_eq!(files[0].1, b"item,price\r\npen,100");
        assert_eq!(files[1].1, b"\x89PNG\r\n\x1a\n");
        assert!(extracted.warnings.is_empty(), "{:?}", extracted.warnings);
        // Where files are to stay, they are named all the same.
        let alone = extract(MAIL.as_bytes(), &Tools::default()).unwrap();
        assert_eq!(alone.blocks, extracted.blocks);
    }

    #[test]
    fn a_picture_shown_in_the_text_is_no_file() {
        let shown = MAIL.replace(
            "Content-Disposition: attachment; filename=x.png",
            "Content-Disposition: inline; filename=x.png\r\nContent-ID: <x>",
        );
        let (extracted, files) = extract_with_files(shown.as_bytes(), "a.eml");
        assert_eq!(paths(&files), ["prices.csv"]);
        let warnings = extracted.unwrap().warnings;
        assert!(
            warnings[0].message.contains("x.png")
                && warnings[0].message.contains("text recognition is off"),
            "{warnings:?}"
        );
    }

    #[test]
    fn japanese_bodies_are_decoded() {
        let mut mail = b"From: a@b.example\r\nSubject: s\r\nContent-Type: text/plain; charset=ISO-2022-JP\r\n\r\n".to_vec();
        mail.extend_from_slice(&encoding_rs::ISO_2022_JP.encode("会議は火曜日です。").0);
        let extracted = extract(&mail, &Tools::default()).unwrap();
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
        let (extracted, files) = extract_with_files(mail.as_bytes(), "a.eml");
        let expected = [
            "level 4.eml",
            "level 4.eml/level 3.eml",
            "level 4.eml/level 3.eml/level 2.eml",
        ];
        assert_eq!(paths(&files), expected);
        let warnings = extracted.unwrap().warnings;
        assert!(
            warnings.iter().any(|w| w.message.contains("too deeply")),
            "{warnings:?}"
        );
    }
}
