//! A sender that repeats every delivery, and two sources that bring the same events, while the bridge
//! is killed again and again: each event is on its topic once, but for what was in flight when it died.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    broker, exactly_once,
    ledger::{Comparison, Ledger},
    support::{
        batches::{Batch, Random, Subscription},
        bridge::{Bridge, LEADS, Settings, TOKEN},
        http::Client,
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(240);
/// The other source of the same events.
const OTHER: &str = "/v1/other";
/// A delivery is sent again through each source when this many others have been.
const LATER: usize = 6;
const EVENTS: usize = 100;

fn settings(address: &str, prefix: &str) -> Settings {
    Settings::new(address, prefix)
        .set("SOURCES__OTHER__KIND", "marketo-lead-activity")
        .set("SOURCES__OTHER__AUTH__TOKENS", TOKEN)
}

/// What the sender and the killer share.
struct Line {
    /// Where the bridge is now: another port after each start.
    address: Mutex<SocketAddr>,
    answered: AtomicUsize,
    kills: AtomicUsize,
    stop: AtomicBool,
}

impl Line {
    fn to(bridge: &Bridge) -> Self {
        Self {
            address: Mutex::new(bridge.deliveries()),
            answered: AtomicUsize::new(0),
            kills: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        }
    }

    fn goes_to(&self, bridge: &Bridge) {
        *self.address.lock().expect("nobody panics with it") = bridge.deliveries();
    }

    fn address(&self) -> SocketAddr {
        *self.address.lock().expect("nobody panics with it")
    }

    /// Delivers until it is answered 200, however often the bridge dies meanwhile: each of these
    /// attempts may count.
    fn deliver(&self, path: &str, batch: &Batch) {
        loop {
            let address = self.address();
            match Client::new(address).deliver(path, TOKEN, &batch.body) {
                Ok(answer) if answer.status == 200 => break,
                Ok(answer) => panic!("answered {}: {}", answer.status, answer.text()),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    wait::until("the bridge to be back", PATIENCE, || self.address() != address);
                }
                Err(_) => {}
            }
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends each batch twice in a row, the second time through the other source, and both again
    /// later. Says how often the bridge had been killed before each was first sent.
    fn send(&self, mut subscription: Subscription) -> Vec<(Batch, usize)> {
        let mut done = Vec::new();
        let mut sent = VecDeque::new();
        while !self.stop.load(Ordering::Relaxed) {
            let (batch, before) = (subscription.batch_of(EVENTS), self.kills());
            for path in [LEADS, OTHER] {
                self.deliver(path, &batch);
            }
            sent.push_back((batch, before));
            if sent.len() > LATER {
                let (batch, before) = sent.pop_front().expect("it is not empty");
                for path in [OTHER, LEADS] {
                    self.deliver(path, &batch);
                }
                done.push((batch, before));
            }
        }
        done.extend(sent);
        done
    }

    fn kills(&self) -> usize {
        self.kills.load(Ordering::Relaxed)
    }
}

#[test]
fn whatever_senders_repeat_is_on_its_topic_once_but_for_what_was_in_flight_at_a_kill() {
    let address = broker::shared();
    let prefix = broker::own_prefix("repeats");
    let kills = if std::env::var_os("TEST_LONG").is_some() { 50 } else { 10 };
    let (batches, comparison) = repeat_and_kill(&address, &prefix, kills, |settings| settings);
    // However many copies were in flight or waited in the spools: each process brings an event once at
    // most.
    for (batch, before) in &batches {
        let kills = kills - before;
        for guid in batch.events.iter().map(|sent| &sent.guid) {
            let times = comparison.times[guid];
            assert!(times <= 1 + kills, "{guid}: {times} records, {kills} kills");
        }
    }
}

#[test]
fn in_transactions_whatever_senders_repeat_is_on_its_topic_once_however_often_it_is_killed() {
    let address = broker::shared();
    let prefix = broker::own_prefix("once");
    let kills = if std::env::var_os("TEST_LONG").is_some() { 50 } else { 5 };
    let (_, comparison) = repeat_and_kill(&address, &prefix, kills, |settings| {
        exactly_once::turn_on(settings, &prefix)
    });
    assert_eq!(comparison.repeated, 0, "{:?}", comparison.times.iter().find(|(_, n)| **n > 1));
}

/// Batches, each with how often the bridge had been killed before it was first sent.
fn repeat_and_kill(
    address: &str,
    prefix: &str,
    kills: usize,
    with: impl Fn(Settings) -> Settings,
) -> (Vec<(Batch, usize)>, Comparison) {
    let mut bridge = Bridge::start(with(settings(address, prefix)));
    let line = Line::to(&bridge);
    let mut random = Random(0x7265_7065_6174_7321);
    let mut duplicates = [0.0; 2];
    let mut count_duplicates = |bridge: &Bridge| {
        for (sum, owner) in duplicates.iter_mut().zip(["leads", "other"]) {
            let owner = format!("owner=\"{owner}\"");
            *sum += bridge.metric("millrace_duplicates_total", &["source=\"leads\"", &owner]);
        }
    };

    let batches = thread::scope(|scope| {
        let subscription = Subscription::new("999-REP-001", 20);
        let sender = scope.spawn(|| line.send(subscription));
        for _ in 0..kills {
            let answered = line.answered.load(Ordering::Relaxed) + 10 + random.below(60);
            wait::until("answers", PATIENCE, || {
                line.answered.load(Ordering::Relaxed) >= answered || sender.is_finished()
            });
            count_duplicates(&bridge);
            // Anywhere between a claim and its acknowledgement.
            thread::sleep(Duration::from_micros(random.below(5_000) as u64));
            bridge.kill();
            line.kills.fetch_add(1, Ordering::Relaxed);
            bridge.restart();
            line.goes_to(&bridge);
        }
        line.stop.store(true, Ordering::Relaxed);
        sender.join().expect("a sender whose every answer is 200")
    });

    bridge.wait_until_drained(PATIENCE);
    count_duplicates(&bridge);
    let mut ledger = Ledger::of_racing_sources(prefix);
    batches.iter().for_each(|(batch, _)| ledger.acknowledged(batch.clone()));
    let comparison = ledger.compare(address);
    comparison.assert_whole("repeating senders and a killed bridge");
    let [same, other] = duplicates;
    println!(
        "{kills} kills; {same} repeats of the same source passed over, {other} of the other one"
    );
    assert!(same > 0.0 && other > 0.0, "both kinds of repeats are passed over");
    (batches, comparison)
}

#[test]
fn two_sources_of_the_same_events_put_each_on_its_topic_once_also_after_a_stop_and_after_a_kill() {
    let address = broker::shared();
    let prefix = broker::own_prefix("parallel");
    let mut bridge = Bridge::start(settings(&address, &prefix));
    let mut subscription = Subscription::new("999-PAR-002", 20);
    let batches: Vec<_> = (0..20).map(|_| subscription.batch_of(EVENTS)).collect();
    let events = 20.0 * EVENTS as f64;
    let line = Line::to(&bridge);
    let deliver_side_by_side = || {
        thread::scope(|scope| {
            for path in [LEADS, OTHER] {
                let (line, batches) = (&line, &batches);
                scope.spawn(move || batches.iter().for_each(|batch| line.deliver(path, batch)));
            }
        });
    };
    deliver_side_by_side();
    bridge.wait_until_drained(PATIENCE);
    let passed_over = |bridge: &Bridge| bridge.metric("millrace_duplicates_total", &[]);
    assert_eq!(passed_over(&bridge), events, "one of each two");

    for killed in [false, true] {
        if killed {
            bridge.kill();
        } else {
            bridge.terminate();
            assert_eq!(bridge.wait(PATIENCE).code(), Some(0));
        }
        bridge.restart();
        line.goes_to(&bridge);
        deliver_side_by_side();
        bridge.wait_until_drained(PATIENCE);
        assert_eq!(passed_over(&bridge), 2.0 * events, "killed: {killed}");
    }

    let mut ledger = Ledger::of_racing_sources(&prefix);
    batches.into_iter().for_each(|batch| ledger.acknowledged(batch));
    let comparison = ledger.compare(&address);
    comparison.assert_whole("two sources of the same events");
    assert_eq!(comparison.repeated, 0);
}
