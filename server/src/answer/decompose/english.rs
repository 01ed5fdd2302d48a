//! The forms of English questions.

/// Words that open a question.
const WH: &[&str] = &[
    "what", "when", "where", "who", "whom", "whose", "which", "why", "how",
];
/// Verbs that stand before the subject in a question.
const AUXILIARIES: &[&str] = &[
    "is", "are", "was", "were", "do", "does", "did", "can", "could", "should", "must", "will",
    "would", "may", "might", "has", "have", "had", "am", "isn't", "aren't", "don't", "doesn't",
    "can't", "'s", "what's", "who's", "where's", "when's", "how's",
];
/// Subjects that only a question has after such a verb.
const SUBJECTS: &[&str] = &[
    "i",
    "we",
    "you",
    "he",
    "she",
    "it",
    "they",
    "there",
    "anyone",
    "someone",
    "employees",
    "my",
    "our",
    "your",
    "everyone",
    "staff",
];
const PREPOSITIONS: &[&str] = &[
    "by", "to", "for", "at", "in", "on", "from", "until", "till", "with", "of", "since", "within",
    "about", "during", "under", "after", "before",
];
/// Openings after which a question may stand as a statement: "tell me who it is".
const REQUESTS: &[&str] = &[
    "tell me",
    "please tell",
    "can you tell",
    "could you tell",
    "explain",
    "please explain",
    "describe",
    "i want to know",
    "i would like to know",
    "i'd like to know",
    "i need to know",
    "let me know",
    "show me",
    "compare",
    "please compare",
    "list",
    "do you know",
];
/// Words that stand for something said before.
const POINTERS: &[&str] = &[
    "it", "its", "they", "them", "their", "he", "she", "his", "him", "her", "these", "those",
];
/// Words that only ask.
pub(super) const ASKING: &[&str] = &[
    "what", "when", "where", "who", "whom", "whose", "which", "why", "how", "mani", "many", "much",
    "long", "tell", "me", "pleas", "explain", "compar",
];

/// Words before "versus" at most; of a longer stretch it is not plain what is compared.
const MAX_SIDE: usize = 5;

struct Word<'t> {
    /// In lower case, save for names such as "WHO" and "IT".
    text: String,
    /// Where it begins.
    start: usize,
    /// Where it ends.
    end: usize,
    /// What stands between the word before and this one.
    before: &'t str,
}

/// Whether a sentence asks for something.
pub(super) fn asks(sentence: &str) -> bool {
    let words = words(sentence);
    let opening = words.first().map_or("", |word| word.text.as_str());
    let opens = WH.contains(&opening) || AUXILIARIES.contains(&opening);
    // A full stop ends a statement, or an abbreviation that was taken for an end.
    sentence.ends_with('?') || is_request(sentence) || (opens && !sentence.ends_with('.'))
}

/// Whether a part has a word that stands for something said before.
pub(super) fn leans(part: &str) -> bool {
    words(part)
        .iter()
        .any(|word| POINTERS.contains(&word.text.as_str()))
}

/// Cuts a sentence where another question begins: after "and" or a comma, with what comes before a question, too.
pub(super) fn clauses(sentence: &str) -> Vec<String> {
    let words = words(sentence);
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let mut found = Vec::new();
    let mut from = usize::from(matches!(
        texts.first(),
        Some(&("and" | "also" | "but" | "so"))
    ));
    let mut at = from + 1;
    let request = is_request(sentence);
    while at < words.len() {
        let comma = words[at].before.contains([',', ';']);
        let joiner = match texts[at..] {
            ["as", "well", "as", ..] => 3,
            ["and", "also" | "then", ..] => 2,
            ["and" | "also", ..] => 1,
            _ => 0,
        };
        let next = at + joiner;
        let is_border = (joiner > 0 || comma)
            && next < words.len()
            && asks_something(&texts[from..at], &words[from..at])
            && opens(
                &texts[next..],
                joiner > 0,
                request && has_wh(&texts[from..at]),
            )
            && !in_relative_clause(&texts[from..at], &texts[next..]);
        if is_border {
            found.push(cleaned(&sentence[words[from].start..words[at - 1].end]));
            from = next;
            at = next + 1;
        } else {
            at += 1;
        }
    }
    if let Some(first) = words.get(from) {
        found.push(cleaned(&sentence[first.start..]));
    }
    found
}

