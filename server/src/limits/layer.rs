//! Where limits stand around the routes. From outside to inside:
//!
//! 1. [`recognize`]: only so many keys and sessions are looked up at the same time.
//! 2. `audit::layer::record`, `auth::require`, `audit::layer::identify`.
//! 3. [`count`]: requests a minute. Now it is known who asks.
//! 4. `auth::permission::authorize`.
//! 5. [`admit`]: takes in the body, which must come in time, and then a place: a slow client has none while it sends.
//!
//! A refusal costs neither the disk nor a place. Nothing was done or shown, so that it leaves no record; only that somebody
//! was limited is on record, once a minute.

use super::{Class, Limits, Owner, Permit, Refusal, Standing, owner};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::auth::peer::Peer;
use crate::error::{ApiError, Code};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

/// Largest body of a sign-in: name, password and code.
const SIGN_IN_BYTES: usize = 16 * 1024;
/// Bytes a second at which an upload must come, once `server.body_timeout_secs` have passed.
const SLOWEST_UPLOAD: u64 = 16 * 1024;

/// A place among those that are being recognized; the extension of a request until it is known who asks.
#[derive(Clone)]
struct Recognizing(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// Layer: lets in only so many requests that nobody is known to have sent.
pub async fn recognize(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let limits = &app.limits;
    let Ok(waiting) = Arc::clone(&limits.unrecognized).try_acquire_owned() else {
        return shed("recognition", 1);
    };
    // The semaphore is never closed.
    if let Ok(place) = Arc::clone(&limits.recognized).acquire_owned().await {
        request
            .extensions_mut()
            .insert(Recognizing(Arc::new(place)));
    }
    drop(waiting);
    next.run(request).await
}

/// Layer: counts requests of users and keys, and refuses those beyond their rate.
pub async fn count(
    State(app): State<AppState>,
    principal: Principal,
    path: MatchedPath,
    audited: Audited,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().remove::<Recognizing>();
    let class = Class::of(request.method(), path.as_str());
    if class == Class::Free {
        return next.run(request).await;
    }
    match app.limits.count(&principal, class) {
        Ok(None) => next.run(request).await,
        Ok(Some(standing)) => {
            let mut response = next.run(request).await;
            tell(&mut response, standing);
            response
        }
        Err(refusal) => refused(&app.limits, &owner(&principal), &audited, refusal),
    }
}

/// Layer: takes in the body and finds a place for the work.
pub async fn admit(
    State(app): State<AppState>,
    principal: Principal,
    path: MatchedPath,
    audited: Audited,
    request: Request,
    next: Next,
) -> Response {
    let class = Class::of(request.method(), path.as_str());
    if class == Class::Free {
        return next.run(request).await;
    }
    let (limits, server) = (&app.limits, &app.config.server);
    let time = Duration::from_secs(server.body_timeout_secs);
    let owner = owner(&principal);
    let open = match limits.open(&principal) {
        Ok(open) => open,
        Err(refusal) => return refused(limits, &owner, &audited, refusal),
    };
    let is_late = Arc::new(AtomicBool::new(false));
    let request = if class == Class::Upload {
        let paced = |body| Body::new(Paced::new(body, time, Arc::clone(&is_late)));
        request.map(paced)
    } else {
        match take_in(request, server.body_max_bytes, time).await {
            Ok(request) => request,
            Err(error) => return error.into_response(),
        }
    };
    let places = match enter(limits, class, &owner).await {
        Ok(places) => places,
        Err(refusal) => return refused(limits, &owner, &audited, refusal),
    };
    // Not before there is a place: others of the user may have spent it meanwhile.
    if class.costs_tokens()
        && let Err(refusal) = limits.require_tokens(&principal)
    {
        return refused(limits, &owner, &audited, refusal);
    }
    let response = next.run(request).await;
    if is_late.load(Ordering::Relaxed) {
        return too_slow().into_response();
    }
    hold((places, open), response)
}

/// Layer: takes in a sign-in and finds a place for it, by address.
pub async fn admit_sign_in(
    State(app): State<AppState>,
    path: MatchedPath,
    Peer(peer): Peer,
    audited: Audited,
    request: Request,
    next: Next,
) -> Response {
    let (limits, server) = (&app.limits, &app.config.server);
    let time = Duration::from_secs(server.body_timeout_secs);
    let most = SIGN_IN_BYTES.min(server.body_max_bytes);
    let request = match take_in(request, most, time).await {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    let owner = Owner::from(peer.to_string());
    let is_single = path.as_str().starts_with("/api/v1/session/oidc");
    let pool = if is_single {
        &limits.single_sign_ons
    } else {
        &limits.sign_ins
    };
    match pool.enter(&owner).await {
        Ok(_place) => next.run(request).await,
        Err(super::Refused(seconds)) => {
            let refusal = Refusal::Shed(pool.name(), seconds);
            refused(limits, &owner, &audited, refusal)
        }
    }
}

/// What a request holds while it is worked on.
type Places = (OwnedSemaphorePermit, Option<Permit>);

async fn enter(limits: &Limits, class: Class, owner: &Owner) -> Result<Places, Refusal> {
    let permit = match limits.pool(class) {
        Some(pool) => {
            let entered = pool.enter(owner).await;
            Some(entered.map_err(|super::Refused(seconds)| Refusal::Shed(pool.name(), seconds))?)
        }
        None => None,
    };
    let one = Arc::clone(&limits.all)
        .try_acquire_owned()
        .map_err(|_| Refusal::Shed("requests", 1))?;
    Ok((one, permit))
}

/// Returns the request with its whole body.
async fn take_in(request: Request, most: usize, time: Duration) -> Result<Request, ApiError> {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return Ok(Request::from_parts(parts, body));
    }
    let reading = Limited::new(body, most).collect();
    let bytes = match tokio::time::timeout(time, reading).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(ApiError::new(
                Code::PayloadTooLarge,
                format!("the body is larger than {most} bytes, which this address accepts"),
            ));
        }
        Ok(Err(_)) => return Err(ApiError::invalid("the body broke off; send it again")),
        Err(_) => return Err(too_slow()),
    };
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

