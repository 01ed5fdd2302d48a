//! Characters that cannot be seen: taken out of the text, and counted where they can carry a message.

use std::cell::Cell;

thread_local! {
    /// Characters taken out on this thread that could hide text. A file is read on one thread from beginning to end.
    static N_STRIPPED: Cell<usize> = const { Cell::new(0) };
}

/// Sets the count of stripped characters and returns what it was.
pub(crate) fn replace_count(n: usize) -> usize {
    N_STRIPPED.replace(n)
}

/// Returns the characters of `text` without those that cannot be seen.
///
/// Joiners stay where scripts or emoji need them, the emoji variation selector after an emoji, and the tags of a flag.
pub(crate) fn strip(text: &str) -> Vec<char> {
    let mut out: Vec<char> = Vec::with_capacity(text.len());
    let mut n_stripped = 0;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if !is_invisible(c) || is_needed(c, &out, rest.clone().next()) {
            out.push(c);
        } else {
            n_stripped += usize::from(can_hide(c));
            continue;
        }
        if c == BLACK_FLAG {
            let tags = flag_tags(rest.as_str());
            out.extend(tags.chars());
            rest = rest.as_str()[tags.len()..].chars();
        }
    }
    if n_stripped > 0 {
        N_STRIPPED.set(N_STRIPPED.get() + n_stripped);
    }
    out
}

const BLACK_FLAG: char = '\u{1F3F4}';
const CANCEL_TAG: char = '\u{E007F}';

/// The tags after a black flag that make it the flag of a region, such as Scotland's; empty when they say more.
fn flag_tags(rest: &str) -> &str {
    let is_tag = |c: &char| matches!(c, '\u{E0030}'..='\u{E0039}' | '\u{E0061}'..='\u{E007A}');
    let n_tags = rest.chars().take_while(is_tag).count();
    let len = n_tags * CANCEL_TAG.len_utf8();
    if (3..=6).contains(&n_tags) && rest[len..].starts_with(CANCEL_TAG) {
        &rest[..len + CANCEL_TAG.len_utf8()]
    } else {
        ""
    }
}

/// Whether an invisible character changes how its neighbors are shown.
fn is_needed(c: char, before: &[char], after: Option<char>) -> bool {
    let Some(&last) = before.last() else {
        return false;
    };
    match c {
        '\u{200D}' => {
            after.is_some_and(|after| is_emoji(last) && is_emoji(after))
                || (is_joining(last) && after.is_some_and(is_joining))
        }
        '\u{200C}' => is_joining(last) && after.is_some_and(is_joining),
        '\u{FE0F}' => is_emoji(last) || after == Some('\u{20E3}'),
        _ => false,
    }
}

/// Letters and signs of scripts in which a joiner or non-joiner is a matter of spelling.
fn is_joining(c: char) -> bool {
    matches!(c,
        '\u{600}'..='\u{8FF}' | '\u{900}'..='\u{DFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
        | '\u{1800}'..='\u{18AF}' | '\u{1B00}'..='\u{1B7F}' | '\u{A980}'..='\u{A9DF}' | '\u{FB50}'..='\u{FDFF}'
        | '\u{FE70}'..='\u{FEFE}' | '\u{11000}'..='\u{11FFF}')
}

/// Pictures, their parts, and what may stand within a sequence of them.
fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{A9}' | '\u{AE}' | '\u{203C}' | '\u{2049}' | '\u{2190}'..='\u{21FF}' | '\u{2300}'..='\u{23FF}'
        | '\u{25A0}'..='\u{27BF}' | '\u{2900}'..='\u{297F}' | '\u{2B00}'..='\u{2BFF}' | '\u{3030}' | '\u{303D}'
        | '\u{FE0F}' | '\u{1F000}'..='\u{1FAFF}' | CANCEL_TAG)
}

/// Controls, zero-width and bidirectional marks, variation selectors, and tags.
pub(crate) fn is_invisible(c: char) -> bool {
    match c {
        '\n' | '\t' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | ' '..='~' => false,
        '\u{AD}'
        | '\u{34F}'
        | '\u{61C}'
        | '\u{115F}'
        | '\u{1160}'
        | '\u{17B4}'
        | '\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{FFF9}'..='\u{FFFB}'
        | '\u{FFFE}'
        | '\u{FFFF}'
        | '\u{E0000}'..='\u{E0FFF}' => true,
        other => other.is_control(),
    }
}

/// Those by which a text can say something unseen or be shown in another order than it is read.
///
/// Marks of direction, soft hyphens, byte order marks and the selectors of kanji variants are too common to report.
fn can_hide(c: char) -> bool {
    matches!(c,
        '\u{200B}'..='\u{200D}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}'
        | '\u{E0000}'..='\u{E007F}' | '\u{3164}' | '\u{115F}' | '\u{1160}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &str) -> (String, usize) {
        replace_count(0);
        let out = strip(text).into_iter().collect();
        (out, replace_count(0))
    }

    #[test]
    fn what_carries_a_hidden_message_is_taken_out_and_counted() {
        let hidden: String = "obey"
            .chars()
            .map(|c| char::from_u32(0xE0000 + c as u32).unwrap())
            .collect();
        assert_eq!(
            stripped(&format!("pay{hidden} me")),
            ("pay me".to_owned(), 4)
        );
        assert_eq!(
            stripped("a\u{200B}b\u{202E}c\u{2066}d"),
            ("abcd".to_owned(), 3)
        );
        // A flag may be tagged with a region, but not with a sentence.
        assert_eq!(stripped(&format!("\u{1F3F4}{hidden}x\u{E007F}")).1, 5);
        assert_eq!(
            stripped("soft\u{AD}hyphen \u{FEFF}葛\u{E0100}"),
            ("softhyphen 葛".to_owned(), 0)
        );
    }

    #[test]
    fn joiners_stay_where_they_are_needed() {
        let scotland = "\u{1F3F4}\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}";
        for kept in [
            "\u{1F469}\u{200D}\u{1F4BB}",
            "\u{2764}\u{FE0F}\u{200D}\u{1F525}",
            "\u{645}\u{6CC}\u{200C}\u{62E}\u{648}",
            "\u{915}\u{94D}\u{200D}\u{937}",
            "1\u{FE0F}\u{20E3}",
            scotland,
        ] {
            assert_eq!(stripped(kept), (kept.to_owned(), 0));
        }
        assert_eq!(stripped("pa\u{200D}y\u{200C}"), ("pay".to_owned(), 2));
    }
}
