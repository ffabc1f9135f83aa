use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use millrace::{
    config,
    kafka::{
        Made, MockCluster, TopicMaker, Topics,
        produce::{Failure, Outcome, TopicState},
    },
};

use crate::rig::{Rig, kafka, until};

fn topics(
    cluster: &MockCluster,
    config: &config::Topics,
    maker: Box<dyn TopicMaker>,
) -> Arc<Topics> {
    let kafka = kafka(cluster.bootstrap(), &[]);
    Topics::start_with(&kafka, config, "marketo.", maker).unwrap()
}

/// Makes topics and counts the requests.
struct Counting {
    maker: Box<dyn TopicMaker>,
    requests: Arc<AtomicUsize>,
}

impl TopicMaker for Counting {
    fn make(&mut self, topics: &[String]) -> Vec<(String, Made)> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.maker.make(topics)
    }
}

#[test]
fn missing_topics_are_made_together_and_existing_ones_are_found() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("marketo.there", 1).unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let maker = Counting { maker: cluster.topic_maker(1), requests: Arc::clone(&requests) };
    let topics = topics(&cluster, &config::Topics::default(), Box::new(maker));
    let names: Vec<_> = (0..50).map(|n| format!("marketo.{n}")).collect();
    let state = |name: &String| topics.state(name) == TopicState::Ready;
    until("fifty topics", || names.iter().filter(|name| state(name)).count() == 50);
    assert!(state(&"marketo.there".into()));
    assert!(requests.load(Ordering::Relaxed) <= 5, "{requests:?} requests for 50 topics");
    assert_eq!(topics.counted(), 51);
}

#[test]
fn a_topic_that_may_not_be_made_is_unavailable_until_it_is_there() {
    struct Refusing;
    impl TopicMaker for Refusing {
        fn make(&mut self, topics: &[String]) -> Vec<(String, Made)> {
            topics.iter().map(|topic| (topic.clone(), Made::Refused("ask Ada".into()))).collect()
        }
    }
    let cluster = MockCluster::start(1).unwrap();
    let topics = topics(&cluster, &config::Topics::default(), Box::new(Refusing));
    until("a refusal", || topics.state("marketo.a") == TopicState::Unavailable("ask Ada".into()));
    cluster.create_topic("marketo.a", 1).unwrap();
    until("the topic", || topics.state("marketo.a") == TopicState::Ready);
}

#[test]
fn a_cluster_that_comes_back_settles_what_was_pending() {
    let cluster = MockCluster::start(1).unwrap();
    let topics = topics(&cluster, &config::Topics::default(), cluster.topic_maker(1));
    until("the cluster", || topics.cluster_silence().is_some());
    cluster.take_away().unwrap();
    let silent = std::time::Duration::from_secs(2);
    until("silence", || {
        assert_eq!(topics.state("marketo.a"), TopicState::Pending);
        topics.cluster_silence().unwrap() > silent
    });
    cluster.bring_back().unwrap();
    until("the topic", || topics.state("marketo.a") == TopicState::Ready);
}

#[test]
fn an_admin_api_that_does_not_answer_leaves_the_topic_pending() {
    // The mock cluster knows no CreateTopics: the request of the real maker ends without an answer.
    let cluster = MockCluster::start(1).unwrap();
    let kafka = kafka(cluster.bootstrap(), &[]);
    let topics = Topics::start(&kafka, &config::Topics::default(), "marketo.").unwrap();
    assert_eq!(topics.state("marketo.a"), TopicState::Pending);
    until("the cluster", || topics.cluster_silence().is_some());
    cluster.create_topic("marketo.a", 1).unwrap();
    until("the topic", || match topics.state("marketo.a") {
        TopicState::Ready => true,
        TopicState::Pending => false,
        other => panic!("{other:?}"),
    });
}

#[test]
fn a_topic_that_a_producer_misses_is_looked_up_and_made_again() {
    let mut rig = Rig::new();
    let topic = "marketo.lead-activity.a";
    let made = Arc::new(Mutex::new(Vec::new()));
    struct Noting(Arc<Mutex<Vec<String>>>, Box<dyn TopicMaker>);
    impl TopicMaker for Noting {
        fn make(&mut self, topics: &[String]) -> Vec<(String, Made)> {
            self.0.lock().unwrap().extend_from_slice(topics);
            self.1.make(topics)
        }
    }
    let maker = Noting(Arc::clone(&made), rig.cluster.topic_maker(1));
    let config = config::Topics::default();
    rig.topics = Topics::start_with(&rig.kafka, &config, "marketo.", Box::new(maker)).unwrap();
    rig.producer = millrace::kafka::Producer::new(&rig.kafka, 1 << 20, Arc::clone(&rig.topics));
    millrace::kafka::produce::Sink::renew(&mut rig.producer, &|| false).unwrap();

    // The producer believes what it is told, and then finds no such topic.
    rig.send(topic, "key", "value", 0);
    rig.poll_until(1);
    let outcome = &rig.outcomes[&0];
    let Outcome::Failed(Failure::Passing(text)) = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("kafka-topics.sh"), "{text}");
    rig.ready(topic);
    assert_eq!(*made.lock().unwrap(), [topic]);
    until("a delivery", || {
        let token = rig.outcomes.len();
        let record = millrace::record::Record {
            topic,
            key: Some(b"key"),
            value: b"value",
            headers: &[],
            timestamp: None,
        };
        if millrace::kafka::produce::Sink::send(&mut rig.producer, &record, token).is_ok() {
            rig.poll_until(token + 1);
        }
        rig.delivered() > 0
    });
}
