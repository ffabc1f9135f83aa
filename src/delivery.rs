//! A delivery: one HTTP request body as it came, with the little that is worth keeping about it.
//!
//! These are plain values. They know neither how they were authenticated nor where they are stored;
//! [`Authenticated`] only remembers *that* somebody who may say so has vouched for them.

pub mod content_coding;

use bytes::Bytes;

use crate::{
    ingest::authenticate::proof::Proof,
    source::{SourceName, UnixMillis},
};

/// One request body, after its content-coding was removed, before anybody looked inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub source: SourceName,
    /// When its last byte had arrived.
    pub received_at: UnixMillis,
    /// The few request headers worth keeping, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// A delivery that somebody vouched for. Only this can be spooled, and it cannot be made without a
/// [`Proof`], which only the authenticate stage hands out.
#[derive(Debug)]
pub struct Authenticated(Delivery);

impl Authenticated {
    pub fn new(delivery: Delivery, _proof: Proof) -> Self {
        Self(delivery)
    }

    pub fn delivery(&self) -> &Delivery {
        &self.0
    }

    pub fn into_delivery(self) -> Delivery {
        self.0
    }
}
