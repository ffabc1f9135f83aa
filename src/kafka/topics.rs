//! The directory of topics: which exist, which are being made, and why one cannot be.
//!
//! A process has one, shared by all producers. Asking never blocks: a thread of its own asks the cluster
//! about the topics that are due, by name, makes the missing ones (many in one request) and waits
//! until they have a leader. A topic counts as missing only after the cluster said so: while the cluster is
//! away, a topic that was never seen is pending, not unavailable.
//!
//! All topics of a cluster are listed only for `topics.limit`, on a thread and a connection of its
//! own ([`lister`]): on a large cluster that takes long, and no existing topic waits for it.
//!
//! The directory's thread also asks the cluster for a sign of life while a producer waits for one.

mod directory;
mod lister;
mod made_as;
mod maker;
mod shares;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, RwLock};
use rdkafka::{error::RDKafkaErrorCode as Code, metadata::MetadataTopic, producer::BaseProducer};
use tracing::{debug, info, warn};

use crate::{config, kafka::produce::TopicState, runtime::retry::Retry};

use super::{
    access::Access,
    advice::Advice,
    by_name::{self, Patience},
    cluster::Cluster,
    context::{Asking, drain, ready},
    errors, inspect, properties,
};
use directory::{Answers, Directory, Found, Rules};
use lister::{Lister, Result as Listed};
pub(super) use made_as::COMPRESSION;
pub use made_as::made_as;
pub(super) use maker::AdminMaker;
pub use maker::{Made, TopicMaker};

/// The directory; dropping it ends its thread.
#[derive(Debug)]
pub struct Topics {
    shared: Arc<Shared>,
    /// Closed when the thread has ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

#[derive(Debug)]
struct Shared {
    directory: RwLock<Directory>,
    cluster: Arc<Cluster>,
    advice: Advice,
    access: Access,
    closing: AtomicBool,
    /// Whether the thread has work.
    woken: Mutex<bool>,
    wake: Condvar,
}

/// Interval at which the thread looks for work when it is not woken.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Timeout of one question about a topic: at first, and on a line that is known to be slow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
const SLOW_ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Limit of names that one client asks about, after which it is replaced: librdkafka remembers each name, and
/// strangers choose names.
const MAX_NAMES_PER_CLIENT: usize = 10_000;
/// Time that dropping the directory waits for a question under way.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// Pause in which further names are gathered, so that they are asked about together.
const GATHER_PAUSE: Duration = Duration::from_millis(2);

impl Topics {
    /// Starts the thread; missing topics are made through Kafka's admin API. `literal_prefix` is
    /// the beginning of every topic of `topics.name` (`Router::literal_prefix`): existing topics
    /// with it count towards `topics.limit`. Without a prefix, only topics that were asked for count.
    pub fn start(
        kafka: &config::Kafka,
        topics: &config::Topics,
        literal_prefix: &str,
    ) -> io::Result<Arc<Self>> {
        let maker = AdminMaker::new(kafka, topics)?;
        Self::start_with(kafka, topics, literal_prefix, Box::new(maker))
    }

    /// Does what [`Topics::start`] does, with another way to make topics (a mock cluster has no admin API).
    pub fn start_with(
        kafka: &config::Kafka,
        topics: &config::Topics,
        literal_prefix: &str,
        maker: Box<dyn TopicMaker>,
    ) -> io::Result<Arc<Self>> {
        let advice = Advice::new(kafka, Some(topics));
        let rules = Rules {
            create: topics.create,
            limit: topics.limit,
            prefix: literal_prefix.into(),
            dead_letter: topics.dead_letter.clone(),
            checkpoints: topics.checkpoints.clone(),
            lead_state: topics.lead_state.clone(),
            ids: topics.ids.clone(),
        };
        let shared = Arc::new(Shared {
            directory: RwLock::new(Directory::new(rules, advice.clone())),
            cluster: Arc::new(Cluster::new(&kafka.bootstrap_servers)),
            advice,
            access: Access::new(kafka),
            closing: AtomicBool::new(false),
            woken: Mutex::new(false),
            wake: Condvar::new(),
        });
        let patience = Patience::new(ANSWER_TIMEOUT, SLOW_ANSWER_TIMEOUT);
        let worker =
            Worker { shared: Arc::clone(&shared), maker, patience, asked: 0, looking: None };
        let (running, ended) = mpsc::channel();
        thread::Builder::new().name("kafka-topics".into()).spawn(move || {
            worker.run();
            drop(running);
        })?;
        Ok(Arc::new(Self { shared, ended: Mutex::new(ended) }))
    }

