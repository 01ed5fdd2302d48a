//! `kura sync add`

use crate::commands::Usage;
use crate::routes::sources::SourceToAdd;
use crate::sync::place::{self, Encryption, ImapMailbox, Place, S3Bucket, WebSite};
use jiff::SignedDuration;
use std::path::{Path, PathBuf};

/// Arguments of `kura sync add`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    place: Kind,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// A folder with all folders below it; a network mount is one, too.
    ///
    /// Hidden files and those that office programs keep beside open ones are left out.
    Folder {
        /// The folder.
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Notice changes as they happen. Network mounts do not tell them.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        common: Common,
    },
    /// The files of a git branch. Needs the program `git`.
    Git {
        /// `https://`, `ssh://`, `git://`, `file://` or a folder.
        #[arg(value_name = "URL")]
        url: String,
        /// The branch; the repository's own choice if absent.
        #[arg(long, value_name = "BRANCH")]
        branch: Option<String>,
        /// A file with an access token, for https://.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Web sites of the intranet: what can be reached from the start addresses on the allowed hosts.
    Web {
        /// Addresses to start from.
        #[arg(required = true, value_name = "URL")]
        urls: Vec<String>,
        /// A host that may be asked besides those of the start addresses, with its port if that is unusual; may be given
        /// several times.
        #[arg(long = "allow-host", value_name = "HOST")]
        hosts: Vec<String>,
        /// Longest way from a start address, in links.
        #[arg(long, value_name = "N", default_value_t = place::max_depth())]
        max_depth: u32,
        /// Most pages; if there are more the source is stale.
        #[arg(long, value_name = "N", default_value_t = place::max_pages())]
        max_pages: u32,
        /// Shortest time between two requests to a host, in milliseconds.
        #[arg(long, value_name = "MS", default_value_t = place::delay_ms())]
        delay: u64,
        /// Do not read site maps.
        #[arg(long)]
        no_sitemaps: bool,
        #[command(flatten)]
        common: Common,
    },
    /// A bucket of S3, or of what speaks its language.
    S3 {
        /// The bucket's name.
        #[arg(value_name = "BUCKET")]
        bucket: String,
        /// Where it is, such as `https://s3.example.com`.
        #[arg(long, value_name = "URL")]
        endpoint: String,
        /// Only objects whose keys begin with this.
        #[arg(long, value_name = "PREFIX", default_value = "")]
        key_prefix: String,
        /// The bucket's region.
        #[arg(long, value_name = "REGION", default_value_t = place::region())]
        region: String,
        /// The bucket's name is part of the host's.
        #[arg(long)]
        virtual_host: bool,
        /// A file with the access key; without one nothing is signed.
        #[arg(long, value_name = "FILE", requires = "secret_key_file")]
        access_key_file: Option<PathBuf>,
        /// A file with the secret key.
        #[arg(long, value_name = "FILE", requires = "access_key_file")]
        secret_key_file: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// The messages of a mailbox, by IMAP. Nothing in it is changed, and nothing marked as read.
    Imap {
        /// The mail server, with its port if that is unusual.
        #[arg(value_name = "HOST[:PORT]")]
        host: String,
        /// Whose mailbox it is.
        #[arg(long, value_name = "USER")]
        user: String,
        /// A file with the user's password.
        #[arg(
            long,
            value_name = "FILE",
            required_unless_present = "token_file",
            conflicts_with = "token_file"
        )]
        password_file: Option<PathBuf>,
        /// A file with an OAuth 2.0 access token, instead of a password.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// A folder, or a pattern such as `Projects/**`; may be given several times.
        ///
        /// `*` are all folders but those of drafts, junk, trash and messages that are in other folders, too.
        #[arg(long = "folder", value_name = "GLOB", default_values_t = place::folders())]
        folders: Vec<String>,
        /// Only messages that came on this day or later, such as 2024-01-31.
        #[arg(long, value_name = "DATE")]
        since: Option<jiff::civil::Date>,
        /// How the connection is protected. With `none`, anyone on the way can read the password and the messages.
        #[arg(long, value_enum, default_value_t = Encryption::Tls)]
        encryption: Encryption,
        #[command(flatten)]
        common: Common,
    },
}

