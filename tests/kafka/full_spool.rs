//! The spool has a limit, and what is beyond it is the sender's to keep.

use std::time::Duration;

use crate::{
    broker::Broker,
    ledger::Ledger,
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_full_spool_answers_503_with_retry_after_and_takes_deliveries_again_when_there_is_room() {
    let mut broker = Broker::start();
    broker.kill();
    let settings = Settings::new(&broker.address(), "full")
        .set("SPOOL__SIZE_LIMIT", "2MiB")
        .set("SPOOL__SEGMENT_SIZE", "256KiB")
        .set("LISTEN__BODY_LIMIT", "1MiB")
        .set("LISTEN__BODY_LIMIT_INFLATED", "1MiB");
    let bridge = Bridge::start(settings);
    let mut subscription = Subscription::new("123-IJK-009", 30);
    let mut ledger = Ledger::new("full");
    let mut client = bridge.client();

    let (refused, answer) = wait::until_some("a full spool", PATIENCE, || {
        let batch = subscription.batch_of(200);
        let answer = client.deliver(LEADS, TOKEN, &batch.body).expect("an answer");
        if answer.status != 200 {
            return Some((batch, answer));
        }
        ledger.acknowledged(batch);
        None
    });
    assert_eq!(answer.status, 503, "{}", answer.text());
    let retry_after = answer.header("retry-after").expect("a Retry-After");
    assert!(retry_after.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{retry_after}");
    wait::until("the log to name the key to change", PATIENCE, || {
        bridge.log().iter().any(|line| line.contains("spool.size_limit"))
    });
    assert_eq!(bridge.readiness(), Some(200), "one full source is no reason to be unready");

    broker.restart();

    let answer = wait::until_some("room in the spool", PATIENCE, || {
        let answer = client.deliver(LEADS, TOKEN, &refused.body).expect("an answer");
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(answer.status, 200);
    ledger.acknowledged(refused);
    let lines = |text: &str| bridge.log().iter().filter(|line| line.contains(text)).count();
    // It is told when nothing was refused for a while, so that a spool at its limit fills no log.
    wait::until("the log to tell of room", PATIENCE, || {
        let batch = subscription.batch_of(1);
        if client.deliver(LEADS, TOKEN, &batch.body).expect("an answer").status == 200 {
            ledger.acknowledged(batch);
        }
        lines("spool has room again") > 0
    });
    assert_eq!((lines("\"spool is full: "), lines("spool has room again")), (1, 1), "once each");
    assert_eq!(lines("\"why\":\"\""), 0, "a line has no field without a value");
    bridge.wait_until_drained(PATIENCE);
    let comparison = ledger.compare(&broker.address());
    comparison.assert_whole("a full spool");
    assert_eq!(comparison.repeated, 0, "what was answered 503 was not stored");
}
