//! Mailboxes: messages one after the other, each begun by a line `From `. Each is a file of its own; the mailbox itself
//! is the list of them.

use crate::document::Extracted;
use crate::error::Result;
use crate::extract::inner::{Unpacking, join, too_deep};
use crate::extract::{Tools, mail};

/// Most messages of one mailbox that are read.
const MAX_MESSAGES: usize = 5000;

/// Extracts the list of messages, and hands these out with what is attached to them.
pub(crate) fn extract(bytes: &[u8], tools: &Tools) -> Result<Extracted> {
    let Some(mut files) = Unpacking::begin(tools, bytes.len()) else {
        return Err(too_deep());
    };
    unpack(&mut files, bytes, "", 0)?;
    Ok(files.into_list())
}

/// Hands out the messages of the mailbox at `at`, which lies `depth` files deep.
pub(crate) fn unpack(
    files: &mut Unpacking<'_>,
    bytes: &[u8],
    at: &str,
    depth: usize,
) -> Result<()> {
    for (number, message) in messages(bytes).into_iter().enumerate() {
        if number == MAX_MESSAGES {
            files.warn(format!("only the first {MAX_MESSAGES} messages were read"));
            break;
        }
        let message = unquoted(message);
        if message.trim_ascii().is_empty() {
            continue;
        }
        let name = mail::file_name(&message).unwrap_or_else(|| "message.eml".to_owned());
        let path = join(at, &name);
        files.hand_out(&message, &path, Some("message/rfc822"), depth + 1)?;
    }
    Ok(())
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
    use crate::extract::inner::tests::{extract_with_files, paths};

    #[test]
    fn messages_are_parted_at_their_first_lines() {
        let mailbox = "From sato@kura.example Mon Nov  2 09:00:00 2026\nFrom: sato@kura.example\nDate: Mon, 2 Nov 2026 09:00:00 +0900\nMessage-ID: <1>\nSubject: One\n\n\
            First body.\n>From here on it is quoted.\nFrom the same paragraph.\n\n\
            From tanaka@kura.example Mon Nov  2 10:00:00 2026\nFrom: tanaka@kura.example\nMessage-ID: <2>\nSubject: Re: a/b\n\nSecond body.\n";
        for name in ["all.mbox", "all.txt", "all"] {
            let (extracted, files) = extract_with_files(mailbox.as_bytes(), name);
            assert_eq!(paths(&files), ["2026-11-02 One.eml", "Re: a_b.eml"]);
            assert_eq!(extracted.unwrap().blocks.len(), 2);
            let first = String::from_utf8(files[0].1.clone()).unwrap();
            assert!(
                first.contains("From here on") && !first.contains(">From"),
                "{first:?}"
            );
            assert!(first.contains("First body") && !first.contains("Second"));
        }
    }
}
