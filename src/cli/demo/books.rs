//! What the demo knows, shared by those who send, those who read and the one who shows it.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::sender::{Answer, Attempt, Ledger, Statistics};

/// Everything that is counted outside of the service.
pub struct Books(Mutex<Inner>);

pub struct Inner {
    pub ledger: Ledger,
    /// Requests sent, each try counted.
    pub requests: u64,
    /// Answers to requests that were sent while the broker was there, and while it was away.
    pub there: Statistics,
    pub away: Statistics,
    /// Subscriptions that are paused.
    pub paused: BTreeSet<u16>,
    broker_is_away: bool,
}

impl Books {
    pub fn new(run: u32, subscriptions: u16) -> Self {
        Self(Mutex::new(Inner {
            ledger: Ledger::new(run, subscriptions),
            requests: 0,
            there: Statistics::new(),
            away: Statistics::new(),
            paused: BTreeSet::new(),
            broker_is_away: false,
        }))
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked did so while counting; the counts are still worth showing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn broker_is_away(&self, away: bool) {
        self.lock().broker_is_away = away;
    }

    /// For [`play`](crate::sender::play): hears of every request and every answer of one
    /// subscription.
    pub fn watcher(&self) -> impl FnMut(&Attempt<'_>) + '_ {
        let mut sent_while_away = false;
        move |attempt| match attempt.answer {
            None => sent_while_away = self.lock().sending(attempt),
            Some((answer, elapsed)) => {
                self.lock().answered(attempt, answer, elapsed, sent_while_away);
            }
        }
    }
}

impl Inner {
    /// Returns whether the broker is away.
    fn sending(&mut self, attempt: &Attempt<'_>) -> bool {
        self.requests += 1;
        self.ledger.sending(attempt.subscription, attempt.batch, attempt.events);
        self.broker_is_away
    }

    fn answered(&mut self, attempt: &Attempt<'_>, answer: &Answer, elapsed: Duration, away: bool) {
        let statistics = if away { &mut self.away } else { &mut self.there };
        statistics.record(answer, elapsed);
        if answer.is_accepted() {
            self.ledger.acknowledged(attempt.subscription, attempt.batch);
        }
        if attempt.paused {
            self.paused.insert(attempt.subscription);
        } else {
            self.paused.remove(&attempt.subscription);
        }
    }

    /// All answers.
    pub fn answers(&self) -> Statistics {
        let mut all = self.there.clone();
        all.add(&self.away);
        all
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn an_answer_counts_where_its_request_was_sent() {
        let books = Books::new(1, 1);
        let mut watch = books.watcher();
        let ok = Answer::Status(StatusCode::OK);
        let mut attempt =
            Attempt { subscription: 0, batch: 0, events: 3, r#try: 1, answer: None, paused: false };
        watch(&attempt);
        books.broker_is_away(true);
        attempt.answer = Some((&ok, Duration::from_millis(1)));
        watch(&attempt);
        let inner = books.lock();
        assert_eq!((inner.there.answered(), inner.away.answered()), (1, 0));
        assert_eq!(inner.ledger.tally().acknowledged, 3);
    }
}