/// Returns what a question compares, each side with the rest of the question.
pub(super) fn compared(sentence: &str) -> Option<[String; 2]> {
    let words = words(sentence);
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    alternatives(sentence, &words, &texts).or_else(|| {
        let (aspect, sides) = comparison(&texts)?;
        let joiner = joiner(&texts, sides)?;
        let end = tail(&words, joiner + 1);
        let text = |from: usize, to: usize| {
            let last = words.get(to.checked_sub(1)?)?;
            let text = sentence.get(words.get(from)?.start..last.end)?;
            Some(text.to_owned())
        };
        let left_end = joiner - usize::from(texts[joiner] == "from");
        let (mut left, right) = (text(sides, left_end)?, text(joiner + 1, end)?);
        // "paid and unpaid leave"
        if joiner == sides + 1 && end > joiner + 2 && texts[sides] != "the" {
            left.push(' ');
            left.push_str(&sentence[words[end - 1].start..words[end - 1].end]);
        }
        let aspect = aspect
            .and_then(|(from, to)| text(from, to))
            .unwrap_or_default();
        let rest = text(end, words.len()).unwrap_or_default();
        let side = |side: &str| {
            let parts = [side, aspect.as_str(), rest.as_str()];
            cleaned(&parts.join(" "))
        };
        Some([side(&left), side(&right)])
    })
}

/// Finds where a comparison begins: the words of its aspect, and the first word of its first side.
fn comparison(texts: &[&str]) -> Option<(Option<(usize, usize)>, usize)> {
    let after = |at: usize, word: &str| (at + 1..texts.len()).find(|at| texts[*at] == word);
    for (at, text) in texts.iter().enumerate() {
        match *text {
            "difference" | "differences" | "comparison" => {
                let between = after(at, "between").or_else(|| after(at, "of"))?;
                let aspect = (between > at + 1).then_some((at + 1, between));
                return Some((aspect, between + 1));
            }
            "compare" if at <= 3 => return Some((None, at + 1)),
            "differ" | "different" if texts[..at].contains(&"how") => {
                // "How does A differ from B?": the first side stands before.
                let verb = texts.iter().position(|t| AUXILIARIES.contains(t))?;
                return texts
                    .get(at + 1)
                    .filter(|next| **next == "from")
                    .map(|_| (None, verb + 1));
            }
            "vs" | "versus" if at <= MAX_SIDE => return Some((None, 0)),
            _ => {}
        }
    }
    None
}

/// Finds the word between the two sides.
fn joiner(texts: &[&str], sides: usize) -> Option<usize> {
    let words = || texts.iter().enumerate().skip(sides + 1);
    let is = |wanted: &'static [&'static str]| {
        words()
            .find(|(_, text)| wanted.contains(text))
            .map(|(at, _)| at)
    };
    is(&["vs", "versus"])
        .or_else(|| {
            let from = is(&["from"])?;
            matches!(texts[from - 1], "differ" | "different").then_some(from)
        })
        .or_else(|| is(&["and", "with", "to"]))
        .filter(|at| at + 1 < texts.len())
}

