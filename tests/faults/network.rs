//! The network between the service and its broker loses, delays and resets.

use std::time::Duration;

use crate::{
    broker::{Broker, Options},
    is_long,
    load::{Load, PATIENCE, settle},
    proxy::Proxy,
    support::{
        bridge::{Bridge, Settings},
        ports, wait,
    },
};

#[test]
fn a_network_that_delays_resets_and_loses_everything_for_a_while_loses_no_event() {
    let port = ports::free();
    // Whoever asks the broker where it is is sent through the proxy.
    let advertised = format!("PLAINTEXT://127.0.0.1:{port}");
    let settings = vec![("advertised.listeners", advertised)];
    let broker = Broker::start_with(&Options { settings, ..Options::default() });
    let proxy = Proxy::start(port, broker.port());
    let bridge = Bridge::start(
        Settings::new(&format!("127.0.0.1:{port}"), "network")
            // Of a line that is silent librdkafka knows after 60 s; a test has not so long.
            .set("KAFKA__PROPERTIES__SOCKET_TIMEOUT_MS", "10000"),
    );
    let load = Load::start(&bridge, "999-NET-006", "network");
    let delivered = || bridge.metric("millrace_events_delivered_total", &[]);
    let more = |count: f64| {
        let before = delivered();
        wait::until("deliveries", PATIENCE, || delivered() > before + count);
    };
    more(500.0);

    proxy.delay(Duration::from_millis(100));
    more(500.0);
    proxy.delay(Duration::from_millis(2));

    let mut resets = 0;
    for _ in 0..if is_long() { 100 } else { 10 } {
        resets += proxy.reset();
        more(100.0);
    }
    assert!(resets >= 10, "only {resets} connections were reset");

    for _ in 0..if is_long() { 10 } else { 1 } {
        proxy.cut();
        load.wait_for(4_000);
        // What was on its way arrives late or never: the line is mended, or reset while it is cut.
        resets += proxy.reset();
        proxy.mend();
        more(500.0);
        proxy.cut();
        load.wait_for(2_000);
        proxy.mend();
        more(500.0);
    }
    println!("{resets} connections reset");

    let ledger = load.stop();
    proxy.delay(Duration::ZERO);
    let comparison = settle("a bad network", &bridge, &broker.address(), &ledger);
    assert_eq!(comparison.quarantined, 0);
}
