//! Kafka that is there, away, and on its way back.

use crate::{broker::Broker, support::batches::Random};

/// A broker that is taken away and comes back.
pub struct Kafka {
    broker: Broker,
    /// Whether it may be killed. A single broker that is killed within a transaction can forget how that
    /// ended (README.md), so that in transactions it is frozen instead.
    may_die: bool,
    is_dead: bool,
}

impl Kafka {
    #[track_caller]
    pub fn start(may_die: bool) -> Self {
        Self { broker: Broker::start(), may_die, is_dead: false }
    }

    pub fn address(&self) -> String {
        self.broker.address()
    }

    pub fn go_away(&mut self, random: &mut Random) {
        self.is_dead = self.may_die && random.below(2) == 0;
        match self.is_dead {
            true => self.broker.kill(),
            false => self.broker.freeze(),
        }
    }

    /// It is on its way; [`Kafka::is_back`] waits for it.
    pub fn come_back(&mut self) {
        match self.is_dead {
            true => self.broker.relaunch(),
            false => self.broker.thaw(),
        }
    }

    pub fn is_back(&mut self) {
        self.broker.wait_until_ready(1);
    }
}
