//! Taking over on the in-memory cluster, whose topic of checkpoints cannot be read to its end.

use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::kafka::{Fault, MockCluster};

const TOPIC: &str = "t.checkpoints";
const STORED: &str = r#"{"number":7}"#;
const TEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Faults for more requests than any test makes.
const ALWAYS: [Fault; 1000] = [Fault::LeaderNotAvailable; 1000];

struct Rig {
    kafka: config::Kafka,
    topics: Arc<Topics>,
    client: Client,
    transactions: Transactions,
    /// Last, so that the clients end before it.
    cluster: MockCluster,
}

impl Rig {
    /// A take-over whose identity is already alone, and whose look-up began `time` ago.
    fn looking_for(time: Duration) -> Self {
        let cluster = MockCluster::start(1).unwrap();
        cluster.create_topic(TOPIC, 1).unwrap();
        let kafka = config::Kafka {
            bootstrap_servers: cluster.bootstrap().into(),
            properties: BTreeMap::new(),
            queue_size: config::Kafka::QUEUE_SIZE,
            delivery: Default::default(),
        };
        let before: BaseProducer = properties::client(&kafka).create().unwrap();
        before.send(BaseRecord::to(TOPIC).key("1").payload(STORED)).unwrap();
        before.flush(TEST_TIMEOUT).unwrap();
        let settings = config::Topics::default();
        let maker = cluster.topic_maker(1);
        let topics = Topics::start_with(&kafka, &settings, "t.", maker).unwrap();
        let context = Producing::new(&kafka, Arc::clone(&topics), None);
        let native = properties::producer(&kafka, kafka.queue_size);
        let client = native.create_with_context(context).unwrap();
        let mut transactions = Transactions::new(Identity {
            id: "millrace-1".into(),
            topic: TOPIC.into(),
            key: "1".into(),
            timeout: Duration::from_secs(10),
        });
        transactions.stage = Stage::Alone;
        transactions.looks_since = Instant::now().checked_sub(time).expect("the machine is older");
        Self { kafka, topics, client, transactions, cluster }
    }

    fn look(&mut self, rounds: usize) -> Result<(), Failure> {
        let left = std::cell::Cell::new(rounds);
        let give_up = || left.replace(left.get().saturating_sub(1)) == 0;
        self.transactions.take_over(&self.client, &self.kafka, &self.topics, &give_up)
    }

    /// Looks until reading has begun, which does not end.
    fn look_in_vain(&mut self) {
        self.cluster.fail_fetches(&ALWAYS).unwrap();
        let end = Instant::now() + TEST_TIMEOUT;
        let is_reading = |it: &Self| it.transactions.reader.as_ref().is_some_and(Committed::reads);
        while !is_reading(self) {
            assert!(Instant::now() < end, "it does not begin to read");
            let looked = self.look(1);
            assert!(matches!(looked, Err(Failure::Passing(_))), "what cannot be read: {looked:?}");
        }
        assert!(matches!(self.look(1), Err(Failure::Passing(_))));
    }
}

#[test]
fn an_end_of_the_checkpoints_that_never_comes_is_said_with_what_to_do_until_it_is_there() {
    let mut rig = Rig::looking_for(Duration::from_secs(41));
    rig.look_in_vain();
    let logged = rig.transactions.logged.clone();
    assert!(logged.contains("t.checkpoints cannot be read to its end"), "{logged}");
    assert!(logged.contains("kafka-transactions.sh find-hanging"), "{logged}");
    assert!(logged.contains("`abort` ends it"), "{logged}");

    rig.cluster.clear_fetch_faults().unwrap();
    rig.look(usize::MAX).unwrap();
    assert_eq!(rig.transactions.stage, Stage::Ready);
    assert_eq!(rig.transactions.found.as_deref(), Some(STORED.as_bytes()));
    assert_eq!(rig.transactions.logged, "", "the next trouble is a new one");
}

#[test]
fn the_time_that_another_instances_transaction_may_take_to_end_is_nothing_to_tell_of() {
    let mut rig = Rig::looking_for(Duration::from_secs(20));
    rig.look_in_vain();
    assert_eq!(rig.transactions.logged, "");
}