fn refused(limits: &Limits, owner: &Owner, audited: &Audited, refusal: Refusal) -> Response {
    metrics::counter!("kura_requests_refused_total", "reason" => refusal.reason()).increment(1);
    let is_limited = matches!(refusal, Refusal::Limited(..));
    if is_limited && limits.is_news(owner) {
        tracing::warn!(principal.id = %owner, "limited: {}", refusal.reason());
    } else {
        audited.discard();
    }
    ApiError::from(refusal).into_response()
}

fn shed(what: &'static str, seconds: u64) -> Response {
    metrics::counter!("kura_requests_refused_total", "reason" => what).increment(1);
    ApiError::from(Refusal::Shed(what, seconds)).into_response()
}

fn too_slow() -> ApiError {
    metrics::counter!("kura_requests_refused_total", "reason" => "slow_body").increment(1);
    ApiError::new(
        Code::RequestTimeout,
        "the body came too slowly (`server.body_timeout_secs`); send it again over a faster connection",
    )
}

/// Tells a client how it stands, as the draft "`RateLimit` header fields for HTTP" has it.
fn tell(response: &mut Response, standing: Standing) {
    let Standing {
        per_minute,
        remaining,
    } = standing;
    let fields = [
        (
            HeaderName::from_static("ratelimit-policy"),
            format!("\"requests\";q={per_minute};w=60"),
        ),
        (
            HeaderName::from_static("ratelimit"),
            format!("\"requests\";r={remaining}"),
        ),
    ];
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// Has a response hold something until it was sent, if it is streamed: its work is done meanwhile.
fn hold<T: Send + Unpin + 'static>(held: T, response: Response) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|inner| Body::new(Holding { inner, _held: held }))
}

/// A body that something is held for.
struct Holding<T> {
    inner: Body,
    _held: T,
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body that breaks off when it comes too slowly.
struct Paced {
    inner: Body,
    begun: Instant,
    time: Duration,
    received: u64,
    deadline: Pin<Box<Sleep>>,
    is_late: Arc<AtomicBool>,
}

impl Paced {
    fn new(inner: Body, time: Duration, is_late: Arc<AtomicBool>) -> Self {
        let begun = Instant::now();
        Self {
            inner,
            begun,
            time,
            received: 0,
            deadline: Box::pin(tokio::time::sleep_until(begun + time)),
            is_late,
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(frame) = frame {
            if let Some(Ok(frame)) = &frame {
                let n = frame.data_ref().map_or(0, Bytes::len);
                self.received += n as u64;
                let earned = Duration::from_secs(self.received / SLOWEST_UPLOAD);
                let until = self.begun + self.time + earned;
                self.deadline.as_mut().reset(until);
            }
            return Poll::Ready(frame);
        }
        if self.deadline.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.is_late.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(axum::Error::new("the body came too slowly"))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_stops_coming_breaks_off() {
        let is_late = Arc::new(AtomicBool::new(false));
        let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"some"))]);
        let rest = futures::stream::pending();
        let body = Body::from_stream(futures::StreamExt::chain(first, rest));
        let paced = Paced::new(body, Duration::from_millis(50), Arc::clone(&is_late));
        assert!(paced.collect().await.is_err());
        assert!(is_late.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_body_must_come_whole_and_in_time() {
        let time = Duration::from_millis(50);
        let request = |body| Request::new(body);
        let whole = take_in(request(Body::from("0123456789")), 10, time).await;
        let bytes = whole.unwrap().into_body().collect().await.unwrap();
        assert_eq!(bytes.to_bytes(), "0123456789");
        let long = take_in(request(Body::from("0123456789")), 9, time).await;
        assert_eq!(long.unwrap_err().code, Code::PayloadTooLarge);
        let pending = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let slow = take_in(request(Body::from_stream(pending)), 10, time).await;
        assert_eq!(slow.unwrap_err().code, Code::RequestTimeout);
    }

    #[tokio::test]
    async fn what_a_response_holds_goes_with_its_body() {
        let held = Arc::new(());
        let stream = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"a"))]);
        let response = Response::new(Body::from_stream(stream));
        let response = hold(Arc::clone(&held), response);
        assert_eq!(Arc::strong_count(&held), 2);
        drop(response.into_body().collect().await.unwrap());
        assert_eq!(Arc::strong_count(&held), 1);
        // Of one that is complete the work is done.
        let _response = hold(Arc::clone(&held), Response::new(Body::from("a")));
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
