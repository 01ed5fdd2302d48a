//! Follow-up questions made to stand alone, for retrieval.
//!
//! Deterministic on purpose: a small model that rewrites a question can change its meaning, and then
//! the evidence is for another question. The earlier question is put before one that leans on it.

use kura_models::{Message, Role};
use unicode_normalization::UnicodeNormalization;

/// Words that point back at something said before.
const ENGLISH_POINTERS: &[&str] = &[
    "it", "its", "that", "this", "those", "these", "they", "them", "their", "he", "she", "his",
    "her", "there", "then", "one", "ones", "same", "also", "else", "instead",
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
    "では",
    "じゃあ",
    "なら",
    "ほかに",
    "他に",
    "同じ",
    "彼",
    "彼女",
    "については?",
    "の場合は?",
];
/// Below this many words (or Japanese characters) a question hardly names its topic.
const SHORT_WORDS: usize = 4;
const SHORT_JAPANESE_CHARS: usize = 9;

/// Returns the question as retrieval should see it: itself, or the previous question and itself.
#[must_use]
pub fn standalone(question: &str, history: &[Message]) -> String {
    let previous = history
        .iter()
        .rev()
        .find(|message| message.role == Role::User);
    match previous {
        Some(previous) if leans_back(question) => {
            // The previous question may itself have leaned on the one before.
            let at = history
                .iter()
                .rposition(|message| std::ptr::eq(message, previous))
                .unwrap_or(0);
            format!(
                "{}\n{question}",
                standalone(previous.content.trim(), &history[..at])
            )
        }
        Some(_) | None => question.to_owned(),
    }
}

fn leans_back(question: &str) -> bool {
    let folded: String = question.nfkc().collect::<String>().to_lowercase();
    if folded.chars().any(is_japanese) {
        let n_chars = folded.chars().filter(|c| c.is_alphanumeric()).count();
        return n_chars < SHORT_JAPANESE_CHARS
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
pub(super) fn is_japanese(c: char) -> bool {
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
        assert_eq!(standalone("And for mothers?", &[]), "And for mothers?");
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
