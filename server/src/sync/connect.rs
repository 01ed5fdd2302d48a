//! What reads a source, by the kind of its place.

use super::place::{Place, Settings};
use super::{folder, git, globs, imap, max_bytes, s3, web};
use crate::config::Config;
use kura_egress::{Egress, Purpose};
use kura_indexer::Pipeline;
use kura_indexer::catalog::SourceId;
use kura_indexer::sync::{Connector, Failure};
use std::path::Path;
use std::sync::Arc;

/// What is needed to read a place.
pub struct Connecting<'a> {
    /// The configuration in effect.
    pub config: &'a Config,
    /// The place.
    pub settings: Settings,
    /// Only what fits one of these patterns; all when there is none.
    pub include: &'a [String],
    /// Nothing that fits one of these patterns.
    pub exclude: &'a [String],
    /// What told the root when it was last read well.
    pub known_root: Option<&'a str>,
    /// Where to look up what is known of an item; none for a source that is not there yet.
    pub known: Option<(Arc<Pipeline>, SourceId)>,
}

/// Returns what reads a source.
///
/// # Errors
/// When its place cannot be reached, or is described wrongly.
pub async fn connect(connecting: Connecting<'_>) -> Result<Box<dyn Connector>, Failure> {
    let egress = connecting.config.egress();
    let place = connecting.settings.place.clone();
    // Nothing is asked for yet: what is wrong with an address is told first.
    let connector = open(connecting, &egress).await?;
    allow(&egress, &place)?;
    Ok(connector)
}

async fn open(connecting: Connecting<'_>, egress: &Egress) -> Result<Box<dyn Connector>, Failure> {
    let Connecting {
        config,
        settings,
        include,
        exclude,
        known_root,
        known,
    } = connecting;
    let (data_dir, max_bytes) = (config.data_dir.clone(), max_bytes(config));
    let globs = |tidy| globs::Globs::new(include, exclude, tidy).map_err(Failure);
    match settings.place.clone() {
        Place::Folder { path } => {
            let (globs, known_root) = (globs(true)?, known_root.map(str::to_owned));
            // A mount that does not answer blocks.
            let opened = tokio::task::spawn_blocking(move || {
                folder::Folder::open(
                    Path::new(&path),
                    settings,
                    globs,
                    &data_dir,
                    known_root.as_deref(),
                    max_bytes,
                )
            });
            let opened = opened.await.map_err(|error| Failure(error.to_string()))?;
            Ok(Box::new(opened?))
        }
        Place::Git {
            url,
            branch,
            token_file,
        } => {
            let remote = git::Remote {
                url: &url,
                branch: branch.as_deref(),
                token_file: token_file.as_deref(),
            };
            // Hidden files of a repository are as meant as all others.
            Ok(Box::new(git::Git::open(
                &remote,
                settings,
                globs(false)?,
                &data_dir,
                max_bytes,
            )?))
        }
        Place::S3(bucket) => Ok(Box::new(s3::S3::open(
            bucket,
            settings,
            globs(true)?,
            egress,
            max_bytes,
        )?)),
        Place::Web(site) => Ok(Box::new(web::Web::open(
            site,
            settings,
            globs(false)?,
            known,
            egress,
            max_bytes,
        )?)),
        Place::Imap(mailbox) => Ok(Box::new(imap::Imap::open(
            mailbox,
            settings,
            globs(false)?,
            known_root,
            known,
            egress,
            max_bytes,
        )?)),
    }
}

/// Fails unless all that reading a place connects to is allowed. A git repository is read by a program that opens its own
/// connections: one is counted for each scan.
fn allow(egress: &Egress, place: &Place) -> Result<(), Failure> {
    let peers = place.peers().map_err(|error| Failure(error.to_string()))?;
    for peer in peers {
        let asked = match place {
            Place::Git { .. } => egress.hand_over(Purpose::Source, &peer),
            Place::Folder { .. } | Place::Web(_) | Place::S3(_) | Place::Imap(_) => {
                egress.require(Purpose::Source, &peer)
            }
        };
        asked.map_err(|refused| Failure(refused.to_string()))?;
    }
    Ok(())
}
