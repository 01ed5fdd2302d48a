//! Every route and every layer.

use crate::app::{App, AppState};
use crate::connections::{self, Allowance};
use crate::headers::{self, NewRequestId};
use crate::tls::Certificate;
use crate::{audit, auth, cohere, error, limits, openai, openapi, routes, telemetry, web};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Returns the whole server as one service.
pub fn router(app: AppState) -> Router {
    let upload_limit = DefaultBodyLimit::max(app.config.server.upload_max_bytes);
    let (guarded, document) = guarded().split_for_parts();
    let (uploads, upload_document) = uploads().split_for_parts();
    let (open, open_document) = open().split_for_parts();
    let (sign_in, sign_in_document) = sign_in().split_for_parts();
    let document = Arc::new(merged([
        document,
        upload_document,
        open_document,
        sign_in_document,
    ]));

    let guarded = guarded
        .layer(DefaultBodyLimit::max(app.config.server.body_max_bytes))
        .merge(uploads.layer(upload_limit))
        .route_layer(middleware::from_fn_with_state(app.clone(), limits::admit))
        .route_layer(middleware::from_fn_with_state(
            app.clone(),
            auth::permission::authorize,
        ))
        .route_layer(middleware::from_fn_with_state(app.clone(), limits::count))
        .route_layer(middleware::from_fn(audit::layer::identify))
        .route_layer(middleware::from_fn_with_state(app.clone(), auth::require))
        // Around them, so that who is turned away is recorded, too.
        .route_layer(middleware::from_fn_with_state(
            app.clone(),
            audit::layer::record,
        ))
        .route_layer(middleware::from_fn_with_state(
            app.clone(),
            limits::recognize,
        ));
    let sign_in = sign_in
        .route_layer(middleware::from_fn_with_state(
            app.clone(),
            limits::admit_sign_in,
        ))
        .route_layer(middleware::from_fn(audit::layer::identify))
        .route_layer(middleware::from_fn_with_state(
            app.clone(),
            audit::layer::record,
        ));
    let routes = open
        .merge(sign_in)
        .layer(DefaultBodyLimit::max(app.config.server.body_max_bytes))
        .merge(guarded)
        .route(
            "/api/openapi.json",
            get(async move || Json(Arc::unwrap_or_clone(document))),
        )
        .fallback(web::fallback);
    layered(routes, &app).with_state(app)
}

/// Serves `app` until [`App::stopping`], then until open requests have ended.
///
/// # Errors
/// When the certificate cannot be used.
pub async fn serve(app: AppState, listener: TcpListener) -> anyhow::Result<()> {
    let certificate = Certificate::open(&app.config.server)?;
    serve_with(app, listener, certificate).await
}

/// The same with a certificate that was read before; `None` for plain HTTP.
pub(crate) async fn serve_with(
    app: AppState,
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
) -> anyhow::Result<()> {
    let (stopping, allowance) = (app.stopping.clone(), Allowance::new(&app.config.server));
    let tls = match certificate {
        Some(certificate) => {
            let acceptor = certificate.acceptor()?;
            drop(tokio::spawn(certificate.follow(stopping.clone())));
            Some(acceptor)
        }
        None => None,
    };
    connections::serve(router(app), listener, tls, allowance, stopping).await;
    Ok(())
}

/// Returns the OpenAPI document of all routes.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    merged([
        guarded().into_openapi(),
        uploads().into_openapi(),
        open().into_openapi(),
        sign_in().into_openapi(),
    ])
}

