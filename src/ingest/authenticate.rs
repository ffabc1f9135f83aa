//! Who may deliver to a source.
//!
//! A source has a [`Gate`] with one or more ways through it. It looks at the head of a request before
//! a byte of the body is read, so that a stranger's body costs nothing; what only the body can prove
//! is left to the [`Admission`]. Each way has a file of its own, knows nothing of the others, and is
//! told the time.
//!
//! Only bad credentials are refused for good. What cannot be decided now, because somebody else must
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
pub mod reason;
mod refresh;
pub mod token;
mod turns;
pub mod validation;

use http::request::Parts;

use self::{
    adobe_signature::{AdobeSignature, Signed},
    caller::Caller,
    certificate::{Certificate, Presented},
    moment::Moment,
    oauth::OAuth,
    proof::KnownTo,
    reason::{Reason, Why},
    token::{Neighbours, Tokens},
};

pub use proof::Proof;

/// The ways into one source; any one of them suffices.
#[derive(Default)]
pub struct Gate {
    pub tokens: Option<Tokens>,
    pub certificate: Option<Certificate>,
    pub signature: Option<AdobeSignature>,
    pub oauth: Option<OAuth>,
    /// The tokens of the other sources, to tell operators that a sender has the wrong address.
    pub neighbours: Neighbours,
}

/// What the head of a request has settled.
#[derive(Debug)]
pub enum Admission {
    /// Whoever sent it is known.
    Proven(Proof),
    /// It is signed: whether by somebody who may, the body will tell.
    Signed(Signed),
}

/// Why a request does not get through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Whoever sent this is nobody that the source knows. `challenge` is for `WWW-Authenticate`.
    #[error("bad credentials: {}", why.detail)]
    BadCredentials { challenge: &'static str, why: Why },
    /// A bearer token is no good.
    #[error("bad token: {}", why.detail)]
    BadToken { why: Why },
    /// The credentials cannot be checked at the moment: the fault is ours or passes.
    #[error("credentials cannot be checked now: {}", why.detail)]
    Undecided { why: Why },
}

impl Refusal {
    fn undecided(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Undecided { why: Why::new(reason, detail) }
    }

    /// What two ways come to that both refuse. While one of them cannot tell, nobody is refused for
    /// good.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Undecided { why }, _) | (_, Self::Undecided { why }) => Self::Undecided { why },
            (before, Self::BadCredentials { challenge, why }) => {
                Self::BadCredentials { challenge, why: before.why().or(why) }
            }
            (before, Self::BadToken { why }) => Self::BadToken { why: before.why().or(why) },
        }
    }

    /// The same, for a sender that showed its token where none is looked for. Of the address itself nothing is told.
    fn with_token_in_address(self) -> Self {
        const MORE: &str =
            "a token in the address is not looked at: it must be in the `Authorization` header";
        match self {
            Self::BadCredentials { challenge, why } => {
                Self::BadCredentials { challenge, why: why.without_header(MORE) }
            }
            other => other,
        }
    }

    fn why(self) -> Why {
        match self {
            Self::BadCredentials { why, .. } | Self::BadToken { why } | Self::Undecided { why } => {
                why
            }
        }
    }
}

impl Gate {
    /// Judges the head of a request.
    pub async fn admit(&self, head: &Parts) -> Result<Admission, Refusal> {
        let (caller, now) = (head.extensions.get::<Caller>().copied(), Moment::now());
        let caller = caller.unwrap_or_default();
        let presented = head.extensions.get::<Presented>();
        if let Some(certificate) = &self.certificate
            && let Some(proof) = certificate.authenticate(presented)
        {
            return Ok(Admission::Proven(proof));
        }
        let refused = |challenge, why| Refusal::BadCredentials { challenge, why };
        let mut refusal = refused(CHALLENGE, self.without_certificate(presented));
        if let Some(tokens) = &self.tokens {
            match tokens.authenticate(&head.headers, head.uri.query(), &self.neighbours) {
                Ok(proof) => return Ok(Admission::Proven(proof)),
                Err(why) => refusal = refusal.or(refused(tokens.challenge(), why)),
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
        match head.uri.query().is_some_and(has_token) {
            true => Err(refusal.with_token_in_address()),
            false => Err(refusal),
        }
    }

    /// Why the certificate of the connection, or the lack of one, opens nothing here.
    fn without_certificate(&self, presented: Option<&Presented>) -> Why {
        match (&self.certificate, presented) {
            (Some(_), Some(_)) => {
                Why::new(Reason::CertificateName, "no name of the client certificate is accepted")
            }
            (Some(_), None) => Why::new(Reason::NoCertificate, "no client certificate"),
            (None, _) => Why::new(Reason::NoCertificate, ""),
        }
    }
}

/// Whether a query has a parameter by which tokens are often sent.
fn has_token(query: &str) -> bool {
    let mut names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| TOKEN_PARAMETERS.iter().any(|it| name.eq_ignore_ascii_case(it)))
}

const TOKEN_PARAMETERS: [&str; 2] = ["token", "access_token"];

/// Where no way in has another one.
const CHALLENGE: &str = "Bearer realm=\"millrace\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_can_not_tell_is_not_outvoted_by_one_that_refuses() {
        let undecided = Refusal::undecided(Reason::ProviderUnavailable, "the provider is down");
        let why = Why::new(Reason::NoAuthorization, "no header");
        let refused = Refusal::BadCredentials { challenge: "Bearer", why };
        assert_eq!(undecided.clone().or(refused.clone()), undecided);
        assert_eq!(refused.clone().or(undecided.clone()), undecided);
        assert!(matches!(refused.clone().or(refused), Refusal::BadCredentials { .. }));
    }
}
