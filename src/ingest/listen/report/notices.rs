//! Limits the lines of one kind (a source and a reason) to one a second, and counts the rest.
//!
//! The next line of a kind carries the count of lines left out; when none comes, a line of its own does,
//! [`COUNT_LINE_AFTER`] the last one. So each refusal is in some line or in some count. One task a kind waits for that.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Shortest time between two lines of one kind.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Time from the last line of a kind to a line with the count alone. Longer than [`LINE_INTERVAL`]: in a flood the next
/// full line comes first, and says more than a count.
const COUNT_LINE_AFTER: Duration = Duration::from_millis(1500);

/// The last line of each kind. Bounded by the number of reasons times configured sources.
#[derive(Default)]
pub(super) struct Notices(Mutex<HashMap<(&'static str, String), Notice>>);

struct Notice {
    written: Instant,
    left_out: u64,
    /// Whether a task waits to write the count of lines left out.
    is_watched: bool,
}

/// Whether a line is written or counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// It is written, with the count of lines left out since the last one.
    Line { left_out: u64 },
    /// It is counted. For the first one, the caller starts the task that writes the count.
    LeftOut { is_first: bool },
}

impl Notices {
    pub fn admit(&self, label: &'static str, source: &str, now: Instant) -> Admitted {
        let mut notices = self.0.lock();
        let Some(notice) = notices.get_mut(&(label, source.to_owned())) else {
            let notice = Notice { written: now, left_out: 0, is_watched: false };
            notices.insert((label, source.to_owned()), notice);
            return Admitted::Line { left_out: 0 };
        };
        if now.saturating_duration_since(notice.written) < LINE_INTERVAL {
            notice.left_out += 1;
            return Admitted::LeftOut {
                is_first: !std::mem::replace(&mut notice.is_watched, true),
            };
        }
        notice.written = now;
        Admitted::Line { left_out: std::mem::take(&mut notice.left_out) }
    }

    /// Returns when the count of lines left out has to be written; `None` if there are none, and then the task ends.
    pub fn due(&self, label: &'static str, source: &str) -> Option<Instant> {
        let mut notices = self.0.lock();
        let notice = notices.get_mut(&(label, source.to_owned()))?;
        notice.is_watched = notice.left_out > 0;
        notice.is_watched.then(|| notice.written + COUNT_LINE_AFTER)
    }

    /// Takes the count for a line of its own, if that is due.
    pub fn take_count(&self, label: &'static str, source: &str, now: Instant) -> Option<u64> {
        let mut notices = self.0.lock();
        let notice = notices.get_mut(&(label, source.to_owned()))?;
        if now.saturating_duration_since(notice.written) < COUNT_LINE_AFTER || notice.left_out == 0
        {
            return None;
        }
        Some(std::mem::take(&mut notice.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Admitted = Admitted::Line { left_out: 0 };

    fn left_out(is_first: bool) -> Admitted {
        Admitted::LeftOut { is_first }
    }

    #[test]
    fn a_flood_is_one_line_a_second_that_counts_the_others() {
        let notices = Notices::default();
        let began = Instant::now();
        assert_eq!(notices.admit("spool-full", "leads", began), LINE);
        assert_eq!(notices.admit("spool-full", "leads", began), left_out(true));
        assert_eq!(
            notices.admit("spool-full", "leads", began + LINE_INTERVAL / 2),
            left_out(false)
        );
        assert_eq!(notices.admit("spool-full", "audit", began), LINE, "another source");
        let next = notices.admit("spool-full", "leads", began + LINE_INTERVAL);
        assert_eq!(next, Admitted::Line { left_out: 2 });
    }

    #[test]
    fn lines_left_out_without_a_further_line_are_counted_once_by_a_line_of_its_own() {
        let notices = Notices::default();
        let began = Instant::now();
        for n in 0..11 {
            let admitted = notices.admit("token-unknown", "leads", began);
            assert_eq!(admitted, if n == 0 { LINE } else { left_out(n == 1) });
        }
        let due = notices.due("token-unknown", "leads").unwrap();
        assert_eq!(
            notices.take_count("token-unknown", "leads", began + LINE_INTERVAL),
            None,
            "a line may come"
        );
        assert_eq!(notices.take_count("token-unknown", "leads", due), Some(10));
        assert_eq!(notices.due("token-unknown", "leads"), None, "all are counted");
        // The next flood has a task of its own.
        let later = due + LINE_INTERVAL;
        assert_eq!(notices.admit("token-unknown", "leads", later), LINE);
        assert_eq!(notices.admit("token-unknown", "leads", later), left_out(true));
    }
}
