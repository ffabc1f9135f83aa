//! The soak itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use millrace::sender::adobe::{self, Keys};

use crate::{
    broker::{Broker, Options},
    proxy::Proxy,
    samples::Samples,
    senders::{CLIENT_ID, PATIENCE, Senders},
    support::{
        bridge::{Bridge, Settings},
        ports,
    },
};

/// From this time on a soak has to conclude something.
const CONCLUDES: Duration = Duration::from_secs(900);

/// Events that are acknowledged to each service in each part of a cycle.
const PART: u64 = 600;

fn time() -> Duration {
    let given = std::env::var("SOAK_SECONDS").ok();
    let given = given.map(|text| text.parse().expect("SOAK_SECONDS is a number of seconds"));
    let usual = if std::env::var_os("TEST_LONG").is_some() { 3600 } else { 60 };
    Duration::from_secs(given.unwrap_or(usual))
}

/// All that is remembered up to a limit reaches the limit soon.
fn settings(kafka: &str, prefix: &str, keys: &str) -> Settings {
    Settings::new(kafka, prefix)
        .set("SOURCES__AUDIT__KIND", "adobe-io")
        .set("SOURCES__AUDIT__AUTH__CLIENT_IDS", CLIENT_ID)
        .set("ADOBE__KEYS_FOLDER", keys)
        .set("DEDUPLICATE__IDS", "10000")
        .set("SPOOL__SEGMENT_SIZE", "1MiB")
        .set("SPOOL__RESERVE", "3MiB")
        .set("SPOOL__KEEP_DELIVERED__SIZE", "4MiB")
        .set("LISTEN__BODY_LIMIT", "1MiB")
        .set("LISTEN__BODY_LIMIT_INFLATED", "1MiB")
        // By default librdkafka notices a silent line after 60 s.
        .set("KAFKA__PROPERTIES__SOCKET_TIMEOUT_MS", "10000")
        .set("FORWARD__HOLD_AFTER", "5s")
}

/// A broker whose topics do not fill the disk, behind a line that can be cut.
fn kafka() -> (Broker, Proxy, String) {
    let port = ports::free();
    let settings = [
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
        ("log.retention.bytes", "4194304".to_owned()),
        ("log.segment.bytes", "2097152".to_owned()),
        ("log.retention.check.interval.ms", "10000".to_owned()),
    ];
    let broker = Broker::start_with(&Options { settings: settings.to_vec(), ..Options::default() });
    let proxy = Proxy::start(port, broker.port());
    (broker, proxy, format!("127.0.0.1:{port}"))
}

struct Service {
    bridge: Bridge,
    senders: Senders,
    samples: Samples,
}

impl Service {
    fn start(name: &'static str, settings: Settings, keys: &Arc<Keys>) -> Self {
        let bridge = Bridge::start(settings);
        let senders = Senders::start(name, &bridge, keys);
        Self { bridge, senders, samples: Samples::of(name) }
    }
}

#[test]
fn nothing_grows_under_load_and_faults_with_restarts_and_without() {
    let time = time();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let keys = Arc::new(Keys::generate("soak").expect("keys can be made"));
    adobe::keys::write(&keys, folder.path()).expect("keys can be written");
    let keys_folder = folder.path().display().to_string();
    let (mut broker, proxy, address) = kafka();
    let mut steady = Service::start("steady", settings(&address, "steady", &keys_folder), &keys);
    let exactly_once = settings(&address, "restarted", &keys_folder)
        .set("KAFKA__DELIVERY", "exactly-once")
        .set("TOPICS__CHECKPOINTS", "restarted.checkpoints");
    let mut restarted = Service::start("restarted", exactly_once, &keys);

    let began = Instant::now();
    let mut cycles = 0_usize;
    while began.elapsed() < time {
        for service in [&steady, &restarted] {
            service.senders.go_on();
            service.senders.wait_for(PART);
        }
        let through_the_fault = || steady.senders.wait_for(PART);
        match cycles % 4 {
            0 => {}
            1 => {
                broker.freeze();
                through_the_fault();
                restart(&mut restarted, cycles);
                broker.thaw();
            }
            2 => {
                for _ in 0..3 {
                    proxy.reset();
                    through_the_fault();
                }
                proxy.cut();
                through_the_fault();
                proxy.reset();
                proxy.mend();
            }
            _ => {
                // A single broker that is killed within a transaction can forget its end (README.md, "Limits"), and a
                // hanging one on the topic of checkpoints waits for an operator.
                stop(&mut restarted);
                broker.kill();
                through_the_fault();
                broker.restart();
                start(&mut restarted);
            }
        }
        if matches!(cycles % 4, 0 | 2) {
            restart(&mut restarted, cycles);
        }
        for service in [&mut steady, &mut restarted] {
            service.senders.wait_for(PART);
            service.senders.rest();
            service.bridge.wait_until_drained(PATIENCE);
            service.samples.take(&service.bridge);
        }
        books(&steady);
        cycles += 1;
    }

    println!("{cycles} cycles in {:.0} s", began.elapsed().as_secs_f64());
    let warm = time.as_secs_f64() / 3.0 / 3600.0;
    let mut growing = Vec::new();
    for service in [&steady, &restarted] {
        growing.extend(service.samples.judge(warm, time >= CONCLUDES));
    }
    for Service { bridge, senders, .. } in [steady, restarted] {
        println!("{}", senders.stop());
        let damage = bridge.log().into_iter().filter(|line| line.contains("damage"));
        assert_eq!(damage.collect::<Vec<_>>(), [""; 0]);
    }
    assert!(growing.is_empty(), "{}", growing.join("\n"));
    assert!(cycles > 0, "a soak without a cycle proves nothing");
}

/// Killed and stopped by turns.
fn restart(service: &mut Service, cycle: usize) {
    if (cycle / 4).is_multiple_of(2) {
        service.bridge.kill();
    } else {
        stop(service);
    }
    start(service);
}

fn stop(service: &mut Service) {
    service.bridge.terminate();
    assert_eq!(service.bridge.wait(PATIENCE).code(), Some(0), "a clean stop");
}

fn start(service: &mut Service) {
    service.bridge.restart();
    service.senders.go_to(&service.bridge);
}

/// The service that is never restarted has delivered each event that it has acknowledged, once.
#[track_caller]
fn books(steady: &Service) {
    let delivered = steady.bridge.metric("millrace_events_delivered_total", &[]) as u64;
    let (acknowledged, unanswered) = (steady.senders.acknowledged(), steady.senders.unanswered());
    assert!(
        (acknowledged..=acknowledged + unanswered).contains(&delivered),
        "{delivered} delivered, {acknowledged} acknowledged, {unanswered} without an answer"
    );
}
