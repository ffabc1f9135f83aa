//! Decoding: a delivery's body into events, each with its attributes, and every byte left in its place.
//!
//! Decoding is a pure function of the body and the [`Rules`]: a delivery gives the same events at each replay. It
//! copies nothing of a payload: an event's value is made of ranges of the body ([`Pieces`](crate::event::Pieces)), so
//! it lives as long as the body does.
//!
//! It is strict about JSON and lenient about content. A body that is not well-formed as a whole
//! (RFC 8259, UTF-8, nested at most [`MAX_DEPTH`] deep) is one [`Undecodable`]: nothing of it is
//! guessed at. A byte order mark before the body is passed over, and is no part of any event. In a well-formed body an
//! element that is not understood is [`Refused`](crate::event::Refused) alone and the others go on; unknown members,
//! unknown types and missing leads are all fine.
//!
//! One file for each sender's shapes (`legacy`, `adobe`), with what they hand over to encoders in `met`, over `json` and `scan` (punctuation and
//! ranges), `scalar`, `time`, `uri` and the names in `catalog` and `naming`.

pub mod adobe;
pub mod catalog;
pub mod fields;
pub mod id;
pub(super) mod json;
mod legacy;
mod met;
pub mod naming;
mod scalar;
mod scan;
pub mod time;
mod uri;

use std::fmt;

use crate::{delivery::content_coding, event::Decoded, source::SourceKind};

pub use catalog::Catalog;
pub use fields::Fields;
pub use json::MAX_DEPTH;
pub use legacy::MUNCHKIN_ID_HEADER;
pub use met::Memory;
pub(super) use scan::first_special;

/// Limit of elements in one delivery, which is refused as a whole beyond it. Senders put 500 into a batch; a
/// body of 64 MiB that says `0,0,0,…` would otherwise become gigabytes of refusals in memory.
pub const MAX_EVENTS: usize = 100_000;

/// Configuration of decoding.
#[derive(Clone, Default)]
pub struct Rules {
    pub catalog: Catalog,
    pub legacy_value: LegacyValue,
    /// Rules on fields that no reader may see. [`decode`] does not apply them: a body is [screened](fields::screen)
    /// before.
    pub fields: Fields,
    /// Whether events come with their [members](crate::event::Members). It is for speed alone, so that [`decode`], which
    /// has no memory for them, gives none in any case.
    pub hand_over: bool,
}

/// Shows the rules that an event's topic may depend on, which those on fields and `hand_over` are not.
impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { catalog, legacy_value, fields: _, hand_over: _ } = self;
        let mut shown = f.debug_struct("Rules");
        shown.field("catalog", catalog).field("legacy_value", legacy_value).finish()
    }
}

impl From<Catalog> for Rules {
    fn from(catalog: Catalog) -> Self {
        Self { catalog, ..Self::default() }
    }
}

/// The record's value of a legacy activity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LegacyValue {
    /// The `data` that Adobe's CloudEvent of the same activity has: `munchkinId` put in, `leadId`
    /// quoted, `marketoGUID` taken out (it is `ce_id`), the rest byte for byte.
    #[default]
    CloudEvent,
    /// The activity's own bytes; the munchkin id travels as the plain header
    /// `millrace-munchkin-id`.
    AsReceived,
}

/// The reason why a whole body is one dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Undecodable {
    /// `content-coding`, `empty-body`, `not-utf8`, `not-json`, `nested-too-deep`, `not-an-object`,
    /// `no-activities`, `duplicate-member` or `too-many-events`.
    pub reason: &'static str,
    /// The expectation, and the byte offset in the body. Never quotes the payload.
    pub error: String,
}

impl Undecodable {
    fn new(reason: &'static str, error: impl Into<String>) -> Self {
        Self { reason, error: error.into() }
    }
}

/// Splits `body` into events, in the order in which they stand in it, with indices from 0.
///
/// `headers` are the delivery's (names in lower case). `out` is cleared first, and is empty after an
/// error; a delivery may well hold no event at all. Events borrow from `body` and from `rules`;
/// [`recycle`] lets the next body use the memory of `out`.
pub fn decode<'a>(
    kind: SourceKind,
    rules: &'a Rules,
    body: &'a [u8],
    headers: &[(String, String)],
    out: &mut Vec<Decoded<'a>>,
) -> Result<(), Undecodable> {
    decode_with(kind, rules, body, headers, None, out)
}

/// The same; with memory for them, events come with their members.
fn decode_with<'a>(
    kind: SourceKind,
    rules: &'a Rules,
    body: &'a [u8],
    headers: &[(String, String)],
    members: Option<&'a Memory>,
    out: &mut Vec<Decoded<'a>>,
) -> Result<(), Undecodable> {
    out.clear();
    let codings = headers.iter().filter(|(name, _)| name == "content-encoding");
    let is_coded = |value: &str| content_coding::names(value.as_bytes()).next().is_some();
    if let Some((_, coding)) = codings.into_iter().find(|(_, value)| is_coded(value)) {
        let coding: String = coding.chars().take(40).collect();
        let error = format!("the body is still encoded as {coding:?}: expected plain JSON");
        return Err(Undecodable::new("content-coding", error));
    }
    let body = json::text(body)?;
    match kind {
        SourceKind::MarketoLeadActivity => legacy::decode(rules, body, members, out),
        SourceKind::AdobeIo => adobe::decode(rules, body, members, out),
    }
}

/// Empties `out` and returns its memory, for events of another body.
pub fn recycle<'b>(mut out: Vec<Decoded<'_>>) -> Vec<Decoded<'b>> {
    out.clear();
    // Collecting an emptied vector into one of the same layout keeps its allocation, and that is
    // all that happens here: no element is left to be mapped.
    out.into_iter().map_while(|_| None).collect()
}
