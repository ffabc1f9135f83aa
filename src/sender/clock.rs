//! A precise clock. The runtime's own timers go off up to a millisecond late, which is more than
//! many answers take; so a thread of its own waits for the last milliseconds.

use std::{cmp::Reverse, collections::BinaryHeap, io, sync::Arc, thread, time::Duration};

use parking_lot::{Condvar, Mutex};
use tokio::{sync::oneshot, time::Instant};

/// A clock; clones share its thread, which ends with the last of them.
#[derive(Clone)]
pub struct Clock(Arc<Handle>);

struct Handle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    alarms: Mutex<Alarms>,
    changed: Condvar,
}

#[derive(Default)]
struct Alarms {
    /// Alarms, the soonest first.
    due: BinaryHeap<Reverse<Alarm>>,
    /// Numbers alarms, to order those of the same moment.
    set: u64,
    over: bool,
}

struct Alarm {
    at: Instant,
    number: u64,
    ring: oneshot::Sender<()>,
}

/// More than the longest delay of the runtime's timers.
const LAST_STRETCH: Duration = Duration::from_millis(3);

impl Clock {
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ringing = Arc::clone(&shared);
        thread::Builder::new().name("sender-clock".into()).spawn(move || ringing.run())?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    pub async fn sleep_until(&self, at: Instant) {
        if let Some(early) = at.checked_sub(LAST_STRETCH)
            && early > Instant::now()
        {
            tokio::time::sleep_until(early).await;
        }
        let (ring, rung) = oneshot::channel();
        {
            let shared = &self.0.0;
            let mut alarms = shared.alarms.lock();
            alarms.set += 1;
            let alarm = Alarm { at, number: alarms.set, ring };
            let soonest = alarms.due.peek().is_none_or(|Reverse(first)| alarm < *first);
            alarms.due.push(Reverse(alarm));
            if soonest {
                shared.changed.notify_one();
            }
        }
        // An error means that the thread has ended, which happens only after the last clock is dropped.
        let _ = rung.await;
    }
}

impl Shared {
    fn run(&self) {
        let mut alarms = self.alarms.lock();
        while !alarms.over {
            let now = Instant::now();
            let next = alarms.due.peek().map(|Reverse(alarm)| alarm.at);
            match next {
                None => self.changed.wait(&mut alarms),
                Some(at) if at > now => {
                    self.changed.wait_for(&mut alarms, at - now);
                }
                Some(_) => {
                    if let Some(Reverse(alarm)) = alarms.due.pop() {
                        let _ = alarm.ring.send(()); // Fails if the sleeper gave up waiting.
                    }
                }
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.alarms.lock().over = true;
        self.0.changed.notify_one();
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Alarm {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_sleeper_wakes_early_and_a_sooner_alarm_does_not_wait_for_a_later_one() {
        let clock = Clock::start().unwrap();
        let now = Instant::now();
        let wake = async |millis| {
            let at = now + Duration::from_millis(millis);
            clock.sleep_until(at).await;
            assert!(Instant::now() >= at);
        };
        // Both are within the last milliseconds, which the thread waits for; the later one is set first.
        let later = wake(2);
        let sooner = wake(1);
        tokio::join!(later, sooner, wake(12), wake(0));
        tokio::select! {
            () = wake(3_600_000) => panic!("an hour is over"),
            () = wake(20) => {}
        }
    }

    #[tokio::test]
    async fn the_thread_ends_with_the_last_clock() {
        let clock = Clock::start().unwrap();
        let shared = Arc::downgrade(&clock.0.0);
        let other = clock.clone();
        drop(clock);
        other.sleep_until(Instant::now()).await;
        drop(other);
        while shared.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
