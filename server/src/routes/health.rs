//! `/healthz`, `/readyz` and `/metrics`

use super::Problems;
use crate::app::AppState;
use crate::error::ApiError;
use crate::{sync, telemetry};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use kura_indexer::Error as E;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The process is alive.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
}

/// Whether kura can do its work.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// `ready` or `unavailable`.
    pub status: String,
    /// The parts.
    pub checks: Checks,
}

/// The parts of kura: `ok`, `none` (not configured or not installed) or `failed`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Checks {
    /// The catalog.
    pub catalog: String,
    /// The indexes.
    pub store: String,
    /// The embedder.
    pub embedder: String,
    /// The generator; without one answers are extracted.
    pub generator: String,
    /// The audit log; while it fails nothing is changed or shown.
    pub audit: String,
}

/// Returns that the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, body = Health)))]
pub async fn healthz() -> axum::Json<Health> {
    axum::Json(Health {
        status: "ok".to_owned(),
    })
}

/// Returns whether kura can do its work.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub async fn readyz(State(app): State<AppState>) -> (StatusCode, axum::Json<Readiness>) {
    let checked = app.pipeline.check().await;
    if let Err(error) = &checked {
        tracing::error!("not ready: {}", crate::error::chain(error));
    }
    let stopping = app.stopping.is_cancelled();
    let recording = app.audit.trouble().is_none();
    let (status, word) = if checked.is_ok() && recording && !stopping {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    };
    let part = |works: bool| if works { "ok" } else { "failed" }.to_owned();
    let (catalog, store) = match &checked {
        Ok(()) => (true, true),
        Err(E::Catalog(_) | E::Corrupt { .. } | E::Migration(_)) => (false, true),
        Err(E::Lexical(_) | E::Dense(_) | E::Damaged { .. }) => (true, false),
        // It may be either.
        Err(_) => (false, false),
    };
    let checks = Checks {
        catalog: part(catalog),
        store: part(store),
        embedder: "ok".to_owned(),
        generator: if app.assistant.generator.is_some() {
            "ok"
        } else {
            "none"
        }
        .to_owned(),
        audit: part(recording),
    };
    (
        status,
        axum::Json(Readiness {
            status: word.to_owned(),
            checks,
        }),
    )
}

/// Returns the metrics as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain"), Problems))]
pub async fn metrics(State(app): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    if let Err(error) = crate::jobs::measure(&app.pipeline).await {
        tracing::error!(error = %error, "the queue could not be measured");
    }
    app.metrics.run_upkeep();
    let mut text = app.metrics.render();
    text.push_str(&sync::metrics(&app.pipeline).await?);
    text.push_str(&telemetry::egress());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
