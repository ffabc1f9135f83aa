//! Logs, every few minutes of an outage of Kafka, how much of each source waits in the spool, for how long,
//! and when there is no room for more (`log.outage_interval`).
//!
//! The beginning and the end of an outage are logged where they are noticed (`kafka/cluster.rs`). These lines are for
//! an operator who comes in between: whether there is time until tomorrow is the first question, and the log answers
//! it without a dashboard. Once the backlog of the outage is delivered, that is logged for each source
//! (`outage/behind.rs`).

mod behind;

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use self::behind::{Behind, Delivered, Progress};
use super::{
    disk_forecast::{Backlogs, Bound, Full, Left, MIN_HISTORY, Taken},
    status::room,
};
use crate::{
    kafka::Topics,
    runtime::{
        readable::{bytes, counted, length},
        shutdown::{Phase, Shutdown},
    },
    source::UnixMillis,
    spool::{Backlog, Folder, Spool},
};

/// Time between two samples; a short one, so that the rate of the first minutes is known.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
const YEAR_SECONDS: f64 = 365.0 * 86_400.0;

/// Samples until the stop begins, which logs the remaining backlog itself.
pub(super) fn spawn(
    interval: Duration,
    topics: &Arc<Topics>,
    folder: Arc<Folder>,
    spools: Vec<Spool>,
    shutdown: Shutdown,
) {
    let topics = Arc::downgrade(topics);
    tokio::spawn(async move {
        let mut outage = Outage::new(interval);
        loop {
            tokio::select! {
                () = shutdown.reached(Phase::Closing) => return,
                () = tokio::time::sleep(SAMPLE_INTERVAL.min(interval)) => {}
            }
            let Some(away) = Weak::upgrade(&topics).map(|topics| topics.cluster_away_for()) else {
                return;
            };
            let now = Now { instant: Instant::now(), unix: unix() };
            let delivered = outage.caught_up(away.is_some(), now.instant, || progress(&spools));
            delivered.iter().for_each(Delivered::log);
            for line in outage.look(away, now, || measure(&folder, &spools)) {
                line.log();
            }
        }
    });
}

fn unix() -> UnixMillis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as UnixMillis
}

fn measure(folder: &Folder, spools: &[Spool]) -> Measured {
    let (taken, left) = room(folder, spools);
    let backlogs = spools.iter().map(Spool::undelivered);
    Measured { sources: taken.into_iter().zip(backlogs).collect(), left }
}

fn progress(spools: &[Spool]) -> Vec<Progress> {
    let one = |spool: &Spool| Progress {
        source: spool.source().to_string(),
        lowest: spool.lowest().sequence,
        end: spool.durable_end(),
        waiting: spool.undelivered().deliveries,
    };
    spools.iter().map(one).collect()
}

#[derive(Clone, Copy)]
struct Now {
    instant: Instant,
    unix: UnixMillis,
}

struct Measured {
    sources: Vec<(Taken, Backlog)>,
    left: Left,
}

/// Follows outages, one after the other.
struct Outage {
    interval: Duration,
    /// The outage that lasts.
    current: Option<Current>,
    /// The backlog at the end of the last outage.
    behind: Behind,
}

struct Current {
    began: Instant,
    /// The time of the next lines.
    due: Instant,
    /// Samples of this outage alone: before it there was no backlog that grew.
    backlogs: Backlogs,
}

impl Outage {
    fn new(interval: Duration) -> Self {
        Self { interval, current: None, behind: Behind::default() }
    }

    /// Returns sources whose backlog of the last outage is delivered by now. Must be called before [`Self::look`].
    fn caught_up(
        &mut self,
        is_away: bool,
        now: Instant,
        progress: impl FnOnce() -> Vec<Progress>,
    ) -> Vec<Delivered> {
        match (is_away, self.current.is_some()) {
            // Undelivered deliveries count for the next outage.
            (true, _) => self.behind = Behind::default(),
            (false, true) => self.behind = Behind::at(progress(), now),
            (false, false) if self.behind.is_empty() => {}
            (false, false) => return self.behind.delivered(&progress(), now),
        }
        Vec::new()
    }

