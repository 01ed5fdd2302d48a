//! What the generator is told, and what is read from its reply.

use crate::answer::evidence::main_language;
use crate::answer::prompt::Language;
use kura_models::{Message, Prompt, Role, Sampling};

/// Tokens enough for a question and a short answer.
const MAX_NEW_TOKENS: usize = 128;
/// Signs around a question or an answer that do not belong to it.
const QUOTES: &[char] = &['"', '“', '”', '「', '」', '『', '』', '*', '`'];

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The question.
    pub question: String,
    /// The answer, in a few words.
    pub answer: String,
}

/// An example: title, passage, question, answer.
type Example = (&'static str, &'static str, &'static str, &'static str);

/// Returns the prompt that asks for a question about a passage, in the passage's language. Everything before the
/// passage is the same for every passage of a language, so its keys and values are reused.
#[must_use]
pub fn prompt(title: &str, passage: &str) -> Prompt {
    let language = main_language(passage);
    let message = |role, content| Message { role, content };
    let mut messages = vec![message(Role::System, system(language).to_owned())];
    for (title, passage, question, answer) in examples(language) {
        messages.push(message(Role::User, turn(language, title, passage)));
        let reply = match language {
            Language::English => format!("Question: {question}\nAnswer: {answer}"),
            Language::Japanese => format!("質問: {question}\n答え: {answer}"),
        };
        messages.push(message(Role::Assistant, reply));
    }
    messages.push(message(Role::User, turn(language, title, passage)));
    Prompt {
        messages,
        // One reply per passage, so the most probable one; chance lies in the choice of passages.
        sampling: Sampling::Greedy,
        max_new_tokens: MAX_NEW_TOKENS,
        stop: vec!["\n\n".to_owned()],
    }
}

/// Reads a question and an answer from a reply; `None` when either is missing.
#[must_use]
pub fn parse(reply: &str) -> Option<Draft> {
    let question = field(reply, &["question", "質問", "q"])?;
    let answer = field(reply, &["answer", "答え", "回答", "a"])?;
    Some(Draft { question, answer })
}

fn system(language: Language) -> &'static str {
    match language {
        Language::English => {
            "You write questions for testing a search engine over company documents. \
             Read the passage and write one question that it answers, as a colleague would ask who has never seen it: \
             name what the question is about, use other words than the passage, and do not mention the passage. \
             Then write the answer: a few words copied exactly from the passage. \
             Use the language of the passage."
        }
        Language::Japanese => {
            "あなたは社内文書の検索を試すための質問を作ります。\
             抜粋を読み、それが答えになる質問を一つ、日本語で書いてください。抜粋を見たことのない同僚が尋ねるように、\
             何についての質問かを具体的に示し、抜粋とは違う言葉を使い、抜粋や本文には触れないでください。\
             続けて答えを書いてください。答えは抜粋からそのまま写した短い語句にしてください。"
        }
    }
}

fn examples(language: Language) -> [Example; 2] {
    match language {
        Language::English => [
            (
                "Getting to the office",
                "The garage of the Hamburg office opens at 6:30. A monthly permit costs 45 euros and is requested from \
                 facility management.",
                "How much do I pay to park my car at work in Hamburg?",
                "45 euros",
            ),
            (
                "Visitor rules",
                "Guests sign in at the front desk and wear a badge. Whoever invited them collects them and stays with \
                 them until they leave the building.",
                "Who has to accompany an external visitor during the visit?",
                "Whoever invited them",
            ),
        ],
        Language::Japanese => [
            (
                "通勤の案内",
                "大阪支店の車庫は6時30分に開く。月極の利用料は5,000円で、総務部に申し込む。",
                "大阪で毎月車を停めるにはいくらかかりますか。",
                "5,000円",
            ),
            (
                "来訪者の受け入れ",
                "来訪者は受付で記名し、名札を着用する。招いた者が迎えに行き、退館まで同行する。",
                "外部のお客様には誰が付き添う必要がありますか。",
                "招いた者",
            ),
        ],
    }
}

fn turn(language: Language, title: &str, passage: &str) -> String {
    match language {
        Language::English => {
            format!(
                "Document: {title}\nPassage:\n{passage}\n\nWrite a question about this passage and a short answer."
            )
        }
        Language::Japanese => {
            format!(
                "文書: {title}\n抜粋:\n{passage}\n\nこの抜粋についての質問と短い答えを書いてください。"
            )
        }
    }
}

/// Returns what follows one of the names and a colon at the start of a line.
fn field(reply: &str, names: &[&str]) -> Option<String> {
    let value = reply.lines().find_map(|line| {
        let line = line.trim_start_matches(|c: char| !c.is_alphanumeric());
        let (name, value) = line.split_once([':', '：'])?;
        let name = name.trim_matches(|c: char| !c.is_alphanumeric());
        names
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
            .then_some(value)
    })?;
    let value = value
        .trim()
        .trim_matches(|c: char| QUOTES.contains(&c) || c.is_whitespace());
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(question: &str, answer: &str) -> Option<Draft> {
        Some(Draft {
            question: question.to_owned(),
            answer: answer.to_owned(),
        })
    }

    #[test]
    fn replies_are_read_as_small_models_write_them() {
        for reply in [
            "Question: What does it cost?\nAnswer: 45 euros",
            "**Question:** What does it cost?\n**Answer:** \"45 euros\"",
            "Sure!\nquestion : What does it cost?\nANSWER: 45 euros\nWhy: it says so",
            "Q: What does it cost?\nA: 45 euros",
        ] {
            assert_eq!(
                parse(reply),
                draft("What does it cost?", "45 euros"),
                "{reply}"
            );
        }
        assert_eq!(
            parse("質問：料金はいくらですか。\n答え：「5,000円」"),
            draft("料金はいくらですか。", "5,000円")
        );
        for reply in [
            "",
            "What does it cost? 45 euros",
            "Question: What does it cost?",
            "Question:\nAnswer: 45",
        ] {
            assert_eq!(parse(reply), None, "{reply}");
        }
    }

    #[test]
    fn the_language_is_that_of_the_passage() {
        let of = |passage: &str| prompt("t", passage).messages[0].content.clone();
        assert_eq!(
            of("VPNのエラー 0x80070005 の直し方"),
            system(Language::Japanese)
        );
        assert_eq!(
            of("The word 有給 means paid leave."),
            system(Language::English)
        );
    }

    #[test]
    fn the_examples_pass_the_checks() {
        for language in [Language::English, Language::Japanese] {
            for (title, passage, question, answer) in examples(language) {
                let draft = draft(question, answer).unwrap();
                assert_eq!(
                    super::super::check::check(&draft, title, passage, 0.6),
                    Ok(())
                );
            }
        }
    }
}
