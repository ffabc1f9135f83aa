//! Tries of a sender, and how many of them failed, counted as the sender counts them.
//!
//! Senders have rules on failures. Adobe I/O disables a registration after 10 or more tries in 24 hours of
//! which 80 % failed; Marketo pauses a subscription after 3 failed tries in a row. A counter would not
//! show how near that is, since it begins at zero with each process and says nothing of order. A gauge shows
//! how many more failures in a row it would take: by the tries that came to this process, which are fewer
//! than the sender's where there are several replicas.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::Metrics;

/// The window of 24 hours is made of slots, and exact to one of them.
const SLOT_LENGTH: Duration = Duration::from_secs(15 * 60);
const SLOT_COUNT: usize = 24 * 4;

/// Windows of tries, by source.
#[derive(Clone)]
pub struct Tries(Arc<Inner>);

struct Inner {
    began: Instant,
    sources: Mutex<BTreeMap<String, Window>>,
}

/// The failures after which a sender gives up on us.
#[derive(Clone, Copy)]
enum Rule {
    /// Adobe I/O disables a registration.
    FailedShare,
    /// Marketo pauses a subscription.
    FailedInARow,
}

impl Tries {
    /// Begins to count a source. Tries of other names do not count, so that a stranger cannot fill the memory.
    pub(super) fn announce(&self, source: &str, kind: &str) {
        let rule = if kind == "adobe-io" { Rule::FailedShare } else { Rule::FailedInARow };
        self.with_sources(|sources, _| {
            sources.entry(source.to_owned()).or_insert_with(|| Window::new(rule));
        });
    }

    /// Counts a delivery that was answered, or whose sender hung up.
    pub fn count(&self, source: &str, accepted: bool) {
        self.with_sources(|sources, now| {
            if let Some(window) = sources.get_mut(source) {
                window.count(now, accepted);
            }
        });
    }

    /// Sets the gauges. Called before the metrics are read, so that old tries leave the window without new ones.
    pub fn show(&self, metrics: &Metrics) {
        self.with_sources(|sources, now| {
            for (source, window) in sources {
                let Slot { accepted, failed } = window.total(now);
                for (result, count) in [("accepted", accepted), ("failed", failed)] {
                    metrics.sender_tries.with_label_values(&[source.as_str(), result]).set(count);
                }
                let source = [source.as_str()];
                let in_a_row = metrics.sender_failed_in_a_row.with_label_values(&source);
                in_a_row.set(window.failed_in_a_row);
                let left = metrics.sender_failures_left.with_label_values(&source);
                left.set(window.failures_left(accepted, failed));
            }
        });
    }

    fn with_sources(&self, act: impl FnOnce(&mut BTreeMap<String, Window>, Duration)) {
        let mut sources = self.0.sources.lock();
        act(&mut sources, self.0.began.elapsed());
    }
}

impl Default for Tries {
    fn default() -> Self {
        Self(Arc::new(Inner { began: Instant::now(), sources: Mutex::default() }))
    }
}

#[derive(Clone, Copy, Default)]
struct Slot {
    accepted: i64,
    failed: i64,
}

/// The tries of one source. `now` is the time since some beginning, and never goes back.
struct Window {
    slots: [Slot; SLOT_COUNT],
    /// The number of the slot that is being counted into, from the beginning on.
    current: u64,
    failed_in_a_row: i64,
    rule: Rule,
}

impl Window {
    fn new(rule: Rule) -> Self {
        Self { slots: [Slot::default(); SLOT_COUNT], current: 0, failed_in_a_row: 0, rule }
    }

    /// Returns how many more failures, with nothing accepted in between, make the sender give up.
    fn failures_left(&self, accepted: i64, failed: i64) -> i64 {
        let left = match self.rule {
            // At least 10 tries of which 4 in 5 failed.
            Rule::FailedShare => (10 - accepted - failed).max(4 * accepted - failed),
            Rule::FailedInARow => 3 - self.failed_in_a_row,
        };
        left.max(0)
    }

    fn count(&mut self, now: Duration, accepted: bool) {
        self.move_to(now);
        let slot = &mut self.slots[place(self.current)];
        if accepted {
            slot.accepted += 1;
            self.failed_in_a_row = 0;
        } else {
            slot.failed += 1;
            self.failed_in_a_row += 1;
        }
    }

    fn total(&mut self, now: Duration) -> Slot {
        self.move_to(now);
        self.slots.iter().fold(Slot::default(), |sum, slot| Slot {
            accepted: sum.accepted + slot.accepted,
            failed: sum.failed + slot.failed,
        })
    }

    /// Forgets the slots that have become too old.
    fn move_to(&mut self, now: Duration) {
        let current = now.as_secs() / SLOT_LENGTH.as_secs();
        let first = (self.current + 1).max(current.saturating_sub(SLOT_COUNT as u64 - 1));
        for slot in first..=current {
            self.slots[place(slot)] = Slot::default();
        }
        self.current = current.max(self.current);
    }
}

fn place(slot: u64) -> usize {
    usize::try_from(slot % SLOT_COUNT as u64).expect("it is below the number of slots")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn total(window: &mut Window, now: Duration) -> (i64, i64) {
        let Slot { accepted, failed } = window.total(now);
        (accepted, failed)
    }

    #[test]
    fn tries_count_for_a_day_and_no_longer() {
        let mut window = Window::new(Rule::FailedShare);
        window.count(Duration::ZERO, false);
        window.count(HOUR, true);
        window.count(HOUR, false);
        assert_eq!(total(&mut window, 23 * HOUR), (1, 2));
        assert_eq!(total(&mut window, 24 * HOUR), (1, 1));
        window.count(24 * HOUR, true);
        assert_eq!(total(&mut window, 25 * HOUR), (1, 0));
        assert_eq!(total(&mut window, 1000 * HOUR), (0, 0));
    }

    #[test]
    fn a_row_of_failures_ends_with_an_accepted_one_and_not_with_the_day() {
        let mut window = Window::new(Rule::FailedShare);
        window.count(Duration::ZERO, false);
        window.count(30 * HOUR, false);
        assert_eq!(window.failed_in_a_row, 2);
        window.count(30 * HOUR, true);
        assert_eq!(window.failed_in_a_row, 0);
    }

    #[test]
    fn only_announced_sources_are_remembered() {
        let metrics = Metrics::new();
        metrics.announce("leads", "adobe-io");
        metrics.tries.count("leads", false);
        metrics.tries.count("a-strangers-idea", false);
        let text = metrics.render();
        assert!(
            text.contains(r#"millrace_sender_tries{result="failed",source="leads"} 1"#),
            "{text}"
        );
        assert!(!text.contains("stranger"), "{text}");
    }

    #[test]
    fn failures_left_follow_the_senders_own_rule() {
        let mut window = Window::new(Rule::FailedShare);
        let left = |window: &mut Window| {
            let Slot { accepted, failed } = window.total(Duration::ZERO);
            window.failures_left(accepted, failed)
        };
        assert_eq!(left(&mut window), 10, "fewer than 10 tries have no consequence");
        for _ in 0..3 {
            window.count(Duration::ZERO, true);
        }
        assert_eq!(left(&mut window), 12, "12 of 15 are 80 %");
        for failures_left in (0..12).rev() {
            window.count(Duration::ZERO, false);
            assert_eq!(left(&mut window), failures_left);
        }
        let mut window = Window::new(Rule::FailedInARow);
        window.count(Duration::ZERO, false);
        window.count(Duration::ZERO, false);
        assert_eq!(left(&mut window), 1);
        window.count(Duration::ZERO, true);
        assert_eq!(left(&mut window), 3);
    }
}
