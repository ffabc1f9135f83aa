//! The shutdown and its phases, which only ever go forward.
//!
//! [`Phase::Draining`]: readiness fails at once while requests are still served, so that a load balancer
//! learns of it before the connections close (`shutdown.delay`). [`Phase::Closing`]: no new connections,
//! the open ones end in order. [`Phase::Stopped`]: all work is finished; health and
//! metrics may go too. Tasks wait for a phase with [`Shutdown::reached`], threads with
//! [`Shutdown::wait`] or by reading [`Shutdown::phase`].

use std::{future::Future, io, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tracing::info;

use super::readable;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Running,
    Draining,
    Closing,
    Stopped,
}

/// A handle to the one shutdown of a process; clones share it.
#[derive(Clone)]
pub struct Shutdown(Arc<Inner>);

struct Inner {
    phase: watch::Sender<Phase>,
    /// Held while the phase changes, so that a thread between its check of the phase and its sleep misses no change.
    gate: Mutex<()>,
    changed: Condvar,
}

impl Shutdown {
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            phase: watch::Sender::new(Phase::Running),
            gate: Mutex::new(()),
            changed: Condvar::new(),
        }))
    }

    pub fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    pub fn has_reached(&self, phase: Phase) -> bool {
        self.phase() >= phase
    }

    /// Goes forward to `phase`; does nothing when it is already there or further.
    pub fn advance(&self, phase: Phase) {
        let _gate = self.0.gate.lock();
        let moved = self.0.phase.send_if_modified(|current| {
            let moves = *current < phase;
            *current = phase.max(*current);
            moves
        });
        if moved {
            self.0.changed.notify_all();
        }
    }

    /// Waits until `phase` is reached.
    pub async fn reached(&self, phase: Phase) {
        // An error would mean that the sender is gone, but `self` holds it.
        let _ = self.0.phase.subscribe().wait_for(|current| *current >= phase).await;
    }

    /// Blocks a thread until `phase` is reached or `timeout` has passed; returns whether it is reached.
    pub fn wait(&self, phase: Phase, timeout: Duration) -> bool {
        let mut gate = self.0.gate.lock();
        let waiting = |(): &mut ()| !self.has_reached(phase);
        self.0.changed.wait_while_for(&mut gate, waiting, timeout);
        self.has_reached(phase)
    }

    /// Waits for the first signal (or for a shutdown begun by other code), drains for `delay` or until the
    /// next signal, and leaves the phase at [`Phase::Closing`].
    pub async fn on_signals(&self, mut signals: Signals, delay: Duration) {
        tokio::select! {
            name = signals.next() => info!(signal = name, "stopping"),
            () = self.reached(Phase::Draining) => {}
        }
        self.drain(delay, async {
            let name = signals.next().await;
            info!(signal = name, "second signal; `shutdown.delay` ends now");
        })
        .await;
    }

    /// Stays in [`Phase::Draining`] for `delay`, or until `hurry` resolves; then goes to [`Phase::Closing`].
    pub async fn drain(&self, delay: Duration, hurry: impl Future<Output = ()>) {
        self.advance(Phase::Draining);
        let delay_seconds = delay.as_secs_f64();
        let length = readable::length(delay);
        info!(
            delay_seconds,
            "no longer ready; requests are still accepted for {length} (`shutdown.delay`)"
        );
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = hurry => {}
        }
        self.advance(Phase::Closing);
        info!("closing connections");
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

/// SIGTERM and SIGINT, from the creation of this value on.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the handlers; must be called inside a Tokio runtime. Fails when the operating system refuses them.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal; returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        time::Instant,
    };

    use super::*;

    #[test]
    fn a_phase_never_goes_back() {
        let shutdown = Shutdown::new();
        shutdown.advance(Phase::Closing);
        shutdown.advance(Phase::Draining);
        assert_eq!(shutdown.phase(), Phase::Closing);
        assert!(shutdown.has_reached(Phase::Draining));
        assert!(!shutdown.has_reached(Phase::Stopped));
    }

    #[tokio::test]
    async fn draining_takes_the_delay() {
        let shutdown = Shutdown::new();
        let began = Instant::now();
        let delay = Duration::from_millis(30);
        tokio::join!(shutdown.drain(delay, pending()), async {
            shutdown.reached(Phase::Draining).await;
            assert_eq!(shutdown.phase(), Phase::Draining);
        });
        assert_eq!(shutdown.phase(), Phase::Closing);
        assert!(began.elapsed() >= delay);
    }

    #[tokio::test]
    async fn a_second_signal_cuts_the_delay_short() {
        let shutdown = Shutdown::new();
        shutdown.drain(Duration::from_secs(3600), ready(())).await;
        assert_eq!(shutdown.phase(), Phase::Closing);
    }

    #[test]
    fn a_waiting_thread_is_woken_by_the_phase_it_waits_for() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.wait(Phase::Draining, Duration::ZERO));
        let waiter = std::thread::spawn({
            let shutdown = shutdown.clone();
            move || shutdown.wait(Phase::Closing, Duration::from_secs(60))
        });
        shutdown.advance(Phase::Draining);
        shutdown.advance(Phase::Closing);
        assert!(waiter.join().unwrap());
    }
}
