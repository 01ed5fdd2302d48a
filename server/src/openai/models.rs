//! `/v1/models`

use super::{Errors, unix_seconds};
use crate::app::{App, AppState};
use crate::auth::Principal;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// The name under which whatever answers questions can be addressed.
pub const ASSISTANT: &str = "kura";

/// A list of models.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    object: &'static str,
    /// The models.
    data: Vec<Model>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub struct Model {
    /// The name to send as `model`.
    id: String,
    /// Always `model`.
    object: &'static str,
    /// Seconds since 1970.
    created: i64,
    /// Who made it.
    owned_by: String,
}

/// Lists what can be sent as `model`: `kura`, the generator, the embedder and the reranker.
#[utoipa::path(get, path = "/v1/models", tag = "openai", responses((status = 200, body = ModelList), Errors))]
pub async fn list_models(
    State(app): State<AppState>,
    _principal: Principal,
) -> axum::Json<ModelList> {
    let created = unix_seconds();
    let model = |id: &str, owned_by: &str| Model {
        id: id.to_owned(),
        object: "model",
        created,
        owned_by: owned_by.to_owned(),
    };
    let mut data = vec![model(ASSISTANT, "kura")];
    let specs = [
        app.assistant
            .generator
            .as_ref()
            .map(|generator| generator.spec()),
        Some(app.pipeline.embedder().spec()),
        app.pipeline.reranker().map(|reranker| reranker.spec()),
    ];
    for spec in specs.into_iter().flatten() {
        let owner = spec.upstream.split('/').next().unwrap_or(&spec.upstream);
        data.push(model(&spec.id.0, owner));
    }
    axum::Json(ModelList {
        object: "list",
        data,
    })
}

/// Returns the names that answer questions.
pub(crate) fn chat_models(app: &App) -> Vec<&str> {
    let generator = app.assistant.generator.as_ref();
    std::iter::once(ASSISTANT)
        .chain(generator.map(|generator| generator.spec().id.0.as_str()))
        .collect()
}
