//! Files that are read again when they change, while the service runs.
//!
//! A platform replaces a mounted secret without any notice (Kubernetes swaps a symbolic link),
//! so the contents of the files are compared once a second: that finds every kind of replacement, and ignores a
//! touch without a change. A change is acted on once two looks in a row saw the same contents, so that
//! files that belong together, or a file that is being written, are not read half-way.
//!
//! Contents that cannot be used change nothing: the previous value stays in use, an error in the log and a
//! metric report it, and it is tried again after a minute or at the next change.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use aws_lc_rs::digest;

use crate::{
    observe::metrics::Metrics,
    runtime::shutdown::{Phase, Shutdown},
};

mod current;

pub use current::Current;

/// Time between two looks at the files.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Time after which unusable contents are tried, and reported, again without a change.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Bytes of a file that are compared; its reader has limits of its own.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// A value that was read from files.
pub trait Reload: Send {
    /// Returns the configuration key, for logs and metrics.
    fn key(&self) -> &str;

    fn files(&self) -> Vec<PathBuf>;

    /// Reads the files and puts their contents into use, as a whole or not at all; returns whether they
    /// are new. The error is shown to an operator, and holds no secret.
    fn reload(&mut self) -> Result<bool, String>;

    /// Called at every look, whether there was a change or not.
    fn look(&mut self, _now: SystemTime) {}
}

/// A hash of the contents of files, or of the errors of reading them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(files: &[PathBuf]) -> Self {
        let mut digest = digest::Context::new(&digest::SHA256);
        for file in files {
            let mut bytes = Vec::new();
            let read = File::open(file).and_then(|f| f.take(FILE_LIMIT).read_to_end(&mut bytes));
            if let Err(error) = read {
                bytes = format!("{:?}", error.kind()).into();
                digest.update(&[0]);
            }
            digest.update(&(bytes.len() as u64).to_le_bytes());
            digest.update(&bytes);
        }
        Self(digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// Looks at all values that may change.
pub struct Reloader {
    watched: Vec<Watched>,
    metrics: Metrics,
}

struct Watched {
    subject: Box<dyn Reload>,
    /// The contents at the last look.
    seen: Option<Digest>,
    /// The contents of the last reload; `None` at first, since the files were read before this existed.
    acted_on: Option<Digest>,
    failed: Option<Instant>,
}

impl Reloader {
    pub fn new(subjects: Vec<Box<dyn Reload>>, metrics: &Metrics) -> Self {
        for subject in &subjects {
            metrics.last_reload_successful.with_label_values(&[subject.key()]).set(1);
            for outcome in ["done", "failed"] {
                metrics.reloads.with_label_values(&[subject.key(), outcome]);
            }
        }
        let watched = |subject| Watched { subject, seen: None, acted_on: None, failed: None };
        let watched = subjects.into_iter().map(watched).collect();
        Self { watched, metrics: metrics.clone() }
    }

    /// Looks on a thread of its own, once per `every`, until the shutdown has reached
    /// [`Phase::Stopped`].
    pub fn spawn(mut self, every: Duration, shutdown: Shutdown) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("reload".into()).spawn(move || {
            while !shutdown.wait(Phase::Stopped, every) {
                self.look(Instant::now(), SystemTime::now());
            }
        })
    }

    /// Looks once at all values.
    pub fn look(&mut self, now: Instant, time: SystemTime) {
        for watched in &mut self.watched {
            watched.look(now, &self.metrics);
            watched.subject.look(time);
        }
    }
}

