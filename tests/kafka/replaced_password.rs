//! Kafka's password is replaced while the service runs.

use std::{fs, time::Duration};

use crate::{
    broker::{Broker, Options},
    ledger::Ledger,
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);
const USER: &str = "millrace";

#[test]
fn a_new_password_in_its_file_is_used_without_a_restart_and_nothing_is_lost() {
    let mut broker = Broker::start_with(&Options { passwords: true, ..Options::default() });
    broker.set_password(USER, "the-old-one");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "the-old-one\n").unwrap();
    let settings = Settings::new(&broker.guarded_address(), "password")
        .set("KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .set("KAFKA__PROPERTIES__SASL_MECHANISM", "SCRAM-SHA-512")
        .set("KAFKA__PROPERTIES__SASL_USERNAME", USER)
        .set("KAFKA__PROPERTIES__SASL_PASSWORD_FILE", file.to_string_lossy());
    let bridge = Bridge::start(settings);
    let mut subscription = Subscription::new("777-GGG-007", 40);
    let mut ledger = Ledger::new("password");
    let mut client = bridge.client();
    let mut deliver = |batches: usize| {
        for _ in 0..batches {
            let batch = subscription.batch();
            let answer = client.deliver(LEADS, TOKEN, &batch.body).expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
            ledger.acknowledged(batch);
        }
    };
    let reloads = |outcome: &str| {
        let labels = ["key=\"kafka.properties\"", &format!("outcome=\"{outcome}\"")];
        bridge.metric("millrace_reloads_total", &labels)
    };
    deliver(20);
    bridge.wait_until_drained(PATIENCE);

    // While a stream goes on: connections that are open still have the old one.
    broker.set_password(USER, "the-new-one");
    let aside = folder.path().join("aside");
    fs::write(&aside, "the-new-one\n").unwrap();
    fs::rename(&aside, &file).unwrap();
    wait::until("new producers", PATIENCE, || {
        deliver(1);
        reloads("done") == 1.0 && bridge.metric("millrace_producer_renewals_total", &[]) >= 1.0
    });
    deliver(20);
    bridge.wait_until_drained(PATIENCE);

    // Nobody gets in with the old one any more, were it still in use.
    broker.restart();
    deliver(20);
    bridge.wait_until_drained(PATIENCE);

    // An empty file is no password: the one in use stays.
    fs::write(&file, "").unwrap();
    wait::until("a complaint", PATIENCE, || reloads("failed") >= 1.0);
    deliver(20);
    bridge.wait_until_drained(PATIENCE);

    ledger.compare(&broker.address()).assert_whole("a new password");
    let log = bridge.log().join("\n");
    assert!(log.contains("kafka.properties") && !log.contains("the-new-one"), "{log}");
}
