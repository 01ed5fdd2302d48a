//! What is known about a document besides its text: given by people, or found in the file.

use crate::error::{Error, Result};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization;

/// Most tags of a document, and most documents it supersedes.
const MAX_ITEMS: usize = 64;
/// Longest tag or author.
const MAX_CHARS: usize = 200;
/// Longest source, as for documents.
const MAX_SOURCE_BYTES: usize = 1024;

/// What is known about a document. What nobody said is absent; a filter that asks for it does not find the document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// Words to sort it by.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Who wrote it; several have `;` between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Its own date: when it was written or last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Date>,
    /// The first day on which it is in force; since ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Date>,
    /// The first day on which it is no longer in force; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Date>,
    /// Sources of documents of the same collection that it replaces, from `valid_from` on. They need not exist yet.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub supersedes: BTreeSet<String>,
}

impl Metadata {
    /// Returns what was found in a file, without what cannot be metadata.
    #[must_use]
    pub fn tidied(mut self) -> Self {
        self.tags = tidy_list(self.tags)
            .into_iter()
            .filter(|tag| tag.chars().count() <= MAX_CHARS)
            .take(MAX_ITEMS)
            .collect();
        self.author = self
            .author
            .map(|author| tidy(&author))
            .filter(|author| !author.is_empty() && author.chars().count() <= MAX_CHARS);
        self.supersedes
            .retain(|source| (1..=MAX_SOURCE_BYTES).contains(&source.len()));
        self.supersedes = self.supersedes.into_iter().take(MAX_ITEMS).collect();
        if matches!((self.valid_from, self.valid_until), (Some(from), Some(until)) if until <= from)
        {
            (self.valid_from, self.valid_until) = (None, None);
        }
        self
    }
}

impl Metadata {
    /// Returns what is known when `given` (a [`MetadataChange`] as JSON) was said about a document in which this was found.
    pub(crate) fn under(&self, given: &str) -> Result<Self> {
        let merged = || -> serde_json::Result<Self> {
            let mut known = serde_json::to_value(self)?;
            let given: serde_json::Map<_, _> = serde_json::from_str(given)?;
            if let Some(known) = known.as_object_mut() {
                known.extend(given);
            }
            serde_json::from_value(known)
        };
        merged().map_err(|_| Error::Corrupt {
            reason: "metadata".to_owned(),
        })
    }
}

/// A change of what people said about a document. Of each field: `None` leaves it, `Some(None)` takes back what was
/// said, so that what the file itself says counts again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct MetadataChange {
    /// See [`Metadata::tags`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Option<BTreeSet<String>>>,
    /// See [`Metadata::author`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<Option<String>>,
    /// See [`Metadata::date`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Option<Date>>,
    /// See [`Metadata::valid_from`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Option<Date>>,
    /// See [`Metadata::valid_until`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Option<Date>>,
    /// See [`Metadata::supersedes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Option<BTreeSet<String>>>,
}

impl MetadataChange {
    /// Returns whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the change with spaces tidied.
    ///
    /// # Errors
    /// [`Error::InvalidMetadata`] when there is too much of something, or it is empty.
    pub fn checked(mut self) -> Result<Self> {
        if let Some(Some(tags)) = &mut self.tags {
            *tags = tidy_list(std::mem::take(tags));
            check_count("tags", tags.len())?;
            for tag in tags.iter() {
                check_chars("tag", tag)?;
            }
        }
        if let Some(Some(author)) = &mut self.author {
            *author = tidy(author);
            check_chars("author", author)?;
        }
        if let Some(Some(sources)) = &self.supersedes {
            check_count("superseded documents", sources.len())?;
            for source in sources {
                if !(1..=MAX_SOURCE_BYTES).contains(&source.len()) {
                    return Err(invalid(format!(
                        "a superseded source must have 1 to {MAX_SOURCE_BYTES} bytes"
                    )));
                }
            }
        }
        Ok(self)
    }
}

/// What an index knows of a document besides its chunks, to filter by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attributes {
    /// Media type of the version.
    pub media_type: String,
    /// What is known about the document.
    pub metadata: Metadata,
    /// From when on another document stands in its place; [`Date::ZERO`] when since ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_from: Option<Date>,
}

/// Returns the form in which tags, authors and media types are compared: width, case and spaces do not matter.
pub(crate) fn key(text: &str) -> String {
    tidy(&text.nfkc().collect::<String>()).to_lowercase()
}

/// Returns the keys of all authors named in a text.
pub(crate) fn author_keys(text: &str) -> impl Iterator<Item = String> {
    let names = text.split([';', '；']).map(key);
    names.filter(|name| !name.is_empty())
}

/// Without spaces at the ends, and with one in the place of several.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Tidies each, and keeps one of those that compare as the same.
fn tidy_list(items: BTreeSet<String>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let items = items.iter().map(|item| tidy(item));
    items
        .filter(|item| !item.is_empty() && seen.insert(key(item)))
        .collect()
}

fn check_count(what: &str, n: usize) -> Result<()> {
    if n > MAX_ITEMS {
        return Err(invalid(format!(
            "{n} {what} are too many; use at most {MAX_ITEMS}"
        )));
    }
    Ok(())
}

fn check_chars(what: &str, text: &str) -> Result<()> {
    if !(1..=MAX_CHARS).contains(&text.chars().count()) {
        return Err(invalid(format!(
            "the {what} must have 1 to {MAX_CHARS} characters"
        )));
    }
    Ok(())
}

/// Returns the error that metadata or a filter cannot be.
#[must_use]
pub fn invalid(reason: String) -> Error {
    Error::InvalidMetadata { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[&str]) -> BTreeSet<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn tags_are_tidied_and_each_kept_once() {
        let change = MetadataChange {
            tags: Some(Some(set(&["  Human  resources ", "ＨＲ", "hr", ""]))),
            author: Some(Some(" 佐藤　花子 ".to_owned())),
            ..MetadataChange::default()
        };
        let checked = change.checked().unwrap();
        assert_eq!(checked.tags, Some(Some(set(&["Human resources", "hr"]))));
        assert_eq!(checked.author, Some(Some("佐藤 花子".to_owned())));
    }

    #[test]
    fn too_much_is_refused() {
        let many: BTreeSet<String> = (0..65).map(|n| n.to_string()).collect();
        for change in [
            MetadataChange {
                tags: Some(Some(many.clone())),
                ..MetadataChange::default()
            },
            MetadataChange {
                supersedes: Some(Some(many)),
                ..MetadataChange::default()
            },
            MetadataChange {
                author: Some(Some(" ".to_owned())),
                ..MetadataChange::default()
            },
            MetadataChange {
                tags: Some(Some(set(&["x".repeat(201).as_str()]))),
                ..MetadataChange::default()
            },
            MetadataChange {
                supersedes: Some(Some(set(&[""]))),
                ..MetadataChange::default()
            },
        ] {
            assert!(matches!(
                change.checked(),
                Err(Error::InvalidMetadata { .. })
            ));
        }
    }

    #[test]
    fn names_compare_without_width_and_case() {
        assert_eq!(key(" Ｓａｔｏ  Hanako"), "sato hanako");
        assert_eq!(
            author_keys("Sato; 田中；").collect::<Vec<_>>(),
            ["sato", "田中"]
        );
    }
}
