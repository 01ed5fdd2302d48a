//! Written answers held against accepted ones: exact match, overlap and whether one stands in the other.
//!
//! After the scripts of `SQuAD` and JGLUE: case, width, punctuation and English articles do not count; overlap is counted
//! by words, and in Japanese, which has no spaces, by characters.

use crate::answer::condense::is_japanese;
use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;

/// A written answer held against the accepted ones. All from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Agreement {
    /// 1 when an accepted answer stands in the written one.
    pub contained: f64,
    /// 1 when the written answer is an accepted one.
    pub exact: f64,
    /// Harmonic mean of the shares of either's tokens that the other has, for the closest accepted answer.
    pub f1: f64,
}

impl Agreement {
    /// Compares. Without an accepted answer that has a letter or digit nothing agrees.
    #[must_use]
    pub fn of(written: &str, accepted: &[String]) -> Self {
        let mut best = Self::default();
        for answer in accepted {
            let by_character = answer.chars().any(is_japanese);
            let wanted = tokens(answer, by_character);
            if wanted.is_empty() {
                continue;
            }
            let found = tokens(written, by_character);
            let contained = found.windows(wanted.len()).any(|part| part == wanted);
            best.contained = best.contained.max(f64::from(u8::from(contained)));
            best.exact = best.exact.max(f64::from(u8::from(found == wanted)));
            best.f1 = best.f1.max(f1(&found, &wanted));
        }
        best
    }
}

fn f1(found: &[String], wanted: &[String]) -> f64 {
    let mut left: HashMap<&String, usize> = HashMap::new();
    for token in wanted {
        *left.entry(token).or_default() += 1;
    }
    let mut n_shared = 0;
    for token in found {
        if let Some(n) = left.get_mut(token).filter(|n| **n > 0) {
            *n -= 1;
            n_shared += 1;
        }
    }
    2.0 * f64::from(n_shared) / (found.len() + wanted.len()) as f64
}

/// Returns what counts of a text.
fn tokens(text: &str, by_character: bool) -> Vec<String> {
    let folded: String = text.nfkc().collect::<String>().to_lowercase();
    // 1,000 is one number, and so is 3.5.
    let signs: Vec<char> = folded.chars().collect();
    let is_digit = |at: usize| signs.get(at).is_some_and(char::is_ascii_digit);
    let mut kept = String::with_capacity(folded.len());
    for (at, c) in signs.iter().enumerate() {
        let between_digits = at > 0 && is_digit(at - 1) && is_digit(at + 1);
        match c {
            ',' if between_digits => {}
            '.' if between_digits => kept.push('.'),
            c if c.is_alphanumeric() => kept.push(*c),
            _ => kept.push(' '),
        }
    }
    if by_character {
        let signs = kept.chars().filter(|c| !c.is_whitespace());
        return signs.map(String::from).collect();
    }
    kept.split_whitespace()
        .filter(|word| !matches!(*word, "a" | "an" | "the"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(written: &str, accepted: &[&str]) -> Agreement {
        let accepted: Vec<String> = accepted.iter().map(|text| (*text).to_owned()).collect();
        Agreement::of(written, &accepted)
    }

    #[test]
    fn what_does_not_count_does_not_count() {
        let same = Agreement {
            contained: 1.0,
            exact: 1.0,
            f1: 1.0,
        };
        assert_eq!(agreement("The Eiffel Tower.", &["eiffel tower"]), same);
        assert_eq!(agreement("１，２００円", &["1200円"]), same);
        assert_eq!(agreement("「東京 都」", &["京都", "東京都"]), same);
    }

    #[test]
    fn an_answer_may_stand_in_a_sentence() {
        let found = agreement("The permit costs 45 euros a month.", &["45 euros"]);
        assert_eq!((found.contained, found.exact), (1.0, 0.0));
        // Of permit, costs, 45, euros, month two are wanted.
        assert!((found.f1 - 2.0 * 2.0 / (5.0 + 2.0)).abs() < 1e-12);
        let found = agreement("月極の利用料は5,000円です。", &["5000円"]);
        assert_eq!((found.contained, found.exact), (1.0, 0.0));
    }

    #[test]
    fn words_are_whole_and_numbers_too() {
        assert_eq!(agreement("It takes 15 days.", &["5 days"]).contained, 0.0);
        assert_eq!(agreement("Version 3.5 is out.", &["5"]).contained, 0.0);
        assert_eq!(agreement("anything", &[]), Agreement::default());
        assert_eq!(agreement("anything", &["?"]), Agreement::default());
        assert_eq!(agreement("", &["x"]).f1, 0.0);
    }
}
