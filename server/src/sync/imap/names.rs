//! How folders are called: by the server, and for people.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Base64 as names of folders have it (RFC 3501, 5.1.3).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Returns a folder's name as a path with `/`, whatever the server puts between its parts.
pub(super) fn path(name: &str, delimiter: Option<&str>) -> String {
    let parts: Vec<&str> = match delimiter {
        Some(delimiter) if !delimiter.is_empty() => name.split(delimiter).collect(),
        Some(_) | None => vec![name],
    };
    // A `/` within a part must not look like the end of it.
    let parts = parts
        .into_iter()
        .map(|part| decoded(part).replace('/', "%2F"));
    parts.collect::<Vec<_>>().join("/")
}

/// Returns a string as commands have it; `None` if none can.
pub(super) fn quoted(text: &str) -> Option<String> {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    (!text.chars().any(char::is_control)).then(|| format!("\"{escaped}\""))
}

/// Returns what an answer's quoted string says; the parser leaves the backslashes in it.
pub(super) fn unquoted(text: &str) -> String {
    let (mut plain, mut chars) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = chars.next() {
        let escapes = c == '\\' && chars.as_str().starts_with(['\\', '"']);
        plain.extend(if escapes { chars.next() } else { Some(c) });
    }
    plain
}

/// Decodes modified UTF-7; what is none stays as it is.
fn decoded(name: &str) -> String {
    let (mut text, mut rest) = (String::new(), name);
    while let Some((plain, after)) = rest.split_once('&') {
        text.push_str(plain);
        let run = after.split_once('-').and_then(|(code, next)| {
            let run = if code.is_empty() {
                "&".to_owned()
            } else {
                utf16(code)?
            };
            Some((run, next))
        });
        let Some((run, next)) = run else {
            return name.to_owned();
        };
        text.push_str(&run);
        rest = next;
    }
    text + rest
}

fn utf16(code: &str) -> Option<String> {
    let bytes = BASE64.decode(code).ok()?;
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let units: Vec<u16> = pairs
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_know_them() {
        for (name, delimiter, expected) in [
            ("INBOX", Some("/"), "INBOX"),
            ("INBOX.Projects.2024", Some("."), "INBOX/Projects/2024"),
            ("a/b.c", Some("."), "a%2Fb/c"),
            ("a.b", None, "a.b"),
            ("R&AOk-union", Some("/"), "Réunion"),
            ("&ZeVnLIqe-/&2D3eAA-", Some("/"), "日本語/😀"),
            ("Q&-A", Some("/"), "Q&A"),
            // None of these is modified UTF-7.
            ("Q&A", Some("/"), "Q&A"),
            ("&!!-", Some("/"), "&!!-"),
            ("日本語", Some("/"), "日本語"),
        ] {
            assert_eq!(path(name, delimiter), expected, "{name}");
        }
    }

    #[test]
    fn strings_are_quoted_and_read_back() {
        for text in ["INBOX", "a \"b\" \\ c", "\\", ""] {
            let quoted = quoted(text).unwrap();
            assert_eq!(unquoted(&quoted[1..quoted.len() - 1]), text);
        }
        assert_eq!(quoted("a\r\nA1 DELETE b"), None);
        assert_eq!(unquoted(r"C:\temp"), r"C:\temp");
    }
}
