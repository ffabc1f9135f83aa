//! SIGTERM: readiness goes at once, deliveries go on for the delay, and the process ends by itself.

use std::time::{Duration, Instant};

use crate::{
    broker::{self, Broker, Options},
    ledger::Ledger,
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn sigterm_fails_readiness_at_once_while_deliveries_go_on_and_then_the_exit_code_is_0() {
    let address = broker::shared();
    let prefix = broker::own_prefix("stop");
    let mut bridge = Bridge::start(Settings::new(&address, &prefix).set("SHUTDOWN__DELAY", "3s"));
    let mut subscription = Subscription::new("234-JKL-010", 30);
    let mut ledger = Ledger::new(&prefix);
    let mut client = bridge.client();
    let batch = subscription.batch();
    assert_eq!(client.deliver(LEADS, TOKEN, &batch.body).unwrap().status, 200);
    ledger.acknowledged(batch);

    let start = Instant::now();
    bridge.terminate();

    wait::until("readiness to go", Duration::from_secs(2), || bridge.readiness() == Some(503));
    for _ in 0..5 {
        let batch = subscription.batch();
        let answer = client.deliver(LEADS, TOKEN, &batch.body).expect("an answer while closing");
        assert_eq!(answer.status, 200);
        ledger.acknowledged(batch);
    }
    assert!(start.elapsed() < Duration::from_secs(3), "too slow a machine to test this");
    let status = bridge.wait(PATIENCE);
    assert_eq!(status.code(), Some(0));
    assert!(start.elapsed() >= Duration::from_secs(3), "deliveries are taken for the delay");
    ledger.compare(&address).assert_whole("a clean stop");
}

#[test]
fn kafka_being_away_delays_no_stop_and_the_rest_stays_in_the_spool() {
    let mut broker = Broker::start();
    let mut bridge = Bridge::start(Settings::new(&broker.address(), "stop-away"));
    let mut subscription = Subscription::new("345-KLM-011", 30);
    let mut ledger = Ledger::new("stop-away");
    broker.kill();
    for _ in 0..5 {
        let batch = subscription.batch();
        assert_eq!(bridge.client().deliver(LEADS, TOKEN, &batch.body).unwrap().status, 200);
        ledger.acknowledged(batch);
    }

    let start = Instant::now();
    bridge.terminate();
    let status = bridge.wait(PATIENCE);

    assert_eq!(status.code(), Some(0));
    // The delay (100 ms here) and the flush (10 s) are all it may take.
    assert!(start.elapsed() < Duration::from_secs(12), "took {:?}", start.elapsed());
    broker.restart();
    bridge.restart();
    bridge.wait_until_drained(PATIENCE);
    ledger.compare(&broker.address()).assert_whole("stopped without Kafka");
}

/// A listing of the cluster that is no longer needed is left alone, and its client may be computing the proof
/// of its password when the process exits.
#[test]
fn a_process_that_ends_while_a_client_authenticates_has_its_own_exit_code() {
    let broker = Broker::start_with(&Options { passwords: true, ..Options::default() });
    broker.set_password("millrace", "a-password");
    let settings = Settings::new(&broker.guarded_address(), "stop-login")
        .set("KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .set("KAFKA__PROPERTIES__SASL_MECHANISM", "SCRAM-SHA-512")
        .set("KAFKA__PROPERTIES__SASL_USERNAME", "millrace")
        .set("KAFKA__PROPERTIES__SASL_PASSWORD", "a-password");
    let mut bridge = Bridge::start(settings);
    bridge.terminate();
    assert!(bridge.wait(PATIENCE).success());

    for round in 0..60 {
        let ended = bridge.tool(&["drain", "--deadline", "60s"]);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "round {round}: {}: {said}", ended.status);
    }
}
