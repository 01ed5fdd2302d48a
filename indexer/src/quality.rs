//! What is wrong with the documents of a collection: what could not be read, says nothing, is there twice, or is outdated.

use crate::access::Collections;
use crate::catalog::{Catalog, Document, DocumentStatus, Reason};
use crate::duplicates::Profile;
use crate::pipeline::Pipeline;
use crate::{AccessFilter, DocumentId, Error, Result};
use jiff::civil::Date;
use std::collections::{BTreeMap, HashMap};

/// Documents read from the catalog at a time.
const PAGE: usize = 500;
/// Letters and digits under which a document says next to nothing.
const TINY: usize = 120;
/// Years after which a document's own date is remarkable.
const OLD_YEARS: i16 = 5;
/// Most pairs of texts that are compared; beyond that the report says that it is not complete.
const MAX_COMPARISONS: usize = 5_000;
/// Texts held in memory to be compared.
const MAX_PROFILES: usize = 64;
/// Longest text that is looked at as a whole, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// The quality of a collection's documents.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quality {
    /// Documents.
    pub n_documents: u64,
    /// Bytes of their files.
    pub n_bytes: u64,
    /// Searchable chunks.
    pub n_chunks: u64,
    /// Documents by status.
    pub statuses: BTreeMap<String, u64>,
    /// By media type.
    pub formats: BTreeMap<String, Format>,
    /// Documents by language: `ja`, `latin` (any language in Latin letters), `mixed`, `other`, or `none`.
    pub languages: BTreeMap<String, u64>,
    /// Failed documents by reason.
    pub failures: BTreeMap<Reason, u64>,
    /// File sizes in bytes: median, 95th percentile, largest.
    pub sizes: [u64; 3],
    /// Documents with at least one issue of the kind.
    pub issues: BTreeMap<&'static str, u64>,
    /// Documents with issues, worst first.
    pub findings: Vec<Finding>,
    /// Whether all texts that may be near-duplicates were compared.
    pub complete: bool,
}

/// The documents of one media type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Format {
    /// Documents.
    pub n_documents: u64,
    /// Those that could not be indexed.
    pub n_failed: u64,
    /// Bytes of their files.
    pub n_bytes: u64,
    /// Searchable chunks.
    pub n_chunks: u64,
}

/// A document with issues.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The document.
    pub document: DocumentId,
    /// Its source.
    pub source: String,
    /// Its issues, worst first; never empty.
    pub issues: Vec<Issue>,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Issue {
    /// It could not be indexed.
    Failed(Option<Reason>, String),
    /// Nothing in it can be found.
    Empty,
    /// Parts of it could not be read.
    Warnings(Vec<String>),
    /// It says next to nothing: so many letters and digits.
    Tiny(usize),
    /// The document of this source has the same bytes.
    Duplicate(String),
    /// The document of this source says nearly the same.
    NearDuplicate(String),
    /// Another document stands in its place since this day.
    Superseded(Date),
    /// It is not in force any more since this day.
    Expired(Date),
    /// Its own date is long ago.
    Old(Date),
}

impl Issue {
    /// Returns the name used on every interface.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Failed(..) => "failed",
            Self::Empty => "empty",
            Self::Warnings(_) => "warnings",
            Self::Tiny(_) => "tiny",
            Self::Duplicate(_) => "duplicate",
            Self::NearDuplicate(_) => "near_duplicate",
            Self::Superseded(_) => "superseded",
            Self::Expired(_) => "expired",
            Self::Old(_) => "old",
        }
    }

    /// Returns how much it weighs against other issues.
    fn weight(&self) -> u32 {
        match self {
            Self::Failed(..) => 1000,
            Self::Empty => 500,
            Self::Warnings(warnings) => 100 + u32::try_from(warnings.len()).unwrap_or(100).min(100),
            Self::Superseded(_) | Self::Expired(_) => 90,
            Self::Duplicate(_) => 80,
            Self::NearDuplicate(_) => 70,
            Self::Tiny(_) => 60,
            Self::Old(_) => 10,
        }
    }
}

impl std::fmt::Display for Issue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(_, error) => f.write_str(error),
            Self::Empty => f.write_str("nothing in it can be found"),
            Self::Warnings(warnings) => f.write_str(&warnings.join("; ")),
            Self::Tiny(n) => write!(f, "it has only {n} letters and digits"),
            Self::Duplicate(of) => write!(f, "the same file as `{of}`"),
            Self::NearDuplicate(of) => write!(f, "nearly the same text as `{of}`"),
            Self::Superseded(Date::ZERO) => f.write_str("another document stands in its place"),
            Self::Superseded(since) => {
                write!(f, "another document stands in its place since {since}")
            }
            Self::Expired(since) => write!(f, "not in force any more since {since}"),
            Self::Old(date) => write!(f, "dated {date}"),
        }
    }
}

