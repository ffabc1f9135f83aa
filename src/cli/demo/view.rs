//! One moment of the demo, as lines for a terminal or as a single line.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::sender::Statistics;

pub use crate::cli::colours::Tone;

use super::{
    books::{Inner, Side},
    outage::Broker,
    text::{bytes, clock, count, counted, time},
};

/// The numbers that are shown.
pub struct View {
    pub elapsed: Duration,
    pub stage: Stage,
    pub senders: Vec<Side>,
    pub all: Side,
    pub backlog: Backlog,
    pub acknowledged: u64,
    pub on_topics: u64,
    /// Topics, the fullest first.
    pub topics: Vec<Topic>,
}

/// The records of one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    pub name: String,
    pub records: u64,
    pub per_second: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Batches are sent, until the end if there is one.
    Sending(Broker, Option<Duration>),
    /// The senders have stopped; the spool empties itself.
    Draining,
    /// Finished; whether the topics were read to their ends.
    Done(bool),
}

/// The contents of the spool that are not in Kafka yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub bytes: u64,
    pub deliveries: u64,
}

pub type Line = (Tone, String);

impl View {
    pub fn new(
        books: &Inner,
        elapsed: Duration,
        stage: Stage,
        backlog: Backlog,
        rates: &mut Rates,
    ) -> Self {
        let all = books.ledger.topics().map(|(name, records)| (name.to_owned(), records));
        let topics = rates.of(elapsed, all.collect());
        Self {
            elapsed,
            stage,
            senders: books.senders.clone(),
            all: books.all(),
            backlog,
            acknowledged: books.ledger.acknowledged_events(),
            on_topics: topics.iter().map(|topic| topic.records).sum(),
            topics,
        }
    }

    /// Renders at most `rows` lines, but never fewer than the state takes: the state first, then `head`, which does
    /// not move, the numbers, and the topics.
    pub fn lines(&self, head: &[Line], rows: usize) -> Vec<Line> {
        let mut lines = vec![self.headline()];
        lines.extend_from_slice(head);
        for side in &self.senders {
            lines.push((tone(side), format!("  {:<9} {}", side.name, deliveries(side))));
        }
        lines.extend([
            (Tone::Plain, format!("  answers   {}", times("broker there", &self.all.there))),
            (Tone::Plain, format!("            {}", times("broker away ", &self.all.away))),
            (Tone::Plain, format!("  backlog   {}", self.backlog())),
            (Tone::Plain, format!("  events    {}", self.events())),
        ]);
        let room = rows.saturating_sub(lines.len() + 1).max(3);
        let (shown, rest) = self.topics.split_at(self.topics.len().min(room));
        lines.extend(topics(shown));
        let what = match self.stage {
            Stage::Sending(..) => "q ends it, with a summary",
            Stage::Draining | Stage::Done(_) => "q ends it now",
        };
        let more = match rest.len() {
            0 => String::new(),
            n => {
                let records = rest.iter().map(|topic| topic.records).sum();
                format!("; {n} more topics with {}", counted(records, "record", "records"))
            }
        };
        lines.push((Tone::Faint, format!("{what}{more}")));
        lines
    }

    /// Renders the state as one line.
    pub fn line(&self) -> String {
        format!(
            "{:>8}  {}  deliveries {}  p99 {}  backlog {}  events {}",
            clock(self.elapsed),
            match self.stage {
                Stage::Sending(Broker::There, _) => "broker there",
                Stage::Sending(Broker::Away(_), _) => "broker AWAY ",
                Stage::Draining => "draining    ",
                Stage::Done(_) => "done        ",
            },
            deliveries(&self.all),
            self.all.answers().quantile(0.99).map_or_else(|| "-".into(), time),
            self.backlog(),
            self.events(),
        )
    }

