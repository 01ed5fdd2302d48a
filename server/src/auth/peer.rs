//! Where a request comes from, as far as that can be told.

use crate::app::AppState;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address of who sent a request. Behind `auth.proxies` proxies it is what the outermost of them wrote into
/// `X-Forwarded-For`; what stands before that anyone may have made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl FromRequestParts<AppState> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Infallible> {
        let peer = address(&parts.extensions, &parts.headers, app.config.auth.proxies);
        Ok(Self(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))))
    }
}

/// Returns the address of who sent a request, as far as it is known.
pub(crate) fn address(
    extensions: &Extensions,
    headers: &HeaderMap,
    proxies: usize,
) -> Option<IpAddr> {
    let connected = extensions.get::<ConnectInfo<SocketAddr>>();
    let connected = connected.map(|info| info.0.ip());
    let address = forwarded(headers, proxies).or(connected)?;
    Some(address.to_canonical())
}

fn forwarded(headers: &HeaderMap, proxies: usize) -> Option<IpAddr> {
    let values = headers.get_all("x-forwarded-for").iter();
    let hops: Vec<&str> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let at = hops.len().checked_sub(proxies).filter(|_| proxies > 0)?;
    hops.get(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let mut headers = HeaderMap::new();
        headers.append(
            "x-forwarded-for",
            HeaderValue::from_static("203.0.113.9, 198.51.100.7"),
        );
        headers.append("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        let of = |proxies| forwarded(&headers, proxies).map(|ip| ip.to_string());
        assert_eq!(of(0), None);
        assert_eq!(of(1).as_deref(), Some("192.0.2.1"));
        assert_eq!(of(2).as_deref(), Some("198.51.100.7"));
        assert_eq!(of(4), None);
        assert_eq!(forwarded(&HeaderMap::new(), 1), None);
    }
}