/// What all kinds take.
#[derive(Debug, clap::Args)]
struct Common {
    /// The collection that its documents go to, made if missing.
    #[arg(long, value_name = "COLLECTION")]
    collection: String,
    /// The source's name; made of the place if absent.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only what fits this pattern, such as `*.pdf` or `docs/**/*.md`; may be given several times.
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Nothing that fits this pattern; may be given several times.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Time between two scans, such as 30s, 5m or 2h.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = interval)]
    interval: SignedDuration,
    /// What stands before the names of its documents.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// A group that may read its documents; may be given several times. Everyone if absent.
    #[arg(long = "reader", value_name = "GROUP")]
    readers: Vec<String>,
    /// A group that may not read them, whatever the readers say; may be given several times. Nobody if absent.
    #[arg(long = "deny", value_name = "GROUP")]
    denied: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn json(&self) -> bool {
        match &self.place {
            Kind::Folder { common, .. }
            | Kind::Git { common, .. }
            | Kind::Web { common, .. }
            | Kind::S3 { common, .. }
            | Kind::Imap { common, .. } => common.json,
        }
    }

    /// Returns the source to add.
    ///
    /// # Errors
    /// When a path cannot be kept.
    pub(super) fn source(self) -> anyhow::Result<SourceToAdd> {
        let (place, watch, common) = match self.place {
            Kind::Folder {
                path,
                watch,
                common,
            } => (
                Place::Folder {
                    path: absolute(&path)?,
                },
                watch,
                common,
            ),
            Kind::Git {
                url,
                branch,
                token_file,
                common,
            } => {
                let url = if url.contains("://") {
                    url
                } else {
                    absolute(Path::new(&url))?
                };
                let token_file = token_file.map(|file| absolute(&file)).transpose()?;
                (
                    Place::Git {
                        url,
                        branch,
                        token_file,
                    },
                    false,
                    common,
                )
            }
            Kind::Web {
                urls,
                hosts,
                max_depth,
                max_pages,
                delay,
                no_sitemaps,
                common,
            } => {
                let site = WebSite {
                    urls,
                    hosts,
                    max_depth,
                    max_pages,
                    delay_ms: delay,
                    sitemaps: !no_sitemaps,
                };
                (Place::Web(site), false, common)
            }
            Kind::S3 {
                bucket,
                endpoint,
                key_prefix,
                region,
                virtual_host,
                access_key_file,
                secret_key_file,
                common,
            } => {
                let file = |file: Option<PathBuf>| file.map(|file| absolute(&file)).transpose();
                let place = S3Bucket {
                    endpoint,
                    bucket,
                    prefix: key_prefix,
                    region,
                    virtual_host,
                    access_key_file: file(access_key_file)?,
                    secret_key_file: file(secret_key_file)?,
                };
                (Place::S3(place), false, common)
            }
            Kind::Imap {
                host,
                user,
                password_file,
                token_file,
                folders,
                since,
                encryption,
                common,
            } => {
                let file = |file: Option<PathBuf>| file.map(|file| absolute(&file)).transpose();
                let mailbox = ImapMailbox {
                    host,
                    user,
                    password_file: file(password_file)?,
                    token_file: file(token_file)?,
                    folders,
                    since: since.map(|since| since.to_string()),
                    encryption,
                };
                (Place::Imap(mailbox), false, common)
            }
        };
        Ok(SourceToAdd {
            name: common.name,
            place,
            collection: common.collection,
            prefix: common.prefix,
            include: common.include,
            exclude: common.exclude,
            readers: (!common.readers.is_empty()).then_some(common.readers),
            denied: (!common.denied.is_empty()).then_some(common.denied),
            interval_secs: Some(common.interval.as_secs().unsigned_abs()),
            watch,
        })
    }
}

/// The server may run elsewhere in the tree.
fn absolute(path: &Path) -> anyhow::Result<String> {
    let absolute = std::path::absolute(path)?;
    let text = absolute
        .to_str()
        .ok_or_else(|| Usage(format!("`{}` is not UTF-8; rename it", path.display())))?;
    Ok(text.to_owned())
}

fn interval(text: &str) -> Result<SignedDuration, String> {
    let interval: SignedDuration = text
        .parse()
        .map_err(|error| format!("{error}; write it like 30s, 5m or 2h"))?;
    if interval.is_negative() {
        return Err("it cannot be negative".to_owned());
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_as_people_write_them() {
        for (text, secs) in [("30s", 30), ("5m", 300), ("2h", 7200), ("1h 30m", 5400)] {
            assert_eq!(interval(text).unwrap().as_secs(), secs, "{text}");
        }
        for bad in ["", "5", "-5m", "soon"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
