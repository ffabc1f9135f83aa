//! Deliveries that are made ahead and sent again and again, for loads at which making and signing each would be
//! the bottleneck. Their ids repeat, so a receiver with deduplication recognises repeats.

use std::time::SystemTime;

use http::HeaderMap;

use super::{delivery::Delivery, player::Maker};

/// A maker that only repeats deliveries.
pub struct Prepared<M> {
    maker: M,
    deliveries: Vec<Delivery>,
    number: u64,
}

impl<M: Maker> Prepared<M> {
    /// Makes `count` deliveries, at least one.
    pub fn new(mut maker: M, count: usize) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let deliveries = (0..count.max(1)).map(|_| maker.make(now)).collect();
        Self { maker, deliveries, number: 0 }
    }
}

impl<M: Maker> Maker for Prepared<M> {
    fn lane(&self) -> u16 {
        self.maker.lane()
    }

    fn make(&mut self, _now: u64) -> Delivery {
        let number = self.number;
        self.number += 1;
        let index = number % self.deliveries.len() as u64;
        Delivery { number, ..self.deliveries[index as usize].clone() }
    }

    fn headers(&mut self, delivery: &Delivery) -> HeaderMap {
        self.maker.headers(delivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sender::{generator::Generator, marketo::Batches};

    #[test]
    fn deliveries_come_round_again_under_new_numbers() {
        let batches = Batches::new(Generator::new(1, 1, 0), 1..=1, "Bearer x").unwrap();
        let mut prepared = Prepared::new(batches, 2);
        let made: Vec<_> = (0..4).map(|_| prepared.make(0)).collect();
        assert!(made.iter().zip(0..).all(|(delivery, number)| delivery.number == number));
        assert_ne!(made[0].body, made[1].body);
        assert!(made[0].body == made[2].body && made[1].body == made[3].body);
    }
}
