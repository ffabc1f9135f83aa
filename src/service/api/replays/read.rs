//! Reads the chosen events, from the dead-letter topic or from the spools, and passes them to the player.

use std::{collections::BTreeSet, sync::Arc};

use super::{Choice, choice::From};
use crate::{
    config::Config,
    deliver::decode::fields::Came,
    service::replay::{
        letters::{self, Letter, Newest, spool_id},
        player::{Item, Player},
    },
    source::SourceName,
    spool::{
        disk::RealDisk,
        position::Position,
        viewer::{Seen, Viewer},
    },
};

/// Records of the topic taken by one read, and deliveries between two checks whether to go on.
const RECORDS_PER_READ: usize = 500;

/// A replay's reading part.
pub(super) struct Read<'a> {
    pub config: &'a Config,
    pub choice: &'a Choice,
    pub player: &'a mut Player,
    /// Gets the number of records or deliveries read since its last call; its error ends the replay.
    pub progress: &'a mut dyn FnMut(&Player, u64) -> Result<(), String>,
}

impl Read<'_> {
    pub fn run(&mut self) -> Result<(), String> {
        match self.choice.from {
            From::DeadLetters => self.letters(),
            From::Spool => self.spools(),
        }
    }

    /// Replays letters. At a chosen position only the newest letter is sent: the others are earlier copies, or of a
    /// spool that is gone. A filter takes each letter.
    fn letters(&mut self) -> Result<(), String> {
        let Self { config, choice, .. } = *self;
        let is_wanted = |letter: &Letter<'_>| {
            choice.wants(&letter.source, letter.position, letter.reason, letter.at.unwrap_or(0))
        };
        let mut newest = Newest::default();
        if choice.positions.is_some() {
            letters::each(config, RECORDS_PER_READ, &mut |records, _| {
                let found = records.iter().filter_map(Letter::of).filter(is_wanted);
                found.for_each(|letter| newest.note(&letter));
                (self.progress)(self.player, records.len() as u64)
            })?;
        }
        letters::each(config, RECORDS_PER_READ, &mut |records, passed| {
            passed.iter().for_each(|passed| self.player.problem(passed.to_string()));
            for letter in records.iter().filter_map(Letter::of).filter(is_wanted) {
                if choice.positions.is_none() || newest.take(&letter) {
                    letter.play(config, self.player)?;
                }
            }
            // With positions, the records were counted on the first reading.
            let read = if choice.positions.is_none() { records.len() as u64 } else { 0 };
            (self.progress)(self.player, read)
        })?;
        self.missing(newest.taken());
        Ok(())
    }

    fn spools(&mut self) -> Result<(), String> {
        let Self { config, choice, .. } = *self;
        let mut found = BTreeSet::new();
        let mut read = 0;
        let all = choice.positions.iter().flatten().map(|(source, ..)| source);
        let sources: BTreeSet<_> = all.chain(&choice.source).cloned().collect();
        for source in &sources {
            let directory = &config.spool.directory;
            let viewer =
                Viewer::open(Arc::new(RealDisk), directory, source).map_err(|it| it.to_string())?;
            let spool = spool_id(directory, source);
            for segment in viewer.segments().map_err(|it| it.to_string())? {
                let Some(mut scan) = viewer.scan(&segment).map_err(|it| it.to_string())? else {
                    continue;
                };
                while let Some(seen) = scan.next().map_err(|it| it.to_string())? {
                    let Seen::Delivery(stored) = seen else { continue };
                    let position = Position::start_of(stored.sequence);
                    let delivery = &stored.delivery;
                    for (from, to) in choice.ranges(source, stored.sequence, delivery.received_at) {
                        found.insert((source.clone(), from.unwrap_or(position)));
                        self.player.play(&Item {
                            source,
                            spool,
                            position,
                            from,
                            to,
                            headers: &delivery.headers,
                            body: &delivery.body,
                            came: Came::FromSender,
                        })?;
                    }
                    read += 1;
                    if read == RECORDS_PER_READ as u64 {
                        (self.progress)(self.player, std::mem::take(&mut read))?;
                    }
                }
                (self.progress)(self.player, std::mem::take(&mut read))?;
            }
        }
        self.missing(&found);
        Ok(())
    }

    /// Reports chosen positions that were not found.
    fn missing(&mut self, found: &BTreeSet<(SourceName, Position)>) {
        for (source, position, is_whole) in self.choice.positions.iter().flatten() {
            let last = Position { index: u32::MAX, ..*position };
            let is_found = match is_whole {
                true => found
                    .range((source.clone(), *position)..=(source.clone(), last))
                    .next()
                    .is_some(),
                false => found.contains(&(source.clone(), *position)),
            };
            if !is_found {
                self.player.failed(source, *position, None, "it was not found".into());
            }
        }
    }
}
