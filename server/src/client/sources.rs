//! Sources: what they are, and what is asked of them.

use super::{Client, escape, read};
use crate::routes::sources::{ScanToRun, Source, SourceChange, SourceItem, SourceToAdd};
use anyhow::Context as _;

impl Client {
    /// Returns all sources.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn sources(&self) -> anyhow::Result<Vec<Source>> {
        self.all("/api/v1/sources?limit=200")
    }

    /// Returns a source.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn source(&self, name: &str) -> anyhow::Result<Source> {
        read(self.get(&source_path(name))?)
    }

    /// Returns the items of a source that have an error.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn failed_items(&self, name: &str) -> anyhow::Result<Vec<SourceItem>> {
        self.all(&format!(
            "{}/items?failed=true&limit=200",
            source_path(name)
        ))
    }

    /// Adds a source.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn add_source(&self, new: &SourceToAdd) -> anyhow::Result<Source> {
        read(self.post("/api/v1/sources", new)?)
    }

    /// Pauses or resumes a source.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn change_source(&self, name: &str, change: SourceChange) -> anyhow::Result<Source> {
        let response = self
            .agent
            .patch(format!("{}{}", self.url, source_path(name)))
            .header("authorization", self.authorization())
            .send_json(change)
            .with_context(|| self.silent())?;
        read(response)
    }

    /// Asks for a scan.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn scan_source(&self, name: &str, scan: ScanToRun) -> anyhow::Result<Source> {
        read(self.post(&format!("{}/scan", source_path(name)), &scan)?)
    }

    /// Removes a source.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn remove_source(&self, name: &str, with_documents: bool) -> anyhow::Result<()> {
        self.delete(&format!(
            "{}?with_documents={with_documents}",
            source_path(name)
        ))
    }
}

fn source_path(name: &str) -> String {
    format!("/api/v1/sources/{}", escape(name))
}
