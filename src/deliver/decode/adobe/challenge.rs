//! The `POST` with which Adobe I/O asks whether an endpoint wants its events.

use std::borrow::Cow;

use super::layer::{Layer, elements};
use crate::deliver::decode::{json, scalar::Scalar};

/// A body of more bytes than this is no challenge.
pub const CHALLENGE_LIMIT: usize = 16 * 1024;

/// Members of events and their envelopes, which a challenge does not have. Adobe may add members to a challenge
/// one day; an event must never pass for one, for it would be lost.
const EVENT_MEMBERS: [&str; 9] =
    ["specversion", "type", "id", "source", "data", "event", "body", "eventid", "event_id"];

/// The text of `validationUrl`, if `body` has the shape of a challenge: a small object with that
/// member as text, and without any member of an event. It does not check whether the URL may be fetched.
pub fn validation_url(body: &[u8]) -> Option<String> {
    if body.len() > CHALLENGE_LIMIT {
        return None;
    }
    let body = json::text(body).ok()?;
    if !body.trim_ascii_start().starts_with('{') {
        return None;
    }
    let object = elements(body).ok()?.pop()?.layer?;
    url_in(&object).map(Cow::into_owned)
}

/// Whether a body with this one object is a challenge, by the same measure.
pub(super) fn is_challenge(body: &str, object: &Layer<'_>) -> bool {
    body.len() <= CHALLENGE_LIMIT && url_in(object).is_some()
}

fn url_in<'a>(object: &Layer<'a>) -> Option<Cow<'a, str>> {
    let url = Scalar::of(object.get("validationUrl")).text()?;
    let is_clear = object.twice.is_none() && !object.too_many;
    let is_event = EVENT_MEMBERS.iter().any(|name| object.get(name).is_some());
    (is_clear && !is_event).then_some(url)
}
