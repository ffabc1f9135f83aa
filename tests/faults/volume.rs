//! A file system of its own for a spool, small enough to be filled: an ext4 in a file.
//!
//! Mounting needs root (or `sudo`-less privileges of that kind); a machine that does not permit it
//! fails the test, and says so.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// Mounted until it is dropped.
pub struct Volume {
    folder: TempDir,
}

impl Volume {
    /// `size` bytes, and at most `inodes` files.
    #[track_caller]
    pub fn mount(size: u64, inodes: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("millrace-test-volume-").tempdir();
        let volume = Self { folder: folder.expect("a temporary folder can be made") };
        let image = File::create(volume.image()).expect("a temporary file can be made");
        image.set_len(size).expect("a temporary file can be large");
        fs::create_dir(volume.path()).expect("a temporary folder can be made");
        // No blocks kept for root, who runs the tests.
        let inodes = inodes.to_string();
        let image = volume.image();
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-N", &inodes]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(volume.path()));
        volume
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Takes all the space that is left, by a file that [`Volume::free`] removes.
    pub fn fill(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.path().join("ballast"))
            .expect("a file for the ballast");
        let mut takes =
            |bytes: usize| file.write_all(&vec![7; bytes]).and_then(|()| file.sync_data()).is_ok();
        // Ever smaller pieces, so that not a block is left; and from the beginning while there is room
        // again, since the service gives back its reserve meanwhile.
        loop {
            for piece in [1 << 20, 1 << 12] {
                while takes(piece) {}
            }
            if (0..1 << 12).any(|_| !takes(1)) {
                return;
            }
        }
    }

    /// Takes all the inodes that are left, by files that [`Volume::free`] removes; returns how many.
    pub fn fill_with_files(&self) -> usize {
        let folder = self.path().join("files");
        fs::create_dir(&folder).expect("a folder for the files");
        let made = |number: &usize| match File::create(folder.join(number.to_string())) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => false,
            Err(error) => panic!("making files: {error}"),
        };
        (0..).take_while(made).count()
    }

    pub fn free(&self) {
        let _ = fs::remove_file(self.path().join("ballast"));
        let _ = fs::remove_dir_all(self.path().join("files"));
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path().display());
        }
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let shown = format!("{command:?}");
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
    assert!(
        output.status.success(),
        "{shown} failed, so this machine does not let a test fill a disk (it takes root, mkfs.ext4 \
         and loop devices; in a container --privileged):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether `path` is on a volume of its own.
pub fn is_apart(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|data| data.dev()).ok();
    device(path) != path.parent().and_then(device)
}
