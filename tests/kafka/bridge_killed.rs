//! The bridge itself is killed, again and again, while several senders push as fast as they can.

use std::{
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
    broker,
    ledger::Ledger,
    support::{
        batches::{Random, Subscription},
        bridge::{Bridge, LEADS, Settings, TOKEN},
        http::Client,
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(240);
const SENDERS: usize = 3;

/// What senders and the killer share.
struct Line {
    /// Where the bridge is now: another port after each start.
    address: Mutex<SocketAddr>,
    answered: AtomicUsize,
    /// Requests that were on their way when the bridge was killed.
    unanswered: AtomicUsize,
    /// Senders rest at so many answers: a bridge that lives long must not get more than it can ever deliver.
    enough: AtomicUsize,
    stop: AtomicBool,
}

/// Answers of one life of the bridge before the senders wait for its death.
const A_LIFE: usize = 200;

impl Line {
    fn address(&self) -> SocketAddr {
        *self.address.lock().expect("nobody panics with it")
    }

    fn is_resting(&self) -> bool {
        let answered = self.answered.load(Ordering::Relaxed);
        answered >= self.enough.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed)
    }
}

/// Sends until told to stop. A batch without an answer is sent again, as Marketo does, or, every
/// other time, given up: then nobody knows whether it counts.
fn send(line: &Line, mut subscription: Subscription, prefix: &str) -> Ledger {
    let mut ledger = Ledger::new(prefix);
    let mut gives_up = false;
    while !line.stop.load(Ordering::Relaxed) {
        wait::until("a reason to go on", PATIENCE, || !line.is_resting());
        let batch = subscription.batch_of(100);
        let mut address = line.address();
        let mut client = Client::new(address);
        let answered = loop {
            match client.deliver(LEADS, TOKEN, &batch.body) {
                Ok(answer) if answer.status == 200 => break true,
                Ok(answer) => panic!("answered {}: {}", answer.status, answer.text()),
                Err(error) => {
                    if error.kind() != ErrorKind::ConnectionRefused {
                        line.unanswered.fetch_add(1, Ordering::Relaxed);
                    }
                    wait::until("the bridge to be back", PATIENCE, || line.address() != address);
                    address = line.address();
                    client = Client::new(address);
                    gives_up = !gives_up;
                    if gives_up {
                        break false;
                    }
                }
            }
        };
        if answered {
            line.answered.fetch_add(1, Ordering::Relaxed);
            ledger.acknowledged(batch);
        } else {
            ledger.unanswered(batch);
        }
    }
    ledger
}

#[test]
fn whatever_was_answered_200_is_on_its_topic_however_often_the_bridge_is_killed() {
    let address = broker::shared();
    let prefix = broker::own_prefix("killed");
    let mut bridge = Bridge::start(Settings::new(&address, &prefix));
    let ledger = kill_again_and_again(&mut bridge, &prefix, WITHIN_A_REQUEST, |_| true);
    ledger.compare(&address).assert_whole("a killed bridge");
}

const WITHIN_A_REQUEST: Duration = Duration::from_millis(5);

/// Kills it at a random moment within this time once it `may_die`; returns when everything is
/// delivered.
pub fn kill_again_and_again(
    bridge: &mut Bridge,
    prefix: &str,
    within: Duration,
    may_die: impl Fn(&Bridge) -> bool,
) -> Ledger {
    let kills = if std::env::var_os("TEST_LONG").is_some() { 50 } else { 10 };
    let line = Line {
        address: Mutex::new(bridge.deliveries()),
        answered: AtomicUsize::new(0),
        unanswered: AtomicUsize::new(0),
        enough: AtomicUsize::new(A_LIFE),
        stop: AtomicBool::new(false),
    };
    let mut random = Random(0x6d69_6c6c_7261_6365);
    let mut with_a_batch_unanswered = 0;

    let ledger = thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| {
                let subscription = Subscription::new(&format!("999-KIL-{number:03}"), 20);
                let line = &line;
                scope.spawn(move || send(line, subscription, prefix))
            })
            .collect();
        for _ in 0..kills {
            let answered = line.answered.load(Ordering::Relaxed);
            let unanswered = line.unanswered.load(Ordering::Relaxed);
            let more = 1 + random.below(40);
            wait::until("answers", PATIENCE, || {
                line.answered.load(Ordering::Relaxed) >= answered + more
            });
            wait::until("a bridge that may die", PATIENCE, || may_die(bridge));
            let at_rest = line.answered.load(Ordering::Relaxed);
            line.enough.store(usize::MAX, Ordering::Relaxed);
            wait::until("senders at work", PATIENCE, || {
                line.answered.load(Ordering::Relaxed) > at_rest
            });
            // The condition alone would always look at the same place.
            thread::sleep(Duration::from_micros(random.below(within.as_micros() as usize) as u64));
            bridge.kill();
            wait::until("the senders to notice", PATIENCE, || {
                line.unanswered.load(Ordering::Relaxed) > unanswered
                    || senders.iter().any(thread::ScopedJoinHandle::is_finished)
                    || line.answered.load(Ordering::Relaxed) > answered
            });
            bridge.restart();
            line.enough.store(line.answered.load(Ordering::Relaxed) + A_LIFE, Ordering::Relaxed);
            with_a_batch_unanswered +=
                usize::from(line.unanswered.load(Ordering::Relaxed) > unanswered);
            *line.address.lock().expect("nobody panics with it") = bridge.deliveries();
        }
        line.stop.store(true, Ordering::Relaxed);
        let mut ledger = Ledger::new(prefix);
        for sender in senders {
            ledger.add(sender.join().expect("a sender whose every answer is 200"));
        }
        ledger
    });

    println!("{kills} kills, {with_a_batch_unanswered} of them with a batch unanswered");
    assert!(with_a_batch_unanswered >= kills / 2, "only {with_a_batch_unanswered} of {kills}");
    bridge.wait_until_drained(PATIENCE);
    ledger
}
