//! The certificate: what was erased where, by whom and when, and what remains; signed with Ed25519.
//!
//! It names ids and hashes, never a text, a title, a file or a person. It is kept and handed out as exactly one text, so
//! that no byte of it can be changed.

use crate::auth::write_private;
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use utoipa::ToSchema;

/// The form that this version writes.
pub const FORMAT: u32 = 1;
/// Keeps a signature from being used for anything else.
const PURPOSE: &[u8] = b"kura certificate of erasure\n";

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ErasureCertificate)]
pub struct Certificate {
    /// Form of the certificate, from 1.
    pub format: u32,
    /// UUID of the erasure.
    pub id: String,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// Who asked for it: the principal's id, as in the audit log.
    pub requested_by: String,
    /// When all was erased.
    #[schema(value_type = String, format = DateTime)]
    pub completed_at: Timestamp,
    /// The documents that were erased, each with what lay in it.
    pub documents: Vec<ErasedDocument>,
    /// The id of the person who was erased; absent when none was, or when the account had been deleted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// How many words were given, with which questions, answers and evaluations were looked for.
    pub n_words: usize,
    /// Where something was erased, with numbers as they were when it began.
    pub erased: Vec<Erased>,
    /// What was left, and why.
    pub remains: Vec<Remains>,
    /// Version of kura.
    pub kura_version: String,
    /// The key that checks the signature: Ed25519, in base64.
    pub public_key: String,
}

/// A document that was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasedDocument {
    /// UUID.
    pub id: String,
    /// Name of its collection.
    pub collection: String,
    /// SHA-256 of the bytes of its versions, lower-case hex.
    pub sha256: Vec<String>,
}

/// Something that is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// Where it was kept.
    pub store: String,
    /// What it is.
    pub what: String,
    /// How many.
    pub n: u64,
}

/// Something that is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Remains {
    /// Where it is kept.
    pub store: String,
    /// What it is.
    pub what: String,
    /// How many, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// Why, and what can be done about it.
    pub why: String,
    /// Ids of what is meant, where that helps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
}

/// A certificate with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SignedErasureCertificate)]
pub struct Signed {
    /// What is signed.
    pub certificate: Certificate,
    /// Ed25519 over the certificate as compact JSON, in base64.
    pub signature: String,
}

/// Why a certificate does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It cannot be read.
    #[error("it is no certificate that this kura can read: {0}")]
    Unreadable(String),
    /// It has bytes that are no part of what is signed.
    #[error("it is not as kura wrote it: something in it was changed or added")]
    Changed,
    /// Another key signed it.
    #[error("it was signed with another key than the one it is checked with")]
    OtherKey,
    /// The signature does not fit.
    #[error("its signature does not fit: it was changed")]
    Signature,
}

/// What signs. Made with the first certificate.
pub struct Key(Ed25519KeyPair);

impl Key {
    /// Reads the key of a data directory, or makes it: `auth/erasure.key` for the server's account only, and
    /// `erasure.pub` to be handed out. Blocking.
    ///
    /// # Errors
    /// When a file is damaged or cannot be written.
    pub fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join("auth").join("erasure.key");
        let pair = match fs_err::read_to_string(&path) {
            Ok(text) => STANDARD.decode(text.trim()).ok(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                    .map_err(|_| anyhow::anyhow!("this machine gives no random numbers"))?;
                write_private(
                    &path,
                    format!("{}\n", STANDARD.encode(made.as_ref())).as_bytes(),
                )?;
                Some(made.as_ref().to_vec())
            }
            Err(error) => return Err(error.into()),
        };
        let damaged = || {
            format!(
                "the key of the certificates `{}` is damaged; restore it from a backup",
                path.display()
            )
        };
        let pair = pair.and_then(|bytes| Ed25519KeyPair::from_pkcs8(&bytes).ok());
        let key = Self(pair.with_context(damaged)?);
        let public = public_file(data_dir);
        let text = format!("{}\n", key.public());
        if fs_err::read_to_string(&public).ok().as_deref() != Some(&text) {
            fs_err::write(&public, text)?;
            fs_err::set_permissions(&public, std::fs::Permissions::from_mode(0o644))?;
        }
        Ok(key)
    }

    /// Returns what checks signatures.
    #[must_use]
    pub fn public(&self) -> String {
        STANDARD.encode(self.0.public_key().as_ref())
    }

    /// Signs a certificate.
    ///
    /// # Errors
    /// Never, as a certificate can always be written as JSON.
    pub fn sign(&self, certificate: Certificate) -> anyhow::Result<Signed> {
        let signature = self.0.sign(&message(&certificate)?);
        Ok(Signed {
            signature: STANDARD.encode(signature.as_ref()),
            certificate,
        })
    }
}

