//! Every route and every layer.

use crate::app::{App, AppState};
use crate::error::{self, ApiError, Code};
use crate::{audit, auth, cohere, openai, openapi, routes, telemetry, web};
use axum::body::{Body, HttpBody as _};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::StreamExt as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Scripts, styles and connections only from kura itself; the page may not be framed.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

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
        .route_layer(middleware::from_fn_with_state(
            app.clone(),
            auth::permission::authorize,
        ))
        .route_layer(middleware::from_fn(audit::layer::identify))
        .route_layer(middleware::from_fn_with_state(app.clone(), auth::require))
        // Around them, so that who is turned away is recorded, too.
        .route_layer(middleware::from_fn_with_state(
            app.clone(),
            audit::layer::record,
        ));
    let sign_in = sign_in
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
/// When the listener fails.
pub async fn serve(app: AppState, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    let stopping = app.stopping.clone();
    // The address is for the audit log, and for slowing down who guesses passwords.
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(stopping.cancelled_owned())
        .await
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
        .routes(routes!(
            routes::api_keys::list_api_keys,
            routes::api_keys::create_api_key
        ))
        .routes(routes!(routes::api_keys::revoke_api_key))
        .routes(routes!(routes::api_keys::rotate_api_key))
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
    OpenApiRouter::new().routes(routes!(routes::session::create_session))
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
    let server = &app.config.server;
    let slots = Arc::new(Semaphore::new(server.max_concurrent_requests));
    let timeout = Duration::from_secs(server.request_timeout_secs);
    let header =
        |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    routes
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, timeout))
        .layer(middleware::from_fn_with_state(slots, limit_concurrency))
        .layer(CatchPanicLayer::custom(error::on_panic))
        .layer(middleware::from_fn(telemetry::measure))
        .layer(middleware::from_fn(error::render))
        .layer(header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::X_FRAME_OPTIONS, "DENY"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
        // An answer may name a host; looking it up would already tell its owner.
        .layer(header(header::X_DNS_PREFETCH_CONTROL, "off"))
        .layer(TraceLayer::new_for_http().make_span_with(|request: &Request| {
            let id = error::request_id(request).unwrap_or_default();
            tracing::info_span!("request", request.id = id, http.method = %request.method(), http.path = logged_path(request))
        })
        // Failures are logged once, where their cause is known.
        .on_failure(()))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(NewRequestId))
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

/// Layer: refuses rather than piling up.
async fn limit_concurrency(
    State(slots): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    match slots.try_acquire_owned() {
        Ok(slot) => hold_while_streaming(slot, next.run(request).await),
        Err(_) => ApiError::new(
            Code::Overloaded,
            "`server.max_concurrent_requests` requests are being worked on; retry later",
        )
        .into_response(),
    }
}

/// A response that is streamed keeps its slot until the stream ends: its work is done meanwhile.
fn hold_while_streaming(slot: OwnedSemaphorePermit, response: Response) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |_| {
            let _held = &slot;
        }))
    })
}

#[derive(Clone, Copy)]
struct NewRequestId;

impl MakeRequestId for NewRequestId {
    fn make_request_id<B>(&mut self, _: &axum::http::Request<B>) -> Option<RequestId> {
        let id = uuid::Uuid::now_v7().to_string();
        HeaderValue::from_str(&id).ok().map(RequestId::new)
    }
}
