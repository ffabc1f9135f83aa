//! How fast the sink answers, and what follows from it: how much may be on its way, and whether a record
//! has had its turn.
//!
//! A slow path (a thin line, a quota) is not a topic that fails. So the lanes hand over no more than is
//! acknowledged within a part of `hold_after`, and the time in which other records were answered counts
//! against no record that still waited behind them. Both follow from the acknowledgements alone, which
//! every sink has, and need nothing of the client library.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// May be on its way however slow the path seems: what a new path is measured with.
const FLOOR: usize = 256 * 1024;

/// On its way may be what is acknowledged within this part of `hold_after`.
const DEPTH: u32 = 6;

/// Answers that come within this part of `hold_after` are remembered as one; and for how many times
/// `hold_after` they are.
const TICK: u32 = 32;
const MEMORY: u32 = 2;

/// What one sink was handed and has answered, in bytes, since the start.
#[derive(Debug)]
pub(super) struct Pace {
    hold_after: Duration,
    handed_over: u64,
    now: Totals,
    /// At the end of each tick with answers, the oldest first.
    ticks: VecDeque<Tick>,
    /// Before the first of them.
    before: Totals,
    /// The most that was on its way since the last answer, and since the first tick: the sink serves
    /// partitions in rounds, and so long is a round.
    peak: u64,
    round: u64,
    latency: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    answered: u64,
    /// Of these, what was acknowledged.
    delivered: u64,
}

#[derive(Clone, Copy, Debug)]
struct Tick {
    begin: Instant,
    end: Instant,
    totals: Totals,
    peak: u64,
}

impl Pace {
    pub fn new(hold_after: Duration) -> Self {
        Self {
            hold_after,
            handed_over: 0,
            now: Totals::default(),
            ticks: VecDeque::new(),
            before: Totals::default(),
            peak: 0,
            round: 0,
            latency: Duration::ZERO,
        }
    }

    /// A record of so many bytes goes to the sink. Returns its turn, for [`Pace::excused_until`].
    pub fn hand_over(&mut self, bytes: usize) -> u64 {
        self.handed_over += bytes as u64;
        self.peak = self.peak.max(self.handed_over.saturating_sub(self.now.answered));
        self.round = self.round.max(self.peak);
        self.handed_over
    }

    /// The sink says what became of a record.
    pub fn answered(&mut self, bytes: usize, delivered_after: Option<Duration>, now: Instant) {
        self.now.answered += bytes as u64;
        if let Some(latency) = delivered_after {
            self.now.delivered += bytes as u64;
            self.latency = latency;
        }
        let totals = self.now;
        let peak = self.peak;
        self.peak = self.handed_over.saturating_sub(totals.answered);
        match self.ticks.back_mut() {
            Some(tick) if now < tick.begin + self.hold_after / TICK => {
                (tick.end, tick.totals, tick.peak) = (now, totals, tick.peak.max(peak));
                return;
            }
            _ => self.ticks.push_back(Tick { begin: now, end: now, totals, peak }),
        }
        while let Some(tick) = self.ticks.front()
            && tick.end + self.hold_after * MEMORY < now
        {
            self.before = tick.totals;
            self.ticks.pop_front();
        }
        self.round = self.ticks.iter().map(|tick| tick.peak).fold(self.peak, u64::max);
    }

    /// A record comes back unanswered.
    pub fn taken_back(&mut self, bytes: usize) {
        self.handed_over = self.handed_over.saturating_sub(bytes as u64).max(self.now.answered);
    }

    /// The sink has nothing any more.
    pub fn nothing_outstanding(&mut self) {
        self.handed_over = self.now.answered;
    }

    /// Until when others' answers explain that a record with this turn has none: until all that was handed
    /// over before it is answered, and as much again as a round of the sink may take in front of it.
    pub fn excused_until(&self, turn: u64) -> Option<Instant> {
        let turn = turn + self.round;
        if self.before.answered >= turn {
            return None;
        }
        let reached = self.ticks.partition_point(|tick| tick.totals.answered < turn);
        self.ticks.get(reached).or(self.ticks.back()).map(|tick| tick.end)
    }

    /// What will have been answered once all that is on its way now had its turn, and a round of the sink more.
    pub fn mark(&self) -> u64 {
        self.handed_over + self.round
    }

    /// When so much had been answered, if it has.
    pub fn reached(&self, mark: u64) -> Option<Instant> {
        let reached = self.ticks.partition_point(|tick| tick.totals.answered < mark);
        self.ticks.get(reached).map(|tick| tick.end)
    }

    /// Bytes that may be on their way, of `most`.
    pub fn window(&self, most: usize, now: Instant) -> usize {
        let since = now.checked_sub(self.hold_after / DEPTH);
        let is_before = |tick: &&Tick| since.is_some_and(|since| tick.end < since);
        let before = self.ticks.iter().rev().find(is_before).map_or(self.before, |it| it.totals);
        let recent = self.now.delivered - before.delivered;
        most.min(usize::try_from(recent).unwrap_or(usize::MAX).saturating_add(FLOOR))
    }

    /// The same for a path that carries nothing for now.
    pub fn smallest_window(&self, most: usize) -> usize {
        most.min(FLOOR)
    }

    /// When the sink said last what became of a record.
    pub fn answered_at(&self) -> Option<Instant> {
        self.ticks.back().map(|tick| tick.end)
    }

