//! `millrace spool verify`: reads every byte of every segment and checks every frame.

use std::{fmt::Display, io::Write};

use clap::Args;

use super::{Found, Selection, survey::load_checkpoint, with_causes};
use crate::{
    cli::{print, progress::Bar, text},
    deliver::{deduplicate, quarantine::Quarantine},
    source::SourceName,
    spool::{
        Damage,
        position::Position,
        viewer::{Seen, Segment, Viewer},
    },
};

/// Check every frame of every segment; exit code 1 if a frame is damaged
///
/// Lists each damaged range: the file, its bytes, and the deliveries that were there. A write that
/// is in progress or was interrupted by a crash is not damage: it was never acknowledged.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub place: Selection,
}

pub(super) fn run(found: &Found, out: &mut dyn Write) -> u8 {
    let mut verifier = Verifier { found, out, bar: Bar::new(), done: 0, total: 0, is_bad: false };
    let mut spools = Vec::new();
    for source in &found.sources {
        let opened = Viewer::open(found.disk.clone(), &found.directory, source)
            .and_then(|viewer| viewer.segments().map(|segments| (viewer, segments)));
        match opened {
            Ok((viewer, segments)) => {
                verifier.total += segments.iter().map(|segment| segment.length).sum::<u64>();
                spools.push((viewer, segments));
            }
            Err(error) => verifier.complain(source, with_causes(&error)),
        }
    }
    for (viewer, segments) in &spools {
        verifier.verify(viewer, segments);
    }
    verifier.bar.clear();
    if verifier.is_bad {
        verifier.say(
            "\nNothing was changed. The service skips damaged ranges by itself: it copies their \
             bytes to quarantine and continues with the deliveries behind them. Deliveries that were sent before are \
             missing only for a replay. Check the disk, and keep a copy of the folder.",
        );
    }
    u8::from(verifier.is_bad)
}

struct Verifier<'a> {
    found: &'a Found,
    out: &'a mut dyn Write,
    bar: Bar,
    /// Bytes read so far.
    done: u64,
    total: u64,
    is_bad: bool,
}

/// Totals of one spool.
#[derive(Default)]
struct Tally {
    segments: u64,
    bytes: u64,
    deliveries: u64,
    damaged: u64,
    unreadable: u64,
}

