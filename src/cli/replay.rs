//! `millrace replay`: sends stored events to their topics once more.
//!
//! Three places keep events: the segments of a spool (`spool.keep_delivered`), the dead-letter topic
//! and the quarantine. From each of them, an event is decoded and routed by the current configuration,
//! so a corrected one brings events to the right topics; and it keeps its `ce_id`, so that a consumer
//! recognises it. Deduplication is skipped: a repeat is the purpose of a replay.
//!
//! A delivery of an Adobe I/O source has to pass the test of its recipients again, from whichever place it
//! comes: it may be older than the test, or written by another program. A refused delivery stays where it is,
//! is counted, and is reported with the reason.
//!
//! Nothing is removed from its place, and no lock is needed: the service may be running. Replayed events are
//! appended to their topics.

mod filter;
pub(super) mod letters;
mod quarantine;
mod report;
mod segments;
#[cfg(test)]
mod tests;

use clap::{Args, Subcommand, builder::PossibleValuesParser};

use self::{
    filter::Filter,
    letters::{Selection, Which},
};
use super::{ConfigFile, Context, Exit, print, progress::Bar, spool::source_name, text};
use crate::{
    config::Config,
    deliver::dead_letter::REASONS,
    service::replay::{
        player::{Player, Source},
        sender::Sender,
    },
    source::SourceName,
};

/// Send stored events to their topics again
///
/// Events are decoded and routed by the current configuration, and keep their ce_id. Begin with
/// --dry-run: it shows how many events would go to which topic, and sends nothing. The service may
/// keep running; replayed events are appended to their topics.
///
/// Exit codes: 0 all selected events were sent; 1 some were not, and are listed; 2 the command line
/// or the configuration is wrong.
#[derive(Args)]
pub(super) struct Options {
    #[command(subcommand)]
    from: From,
}

#[derive(Subcommand)]
enum From {
    Segments(segments::Options),
    DeadLetters(DeadLetters),
    Quarantine(Quarantine),
}

/// Options of a replay from any of the places.
#[derive(Args)]
pub(super) struct Common {
    #[command(flatten)]
    file: ConfigFile,

    #[command(flatten)]
    filter: Filter,

    /// Say how many events would go where, and send nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl Common {
    /// Whether the options select some events and not others.
    pub(super) fn chooses(&self) -> bool {
        !self.filter.is_empty()
    }
}

/// Dead letters on their topic, from its beginning to its current end
///
/// Dead letters stay on the topic. One that is still refused is named and not sent anywhere. `millrace dead-letters`
/// lists and shows them, and replays them by position.
#[derive(Args)]
struct DeadLetters {
    #[command(flatten)]
    filter: Which,

    #[command(flatten)]
    common: Common,
}

/// Items in the quarantine of a source
///
/// Items stay there: remove them yourself once they are where they belong. Damaged ranges of the
/// spool are passed over, since their contents are not known.
#[derive(Args)]
struct Quarantine {
    /// The source, as in `sources.<name>`
    #[arg(value_name = "SOURCE", value_parser = source_name)]
    source: SourceName,

    /// Only items that were refused for this reason; may be given several times
    #[arg(long = "reason", value_name = "WORD", hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(REASONS))]
    reasons: Vec<String>,

    #[command(flatten)]
    common: Common,
}

pub(super) fn run(options: Options, context: &mut Context<'_>) -> Exit {
    match options.from {
        From::Segments(options) => {
            let read = |config: &_, replay: &mut _| segments::replay(&options, config, replay);
            replay(&options.common, context, &read)
        }
        From::DeadLetters(DeadLetters { filter, common }) => {
            replay_letters(&filter.selection(Vec::new()), &common, context)
        }
        From::Quarantine(Quarantine { source, reasons, common }) => {
            let read =
                |config: &_, replay: &mut _| quarantine::replay(&source, &reasons, config, replay);
            replay(&common, context, &read)
        }
    }
}

/// Replays dead letters; also for `millrace dead-letters replay`.
pub(super) fn replay_letters(
    selection: &Selection,
    common: &Common,
    context: &mut Context<'_>,
) -> Exit {
    replay(common, context, &|config, replay| letters::replay(selection, config, replay))
}

/// Replays the events that `read` brings.
fn replay(
    common: &Common,
    context: &mut Context<'_>,
    read: &dyn Fn(&Config, &mut Replay) -> Result<(), String>,
) -> Exit {
    let config = context.load(&common.file)?;
    let bar = Bar::new();
    context.start_log(&config.log, Some(&bar))?;
    let replay = Replay::new(&config, common, bar);
    let mut replay = replay.map_err(|problem| context.end("replay", problem, 1))?;
    let read = read(&config, &mut replay);
    Ok(replay.finish(read, common.dry_run, context))
}

/// A replay under way.
struct Replay {
    player: Player,
    bar: Bar,
}

impl Replay {
    fn new(config: &Config, common: &Common, bar: Bar) -> Result<Self, String> {
        let sources = config
            .sources
            .iter()
            .map(|source| Source::new(config, source))
            .collect::<Result<_, _>>()?;
        let sender = match common.dry_run {
            true => None,
            false => Some(Sender::new(config)?),
        };
        let filter = common.filter.clone();
        let filter = Box::new(move |event: &crate::event::Event<'_>| filter.takes(event));
        Ok(Self { player: Player::new(config, sources, filter, sender)?, bar })
    }

    /// Waits for the events on their way, and reports the results.
    fn finish(mut self, read: Result<(), String>, dry_run: bool, context: &mut Context<'_>) -> u8 {
        let waited = self.player.settle(&mut |left| {
            self.bar.show(0, 1, || format!("{} on their way", text::count(left as u64)));
        });
        self.bar.clear();
        let totals = self.player.totals();
        print(context.out, report::table(totals, dry_run));
        for problem in report::problems(totals) {
            context.end("replay", problem, 1);
        }
        let mut code = u8::from(!totals.is_whole());
        for problem in [read.err(), waited.err()].into_iter().flatten() {
            code = context.end("replay", problem, 1);
        }
        code
    }
}
