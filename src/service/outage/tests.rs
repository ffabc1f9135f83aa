use super::*;
use crate::spool::Room;

const MINUTE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// An outage whose progress a test controls.
struct Played {
    outage: Outage,
    began: Instant,
}

impl Played {
    fn new() -> Self {
        Self { outage: Outage::new(5 * MINUTE), began: Instant::now() }
    }

    /// Looks at this time after its beginning, with so many undelivered MiB of `leads` and room for so many more.
    fn at(&mut self, passed: Duration, waiting: u64, left: u64) -> Vec<Line> {
        let unix = u64::try_from(passed.as_millis()).unwrap();
        let now = Now { instant: self.began + passed, unix };
        self.outage.look(Some(passed), now, || measured(&[("leads", waiting)], left))
    }
}

/// Returns sources whose oldest delivery came when the outage began.
fn measured(sources: &[(&str, u64)], left: u64) -> Measured {
    let one = |(source, waiting): &(&str, u64)| {
        let room = Room { own: u64::MAX, guaranteed: 0 };
        let bytes = waiting * MIB;
        let deliveries = waiting * 4;
        let oldest = (*waiting > 0).then_some(0);
        (
            Taken { source: (*source).into(), bytes, room, is_full: false },
            Backlog { bytes, deliveries, oldest },
        )
    };
    let left = Left { volume: Some(u64::MAX), common: left * MIB };
    Measured { sources: sources.iter().map(one).collect(), left }
}

#[test]
fn an_outage_is_logged_every_few_minutes_with_the_backlog_and_the_time_until_it_is_full() {
    let mut played = Played::new();
    let mut lines = Vec::new();
    // The backlog grows by 3 MiB a minute, and is sampled every second.
    for second in 0..=600 {
        let waiting = second / 20;
        lines.extend(played.at(Duration::from_secs(second), waiting, 630 - waiting));
    }
    let [first, second] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(
        first.text,
        "Kafka has not answered for 5 min: 60 deliveries (15.0 MiB) wait in the spool, the oldest for 5 min; \
         spool.size_limit is used up in 3 h 25 min at this rate"
    );
    assert_eq!(
        second,
        &Line {
            source: Some("leads".into()),
            away_seconds: 600,
            undelivered_bytes: 30 * MIB,
            undelivered_deliveries: 120,
            oldest_seconds: Some(600),
            seconds_until_full: Some(200 * 60),
            text: "Kafka has not answered for 10 min: 120 deliveries (30.0 MiB) wait in the spool, the oldest for \
                   10 min; spool.size_limit is used up in 3 h 20 min at this rate"
                .into(),
        }
    );
}

#[test]
fn what_is_full_or_does_not_grow_or_is_not_there_is_said_so() {
    let mut played = Played::new();
    let text = |lines: Vec<Line>| {
        let texts: Vec<_> = lines.into_iter().map(|line| line.text).collect();
        texts.join("\n")
    };
    played.at(Duration::ZERO, 8, 10);
    let full = text(played.at(5 * MINUTE, 18, 0));
    assert!(
        full.ends_with("; spool.size_limit is used up, and deliveries are refused with 503"),
        "{full}"
    );
    played.at(Duration::ZERO, 8, 10);
    let stays = text(played.at(21 * MINUTE, 8, 10));
    assert!(
        stays.ends_with(
            "(8.0 MiB) wait in the spool, the oldest for 21 min; they do not become more"
        ),
        "{stays}"
    );
    let nothing = text(played.at(27 * MINUTE, 0, 18));
    assert_eq!(nothing, "Kafka has not answered for 27 min; no delivery waits in the spool");
}

#[test]
fn each_source_with_a_backlog_has_a_line_and_the_next_outage_begins_from_the_start() {
    let mut outage = Outage::new(5 * MINUTE);
    let began = Instant::now();
    let mut look = |passed: Duration, away: Option<Duration>| {
        let now = Now { instant: began + passed, unix: 0 };
        let lines =
            outage.look(away, now, || measured(&[("audit", 1), ("leads", 2), ("none", 0)], 10));
        lines.into_iter().map(|line| line.source).collect::<Vec<_>>()
    };
    let both = vec![Some("audit".to_owned()), Some("leads".to_owned())];
    assert_eq!(look(6 * MINUTE, Some(6 * MINUTE)), both, "it was longer away than this looks");
    assert!(look(7 * MINUTE, Some(7 * MINUTE)).is_empty());
    assert!(look(8 * MINUTE, None).is_empty());
    assert!(look(12 * MINUTE, Some(MINUTE)).is_empty());
    assert_eq!(look(16 * MINUTE, Some(5 * MINUTE)), both);
}

// A full spool always has a little room left: less than a delivery takes.
#[test]
fn a_spool_that_refuses_deliveries_is_full_whatever_little_room_is_left() {
    let mut outage = Outage::new(5 * MINUTE);
    let began = Instant::now();
    let mut look = |passed: Duration, waiting: u64, is_full: bool| {
        let now = Now { instant: began + passed, unix: 0 };
        outage.look(Some(passed), now, || {
            let mut measured = measured(&[("leads", waiting)], 0);
            measured.left.common = 100;
            measured.sources[0].0.is_full = is_full;
            measured
        })
    };
    look(Duration::ZERO, 1, false);
    let lines = look(5 * MINUTE, 20, true);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(line.seconds_until_full, Some(0));
    assert!(
        line.text.ends_with("; spool.size_limit is used up, and deliveries are refused with 503"),
        "{line:?}"
    );
}
