//! `millrace spool export`: prints the stored deliveries as NDJSON.

use std::io::{self, BufWriter, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde::{Serialize, Serializer, de::IgnoredAny, ser::SerializeMap};

use super::{Found, Selection, rfc3339, survey::load_checkpoint, with_causes};
use crate::{
    cli::print,
    spool::{
        StoredDelivery,
        position::Position,
        viewer::{Seen, Segment, Viewer},
    },
};

/// Write stored deliveries to standard output, one JSON object per line
///
/// Writes all deliveries that the segments still contain, delivered or not, source by source, each
/// in order. A JSON body is text in `body`; any other body is in `body_base64`. Bodies are personal
/// data, as they came: no rule of `fields` is applied. Protect the output. Damaged ranges are skipped and listed on standard error, and the exit
/// code is then 1.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub place: Selection,

    /// Begin with this position (`42.7`, or `42` for the whole delivery)
    #[arg(long, value_name = "POSITION")]
    from: Option<Position>,

    /// End before this position: with `43`, delivery 43 is not included
    #[arg(long, value_name = "POSITION")]
    to: Option<Position>,
}

#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    source: &'a str,
    received_at: String,
    #[serde(serialize_with = "as_map")]
    headers: &'a [(String, String)],
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// The reason why an export ended early.
enum Ended {
    /// The reader closed the pipe.
    PipeClosed,
    Write(io::Error),
}

pub(super) fn run(
    options: &Options,
    found: &Found,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> u8 {
    if let (Some(from), Some(to)) = (options.from, options.to)
        && from >= to
    {
        let problem = format!("--from {from} is not before --to {to}: the range is empty\n");
        print(errors, problem);
        return 2;
    }
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    let mut export = Export { options, found, out: &mut out, errors, is_whole: true };
    let ended = found
        .sources
        .iter()
        .try_for_each(|source| match Viewer::open(found.disk.clone(), &found.directory, source) {
            Ok(viewer) => export.spool(&viewer),
            Err(error) => {
                export.complain(with_causes(&error));
                Ok(())
            }
        })
        .and_then(|()| export.out.flush().map_err(Ended::from));
    match ended {
        Ok(()) => u8::from(!export.is_whole),
        Err(Ended::PipeClosed) => 0,
        Err(Ended::Write(error)) => {
            print(export.errors, format_args!("export: writing to standard output: {error}\n"));
            1
        }
    }
}

struct Export<'a> {
    options: &'a Options,
    found: &'a Found,
    out: &'a mut dyn Write,
    errors: &'a mut dyn Write,
    is_whole: bool,
}

impl Export<'_> {
    fn spool(&mut self, viewer: &Viewer) -> Result<(), Ended> {
        let segments = match viewer.segments() {
            Ok(segments) => segments,
            Err(error) => {
                self.complain(with_causes(&error));
                return Ok(());
            }
        };
        self.name_what_is_missing(viewer, &segments);
        segments
            .iter()
            .filter(|segment| self.may_hold(segment))
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|segment| self.segment(viewer, segment))
    }

    /// Reports missing undelivered segments: those before the first one, and the last one. A delivered segment may
    /// have been removed by retention. Without a readable checkpoint nothing is known of the first ones.
    fn name_what_is_missing(&mut self, viewer: &Viewer, segments: &[Segment]) {
        let folder = self.found.directory.join(viewer.source().as_str());
        let Ok(checkpoint) = load_checkpoint(&self.found.disk, &folder, viewer.id()) else {
            return;
        };
        let low = checkpoint.map_or(1, |checkpoint| checkpoint.lowest().sequence);
        let source = viewer.source();
        if let Some(first) = segments.first().map(|first| first.first_sequence)
            && low < first
            && self.concerns(low, first)
        {
            self.complain(format_args!(
                "{source}: the segments before {first:020}.segment are missing: sequences {low}..{first}"
            ));
        }
        if let Ok(Some(missing)) = viewer.missing_end()
            && low < missing.behind
            && self.concerns(
                segments.last().map_or(low, |last| last.first_sequence + 1),
                missing.behind,
            )
        {
            self.complain(format_args!("{source}: {missing}"));
        }
    }

    /// Whether the range asked for includes any of the sequences `first..next`.
    fn concerns(&self, first: u64, next: u64) -> bool {
        self.options.from.is_none_or(|from| next > from.sequence) && !self.is_beyond(first)
    }

    fn segment(&mut self, viewer: &Viewer, segment: &Segment) -> Result<(), Ended> {
        // A segment that was removed meanwhile is delivered, and older than the wanted ones.
        let mut scan = match viewer.scan(segment) {
            Ok(Some(scan)) => scan,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.complain(with_causes(&error));
                return Ok(());
            }
        };
        loop {
            match scan.next() {
                Ok(Some(Seen::Delivery(stored))) => {
                    if self.is_beyond(stored.sequence) {
                        return Ok(());
                    }
                    if self.is_wanted(stored.sequence) {
                        self.line(&stored)?;
                    }
                }
                Ok(Some(Seen::Damage(damage))) => {
                    let lost = damage.first_sequence..damage.next_sequence;
                    if self.concerns(lost.start, lost.end) && !lost.is_empty() {
                        self.complain(format_args!("skipped damaged range: {damage}"));
                    }
                }
                Ok(Some(Seen::Unfinished { .. })) => {}
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.complain(with_causes(&error));
                    return Ok(());
                }
            }
        }
    }

    fn line(&mut self, stored: &StoredDelivery) -> Result<(), Ended> {
        let delivery = &stored.delivery;
        let body = std::str::from_utf8(&delivery.body)
            .ok()
            .filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
        let line = Line {
            sequence: stored.sequence,
            source: delivery.source.as_str(),
            received_at: rfc3339(delivery.received_at),
            headers: &delivery.headers,
            body,
            body_base64: body.is_none().then(|| STANDARD.encode(&delivery.body)),
        };
        serde_json::to_writer(&mut *self.out, &line).map_err(io::Error::from)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    /// Whether `segment` may contain wanted deliveries.
    fn may_hold(&self, segment: &Segment) -> bool {
        let ends_before =
            |from: Position| segment.next_sequence.is_some_and(|next| next <= from.sequence);
        !self.options.from.is_some_and(ends_before) && !self.is_beyond(segment.first_sequence)
    }

    fn is_wanted(&self, sequence: u64) -> bool {
        self.options.from.is_none_or(|from| sequence >= from.sequence) && !self.is_beyond(sequence)
    }

    fn is_beyond(&self, sequence: u64) -> bool {
        self.options.to.is_some_and(|to| Position::start_of(sequence) >= to)
    }

    fn complain(&mut self, problem: impl std::fmt::Display) {
        self.is_whole = false;
        print(self.errors, format_args!("export: {problem}\n"));
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::Write(error),
        }
    }
}

/// Serializes headers as a map. Names are unique: values of one name were joined when they were stored.
fn as_map<S: Serializer>(headers: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(headers.len()))?;
    for (name, value) in headers {
        map.serialize_entry(name, value)?;
    }
    map.end()
}
