//! Evidence that a delivery was authenticated. It knows nothing of the ways that lead to it.

use std::{fmt::Debug, time::Instant};

/// Evidence that a delivery was authenticated. Only the authenticate stage makes one.
#[derive(Debug)]
pub struct Proof {
    known_to: KnownTo,
    /// What has proved it, where that is a key which a stranger may have named.
    voucher: Option<Box<dyn Voucher>>,
}

/// To whom a sender is known by what it has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownTo {
    /// This installation alone gave it out, or trusts the issuer who did.
    Us,
    /// Adobe's signatures and certificate are the same for all of its customers.
    Everybody,
}

/// A key that proved a delivery, and is trusted for more once the delivery turns out to be for this installation.
pub(super) trait Voucher: Debug + Send + Sync {
    fn vouch(&self, now: Instant);
}

impl Proof {
    /// For deliveries that an operator feeds in by hand (replay, simulation): an operator who can run this
    /// process on its own disk needs no token.
    pub fn by_operator() -> Self {
        Self::of(KnownTo::Us)
    }

    pub(super) fn of(known_to: KnownTo) -> Self {
        Self { known_to, voucher: None }
    }

    pub(super) fn by_key(voucher: Option<Box<dyn Voucher>>) -> Self {
        Self { known_to: KnownTo::Everybody, voucher }
    }

    /// Whether the delivery may still be meant for another customer of the sender.
    pub fn is_shared(&self) -> bool {
        self.known_to == KnownTo::Everybody
    }

    /// The delivery names us: the key that proved it is trusted beyond this delivery.
    pub fn was_meant_for_us(&self, now: Instant) {
        if let Some(voucher) = &self.voucher {
            voucher.vouch(now);
        }
    }
}
