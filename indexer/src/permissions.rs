//! Whom collections are for, and who may read a document: seen and changed.

use crate::access::{AccessFilter, Acl, GroupId, Member};
use crate::catalog::Collection;
use crate::pipeline::Pipeline;
use crate::{CollectionId, DocumentId, Result};
use std::collections::{BTreeSet, HashSet};

impl Pipeline {
    /// Creates a collection for these members.
    ///
    /// # Errors
    /// [`crate::Error::InvalidCollectionName`]; [`crate::Error::CollectionExists`]; [`crate::Error::InvalidAccess`].
    pub async fn new_collection(&self, name: &str, members: Vec<Member>) -> Result<Collection> {
        let name = name.to_owned();
        self.catalog(move |catalog| catalog.new_collection(&name, &members))
            .await
    }

    /// Returns the collections that one who is in these groups may read.
    pub async fn readable_collections(
        &self,
        groups: &BTreeSet<GroupId>,
    ) -> Result<Vec<CollectionId>> {
        let groups = groups.clone();
        self.catalog(move |catalog| catalog.readable_collections(&groups))
            .await
    }

    /// Returns the collections that one who is in these groups may change.
    pub async fn writable_collections(
        &self,
        groups: &BTreeSet<GroupId>,
    ) -> Result<Vec<CollectionId>> {
        let groups = groups.clone();
        self.catalog(move |catalog| catalog.writable_collections(&groups))
            .await
    }

    /// Returns whom a collection is for, by group.
    ///
    /// # Errors
    /// [`crate::Error::UnknownCollection`], as for [`Pipeline::collection`].
    pub async fn members(&self, name: &str, access: &AccessFilter) -> Result<Vec<Member>> {
        let id = self.collection(name, access).await?.id;
        self.catalog(move |catalog| catalog.members(id)).await
    }

    /// Replaces whom a collection is for. When it returns, it does not exist for others; no index is touched.
    ///
    /// # Errors
    /// [`crate::Error::UnknownCollection`], as for [`Pipeline::collection`]; [`crate::Error::InvalidAccess`].
    pub async fn set_members(
        &self,
        name: &str,
        members: Vec<Member>,
        access: &AccessFilter,
    ) -> Result<()> {
        let id = self.collection(name, access).await?.id;
        self.catalog(move |catalog| catalog.set_members(id, &members))
            .await
    }

    /// Changes who may read a document and what lies in it. When it returns, searches go by it; nothing is embedded again.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDocument`] when it is absent or not for this principal; [`crate::Error::PartOfDocument`] when it lies in
    /// another one. After any other error the change holds if the catalog has it, whatever the index still says.
    pub async fn set_acl(&self, id: DocumentId, acl: Acl, access: &AccessFilter) -> Result<()> {
        self.document(id, access).await?;
        self.catalog(move |catalog| catalog.set_acl(id, &acl))
            .await?;
        self.index_attributes().await
    }

    /// Returns those of these documents that may be read.
    pub async fn readable_documents(
        &self,
        ids: Vec<DocumentId>,
        access: &AccessFilter,
    ) -> Result<HashSet<DocumentId>> {
        let access = access.clone();
        self.catalog(move |catalog| catalog.readable_documents(&ids, &access))
            .await
    }
}
