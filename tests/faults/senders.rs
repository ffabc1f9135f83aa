//! Marketo and Adobe I/O at work, played by the program's own senders by their own rules, and the books
//! of what became of all that they sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use millrace::sender::{
    Account, Act, Answer, Attempt, Clock, Delivery, Endpoint, Generator, Ledger, Post,
    adobe::{
        self, EventGenerator, Keys, Lane, Registration, Requests, Shapes, Spelling, State,
        challenge,
    },
    marketo::{self, Batches, Subscription},
    play,
    player::{Maker, Manner},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    load::PATIENCE,
    support::{bridge::TOKEN, wait},
};

/// The recipient of Adobe's events.
pub const CLIENT_ID: &str = "client-of-the-tests";
/// Where Adobe's deliveries go.
const AUDIT: &str = "/v1/audit";

const RUN: u32 = 0x5ca1e;
const MARKETO: u16 = 4;
const ADOBE: u16 = 2;
/// From one delivery of a lane to its next.
const PACE: Duration = Duration::from_millis(100);
/// Events of a batch of Marketo's; Adobe's are smaller.
const BATCH: std::ops::RangeInclusive<u32> = 10..=40;
/// The largest number of records that a delivery becomes.
pub const MOST_RECORDS: u64 = 41;
/// Both senders' minutes are as short as this.
const MINUTE: Duration = Duration::from_millis(500);
/// The batch of each subscription whose unfit element is larger than a record may be.
const WITH_A_LARGE_ONE: u64 = 5;

pub struct Senders {
    runtime: Runtime,
    lanes: JoinSet<()>,
    act: watch::Sender<Act>,
    registration: Arc<Registration>,
    books: Arc<Mutex<Books>>,
}

/// What was sent, and what was answered.
pub struct Books {
    pub ledger: Ledger,
    pub marketo: Account,
    pub adobe: Account,
    /// The worst that Adobe's registration has been.
    pub worst: State,
    /// Elements that are no activity, of batches that were answered 200.
    pub unfit: BTreeSet<String>,
    /// Events that each lane has sent; they are numbered within it.
    pub events: BTreeMap<u16, u64>,
}

impl Senders {
    /// Both send to `address`. Marketo's subscriptions keep a connection each; Adobe I/O makes one for
    /// each delivery.
    pub fn start(address: SocketAddr, keys: &Arc<Keys>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let inside = runtime.enter();
        let url = |path: &str| Endpoint::new(&format!("http://{address}{path}")).expect("a URL");
        let (act, told) = watch::channel(Act::Sending);
        let books = Books {
            // With several replicas nobody promises an order over all of them.
            ledger: Ledger::new(RUN, 0, MARKETO + ADOBE),
            marketo: Account::default(),
            adobe: Account::default(),
            worst: State::Active,
            unfit: BTreeSet::new(),
            events: BTreeMap::new(),
        };
        let mut stage = Stage {
            clock: Clock::start().expect("a thread can be started"),
            began: Instant::now(),
            told,
            books: Arc::new(Mutex::new(books)),
            lanes: JoinSet::new(),
        };

        let rules = marketo::Rules { interval: PACE, batch: BATCH, ..marketo::Rules::MARKETO };
        let rules = rules.scaled(60.0 / MINUTE.as_secs_f64());
        for lane in 0..MARKETO {
            let generator = Generator::new(1, RUN, lane);
            let batches = Batches::new(generator, BATCH, &format!("Bearer {TOKEN}"));
            let batches = WithAnUnfitElement(batches.expect("a token for a header"));
            let manner = Subscription::new(rules.clone(), PACE / 4 * u32::from(lane));
            // A client of its own, so a connection of its own.
            let post = url(crate::support::bridge::LEADS);
            stage.enter(batches, manner, post, Books::of_marketo);
        }
        // Whoever keeps a connection gets one before the others come: a balancer gives them out in turn, and a
        // replica could be left without.
        wait::until("each subscription to have an answer", PATIENCE, || {
            // Its second batch goes when the first one is answered.
            let events = &lock(&stage.books).events;
            let answered = events.values().filter(|events| **events > u64::from(*BATCH.end()));
            answered.count() == usize::from(MARKETO)
        });

        let rules = adobe::Rules::adobe().scaled(60.0 / MINUTE.as_secs_f64());
        let registration = Arc::new(Registration::new(&rules));
        let endpoint = url(AUDIT);
        let asked = challenge::ask(&endpoint, "a-value", rules.timeout);
        runtime.block_on(asked).expect("the challenge is passed");
        for lane in MARKETO..MARKETO + ADOBE {
            let (spelling, shapes) = (Spelling::Both, Shapes::Batch(1..=20));
            let generator = EventGenerator::new(1, RUN, lane, CLIENT_ID, spelling, shapes);
            let requests = Requests::new(generator, Arc::clone(keys)).expect("keys that sign");
            let manner = Lane::new(rules.clone(), Arc::clone(&registration), PACE, PACE);
            let post = Anew(url(AUDIT));
            stage.enter(requests, manner, post, Books::of_adobe);
        }
        drop(inside);
        let Stage { lanes, books, .. } = stage;
        Self { runtime, lanes, act, registration, books }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }

