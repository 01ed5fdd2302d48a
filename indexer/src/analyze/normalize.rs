//! NFKC and one form of each kanji, with a way back to the input's byte offsets.

use super::fold;
use std::borrow::Cow;
use std::ops::Range;
use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// A text in NFKC with folded characters that knows which bytes of the input each part came from.
pub(super) struct Normalized<'a> {
    pub(super) text: Cow<'a, str>,
    /// `(offset in text, offset in input)` of every cluster, ascending; empty if `text` is the input itself.
    origins: Vec<(usize, usize)>,
    input_len: usize,
}

impl<'a> Normalized<'a> {
    pub(super) fn new(input: &'a str) -> Self {
        let input_len = input.len();
        let unchanged = is_nfkc_quick(input.chars()) == IsNormalized::Yes;
        if unchanged && !fold::applies(input) {
            return Self {
                text: Cow::Borrowed(input),
                origins: Vec::new(),
                input_len,
            };
        }
        let mut text = String::with_capacity(input_len);
        let mut origins = Vec::new();
        let mut start = 0;
        while let Some(first) = input[start..].chars().next() {
            let rest = &input[start + first.len_utf8()..];
            let end = input_len - rest.trim_start_matches(attaches).len();
            origins.push((text.len(), start));
            // The neighbor counts as what it is going to be: half-width kana are kana.
            let after = input[end..].chars().next();
            let after = after.and_then(|c| std::iter::once(c).nfkc().next());
            for c in input[start..end].nfkc() {
                let before = text.chars().next_back();
                text.push(fold::char(c, before, after));
            }
            start = end;
        }
        Self {
            text: Cow::Owned(text),
            origins,
            input_len,
        }
    }

    /// Returns the bytes of the input that `span`, a non-empty byte range of `text`, came from.
    pub(super) fn origin(&self, span: Range<usize>) -> Range<usize> {
        if self.origins.is_empty() {
            return span;
        }
        let from = self
            .origins
            .partition_point(|&(offset, _)| offset <= span.start);
        let to = self
            .origins
            .partition_point(|&(offset, _)| offset < span.end);
        let start = from.checked_sub(1).map_or(0, |i| self.origins[i].1);
        let end = self.origins.get(to).map_or(self.input_len, |&(_, at)| at);
        start..end
    }
}

/// Returns the characters of a text in normalized form and lower case, white space as one space, none at the ends, each with
/// the bytes it came from: two texts that differ in width, case or forms of kanji only have the same.
#[must_use]
pub(crate) fn surface(text: &str) -> Vec<(char, Range<usize>)> {
    let normalized = Normalized::new(text);
    let mut signs: Vec<(char, Range<usize>)> = Vec::new();
    for (at, c) in normalized.text.char_indices() {
        let origin = normalized.origin(at..at + c.len_utf8());
        if !c.is_whitespace() {
            signs.extend(c.to_lowercase().map(|c| (c, origin.clone())));
        } else if signs.last().is_some_and(|(last, _)| *last != ' ') {
            signs.push((' ', origin));
        }
    }
    if signs.last().is_some_and(|(last, _)| *last == ' ') {
        signs.pop();
    }
    signs
}

/// Returns whether `c` may compose with the character before it: accents, (half-width) voicing marks, Hangul vowels.
fn attaches(c: char) -> bool {
    !c.is_ascii()
        && std::iter::once(c).nfkd().next().is_some_and(|c| {
            canonical_combining_class(c) != 0 || ('\u{1160}'..='\u{11FF}').contains(&c)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_spans_back_to_the_input() {
        let input = "ｶﾞｲﾄﾞ ①２３ é";
        let normalized = Normalized::new(input);
        assert_eq!(normalized.text, "ガイド 123 é");
        let span = |part: &str| {
            let start = normalized.text.find(part).unwrap();
            &input[normalized.origin(start..start + part.len())]
        };
        assert_eq!(span("ガイド"), "ｶﾞｲﾄﾞ");
        assert_eq!(span("ド"), "ﾄﾞ");
        assert_eq!(span("123"), "①２３");
        assert_eq!(span("é"), "é");
    }

    #[test]
    fn decomposed_input_equals_composed() {
        assert_eq!(Normalized::new("e\u{301}か\u{3099}").text, "éが");
        assert_eq!(Normalized::new("\u{1112}\u{1161}\u{11AB}").text, "한");
    }
}
