//! How many files and sockets the process may have open, against what its configuration may need.
//!
//! Many systems start a process with a soft limit of 1024, and leave it to the process to go up to the
//! hard one. This one does, since `listen.connections` alone is nearly that many. What still doesn't
//! fit is said at the start, with the numbers, and fewer connections are taken: strangers must not hold
//! the files that the spool needs for its next segment and Kafka's client for its brokers.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{config::Config, listen};

/// What a process has in any case: its log, the lock, the runtime's own, the admin listener and its
/// connections, files that are looked at again.
const BASE: u64 = 128;

/// A source's: segments that are read and written (a lane each for at most 64 held topics), the files
/// that are written aside, and the client library's connections to as many brokers.
const A_SOURCE: u64 = 160;

/// What is wrong with the limit: more is needed than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and this configuration may need {needed} ({connections} \
     connections by listen.connections, {sources} sources): raise the hard limit (`ulimit -Hn`; \
     LimitNOFILE= of systemd) to {needed}, or lower listen.connections"
)]
pub struct TooFew {
    pub limit: u64,
    pub needed: u64,
    pub connections: usize,
    pub sources: usize,
}

/// So many connections are taken in any case.
const LEAST: usize = 16;

impl TooFew {
    /// How many connections leave enough files for everything else.
    pub fn connections_that_fit(&self) -> usize {
        let missing = usize::try_from(self.needed - self.limit).unwrap_or(usize::MAX);
        self.connections.saturating_sub(missing).max(LEAST.min(self.connections))
    }
}

/// Raises the soft limit to the hard one and holds it against what `config` may need.
pub fn raise(config: &Config) -> Result<(), TooFew> {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, ..before };
    if before.current != before.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    // Without a limit there is none to be short of.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    fits(limit, config.listen.connections, config.sources.len())
}

fn fits(limit: u64, connections: usize, sources: usize) -> Result<(), TooFew> {
    let sockets = listen::sockets(connections) as u64;
    let needed = sockets.saturating_add(A_SOURCE * sources as u64).saturating_add(BASE);
    if limit < needed { Err(TooFew { limit, needed, connections, sources }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_with_its_numbers() {
        assert_eq!(fits(4096, 1000, 3), Ok(()));
        let too_few = fits(1024, 1000, 3).unwrap_err();
        assert_eq!((too_few.limit, too_few.connections, too_few.sources), (1024, 1000, 3));
        let fitting = too_few.connections_that_fit();
        assert!(
            fitting > LEAST
                && fits(1024, fitting, 3).is_ok()
                && fits(1024, fitting + 1, 3).is_err()
        );
        assert_eq!(fits(64, 1000, 3).unwrap_err().connections_that_fit(), LEAST);
        assert!(too_few.needed > 1000 && fits(too_few.needed, 1000, 3).is_ok());
        let told = too_few.to_string();
        for word in ["1024", "listen.connections", "LimitNOFILE", &too_few.needed.to_string()] {
            assert!(told.contains(word), "{word} in {told}");
        }
    }

    #[test]
    fn numbers_beyond_all_sense_are_no_overflow() {
        assert!(fits(u64::MAX - 1, usize::MAX, 1).is_err());
    }
}
