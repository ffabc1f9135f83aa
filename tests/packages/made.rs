//! The packages of this build, made once for all tests by the release's own script: an older version and this one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::tools::{repository, run};

/// Older than any that was released.
pub const OLDER: &str = "0.0.1";

/// A folder for each version, with a .deb, an .rpm and an archive in it.
pub struct Made {
    folder: TempDir,
}

pub fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = Made { folder: tempfile::tempdir().expect("a temporary folder can be made") };
        for version in [OLDER, env!("CARGO_PKG_VERSION")] {
            make(version, &made.folder.path().join(version));
        }
        made
    })
}

/// Both the same, but for the version. One at a time: they are laid out in the same place.
#[track_caller]
pub fn make(version: &str, folder: &Path) {
    let mut script = Command::new(repository(".ci/release/packages"));
    script.env("PACKAGE_VERSION", version).env("PACKAGE_COMPRESSION", "fast");
    // That of the test's own build is no business of theirs.
    script.env_remove("CARGO_MANIFEST_DIR");
    run(script, [Path::new(env!("CARGO_BIN_EXE_millrace")), folder]).expect_fine("the packages");
}

impl Made {
    /// The one file with this ending.
    #[track_caller]
    pub fn file(&self, version: &str, ending: &str) -> PathBuf {
        let entries = fs::read_dir(self.folder.path().join(version)).expect("it is made");
        let paths = entries.map(|entry| entry.expect("it can be listed").path());
        let mut found: Vec<_> =
            paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
        assert_eq!(found.len(), 1, "files of {version} that end with {ending}: {found:?}");
        found.remove(0)
    }
}
