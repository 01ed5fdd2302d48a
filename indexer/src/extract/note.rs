//! Notes of a text: short ones within their sentence, which they qualify, so that it is never read or cited without them.

/// Longest note that is read within its sentence.
const MAX_CHARS: usize = 60;

/// Returns a note as it stands in its sentence, if it is so short that this can still be read.
pub(super) fn within_sentence(mark: &str, note: &str) -> Option<String> {
    let note = note.trim().trim_end_matches(['.', '。']);
    let is_short = note.chars().count() <= MAX_CHARS;
    // One of several sentences would break the one around it.
    let is_phrase = !note.contains(['\n', '。']) && !note.contains(". ");
    (is_short && is_phrase && !note.is_empty()).then(|| format!(" *{mark} {note}*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_short_phrase_stands_within_a_sentence() {
        assert_eq!(
            within_sentence("1", "In thousands of yen. ").as_deref(),
            Some(" *1 In thousands of yen*")
        );
        assert_eq!(within_sentence("1", "See above. Or below."), None);
        assert_eq!(within_sentence("1", &"word ".repeat(20)), None);
        assert_eq!(within_sentence("1", " "), None);
    }
}
