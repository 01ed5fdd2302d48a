//! Signed requests of S3: AWS Signature Version 4, in the query.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Block size of SHA-256.
const BLOCK: usize = 64;

/// Who asks.
pub(super) struct Keys {
    pub(super) access: String,
    pub(super) secret: String,
}

/// What is asked for.
pub(super) struct Request<'a> {
    /// `http` or `https`.
    pub(super) scheme: &'a str,
    /// With the port, if it is not the scheme's own.
    pub(super) host: &'a str,
    /// Not encoded; begins with `/`.
    pub(super) path: &'a str,
    pub(super) query: BTreeMap<&'a str, String>,
    pub(super) region: &'a str,
}

/// Returns the address of a GET, signed if there are keys; it holds for `secs` seconds.
pub(super) fn url(request: Request<'_>, keys: Option<&Keys>, secs: u64, now: Timestamp) -> String {
    let Request {
        scheme,
        host,
        path,
        mut query,
        region,
    } = request;
    let path = encode(path, true);
    let Some(keys) = keys else {
        return format!("{scheme}://{host}{path}?{}", joined(&query));
    };
    let now = now.to_zoned(TimeZone::UTC);
    let (day, time) = (
        now.strftime("%Y%m%d").to_string(),
        now.strftime("%Y%m%dT%H%M%SZ").to_string(),
    );
    let scope = format!("{day}/{region}/s3/aws4_request");
    query.insert("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned());
    query.insert("X-Amz-Credential", format!("{}/{scope}", keys.access));
    query.insert("X-Amz-Date", time.clone());
    query.insert("X-Amz-Expires", secs.to_string());
    query.insert("X-Amz-SignedHeaders", "host".to_owned());
    let query = joined(&query);
    let canonical = format!("GET\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hex(&Sha256::digest(canonical))
    );
    let secret = format!("AWS4{}", keys.secret).into_bytes();
    let key = [day.as_str(), region, "s3", "aws4_request"]
        .iter()
        .fold(secret, |key, part| hmac(&key, part.as_bytes()).to_vec());
    let signature = hex(&hmac(&key, text.as_bytes()));
    format!("{scheme}://{host}{path}?{query}&X-Amz-Signature={signature}")
}

fn joined(query: &BTreeMap<&str, String>) -> String {
    let parts: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value, false)))
        .collect();
    parts.join("&")
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(text)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

fn encode(text: &str, is_path: bool) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut encoded, byte| {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    encoded.push(char::from(byte))
                }
                b'/' if is_path => encoded.push('/'),
                byte => {
                    let _ = write!(encoded, "%{byte:02X}");
                }
            }
            encoded
        })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in AWS's documentation of query string authentication.
    #[test]
    fn signs_as_the_documentation_does() {
        let keys = Keys {
            access: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        };
        let request = Request {
            scheme: "https",
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: BTreeMap::new(),
            region: "us-east-1",
        };
        let signed = url(
            request,
            Some(&keys),
            86400,
            Timestamp::from_second(1_369_353_600).unwrap(),
        );
        let signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert!(
            signed.ends_with(&format!("&X-Amz-Signature={signature}")),
            "{signed}"
        );
    }

    #[test]
    fn authenticates_as_the_rfc_does() {
        // RFC 4231, test cases 1 and 6.
        let digest = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(hex(&hmac(&[0x0b; 20], b"Hi There")), digest);
        let digest = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        assert_eq!(
            hex(&hmac(
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First"
            )),
            digest
        );
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(encode("/a b/宿+.md", true), "/a%20b/%E5%AE%BF%2B.md");
        assert_eq!(encode("a/b=c", false), "a%2Fb%3Dc");
    }
}
