//! What makes a written question worth asking.

use super::prompt::Draft;
use crate::answer::evidence::main_language;
use crate::answer::prompt::Language;
use kura_indexer::analyze::analyze;
use kura_indexer::sentences;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use unicode_normalization::UnicodeNormalization as _;

/// A question with fewer words names nothing.
const MIN_QUESTION_WORDS: usize = 3;
/// A longer one is not asked by people.
const MAX_QUESTION_CHARS: usize = 200;
/// A longer answer is no short answer.
const MAX_ANSWER_CHARS: usize = 100;

/// A shorter run of words in common is what a thing is called, not a copied sentence.
const MIN_COPIED_WORDS: usize = 7;

/// English words that only someone uses who has a text before them.
const ENGLISH_REFERENCES: &[&str] = &[
    "the passage",
    "this passage",
    "the text",
    "this text",
    "the document",
    "this document",
    "the excerpt",
    "this excerpt",
    "the article",
    "this article",
    "the paragraph",
    "this paragraph",
    "the above",
    "mentioned above",
    "described above",
    "given text",
    "the author",
    "according to the",
];
/// The same in Japanese. What begins with `この` or `その` points at something that is not there.
const JAPANESE_REFERENCES: &[&str] = &[
    "本文",
    "文中",
    "文章",
    "抜粋",
    "上記",
    "前述",
    "下記",
    "筆者",
    "本書",
    "本資料",
    "この",
    "その",
    "これ",
    "それ",
];

/// Why a question was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The reply has no question, no answer, or one of a useless length.
    Malformed,
    /// The question is not in the passage's language.
    WrongLanguage,
    /// The question speaks of the text it was made of.
    RefersToPassage,
    /// The question has a name or a figure that neither the passage nor its document's title has.
    Invented,
    /// The answer does not stand in the passage.
    AnswerNotInPassage,
    /// The question gives the answer away.
    AnswerInQuestion,
    /// Too much of the question stands in the passage word by word.
    CopiesPassage,
    /// The question is there already.
    Repeated,
    /// The question does not find its document among the first ones.
    NotFoundAgain,
}

impl Reason {
    /// Returns the reason for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Malformed => "no question with a short answer was written",
            Self::WrongLanguage => "not in the passage's language",
            Self::RefersToPassage => "speaks of the passage",
            Self::Invented => "names something that is not there",
            Self::AnswerNotInPassage => "the answer is not in the passage",
            Self::AnswerInQuestion => "the question has the answer in it",
            Self::CopiesPassage => "copies the passage",
            Self::Repeated => "asked already",
            Self::NotFoundAgain => "does not find its document",
        }
    }
}

/// Checks a question and its answer against their passage and the title of its document. `max_overlap` is the most of
/// the question, 0 to 1, that may stand in the passage word by word.
///
/// # Errors
/// The first reason to refuse it.
pub fn check(draft: &Draft, title: &str, passage: &str, max_overlap: f32) -> Result<(), Reason> {
    let Draft { question, answer } = draft;
    let refuse = |refused: bool, reason| if refused { Err(reason) } else { Ok(()) };
    refuse(!is_usable(question, answer), Reason::Malformed)?;
    let language = main_language(passage);
    refuse(main_language(question) != language, Reason::WrongLanguage)?;
    refuse(refers(question, language), Reason::RefersToPassage)?;
    let known = format!("{title}\n{passage}");
    refuse(invents(question, &known), Reason::Invented)?;
    refuse(!stands_in(answer, passage), Reason::AnswerNotInPassage)?;
    refuse(
        squeeze(question).contains(&squeeze(answer)),
        Reason::AnswerInQuestion,
    )?;
    refuse(
        copies(question, passage, max_overlap),
        Reason::CopiesPassage,
    )
}

/// Returns a text in one form: NFKC, lower case, without spaces and signs.
pub(super) fn squeeze(text: &str) -> String {
    text.nfkc()
        .flat_map(char::to_lowercase)
        .filter(|c| c.is_alphanumeric())
        .collect()
}

fn is_usable(question: &str, answer: &str) -> bool {
    let length = question.chars().count();
    length <= MAX_QUESTION_CHARS
        && words(question).len() >= MIN_QUESTION_WORDS
        && answer.chars().count() <= MAX_ANSWER_CHARS
        && !squeeze(answer).is_empty()
}

fn refers(question: &str, language: Language) -> bool {
    match language {
        Language::English => {
            let spaced: Vec<String> = question
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(str::to_lowercase)
                .collect();
            let spaced = format!(" {} ", spaced.join(" "));
            ENGLISH_REFERENCES
                .iter()
                .any(|words| spaced.contains(&format!(" {words} ")))
        }
        Language::Japanese => JAPANESE_REFERENCES
            .iter()
            .any(|words| question.contains(words)),
    }
}

/// Returns whether a question has a figure, or a word with a capital inside the sentence, that a text does not have.
fn invents(question: &str, known: &str) -> bool {
    let there: HashSet<String> = words(known).into_iter().collect();
    analyze(question).words.iter().any(|term| {
        let written = &question[term.span.clone()];
        let is_name = term.span.start > 0 && written.starts_with(char::is_uppercase);
        (is_name || written.chars().any(char::is_numeric))
            && !term.stop
            && !there.contains(&term.text)
    })
}

/// Returns whether a passage says an answer: letter by letter, with its figures as figures of their own, or with all
/// its words in one sentence.
fn stands_in(answer: &str, passage: &str) -> bool {
    let wanted = words(answer);
    let has_all = |text: &str, only_figures: bool| {
        let there: HashSet<String> = words(text).into_iter().collect();
        wanted
            .iter()
            .filter(|word| !only_figures || word.chars().any(char::is_numeric))
            .all(|word| there.contains(word))
    };
    if squeeze(passage).contains(&squeeze(answer)) && has_all(passage, true) {
        return true;
    }
    !wanted.is_empty()
        && sentences(passage)
            .into_iter()
            .any(|span| has_all(&passage[span], false))
}

