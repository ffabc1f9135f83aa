//! Files that are read again when they change, while the service runs.
//!
//! A platform replaces a mounted secret without telling anybody (Kubernetes swaps a symbolic link),
//! so the files are looked at once a second, by what is in them: whichever way they are replaced, and
//! touched without a change. A change is acted on once two looks in a row saw the same, so that
//! files that belong together, or a file that is being written, are not taken half-way.
//!
//! What cannot be used changes nothing: what was read before stays in use, an error in the log and a
//! metric say so, and it is tried again after a minute or at the next change.

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

/// How often the files are looked at.
pub const EVERY: Duration = Duration::from_secs(1);

/// When what could not be used is tried again, and complained about again, although nothing changed.
const AGAIN: Duration = Duration::from_secs(60);

/// More of a file is not looked at; what reads it has limits of its own.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// Something that was read from files.
pub trait Reload: Send {
    /// As configuration calls it; for logs and metrics.
    fn key(&self) -> &str;

    fn files(&self) -> Vec<PathBuf>;

    /// Reads the files and puts what is in them into use, as a whole or not at all; says whether it
    /// is anything new. The error is for a person, and holds no secret.
    fn reload(&mut self) -> Result<bool, String>;

    /// Comes with every look, whether anything changed or not.
    fn look(&mut self, _now: SystemTime) {}
}

/// What files hold, or why they cannot be read.
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

/// Looks at everything that may change.
pub struct Reloader {
    watched: Vec<Watched>,
    metrics: Metrics,
}

struct Watched {
    subject: Box<dyn Reload>,
    /// What the last look saw.
    seen: Option<Digest>,
    /// What the last reload was for; at first none, since whoever read the files did so before us.
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

    /// Looks on a thread of its own, `every` so often, until the shutdown has reached
    /// [`Phase::Stopped`].
    pub fn spawn(mut self, every: Duration, shutdown: Shutdown) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("reload".into()).spawn(move || {
            while !shutdown.wait(Phase::Stopped, every) {
                self.look(Instant::now(), SystemTime::now());
            }
        })
    }

    /// One look at everything.
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
        let again = self.failed.is_some_and(|at| now >= at + AGAIN);
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

    /// Takes whatever is in its file, unless that is `bad`.
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
            self.now += EVERY;
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
        rig.now += AGAIN;
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
