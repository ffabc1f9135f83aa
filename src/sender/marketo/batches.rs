//! The headers of a batch from Marketo: the token, and the content type.

use std::ops::RangeInclusive;

use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use crate::sender::{delivery::Delivery, generator::Generator, player::Maker, random::Random};

/// A subscription's batches, in requests as Marketo sends them.
pub struct Batches {
    generator: Generator,
    sizes: Random,
    size: RangeInclusive<u32>,
    headers: HeaderMap,
}

impl Batches {
    /// `authorization` is the whole value of the header, e.g. `Bearer 5ecret`; `None` when no header
    /// can carry it.
    pub fn new(
        generator: Generator,
        size: RangeInclusive<u32>,
        authorization: &str,
    ) -> Option<Self> {
        let mut authorization = HeaderValue::from_str(authorization).ok()?;
        authorization.set_sensitive(true);
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization), (CONTENT_TYPE, json)]);
        Some(Self { sizes: generator.sizes(), generator, size, headers })
    }
}

impl Maker for Batches {
    fn lane(&self) -> u16 {
        self.generator.subscription()
    }

    fn make(&mut self, now: u64) -> Delivery {
        let (least, most) = self.size.clone().into_inner();
        let events = self.sizes.between(u64::from(least), u64::from(most));
        let batch = self.generator.batch(u32::try_from(events).unwrap_or(most), now);
        Delivery {
            number: batch.number,
            events: batch.events,
            headers: self.headers.clone(),
            body: batch.body,
            tries: 0,
        }
    }

    fn headers(&mut self, delivery: &Delivery) -> HeaderMap {
        delivery.headers.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_goes_out_as_json_with_the_token_and_keeps_to_its_sizes() {
        let batches = |authorization| Batches::new(Generator::new(1, 1, 0), 2..=5, authorization);
        assert!(batches("Bearer a\nb").is_none(), "no header can carry that");
        let mut batches = batches("Bearer 5ecret").unwrap();
        let made: Vec<_> = (0..20).map(|_| batches.make(0)).collect();
        assert!(made.iter().zip(0..).all(|(delivery, number)| delivery.number == number));
        assert!(made.iter().all(|delivery| (2..=5).contains(&delivery.events)));
        assert!(made.iter().any(|d| d.events == 2) && made.iter().any(|d| d.events == 5));
        let headers = batches.headers(&made[0]);
        assert_eq!(headers[AUTHORIZATION], "Bearer 5ecret");
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert!(!format!("{headers:?}").contains("5ecret"));
    }
}
