//! The account of one sender: the fate of its deliveries, and the consequences that a real sender would have drawn.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    adobe::State,
    delivery::Fate,
    http::Answer,
    player::{Answered, Attempt},
    statistics::{Statistics, Times},
};

/// A number of deliveries, and of the events in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub deliveries: u64,
    pub events: u64,
}

impl Amount {
    fn add(&mut self, events: u32) {
        self.deliveries += 1;
        self.events += u64::from(events);
    }
}

/// One sender's account, over all its lanes.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Requests, including retries.
    pub tries: u64,
    /// Bytes of the bodies of all requests.
    pub bytes: u64,
    /// Deliveries that were sent at least once.
    pub sent: Amount,
    /// Deliveries that were answered with a 2xx.
    pub delivered: Amount,
    /// Deliveries that were not delivered and are not sent again.
    pub lost: Amount,
    /// Number of times that a lane was paused.
    pub pauses: u64,
    /// Lanes that are paused now.
    pub paused: BTreeSet<u16>,
    /// Answers and their times, counted from the time at which the request was due.
    pub answers: Statistics,
    /// The times, counted from the time at which the request was sent.
    pub service: Times,
    /// Delays of requests by the sender's own fault.
    pub lag: Times,
    /// Counts of the reasons for missing answers; the first few reasons only.
    pub silences: BTreeMap<String, u64>,
    /// Deliveries that were dropped before they were ever sent, by lane.
    dropped: BTreeMap<u16, u64>,
}

/// Different reasons for missing answers that are counted.
const MAX_SILENCES: usize = 10;

impl Account {
    /// Counts a request before it is sent and again with its answer, as [`play`](super::play) calls it.
    pub fn hear(&mut self, attempt: &Attempt<'_>) {
        match &attempt.answered {
            None => self.sending(attempt),
            Some(answered) => self.answered(attempt, answered),
        }
    }

    fn sending(&mut self, attempt: &Attempt<'_>) {
        self.tries += 1;
        self.bytes += attempt.bytes as u64;
        if attempt.r#try == 1 {
            self.sent.add(attempt.events);
        }
    }

    fn answered(&mut self, attempt: &Attempt<'_>, answered: &Answered<'_>) {
        self.answers.record(answered.answer, answered.since_due);
        self.lag.record(answered.lag);
        match answered.answer {
            Answer::Status(_) => self.service.record(answered.since_sent),
            Answer::None(why)
                if self.silences.len() < MAX_SILENCES || self.silences.contains_key(why) =>
            {
                *self.silences.entry(why.clone()).or_default() += 1;
            }
            Answer::None(_) => {}
        }
        match answered.fate {
            Fate::Delivered => self.delivered.add(attempt.events),
            Fate::Lost => self.lost.add(attempt.events),
            Fate::Again => {}
        }
        if !attempt.paused {
            self.paused.remove(&attempt.lane);
        } else if self.paused.insert(attempt.lane) {
            self.pauses += 1;
        }
        if attempt.dropped > 0 {
            self.dropped.insert(attempt.lane, attempt.dropped);
        }
    }

    /// Adds another sender's account.
    pub fn add(&mut self, other: &Self) {
        self.tries += other.tries;
        self.bytes += other.bytes;
        for (own, others) in [
            (&mut self.sent, other.sent),
            (&mut self.delivered, other.delivered),
            (&mut self.lost, other.lost),
        ] {
            own.deliveries += others.deliveries;
            own.events += others.events;
        }
        self.answers.add(&other.answers);
    }

    /// Returns the deliveries that are neither delivered nor lost so far.
    pub fn undecided(&self) -> Amount {
        let left = |of: fn(&Amount) -> u64| {
            of(&self.sent).saturating_sub(of(&self.delivered)).saturating_sub(of(&self.lost))
        };
        Amount { deliveries: left(|a| a.deliveries), events: left(|a| a.events) }
    }

    /// Returns the deliveries that waited too long in the sender's queue and were never sent.
    pub fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }
}

/// One action that a real sender would have taken, or one loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    NothingSent,
    /// The endpoint did not return the challenge, so there is no registration.
    Refused(String),
    Lost(Amount),
    /// Batches that stayed in Marketo's queue for more than seven days.
    Dropped(u64),
    Undecided(Amount),
    /// The number of pauses, and of lanes that are paused now.
    Paused {
        times: u64,
        now: usize,
    },
    Unstable,
    Disabled,
}

/// Returns the consequences that a real Marketo would have drawn.
pub fn of_marketo(account: &Account) -> Vec<Consequence> {
    let mut found = common(account);
    if account.pauses > 0 {
        let times = account.pauses;
        let now = account.paused.len();
        found.push(Consequence::Paused { times, now });
    }
    if account.dropped() > 0 {
        found.push(Consequence::Dropped(account.dropped()));
    }
    found
}

