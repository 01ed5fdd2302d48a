//! Passwords: which are good enough, and how they are kept.

use super::{Error, Identity, Result, blocking};
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use rand::RngCore as _;
use secrecy::{ExposeSecret as _, SecretString};
use unicode_normalization::UnicodeNormalization as _;

/// Memory of one hash, in KiB: the first of OWASP's recommended settings for argon2id, 19 MiB.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory, by the same recommendation.
const PASSES: u32 = 2;
/// Lanes, by the same recommendation.
const LANES: u32 = 1;
/// Random bytes that make equal passwords different.
const SALT_BYTES: usize = 16;
/// Passwords hashed at the same time.
pub(super) const CONCURRENCY: usize = 2;

/// Shortest password, in characters.
const MIN_CHARS: usize = 12;
/// Longest password, in bytes: longer ones would only cost time.
const MAX_BYTES: usize = 1024;

/// A password as someone typed it. What is printed of it says nothing.
#[derive(Debug, Clone)]
pub struct Password(SecretString);

impl Password {
    /// Takes what was typed, in one form of Unicode: keyboards differ.
    #[must_use]
    pub fn new(typed: &str) -> Self {
        Self(typed.nfkc().collect::<String>().into())
    }

    /// Fails unless a user of this name may choose it.
    ///
    /// # Errors
    /// When it is too short, too long, or easily guessed.
    pub fn check(&self, name: &str) -> Result<()> {
        let text = self.0.expose_secret();
        if text.chars().count() < MIN_CHARS || text.len() > MAX_BYTES {
            return Err(Error::Invalid(format!(
                "a password has {MIN_CHARS} characters or more, and at most {MAX_BYTES} bytes"
            )));
        }
        let mut letters: Vec<char> = text.to_lowercase().chars().collect();
        letters.sort_unstable();
        letters.dedup();
        if letters.len() < 4 || text.to_lowercase().contains(&name.to_lowercase()) && name.len() > 2
        {
            return Err(Error::Invalid(
                "the password is easily guessed: it repeats a few characters or contains the name; choose another"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

impl Identity {
    /// Returns what is stored of a password.
    pub(super) async fn hash_password(&self, password: Password) -> Result<String> {
        self.at_a_time(move || {
            let mut salt = [0_u8; SALT_BYTES];
            rand::rng().fill_bytes(&mut salt);
            let hashed = argon2()?.hash_password_with_salt(password.bytes(), &salt);
            Ok(hashed.map_err(|error| failed(&error))?.to_string())
        })
        .await
    }

    /// Returns whether this is the password that was stored. Where none was, it takes as long to say no.
    pub(super) async fn verify_password(
        &self,
        password: Password,
        stored: Option<String>,
    ) -> Result<bool> {
        self.at_a_time(move || {
            let is_known = stored.is_some();
            let stored = stored.unwrap_or_else(nobodys);
            // Too long to be one, and long enough to keep a core busy.
            let is_sane = password.bytes().len() <= MAX_BYTES;
            let given = if is_sane { password.bytes() } else { &[] };
            let matches = argon2()?.verify_password(given, stored.as_str()).is_ok();
            Ok(is_known && is_sane && matches)
        })
        .await
    }

    async fn at_a_time<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let slot = self.hashing.clone().acquire_owned().await;
        let slot = slot.map_err(|error| Error::Store(error.into()))?;
        // The slot goes with the work: a caller who goes away does not free it early.
        blocking(move || {
            let result = work();
            drop(slot);
            result
        })
        .await?
    }
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None);
    let params = params.map_err(|error| failed(&error))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// A hash that no password has, and that costs as much to compare with as any other.
fn nobodys() -> String {
    let (salt, hash) = ("A".repeat(22), "A".repeat(43));
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}")
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::Store(anyhow::anyhow!("cannot hash a password: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::PasswordHash;

    #[test]
    fn passwords_that_are_easily_guessed_are_refused() {
        let check = |text: &str| Password::new(text).check("taro").is_ok();
        assert!(check("correct horse battery"));
        assert!(check("正しい馬の電池ホチキスと塔"));
        assert!(!check("short-pw-11"));
        assert!(!check("aaaaaaaaaaaaaaaa"));
        assert!(!check("Taro-likes-rice"));
        assert!(!check(&"long and varied ".repeat(80)));
        assert!(!format!("{:?}", Password::new("correct horse battery")).contains("horse"));
    }

    #[test]
    fn nobodys_hash_is_well_formed_and_costs_as_much() {
        let stored = nobodys();
        let parsed = PasswordHash::new(&stored).unwrap();
        let params = Params::try_from(&parsed).unwrap();
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (MEMORY_KIB, PASSES, LANES)
        );
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_however_it_is_typed() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::open(dir.path()).unwrap();
        let hash = |text: &str| identity.hash_password(Password::new(text));
        let (first, second) = (
            hash("ｐassword が正しい").await.unwrap(),
            hash("ｐassword が正しい").await.unwrap(),
        );
        assert!(
            first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{first}"
        );
        assert_ne!(first, second);
        let verify = async |text: &str, stored: Option<&str>| {
            let stored = stored.map(str::to_owned);
            let verified = identity.verify_password(Password::new(text), stored).await;
            verified.unwrap()
        };
        assert!(verify("password か\u{3099}正しい", Some(&first)).await);
        assert!(!verify("password が正しく", Some(&first)).await);
        assert!(!verify("", None).await);
    }
}
