//! The counts of the demo, shared by the senders, the consumer and the view.

use std::collections::BTreeSet;

use parking_lot::{Mutex, MutexGuard};

use crate::sender::{Answered, Attempt, Ledger, Statistics};

/// Counts everything that happens outside of the service.
pub struct Books(Mutex<Inner>);

pub struct Inner {
    /// The events of all senders: a topic does not say who filled it.
    pub ledger: Ledger,
    pub senders: Vec<Side>,
    broker_is_away: bool,
}

/// The counts of one sender.
#[derive(Clone, Debug, Default)]
pub struct Side {
    pub name: &'static str,
    /// Requests sent, including retries.
    pub requests: u64,
    /// Answers to requests that were sent while the broker was there, and while it was away.
    pub there: Statistics,
    pub away: Statistics,
    /// Lanes that are paused.
    pub paused: BTreeSet<u16>,
}

impl Books {
    /// Starts the counts of senders with these names.
    pub fn new(ledger: Ledger, senders: &[&'static str]) -> Self {
        let page = |name: &&'static str| Side { name, ..Side::default() };
        let senders = senders.iter().map(page).collect();
        Self(Mutex::new(Inner { ledger, senders, broker_is_away: false }))
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        // The lock does not poison: after a panic while counting, the counts are still worth showing.
        self.0.lock()
    }

    pub fn broker_is_away(&self, away: bool) {
        self.lock().broker_is_away = away;
    }

    /// Returns a callback for [`play`](crate::sender::play) that counts the requests and answers of one lane of
    /// the `sender`th sender.
    pub fn watcher(&self, sender: usize) -> impl FnMut(&Attempt<'_>) + '_ {
        let mut sent_while_away = false;
        move |attempt| match &attempt.answered {
            None => sent_while_away = self.lock().sending(sender, attempt),
            Some(answered) => self.lock().answered(sender, attempt, answered, sent_while_away),
        }
    }
}

impl Inner {
    /// Counts a request; returns whether the broker is away.
    fn sending(&mut self, sender: usize, attempt: &Attempt<'_>) -> bool {
        self.senders[sender].requests += 1;
        self.ledger.sending(attempt.lane, attempt.delivery, attempt.events);
        self.broker_is_away
    }

    fn answered(
        &mut self,
        sender: usize,
        attempt: &Attempt<'_>,
        answered: &Answered<'_>,
        away: bool,
    ) {
        let side = &mut self.senders[sender];
        let statistics = if away { &mut side.away } else { &mut side.there };
        statistics.record(answered.answer, answered.since_sent);
        if answered.answer.is_accepted() {
            self.ledger.acknowledged(attempt.lane, attempt.delivery);
        }
        if attempt.paused {
            side.paused.insert(attempt.lane);
        } else {
            side.paused.remove(&attempt.lane);
        }
    }

    /// Returns the sums over all senders.
    pub fn all(&self) -> Side {
        let mut all = Side::default();
        for side in &self.senders {
            all.requests += side.requests;
            all.there.add(&side.there);
            all.away.add(&side.away);
            all.paused.extend(&side.paused);
        }
        all
    }
}

impl Side {
    /// Returns all answers, with the broker there or away.
    pub fn answers(&self) -> Statistics {
        let mut all = self.there.clone();
        all.add(&self.away);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::sender::{Answer, Fate};

    #[test]
    fn an_answer_counts_for_its_sender_and_where_its_request_was_sent() {
        let books = Books::new(Ledger::new(1, 1, 1), &["one", "two"]);
        let mut watch = books.watcher(1);
        let ok = Answer::Status(StatusCode::OK);
        let mut attempt = Attempt {
            lane: 1,
            delivery: 0,
            events: 3,
            bytes: 1,
            r#try: 1,
            answered: None,
            paused: false,
            dropped: 0,
        };
        watch(&attempt);
        books.broker_is_away(true);
        let time = Duration::from_millis(1);
        let fate = Fate::Delivered;
        attempt.answered =
            Some(Answered { answer: &ok, fate, since_due: time, since_sent: time, lag: time });
        watch(&attempt);
        let inner = books.lock();
        let [one, two] = &inner.senders[..] else { panic!("two pages") };
        assert_eq!((one.requests, two.requests), (0, 1));
        assert_eq!((two.there.answered(), two.away.answered()), (1, 0));
        assert_eq!(inner.all().answers().answered(), 1);
        assert_eq!(inner.ledger.tally().acknowledged, 3);
    }
}
