//! Reads a file of a quarantine folder, and no other file.
//!
//! A pointer on the dead-letter topic can be written by any client that may write there, so its path is trusted only
//! as far as it leads to a regular file in that folder, and the bytes only if they have the
//! length and the SHA-256 that were written down with them. Links are not followed, and reading neither
//! blocks (a FIFO) nor goes on without an end (a device).

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use crate::{config::Config, deliver::quarantine::hex, source::SourceName};

/// Largest metadata file, which contains the key of an event.
const LABEL_LIMIT: u64 = 64 * 1024 * 1024;

/// Largest body: a frame of the spool has its length in 32 bits.
const MAX_BYTES: u64 = u32::MAX as u64;

/// Characters shown of a foreign path in an error.
const MAX_PATH_CHARS: usize = 200;

const ELSEWHERE_REMEDY: &str = "replay it where the spool.directory is that was written to";

/// The quarantine folder of one source.
pub(crate) struct Folder(PathBuf);

/// Length and hash of a file's bytes, as written down when the file was written.
pub(crate) struct Expected<'a> {
    pub length: u64,
    /// In hexadecimal.
    pub sha256: &'a str,
}

impl Folder {
    pub fn of(config: &Config, source: &SourceName) -> Self {
        Self(config.spool.directory.join(source.as_str()).join("quarantine"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads an item at `path`, which another program may have written.
    pub fn pointed(&self, path: &str, expected: &Expected<'_>) -> Result<Vec<u8>, String> {
        let shown: String = path.chars().filter(|c| !c.is_control()).take(MAX_PATH_CHARS).collect();
        let of_it = |what: String| format!("its bytes are in {shown}: {what}");
        let path = Path::new(path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(of_it("that is no path of a file".into()));
        };
        let folder = self.0.display();
        let here = fs::canonicalize(&self.0).map_err(|error| {
            of_it(format!(
                "quarantine folder of its source not found ({folder}: {error}): {ELSEWHERE_REMEDY}"
            ))
        })?;
        let there = fs::canonicalize(parent)
            .map_err(|error| of_it(format!("{error}: {ELSEWHERE_REMEDY}")))?;
        if here != there {
            return Err(of_it(format!(
                "not a file in the quarantine folder of its source ({folder})"
            )));
        }
        self.bytes(Path::new(name), expected).map_err(of_it)
    }

    /// Reads the item `name`.
    pub fn bytes(&self, name: &Path, expected: &Expected<'_>) -> Result<Vec<u8>, String> {
        if expected.length > MAX_BYTES {
            return Err(format!("no delivery has {} bytes", expected.length));
        }
        let (file, length) = self.open(name)?;
        if length != expected.length {
            let expected = expected.length;
            return Err(format!("the file has {length} bytes instead of {expected}"));
        }
        let bytes = read(file, length).map_err(|error| error.to_string())?;
        if !hex(digest(&SHA256, &bytes).as_ref()).eq_ignore_ascii_case(expected.sha256) {
            return Err("its bytes are not those that were put there (SHA-256)".into());
        }
        Ok(bytes)
    }

    /// Reads a small file.
    pub fn label(&self, name: &Path) -> Result<Vec<u8>, String> {
        let (file, length) = self.open(name)?;
        match length {
            0..=LABEL_LIMIT => read(file, length).map_err(|error| error.to_string()),
            _ => Err(format!("{length} bytes is not a possible size of a metadata file")),
        }
    }

    /// Opens a regular file of that name; returns it with its length.
    fn open(&self, name: &Path) -> Result<(File, u64), String> {
        let folder = openat(CWD, &self.0, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| format!("{}: {error}", self.0.display()))?;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(&folder, name, flags, Mode::empty()).map_err(|error| match error {
            rustix::io::Errno::LOOP => "it is a symbolic link".to_owned(),
            error => error.to_string(),
        })?;
        let stat = fstat(&file).map_err(|error| error.to_string())?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            _ => return Err("it is no regular file".into()),
        }
        Ok((file.into(), u64::try_from(stat.st_size).unwrap_or_default()))
    }
}

/// Reads at most one byte more than the file had when it was opened.
fn read(file: File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(length + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::mknodat;

    use super::*;

    const BYTES: &[u8] = b"an event";

    struct World {
        _root: tempfile::TempDir,
        root: PathBuf,
        folder: Folder,
    }

    impl World {
        /// Makes `leads/quarantine/1.bytes` of a spool, and the same file beside the spool.
        fn new() -> Self {
            let temporary = tempfile::tempdir().unwrap();
            let root = temporary.path().to_path_buf();
            let folder = Folder(root.join("spool/leads/quarantine"));
            fs::create_dir_all(&folder.0).unwrap();
            fs::create_dir_all(root.join("spool/audit/quarantine")).unwrap();
            for path in ["1.bytes", "../../audit/quarantine/1.bytes", "../../../1.bytes"] {
                fs::write(folder.0.join(path), BYTES).unwrap();
            }
            Self { _root: temporary, root, folder }
        }

        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            self.read_as(path, BYTES.len() as u64, &hex(digest(&SHA256, BYTES).as_ref()))
        }

        fn read_as(&self, path: &str, length: u64, sha256: &str) -> Result<Vec<u8>, String> {
            let path = self.root.join(path);
            self.folder.pointed(path.to_str().unwrap(), &Expected { length, sha256 })
        }
    }

    #[track_caller]
    fn says(read: Result<Vec<u8>, String>, what: &str) {
        let error = read.unwrap_err();
        assert!(error.contains(what), "{error}");
    }

    #[test]
    fn an_item_is_read_also_where_the_spool_is_reached_by_a_link() {
        let world = World::new();
        assert_eq!(world.read("spool/leads/quarantine/1.bytes").as_deref(), Ok(BYTES));
        symlink(world.root.join("spool"), world.root.join("link")).unwrap();
        assert_eq!(world.read("link/leads/quarantine/1.bytes").as_deref(), Ok(BYTES));
        assert_eq!(world.read("spool/leads/quarantine/./1.bytes").as_deref(), Ok(BYTES));
    }

    #[test]
    fn a_path_leads_out_of_the_folder_in_no_way() {
        let world = World::new();
        for outside in [
            "1.bytes",
            "spool/audit/quarantine/1.bytes",
            "spool/leads/quarantine/../../../1.bytes",
            "/etc/passwd",
            "/dev/zero",
        ] {
            says(world.read(outside), "not a file in the quarantine folder of its source");
        }
        for none in ["", "/", "spool/leads/quarantine/.."] {
            let read = world.folder.pointed(none, &Expected { length: 8, sha256: "" });
            assert!(read.is_err(), "{none}");
        }
        says(world.read("spool/other/quarantine/1.bytes"), "spool.directory");
        says(world.read("spool/leads/quarantine/2.bytes"), "No such file");
    }

    #[test]
    fn what_is_no_regular_file_is_not_read_and_not_waited_for() {
        let world = World::new();
        let at = |name: &str| world.folder.0.join(name);
        symlink(world.root.join("1.bytes"), at("link.bytes")).unwrap();
        symlink("/dev/zero", at("zero.bytes")).unwrap();
        let fifo = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, at("fifo.bytes"), FileType::Fifo, fifo, 0).unwrap();
        fs::create_dir(at("folder.bytes")).unwrap();
        says(world.read("spool/leads/quarantine/link.bytes"), "symbolic link");
        says(world.read("spool/leads/quarantine/zero.bytes"), "symbolic link");
        says(world.read("spool/leads/quarantine/fifo.bytes"), "no regular file");
        says(world.read("spool/leads/quarantine/folder.bytes"), "no regular file");
    }

    #[test]
    fn bytes_that_are_not_those_that_were_put_there_are_no_event() {
        let world = World::new();
        let (item, sha256) =
            ("spool/leads/quarantine/1.bytes", hex(digest(&SHA256, BYTES).as_ref()));
        says(world.read_as(item, 7, &sha256), "8 bytes instead of 7");
        says(world.read_as(item, 8, "00"), "SHA-256");
        says(world.read_as(item, 1 << 40, &sha256), "no delivery has");
        assert!(world.read_as(item, 8, &sha256.to_uppercase()).is_ok());
    }

    #[test]
    fn an_error_shows_a_foreign_path_without_control_characters() {
        let world = World::new();
        let path = format!("/no/\u{1b}[2J/{}", "x".repeat(1000));
        let error = world.folder.pointed(&path, &Expected { length: 8, sha256: "" }).unwrap_err();
        assert!(!error.contains('\u{1b}') && error.len() < 600, "{error}");
    }
}