    /// Divides `topics.limit` among so many sources, numbered from 0. Called once, at the start.
    pub fn divide_among(&self, sources: usize) {
        self.shared.write(|directory| directory.divide_among(sources));
    }

    /// Whether `topic` can be written, as far as is known; starts to look it up where it is not known.
    pub fn state(&self, topic: &str) -> TopicState {
        self.state_for(0, topic)
    }

    /// Whether `topic` can be written by a source.
    pub(super) fn state_for(&self, source: usize, topic: &str) -> TopicState {
        if let Some(state) = self.shared.read(|directory| directory.known(topic)) {
            return state;
        }
        let (state, look) =
            self.shared.write(|directory| directory.state(source, topic, Instant::now()));
        if look {
            self.shared.wake();
        }
        state
    }

    /// A topic's number of partitions, as far as is known.
    pub(super) fn partitions(&self, topic: &str) -> Option<u32> {
        self.shared.read(|directory| directory.partitions(topic))
    }

    /// Notes a producer's report that `topic` is not there, or has changed: looks again, and makes it again if need be.
    pub fn mark_missing(&self, topic: &str) {
        self.shared.write(|directory| directory.mark_missing(topic, Instant::now()));
        self.shared.wake();
    }

    /// Number of topics that count towards `topics.limit` now.
    pub fn counted(&self) -> usize {
        self.shared.read(|directory| directory.counted())
    }

    /// Time since the cluster's last answer to any client; `None` before the first. Asked for actively
    /// while a producer has records outstanding.
    pub fn cluster_silence(&self) -> Option<Duration> {
        self.shared.cluster.silence()
    }

    /// Duration of the present outage; `None` while there is none.
    pub fn cluster_away_for(&self) -> Option<Duration> {
        self.shared.cluster.away_for()
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.shared.cluster
    }

    /// Replaces the secrets: every client of this directory, and of the producers that it
    /// serves, makes way for one with the new ones.
    pub fn renew_access(&self, kafka: config::Kafka) {
        self.shared.access.renew(kafka);
        self.shared.wake();
    }

    pub(super) fn access(&self) -> &Access {
        &self.shared.access
    }

    pub(super) fn advice(&self) -> &Advice {
        &self.shared.advice
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.wake();
        let ended = self.ended.get_mut();
        // The thread may wait for an answer that does not come. It sends no value: the channel only closes.
        let _ = ended.recv_timeout(STOP_TIMEOUT);
    }
}

impl Shared {
    fn read<T>(&self, look: impl FnOnce(&Directory) -> T) -> T {
        look(&self.directory.read())
    }

    fn write<T>(&self, change: impl FnOnce(&mut Directory) -> T) -> T {
        change(&mut self.directory.write())
    }

    fn wake(&self) {
        *self.woken.lock() = true;
        self.wake.notify_one();
    }