    /// Returns the lines to log now. `away` is the time for which Kafka has not answered.
    fn look(
        &mut self,
        away: Option<Duration>,
        now: Now,
        measure: impl FnOnce() -> Measured,
    ) -> Vec<Line> {
        let Some(away) = away else {
            self.current = None;
            return Vec::new();
        };
        let interval = self.interval;
        let current = self.current.get_or_insert_with(|| Current {
            began: now.instant,
            due: now.instant + interval.saturating_sub(away),
            backlogs: Backlogs::default(),
        });
        let Measured { sources, left } = measure();
        let (taken, backlogs): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
        let full = current.backlogs.forecast(now.instant, &taken, left);
        if now.instant < current.due {
            return Vec::new();
        }
        current.due = now.instant + interval;
        let is_rate_known = now.instant.saturating_duration_since(current.began) >= MIN_HISTORY;
        let waiting = taken.iter().zip(&backlogs).zip(full);
        let waiting = waiting.filter(|((_, backlog), _)| backlog.deliveries > 0);
        let line = |((taken, backlog), full): ((&Taken, &Backlog), Full)| {
            Line::of(&taken.source, away, *backlog, full, is_rate_known, now.unix)
        };
        let lines: Vec<_> = waiting.map(line).collect();
        if lines.is_empty() { vec![Line::of_nothing(away)] } else { lines }
    }
}

/// A line of the log: the text for an operator, the numbers for programs.
#[derive(Debug, PartialEq)]
struct Line {
    source: Option<String>,
    away_seconds: u64,
    undelivered_bytes: u64,
    undelivered_deliveries: u64,
    oldest_seconds: Option<u64>,
    /// `None` where the backlog does not grow.
    seconds_until_full: Option<u64>,
    text: String,
}

impl Line {
    fn of(
        source: &str,
        away: Duration,
        backlog: Backlog,
        full: Full,
        is_rate_known: bool,
        now: UnixMillis,
    ) -> Self {
        let oldest = backlog.oldest.map(|at| Duration::from_millis(now.saturating_sub(at)));
        let age = oldest.map(|age| format!(", the oldest for {}", length(age)));
        let key = match full.of {
            Bound::Source => format!("sources.{source}.size_limit"),
            Bound::Volume => "the room on the volume of spool.directory".to_owned(),
            Bound::Total => "spool.size_limit".to_owned(),
        };
        let room = match full.seconds {
            0.0 => format!("; {key} is used up, and deliveries are refused with 503"),
            seconds if seconds > YEAR_SECONDS && seconds.is_finite() => {
                format!("; {key} lasts for more than a year at this rate")
            }
            seconds if seconds.is_finite() => {
                let left = length(Duration::from_secs_f64(seconds.ceil()));
                format!("; {key} is used up in {left} at this rate")
            }
            _ if is_rate_known => "; they do not become more".to_owned(),
            _ => String::new(),
        };
        let (wait, number) = match backlog.deliveries {
            1 => ("waits", "1 delivery".to_owned()),
            many => ("wait", counted(many, "delivery", "deliveries")),
        };
        let text = format!(
            "Kafka has not answered for {}: {number} ({}) {wait} in the spool{}{room}",
            length(away),
            bytes(backlog.bytes),
            age.unwrap_or_default(),
        );
        Self {
            source: Some(source.to_owned()),
            away_seconds: away.as_secs(),
            undelivered_bytes: backlog.bytes,
            undelivered_deliveries: backlog.deliveries,
            oldest_seconds: oldest.map(|age| age.as_secs()),
            seconds_until_full: full.seconds.is_finite().then_some(full.seconds as u64),
            text,
        }
    }

    fn of_nothing(away: Duration) -> Self {
        let away_for = length(away);
        Self {
            source: None,
            away_seconds: away.as_secs(),
            undelivered_bytes: 0,
            undelivered_deliveries: 0,
            oldest_seconds: None,
            seconds_until_full: None,
            text: format!("Kafka has not answered for {away_for}; no delivery waits in the spool"),
        }
    }

    fn log(&self) {
        let Self { away_seconds, undelivered_bytes, undelivered_deliveries, .. } = *self;
        tracing::warn!(
            source = self.source,
            away_seconds,
            undelivered_bytes,
            undelivered_deliveries,
            oldest_seconds = self.oldest_seconds,
            seconds_until_full = self.seconds_until_full,
            "{}",
            self.text
        );
    }
}

#[cfg(test)]
mod tests;
