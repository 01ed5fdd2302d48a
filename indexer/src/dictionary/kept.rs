//! The dictionaries of a data directory: kept in the catalog, ready in memory.

use super::{Dictionary, Expansion, expand};
use crate::access::Collections;
use crate::catalog::Catalog;
use crate::pipeline::Pipeline;
use crate::{AccessFilter, CollectionId, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Those collections' dictionaries that have one.
#[derive(Default)]
pub(crate) struct Dictionaries {
    by_collection: RwLock<BTreeMap<CollectionId, Arc<Dictionary>>>,
}

impl Dictionaries {
    /// Reads them from the catalog.
    pub(crate) fn load(catalog: &Catalog) -> Result<Self> {
        let mut by_collection = BTreeMap::new();
        let everything = AccessFilter::unrestricted("loading the dictionaries");
        for collection in catalog.collections(&everything)? {
            let Some(csv) = catalog.dictionary(collection.id)? else {
                continue;
            };
            match Dictionary::parse(csv.as_bytes()) {
                Ok(dictionary) => drop(by_collection.insert(collection.id, Arc::new(dictionary))),
                // Another version may have had other rules; searching goes on without it.
                Err(error) => {
                    tracing::error!(collection = %collection.name, error = %error, "the dictionary is not used");
                }
            }
        }
        Ok(Self {
            by_collection: RwLock::new(by_collection),
        })
    }

    fn put(&self, collection: CollectionId, dictionary: Option<Arc<Dictionary>>) {
        let mut by_collection = self
            .by_collection
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match dictionary {
            Some(dictionary) => drop(by_collection.insert(collection, dictionary)),
            None => drop(by_collection.remove(&collection)),
        }
    }

    fn of(&self, collections: &Collections) -> Vec<(CollectionId, Arc<Dictionary>)> {
        let by_collection = self
            .by_collection
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        by_collection
            .iter()
            .filter(|(id, _)| collections.contains(**id))
            .map(|(&id, dictionary)| (id, Arc::clone(dictionary)))
            .collect()
    }
}

impl Pipeline {
    /// Keeps a collection's dictionary in place of the one before; the next search uses it. Returns how many terms it has.
    ///
    /// # Errors
    /// [`crate::Error::UnknownCollection`], [`crate::Error::InvalidDictionary`]; then the one before stays.
    pub async fn set_dictionary(
        &self,
        collection: &str,
        csv: &[u8],
        access: &AccessFilter,
    ) -> Result<usize> {
        let id = self.collection(collection, access).await?.id;
        let dictionary = Arc::new(Dictionary::parse(csv)?);
        let (text, _) = crate::extract::decode(csv);
        let _changing = self.changing.lock().await;
        self.catalog(move |catalog| catalog.set_dictionary(id, &text))
            .await?;
        let n_terms = dictionary.entries().len();
        self.dictionaries.put(id, Some(dictionary));
        Ok(n_terms)
    }

    /// Returns a collection's dictionary as CSV; one that was never set has its first line only.
    ///
    /// # Errors
    /// [`crate::Error::UnknownCollection`].
    pub async fn dictionary(&self, collection: &str, access: &AccessFilter) -> Result<String> {
        let id = self.collection(collection, access).await?.id;
        let csv = self.catalog(move |catalog| catalog.dictionary(id)).await?;
        Ok(csv.unwrap_or_else(|| super::file::EMPTY.to_owned()))
    }

    /// Removes a collection's dictionary, if it has one.
    ///
    /// # Errors
    /// [`crate::Error::UnknownCollection`].
    pub async fn remove_dictionary(&self, collection: &str, access: &AccessFilter) -> Result<()> {
        let id = self.collection(collection, access).await?.id;
        let _changing = self.changing.lock().await;
        self.catalog(move |catalog| catalog.remove_dictionary(id))
            .await?;
        self.dictionaries.put(id, None);
        Ok(())
    }

    /// Forgets the dictionary of a collection that is gone.
    pub(crate) fn forget_dictionary(&self, collection: CollectionId) {
        self.dictionaries.put(collection, None);
    }

    /// Returns a query with what the dictionaries of the searched collections add to it.
    #[must_use]
    pub fn expand(&self, query: &str, collections: &Collections) -> Expansion {
        expand(&self.dictionaries.of(collections), query)
    }
}
