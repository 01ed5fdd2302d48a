//! Citations decided by kura: each sentence of an answer is tied to the passage that supports it.
//!
//! The generator's own markers are only hints: one that does not hold is dropped, one that is missing is added.

use super::evidence::{Scale, cosine, header, main_language, share, terms};
use super::passages::{Passage, Sentence};
use super::prompt::Language;
use super::{Citation, Flag, FlagKind};
use kura_indexer::chunk::sentences;
use kura_models::Embedder;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use unicode_normalization::UnicodeNormalization;

/// Support below which a passage does not hold a sentence: half of its words, or the same meaning in other words.
const MIN_SUPPORT: f32 = 0.42;
/// What shared words count for in support; the rest is closeness of meaning.
const LEXICAL: f32 = 0.65;
/// What is taken off when none of a sentence's figures is in the passage.
const MISSING_FIGURES: f32 = 0.3;
/// The same for names.
const MISSING_NAMES: f32 = 0.3;
/// The generator's own marker wins over a better passage by less than this.
const HINT_BONUS: f32 = 0.08;
/// A further passage the generator named is cited too when it holds on its own.
const MAX_MARKERS: usize = 2;

/// A verified text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verified {
    /// The text with kura's markers.
    pub text: String,
    /// One per marker and sentence.
    pub citations: Vec<Citation>,
    /// What a reader should check.
    pub flags: Vec<Flag>,
}

/// A sentence and the places that support it.
#[derive(Debug, Clone)]
pub(super) struct Attributed {
    /// The sentence without markers.
    pub(super) text: String,
    /// What stands between it and the next one.
    pub(super) separator: String,
    /// Passage and sentence indexes, best first.
    pub(super) supports: Vec<(usize, usize)>,
}

/// Ties each sentence of `raw` to the passages it was written from.
///
/// # Errors
/// Those of the embedder.
pub async fn attribute(
    embedder: &dyn Embedder,
    scale: Scale,
    raw: &str,
    passages: &[Passage],
) -> kura_models::Result<Verified> {
    let written = split(raw);
    let texts: Vec<String> = written
        .iter()
        .map(|sentence| sentence.text.clone())
        .collect();
    let embeddings = embedder.embed_at_once(&texts).await?;
    let attributed = written
        .into_iter()
        .zip(&embeddings)
        .map(|(sentence, embedding)| {
            let supports = supports(scale, &sentence, &embedding.vector, passages);
            Attributed {
                text: sentence.text,
                separator: sentence.separator,
                supports,
            }
        })
        .collect();
    Ok(assemble(attributed, passages))
}

/// Writes the answer: sentences, markers numbered in order of appearance, citations and flags.
pub(super) fn assemble(sentences: Vec<Attributed>, passages: &[Passage]) -> Verified {
    let mut verified = Verified::default();
    let mut markers: HashMap<usize, u32> = HashMap::new();
    for Attributed {
        text,
        separator,
        supports,
    } in sentences
    {
        let start = verified.text.len();
        verified.text.push_str(&text);
        let span = start..verified.text.len();
        for (at, nth) in &supports {
            let next = markers.len() as u32 + 1;
            let marker = *markers.entry(*at).or_insert(next);
            // A space would look wrong after a Japanese full stop.
            if verified.text.ends_with(|c: char| c.is_ascii()) && !verified.text.ends_with(']') {
                verified.text.push(' ');
            }
            verified.text.push_str(&format!("[{marker}]"));
            verified
                .citations
                .push(citation(marker, &passages[*at], *nth, span.clone()));
        }
        verified
            .flags
            .extend(flags(&text, &span, &supports, passages));
        verified.text.push_str(&separator);
    }
    verified.text.truncate(verified.text.trim_end().len());
    verified
}

struct Written {
    text: String,
    separator: String,
    hints: Vec<usize>,
}

