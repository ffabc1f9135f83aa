//! Connections that a proxy keeps, and uses again after a while.

use std::{thread, time::Duration};

use crate::{
    proxy::{BOTH, Kind, PATIENCE, Proxy, delivery, settings},
    support::{
        bridge::{Bridge, LEADS, TOKEN},
        wait,
    },
};

/// `listen.idle_timeout` of these tests.
const LIMIT: Duration = Duration::from_millis(400);
const SENDERS: usize = 8;

fn open(bridge: &Bridge) -> f64 {
    bridge.metric("millrace_connections", &["listener=\"deliveries\""])
}

/// How long nginx keeps what it does not use, instead of the documented time.
fn kept(kind: Kind, time: &'static str) -> Vec<(&'static str, &'static str)> {
    match kind {
        Kind::Nginx => vec![("keepalive_timeout 60s;", time)],
        // It has no such time: it keeps them until the service ends them.
        Kind::HaProxy => Vec::new(),
    }
}

/// Each sender pauses for times around the limit; every answer that was no 200.
fn answers_around_the_limit(proxy: &Proxy) -> Vec<String> {
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                scope.spawn(move || {
                    let (mut client, mut wrong) = (proxy.client(), Vec::new());
                    for (round, percent) in
                        [50, 90, 96, 98, 100, 101, 102, 104, 150].iter().enumerate()
                    {
                        // The time without a request is what is tested.
                        let pause = LIMIT * *percent / 100;
                        thread::sleep(pause + Duration::from_millis(sender as u64));
                        let body = delivery(sender * 100 + round);
                        match client.deliver(LEADS, TOKEN, &body) {
                            Ok(answer) if answer.status == 200 => {}
                            Ok(answer) => wrong.push(format!("{} after {pause:?}", answer.status)),
                            Err(error) => wrong.push(format!("{error} after {pause:?}")),
                        }
                    }
                    wrong
                })
            })
            .collect();
        senders.into_iter().flat_map(|it| it.join().expect("a sender does not panic")).collect()
    })
}

#[test]
fn on_both_sides_of_the_limit_no_sender_sees_that_a_connection_ended() {
    for kind in BOTH {
        for time in ["keepalive_timeout 250ms;", "keepalive_timeout 60s;"] {
            let bridge = Bridge::start(settings().set("LISTEN__IDLE_TIMEOUT", "400ms"));
            let proxy = Proxy::with(kind, &[bridge.deliveries()], &kept(kind, time));
            assert_eq!(answers_around_the_limit(&proxy), Vec::<String>::new(), "{kind:?} {time}");
        }
    }
}

#[test]
fn a_connection_that_ends_just_when_a_delivery_is_on_its_way_is_no_answer_to_the_sender() {
    for kind in BOTH {
        let mut bridge = Bridge::start(settings().set("LISTEN__IDLE_TIMEOUT", "400ms"));
        let proxy = Proxy::start(kind, &[bridge.deliveries()]);
        let mut client = proxy.client();
        for round in 0..5 {
            assert_eq!(client.deliver(LEADS, TOKEN, &delivery(round)).unwrap().status, 200);
            // The service wakes up with a connection that is due and a request on it.
            bridge.freeze();
            thread::scope(|scope| {
                let late = scope.spawn(|| {
                    thread::sleep(LIMIT * 2);
                    client.deliver(LEADS, TOKEN, &delivery(100 + round)).map(|it| it.status)
                });
                thread::sleep(LIMIT * 3);
                bridge.thaw();
                let status = late.join().expect("a sender does not panic");
                assert_eq!(status.ok(), Some(200), "{kind:?}, round {round}");
            });
        }
    }
}

#[test]
fn an_idle_connection_is_kept_by_the_proxy_and_ended_by_the_side_whose_time_is_over_first() {
    for kind in BOTH {
        let long = Bridge::start(settings());
        let proxy = Proxy::with(kind, &[long.deliveries()], &kept(kind, "keepalive_timeout 1s;"));
        assert_eq!(proxy.client().deliver(LEADS, TOKEN, &delivery(1)).unwrap().status, 200);
        assert_eq!(open(&long), 1.0, "{kind:?} keeps it");
        if kind == Kind::Nginx {
            wait::until("nginx to end it", PATIENCE, || open(&long) == 0.0);
        }

        let short = Bridge::start(settings().set("LISTEN__IDLE_TIMEOUT", "400ms"));
        let proxy = Proxy::start(kind, &[short.deliveries()]);
        assert_eq!(proxy.client().deliver(LEADS, TOKEN, &delivery(1)).unwrap().status, 200);
        wait::until("the service to end it", PATIENCE, || open(&short) == 0.0);
    }
}
