//! The keys that proved deliveries of ours, in the file `<spool.directory>/adobe.keys`: so that a restart
//! under a flood of strangers does not begin without a key.
//!
//! Little-endian: the magic, the version, the length of the rest, the CRC32C of version, length and rest,
//! and as the rest JSON: the host that the keys are from, and for each path when its key last proved a
//! delivery, and the key with the time of its fetch. The version counts only where the checksum is right.
//!
//! Nothing is lost with this file. Where it is damaged, of another version or of another host, its keys are
//! fetched again and it is replaced; a warning says so. A key from it is no older than the one that it
//! continues: its age counts from its fetch, by the calendar.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    PublicKey,
    cache::{CACHED, FORGOTTEN, Kept},
    path::KeyPath,
};
use crate::{
    ingest::authenticate::moment::Moment,
    spool::disk::{self, Disk},
};

const MAGIC: [u8; 8] = *b"MILLPEM\n";
const VERSION: u32 = 1;
const HEAD: usize = 20;

/// No file that this program writes is larger: it has few keys.
const LARGEST: u64 = 256 * 1024;

pub(super) struct KeyFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Where the keys are from; those of another host are none of Adobe's.
    host: String,
    /// One moment on both clocks, by which one is told from the other.
    clock: Moment,
    is_failing: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("the file is damaged")]
    Damaged,
    #[error("the file has format version {0}, but this program reads {VERSION}")]
    Version(u32),
    #[error("the keys in the file are from another host")]
    OtherHost,
}

#[derive(Serialize, Deserialize)]
struct Written {
    host: String,
    keys: Vec<WrittenPath>,
}

#[derive(Serialize, Deserialize)]
struct WrittenPath {
    path: String,
    /// Seconds since 1970, as all times here.
    proved_at: u64,
    key: Option<WrittenKey>,
}

#[derive(Serialize, Deserialize)]
struct WrittenKey {
    fetched_at: u64,
    spki: String,
}

impl KeyFile {
    pub fn new(disk: Arc<dyn Disk>, directory: &Path, host: String, now: Moment) -> Self {
        let path = directory.join("adobe.keys");
        Self { disk, path, host, clock: now, is_failing: false }
    }

    /// What is there and can be used, at the moment at which this was made.
    pub fn read(&self) -> Vec<Kept> {
        let problem = match self.bytes() {
            Ok(bytes) => match read(&bytes, &self.host) {
                Ok(paths) => return paths.into_iter().filter_map(|it| self.kept(it)).collect(),
                Err(unusable) => unusable.to_string(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            path = %self.path.display(), problem,
            "cached public keys are not usable; fetching them again"
        );
        Vec::new()
    }

    /// Replaces what is there; whether that worked.
    pub fn write(&mut self, kept: &[Kept]) -> bool {
        let keys = kept.iter().map(|kept| WrittenPath {
            path: kept.path.as_str().to_owned(),
            proved_at: self.seconds(kept.proved),
            key: kept.key.as_ref().map(|(key, fetched)| WrittenKey {
                fetched_at: self.seconds(*fetched),
                spki: key.to_base64(),
            }),
        });
        let bytes = spell(&Written { host: self.host.clone(), keys: keys.collect() });
        let written = disk::write_atomically(&*self.disk, &self.path, &bytes);
        let was_failing = std::mem::replace(&mut self.is_failing, written.is_err());
        if let Err(error) = &written
            && !was_failing
        {
            tracing::warn!(
                path = %self.path.display(), %error,
                "cannot cache public keys on disk; a restart must fetch them"
            );
        }
        written.is_ok()
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        match self.disk.info(&self.path)? {
            file if file.is_dir || file.length > LARGEST => Ok(Vec::new()),
            _ => disk::read_file(&*self.disk, &self.path),
        }
    }

    fn kept(&self, written: WrittenPath) -> Option<Kept> {
        let path = KeyPath::new(&written.path)?;
        let proved = self.instant(written.proved_at, FORGOTTEN)?;
        let key = written.key.and_then(|key| {
            let fetched = self.instant(key.fetched_at, CACHED)?;
            Some((Arc::new(PublicKey::from_base64(&key.spki).ok()?), fetched))
        });
        Some(Kept { path, proved, key })
    }

    fn seconds(&self, at: Instant) -> u64 {
        let Moment { unix_seconds, instant } = self.clock;
        match at.checked_duration_since(instant) {
            Some(later) => unix_seconds + later.as_secs(),
            None => unix_seconds.saturating_sub(instant.duration_since(at).as_secs()),
        }
    }

    /// `None` for what is older than `limit`, and for the future: that has no age.
    fn instant(&self, seconds: u64, limit: Duration) -> Option<Instant> {
        let age = Duration::from_secs(self.clock.unix_seconds.checked_sub(seconds)?);
        (age < limit).then(|| self.clock.instant.checked_sub(age)).flatten()
    }
}

fn spell(written: &Written) -> Vec<u8> {
    let json = serde_json::to_vec(written).expect("plain values are always JSON");
    let length = u32::try_from(json.len()).expect("a few keys are less than 4 GiB");
    let mut bytes = Vec::with_capacity(HEAD + json.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&json);
    let sum = checksum(&bytes);
    bytes[16..HEAD].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Of everything behind the magic but the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[8..16]), &bytes[HEAD..])
}

