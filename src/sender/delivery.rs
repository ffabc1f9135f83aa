//! A delivery of a sender: one request body, from its creation to its last try.

use bytes::Bytes;
use http::HeaderMap;

/// One delivery, identical in every try except for headers that count tries.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The delivery's number within its lane, from 0.
    pub number: u64,
    pub events: u32,
    /// Headers that are the same in every try.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Tries so far.
    pub tries: u32,
}

/// The fate of a delivery after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The sender may forget it.
    Delivered,
    /// It will be sent again.
    Again,
    /// It will not be sent again, and its events have not arrived as far as the sender knows.
    Lost,
}
