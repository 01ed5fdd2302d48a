//! Sentences of English and Japanese text.

use crate::chunk::split::{is_separator, lines, trim};
use crate::extract::is_cjk;
use std::ops::Range;

/// Longest quotation kept whole, in bytes; an opening bracket without a near end is no quotation.
const MAX_QUOTATION: usize = 360;

/// Returns the byte ranges of the sentences of `text`, in order, without the whitespace around them.
///
/// Line ends are borders, so list items and table rows are sentences; a table's header is one with its separator.
/// Every character that is not whitespace lies in exactly one range.
#[must_use]
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut after_row = false;
    for line in lines(text) {
        let content = &text[line.clone()];
        let is_row = content.starts_with('|') && content.ends_with('|') && content.len() > 1;
        match found.last_mut() {
            Some(header) if after_row && is_separator(content) => header.end = line.end,
            _ if is_row => found.push(line),
            _ => split_line(text, line, &mut found),
        }
        after_row = is_row;
    }
    found
}

fn split_line(text: &str, line: Range<usize>, found: &mut Vec<Range<usize>>) {
    let content = &text[line.clone()];
    let mut start = 0;
    let mut at = 0;
    while let Some(c) = content[at..].chars().next() {
        at += c.len_utf8();
        let ends = if let Some(close) = closing(c) {
            let Some(end) = quotation_end(content, at, close) else {
                continue;
            };
            at = end;
            ends_after_quotation(content, at)
        } else if is_terminator(c) {
            at = skip(content, at, is_terminator);
            let closed = skip(content, at, is_closer);
            let ends = ends_sentence(content, start, at, closed);
            at = closed;
            ends
        } else {
            false
        };
        if ends {
            push(text, line.start + start..line.start + at, found);
            start = at;
        }
    }
    push(text, line.start + start..line.end, found);
}

fn push(text: &str, range: Range<usize>, found: &mut Vec<Range<usize>>) {
    let range = trim(text, range);
    if !range.is_empty() {
        found.push(range);
    }
}

fn is_terminator(c: char) -> bool {
    matches!(
        c,
        '。' | '｡' | '．' | '.' | '!' | '?' | '！' | '？' | '…' | '‼' | '⁇'
    )
}

fn is_closer(c: char) -> bool {
    matches!(
        c,
        ')' | ']' | '}' | '"' | '\'' | '”' | '’' | '）' | '」' | '』' | '】' | '〉' | '》' | '〕'
    )
}

fn closing(c: char) -> Option<char> {
    match c {
        '「' => Some('」'),
        '『' => Some('』'),
        '【' => Some('】'),
        '《' => Some('》'),
        '〈' => Some('〉'),
        _ => None,
    }
}

/// The end of the quotation whose content begins at `at`, nested ones of the same kind included.
fn quotation_end(content: &str, at: usize, close: char) -> Option<usize> {
    let open = content[..at].chars().next_back()?;
    let mut depth = 1;
    for (offset, c) in content[at..].char_indices() {
        if offset > MAX_QUOTATION {
            return None;
        }
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at + offset + c.len_utf8());
            }
        }
    }
    None
}

/// A quotation that ends in a full stop ends the sentence unless it goes on with a particle (「…。」と言った).
fn ends_after_quotation(content: &str, at: usize) -> bool {
    let mut before = content[..at].chars().rev().skip_while(|&c| is_closer(c));
    before.next().is_some_and(is_terminator) && !goes_on(content, at)
}

fn goes_on(content: &str, at: usize) -> bool {
    let next = content[at..].chars().next();
    next.is_some_and(|c| {
        matches!(c, '\u{3041}'..='\u{309F}' | '、' | ',' | '，') || is_terminator(c) || is_closer(c)
    })
}

/// Whether what ends here is quoted within a sentence that goes on: 「…?」の, !と言った.
fn is_quoted(content: &str, at: usize, closed: usize) -> bool {
    if at < closed {
        return goes_on(content, closed);
    }
    content[at..].starts_with(['と', 'っ', '、', ','])
}

/// Whether the sentence that began at `start` ends with the terminators that end at `at` and the closers up to `closed`.
fn ends_sentence(content: &str, start: usize, at: usize, closed: usize) -> bool {
    let run = content[..at]
        .chars()
        .rev()
        .take_while(|&c| is_terminator(c))
        .count();
    let terminators: String = content[..at].chars().rev().take(run).collect();
    let before = content[..at].chars().rev().nth(run);
    let after = content[closed..].chars().next();
    let Some(after) = after else { return true };
    if terminators.contains(['。', '｡']) {
        return !is_quoted(content, at, closed);
    }
    let among_cjk = before.is_some_and(is_cjk) || is_cjk(after);
    if terminators.contains(['!', '?', '！', '？', '‼', '⁇']) {
        let continues = next_word(content, closed).starts_with(char::is_lowercase);
        return if among_cjk {
            !is_quoted(content, at, closed)
        } else {
            after.is_whitespace() && !continues
        };
    }
    if terminators.contains('．') || (before.is_some_and(is_cjk) && is_cjk(after)) {
        return before.is_some_and(is_cjk) && !goes_on(content, closed);
    }
    after.is_whitespace()
        && !continues_after_stop(
            &content[start..at],
            next_word(content, closed),
            at > 1 && run > 1,
        )
}

