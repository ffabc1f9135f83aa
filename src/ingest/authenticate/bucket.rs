//! A token bucket: limits how often strangers can cause an action, to so many times at once, and then once
//! per interval.

use std::time::{Duration, Instant};

pub(super) struct Bucket {
    size: u32,
    each: Duration,
    left: u32,
    /// When `left` last grew; `None` before anything was taken.
    counted: Option<Instant>,
}

impl Bucket {
    /// Makes a full bucket: `size` times at once, and one more after every `each`.
    pub fn new(size: u32, each: Duration) -> Self {
        Self { size, each, left: size, counted: None }
    }

    /// Takes one, if there is one; returns whether the action may be done now.
    pub fn take(&mut self, now: Instant) -> bool {
        let counted = self.counted.unwrap_or(now);
        let whole = now.saturating_duration_since(counted).as_nanos() / self.each.as_nanos();
        let grown = u32::try_from(whole).unwrap_or(u32::MAX).min(self.size - self.left);
        self.left += grown;
        // The time of a full bucket begins when something is taken from it.
        let full = self.left == self.size;
        self.counted = Some(if full { counted.max(now) } else { counted + self.each * grown });
        let may = self.left > 0;
        self.left -= u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_gives_its_size_at_once_and_then_one_at_a_time() {
        let now = Instant::now();
        let mut bucket = Bucket::new(3, 10 * SECOND);
        let mut taken = |after: u32| (0..20).filter(|_| bucket.take(now + after * SECOND)).count();
        assert_eq!(taken(0), 3);
        assert_eq!(taken(9), 0);
        assert_eq!(taken(10), 1);
        assert_eq!(taken(19), 0);
        assert_eq!(taken(35), 2);
        assert_eq!(taken(39), 0);
        assert_eq!(taken(40), 1);
        assert_eq!(taken(1_000_000), 3, "never more than its size");
        assert_eq!(taken(0), 0, "time that goes back gives nothing");
    }
}
