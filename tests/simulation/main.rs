//! Simulation of the real spool and forwarder against a model of a cluster: histories with one sender,
//! and histories with two that repeat what they and the other one have sent, in front of one process or of two replicas; with transactions, with two
//! instances of one identity, and with processes of both modes in turn.
//!
//! `SIMULATION_SEED=7 cargo test --test simulation one_sender` (or another test's name) replays one history;
//! `SIMULATION_SEEDS=100000` runs that many, from `SIMULATION_FIRST` on. `SIMULATION_TRACE=file` appends a line for
//! each: its seed, its kind, and a hash of all that happened in it.

#[path = "../simulated_disk/mod.rs"]
mod simulated_disk;

mod books;
mod cluster;
mod conditions;
mod damage;
mod fields;
mod history;
mod oracle;
mod registry;
mod sender;
mod sent_once;
mod trace;
mod transactions;

use std::{fmt::Write as _, io::Write as _, panic::AssertUnwindSafe};

use history::{Delivery, History, Senders};

/// What the histories of one run must reach, each at least once.
const RARE: [&str; 32] = [
    "a bit flips",
    "a directory's sync fails",
    "a read fails",
    "a sync fails",
    "a write fails",
    "all but one topic",
    "all but one topic that cannot be made",
    "damaged range in quarantine",
    "dead letter",
    "event in quarantine",
    "event left out",
    "event on its topic",
    "event that no rule can be applied to",
    "held topics back",
    "killed",
    "late acknowledgement",
    "no space for a file",
    "no space for a write",
    "poison",
    "power lost",
    "producer replaced",
    "producer turned fatal",
    "purged",
    "queue full",
    "refusal",
    "refused events wait for the dead-letter topic",
    "repeat",
    "restart",
    "secret replaced",
    "spool full",
    "topic held",
    "topic over the limit",
];

/// What `conditions.rs` brings into a quarter of the histories of each kind.
const RARE_CONDITIONS: [&str; 7] = [
    "acknowledgement later than forward.hold_after",
    "client throttled",
    "metadata that came late",
    "topic deleted",
    "topic made again",
    "topic made by hand",
    "topic that was not listed yet",
];

/// What `registry.rs` brings into a quarter of the histories of each kind.
const RARE_WITH_REGISTRY: [&str; 4] = [
    "all but one topic whose schema has no id",
    "schema id from the disk",
    "schema id that came late",
    "schema refused for a while",
];

/// What the histories with two senders that repeat must reach besides.
const RARE_WITH_REPEATS: [&str; 6] = [
    "a bit of the ids flips",
    "duplicate of the other source",
    "duplicate of the same source",
    "file of ids not whole",
    "id not saved",
    "repeat of what was forgotten",
];

/// What the histories with transactions must reach besides.
const RARE_WITH_TRANSACTIONS: [&str; 6] = [
    "commit found out later",
    "commit without an answer",
    "refused event as a dead letter",
    "transaction committed",
    "transaction given up by the cluster",
    "transaction taken back",
];

/// What the histories of two instances with one identity must reach besides.
const RARE_WITH_COPIES: [&str; 10] = [
    "died before it took over",
    "event left behind with a stopped instance",
    "instance away for a while",
    "instance stopped by another",
    "shut out by another instance",
    "start behind a fence",
    "stopped instance started once more",
    "stopped when it started",
    "stopped while it ran",
    "volume copied",
];

/// What the histories that go from mode to mode must reach besides.
const RARE_WITH_SWITCHING: [&str; 6] = [
    "file ahead of the topic of checkpoints",
    "start that may repeat something",
    "switched after a stop in order with all settled",
    "switched to at least once",
    "switched to exactly once",
    "topic of checkpoints ahead of the file",
];

/// What they cannot reach: nothing of them is there twice.
const NEVER_WITH_TRANSACTIONS: [&str; 1] = ["repeat"];