/// Routes that need a key.
fn guarded() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(
            routes::collections::list_collections,
            routes::collections::create_collection
        ))
        .routes(routes!(
            routes::collections::get_collection,
            routes::collections::delete_collection
        ))
        .routes(routes!(
            routes::permissions::list_members,
            routes::permissions::put_members
        ))
        .routes(routes!(
            routes::permissions::get_acl,
            routes::permissions::put_acl
        ))
        .routes(routes!(
            routes::dictionaries::get_dictionary,
            routes::dictionaries::put_dictionary,
            routes::dictionaries::delete_dictionary
        ))
        .routes(routes!(
            routes::documents::get_document,
            routes::documents::delete_document,
            routes::metadata::change_document
        ))
        .routes(routes!(routes::documents::list_children))
        .routes(routes!(routes::documents::get_document_text))
        .routes(routes!(routes::documents::get_document_content))
        .routes(routes!(routes::quality::get_quality))
        .routes(routes!(routes::jobs::list_jobs))
        .routes(routes!(routes::jobs::summarize_jobs))
        .routes(routes!(routes::jobs::pause_jobs))
        .routes(routes!(routes::jobs::resume_jobs))
        .routes(routes!(routes::jobs::retry_jobs))
        .routes(routes!(routes::jobs::cancel_job))
        .routes(routes!(routes::jobs::retry_job))
        .routes(routes!(routes::jobs::get_job))
        .routes(routes!(routes::jobs::follow_job))
        .routes(routes!(
            routes::sources::list_sources,
            routes::sources::create_source
        ))
        .routes(routes!(
            routes::sources::get_source,
            routes::sources::change_source,
            routes::sources::delete_source
        ))
        .routes(routes!(routes::sources::scan_source))
        .routes(routes!(routes::sources::list_source_items))
        .routes(routes!(routes::search::search))
        .routes(routes!(routes::explain::explain_search))
        .routes(routes!(routes::ask::ask))
        .routes(routes!(routes::conversations::list_conversations))
        .routes(routes!(
            routes::conversations::get_conversation,
            routes::conversations::delete_conversation
        ))
        .routes(routes!(
            routes::feedback::get_feedback,
            routes::feedback::put_feedback,
            routes::feedback::delete_feedback
        ))
        .routes(routes!(routes::feedback::export_feedback))
        .routes(routes!(
            routes::evaluations::get_evaluation,
            routes::evaluations::delete_evaluation
        ))
        .routes(routes!(routes::evaluations::get_evaluation_report))
        .routes(routes!(routes::evaluations::compare_evaluations))
        .routes(routes!(openai::models::list_models))
        .routes(routes!(openai::embeddings::create_embeddings))
        .routes(routes!(openai::chat::create_chat_completion))
        .routes(routes!(cohere::rerank_v1))
        .routes(routes!(cohere::rerank_v2))
        .routes(routes!(routes::audit::list_audit_records))
        .routes(routes!(routes::audit::get_audit_head))
        .routes(routes!(routes::audit::verify_audit_log))
        .routes(routes!(routes::audit::list_audit_holds))
        .routes(routes!(
            routes::audit::add_audit_hold,
            routes::audit::release_audit_hold
        ))
        .routes(routes!(routes::health::metrics))
        .routes(routes!(routes::verify::verify_data))
        .routes(routes!(
            routes::forget::list_erasures,
            routes::forget::start_erasure
        ))
        .routes(routes!(routes::forget::get_erasure))
        .routes(routes!(
            routes::session::get_session,
            routes::session::delete_session
        ))
        .routes(routes!(routes::session::change_password))
        .routes(routes!(routes::totp::enroll_totp))
        .routes(routes!(routes::totp::confirm_totp))
        .routes(routes!(routes::totp::remove_totp))
        .routes(routes!(routes::totp::reset_totp))
        .routes(routes!(
            routes::sessions::list_sessions,
            routes::sessions::revoke_sessions
        ))
        .routes(routes!(routes::sessions::revoke_session))
        .routes(routes!(
            routes::users::list_users,
            routes::users::create_user
        ))
        .routes(routes!(
            routes::users::get_user,
            routes::users::change_user,
            routes::users::delete_user
        ))
        .routes(routes!(
            routes::groups::list_groups,
            routes::groups::create_group
        ))
        .routes(routes!(
            routes::groups::get_group,
            routes::groups::delete_group
        ))
        .routes(routes!(routes::groups::put_group_members))
        .merge(scim())
        .routes(routes!(
            routes::api_keys::list_api_keys,
            routes::api_keys::create_api_key
        ))
        .routes(routes!(routes::api_keys::revoke_api_key))
        .routes(routes!(routes::api_keys::rotate_api_key))
}

