//! What kinds of places there are, and what each needs.

use super::imap;
use kura_egress::{NotAnAddress, Peer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the items of a source are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = SourcePlace)]
pub enum Place {
    /// A folder that the server can read, with all folders below it; a network mount is one, too.
    Folder {
        /// Absolute path.
        path: String,
    },
    /// The files of a git branch.
    Git {
        /// `https://`, `ssh://`, `git://`, `file://` or an absolute path; without a password in it.
        url: String,
        /// The branch; the repository's own choice when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        branch: Option<String>,
        /// A file on the server with an access token, for `https://`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_file: Option<String>,
    },
    /// Web sites: what can be reached from the start addresses on the allowed hosts.
    Web(WebSite),
    /// A bucket of S3, or of what speaks its language.
    S3(S3Bucket),
    /// The messages of a mailbox, by IMAP.
    Imap(ImapMailbox),
}

/// Which mailbox, and how it is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImapMailbox {
    /// `host` or `host:port`; the port is 993, or 143 without TLS from the start.
    pub host: String,
    /// Whose mailbox it is.
    pub user: String,
    /// A file on the server with the user's password. There is either this or a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
    /// A file on the server with an OAuth 2.0 access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// Names or patterns of the folders; each must fit at least one.
    #[serde(default = "folders")]
    pub folders: Vec<String>,
    /// Only messages that came on this day or later, such as `2024-01-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Date)]
    pub since: Option<String>,
    /// How the connection is protected.
    #[serde(default)]
    pub encryption: Encryption,
}

/// How a connection is protected.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = ImapEncryption)]
pub enum Encryption {
    /// TLS from the start.
    #[default]
    Tls,
    /// Begun in the clear and then TLS, before the password is sent.
    Starttls,
    /// Not at all: on the way anyone can read the password and the messages.
    None,
}

pub(crate) fn folders() -> Vec<String> {
    vec!["INBOX".to_owned()]
}

/// Which bucket, and how it is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Bucket {
    /// `https://host` or `https://host:port`.
    pub endpoint: String,
    /// Its name.
    pub bucket: String,
    /// Only objects whose keys begin with this.
    #[serde(default)]
    pub prefix: String,
    /// Its region.
    #[serde(default = "region")]
    pub region: String,
    /// Whether the bucket's name is part of the host's.
    #[serde(default)]
    pub virtual_host: bool,
    /// A file on the server with the access key; without one nothing is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_file: Option<String>,
    /// A file on the server with the secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_file: Option<String>,
}

pub(crate) fn region() -> String {
    "us-east-1".to_owned()
}

/// Which web sites, and how they are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSite {
    /// Addresses to start from.
    pub urls: Vec<String>,
    /// Hosts that may be asked besides those of the start addresses: `host` or `host:port`.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Longest way from a start address, in links.
    #[serde(default = "max_depth")]
    pub max_depth: u32,
    /// Most pages; if there are more the source is stale.
    #[serde(default = "max_pages")]
    pub max_pages: u32,
    /// Shortest time between two requests to a host, in milliseconds.
    #[serde(default = "delay_ms")]
    pub delay_ms: u64,
    /// Whether site maps are read.
    #[serde(default = "sitemaps")]
    pub sitemaps: bool,
}

pub(crate) fn max_depth() -> u32 {
    8
}

pub(crate) fn max_pages() -> u32 {
    5000
}

pub(crate) fn delay_ms() -> u64 {
    250
}

fn sitemaps() -> bool {
    true
}

/// What is kept of a source beside the columns of its row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where its items are.
    pub place: Place,
    /// Stands before the names of its documents.
    #[serde(default)]
    pub prefix: String,
}

