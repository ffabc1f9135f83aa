//! Logs each change of readiness once: a probe that fails takes the traffic away, and the operator looks for
//! the reason in the log.
//!
//! The service looks by itself, so that the lines are written even without probes.

use std::{sync::Arc, time::Duration};

use crate::{
    observe::admin::{Health, State},
    runtime::shutdown::{Phase, Shutdown},
};

/// Time between two looks; a probe comes every second at most.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Looks until the stop begins, which is logged as well.
pub(super) fn spawn(state: Arc<dyn State>, shutdown: Shutdown) {
    tokio::spawn(async move {
        let mut logged = Logged::Nothing;
        loop {
            tokio::select! {
                () = shutdown.reached(Phase::Draining) => break,
                () = tokio::time::sleep(LOOK_INTERVAL) => logged.look(&state.health()),
            }
        }
        if logged.ends_by_stopping() {
            tracing::info!(endpoint = "/readyz", "no longer ready: stopping");
        }
    });
}

/// The state that was logged last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Logged {
    Nothing,
    Ready,
    Not(String),
}

impl Logged {
    /// Whether a stop is what ends its readiness. A service that was not ready has another reason, which is logged
    /// where it occurs; this line would come before that one.
    fn ends_by_stopping(&self) -> bool {
        *self == Self::Ready
    }

    fn look(&mut self, health: &Health) {
        let Health { starting, poisoned, below_reserve } = health;
        // The start is in the log already.
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
    fn each_change_is_logged_once() {
        let mut logged = Logged::Nothing;
        let starting = Health { starting: Some("…".into()), ..Health::default() };
        logged.look(&starting);
        assert_eq!(logged, Logged::Nothing);
        assert!(!logged.ends_by_stopping(), "a start that fails says why it failed");
        logged.look(&Health::default());
        assert_eq!(logged, Logged::Ready);
        assert!(logged.ends_by_stopping());
        let low = Health { below_reserve: Some("the volume is low".into()), ..Health::default() };
        logged.look(&low);
        assert_eq!(logged, Logged::Not("the volume is low".into()));
    }
}
