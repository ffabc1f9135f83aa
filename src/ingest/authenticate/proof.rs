//! Evidence that a delivery was authenticated, independent of the way in that gave it.

use std::{fmt::Debug, time::Instant};

/// Evidence that a delivery was authenticated. Only the authenticate stage makes one.
#[derive(Debug)]
pub struct Proof {
    known_to: KnownTo,
    /// The key that proved it, where a stranger may have named that key.
    voucher: Option<Box<dyn Voucher>>,
}

/// The installations for which the sender's credentials count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownTo {
    /// This installation alone: it gave the credentials out, or trusts their issuer.
    Us,
    /// All customers of Adobe's: its signatures and certificate are the same for each.
    AllCustomers,
}

/// A key that proved a delivery, and is trusted further once the delivery turns out to be for this installation.
pub(super) trait Voucher: Debug + Send + Sync {
    fn vouch(&self, now: Instant);
}

impl Proof {
    /// Makes the proof for deliveries that an operator feeds in by hand (replay, simulation): an operator who can run
    /// this process on its own disk needs no token.
    pub fn by_operator() -> Self {
        Self::of(KnownTo::Us)
    }

    pub(super) fn of(known_to: KnownTo) -> Self {
        Self { known_to, voucher: None }
    }

    pub(super) fn by_key(voucher: Option<Box<dyn Voucher>>) -> Self {
        Self { known_to: KnownTo::AllCustomers, voucher }
    }

    /// Returns whether the delivery may still be meant for another customer of the sender.
    pub fn is_shared(&self) -> bool {
        self.known_to == KnownTo::AllCustomers
    }

    /// Notes that the delivery names this installation: the key that proved it is trusted beyond this delivery.
    pub fn was_meant_for_us(&self, now: Instant) {
        if let Some(voucher) = &self.voucher {
            voucher.vouch(now);
        }
    }
}