impl Pipeline {
    /// Looks at all documents of a collection that this principal may read. `today` decides what is outdated.
    ///
    /// It reads every text, so it takes seconds for thousands of documents.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`](crate::Error::UnknownCollection).
    pub async fn quality(
        &self,
        collection: &str,
        access: &AccessFilter,
        today: Date,
    ) -> Result<Quality> {
        let id = self.collection(collection, access).await?.id;
        let access = access.clone();
        self.catalog(move |catalog| {
            let reasons = catalog.failure_reasons(id)?;
            let only = Collections::Only(vec![id]);
            let mut survey = Survey::new(today);
            let mut after = None;
            loop {
                let page = catalog.documents(&only, &access, after.as_deref(), PAGE)?;
                for document in page.items {
                    let text = if document.n_chunks > 0 {
                        text(catalog, document.id, &access)?
                    } else {
                        None
                    };
                    let reason = reasons.get(&document.id).copied();
                    survey.look_at(&document, reason, text.as_deref());
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            survey.compare(|document| text(catalog, document, &access))?;
            Ok(survey.finish())
        })
        .await
    }
}

/// Returns a document's text; `None` when it was deleted meanwhile.
fn text(catalog: &Catalog, id: DocumentId, access: &AccessFilter) -> Result<Option<String>> {
    match catalog.visible_text(id, access) {
        Ok((_, text)) => Ok(Some(text)),
        Err(Error::UnknownDocument { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

struct Survey {
    today: Date,
    quality: Quality,
    sizes: Vec<u64>,
    findings: HashMap<DocumentId, Finding>,
    /// The first source of each file.
    by_bytes: HashMap<String, String>,
    /// Texts that may be alike: figures, then length and document.
    alike: HashMap<u64, Vec<(usize, DocumentId, String)>>,
}

impl Survey {
    fn new(today: Date) -> Self {
        Self {
            today,
            quality: Quality {
                complete: true,
                ..Quality::default()
            },
            sizes: Vec::new(),
            findings: HashMap::new(),
            by_bytes: HashMap::new(),
            alike: HashMap::new(),
        }
    }

    fn look_at(&mut self, document: &Document, reason: Option<Reason>, text: Option<&str>) {
        let quality = &mut self.quality;
        quality.n_documents += 1;
        quality.n_bytes += document.size_bytes;
        quality.n_chunks += u64::from(document.n_chunks);
        *quality
            .statuses
            .entry(document.status.to_string())
            .or_default() += 1;
        let format = quality
            .formats
            .entry(document.media_type.clone())
            .or_default();
        format.n_documents += 1;
        format.n_bytes += document.size_bytes;
        format.n_chunks += u64::from(document.n_chunks);
        self.sizes.push(document.size_bytes);

        let mut issues = Vec::new();
        if document.status == DocumentStatus::Failed {
            format.n_failed += 1;
            if let Some(reason) = reason {
                *quality.failures.entry(reason).or_default() += 1;
            }
            let error = document.error.clone().unwrap_or_default();
            issues.push(Issue::Failed(reason, error));
        }
        if document.status == DocumentStatus::Indexed && document.n_chunks == 0 {
            issues.push(Issue::Empty);
        }
        if !document.warnings.is_empty() {
            issues.push(Issue::Warnings(document.warnings.clone()));
        }
        let metadata = &document.metadata;
        if let Some(since) = document.superseded_from
            && since <= self.today
        {
            issues.push(Issue::Superseded(since));
        }
        if let Some(end) = metadata.valid_until
            && end <= self.today
        {
            issues.push(Issue::Expired(end));
        }
        if let Some(date) = metadata.date
            && date.year() + OLD_YEARS < self.today.year()
        {
            issues.push(Issue::Old(date));
        }
        if let Some(text) = text {
            let profile = Profile::new(cut(text));
            *quality
                .languages
                .entry(language(text).to_owned())
                .or_default() += 1;
            let (n_signs, figures) = profile.key();
            // An archive says what lies in it, and nothing else.
            if n_signs < TINY && document.n_children == 0 {
                issues.push(Issue::Tiny(n_signs));
            }
            let alike = self.alike.entry(figures).or_default();
            alike.push((n_signs, document.id, document.source.clone()));
        } else {
            *quality.languages.entry("none".to_owned()).or_default() += 1;
        }
        match self.by_bytes.entry(document.sha256.clone()) {
            std::collections::hash_map::Entry::Occupied(first) => {
                issues.push(Issue::Duplicate(first.get().clone()));
            }
            std::collections::hash_map::Entry::Vacant(first) => {
                first.insert(document.source.clone());
            }
        }
        if !issues.is_empty() {
            let finding = Finding {
                document: document.id,
                source: document.source.clone(),
                issues,
            };
            self.findings.insert(document.id, finding);
        }
    }

    /// Compares texts that may say the same: those with the same figures and nearly the same length.
    fn compare(&mut self, read: impl Fn(DocumentId) -> Result<Option<String>>) -> Result<()> {
        let mut n_compared = 0;
        for mut group in std::mem::take(&mut self.alike).into_values() {
            group.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.2.cmp(&b.2)));
            let mut profiles: HashMap<DocumentId, Profile> = HashMap::new();
            for (at, (n_signs, document, source)) in group.iter().enumerate() {
                if self.is_copy(*document) {
                    continue;
                }
                // Sorted by length: nothing further back can be alike.
                let least = (*n_signs as f32 * crate::duplicates::MIN_SHARED).floor() as usize;
                if profiles.len() > MAX_PROFILES {
                    profiles.clear();
                }
                let earlier = group[..at].iter().rev();
                for (_, other, other_source) in earlier.take_while(|(n, ..)| *n >= least) {
                    if self.is_copy(*other) {
                        continue;
                    }
                    if n_compared >= MAX_COMPARISONS {
                        self.quality.complete = false;
                        return Ok(());
                    }
                    n_compared += 1;
                    for id in [document, other] {
                        if !profiles.contains_key(id) {
                            let text = read(*id)?.unwrap_or_default();
                            profiles.insert(*id, Profile::new(cut(&text)));
                        }
                    }
                    if profiles[document].same(&profiles[other]) {
                        let finding = self.findings.entry(*document).or_insert_with(|| Finding {
                            document: *document,
                            source: source.clone(),
                            issues: Vec::new(),
                        });
                        finding
                            .issues
                            .push(Issue::NearDuplicate(other_source.clone()));
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns whether a document is known to say what another one says.
    fn is_copy(&self, document: DocumentId) -> bool {
        let finding = self.findings.get(&document);
        finding.is_some_and(|finding| {
            let copies =
                |issue: &Issue| matches!(issue, Issue::Duplicate(_) | Issue::NearDuplicate(_));
            finding.issues.iter().any(copies)
        })
    }

    fn finish(mut self) -> Quality {
        self.sizes.sort_unstable();
        let at = |share: f64| {
            let last = self.sizes.len().saturating_sub(1);
            let place = (last as f64 * share).round() as usize;
            self.sizes.get(place).copied().unwrap_or(0)
        };
        self.quality.sizes = [at(0.5), at(0.95), at(1.0)];
        let mut findings: Vec<Finding> = self.findings.into_values().collect();
        for finding in &mut findings {
            finding
                .issues
                .sort_by_key(|issue| std::cmp::Reverse(issue.weight()));
            for issue in &finding.issues {
                *self.quality.issues.entry(issue.kind()).or_default() += 1;
            }
        }
        let weight = |finding: &Finding| finding.issues.iter().map(Issue::weight).sum::<u32>();
        findings.sort_by(|a, b| {
            weight(b)
                .cmp(&weight(a))
                .then_with(|| a.source.cmp(&b.source))
        });
        self.quality.findings = findings;
        self.quality
    }
}

/// Returns the beginning of a text.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// Returns which letters a text is written in.
fn language(text: &str) -> &'static str {
    let (mut japanese, mut latin, mut other) = (0_usize, 0_usize, 0_usize);
    for c in cut(text).chars().filter(|c| c.is_alphabetic()) {
        match c {
            'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' => latin += 1,
            '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => {
                japanese += 1;
            }
            _ => other += 1,
        }
    }
    // A character of Japanese says about as much as two letters and a half.
    let japanese = japanese * 5 / 2;
    let all = japanese + latin + other;
    let most = |n: usize| n * 5 >= all * 4;
    if all == 0 {
        "none"
    } else if most(japanese) {
        "ja"
    } else if most(latin) {
        "latin"
    } else if most(other) {
        "other"
    } else {
        "mixed"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn languages_are_told_by_their_letters() {
        assert_eq!(language("Annual leave is twenty days."), "latin");
        assert_eq!(language("有給休暇は年に二十日です。API で申請する。"), "ja");
        assert_eq!(language("Отпуск двадцать дней"), "other");
        assert_eq!(language("有給休暇の申請 annual leave request"), "mixed");
        assert_eq!(language("123 …"), "none");
    }

    #[test]
    fn issues_read_as_sentences() {
        let superseded = Issue::Superseded(Date::ZERO).to_string();
        assert_eq!(superseded, "another document stands in its place");
        let old = Issue::Old(date(2010, 1, 2)).to_string();
        assert_eq!(old, "dated 2010-01-02");
    }
}
