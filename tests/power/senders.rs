//! Senders that push while the power is cut, and the books of when each batch was sent and answered.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::support::{
    batches::{Batch, Random, Subscription},
    bridge::{Bridge, LEADS, TOKEN},
    http::Client,
    wait,
};

pub const PATIENCE: Duration = Duration::from_secs(240);
pub const SENDERS: usize = 4;
/// From one batch to the next, and from a 503 to the next attempt.
const PACE: Duration = Duration::from_millis(4);
/// A batch that is sent again is so behind as many others.
const LATER: usize = 5;

/// The state that the senders share with the test that cuts the power.
pub struct Line {
    /// Where the service is now: another port after each start.
    address: Mutex<SocketAddr>,
    cuts: AtomicUsize,
    answered: AtomicUsize,
    unanswered: AtomicUsize,
    repeated: AtomicUsize,
    rest: AtomicBool,
    resting: AtomicUsize,
    stop: AtomicBool,
}

/// A batch, by the number of cuts that there had been.
pub struct Sent {
    pub batch: Batch,
    /// An element in it that is no activity.
    pub unfit: String,
    /// When it was first sent.
    pub first: usize,
    /// When it was first answered 200.
    pub answered: Option<usize>,
    /// How often it was sent.
    pub tries: usize,
}

impl Line {
    pub fn to(bridge: &Bridge) -> Self {
        Self {
            address: Mutex::new(bridge.deliveries()),
            cuts: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
            rest: AtomicBool::new(false),
            resting: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        }
    }

    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Requests that a cut left without an answer.
    pub fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::SeqCst)
    }

    /// Batches that were answered 200 twice.
    pub fn repeated(&self) -> usize {
        self.repeated.load(Ordering::SeqCst)
    }

    /// The process is gone.
    pub fn was_cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }

    pub fn goes_to(&self, bridge: &Bridge) {
        *self.address.lock().expect("no holder of the lock panics") = bridge.deliveries();
    }

    /// All senders have their answers, and send nothing before [`Line::go_on`].
    #[track_caller]
    pub fn rest(&self) {
        self.rest.store(true, Ordering::SeqCst);
        wait::until("senders at rest", PATIENCE, || self.resting.load(Ordering::SeqCst) == SENDERS);
    }

    pub fn go_on(&self) {
        self.rest.store(false, Ordering::SeqCst);
        wait::until("senders at work", PATIENCE, || self.resting.load(Ordering::SeqCst) == 0);
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Sends until told to stop. What a cut leaves unanswered is mostly sent again; what was answered is
    /// so now and then, too.
    pub fn send(&self, number: usize) -> Vec<Sent> {
        let mut subscription = Subscription::new(&format!("999-PWR-{number:03}"), 20);
        let mut random = Random(0x706f_7765_7200 + number as u64);
        let mut done = Vec::new();
        let mut again = VecDeque::new();
        while !self.stop.load(Ordering::SeqCst) {
            self.rest_if_asked();
            // Most within a page or two, and some over many.
            let events = if random.below(12) == 0 { 200 } else { 1 + random.below(20) };
            let mut batch = subscription.batch_of(events);
            let unfit = format!("\"no activity, beside {}\"", batch.events[0].guid);
            batch.body.truncate(batch.body.len() - "]}".len());
            batch.body.extend_from_slice(format!(",{unfit}]}}").as_bytes());
            let first = self.cuts.load(Ordering::SeqCst);
            let (answered, tries) = self.deliver(&batch.body, random.below(4) > 0);
            if answered.is_some() && random.below(6) == 0 {
                again.push_back(done.len());
            }
            done.push(Sent { batch, unfit, first, answered, tries });
            if again.front().is_some_and(|place| place + LATER < done.len())
                && let Some(place) = again.pop_front()
            {
                done[place].tries += self.deliver(&done[place].batch.body, true).1;
                self.repeated.fetch_add(1, Ordering::SeqCst);
            }
            thread::sleep(PACE); // the pace of a sender, no waiting for anything
        }
        done
    }

    fn rest_if_asked(&self) {
        if self.rest.load(Ordering::SeqCst) {
            self.resting.fetch_add(1, Ordering::SeqCst);
            wait::until("the end of the rest", PATIENCE, || !self.rest.load(Ordering::SeqCst));
            self.resting.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// How many cuts there had been when it was answered 200; `None` if a cut left it unanswered and the
    /// sender does not insist. And how often it was sent.
    fn deliver(&self, body: &[u8], insists: bool) -> (Option<usize>, usize) {
        let mut tries = 0;
        loop {
            tries += 1;
            let address = *self.address.lock().expect("no holder of the lock panics");
            match Client::new(address).deliver(LEADS, TOKEN, body) {
                Ok(answer) if answer.status == 200 => {
                    let cuts = self.cuts.load(Ordering::SeqCst);
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    return (Some(cuts), tries);
                }
                Ok(answer) if answer.status == 503 => thread::sleep(PACE),
                Ok(answer) => panic!("answered {}: {}", answer.status, answer.text()),
                Err(_) => {
                    self.unanswered.fetch_add(1, Ordering::SeqCst);
                    wait::until("the service to be back", PATIENCE, || {
                        *self.address.lock().expect("no holder of the lock panics") != address
                    });
                    if !insists {
                        return (None, tries);
                    }
                }
            }
        }
    }
}
