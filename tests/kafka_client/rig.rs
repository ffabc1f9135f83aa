//! What every test here needs: a cluster, a directory, a producer, and a reader's view of it all.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use millrace::{
    config::{self, Secret},
    kafka::{
        MockCluster, Producer, ReadRecord, Reader, Select, Topics, Watch,
        produce::{Outcome, SendError, Sink, Token, TopicState},
    },
    observe::metrics::Metrics,
    record::Record,
};

pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Rig {
    pub kafka: config::Kafka,
    pub topics: Arc<Topics>,
    pub producer: Producer,
    pub metrics: Metrics,
    pub outcomes: HashMap<Token, Outcome>,
    /// Last, so that the clients end before it.
    pub cluster: MockCluster,
}

pub fn kafka(bootstrap: &str, properties: &[(&str, &str)]) -> config::Kafka {
    let secret = |text: &str| Secret::new(text).unwrap();
    let properties: BTreeMap<String, Secret> =
        properties.iter().map(|(name, value)| ((*name).into(), secret(value))).collect();
    config::Kafka {
        bootstrap_servers: bootstrap.into(),
        properties,
        queue_size: config::Kafka::QUEUE_SIZE,
        delivery: Default::default(),
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::with(1, &[])
    }

    pub fn with(brokers: u16, properties: &[(&str, &str)]) -> Self {
        Self::on(MockCluster::start(brokers).unwrap(), properties, true)
    }

    /// With as many requests under way as on a real cluster, although this one looks at no sequence
    /// numbers, as a broker does not of a producer that is new to it.
    pub fn with_requests_under_way(properties: &[(&str, &str)]) -> Self {
        Self::on(MockCluster::start(1).unwrap(), properties, false)
    }

    fn on(cluster: MockCluster, properties: &[(&str, &str)], one_request: bool) -> Self {
        let mut kafka = kafka(cluster.bootstrap(), properties);
        if one_request {
            kafka.properties.extend(cluster.properties());
        }
        let config = config::Topics::default();
        let topics =
            Topics::start_with(&kafka, &config, "marketo.", cluster.topic_maker(4)).unwrap();
        let metrics = Metrics::new();
        let mut producer = Producer::new(&kafka, kafka.queue_size, Arc::clone(&topics))
            .watched(Watch::new("rig", &metrics));
        producer.renew(&|| false).unwrap();
        Self { kafka, topics, producer, metrics, outcomes: HashMap::new(), cluster }
    }

    /// Waits until `topic` can be written.
    pub fn ready(&mut self, topic: &str) {
        let producer = &mut self.producer;
        until(&format!("topic {topic}"), || producer.topic(topic) == TopicState::Ready);
    }

    /// Sends one record, waiting for room in the queue. What the library knows to fail at once has its
    /// outcome like the others, which learn it later: which of the two it is depends on the machine.
    pub fn send(&mut self, topic: &str, key: &str, value: &str, token: Token) {
        let record = Record {
            topic,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[],
            timestamp: None,
        };
        loop {
            match self.producer.send(&record, token) {
                Ok(()) => return,
                Err(SendError::QueueFull) => self.poll(),
                Err(SendError::Failed(failure)) => {
                    let before = self.outcomes.insert(token, Outcome::Failed(failure));
                    return assert_eq!(before, None, "token {token} was sent before");
                }
            }
        }
    }

    /// Polls once; an outcome that comes twice is a failure.
    pub fn poll(&mut self) {
        let mut outcomes = Vec::new();
        self.producer.poll(Duration::from_millis(50), &mut outcomes);
        for (token, outcome) in outcomes {
            let before = self.outcomes.insert(token, outcome.clone());
            assert_eq!(before, None, "token {token} got a second outcome, {outcome:?}");
        }
    }

    /// Polls until `count` records have an outcome.
    pub fn poll_until(&mut self, count: usize) {
        let end = Instant::now() + PATIENCE;
        while self.outcomes.len() < count {
            assert!(Instant::now() < end, "{} of {count} outcomes", self.outcomes.len());
            self.poll();
        }
    }

    pub fn delivered(&self) -> usize {
        self.outcomes.values().filter(|outcome| **outcome == Outcome::Delivered).count()
    }

    /// The values of the only key that there is, which are numbers.
    pub fn of_one_key(&self) -> Vec<usize> {
        let values: Vec<_> = by_key(&self.read_all()).into_values().collect();
        let [values] = &values[..] else { panic!("{} keys", values.len()) };
        values.iter().map(|value| value.parse().unwrap()).collect()
    }

    /// Everything on the topics that begin with `marketo.`.
    pub fn read_all(&self) -> Vec<ReadRecord> {
        read_all(&self.kafka)
    }
}

pub fn read_all(kafka: &config::Kafka) -> Vec<ReadRecord> {
    let mut reader = Reader::open(kafka, Select::Prefix("marketo.".into())).unwrap();
    let mut records = Vec::new();
    let end = Instant::now() + PATIENCE;
    loop {
        let read = reader.read(10_000, Duration::from_millis(100)).unwrap();
        let nothing = read.is_empty();
        records.extend(read);
        if nothing && reader.is_at_end().unwrap() {
            return records;
        }
        assert!(Instant::now() < end, "the reader never came to the end");
    }
}

/// The values of each topic and key, in the order of their offsets.
pub fn by_key(records: &[ReadRecord]) -> BTreeMap<(String, String), Vec<String>> {
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
    let mut sorted: Vec<_> = records.iter().collect();
    sorted.sort_by_key(|record| (record.partition, record.offset));
    let mut values: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for record in sorted {
        let key = (record.topic.clone(), text(&record.key));
        values.entry(key).or_default().push(text(&record.value));
    }
    values
}

/// Waits for a condition.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
