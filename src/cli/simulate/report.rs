//! The report of `millrace simulate`, as text and as JSON.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Map, Value, json};

use super::{cast::Cast, options::Options};
use crate::{
    cli::text,
    sender::{Account, Consequence, Times, account::Amount},
};

/// Measurements of the run as a whole.
pub struct Run {
    pub elapsed: Duration,
    /// How long new deliveries were sent, and how many each sender had sent by then.
    pub sending_for: Duration,
    pub sent: Vec<u64>,
    /// Processor time that the generator used.
    pub cpu: Duration,
}

pub struct Report {
    run: Run,
    rate: f64,
    /// Whether the rate was set on the command line.
    has_rate: bool,
    connections: u16,
    time_scale: f64,
    seed: u64,
    prepared: Option<u16>,
    senders: Vec<(&'static str, Account, Vec<Consequence>)>,
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

impl Report {
    pub fn new(options: &Options, run: Run, cast: Cast) -> Self {
        Self {
            run,
            rate: options.rate(),
            has_rate: options.rate.is_some(),
            connections: options.connections,
            time_scale: options.time_scale,
            seed: options.seed,
            prepared: options.prepare,
            senders: cast.accounts(),
        }
    }

    /// Whether everything was delivered and a real sender would have had no complaint.
    pub fn is_good(&self) -> bool {
        self.senders.iter().all(|(.., consequences)| consequences.is_empty())
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for ((name, account, consequences), sent) in self.senders.iter().zip(&self.run.sent) {
            self.sender(&mut text, name, account, *sent);
            if consequences.is_empty() {
                text.push_str("  a real one      would be content: everything was delivered\n");
            }
            for consequence in consequences {
                let _ = writeln!(text, "  a real one      {consequence}");
            }
            if let Some(look) = look_at(account) {
                let _ = writeln!(text, "  look at         {look}");
            }
        }
        let share = 100.0 * self.cores();
        let _ = writeln!(text, "the generator took {share:.0} % of one core");
        // Only with a set rate: otherwise the pace is the sender's own, and short times make the lag a large share.
        if self.has_rate && self.is_limited() {
            text.push_str(
                "the generator itself was late by more than a tenth of the answers' p99: it is part \
                 of what was measured (try --prepare, fewer connections, or a machine of its own)\n",
            );
        }
        text
    }

    fn sender(&self, text: &mut String, name: &str, account: &Account, sent: u64) {
        let mut line = |label: &str, value: String| {
            let _ = writeln!(text, "  {label:<15} {value}");
        };
        line(&format!("{name}:"), String::new());
        let Amount { deliveries, events } = account.sent;
        line(
            "sent",
            format!(
                "{} with {}, {}, in {}",
                text::counted(deliveries, "delivery", "deliveries"),
                text::counted(events, "event", "events"),
                text::bytes(account.bytes),
                text::counted(account.tries, "request", "requests"),
            ),
        );
        line("rate", format!("{:.1}/s of {:.1}/s requested", self.achieved(sent), self.rate));
        line("delivered", account.delivered.to_string());
        let mut answers: Vec<String> = account
            .answers
            .statuses
            .iter()
            .map(|(status, n)| format!("{} × {status}", text::count(*n)))
            .collect();
        let silences = account.silences.iter();
        answers.extend(silences.map(|(why, n)| format!("{} × none ({why})", text::count(*n))));
        line("answers", answers.join(", "));
        line("since due", times(&account.answers.times));
        line("since sent", times(&account.service));
        line("own lag", times(&account.lag));
    }

    pub fn json(&self) -> Value {
        let senders = self.senders.iter().zip(&self.run.sent);
        let senders = senders.map(|((name, account, consequences), sent)| {
            let mut value = sender_json(account, consequences);
            value["achieved_rate"] = json!(self.achieved(*sent));
            ((*name).to_owned(), value)
        });
        json!({
            "good": self.is_good(),
            "seconds": self.run.elapsed.as_secs_f64(),
            "sending_seconds": self.run.sending_for.as_secs_f64(),
            "rate": self.rate,
            "connections": self.connections,
            "time_scale": self.time_scale,
            "seed": self.seed,
            "prepared": self.prepared,
            "generator_cpu_seconds": self.run.cpu.as_secs_f64(),
            "generator_cores": self.cores(),
            "generator_is_limit": self.is_limited(),
            "senders": senders.collect::<Map<_, _>>(),
        })
    }

    fn achieved(&self, sent: u64) -> f64 {
        sent as f64 / self.run.sending_for.as_secs_f64().max(1e-9)
    }

    fn cores(&self) -> f64 {
        self.run.cpu.as_secs_f64() / self.run.elapsed.as_secs_f64().max(1e-9)
    }

    /// Whether the generator's own lag is a significant part of the answer times.
    fn is_limited(&self) -> bool {
        self.senders.iter().any(|(_, account, _)| {
            let p99 = |times: &Times| times.quantile(0.99).unwrap_or_default();
            p99(&account.lag) * 10 > p99(&account.answers.times)
        })
    }
}

/// Returns the most frequent answer that is not 2xx, or else the most frequent failure without an answer, with a hint
/// at its cause.
fn look_at(account: &Account) -> Option<String> {
    let refused =
        account.answers.statuses.iter().filter(|(status, _)| !(200..300).contains(*status));
    let most = refused.max_by_key(|(_, n)| **n);
    let silent = account.silences.iter().max_by_key(|(_, n)| **n);
    let tap = "`millrace tap --outcome refused` beside the service names the reason of each";
    match (most, silent) {
        (Some((status, n)), _) => {
            let hint = match *status {
                401 | 403 => "the token, or the source's auth",
                404 => "the URL: its path is /v1/<source>",
                400..500 => "the request, or a proxy before the service",
                502 | 504 => "a proxy before the service, which answers itself",
                _ => "a full spool, a limit, or a signature or recipient that is not accepted",
            };
            Some(format!("{} × {status}: {hint}; {tap}", text::count(*n)))
        }
        (None, Some((why, n))) => Some(format!(
            "{} × no answer ({why}): the URL, the network, or the service's log",
            text::count(*n)
        )),
        (None, None) => None,
    }
}

fn times(times: &Times) -> String {
    let mut parts: Vec<String> = QUANTILES
        .iter()
        .filter_map(|(name, q)| Some(format!("{name} {}", text::time(times.quantile(*q)?))))
        .collect();
    parts.extend(times.longest().map(|longest| format!("max {}", text::time(longest))));
    parts.join("  ")
}

fn sender_json(account: &Account, consequences: &[Consequence]) -> Value {
    let amount = |Amount { deliveries, events }: Amount| json!({ "deliveries": deliveries, "events": events });
    let statuses = account.answers.statuses.iter();
    let statuses: Map<_, _> = statuses.map(|(status, n)| (status.to_string(), json!(n))).collect();
    let consequences = consequences
        .iter()
        .map(|consequence| json!({ "name": consequence.name(), "text": consequence.to_string() }));
    json!({
        "requests": account.tries,
        "bytes": account.bytes,
        "sent": amount(account.sent),
        "delivered": amount(account.delivered),
        "lost": amount(account.lost),
        "undecided": amount(account.undecided()),
        "dropped_deliveries": account.dropped(),
        "answers": statuses,
        "unanswered": account.answers.unanswered,
        "silences": account.silences,
        "since_due_ms": times_json(&account.answers.times),
        "since_sent_ms": times_json(&account.service),
        "own_lag_ms": times_json(&account.lag),
        "consequences": consequences.collect::<Vec<_>>(),
    })
}

fn times_json(times: &Times) -> Value {
    let millis = |time: Option<Duration>| json!(time.map(|time| time.as_secs_f64() * 1000.0));
    let mut value: Map<_, _> = QUANTILES
        .iter()
        .map(|(name, quantile)| ((*name).to_owned(), millis(times.quantile(*quantile))))
        .collect();
    value.insert("max".into(), millis(times.longest()));
    value.insert("count".into(), json!(times.count()));
    value.into()
}