/// Splits a raw answer into sentences without markers; a marker belongs to the sentence it follows.
fn split(raw: &str) -> Vec<Written> {
    let mut written: Vec<Written> = Vec::new();
    let ranges = sentences(raw);
    for (nth, range) in ranges.iter().enumerate() {
        let mut sentence = &raw[range.clone()];
        if let Some(last) = written.last_mut() {
            let (hints, rest) = leading_markers(sentence);
            last.hints.extend(hints);
            sentence = rest;
        }
        let (text, hints) = without_markers(sentence);
        let end = ranges.get(nth + 1).map_or(raw.len(), |next| next.start);
        let gap = &raw[range.end.min(end)..end];
        let separator = if gap.contains('\n') || raw[range.clone()].ends_with('\n') {
            "\n"
        } else if text.ends_with(['。', '！', '？', '」', '）']) {
            ""
        } else {
            " "
        };
        if !text.chars().any(char::is_alphanumeric) {
            if let Some(last) = written.last_mut() {
                last.hints.extend(hints);
            }
            continue;
        }
        written.push(Written {
            text,
            separator: separator.to_owned(),
            hints,
        });
    }
    written
}

/// Splits the markers that a sentence begins with from the rest: "It costs 45 euros. [1] Racks are outside."
fn leading_markers(sentence: &str) -> (Vec<usize>, &str) {
    let mut rest = sentence;
    while let Some(inside) = rest.trim_start().strip_prefix(['[', '［', '【'])
        && let Some(close) = inside.find([']', '］', '】'])
        && numbers(&inside[..close]).is_some()
    {
        rest = inside[close..].trim_start_matches([']', '］', '】']);
    }
    let lead = &sentence[..sentence.len() - rest.len()];
    (without_markers(lead).1, rest)
}

/// Returns a text without its markers.
#[must_use]
pub fn plain(text: &str) -> String {
    without_markers(text).0
}

/// Takes `[1]`, `[1, 2]`, `［1］` and `【1】` out of a text and returns the passage indexes they name.
fn without_markers(text: &str) -> (String, Vec<usize>) {
    let (mut kept, mut hints) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some(open) = rest.find(['[', '［', '【']) {
        let inside = rest[open..]
            .chars()
            .next()
            .map_or(open, |c| open + c.len_utf8());
        let close = rest[inside..].find([']', '］', '】']).map(|at| inside + at);
        let numbers = close.and_then(|close| numbers(&rest[inside..close]));
        match (close, numbers) {
            (Some(close), Some(numbers)) => {
                kept.push_str(rest[..open].trim_end_matches(' '));
                hints.extend(
                    numbers
                        .into_iter()
                        .filter_map(|number| number.checked_sub(1)),
                );
                let after = rest[close..]
                    .chars()
                    .next()
                    .map_or(close, |c| close + c.len_utf8());
                rest = &rest[after..];
            }
            _ => {
                kept.push_str(&rest[..inside]);
                rest = &rest[inside..];
            }
        }
    }
    kept.push_str(rest);
    (kept.trim().to_owned(), hints)
}

fn numbers(inside: &str) -> Option<Vec<usize>> {
    inside
        .split([',', '、', ' ', ';'])
        .filter(|part| !part.is_empty())
        .map(|part| part.nfkc().collect::<String>().parse().ok())
        .collect()
}

/// Returns the passage sentences that hold a written sentence, best first; none when nothing does.
fn supports(
    scale: Scale,
    sentence: &Written,
    vector: &[f32],
    passages: &[Passage],
) -> Vec<(usize, usize)> {
    let claim = Claim::new(&sentence.text, vector);
    let mut scored: Vec<(f32, usize, usize)> = Vec::new();
    for (at, passage) in passages.iter().enumerate() {
        if let Some((support, nth)) = Source::of(passage).support(scale, &claim) {
            scored.push((support, at, nth));
        }
    }
    scored.retain(|(support, _, _)| *support >= MIN_SUPPORT);
    scored.sort_by(|a, b| rank(b, sentence).total_cmp(&rank(a, sentence)));
    let mut kept: Vec<(usize, usize)> = Vec::new();
    for (_, at, nth) in &scored {
        if kept.is_empty() || (kept.len() < MAX_MARKERS && sentence.hints.contains(at)) {
            kept.push((*at, *nth));
        }
    }
    kept
}

fn rank(scored: &(f32, usize, usize), sentence: &Written) -> f32 {
    scored.0
        + if sentence.hints.contains(&scored.1) {
            HINT_BONUS
        } else {
            0.0
        }
}

/// A written sentence, ready to be held against sources.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// Its vector, embedded as a document.
    vector: &'a [f32],
    terms: HashSet<String>,
    figures: Vec<String>,
    /// Empty where names cannot be compared by their letters.
    names: Vec<String>,
    language: Language,
}

