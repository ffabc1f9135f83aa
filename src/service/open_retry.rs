//! Retries the opening of a spool that the disk cannot read.

use std::time::Duration;

use crate::{runtime::retry::Retry, source::SourceName, spool::OpenError};

/// Pauses between two tries; ten of them take half a minute.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Retries for as long as that may help: a path to a disk comes back. The spool itself decides
/// when to give up on a bad sector.
pub(super) fn open_with_retries<T>(
    source: &SourceName,
    mut open: impl FnMut() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let mut pauses = Retry::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        match open() {
            Err(error) if error.is_worth_retrying() => {
                tracing::error!(%source, %error, "the spool could not be opened; retrying");
                pauses.wait(&|| false);
            }
            ended => return ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use super::*;

    /// Opens with these results; returns the outcome, and how many results are left.
    fn opened(tries: Vec<Result<u32, OpenError>>) -> (Result<u32, OpenError>, usize) {
        let mut tries = tries.into_iter();
        let source = SourceName::new("leads").unwrap();
        let ended = open_with_retries(&source, || tries.next().unwrap());
        (ended, tries.len())
    }

    fn unreadable() -> OpenError {
        let error = io::Error::from_raw_os_error(5);
        OpenError::Unreadable { path: PathBuf::new(), offset: 0, error }
    }

    #[test]
    fn what_the_disk_can_not_read_for_a_moment_is_tried_again() {
        let (ended, left) = opened(vec![Err(unreadable()), Ok(7)]);
        assert_eq!((ended.unwrap(), left), (7, 0));
    }

    #[test]
    fn an_error_that_needs_an_operator_ends_it() {
        let bad = OpenError::BadDisk { path: PathBuf::new(), offset: 0 };
        let (ended, left) = opened(vec![Err(bad), Ok(7)]);
        assert!(matches!(ended, Err(OpenError::BadDisk { .. })) && left == 1);
    }
}
