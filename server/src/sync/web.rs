//! Web sites of the intranet: what can be reached from the start addresses on the hosts that are allowed.
//!
//! No connection is opened to any other host: neither by a link, nor by a redirect, nor by a site map.

mod address;
mod page;

use super::globs::Globs;
use super::listing::{Found, listing};
use super::place::{Settings, WebSite};
use address::{authority, start_url, without_fragment};
use async_trait::async_trait;
use futures::stream::BoxStream;
use kura_egress::types::header::{self, HeaderMap};
use kura_egress::{Egress, Http, HttpError, HttpOptions, Purpose};
use kura_indexer::Pipeline;
use kura_indexer::catalog::SourceId;
use kura_indexer::sync::{Connector, Failure, Fetched, Item, Standing};
use page::{Note, is_html, locations, read_html};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use texting_robots::Robot;
use tokio::runtime::Handle;
use url::Url;

const USER_AGENT: &str = concat!("kura/", env!("CARGO_PKG_VERSION"));
/// Longest time one page may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest delay that a site may ask for between two requests.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// Addresses of a site map that are read.
const SITEMAP_URLS: usize = 50_000;
const SITEMAP_BYTES: u64 = 50 << 20;
const ROBOTS_BYTES: u64 = 512 << 10;
/// Longest address that is followed.
const URL_BYTES: usize = 900;

/// Reads web sites.
pub struct Web(Arc<Crawl>);

struct Crawl {
    agent: Http,
    site: WebSite,
    start: Vec<Url>,
    /// `host` or `host:port`.
    hosts: BTreeSet<String>,
    settings: Settings,
    globs: Globs,
    /// What is known of pages, to ask whether they have changed.
    known: Option<(Arc<Pipeline>, SourceId, Handle)>,
    max_bytes: u64,
    /// Pages read while listing, until they are fetched.
    pages: tempfile::TempDir,
    types: Mutex<HashMap<String, String>>,
}

/// What a request gave.
enum Answer {
    Page {
        body: Vec<u8>,
        media_type: String,
        etag: Option<String>,
        modified: Option<String>,
    },
    /// It is as it was when it was last read.
    AsBefore,
    /// It is elsewhere.
    Moved(Url),
    /// It does not exist, or is none of ours.
    Absent,
    TooLarge,
    Unreadable(String),
}

/// A host's rules, and when it may be asked again.
struct Host {
    robot: Robot,
    delay: Duration,
    next: Instant,
}

impl Web {
    /// Prepares to read; nothing is requested yet.
    ///
    /// # Errors
    /// When an address or host cannot be one.
    pub fn open(
        site: WebSite,
        settings: Settings,
        globs: Globs,
        known: Option<(Arc<Pipeline>, SourceId)>,
        egress: &Egress,
        max_bytes: u64,
    ) -> Result<Self, Failure> {
        let start = site
            .urls
            .iter()
            .map(|url| start_url(url))
            .collect::<Result<Vec<_>, _>>()?;
        if start.is_empty() {
            return Err(Failure(
                "at least one address to start from is needed".to_owned(),
            ));
        }
        let mut hosts: BTreeSet<String> = site
            .hosts
            .iter()
            .map(|host| host.to_ascii_lowercase())
            .collect();
        hosts.extend(start.iter().map(authority));
        let options = HttpOptions {
            user_agent: Some(USER_AGENT),
            // They are looked at here.
            redirects: 0,
            total: Some(TIMEOUT),
            ..HttpOptions::default()
        };
        Ok(Self(Arc::new(Crawl {
            agent: egress.http(Purpose::Source, &options),
            site,
            start,
            hosts,
            settings,
            globs,
            known: known.map(|(pipeline, id)| (pipeline, id, Handle::current())),
            max_bytes,
            pages: tempfile::tempdir().map_err(|error| Failure(error.to_string()))?,
            types: Mutex::default(),
        })))
    }
}