/// Seeds that found something with one sender; they are run each time. Kept seeds are histories without what
/// `conditions.rs` adds, unless they stand in one of the lists below.
const KEPT: [u64; 16] = [
    1,      // repeats that no crash explains
    112,    // a failing topic stopped the others
    170,    // a hanging topic stopped the others
    180,    // the checkpoint passed an event that was nowhere
    186,    // a hanging dead-letter topic stopped events
    237,    // the same
    239,    // as 112
    282,    // as 186
    484,    // a held topic that was held again sent what it had delivered
    873,    // a topic that could not be made
    1297,   // as 186: how long it had waited was forgotten when its lane went back
    1436,   // the main lane waited for lanes that had nothing to read before it
    1588,   // as 873
    2196,   // as 186, hidden by resets for the sake of others
    50908,  // one topic too many, and refused once more on the lane that it got later
    306488, // the oracle took an event for stopped that a second flip in its segment had spoilt
];

/// Seeds that found something with transactions.
const KEPT_WITH_TRANSACTIONS: [u64; 1] = [
    307359, // what only the page cache had was committed, and then lost with the power: no start went on
];

/// Seeds that found something with transactions and two senders.
const KEPT_WITH_TRANSACTIONS_AND_REPEATS: [u64; 1] = [
    400331, // a repeat was passed over for the sake of an event that only the page cache had
];

/// Seeds that found something with two instances.
const KEPT_WITH_COPIES: [u64; 4] = [
    121,    // one that was shut out while its disk was full went on
    307213, // a refused record stopped others while as many topics were held as may be
    606797, // one that was shut out went on, since its checkpoint could not be saved either
    // The oracle's mistake: a frame behind a bit that had flipped before the volume was copied.
    120003712,
];

/// Seeds that found something between the modes.
const KEPT_WITH_SWITCHING: [u64; 5] = [
    300307,  // what was committed behind a refused event that waits came again without a crash
    301064,  // the same
    304115,  // the same
    312872,  // one topic too many, held by now: its lane began behind the event that waits
    9000226, // the oracle knew nothing of damage that heals: such events come late
];

/// Seeds that found something with two senders.
const KEPT_WITH_REPEATS: [u64; 0] = [];

/// Seeds that found something with what `conditions.rs` adds.
const KEPT_WITH_CONDITIONS: [(Senders, Delivery, u64); 5] = [
    (Senders::One, Delivery::AtLeastOnce, 20000132), // a held topic that was deleted was never made again
    (Senders::One, Delivery::Switching, 20000245),   // the same
    // The oracle counted one copy of what has no id, where two were not acknowledged and came again.
    (Senders::TwoThatRepeat, Delivery::AtLeastOnce, 30008939),
    // A dead letter was taken for a repeat of itself after a crash, then forgotten, and sent behind later ones.
    (Senders::TwoThatRepeat, Delivery::AtLeastOnce, 50000528),
    // The oracle took what was not acknowledged, and was there and delivered, for what may come again.
    (Senders::One, Delivery::Switching, 70006274),
];

/// Seeds that found something with all of these, a registry included.
const KEPT_WITH_REGISTRY: [(Senders, Delivery, u64); 4] = [
    // A bit flipped in the length of a frame, and led past whole ones to the beginning of a later one.
    (Senders::One, Delivery::AtLeastOnce, 150001325),
    // A copy was passed over for the sake of an event that turned out to be spoilt, and not looked at again.
    (Senders::TwoThatRepeat, Delivery::AtLeastOnce, 140006994),
    // An event that waited gave way to its repeat, whose id was forgotten meanwhile, and was saved as delivered.
    (Senders::TwoThatRepeat, Delivery::ExactlyOnce, 140009126),
    // Of two instances with one identity neither could commit: the registry stood still, and the spools were full.
    (Senders::One, Delivery::Copied, 140000241),
];

/// What became of one history.
struct Verdict {
    counters: Result<history::Counters, String>,
    trace: Option<u64>,
}

