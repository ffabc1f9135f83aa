//! Reads the journal page by page, and delivers each page to the service before it asks for the next one.

use std::time::{Duration, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    foreign::Foreign,
    intake::{Intake, IntakeError},
    state::{StateError, StateFile},
};
use crate::{
    cli::journal::{Element, Journal, JournalError, Page, Start},
    runtime::{readable, retry::Retry, shutdown::Signals},
};

/// Largest batch that Adobe sends, in events and roughly in bytes.
const BATCH_EVENTS: usize = 100;
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// Time between questions at the journal's end, when the journal names none.
const END_PAUSE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub(super) struct Follow {
    journal: Journal,
    intake: Intake,
    state: Option<StateFile>,
    /// Whether to wait for new events at the journal's end.
    waits: bool,
    foreign: Foreign,
    read: u64,
    delivered: u64,
    gap: bool,
}

pub(super) enum Ended {
    CaughtUp,
    /// By a signal; all events up to the saved position are delivered.
    Stopped,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("cannot install signal handlers: {0}")]
    Signals(std::io::Error),
}

impl Follow {
    pub fn new(
        journal: Journal,
        intake: Intake,
        state: Option<StateFile>,
        foreign: Foreign,
        waits: bool,
    ) -> Self {
        Self { journal, intake, state, waits, foreign, read: 0, delivered: 0, gap: false }
    }

    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Events that were not delivered, because they are for other recipients.
    pub fn foreign(&self) -> &Foreign {
        &self.foreign
    }

    /// Whether the journal had lost the events after the position where this began.
    pub fn met_a_gap(&self) -> bool {
        self.gap
    }

    /// Runs until the journal's end or a signal. `progress` gets the numbers of events read and of events
    /// delivered.
    pub async fn run(
        &mut self,
        start: Start,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Ended, FollowError> {
        let mut signals = Signals::install().map_err(FollowError::Signals)?;
        tokio::select! {
            ended = self.follow(start, progress) => ended.map(|()| Ended::CaughtUp),
            _signal = signals.next() => Ok(Ended::Stopped),
        }
    }

    async fn follow(
        &mut self,
        start: Start,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), FollowError> {
        let mut url = self.journal.begin(&start);
        let mut pauses = Retry::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            match self.journal.read(&url, SystemTime::now()).await {
                Ok(Page::Events { elements, next }) => {
                    pauses.reset();
                    self.deliver(&elements, progress).await?;
                    let last = elements.last().map(|element| element.position.clone());
                    url = match (next, last) {
                        (Some(next), _) => next,
                        (None, Some(last)) => self.journal.begin(&Start::After(last)),
                        (None, None) => return Ok(()),
                    };
                }
                Ok(Page::Nothing { .. }) if !self.waits => return Ok(()),
                Ok(Page::Nothing { after, next }) => {
                    url = next.unwrap_or(url);
                    tokio::time::sleep(after.unwrap_or(END_PAUSE)).await;
                }
                Ok(Page::Gone) if self.gap => return Ok(()),
                Ok(Page::Gone) => {
                    self.gap = true;
                    tracing::error!(
                        "events after the starting position are older than the journal keeps: continuing \
                         with the oldest that it has",
                    );
                    url = self.journal.begin(&Start::Oldest);
                }
                Err(JournalError::Passing { what, after }) => {
                    let pause = after.unwrap_or_else(|| pauses.next_delay());
                    tracing::warn!(
                        what,
                        again_in_seconds = pause.as_secs_f64(),
                        "reading the journal failed; trying again in {}",
                        readable::length(pause)
                    );
                    tokio::time::sleep(pause).await;
                }
                Err(final_error) => return Err(final_error.into()),
            }
        }
    }

    async fn deliver(
        &mut self,
        elements: &[Element],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), FollowError> {
        self.read += elements.len() as u64;
        for batch in batches(elements) {
            progress(self.read, self.delivered);
            let ours: Vec<_> =
                batch.iter().filter(|element| self.foreign.passes(element)).collect();
            if !ours.is_empty() {
                self.intake.deliver(array(&ours)).await?;
                self.delivered += ours.len() as u64;
            }
            if let (Some(state), Some(last)) = (&self.state, batch.last()) {
                state.save(&last.position)?;
            }
        }
        progress(self.read, self.delivered);
        Ok(())
    }
}

/// Splits elements into batches within the limits; an element that alone exceeds them is a batch of its own.
fn batches(elements: &[Element]) -> impl Iterator<Item = &[Element]> {
    let mut rest = elements;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take(BATCH_EVENTS).take_while(|element| {
            bytes += element.bytes.len() + 1;
            bytes <= BATCH_BYTES
        });
        let count = fitting.count().max(1).min(rest.len());
        let (batch, others) = rest.split_at(count);
        rest = others;
        (!batch.is_empty()).then_some(batch)
    })
}

fn array(elements: &[&Element]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(b'[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            body.put_u8(b',');
        }
        body.put_slice(&element.bytes);
    }
    body.put_u8(b']');
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(sizes: impl IntoIterator<Item = usize>) -> Vec<Element> {
        let element = |size| Element { position: String::new(), bytes: vec![b'1'; size].into() };
        sizes.into_iter().map(element).collect()
    }

    fn sizes(elements: &[Element]) -> Vec<usize> {
        batches(elements).map(<[Element]>::len).collect()
    }

    #[test]
    fn a_batch_has_what_fits_and_at_least_one_element() {
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&elements([1; 250])), [100, 100, 50]);
        assert_eq!(sizes(&elements([BATCH_BYTES + 1, 10, BATCH_BYTES + 1])), [1, 1, 1]);
        assert_eq!(sizes(&elements([BATCH_BYTES / 2, BATCH_BYTES / 2 - 2, 1])), [2, 1]);
    }

    #[test]
    fn a_batch_is_an_array_of_what_came() {
        let array = |sizes: &[usize]| {
            let elements = elements(sizes.iter().copied());
            array(&elements.iter().collect::<Vec<_>>())
        };
        assert_eq!(array(&[1]), "[1]");
        assert_eq!(array(&[1, 2, 1]), "[1,11,1]");
    }
}
