//! The end of a connection whose client is still sending.
//!
//! A request may be refused before its body was read: by its key, by its size, because the audit log takes no records. If
//! the connection were closed then, the operating system would answer what still arrives with a reset, and a client that
//! reads only once it has sent everything, as browsers do, would see a broken connection and not the reason. So the server
//! ends its own half first, and then throws away what comes until the client ends the other: for as long as [`Patience`]
//! allows, as long as the server is not stopping.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long a client is listened to after its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Time in which it sends nothing.
    pub idle: Duration,
    /// All of the time.
    pub whole: Duration,
}

impl Patience {
    /// Time for most of what one may upload, and little for those who have forgotten their connection.
    pub(super) const OF_CLIENTS: Self = Self {
        idle: Duration::from_secs(5),
        whole: Duration::from_secs(30),
    };
}

/// A connection whose shutdown waits for its client.
pub(super) struct Lingering {
    stream: TcpStream,
    patience: Patience,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Once this half has ended.
    waiting: Option<Waiting>,
}

struct Waiting {
    idle: Pin<Box<Sleep>>,
    whole: Pin<Box<Sleep>>,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream, patience: Patience, stopping: &CancellationToken) -> Self {
        Self {
            stream,
            patience,
            stopping: Box::pin(stopping.clone().cancelled_owned()),
            waiting: None,
        }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let waiting = match &mut this.waiting {
            Some(waiting) => waiting,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
                this.waiting.insert(Waiting {
                    idle: Box::pin(sleep(this.patience.idle)),
                    whole: Box::pin(sleep(this.patience.whole)),
                })
            }
        };
        let mut thrown_away = [0; 8192];
        loop {
            let is_over = this.stopping.as_mut().poll(context).is_ready()
                || waiting.whole.as_mut().poll(context).is_ready()
                || waiting.idle.as_mut().poll(context).is_ready();
            if is_over {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut thrown_away);
            let read = ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                // The client has ended its half, or is gone: either way it has what it wanted.
                return Poll::Ready(Ok(()));
            }
            let until = Instant::now() + this.patience.idle;
            waiting.idle.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(50);
    const ANSWER: &[u8] = b"refused";

    /// A server that answers at once, and a client, which gets the token that stops the server.
    #[expect(
        clippy::disallowed_methods,
        reason = "the other end of the connection under test"
    )]
    async fn answer<F: Future>(
        patience: Patience,
        client: impl FnOnce(TcpStream, CancellationToken) -> F,
    ) -> F::Output {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stopping = CancellationToken::new();
        let client = client(
            TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap(),
            stopping.clone(),
        );
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = Lingering::new(stream, patience, &stopping);
            stream.write_all(ANSWER).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let both = async { tokio::join!(server, client).1 };
        tokio::time::timeout(Duration::from_secs(60), both)
            .await
            .expect("the server waits for ever")
    }

    #[tokio::test]
    async fn a_client_that_sends_everything_first_reads_the_answer() {
        let patience = Patience {
            idle: LONG,
            whole: LONG,
        };
        let read = answer(patience, async |mut client, _| {
            // More than what the operating system keeps for the two.
            client.write_all(&vec![0; 32 << 20]).await.unwrap();
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.unwrap();
            read
        });
        assert_eq!(read.await, ANSWER);
    }

    #[tokio::test]
    async fn a_client_that_forgets_its_connection_is_not_waited_for() {
        let patience = Patience {
            idle: SHORT,
            whole: LONG,
        };
        drop(answer(patience, async |client, _| client).await);
    }

    #[tokio::test]
    async fn a_client_that_never_ends_is_not_waited_for() {
        let patience = Patience {
            idle: LONG,
            whole: SHORT,
        };
        answer(patience, async |mut client, _| {
            while client.write_all(&[0; 1000]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_server_that_stops_waits_for_nobody() {
        let patience = Patience {
            idle: LONG,
            whole: LONG,
        };
        drop(
            answer(patience, async |client, stopping| {
                stopping.cancel();
                client
            })
            .await,
        );
    }
}
