//! Who may deliver to a source.
//!
//! A source has a [`Gate`] with one or more ways through it. It looks at the head of a request before
//! a byte of the body is read, so that a stranger's body costs nothing; what only the body can prove
//! is left to the [`Admission`]. Each way has a file of its own, knows nothing of the others, and is
//! told the time.
//!
//! Only bad credentials are refused for good. What can't be decided now, because somebody else must
//! be asked and does not answer, is [`Refusal::Undecided`]: the sender comes again.

pub mod adobe_signature;
mod bucket;
pub mod caller;
pub mod certificate;
pub mod challenge;
mod digest;
pub mod moment;
pub mod oauth;
pub mod proof;
pub mod public_keys;
mod refresh;
pub mod token;
mod turns;
pub mod validation;

use std::fmt;

use http::request::Parts;

use self::{
    adobe_signature::{AdobeSignature, Signed},
    caller::Caller,
    certificate::{Certificate, Presented},
    moment::Moment,
    oauth::{OAuth, flaw::Flaw},
    proof::KnownTo,
    token::Tokens,
};

pub use proof::Proof;

/// The ways into one source; any one of them suffices.
#[derive(Default)]
pub struct Gate {
    pub tokens: Option<Tokens>,
    pub certificate: Option<Certificate>,
    pub signature: Option<AdobeSignature>,
    pub oauth: Option<OAuth>,
}

/// What the head of a request has settled.
#[derive(Debug)]
pub enum Admission {
    /// Whoever sent it is known.
    Proven(Proof),
    /// It is signed: whether by somebody who may, the body will tell.
    Signed(Signed),
}

/// Why a request doesn't get through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Whoever sent this is nobody that the source knows. `challenge` is for `WWW-Authenticate`.
    #[error("bad credentials")]
    BadCredentials { challenge: &'static str },
    /// A bearer token is no good.
    #[error("bad token: {flaw}")]
    BadToken { flaw: Flaw },
    /// Nobody can tell at the moment. `reason` is for a person and holds no secret.
    #[error("undecided: {reason}")]
    Undecided { reason: String },
}

impl Refusal {
    fn undecided(reason: &impl fmt::Display) -> Self {
        Self::Undecided { reason: reason.to_string() }
    }

    /// What two ways come to that both refuse. While one of them can't tell, nobody is refused for
    /// good.
    fn or(self, other: Self) -> Self {
        match self {
            Self::Undecided { .. } => self,
            _ => other,
        }
    }
}

impl Gate {
    /// Judges the head of a request.
    pub async fn admit(&self, head: &Parts) -> Result<Admission, Refusal> {
        let (caller, now) = (head.extensions.get::<Caller>().copied(), Moment::now());
        let caller = caller.unwrap_or_default();
        if let Some(certificate) = &self.certificate
            && let Some(proof) = certificate.authenticate(head.extensions.get::<Presented>())
        {
            return Ok(Admission::Proven(proof));
        }
        let mut refusal = Refusal::BadCredentials { challenge: "Bearer realm=\"millrace\"" };
        if let Some(tokens) = &self.tokens {
            match tokens.authenticate(&head.headers, head.uri.query()) {
                Some(proof) => return Ok(Admission::Proven(proof)),
                None => refusal = Refusal::BadCredentials { challenge: tokens.challenge() },
            }
        }
        if let Some(oauth) = &self.oauth {
            match oauth.authenticate(&head.headers, caller, now).await {
                Ok(proof) => return Ok(Admission::Proven(proof)),
                Err(refused) => refusal = refusal.or(refused),
            }
        }
        if let Some(signature) = &self.signature {
            match signature.admit(&head.headers, caller, now.instant).await {
                Ok(signed) => return Ok(Admission::Signed(signed)),
                Err(refused) => refusal = refusal.or(refused),
            }
        }
        Err(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_can_not_tell_is_not_outvoted_by_one_that_refuses() {
        let undecided = Refusal::Undecided { reason: "the provider is down".into() };
        let refused = Refusal::BadCredentials { challenge: "Bearer" };
        assert_eq!(undecided.clone().or(refused.clone()), undecided);
        assert_eq!(refused.clone().or(undecided.clone()), undecided);
        assert_eq!(refused.clone().or(refused.clone()), refused);
    }
}
