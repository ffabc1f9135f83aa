//! Who may deliver to a source.

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
