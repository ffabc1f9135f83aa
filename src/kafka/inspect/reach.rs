//! Whether a cluster answers, and a broker at each address that it names.

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

/// How long one try for the first answer may take.
const EACH_QUESTION: Duration = Duration::from_secs(3);

/// For the first answer of a cluster that is in trouble.
const ADDRESSES: Duration = Duration::from_secs(10);

/// Logs it where a cluster that does not answer names addresses where no broker answers: the other log lines
/// name `kafka.bootstrap_servers` alone.
pub fn warn_of_addresses(kafka: &config::Kafka, topic: &str) {
    // Other problems of the cluster are logged by the thread that waits for it.
    let Ok(inspector) = Inspector::new(kafka, None) else { return };
    if let Err(error @ InspectError::Unreachable { .. }) = inspector.reach(topic, ADDRESSES) {
        tracing::warn!("{error}");
    }
}

impl Inspector<'_> {
    /// Waits for the cluster, and looks whether a broker answers at each address that it names; returns these.
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
            let (brokers, addresses) =
                (self.kafka.bootstrap_servers.clone(), unreachable.join(", "));
            Err(InspectError::Unreachable { brokers, addresses })
        };
        let asked = Instant::now();
        let mut is_looked_at = false;
        let brokers = self.first_answer(topic, timeout, &mut || {
            // Of a cluster that names brokers where none answers there is no second answer.
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

    /// Why no bootstrap server answers: of a single one what the client complained of, if it says anything;
    /// otherwise each of them is asked alone, all at the same time, since a client tells of one of them.
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
            within: Question::patience(Duration::ZERO, EACH_QUESTION),
            cluster_id: None,
        };
        let found = addresses::unreachable(&question, &servers);
        match found.is_empty() {
            true => cause::with(self.kafka, complaint.unwrap_or_else(|| error.to_string())),
            false => found.join(", "),
        }
    }

    /// Waits for the cluster; returns the brokers that it names, in the order of their ids. After each try in
    /// vain, `unanswered` may end it.
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
            let answer = self.client.client().fetch_metadata(Some(topic), left.min(EACH_QUESTION));
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
