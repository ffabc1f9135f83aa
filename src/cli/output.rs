//! Standard output of a command. A disk that is full in the middle of a file must not pass for success; a reader
//! that closes the pipe early (`| head`) is no error.

use std::io::{self, Write};

/// Passes writes on, and remembers the first failure that loses output.
pub(super) struct Output<'a> {
    to: &'a mut dyn Write,
    failure: Option<io::Error>,
}

impl<'a> Output<'a> {
    pub fn new(to: &'a mut dyn Write) -> Self {
        Self { to, failure: None }
    }

    /// Returns the failure because of which the output is not complete.
    pub fn failure(self) -> Option<io::Error> {
        self.failure
    }

    fn noted<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| {
            let kind = error.kind();
            if self.failure.is_none()
                && !matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted)
            {
                self.failure = Some(error);
            }
            kind.into()
        })
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.to.write(bytes);
        self.noted(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.to.flush();
        self.noted(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn failure_of(kind: io::ErrorKind) -> Option<io::ErrorKind> {
        let mut broken = Broken(kind);
        let mut output = Output::new(&mut broken);
        assert!(output.write_all(b"text").is_err());
        output.failure().map(|error| error.kind())
    }

    #[test]
    fn a_full_disk_is_a_failure_and_a_closed_pipe_is_none() {
        assert_eq!(failure_of(io::ErrorKind::StorageFull), Some(io::ErrorKind::StorageFull));
        assert_eq!(failure_of(io::ErrorKind::BrokenPipe), None);
    }
}
