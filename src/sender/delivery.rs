//! What a sender has in hand: one request body, from when it is made until it needs no further try.

use bytes::Bytes;
use http::HeaderMap;

/// One delivery. It is the same in every try; only headers that count tries change.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The delivery's number within its lane, from 0.
    pub number: u64,
    pub events: u32,
    /// Those that are the same in every try.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Tries so far.
    pub tries: u32,
}

/// What becomes of a delivery that was answered, or was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The sender may forget it.
    Delivered,
    /// It will be sent again.
    Again,
    /// It will not be sent again, and its events have not arrived as far as the sender knows.
    Lost,
}
