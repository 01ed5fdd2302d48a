//! A collection that a data set is made from: read here, or by way of the server that holds the data directory.

use super::retrieval::all_documents;
use crate::client::Client;
use crate::routes;
use anyhow::Context as _;
use kura_indexer::retrieve::{RankOptions, SearchRequest};
use kura_indexer::{AccessFilter, Collections, DocumentId, Pipeline, SearchFilter};
use std::sync::Arc;

/// A collection's documents, their texts, and its search.
pub enum Library {
    /// This process has the data directory.
    Local {
        /// What is read.
        pipeline: Arc<Pipeline>,
        /// The collection.
        collections: Collections,
        /// On whose behalf.
        access: AccessFilter,
    },
    /// A server has it.
    Server {
        /// The way there.
        client: Client,
        /// The collection's name.
        collection: String,
    },
}

/// A document of the collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its title.
    pub title: String,
    /// Of its bytes, lower-case hex.
    pub sha256: String,
    /// Whether it has a text to be read and found.
    pub searchable: bool,
}

impl Library {
    /// Returns a collection that this process reads.
    ///
    /// # Errors
    /// When there is no such collection.
    pub async fn local(
        pipeline: Arc<Pipeline>,
        collection: &str,
        access: AccessFilter,
    ) -> anyhow::Result<Self> {
        let collections =
            Collections::Only(vec![pipeline.collection(collection, &access).await?.id]);
        Ok(Self::Local {
            pipeline,
            collections,
            access,
        })
    }

    /// Returns a collection that a server reads.
    ///
    /// # Errors
    /// When there is no such collection, or the server does not answer.
    pub async fn server(client: Client, collection: &str) -> anyhow::Result<Self> {
        let library = Self::Server {
            client,
            collection: collection.to_owned(),
        };
        // A list of its documents is refused where there is no such collection.
        library.documents().await?;
        Ok(library)
    }

    /// Returns the documents by source.
    ///
    /// # Errors
    /// Those of the catalog or of the server.
    pub async fn documents(&self) -> anyhow::Result<Vec<Listed>> {
        let mut documents: Vec<Listed> = match self {
            Self::Local {
                pipeline,
                collections,
                access,
            } => {
                let listed = all_documents(pipeline, collections, access).await?;
                listed.into_iter().map(Listed::from).collect()
            }
            Self::Server { client, collection } => {
                let (client, collection) = (client.clone(), collection.clone());
                let listed = blocking(move || client.documents(&collection)).await?;
                listed.into_iter().map(Listed::from).collect()
            }
        };
        documents.sort_by(|a, b| a.source.cmp(&b.source));
        Ok(documents)
    }

    /// Returns a document's text.
    ///
    /// # Errors
    /// When it is gone, or those of the catalog or of the server.
    pub async fn text(&self, id: &str) -> anyhow::Result<String> {
        match self {
            Self::Local {
                pipeline, access, ..
            } => {
                let id: DocumentId = id.parse().context("a document's id is no UUID")?;
                Ok(pipeline.document_text(id, access).await?)
            }
            Self::Server { client, .. } => {
                let (client, id) = (client.clone(), id.to_owned());
                blocking(move || Ok(client.document_text(&id)?.text)).await
            }
        }
    }

    /// Searches as a user would; returns the ids of the documents of the first `limit` chunks, best first, each once.
    ///
    /// # Errors
    /// Those of the search or of the server.
    pub async fn search(&self, query: &str, limit: usize) -> anyhow::Result<Vec<String>> {
        let found: Vec<String> = match self {
            Self::Local {
                pipeline,
                collections,
                access,
            } => {
                let request = SearchRequest {
                    text: query.to_owned(),
                    collections: collections.clone(),
                    filter: SearchFilter::default(),
                    limit,
                };
                let options = RankOptions {
                    // What is found must not depend on how busy the machine is.
                    late_budget: None,
                    ..pipeline.rank_options(limit)
                };
                let ranking = pipeline.rank(&request, &options, access).await?;
                let hits = ranking.into_output(limit, true).hits.into_iter();
                hits.map(|hit| hit.chunk.document.to_string()).collect()
            }
            Self::Server { client, collection } => {
                let request = routes::search::SearchRequest {
                    query: query.to_owned(),
                    collections: Some(vec![collection.clone()]),
                    limit: Some(limit),
                    filter: None,
                };
                let client = client.clone();
                let response = blocking(move || client.search(&request)).await?;
                response.items.into_iter().map(|hit| hit.document).collect()
            }
        };
        let mut documents: Vec<String> = Vec::new();
        for document in found {
            if !documents.contains(&document) {
                documents.push(document);
            }
        }
        Ok(documents)
    }

    /// Returns the number of the index generation that is searched; a server does not tell.
    ///
    /// # Errors
    /// Those of the catalog.
    pub async fn generation(&self) -> anyhow::Result<Option<u64>> {
        match self {
            Self::Local { pipeline, .. } => Ok(Some(pipeline.generation().await?)),
            Self::Server { .. } => Ok(None),
        }
    }
}

impl From<kura_indexer::catalog::Document> for Listed {
    fn from(document: kura_indexer::catalog::Document) -> Self {
        Self {
            id: document.id.to_string(),
            searchable: document.n_chunks > 0,
            source: document.source,
            title: document.title,
            sha256: document.sha256,
        }
    }
}

impl From<routes::documents::Document> for Listed {
    fn from(document: routes::documents::Document) -> Self {
        Self {
            id: document.id,
            searchable: document.n_chunks > 0,
            source: document.source,
            title: document.title,
            sha256: document.sha256,
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("a background task failed")?
}
