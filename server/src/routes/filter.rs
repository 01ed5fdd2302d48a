//! `filter` of searches and questions: which documents to look at.

use crate::error::ApiError;
use jiff::civil::Date;
use kura_indexer::filter::media_type;
use kura_indexer::metadata::invalid;
use kura_indexer::{Result, SearchFilter, date};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Most values of one kind.
const MAX_VALUES: usize = 100;

/// Which documents to look at, by their metadata; all that is given must hold.
///
/// Tags and authors compare without regard to width and case. Dates are written like `2024-04-01`, `2024/4/1`,
/// `2024年4月1日`, `令和6年4月1日` or `R6.4.1`; a year or a year and month stand for their first day, in `until` for their
/// last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SearchFilter)]
pub struct Filter {
    /// Documents with all of these tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Documents with one of these tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_tags: Option<Vec<String>>,
    /// Documents by one of these authors, whose whole name is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authors: Option<Vec<String>>,
    /// Documents of one of these types: extensions such as `pdf`, or media types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<String>>,
    /// Documents whose date is not before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Documents whose date is not after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Documents in force on this day, also `today`: `valid_from` is not later, `valid_until` is. A document without
    /// these is always in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Whether to look at documents in whose place another one stands, on the day of `as_of` or else today. When absent:
    /// no with `as_of`, yes without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_superseded: Option<bool>,
}

impl Filter {
    /// Returns the filter as the index takes it.
    ///
    /// # Errors
    /// [`kura_indexer::Error::InvalidDate`]; [`kura_indexer::Error::InvalidMetadata`] for a list without values or with
    /// too many, an unknown type, and an end before the beginning.
    pub fn to_core(&self) -> Result<SearchFilter> {
        let types = values("types", self.types.as_ref())?;
        let since = self.since.as_deref().map(date::parse_day).transpose()?;
        let until = self.until.as_deref().map(date::parse).transpose()?;
        let until = until.map(|period| period.last);
        if let (Some(since), Some(until)) = (since, until)
            && until < since
        {
            return Err(invalid(format!(
                "`since` ({since}) is later than `until` ({until}); no document can pass"
            )));
        }
        let as_of = self.as_of.as_deref().map(day_or_today).transpose()?;
        let include_superseded = self.include_superseded.unwrap_or(as_of.is_none());
        Ok(SearchFilter {
            tags: values("tags", self.tags.as_ref())?,
            any_tags: values("any_tags", self.any_tags.as_ref())?,
            authors: values("authors", self.authors.as_ref())?,
            media_types: types
                .iter()
                .map(|name| media_type(name))
                .collect::<Result<_>>()?,
            since,
            until,
            as_of,
            not_superseded_on: (!include_superseded).then(|| as_of.unwrap_or_else(today)),
        })
    }
}

/// Returns the filter of a request as the index takes it; without one, everything passes.
///
/// # Errors
/// Like [`Filter::to_core`].
pub fn to_core(filter: Option<&Filter>) -> Result<SearchFilter> {
    filter.map_or_else(|| Ok(SearchFilter::default()), Filter::to_core)
}

/// Reads a filter from the query string of a list: JSON.
pub(crate) fn from_query(json: Option<&str>) -> std::result::Result<SearchFilter, ApiError> {
    let filter: Option<Filter> = json
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| {
            ApiError::invalid(format!(
                "`filter` cannot be read: {error}; write it as JSON, like {{\"tags\":[\"hr\"]}}"
            ))
        })?;
    Ok(to_core(filter.as_ref())?)
}

fn values(name: &str, given: Option<&Vec<String>>) -> Result<BTreeSet<String>> {
    let Some(given) = given else {
        return Ok(BTreeSet::new());
    };
    if given.is_empty() || given.iter().any(|value| value.trim().is_empty()) {
        return Err(invalid(format!(
            "`{name}` of the filter has an empty value; leave it out, or say what to look for"
        )));
    }
    if given.len() > MAX_VALUES {
        return Err(invalid(format!(
            "`{name}` of the filter has {} values; at most {MAX_VALUES} are accepted",
            given.len()
        )));
    }
    Ok(given.iter().cloned().collect())
}

/// Reads a day, which may be `today`.
///
/// # Errors
/// [`kura_indexer::Error::InvalidDate`].
pub(crate) fn day_or_today(text: &str) -> Result<Date> {
    if ["today", "今日", "本日"].contains(&text.trim().to_lowercase().as_str()) {
        return Ok(today());
    }
    date::parse_day(text)
}

/// Where the server stands.
fn today() -> Date {
    jiff::Zoned::now().date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(json: &str) -> Result<SearchFilter> {
        serde_json::from_str::<Filter>(json).unwrap().to_core()
    }

    fn day(text: &str) -> Option<Date> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn superseded_documents_are_left_out_where_a_day_is_named() {
        let as_of = filter(r#"{"as_of": "令和6年4月1日"}"#).unwrap();
        assert_eq!(as_of.as_of, day("2024-04-01"));
        assert_eq!(as_of.not_superseded_on, day("2024-04-01"));
        let with = filter(r#"{"as_of": "2024-04-01", "include_superseded": true}"#).unwrap();
        assert_eq!(with.not_superseded_on, None);
        let without = filter(r#"{"include_superseded": false}"#).unwrap();
        assert_eq!(
            (without.as_of, without.not_superseded_on),
            (None, Some(today()))
        );
        assert_eq!(filter("{}").unwrap(), SearchFilter::default());
        assert_eq!(
            filter(r#"{"as_of": "Today"}"#).unwrap().as_of,
            Some(today())
        );
    }

    #[test]
    fn a_year_lasts_until_its_end() {
        let year = filter(r#"{"since": "令和5年", "until": "令和5年", "types": ["PDF"]}"#).unwrap();
        assert_eq!(
            (year.since, year.until),
            (day("2023-01-01"), day("2023-12-31"))
        );
        assert!(year.media_types.contains("application/pdf"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_reason() {
        for (json, told) in [
            (r#"{"tags": []}"#, "`tags`"),
            (r#"{"authors": [" "]}"#, "`authors`"),
            (r#"{"types": ["wpd"]}"#, "`wpd`"),
            (r#"{"since": "soon"}"#, "`soon`"),
            (r#"{"as_of": "平成40年4月1日"}"#, "平成"),
            (r#"{"since": "2024-04-02", "until": "2024-04-01"}"#, "later"),
        ] {
            let error = filter(json).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(serde_json::from_str::<Filter>(r#"{"tag": ["x"]}"#).is_err());
    }
}