/// Finds the first word after the second side.
fn tail(words: &[Word<'_>], from: usize) -> usize {
    const ENDS: &[&str] = &["in", "regarding", "concerning", "when", "by", "if"];
    (from + 1..words.len())
        .find(|at| {
            words[*at].before.contains([',', ';']) || ENDS.contains(&words[*at].text.as_str())
        })
        .unwrap_or(words.len())
}

/// "Which is older, A or B?"
fn alternatives(sentence: &str, words: &[Word<'_>], texts: &[&str]) -> Option<[String; 2]> {
    if !matches!(texts.first(), Some(&("which" | "who" | "what" | "where"))) {
        return None;
    }
    let comma = (1..words.len())
        .rev()
        .find(|at| words[*at].before.contains(','))?;
    let or = (comma + 1..words.len()).find(|at| texts[*at] == "or")?;
    if or + 1 >= words.len() || words.len() - comma > 12 {
        return None;
    }
    let stem = &sentence[words[0].start..words[comma - 1].end];
    let left = &sentence[words[comma].start..words[or - 1].end];
    let right = &sentence[words[or + 1].start..words.last()?.end];
    let is_list = left.contains(',') || texts[or + 1..].contains(&"or");
    (!is_list).then(|| [format!("{left}: {stem}"), format!("{right}: {stem}")])
}

/// Whether a question opens here. `joined`: after "and", not only after a comma. `told`: the question is told, as in
/// "tell me what it is".
fn opens(texts: &[&str], joined: bool, told: bool) -> bool {
    let is_aux = |at: usize| texts.get(at).is_some_and(|text| AUXILIARIES.contains(text));
    let shift =
        usize::from(texts.len() > 1 && PREPOSITIONS.contains(&texts[0]) && WH.contains(&texts[1]));
    let rest = &texts[shift..];
    let inverted = |most: usize| (shift + 1..=shift + most).any(is_aux);
    match rest.first().copied() {
        Some("what's" | "who's" | "where's" | "when's" | "how's") => true,
        Some("when" | "where" | "why") => inverted(1) || (told && rest.len() >= 4),
        Some("how") => inverted(8) || rest.get(1) == Some(&"to") || (told && rest.len() >= 4),
        // "and which is" goes on about what stands before.
        Some("which") => !is_aux(shift + 1) && rest.len() >= 4,
        Some("what" | "whose") => rest.len() >= 3,
        Some("who" | "whom") => rest.len() >= 3,
        Some(first) => {
            joined
                && shift == 0
                && AUXILIARIES.contains(&first)
                && texts.len() >= 4
                && SUBJECTS.contains(&texts[1])
        }
        None => false,
    }
}

/// Whether what stands before a border is a question of its own.
fn asks_something(texts: &[&str], words: &[Word<'_>]) -> bool {
    if texts.len() < 3 {
        return false;
    }
    let opens_at = |at: usize| {
        let rest = &texts[at..];
        match rest[0] {
            // "When A did B, what did C do?": what looks like a question is the time of it.
            "who" | "what" | "which" | "whose" | "whom" => rest.len() >= 3,
            _ => opens(rest, true, false) || AUXILIARIES.contains(&rest[0]),
        }
    };
    opens_at(0)
        || is_request_texts(texts)
        || (1..texts.len())
            .any(|at| words[at].before.contains(',') && WH.contains(&texts[at]) && opens_at(at))
}

/// "the person who wrote it and who signed it"
fn in_relative_clause(before: &[&str], next: &[&str]) -> bool {
    matches!(next.first(), Some(&("who" | "which" | "whose" | "whom")))
        && before.iter().enumerate().skip(1).any(|(at, text)| {
            matches!(*text, "who" | "which" | "that" | "whose")
                && !PREPOSITIONS.contains(&before[at - 1])
        })
}

fn has_wh(texts: &[&str]) -> bool {
    texts.iter().any(|text| WH.contains(text))
}

fn is_request(sentence: &str) -> bool {
    let lower = sentence.trim_start().to_lowercase();
    REQUESTS.iter().any(|opening| lower.starts_with(opening))
}

fn is_request_texts(texts: &[&str]) -> bool {
    let opening = texts.iter().take(5).copied().collect::<Vec<_>>().join(" ");
    is_request(&opening)
}

/// Words outside quotation marks.
fn words(sentence: &str) -> Vec<Word<'_>> {
    let mut found: Vec<Word<'_>> = Vec::new();
    let mut quoted = false;
    let mut start = None;
    let mut end = 0;
    for (at, c) in sentence.char_indices().chain([(sentence.len(), ' ')]) {
        let is_word = c.is_alphanumeric() || matches!(c, '\'' | '’' | '-' | '_' | '/');
        match (is_word && !quoted, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                let word = &sentence[from..at];
                let is_name = word.len() > 1 && word.chars().all(char::is_uppercase);
                found.push(Word {
                    text: if is_name {
                        word.to_owned()
                    } else {
                        word.to_lowercase().replace('’', "'")
                    },
                    start: from,
                    end: at,
                    before: &sentence[end..from],
                });
                (start, end) = (None, at);
            }
            (true, Some(_)) | (false, None) => {}
        }
        match c {
            '"' => quoted = !quoted,
            '“' => quoted = true,
            '”' => quoted = false,
            _ => {}
        }
    }
    found
}

fn cleaned(text: &str) -> String {
    let text = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':'));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
