//! Connections: how many there are, how long they may take, and TLS.
//!
//! A connection that sends nothing, or its request's head byte by byte, is closed after `server.header_timeout_secs`, and
//! one that takes nothing of its response after `server.write_timeout_secs`; of bodies [`crate::limits`] takes care, and of
//! those that nobody reads [`lingering`]. When there are more than `server.max_connections`, the one that has been without
//! a request for longest makes room, so that idle ones keep nobody out.

mod lingering;

use self::lingering::{Lingering, Patience};
use crate::config::ServerConfig;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// Longest time until TLS is agreed upon.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Most bytes of a request's head, and of a response that are kept for a slow client.
const BUFFER: usize = 64 * 1024;
/// Files that the server opens besides connections.
const OTHER_FILES: u64 = 512;

/// What connections are allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// Connections at the same time.
    pub max: usize,
    /// Time until the head of a request has come.
    pub header: Duration,
    /// Time in which a client takes nothing of its response.
    pub write: Duration,
}

impl Allowance {
    /// Returns what a configuration allows, as far as this process may open files.
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(u64::MAX);
        let room = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
        let max = config.max_connections.min(room.max(1));
        if max < config.max_connections {
            tracing::warn!(
                "this process may open {files} files, so that there can be {max} connections rather than \
                 `server.max_connections`; raise the limit of open files (LimitNOFILE of systemd)"
            );
        }
        Self {
            max,
            header: Duration::from_secs(config.header_timeout_secs),
            write: Duration::from_secs(config.write_timeout_secs),
        }
    }
}

/// Serves until `stopping`, then until open requests have ended.
///
/// # Errors
/// Never: what goes wrong with a connection ends that connection.
pub(crate) async fn serve(
    router: Router,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    allowance: Allowance,
    stopping: CancellationToken,
) {
    let (seats, tasks) = (Arc::new(Seats::new(allowance.max)), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_the_connection(&error) {
                    // No files left, say: there is nothing to do but wait until some are closed.
                    tracing::error!("cannot accept connections: {error}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                continue;
            }
        };
        let Some(seat) = seats.take() else {
            metrics::counter!("kura_connections_refused_total").increment(1);
            continue;
        };
        let connection = Connection {
            router: router.clone(),
            peer,
            seat: Arc::new(seat),
            allowance,
            stopping: stopping.clone(),
        };
        let tls = tls.clone();
        tasks.spawn(async move {
            // Answers are streamed in small pieces.
            drop(stream.set_nodelay(true));
            connection.begin(stream, tls).await;
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

struct Connection {
    router: Router,
    peer: SocketAddr,
    seat: Arc<Seat>,
    allowance: Allowance,
    stopping: CancellationToken,
}

impl Connection {
    async fn begin(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let evicted = self.seat.evicted.clone();
        let serving = async {
            let stream = Lingering::new(stream, Patience::OF_CLIENTS, &self.stopping);
            let Some(tls) = tls else {
                return self.serve(stream).await;
            };
            match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve(stream).await,
                Ok(Err(error)) => tracing::debug!("no TLS was agreed upon: {error}"),
                Err(_) => tracing::debug!("TLS was not agreed upon in time"),
            }
        };
        tokio::select! {
            () = evicted.cancelled() => {}
            () = serving => {}
        }
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.allowance.write));
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(self.peer));
            let busy = Busy::new(&self.seat);
            let answering = self.router.clone().oneshot(request);
            async move {
                let response = answering.await?;
                Ok::<_, Infallible>(response.map(|inner| Sending { inner, _busy: busy }))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.allowance.header)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            // The client went away or was too slow: nothing that an operator could mend.
            tracing::debug!("a connection ended: {error}");
        }
    }
}

/// The connections there are.
struct Seats {
    max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    taken: HashMap<u64, Taken>,
}

struct Taken {
    requests: usize,
    idle_since: Instant,
    evicted: CancellationToken,
}

/// A connection's own.
struct Seat {
    seats: Arc<Seats>,
    id: u64,
    evicted: CancellationToken,
}

impl Seats {
    fn new(max: usize) -> Self {
        Self {
            max,
            state: Mutex::default(),
        }
    }

    /// Takes a seat: if none is left that of the connection that has been idle for longest; `None` when all are at work.
    fn take(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.state();
        if state.taken.len() >= self.max {
            let idle = state.taken.iter().filter(|(_, one)| one.requests == 0);
            let (id, _) = idle.min_by_key(|(_, one)| one.idle_since)?;
            let id = *id;
            if let Some(evicted) = state.taken.remove(&id) {
                evicted.evicted.cancel();
                metrics::counter!("kura_connections_evicted_total").increment(1);
            }
        }
        state.next += 1;
        let (id, evicted) = (state.next, CancellationToken::new());
        let taken = Taken {
            requests: 0,
            idle_since: Instant::now(),
            evicted: evicted.clone(),
        };
        state.taken.insert(id, taken);
        state.measure();
        Some(Seat {
            seats: Arc::clone(self),
            id,
            evicted,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn measure(&self) {
        metrics::gauge!("kura_connections").set(self.taken.len() as f64);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.seats.state();
        state.taken.remove(&self.id);
        state.measure();
    }
}

/// A request of a connection, until its response was sent.
struct Busy(Arc<Seat>);

impl Busy {
    fn new(seat: &Arc<Seat>) -> Self {
        if let Some(taken) = seat.seats.state().taken.get_mut(&seat.id) {
            taken.requests += 1;
        }
        Self(Arc::clone(seat))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(taken) = self.0.seats.state().taken.get_mut(&self.0.id) {
            taken.requests = taken.requests.saturating_sub(1);
            taken.idle_since = Instant::now();
        }
    }
}

/// A response's body, while it is sent.
struct Sending {
    inner: Body,
    _busy: Busy,
}

impl HttpBody for Sending {
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

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_that_was_idle_for_longest_makes_room() {
        let seats = Arc::new(Seats::new(3));
        let take = || seats.take().map(Arc::new);
        let (first, second, third) = (take().unwrap(), take().unwrap(), take().unwrap());
        let busy = Busy::new(&first);
        let fourth = take().unwrap();
        assert!(!first.evicted.is_cancelled() && second.evicted.is_cancelled());
        // The end of what made room leaves the others theirs.
        drop(second);
        assert_eq!(seats.state().taken.len(), 3);
        let _all_busy = [Busy::new(&third), Busy::new(&fourth)];
        assert!(take().is_none());
        drop(busy);
        let fifth = take().unwrap();
        assert!(first.evicted.is_cancelled() && !fifth.evicted.is_cancelled());
    }
}
