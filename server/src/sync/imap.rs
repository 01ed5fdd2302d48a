//! The messages of a mailbox, by IMAP.
//!
//! A message is known by its folder, the validity of the folder's uids, and its uid: what these name never changes. So a
//! scan lists, and reads only what is new. Where the server counts changes (CONDSTORE), a folder that has not changed since
//! the last good scan is not even listed.

mod connection;
mod names;
mod session;
mod wire;

use super::globs::Globs;
use super::listing::{Found, listing};
use super::place::{Encryption, ImapMailbox, Settings};
use async_trait::async_trait;
use connection::{Connection, Secret, Server, Trouble};
use futures::stream::BoxStream;
use jiff::civil::Date;
use kura_egress::{Egress, Peer};
use kura_indexer::Pipeline;
use kura_indexer::catalog::SourceId;
use kura_indexer::sync::{Connector, Failure, Fetched, Item, Standing};
use serde::{Deserialize, Serialize};
use session::{Folder, Session, State};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use url::Url;

/// Known messages read from the catalog at a time.
const PAGE: usize = 512;
/// Folders named in a message to people.
const NAMED: usize = 20;
/// The folder that every mailbox has.
const INBOX: &str = "INBOX";

/// Reads a mailbox.
pub struct Imap(Arc<Reader>);

struct Reader {
    mailbox: ImapMailbox,
    /// `imap://user@host:port/`
    address: Url,
    host: String,
    port: u16,
    since: Option<Date>,
    /// Each of the folders' patterns, by itself.
    patterns: Vec<(String, Globs)>,
    settings: Settings,
    globs: Globs,
    /// What was noted of the folders when all was last read well.
    before: HashMap<String, Noted>,
    /// What is known of messages.
    known: Option<(Arc<Pipeline>, SourceId, Handle)>,
    egress: Egress,
    max_bytes: u64,
    held: Mutex<Held>,
    listed: Mutex<Option<Listed>>,
}

/// The connection between two uses.
enum Held {
    Closed,
    Open(Box<Session>),
    /// It could not be opened: that is not tried for each message.
    Lost(String),
}

/// A folder as it was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    #[serde(flatten)]
    state: State,
    /// Items that it gave.
    n_items: u64,
}

/// A mailbox as it was listed.
#[derive(Debug, Default)]
struct Listed {
    /// Tells the mailbox from another one in its place: that of the inbox.
    uidvalidity: Option<u32>,
    folders: HashMap<String, Noted>,
}

impl Imap {
    /// Prepares to read; nothing is asked for yet. To be called within a runtime.
    ///
    /// # Errors
    /// When the server, the user or what else is given cannot be.
    pub fn open(
        mailbox: ImapMailbox,
        settings: Settings,
        globs: Globs,
        known_root: Option<&str>,
        known: Option<(Arc<Pipeline>, SourceId)>,
        egress: &Egress,
        max_bytes: u64,
    ) -> Result<Self, Failure> {
        let address = address(&mailbox)?;
        let peer = peer(&mailbox, &address);
        if mailbox.password_file.is_some() == mailbox.token_file.is_some() {
            return Err(Failure(
                "a file with the password is needed, or one with an access token, and not both"
                    .to_owned(),
            ));
        }
        let since = mailbox.since.as_deref().map(|since| {
            since.parse::<Date>().map_err(|error| {
                Failure(format!(
                    "`{since}` is no day ({error}); write it like 2024-01-31"
                ))
            })
        });
        if mailbox.folders.is_empty() {
            return Err(Failure(format!(
                "name at least one folder, such as `{INBOX}`"
            )));
        }
        let globs_of = |folder: &String| -> Result<(String, Globs), Failure> {
            let globs = Globs::new(std::slice::from_ref(folder), &[], false).map_err(Failure)?;
            Ok((folder.clone(), globs))
        };
        let patterns = mailbox
            .folders
            .iter()
            .map(globs_of)
            .collect::<Result<_, _>>()?;
        let before = known_root
            .and_then(|root| root.split_once('\n'))
            .and_then(|(_, noted)| serde_json::from_str(noted).ok());
        Ok(Self(Arc::new(Reader {
            host: peer.host().to_owned(),
            port: peer.port(),
            since: since.transpose()?,
            patterns,
            address,
            mailbox,
            settings,
            globs,
            before: before.unwrap_or_default(),
            known: known.map(|(pipeline, id)| (pipeline, id, Handle::current())),
            egress: egress.clone(),
            max_bytes,
            held: Mutex::new(Held::Closed),
            listed: Mutex::default(),
        })))
    }
}

