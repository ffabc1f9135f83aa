//! The transactions of a producer: taking over its identity from another process, committing, taking back.
//!
//! A take-over ends every open transaction of the identity, shuts out the process that has it, and looks
//! up the committed checkpoint. It goes through the stages below; each attempt continues at the stage where the last
//! one had to stop. A transaction is taken back in place where that is possible; not when its end
//! was asked for already, since its result is unknown then until the topic is read.

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

/// Identity of a transactional producer.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `transactional.id`
    pub id: String,
    /// The topic of checkpoints, and the key of this identity's records.
    pub topic: String,
    pub key: String,
    /// Time after which the cluster gives up a transaction.
    pub timeout: Duration,
}

pub(super) struct Transactions {
    pub identity: Identity,
    pub stage: Stage,
    reader: Option<Committed>,
    /// The checkpoint that was read, until it is taken.
    pub found: Option<Vec<u8>>,
    /// Begin of the search for it.
    looks_since: Instant,
    /// The last problem that was logged.
    logged: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The client is new.
    New,
    /// No other producer has the identity any more.
    Alone,
    /// No transaction is open.
    Ready,
    Open,
    /// The end of the transaction was asked for.
    Ending,
}

/// Token of the record that ends a transaction; no lane has it.
pub(super) const CHECKPOINT_TOKEN: Token = Token::MAX;

/// Timeout of one call of the library: a stop is noticed late by this much.
const CALL_TIMEOUT: Duration = Duration::from_millis(100);
/// Time beyond a transaction's timeout before an endless one is suspected and logged.
const HANGING_GRACE: Duration = Duration::from_secs(30);
/// Timeout of calls between which delivery reports are served.
const SHORT_CALL_TIMEOUT: Duration = Duration::from_millis(5);

type Client = BaseProducer<Producing>;

impl Transactions {
    pub fn new(identity: Identity) -> Self {
        let looks_since = Instant::now();
        let logged = String::new();
        Self { identity, stage: Stage::New, reader: None, found: None, looks_since, logged }
    }

    /// Begins the take-over again, for a client that replaces another one.
    pub fn reclaim(&mut self) {
        self.stage = Stage::New;
        self.reader = None;
    }

    /// Notes that the client is of no more use.
    pub fn must_reclaim(&mut self) {
        self.stage = Stage::Ending;
    }

    /// Whether a new client is not ready yet.
    pub fn is_taking_over(&self) -> bool {
        matches!(self.stage, Stage::New | Stage::Alone)
    }

    /// Opens a transaction for the next record.
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

    /// Continues the take-over. An error is worth another attempt; after a fatal one, with another client.
    pub fn take_over(
        &mut self,
        client: &Client,
        config: &config::Kafka,
        topics: &Topics,
        give_up: &dyn Fn() -> bool,
    ) -> Result<(), Failure> {
        while self.stage == Stage::New {
            match client.init_transactions(CALL_TIMEOUT) {
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
                    thread::sleep(CALL_TIMEOUT);
                    continue;
                }
                TopicState::Pending | TopicState::OverLimit => {
                    thread::sleep(SHORT_CALL_TIMEOUT);
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
                debug!(error = text, "the checkpoints cannot be read yet");
                thread::sleep(CALL_TIMEOUT);
            } else if self.stage == Stage::Alone
                && self.looks_since.elapsed() > self.identity.timeout + HANGING_GRACE
            {
                // Each open transaction there has timed out by now. See decision 12.
                self.log_once(&format!(
                    "{} cannot be read to its end, as if a transaction on it had none; \
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
        if let Some(found) = reader.read(CALL_TIMEOUT)? {
            self.found = found.into_iter().max_by_key(|json| number(json));
            self.reader = None;
            self.stage = Stage::Ready;
        }
        Ok(())
    }

    /// Takes the transaction back in place, if that takes only a moment. `false`: it needs another
    /// client.
    pub fn abort(&mut self, client: &Client, give_up: &dyn Fn() -> bool) -> bool {
        match self.stage {
            Stage::Ready => return true,
            Stage::Open => {}
            Stage::New | Stage::Alone | Stage::Ending => return false,
        }
        client.context().state().drain_queues();
        loop {
            match client.abort_transaction(SHORT_CALL_TIMEOUT) {
                Ok(()) => break,
                Err(error) if is_retriable(&error) => {
                    drain(client);
                    if give_up() {
                        return false;
                    }
                }
                Err(error) => {
                    debug!(%error, "a transaction cannot be taken back in place");
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
            let slot = client.context().state().pending.insert(CHECKPOINT_TOKEN, 1, Instant::now());
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

/// The number of a checkpoint; this module reads no more of it.
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

/// Ends an open transaction with its producer: it would keep readers waiting until it times out.
pub(super) fn end_with(client: &Client, stage: Stage) {
    if !matches!(stage, Stage::Open) {
        return;
    }
    let end = Instant::now() + Duration::from_millis(500);
    loop {
        match client.abort_transaction(SHORT_CALL_TIMEOUT) {
            Err(error) if is_retriable(&error) && Instant::now() < end => drain(client),
            Err(error) => {
                warn!(%error, "cannot abort a transaction; the cluster ends it at its timeout");
                return;
            }
            Ok(()) => return,
        }
    }
}
