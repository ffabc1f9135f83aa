//! Replicas that tell each other what is settled: a sender that repeats each delivery through another one, while one of
//! them is killed, and a topic of ids that takes nothing.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    admin,
    broker::{self, Broker, Options},
    consumers::{produce_inflatable, read_topic, try_to_produce_inflatable},
    exactly_once,
    ledger::{Comparison, Ledger},
    support::{
        batches::{Batch, Subscription},
        bridge::{Bridge, LEADS, Settings, TOKEN},
        http::Client,
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(240);
const EVENTS: usize = 100;
/// How much later a sender repeats a delivery.
const LATER: Duration = Duration::from_secs(2);

/// How events are delivered.
#[derive(Clone, Copy, Debug)]
enum Mode {
    AtLeastOnce,
    ExactlyOnce,
}

const MODES: [Mode; 2] = [Mode::AtLeastOnce, Mode::ExactlyOnce];

fn settings(address: &str, prefix: &str, mode: Mode) -> Settings {
    let settings = Settings::new(address, prefix);
    match mode {
        Mode::AtLeastOnce => settings,
        Mode::ExactlyOnce => exactly_once::turn_on(settings, prefix),
    }
}

fn with_ids(settings: Settings, prefix: &str) -> Settings {
    settings.set("TOPICS__IDS", format!("{prefix}.ids"))
}

fn ids_read(bridge: &Bridge) -> f64 {
    bridge.metric("millrace_shared_ids_read_total", &[])
}

fn passed_over(bridge: &Bridge) -> f64 {
    bridge.metric("millrace_duplicates_total", &["owner=\"another replica\""])
}

fn is_available(bridge: &Bridge, what: &str) -> bool {
    bridge.metric("millrace_shared_ids_available", &[&format!("what=\"{what}\"")]) == 1.0
}

#[track_caller]
fn deliver(bridge: &Bridge, batch: &Batch) {
    let answer = bridge.client().deliver(LEADS, TOKEN, &batch.body).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn what_another_replica_has_settled_is_passed_over_also_after_a_kill_and_on_an_empty_volume() {
    for mode in MODES {
        let address = broker::shared();
        let prefix = broker::own_prefix("told");
        let settings = with_ids(settings(&address, &prefix, mode), &prefix);
        let one = Bridge::start(settings.clone());
        let mut two = Bridge::start(settings.clone());
        let mut subscription = Subscription::new("999-TLD-001", 20);
        let batches: Vec<_> = (0..5).map(|_| subscription.batch_of(EVENTS)).collect();
        let events = (batches.len() * EVENTS) as f64;
        batches.iter().for_each(|batch| deliver(&one, batch));
        wait::until("ids of the other replica", PATIENCE, || ids_read(&two) >= events);
        assert_eq!(ids_read(&one), 0.0, "its own are no news");
        batches.iter().for_each(|batch| deliver(&two, batch));
        two.wait_until_drained(PATIENCE);
        assert_eq!(passed_over(&two), events, "{mode:?}");

        // It reads them again, and knows no less for it.
        two.kill();
        two.restart();
        wait::until("the ids once more", PATIENCE, || ids_read(&two) >= events);
        batches.iter().for_each(|batch| deliver(&two, batch));
        two.wait_until_drained(PATIENCE);
        assert_eq!(passed_over(&two), events, "{mode:?}, after a kill");

        let new = Bridge::start(settings);
        wait::until("the ids on an empty volume", PATIENCE, || ids_read(&new) >= events);
        batches.iter().for_each(|batch| deliver(&new, batch));
        new.wait_until_drained(PATIENCE);
        let mut ledger = Ledger::of_racing_sources(&prefix);
        batches.into_iter().for_each(|batch| ledger.acknowledged(batch));
        let comparison = ledger.compare(&address);
        comparison.assert_whole("replicas that tell each other");
        assert_eq!(comparison.repeated, 0, "{mode:?}");
    }
}

/// A load balancer that goes on to the next replica where one does not answer.
fn deliver_to_any(bridges: &[Bridge], first: usize, batch: &Batch) {
    let mut turn = first;
    let end = Instant::now() + PATIENCE;
    loop {
        let bridge = &bridges[turn % bridges.len()];
        let answer = Client::new(bridge.deliveries()).deliver(LEADS, TOKEN, &batch.body);
        match answer.map(|answer| answer.status) {
            Ok(200) => return,
            Ok(status) => panic!("answered {status}"),
            Err(error) => assert!(Instant::now() < end, "no replica answers: {error}"),
        }
        turn += 1;
    }
}

/// Three replicas, of which one is killed in the middle: what is on the topics in the end.
fn repeat_and_kill(mode: Mode, is_told: bool) -> Comparison {
    let address = broker::shared();
    let prefix = broker::own_prefix("repeated");
    let settings = settings(&address, &prefix, mode);
    let settings = if is_told { with_ids(settings, &prefix) } else { settings };
    let mut bridges = [(); 3].map(|()| Bridge::start(settings.clone()));
    let mut subscription = Subscription::new("999-RPL-001", 20);
    let mut ledger = Ledger::of_racing_sources(&prefix);
    let mut sent: VecDeque<(Instant, usize, Batch)> = VecDeque::new();
    let count = 60;
    for number in 0..count {
        if number == count / 2 {
            bridges[1].kill();
        }
        if number == count / 2 + 5 {
            bridges[1].restart();
        }
        let batch = subscription.batch_of(EVENTS);
        deliver_to_any(&bridges, number, &batch);
        sent.push_back((Instant::now(), number, batch));
        while sent.front().is_some_and(|(at, ..)| at.elapsed() >= LATER) {
            let (_, number, batch) = sent.pop_front().expect("it has a first one");
            deliver_to_any(&bridges, number + 1, &batch);
            ledger.acknowledged(batch);
        }
        wait::until("the next turn", PATIENCE, {
            let next = Instant::now() + Duration::from_millis(50);
            move || Instant::now() >= next
        });
    }
    for (at, number, batch) in sent {
        wait::until("the time of a repeat", PATIENCE, || at.elapsed() >= LATER);
        deliver_to_any(&bridges, number + 1, &batch);
        ledger.acknowledged(batch);
    }
    for bridge in &bridges {
        bridge.wait_until_drained(PATIENCE);
    }
    let comparison = ledger.compare(&address);
    comparison.assert_whole(&format!("{mode:?}, told {is_told}"));
    comparison
}

#[test]
fn of_what_a_sender_repeats_through_another_replica_little_is_left_and_nothing_is_lost() {
    for mode in MODES {
        let [before, after] = [false, true].map(|is_told| repeat_and_kill(mode, is_told));
        println!("{mode:?}: {} repeats before, {} after", before.repeated, after.repeated);
        assert!(before.repeated > before.on_topics * 8 / 10, "each event was sent twice");
        assert!(after.repeated < before.repeated / 4, "those of the kill, and of the race");
    }
}

#[test]
fn a_topic_of_ids_that_may_not_be_written_or_refuses_records_holds_up_no_event() {
    let broker = Broker::start_with(&Options { access_control: true, ..Options::default() });
    let address = broker.address();
    for mode in MODES {
        let prefix = format!("denied-{mode:?}").to_lowercase();
        let ids = format!("{prefix}.ids");
        let bridge = Bridge::start(with_ids(settings(&address, &prefix, mode), &prefix));
        wait::until("a topic of ids", PATIENCE, || {
            is_available(&bridge, "write") && is_available(&bridge, "read")
        });
        let mut subscription = Subscription::new("999-DEN-001", 20);
        let mut ledger = Ledger::new(&prefix);
        let mut deliver_some = |what: &str| {
            for _ in 0..3 {
                let batch = subscription.batch_of(EVENTS);
                deliver(&bridge, &batch);
                ledger.acknowledged(batch);
            }
            let began = Instant::now();
            bridge.wait_until_drained(PATIENCE);
            println!("{mode:?}, {what}: delivered after {:?}", began.elapsed());
        };
        let sent = || bridge.metric("millrace_shared_ids_sent_total", &[]);
        deliver_some("all well");
        wait::until("ids on their topic", PATIENCE, || sent() >= 3.0 * EVENTS as f64);

        broker.deny_writes(&ids);
        deliver_some("may not be written");
        wait::until("a topic of ids that is not written", PATIENCE, || {
            !is_available(&bridge, "write")
        });
        broker.allow_writes(&ids);
        let before = sent();
        wait::until("a topic of ids that is written again", PATIENCE, || {
            deliver_some("may be written again");
            sent() > before
        });
        assert!(is_available(&bridge, "write"));

        broker.set_topic(&ids, "max.message.bytes=20");
        deliver_some("refuses records");
        wait::until("a topic of ids that refuses records", PATIENCE, || {
            !is_available(&bridge, "write")
        });
        deliver_some("refuses records still");
        let warned = bridge.log().iter().filter(|line| line.contains("cannot be written")).count();
        assert_eq!(warned, 2, "once for each trouble");
        let comparison = ledger.compare(&address);
        comparison.assert_whole("a topic of ids in trouble");
        assert_eq!(comparison.repeated, 0);
    }
}

#[test]
fn a_topic_of_ids_that_is_missing_and_may_not_be_made_holds_up_no_event() {
    let address = broker::shared();
    for mode in MODES {
        let prefix = broker::own_prefix("missing-ids");
        let mut ledger = Ledger::new(&prefix);
        let own = ["dead-letter", "checkpoints"].map(|name| format!("{prefix}.{name}"));
        let topics = Subscription::event_types().map(|event_type| ledger.topic(event_type));
        admin::create_topics(&address, &topics.chain(own).collect::<Vec<_>>());
        let settings = with_ids(settings(&address, &prefix, mode), &prefix);
        let bridge = Bridge::start(settings.set("TOPICS__CREATE", "false"));
        let mut subscription = Subscription::new("999-MIS-001", 20);
        let batch = subscription.batch_of(EVENTS);
        deliver(&bridge, &batch);
        ledger.acknowledged(batch);
        bridge.wait_until_drained(PATIENCE);
        ledger.compare(&address).assert_whole("without a topic of ids");
        wait::until("advice", PATIENCE, || {
            let says = |what: &str| bridge.log().iter().any(|line| line.contains(what));
            says("cannot be written") && says("cannot be read")
        });
        assert!(!is_available(&bridge, "write") && !is_available(&bridge, "read"));

        admin::create_topic(&address, &format!("{prefix}.ids"), 1);
        wait::until("a topic that was made by hand", PATIENCE, || is_available(&bridge, "read"));
    }
}

#[test]
fn a_record_that_is_huge_once_it_is_decompressed_costs_a_replica_no_memory_and_is_passed_by() {
    let address = broker::shared();
    let prefix = broker::own_prefix("inflatable");
    // One that the service makes refuses such records.
    admin::create_topic(&address, &format!("{prefix}.ids"), 1);
    let settings = with_ids(settings(&address, &prefix, Mode::AtLeastOnce), &prefix);
    let one = Bridge::start(settings.clone());
    let two = Bridge::start(settings);
    let mut subscription = Subscription::new("999-INF-001", 20);
    let first = subscription.batch_of(EVENTS);
    deliver(&one, &first);
    wait::until("ids of the other replica", PATIENCE, || ids_read(&two) >= EVENTS as f64);
    let before = two.memory_peak();
    for _ in 0..4 {
        produce_inflatable(&address, &format!("{prefix}.ids"), "zstd", 60_000_000);
    }
    let is_logged = || two.log().iter().any(|line| line.contains("cannot be decompressed"));
    wait::until("a line of the log", PATIENCE, is_logged);
    wait::until("a reader again", PATIENCE, || is_available(&two, "read"));
    let second = subscription.batch_of(EVENTS);
    deliver(&one, &second);
    wait::until("ids behind the records", PATIENCE, || ids_read(&two) >= 2.0 * EVENTS as f64);
    let grown = two.memory_peak().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more than before");
}

#[test]
fn the_topic_of_ids_takes_no_record_that_is_huge_once_it_is_decompressed() {
    let address = broker::shared();
    let prefix = broker::own_prefix("uncompressed");
    let bridge = Bridge::start(with_ids(settings(&address, &prefix, Mode::AtLeastOnce), &prefix));
    wait::until("the topic of ids", PATIENCE, || is_available(&bridge, "read"));
    let topic = format!("{prefix}.ids");
    for codec in ["gzip", "lz4", "snappy", "zstd"] {
        let produce = |bytes| try_to_produce_inflatable(&address, &topic, codec, bytes);
        assert!(produce(10_000).is_ok() && produce(10_000_000).is_err(), "{codec}");
    }
}

#[test]
fn an_event_whose_type_is_called_so_does_not_go_to_the_topic_of_ids() {
    let address = broker::shared();
    let prefix = broker::own_prefix("called-so");
    let settings = settings(&address, &prefix, Mode::AtLeastOnce)
        .set("TOPICS__NAME", format!("{prefix}.{{type}}"))
        .set("TOPICS__IDS", format!("{prefix}.newlead"));
    let bridge = Bridge::start(settings);
    let body = br#"{"munchkinId":"999-CAL-001","activities":[{"marketoGUID":"999-CAL-001-1","leadId":1,
        "activityDate":"2026-03-02T09:59:58Z","activityTypeId":12,"activityType":"New Lead","attributes":[]}]}"#;
    let batch = Batch { body: body.to_vec(), events: Vec::new() };
    deliver(&bridge, &batch);
    bridge.wait_until_drained(PATIENCE);
    let sent = || bridge.metric("millrace_shared_ids_sent_total", &[]);
    wait::until("its id on the topic of ids", PATIENCE, || sent() == 1.0);
    assert_eq!(read_topic(&address, &format!("{prefix}.newlead-")).len(), 1);
    let ids = read_topic(&address, &format!("{prefix}.newlead"));
    assert!(ids.iter().all(|record| record.headers.is_empty()), "no event is there");
}
