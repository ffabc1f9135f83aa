//! The power is cut at random moments: while Kafka is there, while it is away, and while it comes back.

use std::{fs, os::unix::process::ExitStatusExt, path::PathBuf, thread, time::Duration};

use crate::{
    kafka::Kafka,
    ledger::{Comparison, Ledger},
    senders::{Line, PATIENCE, SENDERS, Sent},
    support::{
        batches::Random,
        bridge::{Bridge, Settings},
        wait,
    },
    volume::{Taken, Unsynced, Volume, Within},
};

const PREFIX: &str = "power";
/// A sync takes as long as on a disk of some kind: some milliseconds, in which a cut finds it.
const SLOW: u32 = 10_000;
/// Cuts of one round: Kafka is there, goes away, is away, comes back.
const ROUND: usize = 4;

/// Cuts that are added at most, until one has taken a name and one has taken bytes.
const MORE: usize = 20;

/// The ways of cuts, by turns: at any moment, or in a sync.
const WAYS: [Option<Within>; 5] = [
    None,
    Some(Within::SyncOfNames { is_durable: false }),
    Some(Within::Sync { is_durable: false }),
    Some(Within::SyncOfNames { is_durable: true }),
    Some(Within::Sync { is_durable: true }),
];

fn is_long() -> bool {
    std::env::var_os("TEST_LONG").is_some()
}

fn seed() -> u64 {
    let given = std::env::var("POWER_SEED").ok().map(|seed| seed.parse().expect("POWER_SEED"));
    given.unwrap_or(0x7077_7221)
}

/// Small segments, and each goes as soon as it may, so that names change all the time.
fn settings(address: &str, volume: &Volume) -> Settings {
    let settings = Settings::new(address, PREFIX)
        .set("SPOOL__SIZE_LIMIT", "256MiB")
        .set("SPOOL__SEGMENT_SIZE", "128KiB")
        .set("SPOOL__RESERVE", "3MiB")
        .set("SPOOL__KEEP_DELIVERED__AGE", "0s")
        .set("LISTEN__BODY_LIMIT", "1MiB")
        .set("LISTEN__BODY_LIMIT_INFLATED", "1MiB");
    let environment = volume.environment().into_iter();
    environment.fold(settings, |settings, (key, value)| settings.environment(key, value))
}

/// The books of a run of cuts.
struct Outcome {
    sent: Vec<Sent>,
    cuts: usize,
    /// The numbers of the cuts before which all was delivered and the senders were at rest.
    quiet: Vec<usize>,
    comparison: Comparison,
}

#[track_caller]
fn cut_again_and_again(mode: &str, with: impl Fn(Settings) -> Settings, may_die: bool) -> Outcome {
    let rounds = if is_long() { 50 / ROUND + 1 } else { 2 };
    let seed = seed();
    println!("{mode}: POWER_SEED={seed}");
    let mut random = Random(seed);
    let mut volume = Volume::new(seed ^ 0x766f_6c75_6d65, SLOW);
    let mut kafka = Kafka::start(may_die);
    let address = kafka.address();
    let mut bridge = Bridge::start_below(&volume.path(), with(settings(&address, &volume)));
    let line = Line::to(&bridge);
    let (mut quiet, mut taken, mut number) = (Vec::new(), Taken::default(), 0);

    let sent = thread::scope(|scope| {
        let end = StopAtEnd(&line);
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| (number, &line))
            .map(|(n, line)| scope.spawn(move || line.send(n)))
            .collect();
        let mut cut = |bridge: &mut Bridge, random: &mut Random, is_quiet: bool| -> Taken {
            let before = line.answered();
            let more = 1 + random.below(40);
            wait::until("answers", PATIENCE, || {
                assert!(
                    !senders.iter().any(|sender| sender.is_finished()),
                    "a sender has given up"
                );
                is_quiet || line.answered() >= before + more
            });
            let way = WAYS[number % WAYS.len()].filter(|_| !is_quiet);
            die(bridge, &volume, way, random);
            if is_quiet {
                quiet.push(number);
            }
            line.was_cut();
            let unsynced = if number.is_multiple_of(2) { Unsynced::Lost } else { Unsynced::InPart };
            let by_this = volume.cut(unsynced);
            println!("{mode}: cut {number}: {way:?}, {unsynced:?}: {by_this:?}");
            taken.names += by_this.names;
            taken.files += by_this.files;
            number += 1;
            bridge.restart();
            line.goes_to(bridge);
            taken
        };
        let mut has_taken = false;
        for round in 0..rounds {
            // Kafka is there, and something arrives in each of its times.
            let delivered = |bridge: &Bridge| bridge.metric("millrace_events_delivered_total", &[]);
            wait::until("deliveries", PATIENCE, || delivered(&bridge) > 100.0);
            let is_quiet = round % 2 == 1;
            if is_quiet {
                line.rest();
                bridge.wait_until_drained(PATIENCE);
            }
            cut(&mut bridge, &mut random, is_quiet);
            if is_quiet {
                line.go_on();
            }
            kafka.go_away(&mut random);
            cut(&mut bridge, &mut random, false);
            cut(&mut bridge, &mut random, false);
            kafka.come_back();
            let taken = cut(&mut bridge, &mut random, false);
            kafka.is_back();
            // A sync in which the process is killed may be of a file without a name, or change nothing.
            has_taken = taken.names > 0 && taken.files > 0;
        }
        for _ in 0..MORE {
            if has_taken {
                break;
            }
            let taken = cut(&mut bridge, &mut random, false);
            has_taken = taken.names > 0 && taken.files > 0;
        }
        drop(end);
        senders
            .into_iter()
            .flat_map(|sender| sender.join().expect("answers 200 and 503"))
            .collect::<Vec<_>>()
    });
    bridge.wait_until_drained(PATIENCE);

    println!(
        "{mode}: {number} cuts, {} of them quiet; they took {} names and the bytes of {} files; {} requests \
         unanswered, {} batches sent again",
        quiet.len(),
        taken.names,
        taken.files,
        line.unanswered(),
        line.repeated()
    );
    assert!(taken.names > 0 && taken.files > 0, "cuts that took nothing prove nothing: {taken:?}");
    assert!(line.unanswered() >= number / 2, "hardly a cut found a request at work");
    assert!(line.repeated() > 0, "no sender repeated anything");
    let (comparison, damaged) = compare(mode, &address, &bridge, &sent);
    // A write that was torn may look like bytes that went bad: "Damage" of `src/spool/recovery.rs`. Then it is kept, though
    // no answer was given for it. A group has a delivery of each sender at most.
    let torn = number / 2;
    assert!(damaged <= SENDERS * torn, "{damaged} damaged ranges of {torn} cuts in part");
    Outcome { sent, cuts: number, quiet, comparison }
}

