//! The transactions of a producer: taking over from whoever had its identity, committing, taking back.
//!
//! A take-over ends every transaction of the identity that is open, shuts out whoever has it, and looks
//! up what was committed. It goes through the stages below, each of which goes on where the last
//! attempt had to stop. A transaction is taken back in place where that is possible; not when its end
//! was asked for already, since nobody knows then what became of it before the topic is read.

#[cfg(test)]
mod tests;

use std::{
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{BaseProducer, BaseRecord, Producer},
};
use tracing::{debug, error, warn};

use super::{
    committed::Committed,
    context::{Producing, drain},
    errors, properties,
    topics::Topics,
};
use crate::{
    config,
    kafka::produce::{Commit, Failure, Token, TopicState},
    record::Record,
    runtime::readable,
};

/// Who a transactional producer is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `transactional.id`
    pub id: String,
    /// The topic of checkpoints, and the key of this identity's.
    pub topic: String,
    pub key: String,
    /// After this the cluster gives up a transaction.
    pub timeout: Duration,
}

pub(super) struct Transactions {
    pub identity: Identity,
    pub stage: Stage,
    reader: Option<Committed>,
    /// What was read, until somebody asks.
    pub found: Option<Vec<u8>>,
    /// Since when it has been looked for.
    looks_since: Instant,
    /// The last problem that was logged.
    logged: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The client is new.
    New,
    /// Nobody else has the identity any more.
    Alone,
    /// Nothing is in a transaction.
    Ready,
    Open,
    /// Its end was asked for.
    Ending,
}

/// Of the record that ends a transaction; no lane has it.
pub(super) const CHECKPOINT: Token = Token::MAX;

/// How long one call of the library may take: how late a stop is noticed.
const SLICE: Duration = Duration::from_millis(100);
/// How much longer than a transaction may last it is not logged that one seems to have no end.
const GRACE: Duration = Duration::from_secs(30);
/// Delivery reports are served between calls that wait for them.
const SHORT_SLICE: Duration = Duration::from_millis(5);

type Client = BaseProducer<Producing>;

impl Transactions {
    pub fn new(identity: Identity) -> Self {
        let (looks_since, logged) = (Instant::now(), String::new());
        Self { identity, stage: Stage::New, reader: None, found: None, looks_since, logged }
    }

    /// Of a client that replaces another one.
    pub fn reclaim(&mut self) {
        self.stage = Stage::New;
        self.reader = None;
    }

    /// The client is of no more use.
    pub fn must_reclaim(&mut self) {
        self.stage = Stage::Ending;
    }

    /// Whether a new client is on its way to be used.
    pub fn is_taking_over(&self) -> bool {
        matches!(self.stage, Stage::New | Stage::Alone)
    }

    /// Something is sent next.
    pub fn open(&mut self, client: &Client) -> Result<(), Failure> {
        match self.stage {
            Stage::Open => Ok(()),
            Stage::Ready => {
                client.begin_transaction().map_err(|error| fatal(&error))?;
                self.stage = Stage::Open;
                Ok(())
            }
            Stage::New | Stage::Alone | Stage::Ending => Err(Failure::Purged),
        }
    }

