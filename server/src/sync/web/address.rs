//! Addresses of pages: which may be started from, and how they are written.

use kura_indexer::sync::Failure;
use url::Url;

pub(super) fn start_url(text: &str) -> Result<Url, Failure> {
    let url =
        Url::parse(text).map_err(|error| Failure(format!("`{text}` is no address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Failure(format!(
            "`{text}` is no address of a web page; use http:// or https://"
        )));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure(format!(
            "`{text}` is shown to people, so it must not have a password in it"
        )));
    }
    Ok(without_fragment(url))
}

pub(super) fn without_fragment(mut url: Url) -> Url {
    url.set_fragment(None);
    url
}

pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_start_from_are_pages_without_passwords() {
        assert_eq!(
            start_url("http://Intra.Example:8080/#top")
                .unwrap()
                .as_str(),
            "http://intra.example:8080/"
        );
        for bad in [
            "ftp://a/",
            "file:///etc/passwd",
            "intra",
            "https://me:secret@a/",
        ] {
            assert!(start_url(bad).is_err(), "{bad}");
        }
    }
}