/// Returns whether too much of a question is one run of words from the passage.
fn copies(question: &str, passage: &str, max_overlap: f32) -> bool {
    let (question, passage) = (words(question), words(passage));
    let n_copied = longest_run(&question, &passage);
    n_copied >= MIN_COPIED_WORDS && n_copied as f32 > max_overlap * question.len() as f32
}

/// Returns the number of words in the longest run that two texts have in common.
fn longest_run(question: &[String], passage: &[String]) -> usize {
    let mut longest = 0;
    // Length of the common run that ends at each word of the passage and the current word of the question.
    let mut runs = vec![0_usize; passage.len() + 1];
    for word in question {
        for at in (0..passage.len()).rev() {
            runs[at + 1] = if passage[at] == *word {
                runs[at] + 1
            } else {
                0
            };
            longest = longest.max(runs[at + 1]);
        }
    }
    longest
}

fn words(text: &str) -> Vec<String> {
    let terms = analyze(text).words;
    terms.into_iter().map(|term| term.text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAVE: &str = "Every employee gets twenty days of paid leave in a year. Leave that is not taken by 31 March \
        is lost, unless the team lead agreed in writing.";
    const KYUKA: &str = "年次有給休暇は、入社から6か月が経過した従業員に10日付与される。取得しようとする者は、3営業日前までに勤怠システムから申請する。";

    fn checked(question: &str, answer: &str, passage: &str) -> Result<(), Reason> {
        let draft = Draft {
            question: question.to_owned(),
            answer: answer.to_owned(),
        };
        check(&draft, "Vacation", passage, 0.6)
    }

    #[test]
    fn good_questions_pass() {
        for (question, answer, passage) in [
            (
                "How much vacation do I have per year?",
                "twenty days",
                LEAVE,
            ),
            (
                "Until when can unused holidays be carried over?",
                "31 March",
                LEAVE,
            ),
            (
                "Who may allow holidays to be kept for longer?",
                "The team lead",
                LEAVE,
            ),
            ("新入社員は有休を何日もらえますか。", "10日", KYUKA),
            (
                "休みを取りたいときの申請の期限はいつですか。",
                "３営業日前まで",
                KYUKA,
            ),
        ] {
            assert_eq!(checked(question, answer, passage), Ok(()), "{question}");
        }
    }

    #[test]
    fn each_fault_has_its_reason() {
        use Reason as R;
        for (question, answer, passage, reason) in [
            ("Why?", "twenty days", LEAVE, R::Malformed),
            ("How many holidays are there?", "。", LEAVE, R::Malformed),
            (
                "How many holidays are there?",
                &LEAVE[..110],
                LEAVE,
                R::Malformed,
            ),
            (
                "有給休暇は年に何日ですか。",
                "twenty days",
                LEAVE,
                R::WrongLanguage,
            ),
            (
                "How many days of leave do newcomers get?",
                "10日",
                KYUKA,
                R::WrongLanguage,
            ),
            (
                "How much leave does the passage grant?",
                "twenty days",
                LEAVE,
                R::RefersToPassage,
            ),
            (
                "According to the handbook, how much leave is there?",
                "twenty days",
                LEAVE,
                R::RefersToPassage,
            ),
            (
                "本文によると有休は何日ですか。",
                "10日",
                KYUKA,
                R::RefersToPassage,
            ),
            (
                "この制度では休みは何日ですか。",
                "10日",
                KYUKA,
                R::RefersToPassage,
            ),
            (
                "How much vacation is there in Hamburg?",
                "twenty days",
                LEAVE,
                R::Invented,
            ),
            (
                "勤続25年の人は有休を何日もらえますか。",
                "10日",
                KYUKA,
                R::Invented,
            ),
            (
                "How much vacation do I have per year?",
                "thirty days",
                LEAVE,
                R::AnswerNotInPassage,
            ),
            // `1` is part of a number here, not a number.
            (
                "How many weeks of vacation are there?",
                "1",
                LEAVE,
                R::AnswerNotInPassage,
            ),
            (
                "新入社員は有休を何日もらえますか。",
                "0日",
                KYUKA,
                R::AnswerNotInPassage,
            ),
            (
                "Are twenty days all the vacation there is?",
                "twenty days",
                LEAVE,
                R::AnswerInQuestion,
            ),
            (
                "How many days of paid leave in a year are there?",
                "twenty",
                LEAVE,
                R::CopiesPassage,
            ),
            (
                "年次有給休暇は入社から6か月が経過した従業員に何日付与されるか。",
                "10日",
                KYUKA,
                R::CopiesPassage,
            ),
        ] {
            assert_eq!(
                checked(question, answer, passage),
                Err(reason),
                "{question}"
            );
        }
    }

    #[test]
    fn a_copy_is_a_long_run_and_not_single_words() {
        let run = |question: &str| longest_run(&words(question), &words(LEAVE));
        assert_eq!(run("twenty days of paid leave"), 5);
        assert_eq!(run("leave paid of days twenty"), 1);
        assert_eq!(run("Why?"), 0);
        let copied = "When is it that Leave not taken by 31 March is lost?";
        assert!(copies(copied, "leave not taken by 31 March is lost", 0.6));
        assert!(!copies(copied, "leave not taken by 31 March is lost", 0.8));
        // So short a run is a name, even if it is all there is.
        assert!(!copies("twenty days of paid leave", LEAVE, 0.6));
    }
}
