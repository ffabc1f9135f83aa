//! A slow path to the broker: a thin line, or a quota. The backlog takes many times `forward.hold_after` on
//! it; what waits for its turn there is in no trouble, and going back waits for what is in flight.

use crate::{
    broker::{Broker, Options},
    ledger::Ledger,
    load::PATIENCE,
    proxy::Proxy,
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        ports, wait,
    },
};

/// Bytes a second that the path takes.
const RATE: u64 = 200_000;
/// About 4 MB on the wire, for twenty seconds.
const BATCHES: usize = 60;
const MODES: [&str; 2] = ["at-least-once", "exactly-once"];

/// A bridge with topics of its own whose patience is short, in proportion to the backlog.
struct Case {
    mode: &'static str,
    bridge: Bridge,
    subscription: Subscription,
    ledger: Ledger,
}

impl Case {
    fn start(mode: &'static str, address: &str, name: &str) -> Self {
        let prefix = format!("{name}-{mode}");
        let settings = Settings::new(address, &prefix)
            .set("FORWARD__HOLD_AFTER", "4s")
            .set("TOPICS__CHECKPOINTS", format!("{prefix}.checkpoints"))
            .set("KAFKA__PROPERTIES__CLIENT_ID", name)
            .set("KAFKA__DELIVERY", mode);
        let subscription = Subscription::new(&format!("999-SLO-{mode}"), 30);
        let (bridge, ledger) = (Bridge::start(settings), Ledger::new(&prefix));
        Self { mode, bridge, subscription, ledger }
    }

    #[track_caller]
    fn fill(&mut self, batches: usize) {
        let mut client = self.bridge.client();
        for _ in 0..batches {
            let batch = self.subscription.batch_of(100);
            assert_eq!(client.deliver(LEADS, TOKEN, &batch.body).unwrap().status, 200);
            self.ledger.acknowledged(batch);
        }
    }

    /// Its topics are there, and the client knows them: making them may take a broker as long as the patience lasts.
    #[track_caller]
    fn warm_up(&mut self) {
        self.fill(1);
        self.bridge.wait_until_drained(PATIENCE);
    }

    #[track_caller]
    fn arrives_once(&self, address: &str) {
        self.bridge.wait_until_drained(PATIENCE);
        let comparison = self.ledger.compare(address);
        comparison.assert_whole(self.mode);
        assert_eq!(comparison.repeated, 0, "{}: nothing crashed", self.mode);
    }

    /// How often topics were held so far.
    fn holds(&self) -> f64 {
        self.bridge.metric("millrace_topic_holds_total", &[])
    }

    #[track_caller]
    fn holds_no_topic_after(&self, before: f64) {
        assert_eq!(self.holds(), before, "{}: topics were held", self.mode);
    }
}

/// A broker behind a line, and the address of the line.
fn behind_a_line(access_control: bool) -> (Broker, Proxy, String) {
    let port = ports::free();
    let advertised = format!("PLAINTEXT://127.0.0.1:{port}");
    let settings = vec![("advertised.listeners", advertised)];
    let broker = Broker::start_with(&Options { access_control, settings, ..Options::default() });
    let proxy = Proxy::start(port, broker.port());
    (broker, proxy, format!("127.0.0.1:{port}"))
}

#[test]
fn a_backlog_over_a_thin_line_holds_no_topic_and_comes_once() {
    let (broker, proxy, address) = behind_a_line(false);
    let mut cases = MODES.map(|mode| Case::start(mode, &address, "line"));
    cases.iter_mut().for_each(Case::warm_up);
    let held_before = cases.each_ref().map(Case::holds);
    proxy.limit(RATE);
    cases.iter_mut().for_each(|case| case.fill(BATCHES));
    for (case, before) in cases.iter().zip(held_before) {
        case.arrives_once(&broker.address());
        case.holds_no_topic_after(before);
    }
}

#[test]
fn a_backlog_under_a_quota_holds_no_topic_and_comes_once() {
    // A short memory of what was sent, so that the quota is felt within seconds.
    let window = [("quota.window.num", "2".to_owned()), ("quota.window.size.seconds", "1".into())];
    let broker = Broker::start_with(&Options { settings: window.into(), ..Options::default() });
    let address = broker.address();
    let mut cases = MODES.map(|mode| Case::start(mode, &address, "quota"));
    cases.iter_mut().for_each(Case::warm_up);
    let held_before = cases.each_ref().map(Case::holds);
    broker.set_quota("quota", RATE * 2);
    cases.iter_mut().for_each(|case| case.fill(BATCHES));
    for (case, before) in cases.iter().zip(held_before) {
        case.arrives_once(&address);
        case.holds_no_topic_after(before);
    }
}

#[test]
fn going_back_over_a_thin_line_waits_for_what_is_in_flight() {
    let (broker, proxy, address) = behind_a_line(true);
    proxy.limit(RATE);
    let mut case = Case::start(MODES[0], &address, "back");
    let held = case.ledger.topic("clicklink");
    case.warm_up();
    broker.deny_writes(&held);
    case.fill(BATCHES);
    wait::until("a held topic", PATIENCE, || case.bridge.metric("millrace_held_topics", &[]) > 0.0);
    broker.allow_writes(&held);
    case.arrives_once(&broker.address());
}
