//! The connection below IMAP: TCP with time limits, and TLS.

use crate::sync::place::Encryption;
use kura_egress::{Egress, Peer, Purpose};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time until a connection stands, for each address of the host.
const CONNECT: Duration = Duration::from_secs(20);
/// Longest time without a byte.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// A TCP connection on which nothing waits for ever: neither for a byte, nor for a whole answer.
pub(super) struct Timed {
    tcp: TcpStream,
    /// When the answer under way must be there.
    deadline: Instant,
}

/// A connection to a mail server.
pub(super) enum Wire {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Wire {
    /// Connects, with TLS if that comes first. `host` is a name or an address without brackets.
    pub(super) fn connect(
        egress: &Egress,
        host: &str,
        port: u16,
        encryption: Encryption,
    ) -> Result<Self, String> {
        let tcp = egress
            .tcp(Purpose::Source, &Peer::new(host, port), CONNECT)
            .map_err(|error| error.to_string())?;
        // Commands are short, and each is waited for.
        drop(tcp.set_nodelay(true));
        let timed = Timed {
            tcp,
            deadline: Instant::now() + SILENCE,
        };
        match encryption {
            Encryption::Tls => Self::Plain(timed).secured(host),
            Encryption::Starttls | Encryption::None => Ok(Self::Plain(timed)),
        }
    }

    /// Begins TLS; the certificate must be of an authority that the system trusts.
    pub(super) fn secured(self, host: &str) -> Result<Self, String> {
        let timed = match self {
            Self::Plain(timed) => timed,
            secured @ Self::Tls(_) => return Ok(secured),
        };
        let failed = |error: rustls::Error| explain_tls(host, &error);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_platform_verifier())
            .map_err(failed)?
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` cannot have a certificate"))?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(failed)?;
        let mut stream = Box::new(StreamOwned::new(connection, timed));
        while stream.conn.is_handshaking() {
            let StreamOwned { conn, sock } = &mut *stream;
            conn.complete_io(sock).map_err(|error| {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
                inner.map_or_else(|| explain(&error), |inner| explain_tls(host, inner))
            })?;
        }
        Ok(Self::Tls(stream))
    }

    /// Sets how long what is read from now on may take in all.
    pub(super) fn allow(&mut self, time: Duration) {
        let timed = match self {
            Self::Plain(timed) => timed,
            Self::Tls(stream) => &mut stream.sock,
        };
        timed.deadline = Instant::now() + time;
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(timed) => timed.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(timed) => timed.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(timed) => timed.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Timed {
    /// Returns how long the next step may take.
    fn left(&self) -> std::io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(left.min(SILENCE))
    }
}

impl Read for Timed {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.tcp.set_read_timeout(Some(self.left()?))?;
        self.tcp.read(buf)
    }
}

impl Write for Timed {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.tcp.set_write_timeout(Some(self.left()?))?;
        self.tcp.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.tcp.flush()
    }
}

/// Returns why nothing more can be read or written, for people.
pub(super) fn explain(error: &std::io::Error) -> String {
    let kind = error.kind();
    // The first is what a socket's time limit gives.
    if matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        "the server does not answer in time".to_owned()
    } else if kind == ErrorKind::UnexpectedEof {
        "the server ended the connection".to_owned()
    } else {
        format!("the connection broke off: {error}")
    }
}

fn explain_tls(host: &str, error: &rustls::Error) -> String {
    if let rustls::Error::InvalidCertificate(cause) = error {
        return format!(
            "the certificate of `{host}` is not trusted: {cause}. Have it made out for that name by an authority that the \
             system trusts, or name the authority's certificate with `SSL_CERT_FILE`"
        );
    }
    format!(
        "TLS with `{host}` does not come about: {error}. Is it the port for TLS from the start?"
    )
}
