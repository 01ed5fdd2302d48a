//! Whom a connection leads to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use ureq::http::Uri;

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// In lower case, an address of IPv6 without brackets.
    host: String,
    port: u16,
}

/// Something that is no address of a host.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no address of a server")]
pub struct NotAnAddress(pub String);

impl Peer {
    /// Returns a peer; an address of IPv6 may stand in brackets.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            host: normal(host),
            port,
        }
    }

    /// Returns whom a URL leads to. Without a port it is the scheme's own.
    ///
    /// # Errors
    /// When there is no host in it, or its scheme has no port.
    pub fn of_url(url: &str) -> Result<Self, NotAnAddress> {
        url.parse()
            .ok()
            .and_then(|uri| Self::of(&uri))
            .ok_or_else(|| NotAnAddress(url.to_owned()))
    }

    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let host = uri.host().filter(|host| !host.is_empty())?;
        let authority = uri.authority()?.as_str();
        let (_, named) = authority.rsplit_once('@').unwrap_or(("", authority));
        let port = match named.strip_prefix(host)?.strip_prefix(':') {
            // The library takes a port that is too large for none at all, and not everybody else does.
            Some(port) if !port.is_empty() => port.parse().ok()?,
            _ => match uri.scheme_str()? {
                "https" => 443,
                "http" => 80,
                "ssh" => 22,
                "git" => 9418,
                "socks4" | "socks4a" | "socks5" => 1080,
                _ => return None,
            },
        };
        Some(Self::new(host, port))
    }

    /// Returns the host, an address of IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether it is this machine by what is written, without asking anybody. Other ways to write an address
    /// (`127.1`, `2130706433`) are names here, and so are those of IPv4 within IPv6.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Returns a host as it is compared: in lower case, without brackets and without the dot that ends a full name.
pub(crate) fn normal(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_peers() {
        for (url, peer) in [
            ("https://Host.example/a?b", "host.example:443"),
            ("http://host.example", "host.example:80"),
            ("ssh://git@host.example/a.git", "host.example:22"),
            ("ssh://git@host.example:2222/a.git", "host.example:2222"),
            ("git://host.example/a.git", "host.example:9418"),
            ("http://[::1]:8080/", "[::1]:8080"),
            ("https://user@host.example./", "host.example:443"),
            ("https://user:1@host.example:8443/", "host.example:8443"),
            ("https://host.example:/", "host.example:443"),
        ] {
            assert_eq!(Peer::of_url(url).unwrap().to_string(), peer, "{url}");
        }
        for none in [
            "",
            "host.example",
            "file:///etc/passwd",
            "ftp://host.example",
            "/a/b",
            "https://host.example:99999/",
            "https://user:secret@host.example:x/",
        ] {
            assert!(Peer::of_url(none).is_err(), "{none}");
        }
    }
}
