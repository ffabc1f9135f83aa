use std::{
    io::Write as _,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use millrace::{
    config,
    kafka::{Fault, InspectError, MockCluster, Reader, Select, TopicInfo, inspect, produce::Sink},
};

use crate::rig::{Rig, kafka};

#[test]
fn the_probe_reports_brokers_and_topics() {
    let cluster = MockCluster::start(2).unwrap();
    cluster.create_topic("marketo.there", 3).unwrap();
    cluster.create_topic("marketo.secret", 1).unwrap();
    cluster.fail_topic("marketo.secret", Some(Fault::TopicAuthorizationFailed)).unwrap();
    let config = config::Topics { create: false, ..config::Topics::default() };
    let names = ["marketo.there", "marketo.missing", "marketo.secret"].map(String::from);
    let kafka = kafka(cluster.bootstrap(), &[]);
    let report = inspect(&kafka, &config, &names, Duration::from_secs(5)).unwrap();
    assert_eq!(report.brokers.len(), 2);
    assert!(report.cluster_id.is_some());
    assert_eq!(report.topics[0].1, TopicInfo::Exists { partitions: 3, replicas: 1, leaderless: 0 });
    assert!(report.topics[0].1.is_fine());
    let TopicInfo::Trouble(text) = &report.topics[1].1 else { panic!("{report:?}") };
    assert!(text.contains("topics.create is off") && text.contains("kafka-topics.sh"), "{text}");
    let TopicInfo::Trouble(text) = &report.topics[2].1 else { panic!("{report:?}") };
    assert!(text.contains("kafka-acls.sh"), "{text}");
}

#[test]
fn the_probe_of_a_cluster_that_is_away_ends_in_time_and_says_why() {
    let kafka = kafka("127.0.0.1:1", &[]);
    let start = Instant::now();
    let error =
        inspect(&kafka, &config::Topics::default(), &[], Duration::from_secs(2)).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    let InspectError::NoAnswer { brokers, reason, .. } = &error else { panic!("{error}") };
    assert_eq!(brokers, "127.0.0.1:1");
    assert!(reason.contains("refused"), "{error}");
}

#[test]
fn a_port_that_answers_in_tls_is_a_likely_cause_and_named_with_its_property() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            // The alert that a TLS server has for what is no handshake.
            let _ = stream.and_then(|mut stream| stream.write_all(b"\x15\x03\x01\x00\x02\x02\x46"));
        }
    });
    let probe = |properties: &[(&str, &str)]| {
        let kafka = kafka(&address, properties);
        inspect(&kafka, &config::Topics::default(), &[], Duration::from_secs(2))
            .unwrap_err()
            .to_string()
    };
    let text = probe(&[]);
    assert!(text.contains("security") && text.contains("SSL"), "{text}");
    println!("{text}");
}

#[test]
fn the_probe_of_an_empty_cluster_finds_no_topic() {
    let cluster = MockCluster::start(1).unwrap();
    let kafka = kafka(cluster.bootstrap(), &[]);
    let report = inspect(&kafka, &config::Topics::default(), &[], Duration::from_secs(5)).unwrap();
    assert_eq!(report.topics, []);
}

#[test]
fn a_reader_follows_topics_that_appear_later() {
    let mut rig = Rig::new();
    let mut reader = Reader::open(&rig.kafka, Select::Prefix("marketo.".into())).unwrap();
    assert_eq!(reader.read(10, Duration::from_millis(50)).unwrap(), []);
    let topics = ["marketo.a", "marketo.b", "elsewhere.c"];
    for (n, topic) in topics.iter().enumerate() {
        rig.ready(topic);
        rig.send(topic, "key", &n.to_string(), n);
    }
    rig.poll_until(3);
    let mut read = Vec::new();
    let end = Instant::now() + crate::rig::PATIENCE;
    while read.len() < 2 || !reader.is_at_end().unwrap() {
        assert!(Instant::now() < end, "{read:?}");
        read.extend(reader.read(1, Duration::from_millis(100)).unwrap());
    }
    read.sort_by(|a, b| a.topic.cmp(&b.topic));
    let names: Vec<_> = read.iter().map(|record| record.topic.as_str()).collect();
    assert_eq!(names, ["marketo.a", "marketo.b"]);
    assert!(rig.producer.cluster_silence().is_some());
}
