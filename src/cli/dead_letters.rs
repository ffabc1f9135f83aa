//! `millrace dead-letters`: looks at the dead-letter topic, letter by letter, and sends events from it once more.
//!
//! The topic is read from its beginning to its current end, by partition; nothing is removed from it. Memory is
//! bounded: it holds the letters to be listed, or the one to be shown. The error text of a letter comes from its
//! headers.

mod list;
mod show;

use clap::{Args, Subcommand};

use super::{
    ConfigFile, Context, Exit,
    replay::{
        self,
        letters::{Chosen, Which},
    },
};

/// List dead letters, show one, or send their events to their topics again
///
/// A dead letter is an event that could not go to its topic, on the topic `topics.dead_letter`. `list` says why, `show`
/// prints one with its original bytes, and `replay` decodes and routes it by the current configuration. Dead letters
/// stay on the topic.
#[derive(Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::Options),
    Show(show::Options),
    Replay(Replay),
}

/// Send the events of dead letters to their topics again
///
/// Name positions, as `list` shows them, or a filter (--reason, --type, --stream, --since, --source), or --all. Begin
/// with --dry-run, which needs none of them: it says what would go where, and sends nothing. A letter that is still refused is named with the reason, and is not sent anywhere.
///
/// Exit codes: 0 all selected events were sent; 1 some were not, and are listed; 2 the command line or the
/// configuration is wrong.
#[derive(Args)]
struct Replay {
    /// These letters alone: `42.7`, `42` for all of that delivery, `leads/42.7` where sources share a position
    #[arg(value_name = "POSITION")]
    positions: Vec<Chosen>,

    #[command(flatten)]
    filter: Which,

    /// Every dead letter that is on the topic
    #[arg(long, conflicts_with_all = ["positions", "sources", "reasons", "since", "streams", "types"])]
    all: bool,

    #[command(flatten)]
    common: replay::Common,
}

pub(super) fn run(options: Options, context: &mut Context<'_>) -> Exit {
    match options.command {
        Command::List(options) => list::run(&options, context),
        Command::Show(options) => show::run(&options, context),
        Command::Replay(Replay { positions, filter, all, common }) => {
            let chooses = !positions.is_empty() || !filter.is_empty() || common.chooses();
            // A dry run changes nothing, so it may cover all letters without being asked to.
            if !chooses && !all && !common.dry_run {
                let problem = "name positions (`millrace dead-letters list` shows them), a filter \
                               (--reason, --type, --stream, --since, --source), or --all; --dry-run alone \
                               says what all of them would do";
                return Err(context.end("dead-letters replay", problem, 2));
            }
            replay::replay_letters(&filter.selection(positions), &common, context)
        }
    }
}

/// Options of the two commands that only read.
#[derive(Args)]
struct Look {
    #[command(flatten)]
    file: ConfigFile,

    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}