/// A text that may hold a sentence.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    sentences: &'a [Sentence],
    /// Terms of what stands above it: title and headings.
    header: HashSet<String>,
    figures: Vec<String>,
    /// Header and text, folded.
    folded: String,
    language: Language,
}

impl<'a> Claim<'a> {
    /// Takes a sentence without markers apart.
    #[must_use]
    pub fn new(text: &str, vector: &'a [f32]) -> Self {
        Self {
            vector,
            terms: terms(text),
            figures: figures(text),
            names: names(text),
            language: main_language(text),
        }
    }
}

impl<'a> Source<'a> {
    /// Takes a text apart. `header` is what stands above it.
    #[must_use]
    pub fn new(header: &str, text: &str, sentences: &'a [Sentence]) -> Self {
        Self {
            sentences,
            header: terms(header),
            figures: figures(text),
            folded: fold(&format!("{header}\n{text}")),
            language: main_language(text),
        }
    }

    fn of(passage: &'a Passage) -> Self {
        Self::new(&header(&passage.hit), &passage.text, &passage.sentences)
    }

    /// Returns how well the text holds a sentence, about 0 to 1, and which of its sentences does so best; `None` when
    /// it has none. A sentence whose figures or names are not in the text does not come from it. Measured against
    /// people's judgement: docs/ANSWERS.md, "Grounding".
    #[must_use]
    pub fn support(&self, scale: Scale, claim: &Claim<'_>) -> Option<(f32, usize)> {
        let (support, nth) = (0..self.sentences.len())
            .map(|nth| (self.sentence_support(scale, claim, nth), nth))
            .max_by(|a, b| a.0.total_cmp(&b.0))?;
        let figures = missing(&claim.figures, |figure| self.figures.contains(figure));
        // A name may be written in the other language's script.
        let names = if self.language == claim.language {
            missing(&claim.names, |name| self.folded.contains(&fold(name)))
        } else {
            0.0
        };
        Some((
            support - MISSING_FIGURES * figures - MISSING_NAMES * names,
            nth,
        ))
    }

    /// Returns how well one sentence, read with its neighbors and headings, holds a written one, 0 to 1.
    fn sentence_support(&self, scale: Scale, claim: &Claim<'_>, nth: usize) -> f32 {
        let own = &self.sentences[nth];
        let direct = share(&claim.terms, &own.terms);
        let mut window: HashSet<String> = own.terms.clone();
        let neighbors = nth.saturating_sub(1)..(nth + 2).min(self.sentences.len());
        for neighbor in &self.sentences[neighbors] {
            window.extend(neighbor.terms.iter().cloned());
        }
        window.extend(self.header.iter().cloned());
        let lexical = 0.7 * direct + 0.3 * share(&claim.terms, &window);
        LEXICAL * lexical + (1.0 - LEXICAL) * scale.closeness(cosine(claim.vector, &own.vector))
    }
}

/// Returns the share that is not there, 0 to 1.
fn missing(wanted: &[String], is_there: impl Fn(&String) -> bool) -> f32 {
    let n = wanted.iter().filter(|one| !is_there(one)).count();
    n as f32 / wanted.len().max(1) as f32
}

fn citation(marker: u32, passage: &Passage, nth: usize, answer_span: Range<usize>) -> Citation {
    let hit = &passage.hit;
    let range = &passage.sentences[nth].range;
    let quote = &passage.text[range.clone()];
    let lead = quote.len() - quote.trim_start().len();
    let start = passage.span.start + range.start + lead;
    let quote = quote.trim();
    let quote_span = start..start + quote.len();
    let (chunk, place) = passage.place(&quote_span);
    Citation {
        marker,
        document: hit.chunk.document,
        chunk,
        title: hit.title.clone(),
        source: hit.source.clone(),
        page: place.locator.page,
        range: place.locator.range.clone(),
        headings: place.locator.headings.clone(),
        quote: quote.to_owned(),
        quote_span,
        answer_span,
    }
}

