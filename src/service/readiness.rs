//! Says in the log when readiness changes, once each: a probe that fails takes the traffic away, and whoever looks for
//! the reason reads the log.
//!
//! Probes are not waited for: the service looks itself, so that the lines are there without any.

use std::{sync::Arc, time::Duration};

use crate::{
    observe::admin::{Health, State},
    runtime::shutdown::{Phase, Shutdown},
};

/// From one look to the next: a probe comes every second at most.
const EVERY: Duration = Duration::from_millis(500);

/// Looks until the stop begins, which is told as well.
pub(super) fn spawn(state: Arc<dyn State>, shutdown: Shutdown) {
    tokio::spawn(async move {
        let mut told = Told::Nothing;
        loop {
            tokio::select! {
                () = shutdown.reached(Phase::Draining) => break,
                () = tokio::time::sleep(EVERY) => told.look(&state.health()),
            }
        }
        if told.ends_by_stopping() {
            tracing::info!(endpoint = "/readyz", "no longer ready: stopping");
        }
    });
}

/// What the log said last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Ready,
    Not(String),
}

impl Told {
    /// Whether a stop is what ends its readiness. A service that was not ready has another reason, which is told where
    /// it is met; this line would come before that one.
    fn ends_by_stopping(&self) -> bool {
        *self == Self::Ready
    }

    fn look(&mut self, health: &Health) {
        let Health { starting, poisoned, below_reserve } = health;
        // "Starting" is what the log is full of already.
        if starting.is_some() {
            return;
        }
        let poisoned = poisoned.as_ref().map(|spool| format!("the spool of `{spool}` is poisoned"));
        let now = match poisoned.or_else(|| below_reserve.clone()) {
            None => Self::Ready,
            Some(why) => Self::Not(why),
        };
        if *self == now {
            return;
        }
        match &now {
            Self::Not(why) => tracing::warn!(endpoint = "/readyz", why, "not ready"),
            _ => tracing::info!(endpoint = "/readyz", "ready"),
        }
        *self = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let mut told = Told::Nothing;
        let starting = Health { starting: Some("…".into()), ..Health::default() };
        told.look(&starting);
        assert_eq!(told, Told::Nothing);
        assert!(!told.ends_by_stopping(), "a start that fails says why it failed");
        told.look(&Health::default());
        assert_eq!(told, Told::Ready);
        assert!(told.ends_by_stopping());
        let low = Health { below_reserve: Some("the volume is low".into()), ..Health::default() };
        told.look(&low);
        assert_eq!(told, Told::Not("the volume is low".into()));
    }
}
