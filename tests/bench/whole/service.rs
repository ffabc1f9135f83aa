//! The service as a process of its own.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    backlog::TOPIC,
    support::{
        http::Client,
        ports,
        process::{self, Process},
        wait,
    },
};

pub const TOKEN: &str = "bench-token";

const PATIENCE: Duration = Duration::from_secs(120);

pub struct Service {
    pub process: Process,
    pub url: String,
    /// From its start to its first "ready".
    pub ready_after: Duration,
    pub admin_address: SocketAddr,
    admin: Client,
}

/// Where no broker is.
pub fn nowhere() -> String {
    format!("127.0.0.1:{}", ports::free())
}

impl Service {
    /// `settings` are keys without the prefix that all have. An error is what the program said when
    /// it ended instead.
    pub fn start(spool: &Path, kafka: &str, settings: &[(&str, &str)]) -> Result<Self, String> {
        let mut command = process::tied(env!("CARGO_BIN_EXE_millrace"));
        command.arg("serve").env_clear().env("MILLRACE_SPOOL__DIRECTORY", spool);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let own = [
            ("KAFKA__BOOTSTRAP_SERVERS", kafka),
            ("LISTEN__ADDRESS", "127.0.0.1:0"),
            ("ADMIN__ADDRESS", "127.0.0.1:0"),
            ("SPOOL__SIZE_LIMIT", "64GiB"),
            ("TOPICS__NAME", TOPIC),
            ("TOPICS__DEAD_LETTER", "bench.dead-letter"),
            ("SOURCES__LEADS__KIND", "marketo-lead-activity"),
            ("SOURCES__LEADS__AUTH__TOKENS", TOKEN),
            ("LOG__FORMAT", "json"),
        ];
        for (key, value) in own.iter().chain(settings) {
            command.env(format!("MILLRACE_{key}"), value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut process = process::spawn(command);
        let mut lines = BufReader::new(process.child().stderr.take().unwrap()).lines();
        let (mut said, mut deliveries, mut admin) = (String::new(), None, None);
        let (deliveries, admin) = loop {
            if let (Some(deliveries), Some(admin)) = (deliveries, admin) {
                break (deliveries, admin);
            }
            let Some(Ok(line)) = lines.next() else { return Err(said) };
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            let address = || event["address"].as_str()?.parse::<SocketAddr>().ok();
            if event["message"] == "listening" {
                match event["listener"].as_str() {
                    Some("admin") => admin = address(),
                    Some("deliveries") => deliveries = address(),
                    _ => {}
                }
            }
            said += &line;
            said.push('\n');
        };
        std::thread::spawn(move || lines.for_each(drop));
        let admin_address = admin;
        let mut admin = Client::new(admin_address);
        while !admin.get("/readyz").is_ok_and(|answer| answer.status == 200) {
            assert!(began.elapsed() < PATIENCE, "the service does not become ready:\n{said}");
            std::thread::sleep(Duration::from_millis(1));
        }
        let ready_after = began.elapsed();
        Ok(Self {
            process,
            url: format!("http://{deliveries}/v1/leads"),
            ready_after,
            admin_address,
            admin,
        })
    }

    /// The sum of all series of a metric.
    pub fn metric(&mut self, name: &str) -> f64 {
        // A connection that nobody used for a while is closed.
        let answer = self.admin.get("/metrics").or_else(|_| self.admin.get("/metrics")).unwrap();
        let text = answer.text();
        let series = text.lines().filter_map(|line| line.strip_prefix(name));
        let series = series.filter(|rest| rest.starts_with(['{', ' ']));
        series.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// The buckets of a histogram with one series: upper edges in ascending order, with how many lie below.
    pub fn buckets(&mut self, name: &str) -> Vec<(f64, f64)> {
        let answer = self.admin.get("/metrics").or_else(|_| self.admin.get("/metrics")).unwrap();
        let bucket = |line: &str| {
            let rest = line.strip_prefix(name)?.strip_prefix("_bucket{")?;
            let (_, edge) = rest.split_once("le=\"")?;
            let (edge, count) = edge.split_once('"')?;
            let count = count.trim_start_matches(['}', ' ']).split(' ').next()?;
            Some((edge.parse::<f64>().ok()?, count.parse::<f64>().ok()?))
        };
        answer.text().lines().filter_map(bucket).collect()
    }

    pub fn delivered(&mut self) -> f64 {
        self.metric("millrace_events_delivered_total")
    }

    /// Waits until nothing is left to deliver.
    pub fn drain(&mut self) {
        wait::until("a drained spool", PATIENCE, || {
            self.metric("millrace_spool_undelivered_deliveries") == 0.0
        });
    }
}

/// How fast events were delivered.
pub struct Pace {
    /// Events a second.
    pub rate: f64,
    /// Of the service, an event, in microseconds.
    pub cpu: f64,
}

/// Watches until `events` are delivered, from the first one on.
pub fn watch(service: &mut Service, events: u64) -> Pace {
    let look = |service: &mut Service| {
        let cpu = super::machine::cpu(service.process.id());
        (service.delivered(), Instant::now(), cpu)
    };
    let began = Instant::now();
    let mut first = look(service);
    loop {
        let now = look(service);
        if first.0 == 0.0 {
            first = now;
        }
        if now.0 >= events as f64 {
            let count = now.0 - first.0;
            return Pace {
                rate: count / (now.1 - first.1).as_secs_f64(),
                cpu: (now.2 - first.2).as_secs_f64() * 1e6 / count,
            };
        }
        assert!(began.elapsed() < PATIENCE, "{} of {events} events in {PATIENCE:?}", now.0);
        std::thread::sleep(Duration::from_millis(10));
    }
}