    fn headline(&self) -> Line {
        let elapsed = clock(self.elapsed);
        match self.stage {
            Stage::Sending(broker, end) => {
                let end = end.map(|end| format!(" of {}", clock(end))).unwrap_or_default();
                match broker {
                    Broker::There => {
                        let is = if self.all.away.answered() > 0 { "is back" } else { "is there" };
                        (Tone::Good, format!("{elapsed}{end}: the broker {is}"))
                    }
                    Broker::Away(back) => {
                        let back = clock(back + Duration::from_secs(1));
                        let text = format!("{elapsed}{end}: THE BROKER IS DOWN, back in {back}");
                        (Tone::Bad, text)
                    }
                }
            }
            Stage::Draining => {
                (Tone::Good, format!("{elapsed}: the senders have stopped, the spool drains"))
            }
            Stage::Done(true) => {
                (Tone::Good, format!("{elapsed}: all topics are read to their ends"))
            }
            Stage::Done(false) => (Tone::Bad, format!("{elapsed}: ended early")),
        }
    }

    fn backlog(&self) -> String {
        let deliveries = counted(self.backlog.deliveries, "delivery", "deliveries");
        format!("{} in {deliveries}", bytes(self.backlog.bytes))
    }

    fn events(&self) -> String {
        let acknowledged = count(self.acknowledged);
        let on_topics = count(self.on_topics);
        format!("{acknowledged} acknowledged, {on_topics} on {} topics", self.topics.len())
    }
}

fn deliveries(side: &Side) -> String {
    let answers = side.answers();
    let mut text = format!("{} sent", count(side.requests));
    for (status, number) in &answers.statuses {
        text.push_str(&format!(", {} answered {status}", count(*number)));
    }
    if answers.unanswered > 0 {
        text.push_str(&format!(", {} unanswered", count(answers.unanswered)));
    }
    if !side.paused.is_empty() {
        text.push_str(&format!(", {} paused", count(side.paused.len() as u64)));
    }
    text
}

fn tone(side: &Side) -> Tone {
    let answers = side.answers();
    let refused = answers.statuses.keys().any(|status| *status >= 300);
    if refused || answers.unanswered > 0 { Tone::Bad } else { Tone::Plain }
}

/// Renders answer times for one state of the broker: `p50 0.84 ms, p99 2.10 ms`.
pub fn times(label: &str, statistics: &Statistics) -> String {
    match (statistics.quantile(0.5), statistics.quantile(0.99)) {
        (Some(p50), Some(p99)) => format!(
            "{label}  p50 {:>8}  p99 {:>8}  ({})",
            time(p50),
            time(p99),
            counted(statistics.answered(), "answer", "answers")
        ),
        _ => format!("{label}  -"),
    }
}

/// Renders a line for each topic: name, records, and records per second.
pub fn topics(topics: &[Topic]) -> Vec<Line> {
    let width = topics.iter().map(|topic| topic.name.len()).max().unwrap_or_default();
    let line = |topic: &Topic| {
        let Topic { name, records, per_second } = topic;
        (Tone::Plain, format!("  {name:<width$}  {:>11}  {per_second:>7.0}/s", count(*records)))
    };
    topics.iter().map(line).collect()
}

/// Counts the records that came to each topic in the last seconds.
#[derive(Debug, Default)]
pub struct Rates(VecDeque<(Duration, HashMap<String, u64>)>);

impl Rates {
    /// Age of the oldest count that a rate is computed from.
    const WINDOW: Duration = Duration::from_secs(5);
    const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