    /// Goes on taking over. An error is worth another attempt; with a fatal one by another client.
    pub fn take_over(
        &mut self,
        client: &Client,
        config: &config::Kafka,
        topics: &Topics,
        give_up: &dyn Fn() -> bool,
    ) -> Result<(), Failure> {
        while self.stage == Stage::New {
            match client.init_transactions(SLICE) {
                Ok(()) => {
                    self.stage = Stage::Alone;
                    self.looks_since = Instant::now();
                }
                Err(error) => {
                    drain(client);
                    let text =
                        format!("cannot take over transactional id {}: {error}", self.identity.id);
                    if !is_retriable(&error) {
                        let advice = advice(&error, &self.identity, topics);
                        self.log_once(&format!("{text}{advice}"));
                        return Err(Failure::Fatal(text));
                    }
                    if give_up() {
                        return Err(Failure::Passing(text));
                    }
                }
            }
        }
        while self.stage == Stage::Alone {
            if give_up() {
                return Err(Failure::Passing("the checkpoints are being looked up".into()));
            }
            drain(client);
            match topics.state(&self.identity.topic) {
                TopicState::Ready => {}
                TopicState::Unavailable(why) => {
                    self.log_once(&why);
                    thread::sleep(SLICE);
                    continue;
                }
                TopicState::Pending | TopicState::OverLimit => {
                    thread::sleep(SHORT_SLICE);
                    continue;
                }
            }
            if let Err(error) = self.look_up(config) {
                self.reader = None;
                if error.rdkafka_error_code().is_some_and(errors::is_missing_topic) {
                    topics.mark_missing(&self.identity.topic);
                }
                let text = properties::describe(&error);
                if error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) {
                    let run = topics.advice().allow_write(&self.identity.topic);
                    self.log_once(&format!(
                        "cannot read {}: {text}; run: {run}",
                        self.identity.topic
                    ));
                }
                debug!(error = text, "the checkpoints can't be read yet");
                thread::sleep(SLICE);
            } else if self.stage == Stage::Alone
                && self.looks_since.elapsed() > self.identity.timeout + GRACE
            {
                // Whoever had a transaction there has lost it by now. See decision 12.
                self.log_once(&format!(
                    "{} can't be read to its end, as if a transaction on it had none; \
                     `kafka-transactions.sh find-hanging` names such a transaction, and `abort` ends it",
                    self.identity.topic
                ));
            }
        }
        self.logged.clear();
        Ok(())
    }

    fn look_up(&mut self, config: &config::Kafka) -> Result<(), KafkaError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let Identity { topic, key, .. } = &self.identity;
                none.insert(Committed::open(config, topic, key)?)
            }
        };
        if let Some(found) = reader.read(SLICE)? {
            self.found = found.into_iter().max_by_key(|json| number(json));
            self.reader = None;
            self.stage = Stage::Ready;
        }
        Ok(())
    }

    /// Takes the transaction back in place, if that is a matter of a moment. `false`: it needs another
    /// client.
    pub fn abort(&mut self, client: &Client, give_up: &dyn Fn() -> bool) -> bool {
        match self.stage {
            Stage::Ready => return true,
            Stage::Open => {}
            Stage::New | Stage::Alone | Stage::Ending => return false,
        }
        client.context().state().drain_queues();
        loop {
            match client.abort_transaction(SHORT_SLICE) {
                Ok(()) => break,
                Err(error) if is_retriable(&error) => {
                    drain(client);
                    if give_up() {
                        return false;
                    }
                }
                Err(error) => {
                    debug!(%error, "a transaction can't be taken back in place");
                    return false;
                }
            }
        }
        drain(client);
        self.stage = Stage::Ready;
        client.context().state().pending.count() == 0
    }

    pub fn commit(&mut self, client: &Client, record: &Record<'_>, patience: Duration) -> Commit {
        if self.stage != Stage::Ending {
            if let Err(failure) = self.open(client) {
                return Commit::Failed(failure);
            }
            let slot = client.context().state().pending.insert(CHECKPOINT, 1, Instant::now());
            let mut message = BaseRecord::with_opaque_to(record.topic, slot);
            message.payload = record.value;
            message.key = record.key;
            if let Err((error, _)) = client.send(message) {
                client.context().state().pending.remove(slot);
                if matches!(error, KafkaError::MessageProduction(Code::QueueFull)) {
                    return Commit::Pending;
                }
                return Commit::Failed(fatal(&error));
            }
            self.stage = Stage::Ending;
        }
        match client.commit_transaction(patience) {
            Ok(()) => {
                self.stage = Stage::Ready;
                Commit::Done
            }
            Err(error) if is_retriable(&error) => Commit::Pending,
            Err(error) => Commit::Failed(fatal(&error)),
        }
    }

    /// Logs each problem once.
    fn log_once(&mut self, text: &str) {
        if self.logged != text {
            error!(
                transactional_id = self.identity.id,
                "forwarding cannot start; deliveries stay in the spool: {text}"
            );
            self.logged = text.into();
        }
    }
}

/// Counts checkpoints; this module knows no more of them.
fn number(json: &[u8]) -> u64 {
    #[derive(serde::Deserialize)]
    struct Numbered {
        #[serde(default)]
        number: u64,
    }
    serde_json::from_slice(json).map_or(0, |numbered: Numbered| numbered.number)
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => {
            !error.is_fatal()
                && !error.txn_requires_abort()
                && (error.is_retriable() || error.code() == Code::OperationTimedOut)
        }
        KafkaError::Flush(code) => *code == Code::OperationTimedOut,
        _ => false,
    }
}

fn fatal(error: &KafkaError) -> Failure {
    Failure::Fatal(error.to_string())
}

fn advice(error: &KafkaError, identity: &Identity, topics: &Topics) -> String {
    match error.rdkafka_error_code() {
        Some(Code::TransactionalIdAuthorizationFailed) => {
            format!("; run: {}", topics.advice().allow_transactions())
        }
        Some(Code::InvalidTransactionTimeout) => format!(
            "; transactions may last {} (kafka.transaction_timeout, or twice forward.hold_after), and \
             transaction.max.timeout.ms of the brokers is less: lower the one or raise the other",
            readable::length(identity.timeout)
        ),
        _ => String::new(),
    }
}

/// A transaction that is open when its producer ends would keep readers waiting until it times out.
pub(super) fn end_with(client: &Client, stage: Stage) {
    if !matches!(stage, Stage::Open) {
        return;
    }
    let end = Instant::now() + Duration::from_millis(500);
    loop {
        match client.abort_transaction(SHORT_SLICE) {
            Err(error) if is_retriable(&error) && Instant::now() < end => drain(client),
            Err(error) => {
                warn!(%error, "cannot abort a transaction; the cluster ends it at its timeout");
                return;
            }
            Ok(()) => return,
        }
    }
}
