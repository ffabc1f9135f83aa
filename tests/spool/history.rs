//! Random histories of append, read, deliver, crash and restart on a disk with every fault it knows,
//! held against a model: everything acknowledged is read back byte for byte, in order, or is below
//! what was delivered; nothing is given out that nobody appended; every sequence is given out or
//! reported exactly once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use millrace::{
    observe::metrics::Metrics,
    spool::{
        AppendError, Config, Folder, Next, OpenError, Reader, Spool, SpoolState, Writer,
        disk::Disk, position::Position,
    },
};
use proptest::prelude::*;

use crate::{
    simulated_disk::{Call, Chances, SimulatedDisk},
    support::*,
};

/// Milliseconds between two tries to read what the disk does not give back.
const PAUSE: u64 = 2_000;

#[derive(Clone, Debug)]
enum Step {
    /// A group of bodies of these lengths.
    Append(Vec<usize>),
    /// The long-lived reader goes on by so many.
    Read(usize),
    /// The long-lived reader goes back by so many.
    Rewind(u64),
    /// Delivered up to so many behind what was read; `bool`: one event of the next one as well.
    Deliver(u64, bool),
    LosePower,
    Kill,
    /// So many bytes are left on the volume.
    NearlyFull(u64),
    Faults(Chances),
    FailNext(Call),
    /// A sealed segment, by its place in the row, that cannot be read any more.
    Spoil(usize),
    /// So many bytes at the end of the last one that cannot be read by the next process.
    SpoilTheEnd(u64),
    NoMoreFaults,
    PassTime(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let lengths = prop::collection::vec(prop_oneof![8 => 0..150_usize, 1 => 150..1500_usize], 1..4);
    let call = prop::sample::select(vec![
        Call::Create,
        Call::Write,
        Call::SetLength,
        Call::SyncData,
        Call::SyncDir,
        Call::Remove,
    ]);
    let faults = (0..60_u64, 0..6_u64, 0..10_u64, 0..30_u64).prop_map(
        |(short_write, write_fails, sync_fails, read_fails)| {
            Step::Faults(Chances { short_write, write_fails, sync_fails, read_fails })
        },
    );
    prop_oneof![
        12 => lengths.prop_map(Step::Append),
        4 => (1..12_usize).prop_map(Step::Read),
        1 => (1..12_u64).prop_map(Step::Rewind),
        3 => (0..4_u64, any::<bool>()).prop_map(|(behind, part)| Step::Deliver(behind, part)),
        2 => Just(Step::LosePower),
        1 => Just(Step::Kill),
        1 => (0..700_u64).prop_map(Step::NearlyFull),
        1 => faults,
        1 => call.prop_map(Step::FailNext),
        1 => (0..8_usize).prop_map(Step::Spoil),
        1 => (1..700_u64).prop_map(Step::SpoilTheEnd),
        2 => Just(Step::NoMoreFaults),
        1 => (0..90_000_u64).prop_map(Step::PassTime),
    ]
}

/// What a spool must do, and the one that does it.
struct History {
    disk: SimulatedDisk,
    config: Config,
    running: Option<(Writer, Spool, Reader)>,
    /// The checkpoint, which is on a disk of its own here.
    low: Position,
    acknowledged: BTreeMap<u64, Bytes>,
    attempted: BTreeSet<Bytes>,
    /// Sequences in segments that cannot be read.
    spoilt: BTreeSet<u64>,
    /// How far the long-lived reader's sequences were given out or reported.
    read_to: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let config = Config {
            segment_size: 700,
            size_limit: 6000,
            source_limits: Vec::new(),
            keep_delivered_age: Duration::from_secs(60),
            keep_delivered_size: 2000,
            ..config()
        };
        let mut history = Self {
            disk: SimulatedDisk::new(seed),
            config,
            running: None,
            low: Position::start_of(1),
            acknowledged: BTreeMap::new(),
            attempted: BTreeSet::new(),
            spoilt: BTreeSet::new(),
            read_to: 1,
        };
        history.start();
        history
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append(lengths) => self.append(&lengths),
            Step::Read(many) => self.read(many),
            Step::Rewind(by) => {
                let (_, _, reader) = self.running();
                let to = reader.next_sequence().saturating_sub(by).max(1);
                let low = self.low.sequence;
                self.running().2.seek(to.max(low));
                self.read_to = to.max(low);
            }
            Step::Deliver(behind, part) => self.deliver(behind, part),
            Step::LosePower => {
                self.disk.lose_power();
                self.start();
            }
            Step::Kill => {
                self.disk.kill();
                self.start();
            }
            Step::NearlyFull(bytes) => self.disk.set_capacity(self.disk.used() + bytes),
            Step::Faults(chances) => self.disk.set_chances(chances),
            Step::FailNext(call) => self.disk.fail_next(call, std::io::ErrorKind::Other),
            Step::Spoil(place) => self.spoil(place),
            Step::SpoilTheEnd(bytes) => self.spoil_the_end(bytes),
            Step::NoMoreFaults => self.disk.no_more_faults(),
            Step::PassTime(millis) => self.disk.advance_clock(millis),
        }
    }

    /// Neither the last, which is still written, nor the one before, which a power cut may make the last
    /// again.
    fn spoil(&mut self, place: usize) {
        let generations = segments(&self.disk);
        let [sealed @ .., _, _] = &generations[..] else { return };
        let Some(&generation) = sealed.get(place) else { return };
        self.disk.spoil(&segment(generation), 0..u64::MAX);
        self.spoilt.extend(generation..generations[place + 1]);
    }

    /// With the process gone, since a disk puts what is written elsewhere.
    fn spoil_the_end(&mut self, bytes: u64) {
        self.disk.kill();
        if let Some(last) = segments(&self.disk).pop() {
            let end = self.disk.content(&segment(last)).len() as u64;
            self.disk.spoil(&segment(last), end.saturating_sub(bytes).max(64)..end);
            self.spoilt.extend(self.acknowledged.range(last..).map(|(sequence, _)| *sequence));
        }
        self.start();
    }

    fn running(&mut self) -> &mut (Writer, Spool, Reader) {
        self.running.as_mut().expect("a history is always running between its steps")
    }

    /// Until it opens: with faults it may not at once.
    fn start(&mut self) {
        self.running = None;
        for attempt in 0.. {
            if attempt == 10 {
                self.disk.no_more_faults();
            }
            match self.open() {
                Ok((writer, spool)) => {
                    let reader = spool.reader(self.low.sequence);
                    self.read_to = self.low.sequence;
                    self.running = Some((writer, spool, reader));
                    break;
                }
                Err(error) => assert!(attempt < 11, "it does not open: {error}"),
            }
            self.disk.kill();
        }
        self.check_everything();
    }

    /// Through one folder, as long as trying again is worth it.
    fn open(&self) -> Result<(Writer, Spool), OpenError> {
        let folder = Folder::open(Arc::new(self.disk.clone()), &self.config)?;
        loop {
            let low = Some(self.low.into());
            match folder.spool(&source(), None, &Metrics::new(), low) {
                Err(error) if error.is_worth_retrying() => self.disk.advance_clock(PAUSE),
                ended => return ended,
            }
        }
    }

    fn append(&mut self, lengths: &[usize]) {
        let first = self.attempted.len() as u64;
        let bodies: Vec<_> = (first..).zip(lengths).map(|(n, length)| body(n, *length)).collect();
        self.attempted.extend(bodies.iter().cloned());
        let group: Vec<_> = bodies.iter().map(|body| delivery(body.clone())).collect();
        let (writer, spool, _) = self.running();
        let was_poisoned = spool.state() == SpoolState::Poisoned;
        let outcome = writer.append_group(&group);
        match outcome {
            Ok(sequences) => {
                assert!(!was_poisoned, "a poisoned spool acknowledged something");
                assert_eq!(spool.durable_end(), sequences.last().unwrap() + 1);
                for (sequence, body) in sequences.into_iter().zip(bodies) {
                    let before = self.acknowledged.insert(sequence, body);
                    assert_eq!(before, None, "sequence {sequence} was given twice");
                }
            }
            Err(AppendError::Poisoned { .. }) => assert_eq!(spool.state(), SpoolState::Poisoned),
            Err(AppendError::Full { .. }) => assert_eq!(spool.state(), SpoolState::Full),
            Err(other) => panic!("{other}"),
        }
    }

    fn read(&mut self, many: usize) {
        for _ in 0..many {
            let (_, _, reader) = self.running.as_mut().unwrap();
            let read_to = &mut self.read_to;
            match check_next(reader, read_to, &self.acknowledged, &self.attempted, &self.spoilt) {
                Read::Something => {}
                Read::Nothing | Read::Failed => break,
            }
        }
    }

    fn deliver(&mut self, behind: u64, part: bool) {
        let to = self.read_to.saturating_sub(behind).max(self.low.sequence);
        let low = Position { sequence: to, index: u32::from(part && to < self.read_to) };
        self.low = low.max(self.low);
        let low = self.low;
        let (_, spool, _) = self.running();
        spool.delivered(low);
        assert_eq!(spool.undelivered().deliveries, spool.durable_end() - low.sequence);
        let generations = segments(&self.disk);
        assert!(generations.is_sorted());
    }

    /// A fresh reader from the low position sees all that is acknowledged.
    fn check_everything(&mut self) {
        let low = self.low.sequence;
        let (_, spool, _) = self.running.as_ref().unwrap();
        let (mut reader, mut read_to) = (spool.reader(low), low);
        for failures in 0.. {
            let (attempted, spoilt) = (&self.attempted, &self.spoilt);
            match check_next(&mut reader, &mut read_to, &self.acknowledged, attempted, spoilt) {
                Read::Something => {}
                Read::Nothing => break,
                Read::Failed => {
                    assert!(failures < 10_000);
                    self.disk.advance_clock(PAUSE);
                }
            }
        }
        assert_eq!(read_to, spool.durable_end());
        let last = self.acknowledged.last_key_value().map_or(0, |(sequence, _)| *sequence);
        assert!(last < spool.durable_end(), "acknowledged and gone: {last}");
    }

    /// Without faults everything drains, and nothing is left that counts.
    fn end(mut self) {
        self.disk.no_more_faults();
        self.disk.kill();
        self.start();
        self.append(&[20]);
        self.check_everything();
        self.disk.advance_clock(60_001);
        let (_, spool, _) = self.running();
        spool.delivered(Position::start_of(spool.durable_end()));
        let left = spool.undelivered();
        assert_eq!((left.bytes, left.deliveries, left.oldest), (0, 0, None));
        assert_eq!(spool.state(), SpoolState::Open);
        assert_eq!(segments(&self.disk).len(), 1);
        assert!(self.disk.info(&segment(segments(&self.disk)[0])).is_ok());
    }
}