#[async_trait]
impl Connector for Imap {
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

    /// The inbox's uids hold as long as the mailbox is the same.
    async fn root(&self) -> Result<Option<String>, Failure> {
        let reader = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || reader.root());
        asked.await.map_err(|error| Failure(error.to_string()))?
    }

    /// There is one connection: a message is read while another is taken in.
    fn parallel(&self) -> usize {
        2
    }
}

impl Reader {
    fn list(&self, sender: &Found) -> Result<(), Failure> {
        let listed = self.on_connection(|session| self.list_all(session, sender));
        let listed = listed.map_err(|trouble| Failure(trouble.text()))?;
        *lock(&self.listed) = Some(listed);
        Ok(())
    }

    fn list_all(&self, session: &mut Session, sender: &Found) -> Result<Listed, Trouble> {
        let folders = session.folders()?;
        let mut listed = Listed {
            uidvalidity: session.uidvalidity(INBOX)?,
            folders: HashMap::new(),
        };
        for folder in self.wanted(&folders)? {
            let noted = match self.list_folder(session, folder, sender) {
                Ok(noted) => noted,
                // The others can be read nevertheless.
                Err(Trouble::Refused(cause)) => {
                    let cause = format!("the folder `{}` cannot be read: {cause}", folder.path);
                    send(sender, Err(Failure(cause)))?;
                    continue;
                }
                Err(trouble) => return Err(trouble),
            };
            listed.folders.insert(folder.name.clone(), noted);
        }
        Ok(listed)
    }

    fn list_folder(
        &self,
        session: &mut Session,
        folder: &Folder,
        sender: &Found,
    ) -> Result<Noted, Trouble> {
        let state = session.examine(&folder.name)?;
        let before = self.before.get(&folder.name);
        if let Some(noted) = before.filter(|noted| noted.state == state && state.modseq.is_some())
            && self.repeat(folder, state.uidvalidity, sender)? == noted.n_items
        {
            return Ok(*noted);
        }
        let mut n_items = 0;
        if state.n_messages > 0 {
            let n_listed = session.messages(&mut |message| {
                if message.is_deleted || !self.is_recent(&message.came) {
                    return Ok(());
                }
                let marker = format!("{}:{}", message.size_bytes, message.came);
                let uid = (state.uidvalidity, message.uid);
                if let Some(item) = self.item(folder, uid, message.size_bytes, marker) {
                    n_items += 1;
                    send(sender, Ok(item))?;
                }
                Ok(())
            })?;
            if n_listed < state.n_messages {
                let cause = format!(
                    "the server lists {n_listed} of its {} messages",
                    state.n_messages
                );
                return Err(Trouble::Refused(cause));
            }
        }
        Ok(Noted { state, n_items })
    }

    /// Lists what the catalog knows of a folder that has not changed; returns how many messages that are.
    fn repeat(&self, folder: &Folder, uidvalidity: u32, sender: &Found) -> Result<u64, Trouble> {
        let Some((pipeline, id, runtime)) = &self.known else {
            return Ok(0);
        };
        let (prefix, mut n_items) = (key(&folder.name, uidvalidity, ""), 0);
        let mut after = prefix.clone();
        loop {
            let page = runtime.block_on(pipeline.source_items(*id, &after, PAGE, false));
            let page = page.map_err(|error| Trouble::Broken(error.to_string()))?;
            let Some(last) = page.last() else {
                return Ok(n_items);
            };
            after.clone_from(&last.row.key);
            for known in page {
                let uid = known.row.key.strip_prefix(&prefix);
                let Some(uid) = uid.and_then(|uid| uid.parse().ok()) else {
                    return Ok(n_items);
                };
                // The marker of an item that could not be read is an old one; what it should be is noted.
                let (Some(size), Some(marker)) = (known.row.size_bytes, known.row.note) else {
                    continue;
                };
                if let Some(item) = self.item(folder, (uidvalidity, uid), size, marker) {
                    n_items += 1;
                    send(sender, Ok(item))?;
                }
            }
        }
    }

