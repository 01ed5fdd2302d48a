//! The only way out: every connection that kura opens is asked for here, and refused unless it stays on this machine or
//! leads to a host that the operator has named.
//!
//! An [`Egress`] says where to; [`Egress::http`] and [`Egress::tcp`] are the only makers of clients. Nothing else of the
//! workspace may depend on an HTTP client (`deny.toml`) or open a socket (`.clippy.toml`). A name is not even looked up
//! before its host is allowed: the question would leave, too.

mod counts;
mod http;
mod peer;
mod rule;

pub use counts::{Count, counts};
pub use http::{Http, HttpOptions};
pub use peer::{NotAnAddress, Peer};
pub use rule::{BadRule, Rule};
/// What requests and answers are made of. No client can be made of it.
pub use ureq::{Body, Error as HttpError, http as types, unversioned::multipart};

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Reading a source that documents come from.
    Source,
    /// Fetching a model, when a person asks for it.
    Models,
    /// Signing people in at an identity provider.
    SignIn,
    /// A command that talks to a server of kura.
    Server,
}

impl Purpose {
    /// Returns its name, for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Models => "models",
            Self::SignIn => "sign_in",
            Self::Server => "server",
        }
    }
}

/// Where connections may lead.
#[derive(Debug, Clone)]
pub struct Egress(Arc<Allowed>);

#[derive(Debug)]
struct Allowed {
    rules: Vec<Rule>,
}

/// A connection that was not opened.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No host is allowed.
    #[error(
        "kura is offline (`network.allow` is empty), so `{0}` is not connected to; to allow it, add \"{host}\" to \
         `network.allow` in the configuration and start kura again",
        host = .0.host()
    )]
    Offline(Peer),
    /// Other hosts are.
    #[error(
        "`{0}` is not in `network.allow`, so it is not connected to; to allow it, add \"{host}\" there and start kura again",
        host = .0.host()
    )]
    NotAllowed(Peer),
    /// The host is allowed, the address that its name stands for is not.
    #[error(
        "`{peer}` stands for {address}, which is an address of this machine or of its link and no host of the network; name \
         it in full in `network.allow` if that is meant"
    )]
    Address {
        /// The host.
        peer: Peer,
        /// Its address.
        address: IpAddr,
    },
}

/// Why there is no TCP connection.
#[derive(Debug, thiserror::Error)]
pub enum TcpError {
    /// It is not allowed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The name stands for nothing.
    #[error("the host `{host}` is not known: {cause}")]
    Unknown {
        /// The name.
        host: String,
        /// Why.
        cause: std::io::Error,
    },
    /// No address of it answers.
    #[error("`{host}` cannot be reached on port {port}: {cause}")]
    Unreachable {
        /// The name.
        host: String,
        /// The port.
        port: u16,
        /// The last error.
        cause: String,
    },
}

/// Which addresses an allowed host may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    /// It is this machine, and must stay so.
    ThisMachine,
    /// It was named in full: whatever address it has is meant.
    Named,
    /// A pattern fits: this machine and its link were not meant.
    Fits,
}

impl Egress {
    /// Nothing but this machine.
    #[must_use]
    pub fn offline() -> Self {
        Self::to(Vec::new())
    }

    /// This machine, and the hosts that a rule fits.
    #[must_use]
    pub fn to(rules: Vec<Rule>) -> Self {
        Self(Arc::new(Allowed { rules }))
    }

    /// Any host: only for a command that a person runs in order to fetch something.
    #[must_use]
    pub fn everywhere() -> Self {
        Self::to(vec![Rule::Any])
    }

    /// Returns whether no other machine can be connected to.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.0.rules.is_empty()
    }

    /// Returns whether any host is allowed.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        self.0.rules.contains(&Rule::Any)
    }

    /// Returns the rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.0.rules
    }

    /// Fails unless a peer may be connected to. Refusals are counted.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn require(&self, purpose: Purpose, peer: &Peer) -> Result<(), Refused> {
        self.grant(purpose, peer).map(drop)
    }

    /// The same for a connection that a program opens, which is counted as if kura had.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn hand_over(&self, purpose: Purpose, peer: &Peer) -> Result<(), Refused> {
        self.require(purpose, peer)?;
        counts::opened(purpose, peer);
        Ok(())
    }

    /// Connects by TCP, trying each address of the host for so long.
    ///
    /// # Errors
    /// [`TcpError`].
    pub fn tcp(
        &self,
        purpose: Purpose,
        peer: &Peer,
        timeout: Duration,
    ) -> Result<TcpStream, TcpError> {
        let grant = self.grant(purpose, peer)?;
        let (host, port) = (peer.host().to_owned(), peer.port());
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where names are looked up"
        )]
        let addresses =
            (host.as_str(), port)
                .to_socket_addrs()
                .map_err(|cause| TcpError::Unknown {
                    host: host.clone(),
                    cause,
                })?;
        let mut last = "it has no address".to_owned();
        for address in addresses {
            grant.check(purpose, peer, address)?;
            counts::opened(purpose, peer);
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place where connections are opened"
            )]
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error.to_string(),
            }
        }
        Err(TcpError::Unreachable {
            host,
            port,
            cause: last,
        })
    }

    /// Returns an HTTP client.
    #[must_use]
    pub fn http(&self, purpose: Purpose, options: &HttpOptions) -> Http {
        Http::new(self.clone(), purpose, options)
    }

    fn grant(&self, purpose: Purpose, peer: &Peer) -> Result<Grant, Refused> {
        if self.0.rules.iter().any(|rule| rule.names(peer)) {
            Ok(Grant::Named)
        } else if peer.is_this_machine() {
            Ok(Grant::ThisMachine)
        } else if self.0.rules.iter().any(|rule| rule.fits(peer)) {
            Ok(Grant::Fits)
        } else {
            counts::refused(purpose, peer);
            Err(if self.is_offline() {
                Refused::Offline(peer.clone())
            } else {
                Refused::NotAllowed(peer.clone())
            })
        }
    }
}

