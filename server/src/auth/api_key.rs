//! API keys: made once, stored only as a hash, compared in constant time.

use super::Principal;
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq as _;

/// Shortest admin key that a file may hold.
const MIN_GIVEN_CHARS: usize = 32;

/// The hashes of the keys that are accepted.
///
/// A key has 256 random bits, so a plain SHA-256 suffices: there is nothing to guess that a slow hash would slow down.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    admin: [u8; 32],
    local: [u8; 32],
}

/// Keys that exist in the clear only now.
pub struct Created {
    /// What the server accepts.
    pub keys: ApiKeys,
    /// The admin key, if this start made it; it cannot be shown again.
    pub admin: Option<SecretString>,
    /// The token of this run, for commands on this machine.
    pub local: SecretString,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    sha256: String,
    created_at: jiff::Timestamp,
}

impl ApiKeys {
    /// Reads the admin key's hash, or makes the key at the first start; makes the local token of this run. With `given`, a
    /// file that is not empty, its content is the admin key, and none is made.
    ///
    /// # Errors
    /// When a key file cannot be read or written, or is damaged. A damaged file is never replaced: that would
    /// let whoever can damage it lock the operator out unnoticed.
    pub fn open(data_dir: &Path, given: &Path) -> anyhow::Result<Created> {
        let path = key_file(data_dir);
        let local = new_key();
        let (admin, created) = if !given.as_os_str().is_empty() {
            (hash(read_given(given)?.expose_secret()), None)
        } else if path.exists() {
            (read(&path)?, None)
        } else {
            let key = new_key();
            write(&path, &key)?;
            (hash(key.expose_secret()), Some(key))
        };
        let keys = Self {
            admin,
            local: hash(local.expose_secret()),
        };
        Ok(Created {
            keys,
            admin: created,
            local,
        })
    }

    /// Returns whose key this is, if anyone's.
    #[must_use]
    pub fn principal(&self, key: &str) -> Option<Principal> {
        let hash = hash(key);
        let admin = bool::from(hash.ct_eq(&self.admin));
        let local = bool::from(hash.ct_eq(&self.local));
        match (admin, local) {
            (true, _) => Some(Principal::admin()),
            (false, true) => Some(Principal::local()),
            (false, false) => None,
        }
    }
}

/// Returns where the admin key's hash is kept.
#[must_use]
pub fn key_file(data_dir: &Path) -> PathBuf {
    data_dir.join("auth").join("admin.json")
}

/// Returns a new key: `kura_` and 256 random bits in URL-safe base64.
#[must_use]
pub fn new_key() -> SecretString {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    format!("kura_{}", URL_SAFE_NO_PAD.encode(bytes)).into()
}

/// Writes a file that only its owner may read: complete or not at all, and durable when this returns.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().context("a private file needs a folder")?;
    fs_err::create_dir_all(dir)?;
    fs_err::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    // A temporary file is created with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir)
        .with_context(|| format!("cannot write into `{}`", dir.display()))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    fs_err::File::open(dir)?.sync_all()?;
    Ok(())
}

/// Returns the key that a file holds.
fn read_given(path: &Path) -> anyhow::Result<SecretString> {
    let text = fs_err::read_to_string(path)
        .context("cannot read the admin key; correct `auth.admin_key_file`")?;
    let key = text.trim();
    if key.len() < MIN_GIVEN_CHARS || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        anyhow::bail!(
            "`{}` holds no admin key: at least {MIN_GIVEN_CHARS} letters, digits or signs without spaces; \
             `openssl rand -base64 33` makes one",
            path.display()
        );
    }
    Ok(key.to_owned().into())
}

fn read(path: &Path) -> anyhow::Result<[u8; 32]> {
    let damaged = || {
        format!(
            "the key file `{}` is damaged; restore it, or delete it and a new admin key is made at the next start",
            path.display()
        )
    };
    let file: KeyFile = serde_json::from_slice(&fs_err::read(path)?).with_context(damaged)?;
    decode_hex(&file.sha256).with_context(damaged)
}

fn write(path: &Path, key: &SecretString) -> anyhow::Result<()> {
    let file = KeyFile {
        sha256: encode_hex(&hash(key.expose_secret())),
        created_at: jiff::Timestamp::now(),
    };
    write_private(path, &serde_json::to_vec_pretty(&file)?)
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn encode_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| {
            text.get(at..at + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_shown_once_and_kept_only_as_a_hash() {
        let dir = tempfile::tempdir().unwrap();
        let first = ApiKeys::open(dir.path(), Path::new("")).unwrap();
        let key = first.admin.unwrap();
        let key = key.expose_secret();
        assert_eq!(key.len(), "kura_".len() + 43);
        let stored = fs_err::read_to_string(key_file(dir.path())).unwrap();
        assert!(!stored.contains(key));
        let mode = fs_err::metadata(key_file(dir.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        let second = ApiKeys::open(dir.path(), Path::new("")).unwrap();
        assert!(second.admin.is_none());
        assert_eq!(second.keys.principal(key), Some(Principal::admin()));
        assert_eq!(
            second.keys.principal(second.local.expose_secret()),
            Some(Principal::local())
        );
        // The local token of an earlier run is void.
        assert_eq!(second.keys.principal(first.local.expose_secret()), None);
        assert_eq!(second.keys.principal(""), None);
        assert_eq!(second.keys.principal("kura_x"), None);
    }

    #[test]
    fn a_damaged_key_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(dir.path().join("auth")).unwrap();
        fs_err::write(
            key_file(dir.path()),
            r#"{"sha256":"00","created_at":"2026-01-01T00:00:00Z"}"#,
        )
        .unwrap();
        assert!(ApiKeys::open(dir.path(), Path::new("")).is_err());
    }

    #[test]
    fn a_key_may_come_from_a_file_and_is_not_shown_then() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let key = "x".repeat(MIN_GIVEN_CHARS);
        fs_err::write(&file, format!("{key}\n")).unwrap();
        let opened = ApiKeys::open(dir.path(), &file).unwrap();
        assert!(opened.admin.is_none() && !key_file(dir.path()).exists());
        assert_eq!(opened.keys.principal(&key), Some(Principal::admin()));
        for bad in ["", "short", &"a b".repeat(20)] {
            fs_err::write(&file, bad).unwrap();
            assert!(ApiKeys::open(dir.path(), &file).is_err(), "{bad}");
        }
        assert!(ApiKeys::open(dir.path(), &dir.path().join("missing")).is_err());
    }
}