fn run(mut history: History) -> Verdict {
    let counters = match std::panic::catch_unwind(AssertUnwindSafe(|| history.run())) {
        Ok(()) => Ok(std::mem::take(&mut history.counters)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text
                .or(panic.downcast_ref::<&str>().map(|text| (*text).into()))
                .unwrap_or_default())
        }
    };
    Verdict { counters, trace: history.trace_hash() }
}

#[test]
fn one_seed_is_one_history_each_time() {
    for (senders, delivery) in [
        (Senders::One, Delivery::AtLeastOnce),
        (Senders::TwoThatRepeat, Delivery::ExactlyOnce),
        (Senders::One, Delivery::Copied),
        (Senders::One, Delivery::Switching),
    ] {
        let history =
            |seed| History::new(seed, senders, delivery).with_conditions().with_selections(6);
        let trace = |seed| run(history(seed).with_fields(seed).with_registry(seed).traced()).trace;
        let first: Vec<_> = (4..9).map(trace).collect();
        let second: Vec<_> = (4..9).map(trace).collect();
        assert_eq!(first, second, "{senders:?}, {delivery:?}");
        let different: std::collections::BTreeSet<_> = first.iter().collect();
        assert_eq!(different.len(), first.len(), "{senders:?}, {delivery:?}");
    }
}

#[test]
fn no_history_with_one_sender_breaks_a_promise() {
    let rare = RARE.iter().chain(&RARE_CONDITIONS).chain(&RARE_WITH_REGISTRY);
    let rare: Vec<_> = rare.copied().collect();
    run_all(Senders::One, Delivery::AtLeastOnce, 300, &KEPT, &rare);
}

#[test]
fn no_history_with_two_senders_that_repeat_breaks_a_promise() {
    let rare: Vec<_> = RARE.iter().chain(&RARE_WITH_REPEATS).copied().collect();
    run_all(Senders::TwoThatRepeat, Delivery::AtLeastOnce, 300, &KEPT_WITH_REPEATS, &rare);
}

#[test]
fn no_history_with_transactions_and_one_sender_delivers_anything_twice() {
    let rare: Vec<_> =
        RARE.iter().chain(&RARE_WITH_TRANSACTIONS).chain(&RARE_CONDITIONS).copied().collect();
    let rare: Vec<_> =
        rare.into_iter().filter(|what| !NEVER_WITH_TRANSACTIONS.contains(what)).collect();
    run_all(Senders::One, Delivery::ExactlyOnce, 150, &KEPT_WITH_TRANSACTIONS, &rare);
}

#[test]
fn no_history_with_transactions_and_two_senders_that_repeat_breaks_a_promise() {
    let rare = RARE_WITH_TRANSACTIONS.iter().chain(&RARE_WITH_REPEATS[1..3]);
    let rare: Vec<_> = rare.copied().collect();
    let kept = &KEPT_WITH_TRANSACTIONS_AND_REPEATS;
    run_all(Senders::TwoThatRepeat, Delivery::ExactlyOnce, 150, kept, &rare);
}

/// What the histories of two replicas must reach besides.
const RARE_WITH_REPLICAS: [&str; 4] = [
    "duplicate of another replica",
    "id of another replica",
    "id that was told to none",
    "topic of ids that hangs",
];

#[test]
fn no_history_of_two_replicas_that_tell_each_other_what_is_settled_loses_anything() {
    run_all(Senders::TwoReplicas, Delivery::AtLeastOnce, 150, &[], &RARE_WITH_REPLICAS);
}

#[test]
fn no_history_of_two_replicas_with_transactions_loses_anything() {
    run_all(Senders::TwoReplicas, Delivery::ExactlyOnce, 150, &[], &RARE_WITH_REPLICAS);
}

#[test]
fn no_history_of_two_instances_with_one_identity_delivers_anything_twice_or_loses_it() {
    run_all(Senders::One, Delivery::Copied, 60, &KEPT_WITH_COPIES, &RARE_WITH_COPIES);
}

#[test]
fn no_history_that_switches_between_the_modes_breaks_a_promise() {
    run_all(Senders::One, Delivery::Switching, 60, &KEPT_WITH_SWITCHING, &RARE_WITH_SWITCHING);
}

