//! `kafka.delivery` and the keys of exactly-once delivery: how often an event may arrive.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    Config, Forward,
    leaf::{Kind, NONZERO_DURATION, string},
    mistake::{Key, Mistakes},
    reading::{Reading, Section},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// `kafka.delivery`
    pub guarantee: Guarantee,
    /// Shortest time between two commits of a source.
    pub commit_interval: Duration,
    /// Time after which the cluster aborts a transaction; `None` derives it from `forward.hold_after`.
    pub transaction_timeout: Option<Duration>,
    /// The beginning of a source's `transactional.id`; its spool's UUID follows.
    pub transactional_id_prefix: String,
}

/// The guarantee for consumers, besides that nothing is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// The last events may arrive again after a crash.
    #[default]
    AtLeastOnce,
    /// Nothing arrives twice, for readers of committed records.
    ExactlyOnce,
}

impl Guarantee {
    pub const ALL: [Self; 2] = [Self::AtLeastOnce, Self::ExactlyOnce];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at-least-once",
            Self::ExactlyOnce => "exactly-once",
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            guarantee: Guarantee::default(),
            commit_interval: Duration::from_millis(500),
            transaction_timeout: None,
            transactional_id_prefix: "millrace-".into(),
        }
    }
}

impl Delivery {
    /// Accepted timeouts: librdkafka rejects shorter ones, and brokers reject longer ones by default
    /// (`transaction.max.timeout.ms`).
    pub const TRANSACTION_TIMEOUTS: RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_secs(15 * 60);

    /// Returns the time after which the cluster aborts a transaction. The default is long enough that a topic
    /// without progress is held before, and that a commit has its time.
    pub fn transaction_timeout(&self, forward: &Forward) -> Duration {
        let follows = (2 * forward.hold_after).max(Duration::from_secs(10));
        self.transaction_timeout.unwrap_or(follows)
    }

    pub fn is_exactly_once(&self) -> bool {
        self.guarantee == Guarantee::ExactlyOnce
    }
}

const PREFIX: Kind<String> = Kind {
    parse: |text| match text.len() <= 200 && text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text.into()),
        false => Err("which cannot begin a transactional.id".into()),
    },
    expected: "Write up to 200 letters, digits and signs, or nothing.",
    show: |text| string(text),
};

pub(super) fn read(reading: &mut Reading, section: &mut Section) -> Delivery {
    let mut delivery = Delivery::default();
    let guarantee = &mut delivery.guarantee;
    reading.set_choice(section, "delivery", &Guarantee::ALL, Guarantee::as_str, guarantee);
    let interval = &mut delivery.commit_interval;
    reading.set(section, "commit_interval", &NONZERO_DURATION, interval);
    let timeout = reading.optional(section, "transaction_timeout", &NONZERO_DURATION);
    delivery.transaction_timeout = timeout.unwrap_or_default();
    let prefix = &mut delivery.transactional_id_prefix;
    reading.set(section, "transactional_id_prefix", &PREFIX, prefix);
    delivery
}

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let Config { kafka, forward, .. } = config;
    if !kafka.delivery.is_exactly_once() {
        return;
    }
    let mut wrong = |key: &str, problem: &str, remedy: &str| {
        mistakes.at(&Key::new(key), problem, remedy);
    };
    let timeout = kafka.delivery.transaction_timeout(forward);
    match kafka.delivery.transaction_timeout {
        None if timeout > *Delivery::TRANSACTION_TIMEOUTS.end() => {
            let problem = "needs transactions of twice its time for exactly-once delivery, and brokers \
                           take no longer ones than 15 minutes (transaction.max.timeout.ms)";
            wrong("forward.hold_after", problem, "Lower it to 7m 30s or less.");
        }
        Some(written) if written <= forward.hold_after => {
            let problem = "is no longer than forward.hold_after, so a topic without progress would end \
                           each transaction before it is held";
            wrong("kafka.transaction_timeout", problem, "Raise it, or lower forward.hold_after.");
        }
        Some(written) if !Delivery::TRANSACTION_TIMEOUTS.contains(&written) => {
            let problem = "is no time that brokers take: 1 second to 15 minutes \
                           (transaction.max.timeout.ms)";
            wrong("kafka.transaction_timeout", problem, "1m is a good start.");
        }
        Some(_) | None => {}
    }
    if kafka.delivery.commit_interval > timeout / 4 {
        let problem = "is above a quarter of the time that a transaction may last \
                       (kafka.transaction_timeout), so transactions would time out before they are \
                       committed";
        wrong("kafka.commit_interval", problem, "Lower it; 500ms is a good start.");
    }
}
