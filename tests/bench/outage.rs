//! Answer times with the broker there and with it away, in one run.
//!
//! The service runs in this process, with its spool in a temporary folder and an in-memory broker.
//! Requests of 300 activities (about 150 KB) come in at a steady rate, whatever the answers; rounds
//! with the broker there and rounds with it away take turns, and between them the backlog drains.
//! The target: p99 away ≤ 1.5 × p99 there + 5 ms.
//!
//! `cargo bench --bench outage`, or with `-- --requests 200 --rounds 2 --rate 50` for less. The last
//! line is JSON.

#![allow(clippy::unwrap_used, reason = "a panic is how a measurement fails")]

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use millrace::{
    config::{
        Admin, Adobe, Auth, Config, Forward, HeaderScheme, Kafka, Listen, Log, OAuth, Secret,
        SourceConfig, Spool, TokenAuth, Topics, Traces,
    },
    kafka::MockCluster,
    runtime::shutdown::{Phase, Shutdown},
    sender::{Endpoint, Generator, Post, Statistics, marketo::Batches, player::Maker},
    service::{self, Running},
    source::{SourceKind, SourceName},
};
use tokio::task::JoinSet;

const EVENTS: u32 = 300;
const TOKEN: &str = "bench-token";
const TIMEOUT: Duration = Duration::from_secs(20);
const DRAIN_WITHIN: Duration = Duration::from_secs(120);

struct Options {
    /// With the broker there, and as many with it away.
    requests: u32,
    rounds: u32,
    /// A second.
    rate: u32,
}

fn main() {
    // `cargo test --benches` builds and starts this too, and wants no measurements.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("outage: to measure, run `cargo bench --bench outage`");
        return;
    }
    let options = Options {
        requests: argument("--requests").unwrap_or(2000),
        rounds: argument("--rounds").unwrap_or(10).max(1),
        rate: argument("--rate").unwrap_or(50).max(1),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(&options));
}

fn argument(name: &str) -> Option<u32> {
    let value = std::env::args().skip_while(|argument| argument != name).nth(1)?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} wants a number, not {value:?}")))
}

async fn run(options: &Options) {
    let folder = tempfile::tempdir().unwrap();
    let broker = MockCluster::start(1).unwrap();
    let shutdown = Shutdown::new();
    let config = config(broker.bootstrap(), folder.path());
    let service =
        service::start(config, Some(broker.topic_maker(3)), shutdown.clone()).await.unwrap();
    let mut load = Load::new(&service, options);

    // Topics are made, connections opened, pages touched.
    let mut warm_up = Statistics::new();
    load.round(options.rate.max(20), &mut warm_up).await;
    drained(&service).await;

    let (mut there, mut away) = (Statistics::new(), Statistics::new());
    let a_round = options.requests.div_ceil(options.rounds);
    let mut slowest_drain = Duration::ZERO;
    for round in 1..=options.rounds {
        load.round(a_round, &mut there).await;
        drained(&service).await;
        broker.take_away().unwrap();
        load.round(a_round, &mut away).await;
        let (bytes, deliveries) = service.backlog();
        broker.bring_back().unwrap();
        let drain = drained(&service).await;
        slowest_drain = slowest_drain.max(drain);
        println!(
            "round {round:>2}: backlog of {deliveries} deliveries, {:.1} MB, gone {:.2} s after the broker's return",
            bytes as f64 / 1e6,
            drain.as_secs_f64()
        );
    }
    report(options, &load, &there, &away, slowest_drain);
    shutdown.advance(Phase::Closing);
    service.finished().await.unwrap();
}

