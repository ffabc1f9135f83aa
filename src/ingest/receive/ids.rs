//! The ids of a request, by which its delivery can be followed from the answer to the topic.
//!
//! Its own `x-request-id` where that is harmless, else one of ours. It is in the answer, in the log line about the
//! answer, and beside the body in the spool; the answer and the line also have the position in the spool, by which
//! the forwarder names the delivery (`millrace-position` of a dead letter, and `position` in its log).

use std::{
    net::IpAddr,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::Said;
use crate::ingest::listen::report::Names;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The sequence number of a stored delivery in its source's spool.
pub(super) const POSITION: HeaderName = HeaderName::from_static("millrace-position");
/// How far a 200 says that its delivery is, where the source has `answer = "delivered"`.
pub(super) const ANSWER: HeaderName = HeaderName::from_static("millrace-answer");

/// Bytes of an id that is taken from a sender.
const MAX_ID_BYTES: usize = 64;

pub(super) struct Ids {
    request: String,
    adobe_delivery: Option<HeaderValue>,
    adobe_event: Option<HeaderValue>,
    client: Option<IpAddr>,
}

impl Ids {
    /// Reads the ids. `client` is the client's address, as far as that can be believed.
    pub fn of(headers: &HeaderMap, client: Option<IpAddr>) -> Self {
        let own = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let own = own.filter(|id| is_harmless(id)).map(str::to_owned);
        Self {
            request: own.unwrap_or_else(next),
            adobe_delivery: headers.get("x-adobe-delivery-id").cloned(),
            adobe_event: headers.get("x-adobe-event-id").cloned(),
            client,
        }
    }

    pub fn request(&self) -> &str {
        &self.request
    }

    /// Returns the fields for the log; `position` is the sequence number of a stored delivery.
    pub fn names(&self, position: Option<u64>) -> Names<'_> {
        Names {
            request_id: Some(&self.request),
            adobe_delivery_id: harmless(self.adobe_delivery.as_ref()),
            adobe_event_id: harmless(self.adobe_event.as_ref()),
            client: self.client,
            position,
            ..Names::default()
        }
    }

    /// Writes the ids into the answer's headers.
    pub fn answer(&self, headers: &mut HeaderMap, position: Option<u64>, said: Option<Said>) {
        if let Ok(id) = HeaderValue::from_str(&self.request) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(position) = position {
            headers.insert(POSITION, position.into());
        }
        if let Some(said) = said {
            headers.insert(ANSWER, HeaderValue::from_static(said.as_str()));
        }
    }
}

fn harmless(value: Option<&HeaderValue>) -> Option<&str> {
    value?.to_str().ok().filter(|id| is_harmless(id))
}

/// Returns whether a stranger's id is short and has no characters that programs reading logs could interpret.
fn is_harmless(id: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(legal)
}

/// Makes an id of a random part for this process and a counter, so that two replicas never make the same.
fn next() -> String {
    static PROCESS: LazyLock<String> = LazyLock::new(|| {
        let mut random = Uuid::new_v4().simple().to_string();
        random.truncate(12);
        random
    });
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("{}-{}", *PROCESS, COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Ids {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        Ids::of(&HeaderMap::from_iter([(REQUEST_ID, value)]), None)
    }

    #[test]
    fn a_senders_own_id_is_taken_when_it_can_do_no_harm() {
        for good in ["1", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "a.B_9-", &"x".repeat(64)] {
            assert_eq!(of(good).request(), good);
        }
        for bad in ["", "a b", "a\"b", "${jndi:x}", "ä", "a,b", &"x".repeat(65)] {
            assert_ne!(of(bad).request(), bad);
            assert!(is_harmless(of(bad).request()), "{bad}");
        }
    }

    #[test]
    fn ids_of_ours_are_all_different() {
        let none = || Ids::of(&HeaderMap::new(), None).request().to_owned();
        assert_ne!(none(), none());
    }
}
