//! Topics made and deleted by an operator.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};

fn client(address: &str) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    config.create().expect("an admin client can be made")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime can be made").block_on(future)
}

/// Creates `topic` with the cluster's own number of replicas.
#[track_caller]
pub fn create_topic(address: &str, topic: &str, partitions: i32) {
    create_topic_with(address, topic, partitions, &[]);
}

/// The same with settings of its own.
#[track_caller]
pub fn create_topic_with(address: &str, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
    let results = block_on(client(address).create_topics([&new], &AdminOptions::new()));
    for result in results.expect("the cluster answers") {
        result.unwrap_or_else(|(topic, error)| panic!("cannot create {topic}: {error}"));
    }
}

/// Creates many topics of one partition, a few hundred in a request.
#[allow(dead_code, reason = "tests/kafka makes a large cluster")]
#[track_caller]
pub fn create_topics(address: &str, topics: &[String]) {
    let client = client(address);
    for topics in topics.chunks(250) {
        let new = |topic| NewTopic::new(topic, 1, TopicReplication::Fixed(1));
        let new: Vec<_> = topics.iter().map(|topic| new(topic.as_str())).collect();
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(60)));
        for result in block_on(client.create_topics(&new, &options)).expect("the cluster answers") {
            result.unwrap_or_else(|(topic, error)| panic!("cannot create {topic}: {error}"));
        }
    }
}

/// Creates `topic` with one partition, on this broker alone.
#[allow(dead_code, reason = "tests/faults moves topics")]
#[track_caller]
pub fn create_topic_on(address: &str, topic: &str, broker: u32) {
    let broker = i32::try_from(broker).expect("a broker's id");
    let place: &[&[i32]] = &[&[broker]];
    let new = NewTopic::new(topic, 1, TopicReplication::Variable(place));
    let results = block_on(client(address).create_topics([&new], &AdminOptions::new()));
    for result in results.expect("the cluster answers") {
        result.unwrap_or_else(|(topic, error)| panic!("cannot create {topic}: {error}"));
    }
}

/// The brokers that lead the partitions of `topic`, as a new client sees it.
#[allow(dead_code, reason = "tests/faults moves topics")]
#[track_caller]
pub fn leaders(address: &str, topic: &str) -> Vec<i32> {
    let client = client(address);
    let metadata = client.inner().fetch_metadata(Some(topic), Duration::from_secs(60));
    let metadata = metadata.expect("the cluster answers");
    let topics = metadata.topics().iter();
    topics.flat_map(|topic| topic.partitions()).map(|partition| partition.leader()).collect()
}

#[track_caller]
pub fn delete_topic(address: &str, topic: &str) {
    let results = block_on(client(address).delete_topics(&[topic], &AdminOptions::new()));
    for result in results.expect("the cluster answers") {
        result.unwrap_or_else(|(topic, error)| panic!("cannot delete {topic}: {error}"));
    }
}
