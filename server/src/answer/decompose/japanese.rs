//! The forms of Japanese questions.

use std::ops::Range;

/// Words that ask.
const ASKING: &[&str] = &[
    "何",
    "なに",
    "なん",
    "いつ",
    "どこ",
    "誰",
    "だれ",
    "どなた",
    "いくら",
    "いくつ",
    "どれ",
    "どの",
    "どう",
    "どんな",
    "なぜ",
    "どちら",
    "どっち",
    "いかが",
];
/// What turns such a word into "some", "any" or something else.
const UNASKING: &[&str] = &["も", "でも", "らか", "か所", "ぞ"];
/// What may open a further question.
const JOINERS: &[&str] = &[
    "また、",
    "また",
    "それから、",
    "それから",
    "そして、",
    "そして",
    "さらに、",
    "さらに",
    "あと、",
    "あと",
    "加えて、",
    "ちなみに、",
    "ちなみに",
    "それと、",
];
const REQUESTS: &[&str] = &[
    "教えて",
    "知りたい",
    "説明して",
    "比較して",
    "比べて",
    "おしえて",
];
/// Words that stand for something said before.
const POINTERS: &[&str] = &["それ", "その", "そこ", "そちら", "これ", "この", "彼"];

/// Whether a sentence asks for something.
pub(super) fn asks(sentence: &str) -> bool {
    let body = body(sentence);
    let is_marked = sentence.trim_end().ends_with(['?', '？']);
    body.ends_with('か')
        || (is_marked && body.chars().count() >= 4)
        || body.ends_with("でしょう")
        || body.ends_with('は')
        || requests(body)
}

/// Whether a part has a word that stands for something said before.
pub(super) fn leans(part: &str) -> bool {
    let part = unjoined(part);
    POINTERS.iter().any(|pointer| part.starts_with(pointer))
}

/// Whether a part says what it is about: it has a topic, an object or a name with の.
pub(super) fn is_about_something(part: &str) -> bool {
    let mut before = ' ';
    part.chars().any(|c| {
        let is_kana = matches!(before, '\u{3041}'..='\u{3096}');
        let marks = matches!(c, 'は' | 'が' | 'を' | 'に') || (c == 'の' && !is_kana);
        before = c;
        marks
    })
}

/// Cuts a sentence where another question begins.
pub(super) fn clauses(sentence: &str) -> Vec<String> {
    let body = body(sentence);
    let mut found: Vec<String> = Vec::new();
    let mut from = 0;
    for at in commas(body) {
        let (left, right) = (&body[from..at.start], &body[at.end..]);
        let joined = unjoined(right);
        let topic = topic(left);
        let is_border = if ends_question(left) && asking(left).len() == 1 && topic.is_some() {
            let goes_on = own_topic(joined) && (!asking(joined).is_empty() || requests(joined));
            goes_on || (joined.len() < right.len() && !asking(joined).is_empty())
        } else {
            // 「育休の期間と、お祝い金の金額を教えてください」
            left.ends_with('と') && requests(right) && asking(body).is_empty() && from == 0
        };
        if !is_border {
            continue;
        }
        let lead = match (own_topic(joined), topic) {
            (false, Some(topic)) if ends_question(left) => topic,
            _ => "",
        };
        found.push(unjoined(left).trim_end_matches('と').to_owned());
        from = at.end + (right.len() - joined.len());
        if !lead.is_empty() {
            found.push(format!("{lead}{}", &body[from..]));
            return found;
        }
    }
    found.push(unjoined(&body[from..]).to_owned());
    found
}

/// Returns what a question compares, each side with the rest of the question.
pub(super) fn compared(sentence: &str) -> Option<[String; 2]> {
    let body = body(sentence);
    joiners(body)
        .into_iter()
        .rev()
        .find_map(|joiner| compared_at(body, joiner))
}

fn compared_at(body: &str, joiner: usize) -> Option<[String; 2]> {
    let (left, rest) = (&body[..joiner], &body[joiner + 'と'.len_utf8()..]);
    let (right, rest) = sides(rest)?;
    // What both are asked about stands before them: 「人口は、1991年と2011年では…」
    let start = left
        .rfind(['、', '，', 'は'])
        .map_or(0, |at| at + '、'.len_utf8());
    let (topic, left) = left.split_at(start);
    let long = |side: &str| (2..=40).contains(&side.chars().count());
    if !(long(left) && long(right)) {
        return None;
    }
    let rest = rest.trim_start_matches(['、', '，']);
    let side = |side: &str| format!("{topic}{side}、{rest}");
    Some([side(left), side(right)])
}

/// Splits what follows the first side into the second side and the rest, if it compares the two.
fn sides(text: &str) -> Option<(&str, &str)> {
    const DIFFERENCES: &[&str] = &["違い", "相違", "異なる点", "比較", "差"];
    const CHOICES: &[&str] = &["どちら", "どっち"];
    // The longest of those that stand first.
    let (end, length) = MARKERS
        .iter()
        .filter_map(|marker| Some((outside(text, marker)?, marker.len())))
        .min_by_key(|(at, length)| (*at, std::cmp::Reverse(*length)))?;
    let (right, rest) = (&text[..end], &text[end + length..]);
    let right = right.strip_suffix('と').unwrap_or(right);
    let compares = CHOICES.iter().any(|word| rest.contains(word))
        || DIFFERENCES.iter().any(|word| ends_with_word(rest, word))
        || rest.starts_with("比較")
        || rest.starts_with("比べ")
        || rest.starts_with("どう違")
        || rest.starts_with("どのように違")
        || rest.starts_with("何が違");
    (compares && !right.contains(['、', '。'])).then_some((right, rest))
}

