//! The schedule of the demo's broker. Time is an argument.

use std::time::Duration;

/// The broker is away in the third quarter of every period.
#[derive(Clone, Copy, Debug)]
pub struct Outages {
    period: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    There,
    /// The time until it comes back.
    Away(Duration),
}

impl Outages {
    pub fn every(period: Duration) -> Self {
        Self { period: period.max(Duration::from_millis(1)) }
    }

    /// Returns the state of the broker; `elapsed` counts from the beginning of the demo.
    pub fn broker(&self, elapsed: Duration) -> Broker {
        let within = elapsed.as_nanos() % self.period.as_nanos();
        let quarter = self.period.as_nanos() / 4;
        if within < 2 * quarter || within >= 3 * quarter {
            return Broker::There;
        }
        Broker::Away(Duration::from_nanos(u64::try_from(3 * quarter - within).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_is_away_for_a_quarter_from_half_way_on_in_every_period() {
        let outages = Outages::every(Duration::from_secs(40));
        let at = |seconds| outages.broker(Duration::from_secs(seconds));
        for there in [0, 19, 30, 39, 40, 59, 70, 79] {
            assert_eq!(at(there), Broker::There, "at {there} s");
        }
        assert_eq!(at(20), Broker::Away(Duration::from_secs(10)));
        assert_eq!(at(29), Broker::Away(Duration::from_secs(1)));
        assert_eq!(at(61), Broker::Away(Duration::from_secs(9)));
    }
}
