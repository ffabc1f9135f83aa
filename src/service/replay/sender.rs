//! Sends records to Kafka, and waits for their results.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    config::Config,
    deliver::route::Router,
    kafka::{
        Producer, Topics,
        produce::{Failure, Outcome, SendError, Sink, Token, TopicState},
    },
    record::Record,
};

/// Longest time without progress, after which the cluster counts as away.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub(crate) struct Sender {
    producer: Producer,
    next: Token,
    /// The topic of each record on its way.
    pending: HashMap<Token, (String, usize)>,
    delivered: Vec<(usize, Option<(i32, i64)>)>,
    failed: Vec<(String, Failure, usize)>,
    outcomes: Vec<(Token, Outcome)>,
    progress_at: Instant,
}

impl Sender {
    pub fn new(config: &Config) -> Result<Self, String> {
        let router =
            Router::new(&config.topics.name).map_err(|error| format!("topics.name: {error}"))?;
        let topics = Topics::start(&config.kafka, &config.topics, router.literal_prefix())
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let queue = config.kafka.queue_size;
        let mut producer = Producer::new(&config.kafka, queue, Arc::clone(&topics));
        producer.renew(&|| true).map_err(|error| error.to_string())?;
        Ok(Self {
            producer,
            next: 0,
            pending: HashMap::new(),
            delivered: Vec::new(),
            failed: Vec::new(),
            outcomes: Vec::new(),
            progress_at: Instant::now(),
        })
    }

    /// Queues `record`, which the caller knows by `mark`. The inner error is about this record alone; the outer one ends the replay.
    pub fn send(
        &mut self,
        record: &Record<'_>,
        mark: usize,
    ) -> Result<Result<(), Failure>, String> {
        loop {
            match self.producer.topic(record.topic) {
                TopicState::Ready => {}
                TopicState::Pending => {
                    self.wait()?;
                    continue;
                }
                TopicState::Unavailable(why) => return Ok(Err(Failure::Passing(why))),
                TopicState::OverLimit => {
                    let why = format!("creating {} would exceed topics.limit", record.topic);
                    return Ok(Err(Failure::Refused(why)));
                }
            }
            match self.producer.send(record, self.next) {
                Ok(()) => {
                    self.pending.insert(self.next, (record.topic.to_owned(), mark));
                    self.next += 1;
                    return Ok(Ok(()));
                }
                Err(SendError::QueueFull) => self.wait()?,
                Err(SendError::Failed(Failure::Fatal(why))) => return Err(why),
                Err(SendError::Failed(failure)) => return Ok(Err(failure)),
            }
        }
    }

    /// Waits until no record is on its way.
    pub fn settle(&mut self, progress: &mut dyn FnMut(usize)) -> Result<(), String> {
        while !self.pending.is_empty() {
            progress(self.pending.len());
            self.wait()?;
        }
        Ok(())
    }

    /// Takes the failed records: topics, failures and marks.
    pub fn failures(&mut self) -> Vec<(String, Failure, usize)> {
        std::mem::take(&mut self.failed)
    }

    /// Takes the delivered records: marks and places.
    pub fn delivered(&mut self) -> Vec<(usize, Option<(i32, i64)>)> {
        std::mem::take(&mut self.delivered)
    }

    fn wait(&mut self) -> Result<(), String> {
        self.producer.poll(POLL_INTERVAL, &mut self.outcomes);
        if !self.outcomes.is_empty() {
            self.progress_at = Instant::now();
        }
        for (token, outcome) in self.outcomes.drain(..) {
            let (topic, mark) = self.pending.remove(&token).unwrap_or_default();
            match outcome {
                Outcome::Failed(failure) => self.failed.push((topic, failure, mark)),
                Outcome::Delivered => self.delivered.push((mark, self.producer.place(token))),
            }
        }
        if self.progress_at.elapsed() < PROGRESS_TIMEOUT {
            return Ok(());
        }
        let left = self.pending.len();
        Err(format!(
            "Kafka has not answered for {} s, and {left} records are not acknowledged: the missing \
             events can be replayed again",
            PROGRESS_TIMEOUT.as_secs()
        ))
    }
}