/// What ends the second side.
const MARKERS: &[&str] = &["のうち", "では", "とで", "、", "の", "は", "を", "で"];

/// 「…の違いは何ですか」 is about the difference; 「…の違いから争った人」 is not.
fn ends_with_word(rest: &str, word: &str) -> bool {
    const ENDS: &[&str] = &[
        "は",
        "って",
        "について",
        "とは",
        "を教え",
        "を知",
        "を説明",
        "が知り",
        "がわか",
        "が分か",
    ];
    rest.match_indices(word).any(|(at, _)| {
        let after = &rest[at + word.len()..];
        !is_quoted(rest, at) && (after.is_empty() || ENDS.iter().any(|end| after.starts_with(end)))
    })
}

/// Finds every と between two names: both neighbors are written as names are.
fn joiners(body: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let named = |c: char| {
        matches!(c, '\u{30a1}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '』' | '」' | ')' | '）' | '『' | '「' | '々')
            || c.is_ascii_alphanumeric()
    };
    let mut depth = 0;
    let mut before = ' ';
    for (at, c) in body.char_indices() {
        match c {
            '「' | '『' | '（' | '(' => depth += 1,
            '」' | '』' | '）' | ')' => depth -= 1,
            'と' if depth == 0 && named(before) => {
                let next = body[at + c.len_utf8()..].chars().next();
                if next.is_some_and(named) {
                    found.push(at);
                }
            }
            _ => {}
        }
        before = c;
    }
    found
}

/// The sentence without what ends it.
fn body(sentence: &str) -> &str {
    sentence
        .trim()
        .trim_end_matches(['。', '?', '？', '！', '!', '．', '.', ' ', '\u{3000}'])
}

fn requests(body: &str) -> bool {
    REQUESTS.iter().any(|request| body.contains(request))
}

/// Whether a clause ends as a question may before another: …ですか、 …か、 …いくらで、
fn ends_question(clause: &str) -> bool {
    if clause.ends_with("かどうか") {
        return false;
    }
    if clause.ends_with('か') {
        return true;
    }
    let Some(before) = clause
        .strip_suffix("であり")
        .or_else(|| clause.strip_suffix('で'))
    else {
        return false;
    };
    // いくらで、 何日で、 いつまでで、
    asking(before)
        .last()
        .is_some_and(|word| before[word.end..].chars().count() <= 4)
}

/// What a clause is about, its は included.
fn topic(clause: &str) -> Option<&str> {
    let clause = unjoined(clause);
    let first = asking(clause)
        .first()
        .map_or(clause.len(), |word| word.start);
    let at = outside(&clause[..first], "は")?;
    let topic = &clause[..at + 'は'.len_utf8()];
    (topic.chars().count() >= 3).then_some(topic)
}

fn own_topic(clause: &str) -> bool {
    topic(clause).is_some()
}

/// The byte ranges of the words that ask, outside quotation marks.
fn asking(clause: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for word in ASKING {
        for (at, _) in clause.match_indices(word) {
            let end = at + word.len();
            let rest = &clause[end..];
            let is_other = UNASKING.iter().any(|suffix| rest.starts_with(suffix))
                || (rest.starts_with('か') && !rest["か".len()..].is_empty())
                || is_quoted(clause, at);
            // Kana of another word before it: ぶどう, いつ in いつつ.
            let before = clause[..at].chars().next_back();
            let is_inside = word.starts_with(|c: char| matches!(c, '\u{3041}'..='\u{3096}'))
                && before.is_some_and(|c| {
                    matches!(c, '\u{3041}'..='\u{3096}')
                        && !matches!(c, 'は' | 'が' | 'を' | 'に' | 'の' | 'で' | 'と' | 'も')
                });
            let overlaps = found.iter().any(|r| r.start < end && at < r.end);
            if !(is_other || is_inside || overlaps) {
                found.push(at..end);
            }
        }
    }
    found.sort_by_key(|range| range.start);
    found
}

/// The commas outside quotation marks and brackets.
fn commas(body: &str) -> Vec<Range<usize>> {
    body.char_indices()
        .filter(|(at, c)| matches!(c, '、' | '，' | ',') && !is_quoted(body, *at))
        .map(|(at, c)| at..at + c.len_utf8())
        .collect()
}

/// Finds a word outside quotation marks and brackets, not at the very start.
fn outside(text: &str, word: &str) -> Option<usize> {
    text.match_indices(word)
        .map(|(at, _)| at)
        .find(|at| *at > 0 && !is_quoted(text, *at))
}

fn is_quoted(text: &str, at: usize) -> bool {
    let signs = |signs: &[char]| text[..at].chars().filter(|c| signs.contains(c)).count();
    signs(&['「', '『', '（', '(']) > signs(&['」', '』', '）', ')'])
}

fn unjoined(clause: &str) -> &str {
    let clause = clause.trim_start();
    JOINERS
        .iter()
        .find_map(|joiner| clause.strip_prefix(joiner))
        .unwrap_or(clause)
}
