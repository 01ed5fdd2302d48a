//! The second factor: codes of an authenticator app (RFC 6238), and codes for the day when the phone is lost.

use super::{Error, Identity, Result, hash, users};
use jiff::Timestamp;
use rand::RngCore as _;
use rusqlite::{Connection, OptionalExtension as _, params};
use secrecy::SecretString;
use totp_rs::{Builder, Secret, Totp};
use uuid::Uuid;

/// Random bytes shared with the app: RFC 4226 recommends 160 bits.
const SECRET_BYTES: usize = 20;
/// Steps of 30 seconds by which a clock may be off.
const SKEW: u16 = 1;
/// Recovery codes made at a time.
const RECOVERY_CODES: usize = 10;
/// Random bytes of each: 80 bits cannot be guessed, and hardly be mistyped as another.
const RECOVERY_BYTES: usize = 10;
/// What the app lists the code under.
const ISSUER: &str = "kura";

/// What an app needs; shown once.
#[derive(Debug)]
pub struct Enrollment {
    /// To type in, in base32.
    pub secret: SecretString,
    /// The same as an `otpauth:` URL, for a QR code.
    pub url: SecretString,
}

/// Whether a second factor lets its user in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// None is enrolled, or the code is right; it is used up.
    Fine,
    /// A code is needed and none was given.
    Missing,
    /// The code is wrong or was used before.
    Wrong,
}

impl Identity {
    /// Begins to enroll an app; nothing is asked for until [`Identity::confirm_totp`].
    ///
    /// # Errors
    /// When one is enrolled.
    pub async fn enroll_totp(&self, user: Uuid) -> Result<Enrollment> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let user = users::find(&transaction, user)?;
            if user.has_totp {
                return Err(Error::Invalid(
                    "an authenticator app is enrolled already; remove it first".to_owned(),
                ));
            }
            let mut secret = [0_u8; SECRET_BYTES];
            rand::rng().fill_bytes(&mut secret);
            transaction.execute(
                "INSERT OR REPLACE INTO totp (user, secret) VALUES (?1, ?2)",
                params![user.id.to_string(), secret],
            )?;
            transaction.commit()?;
            let url = totp(&secret, &user.name)?
                .to_url()
                .map_err(|error| failed(&error))?;
            Ok(Enrollment {
                secret: Secret::from(secret.as_slice()).to_base32().into(),
                url: url.into(),
            })
        })
        .await
    }

    /// Ends enrolling: the app has shown `code`, so from now on codes are asked for. Returns the recovery codes, which
    /// can be seen only now.
    ///
    /// # Errors
    /// When the code is wrong, or nothing is being enrolled.
    pub async fn confirm_totp(&self, user: Uuid, code: &str) -> Result<Vec<SecretString>> {
        let code = code.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let now = Timestamp::now();
            let enrolled = read(&transaction, user)?.filter(|enrolled| !enrolled.is_confirmed);
            let enrolled = enrolled.ok_or_else(|| {
                Error::Invalid("no authenticator app is being enrolled; begin anew".to_owned())
            })?;
            if !use_code(&transaction, user, &enrolled, &code, now)? {
                return Err(Error::Invalid(
                    "the code is not the one that the app shows now; check that the clocks are right and try the next"
                        .to_owned(),
                ));
            }
            transaction.execute(
                "UPDATE totp SET confirmed_at = ?2 WHERE user = ?1",
                params![user.to_string(), now.to_string()],
            )?;
            transaction.execute("DELETE FROM recovery_codes WHERE user = ?1", [user.to_string()])?;
            let mut codes = Vec::with_capacity(RECOVERY_CODES);
            for _ in 0..RECOVERY_CODES {
                let code = recovery_code();
                transaction.execute(
                    "INSERT INTO recovery_codes (user, code) VALUES (?1, ?2)",
                    params![user.to_string(), hash(&code)],
                )?;
                codes.push(grouped(&code).into());
            }
            transaction.commit()?;
            Ok(codes)
        })
        .await
    }

    /// Asks for no second factor any more. Removing what is not there is fine.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn remove_totp(&self, user: Uuid) -> Result<()> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            remove(&transaction, user)?;
            transaction.commit()?;
            Ok(())
        })
        .await
    }
}

