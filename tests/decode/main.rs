//! Decoding, routing and encoding, as a forwarder uses them: bodies in, records out.
//!
//! - `adobe`: the shapes of Adobe I/O, member by member
//! - `handed`: what encoding makes of members that decoding has handed over
//! - `harmless`: whatever stands in a body of Adobe I/O
//! - `ids`: one reading of an id, in whatever notation
//! - `legacy`: the mapping of Marketo's own push, byte for byte
//! - `malformed`: bodies that are one dead letter, and elements that are refused alone
//! - `meeting`: one activity from both senders
//! - `memory`: what an event takes from the heap
//! - `oracle`: the check of recipients against a slow one, and against the decoder
//! - `properties`: what holds for any activity of a push and for any bytes
//! - `recipients`: whom a body of Adobe I/O is meant for, and what is a challenge
//! - `records`: the whole way from a body to Kafka records

// Those that the benchmarks decode.
#[path = "../bench/parts/bodies.rs"]
#[allow(dead_code, reason = "the benchmarks use the rest")]
mod bodies;

mod adobe;
mod flat;
mod handed;
mod harmless;
mod ids;
mod legacy;
mod malformed;
mod meeting;
mod memory;
mod oracle;
mod properties;
mod recipients;
mod records;

use std::sync::LazyLock;

use millrace::{
    deliver::{
        decode::{Rules, Undecodable, decode},
        encode,
    },
    event::{Decoded, Event, Refused},
    source::SourceKind,
};

/// Decodes a legacy push without headers.
fn decode_legacy<'a>(rules: &'a Rules, body: &'a [u8]) -> Result<Vec<Decoded<'a>>, Undecodable> {
    let mut out = Vec::new();
    decode(SourceKind::MarketoLeadActivity, rules, body, &[], &mut out)?;
    Ok(out)
}

/// Decodes a body of Adobe I/O without headers.
fn decode_adobe(body: &[u8]) -> Result<Vec<Decoded<'_>>, Undecodable> {
    static RULES: LazyLock<Rules> = LazyLock::new(Rules::default);
    let mut out = Vec::new();
    decode(SourceKind::AdobeIo, &RULES, body, &[], &mut out)?;
    Ok(out)
}

/// The first event of a body of Adobe I/O.
fn adobe_event(body: &str) -> Event<'_> {
    decode_adobe(body.as_bytes()).unwrap().swap_remove(0).unwrap()
}

/// The first element, which is an event.
fn event<'a>(rules: &'a Rules, body: &'a str) -> Event<'a> {
    decode_legacy(rules, body.as_bytes()).unwrap().swap_remove(0).unwrap()
}

/// The first element, which is refused.
fn refused<'a>(rules: &'a Rules, body: &'a str) -> Refused<'a> {
    decode_legacy(rules, body.as_bytes()).unwrap().swap_remove(0).unwrap_err()
}

/// The event's value, put together.
fn value(event: &Event<'_>) -> String {
    let bytes = encode::spell(&event.value, &mut Vec::new()).to_vec();
    String::from_utf8(bytes).unwrap()
}
