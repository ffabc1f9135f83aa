//! Sets up the log: lines on standard error, as text or as JSON, filtered by module.
//!
//! Secrets are safe here because they have no way to print, not because lines are searched for them.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use parking_lot::Mutex;
use tracing_subscriber::{
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::colours;
use crate::config::{Log, LogFormat, Mistake, Mistakes};

/// Starts the log, once a process; an error if there is already a subscriber.
pub(super) fn init(log: &Log) -> Result<(), String> {
    init_beside(log, io::stderr)
}

/// As [`init`]; `stderr` makes standard error, for a caller that shows something else there too.
pub(super) fn init_beside<W>(log: &Log, stderr: W) -> Result<(), String>
where
    W: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static,
{
    let terminal = io::stderr().is_terminal();
    let colours = colours::are_wanted(terminal);
    let text = || fmt::layer().with_writer(stderr.clone()).with_ansi(colours);
    let json = || fmt::layer().with_writer(stderr.clone()).json().flatten_event(true);
    let (text, json) =
        if is_json(log.format, terminal) { (None, Some(json())) } else { (Some(text()), None) };
    let lines = tracing_subscriber::registry().with(log.filter.targets()).with(text).with(json);
    lines.try_init().map_err(|error| error.to_string())
}

/// Returns mistakes of the configuration as log lines, where the log is JSON: a log collector reads nothing else, and
/// the log itself needs a configuration. `None` where the log is text, which an operator reads at once.
pub(super) fn as_lines(mistakes: &Mistakes) -> Option<String> {
    if !is_json(mistakes.log_format(), io::stderr().is_terminal()) {
        return None;
    }
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let writer = Shared(written.clone());
    let lines = fmt::layer().with_writer(move || writer.clone()).json().flatten_event(true);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
        for mistake in mistakes.iter() {
            let Mistake { place, problem, remedy } = mistake;
            tracing::error!(key = mistake.key(), remedy, "{place} {problem}");
        }
    });
    let lines = std::mem::take(&mut *written.lock());
    Some(String::from_utf8_lossy(&lines).into_owned())
}

/// Keeps the bytes that are written.
#[derive(Clone)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_json(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_text_on_a_terminal_and_json_elsewhere_unless_configured() {
        assert!(is_json(LogFormat::Auto, false) && !is_json(LogFormat::Auto, true));
        assert!(is_json(LogFormat::Json, true) && !is_json(LogFormat::Text, false));
    }
}