#[async_trait]
impl Connector for Web {
    fn list(&self) -> BoxStream<'_, Result<Item, Failure>> {
        let crawl = Arc::clone(&self.0);
        listing(move |found| {
            crawl.run(found);
            Ok(())
        })
    }

    async fn fetch(&self, item: &Item) -> Fetched {
        let (crawl, key) = (Arc::clone(&self.0), item.key.clone());
        tokio::task::spawn_blocking(move || crawl.fetch(&key))
            .await
            .unwrap_or_else(|error| Fetched::Failed(error.to_string()))
    }

    /// Nothing says that a site is whole, so that one which suddenly lacks most of its pages is not believed.
    async fn root(&self) -> Result<Option<String>, Failure> {
        let crawl = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || {
            let url = &crawl.start[0];
            match crawl.get(url, None, crawl.max_bytes) {
                Answer::Unreadable(cause) => Err(Failure(format!("{url}: {cause}"))),
                Answer::Absent => Err(Failure(format!(
                    "{url} does not exist, or leads to a host that is not allowed"
                ))),
                Answer::Page { .. } | Answer::AsBefore | Answer::Moved(_) | Answer::TooLarge => {
                    Ok(None)
                }
            }
        });
        asked.await.map_err(|error| Failure(error.to_string()))?
    }

    /// Pages are read while listing, with the delay that is due; the rest is done one by one.
    fn parallel(&self) -> usize {
        1
    }
}

impl Crawl {
    fn run(&self, sender: &Found) {
        let mut hosts: HashMap<String, Option<Host>> = HashMap::new();
        let mut seen: HashSet<String> = HashSet::new();
        let mut queue: VecDeque<(Url, u32)> = VecDeque::new();
        for url in &self.start {
            if seen.insert(url.to_string()) {
                queue.push_back((url.clone(), 0));
            }
        }
        if self.site.sitemaps {
            for url in self.sitemaps(&mut hosts, sender) {
                if seen.insert(url.to_string()) {
                    queue.push_back((url, 0));
                }
            }
        }
        let mut n_pages = 0;
        while let Some((url, depth)) = queue.pop_front() {
            let Some(host) = self.host(&mut hosts, &url, sender) else {
                continue;
            };
            if !host.robot.allowed(url.as_str()) {
                continue;
            }
            if n_pages == self.site.max_pages {
                let cause = format!(
                    "there are more than {n_pages} pages; raise the limit, or exclude some"
                );
                drop(sender.blocking_send(Err(Failure(cause))));
                return;
            }
            n_pages += 1;
            std::thread::sleep(host.next.saturating_duration_since(Instant::now()));
            let visited = self.visit(&url);
            host.next = Instant::now() + host.delay;
            let links = match visited {
                Ok((item, links)) => {
                    if let Some(item) = item
                        && sender.blocking_send(Ok(item)).is_err()
                    {
                        return;
                    }
                    links
                }
                Err(cause) => {
                    // Without a page to start from nothing can be said of those behind it.
                    if self.start.contains(&url) && sender.blocking_send(Err(cause)).is_err() {
                        return;
                    }
                    Vec::new()
                }
            };
            if depth < self.site.max_depth {
                for link in links {
                    let allowed = Url::parse(&link).ok().filter(|link| self.is_ours(link));
                    if let Some(link) = allowed
                        && seen.insert(link.to_string())
                    {
                        queue.push_back((link, depth + 1));
                    }
                }
            }
            if sender.is_closed() {
                return;
            }
        }
    }

    /// Asks for a page; returns it as an item, if it is to be one, and its links.
    fn visit(&self, url: &Url) -> Result<(Option<Item>, Vec<String>), Failure> {
        let key = url.to_string();
        let known = self.known(&key);
        let note: Option<Note> = known
            .as_ref()
            .and_then(|known| serde_json::from_str(known.row.note.as_deref()?).ok());
        let asked = note.as_ref().filter(|_| {
            known
                .as_ref()
                .is_some_and(|known| known.row.error.is_none())
        });
        match self.get(url, asked, self.max_bytes) {
            Answer::Page {
                body,
                media_type,
                etag,
                modified,
            } => {
                let mut note = Note {
                    etag,
                    modified,
                    ..Note::default()
                };
                if is_html(&media_type) {
                    read_html(&body, url, &mut note);
                }
                let marker = hex(&Sha256::digest(&body));
                let size = body.len() as u64;
                let spooled = fs_err::write(self.spool(&key), &body);
                if spooled.is_ok() {
                    self.types
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(key.clone(), media_type);
                }
                let links = note.links.clone();
                let item = (!note.noindex).then(|| self.item(url, marker, Some(size), &note));
                Ok((item.filter(|_| self.wants(url)), links))
            }
            Answer::AsBefore => {
                let (note, known) = (note.unwrap_or_default(), known);
                let links = note.links.clone();
                let item = known
                    .map(|known| self.item(url, known.row.marker, known.row.size_bytes, &note));
                Ok((item, links))
            }
            Answer::Moved(to) => Ok((None, vec![to.to_string()])),
            Answer::Absent => Ok((None, Vec::new())),
            Answer::TooLarge => {
                let reason = format!(
                    "it has more than `server.upload_max_bytes` ({}) bytes",
                    self.max_bytes
                );
                let item = self.item(url, "too large".to_owned(), None, &Note::default());
                let item = Item {
                    standing: Standing::Refused(reason),
                    ..item
                };
                Ok((Some(item).filter(|_| self.wants(url)), Vec::new()))
            }
            Answer::Unreadable(cause) => {
                if self.start.contains(url) {
                    return Err(Failure(format!("{url}: {cause}")));
                }
                // A page that was read before stays, and so does what it led to.
                let Some(note) = note else {
                    return Err(Failure(cause));
                };
                let links = note.links.clone();
                Ok((
                    Some(self.item(url, "unreadable".to_owned(), None, &note)),
                    links,
                ))
            }
        }
    }

