//! `/api/v1/conversations`

use super::ask::AnswerBody;
use super::feedback::Feedback;
use super::{List, ListQuery, Path, Problems, Query, uuid};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::conversations as store;
use crate::error::{ApiError, Code};
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A conversation, without its messages.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Conversation {
    /// UUID.
    pub id: String,
    /// The first question, shortened.
    pub title: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When the last message was added.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: jiff::Timestamp,
}

/// A conversation with its messages.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ConversationDetail)]
pub struct Transcript {
    /// UUID.
    pub id: String,
    /// The first question, shortened.
    pub title: String,
    /// Oldest first.
    pub messages: Vec<Turn>,
}

/// A message of a conversation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Message)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// For an answer: all of it, citations included.
    #[schema(required)]
    pub answer: Option<AnswerBody>,
    /// For an answer: what the caller said about it.
    #[schema(required)]
    pub feedback: Option<Feedback>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person asking.
    User,
    /// kura.
    Assistant,
}

impl From<store::Conversation> for Conversation {
    fn from(conversation: store::Conversation) -> Self {
        Self {
            id: conversation.id.to_string(),
            title: conversation.title,
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
        }
    }
}

impl From<store::Turn> for Turn {
    fn from(turn: store::Turn) -> Self {
        Self {
            role: match turn.role {
                kura_models::Role::Assistant => Role::Assistant,
                kura_models::Role::User | kura_models::Role::System => Role::User,
            },
            content: turn.content,
            answer: turn.answer,
            feedback: turn.feedback.map(Into::into),
            created_at: turn.created_at,
        }
    }
}

/// Lists the caller's conversations, the latest first.
#[utoipa::path(get, path = "/api/v1/conversations", tag = "conversations", params(ListQuery),
    responses((status = 200, body = List<Conversation>), Problems))]
pub async fn list_conversations(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<List<Conversation>>, ApiError> {
    let limit = query.limit()?;
    let after = query
        .cursor
        .as_deref()
        .map(|cursor| {
            uuid(cursor, || {
                ApiError::invalid("`cursor` is not one that a list returned")
            })
        })
        .transpose()?;
    let mut items: Vec<Conversation> = app
        .conversations
        .list(principal.id(), after, limit + 1)
        .await?
        .into_iter()
        .map(Into::into)
        .collect();
    let more = items.len() > limit;
    items.truncate(limit);
    audited.items(items.len());
    let next_cursor = items.last().filter(|_| more).map(|last| last.id.clone());
    Ok(axum::Json(List { items, next_cursor }))
}

/// Returns a conversation.
#[utoipa::path(get, path = "/api/v1/conversations/{id}", tag = "conversations",
    params(("id" = String, Path, description = "The conversation's id")),
    responses((status = 200, body = Transcript), Problems))]
pub async fn get_conversation(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
) -> Result<axum::Json<Transcript>, ApiError> {
    let (owner, at) = (principal.id(), uuid(&id, || unknown(&id))?);
    let hidden = app.hidden_from(owner, at, &principal.access()).await?;
    let (conversation, turns) = app
        .conversations
        .get(owner, at, hidden)
        .await?
        .ok_or_else(|| unknown(&id))?;
    audited.items(turns.len());
    Ok(axum::Json(Transcript {
        id: conversation.id.to_string(),
        title: conversation.title,
        messages: turns.into_iter().map(Into::into).collect(),
    }))
}

/// Deletes a conversation.
#[utoipa::path(delete, path = "/api/v1/conversations/{id}", tag = "conversations",
    params(("id" = String, Path, description = "The conversation's id")),
    responses((status = 204, description = "Deleted"), Problems))]
pub async fn delete_conversation(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let deleted = app
        .conversations
        .delete(principal.id(), uuid(&id, || unknown(&id))?)
        .await?;
    if !deleted {
        return Err(unknown(&id));
    }
    Ok(StatusCode::NO_CONTENT)
}

fn unknown(id: &str) -> ApiError {
    ApiError::new(
        Code::UnknownConversation,
        format!("unknown conversation `{id}`"),
    )
}
