//! Buckets of S3 and of what speaks its language.

mod sign;

use super::globs::Globs;
use super::listing::{Found, listing};
use super::place::{S3Bucket, Settings};
use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;
use kura_egress::{Egress, Http, HttpOptions, Purpose};
use kura_indexer::sync::{Connector, Failure, Fetched, Item, Standing};
use sign::{Keys, Request};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How long a signed request holds.
const SIGNED_SECS: u64 = 300;
/// Longest time without an answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Largest page of a listing: 1,000 keys of 1,024 bytes, in XML.
const LISTING_BYTES: u64 = 16 << 20;

/// Reads a bucket.
pub struct S3(Arc<Reader>);

struct Reader {
    agent: Http,
    scheme: String,
    /// With the port, if it is not the scheme's own.
    host: String,
    /// Path of the bucket, with `/` at the end.
    base: String,
    place: S3Bucket,
    settings: Settings,
    globs: Globs,
    max_bytes: u64,
}

impl S3 {
    /// Prepares to read; nothing is requested yet.
    ///
    /// # Errors
    /// When the address cannot be one.
    pub fn open(
        place: S3Bucket,
        settings: Settings,
        globs: Globs,
        egress: &Egress,
        max_bytes: u64,
    ) -> Result<Self, Failure> {
        let endpoint = Url::parse(&place.endpoint)
            .map_err(|error| Failure(format!("`{}` is no address: {error}", place.endpoint)))?;
        if !endpoint.username().is_empty() || endpoint.password().is_some() {
            return Err(Failure(
                "the address must not have a password in it; put the keys into files".to_owned(),
            ));
        }
        let (true, Some(host)) = (
            matches!(endpoint.scheme(), "http" | "https"),
            endpoint.host_str(),
        ) else {
            return Err(Failure(format!(
                "`{}` is no address of a server; use https:// or http://",
                place.endpoint
            )));
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if place.bucket.is_empty() || !place.bucket.chars().all(is_name) {
            return Err(Failure(format!(
                "`{}` is no name of a bucket",
                place.bucket
            )));
        }
        if place.access_key_file.is_some() != place.secret_key_file.is_some() {
            return Err(Failure(
                "the access key and the secret key come together, or not at all".to_owned(),
            ));
        }
        let port = endpoint.port().map(|port| format!(":{port}"));
        let (port, path) = (
            port.unwrap_or_default(),
            endpoint.path().trim_end_matches('/'),
        );
        let (host, base) = if place.virtual_host {
            (format!("{}.{host}{port}", place.bucket), format!("{path}/"))
        } else {
            (format!("{host}{port}"), format!("{path}/{}/", place.bucket))
        };
        let options = HttpOptions {
            // A signed request is for one host.
            redirects: 0,
            connect: Some(TIMEOUT),
            answer: Some(TIMEOUT),
            body: Some(10 * TIMEOUT),
            ..HttpOptions::default()
        };
        Ok(Self(Arc::new(Reader {
            agent: egress.http(Purpose::Source, &options),
            scheme: endpoint.scheme().to_owned(),
            host,
            base,
            place,
            settings,
            globs,
            max_bytes,
        })))
    }
}

#[async_trait]
impl Connector for S3 {
    fn list(&self) -> BoxStream<'_, Result<Item, Failure>> {
        let reader = Arc::clone(&self.0);
        listing(move |found| reader.list(found))
    }

    async fn fetch(&self, item: &Item) -> Fetched {
        let (reader, key) = (Arc::clone(&self.0), item.key.clone());
        tokio::task::spawn_blocking(move || reader.fetch(&key))
            .await
            .unwrap_or_else(|error| Fetched::Failed(error.to_string()))
    }

    /// A listing that succeeds is that of the bucket asked for.
    async fn root(&self) -> Result<Option<String>, Failure> {
        let reader = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || {
            let keys = reader.keys()?;
            reader.page(keys.as_ref(), None, 1).map(drop)
        });
        asked.await.map_err(|error| Failure(error.to_string()))??;
        Ok(Some("bucket".to_owned()))
    }
}

