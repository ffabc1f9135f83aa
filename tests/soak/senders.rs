//! A mixed load on one service: Marketo and Adobe I/O with small and large bodies, and strangers.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use millrace::sender::{
    adobe::{EventGenerator, Keys, Requests, Shapes, Spelling},
    player::Maker,
};

use crate::support::{
    batches::{Random, Subscription},
    bridge::{Bridge, LEADS, TOKEN},
    http::Client,
    wait,
};

pub const PATIENCE: Duration = Duration::from_secs(300);
/// The recipient of Adobe's events.
pub const CLIENT_ID: &str = "client-of-the-soak";
/// Where Adobe's deliveries go.
const AUDIT: &str = "/v1/audit";
/// From one small request of a sender to its next.
const PACE: Duration = Duration::from_millis(100);
const SENDERS: usize = 4;

/// The state that the senders of one service share with the test.
#[derive(Default)]
pub struct Line {
    address: Mutex<Option<SocketAddr>>,
    /// Events that were answered 200, and those of requests without an answer.
    acknowledged: AtomicU64,
    unanswered: AtomicU64,
    refused: AtomicU64,
    /// Requests of strangers.
    strange: AtomicU64,
    rest: AtomicBool,
    resting: AtomicUsize,
    stop: AtomicBool,
}

pub struct Senders {
    line: Arc<Line>,
    threads: Vec<JoinHandle<()>>,
}

impl Senders {
    pub fn start(name: &str, bridge: &Bridge, keys: &Arc<Keys>) -> Self {
        let line = Arc::<Line>::default();
        let senders = Self { line, threads: Vec::new() };
        senders.go_to(bridge);
        let Self { line, mut threads } = senders;
        let of = |role: &str| Subscription::new(&format!("999-SOAK-{name}-{role}"), 50);
        let (small, large, strange) = (of("small"), of("large"), of("strange"));
        let generator =
            EventGenerator::new(1, 0x50a8, 0, CLIENT_ID, Spelling::Both, Shapes::Batch(1..=20));
        let requests = Requests::new(generator, Arc::clone(keys)).expect("keys that sign");
        let line_of = || Arc::clone(&line);
        let (a, b, c, d) = (line_of(), line_of(), line_of(), line_of());
        threads.push(thread::spawn(move || a.marketo(small, 10, PACE)));
        threads.push(thread::spawn(move || b.marketo(large, 1_000, 20 * PACE)));
        threads.push(thread::spawn(move || c.adobe(requests)));
        threads.push(thread::spawn(move || d.strangers(strange)));
        Self { line, threads }
    }

    /// After a start of the service.
    pub fn go_to(&self, bridge: &Bridge) {
        *self.line.address.lock().expect("no holder of the lock panics") =
            Some(bridge.deliveries());
    }

    pub fn acknowledged(&self) -> u64 {
        self.line.acknowledged.load(Ordering::SeqCst)
    }

    pub fn unanswered(&self) -> u64 {
        self.line.unanswered.load(Ordering::SeqCst)
    }

    /// Waits until `count` more events were acknowledged.
    #[track_caller]
    pub fn wait_for(&self, count: u64) {
        let before = self.acknowledged();
        wait::until("acknowledged events", PATIENCE, || {
            self.look();
            self.acknowledged() >= before + count
        });
    }

    /// All have their answers, and send nothing before [`Senders::go_on`].
    #[track_caller]
    pub fn rest(&self) {
        self.line.rest.store(true, Ordering::SeqCst);
        wait::until("senders at rest", PATIENCE, || {
            self.look();
            self.line.resting.load(Ordering::SeqCst) == SENDERS
        });
    }

    pub fn go_on(&self) {
        self.line.rest.store(false, Ordering::SeqCst);
    }

    /// Says how much they did.
    pub fn stop(self) -> String {
        self.line.stop.store(true, Ordering::SeqCst);
        self.line.rest.store(false, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a sender whose answers are as they should be");
        }
        let number = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let Line { acknowledged, unanswered, refused, strange, .. } = &*self.line;
        format!(
            "{} events acknowledged, {} in requests without an answer, {} requests answered 503, {} of strangers",
            number(acknowledged),
            number(unanswered),
            number(refused),
            number(strange)
        )
    }

    #[track_caller]
    fn look(&self) {
        assert!(!self.threads.iter().any(JoinHandle::is_finished), "a sender has given up");
    }
}

impl Line {
    fn address(&self) -> SocketAddr {
        self.address.lock().expect("no holder of the lock panics").expect("the service was started")
    }