    /// How long the record that was acknowledged last had been on its way.
    pub fn latency(&self) -> Duration {
        self.latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD_AFTER: Duration = Duration::from_secs(30);
    const MIB: usize = 1 << 20;
    const MOST: usize = 64 * MIB;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A path with a rate and a round trip; the sender keeps its window full.
    fn window_after(time: Duration, rate: usize, round_trip: Duration) -> (usize, usize) {
        let (mut pace, start) = (Pace::new(HOLD_AFTER), Instant::now());
        let step = ms(10);
        let per_step = rate / 100;
        let (mut queued, mut acknowledgements) = (0, VecDeque::new());
        let (mut on_its_way, mut carried) = (0, 0);
        let mut now = start;
        while now < start + time {
            now += step;
            let room = pace.window(MOST, now).saturating_sub(on_its_way);
            if room > 0 {
                pace.hand_over(room);
                (on_its_way, queued) = (on_its_way + room, queued + room);
            }
            let sent = queued.min(per_step);
            queued -= sent;
            acknowledgements.push_back((now + round_trip, sent));
            while let Some((at, bytes)) = acknowledgements.pop_front() {
                if at > now {
                    acknowledgements.push_front((at, bytes));
                    break;
                }
                pace.answered(bytes, Some(round_trip), now);
                (on_its_way, carried) = (on_its_way - bytes, carried + bytes);
            }
        }
        (pace.window(MOST, now), carried)
    }

    #[test]
    fn on_a_thin_line_no_more_is_on_its_way_than_a_part_of_the_patience_takes() {
        for rate in [50_000, 1_000_000, 5_000_000] {
            let (window, carried) = window_after(Duration::from_secs(60), rate, ms(50));
            let depth = (window - FLOOR) as f64 / rate as f64;
            assert!((4.5..=5.5).contains(&depth), "{rate} bytes a second: {depth} s");
            assert!(carried as f64 > 59.0 * rate as f64, "the line is never idle: {carried}");
        }
    }

    #[test]
    fn a_quick_cluster_has_the_whole_window_within_a_moment() {
        let (window, _) = window_after(ms(300), 400 * MIB, ms(10));
        assert_eq!(window, MOST);
        let (window, _) = window_after(Duration::from_secs(2), 400 * MIB, ms(200));
        assert_eq!(window, MOST, "also one that is far away");
    }

    #[test]
    fn a_path_that_turns_slow_has_a_smaller_window_within_a_part_of_the_patience() {
        let (mut pace, start) = (Pace::new(HOLD_AFTER), Instant::now());
        pace.hand_over(50 * MIB);
        pace.answered(40 * MIB, Some(ms(10)), start);
        assert_eq!(pace.window(MOST, start), 40 * MIB + FLOOR);
        assert_eq!(pace.window(MOST, start + HOLD_AFTER / DEPTH + ms(1)), FLOOR);
    }

    #[test]
    fn answers_to_what_stood_before_it_excuse_a_record_and_later_ones_do_not() {
        let (mut pace, start) = (Pace::new(HOLD_AFTER), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        pace.hand_over(1_000);
        let turn = pace.hand_over(1);
        assert_eq!(pace.excused_until(turn), None, "none is answered");
        pace.answered(400, None, at(5));
        assert_eq!(pace.excused_until(turn), Some(at(5)));
        pace.answered(600, None, at(20));
        pace.hand_over(1_000);
        pace.answered(1_000, None, at(25));
        assert_eq!(pace.excused_until(turn), Some(at(25)), "once more as much in its round");
        pace.hand_over(2);
        pace.answered(2, None, at(40));
        pace.hand_over(500);
        pace.answered(500, None, at(50));
        assert_eq!(pace.excused_until(turn), Some(at(40)), "from here on it is the record's own");
        pace.answered(0, None, at(200));
        assert_eq!(pace.excused_until(turn), None, "long ago");
    }

    #[test]
    fn a_trickle_of_other_records_excuses_none_for_long() {
        let (mut pace, start) = (Pace::new(HOLD_AFTER), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let turn = pace.hand_over(10);
        for seconds in 1..=20 {
            pace.hand_over(10);
            pace.answered(10, None, at(seconds));
        }
        assert_eq!(pace.excused_until(turn), Some(at(3)));
    }

    #[test]
    fn a_topic_had_its_turn_once_all_before_it_and_a_round_more_is_answered() {
        let (mut pace, start) = (Pace::new(HOLD_AFTER), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        pace.hand_over(1_000);
        let mark = pace.mark();
        pace.answered(1_000, None, at(5));
        assert_eq!(pace.reached(mark), None, "others may be served before it in this round");
        pace.hand_over(1_000);
        pace.answered(1_000, None, at(10));
        assert_eq!(pace.reached(mark), Some(at(10)));
    }

    #[test]
    fn what_comes_back_unanswered_is_no_answer() {
        let (mut pace, start) = (Pace::new(HOLD_AFTER), Instant::now());
        let turn = pace.hand_over(10);
        pace.hand_over(1_000);
        pace.taken_back(1_000);
        assert_eq!(pace.excused_until(turn), None);
        pace.nothing_outstanding();
        assert_eq!(pace.excused_until(pace.handed_over), None);
        assert_eq!(pace.window(MOST, start), FLOOR);
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut pace, start) = (Pace::new(HOLD_AFTER), Instant::now());
        for n in 0..100_000 {
            pace.hand_over(10);
            pace.answered(10, Some(ms(n)), start + ms(n * 10));
        }
        assert!(pace.ticks.len() <= (TICK * MEMORY) as usize + 1, "{}", pace.ticks.len());
        assert_eq!(pace.latency(), ms(99_999));
    }
}