impl Verifier<'_> {
    fn verify(&mut self, viewer: &Viewer, segments: &[Segment]) {
        let source = viewer.source();
        let ids = deduplicate::check_versions(&*self.found.disk, &self.found.directory, source);
        if let Err(newer) = ids {
            self.complain(source, newer);
        }
        // The checkpoint is read after the segments were listed: a segment removed since then lies before it.
        let lowest = self.lowest(viewer);
        let mut tally = Tally::default();
        match viewer.missing_end() {
            Ok(Some(missing)) if lowest.sequence < missing.behind => {
                tally.damaged += 1;
                self.complain(source, format_args!("DAMAGE {missing}"));
            }
            Ok(_) => {}
            Err(newer) => self.complain(source, newer),
        }
        self.check_beginning(source, segments, lowest, &mut tally);
        for segment in segments {
            let before = self.done;
            match self.scan(viewer, segment, lowest, &mut tally) {
                Ok(true) => tally.segments += 1,
                Ok(false) if self.was_removed_rightly(viewer, segment) => {}
                Ok(false) => {
                    tally.damaged += 1;
                    let path = segment.path.display();
                    self.complain(source, format_args!("DAMAGE {path} is gone, undelivered"));
                }
                Err(problem) => {
                    tally.unreadable += 1;
                    self.complain(source, problem);
                }
            }
            self.done = before + segment.length;
        }
        self.bar.clear();
        let Tally { segments, bytes, deliveries, damaged, unreadable } = tally;
        let verdict = match (damaged, unreadable) {
            (0, 0) => "all whole".into(),
            (_, 0) => text::counted(damaged, "damaged range", "damaged ranges"),
            _ => format!(
                "{}, {}",
                text::counted(damaged, "damaged range", "damaged ranges"),
                text::counted(
                    unreadable,
                    "segment could not be read",
                    "segments could not be read"
                ),
            ),
        };
        self.say(format_args!(
            "{source}: {}, {}, {}: {verdict}",
            text::counted(segments, "segment", "segments"),
            text::bytes(bytes),
            text::counted(deliveries, "delivery", "deliveries"),
        ));
    }

    /// Returns the position where undelivered deliveries begin; the beginning, without a readable checkpoint.
    fn lowest(&mut self, viewer: &Viewer) -> Position {
        let folder = self.found.directory.join(viewer.source().as_str());
        let checkpoint = load_checkpoint(&self.found.disk, &folder, viewer.id());
        let checkpoint = checkpoint.unwrap_or_else(|problem| {
            self.complain(viewer.source(), problem);
            None
        });
        checkpoint.map_or(Position::start_of(1), |checkpoint| checkpoint.lowest())
    }

    /// Reports undelivered deliveries that lie before the first segment.
    fn check_beginning(
        &mut self,
        source: &SourceName,
        segments: &[Segment],
        lowest: Position,
        tally: &mut Tally,
    ) {
        if let Some(first) = segments.first()
            && lowest.sequence < first.first_sequence
        {
            tally.damaged += 1;
            let low = lowest.sequence;
            let first = first.first_sequence;
            self.complain(source, format_args!(
                "DAMAGE the segments before {first:020}.segment are missing: sequences {low}..{first}, undelivered"
            ));
        }
    }

    /// Reads one segment; false when it was removed meanwhile.
    fn scan(
        &mut self,
        viewer: &Viewer,
        segment: &Segment,
        lowest: Position,
        tally: &mut Tally,
    ) -> Result<bool, String> {
        let Some(mut scan) = viewer.scan(segment).map_err(|error| with_causes(&error))? else {
            return Ok(false);
        };
        let source = viewer.source();
        let before = self.done;
        while let Some(seen) = scan.next().map_err(|error| with_causes(&error))? {
            match seen {
                Seen::Delivery(_) => tally.deliveries += 1,
                Seen::Damage(damage) => {
                    tally.damaged += 1;
                    let quarantine = Quarantine::new(
                        self.found.disk.clone(),
                        &self.found.directory.join(source.as_str()),
                    );
                    // A folder that cannot be read is named by `inspect`.
                    let is_kept = quarantine.has_damage(&damage).unwrap_or(false);
                    self.complain(source, describe(&damage, lowest, is_kept));
                }
                Seen::Unfinished { from, to } => {
                    let path = segment.path.display();
                    self.bar.clear();
                    self.say(format_args!(
                        "{source}: {path} bytes {from}..{to}: a write that is not done, no damage"
                    ));
                }
            }
            self.done = before + scan.offset();
            let done = self.done;
            let total = self.total;
            self.bar.show(done, total.max(done), || {
                format!("{source}  {} of {}", text::bytes(done), text::bytes(total))
            });
        }
        tally.bytes += scan.offset();
        Ok(true)
    }

    /// Whether the service itself removed a missing segment.
    fn was_removed_rightly(&mut self, viewer: &Viewer, segment: &Segment) -> bool {
        if segment.next_sequence.is_none() && segment.frames_length() == 0 {
            return true; // it was begun, and there was no space for it
        }
        // A segment that was the last when it was listed has a successor by now. The checkpoint is read after
        // that: only segments before it are removed.
        let follower = segment.next_sequence.or_else(|| {
            let now = viewer.segments().unwrap_or_default();
            let mut firsts = now.iter().map(|segment| segment.first_sequence);
            firsts.find(|first| *first > segment.first_sequence)
        });
        let lowest = self.lowest(viewer).sequence;
        follower.is_some_and(|next| next <= lowest)
    }

    fn complain(&mut self, source: &SourceName, problem: impl Display) {
        self.is_bad = true;
        self.bar.clear();
        self.say(format_args!("{source}: {problem}"));
    }

    fn say(&mut self, line: impl Display) {
        print(self.out, format_args!("{line}\n"));
    }
}

/// Describes damage: `DAMAGE …/00000000000000000001.segment bytes 64..4096, sequences 1..3, undelivered`. `is_kept`:
/// quarantine has it.
fn describe(damage: &Damage, lowest: Position, is_kept: bool) -> String {
    let what = if damage.from == damage.to { "MISSING" } else { "DAMAGE" };
    let is_passed = damage.next_sequence <= lowest.sequence;
    let meaning = if damage.first_sequence == damage.next_sequence {
        "no delivery is lost by it"
    } else if is_passed && is_kept {
        "passed by and in quarantine: not delivered, unless it was before the damage"
    } else if is_passed {
        "already delivered, unless it was removed from quarantine"
    } else {
        "undelivered"
    };
    format!("{what} {damage}, {meaning}")
}