    fn item(&self, url: &Url, marker: String, size_bytes: Option<u64>, note: &Note) -> Item {
        let name = format!(
            "{}{}{}",
            authority(url),
            url.path(),
            url.query()
                .map(|query| format!("?{query}"))
                .unwrap_or_default()
        );
        let (source, standing) = match self.settings.document_name(&name) {
            Ok(source) => (source, Standing::Ready),
            Err(reason) => (String::new(), Standing::Refused(reason)),
        };
        Item {
            key: url.to_string(),
            marker,
            source,
            link: url.to_string(),
            size_bytes,
            hint: None,
            note: serde_json::to_string(note).ok(),
            standing,
        }
    }

    fn fetch(&self, key: &str) -> Fetched {
        let media_type = self
            .types
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned();
        if let (Some(media_type), Ok(bytes)) = (media_type, fs_err::read(self.spool(key))) {
            return Fetched::Content {
                bytes,
                media_type: Some(media_type),
            };
        }
        let Ok(url) = Url::parse(key) else {
            return Fetched::Gone;
        };
        match self.get(&url, None, self.max_bytes) {
            Answer::Page {
                body, media_type, ..
            } => Fetched::Content {
                bytes: body,
                media_type: Some(media_type),
            },
            Answer::AsBefore | Answer::Moved(_) | Answer::Absent => Fetched::Gone,
            Answer::TooLarge => {
                Fetched::Refused("it is larger than `server.upload_max_bytes`".to_owned())
            }
            Answer::Unreadable(cause) => Fetched::Failed(cause),
        }
    }

    /// Sends one request; follows nothing.
    fn get(&self, url: &Url, known: Option<&Note>, max_bytes: u64) -> Answer {
        let mut request = self
            .agent
            .get(url.as_str())
            .header(header::ACCEPT, "text/html,*/*;q=0.8");
        if let Some(note) = known {
            if let Some(etag) = &note.etag {
                request = request.header(header::IF_NONE_MATCH, etag);
            }
            if let Some(modified) = &note.modified {
                request = request.header(header::IF_MODIFIED_SINCE, modified);
            }
        }
        let mut response = match request.call() {
            Ok(response) => response,
            Err(error) => return Answer::Unreadable(error.to_string()),
        };
        let status = response.status();
        let headers = response.headers().clone();
        match status.as_u16() {
            200 => {}
            304 if known.is_some() => return Answer::AsBefore,
            301 | 302 | 303 | 307 | 308 => return self.moved(url, &headers),
            404 | 410 => return Answer::Absent,
            code => return Answer::Unreadable(format!("the server answers with status {code}")),
        }
        match response
            .body_mut()
            .with_config()
            .limit(max_bytes)
            .read_to_vec()
        {
            Ok(body) => Answer::Page {
                body,
                media_type: text(&headers, header::CONTENT_TYPE)
                    .unwrap_or_else(|| "application/octet-stream".to_owned()),
                etag: text(&headers, header::ETAG),
                modified: text(&headers, header::LAST_MODIFIED),
            },
            Err(HttpError::BodyExceedsLimit(_)) => Answer::TooLarge,
            Err(error) => Answer::Unreadable(error.to_string()),
        }
    }

    /// A redirect is followed within the allowed hosts, and never to another scheme.
    fn moved(&self, from: &Url, headers: &HeaderMap) -> Answer {
        let to = text(headers, header::LOCATION)
            .and_then(|to| from.join(&to).ok())
            .map(without_fragment);
        match to.filter(|to| to.scheme() == from.scheme() && self.is_ours(to) && to != from) {
            Some(to) => Answer::Moved(to),
            None => Answer::Absent,
        }
    }

