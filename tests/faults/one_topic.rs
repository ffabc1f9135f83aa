//! One topic of many may not be written, under load: seconds in a normal run, ten minutes in a long
//! one.

use std::time::{Duration, Instant};

use crate::{
    broker::{Broker, Options},
    is_long,
    load::{Load, PATIENCE, settle},
    support::{
        bridge::{Bridge, Settings},
        wait,
    },
};

#[test]
fn one_topic_of_many_that_is_away_for_a_long_time_delays_no_other() {
    let broker = Broker::start_with(&Options { access_control: true, ..Options::default() });
    let address = broker.address();
    let bridge = Bridge::start(Settings::new(&address, "one"));
    let load = Load::start(&bridge, "999-ONE-005", "one");
    let delivered = |topic: &str| bridge.metric("millrace_events_delivered_total", &[topic]);
    let (away, other) = ("one.lead-activity.clicklink", "one.lead-activity.newlead");
    wait::until("the topics", PATIENCE, || delivered(away) > 0.0 && delivered(other) > 0.0);

    broker.deny_writes(away);
    wait::until("a held topic", PATIENCE, || bridge.metric("millrace_held_topics", &[]) == 1.0);
    let before = delivered(away);
    let end = Instant::now() + Duration::from_secs(if is_long() { 600 } else { 5 });
    while Instant::now() < end {
        let others = delivered(other);
        wait::until("the other topics to go on", Duration::from_secs(10), || {
            delivered(other) > others
        });
    }
    assert_eq!(delivered(away), before, "it may not be written");
    broker.allow_writes(away);
    load.wait_for(500);

    let ledger = load.stop();
    let comparison = settle("one topic away", &bridge, &address, &ledger);
    assert_eq!(comparison.quarantined, 0);
    assert_eq!(comparison.repeated, 0, "a held topic repeats nothing");
}
