//! Which documents a search looks at, by what is known about them.
//!
//! A filter is taken apart into conditions over a few fields. Both engines index the values of these fields, apply
//! the conditions inside their queries, and the catalog applies the same conditions once more to what they found.

use crate::date;
use crate::error::Result;
use crate::extract::MediaType;
use crate::metadata::{Attributes, author_keys, invalid, key};
use jiff::civil::Date;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

/// Which documents a search looks at, besides collections and access. The default lets everything through.
///
/// All that is said must hold. A document of which the value asked for is not known is not found; for validity,
/// not known means without limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchFilter {
    /// It has all of these tags.
    pub tags: BTreeSet<String>,
    /// It has one of these tags.
    pub any_tags: BTreeSet<String>,
    /// One of these wrote it.
    pub authors: BTreeSet<String>,
    /// It is of one of these media types.
    pub media_types: BTreeSet<String>,
    /// Its date is not before this one.
    pub since: Option<Date>,
    /// Its date is not after this one.
    pub until: Option<Date>,
    /// It is in force on this day: `valid_from <= day < valid_until`.
    pub as_of: Option<Date>,
    /// No other document stands in its place on this day.
    pub not_superseded_on: Option<Date>,
}

impl SearchFilter {
    /// Returns whether it lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether a document is let through.
    #[must_use]
    pub fn allows(&self, attributes: &Attributes) -> bool {
        self.conditions()
            .iter()
            .all(|condition| condition.holds(attributes))
    }

    /// Returns why a document is not let through, as a sentence; `None` if it is.
    #[must_use]
    pub fn refusal(&self, attributes: &Attributes) -> Option<String> {
        let conditions = self.conditions();
        let failed = conditions
            .iter()
            .find(|condition| !condition.holds(attributes))?;
        Some(failed.told(attributes))
    }

    /// Returns what must hold, each for itself.
    pub(crate) fn conditions(&self) -> Vec<Condition> {
        let keys = |values: &BTreeSet<String>| values.iter().map(|value| key(value)).collect();
        let mut conditions = Vec::new();
        for tag in &self.tags {
            conditions.push(Condition::AnyOf(Name::Tag, vec![key(tag)]));
        }
        for (name, values) in [
            (Name::Tag, &self.any_tags),
            (Name::Author, &self.authors),
            (Name::MediaType, &self.media_types),
        ] {
            if !values.is_empty() {
                conditions.push(Condition::AnyOf(name, keys(values)));
            }
        }
        if self.since.is_some() || self.until.is_some() {
            let from = self.since.map_or(FIRST, number);
            let to = self.until.map_or(LAST, number);
            conditions.push(Condition::Within(Day::Date, from..=to));
        }
        if let Some(day) = self.as_of {
            if let Some(next) = date::next_day(day) {
                conditions.push(Condition::Without(Day::ValidFrom, number(next)..=LAST));
            }
            conditions.push(Condition::Without(Day::ValidUntil, FIRST..=number(day)));
        }
        if let Some(day) = self.not_superseded_on {
            let until = FIRST..=number(day);
            conditions.push(Condition::Without(Day::SupersededFrom, until));
        }
        conditions
    }
}

/// Something that must hold of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It has one of these values; there is at least one.
    AnyOf(Name, Vec<String>),
    /// It has a day in this range. An empty range has none.
    Within(Day, RangeInclusive<u64>),
    /// It has no day in this range.
    Without(Day, RangeInclusive<u64>),
}

/// Names to filter by; a document may have several of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Tag,
    Author,
    MediaType,
}

/// Days to filter by; a document has one of a kind or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Day {
    Date,
    ValidFrom,
    ValidUntil,
    SupersededFrom,
}

const FIRST: u64 = 0;
const LAST: u64 = 99_991_231;

impl Name {
    pub(crate) const ALL: [Self; 3] = [Self::Tag, Self::Author, Self::MediaType];

    /// The field's name in both engines.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Tag => "tags",
            Self::Author => "author",
            Self::MediaType => "media_type",
        }
    }

    /// Returns a document's values in the form in which they are indexed.
    pub(crate) fn of(self, attributes: &Attributes) -> Vec<String> {
        let metadata = &attributes.metadata;
        match self {
            Self::Tag => metadata.tags.iter().map(|tag| key(tag)).collect(),
            Self::Author => metadata
                .author
                .iter()
                .flat_map(|a| author_keys(a))
                .collect(),
            Self::MediaType => vec![essence(&attributes.media_type)],
        }
    }
}

