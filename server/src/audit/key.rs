//! The key that signs the log: 256 random bits in a file that only the operator's account may read.

use super::record::hex;
use crate::auth::write_private;
use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngCore as _;
use sha2::Sha256;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq as _;

/// Signs and checks.
#[derive(Clone)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// Returns a new key.
    pub(super) fn random() -> Self {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Reads the key of a data directory; `None` when there is none.
    pub(super) fn read(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = file(data_dir);
        let text = match fs_err::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let bytes = parse(text.trim()).with_context(|| {
            format!(
                "the key of the audit log `{}` is damaged; restore it from a backup",
                path.display()
            )
        })?;
        Ok(Some(Self(bytes)))
    }

    /// Keeps the key; durable when this returns.
    pub(super) fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        write_private(&file(data_dir), format!("{}\n", hex(&self.0)).as_bytes())
    }

    /// Returns the HMAC of a message, in hex. `purpose` keeps what is signed for one from being used for another.
    pub(super) fn sign(&self, purpose: &str, message: &[u8]) -> String {
        let mut mac = hmac(&self.0);
        mac.update(b"kura audit ");
        mac.update(purpose.as_bytes());
        mac.update(b"\n");
        mac.update(message);
        hex(&mac.finalize().into_bytes())
    }

    /// Returns what stands for a name.
    pub(super) fn pseudonym(&self, name: &str) -> String {
        let mac = self.sign("name", name.as_bytes());
        format!("hmac:{}", mac.get(..32).unwrap_or(&mac))
    }

    /// Returns whether `mac` is that of the message.
    pub(super) fn signed(&self, purpose: &str, message: &[u8], mac: &str) -> bool {
        self.sign(purpose, message)
            .as_bytes()
            .ct_eq(mac.as_bytes())
            .into()
    }
}

/// A key shorter than a block of the hash is padded with zeros (RFC 2104).
fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    Hmac::new(&block.into())
}

/// Returns where the key is kept.
pub(super) fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("auth").join("audit.key")
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| digit.try_into().ok()))
        .collect();
    let bytes: Vec<u8> = digits?
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    bytes.try_into().ok().filter(|_| text.len() == 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_private_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Key::read(dir.path()).unwrap().is_none());
        let key = Key::random();
        key.write(dir.path()).unwrap();
        let mode = fs_err::metadata(file(dir.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let back = Key::read(dir.path()).unwrap().unwrap();
        let mac = key.sign("record", b"x");
        assert!(back.signed("record", b"x", &mac));
        assert!(!back.signed("head", b"x", &mac));
        assert!(!back.signed("record", b"y", &mac));
        fs_err::write(file(dir.path()), "abc").unwrap();
        assert!(Key::read(dir.path()).is_err());
    }

    #[test]
    fn the_mac_is_that_of_the_standard() {
        // RFC 4231, test case 2, whose key is padded here as HMAC pads it.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mut mac = hmac(&key);
        mac.update(b"what do ya want for nothing?");
        assert_eq!(
            hex(&mac.finalize().into_bytes()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
