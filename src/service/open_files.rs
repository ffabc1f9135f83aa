//! Compares the limit of open files with the number that the configuration may need.
//!
//! Many systems start a process with a soft limit of 1024, and leave it to the process to raise it to the
//! hard one, which this one does. Where `listen.connections` does not fit beside the files that all other parts
//! need (segments, Kafka, fetches, health), fewer connections are admitted: any client can open
//! connections, and they must never get the last file. The start and `check` report it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{config::Config, ingest::listen};

/// Files that a process needs in any case: its log, the lock, the runtime's own, the admin listener and its
/// connections, files that are compared for changes.
const BASE_FILES: u64 = 128;

/// Files that a source needs: segments that are read and written (a lane each for at most 64 held topics), files
/// that are written aside, and the client library's connections to as many brokers.
const FILES_PER_SOURCE: u64 = 160;

/// Connections that are admitted in any case, however low the limit is.
const MIN_CONNECTIONS: usize = 16;

/// The limit is too low for the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and this configuration may need {needed} ({connections} \
     connections by listen.connections, {sources} sources): only {admitted} connections are admitted at \
     once, so that files are left for everything else; raise the hard limit (`ulimit -Hn`; LimitNOFILE= \
     of systemd) to {needed}, or lower listen.connections"
)]
pub struct TooFew {
    pub limit: u64,
    pub needed: u64,
    pub connections: usize,
    pub sources: usize,
    /// Connections that fit.
    pub admitted: usize,
}

/// Raises the soft limit to the hard one, and lowers `listen.connections` of `config` to what fits into
/// that.
pub fn raise(config: &mut Config) -> Result<(), TooFew> {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, ..before };
    if before.current != before.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "cannot raise the open-file limit");
    }
    // `None` is no limit.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let fitting = fits(limit, config.listen.connections, config.sources.len());
    if let Err(too_few) = fitting {
        config.listen.connections = too_few.admitted;
    }
    fitting
}

/// Checks the limit for a process that would be started as this one was; changes nothing.
pub fn check(config: &Config) -> Result<(), TooFew> {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    fits(limit, config.listen.connections, config.sources.len())
}

fn fits(limit: u64, connections: usize, sources: usize) -> Result<(), TooFew> {
    let reserve = BASE_FILES + FILES_PER_SOURCE * sources as u64;
    let needed = (listen::sockets(connections) as u64).saturating_add(reserve);
    if needed <= limit {
        return Ok(());
    }
    let left = usize::try_from(limit.saturating_sub(reserve)).unwrap_or(usize::MAX);
    let admitted = listen::connections(left).max(MIN_CONNECTIONS).min(connections);
    Err(TooFew { limit, needed, connections, sources, admitted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_does_not_fit_is_reported_with_its_numbers() {
        assert_eq!(fits(4096, 1000, 3), Ok(()));
        let too_few = fits(1024, 1000, 3).unwrap_err();
        assert_eq!((too_few.limit, too_few.connections, too_few.sources), (1024, 1000, 3));
        assert!(too_few.needed > 1000 && fits(too_few.needed, 1000, 3).is_ok());
        assert!(fits(1024, too_few.admitted, 3).is_ok(), "{too_few}");
        let text = too_few.to_string();
        let numbers = [too_few.needed.to_string(), format!("only {}", too_few.admitted)];
        for word in ["1024", "listen.connections", "LimitNOFILE", &numbers[0], &numbers[1]] {
            assert!(text.contains(word), "{word} in {text}");
        }
    }

    #[test]
    fn whatever_the_limit_is_connections_leave_the_files_that_everything_else_needs() {
        for limit in [512, 1024, 1500, 4096, 65536] {
            let Err(TooFew { admitted, .. }) = fits(limit, 100_000, 2) else { panic!("{limit}") };
            let taken = listen::sockets(admitted) as u64 + 2 * FILES_PER_SOURCE + BASE_FILES;
            assert!(taken <= limit && taken > limit - 8, "{admitted} of {limit}");
        }
        let Err(TooFew { admitted, .. }) = fits(64, 1000, 2) else { panic!() };
        assert_eq!(admitted, MIN_CONNECTIONS);
    }

    #[test]
    fn numbers_beyond_all_sense_are_no_overflow() {
        assert!(fits(u64::MAX - 1, usize::MAX, 1).is_err());
    }
}
