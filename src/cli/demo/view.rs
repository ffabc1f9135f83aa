//! One moment of the demo, as lines for a terminal or as a single line.

use std::time::Duration;

use crate::sender::Statistics;

use super::{
    books::{Inner, Side},
    outage::Broker,
    text::{bytes, clock, count, counted, time},
};

/// What is shown.
pub struct View {
    pub elapsed: Duration,
    pub stage: Stage,
    pub senders: Vec<Side>,
    pub all: Side,
    pub backlog: Backlog,
    pub acknowledged: u64,
    pub on_topics: u64,
    /// Name and records, the fullest first.
    pub topics: Vec<(String, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Batches are sent, until the end if there is one.
    Sending(Broker, Option<Duration>),
    /// The senders have stopped; the spool empties itself.
    Draining,
    /// And whether the topics were read to their ends.
    Done(bool),
}

/// What is in the spool and not in Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub bytes: u64,
    pub deliveries: u64,
}

/// How a line looks where colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Faint,
    Good,
    Bad,
}

pub type Line = (Tone, String);

impl View {
    pub fn new(books: &Inner, elapsed: Duration, stage: Stage, backlog: Backlog) -> Self {
        let mut topics: Vec<_> =
            books.ledger.topics().map(|(name, records)| (name.to_owned(), records)).collect();
        topics.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        Self {
            elapsed,
            stage,
            senders: books.senders.clone(),
            all: books.all(),
            backlog,
            acknowledged: books.ledger.acknowledged_events(),
            on_topics: topics.iter().map(|(_, records)| records).sum(),
            topics,
        }
    }

    /// At most `rows` lines (but never fewer than it takes to say what is going on).
    pub fn lines(&self, rows: usize) -> Vec<Line> {
        let mut lines = vec![(Tone::Plain, String::new()), self.headline()];
        for side in &self.senders {
            lines.push((tone(side), format!("  {:<9} {}", side.name, deliveries(side))));
        }
        lines.extend([
            (Tone::Plain, format!("  answers   {}", times("broker there", &self.all.there))),
            (Tone::Plain, format!("            {}", times("broker away ", &self.all.away))),
            (Tone::Plain, format!("  backlog   {}", self.backlog())),
            (Tone::Plain, format!("  events    {}", self.events())),
            (Tone::Plain, String::new()),
        ]);
        let room = rows.saturating_sub(lines.len() + 1).max(3);
        lines.extend(topics(&self.topics, room));
        lines
    }

    /// The same in one line.
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
        let (acknowledged, on_topics) = (count(self.acknowledged), count(self.on_topics));
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

/// `p50 0.84 ms, p99 2.10 ms`, for one state of the broker.
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

/// The fullest topics, as many as `room` lines hold, and what did not fit in one line more.
pub fn topics(topics: &[(String, u64)], room: usize) -> Vec<Line> {
    let shown = if topics.len() <= room { topics.len() } else { room.saturating_sub(1) };
    let width = topics[..shown].iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut lines: Vec<Line> = topics[..shown]
        .iter()
        .map(|(name, records)| (Tone::Plain, format!("  {name:<width$}  {:>9}", count(*records))))
        .collect();
    let rest = &topics[shown..];
    if !rest.is_empty() {
        let records: u64 = rest.iter().map(|(_, records)| records).sum();
        let more = format!("{} more", rest.len());
        lines.push((Tone::Faint, format!("  {more:<width$}  {:>9}", count(records))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sender::Answer;

    /// One answer, in 0.84 ms.
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
            topics: (1..=30).rev().map(|n| (format!("marketo.topic-{n:02}"), n)).collect(),
        }
    }

    fn text(lines: Vec<Line>) -> String {
        lines.into_iter().map(|(_, text)| text + "\n").collect()
    }

    #[test]
    fn it_says_when_the_broker_is_away_and_for_how_long() {
        let end = Some(Duration::from_secs(30));
        let away = view(Stage::Sending(Broker::Away(Duration::from_secs(3)), end));
        let shown = text(away.lines(24));
        assert!(shown.contains("14 s of 30 s: THE BROKER IS DOWN, back in 4 s"), "{shown}");
        assert!(shown.contains("  Marketo   2 sent, 1 answered 200\n"), "{shown}");
        assert!(shown.contains("broker there  p50  0.84 ms  p99  0.84 ms  (1 answer)"), "{shown}");
        assert!(shown.contains("1.5 KiB in 1 delivery"), "{shown}");
        assert!(shown.contains("1,200 acknowledged, 1,100 on 30 topics"), "{shown}");
        assert!(shown.contains("  Adobe I/O 1 sent, 1 answered 200\n"), "{shown}");
        assert!(away.line().contains("broker AWAY   deliveries 3 sent, 1 answered 200"));
    }

    #[test]
    fn topics_that_do_not_fit_are_summed_up() {
        let lines = view(Stage::Draining).lines(24);
        assert!(lines.len() < 24);
        let shown = text(lines);
        assert!(shown.contains("marketo.topic-30"), "{shown}");
        assert!(shown.contains("  17 more                 153\n"), "{shown}");
        let all = topics(&view(Stage::Done(true)).topics, 30);
        assert!(all.len() == 30 && !text(all).contains("more"));
    }

    #[test]
    fn a_tiny_terminal_still_gets_the_state() {
        let shown = text(view(Stage::Draining).lines(5));
        assert!(shown.contains("the spool drains") && shown.contains("backlog"), "{shown}");
    }
}