impl Reader {
    fn list(&self, sender: &Found) -> Result<(), Failure> {
        let keys = self.keys()?;
        let mut next = None;
        loop {
            let page = self.page(keys.as_ref(), next.as_deref(), 1000)?;
            for object in page.objects {
                if let Some(item) = self.item(object)
                    && sender.blocking_send(Ok(item)).is_err()
                {
                    return Ok(());
                }
            }
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    fn page(&self, keys: Option<&Keys>, next: Option<&str>, n_keys: u32) -> Result<Page, Failure> {
        let mut query = BTreeMap::from([
            ("list-type", "2".to_owned()),
            ("encoding-type", "url".to_owned()),
            ("max-keys", n_keys.to_string()),
        ]);
        if !self.place.prefix.is_empty() {
            query.insert("prefix", self.place.prefix.clone());
        }
        if let Some(next) = next {
            query.insert("continuation-token", next.to_owned());
        }
        let path = if self.place.virtual_host {
            self.base.as_str()
        } else {
            self.base.trim_end_matches('/')
        };
        let bytes = self
            .get(path, query, keys, LISTING_BYTES)
            .map_err(Failure)?;
        Page::read(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
            Failure("the listing of the bucket is not understood, or not whole".to_owned())
        })
    }

    /// Returns an object as an item; `None` for what is not wanted. Keys that end with `/` are folders of some programs.
    fn item(&self, object: Object) -> Option<Item> {
        let Object {
            key,
            etag,
            modified,
            size,
        } = object;
        let below = key.strip_prefix(&self.place.prefix).unwrap_or(&key);
        let below = below.trim_start_matches('/');
        if below.is_empty() || key.ends_with('/') || !self.globs.wants(below) {
            return None;
        }
        let (source, standing) = match self.settings.document_name(below) {
            Ok(source) => (source, Standing::Ready),
            Err(reason) => (String::new(), Standing::Refused(reason)),
        };
        Some(Item {
            marker: format!("{etag}:{}:{modified}", size.unwrap_or_default()),
            source,
            link: format!("s3://{}/{key}", self.place.bucket),
            size_bytes: size,
            hint: None,
            note: None,
            standing,
            key,
        })
    }

    fn fetch(&self, key: &str) -> Fetched {
        let keys = match self.keys() {
            Ok(keys) => keys,
            Err(Failure(cause)) => return Fetched::Failed(cause),
        };
        let path = format!("{}{key}", self.base);
        match self.get(&path, BTreeMap::new(), keys.as_ref(), self.max_bytes) {
            Ok(bytes) => Fetched::Content {
                bytes,
                media_type: None,
            },
            Err(cause) => Fetched::Failed(cause),
        }
    }

    /// Sends a signed request. Errors do not show it: whoever has it could send it, too.
    fn get(
        &self,
        path: &str,
        query: BTreeMap<&str, String>,
        keys: Option<&Keys>,
        max_bytes: u64,
    ) -> Result<Vec<u8>, String> {
        let request = Request {
            scheme: &self.scheme,
            host: &self.host,
            path,
            query,
            region: &self.place.region,
        };
        let url = sign::url(request, keys, SIGNED_SECS, Timestamp::now());
        let mut response = self
            .agent
            .get(&url)
            .call()
            .map_err(|error| format!("`{}` does not answer: {error}", self.place.endpoint))?;
        let status = response.status();
        let limit = if status.is_success() {
            max_bytes
        } else {
            64 << 10
        };
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        if status.is_success() {
            return body.map_err(|error| format!("it cannot be read: {error}"));
        }
        let body = body.unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let reason = element(&text, "Code").map(|code| {
            let message = element(&text, "Message").unwrap_or_default();
            format!(" ({code}: {message})")
        });
        Err(format!(
            "the bucket `{}` cannot be read: status {}{}",
            self.place.bucket,
            status.as_u16(),
            reason.unwrap_or_default()
        ))
    }

    /// Reads the keys anew each time, so that they can be changed while kura runs.
    fn keys(&self) -> Result<Option<Keys>, Failure> {
        let (Some(access), Some(secret)) =
            (&self.place.access_key_file, &self.place.secret_key_file)
        else {
            return Ok(None);
        };
        Ok(Some(Keys {
            access: super::secret(Path::new(access))?,
            secret: super::secret(Path::new(secret))?,
        }))
    }
}

/// A part of a listing.
#[derive(Debug, PartialEq)]
struct Page {
    objects: Vec<Object>,
    /// Where the next part begins; none after the last.
    next: Option<String>,
}

#[derive(Debug, PartialEq)]
struct Object {
    key: String,
    etag: String,
    modified: String,
    size: Option<u64>,
}

impl Page {
    /// Reads a listing; `None` if it is none, or breaks off: what it lacks would be taken for deleted.
    fn read(xml: &str) -> Option<Self> {
        let xml = xml.trim();
        if !xml.contains("<ListBucketResult") || !xml.ends_with("</ListBucketResult>") {
            return None;
        }
        let is_encoded = element(xml, "EncodingType").as_deref() == Some("url");
        let mut parts = xml.split("<Contents>");
        let (mut objects, mut about) = (Vec::new(), parts.next()?.to_owned());
        for part in parts {
            let (object, rest) = part.split_once("</Contents>")?;
            about.push_str(rest);
            let key = element(object, "Key")?;
            objects.push(Object {
                key: if is_encoded { decoded(&key)? } else { key },
                etag: element(object, "ETag").unwrap_or_default(),
                modified: element(object, "LastModified").unwrap_or_default(),
                size: element(object, "Size").and_then(|size| size.parse().ok()),
            });
        }
        let is_truncated = element(&about, "IsTruncated").as_deref() == Some("true");
        let next = element(&about, "NextContinuationToken").filter(|token| !token.is_empty());
        match (is_truncated, next) {
            (false, _) => Some(Self {
                objects,
                next: None,
            }),
            (true, Some(next)) => Some(Self {
                objects,
                next: Some(next),
            }),
            (true, None) => None,
        }
    }
}

/// Returns the text of the first element of this name.
fn element(xml: &str, name: &str) -> Option<String> {
    /// `&amp;` last: what it makes is not read again.
    const ENTITIES: [(&str, &str); 7] = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let plain = ENTITIES
        .iter()
        .fold(text.to_owned(), |text, (entity, c)| text.replace(entity, c));
    Some(plain)
}

fn decoded(key: &str) -> Option<String> {
    let pair = format!("key={}", key.replace('&', "%26"));
    let (_, key) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
    Some(key.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_read_whole_or_not_at_all() {
        let whole = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><IsTruncated>true</IsTruncated>\
            <EncodingType>url</EncodingType><Contents><Key>a%2Fb+c%2B.md</Key><LastModified>2024</LastModified>\
            <ETag>&quot;e&quot;</ETag><Size>7</Size></Contents>\
            <NextContinuationToken>t&amp;1</NextContinuationToken></ListBucketResult>";
        let object = Object {
            key: "a/b c+.md".to_owned(),
            etag: "\"e\"".to_owned(),
            modified: "2024".to_owned(),
            size: Some(7),
        };
        let expected = Page {
            objects: vec![object],
            next: Some("t&1".to_owned()),
        };
        assert_eq!(Page::read(whole), Some(expected));
        assert_eq!(Page::read(&whole[..whole.len() - 5]), None);
        let endless = whole.replace("NextContinuationToken", "Other");
        assert_eq!(Page::read(&endless), None);
        assert_eq!(Page::read("<html>sign in</html>"), None);
    }
}
