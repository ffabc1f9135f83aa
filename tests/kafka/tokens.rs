//! Kafka's own OAUTHBEARER with tokens of a provider: they end, are replaced, and the provider comes and goes,
//! while a sender goes on.

use std::{fs, path::Path, time::Duration};

use crate::{
    identity::{CLIENT, Mood, Provider},
    ledger::Ledger,
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);
/// Seconds. No connection lives as long as a test.
const LIFETIME: u64 = 6;
/// Milliseconds.
const REAUTHENTICATE: u64 = 3000;

fn settings(broker: &str, prefix: &str, provider: &Provider, secret: &Path) -> Settings {
    Settings::new(broker, prefix)
        .set("KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .set("KAFKA__PROPERTIES__SASL_MECHANISM", "OAUTHBEARER")
        .set(
            "KAFKA__PROPERTIES__SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL",
            format!("{}/token", provider.address),
        )
        .set("KAFKA__PROPERTIES__SASL_OAUTHBEARER_CLIENT_ID", CLIENT)
        .set("KAFKA__PROPERTIES__SASL_OAUTHBEARER_CLIENT_SECRET_FILE", secret.to_string_lossy())
        .set("KAFKA__PROPERTIES__SASL_OAUTHBEARER_SCOPE", "kafka")
        .set("KAFKA__PROPERTIES__SASL_OAUTHBEARER_AUDIENCE", "kafka")
        .set("KAFKA__PROPERTIES__SASL_OAUTHBEARER_EXTENSIONS", "logicalCluster=lkc-1")
}

/// Everything that may happen to tokens, one after the other, under load.
#[track_caller]
fn tokens_come_and_go(prefix: &str, delivery: &str) {
    let provider = Provider::start("the-old-one", LIFETIME);
    let (broker, guarded) = provider.broker(REAUTHENTICATE);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "the-old-one\n").unwrap();
    let settings = settings(&guarded, prefix, &provider, &secret)
        .set("TOPICS__CHECKPOINTS", format!("{prefix}-checkpoints"))
        .set("KAFKA__DELIVERY", delivery);
    let bridge = Bridge::start(settings);
    let mut subscription = Subscription::new("777-GGG-007", 40);
    let mut ledger = Ledger::new(prefix);
    let mut client = bridge.client();
    let mut deliver = || {
        let batch = subscription.batch();
        let answer = client.deliver(LEADS, TOKEN, &batch.body).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        ledger.acknowledged(batch);
    };
    let log = || bridge.log().join("\n");

    // Tokens end and are replaced ahead, and connections are authenticated again.
    wait::until("four tokens", PATIENCE, || {
        deliver();
        provider.given() >= 4
    });
    bridge.wait_until_drained(PATIENCE);
    assert!(!log().contains("no new token"), "{}", log());
    assert!(!log().contains("Kafka does not answer"), "{}", log());

    // Another key signs.
    provider.rotate();
    let before = provider.given();
    wait::until("tokens of another key", PATIENCE, || {
        deliver();
        provider.given() >= before + 3
    });
    bridge.wait_until_drained(PATIENCE);

    // Another secret is in the file, and the provider knows no other.
    provider.takes("the-new-one");
    let aside = folder.path().join("aside");
    fs::write(&aside, "the-new-one\n").unwrap();
    fs::rename(&aside, &secret).unwrap();
    let before = provider.given();
    wait::until("tokens for another secret", PATIENCE, || {
        deliver();
        provider.given() >= before + 2
    });
    bridge.wait_until_drained(PATIENCE);

    // The provider is away for longer than a token lasts: events wait in the spool.
    provider.is(Mood::HangingUp);
    wait::until("an outage that is told of", PATIENCE, || {
        deliver();
        log().contains("Kafka does not answer") && log().contains("no new token for Kafka")
    });
    provider.is(Mood::Well);
    bridge.wait_until_drained(PATIENCE);
    wait::until("the end of the trouble", PATIENCE, || {
        log().contains("token for Kafka fetched again")
    });

    ledger.compare(&broker.address()).assert_whole(prefix);
    let asked = provider.asked();
    assert!(asked[0].contains("grant_type=client_credentials"), "{asked:?}");
    assert!(asked[0].contains("scope=kafka") && asked[0].contains("audience=kafka"), "{asked:?}");
    for secret in ["the-old-one", "the-new-one", "eyJ"] {
        assert!(!log().contains(secret), "{}", log());
    }
}

#[test]
fn tokens_end_and_are_replaced_under_load_and_nothing_is_lost() {
    tokens_come_and_go("tokens", "at-least-once");
}

#[test]
fn tokens_end_and_are_replaced_under_load_in_exactly_once_delivery_and_nothing_is_lost() {
    tokens_come_and_go("tokens-once", "exactly-once");
}