enum Read {
    Something,
    Nothing,
    Failed,
}

fn check_next(
    reader: &mut Reader,
    read_to: &mut u64,
    acknowledged: &BTreeMap<u64, Bytes>,
    attempted: &BTreeSet<Bytes>,
    spoilt: &BTreeSet<u64>,
) -> Read {
    match reader.next() {
        Ok(Next::Delivery(stored)) => {
            assert_eq!(stored.sequence, *read_to, "every sequence once and in order");
            *read_to += 1;
            let body = &stored.delivery.body;
            assert!(attempted.contains(body), "nobody appended {body:?}");
            if let Some(expected) = acknowledged.get(&stored.sequence) {
                assert_eq!(body, expected);
            }
            Read::Something
        }
        Ok(Next::Damage(damage)) => {
            assert_eq!(damage.first_sequence, *read_to, "{damage}");
            assert!(damage.next_sequence >= *read_to);
            *read_to = damage.next_sequence;
            let lost = acknowledged.range(damage.first_sequence..damage.next_sequence);
            let is_explained =
                |sequence| !damage.unreadable.is_empty() && spoilt.contains(sequence);
            let lost: Vec<_> = lost.filter(|(sequence, _)| !is_explained(sequence)).collect();
            assert!(lost.is_empty(), "{damage}: acknowledged and lost: {lost:?}");
            Read::Something
        }
        Ok(Next::CaughtUp) => Read::Nothing,
        Err(error) => {
            assert!(error.is_worth_retrying(), "{error}");
            Read::Failed
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("SPOOL_HISTORIES").map_or(300, |n| n.parse().unwrap()),
        failure_persistence: None,
        max_shrink_iters: 1000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_acknowledged_is_read_back_whatever_happens(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut history = History::new(seed);
        for step in steps {
            history.take(step);
        }
        history.end();
    }
}
