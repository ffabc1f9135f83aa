//! `millrace backfill` between a played journal and the real service: what the webhook missed comes,
//! and nothing comes twice.

use std::{process::Command, time::Duration};

use crate::{
    adobe::{self, Adobe},
    broker,
    consumers::read_topic,
    support::bridge::{Bridge, Settings, TOKEN},
};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_the_webhook_missed_comes_from_the_journal_and_nothing_comes_twice() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("backfill"));
    let settings = Settings::new(&address, &prefix)
        .set("SOURCES__IO__KIND", "adobe-io")
        .set("SOURCES__IO__AUTH__CLIENT_IDS", "us")
        .set("SOURCES__IO__AUTH__TOKENS", TOKEN);
    let bridge = Bridge::start(settings);
    let journal = Adobe::new(5, 2);
    let webhook = format!("[{},{}]", adobe::event(1), adobe::event(3));
    assert_eq!(bridge.client().deliver("/v1/io", TOKEN, webhook.as_bytes()).unwrap().status, 200);
    bridge.wait_until_drained(PATIENCE);

    let told = backfill(&bridge, &address, &journal);

    assert!(told.contains("3 events missed by the webhook, 2 already received"), "{told}");
    bridge.wait_until_drained(PATIENCE);
    let records = read_topic(&address, &format!("{prefix}.lead-activity.openemail"));
    let mut ids: Vec<_> = records.iter().map(|record| record.header("ce_id")).collect();
    assert_eq!(ids, ["e1", "e3", "e0", "e2", "e4"], "one key, in the order in which they came");
    ids.sort_unstable();

    let again = backfill(&bridge, &address, &journal);
    assert!(again.contains("0 events missed by the webhook, 5 already received"), "{again}");
    bridge.wait_until_drained(PATIENCE);
    assert_eq!(read_topic(&address, &format!("{prefix}.lead-activity.openemail")).len(), 5);
}

fn backfill(bridge: &Bridge, kafka: &str, journal: &Adobe) -> String {
    let (to, admin) = bridge.addresses();
    let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["backfill", "io", "--since", "2h"])
        .args(["--to", &format!("http://{to}"), "--admin", &format!("http://{admin}")])
        .env_clear()
        .env("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", kafka)
        .env("MILLRACE_SOURCES__IO__KIND", "adobe-io")
        .env("MILLRACE_SOURCES__IO__AUTH__CLIENT_IDS", "us")
        .env("MILLRACE_SOURCES__IO__AUTH__TOKENS", TOKEN)
        .env("MILLRACE_SOURCES__IO__JOURNAL__URL", journal.journal_url())
        .env("MILLRACE_SOURCES__IO__JOURNAL__ORGANIZATION_ID", adobe::ORGANIZATION)
        .env("MILLRACE_SOURCES__IO__JOURNAL__CLIENT_ID", adobe::CLIENT)
        .env("MILLRACE_SOURCES__IO__JOURNAL__CLIENT_SECRET", adobe::SECRET)
        .env("MILLRACE_SOURCES__IO__JOURNAL__TOKEN_URL", journal.token_url())
        .output()
        .expect("the program can be started");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    told
}
