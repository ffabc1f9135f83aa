//! `log`: format and filter of the log on standard error.

use std::{str::FromStr, time::Duration};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::{
    leaf::{DURATION, Kind, string},
    reading::{Reading, Section},
};

/// `log`: format and filter of the log on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    pub filter: LogFilter,
    /// Time between two log lines about an outage of Kafka while it lasts.
    pub outage_interval: Duration,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            filter: LogFilter::default(),
            outage_interval: Duration::from_secs(5 * 60),
        }
    }
}

/// The least severe level that is logged, or levels by module, as in `info,millrace::spool=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl Default for LogFilter {
    fn default() -> Self {
        Self("info,h2=error".into())
    }
}

impl FromStr for LogFilter {
    type Err = ();

    /// Parses a filter. A lone word that is no level is a misspelled one: a module is named by `module=level`.
    fn from_str(text: &str) -> Result<Self, ()> {
        directives(text).map(|_| Self(text.into())).ok_or(())
    }
}

impl LogFilter {
    /// Returns the text of the configuration.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn targets(&self) -> Targets {
        directives(&self.0).expect("checked when it was made")
    }
}

fn directives(text: &str) -> Option<Targets> {
    // Without the filter, the empty text would parse as `error`.
    let level =
        |text: &str| Some(text.trim()).filter(|it| !it.is_empty())?.parse::<LevelFilter>().ok();
    text.split(',').try_fold(Targets::new(), |targets, directive| {
        Some(match directive.split_once('=') {
            None => targets.with_default(level(directive)?),
            Some((module, _)) if module.trim().is_empty() => return None,
            Some((module, its)) => targets.with_target(module.trim(), level(its)?),
        })
    })
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    Text,
}

impl LogFormat {
    pub const ALL: [Self; 3] = [Self::Auto, Self::Json, Self::Text];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

const FILTER: Kind<LogFilter> = Kind {
    parse: |text| text.parse().map_err(|()| "which is no filter for log lines".into()),
    expected: "Write `error`, `warn`, `info`, `debug` or `trace`, or by module, as in \
               `info,millrace::spool=debug`.",
    show: |filter| string(filter.as_str()),
};

/// An interval of at least a second: each line of an outage is for an operator, and each source writes its own.
const OUTAGE_INTERVAL: Kind<Duration> = Kind {
    parse: |text| match (DURATION.parse)(text) {
        Ok(interval) if interval < Duration::from_secs(1) => Err("and must be at least 1s".into()),
        other => other,
    },
    ..DURATION
};

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Log {
    let default = Log::default();
    let mut section = reading.section(root, "log");
    let s = &mut section;
    let format =
        reading.choice(s, "format", &LogFormat::ALL, LogFormat::as_str, Some(default.format));
    let filter = reading.leaf(s, "filter", &FILTER, default.filter.clone());
    let mut outage_interval = default.outage_interval;
    reading.set(s, "outage_interval", &OUTAGE_INTERVAL, &mut outage_interval);
    reading.end(section);
    // The format is used even if the filter is wrong: mistakes are reported in the format that was asked for.
    let format = format.unwrap_or(default.format);
    let filter = filter.unwrap_or(default.filter);
    Log { format, filter, outage_interval }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_has_a_level_for_all_and_levels_for_modules() {
        let filter: LogFilter = "warn, millrace::spool = trace,h2=off".parse().unwrap();
        let targets = filter.targets();
        assert!(targets.would_enable("millrace::ingest::receive", &Level::WARN));
        assert!(!targets.would_enable("millrace::ingest::receive", &Level::INFO));
        assert!(targets.would_enable("millrace::spool::writer", &Level::TRACE));
        assert!(!targets.would_enable("h2::proto", &Level::ERROR));
    }

    #[test]
    fn what_is_neither_a_level_nor_a_module_with_one_is_no_filter() {
        for text in ["", " ", "inof", "millrace", "info,", "=debug", "millrace=loud", "a=b=info"] {
            assert!(text.parse::<LogFilter>().is_err(), "{text:?}");
        }
    }
}
