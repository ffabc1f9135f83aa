//! Lists all topics of the cluster, on a thread and a connection of its own.
//!
//! The answer grows with the cluster: thousands of topics are megabytes, minutes on a slow line. So no
//! other answer waits behind it, and its time limit grows: each attempt that gets no answer in time is
//! followed by one that may take twice as long.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{error::KafkaError, producer::Producer};
use tracing::warn;

use super::{
    Shared,
    directory::{Found, Listing},
    found,
};
use crate::{
    config,
    kafka::{
        by_name::Patience,
        cluster::Cluster,
        context::{drain, ready},
        properties,
    },
    runtime::retry::Retry,
};

/// Timeouts of the first attempt and of later ones: librdkafka waits no longer for an answer.
const FIRST_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_TIMEOUT: Duration = Duration::from_secs(300);

pub(super) struct Lister {
    patience: Patience,
    under_way: Option<mpsc::Receiver<Option<Listing>>>,
    /// Pauses after a failure.
    retry: Retry,
    not_before: Instant,
}

pub(super) enum Result {
    Here(Listing),
    Failed,
}

impl Lister {
    pub fn new() -> Self {
        Self {
            patience: Patience::new(FIRST_TIMEOUT, MAX_TIMEOUT),
            under_way: None,
            retry: Retry::new(Duration::from_millis(100), Duration::from_secs(30)),
            not_before: Instant::now(),
        }
    }

    pub fn may_start(&self) -> bool {
        self.under_way.is_none() && Instant::now() >= self.not_before
    }

    /// Starts a listing; the directory's thread is woken when there is a result.
    pub fn start(&mut self, shared: &Arc<Shared>) {
        let (send, receive) = mpsc::channel();
        let (_, kafka) = shared.access.get();
        let shared = Arc::clone(shared);
        let within = self.patience.now();
        let ask = move || {
            let listing = list(&kafka, &shared.cluster, within);
            // The directory may have ended, or abandoned the listing.
            let _ = send.send(listing);
            shared.wake();
        };
        // Without a thread the sender is dropped, which counts as a failure.
        let _ = thread::Builder::new().name("kafka-list".into()).spawn(ask);
        self.under_way = Some(receive);
    }

    /// The result of the listing, once.
    pub fn result(&mut self) -> Option<Result> {
        let listing = match self.under_way.as_ref()?.try_recv() {
            Err(mpsc::TryRecvError::Empty) => return None,
            Ok(listing) => listing,
            Err(mpsc::TryRecvError::Disconnected) => None,
        };
        self.under_way = None;
        Some(match listing {
            Some(listing) => {
                self.patience.answered(listing.took);
                self.retry.reset();
                Result::Here(listing)
            }
            None => {
                self.patience.unanswered();
                self.not_before = Instant::now() + self.retry.next_delay();
                Result::Failed
            }
        })
    }

    /// Gives up the listing under way.
    pub fn abandon(&mut self) {
        self.under_way = None;
    }
}

fn list(kafka: &config::Kafka, cluster: &Arc<Cluster>, within: Duration) -> Option<Listing> {
    match ask(kafka, cluster, within) {
        Ok(listing) => Some(listing),
        // The clients that ask about single topics report that the cluster is away.
        Err(_) if cluster.is_away() => None,
        Err(error) => {
            let error = properties::describe(&error);
            let seconds = within.as_secs();
            warn!(
                error,
                seconds,
                "cannot list the cluster's topics within {seconds} s; new topics wait, and the next try may take longer"
            );
            None
        }
    }
}

fn ask(
    kafka: &config::Kafka,
    cluster: &Arc<Cluster>,
    within: Duration,
) -> std::result::Result<Listing, KafkaError> {
    let mut native = properties::client(kafka);
    // With the default the library closes the connection in the middle of a long answer.
    native.set("socket.timeout.ms", within.as_millis().to_string());
    let client = ready(kafka, &native, cluster)?;
    let asked = Instant::now();
    let metadata = client.client().fetch_metadata(None, within);
    drain(&client);
    let metadata = metadata?;
    let topics = metadata.topics().iter().map(|topic| (topic.name().to_owned(), found(topic)));
    let topics = topics.filter(|(_, found)| *found != Found::Missing).collect();
    Ok(Listing { topics, took: asked.elapsed() })
}