impl Day {
    pub(crate) const ALL: [Self; 4] = [
        Self::Date,
        Self::ValidFrom,
        Self::ValidUntil,
        Self::SupersededFrom,
    ];

    /// The field's name in both engines.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::ValidFrom => "valid_from",
            Self::ValidUntil => "valid_until",
            Self::SupersededFrom => "superseded_from",
        }
    }

    /// Returns a document's day as a number that sorts like it.
    pub(crate) fn of(self, attributes: &Attributes) -> Option<u64> {
        self.day(attributes).map(number)
    }

    fn day(self, attributes: &Attributes) -> Option<Date> {
        let metadata = &attributes.metadata;
        match self {
            Self::Date => metadata.date,
            Self::ValidFrom => metadata.valid_from,
            Self::ValidUntil => metadata.valid_until,
            Self::SupersededFrom => attributes.superseded_from,
        }
    }
}

impl Condition {
    fn holds(&self, attributes: &Attributes) -> bool {
        match self {
            Self::AnyOf(name, wanted) => {
                let has = name.of(attributes);
                wanted.iter().any(|value| has.contains(value))
            }
            Self::Within(day, range) => day.of(attributes).is_some_and(|day| range.contains(&day)),
            Self::Without(day, range) => {
                !day.of(attributes).is_some_and(|day| range.contains(&day))
            }
        }
    }

    /// Says why it does not hold.
    fn told(&self, attributes: &Attributes) -> String {
        let metadata = &attributes.metadata;
        match self {
            Self::AnyOf(Name::Tag, wanted) => {
                let wanted = wanted.join("`, `");
                if metadata.tags.is_empty() {
                    return format!("it has no tags, and `{wanted}` was asked for");
                }
                let tags: Vec<&str> = metadata.tags.iter().map(String::as_str).collect();
                let tags = tags.join("`, `");
                format!("its tags are `{tags}`, and `{wanted}` was asked for")
            }
            Self::AnyOf(Name::Author, wanted) => {
                let wanted = wanted.join("`, `");
                match &metadata.author {
                    Some(author) => format!("its author is `{author}`, not `{wanted}`"),
                    None => format!("it names no author, and `{wanted}` was asked for"),
                }
            }
            Self::AnyOf(Name::MediaType, wanted) => format!(
                "its media type is `{}`, not `{}`",
                attributes.media_type,
                wanted.join("`, `")
            ),
            Self::Within(day, range) => match day.day(attributes) {
                None => "it has no date, and one was asked for".to_owned(),
                Some(day) => {
                    let mut told = format!("its date is {day}, which is not");
                    if *range.start() > FIRST {
                        let _ = write!(told, " since {}", shown(*range.start()));
                    }
                    if *range.end() < LAST {
                        let _ = write!(told, " until {}", shown(*range.end()));
                    }
                    told
                }
            },
            Self::Without(day, _) => {
                let on = day.day(attributes).map(|day| day.to_string());
                let on = on.unwrap_or_default();
                match day {
                    Day::ValidFrom => format!("it is in force from {on} on, later than `as_of`"),
                    Day::ValidUntil => {
                        format!("it was in force until {on} only, not on the day of `as_of`")
                    }
                    Day::SupersededFrom if attributes.superseded_from == Some(Date::ZERO) => {
                        "another document supersedes it".to_owned()
                    }
                    Day::SupersededFrom | Day::Date => {
                        format!("another document supersedes it from {on} on")
                    }
                }
            }
        }
    }
}

/// Returns the media type that a person names: as registered, or by its extension such as `pdf`.
///
/// # Errors
/// [`crate::Error::InvalidMetadata`] when it is neither.
pub fn media_type(text: &str) -> Result<String> {
    let text = key(text);
    let known = match text.trim_start_matches('.') {
        other if other.contains('/') => return Ok(essence(other)),
        "word" => Some(MediaType::Docx),
        "powerpoint" => Some(MediaType::Pptx),
        "excel" => Some(MediaType::Xlsx),
        "mail" => Some(MediaType::Eml),
        extension => MediaType::of_extension(extension),
    };
    match known {
        Some(known) => Ok(known.as_str().to_owned()),
        None => Err(invalid(format!(
            "`{text}` is no type of document; use an extension such as `pdf`, `docx`, `md` or `csv`, or a media type \
             such as `application/pdf`"
        ))),
    }
}