/// Also if what cuts panics: senders would go on for ever.
struct StopAtEnd<'a>(&'a Line);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Returns when the process is gone.
#[track_caller]
fn die(bridge: &mut Bridge, volume: &Volume, way: Option<Within>, random: &mut Random) {
    let Some(within) = way else {
        // A condition alone would always look at the same place.
        thread::sleep(Duration::from_micros(random.below(20_000) as u64));
        return bridge.kill();
    };
    let pass = match within {
        Within::Sync { .. } => random.below(12),
        Within::SyncOfNames { .. } => random.below(3),
    };
    volume.order_cut(pass, within);
    let status = bridge.wait(PATIENCE);
    assert_eq!(status.signal(), Some(9), "killed within a sync: {status}");
}

#[track_caller]
fn compare(mode: &str, address: &str, bridge: &Bridge, sent: &[Sent]) -> (Comparison, usize) {
    let mut ledger = Ledger::new(PREFIX);
    for Sent { batch, unfit, answered, .. } in sent {
        match answered {
            Some(_) => {
                ledger.acknowledged(batch.clone());
                ledger.unfit(unfit.clone());
            }
            None => {
                ledger.unanswered(batch.clone());
                ledger.perhaps_unfit(unfit.clone());
            }
        }
    }
    let is_damage = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("damage-"))
    };
    let (damage, events): (Vec<_>, Vec<_>) =
        bridge.files(".bytes").into_iter().partition(is_damage);
    let read = |path| fs::read(path).expect("a file in quarantine can be read");
    let quarantine: Vec<_> = events.into_iter().map(read).collect();
    let comparison = ledger.compare_with(address, &quarantine);
    println!("{mode}: {} torn writes in quarantine", damage.len());
    comparison.assert_whole(mode);
    (comparison, damage.len())
}

#[test]
fn what_was_answered_200_outlives_cuts_of_the_power_and_repeats_only_what_was_under_way() {
    let Outcome { sent, cuts, quiet, comparison } =
        cut_again_and_again("at least once, power cuts", |settings| settings, true);
    assert!(!quiet.is_empty());
    let mut over = Vec::new();
    for Sent { batch, first, answered, .. } in &sent {
        // Each process brings an event once at most, and none does once the event is settled. An event
        // without an answer is settled, or is nowhere, when all is quiet.
        let from = answered.unwrap_or(first + 1);
        let settled = quiet.iter().copied().find(|quiet| *quiet >= from).unwrap_or(cuts);
        let may = 1 + settled - first;
        for event in &batch.events {
            let times = comparison.times.get(&event.guid).copied().unwrap_or_default();
            if times > may {
                over.push(format!("{}: {times} records, at most {may}", event.guid));
            }
        }
    }
    assert!(over.is_empty(), "{} events too often: {:?}", over.len(), &over[..over.len().min(10)]);
}

#[test]
fn in_transactions_what_was_answered_200_is_there_once_however_often_the_power_is_cut() {
    let with = |settings: Settings| {
        settings
            .set("KAFKA__DELIVERY", "exactly-once")
            .set("KAFKA__COMMIT_INTERVAL", "200ms")
            .set("TOPICS__CHECKPOINTS", format!("{PREFIX}.checkpoints"))
    };
    let Outcome { sent, comparison, .. } =
        cut_again_and_again("exactly once, power cuts", with, false);
    for Sent { batch, unfit, tries, .. } in &sent {
        for event in &batch.events {
            let times = comparison.times.get(&event.guid).copied().unwrap_or_default();
            assert!(times <= 1, "{}: {times} records", event.guid);
        }
        // It has no id, so that each delivery of it counts.
        let times = comparison.times.get(unfit).copied().unwrap_or_default();
        assert!(times <= *tries, "{unfit}: {times} dead letters of {tries} deliveries");
    }
}
