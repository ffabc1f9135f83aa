//! A small Debian of this machine's release below a folder of its own, and programs that run in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    support::process,
    tools::{Ended, brought, repository, run},
};

pub struct Root {
    folder: TempDir,
}

impl Root {
    #[track_caller]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (archive, place) = (brought("TEST_DEBIAN"), folder.path());
        let arguments = ["--extract".as_ref(), "--file".as_ref(), archive.as_os_str()];
        let mut tar = Command::new("tar");
        tar.arg("--numeric-owner").arg("--directory").arg(place);
        run(tar, arguments).expect_fine("the archive of a Debian (as root)");
        Self { folder }
    }

    /// A path in it, as it is seen from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Puts a package where it can be installed; returns the path in it.
    #[track_caller]
    pub fn take_in(&self, package: &Path) -> String {
        let name = package.file_name().expect("it is a file").to_string_lossy();
        fs::copy(package, self.path(&format!("root/{name}"))).expect("it can be copied");
        format!("/root/{name}")
    }

    /// What runs `program` in it, and ends with this process.
    pub fn command(&self, program: &str) -> Command {
        let mut command = process::tied("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .arg(repository("tests/packages/within"))
            .arg(self.folder.path())
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .current_dir("/");
        command
    }

    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Ended {
        run(self.command(program), arguments)
    }
}
