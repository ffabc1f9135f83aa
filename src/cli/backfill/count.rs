//! How many of the journal's events were new to the service: its own counters, before and after.

use std::time::Duration;

use reqwest::Url;
use tokio::time::{Instant, sleep};

use crate::{
    observe::metrics::JOURNAL_EVENTS,
    runtime::fetch::{Client, Limits},
    source::SourceName,
};

const METRICS_LIMITS: Limits = Limits { time: Duration::from_secs(10), bytes: 16 * 1024 * 1024 };
const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(super) struct Counts {
    client: Client,
    url: Url,
    source: String,
}

/// Events from the journal that the service has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Events that had not come before.
    pub missed: u64,
    /// Events that had come before.
    pub known: u64,
    /// Events without an id, which cannot be matched.
    pub unidentified: u64,
    /// Events that the source's configuration leaves out.
    pub left_out: u64,
    /// Events that could not be decoded, which are dead letters.
    pub refused: u64,
}

/// The service has not looked at all events, or was restarted meanwhile.
#[derive(Debug)]
pub(super) struct NotCounted;

impl Counts {
    pub fn new(client: Client, admin: &Url, source: &SourceName) -> Result<Self, String> {
        let url =
            admin.join("metrics").map_err(|_| format!("--admin {admin}: nothing is below it"))?;
        Ok(Self { client, url, source: source.to_string() })
    }

    /// Reads the counters; `None` when the service cannot be asked.
    pub async fn read(&self) -> Option<Counted> {
        let text = self.client.get(&self.url, METRICS_LIMITS).await.ok()?;
        Some(parse(std::str::from_utf8(&text).ok()?, &self.source))
    }

    /// Returns the counts since `before`, once they add up to `delivered`.
    pub async fn wait_for(
        &self,
        before: Counted,
        delivered: u64,
        patience: Duration,
    ) -> Result<Counted, NotCounted> {
        let end = Instant::now() + patience;
        loop {
            if let Some(now) = self.read().await {
                let since = now.since(before).ok_or(NotCounted)?;
                if since.all() >= delivered {
                    return Ok(since);
                }
            }
            if Instant::now() >= end {
                return Err(NotCounted);
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

impl Counted {
    /// Returns the difference; `None` when a counter went backwards, as after a restart.
    fn since(self, before: Self) -> Option<Self> {
        Some(Self {
            missed: self.missed.checked_sub(before.missed)?,
            known: self.known.checked_sub(before.known)?,
            unidentified: self.unidentified.checked_sub(before.unidentified)?,
            left_out: self.left_out.checked_sub(before.left_out)?,
            refused: self.refused.checked_sub(before.refused)?,
        })
    }

    fn all(self) -> u64 {
        self.missed + self.known + self.unidentified + self.left_out + self.refused
    }
}

/// Reads one counter of one source out of Prometheus' text format.
fn parse(text: &str, source: &str) -> Counted {
    let mut counted = Counted::default();
    let source = format!("source=\"{source}\"");
    for line in text.lines() {
        let Some(labels) = line.strip_prefix(JOURNAL_EVENTS) else { continue };
        let Some((labels, value)) = labels.split_once('}') else { continue };
        let Some(value) = value.trim().parse::<f64>().ok().filter(|_| labels.contains(&source))
        else {
            continue;
        };
        let results = [
            ("missed", &mut counted.missed),
            ("known", &mut counted.known),
            ("unidentified", &mut counted.unidentified),
            ("left-out", &mut counted.left_out),
            ("refused", &mut counted.refused),
        ];
        for (result, count) in results {
            if labels.contains(&format!("result=\"{result}\"")) {
                *count = value as u64;
            }
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_of_the_source_are_read_and_no_others() {
        let text = "\
# HELP millrace_journal_events_total x
millrace_journal_events_total{result=\"missed\",source=\"io\"} 3
millrace_journal_events_total{result=\"known\",source=\"io\"} 40
millrace_journal_events_total{result=\"unidentified\",source=\"io\"} 5
millrace_journal_events_total{result=\"left-out\",source=\"io\"} 7
millrace_journal_events_total{result=\"refused\",source=\"io\"} 1
millrace_journal_events_total{result=\"missed\",source=\"io2\"} 99
millrace_events_total{source=\"io\",topic=\"t\"} 7
";
        let counted = parse(text, "io");
        assert_eq!(
            counted,
            Counted { missed: 3, known: 40, unidentified: 5, left_out: 7, refused: 1 }
        );
        assert_eq!(parse(text, "other"), Counted::default());
        assert_eq!(Counted::default().since(counted), None, "a restart is noticed");
    }
}
