//! Mailboxes: messages one after the other, each begun by a line `From `.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::outline::Outline;
use crate::extract::{Tools, extract_nested};

/// Most messages of one mailbox that are read.
const MAX_MESSAGES: usize = 5000;

/// Extracts the messages, each under its subject.
pub(crate) fn extract(bytes: &[u8], depth: usize, tools: &Tools) -> Result<Extracted> {
    let messages = messages(bytes);
    let mut outline = Outline::default();
    for (number, message) in (1..).zip(&messages) {
        if number > MAX_MESSAGES {
            outline.warn(format!("only the first {MAX_MESSAGES} messages were read"));
            break;
        }
        match extract_nested(
            &unquoted(message),
            "message.eml",
            Some("message/rfc822"),
            depth + 1,
            tools,
        ) {
            Ok(extracted) => outline.nest_beside(extracted, &format!("message {number}")),
            Err(Error::EmptyFile) => {}
            Err(error @ Error::TooLarge { .. }) => return Err(error),
            Err(error) => outline.warn(format!("message {number}: {error}")),
        }
    }
    Ok(outline.finish())
}

/// The bytes of each message. A line `From ` in a text follows no empty line or is quoted.
fn messages(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut start = None;
    let mut at = 0;
    let mut is_after_empty = true;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if is_after_empty && line.starts_with(b"From ") {
            if let Some(start) = start {
                found.push(&bytes[start..at]);
            }
            start = Some(at + line.len());
        }
        is_after_empty = line.trim_ascii().is_empty();
        at += line.len();
    }
    // A mailbox cut out of another may begin within a message.
    found.push(&bytes[start.unwrap_or(0)..]);
    found
}

/// Takes one `>` off lines such as `>From `.
fn unquoted(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        let n_marks = line.iter().take_while(|byte| **byte == b'>').count();
        let is_quoted = n_marks > 0 && line[n_marks..].starts_with(b"From ");
        out.extend_from_slice(&line[usize::from(is_quoted)..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::extract::extract;

    #[test]
    fn messages_are_parted_at_their_first_lines() {
        let mailbox = "From sato@kura.example Mon Nov  2 09:00:00 2026\nFrom: sato@kura.example\nMessage-ID: <1>\nSubject: One\n\n\
            First body.\n>From here on it is quoted.\nFrom the same paragraph.\n\n\
            From tanaka@kura.example Mon Nov  2 10:00:00 2026\nFrom: tanaka@kura.example\nMessage-ID: <2>\nSubject: Two\n\nSecond body.\n";
        for name in ["all.mbox", "all.txt", "all"] {
            let extracted =
                extract(mailbox.as_bytes(), name, None, &crate::Tools::default()).unwrap();
            let headings: Vec<&str> = extracted
                .blocks
                .iter()
                .filter(|block| block.text.contains("body"))
                .map(|block| block.locator.headings[0].as_str())
                .collect();
            assert_eq!(headings, ["One", "Two"], "{extracted:?}");
            let first = extracted.blocks.iter().filter(|block| {
                block
                    .locator
                    .headings
                    .first()
                    .is_some_and(|name| name == "One")
            });
            let first: String = first.map(|block| block.text.as_str()).collect();
            assert!(
                first.contains("From here on") && !first.contains('>'),
                "{first:?}"
            );
        }
    }
}
