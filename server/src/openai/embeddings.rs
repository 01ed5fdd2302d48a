//! `/v1/embeddings`

use super::{Errors, unknown_model};
use crate::app::AppState;
use crate::auth::Principal;
use crate::error::ApiError;
use crate::routes::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most inputs of one request, as in OpenAI's API.
const MAX_INPUTS: usize = 2048;

/// What to embed.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EmbeddingsRequest {
    /// One text or several.
    input: Input,
    /// The embedder's name, or `kura`.
    model: String,
    /// How vectors are written.
    #[serde(default)]
    encoding_format: Encoding,
    /// Must be the embedder's own, if given.
    dimensions: Option<usize>,
    /// kura's own: `document` (the default) or `query`; embedders may treat them differently.
    #[serde(default)]
    input_type: InputType,
}

/// One text or several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected a string or a list of strings; token arrays are not accepted"
)]
enum Input {
    One(String),
    Many(Vec<String>),
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    /// A list of numbers.
    #[default]
    Float,
    /// Little-endian 32-bit floats in base64.
    Base64,
}

/// What the texts are.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum InputType {
    /// Text to be found.
    #[default]
    Document,
    /// What to find it with.
    Query,
}

/// The vectors, in order.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingsResponse {
    /// Always `list`.
    object: &'static str,
    /// One per input.
    data: Vec<Embedding>,
    /// The embedder's name.
    model: String,
    /// Tokens read.
    usage: EmbeddingsUsage,
}

/// A vector.
#[derive(Debug, Serialize, ToSchema)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Encoded,
}

/// A vector as asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Encoded {
    Float(Vec<f32>),
    Base64(String),
}

/// Tokens read, prompts and special tokens not counted.
#[derive(Debug, Serialize, ToSchema)]
struct EmbeddingsUsage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// Embeds texts.
#[utoipa::path(post, path = "/v1/embeddings", tag = "openai", request_body = EmbeddingsRequest,
    responses((status = 200, body = EmbeddingsResponse), Errors))]
pub async fn create_embeddings(
    State(app): State<AppState>,
    principal: Principal,
    Json(request): Json<EmbeddingsRequest>,
) -> Result<axum::Json<EmbeddingsResponse>, ApiError> {
    let embedder = app.pipeline.embedder();
    let name = embedder.spec().id.0.as_str();
    if request.model != name && request.model != super::models::ASSISTANT {
        return Err(unknown_model(&request.model, &[name]));
    }
    if let Some(dimensions) = request.dimensions.filter(|n| *n != embedder.dim()) {
        return Err(ApiError::invalid(format!(
            "`dimensions` is {dimensions}, but `{name}` gives {}",
            embedder.dim()
        )));
    }
    let texts = match request.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    if texts.is_empty() || texts.len() > MAX_INPUTS || texts.iter().any(String::is_empty) {
        return Err(ApiError::invalid(format!(
            "`input` must be 1 to {MAX_INPUTS} texts, none of them empty"
        )));
    }
    let prompt_tokens = texts.iter().map(|text| embedder.count_tokens(text)).sum();
    app.limits.budgets.spend(&principal, prompt_tokens as u64);
    let embeddings = match request.input_type {
        InputType::Document => embedder.embed_documents(&texts).await?,
        InputType::Query => {
            let mut embeddings = Vec::with_capacity(texts.len());
            for text in &texts {
                embeddings.push(embedder.embed_query(text).await?);
            }
            embeddings
        }
    };
    let data = embeddings
        .into_iter()
        .map(|embedding| embedding.vector)
        .enumerate()
        .map(|(index, vector)| Embedding {
            object: "embedding",
            index,
            embedding: encode(vector, request.encoding_format),
        })
        .collect();
    Ok(axum::Json(EmbeddingsResponse {
        object: "list",
        data,
        model: name.to_owned(),
        usage: EmbeddingsUsage {
            prompt_tokens,
            total_tokens: prompt_tokens,
        },
    }))
}

fn encode(vector: Vec<f32>, encoding: Encoding) -> Encoded {
    match encoding {
        Encoding::Float => Encoded::Float(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            Encoded::Base64(STANDARD.encode(bytes))
        }
    }
}
