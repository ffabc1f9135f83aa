//! Authentication: which requests may deliver to a source.
//!
//! A source has a [`Gate`] with one or more ways through it. It checks the head of a request before a byte of
//! the body is read, so that a stranger's body costs nothing; a signature, which only the body can prove, is
//! left to the [`Admission`]. Each way has a file of its own, knows nothing of the others, and gets the time as
//! an argument.
//!
//! Only bad credentials are refused for good. Credentials that cannot be checked now, because another host has
//! to answer and does not, are [`Refusal::Undecided`]: the sender tries again.

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

/// The result of checking the head of a request.
#[derive(Debug)]
pub enum Admission {
    /// The sender is known.
    Proven(Proof),
    /// The request is signed; the signature is checked once the body is there.
    Signed(Signed),
}

/// Refusal of a request for its credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The source does not know the sender. `challenge` is for `WWW-Authenticate`.
    #[error("bad credentials: {}", why.detail)]
    BadCredentials { challenge: &'static str, why: Why },
    /// A bearer token is not valid.
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

    /// Combines the refusals of two ways. While one of them is undecided, the request is not refused for good.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Undecided { why }, _) | (_, Self::Undecided { why }) => Self::Undecided { why },
            (before, Self::BadCredentials { challenge, why }) => {
                Self::BadCredentials { challenge, why: before.why().or(why) }
            }
            (before, Self::BadToken { why }) => Self::BadToken { why: before.why().or(why) },
        }
    }

    /// Adds a hint for a sender that put its token into the address, where none is read. Nothing of the address is
    /// quoted.
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
        let caller = head.extensions.get::<Caller>().copied();
        let now = Moment::now();
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

    /// Returns why the certificate of the connection, or the lack of one, does not authenticate the request.
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

/// Returns whether a query has a parameter by which tokens are often sent.
fn has_token(query: &str) -> bool {
    let mut names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| TOKEN_PARAMETERS.iter().any(|it| name.eq_ignore_ascii_case(it)))
}

const TOKEN_PARAMETERS: [&str; 2] = ["token", "access_token"];

/// `WWW-Authenticate` where no way in has another one.
const CHALLENGE: &str = "Bearer realm=\"millrace\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undecided_way_is_not_outvoted_by_one_that_refuses() {
        let undecided = Refusal::undecided(Reason::ProviderUnavailable, "the provider is down");
        let why = Why::new(Reason::NoAuthorization, "no header");
        let refused = Refusal::BadCredentials { challenge: "Bearer", why };
        assert_eq!(undecided.clone().or(refused.clone()), undecided);
        assert_eq!(refused.clone().or(undecided.clone()), undecided);
        assert!(matches!(refused.clone().or(refused), Refusal::BadCredentials { .. }));
    }
}
