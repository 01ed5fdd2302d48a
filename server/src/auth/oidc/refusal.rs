//! Why nobody was signed in, or out.

use openidconnect::{ClaimsVerificationError, SignatureVerificationError};

/// Why a sign-in, or an order to sign out, was refused. The name goes into the audit log and never changes; the page shows
/// something coarser, since whoever provoked it may be reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The provider does not answer, or not with what it should.
    Unreachable,
    /// The provider's description of itself is not that of the configured issuer, or points elsewhere.
    Discovery,
    /// The browser that comes back is not the one that was sent, or comes too late or once more.
    Browser,
    /// The `state` is another one.
    State,
    /// It was used before.
    Used,
    /// It took too long.
    Late,
    /// The answer says that it comes from another provider, or does not say from which.
    ResponseIssuer,
    /// The provider says no: `access_denied` or another error.
    Denied,
    /// There is neither a code nor an error.
    NoCode,
    /// The provider does not take the code, or kura's secret.
    Code,
    /// The provider's answer for the code cannot be read.
    TokenAnswer,
    /// There is no ID token in it.
    NoIdToken,
    /// The token is of another kind, encrypted, or needs what kura does not know.
    Form,
    /// The token is not signed.
    Unsigned,
    /// The token is signed in a way that the provider does not use, or with a shared secret.
    Algorithm,
    /// The provider has no such key.
    UnknownKey,
    /// The provider has several keys, and the token does not say which.
    AmbiguousKey,
    /// The provider's key is none.
    BadKey,
    /// The signature is not that of the token.
    Signature,
    /// The token comes from another issuer.
    Issuer,
    /// The token is for someone else, too.
    Audience,
    /// The token was made for another client.
    AuthorizedParty,
    /// The token belongs to another sign-in.
    Nonce,
    /// The token has expired.
    Expired,
    /// The token is not good yet, or from the future.
    NotYetValid,
    /// The token belongs to another access token.
    AccessToken,
    /// The token does not say who it is about, or in a way that cannot be.
    Subject,
    /// What the provider says of the person is of somebody else.
    UserInfo,
    /// A claim that everyone must have is missing or another one.
    Claim,
    /// The provider does not tell the groups because there are too many.
    TooManyGroups,
    /// No group of the person gives a role.
    NoRole,
    /// The person is no user, and signing in makes none.
    Unknown,
    /// No login can be made of what the provider says.
    NoLogin,
    /// Another user is, or was, called so.
    NameTaken,
    /// The user is disabled.
    Disabled,
    /// A logout token without the event that makes it one.
    Event,
    /// A logout token that could be an ID token.
    HasNonce,
    /// A logout token that does not say whose or which session.
    NoSession,
    /// A logout token without an id of its own.
    NoId,
    /// A logout token that was used before.
    Replayed,
}

impl Reason {
    /// Returns the name in the audit log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Discovery => "discovery",
            Self::Browser => "browser",
            Self::State => "state",
            Self::Used => "used",
            Self::Late => "late",
            Self::ResponseIssuer => "response_issuer",
            Self::Denied => "denied",
            Self::NoCode => "no_code",
            Self::Code => "code",
            Self::TokenAnswer => "token_answer",
            Self::NoIdToken => "no_id_token",
            Self::Form => "form",
            Self::Unsigned => "unsigned",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::AmbiguousKey => "ambiguous_key",
            Self::BadKey => "bad_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::AuthorizedParty => "authorized_party",
            Self::Nonce => "nonce",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::AccessToken => "access_token",
            Self::Subject => "subject",
            Self::UserInfo => "user_info",
            Self::Claim => "claim",
            Self::TooManyGroups => "too_many_groups",
            Self::NoRole => "no_role",
            Self::Unknown => "unknown",
            Self::NoLogin => "no_login",
            Self::NameTaken => "name_taken",
            Self::Disabled => "disabled",
            Self::Event => "event",
            Self::HasNonce => "has_nonce",
            Self::NoSession => "no_session",
            Self::NoId => "no_id",
            Self::Replayed => "replayed",
        }
    }

    /// Returns whether the provider is at fault, and it may be otherwise in a while.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Unreachable | Self::Discovery)
    }

    /// Returns whether the provider vouches for the person, and kura does not let them in.
    #[must_use]
    pub fn is_forbidden(self) -> bool {
        matches!(
            self,
            Self::NoRole
                | Self::Claim
                | Self::TooManyGroups
                | Self::Unknown
                | Self::NoLogin
                | Self::NameTaken
                | Self::Disabled
        )
    }

    /// Returns what the page is told.
    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Self::Unreachable | Self::Discovery => "unavailable",
            Self::Browser | Self::State | Self::Used | Self::Late => "start_again",
            Self::Denied => "denied",
            Self::NoRole | Self::Claim => "no_role",
            Self::TooManyGroups => "too_many_groups",
            Self::Unknown => "unknown",
            Self::NoLogin | Self::NameTaken => "name_taken",
            Self::Disabled => "disabled",
            Self::ResponseIssuer
            | Self::NoCode
            | Self::Code
            | Self::TokenAnswer
            | Self::NoIdToken
            | Self::Form
            | Self::Unsigned
            | Self::Algorithm
            | Self::UnknownKey
            | Self::AmbiguousKey
            | Self::BadKey
            | Self::Signature
            | Self::Issuer
            | Self::Audience
            | Self::AuthorizedParty
            | Self::Nonce
            | Self::Expired
            | Self::NotYetValid
            | Self::AccessToken
            | Self::Subject
            | Self::UserInfo
            | Self::Event
            | Self::HasNonce
            | Self::NoSession
            | Self::NoId
            | Self::Replayed => "refused",
        }
    }
}

/// A refusal, with what the log gets to see of its cause.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {cause}", reason.name())]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// More of it, for the operator.
    pub cause: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, cause: impl Into<String>) -> Self {
        Self {
            reason,
            cause: cause.into(),
        }
    }

    /// Creates one from an error and what caused it.
    pub(super) fn of(reason: Reason, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(reason, crate::error::chain(error))
    }
}

impl From<ClaimsVerificationError> for Refusal {
    fn from(error: ClaimsVerificationError) -> Self {
        use ClaimsVerificationError as E;
        if let E::SignatureVerification(cause) = error {
            return cause.into();
        }
        // The enum may grow: what is not known is refused like any other.
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum of the library is not exhaustive"
        )]
        let reason = match &error {
            E::Expired(_) => Reason::Expired,
            E::InvalidAudience(_) => Reason::Audience,
            E::InvalidIssuer(_) => Reason::Issuer,
            E::InvalidNonce(_) => Reason::Nonce,
            E::InvalidSubject(_) => Reason::Subject,
            _ => Reason::Form,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<SignatureVerificationError> for Refusal {
    fn from(error: SignatureVerificationError) -> Self {
        use SignatureVerificationError as E;
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum of the library is not exhaustive"
        )]
        let reason = match &error {
            E::AmbiguousKeyId(_) => Reason::AmbiguousKey,
            E::CryptoError(_) => Reason::Signature,
            E::DisallowedAlg(_) | E::UnsupportedAlg(_) => Reason::Algorithm,
            E::InvalidKey(_) => Reason::BadKey,
            E::NoMatchingKey => Reason::UnknownKey,
            E::NoSignature => Reason::Unsigned,
            _ => Reason::Form,
        };
        Self::new(reason, error.to_string())
    }
}