/// What the histories with states of leads must reach besides.
const RARE_WITH_LEAD_STATES: [&str; 4] = [
    "changes in one state",
    "state of a lead",
    "tombstone of a deleted lead",
    "tombstone of a merged lead",
];

#[test]
fn no_history_with_lead_states_loses_one_or_sends_one_out_of_turn() {
    for (senders, delivery) in [
        (Senders::One, Delivery::AtLeastOnce),
        (Senders::One, Delivery::ExactlyOnce),
        (Senders::TwoThatRepeat, Delivery::AtLeastOnce),
        (Senders::TwoThatRepeat, Delivery::ExactlyOnce),
    ] {
        run_those(senders, delivery, Kind::WithLeadStates, 60, &[], &RARE_WITH_LEAD_STATES);
    }
}

/// What the histories on a disk that lies must reach, all of them together.
const RARE_ON_A_DISK_THAT_LIES: [&str; 9] = [
    "a page of another place",
    "a page of zeros",
    "a page that cannot be read",
    "bits flip",
    "damaged range in quarantine",
    "pages lost and kept in any order",
    "pages that can be read again",
    "snapshot taken",
    "volume restored",
];

/// Seeds that found something on a disk that lies.
const KEPT_ON_A_DISK_THAT_LIES: [(Senders, Delivery, u64); 14] = [
    // A lane that was opened again, since another topic was in trouble, began the tries at a bad page again.
    (Senders::One, Delivery::ExactlyOnce, 160001024),
    (Senders::One, Delivery::ExactlyOnce, 160001026),
    (Senders::TwoThatRepeat, Delivery::ExactlyOnce, 160000143),
    // The oracle knew nothing of harm behind a torn frame, which was never acknowledged.
    (Senders::One, Delivery::AtLeastOnce, 170500151),
    // A part of a damaged range had healed, and replaced the range in quarantine.
    (Senders::One, Delivery::AtLeastOnce, 170500367),
    // The oracle did not know the number of a copy that was stored, not acknowledged, and spoilt.
    (Senders::TwoThatRepeat, Delivery::AtLeastOnce, 170500176),
    // A page of later frames in an earlier place led past whole ones.
    (Senders::One, Delivery::AtLeastOnce, 170000581),
    // The oracle's mistake: an event that came late after a restore was taken for a repeat of it, sent long after.
    (Senders::TwoThatRepeat, Delivery::AtLeastOnce, 170002818),
    // A snapshot from before the first commit took the lost volume's checkpoint for its own.
    (Senders::One, Delivery::Switching, 170010651),
    (Senders::One, Delivery::Switching, 170010743),
    (Senders::One, Delivery::Switching, 170011015),
    // Each broke an attempt at the repeats of seed 170500113: to take of file and topic the checkpoint whose oldest event is
    // later, and to count what either has passed as delivered, where the topic's lists an event as refused.
    (Senders::One, Delivery::Switching, 173100500),
    (Senders::One, Delivery::Switching, 177000788),
    // Damage in front of a delivery took a lane back to its first event, which was committed.
    (Senders::One, Delivery::Switching, 173100360),
];

#[test]
fn no_history_on_a_disk_that_lies_breaks_a_promise() {
    for (senders, delivery) in [
        (Senders::One, Delivery::AtLeastOnce),
        (Senders::TwoThatRepeat, Delivery::AtLeastOnce),
        (Senders::One, Delivery::ExactlyOnce),
        (Senders::TwoThatRepeat, Delivery::ExactlyOnce),
        (Senders::One, Delivery::Switching),
    ] {
        let those = KEPT_ON_A_DISK_THAT_LIES.iter();
        let those = those.filter(|(of, mode, _)| (*of, *mode) == (senders, delivery));
        let kept: Vec<_> = those.map(|(.., seed)| *seed).collect();
        run_those(senders, delivery, Kind::OnADiskThatLies, 60, &kept, &RARE_ON_A_DISK_THAT_LIES);
    }
}

