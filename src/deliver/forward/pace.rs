//! Pace of the sink's answers: how much may be on its way, and whether a record has had its turn.
//!
//! A slow path (a thin line, a quota) is not a topic that fails. So the lanes hand over no more than is acknowledged
//! within a part of `hold_after`, and the time in which other records were answered does not count against a record
//! that still waited behind them. Both follow from the acknowledgements alone, which every sink has, and need nothing
//! of the client library.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Smallest window, however slow the path seems: a new path is measured with it.
const MIN_WINDOW_BYTES: usize = 256 * 1024;

/// The window is what is acknowledged within this part of `hold_after`.
const WINDOW_DIVISOR: u32 = 6;

/// Answers within this part of `hold_after` are remembered as one tick; and ticks for so many times `hold_after`.
const TICK_DIVISOR: u32 = 32;
const MEMORY_FACTOR: u32 = 2;

/// Bytes that one sink was handed and has answered, since the start.
#[derive(Debug)]
pub(super) struct Pace {
    hold_after: Duration,
    handed_over: u64,
    now: Totals,
    /// Totals at the end of each tick with answers, the oldest first.
    ticks: VecDeque<Tick>,
    /// Totals before the first tick.
    before: Totals,
    /// Most bytes on their way since the last answer, and since the first tick: the sink serves partitions in rounds,
    /// and a round is so long.
    peak: u64,
    round: u64,
    latency: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    answered: u64,
    /// The acknowledged part of `answered`.
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

    /// Counts a record that goes to the sink. Returns its turn, for [`Pace::excused_until`].
    pub fn hand_over(&mut self, bytes: usize) -> u64 {
        self.handed_over += bytes as u64;
        self.peak = self.peak.max(self.handed_over.saturating_sub(self.now.answered));
        self.round = self.round.max(self.peak);
        self.handed_over
    }

