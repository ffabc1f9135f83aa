//! From the dead-letter topic.

use std::time::Duration;

use super::Replay;
use crate::{
    cli::text,
    config::Config,
    kafka::{ReadRecord, Reader, Select},
    service::replay::letters::Letter,
    source::SourceName,
};

/// Records taken at once, and how long the first is waited for.
const MOST: usize = 500;
const WAIT: Duration = Duration::from_millis(250);

pub(super) fn replay(
    sources: &[SourceName],
    reasons: &[String],
    config: &Config,
    replay: &mut Replay,
) -> Result<(), String> {
    let topic = config.topics.dead_letter.clone();
    let mut reader = Reader::open(&config.kafka, Select::Topics(vec![topic]))
        .map_err(|error| error.to_string())?;
    let mut read = 0;
    loop {
        let records = reader.read(MOST, WAIT).map_err(|error| error.to_string())?;
        if records.is_empty() && reader.is_at_end().map_err(|error| error.to_string())? {
            return Ok(());
        }
        for record in &records {
            letter(record, sources, reasons, config, replay)?;
        }
        read += records.len() as u64;
        replay.bar.show(0, 1, || text::counted(read, "dead letter read", "dead letters read"));
    }
}

fn letter(
    record: &ReadRecord,
    sources: &[SourceName],
    reasons: &[String],
    config: &Config,
    replay: &mut Replay,
) -> Result<(), String> {
    let Some(letter) = Letter::of(record) else {
        let place = format!("partition {} offset {}", record.partition, record.offset);
        replay.player.problem(format!("{place}: not a dead letter of millrace"));
        return Ok(());
    };
    let wanted = (sources.is_empty() || sources.contains(&letter.source))
        && (reasons.is_empty() || reasons.iter().any(|wanted| wanted == letter.reason));
    if !wanted {
        return Ok(());
    }
    letter.play(config, &mut replay.player)
}