/// What the histories of a test have beside what all have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    WithLeadStates,
    OnADiskThatLies,
}

fn run_all(senders: Senders, delivery: Delivery, histories: u64, kept: &[u64], rare: &[&str]) {
    run_those(senders, delivery, Kind::Plain, histories, kept, rare);
}

fn run_those(
    senders: Senders,
    delivery: Delivery,
    kind: Kind,
    histories: u64,
    kept: &[u64],
    rare: &[&str],
) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let of_this_kind = |kept: &[(Senders, Delivery, u64)]| -> Vec<u64> {
        let those = kept.iter().filter(|(of, mode, _)| (*of, *mode) == (senders, delivery));
        those.filter(|_| kind == Kind::Plain).map(|(.., seed)| *seed).collect()
    };
    let kept_later = of_this_kind(&KEPT_WITH_CONDITIONS);
    let kept_last = of_this_kind(&KEPT_WITH_REGISTRY);
    let seeds: Vec<_> = match number("SIMULATION_SEED") {
        Some(seed) => {
            let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).try_init();
            (seed..seed + 1).collect()
        }
        None => {
            let first = number("SIMULATION_FIRST").unwrap_or(0);
            let range = first..first + number("SIMULATION_SEEDS").unwrap_or(histories);
            let later = kept_last.iter().chain(&kept_later).chain(kept).copied();
            later.filter(|seed| !range.contains(seed)).chain(range.clone()).collect()
        }
    };
    let many = seeds.len() as u64 >= histories;
    let traces = std::env::var_os("SIMULATION_TRACE");
    let mut hashes = String::new();
    let mut total = history::Counters::new();
    let mut failed = Vec::new();
    for seed in seeds {
        let mut history = History::new(seed, senders, delivery);
        let lies = kind == Kind::OnADiskThatLies;
        if !lies && !kept.contains(&seed) {
            history = history.with_conditions().with_selections(seed);
        }
        match kind {
            Kind::Plain => {}
            Kind::WithLeadStates => history = history.with_lead_states(),
            Kind::OnADiskThatLies => history = history.with_lying_disk(seed),
        }
        // Kept seeds go on meaning what they meant.
        if !lies && !kept.contains(&seed) && !kept_later.contains(&seed) {
            history = history.with_fields(seed).with_registry(seed);
        }
        if traces.is_some() {
            history = history.traced();
        }
        let verdict = run(history);
        if let Some(hash) = verdict.trace {
            let lies = if kind == Kind::OnADiskThatLies { "-lying" } else { "" };
            let _ = writeln!(hashes, "{seed} {senders:?}-{delivery:?}{lies} {hash:016x}");
        }
        match verdict.counters {
            Ok(counters) => {
                for (what, times) in counters {
                    *total.entry(what).or_default() += times;
                }
            }
            Err(promise) => {
                eprintln!(
                    "SIMULATION_SEED={seed} replays with {senders:?}, {delivery:?}: {promise}"
                );
                failed.push(seed);
            }
        }
    }
    if let Some(file) = traces {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
        // At once, since other kinds and processes write there too.
        file.and_then(|mut file| file.write_all(hashes.as_bytes()))
            .expect("the traces can be written");
    }
    println!("{senders:?}, {delivery:?}, {kind:?}: {total:#?}");
    assert!(failed.is_empty(), "{} histories broke a promise: {failed:?}", failed.len());
    if many {
        let times = |what: &str| total.get(what).copied().unwrap_or(0);
        let reachable = |what: &&&str| {
            let repeats = matches!(delivery, Delivery::AtLeastOnce | Delivery::Switching);
            repeats || !NEVER_WITH_TRANSACTIONS.contains(*what)
        };
        let counted =
            rare.iter().chain(total.keys().filter(reachable).filter(|_| kind == Kind::Plain));
        let never: Vec<_> = counted.filter(|what| times(what) == 0).collect();
        assert!(never.is_empty(), "no history reached {never:?}");
    }
}