fn flags(
    text: &str,
    span: &Range<usize>,
    supports: &[(usize, usize)],
    passages: &[Passage],
) -> Vec<Flag> {
    let flag = |kind, text: String| Flag {
        kind,
        text,
        answer_span: span.clone(),
    };
    if supports.is_empty() {
        return vec![flag(FlagKind::UncitedSentence, text.to_owned())];
    }
    let evidence: String = supports
        .iter()
        .map(|(at, _)| passages[*at].for_prompt())
        .collect::<Vec<_>>()
        .join("\n");
    let present = figures(&evidence);
    let folded = fold(&evidence);
    let numbers = figures(text)
        .into_iter()
        .filter(|figure| !present.contains(figure))
        .map(|figure| flag(FlagKind::UnsupportedNumber, figure));
    let names = names(text)
        .into_iter()
        .filter(|name| !folded.contains(&fold(name)))
        .map(|name| flag(FlagKind::UnsupportedName, name));
    numbers.chain(names).collect()
}

/// Returns the figures of a text: digits with their decimal point, thousands separators taken out.
fn figures(text: &str) -> Vec<String> {
    let folded: Vec<char> = text.nfkc().collect();
    let mut figures = Vec::new();
    let mut figure = String::new();
    for (at, c) in folded.iter().enumerate() {
        let inside = !figure.is_empty() && folded.get(at + 1).is_some_and(char::is_ascii_digit);
        match c {
            '0'..='9' => figure.push(*c),
            '.' if inside => figure.push('.'),
            ',' if inside => {}
            _ if figure.is_empty() => {}
            _ => figures.push(std::mem::take(&mut figure)),
        }
    }
    if !figure.is_empty() {
        figures.push(figure);
    }
    figures
}

/// Returns words that look like names: capitalized Latin words inside a sentence, longer katakana words,
/// and what stands before a Japanese form of address.
fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut sentence_start = true;
    for word in text.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '\'')) {
        if word.is_empty() {
            continue;
        }
        let capitalized = word.chars().next().is_some_and(char::is_uppercase)
            && word.chars().count() > 2
            && word.is_ascii();
        if capitalized && !sentence_start {
            names.push(word.trim_end_matches("'s").to_owned());
        }
        sentence_start = false;
    }
    let katakana = |c: char| matches!(c, 'ァ'..='ヺ' | 'ー');
    names.extend(
        text.split(|c| !katakana(c))
            .filter(|run| run.chars().count() >= 4)
            .map(str::to_owned),
    );
    for address in ["さん", "氏", "様"] {
        for (at, _) in text.match_indices(address) {
            let name: String = text[..at]
                .chars()
                .rev()
                .take_while(|c| matches!(c, '\u{4e00}'..='\u{9fff}'))
                .collect();
            if (2..=5).contains(&name.chars().count()) {
                names.push(name.chars().rev().collect());
            }
        }
    }
    names
}

fn fold(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_of_every_form_are_taken_out() {
        let check = |text: &str, clean: &str, hints: &[usize]| {
            assert_eq!(
                without_markers(text),
                (clean.to_owned(), hints.to_vec()),
                "{text}"
            )
        };
        check(
            "A permit costs 45 euros [1].",
            "A permit costs 45 euros.",
            &[0],
        );
        check("利用料は5,000円です［2］。", "利用料は5,000円です。", &[1]);
        check("Both hold [1, 3].", "Both hold.", &[0, 2]);
        check("An array a[i] stays.", "An array a[i] stays.", &[]);
        check("An open [ bracket", "An open [ bracket", &[]);
        check("Zero is no passage [0].", "Zero is no passage.", &[]);
    }

    #[test]
    fn a_marker_belongs_to_the_sentence_before_it() {
        let written = split("A permit costs 45 euros. [1] Racks are behind building C [2].");
        let hints: Vec<(&str, &[usize])> = written
            .iter()
            .map(|sentence| (sentence.text.as_str(), sentence.hints.as_slice()))
            .collect();
        assert_eq!(
            hints,
            [
                ("A permit costs 45 euros.", &[0][..]),
                ("Racks are behind building C.", &[1][..])
            ]
        );
    }

    #[test]
    fn figures_are_compared_without_separators() {
        assert_eq!(
            figures("1,200円、３.５日、2026-04-01"),
            ["1200", "3.5", "2026", "04", "01"]
        );
        assert_eq!(figures("no figures."), Vec::<String>::new());
    }

    #[test]
    fn names_are_found_in_both_scripts() {
        assert_eq!(names("Ask Naoko Shimada about it."), ["Naoko", "Shimada"]);
        assert_eq!(
            names("担当は島田さんとアオゾラワークスです。"),
            ["アオゾラワークス", "島田"]
        );
    }
}