    fn of(&mut self, now: Duration, topics: Vec<(String, u64)>) -> Vec<Topic> {
        while self.0.len() > 1 && self.0.front().is_some_and(|(at, _)| now - *at > Self::WINDOW) {
            self.0.pop_front();
        }
        let before = self.0.front();
        let rate = |name: &String, records: u64| {
            let Some((at, counts)) = before else { return 0.0 };
            let new = records.saturating_sub(counts.get(name).copied().unwrap_or_default());
            new as f64 / (now - *at).as_secs_f64().max(0.1)
        };
        let mut found: Vec<_> = topics
            .iter()
            .map(|(name, records)| {
                let per_second = rate(name, *records);
                Topic { name: name.clone(), records: *records, per_second }
            })
            .collect();
        found.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.name.cmp(&b.name)));
        if self.0.back().is_none_or(|(at, _)| now - *at >= Self::SAMPLE_INTERVAL) {
            self.0.push_back((now, topics.into_iter().collect()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sender::Answer;

    /// A sender with one answer, in 0.84 ms.
    fn side(name: &'static str, requests: u64) -> Side {
        let mut there = Statistics::new();
        there.record(&Answer::Status(http::StatusCode::OK), Duration::from_micros(840));
        Side { name, requests, there, ..Side::default() }
    }

    fn view(stage: Stage) -> View {
        View {
            elapsed: Duration::from_secs(14),
            stage,
            senders: vec![side("Marketo", 2), side("Adobe I/O", 1)],
            all: side("", 3),
            backlog: Backlog { bytes: 1536, deliveries: 1 },
            acknowledged: 1200,
            on_topics: 1100,
            topics: (1..=30).rev().map(topic).collect(),
        }
    }

    fn topic(n: u64) -> Topic {
        Topic { name: format!("marketo.topic-{n:02}"), records: n, per_second: 2.4 }
    }

    fn head() -> Vec<Line> {
        (1..=6).map(|n| (Tone::Plain, format!("head {n}"))).collect()
    }

    fn text(lines: Vec<Line>) -> String {
        lines.into_iter().map(|(_, text)| text + "\n").collect()
    }

    #[test]
    fn it_says_when_the_broker_is_away_and_for_how_long() {
        let end = Some(Duration::from_secs(30));
        let away = view(Stage::Sending(Broker::Away(Duration::from_secs(3)), end));
        let shown = text(away.lines(&[], 24));
        assert!(shown.contains("14 s of 30 s: THE BROKER IS DOWN, back in 4 s"), "{shown}");
        assert!(shown.contains("  Marketo   2 sent, 1 answered 200\n"), "{shown}");
        assert!(shown.contains("broker there  p50  0.84 ms  p99  0.84 ms  (1 answer)"), "{shown}");
        assert!(shown.contains("1.5 KiB in 1 delivery"), "{shown}");
        assert!(shown.contains("1,200 acknowledged, 1,100 on 30 topics"), "{shown}");
        assert!(shown.contains("  Adobe I/O 1 sent, 1 answered 200\n"), "{shown}");
        assert!(away.line().contains("broker AWAY   deliveries 3 sent, 1 answered 200"));
    }

    #[test]
    fn eighty_by_twentyfour_has_the_whole_head_and_ten_topics_with_rates() {
        let lines = view(Stage::Draining).lines(&head(), 24);
        assert_eq!(lines.len(), 24);
        assert!(lines.iter().all(|(_, line)| line.chars().count() <= 80), "{lines:?}");
        let shown = text(lines);
        assert!(shown.contains("head 6\n") && shown.contains("marketo.topic-21  "), "{shown}");
        assert!(shown.contains("  marketo.topic-30           30        2/s\n"), "{shown}");
        assert!(shown.ends_with("; 20 more topics with 210 records\n"), "{shown}");
        let all = view(Stage::Done(true)).lines(&[], 60);
        assert!(!text(all).contains("more topics"));
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let mut rates = Rates::default();
        let mut at = |second: u64, records: u64| {
            rates.of(Duration::from_secs(second), vec![("t".into(), records)])[0].per_second
        };
        assert_eq!([at(0, 0), at(1, 10), at(2, 20), at(5, 50)], [0.0, 10.0, 10.0, 10.0]);
        assert_eq!(at(60, 50), 0.0);
    }

    #[test]
    fn a_tiny_terminal_still_gets_the_state() {
        let shown = text(view(Stage::Draining).lines(&[], 5));
        assert!(shown.contains("the spool drains") && shown.contains("backlog"), "{shown}");
    }
}
