//! The thread that drives a forwarder in production.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{ForwardError, Forwarder, Now, Progress, Result};
use crate::{kafka::produce::Sink, runtime::retry::Retry, spool::Spool};

/// Longest wait for new deliveries: a stop or a timer is noticed late by this much at most.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// Wait for the sink while records are on their way.
const SINK_WAIT: Duration = Duration::from_millis(5);

/// Time that a stop waits for answers even of a cluster that seems to be away.
const STOP_GRACE: Duration = Duration::from_millis(250);

/// Runs until `stop` gives a deadline; then settles the records on their way, until that deadline, saves
/// the checkpoint and returns. An error needs an operator. A cluster that is away is not waited for: the spool has
/// everything.
pub fn run<S: Sink>(
    forwarder: &mut Forwarder<S>,
    spool: &Spool,
    stop: &dyn Fn() -> Option<Instant>,
) -> Result<()> {
    let mut troubles = Retry::new(Duration::from_millis(250), Duration::from_secs(5));
    let mut patience = Duration::ZERO;
    while stop().is_none() {
        match forwarder.step(now(), patience) {
            Ok(progress) => {
                troubles.reset();
                patience = match progress {
                    Progress::Moved => Duration::ZERO,
                    Progress::CaughtUp
                        if forwarder.is_at_rest() && !forwarder.rests_on_others() =>
                    {
                        spool.wait_for_more(forwarder.next_sequence(), MAX_WAIT);
                        Duration::ZERO
                    }
                    Progress::CaughtUp | Progress::Waiting => SINK_WAIT,
                };
            }
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                report(spool, &error);
                pause(spool, troubles.next_delay(), stop);
            }
        }
    }

    let deadline = stop().unwrap_or_else(Instant::now);
    // After a quiet time the cluster has been silent too, and only these last records make it answer.
    let grace = Instant::now() + STOP_GRACE;
    let worth_waiting =
        |forwarder: &Forwarder<S>| Instant::now() < grace || !forwarder.cluster_is_away();
    while Instant::now() < deadline && worth_waiting(forwarder) {
        match forwarder.finish(now(), SINK_WAIT) {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                report(spool, &error);
                break;
            }
        }
    }
    if let Err(error) = forwarder.save_checkpoint(now()) {
        report(spool, &error);
    }
    Ok(())
}

fn report(spool: &Spool, error: &ForwardError) {
    tracing::error!(source = %spool.source(), %error, "forwarding failed; retrying");
}

fn pause(spool: &Spool, delay: Duration, stop: &dyn Fn() -> Option<Instant>) {
    let end = Instant::now() + delay;
    while Instant::now() < end && stop().is_none() {
        spool.note_end(Instant::now());
        std::thread::sleep(MAX_WAIT.min(delay));
    }
}

/// The time of a step that happens now.
pub fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix: unix.as_millis() as u64 }
}
