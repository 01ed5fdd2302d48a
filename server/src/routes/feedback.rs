//! `/api/v1/answers/{id}/feedback` and `/api/v1/feedback`

use super::ask::Outcome;
use super::{Json, Path, Problems, document_id, require_text, uuid};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::conversations as store;
use crate::error::{ApiError, Code};
use crate::telemetry;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use kura_indexer::{AccessFilter, DocumentId, Pipeline};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::ToSchema;

/// The media type of one JSON object a line.
const JSON_LINES: &str = "application/jsonl";

/// Whether an answer was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rating {
    /// It was.
    Up,
    /// It was not.
    Down,
}

/// What a person says about an answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFeedback {
    /// Whether it was good.
    pub rating: Rating,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What it should have said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected_answer: Option<String>,
    /// Id of the document that it should have cited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
}

/// What a person said about an answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Feedback {
    /// Whether it was good.
    pub rating: Rating,
    /// Why.
    #[schema(required)]
    pub comment: Option<String>,
    /// What it should have said.
    #[schema(required)]
    pub corrected_answer: Option<String>,
    /// Id of the document that it should have cited; the document may be gone since.
    #[schema(required)]
    pub document: Option<String>,
    /// When it was first given.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: jiff::Timestamp,
}

/// An answer with what the person who asked said about it; who that is, is left out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RatedAnswer {
    /// The answer's id.
    pub id: String,
    /// The question as it was asked.
    pub question: String,
    /// The question as retrieval saw it: with what a follow-up leans on.
    pub standalone_question: String,
    /// Names of the collections searched; all when absent.
    #[schema(required)]
    pub collections: Option<Vec<String>>,
    /// How the answer ended; `withdrawn` when a document that it cited was replaced or deleted since.
    pub outcome: Outcome,
    /// The answer; that of a withdrawn one is gone.
    pub answer: String,
    /// Documents that it cited when it was rated, each once.
    pub cited: Vec<DocumentRef>,
    /// Whether it was good.
    pub rating: Rating,
    /// Why.
    #[schema(required)]
    pub comment: Option<String>,
    /// What it should have said.
    #[schema(required)]
    pub corrected_answer: Option<String>,
    /// The document that it should have cited.
    #[schema(required)]
    pub document: Option<DocumentRef>,
    /// When it was first rated.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When the feedback last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: jiff::Timestamp,
}

/// A document, which may be gone.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DocumentRef {
    /// Its id.
    pub id: String,
    /// Its collection; absent when the document was deleted.
    #[schema(required)]
    pub collection: Option<String>,
    /// Its source; absent when the document was deleted.
    #[schema(required)]
    pub source: Option<String>,
}

/// Says what one thinks of an answer of one's own, in place of what one said before.
#[utoipa::path(put, path = "/api/v1/answers/{id}/feedback", tag = "feedback", request_body = NewFeedback,
    params(("id" = String, Path, description = "The answer's id")),
    responses((status = 200, body = Feedback), Problems))]
pub async fn put_feedback(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    Json(request): Json<NewFeedback>,
) -> Result<axum::Json<Feedback>, ApiError> {
    let answer = uuid(&id, || unknown_answer(&id))?;
    for (name, text) in [
        ("comment", &request.comment),
        ("corrected_answer", &request.corrected_answer),
    ] {
        if let Some(text) = text {
            require_text(name, text)?;
        }
    }
    let document = request.document.as_deref().map(document_id).transpose()?;
    if let Some(document) = document {
        app.pipeline.document(document, &principal.access()).await?;
    }
    let feedback = store::NewFeedback {
        rating: request.rating.into(),
        comment: request.comment,
        corrected_answer: request.corrected_answer,
        document,
    };
    let kept = app.conversations.rate(principal.id(), answer, feedback);
    let kept = kept.await?.ok_or_else(|| unknown_answer(&id))?;
    telemetry::record_feedback(match request.rating {
        Rating::Up => "up",
        Rating::Down => "down",
    });
    Ok(axum::Json(kept.into()))
}

/// Returns what one said about an answer of one's own.
#[utoipa::path(get, path = "/api/v1/answers/{id}/feedback", tag = "feedback",
    params(("id" = String, Path, description = "The answer's id")),
    responses((status = 200, body = Feedback), Problems))]
pub async fn get_feedback(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<axum::Json<Feedback>, ApiError> {
    let answer = uuid(&id, || unknown_answer(&id))?;
    let kept = app.conversations.feedback(principal.id(), answer).await?;
    let kept = kept
        .ok_or_else(|| unknown_answer(&id))?
        .ok_or_else(|| no_feedback(&id))?;
    Ok(axum::Json(kept.into()))
}

/// Takes back what one said about an answer of one's own.
#[utoipa::path(delete, path = "/api/v1/answers/{id}/feedback", tag = "feedback",
    params(("id" = String, Path, description = "The answer's id")),
    responses((status = 204, description = "Deleted"), Problems))]