/// Waits until the spool is empty; returns how long that took.
async fn drained(service: &Running) -> Duration {
    let began = Instant::now();
    while service.backlog().1 > 0 {
        assert!(began.elapsed() < DRAIN_WITHIN, "the backlog does not drain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

struct Load {
    batches: Batches,
    post: Endpoint,
    /// From one request to the next.
    distance: Duration,
    bytes: u64,
    requests: u64,
}

impl Load {
    fn new(service: &Running, options: &Options) -> Self {
        let endpoint = format!("http://{}/v1/leads", service.deliveries);
        let generator = Generator::new(1, 1, 0);
        Self {
            batches: Batches::new(generator, EVENTS..=EVENTS, &format!("Bearer {TOKEN}")).unwrap(),
            post: Endpoint::new(&endpoint).unwrap(),
            distance: Duration::from_secs(1) / options.rate,
            bytes: 0,
            requests: 0,
        }
    }

    /// Sends `requests` at the steady rate. A late answer delays no request.
    async fn round(&mut self, requests: u32, statistics: &mut Statistics) {
        let shared = Arc::new(Mutex::new(std::mem::take(statistics)));
        let mut answers = JoinSet::new();
        let began = tokio::time::Instant::now();
        for index in 0..requests {
            let batch = self.batches.make(1_772_445_600_000);
            self.bytes += batch.body.len() as u64;
            self.requests += 1;
            tokio::time::sleep_until(began + self.distance * index).await;
            let (post, shared) = (self.post.clone(), Arc::clone(&shared));
            answers.spawn(async move {
                let sent = Instant::now();
                let answer = post.post(batch.headers, batch.body, TIMEOUT).await;
                shared.lock().unwrap().record(&answer, sent.elapsed());
            });
        }
        while let Some(answer) = answers.join_next().await {
            answer.unwrap();
        }
        *statistics = std::mem::take(&mut *shared.lock().unwrap());
    }
}

fn millis(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

fn report(options: &Options, load: &Load, there: &Statistics, away: &Statistics, drain: Duration) {
    println!();
    println!(
        "{} + {} requests of {EVENTS} events, {:.0} KB each, {} a second",
        there.answered(),
        away.answered(),
        load.bytes as f64 / load.requests as f64 / 1000.0,
        options.rate
    );
    println!("{:<14} {:>9} {:>9} {:>9}   answers", "", "p50 ms", "p99 ms", "max ms");
    for (label, statistics) in [("broker there", there), ("broker away", away)] {
        let (p50, p99) = (statistics.quantile(0.5), statistics.quantile(0.99));
        println!(
            "{label:<14} {:>9.2} {:>9.2} {:>9.2}   {:?}{}",
            millis(p50),
            millis(p99),
            millis(statistics.longest()),
            statistics.statuses,
            if statistics.unanswered > 0 {
                format!(", {} unanswered", statistics.unanswered)
            } else {
                String::new()
            }
        );
    }
    let (p99_there, p99_away) = (millis(there.quantile(0.99)), millis(away.quantile(0.99)));
    let limit = 1.5 * p99_there + 5.0;
    let met = p99_away <= limit;
    println!(
        "p99 away / there: {:.2}; target {p99_away:.2} ≤ 1.5 × {p99_there:.2} + 5 = {limit:.2} ms: {}",
        p99_away / p99_there,
        if met { "met" } else { "NOT MET" }
    );
    let side = |statistics: &Statistics| {
        serde_json::json!({
            "answers": statistics.statuses,
            "unanswered": statistics.unanswered,
            "p50_ms": millis(statistics.quantile(0.5)),
            "p99_ms": millis(statistics.quantile(0.99)),
            "max_ms": millis(statistics.longest()),
        })
    };
    let line = serde_json::json!({
        "bench": "outage",
        "events_per_request": EVENTS,
        "bytes_per_request": load.bytes / load.requests,
        "requests_per_second": options.rate,
        "rounds": options.rounds,
        "there": side(there),
        "away": side(away),
        "p99_ratio": p99_away / p99_there,
        "target_met": met,
        "slowest_drain_s": drain.as_secs_f64(),
    });
    println!("{line}");
}

fn config(bootstrap: &str, folder: &Path) -> Config {
    let source = SourceConfig {
        name: SourceName::new("leads").unwrap(),
        kind: SourceKind::MarketoLeadActivity,
        auth: Auth {
            tokens: Some(TokenAuth {
                tokens: vec![Secret::new(TOKEN).unwrap()],
                header_scheme: HeaderScheme::Bearer,
                query_parameter: None,
            }),
            ..Auth::default()
        },
        journal: None,
        size_limit: None,
        answer: Default::default(),
        activity_types: BTreeMap::new(),
        described_types: Default::default(),
        choice: Default::default(),
        selection: Default::default(),
    };
    let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
    Config {
        listen: Listen { address: anywhere, ..Listen::default() },
        admin: Admin { address: anywhere, ..Admin::default() },
        spool: Spool { directory: folder.join("spool"), ..Spool::default() },
        quarantine: Default::default(),
        schema_registry: None,
        kafka: Kafka {
            bootstrap_servers: bootstrap.into(),
            properties: BTreeMap::new(),
            queue_size: Kafka::QUEUE_SIZE,
            delivery: Default::default(),
        },
        topics: Topics::default(),
        forward: Forward::default(),
        fields: Default::default(),
        adobe: Adobe::default(),
        deduplicate: millrace::deliver::deduplicate::Settings::default(),
        oauth: OAuth::default(),
        sources: vec![source],
        shutdown: millrace::config::Shutdown {
            delay: Duration::ZERO,
            flush: Duration::from_secs(2),
        },
        log: Log::default(),
        traces: Traces::Off,
        pushed_metrics: Default::default(),
    }
}
