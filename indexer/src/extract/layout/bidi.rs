//! Text of scripts that run from right to left: from the order one sees to the order one reads.

/// Whether most letters are of a script that runs from right to left (Hebrew, Arabic and their presentation forms).
pub(super) fn is_right_to_left(text: &str) -> bool {
    let (mut n_right_to_left, mut n_letters) = (0, 0);
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        n_letters += 1;
        n_right_to_left += usize::from(runs_left(c));
    }
    n_right_to_left * 2 > n_letters
}

fn runs_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFE}' | '\u{10800}'..='\u{10FFF}' | '\u{1E800}'..='\u{1EFFF}')
        && !is_digit(c)
}

/// Digits run to the right in every script.
fn is_digit(c: char) -> bool {
    matches!(c, '0'..='9' | '\u{660}'..='\u{669}' | '\u{6F0}'..='\u{6F9}')
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    Left,
    Right,
    Neutral,
}

/// Returns parts that one sees from left to right in the order in which they are read: the line is reversed, numbers
/// and words of other scripts are not. A part is what one glyph stands for and stays as it is.
pub(super) fn logical(parts: &[&str]) -> String {
    let mut kinds: Vec<Run> = parts.iter().map(|part| kind(part)).collect();
    // What stands between parts that run to the right goes with them: "3.14", "Kura Server".
    let rights: Vec<usize> = (0..kinds.len())
        .filter(|&at| kinds[at] == Run::Right)
        .collect();
    for pair in rights.windows(2) {
        if kinds[pair[0]..=pair[1]]
            .iter()
            .all(|kind| *kind != Run::Left)
        {
            kinds[pair[0]..=pair[1]].fill(Run::Right);
        }
    }
    let mut out = String::new();
    let mut end = parts.len();
    while end > 0 {
        let mut start = end - 1;
        if kinds[start] == Run::Right {
            while start > 0 && kinds[start - 1] == Run::Right {
                start -= 1;
            }
        }
        for part in &parts[start..end] {
            out.extend(part.chars().map(|c| {
                if kinds[start] == Run::Right {
                    c
                } else {
                    mirrored(c)
                }
            }));
        }
        end = start;
    }
    out
}

fn kind(part: &str) -> Run {
    if part.chars().any(runs_left) {
        Run::Left
    } else if part.chars().any(char::is_alphanumeric) {
        Run::Right
    } else {
        Run::Neutral
    }
}

/// Brackets are drawn mirrored.
fn mirrored(c: char) -> char {
    match c {
        '(' => ')',
        ')' => '(',
        '[' => ']',
        ']' => '[',
        '{' => '}',
        '}' => '{',
        '<' => '>',
        '>' => '<',
        '«' => '»',
        '»' => '«',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_foreign_words_keep_their_order() {
        let seen = [
            "3", ".", "1", " ", "K", "u", "r", "a", " ", "(", "ג", "ב", "א", ")",
        ];
        assert_eq!(logical(&seen), "(אבג) 3.1 Kura");
    }

    #[test]
    fn a_glyph_of_several_letters_stays_as_it_is() {
        assert_eq!(logical(&["م", "لا", "س"]), "سلام");
    }

    #[test]
    fn scripts_are_told_apart() {
        assert!(is_right_to_left("سلام 12 ok"));
        assert!(!is_right_to_left("hello 12 אב"));
        assert!(!is_right_to_left("2024"));
    }
}
