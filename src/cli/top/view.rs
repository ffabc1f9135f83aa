//! Renders one state as lines: sources first, then topics, held ones before the others. 80 columns are enough.

mod plain;

use std::{cmp::Reverse, time::Duration};

use super::keys::{Page, Sort, State};
use crate::cli::{
    admin::answers::{DeadLetters, Held, Source, Status, Topic},
    colours::Tone,
    table::{cut, cut_middle},
    terminal::Line,
    text, when,
};

pub use self::plain::plain;

pub struct View<'a> {
    pub status: &'a Status,
    pub state: &'a State,
    pub letters: Option<&'a DeadLetters>,
    /// Why the state is not current.
    pub problem: Option<&'a str>,
}

/// Banners that are shown, the most urgent: the sources need the room.
const MAX_BANNERS: usize = 3;
/// Milliseconds from the start until topics and brokers are known: two samples of the counters.
const KNOWN_AFTER: u64 = 10_000;
/// Columns of a plot.
const PLOT_WIDTH: usize = 20;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl View<'_> {
    /// Renders exactly as many lines as the terminal has.
    pub fn screen(&self, columns: usize, rows: usize) -> Vec<Line> {
        let mut lines = self.head(columns);
        let room = rows.saturating_sub(lines.len() + 1).max(1);
        match self.state.page {
            Page::Overview => lines.extend(self.overview(columns, room)),
            Page::DeadLetters => lines.extend(self.scroll(self.dead_letters(columns), room)),
            Page::Refusals => lines.extend(self.scroll(self.refusals(columns), room)),
        }
        lines.truncate(rows.saturating_sub(1));
        lines.resize(rows.saturating_sub(1), Line::default());
        lines.push(self.foot());
        lines
    }

    /// Renders all sources and topics.
    pub fn whole(&self, columns: usize) -> Vec<Line> {
        let mut lines = self.head(columns);
        lines.extend(self.sources(columns));
        lines.push(Line::default());
        lines.extend(self.topics(columns));
        lines
    }

    fn head(&self, columns: usize) -> Vec<Line> {
        let Status { version, instance, state, kafka, rates, reasons, .. } = self.status;
        let up = Duration::from_millis(self.status.now.saturating_sub(self.status.started));
        let title = format!("millrace {version}  {}  up {}", shown(instance), text::clock(up));
        let mut lines = vec![Line(vec![
            (Tone::Strong, title),
            (tone_of(state), format!("  {}", shown(state))),
            (
                Tone::Plain,
                format!("  in {}/s  out {}/s", rate(rates.stored), rate(rates.delivered)),
            ),
        ])];
        if let Some(problem) = self.problem {
            lines.push(Line::of(Tone::Bad, format!("no answer: {}", shown(problem))));
        }
        let servers = shown(&kafka.bootstrap_servers);
        lines.push(match kafka.away {
            true => Line::of(Tone::Bad, format!("Kafka AWAY  {servers}")),
            false if kafka.brokers == 0 => {
                Line::of(Tone::Faint, format!("Kafka brokers not known yet  {servers}"))
            }
            false => {
                let connected = kafka.connected;
                let brokers = text::counted(kafka.brokers, "broker", "brokers");
                Line::of(Tone::Faint, format!("Kafka {connected} of {brokers}  {servers}"))
            }
        });
        lines.extend(reasons.iter().take(2).map(|why| Line::of(Tone::Bad, shown(why))));
        for banner in self.status.banners.iter().take(MAX_BANNERS) {
            let tone = if banner.level == "error" { Tone::Bad } else { Tone::Warn };
            lines.push(Line::of(tone, cut(&shown(&banner.text), columns)));
        }
        let more = self.status.banners.len().saturating_sub(MAX_BANNERS);
        if more > 0 {
            let text = format!("… {more} more: see the console, or `millrace top --once --json`");
            lines.push(Line::of(Tone::Faint, cut(&text, columns)));
        }
        lines.push(Line::default());
        lines
    }

    /// Renders sources and topics in `room` lines. Sources get the lines that topics do not need, and at least half.
    fn overview(&self, columns: usize, room: usize) -> Vec<Line> {
        let sources = self.sources(columns);
        let topics = self.topics(columns);
        let least = room.saturating_sub(topics.len() + 1).max(room / 2);
        let for_sources = sources.len().min(least);
        let mut lines = self.scroll(sources, for_sources);
        lines.push(Line::default());
        lines.extend(fit(topics, room.saturating_sub(for_sources + 1)));
        lines
    }

    fn scroll(&self, mut lines: Vec<Line>, room: usize) -> Vec<Line> {
        if lines.len() <= room || lines.is_empty() {
            return lines;
        }
        // The first line is the table's head, which does not scroll.
        let most = lines.len() - room.max(1);
        let head = lines.remove(0);
        lines.drain(..self.state.scrolled.min(most));
        lines.insert(0, head);
        fit(lines, room)
    }

    fn is_shown(&self, name: &str) -> bool {
        name.contains(&self.state.filter)
    }

    fn sources(&self, columns: usize) -> Vec<Line> {
        let mut all: Vec<&Source> =
            self.status.sources.iter().filter(|source| self.is_shown(&source.name)).collect();
        match self.state.sort {
            Sort::Name => {}
            Sort::In => all.sort_by(|a, b| b.rates.stored.total_cmp(&a.rates.stored)),
            Sort::Backlog => all.sort_by_key(|source| Reverse(source.backlog.bytes)),
            Sort::Refused => all.sort_by_key(|source| Reverse(source.refused_last_minute)),
        }
        let longest = all.iter().map(|source| source.name.chars().count()).max().unwrap_or(0);
        let width = longest.clamp(6, columns.saturating_sub(66).max(14));
        let head = format!(
            "{:<width$} {:>6} {:>6} {:>9} {:>7} {:>7} {:>6} {:>4}  WHY",
            "SOURCE", "IN/s", "OUT/s", "BACKLOG", "OLDEST", "FULL IN", "REF/m", "LEFT"
        );
        let mut lines = vec![Line::of(Tone::Accent, head)];
        if all.is_empty() {
            lines.push(Line::of(Tone::Faint, self.nothing("no source")));
        }
        lines.extend(all.into_iter().map(|source| self.source(source, width, columns)));
        lines
    }

    fn source(&self, source: &Source, width: usize, columns: usize) -> Line {
        let Source { backlog, tries, rates, .. } = source;
        let oldest = backlog.oldest.map(|at| short(self.status.now.saturating_sub(at) / 1000));
        let full = backlog.seconds_until_full.filter(|seconds| seconds.is_finite());
        let full = full.map(|seconds| match seconds > 0.0 {
            true => short(seconds as u64),
            false => "full".to_owned(),
        });
        let left = tries.failures_left.map_or_else(|| "-".into(), |left| left.to_string());
        let dash = || "-".to_owned();
        let row = format!(
            "{:<width$} {:>6} {:>6} {:>9} {:>7} {:>7} {:>6} {left:>4}  ",
            cut_middle(&shown(&source.name), width),
            rate(rates.stored),
            rate(rates.delivered),
            bytes(backlog.bytes),
            oldest.unwrap_or_else(dash),
            full.unwrap_or_else(dash),
            source.refused_last_minute,
        );
        let why = why(source);
        let tone = match () {
            () if !is_forwarded(source) || source.tries.failures_left == Some(0) => Tone::Bad,
            () if source.refused_last_minute > 0 || source.state != "ok" => Tone::Warn,
            () => Tone::Plain,
        };
        let why = cut(&why, columns.saturating_sub(row.chars().count()));
        Line(vec![(tone, row), (tone, why)])
    }

    fn topics(&self, columns: usize) -> Vec<Line> {
        let mut all: Vec<&Topic> =
            self.status.topics.iter().filter(|topic| self.is_shown(&topic.topic)).collect();
        all.sort_by(|a, b| {
            let by_rate = b.per_second.total_cmp(&a.per_second);
            b.held
                .is_some()
                .cmp(&a.held.is_some())
                .then(by_rate)
                .then_with(|| a.topic.cmp(&b.topic))
        });
        let longest = all.iter().map(|topic| topic.topic.chars().count()).max().unwrap_or(0);
        let width = longest.clamp(5, columns.saturating_sub(PLOT_WIDTH + 22).max(14));
        let head = format!("{:<width$} {:>7} {:>12}", "TOPIC", "/s", "DELIVERED");
        let mut lines = vec![Line::of(Tone::Accent, head)];
        if all.is_empty() {
            lines.push(Line::of(Tone::Faint, self.nothing(self.no_topic())));
        }
        lines.extend(all.into_iter().map(|topic| {
            let name = cut_middle(&shown(&topic.topic), width);
            let per_second = rate(topic.per_second);
            let delivered = text::count(topic.delivered);
            let row = format!("{name:<width$} {per_second:>7} {delivered:>12}  ");
            match &topic.held {
                Some(Held { why, .. }) => {
                    let room = columns.saturating_sub(row.chars().count() + 5);
                    Line(vec![
                        (Tone::Bad, row),
                        (Tone::Bad, format!("HELD {}", cut(&shown(why), room))),
                    ])
                }
                None => Line(vec![(Tone::Plain, row), (Tone::Good, plot(&topic.history))]),
            }
        }));
        lines
    }

    /// Explains an empty table: topics are known by counters, which are sampled first a moment after the start.
    fn no_topic(&self) -> &'static str {
        match self.status.now.saturating_sub(self.status.started) < KNOWN_AFTER {
            true => "not known yet",
            false => "no topic yet",
        }
    }

    fn nothing(&self, what: &str) -> String {
        match self.state.filter.is_empty() {
            true => what.to_owned(),
            false => format!("{what} with `{}` in its name", self.state.filter),
        }
    }

    /// Renders each letter in two lines: its identity, and its error text.
    fn dead_letters(&self, columns: usize) -> Vec<Line> {
        let row = |at: &str, source: &str, position: &str, reason: &str| {
            format!("{at:<19}  {:<24} {position:<12} {}", cut_middle(source, 24), cut(reason, 20))
        };
        let head = row("TIME (UTC)", "SOURCE", "POSITION", "REASON");
        let mut lines = vec![Line::of(Tone::Accent, head)];
        let Some(letters) = self.letters else {
            lines.push(Line::of(Tone::Faint, "reading …"));
            return lines;
        };
        if let Some(problem) = &letters.problem {
            lines.push(Line::of(Tone::Bad, shown(problem)));
        }
        if letters.letters.is_empty() {
            lines.push(Line::of(Tone::Faint, "no dead letters"));
        }
        for letter in letters.letters.iter().filter(|letter| self.is_shown(&letter.source)) {
            let at = letter.at.map(when::shown).unwrap_or_else(|| "-".into());
            let [source, position, reason] =
                [&letter.source, &letter.position, &letter.reason].map(|text| shown(text));
            lines.push(Line::of(Tone::Plain, cut(&row(&at, &source, &position, &reason), columns)));
            let words = format!("  {}", shown(&letter.error));
            lines.push(Line::of(Tone::Faint, cut(&words, columns)));
        }
        lines
    }

    /// Renders each reason in two lines: the counts, and the key to change.
    fn refusals(&self, columns: usize) -> Vec<Line> {
        let row = |name: &str, reason: &str, minute: &str, hour: &str, total: &str| {
            let name = cut_middle(name, 16);
            let reason = cut(reason, 28);
            format!("{name:<16} {reason:<28} {minute:>8} {hour:>9} {total:>11}")
        };
        let head = row("SOURCE", "REASON", "MINUTE", "HOUR", "TOTAL");
        let mut lines = vec![Line::of(Tone::Accent, head)];
        let of_sources = self.status.sources.iter().flat_map(|source| {
            source.refused.iter().map(move |refused| (source.name.as_str(), refused))
        });
        let of_others = self.status.others.refused.iter().map(|refused| ("unknown", refused));
        for (name, refused) in of_sources.chain(of_others).filter(|(name, _)| self.is_shown(name)) {
            let [minute, hour, total] =
                [refused.last_minute, refused.last_hour, refused.total].map(text::count);
            let line = row(&shown(name), &shown(&refused.reason), &minute, &hour, &total);
            let tone = if refused.last_minute > 0 { Tone::Warn } else { Tone::Plain };
            lines.push(Line::of(tone, cut(&line, columns)));
            let key = refused.key.as_ref().map(|key| format!("→ {}  ", shown(key)));
            let why = format!("  {}{}", key.unwrap_or_default(), shown(&refused.text));
            lines.push(Line::of(Tone::Faint, cut(&why, columns)));
        }
        if lines.len() == 1 {
            lines.push(Line::of(Tone::Faint, "nothing was refused"));
        }
        lines
    }

    fn foot(&self) -> Line {
        if self.state.typing {
            return Line::of(
                Tone::Strong,
                format!("filter: {}_  (Enter keeps, Esc clears)", self.state.filter),
            );
        }
        let sort = match self.state.sort {
            Sort::Name => "name",
            Sort::In => "in",
            Sort::Backlog => "backlog",
            Sort::Refused => "refused",
        };
        let filter = match self.state.filter.as_str() {
            "" => String::new(),
            filter => format!(": {filter}"),
        };
        let text = format!(
            "q end  s sort ({sort})  / filter{filter}  d dead letters  r refusals  ↑↓ scroll"
        );
        Line::of(Tone::Faint, text)
    }
}