/// Returns a media type without its parameters.
fn essence(media_type: &str) -> String {
    key(media_type.split(';').next().unwrap_or_default())
}

/// Returns a day as a number that sorts like it: 20240401.
fn number(day: Date) -> u64 {
    let part = |part: i32| u64::try_from(part.max(0)).unwrap_or_default();
    part(day.year().into()) * 10_000 + part(day.month().into()) * 100 + part(day.day().into())
}

fn shown(number: u64) -> String {
    format!(
        "{:04}-{:02}-{:02}",
        number / 10_000,
        number / 100 % 100,
        number % 100
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use jiff::civil::date;

    fn set(items: &[&str]) -> BTreeSet<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    fn document() -> Attributes {
        Attributes {
            media_type: "text/plain; charset=utf-8".to_owned(),
            metadata: Metadata {
                tags: set(&["人事", "Leave"]),
                author: Some("Sato Hanako; 田中".to_owned()),
                date: Some(date(2024, 4, 1)),
                valid_from: Some(date(2024, 5, 1)),
                valid_until: Some(date(2025, 5, 1)),
                supersedes: BTreeSet::new(),
            },
            superseded_from: Some(date(2024, 10, 1)),
        }
    }

    #[test]
    fn what_is_said_must_hold() {
        let none = SearchFilter::default;
        for (filter, allowed) in [
            (none(), true),
            (
                SearchFilter {
                    tags: set(&["leave", "人事"]),
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    tags: set(&["ＬＥＡＶＥ"]),
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    tags: set(&["leave", "pay"]),
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    any_tags: set(&["leave", "pay"]),
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    any_tags: set(&["pay"]),
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    authors: set(&["sato  hanako"]),
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    authors: set(&["x", "田中"]),
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    authors: set(&["sato"]),
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    media_types: set(&["text/plain"]),
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    media_types: set(&["application/pdf"]),
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    since: Some(date(2024, 4, 1)),
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    since: Some(date(2024, 4, 2)),
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    until: Some(date(2024, 4, 1)),
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    until: Some(date(2024, 3, 31)),
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    as_of: Some(date(2024, 4, 30)),
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    as_of: Some(date(2024, 5, 1)),
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    as_of: Some(date(2025, 4, 30)),
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    as_of: Some(date(2025, 5, 1)),
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    as_of: Some(date(9999, 12, 31)),
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    not_superseded_on: Some(date(2024, 9, 30)),
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    not_superseded_on: Some(date(2024, 10, 1)),
                    ..none()
                },
                false,
            ),
        ] {
            assert_eq!(filter.allows(&document()), allowed, "{filter:?}");
            assert_eq!(filter.refusal(&document()).is_none(), allowed);
        }
    }

    #[test]
    fn unknown_is_unlimited_for_validity_and_not_found_otherwise() {
        let unknown = Attributes::default();
        let none = SearchFilter::default;
        let day = Some(date(2024, 4, 1));
        for (filter, allowed) in [
            (
                SearchFilter {
                    as_of: day,
                    not_superseded_on: day,
                    ..none()
                },
                true,
            ),
            (
                SearchFilter {
                    since: day,
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    until: day,
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    tags: set(&["a"]),
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    authors: set(&["a"]),
                    ..none()
                },
                false,
            ),
            (
                SearchFilter {
                    media_types: set(&["a/b"]),
                    ..none()
                },
                false,
            ),
        ] {
            assert_eq!(filter.allows(&unknown), allowed, "{filter:?}");
        }
    }

    #[test]
    fn types_go_by_extension_or_media_type() {
        assert_eq!(media_type("PDF").unwrap(), "application/pdf");
        assert_eq!(media_type(".md").unwrap(), "text/markdown");
        assert_eq!(media_type("Text/HTML; charset=x").unwrap(), "text/html");
        assert_eq!(media_type("doc").unwrap(), "application/msword");
        let error = media_type("wpd").unwrap_err().to_string();
        assert!(error.contains("`wpd`") && error.contains("docx"), "{error}");
    }

    #[test]
    fn days_sort_as_numbers() {
        assert_eq!(number(date(2024, 4, 1)), 20_240_401);
        assert_eq!(number(Date::ZERO), 101);
        assert_eq!(shown(20_240_401), "2024-04-01");
    }
}