    /// Waits to be woken, at most for `timeout`.
    fn wait(&self, timeout: Duration) {
        let mut woken = self.woken.lock();
        self.wake.wait_while_for(&mut woken, |woken| !*woken, timeout);
        *woken = false;
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

/// The thread's own part.
struct Worker {
    shared: Arc<Shared>,
    maker: Box<dyn TopicMaker>,
    patience: Patience,
    /// Names that the present client was asked about.
    asked: usize,
    looking: Option<thread::JoinHandle<()>>,
}

impl Worker {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let (mut generation, kafka) = shared.access.get();
        let Some(mut client) = self.client(&kafka) else { return };
        let mut lister = Lister::new();
        let mut next_question = Instant::now();
        while !shared.is_closing() {
            let is_renewed = shared.access.generation() != generation;
            if is_renewed || self.asked > MAX_NAMES_PER_CLIENT {
                let kafka;
                (generation, kafka) = shared.access.get();
                let Some(new) = self.client(&kafka) else { return };
                end_elsewhere(std::mem::replace(&mut client, new));
                self.asked = 0;
                if is_renewed {
                    self.maker.renew(&kafka);
                    lister.abandon();
                    shared.write(Directory::not_listed);
                }
            }
            drain(&client);
            let now = Instant::now();
            if now >= next_question {
                let due = shared.write(|directory| directory.take_due(now));
                if !due.is_empty() {
                    self.look_up(&client, &due);
                } else if shared.cluster.silence().is_none() || shared.cluster.is_in_doubt() {
                    self.ask_for_a_sign(&client);
                }
                if shared.cluster.is_away() {
                    next_question = Instant::now() + POLL_INTERVAL;
                }
            }
            self.list(&mut lister);
            let now = Instant::now();
            let due = shared.read(|directory| directory.next_due());
            let wait = due
                .map_or(POLL_INTERVAL, |due| due.saturating_duration_since(now).min(POLL_INTERVAL));
            shared.wait(wait.max(Duration::from_millis(1)));
            thread::sleep(GATHER_PAUSE);
        }
    }

    /// Makes the client that asks. `None` when the directory closes before that succeeds.
    fn client(&self, kafka: &config::Kafka) -> Option<BaseProducer<Asking>> {
        let native = properties::client(kafka);
        let cluster = &self.shared.cluster;
        Retry::new(Duration::from_millis(100), Duration::from_secs(10))
            .until(
                &|| self.shared.is_closing(),
                || ready(kafka, &native, cluster),
                |error, tries| {
                    let error = properties::describe(error);
                    warn!(error, tries, "cannot create a Kafka client; retrying");
                },
            )
            .ok()
    }

    /// Asks about the topics that are due, takes in the answers, makes the missing ones.
    fn look_up(&mut self, client: &BaseProducer<Asking>, due: &[String]) {
        let answers = self.ask(client, due);
        let unanswered: Vec<_> =
            due.iter().filter(|topic| !answers.contains_key(*topic)).cloned().collect();
        let missing = self.shared.write(|directory| {
            directory.unanswered(&unanswered, Instant::now());
            directory.settle(&answers, Instant::now())
        });
        self.make(missing);
    }

    /// Takes in a listing that has come, and starts one that is wanted.
    fn list(&mut self, lister: &mut Lister) {
        match lister.result() {
            Some(Listed::Here(listing)) => {
                self.shared.cluster.is_there();
                let listed = |directory: &mut Directory| directory.listed(&listing, Instant::now());
                let missing = self.shared.write(listed);
                self.make(missing);
            }
            Some(Listed::Failed) => self.shared.write(Directory::not_listed),
            None => {}
        }
        if lister.may_start() && self.shared.read(Directory::wants_listing) {
            self.shared.write(Directory::begin_listing);
            lister.start(&self.shared);
        }
    }

    fn make(&mut self, missing: Vec<String>) {
        if missing.is_empty() {
            return;
        }
        debug!(topics = ?missing, "making topics");
        for (topic, made) in self.maker.make(&missing) {
            if made == Made::Created {
                info!(topic, "topic created");
            }
            self.shared.write(|directory| directory.made(&topic, made, Instant::now()));
        }
    }

    fn ask_for_a_sign(&mut self, client: &BaseProducer<Asking>) {
        let topic = self.shared.read(|directory| directory.any().to_owned());
        self.ask(client, &[topic]);
    }

    /// Looks at the brokers' addresses: a cluster may answer and name addresses where no broker does.
    fn look_at_addresses(&mut self) {
        if self.looking.as_ref().is_some_and(|looking| !looking.is_finished()) {
            return;
        }
        let (_, kafka) = self.shared.access.get();
        let topic = self.shared.read(|directory| directory.any().to_owned());
        let look = move || inspect::warn_of_addresses(&kafka, &topic);
        self.looking = thread::Builder::new().name("kafka-address".into()).spawn(look).ok();
    }

    /// The cluster's answers about `topics`; those without an answer are left out.
    fn ask(&mut self, client: &BaseProducer<Asking>, topics: &[String]) -> Answers {
        self.asked += topics.len();
        let asked_at = Instant::now();
        let (answers, error) = by_name::ask(client, topics, &mut self.patience, |topic| {
            topic.map_or(Found::Missing, found)
        });
        drain(client); // Errors meanwhile come as events.
        match error {
            None => self.shared.cluster.is_there(),
            Some(error) => {
                if self.shared.cluster.is_not_there(asked_at.elapsed(), &error.to_string()) {
                    self.look_at_addresses();
                }
            }
        }
        answers.into_iter().collect()
    }
}

/// Ends a client on a thread of its own: its threads may sit in a name lookup or a handshake.
fn end_elsewhere(client: BaseProducer<Asking>) {
    // Without a thread the closure is dropped here, and the client with it.
    let _ = thread::Builder::new().name("kafka-drop".into()).spawn(move || drop(client));
}

fn found(topic: &MetadataTopic) -> Found {
    match topic.error().map(Code::from) {
        Some(code) if errors::is_missing_topic(code) => Found::Missing,
        Some(Code::TopicAuthorizationFailed) => Found::Hidden,
        Some(code) => Found::Unusable(format!("{code}")),
        None if topic.partitions().iter().any(|partition| partition.leader() >= 0) => {
            Found::Led { partitions: u32::try_from(topic.partitions().len()).unwrap_or(0) }
        }
        None => Found::Leaderless,
    }
}
