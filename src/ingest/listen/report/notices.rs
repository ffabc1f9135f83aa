//! Which lines are written and which are counted: of one kind (a source and a reason) one a second.
//!
//! Those that are left out are told with the next line of their kind, or, when none comes, by a line of their own
//! [`REST`] after the last one. So each refusal is in some line or in some count. One task a kind waits for that.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

const QUIET: Duration = Duration::from_secs(1);

/// When those are told that were left out: a flood's next line comes before that, with more to it than a count.
const REST: Duration = Duration::from_millis(1500);

/// When which line was last written. Its size is bounded by reasons times configured sources.
#[derive(Default)]
pub(super) struct Notices(Mutex<HashMap<(&'static str, String), Notice>>);

struct Notice {
    written: Instant,
    left_out: u64,
    /// A task waits to tell what is left out.
    is_watched: bool,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// It is written, and says how many were left out since the last one.
    Line { left_out: u64 },
    /// It is counted. The first one that is has the others told, too.
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
        if now.saturating_duration_since(notice.written) < QUIET {
            notice.left_out += 1;
            return Admitted::LeftOut {
                is_first: !std::mem::replace(&mut notice.is_watched, true),
            };
        }
        notice.written = now;
        Admitted::Line { left_out: std::mem::take(&mut notice.left_out) }
    }

    /// When those that are left out are to be told; `None` once there are none, and then no task waits for them.
    pub fn due(&self, label: &'static str, source: &str) -> Option<Instant> {
        let mut notices = self.0.lock();
        let notice = notices.get_mut(&(label, source.to_owned()))?;
        notice.is_watched = notice.left_out > 0;
        notice.is_watched.then(|| notice.written + REST)
    }

    /// How many are to be told by a line of their own.
    pub fn rest(&self, label: &'static str, source: &str, now: Instant) -> Option<u64> {
        let mut notices = self.0.lock();
        let notice = notices.get_mut(&(label, source.to_owned()))?;
        if now.saturating_duration_since(notice.written) < REST || notice.left_out == 0 {
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
        let (notices, began) = (Notices::default(), Instant::now());
        assert_eq!(notices.admit("spool-full", "leads", began), LINE);
        assert_eq!(notices.admit("spool-full", "leads", began), left_out(true));
        assert_eq!(notices.admit("spool-full", "leads", began + QUIET / 2), left_out(false));
        assert_eq!(notices.admit("spool-full", "audit", began), LINE, "another source");
        let next = notices.admit("spool-full", "leads", began + QUIET);
        assert_eq!(next, Admitted::Line { left_out: 2 });
    }

    #[test]
    fn what_no_further_line_counts_is_told_once_by_a_line_of_its_own() {
        let (notices, began) = (Notices::default(), Instant::now());
        for n in 0..11 {
            let admitted = notices.admit("token-unknown", "leads", began);
            assert_eq!(admitted, if n == 0 { LINE } else { left_out(n == 1) });
        }
        let due = notices.due("token-unknown", "leads").unwrap();
        assert_eq!(notices.rest("token-unknown", "leads", began + QUIET), None, "a line may come");
        assert_eq!(notices.rest("token-unknown", "leads", due), Some(10));
        assert_eq!(notices.due("token-unknown", "leads"), None, "all are told");
        // The next flood has a task of its own.
        let later = due + QUIET;
        assert_eq!(notices.admit("token-unknown", "leads", later), LINE);
        assert_eq!(notices.admit("token-unknown", "leads", later), left_out(true));
    }
}
