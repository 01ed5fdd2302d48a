//! Follow-up questions made to stand alone, for retrieval.
//!
//! Deterministic on purpose: a small model that rewrites a question can change its meaning, and then
//! the evidence is for another question. The earlier question is put before one that leans on it.

use kura_models::{Message, Role};
use unicode_normalization::UnicodeNormalization;

/// Words that point back at something said before.
const ENGLISH_POINTERS: &[&str] = &[
    "it", "its", "that", "this", "those", "these", "they", "them", "their", "he", "she", "his",
    "her", "same", "else", "instead",
];
const ENGLISH_OPENERS: &[&str] = &[
    "and ",
    "or ",
    "but ",
    "what about",
    "how about",
    "why",
    "so ",
    "what if",
];
const JAPANESE_POINTERS: &[&str] = &[
    "それ",
    "その",
    "そこ",
    "そちら",
    "これ",
    "この",
    "ここ",
    "あれ",
    "あの",
    "ほかに",
    "他に",
    "同じ",
    "彼",
    "彼女",
    "については?",
    "の場合は?",
];
/// Elsewhere in a sentence these are particles and verb endings.
const JAPANESE_OPENERS: &[&str] = &["では", "じゃあ", "なら", "それなら"];
/// Earlier questions taken along at most.
const MAX_EARLIER: usize = 3;
/// Characters of each.
const EARLIER_CHARS: usize = 500;
/// Below this many words (or Japanese characters) a question hardly names its topic.
const SHORT_WORDS: usize = 4;
const SHORT_JAPANESE_CHARS: usize = 9;

/// Returns the question as retrieval should see it: itself, with the questions before it that it leans on.
#[must_use]
pub fn standalone(question: &str, history: &[Message]) -> String {
    let mut chain = vec![question.to_owned()];
    let earlier = history
        .iter()
        .rev()
        .filter(|message| message.role == Role::User)
        .map(|message| message.content.trim())
        .filter(|text| !text.is_empty());
    for text in earlier.take(MAX_EARLIER) {
        if !chain.last().is_some_and(|last| leans_back(last)) {
            break;
        }
        chain.push(text.chars().take(EARLIER_CHARS).collect());
    }
    chain.reverse();
    chain.join("\n")
}

fn leans_back(question: &str) -> bool {
    let folded: String = question.nfkc().collect::<String>().to_lowercase();
    if folded.chars().any(is_japanese) {
        let n_chars = folded.chars().filter(|c| c.is_alphanumeric()).count();
        return n_chars < SHORT_JAPANESE_CHARS
            || JAPANESE_OPENERS
                .iter()
                .any(|opener| folded.starts_with(opener))
            || JAPANESE_POINTERS
                .iter()
                .any(|pointer| folded.contains(pointer));
    }
    let words: Vec<&str> = folded
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .collect();
    words.len() < SHORT_WORDS
        || ENGLISH_OPENERS
            .iter()
            .any(|opener| folded.starts_with(opener))
        || words.iter().any(|word| ENGLISH_POINTERS.contains(word))
}

/// Returns whether a character is kana or a CJK ideograph.
pub(crate) fn is_japanese(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ff66}'..='\u{ff9f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(turns: &[(Role, &str)]) -> Vec<Message> {
        turns
            .iter()
            .map(|(role, content)| Message {
                role: *role,
                content: (*content).to_owned(),
            })
            .collect()
    }

    #[test]
    fn follow_ups_take_their_topic_along() {
        let turns = history(&[
            (
                Role::User,
                "How many days of parental leave do fathers get?",
            ),
            (Role::Assistant, "Twenty days [1]."),
        ]);
        let check = |question: &str, leans: bool| {
            let standalone = standalone(question, &turns);
            assert_eq!(
                standalone.contains("parental leave do fathers"),
                leans,
                "{question}"
            );
            assert!(standalone.ends_with(question));
        };
        check("And for mothers?", true);
        check("Who has to approve it?", true);
        check("What is the monthly limit for taxi expenses?", false);
        check("それは誰が承認しますか", true);
        check("申請期限は?", true);
        check("海外出張の日当はいくらですか教えてください", false);
        check("では、母親の場合は何日取れますか", true);
        check("大阪支社では何時に始業しますか", false);
        check("年末までに申請しなければならない書類は何ですか", false);
        check("Is there a dress code in the office?", false);
        assert_eq!(standalone("And for mothers?", &[]), "And for mothers?");
    }

    #[test]
    fn a_long_history_is_bounded() {
        let turns: Vec<Message> = (0..100_000)
            .map(|_| Message {
                role: Role::User,
                content: "And it? ".repeat(1000),
            })
            .collect();
        let standalone = standalone("And then it?", &turns);
        assert!(standalone.len() <= MAX_EARLIER * (EARLIER_CHARS + 1) + 12);
    }

    #[test]
    fn chains_of_follow_ups_reach_the_first_question() {
        let turns = history(&[
            (Role::User, "What does the VPN error 0x80070005 mean?"),
            (Role::Assistant, "Access is denied [1]."),
            (Role::User, "Who fixes it?"),
            (Role::Assistant, "The service desk [1]."),
        ]);
        assert!(
            standalone("And when are they open?", &turns).starts_with("What does the VPN error")
        );
    }
}
