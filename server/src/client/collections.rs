//! Collections: what they hold, whom they are for, and their dictionaries.

use super::{Client, escape, read, refused};
use crate::routes::collections::{Collection, NewCollection};
use crate::routes::dictionaries::Dictionary;
use crate::routes::permissions::CollectionMember;
use crate::routes::quality::Quality;
use anyhow::Context as _;
use kura_egress::types::StatusCode;

impl Client {
    /// Returns the collections.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn collections(&self) -> anyhow::Result<Vec<Collection>> {
        self.all("/api/v1/collections?limit=200")
    }

    /// Creates a collection.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn create_collection(&self, new: &NewCollection) -> anyhow::Result<Collection> {
        read(self.post("/api/v1/collections", new)?)
    }

    /// Returns a collection's quality report.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn quality(&self, collection: &str) -> anyhow::Result<Quality> {
        let path = format!("/api/v1/collections/{}/quality", escape(collection));
        read(self.get(&path)?)
    }

    /// Returns whom a collection is for.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn members(&self, collection: &str) -> anyhow::Result<Vec<CollectionMember>> {
        read(self.get(&members_path(collection))?)
    }

    /// Replaces whom a collection is for.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn put_members(
        &self,
        collection: &str,
        members: &[CollectionMember],
    ) -> anyhow::Result<Vec<CollectionMember>> {
        let response = self
            .agent
            .put(format!("{}{}", self.url, members_path(collection)))
            .header("authorization", self.authorization())
            .send_json(members)
            .with_context(|| self.silent())?;
        read(response)
    }

    /// Sets a collection's dictionary.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn put_dictionary(&self, collection: &str, csv: &[u8]) -> anyhow::Result<Dictionary> {
        let response = self
            .agent
            .put(format!("{}{}", self.url, dictionary_path(collection)))
            .header("authorization", self.authorization())
            .header("content-type", "text/csv")
            .send(csv)
            .with_context(|| self.silent())?;
        read(response)
    }

    /// Returns a collection's dictionary.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn dictionary(&self, collection: &str) -> anyhow::Result<String> {
        let mut response = self.get(&dictionary_path(collection))?;
        if response.status() != StatusCode::OK {
            return Err(refused(response));
        }
        Ok(response.body_mut().read_to_string()?)
    }

    /// Removes a collection's dictionary.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn remove_dictionary(&self, collection: &str) -> anyhow::Result<()> {
        self.delete(&dictionary_path(collection))
    }
}

fn members_path(collection: &str) -> String {
    format!("/api/v1/collections/{}/members", escape(collection))
}

fn dictionary_path(collection: &str) -> String {
    format!("/api/v1/collections/{}/dictionary", escape(collection))
}
