//! Cache files, which only save time: nothing is lost with one. A file that is damaged, of another version or cannot be
//! read counts as empty, with a warning, and the next write replaces it.
//!
//! Format, little-endian: the magic, the version, the length of the rest, the CRC32C of version, length and rest, and
//! the rest, which is JSON. The version counts only where the checksum is right. A file is written aside, synced and
//! renamed.

use std::{io, path::PathBuf, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::disk::{self, Disk};

const HEAD_BYTES: usize = 20;

/// Format and texts of one kind of cache.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub magic: [u8; 8],
    pub version: u32,
    /// Largest file in bytes that this program writes.
    pub largest: u64,
    /// Log texts: the consequence of a file that cannot be used, and of one that cannot be written.
    pub unusable: &'static str,
    pub unwritable: &'static str,
}

pub struct CacheFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    form: Form,
    is_failing: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("the file is damaged")]
    Damaged,
    #[error("the file has format version {found}, but this program reads {reads}")]
    Version { found: u32, reads: u32 },
}

impl CacheFile {
    pub fn new(disk: Arc<dyn Disk>, path: PathBuf, form: Form) -> Self {
        Self { disk, path, form, is_failing: false }
    }

    /// Reads the content, if it can be used. `check` returns a further problem with it.
    pub fn read<T: DeserializeOwned>(
        &self,
        check: impl Fn(&T) -> Option<&'static str>,
    ) -> Option<T> {
        let problem = match self.bytes() {
            Ok(bytes) => match self.form.read(&bytes) {
                Ok(content) => match check(&content) {
                    None => return Some(content),
                    Some(problem) => problem.to_owned(),
                },
                Err(unusable) => unusable.to_string(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
        };
        tracing::warn!(path = %self.path.display(), problem, "{}", self.form.unusable);
        None
    }

    /// Replaces the content; returns whether that worked. Of several failures in a row the first is logged.
    pub fn write(&mut self, content: &impl Serialize) -> bool {
        let written = disk::write_atomically(&*self.disk, &self.path, &self.form.bytes(content));
        let was_failing = std::mem::replace(&mut self.is_failing, written.is_err());
        if let Err(error) = &written
            && !was_failing
        {
            tracing::warn!(path = %self.path.display(), %error, "{}", self.form.unwritable);
        }
        written.is_ok()
    }

    /// Reads the file. A folder or a pipe in its place counts as empty, and is not opened.
    fn bytes(&self) -> io::Result<Vec<u8>> {
        match self.disk.info(&self.path)? {
            file if file.is_dir || file.length > self.form.largest => Ok(Vec::new()),
            _ => disk::read_file(&*self.disk, &self.path),
        }
    }
}

impl Form {
    fn bytes(&self, content: &impl Serialize) -> Vec<u8> {
        let json = serde_json::to_vec(content).expect("plain values are always JSON");
        let length = u32::try_from(json.len()).expect("a cache is smaller than 4 GiB");
        let mut bytes = Vec::with_capacity(HEAD_BYTES + json.len());
        bytes.extend_from_slice(&self.magic);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&json);
        let sum = checksum(&bytes);
        bytes[16..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn read<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Unusable> {
        let (head, json) = bytes.split_at_checked(HEAD_BYTES).ok_or(Unusable::Damaged)?;
        let number =
            |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let is_whole = usize::try_from(number(12)) == Ok(json.len());
        if head[..8] != self.magic || !is_whole || number(16) != checksum(bytes) {
            return Err(Unusable::Damaged);
        }
        if number(8) != self.version {
            return Err(Unusable::Version { found: number(8), reads: self.version });
        }
        serde_json::from_slice(json).map_err(|_| Unusable::Damaged)
    }
}

/// Returns the checksum of everything behind the magic but the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[8..16]), &bytes[HEAD_BYTES..])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::spool::disk::RealDisk;

    const FORM: Form = Form {
        magic: *b"MILLTST\n",
        version: 1,
        largest: 1000,
        unusable: "asking again",
        unwritable: "a restart asks again",
    };

    fn file(folder: &Path) -> CacheFile {
        CacheFile::new(Arc::new(RealDisk), folder.join("cache"), FORM)
    }

    fn read(folder: &Path) -> Option<String> {
        file(folder).read(|_| None)
    }

    /// Makes a folder with a file, and returns the file's bytes too.
    fn written() -> (tempfile::TempDir, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        assert!(file(folder.path()).write(&"content"));
        let bytes = std::fs::read(folder.path().join("cache")).unwrap();
        (folder, bytes)
    }

    #[test]
    fn content_is_there_after_a_restart_unless_the_caller_finds_a_problem_with_it() {
        let (folder, _) = written();
        assert_eq!(read(folder.path()).as_deref(), Some("content"));
        assert_eq!(file(folder.path()).read(|_: &String| Some("of another place")), None);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_with_any_byte_changed_or_missing_is_passed_over() {
        let (folder, whole) = written();
        let path = folder.path().join("cache");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert_eq!(FORM.read::<String>(&bytes), Err(Unusable::Damaged), "byte {at}");
            assert!(FORM.read::<String>(&whole[..at]).is_err(), "cut at {at}");
        }
        std::fs::write(&path, &whole[..24]).unwrap();
        assert_eq!(read(folder.path()), None);
        std::fs::write(&path, vec![0; 1001]).unwrap();
        assert_eq!(read(folder.path()), None, "too large to be one");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(folder.path()), None);
        std::fs::create_dir(&path).unwrap();
        assert_eq!(read(folder.path()), None);
    }

    #[test]
    fn a_file_of_a_later_version_is_passed_over() {
        let later = Form { version: 2, ..FORM }.bytes(&"content");
        let unusable = FORM.read::<String>(&later);
        assert_eq!(unusable, Err(Unusable::Version { found: 2, reads: 1 }));
    }

    #[test]
    fn a_pipe_in_place_of_the_file_is_passed_over_and_hangs_nothing() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (done, is_done) = std::sync::mpsc::channel();
        let directory = folder.path().to_owned();
        std::thread::spawn(move || done.send(read(&directory)));
        assert_eq!(is_done.recv_timeout(std::time::Duration::from_secs(20)), Ok(None));
    }

    #[test]
    fn a_disk_that_takes_nothing_is_no_trouble_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = file(&folder.path().join("missing"));
        assert!(!file.write(&"content"));
        std::fs::create_dir(folder.path().join("missing")).unwrap();
        assert!(file.write(&"content"));
    }

    #[test]
    fn no_other_account_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, _) = written();
        let mode = folder.path().join("cache").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