/// Whether a full stop before a blank is no end: an abbreviation, an initial, a list number, or a small letter follows.
fn continues_after_stop(sentence: &str, next: &str, is_ellipsis: bool) -> bool {
    if next.starts_with(char::is_lowercase) {
        return true;
    }
    if is_ellipsis {
        return false;
    }
    let body = sentence.trim_end_matches('.').trim_start();
    let word = body.rsplit(char::is_whitespace).next().unwrap_or_default();
    let is_only_word = word.len() == body.len();
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let is_number = word.chars().all(|c| c.is_ascii_digit() || c == '.');
    if is_only_word && word.len() <= 6 && is_number && !word.is_empty() {
        return true;
    }
    let lower = word.to_lowercase();
    let is_initial =
        word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    let next_is_number = next.starts_with(|c: char| c.is_ascii_digit());
    is_initial
        || TITLES.contains(&lower.as_str())
        || (NUMBERED.contains(&lower.as_str()) && next_is_number)
        || (LATIN.contains(&lower.as_str()))
}

fn next_word(content: &str, at: usize) -> &str {
    content[at..]
        .trim_start()
        .trim_start_matches(['"', '\'', '(', '[', '“', '‘'])
}

fn skip(content: &str, at: usize, matches: fn(char) -> bool) -> usize {
    let rest = &content[at..];
    at + (rest.len() - rest.trim_start_matches(matches).len())
}

/// Always followed by a name.
const TITLES: &[&str] = &[
    "dr", "mr", "mrs", "ms", "mx", "prof", "st", "messrs", "rev", "hon", "gen", "col", "capt",
    "lt", "sgt", "sen", "rep", "gov", "pres", "supt",
];

/// Abbreviations when a number follows, words otherwise.
const NUMBERED: &[&str] = &[
    "no", "nos", "fig", "figs", "sec", "art", "ch", "vol", "p", "pp", "par", "para", "eq", "eqs",
    "ref", "refs", "tab", "app", "cl", "ver", "approx", "ca", "jan", "feb", "mar", "apr", "jun",
    "jul", "aug", "sep", "sept", "oct", "nov", "dec", "al",
];

/// Never end a sentence.
const LATIN: &[&str] = &[
    "e.g", "i.e", "cf", "vs", "viz", "resp", "incl", "est", "eg", "ie",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text)
            .into_iter()
            .map(|range| &text[range])
            .collect()
    }

    #[test]
    fn english_stops_are_told_from_abbreviations_and_numbers() {
        assert_eq!(
            split(
                "Dr. Smith paid 3.5 dollars. He left (finally!). \"Why?\" she asked. See Fig. 3 for more."
            ),
            [
                "Dr. Smith paid 3.5 dollars.",
                "He left (finally!).",
                "\"Why?\" she asked.",
                "See Fig. 3 for more."
            ]
        );
        assert_eq!(
            split("Use e.g. Rust. Version 1.2.3 is out."),
            ["Use e.g. Rust.", "Version 1.2.3 is out."]
        );
        assert_eq!(
            split("J. K. Rowling wrote. Wait... Yes."),
            ["J. K. Rowling wrote.", "Wait...", "Yes."]
        );
        assert_eq!(
            split("The answer is no. We left."),
            ["The answer is no.", "We left."]
        );
        assert_eq!(
            split("See https://x.example/a?b=c. Then go!"),
            ["See https://x.example/a?b=c.", "Then go!"]
        );
    }

    #[test]
    fn japanese_sentences_end_without_blanks() {
        assert_eq!(
            split(
                "経費は月末までです。本当ですか?はい!「行きます。」と言った。彼は「はい。そうです。」帰った。"
            ),
            [
                "経費は月末までです。",
                "本当ですか?",
                "はい!",
                "「行きます。」と言った。",
                "彼は「はい。そうです。」",
                "帰った。"
            ]
        );
        assert_eq!(
            split("税率は3.5%です。Rustで書く。OK."),
            ["税率は3.5%です。", "Rustで書く。", "OK."]
        );
        assert_eq!(
            split("上限は1万円です(税込)。例外あり。"),
            ["上限は1万円です(税込)。", "例外あり。"]
        );
    }

    #[test]
    fn lines_items_and_rows_are_borders() {
        assert_eq!(
            split("1. First item\n- second\nthird."),
            ["1. First item", "- second", "third."]
        );
        assert_eq!(
            split("| a. B | c |\n| --- | --- |\n| 1. X | 2 |"),
            ["| a. B | c |\n| --- | --- |", "| 1. X | 2 |"]
        );
    }

    #[test]
    fn nothing_but_blanks_is_no_sentence() {
        assert!(split(" \n\t\n").is_empty());
        assert_eq!(split("。。。"), ["。。。"]);
    }
}
