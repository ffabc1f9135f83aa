//! The headers of a request from Adobe I/O: signatures, ids, counters.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use uuid::Uuid;

use super::{
    events::{EventGenerator, Shapes},
    signature::{KeyError, Keys},
};
use crate::sender::{delivery::Delivery, player::Maker};

pub const SIGNATURES: [HeaderName; 2] = [
    HeaderName::from_static("x-adobe-digital-signature-1"),
    HeaderName::from_static("x-adobe-digital-signature-2"),
];
pub const KEY_PATHS: [HeaderName; 2] = [
    HeaderName::from_static("x-adobe-public-key1-path"),
    HeaderName::from_static("x-adobe-public-key2-path"),
];
const EVENT_ID: HeaderName = HeaderName::from_static("x-adobe-event-id");
const EVENT_CODE: HeaderName = HeaderName::from_static("x-adobe-event-code");
const PROVIDER: HeaderName = HeaderName::from_static("x-adobe-provider");
const DELIVERY_ID: HeaderName = HeaderName::from_static("x-adobe-delivery-id");
const RETRY_COUNT: HeaderName = HeaderName::from_static("x-adobe-retry-count");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A lane's deliveries, in requests as Adobe I/O sends them.
pub struct Requests {
    generator: EventGenerator,
    keys: Arc<Keys>,
    number: u64,
    /// Headers of every request of this lane.
    fixed: HeaderMap,
}

impl Requests {
    /// Signs once to check that signing works.
    pub fn new(generator: EventGenerator, keys: Arc<Keys>) -> Result<Self, KeyError> {
        keys.sign(b"")?;
        let mut fixed = HeaderMap::new();
        let content_type = match generator.shapes() {
            Shapes::Single => "application/cloudevents+json; charset=UTF-8",
            Shapes::Batch(_) => "application/json",
        };
        fixed.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        fixed.insert(PROVIDER, HeaderValue::from_static("marketo"));
        for (name, path) in KEY_PATHS.into_iter().zip(keys.paths()) {
            insert(&mut fixed, name, &path);
        }
        Ok(Self { generator, keys, number: 0, fixed })
    }
}

/// Returns only the headers with the signatures of `body`.
pub fn signed(keys: &Keys, body: &[u8]) -> Result<HeaderMap, KeyError> {
    let mut headers = HeaderMap::new();
    let signatures = SIGNATURES.into_iter().zip(keys.sign(body)?);
    for (name, value) in signatures.chain(KEY_PATHS.into_iter().zip(keys.paths())) {
        insert(&mut headers, name, &value);
    }
    Ok(headers)
}

/// Adds a header; a value that no header can carry is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

impl Maker for Requests {
    fn lane(&self) -> u16 {
        self.generator.lane()
    }

    fn make(&mut self, now: u64) -> Delivery {
        let made = self.generator.next(now);
        let mut headers = self.fixed.clone();
        insert(&mut headers, EVENT_ID, &made.event_id);
        insert(&mut headers, EVENT_CODE, &made.event_type);
        // `new` has signed before. Should it fail, the receiver refuses the request, which is reported.
        let signatures = self.keys.sign(&made.body).unwrap_or_default();
        for (name, signature) in SIGNATURES.into_iter().zip(signatures) {
            insert(&mut headers, name, &signature);
        }
        let number = self.number;
        self.number += 1;
        Delivery { number, events: made.events, headers, body: made.body, tries: 0 }
    }

    fn headers(&mut self, delivery: &Delivery) -> HeaderMap {
        let mut headers = delivery.headers.clone();
        insert(&mut headers, DELIVERY_ID, &Uuid::new_v4().to_string());
        let trace = Uuid::new_v4().simple();
        let span = Uuid::new_v4().as_u64_pair().0;
        insert(&mut headers, TRACEPARENT, &format!("00-{trace}-{span:016x}-01"));
        if delivery.tries > 0 {
            insert(&mut headers, RETRY_COUNT, &delivery.tries.to_string());
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sender::adobe::Spelling;

    #[test]
    fn a_second_try_has_a_new_delivery_id_and_a_count_and_is_otherwise_the_same() {
        let keys = Arc::new(Keys::generate("Test").unwrap());
        let generator = EventGenerator::new(1, 1, 0, "c", Spelling::Both, Shapes::Single);
        let mut requests = Requests::new(generator, keys).unwrap();
        let mut delivery = requests.make(0);
        let first = requests.headers(&delivery);
        delivery.tries = 1;
        let mut second = requests.headers(&delivery);
        assert!(!first.contains_key(RETRY_COUNT) && second[RETRY_COUNT] == "1");
        assert_ne!(first[DELIVERY_ID], second[DELIVERY_ID]);
        second.remove(RETRY_COUNT);
        for own in [DELIVERY_ID, TRACEPARENT] {
            second.insert(&own, first[&own].clone());
        }
        assert_eq!(first, second);
        let [one, two] = SIGNATURES;
        assert_ne!(first[one], first[two]);
        assert_eq!(first[&KEY_PATHS[0]], "/prod/keys/pub-key-TestA.pem");
        assert_ne!(requests.make(0).headers[EVENT_ID], first[EVENT_ID]);
    }
}