/// What a directory talks to.
fn scim() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(routes::scim::get_scim_config))
        .routes(routes!(routes::scim::list_scim_resource_types))
        .routes(routes!(routes::scim::get_scim_resource_type))
        .routes(routes!(routes::scim::list_scim_schemas))
        .routes(routes!(routes::scim::get_scim_schema))
        .routes(routes!(routes::scim::search_scim))
        .routes(routes!(routes::scim::search_scim_users))
        .routes(routes!(
            routes::scim::list_scim_users,
            routes::scim::create_scim_user
        ))
        .routes(routes!(
            routes::scim::get_scim_user,
            routes::scim::put_scim_user,
            routes::scim::patch_scim_user,
            routes::scim::delete_scim_user
        ))
        .routes(routes!(routes::scim::search_scim_groups))
        .routes(routes!(
            routes::scim::list_scim_groups,
            routes::scim::create_scim_group
        ))
        .routes(routes!(
            routes::scim::get_scim_group,
            routes::scim::put_scim_group,
            routes::scim::patch_scim_group,
            routes::scim::delete_scim_group
        ))
}

/// Routes that need a key and take large bodies.
fn uploads() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(
            routes::documents::list_documents,
            routes::documents::upload_documents
        ))
        .routes(routes!(
            routes::push::put_document,
            routes::push::get_pushed_document,
            routes::push::delete_pushed_document
        ))
        .routes(routes!(
            routes::evaluations::list_evaluations,
            routes::evaluations::create_evaluation
        ))
}

/// Routes for everyone who can reach the server. The page and its assets are the fallback.
fn open() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(routes::health::healthz))
        .routes(routes!(routes::health::readyz))
}

/// Signing in: nobody is recognized yet, and every attempt is on record.
fn sign_in() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(routes::session::create_session))
        .routes(routes!(routes::oidc::get_single_sign_on))
        .routes(routes!(routes::oidc::start_single_sign_on))
        .routes(routes!(routes::oidc::finish_single_sign_on))
        .routes(routes!(routes::oidc::end_by_provider))
}

fn merged(parts: [utoipa::openapi::OpenApi; 4]) -> utoipa::openapi::OpenApi {
    let mut document = openapi::Document::openapi();
    for part in parts {
        document.merge(part);
    }
    document
}

/// Wraps the routes; the last layer added sees a request first.
fn layered(routes: Router<AppState>, app: &App) -> Router<AppState> {
    let timeout = Duration::from_secs(app.config.server.request_timeout_secs);
    let is_https = app.config.auth.is_secure();
    routes
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, timeout))
        .layer(CatchPanicLayer::custom(error::on_panic))
        .layer(middleware::from_fn(telemetry::measure))
        .layer(middleware::from_fn(error::render))
        .layer(tower::util::option_layer(headers::cors(&app.config)))
        .layer(middleware::from_fn(move |request: Request, next: Next| headers::secure(is_https, request, next)))
        .layer(TraceLayer::new_for_http().make_span_with(|request: &Request| {
            let id = error::request_id(request).unwrap_or_default();
            tracing::info_span!("request", request.id = id, http.method = %request.method(), http.path = logged_path(request))
        })
        // Failures are logged once, where their cause is known.
        .on_failure(()))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(NewRequestId))
        .layer(middleware::from_fn(headers::check_id))
}

/// Returns a request's path as it is logged: without its query, which may hold what people ask, and without what documents
/// are called.
fn logged_path(request: &Request) -> &str {
    let matched = request.extensions().get::<MatchedPath>();
    let pattern = matched.map(MatchedPath::as_str);
    let names_document = |pattern: &&str| pattern.contains("{external_id}");
    pattern
        .filter(names_document)
        .unwrap_or(request.uri().path())
}