fn read(bytes: &[u8], host: &str) -> Result<Vec<WrittenPath>, Unusable> {
    let (head, json) = bytes.split_at_checked(HEAD).ok_or(Unusable::Damaged)?;
    let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let is_whole = usize::try_from(number(12)) == Ok(json.len());
    if head[..8] != MAGIC || !is_whole || number(16) != checksum(bytes) {
        return Err(Unusable::Damaged);
    }
    if number(8) != VERSION {
        return Err(Unusable::Version(number(8)));
    }
    let written: Written = serde_json::from_slice(json).map_err(|_| Unusable::Damaged)?;
    if written.host == host { Ok(written.keys) } else { Err(Unusable::OtherHost) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{
        super::key::tests::{key_pair, pem},
        *,
    };
    use crate::spool::disk::RealDisk;

    const HOUR: Duration = Duration::from_secs(60 * 60);
    const HOST: &str = "https://keys.test/";

    fn file(directory: &Path, now: Moment) -> KeyFile {
        KeyFile::new(Arc::new(RealDisk), directory, HOST.into(), now)
    }

    fn one_key(now: Moment) -> Kept {
        let key = Arc::new(PublicKey::from_pem(pem(&key_pair()).as_bytes()).unwrap());
        let path = KeyPath::new("/prod/keys/k.pem").unwrap();
        Kept { path, proved: now.instant, key: Some((key, now.instant)) }
    }

    /// A folder with a file of one key.
    fn written() -> (tempfile::TempDir, Moment, Kept) {
        let (folder, now) = (tempfile::tempdir().unwrap(), Moment::now());
        let kept = one_key(now);
        assert!(file(folder.path(), now).write(std::slice::from_ref(&kept)));
        (folder, now, kept)
    }

    #[test]
    fn a_key_is_there_after_a_restart_with_the_age_that_it_has_by_then() {
        let (folder, now, kept) = written();
        let read = |after: Duration| {
            let now = now.later(after);
            let mut kept = file(folder.path(), now).read();
            kept.pop().map(|kept| (kept.path, now.instant - kept.proved, kept.key))
        };
        let (path, proved, key) = read(23 * HOUR).unwrap();
        let (key, fetched) = key.unwrap();
        assert_eq!((path, proved), (kept.path, 23 * HOUR));
        assert_eq!(fetched, now.instant);
        assert_eq!(key.to_base64(), kept.key.unwrap().0.to_base64());
        let (_, _, key) = read(24 * HOUR).unwrap();
        assert!(key.is_none(), "the path is known, the key is too old");
        assert!(read(7 * 24 * HOUR).is_none(), "nothing was proved for a week");
    }

    #[test]
    fn a_key_out_of_the_future_is_not_used() {
        let (folder, now, _) = written();
        let earlier = Moment { unix_seconds: now.unix_seconds - 1, ..now };
        assert!(file(folder.path(), earlier).read().is_empty());
    }

    #[test]
    fn nobody_else_may_read_or_write_the_file_and_nothing_is_left_beside_it() {
        let (folder, ..) = written();
        let mode = folder.path().join("adobe.keys").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_file_with_any_byte_changed_or_missing_is_passed_over() {
        let (folder, now, _) = written();
        let path = folder.path().join("adobe.keys");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(matches!(read(&bytes, HOST), Err(Unusable::Damaged)), "byte {at}");
            assert!(read(&whole[..at], HOST).is_err(), "cut at {at}");
        }
        std::fs::write(&path, &whole[..40]).unwrap();
        assert!(file(folder.path(), now).read().is_empty());
        std::fs::remove_file(&path).unwrap();
        assert!(file(folder.path(), now).read().is_empty());
        std::fs::create_dir(&path).unwrap();
        assert!(file(folder.path(), now).read().is_empty());
    }

    #[test]
    fn a_pipe_in_place_of_the_file_is_passed_over_and_hangs_nothing() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let (folder, now) = (tempfile::tempdir().unwrap(), Moment::now());
        let path = folder.path().join("adobe.keys");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (done, is_done) = std::sync::mpsc::channel();
        let directory = folder.path().to_owned();
        std::thread::spawn(move || done.send(file(&directory, now).read().len()));
        assert_eq!(is_done.recv_timeout(Duration::from_secs(20)), Ok(0));
    }

    #[test]
    fn keys_of_another_host_or_another_version_are_passed_over() {
        let bytes = spell(&Written { host: HOST.into(), keys: Vec::new() });
        assert!(read(&bytes, HOST).is_ok());
        assert_eq!(read(&bytes, "https://other.test/").err(), Some(Unusable::OtherHost));
        let mut later = bytes;
        later[8] = 2;
        let sum = checksum(&later);
        later[16..HEAD].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(read(&later, HOST).err(), Some(Unusable::Version(2)));
    }

    #[test]
    fn a_disk_that_takes_nothing_is_no_trouble_and_is_tried_again() {
        let (folder, now) = (tempfile::tempdir().unwrap(), Moment::now());
        let mut file = file(&folder.path().join("missing"), now);
        assert!(!file.write(&[one_key(now)]));
        std::fs::create_dir(folder.path().join("missing")).unwrap();
        assert!(file.write(&[one_key(now)]));
    }
}
