//! kura speaks TLS itself, with a certificate that may change meanwhile.

use kura_tests::{Kura, Server};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NAME: &str = "kura.example";

fn certificate() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap()
}

/// A client that trusts these certificates alone.
fn trusting(roots: &[&CertifiedKey<KeyPair>]) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.cert.der().clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = config.with_root_certificates(store).with_no_client_auth();
    // A session that goes on has the certificate that it began with.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

struct Connection(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Connection {
    fn open(server: &Server, config: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let address = server.client.url().strip_prefix("https://").unwrap();
        let address: SocketAddr = address.parse().unwrap();
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let name = ServerName::try_from(NAME).unwrap();
        let client = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut stream = StreamOwned::new(client, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(BufReader::new(stream)))
    }

    fn certificate(&self) -> CertificateDer<'static> {
        let shown = self.0.get_ref().conn.peer_certificates().unwrap();
        shown[0].clone().into_owned()
    }

    /// Asks for the health; returns the head of the answer.
    fn health(&mut self) -> String {
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {NAME}\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "{head}");
            if line == "\r\n" {
                break;
            }
            let line = line.to_lowercase();
            if let Some(n) = line.strip_prefix("content-length: ") {
                length = n.trim().parse().unwrap();
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        assert_eq!(body, br#"{"status":"ok"}"#);
        head
    }
}

fn configured() -> Kura {
    let kura = Kura::new().with_models();
    let path = |name: &str| kura.path(name).display().to_string();
    let (certificate, key) = (path("tls.pem"), path("tls.key"));
    kura.env("KURA__SERVER__TLS_CERTIFICATE", &certificate)
        .env("KURA__SERVER__TLS_KEY", &key)
        .env("KURA__AUTH__PUBLIC_URL", &format!("https://{NAME}"))
}

fn write(kura: &Kura, certificate: &CertifiedKey<KeyPair>) {
    kura.write("tls.pem", certificate.cert.pem());
    kura.write("tls.key", certificate.signing_key.serialize_pem());
}

#[test]
fn a_changed_certificate_is_used_without_a_restart() {
    let kura = configured();
    let (old, new, foreign) = (certificate(), certificate(), certificate());
    write(&kura, &old);
    let server = kura.serve();
    let client = trusting(&[&old, &new]);
    let open = || Connection::open(&server, &client).unwrap();
    let mut first = open();
    assert_eq!(first.certificate(), *old.cert.der());
    let head = first.health();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(
        head.contains("strict-transport-security: max-age=31536000"),
        "{head}"
    );
    // Whoever trusts another certificate gets no connection, and plain HTTP no answer.
    assert!(Connection::open(&server, &trusting(&[&foreign])).is_err());
    let plain = server.client.url().replace("https://", "http://");
    let plain = kura_tests::Client::new(&plain, None);
    assert!(plain.try_send("GET", "/healthz", None).is_err());

    // Half of a change, and nonsense, leave the old one in use.
    let wait_for_log = |text: &str, n: usize| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while server.log().matches(text).count() < n {
            assert!(Instant::now() < deadline, "no `{text}`:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    kura.write("tls.pem", new.cert.pem());
    wait_for_log("cannot be used with the certificate", 1);
    assert_eq!(open().certificate(), *old.cert.der());
    kura.write("tls.key", "nonsense");
    wait_for_log("holds no private key", 1);
    assert_eq!(open().certificate(), *old.cert.der());
    write(&kura, &new);
    wait_for_log("a changed certificate is in use", 1);
    assert_eq!(open().certificate(), *new.cert.der());
    // Connections that were open stay.
    first.health();
    assert!(!server.log().contains("PRIVATE KEY"));

    // Commands on this machine need not trust it.
    let listed = kura.run(["collections", "list"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(server.stop());
}

#[test]
fn who_is_refused_reads_why_once_all_is_sent() {
    let kura = configured();
    let certificate = certificate();
    write(&kura, &certificate);
    let server = kura.serve();
    let mut stream = Connection::open(&server, &trusting(&[&certificate]))
        .unwrap()
        .0;
    // More than the operating system keeps for the two.
    let body = vec![b'x'; 32 << 20];
    let head = format!(
        "POST /api/v1/search HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.get_mut().write_all(head.as_bytes()).unwrap();
    stream.get_mut().write_all(&body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("\"unauthorized\""), "{answer}");
}

#[test]
fn a_certificate_that_changes_while_many_connect_loses_nobody() {
    let kura = configured();
    let all: Vec<_> = (0..4).map(|_| certificate()).collect();
    write(&kura, &all[0]);
    let server = kura.serve();
    let client = trusting(&all.iter().collect::<Vec<_>>());
    let first = Connection::open(&server, &client).unwrap().certificate();
    let done = std::sync::atomic::AtomicBool::new(false);
    let (n, seen) = std::thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let (mut n, mut seen) = (0, vec![first]);
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let mut connection = Connection::open(&server, &client).unwrap();
                connection.health();
                seen.push(connection.certificate());
                n += 1;
            }
            seen.dedup();
            (n, seen)
        });
        for next in &all[1..] {
            write(&kura, next);
            std::thread::sleep(Duration::from_millis(4_500));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        connecting.join().unwrap()
    });
    assert!(n > 100, "{n}");
    let expected: Vec<_> = all.iter().map(|one| one.cert.der().clone()).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_server_that_others_reach_needs_tls_and_its_address() {
    let kura = Kura::new().env("KURA__SERVER__LISTEN", "0.0.0.0:0");
    kura.run(["serve"])
        .assert_fails(2, &["server.tls_certificate"]);
    let kura = configured().env("KURA__SERVER__TLS_KEY", "");
    kura.run(["serve"]).assert_fails(2, &["belong together"]);
    let kura = configured().env("KURA__AUTH__PUBLIC_URL", "");
    kura.run(["serve"]).assert_fails(2, &["auth.public_url"]);
    let kura = configured();
    kura.run(["serve"])
        .assert_fails(1, &["server.tls_certificate"]);
    write(&kura, &certificate());
    kura.write("tls.key", certificate().signing_key.serialize_pem());
    kura.run(["serve"])
        .assert_fails(1, &["cannot be used with the certificate"]);
}