impl Place {
    /// Returns the kind's name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "folder",
            Self::Git { .. } => "git",
            Self::Web(_) => "web",
            Self::S3(_) => "s3",
            Self::Imap(_) => "imap",
        }
    }

    /// Returns the path or address, for people.
    #[must_use]
    pub fn location(&self) -> String {
        match self {
            Self::Folder { path } => path.clone(),
            Self::Git { url, .. } => url.clone(),
            Self::Web(site) => site.urls.first().cloned().unwrap_or_default(),
            Self::S3(place) => place.bucket.clone(),
            Self::Imap(mailbox) => format!("{}/{}", mailbox.host, mailbox.user),
        }
    }

    /// Returns a name for the source of this place: the last part of its location.
    #[must_use]
    pub fn default_name(&self) -> String {
        let location = self.location();
        let last = location
            .trim_end_matches('/')
            .trim_end_matches(".git")
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let name: String = last
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') {
                    c
                } else {
                    '-'
                }
            })
            .take(64)
            .collect();
        let name = name.trim_start_matches('.');
        if name.is_empty() {
            self.kind().to_owned()
        } else {
            name.to_owned()
        }
    }

    /// Returns whom reading it connects to.
    ///
    /// # Errors
    /// When that cannot be told, because an address cannot be one: then nobody may be connected to.
    pub fn peers(&self) -> Result<Vec<Peer>, NotAnAddress> {
        let mut peers = match self {
            Self::Folder { .. } => Vec::new(),
            Self::Git { url, .. } if url.starts_with('/') || url.starts_with("file://") => {
                Vec::new()
            }
            Self::Git { url, .. } => vec![Peer::of_url(url)?],
            Self::Web(site) => {
                let schemes = site.urls.iter().filter_map(|url| url.split_once("://"));
                // A host is asked with the scheme of whatever leads there.
                let others = schemes.flat_map(|(scheme, _)| {
                    let hosts = site.hosts.iter();
                    hosts.map(move |host| format!("{scheme}://{host}"))
                });
                let all = site.urls.iter().cloned().chain(others);
                all.map(|url| Peer::of_url(&url))
                    .collect::<Result<_, _>>()?
            }
            Self::S3(bucket) => {
                let peer = Peer::of_url(&bucket.endpoint)?;
                vec![if bucket.virtual_host {
                    Peer::new(&format!("{}.{}", bucket.bucket, peer.host()), peer.port())
                } else {
                    peer
                }]
            }
            Self::Imap(mailbox) => {
                let address = format!("imap://{}", mailbox.host);
                vec![imap::peer_of(mailbox).ok_or(NotAnAddress(address))?]
            }
        };
        peers.sort();
        peers.dedup();
        Ok(peers)
    }

    /// Returns whether looking is cheap and bothers nobody else, so that it is done at every start.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Folder { .. } => true,
            Self::Git { .. } | Self::Web(_) | Self::S3(_) | Self::Imap(_) => false,
        }
    }
}

impl Settings {
    /// Returns the name of the document of an item.
    ///
    /// # Errors
    /// When a document cannot have that name.
    pub fn document_name(&self, key: &str) -> Result<String, String> {
        let name = if self.prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{}/{key}", self.prefix)
        };
        crate::routes::documents::source(&name).map_err(|error| error.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_after_its_place() {
        for (path, name) in [
            ("/srv/share/規程", "規程"),
            ("/srv/share/", "share"),
            ("/srv/.hidden", "hidden"),
            ("/srv/a b&c", "a-b-c"),
            ("/", "folder"),
        ] {
            let place = Place::Folder {
                path: path.to_owned(),
            };
            assert_eq!(place.default_name(), name, "{path}");
        }
        let mailbox = serde_json::json!({
            "kind": "imap", "host": "mail.example.com", "user": "support@example.com", "password_file": "/run/secrets/mail",
        });
        let place: Place = serde_json::from_value(mailbox).unwrap();
        assert_eq!(place.default_name(), "support-example.com");
    }

    #[test]
    fn a_place_says_whom_it_connects_to() {
        for (place, peers) in [
            (
                serde_json::json!({"kind": "folder", "path": "/srv"}),
                vec![],
            ),
            (
                serde_json::json!({"kind": "git", "url": "ssh://git@host.example/a.git"}),
                vec!["host.example:22"],
            ),
            (
                serde_json::json!({"kind": "git", "url": "/srv/a.git"}),
                vec![],
            ),
            (
                serde_json::json!({"kind": "web", "urls": ["https://b.example/x", "https://b.example/y"], "hosts": ["a.example:8443"]}),
                vec!["a.example:8443", "b.example:443"],
            ),
            (
                serde_json::json!({"kind": "s3", "endpoint": "http://s3.example:9000", "bucket": "papers", "virtual_host": true}),
                vec!["papers.s3.example:9000"],
            ),
            (
                serde_json::json!({"kind": "imap", "host": "mail.example", "user": "me", "encryption": "starttls"}),
                vec!["mail.example:143"],
            ),
        ] {
            let place: Place = serde_json::from_value(place).unwrap();
            let found: Vec<String> = place
                .peers()
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, peers, "{place:?}");
        }
        let unclear = serde_json::json!({"kind": "git", "url": "https://host.example:99999/a.git"});
        let unclear: Place = serde_json::from_value(unclear).unwrap();
        assert!(unclear.peers().is_err());
    }

    #[test]
    fn a_prefix_stands_before_the_name() {
        let mut settings = Settings {
            place: Place::Folder {
                path: "/x".to_owned(),
            },
            prefix: String::new(),
        };
        assert_eq!(settings.document_name("a/b.md").unwrap(), "a/b.md");
        "hr".clone_into(&mut settings.prefix);
        assert_eq!(settings.document_name("a/b.md").unwrap(), "hr/a/b.md");
        assert!(settings.document_name("a\nb.md").is_err());
    }
}