impl Watched {
    fn look(&mut self, now: Instant, metrics: &Metrics) {
        let digest = Digest::of(&self.subject.files());
        let stands = self.seen.replace(digest) == Some(digest);
        let again = self.failed.is_some_and(|at| now >= at + RETRY_AFTER);
        if !stands || (self.acted_on == Some(digest) && !again) {
            return;
        }
        self.acted_on = Some(digest);
        let result = self.subject.reload();
        let key = self.subject.key();
        let successful = metrics.last_reload_successful.with_label_values(&[key]);
        successful.set(result.is_ok().into());
        match result {
            Err(problem) => {
                metrics.reloads.with_label_values(&[key, "failed"]).inc();
                tracing::error!(key, problem, "reload failed; keeping the previous value");
                self.failed = Some(now);
            }
            Ok(new) => {
                let failed = self.failed.take().is_some();
                if new {
                    metrics.reloads.with_label_values(&[key, "done"]).inc();
                    tracing::info!(key, "reloaded");
                } else if failed {
                    tracing::info!(key, "the files hold the value in use again");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// Accepts any text in its file except `bad`.
    struct Text {
        file: PathBuf,
        taken: Arc<Mutex<Vec<String>>>,
    }

    impl Reload for Text {
        fn key(&self) -> &str {
            "a.key"
        }

        fn files(&self) -> Vec<PathBuf> {
            vec![self.file.clone()]
        }

        fn reload(&mut self) -> Result<bool, String> {
            let text = fs::read_to_string(&self.file).map_err(|error| error.to_string())?;
            let mut taken = self.taken.lock().unwrap();
            if text == "bad" {
                return Err("is bad".into());
            }
            let new = taken.last() != Some(&text);
            taken.extend(new.then_some(text));
            Ok(new)
        }
    }

    struct Rig {
        _folder: tempfile::TempDir,
        file: PathBuf,
        reloader: Reloader,
        taken: Arc<Mutex<Vec<String>>>,
        now: Instant,
    }

    impl Rig {
        fn holding(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (file, taken) =
                (folder.path().join("file"), Arc::new(Mutex::new(vec![text.into()])));
            fs::write(&file, text).unwrap();
            let subject = Text { file: file.clone(), taken: taken.clone() };
            let reloader = Reloader::new(vec![Box::new(subject)], &Metrics::new());
            Self { _folder: folder, file, reloader, taken, now: Instant::now() }
        }

        fn look(&mut self) {
            self.now += LOOK_INTERVAL;
            self.reloader.look(self.now, SystemTime::UNIX_EPOCH);
        }

        fn taken(&self) -> Vec<String> {
            self.taken.lock().unwrap().clone()
        }

        fn count(&self, outcome: &str) -> u64 {
            self.reloader.metrics.reloads.with_label_values(&["a.key", outcome]).get()
        }

        fn is_fine(&self) -> bool {
            self.reloader.metrics.last_reload_successful.with_label_values(&["a.key"]).get() == 1
        }
    }

    #[test]
    fn a_change_is_taken_once_two_looks_saw_the_same() {
        let mut rig = Rig::holding("a");
        for text in ["b", "bc", "bcd"] {
            fs::write(&rig.file, text).unwrap();
            rig.look();
        }
        assert_eq!(rig.taken(), ["a"]);
        rig.look();
        rig.look();
        assert_eq!(rig.taken(), ["a", "bcd"]);
        assert_eq!((rig.count("done"), rig.count("failed")), (1, 0));
    }

    #[test]
    fn a_file_that_changed_before_the_first_look_is_taken_too() {
        let mut rig = Rig::holding("a");
        fs::write(&rig.file, "b").unwrap();
        rig.look();
        rig.look();
        assert_eq!(rig.taken(), ["a", "b"]);
    }

    #[test]
    fn what_can_not_be_used_is_complained_about_once_a_minute_and_forgotten_when_it_is_mended() {
        let mut rig = Rig::holding("a");
        fs::write(&rig.file, "bad").unwrap();
        for _ in 0..10 {
            rig.look();
        }
        assert_eq!((rig.count("failed"), rig.is_fine()), (1, false));
        rig.now += RETRY_AFTER;
        rig.look();
        assert_eq!(rig.count("failed"), 2);
        fs::write(&rig.file, "a").unwrap();
        rig.look();
        rig.look();
        assert_eq!((rig.taken(), rig.is_fine()), (vec!["a".to_owned()], true));
    }

    #[test]
    fn a_file_that_goes_away_is_a_failure_and_its_return_the_end_of_it() {
        let mut rig = Rig::holding("a");
        fs::remove_file(&rig.file).unwrap();
        rig.look();
        rig.look();
        assert!(!rig.is_fine());
        fs::write(&rig.file, "b").unwrap();
        rig.look();
        rig.look();
        assert_eq!((rig.taken(), rig.is_fine()), (vec!["a".to_owned(), "b".to_owned()], true));
    }
}
