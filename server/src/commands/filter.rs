//! Flags that several commands have: which documents to look at, and what is known about documents.

use crate::routes::filter::{Filter, day_or_today};
use crate::routes::metadata::MetadataChange;
use kura_indexer::filter::media_type;
use kura_indexer::{Result, date};

/// Which documents to look at.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Filter")]
pub(super) struct FilterArgs {
    /// Only documents with this tag; may be repeated: with all of them.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Only documents with one of these tags; may be repeated.
    #[arg(long, value_name = "TAG")]
    any_tag: Vec<String>,
    /// Only documents by this author; may be repeated: by one of them.
    #[arg(long, value_name = "NAME")]
    author: Vec<String>,
    /// Only documents of this type, such as `pdf` or `text/html`; may be repeated: of one of them.
    #[arg(long = "type", value_name = "TYPE", value_parser = known_type)]
    media_type: Vec<String>,
    /// Only documents dated this day or later: 2024-04-01, 2024年4月1日, 令和6年4月1日, R6.4.1, 2024.
    #[arg(long, value_name = "DATE", value_parser = a_date)]
    since: Option<String>,
    /// Only documents dated this day or earlier.
    #[arg(long, value_name = "DATE", value_parser = a_date)]
    until: Option<String>,
    /// Only documents in force on this day, or `today`; leaves out those that another document supersedes.
    #[arg(long, value_name = "DATE", value_parser = a_day)]
    as_of: Option<String>,
    /// Whether to look at documents that another one supersedes.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    include_superseded: Option<bool>,
}

impl FilterArgs {
    /// Returns the filter; `None` when no flag was given.
    pub(super) fn filter(self) -> Option<Filter> {
        let filter = Filter {
            tags: given(self.tag),
            any_tags: given(self.any_tag),
            authors: given(self.author),
            types: given(self.media_type),
            since: self.since,
            until: self.until,
            as_of: self.as_of,
            include_superseded: self.include_superseded,
        };
        (filter != Filter::default()).then_some(filter)
    }
}

/// What is known about documents that are added.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Metadata of all files; wins over what a file says itself")]
pub(super) struct MetadataArgs {
    /// A tag; may be repeated.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Who wrote them.
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Their own date: 2024-04-01, 2024年4月1日, 令和6年4月1日, R6.4.1.
    #[arg(long, value_name = "DATE", value_parser = a_date)]
    date: Option<String>,
    /// The first day on which they are in force.
    #[arg(long, value_name = "DATE", value_parser = a_date)]
    valid_from: Option<String>,
    /// The first day on which they are no longer in force.
    #[arg(long, value_name = "DATE", value_parser = a_date)]
    valid_until: Option<String>,
    /// Source of a document of the collection that they replace; may be repeated.
    #[arg(long, value_name = "SOURCE")]
    supersedes: Vec<String>,
}

impl MetadataArgs {
    /// Returns what was said.
    pub(super) fn change(self) -> MetadataChange {
        MetadataChange {
            tags: given(self.tag).map(Some),
            author: self.author.map(Some),
            date: self.date.map(Some),
            valid_from: self.valid_from.map(Some),
            valid_until: self.valid_until.map(Some),
            supersedes: given(self.supersedes).map(Some),
        }
    }
}

// Checked here, so that a mistake is one of usage; the words go on as they are, to this process or the server.

fn a_date(text: &str) -> Result<String> {
    date::parse(text).map(|_| text.to_owned())
}

fn a_day(text: &str) -> Result<String> {
    day_or_today(text).map(|_| text.to_owned())
}

fn known_type(text: &str) -> Result<String> {
    media_type(text).map(|_| text.to_owned())
}

fn given(values: Vec<String>) -> Option<Vec<String>> {
    Some(values).filter(|values| !values.is_empty())
}
