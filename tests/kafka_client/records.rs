use millrace::{kafka::produce::Sink, record::Record};

use crate::rig::Rig;

const TOPIC: &str = "marketo.lead-activity.a";

#[test]
fn key_value_and_headers_arrive_as_they_were_in_order() {
    let mut rig = Rig::new();
    rig.ready(TOPIC);
    let headers = [
        ("content-type", &b"application/json"[..]),
        ("ce_id", b"0b5e"),
        ("empty", b""),
        ("ce_id", b"twice"),
        ("bytes", &[0, 159, 146, 150]),
    ];
    let record = Record {
        topic: TOPIC,
        key: Some(b"999-XYZ-000:4711"),
        value: b"{\"a\":1}",
        headers: &headers,
        timestamp: None,
    };
    rig.producer.send(&record, 0).unwrap();
    rig.poll_until(1);
    let read = rig.read_all();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].topic, TOPIC);
    assert_eq!(read[0].key.as_deref(), record.key);
    assert_eq!(read[0].value.as_deref(), Some(record.value));
    let expected: Vec<_> = headers.iter().map(|(n, v)| (String::from(*n), v.to_vec())).collect();
    assert_eq!(read[0].headers, expected);
    assert_eq!(read[0].header("ce_id"), Some("0b5e"));
}

#[test]
fn an_empty_value_is_empty_and_not_null() {
    let mut rig = Rig::new();
    rig.ready(TOPIC);
    let record =
        Record { topic: TOPIC, key: Some(b"key"), value: b"", headers: &[], timestamp: None };
    rig.producer.send(&record, 0).unwrap();
    let never_allocated = Vec::new();
    rig.producer.send(&Record { value: &never_allocated, ..record }, 1).unwrap();
    rig.poll_until(2);
    let values: Vec<_> = rig.read_all().into_iter().map(|record| record.value).collect();
    assert_eq!(values, [Some(vec![]), Some(vec![])]);
}

#[test]
fn records_without_a_key_have_null_for_it_and_take_turns_at_the_partitions() {
    let mut rig = Rig::new();
    let partitions = 3;
    rig.cluster.create_topic(TOPIC, partitions).unwrap();
    rig.ready(TOPIC);
    let records = 30;
    for token in 0..records {
        let value = token.to_string();
        let record = Record {
            topic: TOPIC,
            key: None,
            value: value.as_bytes(),
            headers: &[],
            timestamp: None,
        };
        rig.producer.send(&record, token).unwrap();
    }
    rig.poll_until(records);
    assert_eq!(rig.delivered(), records);
    let read = rig.read_all();
    assert!(read.iter().all(|record| record.key.is_none()));
    for partition in 0..partitions {
        let there = read.iter().filter(|record| record.partition == i32::from(partition));
        assert_eq!(there.count(), 10, "partition {partition}");
    }
}

/// Keys and the hash that Kafka's Java clients make of them, from Kafka's own test
/// (`org.apache.kafka.common.utils.UtilsTest.testMurmur2`).
const JAVA_MURMUR2: [(&str, i32); 6] = [
    ("21", -973_932_308),
    ("foobar", -790_332_482),
    ("a-little-bit-long-string", -985_981_536),
    ("a-little-bit-longer-string", -1_486_304_829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    ("abc", 479_470_107),
];

#[test]
fn a_key_is_on_the_partition_where_java_clients_put_it() {
    let mut rig = Rig::new();
    let partitions = 97;
    rig.cluster.create_topic(TOPIC, partitions).unwrap();
    rig.ready(TOPIC);
    for (n, (key, _)) in JAVA_MURMUR2.iter().enumerate() {
        rig.send(TOPIC, key, "value", n);
    }
    rig.poll_until(JAVA_MURMUR2.len());
    let read = rig.read_all();
    for (key, hash) in JAVA_MURMUR2 {
        let record = read.iter().find(|record| record.key.as_deref() == Some(key.as_bytes()));
        let expected = (hash & 0x7fff_ffff) % i32::from(partitions);
        assert_eq!(record.unwrap().partition, expected, "{key}");
    }
}
