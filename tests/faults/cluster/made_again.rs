//! A topic is deleted and made again, with another leader and an epoch that begins at zero. A client that
//! knows the old topic takes that for old news, and would go on with the old leader for ever.

use crate::{
    admin,
    broker::Cluster,
    clusters,
    consumers::read_topic,
    jars,
    load::PATIENCE,
    support::{
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

#[test]
fn a_topic_that_is_deleted_and_made_again_is_written_again_in_both_modes() {
    let cluster = clusters::borrow();
    let addresses = cluster.addresses();
    let cases = ["at-least-once", "exactly-once"].map(|mode| {
        let prefix = format!("again-{mode}");
        let topic = format!("{prefix}.lead-activity.clicklink");
        admin::create_topic_on(&addresses, &topic, cluster.brokers[0].id());
        let settings = Settings::new(&addresses, &prefix)
            .set("FORWARD__HOLD_AFTER", "3s")
            .set("TOPICS__CHECKPOINTS", format!("{prefix}.checkpoints"))
            .set("KAFKA__DELIVERY", mode);
        (Bridge::start(settings), topic)
    });
    let arrive = |name: &str| {
        for (bridge, _) in &cases {
            click(bridge, name);
        }
        for (bridge, topic) in &cases {
            bridge.wait_until_drained(PATIENCE);
            let records = read_topic(&addresses, topic);
            let times = records.iter().filter(|record| record.header("ce_id") == name).count();
            assert_eq!(times, 1, "{name} on {topic}");
        }
    };
    // Each move raises the epoch of the leader.
    for to in [1, 2, 0] {
        cases.iter().for_each(|(_, topic)| move_to(&cluster, topic, to));
        arrive(&format!("moved-to-{to}"));
    }
    for (_, topic) in &cases {
        admin::delete_topic(&addresses, topic);
        wait::until("a deleted topic", PATIENCE, || admin::leaders(&addresses, topic).is_empty());
        admin::create_topic_on(&addresses, topic, cluster.brokers[2].id());
    }
    arrive("made-again");
}

#[track_caller]
fn click(bridge: &Bridge, name: &str) {
    let body = format!(
        r#"{{"munchkinId":"999-AGA-001","activities":[{{"marketoGUID":"{name}","leadId":1,"activityDate":"2026-03-02T09:59:58Z","activityTypeId":3,"activityType":"Click Link"}}]}}"#
    );
    assert_eq!(bridge.client().deliver(LEADS, TOKEN, body.as_bytes()).unwrap().status, 200);
}

/// Makes this broker of the cluster the only one that has the topic.
#[track_caller]
fn move_to(cluster: &Cluster, topic: &str, broker: usize) {
    let (address, id) = (cluster.addresses(), cluster.brokers[broker].id());
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let plan = folder.path().join("plan.json");
    let text = format!(
        r#"{{"version":1,"partitions":[{{"topic":"{topic}","partition":0,"replicas":[{id}]}}]}}"#
    );
    std::fs::write(&plan, text).expect("a temporary file can be written");
    let plan = plan.display().to_string();
    let arguments =
        ["--bootstrap-server", &address, "--reassignment-json-file", &plan, "--execute"];
    jars::tool("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", &arguments);
    let id = i32::try_from(id).expect("a broker's id");
    wait::until("another leader", PATIENCE, || admin::leaders(&address, topic) == [id]);
}