impl Signed {
    /// Returns the text that is handed out.
    ///
    /// # Errors
    /// Never, as a certificate can always be written as JSON.
    pub fn text(&self) -> anyhow::Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }
}

/// Checks a certificate with a public key, as [`Key::public`] writes it. It may be indented or compact, as kura hands it
/// out both ways; nothing else of it may differ.
///
/// # Errors
/// With what is wrong.
pub fn verify(text: &str, public_key: &str) -> Result<Certificate, Flaw> {
    let unreadable = |error: &dyn std::fmt::Display| Flaw::Unreadable(error.to_string());
    let signed: Signed = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    let pretty = serde_json::to_string_pretty(&signed).map_err(|error| unreadable(&error))?;
    let compact = serde_json::to_string(&signed).map_err(|error| unreadable(&error))?;
    let body = text.strip_suffix('\n').unwrap_or(text);
    if body != pretty && body != compact {
        return Err(Flaw::Changed);
    }
    let Signed {
        certificate,
        signature,
    } = signed;
    if certificate.public_key != public_key.trim() {
        return Err(Flaw::OtherKey);
    }
    let key = STANDARD
        .decode(public_key.trim())
        .map_err(|_| Flaw::OtherKey)?;
    let bytes = STANDARD.decode(&signature).map_err(|_| Flaw::Signature)?;
    let message = message(&certificate).map_err(|error| unreadable(&error))?;
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&message, &bytes)
        .map_err(|_| Flaw::Signature)?;
    Ok(certificate)
}

/// Returns where the public key is kept.
#[must_use]
pub fn public_file(data_dir: &Path) -> PathBuf {
    data_dir.join("erasure.pub")
}

fn message(certificate: &Certificate) -> anyhow::Result<Vec<u8>> {
    let mut message = PURPOSE.to_vec();
    message.extend(serde_json::to_vec(certificate)?);
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(key: &Key) -> Certificate {
        Certificate {
            format: FORMAT,
            id: "019".to_owned(),
            requested_at: Timestamp::UNIX_EPOCH,
            requested_by: "admin".to_owned(),
            completed_at: Timestamp::UNIX_EPOCH,
            documents: vec![ErasedDocument {
                id: "018".to_owned(),
                collection: "規程".to_owned(),
                sha256: vec!["ab".repeat(32)],
            }],
            person: None,
            n_words: 0,
            erased: vec![Erased {
                store: "catalog".to_owned(),
                what: "chunks".to_owned(),
                n: 3,
            }],
            remains: Vec::new(),
            kura_version: "0".to_owned(),
            public_key: key.public(),
        }
    }

    #[test]
    fn a_certificate_holds_and_no_byte_of_it_can_change() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::open(dir.path()).unwrap();
        let signed = key.sign(certificate(&key)).unwrap();
        let compact = serde_json::to_string(&signed).unwrap();
        for text in [signed.text().unwrap(), compact] {
            assert_eq!(verify(&text, &key.public()).unwrap(), signed.certificate);
            for at in 0..text.trim_end().len() {
                for bit in [1, 2, 32] {
                    let mut bytes = text.clone().into_bytes();
                    bytes[at] ^= bit;
                    if let Ok(changed) = String::from_utf8(bytes) {
                        assert!(verify(&changed, &key.public()).is_err(), "{at}: {changed}");
                    }
                }
            }
            assert_eq!(
                verify(&format!("{text} "), &key.public()),
                Err(Flaw::Changed)
            );
        }
    }

    #[test]
    fn another_key_does_not_do() {
        let [dir, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let key = Key::open(dir.path()).unwrap();
        let signed = key.sign(certificate(&key)).unwrap().text().unwrap();
        let foreign = Key::open(other.path()).unwrap();
        assert_eq!(verify(&signed, &foreign.public()), Err(Flaw::OtherKey));
        // Whoever writes the own key into it has still no signature.
        let forged = signed.replace(&key.public(), &foreign.public());
        assert_eq!(verify(&forged, &foreign.public()), Err(Flaw::Signature));
    }

    #[test]
    fn the_key_is_private_stays_and_says_when_it_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::open(dir.path()).unwrap();
        let path = dir.path().join("auth/erasure.key");
        let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&path), mode(&public_file(dir.path()))),
            (0o600, 0o644)
        );
        assert_eq!(Key::open(dir.path()).unwrap().public(), key.public());
        let public = fs_err::read_to_string(public_file(dir.path())).unwrap();
        assert_eq!(public.trim(), key.public());
        fs_err::write(&path, "abc").unwrap();
        let error = Key::open(dir.path()).map(|_| ()).unwrap_err();
        assert!(format!("{error:#}").contains("damaged"), "{error:#}");
    }
}
