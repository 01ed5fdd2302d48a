//! What the provider signs: ID tokens, and orders to end sessions (`OpenID` Connect Back-Channel Logout).

use super::provider::Known;
use super::refusal::{Reason, Refusal};
use crate::identity::{Ending, is_subject};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jiff::Timestamp;
use openidconnect::core::{CoreIdToken, CoreJsonWebKey, CoreJwsSigningAlgorithm};
use openidconnect::{
    AccessToken, AccessTokenHash, ClientId, IdTokenVerifier, JsonWebKey as _, JsonWebKeyAlgorithm,
    JsonWebKeyUse as _, JwsSigningAlgorithm as _, Nonce, SignatureVerificationError,
};
use serde_json::{Map, Value};

/// What makes a token an order to end sessions.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old such an order may be if it does not say when it expires, in seconds.
const LOGOUT_LIFETIME: i64 = 300;
/// Longest name of a provider's session that is kept, in bytes.
const MAX_SID_BYTES: usize = 255;
/// Largest token that is read.
const MAX_TOKEN_BYTES: usize = 64 << 10;

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// Who a token must be for, and by which clock.
pub(super) struct Expected<'a> {
    pub(super) client: &'a ClientId,
    /// Seconds by which the clocks may differ.
    pub(super) skew: i64,
}

impl Expected<'_> {
    /// Returns the claims of an ID token that was made by this provider, for this client and this sign-in, and is good now.
    pub(super) fn id_token(
        &self,
        known: &Known,
        token: &CoreIdToken,
        nonce: &Nonce,
        access_token: &AccessToken,
    ) -> Result<Claims, Refusal> {
        let skew = TimeDelta::seconds(self.skew);
        let verifier = IdTokenVerifier::new_public_client(
            self.client.clone(),
            known.metadata.issuer().clone(),
            known.keys.clone(),
        )
        .set_allowed_algs(known.algorithms())
        // What expired within the difference of the clocks may be good by the provider's.
        .set_time_fn(move || Utc::now() - skew);
        let claims = token.claims(&verifier, nonce)?;
        if claims.issue_time() > Utc::now() + skew {
            return Err(future("iat", claims.issue_time()));
        }
        if let Some(party) = claims.authorized_party()
            && party != self.client
        {
            let cause = format!("the token was made for `{}`", party.as_str());
            return Err(Refusal::new(Reason::AuthorizedParty, cause));
        }
        if let Some(hash) = claims.access_token_hash() {
            let algorithm = token.signing_alg()?;
            let key = token.signing_key(&verifier)?;
            let own = AccessTokenHash::from_token(access_token, algorithm, key)
                .map_err(|error| Refusal::of(Reason::Form, &error))?;
            if own != *hash {
                let cause = "`at_hash` is not that of the access token";
                return Err(Refusal::new(Reason::AccessToken, cause));
            }
        }
        if !is_subject(claims.subject().as_str()) {
            return Err(Refusal::new(Reason::Subject, "`sub` cannot be one"));
        }
        let Parts { claims, .. } = Parts::of(&token.to_string())?;
        if let Some(since) = claims.get("nbf").and_then(Value::as_f64).map(whole)
            && since > Utc::now().timestamp() + self.skew
        {
            let since = DateTime::from_timestamp(since, 0).unwrap_or_default();
            return Err(future("nbf", since));
        }
        Ok(claims)
    }

    /// Returns which sessions a logout token ends, if it was made by this provider for this client, and is good now.
    /// Whether it was used before, the caller finds out.
    pub(super) fn logout_token(&self, known: &Known, token: &str) -> Result<Ending, Refusal> {
        let parts = Parts::of(token)?;
        parts.verify(known)?;
        let claims = &parts.claims;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let issuer = known.metadata.issuer().as_str();
        if text("iss") != Some(issuer) {
            let cause = format!("`iss` is {:?} and not `{issuer}`", text("iss"));
            return Err(Refusal::new(Reason::Issuer, cause));
        }
        let is_for_us = match claims.get("aud") {
            Some(Value::String(one)) => one == self.client.as_str(),
            Some(Value::Array(list)) => list
                .iter()
                .any(|one| one.as_str() == Some(self.client.as_str())),
            _ => false,
        };
        if !is_for_us {
            return Err(Refusal::new(Reason::Audience, "`aud` does not name kura"));
        }
        let keep_until = self.in_time(claims)?;
        let event = claims
            .get("events")
            .and_then(|events| events.get(LOGOUT_EVENT));
        if !event.is_some_and(Value::is_object) {
            let cause = "`events` has no back-channel logout";
            return Err(Refusal::new(Reason::Event, cause));
        }
        if claims.contains_key("nonce") {
            let cause = "a logout token has no `nonce`";
            return Err(Refusal::new(Reason::HasNonce, cause));
        }
        let (subject, sid) = (text("sub"), text("sid"));
        if subject.is_none() && sid.is_none() {
            let cause = "there is neither `sub` nor `sid`";
            return Err(Refusal::new(Reason::NoSession, cause));
        }
        let jti = text("jti").filter(|jti| is_subject(jti));
        let jti = jti.ok_or_else(|| Refusal::new(Reason::NoId, "there is no usable `jti`"))?;
        Ok(Ending {
            issuer: issuer.to_owned(),
            jti: jti.to_owned(),
            keep_until,
            subject: subject.map(str::to_owned),
            sid: sid.map(str::to_owned),
        })
    }

    /// Fails unless a logout token is good now; returns when it will be no longer.
    fn in_time(&self, claims: &Claims) -> Result<Timestamp, Refusal> {
        let now = Timestamp::now().as_second();
        let number = |name: &str| claims.get(name).and_then(Value::as_f64).map(whole);
        let issued = number("iat");
        let issued = issued.ok_or_else(|| Refusal::new(Reason::Form, "there is no `iat`"))?;
        if issued > now + self.skew {
            return Err(Refusal::new(Reason::NotYetValid, "`iat` is in the future"));
        }
        let expires = number("exp").unwrap_or(issued.saturating_add(LOGOUT_LIFETIME));
        if expires <= now - self.skew {
            return Err(Refusal::new(
                Reason::Expired,
                "the logout token has expired",
            ));
        }
        let until = expires.saturating_add(self.skew).saturating_add(60);
        Ok(Timestamp::from_second(until).unwrap_or(Timestamp::MAX))
    }
}

