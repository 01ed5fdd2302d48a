//! Text as it is kept: NFKC, without invisible characters, with tidy whitespace.

use super::invisible;
use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Returns `text` as one line: NFKC, invisible characters dropped, runs of whitespace made one space.
pub(crate) fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut push = |word| {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    };
    let text = visible(text);
    if text.is_ascii() {
        text.split_ascii_whitespace().for_each(&mut push);
    } else {
        text.split_whitespace().for_each(&mut push);
    }
    out
}

/// Returns `text` with its lines and indentation kept: NFKC, tabs as four spaces, no trailing blanks, no outer empty lines.
pub(crate) fn preformatted(text: &str) -> String {
    let text = visible(text).replace('\t', "    ");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let first = lines.iter().position(|line| !line.is_empty()).unwrap_or(0);
    let last = lines
        .iter()
        .rposition(|line| !line.is_empty())
        .map_or(0, |last| last + 1);
    lines[first..last.max(first)].join("\n")
}

/// Joins the lines of one wrapped paragraph and cleans the result as [`inline`] does.
///
/// Lines that meet in Chinese or Japanese characters are joined without a space, and a Latin word that was hyphenated
/// at the line's end is made whole.
pub(crate) fn join_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for line in lines {
        let line = inline(line);
        let (Some(before), Some(after)) = (out.chars().next_back(), line.chars().next()) else {
            out.push_str(&line);
            continue;
        };
        if is_hyphenated(&out) && after.is_lowercase() {
            out.pop();
        } else if !(is_cjk(before) && is_cjk(after)) {
            out.push(' ');
        }
        out.push_str(&line);
    }
    out
}

/// Whether the character is of a script written without spaces between words (Chinese, Japanese), punctuation included.
pub(crate) fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{2E80}'..='\u{312F}' | '\u{31A0}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE4F}' | '\u{FF00}'..='\u{FFEF}' | '\u{20000}'..='\u{3FFFF}')
}

fn is_hyphenated(text: &str) -> bool {
    let mut tail = text.chars().rev();
    matches!(tail.next(), Some('-' | '\u{2010}')) && tail.next().is_some_and(char::is_lowercase)
}

/// NFKC with every kind of line end as `\n` and without characters that cannot be seen.
fn visible(text: &str) -> Cow<'_, str> {
    if text
        .bytes()
        .all(|byte| matches!(byte, b'\n' | b'\t' | b' '..=b'~'))
    {
        return Cow::Borrowed(text);
    }
    let stays = |c| !is_line_end(c) && !invisible::is_invisible(c);
    if text.chars().all(stays) && is_nfkc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n");
    let shown = invisible::strip(&text);
    let lines = shown.iter().map(|&c| if is_line_end(c) { '\n' } else { c });
    // Normalization can bring some back: U+FFA0 becomes the Hangul filler.
    let normal = lines
        .nfkc()
        .filter(|c| !matches!(c, '\u{115F}' | '\u{1160}'));
    Cow::Owned(normal.collect())
}

/// Line ends other than `\n`.
fn is_line_end(c: char) -> bool {
    matches!(
        c,
        '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_normalizes_and_drops_what_cannot_be_seen() {
        assert_eq!(
            inline("  ＡＢＣ\u{200B}１２３\u{3000}ｶﾞ\r\n\u{202E}x\u{E0041} "),
            "ABC123 ガ x"
        );
        assert_eq!(inline("\u{FEFF}\u{0}\u{7}"), "");
    }

    #[test]
    fn preformatted_keeps_lines() {
        assert_eq!(preformatted("\n\n  a\t b \r\nc\r\n\n"), "  a     b\nc");
        assert_eq!(preformatted(" \n "), "");
    }

    #[test]
    fn wrapped_lines_are_joined_by_script() {
        assert_eq!(
            join_lines(["日本語の", "文章です。", "次の文"]),
            "日本語の文章です。次の文"
        );
        assert_eq!(
            join_lines(["a hyphen-", "ated word", "Kura-", "Server"]),
            "a hyphenated word Kura- Server"
        );
        assert_eq!(join_lines(["版は", "Rust で書く"]), "版は Rust で書く");
    }
}
