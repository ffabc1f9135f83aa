//! Whether a cluster answers, and whether a broker answers at each address that it names.

use std::time::{Duration, Instant};

use rdkafka::{error::KafkaError, metadata::MetadataBroker, producer::Producer};

use super::{
    InspectError, Inspector,
    addresses::{self, Named, Question},
};
use crate::{
    config,
    kafka::{cause, context::drain},
};

/// Timeout of one attempt at the first answer.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for the first answer of a cluster in trouble.
const ADDRESSES_TIMEOUT: Duration = Duration::from_secs(10);

/// Logs the addresses that a cluster names where no broker answers: the other log lines only name
/// `kafka.bootstrap_servers`.
pub fn warn_of_addresses(kafka: &config::Kafka, topic: &str) {
    // Other problems of the cluster are logged by the thread that waits for it.
    let Ok(inspector) = Inspector::new(kafka, None) else { return };
    if let Err(error @ InspectError::Unreachable { .. }) = inspector.reach(topic, ADDRESSES_TIMEOUT)
    {
        tracing::warn!("{error}");
    }
}

impl Inspector<'_> {
    /// Waits for the cluster, and checks that a broker answers at each address that it names; returns these.
    /// Asks about `topic`, since a listing of all topics may take long.
    pub fn reach(&self, topic: &str, timeout: Duration) -> Result<Vec<Named>, InspectError> {
        let look = |brokers: &[Named], after: Duration| {
            let question = Question {
                kafka: self.kafka.clone(),
                topic: topic.to_owned(),
                within: Question::patience(after, timeout),
                cluster_id: self.client.client().fetch_cluster_id(Duration::from_secs(1)),
            };
            let unreachable = addresses::unreachable(&question, brokers);
            if unreachable.is_empty() {
                return Ok(());
            }
            let brokers = self.kafka.bootstrap_servers.clone();
            let addresses = unreachable.join(", ");
            Err(InspectError::Unreachable { brokers, addresses })
        };
        let asked = Instant::now();
        let mut is_looked_at = false;
        let brokers = self.first_answer(topic, timeout, &mut || {
            // A cluster that names brokers where none answers gives no second answer.
            match self.cluster.named() {
                Some(named) if !is_looked_at => {
                    is_looked_at = true;
                    look(&named.brokers, named.after)
                }
                _ => Ok(()),
            }
        })?;
        if !is_looked_at {
            look(&brokers, asked.elapsed())?;
        }
        Ok(brokers)
    }

    /// The reason why no bootstrap server answers. For a single server it is the client's complaint, if there is one;
    /// otherwise each server is asked alone, all at the same time, since a client complains of only one of them.
    fn why(&self, topic: &str, error: &KafkaError) -> String {
        let complaint = self.cluster.last_complaint();
        let servers = addresses::servers(&self.kafka.bootstrap_servers);
        let is_token =
            complaint.as_ref().is_some_and(|reason| reason.contains("no token for Kafka"));
        let says_enough = complaint.as_ref().is_some_and(|reason| !reason.contains("imed out"));
        if is_token || servers.is_empty() || (servers.len() == 1 && says_enough) {
            return cause::with(self.kafka, complaint.unwrap_or_else(|| error.to_string()));
        }
        let question = Question {
            kafka: self.kafka.clone(),
            topic: topic.to_owned(),
            within: Question::patience(Duration::ZERO, QUESTION_TIMEOUT),
            cluster_id: None,
        };
        let found = addresses::unreachable(&question, &servers);
        match found.is_empty() {
            true => cause::with(self.kafka, complaint.unwrap_or_else(|| error.to_string())),
            false => found.join(", "),
        }
    }

    /// Waits for the cluster; returns the brokers that it names, in the order of their ids. `unanswered` is called
    /// after each failed attempt, and may end the wait.
    pub fn first_answer(
        &self,
        topic: &str,
        timeout: Duration,
        unanswered: &mut dyn FnMut() -> Result<(), InspectError>,
    ) -> Result<Vec<Named>, InspectError> {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // An answer may take long on a slow line; a failure is known sooner by what it leaves behind.
            let answer =
                self.client.client().fetch_metadata(Some(topic), left.min(QUESTION_TIMEOUT));
            drain(&self.client); // The reason for a failure comes as an event.
            let error = match answer {
                Ok(metadata) => {
                    let named = |broker: &MetadataBroker| Named {
                        id: broker.id(),
                        host: broker.host().to_owned(),
                        port: u16::try_from(broker.port()).unwrap_or(0),
                    };
                    let mut brokers: Vec<_> = metadata.brokers().iter().map(named).collect();
                    brokers.sort_by_key(|broker| broker.id);
                    return Ok(brokers);
                }
                Err(error) => error,
            };
            unanswered()?;
            if left.is_zero() {
                return Err(self.no_answer(timeout, self.why(topic, &error)));
            }
        }
    }
}
