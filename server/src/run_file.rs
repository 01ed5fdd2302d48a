//! `run/server.json` in the data directory: how commands find the server that holds it.

use crate::auth::write_private;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What a running server tells commands on this machine. Only the operator's account may read the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunFile {
    /// The server's process.
    pub pid: u32,
    /// Where it listens, e.g. `http://127.0.0.1:8080`.
    pub url: String,
    /// Accepted like the admin key, for this run only.
    pub token: String,
}

/// Removes the file when dropped.
#[derive(Debug)]
pub struct Published {
    path: PathBuf,
}

/// Writes the file.
///
/// # Errors
/// When it cannot be written.
pub fn publish(
    data_dir: &Path,
    address: SocketAddr,
    token: &SecretString,
) -> anyhow::Result<Published> {
    let file = RunFile {
        pid: std::process::id(),
        url: format!("http://{address}"),
        token: token.expose_secret().to_owned(),
    };
    let path = path(data_dir);
    write_private(&path, &serde_json::to_vec_pretty(&file)?)?;
    Ok(Published { path })
}

/// Reads the file; `None` when there is none. It may be left over from a server that was killed.
///
/// # Errors
/// When it cannot be read, e.g. because the server runs under another account.
pub fn read(data_dir: &Path) -> anyhow::Result<Option<RunFile>> {
    match fs_err::read(path(data_dir)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the file's path.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("run").join("server.json")
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Err(error) = fs_err::remove_file(&self.path) {
            tracing::warn!("cannot remove the run file: {error}");
        }
    }
}
