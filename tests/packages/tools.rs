//! How a program is run here, and where the set-up scripts have put what they brought.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a program printed, and whether it was content.
#[derive(Debug)]
pub struct Ended {
    pub fine: bool,
    pub out: String,
    pub errors: String,
}

impl Ended {
    /// What it printed, of a program that has to be content.
    #[track_caller]
    pub fn expect_fine(self, what: &str) -> String {
        assert!(self.fine, "{what}:\n{}\n{}", self.out, self.errors);
        self.out
    }
}

#[track_caller]
pub fn run<S: AsRef<OsStr>>(mut command: Command, arguments: impl IntoIterator<Item = S>) -> Ended {
    command.args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { fine: output.status.success(), out: text(&output.stdout), errors: text(&output.stderr) }
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[track_caller]
pub fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a set-up script has printed for `tests/run`.
#[track_caller]
pub fn brought(variable: &str) -> PathBuf {
    let Some(place) = env::var_os(variable) else {
        panic!(
            "these tests need programs and a Debian: run them with `tests/run packages`, which brings \
             them and sets {variable}"
        );
    };
    place.into()
}
