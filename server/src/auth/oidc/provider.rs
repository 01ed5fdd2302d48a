//! What the provider says of itself, and its keys: asked for when first needed, kept for a while.

use super::http::Http;
use super::refusal::{Reason, Refusal};
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalProviderMetadata, DiscoveryError, IssuerUrl, JsonWebKeySet, ProviderMetadata,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use url::Url;

/// How long what is known counts: a key that the provider takes back is refused from then on.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// How the keys can have signed. Shared secrets and `none` never count, whatever a provider says.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What of a provider's description the library does not know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Extra {
    /// Where people sign out.
    pub end_session_endpoint: Option<Url>,
    /// Whether answers name their issuer (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Extra {}

/// A provider's description of itself.
pub(super) type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What is known of a provider.
pub(super) struct Known {
    /// Its description of itself.
    pub metadata: Metadata,
    /// Its keys.
    pub keys: CoreJsonWebKeySet,
    at: Instant,
}

impl Known {
    /// Returns how the provider may have signed.
    pub(super) fn algorithms(&self) -> Vec<CoreJwsSigningAlgorithm> {
        let said = self.metadata.id_token_signing_alg_values_supported();
        let known = ALGORITHMS.into_iter();
        known.filter(|known| said.contains(known)).collect()
    }
}

/// Why the keys are asked for again. Each has a budget of its own, so that nobody who sends kura forged logout tokens
/// keeps people from signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// An ID token.
    SignIn,
    /// A logout token.
    SignOut,
}

/// A provider that is asked when needed.
pub(super) struct Provider {
    issuer: IssuerUrl,
    /// Asks it.
    pub http: Http,
    state: Mutex<State>,
}

struct State {
    known: Option<Arc<Known>>,
    discoveries: Budget,
    sign_ins: Budget,
    sign_outs: Budget,
}

impl Provider {
    pub(super) fn new(issuer: IssuerUrl, http: Http) -> Self {
        Self {
            issuer,
            http,
            state: Mutex::new(State {
                known: None,
                discoveries: Budget::new(5, Duration::from_secs(5)),
                sign_ins: Budget::new(4, Duration::from_secs(15)),
                sign_outs: Budget::new(4, Duration::from_secs(15)),
            }),
        }
    }

    /// Returns what is known of the provider, after asking if that was long ago.
    ///
    /// # Errors
    /// When it does not answer, or not with what it should.
    pub(super) async fn known(&self) -> Result<Arc<Known>, Refusal> {
        // Held while asking, so that many who come at once ask once.
        let mut state = self.state.lock().await;
        if let Some(known) = &state.known
            && known.at.elapsed() < KEPT
        {
            return Ok(Arc::clone(known));
        }
        state.known = None;
        if !state.discoveries.take(Instant::now()) {
            let cause = "it has failed several times just now; it is asked again in a few seconds";
            return Err(Refusal::new(Reason::Unreachable, cause));
        }
        let metadata = Metadata::discover_async(self.issuer.clone(), &self.http).await;
        let metadata = metadata.map_err(|error| failed(&error))?;
        self.check(&metadata)?;
        let known = Arc::new(Known {
            keys: metadata.jwks().clone(),
            metadata,
            at: Instant::now(),
        });
        tracing::info!(
            issuer = self.issuer.as_str(),
            keys = known.keys.keys().len(),
            "the identity provider has described itself"
        );
        state.known = Some(Arc::clone(&known));
        Ok(known)
    }

    /// Returns what is known after asking for the keys again, because `seen` had not the one that was needed.
    ///
    /// # Errors
    /// When the provider does not answer, or was asked too often.
    pub(super) async fn renewed(
        &self,
        seen: &Arc<Known>,
        cause: Cause,
    ) -> Result<Arc<Known>, Refusal> {
        let mut state = self.state.lock().await;
        if let Some(known) = &state.known
            && !Arc::ptr_eq(known, seen)
        {
            // Someone else has asked meanwhile.
            return Ok(Arc::clone(known));
        }
        let budget = match cause {
            Cause::SignIn => &mut state.sign_ins,
            Cause::SignOut => &mut state.sign_outs,
        };
        if !budget.take(Instant::now()) {
            let cause = "the key is unknown, and the provider was asked for its keys several times just now";
            return Err(Refusal::new(Reason::UnknownKey, cause));
        }
        let keys = JsonWebKeySet::fetch_async(seen.metadata.jwks_uri(), &self.http).await;
        let keys = keys.map_err(|error| failed(&error))?;
        tracing::info!(
            issuer = self.issuer.as_str(),
            keys = keys.keys().len(),
            "the identity provider was asked for its keys again"
        );
        let known = Arc::new(Known {
            metadata: seen.metadata.clone(),
            keys,
            at: Instant::now(),
        });
        state.known = Some(Arc::clone(&known));
        Ok(known)
    }

    /// Fails unless all that the provider points to is its own: kura asks there, and sends people there.
    fn check(&self, metadata: &Metadata) -> Result<(), Refusal> {
        let extra = metadata.additional_metadata();
        let urls = [
            Some(metadata.authorization_endpoint().url()),
            metadata.token_endpoint().map(|url| url.url()),
            metadata.userinfo_endpoint().map(|url| url.url()),
            extra.end_session_endpoint.as_ref(),
        ];
        for url in urls.into_iter().flatten() {
            let checked = self.http.require(url);
            checked.map_err(|error| Refusal::of(Reason::Discovery, &error))?;
        }
        if metadata.token_endpoint().is_none() {
            let cause =
                "the provider has no token endpoint; it does not offer the authorization code flow";
            return Err(Refusal::new(Reason::Discovery, cause));
        }
        let said = metadata.id_token_signing_alg_values_supported();
        if !ALGORITHMS.iter().any(|known| said.contains(known)) {
            let cause = "the provider signs ID tokens in no way that kura accepts";
            return Err(Refusal::new(Reason::Discovery, cause));
        }
        Ok(())
    }
}

fn failed(error: &DiscoveryError<super::http::Error>) -> Refusal {
    use super::http::Error;
    let is_wrong = matches!(
        error,
        DiscoveryError::Request(Error::NotAllowed(_))
            | DiscoveryError::Validation(_)
            | DiscoveryError::Parse(_)
    );
    let reason = if is_wrong {
        Reason::Discovery
    } else {
        Reason::Unreachable
    };
    Refusal::of(reason, error)
}

/// So many at once, and one more each time that much time has passed.
struct Budget {
    most: u32,
    every: Duration,
    left: u32,
    filled: Option<Instant>,
}

impl Budget {
    fn new(most: u32, every: Duration) -> Self {
        Self {
            most,
            every,
            left: most,
            filled: None,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let filled = self.filled.get_or_insert(now);
        let gained = now.saturating_duration_since(*filled).as_nanos() / self.every.as_nanos();
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        if gained >= self.most - self.left {
            self.left = self.most;
            *filled = now;
        } else {
            self.left += gained;
            *filled += self.every * gained;
        }
        let has = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_fills_again() {
        let start = Instant::now();
        let mut budget = Budget::new(3, Duration::from_secs(10));
        let taken = |budget: &mut Budget, at| {
            (0..5)
                .filter(|_| budget.take(start + Duration::from_secs(at)))
                .count()
        };
        assert_eq!(taken(&mut budget, 0), 3);
        assert_eq!(taken(&mut budget, 9), 0);
        assert_eq!(taken(&mut budget, 25), 2);
        assert_eq!(taken(&mut budget, 29), 0);
        assert_eq!(taken(&mut budget, 30), 1);
        assert_eq!(taken(&mut budget, 3600), 3);
    }
}