    /// Returns a message as an item; `None` for what is not wanted.
    fn item(
        &self,
        folder: &Folder,
        (uidvalidity, uid): (u32, u32),
        size_bytes: u64,
        marker: String,
    ) -> Option<Item> {
        let name = format!("{}/{uidvalidity}-{uid}.eml", folder.path);
        if !self.globs.wants(&name) {
            return None;
        }
        let (source, standing) = match self.settings.document_name(&name) {
            Ok(source) => (source, Standing::Ready),
            Err(reason) => (String::new(), Standing::Refused(reason)),
        };
        Some(Item {
            key: key(&folder.name, uidvalidity, &uid.to_string()),
            note: Some(marker.clone()),
            marker,
            source,
            link: self.link(folder, uidvalidity, uid),
            size_bytes: Some(size_bytes),
            hint: None,
            standing,
        })
    }

    /// Returns the message's address (RFC 5092).
    fn link(&self, folder: &Folder, uidvalidity: u32, uid: u32) -> String {
        let mut link = self.address.clone();
        if let Ok(mut parts) = link.path_segments_mut() {
            let folder = format!("{};UIDVALIDITY={uidvalidity}", folder.path);
            parts
                .clear()
                .extend(folder.split('/'))
                .push(&format!(";UID={uid}"));
        }
        link.into()
    }