    /// Counts the sink's outcome of a record.
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
            Some(tick) if now < tick.begin + self.hold_after / TICK_DIVISOR => {
                (tick.end, tick.totals, tick.peak) = (now, totals, tick.peak.max(peak));
                return;
            }
            _ => self.ticks.push_back(Tick { begin: now, end: now, totals, peak }),
        }
        while let Some(tick) = self.ticks.front()
            && tick.end + self.hold_after * MEMORY_FACTOR < now
        {
            self.before = tick.totals;
            self.ticks.pop_front();
        }
        self.round = self.ticks.iter().map(|tick| tick.peak).fold(self.peak, u64::max);
    }

    /// Takes back a record that returns unanswered.
    pub fn taken_back(&mut self, bytes: usize) {
        self.handed_over = self.handed_over.saturating_sub(bytes as u64).max(self.now.answered);
    }

    /// Notes that the sink has no records.
    pub fn nothing_outstanding(&mut self) {
        self.handed_over = self.now.answered;
    }

    /// The time until which other records' answers explain that a record with this turn has none: until everything
    /// handed over before it is answered, and as much again as a round of the sink may take in front of it.
    pub fn excused_until(&self, turn: u64) -> Option<Instant> {
        let turn = turn + self.round;
        if self.before.answered >= turn {
            return None;
        }
        let reached = self.ticks.partition_point(|tick| tick.totals.answered < turn);
        self.ticks.get(reached).or(self.ticks.back()).map(|tick| tick.end)
    }

    /// The total of answers at which every record on its way now has had its turn, and a round of the sink more.
    pub fn mark(&self) -> u64 {
        self.handed_over + self.round
    }

    /// The time at which the answers reached `mark`, if they have.
    pub fn reached(&self, mark: u64) -> Option<Instant> {
        let reached = self.ticks.partition_point(|tick| tick.totals.answered < mark);
        self.ticks.get(reached).map(|tick| tick.end)
    }

    /// Bytes that may be on their way, of `most`.
    pub fn window(&self, most: usize, now: Instant) -> usize {
        let since = now.checked_sub(self.hold_after / WINDOW_DIVISOR);
        let is_before = |tick: &&Tick| since.is_some_and(|since| tick.end < since);
        let before = self.ticks.iter().rev().find(is_before).map_or(self.before, |it| it.totals);
        let recent = self.now.delivered - before.delivered;
        most.min(usize::try_from(recent).unwrap_or(usize::MAX).saturating_add(MIN_WINDOW_BYTES))
    }

    /// The window of a path that carries nothing for now.
    pub fn smallest_window(&self, most: usize) -> usize {
        most.min(MIN_WINDOW_BYTES)
    }

    /// Time of the sink's last outcome.
    pub fn answered_at(&self) -> Option<Instant> {
        self.ticks.back().map(|tick| tick.end)
    }

    /// Time that the last acknowledged record had been on its way.
    pub fn latency(&self) -> Duration {
        self.latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD_AFTER: Duration = Duration::from_secs(30);
    const MIB: usize = 1 << 20;
    const MAX_WINDOW_BYTES: usize = 64 * MIB;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Window for a path with a rate and a round trip, whose sender keeps the window full.
    fn window_after(time: Duration, rate: usize, round_trip: Duration) -> (usize, usize) {
        let mut pace = Pace::new(HOLD_AFTER);
        let start = Instant::now();
        let step = ms(10);
        let per_step = rate / 100;
        let mut queued = 0;
        let mut acknowledgements = VecDeque::new();
        let mut on_its_way = 0;
        let mut carried = 0;
        let mut now = start;
        while now < start + time {
            now += step;
            let room = pace.window(MAX_WINDOW_BYTES, now).saturating_sub(on_its_way);
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
        (pace.window(MAX_WINDOW_BYTES, now), carried)
    }

    #[test]
    fn on_a_thin_line_no_more_is_on_its_way_than_a_part_of_the_patience_takes() {
        for rate in [50_000, 1_000_000, 5_000_000] {
            let (window, carried) = window_after(Duration::from_secs(60), rate, ms(50));
            let depth = (window - MIN_WINDOW_BYTES) as f64 / rate as f64;
            assert!((4.5..=5.5).contains(&depth), "{rate} bytes a second: {depth} s");
            assert!(carried as f64 > 59.0 * rate as f64, "the line is never idle: {carried}");
        }
    }

    #[test]
    fn a_quick_cluster_has_the_whole_window_within_a_moment() {
        let (window, _) = window_after(ms(300), 400 * MIB, ms(10));
        assert_eq!(window, MAX_WINDOW_BYTES);
        let (window, _) = window_after(Duration::from_secs(2), 400 * MIB, ms(200));
        assert_eq!(window, MAX_WINDOW_BYTES, "also one that is far away");
    }

    #[test]
    fn a_path_that_turns_slow_has_a_smaller_window_within_a_part_of_the_patience() {
        let mut pace = Pace::new(HOLD_AFTER);
        let start = Instant::now();
        pace.hand_over(50 * MIB);
        pace.answered(40 * MIB, Some(ms(10)), start);
        assert_eq!(pace.window(MAX_WINDOW_BYTES, start), 40 * MIB + MIN_WINDOW_BYTES);
        assert_eq!(
            pace.window(MAX_WINDOW_BYTES, start + HOLD_AFTER / WINDOW_DIVISOR + ms(1)),
            MIN_WINDOW_BYTES
        );
    }

    #[test]
    fn answers_to_what_stood_before_it_excuse_a_record_and_later_ones_do_not() {
        let mut pace = Pace::new(HOLD_AFTER);
        let start = Instant::now();
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
        let mut pace = Pace::new(HOLD_AFTER);
        let start = Instant::now();
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
        let mut pace = Pace::new(HOLD_AFTER);
        let start = Instant::now();
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
        let mut pace = Pace::new(HOLD_AFTER);
        let start = Instant::now();
        let turn = pace.hand_over(10);
        pace.hand_over(1_000);
        pace.taken_back(1_000);
        assert_eq!(pace.excused_until(turn), None);
        pace.nothing_outstanding();
        assert_eq!(pace.excused_until(pace.handed_over), None);
        assert_eq!(pace.window(MAX_WINDOW_BYTES, start), MIN_WINDOW_BYTES);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut pace = Pace::new(HOLD_AFTER);
        let start = Instant::now();
        for n in 0..100_000 {
            pace.hand_over(10);
            pace.answered(10, Some(ms(n)), start + ms(n * 10));
        }
        assert!(
            pace.ticks.len() <= (TICK_DIVISOR * MEMORY_FACTOR) as usize + 1,
            "{}",
            pace.ticks.len()
        );
        assert_eq!(pace.latency(), ms(99_999));
    }
}
