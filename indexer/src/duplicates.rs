//! Chunks that say the same, told by their texts alone: copies of a document, boilerplate.
//!
//! Two texts are near-duplicates when they share nearly all of their character shingles, which needs no words and so
//! works in every language, **and** have the same figures in the same order: this year's allowance and last year's are
//! not the same, however alike the pages. Thresholds: `docs/ANSWERS.md`.

use std::cell::OnceCell;

/// Letters and digits per shingle.
const SHINGLE: usize = 5;
/// Least share of all shingles of two texts that must be in both.
pub const MIN_SHARED: f32 = 0.97;

/// A text, prepared to be compared.
pub struct Profile {
    /// Letters and digits in lower case; all else is layout.
    signs: Vec<char>,
    /// Its figures, in order.
    figures: String,
    shingles: OnceCell<Vec<u64>>,
}

impl Profile {
    /// Prepares a text in NFKC.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let signs = text.chars().filter(|c| c.is_alphanumeric());
        let signs: Vec<char> = signs.flat_map(char::to_lowercase).collect();
        Self {
            figures: signs.iter().copied().filter(|c| is_figure(*c)).collect(),
            signs,
            shingles: OnceCell::new(),
        }
    }

    /// Returns whether two texts say the same: the same figures, and at least [`MIN_SHARED`] of the shingles.
    /// A text without letters and digits is like no other.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let (short, long) = (
            self.signs.len().min(other.signs.len()),
            self.signs.len().max(other.signs.len()),
        );
        // Cheap tests first: most pairs differ in length or in a figure.
        short > 0
            && short as f32 >= MIN_SHARED * long as f32
            && self.figures == other.figures
            && (self.signs == other.signs || self.shared(other) >= MIN_SHARED)
    }

    /// Returns what two texts must nearly or wholly have in common to be the same: the number of letters and digits,
    /// within [`MIN_SHARED`], and a hash of the figures, exactly.
    #[must_use]
    pub fn key(&self) -> (usize, u64) {
        let figures: Vec<char> = self.figures.chars().collect();
        (self.signs.len(), hash(&figures))
    }

    /// Returns the Jaccard coefficient of the texts' shingles, 0 to 1.
    #[must_use]
    pub fn shared(&self, other: &Self) -> f32 {
        let (a, b) = (self.shingles(), other.shingles());
        let (mut at, mut both) = (0, 0_usize);
        for shingle in a {
            while b.get(at).is_some_and(|other| other < shingle) {
                at += 1;
            }
            both += usize::from(b.get(at) == Some(shingle));
        }
        let all = a.len() + b.len() - both;
        if all == 0 {
            0.0
        } else {
            both as f32 / all as f32
        }
    }

    /// Hashes of the distinct shingles, ascending; a text shorter than one has none.
    fn shingles(&self) -> &[u64] {
        self.shingles.get_or_init(|| {
            let windows = self.signs.windows(SHINGLE);
            let mut hashes: Vec<u64> = windows.map(hash).collect();
            hashes.sort_unstable();
            hashes.dedup();
            hashes
        })
    }
}

/// FNV-1a.
fn hash(signs: &[char]) -> u64 {
    signs.iter().fold(0xcbf2_9ce4_8422_2325, |hash, c| {
        (hash ^ u64::from(u32::from(*c))).wrapping_mul(0x0100_0000_01b3)
    })
}

fn is_figure(c: char) -> bool {
    c.is_numeric()
        || matches!(
            c,
            '〇' | '一'
                | '二'
                | '三'
                | '四'
                | '五'
                | '六'
                | '七'
                | '八'
                | '九'
                | '十'
                | '百'
                | '千'
                | '万'
                | '億'
        )
}

/// Says for each item of a ranking, best first, of which earlier one it is a duplicate; that one is none itself.
/// `same` is only asked of pairs that may be duplicates of one another.
pub(crate) fn representatives<T>(
    ranked: &[T],
    same: impl Fn(&T, &T) -> bool,
) -> Vec<Option<usize>> {
    let mut found: Vec<Option<usize>> = Vec::with_capacity(ranked.len());
    for (at, item) in ranked.iter().enumerate() {
        let like = (0..at).find(|other| found[*other].is_none() && same(&ranked[*other], item));
        found.push(like);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let (a, b) = (Profile::new(a), Profile::new(b));
        assert_eq!(a.same(&b), b.same(&a), "it goes both ways");
        a.same(&b)
    }

    const NOTICE: &str = "This document is confidential. It is meant for employees of the company only and \
        must not be passed on to customers, suppliers or anybody else without the consent of the author. \
        Whoever finds a copy outside of the company informs the security desk without delay.";
    const RULE: &str = "有給休暇の申請は、取得する日の前日までに勤怠システムから行い、上長の承認を受けてください。\
        急病などでやむを得ない場合は、当日の始業前に電話で連絡し、出社後に申請してください。\
        申請が承認されるまでは、休暇は確定しません。";
    const POLICY: &str = "The quality policy is reviewed in the management review. Whoever sees that a product does \
        not conform to its description stops the line, puts a red card on the product and calls the quality manager, \
        who decides whether it is repaired, sold as second choice or scrapped. The decision is written into the log.";

    #[test]
    fn layout_case_and_small_edits_do_not_matter() {
        let wrapped = NOTICE.replace(". ", ".\n\n  ").to_uppercase();
        assert!(same(NOTICE, &wrapped));
        assert!(same("Yes.", "yes"));
        let page = format!("{NOTICE}\n{RULE}\n{POLICY}");
        assert!(same(&page, &page.replace("customers", "customer")));
        assert!(same(&page, &page.replace("電話で", "お電話で")));
        // In a short text a word is much.
        assert!(!same(NOTICE, &NOTICE.replace("must not", "must")));
        assert!(!same(
            RULE,
            &RULE.replace("休暇は確定しません", "休暇は確定します")
        ));
    }

    #[test]
    fn a_figure_makes_a_difference() {
        let rule = |days: &str| format!("{NOTICE} It is destroyed after {days} days.");
        assert!(same(&rule("30"), &rule("30")));
        assert!(!same(&rule("30"), &rule("60")));
        let rule = |days: &str| format!("{RULE}休暇は年に{days}日です。");
        assert!(!same(&rule("十"), &rule("二十")));
        assert!(!same(&rule("10"), &rule("20")));
    }

    #[test]
    fn other_texts_are_other_texts() {
        assert!(!same(NOTICE, RULE));
        assert!(!same(NOTICE, &NOTICE[..NOTICE.len() / 2]));
        assert!(!same(NOTICE, &format!("{NOTICE} {NOTICE}")));
        assert!(!same("Fees", "Feed") && !same("", "") && !same("…", "!"));
    }

    #[test]
    fn every_duplicate_names_one_that_is_kept() {
        let ranked = ["a", "b", "a", "c", "b", "a"];
        let found = representatives(&ranked, |a, b| a == b);
        assert_eq!(found, [None, None, Some(0), None, Some(1), Some(0)]);
    }
}
