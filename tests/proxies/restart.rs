//! Instances that are restarted one after the other.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use crate::{
    proxy::{BOTH, Kind, PATIENCE, Proxy, delivery, settings},
    support::{
        bridge::{Bridge, LEADS, TOKEN},
        ports, wait,
    },
};

const SENDERS: usize = 4;

/// An instance that comes back at its address.
fn instance(kind: Kind) -> Bridge {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    // nginx notices an instance that is gone by its connections, HAProxy by two questions a second apart.
    let delay = if kind == Kind::Nginx { "300ms" } else { "4s" };
    let settings = settings().set("LISTEN__ADDRESS", address.to_string());
    Bridge::start(settings.set("SHUTDOWN__DELAY", delay))
}

fn stored(bridge: &Bridge) -> f64 {
    bridge.metric("millrace_deliveries_total", &["outcome=\"stored\""])
}

fn waiting(bridge: &Bridge) -> f64 {
    bridge.metric("millrace_spool_undelivered_deliveries", &[])
}

#[test]
fn while_one_instance_after_the_other_is_restarted_every_delivery_is_answered_200() {
    for kind in BOTH {
        let mut instances = [instance(kind), instance(kind)];
        let proxy = Proxy::start(kind, &[instances[0].deliveries(), instances[1].deliveries()]);
        let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
        let wrong = thread::scope(|scope| {
            let send = || {
                let (mut client, mut wrong) = (proxy.client(), Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let id = sent.fetch_add(1, Ordering::Relaxed);
                    match client.deliver(LEADS, TOKEN, &delivery(id)) {
                        Ok(answer) if answer.status == 200 => {}
                        Ok(answer) => wrong.push(format!("{} {}", answer.status, answer.text())),
                        Err(error) => wrong.push(error.to_string()),
                    }
                }
                wrong
            };
            let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
            // A failed wait must not leave the senders at work.
            let rolled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for one in &mut instances {
                    wait::until("deliveries at this instance", PATIENCE, || stored(one) > 0.0);
                    one.terminate();
                    assert!(one.wait(PATIENCE).success());
                    one.restart();
                    wait::until("deliveries at this instance", PATIENCE, || stored(one) > 0.0);
                }
            }));
            stop.store(true, Ordering::Relaxed);
            let wrong: Vec<_> =
                senders.into_iter().flat_map(|it| it.join().expect("no panic")).collect();
            if let Err(panic) = rolled {
                std::panic::resume_unwind(panic);
            }
            wrong
        });
        let sent = sent.into_inner();
        assert_eq!(wrong, Vec::<String>::new(), "{kind:?}: of {sent}");
        let kept: f64 = instances.iter().map(waiting).sum();
        assert!(sent > 100 && kept >= sent as f64, "{kind:?}: {sent} answered, {kept} kept");
        println!("{kind:?}: {sent} of {sent} answered 200, {kept} kept");
    }
}
