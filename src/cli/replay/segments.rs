//! Replays events from the segments that a spool still has.

use std::{sync::Arc, time::Duration};

use clap::Args;

use super::{Common, Replay};
use crate::{
    cli::{spool::source_name, text, when, with_causes},
    config::Config,
    deliver::decode::fields::Came,
    service::replay::player::Item,
    source::{SourceName, UnixMillis},
    spool::{
        StoredDelivery,
        disk::{Disk, RealDisk},
        position::Position,
        viewer::{Seen, Segment, Viewer},
    },
};

/// Deliveries that a spool still contains (spool.keep_delivered), delivered or not
///
/// Undelivered ones among them reach their topics anyway: end with --to or --until before them, as
/// `millrace spool inspect` shows, if they should not come twice.
#[derive(Args)]
pub(super) struct Options {
    /// The source, as in `sources.<name>`
    #[arg(value_name = "SOURCE", value_parser = source_name)]
    source: SourceName,

    /// Begin with this position (`42.7`, or `42` for the whole delivery)
    #[arg(long, value_name = "POSITION")]
    from: Option<Position>,

    /// End before this position
    #[arg(long, value_name = "POSITION")]
    to: Option<Position>,

    /// Deliveries that came at this time or later: RFC 3339, or how long ago (`2h`)
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<UnixMillis>,

    /// Deliveries that came before this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<UnixMillis>,

    #[command(flatten)]
    pub(super) common: Common,
}

impl Options {
    fn wants(&self, sequence: u64, received_at: UnixMillis) -> bool {
        self.from.is_none_or(|from| sequence >= from.sequence)
            && !self.is_beyond(sequence)
            && self.since.is_none_or(|since| received_at >= since)
            && self.until.is_none_or(|until| received_at < until)
    }

    fn is_beyond(&self, sequence: u64) -> bool {
        self.to.is_some_and(|to| Position::start_of(sequence) >= to)
    }

    fn may_hold(&self, segment: &Segment) -> bool {
        // A file is written last after its last delivery came; an hour allows for a clock that was set.
        const CLOCK_TOLERANCE: u64 = Duration::from_secs(3600).as_millis() as u64;
        let ends_before =
            |from: Position| segment.next_sequence.is_some_and(|next| next <= from.sequence);
        !self.from.is_some_and(ends_before)
            && !self.is_beyond(segment.first_sequence)
            && self
                .since
                .is_none_or(|since| segment.written_at.saturating_add(CLOCK_TOLERANCE) >= since)
    }
}

pub(super) fn replay(
    options: &Options,
    config: &Config,
    replay: &mut Replay,
) -> Result<(), String> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let viewer = Viewer::open(disk, &config.spool.directory, &options.source)
        .map_err(|error| with_causes(&error))?;
    let segments = viewer.segments().map_err(|error| with_causes(&error))?;
    let segments: Vec<_> = segments.iter().filter(|s| options.may_hold(s)).collect();
    let total: u64 = segments.iter().map(|segment| segment.length).sum();
    let mut done = 0;
    for segment in segments {
        read(options, &viewer, segment, done, total, replay)?;
        done += segment.length;
    }
    Ok(())
}

fn read(
    options: &Options,
    viewer: &Viewer,
    segment: &Segment,
    before: u64,
    total: u64,
    replay: &mut Replay,
) -> Result<(), String> {
    let spool = viewer.id().unwrap_or_default();
    let Some(mut scan) = viewer.scan(segment).map_err(|error| with_causes(&error))? else {
        let first = segment.first_sequence;
        replay
            .player
            .problem(format!("the segment that starts at {first} was removed in the meantime"));
        return Ok(());
    };
    loop {
        match scan.next().map_err(|error| with_causes(&error))? {
            Some(Seen::Delivery(stored)) => {
                if options.is_beyond(stored.sequence) {
                    return Ok(());
                }
                if options.wants(stored.sequence, stored.delivery.received_at) {
                    play(&stored, spool, options, replay)?;
                }
            }
            Some(Seen::Damage(damage)) => {
                replay.player.problem(format!("skipped damaged range: {damage}"))
            }
            Some(Seen::Unfinished { .. }) => {}
            None => return Ok(()),
        }
        let done = before + scan.offset();
        replay.bar.show(done, total, || format!("{} read", text::bytes(done)));
    }
}

fn play(
    stored: &StoredDelivery,
    spool: uuid::Uuid,
    options: &Options,
    replay: &mut Replay,
) -> Result<(), String> {
    replay.player.play(&Item {
        source: &stored.delivery.source,
        spool,
        position: Position::start_of(stored.sequence),
        from: options.from,
        to: options.to,
        headers: &stored.delivery.headers,
        body: &stored.delivery.body,
        came: Came::FromSender,
    })
}
