//! Parts of runs that are written with Latin letters, digits and connectors.

/// A word with more is encoded data, not language.
const MAX_HUMPS: usize = 8;

/// Splits a run at `/`, `\`, `:` and `@`: the parts of a path, an address or a qualified name.
pub(super) fn segments(run: &str) -> Vec<(usize, &str)> {
    pieces(run, |c| matches!(c, '/' | '\\' | ':' | '@'))
}

/// Splits at all other connectors and `_`, but not at apostrophes, which belong to the word (`don't`).
pub(super) fn parts(segment: &str) -> Vec<(usize, &str)> {
    pieces(segment, |c| {
        c == '_' || (super::is_connector(c) && !matches!(c, '\'' | '\u{2019}'))
    })
}

fn pieces(text: &str, is_border: impl Fn(char) -> bool) -> Vec<(usize, &str)> {
    text.split(is_border)
        .filter(|part| !part.is_empty())
        .map(|part| (part.as_ptr() as usize - text.as_ptr() as usize, part))
        .collect()
}

/// Splits `fooBar`, `HTTPServer` and `ISO27001` where letters change case or meet digits, so that every piece has
/// two characters; a word that is written as one is one piece.
pub(super) fn humps(part: &str) -> Vec<(usize, &str)> {
    if !part.is_ascii() {
        return vec![(0, part)];
    }
    let bytes = part.as_bytes();
    let class = |at: usize| match bytes.get(at) {
        Some(b'A'..=b'Z') => 'A',
        Some(b'a'..=b'z') => 'a',
        Some(b'0'..=b'9') => '0',
        Some(_) | None => ' ',
    };
    let is_border = |at: usize| match (class(at - 1), class(at)) {
        ('0', 'a' | 'A') => !matches!(&part[at..], "st" | "nd" | "rd" | "th"),
        ('a', 'A') | ('a' | 'A', '0') => true,
        // The last capital belongs to what follows (`HTTP|Server`); `s` alone makes a plural (`VPNs`).
        ('A', 'A') => class(at + 1) == 'a' && class(at + 2) == 'a',
        _ => false,
    };
    let mut borders = vec![0];
    for at in 1..part.len() {
        let start = borders.last().copied().unwrap_or(0);
        if is_border(at) && at - start >= 2 && part.len() - at >= 2 {
            borders.push(at);
        }
    }
    if borders.len() > MAX_HUMPS {
        return vec![(0, part)];
    }
    let ends = borders.iter().skip(1).copied().chain([part.len()]);
    borders
        .iter()
        .zip(ends)
        .map(|(&start, end)| (start, &part[start..end]))
        .collect()
}

/// Returns a compound without its hyphens or underscores, if that is a usual spelling of it: `AB-1234` is also
/// written AB1234, `e-mail` also email.
pub(super) fn joined(segment: &str, parts: &[(usize, &str)]) -> Option<String> {
    let hyphen = |c: char| matches!(c, '-' | '_' | '\u{2010}' | '\u{2011}');
    let all_hyphens = segment.chars().all(|c| c.is_alphanumeric() || hyphen(c));
    let has_letter = segment.chars().any(char::is_alphabetic);
    let is_code = segment.chars().any(|c| c.is_ascii_digit());
    (all_hyphens && has_letter && parts.len() >= 2 && (is_code || parts.len() == 2))
        .then(|| segment.chars().filter(|&c| !hyphen(c)).collect())
}

/// Returns the number of a version written with a `v`: `v2.3.1`.
pub(super) fn version(segment: &str) -> Option<&str> {
    let number = segment.strip_prefix(['v', 'V'])?;
    let dotted = number.contains('.')
        && number
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    dotted.then_some(number)
}

/// Returns `1,234,567.8` as `1234567.8`; anything else is `None`.
pub(super) fn ungrouped(run: &str) -> Option<String> {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = match run.split_once('.') {
        Some((whole, fraction)) if is_digits(fraction) => (whole, Some(fraction)),
        Some(_) => return None,
        None => (run, None),
    };
    let (first, groups) = whole.split_once(',')?;
    let grouped = is_digits(first)
        && first.len() <= 3
        && groups
            .split(',')
            .all(|group| group.len() == 3 && is_digits(group));
    let digits = whole.replace(',', "");
    grouped.then(|| fraction.map_or(digits.clone(), |fraction| format!("{digits}.{fraction}")))
}

/// Returns the sign that belongs to the name before it: `C++`, `C#`.
pub(super) fn suffix(run: &str, after: &str) -> Option<&'static str> {
    let name_len = run
        .bytes()
        .rev()
        .take_while(u8::is_ascii_alphabetic)
        .count();
    if !(1..=2).contains(&name_len) {
        return None;
    }
    ["++", "#"].into_iter().find(|sign| after.starts_with(sign))
}
