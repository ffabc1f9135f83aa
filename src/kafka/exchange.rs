//! A topic by which replicas tell each other something: one thread writes what a [`Mailbox`] has, one reads what all
//! replicas have written.
//!
//! Best effort, with clients of its own: nothing waits for either of the threads, and what goes wrong here is logged once
//! and shown by a metric. The topic is made by the directory like any other.

mod read;
mod write;

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

use super::{properties, topics::Topics};
use crate::{config, kafka::produce::TopicState, runtime::retry::Retry};

/// A record to be written.
#[derive(Clone, Debug)]
pub struct Letter {
    pub key: String,
    pub value: Vec<u8>,
    /// How many things it says.
    pub says: usize,
}

/// The other side of the two threads.
pub trait Mailbox: Send + Sync + 'static {
    /// Takes the letter to be written next.
    fn next(&self) -> Option<Letter>;

    /// A record that says so many things is on the topic, or will never be.
    fn was_written(&self, says: usize, is_written: bool);

    fn set_writable(&self, is_writable: bool);

    fn set_readable(&self, is_readable: bool);

    /// Takes the value of a record that a replica has written.
    fn receive(&self, value: &[u8]);
}

/// Which topic, and how much of it is read at the start.
#[derive(Clone, Debug)]
pub struct Terms {
    pub topic: String,
    /// Age of the oldest records that are read.
    pub window: Duration,
    /// Records of a partition that are read at most.
    pub records: usize,
}

/// The two threads. Dropping it ends them.
pub struct Exchange {
    shared: Arc<Shared>,
    written: mpsc::Receiver<()>,
}

struct Shared {
    topics: Arc<Topics>,
    mailbox: Arc<dyn Mailbox>,
    terms: Terms,
    closing: AtomicBool,
}

/// A letter is never larger, and smaller where the client takes less.
const LARGEST_LETTER: usize = 128 * 1024;
/// Bytes of a record's limit that the client needs beside the value.
const BESIDE_THE_VALUE: usize = 1024;

/// How long the last letters may take when the service stops.
const LAST_LETTERS: Duration = Duration::from_secs(1);

impl Exchange {
    pub fn start(
        topics: &Arc<Topics>,
        mailbox: Arc<dyn Mailbox>,
        terms: Terms,
    ) -> io::Result<Self> {
        let (topics, closing) = (topics.clone(), AtomicBool::new(false));
        let shared = Arc::new(Shared { topics, mailbox, terms, closing });
        let reader = read::Reading::new(shared.clone());
        thread::Builder::new().name("ids-read".into()).spawn(move || reader.run())?;
        let (running, written) = mpsc::channel();
        let writer = write::Writing::new(shared.clone());
        thread::Builder::new().name("ids-write".into()).spawn(move || {
            writer.run();
            drop(running);
        })?;
        Ok(Self { shared, written })
    }

    /// Bytes that the value of a letter may have.
    pub fn largest_letter(kafka: &config::Kafka) -> usize {
        let most = properties::message_max_bytes(kafka).saturating_sub(BESIDE_THE_VALUE);
        most.min(LARGEST_LETTER)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        // The reader has nothing to finish, and may wait for an answer.
        let _ = self.written.recv_timeout(2 * LAST_LETTERS);
    }
}

impl Shared {
    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Whether the topic is there. What is wrong with it, if something is; `None` while that is not known.
    fn is_there(&self) -> Option<Result<(), String>> {
        match self.topics.state(&self.terms.topic) {
            TopicState::Ready => Some(Ok(())),
            TopicState::Unavailable(why) => Some(Err(why)),
            TopicState::Pending | TopicState::OverLimit => None,
        }
    }
}

/// Trouble of one of the threads: it is logged once, and so is its end.
struct Trouble {
    what: &'static str,
    logged: Option<String>,
    retry: Retry,
    not_before: Instant,
}

/// Between two tries.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Trouble {
    fn new(what: &'static str) -> Self {
        let retry = Retry::new(FIRST_PAUSE, LONGEST_PAUSE);
        Self { what, logged: None, retry, not_before: Instant::now() }
    }

    fn may_try(&self) -> bool {
        Instant::now() >= self.not_before
    }

    fn pause(&mut self) {
        self.not_before = Instant::now() + self.retry.next_delay();
    }

    fn happened(&mut self, topic: &str, why: String) {
        self.pause();
        if self.logged.as_ref() != Some(&why) {
            tracing::warn!(
                topic,
                problem = why,
                "the topic of ids cannot be {}: repeats that come through another replica may be delivered again; \
                 nothing waits for it",
                self.what,
            );
            self.logged = Some(why);
        }
    }

    fn is_over(&mut self, topic: &str) {
        self.retry.reset();
        self.not_before = Instant::now();
        if self.logged.take().is_some() {
            tracing::info!(topic, "the topic of ids is {} again", self.what);
        }
    }
}