    /// Events that were sent so far, each once.
    pub fn sent(&self) -> u64 {
        let books = self.books();
        books.marketo.sent.events + books.adobe.sent.events
    }

    /// Requests so far that nobody answered.
    pub fn unanswered(&self) -> u64 {
        let books = self.books();
        books.marketo.answers.unanswered + books.adobe.answers.unanswered
    }

    /// Waits until both senders had more events acknowledged, `count` together.
    #[track_caller]
    pub fn wait_for(&self, count: u64) {
        let now = || {
            let books = self.books();
            [books.marketo.delivered.events, books.adobe.delivered.events]
        };
        let before = now();
        wait::until("acknowledged events", PATIENCE, || {
            let now = now();
            now.iter().sum::<u64>() >= before.iter().sum::<u64>() + count
                && now.iter().zip(before).all(|(now, before)| *now > before)
        });
    }

    /// Sends nothing new, waits until all that failed was sent again, and closes the books.
    #[track_caller]
    pub fn finish(mut self) -> Books {
        self.act.send_replace(Act::Settling);
        let lanes = &mut self.lanes;
        let all = async {
            while let Some(ended) = lanes.join_next().await {
                ended.expect("a lane plays to its end");
            }
        };
        self.runtime.block_on(async { timeout(PATIENCE, all).await }).expect("all is sent in time");
        let worst = self.registration.worst();
        let books = Arc::into_inner(self.books).expect("no lane is left");
        Books { worst, ..books.into_inner().expect("nobody panics with it") }
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().expect("nobody panics with it")
}

/// Where lanes begin to play.
struct Stage {
    clock: Clock,
    began: Instant,
    told: watch::Receiver<Act>,
    books: Arc<Mutex<Books>>,
    lanes: JoinSet<()>,
}

impl Stage {
    fn enter(
        &mut self,
        maker: impl Maker + 'static,
        manner: impl Manner + 'static,
        post: impl Post + 'static,
        hear: fn(&mut Books, &Attempt<'_>),
    ) {
        let (clock, began, told) = (self.clock.clone(), self.began, self.told.clone());
        let books = Arc::clone(&self.books);
        self.lanes.spawn(async move {
            let hear = |attempt: &Attempt<'_>| hear(&mut lock(&books), attempt);
            play(maker, manner, &post, &clock, began, told, hear).await;
        });
    }
}

impl Books {
    fn of_marketo(&mut self, attempt: &Attempt<'_>) {
        self.marketo.hear(attempt);
        if self.enter(attempt) {
            self.unfit.insert(unfit(attempt.lane, attempt.delivery));
        }
    }

    fn of_adobe(&mut self, attempt: &Attempt<'_>) {
        self.adobe.hear(attempt);
        self.enter(attempt);
    }

    /// Whether it was acknowledged.
    fn enter(&mut self, attempt: &Attempt<'_>) -> bool {
        let (lane, delivery) = (attempt.lane, attempt.delivery);
        let Some(answered) = &attempt.answered else {
            self.ledger.sending(lane, delivery, attempt.events);
            if attempt.r#try == 1 {
                *self.events.entry(lane).or_default() += u64::from(attempt.events);
            }
            return false;
        };
        let accepted = answered.answer.is_accepted();
        if accepted {
            self.ledger.acknowledged(lane, delivery);
        }
        accepted
    }
}

/// As it stands in the body.
fn unfit(lane: u16, delivery: u64) -> String {
    let more = if delivery == WITH_A_LARGE_ONE { 1_200_000 } else { 0 };
    format!("\"no activity, in batch {delivery} of {lane}{}\"", "!".repeat(more))
}

/// Each batch has an element that is no activity, and so becomes a dead letter.
struct WithAnUnfitElement(Batches);

impl Maker for WithAnUnfitElement {
    fn lane(&self) -> u16 {
        self.0.lane()
    }

    fn make(&mut self, now: u64) -> Delivery {
        let mut delivery = self.0.make(now);
        let activities = delivery.body.strip_suffix(b"]}").expect("activities come last");
        let unfit = unfit(self.lane(), delivery.number);
        let body = [activities, b",", unfit.as_bytes(), b"]}"];
        delivery.body = body.concat().into();
        delivery
    }

    fn headers(&mut self, delivery: &Delivery) -> HeaderMap {
        self.0.headers(delivery)
    }
}

/// A new connection for each request.
struct Anew(Endpoint);

impl Post for Anew {
    async fn post(&self, mut headers: HeaderMap, body: Bytes, timeout: Duration) -> Answer {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        self.0.post(headers, body, timeout).await
    }
}