/// Forgets a user's second factor.
pub(super) fn remove(connection: &Connection, user: Uuid) -> Result<()> {
    connection.execute("DELETE FROM totp WHERE user = ?1", [user.to_string()])?;
    connection.execute(
        "DELETE FROM recovery_codes WHERE user = ?1",
        [user.to_string()],
    )?;
    Ok(())
}

/// Checks a code and uses it up. The caller commits.
pub(super) fn check(
    connection: &Connection,
    user: Uuid,
    code: Option<&str>,
    now: Timestamp,
) -> Result<Checked> {
    let Some(enrolled) = read(connection, user)?.filter(|enrolled| enrolled.is_confirmed) else {
        return Ok(Checked::Fine);
    };
    let Some(code) = code.map(str::trim).filter(|code| !code.is_empty()) else {
        return Ok(Checked::Missing);
    };
    let is_right = use_code(connection, user, &enrolled, code, now)?
        || connection.execute(
            "DELETE FROM recovery_codes WHERE user = ?1 AND code = ?2",
            params![user.to_string(), hash(&ungrouped(code))],
        )? > 0;
    Ok(if is_right {
        Checked::Fine
    } else {
        Checked::Wrong
    })
}

struct Enrolled {
    secret: Vec<u8>,
    is_confirmed: bool,
    last_step: u64,
}

fn read(connection: &Connection, user: Uuid) -> Result<Option<Enrolled>> {
    let found = connection
        .prepare_cached(
            "SELECT secret, confirmed_at IS NOT NULL, last_step FROM totp WHERE user = ?1",
        )?
        .query_row([user.to_string()], |row| {
            Ok(Enrolled {
                secret: row.get(0)?,
                is_confirmed: row.get(1)?,
                last_step: row.get(2)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Returns whether the app shows this code; if so, neither it nor an earlier one is accepted again.
fn use_code(
    connection: &Connection,
    user: Uuid,
    enrolled: &Enrolled,
    code: &str,
    now: Timestamp,
) -> Result<bool> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let step = totp(&enrolled.secret, "")?.check(&code, seconds);
    let Some(step) = step.filter(|step| *step > enrolled.last_step) else {
        return Ok(false);
    };
    connection.execute(
        "UPDATE totp SET last_step = ?2 WHERE user = ?1",
        params![user.to_string(), step],
    )?;
    Ok(true)
}

fn totp(secret: &[u8], account: &str) -> Result<Totp> {
    Builder::new()
        .with_secret(Secret::from(secret))
        .with_skew(SKEW)
        .with_account_name(account)
        .with_issuer(Some(ISSUER))
        .build()
        .map_err(|error| failed(&error))
}

/// Returns a new code in Crockford's base32, which has no letters that look alike.
fn recovery_code() -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bytes = [0_u8; RECOVERY_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    let bits = bytes
        .iter()
        .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let digits = RECOVERY_BYTES * 8 / 5;
    (0..digits)
        .map(|at| char::from(ALPHABET[(bits >> (5 * at) & 31) as usize]))
        .collect()
}

/// `abcd-efgh-…`
fn grouped(code: &str) -> String {
    let chars: Vec<char> = code.chars().collect();
    let parts: Vec<String> = chars.chunks(4).map(|part| part.iter().collect()).collect();
    parts.join("-")
}

fn ungrouped(typed: &str) -> String {
    typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .flat_map(char::to_lowercase)
        .collect()
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::Store(anyhow::anyhow!("the second factor failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_codes_survive_being_typed() {
        let code = recovery_code();
        assert_eq!(code.len(), 16);
        assert_ne!(code, recovery_code());
        assert_eq!(
            ungrouped(&format!(" {} ", grouped(&code).to_uppercase())),
            code
        );
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, SHA-1, cut to six digits.
        let totp = totp(b"12345678901234567890", "").unwrap();
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(totp.generate(seconds).to_string(), code);
        }
    }
}
