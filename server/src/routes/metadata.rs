//! `metadata` of documents: read, given at upload, changed later.

use super::documents::Document;
use super::permissions::may_change;
use super::{Json, Path, Problems, document_id};
use crate::app::AppState;
use crate::auth::Principal;
use crate::error::ApiError;
use axum::extract::State;
use jiff::civil::Date;
use kura_indexer::catalog;
use kura_indexer::{Result, date, metadata};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// What is known about a document: given by people, or else found in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DocumentMetadata)]
pub struct Metadata {
    /// Words to sort it by.
    pub tags: Vec<String>,
    /// Who wrote it; several have `;` between them.
    #[schema(required)]
    pub author: Option<String>,
    /// Its own date: when it was written or last changed.
    #[schema(required, value_type = Option<String>, format = Date)]
    pub date: Option<Date>,
    /// The first day on which it is in force; since ever when absent.
    #[schema(required, value_type = Option<String>, format = Date)]
    pub valid_from: Option<Date>,
    /// The first day on which it is no longer in force; for ever when absent.
    #[schema(required, value_type = Option<String>, format = Date)]
    pub valid_until: Option<Date>,
    /// Sources of documents of the same collection that it replaces, from `valid_from` on.
    pub supersedes: Vec<String>,
    /// From when on another document stands in its place; `0000-01-01` means since ever.
    #[schema(required, value_type = Option<String>, format = Date)]
    pub superseded_from: Option<Date>,
}

/// A change of what people said about a document. What is left out stays as it is; what is `null` is taken back, and
/// what the file itself says counts again.
///
/// Dates are written like `2024-04-01`, `2024年4月1日` or `令和6年4月1日`; a year or a month alone stand for their first day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetadataChange {
    /// Words to sort it by.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Vec<String>>)]
    pub tags: Option<Option<Vec<String>>>,
    /// Who wrote it; several have `;` between them.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    pub author: Option<Option<String>>,
    /// Its own date.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    pub date: Option<Option<String>>,
    /// The first day on which it is in force.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    pub valid_from: Option<Option<String>>,
    /// The first day on which it is no longer in force.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    pub valid_until: Option<Option<String>>,
    /// Sources of documents of the same collection that it replaces, from `valid_from` on. They need not exist yet.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Vec<String>>)]
    pub supersedes: Option<Option<Vec<String>>>,
}

/// What to change about a document.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentChange {
    /// What is known about it.
    pub metadata: MetadataChange,
}

/// Changes a document's metadata.
///
/// Searches go by it when this returns. Nothing is extracted or embedded again.
#[utoipa::path(patch, path = "/api/v1/documents/{id}", tag = "documents", request_body = DocumentChange,
    params(("id" = String, Path, description = "The document's id")),
    responses((status = 200, body = Document), Problems))]
pub async fn change_document(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    Json(change): Json<DocumentChange>,
) -> std::result::Result<axum::Json<Document>, ApiError> {
    let (id, change) = (document_id(&id)?, change.metadata.to_core()?);
    let access = principal.access();
    let document = app.pipeline.document(id, &access).await?;
    may_change(&app, &principal, document.collection).await?;
    let document = app.pipeline.set_metadata(id, change, &access).await?;
    Ok(axum::Json(document.into()))
}

impl MetadataChange {
    /// Returns the change as the catalog takes it.
    ///
    /// # Errors
    /// [`kura_indexer::Error::InvalidDate`].
    pub fn to_core(&self) -> Result<metadata::MetadataChange> {
        let list = |given: &Option<Option<Vec<String>>>| {
            let given = given.as_ref()?;
            Some(given.as_ref().map(|items| items.iter().cloned().collect()))
        };
        Ok(metadata::MetadataChange {
            tags: list(&self.tags),
            author: self.author.clone(),
            date: day(self.date.as_ref())?,
            valid_from: day(self.valid_from.as_ref())?,
            valid_until: day(self.valid_until.as_ref())?,
            supersedes: list(&self.supersedes),
        })
    }
}

impl Metadata {
    /// Returns what is known about a document.
    #[must_use]
    pub fn of(document: &catalog::Document) -> Self {
        let known = document.metadata.clone();
        Self {
            tags: known.tags.into_iter().collect(),
            author: known.author,
            date: known.date,
            valid_from: known.valid_from,
            valid_until: known.valid_until,
            supersedes: known.supersedes.into_iter().collect(),
            superseded_from: document.superseded_from,
        }
    }
}

fn day(given: Option<&Option<String>>) -> Result<Option<Option<Date>>> {
    let Some(given) = given else {
        return Ok(None);
    };
    let day = given.as_deref().map(date::parse_day).transpose()?;
    Ok(Some(day))
}

/// Tells `null` from what is left out.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_not_the_same_as_left_out() {
        let json = r#"{"author":null,"date":"R6.4.1","tags":[]}"#;
        let change: MetadataChange = serde_json::from_str(json).unwrap();
        let core = change.to_core().unwrap();
        assert_eq!(core.author, Some(None));
        assert_eq!(core.date, Some(Some(jiff::civil::date(2024, 4, 1))));
        assert_eq!(core.tags, Some(Some(std::collections::BTreeSet::new())));
        assert_eq!((core.valid_from, core.supersedes), (None, None));
        let back = serde_json::to_value(&change).unwrap();
        assert_eq!(
            back,
            serde_json::from_str::<serde_json::Value>(json).unwrap()
        );
    }
}