    /// Returns a host's rules; `None` while they cannot be read: then nothing of it may be asked for.
    fn host<'a>(
        &self,
        hosts: &'a mut HashMap<String, Option<Host>>,
        url: &Url,
        sender: &Found,
    ) -> Option<&'a mut Host> {
        let origin = url.origin().ascii_serialization();
        if !hosts.contains_key(&origin) {
            let host = self.rules(&origin);
            if let Err(cause) = &host {
                drop(sender.blocking_send(Err(Failure(format!(
                    "{origin}/robots.txt cannot be read, so nothing is: {cause}"
                )))));
            }
            hosts.insert(origin.clone(), host.ok());
        }
        hosts.get_mut(&origin)?.as_mut()
    }

    fn rules(&self, origin: &str) -> Result<Host, String> {
        let url = Url::parse(&format!("{origin}/robots.txt")).map_err(|error| error.to_string())?;
        let rules = match self.get(&url, None, ROBOTS_BYTES) {
            Answer::Page { body, .. } => body,
            // RFC 9309: rules that are not there forbid nothing, rules that cannot be read forbid all.
            Answer::Absent | Answer::Moved(_) | Answer::AsBefore => Vec::new(),
            Answer::TooLarge => return Err("it is too large".to_owned()),
            Answer::Unreadable(cause) if cause.contains("status 4") => Vec::new(),
            Answer::Unreadable(cause) => return Err(cause),
        };
        let robot = Robot::new("kura", &rules).map_err(|error| error.to_string())?;
        let asked = robot.delay.map(Duration::from_secs_f32).unwrap_or_default();
        let delay = Duration::from_millis(self.site.delay_ms)
            .max(asked)
            .min(LONGEST_DELAY);
        Ok(Host {
            robot,
            delay,
            next: Instant::now(),
        })
    }

    /// Returns the addresses in the site maps of the start pages' hosts.
    fn sitemaps(&self, hosts: &mut HashMap<String, Option<Host>>, sender: &Found) -> Vec<Url> {
        let mut maps: VecDeque<Url> = VecDeque::new();
        let mut origins = BTreeSet::new();
        for start in &self.start {
            let origin = start.origin().ascii_serialization();
            if !origins.insert(origin.clone()) {
                continue;
            }
            let Some(host) = self.host(hosts, start, sender) else {
                continue;
            };
            let named: Vec<Url> = host
                .robot
                .sitemaps
                .iter()
                .filter_map(|map| Url::parse(map).ok())
                .collect();
            let usual = Url::parse(&format!("{origin}/sitemap.xml"))
                .ok()
                .filter(|_| named.is_empty());
            maps.extend(named.into_iter().chain(usual));
        }
        let (mut seen, mut urls) = (HashSet::new(), Vec::new());
        while let Some(map) = maps.pop_front() {
            if !self.is_ours(&map) || !seen.insert(map.to_string()) || seen.len() > 100 {
                continue;
            }
            let Some(host) = self.host(hosts, &map, sender) else {
                continue;
            };
            std::thread::sleep(host.next.saturating_duration_since(Instant::now()));
            let answer = self.get(&map, None, SITEMAP_BYTES);
            host.next = Instant::now() + host.delay;
            let Answer::Page { body, .. } = answer else {
                continue;
            };
            let body = String::from_utf8_lossy(&body);
            let listed = locations(&body)
                .filter_map(|url| Url::parse(&url).ok())
                .map(without_fragment);
            let listed = listed.filter(|url| self.is_ours(url));
            if body.contains("<sitemapindex") {
                maps.extend(listed);
            } else {
                urls.extend(listed.take(SITEMAP_URLS.saturating_sub(urls.len())));
            }
        }
        urls
    }

    fn is_ours(&self, url: &Url) -> bool {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.as_str().len() <= URL_BYTES
            && self.hosts.contains(&authority(url))
    }

    /// Patterns are compared with host and path.
    fn wants(&self, url: &Url) -> bool {
        let path = format!("{}{}", authority(url), url.path());
        self.globs.wants(path.trim_end_matches('/'))
    }

    fn known(&self, key: &str) -> Option<kura_indexer::catalog::KnownItem> {
        let (pipeline, id, runtime) = self.known.as_ref()?;
        let known = runtime
            .block_on(pipeline.source_item(*id, key))
            .ok()
            .flatten()?;
        // Of a document that is gone the page must be read again.
        (known.row.document.is_some() || known.row.error.is_some()).then_some(known)
    }

    fn spool(&self, key: &str) -> PathBuf {
        self.pages.path().join(hex(&Sha256::digest(key)))
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
