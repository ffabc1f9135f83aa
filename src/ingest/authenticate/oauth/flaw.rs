//! Why a token does not get through.

/// What is wrong with a token, for the log: it tells which check failed and nothing that the token
/// says. The sender learns only that the token is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("it is no token that this source could check")]
    Malformed,
    #[error("its algorithm is not the one of the key")]
    Algorithm,
    #[error("it has critical headers, which are not understood here")]
    Critical,
    #[error("the provider has no such key")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has no expiry")]
    NoExpiry,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet: compare the clocks")]
    NotYetValid,
    #[error("it is from another issuer")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it was given to a client that may not deliver here")]
    Client,
    #[error("it lacks a scope")]
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
