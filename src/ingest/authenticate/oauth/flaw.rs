//! Why a token does not get through.

/// What is wrong with a token, for the log: it tells which check failed and nothing that the token
/// says. The sender learns only that the token is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("it is not a token that this source can check")]
    Malformed,
    #[error("its algorithm does not match the key")]
    Algorithm,
    #[error("it has critical headers (`crit`), which are not supported")]
    Critical,
    #[error("its signing key is not known at the provider")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has no expiry")]
    NoExpiry,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet: compare the clocks")]
    NotYetValid,
    #[error("its issuer (`iss`) is not the configured issuer")]
    Issuer,
    #[error("its audience (`aud`) is not configured for this source")]
    Audience,
    #[error("it was issued to a client that is not allowed for this source")]
    Client,
    #[error("a required scope is missing")]
    Scope,
    #[error("the provider says that it is not active")]
    Inactive,
}

/// The end of a check that did not go well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    Invalid(Flaw),
    /// Somebody else had to be asked and gave no answer. For a person; holds no secret.
    Undecided(String),
}

impl From<Flaw> for Denial {
    fn from(flaw: Flaw) -> Self {
        Self::Invalid(flaw)
    }
}
