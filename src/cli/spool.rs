//! `millrace spool`: reads the spool folder, of a running service too, and writes nothing there.

mod export;
mod inspect;
mod survey;
mod verify;

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};

pub(super) use self::survey::{Survey, survey};
use super::{ConfigFile, Context, Exit, print, with_causes};
use crate::{
    config::Questions,
    source::SourceName,
    spool::{
        disk::{Disk, RealDisk},
        viewer,
    },
};

/// Inspect the spool folder, while the service runs or is stopped
///
/// These commands take no lock and write nothing to the folder. They need to be allowed to read it:
/// its files belong to the user whom the service runs as.
#[derive(Args)]
pub(super) struct Options {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    Inspect(inspect::Options),
    Verify(verify::Options),
    Export(export::Options),
}

/// Options that name the spool folder and the sources in it.
#[derive(Args)]
struct Selection {
    #[command(flatten)]
    file: ConfigFile,

    /// The spool folder (`spool.directory`); no configuration is needed then
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    directory: Option<PathBuf>,

    /// Only this source; may be repeated. Default: all sources that have a spool there
    #[arg(long = "source", value_name = "NAME", value_parser = source_name)]
    sources: Vec<SourceName>,
}

pub(super) fn source_name(text: &str) -> Result<SourceName, String> {
    let rule = "a source's name is a letter, then letters, digits and -, all lower case";
    SourceName::new(text).ok_or_else(|| rule.into())
}

/// A spool folder and the sources to look at.
struct Found {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    sources: Vec<SourceName>,
}

pub(super) fn run(options: Options, context: &mut Context<'_>) -> Exit {
    let place = match &options.tool {
        Tool::Inspect(options) => &options.place,
        Tool::Verify(options) => &options.place,
        Tool::Export(options) => &options.place,
    };
    let found = find(place, context).map_err(|(code, problem)| {
        print(context.errors, format_args!("{}\n", problem.trim_end()));
        code
    })?;
    Ok(match options.tool {
        Tool::Inspect(options) => inspect::run(&options, &found, context.out),
        Tool::Verify(_) => verify::run(&found, context.out),
        Tool::Export(options) => export::run(&options, &found, context.out, context.errors),
    })
}

/// Finds the spool folder; an error is the exit code and its message.
fn find(place: &Selection, context: &Context<'_>) -> Result<Found, (u8, String)> {
    let directory = match &place.directory {
        Some(directory) => directory.clone(),
        None => {
            let loaded = context.read(&place.file, &Questions::NONE, &|_| Vec::new());
            let hint = "Or name the spool folder itself: --directory FOLDER.";
            let loaded = loaded.map_err(|mistakes| (2, format!("{mistakes}\n{hint}")))?;
            loaded.config.spool.directory
        }
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let shown = directory.display();
    let there = viewer::known_sources(&*disk, &directory).map_err(|error| {
        let cause = with_causes(&error);
        let remedy = "name the folder of the service's `spool.directory` with --directory";
        (1, format!("no readable spool in {shown} ({cause}): {remedy}"))
    })?;
    if let Some(missing) = place.sources.iter().find(|source| !there.contains(source)) {
        let names: Vec<_> = there.iter().map(SourceName::as_str).collect();
        let names = if names.is_empty() { "none".into() } else { names.join(", ") };
        let problem = format!("source `{missing}` has no spool in {shown}; spools found: {names}");
        return Err((1, problem));
    }
    let mut sources = there;
    if !place.sources.is_empty() {
        sources.retain(|source| place.sources.contains(source));
    }
    Ok(Found { disk, directory, sources })
}

/// Formats a time by RFC 3339, in UTC, with milliseconds.
fn rfc3339(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    // A time beyond the calendar comes from a broken clock.
    time.map_or_else(|| format!("{millis} ms after 1970"), |time| format!("{time:.3}"))
}
