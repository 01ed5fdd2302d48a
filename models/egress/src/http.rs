//! The HTTP client.

use crate::{Egress, Grant, Peer, Purpose, Refused, counts};
use std::ops::Deref;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// How a client behaves. By default nothing is followed, no proxy is used and nothing has a time limit.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    /// What it calls itself; the library's name when absent.
    pub user_agent: Option<&'static str>,
    /// Redirects that are followed; each host on the way must be allowed.
    pub redirects: u32,
    /// Whether the environment's proxy is used. It is asked for hosts instead of the network, so that the rules are the
    /// proxy's: only where any host is allowed.
    pub proxy_from_env: bool,
    /// Longest time for all of it.
    pub total: Option<Duration>,
    /// Longest time until a connection stands.
    pub connect: Option<Duration>,
    /// Longest time until an answer begins.
    pub answer: Option<Duration>,
    /// Longest time for an answer's body.
    pub body: Option<Duration>,
}

/// A client that connects to nobody but allowed hosts. Statuses are no errors; certificates must be of an authority that
/// the system trusts.
#[derive(Debug, Clone)]
pub struct Http(Agent);

impl Http {
    pub(crate) fn new(egress: Egress, purpose: Purpose, options: &HttpOptions) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let mut config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(options.redirects)
            .max_redirects_will_error(options.redirects > 0)
            .timeout_global(options.total)
            .timeout_connect(options.connect)
            .timeout_recv_response(options.answer)
            .timeout_recv_body(options.body)
            .tls_config(tls);
        if !options.proxy_from_env || !egress.is_everywhere() {
            config = config.proxy(None);
        }
        if let Some(name) = options.user_agent {
            config = config.user_agent(name);
        }
        let connector = Counting(purpose).chain(DefaultConnector::new());
        let gate = Gate {
            egress,
            purpose,
            names: DefaultResolver::default(),
        };
        Self(Agent::with_parts(config.build(), connector, gate))
    }
}

/// Requests are made as the library makes them.
impl Deref for Http {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.0
    }
}

/// Stands before every name that is looked up, and so before every connection.
#[derive(Debug)]
struct Gate {
    egress: Egress,
    purpose: Purpose,
    names: DefaultResolver,
}

impl Resolver for Gate {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let peer = Peer::of(uri).ok_or_else(|| Error::BadUri(uri.to_string()))?;
        let grant: Grant = self.egress.grant(self.purpose, &peer).map_err(refused)?;
        let addresses = self.names.resolve(uri, config, timeout)?;
        for address in addresses.iter() {
            grant
                .check(self.purpose, &peer, *address)
                .map_err(refused)?;
        }
        Ok(addresses)
    }
}

fn refused(refused: Refused) -> Error {
    Error::Other(Box::new(refused))
}

/// Counts the connections that are about to be opened; those that are used again never come by here.
#[derive(Debug)]
struct Counting(Purpose);

impl Connector<()> for Counting {
    type Out = ();

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<()>, Error> {
        if let Some(peer) = Peer::of(details.uri) {
            counts::opened(self.0, &peer);
        }
        Ok(chained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// Answers requests with redirects to `to`; returns its address.
    fn redirecting(to: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut buf = [0; 4096];
                while stream.read(&mut buf).is_ok_and(|n| n > 0) {
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        address
    }

    #[test]
    fn no_host_is_asked_that_is_not_allowed_not_even_by_a_redirect() {
        let options = HttpOptions {
            redirects: 3,
            proxy_from_env: true,
            total: Some(Duration::from_secs(10)),
            ..HttpOptions::default()
        };
        let http = Egress::offline().http(Purpose::Source, &options);
        let start = redirecting("http://http-refused.example/");
        for url in [start.as_str(), "http://http-refused.example/"] {
            let error = http.get(url).call().unwrap_err().to_string();
            assert!(error.contains("network.allow"), "{url}: {error}");
        }
        let counts = counts::counts();
        let of = |peer: &str| counts.iter().find(|count| count.peer == peer).unwrap();
        assert_eq!(of("http-refused.example:80").opened, 0);
        assert_eq!(of("http-refused.example:80").refused, 2);
        assert_eq!(of(start.trim_start_matches("http://")).opened, 1);
    }

    #[test]
    fn a_connection_that_is_used_again_counts_once() {
        let start = redirecting("/elsewhere");
        let http = Egress::offline().http(Purpose::Server, &HttpOptions::default());
        for _ in 0..3 {
            let mut answer = http.get(&start).call().unwrap();
            assert_eq!(answer.status(), 302);
            drop(answer.body_mut().read_to_vec());
        }
        let counts = counts::counts();
        let count = counts
            .iter()
            .find(|count| start.ends_with(&count.peer))
            .unwrap();
        assert_eq!((count.opened, count.refused), (1, 0));
    }
}
