//! Filters by metadata: both engines, the catalog and the plain definition agree, through changes, crashes and upgrades.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pipeline;
mod store;

use std::collections::BTreeSet;

fn set<S: AsRef<str>>(items: &[S]) -> BTreeSet<String> {
    items.iter().map(|item| item.as_ref().to_owned()).collect()
}
