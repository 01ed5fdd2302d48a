//! What `network.allow` is made of.

use crate::peer::{Peer, normal};
use std::fmt;
use std::str::FromStr;

/// Hosts that may be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `*`: any host.
    Any,
    /// `*.example.com`: every host below a domain; without the dot before it.
    Below(String),
    /// `host` or `host:port`.
    Host {
        /// As [`Peer::host`] has it.
        host: String,
        /// Any port if there is none.
        port: Option<u16>,
    },
}

/// A rule that is none.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no host; write \"host\", \"host:port\", \"*.domain\", or \"*\" for any host")]
pub struct BadRule(String);

impl Rule {
    /// Returns whether the peer's host is named in full.
    pub(crate) fn names(&self, peer: &Peer) -> bool {
        match self {
            Self::Host { host, port } => {
                host == peer.host() && port.is_none_or(|port| port == peer.port())
            }
            Self::Any | Self::Below(_) => false,
        }
    }

    /// Returns whether the peer is allowed.
    pub(crate) fn fits(&self, peer: &Peer) -> bool {
        match self {
            Self::Any => true,
            Self::Below(domain) => peer
                .host()
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            Self::Host { .. } => self.names(peer),
        }
    }
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let bad = || BadRule(text.to_owned());
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(domain) = text.strip_prefix("*.") {
            let domain = normal(domain);
            return if is_name(&domain) {
                Ok(Self::Below(domain))
            } else {
                Err(bad())
            };
        }
        // An address of IPv6 has colons of its own.
        if let Ok(address) = text.parse::<std::net::Ipv6Addr>() {
            return Ok(Self::Host {
                host: address.to_string(),
                port: None,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !text.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| bad())?))
            }
            _ => (text, None),
        };
        let in_brackets = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match in_brackets {
            Some(address) => {
                let address: std::net::Ipv6Addr = address.parse().map_err(|_| bad())?;
                address.to_string()
            }
            None => normal(host),
        };
        if in_brackets.is_none() && !is_name(&host) {
            return Err(bad());
        }
        Ok(Self::Host { host, port })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(domain) => write!(f, "*.{domain}"),
            Self::Host { host, port: None } => f.write_str(host),
            Self::Host {
                host,
                port: Some(port),
            } => write!(f, "{}", Peer::new(host, *port)),
        }
    }
}

fn is_name(host: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    host.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_shown() {
        for (text, shown) in [
            ("*", "*"),
            ("*.Example.com", "*.example.com"),
            ("host", "host"),
            ("Host.example.com.:8443", "host.example.com:8443"),
            ("10.0.0.7", "10.0.0.7"),
            ("10.0.0.7:9000", "10.0.0.7:9000"),
            ("[2001:DB8::1]:443", "[2001:db8::1]:443"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "https://host",
            "host/path",
            "host:port",
            "host:70000",
            "*host",
            "a.*.b",
            "*.",
            "a b",
            "[host]:1",
            "user@host",
        ] {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }
}