    /// A moment between two requests; whether there is to be another.
    fn goes_on(&self, pace: Duration) -> bool {
        thread::sleep(pace); // the pace of a sender, no waiting for anything
        if self.rest.load(Ordering::SeqCst) {
            self.resting.fetch_add(1, Ordering::SeqCst);
            wait::until("the end of the rest", 10 * PATIENCE, || !self.rest.load(Ordering::SeqCst));
            self.resting.fetch_sub(1, Ordering::SeqCst);
        }
        !self.stop.load(Ordering::SeqCst)
    }

    fn marketo(&self, mut subscription: Subscription, events: usize, pace: Duration) {
        let mut client = Client::new(self.address());
        while self.goes_on(pace) {
            let batch = subscription.batch_of(events);
            self.deliver(&mut client, events as u64, |client| {
                Ok(client.deliver(LEADS, TOKEN, &batch.body)?.status)
            });
        }
    }

    fn adobe(&self, mut requests: Requests) {
        while self.goes_on(2 * PACE) {
            let delivery = requests.make(1_790_000_000_000);
            let headers = lines(&requests.headers(&delivery));
            // A new connection each, as Adobe I/O does it.
            let mut client = Client::new(self.address());
            self.deliver(&mut client, u64::from(delivery.events), |client| {
                Ok(client.request("POST", AUDIT, &headers, &delivery.body)?.status)
            });
        }
    }

    /// Sends until it is answered 200.
    fn deliver(
        &self,
        client: &mut Client,
        events: u64,
        mut send: impl FnMut(&mut Client) -> std::io::Result<u16>,
    ) {
        loop {
            match send(client) {
                Ok(200) => {
                    self.acknowledged.fetch_add(events, Ordering::SeqCst);
                    return;
                }
                Ok(503) => drop(self.refused.fetch_add(1, Ordering::SeqCst)),
                Ok(status) => panic!("answered {status}"),
                Err(_) => {
                    self.unanswered.fetch_add(events, Ordering::SeqCst);
                    *client = Client::new(self.address());
                }
            }
            thread::sleep(PACE);
        }
    }

    /// Wrong tokens, wrong signatures, wrong paths, bodies that end too soon, connections that say nothing.
    fn strangers(&self, mut subscription: Subscription) {
        let mut random = Random(0x7374_7261_6e67_6572);
        let mut silent = Vec::new();
        loop {
            if self.rest.load(Ordering::SeqCst) {
                silent.clear(); // so that samples are of the same connections
            }
            if !self.goes_on(PACE) {
                return;
            }
            self.strange.fetch_add(1, Ordering::SeqCst);
            let body = subscription.batch_of(1 + random.below(200)).body;
            let mut client = Client::new(self.address());
            let request = |client: &mut Client, path: &str, headers: &[&str]| {
                let headers: Vec<_> = headers.iter().map(|line| (*line).to_owned()).collect();
                client.request("POST", path, &headers, &body).map(|answer| answer.status)
            };
            let answered = match random.below(7) {
                0 => client.deliver(LEADS, "a wrong token", &body).map(|answer| answer.status),
                1 => request(&mut client, LEADS, &["content-type: application/json"]),
                2 => request(&mut client, AUDIT, &["content-type: application/json"]),
                3 => {
                    let signature = "x-adobe-digital-signature-1: AAAA";
                    let path =
                        format!("x-adobe-public-key1-path: /prod/keys/{}.pem", random.below(1000));
                    request(&mut client, AUDIT, &[signature, &path])
                }
                4 => request(&mut client, &format!("/v1/{}", random.below(1_000_000)), &[]),
                5 => self.begin(&body).map(|_| 0),
                _ => {
                    silent.extend(TcpStream::connect(self.address()).ok());
                    if silent.len() > 20 {
                        silent.clear();
                    }
                    Ok(0)
                }
            };
            // While the service restarts, a request has no answer.
            assert!(!matches!(answered, Ok(200)), "a stranger was let in");
        }
    }

    /// A request whose body ends in the middle.
    fn begin(&self, body: &[u8]) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(self.address())?;
        let head = format!(
            "POST {LEADS} HTTP/1.1\r\nhost: soak\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body[..body.len() / 2])
    }
}

fn lines(headers: &http::HeaderMap) -> Vec<String> {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}: {}", str::from_utf8(value.as_bytes()).expect("text in UTF-8"))
    };
    headers.iter().map(line).collect()
}