    /// Returns those of the folders that are to be read.
    fn wanted<'a>(&self, folders: &'a [Folder]) -> Result<Vec<&'a Folder>, Trouble> {
        for (pattern, globs) in &self.patterns {
            if !folders.iter().any(|folder| fits(pattern, globs, folder)) {
                return Err(Trouble::Refused(none_fits(pattern, folders)));
            }
        }
        let wanted = folders.iter().filter(|folder| {
            let mut patterns = self.patterns.iter();
            patterns.any(|(pattern, globs)| fits(pattern, globs, folder))
                && !self.is_excluded(&folder.path)
        });
        Ok(wanted.collect())
    }

    fn is_excluded(&self, path: &str) -> bool {
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        above
            .chain([path])
            .any(|folder| !self.globs.may_hold(folder))
    }

    /// Returns whether a message came on the day from which messages are wanted, or later. As in IMAP, the day is that of
    /// the server's clock.
    fn is_recent(&self, came: &str) -> bool {
        let Some(since) = self.since else {
            return true;
        };
        let day = came.trim_start().split(' ').next().unwrap_or_default();
        !Date::strptime("%d-%b-%Y", day).is_ok_and(|day| day < since)
    }

    fn fetch(&self, key: &str) -> Fetched {
        let Some((folder, uidvalidity, uid)) = parts(key) else {
            return Fetched::Gone;
        };
        let read =
            self.on_connection(|session| session.read(folder, uidvalidity, uid, self.max_bytes));
        match read {
            Ok(Some(bytes)) => Fetched::Content {
                bytes,
                media_type: Some("message/rfc822".to_owned()),
            },
            Ok(None) => Fetched::Gone,
            Err(Trouble::TooLarge) => {
                Fetched::Refused("it is larger than `server.upload_max_bytes`".to_owned())
            }
            Err(Trouble::Refused(cause) | Trouble::Broken(cause)) => Fetched::Failed(cause),
        }
    }

    fn root(&self) -> Result<Option<String>, Failure> {
        let listed = lock(&self.listed).take();
        let listed = match listed {
            Some(listed) => listed,
            None => self
                .on_connection(|session| {
                    let folders = session.folders()?;
                    if let Some(folder) = self.wanted(&folders)?.first() {
                        session.examine(&folder.name)?;
                    }
                    Ok(Listed {
                        uidvalidity: session.uidvalidity(INBOX)?,
                        folders: HashMap::new(),
                    })
                })
                .map_err(|trouble| Failure(trouble.text()))?,
        };
        let Some(uidvalidity) = listed.uidvalidity else {
            return Ok(None);
        };
        let noted =
            serde_json::to_string(&listed.folders).map_err(|error| Failure(error.to_string()))?;
        Ok(Some(format!("{}\n{noted}", key(INBOX, uidvalidity, ""))))
    }

    /// Runs something on the connection, which is opened if need be. If it was open before and turns out to be broken, as
    /// after a long pause, another one is opened, once.
    fn on_connection<T>(
        &self,
        mut work: impl FnMut(&mut Session) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let mut held = lock(&self.held);
        let (mut session, was_open) = match std::mem::replace(&mut *held, Held::Closed) {
            Held::Open(session) => (session, true),
            Held::Closed => (self.connect(&mut held)?, false),
            Held::Lost(cause) => {
                *held = Held::Lost(cause.clone());
                return Err(Trouble::Broken(cause));
            }
        };
        let mut done = work(&mut session);
        if was_open && matches!(done, Err(Trouble::Broken(_))) {
            session = self.connect(&mut held)?;
            done = work(&mut session);
        }
        if !matches!(done, Err(Trouble::Broken(_) | Trouble::TooLarge)) {
            *held = Held::Open(session);
        }
        done
    }

    fn connect(&self, held: &mut Held) -> Result<Box<Session>, Trouble> {
        let server = Server {
            egress: &self.egress,
            host: &self.host,
            port: self.port,
            encryption: self.mailbox.encryption,
        };
        let opened = self
            .secret()
            .and_then(|secret| Connection::open(&server, &self.mailbox.user, &secret));
        match opened {
            Ok(connection) => Ok(Box::new(Session::new(connection))),
            Err(cause) => {
                *held = Held::Lost(cause.clone());
                Err(Trouble::Broken(cause))
            }
        }
    }

    /// Reads the secret anew for each connection, so that it can be changed while kura runs.
    fn secret(&self) -> Result<Secret, String> {
        let read = |file: &str| super::secret(Path::new(file)).map_err(|Failure(cause)| cause);
        match (&self.mailbox.password_file, &self.mailbox.token_file) {
            (Some(file), _) => read(file).map(Secret::Password),
            (None, Some(file)) => read(file).map(Secret::Token),
            (None, None) => Err("a file with the password is needed".to_owned()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends what was listed; fails when nobody wants it any more.
fn send(sender: &Found, item: Result<Item, Failure>) -> Result<(), Trouble> {
    let stopped = |_| Trouble::Broken("the scan was stopped".to_owned());
    sender.blocking_send(item).map_err(stopped)
}

/// Returns whether a pattern fits a folder. Special folders must be named.
fn fits(pattern: &str, globs: &Globs, folder: &Folder) -> bool {
    let is_named = pattern.trim_matches('/').to_lowercase() == folder.path.to_lowercase();
    is_named || (!folder.is_special && globs.wants(&folder.path))
}

fn none_fits(pattern: &str, folders: &[Folder]) -> String {
    let named = folders.iter().take(NAMED);
    let mut names: Vec<String> = named.map(|folder| format!("`{}`", folder.path)).collect();
    if folders.len() > NAMED {
        names.push("…".to_owned());
    }
    format!(
        "no folder fits `{pattern}`; there are: {}",
        names.join(", ")
    )
}

fn key(folder: &str, uidvalidity: u32, uid: &str) -> String {
    format!("{folder};UIDVALIDITY={uidvalidity};UID={uid}")
}

/// Returns what a key is made of.
fn parts(key: &str) -> Option<(&str, u32, u32)> {
    let (folder, uid) = key.rsplit_once(";UID=")?;
    let (folder, uidvalidity) = folder.rsplit_once(";UIDVALIDITY=")?;
    Some((folder, uidvalidity.parse().ok()?, uid.parse().ok()?))
}

/// Returns the mailbox's address.
/// Returns whom reading a mailbox connects to; `None` if the mailbox is described wrongly.
pub(super) fn peer_of(mailbox: &ImapMailbox) -> Option<Peer> {
    address(mailbox).ok().map(|address| peer(mailbox, &address))
}

fn peer(mailbox: &ImapMailbox, address: &Url) -> Peer {
    let port = match mailbox.encryption {
        Encryption::Tls => 993,
        Encryption::Starttls | Encryption::None => 143,
    };
    Peer::new(
        address.host_str().unwrap_or_default(),
        address.port().unwrap_or(port),
    )
}

fn address(mailbox: &ImapMailbox) -> Result<Url, Failure> {
    let wrong = |reason: &str| {
        let host = &mailbox.host;
        Failure(format!(
            "`{host}` is no mail server{reason}; write it like `mail.example.com` or `mail.example.com:993`"
        ))
    };
    let mut address = Url::parse(&format!("imap://{}/", mailbox.host))
        .map_err(|error| wrong(&format!(" ({error})")))?;
    let is_host = address
        .host_str()
        .is_some_and(|host| !host.is_empty() && !host.contains('%'));
    let is_bare =
        address.path() == "/" && address.query().is_none() && address.fragment().is_none();
    if !is_host || !is_bare || !address.username().is_empty() || address.password().is_some() {
        return Err(wrong(""));
    }
    if mailbox.user.is_empty() || mailbox.user.chars().any(char::is_control) {
        return Err(Failure("the user needs a name, in one line".to_owned()));
    }
    address
        .set_username(&mailbox.user)
        .map_err(|()| wrong(""))?;
    Ok(address)
}

#[cfg(test)]
mod tests;
