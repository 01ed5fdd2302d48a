//! A sign-in between leaving for the provider and coming back.
//!
//! All of it is in a cookie that only this run of kura can have made, so that nobody fills the memory with sign-ins that
//! are begun and left. `state`, `nonce` and the verifier of PKCE are derived from the cookie under kura's key: who has not
//! got the cookie cannot know them, and who has it can use it once.

use super::refusal::{Reason, Refusal};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngCore as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// How long someone may take at the provider.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// Most used sign-ins that are remembered. Beyond that the oldest are forgotten; the provider takes a code only once, too.
const MAX_USED: usize = 100_000;

/// Begins sign-ins, and takes each back once.
pub(super) struct Flows {
    key: [u8; 32],
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    /// With when they would be too old anyway, in the order of use.
    order: VecDeque<(u64, [u8; 32])>,
    known: HashSet<[u8; 32]>,
}

/// A sign-in that is under way.
#[derive(Debug)]
pub(super) struct Flow {
    /// What the cookie holds.
    pub cookie: String,
    /// Ties the answer to the browser.
    pub state: String,
    /// Ties the ID token to the sign-in.
    pub nonce: String,
    /// Ties the code to the sign-in.
    pub verifier: String,
    /// Where the person wanted to go: a path of kura's own.
    pub return_to: String,
}

#[derive(Serialize, Deserialize)]
struct Content {
    random: String,
    begun: u64,
    return_to: String,
}

impl Flows {
    /// Makes a key for this run.
    pub(super) fn new() -> Self {
        Self {
            key: random(),
            used: Mutex::default(),
        }
    }

    /// Begins a sign-in at `now`, in seconds.
    pub(super) fn begin(&self, return_to: &str, now: u64) -> Flow {
        let content = Content {
            random: URL_SAFE_NO_PAD.encode(random()),
            begun: now,
            return_to: return_to.to_owned(),
        };
        let content = serde_json::to_vec(&content).unwrap_or_default();
        let content = URL_SAFE_NO_PAD.encode(content);
        let cookie = format!("{content}.{}", self.derive("cookie", &content));
        self.flow(cookie, &content, return_to.to_owned())
    }

    /// Takes a sign-in back, once, by what the browser and the provider bring.
    ///
    /// # Errors
    /// When it is not this browser's, too old, or was taken back before.
    pub(super) fn finish(
        &self,
        cookie: Option<&str>,
        state: Option<&str>,
        now: u64,
    ) -> Result<Flow, Refusal> {
        let foreign = |cause: &str| Refusal::new(Reason::Browser, cause);
        let cookie = cookie.ok_or_else(|| foreign("no cookie of a sign-in came along"))?;
        let forged = || foreign("the cookie was not made by this run of kura");
        let (content, mac) = cookie.rsplit_once('.').ok_or_else(forged)?;
        if !is_same(&self.derive("cookie", content), mac) {
            return Err(forged());
        }
        let bytes = URL_SAFE_NO_PAD.decode(content).map_err(|_| forged())?;
        let read: Content = serde_json::from_slice(&bytes).map_err(|_| forged())?;
        let flow = self.flow(cookie.to_owned(), content, read.return_to);
        let state = state.ok_or_else(|| Refusal::new(Reason::State, "there is no state"))?;
        if !is_same(&flow.state, state) {
            let cause = "the state is not that of this browser's sign-in";
            return Err(Refusal::new(Reason::State, cause));
        }
        let end = read.begun.saturating_add(LIFETIME.as_secs());
        if now > end {
            let cause = format!("the sign-in began {} s ago", now.saturating_sub(read.begun));
            return Err(Refusal::new(Reason::Late, cause));
        }
        if !self.use_up(content, end, now) {
            return Err(Refusal::new(Reason::Used, "this sign-in was used before"));
        }
        Ok(flow)
    }

    fn flow(&self, cookie: String, content: &str, return_to: String) -> Flow {
        Flow {
            cookie,
            state: self.derive("state", content),
            nonce: self.derive("nonce", content),
            verifier: self.derive("verifier", content),
            return_to,
        }
    }