/// Returns the consequences that a real Adobe I/O would have drawn. `worst` is the registration's worst state so far.
pub fn of_adobe(account: &Account, worst: State) -> Vec<Consequence> {
    let mut found = common(account);
    match worst {
        State::Active => {}
        State::Unstable => found.push(Consequence::Unstable),
        State::Disabled => found.push(Consequence::Disabled),
    }
    found
}

fn common(account: &Account) -> Vec<Consequence> {
    let mut found = Vec::new();
    if account.sent.deliveries == 0 {
        found.push(Consequence::NothingSent);
    }
    if account.lost.deliveries > 0 {
        found.push(Consequence::Lost(account.lost));
    }
    let undecided = account.undecided();
    if undecided.deliveries > 0 {
        found.push(Consequence::Undecided(undecided));
    }
    found
}

impl Consequence {
    /// Returns the consequence's name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NothingSent => "nothing-sent",
            Self::Refused(_) => "refused",
            Self::Lost(_) => "lost",
            Self::Dropped(_) => "dropped",
            Self::Undecided(_) => "undecided",
            Self::Paused { .. } => "paused",
            Self::Unstable => "unstable",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deliveries, events } = self;
        let [d, e] = [deliveries, events].map(|n| if *n == 1 { "" } else { "s" });
        let delivery = if d.is_empty() { "delivery" } else { "deliveries" };
        write!(f, "{events} event{e} in {deliveries} {delivery}")
    }
}

impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingSent => f.write_str("nothing was sent"),
            Self::Refused(why) => {
                write!(
                    f,
                    "the endpoint does not pass the challenge, so nothing is ever sent: {why}"
                )
            }
            Self::Lost(amount) => write!(f, "{amount} lost: they are not sent again"),
            Self::Dropped(deliveries) => {
                write!(f, "{deliveries} batches were dropped from a queue that keeps seven days")
            }
            Self::Undecided(amount) => {
                write!(f, "{amount} not delivered when the play ended; they would be sent again")
            }
            Self::Paused { times, now: 0 } => {
                write!(f, "subscriptions were paused, {times} in all, and enabled again")
            }
            Self::Paused { times, now } => {
                write!(f, "subscriptions were paused, {times} in all, and {now} still are")
            }
            Self::Unstable => f.write_str(
                "the registration was unstable: it is disabled if that lasts for another day",
            ),
            Self::Disabled => f.write_str(
                "the registration was disabled: an operator must enable it again, and the missed \
                 events are in the journal only",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    /// Counts a try of a delivery of ten events, with its answer.
    fn tell(
        account: &mut Account,
        delivery: u64,
        r#try: u32,
        status: u16,
        fate: Fate,
        paused: bool,
    ) {
        let mut attempt = Attempt {
            lane: 0,
            delivery,
            events: 10,
            bytes: 100,
            r#try,
            answered: None,
            paused: false,
            dropped: 0,
        };
        account.hear(&attempt);
        let answer = Answer::Status(StatusCode::from_u16(status).unwrap());
        let time = Duration::from_millis(1);
        attempt.answered =
            Some(Answered { answer: &answer, fate, since_due: time, since_sent: time, lag: time });
        attempt.paused = paused;
        account.hear(&attempt);
    }

    #[test]
    fn a_delivery_that_arrives_in_the_end_has_no_consequence() {
        let mut account = Account::default();
        tell(&mut account, 0, 1, 503, Fate::Again, false);
        assert_eq!(of_adobe(&account, State::Active).len(), 1, "it is undecided");
        tell(&mut account, 0, 2, 200, Fate::Delivered, false);
        assert_eq!((account.tries, account.sent.deliveries), (2, 1));
        assert_eq!(account.delivered, Amount { deliveries: 1, events: 10 });
        assert_eq!(of_adobe(&account, State::Active), []);
        assert_eq!(of_marketo(&account), []);
    }

    #[test]
    fn each_trouble_is_named() {
        let mut account = Account::default();
        assert_eq!(of_marketo(&account), [Consequence::NothingSent]);
        tell(&mut account, 0, 1, 400, Fate::Lost, false);
        tell(&mut account, 1, 1, 503, Fate::Again, true);
        tell(&mut account, 1, 2, 503, Fate::Again, true);
        let one = 1;
        let ten = 10;
        let amount = Amount { deliveries: one, events: ten };
        let mut expected = vec![Consequence::Lost(amount), Consequence::Undecided(amount)];
        expected.push(Consequence::Paused { times: 1, now: 1 });
        assert_eq!(of_marketo(&account), expected);
        expected[2] = Consequence::Disabled;
        assert_eq!(of_adobe(&account, State::Disabled), expected);
        expected[2] = Consequence::Unstable;
        assert_eq!(of_adobe(&account, State::Unstable), expected);
        tell(&mut account, 1, 3, 200, Fate::Delivered, false);
        let text = of_marketo(&account).iter().map(Consequence::to_string).collect::<Vec<_>>();
        let lost = "10 events in 1 delivery lost: they are not sent again";
        assert_eq!(text, [lost, "subscriptions were paused, 1 in all, and enabled again"]);
    }
}
