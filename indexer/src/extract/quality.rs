//! How well a page could be read.

use crate::document::{PageProblem, PageQuality, PageSource};

/// Score below which a page's text is not worth keeping if something better can be had.
pub(crate) const MIN_SCORE: u8 = 70;

/// Characters from which a page counts as one with text.
const MIN_CHARS: usize = 16;

/// Share of a page that pictures cover from which there may be text in them.
const MIN_PICTURE_SHARE: f64 = 0.01;

/// Share of a page that pictures cover from which little text is no more than a stamp or a page number on a scan.
const SCAN_SHARE: f64 = 0.5;

/// Shapes from which a page without text may have it as outlines.
const MIN_PATHS: usize = 50;

/// What was counted on a page.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tally {
    /// Characters, blanks aside.
    pub(crate) n_chars: usize,
    /// Of those, characters that mean nothing: unknown, private, controls.
    pub(crate) n_unknown: usize,
    /// Of those, rare ideographs that stand in for kana where a font's map is wrong.
    pub(crate) n_rare: usize,
    pub(crate) n_alphanumeric: usize,
    /// Characters drawn invisibly.
    pub(crate) n_invisible: usize,
    /// Characters that nobody can see on paper: white, tiny, invisible on an empty page.
    pub(crate) n_hidden: usize,
    pub(crate) n_pictures: usize,
    pub(crate) n_paths: usize,
    /// In the same unit as `area`; pictures may overlap.
    pub(crate) picture_area: f64,
    /// Of the page.
    pub(crate) area: f64,
}

impl Tally {
    /// Counts some text.
    pub(crate) fn add(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_whitespace()) {
            self.n_chars += 1;
            self.n_alphanumeric += usize::from(c.is_alphanumeric());
            self.n_unknown += usize::from(is_unknown(c));
            self.n_rare += usize::from(matches!(c, '\u{3400}'..='\u{4DBF}'));
        }
    }

    fn picture_share(&self) -> f64 {
        if self.area > 0.0 {
            (self.picture_area / self.area).min(1.0)
        } else {
            0.0
        }
    }

    /// Returns the score from 0 to 100: the share of characters that mean something.
    pub(crate) fn score(&self) -> u8 {
        if self.n_chars == 0 {
            return 0;
        }
        let share = |n: usize| n as f64 / self.n_chars as f64;
        // A few rare ideographs are names; many are a wrong map.
        let rare = if share(self.n_rare) > 0.03 {
            self.n_rare
        } else {
            0
        };
        let bad = share(self.n_unknown) + share(rare);
        // Text of a size without letters and digits was not read as what it is.
        let is_signs = self.n_chars >= 40 && share(self.n_alphanumeric) < 0.3;
        let score = (1.0 - bad * 2.0).max(0.0) * if is_signs { 0.6 } else { 1.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to 100"
        )]
        let score = (score * 100.0).round() as u8;
        score
    }

    /// Returns what is wrong with the page's own text.
    pub(crate) fn problem(&self) -> Option<PageProblem> {
        let has_pictures = self.picture_share() >= MIN_PICTURE_SHARE;
        let may_have_text = has_pictures || self.n_paths >= MIN_PATHS;
        if self.n_chars < MIN_CHARS && may_have_text && self.n_chars * 4 < MIN_CHARS {
            return Some(PageProblem::Scanned);
        }
        if self.n_chars < MIN_CHARS * 4 && self.picture_share() >= SCAN_SHARE {
            return Some(PageProblem::Scanned);
        }
        if self.n_chars > 0 && self.score() < MIN_SCORE {
            return Some(PageProblem::Garbled);
        }
        None
    }

    /// Returns what is kept of a page read from its text.
    pub(crate) fn quality(&self, page: u32) -> PageQuality {
        let problem = self.problem();
        PageQuality {
            page,
            label: None,
            source: if self.n_chars == 0 {
                PageSource::None
            } else {
                PageSource::Text
            },
            score: match problem {
                None if self.n_chars == 0 => 100, // an empty page is read well
                Some(_) | None => self.score(),
            },
            problem,
            n_chars: self.n_chars,
            n_hidden: self.n_hidden,
        }
    }
}

fn is_unknown(c: char) -> bool {
    c == '\u{FFFD}'
        || c.is_control()
        || matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str, picture_share: f64) -> Tally {
        let mut tally = Tally {
            area: 100.0,
            picture_area: picture_share * 100.0,
            n_pictures: usize::from(picture_share > 0.0),
            ..Tally::default()
        };
        tally.add(text);
        tally
    }

    #[test]
    fn pages_are_judged_by_their_characters_and_pictures() {
        let sound = "Every employee may travel by train in the first class, 第一条 この規程は。";
        assert_eq!(tally(sound, 0.0).problem(), None);
        assert_eq!(tally(sound, 0.3).score(), 100);
        assert_eq!(tally("", 0.9).problem(), Some(PageProblem::Scanned));
        assert_eq!(
            tally("Page 3 of 12", 0.9).problem(),
            Some(PageProblem::Scanned)
        );
        assert_eq!(tally("", 0.0).problem(), None);
        let garbled = "\u{FFFD}a\u{F012}b".repeat(20);
        assert_eq!(tally(&garbled, 0.0).problem(), Some(PageProblem::Garbled));
        let wrong_map = "䛾会䛿議䛜火".repeat(10);
        assert_eq!(tally(&wrong_map, 0.0).problem(), Some(PageProblem::Garbled));
        assert_eq!(
            tally(&"!\"#$%&'()*".repeat(9), 0.0).problem(),
            Some(PageProblem::Garbled)
        );
    }

    #[test]
    fn an_empty_page_is_no_problem() {
        let quality = tally("", 0.0).quality(4);
        assert_eq!(
            (quality.page, quality.score, quality.problem),
            (4, 100, None)
        );
        assert_eq!(quality.source, PageSource::None);
    }
}