impl Grant {
    /// A name says nothing of where it leads: whoever answers for it could send kura to the services of its own machine,
    /// or to those that clouds offer on the link.
    fn check(self, purpose: Purpose, peer: &Peer, address: SocketAddr) -> Result<(), Refused> {
        let ip = address.ip().to_canonical();
        let is_fine = match self {
            Self::Named => true,
            Self::ThisMachine => ip.is_loopback(),
            Self::Fits => !is_near(ip),
        };
        if is_fine {
            return Ok(());
        }
        counts::refused(purpose, peer);
        Err(Refused::Address {
            peer: peer.clone(),
            address: ip,
        })
    }
}

/// This machine, its link, or nobody in particular.
fn is_near(ip: IpAddr) -> bool {
    ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || match ip {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn egress(rules: &[&str]) -> Egress {
        Egress::to(rules.iter().map(|rule| rule.parse().unwrap()).collect())
    }

    fn may(egress: &Egress, peer: &str) -> bool {
        let peer = Peer::of_url(&format!("https://{peer}")).unwrap();
        egress.require(Purpose::Source, &peer).is_ok()
    }

    #[test]
    fn offline_means_this_machine_only() {
        let offline = Egress::offline();
        for near in ["localhost", "127.0.0.1:8080", "127.9.9.9", "[::1]:443"] {
            assert!(may(&offline, near), "{near}");
        }
        for far in [
            "example.com",
            "localhost.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "2130706433",
            "0x7f.1",
            "169.254.169.254",
            "[::ffff:127.0.0.1]",
            "[fe80::1]",
            "[::]",
        ] {
            assert!(!may(&offline, far), "{far}");
        }
    }

    #[test]
    fn rules_name_hosts_ports_and_domains() {
        let some = egress(&["Wiki.example.com", "s3.example.com:9000", "*.corp.example"]);
        for yes in [
            "wiki.example.com",
            "WIKI.example.com.:8443",
            "s3.example.com:9000",
            "a.b.corp.example",
        ] {
            assert!(may(&some, yes), "{yes}");
        }
        for no in [
            "example.com",
            "s3.example.com",
            "corp.example",
            "xcorp.example",
            "wiki.example.com.evil.example",
        ] {
            assert!(!may(&some, no), "{no}");
        }
        assert!(may(&Egress::everywhere(), "anything.example"));
    }

    #[test]
    fn a_name_that_only_a_pattern_fits_must_not_lead_to_this_machine_or_its_link() {
        let peer = Peer::of_url("http://a.corp.example").unwrap();
        let check = |grant: Grant, ip: &str| {
            let address = SocketAddr::new(ip.parse().unwrap(), 80);
            grant.check(Purpose::Source, &peer, address).is_ok()
        };
        for near in [
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "::1",
            "::ffff:127.0.0.1",
            "fe80::1",
        ] {
            assert!(!check(Grant::Fits, near), "{near}");
            assert!(check(Grant::Named, near), "{near}");
        }
        assert!(check(Grant::Fits, "10.1.2.3") && check(Grant::Fits, "2001:db8::1"));
        assert!(check(Grant::ThisMachine, "127.0.0.1"));
        assert!(!check(Grant::ThisMachine, "10.1.2.3"));
    }

    #[test]
    fn what_is_refused_says_how_to_allow_it() {
        let peer = Peer::of_url("https://wiki.example.com/start").unwrap();
        let said = Egress::offline()
            .require(Purpose::Source, &peer)
            .unwrap_err()
            .to_string();
        for word in [
            "offline",
            "`wiki.example.com:443`",
            "\"wiki.example.com\"",
            "network.allow",
        ] {
            assert!(said.contains(word), "{word}: {said}");
        }
        let said = egress(&["other.example"])
            .require(Purpose::Source, &peer)
            .unwrap_err()
            .to_string();
        assert!(!said.contains("offline"), "{said}");
    }

    #[test]
    fn tcp_connections_and_refusals_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = Peer::new("127.0.0.1", listener.local_addr().unwrap().port());
        let far = Peer::new("tcp-counted.example", 143);
        let offline = Egress::offline();
        let timeout = Duration::from_secs(5);
        offline.tcp(Purpose::Source, &near, timeout).unwrap();
        let refused = offline.tcp(Purpose::Source, &far, timeout);
        assert!(matches!(
            refused,
            Err(TcpError::Refused(Refused::Offline(_)))
        ));
        let count = |peer: &Peer| {
            let counts = counts();
            let count = counts.iter().find(|count| count.peer == peer.to_string());
            count.map(|count| (count.opened, count.refused))
        };
        assert_eq!(count(&near), Some((1, 0)));
        assert_eq!(count(&far), Some((0, 1)));
    }
}
