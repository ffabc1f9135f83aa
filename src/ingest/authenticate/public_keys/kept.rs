//! The file `<spool.directory>/adobe.keys`, which keeps the keys that proved deliveries of ours: so that a restart
//! under a flood of strangers does not begin without a key.
//!
//! A cache (`spool/cache.rs`) with the host that the keys are from, and for each path when its key last proved a
//! delivery, and the key with the time of its fetch. The keys of another host are fetched again. A key from it is no
//! older than the one that it continues: its age counts from its fetch, by the calendar.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    PublicKey,
    cache::{FORGET_AFTER, Kept, MAX_KEY_AGE},
    path::KeyPath,
};
use crate::{
    ingest::authenticate::moment::Moment,
    spool::{
        cache::{CacheFile, Form},
        disk::Disk,
    },
};

const FORM: Form = Form {
    magic: *b"MILLPEM\n",
    version: 1,
    // The file has few keys.
    largest: 256 * 1024,
    unusable: "cached public keys are not usable; fetching them again",
    unwritable: "cannot cache public keys on disk; a restart must fetch them",
};

pub(super) struct KeyFile {
    file: CacheFile,
    /// Host of the keys; keys of another host are not used.
    host: String,
    /// One moment on both clocks, to convert between them.
    clock: Moment,
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
        Self { file: CacheFile::new(disk, directory.join("adobe.keys"), FORM), host, clock: now }
    }

    /// Reads the keys that can still be used at the time at which this was made.
    pub fn read(&self) -> Vec<Kept> {
        let written: Option<Written> = self.file.read(|written: &Written| {
            let is_another = written.host != self.host;
            is_another.then_some("the keys in the file are from another host")
        });
        let paths = written.into_iter().flat_map(|written| written.keys);
        paths.filter_map(|path| self.kept(path)).collect()
    }

    /// Replaces the file's content; returns whether that worked.
    pub fn write(&mut self, kept: &[Kept]) -> bool {
        let keys = kept.iter().map(|kept| WrittenPath {
            path: kept.path.as_str().to_owned(),
            proved_at: self.seconds(kept.proved),
            key: kept.key.as_ref().map(|(key, fetched)| WrittenKey {
                fetched_at: self.seconds(*fetched),
                spki: key.to_base64(),
            }),
        });
        let written = Written { host: self.host.clone(), keys: keys.collect() };
        self.file.write(&written)
    }

    fn kept(&self, written: WrittenPath) -> Option<Kept> {
        let path = KeyPath::new(&written.path)?;
        let proved = self.instant(written.proved_at, FORGET_AFTER)?;
        let key = written.key.and_then(|key| {
            let fetched = self.instant(key.fetched_at, MAX_KEY_AGE)?;
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

    /// Converts a time of the file; `None` if it is older than `limit`, or in the future.
    fn instant(&self, seconds: u64, limit: Duration) -> Option<Instant> {
        let age = Duration::from_secs(self.clock.unix_seconds.checked_sub(seconds)?);
        (age < limit).then(|| self.clock.instant.checked_sub(age)).flatten()
    }
}

#[cfg(test)]
mod tests {
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

    /// Makes a folder with a file of one key.
    fn written() -> (tempfile::TempDir, Moment, Kept) {
        let folder = tempfile::tempdir().unwrap();
        let now = Moment::now();
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
    fn keys_of_another_host_are_passed_over() {
        let (folder, now, _) = written();
        let other = "https://other.test/".into();
        let other = KeyFile::new(Arc::new(RealDisk), folder.path(), other, now);
        assert!(other.read().is_empty());
    }
}