    fn use_up(&self, content: &str, end: u64, now: u64) -> bool {
        let id: [u8; 32] = Sha256::digest(content.as_bytes()).into();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((end, old)) = used.order.front().copied()
            && (end < now || used.order.len() >= MAX_USED)
        {
            used.order.pop_front();
            used.known.remove(&old);
        }
        if !used.known.insert(id) {
            return false;
        }
        used.order.push_back((end, id));
        true
    }

    /// Returns 256 bits that only this run of kura can tell, in URL-safe base64.
    fn derive(&self, purpose: &str, content: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.update(b":");
        mac.update(content.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn is_same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// Returns whether this is a path on kura's own page, and nothing that a browser would take for another site.
#[must_use]
pub fn is_own_path(path: &str) -> bool {
    const MAX_BYTES: usize = 1024;
    let is_plain = path.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    if !path.starts_with('/') || !is_plain || path.contains('\\') || path.len() > MAX_BYTES {
        return false;
    }
    // The page has none of those, and one of them begins to sign in.
    if path.starts_with("/api/") {
        return false;
    }
    let Ok(base) = url::Url::parse("https://kura.invalid/") else {
        return false;
    };
    // Where a browser would end up, by the rules of browsers.
    base.join(path).is_ok_and(|to| {
        to.origin() == base.origin() && to.path() == path.split(['?', '#']).next().unwrap_or(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(result: Result<Flow, Refusal>) -> Reason {
        result.unwrap_err().reason
    }

    #[test]
    fn a_sign_in_comes_back_once_in_the_same_browser() {
        let flows = Flows::new();
        let begun = flows.begin("/documents?x=1", 1000);
        let (cookie, state) = (Some(begun.cookie.as_str()), Some(begun.state.as_str()));
        let other = flows.begin("/", 1000);
        assert_eq!(reason(flows.finish(None, state, 1001)), Reason::Browser);
        assert_eq!(reason(flows.finish(cookie, None, 1001)), Reason::State);
        let foreign = flows.finish(Some(&other.cookie), state, 1001);
        assert_eq!(reason(foreign), Reason::State);
        let forged = begun.cookie.replace('.', "A.");
        assert_eq!(
            reason(flows.finish(Some(&forged), state, 1001)),
            Reason::Browser
        );
        let restarted = Flows::new().finish(cookie, state, 1001);
        assert_eq!(reason(restarted), Reason::Browser);
        assert_eq!(reason(flows.finish(cookie, state, 1601)), Reason::Late);

        let back = flows.finish(cookie, state, 1600).unwrap();
        assert_eq!(
            (back.nonce, back.verifier, back.return_to),
            (begun.nonce, begun.verifier, begun.return_to)
        );
        assert_eq!(reason(flows.finish(cookie, state, 1600)), Reason::Used);
        // Nothing of it can be told from something else of it.
        let parts = HashSet::from([other.state, other.nonce, other.verifier]);
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| part.len() == 43));
    }

    #[test]
    fn what_is_remembered_is_bounded_by_time() {
        let flows = Flows::new();
        for now in 0..2000 {
            let flow = flows.begin("/", now);
            flows
                .finish(Some(&flow.cookie), Some(&flow.state), now)
                .unwrap();
        }
        let used = flows.used.lock().unwrap();
        assert!(used.order.len() <= 602 && used.order.len() == used.known.len());
    }

    #[test]
    fn only_paths_of_kura_are_gone_back_to() {
        for own in [
            "/",
            "/documents",
            "/documents?collection=hr#x",
            "/c/%E4%BA%BA",
        ] {
            assert!(is_own_path(own), "{own}");
        }
        for other in [
            "",
            "documents",
            "//evil.example",
            "/\\evil.example",
            "/%5c\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/a\r\nset-cookie: x=y",
            " /",
            "/../..//evil.example",
            "/api/v1/session/oidc/start",
            "/人",
            &format!("/{}", "x".repeat(2000)),
        ] {
            assert!(!is_own_path(other), "{other}");
        }
    }
}
