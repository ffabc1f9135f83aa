//! The reasons for which a token is refused or not decided.

use crate::ingest::authenticate::reason::Reason;

/// Flaw of a token, for the log: it names the check that failed and no text of the token. The sender learns only
/// that the token is not valid.
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
    #[error("it expired at {}", at(*.unix_seconds))]
    Expired { unix_seconds: u64 },
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

impl Flaw {
    pub fn reason(self) -> Reason {
        match self {
            Self::Malformed => Reason::TokenMalformed,
            Self::Algorithm => Reason::TokenAlgorithm,
            Self::Critical => Reason::TokenCritical,
            Self::UnknownKey => Reason::TokenKeyUnknown,
            Self::Signature => Reason::TokenSignature,
            Self::NoExpiry => Reason::TokenNoExpiry,
            Self::Expired { .. } => Reason::TokenExpired,
            Self::NotYetValid => Reason::TokenNotYetValid,
            Self::Issuer => Reason::TokenIssuer,
            Self::Audience => Reason::TokenAudience,
            Self::Client => Reason::TokenClient,
            Self::Scope => Reason::TokenScope,
            Self::Inactive => Reason::TokenInactive,
        }
    }
}

/// Writes a time of the token, which need not be one that a calendar has.
fn at(unix_seconds: u64) -> String {
    let time = std::time::SystemTime::UNIX_EPOCH
        .checked_add(std::time::Duration::from_secs(unix_seconds))
        .filter(|_| unix_seconds < 253_402_300_800);
    match time {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string(),
        None => "a time beyond the calendar".into(),
    }
}

/// Result of a check that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    Invalid(Flaw),
    /// Another host had to be asked and gave no answer. The text is for the log; it holds no secret.
    Undecided(Reason, String),
}

impl From<Flaw> for Denial {
    fn from(flaw: Flaw) -> Self {
        Self::Invalid(flaw)
    }
}