pub async fn delete_feedback(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let answer = uuid(&id, || unknown_answer(&id))?;
    let deleted = app.conversations.unrate(principal.id(), answer).await?;
    if !deleted.ok_or_else(|| unknown_answer(&id))? {
        return Err(no_feedback(&id));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Exports every rated answer, the earliest first, one JSON object a line.
///
/// For the operator: it holds everyone's questions. `kura eval dataset feedback` makes a data set of it.
#[utoipa::path(get, path = "/api/v1/feedback", tag = "feedback",
    responses((status = 200, body = RatedAnswer, content_type = "application/jsonl"), Problems))]
pub async fn export_feedback(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
) -> Result<([(HeaderName, &'static str); 1], String), ApiError> {
    let rated = rated_answers(&app.conversations, &app.pipeline, &principal.access()).await?;
    audited.items(rated.len());
    let mut lines = String::new();
    for answer in rated {
        let line = serde_json::to_string(&answer).map_err(|error| ApiError::internal(&error))?;
        lines.push_str(&line);
        lines.push('\n');
    }
    Ok(([(header::CONTENT_TYPE, JSON_LINES)], lines))
}

/// Returns every rated answer, the earliest first, with its documents as they are called now.
///
/// # Errors
/// When the conversations or the catalog fail.
pub async fn rated_answers(
    conversations: &store::Conversations,
    pipeline: &Pipeline,
    access: &AccessFilter,
) -> anyhow::Result<Vec<RatedAnswer>> {
    let kept = conversations.rated_answers().await?;
    let mut named: Vec<DocumentId> = Vec::new();
    for rated in &kept {
        named.extend(&rated.cited);
        named.extend(rated.feedback.content.document);
    }
    named.sort_unstable();
    named.dedup();
    let mut documents: HashMap<DocumentId, DocumentRef> = HashMap::new();
    for id in named {
        documents.insert(id, DocumentRef::find(pipeline, id, access).await?);
    }
    Ok(kept
        .into_iter()
        .map(|rated| {
            let store::Feedback {
                content,
                created_at,
                updated_at,
            } = rated.feedback;
            RatedAnswer {
                id: rated.answer.to_string(),
                question: rated.question,
                standalone_question: rated.standalone_question,
                collections: rated.collections,
                outcome: rated.outcome,
                answer: rated.text,
                cited: rated.cited.iter().map(|id| documents[id].clone()).collect(),
                rating: content.rating.into(),
                comment: content.comment,
                corrected_answer: content.corrected_answer,
                document: content.document.map(|id| documents[&id].clone()),
                created_at,
                updated_at,
            }
        })
        .collect())
}

impl DocumentRef {
    async fn find(
        pipeline: &Pipeline,
        id: DocumentId,
        access: &AccessFilter,
    ) -> kura_indexer::Result<Self> {
        let found = match pipeline.document(id, access).await {
            Ok(document) => Some(document),
            Err(kura_indexer::Error::UnknownDocument { .. }) => None,
            Err(error) => return Err(error),
        };
        let (collection, source) = found
            .map(|document| (document.collection_name, document.source))
            .unzip();
        Ok(Self {
            id: id.to_string(),
            collection,
            source,
        })
    }
}

fn unknown_answer(id: &str) -> ApiError {
    ApiError::new(Code::UnknownAnswer, format!("unknown answer `{id}`"))
}

fn no_feedback(id: &str) -> ApiError {
    ApiError::new(
        Code::UnknownFeedback,
        format!("there is no feedback on the answer `{id}`"),
    )
}

impl From<store::Feedback> for Feedback {
    fn from(feedback: store::Feedback) -> Self {
        let content = feedback.content;
        Self {
            rating: content.rating.into(),
            comment: content.comment,
            corrected_answer: content.corrected_answer,
            document: content.document.map(|id| id.to_string()),
            created_at: feedback.created_at,
            updated_at: feedback.updated_at,
        }
    }
}

impl From<store::Rating> for Rating {
    fn from(rating: store::Rating) -> Self {
        match rating {
            store::Rating::Up => Self::Up,
            store::Rating::Down => Self::Down,
        }
    }
}

impl From<Rating> for store::Rating {
    fn from(rating: Rating) -> Self {
        match rating {
            Rating::Up => Self::Up,
            Rating::Down => Self::Down,
        }
    }
}