/// Whether the source works, but for held topics.
fn is_forwarded(source: &Source) -> bool {
    ["ok", "held"].contains(&source.state.as_str())
}

/// Returns the most urgent fact about a source: its state, a held topic, or the most frequent refusal.
fn why(source: &Source) -> String {
    if !is_forwarded(source) {
        return shown(&source.state);
    }
    if source.state == "held" && source.held_topics.is_empty() {
        return "dead letters wait".to_owned();
    }
    if let Some(Held { topic, .. }) = source.held_topics.first() {
        let more = source.held_topics.len() - 1;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return format!("held: {}{more}", cut_middle(&shown(topic), 40));
    }
    let most =
        source.refused.iter().filter(|it| it.last_minute > 0).max_by_key(|it| it.last_minute);
    most.map(|refused| shown(&refused.reason)).unwrap_or_default()
}

/// Returns the first lines that fit, and a line with the number of the others.
fn fit(mut lines: Vec<Line>, room: usize) -> Vec<Line> {
    if room == 0 {
        return Vec::new();
    }
    if lines.len() > room {
        let left = lines.len() + 1 - room;
        lines.truncate(room - 1);
        lines.push(Line::of(Tone::Faint, format!("… {left} more")));
    }
    lines
}

/// Renders the last [`PLOT_WIDTH`] values, scaled to the largest of them.
fn plot(history: &[f64]) -> String {
    let values = &history[history.len().saturating_sub(PLOT_WIDTH)..];
    let most = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| match most > 0.0 && *value > 0.0 {
        true => BARS[((value / most * 8.0).ceil() as usize).clamp(1, 8) - 1],
        false => ' ',
    };
    values.iter().map(bar).collect()
}

fn tone_of(state: &str) -> Tone {
    if state == "ok" { Tone::Good } else { Tone::Bad }
}

fn shown(text: &str) -> String {
    text::printable(text)
}

/// Formats a rate in at most six characters.
fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".into(),
        small if small < 10.0 => format!("{small:.1}"),
        middle if middle < 100_000.0 => format!("{middle:.0}"),
        large => format!("{:.0}k", large / 1000.0),
    }
}

/// Formats a size in at most nine characters.
fn bytes(n: u64) -> String {
    if n == 0 { "0".into() } else { text::bytes(n) }
}

/// Formats a time in at most five characters: `7s`, `12m`, `3h`, `40d`.
fn short(seconds: u64) -> String {
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6000 => format!("{}m", seconds / 60),
        6000..172_800 => format!("{}h", seconds / 3600),
        days if days < 86_400 * 10_000 => format!("{}d", days / 86_400),
        _ => "years".into(),
    }
}

#[cfg(test)]
mod tests;
