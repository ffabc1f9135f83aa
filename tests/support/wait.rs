//! Waiting for a condition, never for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `condition` gives something; panics with `what` when `patience` ends first.
#[track_caller]
pub fn until_some<T>(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain for: {what}");
        thread::sleep(PAUSE);
    }
}

/// Looks until `condition` holds; panics with `what` when `patience` ends first.
#[track_caller]
pub fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    until_some(what, patience, || condition().then_some(()));
}
