//! Who may deliver to a source.

pub mod token;

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

/// Whoever sent this is nobody that the source knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad credentials")]
pub struct BadCredentials;