/// Returns whether the provider's keys may have changed since, so that asking for them again makes sense.
pub(super) fn may_be_newer(refusal: &Refusal, token: &str) -> bool {
    // Without a name the key in place of an old one cannot be told from it.
    let is_nameless = || Parts::of(token).is_ok_and(|parts| !parts.header.contains_key("kid"));
    refusal.reason == Reason::UnknownKey || (refusal.reason == Reason::Signature && is_nameless())
}

/// A signed token, taken apart and not yet believed.
struct Parts<'a> {
    header: Map<String, Value>,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, Refusal> {
        let broken = |what: &str| Refusal::new(Reason::Form, format!("the token has no {what}"));
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::new(Reason::Form, "the token is too large"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| broken("signature"))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| broken("claims"))?;
        let object = |text: &str| -> Option<Map<String, Value>> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
        };
        Ok(Self {
            header: object(header).ok_or_else(|| broken("readable header"))?,
            claims: object(claims).ok_or_else(|| broken("readable claims"))?,
            signed,
            signature: URL_SAFE_NO_PAD
                .decode(signature)
                .map_err(|_| broken("readable signature"))?,
        })
    }

    /// Fails unless one of the provider's keys has signed this, in one of the provider's ways.
    fn verify(&self, known: &Known) -> Result<(), Refusal> {
        let text = |name: &str| self.header.get(name).and_then(Value::as_str);
        let kind = self.header.get("typ").map(|kind| {
            let kind = kind.as_str().unwrap_or_default().to_ascii_lowercase();
            kind.trim_start_matches("application/").to_owned()
        });
        if kind.is_some_and(|kind| kind != "jwt" && kind != "logout+jwt") {
            return Err(Refusal::new(Reason::Form, "`typ` is that of another token"));
        }
        if self.header.contains_key("crit") {
            let cause = "the token needs extensions that kura does not know";
            return Err(Refusal::new(Reason::Form, cause));
        }
        let algorithm = text("alg").unwrap_or_default();
        if algorithm == "none" {
            return Err(SignatureVerificationError::NoSignature.into());
        }
        let disallowed = || {
            Refusal::new(
                Reason::Algorithm,
                format!("the provider does not sign by `{algorithm}`"),
            )
        };
        let algorithm: CoreJwsSigningAlgorithm =
            serde_json::from_value(algorithm.into()).map_err(|_| disallowed())?;
        if !known.algorithms().contains(&algorithm) {
            return Err(disallowed());
        }
        let fits = |key: &&CoreJsonWebKey| is_for(key, text("kid"), &algorithm);
        let mut keys = known.keys.keys().iter().filter(fits);
        match (keys.next(), keys.next()) {
            (None, _) => Err(SignatureVerificationError::NoMatchingKey.into()),
            (Some(_), Some(_)) => Err(Refusal::new(
                Reason::AmbiguousKey,
                "several keys could have signed the token",
            )),
            (Some(key), None) => {
                let signed = self.signed.as_bytes();
                Ok(key.verify_signature(&algorithm, signed, &self.signature)?)
            }
        }
    }
}

/// Returns whether a key may have signed so, under this name if there is one.
fn is_for(key: &CoreJsonWebKey, name: Option<&str>, algorithm: &CoreJwsSigningAlgorithm) -> bool {
    let is_named = name.is_none_or(|name| key.key_id().is_some_and(|id| id.as_str() == name));
    let may_sign = key.key_use().is_none_or(|used| used.allows_signature());
    let is_of_kind = algorithm.key_type().as_ref() == Some(key.key_type());
    let signs_so = match key.signing_alg() {
        JsonWebKeyAlgorithm::Unspecified => true,
        JsonWebKeyAlgorithm::Algorithm(own) => own == algorithm,
        JsonWebKeyAlgorithm::Unsupported => false,
    };
    is_named && may_sign && is_of_kind && signs_so
}

/// Returns the name of the provider's session in an ID token.
pub(super) fn sid(claims: &Claims) -> Option<String> {
    let sid = claims.get("sid")?.as_str()?;
    (1..=MAX_SID_BYTES)
        .contains(&sid.len())
        .then(|| sid.to_owned())
}

fn future(claim: &str, at: DateTime<Utc>) -> Refusal {
    Refusal::new(
        Reason::NotYetValid,
        format!("`{claim}` is {at}, in the future; compare the clocks"),
    )
}

/// Seconds may come with a fraction.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast that saturates is what is wanted"
)]
fn whole(seconds: f64) -> i64 {
    seconds as i64
}
