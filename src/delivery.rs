//! A delivery: one HTTP request body as it came, with the few headers that are kept.
//!
//! These are plain values. They know neither how they were authenticated nor where they are stored;
//! [`Authenticated`] only records *that* the authenticate stage accepted them.

pub mod content_coding;

use bytes::Bytes;

use crate::{
    ingest::authenticate::proof::Proof,
    source::{SourceName, UnixMillis},
};

/// One request body, after its content-coding was removed, not parsed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub source: SourceName,
    /// The time at which its last byte had arrived.
    pub received_at: UnixMillis,
    /// The request headers that are kept, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// An accepted delivery. Only this can be spooled, and it cannot be made without a
/// [`Proof`], which only the authenticate stage makes.
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
