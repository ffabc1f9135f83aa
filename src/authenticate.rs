//! Who may deliver to a source.
//!
//! A source has a [`Gate`] with one or more ways through it. It looks at the head of a request before
//! a byte of the body is read, so that a stranger's body costs nothing; what only the body can prove
//! is left to the [`Admission`]. Each way has a file of its own, knows nothing of the others, and is
//! told the time.
//!
//! Only bad credentials are refused for good. What can't be decided now, because somebody else must
//! be asked and does not answer, is [`Refusal::Undecided`]: the sender comes again.

pub mod token;

use http::request::Parts;

use self::token::Tokens;

/// Evidence that a delivery was authenticated. Only this module makes one.
#[derive(Debug)]
pub struct Proof(());

impl Proof {
    /// For deliveries that an operator feeds in by hand (replay, simulation): whoever can run this
    /// process on its own disk needs no token.
    pub fn by_operator() -> Self {
        Self(())
    }
}

/// The ways into one source; any one of them suffices.
pub struct Gate {
    pub tokens: Option<Tokens>,
}

/// What the head of a request has settled.
#[derive(Debug)]
pub enum Admission {
    /// Whoever sent it is known.
    Proven(Proof),
}

/// Why a request doesn't get through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Whoever sent this is nobody that the source knows. `challenge` is for `WWW-Authenticate`.
    #[error("bad credentials")]
    BadCredentials { challenge: &'static str },
}

impl Gate {
    /// Judges the head of a request.
    pub async fn admit(&self, head: &Parts) -> Result<Admission, Refusal> {
        let mut refusal = Refusal::BadCredentials { challenge: "Bearer realm=\"millrace\"" };
        if let Some(tokens) = &self.tokens {
            match tokens.authenticate(&head.headers, head.uri.query()) {
                Ok(proof) => return Ok(Admission::Proven(proof)),
                Err(_) => refusal = Refusal::BadCredentials { challenge: tokens.challenge() },
            }
        }
        Err(refusal)
    }
}

/// Whoever sent this is nobody that the source knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad credentials")]
pub struct BadCredentials;
